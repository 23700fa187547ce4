"""Kernels on a single level of the chain: its small matrices, and how it meets the dense matrix."""

from __future__ import annotations

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
def level_rows(i, j, k, a, h, layout, tail, values, b_tail, b_values):
    """Write B = HW of one level."""
    first = layout.indptr[layout.indptr_at[i] + j]
    count = layout.indptr[layout.indptr_at[i] + j + 1] - first
    w_at = layout.tail_at[i] + j * k * a
    v_at = layout.values_at[i] + k * first
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
