"""Inference on a fitted model."""
