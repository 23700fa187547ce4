"""The intraclass correlation coefficient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multilevel.arguments import Count, Level, Seed, checked, checked_methods
from multilevel.quality.replicates import interval_of, only_with_ci, replicate_variances
from multilevel.quality.shown import Shown, decimal_cells
from multilevel.quality.variance import variance_decomposition
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

Interval = tuple[float, float]


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class IntraclassCorrelation(Shown):
    """Intraclass correlation coefficients, what `icc` returns.

    Attributes
    ----------
    adjusted : float
        Random variance over random and residual variance: the share of what the fixed effects leave.
    unadjusted : float
        Random variance over the total, that of the fixed effects included (called conditional in older versions of R's
        performance).
    by_group : dict of str to float
        The share of each grouping factor in the random and residual variance; they sum to the adjusted coefficient.
    intervals : dict
        For ``"adjusted"`` and ``"unadjusted"`` the limits; empty where none were asked for.
    group_intervals : dict
        The same for each grouping factor.
    """

    adjusted: float
    unadjusted: float
    by_group: dict[str, float]
    intervals: dict[str, Interval]
    group_intervals: dict[str, Interval]
    _show_groups: bool
    _notes: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    def to_frame(self) -> pd.DataFrame:
        """Return ``estimate``, ``conf_low`` and ``conf_high`` by coefficient; NaN where no interval was asked for."""
        import pandas as pd

        none = (math.nan, math.nan)
        rows = [
            ("adjusted", self.adjusted, *self.intervals.get("adjusted", none)),
            ("unadjusted", self.unadjusted, *self.intervals.get("unadjusted", none)),
        ]
        if self._show_groups:
            rows += [(name, value, *self.group_intervals.get(name, none)) for name, value in self.by_group.items()]
        frame = pd.DataFrame(rows, columns=["icc", "estimate", "conf_low", "conf_high"])
        return frame.set_index("icc").rename_axis(None)

    def _table(self) -> Table:
        frame = self.to_frame()
        names = ["Adjusted", "Unadjusted", *map(str, frame.index[2:])]
        columns = ["estimate", *(["conf_low", "conf_high"] if self.intervals else [])]
        cells = [decimal_cells(frame[column].tolist()) for column in columns]
        rows = tuple(zip(names, *cells, strict=True))
        return Table("Intraclass correlation coefficient", ("", "ICC", *columns[1:]), rows)


@checked
@only_with_ci
def icc(
    fit: LinearMixedModel,
    by_group: bool = False,
    ci: Level | None = None,
    *,
    n: Count = 1000,
    rng: Seed = None,
    threads: Count | None = None,
    interval: str = "percentile",
    progress: bool = False,
) -> IntraclassCorrelation:
    """Return the intraclass correlation coefficients of a model.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    by_group : bool
        Whether the table lists a coefficient for each grouping factor.
    ci : float, optional
        Confidence level of intervals from a parametric bootstrap, such as 0.95; by default there are none.
    n : int
        Number of bootstrap replicates.
    rng : int, SeedSequence or Generator, optional
        Where the random numbers come from.
    threads : int, optional
        Threads for the bootstrap; by default one for each processor.
    interval : {"percentile", "basic", "normal"}
        Which bootstrap interval.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    IntraclassCorrelation
        ``adjusted``, ``unadjusted`` and ``by_group``.

    Raises
    ------
    DataTypeError
        It is not a fitted model.
    ControlError
        The level or the interval is not one of its choices.

    Notes
    -----
    Agrees with R's ``performance::icc`` (Nakagawa, Johnson & Schielzeth 2017, J. R. Soc. Interface 14, 20170213),
    with random slopes by their mean variance (Johnson 2014), which gives the coefficients by group as well: performance has the
    intercept's variance alone there. A singular fit gives numbers and a note, not NA. Where residuals differ in variance or are
    correlated, the residual variance is its mean over the rows (see `variance_decomposition`).

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("strength ~ 1 + (1 | batch/cask)", ml.load_dataset("Pastes"))
    >>> print(ml.icc(fit, by_group=True))
    Intraclass correlation coefficient
    <BLANKLINE>
                 ICC
    Adjusted   0.937
    Unadjusted 0.937
    cask:batch 0.783
    batch      0.154
    >>> low, high = ml.icc(fit, ci=0.95, n=200, rng=1).intervals["adjusted"]
    >>> 0.8 < low < 0.937 < high < 1
    True
    """
    parts = variance_decomposition(fit)
    left = parts.random + parts.residual
    adjusted, unadjusted = parts.random / left, parts.random / parts.total
    groups = {name: value / left for name, value in parts.by_group.items()}
    intervals: dict[str, Interval] = {}
    group_intervals: dict[str, Interval] = {}
    notes = parts.notes
    if ci is not None:
        found = replicate_variances(fit, n, rng, threads, progress, interval, ci)
        random = found.all_random
        below = random + found.residual
        intervals = {
            "adjusted": interval_of(random / below, adjusted, ci, interval),
            "unadjusted": interval_of(random / (below + found.fixed), unadjusted, ci, interval),
        }
        group_intervals = {
            name: interval_of(values / below, groups[name], ci, interval) for name, values in found.random.items()
        }
        notes = (*notes, found.note)
    return IntraclassCorrelation(adjusted, unadjusted, groups, intervals, group_intervals, by_group, notes)
