"""Columns whose names are no text, and names that no formula can be read back with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

RNG = np.random.default_rng(1)
VALUES = np.column_stack([RNG.normal(size=(60, 2)), np.arange(60) % 6])
NUMBERED = pd.DataFrame(VALUES)
NAMED = pd.DataFrame(VALUES, columns=["0", "1", "2"])


def test_a_number_in_backquotes_is_the_column_of_that_number():
    fit, expected = (ml.lmer("`0` ~ `1` + (1 | `2`)", frame) for frame in (NUMBERED, NAMED))
    np.testing.assert_allclose(fit.fixef, expected.fixef)
    np.testing.assert_allclose(fit.predict(NUMBERED), fit.fitted())
    np.testing.assert_allclose(fit.predict(NAMED), fit.fitted())
    assert list(fit.augment().columns[:3]) == [0, 1, 2]
    everything = ml.lmer("`0` ~ . + (1 | `2`)", NUMBERED)
    assert list(everything.fixef.index) == ["(Intercept)", "`1`"]
    assert ml.lmer("`0` ~ `1` + (1 | `2`)", {0: VALUES[:, 0], 1: VALUES[:, 1], 2: VALUES[:, 2]}).nobs == 60


def test_functions_of_frames_take_the_number():
    expected = ml.demean(NAMED, "0", by="2")
    for column, by in ((0, 2), ("0", "2"), ([0], [2]), (np.int64(0), "2")):
        found = ml.demean(NUMBERED, column, by=by)
        assert list(found.columns) == [0, 1, 2, "0_between", "0_within"]
        np.testing.assert_allclose(found["0_within"], expected["0_within"])
    assert list(ml.center(NUMBERED, 1, by=2).columns[:3]) == [0, 1, 2]
    assert ml.describe(NUMBERED, 1).to_frame().index.tolist() == ["1"]
    assert str(ml.correlation(NUMBERED, [0, 1], by=2)) == str(ml.correlation(NAMED, ["0", "1"], by="2"))
    with pytest.raises(ml.DataTypeError, match="by their names, not by 7"):
        ml.describe(NUMBERED, 7)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"0": [1.0, 2.0], 0: [1.0, 2.0]}), "more than one column named '0'"),
        ({"0": [1.0, 2.0], 0: [1.0, 2.0]}, "more than one column named '0'"),
        (
            pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
            "names of several parts",
        ),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "more than one column named 'a'"),
        ({"\ud800": [1.0, 2.0]}, "no valid text"),
    ],
)
def test_names_that_cannot_be_told_apart(frame, message):
    for call in (ml.describe, lambda d: ml.lmer("y ~ x + (1 | g)", d), lambda d: ml.demean(d, "x", by="g")):
        with pytest.raises(ml.DataError, match=message):
            call(frame)


@pytest.mark.parametrize("name", ["`", "", "a`b", "a\\", "\\`", "a b", "~", "'", '"', "a\nb", "x:y", "(", "1"])
def test_names_of_all_kinds_are_saved_and_loaded(name, tmp_path):
    frame = pd.DataFrame({"y": VALUES[:, 0], "g": VALUES[:, 2].astype(int), name: VALUES[:, 1]})
    fit = ml.lmer("y ~ . + (1 | g)", frame)
    assert len(fit.fixef) == 2
    fit.save(tmp_path / "fit.mlm", data=True)
    again = ml.load(tmp_path / "fit.mlm")
    np.testing.assert_allclose(again.predict(frame), fit.fitted())
    assert str(again.formula) == str(fit.formula)
