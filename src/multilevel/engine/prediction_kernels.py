# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators
"""Kernels on linear combinations of fixed and random effects, row by row: their variances, and joint draws of all effects."""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.level_kernels import block_factor, level_inverse


@kernel
def _eliminate_path(layout, factors, diagonal, tail, values, levels, order, quadratic, rests, touched, mark):
    """Eliminate the chain's effects of one combination of levels (−1: none) from unit vectors over their columns.

    `quadratic` (K × K) gets the chain's part of the covariance, `rests` (order × K) what is left over the dense columns; the
    rows of it that are not zero are listed in `touched`, whose number is returned.
    """
    depth = layout.levels.shape[0]
    total_columns = quadratic.shape[0]
    largest = 0
    for i in range(depth):
        largest = max(largest, layout.sizes[i])
    # A level of a stage is met for itself or as the parent of one below: there are at most i + 1 of them.
    held = np.full((depth, depth), -1, dtype=np.int64)
    count = np.zeros(depth, dtype=np.int64)
    right = np.zeros((depth, depth, largest, total_columns))
    first_column = 0
    for i in range(depth):
        if levels[i] >= 0:
            held[i, 0] = levels[i]
            count[i] = 1
            for r in range(layout.sizes[i]):
                right[i, 0, r, first_column + r] = 1.0
        first_column += layout.sizes[i]
    n_touched = 0
    for i in range(depth):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        h = np.empty((k, k))
        work = np.empty((k, k))
        scores = np.empty((k, total_columns))
        moved = np.empty((k, total_columns))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        for e in range(count[i]):
            j = held[i, e]
            own = right[i, e]
            level_inverse(diagonal, layout.diagonal_at[i] + j * k * k, psi, k, work, h)
            for s in range(total_columns):
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += h[r, t] * own[t, s]
                    scores[r, s] = total
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * scores[t, s]
                    moved[r, s] = total
            for s in range(total_columns):
                for u in range(total_columns):
                    total = 0.0
                    for t in range(k):
                        total += own[t, s] * moved[t, u]
                    quadratic[s, u] += total
            start = layout.indptr[layout.indptr_at[i] + j]
            size = layout.indptr[layout.indptr_at[i] + j + 1] - start
            i_at = layout.index_at[i] + start
            v_at = layout.values_at[i] + k * start
            for c in range(size):
                row = layout.column[i_at + c]
                if row >= order:
                    continue
                if mark[row] == 0:
                    mark[row] = 1
                    touched[n_touched] = row
                    n_touched += 1
                for t in range(k):
                    value = values[v_at + t * size + c]
                    for s in range(total_columns):
                        rests[row, s] -= value * moved[t, s]
            w_at = layout.tail_at[i] + j * k * a
            for other in range(i + 1, depth):
                ko = layout.sizes[other]
                col = layout.ahead_column[i, other]
                up = layout.parent[layout.parent_at[i, other] + j]
                place = -1
                for x in range(count[other]):
                    if held[other, x] == up:
                        place = x
                if place < 0:
                    place = count[other]
                    held[other, place] = up
                    count[other] += 1
                for r in range(ko):
                    for t in range(k):
                        value = tail[w_at + t * a + col + r]
                        for s in range(total_columns):
                            right[other, place, r, s] -= value * moved[t, s]
    return n_touched


@kernel
def combination_variances(
    layout, factors, diagonal, tail, values, inverse, rows, chain_codes, chain_z, dense_at, dense_z, x, n_random, out
):
    """Write the variances, divided by σ², of x'β + z'b for rows sorted by their levels of the chain.

    `inverse` is the covariance of the dense effects and the fixed ones, full; `rows` the order of the rows; `chain_codes`
    (n × depth) and `dense_at` (n × columns: rows of the dense matrix) are −1 where a row has no such effect; `chain_z` and
    `dense_z` the columns that multiply them, and `x` those of the fixed effects, which begin at row `n_random` of the matrix.
    """
    depth = chain_codes.shape[1]
    k = chain_z.shape[1]
    order = inverse.shape[0]
    p = x.shape[1]
    m = dense_at.shape[1]
    quadratic = np.zeros((k, k))
    rests = np.zeros((order, k))
    touched = np.empty(order, dtype=np.int64)
    mark = np.zeros(order, dtype=np.int64)
    n_touched = 0
    levels = np.full(depth, -2, dtype=np.int64)
    moved = np.empty((order, k))
    own_at = np.empty(m + p, dtype=np.int64)
    own = np.empty(m + p)
    for i in rows:
        same = True
        for s in range(depth):
            if chain_codes[i, s] != levels[s]:
                same = False
                levels[s] = chain_codes[i, s]
        if not same:
            for t in range(n_touched):
                mark[touched[t]] = 0
                for s in range(k):
                    rests[touched[t], s] = 0.0
            quadratic[:] = 0.0
            n_touched = _eliminate_path(
                layout, factors, diagonal, tail, values, levels, order, quadratic, rests, touched, mark
            )
            for t in range(n_touched):
                for s in range(k):
                    total = 0.0
                    for u in range(n_touched):
                        total += inverse[touched[t], touched[u]] * rests[touched[u], s]
                    moved[t, s] = total
            for s in range(k):
                for u in range(k):
                    total = 0.0
                    for t in range(n_touched):
                        total += rests[touched[t], s] * moved[t, u]
                    quadratic[s, u] += total
        count = 0
        for c in range(m):
            if dense_at[i, c] >= 0:
                own_at[count] = dense_at[i, c]
                own[count] = dense_z[i, c]
                count += 1
        for c in range(p):
            own_at[count] = n_random + c
            own[count] = x[i, c]
            count += 1
        variance = 0.0
        for s in range(k):
            for u in range(k):
                variance += chain_z[i, s] * quadratic[s, u] * chain_z[i, u]
        for c in range(count):
            row = own_at[c]
            total = 0.0
            for d in range(count):
                total += inverse[row, own_at[d]] * own[d]
            for t in range(n_touched):
                along = 0.0
                for s in range(k):
                    along += rests[touched[t], s] * chain_z[i, s]
                total += 2.0 * inverse[row, touched[t]] * along
            variance += own[c] * total
        out[i] = variance


@kernel
def draw_chain(layout, factors, diagonal, tail, values, dense_draws, normal, draws):
    """Draw the chain's effects about their conditional modes, given draws of the dense effects and the fixed ones.

    `dense_draws` (order × m) holds the latter's deviations, `normal` and `draws` (q × m) standard normal numbers and the
    result. The covariance of a level's effects given all others is λ(I + λ'Aλ)⁻¹λ', whose root λL⁻ᵀ exists on the boundary too.
    """
    depth = layout.levels.shape[0]
    order = dense_draws.shape[0]
    m = draws.shape[1]
    for i in range(depth - 1, -1, -1):
        k = layout.sizes[i]
        a = layout.ahead[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        half = np.empty((k, k))
        lower = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        raw = np.empty(k)
        part = np.empty(k)
        for j in range(layout.levels[i]):
            d_at = layout.diagonal_at[i] + j * k * k
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += diagonal[d_at + r * k + t] * lam[t, c]
                    half[r, c] = total
            for r in range(k):
                for c in range(r + 1):
                    total = 1.0 if r == c else 0.0
                    for t in range(k):
                        total += lam[t, r] * half[t, c]
                    for t in range(c):
                        total -= lower[r, t] * lower[c, t]
                    lower[r, c] = np.sqrt(total) if r == c else total / lower[c, c]
            start = layout.indptr[layout.indptr_at[i] + j]
            size = layout.indptr[layout.indptr_at[i] + j + 1] - start
            i_at = layout.index_at[i] + start
            v_at = layout.values_at[i] + k * start
            w_at = layout.tail_at[i] + j * k * a
            own = layout.effects_at[i] + j * k
            for s in range(m):
                for t in range(k):
                    total = 0.0
                    for c in range(size):
                        row = layout.column[i_at + c]
                        if row < order:
                            total -= values[v_at + t * size + c] * dense_draws[row, s]
                    for other in range(i + 1, depth):
                        ko = layout.sizes[other]
                        col = layout.ahead_column[i, other]
                        up = layout.effects_at[other] + layout.parent[layout.parent_at[i, other] + j] * ko
                        for r in range(ko):
                            total -= tail[w_at + t * a + col + r] * draws[up + r, s]
                    raw[t] = total
                # L⁻¹λ' raw + e, then λL⁻ᵀ of it.
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += lam[t, r] * raw[t]
                    for t in range(r):
                        total -= lower[r, t] * part[t]
                    part[r] = total / lower[r, r]
                for r in range(k):
                    part[r] += normal[own + r, s]
                for r in range(k - 1, -1, -1):
                    total = part[r]
                    for t in range(r + 1, k):
                        total -= lower[t, r] * part[t]
                    part[r] = total / lower[r, r]
                for r in range(k):
                    total = 0.0
                    for t in range(k):
                        total += lam[r, t] * part[t]
                    draws[own + r, s] = total
