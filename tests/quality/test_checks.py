"""The checks against R's packages, and what they say of models that are right and wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

import multilevel as ml
import reference_cases as rc
from multilevel.quality.checks.result import Check, listed, number, p_text
from small_models import without_data

MODELS = {model["name"]: model for model in rc.reference("checks")["models"]}
SCENARIOS = [name for name in MODELS if name.startswith("scenario")]
SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def fits():
    return {name: ml.lmer(model["formula"], rc.frame(model["source"], model["data"])) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", list(MODELS))
def test_against_r(fits, name):
    model, fit = MODELS[name], fits[name]
    # Residuals of R's fit differ from these in the seventh digit.
    normality = ml.check_normality(fit).table.loc["residuals", "p_value"]
    assert normality == pytest.approx(model["shapiro"], rel=1e-5)
    if fit.nobs < 5000:  # performance takes another test from there on
        assert normality == pytest.approx(model["normality"], rel=1e-5)
    random = ml.check_normality(fit, "random", standardise=False).table
    np.testing.assert_allclose(random["p_value"], model["random_normality"], rtol=1e-5)
    table = ml.check_heteroscedasticity(fit, by=model["by"]).table
    for test in ("score", "studentised"):
        assert table.loc[test, "statistic"] == pytest.approx(model[test], rel=1e-5)
    assert table.loc[f"levene {model['by']}", "statistic"] == pytest.approx(model["levene"], rel=1e-5)
    assert ml.check_autocorrelation(fit).numbers["durbin_watson"] == pytest.approx(model["durbin_watson"], rel=1e-6)
    outliers = ml.check_outliers(fit, level=0.0)
    assert outliers.numbers["threshold"] == pytest.approx(model["threshold"])
    assert sorted(outliers.table.index) == sorted(model["outliers"])
    if "vif" in model:
        vif = ml.check_collinearity(fit).table
        np.testing.assert_allclose(vif["vif"], model["vif"]["vif"], rtol=1e-6)
        assert vif["df"].tolist() == model["vif"]["df"]
        assert [term.replace("**", "^").replace(" ", "") for term in vif.index] == model["vif"]["terms"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_within_and_between_against_r(fits, name):
    expected, check = MODELS[name]["means"], ml.check_within_between(fits[name])
    table = check.table
    for column in ("within", "difference", "std_error"):
        np.testing.assert_allclose(table[column], expected[column], rtol=1e-6)
    np.testing.assert_allclose(table["between"], np.add(expected["within"], expected["difference"]), rtol=1e-6)
    np.testing.assert_allclose(table["df"], expected["df"], rtol=1e-4)
    np.testing.assert_allclose(table["p_value"], expected["p_value"], rtol=1e-3, atol=1e-30)
    assert check.numbers["statistic"] == pytest.approx(expected["statistic"], rel=1e-6)
    assert check.numbers["df_denominator"] == pytest.approx(expected["df_denominator"], rel=1e-4)
    assert check.numbers["p_value"] == pytest.approx(expected["joint_p_value"], rel=1e-3)
    modes = ml.check_random_effects_correlation(fits[name]).table
    np.testing.assert_allclose(modes["correlation"], expected["correlation"], rtol=1e-5)
    np.testing.assert_allclose(modes["p_value"], expected["correlation_p_value"], rtol=1e-4, atol=1e-30)


def test_what_the_scenarios_teach(fits):
    assert ml.check_model(fits["scenario_1"]).ok
    # A confounder that goes with no predictor's cluster means shows only as variance between clusters.
    second = ml.check_within_between(fits["scenario_2"])
    assert second.ok
    assert "standard deviation 4.48" in second.conclusion
    third = ml.check_model(fits["scenario_3"])
    warned = [name for name, check in third.items() if check.ok is False]
    assert warned == ["slopes within and between clusters", "random effects and cluster means"]
    check = third["slopes within and between clusters"]
    assert check.table.loc["x1", ["within", "between"]].round(1).tolist() == [3.0, 15.4]
    assert check.conclusion.startswith("The slope of x1 within k_id is 3.03, between its levels 15.4")
    assert "contextual effect, or an unmeasured cluster-level confounder" in check.conclusion
    assert "Add the cluster mean of x1" in check.conclusion
    with_mean = ml.lmer("y ~ x1 + x2 + x1_mean + (1 | k_id)", rc.frame("fixture", "scenario_3"))
    added = ml.check_within_between(with_mean)
    assert added.ok
    assert list(added.table.index) == ["x2"]


def test_within_and_between_with_robust_covariances_and_other_groups(fits):
    fit = fits["scenario_3"]
    robust = ml.check_within_between(fit, vcov="CR2")
    plain = ml.check_within_between(fit)
    assert robust.table["difference"].tolist() == plain.table["difference"].tolist()
    assert not np.allclose(robust.table["std_error"], plain.table["std_error"], rtol=1e-4)
    assert robust.ok is False
    crossed = ml.lmer("y ~ cond + (1 | subject) + (1 | item)", rc.frame("fixture", "subjects_items"))
    assert ml.check_within_between(crossed).data.index.name == "subject"
    assert ml.check_within_between(crossed, "item").data.index.name == "item"
    # The slopes of a model whose random part holds the predictor's column find it where it went.
    slopes = ml.lmer("y ~ x1_c * interv_label + x2 + (x1_c | k_id)", rc.frame("fixture", "scenario_4"))
    frame = rc.frame("fixture", "scenario_4")
    names = ["x1_c", "x2", "x1_c:interv_labelMindfulness", "x1_c:interv_labelNo Intv"]
    frame = frame.assign(
        **{
            f"m{i}": pd.Series(slopes.get_me("X")[:, slopes.fixef.index.get_loc(n)])
            .groupby(frame["k_id"])
            .transform("mean")
            for i, n in enumerate(names)
        }
    )
    by_hand = ml.lmer("y ~ x1_c * interv_label + x2 + m0 + m1 + m2 + m3 + (x1_c | k_id)", frame)
    np.testing.assert_allclose(
        ml.check_within_between(slopes).table["difference"], by_hand.fixef[["m0", "m1", "m2", "m3"]], rtol=1e-4
    )


def test_whatever_does_not_apply_says_why():
    balanced = ml.lmer(SLEEP, ml.load_dataset("sleepstudy"))
    same = ml.check_within_between(balanced)
    assert same.ok is None
    assert bool(same)
    assert "same mean in all" in same.conclusion
    assert ml.check_random_effects_correlation(balanced).ok is None
    assert "two terms" in ml.check_collinearity(balanced).conclusion
    crossed = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))
    assert ml.check_autocorrelation(crossed).ok is None
    assert "No predictor varies within plate" in ml.check_within_between(crossed).conclusion
    means_only = ml.lmer("y ~ x1 + x1_mean + (1 | k_id)", rc.frame("fixture", "scenario_3"))
    assert "already holds the k_id means" in ml.check_within_between(means_only).conclusion
    none = ml.lmer("Reaction ~ 0 + (1 | Subject)", ml.load_dataset("sleepstudy"))
    assert ml.check_outliers(none).ok is None
    zero = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))
    assert ml.check_normality(zero, "random").ok is None
    page = ml.check_model(zero)
    assert page["singularity"].ok is False
    assert "variance of (Intercept) by Batch is estimated as zero" in page["singularity"].conclusion


def test_singular_by_a_correlation():
    check = ml.check_singularity(rc.fit("perfect_correlation_reml"))
    assert check.ok is False
    assert "correlation of (Intercept) and x by g is estimated as 1" in check.conclusion
    assert ml.check_convergence(rc.fit("perfect_correlation_reml")).ok


def test_a_fit_that_did_not_end_at_an_optimum():
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.lmer(
            SLEEP, ml.load_dataset("sleepstudy"), control=ml.LmerControl(optimizer="bobyqa", max_evaluations=12)
        )
    check = ml.check_convergence(fit)
    assert check.ok is False
    assert "not at an optimum" in check.conclusion
    assert check.data["criterion"].is_monotonic_decreasing or len(check.data) > 0


def scores(n):
    return ndtri((np.arange(n) + 0.5) / n)


@pytest.fixture(scope="module")
def simulated():
    """Clusters with residuals that are long-tailed, spread with the mean, or follow one another."""
    rng = np.random.default_rng(8)
    g, t = np.repeat(np.arange(60), 20), np.tile(np.arange(20), 60)
    # Normal scores in random order: what is drawn does not happen to be long-tailed or skewed.
    x, noise = rng.permutation(scores(1200)), rng.permutation(scores(1200))
    base = 10.0 + 2.0 * x + rng.permutation(scores(60))[g]
    e = rng.normal(size=(60, 20))
    for k in range(1, 20):
        e[:, k] = 0.6 * e[:, k - 1] + 0.8 * e[:, k]
    return pd.DataFrame(
        {
            "g": g,
            "t": t,
            "x": x,
            "clean": base + noise,
            "spread": base + np.exp(0.3 * (base - 10.0)) * rng.normal(size=1200),
            "tails": base + rng.standard_t(2, 1200),
            "series": base + e.ravel(),
            "skewed": np.exp(base / 4.0),
        }
    )


def test_what_is_wrong_is_found(simulated):
    fits = {
        name: ml.lmer(f"{name} ~ x + (1 | g)", simulated) for name in ("clean", "spread", "tails", "series", "skewed")
    }
    found = {
        name: {check.name for check in ml.check_model(fit).values() if check.ok is False} for name, fit in fits.items()
    }
    assert not found["clean"]
    assert "heteroscedasticity" in found["spread"]
    assert {"normality of the residuals", "outliers", "predictions"} <= found["tails"]
    assert found["series"] == {"autocorrelation"}
    assert "predictions" in found["skewed"]
    check = ml.check_autocorrelation(fits["series"])
    assert check.numbers["autocorrelation"] == pytest.approx(0.55, abs=0.15)
    assert "Neighbouring residuals within clusters are correlated" in check.conclusion


def test_the_order_of_rows(simulated):
    shuffled = simulated.sample(frac=1.0, random_state=3)
    fit = ml.lmer("series ~ x + (1 | g)", simulated)
    other = ml.lmer("series ~ x + (1 | g)", shuffled)
    assert ml.check_autocorrelation(other).ok
    for order in ("t", shuffled["t"]):
        numbers = ml.check_autocorrelation(other, order).numbers
        assert numbers["autocorrelation"] == pytest.approx(
            ml.check_autocorrelation(fit).numbers["autocorrelation"], abs=1e-6
        )
    with pytest.raises(ml.DataError, match="has 3 values; there are 1200 rows"):
        ml.check_autocorrelation(fit, [1, 2, 3])
    with pytest.raises(ml.DataError, match="lacks a value in 1"):
        ml.check_autocorrelation(fit, np.r_[np.nan, np.ones(1199)])
    with pytest.raises(ml.DataError, match="not at hand"):
        ml.check_autocorrelation(without_data(fit), "t")


def test_scale_of_the_response_does_not_matter(simulated):
    for factor in (1e-3, 1e4):
        frame = simulated.assign(y=simulated["clean"] * factor)
        one, other = ml.lmer("clean ~ x + (1 | g)", simulated), ml.lmer("y ~ x + (1 | g)", frame)
        for check in (
            ml.check_heteroscedasticity,
            ml.check_normality,
            ml.check_autocorrelation,
            ml.check_within_between,
        ):
            a, b = check(one).table, check(other).table
            for column in {"p_value", "autocorrelation"} & set(a):
                np.testing.assert_allclose(a[column], b[column], rtol=1e-5, atol=1e-8)


def test_collinear_predictors():
    rng = np.random.default_rng(2)
    x = rng.normal(size=300)
    frame = pd.DataFrame(
        {"g": np.repeat(np.arange(30), 10), "x": x, "z": x + 0.1 * rng.normal(size=300), "u": rng.normal(size=300)}
    )
    frame["y"] = frame["x"] + rng.normal(size=300)
    check = ml.check_collinearity(ml.lmer("y ~ x + z + u + (1 | g)", frame))
    assert check.ok is False
    assert check.table["level"].tolist() == ["high", "high", "low"]
    assert check.numbers["condition_number"] > 10
    through_origin = ml.check_collinearity(ml.lmer("y ~ 0 + x + u + (1 | g)", frame))
    assert "no intercept" in through_origin.conclusion


def test_predictive_checks_can_be_repeated(simulated):
    fit = ml.lmer("clean ~ x + (1 | g)", simulated)
    one, same, other = (ml.check_predictions(fit, 100, rng=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(one.table, same.table)
    assert not one.table.equals(other.table)
    assert one.data["replicate"].max() == 50
    width = one.data.loc[one.data["replicate"].eq(0), "response"].diff().iloc[1]
    assert one.data.loc[one.data["replicate"].eq(0), "density"].sum() * width == pytest.approx(1.0, abs=0.01)
    assert ml.check_predictions(fit, 120, conditional=True).ok
    with pytest.raises(ml.ControlError, match="at least 100"):
        ml.check_predictions(fit, 30)


def test_large_samples_are_judged_by_size():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(300), 20)
    x = rng.normal(size=6000)
    e = rng.normal(size=6000)
    e += 0.05 * (e**2 - 1.0)  # significant, and of no consequence
    frame = pd.DataFrame({"g": g, "x": x, "y": x + rng.normal(size=300)[g] + e})
    check = ml.check_normality(ml.lmer("y ~ x + (1 | g)", frame))
    assert check.ok
    assert check.numbers["smallest_p_value"] < 0.001
    assert len(check.data) <= 2000
    frame["y"] = x + rng.normal(size=300)[g] + rng.exponential(size=6000)
    assert ml.check_normality(ml.lmer("y ~ x + (1 | g)", frame)).ok is False


def test_random_effects_are_standardised_by_their_shrinkage():
    rng = np.random.default_rng(6)
    sizes = np.where(np.arange(200) % 2, 2, 40)
    g = np.repeat(np.arange(200), sizes)
    frame = pd.DataFrame({"g": g, "y": rng.normal(size=200)[g] + 2.0 * rng.normal(size=g.size)})
    fit = ml.lmer("y ~ 1 + (1 | g)", frame)
    # Modes of two sizes of groups are a mixture of two normal distributions.
    raw = ml.check_normality(fit, "random", standardise=False).table["kurtosis"].iloc[0]
    standardised = ml.check_normality(fit, "random").table["kurtosis"].iloc[0]
    assert raw > 0.5
    assert abs(standardised) < 0.5


def test_pages(fits):
    page = ml.check_model(fits["rat_pups"], by="Treatment")
    assert len(page) == 11
    assert "heteroscedasticity" in page
    text = str(page)
    assert text.startswith("Checks of weight ~ ")
    for check in page.values():
        assert f"{check.title}: {check.verdict}" in text
        assert check.title in check.to_html()
        assert check.verdict in check.to_markdown()
        assert "noindent" in check.to_latex()
        pd.testing.assert_frame_equal(check.to_frame(), check.table)
        assert str(check) == repr(check)
    for whole in (page.to_html(), page._repr_html_(), page.to_markdown(), page.to_latex()):
        assert "Collinearity" in whole
    assert page.to_frame()["verdict"].isin(["OK", "Warning", "Not checked"]).all()
    with pytest.raises(KeyError):
        page["beauty"]
    many = Check("rows", False, "Many.", {}, pd.DataFrame({"n": np.arange(20)}).rename_axis("row"), pd.DataFrame())
    assert "8 more rows" in str(many)
    assert "first 12 of 20" in many.to_html()


def test_rows_put_back(simulated):
    frame = simulated.copy()
    frame.loc[5, "clean"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("clean ~ x + (1 | g)", frame, na_action="exclude")
    page = ml.check_model(fit, by="t", order="t")
    assert page.ok
    assert page["outliers"].data["cooks_distance"].isna().sum() <= 1


def test_what_cannot_be_used(fits):
    fit = fits["sleepstudy"]
    with pytest.raises(ml.ControlError, match="'residuals' or 'random'"):
        ml.check_normality(fit, "fixed")
    with pytest.raises(ml.DataError, match="'Days' is not a grouping factor"):
        ml.check_random_effects_correlation(fit, "Days")


def test_words():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert (number(-4.4e-6), number(0.0), number(float("nan"))) == ("−4.40e-06", "0", "not defined")
    assert (p_text(0.0004), p_text(0.04)) == ("p < 0.001", "p = 0.040")
