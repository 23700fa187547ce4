"""Responses from a formula, parameters and data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import multilevel as ml
from multilevel.simulation.covariances import correlation_factor, factor_of

REFERENCE = Path(__file__).parent.parent / "reference"
SLEEP = ml.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit():
    return ml.lmer("Reaction ~ Days + (Days | Subject)", SLEEP)


def test_numbers_of_a_fit(fit):
    expected = fit.simulate(3, rng=5)
    for parameters in ({"theta": fit.theta}, {"theta": list(fit.theta)}, {"cov": fit.varcorr()}):
        found = ml.simulate(fit.formula, SLEEP, beta=fit.fixef, sigma=fit.sigma, n=3, rng=5, **parameters)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    one = ml.simulate(fit.formula, SLEEP, beta=fit.fixef, sigma=fit.sigma, theta=fit.theta, rng=5)
    np.testing.assert_array_equal(one, found[0])


def test_numbers_of_a_fit_with_crossed_factors():
    pen = ml.load_dataset("Penicillin")
    fit = ml.lmer("diameter ~ 1 + (1 | sample) + (1 | plate)", pen)
    found = ml.simulate(fit.formula, pen, beta=fit.fixef, sigma=fit.sigma, theta=fit.theta, n=2, rng=3)
    np.testing.assert_allclose(found, fit.simulate(2, rng=3), rtol=1e-12)


def test_numbers_of_lme4():
    expected = json.loads((REFERENCE / "power.json").read_text())["simulate"]
    found = ml.simulate(
        "~ Days + (Days | Subject)", SLEEP, beta=[250, 10], theta=[1, 0.02, 0.24], sigma=25, rng=ml.RRandom(42)
    )
    np.testing.assert_allclose(found[:10], expected["sleepstudy"], rtol=1e-12)
    found = ml.simulate(
        "~ service + (1 | s) + (1 | d)", ml.load_dataset("InstEval"), beta=[3, 0.1], theta=[0.3, 0.5], sigma=1.2,
        rng=ml.RRandom(7),
    )  # fmt: skip
    np.testing.assert_allclose(found[:10], expected["InstEval"], rtol=1e-12)


def test_parts_without_noise():
    frame = pd.DataFrame({"g": list("aabb"), "x": [1.0, 2, 3, 4], "o": [10.0, 20, 30, 40], "w": [1.0, 4, 1, 4]})
    found = ml.simulate("~ x + (1 | g)", frame, beta={"x": 2}, sd={"g": 0}, sigma=0, offset="o", weights="w", rng=1)
    assert found.tolist() == [12, 24, 36, 48]
    again = ml.simulate("~ x + (1 | g)", frame, beta={}, sd={"g": 0}, sigma=1, weights="w", rng=1, n=4000)
    np.testing.assert_allclose(again.std(axis=0), [1, 0.5, 1, 0.5], rtol=0.05)


def test_moments():
    frame = {"g": np.repeat(np.arange(50), 2), "x": np.tile([0.0, 1.0], 50)}
    found = ml.simulate(
        "~ x + (1 + x | g)", frame, beta=[1, 2], sd={"g": {"sd": [2, 1], "corr": -0.5}}, sigma=1, n=400, rng=1
    )
    pairs = found.reshape(-1, 2)
    np.testing.assert_allclose(pairs.mean(axis=0), [1, 3], atol=0.08)
    # Var(b0 + e), Cov(b0, b0 + b1), Var(b0 + b1 + e)
    np.testing.assert_allclose(np.cov(pairs.T), [[5, 3], [3, 4]], atol=0.2)


def test_rows_that_lack_a_value_have_no_response():
    frame = pd.DataFrame({"g": ["a", "a", None, "b"], "x": [1.0, np.nan, 3, 4]})
    found = ml.simulate("~ x + (1 | g)", frame, beta={"x": 1}, sd={"g": 1}, sigma=1, rng=1, n=2)
    assert np.isnan(found).tolist() == [[False, True, True, False]] * 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"beta": {"Dayz": 1}}, ml.ControlError, r"they are \(Intercept\), Days"),
        ({"theta": [1]}, ml.ControlError, "theta must have 3 values"),
        ({"theta": {"a": 1}}, ml.ControlError, "theta must name Subject"),
        ({"theta": None}, ml.ControlError, "Give one of theta"),
        ({"sd": {"Subject": [1, 1]}}, ml.ControlError, "Give one of theta"),
        ({"sigma": -1}, ml.DataError, "zero or more"),
        ({"n": -1}, ml.ControlError, "whole number of at least 0"),
        ({"formula": "~ Days"}, ml.FormulaError, "no random-effects term"),
        ({"weights": "w"}, ml.UnknownColumnError, "no column for weights"),
        ({"weights": [0.0] * 180}, ml.DataError, "positive"),
        ({"offset": [1.0]}, ml.DataError, "each of the 180 rows"),
        ({"data": {"Days": [], "Subject": []}}, ml.DataError, "no rows"),
    ],
)
def test_what_cannot_be_simulated(changes, error, message):
    arguments = {
        "formula": "~ Days + (Days | Subject)", "data": SLEEP, "beta": [250, 10], "theta": [1, 0, 0.2], "sigma": 25,
    }  # fmt: skip
    arguments.update(changes)
    with pytest.raises(error, match=message):
        ml.simulate(arguments.pop("formula"), arguments.pop("data"), **arguments)


@given(hnp.arrays(np.float64, (3, 3), elements=st.floats(-10, 10, width=32)))
def test_factors_give_their_matrix_back(root):
    matrix = root @ root.T
    factor = factor_of(matrix, "here")
    assert np.array_equal(factor, np.tril(factor))
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-6 * max(1.0, float(np.abs(matrix).max())))


@given(st.floats(-0.49, 0.99))
def test_one_correlation_for_all(r):
    factor = correlation_factor(r, 3, "here")
    expected = np.full((3, 3), r)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-12)


def test_a_single_term_needs_no_name():
    frame = {"x": np.arange(6.0), "g": list("aabbcc")}
    named = ml.simulate("~ x + (1 + x | g)", frame, beta=[1, 2], sd={"g": [2, 1]}, sigma=1, rng=1)
    for parameters in (
        {"sd": [2, 1]},
        {"sd": {"sd": [2, 1], "corr": 0}},
        {"cov": [[4, 0], [0, 1]]},
        {"cov": {"g": np.diag([4, 1])}},
    ):
        np.testing.assert_allclose(
            ml.simulate("~ x + (1 + x | g)", frame, beta=[1, 2], sigma=1, rng=1, **parameters), named
        )
    with pytest.raises(ml.ControlError, match="several random-effects terms"):
        ml.simulate("~ 1 + (1 | g) + (1 | h)", {**frame, "h": list("ababab")}, beta=[1], sd=2, sigma=1)
