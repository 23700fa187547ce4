"""Tests of contrasts: forms of input, agreement between the methods, errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

METHODS = ("satterthwaite", "kenward-roger", "residual", "asymptotic")


@pytest.fixture(scope="module")
def fit():
    return ml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", ml.load_dataset("cake"))


@pytest.mark.parametrize("ddf", METHODS)
def test_one_contrast_in_every_form(fit, ddf):
    names = list(fit.fixef.index)
    row = np.array([float(name == "recipeB") - float(name == "recipeC") for name in names])
    weights = {"recipeB": 1, "recipeC": -1}
    expected = ml.contrast_test(fit, row, ddf=ddf).to_numpy()
    for form in (weights, pd.Series(weights), [weights], row[None, :], pd.DataFrame([weights])):
        assert ml.contrast_test(fit, form, ddf=ddf).to_numpy() == pytest.approx(expected, nan_ok=False)


@pytest.mark.parametrize("ddf", METHODS)
def test_a_joint_test_of_one_contrast_is_the_square_of_its_t(fit, ddf):
    single = ml.contrast_test(fit, {"temp": 1}, ddf=ddf).iloc[0]
    joint = ml.contrast_test(fit, {"temp": 1}, ddf=ddf, joint=True).iloc[0]
    assert joint.statistic == pytest.approx(single.statistic**2)
    assert joint.p_value == pytest.approx(single.p_value, rel=1e-6)
    assert joint.df_denominator == pytest.approx(single.df)


def test_the_right_hand_side_moves_the_statistic_and_not_the_interval(fit):
    plain = ml.contrast_test(fit, {"temp": 1}).iloc[0]
    moved = ml.contrast_test(fit, {"temp": 1}, rhs=0.1).iloc[0]
    assert moved.statistic == pytest.approx((plain.estimate - 0.1) / plain.std_error)
    assert (moved.conf_low, moved.conf_high) == (plain.conf_low, plain.conf_high)
    at_end = ml.contrast_test(fit, {"temp": 1}, rhs=plain.conf_low).iloc[0]
    assert at_end.p_value == pytest.approx(0.05)


@pytest.mark.parametrize("ddf", METHODS)
def test_dependent_rows_do_not_change_a_joint_test(fit, ddf):
    rows = np.eye(4)[1:3]
    once = ml.contrast_test(fit, rows, ddf=ddf, joint=True)
    twice = ml.contrast_test(fit, np.vstack([rows, rows[0] + rows[1]]), ddf=ddf, joint=True)
    assert twice.to_numpy() == pytest.approx(once.to_numpy(), rel=1e-8)
    assert twice.df_numerator.iloc[0] == 2


def test_bad_contrasts(fit):
    with pytest.raises(ml.DataError, match="coefficient 'recipeD'"):
        ml.contrast_test(fit, {"recipeD": 1})
    with pytest.raises(ml.DataError, match="one for each of the 4"):
        ml.contrast_test(fit, [1.0, 0.0])
    with pytest.raises(ml.ControlError, match="ddf must be one of"):
        ml.contrast_test(fit, {"temp": 1}, ddf="welch")


def test_residual_degrees_of_freedom_count_all_parameters():
    sleepstudy = ml.load_dataset("sleepstudy")
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    days = ml.contrast_test(fit, {"Days": 1.0}, ddf="residual").iloc[0]
    # parameters::model_parameters(fit, ci_method = "residual") in R
    assert [days.df, days.conf_low, days.conf_high] == pytest.approx([174, 7.416374, 13.5182], rel=1e-6)
    assert (fit.summary(ddf="residual").coefficients.df == fit.df_residual).all()
    assert fit.confint("wald", ddf="residual").loc["Days"].tolist() == pytest.approx([days.conf_low, days.conf_high])
    assert ml.anova(fit, ddf="residual").to_frame().df_denominator.tolist() == [174]
    assert ml.emmeans(fit, "Days", ddf="residual").to_frame()["df"].tolist() == [174]


def test_no_residual_degrees_of_freedom():
    data = {"y": [1.0, 2.1, 2.9, 4.2, 5.3], "x": [1.0, 2.0, 3.0, 4.0, 5.5], "z": [0, 1, 0, 2, 1], "g": list("aabbb")}
    fit = ml.lmer("y ~ x + z + (1 | g)", data)
    with pytest.raises(ml.ControlError, match="5 parameters and 5 rows"):
        fit.summary(ddf="residual")
