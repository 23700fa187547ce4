"""Centre and spread of a variable, by which it is standardized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MAD_TO_SD = 1.4826
"""A normal distribution's standard deviation in units of its median absolute deviation, as R's ``mad`` has it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What is subtracted from a variable, and what it is divided by.

    Attributes
    ----------
    center
        Its mean or median.
    spread
        Its standard deviation or scaled median absolute deviation; 0 where it does not vary.
    """

    center: float
    spread: float

    def times(self, factor: float) -> Scale:
        """Return the same centre with another multiple of the spread."""
        return Scale(self.center, factor * self.spread)


def scale_of(values: FloatArray, weights: FloatArray | None = None, *, robust: bool = False) -> Scale:
    """Return mean and standard deviation, or median and median absolute deviation, both weighted where weights are given.

    The weighted variance is Σw(x − m)² / (1 − Σw²) with weights w that sum to one: equal weights give the usual n − 1.

    Parameters
    ----------
    values
        The variable, without missing values.
    weights
        Weights of the rows, or None.
    robust
        Whether median and median absolute deviation (times 1.4826) are used.

    Examples
    --------
    >>> import numpy as np
    >>> from multilevel.quality.scaling import scale_of
    >>> scale_of(np.array([1.0, 2.0, 3.0]))
    Scale(center=2.0, spread=1.0)
    """
    if robust:
        center = weighted_median(values, weights)
        return Scale(center, MAD_TO_SD * weighted_median(np.abs(values - center), weights))
    if weights is None:
        center = float(values.mean())
        return Scale(center, _root((values - center) ** 2, values.size - 1, center))
    share = weights / weights.sum()
    center = float(share @ values)
    return Scale(center, _root(share * (values - center) ** 2, 1.0 - float(share @ share), center))


def _root(squares: FloatArray, divisor: float, center: float) -> float:
    """Return the root of a mean square; what is only rounding error of the centre counts as zero."""
    spread = float(np.sqrt(squares.sum() / divisor))
    return spread if spread > 1e-14 * abs(center) else 0.0


def weighted_median(values: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the value at which half of the weight is reached, or the mean of two where it is reached between them."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = 0.5 * reached[-1]
    at = int(np.searchsorted(reached, half * (1.0 - 1e-14)))
    first = float(values[order[at]])
    if reached[at] <= half * (1.0 + 1e-14):
        return 0.5 * (first + float(values[order[at + 1]]))
    return first
