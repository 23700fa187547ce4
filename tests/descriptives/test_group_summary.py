"""Summaries by group against R's dplyr and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multilevel as ml
from reference_cases import frame, reference

NAMES = ["mean", "sd", "se", "min", "median", "max", "mad", "iqr", "var", "sum", "q0.9"]


def test_scenario_1_agrees_with_dplyr():
    stored = reference("describe")["group_summary"]["scenario_1"]
    found = ml.group_summary(frame("fixture", "scenario_1"), "x2", "y", NAMES).to_frame()
    assert found["x2"].tolist() == [0, 1]
    expected = pd.DataFrame(stored["values"], columns=stored["columns"])
    assert found["n_rows"].tolist() == expected["n"].tolist()
    for name, column in zip(NAMES, [*NAMES[:-1], "q9"], strict=True):
        np.testing.assert_allclose(found[f"y_{name}"], expected[column], rtol=1e-12, err_msg=name)


def test_missing_values_agree_with_dplyr():
    stored = reference("describe")["group_summary"]["small"]
    data = pd.DataFrame(reference("describe")["small"])
    found = ml.group_summary(data, ["g", "h"], "x", ["n", "mean", "sd", "median"])
    expected = pd.DataFrame(stored["values"], columns=stored["columns"]).astype(float)
    taken = found.to_frame().drop(columns=["g", "h"])
    np.testing.assert_allclose(taken.to_numpy(float), expected.to_numpy(), rtol=1e-12)
    assert found.notes == ("1 of the 10 combinations of g × h does not occur: d:v.",)


@st.composite
def grouped(draw):
    n = draw(st.integers(1, 60))
    values = draw(st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(np.nan)), min_size=n, max_size=n))
    codes = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    return pd.DataFrame({"g": codes, "x": np.array(values, dtype=float)})


@given(grouped())
def test_every_statistic_is_that_of_the_group_alone(data):
    names = ["n", "missing", *NAMES, "range", "skew", "kurtosis", "conf_low", "conf_high"]
    whole = ml.group_summary(data, "g", "x", names).to_frame()
    for row, (key, part) in enumerate(data.groupby("g")):
        alone = ml.group_summary(part, "g", "x", names).to_frame()
        assert alone["g"].tolist() == [key]
        np.testing.assert_allclose(
            whole.iloc[row].to_numpy(float), alone.iloc[0].to_numpy(float), rtol=1e-7, atol=1e-7, equal_nan=True
        )


@given(grouped())
def test_pandas_says_the_same(data):
    found = ml.group_summary(data, "g", "x", ["n", "mean", "sd", "min", "max", "median"]).to_frame()
    expected = data.groupby("g")["x"].agg(["count", "mean", "std", "min", "max", "median"])
    np.testing.assert_allclose(found.iloc[:, 2:].to_numpy(float), expected.to_numpy(float), rtol=1e-9, atol=1e-7)


def test_functions_of_your_own():
    data = frame("fixture", "scenario_1")
    found = ml.group_summary(data, "k_id", "y", {"mean": "mean", "spread": np.ptp, "rows": len}).to_frame()
    assert list(found.columns) == ["k_id", "n_rows", "y_mean", "y_spread", "y_rows"]
    expected = data.groupby("k_id")["y"].agg(np.ptp)
    np.testing.assert_array_equal(found["y_spread"], expected)
    assert (found["y_rows"] == 50).all()
    assert "y_ptp" in ml.group_summary(data, "x2", "y", np.ptp).to_frame()


def test_functions_see_the_values_in_the_order_of_the_rows():
    data = {"g": ["b", "a", "b", "a", "b"], "x": [1.0, 2.0, 3.0, np.nan, 5.0]}
    first = ml.group_summary(data, "g", "x", {"first": lambda v: v[0], "last": lambda v: v[-1]}).to_frame()
    assert first["x_first"].tolist() == [2.0, 1.0]
    assert first["x_last"].tolist() == [2.0, 5.0]


def test_functions_are_not_called_without_values():
    found = ml.group_summary({"g": [1, 2, 2], "x": [np.nan, 1.0, 4.0]}, "g", "x", np.ptp).to_frame()
    np.testing.assert_array_equal(found["x_ptp"], [np.nan, 3.0])


def test_all_numeric_columns_by_default():
    found = ml.group_summary(ml.load_dataset("cake"), "recipe").to_frame()
    assert list(found.columns) == [
        "recipe", "n_rows", "angle_n", "angle_mean", "angle_sd", "temp_n", "temp_mean", "temp_sd"
    ]  # fmt: skip
    assert found["angle_n"].dtype == np.int64


def test_values_of_the_groups_keep_their_type():
    data = pd.DataFrame({"day": pd.to_datetime(["2020-02-01", "2020-01-01", "2020-02-01"]), "x": [1.0, 2, 3]})
    found = ml.group_summary(data, "day", "x", "mean").to_frame()
    assert found["day"].tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01")]
    logical = ml.group_summary({"b": [True, True], "x": [1.0, 2.0]}, "b", "x", "mean").to_frame()
    assert logical["b"].tolist() == [True]


def test_bad_statistics_are_refused():
    data = frame("fixture", "scenario_1")
    with pytest.raises(ml.ControlError, match="no statistic 'average'"):
        ml.group_summary(data, "k_id", "y", "average")
    with pytest.raises(ml.ControlError, match="no statistic 'q2'"):
        ml.group_summary(data, "k_id", "y", "q2")
    with pytest.raises(ml.ControlError, match="same name"):
        ml.group_summary(data, "k_id", "y", [lambda v: v[0], lambda v: v[-1]])
    with pytest.raises(ml.ControlError, match="at least one statistic"):
        ml.group_summary(data, "k_id", "y", [])
    with pytest.raises(ml.DataTypeError, match="a text or a function"):
        ml.group_summary(data, "k_id", "y", [3])
    with pytest.raises(ml.DataTypeError, match="a text or a function"):
        ml.group_summary(data, "k_id", "y", {"three": 3})
    with pytest.raises(ml.DataError, match="'sorted' must return one number"):
        ml.group_summary(data, "k_id", "y", sorted)
    with pytest.raises(ml.DataError, match="'half' must return one number"):
        ml.group_summary({"g": [1, 1, 2], "x": [1.0, 2.0, 3.0]}, "g", "x", {"half": lambda v: list(v)})
    with pytest.raises(ml.DataTypeError, match="text or categories"):
        ml.group_summary(ml.load_dataset("cake"), "temperature", "recipe")
    with pytest.raises(ml.DataError, match="no numeric column"):
        ml.group_summary({"g": ["a", "b"], "h": ["a", "b"]}, "g")


def test_names_of_the_result_do_not_collide():
    with pytest.raises(ml.DataError, match="'x_mean'"):
        ml.group_summary({"x_mean": [1, 2], "x": [1.0, 2.0]}, "x_mean", "x", "mean")
