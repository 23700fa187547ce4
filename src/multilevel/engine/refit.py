"""Many responses, one design: what does not depend on the response is shared by all fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import EngineFit, fit_of_design
from multilevel.engine.newton import SMALL_PIVOT
from multilevel.engine.single_factor import refit_single_factor
from multilevel.engine.start import SMALLEST
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """Estimates of many fits of one design, a row for each response.

    Attributes
    ----------
    beta
        Fixed effects, shape (m, p).
    theta
        Covariance parameters in the user's columns, shape (m, n_theta).
    sigma
        Residual standard deviations, shape (m,).
    criterion
        REML criteria or deviances, shape (m,).
    converged
        Whether each search ended at an optimum.
    residual
        Parameters of the residual structure, shape (m, number of them).
    """

    beta: FloatArray
    theta: FloatArray
    sigma: FloatArray
    criterion: FloatArray
    converged: npt.NDArray[np.bool_]
    residual: FloatArray


def refit_all(fit: EngineFit, design: Design, responses: FloatArray, control: LmerControl, threads: int) -> Refits:
    """Fit every row of `responses` (m × n) to a design that was fitted before."""
    m = responses.shape[0]
    p, n_theta = design.n_fixed, fit.theta.size
    n_residual = 0 if fit.residual is None else fit.residual.values.size
    result = Refits(
        np.empty((m, p)), np.empty((m, n_theta)), np.empty(m), np.empty(m), np.zeros(m, dtype=np.bool_),
        np.empty((m, n_residual)),
    )  # fmt: skip
    if fit.residual is None and fit.objective.walks_in_kernel and control.optimizer == "newton":
        left = _refit_in_kernel(fit, design, responses, control, threads, result)
    else:
        left = np.arange(m)
    for row in left:
        single = refit_one(fit, design, responses[row], control)
        result.beta[row], result.theta[row] = single.beta, single.theta
        result.sigma[row], result.criterion[row] = single.sigma, single.criterion
        result.converged[row] = single.convergence.converged
        if single.residual is not None:
            result.residual[row] = single.residual.values
    return result


def refit_one(fit: EngineFit, design: Design, response: FloatArray, control: LmerControl) -> EngineFit:
    """Fit one response to a design that was fitted before."""
    return fit_of_design(design.with_response(response), fit.objective.reml, control)


def _refit_in_kernel(
    fit: EngineFit, design: Design, responses: FloatArray, control: LmerControl, threads: int, result: Refits
) -> npt.NDArray[np.intp]:
    """Fit all responses of a single-factor model; return the rows that want the full treatment."""
    products, objective = fit.products, fit.objective
    parameters = products.plan.parameters
    block = products.plan.blocks[0]
    m, p = responses.shape[0], products.n_fixed
    phi, numbers, coefficients = np.empty((m, fit.model.phi.size)), np.empty((m, 6)), np.empty((m, p))
    none = np.empty(0)
    own, fixed = block.columns, products.fixed

    def work(first: int, last: int) -> None:
        refit_single_factor(
            products.layout,
            design.columns,
            block.factor.codes,
            own.places,
            own.shift,
            own.scale,
            fixed.places,
            fixed.shift,
            fixed.scale,
            fixed.constant >= 0,
            none if design.weights is None else design.weights,
            none if design.offset is None else design.offset,
            products.diagonal,
            products.values,
            products.dense,
            objective.stacked_derivatives,
            float(objective.residual_df),
            objective.reml,
            parameters.lifted(fit.model.phi, SMALLEST),
            control.tolerance,
            min(control.max_evaluations, 200),
            responses,
            first,
            last,
            phi,
            numbers,
            coefficients,
        )

    if threads > 1 and m > 1:
        edges = np.linspace(0, m, min(4 * threads, m) + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))
    else:
        work(0, m)

    criterion, rss, shift, scale, _, converged = numbers.T
    to_user = fixed.to_user()
    result.beta[:] = -(coefficients @ to_user.T) / scale[:, None]
    if fixed.constant >= 0:
        result.beta[:, fixed.constant] += shift
    df = objective.residual_df
    result.sigma[:] = np.sqrt(rss / df) / scale
    # The objective's constant holds the scale of its own response.
    constant = objective.constant + 2.0 * df * np.log(products.response_scale)
    result.criterion[:] = criterion + constant - 2.0 * df * np.log(scale)
    result.converged[:] = converged == 1.0
    for row in range(m):
        result.theta[row] = parameters.to_user(phi[row])
    return np.flatnonzero((np.abs(phi[:, parameters.pivots]).min(axis=1) < SMALL_PIVOT) | ~result.converged)
