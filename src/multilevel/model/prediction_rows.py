"""The rows to predict: the fit's own, or those of new data with the design as it was learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import combine
from multilevel.data.frames import Frame, column_from_values, unknown_column
from multilevel.engine.prediction import EffectRows
from multilevel.errors import ControlError, DataError, DataTypeError, RankDeficiencyWarning, UnknownColumnError
from multilevel.formula.evaluate import Evaluator

if TYPE_CHECKING:
    from multilevel.formula.encoder import DesignEncoder
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

NA_ACTIONS = ("pass", "omit", "fail")


@dataclass(frozen=True, slots=True, eq=False)
class PredictionRows:
    """Rows to predict.

    Attributes
    ----------
    x
        Fixed-effects columns, shape (n, p).
    effects
        For each random term that takes part its columns (those not chosen are zero) and levels (−1: not in the fit).
    new
        For each of them the codes of the levels that the fit does not know, 0, 1, … in sorted order, −1 elsewhere; None where
        there are none.
    offset
        The known part of the linear predictor, or None.
    missing
        Rows that lack a value, or None.
    labels
        The index of the result.
    undetermined
        Rows whose fixed part has a value that the data of the fit do not determine, or None.
    """

    x: FloatArray
    effects: tuple[EffectRows, ...]
    new: tuple[Codes | None, ...]
    offset: FloatArray | None
    missing: BoolArray | None
    labels: Any
    undetermined: BoolArray | None = None

    @property
    def unknown(self) -> BoolArray | None:
        """The rows without a prediction, or None."""
        if self.missing is None or self.undetermined is None:
            return self.undetermined if self.missing is None else self.missing
        return self.missing | self.undetermined

    def keep(self, rows: BoolArray) -> PredictionRows:
        """Return some of the rows."""
        return replace(
            self,
            x=self.x[rows],
            effects=tuple(EffectRows(part.term, part.z[rows], part.codes[rows]) for part in self.effects),
            new=tuple(None if codes is None else codes[rows] for codes in self.new),
            offset=None if self.offset is None else self.offset[rows],
            missing=None if self.missing is None else self.missing[rows],
            labels=self.labels[rows],
            undetermined=None if self.undetermined is None else self.undetermined[rows],
        )


def training_rows(fit: LinearMixedModel, chosen: tuple[BoolArray, ...]) -> PredictionRows:
    """Return the rows that a fit used."""
    import pandas as pd

    design = fit._design
    effects = []
    for at, (term, mask) in enumerate(zip(fit._terms, chosen, strict=True)):
        if mask.any():
            z = design.columns[:, list(term.columns)]
            z[:, ~mask] = 0.0
            effects.append(EffectRows(at, z, term.factor.codes))
    labels = pd.RangeIndex(design.n_rows) if design.row_labels is None else design.row_labels
    if design.kept is not None:
        labels = labels[design.kept]
    return PredictionRows(design.X, tuple(effects), (None,) * len(effects), design.offset, None, labels)


def new_rows(
    fit: LinearMixedModel, frame: Frame, chosen: tuple[BoolArray, ...], *, allow_new_levels: bool, offset: Any
) -> PredictionRows:
    """Make the rows of new data.

    Raises
    ------
    DataError
        A grouping factor has a level that the fit does not know and none are allowed, or the offset is not known.
    UnknownColumnError
        A column that is needed is not there.

    Warns
    -----
    RankDeficiencyWarning
        The data of the fit do not determine the fixed part of some rows.
    """
    import pandas as pd

    encoder = fit._design.encoder
    if encoder is None:
        raise DataError("The fit was not made from a formula and a data frame, so that it cannot read new data.")
    encoder.refuse_numbers_for_times(frame)
    order = fit._engine.products.plan.term_order
    used = [at for at, mask in enumerate(chosen) if mask.any()]
    x, terms, own_offset = encoder.encode(frame, random=[order[at] for at in used])
    assert x is not None
    missing: BoolArray = np.asarray(np.isnan(x).any(axis=1))
    effects, new = [], []
    unknown: dict[str, tuple[Codes | None, BoolArray]] = {}
    for at in used:
        z, codes = terms[order[at]]
        missing |= np.isnan(z).any(axis=1)
        z[:, ~chosen[at]] = 0.0
        name = fit._terms[at].factor.name
        if name not in unknown:
            unknown[name] = _unknown_levels(encoder, frame, name, codes, allow_new_levels)
        missing |= unknown[name][1]
        effects.append(EffectRows(at, z, codes))
        new.append(unknown[name][0])
    total = _total_offset(fit, frame, own_offset, offset)
    if total is not None:
        missing |= np.isnan(total)
    labels = pd.RangeIndex(frame.n_rows) if frame.row_labels is None else frame.row_labels
    if fit._design.dropped_names and encoder.dropped is None:
        warn_caller(
            "This fit is from a file of an earlier version, which does not say how the columns that were dropped follow from the"
            " others: a prediction that the data do not determine is not told from others.",
            RankDeficiencyWarning,
        )
    undetermined = _undetermined(encoder, frame, x)
    return PredictionRows(
        x, tuple(effects), tuple(new), total, missing if missing.any() else None, labels, undetermined
    )


def _undetermined(encoder: DesignEncoder, frame: Frame, x: FloatArray) -> BoolArray | None:
    """Return the rows whose fixed part the data of the fit do not determine, None where there are none; warn about them."""
    if encoder.dropped is None:
        return None
    rows, names = encoder.undetermined(frame, x)
    if not rows.any():
        return None
    count = int(rows.sum())
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    warn_caller(
        f"{count} of {len(rows)} rows of the new data {'has' if count == 1 else 'have'} no prediction: the data of the fit do not"
        f" determine {'its' if count == 1 else 'their'} value, since columns of the fixed effects were dropped ({shown}).",
        RankDeficiencyWarning,
    )
    return rows


def _unknown_levels(
    encoder: DesignEncoder, frame: Frame, name: str, codes: Codes, allowed: bool
) -> tuple[Codes | None, BoolArray]:
    """Return codes of the levels that a fit does not know (None where there are none) and the rows without a prediction for it.

    Where new levels are allowed, a row without a level is one of a level of its own.
    """
    none = np.zeros(codes.size, dtype=np.bool_)
    if codes.min(initial=0) >= 0:
        return None, none
    evaluator = Evaluator(frame, encoder.state)
    factor = combine([evaluator.factor(member) for member in encoder.groups[name].members])
    absent = factor.codes < 0
    new = (codes < 0) & ~absent
    if not allowed and not new.any():
        return None, absent
    levels, places = np.unique(factor.codes[new], return_inverse=True)
    if not allowed:
        names = [factor.levels.names[i] for i in levels[:8].tolist()]
        shown = ", ".join(map(repr, names)) + (", …" if levels.size > 8 else "")
        what = "a level" if levels.size == 1 else "levels"
        raise DataError(
            f"The new data have {what} of the grouping factor {name!r} that the fit does not know: {shown};"
            " use allow_new_levels=True for predictions at its population value."
        )
    result = np.full(codes.size, -1, dtype=np.int32)
    result[new] = places
    result[absent] = levels.size + np.arange(np.count_nonzero(absent))
    return result, none


def _total_offset(fit: LinearMixedModel, frame: Frame, own: FloatArray | None, given: Any) -> FloatArray | None:
    """Return the formula's offsets and the one beside it, for new data."""
    argument = given if given is not None else getattr(fit._data, "arguments", {}).get("offset")
    if argument is None:
        return own
    if given is None and not isinstance(argument, str):
        raise DataError(
            "The fit was given an offset of one value per row, which says nothing about new data; give offset= for these"
            " (0 where there is none)."
        )
    values = row_numbers(frame, argument, "offset")
    return values if own is None else own + values


def row_numbers(frame: Frame, values: Any, what: str) -> FloatArray:
    """Return a column's name, one number, or one per row as numbers by row.

    Raises
    ------
    UnknownColumnError
        There is no such column.
    DataError, DataTypeError
        There is not one number for each row.
    """
    if isinstance(values, str):
        if values not in frame:
            raise UnknownColumnError(
                unknown_column(values, frame.columns, f"The new data have no column for {what} named")
            )
        column = frame.column(values)
    elif np.ndim(values) == 0:
        values = np.full(frame.n_rows, values)
        column = column_from_values(what, values)
    else:
        if len(values) != frame.n_rows:
            raise DataError(
                f"{what} has {len(values)} values and the new data have {frame.n_rows} rows; they must match."
            )
        column = column_from_values(what, values)
    if not column.is_numeric:
        raise DataTypeError(f"{what} must be numbers; {column.name!r} holds something else.")
    numbers = np.asarray(column.as_numbers(), dtype=np.float64)
    if np.isinf(numbers).any():
        raise DataError(f"{what} of the new data has {int(np.isinf(numbers).sum())} infinite values; correct them.")
    return numbers


def check_na_action(na_action: str) -> str:
    """Return the action if it is one of ``"pass"``, ``"omit"`` and ``"fail"``, or R's name of one of these.

    Raises
    ------
    ControlError
        It is none of these.
    """
    name = str(na_action).removeprefix("na.")
    name = "pass" if name == "exclude" else name
    if name not in NA_ACTIONS:
        raise ControlError(
            f"na_action of new data must be one of {', '.join(map(repr, NA_ACTIONS))}, not {na_action!r}."
        )
    return name
