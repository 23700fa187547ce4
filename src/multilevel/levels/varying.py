"""At which level variables vary, and whether predictors mix what lies within clusters with what lies between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.descriptives.groups import (
    Groups,
    as_names,
    first_rows,
    is_countable,
    numbers_of,
    numeric_columns,
)
from multilevel.descriptives.one_way import one_way
from multilevel.descriptives.statistics import GroupedColumn
from multilevel.descriptives.table import FrameTable, fixed_cells, p_cells
from multilevel.errors import DataError
from multilevel.levels.nesting import grouping_factors, say_missing_factors
from multilevel.reporting.tables import Table

BoolArray = npt.NDArray[np.bool_]

_MOSTLY = 0.9
"""From this share on a variable is said to vary mostly between the groups."""

_FEW = 0.1
"""Up to this share of groups within which a variable varies, their number is said: often a slip in the data."""


@dataclass(frozen=True, eq=False, repr=False)
class VariableLevels(FrameTable):
    """At which level each variable varies: what `variable_levels` returns.

    Attributes
    ----------
    title : str
        What is shown.
    notes : tuple of str
        What a reader should know.
    sentences : mapping of str to str
        For each variable, where it varies, in words.
    """

    sentences: dict[str, str]

    def _tables(self) -> list[Table]:
        rows = tuple((name, sentence) for name, sentence in self.sentences.items())
        return [Table(self.title, ("variable", "varies"), rows, labels=2)]


@dataclass(frozen=True, eq=False, repr=False)
class HeterogeneityCheck(FrameTable):
    """Which predictors vary both within and between clusters: what `check_heterogeneity_bias` returns.

    Attributes
    ----------
    title : str
        What is shown.
    notes : tuple of str
        The verdict, and what to do.
    predictors : tuple of str
        The predictors concerned.
    """

    predictors: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether any predictor is concerned."""
        return bool(self.predictors)

    def _tables(self) -> list[Table]:
        frame = self._frame
        verdicts = [["yes" if value else "no" for value in frame[name]] for name in ("between", "within")]
        columns = [frame["variable"].tolist(), frame["level"].tolist(), *verdicts]
        columns += [
            fixed_cells(frame["icc1"].tolist(), 3),
            fixed_cells(frame["statistic"].tolist(), 2),
            p_cells(frame["p_value"].tolist()),
        ]
        heads = ("variable", "level", "varies between", "varies within", "icc1", "statistic", "p_value")
        return [Table(self.title, heads, tuple(zip(*columns, strict=True)), labels=2)]


@checked
def variable_levels(
    frame: Any, by: str | int | Iterable[str | int], columns: str | int | Iterable[str | int] | None = None
) -> VariableLevels:
    """Find the level at which each variable varies: constant within which grouping factors, and how much lies between.

    Parameters
    ----------
    frame : data frame
        The data.
    by : str or iterable of str
        The grouping factor, several, or nested ones joined by slashes, outermost first.
    columns : str or iterable of str, optional
        The variables, of any type; all but the grouping ones where none is named.

    Returns
    -------
    VariableLevels
        One row per variable: ``variable``; ``n_values``, how many different values it has; ``level``, the factor with fewest levels
        within which it is constant, ``"rows"`` where there is none, ``"constant"`` where it never varies; and for each
        factor ``<factor>_varying``, the number of groups within which it varies, and ``<factor>_icc``, the share of its variance
        that lies between them (ICC(1); NaN for text and dates). Missing values are left out.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataError
        If there is no variable.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.variable_levels(ml.load_dataset("Pastes"), by="batch/cask"))
    Levels of 2 variables by batch, batch:cask
    <BLANKLINE>
    variable varies
    strength mostly between batch:cask: 31% of its variance lies between batch, 94% between batch:cask
    sample   between batch:cask only
    """
    import pandas as pd

    data = Frame(frame)
    factors = grouping_factors(data, by)
    say_missing_factors(factors)
    used = {name for groups in factors for name in groups.names}
    names = [name for name in data.columns if name not in used] if columns is None else as_names(columns, data)
    if not names:
        raise DataError("There is no variable besides the grouping factors.")
    rows = []
    sentences = {}
    for name in names:
        column = data.column(name)
        codes, present, n_values = _coded(column)
        row: dict[str, Any] = {"variable": name, "n_values": n_values, "level": ""}
        constant = []
        for groups in factors:
            varying = _varying(codes, present, groups)
            row[f"{groups.label}_varying"] = varying
            row[f"{groups.label}_icc"] = _share(column, groups)
            constant += [groups] if varying == 0 else []
        if n_values <= 1:
            row["level"] = "constant"
        else:
            row["level"] = min(constant, key=lambda groups: groups.n_groups).label if constant else "rows"
        rows.append(row)
        sentences[name] = _sentence(row, factors)
    title = f"Levels of {len(names)} variable{'s' if len(names) > 1 else ''} by {', '.join(g.label for g in factors)}"
    return VariableLevels(title, (), pd.DataFrame(rows), sentences)


def _coded(column: Column) -> tuple[npt.NDArray[Any], BoolArray, int]:
    """Return values of a column that can be compared, which rows have one, and how many different ones there are."""
    values = column.values
    if isinstance(values, Factor):
        return values.codes, values.codes >= 0, values.drop_unused().n_levels
    if is_countable(column):
        numbers = numbers_of(column)
        present = ~np.isnan(numbers)
        return numbers, present, len(np.unique(numbers[present]))
    codes = column.as_factor().codes
    return codes, codes >= 0, len(np.unique(codes[codes >= 0]))


def _varying(codes: npt.NDArray[Any], present: BoolArray, groups: Groups) -> int:
    """Count the groups in which not all rows have the same value."""
    first = first_rows(groups.codes, groups.n_groups, present)
    rows = present & (groups.codes >= 0)
    where = groups.codes[rows]
    differs = codes[rows] != codes[first[where]]
    return len(np.unique(where[differs]))


def _share(column: Column, groups: Groups) -> float:
    """Return ICC(1) of a numeric column."""
    if not is_countable(column):
        return np.nan
    return one_way(GroupedColumn(numbers_of(column), groups.codes, groups.n_groups)).icc1


def _sentence(row: dict[str, Any], factors: list[Groups]) -> str:
    """Say where a variable varies."""
    if row["n_values"] == 0:
        return "nowhere: it has no value"
    if row["level"] == "constant":
        return "nowhere: it is constant"
    if row["level"] != "rows":
        return f"between {row['level']} only"
    details: list[str] = []
    mostly = ""
    for groups in factors:
        label = groups.label
        share = max(row[f"{label}_icc"], 0.0)
        if not np.isnan(share):
            percent = f"{100 * share:.{1 if 0 < share < 0.01 else 0}f}%"
            details.append(f"{percent} {'' if details else 'of its variance lies '}between {label}")
            mostly = mostly or (label if share >= _MOSTLY else "")
        varying = row[f"{label}_varying"]
        if varying <= _FEW * groups.n_groups:
            details.append(f"within {varying} of {groups.n_groups} {label} only")
    inside = f" within {factors[0].label}" if len(factors) == 1 else ""
    place = f"mostly between {mostly}" if mostly else f"between rows{inside}"
    return f"{place}: {', '.join(details)}" if details else place


@checked
def check_heterogeneity_bias(
    frame: Any, columns: str | int | Iterable[str | int] | None, by: str | int | Iterable[str | int]
) -> HeterogeneityCheck:
    """Find the predictors that vary both within clusters and between them, as R's ``performance::check_heterogeneity_bias``.

    One coefficient for such a predictor mixes its effect within clusters with its effect between them, and is biased for
    either where they differ (Bell and Jones 2015). `demean` gives each its own.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str or None
        The predictors; None for all numeric columns but the grouping ones.
    by : str or iterable of str
        The grouping factor, several, or nested ones joined by slashes, outermost first.

    Returns
    -------
    HeterogeneityCheck
        ``predictors`` are those concerned. ``to_frame()`` has a row for each predictor and factor: ``variable``, ``level``,
        ``between`` and ``within`` (whether it varies there), ``icc1``, and the F test of differences between the clusters'
        means, ``statistic``, ``df_numerator``, ``df_denominator``, ``p_value``. Means of clusters always differ a little by
        chance: the test tells whether they differ by more.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    References
    ----------
    Bell, A. and Jones, K. (2015). Explaining fixed effects: random effects modeling of time-series cross-sectional and panel data.
    Political Science Research and Methods 3, 133-153.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.check_heterogeneity_bias(ml.load_dataset("sleepstudy"), ["Days"], by="Subject"))
    Heterogeneity bias by Subject
    <BLANKLINE>
    variable level   varies between varies within   icc1 statistic p_value
    Days     Subject             no           yes -0.111      0.00       1
    <BLANKLINE>
    No predictor varies both within and between clusters.
    """
    import pandas as pd

    data = Frame(frame)
    factors = grouping_factors(data, by)
    say_missing_factors(factors)
    used = sorted({name for groups in factors for name in groups.names})
    rows = []
    for name, values in numeric_columns(data, columns, without=used).items():
        for groups in factors:
            column = GroupedColumn(values, groups.codes, groups.n_groups)
            way = one_way(column)
            spread = float(np.nanmax(column.mean)) - float(np.nanmin(column.mean)) if way.n else 0.0
            size = float(np.abs(column.values).max(initial=0.0))
            rows.append(
                {
                    "variable": name,
                    "level": groups.label,
                    "between": way.sum_between > 0 and spread > 1e-12 * size,
                    "within": way.sum_within > 0,
                    "icc1": way.icc1,
                    "statistic": way.statistic,
                    "df_numerator": way.df_between,
                    "df_denominator": way.df_within,
                    "p_value": way.p_value,
                }
            )
    found = pd.DataFrame(rows)
    concerned = tuple(dict.fromkeys(found.loc[found["between"] & found["within"], "variable"]))
    if concerned:
        note = (
            f"Possible heterogeneity bias: {', '.join(concerned)} {'varies' if len(concerned) == 1 else 'vary'} within and "
            "between clusters. demean() separates the two parts."
        )
    else:
        note = "No predictor varies both within and between clusters."
    return HeterogeneityCheck(f"Heterogeneity bias by {', '.join(g.label for g in factors)}", (note,), found, concerned)
