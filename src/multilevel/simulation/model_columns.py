"""The columns of a formula on data without a response: X and its coefficients' names, and the random-effects terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, combine
from multilevel.data.frames import Frame, unknown_column
from multilevel.engine.parameters import order_of_terms
from multilevel.errors import ControlError, DataError, DataTypeError, FormulaError, UnknownColumnError
from multilevel.formula.coding import CodedColumn, Coding, fill_column, with_distinct_names
from multilevel.formula.deparse import deparse
from multilevel.formula.encoder import sum_offsets
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.grammar import Formula
from multilevel.formula.values import Variable
from multilevel.simulation.covariances import TermNames

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelColumns:
    """The columns of a formula, not yet written out.

    Attributes
    ----------
    n_rows
        Number of rows.
    fixed
        The fixed-effects columns; unlike in a fit, those that others determine are among them.
    random
        For each random term its columns.
    terms
        Their names.
    groups
        The grouping factors by name, every level in its place.
    offset
        The sum of the formula's offsets, or None.
    """

    n_rows: int
    fixed: tuple[CodedColumn, ...]
    random: tuple[tuple[CodedColumn, ...], ...]
    terms: tuple[TermNames, ...]
    groups: dict[str, Factor]
    offset: FloatArray | None
    variables: dict[str, Variable]
    matrices: dict[tuple[str, str], FloatArray]

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return tuple(column.name for column in self.fixed)

    def fill(self, column: CodedColumn, out: FloatArray) -> None:
        """Write a column."""
        fill_column(out, column.pieces, self.variables, self.matrices)

    def fixed_part(self, beta: FloatArray) -> FloatArray:
        """Return Xβ and the offset, without forming X."""
        result = np.zeros(self.n_rows)
        buffer = np.empty(self.n_rows)
        for column, value in zip(self.fixed, beta, strict=True):
            self.fill(column, buffer)
            buffer *= value
            result += buffer
        if self.offset is not None:
            result += self.offset
        return result

    def add_random(self, term: int, effects: FloatArray, out: FloatArray) -> None:
        """Add a term's contribution, from its effects (levels × columns)."""
        codes = self.groups[self.terms[term].group].codes
        buffer = np.empty(self.n_rows)
        for column, values in zip(self.random[term], effects.T, strict=True):
            if column.pieces:
                self.fill(column, buffer)
                buffer *= values[codes]
                out += buffer
            else:
                out += values[codes]

    def by_levels(self) -> tuple[int, ...]:
        """Return the terms in the order of theta."""
        return order_of_terms([self.groups[term.group].n_levels for term in self.terms])


def model_columns(
    formula: Formula,
    frame: Frame,
    contrasts: Mapping[str, Any] | None = None,
    groups: Mapping[str, Factor] | None = None,
) -> ModelColumns:
    """Evaluate a formula on data.

    Parameters
    ----------
    formula
        The formula; its response is not used.
    frame
        The data.
    contrasts
        How factors of the fixed part are coded, as in `lmer`.
    groups
        Grouping factors that are known already, by name.
    """
    evaluator = Evaluator(frame)
    variables: dict[str, Variable] = {}
    for terms in (formula.term_list, *(bar.term_list for bar in formula.plain_bars)):
        for term in terms.terms:
            for node in term.variables:
                text = deparse(node)
                if text not in variables:
                    variables[text] = evaluator.variable(node)
    coding = Coding(variables, _checked_contrasts(formula, variables, contrasts))
    fixed = coding.code(formula.term_list, fixed=True)
    bar_columns = [coding.code(bar.term_list, fixed=False) for bar in formula.plain_bars]
    fixed, *random = with_distinct_names([fixed, *bar_columns])
    found = dict(groups or {})
    for bar in formula.plain_bars:
        if bar.group not in found:
            found[bar.group] = combine([evaluator.factor(node) for node in bar.group_variables]).drop_unused()
    return ModelColumns(
        frame.n_rows,
        fixed,
        tuple(random),
        tuple(
            TermNames(str(bar), bar.group, tuple(column.name for column in columns), bar.structure)
            for bar, columns in zip(formula.plain_bars, random, strict=True)
        ),
        found,
        sum_offsets(evaluator, formula.term_list.offsets),
        variables,
        coding.matrices,
    )


def _checked_contrasts(
    formula: Formula, variables: Mapping[str, Variable], contrasts: Mapping[str, Any] | None
) -> dict[str, Any]:
    in_fixed = [deparse(node) for term in formula.term_list.terms for node in term.variables]
    for name in contrasts or {}:
        if name not in in_fixed:
            raise UnknownColumnError(
                unknown_column(name, dict.fromkeys(in_fixed), "contrasts has no factor to apply to:")
            )
        if not isinstance(variables[name], Factor):
            raise DataTypeError(
                f"contrasts names {name!r}, which is numeric in the fixed part; only a factor has contrasts."
            )
    return dict(contrasts or {})


def fixed_vector(given: Any, names: Sequence[str], what: str = "fixed") -> FloatArray:
    """Return coefficients in the order of the columns: a mapping by name (those not named are zero), or a sequence.

    Raises
    ------
    ControlError
        A name is not one of the coefficients', or the sequence has another length.
    """
    listed = ", ".join(names) or "none"
    if hasattr(given, "to_dict") and not isinstance(given, Mapping):
        given = given.to_dict()
    if isinstance(given, Mapping):
        unknown = [str(name) for name in given if name not in names]
        if unknown:
            raise ControlError(
                f"{what} names {', '.join(map(repr, unknown))}, which is no coefficient of the formula; they are {listed}."
            )
        values: Any = [given.get(name, 0.0) for name in names]
    elif isinstance(given, str) or not hasattr(given, "__len__"):
        raise DataTypeError(f"{what} must map the names of coefficients to their values; the names are {listed}.")
    else:
        values = given
        if len(values) != len(names):
            raise ControlError(f"{what} has {len(values)} values and the formula {len(names)} coefficients: {listed}.")
    try:
        result = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError(f"{what} must hold numbers, not {given!r}.") from None
    if not np.isfinite(result).all():
        raise DataError(f"{what} has values that are not finite.")
    return result


def residual_sd(value: Any) -> float:
    """Return a residual standard deviation, checked."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError(f"sigma must be a number, not {value!r}.") from None
    if not (np.isfinite(result) and result >= 0):
        raise DataError(f"sigma must be a standard deviation, zero or more; it is {result:g}.")
    return result


def check_bars(formula: Formula, what: str) -> None:
    """Refuse a formula without random-effects terms."""
    if not formula.plain_bars:
        raise FormulaError(f"The formula '{formula}' has no random-effects term; {what} needs one such as '(1 | g)'.")
