"""A trust-region Newton method on the exact derivatives of the criterion.

The criterion is even in the sign of each column of λ, so a variance of zero is an ordinary stationary point and no bounds are
needed: where a variance wants to be negative, Newton's method runs to zero, the column is set to exactly zero, and the exact
Hessian there says whether zero is the optimum.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.objective import Criterion, LocalModel, Objective, attempted
from multilevel.engine.single_factor import CURVATURE_TOLERANCE, SMALL_PIVOT, search_single_factor
from multilevel.engine.threads import interruptible
from multilevel.engine.turned import TurnedObjective, can_turn
from multilevel.engine.valley import along_valley

FloatArray = npt.NDArray[np.float64]

EXACT_HESSIAN_LIMIT = 400
"""With more dense random effects than this the exact Hessian is worked out only when it is asked for."""

SLOW_SHARE, SLOW_STEPS = 0.25, 4
"""The exact Hessian is worth its cost where this many steps in turn expect at least this share of the decrease before."""

MOST_EVALUATIONS = 300
"""A search that has not ended by then does not end."""

CERTIFIED_DECREASE = 1e-6
"""A fit is certified when a Newton step would lower the criterion by less than this (0.001 standard errors)."""

OPTIMUM = "the optimum was reached"
TOO_SHORT = "steps became too short to lower the criterion"
NO_END = "so many steps did not bring an end in sight: the criterion is nearly flat, or falls without a limit"

NO_RESIDUAL = 1e-6
"""A residual sum of squares below this share of the response's says why a search found no end."""

MOST_BEYOND = 12
"""The most trials on one line along a valley."""


USUAL_EVALUATIONS = 20
"""A search takes about so many."""


@dataclass(frozen=True, slots=True)
class Search:
    """How an optimisation ended.

    Attributes
    ----------
    model
        The criterion and its derivatives at the end.
    evaluations
        Evaluations of the criterion.
    trace
        The criterion after each accepted step.
    message
        Why it stopped.
    """

    model: LocalModel
    evaluations: int
    trace: tuple[float, ...]
    message: str


def expected_decrease(model: LocalModel) -> float:
    """Return by how much a Newton step would lower the criterion, ½ gᵀH⁻¹g, with curvatures taken as positive."""
    values, vectors = np.linalg.eigh(model.hessian)
    floor = max(float(np.abs(values).max()) * 1e-12, 1e-12)
    return float(0.5 * ((vectors.T @ model.gradient) ** 2 / np.maximum(np.abs(values), floor)).sum())


def smallest_curvature(model: LocalModel) -> float:
    """Return the smallest eigenvalue of the Hessian, zero where it is rounding error."""
    values = np.linalg.eigvalsh(model.hessian)
    smallest = float(values[0])
    return 0.0 if abs(smallest) <= CURVATURE_TOLERANCE * max(1.0, float(values[-1])) else smallest


def trust_region_step(gradient: FloatArray, hessian: FloatArray, radius: float) -> tuple[FloatArray, float]:
    """Minimise the quadratic model within a ball; return the step and the decrease that the model expects."""
    values, vectors = np.linalg.eigh(hessian)
    g = vectors.T @ gradient
    largest = max(float(np.abs(values).max()), 1e-8)
    floor = 1e-10 * largest

    def length(shift: float) -> float:
        return float(np.sqrt(((g / (values + shift)) ** 2).sum()))

    smallest = float(values[0])
    if smallest > floor and length(0.0) <= radius:
        step = -g / values
    else:
        low = max(0.0, -smallest) + floor
        if length(low) < radius:
            # Flat or negative curvature that the gradient does not see: go along it to the edge.
            step = -g / (values + low)
            if smallest < -CURVATURE_TOLERANCE * largest:
                step[0] += np.copysign(np.sqrt(max(radius**2 - float(step @ step), 0.0)), step[0])
        else:
            high = low + max(float(np.linalg.norm(g)) / radius, floor)
            while length(high) > radius:
                high *= 2.0
            for _ in range(60):
                middle = 0.5 * (low + high)
                if length(middle) > radius:
                    low = middle
                else:
                    high = middle
                if high - low < 1e-3 * high:
                    break
            step = -g / (values + high)
    decrease = -float(g @ step + 0.5 * (values * step * step).sum())
    result: FloatArray = vectors @ step
    return result, decrease


def minimise(
    objective: Criterion, start: FloatArray, tolerance: float, max_evaluations: int, *, certify: bool = True
) -> Search:
    """Minimise the criterion from a starting point.

    Without `certify` the search ends where the average information sees the optimum; the exact Hessian is not asked, which is
    enough for one of many refits along a profile.
    """
    parameters = objective.parameters
    evaluations = 0
    trace: list[float] = []
    if isinstance(objective, Objective) and objective.walks_in_kernel and max_evaluations > 1:
        start, evaluations, trace = _walk(objective, start, tolerance, min(max_evaluations - 1, MOST_EVALUATIONS // 2))
    model = objective.local_model(start)
    evaluations += 1
    trace.append(model.value)
    radius = 1.0 * np.sqrt(start.size)
    most = min(max_evaluations, MOST_EVALUATIONS)
    message = "the largest number of evaluations was reached" if most == max_evaluations else NO_END
    can_be_exact = objective.products.n_dense <= EXACT_HESSIAN_LIMIT
    exact: bool | None = None
    slow, last, path = 0, np.inf, [model.phi]
    turns = can_be_exact
    while evaluations < most:
        step, decrease = trust_region_step(model.gradient, model.hessian, radius)
        # No change smaller than the rounding error of the criterion can be told from noise.
        noise = 1e-14 * abs(model.value)
        if decrease <= max(tolerance if exact is None else 1e-4 * tolerance, noise):
            bounded = _set_to_bounds(objective, model, tolerance)
            if bounded is not None:
                evaluations += 1
                model = bounded
                trace.append(model.value)
                radius = max(radius, 0.1)
                continue
            if certify and not model.exact and can_be_exact:
                # The certificate needs the exact Hessian anyway: let it have a say in where the optimum is.
                model = objective.local_model(model.phi, factor=model.factor, exact=True)
                exact = True
                continue
            # After many failures a step is short because the radius is.
            held = float(np.linalg.norm(step)) > 0.9 * radius
            message = TOO_SHORT if held and expected_decrease(model) > CERTIFIED_DECREASE else OPTIMUM
            if certify and model.exact and isinstance(objective, Objective) and smallest_curvature(model) < 0.0:
                model, more = _leave_saddle(objective, model, tolerance, most - evaluations)
                evaluations += more
                trace.append(model.value)
            break
        # Steps that hardly shrink: the average information is far from the curvature, or the search follows a curved valley.
        slow, last = (slow + 1 if decrease > SLOW_SHARE * last else 0), decrease
        if slow >= SLOW_STEPS:
            slow = 0
            if exact is None and not model.exact and can_be_exact:
                exact = True
                model = objective.local_model(model.phi, factor=model.factor, exact=True)
                continue
            lower, more = _go_farther(objective, model, path, exact, tolerance, most - evaluations, turn=turns)
            evaluations += more
            turns = False
            if lower is not None:
                model = lower
                trace.append(model.value)
                path.append(model.phi)
                continue
        trial = model.phi + step
        factor, value = attempted(objective, trial)
        evaluations += 1
        ratio = (model.value - value + noise) / decrease
        length = float(np.linalg.norm(step))
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.9 * radius:
            radius = 2.5 * radius
        found = None
        if ratio > 1e-4:
            canonical = parameters.canonical(trial)
            if not np.array_equal(canonical, trial):
                factor, _ = attempted(objective, canonical)
            if factor is not None:
                found = objective.local_model(canonical, factor=factor, exact=exact)
        if found is not None and np.isfinite(found.hessian).all():
            model = found
            trace.append(model.value)
            path.append(model.phi)
        elif radius < 1e-10:
            message = TOO_SHORT
            break
        else:
            radius = min(radius, 0.25 * length)
    no_residual = model.factor.rss <= NO_RESIDUAL * float(objective.products.dense[-1, -1])
    if no_residual and message != OPTIMUM and evaluations < max_evaluations:
        message = "the residual variance runs to zero: the random effects can take up the whole response"
    return Search(model, evaluations, tuple(trace), message)


def _go_farther(
    objective: Criterion,
    model: LocalModel,
    path: list[FloatArray],
    exact: bool | None,
    tolerance: float,
    most: int,
    *,
    turn: bool,
) -> tuple[LocalModel | None, int]:
    """Leave a slow search behind: with the columns of λ in the opposite order, or along the line in Ψ on which it came.

    Returns a lower point, if one was found, and the evaluations.
    """
    if turn and isinstance(objective, Objective) and can_turn(objective.parameters):
        found, evaluations = _leave_saddle(objective, model, tolerance, most)
        return (found if found.value < model.value else None), evaluations
    before = path[max(0, len(path) - 1 - SLOW_STEPS)]
    phi, factor, evaluations = along_valley(objective, before, model.phi, model.value, min(most, MOST_BEYOND))
    if factor is None:
        return None, evaluations
    return objective.local_model(phi, factor=factor, exact=exact), evaluations


def _walk(
    objective: Objective, start: FloatArray, tolerance: float, max_evaluations: int
) -> tuple[FloatArray, int, list[float]]:
    """Go to the optimum of a model with one grouping factor in a single kernel."""
    products = objective.products
    trace = np.empty(max_evaluations)
    search = functools.partial(
        search_single_factor,
        products.layout,
        products.diagonal,
        products.tail,
        products.values,
        products.dense,
        objective.stacked_derivatives,
        float(objective.residual_df),
        objective.reml,
        start,
        tolerance,
        max_evaluations,
        trace,
    )
    phi, evaluations, accepted, _ = interruptible(search, USUAL_EVALUATIONS * products.steps)
    constant = objective.constant
    return products.plan.parameters.canonical(phi), int(evaluations), [float(v) + constant for v in trace[:accepted]]


def _leave_saddle(
    objective: Objective, model: LocalModel, tolerance: float, max_evaluations: int
) -> tuple[LocalModel, int]:
    """Search on with the columns of λ in the opposite order; return the lower end of the two, and the evaluations."""
    if not can_turn(objective.parameters):
        return model, 0
    turned = TurnedObjective(objective)
    search = minimise(turned, turned.turn(model.phi), tolerance, max_evaluations)
    found = objective.local_model(turned.turn(search.model.phi), exact=True)
    return (found if found.value < model.value else model), search.evaluations + 1


def _set_to_bounds(objective: Criterion, model: LocalModel, tolerance: float) -> LocalModel | None:
    """Return the model with small pivots of λ at zero and correlations near a bound at it, where that is a minimum."""
    parameters = objective.parameters
    phi = model.phi.copy()
    bounds = parameters.bounds_near(phi, SMALL_PIVOT)
    changed = list(bounds)
    if not changed:
        return None
    for group in [changed, *([at] for at in changed if len(changed) > 1)]:
        trial = phi.copy()
        trial[group] = [bounds[at] for at in group]
        trial = parameters.canonical(trial)
        _, value = attempted(objective, trial)
        if value <= model.value + max(tolerance, 1e-13 * abs(model.value)):
            found = objective.local_model(trial)
            if smallest_curvature(found) >= 0.0:
                return found
    return None
