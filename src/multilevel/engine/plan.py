"""The elimination plan: which grouping factors are eliminated level by level, and which stay dense.

The random effects of a grouping factor can be eliminated one level at a time while its block of the
cross-product matrix is block diagonal. That holds for the first factor eliminated, and for a further one
when every level of the one before lies in a single level of it (classes in schools). The factors that are
left (crossed ones) form one dense matrix together with the fixed effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.accumulate import parent_levels
from multilevel.engine.columns import ColumnMoments, ColumnScaling
from multilevel.engine.parameters import Parameters, TermParameters, order_of_terms
from multilevel.engine.structures import structure_of
from multilevel.formula.design import Design, GroupingFactor

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Block:
    """All random-effects columns of one grouping factor.

    Attributes
    ----------
    factor
        The grouping factor.
    columns
        The places, shifts and scales of the columns, term after term.
    terms
        Positions of the terms in `Design.random`.
    """

    factor: GroupingFactor
    columns: ColumnScaling
    terms: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of columns k."""
        return int(self.columns.places.size)

    @property
    def n_levels(self) -> int:
        """Number of levels J."""
        return self.factor.n_levels


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks in the order of elimination, the first `depth` of them a nested chain, the others dense.

    Attributes
    ----------
    blocks
        The blocks, the chain first.
    depth
        Length of the chain.
    parents
        For each pair (i, i') with i < i' < depth, the level of block i' that each level of block i lies in.
    parameters
        Where the covariance parameters live.
    term_order
        Positions in `Design.random` in the order of θ (see `order_of_terms`).
    """

    blocks: tuple[Block, ...]
    depth: int
    parents: dict[tuple[int, int], IntArray]
    parameters: Parameters
    term_order: tuple[int, ...]

    @property
    def n_dense(self) -> int:
        """Number of random effects that stay in the dense part."""
        return sum(block.size * block.n_levels for block in self.blocks[self.depth :])

    def dense_offsets(self) -> tuple[int, ...]:
        """Return the first dense row of each dense block."""
        offsets = [0]
        for block in self.blocks[self.depth :]:
            offsets.append(offsets[-1] + block.size * block.n_levels)
        return tuple(offsets[:-1])


def _chain(factors: list[GroupingFactor], first: int) -> tuple[list[int], dict[tuple[int, int], IntArray]]:
    """Return the chain that begins with one factor, and the parents of its levels.

    Factors whose levels are related to one another cannot be in it: their block is not block diagonal.
    """
    if factors[first].relation is not None:
        return [], {}
    chain = [first]
    parents: dict[tuple[int, int], IntArray] = {}
    for other in range(len(factors)):
        if (
            other == first
            or factors[other].relation is not None
            or factors[other].n_levels > factors[chain[-1]].n_levels
        ):
            continue
        last = factors[chain[-1]]
        parent = parent_levels(last.codes, last.n_levels, factors[other].codes)
        if parent.size == 0:
            continue
        position = len(chain)
        parents[position - 1, position] = parent
        for lower in range(position - 1):
            parents[lower, position] = parent[parents[lower, position - 1]]
        chain.append(other)
    return chain, parents


def make_plan(design: Design, moments: ColumnMoments) -> Plan:
    """Choose the order of elimination that leaves the fewest random effects dense."""
    order = order_of_terms([term.factor.n_levels for term in design.random])
    factors: list[GroupingFactor] = []
    members: list[list[int]] = []
    for t in order:
        factor = design.random[t].factor
        for at, known in enumerate(factors):
            if known is factor or known.name == factor.name:
                members[at].append(t)
                break
        else:
            factors.append(factor)
            members.append([t])

    widths = [sum(len(design.random[t].columns) for t in terms) for terms in members]
    best: tuple[int, list[int], dict[tuple[int, int], IntArray]] | None = None
    for first in range(len(factors)):
        chain, parents = _chain(factors, first)
        left = sum(widths[f] * factors[f].n_levels for f in range(len(factors)) if f not in chain)
        if best is None or left < best[0]:
            best = (left, chain, parents)
        if left == 0:
            break
    assert best is not None  # a design has at least one random term
    _, chain, parents = best
    sequence = chain + [f for f in range(len(factors)) if f not in chain]

    blocks: list[Block] = []
    place_of_term: dict[int, TermParameters] = {}
    for position, f in enumerate(sequence):
        scalings = []
        offset = 0
        for t in members[f]:
            term = design.random[t]
            structure = structure_of(term.structure, len(term.columns))
            scaling = moments.scaling(term.columns, centre=structure.rotates, alike=structure.common_scale)
            scalings.append(scaling)
            place_of_term[t] = TermParameters(structure, position, offset, scaling.to_engine(), scaling.to_user())
            offset += len(term.columns)
        merged = ColumnScaling(
            np.concatenate([s.places for s in scalings]),
            np.concatenate([s.shift for s in scalings]),
            np.concatenate([s.scale for s in scalings]),
            -1,
        )
        blocks.append(Block(factors[f], merged, tuple(members[f])))
    parameters = Parameters(tuple(place_of_term[t] for t in order), tuple(block.size for block in blocks))
    return Plan(tuple(blocks), len(chain), parents, parameters, order)
