"""The groups that one or several columns form, and which columns of a frame are described."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor, combine
from multilevel.data.frames import Column, Frame, column_name
from multilevel.errors import DataError, DataTypeError, MissingValuesWarning, MultilevelWarning

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_NAMED = 4
"""How many combinations that do not occur are named before only their number is given."""


MANY = 10
"""Different numbers, fractions among them, that are rarely the names of groups; and rows that are enough to tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The groups of rows that share the levels of some columns.

    Attributes
    ----------
    names : tuple of str
        The grouping columns; empty when all rows are one group.
    factor : Factor
        For each row the number of its group; -1 where a grouping column has no value.
    keys : tuple of pandas.Index
        For each grouping column, its value in each group.
    parts : tuple of Factor
        The grouping columns themselves, without levels that do not occur.
    """

    names: tuple[str, ...]
    factor: Factor
    keys: tuple[pd.Index[Any], ...]
    parts: tuple[Factor, ...]

    @property
    def n_groups(self) -> int:
        """The number of groups."""
        return self.factor.n_levels

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """For each row its group, or -1."""
        return self.factor.codes

    @property
    def label(self) -> str:
        """The names of the grouping columns, joined as in a formula."""
        return ":".join(self.names)

    def sizes(self) -> IntArray:
        """Return the number of rows in each group."""
        codes = self.codes[self.codes >= 0] if self.factor.has_missing else self.codes
        return np.bincount(codes, minlength=self.n_groups)

    def texts(self) -> list[tuple[str, ...]]:
        """Return each group's values as text."""
        first = first_rows(self.codes, self.n_groups)
        columns = ([part.levels.names[code] for code in part.codes[first].tolist()] for part in self.parts)
        return list(zip(*columns, strict=True))

    def unseen(self) -> str:
        """Say which combinations of the grouping columns do not occur; empty when all do."""
        sizes = [part.n_levels for part in self.parts]
        total = int(np.prod([float(size) for size in sizes]))
        absent = total - self.n_groups
        if len(self.parts) < 2 or absent <= 0:
            return ""
        product = " × ".join(self.names)
        said = f"{absent} of the {total} combinations of {product} {'does' if absent == 1 else 'do'} not occur"
        if absent > _NAMED or total > 10_000:
            return f"{said}."
        seen = set(self.texts())
        grid = np.indices(sizes).reshape(len(sizes), -1).T
        every = [tuple(part.levels.names[i] for part, i in zip(self.parts, at, strict=True)) for at in grid.tolist()]
        return f"{said}: {', '.join(':'.join(texts) for texts in every if texts not in seen)}."


def as_names(columns: Any, frame: Frame | None = None) -> list[str]:
    """Return one name or several as a list, each once; a number names the column of a frame whose name it is."""
    names = list(columns) if isinstance(columns, Iterable) and not isinstance(columns, str) else [columns]
    return list(dict.fromkeys(_as_name(name, frame) for name in names))


def _as_name(name: Any, frame: Frame | None) -> str:
    if isinstance(name, str):
        return name
    if frame is not None and isinstance(name, int | float | np.number) and column_name(name) in frame:
        return column_name(name)
    raise DataTypeError(f"Columns are given by their names, not by {name!r}.")


def groups_of(frame: Frame, by: str | int | Iterable[str | int]) -> Groups:
    """Return the groups that one or several columns form, in the order of their levels.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataError
        If no column is named or no row has a group.
    """
    names = as_names(by, frame)
    if not names:
        raise DataError("by must name at least one column.")
    parts = [frame.column(name).as_factor().drop_unused() for name in names]
    # FALSE and TRUE are kept as levels even where one of them does not occur, and then it is no group.
    parts = [Factor(p.codes, p.levels, has_missing=p.has_missing).drop_unused() if p.logical else p for p in parts]
    factor = combine(parts)
    if factor.n_levels == 0:
        raise DataError(f"No row has a group: {' and '.join(map(repr, names))} holds no value.")
    first = first_rows(factor.codes, factor.n_levels)
    keys = tuple(part.levels.labels().take(part.codes[first]) for part in parts)
    return Groups(tuple(names), factor, keys, tuple(parts))


def hint_of_measured_groups(frame: Frame, by: str | int | Iterable[str | int]) -> None:
    """Warn of a grouping column that reads like a measured one: the two arguments were exchanged, perhaps."""
    for name in as_names(by, frame):
        if name not in frame or not frame.column(name).is_numeric:
            continue
        column = frame.column(name)
        n_levels = column.as_factor().drop_unused().n_levels
        numbers = column.as_numbers()
        fractions = bool((numbers != np.floor(numbers))[np.isfinite(numbers)].any())
        if (fractions and n_levels > MANY) or (2 * n_levels > frame.n_rows and frame.n_rows >= MANY):
            warn_caller(
                f"by={name!r} has {n_levels} different numbers in {frame.n_rows} rows, each taken for a group; if it was"
                " measured, columns and by were exchanged.",
                MultilevelWarning,
            )


def first_rows(codes: npt.NDArray[np.int32], n_groups: int, present: npt.NDArray[np.bool_] | None = None) -> IntArray:
    """Return the first row of each group, or the first of those that are present; -1 where there is none."""
    rows = np.arange(len(codes))[::-1]
    kept = (codes >= 0 if present is None else (codes >= 0) & present)[::-1]
    first = np.full(n_groups, -1, dtype=np.int64)
    first[codes[::-1][kept]] = rows[kept]  # of several assignments to one place the last holds
    return first


def say_missing_groups(groups: Groups, consequence: str = "were left out") -> None:
    """Warn about rows whose group is not known."""
    if not groups.factor.has_missing:
        return
    counts = {name: int((part.codes < 0).sum()) for name, part in zip(groups.names, groups.parts, strict=True)}
    where = ", ".join(f"{name!r} ({count})" for name, count in counts.items() if count)
    gone = int((groups.codes < 0).sum())
    warn_caller(
        f"{gone} of {len(groups.codes)} rows {consequence} because their group is missing in {where}.",
        MissingValuesWarning,
    )


def is_countable(column: Column) -> bool:
    """Tell whether a column holds numbers, durations, which count seconds, or truth values, which count as 0 and 1."""
    return isinstance(column.values, np.ndarray) and column.values.dtype.kind in "biufm"


def numbers_of(column: Column) -> FloatArray:
    """Return a column as doubles, NaN where missing.

    Raises
    ------
    DataTypeError
        If the column holds text, categories or dates.
    """
    if not is_countable(column):
        kind = "text or categories" if isinstance(column.values, Factor) else "dates"
        raise DataTypeError(f"The column {column.name!r} holds {kind} where numbers are needed.")
    return column.as_numbers().astype(np.float64, copy=False)


def numeric_columns(
    frame: Frame, columns: str | int | Iterable[str | int] | None, *, without: Sequence[str] = (), logical: bool = True
) -> dict[str, FloatArray]:
    """Return the columns asked for as numbers; all numeric ones, in order, where none is named.

    Parameters
    ----------
    frame : Frame
        The data.
    columns : str or iterable of str, optional
        The names.
    without : sequence of str
        Columns that are not among the numeric ones unless they are named.
    logical : bool, default True
        Whether columns of truth values count as numeric where none is named.

    Returns
    -------
    dict of str to ndarray
        The columns by name.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column named does not hold numbers.
    DataError
        If there is no column.
    """
    if columns is not None:
        names = as_names(columns, frame)
        if not names:
            raise DataError("columns must name at least one column.")
        return {name: numbers_of(frame.column(name)) for name in names}
    found = {}
    for name in frame.columns:
        if name in without:
            continue
        column = frame.column(name)
        if is_countable(column) and (logical or column.is_numeric):
            found[name] = numbers_of(column)
    if not found:
        raise DataError("The data have no numeric column; name the columns.")
    return found
