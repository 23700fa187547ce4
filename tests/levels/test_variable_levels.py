"""At which level variables vary, how much, and how factors lie to each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml
from reference_cases import frame, reference


def small() -> pd.DataFrame:
    return pd.DataFrame(reference("describe")["small"]).astype({"x": float, "y": float})


def test_levels_of_scenario_2():
    found = ml.variable_levels(frame("fixture", "scenario_2"), by="k_id")
    rows = found.to_frame().set_index("variable")
    assert rows["level"].to_dict() == {
        "N_id": "rows", "x1": "rows", "x2": "rows", "price": "k_id", "k_effect": "k_id", "y": "rows"
    }  # fmt: skip
    assert found.sentences["price"] == "between k_id only"
    assert found.sentences["y"] == "between rows within k_id: 15% of its variance lies between k_id"
    assert rows.loc["N_id", "n_values"] == 5000
    assert found.sentences["N_id"].startswith("mostly between k_id: 100%")
    assert "price    between k_id only" in str(found)


def test_levels_of_nested_factors_and_of_text():
    pastes = ml.load_dataset("Pastes").assign(kind=lambda d: d["batch"].isin(["A", "B"]), lab="x")
    rows = ml.variable_levels(pastes, by="batch/cask").to_frame().set_index("variable")
    assert rows["level"].to_dict() == {
        "strength": "rows", "sample": "batch:cask", "kind": "batch", "lab": "constant"
    }  # fmt: skip
    assert np.isnan(rows.loc["sample", "batch_icc"])


def test_levels_of_crossed_factors():
    data = pd.DataFrame({"s": np.repeat(np.arange(4), 3), "i": np.tile(np.arange(3), 4)})
    data = data.assign(age=data["s"] * 10.0, length=data["i"] + 0.5, y=np.arange(12) % 5)
    rows = ml.variable_levels(data, by=["s", "i"]).to_frame().set_index("variable")
    assert rows["level"].to_dict() == {"age": "s", "length": "i", "y": "rows"}
    assert rows["i_varying"].to_dict() == {"age": 3, "length": 0, "y": 3}


def test_a_slip_in_a_few_groups_is_said():
    data = frame("fixture", "scenario_2").copy()
    data.loc[7, "price"] += 1
    found = ml.variable_levels(data, "k_id", "price")
    assert (
        found.sentences["price"]
        == "mostly between k_id: 100% of its variance lies between k_id, within 1 of 100 k_id only"
    )


def test_missing_values_do_not_make_a_variable_vary():
    data = pd.DataFrame(
        {"g": [1, 1, 1, 2, 2], "x": [np.nan, 3, 3, 4, np.nan], "t": [None, "a", "a", None, "b"], "e": np.nan}
    )
    for make in (lambda d: d, pl.from_pandas):
        found = ml.variable_levels(make(data), "g")
        assert found.to_frame()["level"].tolist() == ["g", "g", "constant"]
        assert found.sentences["e"] == "nowhere: it has no value"
    with pytest.raises(ml.DataError, match="no variable besides"):
        ml.variable_levels(data[["g"]], "g")


def test_dates_have_levels_too():
    data = {
        "g": [1, 1, 2, 2],
        "day": np.array(["2020-01-01", "2020-01-01", "2020-03-01", "2020-03-01"], "datetime64[D]"),
    }
    assert ml.variable_levels(data, "g").to_frame()["level"].tolist() == ["g"]


# ---- heterogeneity bias ----------------------------------------------------------------------------------------------------


def test_heterogeneity_agrees_with_performance():
    stored = reference("describe")["heterogeneity"]
    found = ml.check_heterogeneity_bias(small(), ["x", "z", "w"], by="g")
    assert list(found.predictors) == stored["small"]
    found = ml.check_heterogeneity_bias(frame("fixture", "scenario_2"), ["x1", "x2", "price"], by="k_id")
    assert list(found.predictors) == stored["scenario_2"]
    assert "Possible heterogeneity bias: x1, x2 vary" in str(found)
    assert found
    rows = found.to_frame().set_index("variable")
    assert rows.loc["price", ["between", "within"]].tolist() == [True, False]


def test_a_balanced_predictor_has_nothing_between():
    found = ml.check_heterogeneity_bias(ml.load_dataset("sleepstudy"), "Days", by="Subject")
    assert not found
    assert found.to_frame()[["between", "within"]].iloc[0].tolist() == [False, True]


# ---- variance by level -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "by"), [("scenario_1", "k_id"), ("small", "g")])
def test_one_way_analysis_agrees_with_r(name, by):
    data = frame("fixture", name) if name == "scenario_1" else small()
    stored = reference("describe")["one_way"][name]
    found = ml.variance_by_level(data, list(stored), by).to_frame().set_index("variable")
    for variable, expected in stored.items():
        row = found.loc[variable]
        for key in (
            "n",
            "n_groups",
            "group_size",
            "mean_square_between",
            "mean_square_within",
            "statistic",
            "icc1",
            "icc2",
        ):
            assert row[key] == pytest.approx(expected[key], rel=1e-9), key
        assert row["p_value"] == pytest.approx(expected["p"], rel=1e-8)
        assert row["design_effect"] == pytest.approx(1 + (expected["group_size"] - 1) * expected["icc1"], rel=1e-9)
        assert row["sd_within"] == pytest.approx(np.sqrt(expected["mean_square_within"]), rel=1e-10)


def test_reml_agrees_with_lme4():
    stored = reference("describe")["reml"]
    found = ml.variance_by_level(frame("fixture", "scenario_1"), "y", "k_id", method="reml").to_frame()
    assert found["level"].tolist() == ["k_id", "rows"]
    np.testing.assert_allclose(found["variance"], stored["x1"]["variances"], rtol=1e-4)
    found = ml.variance_by_level(ml.load_dataset("Pastes"), "strength", "batch/cask", method="reml").to_frame()
    by_level = dict(zip(stored["pastes"]["groups"], stored["pastes"]["variances"], strict=True))
    expected = [by_level["batch"], by_level["batch:cask"], by_level["Residual"]]
    np.testing.assert_allclose(found["variance"], expected, rtol=1e-4)
    assert found["share"].sum() == pytest.approx(1)
    assert found["n_groups"].tolist() == [10, 30, 60]


def test_balanced_data_have_the_same_icc_by_both_methods():
    data = ml.load_dataset("Dyestuff")
    anova = ml.variance_by_level(data, "Yield", "Batch").to_frame()
    reml = ml.variance_by_level(data, "Yield", "Batch", method="reml").to_frame()
    assert anova["icc1"][0] == pytest.approx(reml["share"][0], rel=1e-6)


def test_more_alike_than_chance():
    found = ml.variance_by_level(frame("fixture", "scenario_1"), ["x1", "y"], "k_id")
    assert found.notes == ("Groups are more alike than chance would have them: x1 by k_id.",)
    row = found.to_frame().iloc[0]
    assert row["icc1"] < 0
    assert row["sd_between"] == 0
    assert "| variable | level |" in found.to_markdown().replace("\\", "")


def test_what_is_constant_within_groups_is_so_exactly():
    data = {"g": [1, 1, 1, 2, 2, 2], "x": [0.1, 0.1, 0.1, 0.7, 0.7, 0.7], "c": [0.3] * 6}
    rows = ml.variance_by_level(data, None, "g").to_frame()
    assert rows["icc1"][0] == 1
    assert rows["sd_within"].tolist() == [0, 0]
    assert rows["statistic"][0] == np.inf
    assert rows["p_value"][0] == 0
    assert np.isnan(rows["icc1"][1])


def test_bad_methods_are_refused():
    with pytest.raises(ml.ControlError, match="method must be 'anova' or 'reml'"):
        ml.variance_by_level(small(), "x", "g", method="ml")


def test_missing_values_are_said():
    assert ml.variance_by_level(small(), "x", "g").notes[0] == "Missing values were left out: x (2)."


# ---- sizes -------------------------------------------------------------------------------------------------------------------


def test_sizes_of_balanced_and_unbalanced_clusters():
    row = ml.cluster_sizes(frame("fixture", "scenario_1"), "k_id").to_frame().iloc[0]
    assert row[["n_groups", "n_rows", "min", "max", "singletons"]].tolist() == [100, 5000, 50, 50, 0]
    assert row["balanced"]
    row = ml.cluster_sizes(small(), "g").to_frame().iloc[0]
    assert row[["n_groups", "min", "median", "mean", "max", "singletons"]].tolist() == [5, 1, 4, 4, 7, 1]
    assert not row["balanced"]


def test_relations_of_factors():
    pastes = ml.load_dataset("Pastes")
    found = ml.cluster_sizes(pastes, ["batch/cask", "sample"])
    assert found.relations[("batch:cask", "batch")] == "nested"
    assert found.relations[("batch:cask", "sample")] == "the same"
    assert found.relations[("sample", "batch")] == "nested"
    assert ml.cluster_sizes(pastes, ["batch", "cask"]).relations == {("batch", "cask"): "crossed"}
    assert ml.cluster_sizes(pastes, ["sample", "batch"]).notes == ("sample is nested in batch.",)
    inst = ml.cluster_sizes(ml.load_dataset("InstEval"), ["s", "d"])
    assert inst.relations == {("s", "d"): "partially crossed"}
    assert "of their 3352" in inst.notes[0]


def test_rows_without_a_cluster_are_said():
    data = small().assign(g=small()["g"].where(small()["x"] != 2))
    with pytest.warns(ml.MissingValuesWarning, match="4 of 20 rows were left out"):
        assert ml.cluster_sizes(data, "g").to_frame()["n_rows"].tolist() == [16]
