"""Missing values, found and reported."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.data.missing import all_finite, check_na_action, kept_rows, missing_rows, report_missing
from multilevel.errors import ControlError, DataError, MissingValuesWarning


def test_rows_with_nan():
    assert missing_rows(np.array([1, 2])) is None
    assert missing_rows(np.array([1.0, np.inf, -np.inf])) is None
    assert missing_rows(np.array([1.0, np.nan])).tolist() == [False, True]
    assert missing_rows(np.array([[1.0, 2.0], [np.nan, 1.0]])).tolist() == [False, True]


def test_finite_although_the_sum_is_not():
    assert all_finite(np.array([1e308, 1e308]))
    assert not all_finite(np.array([1.0, np.inf]))
    assert all_finite(np.array([1, 2]))


def test_rows_kept():
    assert kept_rows([], 2) is None
    assert kept_rows([np.array([False, False])], 2) is None
    assert kept_rows([np.array([True, False]), np.array([False, False])], 2).tolist() == [False, True]


def test_the_sentence():
    with pytest.warns(MissingValuesWarning) as caught:
        report_missing({"x": 1, "g": 2}, 7, 10, "omit")
    assert str(caught[0].message) == "3 of 10 rows were left out because of missing values in 'x' (1), 'g' (2)."
    with pytest.raises(DataError, match="3 of 10 rows have missing values, in 'x'"):
        report_missing({"x": 3}, 7, 10, "fail")
    with pytest.raises(DataError, match="No rows are left: each of the 10 rows"):
        report_missing({"x": 10}, 0, 10, "omit")


def test_actions():
    assert check_na_action("omit") == "omit"
    assert check_na_action("na.exclude") == "exclude"
    for wrong in ("drop", None):
        with pytest.raises(ControlError, match="'omit', 'exclude', 'fail'"):
            check_na_action(wrong)
