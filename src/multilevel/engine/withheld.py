"""Standard errors that covariance parameters without an estimate leave open, and are withheld.

Where the data do not determine the covariance parameters, a fit is one of many equally good optima (see `identification`). Under
REML the covariance of some fixed effects differs between them: with ``y ~ g + (1 | g)`` the variance of g's levels is added to that
of their means, whatever it is. What is the same at all optima is an answer; the rest is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from multilevel.engine.factor import factorise
from multilevel.engine.fit import EngineFit
from multilevel.engine.identification import OtherOptimum

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SAME = 1e-5
"""Variances that differ by less than this share between two optima are the same but for rounding."""


def undetermined(fit: EngineFit, contrasts: FloatArray) -> BoolArray:
    """Return which contrasts of the fixed effects have another estimate or another variance at other optima."""
    result = np.zeros(len(contrasts), dtype=np.bool_)
    own = fit.sigma**2 * fit.unscaled_vcov
    size, length = np.sqrt(np.diag(own)), np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", contrasts, own, contrasts), 0.0))
    for other in fit.convergence.others:
        moved = contrasts @ (other.sigma**2 * other.unscaled_vcov - own)
        result |= (np.abs(moved) > SAME * np.outer(length, size)).any(axis=1)
        result |= np.abs(contrasts @ (other.beta - fit.beta)) > SAME * length
    return result


def undetermined_elements(fit: EngineFit) -> BoolArray:
    """Return which elements of the covariance matrix of the fixed effects differ between the optima."""
    own = fit.sigma**2 * fit.unscaled_vcov
    size = np.sqrt(np.diag(own))
    result = np.zeros(own.shape, dtype=np.bool_)
    for other in fit.convergence.others:
        result |= np.abs(other.sigma**2 * other.unscaled_vcov - own) > SAME * np.outer(size, size)
    open_rows = undetermined(fit, np.eye(len(own)))
    np.fill_diagonal(result, np.diag(result) | open_rows)
    return result


def variances_at_all(fit: EngineFit, variances: Callable[[EngineFit], FloatArray], x: FloatArray) -> FloatArray:
    """Return variances that a function works out from a fit, NaN where other optima have others.

    `x` are the fixed-effects columns that they belong to, which alone can tell where another optimum is not at hand.
    """
    own = variances(fit)
    for other in fit.convergence.others:
        there = _at(fit, other)
        if there is None:
            return np.where(undetermined(fit, x), np.nan, own)
        own = np.where(np.abs(variances(there) - own) > SAME * own, np.nan, own)
    return own


def _at(fit: EngineFit, other: OtherOptimum) -> EngineFit | None:
    """Return the fit at another optimum, None where a structure is not linear in its variances and covariances."""
    objective, parameters = fit.objective, fit.products.plan.parameters
    if fit.residual is not None or any(term.structure.units() is None for term in parameters.terms):
        return None
    phi = np.concatenate(
        [
            term.of_factor(other.factors[term.block][inside, inside])
            for term in parameters.terms
            for inside in [slice(term.offset, term.offset + term.structure.size)]
        ]
    )
    factor = factorise(objective.products, objective.rows, list(other.factors))
    model = replace(fit.model, phi=phi, factor=factor)
    return replace(fit, model=model, beta=other.beta, sigma=other.sigma, unscaled_vcov=other.unscaled_vcov)
