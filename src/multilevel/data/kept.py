"""Columns of a data frame kept as they are now, whatever becomes of the frame."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, codes_for
from multilevel.data.frames import Column, Frame, unknown_column
from multilevel.errors import UnknownColumnError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

EXACT = 2.0**53
"""Whole numbers below this are the same as doubles."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptColumn:
    """A column in memory that nobody else writes to.

    Attributes
    ----------
    values
        Its values: an array, or a factor.
    kind
        The type of the array that the column is, which a factor's levels or doubles stand for; None where it is a factor itself.
    missing
        The rows without a value, where the array cannot say so.
    native
        The type that the frame gave it, or a copy of what the frame held where no type brings it back.
    zone
        The name of the times' zone, or None.
    is_plain
        Whether the levels are text or periods as they came, rather than categories.
    """

    values: npt.NDArray[Any] | Factor
    kind: np.dtype[Any] | None
    missing: BoolArray | None
    native: Any
    zone: str | None = None
    is_plain: bool = False

    def column(self, name: str) -> Column:
        """Return the column as the frame gave it."""
        values, missing = self.values, self.missing
        if self.kind is None:
            return Column(name, values, zone=self.zone, is_plain=self.is_plain)
        if not isinstance(values, Factor):
            return Column(name, values.astype(self.kind, copy=False), missing, self.zone)
        levels = np.asarray(values.levels.values)
        found = levels.astype(self.kind)[values.codes] if len(levels) else np.zeros(len(values.codes), self.kind)
        absent = values.codes < 0 if values.has_missing else None
        if absent is not None and self.kind.kind in "fMm":
            found[absent] = np.nan if self.kind.kind == "f" else "NaT"
            absent = None
        return Column(name, found, absent, self.zone)


class KeptFrame(Frame):
    """Some columns of a data frame as they were when this was made, and the way to the frame's other ones.

    Parameters
    ----------
    columns
        The columns, by name, or a frame of a library whose columns do not change.
    kind
        ``"mapping"``, ``"pandas"`` or ``"arrow"``.
    n_rows
        Number of rows.
    labels
        The pandas index, or None.
    replaced
        Columns that stand for others of the same name: their values and the rows that these belong to (None for all).
    """

    __slots__ = ("_kept", "_labels", "_replaced")

    def __init__(
        self,
        columns: Mapping[str, KeptColumn] | Frame,
        kind: str,
        n_rows: int,
        labels: Any = None,
        replaced: Mapping[str, tuple[FloatArray, BoolArray | None]] | None = None,
        own_names: Mapping[str, Any] | None = None,
    ) -> None:
        self._kept = columns
        self._kind, self._native, self._labels = kind, None, labels
        self._replaced = replaced or {}
        self._columns = list(columns.columns if isinstance(columns, Frame) else columns)
        self._own_names = {name: name for name in self._columns} | dict(own_names or {})
        self.n_rows = n_rows

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what pickles."""
        kept = self._kept._native.to_native() if isinstance(self._kept, Frame) else self._kept
        return kept, self._kind, self.n_rows, self._labels, self._replaced, self._own_names

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Restore."""
        self.__init__(state[0] if isinstance(state[0], dict) else Frame(state[0]), *state[1:])  # type: ignore[misc]

    @property
    def row_labels(self) -> Any | None:
        """The pandas index, or None where rows are only numbered."""
        return self._labels

    def column(self, name: str) -> Column:
        """Return a column as it was."""
        if name in self._replaced:
            values, rows = self._replaced[name]
            if rows is None:
                return Column(name, values)
            whole = np.full(self.n_rows, np.nan)
            whole[rows] = values
            return Column(name, whole)
        if name not in self._own_names:
            raise UnknownColumnError(unknown_column(name, self._columns))
        return self._kept.column(name) if isinstance(self._kept, Frame) else self._kept[name].column(name)

    def with_values(self, name: str, values: FloatArray, rows: BoolArray | None) -> KeptFrame:
        """Return the columns with another one in the place of one of them."""
        replaced = {**self._replaced, name: (values, rows)}
        return KeptFrame(self._kept, self._kind, self.n_rows, self._labels, replaced, self._own_names)

    def take(self, rows: npt.NDArray[np.integer]) -> KeptFrame:
        """Return some of the rows, each as often as it is named."""
        found = {}
        for name in self._columns:
            column = self.column(name)
            values = column.values
            if isinstance(values, Factor):
                part = Factor(values.codes[rows], values.levels, values.ordered, values.logical, values.has_missing)
                found[name] = KeptColumn(part, None, None, None, column.zone, column.is_plain)
            else:
                missing = None if column.missing is None else column.missing[rows]
                found[name] = KeptColumn(values[rows], values.dtype, missing, None, column.zone)
        return KeptFrame(found, "mapping", len(rows))

    # ---- the frame that the columns are from -------------------------------------------------------------------------

    def native(self) -> Any:
        """Return the columns as a data frame of the kind that they are from."""
        if isinstance(self._kept, Frame):
            new = {name: np.asarray(self.column(name).values) for name in self._replaced}
            if not new:
                return self._kept._native.to_native()
            import narwhals.stable.v2 as nw

            frame = self._kept._native
            series = [nw.Series.from_numpy(n, values, backend=frame.implementation) for n, values in new.items()]
            return frame.with_columns(*series).to_native()
        if self._kind == "mapping":
            return {self._own_names[name]: self._plain(name) for name in self._columns}
        import pandas as pd

        index = pd.RangeIndex(self.n_rows) if self._labels is None else self._labels
        columns = {self._own_names[name]: self._series(name) for name in self._columns}
        return pd.DataFrame(columns, copy=False).set_axis(index)

    def within(self, frame: Frame) -> Any:
        """Return a frame of the same kind with these columns as they were and its others as they are."""
        own = self.native()
        if self._kind == "mapping":
            return {**frame._native, **own}
        if self._kind == "pandas":
            found = frame._native.copy(deep=False)
            for name in own:
                found[name] = own[name].array
            return found
        import narwhals.stable.v2 as nw

        mine = nw.from_native(own, eager_only=True)
        return frame._native.with_columns(*(mine.get_column(name) for name in mine.columns)).to_native()

    def differences(self, frame: Frame) -> list[str] | None:
        """Return which of the columns are not in a frame as they were; None where it has other rows altogether.

        A column that the frame no longer has says nothing about its rows.
        """
        if frame.n_rows != self.n_rows:
            return None
        labels = frame.row_labels
        if (labels is None) != (self._labels is None) or (labels is not None and not labels.equals(self._labels)):
            return None
        looked_at = [name for name in self._columns if name in frame and name not in self._replaced]
        return [name for name in looked_at if not _same(self.column(name), frame.column(name))]

    def _plain(self, name: str) -> Any:
        """Return a column as what a mapping can hold."""
        column, native = self.column(name), self._native_of(name)
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(native, pandas.api.extensions.ExtensionDtype):
            return self._series(name)
        if native is not None and not isinstance(native, np.dtype):
            return native
        if isinstance(column.values, Factor):
            values = _level_values(column.values)
            return values if native is None else values.astype(native)
        return column.values if column.missing is None else np.ma.MaskedArray(column.values, column.missing)

    def _native_of(self, name: str) -> Any:
        if isinstance(self._kept, Frame) or name in self._replaced:
            return None
        return self._kept[name].native

    def _series(self, name: str) -> Any:
        import pandas as pd

        column = self.column(name)
        native = self._native_of(name)
        if isinstance(native, pd.Series):
            return native.reset_index(drop=True)
        if native is None:
            return pd.Series(np.asarray(column.values))
        if isinstance(column.values, Factor):
            if isinstance(native, pd.CategoricalDtype):
                return pd.Series(pd.Categorical.from_codes(column.values.codes, dtype=native))
            return pd.Series(_level_values(column.values), dtype=native)
        found = pd.Series(column.values).astype(native)
        if column.missing is not None:
            found[column.missing] = pd.NA
        return found


def _level_values(factor: Factor) -> npt.NDArray[Any]:
    """Return the level of each row as it came, None where it is missing."""
    levels = factor.levels
    values = np.empty(len(levels) + 1, dtype=object)
    values[:-1] = list(levels.values)
    found: npt.NDArray[Any] = values[factor.codes]
    return found


def _same(one: Column, other: Column) -> bool:
    """Tell whether two columns hold the same values."""
    a, b = one.values, other.values
    if isinstance(a, Factor) or isinstance(b, Factor):
        a, b = one.as_factor(), other.as_factor()
        return bool(np.array_equal(codes_for(b, a.levels), a.codes))
    if a.dtype.kind != b.dtype.kind and not {a.dtype.kind, b.dtype.kind} <= set("iufb"):
        return False
    x, y = one.as_numbers(), other.as_numbers()
    floats = x.dtype.kind == "f" or y.dtype.kind == "f"
    return bool(np.array_equal(x, y, equal_nan=floats))


def keep_columns(
    frame: Frame,
    columns: Mapping[str, Column],
    same: Callable[[str], npt.NDArray[Any] | None],
    factor: Callable[[str], Factor | None],
) -> KeptFrame:
    """Keep columns of a frame as they are.

    What holds their values already is not copied.

    Parameters
    ----------
    frame
        The frame.
    columns
        The columns as it gave them.
    same, factor
        Say for a column's name what holds its values as doubles, or as a factor that was made of it, in memory of its own.
    """
    if isinstance(frame, KeptFrame):
        return frame
    labels = frame.row_labels
    if frame._kind == "arrow":
        # These libraries make new columns where others change them.
        return KeptFrame(Frame(frame._native.select(*columns).to_native()), "arrow", frame.n_rows)
    kept = {name: _kept(column, frame.given(name), same, factor) for name, column in columns.items()}
    own = {name: frame.own_name(name) for name in kept}
    return KeptFrame(kept, frame._kind, frame.n_rows, labels, own_names=own)


def _kept(
    column: Column,
    given: Any,
    same: Callable[[str], npt.NDArray[Any] | None],
    factor: Callable[[str], Factor | None],
) -> KeptColumn:
    native = _native_type(column, given)
    values = column.values
    if isinstance(values, Factor):
        # Its codes were made when the column was read.
        return KeptColumn(values, None, None, native, column.zone, column.is_plain)
    made = factor(column.name)
    if made is not None and not made.logical:
        return KeptColumn(made, values.dtype, None, native, column.zone)
    doubles = same(column.name) if column.missing is None else None
    if doubles is not None and _exact_as_doubles(values, doubles):
        return KeptColumn(doubles, values.dtype, None, native, column.zone)
    missing = None if column.missing is None else column.missing.copy()
    return KeptColumn(values.copy(), values.dtype, missing, native, column.zone)


def _exact_as_doubles(values: npt.NDArray[Any], doubles: npt.NDArray[Any]) -> bool:
    """Tell whether doubles made of an array bring it back."""
    if values.dtype.kind == "f":
        return True
    if values.dtype.kind not in "iu":
        return False
    return values.dtype.itemsize < 8 or bool(doubles.max() < EXACT and doubles.min() > -EXACT)


def _native_type(column: Column, given: Any) -> Any:
    """Return the type that brings a column back to what the frame held, or a copy of that where none does."""
    if isinstance(given, np.ndarray) and not isinstance(given, np.ma.MaskedArray):
        if given.dtype.kind == "O" and not isinstance(column.values, Factor):
            return given.copy()
        return given.dtype if given.dtype.kind in "OUS" else None
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(given, pandas.Series):
        dtype = given.dtype
        if isinstance(dtype, np.dtype) and dtype.kind in "biufM":
            return dtype
        if isinstance(column.values, Factor):
            text = isinstance(dtype, pandas.CategoricalDtype | pandas.StringDtype) or dtype.kind == "O"
            return dtype if text else given.copy()
        # Nullable numbers; Arrow's have types without a counterpart.
        nullable = hasattr(dtype, "numpy_dtype") and not isinstance(dtype, pandas.ArrowDtype)
        return dtype if nullable else given.copy()
    if isinstance(given, list):
        return None if not isinstance(column.values, Factor) else np.dtype(object)
    for name in ("clone", "copy"):
        if hasattr(given, name):
            return getattr(given, name)()
    return given
