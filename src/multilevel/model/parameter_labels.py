"""The names of a fit's parameters in tables that list them together, each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multilevel.data.labels import apart_from

if TYPE_CHECKING:
    from multilevel.model.estimates import Estimates


@dataclass(frozen=True, slots=True)
class ParameterLabels:
    """The names of all parameters, all of them different.

    Fixed effects are called what ``fit.fixef`` calls them. A parameter that would have the name of one gets a dot before its own:
    ``.sigma`` beside a predictor called ``sigma``.

    Attributes
    ----------
    fixed
        Fixed effects.
    theta
        Covariance parameters relative to the residual's, in the order of ``fit.theta``.
    variance
        Standard deviations and correlations, term after term in the order of theta (lme4's ``confint`` with ``oldNames = FALSE``).
    sigma
        The residual standard deviation.
    residual
        Parameters of the residual structure.
    """

    fixed: tuple[str, ...]
    theta: tuple[str, ...]
    variance: tuple[str, ...]
    sigma: str
    residual: tuple[str, ...]

    @classmethod
    def of(cls, fit: Estimates) -> ParameterLabels:
        """Name the parameters of a fit."""
        fixed = fit._design.fixed_names
        theta = [str(name) for name in fit.theta.index]
        variance = [name for term in fit.varcorr() for name in term.element_names]
        residual = [str(name) for name in fit.residual_parameters.index]
        names = iter(apart_from([*theta, *variance, "sigma", *residual], frozenset(fixed)))
        return cls(
            fixed,
            tuple(next(names) for _ in theta),
            tuple(next(names) for _ in variance),
            next(names),
            tuple(next(names) for _ in residual),
        )

    @property
    def random(self) -> tuple[str, ...]:
        """All but the fixed effects, as tables of intervals list them before these."""
        return (*self.variance, self.sigma, *self.residual)
