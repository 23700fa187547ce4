"""The blocked factorisation of the penalized least squares problem at given covariance parameters.

The chain's levels are eliminated one by one (`elimination_kernels`), what stays dense is factorised by LAPACK. From the factor
follow the criterion, its exact derivatives with respect to Ψ of every block, and solutions of the mixed-model equations for
further right-hand sides. BLAS and LAPACK are SciPy's throughout: mixing in NumPy's would set two thread pools against each
other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm

from multilevel.engine.dense_kernels import congruence, mirror_lower
from multilevel.engine.elimination_kernels import eliminate
from multilevel.engine.lapack import cholesky_in_place, inverse_from_factor, solve_lower
from multilevel.engine.products import CrossProducts
from multilevel.engine.threads import hears_interrupts, interruptible
from multilevel.errors import DataError

FloatArray = npt.NDArray[np.float64]


NO_DIGITS = 1e6
"""With relative random effects above this, what they leave of the fixed effects' columns is rounding."""


def gemm(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a·b through SciPy's BLAS, in C order."""
    result: FloatArray = dgemm(1.0, b.T, a.T).T
    return result


@dataclass(frozen=True, slots=True)
class DenseIndex:
    """For each row of the dense matrix, the block of rows it belongs to (see `congruence`)."""

    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    factor_at: npt.NDArray[np.int64]

    @classmethod
    def of(cls, products: CrossProducts) -> DenseIndex:
        """Describe the dense rows of a problem."""
        plan = products.plan
        order = products.dense.shape[0]
        start = np.arange(order, dtype=np.int64)
        size = np.ones(order, dtype=np.int64)
        factor_at = np.full(order, -1, dtype=np.int64)
        at = 0
        for block, offset in zip(plan.blocks[plan.depth :], plan.dense_offsets(), strict=True):
            k, count = block.size, block.size * block.n_levels
            start[offset : offset + count] = offset + (np.arange(count) // k) * k
            size[offset : offset + count] = k
            factor_at[offset : offset + count] = at
            at += k * k
        return cls(start, size, factor_at)


@dataclass(frozen=True, slots=True)
class BlockedFactor:
    """The factorised problem at one set of relative covariance factors.

    Attributes
    ----------
    products
        The cross-products it was made from.
    rows
        The structure of the dense rows.
    factors
        λ of every block, in the plan's order.
    chain_flat, dense_flat
        The same numbers as the kernels take them.
    diagonal, tail, values, dense
        The cross-products after the chain's elimination (dense: lower triangle).
    cholesky
        Lower Cholesky factor of the scaled dense part (random effects, then X).
    logdet_random, logdet_fixed
        log|L_ZZ|² and log|L_XX|², in the engine's columns.
    rss
        Penalized residual sum of squares r², in the engine's response.
    coefficients
        What multiplies the dense columns in the residual: (−b, −β, 1).
    """

    products: CrossProducts
    rows: DenseIndex
    factors: tuple[FloatArray, ...]
    chain_flat: FloatArray
    dense_flat: FloatArray
    diagonal: FloatArray
    tail: FloatArray
    values: FloatArray
    dense: FloatArray
    cholesky: FloatArray
    logdet_random: float
    logdet_fixed: float
    rss: float
    coefficients: FloatArray

    def residual_df(self, reml: bool) -> int:
        """Return what r² is divided by: n − p for REML, n for ML."""
        return self.products.nobs - (self.products.n_fixed if reml else 0)

    @property
    def steps(self) -> float:
        """About how many elementary steps another solution takes."""
        return self.products.steps

    def solve_dense(self, right: FloatArray) -> FloatArray:
        """Apply F = J(JᵀSJ + I)⁻¹Jᵀ to columns given over the dense random effects and X."""
        order = self.cholesky.shape[0]
        if order == 0:
            return np.zeros_like(right)

        def solve() -> FloatArray:
            scaled = self.scale_rows(right, transpose=True)
            half = solve_lower(self.cholesky, scaled, transpose=False)
            return self.scale_rows(solve_lower(self.cholesky, half, transpose=True), transpose=False)

        return interruptible(solve, float(order) * right.size)

    def scale_rows(self, right: FloatArray, transpose: bool) -> FloatArray:
        """Return Λᵀ (or Λ) times the dense random effects' rows; those of X stay."""
        result = np.array(right, dtype=np.float64, order="F")
        for lam, offset, levels in self.dense_blocks():
            k = lam.shape[0]
            inside = slice(offset, offset + k * levels)
            if k == 1:
                result[inside] *= lam[0, 0]
            else:
                part = result[inside].reshape(levels, k, -1)
                result[inside] = np.einsum("tr,jtc->jrc" if transpose else "rt,jtc->jrc", lam, part).reshape(
                    result[inside].shape
                )
        return result

    def dense_blocks(self) -> list[tuple[FloatArray, int, int]]:
        """Return λ, first row and number of levels of each dense block."""
        plan = self.products.plan
        return [
            (lam, offset, block.n_levels)
            for lam, offset, block in zip(
                self.factors[plan.depth :], plan.dense_offsets(), plan.blocks[plan.depth :], strict=True
            )
        ]


def factor_steps(factor: BlockedFactor, *_: Any, **__: Any) -> float:
    """Return about how many elementary steps a function of a factor takes."""
    return factor.steps


def _flat(factors: list[FloatArray]) -> FloatArray:
    return np.concatenate([f.ravel() for f in factors]) if factors else np.zeros(0)


@hears_interrupts(lambda products, *_: products.steps)
def factorise(products: CrossProducts, rows: DenseIndex, factors: list[FloatArray]) -> BlockedFactor:
    """Factorise the problem with λ of each block given, in the plan's order."""
    depth = products.plan.depth
    chain_flat, dense_flat = _flat(factors[:depth]), _flat(factors[depth:])
    dense = products.dense.copy()
    diagonal, tail, values = products.diagonal, products.tail, products.values
    if depth > 1:
        diagonal, tail, values = diagonal.copy(), tail.copy(), values.copy()
    logdet = eliminate(products.layout, chain_flat, diagonal, tail, values, dense)

    q, p = products.n_dense, products.n_fixed
    order = q + p
    cholesky = np.empty((order, order))
    if q:
        congruence(dense, order, rows.start, rows.size, rows.factor_at, dense_flat, False, q, cholesky)
    else:
        cholesky[:] = dense[:order, :order]
    if order and not cholesky_in_place(cholesky):
        if max(float(np.abs(lam).max(initial=0.0)) for lam in factors) > NO_DIGITS:
            raise DataError(
                "The random effects would be more than a million times larger than the residuals, and no digits are left for the"
                " rest: check that the response varies within the groups, or subtract the groups' known levels from it."
            )
        raise DataError(
            "The fixed-effects columns cannot be told apart once the random effects are in the model"
            " (their cross-product matrix is not positive definite); drop or combine some of them."
        )
    logs = 2.0 * np.log(np.diag(cholesky))
    factor = BlockedFactor(
        products,
        rows,
        tuple(factors),
        chain_flat,
        dense_flat,
        diagonal,
        tail,
        values,
        dense,
        cholesky,
        logdet + float(logs[:q].sum()),
        float(logs[q:].sum()),
        0.0,
        np.empty(0),
    )
    response = dense[order, :order]
    coefficients = np.ones(order + 1)
    if order:
        scaled = factor.scale_rows(response[:, None], transpose=True)
        half = solve_lower(cholesky, scaled, transpose=False)
        explained = float((half * half).sum())
        coefficients[:order] = -factor.scale_rows(solve_lower(cholesky, half, transpose=True), transpose=False)[:, 0]
    else:
        explained = 0.0
    total = float(products.dense[order, order])
    # What rounding leaves of a residual that is exactly zero is of this order; the logarithm needs it positive.
    rss = max(float(dense[order, order]) - explained, 1e-16 * total, 1e-300)
    return replace(factor, rss=rss, coefficients=coefficients)


@hears_interrupts(factor_steps)
def dense_inverse(factor: BlockedFactor, reml: bool) -> FloatArray:
    """Return (JᵀSJ + I)⁻¹ of the dense random effects bordered by X (REML) or alone (ML), lower triangle."""
    order = factor.products.n_dense + (factor.products.n_fixed if reml else 0)
    if order == 0:
        return np.zeros((0, 0))
    return inverse_from_factor(factor.cholesky[:order, :order])


def full_dense(factor: BlockedFactor) -> FloatArray:
    """Return the dense matrix after elimination, both triangles."""
    s = factor.dense.copy()
    mirror_lower(s)
    return s
