"""The whole search in one kernel, for models with a single grouping factor.

Such models are the most common and the smallest, and there the overhead of calling one kernel after another outweighs the
arithmetic. The kernel walks to the optimum by the same trust-region Newton steps as `newton.minimise`, which then starts from
where it ended: it alone decides whether that is an optimum, sets small pivots to zero and supplies the certificate.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.elimination_kernels import eliminate
from multilevel.engine.kernel import kernel
from multilevel.engine.tangent_kernels import single_factor_sums

SMALL_PIVOT = 2e-2
"""A diagonal element of λ below this (in the engine's columns) is tried at exactly zero."""

CURVATURE_TOLERANCE = 1e-8
"""Eigenvalues of the Hessian above −this share of the largest count as not negative."""


@kernel
def lower_cholesky(matrix, n):
    """Overwrite the lower triangle with its Cholesky factor; False where the matrix is not positive definite."""
    for c in range(n):
        total = matrix[c, c]
        for t in range(c):
            total -= matrix[c, t] * matrix[c, t]
        if not total > 0.0:
            return False
        root = np.sqrt(total)
        matrix[c, c] = root
        for r in range(c + 1, n):
            total = matrix[r, c]
            for t in range(c):
                total -= matrix[r, t] * matrix[c, t]
            matrix[r, c] = total / root
    return True


@kernel
def product(a, b, out):
    """Write the matrix product ab: small matrices, for which a loop compiles and runs faster than a library call."""
    for r in range(a.shape[0]):
        for c in range(b.shape[1]):
            total = 0.0
            for t in range(a.shape[1]):
                total += a[r, t] * b[t, c]
            out[r, c] = total


@kernel
def step_within(gradient, hessian, radius, step):
    """Minimise the quadratic model within a ball (see `newton.trust_region_step`); flat directions are only damped.

    Writes the step; returns the decrease that the model expects and the step's length.
    """
    values, vectors = np.linalg.eigh(hessian)
    m = gradient.shape[0]
    g = np.zeros(m)
    for a in range(m):
        for b in range(m):
            g[a] += vectors[b, a] * gradient[b]
    largest = 1e-8
    for a in range(m):
        largest = max(largest, abs(values[a]))
    low = 0.0
    if values[0] <= 1e-10 * largest:
        low = max(0.0, -values[0]) + 1e-10 * largest
    total = 0.0
    for a in range(m):
        total += (g[a] / (values[a] + low)) ** 2
    shift = low
    if np.sqrt(total) > radius:
        norm = 0.0
        for a in range(m):
            norm += g[a] * g[a]
        high = low + np.sqrt(norm) / radius + 1e-10 * largest
        for _ in range(60):
            shift = 0.5 * (low + high)
            total = 0.0
            for a in range(m):
                total += (g[a] / (values[a] + shift)) ** 2
            if np.sqrt(total) > radius:
                low = shift
            else:
                high = shift
            if high - low < 1e-3 * high:
                break
        shift = high
    decrease = 0.0
    for a in range(m):
        s = -g[a] / (values[a] + shift)
        decrease -= g[a] * s + 0.5 * values[a] * s * s
        g[a] = s
    length = 0.0
    for a in range(m):
        total = 0.0
        for b in range(m):
            total += vectors[a, b] * g[b]
        step[a] = total
        length += total * total
    return decrease, np.sqrt(length)


@kernel
def solve_single_factor(layout, phi, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients):
    """Factorise at φ: writes λ, the Cholesky factor of XᵀV⁻¹X and (−β, 1); returns the criterion less its constant, and r².

    The criterion is infinite where XᵀV⁻¹X is not positive definite.
    """
    m, k = dots.shape[0], dots.shape[1]
    p = fixed.shape[0] - 1
    for r in range(k):
        for c in range(k):
            total = 0.0
            for a in range(m):
                total += phi[a] * dots[a, r, c]
            lam[r, c] = total
    for r in range(p + 1):
        for c in range(p + 1):
            dense[r, c] = fixed[r, c]
    value = eliminate(layout, lam.ravel(), diagonal, tail, values, dense)
    if not lower_cholesky(dense, p):
        return np.inf, 0.0
    rss = dense[p, p]
    for c in range(p):
        total = dense[p, c]
        for t in range(c):
            total -= dense[c, t] * coefficients[t]
        coefficients[c] = total / dense[c, c]
        rss -= coefficients[c] * coefficients[c]
    for c in range(p - 1, -1, -1):
        total = -coefficients[c]
        for t in range(c + 1, p):
            total -= dense[t, c] * coefficients[t]
        coefficients[c] = total / dense[c, c]
    coefficients[p] = 1.0
    rss = max(rss, 1e-16 * fixed[p, p], 1e-300)
    value += df * np.log(rss)
    if reml:
        for c in range(p):
            value += 2.0 * np.log(dense[c, c])
    return value, rss


@kernel
def inverse_from_cholesky(lower, n, inverse):
    """Write (LLᵀ)⁻¹ from L, the lower triangle."""
    for c in range(n):
        for r in range(n):
            inverse[r, c] = 0.0
        inverse[c, c] = 1.0
        for r in range(c, n):
            total = inverse[r, c]
            for t in range(c, r):
                total -= lower[r, t] * inverse[t, c]
            inverse[r, c] = total / lower[r, r]
        for r in range(n - 1, -1, -1):
            total = inverse[r, c]
            for t in range(r + 1, n):
                total -= lower[t, r] * inverse[t, c]
            inverse[r, c] = total / lower[r, r]


@kernel
def search_derivatives(
    levels, lam, diagonal, values, dots, inverse, log_part, coefficients, scale, rss, reml, gradient, hessian
):
    """Write gradient and Hessian of the criterion; the formulas are those of `derivatives.single_factor_derivatives`."""
    m, k = dots.shape[0], dots.shape[1]
    p = inverse.shape[0]
    kk = k * k
    bar = np.zeros((k, k))
    gg = np.zeros((k, k))
    tensor = np.zeros((k, k, k, k))
    s_sum = np.zeros((k, k, p, p))
    g_sum = np.zeros((k, k, p))
    single_factor_sums(
        levels, k, p + 1, lam.ravel(), diagonal, values, log_part, coefficients, scale, bar, tensor, s_sum, g_sum, gg
    )
    for r in range(k):
        for c in range(r):
            middle = 0.5 * (bar[r, c] + bar[c, r])
            bar[r, c] = middle
            bar[c, r] = middle
    pushed = np.empty((k, k))
    product(bar, lam, pushed)
    # directions ∂Ψ/∂φ, as rows
    flat = np.empty((m, kk))
    slope = np.zeros(m)
    for a in range(m):
        total = 0.0
        for r in range(k):
            for c in range(k):
                total += pushed[r, c] * dots[a, r, c]
                half = 0.0
                for t in range(k):
                    half += dots[a, r, t] * lam[c, t] + lam[r, t] * dots[a, c, t]
                flat[a, r * k + c] = half
                slope[a] += half * gg[r, c]
        gradient[a] = 2.0 * total
    moved = np.empty((kk, kk))
    for r in range(k):
        for s in range(k):
            for t in range(k):
                for u in range(k):
                    moved[s * k + t, u * k + r] = tensor[r, s, t, u]
    through = np.empty((m, kk))
    product(flat, moved, through)
    g_flat = np.zeros((m, p))
    g_inverse = np.empty((m, p))
    weighted = np.zeros((m, p, p))
    for a in range(m):
        for r in range(k):
            for c in range(k):
                f = flat[a, r * k + c]
                if f == 0.0:
                    continue
                for t in range(p):
                    g_flat[a, t] += f * g_sum[r, c, t]
                    for u in range(p):
                        weighted[a, t, u] += f * s_sum[r, c, t, u]
    product(g_flat, inverse, g_inverse)
    turned = np.empty((m, p, p))
    for a in range(m):
        product(log_part, weighted[a], turned[a])
    for a in range(m):
        product(bar, dots[a], pushed)
        for b in range(m):
            total = -scale / rss * slope[a] * slope[b]
            for t in range(kk):
                total += through[a, t] * flat[b, t]
            for r in range(k):
                for c in range(k):
                    total += 2.0 * pushed[r, c] * dots[b, r, c]
            for c in range(p):
                total -= 2.0 * scale * g_inverse[a, c] * g_flat[b, c]
            if reml:
                for r in range(p):
                    for c in range(p):
                        total -= turned[a, r, c] * turned[b, c, r]
            hessian[a, b] = total
    for a in range(m):
        for b in range(a):
            middle = 0.5 * (hessian[a, b] + hessian[b, a])
            hessian[a, b] = middle
            hessian[b, a] = middle


@kernel
def search_single_factor(
    layout, diagonal, tail, values, fixed, dots, df, reml, start, tolerance, max_evaluations, trace
):
    """Walk to the optimum.

    Returns φ, the number of evaluations, the number of accepted steps (whose criteria are in `trace`) and whether a further step
    would change the criterion by less than the tolerance.
    """
    m, k = dots.shape[0], dots.shape[1]
    p = fixed.shape[0] - 1
    phi = start.copy()
    trial = start.copy()
    radius = np.sqrt(float(m))
    value = np.inf
    decrease = 0.0
    length = 0.0
    step = np.zeros(m)
    gradient = np.zeros(m)
    hessian = np.zeros((m, m))
    evaluations = 0
    accepted = 0
    lam = np.empty((k, k))
    inverse = np.zeros((p, p))
    log_part = np.zeros((p, p))
    if reml:
        log_part = inverse
    dense = np.empty_like(fixed)
    coefficients = np.ones(p + 1)
    while evaluations < max_evaluations:
        new_value, rss = solve_single_factor(
            layout, trial, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients
        )
        evaluations += 1
        if np.isinf(new_value):
            return phi, evaluations, accepted, False
        good = True
        if evaluations > 1:
            ratio = (value - new_value + 1e-14 * abs(new_value)) / decrease
            if ratio < 0.25:
                radius = 0.25 * length
            elif ratio > 0.75 and length > 0.9 * radius:
                radius = 2.5 * radius
            good = ratio > 1e-4
            if not good and radius < 1e-10:
                return phi, evaluations, accepted, False
        if good:
            for a in range(m):
                phi[a] = trial[a]
            value = new_value
            trace[accepted] = value
            accepted += 1
            inverse_from_cholesky(dense, p, inverse)
            search_derivatives(
                layout.levels[0],
                lam,
                diagonal,
                values,
                dots,
                inverse,
                log_part,
                coefficients,
                df / rss,
                rss,
                reml,
                gradient,
                hessian,
            )
        decrease, length = step_within(gradient, hessian, radius, step)
        if decrease <= tolerance or decrease <= 1e-14 * abs(value):
            # One more Newton step costs no further derivatives here and doubles the digits.
            if length < radius:
                for a in range(m):
                    phi[a] += step[a]
            return phi, evaluations, accepted, True
        for a in range(m):
            trial[a] = phi[a] + step[a]
    return phi, evaluations, accepted, False
