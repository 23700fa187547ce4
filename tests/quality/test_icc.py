"""Intraclass correlations against performance, the figures of the scenarios, and their bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.quality.replicates import replicate_variances

CASES = {case["name"]: case for case in rc.reference("quality_performance")["variances"]}
LEFT_OUT = {"sleepstudy_uncorrelated_reml", "cake_recipe_cells_reml"}


@pytest.mark.parametrize("name", CASES)
def test_against_performance(name):
    expected, found = CASES[name], ml.icc(rc.fit(name))
    if name in LEFT_OUT:  # see test_variance_decomposition
        random, residual = expected["mean_random"], expected["residual"]
        assert found.adjusted == pytest.approx(random / (random + residual), rel=1e-9)
        return
    close = 2e-6 if "scottish" in name else 1e-7
    assert found.adjusted == pytest.approx(expected["adjusted"], rel=close)
    assert found.unadjusted == pytest.approx(expected["unadjusted"], rel=close)


@pytest.mark.parametrize(
    ("name", "adjusted", "unadjusted"),
    [
        ("scenario_1_empty", 0.008, 0.008),
        ("scenario_2_empty", 0.146, 0.146),
        ("scenario_2_without_price", 0.235, 0.139),
        ("scenario_4_model_1", 0.011, 0.011),
    ],
)
def test_figures_of_the_scenarios(name, adjusted, unadjusted):
    found = ml.icc(rc.fit(f"{name}_reml"))
    assert round(found.adjusted, 3) == adjusted
    assert round(found.unadjusted, 3) == unadjusted


def test_by_group():
    fit = rc.fit("nested_crossed_reml")
    found = ml.icc(fit, by_group=True)
    assert list(found.by_group) == list(fit.ngroups.index)
    assert sum(found.by_group.values()) == pytest.approx(found.adjusted)
    assert found.to_frame().index.tolist() == ["adjusted", "unadjusted", *fit.ngroups.index]
    assert ml.icc(fit).to_frame().index.tolist() == ["adjusted", "unadjusted"]
    assert ml.icc(fit).by_group == found.by_group
    # performance has the intercept's variance alone for a factor; so it is where there are no slopes
    pastes = ml.icc(rc.fit("pastes_nested_reml"))
    variances = rc.fit("pastes_nested_reml").varcorr().to_frame().set_index("grp")["vcov"]
    assert pastes.by_group["batch"] == pytest.approx(variances["batch"] / variances.sum())


def test_singular_fits_have_numbers_and_a_note():
    found = ml.icc(rc.fit("dyestuff2_reml"))
    assert found.adjusted == 0.0
    assert "tolerance = 0" in found.notes[0]
    assert "* The fit is singular" in str(found)


def test_intervals_repeat_and_hold_the_estimate():
    fit = rc.fit("sleepstudy_reml")
    found = ml.icc(fit, by_group=True, ci=0.9, n=200, rng=4)
    frame = found.to_frame()
    assert (frame["conf_low"] < frame["estimate"]).all()
    assert (frame["estimate"] < frame["conf_high"]).all()
    again = ml.icc(fit, ci=0.9, n=200, rng=4, threads=1)
    assert again.intervals == found.intervals
    assert again.to_frame().index.tolist() == ["adjusted", "unadjusted"]
    assert "90% intervals (percentile) from a parametric bootstrap with 200 replicates" in found.notes[-1]
    assert "conf_low" in str(found)
    assert "conf_low" not in str(ml.icc(fit))
    wide = ml.icc(fit, ci=0.99, n=200, rng=4).intervals["adjusted"]
    assert wide[0] < found.intervals["adjusted"][0]


@pytest.mark.parametrize("name", ["sleepstudy_uncorrelated_reml", "nested_slope_reml", "machines_reml"])
def test_replicates_are_decompositions_of_refits(name):
    fit = rc.fit(name)
    found = replicate_variances(fit, 5, 1, 1, False, "percentile", 0.9)
    from multilevel.model.simulation import batch_size, gaussian_source, seed_sequence

    source = gaussian_source(fit)
    assert batch_size(source) >= 5
    responses = source.draw(np.random.default_rng(seed_sequence(1).spawn(1)[0]), 5)
    for i, response in enumerate(responses):
        single = ml.variance_decomposition(fit.refit(response))
        assert found.fixed[i] == pytest.approx(single.fixed, rel=1e-4)
        assert found.all_random[i] == pytest.approx(single.random, rel=1e-3)
        assert found.residual[i] == pytest.approx(single.residual, rel=1e-3)


def test_what_cannot_be_asked_for():
    fit = rc.fit("sleepstudy_reml")
    with pytest.raises(ml.ControlError, match="between 0 and 1"):
        ml.icc(fit, ci=95)
    with pytest.raises(ml.ControlError, match="'percentile', 'basic', 'normal', not 'bca'"):
        ml.icc(fit, ci=0.95, interval="bca")
