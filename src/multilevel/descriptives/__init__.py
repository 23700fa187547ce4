"""Describing data: statistics of columns, whole or by group, and how columns vary together."""
