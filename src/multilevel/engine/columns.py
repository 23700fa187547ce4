"""The engine's own columns: shifted and scaled, so that badly scaled data cost no digits.

Fixed-effects columns and the response are centred when the model has an intercept, and all are divided by
their root mean square. A random term with an intercept and an unstructured covariance has its other columns
centred too. Estimates are carried back to the user's columns exactly.
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

    def scaling(self, places: tuple[int, ...], centre: bool, alike: bool = False) -> ColumnScaling:
        """Return the scaling of some columns; centred on their means where asked and a column of ones is there.

        With `alike` all are scaled by the same number, the root of their mean square.
        """
        at = np.asarray(places, dtype=np.int64)
        ones = [i for i, place in enumerate(places) if self.constant[place] and self.mean[place] == 1.0]
        anchor = ones[0] if centre and ones else -1
        varies = ~self.constant[at]
        shift = np.where(varies, self.mean[at], 0.0) if anchor >= 0 else np.zeros(at.size)
        about_zero = np.sqrt(self.spread[at] ** 2 + self.mean[at] ** 2)
        size = np.where(varies & (anchor >= 0), self.spread[at], about_zero)
        if alike:
            size = np.full(at.size, np.sqrt(np.mean(size**2)))
        scale = np.where(size > 0, 1.0 / np.where(size > 0, size, 1.0), 1.0)
        if anchor >= 0:
            scale[anchor] = 1.0
        return ColumnScaling(at, shift, scale, anchor)


def column_moments(columns: FloatArray, weights: FloatArray) -> ColumnMoments:
    """Return the moments of every column; `weights` is empty where there are none."""
    sums = np.empty((columns.shape[1], 4))
    moments(columns, weights, sums)
    middle = sums[:, 1] / sums[:, 0]
    spread = np.sqrt(np.maximum(sums[:, 2] / sums[:, 0] - middle**2, 0.0))
    return ColumnMoments(columns[0] + middle, spread, sums[:, 3] == 1.0)
