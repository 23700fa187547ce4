"""Checks of a fit: each with numbers, a plain sentence, a verdict and the data of its plot."""
