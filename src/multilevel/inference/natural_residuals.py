"""The deviance of a model with a residual structure in standard deviations, correlations, σ and residual parameters.

The residual parameters δ are those of the engine, which are not bounded: logarithms of ratios, the inverse hyperbolic tangent or
the logit of ρ. Intervals from the profile do not depend on the scale, so that they are carried to ratios and ρ at the end. The
continuous correlation is held as that between residuals the median gap apart, in which ζ is nearly straight whatever the unit of
time is, and which can be zero. At a given δ the deviance is that of whitened rows (see `multilevel.engine.whitening`) with
log|R(δ)| added. The gradient is exact; the rows of δ in the Hessian are central differences of it, as in
`multilevel.engine.residual_objective`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import sensitivity
from multilevel.engine.objective import Objective
from multilevel.engine.products import ProductNumbers
from multilevel.engine.residual_objective import STEP
from multilevel.engine.whitening import ResidualModel, WhitenedProducts, product_slope
from multilevel.inference.natural_parameters import HeldScale, NaturalDeviance, NaturalParameter

FloatArray = npt.NDArray[np.float64]

FURTHEST_RATIO = 12.0
"""The logarithm of a ratio of standard deviations that is taken for infinite."""

FURTHEST_ANGLE = 9.0
"""The inverse hyperbolic tangent of a correlation that is taken for one: they differ by 3e-8."""

NO_CORRELATION = 1e-6
"""A continuous correlation over the median gap that is taken for none."""

FULL_CORRELATION = 1.0 - 1e-9
"""One that is taken for one."""

SMALLEST_LOGIT = -700.0
"""Below this the exponential function overflows."""


def _median_gap(model: ResidualModel) -> float:
    """Return the median time between a row and the one before."""
    return float(np.median(model.design.gap[model.design.previous >= 0]))


def _logit(model: ResidualModel, correlation: float) -> float:
    """Return the logit of ρ, given the correlation of residuals the median gap apart."""
    log_rho = float(np.log(correlation)) / _median_gap(model)
    return max(log_rho - float(np.log(-np.expm1(log_rho))), SMALLEST_LOGIT)


def _within(
    own: NaturalParameter, change: Callable[[float], float], lowest: float, highest: float, value: float
) -> float:
    """Return a changed value, or the bound at the ends of a parameter's range."""
    return lowest if value <= own.low else highest if value >= own.high else float(change(value))


@dataclass(frozen=True, slots=True)
class ResidualNaturalDeviance:
    """The deviance in natural parameters and δ, in the user's columns.

    Attributes
    ----------
    whitened
        The cross-products as a function of δ.
    parameters
        Those of `NaturalDeviance`, then δ.
    natural
        The deviance with the residual parameters at their starting values.
    """

    whitened: WhitenedProducts
    parameters: tuple[NaturalParameter, ...]
    natural: NaturalDeviance

    @classmethod
    def of(cls, whitened: WhitenedProducts, *, scaled: bool = False) -> ResidualNaturalDeviance:
        """List the parameters of a model (see `NaturalDeviance.of`)."""
        model = whitened.model
        natural = NaturalDeviance.of(Objective(whitened.reference, False), scaled=scaled)
        found = list(natural.parameters)
        found += [
            NaturalParameter("residual", -1, 0, 0, low=-FURTHEST_RATIO, high=FURTHEST_RATIO)
            for _ in range(model.n_ratios)
        ]
        if model.design.kind is not None:
            low, high = -FURTHEST_ANGLE, FURTHEST_ANGLE
            if model.design.kind == "car1":
                low, high = (_logit(model, value) for value in (NO_CORRELATION, FULL_CORRELATION))
            found.append(NaturalParameter("residual", -1, 0, 0, low=low, high=high))
        return cls(whitened, tuple(found), natural)

    @property
    def units(self) -> FloatArray:
        """What one unit of each parameter is worth in the user's columns; one for δ."""
        return np.append(self.natural.units, np.ones(self.whitened.model.n_delta))

    @property
    def n_natural(self) -> int:
        """Number of parameters before δ."""
        return len(self.parameters) - self.whitened.model.n_delta

    def held(self, delta: FloatArray) -> NaturalDeviance:
        """Return the deviance with δ held."""
        return replace(self.natural, objective=Objective(self.whitened.at(delta), False))

    def reported(self, values: FloatArray) -> FloatArray:
        """Return the parameters with ratios and ρ in place of δ."""
        m = self.n_natural
        return np.concatenate([self.natural.reported(values[:m]), self.whitened.model.natural(values[m:])])

    def limited(self, delta: FloatArray) -> FloatArray:
        """Return δ within its limits."""
        own = self.parameters[self.n_natural :]
        return np.clip(delta, [p.low for p in own], [p.high for p in own])

    def scale(self, index: int) -> HeldScale:
        """Return the scale on which a parameter is held; ends of what is looked at are reported as the bounds they stand for."""
        own, model = self.parameters[index], self.whitened.model
        if own.kind != "residual":
            return self.natural.scale(index)
        at = index - self.n_natural
        if at < model.n_ratios:
            return HeldScale(own.low, own.high, reported=partial(_within, own, np.exp, 0.0, np.inf))
        if model.design.kind == "ar1":
            return HeldScale(own.low, own.high, reported=partial(_within, own, np.tanh, -1.0, 1.0))
        gap = _median_gap(model)
        return HeldScale(
            0.0,
            1.0,
            inside=lambda value: max(_logit(model, min(max(value, NO_CORRELATION), FULL_CORRELATION)), own.low),
            outside=lambda delta: 0.0 if delta <= own.low else float(np.exp(-gap * np.log1p(np.exp(-delta)))),
            reported=lambda value: float(value ** (1.0 / gap)),
        )

    def allowed(self, index: int, value: float) -> FloatArray:
        """Return values of the correlations with which one parameter can have a value (see `NaturalDeviance.allowed`)."""
        if index >= self.n_natural:
            return np.zeros(len(self.parameters))
        return np.append(self.natural.allowed(index, value), np.zeros(self.whitened.model.n_delta))

    def feasible(self, values: FloatArray) -> bool:
        """Return whether the random effects' part is (see `NaturalDeviance.feasible`) and δ is within its limits."""
        m = self.n_natural
        within = all(p.low <= value <= p.high for p, value in zip(self.parameters[m:], values[m:], strict=True))
        return within and self.natural.feasible(values[:m])

    def evaluate(
        self, values: FloatArray, *, curvature: bool = True
    ) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return the deviance, its gradient, its Hessian (empty without `curvature`), and the fixed effects (engine's columns)."""
        value, gradient, inner, beta = self._sloped(values, curvature)
        if not curvature:
            return value, gradient, np.empty((0, 0)), beta
        m, total = self.n_natural, values.size
        hessian = np.zeros((total, total))
        hessian[:m, :m] = inner
        for a in range(m, total):
            moved = np.zeros(total)
            moved[a] = STEP
            row = (self._sloped(values + moved, False)[1] - self._sloped(values - moved, False)[1]) / (2.0 * STEP)
            hessian[a, :m] = hessian[:m, a] = row[:m]
            hessian[a, m:] = row[m:]
        hessian[m:, m:] = 0.5 * (hessian[m:, m:] + hessian[m:, m:].T)
        return value, gradient, hessian, beta

    def _sloped(self, values: FloatArray, curvature: bool) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return value, gradient in all parameters, the Hessian in those before δ, and the fixed effects."""
        m = self.n_natural
        own, delta = values[:m], values[m:]
        deviance = self.held(delta)
        factor = deviance.factorised(own)
        value, gradient, hessian, beta = deviance.evaluate(own, curvature=curvature, factor=factor)
        sigma = float(own[-1] * deviance.units[-1]) * deviance.objective.products.response_scale
        found = sensitivity(factor, False, precision=1.0 / sigma**2, to_products=True)
        bars = ProductNumbers(found.bar_dense, found.bar_diagonal, found.bar_tail, found.bar_values)
        slopes = [product_slope(bars, dots) for dots in self.whitened.slopes(delta)]
        rest = self.whitened.model.log_determinant(delta)[1] + slopes
        return value, np.concatenate([gradient, rest]), hessian, beta
