"""Columns out of any data frame: pandas without detours, everything else through narwhals or Arrow."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.columns import Column, column_of_objects, text_column
from multilevel.data.factors import Factor, factor_from_codes, factorize
from multilevel.data.levels import Levels, level_text
from multilevel.data.times import read_on, zone_name
from multilevel.errors import DataError, DataTypeError, UnknownColumnError

__all__ = ["Column", "Frame", "column_from_values", "column_name", "unknown_column"]

BoolArray = npt.NDArray[np.bool_]

# Units of time that no number of seconds stands for.
_NO_UNIT = {"M": ("generic",), "m": ("generic", "Y", "M")}


class Frame:
    """A data frame, whatever library it comes from, as a set of named columns.

    Parameters
    ----------
    data
        A pandas, polars or pyarrow frame, any other frame that narwhals knows, or a mapping of names to arrays. A column
        whose name is no text, such as a number, goes by the text of its name.
    """

    __slots__ = ("_columns", "_given", "_kind", "_native", "_own_names", "n_rows")

    def __init__(self, data: Any) -> None:
        self._kind: str
        self._native: Any
        names: Iterable[str]
        if isinstance(data, Mapping):
            self._kind, self._native, names = "mapping", _as_mapping(data), data.keys()
            self.n_rows = _common_length(self._native)
        elif _is_pandas(data):
            self._kind, self._native, names = "pandas", data, data.columns
            self.n_rows = len(data)
        else:
            eager = _as_eager(data)
            wrapped = _is_pandas(eager.to_native())
            self._kind = "pandas" if wrapped else "arrow"
            self._native = eager.to_native() if wrapped else eager
            names = eager.columns
            self.n_rows = len(eager)
        self._given: dict[str, Any] = {}
        given = list(names)
        self._columns = [column_name(name) for name in given]
        self._own_names = dict(zip(self._columns, given, strict=True))
        if len(self._own_names) != len(self._columns):
            twice = sorted({name for name in self._columns if self._columns.count(name) > 1})
            raise DataError(f"The data have more than one column named {', '.join(map(repr, twice))}; rename them.")

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._columns

    def __contains__(self, name: object) -> bool:
        return name in self._own_names

    def __len__(self) -> int:
        return self.n_rows

    @property
    def row_labels(self) -> Any | None:
        """The pandas index, or None where rows are only numbered."""
        if self._kind != "pandas":
            return None
        index = self._native.index
        pandas = sys.modules["pandas"]
        plain = isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1
        return None if plain else index

    def to_pandas(self) -> Any:
        """Return the data as a pandas frame, the columns as they are there."""
        if self._kind == "mapping":
            import pandas as pd

            return pd.DataFrame({name: _series_of_array(values) for name, values in self._native.items()})
        if self._kind == "pandas":
            return self._native
        import pandas as pd

        return pd.DataFrame({name: _series(self._native.get_column(name)) for name in self._columns})

    def rows(self, kept: BoolArray) -> Any:
        """Return some of the rows, as a frame of the library that the data came from."""
        if self._kind == "pandas":
            return self._native[kept]
        if self._kind == "mapping":
            return {name: _some(values, kept) for name, values in self._native.items()}
        return self._native.filter(kept.tolist()).to_native()

    def column(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        UnknownColumnError
            If the data have no such column.
        """
        if name not in self._own_names:
            raise UnknownColumnError(unknown_column(name, self._columns))
        own = self._own_names[name]
        if self._kind == "pandas":
            # Looking a column up takes pandas longer than all that follows: `given` need not do it again.
            series = self._given[name] = self._native[own]
            return _from_pandas(name, series)
        if self._kind == "mapping":
            return column_from_values(name, self._native[own])
        native = self._native.to_native()
        # narwhals would copy the chunks of an Arrow column even when there is only one.
        is_arrow = type(native).__module__.startswith("pyarrow")
        array = native.column(name) if is_arrow else _to_arrow(name, self._native.get_column(name))
        return _from_arrow(name, array, order=self._dictionary_order(name))

    def own_name(self, name: str) -> Any:
        """Return the name of a column as the data have it, which need not be text."""
        return self._own_names[name]

    def given(self, name: str) -> Any:
        """Return a column of a pandas frame or a mapping as it stands there."""
        return self._given[name] if name in self._given else self._native[self._own_names[name]]

    def _dictionary_order(self, name: str) -> str:
        """Say what the order of an Arrow dictionary means: nothing, the order of levels, or an ordering of values.

        Arrow keeps no such record: the dictionary of an encoded text column is in order of appearance. Only a polars
        Enum, an ordered dictionary, and a table that came from pandas (it says so) have an order that was meant.
        """
        native = self._native.to_native()
        if type(native).__module__.startswith("polars"):
            return _polars_order(native.schema[name])
        schema = getattr(native, "schema", None)
        metadata = getattr(schema, "pandas_metadata", None) or {}
        for column in metadata.get("columns", ()):
            if column.get("name") == name and column.get("pandas_type") == "categorical":
                return "levels or ordering"
        return "ordering"


def _series(column: Any) -> Any:
    """Return a column of another library as a pandas series; what pandas has no type for as Python's objects."""
    import pandas as pd

    try:
        return column.to_pandas()
    except Exception:  # each library has exceptions of its own for what pandas lacks
        return pd.Series(column.to_list()).infer_objects()


def _series_of_array(values: Any) -> Any:
    import pandas as pd

    try:
        return values.reset_index(drop=True) if isinstance(values, pd.Series) else pd.Series(values)
    except (ValueError, TypeError):  # what pandas has no column for, such as a matrix: its rows
        return pd.Series(list(values), dtype=object)


def _is_pandas(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def unknown_column(name: str, columns: Iterable[Any], what: str = "The data have no column named") -> str:
    """Write the sentence about a name that is not among the columns, with the ones most like it."""
    texts = [str(column) for column in columns]
    near = difflib.get_close_matches(name, texts, n=3, cutoff=0.6)
    if not near:
        near = [text for text in texts if text.lower() == name.lower()]
    if near:
        return f"{what} {name!r}; did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, texts[:8])) + (", …" if len(texts) > 8 else "")
    return f"{what} {name!r}; the columns are {shown}."


def column_name(name: Any) -> str:
    """Return the text that a column goes by.

    Raises
    ------
    DataError
        The name has several parts, or is no valid text.
    """
    if isinstance(name, tuple):
        raise DataError(
            f"The columns of the data have names of several parts, such as {name!r}; give each column one name, as in"
            " data.columns = ['_'.join(map(str, name)) for name in data.columns]."
        )
    text = name if isinstance(name, str) else level_text(name)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"The column name {text!r} is no valid text: it has half of a character in it; rename the column."
        )
    return text


def column_from_values(name: str, values: Any) -> Column:
    """Make a column of anything array-like: NumPy arrays, lists, and the series of data frame libraries."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(values, pandas.Index | pandas.api.extensions.ExtensionArray):
            values = pandas.Series(values)
        if isinstance(values, pandas.Series):
            return _from_pandas(name, values)
    if hasattr(values, "to_arrow"):
        return _from_arrow(name, _to_arrow(name, values), order=_polars_order(getattr(values, "dtype", None)))
    if hasattr(values, "__arrow_array__") or type(values).__module__.startswith("pyarrow"):
        return _from_arrow(name, values)
    array = np.ma.asarray(values) if isinstance(values, np.ma.MaskedArray) else _as_array(name, values)
    if array.ndim != 1:
        raise DataError(f"The column {name!r} must have one dimension, not {array.ndim}.")
    missing = None
    if isinstance(array, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(array) if np.ma.is_masked(array) else None
        array = np.asarray(array.data)
    return _from_array(name, array, missing)


def _as_array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return values as an array; what is not of one type stays what it is."""
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataTypeError(f"The column {name!r} cannot be read as an array: {error}.") from error
    if array.dtype.kind in "US" and array.ndim == 1 and not hasattr(values, "dtype"):
        # NumPy writes numbers among text as text in its own way.
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
    return array


def _from_array(name: str, array: npt.NDArray[Any], missing: BoolArray | None = None) -> Column:
    kind = array.dtype.kind
    if kind in "biu":
        return Column(name, array, missing)
    if kind == "f":
        # Wider or narrower floats than doubles are not worth a path of their own.
        return Column(name, array if array.dtype == np.float64 else array.astype(np.float64), missing)
    if kind in "Mm" and np.datetime_data(array.dtype)[0] not in _NO_UNIT[kind]:
        if missing is not None:
            array = array.copy()
            array[missing] = "NaT"
        return Column(name, array)
    if kind in "USO":
        return column_of_objects(name, array.astype(object, copy=False), missing)
    raise _unusable(name, array.dtype)


def _unusable(name: str, kind: Any) -> DataTypeError:
    return DataTypeError(f"The column {name!r} has the type {kind}, which cannot be used in a model.")


def _from_pandas(name: str, series: Any) -> Column:
    values = series._values if hasattr(series, "_values") else series.array
    if isinstance(values, np.ndarray):
        return _from_array(name, values)
    pandas = sys.modules["pandas"]
    dtype = series.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        # A copy even where the type is right: the frame may be changed.
        codes = values.codes.astype(np.int32)
        return Column(name, _from_categories(name, dtype.categories, codes, ordered=bool(dtype.ordered)))
    if isinstance(dtype, pandas.StringDtype):
        codes, uniques = pandas.factorize(values, sort=True)
        return text_column(name, factor_from_codes(codes, Levels(uniques.to_numpy(dtype=object))))
    if isinstance(dtype, pandas.ArrowDtype):
        return _from_arrow(name, values.__arrow_array__())
    if isinstance(dtype, pandas.SparseDtype):
        return _from_array(name, np.asarray(series.sparse.to_dense()))
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return Column(name, series.dt.tz_localize(None).to_numpy(), zone=zone_name(dtype.tz))
    if dtype.kind in "Mm":
        return _from_array(name, series.to_numpy())
    missing = np.asarray(series.isna())
    gone = missing if missing.any() else None
    if dtype.kind in "biuf":
        fill: Any = False if dtype.kind == "b" else 0
        plain = series.to_numpy(dtype=dtype.numpy_dtype, na_value=fill) if gone is not None else series.to_numpy()
        return _from_array(name, np.asarray(plain, dtype=dtype.numpy_dtype), gone)
    return _from_array(name, series.to_numpy(dtype=object), gone)


def _to_arrow(name: str, series: Any) -> Any:
    """Return the series of another library as an Arrow array."""
    try:
        dtype = str(getattr(series, "dtype", ""))
        if dtype in ("Int128", "UInt128"):
            # Arrow has no such numbers; as Python's they become what they fit in.
            return series.to_list()
        return series.to_arrow()
    except Exception as error:  # each library has exceptions of its own for what Arrow lacks
        raise _unusable(name, getattr(series, "dtype", type(series).__name__)) from error


def _from_arrow(name: str, array: Any, order: str = "ordering") -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, list):
        return column_from_values(name, array)
    try:
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
        kind = array.type
        if pa.types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
            kind = array.type
        if pa.types.is_dictionary(kind):
            return Column(name, _from_dictionary(name, array, order))
        if _is_arrow_text(kind) or _is_arrow_binary(kind):
            # Bytes that are no text are refused by the cast.
            return text_column(name, _from_dictionary(name, array.cast(pa.large_string()).dictionary_encode(), "none"))
        missing = np.asarray(pc.is_null(array)) if array.null_count else None
        if pa.types.is_null(kind):
            return Column(name, np.full(len(array), np.nan))
        if pa.types.is_boolean(kind):
            filled = array.fill_null(False) if missing is not None else array
            return Column(name, filled.to_numpy(zero_copy_only=False), missing)
        if pa.types.is_integer(kind):
            filled = array.fill_null(0) if missing is not None else array
            return Column(name, filled.to_numpy(zero_copy_only=False), missing)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return _from_array(name, array.cast(pa.float64()).to_numpy(zero_copy_only=False))
        if pa.types.is_date(kind):
            return Column(name, array.to_numpy(zero_copy_only=False).astype("datetime64[D]"))
        if pa.types.is_timestamp(kind):
            times = array.to_numpy(zero_copy_only=False)
            zone = None if kind.tz is None else zone_name(kind.tz)
            return Column(name, read_on(times, "UTC", zone), zone=zone)
        if pa.types.is_duration(kind):
            return Column(name, array.to_numpy(zero_copy_only=False))
    except (pa.ArrowException, NotImplementedError) as error:
        raise DataTypeError(f"The column {name!r} of type {array.type} cannot be read: {error}.") from error
    raise _unusable(name, kind)


def _is_arrow_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def _is_arrow_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _from_categories(name: str, categories: Any, codes: npt.NDArray[Any], *, ordered: bool) -> Factor:
    """Return a factor whose levels are a pandas column's categories in their order; those with one text are one level."""
    pandas = sys.modules["pandas"]
    if isinstance(categories.dtype, pandas.StringDtype):
        return factor_from_codes(codes, Levels(categories.to_numpy(dtype=object)), ordered=ordered)
    column = column_from_values(name, categories)
    if isinstance(column.values, np.ndarray):
        levels = Levels(column.values, column.zone)
        if column.values.dtype.kind != "f" or len(set(levels.names)) == len(levels):
            return factor_from_codes(codes, levels, ordered=ordered)
    found = column.as_factor()
    used, first = np.unique(found.codes, return_index=True)
    order = np.argsort(first, kind="stable")
    table = np.full(len(used) + 1, -1, dtype=np.int32)
    table[used[order]] = np.arange(len(used), dtype=np.int32)
    return factor_from_codes(
        np.append(table[found.codes], np.int32(-1))[codes],
        found.levels.take(used[order].astype(np.intp)),
        ordered=ordered,
    )


def _polars_order(dtype: Any) -> str:
    return "levels" if str(dtype).startswith("Enum") else "none"


def _from_dictionary(name: str, array: Any, order: str) -> Factor:
    indices = array.indices
    missing = np.asarray(array.is_null()) if array.null_count else None
    codes = np.asarray(indices.fill_null(0) if indices.null_count else indices).astype(np.int32)
    if missing is not None:
        codes[missing] = -1
    # Missing values may stand in the dictionary itself, and a dictionary may hold a value twice.
    words = array.dictionary
    is_text = _is_arrow_text(words.type)
    by_value = factorize(np.array(words.to_pylist(), dtype=object)) if is_text else _from_arrow(name, words).as_factor()
    if order.startswith("levels") or (order == "ordering" and array.type.ordered):
        ordered = bool(array.type.ordered) and order != "levels"
        if by_value.n_levels == len(words):
            return factor_from_codes(codes, by_value.levels.take(by_value.codes.astype(np.intp)), ordered=ordered)
    table = np.append(by_value.codes, np.int32(-1))
    return factor_from_codes(table[codes], by_value.levels)


def _as_mapping(data: Mapping[Any, Any]) -> dict[str, Any]:
    found = {}
    for name, values in data.items():
        single = isinstance(values, str | bytes) or (isinstance(values, np.ndarray) and values.ndim == 0)
        if single or not hasattr(values, "__iter__"):
            raise DataTypeError(
                f"The column {name!r} of the data must hold a value for each row, not the single value {values!r}."
            )
        found[name] = values if hasattr(values, "__len__") else list(values)
    return found


def _some(values: Any, kept: BoolArray) -> Any:
    """Return some values of a column of a mapping."""
    if isinstance(values, list | tuple):
        return [value for value, keep in zip(values, kept, strict=True) if keep]
    return values.filter(kept.tolist()) if hasattr(values, "to_arrow") else values[kept]


def _common_length(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} {length}" for name, length in list(lengths.items())[:6])
        raise DataError(f"The columns of the data have different lengths: {shown}.")
    return next(iter(lengths.values()), 0)


def _as_eager(data: Any) -> Any:
    """Wrap a frame in narwhals, in memory."""
    import narwhals.stable.v2 as nw

    try:
        frame: Any = nw.from_native(data)
    except (TypeError, ValueError) as error:
        kind = type(data).__name__
        message = f"The data must be a data frame (pandas, polars, pyarrow, …) or a dict of arrays, not {kind}."
        if "duplicate" in str(error).lower() or "unique" in str(error).lower():
            raise DataError(f"The data have more than one column of the same name: {error}") from error
        raise DataTypeError(message) from error
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        raise DataTypeError(f"The data must be a whole data frame, not one column ({type(data).__name__}).")
    return frame
