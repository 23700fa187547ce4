"""Formulas: grammar, contrasts, and the design they make of a data frame."""
