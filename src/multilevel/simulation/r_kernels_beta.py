"""Kernels of R's beta numbers (Cheng 1978)."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_kernels import next_uniform

LARGEST_EXPONENT = 1024.0 * math.log(2.0)
LARGEST = np.finfo(np.float64).max
LOG_4 = 1.3862944
ONE_PLUS_LOG_5 = 2.609438


@kernel
def capped_odds(factor, v):
    """Return factor · exp(v), at most the largest double."""
    return min(factor * math.exp(v), LARGEST) if v <= LARGEST_EXPONENT else LARGEST


@kernel
def next_beta_bb(stream, first, a, b):
    """Return a beta number with both shapes above 1: algorithm BB; a ≤ b, and `first` is the first shape."""
    total = a + b
    beta = math.sqrt((total - 2.0) / (2.0 * a * b - total))
    gamma = a + 1.0 / beta
    while True:
        u1 = next_uniform(stream)
        u2 = next_uniform(stream)
        v = beta * math.log(u1 / (1.0 - u1))
        w = capped_odds(a, v)
        z = u1 * u1 * u2
        r = gamma * v - LOG_4
        s = a + r - w
        if s + ONE_PLUS_LOG_5 >= 5.0 * z:
            break
        t = math.log(z)
        if s > t or r + total * math.log(total / (b + w)) >= t:
            break
    return b / (b + w) if first != a else w / (b + w)


@kernel
def next_beta_bc(stream, first, a, b):
    """Return a beta number with a shape of at most 1: algorithm BC; b ≤ a, and `first` is the first shape."""
    total = a + b
    beta = 1.0 / b
    delta = 1.0 + a - b
    k1 = delta * (0.0138889 + 0.0416667 * b) / (a * beta - 0.777778)
    k2 = 0.25 + (0.5 + 0.25 / delta) * b
    while True:
        u1 = next_uniform(stream)
        u2 = next_uniform(stream)
        if u1 < 0.5:
            y = u1 * u2
            z = u1 * y
            if 0.25 * u2 + z - y >= k1:
                continue
        else:
            z = u1 * u1 * u2
            if z <= 0.25:
                w = capped_odds(a, beta * math.log(u1 / (1.0 - u1)))
                break
            if z >= k2:
                continue
        v = beta * math.log(u1 / (1.0 - u1))
        w = capped_odds(a, v)
        if total * (math.log(total / (b + w)) + v) - LOG_4 >= math.log(z):
            break
    return b / (b + w) if first == b else w / (b + w)


@kernel
def next_beta(stream, first, second):
    """Return a beta number, NaN where there is no such distribution."""
    if math.isnan(first) or math.isnan(second) or first < 0.0 or second < 0.0:
        return np.nan
    if math.isinf(first) and math.isinf(second):
        return 0.5
    if first == 0.0 and second == 0.0:
        return 0.0 if next_uniform(stream) < 0.5 else 1.0
    if math.isinf(first) or second == 0.0:
        return 1.0
    if math.isinf(second) or first == 0.0:
        return 0.0
    low, high = min(first, second), max(first, second)
    return next_beta_bc(stream, first, high, low) if low <= 1.0 else next_beta_bb(stream, first, low, high)


@kernel
def fill_beta(stream, first, second, out):
    """Fill `out` with beta numbers; the shapes are recycled."""
    i = j = 0
    for t in range(out.size):
        out[t] = next_beta(stream, first[i], second[j])
        i = i + 1 if i + 1 < first.size else 0
        j = j + 1 if j + 1 < second.size else 0
