"""The rows of a design and its data frame, as arrays and Parquet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.data.caller import warn_caller
from multilevel.data.frames import Frame
from multilevel.data.kept import KeptFrame, keep_columns
from multilevel.errors import MultilevelWarning
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require, texts
from multilevel.export.stored_tables import frame_content, read_table, table_content
from multilevel.formula.design import Design, GroupingFactor
from multilevel.formula.residual import residual_names, residual_parts
from multilevel.model.source import frame_changes, whole_frame

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
    if design.data is not None:
        if changes := frame_changes(fit):
            warn_caller(
                f"Only the columns that the fit used are saved with it, as they were: {changes}.", MultilevelWarning
            )
        # A version that knows nothing of replaced responses must take such a fit for one without a frame.
        place = "frame_without_response" if design.response_replaced else "frame"
        found[place] = writer.member("rows/frame.parquet", frame_content(whole_frame(fit)))
        found["used"] = design.data.columns
    return found


def restore_rows(
    design: Design, stored: Any, arguments: Mapping[str, Any], reader: ArchiveReader
) -> tuple[Design, Any]:
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
    replaced = stored.get("frame_without_response")
    member = stored["frame"] if replaced is None else replaced
    frame = data = None
    if member is not None:
        frame = read_table(member, reader, design.n_rows)
        frame.index = frame.index if labels is None else labels
        data = _used_columns(frame, design, stored.get("used"), arguments)
    whole = dataclasses.replace(
        design,
        columns=columns,
        weights=weights,
        offset=offset,
        kept=kept,
        row_labels=labels,
        data=data,
        response_replaced=replaced is not None,
    )
    return whole, frame


def _used_columns(frame: Any, design: Design, names: Any, arguments: Mapping[str, Any]) -> KeptFrame:
    """Return the columns that the fit used; files of earlier versions do not name them."""
    if names is None:
        beside = [name for name in (arguments["weights"], arguments["offset"]) if isinstance(name, str)]
        names = [*design.formula.variables, *beside, *residual_names(residual_parts(arguments["residual"]))]
    found = Frame(frame)
    used = {name: found.column(name) for name in texts(names)}
    return keep_columns(found, used, lambda _: None, lambda _: None)


def _labels(frame: pd.DataFrame, names: list[str | None]) -> Any:
    import pandas as pd

    if frame.shape[1] > 1:
        return pd.MultiIndex.from_frame(frame, names=names)
    return pd.Index(frame.iloc[:, 0], name=names[0])
