"""Contrast matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from multilevel.errors import ControlError, DataError
from multilevel.formula.contrasts import make_contrast

LEVELS = ("a", "b", "c")


def test_treatment_and_its_base():
    for spec, names in (
        ("treatment", ("b", "c")),
        (("treatment", 2), ("a", "c")),
        (("treatment", "c"), ("a", "b")),
        ("SAS", ("a", "b")),
        ("contr.treatment", ("b", "c")),
    ):
        contrast = make_contrast(spec, LEVELS, "f")
        assert contrast.suffixes == names
        np.testing.assert_array_equal(contrast.matrix, np.eye(3)[:, [LEVELS.index(name) for name in names]])


def test_sum_and_helmert():
    np.testing.assert_array_equal(make_contrast("sum", LEVELS, "f").matrix, [[1, 0], [0, 1], [-1, -1]])
    np.testing.assert_array_equal(make_contrast("helmert", LEVELS, "f").matrix, [[-1, -1], [1, -1], [0, 2]])
    assert make_contrast("sum", LEVELS, "f").suffixes == ("1", "2")


def test_polynomials():
    contrast = make_contrast("poly", ("1", "2", "3", "4", "5"), "f")
    assert contrast.suffixes == (".L", ".Q", ".C", "^4")
    np.testing.assert_allclose(contrast.matrix.T @ contrast.matrix, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(contrast.matrix[:, 0], np.arange(-2, 3) / np.sqrt(10))


def test_rows_of_a_frame_are_matched_to_the_levels():
    frame = pd.DataFrame({"late": [1.0, 0, 0], "mid": [0, 1.0, 0]}, index=["c", "b", "a"])
    contrast = make_contrast(frame, LEVELS, "f")
    assert contrast.suffixes == ("late", "mid")
    np.testing.assert_array_equal(contrast.matrix, [[0, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("spec", "error", "sentence"),
    [
        ("sums", ControlError, "'sums' of 'f' are not known"),
        (("sum", 1), ControlError, "have no base"),
        (("treatment", 4), ControlError, "base 4 .* not one of its levels: 'a', 'b', 'c'"),
        (("treatment", "z"), ControlError, "base 'z'"),
        ([["x"]], ControlError, "matrix of numbers"),
        (np.eye(3), DataError, "3 × 3; .* must be 3 × 2"),
        ([[1, np.nan], [0, 1], [1, 1]], DataError, "missing or infinite"),
        ([[1, 1], [0, 0], [0, 0]], DataError, "linearly dependent"),
    ],
)
def test_refused(spec, error, sentence):
    with pytest.raises(error, match=sentence):
        make_contrast(spec, LEVELS, "f")


def test_too_few_levels():
    with pytest.raises(DataError, match="only the level 'a'"):
        make_contrast("sum", ("a",), "f")
    with pytest.raises(DataError, match="no levels"):
        make_contrast("sum", (), "f")
