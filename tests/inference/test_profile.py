"""Profile likelihood: agreement with R's intervals, exact derivatives, constrained fits."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.engine.constrained import constrain
from multilevel.engine.newton import minimise
from multilevel.engine.objective import Objective
from multilevel.inference.natural_parameters import NaturalDeviance
from multilevel.inference.profile import profile_interval

MODELS = {model["name"]: model for model in rc.reference("inference")["models"]}
WITH_PROFILE = [name for name, model in MODELS.items() if model.get("profile_interval")]


def fit_of(name):
    model = MODELS[name]
    return ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), contrasts=rc.contrasts_of(model))


@pytest.mark.parametrize("name", WITH_PROFILE)
def test_intervals_of_r(name):
    fit, stored = fit_of(name), MODELS[name]["profile_interval"]
    expected = np.array(stored["values"], dtype=float).reshape(-1, 2)
    found = profile_interval(fit)
    assert list(found.index) == stored["rows"]
    # R interpolates ζ with splines, which is good to about 1e-4 of an interval's width; where its profile fails it has NA.
    width = (found.conf_high - found.conf_low).to_numpy()[:, None]
    known = np.isfinite(expected)
    assert known.any()
    assert (np.abs(found.to_numpy() - expected) / width)[known].max() < 2e-4


@pytest.mark.parametrize(
    "name", ["sleepstudy_ml", "penicillin_ml", "pastes_nested_ml", "sleepstudy_uncorrelated_ml", "weights_ml"]
)
def test_ends_of_intervals_have_the_right_deviance(name):
    # An end is right when refitting with the parameter held there raises the deviance by 1.96².
    fit = rc.fit(name)
    intervals = profile_interval(fit)
    table = ml.profile(fit, level=0.99).to_frame()
    for parameter, (low, high) in intervals.iterrows():
        own = table[table.parameter == parameter]
        for end in (low, high):
            if own.value.min() < end < own.value.max() and end > 0:
                assert abs(np.interp(end, own.value, own.zeta)) == pytest.approx(1.96, abs=0.02)


@pytest.mark.parametrize(
    "name", ["sleepstudy_ml", "penicillin_ml", "pastes_nested_ml", "nested_slope_ml", "weights_ml"]
)
def test_derivatives_in_natural_parameters(name):
    fit = rc.fit(name)
    deviance = NaturalDeviance.of(fit._engine.objective)
    values = deviance.values_of(fit._engine.term_factors(), fit.sigma)
    found, gradient, _, _ = deviance.evaluate(values)
    assert found == pytest.approx(fit.deviance, rel=1e-11)
    assert np.abs(gradient * values).max() < 1e-4
    away = values * np.linspace(0.9, 1.1, values.size)
    _, gradient, hessian, _ = deviance.evaluate(away)
    for i in range(values.size):
        step = 1e-5 * away[i] * np.eye(values.size)[i]
        above, below = deviance.evaluate(away + step), deviance.evaluate(away - step)
        slope = (above[0] - below[0]) / (2 * step[i])
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-5 * np.abs(gradient).max())
        bend = (above[1] - below[1]) / (2 * step[i])
        assert hessian[i] == pytest.approx(bend, rel=1e-5, abs=1e-6 * np.abs(hessian).max())


@pytest.mark.parametrize(
    "name", ["sleepstudy_ml", "subjects_items_ml", "nested_slope_ml", "nested_crossed_ml", "weights_ml"]
)
def test_a_fixed_effect_held_is_an_offset(name):
    fit = rc.fit(name)
    engine, case = fit._engine, rc.cases()[name]
    products = engine.products
    to_user = products.fixed.to_user() / products.response_scale
    index = len(engine.beta) - 1
    value = engine.beta[index] + fit.standard_errors.iloc[index]
    held = Objective(constrain(products, to_user[index]).at(value), False)
    search = minimise(held, engine.model.phi, 1e-10, 100)
    column = fit.fixef.index[index]
    frame = rc.frame(case["source"], case["data"])
    if column in frame:
        other = fit.update(f". ~ . - {column}", frame, offset=value * frame[column].to_numpy(dtype=float))
        assert search.model.value == pytest.approx(other.deviance, rel=1e-10)
    free = minimise(
        Objective(constrain(products, to_user[index]).at(engine.beta[index]), False), engine.model.phi, 1e-10, 100
    )
    assert free.model.value == pytest.approx(fit.deviance, rel=1e-11)


def test_an_unknown_parameter():
    with pytest.raises(ml.DataError, match="no parameter 'sd'"):
        ml.profile(rc.fit("dyestuff_ml"), ["sd"])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_of_a_wide_profile_agree_with_roots(level):
    # A profile traced to 0.999 has its points far apart.
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    read = ml.profile(fit, level=0.999).confint(level)
    roots = fit.confint(level=level)
    width = roots["conf_high"] - roots["conf_low"]
    for end in ("conf_low", "conf_high"):
        assert ((read[end] - roots[end]).abs() < 5e-4 * width).all()


def test_parts_and_single_parameters_are_chosen_by_name():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    assert ml.profile(fit, "random").profiled == ("sd_(Intercept)|Batch", "sigma")
    assert ml.profile(fit, "fixed").profiled == ("(Intercept)",)
    assert ml.profile(fit, "sigma").profiled == ("sigma",)
    with pytest.raises(ml.DataError, match="There is no parameter 'theta' to profile"):
        ml.profile(fit, "theta")


def test_a_profile_prints_its_intervals():
    lines = repr(
        ml.profile(ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False), "sigma")
    ).split("\n")
    assert lines[0].startswith("Profile likelihood: ")
    assert lines[1].split() == ["estimate", "conf_low", "conf_high"]
    assert [round(float(cell), 1) for cell in lines[2].split()[1:]] == [49.5, 38.2, 67.7]
    assert len(lines) == 3
