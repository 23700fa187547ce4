"""The rows of a design and its data frame, as arrays and Parquet."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.errors import DataError
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require
from multilevel.formula.design import Design, GroupingFactor

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


def store_rows(fit: LinearMixedModel, factors: list[GroupingFactor], writer: ArchiveWriter) -> dict[str, Any]:
    """Add the rows of the design, and the data frame where there is one."""
    import pandas as pd

    design = fit._design
    found: dict[str, Any] = {
        "columns": writer.array("rows/columns", np.asfortranarray(design.columns)),
        "codes": [writer.array(f"rows/codes_{i}", factor.codes) for i, factor in enumerate(factors)],
        "weights": None if design.weights is None else writer.array("rows/weights", design.weights),
        "offset": None if design.offset is None else writer.array("rows/offset", design.offset),
        "kept": None if design.kept is None else writer.array("rows/kept", design.kept),
        "labels": None,
        "frame": None,
    }
    if design.row_labels is not None:
        labels = pd.DataFrame(index=design.row_labels).reset_index()
        labels.columns = pd.Index([f"level {i}" for i in range(labels.shape[1])])
        found["labels"] = writer.member("rows/labels.parquet", _parquet(labels))
        found["label_names"] = [None if name is None else str(name) for name in design.row_labels.names]
    frame = getattr(fit._data, "frame", None)
    if frame is not None:
        try:
            own = isinstance(frame, pd.DataFrame)
            content = _parquet(frame.reset_index(drop=True)) if own else _arrow_parquet(frame)
        except (ValueError, TypeError, NotImplementedError) as error:
            # Arrow's own errors are among these.
            raise DataError(
                f"The data frame cannot be written as Parquet ({str(error).splitlines()[0]}); leave out or convert the column"
                " that is the cause, or save the fit without its data."
            ) from error
        found["frame"] = writer.member("rows/frame.parquet", content)
    return found


def restore_rows(design: Design, stored: Any, reader: ArchiveReader) -> tuple[Design, Any]:
    """Return the design with its rows, and the data frame or None."""
    nobs, n_columns = design.columns.shape
    columns = np.asfortranarray(reader.array(stored["columns"], "f", 2))
    require(columns.shape == (nobs, n_columns), "the rows have the wrong number")
    columns.flags.writeable = False
    weights = None if stored["weights"] is None else reader.array(stored["weights"], "f", 1)
    offset = None if stored["offset"] is None else reader.array(stored["offset"], "f", 1)
    kept = None if stored["kept"] is None else reader.array(stored["kept"], "b", 1)
    require(all(part is None or part.shape == (nobs,) for part in (weights, offset)), "the rows are incomplete")
    require((kept is None) == (design.n_rows == nobs), "the rows are incomplete")
    require(kept is None or (kept.shape == (design.n_rows,) and int(kept.sum()) == nobs), "the rows are incomplete")
    labels = None
    if stored["labels"] is not None:
        labels = _labels(_read_parquet(reader.member(stored["labels"])), stored["label_names"])
        require(len(labels) == design.n_rows, "the labels of the rows are incomplete")
    frame = None if stored["frame"] is None else _read_parquet(reader.member(stored["frame"]))
    if frame is not None:
        require(len(frame) == design.n_rows, "the data frame is incomplete")
        frame.index = frame.index if labels is None else labels
    whole = dataclasses.replace(design, columns=columns, weights=weights, offset=offset, kept=kept, row_labels=labels)
    return whole, frame


def _labels(frame: pd.DataFrame, names: list[str | None]) -> Any:
    import pandas as pd

    if frame.shape[1] > 1:
        return pd.MultiIndex.from_frame(frame, names=names)
    return pd.Index(frame.iloc[:, 0], name=names[0])


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _arrow_parquet(frame: Any) -> bytes:
    """Write a frame that is not of pandas, or a mapping of columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(frame, Mapping):
        import pandas as pd

        return _parquet(pd.DataFrame({str(name): np.asarray(values) for name, values in frame.items()}))
    import narwhals.stable.v2 as nw

    found: Any = nw.from_native(frame)
    table = (found.collect("pyarrow") if isinstance(found, nw.LazyFrame) else found).to_arrow()
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _read_parquet(content: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(io.BytesIO(content)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a table cannot be read ({error})") from error
    return frame
