"""Frames with columns added or replaced, of the same kind as the frame that came in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import Frame, column_name
from multilevel.errors import DataError

FloatArray = npt.NDArray[np.float64]


def with_columns(data: Any, columns: Mapping[str, FloatArray]) -> Any:
    """Return a frame with some columns added, or replaced where it has them.

    Parameters
    ----------
    data
        A frame of any library narwhals knows, or a mapping; it stays as it is.
    columns : mapping of str to ndarray
        The new columns. NaN becomes null where the library has both.

    Returns
    -------
    frame
        A frame of the same kind; a lazy one is collected.
    """
    pandas = sys.modules.get("pandas")
    if isinstance(data, Mapping):
        own = {column_name(name): name for name in data}
        return {**data, **{own.get(name, name): values for name, values in columns.items()}}
    if pandas is not None and isinstance(data, pandas.DataFrame):
        new = pandas.DataFrame(dict(columns), index=data.index)
        own = {column_name(name): name for name in data.columns}
        replaced = [name for name in columns if name in own]
        kept = data.copy() if replaced else data
        for name in replaced:
            kept[own[name]] = new[name]
        return pandas.concat([kept, new.drop(columns=replaced)], axis=1) if len(replaced) < len(columns) else kept
    import narwhals.stable.v2 as nw

    frame: Any = nw.from_native(data)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    series = []
    for name, values in columns.items():
        column = nw.Series.from_numpy(name, np.ascontiguousarray(values), backend=frame.implementation)
        series.append(column.fill_nan(None) if np.isnan(values).any() else column)
    return frame.with_columns(*series).to_native()


def refuse_overwriting(frame: Frame, names: list[str], remedy: str) -> None:
    """Raise where new columns would take the place of other data, or of one another."""
    taken = [name for name in dict.fromkeys(names) if name in frame or names.count(name) > 1]
    if taken:
        what = "the data have it already" if taken[0] in frame else "two of the new columns would have this name"
        raise DataError(f"The new column {taken[0]!r} cannot be made: {what}; {remedy}.")
