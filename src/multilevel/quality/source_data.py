"""The data frame of a fit, in the user's own kind: with columns replaced, or with only the rows that the fit used."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import column_name
from multilevel.errors import DataError, MissingValuesWarning, RankDeficiencyWarning
from multilevel.model.source import whole_frame

if TYPE_CHECKING:
    from multilevel.formula.grammar import Formula
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def with_columns(data: Any, columns: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Return a data frame of the same kind with columns replaced or added; the one given does not change."""
    if isinstance(data, Mapping) or _is_pandas(data):
        own = {column_name(name): name for name in data}
        placed = {own.get(name, name): values for name, values in columns.items()}
        if isinstance(data, Mapping):
            return {**data, **placed}
        changed = data.copy(deep=False)
        for name, values in placed.items():
            changed[name] = values
        return changed
    import narwhals.stable.v2 as nw

    frame = _eager(data)
    series = [nw.Series.from_numpy(name, values, backend=frame.implementation) for name, values in columns.items()]
    return frame.with_columns(*series).to_native()


def only_rows(data: Any, kept: BoolArray) -> Any:
    """Return a data frame of the same kind with some of its rows."""
    if isinstance(data, Mapping):
        return {name: values_of_rows(values, kept) for name, values in data.items()}
    if _is_pandas(data):
        return data.loc[kept]
    return _eager(data).filter(kept.tolist()).to_native()


def values_of_rows(values: Any, kept: BoolArray) -> Any:
    """Return some of the values of an array, a series or a list."""
    if hasattr(values, "iloc"):
        return values.iloc[np.flatnonzero(kept)]
    if hasattr(values, "filter"):
        return values.filter(kept.tolist())
    return np.asarray(values)[kept]


def refitted(
    fit: LinearMixedModel,
    formula: str | Formula,
    data: Any,
    response: FloatArray | None = None,
    **arguments: Any,
) -> LinearMixedModel:
    """Fit a formula to data with the criterion, the control and the arguments of a fit.

    What was said of its missing values and its dropped columns is not said again; starting values are not used again.

    Parameters
    ----------
    fit
        The fit.
    formula, data
        What to fit, and to what.
    response
        The response, where it is not what the formula makes of the data.
    **arguments
        Arguments to change.

    Raises
    ------
    DataError
        Other rows than those of the fit would be used.
    """
    from multilevel.model.lmer import fit_formula

    given = {**fit._data.arguments, **arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingValuesWarning)
        warnings.simplefilter("ignore", RankDeficiencyWarning)
        found = fit_formula(formula, data, given, fit.reml, replace(fit._control, start=None), response)
    if found.nobs != fit.nobs:
        raise DataError(
            f"The changed model would be fitted to {found.nobs} rows and the fit has {fit.nobs}: some values are not defined"
            f" under the formula '{formula}'."
        )
    return found


def on_rows_used(fit: LinearMixedModel) -> LinearMixedModel:
    """Return the fit on a data frame without the rows that it left out, so that smaller models keep to the same rows."""
    kept = fit._design.kept
    if kept is None:
        whole_frame(fit)
        return fit
    arguments = dict(fit._data.arguments)
    for name in ("weights", "offset"):
        if arguments.get(name) is not None and not isinstance(arguments[name], str):
            arguments[name] = values_of_rows(arguments[name], kept)
    response = fit._design.y if fit._design.response_replaced else None
    return refitted(fit, fit.formula, only_rows(whole_frame(fit), kept), response, **arguments)


def _is_pandas(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _eager(data: Any) -> Any:
    import narwhals.stable.v2 as nw

    frame: Any = nw.from_native(data)
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame
