"""R's random numbers as a user meets them: arguments, states, what is drawn from, what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import kolmogorov

import multilevel as ml
from multilevel.simulation.r_kernels import next_exponential, next_normal
from multilevel.simulation.r_state import seeded

DRAWS = {
    "uniform": (0, 2),
    "normal": (1, 2),
    "exponential": (3,),
    "binomial": (100, 0.4),
    "poisson": (12,),
    "gamma": (2, 3),
    "beta": (2, 0.5),
    "chisq": (3,),
    "t": (4,),
    "integers": (0, 70000),
}


def test_first_numbers():
    np.testing.assert_allclose(
        ml.RRandom(123).normal(3), [-0.56047564655221, -0.23017748948328, 1.55870831414912], rtol=1e-13
    )


@given(seed=st.integers(-(2**31) + 1, 2**31 - 1), pieces=st.lists(st.integers(0, 700), max_size=6))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("method", list(DRAWS))
def test_pieces_make_the_whole(method, seed, pieces):
    whole, parts = ml.RRandom(seed), ml.RRandom(seed)
    arguments = DRAWS[method]
    drawn = [getattr(parts, method)(n, *arguments) for n in pieces]
    together = getattr(whole, method)(sum(pieces), *arguments)
    np.testing.assert_array_equal(np.concatenate(drawn) if drawn else [], together)
    np.testing.assert_array_equal(whole.get_state(), parts.get_state())


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(0, 1300))
@settings(max_examples=30, deadline=None)
def test_many_normal_numbers_are_single_ones_put_together(seed, n):
    stream = seeded(seed)
    rng = ml.RRandom(seed)
    np.testing.assert_array_equal(rng.normal(n), [next_normal(stream) for _ in range(n)])
    np.testing.assert_array_equal(rng.exponential(n), [next_exponential(stream) for _ in range(n)])


@given(
    seed=st.integers(0, 2**31 - 1),
    means=st.lists(st.floats(-5, 5), min_size=1, max_size=7),
    sds=st.lists(st.floats(0.1, 5), min_size=1, max_size=7),
)
@settings(max_examples=30, deadline=None)
def test_vectors_are_recycled(seed, means, sds):
    n = 50
    standard = ml.RRandom(seed).normal(n)
    np.testing.assert_array_equal(
        ml.RRandom(seed).normal(n, means, sds), np.resize(means, n) + np.resize(sds, n) * standard
    )


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(1, 300), data=st.data())
@settings(max_examples=50, deadline=None)
def test_samples_without_replacement_are_distinct(seed, n, data):
    rng = ml.RRandom(seed)
    size = data.draw(st.integers(0, n))
    drawn = rng.sample(n, size)
    assert len(set(drawn)) == size
    assert set(drawn) <= set(range(1, n + 1))
    assert sorted(rng.permutation(n)) == list(range(n))
    weights = data.draw(st.lists(st.floats(0.01, 5), min_size=n, max_size=n))
    assert sorted(rng.sample(n, prob=weights)) == list(range(1, n + 1))


def test_huge_binomial_numbers_have_their_variance():
    size = 2**31 - 2
    z = (ml.RRandom(1).binomial(200_000, size, 0.5) - size / 2) / np.sqrt(size / 4)
    assert z.var() == pytest.approx(1, abs=0.015)
    assert (z**4).mean() == pytest.approx(3, abs=0.1)


def test_weights_are_met():
    weights = np.arange(300.0)
    for n in (150, 300):
        drawn = ml.RRandom(4).sample(n, 200_000, replace=True, prob=weights[:n])
        steps = np.bincount(drawn, minlength=n + 1)[1:].cumsum() / 200_000 - weights[:n].cumsum() / weights[:n].sum()
        assert kolmogorov(np.sqrt(200_000) * np.abs(steps).max()) > 0.001


# ---- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rejection", "rounding"])
@pytest.mark.parametrize(
    "twin_of",
    [
        lambda rng: rng.copy(),
        copy.copy,
        copy.deepcopy,
        lambda rng: pickle.loads(pickle.dumps(rng)),
        lambda rng: ml.RRandom.from_r_state(list(rng.get_state())),
        lambda rng: ml.RRandom.from_r_state(rng.get_state().astype(float)),
    ],
)
def test_twins_are_equal_and_independent(kind, twin_of):
    rng = ml.RRandom(8, sample_kind=kind)
    rng.normal(5)
    twin = twin_of(rng)
    expected = rng.sample(1000)
    np.testing.assert_array_equal(twin.sample(1000), expected)
    rng.uniform(1)
    assert not np.array_equal(twin.get_state(), rng.get_state())
    assert repr(rng) == f"<RRandom: R's Mersenne-Twister, sample_kind='{kind}', {rng.get_state()[1]} of 624 words used>"


def test_a_state_that_was_returned_does_not_change():
    rng = ml.RRandom(8)
    state = rng.get_state()
    kept = state.copy()
    rng.set_state(state)
    rng.uniform(1000)
    np.testing.assert_array_equal(state, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state[:-1], "has 625 integers; a Mersenne-Twister's has 626"),
        (lambda state: np.r_[10402, state[1:]], "R's kind 10402; only the Mersenne-Twister"),
        (lambda state: np.r_[state[0], 625, state[2:]], "position is 625"),
        (lambda state: np.r_[state[0], 0, state[2:]], "position is 0; it must be between 1 and 624"),
        (lambda state: np.r_[state[:2], np.zeros(624)], "not all zero"),
        (lambda state: np.r_[state[:-1].astype(float), 1e12], "32-bit"),
        (lambda state: np.r_[state[:-1].astype(float), 0.5], "vector of 626 integers"),
        (lambda state: state.reshape(2, 313), "vector of 626 integers"),
        (lambda state: "state", "vector of 626 integers"),  # noqa: ARG005
    ],
)
def test_states_that_are_refused(change, message):
    rng = ml.RRandom(1)
    before = rng.get_state()
    with pytest.raises(ml.DataError, match=message):
        rng.set_state(change(before))
    np.testing.assert_array_equal(rng.get_state(), before)


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (2**31, ml.ControlError, "seed is 2147483648; it must be between"),
        (-(2**31), ml.ControlError, "between -2147483647 and 2147483647"),
        (1.5, ml.DataTypeError, "seed is 1.5; it must be an integer."),
        (123.0, ml.DataTypeError, "must be an integer; write 123"),
        (None, ml.DataTypeError, "seed is None"),
        (True, ml.DataTypeError, "seed is True"),
    ],
)
def test_seeds_that_are_refused(seed, error, message):
    with pytest.raises(error, match=message):
        ml.RRandom(seed)


def test_unknown_kind():
    with pytest.raises(ml.ControlError, match="sample_kind is 'Rounding'"):
        ml.RRandom(1, sample_kind="Rounding")


def test_numpy_integers_are_integers():
    np.testing.assert_array_equal(ml.RRandom(np.int64(3)).uniform(np.int32(4)), ml.RRandom(3).uniform(4))


# ---- what is drawn from ------------------------------------------------------------------------------------------------


def test_populations():
    index = ml.RRandom(2).sample(4) - 1

    def drawn(x):
        return ml.RRandom(2).sample(x)

    words = np.array(["a", "b", "c", "d"])
    for x in (
        list(words),
        tuple(words),
        words,
        pd.Series(words, index=[7, 8, 9, 7], dtype=object),
        pd.Index(words, dtype=object),
    ):
        assert isinstance(drawn(x), np.ndarray)
        assert list(drawn(x)) == list(words[index])
        assert list(ml.RRandom(2).permutation(x)) == list(words[index])
    assert list(drawn(range(10, 14))) == list(10 + index)
    categories = pd.Categorical(words, categories=["d", "c", "b", "a"])
    for x in (categories, pd.Series(categories)):
        assert isinstance(drawn(x), pd.Categorical)
        assert list(drawn(x).codes) == list(3 - index)
    assert drawn(pl.Series(words)).to_list() == list(words[index])
    assert drawn(pa.array(words)).to_pylist() == list(words[index])
    assert drawn(pa.chunked_array([words[:1], words[1:]])).to_pylist() == list(words[index])
    dates = pd.Series(pd.date_range("2024-01-01", periods=4))
    assert list(drawn(dates)) == list(dates.to_numpy()[index])


def test_elements_stay_what_they_were():
    mixed = [1, "a", None, (2, 3)]
    assert sorted(map(repr, ml.RRandom(1).sample(mixed))) == sorted(map(repr, mixed))
    assert set(ml.RRandom(1).sample([(1, 2), (3, 4)])) == {(1, 2), (3, 4)}
    assert set(ml.RRandom(1).sample([1, "1"])) == {1, "1"}


def test_a_single_element_stands_for_itself():
    assert list(ml.RRandom(1).sample([7], 3, replace=True)) == [7, 7, 7]


def test_nothing_to_draw():
    rng = ml.RRandom(1)
    before = rng.get_state()
    for numbers in (
        rng.normal(0),
        rng.binomial(0, 1, 0.5),
        rng.sample(0),
        rng.sample([]),
        rng.sample(5, 0),
        rng.permutation(0),
    ):
        assert len(numbers) == 0
    np.testing.assert_array_equal(rng.get_state(), before)


def test_weights_are_not_changed():
    weights = np.array([0.5, 0.2, 0.3])
    ml.RRandom(1).sample(3, prob=weights)
    ml.RRandom(1).sample(3, 10, replace=True, prob=weights)
    np.testing.assert_array_equal(weights, [0.5, 0.2, 0.3])


def test_integers_are_those_of_numpy():
    drawn = ml.RRandom(1).integers(5000, -2, 3)
    assert set(drawn) == {-2, -1, 0, 1, 2}
    assert set(ml.RRandom(1).integers(5000, -2, 3, endpoint=True)) == {-2, -1, 0, 1, 2, 3}


def test_rate_or_scale():
    np.testing.assert_array_equal(ml.RRandom(1).gamma(9, 2, 4), ml.RRandom(1).gamma(9, 2, scale=0.25))
    np.testing.assert_array_equal(ml.RRandom(1).exponential(9, 4), ml.RRandom(1).exponential(9, scale=0.25))
    with pytest.raises(ml.ControlError, match="rate or scale, not both"):
        ml.RRandom(1).gamma(9, 2, 4, scale=0.25)
    with pytest.raises(ml.ControlError, match="rate or scale, not both"):
        ml.RRandom(1).exponential(9, 4, scale=0.25)


# ---- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda rng: rng.normal(-1), ml.DataError, "n is -1; it cannot be negative"),
        (lambda rng: rng.normal(1e5), ml.DataTypeError, "n is 100000.0; it must be an integer; write 100000"),
        (lambda rng: rng.normal(3, []), ml.DataError, "mean is empty"),
        (lambda rng: rng.normal(3, sd="wide"), ml.DataTypeError, "sd must be a number or a vector of numbers"),
        (lambda rng: rng.normal(3, sd=["1", "2"]), ml.DataTypeError, "sd must be a number or a vector of numbers"),
        (lambda rng: rng.normal(3, np.ones((2, 2))), ml.DataTypeError, "mean has 2 dimensions"),
        (lambda rng: rng.binomial(3, 2**31, 0.5), ml.DataError, "size is 2147483648; .* at most 2147483646 trials"),
        (lambda rng: rng.sample(5, 6), ml.DataError, "sample of 6 was asked for out of 5; .* replace=True"),
        (lambda rng: rng.sample([], 1, replace=True), ml.DataError, "nothing to draw from"),
        (lambda rng: rng.sample(5, prob=[1, 2]), ml.DataError, "prob has 2 weights for 5 elements"),
        (lambda rng: rng.sample(3, prob=[1, -2, 3]), ml.DataError, "weight -2.0 at position 1"),
        (lambda rng: rng.sample(3, prob=[1, 2, np.nan]), ml.DataError, "weight nan at position 2"),
        (
            lambda rng: rng.sample(3, prob=[0, 1, 2]),
            ml.DataError,
            "sample of 3 was asked for out of 2 elements with a weight",
        ),
        (lambda rng: rng.sample(3, 1, prob=[0, 0, 0]), ml.DataError, "out of 0 elements with a weight above zero."),
        (lambda rng: rng.sample("abc"), ml.DataTypeError, "x is of type str"),
        (lambda rng: rng.sample({1, 2}), ml.DataTypeError, "x is of type set"),
        (lambda rng: rng.sample(2.5), ml.DataTypeError, "x is 2.5; it must be an integer"),
        (lambda rng: rng.permutation(pd.DataFrame({"a": [1]})), ml.DataTypeError, "x has 2 dimensions"),
        (lambda rng: rng.integers(3, 5, 5), ml.DataError, "no integer from 5 to 4"),
        (lambda rng: rng.integers(3, 0, 2**60), ml.DataError, "at most 2⁵³"),
    ],
)
def test_refused(draw, error, message):
    rng = ml.RRandom(1)
    before = rng.get_state()
    with pytest.raises(error, match=message):
        draw(rng)
    np.testing.assert_array_equal(rng.get_state(), before)


def test_warning_says_what_to_check_and_where():
    with pytest.warns(
        ml.MultilevelWarning, match="2 of 4 draws are NaN: there is no such distribution; check mean and sd"
    ) as caught:
        ml.RRandom(1).normal(4, sd=[1, -1])
    assert caught[0].filename == __file__
    with pytest.warns(ml.MultilevelWarning, match="1 of 1 draws is NaN.*check shape and rate"):
        ml.RRandom(1).gamma(1, -1, rate=2)
    with pytest.warns(ml.MultilevelWarning, match="check size and prob"):
        assert np.isnan(ml.RRandom(1).binomial(2, 1, [0.5, 1.5])[1])
