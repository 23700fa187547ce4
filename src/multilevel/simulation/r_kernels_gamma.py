"""Kernels of R's gamma, chi-squared and t numbers (Ahrens & Dieter 1974, 1982)."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_kernels import next_exponential, next_normal, next_uniform

ROOT_32 = 5.656854
INVERSE_E = 0.36787944117144233


@kernel
def next_small_gamma(stream, shape):
    """Return a gamma number of a shape below 1: algorithm GS (Ahrens & Dieter 1974)."""
    ends = 1.0 + INVERSE_E * shape
    while True:
        p = ends * next_uniform(stream)
        if p >= 1.0:
            x = -math.log((ends - p) / shape)
            if next_exponential(stream) >= (1.0 - shape) * math.log(x):
                return x
        else:
            x = math.exp(math.log(p) / shape)
            if next_exponential(stream) >= x:
                return x


@kernel
def quotient(t, s, s2, q0):
    """Return the logarithm of the ratio of the densities that GD compares."""
    v = t / (s + s)
    if abs(v) > 0.25:
        return q0 - s * t + 0.25 * t * t + (s2 + s2) * math.log(1.0 + v)
    series = 0.1233795 * v - 0.1367177
    series = series * v + 0.1423657
    series = series * v - 0.1662921
    series = series * v + 0.2000062
    series = series * v - 0.250003
    series = series * v + 0.3333333
    return q0 + 0.5 * t * t * (series * v)


@kernel
def next_large_gamma(stream, shape):
    """Return a gamma number of a shape of 1 or more: algorithm GD (Ahrens & Dieter 1982)."""
    s2 = shape - 0.5
    s = math.sqrt(s2)
    t = next_normal(stream)
    x = s + 0.5 * t
    if t >= 0.0:
        return x * x
    u = next_uniform(stream)
    if (ROOT_32 - s * 12.0) * u <= t * t * t:
        return x * x
    r = 1.0 / shape
    series = 2.424e-4 * r + 2.4511e-4
    series = series * r - 7.388e-5
    series = series * r + 0.00144121
    series = series * r + 0.00801191
    series = series * r + 0.02083148
    series = series * r + 0.04166669
    q0 = series * r
    if shape <= 3.686:
        b = 0.463 + s + 0.178 * s2
        si = 1.235
        c = 0.195 / s - 0.079 + 0.16 * s
    elif shape <= 13.022:
        b = 1.654 + 0.0076 * s2
        si = 1.68 / s + 0.275
        c = 0.062 / s + 0.024
    else:
        b = 1.77
        si = 0.75
        c = 0.1515 / s
    if x > 0.0 and math.log(1.0 - u) <= quotient(t, s, s2, q0):
        return x * x
    while True:
        # From here on double exponential (Laplace) numbers are rejected.
        e = next_exponential(stream)
        u = next_uniform(stream)
        u = u + u - 1.0
        t = b - si * e if u < 0.0 else b + si * e
        if t < -0.71874483771719:
            continue
        q = quotient(t, s, s2, q0)
        if q > 0.0 and c * abs(u) <= math.expm1(q) * math.exp(e - 0.5 * t * t):
            x = s + 0.5 * t
            return x * x


@kernel
def next_gamma(stream, shape, scale):
    """Return a gamma number, NaN where there is no such distribution."""
    if math.isnan(shape) or math.isnan(scale):
        return np.nan
    if shape <= 0.0 or scale <= 0.0:
        return 0.0 if shape == 0.0 or scale == 0.0 else np.nan
    if math.isinf(shape) or math.isinf(scale):
        return np.inf
    return scale * (next_small_gamma(stream, shape) if shape < 1.0 else next_large_gamma(stream, shape))


@kernel
def fill_gamma(stream, shape, scale, out):
    """Fill `out` with gamma numbers; shapes and scales are recycled."""
    i = j = 0
    for t in range(out.size):
        out[t] = next_gamma(stream, shape[i], scale[j])
        i = i + 1 if i + 1 < shape.size else 0
        j = j + 1 if j + 1 < scale.size else 0


@kernel
def fill_chi_squared(stream, df, out):
    """Fill `out` with chi-squared numbers; the degrees of freedom are recycled."""
    i = 0
    for t in range(out.size):
        out[t] = next_gamma(stream, df[i] / 2.0, 2.0) if math.isfinite(df[i]) and df[i] >= 0.0 else np.nan
        i = i + 1 if i + 1 < df.size else 0


@kernel
def fill_t(stream, df, out):
    """Fill `out` with numbers of Student's t; the degrees of freedom are recycled."""
    i = 0
    for t in range(out.size):
        if math.isnan(df[i]) or df[i] <= 0.0:
            out[t] = np.nan
        else:
            value = next_normal(stream)
            out[t] = value if math.isinf(df[i]) else value / math.sqrt(next_gamma(stream, df[i] / 2.0, 2.0) / df[i])
        i = i + 1 if i + 1 < df.size else 0
