"""Centring by level against R's datawizard, and its algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multilevel as ml
from reference_cases import frame, reference


def small() -> pd.DataFrame:
    found = pd.DataFrame(reference("describe")["small"]).astype({"x": float, "y": float})
    return found.assign(f=pd.Categorical(found["f"], ["low", "mid", "high"]))


def test_scenario_3_agrees_with_datawizard():
    stored = reference("describe")["demean"]["scenario_3"]
    found = ml.demean(frame("fixture", "scenario_3"), "x1", by="k_id")
    for name, values in stored.items():
        np.testing.assert_allclose(found[name][::97], values, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found["x1_between"], found["x1_mean"], rtol=1e-14)


def test_missing_values_and_categories_agree_with_datawizard():
    stored = reference("describe")["demean"]["small"]
    with pytest.warns(ml.MissingValuesWarning, match=r"missing values in 'x' \(2\) do not count in the means"):
        found = ml.demean(small(), ["x", "z", "f"], by="g")
    # datawizard also splits the codes of the levels, as if they were numbers.
    for name in set(stored) - {"f_between", "f_within"}:
        np.testing.assert_allclose(found[name], np.array(stored[name], dtype=float), rtol=1e-12, atol=1e-14)
    assert set(found.columns) - set(small().columns) == set(stored) - {"f_between", "f_within"}
    assert not (found["z_within"] != 0).any()


def test_the_contextual_model_of_scenario_3_is_one_line():
    d = frame("fixture", "scenario_3")
    fit = ml.lmer("y ~ x1_within + x2 + x1_between + (1 | k_id)", ml.demean(d, "x1", by="k_id"))
    contextual = ml.lmer(
        "y ~ x1 + x2 + x1_mean + (1 | k_id)", ml.group_mean(d.drop(columns="x1_mean"), "x1", by="k_id")
    )
    assert contextual.fixef.round(3).tolist() == [43.577, 3.035, 9.990, 12.214]
    # The effect between clusters is the effect within plus the contextual effect.
    assert fit.fixef["x1_between"] == pytest.approx(contextual.fixef["x1"] + contextual.fixef["x1_mean"], rel=1e-8)
    assert fit.fixef["x1_within"] == pytest.approx(contextual.fixef["x1"], rel=1e-8)


@st.composite
def nested(draw):
    n = draw(st.integers(2, 60))

    def integers(top):
        return draw(st.lists(st.integers(0, top), min_size=n, max_size=n))

    values = draw(st.lists(st.floats(-100, 100), min_size=n, max_size=n))
    return pd.DataFrame({"x": values, "a": integers(3), "b": integers(3), "c": integers(2)})


@given(nested(), st.booleans())
def test_nested_parts_add_up_and_are_orthogonal(data, grand_mean):
    found = ml.demean(data, "x", by="a/b/c", grand_mean=grand_mean)
    names = ["x_a_between", "x_b_between", "x_c_between", "x_within"]
    assert list(found.columns) == [*data.columns, *names]
    whole = data["x"] - (data["x"].mean() if grand_mean else 0)
    np.testing.assert_allclose(found[names].sum(axis=1), whole, atol=1e-9)
    parts = found[names].to_numpy() - [data["x"].mean() * (not grand_mean), 0, 0, 0]
    products = parts.T @ parts
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-6)
    np.testing.assert_allclose(found["x_a_between"] + (data["x"].mean() if grand_mean else 0),
                               data.groupby("a")["x"].transform("mean"), atol=1e-9)  # fmt: skip
    inner = data.groupby(["a", "b"])["x"].transform("mean") - data.groupby("a")["x"].transform("mean")
    np.testing.assert_allclose(found["x_b_between"], inner, atol=1e-9)


@given(nested(), st.booleans())
def test_crossed_parts_add_up(data, grand_mean):
    found = ml.demean(data, "x", by=["a", "b"], grand_mean=grand_mean)
    grand = data["x"].mean() if grand_mean else 0
    names = ["x_a_between", "x_b_between", "x_within"]
    np.testing.assert_allclose(found[names].sum(axis=1) + grand, data["x"], atol=1e-9)
    np.testing.assert_allclose(found["x_b_between"] + grand, data.groupby("b")["x"].transform("mean"), atol=1e-9)
    if grand_mean:
        assert found["x_within"].mean() == pytest.approx(0, abs=1e-9)


def test_one_factor_with_the_grand_mean_taken_away():
    d = frame("fixture", "scenario_1")
    found = ml.demean(d, "x1", by="k_id", grand_mean=True)
    assert found["x1_between"].mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(found["x1_between"] + found["x1_within"] + d["x1"].mean(), d["x1"], rtol=1e-12)


def test_frames_keep_their_kind():
    data = small().dropna()
    expected = ml.demean(data, ["x", "f"], by="g")
    assert isinstance(expected, pd.DataFrame)
    assert list(expected.index) == list(data.index)
    assert "x_within" not in data
    polars = ml.demean(pl.from_pandas(data), ["x", "f"], by="g")
    assert isinstance(polars, pl.DataFrame)
    arrow = ml.demean(pa.Table.from_pandas(data, preserve_index=False), ["x", "f"], by="g")
    assert isinstance(arrow, pa.Table)
    mapping = ml.demean({"x": data["x"].tolist(), "g": data["g"].tolist()}, "x", by="g")
    assert isinstance(mapping, dict)
    lazy = ml.demean(pl.from_pandas(data).lazy(), "x", by="g")
    assert isinstance(lazy, pl.DataFrame)
    for other in (polars.to_dict(as_series=False), arrow.to_pydict(), mapping, lazy.to_dict(as_series=False)):
        np.testing.assert_array_equal(other["x_within"], expected["x_within"])
        np.testing.assert_array_equal(other["x_between"], expected["x_between"])


def test_missing_values_are_null_where_the_library_has_nulls():
    with pytest.warns(ml.MissingValuesWarning):
        found = ml.demean(pl.from_pandas(small()), "x", by="g")
    assert found["x_within"].null_count() == 2
    assert found["x_within"].is_nan().sum() == 0
    assert found["x_between"].null_count() == 0


def test_rows_without_a_group_stay_and_have_no_value():
    data = small().assign(g=small()["g"].where(small()["x"] != 2))
    with pytest.warns(ml.MissingValuesWarning) as caught:
        found = ml.demean(data, "x", by="g")
    assert "4 of 20 rows have no value in the new columns because their group is missing in 'g' (4)" in str(
        caught[0].message
    )
    assert len(found) == 20
    assert found.loc[data["g"].isna(), ["x_between", "x_within"]].isna().all(axis=None)


def test_nested_factors_are_said_to_be_missing_once():
    data = small().assign(g=small()["g"].where(small()["g"] != "c"))
    with pytest.warns(ml.MissingValuesWarning) as caught:
        ml.demean(data, "z", by="g/h")
    assert len(caught) == 1
    with pytest.warns(ml.MissingValuesWarning) as caught:
        ml.cluster_sizes(data, by="g/h")
    assert len(caught) == 1


def test_rows_whose_labels_repeat():
    data = small()
    data.index = [0, 1] * 10
    found = ml.demean(data, "w", by="g")
    np.testing.assert_allclose(found["w_between"], data.groupby("g")["w"].transform("mean"))
    assert list(found.index) == list(data.index)
    replaced = ml.center(data, ["w"], by="g")
    np.testing.assert_allclose(replaced["w"], found["w_within"], atol=1e-12)
    assert list(replaced.columns) == list(data.columns)


def test_group_mean_by_several_columns():
    data = small().assign(x=small()["y"].fillna(1))
    found = ml.group_mean(data, "x", by=["g", "h"], suffix="_gm")
    np.testing.assert_allclose(found["x_gm"], data.groupby(["g", "h"])["x"].transform("mean"))


def test_names_that_are_taken():
    data = frame("fixture", "scenario_3")
    with pytest.raises(ml.DataError, match="'x1_mean' cannot be made: the data have it already"):
        ml.group_mean(data, "x1", by="k_id")
    once = ml.demean(data, "x1", by="k_id")
    with pytest.raises(ml.DataError, match="'x1_between' cannot be made"):
        ml.demean(once, "x1", by="k_id")
    with pytest.raises(ml.DataError, match="two of the new columns would have this name"):
        ml.demean(data, "x1", by="k_id", suffix_between="_c", suffix_within="_c")


def test_a_slash_in_a_name_is_only_a_slash():
    data = small().rename(columns={"g": "site/arm"})
    found = ml.demean(data, "z", by=["site/arm", "h"])
    assert {"z_site/arm_between", "z_h_between"} <= set(found.columns)
    assert "z_between" in ml.demean(data, "z", by="site/arm")


def test_bad_arguments_are_refused():
    data = small()
    with pytest.raises(ml.ControlError, match="nested factors or crossed ones, not both"):
        ml.demean(data, "z", by=["g/h", "f"])
    with pytest.raises(ml.DataError, match="does not read as columns"):
        ml.demean(data, "z", by="g//h")
    with pytest.raises(ml.UnknownColumnError, match="no column named 'q'"):
        ml.demean(data, "z", by="g/q")
    with pytest.raises(ml.DataTypeError, match="text or categories"):
        ml.group_mean(data, "f", by="g")
    with pytest.raises(ml.DataError, match="at least one column"):
        ml.demean(data, [], by="g")
    with pytest.raises(ml.DataError, match="at least one column"):
        ml.demean(data, "z", by=[])


# ---- centring ----------------------------------------------------------------------------------------------------------------


def test_center_at_mean_median_or_number():
    d = frame("fixture", "scenario_1")
    np.testing.assert_allclose(ml.center(d, "x1")["x1"], d["x1"] - d["x1"].mean(), atol=1e-12)
    np.testing.assert_array_equal(ml.center(d, "x1", at="median")["x1"], d["x1"] - d["x1"].median())
    np.testing.assert_array_equal(ml.center(d, "x1", at=5)["x1"], d["x1"] - 5)
    medians = d.groupby("k_id")["x1"].transform("median")
    np.testing.assert_allclose(ml.center(d, "x1", by="k_id", at="median", suffix="_c")["x1_c"], d["x1"] - medians)


def test_center_takes_all_numeric_columns():
    found = ml.center(ml.load_dataset("cake"))
    assert found[["angle", "temp"]].mean().abs().max() < 1e-12
    assert found["recipe"].equals(ml.load_dataset("cake")["recipe"])
    kept = ml.center(pl.from_pandas(small()), by="g")
    assert isinstance(kept, pl.DataFrame)
    assert kept["z"].to_list() == [0.0] * 20
    assert kept["x"].null_count() == 2


def test_bad_centres_are_refused():
    data = small()
    with pytest.raises(ml.ControlError, match="'mean', 'median' or a number"):
        ml.center(data, "z", at="mode")
    with pytest.raises(ml.ControlError, match="the same in every cluster"):
        ml.center(data, "z", by="g", at=3)
    with pytest.raises(ml.ControlError, match="'mean', 'median' or a number"):
        ml.center(data, "z", at=True)
