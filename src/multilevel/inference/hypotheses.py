"""The hypotheses of types I, II and III about the terms of a model, as contrasts of its fixed effects.

A hypothesis is a matrix L with a row for each degree of freedom and a column for each fixed effect. The F statistic depends only on
the space that the rows span; Satterthwaite's degrees of freedom of several contrasts also on the rows themselves, which are chosen
as follows.

Type I
    A term after those before it: from XᵀX = UᵀDU with U unit upper triangular, the rows of U for the term.
Type II
    A term after all others that do not contain it: its coefficients where no term contains it; otherwise the rows of U as above,
    with the columns in the order others, the term, those that contain it.
Type III
    As in SAS, so that the coding does not matter: with an indicator column for every level in every term, the coefficients of the
    term (in treatment coding) are made orthogonal, as estimable functions of those columns, to the coefficients of the terms that
    contain it.

A term is contained in another (SAS) when both have the same numeric variables and the other one has all its factors and more. As in
lmerTest, what R keeps as a matrix (``poly(x, 2)``, splines, ``scale(x)``) counts as a factor here, and the hypotheses of a model's
only term are those of type I.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError
from multilevel.formula.deparse import deparse
from multilevel.formula.syntax import Call
from multilevel.inference.recoding import ROWS_AT_ONCE, recoder, row_factor, variable_texts

if TYPE_CHECKING:
    from multilevel.formula.design import Design
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

MATRICES = frozenset({"poly", "bs", "ns", "scale", "dummy"})
"""Functions whose values are matrices in R."""

ROMAN = {1: "I", 2: "II", 3: "III"}


def as_type(value: Any) -> int:
    """Return 1, 2 or 3 for a type given as such a number or as ``"I"``, ``"II"``, ``"III"``.

    Raises
    ------
    ControlError
        It is none of these.
    """
    for number, roman in ROMAN.items():
        if not isinstance(value, bool) and (value == number or value in (roman, str(number))):
            return number
    raise ControlError(f"type must be 1, 2 or 3 (or 'I', 'II' or 'III'), not {value!r}.")


def columns_of(design: Design) -> list[list[int]]:
    """Return, for each term, the positions of its columns."""
    return [[j for j, at in enumerate(design.fixed_assign) if at == k] for k in range(1, len(design.term_labels) + 1)]


def containing_terms(fit: LinearMixedModel) -> list[list[int]]:
    """Return, for each term, the terms that contain it: those with the same numeric variables and more factors."""
    terms = fit.formula.term_list.terms
    sets = [variable_texts(term) for term in terms]
    factors = _factors(fit)
    numeric = {
        text
        for term in terms
        for text, node in zip(map(deparse, term.variables), term.variables, strict=True)
        if text not in factors and not (isinstance(node, Call) and node.function in MATRICES)
    }
    return [[j for j, other in enumerate(sets) if own < other and own & numeric == other & numeric] for own in sets]


def _factors(fit: LinearMixedModel) -> frozenset[str]:
    encoder = fit._design.encoder
    return frozenset() if encoder is None else frozenset(encoder.levels)


def larger_terms(fit: LinearMixedModel) -> list[list[int]]:
    """Return, for each term, the terms that have all its variables and more."""
    sets = [variable_texts(term) for term in fit.formula.term_list.terms]
    return [[j for j, other in enumerate(sets) if own < other] for own in sets]


def term_hypotheses(fit: LinearMixedModel, kind: int) -> list[FloatArray]:
    """Return L of each term, in the order of the terms; without rows where no column of the term is left."""
    if fit._stored is not None and kind in fit._stored.hypotheses:
        return fit._stored.hypotheses[kind]
    if kind == 1 or len(fit._design.term_labels) == 1:
        return sequential(fit._design)
    return partial(fit) if kind == 2 else marginal(fit)


def sequential(design: Design) -> list[FloatArray]:
    """Return the hypotheses of type I."""
    unit = _unit_rows(_factor_of(design))
    return [unit[own] for own in columns_of(design)]


def partial(fit: LinearMixedModel) -> list[FloatArray]:
    """Return the hypotheses of type II."""
    design = fit._design
    own, above = columns_of(design), containing_terms(fit)
    factor = _factor_of(design) if any(above) else np.empty((0, 0))
    found = []
    for k, columns in enumerate(own):
        later = [j for other in above[k] for j in own[other]]
        if not later:
            found.append(np.eye(design.n_fixed)[columns])
            continue
        first = [j for j in range(design.n_fixed) if j not in columns and j not in later]
        order = [*first, *columns, *later]
        unit = _unit_rows(row_factor([factor[:, order]]))
        rows = np.zeros((len(columns), design.n_fixed))
        rows[:, order] = unit[len(first) : len(first) + len(columns)]
        found.append(rows)
    return found


def marginal(fit: LinearMixedModel) -> list[FloatArray]:
    """Return the hypotheses of type III."""
    design = fit._design
    factors = _factors(fit)
    terms = fit.formula.term_list
    if not any(variable_texts(term) & factors for term in terms.terms):
        return [np.eye(design.n_fixed)[own] for own in columns_of(design)]
    again = recoder(fit)
    base = again.without_dependent(again.code_by_treatment(terms))
    p = len(base)
    full = again.code_in_full(terms)
    above = containing_terms(fit)
    own = [[j for j, column in enumerate(base) if column.term == k + 1] for k in range(len(terms.terms))]
    same = tuple(column.pieces for column in base) == tuple(column.pieces for column in again.encoder.fixed)
    others = ((*full,) if any(above) else ()) + (() if same else again.encoder.fixed)
    coefficients = again.expressed(base, others) if others else np.zeros((p, 0))
    n_full = len(full) if any(above) else 0
    to_fit = np.eye(p) if same else coefficients[:, n_full:]
    # Products of the estimable functions that the coefficients are: β = Bβ*, so coefficient j is row j of B.
    products = coefficients[:, :n_full] @ coefficients[:, :n_full].T
    found = []
    for k, columns in enumerate(own):
        rows = np.eye(p)[columns]
        later = [j for other in above[k] for j in own[other]]
        if later and columns:
            size = np.sqrt(np.diag(products)[later])
            scaled = products[np.ix_(later, later)] / np.outer(size, size)
            rows[:, later] = -np.linalg.solve(scaled, products[np.ix_(later, columns)] / size[:, None]).T / size
        found.append(rows @ to_fit)
    return found


def wald_hypotheses(fit: LinearMixedModel, kind: int) -> list[tuple[str, FloatArray]]:
    """Return a label and L of each row of a table of Wald tests of type II or III.

    Type III tests the coefficients of a term as they are coded, and the intercept. Type II tests them with those of the larger
    terms against the latter alone: the contrasts are uncorrelated with the coefficients of the larger terms.
    """
    design = fit._design
    vcov = fit.sigma**2 * fit._engine.unscaled_vcov
    errors = np.sqrt(np.diag(vcov))
    own = columns_of(design)
    unit = np.diag(1.0 / errors)
    if kind == 3:
        start = [j for j, at in enumerate(design.fixed_assign) if at == 0]
        found = [("(Intercept)", unit[start])] if start else []
        return found + [(label, unit[columns]) for label, columns in zip(design.term_labels, own, strict=True)]
    correlation = vcov / np.outer(errors, errors)
    result = []
    for label, columns, larger in zip(design.term_labels, own, larger_terms(fit), strict=True):
        rows = unit[columns]
        later = [j for other in larger for j in own[other]]
        if later and columns:
            slope = np.linalg.solve(correlation[np.ix_(later, later)], correlation[np.ix_(later, columns)])
            rows = rows - slope.T @ unit[later]
        result.append((label, rows))
    return result


def _factor_of(design: Design) -> FloatArray:
    """Return the triangular factor of X; prior weights play no part in it."""
    return row_factor(design.X[at : at + ROWS_AT_ONCE] for at in range(0, design.nobs, ROWS_AT_ONCE))


def _unit_rows(factor: FloatArray) -> FloatArray:
    """Divide the rows of a triangular factor by its diagonal."""
    p = factor.shape[1]
    rows: FloatArray = factor[:p] / np.diag(factor)[:p, None]
    return rows
