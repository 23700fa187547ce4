"""Many responses, one design: each row is the fit of its response."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import multilevel.engine.refit
import reference_cases as rc
import small_models as sm
from multilevel.engine.fit import fit_products
from multilevel.engine.products import cross_products_of
from multilevel.engine.refit import refit_all


def simulated(fit, rows, seed=6):
    """Return responses around the fitted values, and some without any variance between groups."""
    rng = np.random.default_rng(seed)
    noise = fit.sigma * rng.normal(size=(rows, fit.nobs))
    centre = np.where(np.arange(rows)[:, None] % 3 < 2, fit.fitted().to_numpy(), float(fit.fitted().mean()))
    return (centre + noise) * np.where(np.arange(rows) % 4 == 3, 1e6, 1.0)[:, None]


@pytest.mark.parametrize("threads", [1, 2])
def test_every_row_is_a_refit(any_fit, threads):
    responses = simulated(any_fit, 7)
    found = any_fit.refit_many(responses, threads=threads)
    assert list(found.columns) == [*any_fit.fixef.index, *any_fit.theta.index, "sigma", "criterion", "converged"]
    assert found["converged"].all()
    for row, response in enumerate(responses):
        single = any_fit.refit(response)
        assert found["criterion"][row] == pytest.approx(single._engine.criterion, rel=1e-9)
        assert found["sigma"][row] == pytest.approx(single.sigma, rel=2e-5)
        se = single.standard_errors
        np.testing.assert_array_less(np.abs(found.loc[row, list(se.index)].astype(float) - single.fixef), 2e-4 * se)
        theta = found.loc[row, list(single.theta.index)].to_numpy(dtype=float)
        scale = max(1.0, float(np.abs(single.theta).max()))
        np.testing.assert_allclose(theta, single.theta, rtol=0, atol=2e-4 * scale)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", sm.STRUCTURES)
def test_small_models(name, reml):
    given = sm.STRUCTURES[name](sm.parts())
    fit = fit_products(cross_products_of(given), reml, ml.LmerControl())
    rng = np.random.default_rng(11)
    responses = given.y + rng.normal(size=(3, given.nobs)) * np.array([[0.1], [1.0], [5.0]])
    found = refit_all(fit, given, responses, ml.LmerControl(), 1)
    assert found.converged.all()
    for row, response in enumerate(responses):
        single = fit_products(cross_products_of(sm.with_response(given, response)), reml, ml.LmerControl())
        assert found.criterion[row] == pytest.approx(single.criterion, rel=1e-9, abs=1e-7)
        assert found.sigma[row] == pytest.approx(single.sigma, rel=1e-4)
        np.testing.assert_allclose(found.beta[row], single.beta, rtol=1e-4, atol=1e-4)


def test_variances_of_zero_are_exactly_zero():
    fit = rc.fit("dyestuff_reml")
    second = ml.load_dataset("Dyestuff2")["Yield"]
    found = fit.refit_many([fit.get_me("y"), second])
    assert found["Batch.(Intercept)"][0] == pytest.approx(fit.theta.iloc[0], rel=1e-6)
    assert found["Batch.(Intercept)"][1] == 0.0
    assert found["criterion"][1] == pytest.approx(rc.cases()["dyestuff2_reml"]["criterion"], rel=1e-10)
    # From a fit on the boundary the way back is open.
    back = rc.fit("dyestuff2_reml").refit_many([fit.get_me("y")])
    assert back["Batch.(Intercept)"][0] == pytest.approx(fit.theta.iloc[0], rel=1e-6)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize(
    "term", ["(1 | g)", "(x | g)", "(x || g)", "(1 | g) + (0 + x + z | g)", "homdiag(0 + x + z | g)"]
)
def test_fits_on_the_boundary_are_settled_in_the_kernel(term, reml, monkeypatch):
    rng = np.random.default_rng(20)
    g = np.repeat(np.arange(15), 8)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=120), "z": rng.normal(size=120)})
    # without variance between groups, with that of the intercepts alone, and with one that x and z have in common
    common = rng.normal(size=(32, 15))[:, g] * (1.0 + 0.7 * frame["x"].to_numpy())
    responses = 2.0 + rng.normal(size=(32, 120)) + np.array([0.0, 0.5, 0.0, 1.0] * 8)[:, None] * common
    frame["y"] = responses[3]
    fit = ml.lmer(f"y ~ x + {term}", frame, reml=reml)
    singles = [fit.refit(response) for response in responses]

    def never(*_arguments):
        raise AssertionError("a row was left to the full treatment")

    monkeypatch.setattr(multilevel.engine.refit, "fit_products_from", never)
    found = fit.refit_many(responses, threads=1)
    assert sum(single.is_singular for single in singles) >= 4
    for row, single in enumerate(singles):
        theta = found.loc[row, list(single.theta.index)].to_numpy(dtype=float)
        assert found["criterion"][row] == pytest.approx(single._engine.criterion, abs=1e-7)
        np.testing.assert_allclose(theta, single.theta, atol=2e-4)
        np.testing.assert_array_equal(theta == 0.0, single.theta == 0.0)


def test_responses_are_checked(sleep):
    with pytest.raises(ml.DataError, match="180"):
        sleep.refit_many(np.ones((2, 7)))
    bad = np.tile(sleep.get_me("y"), (2, 1))
    bad[1, 3] = np.inf
    with pytest.raises(ml.DataError, match="finite"):
        sleep.refit_many(bad)


def test_the_fit_itself_does_not_change(sleep):
    before = sleep.fitted()
    sleep.refit_many([2.0 * sleep.get_me("y")])
    np.testing.assert_array_equal(sleep.fitted(), before)
    np.testing.assert_array_equal(sleep.get_me("y"), ml.load_dataset("sleepstudy")["Reaction"])


def test_a_limit_of_evaluations_shows(sleep):
    with pytest.warns(ml.ConvergenceWarning):
        limited = sleep.update(control=ml.LmerControl(max_evaluations=1))
    with pytest.warns(ml.ConvergenceWarning):
        found = limited.refit_many([limited.get_me("y")])
    assert not found["converged"].any()


def test_a_refit_keeps_its_response_when_the_criterion_changes():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    other = fit.refit(2 * fit.get_me("y")).update(reml=False)
    assert other.fixef.iloc[0] == pytest.approx(2 * fit.fixef.iloc[0])
    again = fit.refit(2 * fit.get_me("y")).update(". ~ . + 1")
    assert again.fixef.iloc[0] == pytest.approx(2 * fit.fixef.iloc[0])


def test_standard_errors(any_fit):
    responses = simulated(any_fit, 5)
    found = any_fit.refit_many(responses, std_error=True)
    names = list(any_fit.fixef.index)
    assert list(found.columns[-3 * len(names) - 1 : -1]) == [
        f"{kind}_{name}" for kind in ("std_error", "statistic", "p_value") for name in names
    ]
    for row, response in enumerate(responses):
        single = any_fit.refit(response)
        own = found.loc[row]
        np.testing.assert_allclose(
            own[[f"std_error_{n}" for n in names]].astype(float), single.standard_errors, rtol=2e-4
        )
        table = single.summary(ddf="asymptotic").coefficients
        np.testing.assert_allclose(own[[f"p_value_{n}" for n in names]].astype(float), table["p_value"], atol=2e-3)


def test_standard_errors_of_small_models():
    for name in ("intercept", "slope", "slope alone", "three columns", "diagonal", "several terms"):
        given = sm.STRUCTURES[name](sm.parts())
        fit = fit_products(cross_products_of(given), True, ml.LmerControl())
        responses = np.stack([given.y, given.y + np.random.default_rng(1).normal(size=given.nobs)])
        found = refit_all(fit, given, responses, ml.LmerControl(), 1, std_error=True)
        for row, response in enumerate(responses):
            single = fit_products(cross_products_of(sm.with_response(given, response)), True, ml.LmerControl())
            expected = single.sigma * np.sqrt(np.diag(single.unscaled_vcov))
            np.testing.assert_allclose(found.std_error[row], expected, rtol=1e-4)
