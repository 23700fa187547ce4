"""Kernels of R's binomial numbers (Kachitvichyanukul & Schmeiser 1988)."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_kernels import next_uniform

SMALL_MEAN = 30.0
"""Below this mean the distribution function is inverted, from it on BTPE accepts and rejects."""
LARGEST_INVERTED = 110
"""The inversion starts anew beyond this value, where rounding has eaten up what was left of the uniform number."""


@kernel
def whole_power(base, exponent):
    """Return the base to a whole power ≥ 0 by repeated squaring."""
    power = 1.0
    while exponent > 0:
        if exponent & 1:
            power *= base
        exponent >>= 1
        base *= base
    return power


@kernel
def stirling_rest(x):
    """Return the correction to Stirling's formula that the last test of BTPE takes (R adds all four)."""
    square = x * x
    return (13860.0 - (462.0 - (132.0 - (99.0 - 140.0 / square) / square) / square) / square) / x / 166320.0


@kernel
def next_small_binomial(stream, p, q, n):
    """Return a binomial number with p ≤ 1/2 by inversion."""
    odds = p / q
    scaled = odds * (n + 1)
    none = whole_power(q, n)
    while True:
        u = next_uniform(stream)
        mass = none
        value = 0
        while value <= LARGEST_INVERTED:
            if u < mass:
                return value
            u -= mass
            value += 1
            mass *= scaled / value - odds


@kernel
def next_large_binomial(stream, p, q, n):
    """Return a binomial number with p ≤ 1/2 by algorithm BTPE: triangle, parallelogram and two exponential tails."""
    odds = p / q
    scaled = odds * (n + 1)
    centre = n * p + p
    mode = int(centre)
    variance = n * p * q
    triangle = int(2.195 * math.sqrt(variance) - 4.6 * q) + 0.5
    middle = mode + 0.5
    left = middle - triangle
    right = middle + triangle
    height = 0.134 + 20.5 / (15.3 + mode)
    slope = (centre - left) / (centre - left * p)
    left_rate = slope * (1.0 + 0.5 * slope)
    slope = (right - centre) / (right * q)
    right_rate = slope * (1.0 + 0.5 * slope)
    to_parallelogram = triangle * (1.0 + height + height)
    to_left = to_parallelogram + height / left_rate
    to_right = to_left + height / right_rate
    while True:
        u = next_uniform(stream) * to_right
        v = next_uniform(stream)
        if u <= triangle:
            return int(middle - triangle * v + u)
        if u <= to_parallelogram:
            x = left + (u - triangle) / height
            v = v * height + 1.0 - abs(middle - x) / triangle
            if v > 1.0 or v <= 0.0:
                continue
            value = int(x)
        elif u <= to_left:
            value = int(left + math.log(v) / left_rate)
            if value < 0:
                continue
            v = v * (u - to_parallelogram) * left_rate
        else:
            value = int(right - math.log(v) / right_rate)
            if value > n:
                continue
            v = v * (u - to_left) * right_rate
        distance = abs(value - mode)
        if distance <= 20 or distance >= variance / 2.0 - 1.0:
            # Near the mode, or far out, the ratio of the two probabilities is multiplied out.
            ratio = 1.0
            for i in range(mode + 1, value + 1):
                ratio *= scaled / i - odds
            for i in range(value + 1, mode + 1):
                ratio /= scaled / i - odds
            if v <= ratio:
                return value
            continue
        bound = (distance / variance) * ((distance * (distance / 3.0 + 0.625) + 1.0 / 6.0) / variance + 0.5)
        parabola = -float(distance) * distance / (2.0 * variance)
        log_v = math.log(v)
        if log_v < parabola - bound:
            return value
        if log_v > parabola + bound:
            continue
        x = value + 1.0
        f = mode + 1.0
        z = n + 1.0 - mode
        w = n - value + 1.0
        limit = (
            middle * math.log(f / x) + (n - mode + 0.5) * math.log(z / w) + (value - mode) * math.log(w * p / (x * q))
        )
        if log_v <= limit + stirling_rest(f) + stirling_rest(z) + stirling_rest(x) + stirling_rest(w):
            return value


@kernel
def fill_binomial(stream, size, prob, out):
    """Fill `out` with binomial numbers; sizes and probabilities are recycled."""
    i = j = 0
    for t in range(out.size):
        n, chance = size[i], prob[j]
        if not math.isfinite(n) or n < 0.0 or n != math.floor(n) or not 0.0 <= chance <= 1.0:
            out[t] = np.nan
        elif n == 0.0 or chance == 0.0:
            out[t] = 0.0
        elif chance == 1.0:
            out[t] = n
        else:
            p = min(chance, 1.0 - chance)
            q = 1.0 - p
            trials = int(n)
            if trials * p < SMALL_MEAN:
                value = next_small_binomial(stream, p, q, trials)
            else:
                value = next_large_binomial(stream, p, q, trials)
            out[t] = value if chance <= 0.5 else trials - value
        i = i + 1 if i + 1 < size.size else 0
        j = j + 1 if j + 1 < prob.size else 0
