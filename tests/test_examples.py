"""The four scenarios run as they stand, and print the figures that R prints (rounded as R rounds them)."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

EXAMPLES = Path(__file__).parent.parent / "examples"
REFERENCE = Path(__file__).parent / "reference"


def run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def rounded(values: Any, digits: int) -> list[float]:
    return [round(float(value), digits) + 0.0 for value in values]


def significant(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def same_data(data: pd.DataFrame, name: str) -> None:
    expected = pd.read_parquet(REFERENCE / f"{name}.parquet")
    for column in data.columns:
        if data[column].dtype.kind in "if":
            np.testing.assert_allclose(data[column], expected[column], rtol=1e-13, atol=1e-13)
        else:
            assert data[column].astype(str).tolist() == expected[column].astype(str).tolist()


def group_sd(fit: ml.LinearMixedModel) -> float:
    return float(next(iter(fit.varcorr())).standard_deviations[0])


def coefficients(fit: ml.LinearMixedModel) -> pd.DataFrame:
    return ml.model_parameters(fit, effects="fixed").to_frame()


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def first(tmp_path_factory, patch):
    return run("scenario_1", tmp_path_factory.mktemp("first"), patch)


@pytest.fixture(scope="module")
def second(tmp_path_factory, patch):
    return run("scenario_2", tmp_path_factory.mktemp("second"), patch)


@pytest.fixture(scope="module")
def third(tmp_path_factory, patch):
    return run("scenario_3", tmp_path_factory.mktemp("third"), patch)


@pytest.fixture(scope="module")
def fourth(tmp_path_factory, patch):
    return run("scenario_4", tmp_path_factory.mktemp("fourth"), patch)


# ---- 1 -------------------------------------------------------------------------------------------------------------------


def test_first_data_and_description(first):
    same_data(first["data"], "scenario_1")
    table = first["description"].to_frame()
    x1 = table.loc["x1", ["mean", "sd", "median", "trimmed", "mad", "min", "max", "skew", "kurtosis", "se"]]
    assert rounded(x1, 2) == [5.00, 1.99, 4.98, 5.00, 1.95, -1.27, 11.89, 0.01, 0.00, 0.03]
    assert rounded([table.loc["x2", "mean"]], 2) == [0.49]
    assert rounded(table.loc["k_effect", ["mean", "sd", "min", "max"]], 2) == [-0.15, 1.07, -3.06, 1.80]
    y = table.loc["y", ["mean", "sd", "mad", "min", "max", "range"]]
    assert rounded(y, 2) == [64.70, 11.34, 11.13, 26.79, 105.92, 79.14]
    assert rounded([first["correlations"].matrix().loc["y", "x1"]], 2) == [0.54]


def test_first_model(first):
    fit = first["fit"]
    assert rounded([fit.reml_criterion], 1) == [35147.3]
    assert rounded([group_sd(fit) ** 2, fit.sigma**2], 3) == [1.139, 65.252]
    assert rounded([group_sd(fit), fit.sigma], 3) == [1.067, 8.078]
    table = coefficients(fit)
    assert [significant(value) for value in table["estimate"]] == [44.64, 3.037, 9.991]
    assert [significant(value) for value in table["std_error"]] == [0.3454, 0.05768, 0.2297]
    assert rounded(table["df"], 0) == [1705, 4971, 4978]
    assert rounded(table["statistic"], 2) == [129.25, 52.64, 43.50]
    quantiles = np.quantile(fit.residuals("scaled"), [0, 0.25, 0.5, 0.75, 1])
    assert rounded(quantiles, 4) == [-3.6937, -0.6669, -0.0172, 0.6868, 3.7757]
    covariance = fit.vcov().to_numpy()
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert rounded(correlation[np.tril_indices(3, -1)], 3) == [-0.830, -0.313, -0.014]
    np.testing.assert_allclose(fit.ranef()["k_id"]["(Intercept)"][:3], [0.46107085, 0.95971383, -1.07179546], rtol=1e-4)


def test_first_icc_r2_and_standardized(first):
    assert rounded([ml.icc(first["empty"]).adjusted], 3) == [0.008]
    r2 = ml.r2(first["fit"])
    assert rounded([r2.conditional, r2.marginal], 3) == [0.493, 0.484]
    for name in ("by_hand", "standardized"):
        table = first[name].to_frame().iloc[:3]
        assert rounded(table["estimate"], 2) == [0.00, 0.53, 0.44]
        assert rounded(table["conf_low"][1:], 2) == [0.51, 0.42]
        assert rounded(table["conf_high"][1:], 2) == [0.55, 0.46]


# ---- 2 -------------------------------------------------------------------------------------------------------------------


def test_second(second):
    same_data(second["data"], "scenario_2")
    without, fit = second["without"], second["with_price"]
    assert rounded([group_sd(without), without.sigma], 4) == [4.4833, 8.0799]
    assert rounded([ml.icc(second["empty"]).adjusted], 3) == [0.146]
    icc = ml.icc(without)
    assert rounded([icc.adjusted, icc.unadjusted], 3) == [0.235, 0.139]
    assert rounded([group_sd(fit), fit.sigma], 4) == [0.7999, 8.0799]
    assert rounded([fit.reml_criterion], 0) == [35129]
    table = coefficients(fit)
    assert rounded(table["estimate"], 5) == [45.32100, 2.93205, 9.89671, -3.04510]
    assert rounded(table["std_error"], 5) == [0.41164, 0.05763, 0.22944, 0.09673]
    np.testing.assert_allclose(table["df"], [489.55695, 4981.29413, 4987.09974, 98.04666], rtol=1e-4)
    r2 = ml.r2(fit)
    assert rounded([r2.conditional, r2.marginal], 3) == [0.552, 0.548]


# ---- 3 -------------------------------------------------------------------------------------------------------------------


def test_third(third):
    same_data(third["data"], "scenario_3")
    fit = third["with_context"]
    assert rounded([group_sd(third["without"])], 4) == [3.4373]
    assert rounded([group_sd(fit)], 3) == [1.077]
    assert rounded([group_sd(fit) ** 2], 2) == [1.16]
    assert rounded([fit.reml_criterion], 1) == [35146.3]
    table = coefficients(fit)
    assert [significant(value) for value in table["estimate"]] == [43.58, 3.035, 9.990, 12.21]
    assert [significant(value) for value in table["df"]] == [98.07, 4898, 4977, 99.90]
    standardized = third["standardized"].to_frame()
    assert rounded(standardized["estimate"][1:], 2) == [0.50, 0.41, 0.27]
    assert rounded(standardized["conf_low"][1:], 2) == [0.48, 0.40, 0.24]
    assert rounded(standardized["conf_high"][1:], 2) == [0.52, 0.43, 0.30]


def test_third_split_is_the_same_model(third):
    split = coefficients(third["split"])["estimate"]
    context = coefficients(third["with_context"])["estimate"]
    assert split["x1_within"] == pytest.approx(context["x1"], rel=1e-8)
    assert split["x1_between"] == pytest.approx(context["x1"] + context["x1_mean"], rel=1e-8)


# ---- 4 -------------------------------------------------------------------------------------------------------------------


def test_fourth_data_and_comparison(fourth):
    same_data(fourth["data"], "scenario_4")
    table = fourth["comparison"].to_frame()
    assert table["npar"].tolist() == [3, 5, 7, 9, 11]
    assert rounded(table["aic"], 0) == [43548, 38124, 35617, 35618, 35524]
    assert rounded(table["loglik"], 0) == [-21771, -19057, -17801, -17800, -17751]
    assert rounded(table["chisq"][1:], 3) == [5428.019, 2510.643, 2.818, 97.944]
    assert table["df"][1:].tolist() == [2, 2, 2, 2]
    assert rounded([table["p_value"].iloc[3]], 4) == [0.2444]


def test_fourth_models(fourth):
    assert rounded([ml.icc(fourth["empty"]).adjusted], 3) == [0.011]
    two, three, five = fourth["predictors"], fourth["slopes"], fourth["interaction"]
    assert rounded([group_sd(two), two.sigma], 4) == [2.2848, 10.8156]
    for fit, expected in [
        (three, [2.3964, 3.6363, -0.068, 8.0685]),
        (five, [2.4160, 2.2032, -0.165, 8.0681]),
    ]:
        part = next(iter(fit.varcorr()))
        assert rounded(part.standard_deviations, 4) == expected[:2]
        assert rounded([part.correlation[1, 0]], 3) == expected[2:3]
        assert rounded([fit.sigma], 4) == expected[3:]
    assert rounded(two.fixef, 2) == [45.06, 7.25, 9.81]
    assert rounded(three.fixef, 2) == [45.05, 7.36, 9.89]
    assert rounded(five.fixef, 2) == [45.14, 3.20, 9.89, 0.18, -0.41, 7.44, 3.91]
    assert rounded(coefficients(five)["df"], 1) == [105.8, 96.6, 4846.9, 97.1, 97.1, 97.1, 96.6]
    performance = fourth["performance"].to_frame()
    assert rounded(performance["r2_conditional"], 3) == [0.011, 0.672, 0.821, 0.821, 0.818]
    assert rounded(performance["r2_marginal"], 3) == [0.000, 0.657, 0.662, 0.661, 0.748]


def test_fourth_tests(fourth):
    wald = fourth["wald"].to_frame()
    # R's optimiser stops short of the optimum, so its last digits differ (7082.2905 for the intercept): see tests/reference.
    np.testing.assert_allclose(wald["chisq"], [7082.2905, 51.2669, 1808.1285, 0.9476, 161.2152], rtol=2e-6, atol=5e-5)
    assert wald["df"].tolist() == [1, 1, 1, 2, 2]
    f_tests = fourth["f_tests"].to_frame()
    np.testing.assert_allclose(f_tests["statistic"], [911.1133, 1808.1285, 0.4738, 80.6076], rtol=1e-6, atol=5e-5)
    assert rounded(f_tests["df_denominator"], 1) == [97.0, 4846.9, 97.1, 97.0]
    assert rounded([f_tests["p_value"].iloc[2]], 4) == [0.6241]


def test_fourth_standardized(fourth):
    table = fourth["standardized"].to_frame()
    assert rounded(table["estimate"], 4) == [0.0062, 0.3376, 0.2623, 0.0093, -0.0220, 0.7849, 0.4124]
    assert rounded(table["conf_low"][1:], 2) == [0.25, 0.25, -0.06, -0.09, 0.66, 0.29]
    assert rounded(table["conf_high"][1:], 2) == [0.43, 0.27, 0.08, 0.05, 0.91, 0.53]


def test_fourth_with_many_clusters(fourth):
    assert fourth["large"].nobs == 500_000
    table = fourth["recovered"].to_frame()
    np.testing.assert_allclose(table["estimate"], table["truth"], atol=0.15)


@pytest.mark.usefixtures("first", "second", "third", "fourth")
def test_pictures_are_drawn(tmp_path):
    drawn = sorted(path.name for path in tmp_path.parent.rglob("scenario_*.png"))
    assert len(drawn) == 7
