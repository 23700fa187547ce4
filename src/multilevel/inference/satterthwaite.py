"""Satterthwaite's degrees of freedom for contrasts of the fixed effects.

For a contrast ℓ the variance f(φ, log σ²) = ℓᵀ vcov(β̂) ℓ is a function of the covariance parameters; its own variance
follows from the delta method and the exact Hessian of the criterion, and the degrees of freedom are 2 f² / var(f)
(Giesbrecht & Burns 1985; Fai & Cornelius 1996; what R's lmerTest obtains by finite differences).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit, fixed_covariance
from multilevel.engine.objective import Objective
from multilevel.engine.rowless_whitening import RowlessWhitening
from multilevel.engine.solutions import chain_scores, dense_scores, fixed_scores
from multilevel.engine.threads import linear_algebra_threads

FloatArray = npt.NDArray[np.float64]

RESIDUAL_STEP = 1e-3
"""Step of the differences with respect to residual parameters, which are of order one."""


@dataclass(frozen=True, slots=True, eq=False)
class SatterthwaiteModel:
    """What the degrees of freedom of every contrast follow from.

    Attributes
    ----------
    vcov
        Covariance matrix of the fixed effects, shape (p, p).
    derivatives
        Its derivatives with respect to φ, the residual parameters and log σ², shape (m + 1, p, p).
    covariance
        Asymptotic covariance of these parameters, shape (m + 1, m + 1).
    """

    vcov: FloatArray
    derivatives: FloatArray
    covariance: FloatArray

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast of the fixed effects, shape (p,)."""
        variance = float(contrast @ self.vcov @ contrast)
        if not variance > 0:
            return float("inf")
        # Relative to the variance: its square may not be representable.
        slope = np.einsum("i,aij,j->a", contrast, self.derivatives, contrast) / variance
        spread = float(slope @ self.covariance @ slope)
        return 2.0 / spread if spread > 0 else float("inf")


def satterthwaite_model(fit: EngineFit) -> SatterthwaiteModel:
    """Work out the derivatives that Satterthwaite's method needs, exactly."""
    with linear_algebra_threads(fit.products.dense.shape[0], None):
        return _satterthwaite_model(fit)


def _satterthwaite_model(fit: EngineFit) -> SatterthwaiteModel:
    objective, factor, products = fit.objective, fit.model.factor, fit.products
    plan = products.plan
    blocks, directions = objective.directions(fit.model.phi, factor)
    chain, dense = fixed_scores(factor)
    own_scores, _ = chain_scores(factor)
    own_dense = dense_scores(factor)
    m, p = len(directions), products.n_fixed
    n_delta = 0 if fit.residual is None else fit.residual.delta.size
    to_user = products.fixed.to_user()
    variance = fit.sigma**2
    vcov = variance * fit.unscaled_vcov
    total = m + n_delta
    derivatives = np.empty((total + 1, p, p))
    slopes = np.empty(total)
    for a in range(m):
        block, d = plan.blocks[blocks[a]], directions[a]
        size = block.size * block.n_levels
        x = products.rows_of(blocks[a], chain, dense)
        g = products.rows_of(blocks[a], own_scores, own_dense)
        x = x.reshape(block.n_levels, block.size, p)
        g = g.reshape(block.n_levels, block.size)
        moved = np.einsum("jrp,rs->jsp", x, d)
        inner = moved.reshape(size, p).T @ x.reshape(size, p)
        derivatives[a] = variance * (to_user @ inner @ to_user.T)
        slopes[a] = -float((g @ d * g).sum())
    for a in range(n_delta):
        derivatives[m + a], slopes[m + a] = residual_slopes(fit, a)
    derivatives[total] = vcov
    # The profiled Hessian, with σ² put back as a parameter of its own.
    df = objective.residual_df
    cross = -slopes * df / factor.rss
    hessian = np.empty((total + 1, total + 1))
    hessian[:total, :total] = fit.convergence.hessian + np.outer(cross, cross) / df
    hessian[:total, total] = hessian[total, :total] = cross
    hessian[total, total] = df
    covariance = 2.0 * fit.convergence._inverse_of(hessian)
    return SatterthwaiteModel(vcov, derivatives, covariance)


def residual_slopes(fit: EngineFit, parameter: int) -> tuple[FloatArray, float]:
    """Return the derivatives of vcov(β̂) (σ held) and of r² with respect to a residual parameter, by differences of fourth order."""
    assert fit.residual is not None
    if isinstance(fit.residual.products, RowlessWhitening):
        return fit.residual.products.slopes[parameter]
    found = []
    for step in (RESIDUAL_STEP, 2.0 * RESIDUAL_STEP):
        ends = []
        for sign in (1.0, -1.0):
            delta = fit.residual.delta.copy()
            delta[parameter] += sign * step
            objective = Objective(fit.residual.products.at(delta), fit.objective.reml)
            factor = objective.factorise(fit.model.phi)
            ends.append((fit.sigma**2 * fixed_covariance(factor), factor.rss))
        found.append([(high - low) / (2.0 * step) for high, low in zip(*ends, strict=True)])
    vcov, rss = ((4.0 * near - far) / 3.0 for near, far in zip(*found, strict=True))
    return np.asarray(vcov), float(rss)
