"""The engine's own columns: shifted and scaled, so that badly scaled data cost no digits.

Fixed-effects columns and the response are centred when the model has an intercept, and all are divided by
their root mean square. A random term with an intercept and an unstructured covariance has its other columns
centred too. Where there are prior weights, all columns are divided by the root of the mean weight (a power of
two near it), so that weights of any size give products of ordinary size. Estimates are carried back to the
user's columns exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.accumulate import moments

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnScaling:
    """Places, shifts and scales of a set of columns: the engine sees ``(value − shift) · scale``.

    Attributes
    ----------
    places
        Positions in `Design.columns`.
    shift, scale
        One of each per column.
    constant
        Index (in this set) of the column that carries the shifts, or −1 where nothing is shifted.
    """

    places: npt.NDArray[np.int64]
    shift: FloatArray
    scale: FloatArray
    constant: int

    def linear(self, columns: FloatArray, coefficients: FloatArray) -> FloatArray:
        """Return the scaled columns' combination, a column at a time: there is no copy of all of them."""
        result = np.zeros(columns.shape[0])
        for place, shift, factor in zip(self.places, self.shift, self.scale * coefficients, strict=True):
            result += (columns[:, place] - shift) * factor
        return result

    def to_user(self) -> FloatArray:
        """Return T with (coefficients in the user's columns) = T · (coefficients in the engine's)."""
        result = np.diag(self.scale)
        if self.constant >= 0:
            result[self.constant] -= self.scale * self.shift
        return result

    def to_engine(self) -> FloatArray:
        """Return the inverse of `to_user`."""
        result = np.diag(1.0 / self.scale)
        if self.constant >= 0:
            result[self.constant] += self.shift / self.scale[self.constant]
        return result


@dataclass(frozen=True, slots=True)
class ColumnMoments:
    """Weighted mean, root mean square about it, and constancy of each column of a design.

    Attributes
    ----------
    mean, spread, constant
        One of each per column.
    unit
        A power of two near the root of one over the mean weight: every scale has it as a factor.
    """

    mean: FloatArray
    spread: FloatArray
    constant: npt.NDArray[np.bool_]
    unit: float = 1.0

    def scaling(self, places: tuple[int, ...], centre: bool, alike: bool = False) -> ColumnScaling:
        """Return the scaling of some columns; centred on their means where asked and a column of ones is there.

        With `alike` all are scaled by the same number, the root of their mean square.
        """
        at = np.asarray(places, dtype=np.int64)
        ones = [i for i, place in enumerate(places) if self.constant[place] and self.mean[place] == 1.0]
        anchor = ones[0] if centre and ones else -1
        varies = ~self.constant[at]
        shift = np.where(varies, self.mean[at], 0.0) if anchor >= 0 else np.zeros(at.size)
        size = np.where(varies & (anchor >= 0), self.spread[at], np.hypot(self.spread[at], self.mean[at]))
        if alike:
            largest = float(size.max())
            size = np.full(at.size, largest * np.sqrt(np.mean((size / (largest or 1.0)) ** 2)))
        scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 1.0)
        if anchor >= 0:
            scale[anchor] = 1.0
        return ColumnScaling(at, shift, scale * self.unit, anchor)


ORDINARY = 1e200
"""Mean squares (and sums of weights) between this and one over it are taken as they come out of a plain sum."""


def column_moments(columns: FloatArray, weights: FloatArray) -> ColumnMoments:
    """Return the moments of every column; `weights` is empty where there are none."""
    sums = np.empty((columns.shape[1], 4))
    moments(columns, weights, sums)
    unit, exponent = 1.0, 0
    if weights.size:
        if not 1.0 / ORDINARY < sums[0, 0] < ORDINARY:
            exponent = _exponent(weights)
            weights = np.ldexp(weights, -exponent)
            moments(columns, weights, sums)
        unit = float(np.exp2(-round(0.5 * (np.log2(sums[0, 0] / columns.shape[0]) + exponent))))
    constant = sums[:, 3] == 1.0
    middle = sums[:, 1] / sums[:, 0]
    square = sums[:, 2] / sums[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum(square - middle**2, 0.0))
    for c in np.flatnonzero(~constant & ~((square > 1.0 / ORDINARY) & (square < ORDINARY))):
        # Squares of such numbers overflow or vanish: the moments are found of numbers of ordinary size.
        own = _exponent(columns[:, c])
        moments(np.ldexp(columns[:, c : c + 1], -own), weights, sums[c : c + 1])
        mean = sums[c, 1] / sums[c, 0]
        middle[c] = np.ldexp(mean, own)
        spread[c] = np.ldexp(np.sqrt(max(sums[c, 2] / sums[c, 0] - mean**2, 0.0)), own)
    return ColumnMoments(columns[0] + middle, spread, constant, unit)


def _exponent(values: FloatArray) -> int:
    """Return the power of two next above the largest of some numbers."""
    return int(np.frexp(np.abs(values).max())[1])
