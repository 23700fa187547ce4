"""Covariances and correlations against R's cov, cor, cor.test and psych's statsBy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import multilevel as ml
from multilevel.descriptives.rank_tests import spearman_test
from reference_cases import frame, reference

METHODS = ["pearson", "spearman", "kendall"]


def stored():
    return reference("describe")["correlation"]


def small() -> pd.DataFrame:
    return pd.DataFrame(reference("describe")["small"]).astype({"x": float, "y": float})


def assert_tested(row, expected) -> None:
    np.testing.assert_allclose(row["estimate"], expected["estimate"], rtol=1e-11)
    np.testing.assert_allclose(row["statistic"], expected["statistic"], rtol=1e-10)
    np.testing.assert_allclose(row["p_value"], expected["p"], rtol=1e-9, atol=1e-300)
    if expected["interval"] is not None:
        np.testing.assert_allclose(row[["conf_low", "conf_high"]].astype(float), expected["interval"], rtol=1e-11)


def test_scenario_1():
    data = frame("fixture", "scenario_1")
    names = ["x1", "x2", "y"]
    cov = ml.covariance(data, names)
    np.testing.assert_allclose(cov.matrix(), reference("describe")["covariance"]["scenario_1"], rtol=1e-11)
    cor = ml.correlation(data, names)
    np.testing.assert_allclose(cor.matrix(), stored()["scenario_1"], rtol=1e-11)
    assert round(cor.matrix().loc["x1", "y"], 2) == 0.54
    assert_tested(cor.to_frame().set_index(["x", "y"]).loc[("x1", "y")], stored()["scenario_1_test"])


def test_scenario_1_by_x2():
    found = ml.correlation(frame("fixture", "scenario_1"), ["x1", "y"], by="x2", level=0.9)
    rows = found.to_frame()
    assert rows["x2"].tolist() == [0, 1]
    for at in range(2):
        assert_tested(rows.iloc[at], stored()["by_x2"][at])
        assert found.matrix(x2=at).loc["x1", "y"] == rows["estimate"][at]
        assert found.matrix("p_value", x2=at).loc["y", "x1"] == rows["p_value"][at]
    assert "x2 = 0:" in str(found)
    with pytest.raises(ml.ControlError, match="Choose one of the 2 matrices: x2 = 0; x2 = 1"):
        found.matrix()
    with pytest.raises(ml.ControlError, match="no 'x3' to choose a matrix by; there is x2"):
        found.matrix(x3=1)
    with pytest.raises(ml.ControlError, match="of must be"):
        found.matrix("se", x2=0)


@pytest.mark.parametrize("missing", ["pairwise", "complete"])
def test_covariances_with_missing_values(missing):
    found = ml.covariance(small(), ["x", "y", "z"], missing=missing)
    np.testing.assert_allclose(found.matrix(), reference("describe")["covariance"][missing], rtol=1e-12)
    assert "x (2), y (1)" in found.notes[0]


@pytest.mark.parametrize("method", METHODS)
def test_correlations_with_missing_values(method):
    found = ml.correlation(small(), ["x", "y", "z"], method=method)
    np.testing.assert_allclose(found.matrix(), stored()["pairwise"][method], rtol=1e-12)
    assert found.matrix("n").loc["x", "y"] == 17
    assert_tested(found.to_frame().iloc[0], stored()["tests"][method])


@pytest.mark.parametrize("at", range(14))
def test_rank_tests_choose_what_r_chooses(at):
    case = stored()["ranks"][at]
    n = case["n"]
    i = np.arange(1, n + 1)
    data = {
        "x": (i * 0.618033988749894902525738871191) % 1,
        "y": (i * 0.414213562373095145474621858739 + 0.1 * i / n) % 1,
    }
    for method in ("spearman", "kendall"):
        row = ml.correlation(data, method=method).to_frame().iloc[0]
        np.testing.assert_allclose(row["estimate"], case[method]["estimate"], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(row["statistic"], case[method]["statistic"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(row["p_value"], case[method]["p"], rtol=1e-8)
        if method == "spearman":
            assert row["test"] == ("exact" if n <= 9 else "Edgeworth" if n <= 1290 else "t")
        else:
            assert row["test"] == ("exact" if n < 50 else "normal")


def test_exact_spearman_probabilities_are_those_of_all_permutations():
    from itertools import permutations

    n = 6
    distances = np.array([sum((a - b) ** 2 for a, b in enumerate(p)) for p in permutations(range(n))])
    for s in range(0, (n**3 - n) // 3 + 1, 2):
        rho = 1 - 6 * s / (n**3 - n)
        tail = min((distances <= s).mean(), (distances >= s).mean())
        assert spearman_test(rho, n, ties=False)[1] == pytest.approx(min(1.0, 2 * tail), rel=1e-12)


@given(arrays(np.float64, st.tuples(st.integers(5, 30), st.just(3)), elements=st.integers(-9, 9).map(float)), st.data())
def test_pairs_with_missing_values_are_those_of_their_complete_rows(values, draw):
    gone = draw.draw(arrays(np.bool_, values.shape, elements=st.booleans()))
    values = np.where(gone, np.nan, values)
    data = {name: values[:, i] for i, name in enumerate("abc")}
    method = draw.draw(st.sampled_from(METHODS))
    for _, row in ml.correlation(data, method=method).to_frame().iterrows():
        pair = pd.DataFrame(data)[[row["x"], row["y"]]].dropna()
        assert row["n"] == len(pair)
        if len(pair) < 2:
            assert np.isnan(row["estimate"])
            continue
        alone = ml.correlation(pair, method=method).to_frame().iloc[0]
        np.testing.assert_allclose(row["estimate"], alone["estimate"], atol=1e-10)
        np.testing.assert_allclose(row["p_value"], alone["p_value"], atol=1e-6)


def test_what_does_not_vary_has_no_correlation():
    found = ml.correlation({"a": [0.1] * 7, "b": np.arange(7.0), "c": np.arange(7.0) * 2})
    assert np.isnan(found.matrix().loc["a"]).all()
    assert found.matrix().loc["b", "c"] == pytest.approx(1.0, abs=1e-15)
    row = found.to_frame().iloc[0]
    assert row["test"] == ""
    assert np.isnan(row["p_value"])
    assert "NaN" in str(found)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_hold_the_estimate(method):
    found = ml.correlation(small(), ["x", "y", "w"], method=method).to_frame()
    assert (found["conf_low"] < found["estimate"]).all()
    assert (found["estimate"] < found["conf_high"]).all()


def test_intervals_of_rank_correlations():
    """Bonett and Wright (2000), equation 3 and table 1: variances (1 + r²/2)/(n - 3) and 0.437/(n - 4) on Fisher's scale."""
    from scipy.stats import norm

    for method, variance in (
        ("spearman", lambda r, n: (1 + r**2 / 2) / (n - 3)),
        ("kendall", lambda _, n: 0.437 / (n - 4)),
    ):
        row = ml.correlation(small(), ["x", "y"], method=method, level=0.9).to_frame().iloc[0]
        half = norm.ppf(0.95) * np.sqrt(variance(row["estimate"], row["n"]))
        assert np.arctanh(row["conf_high"]) - np.arctanh(row["estimate"]) == pytest.approx(half, rel=1e-12)
        assert np.arctanh(row["estimate"]) - np.arctanh(row["conf_low"]) == pytest.approx(half, rel=1e-12)


def test_p_values_are_adjusted_matrix_by_matrix():
    data = frame("fixture", "scenario_1")
    plain = ml.correlation(data, ["x1", "x2", "k_effect"], by="x2")
    adjusted = ml.correlation(data, ["x1", "x2", "k_effect", "y"], adjust="bonferroni")
    raw = ml.correlation(data, ["x1", "x2", "k_effect", "y"])
    expected = np.minimum(1, raw.to_frame()["p_value"] * 6)
    np.testing.assert_allclose(adjusted.to_frame()["p_value"], expected)
    assert "adjusted for the number of pairs: bonferroni" in str(adjusted)
    assert plain.to_frame().groupby("x2").size().tolist() == [3, 3]


# ---- within and between clusters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cluster"), [("scenario_1", "k_id"), ("unbalanced", "g")])
def test_within_and_between_agree_with_psych(name, cluster):
    expected = reference("describe")["stats_by"][name]
    data = frame("fixture", name) if name == "scenario_1" else small().dropna()
    found = ml.correlation(data, expected["names"], cluster=cluster)
    np.testing.assert_allclose(found.matrix(kind="within"), expected["rwg"], rtol=1e-10)
    np.testing.assert_allclose(found.matrix(kind="between"), expected["rbg"], rtol=1e-10)
    stored_p = np.array(expected["p_between"], dtype=float)
    p_values = found.matrix("p_value", kind="between").to_numpy()
    off = ~np.eye(len(p_values), dtype=bool)
    np.testing.assert_allclose(p_values[off], stored_p[off], rtol=1e-8)
    if name == "scenario_1":  # balanced: psych's mean cluster size is the one that makes ICC(1) an estimate
        np.testing.assert_allclose(found.icc["icc1"], expected["icc1"], rtol=1e-9)
    np.testing.assert_allclose(found.icc["icc2"], expected["icc2"], rtol=1e-9)


def test_the_test_within_clusters_is_that_of_a_regression_with_a_mean_for_each_cluster():
    from scipy.stats import t

    data = small().dropna()
    row = ml.correlation(data, ["x", "y"], cluster="g", kind="within").to_frame().iloc[0]
    design = np.column_stack([data["x"], pd.get_dummies(data["g"]).to_numpy(float)])
    coefficients, squares, rank, _ = np.linalg.lstsq(design, data["y"].to_numpy())
    df = len(data) - rank
    error = np.sqrt(squares[0] / df * np.linalg.inv(design.T @ design)[0, 0])
    assert row["df"] == df
    assert row["statistic"] == pytest.approx(coefficients[0] / error, rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * t.sf(abs(coefficients[0] / error), df), rel=1e-9)


def test_kinds_of_clustered_correlations():
    data = frame("fixture", "scenario_1")
    whole = ml.correlation(data, ["x1", "y"], cluster="k_id")
    assert whole.to_frame()["kind"].tolist() == ["total", "within", "between"]
    total = ml.correlation(data, ["x1", "y"], cluster="k_id", kind="total").to_frame()
    plain = ml.correlation(data, ["x1", "y"]).to_frame()
    assert total["estimate"].tolist() == plain["estimate"].tolist()
    between = ml.correlation(data, ["x1", "y"], cluster="k_id", kind="between")
    assert between.to_frame()["n"].tolist() == [100]
    assert between.title.startswith("Pearson correlations between k_id")
    by = ml.correlation(data, ["x1", "y"], by="x2", cluster="k_id", kind="within")
    part = ml.correlation(data[data["x2"] == 1], ["x1", "y"], cluster="k_id", kind="within")
    assert by.matrix(x2=1).loc["x1", "y"] == pytest.approx(part.matrix().loc["x1", "y"], rel=1e-12)


def test_a_variable_of_the_clusters_has_no_correlation_within():
    data = frame("fixture", "scenario_2")
    found = ml.correlation(data, ["x1", "price"], cluster="k_id")
    assert np.isnan(found.matrix(kind="within").loc["x1", "price"])
    assert np.isfinite(found.matrix(kind="between").loc["x1", "price"])
    assert found.icc.set_index("variable")["icc1"]["price"] == 1.0


def test_pairs_with_missing_values_within_clusters():
    data = small()
    found = ml.correlation(data, ["x", "y", "w"], cluster="g")
    for pair in (["x", "y"], ["x", "w"], ["y", "w"]):
        alone = ml.correlation(data[["g", *pair]].dropna(), pair, cluster="g")
        for kind in ("within", "between"):
            assert found.matrix(kind=kind).loc[pair[0], pair[1]] == pytest.approx(alone.matrix(kind=kind).iloc[0, 1])
            assert found.matrix("n", kind=kind).loc[pair[0], pair[1]] == alone.matrix("n", kind=kind).iloc[0, 1]


def test_bad_options_are_refused():
    data = frame("fixture", "scenario_1")
    with pytest.raises(ml.ControlError, match="method must be one of"):
        ml.correlation(data, ["x1", "y"], method="tetrachoric")
    with pytest.raises(ml.ControlError, match="level must be a number between 0 and 1"):
        ml.correlation(data, ["x1", "y"], level=95)
    with pytest.raises(ml.ControlError, match="kind must be one of"):
        ml.correlation(data, ["x1", "y"], cluster="k_id", kind="pooled")
    with pytest.raises(ml.ControlError, match="needs cluster="):
        ml.correlation(data, ["x1", "y"], kind="within")
    with pytest.raises(ml.ControlError, match="are Pearson's"):
        ml.correlation(data, ["x1", "y"], method="kendall", cluster="k_id")
    with pytest.raises(ml.ControlError, match="missing must be"):
        ml.covariance(data, ["x1", "y"], missing="listwise")
    with pytest.raises(ml.ControlError, match="adjust must be one of"):
        ml.correlation(data, ["x1", "y"], adjust="holms")
    with pytest.raises(ml.ControlError, match="differences of means"):
        ml.correlation(data, ["x1", "y"], adjust="tukey")
    with pytest.raises(ml.DataError, match="needs two columns"):
        ml.correlation(data, "x1")
    with pytest.raises(ml.DataError, match="rename it"):
        ml.correlation({"n": [1, 1, 2, 2], "a": [1.0, 2, 3, 4], "b": [2.0, 1, 4, 3]}, by="n")


def test_shown_in_every_form():
    found = ml.correlation(frame("fixture", "scenario_1"), ["x1", "y"], cluster="k_id")
    assert found._repr_html_().count("<table") == 5
    assert "kind = within" in found.to_markdown()
    assert found.to_latex().count(r"\toprule") == 5
