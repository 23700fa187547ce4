"""Indices and comparisons of models against performance."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.quality.performance import CRITERIA

REFERENCE = rc.reference("quality_performance")
CASES = {case["name"]: case for case in REFERENCE["variances"]}
SCENARIO = [f"scenario_4_model_{i}_reml" for i in range(1, 6)]


@pytest.mark.parametrize("name", CASES)
def test_against_performance(name):
    expected, fit = CASES[name], rc.fit(name)
    found = ml.model_performance(fit)
    for index in ("aic", "aicc", "bic", "rmse", "sigma"):
        assert getattr(found, index) == pytest.approx(expected[index], rel=2e-8), index
    at = ml.model_performance(fit, estimator="ML", refit=False)
    assert at.aic == pytest.approx(expected["aic_ml_at_reml"], rel=1e-9)
    assert (found.icc, found.r2_marginal) == (ml.icc(fit).adjusted, ml.r2(fit).marginal)
    assert found.r2_conditional == ml.r2(fit).conditional
    assert (found.nobs, found.n_parameters, found.loglik) == (fit.nobs, fit.n_parameters, fit.loglik)


def test_other_estimators():
    reml, ml_fit = rc.fit("sleepstudy_reml"), rc.fit("sleepstudy_ml")
    anew = ml.model_performance(reml, estimator="ml")
    assert anew.aic == pytest.approx(ml_fit.aic, rel=1e-10)
    assert anew.deviance == pytest.approx(-2 * anew.loglik)
    assert anew.sigma == reml.sigma
    assert "the model was fitted anew by maximum likelihood" in anew.notes[-1]
    assert ml.model_performance(ml_fit, estimator="REML").aic == pytest.approx(reml.aic, rel=1e-10)
    at = ml.model_performance(ml_fit, estimator="REML", refit=False)
    assert at.loglik == pytest.approx(-0.5 * ml_fit.reml_criterion)
    assert "restricted likelihood at the ML estimates" in at.notes[-1]
    assert ml.model_performance(ml_fit).notes == ()
    assert "of the REML fit" in ml.model_performance(reml).notes[0]
    with pytest.raises(ml.ControlError, match="not 'OLS'"):
        ml.model_performance(reml, estimator="OLS")


def test_aicc_without_rows_enough():
    frame = ml.load_dataset("sleepstudy").iloc[:8].assign(g=list("aabbccdd"))
    fit = ml.lmer("Reaction ~ Days + I(Days^2) + I(Days^3) + (1 | g)", frame, reml=False)
    assert fit.n_parameters == 6
    assert np.isfinite(ml.model_performance(fit).aicc)
    with pytest.warns(ml.RankDeficiencyWarning):
        full = ml.lmer("Reaction ~ Days + I(Days^2) + I(Days^3) + I(Days^4) + I(2*Days) + (1 | g)", frame, reml=False)
    assert ml.model_performance(full).aicc == np.inf
    assert ml.compare_performance(fit, full).to_frame()["aicc_weight"].tolist() == [1.0, 0.0]
    assert ml.compare_performance(full).to_frame()["aicc_weight"].isna().all()


def test_comparison_against_performance():
    stored = REFERENCE["comparison"]["plain"]
    names = {"R2_conditional": "r2_conditional", "R2_marginal": "r2_marginal"}
    table = ml.compare_performance(*map(rc.fit, SCENARIO), refit=False).to_frame()
    values = np.asarray(stored["values"], dtype=float)
    for column, expected in zip(stored["columns"], values.T, strict=True):
        own = names.get(column, column.lower().replace("_wt", "_weight"))
        # A weight's relative error is the criterion's absolute one.
        np.testing.assert_allclose(
            table[own], expected, rtol=1e-6 if own.endswith("weight") else 1e-8, atol=1e-12, err_msg=own
        )


def test_ranking_against_performance():
    fits = {f"m{i + 1}": rc.fit(name) for i, name in enumerate(SCENARIO)}
    found = ml.compare_performance(**fits, rank=True, refit=False)
    table = found.to_frame()
    assert table.index.tolist() == REFERENCE["comparison"]["order"]
    np.testing.assert_allclose(table["performance_score"], REFERENCE["comparison"]["score"], rtol=1e-7, atol=1e-12)
    assert found.ranked
    assert "Score" in str(found)
    assert list(found.models) == list(fits)


def test_criteria_are_those_of_anova():
    fits = [rc.fit(name) for name in SCENARIO]
    found = ml.compare_performance(*fits)
    np.testing.assert_allclose(found.to_frame()["aic"], ml.anova(*fits).to_frame()["aic"], rtol=1e-10)
    assert found.to_frame()["aic"].round().tolist() == [43548, 38124, 35617, 35618, 35524]
    assert "all models were fitted anew by maximum likelihood" in found.notes[0]
    for name in CRITERIA:
        assert found.to_frame()[f"{name}_weight"].sum() == pytest.approx(1.0)


def test_indices_that_do_not_differ_are_not_scored():
    frame = ml.load_dataset("sleepstudy")
    one = ml.lmer("Reaction ~ 1 + (1 | Subject)", frame)
    two = ml.lmer("Reaction ~ 1 + (Days | Subject)", frame)
    found = ml.compare_performance(one=one, two=two, rank=True)
    assert found.to_frame()["performance_score"].to_dict() == {"two": 1.0, "one": 0.0}
    assert found.notes[-1] == "Not in the score, being the same for all models: R² (marg.)."
    alone = ml.compare_performance(one, rank=True)
    assert alone.to_frame()["performance_score"].isna().all()


def test_names():
    fits = rc.fit("sleepstudy_reml"), rc.fit("sleepstudy_intercept_reml")
    assert ml.compare_performance(*fits).to_frame().index.tolist() == ["model 1", "model 2"]
    assert ml.compare_performance(*fits, names=["a", "b"]).to_frame().index.tolist() == ["a", "b"]
    assert ml.compare_performance(fits[0], b=fits[1]).to_frame().index.tolist() == ["model 1", "b"]
    with pytest.raises(ml.ControlError, match="1 names and there are 2 models"):
        ml.compare_performance(*fits, names=["a"])
    with pytest.raises(ml.ControlError, match=r"names must be .* such as \['ab'\]"):
        ml.compare_performance(*fits, names="ab")
    with pytest.raises(ml.ControlError, match="'a' stands for two models"):
        ml.compare_performance(fits[0], names=["a"], a=fits[1])
    with pytest.raises(ml.ControlError, match="no model to compare"):
        ml.compare_performance()
    with pytest.raises(ml.DataTypeError, match=r"compare_performance.*must be a model fitted by lmer"):
        ml.compare_performance(fits[0], 3)


def test_models_of_other_rows():
    frame = ml.load_dataset("sleepstudy")
    whole = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    part = ml.lmer("Reaction ~ Days + (1 | Subject)", frame.iloc[10:])
    with pytest.warns(ml.MultilevelWarning, match="180 and 170 rows.*cannot be compared") as caught:
        found = ml.compare_performance(whole, part)
    assert caught[0].filename == __file__
    assert found.to_frame()["aic_weight"].isna().all()
    assert "cannot be compared" in found.notes[0]
    assert "nan" not in str(found)
    with pytest.raises(ml.DataError, match="cannot be ranked"):
        ml.compare_performance(whole, part, rank=True)


def test_mixed_estimators_are_said():
    reml, other = rc.fit("sleepstudy_reml"), rc.fit("sleepstudy_intercept_ml")
    assert "others of maximum likelihood" in ml.compare_performance(reml, other, estimator=None).notes[0]
    half = ml.compare_performance(a=reml, b=other)
    assert "a was fitted anew" in half.notes[0]
    empty = ml.lmer("Reaction ~ 1 + (1 | Subject)", ml.load_dataset("sleepstudy"))
    assert "fixed effects differ" in ml.compare_performance(reml, empty, estimator="REML").notes[0]
    assert ml.compare_performance(reml, rc.fit("sleepstudy_intercept_reml"), estimator="REML").notes == ()


def test_the_start_of_a_fit_is_not_that_of_the_other_criterion():
    control = ml.LmerControl(start=[1.0])
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"), control=control)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ml.model_performance(fit, estimator="ML").estimator == "ML"


def test_forms_of_a_singular_comparison():
    found = ml.compare_performance(a=rc.fit("dyestuff2_reml"), b=rc.fit("dyestuff2_ml"))
    assert any(note.startswith("a, b: The fit is singular") for note in found.notes)
    assert "<table" in found.to_html()
    assert "| a |" in found.to_markdown()
    assert "toprule" in found.to_latex()
    one = ml.model_performance(rc.fit("dyestuff2_reml"))
    assert one.to_frame().shape == (1, 12)
    assert "AIC" in str(one)
