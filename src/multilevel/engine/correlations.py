"""Families of correlation matrices: the map from angles to a Cholesky factor of the matrix, with exact derivatives.

Every parameter is an angle ω and stands for a correlation (or partial autocorrelation) sin ω, shifted and shrunken to the range
that the family allows. The correlation matrix depends on sin ω alone, so the criterion is even about ω = ±π/2, where a correlation
is at its bound: there it is stationary, no bound is needed, and the sign of its curvature says whether the bound is the optimum.
The factors written here are smooth in the angles everywhere, the bounds among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

EXACT_ZERO = 1e-15
"""The cosine of the angle nearest to π/2 is of the order of 1e-16: it is zero."""


class CorrelationFamily(Protocol):
    """Correlation matrices with k rows and a few angles."""

    @property
    def size(self) -> int:
        """Number of rows k."""

    @property
    def n_angles(self) -> int:
        """Number of angles."""

    @property
    def lowest(self) -> float:
        """The smallest correlation that the family allows."""

    def factor(self, angles: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the lower-triangular factor C (k, k), ∂C/∂ω (a, k, k) and ∂²C/∂ω² (a, a, k, k)."""

    def correlations(self, angles: FloatArray) -> FloatArray:
        """Return the correlations that the family is described by, one for each angle."""

    def angles(self, correlations: FloatArray) -> FloatArray:
        """Return the angles of such correlations, within ±π/2."""

    def place(self, row: int, column: int) -> dict[int, int]:
        """Return which correlations, to which power, multiply to the element of a row and an earlier column."""

    def labels(self) -> tuple[tuple[str, int, int], ...]:
        """Return for each correlation its name and an element (row, column) that is equal to it."""


def trigonometric(angle: float) -> tuple[float, float]:
    """Return sine and cosine, the latter exactly zero at ±π/2."""
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    return (float(np.sign(sine)), 0.0) if abs(cosine) < EXACT_ZERO else (sine, cosine)


# ---- no correlation ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Independent:
    """The identity matrix."""

    size: int

    @property
    def n_angles(self) -> int:
        """Number of angles: none."""
        return 0

    @property
    def lowest(self) -> float:
        """No correlation is in the family."""
        return 0.0

    def factor(self, angles: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:  # noqa: ARG002 - there are none
        """Return the identity matrix."""
        k = self.size
        return np.eye(k), np.zeros((0, k, k)), np.zeros((0, 0, k, k))

    def correlations(self, angles: FloatArray) -> FloatArray:
        """Return nothing."""
        return angles.copy()

    def angles(self, correlations: FloatArray) -> FloatArray:
        """Return nothing."""
        return correlations.copy()

    def place(self, row: int, column: int) -> dict[int, int]:
        """No element off the diagonal is in the family."""
        raise ValueError(f"the element ({row}, {column}) of the identity is zero")

    def labels(self) -> tuple[tuple[str, int, int], ...]:
        """Return nothing."""
        return ()


# ---- AR(1) ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Autoregressive:
    """First-order autoregression over equally spaced columns: ρ^|i−j| with ρ = sin ω.

    C has sinⁱω in its first column and cos ω·sinⁱ⁻ʲω in column j.
    """

    size: int

    @property
    def n_angles(self) -> int:
        """Number of angles: one."""
        return 1

    @property
    def lowest(self) -> float:
        """A correlation of −1 is allowed."""
        return -1.0

    def factor(self, angles: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return C and its derivatives."""
        k = self.size
        s, c = trigonometric(float(angles[0]))
        lag = np.arange(k)[:, None] - np.arange(k)
        below = lag >= 0
        power = np.where(below, lag, 0)
        first = np.zeros((k, k), dtype=np.bool_)
        first[:, 0] = True

        def sine(order: npt.NDArray[np.int64]) -> FloatArray:
            # sᵐ, only ever multiplied by zero where m is negative
            return np.where(order >= 0, s ** np.maximum(order, 0), 0.0)

        m = power.astype(np.float64)
        value = np.where(first, sine(power), c * sine(power))
        slope = np.where(first, m * c * sine(power - 1), -sine(power + 1) + m * c**2 * sine(power - 1))
        bend = np.where(
            first,
            m * (m - 1.0) * c**2 * sine(power - 2) - m * sine(power),
            -(3.0 * m + 1.0) * c * sine(power) + m * (m - 1.0) * c**3 * sine(power - 2),
        )
        return np.where(below, value, 0.0), np.where(below, slope, 0.0)[None], np.where(below, bend, 0.0)[None, None]

    def correlations(self, angles: FloatArray) -> FloatArray:
        """Return ρ."""
        return np.sin(angles)

    def angles(self, correlations: FloatArray) -> FloatArray:
        """Return the angle of ρ."""
        return np.arcsin(np.clip(correlations, -1.0, 1.0))

    def place(self, row: int, column: int) -> dict[int, int]:
        """Return ρ to the power of the lag."""
        return {0: abs(row - column)}

    def labels(self) -> tuple[tuple[str, int, int], ...]:
        """Return the correlation at lag 1."""
        return (("lag1", 1, 0),)


# ---- compound symmetry ---------------------------------------------------------------------------------------------------


class _Jet(NamedTuple):
    """A function of one variable with its first and second derivative, element by element."""

    value: FloatArray
    slope: FloatArray
    bend: FloatArray

    def times(self, other: _Jet) -> _Jet:
        return _Jet(
            self.value * other.value,
            self.slope * other.value + self.value * other.slope,
            self.bend * other.value + 2.0 * self.slope * other.slope + self.value * other.bend,
        )

    def inverse(self) -> _Jet:
        value = 1.0 / self.value
        slope = -self.slope * value**2
        return _Jet(value, slope, -self.bend * value**2 + 2.0 * self.slope**2 * value**3)

    def root(self) -> _Jet:
        value = np.sqrt(self.value)
        slope = 0.5 * self.slope / value
        return _Jet(value, slope, 0.5 * self.bend / value - slope**2 / value)


@dataclass(frozen=True, slots=True)
class CompoundSymmetric:
    """The same correlation ρ between all columns, from −1/(k − 1) to 1.

    With m and h the middle and half the width of that range, ρ = m + h·sin ω. Where j columns come before, the innovation of the
    next has variance (1 − ρ)(1 + jρ)/(1 + (j − 1)ρ); 1 − ρ = 2h·sin²(π/4 − ω/2) and 1 + (k − 1)ρ = 2h(k − 1)·cos²(π/4 − ω/2) are
    the squares of smooth functions, which is why C is smooth at both ends of the range.
    """

    size: int

    @property
    def n_angles(self) -> int:
        """Number of angles: one."""
        return 1

    @property
    def lowest(self) -> float:
        """The smallest correlation that k columns can all have with one another."""
        return -1.0 / (self.size - 1)

    def factor(self, angles: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return C and its derivatives."""
        k = self.size
        half = 0.5 * (1.0 - self.lowest)
        s, c = trigonometric(float(angles[0]))
        turned_s, turned_c = trigonometric(0.25 * np.pi - 0.5 * float(angles[0]))
        if abs(turned_s) < EXACT_ZERO:
            turned_s = 0.0
        rho = _Jet(*(np.array(x) for x in (0.5 * (1.0 + self.lowest) + half * s, half * c, -half * s)))
        w = np.sqrt(2.0 * half)
        # √(1 − ρ), and √(1 + jρ) for j = 0, …, k − 1
        away = _Jet(*(np.array(w * x) for x in (turned_s, -0.5 * turned_c, -0.25 * turned_s)))
        j = np.arange(k - 1, dtype=np.float64)
        roots = _Jet(1.0 + j * rho.value, j * rho.slope, j * rho.bend).root()
        end = w * np.sqrt(k - 1.0)
        last = [end * turned_c, 0.5 * end * turned_s, -0.25 * end * turned_c]
        whole = _Jet(*(np.append(part, x) for part, x in zip(roots, last, strict=True)))
        pivots = _part(whole, 1, k).times(_part(whole, 0, k - 1).inverse()).times(away)
        below = (
            _part(whole, 1, k - 1).times(_part(whole, 0, k - 2)).inverse().times(away).times(rho)
            if k > 2
            else _Jet(np.zeros(0), np.zeros(0), np.zeros(0))
        )
        found = []
        for order in range(3):
            matrix = np.zeros((k, k))
            matrix[1:, 0] = rho[order]
            matrix[0, 0] = 1.0 if order == 0 else 0.0
            every = np.arange(1, k)
            matrix[every, every] = pivots[order]
            for column in range(1, k - 1):
                matrix[column + 1 :, column] = below[order][column - 1]
            found.append(matrix)
        return found[0], found[1][None], found[2][None, None]

    def correlations(self, angles: FloatArray) -> FloatArray:
        """Return ρ."""
        return 0.5 * (1.0 + self.lowest) + 0.5 * (1.0 - self.lowest) * np.sin(angles)

    def angles(self, correlations: FloatArray) -> FloatArray:
        """Return the angle of ρ."""
        middle, half = 0.5 * (1.0 + self.lowest), 0.5 * (1.0 - self.lowest)
        return np.arcsin(np.clip((correlations - middle) / half, -1.0, 1.0))

    def place(self, row: int, column: int) -> dict[int, int]:  # noqa: ARG002 - the same everywhere
        """Return ρ."""
        return {0: 1}

    def labels(self) -> tuple[tuple[str, int, int], ...]:
        """Return the one correlation."""
        return (("all", 1, 0),)


def _part(jet: _Jet, first: int, last: int) -> _Jet:
    """Return a part of a jet."""
    return _Jet(jet.value[first:last], jet.slope[first:last], jet.bend[first:last])


# ---- Toeplitz ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Toeplitz:
    """A correlation for every lag: any stationary process over equally spaced columns.

    The angles are those of the partial autocorrelations κ = sin ω, which may be anything from −1 to 1. The rows of C are written by
    the normalised lattice filter: with forward and backward prediction errors f and b of unit variance,
    fₘ₋₁ = cos ωₘ·fₘ + sin ωₘ·bₘ₋₁ and bₘ = cos ωₘ·bₘ₋₁ − sin ωₘ·fₘ, b being that of the column before, so that C is a polynomial
    in sines and cosines (Itakura & Saito 1971; Makhoul 1977).
    """

    size: int

    @property
    def n_angles(self) -> int:
        """Number of angles, k − 1."""
        return self.size - 1

    @property
    def lowest(self) -> float:
        """A correlation of −1 is allowed."""
        return -1.0

    def factor(self, angles: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return C and its derivatives."""
        k, n = self.size, self.n_angles
        turns = [trigonometric(float(angle)) for angle in angles]
        rows = [np.zeros((k, k)), np.zeros((n, k, k)), np.zeros((n, n, k, k))]
        backward: list[list[FloatArray]] = []  # b of each order, at the column before
        for t in range(k):
            forward = [np.zeros(k), np.zeros((n, k)), np.zeros((n, n, k))]
            forward[0][t] = 1.0
            renewed: list[list[FloatArray]] = [[]] * (t + 1)
            for m in range(t, 0, -1):
                s, c = turns[m - 1]
                before = backward[m - 1]
                renewed[m] = _rotated(before, forward, (c, -s), (-s, -c), m - 1)
                forward = _rotated(forward, before, (c, s), (-s, c), m - 1)
            renewed[0] = forward
            backward = renewed
            for target, source in zip(rows, forward, strict=True):
                target[..., t, :] = source
        return rows[0], rows[1], rows[2]

    def correlations(self, angles: FloatArray) -> FloatArray:
        """Return the correlations at lags 1, 2, …."""
        matrix = self.factor(angles)[0]
        result: FloatArray = matrix[1:] @ matrix[0]
        return result

    def angles(self, correlations: FloatArray) -> FloatArray:
        """Return the angles of the partial autocorrelations (Levinson's and Durbin's recursion)."""
        found = np.zeros(self.n_angles)
        weights = np.zeros(0)
        rest = 1.0
        for m, rho in enumerate(correlations):
            if rest <= EXACT_ZERO:
                break  # determined by the lags before
            kappa = float(np.clip((rho - weights @ correlations[:m][::-1]) / rest, -1.0, 1.0))
            weights = np.append(weights - kappa * weights[::-1], kappa)
            rest *= 1.0 - kappa**2
            found[m] = np.arcsin(kappa)
        return found

    def place(self, row: int, column: int) -> dict[int, int]:
        """Return the correlation of the lag."""
        return {abs(row - column) - 1: 1}

    def labels(self) -> tuple[tuple[str, int, int], ...]:
        """Return the correlations by lag."""
        return tuple((f"lag{lag}", lag, 0) for lag in range(1, self.size))


def _rotated(
    one: list[FloatArray], other: list[FloatArray], weights: tuple[float, float], slopes: tuple[float, float], m: int
) -> list[FloatArray]:
    """Return p·one + q·other with its derivatives, where p and q, sines and cosines of angle m, have the slopes given."""
    (p, q), (dp, dq) = weights, slopes
    value = p * one[0] + q * other[0]
    turned = dp * one[0] + dq * other[0]
    slope = p * one[1] + q * other[1]
    slope[m] += turned
    bend = p * one[2] + q * other[2]
    moved = dp * one[1] + dq * other[1]
    bend[m] += moved
    bend[:, m] += moved
    bend[m, m] -= value
    return [value, slope, bend]
