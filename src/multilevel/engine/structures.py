"""Covariance structures: the map from a term's parameters θ to its relative covariance factor λ.

A term with k columns has the relative covariance matrix Ψ = λλᵀ (the covariance of its random effects
divided by the residual variance σ²), with λ lower triangular. A structure says how many parameters λ has,
how it follows from them, and what its first and second derivatives are. Nothing else in the engine knows
which structure a term has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.engine.correlations import Autoregressive, CompoundSymmetric, CorrelationFamily, Independent, Toeplitz

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

    @property
    def common_scale(self) -> bool:
        """Whether all columns share a variance, so that they must be scaled alike."""

    @property
    def correlated(self) -> bool:
        """Whether some elements off the diagonal may differ from zero."""

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """Which parameters are scales: where one is zero, the criterion is stationary in it."""

    def canonical(self, theta: FloatArray) -> FloatArray:
        """Return the equivalent parameters in their usual range (a family that rotates leaves this to λ)."""

    def lifted(self, theta: FloatArray, floor: float) -> FloatArray:
        """Return parameters at least `floor` off the points at which the criterion is stationary by symmetry."""

    def bounds_near(self, theta: FloatArray, near: float) -> dict[int, float]:
        """Return, for the parameters that nearly are at a bound (scales below `near`), the value that they have there."""

    def reported(self, theta: FloatArray) -> FloatArray:
        """Return θ as users see it."""

    def from_reported(self, theta: FloatArray) -> FloatArray:
        """Return the parameters of the θ that users see."""

    def nearest(self, covariance: FloatArray, low: float, high: float) -> FloatArray:
        """Return parameters of a rough guess at Ψ, relative standard deviations kept between bounds."""

    def other_starts(self, theta: FloatArray) -> list[FloatArray]:
        """Return further starting values to try, where the criterion can have several minima."""

    def natural(self) -> tuple[NaturalElement, ...]:
        """Return the standard deviations and correlations that describe the covariance matrix."""

    def monomial(self, row: int, column: int) -> dict[int, int]:
        """Return which of those, to which power, multiply to an element of the covariance matrix (row ≥ column)."""

    def units(self) -> list[FloatArray] | None:
        """Return matrices that Ψ is a sum of multiples of, or None where it is not linear in its parameters."""


class NaturalElement(NamedTuple):
    """A standard deviation or correlation: an element of the matrix that is equal to it.

    Attributes
    ----------
    kind
        ``"sd"`` or ``"cor"``.
    row, column
        The element.
    label
        What stands for the columns in its name where it belongs to several (``"all"``, ``"lag1"``); empty otherwise.
    low
        The smallest value it can have.
    """

    kind: str
    row: int
    column: int
    label: str = ""
    low: float = 0.0


def element_name(element: NaturalElement, columns: tuple[str, ...], factor_name: str) -> str:
    """Return the name of a standard deviation or correlation, as lme4's ``confint(oldNames = FALSE)`` has it."""
    if element.label:
        own = element.label
    elif element.kind == "sd":
        own = columns[element.row]
    else:
        own = f"{columns[element.row]}.{columns[element.column]}"
    return f"{element.kind}_{own}|{factor_name}"


def unit_matrix(size: int, row: int, column: int) -> FloatArray:
    """Return the symmetric matrix with ones at one element and its mirror image."""
    result = np.zeros((size, size))
    result[row, column] = result[column, row] = 1.0
    return result


class _Linear:
    """What the families share whose λ is linear in θ, with its scales on the diagonal of λ."""

    __slots__ = ()

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """The diagonal of λ."""
        raise NotImplementedError

    def curvature(self, theta: FloatArray) -> None:  # noqa: ARG002
        """Return None: λ is linear in θ."""
        return None

    @property
    def common_scale(self) -> bool:
        """Whether all columns share a variance: no."""
        return False

    def lifted(self, theta: FloatArray, floor: float) -> FloatArray:
        """Return parameters with the diagonal of λ no smaller than a floor."""
        return np.where(self.pivots & (theta < floor), floor, theta)

    def bounds_near(self, theta: FloatArray, near: float) -> dict[int, float]:
        """Return zero for the small diagonal elements of λ."""
        return {int(at): 0.0 for at in np.flatnonzero(self.pivots & (np.abs(theta) < near) & (theta != 0.0))}

    def reported(self, theta: FloatArray) -> FloatArray:
        """Return θ itself."""
        return theta.copy()

    def from_reported(self, theta: FloatArray) -> FloatArray:
        """Return θ itself."""
        return theta.copy()

    def other_starts(self, theta: FloatArray) -> list[FloatArray]:  # noqa: ARG002
        """Return nothing: Newton's method finds the minimum."""
        return []


@dataclass(frozen=True, slots=True)
class Unstructured(_Linear):
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

    @property
    def correlated(self) -> bool:
        """Whether there are correlations."""
        return self.size > 1

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """The diagonal of λ."""
        return np.equal(*lower_triangle(self.size))

    def canonical(self, theta: FloatArray) -> FloatArray:
        """Return the parameters as they are."""
        return theta

    def nearest(self, covariance: FloatArray, low: float, high: float) -> FloatArray:
        """Return the Cholesky factor of the matrix with its eigenvalues kept between bounds."""
        values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
        values = np.clip(values, low**2, high**2)
        return self.parameters(np.linalg.cholesky((vectors * values) @ vectors.T))

    def natural(self) -> tuple[NaturalElement, ...]:
        """Return all standard deviations and correlations in the order of θ."""
        return tuple(
            NaturalElement("sd", int(r), int(c)) if r == c else NaturalElement("cor", int(r), int(c), low=-1.0)
            for r, c in zip(*lower_triangle(self.size), strict=True)
        )

    def monomial(self, row: int, column: int) -> dict[int, int]:
        """Return the two standard deviations and the correlation."""
        k = self.size
        at = [c * k - c * (c - 1) // 2 for c in (row, column)]
        return {at[0]: 2} if row == column else {at[0]: 1, at[1]: 1, at[1] + row - column: 1}

    def units(self) -> list[FloatArray]:
        """Return a matrix for every element of the lower triangle, row by row."""
        return [unit_matrix(self.size, r, c) for r in range(self.size) for c in range(r + 1)]


@dataclass(frozen=True, slots=True)
class Diagonal(_Linear):
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

    @property
    def correlated(self) -> bool:
        """Whether there are correlations."""
        return False

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """The diagonal of λ."""
        return np.ones(self.size, dtype=np.bool_)

    def canonical(self, theta: FloatArray) -> FloatArray:
        """Return the absolute values."""
        return np.abs(theta)

    def nearest(self, covariance: FloatArray, low: float, high: float) -> FloatArray:
        """Return the roots of the diagonal, kept between bounds."""
        result: FloatArray = np.clip(np.sqrt(np.clip(np.diag(covariance), 0.0, None)), low, high)
        return result

    def natural(self) -> tuple[NaturalElement, ...]:
        """Return the standard deviations."""
        return tuple(NaturalElement("sd", at, at) for at in range(self.size))

    def monomial(self, row: int, column: int) -> dict[int, int]:
        """Return the square of a standard deviation; there is nothing off the diagonal."""
        if row != column:
            raise ValueError(f"the element ({row}, {column}) of a diagonal matrix is zero")
        return {row: 2}

    def units(self) -> list[FloatArray]:
        """Return a matrix for every element of the diagonal."""
        return [unit_matrix(self.size, at, at) for at in range(self.size)]


STRUCTURE_NAMES = {"unstructured": "us", "diagonal": "diag"}
"""What a formula calls the structures whose names here differ."""

PATTERNED: dict[str, tuple[Callable[[int], CorrelationFamily], bool]] = {
    "homdiag": (Independent, True),
    "cs": (CompoundSymmetric, False),
    "homcs": (CompoundSymmetric, True),
    "ar1": (Autoregressive, True),
    "hetar1": (Autoregressive, False),
    "toep": (Toeplitz, False),
    "homtoep": (Toeplitz, True),
}
"""The family of correlation matrices of each patterned structure, and whether its columns share one variance."""


def structure_of(kind: str, size: int) -> CovarianceStructure:
    """Return the structure that a design names, for a term with `size` columns."""
    if kind == "unstructured" or (size == 1 and kind in PATTERNED):
        return Unstructured(size)
    if kind == "diagonal":
        return Diagonal(size)
    if kind in PATTERNED:
        from multilevel.engine.patterned import Patterned

        family, homogeneous = PATTERNED[kind]
        return Patterned(family(size), homogeneous)
    raise ValueError(f"unknown covariance structure {kind!r}")
