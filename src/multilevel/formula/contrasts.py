"""Contrasts: the columns that stand for a factor beside an intercept, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataError
from multilevel.formula.splines import OrthogonalPolynomials

FloatArray = npt.NDArray[np.float64]

KINDS = ("treatment", "sum", "helmert", "poly", "SAS")


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """The coding of one factor.

    Attributes
    ----------
    matrix
        One row per level, one column per coefficient.
    suffixes
        What follows the factor's name in the names of the coefficients.
    indicators
        For each column, the level that it indicates, or -1 where it is no indicator.
    """

    matrix: FloatArray
    suffixes: tuple[str, ...]
    indicators: tuple[int, ...]


def make_contrast(spec: Any, levels: Sequence[str], factor: str) -> Contrast:
    """Make the contrasts of a factor.

    Parameters
    ----------
    spec
        ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"`` or ``"SAS"``; ``("treatment", base)`` with the base as a
        level's name or its position from 1 on; or a matrix with one row per level and one column fewer: an array, a
        nested list, or a data frame whose columns name the coefficients (and whose index, where it holds the names of
        the levels, puts the rows in order).
    levels
        The names of the levels.
    factor
        The factor's name, for messages.
    """
    if len(levels) < 2:
        raise DataError(
            f"The factor {factor!r} has only the level {levels[0]!r} in the rows used, so it has no contrast; "
            "remove it from the formula."
            if levels
            else f"The factor {factor!r} has no levels in the rows used; remove it from the formula."
        )
    if isinstance(spec, str):
        return _named(spec, levels, factor, None)
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], str):
        return _named(spec[0], levels, factor, spec[1])
    return _given(spec, levels, factor)


def _named(kind: str, levels: Sequence[str], factor: str, base: Any) -> Contrast:
    name = kind.removeprefix("contr.")
    if name not in KINDS:
        raise ControlError(
            f"The contrasts {kind!r} of {factor!r} are not known; use {', '.join(map(repr, KINDS))} or a matrix."
        )
    n = len(levels)
    if base is not None and name != "treatment":
        raise ControlError(f"The contrasts {kind!r} of {factor!r} have no base; only 'treatment' has one.")
    if name in ("treatment", "SAS"):
        reference = n - 1 if name == "SAS" else 0 if base is None else _base(base, levels, factor)
        others = tuple(i for i in range(n) if i != reference)
        return Contrast(np.eye(n)[:, others], tuple(levels[i] for i in others), others)
    if name == "sum":
        matrix = np.vstack([np.eye(n - 1), np.full(n - 1, -1.0)])
    elif name == "helmert":
        # Column j compares level j + 1 with the mean of those before it.
        matrix = np.where(np.arange(n)[:, None] <= np.arange(n - 1), -1.0, 0.0)
        matrix[np.arange(1, n), np.arange(n - 1)] = np.arange(1, n)
    else:
        scores = np.arange(1, n + 1, dtype=np.float64)
        matrix = OrthogonalPolynomials.fit(scores, n - 1)(scores)
        words = (".L", ".Q", ".C")
        suffixes = tuple(words[j] if j < 3 else f"^{j + 1}" for j in range(n - 1))
        return Contrast(matrix, suffixes, (-1,) * (n - 1))
    return Contrast(matrix, tuple(str(j) for j in range(1, n)), (-1,) * (n - 1))


def _base(base: Any, levels: Sequence[str], factor: str) -> int:
    if isinstance(base, str):
        if base in levels:
            return list(levels).index(base)
    elif isinstance(base, int | np.integer) and 1 <= base <= len(levels):
        return int(base) - 1
    shown = ", ".join(map(repr, levels[:8])) + (", …" if len(levels) > 8 else "")
    raise ControlError(f"The base {base!r} of the contrasts of {factor!r} is not one of its levels: {shown}.")


def _given(spec: Any, levels: Sequence[str], factor: str) -> Contrast:
    n = len(levels)
    suffixes: tuple[str, ...] | None = None
    if hasattr(spec, "columns") and hasattr(spec, "to_numpy"):
        labels = [level_text(name) for name in spec.columns]
        if not all(isinstance(name, int | np.integer) for name in spec.columns):
            suffixes = tuple(labels)
        index = [level_text(name) for name in spec.index] if hasattr(spec, "index") else []
        if sorted(index) == sorted(levels):
            spec = spec.iloc[[index.index(level) for level in levels]]
        spec = spec.to_numpy()
    try:
        matrix = np.asarray(spec, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ControlError(
            f"The contrasts of {factor!r} must be a name such as 'sum' or a matrix of numbers, not {spec!r}."
        ) from None
    if matrix.shape != (n, n - 1):
        size = " × ".join(map(str, matrix.shape)) or "a number"
        raise DataError(
            f"The contrast matrix of {factor!r} is {size}; the factor has {n} levels in the rows used, "
            f"so it must be {n} × {n - 1}."
        )
    if not np.isfinite(matrix).all():
        raise DataError(f"The contrast matrix of {factor!r} has values that are missing or infinite.")
    if np.linalg.matrix_rank(np.column_stack([np.ones(n), matrix])) < n:
        raise DataError(
            f"The contrast matrix of {factor!r} cannot tell all {n} levels apart: its columns and the intercept "
            "are linearly dependent."
        )
    return Contrast(matrix, suffixes or tuple(str(j) for j in range(1, n)), (-1,) * (n - 1))
