"""Where a fit came from, and the one way to the columns of its data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.data.kept import KeptFrame
from multilevel.errors import DataError, DataTypeError
from multilevel.formula.deparse import quote_name
from multilevel.formula.design import Design
from multilevel.formula.relationship import relationships
from multilevel.formula.residual import ResidualPart

if TYPE_CHECKING:
    from multilevel.model.fit_facts import FitFacts


@dataclass(frozen=True, slots=True, eq=False)
class FitSource:
    """Where a fit came from, so that it can be updated.

    Attributes
    ----------
    frame
        The frame as given; whoever gave it may have changed it since.
    arguments
        The arguments beside it, as they were.
    """

    frame: Any
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, frame: Any, arguments: Mapping[str, Any], design: Design) -> FitSource:
        """Make the source of a design; values by row that the design holds are not held twice."""
        own = dict(arguments)
        for name in ("weights", "offset"):
            if own[name] is not None and not isinstance(own[name], str):
                held = design.weights if name == "weights" else None
                own[name] = held if held is not None and design.kept is None else _copied(own[name])
        return cls(frame, MappingProxyType(own))

    def __getstate__(self) -> tuple[Any, dict[str, Any]]:
        """Return what pickles: a mapping proxy does not."""
        return self.frame, dict(self.arguments)

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        """Restore."""
        object.__setattr__(self, "frame", state[0])
        object.__setattr__(self, "arguments", MappingProxyType(state[1]))


def own_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `lmer` that nobody else can change, those with a value for each row aside."""
    found = dict(arguments)
    if isinstance(found["contrasts"], Mapping):
        found["contrasts"] = {name: copy.deepcopy(choice) for name, choice in found["contrasts"].items()}
    residual = found["residual"]
    if isinstance(residual, Iterable) and not isinstance(residual, str | ResidualPart):
        found["residual"] = tuple(residual)
    if found["relationship"] is not None:
        found["relationship"] = relationships(found["relationship"])
    return found


def _copied(values: Any) -> Any:
    for name in ("copy", "clone"):
        if hasattr(values, name):
            return getattr(values, name)()
    return np.array(values) if isinstance(values, list | tuple) else values


# ---- the door to the data ----------------------------------------------------------------------------------------------


def column_of(fit: FitFacts, name: str) -> Column:
    """Return a column of the data of a fit, all rows as they were given.

    Columns that the fit used are as they were when it was made; others are read from the frame, if that is still the same
    otherwise.

    Raises
    ------
    DataError
        The fit has no data, or the frame has been changed since, so that its other columns may belong to other rows.
    UnknownColumnError
        There is no such column.
    """
    kept = fit._design.data
    if kept is None:
        raise DataError(
            f"The data of this fit are not at hand, so {name!r} cannot be looked up; give the values themselves, or fit the model"
            " again."
        )
    if name in kept:
        return kept.column(name)
    frame = fit._data.frame
    if frame is None:
        return kept.column(name)
    live = _readable(frame)
    if live is None or name in live:
        changed = _changes(kept, live)
        if changed:
            raise DataError(
                f"The column {name!r}, which the model does not use, cannot be looked up: {changed}, so that its rows may be"
                " others; give the values themselves, or fit the model again."
            )
    return (kept if live is None else live).column(name)


def data_used(fit: FitFacts, names: Iterable[str]) -> dict[str, Column]:
    """Return columns of the data of a fit, without the rows that it left out (see `column_of`)."""
    kept = fit._design.kept
    found = {}
    for name in names:
        column = column_of(fit, name)
        scale = None if fit._design.encoder is None else fit._design.encoder.state.get(quote_name(name))
        if scale is not None:
            column = column.counted_as(scale)
        values, missing = column.values, column.missing
        if kept is not None:
            values = values.keep_rows(kept) if isinstance(values, Factor) else values[kept]
            missing = None if missing is None else missing[kept]
        if isinstance(values, Factor):
            values = values.drop_unused()
        found[name] = replace(column, values=values, missing=None if missing is None or not missing.any() else missing)
    return found


def rows_used(
    design: Design, arguments: Mapping[str, Any]
) -> tuple[KeptFrame, dict[str, Any], npt.NDArray[np.float64] | None]:
    """Return the data of a design without the rows that it left out, its arguments, and a response that the data do not have."""
    frame, kept, own = design.data, design.kept, dict(arguments)
    if frame is None:
        raise DataError("The fit has no data frame to make another model of; fit the model with lmer.")
    if kept is not None:
        frame = frame.take(np.flatnonzero(kept))
        for name in ("weights", "offset"):
            if own[name] is not None and not isinstance(own[name], str):
                own[name] = np.asarray(own[name])[kept]
    return frame, own, design.y if design.response_replaced else None


def used_frame(fit: FitFacts) -> KeptFrame:
    """Return the columns that a fit used, all rows as given, as they were.

    Raises
    ------
    DataError
        The fit has no data.
    """
    kept = fit._design.data
    if kept is None or fit._design.encoder is None:
        raise DataError("The fit has no data frame to fit the changed model to; fit the model with lmer.")
    return kept


def whole_frame(fit: FitFacts) -> Any:
    """Return the data frame of a fit: the columns that it used as they were, and the others, where they belong to the same rows.

    Raises
    ------
    DataError
        The fit has no data.
    """
    kept = used_frame(fit)
    frame = fit._data.frame
    if frame is None:
        return kept.native()
    live = _readable(frame)
    return kept.native() if live is None or _changes(kept, live) else kept.within(live)


def frame_changes(fit: FitFacts) -> str:
    """Say what has become of the frame that was given since the fit was made; empty where it holds the same rows."""
    kept, frame = fit._design.data, fit._data.frame
    return "" if kept is None or frame is None else _changes(kept, _readable(frame))


def _readable(frame: Any) -> Frame | None:
    """Return a frame for its columns, None where it is no frame any more: its columns have different lengths, say."""
    try:
        return Frame(frame)
    except (DataError, DataTypeError):
        return None


def _changes(kept: KeptFrame, frame: Frame | None) -> str:
    found = None if frame is None else kept.differences(frame)
    if found is None:
        return "the data frame has other rows than it had when the model was fitted"
    if not found:
        return ""
    columns = "column" if len(found) == 1 else "columns"
    return (
        f"the data frame has been changed since the model was fitted, in the {columns}"
        f" {', '.join(repr(name) for name in found)}"
    )
