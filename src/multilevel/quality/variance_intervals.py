"""Standard errors and intervals of standard deviations and correlations from the exact Hessian of the criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.inference.intervals import check_level
from multilevel.inference.satterthwaite import satterthwaite_model
from multilevel.model.identification import moving_parameters
from multilevel.model.parameter_labels import ParameterLabels

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

BOUNDARY = 1e-6
"""A correlation this close to ±1 is on the boundary, and so is a standard deviation this small beside the largest of its term."""


def variance_parameter_table(fit: LinearMixedModel, level: float = 0.95) -> pd.DataFrame:
    """Return standard deviations and correlations of the random effects and σ with standard errors and Wald intervals.

    Intervals are those of log σ and of Fisher's z, carried back, so that they keep to the parameters' bounds. The covariance of the
    estimates is twice the inverse of the exact Hessian of the criterion that was minimised, REML's or the deviance.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        ``estimate``, ``std_error``, ``conf_low``, ``conf_high``, by the names that `LinearMixedModel.confint` has. On the
        boundary, a variance of zero or a correlation of ±1, there is no such interval and they are NaN; so they are for parameters
        that the data do not determine.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.quality.variance_intervals import variance_parameter_table
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> variance_parameter_table(fit).round(2).loc["sd_Days|Subject"].tolist()
    [5.92, 1.25, 3.92, 8.95]
    """
    import pandas as pd
    from scipy.special import ndtri

    check_level(level)
    z = float(ndtri(0.5 + level / 2))
    covariance = satterthwaite_model(fit._engine).covariance
    rows = []
    working = _working_parameters(fit, len(covariance))
    for (kind, estimate, slope), moves in zip(working, moving_parameters(fit), strict=False):
        if slope is None or moves:
            rows.append((estimate, np.nan, np.nan, np.nan))
            continue
        # Between φ and log σ² stand the parameters of a residual structure, which these quantities do not depend on.
        whole = np.concatenate([slope[:-1], np.zeros(len(covariance) - slope.size), slope[-1:]])
        error = float(np.sqrt(max(float(whole @ covariance @ whole), 0.0)))
        if kind == "sd":
            rows.append((estimate, estimate * error, estimate * np.exp(-z * error), estimate * np.exp(z * error)))
        else:
            middle = np.arctanh(estimate)
            ends = np.tanh([middle - z * error, middle + z * error])
            rows.append((estimate, (1.0 - estimate**2) * error, float(ends[0]), float(ends[1])))
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    return pd.DataFrame(
        rows, index=list(ParameterLabels.of(fit).random)[: len(rows)], columns=columns, dtype=np.float64
    )


def _working_parameters(fit: LinearMixedModel, size: int) -> list[tuple[str, float, FloatArray | None]]:
    """Return for each parameter its kind, its value, and the gradient of its logarithm or its z.

    The gradient, of that size, is in φ, the residual parameters and log σ²; it is None on the boundary.
    """
    engine = fit._engine
    parameters = engine.products.plan.parameters
    found: list[tuple[str, float, FloatArray | None]] = []
    for term, place, variance in zip(parameters.terms, parameters.slices(), fit.varcorr(), strict=True):
        phi = engine.model.phi[place]
        factor, steps = term.to_user @ term.factor(phi), term.to_user @ term.jacobian(phi)
        psi = factor @ factor.T
        # ∂Ψ/∂φ, shape (n_theta, k, k).
        moved = steps @ factor.T
        moved = moved + moved.transpose(0, 2, 1)
        deviations = variance.standard_deviations
        zero = deviations <= BOUNDARY * fit.sigma * _size(fit, variance.group, variance.names)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = moved / np.sqrt(np.outer(np.diag(psi), np.diag(psi)))
        # Each element stands for all that its structure holds equal to it.
        for element in variance.elements:
            row, column = element.row, element.column
            slope = None
            if element.kind == "sd":
                if not zero[row]:
                    slope = np.zeros(size)
                    slope[place] = 0.5 * relative[:, row, row]
                    slope[-1] = 0.5
                found.append(("sd", float(deviations[row]), slope))
                continue
            rho = float(variance.correlation[row, column])
            if not zero[row] and not zero[column] and abs(rho) < 1.0 - BOUNDARY:
                slope = np.zeros(size)
                own = relative[:, row, row] + relative[:, column, column]
                slope[place] = (relative[:, row, column] - 0.5 * rho * own) / (1.0 - rho**2)
            found.append(("cor", rho, slope))
    found.append(("sd", fit.sigma, np.append(np.zeros(size - 1), 0.5)))
    return found


def _size(fit: LinearMixedModel, group: str, names: tuple[str, ...]) -> FloatArray:
    """Return what one unit of residual standard deviation is for each column of a term: one over the column's size."""
    for term in fit._design.random:
        if term.factor.name == group and term.names == names:
            columns = fit._design.columns[:, list(term.columns)]
            size: FloatArray = 1.0 / np.maximum(np.sqrt(np.mean(columns * columns, axis=0)), 1e-300)
            return size
    raise AssertionError(f"no term {names} | {group}")
