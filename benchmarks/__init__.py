"""Benchmarks: multilevel beside lme4 and the other Python packages for linear mixed models."""
