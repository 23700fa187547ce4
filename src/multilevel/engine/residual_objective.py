"""The criterion as a function of the covariance parameters and those of a residual structure together.

At any residual parameters δ the problem is an ordinary one on whitened rows, whose cross-products are C(δ) (see `whitening`), with
log|R(δ)| added to the criterion. Its gradient with respect to δ is exact: the sensitivity of the criterion to every cross-product,
which the blocked factorisation gives, times the derivative of the cross-products. The part of the Hessian in the covariance
parameters is that of the ordinary problem; its rows for δ are central differences of the exact gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import sensitivity
from multilevel.engine.factor import BlockedFactor
from multilevel.engine.objective import LocalModel, Objective
from multilevel.engine.parameters import Parameters
from multilevel.engine.products import CrossProducts, EngineBasis, ProductNumbers
from multilevel.engine.whitening import ResidualModel, product_slope

FloatArray = npt.NDArray[np.float64]

STEP = 1e-3
"""Step of the differences; δ are logarithms of ratios and maps of a correlation, of order one."""


class ProductsByResiduals(Protocol):
    """Cross-products of whitened rows as a function of the residual parameters."""

    @property
    def model(self) -> ResidualModel:
        """The residual parameters."""

    @property
    def basis(self) -> EngineBasis:
        """The plan and the engine's columns."""

    @property
    def reference(self) -> CrossProducts:
        """The cross-products at the starting values."""

    def at(self, delta: FloatArray) -> CrossProducts:
        """Return the cross-products."""

    def slopes(self, delta: FloatArray) -> list[ProductNumbers]:
        """Return their derivatives with respect to each parameter."""


@dataclass(frozen=True, slots=True)
class JointParameters:
    """Covariance parameters followed by residual parameters, which are not bounded."""

    inner: Parameters
    n_delta: int

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """Which parameters are scales of columns."""
        return np.concatenate([self.inner.pivots, np.zeros(self.n_delta, dtype=np.bool_)])

    def canonical(self, phi: FloatArray) -> FloatArray:
        """Return the equivalent parameters in their usual range."""
        m = self.inner.n_theta
        return np.concatenate([self.inner.canonical(phi[:m]), phi[m:]])

    def bounds_near(self, phi: FloatArray, near: float) -> dict[int, float]:
        """Return, for the parameters that nearly are at a bound, the value that they have there."""
        return self.inner.bounds_near(phi[: self.inner.n_theta], near)


@dataclass(frozen=True, slots=True)
class ResidualObjective:
    """The REML criterion or the deviance of a model with a residual structure, in φ and δ.

    Attributes
    ----------
    whitened
        The cross-products as a function of δ.
    reml
        Whether the criterion is REML's.
    """

    whitened: ProductsByResiduals
    reml: bool

    @property
    def products(self) -> CrossProducts:
        """The cross-products at the starting values."""
        return self.whitened.reference

    @property
    def parameters(self) -> JointParameters:
        """The parameters."""
        return JointParameters(self.whitened.basis.plan.parameters, self.whitened.model.n_delta)

    def split(self, joint: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return φ and δ."""
        m = self.whitened.basis.plan.parameters.n_theta
        return joint[:m], joint[m:]

    def held(self, delta: FloatArray) -> Objective:
        """Return the criterion with δ held."""
        return Objective(self.whitened.at(delta), self.reml)

    def factorise(self, phi: FloatArray) -> BlockedFactor:
        """Factorise the problem."""
        own, delta = self.split(phi)
        return self.held(delta).factorise(own)

    def value_of(self, factor: BlockedFactor) -> float:
        """Return the criterion of a factorised problem."""
        return Objective(factor.products, self.reml).value_of(factor)

    def value(self, phi: FloatArray) -> float:
        """Return the criterion."""
        return self.value_of(self.factorise(phi))

    def gradient(self, phi: FloatArray) -> FloatArray:
        """Return the exact gradient."""
        own, delta = self.split(phi)
        inner = self.held(delta)
        return self._gradient(inner, own, delta, inner.factorise(own))

    def _gradient(self, inner: Objective, own: FloatArray, delta: FloatArray, factor: BlockedFactor) -> FloatArray:
        found = sensitivity(factor, self.reml, to_products=True)
        bars = ProductNumbers(found.bar_dense, found.bar_diagonal, found.bar_tail, found.bar_values)
        slopes = [product_slope(bars, dots) for dots in self.whitened.slopes(delta)]
        return np.concatenate(
            [inner.chain_rule(own, factor, found.psi), self.whitened.model.log_determinant(delta)[1] + slopes]
        )

    def local_model(
        self, phi: FloatArray, factor: BlockedFactor | None = None, exact: bool | None = None
    ) -> LocalModel:
        """Return value, gradient and Hessian; with `exact` the differences are of fourth order."""
        own, delta = self.split(phi)
        inner = Objective(factor.products, self.reml) if factor is not None else self.held(delta)
        model = inner.local_model(own, factor=factor, exact=exact)
        gradient = self._gradient(inner, own, delta, model.factor)
        m, total = own.size, phi.size
        hessian = np.zeros((total, total))
        hessian[:m, :m] = model.hessian
        for a in range(m, total):
            row = self._difference(phi, a, STEP)
            if exact:
                row = (4.0 * row - self._difference(phi, a, 2.0 * STEP)) / 3.0
            hessian[a, :m] = hessian[:m, a] = row[:m]
            hessian[a, m:] = row[m:]
        hessian[m:, m:] = 0.5 * (hessian[m:, m:] + hessian[m:, m:].T)
        return LocalModel(phi, model.value, gradient, hessian, bool(exact), model.factor)

    def _difference(self, phi: FloatArray, at: int, step: float) -> FloatArray:
        moved = np.zeros(phi.size)
        moved[at] = step
        return (self.gradient(phi + moved) - self.gradient(phi - moved)) / (2.0 * step)
