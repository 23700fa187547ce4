"""Kernels of R's Poisson numbers (Ahrens & Dieter 1982)."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_kernels import next_exponential, next_normal, next_uniform

LARGE_MEAN = 10.0
"""Below this mean a table of the distribution function is searched, from it on a normal number is corrected."""
TABLE = 35
"""The largest value in the table."""
ABOVE_MEDIAN = 0.458
"""For u above this the search may begin at the mean's whole part."""
FACTORIALS = np.array([math.factorial(i) for i in range(10)], dtype=np.float64)
ROOT_2PI_INVERSE = 0.398942280401432677939946059934


@kernel
def next_small_poisson(stream, mean):
    """Return a Poisson number of a mean below 10: the first value whose distribution function reaches a uniform number."""
    while True:
        u = next_uniform(stream)
        mass = math.exp(-mean)
        total = mass
        if u <= total:
            return 0.0
        first = max(1, int(mean)) if u > ABOVE_MEDIAN else 1
        for value in range(1, TABLE + 1):
            mass *= mean / value
            total += mass
            if value >= first and u <= total:
                return float(value)


@kernel
def next_large_poisson(stream, mean):
    """Return a Poisson number of a mean of 10 or more by algorithm PD: a normal number, corrected where need be."""
    sd = math.sqrt(mean)
    normal = mean + sd * next_normal(stream)
    u = 0.0
    value = -1.0
    if normal >= 0.0:
        value = math.floor(normal)
        if value >= math.floor(mean - 1.1484):
            return value
        u = next_uniform(stream)
        below = mean - value
        if 6.0 * mean * mean * u >= below * below * below:
            return value
    # Coefficients of the normal approximation of the probabilities.
    omega = ROOT_2PI_INVERSE / sd
    b1 = 1.0 / 24.0 / mean
    b2 = 0.3 * b1 * b1
    c3 = 1.0 / 7.0 * b1 * b2
    c2 = b2 - 15.0 * c3
    c1 = b1 - 6.0 * b2 + 45.0 * c3
    c0 = 1.0 - b1 + 3.0 * b2 - 15.0 * c3
    hat = 0.1069 / mean
    from_normal = normal >= 0.0
    e = 0.0
    while True:
        if not from_normal:
            e = next_exponential(stream)
            u = 2.0 * next_uniform(stream) - 1.0
            t = 1.8 + math.copysign(e, u)
            if t <= -0.6744:
                continue
            value = math.floor(mean + sd * t)
        below = mean - value
        if value < 10.0:
            log_part = -mean
            rest = mean ** int(value) / FACTORIALS[int(value)]
        else:
            delta = 1.0 / 12.0 / value
            delta = delta * (1.0 - 4.8 * delta * delta)
            v = below / value
            if abs(v) <= 0.25:
                series = 0.1250060 * v - 0.1384794
                series = series * v + 0.1421878
                series = series * v - 0.1661269
                series = series * v + 0.2000118
                series = series * v - 0.2500068
                series = series * v + 0.3333333
                series = series * v - 0.5
                log_part = value * v * v * series - delta
            else:
                log_part = value * math.log(1.0 + v) - below - delta
            rest = ROOT_2PI_INVERSE / math.sqrt(value)
        x = (0.5 - below) / sd
        x *= x
        log_normal = -0.5 * x
        normal_part = omega * (((c3 * x + c2) * x + c1) * x + c0)
        if from_normal:
            if normal_part - u * normal_part <= rest * math.exp(log_part - log_normal):
                return value
            from_normal = False
        elif hat * abs(u) <= rest * math.exp(log_part + e) - normal_part * math.exp(log_normal + e):
            return value


@kernel
def fill_poisson(stream, mean, out):
    """Fill `out` with Poisson numbers; their means are recycled."""
    i = 0
    for t in range(out.size):
        centre = mean[i]
        if not math.isfinite(centre) or centre < 0.0:
            out[t] = np.nan
        elif centre == 0.0:
            out[t] = 0.0
        elif centre < LARGE_MEAN:
            out[t] = next_small_poisson(stream, centre)
        else:
            out[t] = next_large_poisson(stream, centre)
        i = i + 1 if i + 1 < mean.size else 0
