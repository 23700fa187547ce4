"""The criterion of a model as a function of its covariance parameters, with exact derivatives.

The profiled deviance (ML) or REML criterion of Bates, Mächler, Bolker & Walker (2015, J. Stat. Soft. 67(1), equations 34
and 41), with exact first and second derivatives in the engine's parameters φ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import Sensitivity, hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.factor import BlockedFactor, DenseIndex, factorise
from multilevel.engine.parameters import Parameters
from multilevel.engine.products import CrossProducts
from multilevel.engine.solutions import chain_scores, quadratic_products
from multilevel.errors import DataError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """The criterion at one point with its derivatives.

    Attributes
    ----------
    phi
        The point.
    value
        The criterion.
    gradient
        Its exact gradient.
    hessian
        Its Hessian: exact, or with the average information in place of the trace term.
    exact
        Which of the two it is.
    factor
        The factorised problem at the point.
    """

    phi: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    exact: bool
    factor: BlockedFactor


class SearchParameters(Protocol):
    """What an optimiser asks of the parameters of a criterion."""

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """Which parameters are scales of columns."""

    def canonical(self, phi: FloatArray) -> FloatArray:
        """Return the equivalent parameters in their usual range."""

    def bounds_near(self, phi: FloatArray, near: float) -> dict[int, float]:
        """Return, for the parameters that nearly are at a bound, the value that they have there."""


class Criterion(Protocol):
    """What an optimiser asks of a criterion: `Objective`, or one with residual parameters too."""

    @property
    def products(self) -> CrossProducts:
        """Cross-products of the design (at some residual parameters)."""

    @property
    def parameters(self) -> SearchParameters:
        """The parameters."""

    def factorise(self, phi: FloatArray) -> BlockedFactor:
        """Factorise the problem."""

    def value_of(self, factor: BlockedFactor) -> float:
        """Return the criterion of a factorised problem."""

    def value(self, phi: FloatArray) -> float:
        """Return the criterion."""

    def gradient(self, phi: FloatArray) -> FloatArray:
        """Return the exact gradient."""

    def local_model(
        self, phi: FloatArray, factor: BlockedFactor | None = None, exact: bool | None = None
    ) -> LocalModel:
        """Return value, gradient and Hessian."""


def attempted(objective: Criterion, phi: FloatArray) -> tuple[BlockedFactor | None, float]:
    """Return the factorised problem and the criterion at a point that a search tries.

    Where random effects are so large that rounding leaves nothing to factorise, there is no factor and the criterion is infinite.
    """
    try:
        factor = objective.factorise(phi)
    except DataError:
        return None, math.inf
    value = objective.value_of(factor)
    return factor, value if math.isfinite(value) else math.inf


@dataclass(frozen=True, slots=True)
class Objective:
    """The REML criterion or the deviance of a model.

    Attributes
    ----------
    products
        The cross-products of the design.
    reml
        Whether the criterion is REML's.
    """

    products: CrossProducts
    reml: bool
    rows: DenseIndex = field(init=False)
    constant: float = field(init=False)
    fixed_derivatives: list[tuple[int, FloatArray]] | None = field(init=False)

    def __post_init__(self) -> None:
        """Work out what does not depend on the parameters."""
        object.__setattr__(self, "rows", DenseIndex.of(self.products))
        # The engine's columns are scaled: log-determinants and r² are carried back to the user's.
        n, p = self.products.nobs, self.products.n_fixed
        df = n - p if self.reml else n
        constant = df * (1.0 + math.log(2.0 * math.pi / df)) - 2.0 * df * math.log(self.products.response_scale)
        constant -= self.products.log_weights
        if self.reml:
            constant -= 2.0 * float(np.log(self.products.fixed.scale).sum())
        object.__setattr__(self, "constant", constant)
        parameters = self.products.plan.parameters
        derivatives = parameters.block_derivatives(parameters.start()) if parameters.linear else None
        object.__setattr__(self, "fixed_derivatives", derivatives)

    @property
    def parameters(self) -> Parameters:
        """The covariance parameters."""
        return self.products.plan.parameters

    @property
    def walks_in_kernel(self) -> bool:
        """Whether one kernel does the whole search: a single grouping factor, λ linear in its parameters, not very many columns.

        The kernel's own loops over the fixed effects are slower than LAPACK's where these are hundreds.
        """
        return self.exact_is_cheap and self.parameters.linear and self.products.n_fixed <= 400

    @property
    def residual_df(self) -> int:
        """Return n − p (REML) or n (ML)."""
        return self.products.nobs - (self.products.n_fixed if self.reml else 0)

    def factorise(self, phi: FloatArray) -> BlockedFactor:
        """Factorise the problem at φ."""
        return factorise(self.products, self.rows, self.products.plan.parameters.block_factors(phi))

    def value_of(self, factor: BlockedFactor) -> float:
        """Return the criterion of a factorised problem."""
        value = factor.logdet_random + self.residual_df * math.log(factor.rss) + self.constant
        return value + factor.logdet_fixed if self.reml else value

    def value(self, phi: FloatArray) -> float:
        """Return the criterion at φ."""
        return self.value_of(self.factorise(phi))

    def gradient(self, phi: FloatArray) -> FloatArray:
        """Return the exact gradient at φ."""
        factor = self.factorise(phi)
        return self.chain_rule(phi, factor, sensitivity(factor, self.reml).psi)

    @property
    def stacked_derivatives(self) -> FloatArray:
        """∂λ/∂φ_a of a model with one grouping factor, shape (m, k, k)."""
        return np.stack([dot for _, dot in self.factor_derivatives(np.empty(0))])

    def factor_derivatives(self, phi: FloatArray) -> list[tuple[int, FloatArray]]:
        """Return the block and ∂λ/∂φ_a of each parameter."""
        if self.fixed_derivatives is not None:
            return self.fixed_derivatives
        return self.products.plan.parameters.block_derivatives(phi)

    def chain_rule(self, phi: FloatArray, factor: BlockedFactor, psi: tuple[FloatArray, ...]) -> FloatArray:
        """Return the gradient in φ from the derivatives with respect to Ψ."""
        derivatives = self.factor_derivatives(phi)
        return np.array([2.0 * float(((psi[b] @ factor.factors[b]) * dot).sum()) for b, dot in derivatives])

    def directions(self, phi: FloatArray, factor: BlockedFactor) -> tuple[list[int], list[FloatArray]]:
        """Return the block and ∂Ψ/∂φ_a of each parameter."""
        blocks, directions = [], []
        for b, dot in self.factor_derivatives(phi):
            half = dot @ factor.factors[b].T
            blocks.append(b)
            directions.append(half + half.T)
        return blocks, directions

    def _curvature_of_psi(self, phi: FloatArray, psi: tuple[FloatArray, ...], factor: BlockedFactor) -> FloatArray:
        """Return tr(∂d/∂Ψ · ∂²Ψ/∂φ²)."""
        parameters = self.products.plan.parameters
        derivatives = self.factor_derivatives(phi)
        m = len(derivatives)
        result = np.zeros((m, m))
        for block in range(len(factor.factors)):
            own = [a for a in range(m) if derivatives[a][0] == block]
            if not own:
                continue
            dots = np.stack([derivatives[a][1] for a in own])
            pushed = np.einsum("rs,ast->art", psi[block], dots)
            result[np.ix_(own, own)] = 2.0 * np.einsum("art,brt->ab", pushed, dots)
        for a, b, second in parameters.block_curvatures(phi):
            block = derivatives[a][0]
            result[a, b] += 2.0 * float(((psi[block] @ factor.factors[block]) * second).sum())
        return result

    @property
    def exact_is_cheap(self) -> bool:
        """Whether the exact Hessian costs about as much as a gradient: a single grouping factor, k⁴ numbers a level being few."""
        plan = self.products.plan
        if self.products.n_dense or plan.depth != 1:
            return False
        k = plan.blocks[0].size
        return k <= 16 or k * k <= 8 * plan.parameters.n_theta

    def local_model(
        self, phi: FloatArray, factor: BlockedFactor | None = None, exact: bool | None = None
    ) -> LocalModel:
        """Return value, gradient and Hessian at φ.

        Parameters
        ----------
        phi
            The point.
        factor
            The factorised problem there, if it is at hand.
        exact
            Whether the Hessian must be the exact one; by default it is where that is cheap, and otherwise its trace term is
            replaced by the average information (Gilmour, Thompson & Cullis 1995), which needs no inverse.
        """
        factor = self.factorise(phi) if factor is None else factor
        exact = self.exact_is_cheap if exact is None else exact
        blocks, directions = self.directions(phi, factor)
        if exact and self.exact_is_cheap:
            bar, hessian = single_factor_derivatives(factor, self.reml, np.stack(directions))
            psi: tuple[FloatArray, ...] = (bar,)
        else:
            found = sensitivity(factor, self.reml)
            psi = found.psi
            if exact:
                hessian = hessian_by_direction(factor, found, self.reml, blocks, directions)
            else:
                hessian = self._average_information(factor, found, blocks, directions)
        gradient = self.chain_rule(phi, factor, psi)
        hessian = hessian + self._curvature_of_psi(phi, psi, factor)
        return LocalModel(phi, self.value_of(factor), gradient, hessian, exact, factor)

    def _average_information(
        self, factor: BlockedFactor, found: Sensitivity, blocks: list[int], directions: list[FloatArray]
    ) -> FloatArray:
        """Return c·gᵀD_aPD_bg − (c/r²)(gᵀD_ag)(gᵀD_bg): half the sum of observed and expected curvature."""
        scores, _ = chain_scores(factor)
        m = len(directions)
        order = factor.dense.shape[0]
        chain = np.zeros((scores.size, m))
        dense = np.zeros((order, m))
        slopes = np.empty(m)
        for a in range(m):
            d = directions[a]
            g = self.products.rows_of(blocks[a], scores, found.dense_scores)
            moved = (g.reshape(-1, d.shape[0]) @ d).ravel()
            self.products.rows_of(blocks[a], chain, dense)[:, a] = moved
            slopes[a] = float(g @ moved)
        c = self.residual_df / factor.rss
        information = quadratic_products(factor, chain, dense)
        return c * (0.5 * (information + information.T)) - (c / factor.rss) * np.outer(slopes, slopes)
