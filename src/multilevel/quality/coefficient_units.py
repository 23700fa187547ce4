"""The units in which standardized coefficients are counted, without a new fit: spreads of the response and of the columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor
from multilevel.engine.fit import fit_products
from multilevel.engine.products import cross_products_of
from multilevel.errors import ControlError, MultilevelWarning
from multilevel.formula.coding import INDICATOR, CodedColumn
from multilevel.formula.values import Matrix
from multilevel.inference.recoding import CodedTerm, Recoder, changed_design, recoder
from multilevel.quality.scaling import scale_of

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CONSTANT = 1e-10
"""A column counts as constant in its groups when it departs from their means by less than this share of its size."""

VARIES = 1e-5
"""A column counts as varying between groups when their means spread by more than this share of its own spread."""


@dataclass(frozen=True, slots=True, eq=False)
class CoefficientUnits:
    """By coefficient, the spread of the response and of the predictor; NaN for the intercept.

    Attributes
    ----------
    response, predictor
        A standardized coefficient is the coefficient times ``predictor / response``.
    part
        ``"within"`` or ``"between"`` for each coefficient, or None where the method does not tell them apart.
    """

    response: FloatArray
    predictor: FloatArray
    part: tuple[str, ...] | None = None


@dataclass(slots=True)
class Spreads:
    """Spreads of columns in the rows used: weighted where the fit is, robust where asked for, 1 where there is none."""

    fit: LinearMixedModel
    robust: bool

    def of(self, values: FloatArray, name: str, rows: BoolArray | None = None) -> float:
        """Return the spread of a column, in some rows where they are given."""
        weights = self.fit._design.weights
        if rows is not None:
            values, weights = values[rows], None if weights is None else weights[rows]
        spread = scale_of(values, weights, robust=self.robust).spread
        if spread == 0.0:
            what = "a median absolute deviation of zero" if self.robust else "the same value in all rows"
            warn_caller(f"{name!r} has {what}; its coefficient is left in its own units.", MultilevelWarning)
            return 1.0
        return spread


def _coded(fit: LinearMixedModel) -> tuple[CodedColumn, ...]:
    encoder = fit._design.encoder
    assert encoder is not None  # recoder asks for it
    return encoder.fixed


def basic_units(fit: LinearMixedModel, *, robust: bool, two_sd: bool, include_response: bool) -> CoefficientUnits:
    """Return the spread of every column of X, those of factors too."""
    design, spreads = fit._design, Spreads(fit, robust)
    response = spreads.of(design.y, design.response_name) if include_response else 1.0
    factor = 2.0 if two_sd else 1.0
    predictor = [
        factor * spreads.of(design.columns[:, j], name) if design.fixed_assign[j] else np.nan
        for j, name in enumerate(design.fixed_names)
    ]
    return CoefficientUnits(np.full(len(predictor), response), np.array(predictor))


def numeric_units(
    fit: LinearMixedModel, *, robust: bool, two_sd: bool, include_response: bool, smart: bool = False
) -> CoefficientUnits:
    """Return for each coefficient the product of the spreads of its numeric variables; columns of factors count as they are.

    With `smart`, the spread of the response for a coefficient of a factor is that in the rows of the factor's reference level.
    """
    design, spreads, again = fit._design, Spreads(fit, robust), recoder(fit)
    factor = 2.0 if two_sd else 1.0
    whole = spreads.of(design.y, design.response_name) if include_response else 1.0
    coded = _coded(fit)
    known: dict[tuple[str, int], float] = {}
    response, predictor = [], []
    for column in coded:
        product = 1.0 if column.term else np.nan
        for text, _, place in column.pieces:
            value = again.variables[text]
            if isinstance(value, Factor):
                continue
            if (text, place) not in known:
                numbers = value.values[:, place] if isinstance(value, Matrix) else value.astype(np.float64, copy=False)
                known[text, place] = factor * spreads.of(numbers, text)
            product *= known[text, place]
        predictor.append(product)
        if smart and include_response:
            rows = _reference_rows(again, coded, column)
            response.append(whole if rows is None else spreads.of(design.y, design.response_name, rows))
        else:
            response.append(whole)
    return CoefficientUnits(np.array(response), np.array(predictor))


def _reference_rows(again: Recoder, coded: tuple[CodedColumn, ...], column: CodedColumn) -> BoolArray | None:
    """Return the rows that a coefficient of factors is a difference from: their reference levels; None without factors.

    Where the term has an indicator for every level, they are the rows of the coefficient's own level.
    """
    rows: BoolArray | None = None
    for text, kind, level in column.pieces:
        value = again.variables[text]
        if not isinstance(value, Factor):
            continue
        own = np.arange(value.n_levels)
        if kind == INDICATOR:
            used = {
                piece[2] for other in coded if other.term == column.term for piece in other.pieces if piece[0] == text
            }
            reference = [int(at) for at in own if int(at) not in used] or [level]
        else:
            matrix = again.coding.matrices[text, kind]
            reference = [int(at) for at in own if not matrix[at].any()]
        if len(reference) != 1:
            raise ControlError(
                f"method='smart' counts in the spread of the response at a factor's reference level, and {text!r} has none under"
                " its contrasts; use 'refit', 'posthoc' or 'basic'."
            )
        here = value.codes == reference[0]
        rows = here if rows is None else rows & here
    if rows is not None and int(rows.sum()) < 2:
        raise ControlError(
            f"method='smart' finds fewer than two rows at the reference levels of {column.name!r}; use 'refit' or 'basic'."
        )
    return rows


def level_units(fit: LinearMixedModel, *, two_sd: bool, include_response: bool) -> CoefficientUnits:
    """Return the spreads at the level of each predictor (Hoffman 2015): between groups where it is constant in them, else within.

    Those of the response are the standard deviations of a model with a random intercept alone.
    """
    design = fit._design
    names = {term.factor.name for term in design.random}
    if len(names) > 1:
        raise ControlError(
            f"method='pseudo' is for two levels, and the model has the grouping factors {', '.join(sorted(names))}; use 'refit'."
        )
    group = design.random[0].factor
    counts = np.bincount(group.codes, minlength=group.n_levels).astype(np.float64)
    spreads = Spreads(fit, False)
    factor = 2.0 if two_sd else 1.0
    predictor, part, mixed = [], [], []
    for j, (name, column) in enumerate(zip(design.fixed_names, _coded(fit), strict=True)):
        values = design.columns[:, j]
        means = np.bincount(group.codes, weights=values, minlength=group.n_levels) / counts
        departure = float(np.abs(values - means[group.codes]).max())
        between = departure <= CONSTANT * float(np.abs(values).max(initial=0.0))
        part.append("between" if between else "within")
        if not column.term:
            predictor.append(np.nan)
            continue
        spread = scale_of(means).spread if between else spreads.of(values, name)
        if not between and _is_numeric(fit, column) and scale_of(means).spread > VARIES * spread:
            mixed.append(name)
        predictor.append(factor * spread)
    if mixed:
        warn_caller(
            f"{', '.join(map(repr, mixed))} {'vary' if len(mixed) > 1 else 'varies'} within and between the levels of"
            f" {group.name!r}, and one coefficient stands for both; split such a predictor into the group's mean and the departure"
            " from it.",
            MultilevelWarning,
        )
    response = np.ones(len(part))
    if include_response:
        deviations = _intercept_model(fit)
        response = np.array([deviations[own] for own in part])
    return CoefficientUnits(response, np.array(predictor), tuple(part))


def _is_numeric(fit: LinearMixedModel, column: CodedColumn) -> bool:
    encoder = fit._design.encoder
    assert encoder is not None
    return not any(text in encoder.levels for text, _, _ in column.pieces)


def _intercept_model(fit: LinearMixedModel) -> dict[str, float]:
    """Return the standard deviations of the random intercept and the residual of the model without predictors, by REML."""
    again = recoder(fit)
    one = (CodedColumn("(Intercept)", (), 0),)
    term = CodedTerm("1", fit._design.random[0].factor, one)
    design = changed_design(again, one, [term])
    found = fit_products(cross_products_of(design), True, replace(fit._control, start=None))
    between = found.sigma * float(np.abs(found.term_factors()[0][0, 0]))
    if between == 0.0:
        raise ControlError(
            f"method='pseudo' divides by the spread of the response between the levels of {fit._design.random[0].factor.name!r},"
            " which is estimated as zero; use 'refit'."
        )
    return {"between": between, "within": found.sigma}
