"""Data frames as Parquet, read with a bound on what a file from a stranger may grow to.

A few bytes of Parquet can stand for any number of rows, and a dictionary for a long text in each of them. So the number of rows is
compared with what the rest of the file says and the widths of the columns are added up before anything is decoded; texts stay
dictionaries until the length of all of them together is known.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.data.frames import column_from_values
from multilevel.errors import DataError, MultilevelError
from multilevel.export.archive import ArchiveReader
from multilevel.export.stored_formula import require

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 65_536
"""Rows decoded at once."""

_COMPRESSIONS = frozenset({"UNCOMPRESSED", "SNAPPY"})
"""What is written; others can expand a thousandfold."""

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes of a value by physical type; for texts those of a place in a dictionary."""


def frame_content(frame: Any) -> bytes:
    """Return a data frame of any kind, or a mapping of columns, as Parquet that `read_table` can read.

    Columns that Parquet lacks and a fit reads as text (intervals, values of several types) are written as that text.

    Raises
    ------
    DataError
        A column cannot be written.
    """
    import pandas as pd

    if isinstance(frame, Mapping):
        frame = pd.DataFrame({str(name): _as_series(str(name), values) for name, values in frame.items()})
    if isinstance(frame, pd.DataFrame):
        return table_content(frame.reset_index(drop=True))
    table = _arrow_table(frame)
    columns = [_plain(name, table.column(name)) for name in table.column_names]
    return _written(dict(zip(table.column_names, columns, strict=True)), table.schema.metadata)


def table_content(frame: pd.DataFrame) -> bytes:
    """Return a pandas data frame, its index left out, as Parquet."""
    import pyarrow as pa

    plain = {name: _plain_series(name, frame[name]) for name in frame.columns}
    again = frame.copy(deep=False)
    for name, series in plain.items():
        again[name] = series
    try:
        table = pa.Table.from_pandas(again, preserve_index=False)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
        raise _refusal(f"it cannot be written as Parquet ({_first_line(error)})") from error
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return _written({name: _plain(name, column) for name, column in columns.items()}, table.schema.metadata)


def _as_series(name: str, values: Any) -> pd.Series[Any]:
    """Return a column of a mapping as a pandas one; days stay days, which pandas has only as Python's dates."""
    import pandas as pd

    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, np.ndarray):
        days = values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] == "D"
        values = values.astype(object) if days else values
    try:
        return pd.Series(values if isinstance(values, np.ndarray) else list(values))
    except (ValueError, TypeError) as error:
        raise _refusal(f"the column {name!r} cannot be written as Parquet ({_first_line(error)})") from error


def _plain_series(name: Any, series: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as one that Arrow takes and that comes back with its type."""
    import pandas as pd
    import pyarrow as pa

    dtype: Any = series.dtype
    if isinstance(dtype, pd.SparseDtype):
        dense: pd.Series[Any] = pd.Series(np.asarray(series), index=series.index)
        return dense
    if isinstance(dtype, pd.CategoricalDtype) and isinstance(dtype.categories.dtype, pd.IntervalDtype):
        return series.cat.rename_categories(list(map(str, dtype.categories)))
    if isinstance(dtype, pd.IntervalDtype):
        return series.map(str, na_action="ignore").astype(object)
    if isinstance(dtype, pd.ArrowDtype):
        try:
            known = pd.api.types.pandas_dtype(str(dtype)) == dtype
        except (TypeError, NotImplementedError):
            known = False
        return series if known else pd.Series(series.array.__arrow_array__().to_pandas(), index=series.index)
    if dtype.kind != "O" or isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return series
    try:
        pa.array(series, from_pandas=True)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
        # Arrow's own errors are among these. What has several types is text in a fit, too.
        try:
            column = column_from_values(str(name), series)
        except MultilevelError:
            column = None
        if column is None or not column.is_plain:
            what = f"the column {str(name)!r} cannot be written as Parquet ({_first_line(error)})"
            raise _refusal(what) from error
        factor = column.as_factor()
        names = np.array([*factor.levels.names, None], dtype=object)
        return pd.Series(names[factor.codes], index=series.index, dtype=object)
    return series


def _arrow_table(frame: Any) -> Any:
    import narwhals.stable.v2 as nw

    found: Any = nw.from_native(frame)
    try:
        return (found.collect("pyarrow") if isinstance(found, nw.LazyFrame) else found).to_arrow()
    except Exception as error:  # each library has exceptions of its own for what Arrow lacks
        raise _refusal(f"it cannot be written as Parquet ({_first_line(error)})") from error


def _plain(name: str, column: Any) -> Any:
    """Return an Arrow column in a type that comes back from Parquet."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_run_end_encoded(kind):
        column = pc.run_end_decode(column)
    elif pa.types.is_dictionary(kind) and not (
        pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    ):
        column = column.cast(kind.value_type)
    views = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}
    if str(column.type) in views:
        column = column.cast(views[str(column.type)])
    if pa.types.is_nested(column.type):
        raise _refusal(f"the column {name!r} has lists or records for values")
    return column


def _written(columns: dict[str, Any], metadata: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    try:
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, buffer, compression="snappy")
        content: bytes = buffer.getvalue().to_pybytes()
        _read(content, table.num_rows, lambda _: None)
    except (ValueError, TypeError, KeyError, NotImplementedError, OSError) as error:
        raise _refusal(f"it cannot be written as Parquet ({_first_line(error)})") from error
    return content


def _refusal(what: str) -> DataError:
    return DataError(
        f"The data frame cannot be saved: {what}; leave out or convert the column that is the cause, or save the fit without its"
        " data."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_table(name: str, reader: ArchiveReader, n_rows: int) -> pd.DataFrame:
    """Return a table of a known number of rows, everything that it may expand to counted first."""
    return _read(reader.member(name), n_rows, reader.count)


def _read(content: bytes, n_rows: int, count: Callable[[int], None]) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            schema = file.schema_arrow
            flat = len(schema) == file.metadata.num_columns and not any(
                pa.types.is_nested(kind) for kind in schema.types
            )
            require(flat, "a table has lists or records for values")
            _check_footer(file.metadata, count, n_rows)
            texts = [
                c.path for c in map(file.schema.column, range(len(file.schema))) if c.physical_type == "BYTE_ARRAY"
            ]
        with pq.ParquetFile(io.BytesIO(content), read_dictionary=texts) as file:
            batches = []
            rows = 0
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                rows += batch.num_rows
                require(rows <= n_rows, "a table has more rows than the fit")
                columns = [
                    _expanded(column, field.type, count) for column, field in zip(batch.columns, schema, strict=True)
                ]
                batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            require(rows == n_rows, "a table has fewer rows than the fit")
        frame: pd.DataFrame = pa.Table.from_batches(batches, schema=schema).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a table cannot be read ({error})") from error
    return frame


def _check_footer(metadata: Any, count: Callable[[int], None], n_rows: int) -> None:
    """Refuse a table, by what its footer says of it, that has other rows than the fit, cannot be bounded or is too large."""
    require(metadata.num_rows == n_rows, f"a table has {metadata.num_rows} rows and the fit {n_rows}")
    width = 0
    for i in range(metadata.num_columns):
        column = metadata.schema.column(i)
        require(column.max_repetition_level == 0, "a table has lists for values")
        fixed = column.physical_type == "FIXED_LEN_BYTE_ARRAY"
        width += int(column.length) if fixed else _WIDTHS[column.physical_type]
    stored = 0
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        chunks = [group.column(i) for i in range(group.num_columns)]
        require(all(chunk.compression in _COMPRESSIONS for chunk in chunks), "a table is compressed in an unknown way")
        stored += sum(max(int(chunk.total_uncompressed_size), 0) for chunk in chunks)
    count(max(width * n_rows, stored))


def _expanded(column: Any, kind: Any, count: Callable[[int], None]) -> Any:
    """Return a column in the type that it is to have; the length of its texts is counted before they are laid out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.bincount(column.indices.drop_null().to_numpy(zero_copy_only=False), minlength=lengths.size)
        count(int(counts @ lengths))
    return column.cast(kind)
