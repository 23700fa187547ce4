"""Power by simulation against the theory of balanced designs, against R, and against itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import multilevel as ml
from multilevel.simulation.extension import extended_columns
from multilevel.simulation.monte_carlo import share_interval
from multilevel.simulation.replicates import Outcome, run_replicates

REFERENCE = Path(__file__).parent.parent / "reference"

TRIAL = ml.DataDesign(
    "score ~ arm + (1 | school)",
    levels={"school": 20, "pupil": 15},
    predictors={"arm": "balanced(c('control', 'therapy')) | school"},
    fixed={"(Intercept)": 50, "armtherapy": 4.5},
    random={"school": 3},
    sigma=9,
)


@pytest.fixture(scope="module")
def sleep():
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


def t_power(effect, std_error, df, alpha=0.05):
    """Power of a two-sided t test."""
    limit = stats.t.ppf(1 - alpha / 2, df)
    shift = effect / std_error
    return stats.nct.sf(limit, df, shift) + stats.nct.cdf(-limit, df, shift)


def away(found, expected, n, other=math.inf):
    """How many Monte Carlo standard errors two shares differ by."""
    return abs(found - expected) / math.sqrt(expected * (1 - expected) * (1 / n + 1 / other))


# ---- theory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ddf", "effect"), [("satterthwaite", 4.5), ("kenward-roger", 4.5), ("satterthwaite", 0.0)])
def test_a_balanced_cluster_randomised_trial(ddf, effect):
    """Means of equally large clusters are a two-sample t test with clusters less two degrees of freedom."""
    found = ml.power(TRIAL, n=400, effects={"armtherapy": effect}, ddf=ddf, rng=3)
    std_error = math.sqrt((3**2 + 9**2 / 15) * 4 / 20)
    expected = t_power(effect, std_error, 18) if effect else 0.05
    row = found.to_frame().loc["armtherapy"]
    assert away(row.power, expected, 400) < 3.5
    assert row.truth == effect
    assert row.mean_estimate == pytest.approx(effect, abs=4 * std_error / math.sqrt(400))


def test_a_slope_within_clusters():
    """With the same values of x in each cluster the random intercept drops out."""
    design = ml.DataDesign(
        "y ~ x + (1 | g)",
        levels={"g": 10, "i": 6}, predictors={"x": "index() - 3.5"},
        fixed={"x": 0.35}, random={"g": 1}, sigma=1.5,
    )  # fmt: skip
    found = ml.power(design, n=400, rng=1, test="x").to_frame().loc["x"]
    std_error = 1.5 / math.sqrt(10 * 17.5)
    assert away(found.power, t_power(0.35, std_error, 49), 400) < 3.5
    low, high = share_interval(int(found.n_significant), 400, 0.95)
    assert (found.conf_low, found.conf_high) == (low, high)


def test_errors_of_sign_and_size():
    """An effect of half a standard error is overestimated by significant results, and sometimes of the wrong sign."""
    design = ml.DataDesign(
        "y ~ x + (1 | g)", levels={"g": 10, "i": 6}, predictors={"x": "index() - 3.5"},
        fixed={"x": 0.5 * 1.5 / math.sqrt(175)}, random={"g": 1}, sigma=1.5,
    )  # fmt: skip
    found = ml.power(design, n=1000, rng=1).to_frame().loc["x"]
    limit = stats.t.ppf(0.975, 49)
    low, high = stats.nct.cdf(-limit, 49, 0.5), stats.nct.sf(limit, 49, 0.5)
    assert away(found.type_s, low / (low + high), int(found.n_significant)) < 3.5
    rng = np.random.default_rng(1)
    z = rng.normal(0.5, 1, 200_000)
    t = z / np.sqrt(rng.chisquare(49, 200_000) / 49)
    assert found.type_m == pytest.approx(np.abs(z[np.abs(t) > limit]).mean() / 0.5, rel=0.08)


# ---- R -----------------------------------------------------------------------------------------------------------------


def test_the_power_that_r_finds():
    expected = json.loads((REFERENCE / "power.json").read_text())["power"]
    design = ml.DataDesign(
        "y ~ arm + x + (1 + x | g)",
        levels={"g": 20, "i": 8},
        predictors={"x": "index() - 4.5", "arm": "cycle(0:1) | g"},
        fixed={"(Intercept)": 10, "arm": 1.4, "x": 0.25},
        random={"g": {"sd": [1.2, 0.3], "corr": 0.4}},
        sigma=2,
    )
    n = 300
    found = ml.power(design, n=n, test=["arm", "x"], reduced=". ~ . - arm", rng=1).to_frame().power
    for value, name in zip(found, ("arm", "x", "lrt"), strict=True):
        assert away(value, expected["power"][name], n, expected["replicates"]) < 3.5


# ---- a fitted model ----------------------------------------------------------------------------------------------------


def test_fast_tests_are_the_same_tests(sleep):
    def wald(fit):
        return 2 * stats.norm.sf(abs(fit.fixef["Days"] / fit.standard_errors["Days"]))

    random = {"Subject": [25, 1.5]}
    fast = ml.power(sleep, n=40, test="Days", ddf="asymptotic", effects={"Days": 2}, random=random, rng=2)
    slow = ml.power(sleep, n=40, test=wald, effects={"Days": 2}, random=random, rng=2)
    np.testing.assert_allclose(fast.p_values.to_numpy(), slow.p_values.to_numpy(), rtol=1e-6, atol=1e-12)
    assert fast.n_singular == slow.n_singular > 0
    assert (slow.n_not_converged, slow.n_not_fitted) == (0, 0)


@pytest.mark.parametrize("ddf", ["asymptotic", "satterthwaite"])
def test_threads_do_not_matter(sleep, ddf):
    one, three = (ml.power(sleep, n=40, ddf=ddf, rng=2, effects={"Days": 4}, threads=count) for count in (1, 3))
    pd.testing.assert_frame_equal(one.p_values, three.p_values)
    one, three = (ml.power(TRIAL, n=40, ddf=ddf, rng=2, threads=count) for count in (1, 3))
    pd.testing.assert_frame_equal(one.p_values, three.p_values)


def test_r_numbers_are_drawn_in_turn():
    one, three = (ml.power(TRIAL, n=20, rng=ml.RRandom(1), threads=count) for count in (1, 3))
    pd.testing.assert_frame_equal(one.p_values, three.p_values)
    rng = ml.RRandom(1)
    frame, _ = TRIAL.draw(rng)
    fit = ml.lmer(TRIAL.formula, frame)
    assert one.estimates.iloc[0, 0] == pytest.approx(fit.fixef["armtherapy"], rel=1e-12)


def test_other_parameters_of_a_fit(sleep):
    weak = ml.power(sleep, n=100, effects={"Days": 2}, ddf="asymptotic", rng=1).to_frame().power.iloc[0]
    noisy = ml.power(sleep, n=100, effects={"Days": 4}, sigma=60, ddf="asymptotic", rng=1).to_frame().power.iloc[0]
    quiet = ml.power(sleep, n=100, effects={"Days": 4}, sigma=10, random={"Subject": [10, 2]}, ddf="asymptotic", rng=1)
    assert weak < 0.6
    assert noisy < 0.8
    assert quiet.to_frame().power.iloc[0] == 1.0


def test_more_groups_and_more_rows(sleep):
    columns = extended_columns(sleep, {"Subject": 40}, {"Subject": 4})
    frame = pd.DataFrame(columns)
    assert frame.Subject.nunique() == 40
    assert (frame.groupby("Subject", observed=True).size() == 4).all()
    assert frame.groupby("Subject", observed=True).Days.apply(list).map(lambda days: days == [0, 1, 2, 3]).all()
    fewer = pd.DataFrame(extended_columns(sleep, {"Subject": 5}, {"Subject": 12}))
    assert fewer.Subject.astype(str).unique().tolist() == ["308", "309", "310", "330", "331"]
    assert fewer.Days.tolist()[:12] == [*range(10), 0, 1]
    small, large = (
        ml.power(sleep, n=100, effects={"Days": 4}, extend={"Subject": k}, ddf="asymptotic", rng=1) for k in (9, 54)
    )
    assert large.to_frame().power.iloc[0] - small.to_frame().power.iloc[0] > 0.3


def test_extension_of_nested_and_crossed_factors():
    frame, _ = ml.DataDesign(
        "y ~ x + (1 | school) + (1 | class) + (1 | item)",
        levels={"school": 4, "class": 3, "item": ml.Crossed(5)}, predictors={"x": "normal() | school"},
        fixed={}, random={"school": 1, "class": 1, "item": 1}, sigma=1,
    ).draw(1)  # fmt: skip
    fit = ml.lmer("y ~ x + (1 | school) + (1 | class) + (1 | item)", frame)
    longer = pd.DataFrame(extended_columns(fit, {"school": 10}, {}))
    assert longer[["school", "class", "item"]].nunique().tolist() == [10, 30, 5]
    assert longer.groupby("school", observed=True).x.nunique().tolist() == [1] * 10
    found = ml.power(fit, n=20, extend={"school": 10}, test="x", rng=1)
    assert found.n == 20


# ---- other tests -------------------------------------------------------------------------------------------------------


def test_terms_are_tested_by_f():
    design = TRIAL.replace(
        predictors={"arm": "balanced(c('a', 'b', 'c')) | school"}, formula="score ~ arm + (1 | school)",
        fixed=[50, 4, 4], levels={"school": 21},
    )  # fmt: skip
    found = ml.power(design, n=20, test="arm", rng=1)
    assert "F tests of type III" in found.method
    assert np.isnan(found.to_frame().truth).all()

    def anova(fit):
        return ml.anova(fit).to_frame().p_value

    own = ml.power(design, n=20, test=anova, rng=1)
    np.testing.assert_allclose(found.p_values["arm"], own.p_values["arm"], rtol=1e-10)


def test_terms_and_smaller_models_of_a_fit():
    cake = ml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", ml.load_dataset("cake"))
    found = ml.power(cake, n=10, test=["recipe", "temp"], reduced=". ~ . - temp", rng=1)
    assert found.to_frame().index.tolist() == [
        "temp", "recipe", "against angle ~ recipe + (1 | recipe:replicate)",
    ]  # fmt: skip
    assert found.to_frame().power.iloc[[0, 2]].tolist() == [1.0, 1.0]


def test_another_model_is_fitted():
    design = TRIAL.replace(predictors={"x": "normal(0, 1)"}, formula="score ~ arm + x + (1 | school)", fixed={"x": 3})
    found = ml.power(design, ". ~ . - x", n=10, rng=1)
    assert found.formula == "score ~ arm + (1 | school)"
    assert found.to_frame().index.tolist() == ["armtherapy"]


def test_replicates_that_cannot_be_fitted_count_as_not_significant():
    design = ml.DataDesign(
        "y ~ x + (1 | g)", levels={"g": "1 + binomial(1, 0.7)", "i": 10}, predictors={"x": "normal()"},
        fixed={"x": 5}, random={"g": 1}, sigma=0.5,
    )  # fmt: skip
    found = ml.power(design, n=50, rng=2, test="x")
    assert 5 <= found.n_not_fitted <= 25
    assert found.to_frame().n_significant.iloc[0] == 50 - found.n_not_fitted
    assert "grouping factor 'g' has only 1 level" in str(found)
    with pytest.raises(ml.DataError, match="only 1 level"):
        ml.power(design.replace(levels={"g": 1}), n=5, rng=1)


def test_when_nothing_can_be_fitted():
    def work(batch):
        return [Outcome(None, False, False, f"too small: {value}") for value in batch]

    with pytest.raises(ml.DataError, match=r"Not one of 3 replicates could be fitted\. The first: too small: 0"):
        run_replicates(lambda draws: 0, work, 3, 1, 1, False, "test")  # noqa: ARG005


def test_curves():
    curve = ml.power_curve(TRIAL, {"school": [8, 40], "armtherapy": [0, 6]}, n=60, rng=1, ddf="satterthwaite")
    frame = curve.to_frame()
    assert frame[["school", "armtherapy"]].to_numpy().tolist() == [[8, 0], [8, 6], [40, 0], [40, 6]]
    assert frame.truth.tolist() == [0, 6, 0, 6]
    assert frame.power[3] > frame.power[1] > frame.power[0]
    assert str(curve).splitlines()[5].split()[:3] == ["school", "armtherapy", "power"]
    assert "<table" in curve.to_html()
    again = ml.power_curve(TRIAL, {"school": [8, 40], "armtherapy": [0, 6]}, n=60, rng=1)
    pd.testing.assert_frame_equal(frame, again.to_frame())


def test_curves_of_a_fit(sleep):
    curve = ml.power_curve(
        sleep, {"Subject": [9, 36], "within Subject": [4, 10], "sigma": [20]}, n=60, rng=1, ddf="asymptotic",
        effects={"Days": 4},
    )  # fmt: skip
    frame = curve.to_frame()
    assert frame["within Subject"].tolist() == [4, 10, 4, 10]
    assert frame.power[3] > frame.power[1]
    assert frame.power[3] > frame.power[2]
    with pytest.raises(ml.ControlError, match="stands in effects too"):
        ml.power_curve(sleep, {"Days": [1]}, effects={"Days": 4})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"test": "x"}, ml.ControlError, r"the coefficients are \(Intercept\), armtherapy and the terms arm"),
        ({"test": 3}, ml.DataTypeError, "test must be a text, a list of texts"),
        ({"test": lambda _: "no"}, ml.DataTypeError, "must return a p-value"),
        ({"test": lambda _: 2.0}, ml.DataTypeError, "between 0 and 1"),
        ({"ddf": "exact"}, ml.ControlError, "ddf must be"),
        ({"alpha": 0}, ml.ControlError, "alpha"),
        ({"n": 0}, ml.ControlError, "at least 1"),
        ({"threads": 0}, ml.ControlError, "threads"),
        ({"interval": "exact"}, ml.ControlError, "clopper-pearson"),
        ({"effects": {"x": 1}}, ml.ControlError, "no coefficient"),
        ({"extend": {"class": 3}}, ml.ControlError, "levels are school, pupil"),
        ({"within": {"school": 3}}, ml.ControlError, "fitted models"),
        ({"reduced": ". ~ . + (1 | pupil)", "n": 1}, ml.MultilevelError, "."),
    ],
)
def test_what_has_no_power(arguments, error, message):
    with pytest.raises(error, match=message):
        ml.power(TRIAL, **{"n": 2, "rng": 1, **arguments})


def test_what_has_no_power_of_a_fit(sleep):
    with pytest.raises(ml.ControlError, match="fixed effect of the model"):
        ml.power(sleep, effects={"Dayz": 1})
    with pytest.raises(ml.ControlError, match="refitted as it is"):
        ml.power(sleep, "Reaction ~ 1 + (1 | Subject)")
    with pytest.raises(ml.UnknownColumnError, match="grouping variable"):
        ml.power(sleep, extend={"subject": 3})
    with pytest.raises(ml.FormulaError, match="must be the smaller"):
        ml.power(sleep, reduced=". ~ . + I(Days^2)", n=1, rng=1)
    with pytest.raises(ml.DataTypeError, match="a DataDesign or a model fitted by lmer"):
        ml.power("y ~ x")


def test_intervals_of_shares():
    """R's binom.test and prop.test(correct = FALSE)."""
    np.testing.assert_allclose(share_interval(80, 100, 0.95), [0.7081573, 0.8733444], atol=5e-8)
    np.testing.assert_allclose(share_interval(80, 100, 0.95, "wilson"), [0.7111708, 0.8666331], atol=5e-8)
    assert share_interval(0, 10, 0.95)[0] == 0.0
    assert share_interval(10, 10, 0.95)[1] == 1.0
    assert math.isnan(share_interval(0, 0, 0.95)[0])


def test_it_prints():
    found = ml.power(TRIAL, n=30, rng=1, interval="wilson")
    assert str(found).startswith("Power by simulation\nModel: score ~ arm + (1 | school)")
    assert "30 replicates, significant at 0.05" in found.to_html()
    assert found.to_markdown().startswith("**Power by simulation**")
    assert r"\toprule" in found.to_latex()
