"""Rows with missing values: finding them, leaving them out, and saying so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.errors import ControlError, DataError, MissingValuesWarning

BoolArray = npt.NDArray[np.bool_]
NA_ACTIONS = ("omit", "exclude", "fail")


def check_na_action(na_action: str) -> str:
    """Return the action if it is one of ``"omit"``, ``"exclude"`` and ``"fail"``, R's names too."""
    name = na_action.removeprefix("na.") if isinstance(na_action, str) else na_action
    if name not in NA_ACTIONS:
        raise ControlError(f"na_action must be one of {', '.join(map(repr, NA_ACTIONS))}, not {na_action!r}.")
    return name


def missing_rows(values: npt.NDArray[Any]) -> BoolArray | None:
    """Return which rows of an array have a NaN, or None when no row has."""
    if all_finite(values):
        return None
    rows = np.isnan(values)
    if rows.ndim == 2:
        rows = rows.any(axis=1)
    return rows if rows.any() else None


def all_finite(values: npt.NDArray[Any]) -> bool:
    """Tell whether an array has neither missing nor infinite values."""
    if values.dtype.kind != "f":
        return True
    # A sum is not finite when any of its terms is not, so one pass without a temporary array settles the usual case.
    with np.errstate(all="ignore"):
        total = np.add.reduce(values, axis=None)
    return bool(np.isfinite(total)) or bool(np.isfinite(values).all())


def kept_rows(masks: Iterable[BoolArray], n_rows: int) -> BoolArray | None:
    """Return which rows have no missing value, or None when all are kept."""
    gone: BoolArray | None = None
    for mask in masks:
        gone = mask if gone is None else gone | mask
    if gone is None or not gone.any():
        return None
    return np.logical_not(gone, out=np.empty(n_rows, dtype=np.bool_))


def report_missing(missing_by_column: dict[str, int], n_kept: int, n_rows: int, na_action: str) -> None:
    """Warn about the rows left out, or refuse to go on if none is left or none may be left out."""
    gone = n_rows - n_kept
    columns = ", ".join(f"{name!r} ({count})" for name, count in missing_by_column.items())
    rows = f"{gone} of {n_rows} rows"
    if n_kept == 0:
        raise DataError(f"No rows are left: each of the {n_rows} rows has a missing value, in {columns}.")
    if na_action == "fail":
        raise DataError(
            f"{rows} have missing values, in {columns}; fill them in, or use na_action='omit' to leave these rows out."
        )
    warn_caller(f"{rows} were left out because of missing values in {columns}.", MissingValuesWarning)
