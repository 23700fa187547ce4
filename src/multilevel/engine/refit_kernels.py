"""The kernel that fits many responses of a model with a single grouping factor: search, settle what is zero, and on to the next.

What `newton.minimise` decides about one fit is decided here in the same way: small pivots of λ are set to exactly zero where that
does not raise the criterion and its Hessian has no negative curvature there. What a row of the result does not settle is left to
`newton.minimise`.
"""

from __future__ import annotations

import numpy as np

from multilevel.engine.kernel import kernel
from multilevel.engine.parameters import ZERO_PIVOT
from multilevel.engine.single_factor import (
    CURVATURE_TOLERANCE,
    SMALL_PIVOT,
    inverse_from_cholesky,
    search_derivatives,
    search_single_factor,
    solve_single_factor,
)

NEGLIGIBLE = 1e-12
"""A parameter below this is what rounding leaves of a zero."""

ROUNDS = 8
"""How often zeros are tried before a row is left to `newton.minimise`."""


@kernel
def fold_zero_pivots(lam):
    """Carry what stands under a zero pivot to the later columns, λλᵀ kept, and leave no pivot negative."""
    k = lam.shape[0]
    for c in range(k):
        length = 0.0
        for t in range(c + 1):
            length += lam[c, t] * lam[c, t]
        if abs(lam[c, c]) <= ZERO_PIVOT * np.sqrt(length):
            lam[c, c] = 0.0
            for r in range(c + 1, k):
                if lam[r, c] != 0.0:
                    root = np.hypot(lam[r, r], lam[r, c])
                    cosine, sine = lam[r, r] / root, lam[r, c] / root
                    for t in range(r, k):
                        here, moved = lam[t, r], lam[t, c]
                        lam[t, r] = cosine * here + sine * moved
                        lam[t, c] = cosine * moved - sine * here
                    lam[r, c] = 0.0
        elif lam[c, c] < 0.0:
            for t in range(c, k):
                lam[t, c] = -lam[t, c]


@kernel
def with_zeros(phi, group, dots, places, lam, trial):
    """Write the parameters with those of a group at zero, in their canonical form."""
    m, k = dots.shape[0], dots.shape[1]
    lam[:] = 0.0
    for a in range(m):
        if not group[a] and abs(phi[a]) > NEGLIGIBLE:
            for r in range(k):
                for c in range(k):
                    lam[r, c] += phi[a] * dots[a, r, c]
    fold_zero_pivots(lam)
    for a in range(m):
        r, c = places[a, 0], places[a, 1]
        trial[a] = lam[r, c] / dots[a, r, c]


@kernel
def is_minimum(layout, diagonal, values, dots, df, reml, lam, dense, coefficients, rss):
    """Say whether the Hessian has no negative curvature at a point that `solve_single_factor` has left."""
    m, p = dots.shape[0], dense.shape[0] - 1
    inverse, none = np.zeros((p, p)), np.zeros((p, p))
    inverse_from_cholesky(dense, p, inverse)
    gradient, hessian = np.zeros(m), np.zeros((m, m))
    search_derivatives(
        layout.levels[0],
        lam,
        diagonal,
        values,
        dots,
        inverse,
        inverse if reml else none,
        coefficients,
        df / rss,
        rss,
        reml,
        gradient,
        hessian,
    )
    curvature = np.linalg.eigvalsh(hessian)
    return curvature[0] >= -CURVATURE_TOLERANCE * max(1.0, curvature[m - 1])


@kernel
def settle_zeros(
    layout, phi, value, diagonal, tail, values, fixed, dots, pivots, places, df, reml, tolerance, max_evaluations, trace
):
    """Set small pivots to zero where that is a minimum and search on in what is left.

    Writes φ; returns how many more evaluations there were, and whether all is settled.
    """
    m, k = dots.shape[0], dots.shape[1]
    p = fixed.shape[0] - 1
    lam = np.empty((k, k))
    dense = np.empty_like(fixed)
    coefficients = np.ones(p + 1)
    trial = np.empty(m)
    group = np.zeros(m, dtype=np.bool_)
    evaluations = 0
    near = np.zeros(m, dtype=np.bool_)
    for attempt in range(ROUNDS):
        small = 0
        at_zero = False
        for a in range(m):
            # A search that has run into zero itself has not asked whether that is a minimum.
            near[a] = pivots[a] and abs(phi[a]) < SMALL_PIVOT and (attempt == 0 or phi[a] != 0.0)
            small += near[a]
            at_zero = at_zero or (near[a] and phi[a] == 0.0)
        if small == 0:
            return evaluations, True
        found = False
        # all of them at once, then one after another
        for which in range(-1, m if small > 1 else 0):
            if which >= 0 and not near[which]:
                continue
            for a in range(m):
                group[a] = near[a] and (which < 0 or which == a)
            with_zeros(phi, group, dots, places, lam, trial)
            new_value, rss = solve_single_factor(
                layout, trial, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients
            )
            evaluations += 1
            if not new_value <= value + max(tolerance, 1e-13 * abs(value)):
                continue
            if not is_minimum(layout, diagonal, values, dots, df, reml, lam, dense, coefficients, rss):
                continue
            found = True
            phi[:] = trial
            value = new_value
            break
        if not found and at_zero:
            return evaluations, False
        if not found:
            # Zero is not the optimum: only the last digits are wanting, where the criterion is flat.
            end, more, _, converged = search_single_factor(
                layout, diagonal, tail, values, fixed, dots, df, reml, phi, 1e-4 * tolerance, max_evaluations, trace
            )
            phi[:] = end
            # A saddle is flat too.
            _, rss = solve_single_factor(
                layout, phi, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients
            )
            settled = converged and is_minimum(layout, diagonal, values, dots, df, reml, lam, dense, coefficients, rss)
            return evaluations + more + 1, settled
        # What stands in a column of zeros stays zero: neither gradient nor Hessian joins it to the rest.
        count = 0
        for a in range(m):
            group[a] = False
            for r in range(k):
                if lam[r, places[a, 1]] != 0.0:
                    group[a] = True
            count += group[a]
        if count == 0:
            return evaluations, True
        free = np.flatnonzero(group)
        end, more, _, converged = search_single_factor(
            layout,
            diagonal,
            tail,
            values,
            fixed,
            dots[free],
            df,
            reml,
            phi[free],
            1e-4 * tolerance,
            max_evaluations,
            trace,
        )
        evaluations += more
        if not converged:
            return evaluations, False
        for a in range(free.shape[0]):
            phi[free[a]] = end[a] if abs(end[a]) > NEGLIGIBLE else 0.0
        value, rss = solve_single_factor(
            layout, phi, diagonal, tail, values, fixed, dots, df, reml, lam, dense, coefficients
        )
        evaluations += 1
        if not is_minimum(layout, diagonal, values, dots, df, reml, lam, dense, coefficients, rss):
            return evaluations, False
    return evaluations, False


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
    pivots,
    places,
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
    whether all is settled; `coefficients_out` receives −β in the engine's columns.
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
        scale = np.sqrt(n / square) if square > 0.0 else 1.0
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
        phi, evaluations, _, settled = search_single_factor(
            layout, diagonal, tail, own, gram, dots, df, reml, start, tolerance, max_evaluations, trace
        )
        criterion, rss = solve_single_factor(
            layout, phi, diagonal, tail, own, gram, dots, df, reml, lam, dense, coefficients
        )
        if settled:
            more, settled = settle_zeros(
                layout,
                phi,
                criterion,
                diagonal,
                tail,
                own,
                gram,
                dots,
                pivots,
                places,
                df,
                reml,
                tolerance,
                max_evaluations,
                trace,
            )
            evaluations += more
            if more > 0:
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
        numbers_out[response, 5] = 1.0 if settled else 0.0
