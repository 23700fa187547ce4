"""The record that the formula layer hands to the engine: columns of numbers and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.kept import KeptFrame
from multilevel.data.levels import Levels
from multilevel.formula.grammar import Formula
from multilevel.formula.syntax import Name, names_in

if TYPE_CHECKING:
    from multilevel.formula.encoder import DesignEncoder

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class LevelRelation:
    """How the levels of a grouping factor are related.

    Attributes
    ----------
    lower
        Lower Cholesky factor of the relationship matrix of the levels in the data.
    others
        Levels of the matrix without rows in the data.
    across
        The relationships of these with the levels in the data, a row for each.
    """

    lower: FloatArray
    others: tuple[str, ...]
    across: FloatArray


@dataclass(frozen=True, slots=True, init=False, eq=False)
class GroupingFactor:
    """A grouping factor as it stands in the rows of a design.

    Parameters
    ----------
    name
        The factor as written in the formula, for example ``"school"`` or ``"class:school"``.
    codes
        For each row, the position of its level (0-based, ``int32``).
    levels
        The levels in R's order; unused levels are not among them. Their text may be written out later.
    relation
        How the levels are related, or None where their random effects are independent.
    """

    name: str
    codes: IntArray
    level_set: Levels
    relation: LevelRelation | None

    def __init__(
        self, name: str, codes: IntArray, levels: Levels | Sequence[str], relation: LevelRelation | None = None
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "level_set", levels if isinstance(levels, Levels) else Levels(tuple(levels)))
        object.__setattr__(self, "relation", relation)

    @property
    def n_levels(self) -> int:
        """Number of levels; cheap, whereas `levels` writes out the name of each when first read."""
        return len(self.level_set)

    @property
    def levels(self) -> tuple[str, ...]:
        """The level names, as text."""
        return self.level_set.names


@dataclass(frozen=True, slots=True, eq=False)
class RandomTerm:
    """One random-effects term: the columns left of its bar and the factor right of it.

    Attributes
    ----------
    label
        The term as text, for example ``"Days | Subject"``.
    factor
        The grouping factor. Terms on the same factor share one and the same object.
    names
        The names of the columns, as R names them.
    columns
        For each name, its position in `Design.columns`.
    structure
        The covariance structure: ``"unstructured"``, ``"diagonal"``, or a patterned one such as ``"ar1"``.
    """

    label: str
    factor: GroupingFactor
    names: tuple[str, ...]
    columns: tuple[int, ...]
    structure: str = "unstructured"


@dataclass(frozen=True, slots=True, eq=False)
class ResidualDesign:
    """The residual structure as it stands in the rows of a design.

    Attributes
    ----------
    stratum_name
        The factor whose levels have a residual variance each, or None.
    strata
        Its levels; the first is the one that σ belongs to.
    stratum_codes
        The position of each row's level.
    kind
        ``"ar1"`` or ``"car1"`` where residuals are correlated, or None.
    time_name, within_name
        The time, or None for the order of the rows, and the groups within which rows are correlated.
    sequence
        The rows, group after group and by time within each.
    previous
        For each row the row before it in its group, or −1.
    gap
        For each row the time since the row before it; 0 for the first of a group.
    """

    stratum_name: str | None
    strata: tuple[str, ...]
    stratum_codes: IntArray
    kind: str | None
    time_name: str | None
    within_name: str | None
    sequence: IntArray
    previous: IntArray
    gap: FloatArray

    def groups_and_times(self) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return the number of each row's group and its time since the group's first row."""
        first = self.previous[self.sequence] < 0
        number = np.cumsum(first) - 1
        elapsed = np.cumsum(self.gap[self.sequence])
        elapsed -= elapsed[np.flatnonzero(first)][number]
        group, time = np.empty(first.size, dtype=np.int64), np.empty(first.size)
        group[self.sequence], time[self.sequence] = number, elapsed
        return group, time

    def take(self, rows: npt.NDArray[np.integer], copy: npt.NDArray[np.integer]) -> ResidualDesign:
        """Return the structure of some rows, whole groups of them, each with the number of the copy that it is part of."""
        n = self.stratum_codes.size
        if self.kind is None:
            return replace(self, stratum_codes=self.stratum_codes[rows])
        keys = copy.astype(np.int64) * n + rows
        order = np.argsort(keys)
        before = self.previous[rows]
        wanted = copy.astype(np.int64) * n + before
        found = order[np.searchsorted(keys, wanted, sorter=order).clip(max=keys.size - 1)]
        place = np.empty(n, dtype=np.int64)
        place[self.sequence] = np.arange(n)
        return replace(
            self,
            stratum_codes=self.stratum_codes[rows],
            sequence=np.lexsort((place[rows], copy)).astype(np.int32),
            previous=np.where(before < 0, -1, found).astype(np.int32),
            gap=self.gap[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Everything a fit needs from formula and data, one float column per distinct variable.

    Attributes
    ----------
    formula
        The formula, with ``.`` expanded.
    columns
        Array of shape (n, c), Fortran order, read-only: the fixed-effects columns first, then the columns
        that only random terms use, and the response last. A variable that both parts use is stored once.
    n_fixed
        Number of fixed-effects columns p; ``columns[:, :n_fixed]`` is X.
    fixed_names
        Their names, as R names them.
    fixed_assign
        For each fixed-effects column, the position of its term in `term_labels`, counted from 1; 0 is the intercept,
        as in R.
    term_labels
        The fixed-effects terms in R's order, without the intercept.
    dropped_names
        Fixed-effects columns left out because earlier ones determine them.
    response_name
        The response as written, for example ``"log(y)"``.
    random
        The random terms, in formula order.
    weights
        Prior weights of the rows (precision up to σ²), or None.
    offset
        The sum of the offsets per row, or None. It is not subtracted from the response here.
    n_rows
        Rows in the data as given.
    kept
        For each row as given, whether it is in the design; None when all are.
    missing_by_column
        For each variable with missing values, how many rows lack it.
    na_action
        ``"omit"``, ``"exclude"`` or ``"fail"``.
    row_labels
        Labels of the rows as given (the pandas index), or None for 0, 1, 2, …
    encoder
        Makes the same columns of new data, or None where the design was not made from a formula.
    residual
        How the residuals' variances differ and how they are correlated, or None where they are independent with variance σ²/w.
    data
        The columns that formula and arguments name, all rows as given, as they were when the design was made; None where they are
        not at hand.
    response_replaced
        Whether the response is not what the formula makes of these columns.
    """

    formula: Formula
    columns: FloatArray
    n_fixed: int
    fixed_names: tuple[str, ...]
    fixed_assign: tuple[int, ...]
    term_labels: tuple[str, ...]
    dropped_names: tuple[str, ...]
    response_name: str
    random: tuple[RandomTerm, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    n_rows: int
    kept: npt.NDArray[np.bool_] | None
    missing_by_column: dict[str, int]
    na_action: str
    row_labels: Any | None
    encoder: DesignEncoder | None = None
    residual: ResidualDesign | None = None
    data: KeptFrame | None = None
    response_replaced: bool = False

    def with_response(self, values: FloatArray) -> Design:
        """Return the same design with another response.

        A response that is a column takes its place among the data, too.
        """
        columns = self.columns.copy(order="F")
        columns[:, -1] = values
        columns.flags.writeable = False
        node, data = self.formula.response_node, self.data
        if data is None:
            return replace(self, columns=columns)
        if isinstance(node, Name) and node.id not in names_in(self.formula.right_node):
            return replace(self, columns=columns, data=data.with_values(node.id, columns[:, -1], self.kept))
        return replace(self, columns=columns, response_replaced=True)

    def given_response(self) -> FloatArray | None:
        """Return the response for all rows as given, NaN in those left out, where the data do not have it."""
        if not self.response_replaced or self.kept is None:
            return self.y if self.response_replaced else None
        whole = np.full(self.n_rows, np.nan)
        whole[self.kept] = self.y
        return whole

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return int(self.columns.shape[0])

    @property
    def X(self) -> FloatArray:  # noqa: N802
        """The fixed-effects design matrix, shape (n, p)."""
        return self.columns[:, : self.n_fixed]

    @property
    def y(self) -> FloatArray:
        """The response, shape (n,), without the offset subtracted."""
        return self.columns[:, -1]
