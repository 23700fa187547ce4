"""What a factor yields besides the criterion: scores, conditional covariances, quadratic forms in P."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsymm, dsymv

from multilevel.engine.dense_kernels import congruence, mirror_lower
from multilevel.engine.factor import BlockedFactor, dense_inverse, factor_steps
from multilevel.engine.lapack import solve_lower
from multilevel.engine.related_levels import relate_rows
from multilevel.engine.sensitivity_kernels import sensitivities
from multilevel.engine.solution_kernels import back_substitute, eliminate_columns, multiply
from multilevel.engine.threads import hears_interrupts

FloatArray = npt.NDArray[np.float64]


@hears_interrupts(factor_steps)
def chain_scores(factor: BlockedFactor) -> tuple[FloatArray, FloatArray]:
    """Return ZᵀPy and the conditional modes b of the chain's random effects (engine's units)."""
    layout = factor.products.layout
    q = int((layout.levels * layout.sizes).sum())
    scores, effects = np.empty((q, 1)), np.empty((q, 1))
    back_substitute(
        layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        factor.values,
        factor.coefficients[:, None],
        np.zeros((q, 1)),
        scores,
        effects,
    )
    return scores[:, 0], effects[:, 0]


def dense_scores(factor: BlockedFactor) -> FloatArray:
    """Return ZᵀPy of the dense random effects (engine's units)."""
    result: FloatArray = dsymv(1.0, factor.dense.T, factor.coefficients, lower=0)[: factor.products.n_dense]
    return result


def score_products(factor: BlockedFactor) -> list[FloatArray]:
    """Return Σ gⱼgⱼᵀ over the levels of each block, with g = ZᵀPy: minus the derivative of r² with respect to Ψ."""
    products = factor.products
    chain, _ = chain_scores(factor)
    dense = dense_scores(factor)
    found = []
    for i, block in enumerate(products.plan.blocks):
        g = products.rows_of(i, chain, dense).reshape(-1, block.size)
        found.append(np.einsum("jr,js->rs", g, g))
    return found


@hears_interrupts(factor_steps)
def conditional_covariances(factor: BlockedFactor) -> list[FloatArray]:
    """Return the diagonal blocks of ΛM⁻¹Λᵀ: the conditional covariance of each level's effects divided by σ².

    One array of shape (levels, k, k) for each block of the plan. They are the sensitivity of log|M| to the cross-products.
    """
    products = factor.products
    plan, layout = products.plan, products.layout
    q, order = products.n_dense, factor.dense.shape[0]
    bar_dense = np.zeros((order, order))
    if q:
        rows = factor.rows
        congruence(
            dense_inverse(factor, False),
            q,
            rows.start,
            rows.size,
            rows.factor_at,
            factor.dense_flat,
            True,
            0,
            bar_dense,
        )
        mirror_lower(bar_dense)
    bars = [np.zeros_like(x) for x in (factor.diagonal, factor.tail, factor.values)]
    sensitivities(
        layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        factor.values,
        bar_dense,
        *bars,
        np.zeros_like(factor.chain_flat),
        True,
    )
    found = []
    offsets = plan.dense_offsets()
    for i, block in enumerate(plan.blocks):
        k, levels = block.size, block.n_levels
        if i < plan.depth:
            at = int(layout.diagonal_at[i])
            found.append(bars[0][at : at + levels * k * k].reshape(levels, k, k))
        else:
            at = offsets[i - plan.depth]
            if block.factor.relation is not None:
                found.append(_related_covariances(block.factor.relation.lower, bar_dense[at:, at:], k))
                continue
            rows_of_level = at + np.arange(levels)[:, None, None] * k + np.arange(k)[:, None]
            found.append(bar_dense[rows_of_level, rows_of_level.transpose(0, 2, 1)])
    return found


def _related_covariances(lower: FloatArray, independent: FloatArray, k: int) -> FloatArray:
    """Return the diagonal blocks of (L ⊗ I)Σ(L ⊗ I)ᵀ for the first levels of a matrix."""
    levels = lower.shape[0]
    whole = np.ascontiguousarray(independent[: levels * k, : levels * k])
    left = relate_rows(lower, whole, k, transpose=False).reshape(levels, k, levels, k)
    result: FloatArray = np.einsum("jamb,jm->jab", left, lower)
    return result


@hears_interrupts(factor_steps)
def fixed_scores(factor: BlockedFactor) -> tuple[FloatArray, FloatArray]:
    """Return ZᵀV⁻¹X(XᵀV⁻¹X)⁻¹ over the chain and over the dense random effects, one column per fixed effect."""
    products = factor.products
    layout = products.layout
    q, p, order = products.n_dense, products.n_fixed, factor.cholesky.shape[0]
    solution = np.zeros((order + 1, p))
    solution[:order] = factor.solve_dense(np.eye(order, p, -q))
    size = int((layout.levels * layout.sizes).sum())
    scores, effects = np.empty((size, p)), np.empty((size, p))
    back_substitute(
        layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        factor.values,
        solution,
        np.zeros((size, p)),
        scores,
        effects,
    )
    dense = np.ascontiguousarray(dsymm(1.0, factor.dense.T, solution, lower=0)[:q])
    return scores, dense


@hears_interrupts(factor_steps)
def quadratic_products(factor: BlockedFactor, chain_vectors: FloatArray, dense_vectors: FloatArray) -> FloatArray:
    """Return (Zv)ᵀP(Zv) for columns v of random effects, given over the chain and over the dense rows.

    `dense_vectors` has a row for every row of the dense matrix; those of X and y are zero.
    """
    products = factor.products
    layout = products.layout
    right = np.zeros_like(chain_vectors)
    # The dense products are symmetric with only the lower triangle filled.
    dense_right = np.ascontiguousarray(dsymm(1.0, products.dense.T, dense_vectors, lower=0))
    multiply(
        layout,
        products.diagonal,
        products.tail,
        products.values,
        chain_vectors,
        dense_vectors,
        right,
        dense_right,
    )
    m = chain_vectors.shape[1]
    result = np.empty((m, m))
    result[:] = np.einsum("ra,rb->ab", chain_vectors, right) + np.einsum("ra,rb->ab", dense_vectors, dense_right)
    eliminate_columns(
        layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        factor.values,
        right,
        dense_right,
        result,
    )
    order = factor.cholesky.shape[0]
    if order:
        scaled = factor.scale_rows(dense_right[:order], transpose=True)
        half = solve_lower(factor.cholesky, scaled, transpose=False)
        result -= np.einsum("ra,rb->ab", half, half)
    return result


def conditional_modes(factor: BlockedFactor) -> list[FloatArray]:
    """Return the conditional modes of every term's random effects, in the user's columns, shape (levels, k), in the order of θ."""
    products = factor.products
    plan = products.plan
    _, effects = chain_scores(factor)
    found = []
    dense = -factor.coefficients
    for term in plan.parameters.terms:
        block = plan.blocks[term.block]
        values = products.rows_of(term.block, effects, dense)
        if block.factor.relation is not None:
            values = relate_rows(block.factor.relation.lower, values, block.size, transpose=False)
        own = values.reshape(block.n_levels, block.size)[:, term.offset : term.offset + term.structure.size]
        found.append(own @ term.to_user.T / products.response_scale)
    return found
