"""Standardized coefficients: against effectsize/parameters in R, the scenarios, and what must hold for any model."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.quality.scaling import scale_of, weighted_median
from reference_cases import frame, reference
from small_models import without_data

VARIANTS = {
    "plain": {},
    "robust": {"robust": True},
    "two_sd": {"two_sd": True},
    "no_response": {"include_response": False},
}
MODELS = {model["name"]: model for model in reference("standardize")["models"]}
CONTRASTS = {"interv_label": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])}


@functools.cache
def fitted(name):
    model = MODELS[name]
    return ml.lmer(
        model["formula"],
        frame(model["source"], model["data"]),
        reml=model["reml"],
        weights=model.get("weights"),
        contrasts=CONTRASTS if "contrasts" in model else None,
    )


def numbers(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


# ---- against R ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_r(name):
    model, fit = MODELS[name], fitted(name)
    compared = 0
    for table in model["tables"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ml.MultilevelWarning)
            found = ml.standardize_parameters(fit, table["method"], ddf=table["ddf"], **VARIANTS[table["variant"]])
        own = found.to_frame()
        estimate, error = numbers(table["estimate"]), numbers(table["std_error"])
        rows = own["estimate"].notna().to_numpy(copy=True)
        if table["method"] != "refit":
            # R multiplies by a median absolute deviation of zero, and has 0 for the intercept.
            rows &= error != 0.0
        if table["method"] in ("posthoc", "smart"):
            # In R an interaction is multiplied by the spread of its last variable only.
            rows &= [":" not in label for label in own.index]
        # The crossed model of the schools is the one that R's optimiser leaves least exact, and so is R's own model of pseudo.
        tolerance = 5e-6 if name == "scottish" or table["method"] == "pseudo" else 1e-8
        assert own["estimate"][rows].to_numpy() == pytest.approx(estimate[rows], abs=tolerance * error[rows].max())
        assert own["std_error"][rows].to_numpy() == pytest.approx(error[rows], rel=tolerance)
        allowed = max(tolerance, 1e-6) * error[rows].max()
        assert own["conf_low"][rows].to_numpy() == pytest.approx(numbers(table["conf_low"])[rows], abs=allowed)
        compared += int(rows.sum())
    assert compared >= 4 * len(model["coefficients"]) - 3


@pytest.mark.parametrize("name", MODELS)
def test_refitted_models_agree_with_r(name):
    model = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MultilevelWarning)
        again = ml.standardize_fit(fitted(name))
    assert again.convergence.converged
    assert again.reml == model["reml"]
    criterion = again.reml_criterion if model["reml"] else again.deviance
    assert criterion == pytest.approx(model["refitted"]["criterion"], rel=1e-9)
    assert again.sigma == pytest.approx(model["refitted"]["sigma"], rel=1e-7)
    assert again.theta.to_numpy() == pytest.approx(model["refitted"]["theta"], abs=1e-6)


# ---- the scenarios -----------------------------------------------------------------------------------------------------


def rounded(name, **options):
    table = ml.standardize_parameters(fitted(name), **options).to_frame()
    return {
        label: tuple(np.round(row, 2) + 0.0) for label, row in table[["estimate", "conf_low", "conf_high"]].iterrows()
    }


def test_scenarios():
    for options in ({}, {"ddf": "satterthwaite"}):
        found = rounded("scenario_1", **options)
        assert found["(Intercept)"][0] == 0.0
        assert found["x1"] == (0.53, 0.51, 0.55)
        assert found["x2"] == (0.44, 0.42, 0.46)
        found = rounded("scenario_3", **options)
        assert found["x1"] == (0.50, 0.48, 0.52)
        assert found["x2"][0] == 0.41
        assert found["x2"][1:] == pytest.approx((0.40, 0.43), abs=0.0051)
        assert found["x1_mean"] == (0.27, 0.24, 0.30)


def test_scenario_4():
    table = ml.standardize_parameters(fitted("scenario_4")).to_frame()
    assert table["estimate"].round(4).tolist() == [0.0062, 0.3376, 0.2623, 0.0093, -0.0220, 0.7849, 0.4124]
    found = rounded("scenario_4")
    assert found["x1_c"][1:] == (0.25, 0.43)
    assert found["x2"][1:] == (0.25, 0.27)
    assert found["interv_label1"][1:] == (-0.06, 0.08)
    assert found["interv_label2"][1:] == (-0.09, 0.05)
    assert found["x1_c:interv_label1"][1:] == (0.66, 0.91)
    assert found["x1_c:interv_label2"][1:] == (0.29, 0.53)


def test_scenario_4_by_hand():
    data = frame("fixture", "scenario_4").copy()
    for name in ("x1_c", "x2", "y"):
        data[name] = (data[name] - data[name].mean()) / data[name].std()
    by_hand = ml.lmer(MODELS["scenario_4"]["formula"], data, contrasts=CONTRASTS)
    found = ml.standardize_fit(fitted("scenario_4"))
    assert found.fixef.to_numpy() == pytest.approx(by_hand.fixef.to_numpy(), rel=1e-8, abs=1e-10)
    assert found.reml_criterion == pytest.approx(by_hand.reml_criterion, rel=1e-12)


# ---- any model ---------------------------------------------------------------------------------------------------------


@functools.cache
def sample():
    rng = np.random.default_rng(3)
    n = 300
    g = rng.integers(0, 15, n)
    data = pd.DataFrame({"g": g, "x": rng.normal(5, 2, n), "z": rng.exponential(1, n) + 0.1})
    data["f"] = pd.Categorical(np.array(list("abc"))[rng.integers(0, 3, n)])
    data["b"] = rng.integers(0, 2, n).astype(bool)
    data["w"], data["o"] = rng.uniform(0.5, 2, n), rng.normal(3, 1, n)
    data["year"] = 2000 + g % 7
    data["kind"] = rng.integers(1, 4, n)
    data["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D")
    data["y"] = (
        30 + 2 * data.x + np.log(data.z) + 0.3 * (data.year - 2000) + rng.normal(size=15)[g] + rng.normal(size=n)
    )
    data["y"] += 0.5 * rng.normal(size=15)[g] * data.x
    return data


def scaled(values):
    return (values - values.mean()) / values.std()


def estimates(fit, method="refit", **options):
    return ml.standardize_parameters(fit, method, **options).to_frame()["estimate"].to_numpy()


def test_highest_interactions_are_the_same_posthoc_and_refitted():
    fit = ml.lmer("y ~ x * z + x * f + (x | g)", sample())
    refit, posthoc = (ml.standardize_parameters(fit, m).to_frame()["estimate"] for m in ("refit", "posthoc"))
    highest = ["x:z", "x:fb", "x:fc"]
    assert posthoc[highest].to_numpy() == pytest.approx(refit[highest].to_numpy(), rel=1e-6)
    assert np.isnan(posthoc["(Intercept)"])


def test_offsets_are_divided_by_the_spread_of_the_response():
    data = sample()
    outside = data.assign(y=data.y - data.o)
    expected = ml.lmer("y ~ x + z + (1 | g)", outside).fixef.to_numpy()[1:]
    expected = expected * data[["x", "z"]].std().to_numpy() / data.y.std()
    for formula, options in [
        ("y ~ x + z + offset(o) + (1 | g)", {}),
        ("y ~ x + z + (1 | g)", {"offset": "o"}),
        ("y ~ x + z + (1 | g)", {"offset": data.o.to_numpy()}),
        ("y ~ x + z + offset(o) + (1 | g)", {"offset": np.zeros(len(data))}),
    ]:
        found = estimates(ml.lmer(formula, data, **options))
        assert found[1:] == pytest.approx(expected, rel=1e-7)


def test_an_offset_stays_where_the_response_does():
    fit = ml.lmer("y ~ x + offset(o) + (1 | g)", sample())
    again = ml.standardize_fit(fit, include_response=False)
    assert again.fixef["x"] == pytest.approx(fit.fixef["x"] * sample().x.std(), rel=1e-8)
    with pytest.raises(ml.ControlError, match="offset, which has no meaning"):
        ml.standardize_fit(ml.lmer("log(y) ~ x + offset(o) + (1 | g)", sample()))


def test_a_predictor_that_is_a_grouping_factor_too():
    data = sample()
    fit = ml.lmer("y ~ x + year + (1 | g) + (1 | year)", data)
    again = ml.standardize_fit(fit)
    assert again.ngroups.to_dict() == fit.ngroups.to_dict()
    assert list(again.ranef()["year"].index) == list(fit.ranef()["year"].index)
    assert again.fixef["year_std"] == pytest.approx(fit.fixef["year"] * data.year.std() / data.y.std(), rel=1e-6)
    assert list(ml.standardize_parameters(fit).to_frame().index) == ["(Intercept)", "x", "year"]


def test_columns_of_other_use_stay():
    data = sample()
    for formula, options, changed in [
        ("y ~ kind * x + factor(kind):x + (1 | g)", {}, "kind_std"),
        ("y ~ x + w + (1 | g)", {"weights": "w"}, "w_std"),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
            fit = ml.lmer(formula, data, **options)
        again = ml.standardize_fit(fit)
        assert changed in str(again.formula)
        kept = changed.removesuffix("_std")
        assert np.array_equal(again._data.frame[kept], data[kept])


def test_factors_truth_values_and_dates():
    data = sample()
    found = ml.standardize_fit(ml.lmer("y ~ f + b + day + (1 | g)", data))
    by_hand = data.assign(y=scaled(data.y), day=scaled((data.day - data.day.min()).dt.days.astype(float)))
    assert found.fixef.to_numpy() == pytest.approx(
        ml.lmer("y ~ f + b + day + (1 | g)", by_hand).fixef.to_numpy(), rel=1e-6
    )


def test_transformed_before_and_after():
    data = sample()
    fit = ml.lmer("log(y) ~ x + log(z) + I(x^2) + (x | g)", data)
    with pytest.warns(ml.MultilevelWarning, match="'z', 'y' are standardized before the logarithm"):
        before = ml.standardize_fit(fit)
    z, y = scaled(data.z), scaled(data.y)
    by_hand = data.assign(x=scaled(data.x), z=z - z.min() + 1, y=y - y.min() + 1)
    again = ml.lmer("log(y) ~ x + log(z) + I(x^2) + (x | g)", by_hand)
    assert before.fixef.to_numpy() == pytest.approx(again.fixef.to_numpy(), rel=1e-6)
    after = ml.standardize_fit(fit, transformed="after")
    by_hand = data.assign(x=scaled(data.x), x2=scaled(data.x**2), z=scaled(np.log(data.z)), y=scaled(np.log(data.y)))
    again = ml.lmer("y ~ x + z + x2 + (x | g)", by_hand)
    assert after.fixef.to_numpy() == pytest.approx(again.fixef.to_numpy(), rel=1e-6)
    assert str(after.formula) == "`log(y)` ~ x + `log(z)` + `I(x^2)` + (x | g)"
    shown = ml.standardize_parameters(fit, transformed="after")
    assert list(shown.to_frame().index) == list(fit.fixef.index)


def test_polynomials_do_not_depend_on_the_scale():
    fit = ml.lmer("y ~ poly(x, 2) + z + (1 | g)", sample())
    assert estimates(fit)[1:3] == pytest.approx(fit.fixef.to_numpy()[1:3] / sample().y.std(), rel=1e-7)
    after = ml.standardize_parameters(fit, transformed="after").model
    assert str(after.formula) == str(fit.formula)


def test_missing_rows_play_no_part():
    data = sample().copy()
    data.loc[:9, "x"] = np.nan
    whole = estimates(ml.lmer("y ~ x + z + f + (x | g)", data.iloc[10:]))
    for action in ("omit", "exclude"):
        with pytest.warns(ml.MissingValuesWarning):
            fit = ml.lmer("y ~ x + z + f + (x | g)", data, na_action=action, weights=np.ones(len(data)))
        assert estimates(fit) == pytest.approx(whole, rel=1e-8)
        assert len(ml.standardize_fit(fit).residuals()) == (290 if action == "omit" else 300)


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dict", "lazy"])
def test_any_data_frame(kind):
    import polars as pl
    import pyarrow as pa

    data = sample()[["y", "x", "z", "g"]]
    given = {
        "polars": lambda: pl.from_pandas(data),
        "pyarrow": lambda: pa.Table.from_pandas(data),
        "dict": lambda: {name: data[name].to_numpy() for name in data},
        "lazy": lambda: pl.from_pandas(data).lazy(),
    }[kind]()
    fit = ml.lmer("y ~ x + log(z) + (x | g)", given)
    expected = estimates(ml.lmer("y ~ x + log(z) + (x | g)", data), transformed="after")
    assert estimates(fit, transformed="after") == pytest.approx(expected, rel=1e-8)


def test_the_data_given_do_not_change():
    data = sample().copy()
    before = data.copy()
    ml.standardize_fit(ml.lmer("y ~ x + (1 | g)", data))
    pd.testing.assert_frame_equal(data, before)


def test_smart_uses_the_reference_level():
    data = sample()
    fit = ml.lmer("y ~ f + x + (1 | g)", data)
    own = ml.standardize_parameters(fit, "smart").to_frame()["estimate"]
    assert own["fb"] == pytest.approx(fit.fixef["fb"] / data.y[data.f == "a"].std(), rel=1e-10)
    last = ml.lmer("y ~ f + x + (1 | g)", data, contrasts={"f": CONTRASTS["interv_label"]})
    own = ml.standardize_parameters(last, "smart").to_frame()["estimate"]
    assert own["f1"] == pytest.approx(last.fixef["f1"] / data.y[data.f == "c"].std(), rel=1e-10)
    every = ml.lmer("y ~ f:x + (1 | g)", data)
    own = ml.standardize_parameters(every, "smart").to_frame()["estimate"]
    assert own["fb:x"] == pytest.approx(every.fixef["fb:x"] * data.x.std() / data.y[data.f == "b"].std(), rel=1e-10)
    with pytest.raises(ml.ControlError, match="'f' has none under its contrasts"):
        ml.standardize_parameters(ml.lmer("y ~ f + (1 | g)", data, contrasts={"f": "sum"}), "smart")


def test_pseudo_takes_the_level_of_each_predictor():
    data = sample()
    data = data.assign(mean=data.groupby("g").x.transform("mean"))
    data["within"] = data.x - data["mean"]
    fit = ml.lmer("y ~ within + mean + (within | g)", data)
    found = ml.standardize_parameters(fit, "pseudo")
    empty = ml.lmer("y ~ 1 + (1 | g)", data).varcorr()
    between, within = float(empty.terms[0].standard_deviations[0]), empty.sigma
    table = found.to_frame()
    assert table["part"].tolist() == ["between", "within", "between"]
    assert table["estimate"]["within"] == pytest.approx(fit.fixef["within"] * data.within.std() / within, rel=1e-6)
    spread = data.groupby("g").x.mean().std()
    assert table["estimate"]["mean"] == pytest.approx(fit.fixef["mean"] * spread / between, rel=1e-6)
    assert "between" in str(found)
    with pytest.warns(ml.MultilevelWarning, match="'x' varies within and between the levels of 'g'"):
        ml.standardize_parameters(ml.lmer("y ~ x + (1 | g)", data), "pseudo")


def test_other_tests_of_the_same_coefficients():
    fit = fitted("sleepstudy")
    plain = ml.standardize_parameters(fit, "basic", ddf="satterthwaite").to_frame()
    assert plain["df"]["Days"] == pytest.approx(17.0, rel=1e-6)
    assert plain["statistic"]["Days"] == pytest.approx(fit.fixef["Days"] / fit.standard_errors["Days"], rel=1e-12)
    robust = ml.standardize_parameters(fit, "refit", vcov="CR2")
    assert "cluster-robust" in str(robust)
    expected = ml.robust_coefficients(fit, "CR2")["statistic"]["Days"]
    assert robust.to_frame()["statistic"]["Days"] == pytest.approx(expected, rel=1e-6)


# ---- scales ------------------------------------------------------------------------------------------------------------


def test_equal_weights_change_nothing():
    values = np.random.default_rng(1).normal(3, 2, 50)
    for robust in (False, True):
        plain, weighted = scale_of(values, robust=robust), scale_of(values, np.full(50, 2.5), robust=robust)
        assert weighted.center == pytest.approx(plain.center, rel=1e-12)
        assert weighted.spread == pytest.approx(plain.spread, rel=1e-12)


def test_weighted_median():
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])) == 2.0
    assert weighted_median(np.array([4.0, 1.0, 2.0, 3.0]), np.ones(4)) == 2.5
    assert weighted_median(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == 2.0


def test_variables_without_spread():
    data = sample().assign(rare=(np.arange(300) % 7 == 0).astype(float))
    fit = ml.lmer("y ~ x + rare + (1 | g)", data)
    with pytest.warns(ml.MultilevelWarning, match="'rare' has a median absolute deviation of zero"):
        found = ml.standardize_parameters(fit, robust=True)
    assert found.scales.loc["rare"].tolist() == [0.0, 1.0]
    with pytest.warns(ml.MultilevelWarning, match="'rare' has a median absolute deviation of zero"):
        posthoc = ml.standardize_parameters(fit, "posthoc", robust=True)
    assert posthoc.to_frame()["estimate"]["rare"] == pytest.approx(found.to_frame()["estimate"]["rare"], rel=1e-8)


# ---- options and output ------------------------------------------------------------------------------------------------


def test_bad_options():
    fit = fitted("sleepstudy")
    for options, message in [
        ({"method": "refits"}, "method must be one of 'refit'"),
        ({"level": 1.5}, "level must be a number between 0 and 1"),
        ({"transformed": "inside"}, "transformed must be 'before' or 'after'"),
        ({"method": "basic", "transformed": "after"}, "is for method='refit'"),
        ({"method": "pseudo", "robust": True}, "cannot be robust"),
        ({"ddf": "z"}, "ddf must be one of"),
    ]:
        with pytest.raises(ml.ControlError, match=message):
            ml.standardize_parameters(fit, **options)
    with pytest.raises(ml.ControlError, match="grouping factors primary, second"):
        ml.standardize_parameters(fitted("scottish"), "pseudo")
    with pytest.raises(ml.DataError, match="no data frame"):
        ml.standardize_fit(without_data(fit))


def test_forms_of_output():
    found = ml.standardize_parameters(fitted("sleepstudy"), two_sd=True, include_response=False)
    assert "| Days |" in found.to_markdown()
    assert "<table" in found.to_html()
    assert found._repr_html_() == found.to_html()
    assert r"\begin{tabular}" in found.to_latex()
    text = str(found)
    assert "95% CI" in text
    assert "changes by two standard deviations" in text
    assert "in its own units" in text
    assert "nan" not in str(ml.standardize_parameters(fitted("sleepstudy"), "basic")).lower()
