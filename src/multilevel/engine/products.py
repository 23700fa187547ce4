"""Cross-products of a design: everything a fit needs of the rows, computed once.

After this no step of a fit touches the rows again. The cross-products of the chain's blocks are held level
by level; what stays dense is held as one symmetric matrix (dense random effects, X, y).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multilevel.data.memory import require_memory
from multilevel.engine.accumulate import (
    cross_products,
    dense_cross_products,
    level_products,
    rows_by_level,
    total_products,
)
from multilevel.engine.columns import ColumnMoments, ColumnScaling, column_moments
from multilevel.engine.layout import ChainLayout, LevelPattern, ProductShape, product_shape
from multilevel.engine.magnitudes import check_magnitudes, check_weights
from multilevel.engine.plan import Block, Plan, make_plan
from multilevel.engine.related_levels import relate_chain, relate_dense
from multilevel.engine.signal import ROUNDS, is_rounding, strong_part, warn_of_rounded_response
from multilevel.engine.threads import hears_interrupts
from multilevel.errors import ControlError
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DENSE_COPIES = 5
"""Matrices of the dense part's size that are alive at once during a step of the fit."""

CHAIN_COPIES = 3
"""Copies of the chain's numbers that are alive at once."""


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """The cross-products of a design, by blocks, in the engine's columns.

    Attributes
    ----------
    plan
        The order of elimination.
    fixed
        Scaling of the fixed-effects columns.
    response_shift, response_scale
        The engine's response is ``(y − offset − shift − signal) · scale``.
    layout
        Where the chain's numbers stand.
    diagonal, tail, values
        The chain's numbers (see `ChainLayout`).
    dense
        Products of the dense random effects, X and y with one another: symmetric, lower triangle filled.
    nobs
        Number of rows.
    log_weights
        Σ log w, 0 without weights.
    signal
        Coefficients, in the engine's fixed-effects columns and the response's units, of what was taken off the response (see
        `multilevel.engine.signal`), or None.
    """

    plan: Plan
    fixed: ColumnScaling
    response_shift: float
    response_scale: float
    layout: ChainLayout
    diagonal: FloatArray
    tail: FloatArray
    values: FloatArray
    dense: FloatArray
    nobs: int
    log_weights: float
    signal: FloatArray | None = None

    @property
    def n_fixed(self) -> int:
        """Number of fixed-effects columns p."""
        return int(self.fixed.places.size)

    @property
    def n_dense(self) -> int:
        """Number of random effects in the dense matrix."""
        return int(self.dense.shape[0]) - self.n_fixed - 1

    @property
    def steps(self) -> float:
        """About how many elementary steps an elimination and a factorisation take."""
        order = float(self.dense.shape[0])
        return self.values.size * order + order**3

    def rows_of(self, block: int, chain: FloatArray, dense: FloatArray) -> FloatArray:
        """Return a block's rows, a view, of numbers held by random effect: the chain's in one array, the dense ones in another."""
        found = self.plan.blocks[block]
        if block < self.plan.depth:
            at = int(self.layout.effects_at[block])
            return chain[at : at + found.size * found.n_levels]
        at = self.plan.dense_offsets()[block - self.plan.depth]
        return dense[at : at + found.size * found.n_levels]

    def user_fixed_effects(self, coefficients: FloatArray) -> FloatArray:
        """Return the fixed effects in the user's columns and units from those of the engine's."""
        to_user = self.fixed.to_user()
        beta: FloatArray = to_user @ coefficients / self.response_scale
        if self.signal is not None:
            beta += to_user @ self.signal
        if self.fixed.constant >= 0:
            beta[self.fixed.constant] += self.response_shift
        return beta

    def engine_response(self, columns: FloatArray) -> FloatArray:
        """Return the engine's response of the rows in `columns`, the offset taken off the last of these."""
        response = columns[:, -1] - self.response_shift
        if self.signal is not None:
            response -= self.fixed.linear(columns, self.signal)
        response *= self.response_scale
        return response


def engine_columns(design: Design) -> FloatArray:
    """Return the design's columns with the offset taken off the response."""
    if design.offset is None:
        # A design that was saved without its rows says so here.
        return np.asarray(design.columns)
    columns = design.columns.copy(order="F")
    columns[:, -1] -= design.offset
    columns.flags.writeable = False
    return columns


def check_memory(plan: Plan, order: int) -> None:
    """Refuse a model that would not fit into memory, before anything is allocated."""
    names = ", ".join(f"{block.factor.name} ({block.n_levels} levels)" for block in plan.blocks[plan.depth :])
    require_memory(
        DENSE_COPIES * 8.0 * order**2,
        f"The crossed grouping factors leave {plan.n_dense} random effects of {names} in one dense matrix"
        if names
        else f"The fixed effects have a dense matrix of {order} rows",
        "drop a factor or merge rare levels",
    )
    right = order - plan.n_dense
    for i, block in enumerate(plan.blocks[: plan.depth]):
        width = sum(other.size for other in plan.blocks[i : plan.depth]) + right
        require_memory(
            CHAIN_COPIES * 8.0 * block.n_levels * block.size * width,
            f"The {block.size} random effects of each of the {block.n_levels} levels of {block.factor.name} and the fixed effects"
            f" have {block.n_levels * block.size * width} cross-products",
            "use fewer columns left of the bar or in the fixed part",
        )


def cross_products_of(design: Design) -> CrossProducts:
    """Pass over the rows of a design and add up all products that a fit needs."""
    if design.residual is not None:
        raise ControlError("This is not available for models with a residual structure (var_ident, cor_ar1, cor_car1).")
    columns = engine_columns(design)
    weights = np.empty(0) if design.weights is None else np.ascontiguousarray(design.weights)
    basis = engine_basis(design, columns, weights)
    shape = product_shape(basis.plan, basis.right.places.size)
    numbers = accumulate_products(basis.plan, shape, columns, basis.right, weights)
    q = basis.plan.n_dense
    reduced, columns = basis.without_signal(numbers.dense[q:, q:], columns, weights, design.y)
    if reduced is not basis:
        basis = reduced
        numbers = accumulate_products(basis.plan, shape, columns, basis.right, weights)
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    return basis.products(shape, numbers, int(columns.shape[0]), log_weights)


class ProductNumbers(NamedTuple):
    """The numbers of cross-products: the dense matrix's and the chain's (see `CrossProducts`)."""

    dense: FloatArray
    diagonal: FloatArray
    tail: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class EngineBasis:
    """The plan of a design and the scaling of its columns.

    Attributes
    ----------
    plan
        The order of elimination.
    fixed
        Scaling of the fixed-effects columns.
    right
        Scaling of the fixed-effects columns and the response (as it stands in the columns that are added up).
    response_shift
        What is taken off the response beside the signal.
    signal
        See `CrossProducts`.
    """

    plan: Plan
    fixed: ColumnScaling
    right: ColumnScaling
    response_shift: float
    signal: FloatArray | None = None

    def products(self, shape: ProductShape, numbers: ProductNumbers, nobs: int, log_weights: float) -> CrossProducts:
        """Put cross-products together."""
        return CrossProducts(
            self.plan,
            self.fixed,
            self.response_shift,
            float(self.right.scale[-1]),
            shape.layout,
            numbers.diagonal,
            numbers.tail,
            numbers.values,
            numbers.dense,
            nobs,
            log_weights,
            self.signal,
        )

    def without_signal(
        self, gram: FloatArray, columns: FloatArray, weights: FloatArray, response: FloatArray
    ) -> tuple[EngineBasis, FloatArray]:
        """Take off the response what the fixed effects explain of it, where that is nearly all.

        Parameters
        ----------
        gram
            Products of X and y, lower triangle.
        columns
            The columns that were added up.
        weights
            The prior weights, or none.
        response
            The response as the data have it.

        Returns
        -------
        basis, columns
            Those to add up instead, or the same.
        """
        basis, left = self, columns
        for _ in range(ROUNDS):
            coefficients = strong_part(gram)
            if coefficients is None:
                break
            right = basis.right
            own = coefficients / right.scale[-1]
            rest = left[:, -1] - right.shift[-1] - basis.fixed.linear(left, own)
            left = columns.copy(order="F")
            left[:, -1] = rest
            moments = column_moments(left[:, -1:], weights)
            size = float(np.hypot(moments.mean[0], moments.spread[0]))
            if not size > 0.0:
                return self, columns
            shift, scale = right.shift.copy(), right.scale.copy()
            shift[-1], scale[-1] = 0.0, moments.unit / size
            signal = own if basis.signal is None else basis.signal + own
            basis = replace(basis, right=replace(right, shift=shift, scale=scale), signal=signal)
            gram = np.zeros_like(gram)
            total_products(left, right.places, shift, scale, weights, gram)
        if basis is not self:
            largest, rest = float(np.abs(response).max()), left[:, -1]
            # Without the weights: a row of great weight may be fitted exactly.
            size = largest * float(np.sqrt(np.mean((rest / largest) ** 2)))
            if is_rounding(size, largest, self.fixed.places.size):
                return self, columns
            warn_of_rounded_response(size, largest)
        return basis, left


def engine_basis(design: Design, columns: FloatArray, weights: FloatArray) -> EngineBasis:
    """Plan the elimination and choose the engine's columns; refuse what memory does not hold."""
    moments = column_moments(columns, weights)
    check_magnitudes(design, moments)
    check_weights(design.weights)
    plan = make_plan(design, moments)
    fixed = moments.scaling(tuple(range(design.n_fixed)), centre=True)
    shift, scale = _response_scaling(moments, fixed)
    if not weights.size:
        warn_of_rounded_response(float(moments.spread[-1]), abs(shift))
    right = ColumnScaling(
        np.append(fixed.places, columns.shape[1] - 1), np.append(fixed.shift, shift), np.append(fixed.scale, scale), -1
    )
    check_memory(plan, plan.n_dense + right.places.size)
    return EngineBasis(plan, fixed, right, shift)


def _row_steps(
    plan: Plan, _shape: ProductShape, columns: FloatArray, right: ColumnScaling, _weights: FloatArray
) -> float:
    # Memory that is touched for the first time costs more than a sum.
    touched = 10.0 * float(plan.n_dense + right.places.size) ** 2
    return touched + float(columns.shape[0]) * float(right.places.size + sum(block.size for block in plan.blocks)) ** 2


@hears_interrupts(_row_steps)
def accumulate_products(
    plan: Plan, shape: ProductShape, columns: FloatArray, right: ColumnScaling, weights: FloatArray
) -> ProductNumbers:
    """Add up the products of the rows in `columns`, whose levels the plan's factors hold; all levels need not occur."""
    q, width = plan.n_dense, right.places.size
    dense = np.zeros((q + width, q + width))
    total_products(columns, right.places, right.shift, right.scale, weights, dense[q:, q:])
    _dense_blocks(plan, columns, right, weights, dense)
    diagonal, tail, values = _chain_products(plan, shape, columns, right, weights)
    if any(block.factor.relation is not None for block in plan.blocks):
        dense = relate_dense(plan, dense)
        relate_chain(plan, shape, values)
    return ProductNumbers(dense, diagonal, tail, values)


def _response_scaling(moments: ColumnMoments, fixed: ColumnScaling) -> tuple[float, float]:
    mean, spread = float(moments.mean[-1]), float(moments.spread[-1])
    if fixed.constant >= 0:
        return mean, moments.unit / spread if spread > 0 else moments.unit
    size = float(np.hypot(mean, spread))
    return 0.0, moments.unit / size if size > 0 else moments.unit


def _dense_blocks(
    plan: Plan, columns: FloatArray, right: ColumnScaling, weights: FloatArray, dense: FloatArray
) -> None:
    """Fill the rows and columns of the dense random effects (lower triangle)."""
    offsets = plan.dense_offsets()
    blocks = plan.blocks[plan.depth :]
    q = plan.n_dense
    everything = np.zeros(columns.shape[0], dtype=np.int32) if blocks else np.empty(0, dtype=np.int32)
    for a, block in enumerate(blocks):
        for b in range(a + 1):
            dense_cross_products(
                columns,
                block.factor.codes,
                *_scaling(block.columns),
                offsets[a],
                blocks[b].factor.codes,
                *_scaling(blocks[b].columns),
                offsets[b],
                weights,
                dense,
            )
        dense_cross_products(
            columns,
            everything,
            *_scaling(right),
            q,
            block.factor.codes,
            *_scaling(block.columns),
            offsets[a],
            weights,
            dense,
        )


def _scaling(columns: ColumnScaling) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    return columns.places, columns.shift, columns.scale


def _chain_products(
    plan: Plan, shape: ProductShape, columns: FloatArray, right: ColumnScaling, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Add up the products of the chain."""
    chain, depth, q = plan.blocks[: plan.depth], plan.depth, plan.n_dense
    layout, patterns = shape.layout, shape.patterns
    levels, sizes, ahead = layout.levels, layout.sizes, layout.ahead
    diagonal_at, tail_at, values_at = layout.diagonal_at, layout.tail_at, layout.values_at
    diagonal = np.zeros(int((levels * sizes**2).sum()))
    tail = np.zeros(int((levels * sizes * ahead).sum()))
    values = np.zeros(int(sum(k * pattern.indptr[-1] for k, pattern in zip(sizes, patterns, strict=True))))
    for i, block in enumerate(chain):
        own = _scaling(block.columns)
        codes = block.factor.codes
        out = diagonal[diagonal_at[i] : diagonal_at[i] + levels[i] * sizes[i] ** 2]
        level_products(columns, codes, *own, *own, weights, out.reshape(levels[i], sizes[i], sizes[i]))
        if depth > i + 1:
            later = [_scaling(b.columns) for b in chain[i + 1 :]]
            merged = tuple(np.concatenate(part) for part in zip(*later, strict=True))
            out = tail[tail_at[i] : tail_at[i] + levels[i] * sizes[i] * ahead[i]]
            level_products(columns, codes, *own, *merged, weights, out.reshape(levels[i], sizes[i], ahead[i]))
        out = values[values_at[i] : values_at[i] + sizes[i] * patterns[i].indptr[-1]]
        if q == 0:
            level_products(columns, codes, *own, *_scaling(right), weights, out.reshape(levels[i], sizes[i], -1))
        else:
            _sparse_products(plan, block, patterns[i], columns, right, weights, out)

    return diagonal, tail, values


def _sparse_products(
    plan: Plan,
    block: Block,
    pattern: LevelPattern,
    columns: FloatArray,
    right: ColumnScaling,
    weights: FloatArray,
    values: FloatArray,
) -> None:
    """Add the products of a chain block with the dense blocks and with X and y."""
    own = _scaling(block.columns)
    start, order = pattern.start, pattern.order
    if block.factor.codes.size != order.size:
        start, order = rows_by_level(block.factor.codes, block.n_levels)
    for (pair_start, pair_level), within, other in zip(
        pattern.pairs, pattern.within[:-1], plan.blocks[plan.depth :], strict=True
    ):
        cross_products(
            columns,
            start,
            order,
            other.factor.codes,
            other.n_levels,
            *own,
            *_scaling(other.columns),
            weights,
            pair_start,
            pair_level,
            pattern.indptr,
            within,
            0,
            values,
        )
    k, width = block.size, right.places.size
    sums = np.zeros((block.n_levels, k, width))
    level_products(columns, block.factor.codes, *own, *_scaling(right), weights, sums)
    counts = np.diff(pattern.indptr)
    for a in range(k):
        at = k * pattern.indptr[:-1] + a * counts + pattern.within[-1]
        for c in range(width):
            values[at + c] = sums[:, a, c]
