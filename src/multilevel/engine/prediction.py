"""Linear combinations of fixed and random effects: their variances given the data, and joint draws.

Given θ and σ, the deviations of (β̂, b̂) from (β, b) have the covariance σ²C⁻¹, C being the matrix of the mixed-model equations
(Henderson 1975). Its blocks are read off the factor level by level: no matrix over all random effects is formed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.dense_kernels import congruence, mirror_lower
from multilevel.engine.factor import BlockedFactor, dense_inverse
from multilevel.engine.fit import EngineFit
from multilevel.engine.lapack import solve_lower
from multilevel.engine.layout import product_shape
from multilevel.engine.prediction_kernels import combination_variances, draw_chain
from multilevel.engine.related_levels import relate_chain, related_covariance, related_draws
from multilevel.engine.threads import hears_interrupts, interruptible, linear_algebra_threads

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

ROWS_AT_ONCE = 100_000
"""Rows whose columns are held in the engine's units at once."""


@dataclass(frozen=True, slots=True, eq=False)
class EffectRows:
    """Where the effects of one random term meet some rows.

    Attributes
    ----------
    term
        Position of the term in the order of theta.
    z
        The term's columns in the user's units, shape (n, k).
    codes
        The level of each row; −1 where the row has none of the effects.
    """

    term: int
    z: FloatArray
    codes: Codes


def dense_covariance(factor: BlockedFactor) -> FloatArray:
    """Return the covariance of the dense random effects and the fixed effects divided by σ² (engine's units)."""
    order = factor.cholesky.shape[0]
    result = np.zeros((order, order))
    if order:
        with linear_algebra_threads(order, None):
            inverse = dense_inverse(factor, True)
        if factor.products.n_dense:
            rows = factor.rows
            congruence(inverse, order, rows.start, rows.size, rows.factor_at, factor.dense_flat, True, 0, result)
        else:
            result[:] = np.tril(inverse)
        mirror_lower(result)
        result = related_covariance(factor.products.plan, result)
    return result


def chain_values(factor: BlockedFactor) -> FloatArray:
    """Return the chain's products with the dense columns after its elimination, with those of b where levels are related."""
    products = factor.products
    if all(block.factor.relation is None for block in products.plan.blocks):
        return factor.values
    values = factor.values.copy()
    relate_chain(products.plan, product_shape(products.plan, products.n_fixed + 1), values, back=True)
    return values


def relative_variances(fit: EngineFit, x: FloatArray, effects: Sequence[EffectRows]) -> FloatArray:
    """Return the variances of x'(β̂ − β) + z'(b̂ − b) divided by σ².

    Parameters
    ----------
    fit
        The fit.
    x
        Fixed-effects columns, shape (n, p).
    effects
        The random terms that take part, each at most once.
    """
    n = x.shape[0]
    if not effects:
        return np.asarray(np.einsum("ia,ab,ib->i", x, fit.unscaled_vcov, x, optimize=True))
    factor, products = fit.model.factor, fit.products
    plan = products.plan
    covariance, values = dense_covariance(factor), chain_values(factor)
    result = np.empty(n)
    to_user = products.fixed.to_user()
    offsets = plan.dense_offsets()
    starts = np.concatenate([[0], np.cumsum([block.size for block in plan.blocks[: plan.depth]])]).astype(int)
    for first in range(0, n, ROWS_AT_ONCE):
        rows = slice(first, min(first + ROWS_AT_ONCE, n))
        count = rows.stop - first
        chain_codes = np.full((count, plan.depth), -1, dtype=np.int64)
        chain_z = np.zeros((count, starts[-1]))
        dense_at, dense_z = [np.empty((count, 0), dtype=np.int64)], [np.empty((count, 0))]
        for part in effects:
            place = plan.parameters.terms[part.term]
            z = part.z[rows] @ place.to_user
            codes = part.codes[rows].astype(np.int64)
            k = z.shape[1]
            if place.block < plan.depth:
                at = starts[place.block] + place.offset
                chain_codes[:, place.block] = codes
                chain_z[:, at : at + k] = z
            else:
                size = plan.blocks[place.block].size
                base = offsets[place.block - plan.depth] + codes[:, None] * size + place.offset
                dense_at.append(np.where(codes[:, None] < 0, -1, base + np.arange(k)))
                dense_z.append(z)
        order = np.lexsort(chain_codes.T) if plan.depth else np.arange(count)
        work = functools.partial(
            combination_variances,
            products.layout, factor.chain_flat, factor.diagonal, factor.tail, values, covariance, order,
            chain_codes, chain_z, np.hstack(dense_at), np.hstack(dense_z), np.ascontiguousarray(x[rows] @ to_user),
            products.n_dense, result[rows],
        )  # fmt: skip
        interruptible(work, 10.0 * count * covariance.shape[0])
    return result


@hears_interrupts(lambda fit, _, count: count * float(fit.products.dense.shape[0] ** 2 + fit.products.values.size))
def draw_deviations(fit: EngineFit, rng: np.random.Generator, count: int) -> tuple[FloatArray, list[FloatArray]]:
    """Draw β̂ − β and b̂ − b jointly, for σ = 1, in the user's columns.

    Returns
    -------
    fixed : ndarray of shape (count, p)
    effects : list of ndarray
        For each term in the order of theta, shape (count, levels, k).
    """
    factor, products = fit.model.factor, fit.products
    plan, layout = products.plan, products.layout
    order = factor.cholesky.shape[0]
    q = int((layout.levels * layout.sizes).sum())
    dense = np.zeros((order, count))
    if order:
        with linear_algebra_threads(order, None):
            half = solve_lower(factor.cholesky, rng.standard_normal((order, count)), transpose=True)
        dense = np.ascontiguousarray(factor.scale_rows(half, transpose=False))
    chain = np.empty((q, count))
    draw_chain(
        layout, factor.chain_flat, factor.diagonal, factor.tail, factor.values, dense,
        rng.standard_normal((q, count)), chain,
    )  # fmt: skip
    dense = related_draws(plan, dense)
    fixed = dense[products.n_dense :].T @ products.fixed.to_user().T
    effects = []
    for term in plan.parameters.terms:
        block = plan.blocks[term.block]
        values = products.rows_of(term.block, chain, dense).reshape(block.n_levels, block.size, count)
        own = values[:, term.offset : term.offset + term.structure.size]
        effects.append(np.einsum("jrm,sr->mjs", own, term.to_user))
    return fixed, effects
