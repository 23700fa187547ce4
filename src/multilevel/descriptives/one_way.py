"""The one-way analysis of variance of a column: how much of it lies between groups and how much within."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multilevel.descriptives.statistics import GroupedColumn


@dataclass(frozen=True, slots=True)
class OneWay:
    """The one-way analysis of variance of one column by one grouping factor.

    Attributes
    ----------
    n : int
        The number of values.
    n_groups : int
        The number of groups with a value.
    group_size : float
        n₀, the mean group size less what unequal sizes cost: (N - Σnᵢ²/N)/(k - 1).
    sum_between, sum_within : float
        The sums of squares.
    """

    n: int
    n_groups: int
    group_size: float
    sum_between: float
    sum_within: float

    @property
    def df_between(self) -> int:
        """Degrees of freedom between groups."""
        return self.n_groups - 1

    @property
    def df_within(self) -> int:
        """Degrees of freedom within groups."""
        return self.n - self.n_groups

    @property
    def mean_square_between(self) -> float:
        """The mean square between groups."""
        return self.sum_between / self.df_between if self.df_between > 0 else np.nan

    @property
    def mean_square_within(self) -> float:
        """The mean square within groups."""
        return self.sum_within / self.df_within if self.df_within > 0 else np.nan

    @property
    def variance_between(self) -> float:
        """The variance between groups; negative where the means vary less than chance alone would have them."""
        return (self.mean_square_between - self.mean_square_within) / self.group_size

    @property
    def icc1(self) -> float:
        """ICC(1), the share of the variance that lies between groups."""
        total = self.variance_between + self.mean_square_within
        return self.variance_between / total if total != 0 else np.nan

    @property
    def icc2(self) -> float:
        """ICC(2), the reliability of a group's mean."""
        between = self.mean_square_between
        return (between - self.mean_square_within) / between if between != 0 else np.nan

    @property
    def statistic(self) -> float:
        """The F statistic; infinite where nothing varies within the groups."""
        if self.mean_square_within == 0:
            return np.inf if self.mean_square_between > 0 else np.nan
        return self.mean_square_between / self.mean_square_within

    @property
    def p_value(self) -> float:
        """The p-value of the hypothesis that the groups have one mean."""
        from scipy.special import fdtrc

        if np.isnan(self.statistic):
            return np.nan
        return float(fdtrc(self.df_between, self.df_within, self.statistic))


def one_way(column: GroupedColumn) -> OneWay:
    """Return the one-way analysis of variance of a column by its groups.

    Parameters
    ----------
    column : GroupedColumn
        The values and their groups; groups without a value do not count.

    Returns
    -------
    OneWay
        The sums of squares and what follows from them.
    """
    sizes = column.n[column.n > 0]
    n, k = float(sizes.sum()), len(sizes)
    group_size = (n - float((sizes**2).sum()) / n) / (k - 1) if k > 1 else np.nan
    means = column.mean[column.n > 0]
    grand = float((sizes * means).sum() / n) if n else np.nan
    # What is constant within every group is so to the last bit; rounding must not make it vary.
    constant = column.minimum == column.maximum
    within = np.where(constant, 0.0, column.sum_of_squares)[column.n > 0]
    between = sizes * (means - grand) ** 2
    if k and float(np.nanmax(column.maximum)) == float(np.nanmin(column.minimum)):
        between = np.zeros(k)
    return OneWay(int(n), k, group_size, float(between.sum()), float(within.sum()))
