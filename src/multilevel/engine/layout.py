"""Where the numbers of the chain's cross-products stand, and which columns of the dense matrix its levels meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multilevel.engine.accumulate import rows_by_level, shared_levels
from multilevel.engine.plan import Block, Plan

IntArray = npt.NDArray[np.int64]


class ChainLayout(NamedTuple):
    """Where the numbers of the chain's blocks stand in flat arrays (all offsets in elements).

    For stage i, level j (k columns, `ahead[i]` columns of later stages of the chain):

    * the diagonal block, k × k, at ``diagonal_at[i] + j·k²``;
    * the products with its ancestors in the chain, k × ahead, at ``tail_at[i] + j·k·ahead``; those with stage i' begin
      at column ``ahead_column[i, i']``;
    * the products with the columns of the dense matrix listed in ``column[index_at[i] + indptr[j] …]``, k rows of them,
      at ``values_at[i] + k·indptr[j]``, where indptr begins at ``indptr_at[i]``;
    * its level in stage i', at ``parent[parent_at[i, i'] + j]``;
    * for each of its listed columns, the position of that column in its ancestor's list, at
      ``position[position_at[i, i'] + indptr[j] …]``.
    """

    levels: IntArray
    sizes: IntArray
    ahead: IntArray
    diagonal_at: IntArray
    tail_at: IntArray
    indptr_at: IntArray
    indptr: IntArray
    index_at: IntArray
    column: npt.NDArray[np.int32]
    values_at: IntArray
    ahead_column: IntArray
    parent_at: IntArray
    parent: npt.NDArray[np.int32]
    position_at: IntArray
    position: npt.NDArray[np.int32]
    factor_at: IntArray
    effects_at: IntArray


@dataclass(frozen=True, slots=True)
class LevelPattern:
    """Which columns of the dense matrix each level of a chain block meets."""

    indptr: IntArray
    index: npt.NDArray[np.int32]
    start: IntArray
    order: npt.NDArray[np.int32]
    pairs: tuple[tuple[IntArray, npt.NDArray[np.int32]], ...]
    within: tuple[IntArray, ...]


@dataclass(frozen=True, slots=True)
class ProductShape:
    """Where the numbers of the chain stand, and which columns of the dense matrix its levels meet."""

    layout: ChainLayout
    patterns: tuple[LevelPattern, ...]


def product_shape(plan: Plan, width: int) -> ProductShape:
    """Lay out the cross-products of a plan with `width` columns of X and y."""
    chain = plan.blocks[: plan.depth]
    depth, q = plan.depth, plan.n_dense
    sizes = np.array([block.size for block in chain], dtype=np.int64)
    levels = np.array([block.n_levels for block in chain], dtype=np.int64)
    ahead = np.array([sizes[i + 1 :].sum() for i in range(depth)], dtype=np.int64)
    ahead_column = np.zeros((depth, depth), dtype=np.int64)
    for i in range(depth):
        for other in range(i + 1, depth):
            ahead_column[i, other] = sizes[i + 1 : other].sum()

    patterns = tuple(_pattern(plan, block, width, q) for block in chain)
    diagonal_at, _ = _cumulative([int(j * k * k) for j, k in zip(levels, sizes, strict=True)])
    tail_at, _ = _cumulative([int(j * k * a) for j, k, a in zip(levels, sizes, ahead, strict=True)])
    values_at, _ = _cumulative([int(k * pattern.indptr[-1]) for k, pattern in zip(sizes, patterns, strict=True)])
    indptr_at, _ = _cumulative([int(j) + 1 for j in levels])
    index_at, _ = _cumulative([pattern.index.size for pattern in patterns])
    factor_at, _ = _cumulative([int(k * k) for k in sizes])
    effects_at, _ = _cumulative([int(j * k) for j, k in zip(levels, sizes, strict=True)])
    parents, parent_at = _flatten_pairs(depth, plan.parents)
    positions = {
        (i, other): _positions(patterns[i], patterns[other], plan.parents[i, other])
        for i in range(depth)
        for other in range(i + 1, depth)
    }
    position, position_at = _flatten_pairs(depth, positions)
    layout = ChainLayout(
        levels,
        sizes,
        ahead,
        diagonal_at,
        tail_at,
        indptr_at,
        np.concatenate([np.empty(0, np.int64), *(p.indptr for p in patterns)]),
        index_at,
        np.concatenate([np.empty(0, np.int32), *(p.index for p in patterns)]),
        values_at,
        ahead_column,
        parent_at,
        parents,
        position_at,
        position,
        factor_at,
        effects_at,
    )
    return ProductShape(layout, patterns)


def _pattern(plan: Plan, block: Block, width: int, q: int) -> LevelPattern:
    n_levels = block.n_levels
    last = np.arange(q, q + width, dtype=np.int32)
    if q == 0:
        indptr = np.arange(n_levels + 1, dtype=np.int64) * width
        return LevelPattern(indptr, np.tile(last, n_levels), np.empty(0, np.int64), np.empty(0, np.int32), (), ())
    start, order = rows_by_level(block.factor.codes, n_levels)
    pairs = []
    within = []
    counts = np.zeros(n_levels, dtype=np.int64)
    dense = plan.blocks[plan.depth :]
    for other in dense:
        if other.factor.relation is None:
            found = shared_levels(start, order, other.factor.codes, other.n_levels)
        else:
            # A level meets all levels that are related to one it meets.
            every = np.arange(other.n_levels, dtype=np.int32)
            found = np.arange(n_levels + 1, dtype=np.int64) * other.n_levels, np.tile(every, n_levels)
        pairs.append(found)
        within.append(counts.copy())
        counts += np.diff(found[0]) * other.size
    within.append(counts.copy())
    counts += width
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    index = np.empty(int(indptr[-1]), dtype=np.int32)
    for (pair_start, pair_level), inside, offset, other in zip(
        pairs, within[:-1], plan.dense_offsets(), dense, strict=True
    ):
        rows = np.repeat(np.arange(n_levels), np.diff(pair_start))
        at = indptr[rows] + inside[rows] + (np.arange(pair_level.size) - pair_start[rows]) * other.size
        for c in range(other.size):
            index[at + c] = offset + pair_level * other.size + c
    for c in range(width):
        index[indptr[:-1] + within[-1] + c] = last[c]
    return LevelPattern(indptr, index, start, order, tuple(pairs), tuple(within))


def _positions(lower: LevelPattern, upper: LevelPattern, parent: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return where each listed column of a level stands in the list of the level's ancestor."""
    rows = np.repeat(np.arange(parent.size), np.diff(lower.indptr))
    largest = int(max(lower.index.max(), upper.index.max())) + 1
    owners = np.repeat(np.arange(upper.indptr.size - 1, dtype=np.int64), np.diff(upper.indptr))
    keys = owners * largest + upper.index
    wanted = parent[rows].astype(np.int64) * largest + lower.index
    result: npt.NDArray[np.int32] = (np.searchsorted(keys, wanted) - upper.indptr[parent[rows]]).astype(np.int32)
    return result


def _flatten_pairs(
    depth: int, arrays: dict[tuple[int, int], npt.NDArray[np.int32]]
) -> tuple[npt.NDArray[np.int32], IntArray]:
    at = np.zeros((depth, depth), dtype=np.int64)
    parts = []
    total = 0
    for key, array in arrays.items():
        at[key] = total
        parts.append(array)
        total += array.size
    return (np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)), at


def _cumulative(counts: list[int]) -> tuple[IntArray, int]:
    ends = np.cumsum([0, *counts])
    return ends[:-1].astype(np.int64), int(ends[-1])
