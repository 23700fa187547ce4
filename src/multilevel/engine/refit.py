"""Many responses, one design: what does not depend on the response is shared by all fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import EngineFit, fit_of_design, fit_products_from
from multilevel.engine.parameters import Parameters
from multilevel.engine.products import CrossProducts
from multilevel.engine.refit_kernels import refit_single_factor
from multilevel.engine.single_factor import SMALL_PIVOT
from multilevel.engine.start import SMALLEST
from multilevel.engine.structures import lower_triangle
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]

NUMBERS_AT_ONCE = 4_000_000
"""Numbers held at once for standard errors of many fits."""


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
    std_error
        Standard errors of the fixed effects, shape (m, p), or None where they were not asked for.
    residual
        Parameters of the residual structure, shape (m, number of them), or None where there is none.
    """

    beta: FloatArray
    theta: FloatArray
    sigma: FloatArray
    criterion: FloatArray
    converged: npt.NDArray[np.bool_]
    std_error: FloatArray | None = None
    residual: FloatArray | None = None


def refit_all(
    fit: EngineFit,
    design: Design,
    responses: FloatArray,
    control: LmerControl,
    threads: int,
    *,
    std_error: bool = False,
) -> Refits:
    """Fit every row of `responses` (m × n) to a design that was fitted before."""
    m = responses.shape[0]
    p, n_theta = design.n_fixed, fit.theta.size
    errors = np.empty((m, p)) if std_error else None
    residual = None if fit.residual is None else np.empty((m, fit.residual.values.size))
    result = Refits(
        np.empty((m, p)),
        np.empty((m, n_theta)),
        np.empty(m),
        np.empty(m),
        np.zeros(m, dtype=np.bool_),
        errors,
        residual,
    )
    kernel = fit.residual is None and fit.objective.walks_in_kernel and control.optimizer == "newton"
    left: npt.NDArray[np.intp] = np.arange(m)
    if kernel:
        phi, left = _refit_in_kernel(fit, design, responses, control, threads, result)
    for row in left:
        if kernel:
            # The kernel found no end, or none that is a minimum: the full treatment starts from well inside.
            start = fit.products.plan.parameters.lifted(phi[row], SMALLEST)
            products = _with_response(fit.products, design, responses[row])
            single = fit_products_from(products, fit.objective.reml, control, start)
        else:
            single = refit_one(fit, design, responses[row], control)
        result.beta[row], result.theta[row] = single.beta, single.theta
        result.sigma[row], result.criterion[row] = single.sigma, single.criterion
        result.converged[row] = single.convergence.converged
        if errors is not None:
            errors[row] = single.sigma * np.sqrt(np.diag(single.unscaled_vcov))
        if residual is not None and single.residual is not None:
            residual[row] = single.residual.values
    return result


def refit_one(fit: EngineFit, design: Design, response: FloatArray, control: LmerControl) -> EngineFit:
    """Fit one response to a design that was fitted before."""
    return fit_of_design(design.with_response(response), fit.objective.reml, control)


def _with_response(products: CrossProducts, design: Design, response: FloatArray) -> CrossProducts:
    """Return the cross-products of a model with one grouping factor, those with the response made anew."""
    fixed, block = products.fixed, products.plan.blocks[0]
    p, k, levels = products.n_fixed, block.size, block.n_levels
    y = response if design.offset is None else response - design.offset
    weights = np.ones(y.size) if design.weights is None else design.weights
    shift = 0.0
    if fixed.constant >= 0:
        shift = float(y[0] + (weights * (y - y[0])).sum() / weights.sum())
    y = y - shift
    square = float((weights * y * y).sum())
    scale = float(np.sqrt(weights.sum() / square)) if square > 0.0 else 1.0
    weighted = y * scale * weights
    values = products.values.copy()
    sums = values.reshape(levels, k, p + 1)
    own = block.columns
    for a in range(k):
        column = (design.columns[:, own.places[a]] - own.shift[a]) * own.scale[a]
        sums[:, a, p] = np.bincount(block.factor.codes, column * weighted, minlength=levels)
    dense = products.dense.copy()
    for c in range(p):
        column = (design.columns[:, fixed.places[c]] - fixed.shift[c]) * fixed.scale[c]
        dense[p, c] = float((column * weighted).sum())
    dense[p, p] = float((weighted * y).sum()) * scale
    return replace(products, values=values, dense=dense, response_shift=shift, response_scale=scale)


def _user_theta(parameters: Parameters, phi: FloatArray) -> FloatArray:
    """Return θ in the user's columns for a row of φ each."""
    result = np.empty((len(phi), parameters.n_theta))
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        own, structure = phi[:, place], term.structure
        if not structure.rotates:
            result[:, place] = own / term.from_user(np.ones(structure.n_theta))
            continue
        factors = np.einsum("ma,ars->mrs", own, structure.jacobian(structure.start()))
        upper = np.linalg.qr((term.to_user @ factors).transpose(0, 2, 1), mode="r")
        lower = np.asarray(upper).transpose(0, 2, 1)
        pivots = np.diagonal(lower, axis1=1, axis2=2)
        lower = lower * np.where(pivots < 0, -1.0, 1.0)[:, None, :]
        rows, columns = lower_triangle(structure.size)
        result[:, place] = lower[:, rows, columns]
        for row in np.flatnonzero((np.abs(pivots) <= SMALL_PIVOT).any(axis=1)):
            # A pivot of zero wants more care than a plain factorisation takes.
            result[row, place] = structure.parameters(term.user_factor(own[row]))
    return result


def _fixed_variances(fit: EngineFit, phi: FloatArray) -> FloatArray:
    """Return the diagonal of (XᵀV⁻¹X)⁻¹ for a row of φ each, in the user's columns."""
    products = fit.products
    p, block = products.n_fixed, products.plan.blocks[0]
    k, levels = block.size, block.n_levels
    squares = products.diagonal.reshape(levels, k, k)
    cross = products.values.reshape(levels, k, p + 1)[:, :, :p]
    gram = np.tril(products.dense[:p, :p])
    gram = gram + np.tril(gram, -1).T
    to_user = products.fixed.to_user()
    derivatives = fit.objective.stacked_derivatives
    result = np.empty((len(phi), p))
    step = max(1, NUMBERS_AT_ONCE // (levels * k * max(k, p)))
    for first in range(0, len(phi), step):
        lam = np.einsum("ma,ars->mrs", phi[first : first + step], derivatives)
        inner = np.einsum("mtr,jtu,mus->mjrs", lam, squares, lam, optimize=True) + np.eye(k)
        half = np.einsum("mtr,jtc->mjrc", lam, cross, optimize=True)
        explained = np.einsum("mjrc,mjrd->mcd", half, np.linalg.solve(inner, half), optimize=True)
        inverse = np.linalg.inv(gram - explained)
        result[first : first + step] = np.einsum("ac,mcd,ad->ma", to_user, inverse, to_user, optimize=True)
    return result


def _refit_in_kernel(
    fit: EngineFit, design: Design, responses: FloatArray, control: LmerControl, threads: int, result: Refits
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Fit all responses of a single-factor model; return φ, and the rows that want the full treatment."""
    products, objective = fit.products, fit.objective
    parameters = products.plan.parameters
    block = products.plan.blocks[0]
    m, p = responses.shape[0], products.n_fixed
    phi, numbers, coefficients = np.empty((m, fit.model.phi.size)), np.empty((m, 6)), np.empty((m, p))
    none = np.empty(0)
    # the element of λ that each parameter is
    places = np.array([np.argwhere(derivative)[0] for derivative in objective.stacked_derivatives])
    own, fixed = block.columns, products.fixed
    # A design that was saved without its rows says so here.
    columns, codes = np.asarray(design.columns), np.asarray(block.factor.codes)

    def work(first: int, last: int) -> None:
        refit_single_factor(
            products.layout,
            columns,
            codes,
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
            parameters.pivots,
            places,
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
    result.theta[:] = _user_theta(parameters, phi)
    if result.std_error is not None and p:
        result.std_error[:] = result.sigma[:, None] * np.sqrt(_fixed_variances(fit, phi))
    return phi, np.flatnonzero(~result.converged)
