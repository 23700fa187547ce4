"""Kernels of R's sample(): with and without replacement, with equal and with given probabilities."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_kernels import index_bits, next_index, next_uniform


@kernel
def fill_indices(stream, n, rounding, out):
    """Fill `out` with indices from 0 to n - 1, drawn with replacement."""
    bits = index_bits(n)
    for t in range(out.size):
        out[t] = next_index(stream, n, bits, rounding)


@kernel
def fill_distinct(stream, n, rounding, out):
    """Fill `out` with distinct indices: each is drawn from those left, and the last one left takes its place."""
    left = np.arange(n)
    for t in range(out.size):
        drawn = next_index(stream, n, index_bits(n), rounding)
        out[t] = left[drawn]
        n -= 1
        left[drawn] = left[n]


@kernel
def fill_few_distinct(stream, n, rounding, out):
    """Fill `out` with distinct indices: an index that was drawn before is drawn anew (for few out of very many)."""
    bits = index_bits(n)
    seen = set()
    for t in range(out.size):
        drawn = next_index(stream, n, bits, rounding)
        while drawn in seen:
            drawn = next_index(stream, n, bits, rounding)
        seen.add(drawn)
        out[t] = drawn


@kernel
def sift_down(keys, labels, key, label, hole, end):
    """Put a key into the heap at `hole`, moving smaller keys up; the smallest key is on top."""
    child = 2 * hole + 1
    while child < end:
        if child + 1 < end and keys[child] > keys[child + 1]:
            child += 1
        if key <= keys[child]:
            break
        keys[hole] = keys[child]
        labels[hole] = labels[child]
        hole = child
        child = 2 * hole + 1
    keys[hole] = key
    labels[hole] = label


@kernel
def sort_descending(keys):
    """Sort keys in place by heapsort and return where each was; R's draws depend on the order it gives to ties."""
    n = keys.size
    labels = np.arange(n)
    for hole in range(n // 2 - 1, -1, -1):
        sift_down(keys, labels, keys[hole], labels[hole], hole, n)
    for end in range(n - 1, 0, -1):
        key, label = keys[end], labels[end]
        keys[end] = keys[0]
        labels[end] = labels[0]
        sift_down(keys, labels, key, label, 0, end)
    return labels


@kernel
def fill_weighted(stream, prob, out):
    """Fill `out` with indices drawn with replacement, the likely ones tried first; `prob` is overwritten."""
    labels = sort_descending(prob)
    n = prob.size
    for i in range(1, n):
        prob[i] += prob[i - 1]
    for t in range(out.size):
        u = next_uniform(stream)
        i = 0
        while i < n - 1 and u > prob[i]:
            i += 1
        out[t] = labels[i]


@kernel
def fill_weighted_by_aliases(stream, prob, rounding, out):
    """Fill `out` with indices drawn with replacement by the method of aliases (Walker 1977)."""
    n = prob.size
    share = prob * n
    alias = np.zeros(n, dtype=np.int64)
    # Those below their fair share from the front, the others from the back, where one may become poor in its turn.
    order = np.empty(n, dtype=np.int64)
    poor = 0
    rich = n
    for i in range(n):
        if share[i] < 1.0:
            order[poor] = i
            poor += 1
        else:
            rich -= 1
            order[rich] = i
    if poor > 0 and rich < n:
        for k in range(n - 1):
            i, giver = order[k], order[rich]
            alias[i] = giver
            share[giver] += share[i] - 1.0
            if share[giver] < 1.0:
                rich += 1
            if rich >= n:
                break
    if rounding:
        # One uniform number is the index before the point and the choice behind it.
        for t in range(out.size):
            u = next_uniform(stream) * n
            i = int(u)
            out[t] = i if u < share[i] + i else alias[i]
    else:
        bits = index_bits(n)
        for t in range(out.size):
            i = next_index(stream, n, bits, rounding)
            out[t] = i if next_uniform(stream) < share[i] else alias[i]


@kernel
def fill_weighted_distinct(stream, prob, out):
    """Fill `out` with distinct indices, each drawn by the probabilities of those left; `prob` is overwritten."""
    labels = sort_descending(prob)
    total = 1.0
    last = prob.size - 1
    for t in range(out.size):
        target = total * next_uniform(stream)
        mass = 0.0
        chosen = last
        for i in range(last):
            mass += prob[i]
            if target <= mass:
                chosen = i
                break
        out[t] = labels[chosen]
        total -= prob[chosen]
        for i in range(chosen, last):
            prob[i] = prob[i + 1]
            labels[i] = labels[i + 1]
        last -= 1
