"""Columns out of any data frame: pandas without detours, everything else through narwhals or Arrow."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, factor_from_codes, factorize
from multilevel.data.levels import Levels
from multilevel.errors import DataError, DataTypeError, UnknownColumnError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of a frame.

    Attributes
    ----------
    name
        Its name.
    values
        A one-dimensional array of numbers, truth values or dates, or a `Factor` for text and categories.
    missing
        The rows without a value where the array itself cannot say so (NaN and NaT do), or None.
    """

    name: str
    values: npt.NDArray[Any] | Factor
    missing: BoolArray | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether the column holds numbers (truth values are not)."""
        return isinstance(self.values, np.ndarray) and self.values.dtype.kind in "iuf"

    def as_factor(self) -> Factor:
        """Return the column as a factor, every level as it came."""
        return self.values if isinstance(self.values, Factor) else factorize(self.values, self.missing)

    def as_numbers(self) -> npt.NDArray[Any]:
        """Return the numbers, NaN where missing; dates count days, or seconds when they have a time of day."""
        values = self.values
        if isinstance(values, Factor):
            raise DataTypeError(f"The column {self.name!r} holds text or categories where numbers are needed.")
        if values.dtype.kind == "M":
            unit = "D" if np.datetime_data(values.dtype)[0] == "D" else "us"
            numbers = values.astype(f"datetime64[{unit}]").astype(np.int64).astype(np.float64)
            numbers[np.isnat(values)] = np.nan
            values = numbers if unit == "D" else numbers / 1e6
        if self.missing is not None:
            values = values.astype(np.float64)
            values[self.missing] = np.nan
        return values


class Frame:
    """A data frame, whatever library it comes from, as a set of named columns.

    Parameters
    ----------
    data
        A pandas, polars or pyarrow frame, any other frame that narwhals knows, or a mapping of names to arrays.
    """

    __slots__ = ("_columns", "_given", "_index", "_kind", "_native", "n_rows")

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
        self._columns = list(names)
        self._index = frozenset(self._columns)
        if len(self._index) != len(self._columns):
            twice = sorted({str(name) for name in self._columns if self._columns.count(name) > 1})
            raise DataError(f"The data have more than one column named {', '.join(map(repr, twice))}; rename them.")

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._columns

    def __contains__(self, name: object) -> bool:
        return name in self._index

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

    def column(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        UnknownColumnError
            If the data have no such column.
        """
        if name not in self._index:
            raise UnknownColumnError(unknown_column(name, self._columns))
        if self._kind == "pandas":
            # Looking a column up takes pandas longer than all that follows: `given` need not do it again.
            series = self._given[name] = self._native[name]
            return _from_pandas(name, series)
        if self._kind == "mapping":
            return column_from_values(name, self._native[name])
        native = self._native.to_native()
        # narwhals would copy the chunks of an Arrow column even when there is only one.
        is_arrow = type(native).__module__.startswith("pyarrow")
        array = native.column(name) if is_arrow else self._native.get_column(name).to_arrow()
        return _from_arrow(name, array, order=self._dictionary_order(name))

    def given(self, name: str) -> Any:
        """Return a column of a pandas frame or a mapping as it stands there."""
        return self._given[name] if name in self._given else self._native[name]

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


def column_from_values(name: str, values: Any) -> Column:
    """Make a column of anything array-like: NumPy arrays, lists, and the series of data frame libraries."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(values, pandas.Index | pandas.api.extensions.ExtensionArray):
            values = pandas.Series(values)
        if isinstance(values, pandas.Series):
            return _from_pandas(name, values)
    if hasattr(values, "to_arrow"):
        return _from_arrow(name, values.to_arrow(), order=_polars_order(values.dtype))
    if hasattr(values, "__arrow_array__") or type(values).__module__.startswith("pyarrow"):
        return _from_arrow(name, values)
    array = np.ma.asarray(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"The column {name!r} must have one dimension, not {array.ndim}.")
    missing = None
    if isinstance(array, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(array) if np.ma.is_masked(array) else None
        array = np.asarray(array.data)
    return _from_array(name, array, missing)


def _from_array(name: str, array: npt.NDArray[Any], missing: BoolArray | None = None) -> Column:
    kind = array.dtype.kind
    if kind in "biuM":
        return Column(name, array, missing)
    if kind == "f":
        # Wider or narrower floats than doubles are not worth a path of their own.
        return Column(name, array if array.dtype == np.float64 else array.astype(np.float64), missing)
    if kind in "US":
        return Column(name, factorize(array, missing))
    if kind == "O":
        return _from_objects(name, array, missing)
    raise DataTypeError(f"The column {name!r} has the type {array.dtype}, which cannot be used in a model.")


def _from_objects(name: str, array: npt.NDArray[Any], missing: BoolArray | None) -> Column:
    """Look at Python objects: text stays text, and numbers, truth values and dates become arrays."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(array, skipna=True)
    absent = pd.isna(array)
    missing = absent if missing is None else absent | missing
    gone = missing if missing.any() else None
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        filled = np.where(missing, 0 if kind == "integer" else np.nan, array)
        dtype = np.int64 if kind == "integer" else np.float64
        try:
            return Column(name, filled.astype(dtype), gone)
        except OverflowError:
            return Column(name, factorize(array, gone))
    if kind == "boolean":
        return Column(name, np.where(missing, False, array).astype(np.bool_), gone)
    if kind in ("datetime64", "datetime", "date"):
        unit = "D" if kind == "date" else "us"
        return Column(name, np.array(pd.to_datetime(array).to_numpy(), dtype=f"datetime64[{unit}]"))
    if kind == "empty":
        return Column(name, np.full(len(array), np.nan))
    return Column(name, factorize(array, gone))


def _from_pandas(name: str, series: Any) -> Column:
    values = series._values if hasattr(series, "_values") else series.array
    if isinstance(values, np.ndarray):
        return _from_array(name, values)
    pandas = sys.modules["pandas"]
    dtype = series.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        levels = Levels(dtype.categories.to_numpy())
        # A copy even where the type is right: the frame may be changed.
        codes = values.codes.astype(np.int32)
        return Column(name, factor_from_codes(codes, levels, ordered=bool(dtype.ordered)))
    if isinstance(dtype, pandas.StringDtype):
        codes, uniques = pandas.factorize(values, sort=True)
        return Column(name, factor_from_codes(codes, Levels(uniques.to_numpy(dtype=object))))
    if isinstance(dtype, pandas.ArrowDtype):
        return _from_arrow(name, values.__arrow_array__())
    if isinstance(dtype, pandas.DatetimeTZDtype) or dtype.kind == "M":
        zone = getattr(dtype, "tz", None)
        local = series.dt.tz_localize(None) if zone is not None else series
        return Column(name, local.to_numpy())
    missing = np.asarray(series.isna())
    gone = missing if missing.any() else None
    if dtype.kind in "biuf":
        fill: Any = False if dtype.kind == "b" else 0
        plain = series.to_numpy(dtype=dtype.numpy_dtype, na_value=fill) if gone is not None else series.to_numpy()
        return _from_array(name, np.asarray(plain, dtype=dtype.numpy_dtype), gone)
    return _from_array(name, series.to_numpy(dtype=object), gone)


def _from_arrow(name: str, array: Any, order: str = "ordering") -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    kind = array.type
    if pa.types.is_dictionary(kind):
        return Column(name, _from_dictionary(array, order))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view":
        if str(kind) == "string_view":
            array = array.cast(pa.large_string())
        return Column(name, _from_dictionary(array.dictionary_encode(), "none"))
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
        return Column(name, array.cast(pa.date32()).to_numpy(zero_copy_only=False).astype("datetime64[D]"))
    if pa.types.is_timestamp(kind):
        return Column(name, array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False))
    raise DataTypeError(f"The column {name!r} has the type {kind}, which cannot be used in a model.")


def _polars_order(dtype: Any) -> str:
    return "levels" if str(dtype).startswith("Enum") else "none"


def _from_dictionary(array: Any, order: str) -> Factor:
    indices = array.indices
    missing = np.asarray(array.is_null()) if array.null_count else None
    codes = np.asarray(indices.fill_null(0) if indices.null_count else indices).astype(np.int32)
    if missing is not None:
        codes[missing] = -1
    categories = array.dictionary.to_pylist()
    if order.startswith("levels") or (order == "ordering" and array.type.ordered):
        ordered = bool(array.type.ordered) and order != "levels"
        return factor_from_codes(codes, Levels(np.array(categories, dtype=object)), ordered=ordered)
    # Missing values may stand in the dictionary itself, and a dictionary may hold a value twice.
    by_value = factorize(np.array(categories, dtype=object))
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
