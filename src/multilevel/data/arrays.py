"""Arrays of numbers out of what a user gives for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import DataError, DataTypeError


def number_array(values: Any, what: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float64]:
    """Return finite numbers as an array.

    Parameters
    ----------
    values
        What was given.
    what
        What it is, as the subject of a sentence.
    shape
        The shape that it must have, if any.

    Raises
    ------
    DataTypeError
        It does not hold numbers.
    DataError
        They are not finite, or have another shape.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "biufO":
            raise TypeError
        found = found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError(f"{what} must be numbers; {type(values).__name__} cannot be read as such.") from None
    if shape is not None and found.shape != shape:
        raise DataError(f"{what} has the shape {found.shape}; it must have {shape or 'one value'}.")
    if not np.isfinite(found).all():
        raise DataError(f"{what} must be finite numbers; some are missing or infinite.")
    return found
