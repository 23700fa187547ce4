"""Kernels of the blocked factorisation: elimination of the chain's levels, and its reverse.

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

PANEL = 256
"""Rows gathered before a matrix product replaces scattered updates, for levels that meet much of the dense matrix."""


@kernel
def meets_much(count, order):
    """Whether a level meets so many columns of the dense matrix that a matrix product is the faster way to update it."""
    return order >= 100 and 4 * count >= order


@kernel
def small_solve(matrix, right, k, m):
    """Overwrite `right` (k × m) with matrix⁻¹ right by elimination with row exchanges; `matrix` is overwritten."""
    for c in range(k):
        best = c
        for r in range(c + 1, k):
            if abs(matrix[r, c]) > abs(matrix[best, c]):
                best = r
        if best != c:
            for t in range(k):
                swap = matrix[c, t]
                matrix[c, t] = matrix[best, t]
                matrix[best, t] = swap
            for t in range(m):
                swap = right[c, t]
                right[c, t] = right[best, t]
                right[best, t] = swap
        pivot = 1.0 / matrix[c, c]
        for r in range(c + 1, k):
            f = matrix[r, c] * pivot
            if f != 0.0:
                for t in range(c + 1, k):
                    matrix[r, t] -= f * matrix[c, t]
                for t in range(m):
                    right[r, t] -= f * right[c, t]
    for c in range(k - 1, -1, -1):
        pivot = 1.0 / matrix[c, c]
        for t in range(m):
            total = right[c, t]
            for s in range(c + 1, k):
                total -= matrix[c, s] * right[s, t]
            right[c, t] = total * pivot


@kernel
def level_inverse(diagonal, at, psi, k, work, h):
    """Write H = (I + DΨ)⁻¹ of one level into h."""
    if k == 1:
        h[0, 0] = 1.0 / (1.0 + diagonal[at] * psi[0, 0])
        return
    for r in range(k):
        for c in range(k):
            total = 0.0
            for t in range(k):
                total += diagonal[at + r * k + t] * psi[t, c]
            work[r, c] = total
            h[r, c] = 0.0
        work[r, r] += 1.0
        h[r, r] = 1.0
    small_solve(work, h, k, k)


@kernel
def block_factor(factors, at, k, lam, psi):
    """Copy λ of one stage and form Ψ = λλᵀ."""
    for r in range(k):
        for c in range(k):
            lam[r, c] = factors[at + r * k + c]
    for r in range(k):
        for c in range(k):
            total = 0.0
            for t in range(k):
                total += lam[r, t] * lam[c, t]
            psi[r, c] = total


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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    ahead_column = layout.ahead_column
    parent_at = layout.parent_at
    parent = layout.parent
    position_at = layout.position_at
    position = layout.position
    factor_at = layout.factor_at
    depth = levels.shape[0]
    logdet = 0.0
    for i in range(depth):
        k = sizes[i]
        a = ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, factor_at[i], k, lam, psi)
        c_matrix = np.empty((k, k))
        d_lam = np.empty((k, k))
        scaled = np.empty((k, k))
        width = 0
        for j in range(levels[i]):
            width = max(width, indptr[indptr_at[i] + j + 1] - indptr[indptr_at[i] + j])
        t_tail = np.empty((k, a))
        t_values = np.empty((k, width))
        order = dense.shape[0]
        panel = np.zeros((max(PANEL, k) if meets_much(width, order) else 0, order))
        filled = 0
        product = 1.0
        for j in range(levels[i]):
            d_at = diagonal_at[i] + j * k * k
            first = indptr[indptr_at[i] + j]
            count = indptr[indptr_at[i] + j + 1] - first
            v_at = values_at[i] + k * first
            i_at = index_at[i] + first
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
            w_at = tail_at[i] + j * k * a
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
                        panel[filled + t, index[i_at + c]] = t_values[t, c]
                filled += k
            else:
                for r in range(count):
                    row = index[i_at + r]
                    for t in range(k):
                        f = t_values[t, r]
                        for c in range(r + 1):
                            dense[row, index[i_at + c]] -= f * t_values[t, c]
            # and so do the ancestors
            for other in range(i + 1, depth):
                up = parent[parent_at[i, other] + j]
                ko = sizes[other]
                col = ahead_column[i, other]
                o_d = diagonal_at[other] + up * ko * ko
                for r in range(ko):
                    for c in range(ko):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_tail[t, col + c]
                        diagonal[o_d + r * ko + c] -= total
                ao = ahead[other]
                o_t = tail_at[other] + up * ko * ao
                skip = col + ko
                for r in range(ko):
                    for c in range(ao):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_tail[t, skip + c]
                        tail[o_t + r * ao + c] -= total
                o_first = indptr[indptr_at[other] + up]
                o_count = indptr[indptr_at[other] + up + 1] - o_first
                o_v = values_at[other] + ko * o_first
                p_at = position_at[i, other] + first
                for r in range(ko):
                    for c in range(count):
                        total = 0.0
                        for t in range(k):
                            total += t_tail[t, col + r] * t_values[t, c]
                        values[o_v + r * o_count + position[p_at + c]] -= total
        if filled > 0:
            panel_update(panel, filled, dense)
        logdet += np.log(product)
    return logdet


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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    ahead_column = layout.ahead_column
    parent_at = layout.parent_at
    parent = layout.parent
    position_at = layout.position_at
    position = layout.position
    depth = levels.shape[0]
    a = ahead[i]
    first = indptr[indptr_at[i] + j]
    count = indptr[indptr_at[i] + j + 1] - first
    i_at = index_at[i] + first
    for t in range(k):
        for c in range(a):
            z_tail[t, c] = 0.0
        for c in range(count):
            z_values[t, c] = 0.0
    for c in range(count):
        row = index[i_at + c]
        if k == 1:
            total = 0.0
            for r in range(count):
                total += b_values[0, r] * bar_dense[row, index[i_at + r]]
            z_values[0, c] = total
        else:
            for r in range(count):
                value = bar_dense[row, index[i_at + r]]
                for t in range(k):
                    z_values[t, c] += b_values[t, r] * value
    for other in range(i + 1, depth):
        up = parent[parent_at[i, other] + j]
        ko = sizes[other]
        ao = ahead[other]
        col = ahead_column[i, other]
        o_d = diagonal_at[other] + up * ko * ko
        o_t = tail_at[other] + up * ko * ao
        o_first = indptr[indptr_at[other] + up]
        o_count = indptr[indptr_at[other] + up + 1] - o_first
        o_v = values_at[other] + ko * o_first
        p_at = position_at[i, other] + first
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
                value = bar_values[o_v + r * o_count + position[p_at + c]]
                for t in range(k):
                    z_values[t, c] += b_tail[t, col + r] * value
                    z_tail[t, col + r] += b_values[t, c] * value


@kernel
def level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values):
    """Write B = HW of one level."""
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    values_at = layout.values_at
    first = indptr[indptr_at[i] + j]
    count = indptr[indptr_at[i] + j + 1] - first
    w_at = tail_at[i] + j * k * a
    v_at = values_at[i] + k * first
    for r in range(k):
        for c in range(a):
            total = 0.0
            for t in range(k):
                total += h[r, t] * tail[w_at + t * a + c]
            b_tail[r, c] = total
        f = h[r, 0]
        for c in range(count):
            b_values[r, c] = f * values[v_at + c]
        for t in range(1, k):
            f = h[r, t]
            for c in range(count):
                b_values[r, c] += f * values[v_at + t * count + c]


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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    factor_at = layout.factor_at
    depth = levels.shape[0]
    for i in range(depth - 1, -1, -1):
        k = sizes[i]
        a = ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        x = np.empty((k, k))
        width = 0
        for j in range(levels[i]):
            width = max(width, indptr[indptr_at[i] + j + 1] - indptr[indptr_at[i] + j])
        b_tail = np.empty((k, a))
        b_values = np.empty((k, width))
        z_tail = np.empty((k, a))
        z_values = np.empty((k, width))
        psi_z = np.empty(k)
        total_psi = np.zeros((k, k))
        order = bar_dense.shape[0]
        panel = np.zeros((max(PANEL, k) if depth == 1 and not keep_first and meets_much(width, order) else 0, order))
        filled = 0
        for j in range(levels[i]):
            d_at = diagonal_at[i] + j * k * k
            first = indptr[indptr_at[i] + j]
            count = indptr[indptr_at[i] + j + 1] - first
            level_inverse(diagonal, d_at, psi, k, work, h)
            level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values)
            if len(panel) > 0 and meets_much(count, order):
                if filled + k > len(panel):
                    panel_products(panel, filled, k, bar_dense, total_psi)
                    filled = 0
                i_at = index_at[i] + first
                for t in range(k):
                    for c in range(count):
                        panel[filled + t, index[i_at + c]] = b_values[t, c]
                filled += k
                for r in range(k):
                    for c in range(k):
                        for t in range(k):
                            total_psi[r, c] += h[r, t] * diagonal[d_at + t * k + c]
                continue
            if depth == 1 and k == 1 and not keep_first:
                # Only BĀBᵀ is wanted: half of the symmetric sum.
                i_at = index_at[i] + first
                total = 0.0
                for r in range(count):
                    row = index[i_at + r]
                    inner = 0.0
                    for c in range(r):
                        inner += b_values[0, c] * bar_dense[row, index[i_at + c]]
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
            w_at = tail_at[i] + j * k * a
            v_at = values_at[i] + k * first
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
                bar_psi[factor_at[i] + r * k + c] += 0.5 * (total_psi[r, c] + total_psi[c, r])


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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    ahead_column = layout.ahead_column
    parent_at = layout.parent_at
    parent = layout.parent
    factor_at = layout.factor_at
    effects_at = layout.effects_at
    depth = levels.shape[0]
    m = solution.shape[1]
    for i in range(depth - 1, -1, -1):
        k = sizes[i]
        a = ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        raw = np.empty(k)
        for j in range(levels[i]):
            d_at = diagonal_at[i] + j * k * k
            first = indptr[indptr_at[i] + j]
            count = indptr[indptr_at[i] + j + 1] - first
            i_at = index_at[i] + first
            v_at = values_at[i] + k * first
            w_at = tail_at[i] + j * k * a
            own = effects_at[i] + j * k
            level_inverse(diagonal, d_at, psi, k, work, h)
            for s in range(m):
                for t in range(k):
                    total = extra[own + t, s]
                    for c in range(count):
                        total += values[v_at + t * count + c] * solution[index[i_at + c], s]
                    for other in range(i + 1, depth):
                        ko = sizes[other]
                        col = ahead_column[i, other]
                        up = effects_at[other] + parent[parent_at[i, other] + j] * ko
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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    ahead_column = layout.ahead_column
    parent_at = layout.parent_at
    parent = layout.parent
    effects_at = layout.effects_at
    depth = levels.shape[0]
    m = vectors.shape[1]
    for i in range(depth):
        k = sizes[i]
        a = ahead[i]
        for j in range(levels[i]):
            d_at = diagonal_at[i] + j * k * k
            first = indptr[indptr_at[i] + j]
            count = indptr[indptr_at[i] + j + 1] - first
            i_at = index_at[i] + first
            v_at = values_at[i] + k * first
            w_at = tail_at[i] + j * k * a
            own = effects_at[i] + j * k
            for t in range(k):
                for s in range(m):
                    total = 0.0
                    for c in range(k):
                        total += diagonal[d_at + t * k + c] * vectors[own + c, s]
                    out[own + t, s] += total
                for c in range(count):
                    value = values[v_at + t * count + c]
                    row = index[i_at + c]
                    for s in range(m):
                        out[own + t, s] += value * dense_vectors[row, s]
                        dense_out[row, s] += value * vectors[own + t, s]
                for other in range(i + 1, depth):
                    ko = sizes[other]
                    col = ahead_column[i, other]
                    up = effects_at[other] + parent[parent_at[i, other] + j] * ko
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
    levels = layout.levels
    sizes = layout.sizes
    ahead = layout.ahead
    diagonal_at = layout.diagonal_at
    tail_at = layout.tail_at
    indptr_at = layout.indptr_at
    indptr = layout.indptr
    index_at = layout.index_at
    index = layout.column
    values_at = layout.values_at
    ahead_column = layout.ahead_column
    parent_at = layout.parent_at
    parent = layout.parent
    factor_at = layout.factor_at
    effects_at = layout.effects_at
    depth = levels.shape[0]
    m = right.shape[1]
    for i in range(depth):
        k = sizes[i]
        a = ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        q_right = np.empty((k, m))
        h_right = np.empty((k, m))
        for j in range(levels[i]):
            d_at = diagonal_at[i] + j * k * k
            first = indptr[indptr_at[i] + j]
            count = indptr[indptr_at[i] + j + 1] - first
            i_at = index_at[i] + first
            v_at = values_at[i] + k * first
            w_at = tail_at[i] + j * k * a
            own = effects_at[i] + j * k
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
                    row = index[i_at + c]
                    for s in range(m):
                        dense_right[row, s] -= value * q_right[t, s]
                for other in range(i + 1, depth):
                    ko = sizes[other]
                    col = ahead_column[i, other]
                    up = effects_at[other] + parent[parent_at[i, other] + j] * ko
                    for r in range(ko):
                        value = tail[w_at + t * a + col + r]
                        for s in range(m):
                            right[up + r, s] -= value * q_right[t, s]
