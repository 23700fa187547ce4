"""Comparison of several models by likelihood-ratio tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anova_reference import INFERENCE, assert_same, cells

import multilevel as ml
import reference_cases as rc

SLEEP = "Reaction ~ Days + (1 | Subject)"


def test_scenario_4():
    model = INFERENCE["scenario_4_model_5"]
    data = rc.frame(model["source"], model["data"])
    contrasts = rc.contrasts_of(model)
    fits = [
        ml.lmer(f"y ~ {right}", data, contrasts=contrasts if "interv_label" in right else None)
        for right in (
            "1 + (1 | k_id)",
            "x1_c + x2 + (1 | k_id)",
            "x1_c + x2 + (1 + x1_c | k_id)",
            "x1_c + x2 + interv_label + (1 + x1_c | k_id)",
            "x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
        )
    ]
    table = ml.anova(*fits)
    frame = table.to_frame()
    assert list(frame) == ["npar", "aic", "bic", "loglik", "deviance", "chisq", "df", "p_value"]
    assert frame["npar"].tolist() == [3, 5, 7, 9, 11]
    assert frame["aic"].round().tolist() == [43548, 38124, 35617, 35618, 35524]
    assert frame["loglik"].round().tolist() == [-21771, -19057, -17801, -17800, -17751]
    assert frame["chisq"].round(3).tolist()[1:] == [5428.019, 2510.643, 2.818, 97.944]
    assert frame["df"].tolist()[1:] == [2, 2, 2, 2]
    assert round(frame.loc["model 4", "p_value"], 4) == 0.2444
    assert table.note == "5 models fitted anew by maximum likelihood instead of REML"
    assert "model 4    9 35618 35677 -17800    35600    2.818  2     0.2444" in str(table)
    assert table.models["model 3"] == "y ~ x1_c + x2 + (1 + x1_c | k_id)"


@pytest.mark.parametrize("case", rc.reference("anova")["comparisons"], ids=["ml", "reml"])
def test_against_r(case):
    fits = [ml.lmer(formula, cells("whole"), reml=case["reml"]) for formula in case["formulas"]]
    assert_same(ml.anova(*fits, refit=False), case["table"])


def test_refitting_changes_nothing_for_likelihood_fits():
    data = ml.load_dataset("sleepstudy")
    fits = [ml.lmer(formula, data, reml=False) for formula in (SLEEP, "Reaction ~ Days + (Days | Subject)")]
    table = ml.anova(*fits)
    assert table.note == ""
    frame = table.to_frame()
    by_reml = ml.anova(*(fit.update(reml=True) for fit in reversed(fits))).to_frame()
    assert list(by_reml.index) == ["model 2", "model 1"]
    np.testing.assert_allclose(frame.to_numpy(), by_reml.to_numpy(), rtol=1e-8)
    assert frame["chisq"].iloc[1] == pytest.approx(42.139, abs=5e-4)
    mixed = ml.anova(fits[0], fits[1].update(reml=True))
    assert mixed.note.startswith("1 model fitted anew")


def test_restricted_likelihoods():
    data = ml.load_dataset("sleepstudy")
    one, two = ml.lmer(SLEEP, data), ml.lmer("Reaction ~ Days + (Days | Subject)", data)
    table = ml.anova(one, two, refit=False)
    assert table.to_frame()["chisq"].iloc[1] == pytest.approx(one.reml_criterion - two.reml_criterion)
    assert table.note == ""
    smaller = ml.lmer("Reaction ~ 1 + (1 | Subject)", data)
    assert "cannot be compared" in ml.anova(smaller, one, refit=False).note
    with pytest.raises(ml.ControlError, match="others by maximum likelihood"):
        ml.anova(one, two.update(reml=False), refit=False)


def test_the_same_number_of_parameters():
    data = cells("whole")
    frame = ml.anova(ml.lmer("y ~ x + (1 | g)", data), ml.lmer("y ~ z + (1 | g)", data)).to_frame()
    assert frame["df"].iloc[1] == 0
    assert np.isnan(frame["p_value"].iloc[1])


def test_models_that_cannot_be_compared():
    data = ml.load_dataset("sleepstudy")
    fit = ml.lmer(SLEEP, data)
    with pytest.raises(ml.DataError, match=r"Model 1 and model 2 were fitted to 180 and 179 rows"):
        ml.anova(fit, ml.lmer(SLEEP, data.iloc[1:]))
    with pytest.raises(ml.DataError, match="different responses, 'Reaction' and "):
        ml.anova(fit, ml.lmer("log(Reaction) ~ Days + (1 | Subject)", data))
    with pytest.raises(ml.DataError, match="the values of 'Reaction' differ"):
        ml.anova(fit, ml.lmer(SLEEP, data.assign(Reaction=data["Reaction"][::-1].to_numpy())))
    with pytest.raises(ml.DataError, match="the values of 'Days' differ"):
        ml.anova(fit, ml.lmer(SLEEP, data.assign(Days=data["Days"] ** 2)))
    with pytest.raises(ml.DataError, match="the groups 'Subject' differ"):
        ml.anova(fit, ml.lmer(SLEEP, data.assign(Subject=np.roll(data["Subject"].astype(str), 3))))
    with pytest.raises(ml.DataError, match="different weights"):
        ml.anova(fit, ml.lmer(SLEEP, data, weights=1.0 + np.arange(180) % 2))


def test_a_copy_of_the_data_will_do():
    data = ml.load_dataset("sleepstudy")
    more = data.assign(half=data["Days"] / 2.0, square=data["Days"] ** 2)
    frame = ml.anova(ml.lmer(SLEEP, data), ml.lmer("Reaction ~ Days + square + (1 | Subject)", more)).to_frame()
    assert frame["df"].iloc[1] == 1
    assert isinstance(frame, pd.DataFrame)
