"""Covariance structures: the map from a term's parameters θ to its relative covariance factor λ.

A term with k columns has the relative covariance matrix Ψ = λλᵀ (the covariance of its random effects
divided by the residual variance σ²), with λ lower triangular. A structure says how many parameters λ has,
how it follows from them, and what its first and second derivatives are. Nothing else in the engine knows
which structure a term has.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@functools.cache
def lower_triangle(size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of the lower triangle, column by column (lme4's order of θ)."""
    column, row = np.triu_indices(size)
    return row, column


class CovarianceStructure(Protocol):
    """What the engine asks of a covariance structure with k columns."""

    @property
    def size(self) -> int:
        """Number of columns k of the term."""

    @property
    def n_theta(self) -> int:
        """Number of parameters."""

    @property
    def rotates(self) -> bool:
        """Whether every covariance matrix is in the family, so that columns may be shifted by one another."""

    def factor(self, theta: FloatArray) -> FloatArray:
        """Return λ(θ), shape (k, k), lower triangular."""

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Return ∂λ/∂θ, shape (n_theta, k, k)."""

    def curvature(self, theta: FloatArray) -> FloatArray | None:
        """Return ∂²λ/∂θ², shape (n_theta, n_theta, k, k), or None where λ is linear in θ."""

    def parameters(self, factor: FloatArray) -> FloatArray:
        """Return the θ of a lower-triangular factor that belongs to the family."""

    def start(self) -> FloatArray:
        """Return the θ whose λ is the identity matrix."""

    def rescaled(self, scale: FloatArray) -> FloatArray:
        """Return, for every parameter, the factor it is multiplied by when row r of λ is multiplied by scale[r]."""

    def theta_names(self, columns: tuple[str, ...], factor_name: str) -> tuple[str, ...]:
        """Return a name for every parameter, as lme4 names them."""


@dataclass(frozen=True, slots=True)
class Unstructured:
    """Any covariance matrix: θ is the lower triangle of λ, column by column (lme4's order)."""

    size: int

    @property
    def n_theta(self) -> int:
        """Number of parameters, k(k + 1)/2."""
        return self.size * (self.size + 1) // 2

    @property
    def rotates(self) -> bool:
        """Every covariance matrix is in the family."""
        return True

    def factor(self, theta: FloatArray) -> FloatArray:
        """Return λ(θ)."""
        result = np.zeros((self.size, self.size))
        result[lower_triangle(self.size)] = theta
        return result

    def jacobian(self, theta: FloatArray) -> FloatArray:  # noqa: ARG002 - linear: the same everywhere
        """Return ∂λ/∂θ: one unit matrix per parameter."""
        result = np.zeros((self.n_theta, self.size, self.size))
        row, column = lower_triangle(self.size)
        result[np.arange(self.n_theta), row, column] = 1.0
        return result

    def curvature(self, theta: FloatArray) -> None:  # noqa: ARG002
        """Return None: λ is linear in θ."""
        return None

    def parameters(self, factor: FloatArray) -> FloatArray:
        """Return the lower triangle of a factor."""
        result: FloatArray = factor[lower_triangle(self.size)]
        return result

    def start(self) -> FloatArray:
        """Return the θ of the identity."""
        return self.parameters(np.eye(self.size))

    def rescaled(self, scale: FloatArray) -> FloatArray:
        """Return scale by the row of each parameter."""
        result: FloatArray = scale[lower_triangle(self.size)[0]]
        return result

    def theta_names(self, columns: tuple[str, ...], factor_name: str) -> tuple[str, ...]:
        """Return names such as ``Subject.Days.(Intercept)``."""
        row, column = lower_triangle(self.size)
        return tuple(
            f"{factor_name}.{columns[r]}" if r == c else f"{factor_name}.{columns[r]}.{columns[c]}"
            for r, c in zip(row, column, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Uncorrelated columns with a variance each: θ is the diagonal of λ."""

    size: int

    @property
    def n_theta(self) -> int:
        """Number of parameters, k."""
        return self.size

    @property
    def rotates(self) -> bool:
        """Whether every covariance matrix is in the family: only with one column."""
        return self.size == 1

    def factor(self, theta: FloatArray) -> FloatArray:
        """Return λ(θ)."""
        return np.diag(theta)

    def jacobian(self, theta: FloatArray) -> FloatArray:  # noqa: ARG002
        """Return ∂λ/∂θ."""
        result = np.zeros((self.size, self.size, self.size))
        every = np.arange(self.size)
        result[every, every, every] = 1.0
        return result

    def curvature(self, theta: FloatArray) -> None:  # noqa: ARG002
        """Return None: λ is linear in θ."""
        return None

    def parameters(self, factor: FloatArray) -> FloatArray:
        """Return the diagonal of a factor."""
        return np.diag(factor).copy()

    def start(self) -> FloatArray:
        """Return the θ of the identity."""
        return np.ones(self.size)

    def rescaled(self, scale: FloatArray) -> FloatArray:
        """Return scale itself."""
        return scale.copy()

    def theta_names(self, columns: tuple[str, ...], factor_name: str) -> tuple[str, ...]:
        """Return names such as ``Subject.Days``."""
        return tuple(f"{factor_name}.{column}" for column in columns)


def structure_of(kind: str, size: int) -> CovarianceStructure:
    """Return the structure that a design names, for a term with `size` columns."""
    if kind == "unstructured":
        return Unstructured(size)
    if kind == "diagonal":
        return Diagonal(size)
    raise ValueError(f"unknown covariance structure {kind!r}")
