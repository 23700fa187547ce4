"""What an expression in a formula can evaluate to, besides plain numbers and arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, factorize
from multilevel.data.levels import Levels
from multilevel.errors import FormulaError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Logical:
    """Truth values, 0 and 1, with NaN where the truth is not known."""

    values: FloatArray

    def as_factor(self) -> Factor:
        """Return the two-level factor that R makes of truth values."""
        unknown = np.isnan(self.values)
        codes = np.where(unknown, -1, self.values).astype(np.int32)
        return Factor(codes, Levels(np.array([False, True])), logical=True, has_missing=bool(unknown.any()))


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Several columns made by one expression, such as the basis of a spline, with what R adds to their names."""

    values: FloatArray
    names: tuple[str, ...]


# Constants are float, str, bool or None, and lists of these (written c(...) in a formula).
Constants = float | str | bool | list[Any] | None
Value = npt.NDArray[Any] | Logical | Matrix | Factor | Constants
Variable = npt.NDArray[Any] | Matrix | Factor


def as_numbers(value: Value, where: str) -> Any:
    """Return a float or an array of floats, for arithmetic."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64, copy=False)
    if isinstance(value, Logical):
        return value.values
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, list):
        return np.asarray(value, dtype=np.float64)
    if isinstance(value, Matrix):
        if value.values.shape[1] == 1:
            return value.values[:, 0]
        raise FormulaError(f"{where} needs one column of numbers, and its argument has {value.values.shape[1]}.")
    kind = "a factor or text" if isinstance(value, Factor) else "a piece of text" if isinstance(value, str) else "NULL"
    raise FormulaError(f"{where} needs numbers, and its argument is {kind}.")


def as_factor(value: Value, where: str) -> Factor:
    """Return a factor made of any column."""
    if isinstance(value, Factor):
        return value
    if isinstance(value, Logical):
        return value.as_factor()
    if isinstance(value, np.ndarray):
        return factorize(value)
    raise FormulaError(f"{where} needs a column.")


def as_text(value: Value, n_rows: int) -> npt.NDArray[np.object_]:
    """Return the text of a column or constant per row, None where missing."""
    if isinstance(value, str):
        return np.full(n_rows, value, dtype=object)
    factor = as_factor(value, "The expression")
    names = np.array([*factor.levels.names, None], dtype=object)
    return cast("npt.NDArray[np.object_]", names[factor.codes])


def per_row(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let a function of numbers go over rows without complaint about values outside its domain: they become NaN."""

    def quiet(value: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(value)

    return quiet
