"""The whole search in one kernel, for models with a single grouping factor.

Such models are the most common and the smallest, and there the overhead of calling one kernel after another outweighs the
arithmetic. The kernel walks to the optimum by the same trust-region Newton steps as `newton.minimise`, which then starts from
where it ended: it alone decides whether that is an optimum, sets small pivots to zero and supplies the certificate.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.chain_kernels import eliminate
from multilevel.engine.kernel import kernel
from multilevel.engine.tangent_kernels import single_factor_sums


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
def step_within(gradient, hessian, radius):
    """Minimise the quadratic model within a ball (see `newton.trust_region_step`); flat directions are only damped."""
    values, vectors = np.linalg.eigh(hessian)
    m = gradient.shape[0]
    g = vectors.T @ gradient
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
    return vectors @ g, decrease


@kernel
def solve_single_factor(layout, phi, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients):
    """Factorise at φ: writes λ, the Cholesky factor of XᵀV⁻¹X and (−β, 1); returns the criterion less its constant, and r².

    The criterion is infinite where XᵀV⁻¹X is not positive definite.
    """
    m, k = dots.shape[0], dots.shape[1]
    p = fixed.shape[0] - 1
    lam[:] = 0.0
    for a in range(m):
        for r in range(k):
            for c in range(k):
                lam[r, c] += phi[a] * dots[a, r, c]
    dense[:] = fixed
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
def search_single_factor(
    layout,
    diagonal,
    tail,
    values,
    fixed,
    dots,
    df,
    reml,
    start,
    tolerance,
    max_evaluations,
    trace,
):
    """Walk to the optimum.

    Returns φ, the number of evaluations, the number of accepted steps (whose criteria are in `trace`) and whether a further step
    would change the criterion by less than the tolerance.
    """
    levels = layout.levels
    m, k = dots.shape[0], dots.shape[1]
    p = fixed.shape[0] - 1
    kk = k * k
    phi = start.copy()
    trial = start.copy()
    radius = np.sqrt(float(m))
    value = np.inf
    decrease = 0.0
    step = np.zeros(m)
    gradient = np.zeros(m)
    hessian = np.zeros((m, m))
    evaluations = 0
    accepted = 0
    lam = np.empty((k, k))
    inverse = np.zeros((p, p))
    none = np.zeros((p, p))
    dense = np.empty_like(fixed)
    coefficients = np.ones(p + 1)
    flat = np.empty((m, kk))
    while evaluations < max_evaluations:
        new_value, rss = solve_single_factor(
            layout, trial, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients
        )
        evaluations += 1
        if np.isinf(new_value):
            return phi, evaluations, accepted, False
        if evaluations > 1:
            noise = 1e-14 * abs(new_value)
            ratio = (value - new_value + noise) / decrease
            length = np.sqrt((step * step).sum())
            if ratio < 0.25:
                radius = 0.25 * length
            elif ratio > 0.75 and length > 0.9 * radius:
                radius = 2.5 * radius
            if not ratio > 1e-4:
                if radius < 1e-10:
                    return phi, evaluations, accepted, False
                step, decrease = step_within(gradient, hessian, radius)
                trial = phi + step
                continue
        phi = trial.copy()
        value = new_value
        trace[accepted] = value
        accepted += 1
        for c in range(p):
            for r in range(p):
                inverse[r, c] = 0.0
            inverse[c, c] = 1.0
        for c in range(p):
            for r in range(c, p):
                total = inverse[r, c]
                for t in range(c, r):
                    total -= dense[r, t] * inverse[t, c]
                inverse[r, c] = total / dense[r, r]
        for c in range(p):
            for r in range(p - 1, -1, -1):
                total = inverse[r, c]
                for t in range(r + 1, p):
                    total -= dense[t, r] * inverse[t, c]
                inverse[r, c] = total / dense[r, r]
        scale = df / rss
        bar = np.zeros((k, k))
        gg = np.zeros((k, k))
        tensor = np.zeros((k, k, k, k))
        s_sum = np.zeros((k, k, p, p))
        g_sum = np.zeros((k, k, p))
        single_factor_sums(
            levels[0],
            k,
            p + 1,
            lam.ravel(),
            diagonal,
            values,
            inverse if reml else none,
            coefficients,
            scale,
            bar,
            tensor,
            s_sum,
            g_sum,
            gg,
        )
        bar = 0.5 * (bar + bar.T)
        pushed = bar @ lam
        for a in range(m):
            total = 0.0
            for r in range(k):
                for c in range(k):
                    total += pushed[r, c] * dots[a, r, c]
            gradient[a] = 2.0 * total
            half = dots[a] @ lam.T
            for r in range(k):
                for c in range(k):
                    flat[a, r * k + c] = half[r, c] + half[c, r]
        moved = np.empty((kk, kk))
        for r in range(k):
            for s in range(k):
                for t in range(k):
                    for u in range(k):
                        moved[s * k + t, u * k + r] = tensor[r, s, t, u]
        hessian = flat @ moved @ flat.T
        s_flat = flat @ s_sum.reshape(kk, p * p)
        g_flat = flat @ g_sum.reshape(kk, p)
        g_inverse = g_flat @ inverse
        slope = flat @ gg.ravel()
        for a in range(m):
            left = bar @ dots[a]
            for b in range(m):
                total = 0.0
                for r in range(k):
                    for c in range(k):
                        total += left[r, c] * dots[b, r, c]
                change = 2.0 * total - scale / rss * slope[a] * slope[b]
                for c in range(p):
                    change -= 2.0 * scale * g_inverse[a, c] * g_flat[b, c]
                hessian[a, b] += change
        if reml and p > 0:
            products = np.empty((m, p * p))
            for a in range(m):
                products[a] = (inverse @ s_flat[a].reshape(p, p)).ravel()
            for a in range(m):
                for b in range(m):
                    total = 0.0
                    for r in range(p):
                        for c in range(p):
                            total += products[a, r * p + c] * products[b, c * p + r]
                    hessian[a, b] -= total
        hessian = 0.5 * (hessian + hessian.T)
        step, decrease = step_within(gradient, hessian, radius)
        if decrease <= tolerance or decrease <= 1e-14 * abs(value):
            # One more Newton step costs no further derivatives here and doubles the digits.
            if np.sqrt((step * step).sum()) < radius:
                phi = phi + step
            return phi, evaluations, accepted, True
        trial = phi + step
    return phi, evaluations, accepted, False


@kernel
def refit_single_factor(
    layout,
    columns,
    codes,
    left,
    left_shift,
    left_scale,
    right,
    right_shift,
    right_scale,
    centred,
    weights,
    offset,
    diagonal,
    values,
    fixed,
    dots,
    df,
    reml,
    start,
    tolerance,
    max_evaluations,
    responses,
    first,
    last,
    phi_out,
    numbers_out,
    coefficients_out,
):
    """Fit the responses in rows `first` to `last`: only the products with the response are renewed.

    `numbers_out` receives, for each, the criterion less its constant, r², the response's shift and scale, the evaluations and
    whether the search converged; `coefficients_out` receives −β in the engine's columns.
    """
    n = columns.shape[0]
    k = left.shape[0]
    p = right.shape[0]
    levels = layout.levels[0]
    own = values.copy()
    gram = fixed.copy()
    tail = np.empty(0)
    trace = np.empty(max_evaluations)
    lam = np.empty((k, k))
    dense = np.empty_like(fixed)
    coefficients = np.ones(p + 1)
    weighted = weights.shape[0] > 0
    shifted = offset.shape[0] > 0
    y = np.empty(n)
    for response in range(first, last):
        total = 0.0
        weight = 0.0
        for i in range(n):
            y[i] = responses[response, i] - (offset[i] if shifted else 0.0)
            w = weights[i] if weighted else 1.0
            weight += w
            total += w * (y[i] - y[0])
        shift = y[0] + total / weight if centred else 0.0
        square = 0.0
        for i in range(n):
            y[i] -= shift
            square += (weights[i] if weighted else 1.0) * y[i] * y[i]
        scale = np.sqrt(weight / square) if square > 0.0 else 1.0
        for j in range(levels):
            for a in range(k):
                own[j * k * (p + 1) + a * (p + 1) + p] = 0.0
        gram[p, :] = 0.0
        for i in range(n):
            value = y[i] * scale * (weights[i] if weighted else 1.0)
            at = codes[i] * k * (p + 1) + p
            for a in range(k):
                own[at + a * (p + 1)] += (columns[i, left[a]] - left_shift[a]) * left_scale[a] * value
            for c in range(p):
                gram[p, c] += (columns[i, right[c]] - right_shift[c]) * right_scale[c] * value
            gram[p, p] += value * y[i] * scale
        phi, evaluations, _, converged = search_single_factor(
            layout, diagonal, tail, own, gram, dots, df, reml, start, tolerance, max_evaluations, trace
        )
        criterion, rss = solve_single_factor(
            layout, phi, diagonal, tail, own, gram, dots, df, reml, lam, dense, coefficients
        )
        phi_out[response] = phi
        coefficients_out[response] = coefficients[:p]
        numbers_out[response, 0] = criterion
        numbers_out[response, 1] = rss
        numbers_out[response, 2] = shift
        numbers_out[response, 3] = scale
        numbers_out[response, 4] = evaluations
        numbers_out[response, 5] = 1.0 if converged else 0.0
