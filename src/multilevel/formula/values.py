"""What an expression in a formula can evaluate to, besides plain numbers and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, factorize
from multilevel.data.levels import Levels, level_text
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
class Text(Factor):
    """Text that an expression made: a factor whose levels are the texts, and no codes to count with."""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Several columns made by one expression, such as the basis of a spline, with what R adds to their names."""

    values: FloatArray
    names: tuple[str, ...]


# Constants are float, str, bool or None, and lists of these (written c(...) in a formula).
Constants = float | str | bool | list[Any] | None
Value = npt.NDArray[Any] | Logical | Matrix | Factor | Constants
Variable = npt.NDArray[Any] | Matrix | Factor


def as_numbers(value: Value, where: object) -> Any:
    """Return a float or an array of floats, for arithmetic; `where` is what is said to need them."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64, copy=False)
    if isinstance(value, Logical):
        return value.values
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, Matrix):
        if value.values.shape[1] == 1:
            return value.values[:, 0]
        raise FormulaError(f"{where} needs one column of numbers, and its argument has {value.values.shape[1]}.")
    if isinstance(value, list):
        if len(value) == 1:
            return as_numbers(value[0], where)
        if all(isinstance(item, bool | int | float) for item in value):
            return np.array(value, dtype=np.float64)
        kind = f"the list {described(value)}"
    else:
        kind = "a factor or text" if isinstance(value, Factor) else described(value)
    raise FormulaError(f"{where} needs numbers, and its argument is {kind}.")


def as_rows(value: Value, n_rows: int, where: str) -> FloatArray:
    """Return one number for each row: those of a column, or a constant."""
    found = np.asarray(as_numbers(value, where), dtype=np.float64)
    if found.shape not in ((), (n_rows,)):
        raise FormulaError(
            f"{where[0].upper()}{where[1:]} must be one number or one for each of {n_rows} rows, not {found.size}."
        )
    return np.broadcast_to(found, (n_rows,))


def described(value: Value) -> str:
    """Write a value for a message: a constant as it is, a column as such."""
    if isinstance(value, Logical | Matrix | Factor | np.ndarray):
        return "a column"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, list):
        shown = ", ".join(repr(item) if isinstance(item, str) else level_text(item) for item in value[:3])
        return f"c({shown}{', …' if len(value) > 3 else ''})"
    return "NaN" if np.isnan(value) else level_text(float(value))


def is_column(value: Value) -> bool:
    """Tell whether a value has one entry for each row."""
    return isinstance(value, Logical | Matrix | Factor | np.ndarray)


def check_lengths(where: object, *values: Value) -> None:
    """Refuse a list of constants beside a column, or beside a list of another length."""
    lists = [value for value in values if isinstance(value, list) and len(value) != 1]
    if lists and (any(map(is_column, values)) or len({len(value) for value in lists}) > 1):
        others = [value for value in values if value is not lists[0]]
        other = next((value for value in others if is_column(value)), None)
        beside = "a column" if other is not None else f"one of {len(lists[-1])}"
        raise FormulaError(
            f"{where} joins a list of {len(lists[0])} constants, {described(lists[0])}, and {beside}; it needs single constants"
            " beside columns, and lists of the same length."
        )


def as_factor(value: Value, where: object) -> Factor:
    """Return a factor made of any column."""
    if isinstance(value, Factor):
        return value
    if isinstance(value, Logical):
        return value.as_factor()
    if isinstance(value, np.ndarray):
        return factorize(value)
    raise FormulaError(f"{where} needs a column, and has {described(value)}.")


def as_text(value: Value, n_rows: int) -> npt.NDArray[np.object_]:
    """Return the text of a column or constant per row, None where missing."""
    if isinstance(value, str):
        return np.full(n_rows, value, dtype=object)
    factor = as_factor(value, "The expression")
    names = np.array([*factor.levels.names, None], dtype=object)
    return cast("npt.NDArray[np.object_]", names[factor.codes])


def truth(value: Value, where: object) -> Any:
    """Return whether values are true, 0 or 1, and NaN where it is not known."""
    if isinstance(value, Factor) and value.logical:
        return np.where(value.codes < 0, np.nan, value.codes)
    found = as_numbers(value, where)
    return np.where(np.isnan(found), np.nan, found != 0)


# ---- constants as arguments ----------------------------------------------------------------------------------------


def number(value: Value, what: str) -> float:
    """Return an argument that must be one finite number."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise FormulaError(f"{what} must be a number, not {described(value)}.")
    return float(value)


def whole(value: Value, what: str) -> int:
    """Return an argument that must be one whole number."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    good = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    if not good or value != int(value):  # type: ignore[arg-type]
        raise FormulaError(f"{what} must be a whole number, not {described(value)}.")
    return int(value)


def flag(value: Value, what: str) -> bool:
    """Return an argument that must be TRUE or FALSE (or 1 or 0)."""
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise FormulaError(f"{what} must be TRUE or FALSE, not {described(value)}.")


def constants(value: Value, what: str) -> list[Any]:
    """Return an argument that must be one constant or a list of them."""
    if is_column(value) or value is None:
        raise FormulaError(f"{what} must be constants, such as c('a', 'b'), not {described(value)}.")
    return value if isinstance(value, list) else [value]


def numbers(value: Value, what: str, *, finite: bool = True) -> list[float]:
    """Return an argument that must be one number or a list of them."""
    items = [] if is_column(value) else value if isinstance(value, list) else [value]
    good = bool(items) and all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    found = np.array(items if good else [], dtype=np.float64)
    if not good or np.isnan(found).any() or (finite and not np.isfinite(found).all()):
        raise FormulaError(f"{what} must be numbers, such as c(1, 2), not {described(value)}.")
    listed: list[float] = found.tolist()
    return listed


def text(value: Value, what: str) -> str:
    """Return an argument that must be a piece of text."""
    if not isinstance(value, str):
        raise FormulaError(f"{what} must be text, not {described(value)}.")
    return value
