"""Local minima on the boundary, slow searches, and what a search says that does not end."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.engine.control import NLOPT_METHODS, SCIPY_METHODS
from multilevel.engine.newton import minimise
from multilevel.engine.parameters import Parameters, TermParameters
from multilevel.engine.start import starting_values
from multilevel.engine.structures import Diagonal, Unstructured
from multilevel.engine.valley import extrapolated

LENIENT = {"check_levels_against_rows": "ignore", "check_effects_against_rows": "ignore"}
FORMULA = "y ~ x1 + (x1 + x2 || g) + (x1 | h)"


def small(seed: int) -> pd.DataFrame:
    """Return forty rows, in which slopes over g and over h can stand in for one another."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "g": rng.integers(0, 8, 40).astype(str),
            "h": rng.integers(0, 9, 40).astype(str),
            "x1": rng.normal(size=40),
            "x2": rng.normal(size=40),
        }
    )
    g, h = (pd.factorize(frame[name])[0] for name in "gh")
    u = rng.normal(size=(10, 4))
    frame["y"] = u[g, 0] + u[g, 1] * frame["x1"] + u[h, 2] + 0.5 * u[h, 3] * frame["x1"] + rng.normal(size=40)
    return frame


def single_search(fit: ml.LinearMixedModel) -> float:
    """Return the deviance at which a search from the moments alone ends."""
    objective = fit._engine.objective
    search = minimise(objective, starting_values(objective.products), 1e-10, 400)
    assert search.message == "the optimum was reached"
    return search.model.value


@pytest.mark.parametrize("seed", [246, 356, 361, 393])
def test_the_lower_of_two_minima(seed):
    fit = ml.lmer(FORMULA, small(seed), reml=False)
    assert fit.deviance < single_search(fit) - 0.02
    assert fit.convergence.converged
    assert fit.convergence.evaluations < 60


@pytest.mark.parametrize("optimizer", [*SCIPY_METHODS, *NLOPT_METHODS])
def test_every_optimiser_finds_the_lower_minimum(optimizer):
    if optimizer in NLOPT_METHODS:
        pytest.importorskip("nlopt")
    best = ml.lmer(FORMULA, small(356), reml=False).deviance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ConvergenceWarning)
        fit = ml.lmer(FORMULA, small(356), reml=False, control=ml.LmerControl(optimizer=optimizer))
    assert fit.deviance == pytest.approx(best, abs=1e-6)


def test_a_minimum_inside_is_not_searched_for_again():
    frame = ml.load_dataset("sleepstudy")
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", frame)
    objective = fit._engine.objective
    assert (
        fit.convergence.evaluations == minimise(objective, starting_values(objective.products), 1e-10, 400).evaluations
    )


def test_one_evaluation_is_one_evaluation():
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.lmer(
            FORMULA, small(246), control=ml.LmerControl(start=(1.0, 0.0, 0.0, 1.0, 0.0, 0.0), max_evaluations=1)
        )
    assert fit.convergence.evaluations == 1
    np.testing.assert_allclose(fit.theta, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize("seed", [11, 48])
def test_average_information_far_from_the_curvature_does_not_slow_the_search(seed):
    # With it alone a single search takes more than two hundred evaluations; these are three.
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "g": rng.integers(0, 8, 36).astype(str),
            "k": rng.integers(0, 6, 36).astype(str),
            "x": rng.normal(size=36),
            "b": rng.random(36) < 0.4,
        }
    )
    g, k = (pd.factorize(frame[name])[0] for name in "gk")
    u = rng.normal(size=(8, 4))
    frame["y"] = u[k, 0] + 2.0 * u[k, 1] * frame["x"] + 2.0 * u[k, 2] * frame["b"] + u[g, 3] + 0.5 * rng.normal(size=36)
    fit = ml.lmer("y ~ 1 + (x + b | k) + (0 + b | g)", frame, control=ml.LmerControl(**LENIENT))
    assert fit.convergence.converged
    assert fit.convergence.evaluations < 100


def test_a_search_without_an_end_says_why():
    # Every row is a level of its own for one of the slopes: nothing is left for the residual.
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"g": np.arange(30) // 2, "h": np.arange(30) % 15, "x": rng.normal(size=30)})
    frame["y"] = 5.0 * rng.normal(size=15)[frame["g"]] * frame["x"] + 5.0 * rng.normal(size=15)[frame["h"]]
    with pytest.warns(ml.ConvergenceWarning) as caught:
        fit = ml.lmer("y ~ 1 + (x | g) + (x | h)", frame, reml=False, control=ml.LmerControl(**LENIENT))
    assert fit.convergence.status == "not converged"
    assert fit.convergence.evaluations < 500
    assert "the residual variance runs to zero" in fit.convergence.message
    assert any("the residual variance runs to zero" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("optimizer", ["newton", *SCIPY_METHODS])
@pytest.mark.parametrize("evaluations", [2, 3, 5, 8])
def test_the_message_never_contradicts_the_status(optimizer, evaluations):
    control = ml.LmerControl(optimizer=optimizer, max_evaluations=evaluations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = ml.lmer("y ~ x1 + (x1 | h)", small(3), control=control)
    said = [str(warning.message) for warning in caught if issubclass(warning.category, ml.ConvergenceWarning)]
    assert bool(said) == (not fit.convergence.converged)
    for sentence in [*said, *([] if fit.convergence.converged else [fit.convergence.message])]:
        assert "the optimum was reached" not in sentence
        if optimizer != "newton":
            assert f"{optimizer} stopped with" in sentence


def test_extrapolation_goes_along_the_line_in_psi():
    identity = np.eye(2)
    parameters = Parameters(
        (
            TermParameters(Unstructured(2), 0, 0, identity, identity),
            TermParameters(Diagonal(2), 1, 0, identity, identity),
        ),
        (2, 2),
    )
    before = np.array([1.0, 0.2, 1.0, 1.0, 2.0])
    now = np.array([1.1, 0.3, 1.2, 1.2, 1.9])
    found = parameters.block_factors(extrapolated(parameters, before, now, 0.5))
    for first, second, beyond in zip(
        parameters.block_factors(before), parameters.block_factors(now), found, strict=True
    ):
        line = second @ second.T + 0.5 * (second @ second.T - first @ first.T)
        np.testing.assert_allclose(beyond @ beyond.T, line, atol=1e-12)
    # Far out the line leaves the covariance matrices: the point is the nearest one among them.
    far = parameters.block_factors(extrapolated(parameters, now, before, 50.0))
    for lam in far:
        assert np.isfinite(lam).all()
        assert np.linalg.eigvalsh(lam @ lam.T).min() >= -1e-9
