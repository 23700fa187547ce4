"""Starting values from moments of the ordinary least squares residuals.

For level j of a factor and a column z with Σz² = a_j within the level, the sum Σ z·r of the residuals has a variance of about
a_j²τ² + a_j(s² − τ²), where τ² is the column's variance component and s² the total variance; summed over levels this gives τ²
without iteration; products of two columns give the covariances in the same way. A factor nested in others carries their
components too, which are taken off. The result is a rough guess, which is all that is asked of it.
"""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt

from multilevel.engine.products import CrossProducts

FloatArray = npt.NDArray[np.float64]

_MANY_COLUMNS = 400

SMALLEST, LARGEST = 0.1, 10.0
"""Starting values are kept within these bounds, well away from the stationary point at zero."""


def _solved(gram: FloatArray, right: FloatArray) -> FloatArray:
    """Solve the normal equations; by singular values, which cost much of many columns, only where that is needed or cheap."""
    if len(gram) > _MANY_COLUMNS:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        with contextlib.suppress(LinAlgError):
            return np.asarray(cho_solve(cho_factor(gram), right))
    return np.asarray(np.linalg.lstsq(gram, right, rcond=None)[0])


def starting_values(products: CrossProducts) -> FloatArray:
    """Return φ with relative covariances estimated by moments."""
    plan, layout = products.plan, products.layout
    p, q = products.n_fixed, products.n_dense
    fixed = products.dense[q:, q:]
    coefficients = np.ones(p + 1)
    if p:
        gram = np.tril(fixed[:p, :p])
        gram = gram + np.tril(gram, -1).T
        coefficients[:p] = -_solved(gram, fixed[p, :p])
    total = float(fixed[p, p] + fixed[p, :p] @ coefficients[:p]) / max(products.nobs - p, 1)
    if not total > 0:
        return plan.parameters.start()

    components: list[FloatArray] = []
    for i, block in enumerate(plan.blocks):
        k, levels = block.size, block.n_levels
        if i < plan.depth:
            at = int(layout.diagonal_at[i])
            own = products.diagonal[at : at + levels * k * k].reshape(levels, k, k).sum(axis=0)
            squares = products.diagonal[at : at + levels * k * k].reshape(levels, k * k)[:, :: k + 1]
            indptr = layout.indptr[layout.indptr_at[i] : layout.indptr_at[i] + levels + 1]
            first = int(layout.values_at[i])
            if q == 0:
                rows = products.values[first : first + levels * k * (p + 1)].reshape(levels, k, p + 1)
            else:
                count = np.diff(indptr)
                ends = first + k * indptr[:-1, None] + (np.arange(k) + 1) * count[:, None]
                rows = products.values[ends[:, :, None] + np.arange(-p - 1, 0)]
            scores = rows @ coefficients
        else:
            offset = plan.dense_offsets()[i - plan.depth]
            inside = slice(offset, offset + levels * k)
            squares = np.diag(products.dense)[inside].reshape(levels, k)
            own = np.diag(squares.sum(axis=0))
            scores = (coefficients @ products.dense[q:, inside]).reshape(levels, k)
        above = squares.T @ squares
        np.fill_diagonal(above, np.diag(above) - squares.sum(axis=0))
        found = (scores.T @ scores - total * own) / np.where(above > 0, above, 1.0)
        components.append(np.where(above > 0, found, 0.1 * total * np.eye(k)))
    for i in range(plan.depth - 1):
        # A class mean varies with its school: only what it varies beyond that is the class's own.
        components[i] = components[i].copy()
        components[i][0, 0] -= max(components[i + 1][0, 0], 0.0)
    explained = sum(float(np.clip(np.diag(c), 0.0, total).sum()) for c in components)
    residual = max(total - explained, 0.1 * total)
    result = plan.parameters.start()
    for term, place in zip(plan.parameters.terms, plan.parameters.slices(), strict=True):
        inside = slice(term.offset, term.offset + term.structure.size)
        relative = components[term.block][inside, inside] / residual
        result[place] = term.structure.nearest(relative, SMALLEST, LARGEST)
    return result
