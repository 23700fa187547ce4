"""When a search is made again from elsewhere, and from where.

A criterion can have several minima, most of them with different variances at zero. A minimum with all variances well above zero is
left alone; one on the boundary need not be the lowest, nor one close to it where the search began close to it. There a second one
starts from where the first did not go: variances that it left at zero are large, and the others as large as the residual's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.engine.newton import Search
from multilevel.engine.objective import Criterion
from multilevel.engine.parameters import Parameters
from multilevel.engine.single_factor import SMALL_PIVOT
from multilevel.engine.start import SMALLEST

FloatArray = npt.NDArray[np.float64]

LARGE = 3.0
"""Relative standard deviation at which a second search starts what the first one left at zero."""

MOST_AGAIN = 150
"""The most evaluations of a second search."""

FEW_EFFECTS = 2000
"""With more random effects than this a minimum inside is not doubted."""


def _smallest_deviation(parameters: Parameters, phi: FloatArray) -> float:
    """Return the smallest relative standard deviation of any combination of a term's columns."""
    found = [
        np.linalg.svd(term.factor(phi[place]), compute_uv=False)[-1]
        for term, place in zip(parameters.terms, parameters.slices(), strict=True)
    ]
    return float(min(found))


def nearly_zero(objective: Criterion, start: FloatArray, end: FloatArray) -> bool:
    """Return whether some variance is small at the end and the guess said nothing about it, in a model of few random effects.

    The guess is kept off zero; where it lies at that limit, the search may have stayed near by for no other reason.
    """
    plan = objective.products.plan
    if sum(block.size * block.n_levels for block in plan.blocks) > FEW_EFFECTS:
        return False
    parameters = plan.parameters
    return (
        _smallest_deviation(parameters, start) <= SMALLEST * (1.0 + 1e-6)
        and _smallest_deviation(parameters, end) <= 2.0 * SMALLEST
    )


def second_start(objective: Criterion, end: FloatArray) -> FloatArray:
    """Return the covariance parameters of the identity, scales that ended at zero at `LARGE`, and an end's residual parameters."""
    parameters = objective.products.plan.parameters
    start = parameters.start()
    ended = parameters.pivots & (np.abs(end[: start.size]) < SMALL_PIVOT)
    return np.concatenate([np.where(ended, LARGE * start, start), end[start.size :]])


def lower_end(first: Search, second: Search) -> Search:
    """Return the search that ended lower, the first one where they ended alike."""
    return second if second.model.value < first.model.value - max(1e-8, 1e-12 * abs(first.model.value)) else first
