"""Statistics of one column in every group at once: sums by group and one sort, no loop over groups."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAD_CONSTANT = 1.4826
"""What makes the median absolute deviation of a normal sample its standard deviation, as R rounds it."""


class GroupedColumn:
    """The values of one column, split into groups.

    Parameters
    ----------
    values : ndarray
        The numbers, NaN where missing; shape (n,).
    codes : ndarray of int or None
        For each row its group, -1 for rows that belong to none; None when all rows are one group.
    n_groups : int
        How many groups there are.
    """

    def __init__(self, values: FloatArray, codes: npt.NDArray[np.integer] | None, n_groups: int = 1) -> None:
        absent = np.isnan(values)
        self.n_groups = n_groups
        if codes is None:
            codes = np.zeros(len(values), dtype=np.int32)
        within = codes >= 0
        kept = within & ~absent
        self.missing: IntArray = np.bincount(codes[within & absent], minlength=n_groups)
        everything = bool(kept.all())
        self.values = values if everything else values[kept]
        self.codes = codes if everything else codes[kept]

    def sums(self, weights: FloatArray) -> FloatArray:
        """Return the sum of some weights in each group."""
        if self.n_groups == 1:
            return np.array([weights.sum()])
        # Without rows bincount forgets that the weights are floats.
        return np.bincount(self.codes, weights=weights, minlength=self.n_groups).astype(np.float64, copy=False)

    @functools.cached_property
    def n(self) -> FloatArray:
        """The number of values in each group."""
        return np.bincount(self.codes, minlength=self.n_groups).astype(np.float64)

    @functools.cached_property
    def mean(self) -> FloatArray:
        """The means; a second pass takes away the rounding of the first."""
        with np.errstate(invalid="ignore", divide="ignore"):
            rough = self.sums(self.values) / self.n
            mean: FloatArray = rough + self.sums(self.values - rough[self.codes]) / self.n
            return np.where(np.isfinite(rough), mean, rough)

    @functools.cached_property
    def deviations(self) -> FloatArray:
        """For each row, how far its value is from the mean of its group."""
        with np.errstate(invalid="ignore"):
            deviations: FloatArray = self.values - self.mean[self.codes]
        return deviations

    @functools.cached_property
    def sum_of_squares(self) -> FloatArray:
        """The sum of squared deviations in each group."""
        return self.sums(self.deviations**2)

    @functools.cached_property
    def variance(self) -> FloatArray:
        """The variances, NaN for fewer than two values."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.n > 1, self.sum_of_squares / (self.n - 1), np.nan)

    @functools.cached_property
    def ordered(self) -> FloatArray:
        """The values, group by group and in order within each."""
        if self.n_groups == 1:
            return np.sort(self.values)
        return self.values[np.lexsort((self.values, self.codes))]

    @functools.cached_property
    def starts(self) -> IntArray:
        """Where each group begins among the ordered values."""
        counts = self.n.astype(np.int64)
        starts: IntArray = np.cumsum(counts) - counts
        return starts

    def quantile(self, probability: float) -> FloatArray:
        """Return a quantile of each group (R's type 7), NaN for empty groups."""
        found = np.full(self.n_groups, np.nan)
        some = self.n > 0
        at = (self.n[some] - 1) * probability
        low = np.floor(at + 4 * np.finfo(np.float64).eps)
        share = at - low
        share[np.abs(share) < 1e-12] = 0.0
        first = self.starts[some] + low.astype(np.int64)
        last = self.starts[some] + self.n[some].astype(np.int64) - 1
        below, above = self.ordered[first], self.ordered[np.minimum(first + 1, last)]
        with np.errstate(invalid="ignore"):
            found[some] = np.where(share > 0, (1 - share) * below + share * above, below)
        return found

    @functools.cached_property
    def median(self) -> FloatArray:
        """The medians."""
        return self.quantile(0.5)

    @functools.cached_property
    def mad(self) -> FloatArray:
        """The median absolute deviations from the median, times 1.4826."""
        with np.errstate(invalid="ignore"):
            distances = np.abs(self.values - self.median[self.codes])
        # The distance of an infinite value from an infinite median is not a number, and then neither is the result.
        lost = self.sums(np.isnan(distances).astype(np.float64)) > 0
        distances[np.isnan(distances)] = 0.0
        found = MAD_CONSTANT * GroupedColumn(distances, self.codes, self.n_groups).median
        found[lost] = np.nan
        return found

    def trimmed(self, trim: float) -> FloatArray:
        """Return the means without the share `trim` of the values at each end; the median from a half on."""
        if trim >= 0.5:
            return self.median
        if trim == 0:
            return self.mean
        counts = self.n.astype(np.int64)
        cut = np.floor(self.n * trim).astype(np.int64)
        codes = np.repeat(np.arange(self.n_groups), counts)
        rank = np.arange(len(codes)) - self.starts[codes]
        inner = (rank >= cut[codes]) & (rank < (counts - cut)[codes])
        return GroupedColumn(self.ordered[inner], codes[inner], self.n_groups).mean

    @functools.cached_property
    def minimum(self) -> FloatArray:
        """The smallest values, NaN for empty groups."""
        return self._extreme(np.minimum, np.inf)

    @functools.cached_property
    def maximum(self) -> FloatArray:
        """The largest values, NaN for empty groups."""
        return self._extreme(np.maximum, -np.inf)

    def _extreme(self, better: np.ufunc, start: float) -> FloatArray:
        found = np.full(self.n_groups, start)
        if self.n_groups == 1:
            if len(self.values):
                found[0] = better.reduce(self.values)
        else:
            better.at(found, self.codes, self.values)
        found[self.n == 0] = np.nan
        return found

    def skew(self, kind: int) -> FloatArray:
        """Return the skewness: g₁, G₁ or b₁ of Joanes and Gill (1998) for kinds 1, 2 and 3."""
        n = self.n
        with np.errstate(invalid="ignore", divide="ignore"):
            g1 = self.sums(self.deviations**3) / n / (self.sum_of_squares / n) ** 1.5
            if kind == 2:
                g1 = np.where(n > 2, g1 * np.sqrt(n * (n - 1)) / (n - 2), np.nan)
            elif kind == 3:
                g1 = g1 * (1 - 1 / n) ** 1.5
        return np.where(n > 1, g1, np.nan)

    def kurtosis(self, kind: int) -> FloatArray:
        """Return the excess kurtosis: g₂, G₂ or b₂ of Joanes and Gill (1998) for kinds 1, 2 and 3."""
        n = self.n
        with np.errstate(invalid="ignore", divide="ignore"):
            g2 = self.sums(self.deviations**4) / n / (self.sum_of_squares / n) ** 2 - 3
            if kind == 2:
                g2 = np.where(n > 3, ((n + 1) * g2 + 6) * (n - 1) / ((n - 2) * (n - 3)), np.nan)
            elif kind == 3:
                g2 = (g2 + 3) * (1 - 1 / n) ** 2 - 3
        return np.where(n > 1, g2, np.nan)

    @functools.cached_property
    def std_error(self) -> FloatArray:
        """The standard errors of the means."""
        with np.errstate(invalid="ignore", divide="ignore"):
            error: FloatArray = np.sqrt(self.variance / self.n)
        return error

    def half_width(self, level: float) -> FloatArray:
        """Return half the width of the t intervals of the means."""
        from scipy.special import stdtrit

        df = np.where(self.n > 1, self.n - 1, np.nan)
        width: FloatArray = stdtrit(df, 0.5 + level / 2) * self.std_error
        return width


Statistic = Callable[[GroupedColumn], FloatArray]

STATISTICS: dict[str, Statistic] = {
    "n": lambda column: column.n,
    "missing": lambda column: column.missing.astype(np.float64),
    "sum": lambda column: column.sums(column.values),
    "mean": lambda column: column.mean,
    "sd": lambda column: np.sqrt(column.variance),
    "var": lambda column: column.variance,
    "se": lambda column: column.std_error,
    "median": lambda column: column.median,
    "mad": lambda column: column.mad,
    "min": lambda column: column.minimum,
    "max": lambda column: column.maximum,
    "range": lambda column: column.maximum - column.minimum,
    "iqr": lambda column: column.quantile(0.75) - column.quantile(0.25),
    "skew": lambda column: column.skew(3),
    "kurtosis": lambda column: column.kurtosis(3),
    "conf_low": lambda column: column.mean - column.half_width(0.95),
    "conf_high": lambda column: column.mean + column.half_width(0.95),
}
"""The statistics that have names. ``"q0.9"`` and the like are quantiles besides."""

COUNTS = frozenset({"n", "missing"})


def statistic(name: str) -> Statistic:
    """Return the statistic of a name.

    Raises
    ------
    ControlError
        If there is no such statistic.
    """
    if name in STATISTICS:
        return STATISTICS[name]
    if name.startswith("q"):
        try:
            probability = float(name[1:])
        except ValueError:
            probability = np.nan
        if 0 <= probability <= 1:
            return lambda column: column.quantile(probability)
    raise ControlError(
        f"There is no statistic {name!r}; there are {', '.join(STATISTICS)}, quantiles such as 'q0.9', and your own functions."
    )
