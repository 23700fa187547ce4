"""Badly scaled data: the same fit as from good units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import multilevel as ml
import small_models as sm
from multilevel.engine.columns import column_moments


def simulated(seed=3, n=240):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 24, n), rng.integers(0, 9, n)
    year, income, tiny = rng.integers(-12, 13, n).astype(float), rng.normal(size=n), rng.normal(size=n)
    slopes = 0.6 * rng.normal(size=24)[g] * income
    y = 4.0 + 0.05 * year + 0.8 * income - 0.5 * tiny + rng.normal(size=24)[g] + slopes + rng.normal(size=n)
    y += 0.7 * rng.normal(size=9)[h] + 0.1 * rng.normal(size=9)[h] * year
    return pd.DataFrame({"y": y, "year": year, "income": income, "tiny": tiny, "g": g, "h": h})


# Each column becomes a + b·column; the response is only stretched.
CHANGES = {
    "year": {"year": (2000.0, 1.0)},
    "millions": {"income": (0.0, 1e6)},
    "millions, far from zero": {"income": (5e7, 1e6)},
    "hundred-millionths": {"tiny": (0.0, 1e-8)},
    "response": {"y": (0.0, 1e12)},
    "small response": {"y": (0.0, 1e-9)},
    "all": {"year": (2000.0, 1.0), "income": (3e6, 1e6), "tiny": (0.0, 1e-8), "y": (0.0, 1e12)},
}

FORMULAS = [
    "y ~ year + income + tiny + (income | g)",
    "y ~ year + income + tiny + (income || g)",
    "y ~ year + income + tiny + (income | g) + (year | h)",
    "y ~ income + tiny + (0 + income | g)",
    "y ~ 0 + year + income + (income + tiny | g)",
]


def changed(frame, change):
    return frame.assign(**{name: a + b * frame[name] for name, (a, b) in change.items()})


def allowed(formula, change):
    """Whether the model is the same one after the change: a shift needs an intercept that it can go into."""
    shifted = [name for name, (a, _) in change.items() if a]
    uncentred = "||" in formula or "0 +" in formula
    return not (shifted and uncentred) or (shifted == ["year"] and "0 + year" not in formula)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize(
    ("formula", "change"),
    [(formula, name) for formula in FORMULAS for name in CHANGES if allowed(formula, CHANGES[name])],
)
def test_units_do_not_matter(formula, change, reml):
    frame = simulated()
    plain = ml.lmer(formula, frame, reml=reml)
    moved = ml.lmer(formula, changed(frame, CHANGES[change]), reml=reml)
    assert moved.convergence.status == plain.convergence.status
    stretch = CHANGES[change].get("y", (0.0, 1.0))[1]
    assert moved.sigma / stretch == pytest.approx(plain.sigma, rel=1e-8)
    slopes = [name for name in plain.fixef.index if name != "(Intercept)"]
    unit = np.array([CHANGES[change].get(name, (0.0, 1.0))[1] for name in slopes])
    np.testing.assert_allclose(moved.fixef[slopes] * unit / stretch, plain.fixef[slopes], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.standard_errors[slopes] * unit / stretch, plain.standard_errors[slopes], rtol=1e-7)
    np.testing.assert_allclose(moved.fitted() / stretch, plain.fitted(), rtol=0, atol=2e-6)
    # The criterion changes by what the units say.
    df = plain.nobs - (len(plain.fixef) if reml else 0)
    expected = plain._engine.criterion + 2.0 * df * np.log(stretch)
    if reml:
        expected += 2.0 * np.log(unit).sum()
    assert moved._engine.criterion == pytest.approx(expected, rel=1e-9)


def test_slope_variances_follow_the_units():
    frame = simulated()
    plain = ml.lmer("y ~ income + (income | g)", frame).varcorr()["g"]
    moved = ml.lmer("y ~ income + (income | g)", frame.assign(income=frame["income"] * 1e6)).varcorr()["g"]
    units = np.array([1.0, 1e6])
    np.testing.assert_allclose(moved * np.outer(units, units), plain, rtol=1e-6)


def test_a_constant_response_level_costs_no_digits():
    frame = simulated()
    plain = ml.lmer("y ~ income + (income | g)", frame)
    moved = ml.lmer("y ~ income + (income | g)", frame.assign(y=frame["y"] + 1e6))
    assert moved.sigma == pytest.approx(plain.sigma, rel=1e-9)
    assert moved.fixef["(Intercept)"] - 1e6 == pytest.approx(plain.fixef["(Intercept)"], rel=1e-8)


# ---- scalings ----------------------------------------------------------------------------------------------------------


@given(
    columns=hnp.arrays(np.float64, (12, 3), elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3))),
    weighted=st.booleans(),
)
def test_moments(columns, weighted):
    weights = np.linspace(0.5, 2.0, 12) if weighted else None
    moments = column_moments(np.asfortranarray(columns), np.empty(0) if weights is None else weights)
    mean = np.average(columns, axis=0, weights=weights)
    spread = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(moments.spread, spread, rtol=1e-9, atol=1e-5)
    np.testing.assert_array_equal(moments.constant, (columns == columns[0]).all(axis=0))


def test_moments_far_from_zero():
    column = np.asfortranarray((1e9 + np.arange(1000.0) / 1000.0)[:, None])
    moments = column_moments(column, np.empty(0))
    assert moments.spread[0] == pytest.approx(np.std(np.arange(1000.0) / 1000.0), rel=1e-6)


def test_scaling_maps_back_and_forth():
    m = sm.parts()
    moments = column_moments(m.columns, np.empty(0))
    for places, centre in [((0, 1, 2), True), ((1, 0), True), ((1, 2), True), ((0, 1, 2), False)]:
        scaling = moments.scaling(places, centre)
        np.testing.assert_allclose(scaling.to_user() @ scaling.to_engine(), np.eye(len(places)), atol=1e-12)
        engine = (m.columns[:, places] - scaling.shift) * scaling.scale
        effects = np.arange(1.0, len(places) + 1)
        np.testing.assert_allclose(m.columns[:, places] @ (scaling.to_user() @ effects), engine @ effects, rtol=1e-11)
        np.testing.assert_allclose(np.sqrt((engine**2).mean(axis=0)), 1.0, rtol=1e-10)
        assert (scaling.constant >= 0) == (centre and 0 in places)
    # A column of zeros has no size; a constant other than one carries no shifts.
    columns = np.column_stack([np.full(5, 2.0), np.arange(5.0), np.zeros(5)])
    scaling = column_moments(columns, np.empty(0)).scaling((0, 1, 2), True)
    assert scaling.constant == -1
    np.testing.assert_array_equal(scaling.shift, 0.0)
    assert scaling.scale[2] == 1.0
