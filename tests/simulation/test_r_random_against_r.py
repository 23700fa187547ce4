"""R's random numbers against R: every method, alone and in turn with the others, and the state of the stream afterwards."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.simulation.r_kernels import central_quantile, outer_quantile

R = rc.reference("r_random")
STREAMS = {
    f"{stream['seed']}: {', '.join(dict.fromkeys(call['method'] for call in stream['calls']))}": stream
    for stream in R["streams"]
}
DISCRETE = {"binomial", "poisson", "sample", "integers", "permutation"}


def number(value):
    """Text stands for numbers that JSON or 15 digits cannot hold; counts are integers again."""
    if isinstance(value, list):
        return [number(one) for one in value]
    value = float(value)
    return int(value) if value.is_integer() else value


def call(rng, method, arguments):
    arguments = {name: value if name == "replace" else number(value) for name, value in arguments.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        numbers = getattr(rng, method)(**arguments)
    return numbers, [warning.category for warning in caught]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_stream(stream):
    rng = ml.RRandom(stream["seed"], sample_kind=stream["kind"])
    for expected in stream["calls"]:
        numbers, caught = call(rng, expected["method"], expected["arguments"])
        assert len(numbers) == expected["length"]
        assert caught == ([ml.MultilevelWarning] if expected["nan"] else [])
        assert np.count_nonzero(np.isnan(numbers)) == expected["nan"]
        exact = expected["method"] in DISCRETE
        if exact and not expected["nan"]:
            assert numbers.dtype == np.int64
        rtol = 0 if exact else 1e-13
        kept = numbers[expected["positions"]]
        np.testing.assert_allclose(kept, np.array(expected["values"], dtype=float), rtol=rtol, atol=0)
        finite = np.where(np.isfinite(numbers), numbers, 0).astype(float)
        size = float(expected["size"])
        assert math.fsum(finite) == pytest.approx(float(expected["sum"]), rel=1e-15, abs=1e-13 * size)
        ordered = finite * (np.arange(1, finite.size + 1) % 7 + 1)
        assert math.fsum(ordered) == pytest.approx(float(expected["ordered_sum"]), rel=1e-15, abs=1e-13 * size)
    assert rng.uniform(1)[0] == float(stream["after"])


@pytest.mark.parametrize("case", R["states"], ids=lambda case: f"{case['seed']}-{case['drawn']}")
def test_state(case):
    rng = ml.RRandom(case["seed"])
    rng.uniform(case["drawn"])
    state = np.array(case["state"])
    assert rng.get_state().dtype == np.int32
    np.testing.assert_array_equal(rng.get_state(), state)
    following = np.array(case["after"], dtype=float)
    np.testing.assert_array_equal(rng.uniform(3), following)
    np.testing.assert_array_equal(ml.RRandom.from_r_state(state).uniform(3), following)
    rng.set_state(case["state"])
    np.testing.assert_array_equal(rng.uniform(3), following)


def test_state_with_rounding():
    rng = ml.RRandom(5, sample_kind="rounding")
    np.testing.assert_array_equal(rng.get_state(), R["rounding"]["state"])
    np.testing.assert_array_equal(ml.RRandom.from_r_state(rng.get_state()).sample(1000, 5), R["rounding"]["after"])


def test_normal_quantiles():
    p = np.array(R["quantiles"]["p"], dtype=float)
    found = [central_quantile(one - 0.5) if abs(one - 0.5) <= 0.425 else outer_quantile(one, one - 0.5) for one in p]
    np.testing.assert_allclose(found, np.array(R["quantiles"]["value"], dtype=float), rtol=1e-15)


def scenario(name):
    rng, k, n = ml.RRandom(123), 100, 50
    x1 = rng.normal(k * n, 0 if name == "scenario_4" else 5, 2)
    drawn = {"x1_c" if name == "scenario_4" else "x1": x1, "x2": rng.binomial(k * n, 1, 0.5)}
    if name == "scenario_4":
        drawn["interv"] = np.repeat(rng.sample([0, 1, 2], k, replace=True, prob=np.ones(3) / 3), n)
    drawn["k_effect"] = np.repeat(rng.normal(k, 0, 2.5 if name == "scenario_4" else 1), n)
    if name == "scenario_2":
        drawn["price"] = np.repeat(np.rint(rng.uniform(k, 0, 5)), n)
    if name == "scenario_4":
        drawn["k_slope"] = np.repeat(rng.normal(k, 0, 2), n) + 4 * drawn["interv"]
    y = 45 + 3 * x1 + 10 * drawn["x2"] + drawn["k_effect"] - 3 * drawn.get("price", 0) + drawn.get("k_slope", 0) * x1
    if name == "scenario_3":
        y += 12 * np.repeat(x1.reshape(k, n).mean(axis=1), n)
    return drawn | {"y": y + rng.normal(k * n, 0, 8)}


@pytest.mark.parametrize("name", ["scenario_1", "scenario_2", "scenario_3", "scenario_4"])
def test_scenarios(name):
    expected = rc.frame("fixtures", name)
    for column, values in scenario(name).items():
        np.testing.assert_allclose(values, expected[column], rtol=1e-13, atol=1e-13, err_msg=column)
