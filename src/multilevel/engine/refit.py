"""Many responses, one design: what does not depend on the response is shared by all fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import EngineFit, fit_of_design, fit_products_from
from multilevel.engine.parameters import Parameters
from multilevel.engine.products import CrossProducts
from multilevel.engine.refit_kernels import refit_single_factor
from multilevel.engine.signal import FEW_DIGITS, ROUNDS, STRONG, is_rounding, strong_part, warn_of_few_digits
from multilevel.engine.single_factor import SMALL_PIVOT
from multilevel.engine.start import SMALLEST
from multilevel.engine.structures import lower_triangle
from multilevel.engine.threads import in_pieces
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]

NUMBERS_AT_ONCE = 4_000_000
"""Numbers held at once for standard errors of many fits."""

REFIT_STEPS = 100
"""About how many elementary steps a refit takes for each row."""


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
    found = _without_signals(products, design, response[None])
    y, shift = found.rest[0], float(found.shift[0])
    weights = np.ones(y.size) if design.weights is None else design.weights
    square = float((weights * y * y).sum())
    scale = float(np.sqrt(y.size / square)) if square > 0.0 else 1.0
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
    signal = found.signal[0] if found.strong[0] else None
    return replace(products, values=values, dense=dense, response_shift=shift, response_scale=scale, signal=signal)


class _Responses(NamedTuple):
    """Responses without their mean (where the model has an intercept) and, of the strong ones, without their fixed part."""

    rest: FloatArray
    shift: FloatArray
    signal: FloatArray
    strong: npt.NDArray[np.bool_]


def _without_signals(products: CrossProducts, design: Design, responses: FloatArray) -> _Responses:
    """Take off each response what the fixed effects explain of it, where that is nearly all (see `multilevel.engine.signal`)."""
    fixed, p = products.fixed, products.n_fixed
    y = responses.copy() if design.offset is None else responses - design.offset
    weights = np.ones(y.shape[1]) if design.weights is None else design.weights
    shift = np.zeros(len(y))
    if fixed.constant >= 0:
        shift = y[:, 0] + ((y - y[:, :1]) * weights).sum(axis=1) / weights.sum()
    y -= shift[:, None]
    X = (np.asarray(design.columns)[:, fixed.places] - fixed.shift) * fixed.scale
    gram = np.zeros((p + 1, p + 1))
    gram[:p, :p] = np.tril(products.dense[:p, :p])
    signal, strong = np.zeros((len(y), p)), np.zeros(len(y), dtype=np.bool_)
    for row, own in enumerate(y):
        rest = own
        for _ in range(ROUNDS):
            size = float(np.sqrt((weights * rest * rest).sum() / weights.sum()))
            scaled = rest / (size or 1.0)
            gram[p, :p], gram[p, p] = (weights * scaled) @ X, float((weights * scaled * scaled).sum())
            coefficients = strong_part(gram)
            if coefficients is None:
                break
            coefficients = coefficients * size
            signal[row] += coefficients
            rest = rest - X @ coefficients
        if rest is own or is_rounding(size, float(np.abs(responses[row]).max()), p):
            signal[row] = 0.0
            continue
        strong[row], y[row] = True, rest
    return _Responses(y, shift, signal, strong)


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
    none = np.empty(0)
    # the element of λ that each parameter is
    places = np.array([np.argwhere(derivative)[0] for derivative in objective.stacked_derivatives])
    fixed = products.fixed
    # A design that was saved without its rows says so here.
    columns, codes = np.asarray(design.columns), np.asarray(block.factor.codes)

    def run(own: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        count = len(own)
        phi, numbers, coefficients = np.empty((count, fit.model.phi.size)), np.empty((count, 6)), np.empty((count, p))

        def work(first: int, last: int) -> None:
            refit_single_factor(
                products.layout,
                columns,
                codes,
                block.columns.places,
                block.columns.shift,
                block.columns.scale,
                fixed.places,
                fixed.shift,
                fixed.scale,
                fixed.constant >= 0,
                none if design.weights is None else design.weights,
                offset,
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
                own,
                first,
                last,
                phi,
                numbers,
                coefficients,
            )

        in_pieces(work, count, threads, REFIT_STEPS * columns.shape[0])
        return phi, numbers, coefficients

    phi, numbers, coefficients = run(responses, none if design.offset is None else design.offset)
    base = np.zeros((m, p))
    if fixed.constant >= 0:
        base[:, fixed.constant] = numbers[:, 2]
    # The response's own square is n in the engine's units.
    small = np.flatnonzero(numbers[:, 1] < STRONG * design.nobs)
    if small.size and p:
        found = _without_signals(products, design, responses[small])
        again = small[found.strong]
        if again.size:
            phi[again], numbers[again], coefficients[again] = run(np.ascontiguousarray(found.rest[found.strong]), none)
            base[again] = found.signal[found.strong] @ fixed.to_user().T
            if fixed.constant >= 0:
                base[again, fixed.constant] += found.shift[found.strong] + numbers[again, 2]
    warn_of_few_digits(int((numbers[:, 1] < FEW_DIGITS * design.nobs).sum()), m)

    criterion, rss, _, scale, _, converged = numbers.T
    to_user = fixed.to_user()
    result.beta[:] = base - (coefficients @ to_user.T) / scale[:, None]
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
