"""The fitted model and the functions that make it."""
