"""The engine's own columns: shifted and scaled, so that badly scaled data cost no digits.

Fixed-effects columns and the response are centred when the model has an intercept, and all are divided by
their root mean square. A random term with an intercept and an unstructured covariance has its other columns
centred too. Estimates are carried back to the user's columns exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
            result[self.constant] += self.shift
        return result


@dataclass(frozen=True, slots=True)
class ColumnMoments:
    """Weighted mean, root mean square about it, and constancy of each column of a design."""

    mean: FloatArray
    spread: FloatArray
    constant: npt.NDArray[np.bool_]

    def scaling(self, places: tuple[int, ...], centre: bool) -> ColumnScaling:
        """Return the scaling of some columns; centred on their means where asked and a column of ones is there."""
        at = np.asarray(places, dtype=np.int64)
        ones = [i for i, place in enumerate(places) if self.constant[place] and self.mean[place] == 1.0]
        anchor = ones[0] if centre and ones else -1
        varies = ~self.constant[at]
        shift = np.where(varies, self.mean[at], 0.0) if anchor >= 0 else np.zeros(at.size)
        about_zero = np.sqrt(self.spread[at] ** 2 + self.mean[at] ** 2)
        size = np.where(varies & (anchor >= 0), self.spread[at], about_zero)
        scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 1.0)
        if anchor >= 0:
            scale[anchor] = 1.0
        return ColumnScaling(at, shift, scale, anchor)


def column_moments(columns: FloatArray, weights: FloatArray | None) -> ColumnMoments:
    """Return the moments of every column."""
    n, c = columns.shape
    mean = np.empty(c)
    spread = np.empty(c)
    constant = np.empty(c, dtype=np.bool_)
    total = float(n) if weights is None else float(weights.sum())
    for i in range(c):
        column = columns[:, i]
        first = float(column[0])
        constant[i] = bool((column[: min(n, 64)] == first).all()) and bool((column == first).all())
        if constant[i]:
            mean[i], spread[i] = first, 0.0
            continue
        # About the first value, so that a large common level does not eat the digits.
        moved = column - first
        if weights is None:
            middle = float(moved.mean())
            square = float((moved * moved).sum()) / total
        else:
            middle = float((weights * moved).sum()) / total
            square = float((weights * moved * moved).sum()) / total
        mean[i] = first + middle
        spread[i] = np.sqrt(max(square - middle * middle, 0.0))
    return ColumnMoments(mean, spread, constant)
