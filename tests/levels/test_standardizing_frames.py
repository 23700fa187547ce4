"""Standardizing columns against R's datawizard."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml
from reference_cases import frame, reference

COLUMNS = ["x", "y", "z", "w"]


def small() -> pd.DataFrame:
    return pd.DataFrame(reference("describe")["small"]).astype({"x": float, "y": float})


@pytest.mark.parametrize("name", ["plain", "robust", "two_sd"])
def test_agrees_with_datawizard(name):
    options = {} if name == "plain" else {name: True}
    found = ml.standardize(small(), COLUMNS, **options)
    for column, values in reference("describe")["standardize"][name].items():
        np.testing.assert_allclose(found[column], np.array(values, dtype=float), rtol=1e-12, atol=1e-14)


def test_weights_agree_with_datawizard():
    for weights in ("w", small()["w"], small()["w"].tolist()):
        found = ml.standardize(small(), ["y", "z"], weights=weights)
        for column, values in reference("describe")["standardize"]["weighted"].items():
            np.testing.assert_allclose(found[column], np.array(values, dtype=float), rtol=1e-12, atol=1e-14)


def test_groups_agree_with_datawizard():
    found = ml.standardize(small(), ["x", "y"], by="h")
    for column, values in reference("describe")["standardize"]["by"].items():
        # datawizard gives grouped data back in the order of the rows.
        np.testing.assert_allclose(found[column], np.array(values, dtype=float), rtol=1e-12, atol=1e-14)


def test_what_is_not_numeric_stays():
    data = ml.load_dataset("cake").assign(warm=lambda d: d["temp"] > 200)
    found = ml.standardize(data)
    pd.testing.assert_frame_equal(found[["recipe", "temperature", "warm"]], data[["recipe", "temperature", "warm"]])
    assert found[["angle", "temp"]].std().tolist() == pytest.approx([1, 1])
    assert list(found.columns) == list(data.columns)


@pytest.mark.parametrize("options", [{}, {"robust": True}, {"two_sd": True}, {"by": "g"}, {"by": ["g", "h"]}])
def test_there_and_back(options):
    data = small().assign(x=np.arange(20.0) ** 1.5, y=np.sin(np.arange(20.0)))
    if "by" in options:
        with pytest.warns(ml.MultilevelWarning, match="only centred there"):
            scaling = ml.Standardizer.of(data, ["x", "y"], **options)
    else:
        scaling = ml.Standardizer.of(data, ["x", "y"], **options)
    back = scaling.inverse(scaling.transform(data))
    np.testing.assert_allclose(back[["x", "y"]], data[["x", "y"]], atol=1e-12)
    only = scaling.inverse(scaling.transform(data), "x")
    np.testing.assert_allclose(only["x"], data["x"], atol=1e-12)
    assert not np.allclose(only["y"], data["y"])


def test_other_data_take_the_scale_that_was_learnt():
    data = frame("fixture", "scenario_1")
    scaling = ml.Standardizer.of(data, "x1", by="x2")
    part = data[data["x2"] == 1].head(7)
    pd.testing.assert_series_equal(scaling.transform(part)["x1"], scaling.transform(data)["x1"].loc[part.index])
    new = part.assign(x2=9)
    assert scaling.transform(new)["x1"].isna().all()
    assert "2 groups of x2" in str(scaling)
    assert str(ml.Standardizer.of(data, "x1")) == "Standardizer\nx1: center 4.99886, scale 1.98914"


def test_standardized_scenario_1_gives_the_standardized_coefficients():
    scaled = ml.standardize(frame("fixture", "scenario_1"), ["x1", "x2", "y"])
    fit = ml.lmer("y ~ x1 + x2 + (1 | k_id)", scaled)
    assert [round(float(value), 2) + 0.0 for value in fit.fixef] == [0.0, 0.53, 0.44]


def test_kind_of_frame_and_suffix():
    found = ml.standardize(pl.from_pandas(small()), ["x"], suffix="_z")
    assert isinstance(found, pl.DataFrame)
    assert found.columns[-1] == "x_z"
    assert found["x_z"].null_count() == 2
    with pytest.raises(ml.DataError, match="'x_z' cannot be made"):
        ml.standardize(found, ["x"], suffix="_z")


def test_columns_that_do_not_vary_are_only_centred_and_that_is_said():
    with pytest.warns(ml.MultilevelWarning, match="standard deviation of 'c' is zero or unknown: only centred"):
        found = ml.standardize({"c": [0.1] * 3, "x": [1.0, 2, 3]})
    assert list(found["c"]) == [0.0] * 3
    with pytest.warns(ml.MultilevelWarning, match="in 1 of 5 groups of g"):
        ml.standardize(small(), "y", by="g")


def test_bad_arguments_are_refused():
    data = small()
    with pytest.raises(ml.ControlError, match="takes no weights"):
        ml.standardize(data, robust=True, weights="w")
    with pytest.raises(ml.DataError, match="must be positive numbers"):
        ml.standardize(data, "y", weights="x")
    with pytest.raises(ml.DataError, match="2 weights for 20 rows"):
        ml.standardize(data, "y", weights=[1, 2])
    with pytest.raises(ml.DataTypeError, match="'g' holds text"):
        ml.standardize(data, ["g"])
    with pytest.raises(ml.UnknownColumnError, match="'z' was not standardized"):
        ml.Standardizer.of(data, "y").inverse(data, "z")


def test_weights_are_not_standardized_themselves():
    assert ml.standardize(small()[["y", "w"]], weights="w")["w"].tolist() == small()["w"].tolist()
