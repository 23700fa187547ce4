"""Adjusted p-values and critical values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import multilevel as ml
from multilevel.inference.multiplicity import ADJUSTMENTS, adjust_p_values, critical_values, two_sided

P = [0.01, 0.02, 0.03, 0.04, 0.05]


@pytest.mark.parametrize(
    ("adjust", "expected"),
    [
        ("none", P),
        ("bonferroni", [0.05, 0.10, 0.15, 0.20, 0.25]),
        ("holm", [0.05, 0.08, 0.09, 0.09, 0.09]),
        ("hochberg", [0.05, 0.05, 0.05, 0.05, 0.05]),
        ("fdr", [0.05, 0.05, 0.05, 0.05, 0.05]),
        ("sidak", [1 - (1 - p) ** 5 for p in P]),
    ],
)
def test_by_hand(adjust, expected):
    np.testing.assert_allclose(adjust_p_values(P, adjust), expected)


@pytest.mark.parametrize("adjust", [name for name in ADJUSTMENTS if name != "tukey"])
@given(p=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_order_of_the_tests_does_not_matter(adjust, p, seed):
    found = adjust_p_values(p, adjust)
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_allclose(adjust_p_values(np.array(p)[order], adjust), found[order])
    assert (found >= np.array(p) * (1 - 1e-12)).all()
    assert (found <= 1.0).all()


def test_missing_tests_do_not_count():
    found = adjust_p_values([0.01, np.nan, 0.2], "bonferroni")
    np.testing.assert_allclose(found, [0.02, np.nan, 0.4])
    assert np.isnan(adjust_p_values([np.nan], "holm")).all()


def test_small_p_values_keep_their_digits():
    np.testing.assert_allclose(adjust_p_values([1e-20, 0.5, 0.5], "sidak")[0], 3e-20)


def test_tukey():
    t, df = np.array([2.5, 1.0, 3.0]), np.array([10.0, 12.5, np.inf])
    p = two_sided(t, df)
    found = adjust_p_values(p, "tukey", statistics=t, df=df, n_means=3)
    np.testing.assert_allclose(found, stats.studentized_range.sf(np.sqrt(2) * t, 3, df), rtol=1e-8)
    np.testing.assert_allclose(adjust_p_values(p, "tukey", statistics=t, df=df, n_means=2), p)
    with pytest.raises(ml.ControlError, match="Tukey"):
        adjust_p_values(p, "tukey")


@pytest.mark.parametrize("adjust", ["tukey", "bonferroni", "sidak", "none"])
@pytest.mark.parametrize("df", [4.0, 17.3, float("inf")])
def test_an_interval_that_ends_at_zero_has_the_p_value_of_its_level(adjust, df):
    value = critical_values(df, 0.95, adjust, n_tests=3, n_means=3)
    p = adjust_p_values(
        np.repeat(two_sided(value, np.array([df])), 3),
        adjust,
        statistics=np.repeat(value, 3),
        df=np.full(3, df),
        n_means=3,
    )
    np.testing.assert_allclose(p, 0.05, rtol=1e-7)


def test_unknown_names():
    with pytest.raises(ml.ControlError, match="'tukey', 'holm'"):
        adjust_p_values(P, "dunn")
    with pytest.raises(ml.ControlError):
        critical_values(3.0, adjust="dunn")
