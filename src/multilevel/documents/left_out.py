"""What of the data did not enter a fit, in sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.errors import DataError
from multilevel.model.identification import identification_notes
from multilevel.model.source import used_frame
from multilevel.quality.source_data import only_rows
from multilevel.reporting.summary import problems

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

_NAME = re.compile(r"`([^`]+)`|([^\W\d][\w.]*)")


def left_out(fit: LinearMixedModel) -> tuple[str, ...]:
    """Say which rows, columns and levels were left out, whether the fit is on the boundary, and what it does not identify."""
    found = list(problems(fit.n_missing, fit._design.missing_by_column, fit.dropped_columns, fit.is_singular))
    found += identification_notes(fit)
    for name, levels in unused_levels(fit).items():
        shown = ", ".join(levels[:5]) + (f" and {len(levels) - 5} more" if len(levels) > 5 else "")
        word = "level without rows was" if len(levels) == 1 else "levels without rows were"
        found.append(f"{name}: {len(levels)} {word} left out ({shown})")
    return tuple(found)


def unused_levels(fit: LinearMixedModel) -> dict[str, tuple[str, ...]]:
    """Return the declared levels of the formula's categorical columns that no row of the fit has.

    Only columns that declare their levels (pandas' and polars' categories) can have such; a fit without its data frame has none to
    tell of.
    """
    import narwhals.stable.v2 as nw

    try:
        data = used_frame(fit)
    except DataError:
        return {}
    frame = _frame(data.native())
    if frame is None:
        return {}
    names = {quoted or plain for quoted, plain in _NAME.findall(str(fit.formula))}
    kept = fit._design.kept
    used = frame if kept is None else _frame(only_rows(frame.to_native(), np.asarray(kept)))
    found: dict[str, tuple[str, ...]] = {}
    for name in frame.columns:
        if name not in names or not isinstance(frame[name].dtype, nw.Categorical | nw.Enum):
            continue
        present = set(used[name].unique().to_list())
        lost = tuple(str(level) for level in frame[name].cat.get_categories().to_list() if level not in present)
        if lost:
            found[name] = lost
    return found


def _frame(data: Any) -> Any:
    import narwhals.stable.v2 as nw

    if isinstance(data, dict):
        return None
    frame: Any = nw.from_native(data)
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame
