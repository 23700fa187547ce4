from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from stored import check_expected

import multilevel as ml
import reference_cases as rc
from multilevel.reporting.summary import Certificate, _ending

GOLDEN = [
    "sleepstudy_reml", "sleepstudy_ml", "pastes_sample_reml", "cake_reml", "scenario_1_reml", "scenario_4_model_5_reml",
    "dyestuff2_reml", "rank_deficient_ml", "weights_and_offset_reml", "nested_crossed_reml",
]  # fmt: skip


@pytest.fixture
def sleep():
    return rc.fit("sleepstudy_reml")


@pytest.mark.parametrize("name", GOLDEN)
def test_text(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        fit = rc.fit(name)
    check_expected(f"{name}.txt", str(fit.summary()))
    check_expected(f"{name}_short.txt", repr(fit))


def test_the_summary_is_its_own_repr(sleep):
    summary = sleep.summary()
    assert repr(summary) == str(summary)


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        (
            "scenario_1_reml",
            [
                "35147.3",
                "1.139",
                "65.252",
                "-3.6937 -0.6669 -0.0172  0.6868  3.7757",
                "129.25",
                "52.64",
                "43.50",
                "-0.830",
            ],
        ),
        ("scenario_2_with_price_reml", ["REML criterion at convergence: 35129\n", "45.32100", "489.55695", "98.04666"]),
        ("scenario_3_with_mean_reml", ["35146.3", "1.16    1.077", "4.358e+01", "9.807e+01", "4.898e+03"]),
        ("scenario_4_model_5_reml", ["2.416", "2.203", "8.068", "105.7988", "4846.8951", "96.5659"]),
    ],
)
def test_figures_of_the_scenarios(name, phrases):
    text = str(rc.fit(name).summary())
    assert [phrase for phrase in phrases if phrase not in text] == []


def test_tables(sleep):
    summary = sleep.summary()
    assert list(summary.coefficients.columns) == ["estimate", "std_error", "df", "statistic", "p_value"]
    assert list(summary.random.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert list(summary.scaled_residuals.index) == ["Min", "1Q", "Median", "3Q", "Max"]
    assert summary.correlation.loc["Days", "(Intercept)"] == pytest.approx(-0.1375534)
    assert np.diag(summary.correlation).tolist() == [1.0, 1.0]


def test_correlations_are_shown_for_up_to_twelve_effects():
    many = rc.fit("cake_reml")
    heading = "Correlation of Fixed Effects"
    assert heading not in str(many.summary())
    assert heading in str(many.summary(correlation=True))
    assert heading not in str(rc.fit("cake_temp_reml").summary(correlation=False))


def test_wide_correlations_are_split():
    text = str(rc.fit("cake_reml").summary(correlation=True)).split("Correlation of Fixed Effects:\n")[1]
    assert max(map(len, text.split("\n"))) <= 80
    assert text.count("(Intr)") == 1
    assert text.count("\nrcpC:tmpr^5") == 2


@pytest.fixture
def messy():
    data = pd.DataFrame(ml.load_dataset("sleepstudy"))
    data["Twice"] = 2 * data["Days"]
    data.loc[[3, 7, 9], "Reaction"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MultilevelWarning)
        return ml.lmer("Reaction ~ Days + Twice + (1 | Subject)", data, weights=np.ones(180))


def test_what_is_not_as_asked_is_said(messy):
    for text in (str(messy.summary()), repr(messy)):
        assert "3 rows left out for missing values (Reaction: 3)" in text
        assert "1 fixed-effects column dropped, determined by the others: Twice" in text
        assert "Weights: one value per row" in text


def test_a_fit_that_did_not_converge_says_so():
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.lmer(
            "Reaction ~ Days + (Days | Subject)",
            ml.load_dataset("sleepstudy"),
            control=ml.LmerControl(optimizer="nelder-mead", max_evaluations=5),
        )
    assert "NOT CONVERGED (nelder-mead, 5 evaluations" in str(fit.summary())
    assert "NOT CONVERGED" in repr(fit)


def test_one_evaluation_is_singular():
    assert "(newton, 1 evaluation)" in _ending(Certificate("converged", "", "newton", 1, 0.0, -1e-30))


def test_no_fixed_effects():
    fit = ml.lmer("Yield ~ 0 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    summary = fit.summary()
    assert summary.coefficients.empty
    assert "No fixed effects" in str(summary)
    assert "No fixed effects" in repr(fit)
    assert json.loads(json.dumps(summary.to_dict(), allow_nan=False))["fixed_effects"] == []
    assert "<table" in summary.to_html()


@pytest.mark.parametrize(
    "name", ["sleepstudy_ml", "zero_slope_reml", "dyestuff2_reml", "perfect_correlation_reml", "nested_crossed_reml"]
)
def test_dict_is_json_at_full_precision(name):
    fit = rc.fit(name)
    stored = json.loads(json.dumps(fit.summary().to_dict(), allow_nan=False))
    assert stored["criteria"]["loglik"] == fit.loglik
    assert {row["term"]: row["estimate"] for row in stored["fixed_effects"]} == fit.fixef.to_dict()
    assert stored["theta"] == fit.theta.to_dict()
    assert stored["ngroups"] == fit.ngroups.to_dict()
    assert stored["sigma"] == fit.sigma
    assert stored["singular"] is fit.is_singular
    assert [term["group"] for term in stored["random_effects"]] == [term.group for term in fit.varcorr()]


def test_an_undefined_correlation_is_null():
    components = rc.fit("sleepstudy_reml").summary().to_dict()["random_effects"]
    assert components[0]["correlation"][1][0] == pytest.approx(0.0655513)
    assert rc.fit("zero_slope_reml").summary().to_dict()["random_effects"][1]["correlation"] is None


def test_summary_does_not_change_the_fit(sleep):
    before = sleep.residuals("scaled")
    sleep.summary()
    pd.testing.assert_series_equal(before, sleep.residuals("scaled"))


def test_pickles_without_the_fit(sleep):
    summary = sleep.summary()
    stored = pickle.dumps(summary)
    assert str(pickle.loads(stored)) == str(summary)
    assert len(stored) < 10_000
