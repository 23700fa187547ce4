"""The variance of variables by level: intraclass correlations, reliabilities and design effects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.frames import Frame
from multilevel.descriptives.groups import Groups, numeric_columns
from multilevel.descriptives.one_way import one_way
from multilevel.descriptives.statistics import GroupedColumn
from multilevel.descriptives.table import FrameTable, cells_of, fixed_cells, p_cells
from multilevel.levels.nesting import grouping_factors, say_missing_factors
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
Estimator = Literal["anova", "reml"]

_SHARES = frozenset({"icc1", "icc2", "share"})
_HIDDEN = frozenset({"mean_square_between", "mean_square_within", "variance_between", "variance_within", "variance"})


@dataclass(frozen=True, eq=False, repr=False)
class VarianceByLevel(FrameTable):
    """How much of each variable varies at which level: what `variance_by_level` returns.

    Attributes
    ----------
    title : str
        What is shown.
    notes : tuple of str
        What a reader should know.
    method : str
        ``"anova"`` or ``"reml"``.
    """

    method: str = "anova"

    def _tables(self) -> list[Table]:
        shown = [name for name in self._frame.columns if name not in _HIDDEN]
        columns = []
        for name in shown:
            values = self._frame[name].tolist()
            if name == "p_value":
                columns.append(p_cells(values))
            else:
                columns.append(fixed_cells(values, 3) if name in _SHARES else cells_of(values))
        return [Table(self.title, tuple(shown), tuple(zip(*columns, strict=True)), labels=2)]


@checked
def variance_by_level(
    frame: Any,
    columns: str | int | Iterable[str | int] | None,
    by: str | int | Iterable[str | int],
    *,
    method: Estimator = "anova",
) -> VarianceByLevel:
    """Split the variance of variables by level, with intraclass correlations and design effects.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str or None
        The variables; None for all numeric ones but the grouping ones.
    by : str or iterable of str
        The grouping factor, several, or nested ones joined by slashes, outermost first.
    method : {"anova", "reml"}
        Whether each factor is taken by itself, in a one-way analysis of variance; or all together, in a mixed model
        ``x ~ 1 + (1 | a) + (1 | b)`` fitted by REML.

    Returns
    -------
    VarianceByLevel
        For ``"anova"`` a row for each variable and factor: ``variable``, ``level``, ``n``, ``n_groups``, ``group_size`` (n₀ =
        (N - Σnᵢ²/N)/(k - 1)), ``sd_between``, ``sd_within``, ``icc1``, ``icc2`` (the reliability of a group's mean),
        ``design_effect`` (1 + (n₀ - 1) ICC(1)), ``statistic`` (F), ``p_value``, and the mean squares and variances. For
        ``"reml"`` a row for each variable and level, rows of the data included: ``variable``, ``level``, ``n``, ``n_groups``,
        ``sd``, ``share``, ``variance``.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.
    ControlError
        If the method is none of its choices.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    Notes
    -----
    ICC(1) = (MSB - MSW)/(MSB + (n₀ - 1) MSW) and ICC(2) = (MSB - MSW)/MSB (Shrout and Fleiss 1979; Bliese 2000). Both are negative
    where the groups' means vary less than chance would have them; the variance between is then below zero, ``sd_between`` is zero,
    and REML says zero. ``psych::statsBy`` has the plain mean of the group sizes in place of n₀: the same in balanced data.

    References
    ----------
    Donner, A. (1986). A review of inference procedures for the intraclass correlation coefficient in the one-way random effects
    model. International Statistical Review 54, 67-82.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.variance_by_level(ml.load_dataset("Dyestuff"), "Yield", by="Batch"))
    Variance by level: one-way analysis of variance
    <BLANKLINE>
    variable level  n n_groups group_size sd_between sd_within  icc1  icc2 design_effect statistic p_value
    Yield    Batch 30        6          5      42.00     49.51 0.418 0.783          2.67      4.60  0.0044
    """
    data = Frame(frame)
    factors = grouping_factors(data, by)
    say_missing_factors(factors)
    names = {name for groups in factors for name in groups.names}
    variables = numeric_columns(data, columns, without=sorted(names))
    notes = _about_missing(variables)
    if method == "reml":
        return VarianceByLevel("Variance by level: REML", notes, _by_reml(variables, factors), method)
    found, negative = _by_anova(variables, factors)
    if negative:
        notes = (*notes, f"Groups are more alike than chance would have them: {', '.join(negative)}.")
    return VarianceByLevel("Variance by level: one-way analysis of variance", notes, found, method)


def _about_missing(variables: dict[str, FloatArray]) -> tuple[str, ...]:
    counts = {name: int(np.isnan(values).sum()) for name, values in variables.items()}
    where = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
    return (f"Missing values were left out: {where}.",) if where else ()


def _by_anova(variables: dict[str, FloatArray], factors: list[Groups]) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    rows = []
    negative = []
    for name, values in variables.items():
        for groups in factors:
            way = one_way(GroupedColumn(values, groups.codes, groups.n_groups))
            if way.variance_between < 0:
                negative.append(f"{name} by {groups.label}")
            rows.append(
                {
                    "variable": name,
                    "level": groups.label,
                    "n": way.n,
                    "n_groups": way.n_groups,
                    "group_size": way.group_size,
                    "sd_between": np.sqrt(max(way.variance_between, 0.0)) if way.n_groups > 1 else np.nan,
                    "sd_within": np.sqrt(way.mean_square_within),
                    "icc1": way.icc1,
                    "icc2": way.icc2,
                    "design_effect": 1 + (way.group_size - 1) * way.icc1,
                    "statistic": way.statistic,
                    "p_value": way.p_value,
                    "mean_square_between": way.mean_square_between,
                    "mean_square_within": way.mean_square_within,
                    "variance_between": way.variance_between,
                    "variance_within": way.mean_square_within,
                }
            )
    return pd.DataFrame(rows), negative


def _by_reml(variables: dict[str, FloatArray], factors: list[Groups]) -> pd.DataFrame:
    """Fit a mixed model without predictors to each variable."""
    import pandas as pd

    from multilevel.model.lmer import lmer

    labels = [groups.label for groups in factors]
    formula = "x ~ 1" + "".join(f" + (1 | g{i})" for i in range(len(factors)))
    rows = []
    for name, values in variables.items():
        kept = ~np.isnan(values)
        for groups in factors:
            kept &= groups.codes >= 0
        data = {"x": values[kept], **{f"g{i}": groups.codes[kept] for i, groups in enumerate(factors)}}
        fit = lmer(formula, data)
        by_group = {term.group: float(term.covariance[0, 0]) for term in fit.varcorr()}
        variances = [by_group[f"g{i}"] for i in range(len(factors))] + [float(fit.sigma) ** 2]
        sizes = [len(np.unique(groups.codes[kept])) for groups in factors] + [int(kept.sum())]
        total = sum(variances)
        for label, variance, size in zip([*labels, "rows"], variances, sizes, strict=True):
            rows.append(
                {
                    "variable": name,
                    "level": label,
                    "n": int(kept.sum()),
                    "n_groups": size,
                    "sd": np.sqrt(variance),
                    "share": variance / total if total > 0 else np.nan,
                    "variance": variance,
                }
            )
    return pd.DataFrame(rows)
