"""Data in: frames, grouping factors, missing values, example data sets."""
