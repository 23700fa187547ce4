"""Row kernels: the only code that touches every row of the data.

Each adds up products of columns, over all rows or by the level of a grouping factor. Columns are
shifted and scaled on the way, ``(value − shift) · scale``, so that the sums keep their digits when a
column is badly scaled or far from zero.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel

BLOCK = 256


@kernel(reassociate=True)
def total_products(columns, places, shift, scale, weights, out):
    """Add the products of all pairs of the given columns, lower triangle, into `out`."""
    n = columns.shape[0]
    c = places.shape[0]
    weighted = weights.shape[0] > 0
    buffer = np.empty((c, BLOCK))
    scaled = np.empty((c, BLOCK))
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        for a in range(c):
            place = places[a]
            s = shift[a]
            f = scale[a]
            for i in range(size):
                buffer[a, i] = (columns[first + i, place] - s) * f
            if weighted:
                for i in range(size):
                    scaled[a, i] = buffer[a, i] * weights[first + i]
        for a in range(c):
            for b in range(a + 1):
                total = 0.0
                if weighted:
                    for i in range(size):
                        total += scaled[a, i] * buffer[b, i]
                else:
                    for i in range(size):
                        total += buffer[a, i] * buffer[b, i]
                out[a, b] += total


@kernel(reassociate=True)
def moments(columns, weights, out):
    """Write Σw, Σw(x − x₀) and Σw(x − x₀)² of each column, x₀ being its first value, and whether all values equal x₀.

    About the first value, so that a large common level does not eat the digits.
    """
    n = columns.shape[0]
    weighted = weights.shape[0] > 0
    for c in range(columns.shape[1]):
        first = columns[0, c]
        total = 0.0
        square = 0.0
        weight = 0.0
        largest = 0.0
        for i in range(n):
            d = columns[i, c] - first
            w = weights[i] if weighted else 1.0
            weight += w
            total += w * d
            square += w * d * d
            largest = max(largest, abs(d))
        out[c, 0] = weight
        out[c, 1] = total
        out[c, 2] = square
        out[c, 3] = 1.0 if largest == 0.0 else 0.0


@kernel
def level_products(columns, codes, left, left_shift, left_scale, right, right_shift, right_scale, weights, out):
    """Add left × right products by level: ``out[codes[i], a, b] += w · left_a · right_b``."""
    n = columns.shape[0]
    k = left.shape[0]
    m = right.shape[0]
    weighted = weights.shape[0] > 0
    left_buffer = np.empty((BLOCK, k))
    right_buffer = np.empty((BLOCK, m))
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        for a in range(k):
            place = left[a]
            for i in range(size):
                left_buffer[i, a] = (columns[first + i, place] - left_shift[a]) * left_scale[a]
            if weighted:
                for i in range(size):
                    left_buffer[i, a] *= weights[first + i]
        for b in range(m):
            place = right[b]
            for i in range(size):
                right_buffer[i, b] = (columns[first + i, place] - right_shift[b]) * right_scale[b]
        for i in range(size):
            j = codes[first + i]
            for a in range(k):
                value = left_buffer[i, a]
                for b in range(m):
                    out[j, a, b] += value * right_buffer[i, b]


@kernel
def rows_by_level(codes, n_levels):
    """Sort row numbers by level: rows of level j are ``order[start[j]:start[j + 1]]``."""
    start = np.zeros(n_levels + 1, dtype=np.int64)
    for i in range(codes.shape[0]):
        start[codes[i] + 1] += 1
    for j in range(n_levels):
        start[j + 1] += start[j]
    place = start[:-1].copy()
    order = np.empty(codes.shape[0], dtype=np.int32)
    for i in range(codes.shape[0]):
        j = codes[i]
        order[place[j]] = i
        place[j] += 1
    return start, order


@kernel
def shared_levels(start, order, codes, n_levels):
    """List, for each level of one factor, the levels of another that occur with it, ascending."""
    n_rows = start.shape[0] - 1
    mark = np.full(n_levels, -1, dtype=np.int64)
    count = np.zeros(n_rows + 1, dtype=np.int64)
    for j in range(n_rows):
        for t in range(start[j], start[j + 1]):
            other = codes[order[t]]
            if mark[other] != j:
                mark[other] = j
                count[j + 1] += 1
    for j in range(n_rows):
        count[j + 1] += count[j]
    found = np.empty(count[n_rows], dtype=np.int32)
    for level in range(n_levels):
        mark[level] = -1
    for j in range(n_rows):
        at = count[j]
        for t in range(start[j], start[j + 1]):
            other = codes[order[t]]
            if mark[other] != j:
                mark[other] = j
                found[at] = other
                at += 1
        found[count[j] : at].sort()
    return count, found


@kernel
def cross_products(
    columns,
    start,
    order,
    codes,
    n_levels,
    left,
    left_shift,
    left_scale,
    right,
    right_shift,
    right_scale,
    weights,
    pair_start,
    pair_level,
    indptr,
    within,
    base,
    values,
):
    """Add left × right products for every pair of levels that occur together.

    Level j of the first factor owns ``values[base + k·indptr[j] …]``, a block of k rows and
    ``indptr[j + 1] − indptr[j]`` columns; the columns of this second factor begin at ``within[j]`` in it.
    """
    k = left.shape[0]
    m = right.shape[0]
    weighted = weights.shape[0] > 0
    where = np.empty(n_levels, dtype=np.int64)
    z = np.empty(k)
    for j in range(start.shape[0] - 1):
        width = indptr[j + 1] - indptr[j]
        block = base + k * indptr[j]
        for t in range(pair_start[j], pair_start[j + 1]):
            where[pair_level[t]] = within[j] + (t - pair_start[j]) * m
        for t in range(start[j], start[j + 1]):
            i = order[t]
            at = where[codes[i]]
            w = weights[i] if weighted else 1.0
            for a in range(k):
                z[a] = (columns[i, left[a]] - left_shift[a]) * left_scale[a] * w
            for b in range(m):
                v = (columns[i, right[b]] - right_shift[b]) * right_scale[b]
                for a in range(k):
                    values[block + a * width + at + b] += z[a] * v


@kernel
def dense_cross_products(
    columns,
    codes_a,
    left,
    left_shift,
    left_scale,
    offset_a,
    codes_b,
    right,
    right_shift,
    right_scale,
    offset_b,
    weights,
    out,
):
    """Add left × right products of two factors into the rows of the first and the columns of the second of a matrix."""
    k = left.shape[0]
    m = right.shape[0]
    weighted = weights.shape[0] > 0
    for i in range(columns.shape[0]):
        w = weights[i] if weighted else 1.0
        row = offset_a + codes_a[i] * k
        column = offset_b + codes_b[i] * m
        for a in range(k):
            z = (columns[i, left[a]] - left_shift[a]) * left_scale[a] * w
            for b in range(m):
                out[row + a, column + b] += z * (columns[i, right[b]] - right_shift[b]) * right_scale[b]


@kernel
def parent_levels(codes, n_levels, other):
    """Return the level of `other` that each level lies in, or an empty array where one lies in several."""
    parent = np.full(n_levels, -1, dtype=np.int32)
    for i in range(codes.shape[0]):
        j = codes[i]
        if parent[j] == -1:
            parent[j] = other[i]
        elif parent[j] != other[i]:
            return np.empty(0, dtype=np.int32)
    return parent


@kernel
def linear_predictor(columns, codes, places, shift, scale, effects, out):
    """Add the contribution of one factor's effects, shape (levels, k), to every row of `out`."""
    k = places.shape[0]
    for a in range(k):
        place = places[a]
        s = shift[a]
        f = scale[a]
        for i in range(columns.shape[0]):
            out[i] += (columns[i, place] - s) * f * effects[codes[i], a]


@kernel
def correlate_rows(sequence, previous, links, out):
    """Replace independent numbers by r·(that of the row before) + √(1 − r²)·(its own), in every row of `out`."""
    for s in range(out.shape[0]):
        for t in range(sequence.shape[0]):
            i = sequence[t]
            p = previous[i]
            if p >= 0:
                out[s, i] = links[i] * out[s, p] + np.sqrt(1.0 - links[i] ** 2) * out[s, i]
