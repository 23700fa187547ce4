"""Badly scaled data: the same fit as from good units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
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


POWERS = st.integers(-150, 150)
UNIT_MODELS = [
    ("y ~ year + income + tiny + (income | g)", {}),
    ("y ~ year + income + tiny + (1 | g) + (1 | h)", {}),
    ("y ~ year + income + (income || g)", {"weights": "w"}),
    ("y ~ year + income + (1 | g)", {"offset": "shift"}),
]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(UNIT_MODELS), st.sampled_from(["y", "year", "income", "w"]), POWERS)
def test_any_units_give_the_same_t_and_degrees_of_freedom(model, name, power):
    formula, options = model
    frame = simulated().assign(w=1.0 + np.arange(240) % 3, shift=0.3 * np.arange(240) % 7)
    moved = frame.assign(**{name: frame[name] * 10.0**power})
    if name == "y":
        moved["shift"] = frame["shift"] * 10.0**power
    fit, other = (ml.lmer(formula, data, **options) for data in (frame, moved))
    np.testing.assert_allclose(
        other.fixef / other.standard_errors, fit.fixef / fit.standard_errors, rtol=1e-6, atol=1e-8
    )
    for ddf in ("satterthwaite", "kenward-roger"):
        found, expected = (ml.anova(own, ddf=ddf).to_frame() for own in (other, fit))
        columns = [column for column in expected.select_dtypes("number") if not column.endswith("squares")]
        columns = [column for column in columns if not column.startswith(("sum", "mean"))]
        np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("column", ["y", "income", "w"])
@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_what_else_does_not_depend_on_units(column, unit):
    frame = simulated().assign(w=1.0 + np.arange(240) % 3)
    fit, other = (
        ml.lmer("y ~ year + income + (income | g)", data, weights="w")
        for data in (frame, frame.assign(**{column: frame[column] * unit}))
    )
    errors = [own.standard_errors.to_numpy()[:, None] for own in (fit, other)]
    names = list(fit.fixef.index)
    for method in ("profile", "wald"):
        found, expected = (
            (own.confint(method=method).loc[names].to_numpy() - own.fixef.to_numpy()[:, None]) / error
            for own, error in zip((other, fit), errors[::-1], strict=True)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    robust, own = (f.fixef / np.sqrt(np.diag(f.vcov("CR2"))) for f in (other, fit))
    np.testing.assert_allclose(robust, own, rtol=1e-6)
    np.testing.assert_allclose(other.predict() / fit.predict(), unit if column == "y" else 1.0, rtol=1e-6)
    assert str(other.summary())


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"y": 1e200}, {}, "response 'y' has values"),
        ({"y": 1e-170}, {}, "response 'y' has values"),
        ({"income": 1e200}, {}, "column 'income' has values"),
        ({"income": 1e-160}, {}, "column 'income' has values"),
        ({"income": 1e-120, "y": 1e120}, {}, "has an effect on the response"),
        ({}, {"weights": 1e-320}, "multiply all weights"),
    ],
)
def test_numbers_beyond_what_squares_can_hold_are_refused(change, options, words):
    frame = simulated()
    frame = frame.assign(**{name: frame[name] * unit for name, unit in change.items()})
    options = {name: np.full(240, value) for name, value in options.items()}
    with pytest.raises(ml.DataError, match=words):
        ml.lmer("y ~ income + tiny + (income | g)", frame, **options)


def test_weights_too_different_are_refused():
    weights = np.where(np.arange(240) == 7, 1e40, 1.0)
    with pytest.raises(ml.DataError, match="weights reach from"):
        ml.lmer("y ~ income + (1 | g)", simulated(), weights=weights)


def test_responses_beyond_what_squares_can_hold_are_refused():
    fit = ml.lmer("y ~ income + (1 | g)", simulated())
    with pytest.raises(ml.DataError, match="number 1"):
        fit.refit_many([fit.get_me("y"), 1e200 * fit.get_me("y")])


@pytest.mark.parametrize("dtype", [np.uint64, np.int64])
def test_whole_numbers_that_floating_point_does_not_tell_apart_are_refused(dtype):
    frame = simulated()
    large = np.iinfo(dtype).max - np.arange(240).astype(dtype)
    with pytest.raises(ml.DataError, match="subtract a common number"):
        ml.lmer("big ~ income + (1 | g)", frame.assign(big=large))
    with pytest.raises(ml.DataError, match="subtract a common number"):
        ml.lmer("y ~ big + (1 | g)", frame.assign(big=large))
    wide = large // dtype(2) + (np.arange(240) % 17).astype(dtype) * dtype(10**15)
    assert ml.lmer("y ~ big + (1 | g)", frame.assign(big=wide)).convergence.converged


@pytest.mark.parametrize("start", [float("nan"), float("inf"), 1e8, 1e300, -1e9])
def test_starts_out_of_reach_are_refused(start):
    with pytest.raises(ml.ControlError, match="start"):
        ml.lmer("y ~ income + (1 | g)", simulated(), control=ml.LmerControl(start=(start,)))


def test_contrasts_of_columns_in_different_units_keep_their_rank():
    frame = simulated()
    fit, other = (
        ml.lmer("y ~ income + tiny + (1 | g)", data) for data in (frame, frame.assign(tiny=frame.tiny * 1e-12))
    )
    test = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    found, expected = (ml.contrast_test(own, test, joint=True) for own in (other, fit))
    assert found["df_numerator"].tolist() == expected["df_numerator"].tolist() == [2]
    # The degrees of freedom depend a little on how the contrasts are made independent.
    np.testing.assert_allclose(found["statistic"], expected["statistic"], rtol=1e-8)
    np.testing.assert_allclose(found["p_value"], expected["p_value"], rtol=1e-3)
