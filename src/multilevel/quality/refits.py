"""Fits without some of the rows, each started at the whole fit's theta."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.engine.accumulate import rows_by_level
from multilevel.engine.fit import EngineFit, certify, finish, is_singular
from multilevel.engine.newton import minimise
from multilevel.engine.objective import Objective
from multilevel.engine.products import CrossProducts, cross_products_of, engine_columns
from multilevel.engine.start import SMALLEST
from multilevel.engine.threads import linear_algebra_threads, ordered_map
from multilevel.errors import DataError
from multilevel.model.residual_structure import refuse_structures
from multilevel.model.simulation import ClusterDesigns
from multilevel.quality.deletion import carried_theta

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """Estimates of fits, each without one set of rows; NaN where such a fit cannot be made.

    Attributes
    ----------
    beta
        Fixed effects, shape (J, p).
    vcov
        Their covariance matrices, shape (J, p, p).
    sigma
        Residual standard deviations, shape (J,).
    theta
        Covariance parameters in the order of the whole fit's, shape (J, n_theta).
    converged
        Whether each search ended at an optimum.
    """

    beta: FloatArray
    vcov: FloatArray
    sigma: FloatArray
    theta: FloatArray
    converged: npt.NDArray[np.bool_]


def refit_without(
    fit: LinearMixedModel,
    codes: npt.NDArray[np.int32],
    n_groups: int,
    estimable: npt.NDArray[np.bool_],
    threads: int | None,
    progress: bool,
) -> Refits:
    """Fit the model without each group of rows in turn, those left out where the fixed effects cannot be estimated."""
    refuse_structures(fit, "Refitting without groups of rows")
    p, n_theta = fit._design.n_fixed, fit._engine.theta.size
    result = Refits(
        np.full((n_groups, p), np.nan),
        np.full((n_groups, p, p), np.nan),
        np.full(n_groups, np.nan),
        np.full((n_groups, n_theta), np.nan),
        np.zeros(n_groups, dtype=np.bool_),
    )
    plan = fit._engine.products.plan
    products_without = _downdated(fit, codes, n_groups) if len(plan.blocks) == 1 else _rebuilt(fit, codes, n_groups)

    def work(group: int) -> None:
        try:
            engine = _search(fit, products_without(group))
        except DataError:  # what is left cannot be fitted; the result says so
            return
        result.beta[group], result.sigma[group] = engine.beta, engine.sigma
        result.vcov[group] = engine.sigma**2 * engine.unscaled_vcov
        result.theta[group] = carried_theta(engine.theta, engine.products.plan, plan)
        result.converged[group] = engine.convergence.converged

    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = np.flatnonzero(estimable).tolist()
    with linear_algebra_threads(fit._engine.products.dense.shape[0], 1 if threads > 1 else None):
        _run(work, wanted, threads, progress)
    return result


def _run(work: Callable[[int], None], groups: Sequence[int], threads: int, progress: bool) -> None:
    from tqdm.auto import tqdm

    done = ordered_map(work, groups, threads)
    for _ in tqdm(done, total=len(groups), desc="influence", unit="fit", disable=not progress):
        pass


def _search(fit: LinearMixedModel, products: CrossProducts) -> EngineFit:
    """Minimise from the whole fit's theta; pivots at zero are lifted, since the criterion is stationary there."""
    objective = Objective(products, fit.reml)
    parameters = products.plan.parameters
    theta = carried_theta(fit._engine.theta, fit._engine.products.plan, products.plan)
    phi = parameters.from_user(theta)
    near = parameters.pivots & (np.abs(phi) < NEAR_ZERO)
    start = parameters.lifted(phi, SMALLEST) if near.any() else phi
    search = minimise(objective, start, fit._control.tolerance, max(fit._control.max_evaluations, 2))
    singular = is_singular(objective, search.model.phi)
    return finish(objective, search.model, singular, certify(objective, search, "newton", singular))


NEAR_ZERO = 1e-3
"""A pivot of λ below this is where the criterion's slope in it vanishes; searches do not start there."""


def _rebuilt(fit: LinearMixedModel, codes: npt.NDArray[np.int32], n_groups: int) -> Callable[[int], CrossProducts]:
    """Return what makes the cross-products without a group out of the remaining rows."""
    designs = ClusterDesigns.of(fit._design, codes, n_groups)
    everything = np.arange(n_groups)

    def products(group: int) -> CrossProducts:
        return cross_products_of(designs.take(np.delete(everything, group)))

    return products


def _downdated(fit: LinearMixedModel, codes: npt.NDArray[np.int32], n_groups: int) -> Callable[[int], CrossProducts]:
    """Return what takes a group's rows off the cross-products of a model with one grouping factor.

    A level without rows adds nothing to the criterion, so levels that vanish stay where they are.
    """
    design, whole = fit._design, fit._engine.products
    columns = engine_columns(design)
    block, fixed = whole.plan.blocks[0], whole.fixed
    own, k = block.columns, block.size
    level_of, sizes = block.factor.codes, np.bincount(block.factor.codes, minlength=block.n_levels)
    start, order = rows_by_level(codes, n_groups)

    def products(group: int) -> CrossProducts:
        rows = order[start[group] : start[group + 1]]
        weights = np.ones(rows.size) if design.weights is None else design.weights[rows]
        part = columns[rows]
        z = (part[:, own.places] - own.shift) * own.scale
        x = np.column_stack([(part[:, fixed.places] - fixed.shift) * fixed.scale, whole.engine_response(part)])
        levels, place = np.unique(level_of[rows], return_inverse=True)
        gone = np.bincount(place) == sizes[levels]
        diagonal = whole.diagonal.copy().reshape(-1, k, k)
        values = whole.values.copy().reshape(block.n_levels, k, -1)
        for j, level in enumerate(levels):
            if gone[j]:
                diagonal[level], values[level] = 0.0, 0.0
            else:
                at = place == j
                weighted = z[at] * weights[at, None]
                diagonal[level] -= weighted.T @ z[at]
                values[level] -= weighted.T @ x[at]
        return replace(
            whole,
            diagonal=diagonal.ravel(),
            values=values.ravel(),
            dense=whole.dense - np.tril((x * weights[:, None]).T @ x),
            nobs=whole.nobs - rows.size,
            log_weights=whole.log_weights - float(np.log(weights).sum()),
        )

    return products
