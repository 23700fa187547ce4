"""Cross-products in independent coordinates of random effects whose levels are related.

With K = LLᵀ the relationships of the levels, b = (L ⊗ I)b* has independent b*: cross-products with b become cross-products with b*.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dtrtri

from multilevel.engine.layout import LevelPattern, ProductShape
from multilevel.engine.plan import Plan

FloatArray = npt.NDArray[np.float64]

LEVELS_AT_ONCE = 500
"""Levels of the chain whose products with related levels are transformed together."""


def relate_rows(lower: FloatArray, rows: FloatArray, size: int, *, transpose: bool) -> FloatArray:
    """Return (L ⊗ I)x, or (Lᵀ ⊗ I)x, of the columns of x, whose rows are levels with `size` numbers each."""
    factor = lower.T if transpose else lower
    result: FloatArray = np.dot(factor, rows.reshape(lower.shape[0], -1)).reshape(rows.shape)
    assert rows.shape[0] == size * lower.shape[0]
    return result


def relate_dense(plan: Plan, dense: FloatArray) -> FloatArray:
    """Return the dense products with random effects b = (L ⊗ I)b* of related levels replaced by the independent b*."""
    whole = np.tril(dense)
    whole = whole + np.tril(whole, -1).T
    _relate_both_sides(plan, whole, transpose=True)
    return whole


def related_covariance(plan: Plan, independent: FloatArray) -> FloatArray:
    """Return the covariance of the dense random effects b and the fixed effects, given that of b* and the fixed effects."""
    whole = independent.copy()
    _relate_both_sides(plan, whole, transpose=False)
    return whole


def related_draws(plan: Plan, draws: FloatArray) -> FloatArray:
    """Return draws of the dense random effects b and the fixed effects, a column each, given those of b*."""
    result = draws.copy()
    for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
        if block.factor.relation is not None:
            inside = slice(offset, offset + block.size * block.n_levels)
            result[inside] = relate_rows(block.factor.relation.lower, result[inside], block.size, transpose=False)
    return result


def _relate_both_sides(plan: Plan, whole: FloatArray, *, transpose: bool) -> None:
    for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
        if block.factor.relation is None:
            continue
        inside = slice(offset, offset + block.size * block.n_levels)
        lower = block.factor.relation.lower
        whole[inside] = relate_rows(lower, whole[inside], block.size, transpose=transpose)
        whole[:, inside] = relate_rows(
            lower, np.ascontiguousarray(whole[:, inside].T), block.size, transpose=transpose
        ).T


def relate_chain(plan: Plan, shape: ProductShape, values: FloatArray, *, back: bool = False) -> None:
    """Replace the chain's products with dense random effects b by those with b*, in place, or the reverse (`back`)."""
    for i, pattern in enumerate(shape.patterns):
        at = int(shape.layout.values_at[i])
        own = values[at : at + plan.blocks[i].size * int(pattern.indptr[-1])]
        _relate_values(plan, plan.blocks[i].size, pattern, own, back)


def _relate_values(plan: Plan, k: int, pattern: LevelPattern, values: FloatArray, back: bool) -> None:
    """Do so for one chain block, whose levels all meet all related levels."""
    counts = np.diff(pattern.indptr)
    starts = (k * pattern.indptr[:-1])[:, None] + np.arange(k) * counts[:, None]
    for block, within in zip(plan.blocks[plan.depth :], pattern.within[:-1], strict=True):
        if block.factor.relation is None:
            continue
        lower = block.factor.relation.lower
        if back:
            lower = np.ascontiguousarray(dtrtri(lower, lower=1)[0])
        columns = np.arange(block.size * block.n_levels)
        for first in range(0, counts.size, LEVELS_AT_ONCE):
            part = slice(first, first + LEVELS_AT_ONCE)
            at = ((starts + within[:, None])[part].ravel()[:, None] + columns).ravel()
            rows = values[at].reshape(-1, columns.size)
            moved = relate_rows(lower, np.ascontiguousarray(rows.T), block.size, transpose=True)
            values[at] = moved.T.ravel()
