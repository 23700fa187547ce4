"""Data frames as Parquet, read with a bound on what a file from a stranger may grow to.

A few bytes of Parquet can stand for any number of rows, and a dictionary for a long text in each of them. So the number of rows is
compared with what the rest of the file says and the widths of the columns are added up before anything is decoded; texts stay
dictionaries until the length of all of them together is known.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.errors import DataError
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
    """Return a data frame of any kind, or a mapping of columns, as Parquet.

    Raises
    ------
    DataError
        A column cannot be written.
    """
    import pandas as pd

    try:
        if isinstance(frame, pd.DataFrame):
            return table_content(frame.reset_index(drop=True))
        if isinstance(frame, Mapping):
            return table_content(pd.DataFrame({str(name): np.asarray(values) for name, values in frame.items()}))
        return _written(_arrow_table(frame))
    except (ValueError, TypeError, NotImplementedError) as error:
        # Arrow's own errors are among these.
        raise DataError(
            f"The data frame cannot be written as Parquet ({str(error).splitlines()[0]}); leave out or convert the column"
            " that is the cause, or save the fit without its data."
        ) from error


def table_content(frame: pd.DataFrame) -> bytes:
    """Return a pandas data frame, its index left out, as Parquet."""
    import pyarrow as pa

    return _written(pa.Table.from_pandas(frame, preserve_index=False))


def _arrow_table(frame: Any) -> Any:
    import narwhals.stable.v2 as nw

    found: Any = nw.from_native(frame)
    return (found.collect("pyarrow") if isinstance(found, nw.LazyFrame) else found).to_arrow()


def _written(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise TypeError(f"the column {nested[0]!r} has lists or records for values")
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="snappy")
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def read_table(name: str, reader: ArchiveReader, n_rows: int) -> pd.DataFrame:
    """Return a table of a known number of rows, everything that it may expand to counted first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = reader.member(name)
    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            schema = file.schema_arrow
            flat = len(schema) == file.metadata.num_columns and not any(
                pa.types.is_nested(kind) for kind in schema.types
            )
            require(flat, "a table has lists or records for values")
            _check_footer(file.metadata, reader, n_rows)
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
                    _expanded(column, field.type, reader) for column, field in zip(batch.columns, schema, strict=True)
                ]
                batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            require(rows == n_rows, "a table has fewer rows than the fit")
        frame: pd.DataFrame = pa.Table.from_batches(batches, schema=schema).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a table cannot be read ({error})") from error
    return frame


def _check_footer(metadata: Any, reader: ArchiveReader, n_rows: int) -> None:
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
    reader.count(max(width * n_rows, stored))


def _expanded(column: Any, kind: Any, reader: ArchiveReader) -> Any:
    """Return a column in the type that it is to have; the length of its texts is counted before they are laid out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.bincount(column.indices.drop_null().to_numpy(zero_copy_only=False), minlength=lengths.size)
        reader.count(int(counts @ lengths))
    return column.cast(kind)
