"""Cross-products in independent coordinates of random effects whose levels are related.

With K = LLᵀ the relationships of the levels, b = (L ⊗ I)b* has independent b*: cross-products with b become cross-products with b*.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.engine.layout import LevelPattern
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
    for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
        if block.factor.relation is None:
            continue
        inside = slice(offset, offset + block.size * block.n_levels)
        lower = block.factor.relation.lower
        whole[inside] = relate_rows(lower, whole[inside], block.size, transpose=True)
        whole[:, inside] = relate_rows(lower, np.ascontiguousarray(whole[:, inside].T), block.size, transpose=True).T
    return whole


def relate_values(plan: Plan, k: int, pattern: LevelPattern, values: FloatArray) -> None:
    """Do the same for the products of one chain block with the dense ones; its levels all meet all related levels."""
    counts = np.diff(pattern.indptr)
    starts = (k * pattern.indptr[:-1])[:, None] + np.arange(k) * counts[:, None]
    for block, within in zip(plan.blocks[plan.depth :], pattern.within[:-1], strict=True):
        if block.factor.relation is None:
            continue
        columns = np.arange(block.size * block.n_levels)
        for first in range(0, counts.size, LEVELS_AT_ONCE):
            part = slice(first, first + LEVELS_AT_ONCE)
            at = ((starts + within[:, None])[part].ravel()[:, None] + columns).ravel()
            rows = values[at].reshape(-1, columns.size)
            moved = relate_rows(block.factor.relation.lower, np.ascontiguousarray(rows.T), block.size, transpose=True)
            values[at] = moved.T.ravel()
