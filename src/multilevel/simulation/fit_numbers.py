"""All parameters of a fit with standard errors and intervals: fixed effects, standard deviations, correlations and σ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.inference.bootstrap import parameter_rows
from multilevel.inference.contrasts import t_table
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.satterthwaite import satterthwaite_model
from multilevel.model.identification import moving_parameters
from multilevel.model.parameter_labels import ParameterLabels

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

STEP = 1e-5
"""Of central differences, relative to parameters of size one; their error is about its square."""

UNIT_CORRELATION = 1.0 - 1e-8
"""A correlation beyond this has no interval on Fisher's scale."""


@dataclass(frozen=True, slots=True, eq=False)
class FitNumbers:
    """Parameters of a fit in the order fixed effects, standard deviations and correlations, σ.

    Attributes
    ----------
    names
        Their names.
    estimates, std_errors, conf_low, conf_high
        Shape (parameters,); NaN where there is none.
    """

    names: tuple[str, ...]
    estimates: FloatArray
    std_errors: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray


def fit_numbers(fit: LinearMixedModel, level: float, ddf: str) -> FitNumbers:
    """Return the parameters of a fit with Wald's intervals.

    Those of fixed effects are t intervals. The standard errors of standard deviations, correlations and σ follow by the delta
    method from the exact Hessian of the criterion; the intervals of standard deviations and σ are symmetric for their logarithms,
    those of correlations for Fisher's z. There are none where the fit is singular: the criterion has no quadratic optimum there;
    nor of parameters that the data do not determine.
    """
    from scipy.special import ndtri

    p = fit._design.n_fixed
    labels = ParameterLabels.of(fit)
    beta = fit._engine.beta
    table = t_table(inference_basis(fit, ddf), np.eye(p), beta, beta, level)
    values = _variance_parameters(fit, fit._engine.model.phi[None], np.array([fit.sigma]))[0]
    errors = np.full(values.size, np.nan)
    low, high = errors.copy(), errors.copy()
    if not fit.is_singular and fit.convergence.converged:
        errors = np.where(moving_parameters(fit)[: values.size], np.nan, _delta_errors(fit))
        z = float(ndtri(0.5 + level / 2))
        kinds = [element.kind for term in fit.varcorr() for element in term.elements]
        correlation = np.array([kind == "cor" for kind in kinds] + [False])
        log, spread = np.log(np.where(correlation, 1.0, values)), np.where(correlation, 0.0, z * errors / values)
        low, high = np.exp(log - spread), np.exp(log + spread)
        r = np.clip(values[correlation], -UNIT_CORRELATION, UNIT_CORRELATION)
        half = z * errors[correlation] / (1.0 - r * r)
        low[correlation], high[correlation] = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    fixed = [table[name].to_numpy(dtype=np.float64) for name in ("std_error", "conf_low", "conf_high")]
    return FitNumbers(
        (*labels.fixed, *labels.variance, labels.sigma),
        np.concatenate([beta, values]),
        np.concatenate([fixed[0], errors]),
        np.concatenate([fixed[1], low]),
        np.concatenate([fixed[2], high]),
    )


def _variance_parameters(fit: LinearMixedModel, phi: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return standard deviations and correlations, and σ last, for rows of covariance parameters."""
    parameters = fit._engine.products.plan.parameters
    theta = np.array([parameters.to_user(row) for row in phi])
    rows = parameter_rows(fit, np.empty((len(phi), 0)), theta, sigma)[:, theta.shape[1] :]
    return np.column_stack([rows[:, 1:], rows[:, 0]])


def _delta_errors(fit: LinearMixedModel) -> FloatArray:
    """Return the standard errors of standard deviations, correlations and σ."""
    covariance = satterthwaite_model(fit._engine).covariance
    phi = fit._engine.model.phi
    m = phi.size
    step = STEP * np.maximum(1.0, np.abs(phi))
    moves = np.vstack([np.diag(step), -np.diag(step)])
    sigma = np.full(2 * m, fit.sigma)
    moved = _variance_parameters(fit, phi + moves, sigma)
    slopes = np.empty((moved.shape[1], m + 1))
    slopes[:, :m] = ((moved[:m] - moved[m:]) / (2.0 * step)[:, None]).T
    # σ multiplies all standard deviations, and the last parameter of the covariance is log σ².
    values = _variance_parameters(fit, phi[None], np.array([fit.sigma]))[0]
    doubled = _variance_parameters(fit, phi[None], np.array([2.0 * fit.sigma]))[0]
    slopes[:, m] = 0.5 * (doubled - values)
    variance = np.einsum("ra,ab,rb->r", slopes, covariance, slopes)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
