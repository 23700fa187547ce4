"""The same columns of new data."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from formula_reference import typed_frame

from multilevel.errors import DataError, UnknownColumnError
from multilevel.formula.build import build_design

FORMULA = (
    "log(z) ~ scale(x) + poly(x, 2) + b * cut(z, 3) + factor(k) + flag + offset(x) + I(x - mean(x)) "
    "+ relevel(b, ref = 'mid') + dose + (ns(x, 2) || g) + (b | batch/cask) + (1 | ratio)"
)


@pytest.fixture
def frame() -> pd.DataFrame:
    return typed_frame()


@pytest.mark.filterwarnings("ignore::multilevel.errors.RankDeficiencyWarning")
def test_the_first_data_again(frame):
    design = build_design(FORMULA, frame, contrasts={"dose": "helmert", "b": "sum"})
    encoder = pickle.loads(pickle.dumps(design.encoder))
    x, terms, offset = encoder.encode(frame)
    np.testing.assert_array_equal(x, design.X)
    np.testing.assert_array_equal(offset, design.offset)
    np.testing.assert_array_equal(encoder.offset(frame), design.offset)
    np.testing.assert_array_equal(encoder.fixed_matrix(frame), design.X)
    np.testing.assert_array_equal(encoder.response_values(frame), design.y)
    matrices, codes = encoder.random_matrices(frame), encoder.group_codes(frame)
    for position, term in enumerate(design.random):
        np.testing.assert_array_equal(terms[position][0], design.columns[:, list(term.columns)])
        np.testing.assert_array_equal(terms[position][1], term.factor.codes)
        np.testing.assert_array_equal(matrices[position], terms[position][0])
        np.testing.assert_array_equal(codes[term.factor.name], term.factor.codes)
    some = frame.iloc[[40, 3, 3, 17]]
    np.testing.assert_allclose(encoder.fixed_matrix(some), design.X[[40, 3, 3, 17]], rtol=1e-13, atol=1e-13)


def test_only_what_is_asked_for_is_needed(frame):
    encoder = build_design("y ~ x + b + (z | g) + (1 | h)", frame).encoder
    new = {"x": [1.0, 2.0], "b": ["high", "low"]}
    x, terms, offset = encoder.encode(new, random=[])
    assert x.tolist() == [[1, 1, 0, 1], [1, 2, 0, 0]]
    assert terms == {}
    assert offset is None
    x, terms, _ = encoder.encode({"h": ["u", "new", None]}, fixed=False, random=[1])
    assert x is None
    assert terms[1][1].tolist() == [0, -1, -1]
    with pytest.raises(UnknownColumnError, match="'x'"):
        encoder.fixed_matrix({"b": ["high"]})
    with pytest.raises(DataError, match="no rows"):
        encoder.fixed_matrix({"x": [], "b": []})


def test_new_levels(frame):
    encoder = build_design("y ~ b + k + (1 | g) + (1 | batch/cask)", frame).encoder
    with pytest.raises(DataError, match=r"a level of 'b' that the fitted model does not know: 'other'\."):
        encoder.fixed_matrix({"b": ["low", "other"], "k": [1, 2]})
    with pytest.raises(DataError, match=r"levels of 'b' .* 'p', 'q'"):
        encoder.fixed_matrix({"b": ["q", "p"], "k": [1, 2]})
    with pytest.raises(DataError, match="'k' holds text"):
        encoder.fixed_matrix({"b": ["low"], "k": ["1"]})
    codes = encoder.group_codes({"g": [107, 1, 100.0], "batch": ["A", "Z", "B"], "cask": ["c", "c", "nope"]})
    assert codes["g"].tolist() == [7, -1, 0]
    assert codes["batch"].tolist() == [0, -1, 1]
    assert codes["cask:batch"][1:].tolist() == [-1, -1]
    assert codes["cask:batch"][0] >= 0


def test_a_factor_given_as_another_type(frame):
    encoder = build_design("y ~ factor(k) + flag + (1 | g)", frame).encoder
    same = encoder.fixed_matrix({"k": ["0", "5"], "flag": [True, False]})
    np.testing.assert_array_equal(same, encoder.fixed_matrix({"k": [0, 5], "flag": ["TRUE", "FALSE"]}))
    np.testing.assert_array_equal(same[:, -1], [1, 0])


def test_missing_values_stay_missing(frame):
    encoder = build_design("y ~ x + b + ns(z, 2) + (1 | g)", frame).encoder
    x = encoder.fixed_matrix({"x": [np.nan, 1.0, 1.0], "b": ["low", None, "mid"], "z": [1.0, 2.0, np.nan]})
    assert np.isnan(x).tolist() == [
        [False, True, False, False, False, False],
        [False, False, True, True, False, False],
        [False, False, False, False, True, True],
    ]
