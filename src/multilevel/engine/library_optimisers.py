"""Optimisers that a user names, each from a library, on the same criterion and bounds."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import NLOPT_METHODS, SCIPY_METHODS, LmerControl
from multilevel.engine.newton import Search
from multilevel.engine.objective import Criterion
from multilevel.errors import MissingDependencyError

FloatArray = npt.NDArray[np.float64]


def lower_bounds(objective: Criterion) -> FloatArray:
    """Return 0 for the diagonal elements of λ and −∞ for the others."""
    return np.where(objective.parameters.pivots, 0.0, -np.inf)


def minimise_by_library(objective: Criterion, start: FloatArray, control: LmerControl) -> Search:
    """Minimise the criterion by the optimiser that the control names."""
    trace: list[float] = []
    best: list[float] = []

    def criterion(phi: FloatArray) -> float:
        value = objective.value(np.ascontiguousarray(phi))
        trace.append(value)
        if not best or value < best[-1]:
            best.append(value)
        return value

    if control.optimizer in NLOPT_METHODS:
        phi, message = _nlopt(objective, criterion, start, control)
    else:
        phi, message = _scipy(objective, criterion, start, control)
    # A bound that was reached up to rounding is reached; the exact gradient afterwards judges the point.
    bounds = lower_bounds(objective)
    phi = np.where(np.isfinite(bounds) & (phi < 1e-8), 0.0, phi)
    model = objective.local_model(objective.parameters.canonical(phi))
    return Search(model, len(trace), tuple(best), message)


def _scipy(objective: Criterion, criterion: Any, start: FloatArray, control: LmerControl) -> tuple[FloatArray, str]:
    from scipy.optimize import minimize

    name = SCIPY_METHODS[control.optimizer]
    limit = "maxfun" if name in ("L-BFGS-B", "TNC") else "maxfev" if name in ("Nelder-Mead", "Powell") else "maxiter"
    tolerances: dict[str, Any] = {
        "Nelder-Mead": {"xatol": 1e-8, "fatol": 1e-9, "adaptive": start.size > 4},
        "Powell": {"xtol": 1e-8, "ftol": 1e-14},
        "L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-6},
        "TNC": {"ftol": 1e-14, "gtol": 1e-6},
        "SLSQP": {"ftol": 1e-12},
    }[name]
    gradient = objective.gradient if name in ("L-BFGS-B", "TNC", "SLSQP") else None
    bounds = [(low if np.isfinite(low) else None, None) for low in lower_bounds(objective)]
    search: Any = minimize  # its stubs do not know bounds with None
    found = search(
        criterion, start, method=name, jac=gradient, bounds=bounds,
        options={**tolerances, limit: control.max_evaluations, **control.optimizer_options},
    )  # fmt: skip
    return np.asarray(found.x, dtype=np.float64), str(found.message)


def _nlopt(objective: Criterion, criterion: Any, start: FloatArray, control: LmerControl) -> tuple[FloatArray, str]:
    try:
        nlopt = importlib.import_module("nlopt")
    except ImportError as error:
        raise MissingDependencyError(
            f"The optimizer {control.optimizer!r} needs the package nlopt, which is not installed: pip install nlopt."
        ) from error
    search = nlopt.opt(getattr(nlopt, NLOPT_METHODS[control.optimizer]), start.size)

    def call(phi: FloatArray, gradient: FloatArray) -> float:
        if gradient.size:
            gradient[:] = objective.gradient(phi.copy())
        return float(criterion(phi.copy()))

    search.set_min_objective(call)
    search.set_lower_bounds(lower_bounds(objective))
    search.set_maxeval(control.max_evaluations)
    options = {"xtol_abs": 1e-8, "ftol_abs": 1e-9, **control.optimizer_options}
    for name, value in options.items():
        getattr(search, f"set_{name}")(value)
    phi = np.asarray(search.optimize(start), dtype=np.float64)
    result = search.last_optimize_result()
    reasons = {
        1: "success", 2: "the stop value was reached", 3: "the tolerance on the criterion was reached",
        4: "the tolerance on the parameters was reached", 5: "the largest number of evaluations was reached",
        6: "the time limit was reached",
    }  # fmt: skip
    return phi, reasons.get(result, f"nlopt result {result}")
