"""Descriptive statistics of columns, of all rows or by group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.data.levels import level_text
from multilevel.descriptives.groups import Groups, as_names, groups_of, is_countable, numbers_of, say_missing_groups
from multilevel.descriptives.statistics import GroupedColumn
from multilevel.descriptives.table import FrameTable, fixed, fixed_cells, frame_table
from multilevel.errors import ControlError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.reporting.cells import Number
    from multilevel.reporting.tables import Table

FloatArray = npt.NDArray[np.float64]
Factors = Literal["codes", "counts", "omit"]

_STAR = (
    "A column with * holds categories: its numbers are those of the level codes 1, 2, …, in the order of the levels."
)
_SHAPE = frozenset({"skew", "kurtosis"})
_WHOLE = frozenset({"vars", "n", "missing"})


@dataclass(frozen=True, eq=False, repr=False)
class Description(FrameTable):
    """Descriptive statistics: what `describe` and `describe_by` return.

    Attributes
    ----------
    title : str
        How much data there is.
    notes : tuple of str
        What a reader should know.
    counts : pandas.DataFrame or None
        With ``factors="counts"``, how often each level of each categorical column occurs: columns ``variable``,
        ``level``, ``n``, ``percent``, and those of the groups before them.
    by : tuple of str
        The grouping columns.
    """

    counts: pd.DataFrame | None = None
    by: tuple[str, ...] = ()

    def _tables(self) -> list[Table]:
        tables = []
        if len(self._frame):
            tables.append(_layout(self._frame, self.title, self.by))
        if self.counts is not None and len(self.counts):
            tables.append(frame_table(self.counts, "Counts", labels=len(self.by) + 2, decimals=1))
        return tables


@checked
def describe(
    frame: Any,
    columns: str | int | Iterable[str | int] | None = None,
    *,
    trim: float = 0.1,
    skew_type: int = 3,
    quantiles: Sequence[float] | None = None,
    iqr: bool = False,
    factors: Factors = "codes",
) -> Description:
    """Describe columns by the statistics of R's ``psych::describe``.

    Missing values are left out column by column, and counted.

    Parameters
    ----------
    frame : data frame
        The data: pandas, polars, pyarrow or any other frame that narwhals knows, or a mapping of names to arrays.
    columns : str or iterable of str, optional
        The columns; all where none is named, except dates.
    trim : float, default 0.1
        The share of the values cut off at each end for the trimmed mean.
    skew_type : {3, 1, 2}
        Which skewness and kurtosis: 1 is g₁ and g₂, 2 is G₁ and G₂ (SAS, SPSS), 3 is b₁ and b₂, after Joanes and Gill (1998).
    quantiles : sequence of float, optional
        Probabilities of quantiles to add (R's type 7), in columns ``Q0.25`` and so on.
    iqr : bool, default False
        Whether to add the interquartile range.
    factors : {"codes", "counts", "omit"}
        What becomes of text and categories: described by their level codes and marked with a star, counted in a table of
        their own, or left out.

    Returns
    -------
    Description
        One row per column, indexed by its name: ``vars`` (its position), ``n``, ``mean``, ``sd``, ``median``,
        ``trimmed``, ``mad`` (times 1.4826), ``min``, ``max``, ``range``, ``skew``, ``kurtosis``, ``se``, ``missing``. What is
        not defined is NaN. Truth values count as 0 and 1.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    ControlError
        If an option is none of its choices.
    DataError
        If nothing is left to describe.

    Notes
    -----
    Agrees with psych 2.2.9, except for the kurtosis of type 1 of a column with missing values, where psych takes the number of
    rows for the number of values, and for truth values, which it cannot describe.

    References
    ----------
    Joanes, D. N. and Gill, C. A. (1998). Comparing measures of sample skewness and kurtosis. The Statistician 47, 183-189.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.describe(ml.load_dataset("sleepstudy")))
    180 rows, 3 columns
    <BLANKLINE>
             vars   n   mean    sd median trimmed   mad    min    max  range skew kurtosis   se
    Reaction    1 180 298.51 56.33 288.65  295.17 59.34 194.33 466.35 272.02 0.58     0.03 4.20
    Days        2 180   4.50  2.88   4.50    4.50  3.71   0.00   9.00   9.00 0.00    -1.24 0.21
    Subject*    3 180   9.50  5.20   9.50    9.50  6.67   1.00  18.00  17.00 0.00    -1.23 0.39
    <BLANKLINE>
    A column with * holds categories: its numbers are those of the level codes 1, 2, …, in the order of the
    levels.
    """
    data = Frame(frame)
    options = _Options(trim, skew_type, quantiles, iqr, factors)
    chosen, notes = _chosen(data, columns, (), factors)
    title = f"{data.n_rows} rows, {len(chosen)} column{'s' if len(chosen) != 1 else ''}"
    return _described(chosen, None, options, title, notes)


@checked
def describe_by(
    frame: Any,
    by: str | int | Iterable[str | int],
    columns: str | int | Iterable[str | int] | None = None,
    *,
    trim: float = 0.1,
    skew_type: int = 3,
    quantiles: Sequence[float] | None = None,
    iqr: bool = False,
    factors: Factors = "codes",
) -> Description:
    """Describe columns in each group, as R's ``psych::describeBy`` with ``mat=TRUE``.

    Parameters
    ----------
    frame : data frame
        The data.
    by : str or iterable of str
        The column that makes the groups, or several, whose combinations make them.
    columns : str or iterable of str, optional
        The columns described; all but the grouping ones where none is named.
    trim, skew_type, quantiles, iqr, factors
        As in `describe`.

    Returns
    -------
    Description
        One row per column and group, the groups of a column together: the grouping columns, ``variable``, and the
        statistics of `describe`. Combinations that do not occur are named in a note.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    ControlError
        If an option is none of its choices.
    DataError
        If nothing is left to describe.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.describe_by(ml.load_dataset("cake"), "recipe", "angle"))
    angle by recipe: 270 rows, 3 groups
    <BLANKLINE>
    recipe variable vars  n  mean   sd median trimmed  mad   min   max range skew kurtosis   se
    A      angle       1 90 33.12 7.49  32.00   32.47 7.41 22.00 57.00 35.00 0.78     0.18 0.79
    B      angle       1 90 31.64 8.40  30.00   30.67 7.41 19.00 61.00 42.00 1.10     1.15 0.89
    C      angle       1 90 31.60 8.70  30.00   30.81 7.41 18.00 63.00 45.00 0.99     1.04 0.92
    """
    data = Frame(frame)
    options = _Options(trim, skew_type, quantiles, iqr, factors)
    groups = groups_of(data, by)
    say_missing_groups(groups)
    chosen, notes = _chosen(data, columns, groups.names, factors)
    what = ", ".join(column.name for column in chosen) if len(chosen) <= 3 else f"{len(chosen)} columns"
    title = f"{what} by {' and '.join(groups.names)}: {data.n_rows} rows, {groups.n_groups} groups"
    unseen = groups.unseen()
    return _described(chosen, groups, options, title, [*notes, unseen] if unseen else notes)


@dataclass(frozen=True, slots=True)
class _Options:
    trim: float
    skew_type: int
    quantiles: Sequence[float] | None
    iqr: bool
    factors: str

    def __post_init__(self) -> None:
        if not 0 <= self.trim <= 0.5:
            raise ControlError(f"trim must be a share between 0 and 0.5, not {self.trim!r}.")
        if self.skew_type not in (1, 2, 3):
            raise ControlError(f"skew_type must be 1, 2 or 3, not {self.skew_type!r}.")
        if self.factors not in ("codes", "counts", "omit"):
            raise ControlError(f"factors must be 'codes', 'counts' or 'omit', not {self.factors!r}.")
        for probability in self.quantiles or ():
            if not 0 <= probability <= 1:
                raise ControlError(f"quantiles must be probabilities between 0 and 1, not {probability!r}.")

    def statistics(self, column: GroupedColumn) -> dict[str, FloatArray]:
        """Return every statistic of a column, by its name and in order."""
        found = {
            "n": column.n,
            "mean": column.mean,
            "sd": np.sqrt(column.variance),
            "median": column.median,
            "trimmed": column.trimmed(self.trim),
            "mad": column.mad,
            "min": column.minimum,
            "max": column.maximum,
            "range": column.maximum - column.minimum,
            "skew": column.skew(self.skew_type),
            "kurtosis": column.kurtosis(self.skew_type),
            "se": column.std_error,
        }
        if self.iqr:
            found["IQR"] = column.quantile(0.75) - column.quantile(0.25)
        for probability in self.quantiles or ():
            found[f"Q{probability:g}"] = column.quantile(probability)
        found["missing"] = column.missing.astype(np.float64)
        return found


def _chosen(
    data: Frame, columns: str | int | Iterable[str | int] | None, without: Sequence[str], factors: str
) -> tuple[list[Column], list[str]]:
    """Return the columns that are described, and what is said of those that are not."""
    names = [name for name in data.columns if name not in without] if columns is None else as_names(columns, data)
    found = [data.column(name) for name in names]
    dates = [column.name for column in found if not isinstance(column.values, Factor) and not is_countable(column)]
    if columns is not None and dates:
        numbers_of(next(column for column in found if column.name in dates))  # says what is wrong
    notes = [f"Left out, since they hold dates: {', '.join(dates)}."] if dates else []
    found = [column for column in found if column.name not in dates]
    if factors == "omit":
        gone = [column.name for column in found if isinstance(column.values, Factor)]
        notes += [f"Left out, since they hold text or categories: {', '.join(gone)}."] if gone else []
        found = [column for column in found if column.name not in gone]
    if not found:
        raise DataError("There is no column to describe." + "".join(f" {note}" for note in notes))
    return found, notes


def _described(
    chosen: list[Column], groups: Groups | None, options: _Options, title: str, notes: list[str]
) -> Description:
    import pandas as pd

    codes, n_groups = (None, 1) if groups is None else (groups.codes, groups.n_groups)
    parts = []
    counted = []
    starred = False
    for at, column in enumerate(chosen):
        name = column.name
        if isinstance(column.values, Factor):
            if options.factors == "counts":
                counted.append(_counts(name, column.values, groups))
                continue
            numbers = np.where(column.values.codes < 0, np.nan, column.values.codes + 1.0)
            name, starred = f"{name}*", True
        else:
            numbers = numbers_of(column)
        statistics = options.statistics(GroupedColumn(numbers, codes, n_groups))
        keys = {} if groups is None else dict(zip(groups.names, groups.keys, strict=True))
        part = pd.DataFrame({**keys, "variable": name, "vars": at + 1, **statistics})
        parts.append(part.astype({"n": np.int64, "missing": np.int64}))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if groups is None and parts:
        frame = frame.set_index("variable")
        frame.index.name = None
    counts = pd.concat(counted, ignore_index=True) if counted else None
    if starred:
        notes = [*notes, _STAR]
    return Description(title, tuple(notes), frame, counts, () if groups is None else groups.names)


def _counts(name: str, factor: Factor, groups: Groups | None) -> pd.DataFrame:
    """Count the levels of a categorical column, in each group; a last row counts what is missing."""
    import pandas as pd

    levels = [*factor.levels.names, None] if factor.has_missing else list(factor.levels.names)
    width = len(levels)
    codes = np.where(factor.codes < 0, factor.n_levels, factor.codes)
    n_groups = 1
    if groups is not None:
        n_groups = groups.n_groups
        codes = (groups.codes.astype(np.int64) * width + codes)[groups.codes >= 0]
    table = np.bincount(codes, minlength=n_groups * width).reshape(n_groups, width)
    known = table[:, : factor.n_levels].sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = 100 * table / known
    percent[:, factor.n_levels :] = np.nan
    keys = {} if groups is None else {g: np.repeat(k, width) for g, k in zip(groups.names, groups.keys, strict=True)}
    shown = np.tile(np.array([level if level is not None else "(missing)" for level in levels], dtype=object), n_groups)
    return pd.DataFrame({**keys, "variable": name, "level": shown, "n": table.ravel(), "percent": percent.ravel()})


def _layout(frame: pd.DataFrame, title: str, by: tuple[str, ...]) -> Table:
    """Lay out the statistics: decimals that suit each row, and the missing values only where there are any."""
    from multilevel.reporting.tables import Table

    shown = frame if by else frame.reset_index(names="variable")
    labels = [*by, "variable"]
    statistics = [name for name in shown.columns if name not in labels]
    if not (shown["missing"] > 0).any():
        statistics.remove("missing")
    rows = []
    for record in shown.to_dict("records"):
        sd = float(record["sd"])
        places = max(2, 1 - math.floor(math.log10(sd))) if sd > 0 and math.isfinite(sd) else 2
        cells: list[str | Number] = [level_text(record[name]) for name in labels]
        for name in statistics:
            value = float(record[name])
            wanted = 0 if name in _WHOLE else 2 if name in _SHAPE else places
            if name == "se" and value > 0 and math.isfinite(value):
                wanted = max(places, -math.floor(math.log10(value)))
            cells += [*fixed([value], 0)] if name in _WHOLE else fixed_cells([value], wanted)
        rows.append(tuple(cells))
    heads = tuple("" if name == "variable" and not by else str(name) for name in [*labels, *statistics])
    return Table(title, heads, _shortened(rows), labels=len(labels))


def _shortened(rows: list[tuple[str | Number, ...]]) -> tuple[tuple[str | Number, ...], ...]:
    """Leave out the middle of a long table."""
    from multilevel.descriptives.table import _HEAD, _ends

    kept, gap = _ends(len(rows))
    lines = [rows[at] for at in kept]
    if gap:
        lines.insert(_HEAD, (f"… {gap} more", *["…"] * (len(rows[0]) - 1)))
    return tuple(lines)
