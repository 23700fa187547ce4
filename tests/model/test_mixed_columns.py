"""Columns whose values are of several types: one text is one level, in the fit and in everything after it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

ROWS, GROUPS = 120, 6
CODES = np.arange(ROWS) % GROUPS
RNG = np.random.default_rng(24)
X = RNG.uniform(1, 9, ROWS)
Y = 10 + X + RNG.normal(0, 2, GROUPS)[CODES] + RNG.normal(size=ROWS)


def column(*kinds) -> pd.Series:
    """Return the groups, each row's value by one of the kinds in turn."""
    values = np.empty(ROWS, dtype=object)
    values[:] = [kinds[(i // GROUPS) % len(kinds)](code) for i, code in enumerate(CODES.tolist())]
    return pd.Series(values, dtype=object)


def day(code: int) -> dt.date:
    return dt.date(2021, 3, 1) + dt.timedelta(code)


MIXED = {
    "1 and '1'": (column(int, str), lambda code: str(code)),
    "1.0 and '1'": (column(float, str), lambda code: str(code)),
    "1, 1.0 and '1'": (column(int, float, str), lambda code: str(code)),
    "True and 'True'": (column(lambda c: c > 2, lambda c: str(c > 2)), lambda code: str(code > 2)),
    "dates and text": (column(day, lambda c: str(day(c))), lambda code: str(day(code))),
    "times and text": (column(lambda c: pd.Timestamp(day(c)), lambda c: str(day(c))), lambda code: str(day(code))),
    "dates and times": (column(day, lambda c: pd.Timestamp(day(c))), lambda code: pd.Timestamp(day(code))),
}


def frames(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    mixed, text = MIXED[name]
    plain = pd.Series([text(code) for code in CODES.tolist()])
    return pd.DataFrame({"y": Y, "x": X, "g": mixed}), pd.DataFrame({"y": Y, "x": X, "g": plain})


@pytest.mark.parametrize("name", MIXED)
def test_a_grouping_factor(name):
    mixed, plain = frames(name)
    found, expected = ml.lmer("y ~ x + (1 | g)", mixed), ml.lmer("y ~ x + (1 | g)", plain)
    assert found.ngroups.to_dict() == expected.ngroups.to_dict()
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-12)
    assert found.ranef().groups["g"].levels == expected.ranef().groups["g"].levels
    np.testing.assert_allclose(found.predict(mixed), found.fitted(), rtol=1e-12)
    np.testing.assert_allclose(found.predict(plain), found.fitted(), rtol=1e-12)
    np.testing.assert_allclose(expected.predict(mixed), found.fitted(), rtol=1e-12)
    np.testing.assert_allclose(ml.influence(found, "g").dfbeta, ml.influence(expected, "g").dfbeta, rtol=1e-9)
    one, other = found.simulate(2, rng=1, newdata=mixed), expected.simulate(2, rng=1, newdata=plain)
    np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("name", [name for name in MIXED if name != "dates and times"])
def test_a_factor_of_the_fixed_part(name):
    mixed, plain = (frame.assign(h=np.arange(len(frame)) % 7) for frame in frames(name))
    found, expected = (ml.lmer("y ~ g + x + (1 | h)", frame) for frame in (mixed, plain))
    pd.testing.assert_series_equal(found.fixef, expected.fixef, rtol=1e-9)
    np.testing.assert_allclose(found.predict(mixed), found.fitted(), rtol=1e-12)
    one, other = (ml.emmeans(fit, "g").to_frame() for fit in (found, expected))
    pd.testing.assert_frame_equal(one, other)
    one, other = (ml.lmer("y ~ g + x + (1 | h)", d, contrasts={"g": "sum"}).fixef for d in (mixed, plain))
    pd.testing.assert_series_equal(one, other)


@pytest.mark.parametrize("name", ["1 and '1'", "1.0 and '1'", "dates and text"])
def test_groups_of_descriptive_functions(name):
    mixed, plain = frames(name)
    pd.testing.assert_frame_equal(ml.describe_by(mixed, by="g").to_frame(), ml.describe_by(plain, by="g").to_frame())
    one, other = ml.demean(mixed, "x", by="g"), ml.demean(plain, "x", by="g")
    np.testing.assert_allclose(one["x_within"], other["x_within"])
    assert str(ml.cluster_sizes(mixed, "g")) == str(ml.cluster_sizes(plain, "g"))


def test_related_levels_and_strata():
    mixed, plain = frames("1 and '1'")
    half = np.random.default_rng(1).normal(size=(GROUPS, GROUPS + 2))
    matrix = pd.DataFrame(half @ half.T, index=range(GROUPS), columns=range(GROUPS))
    one, other = (ml.lmer("y ~ x + (1 | g)", frame, relationship={"g": matrix}) for frame in (mixed, plain))
    np.testing.assert_allclose(one.ranef()["g"], other.ranef()["g"], rtol=1e-9)
    mixed, plain = (frame.assign(h=np.arange(len(frame)) % 7) for frame in (mixed, plain))
    one, other = (ml.lmer("y ~ x + (1 | h)", frame, residual=ml.var_ident("g")) for frame in (mixed, plain))
    np.testing.assert_allclose(one.residual_parameters, other.residual_parameters, rtol=1e-9)
    np.testing.assert_allclose(one.simulate(1, rng=1, newdata=mixed), other.simulate(1, rng=1, newdata=mixed))


def test_categories_with_one_text_are_one_level():
    mixed, plain = frames("1 and '1'")
    fit = ml.lmer("y ~ x + (1 | g)", mixed.assign(g=pd.Categorical(mixed["g"])))
    assert fit.ngroups["g"] == GROUPS
    np.testing.assert_allclose(fit.predict(mixed), ml.lmer("y ~ x + (1 | g)", plain).fitted(), rtol=1e-12)


def test_numbers_that_text_writes_in_another_way_are_said():
    values = column(int, lambda code: f"0{code}")
    with pytest.warns(
        ml.MultilevelWarning, match="'g' holds numbers and text; the text '00' and the number 0 are taken as two"
    ):
        fit = ml.lmer("y ~ x + (1 | g)", pd.DataFrame({"y": Y, "x": X, "g": values}))
    assert fit.ngroups["g"] == 2 * GROUPS


def test_floats_of_one_text_are_one_level():
    g = np.where(np.arange(ROWS) % 2 == 0, 0.1 + 0.2, 0.3) + CODES // 2
    assert len(np.unique(g)) > 3
    frame = pd.DataFrame({"y": Y, "x": X, "g": g})
    fit = ml.lmer("y ~ x + (1 | g)", frame)
    assert fit.ngroups["g"] == 3  # as levels(factor(g)) in R
    np.testing.assert_allclose(fit.predict(frame), fit.fitted(), rtol=1e-12)


def test_groups_given_as_other_numbers():
    ids = 100_000 * (CODES + 1)
    frame = pd.DataFrame({"y": Y, "x": X, "g": ids, "h": np.where(CODES > 2, "a", "b")})
    for formula in ("y ~ x + (1 | g)", "y ~ x + (1 | h:g)"):
        fit = ml.lmer(formula, frame)
        for other in (
            ids.astype(float),
            ids.astype("uint32"),
            pd.array(ids, dtype="Int64"),
            ids.astype(str),
            ids.astype(object),
        ):
            np.testing.assert_allclose(fit.predict(frame.assign(g=other)), fit.fitted(), rtol=1e-12)


def test_combinations_are_told_apart_by_their_parts():
    a, b = np.where(CODES < 3, "u:v", "u"), np.where(CODES < 3, "w", "v:w")
    frame = pd.DataFrame({"y": Y + 5 * (CODES < 3), "x": X, "a": a, "b": b})
    fit = ml.lmer("y ~ x + (1 | a:b)", frame)
    assert fit.ngroups["a:b"] == 2
    np.testing.assert_allclose(fit.predict(frame), fit.fitted(), rtol=1e-12)


def test_truth_values_as_text():
    flag = CODES > 2
    frame = pd.DataFrame({"y": Y, "x": X, "flag": flag, "g": CODES})
    fit = ml.lmer("y ~ x + flag + (1 | g)", frame)
    for text in (("FALSE", "TRUE"), ("False", "True")):
        np.testing.assert_allclose(
            fit.predict(frame.assign(flag=np.where(flag, *text[::-1]))), fit.fitted(), rtol=1e-12
        )
    other = ml.lmer("y ~ x + flag + (1 | g)", frame.assign(flag=flag.astype(str)))
    np.testing.assert_allclose(other.predict(frame), other.fitted(), rtol=1e-12)
