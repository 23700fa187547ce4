"""The problem with one linear combination of the fixed effects held at a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multilevel.engine.columns import ColumnScaling
from multilevel.engine.products import CrossProducts, EngineBasis, ProductNumbers
from multilevel.engine.whitening import ResidualModel, WhitenedProducts

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConstrainedProducts:
    """Cross-products with the fixed effects restricted to ℓᵀβ = w, for any w.

    With T a basis of the fixed effects that leave the combination alone and x₀ the column along it, the columns are XT and the
    response is y − w·x₀: cross-products of both follow from those at hand, without the rows.

    Attributes
    ----------
    base
        Cross-products with the columns XT and the response itself.
    values_slope, dense_slope, dense_curvature
        How the response's products change with −w (those with the chain, those in the dense matrix, and the square of x₀).
    response_places
        Where the response's products stand in `base.values`.
    basis, direction
        T and the coefficients of x₀ (both in the engine's columns).
    """

    base: CrossProducts
    values_slope: FloatArray
    dense_slope: FloatArray
    dense_curvature: float
    response_places: npt.NDArray[np.int64]
    basis: FloatArray
    direction: FloatArray

    def at(self, value: float) -> CrossProducts:
        """Return the cross-products with the combination held at a value (in the engine's units)."""
        values = self.base.values.copy()
        values[self.response_places] -= value * self.values_slope
        dense = self.base.dense.copy()
        last = dense.shape[0] - 1
        square = dense[last, last] - 2.0 * value * self.dense_slope[last] + value**2 * self.dense_curvature
        dense[last, :] -= value * self.dense_slope
        dense[last, last] = square
        return replace(self.base, values=values, dense=dense)


def constrain(products: CrossProducts, contrast: FloatArray) -> ConstrainedProducts:
    """Restrict the fixed effects so that contrastᵀβ (in the engine's columns) is held."""
    p, q = products.n_fixed, products.n_dense
    layout = products.layout
    direction = contrast / float(contrast @ contrast)
    basis = np.linalg.svd(contrast[None, :])[2][1:].T if p > 1 else np.zeros((1, 0))
    # X y → XT x₀ y, after which the column of x₀ is taken out.
    turn = np.zeros((p + 1, p + 1))
    turn[:p, 0] = direction
    turn[:p, 1:p] = basis
    turn[p, p] = 1.0

    places = []
    slopes = []
    parts = []
    keep_entries = []
    values_at = np.zeros_like(layout.values_at)
    total = 0
    for i in range(len(layout.levels)):
        levels, k = int(layout.levels[i]), int(layout.sizes[i])
        indptr = layout.indptr[layout.indptr_at[i] : layout.indptr_at[i] + levels + 1]
        counts = np.diff(indptr)
        own = products.values[layout.values_at[i] : layout.values_at[i] + k * indptr[-1]].copy()
        ends = k * indptr[:-1, None] + (np.arange(k) + 1) * counts[:, None]
        tail = ends[:, :, None] + np.arange(-p - 1, 0)
        turned = own[tail] @ turn
        own[tail] = turned
        slopes.append(turned[:, :, 0].ravel())
        keep = np.ones(own.size, dtype=np.bool_)
        keep[tail[:, :, 0]] = False
        parts.append(own[keep])
        values_at[i] = total
        total += parts[-1].size
        new_ends = k * (indptr[:-1] - np.arange(levels))[:, None] + (np.arange(k) + 1) * (counts - 1)[:, None]
        places.append((values_at[i] + new_ends - 1).ravel())
        entries = np.ones(int(indptr[-1]), dtype=np.bool_)
        entries[indptr[1:] - p - 1] = False
        keep_entries.append(entries)

    whole = np.tril(products.dense)
    whole = whole + np.tril(whole, -1).T
    moved = whole.copy()
    moved[:, q:] = whole[:, q:] @ turn
    moved[q:, :] = turn.T @ moved[q:, :]
    others = np.r_[0:q, q + 1 : q + p + 1]
    scaling = ColumnScaling(np.arange(p - 1), np.zeros(p - 1), np.ones(p - 1), -1)

    indptr_parts, column_parts = [], []
    for i, entries in enumerate(keep_entries):
        levels = int(layout.levels[i])
        indptr = layout.indptr[layout.indptr_at[i] : layout.indptr_at[i] + levels + 1]
        columns = layout.column[layout.index_at[i] : layout.index_at[i] + indptr[-1]][entries]
        indptr_parts.append(indptr - np.arange(levels + 1))
        column_parts.append(np.where(columns > q, columns - 1, columns).astype(np.int32))
    position = layout.position.copy()
    position_at = layout.position_at.copy()
    position_parts = []
    filled = 0
    depth = len(layout.levels)
    for i in range(depth):
        size = keep_entries[i].size
        fixed_entry = layout.column[layout.index_at[i] : layout.index_at[i] + size] > q
        for other in range(i + 1, depth):
            at = int(layout.position_at[i, other])
            old = position[at : at + size]
            new = np.where(fixed_entry, old - 1, old)[keep_entries[i]].astype(np.int32)
            position_at[i, other] = filled
            position_parts.append(new)
            filled += new.size
    new_layout = layout._replace(
        indptr=np.concatenate([np.empty(0, np.int64), *indptr_parts]),
        column=np.concatenate([np.empty(0, np.int32), *column_parts]),
        index_at=np.concatenate([[0], np.cumsum([c.size for c in column_parts])])[:-1].astype(np.int64),
        values_at=values_at,
        position=np.concatenate(position_parts) if position_parts else position,
        position_at=position_at,
    )
    base = replace(
        products,
        fixed=scaling,
        layout=new_layout,
        values=np.concatenate([np.empty(0), *parts]),
        dense=np.ascontiguousarray(moved[np.ix_(others, others)]),
    )
    return ConstrainedProducts(
        base,
        np.concatenate([np.empty(0), *slopes]),
        moved[others, q],
        float(moved[q, q]),
        np.concatenate([np.empty(0), *places]).astype(np.int64),
        basis,
        direction,
    )


@dataclass(frozen=True, slots=True)
class ConstrainedWhitened:
    """Cross-products of whitened rows with the fixed effects restricted to ℓᵀβ = w, as a function of the residual parameters.

    What `constrain` does to cross-products is linear in them, so it does the same to their derivatives.

    Attributes
    ----------
    whitened
        Those without the restriction.
    contrast
        ℓ, in the engine's columns.
    value
        w, in the engine's units.
    """

    whitened: WhitenedProducts
    contrast: FloatArray
    value: float

    @property
    def model(self) -> ResidualModel:
        """The residual parameters."""
        return self.whitened.model

    @property
    def basis(self) -> EngineBasis:
        """The plan and the engine's columns."""
        return self.whitened.basis

    @property
    def reference(self) -> CrossProducts:
        """The cross-products at the starting values."""
        return self._restricted(self.whitened.reference)

    def at(self, delta: FloatArray) -> CrossProducts:
        """Return the cross-products of the whitened rows."""
        return self._restricted(self.whitened.at(delta))

    def slopes(self, delta: FloatArray) -> list[ProductNumbers]:
        """Return the derivatives of the cross-products with respect to each parameter."""
        whole = self.whitened.at(delta)
        found = []
        for dots in self.whitened.slopes(delta):
            own = self._restricted(replace(whole, **dots._asdict()))
            found.append(ProductNumbers(own.dense, own.diagonal, own.tail, own.values))
        return found

    def _restricted(self, products: CrossProducts) -> CrossProducts:
        return constrain(products, self.contrast).at(self.value)
