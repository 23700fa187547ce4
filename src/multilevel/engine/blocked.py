"""The blocked factorisation of the penalized least squares problem at given covariance parameters.

The chain's levels are eliminated one by one (`chain_kernels`), what stays dense is factorised by LAPACK. From the factor
follow the criterion, its exact derivatives with respect to Ψ of every block, and solutions of the mixed-model equations for
further right-hand sides. BLAS and LAPACK are SciPy's throughout: mixing in NumPy's would set two thread pools against each
other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm, dsymm, dsymv
from scipy.linalg.lapack import dpotrf, dpotri, dtrtrs

from multilevel.engine.chain_kernels import (
    back_substitute,
    eliminate,
    eliminate_columns,
    multiply,
    sensitivities,
)
from multilevel.engine.dense_kernels import add_outer, congruence, diagonal_block_sum, mirror_lower
from multilevel.engine.products import CrossProducts
from multilevel.engine.tangent_kernels import eliminate_tangent, sensitivities_tangent, single_factor_sums
from multilevel.errors import DataError

FloatArray = npt.NDArray[np.float64]

WELL_CONDITIONED = 1e-3
"""A dense block's λ is inverted only when the smallest diagonal element is above this share of the largest."""


def gemm(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a·b through SciPy's BLAS, in C order."""
    result: FloatArray = dgemm(1.0, b.T, a.T).T
    return result


@dataclass(frozen=True, slots=True)
class DenseIndex:
    """For each row of the dense matrix, the block of rows it belongs to (see `congruence`)."""

    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    factor_at: npt.NDArray[np.int64]

    @classmethod
    def of(cls, products: CrossProducts) -> DenseIndex:
        """Describe the dense rows of a problem."""
        plan = products.plan
        order = products.dense.shape[0]
        start = np.arange(order, dtype=np.int64)
        size = np.ones(order, dtype=np.int64)
        factor_at = np.full(order, -1, dtype=np.int64)
        at = 0
        for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
            k, count = block.size, block.size * block.n_levels
            start[offset : offset + count] = offset + (np.arange(count) // k) * k
            size[offset : offset + count] = k
            factor_at[offset : offset + count] = at
            at += k * k
        return cls(start, size, factor_at)


@dataclass(frozen=True, slots=True)
class BlockedFactor:
    """The factorised problem at one set of relative covariance factors.

    Attributes
    ----------
    products
        The cross-products it was made from.
    rows
        The structure of the dense rows.
    factors
        λ of every block, in the plan's order.
    chain_flat, dense_flat
        The same numbers as the kernels take them.
    diagonal, tail, values, dense
        The cross-products after the chain's elimination (dense: lower triangle).
    cholesky
        Lower Cholesky factor of the scaled dense part (random effects, then X).
    logdet_random, logdet_fixed
        log|L_ZZ|² and log|L_XX|², in the engine's columns.
    rss
        Penalized residual sum of squares r², in the engine's response.
    coefficients
        What multiplies the dense columns in the residual: (−b, −β, 1).
    """

    products: CrossProducts
    rows: DenseIndex
    factors: tuple[FloatArray, ...]
    chain_flat: FloatArray
    dense_flat: FloatArray
    diagonal: FloatArray
    tail: FloatArray
    values: FloatArray
    dense: FloatArray
    cholesky: FloatArray
    logdet_random: float
    logdet_fixed: float
    rss: float
    coefficients: FloatArray

    def residual_df(self, reml: bool) -> int:
        """Return what r² is divided by: n − p for REML, n for ML."""
        return self.products.nobs - (self.products.n_fixed if reml else 0)

    def solve_dense(self, right: FloatArray) -> FloatArray:
        """Apply F = J(JᵀSJ + I)⁻¹Jᵀ to columns given over the dense random effects and X."""
        order = self.cholesky.shape[0]
        if order == 0:
            return np.zeros_like(right)
        scaled = self.scale_rows(right, transpose=True)
        half = dtrtrs(self.cholesky.T, scaled, lower=0, trans=1)[0]
        return self.scale_rows(dtrtrs(self.cholesky.T, half, lower=0, trans=0)[0], transpose=False)

    def scale_rows(self, right: FloatArray, transpose: bool) -> FloatArray:
        """Return Λᵀ (or Λ) times the dense random effects' rows; those of X stay."""
        result = np.array(right, dtype=np.float64, order="F")
        for lam, offset, levels in self.dense_blocks():
            k = lam.shape[0]
            inside = slice(offset, offset + k * levels)
            if k == 1:
                result[inside] *= lam[0, 0]
            else:
                part = result[inside].reshape(levels, k, -1)
                result[inside] = np.einsum("tr,jtc->jrc" if transpose else "rt,jtc->jrc", lam, part).reshape(
                    result[inside].shape
                )
        return result

    def dense_blocks(self) -> list[tuple[FloatArray, int, int]]:
        """Return λ, first row and number of levels of each dense block."""
        plan = self.products.plan
        return [
            (lam, offset, block.n_levels)
            for lam, offset, block in zip(
                self.factors[plan.depth :], plan.dense_offsets(), plan.blocks[plan.depth :], strict=True
            )
        ]


def _flat(factors: list[FloatArray]) -> FloatArray:
    return np.concatenate([f.ravel() for f in factors]) if factors else np.zeros(0)


def factorise(products: CrossProducts, rows: DenseIndex, factors: list[FloatArray]) -> BlockedFactor:
    """Factorise the problem with λ of each block given, in the plan's order."""
    depth = products.plan.depth
    chain_flat, dense_flat = _flat(factors[:depth]), _flat(factors[depth:])
    dense = products.dense.copy()
    diagonal, tail, values = products.diagonal, products.tail, products.values
    if depth > 1:
        diagonal, tail, values = diagonal.copy(), tail.copy(), values.copy()
    logdet = eliminate(products.layout, chain_flat, diagonal, tail, values, dense)

    q, p = products.n_dense, products.n_fixed
    order = q + p
    cholesky = np.empty((order, order))
    if q:
        congruence(dense, order, rows.start, rows.size, rows.factor_at, dense_flat, False, q, cholesky)
    else:
        cholesky[:] = dense[:order, :order]
    if order:
        upper, info = dpotrf(cholesky.T, lower=0, clean=0, overwrite_a=1)
        if info != 0:
            raise DataError(
                "The fixed-effects columns cannot be told apart once the random effects are in the model"
                " (their cross-product matrix is not positive definite); drop or combine some of them."
            )
        cholesky = upper.T
    logs = 2.0 * np.log(np.diag(cholesky))
    factor = BlockedFactor(
        products,
        rows,
        tuple(factors),
        chain_flat,
        dense_flat,
        diagonal,
        tail,
        values,
        dense,
        cholesky,
        logdet + float(logs[:q].sum()),
        float(logs[q:].sum()),
        0.0,
        np.empty(0),
    )
    response = dense[order, :order]
    coefficients = np.ones(order + 1)
    if order:
        scaled = factor.scale_rows(response[:, None], transpose=True)
        half = dtrtrs(cholesky.T, scaled, lower=0, trans=1)[0]
        explained = float((half * half).sum())
        coefficients[:order] = -factor.scale_rows(dtrtrs(cholesky.T, half, lower=0, trans=0)[0], transpose=False)[:, 0]
    else:
        explained = 0.0
    total = float(products.dense[order, order])
    # What rounding leaves of a residual that is exactly zero is of this order; the logarithm needs it positive.
    rss = max(float(dense[order, order]) - explained, 1e-16 * total, 1e-300)
    return BlockedFactor(
        products,
        rows,
        factor.factors,
        chain_flat,
        dense_flat,
        diagonal,
        tail,
        values,
        dense,
        cholesky,
        factor.logdet_random,
        factor.logdet_fixed,
        rss,
        coefficients,
    )


def dense_inverse(factor: BlockedFactor, reml: bool) -> FloatArray:
    """Return (JᵀSJ + I)⁻¹ of the dense random effects bordered by X (REML) or alone (ML), lower triangle."""
    order = factor.products.n_dense + (factor.products.n_fixed if reml else 0)
    if order == 0:
        return np.zeros((0, 0))
    part = factor.cholesky[:order, :order]
    upper = dpotri(np.array(part.T, order="F"), lower=0, overwrite_c=1)[0]
    result: FloatArray = upper.T
    return result


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


def score_products(factor: BlockedFactor) -> list[FloatArray]:
    """Return Σ gⱼgⱼᵀ over the levels of each block, with g = ZᵀPy: minus the derivative of r² with respect to Ψ."""
    products = factor.products
    plan, layout = products.plan, products.layout
    chain, _ = chain_scores(factor)
    dense = dsymv(1.0, factor.dense.T, factor.coefficients, lower=0)
    offsets = plan.dense_offsets()
    found = []
    for i, block in enumerate(plan.blocks):
        size = block.size * block.n_levels
        at = int(layout.effects_at[i]) if i < plan.depth else offsets[i - plan.depth]
        g = (chain if i < plan.depth else dense)[at : at + size].reshape(-1, block.size)
        found.append(np.einsum("jr,js->rs", g, g))
    return found


def sensitivity(factor: BlockedFactor, reml: bool, *, precision: float | None = None) -> Sensitivity:
    """Return ∂d/∂Ψ of every block, exactly.

    The criterion profiles σ² out. With a `precision` 1/σ² it is log|…| + r²·precision instead, with σ² held fixed; a precision of 0
    leaves the log-determinants alone.
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

    bar_diagonal = np.zeros_like(factor.diagonal) if products.plan.depth > 1 else np.empty(0)
    bar_tail = np.zeros_like(factor.tail) if products.plan.depth > 1 else np.empty(0)
    bar_values = np.zeros_like(factor.values) if products.plan.depth > 1 else np.empty(0)
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
        False,
    )
    psi: list[FloatArray] = []
    for i in range(products.plan.depth):
        k, at = int(products.layout.sizes[i]), int(products.layout.factor_at[i])
        psi.append(bar_psi[at : at + k * k].reshape(k, k))
    dense_scores = np.zeros(0)
    if q:
        dense_scores = dsymv(1.0, factor.dense.T, factor.coefficients, lower=0)[:q]
        psi.extend(_dense_sensitivity(factor, inverse, direct, dense_scores, c))
    return Sensitivity(tuple(psi), bar_dense, bar_diagonal, bar_tail, bar_values, dense_scores)


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
            rows_of_level = at + np.arange(levels)[:, None, None] * k + np.arange(k)[:, None]
            found.append(bar_dense[rows_of_level, rows_of_level.transpose(0, 2, 1)])
    return found


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


def full_dense(factor: BlockedFactor) -> FloatArray:
    """Return the dense matrix after elimination, both triangles."""
    s = factor.dense.copy()
    mirror_lower(s)
    return s


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
        half = dtrtrs(factor.cholesky.T, scaled, lower=0, trans=1)[0]
        result -= np.einsum("ra,rb->ab", half, half)
    return result


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
