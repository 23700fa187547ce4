"""F and χ² tests of the terms of one model."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anova_reference import DESIGNS, INFERENCE, assert_same, cells, design_fit, inference_fit

import multilevel as ml
from multilevel.inference.hypotheses import containing_terms, larger_terms, term_hypotheses

TYPES = {"type1": "I", "type2": "II", "type3": "III"}
WITH_TERMS = [name for name, model in INFERENCE.items() if "anova_satterthwaite" in model]
SMALL = [name for name, model in INFERENCE.items() if "anova_kenward_roger" in model]
# pbkrtest takes no notice of prior weights.
UNWEIGHTED = [name for name, model in DESIGNS.items() if "weights" not in model]


# ---- against R -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", WITH_TERMS)
def test_satterthwaite(name, kind):
    assert_same(ml.anova(inference_fit(name), type=TYPES[kind]), INFERENCE[name]["anova_satterthwaite"][kind])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", SMALL)
def test_kenward_roger(name, kind):
    found = ml.anova(inference_fit(name), type=TYPES[kind], ddf="kenward-roger")
    assert_same(found, INFERENCE[name]["anova_kenward_roger"][kind])


@pytest.mark.parametrize("kind", ["type2", "type3"])
@pytest.mark.parametrize("name", WITH_TERMS)
def test_wald(name, kind):
    assert_same(ml.anova(inference_fit(name), type=TYPES[kind], test="chisq"), INFERENCE[name]["wald_chisq"][kind])


# lmerTest rounds the elements of its contrasts of type III, so that small F values differ in the fifth digit.
@pytest.mark.parametrize("kind", ["I", "II", "III"])
@pytest.mark.parametrize("name", DESIGNS)
def test_satterthwaite_in_designs_that_are_not_simple(name, kind):
    rtol = 5e-5 if kind == "III" else 2e-6
    assert_same(ml.anova(design_fit(name), type=kind), DESIGNS[name]["satterthwaite"][kind], rtol)


@pytest.mark.parametrize("kind", ["I", "II", "III"])
@pytest.mark.parametrize("name", UNWEIGHTED)
def test_kenward_roger_in_designs_that_are_not_simple(name, kind):
    rtol = 5e-5 if kind == "III" else 2e-6
    found = ml.anova(design_fit(name), type=kind, ddf="kenward-roger")
    assert_same(found, DESIGNS[name]["kenward_roger"][kind], rtol)


@pytest.mark.parametrize("kind", ["II", "III"])
@pytest.mark.parametrize("name", DESIGNS)
def test_wald_in_designs_that_are_not_simple(name, kind):
    assert_same(ml.anova(design_fit(name), type=kind, test="chisq"), DESIGNS[name]["chisq"][kind])


def test_scenario_4():
    # Printed with lme4's default optimiser, which stops a little before the optimum.
    fit = inference_fit("scenario_4_model_5")
    tests = ml.anova(fit).to_frame()
    assert list(tests.index) == ["x1_c", "x2", "interv_label", "x1_c:interv_label"]
    np.testing.assert_allclose(tests["statistic"], [911.1133, 1808.1285, 0.4738, 80.6076], rtol=1e-6, atol=5e-5)
    assert tests["df_denominator"].round(1).tolist() == [97.0, 4846.9, 97.1, 97.0]
    assert tests["df_numerator"].tolist() == [1, 1, 2, 2]
    assert round(tests.loc["interv_label", "p_value"], 4) == 0.6241
    wald = ml.anova(fit, test="chisq").to_frame()
    np.testing.assert_allclose(wald["chisq"], [7082.2905, 51.2669, 1808.1285, 0.9476, 161.2152], rtol=1e-6, atol=5e-5)
    assert wald["df"].tolist() == [1, 1, 1, 2, 2]
    assert round(wald.loc["interv_label", "p_value"], 4) == 0.6226


# ---- properties ----------------------------------------------------------------------------------------------------------

CODINGS = {
    "sum": {"a": "sum", "b": "sum", "c": "sum"},
    "helmert": {"a": "helmert", "b": "helmert", "c": "helmert"},
    "poly": {"a": "poly", "c": "poly"},
    "SAS": {"a": "SAS", "b": "SAS", "c": "SAS"},
    "base": {"a": ("treatment", 2)},
    "user": {"a": np.array([[3.0, 1.0], [1.0, -1.0], [0.5, 7.0]])},
}
FORMULAS = ["y ~ a * b * c + (1 | g)", "y ~ a * x + b * c + z + (1 | g)", "y ~ (a + b) * x * z + (1 | g)"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_type_3_does_not_depend_on_the_contrasts(formula, coding):
    data = cells("whole")
    plain = ml.anova(ml.lmer(formula, data)).to_frame()
    used = {name: value for name, value in CODINGS[coding].items() if name in formula}
    other = ml.anova(ml.lmer(formula, data, contrasts=used)).to_frame()
    pd.testing.assert_frame_equal(plain, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
def test_type_3_with_sum_contrasts_tests_the_coefficients(formula):
    # With all cells filled and contrasts that sum to zero, type III's hypotheses are that a term's coefficients are zero.
    used = {name: "sum" for name in "abc" if name in formula}
    fit = ml.lmer(formula, cells("whole"), contrasts=used)
    wald = ml.anova(fit, test="chisq").to_frame().drop(index="(Intercept)")
    tests = ml.anova(fit, ddf="asymptotic").to_frame()
    np.testing.assert_allclose(tests["statistic"] * tests["df_numerator"], wald["chisq"], rtol=1e-7)
    np.testing.assert_allclose(tests["p_value"], wald["p_value"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["three_way", "slopes", "polynomial", "gaps", "nested_slope", "user_contrasts"])
def test_the_last_term_is_the_same_in_all_types(name):
    columns = ["sum_sq", "df_numerator", "statistic"]
    last = [ml.anova(design_fit(name), type=kind).to_frame().iloc[-1][columns].to_numpy() for kind in (1, 2, 3)]
    np.testing.assert_allclose(last[1].astype(float), last[0].astype(float), rtol=1e-8)
    np.testing.assert_allclose(last[2].astype(float), last[0].astype(float), rtol=1e-8)


def test_types_agree_without_factors():
    fit = inference_fit("scenario_2_with_price")
    pd.testing.assert_frame_equal(ml.anova(fit, type=2).to_frame(), ml.anova(fit, type=3).to_frame())
    np.testing.assert_allclose(
        ml.anova(fit).to_frame()["statistic"], (fit.fixef / fit.standard_errors).iloc[1:] ** 2, rtol=1e-10
    )


def test_units_of_a_variable_do_not_matter():
    data = cells("whole")
    scaled = data.assign(x=1e6 * data["x"], z=1e-6 * data["z"])
    formula = "y ~ a * x * z + b + (1 | g)"
    for kind in (1, 2, 3):
        one, other = (ml.anova(ml.lmer(formula, d), type=kind).to_frame() for d in (data, scaled))
        pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-9)
        if kind > 1:
            one, other = (ml.anova(ml.lmer(formula, d), type=kind, test="chisq").to_frame() for d in (data, scaled))
            if kind == 3:
                one, other = one.loc[["a:x", "a:z", "x:z", "a:x:z"]], other.loc[["a:x", "a:z", "x:z", "a:x:z"]]
            pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-9)


def test_balanced_data_give_the_same_for_all_types():
    first, second, third = (ml.anova(inference_fit("cake"), type=kind).to_frame() for kind in ("I", "II", "III"))
    pd.testing.assert_frame_equal(first, second, rtol=1e-7)
    pd.testing.assert_frame_equal(first, third, rtol=1e-7)


def test_containment():
    data = cells("whole")
    fit = ml.lmer("y ~ a * x + b * c + a:b + poly(z, 2) * c + (1 | g)", data)
    labels = fit._design.term_labels

    def names(found):
        return {labels[k]: {labels[j] for j in others} for k, others in enumerate(found) if others}

    assert names(containing_terms(fit)) == {
        "a": {"a:b"}, "x": {"a:x"}, "b": {"b:c", "a:b"}, "c": {"b:c", "c:poly(z, 2)"}, "poly(z, 2)": {"c:poly(z, 2)"},
    }  # fmt: skip
    assert names(larger_terms(fit))["a"] == {"a:x", "a:b"}


def test_rows_with_missing_values_are_left_out_of_the_hypotheses():
    data = cells("whole").copy()
    data.loc[::7, "z"] = np.nan
    data.loc[len(data)] = data.iloc[0]
    data.loc[len(data) - 1, ["a", "z"]] = ["only here", np.nan]
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("y ~ a * b + z + (1 | g)", data)
    kept = ml.lmer("y ~ a * b + z + (1 | g)", data.dropna().reset_index(drop=True))
    pd.testing.assert_frame_equal(ml.anova(fit).to_frame(), ml.anova(kept).to_frame(), rtol=1e-7)


def test_a_factor_of_truth_values_and_of_an_expression():
    data = cells("whole").assign(t=lambda d: d["z"] > 0)
    one = ml.anova(ml.lmer("y ~ t * b + (1 | g)", data)).to_frame()
    other = ml.anova(ml.lmer("y ~ I(z > 0) * b + (1 | g)", data)).to_frame()
    np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), rtol=1e-9)


def test_a_matrix_of_many_rows_is_read_in_parts(monkeypatch):
    import multilevel.inference.hypotheses as hypotheses
    import multilevel.inference.recoding as recoding

    fit = design_fit("slopes_sum")
    whole = [term_hypotheses(fit, kind) for kind in (1, 2, 3)]
    for module in (hypotheses, recoding):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 33)
    parts = [term_hypotheses(fit, kind) for kind in (1, 2, 3)]
    for ours, others in zip(whole, parts, strict=True):
        for one, other in zip(ours, others, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)


# ---- results and errors --------------------------------------------------------------------------------------------------


def test_columns():
    table = ml.anova(inference_fit("cake"))
    frame = table.to_frame()
    assert list(frame) == ["sum_sq", "mean_sq", "df_numerator", "df_denominator", "statistic", "p_value"]
    assert type(frame) is pd.DataFrame
    np.testing.assert_allclose(frame["sum_sq"], frame["mean_sq"] * frame["df_numerator"])
    frame.iloc[:] = 0
    assert table.to_frame()["statistic"].gt(0).all()
    assert list(ml.anova(inference_fit("cake"), test="chisq").to_frame()) == ["chisq", "df", "p_value"]


def test_printing():
    table = ml.anova(inference_fit("sleepstudy"), type="II", ddf="kenward-roger")
    text = str(table)
    assert text.startswith("Type II analysis of variance with Kenward and Roger's method\n")
    assert "Days  30031   30031     1    17  45.853 3.264e-06 ***" in text
    assert repr(table) == text
    assert ">Days</th>" in table._repr_html_()
    assert "| Days | 30031 |" in table.to_markdown()
    assert r"\begin{tabular}" in table.to_latex()
    assert json.loads(json.dumps(table.to_dict()))["rows"][0]["df_numerator"] == 1


def test_p_values_are_printed_as_r_does():
    text = str(ml.anova(inference_fit("cake_temp")))
    assert "recipe   10.3    5.15     2    42  0.2488 0.7809" in text
    assert "temp   1966.7 1966.71     1   224 94.9759 <2e-16 ***" in text
    assert "< 2.2e-16 ***" in str(ml.anova(inference_fit("scenario_4_model_5"), test="chisq"))


def test_dropped_columns_are_named():
    table = ml.anova(design_fit("aliased"))
    assert table.note == "Columns dropped, determined by others: w"
    assert np.isnan(table.to_frame().loc["w", "statistic"])
    assert table.to_dict()["rows"][3]["p_value"] is None


def test_without_terms():
    fit = inference_fit("penicillin")
    assert ml.anova(fit).to_frame().shape == (0, 6)
    assert "F value" in str(ml.anova(fit))
    assert list(ml.anova(fit, test="chisq").to_frame().index) == ["(Intercept)"]
    assert ml.anova(fit, type=2, test="chisq").to_frame().empty


def test_options_are_checked():
    fit = inference_fit("sleepstudy")
    with pytest.raises(ml.ControlError, match="type must be one of 1, 2, 3"):
        ml.anova(fit, type=4)
    with pytest.raises(ml.ControlError, match="type must be one of 1, 2, 3"):
        ml.anova(fit, type=True)
    with pytest.raises(ml.ControlError, match="test must be 'F' or 'chisq'"):
        ml.anova(fit, test="LR")
    with pytest.raises(ml.ControlError, match="for type 1 use test='F'"):
        ml.anova(fit, type=1, test="chisq")
    with pytest.raises(ml.ControlError, match="ddf must be one of"):
        ml.anova(fit, ddf="lme")
    with pytest.raises(ml.ControlError, match="REML"):
        ml.anova(fit.update(reml=False), ddf="kenward-roger")
    with pytest.raises(ml.DataTypeError, match="must be a model fitted by lmer, not 'y ~ x'"):
        ml.anova("y ~ x")
    with pytest.raises(ml.DataTypeError, match="needs a fitted model"):
        ml.anova()


def test_data_that_were_changed_since():
    data = cells("whole").copy()
    fit = ml.lmer("y ~ a * b + (1 | g)", data)
    before = ml.anova(fit).to_frame(), ml.drop1(fit, test="chisq").to_frame()
    data["a"] = data["a"].to_numpy()[::-1]
    pd.testing.assert_frame_equal(ml.anova(fit).to_frame(), before[0])
    pd.testing.assert_frame_equal(ml.drop1(fit, test="chisq").to_frame(), before[1])
