"""Kernels for second derivatives: the elimination and its reverse, differentiated along one direction of Ψ.

Dots are derivatives along the direction. With E = ΨB the later blocks lose WᵀQW, whose derivative is
ẆᵀE + EᵀẆ − EᵀḊE + BᵀΨ̇B; the reverse pass differentiates N − BĀBᵀ, Q + ΨBĀBᵀΨ and −ΨBĀ.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.level_kernels import block_factor, level_inverse, level_rows
from multilevel.engine.sensitivity_kernels import later_sensitivity


@kernel
def eliminate_tangent(
    layout,
    factors,
    diagonal,
    tail,
    values,
    first_stage,
    psi_dot,
    dot_diagonal,
    dot_tail,
    dot_values,
    dot_dense,
):
    """Differentiate `eliminate`; the dots start at zero and `dot_dense` fills its lower triangle."""
    depth = layout.levels.shape[0]
    for i in range(first_stage, depth):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        width = 0
        for j in range(layout.levels[i]):
            width = max(width, layout.indptr[layout.indptr_at[i] + j + 1] - layout.indptr[layout.indptr_at[i] + j])
        b_tail = np.empty((k, a))
        b_values = np.empty((k, width))
        # four k × (a + width) panels: E, P = Ẇ − ½ḊE, B and R = ½Ψ̇B
        e = np.empty((k, a + width))
        p = np.empty((k, a + width))
        b = np.empty((k, a + width))
        r_panel = np.empty((k, a + width))
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            i_at = layout.index_at[i] + first
            v_at = layout.values_at[i] + k * first
            w_at = layout.tail_at[i] + j * k * a
            level_inverse(diagonal, d_at, psi, k, work, h)
            level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values)
            for r in range(k):
                for c in range(a):
                    b[r, c] = b_tail[r, c]
                for c in range(count):
                    b[r, a + c] = b_values[r, c]
            for r in range(k):
                for c in range(a + count):
                    total = 0.0
                    dotted = 0.0
                    for t in range(k):
                        total += psi[r, t] * b[t, c]
                        dotted += psi_dot[layout.factor_at[i] + r * k + t] * b[t, c]
                    e[r, c] = total
                    r_panel[r, c] = 0.5 * dotted
            for r in range(k):
                for c in range(a + count):
                    total = 0.0
                    for t in range(k):
                        total += dot_diagonal[d_at + r * k + t] * e[t, c]
                    p[r, c] = -0.5 * total
                for c in range(a):
                    p[r, c] += dot_tail[w_at + r * a + c]
                for c in range(count):
                    p[r, a + c] += dot_values[v_at + r * count + c]
            for r in range(count):
                row = layout.column[i_at + r]
                for c in range(r + 1):
                    total = 0.0
                    for t in range(k):
                        total += e[t, a + r] * p[t, a + c] + p[t, a + r] * e[t, a + c]
                        total += b[t, a + r] * r_panel[t, a + c] + r_panel[t, a + r] * b[t, a + c]
                    dot_dense[row, layout.column[i_at + c]] -= total
            for other in range(i + 1, depth):
                up = layout.parent[layout.parent_at[i, other] + j]
                ko = layout.sizes[other]
                ao = layout.ahead[other]
                col = layout.ahead_column[i, other]
                o_first = layout.indptr[layout.indptr_at[other] + up]
                o_count = layout.indptr[layout.indptr_at[other] + up + 1] - o_first
                o_d = layout.diagonal_at[other] + up * ko * ko
                o_t = layout.tail_at[other] + up * ko * ao
                o_v = layout.values_at[other] + ko * o_first
                p_at = layout.position_at[i, other] + first
                for r in range(ko):
                    for c in range(ko + ao + count):
                        at = col + c if c < ko + ao else a + c - ko - ao
                        total = 0.0
                        for t in range(k):
                            total += e[t, col + r] * p[t, at] + p[t, col + r] * e[t, at]
                            total += b[t, col + r] * r_panel[t, at] + r_panel[t, col + r] * b[t, at]
                        if c < ko:
                            dot_diagonal[o_d + r * ko + c] -= total
                        elif c < ko + ao:
                            dot_tail[o_t + r * ao + c - ko] -= total
                        else:
                            dot_values[o_v + r * o_count + layout.position[p_at + c - ko - ao]] -= total


@kernel
def sensitivities_tangent(
    layout,
    factors,
    diagonal,
    tail,
    values,
    psi_dot,
    dot_diagonal,
    dot_tail,
    dot_values,
    bar_dense,
    bar_diagonal,
    bar_tail,
    bar_values,
    dot_bar_dense,
    dot_bar_diagonal,
    dot_bar_tail,
    dot_bar_values,
    out,
):
    """Differentiate `sensitivities`; the derivative of ∂d/∂Ψ of each stage is added to `out`."""
    depth = layout.levels.shape[0]
    for i in range(depth - 1, -1, -1):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        psid = np.empty((k, k))
        for r in range(k):
            for c in range(k):
                psid[r, c] = psi_dot[layout.factor_at[i] + r * k + c]
        h = np.empty((k, k))
        hd = np.empty((k, k))
        work = np.empty((k, k))
        inner = np.empty((k, k))
        x = np.empty((k, k))
        xd = np.empty((k, k))
        d = np.empty((k, k))
        dd = np.empty((k, k))
        width = 0
        for j in range(layout.levels[i]):
            width = max(width, layout.indptr[layout.indptr_at[i] + j + 1] - layout.indptr[layout.indptr_at[i] + j])
        b_tail = np.empty((k, a))
        b_values = np.empty((k, width))
        bd_tail = np.empty((k, a))
        bd_values = np.empty((k, width))
        part_tail = np.empty((k, a))
        part_values = np.empty((k, width))
        z_tail = np.empty((k, a))
        z_values = np.empty((k, width))
        zd_tail = np.empty((k, a))
        zd_values = np.empty((k, width))
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            first = layout.indptr[layout.indptr_at[i] + j]
            count = layout.indptr[layout.indptr_at[i] + j + 1] - first
            v_at = layout.values_at[i] + k * first
            w_at = layout.tail_at[i] + j * k * a
            for r in range(k):
                for c in range(k):
                    d[r, c] = diagonal[d_at + r * k + c]
                    dd[r, c] = dot_diagonal[d_at + r * k + c]
            level_inverse(diagonal, d_at, psi, k, work, h)
            # Ḣ = −H(ḊΨ + DΨ̇)H
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += dd[r, t] * psi[t, c] + d[r, t] * psid[t, c]
                    inner[r, c] = total
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += inner[r, t] * h[t, c]
                    work[r, c] = total
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total -= h[r, t] * work[t, c]
                    hd[r, c] = total
            level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values)
            level_rows(i, j, k, a, hd, layout, tail, values, bd_tail, bd_values)
            level_rows(i, j, k, a, h, layout, dot_tail, dot_values, part_tail, part_values)
            for r in range(k):
                for c in range(a):
                    bd_tail[r, c] += part_tail[r, c]
                for c in range(count):
                    bd_values[r, c] += part_values[r, c]
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
            later_sensitivity(
                i,
                j,
                k,
                bd_tail,
                bd_values,
                zd_tail,
                zd_values,
                layout,
                bar_diagonal,
                bar_tail,
                bar_values,
                bar_dense,
            )
            later_sensitivity(
                i,
                j,
                k,
                b_tail,
                b_values,
                part_tail,
                part_values,
                layout,
                dot_bar_diagonal,
                dot_bar_tail,
                dot_bar_values,
                dot_bar_dense,
            )
            for r in range(k):
                for c in range(a):
                    zd_tail[r, c] += part_tail[r, c]
                for c in range(count):
                    zd_values[r, c] += part_values[r, c]
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    dotted = 0.0
                    for t in range(a):
                        total += z_tail[r, t] * b_tail[c, t]
                        dotted += zd_tail[r, t] * b_tail[c, t] + z_tail[r, t] * bd_tail[c, t]
                    for t in range(count):
                        total += z_values[r, t] * b_values[c, t]
                        dotted += zd_values[r, t] * b_values[c, t] + z_values[r, t] * bd_values[c, t]
                    x[r, c] = total
                    xd[r, c] = dotted
            for r in range(k):
                for c in range(k):
                    total = -xd[r, c]
                    for t in range(k):
                        total += hd[r, t] * d[t, c] + h[r, t] * dd[t, c]
                    out[layout.factor_at[i] + r * k + c] += total
            if i == 0:
                continue
            # derivatives of the level's own sensitivities: work = XΨ, inner = ẊΨ + XΨ̇
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    dotted = 0.0
                    for t in range(k):
                        total += x[r, t] * psi[t, c]
                        dotted += xd[r, t] * psi[t, c] + x[r, t] * psid[t, c]
                    work[r, c] = total
                    inner[r, c] = dotted
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psid[r, t] * (h[t, c] + work[t, c]) + psi[r, t] * (hd[t, c] + inner[t, c])
                    dot_bar_diagonal[d_at + r * k + c] = total
                for c in range(a):
                    total = 0.0
                    for t in range(k):
                        total += psid[r, t] * z_tail[t, c] + psi[r, t] * zd_tail[t, c]
                    dot_bar_tail[w_at + r * a + c] = -total
                for c in range(count):
                    total = 0.0
                    for t in range(k):
                        total += psid[r, t] * z_values[t, c] + psi[r, t] * zd_values[t, c]
                    dot_bar_values[v_at + r * count + c] = -total


@kernel
def single_factor_sums(
    levels,
    k,
    width,
    factors,
    diagonal,
    values,
    fixed_inverse,
    coefficients,
    c,
    out_bar,
    out_tensor,
    out_s,
    out_g,
    out_gg,
):
    """Add up over levels that from which value, gradient and Hessian of a model with one grouping factor follow.

    With B (k × p, the fixed columns of HW), g = HW·coefficients and X = BFBᵀ: out_bar = Σ N − X − c ggᵀ,
    out_tensor = Σ N ⊗ (2X + 2c ggᵀ − N), out_s = Σ B_rᵀB_s, out_g = Σ B_r g_s, out_gg = Σ ggᵀ.
    """
    lam = np.empty((k, k))
    psi = np.empty((k, k))
    block_factor(factors, 0, k, lam, psi)
    h = np.empty((k, k))
    work = np.empty((k, k))
    p = width - 1
    b = np.empty((k, width))
    bf = np.empty((k, p))
    n = np.empty((k, k))
    y = np.empty((k, k))
    g = np.empty(k)
    for j in range(levels):
        d_at = j * k * k
        v_at = j * k * width
        level_inverse(diagonal, d_at, psi, k, work, h)
        for r in range(k):
            total = 0.0
            for t in range(width):
                value = 0.0
                for s in range(k):
                    value += h[r, s] * values[v_at + s * width + t]
                b[r, t] = value
                total += value * coefficients[t]
            g[r] = total
            for s in range(k):
                value = 0.0
                for t in range(k):
                    value += h[r, t] * diagonal[d_at + t * k + s]
                n[r, s] = value
            for t in range(p):
                value = 0.0
                for s in range(p):
                    value += b[r, s] * fixed_inverse[s, t]
                bf[r, t] = value
        for r in range(k):
            for s in range(k):
                x = 0.0
                for t in range(p):
                    x += bf[r, t] * b[s, t]
                gg = g[r] * g[s]
                out_bar[r, s] += n[r, s] - x - c * gg
                y[r, s] = 2.0 * x + 2.0 * c * gg - n[r, s]
                out_gg[r, s] += gg
        for r in range(k):
            for s in range(r + 1):
                value = 0.5 * (n[r, s] + n[s, r])
                for t in range(k):
                    for u in range(t + 1):
                        out_tensor[r, s, t, u] += value * y[t, u]
        for r in range(k):
            for s in range(k):
                for t in range(p):
                    out_g[r, s, t] += b[r, t] * g[s]
            for s in range(r + 1):
                for t in range(p):
                    value = b[r, t]
                    for u in range(p):
                        out_s[r, s, t, u] += value * b[s, u]
    for r in range(k):
        for s in range(r + 1):
            for t in range(k):
                for u in range(t):
                    out_tensor[r, s, u, t] = out_tensor[r, s, t, u]
            for t in range(k):
                for u in range(k):
                    out_tensor[s, r, t, u] = out_tensor[r, s, t, u]
            if s < r:
                for t in range(p):
                    for u in range(p):
                        out_s[s, r, u, t] = out_s[r, s, t, u]
