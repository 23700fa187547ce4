from __future__ import annotations

import math

import numpy as np
import pytest
from stored import r_printing

from multilevel.reporting.numbers import (
    format_coefficients,
    format_correlations,
    format_number,
    format_p_values,
    format_quantiles,
    format_values,
    quantile_summary,
    stars,
)


def _numbers(texts):
    return [float(text) for text in texts]


@pytest.mark.parametrize("case", r_printing()["numbers"])
def test_numbers_are_written_as_in_r(case):
    assert format_values(_numbers(case["values"]), case["digits"]) == case["text"]


@pytest.mark.parametrize("case", r_printing()["p_values"])
def test_p_values_are_written_as_in_r(case):
    assert format_p_values(_numbers(case["values"])) == case["text"]


def test_infinite_and_missing_values():
    assert format_values([math.inf, 1.5, math.nan, -math.inf]) == [" Inf", " 1.5", " NaN", "-Inf"]
    assert format_values([math.nan]) == ["NaN"]
    assert format_p_values([math.nan, 0.5]) == ["NaN", "0.5"]


def test_nothing_to_write():
    assert format_values([]) == []
    assert format_p_values([]) == []
    assert format_correlations([], 2) == []


def test_a_negative_zero_has_no_sign():
    assert format_values([-0.0, 1.25]) == ["0.00", "1.25"]
    assert format_correlations([-0.0001, 0.5], 3) == ["0.000", "0.500"]


def test_correlation_that_is_not_defined():
    assert format_correlations([1.0, math.nan, -0.5], 2) == [" 1.00", "  NaN", "-0.50"]


@pytest.mark.parametrize(
    ("p", "mark"),
    [(0.0, "***"), (0.001, "***"), (0.0011, "**"), (0.01, "**"), (0.05, "*"), (0.1, "."), (0.11, ""), (math.nan, "")],
)
def test_stars(p, mark):
    assert stars(p) == mark


def test_estimates_errors_and_df_share_their_decimals():
    columns = np.array([[251.40510, 6.82456, 17.0], [10.46729, 1.54579, 17.0]])
    rows, statistics = format_coefficients(columns, np.array([36.83831, 6.77148]))
    assert rows == [["251.405", "  6.825", " 17.000"], [" 10.467", "  1.546", " 17.000"]]
    assert statistics == ["36.838", " 6.771"]


def test_an_estimate_that_is_rounded_away_is_not_written_as_zero():
    # The rounding suits the smallest number of the table, so only one far below the normal range of doubles is lost.
    rows, _ = format_coefficients(np.array([[1e300, 2.0, 5.0], [0.0, 1.0, math.inf]]), np.array([3.0, 0.0]))
    assert [float(text) for text in rows[1]] == [0.0, 1.0, math.inf]
    assert all(float(text) for text in rows[0])


def test_quantiles_are_type_7():
    values = np.array([3.0, 1.0, 2.0, 10.0])
    assert quantile_summary(values.copy()).tolist() == [1.0, 1.75, 2.5, 4.75, 10.0]
    assert np.isnan(quantile_summary(np.empty(0))).all()


def test_quantiles_next_to_nothing_become_zero():
    assert format_quantiles([-300.0, -1e-9, 0.0, 1e-9, 300.0]) == ["-300", "   0", "   0", "   0", " 300"]
    assert format_quantiles([0.0] * 5) == ["0"] * 5


def test_one_number():
    assert format_number(35129.0) == "35129"
    assert format_number(1743.6282719) == "1743.628"
