"""When a search is made again from elsewhere, and from where.

A criterion can have several minima, most of them with different variances at zero. A minimum with all variances well above zero is
left alone; one on the boundary need not be the lowest, nor one close to it where the search began close to it. There a second one
starts from where the first did not go: variances that it left at zero are large.
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

MOST_AGAIN = 180
"""The most evaluations of further searches."""

SEVERAL_PARAMETERS = 4
"""More than a single intercept and slope have; with so many the criterion has more minima."""

FEW_EFFECTS = 2000
"""With more random effects than this a minimum inside is not doubted."""


def _has_few_effects(objective: Criterion) -> bool:
    return sum(block.size * block.n_levels for block in objective.products.plan.blocks) <= FEW_EFFECTS


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
    if not _has_few_effects(objective):
        return False
    parameters = objective.products.plan.parameters
    small = np.abs(end[: parameters.n_theta][parameters.pivots]).min() <= 2.0 * SMALLEST
    return bool(small) and _smallest_deviation(parameters, start) <= SMALLEST * (1.0 + 1e-6)


def further_starts(objective: Criterion, end: FloatArray) -> list[FloatArray]:
    """Return where to search again.

    First from the identity, scales that ended at zero three times as large. Models of several parameters and few random effects,
    which are cheap and have more minima, are searched from the identity in the user's columns besides, where lme4 begins: with
    columns that are not centred that is another place. Residual parameters stay at the end's.
    """
    parameters = objective.products.plan.parameters
    identity = parameters.start()
    at_zero = parameters.pivots & (np.abs(end[: identity.size]) < SMALL_PIVOT)
    starts = [np.where(at_zero, 3.0 * identity, identity)]
    if identity.size >= SEVERAL_PARAMETERS and _has_few_effects(objective):
        starts.append(parameters.from_user(parameters.user_identity()))
    return [np.concatenate([start, end[identity.size :]]) for start in starts]


def lower_end(first: Search, second: Search) -> Search:
    """Return the search that ended lower, the first one where they ended alike."""
    return second if second.model.value < first.model.value - max(1e-8, 1e-12 * abs(first.model.value)) else first
