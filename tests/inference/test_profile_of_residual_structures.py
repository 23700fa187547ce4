"""Profile likelihood beside a residual structure: ends of intervals against a deviance written out with dense matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import multilevel as ml
import reference_cases as rc
from multilevel.inference.natural_residuals import ResidualNaturalDeviance
from multilevel.inference.profile import _tracers, profile_interval

SERIES = pd.DataFrame(rc.reference("covariance_structures")["data"]["series"])
MODEL = "y ~ step + (1 | subject)"


def both(frame=SERIES, **options):
    return ml.lmer(MODEL, frame, residual=[ml.var_ident("arm"), ml.cor_ar1("step")], reml=False, **options)


@pytest.fixture(scope="module")
def intervals():
    return both().confint()


def dense_deviance(values):
    """The deviance at (sd of subjects, σ, two ratios, ρ, two fixed effects), subject by subject."""
    tau, sigma, *ratios, rho, intercept, slope = values
    total = 0.0
    for _, own in SERIES.groupby("subject"):
        deviation = sigma * own["arm"].map(dict(zip("abc", [1.0, *ratios], strict=True))).to_numpy()
        step = own["step"].to_numpy()
        covariance = tau**2 + np.outer(deviation, deviation) * rho ** np.abs(step[:, None] - step)
        error = own["y"].to_numpy() - intercept - slope * step
        total += np.linalg.slogdet(2 * np.pi * covariance)[1] + error @ np.linalg.solve(covariance, error)
    return total


def test_ends_of_intervals_have_the_right_deviance(intervals):
    fit = both()
    tau = next(iter(fit.varcorr())).standard_deviations[0]
    best = np.array([tau, fit.sigma, *fit.residual_parameters, *fit.fixef])
    smallest = dense_deviance(best)
    assert smallest == pytest.approx(-2 * fit.loglik, rel=1e-9)
    names = ["sd_(Intercept)|subject", "sigma", "sd_ratio_b", "sd_ratio_c", "rho", "(Intercept)", "step"]
    assert list(intervals.index) == names
    bounds = [(0, None), (1e-3, None), (1e-3, None), (1e-3, None), (-0.999, 0.999), (None, None), (None, None)]
    checked = [("sd_(Intercept)|subject", "conf_high"), ("sigma", "conf_low"), ("sd_ratio_b", "conf_low"),
               ("sd_ratio_c", "conf_high"), ("rho", "conf_low"), ("rho", "conf_high"), ("step", "conf_high")]  # fmt: skip
    for name, side in checked:
        at, end = names.index(name), intervals.loc[name, side]
        others = [i for i in range(7) if i != at]

        def held(rest, at=at, end=end):
            return dense_deviance(np.insert(rest, at, end))

        found = minimize(held, best[others], bounds=[bounds[i] for i in others], options={"ftol": 1e-14, "gtol": 1e-7})
        assert found.fun - smallest == pytest.approx(3.8414588, rel=2e-4), (name, side)
    # A standard deviation that can be zero: the deviance there is not yet that high.
    assert intervals.loc["sd_(Intercept)|subject", "conf_low"] == 0.0


def test_points_of_a_profile(intervals):
    found = ml.profile(both(), ["rho", "sd_ratio_c", "step"])
    np.testing.assert_allclose(found.confint(), intervals.loc[["rho", "sd_ratio_c", "step"]], atol=1e-3)
    table = found.to_frame()
    for name in ("rho", "sd_ratio_c", "step"):
        own = table[table["parameter"] == name]
        np.testing.assert_allclose(own["value"], own[name], rtol=1e-10)
        # ζ of every point from its parameters
        parameters = own[list(found.names)].to_numpy()
        rise = np.array([dense_deviance(row) for row in parameters]) - dense_deviance(found.estimates)
        np.testing.assert_allclose(own["zeta"] ** 2, rise, atol=1e-5)
    assert found.bounds["rho"] == (-1.0, 1.0)
    assert found.bounds["sd_ratio_c"] == (0.0, np.inf)


def test_the_reference_level_of_the_strata_does_not_matter(intervals):
    turned = SERIES.assign(arm=pd.Categorical(SERIES["arm"], categories=["c", "b", "a"]))
    found = profile_interval(both(turned), ["sd_ratio_a", "rho", "step"])
    np.testing.assert_allclose(1.0 / found.loc["sd_ratio_a"].to_numpy()[::-1], intervals.loc["sd_ratio_c"], rtol=1e-5)
    np.testing.assert_allclose(found.loc[["rho", "step"]], intervals.loc[["rho", "step"]], rtol=1e-5)


def test_reml_fits_are_profiled_by_maximum_likelihood(intervals):
    fit = ml.lmer(MODEL, SERIES, residual=[ml.var_ident("arm"), ml.cor_ar1("step")])
    found = profile_interval(fit, ["rho"])
    np.testing.assert_allclose(found, intervals.loc[["rho"]], rtol=1e-6)


def test_both_kinds_of_correlation_agree_at_whole_times():
    one, two = (profile_interval(ml.lmer(MODEL, SERIES, residual=r)) for r in (ml.cor_ar1("step"), ml.cor_car1("step")))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 0.02, 60.0])
def test_a_correlation_that_can_be_zero_in_any_unit_of_time(unit):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "t": unit * np.tile(np.arange(6.0), 20)})
    frame["y"] = rng.normal(size=20)[frame["g"]] + rng.normal(size=120)
    fit = ml.lmer("y ~ 1 + (1 | g)", frame, residual=ml.cor_car1("t"), reml=False)
    assert fit.residual_parameters["rho"] ** unit < 1e-6
    found = profile_interval(fit)
    assert found.loc["rho", "conf_low"] == 0.0
    # correlations above zero are those of the discrete process
    discrete = ml.lmer("y ~ 1 + (1 | g)", frame, residual=ml.cor_ar1(), reml=False)
    tracer = _tracers(discrete, ["rho"])[2]["rho"]
    end = np.arctanh(found.loc["rho", "conf_high"] ** unit)
    assert tracer.point(end).zeta ** 2 == pytest.approx(3.8414588 + fit.deviance - discrete.deviance, rel=1e-4)
    plain = profile_interval(ml.lmer("y ~ 1 + (1 | g)", frame, reml=False))
    for name in plain.index:
        # a free correlation can only widen them, and here hardly does
        assert found.loc[name, "conf_low"] == pytest.approx(plain.loc[name, "conf_low"], rel=0.05)
        assert found.loc[name, "conf_low"] < plain.loc[name, "conf_low"] + 1e-4
        assert found.loc[name, "conf_high"] > plain.loc[name, "conf_high"] - 1e-4


@pytest.mark.parametrize(
    ("formula", "residual"),
    [
        ("y ~ step + (step | subject)", [ml.var_ident("arm"), ml.cor_ar1("step")]),
        ("y ~ step + (1 | subject) + (1 | arm)", [ml.var_ident("arm"), ml.cor_car1("clock", within="subject")]),
        ("y ~ step + ar1(0 + factor(half) | subject)", ml.var_ident("arm")),
    ],
)
def test_derivatives(formula, residual):
    frame = SERIES.assign(half=SERIES["step"] // 4)
    fit = ml.lmer(formula, frame, residual=residual, reml=False)
    deviance = ResidualNaturalDeviance.of(fit._engine.residual.products)
    m = deviance.n_natural
    natural = deviance.held(fit._engine.residual.delta).values_of(fit._engine.term_factors(), fit.sigma)
    best = np.concatenate([natural, fit._engine.residual.delta])
    assert deviance.evaluate(best)[0] == pytest.approx(-2 * fit.loglik, rel=1e-10)
    values = best.copy()
    values[:m] *= 0.9
    values[m:] += 0.1
    assert deviance.feasible(values)
    _, gradient, hessian, _ = deviance.evaluate(values)
    for at in range(values.size):
        step = np.zeros(values.size)
        step[at] = 1e-5
        above, below = (deviance.evaluate(values + sign * step, curvature=False) for sign in (1, -1))
        assert gradient[at] == pytest.approx((above[0] - below[0]) / 2e-5, rel=1e-4, abs=1e-4)
        np.testing.assert_allclose(hessian[at], (above[1] - below[1]) / 2e-5, rtol=1e-3, atol=1e-2)
