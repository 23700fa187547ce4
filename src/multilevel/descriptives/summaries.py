"""Statistics of columns in every group, as a table with one row per group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked
from multilevel.data.frames import Frame
from multilevel.descriptives.groups import groups_of, numeric_columns, say_missing_groups
from multilevel.descriptives.statistics import COUNTS, GroupedColumn, Statistic, statistic
from multilevel.descriptives.table import FrameTable, frame_table
from multilevel.errors import ControlError, DataError, DataTypeError

if TYPE_CHECKING:
    from multilevel.reporting.tables import Table

Summariser = str | Callable[[Any], Any]


@dataclass(frozen=True, eq=False, repr=False)
class GroupSummary(FrameTable):
    """One row per group: what `group_summary` returns.

    Attributes
    ----------
    title : str
        What is summarised.
    notes : tuple of str
        What a reader should know.
    by : tuple of str
        The grouping columns.
    """

    by: tuple[str, ...] = ()

    def _tables(self) -> list[Table]:
        return [frame_table(self._frame, self.title, labels=len(self.by))]


@checked
def group_summary(
    frame: Any,
    by: str | int | Iterable[str | int],
    columns: str | int | Iterable[str | int] | None = None,
    statistics: Summariser | Sequence[Summariser] | Mapping[str, Summariser] = ("n", "mean", "sd"),
) -> GroupSummary:
    """Summarise columns in each group, as ``group_by`` and ``summarise`` of R's tidyverse.

    Missing values are left out column by column; ``"n"`` counts what is left. No loop runs over the groups unless a function
    of your own is to be called.

    Parameters
    ----------
    frame : data frame
        The data.
    by : str or iterable of str
        The column that makes the groups, or several, whose combinations make them.
    columns : str or iterable of str, optional
        The columns summarised; all numeric ones but the grouping ones where none is named.
    statistics : str, callable, sequence or mapping
        What is computed: ``"n"``, ``"missing"``, ``"sum"``, ``"mean"``, ``"sd"``, ``"var"``, ``"se"``, ``"median"``,
        ``"mad"``, ``"min"``, ``"max"``, ``"range"``, ``"iqr"``, ``"skew"``, ``"kurtosis"``, ``"conf_low"`` and
        ``"conf_high"`` (95% t interval of the mean), quantiles such as ``"q0.9"``, or functions that take an array of the
        group's values and return a number; they are not called for a group without a value, which has NaN. A mapping gives
        them names.

    Returns
    -------
    GroupSummary
        One row per group: the grouping columns, ``n_rows``, and a column ``<column>_<statistic>`` for each statistic of each
        column.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    ControlError
        If there is no such statistic.
    DataError
        If a function does not return one number.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.group_summary(ml.load_dataset("Pastes"), "cask", "strength", ["mean", "sd", "max"]))
    strength by cask: 3 groups
    <BLANKLINE>
    cask n_rows strength_mean strength_sd strength_max
    a        20         59.30        3.17        64.90
    b        20         60.15        3.42        66.00
    c        20         60.72        3.12        65.40
    """
    import pandas as pd

    data = Frame(frame)
    wanted = _wanted(statistics)
    groups = groups_of(data, by)
    say_missing_groups(groups)
    values = numeric_columns(data, columns, without=groups.names)
    taken: dict[str, Any] = dict(zip(groups.names, groups.keys, strict=True))
    taken["n_rows"] = groups.sizes()
    for name, numbers in values.items():
        column = GroupedColumn(numbers, groups.codes, groups.n_groups)
        for label, compute in wanted.items():
            found = compute(column)
            key = f"{name}_{label}"
            if key in taken:
                raise DataError(f"Two columns of the result would be named {key!r}; give the statistics other names.")
            taken[key] = found.astype(np.int64) if label in COUNTS else found
    what = ", ".join(values) if len(values) <= 3 else f"{len(values)} columns"
    title = f"{what} by {' and '.join(groups.names)}: {groups.n_groups} groups"
    unseen = groups.unseen()
    return GroupSummary(title, (unseen,) if unseen else (), pd.DataFrame(taken), groups.names)


def _wanted(statistics: Summariser | Sequence[Summariser] | Mapping[str, Summariser]) -> dict[str, Statistic]:
    """Return what is computed, by the name it has in the result."""
    if isinstance(statistics, str) or callable(statistics):
        statistics = [statistics]
    named = statistics if isinstance(statistics, Mapping) else {_name(each): each for each in statistics}
    if not named:
        raise ControlError("statistics must name at least one statistic.")
    if not isinstance(statistics, Mapping) and len(named) < len(statistics):
        raise ControlError("Two of the statistics have the same name; give them as a mapping of names to functions.")
    return {label: statistic(each) if isinstance(each, str) else _own(label, each) for label, each in named.items()}


def _name(each: Summariser) -> str:
    if isinstance(each, str):
        return each
    if not callable(each):
        raise DataTypeError(f"A statistic is a name or a function, not {each!r}.")
    return str(getattr(each, "__name__", "")).strip("<>") or type(each).__name__


def _own(label: str, function: Callable[[Any], Any]) -> Statistic:
    """Call a function on the values of each group, in the order of the rows."""
    if not callable(function):
        raise DataTypeError(f"The statistic {label!r} is a name or a function, not {function!r}.")

    def compute(column: GroupedColumn) -> np.ndarray[Any, np.dtype[np.float64]]:
        order = np.argsort(column.codes, kind="stable")
        parts = np.split(column.values[order], column.starts[1:])
        results = [function(part) if len(part) else np.nan for part in parts]
        try:
            found = np.array(results, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"The statistic {label!r} must return one number for each group.") from error
        if found.ndim != 1:
            raise DataError(f"The statistic {label!r} must return one number for each group, not an array.")
        return found

    return compute
