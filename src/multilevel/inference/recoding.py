"""The columns of a fitted design written anew: under other contrasts, or with terms left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.engine.fit import fit_of_design
from multilevel.errors import DataError
from multilevel.formula.coding import INDICATOR, NUMERIC, CodedColumn, Coding, Pieces, fill_column
from multilevel.formula.deparse import deparse
from multilevel.formula.design import Design, GroupingFactor, RandomTerm
from multilevel.formula.encoder import DesignEncoder
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.rank import dependent_columns
from multilevel.formula.syntax import Name
from multilevel.formula.terms import Term, TermList
from multilevel.formula.values import Matrix, Variable

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

ROWS_AT_ONCE = 65_536


def variable_texts(term: Term) -> frozenset[str]:
    """Return the variables of a term."""
    return frozenset(deparse(node) for node in term.variables)


def droppable(terms: Sequence[Term]) -> list[int]:
    """Return the positions of the terms that are no part of another one: those that can be left out for themselves."""
    sets = [variable_texts(term) for term in terms]
    return [i for i, own in enumerate(sets) if not any(own < other for other in sets)]


def without(terms: TermList, position: int) -> TermList:
    """Return a term list without one of its terms."""
    return replace(terms, terms=tuple(term for i, term in enumerate(terms.terms) if i != position))


def row_factor(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the triangular factor R of a tall matrix that comes in blocks of rows."""
    found: FloatArray | None = None
    for block in blocks:
        stacked = block if found is None else np.vstack([found, block])
        found = np.asarray(np.linalg.qr(stacked, mode="r"), dtype=np.float64)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Recoder:
    """The variables of a fitted model in the rows used, and the columns that can be made of them.

    Attributes
    ----------
    fit
        The fitted model.
    encoder
        What the columns of its design stand for.
    variables
        The values of its variables, by their text.
    coding
        How its terms are coded.
    """

    fit: LinearMixedModel
    encoder: DesignEncoder
    variables: dict[str, Variable]
    coding: Coding

    def code(self, terms: TermList, *, fixed: bool) -> tuple[CodedColumn, ...]:
        """List the columns of a term list, coded as the fit codes its own."""
        return self.coding.code(terms, fixed=fixed)

    def code_by_treatment(self, terms: TermList) -> tuple[CodedColumn, ...]:
        """List the columns of a term list with treatment contrasts for every factor."""
        factors = {text: "treatment" for text, value in self.variables.items() if isinstance(value, Factor)}
        return Coding(self.variables, factors).code(terms, fixed=True)

    def code_in_full(self, terms: TermList) -> tuple[CodedColumn, ...]:
        """List the columns of a term list with an indicator of every level in every term."""
        columns = [CodedColumn("", (), 0)] if terms.intercept else []
        for position, term in enumerate(terms.terms, start=1):
            products: list[Pieces] = [()]
            for text in (deparse(node) for node in term.variables):
                value = self.variables[text]
                kind, count = NUMERIC, 1
                if isinstance(value, Factor):
                    kind, count = INDICATOR, value.n_levels
                elif isinstance(value, Matrix):
                    count = value.values.shape[1]
                products = [(*product, (text, kind, j)) for product in products for j in range(count)]
            columns += [CodedColumn("", tuple(sorted(product)), position) for product in products]
        return tuple(columns)

    def values(self, columns: Sequence[CodedColumn]) -> FloatArray:
        """Return the values of some columns, shape (n, k)."""
        out = np.empty((self.fit.nobs, len(columns)), order="F")
        for j, column in enumerate(columns):
            fill_column(out[:, j], column.pieces, self.variables, self.coding.matrices)
        return out

    def without_dependent(self, columns: Sequence[CodedColumn]) -> tuple[CodedColumn, ...]:
        """Leave out the columns that earlier ones determine."""
        if not columns:
            return ()
        gone = set(dependent_columns(self.values(columns)))
        return tuple(column for j, column in enumerate(columns) if j not in gone)

    def expressed(self, columns: Sequence[CodedColumn], others: Sequence[CodedColumn]) -> FloatArray:
        """Return the coefficients of other columns in terms of these, which are independent, shape (len(columns), len(others))."""
        p = len(columns)
        everything = (*columns, *others)

        def blocks() -> Iterator[FloatArray]:
            n = self.fit.nobs
            for at in range(0, n, ROWS_AT_ONCE):
                rows = slice(at, min(at + ROWS_AT_ONCE, n))
                part = {text: _rows(value, rows) for text, value in self.variables.items()}
                out = np.empty((rows.stop - at, len(everything)), order="F")
                for j, column in enumerate(everything):
                    fill_column(out[:, j], column.pieces, part, self.coding.matrices)
                yield out

        factor = row_factor(blocks())[:p]
        size = np.linalg.norm(factor[:, :p], axis=0)
        # Units apart, so that the triangle is as well conditioned as the columns allow.
        found: FloatArray = np.linalg.solve(factor[:, :p] / size, factor[:, p:]) / size[:, None]
        # Most are exact zeros but for rounding.
        lengths = np.linalg.norm(factor[:, p:], axis=0)
        found[np.abs(found) * size[:, None] <= 1e-13 * lengths] = 0.0
        return found


def _rows(value: Variable, rows: slice) -> Variable:
    if isinstance(value, Factor):
        return replace(value, codes=value.codes[rows])
    if isinstance(value, Matrix):
        return Matrix(value.values[rows], value.names)
    part: npt.NDArray[Any] = value[rows]
    return part


def recoder(fit: LinearMixedModel) -> Recoder:
    """Evaluate the variables of a fitted model again.

    Raises
    ------
    DataError
        The model was not fitted from a formula and a data frame, or data from a file do not give its columns.
    """
    design = fit._design
    encoder, frame = design.encoder, design.data
    if encoder is None or frame is None:
        raise DataError("The fit has no data frame to make its terms of again; fit the model with lmer.")
    evaluator = Evaluator(frame, encoder.state)
    variables: dict[str, Variable] = {}
    for text, node in encoder.nodes.items():
        value = evaluator.variable(node)
        if text in encoder.levels and not isinstance(value, Factor):
            value = evaluator.factor(node)
        if isinstance(value, Factor):
            value = (value if design.kept is None else value.keep_rows(design.kept)).drop_unused()
        elif design.kept is not None:
            value = Matrix(value.values[design.kept], value.names) if isinstance(value, Matrix) else value[design.kept]
        variables[text] = value
    arguments = getattr(fit._data, "arguments", {})
    choices = {
        name if name in variables else deparse(Name(name)): choice
        for name, choice in dict(arguments.get("contrasts") or {}).items()
    }
    coding = Coding(variables, choices, dict(encoder.matrices))
    column = np.empty(design.nobs)
    for j, coded in enumerate(encoder.fixed):
        fill_column(column, coded.pieces, variables, coding.matrices)
        if not np.array_equal(column, design.columns[:, j]):
            raise DataError(
                f"The data of this fit do not give its column {coded.name!r} again, as those of a damaged file do; fit the model"
                " again."
            )
    return Recoder(fit, encoder, variables, coding)


@dataclass(frozen=True, slots=True, eq=False)
class CodedTerm:
    """A random-effects term before its columns have places."""

    label: str
    factor: GroupingFactor
    columns: tuple[CodedColumn, ...]
    structure: str = "unstructured"


def random_terms(again: Recoder) -> list[CodedTerm]:
    """Return the random-effects terms of the fit."""
    design = again.fit._design
    return [
        CodedTerm(term.label, term.factor, coded.columns, term.structure)
        for term, coded in zip(design.random, again.encoder.random, strict=True)
    ]


def changed_design(again: Recoder, fixed: Sequence[CodedColumn], random: Sequence[CodedTerm]) -> Design:
    """Return the design with other fixed-effects columns and other random-effects terms, in the same rows."""
    design = again.fit._design
    left = again.without_dependent(fixed)
    in_fixed = dict.fromkeys(column.pieces for column in left)
    in_random = dict.fromkeys(column.pieces for term in random for column in term.columns)
    written = [*in_fixed, *(pieces for pieces in in_random if pieces not in in_fixed)]
    places = {pieces: j for j, pieces in enumerate(written)}
    columns = np.empty((design.nobs, len(written) + 1), order="F")
    columns[:, :-1] = again.values([CodedColumn("", pieces, 0) for pieces in written])
    columns[:, -1] = design.y
    columns.flags.writeable = False
    return replace(
        design,
        columns=columns,
        n_fixed=len(left),
        fixed_names=tuple(column.name for column in left),
        fixed_assign=tuple(column.term for column in left),
        dropped_names=(),
        random=tuple(
            RandomTerm(
                term.label,
                term.factor,
                tuple(column.name for column in term.columns),
                tuple(places[column.pieces] for column in term.columns),
                term.structure,
            )
            for term in random
        ),
        encoder=None,
    )


def fitted_criterion(design: Design, again: Recoder, reml: bool) -> tuple[float, int]:
    """Fit a changed design; return −2 log-likelihood (the restricted one if `reml`) and the number of parameters."""
    if not design.random:
        return linear_criterion(design, reml), design.n_fixed + 1
    fitted = fit_of_design(design, reml, replace(again.fit._control, start=None))
    return fitted.criterion, design.n_fixed + fitted.n_variance_parameters


def linear_criterion(design: Design, reml: bool) -> float:
    """Return −2 log-likelihood of the linear model without random effects."""
    n, p = design.nobs, design.n_fixed
    y = design.y if design.offset is None else design.y - design.offset
    table = np.column_stack([design.X, y])
    log_weights = 0.0
    if design.weights is not None:
        table *= np.sqrt(design.weights)[:, None]
        log_weights = float(np.log(design.weights).sum())
    factor = row_factor(table[at : at + ROWS_AT_ONCE] for at in range(0, n, ROWS_AT_ONCE))
    df = n - p if reml else n
    value = df * (1.0 + np.log(2.0 * np.pi * factor[p, p] ** 2 / df)) - log_weights
    if reml:
        value += 2.0 * float(np.log(np.abs(np.diag(factor)[:p])).sum())
    return float(value)
