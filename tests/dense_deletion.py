"""Deletion of rows at fixed theta by dense n × n algebra."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

import multilevel as ml
import small_models as sm
from multilevel.engine.control import LmerControl
from multilevel.formula.design import Design
from multilevel.model.lmer import fit_design
from multilevel.model.source import FitSource


def fit_of(given: Design, reml: bool = True) -> ml.LinearMixedModel:
    """Fit a design made by hand."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ConvergenceWarning)
        return fit_design(given, reml, LmerControl(), FitSource(None, {}))


@dataclass(frozen=True)
class Projection:
    """V relative to σ², X, y and what follows from them."""

    V: np.ndarray
    X: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, fit: ml.LinearMixedModel, keep: np.ndarray | slice = slice(None)) -> Projection:
        given = fit._design
        V = sm.dense_covariance(given, fit._engine.products.plan, fit._engine.theta)
        y = given.y - (0.0 if given.offset is None else given.offset)
        return cls(V[keep][:, keep], given.X[keep], y[keep])

    @property
    def inverse(self) -> np.ndarray:
        return np.linalg.inv(self.V)

    @property
    def unscaled(self) -> np.ndarray:
        return np.linalg.inv(self.X.T @ self.inverse @ self.X) if self.X.shape[1] else np.zeros((0, 0))

    @property
    def gain(self) -> np.ndarray:
        return self.inverse @ self.X @ self.unscaled

    @property
    def P(self) -> np.ndarray:  # noqa: N802
        return self.inverse - self.gain @ self.X.T @ self.inverse

    @property
    def beta(self) -> np.ndarray:
        return self.gain.T @ self.y

    def sigma(self, reml: bool) -> float:
        n, p = self.X.shape
        return float(np.sqrt(self.y @ self.P @ self.y / (n - p if reml else n)))
