"""Searches that would end at a saddle point of λ, and the criterion with the columns of λ in the opposite order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.engine.objective import Objective
from multilevel.engine.turned import TurnedObjective, can_turn


def noise_fit(seed: int, times: str) -> ml.LinearMixedModel:
    rng = np.random.default_rng(seed)
    x = np.tile(np.arange(10.0), 100) if times == "same" else rng.normal(size=1000)
    frame = pd.DataFrame({"g": np.repeat(np.arange(100), 10), "x": x, "y": rng.normal(size=1000)})
    return ml.lmer("y ~ x + (x | g)", frame)


@pytest.mark.parametrize(("seed", "times", "block", "row"), [(1, "own", 14, 1820), (5, "same", 19, 720)])
def test_searches_leave_saddles(seed, times, block, row):
    """Responses without any structure for which λ₁₁ runs to zero before the covariance has found its place."""
    fit = noise_fit(seed, times)
    response = np.random.default_rng([seed, block]).normal(size=(2000, 1000))[row]
    again = fit.refit(response)
    assert again.convergence.converged
    assert again.convergence.smallest_hessian_eigenvalue >= 0.0
    many = fit.refit_many([response])
    assert many.converged.all()
    assert again.reml_criterion == pytest.approx(many.criterion[0], abs=3e-8)


MODELS = {
    "one factor": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "two terms": ("Reaction ~ Days + (Days | Subject) + (0 + Days | Subject)", "sleepstudy"),
    "crossed": ("Yield ~ 1 + (1 + x | Batch) + (1 | half)", "Dyestuff"),
}


@pytest.mark.filterwarnings("ignore::multilevel.NotIdentifiedWarning")
@pytest.mark.parametrize("name", MODELS)
def test_turned_derivatives(name):
    formula, data = MODELS[name]
    frame = ml.load_dataset(data)
    frame["x"] = np.random.default_rng(1).normal(size=len(frame))
    frame["half"] = np.arange(len(frame)) % 4
    fit = ml.lmer(formula, frame)
    objective = fit._engine.objective
    assert isinstance(objective, Objective)
    assert can_turn(objective.parameters)
    turned = TurnedObjective(objective)
    phi = objective.parameters.canonical(np.random.default_rng(2).uniform(0.2, 0.9, objective.parameters.n_theta))
    there = turned.turn(phi)
    assert turned.value(there) == pytest.approx(objective.value(phi), rel=1e-13)
    np.testing.assert_allclose(turned.turn(there), phi, rtol=1e-12)
    model = turned.local_model(there)
    step = 1e-5
    moves = step * np.eye(phi.size)
    slopes = [(turned.value(there + move) - turned.value(there - move)) / (2 * step) for move in moves]
    np.testing.assert_allclose(model.gradient, slopes, rtol=1e-5, atol=1e-6)
    rows = np.array([(turned.gradient(there + move) - turned.gradient(there - move)) / (2 * step) for move in moves])
    np.testing.assert_allclose(model.hessian, rows, rtol=1e-6, atol=1e-6 * np.abs(rows).max())
