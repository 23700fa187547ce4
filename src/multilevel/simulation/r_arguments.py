"""What a user gives to R's random numbers: how many, with which parameters, out of what."""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError, DataError, DataTypeError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def whole_number(value: Any, name: str) -> int:
    """Return an integer, whatever kind of integer it is."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        hint = f"; write {int(value)}" if isinstance(value, float) and value.is_integer() else ""
        raise DataTypeError(f"{name} is {value!r}; it must be an integer{hint}.") from None


def count_of(value: Any, name: str) -> int:
    """Return a number of draws."""
    number = whole_number(value, name)
    if number < 0:
        raise DataError(f"{name} is {number}; it cannot be negative.")
    return number


def numbers_of(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return a parameter as a vector of at least one number."""
    try:
        if np.asarray(values).dtype.kind not in "biufO":
            raise TypeError
        numbers = np.array(values, dtype=np.float64, ndmin=1)
    except (TypeError, ValueError):
        raise DataTypeError(f"{name} must be a number or a vector of numbers.") from None
    if numbers.ndim > 1:
        raise DataTypeError(f"{name} has {numbers.ndim} dimensions; it must be a number or a vector of numbers.")
    if numbers.size == 0:
        raise DataError(f"{name} is empty.")
    return numbers


def scale_of(rate: npt.ArrayLike | None, scale: npt.ArrayLike | None) -> dict[str, FloatArray]:
    """Return the scale, which R's algorithms take, named after what was given."""
    if rate is None:
        return {"scale": numbers_of(1.0 if scale is None else scale, "scale")}
    if scale is not None:
        raise ControlError("Give rate or scale, not both: the scale is 1 / rate.")
    with np.errstate(divide="ignore"):
        return {"rate": 1.0 / numbers_of(rate, "rate")}


def population_of(x: Any) -> tuple[Any, int]:
    """Return what to draw from and its size; None in its place where `x` is the number of integers."""
    if isinstance(x, (str, bytes, Set, Mapping)):
        raise DataTypeError(
            f"x is of type {type(x).__name__}; it must be an integer or a sequence, whose elements have an order."
        )
    if not hasattr(x, "__len__") or (isinstance(x, np.ndarray) and x.ndim == 0):
        return None, count_of(x, "x")
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(x, (pandas.Series, pandas.Index)):
        x = x.array if isinstance(x.dtype, pandas.api.extensions.ExtensionDtype) else x.to_numpy()
    elif not hasattr(x, "take") and not hasattr(x, "gather"):
        x = array_of(list(x))
    if getattr(x, "ndim", 1) != 1:
        raise DataTypeError(f"x has {x.ndim} dimensions; draw row numbers instead and take those rows.")
    return x, len(x)


def array_of(elements: list[Any]) -> npt.NDArray[Any]:
    """Return a list as an array in which every element is still what it was."""
    with contextlib.suppress(ValueError):  # elements that are sequences of unequal lengths
        array = np.asarray(elements)
        if array.ndim == 1 and (array.dtype.kind not in "SU" or len({type(element) for element in elements}) == 1):
            return array
    array = np.empty(len(elements), dtype=object)
    for i, element in enumerate(elements):
        array[i] = element
    return array


def elements_at(population: Any, drawn: IntArray) -> Any:
    """Return the elements at the indices."""
    return population.gather(drawn) if hasattr(population, "gather") else population.take(drawn)
