"""Which rows of the data are in a fit: R's ``subset``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.data.frames import Frame, column_from_values
from multilevel.errors import DataError, DataTypeError
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.syntax import parse_expression
from multilevel.formula.values import Logical

BoolArray = npt.NDArray[np.bool_]

TAKEN = "subset must be an expression such as \"age > 40 & sex == 'f'\", or one truth value per row"


def rows_kept(frame: Frame, subset: Any) -> BoolArray:
    """Return which rows a subset keeps; as in R, rows where the truth is not known are not kept.

    Parameters
    ----------
    frame
        The data.
    subset
        An expression of the columns, or one truth value per row.

    Raises
    ------
    DataTypeError
        It does not say true or false of each row.
    DataError
        It has another length, or keeps no row.
    """
    kept = _of_text(frame, subset) if isinstance(subset, str) else _of_values(frame, subset)
    if not kept.any():
        raise DataError(f"subset{f' {subset!r}' if isinstance(subset, str) else ''} keeps none of {frame.n_rows} rows.")
    return kept


def _of_text(frame: Frame, text: str) -> BoolArray:
    value = Evaluator(frame).value(parse_expression(text))
    if isinstance(value, Logical) and value.values.shape == (frame.n_rows,):
        return np.asarray(value.values == 1.0)
    if isinstance(value, Factor) and value.logical:
        return np.asarray(value.codes == 1)
    raise DataTypeError(f"{TAKEN}; {text!r} is neither true nor false.")


def _of_values(frame: Frame, values: Any) -> BoolArray:
    if not hasattr(values, "__len__") or np.ndim(values) != 1:
        raise DataTypeError(f"{TAKEN}, not {type(values).__name__}.")
    if len(values) != frame.n_rows:
        raise DataError(f"subset has {len(values)} values and the data have {frame.n_rows} rows; they must match.")
    column = column_from_values("subset", values)
    if isinstance(column.values, Factor) or column.values.dtype.kind != "b":
        raise DataTypeError(f"{TAKEN}; it holds something else.")
    truth = np.asarray(column.values, dtype=np.bool_)
    return truth if column.missing is None else truth & ~column.missing
