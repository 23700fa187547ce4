"""Where the covariance parameters of all terms live: θ in the user's columns, φ in the engine's.

The engine shifts and scales the columns of each term (see `columns.py`), so that its random effects are
b̃ = U b with U upper triangular. Its own parameters φ give λ̃, with λ̃λ̃ᵀ = U Ψ Uᵀ. For a term whose
family holds every covariance matrix, λ̃ is the family's member at φ itself and the user's factor is the
lower-triangular factor of U⁻¹λ̃; for the others U is diagonal and the parameters are rescaled. A structure may have users see
other parameters than it works with (`CovarianceStructure.reported`); θ is always what users see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from multilevel.engine.structures import CovarianceStructure

FloatArray = npt.NDArray[np.float64]

ZERO_PIVOT = 1e-14
"""Below this share of its row's variance, what is left of a pivot is rounding error."""


def lower_factor(matrix: FloatArray) -> FloatArray:
    """Return the lower-triangular factor L with L Lᵀ = A Aᵀ, from A and without squaring it.

    Its diagonal is not negative; a column whose pivot is nothing but rounding error is exactly zero.
    """
    if matrix.shape == (1, 1):
        return np.abs(matrix)
    if matrix.shape == (2, 2) and matrix[0].any():
        return _lower_factor_of_two(*matrix.ravel().tolist())
    upper: FloatArray = np.linalg.qr(matrix.T, mode="r")  # type: ignore[assignment]
    lower = upper.T
    lower = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
    length = np.sqrt((lower * lower).sum(axis=1))
    for c in range(lower.shape[0]):
        if lower[c, c] <= ZERO_PIVOT * length[c]:
            # A zero pivot leaves whatever stands under it to be carried by the later columns.
            rest = lower[c + 1 :, c:].copy()
            lower[c:, c] = 0.0
            if rest.size and np.any(rest[:, 0] != 0.0):
                lower[c + 1 :, c + 1 :] = lower_factor(rest)
    return np.tril(lower)


def _lower_factor_of_two(a: float, b: float, c: float, d: float) -> FloatArray:
    """Return the factor of the matrix with rows (a, b) and (c, d), the first of them not zero."""
    first = math.hypot(a, b)
    below = (a * c + b * d) / first
    # What is left of the second row has the direction across the first.
    second = abs(a * d - b * c) / first
    return np.array([[first, 0.0], [below, 0.0 if second <= ZERO_PIVOT * math.hypot(below, second) else second]])


def order_of_terms(levels: Sequence[int]) -> tuple[int, ...]:
    """Return the order of the terms in θ: the formula's, or by decreasing number of levels where that increases somewhere.

    Terms that tie keep the formula's order in the first case and are reversed in the second, as lme4 has them
    (``rev(order(levels))``).
    """
    places = range(len(levels))
    if all(first >= second for first, second in pairwise(levels)):
        return tuple(places)
    return tuple(sorted(places, key=lambda t: (levels[t], t), reverse=True))


@dataclass(frozen=True, slots=True)
class TermParameters:
    """One term's share of θ: its structure and the map between the user's columns and the engine's.

    Attributes
    ----------
    structure
        The covariance structure.
    block
        The position of the term's factor among the blocks of the plan.
    offset
        The term's first column within that block.
    to_engine
        U: the engine's random effects are U times the user's, shape (k, k).
    to_user
        Its inverse.
    """

    structure: CovarianceStructure
    block: int
    offset: int
    to_engine: FloatArray
    to_user: FloatArray

    @property
    def _ratio(self) -> FloatArray:
        return self.structure.rescaled(np.diag(self.to_engine).copy())

    def factor(self, phi: FloatArray) -> FloatArray:
        """Return λ̃(φ)."""
        if self.structure.rotates:
            return self.structure.factor(phi)
        result: FloatArray = np.diag(self.to_engine)[:, None] * self.structure.factor(phi / self._ratio)
        return result

    def jacobian(self, phi: FloatArray) -> FloatArray:
        """Return ∂λ̃/∂φ, shape (n_theta, k, k)."""
        if self.structure.rotates:
            return self.structure.jacobian(phi)
        ratio = self._ratio
        result: FloatArray = (
            np.diag(self.to_engine)[None, :, None] * self.structure.jacobian(phi / ratio) / ratio[:, None, None]
        )
        return result

    def curvature(self, phi: FloatArray) -> FloatArray | None:
        """Return ∂²λ̃/∂φ², shape (n_theta, n_theta, k, k), or None where it is zero."""
        ratio = np.ones(self.structure.n_theta) if self.structure.rotates else self._ratio
        inner = self.structure.curvature(phi / ratio)
        if inner is None:
            return None
        scale = np.ones(self.structure.size) if self.structure.rotates else np.diag(self.to_engine)
        result: FloatArray = scale[None, None, :, None] * inner / (ratio[:, None] * ratio)[:, :, None, None]
        return result

    def user_factor(self, phi: FloatArray) -> FloatArray:
        """Return λ in the user's columns."""
        if self.structure.rotates:
            return lower_factor(self.to_user @ self.structure.factor(phi))
        return self.structure.factor(phi / self._ratio)

    def from_user(self, theta: FloatArray) -> FloatArray:
        """Return the φ of the user's θ."""
        if self.structure.rotates:
            return self.structure.parameters(lower_factor(self.to_engine @ self.structure.factor(theta)))
        return self.structure.from_reported(theta) * self._ratio

    def of_factor(self, factor: FloatArray) -> FloatArray:
        """Return the φ of a λ̃ that belongs to the family."""
        if self.structure.rotates:
            return self.structure.parameters(factor)
        own: FloatArray = self.structure.parameters(factor / np.diag(self.to_engine)[:, None]) * self._ratio
        return own

    def theta(self, phi: FloatArray) -> FloatArray:
        """Return the user's θ."""
        if self.structure.rotates:
            return self.structure.parameters(self.user_factor(phi))
        return self.structure.reported(phi / self._ratio)

    def factor_of(self, theta: FloatArray) -> FloatArray:
        """Return λ in the user's columns at the user's θ."""
        return self.structure.factor(self.structure.from_reported(theta))

    def canonical(self, phi: FloatArray) -> FloatArray:
        """Return the equivalent φ whose λ̃ has no negative diagonal (the criterion is even in each column)."""
        if self.structure.rotates:
            return self.structure.parameters(lower_factor(self.structure.factor(phi)))
        return self.structure.canonical(phi)


@dataclass(frozen=True, slots=True)
class Parameters:
    """All covariance parameters of a model, term after term in the order of θ.

    Attributes
    ----------
    terms
        The terms in the order of θ.
    block_sizes
        The number of columns of each block (all terms of one grouping factor together).
    """

    terms: tuple[TermParameters, ...]
    block_sizes: tuple[int, ...]

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return sum(term.structure.n_theta for term in self.terms)

    def slices(self) -> tuple[slice, ...]:
        """Return the place of each term in θ."""
        found = []
        first = 0
        for term in self.terms:
            found.append(slice(first, first + term.structure.n_theta))
            first += term.structure.n_theta
        return tuple(found)

    def start(self) -> FloatArray:
        """Return the φ with every relative factor the identity in the engine's columns."""
        return np.concatenate([term.canonical(term.structure.start()) for term in self.terms])

    def user_identity(self) -> FloatArray:
        """Return the θ with every relative factor the identity in the user's columns."""
        return np.concatenate([term.structure.reported(term.structure.start()) for term in self.terms])

    def block_factors(self, phi: FloatArray) -> list[FloatArray]:
        """Return λ̃ of every block, block-diagonal over the terms in it."""
        result = [np.zeros((size, size)) for size in self.block_sizes]
        for term, place in zip(self.terms, self.slices(), strict=True):
            k = term.structure.size
            result[term.block][term.offset : term.offset + k, term.offset : term.offset + k] = term.factor(phi[place])
        return result

    def covariances(self, factors: Sequence[FloatArray]) -> list[FloatArray]:
        """Return Ψ of every term, in the engine's columns, from λ̃ of every block."""
        found = []
        for term in self.terms:
            inside = slice(term.offset, term.offset + term.structure.size)
            own = factors[term.block][inside, inside]
            found.append(own @ own.T)
        return found

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """Which parameters are scales of columns: where one is zero, the criterion is stationary in it."""
        return np.concatenate([term.structure.pivots for term in self.terms])

    def lifted(self, phi: FloatArray, floor: float) -> FloatArray:
        """Return φ off the points at which the criterion is stationary by symmetry: pivots no smaller than a floor."""
        return np.concatenate(
            [term.structure.lifted(phi[place], floor) for term, place in zip(self.terms, self.slices(), strict=True)]
        )

    def other_starts(self, phi: FloatArray) -> list[FloatArray]:
        """Return further starting values, those of one term changed in each."""
        found = []
        for term, place in zip(self.terms, self.slices(), strict=True):
            for own in term.structure.other_starts(phi[place]):
                other = phi.copy()
                other[place] = own
                found.append(other)
        return found

    def bounds_near(self, phi: FloatArray, near: float) -> dict[int, float]:
        """Return, for the parameters that nearly are at a bound, the value that they have there."""
        found: dict[int, float] = {}
        for term, place in zip(self.terms, self.slices(), strict=True):
            found.update({place.start + at: b for at, b in term.structure.bounds_near(phi[place], near).items()})
        return found

    @property
    def linear(self) -> bool:
        """Whether every λ is linear in its parameters, so that its derivatives are the same everywhere."""
        return not any(
            term.curvature(self.start()[place]) is not None
            for term, place in zip(self.terms, self.slices(), strict=True)
        )

    def block_derivatives(self, phi: FloatArray) -> list[tuple[int, FloatArray]]:
        """Return, for each parameter, its block and ∂λ̃/∂φ of that block."""
        result: list[tuple[int, FloatArray]] = []
        for term, place in zip(self.terms, self.slices(), strict=True):
            size = self.block_sizes[term.block]
            inside = slice(term.offset, term.offset + term.structure.size)
            for derivative in term.jacobian(phi[place]):
                whole = np.zeros((size, size))
                whole[inside, inside] = derivative
                result.append((term.block, whole))
        return result

    def block_curvatures(self, phi: FloatArray) -> list[tuple[int, int, FloatArray]]:
        """Return ∂²λ̃/∂φ_a∂φ_b wherever it is not zero, with a and b."""
        result: list[tuple[int, int, FloatArray]] = []
        for term, place in zip(self.terms, self.slices(), strict=True):
            second = term.curvature(phi[place])
            if second is None:
                continue
            size = self.block_sizes[term.block]
            inside = slice(term.offset, term.offset + term.structure.size)
            for a in range(second.shape[0]):
                for b in range(second.shape[1]):
                    whole = np.zeros((size, size))
                    whole[inside, inside] = second[a, b]
                    result.append((place.start + a, place.start + b, whole))
        return result

    def to_user(self, phi: FloatArray) -> FloatArray:
        """Return θ in the user's columns."""
        return np.concatenate([term.theta(phi[place]) for term, place in zip(self.terms, self.slices(), strict=True)])

    def from_user(self, theta: FloatArray) -> FloatArray:
        """Return φ of the user's θ."""
        return np.concatenate(
            [term.from_user(theta[place]) for term, place in zip(self.terms, self.slices(), strict=True)]
        )

    def canonical(self, phi: FloatArray) -> FloatArray:
        """Return the equivalent φ without negative diagonals."""
        return np.concatenate(
            [term.canonical(phi[place]) for term, place in zip(self.terms, self.slices(), strict=True)]
        )
