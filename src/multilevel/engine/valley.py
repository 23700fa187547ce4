"""Steps along curved valleys of the criterion.

Where the data hardly determine a direction, the criterion has a narrow valley there, and λ turns along it: with a first pivot near
zero, λ₂₁ and λ₂₂ share a variance and lie on a circle, on which the steps of a quadratic model stay short. The covariance matrix
itself moves along a nearly straight line. So a search that has become slow goes on along the line in Ψ on which it came.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.engine.factor import BlockedFactor
from multilevel.engine.objective import Criterion, SearchParameters, attempted
from multilevel.engine.parameters import Parameters, lower_factor

FloatArray = npt.NDArray[np.float64]

FARTHER = 4.0
"""By how much each further trial lies beyond the one before."""


def extrapolated(parameters: Parameters, before: FloatArray, now: FloatArray, times: float) -> FloatArray:
    """Return the φ whose covariance matrices lie beyond those of `now`, on the line from those of `before`, or at its end."""
    result = now.copy()
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        first, second = before[place], now[place]
        if not term.structure.rotates:
            scales = term.structure.pivots
            squares = second**2 + times * (second**2 - first**2)
            beyond = second + times * (second - first)
            result[place] = np.where(scales, np.sqrt(np.maximum(squares, 0.0)), beyond)
            continue
        lam, old = term.factor(second), term.factor(first)
        here = lam @ lam.T
        values, vectors = np.linalg.eigh(here + times * (here - old @ old.T))
        result[place] = term.structure.parameters(lower_factor(vectors * np.sqrt(np.maximum(values, 0.0))))
    return result


def along_valley(
    objective: Criterion, before: FloatArray, now: FloatArray, value: float, most: int
) -> tuple[FloatArray, BlockedFactor | None, int]:
    """Return the lowest point found beyond `now`, its factor (None where there is no lower one), and the evaluations."""
    parameters: SearchParameters = objective.parameters
    if not isinstance(parameters, Parameters):
        return now, None, 0
    best, found, evaluations, times = now, None, 0, 1.0
    while evaluations < most:
        trial = extrapolated(parameters, before, now, times)
        factor, reached = attempted(objective, trial)
        evaluations += 1
        if not reached < value:
            break
        best, found, value = trial, factor, reached
        times *= FARTHER
    return best, found, evaluations
