"""The rows of a design and its data frame, as arrays and Parquet."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require
from multilevel.export.stored_tables import frame_content, read_table, table_content
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
        found["labels"] = writer.member("rows/labels.parquet", table_content(labels))
        found["label_names"] = [None if name is None else str(name) for name in design.row_labels.names]
    frame = getattr(fit._data, "frame", None)
    if frame is not None:
        found["frame"] = writer.member("rows/frame.parquet", frame_content(frame))
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
        labels = _labels(read_table(stored["labels"], reader, design.n_rows), stored["label_names"])
    frame = None if stored["frame"] is None else read_table(stored["frame"], reader, design.n_rows)
    if frame is not None:
        frame.index = frame.index if labels is None else labels
    whole = dataclasses.replace(design, columns=columns, weights=weights, offset=offset, kept=kept, row_labels=labels)
    return whole, frame


def _labels(frame: pd.DataFrame, names: list[str | None]) -> Any:
    import pandas as pd

    if frame.shape[1] > 1:
        return pd.MultiIndex.from_frame(frame, names=names)
    return pd.Index(frame.iloc[:, 0], name=names[0])
