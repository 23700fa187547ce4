"""Solutions with the blocked factor: effects by back-substitution, products and further right-hand sides."""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.level_kernels import block_factor, level_inverse


@kernel
def back_substitute(
    layout,
    factors,
    diagonal,
    tail,
    values,
    solution,
    extra,
    scores,
    effects,
):
    """Recover the chain's effects from those that came later.

    `solution` (order of the dense matrix × m) holds the coefficients that multiply its columns in the residual: for the response
    itself, (−b, −β, 1). `extra` (q × m) holds further right-hand sides of the chain, as `eliminate_columns` left them. On return
    scores = ZᵀPc and effects = ΨZᵀPc of every level, shape (q, m).
    """
    depth = layout.levels.shape[0]
    m = solution.shape[1]
    for i in range(depth - 1, -1, -1):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        raw = np.empty(k)
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            i_at = layout.index_at[i] + first
            v_at = layout.values_at[i] + k * first
            w_at = layout.tail_at[i] + j * k * a
            own = layout.effects_at[i] + j * k
            level_inverse(diagonal, d_at, psi, k, work, h)
            for s in range(m):
                for t in range(k):
                    total = extra[own + t, s]
                    for c in range(count):
                        total += values[v_at + t * count + c] * solution[layout.column[i_at + c], s]
                    for other in range(i + 1, depth):
                        ko = layout.sizes[other]
                        col = layout.ahead_column[i, other]
                        up = layout.effects_at[other] + layout.parent[layout.parent_at[i, other] + j] * ko
                        for r in range(ko):
                            total -= tail[w_at + t * a + col + r] * effects[up + r, s]
                    raw[t] = total
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += h[r, t] * raw[t]
                    scores[own + r, s] = total
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * scores[own + t, s]
                    effects[own + r, s] = total


@kernel
def multiply(
    layout,
    diagonal,
    tail,
    values,
    vectors,
    dense_vectors,
    out,
    dense_out,
):
    """Multiply the chain's part of the cross-product matrix by vectors: out = A_chain,· v and dense_out += A_dense,chain v."""
    depth = layout.levels.shape[0]
    m = vectors.shape[1]
    for i in range(depth):
        k = layout.sizes[i]
        a = layout.ahead[i]
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            i_at = layout.index_at[i] + first
            v_at = layout.values_at[i] + k * first
            w_at = layout.tail_at[i] + j * k * a
            own = layout.effects_at[i] + j * k
            for t in range(k):
                for s in range(m):
                    total = 0.0
                    for c in range(k):
                        total += diagonal[d_at + t * k + c] * vectors[own + c, s]
                    out[own + t, s] += total
                for c in range(count):
                    value = values[v_at + t * count + c]
                    row = layout.column[i_at + c]
                    for s in range(m):
                        out[own + t, s] += value * dense_vectors[row, s]
                        dense_out[row, s] += value * vectors[own + t, s]
                for other in range(i + 1, depth):
                    ko = layout.sizes[other]
                    col = layout.ahead_column[i, other]
                    up = layout.effects_at[other] + layout.parent[layout.parent_at[i, other] + j] * ko
                    for r in range(ko):
                        value = tail[w_at + t * a + col + r]
                        for s in range(m):
                            out[own + t, s] += value * vectors[up + r, s]
                            out[up + r, s] += value * vectors[own + t, s]


@kernel
def eliminate_columns(
    layout,
    factors,
    diagonal,
    tail,
    values,
    right,
    dense_right,
    products,
):
    """Eliminate the chain from further right-hand sides c, given as Zᵀc (q × m) and the dense rows' products with c.

    Both are updated in place (those of later stages lose what earlier ones explain); `products` (m × m) loses the chain's
    part of cᵀc.
    """
    depth = layout.levels.shape[0]
    m = right.shape[1]
    for i in range(depth):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        q_right = np.empty((k, m))
        h_right = np.empty((k, m))
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            i_at = layout.index_at[i] + first
            v_at = layout.values_at[i] + k * first
            w_at = layout.tail_at[i] + j * k * a
            own = layout.effects_at[i] + j * k
            level_inverse(diagonal, d_at, psi, k, work, h)
            for s in range(m):
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += h[r, t] * right[own + t, s]
                    h_right[r, s] = total
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * h_right[t, s]
                    q_right[r, s] = total
            for s in range(m):
                for u in range(m):
                    total = 0.0
                    for t in range(k):
                        total += q_right[t, s] * right[own + t, u]
                    products[s, u] -= total
            for t in range(k):
                for c in range(count):
                    value = values[v_at + t * count + c]
                    row = layout.column[i_at + c]
                    for s in range(m):
                        dense_right[row, s] -= value * q_right[t, s]
                for other in range(i + 1, depth):
                    ko = layout.sizes[other]
                    col = layout.ahead_column[i, other]
                    up = layout.effects_at[other] + layout.parent[layout.parent_at[i, other] + j] * ko
                    for r in range(ko):
                        value = tail[w_at + t * a + col + r]
                        for s in range(m):
                            right[up + r, s] -= value * q_right[t, s]
