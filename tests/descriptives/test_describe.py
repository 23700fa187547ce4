"""Descriptive statistics against R's psych."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import multilevel as ml
from reference_cases import frame, reference

TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}


def small() -> pd.DataFrame:
    """Return the small frame of the reference, its categories in their order."""
    found = pd.DataFrame(reference("describe")["small"])
    return found.assign(
        f=pd.Categorical(found["f"], ["low", "mid", "high"]), x=found["x"].astype(float), y=found["y"].astype(float)
    )


def table(stored) -> pd.DataFrame:
    """Return a stored table; R's infinite extremes of nothing are missing here."""
    values = pd.DataFrame(stored["values"], index=stored["rows"], columns=stored["columns"])
    return values.replace({"Inf": np.nan, "-Inf": np.nan}).astype(float)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    for name in expected.columns:
        np.testing.assert_allclose(found[name].to_numpy(float), expected[name].to_numpy(), err_msg=name, **TOLERANCE)


@pytest.mark.parametrize("name", ["scenario_1", "scenario_2", "scenario_3", "scenario_4"])
def test_scenarios_agree_with_psych(name):
    found = ml.describe(frame("fixture", name), quantiles=[0.1, 0.25, 0.5, 0.75, 0.9], iqr=True).to_frame()
    expected = table(reference("describe")["describe"]["scenarios"][name])
    assert list(found.index) == list(expected.index)
    assert_same(found, expected)
    assert list(found.columns) == [*expected.columns, "missing"]


def test_the_figures_of_scenario_1():
    found = ml.describe(frame("fixture", "scenario_1")).to_frame().round(2)
    names = ["mean", "sd", "median", "trimmed", "mad", "min", "max", "skew", "kurtosis", "se"]
    assert found.loc["x1", names].tolist() == [5.00, 1.99, 4.98, 5.00, 1.95, -1.27, 11.89, 0.01, 0.00, 0.03]
    assert found.loc["x2", "mean"] == 0.49
    assert found.loc["k_effect", ["mean", "sd", "min", "max"]].tolist() == [-0.15, 1.07, -3.06, 1.80]
    names = ["mean", "sd", "mad", "min", "max", "range"]
    assert found.loc["y", names].tolist() == [64.70, 11.34, 11.13, 26.79, 105.92, 79.14]


def test_missing_values_and_categories_agree_with_psych():
    found = ml.describe(small()).to_frame()
    expected = table(reference("describe")["describe"]["small"])
    assert list(found.index) == list(expected.index) == ["g*", "h*", "x", "y", "z", "w", "f*"]
    assert_same(found, expected)
    assert found["missing"].tolist() == [0, 0, 2, 1, 0, 0, 0]


def test_factors_agree_with_psych():
    expected = table(reference("describe")["describe"]["cake"])
    found = ml.describe(ml.load_dataset("cake")).to_frame()
    assert list(found.index) == list(expected.index)
    assert_same(found, expected)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_kinds_of_skewness(kind):
    complete = small().dropna()
    found = ml.describe(complete, ["x", "y", "z"], skew_type=kind).to_frame()
    assert_same(found, table(reference("describe")["describe"]["types"][kind - 1]))


@pytest.mark.parametrize("at", range(5))
def test_trimmed_means(at):
    stored = reference("describe")["describe"]["trims"][at]
    found = ml.describe(frame("fixture", "scenario_1"), ["x1", "y"], trim=stored["trim"]).to_frame()
    assert_same(found, table(stored["values"]))


def test_missing_values_count_as_if_their_rows_were_not_there():
    whole = small()
    for kind in (1, 2, 3):
        with_missing = ml.describe(whole, "x", skew_type=kind).to_frame().drop(columns="missing")
        without = ml.describe(whole["x"].dropna().to_frame(), "x", skew_type=kind).to_frame().drop(columns="missing")
        pd.testing.assert_frame_equal(with_missing, without)


def test_columns_with_nothing_or_little_in_them():
    data = {"none": [np.nan] * 4, "one": [1.0] + [np.nan] * 3, "constant": [0.1] * 4, "inf": [np.inf, 1, 2, 3]}
    found = ml.describe(data).to_frame()
    assert found["n"].tolist() == [0, 1, 4, 4]
    assert found["missing"].tolist() == [4, 3, 0, 0]
    assert found.loc["none", ["mean", "sd", "median", "trimmed", "mad", "min", "max", "se"]].isna().all()
    assert found.loc["one", ["mean", "median", "trimmed", "mad", "min"]].tolist() == [1, 1, 1, 0, 1]
    assert found.loc["one", ["sd", "skew", "kurtosis", "se"]].isna().all()
    assert found.loc["constant", "range"] == 0
    assert found.loc["inf", ["mean", "median", "max"]].tolist() == [np.inf, 2.5, np.inf]
    assert np.isnan(found.loc["inf", "sd"])


@given(
    arrays(np.float64, st.integers(2, 40), elements=st.floats(-100, 100, width=32)),
    st.floats(0, 0.49),
    st.floats(0.5, 20),
    st.floats(-50, 50),
)
def test_statistics_follow_a_change_of_units(values, trim, scale, shift):
    first, second = (ml.describe({"x": v}, trim=trim).to_frame().loc["x"] for v in (values, values * scale + shift))
    for name in ("mean", "median", "trimmed", "min", "max"):
        assert second[name] == pytest.approx(first[name] * scale + shift, abs=1e-9 * (1 + scale * 100))
    for name in ("sd", "mad", "range", "se"):
        assert second[name] == pytest.approx(first[name] * scale, abs=1e-9 * (1 + scale * 100))
    assert first["min"] - 1e-9 <= first["trimmed"] <= first["max"] + 1e-9


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6)), st.floats(0, 1))
def test_quantiles_are_numpy_s(values, probability):
    found = ml.describe({"x": values}, quantiles=[probability]).to_frame().iloc[0, -2]
    assert found == pytest.approx(np.quantile(values, probability), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("make", [lambda d: d, pl.from_pandas, lambda d: pl.from_pandas(d).lazy(), dict])
def test_any_frame_will_do(make):
    data = frame("fixture", "scenario_4")[["k_id", "x1_c", "y"]]
    found = ml.describe(make(data)).to_frame()
    pd.testing.assert_frame_equal(found, ml.describe(data).to_frame())


def test_truth_values_count_and_dates_are_left_out():
    data = pd.DataFrame({"b": [True, False, True, True], "when": pd.to_datetime(["2020-01-01"] * 4)})
    found = ml.describe(data)
    assert found.to_frame().loc["b", "mean"] == 0.75
    assert found.notes == ("Left out, since they hold dates: when.",)
    with pytest.raises(ml.DataTypeError, match="'when' holds dates"):
        ml.describe(data, "when")


def test_factors_are_counted_or_left_out():
    data = small().assign(f=small()["f"].where(small()["x"] > 1))
    counted = ml.describe(data, ["x", "f"], factors="counts")
    assert list(counted.to_frame().index) == ["x"]
    expected = data["f"].value_counts(sort=False)
    assert counted.counts["level"].tolist() == ["low", "mid", "high", "(missing)"]
    assert counted.counts["n"].tolist() == [*expected, 6]
    assert counted.counts["percent"].iloc[:3].sum() == pytest.approx(100)
    omitted = ml.describe(data, factors="omit")
    assert list(omitted.to_frame().index) == ["x", "y", "z", "w"]
    assert omitted.notes == ("Left out, since they hold text or categories: g, h, f.",)
    only = ml.describe(data, "f", factors="counts")
    assert "(missing)" in str(only)
    assert only.to_frame().empty


def test_shown_in_every_form():
    found = ml.describe(small())
    text = str(found)
    assert text.splitlines()[0] == "20 rows, 7 columns"
    assert "missing" in text
    assert "missing" not in str(ml.describe(small(), "z"))
    assert found._repr_html_().count("<tr") == 8
    assert "| x | 3 | 18 |" in found.to_markdown()
    assert r"\toprule" in found.to_latex()


def test_small_numbers_keep_two_digits():
    assert "0.0012" in str(ml.describe({"x": [0.0011, 0.0012, 0.0013]}))


def test_bad_options_are_refused():
    data = small()
    with pytest.raises(ml.ControlError, match=r"trim must be a share between 0 and 0\.5, not 0\.7"):
        ml.describe(data, trim=0.7)
    with pytest.raises(ml.ControlError, match="skew_type must be 1, 2 or 3"):
        ml.describe(data, skew_type=4)
    with pytest.raises(ml.ControlError, match="quantiles must be probabilities"):
        ml.describe(data, quantiles=[25])
    with pytest.raises(ml.ControlError, match="factors must be"):
        ml.describe(data, factors="dummies")
    with pytest.raises(ml.UnknownColumnError, match="no column named 'X'"):
        ml.describe(data, ["X"])
    with pytest.raises(ml.DataTypeError, match="Columns are given by their names, not by 3"):
        ml.describe(data, [3])
    with pytest.raises(ml.DataError, match="no column to describe"):
        ml.describe(data, "f", factors="omit")


# ---- by group ------------------------------------------------------------------------------------------------------------


def test_groups_of_scenario_1_agree_with_psych():
    stored = reference("describe")["describe_by"]["scenario_1"]
    found = ml.describe_by(frame("fixture", "scenario_1"), "x2", ["x1", "y"]).to_frame()
    assert [[str(value)] for value in found["x2"]] == stored["groups"]
    assert found["variable"].tolist() == ["x1", "x1", "y", "y"]
    assert_same(found, table(stored["values"]))
    by_x2 = found[found["variable"] == "y"].set_index("x2")["mean"].round(2)
    assert by_x2.tolist() == [59.74, 69.89]


def test_several_grouping_columns_agree_with_psych():
    """The order of psych's rows is another: there the first grouping column varies fastest."""
    stored = reference("describe")["describe_by"]["small"]
    expected = table(stored["values"])
    expected[["g", "h"]] = stored["groups"]
    expected = expected[expected["n"].notna()].sort_values(["vars", "g", "h"])
    described = ml.describe_by(small(), ["g", "h"], ["x", "y"])
    found = described.to_frame()
    assert found[["g", "h"]].to_numpy().tolist() == expected[["g", "h"]].to_numpy().tolist()
    assert_same(found, expected.drop(columns=["g", "h"]))
    assert described.notes == ("1 of the 10 combinations of g × h does not occur: d:v.",)


def test_grouping_columns_are_not_described_unless_they_are_named():
    assert set(ml.describe_by(small(), "g").to_frame()["variable"]) == {"h*", "x", "y", "z", "w", "f*"}
    assert set(ml.describe_by(small(), "w", ["w"]).to_frame()["range"]) == {0.0}


def test_rows_without_a_group_are_left_out_and_that_is_said():
    data = small()
    data.loc[[0, 3], "g"] = None
    with pytest.warns(ml.MissingValuesWarning, match=r"2 of 20 rows were left out .* missing in 'g' \(2\)"):
        found = ml.describe_by(data, "g", "z").to_frame()
    assert found["n"].tolist() == [2, 5, 3, 1, 7]


def test_counts_by_group():
    found = ml.describe_by(small(), "h", "f", factors="counts").counts
    expected = pd.crosstab(small()["h"], small()["f"])
    assert found["n"].tolist() == expected.to_numpy().ravel().tolist()
    assert found["h"].tolist() == ["u"] * 3 + ["v"] * 3


def test_long_tables_are_cut_in_the_middle():
    text = str(ml.describe_by(frame("fixture", "scenario_1"), "k_id", "y"))
    assert "… 75 more" in text
    assert len(text.splitlines()) == 2 + 1 + 20 + 1 + 5


def test_no_group_at_all():
    with pytest.raises(ml.DataError, match="No row has a group"):
        ml.describe_by({"x": [1.0, 2.0], "g": [None, None]}, "g")
    with pytest.raises(ml.DataError, match="at least one column"):
        ml.describe_by(small(), [])
