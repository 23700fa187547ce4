"""Likelihood-ratio tests of random-effects terms."""

from __future__ import annotations

import numpy as np
import pytest
from anova_reference import INFERENCE, assert_same, cells, inference_fit
from scipy import stats

import multilevel as ml
import reference_cases as rc
from multilevel.inference.random_terms import boundary_p_value

RANDOM = rc.reference("anova")["random"]


@pytest.mark.parametrize("name", INFERENCE)
def test_against_r(name):
    assert_same(ml.ranova(inference_fit(name)), INFERENCE[name]["ranova"])


@pytest.mark.parametrize("case", RANDOM, ids=[case["formula"] for case in RANDOM])
def test_kinds_of_terms(case):
    fit = ml.lmer(case["formula"], cells("whole"))
    assert_same(ml.ranova(fit), case["reduced"])
    assert_same(ml.ranova(fit, reduce_terms=False), case["left_out"])
    assert_same(ml.ranova(fit.update(reml=False)), case["by_ml"])


def test_rows_and_columns():
    frame = ml.ranova(inference_fit("sleepstudy")).to_frame()
    assert list(frame.index) == ["<none>", "Days in (Days | Subject)"]
    assert list(frame) == ["npar", "loglik", "aic", "chisq", "df", "p_value"]
    assert frame.loc["<none>", "loglik"] == inference_fit("sleepstudy").loglik


def test_reduced_models_are_the_ones_fitted_alone():
    data = cells("whole")
    fit = ml.lmer("y ~ a * x + (x + b | g) + (1 | h)", data)
    frame = ml.ranova(fit).to_frame()
    for label, formula in {
        "x in (x + b | g)": "y ~ a * x + (b | g) + (1 | h)",
        "b in (x + b | g)": "y ~ a * x + (x | g) + (1 | h)",
        "(1 | h)": "y ~ a * x + (x + b | g)",
    }.items():
        other = ml.lmer(formula, data)
        assert frame.loc[label, "npar"] == other.n_parameters
        assert frame.loc[label, "loglik"] == pytest.approx(other.loglik, abs=1e-7)


def test_weights_and_missing_values():
    data = cells("whole").copy()
    data.loc[::9, "x"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("y ~ b + offset(z) + (x | g)", data, weights="v")
    frame = ml.ranova(fit).to_frame()
    kept = data.dropna()
    smaller = ml.lmer("y ~ b + offset(z) + (1 | g)", kept, weights="v")
    assert frame["loglik"].iloc[1] == pytest.approx(smaller.loglik, abs=1e-7)
    # Without any random effects, weighted least squares.
    left = ml.ranova(smaller).to_frame()["loglik"].iloc[1]
    X, y, w = smaller.get_me("X"), (kept["y"] - kept["z"]).to_numpy(), kept["v"].to_numpy(dtype=float)
    xwx = X.T @ (w[:, None] * X)
    residuals = y - X @ np.linalg.solve(xwx, X.T @ (w * y))
    df, rss = len(y) - X.shape[1], w @ residuals**2
    criterion = df * (1 + np.log(2 * np.pi * rss / df)) - np.log(w).sum() + np.linalg.slogdet(xwx)[1]
    assert left == pytest.approx(-0.5 * criterion, rel=1e-10)


def test_mixtures():
    plain, mixed = (ml.ranova(inference_fit("sleepstudy"), mixture=mixture) for mixture in (False, True))
    statistic = plain.to_frame()["chisq"].iloc[1]
    expected = 0.5 * stats.chi2.sf(statistic, 1) + 0.5 * stats.chi2.sf(statistic, 2)
    assert mixed.to_frame()["p_value"].iloc[1] == pytest.approx(expected)
    assert plain.note == ""
    assert mixed.note == "p-values from mixtures of chi-squared distributions"
    single = ml.ranova(inference_fit("machines"), mixture=True).to_frame()
    assert single.loc["(1 | Worker)", "p_value"] == pytest.approx(0.0182914118475702 / 2, rel=1e-6)
    several = ml.ranova(ml.lmer("y ~ x + (a | g)", cells("whole")), mixture=True)
    assert several.note.endswith("upper bounds for a in (a | g)")


def test_boundary_p_values():
    assert boundary_p_value(0.0, 1) == 1.0
    assert boundary_p_value(1e-12, 3) == 1.0
    assert boundary_p_value(2.7055, 1) == pytest.approx(0.05, abs=1e-5)
    for df in (1, 2, 5):
        assert boundary_p_value(4.0, df) < stats.chi2.sf(4.0, df)


def test_the_note_is_printed():
    text = str(ml.ranova(inference_fit("pastes_nested"), mixture=True))
    assert "\n\np-values from mixtures of chi-squared distributions\n\n" in text
    assert "(1 | cask:batch)    3 -150.80 307.60 54.605  1" in text
