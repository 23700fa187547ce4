"""What the factor of a fit says about each row: its leverage, its share in the fixed effects, its element of V⁻¹(y − Xβ)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.accumulate import rows_by_level
from multilevel.engine.factor import BlockedFactor
from multilevel.engine.threads import interruptible, linear_algebra_threads
from multilevel.formula.design import Design
from multilevel.model.residual_structure import refuse_structures
from multilevel.quality.row_kernels import chain_rows, deletion_products, diagonal_rows

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LARGEST_GROUP = 1000
"""Rows of a group that are deleted by way of a matrix of their own size; larger groups are left out of the cross-products."""


@dataclass(frozen=True, slots=True, eq=False)
class RowSolutions:
    """Elements of P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹ by row, with V relative to σ² at the fit's theta.

    Attributes
    ----------
    weights
        Prior weights, ones where there are none.
    diagonal
        Pᵢᵢ, shape (n,). The leverage is 1 − Pᵢᵢ/wᵢ.
    gain
        V⁻¹X(XᵀV⁻¹X)⁻¹, shape (n, p): the derivatives of the fixed effects by each response, in the engine's columns.
    to_user
        What takes fixed effects from the engine's columns to the user's, shape (p, p).
    cholesky
        Lower factor of (XᵀV⁻¹X)⁻¹ in the engine's columns.
    scores
        Py = W(y − Xβ − Zb), shape (n,).
    """

    weights: FloatArray
    diagonal: FloatArray
    gain: FloatArray
    to_user: FloatArray
    cholesky: FloatArray
    scores: FloatArray
    _rows: _DesignRows

    @property
    def leverage(self) -> FloatArray:
        """The derivative of each fitted value by its own response."""
        return 1.0 - self.diagonal / self.weights

    def user_gain(self) -> FloatArray:
        """Return the gain in the user's columns."""
        result: FloatArray = self.gain @ self.to_user.T
        return result

    def deletion_products(self, codes: npt.NDArray[np.int32], n_groups: int) -> tuple[FloatArray, npt.NDArray[np.int8]]:
        """Return [G, Py]ᵀ P_SS⁻¹ [G, Py] over the rows S of each group, G being the gain.

        Returns
        -------
        products : ndarray of shape (groups, p + 1, p + 1)
        state : ndarray of int8
            1 where the fixed effects cannot be estimated without the group, 2 where the group has more rows than `LARGEST_GROUP`.
        """
        rows = self._rows
        vectors = np.column_stack([self.gain, self.scores])
        width = vectors.shape[1]
        products, state = np.zeros((n_groups, width, width)), np.zeros(n_groups, dtype=np.int8)
        # Rows of a level side by side: what they share stays in the cache.
        start, order = rows_by_level(codes, n_groups)
        state[np.diff(start) > LARGEST_GROUP] = 2
        work = functools.partial(
            deletion_products,
            rows.factor.products.layout, rows.factor.values, rows.dense_inverse, rows.codes, rows.own_columns, rows.own_values,
            rows.weights, rows.left, rows.right, vectors, start, order, 0, n_groups, LARGEST_GROUP, products, state,
        )  # fmt: skip
        sizes = np.minimum(np.diff(start), LARGEST_GROUP).astype(np.float64)
        interruptible(work, float((sizes**2).sum()) * (width + rows.dense_inverse.shape[0]))
        return products, state


@dataclass(frozen=True, slots=True, eq=False)
class _DesignRows:
    """The rows of a design as the kernels take them (see `row_kernels`)."""

    factor: BlockedFactor
    dense_inverse: FloatArray
    codes: npt.NDArray[np.int32]
    own_columns: IntArray
    own_values: FloatArray
    weights: FloatArray
    left: FloatArray
    right: FloatArray


def row_solutions(fit: LinearMixedModel) -> RowSolutions:
    """Return what a fit says about its rows, worked out once for each fit."""
    kept: RowSolutions | None = fit.__dict__.get("_row_solutions")
    if kept is None:
        refuse_structures(fit, "What leverage, deletion of rows and standardised residuals rest on")
        kept = _solve_rows(fit)
        fit.__dict__["_row_solutions"] = kept
    return kept


def _solve_rows(fit: LinearMixedModel) -> RowSolutions:
    design, factor = fit._design, fit._engine.model.factor
    order = factor.dense.shape[0]
    with linear_algebra_threads(order, None):
        inverse = np.ascontiguousarray(factor.solve_dense(np.eye(factor.cholesky.shape[0])))
    rows = _design_rows(design, factor, inverse)
    n, p = design.nobs, design.n_fixed
    diagonal, gain = np.empty(n), np.empty((n, p))
    plan, layout = factor.products.plan, factor.products.layout
    ancestors = [plan.parents[0, stage] for stage in range(1, plan.depth)]
    keys: list[npt.NDArray[Any]] = [np.arange(int(layout.levels[0])), *ancestors]
    level_order = np.lexsort(keys)
    start, row_order = rows_by_level(rows.codes[0], int(layout.levels[0]))
    work = functools.partial(
        diagonal_rows,
        layout, factor.values, inverse, p, rows.codes, level_order, start, row_order, rows.own_columns, rows.own_values,
        rows.weights, rows.left, rows.right, diagonal, gain,
    )  # fmt: skip
    interruptible(work, 10.0 * n * order)
    weights = np.ones(n) if design.weights is None else design.weights
    scores = weights * (design.y - fit._fitted_values)
    for array in (diagonal, gain, scores):
        array.flags.writeable = False
    half = np.linalg.inv(np.tril(factor.cholesky[order - 1 - p :, order - 1 - p :])) if p else np.zeros((0, 0))
    cholesky = np.linalg.cholesky(np.asarray(half.T @ half, dtype=np.float64))
    return RowSolutions(weights, diagonal, gain, factor.products.fixed.to_user(), cholesky, scores, rows)


def _design_rows(design: Design, factor: BlockedFactor, inverse: FloatArray) -> _DesignRows:
    products = factor.products
    plan = products.plan
    weights = np.empty(0) if design.weights is None else np.ascontiguousarray(design.weights)
    chain = plan.blocks[: plan.depth]
    codes = np.ascontiguousarray(np.stack([block.factor.codes for block in chain]))
    width = sum(block.size for block in chain)
    left, right = np.empty((design.nobs, width)), np.empty((design.nobs, width))
    chain_rows(
        products.layout,
        factor.chain_flat,
        factor.diagonal,
        factor.tail,
        design.columns,
        codes,
        np.concatenate([block.columns.places for block in chain]),
        np.concatenate([block.columns.shift for block in chain]),
        np.concatenate([block.columns.scale for block in chain]),
        weights,
        left,
        right,
    )
    places: list[FloatArray] = []
    columns: list[IntArray] = []
    n = design.nobs
    for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
        own = block.columns
        places.append((design.columns[:, own.places] - own.shift) * own.scale)
        columns.append(offset + block.factor.codes.astype(np.int64)[:, None] * block.size + np.arange(block.size))
    fixed = products.fixed
    places.append((design.columns[:, fixed.places] - fixed.shift) * fixed.scale)
    columns.append(np.broadcast_to(products.n_dense + np.arange(products.n_fixed), (n, products.n_fixed)))
    return _DesignRows(
        factor,
        inverse,
        codes,
        np.ascontiguousarray(np.concatenate(columns, axis=1, dtype=np.int64)),
        np.ascontiguousarray(np.concatenate(places, axis=1)),
        weights,
        left,
        right,
    )
