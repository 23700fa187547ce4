"""The elimination run backwards: sensitivities of the criterion to every block, by the formulas of `elimination_kernels`."""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.level_kernels import PANEL, block_factor, level_inverse, level_rows, meets_much


@kernel
def later_sensitivity(
    i,
    j,
    k,
    b_tail,
    b_values,
    z_tail,
    z_values,
    layout,
    bar_diagonal,
    bar_tail,
    bar_values,
    bar_dense,
):
    """Write Z = BĀ of one level, where Ā is held by its ancestors and by the dense matrix."""
    depth = layout.levels.shape[0]
    a = layout.ahead[i]
    first = layout.indptr[layout.indptr_at[i] + j]
    count = layout.indptr[layout.indptr_at[i] + j + 1] - first
    i_at = layout.index_at[i] + first
    for t in range(k):
        for c in range(a):
            z_tail[t, c] = 0.0
        for c in range(count):
            z_values[t, c] = 0.0
    for c in range(count):
        row = layout.column[i_at + c]
        if k == 1:
            total = 0.0
            for r in range(count):
                total += b_values[0, r] * bar_dense[row, layout.column[i_at + r]]
            z_values[0, c] = total
        else:
            for r in range(count):
                value = bar_dense[row, layout.column[i_at + r]]
                for t in range(k):
                    z_values[t, c] += b_values[t, r] * value
    for other in range(i + 1, depth):
        up = layout.parent[layout.parent_at[i, other] + j]
        ko = layout.sizes[other]
        ao = layout.ahead[other]
        col = layout.ahead_column[i, other]
        o_d = layout.diagonal_at[other] + up * ko * ko
        o_t = layout.tail_at[other] + up * ko * ao
        o_first = layout.indptr[layout.indptr_at[other] + up]
        o_count = layout.indptr[layout.indptr_at[other] + up + 1] - o_first
        o_v = layout.values_at[other] + ko * o_first
        p_at = layout.position_at[i, other] + first
        skip = col + ko
        for r in range(ko):
            for c in range(ko):
                value = bar_diagonal[o_d + r * ko + c]
                for t in range(k):
                    z_tail[t, col + c] += b_tail[t, col + r] * value
            for c in range(ao):
                value = bar_tail[o_t + r * ao + c]
                for t in range(k):
                    z_tail[t, skip + c] += b_tail[t, col + r] * value
                    z_tail[t, col + r] += b_tail[t, skip + c] * value
            for c in range(count):
                value = bar_values[o_v + r * o_count + layout.position[p_at + c]]
                for t in range(k):
                    z_values[t, c] += b_tail[t, col + r] * value
                    z_tail[t, col + r] += b_values[t, c] * value


@kernel
def panel_products(panel, filled, k, bar_dense, total):
    """Take BĀBᵀ of the levels gathered in a panel off `total`, and clear the panel."""
    moved = np.dot(panel[:filled], bar_dense)
    for first in range(0, filled, k):
        for r in range(k):
            for c in range(k):
                inner = 0.0
                for t in range(panel.shape[1]):
                    inner += moved[first + r, t] * panel[first + c, t]
                total[r, c] -= inner
    for r in range(filled):
        for c in range(panel.shape[1]):
            panel[r, c] = 0.0


@kernel
def sensitivities(
    layout,
    factors,
    diagonal,
    tail,
    values,
    bar_dense,
    bar_diagonal,
    bar_tail,
    bar_values,
    bar_psi,
    keep_first,
):
    """Carry the sensitivity Ā of the criterion back through the chain; ∂d/∂Ψ of each stage is added to `bar_psi`.

    `diagonal`, `tail` and `values` are as `eliminate` left them; `bar_*` of the stages after the first are written, and with
    `keep_first` those of the first too.
    """
    depth = layout.levels.shape[0]
    for i in range(depth - 1, -1, -1):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        x = np.empty((k, k))
        width = 0
        for j in range(layout.levels[i]):
            width = max(width, layout.indptr[layout.indptr_at[i] + j + 1] - layout.indptr[layout.indptr_at[i] + j])
        b_tail = np.empty((k, a))
        b_values = np.empty((k, width))
        z_tail = np.empty((k, a))
        z_values = np.empty((k, width))
        psi_z = np.empty(k)
        total_psi = np.zeros((k, k))
        order = bar_dense.shape[0]
        panel = np.zeros((max(PANEL, k) if depth == 1 and not keep_first and meets_much(width, order) else 0, order))
        filled = 0
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            level_inverse(diagonal, d_at, psi, k, work, h)
            level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values)
            if len(panel) > 0 and meets_much(count, order):
                if filled + k > len(panel):
                    panel_products(panel, filled, k, bar_dense, total_psi)
                    filled = 0
                i_at = layout.index_at[i] + first
                for t in range(k):
                    for c in range(count):
                        panel[filled + t, layout.column[i_at + c]] = b_values[t, c]
                filled += k
                for r in range(k):
                    for c in range(k):
                        for t in range(k):
                            total_psi[r, c] += h[r, t] * diagonal[d_at + t * k + c]
                continue
            if depth == 1 and k == 1 and not keep_first:
                # Only BĀBᵀ is wanted: half of the symmetric sum.
                i_at = layout.index_at[i] + first
                total = 0.0
                for r in range(count):
                    row = layout.column[i_at + r]
                    inner = 0.0
                    for c in range(r):
                        inner += b_values[0, c] * bar_dense[row, layout.column[i_at + c]]
                    total += b_values[0, r] * (2.0 * inner + b_values[0, r] * bar_dense[row, row])
                total_psi[0, 0] += h[0, 0] * diagonal[d_at] - total
                continue
            later_sensitivity(
                i,
                j,
                k,
                b_tail,
                b_values,
                z_tail,
                z_values,
                layout,
                bar_diagonal,
                bar_tail,
                bar_values,
                bar_dense,
            )
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(a):
                        total += z_tail[r, t] * b_tail[c, t]
                    for t in range(count):
                        total += z_values[r, t] * b_values[c, t]
                    x[r, c] = total
                    n = 0.0
                    for t in range(k):
                        n += h[r, t] * diagonal[d_at + t * k + c]
                    total_psi[r, c] += n - total
            if i == 0 and not keep_first:
                continue
            # the level's own sensitivities, for the stages below
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * h[t, c]
                        inner = 0.0
                        for s in range(k):
                            inner += x[t, s] * psi[s, c]
                        total += psi[r, t] * inner
                    bar_diagonal[d_at + r * k + c] = total
            w_at = layout.tail_at[i] + j * k * a
            v_at = layout.values_at[i] + k * first
            for c in range(a):
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * z_tail[t, c]
                    psi_z[r] = total
                for r in range(k):
                    bar_tail[w_at + r * a + c] = -psi_z[r]
            for c in range(count):
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * z_values[t, c]
                    psi_z[r] = total
                for r in range(k):
                    bar_values[v_at + r * count + c] = -psi_z[r]
        if filled > 0:
            panel_products(panel, filled, k, bar_dense, total_psi)
        for r in range(k):
            for c in range(k):
                bar_psi[layout.factor_at[i] + r * k + c] += 0.5 * (total_psi[r, c] + total_psi[c, r])
