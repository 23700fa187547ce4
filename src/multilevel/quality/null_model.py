"""The variances of a model without predictors, fitted to the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit, fit_of_design
from multilevel.formula.design import Design, RandomTerm
from multilevel.model.residual_structure import mean_residual_variance
from multilevel.quality.variance import mean_products

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SimpleVariances:
    """Mean variance of each grouping factor's random effects, and of the residual."""

    by_group: dict[str, float]
    residual: float

    @property
    def total(self) -> float:
        """Their sum."""
        return sum(self.by_group.values()) + self.residual

    def mean_variance(self, size: float) -> float:
        """Return the variance of the mean of so many rows of a cluster."""
        return sum(self.by_group.values()) + self.residual / size


def reduced_variances(fit: LinearMixedModel, *, fixed: bool, slopes: bool) -> SimpleVariances:
    """Fit the model to the same rows without its predictors, without its random slopes, or both, and return the variances.

    Parameters
    ----------
    fit
        The fitted model; the criterion is its own.
    fixed
        Whether the fixed effects stay; otherwise they are an intercept.
    slopes
        Whether the random terms stay; otherwise each grouping factor has a random intercept.
    """
    design = reduced_design(fit._design, fixed=fixed, slopes=slopes)
    engine = fit_of_design(design, fit.reml, replace(fit._control, start=None))
    return _variances(design, engine)


def _variances(design: Design, engine: EngineFit) -> SimpleVariances:
    variance = engine.sigma**2
    found: dict[str, float] = {}
    for t, factor in zip(engine.products.plan.term_order, engine.term_factors(), strict=True):
        term = design.random[t]
        share = variance * float(((factor @ factor.T) * mean_products(design, term.columns)).sum())
        found[term.factor.name] = found.get(term.factor.name, 0.0) + share
    return SimpleVariances(found, mean_residual_variance(engine))


def reduced_design(design: Design, *, fixed: bool, slopes: bool) -> Design:
    """Return the design with fewer columns (see `reduced_variances`)."""
    ones = np.ones(design.nobs)
    columns: list[FloatArray] = [design.columns[:, c] for c in range(design.n_fixed)] if fixed else [ones]
    n_fixed = len(columns)
    random: list[RandomTerm] = []
    if slopes:
        place: dict[int, int] = {c: c for c in range(n_fixed)} if fixed else {}
        for term in design.random:
            for c in term.columns:
                if c not in place:
                    place[c] = len(columns)
                    columns.append(design.columns[:, c])
            random.append(replace(term, columns=tuple(place[c] for c in term.columns)))
    else:
        at = 0
        if fixed:
            constant = [c for c in range(n_fixed) if np.all(design.columns[:, c] == 1.0)]
            at = constant[0] if constant else len(columns)
            if not constant:
                columns.append(ones)
        factors = {term.factor.name: term.factor for term in design.random}
        random = [RandomTerm(f"1 | {name}", factor, ("(Intercept)",), (at,)) for name, factor in factors.items()]
    whole = np.asfortranarray(np.column_stack([*columns, design.y]))
    whole.flags.writeable = False
    result = replace(design, columns=whole, n_fixed=n_fixed, random=tuple(random), encoder=None)
    if fixed:
        return result
    return replace(result, fixed_names=("(Intercept)",), fixed_assign=(0,), term_labels=())
