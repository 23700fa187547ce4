"""What data a power analysis simulates: a design's, or a fitted model's with other effects or more rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.parameters import order_of_terms
from multilevel.errors import ControlError, DataError, DataTypeError
from multilevel.formula.build import build_design
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.lmer import check_design, fit_design
from multilevel.model.simulation import GaussianSource, TermRows
from multilevel.model.source import FitSource
from multilevel.simulation.covariances import TermNames, factor_of, term_factors
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.extension import extended_columns
from multilevel.simulation.model_columns import residual_sd
from multilevel.simulation.replicates import DesignSource, ResponseSource, frozen

FloatArray = npt.NDArray[np.float64]


def design_source(
    design: DataDesign,
    formula: str | Formula | None,
    changes: Mapping[str, Any],
    reml: bool,
    control: LmerControl | None,
) -> DesignSource:
    """Return the source of a design with some of its parts changed."""
    if changes.get("within"):
        raise ControlError("within is for fitted models; a design says the number of rows in its levels.")
    given = {"fixed": changes.get("effects"), "random": changes.get("random"), "sigma": changes.get("sigma")}
    given["levels"] = changes.get("extend") or None
    new = {name: value for name, value in given.items() if value is not None}
    for name in new.get("levels") or {}:
        if name not in design.levels:
            raise ControlError(f"The design has no level {name!r}; its levels are {', '.join(design.levels)}.")
    if "fixed" in new and not isinstance(design.fixed, Mapping):
        raise ControlError("The design lists its fixed effects without names; give them as a mapping to change some.")
    changed = design.replace(**new) if new else design
    assert isinstance(design.formula, Formula)
    analysis = design.formula if formula is None else design.formula.update(formula)
    return DesignSource(changed, analysis, reml, control)


def fit_source(
    fit: LinearMixedModel, formula: str | Formula | None, changes: Mapping[str, Any], control: LmerControl | None
) -> ResponseSource:
    """Return the source of a fitted model with some of its parameters or its number of rows changed."""
    if formula is not None:
        raise ControlError(
            "A fitted model is refitted as it is; a formula of its own is for designs. Use fit.update, or reduced= for a test."
        )
    chosen = fit._control if control is None else control
    beta = _changed_effects(fit, changes.get("effects"))
    sigma = fit.sigma if changes.get("sigma") is None else residual_sd(changes["sigma"])
    factors = _term_factors(fit, changes.get("random"))
    extend, within = changes.get("extend") or {}, changes.get("within") or {}
    if extend or within:
        columns = extended_columns(fit, extend, within)
        arguments = {**fit._data.arguments, "na_action": "fail"}
        design = build_design(fit.formula, columns, **arguments)
        check_design(design, chosen)
        source = FitSource(frozen(columns), frozen(arguments))
    else:
        design, source = fit._design, fit._data
    if design.fixed_names != fit._design.fixed_names:
        raise DataError(
            f"With these rows the model has the fixed effects {', '.join(design.fixed_names)} in place of "
            f"{', '.join(fit._design.fixed_names)}: some level of a factor is lost."
        )
    error = np.full(design.nobs, sigma) if design.weights is None else sigma / np.sqrt(design.weights)
    mean = np.zeros(design.nobs) if design.offset is None else design.offset.copy()
    for c, value in enumerate(beta):
        mean += value * design.columns[:, c]
    order = order_of_terms([term.factor.n_levels for term in design.random])
    terms = tuple((TermRows.of(design, design.random[t]), factors[t]) for t in order)
    responses = GaussianSource(mean, error, terms)
    if design is fit._design and chosen == fit._control:
        template = fit
    else:
        template = fit_design(
            design.with_response(responses.draw(np.random.default_rng(0), 1)[0]), fit.reml, chosen, source
        )
    truth = {name: float(value) for name, value in zip(design.fixed_names, beta, strict=True)}
    return ResponseSource(template, responses, frozen(truth))


def _changed_effects(fit: LinearMixedModel, effects: Mapping[str, float] | None) -> FloatArray:
    beta = fit._engine.beta.copy()
    if effects is None:
        return beta
    if not isinstance(effects, Mapping):
        raise DataTypeError("effects must map names of fixed effects to their values.")
    names = fit._design.fixed_names
    for name, value in effects.items():
        if name not in names:
            raise ControlError(
                f"effects names {name!r}, which is no fixed effect of the model; they are {', '.join(names)}."
            )
        beta[names.index(name)] = float(value)
    return beta


def _term_factors(fit: LinearMixedModel, random: Any) -> dict[int, FloatArray]:
    """Return the factor of each term's covariance matrix by its place in the formula; the fit's own covariances by default."""
    terms = [TermNames(term.label, term.factor.name, term.names, term.structure) for term in fit._terms]
    if random is None:
        own = zip(fit.varcorr(), terms, strict=True)
        parts = [factor_of(np.asarray(part.covariance), f"For ({term.label})") for part, term in own]
    else:
        parts = term_factors(terms, random)
    return dict(zip(fit._engine.products.plan.term_order, parts, strict=True))


def source_of(
    model: DataDesign | LinearMixedModel,
    formula: str | Formula | None,
    changes: Mapping[str, Any],
    reml: bool,
    control: LmerControl | None,
) -> DesignSource | ResponseSource:
    """Return the source that a power analysis or a study of a design or a fit draws from."""
    if isinstance(model, DataDesign):
        return design_source(model, None if formula is None else parse_formula(formula), changes, reml, control)
    if isinstance(model, LinearMixedModel):
        return fit_source(model, formula, changes, control)
    raise DataTypeError(f"Power needs a DataDesign or a fitted model, not {type(model).__name__}.")
