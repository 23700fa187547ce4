"""Kernels of R's uniform, normal and exponential numbers, and of its random integers.

A stream is an array of 625 unsigned 32-bit integers: how many words of the current block are used up, then the block's 624 words.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.simulation.r_state import WORDS

REACH = 397
"""How far ahead in the block the other word lies that makes a new one."""
SMALLEST = 0.5 / 4294967295.0
"""Half of the grid's step keeps uniform numbers away from 0 and from 1."""
HALF_WIDTH = 134217728.0
"""A normal number's probability has 27 bits from one uniform number and the rest from a second."""

CHUNK = 1024
"""Normal numbers worked on at once."""

EXPONENTIAL_SUMS = np.cumsum([math.log(2.0) ** i / math.factorial(i) for i in range(1, 17)])
"""Ahrens and Dieter's q: partial sums of the series of exp(log 2) - 1; the sixteenth is 1 in double precision."""
EXPONENTIAL_SUMS[-1] = 1.0


@kernel
def twist(word, following, middle):
    """Return the word that takes a word's place in the next block."""
    joined = np.uint32((word & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF)))
    return np.uint32(middle ^ (joined >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) * (joined & np.uint32(1))))


@kernel
def next_block(stream):
    """Replace the block by the next one (Matsumoto & Nishimura 1998)."""
    words = stream[1:]
    for i in range(WORDS - REACH):
        words[i] = twist(words[i], words[i + 1], words[i + REACH])
    for i in range(WORDS - REACH, WORDS - 1):
        words[i] = twist(words[i], words[i + 1], words[i - (WORDS - REACH)])
    words[WORDS - 1] = twist(words[WORDS - 1], words[0], words[REACH - 1])
    stream[0] = 0


@kernel
def tempered(word):
    """Return a word of the block as a uniform number between 0 and 1, neither of them included."""
    word = np.uint32(word ^ (word >> np.uint32(11)))
    word = np.uint32(word ^ ((word << np.uint32(7)) & np.uint32(0x9D2C5680)))
    word = np.uint32(word ^ ((word << np.uint32(15)) & np.uint32(0xEFC60000)))
    word = np.uint32(word ^ (word >> np.uint32(18)))
    # The largest word gives 1 - 2⁻³², so only the lower end needs care.
    return max(np.float64(word) * 2.3283064365386963e-10, SMALLEST)


@kernel
def next_uniform(stream):
    """Return a uniform number."""
    if stream[0] >= WORDS:
        next_block(stream)
    stream[0] += np.uint32(1)
    return tempered(stream[stream[0]])


@kernel
def many_uniform(stream, out):
    """Fill `out` with uniform numbers, a block at a time."""
    done = 0
    while done < out.size:
        if stream[0] >= WORDS:
            next_block(stream)
        used = np.int64(stream[0])
        taken = min(WORDS - used, out.size - done)
        words = stream[1 + used : 1 + used + taken]
        part = out[done : done + taken]
        for i in range(taken):
            part[i] = tempered(words[i])
        stream[0] = np.uint32(used + taken)
        done += taken


@kernel
def central_quantile(q):
    """Return the standard normal quantile at 1/2 + q, |q| ≤ 0.425: the middle of algorithm AS 241, PPND16 (Wichura 1988)."""
    r = 0.180625 - q * q
    top = 2509.0809287301226727 * r + 33430.575583588128105
    top = top * r + 67265.770927008700853
    top = top * r + 45921.953931549871457
    top = top * r + 13731.693765509461125
    top = top * r + 1971.5909503065514427
    top = top * r + 133.14166789178437745
    top = top * r + 3.387132872796366608
    bottom = 5226.495278852854561 * r + 28729.085735721942674
    bottom = bottom * r + 39307.89580009271061
    bottom = bottom * r + 21213.794301586595867
    bottom = bottom * r + 5394.1960214247511077
    bottom = bottom * r + 687.1870074920579083
    bottom = bottom * r + 42.313330701600911252
    bottom = bottom * r + 1.0
    return q * top / bottom


@kernel
def outer_quantile(p, q):
    """Return the standard normal quantile at p = 1/2 + q, |q| > 0.425: the tails of algorithm AS 241, PPND16 (Wichura 1988)."""
    tail = p if q < 0 else 0.5 - p + 0.5
    if tail <= 0.0:
        return math.copysign(np.inf, q)
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r -= 1.6
        top = 7.7454501427834140764e-4 * r + 0.0227238449892691845833
        top = top * r + 0.24178072517745061177
        top = top * r + 1.27045825245236838258
        top = top * r + 3.64784832476320460504
        top = top * r + 5.7694972214606914055
        top = top * r + 4.6303378461565452959
        top = top * r + 1.42343711074968357734
        bottom = 1.05075007164441684324e-9 * r + 5.475938084995344946e-4
        bottom = bottom * r + 0.0151986665636164571966
        bottom = bottom * r + 0.14810397642748007459
        bottom = bottom * r + 0.68976733498510000455
        bottom = bottom * r + 1.6763848301838038494
        bottom = bottom * r + 2.05319162663775882187
        bottom = bottom * r + 1.0
    else:
        r -= 5.0
        top = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        top = top * r + 0.0012426609473880784386
        top = top * r + 0.026532189526576123093
        top = top * r + 0.29656057182850489123
        top = top * r + 1.7848265399172913358
        top = top * r + 5.4637849111641143699
        top = top * r + 6.6579046435011037772
        bottom = 2.04426310338993978564e-15 * r + 1.4215117583164458887e-7
        bottom = bottom * r + 1.8463183175100546818e-5
        bottom = bottom * r + 7.868691311456132591e-4
        bottom = bottom * r + 0.0148753612908506148525
        bottom = bottom * r + 0.13692988092273580531
        bottom = bottom * r + 0.59983220655588793769
        bottom = bottom * r + 1.0
    return math.copysign(top / bottom, q)


@kernel
def next_normal(stream):
    """Return a standard normal number by inversion."""
    high = math.floor(HALF_WIDTH * next_uniform(stream))
    p = (high + next_uniform(stream)) / HALF_WIDTH
    q = p - 0.5
    return central_quantile(q) if abs(q) <= 0.425 else outer_quantile(p, q)


@kernel
def many_normal(stream, out):
    """Fill `out` with standard normal numbers: the middle of the distribution without branches, then the tails."""
    uniform = np.empty(2 * min(out.size, CHUNK))
    for start in range(0, out.size, CHUNK):
        part = out[start : start + CHUNK]
        many_uniform(stream, uniform[: 2 * part.size])
        for i in range(part.size):
            p = (math.floor(HALF_WIDTH * uniform[2 * i]) + uniform[2 * i + 1]) / HALF_WIDTH
            uniform[i] = p
            part[i] = central_quantile(p - 0.5)
        for i in range(part.size):
            q = uniform[i] - 0.5
            if abs(q) > 0.425:
                part[i] = outer_quantile(uniform[i], q)


@kernel
def next_exponential(stream):
    """Return a standard exponential number: algorithm SA (Ahrens & Dieter 1972)."""
    halvings = 0
    u = 2.0 * next_uniform(stream)
    while u <= 1.0:
        u += u
        halvings += 1
    u -= 1.0
    # Added up one by one, as the published algorithm does: the product would be rounded otherwise.
    start = 0.0
    for _ in range(halvings):
        start += EXPONENTIAL_SUMS[0]
    if u <= EXPONENTIAL_SUMS[0]:
        return start + u
    least = next_uniform(stream)
    i = 0
    while True:
        least = min(least, next_uniform(stream))
        i += 1
        if u <= EXPONENTIAL_SUMS[i]:
            return start + least * EXPONENTIAL_SUMS[0]


@kernel
def index_bits(n):
    """Return how many random bits an index below n takes."""
    bits = 0
    while bits < 63 and (np.int64(1) << bits) < n:
        bits += 1
    return bits


@kernel
def next_index(stream, n, bits, rounding):
    """Return an index from 0 to n - 1: random bits until they are below n, or, as before R 3.6, a rounded uniform number."""
    if rounding:
        u = next_uniform(stream)
        if n > 2147483647:
            u = (math.floor(33554432.0 * u) + next_uniform(stream)) / 33554432.0
        return np.int64(n * u)
    while True:
        value = np.int64(0)
        # One uniform number for each 16 bits begun, and one more where the bits are a multiple of 16.
        for _ in range(bits // 16 + 1):
            value = (value << 16) + np.int64(next_uniform(stream) * 65536.0)
        value &= (np.int64(1) << bits) - 1
        if value < n:
            return value


@kernel
def fill_uniform(stream, low, high, out):
    """Fill `out` with uniform numbers; the ends of the intervals are recycled."""
    i = j = 0
    if low.size == 1 and high.size == 1 and math.isfinite(low[0]) and math.isfinite(high[0]) and low[0] < high[0]:
        many_uniform(stream, out)
        a, width = low[0], high[0] - low[0]
        for t in range(out.size):
            out[t] = a + width * out[t]
        return
    for t in range(out.size):
        a, b = low[i], high[j]
        if not (math.isfinite(a) and math.isfinite(b)) or b < a:
            out[t] = np.nan
        elif a == b:
            out[t] = a
        else:
            out[t] = a + (b - a) * next_uniform(stream)
        i = i + 1 if i + 1 < low.size else 0
        j = j + 1 if j + 1 < high.size else 0


@kernel
def fill_normal(stream, mean, sd, out):
    """Fill `out` with normal numbers; means and standard deviations are recycled."""
    i = j = 0
    if np.all(np.isfinite(mean)) and np.all(np.isfinite(sd) & (sd > 0.0)):
        many_normal(stream, out)
        for t in range(out.size):
            out[t] = mean[i] + sd[j] * out[t]
            i = i + 1 if i + 1 < mean.size else 0
            j = j + 1 if j + 1 < sd.size else 0
        return
    # Some take nothing from the stream.
    for t in range(out.size):
        centre, scale = mean[i], sd[j]
        if math.isnan(centre) or not math.isfinite(scale) or scale < 0.0:
            out[t] = np.nan
        elif scale == 0.0 or math.isinf(centre):
            out[t] = centre
        else:
            out[t] = centre + scale * next_normal(stream)
        i = i + 1 if i + 1 < mean.size else 0
        j = j + 1 if j + 1 < sd.size else 0


@kernel
def fill_exponential(stream, scale, out):
    """Fill `out` with exponential numbers; their means are recycled."""
    i = 0
    for t in range(out.size):
        mean = scale[i]
        if mean == 0.0:
            out[t] = 0.0
        elif not math.isfinite(mean) or mean < 0.0:
            out[t] = np.nan
        else:
            out[t] = mean * next_exponential(stream)
        i = i + 1 if i + 1 < scale.size else 0
