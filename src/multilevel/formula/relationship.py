"""Known relationships between the levels of a grouping factor: kinship, phylogeny, distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.arrays import number_array
from multilevel.data.factors import positions
from multilevel.data.frames import column_from_values
from multilevel.data.levels import Levels
from multilevel.errors import DataError, DataTypeError
from multilevel.formula.design import GroupingFactor, LevelRelation

FloatArray = npt.NDArray[np.float64]

SYMMETRY = 1e-8
"""Elements that mirror one another may differ by this share of the largest."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Relationship:
    """A relationship matrix with the labels of its rows; made by `relationship`.

    Attributes
    ----------
    matrix : ndarray
        The matrix K, shape (m, m): the random effects of the levels have covariance K times the term's covariance matrix.
    labels : tuple of str
        The levels that its rows belong to.
    """

    matrix: FloatArray
    labels: tuple[str, ...]

    def __repr__(self) -> str:
        """Return the size."""
        return f"Relationship of {len(self.labels)} levels"


@checked
def relationship(matrix: Any, labels: Sequence[Any] | None = None, *, inverse: bool = False) -> Relationship:
    """Describe how the levels of a grouping factor are related, for the argument `relationship` of `lmer`.

    Parameters
    ----------
    matrix : data frame or array_like or sparse array
        A symmetric positive definite matrix K, such as an additive relationship (kinship) matrix, the shared branch lengths of a
        phylogeny, or correlations by distance. The labels of a pandas data frame name the levels.
    labels : sequence, optional
        The level of each row, needed where the matrix has no labels.
    inverse : bool, default False
        Whether the matrix given is the inverse of K, as programs for pedigrees write it.

    Returns
    -------
    Relationship
        The matrix and its labels.

    Raises
    ------
    DataError, DataTypeError
        The matrix is not square, symmetric and positive definite, or the labels do not fit it.

    Examples
    --------
    >>> import multilevel as ml
    >>> ml.relationship([[1.0, 0.5], [0.5, 1.0]], ["mother", "child"])
    Relationship of 2 levels
    """
    found, own = _matrix(matrix)
    if labels is None:
        if own is None:
            raise DataTypeError(
                "A relationship matrix needs labels: give a pandas data frame with the levels as index and columns, or labels=."
            )
        names = own
    else:
        names = _texts(labels)
    m = len(names)
    if found.shape != (m, m):
        raise DataError(
            f"A relationship matrix must be square with a label for each row: it has shape {found.shape} and {m} labels."
        )
    if len(set(names)) < m:
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"The relationship matrix has several rows for the level {twice!r}; keep one.")
    if not np.isfinite(found).all():
        raise DataError("The relationship matrix has values that are missing or infinite.")
    if np.abs(found - found.T).max(initial=0.0) > SYMMETRY * np.abs(found).max(initial=0.0):
        raise DataError("The relationship matrix is not symmetric.")
    found = 0.5 * (found + found.T)
    lower = _cholesky(found)
    if inverse:
        half = np.linalg.inv(lower)
        found = half.T @ half
    found.flags.writeable = False
    return Relationship(found, names)


def _matrix(matrix: Any) -> tuple[FloatArray, tuple[str, ...] | None]:
    """Return the numbers, and the labels of a data frame."""
    if hasattr(matrix, "toarray"):
        return np.asarray(matrix.toarray(), dtype=np.float64), None
    if hasattr(matrix, "index") and hasattr(matrix, "columns") and hasattr(matrix, "to_numpy"):
        rows, columns = _texts(matrix.index), _texts(matrix.columns)
        if rows != columns:
            raise DataError(
                "The relationship matrix must have the same labels in its rows and columns, in the same order."
            )
        return number_array(matrix.to_numpy(), "A relationship matrix"), rows
    try:
        found = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataTypeError(f"A relationship matrix must hold numbers, not {type(matrix).__name__}.") from error
    return found, None


def _texts(labels: Any) -> tuple[str, ...]:
    """Write labels as the levels of a column of such values are written."""
    column = column_from_values("labels", labels if hasattr(labels, "__len__") else list(labels))
    factor = column.as_factor()
    if factor.has_missing:
        raise DataError("A label of the relationship matrix is missing; give every row its level.")
    names = factor.levels.names
    return tuple(names[code] for code in factor.codes.tolist())


def _cholesky(matrix: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        raise DataError(
            f"The relationship matrix is not positive definite (its smallest eigenvalue is {smallest:.2g}); levels that are copies"
            " of one another must be one level, and rounding is mended by adding a small number to the diagonal."
        ) from error


def relationships(given: Any) -> dict[str, Relationship]:
    """Return the relationships by grouping factor, checked."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DataTypeError(
            "relationship must map the names of grouping factors to relationship matrices: {'animal': K}."
        )
    found = {}
    for name, value in given.items():
        if isinstance(value, Relationship):
            found[str(name)] = value
        elif isinstance(value, tuple):
            found[str(name)] = relationship(*value)
        else:
            found[str(name)] = relationship(value)
    return found


def related_factor(factor: GroupingFactor, known: Relationship) -> GroupingFactor:
    """Return a grouping factor with the relationship of its levels; levels without rows are left for predictions.

    Raises
    ------
    DataError
        A level of the factor has no row in the matrix.
    """
    at = positions(factor.level_set, Levels(known.labels))
    absent = [level for level, place in zip(factor.levels, at, strict=True) if place < 0]
    if absent:
        some = ", ".join(repr(level) for level in absent[:3]) + (", …" if len(absent) > 3 else "")
        raise DataError(
            f"The relationship matrix of {factor.name!r} has no row for {len(absent)} of the {factor.n_levels} levels in the data"
            f" ({some}); give a matrix with all of them."
        )
    lower = _cholesky(known.matrix[np.ix_(at, at)])
    lower.flags.writeable = False
    others = np.setdiff1d(np.arange(len(known.labels)), at)
    across = known.matrix[np.ix_(others, at)]
    relation = LevelRelation(lower, tuple(known.labels[o] for o in others), across)
    return GroupingFactor(factor.name, factor.codes, factor.level_set, relation)
