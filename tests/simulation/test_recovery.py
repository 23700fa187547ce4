"""Estimates beside the truth, for one fit and for many."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.simulation.fit_numbers import fit_numbers

DESIGN = ml.DataDesign(
    "y ~ x + (1 + x | school)",
    levels={"school": 25, "pupil": 12},
    predictors={"x": "normal(0, 1)"},
    fixed={"(Intercept)": 50, "x": 3},
    random={"school": {"sd": [4, 2], "corr": 0.3}},
    sigma=5,
)


@pytest.fixture(scope="module")
def drawn():
    frame, truth = DESIGN.draw(1)
    return truth, ml.lmer(DESIGN.formula, frame)


@pytest.fixture(scope="module")
def study():
    return DESIGN.study(300, rng=1)


def test_standard_errors_of_a_balanced_design():
    """With equal groups the mean squares are independent: their variances are 2λ²/(k − 1) and 2σ⁴/(k(n − 1))."""
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    numbers = fit_numbers(fit, 0.95, "satterthwaite")
    sigma, spread = fit.sigma, float(fit.varcorr().terms[0].standard_deviations[0])
    k, n = 6, 5
    between, within = sigma**2 + n * spread**2, sigma**2
    error_sigma = math.sqrt(2 * within**2 / (k * (n - 1))) / (2 * sigma)
    error_spread = math.sqrt((2 * between**2 / (k - 1) + 2 * within**2 / (k * (n - 1))) / n**2) / (2 * spread)
    assert numbers.names == ("(Intercept)", "sd_(Intercept)|Batch", "sigma")
    np.testing.assert_allclose(numbers.std_errors[1:], [error_spread, error_sigma], rtol=1e-6)
    z = 1.959963984540054
    np.testing.assert_allclose(numbers.conf_low[2], sigma * math.exp(-z * error_sigma / sigma), rtol=1e-6)
    np.testing.assert_allclose(numbers.conf_high[1], spread * math.exp(z * error_spread / spread), rtol=1e-6)


def test_standard_errors_do_not_depend_on_units(drawn):
    _, fit = drawn
    other = ml.lmer("y ~ x + (1 + x | school)", fit._data.frame.assign(y=lambda d: 1000 * d.y, x=lambda d: d.x / 100))
    one, two = (fit_numbers(model, 0.95, "satterthwaite") for model in (fit, other))
    scale = np.array([1e3, 1e5, 1e3, 1, 1e5, 1e3])
    np.testing.assert_allclose(two.std_errors, one.std_errors * scale, rtol=1e-5)
    np.testing.assert_allclose(two.conf_low, one.conf_low * scale, rtol=1e-5)


def test_one_fit(drawn):
    truth, fit = drawn
    found = ml.recover(truth, fit).to_frame()
    assert found.index.tolist() == [
        "(Intercept)", "x", "sd_(Intercept)|school", "cor_x.(Intercept)|school", "sd_x|school", "sigma",
    ]  # fmt: skip
    assert found.truth.tolist() == [50, 3, 4, 0.3, 2, 5]
    assert found.estimate["x"] == fit.fixef["x"]
    assert found.estimate["sigma"] == fit.sigma
    assert found.estimate["sd_x|school"] == pytest.approx(fit.varcorr().terms[0].standard_deviations[1])
    np.testing.assert_allclose(found.bias, found.estimate - found.truth)
    np.testing.assert_allclose(found.relative_bias, found.bias / found.truth)
    np.testing.assert_allclose(found.std_error[:2], fit.standard_errors)
    wald = fit.confint("wald", ddf="satterthwaite").loc[["(Intercept)", "x"]]
    np.testing.assert_allclose(found.loc[["(Intercept)", "x"], ["conf_low", "conf_high"]], wald)
    assert found.covered.tolist() == ((found.conf_low <= found.truth) & (found.truth <= found.conf_high)).tolist()


def test_profile_intervals(drawn):
    truth, fit = drawn
    found = ml.recover(truth, fit, intervals="profile", level=0.9).to_frame()
    expected = fit.confint("profile", level=0.9).loc[found.index]
    np.testing.assert_array_equal(found[["conf_low", "conf_high"]], expected)
    assert "90% interval" in str(ml.recover(truth, fit, level=0.9))


def test_many_fits(study):
    truth = study.truth
    found = ml.recover(truth, study).to_frame()
    assert study.n == 300
    numbers = study.estimates
    np.testing.assert_allclose(found.mean_estimate, numbers.mean())
    np.testing.assert_allclose(found.empirical_sd, numbers.std())
    np.testing.assert_allclose(found.rmse, np.sqrt(((numbers - truth.parameters) ** 2).mean()))
    np.testing.assert_allclose(found.bias_std_error, numbers.std() / np.sqrt(numbers.notna().sum()))
    np.testing.assert_allclose(found.mean_std_error, np.sqrt((study.std_errors**2).mean()))
    covered = (study.conf_low <= truth.parameters) & (truth.parameters <= study.conf_high)
    np.testing.assert_allclose(found.coverage, covered.sum() / study.conf_low.notna().sum())
    # Fixed effects are unbiased, and intervals cover about as they should.
    assert (found.bias.abs() < 4 * found.bias_std_error)[["(Intercept)", "x"]].all()
    assert found.coverage.between(0.91, 0.99).all()
    np.testing.assert_allclose(found.mean_std_error / found.empirical_sd, 1.0, atol=0.15)


def test_a_list_of_fits_is_a_study():
    study = DESIGN.study(3, rng=5)
    seeds = np.random.SeedSequence(5).spawn(3)
    frames = [DESIGN.draw(np.random.default_rng(seed)) for seed in seeds]
    fits = [ml.lmer(DESIGN.formula, frame) for frame, _ in frames]
    one, two = ml.recover(study.truth, study).to_frame(), ml.recover(frames[0][1], fits).to_frame()
    pd.testing.assert_frame_equal(one, two)


def test_threads_do_not_matter():
    one, three = (DESIGN.study(20, rng=2, threads=count) for count in (1, 3))
    pd.testing.assert_frame_equal(one.estimates, three.estimates)
    pd.testing.assert_frame_equal(one.conf_low, three.conf_low)


def test_refits(drawn):
    truth, fit = drawn
    responses = fit.simulate(20, rng=1)
    found = ml.recover(truth, fit.refit_many(responses)).to_frame()
    expected = ml.recover(truth, [fit.refit(y) for y in responses]).to_frame()
    np.testing.assert_allclose(found.mean_estimate, expected.mean_estimate, rtol=1e-5)
    assert found.coverage.isna().all()
    assert (found.n_intervals == 0).all()


def test_another_model(drawn):
    truth, fit = drawn
    smaller = ml.lmer("y ~ x + z + (1 | school)", fit._data.frame.assign(z=np.arange(300) % 7))
    found = ml.recover(truth, smaller).to_frame()
    assert np.isnan(found.estimate["sd_x|school"])
    assert np.isnan(found.truth["z"])
    assert found.covered["z"] is None
    many = ml.recover(truth, [smaller, smaller]).to_frame()
    assert np.isnan(many.mean_estimate["sd_x|school"])
    assert np.isnan(many.coverage["z"])


def test_singular_fits_have_no_interval_of_variances():
    design = DESIGN.replace(random={"school": {"sd": [4, 0]}})
    pairs = (design.draw(seed) for seed in range(20))
    fits = ((truth, ml.lmer(design.formula, frame)) for frame, truth in pairs)
    truth, fit = next((truth, fit) for truth, fit in fits if fit.is_singular)
    found = ml.recover(truth, fit)
    assert found.to_frame().conf_low.notna().tolist() == [True, True, False, False, False, False]
    assert "singular" in str(found)
    assert found.to_frame().relative_bias.isna()["sd_x|school"]


def test_what_cannot_be_compared(drawn, study):
    truth, fit = drawn
    with pytest.raises(ml.DataTypeError, match="truth must be"):
        ml.recover(3, fit)
    with pytest.raises(ml.DataTypeError, match="models fitted by lmer"):
        ml.recover(truth, [3])
    with pytest.raises(ml.DataTypeError, match="at least one"):
        ml.recover(truth, [])
    with pytest.raises(ml.ControlError, match="intervals must be"):
        ml.recover(truth, fit, intervals="exact")
    with pytest.raises(ml.ControlError, match=r"level=0\.9"):
        ml.recover(truth, study, level=0.9)
    with pytest.raises(ml.DataTypeError, match="no column 'school"):
        ml.recover(truth, pd.DataFrame({"x": [1.0]}))


def test_it_prints(drawn, study):
    truth, fit = drawn
    assert "Recovery of the parameters in 1 fit" in str(ml.recover(truth, fit))
    many = ml.recover(truth, study)
    assert "coverage" in str(many)
    assert "<table" in many.to_html()
    assert many.to_markdown().startswith("**Recovery")
    assert r"\toprule" in many.to_latex()
