"""A response that the fixed effects explain nearly all of has the fit of what they leave."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml


def columns(seed=11, n=240):
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(12), n // 12), rng.integers(0, 7, n)
    x, z, t = rng.uniform(1, 9, n), rng.normal(size=n), np.tile(np.arange(n // 12), 12)
    noise = rng.normal(size=n) + rng.normal(size=12)[g] + 0.5 * rng.normal(size=7)[h] + 0.7 * rng.normal(size=12)[g] * z
    weights = np.exp(rng.normal(size=n))
    return {"noise": noise, "x": x, "z": z, "g": g, "h": h, "t": t, "w": weights}


MODELS = {
    "one factor": ("y ~ x + z + (1 | g)", {}),
    "slopes": ("y ~ x + z + (z | g)", {}),
    "crossed": ("y ~ x + z + (1 | g) + (1 | h)", {}),
    "no intercept": ("y ~ 0 + factor(h) + x + z + (1 | g)", {}),
    "weights": ("y ~ x + z + (1 | g)", {"weights": "w"}),
    "autocorrelated": ("y ~ x + z + (1 | g)", {"residual": ml.cor_ar1("t", within="g")}),
}
SIGNAL = {"(Intercept)": 1e4, "x": 1e3, "z": -500.0}
SMALL = 1e-6


def pair(name):
    """Return the fit of small noise and that of the same noise beside a strong signal."""
    formula, options = MODELS[name]
    data = columns()
    noise = SMALL * data["noise"]
    y = SIGNAL["(Intercept)"] + SIGNAL["x"] * data["x"] + SIGNAL["z"] * data["z"] + noise
    return ml.lmer(formula, {**data, "y": noise}, **options), ml.lmer(formula, {**data, "y": y}, **options)


@pytest.mark.parametrize("name", MODELS)
def test_the_fit_is_that_of_the_noise(name):
    noise, fit = pair(name)
    assert fit.convergence.converged
    assert fit.sigma == pytest.approx(noise.sigma, rel=1e-5)
    np.testing.assert_allclose(fit.theta, noise.theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fit.standard_errors, noise.standard_errors, rtol=1e-4)
    assert fit.reml_criterion == pytest.approx(noise.reml_criterion, rel=1e-6)
    if name != "no intercept":
        errors = noise.standard_errors
        expected = np.array([SIGNAL[term] for term in fit.fixef.index]) + noise.fixef
        np.testing.assert_allclose(
            fit.fixef / errors, expected / errors, rtol=0, atol=1e-2 + 1e-15 * 1e4 / errors.min()
        )
    np.testing.assert_allclose(fit.residuals() / fit.sigma, noise.residuals() / fit.sigma, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["slopes", "crossed", "weights", "autocorrelated"])
def test_what_follows_from_the_fit(name, tmp_path):
    noise, fit = pair(name)
    fit.save(tmp_path / "fit.ml")
    loaded = ml.load(tmp_path / "fit.ml")
    np.testing.assert_array_equal(loaded.fixef, fit.fixef)
    assert loaded.sigma == pytest.approx(fit.sigma, rel=1e-12)
    assert fit.refit(fit.get_me("y")).sigma == pytest.approx(fit.sigma, rel=1e-8)
    assert fit.update(reml=False).sigma == pytest.approx(noise.update(reml=False).sigma, rel=1e-5)
    rows = np.array([fit.get_me("y"), noise.get_me("y"), 3.0 * fit.get_me("y") + 1e5 * columns()["x"]])
    many = fit.refit_many(rows, std_error=True)
    assert many.converged.all()
    np.testing.assert_allclose(many.sigma, noise.sigma * np.array([1.0, 1.0, 3.0]), rtol=1e-4)
    np.testing.assert_allclose(many.std_error_x, noise.standard_errors["x"] * np.array([1.0, 1.0, 3.0]), rtol=1e-3)
    found, expected = (np.std(own.bootstrap(6, rng=1, threads=1).replicates, axis=0) for own in (fit, noise))
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    interval, own = (f.profile("z").confint().loc["z"].to_numpy() - f.fixef["z"] for f in (fit, noise))
    np.testing.assert_allclose(interval, own, rtol=1e-2)


def test_influence_of_groups_beside_a_strong_signal():
    noise, fit = pair("slopes")
    found, expected = (ml.influence(own, "g", exact=True).to_frame().cooks_distance for own in (fit, noise))
    np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_a_response_of_too_few_digits_is_warned_about():
    data = columns()
    with pytest.warns(ml.PrecisionWarning, match="stored with an error"):
        ml.lmer("y ~ x + (1 | g)", {**data, "y": 1e6 * data["x"] + 4e-8 * data["noise"]})
    with pytest.warns(ml.PrecisionWarning, match="stored with an error"):
        ml.lmer("y ~ x + (1 | g)", {**data, "y": 1e12 + 1e-3 * data["noise"]})


def test_random_effects_that_leave_no_digits_are_warned_about():
    data = columns()
    levels = np.random.default_rng(1).normal(size=12)[data["g"]]
    with (
        pytest.warns(ml.PrecisionWarning, match="explains all but"),
        pytest.warns(ml.ConvergenceWarning),
    ):
        ml.lmer("y ~ x + (1 | g)", {**data, "y": levels + 1e-7 * np.random.default_rng(2).normal(size=240)})
    with (
        pytest.warns(ml.PrecisionWarning, match="explains all but"),
        pytest.warns(ml.ConvergenceWarning, match="the residual variance runs to zero"),
    ):
        ml.lmer("y ~ x + (1 | g)", {**data, "y": 1e6 * levels + 1e-3 * data["noise"]})


@pytest.mark.filterwarnings("error::multilevel.PrecisionWarning")
def test_ordinary_fits_are_not_warned_about():
    data = columns()
    for scale in (1.0, 1e3, 1e-3):
        ml.lmer("y ~ x + (z | g) + (1 | h)", {**data, "y": 5.0 + data["x"] + scale * data["noise"]})
