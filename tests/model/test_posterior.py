"""Draws from the posterior distribution."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc


def test_moments(sleep):
    draws = ml.sim(sleep, 20_000, rng=1)
    df = 178
    # σ² is r²/χ²: its mean and its variance are known.
    assert np.mean(draws.sigma**2) == pytest.approx(sleep.sigma**2 * df / (df - 2), rel=0.005)
    assert np.var(draws.sigma**2) == pytest.approx(
        2 * (sleep.sigma**2 * df) ** 2 / ((df - 2) ** 2 * (df - 4)), rel=0.05
    )
    inflated = df / (df - 2)
    np.testing.assert_allclose(draws.fixed.mean(axis=0), sleep.fixef, rtol=0.01)
    np.testing.assert_allclose(np.cov(draws.fixed.T), inflated * sleep.vcov(), rtol=0.1, atol=0.1)
    modes = sleep.ranef(cond_var=True).to_frame()
    found = draws.effects["Subject"]
    np.testing.assert_allclose(found.mean(axis=0).T.ravel(), modes["condval"], atol=0.5)
    # The uncertainty of β is in it, beside the conditional variance given β.
    assert (found.std(axis=0).T.ravel() > np.sqrt(inflated) * modes["condsd"]).all()
    errors = sleep.coef_standard_errors()["Subject"].to_numpy() * np.sqrt(inflated)
    np.testing.assert_allclose(draws.coef("Subject").std(axis=0), errors, rtol=0.04)


def test_shapes_and_names():
    fit = rc.fit("nested_crossed_reml")
    draws = ml.sim(fit, 7, rng=2)
    assert draws.n == 7
    for group, frame in fit.ranef().items():
        assert draws.effects[group].shape == (7, *frame.shape)
        assert draws.effect_names[group] == tuple(frame.columns)
        assert draws.levels[group] == tuple(frame.index)
    assert draws.fixef.columns.tolist() == fit.fixef.index.tolist()
    np.testing.assert_array_equal(ml.sim(fit, 7, rng=2).fixed, draws.fixed)
    table = draws.to_frame()
    assert len(table) == len(fit.fixef) + sum(frame.size for frame in fit.ranef().values()) + 1
    assert table["effect"].iloc[-1] == "ran_pars"
    assert "7 draws of σ" in repr(draws)
    assert ml.sim(fit, 1, rng=2).to_frame()["std_error"].isna().all()


def test_sigma_of_a_fit_by_maximum_likelihood():
    fit = rc.fit("sleepstudy_uncorrelated_ml")
    draws = ml.sim(fit, 20_000, rng=3)
    assert np.mean(draws.sigma**2) == pytest.approx(fit.sigma**2 * 180 / 176, rel=0.005)


def test_refusals(sleep):
    with pytest.raises(ml.ControlError, match="at least 1"):
        ml.sim(sleep, 0)
    with pytest.raises(ml.ControlError, match="no grouping factor 'Foo'"):
        ml.sim(sleep, 2).coef("Foo")
