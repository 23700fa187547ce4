"""Kernels for what a fit says about single rows: elements of P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹, and blocks of them.

V is relative to σ². After the chain's elimination (see `ChainLayout`) the row of V⁻¹ that belongs to observation i is held by the
vectors uₛ (k numbers for the level of each stage s that the row lies in) and vₛ = uₛQₛ with Qₛ = Ψ(I + DₛΨ)⁻¹:

    (V_chain⁻¹)ᵢⱼ = wᵢδᵢⱼ − Σₛ uₛᵢ vₛⱼᵀ    over the stages at which i and j lie in the same level,
    tᵢ = wᵢaᵢ − Σₛ vₛᵢWₛ                    with aᵢ the row's dense columns and Wₛ the level's products with the dense columns,
    Pᵢⱼ = (V_chain⁻¹)ᵢⱼ − tᵢFtⱼᵀ            with F the inverse of what stays dense, random effects bordered by X.

No matrix of n columns is formed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.engine.kernel import kernel
from multilevel.engine.layout import ChainLayout
from multilevel.engine.level_kernels import block_factor, level_inverse

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

SINGULAR_PIVOT = 1e-9
"""A pivot below this share of its diagonal element: without these rows the fixed effects cannot be estimated."""


@kernel
def chain_rows(
    layout: ChainLayout,
    factors: FloatArray,
    diagonal: FloatArray,
    tail: FloatArray,
    columns: FloatArray,
    codes: Codes,
    places: IntArray,
    shift: FloatArray,
    scale: FloatArray,
    weights: FloatArray,
    left: FloatArray,
    right: FloatArray,
) -> None:
    """Write u into `left` and v into `right` (rows × all columns of the chain); `codes` has a row for each stage."""
    depth = layout.levels.shape[0]
    n = columns.shape[0]
    weighted = weights.shape[0] > 0
    begin = 0
    for i in range(depth):
        k = layout.sizes[i]
        lam = np.empty((k, k))
        psi = np.empty((k, k))
        block_factor(factors, layout.factor_at[i], k, lam, psi)
        h = np.empty((k, k))
        work = np.empty((k, k))
        inner = np.empty((layout.levels[i], k, k))
        for j in range(layout.levels[i]):
            level_inverse(diagonal, layout.diagonal_at[i] + j * k * k, psi, k, work, h)
            for r in range(k):
                for c in range(k):
                    total = 0.0
                    for t in range(k):
                        total += psi[r, t] * h[t, c]
                    inner[j, r, c] = total
        for row in range(n):
            j = codes[i, row]
            w = weights[row] if weighted else 1.0
            for c in range(k):
                total = w * (columns[row, places[begin + c]] - shift[begin + c]) * scale[begin + c]
                lower = 0
                for s in range(i):
                    ks = layout.sizes[s]
                    at = layout.tail_at[s] + codes[s, row] * ks * layout.ahead[s] + layout.ahead_column[s, i] + c
                    for t in range(ks):
                        total -= right[row, lower + t] * tail[at + t * layout.ahead[s]]
                    lower += ks
                left[row, begin + c] = total
            for c in range(k):
                total = 0.0
                for t in range(k):
                    total += left[row, begin + t] * inner[j, t, c]
                right[row, begin + c] = total
        begin += k


@kernel
def diagonal_rows(
    layout: ChainLayout,
    values: FloatArray,
    dense_inverse: FloatArray,
    n_fixed: int,
    codes: Codes,
    level_order: IntArray,
    start: IntArray,
    order: Codes,
    own_columns: IntArray,
    own_values: FloatArray,
    weights: FloatArray,
    left: FloatArray,
    right: FloatArray,
    diagonal: FloatArray,
    gain: FloatArray,
) -> None:
    """Write Pᵢᵢ and the row of V⁻¹X(XᵀV⁻¹X)⁻¹ of every observation.

    `level_order` lists the levels of the first stage so that those with the same ancestors stand together; `start` and `order`
    list the rows of each; `own_columns` and `own_values` (rows × m) are the dense columns that a row has itself.
    """
    depth = layout.levels.shape[0]
    size = dense_inverse.shape[0]
    q = size - n_fixed
    m = own_columns.shape[1]
    weighted = weights.shape[0] > 0
    total_columns = 0
    for s in range(depth):
        total_columns += layout.sizes[s]
    solved = np.zeros((total_columns, size))
    between = np.zeros((total_columns, total_columns))
    known = np.full(depth, -1, dtype=np.int64)
    for at in range(level_order.shape[0]):
        j = level_order[at]
        if start[j + 1] == start[j]:
            continue
        first_row = order[start[j]]
        begin = total_columns
        for s in range(depth - 1, -1, -1):
            k = layout.sizes[s]
            begin -= k
            level = codes[s, first_row]
            if known[s] == level:
                continue
            known[s] = level
            first = layout.indptr[layout.indptr_at[s] + level]
            count = layout.indptr[layout.indptr_at[s] + level + 1] - first
            v_at = layout.values_at[s] + k * first
            i_at = layout.index_at[s] + first
            for t in range(k):
                for c in range(size):
                    solved[begin + t, c] = 0.0
                for e in range(count):
                    column = layout.column[i_at + e]
                    if column < size:
                        f = values[v_at + t * count + e]
                        for c in range(size):
                            solved[begin + t, c] += f * dense_inverse[column, c]
            # with the stages above, whose rows are at hand
            for t in range(k):
                for r in range(begin, total_columns):
                    total = 0.0
                    for e in range(count):
                        column = layout.column[i_at + e]
                        if column < size:
                            total += values[v_at + t * count + e] * solved[r, column]
                    between[begin + t, r] = total
                    between[r, begin + t] = total
        for place in range(start[j], start[j + 1]):
            row = order[place]
            w = weights[row] if weighted else 1.0
            explained = 0.0
            for a in range(m):
                inner = 0.0
                for b in range(m):
                    inner += dense_inverse[own_columns[row, a], own_columns[row, b]] * own_values[row, b]
                explained += w * w * own_values[row, a] * inner
            for r in range(total_columns):
                inner = 0.0
                for a in range(m):
                    inner += solved[r, own_columns[row, a]] * own_values[row, a]
                cross = 0.0
                for c in range(total_columns):
                    cross += between[r, c] * right[row, c]
                explained += right[row, r] * (cross - 2.0 * w * inner) + left[row, r] * right[row, r]
            diagonal[row] = w - explained
            for x in range(n_fixed):
                total = 0.0
                for a in range(m):
                    total += w * own_values[row, a] * dense_inverse[own_columns[row, a], q + x]
                for r in range(total_columns):
                    total -= right[row, r] * solved[r, q + x]
                gain[row, x] = total


@kernel(reassociate=True)  # type: ignore[untyped-decorator]
def deletion_products(
    layout: ChainLayout,
    values: FloatArray,
    dense_inverse: FloatArray,
    codes: Codes,
    own_columns: IntArray,
    own_values: FloatArray,
    weights: FloatArray,
    left: FloatArray,
    right: FloatArray,
    vectors: FloatArray,
    start: IntArray,
    order: Codes,
    first_group: int,
    last_group: int,
    largest: int,
    products: FloatArray,
    state: npt.NDArray[np.int8],
) -> None:
    """Write vectors_SᵀP_SS⁻¹vectors_S for groups S of rows, the rows of group g being ``order[start[g]:start[g + 1]]``.

    `state` becomes 1 where P_SS is not positive definite; groups of more than `largest` rows are passed over.
    """
    depth = layout.levels.shape[0]
    top = depth - 1
    size = dense_inverse.shape[0]
    m = own_columns.shape[1]
    width = vectors.shape[1]
    weighted = weights.shape[0] > 0
    scratch = np.zeros(size + 1)
    for g in range(first_group, last_group):
        rows = order[start[g] : start[g + 1]]
        count = rows.shape[0]
        if count > largest:
            continue
        # t of every row over the columns that its level of the last stage meets
        offset = np.zeros(count + 1, dtype=np.int64)
        for a in range(count):
            level = codes[top, rows[a]]
            at = layout.indptr_at[top] + level
            offset[a + 1] = offset[a] + layout.indptr[at + 1] - layout.indptr[at]
        sparse = np.empty(offset[count])
        solved = np.zeros((count, size))
        for a in range(count):
            row = rows[a]
            w = weights[row] if weighted else 1.0
            for e in range(m):
                scratch[own_columns[row, e]] += w * own_values[row, e]
            begin = 0
            for s in range(depth):
                k = layout.sizes[s]
                first = layout.indptr[layout.indptr_at[s] + codes[s, row]]
                listed = layout.indptr[layout.indptr_at[s] + codes[s, row] + 1] - first
                v_at = layout.values_at[s] + k * first
                i_at = layout.index_at[s] + first
                for t in range(k):
                    f = right[row, begin + t]
                    for e in range(listed):
                        scratch[layout.column[i_at + e]] -= f * values[v_at + t * listed + e]
                begin += k
            i_at = layout.index_at[top] + layout.indptr[layout.indptr_at[top] + codes[top, row]]
            for e in range(offset[a + 1] - offset[a]):
                column = layout.column[i_at + e]
                f = scratch[column]
                scratch[column] = 0.0
                if column == size:
                    f = 0.0
                sparse[offset[a] + e] = f
                if f != 0.0:
                    for c in range(size):
                        solved[a, c] += f * dense_inverse[column, c]
        block = np.empty((count, count))
        for b in range(count):
            row_b = rows[b]
            i_at = layout.index_at[top] + layout.indptr[layout.indptr_at[top] + codes[top, row_b]]
            listed = offset[b + 1] - offset[b]
            for a in range(b, count):
                row_a = rows[a]
                total = 0.0
                if a == b:
                    total = weights[row_a] if weighted else 1.0
                for e in range(listed):
                    column = layout.column[i_at + e]
                    if column < size:
                        total -= sparse[offset[b] + e] * solved[a, column]
                begin = 0
                for s in range(depth):
                    k = layout.sizes[s]
                    if codes[s, row_a] == codes[s, row_b]:
                        for t in range(k):
                            total -= left[row_a, begin + t] * right[row_b, begin + t]
                    begin += k
                block[a, b] = total
        # Cholesky, with the vectors alongside
        half = np.empty((count, width))
        positive = True
        for a in range(count):
            for b in range(a):
                total = block[a, b]
                for c in range(b):
                    total -= block[a, c] * block[b, c]
                block[a, b] = total / block[b, b]
            total = block[a, a]
            for c in range(a):
                total -= block[a, c] * block[a, c]
            if not total > SINGULAR_PIVOT * (weights[rows[a]] if weighted else 1.0):
                positive = False
                break
            root = np.sqrt(total)
            block[a, a] = root
            for x in range(width):
                value = vectors[rows[a], x]
                for c in range(a):
                    value -= block[a, c] * half[c, x]
                half[a, x] = value / root
        if not positive:
            state[g] = 1
            continue
        for x in range(width):
            for z in range(x + 1):
                total = 0.0
                for a in range(count):
                    total += half[a, x] * half[a, z]
                products[g, x, z] = total
                products[g, z, x] = total


@kernel
def whiten_single(
    columns: FloatArray,
    places: IntArray,
    shift: FloatArray,
    scale: FloatArray,
    lam: FloatArray,
    weights: FloatArray,
    start: IntArray,
    order: Codes,
    residual: FloatArray,
    out: FloatArray,
) -> None:
    """Write L⁻¹ξ for V = LLᵀ of one grouping factor, level by level in the order of the rows.

    The element of a row is its error of prediction from the rows of the level before it, divided by its standard deviation; the
    level's effects are followed on the spherical scale, with their covariance.
    """
    k = places.shape[0]
    weighted = weights.shape[0] > 0
    mean = np.empty(k)
    cov = np.empty((k, k))
    z = np.empty(k)
    load = np.empty(k)
    moved = np.empty(k)
    for j in range(start.shape[0] - 1):
        for r in range(k):
            mean[r] = 0.0
            for c in range(k):
                cov[r, c] = 1.0 if r == c else 0.0
        for at in range(start[j], start[j + 1]):
            row = order[at]
            for r in range(k):
                z[r] = (columns[row, places[r]] - shift[r]) * scale[r]
            for r in range(k):
                total = 0.0
                for t in range(k):
                    total += z[t] * lam[t, r]
                load[r] = total
            error = residual[row]
            variance = 1.0 / (weights[row] if weighted else 1.0)
            for r in range(k):
                total = 0.0
                for c in range(k):
                    total += cov[r, c] * load[c]
                moved[r] = total
                error -= load[r] * mean[r]
            for r in range(k):
                variance += load[r] * moved[r]
            out[row] = error / np.sqrt(variance)
            for r in range(k):
                mean[r] += moved[r] * error / variance
                for c in range(k):
                    cov[r, c] -= moved[r] * moved[c] / variance
