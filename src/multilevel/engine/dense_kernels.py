"""Kernels for the dense part: relative scaling by Λ, and sums over its diagonal blocks."""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel


@kernel
def congruence(matrix, order, start, size, factor_at, factors, inverse_order, add_identity, out):
    """Write the lower triangle of ΛᵀMΛ (or ΛMΛᵀ with `inverse_order`) of a symmetric matrix held by its lower triangle.

    Row r belongs to the block of rows that begins at start[r] and has size[r] rows, whose factor λ stands at factor_at[r];
    rows with factor_at −1 are left as they are. The first `add_identity` diagonal elements gain one.
    """
    for r in range(order):
        kr = size[r]
        sr = start[r]
        wr = r - sr
        for c in range(r + 1):
            kc = size[c]
            if kr == 1 and kc == 1:
                value = matrix[r, c]
                if factor_at[r] >= 0:
                    value *= factors[factor_at[r]]
                if factor_at[c] >= 0:
                    value *= factors[factor_at[c]]
            else:
                sc = start[c]
                wc = c - sc
                value = 0.0
                for t in range(kr):
                    if factor_at[r] < 0:
                        left = 1.0
                    elif inverse_order:
                        left = factors[factor_at[r] + wr * kr + t]
                    else:
                        left = factors[factor_at[r] + t * kr + wr]
                    if left == 0.0:
                        continue
                    inner = 0.0
                    for u in range(kc):
                        if factor_at[c] < 0:
                            right = 1.0
                        elif inverse_order:
                            right = factors[factor_at[c] + wc * kc + u]
                        else:
                            right = factors[factor_at[c] + u * kc + wc]
                        a = sr + t
                        b = sc + u
                        inner += right * (matrix[a, b] if a >= b else matrix[b, a])
                    value += left * inner
            out[r, c] = value
        if r < add_identity:
            out[r, r] += 1.0


@kernel
def diagonal_block_sum(matrix, offset, levels, k):
    """Sum the k × k diagonal blocks of a symmetric matrix held by its lower triangle."""
    out = np.zeros((k, k))
    for j in range(levels):
        at = offset + j * k
        for r in range(k):
            for c in range(r + 1):
                out[r, c] += matrix[at + r, at + c]
    for r in range(k):
        for c in range(r):
            out[c, r] = out[r, c]
    return out


@kernel
def add_outer(matrix, vector, c):
    """Add c·vvᵀ to a full symmetric matrix."""
    for r in range(vector.shape[0]):
        f = c * vector[r]
        for s in range(vector.shape[0]):
            matrix[r, s] += f * vector[s]


@kernel
def mirror_lower(matrix):
    """Copy the lower triangle to the upper, tile by tile so that both sides stay in cache."""
    n = matrix.shape[0]
    tile = 32
    for r0 in range(0, n, tile):
        for c0 in range(0, r0 + 1, tile):
            for r in range(r0, min(r0 + tile, n)):
                for c in range(c0, min(c0 + tile, r)):
                    matrix[c, r] = matrix[r, c]
