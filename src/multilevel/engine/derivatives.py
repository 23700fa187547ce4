"""Exact first and second derivatives of the criterion with respect to Ψ of every block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsymv

from multilevel.engine.dense_kernels import add_outer, congruence, diagonal_block_sum, mirror_lower
from multilevel.engine.factor import BlockedFactor, dense_inverse, factor_steps, full_dense, gemm
from multilevel.engine.sensitivity_kernels import sensitivities
from multilevel.engine.solutions import dense_scores
from multilevel.engine.tangent_kernels import eliminate_tangent, sensitivities_tangent, single_factor_sums
from multilevel.engine.threads import hears_interrupts

FloatArray = npt.NDArray[np.float64]

WELL_CONDITIONED = 1e-3
"""A dense block's λ is inverted only when the smallest diagonal element is above this share of the largest."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """First derivatives of the criterion with respect to Ψ of each block, and what second derivatives reuse.

    Attributes
    ----------
    psi
        ∂d/∂Ψ of each block, in the plan's order, symmetric.
    bar_dense, bar_diagonal, bar_tail, bar_values
        Ā: the sensitivity of the criterion to the dense matrix and to the later stages of the chain.
    dense_scores
        ZᵀPy of the dense random effects.
    """

    psi: tuple[FloatArray, ...]
    bar_dense: FloatArray
    bar_diagonal: FloatArray
    bar_tail: FloatArray
    bar_values: FloatArray
    dense_scores: FloatArray


@hears_interrupts(factor_steps)
def sensitivity(
    factor: BlockedFactor, reml: bool, *, precision: float | None = None, to_products: bool = False
) -> Sensitivity:
    """Return ∂d/∂Ψ of every block, exactly.

    The criterion profiles σ² out. With a `precision` 1/σ² it is log|…| + r²·precision instead, with σ² held fixed; a precision of 0
    leaves the log-determinants alone. With `to_products` the sensitivities to the first stage's own cross-products are kept too, so
    that the bars of the result are those to all cross-products (each element standing for itself and its mirror image).
    """
    products = factor.products
    q, p = products.n_dense, products.n_fixed
    order = q + p
    c = factor.residual_df(reml) / factor.rss if precision is None else precision
    inverse = dense_inverse(factor, reml)
    bar_dense = np.zeros((order + 1, order + 1))
    filled = inverse.shape[0]
    if q:
        rows = factor.rows
        congruence(inverse, filled, rows.start, rows.size, rows.factor_at, factor.dense_flat, True, 0, bar_dense)
    elif filled:
        bar_dense[:filled, :filled] = inverse
    mirror_lower(bar_dense)
    direct = dense_information(factor, bar_dense[:order, :order]) if _any_singular(factor) else None
    add_outer(bar_dense, factor.coefficients, c)

    keep = products.plan.depth > 1 or to_products
    bar_diagonal = np.zeros_like(factor.diagonal) if keep else np.empty(0)
    bar_tail = np.zeros_like(factor.tail) if keep else np.empty(0)
    bar_values = np.zeros_like(factor.values) if keep else np.empty(0)
    bar_psi = np.zeros_like(factor.chain_flat)
    sensitivities(
        products.layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        factor.values,
        bar_dense,
        bar_diagonal,
        bar_tail,
        bar_values,
        bar_psi,
        to_products,
    )
    psi: list[FloatArray] = []
    for i in range(products.plan.depth):
        k, at = int(products.layout.sizes[i]), int(products.layout.factor_at[i])
        psi.append(bar_psi[at : at + k * k].reshape(k, k))
    scores = np.zeros(0)
    if q:
        scores = dense_scores(factor)
        psi.extend(_dense_sensitivity(factor, inverse, direct, scores, c))
    return Sensitivity(tuple(psi), bar_dense, bar_diagonal, bar_tail, bar_values, scores)


def _singular(lam: FloatArray) -> bool:
    diagonal = np.abs(np.diag(lam))
    return bool(diagonal.min() <= WELL_CONDITIONED * max(1.0, float(np.abs(lam).max())))


def _any_singular(factor: BlockedFactor) -> bool:
    return any(_singular(lam) for lam, _, _ in factor.dense_blocks())


def _dense_sensitivity(
    factor: BlockedFactor, inverse: FloatArray, direct: FloatArray | None, scores: FloatArray, c: float
) -> list[FloatArray]:
    """Return ∂d/∂Ψ of the dense blocks, Σ N_jj − c·gⱼgⱼᵀ; `direct` is N where some λ cannot be inverted."""
    found = []
    for lam, offset, levels in factor.dense_blocks():
        k = lam.shape[0]
        g = scores[offset : offset + k * levels].reshape(levels, k)
        if direct is not None:
            total = diagonal_block_sum(direct, offset, levels, k)
        else:
            # ΛᵀNΛ = I − (JᵀSJ + I)⁻¹ block by block
            inner = levels * np.eye(k) - diagonal_block_sum(inverse, offset, levels, k)
            left = np.linalg.solve(lam.T, inner)
            total = np.linalg.solve(lam.T, left.T).T
        found.append(total - c * np.einsum("jr,js->rs", g, g))
    return found


def dense_information(factor: BlockedFactor, log_part: FloatArray) -> FloatArray:
    """Return N = S − S F S over the dense random effects (full matrix)."""
    q, order = factor.products.n_dense, factor.cholesky.shape[0]
    s = full_dense(factor)[:order, :order]
    sf = gemm(s[:q], log_part[:order, :order])
    result: FloatArray = s[:q, :q] - gemm(sf, s[:, :q])
    return result


@hears_interrupts(factor_steps)
def single_factor_derivatives(
    factor: BlockedFactor, reml: bool, directions: FloatArray, *, precision: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return ∂d/∂Ψ and the part of the Hessian that is not linear in Ψ, for a model with one grouping factor.

    `directions` holds the derivatives D_a of Ψ along each parameter, shape (m, k, k). The Hessian of the criterion along them is
    the returned matrix plus tr(∂d/∂Ψ · ∂²Ψ).
    """
    products = factor.products
    k, p = int(products.layout.sizes[0]), products.n_fixed
    levels = int(products.layout.levels[0])
    fixed_inverse = np.ascontiguousarray(dense_inverse(factor, True))
    mirror_lower(fixed_inverse)
    log_part = fixed_inverse if reml else np.zeros((p, p))
    c = factor.residual_df(reml) / factor.rss if precision is None else precision
    bar, gg = np.zeros((k, k)), np.zeros((k, k))
    tensor, s_sum, g_sum = np.zeros((k, k, k, k)), np.zeros((k, k, p, p)), np.zeros((k, k, p))
    single_factor_sums(
        levels,
        k,
        p + 1,
        factor.chain_flat,
        factor.diagonal,
        factor.values,
        log_part,
        factor.coefficients,
        c,
        bar,
        tensor,
        s_sum,
        g_sum,
        gg,
    )
    bar = 0.5 * (bar + bar.T)
    m = directions.shape[0]
    flat = directions.reshape(m, k * k)
    # Σ tr(N D_a Y D_b) = Σ N[r,s] D_a[s,t] Y[t,u] D_b[u,r]
    moved = tensor.transpose(1, 2, 3, 0).reshape(k * k, k * k)
    hessian = flat @ moved @ flat.T
    if p:
        s_a = flat @ s_sum.reshape(k * k, p * p)
        if reml:
            fs = (fixed_inverse @ s_a.reshape(m, p, p)).reshape(m, p * p)
            hessian -= fs @ fs.reshape(m, p, p).transpose(0, 2, 1).reshape(m, p * p).T
        v = flat @ g_sum.reshape(k * k, p)
        hessian -= 2.0 * c * (v @ fixed_inverse @ v.T)
    if precision is None:
        slope = flat @ gg.ravel()
        hessian -= (c / factor.rss) * np.outer(slope, slope)
    return bar, 0.5 * (hessian + hessian.T)


@hears_interrupts(factor_steps)
def hessian_by_direction(
    factor: BlockedFactor,
    found: Sensitivity,
    reml: bool,
    blocks: list[int],
    directions: list[FloatArray],
    *,
    precision: float | None = None,
) -> FloatArray:
    """Return the same matrix as `single_factor_derivatives` for any plan, by differentiating both passes.

    Parameters
    ----------
    factor, found
        The factor and its first derivatives.
    reml
        Which criterion.
    blocks
        The block in which each direction lies.
    directions
        D_a, the derivative of that block's Ψ.
    precision
        As for `sensitivity`, of which `found` must be the result for the same one.
    """
    products = factor.products
    plan, layout = products.plan, products.layout
    depth, q, order = plan.depth, products.n_dense, factor.cholesky.shape[0]
    c = factor.residual_df(reml) / factor.rss if precision is None else precision
    m = len(directions)
    s_full = full_dense(factor)
    e = factor.coefficients
    log_part = found.bar_dense[:order, :order] - c * np.outer(e[:order], e[:order])
    keep = np.eye(order) - gemm(log_part, s_full[:order, :order]) if order else np.zeros((0, 0))
    information = (
        s_full[:q, :q] - gemm(s_full[:q, :order], gemm(log_part, s_full[:order, :q])) if q else np.zeros((0, 0))
    )
    g = found.dense_scores
    offsets = plan.dense_offsets()
    hessian = np.zeros((m, m))
    first_dense = [b - depth for b in blocks]
    for a in range(m):
        psi_dot = np.zeros_like(factor.chain_flat)
        dots = [np.zeros_like(x) for x in (factor.diagonal, factor.tail, factor.values)]
        s_dot = np.zeros_like(factor.dense)
        moved = np.zeros(order + 1)  # Ψ̇g over the dense random effects
        block = blocks[a]
        d = directions[a]
        k = d.shape[0]
        if block < depth:
            at = int(layout.factor_at[block])
            psi_dot[at : at + k * k] = d.ravel()
            eliminate_tangent(
                layout, factor.chain_flat, factor.diagonal, factor.tail, factor.values, block, psi_dot, *dots, s_dot
            )
            mirror_lower(s_dot)
            log_dot = -gemm(gemm(log_part, s_dot[:order, :order]), log_part) if order else np.zeros((0, 0))
        else:
            offset, levels = offsets[first_dense[a]], plan.blocks[block].n_levels
            inside = slice(offset, offset + k * levels)
            moved[inside] = (g[inside].reshape(levels, k) @ d).ravel()
            columns = keep[:, inside].reshape(order, levels, k)
            log_dot = gemm(np.einsum("rjt,ts->rjs", columns, d).reshape(order, -1), keep[:, inside].T.copy())
        # the residual's coefficients and r² along the direction
        e_dot = np.zeros(order + 1)
        change = dsymv(1.0, s_dot.T, e)
        if order:
            e_dot[:order] = -factor.solve_dense(change[:order, None])[:, 0]
            if block >= depth:
                residual = moved[:order] - factor.solve_dense(dsymv(1.0, s_full.T, moved)[:order, None])[:, 0]
                e_dot[:order] -= residual
        rss_dot = float(e @ change)
        if block >= depth:
            rss_dot -= float(g @ moved[:q])
        c_dot = -c * rss_dot / factor.rss if precision is None else 0.0
        bar_dot = np.zeros((order + 1, order + 1))
        bar_dot[:order, :order] = log_dot
        bar_dot += c_dot * np.outer(e, e) + c * (np.outer(e_dot, e) + np.outer(e, e_dot))
        out = np.zeros_like(factor.chain_flat)
        sensitivities_tangent(
            layout,
            factor.chain_flat,
            factor.diagonal,
            factor.tail,
            factor.values,
            psi_dot,
            *dots,
            found.bar_dense,
            found.bar_diagonal,
            found.bar_tail,
            found.bar_values,
            bar_dot,
            np.zeros_like(found.bar_diagonal),
            np.zeros_like(found.bar_tail),
            np.zeros_like(found.bar_values),
            out,
        )
        for b in range(m):
            if blocks[b] < depth:
                kb, at = directions[b].shape[0], int(layout.factor_at[blocks[b]])
                hessian[a, b] = float((out[at : at + kb * kb].reshape(kb, kb) * directions[b]).sum())
        if block >= depth:
            g_dot = dsymv(1.0, s_full.T, e_dot)[:q]
            sandwich = np.einsum("ijt,ts->ijs", information[:, inside].reshape(q, levels, k), d)
            for b in range(m):
                if blocks[b] < depth:
                    continue
                kb, jb = directions[b].shape[0], plan.blocks[blocks[b]].n_levels
                rows = slice(offsets[first_dense[b]], offsets[first_dense[b]] + kb * jb)
                left = sandwich[rows].reshape(jb, kb, levels * k)
                right = information[rows, inside].reshape(jb, kb, levels * k)
                total = -np.einsum("jrx,jsx->rs", left, right)
                gb, gb_dot = g[rows].reshape(jb, kb), g_dot[rows].reshape(jb, kb)
                cross = gb_dot.T @ gb
                total = total - c_dot * (gb.T @ gb) - c * (cross + cross.T)
                hessian[a, b] = float((total * directions[b]).sum())
    # A dense direction's row reaches every block, a chain direction's row the chain alone: the rest by symmetry.
    for a in range(m):
        for b in range(m):
            if blocks[a] < depth <= blocks[b]:
                hessian[a, b] = hessian[b, a]
    return 0.5 * (hessian + hessian.T)
