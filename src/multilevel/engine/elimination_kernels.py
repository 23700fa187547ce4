"""The kernel of the blocked factorisation: elimination of the chain's levels.

The notation is that of the stages in `ChainLayout`: for one level, D is its diagonal block (k × k, as left by the stages
before), W its products with everything that comes later (ancestors in the chain, then the listed columns of the dense
matrix S). With Ψ = λλᵀ,

    C = λᵀDλ + I,   H = (I + DΨ)⁻¹,   Q = ΨH = λC⁻¹λᵀ,   N = HD,   B = HW,

and eliminating the level takes WᵀQW off the later blocks. Going back, the sensitivity Ā of the criterion to the later blocks
gives the sensitivity to Ψ, N − BĀBᵀ, and to the level's own numbers, Q + ΨBĀBᵀΨ and −ΨBĀ. None of this divides by λ,
so a variance of exactly zero needs no special case.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.level_kernels import PANEL, block_factor, meets_much


@kernel
def panel_update(panel, filled, dense):
    """Take TᵀT of the rows gathered in a panel off the dense matrix, and clear them."""
    rows = panel[:filled]
    lost = np.dot(rows.T, rows)
    for r in range(dense.shape[0]):
        for c in range(r + 1):
            dense[r, c] -= lost[r, c]
    for r in range(filled):
        for c in range(panel.shape[1]):
            panel[r, c] = 0.0


@kernel
def eliminate(
    layout,
    factors,
    diagonal,
    tail,
    values,
    dense,
):
    """Eliminate the whole chain and return Σ log|C|.

    Later blocks and `dense` are updated in place; of the latter only the lower triangle means anything afterwards.
    """
    depth = layout.levels.shape[0]
    logdet = 0.0
    for i in range(depth):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        c_matrix = np.empty((k, k))
        d_lam = np.empty((k, k))
        scaled = np.empty((k, k))
        width = 0
        for j in range(layout.levels[i]):
            width = max(width, layout.indptr[layout.indptr_at[i] + j + 1] - layout.indptr[layout.indptr_at[i] + j])
        t_tail = np.empty((k, a))
        t_values = np.empty((k, width))
        order = dense.shape[0]
        panel = np.zeros((max(PANEL, k) if meets_much(width, order) else 0, order))
        filled = 0
        product = 1.0
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            v_at = layout.values_at[i] + k * first
            i_at = layout.index_at[i] + first
            # C = λᵀDλ + I and its Cholesky factor
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(c, k):
                        total += diagonal[d_at + r * k + t] * lam[t, c]
                    d_lam[r, c] = total
            for r in range(k):
                for c in range(r + 1):
                    total = 0.0
                    for t in range(r, k):
                        total += lam[t, r] * d_lam[t, c]
                    c_matrix[r, c] = total
                c_matrix[r, r] += 1.0
            for c in range(k):
                total = c_matrix[c, c]
                for t in range(c):
                    total -= c_matrix[c, t] * c_matrix[c, t]
                product *= total
                root = np.sqrt(total)
                c_matrix[c, c] = root
                for r in range(c + 1, k):
                    total = c_matrix[r, c]
                    for t in range(c):
                        total -= c_matrix[r, t] * c_matrix[c, t]
                    c_matrix[r, c] = total / root
            if product > 1e200 or product < 1e-200:
                logdet += np.log(product)
                product = 1.0
            # K = λL⁻ᵀ, T = KᵀW
            for r in range(k):
                for c in range(k):
                    total = lam[r, c]
                    for t in range(c):
                        total -= scaled[r, t] * c_matrix[c, t]
                    scaled[r, c] = total / c_matrix[c, c]
            w_at = layout.tail_at[i] + j * k * a
            for r in range(k):
                for c in range(a):
                    total = 0.0
                    for t in range(k):
                        total += scaled[t, r] * tail[w_at + t * a + c]
                    t_tail[r, c] = total
                f = scaled[0, r]
                for c in range(count):
                    t_values[r, c] = f * values[v_at + c]
                for t in range(1, k):
                    f = scaled[t, r]
                    for c in range(count):
                        t_values[r, c] += f * values[v_at + t * count + c]
            # the dense matrix loses TᵀT
            if meets_much(count, order):
                if filled + k > panel.shape[0]:
                    panel_update(panel, filled, dense)
                    filled = 0
                for t in range(k):
                    for c in range(count):
                        panel[filled + t, layout.column[i_at + c]] = t_values[t, c]
                filled += k
            else:
                for r in range(count):
                    row = layout.column[i_at + r]
                    for t in range(k):
                        f = t_values[t, r]
                        for c in range(r + 1):
                            dense[row, layout.column[i_at + c]] -= f * t_values[t, c]
            # and so do the ancestors
            for other in range(i + 1, depth):
                up = layout.parent[layout.parent_at[i, other] + j]
                ko = layout.sizes[other]
                col = layout.ahead_column[i, other]
                o_d = layout.diagonal_at[other] + up * ko * ko
                for r in range(ko):
                    for c in range(ko):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_tail[t, col + c]
                        diagonal[o_d + r * ko + c] -= total
                ao = layout.ahead[other]
                o_t = layout.tail_at[other] + up * ko * ao
                skip = col + ko
                for r in range(ko):
                    for c in range(ao):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_tail[t, skip + c]
                        tail[o_t + r * ao + c] -= total
                o_first = layout.indptr[layout.indptr_at[other] + up]
                o_count = layout.indptr[layout.indptr_at[other] + up + 1] - o_first
                o_v = layout.values_at[other] + ko * o_first
                p_at = layout.position_at[i, other] + first
                for r in range(ko):
                    for c in range(count):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_values[t, c]
                        values[o_v + r * o_count + layout.position[p_at + c]] -= total
        if filled > 0:
            panel_update(panel, filled, dense)
        logdet += np.log(product)
    return logdet
