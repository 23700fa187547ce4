"""The memory of a design: everything needed to make the same columns of new data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Codes, Factor, codes_for, combine
from multilevel.data.frames import Frame
from multilevel.data.levels import Levels
from multilevel.data.times import NUMBER, describe_scale
from multilevel.errors import DataError, DataTypeError
from multilevel.formula.coding import CodedColumn, as_pieces_used, fill_column, match_levels
from multilevel.formula.deparse import deparse, quote_name
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.syntax import Name, Node
from multilevel.formula.values import Matrix, Variable, as_rows

FloatArray = npt.NDArray[np.float64]

NOT_ZERO = 1e-6
"""A dropped column that differs from what the others make of it by this share of its size is not determined."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupEncoder:
    """How a grouping factor is made: the variables it combines, and its levels."""

    name: str
    members: tuple[Node, ...]
    levels: Levels


@dataclass(frozen=True, slots=True, eq=False)
class RandomEncoder:
    """How one random-effects term is made: its columns, and the name of its grouping factor."""

    label: str
    columns: tuple[CodedColumn, ...]
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class DroppedColumns:
    """Columns of the fixed part that were left out because the others determine them.

    Attributes
    ----------
    columns
        The columns.
    weights
        How the columns that are left make each of them in the data, shape (p, d).
    sizes
        The root mean square of each in the data.
    """

    columns: tuple[CodedColumn, ...]
    weights: FloatArray
    sizes: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DesignEncoder:
    """Makes a design's columns of new data, with the levels, knots, means and contrasts of the first data.

    Rows with missing values give NaN, and a missing level of a grouping factor counts as a new one.

    Attributes
    ----------
    fixed
        The columns of the fixed part, those dropped left out.
    random
        The random-effects terms.
    groups
        The grouping factors, by name.
    nodes
        The variables of all terms, by their text.
    levels
        The levels of the factors among them.
    dropped
        The columns of the fixed part that were left out, or None where none were.
    """

    fixed: tuple[CodedColumn, ...]
    random: tuple[RandomEncoder, ...]
    groups: dict[str, GroupEncoder]
    nodes: dict[str, Node]
    levels: dict[str, Levels]
    matrices: dict[tuple[str, str], FloatArray]
    offsets: tuple[Node, ...]
    response: Node
    state: dict[str, Any]
    dropped: DroppedColumns | None = None

    def defects(self, data: Any, x: FloatArray) -> FloatArray:
        """Return what the columns left make of each dropped one in rows of new data, less what it is there; shape (n, d).

        Only where all of these are zero is the value of the fixed part one that the first data determine.
        """
        if self.dropped is None:
            return np.zeros((len(x), 0))
        return self._fill(self._evaluator(data), self.dropped.columns) - x @ self.dropped.weights

    def undetermined(self, data: Any, x: FloatArray) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
        """Return the rows of new data in which the first data do not determine the fixed part, and the columns that tell so."""
        dropped = self.dropped
        if dropped is None:
            return np.zeros(len(x), dtype=np.bool_), ()
        defects = np.abs(self.defects(data, x))
        # Rounding is in proportion to the terms of the sum.
        size = np.maximum(dropped.sizes, np.abs(x) @ np.abs(dropped.weights))
        apart = defects > NOT_ZERO * size
        names = tuple(column.name for column, own in zip(dropped.columns, apart.any(axis=0), strict=True) if own)
        return apart.any(axis=1), names

    def fixed_matrix(self, data: Any) -> FloatArray:
        """Return the fixed-effects columns of new data, shape (n, p)."""
        evaluator = self._evaluator(data)
        return self._fill(evaluator, self.fixed)

    def determined_matrix(self, data: Any) -> FloatArray:
        """Return the fixed-effects columns of new data, NaN in rows that the first data do not determine."""
        x = self.fixed_matrix(data)
        if self.dropped is not None:
            x[self.undetermined(data, x)[0]] = np.nan
        return x

    def random_matrices(self, data: Any) -> tuple[FloatArray, ...]:
        """Return, for each random-effects term, its columns of new data, shape (n, k)."""
        evaluator = self._evaluator(data)
        return tuple(self._fill(evaluator, term.columns) for term in self.random)

    def group_codes(self, data: Any) -> dict[str, Codes]:
        """Return, for each grouping factor by name, the codes of new data; -1 for levels not known."""
        evaluator = self._evaluator(data)
        return {name: self._codes(evaluator, group) for name, group in self.groups.items()}

    def encode(
        self, data: Any, *, fixed: bool = True, random: Iterable[int] | None = None
    ) -> tuple[FloatArray | None, dict[int, tuple[FloatArray, Codes]], FloatArray | None]:
        """Make several parts of new data at once, each variable evaluated once.

        Parameters
        ----------
        data
            A data frame with the columns that the parts need; the response is not needed.
        fixed
            Whether to make the fixed-effects columns and the offset.
        random
            The positions of the random-effects terms to make; None for all.

        Returns
        -------
        X : ndarray of shape (n, p) or None
        terms : dict
            For each position the columns and the codes of the levels.
        offset : ndarray of shape (n,) or None
        """
        evaluator = self._evaluator(data)
        wanted = range(len(self.random)) if random is None else tuple(random)
        variables: dict[str, Variable] = {}
        x = self._fill(evaluator, self.fixed, variables) if fixed else None
        offset = self._offset(evaluator) if fixed else None
        codes: dict[str, Codes] = {}
        terms = {}
        for position in wanted:
            term = self.random[position]
            if term.group not in codes:
                codes[term.group] = self._codes(evaluator, self.groups[term.group])
            terms[position] = (self._fill(evaluator, term.columns, variables), codes[term.group])
        return x, terms, offset

    def refuse_numbers_for_times(self, frame: Frame) -> None:
        """Refuse new data that give numbers for dates, times or durations: nothing says what they count.

        Raises
        ------
        DataTypeError
            A column that the fit read as times holds numbers.
        """
        for name in frame.columns:
            scale = self.state.get(quote_name(name))
            if isinstance(scale, str) and describe_scale(scale) != "numbers" and frame.column(name).is_numeric:
                raise DataTypeError(
                    f"{name!r} holds numbers in the new data and {describe_scale(scale)} in the fitted data; give it as"
                    f" {describe_scale(scale)}."
                )

    def offset(self, data: Any) -> FloatArray | None:
        """Return the sum of the formula's offsets for new data, or None where it has none."""
        return self._offset(self._evaluator(data))

    def response_values(self, data: Any) -> FloatArray:
        """Return the response of new data."""
        evaluator = self._evaluator(data)
        return np.asarray(evaluator.variable(self.response), dtype=np.float64)

    def _evaluator(self, data: Any) -> Evaluator:
        frame = data if isinstance(data, Frame) else Frame(data)
        if frame.n_rows == 0:
            raise DataError("The new data have no rows.")
        return Evaluator(frame, self.state)

    def _fill(
        self, evaluator: Evaluator, columns: tuple[CodedColumn, ...], variables: dict[str, Variable] | None = None
    ) -> FloatArray:
        variables = {} if variables is None else variables
        for text in as_pieces_used(columns):
            if text not in variables:
                variables[text] = self._variable(evaluator, text)
        out = np.empty((evaluator.n_rows, len(columns)), order="F")
        for j, column in enumerate(columns):
            fill_column(out[:, j], column.pieces, variables, self.matrices)
        return out

    def _variable(self, evaluator: Evaluator, text: str) -> Variable:
        value = evaluator.variable(self.nodes[text])
        levels = self.levels.get(text)
        if levels is None:
            if isinstance(value, Factor):
                fitted = (
                    describe_scale(self.state.get(text, NUMBER)) if isinstance(self.nodes[text], Name) else "numbers"
                )
                raise DataError(f"{text!r} holds text or categories in the new data, and {fitted} in the fitted data.")
            infinite = np.isinf(value.values if isinstance(value, Matrix) else value)
            if infinite.any():
                count = (
                    int(infinite.reshape(len(infinite), -1).any(axis=1).sum()) if infinite.ndim else evaluator.n_rows
                )
                raise DataError(
                    f"{text!r} has {count} infinite {'value' if count == 1 else 'values'} in the new data; correct them or make"
                    " them missing."
                )
            return value
        if isinstance(value, Matrix):
            raise DataError(f"{text!r} is a factor in the fitted data, and a matrix in the new data.")
        factor = value if isinstance(value, Factor) else evaluator.factor(self.nodes[text])
        return match_levels(text, factor, levels)

    def _codes(self, evaluator: Evaluator, group: GroupEncoder) -> Codes:
        return codes_for(combine([evaluator.factor(member) for member in group.members]), group.levels)

    def _offset(self, evaluator: Evaluator) -> FloatArray | None:
        return sum_offsets(evaluator, self.offsets)


def sum_offsets(evaluator: Evaluator, offsets: tuple[Node, ...]) -> FloatArray | None:
    """Return the sum of some ``offset()`` expressions."""
    total: FloatArray | None = None
    for node in offsets:
        numbers = as_rows(evaluator.value(node), evaluator.n_rows, deparse(node))
        total = numbers.copy() if total is None else total + numbers
    return total
