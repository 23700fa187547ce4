"""The rows of a fitted model's data with more groups, or more rows in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.argument_rules import AtLeast, Numeral, check
from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame, unknown_column
from multilevel.errors import ControlError, DataError, UnknownColumnError
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.simulation import is_nested

IndexArray = npt.NDArray[np.int64]


def used_columns(fit: LinearMixedModel) -> dict[str, Any] | None:
    """Return the columns that a fit used, for the rows that it used; None where it has no data frame."""
    frame, kept = fit._design.data, fit._design.kept
    return None if frame is None else {name: _values(frame.column(name), kept) for name in frame.columns}


def _values(column: Column, kept: npt.NDArray[np.bool_] | None) -> Any:
    import pandas as pd

    values = column.values
    if isinstance(values, Factor):
        codes = values.codes if kept is None else values.codes[kept]
        return pd.Categorical.from_codes(codes, categories=pd.Index(values.levels.names), ordered=values.ordered)
    plain = values if column.missing is None else column.as_numbers()
    return plain if kept is None else plain[kept]


def extended_columns(fit: LinearMixedModel, extend: Mapping[str, int], within: Mapping[str, int]) -> dict[str, Any]:
    """Return the columns of a fit with other numbers of groups and of rows in each group.

    Parameters
    ----------
    fit
        The fit.
    extend
        How many levels a grouping variable is to have: copies of the levels there are, one after another, with their rows; or the
        first of them.
    within
        How many rows each level is to have: copies of its rows, one after another; or the first of them.
    """
    columns = used_columns(fit)
    if columns is None:
        raise DataError("The fit has no data frame to extend; fit the model with lmer.")
    for name in ("weights", "offset"):
        given = fit._data.arguments.get(name)
        if given is not None and not isinstance(given, str):
            raise ControlError(f"The fit's {name} are no column of its data, so they cannot be extended.")
    for group, count in extend.items():
        columns = _more_groups(fit, columns, group, _at_least_one(count, group))
    for group, count in within.items():
        codes, n_levels = _codes(fit, columns, group)
        rows = [at[np.arange(_at_least_one(count, group)) % len(at)] for at in _rows(codes, n_levels)]
        columns = _taken(columns, np.concatenate(rows))
    return columns


def _at_least_one(count: Any, group: str) -> int:
    found: int = check("extend", group, Numeral(whole=True, limits=AtLeast(1)), count)
    return found


def _codes(fit: LinearMixedModel, columns: dict[str, Any], group: str) -> tuple[npt.NDArray[np.int32], int]:
    if group not in fit.formula.grouping_variables:
        raise UnknownColumnError(
            unknown_column(group, fit.formula.grouping_variables, "The formula has no grouping variable named")
        )
    factor = Frame(columns).column(group).as_factor().drop_unused()
    return factor.codes, factor.n_levels


def _rows(codes: npt.NDArray[np.int32], n_levels: int) -> list[IndexArray]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_levels))[:-1])


def _taken(columns: dict[str, Any], rows: IndexArray) -> dict[str, Any]:
    return {name: values.take(rows) for name, values in columns.items()}


def _more_groups(fit: LinearMixedModel, columns: dict[str, Any], group: str, count: int) -> dict[str, Any]:
    """Repeat the levels of a grouping variable until there are enough; what is nested in them is new in every copy."""
    codes, n_levels = _codes(fit, columns, group)
    found = _rows(codes, n_levels)
    units = np.arange(count)
    rows = np.concatenate([found[unit % n_levels] for unit in units])
    copy = np.repeat(units // n_levels, [len(found[unit % n_levels]) for unit in units])
    result = _taken(columns, rows)
    for name in fit.formula.grouping_variables:
        own = Frame(columns).column(name).as_factor().drop_unused()
        if is_nested(own.codes, own.n_levels, codes):
            result[name] = _relabelled(own, rows, copy)
    return result


def _relabelled(factor: Factor, rows: IndexArray, copy: IndexArray) -> Any:
    import pandas as pd

    codes = factor.codes[rows] + copy * factor.n_levels
    names = factor.levels.names
    labels = [name if c == 0 else f"{name}.{c}" for c in range(int(copy.max()) + 1) for name in names]
    return pd.Categorical.from_codes(codes, categories=pd.Index(labels))
