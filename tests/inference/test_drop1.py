"""Single term deletions."""

from __future__ import annotations

import numpy as np
import pytest
from anova_reference import DESIGNS, INFERENCE, assert_same, cells, design_fit, inference_fit

import multilevel as ml

WITH_TERMS = [name for name, model in INFERENCE.items() if "drop1_chisq" in model]


@pytest.mark.parametrize("name", WITH_TERMS)
def test_f_tests(name):
    assert_same(ml.drop1(inference_fit(name)), INFERENCE[name]["drop1_satterthwaite"])


@pytest.mark.parametrize("name", WITH_TERMS)
def test_likelihood_ratios(name):
    assert_same(ml.drop1(inference_fit(name), test="chisq"), INFERENCE[name]["drop1_chisq"])


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_that_are_not_simple(name):
    assert_same(ml.drop1(design_fit(name)), DESIGNS[name]["drop1"])
    assert_same(ml.drop1(design_fit(name), test="chisq"), DESIGNS[name]["drop1_chisq"])


def test_likelihood_ratios_are_those_of_the_models_fitted_alone():
    data = cells("whole")
    fit = ml.lmer("y ~ a * b + x + (1 | g)", data, contrasts={"a": "sum"})
    frame = ml.drop1(fit, test="chisq").to_frame()
    assert list(frame) == ["df", "aic", "chisq", "p_value"]
    for term in ("x", "a:b"):
        compared = ml.anova(fit, fit.update(f". ~ . - {term}")).to_frame()
        assert frame.loc[term, "chisq"] == pytest.approx(compared["chisq"].iloc[1], rel=1e-6)
        assert frame.loc[term, "df"] == compared["df"].iloc[1]
        assert frame.loc[term, "aic"] == pytest.approx(compared["aic"].iloc[0])
    assert frame.loc["<none>", "aic"] == pytest.approx(fit.update(reml=False).aic)


def test_the_only_term_without_an_intercept():
    # Nothing is left of the fixed effects.
    fit = ml.lmer("y ~ 0 + x + (1 | g)", cells("whole"), reml=False)
    frame = ml.drop1(fit, test="chisq").to_frame()
    assert frame.loc["x", "df"] == 1
    assert frame.loc["x", "chisq"] > 100
    assert ml.drop1(fit).to_frame().loc["x", "statistic"] == pytest.approx(
        float((fit.fixef / fit.standard_errors).iloc[0] ** 2)
    )


def test_f_tests_are_of_type_2_for_terms_that_no_other_contains():
    fit = design_fit("slopes")
    single = ml.drop1(fit).to_frame()
    partial = ml.anova(fit, type=2).to_frame().loc[single.index]
    np.testing.assert_allclose(single.to_numpy(), partial.to_numpy(), rtol=1e-9)
    assert list(single.index) == ["z", "a:x", "b:c"]


def test_methods():
    fit = inference_fit("rat_pups")
    by_kenward_roger = ml.drop1(fit, ddf="kenward-roger")
    expected = ml.anova(fit, type=2, ddf="kenward-roger").to_frame().loc[["Lsize", "sex:Treatment"]]
    np.testing.assert_allclose(by_kenward_roger.to_frame().to_numpy(), expected.to_numpy(), rtol=1e-9)
    assert by_kenward_roger.title == "Single term deletions with Kenward and Roger's method"
    with pytest.raises(ml.ControlError, match="test must be 'F' or 'chisq'"):
        ml.drop1(fit, test="LR")


def test_printing():
    text = str(ml.drop1(inference_fit("cake_temp"), test="chisq"))
    assert "Fitted anew by maximum likelihood instead of REML" in text
    assert "recipe    2 1704.7  0.530  0.7672" in text
    assert "<none>      1708.2" in text


def test_without_terms():
    fit = inference_fit("penicillin")
    assert ml.drop1(fit).to_frame().empty
    assert list(ml.drop1(fit, test="chisq").to_frame().index) == ["<none>"]
