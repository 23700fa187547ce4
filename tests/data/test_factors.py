"""Factors: levels in R's order, codes, combinations."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from multilevel.data.factors import Factor, codes_for, combine, factor_from_codes, factorize
from multilevel.data.levels import Levels, level_text
from multilevel.data.numbers import format_number
from multilevel.data.relevel import relevel
from multilevel.errors import DataError


def levels_of(values: list[object], dtype: object = None) -> tuple[str, ...]:
    return factorize(np.array(values, dtype=dtype)).levels.names


def test_levels_are_sorted_and_written_as_r_writes_them():
    assert levels_of([10, 9, 2, 10]) == ("2", "9", "10")
    assert levels_of(["b", "a", "B", "10", "9"]) == ("10", "9", "B", "a", "b")
    assert levels_of([0.1, 1e5, 1 / 3, 2.0]) == ("0.1", "0.333333333333333", "2", "1e+05")
    assert levels_of([2.0, np.nan, 100000.0]) == ("2", "100000")
    assert levels_of([True, False]) == ("FALSE", "TRUE")
    assert levels_of([100000, -5]) == ("-5", "100000")
    assert levels_of(["2020-02-01", "1999-12-31"], "datetime64[D]") == ("1999-12-31", "2020-02-01")
    assert levels_of(["2020-02-01T10:00", "1999-12-31T00:00"], "datetime64[us]") == (
        "1999-12-31 00:00:00",
        "2020-02-01 10:00:00",
    )


def test_one_text_per_value():
    assert [level_text(v) for v in ("a", True, np.int8(3), 2.5, None)] == ["a", "TRUE", "3", "2.5", "None"]
    assert level_text(np.datetime64("2020-01-01")) == "2020-01-01"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-2.5, "-2.5"),
        (1e15, "1e+15"),
        (123456789.0, "123456789"),
        (0.0001, "1e-04"),
        (1e300, "1e+300"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
        (1.5e-7, "1.5e-07"),
    ],
)
def test_numbers(number, text):
    assert format_number(number) == text


def test_missing_values_have_the_code_minus_one():
    for values in (
        np.array([2.0, np.nan, 1.0]),
        np.array([2.5, np.nan, 1.0]),
        np.array(["b", None, "a"], dtype=object),
    ):
        factor = factorize(values)
        assert factor.codes.tolist() == [1, -1, 0]
        assert factor.has_missing
    factor = factorize(np.array([7, 0, 5]), np.array([False, True, False]))
    assert factor.codes.tolist() == [1, -1, 0]
    assert factor.levels.names == ("5", "7")
    assert factorize(np.array([np.nan, np.nan])).n_levels == 0


@given(hnp.arrays(st.sampled_from([np.int8, np.int32, np.int64, np.uint8, np.uint64]), st.integers(1, 40)))
def test_integers_against_numpy(values):
    levels, codes = np.unique(values, return_inverse=True)
    factor = factorize(values)
    assert factor.codes.dtype == np.int32
    np.testing.assert_array_equal(factor.codes, codes)
    assert factor.levels.names == tuple(str(v) for v in levels.tolist())


def test_unused_levels_are_dropped():
    factor = factor_from_codes(np.array([3, 1, -1, 3]), Levels(["a", "b", "c", "d"]), ordered=True)
    short = factor.drop_unused()
    assert short.codes.tolist() == [1, 0, -1, 1]
    assert short.levels.names == ("b", "d")
    assert short.ordered
    assert short.drop_unused() is short
    late = np.zeros(5000, dtype=np.int32)
    late[-1] = 2
    assert factor_from_codes(late, Levels(["a", "b", "c"])).drop_unused().levels.names == ("a", "c")
    late[10] = -1
    both = factor_from_codes(late, Levels(["a", "b", "c"])).drop_unused()
    assert both.levels.names == ("a", "c")
    assert both.codes[[0, 10, -1]].tolist() == [0, -1, 1]


def test_combinations_that_occur_first_factor_slowest():
    a = factorize(np.array(["y", "x", "y", "x"]))
    b = factorize(np.array([2, 1, 1, 1]))
    both = combine([a, b])
    assert both.levels.names == ("x:1", "y:1", "y:2")
    assert both.codes.tolist() == [2, 0, 1, 0]
    assert len(both.levels) == 3
    assert pickle.loads(pickle.dumps(both.levels)).names == both.levels.names
    assert both.levels.take(np.array([2, 0])).names == ("y:2", "x:1")


def test_a_combination_lacks_what_a_part_lacks():
    a = factorize(np.array(["y", None, "x"], dtype=object))
    b = factorize(np.array([1.0, 2.0, np.nan]))
    both = combine([a, b])
    assert both.codes.tolist() == [0, -1, -1]
    assert both.levels.names == ("y:1",)


def test_very_many_possible_combinations():
    wide = factor_from_codes(np.array([0, 2_000_000, 5]), Levels(range(2_000_001)))
    both = combine([wide, wide, wide])
    assert both.codes.tolist() == [0, 2, 1]
    assert both.levels.names == ("0:0:0", "5:5:5", "2000000:2000000:2000000")


def test_codes_for_other_levels():
    factor = factorize(np.array(["b", "c", "a"]))
    assert codes_for(factor, Levels(["c", "b"])).tolist() == [1, 0, -1]
    assert codes_for(factor, factor.levels) is factor.codes
    fitted = factorize(np.array([0.5, 1e5, 2.0])).levels
    assert fitted.names == ("0.5", "2", "1e+05")
    assert codes_for(factorize(np.array([100000, 3])), fitted).tolist() == [2, -1]
    assert codes_for(factorize(np.array(["2", "1"])), fitted).tolist() == [1, -1]


def test_values_of_several_types_are_sorted_by_their_text():
    assert levels_of(["b", 2, "a", 10], object) == ("10", "2", "a", "b")


def test_levels_are_written_only_when_read():
    levels = factorize(np.arange(1_000_000)).levels
    assert len(levels) == 1_000_000
    assert levels._names is None
    assert repr(levels) == "Levels(1000000: '0', '1', '2', …)"
    assert list(Levels(["b", "a"])) == ["b", "a"]
    assert Levels(["1", "2"]) == Levels(np.array([1, 2]))
    assert hash(Levels(["1"])) == hash(Levels([1]))


def test_half_a_million_ids_take_milliseconds():
    ids = np.random.default_rng(1).integers(0, 10_000, 500_000)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        factor = factorize(ids)
        times.append(time.perf_counter() - start)
    assert factor.n_levels == 10_000
    assert min(times) < 0.05  # about 1 ms on an idle machine


def test_scattered_ids_are_hashed():
    ids = np.array([10**15, 5, 10**15, -(10**17)])
    factor = factorize(ids)
    assert factor.codes.tolist() == [2, 1, 2, 0]
    extremes = factorize(np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min]))
    assert extremes.codes.tolist() == [1, 0]
    masked = factorize(np.array([10**15, 5, 77]), np.array([False, False, True]))
    assert masked.codes.tolist() == [1, 0, -1]
    assert masked.n_levels == 2


def test_factors_agree_with_pandas():
    values = np.random.default_rng(2).choice(["u", "v", "w"], 1000)
    categorical = pd.Categorical(values)
    factor = factorize(values)
    assert isinstance(factor, Factor)
    np.testing.assert_array_equal(factor.codes, categorical.codes)


def test_relevel():
    assert relevel(["b", "c", None, "a"], "c").codes.tolist() == [2, 0, -1, 1]
    assert relevel(pd.Series([3, 1, 2]), 2).categories.tolist() == ["2", "1", "3"]
    with pytest.raises(DataError, match="'z' cannot be put first"):
        relevel(["a"], "z")


def test_combinations_whose_texts_are_alike():
    def combined(*columns):
        return combine([factorize(np.array(column, dtype=object)) for column in columns])

    both = combined(["1", "1", "1:2", "1:2"], ["3", "2:3", "3", "2:3"])
    assert [both.levels.names[code] for code in both.codes] == ["1:3", "1:2:3", "1:2:3.1", "1:2:2:3"]
    other = combined(["1:2", "1", "1:2"], ["3", "2:3", "4"])
    assert codes_for(other, both.levels).tolist() == [both.codes[2], both.codes[1], -1]
