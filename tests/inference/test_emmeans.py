"""Marginal means, trends and contrasts: what they are by definition, their options, forms and messages."""

from __future__ import annotations

import functools
import pickle
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.data.frames import Frame
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.syntax import parse_expression
from multilevel.inference.marginaleffects_adapter import for_marginaleffects
from multilevel.inference.mean_contrasts import contrast_weights
from multilevel.inference.response_scale import response_scale


@functools.cache
def data():
    rng = np.random.default_rng(5)
    n = 240
    frame = pd.DataFrame(
        {
            "g": rng.integers(0, 20, n),
            "arm": rng.choice(["placebo", "low", "high"], n, p=[0.5, 0.3, 0.2]),
            "sex": pd.Categorical(rng.choice(["m", "f"], n), categories=["m", "f"]),
            "dose": rng.choice([1, 2, 5], n),
            "smoker": rng.random(n) < 0.3,
            "x": rng.normal(50.0, 10.0, n),
        }
    )
    effect = frame.arm.map({"placebo": 0.0, "low": 1.0, "high": 3.0}) + 0.02 * frame.x * (frame.sex == "f")
    frame["y"] = 10 + effect + rng.normal(size=20)[frame.g] + 0.5 * frame.smoker + rng.normal(size=n)
    return frame


@functools.cache
def fit():
    return ml.lmer("y ~ arm * sex + smoker + x * sex + factor(dose) + (1 | g)", data())


def test_by_definition():
    found = ml.emmeans(fit(), "arm").to_frame()
    assert list(found.columns) == ["arm", "estimate", "std_error", "df", "conf_low", "conf_high"]
    assert list(found.arm) == ["high", "low", "placebo"]
    rows = []
    for arm in found.arm:
        grid = pd.DataFrame(
            [
                {"arm": arm, "sex": sex, "smoker": smoker, "dose": dose, "x": data().x.mean()}
                for sex in ("m", "f")
                for smoker in (False, True)
                for dose in (1, 2, 5)
            ]
        )
        rows.append(fit()._design.encoder.fixed_matrix(grid).mean(axis=0))
    expected = ml.contrast_test(fit(), np.array(rows))
    for column in ("estimate", "std_error", "df", "conf_low", "conf_high"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-10)


@pytest.mark.parametrize("weights", ["proportional", "cells"])
def test_weights_are_frequencies(weights):
    plain = ml.lmer("y ~ arm * sex + (1 | g)", data())
    found = ml.emmeans(plain, "arm", weights=weights).to_frame().set_index("arm").estimate
    cells = ml.emmeans(plain, ["arm", "sex"]).to_frame().pivot_table("estimate", "arm", "sex", observed=True)
    counts = pd.crosstab(data().arm, data().sex)[["m", "f"]]
    if weights == "proportional":
        expected = cells[["m", "f"]] @ (counts.sum() / counts.sum().sum())
    else:
        expected = (cells[["m", "f"]] * counts).sum(axis=1) / counts.sum(axis=1)
    np.testing.assert_allclose(found, expected[found.index], rtol=1e-12)


def test_the_first_factor_varies_fastest():
    found = ml.emmeans(fit(), ["sex", "smoker"], by="arm").to_frame()
    assert list(found.columns[:3]) == ["sex", "smoker", "arm"]
    assert list(found.sex[:4]) == ["m", "f", "m", "f"]
    assert list(found.smoker[:4]) == [False, False, True, True]
    assert list(found.arm) == ["high"] * 4 + ["low"] * 4 + ["placebo"] * 4


def test_at():
    found = ml.emmeans(fit(), "arm", at={"arm": ["placebo", "high"], "x": 40, "smoker": True, "dose": [1, 5]})
    assert list(found.to_frame().arm) == ["placebo", "high"]
    assert found.averaged == ("sex", "dose")
    both = ml.emmeans(fit(), ["arm", "x"], at={"x": [40, 60]}).to_frame()
    assert list(both.x) == [40.0] * 3 + [60.0] * 3
    mean = ml.emmeans(fit(), "arm", at={"x": [40, 60]}).to_frame().estimate
    np.testing.assert_allclose(mean, both.estimate.to_numpy().reshape(2, 3).mean(axis=0))


@pytest.mark.parametrize(
    ("at", "error", "match"),
    [
        ({"weight": 1}, ml.UnknownColumnError, "no variable named 'weight'"),
        ({"arm": "medium"}, ml.DataError, "no level 'medium'; its levels are 'high', 'low', 'placebo'"),
        ({"x": "much"}, ml.DataTypeError, "numeric"),
        ({"x": []}, ml.DataError, "no value"),
    ],
)
def test_what_at_cannot_be(at, error, match):
    with pytest.raises(error, match=match):
        ml.emmeans(fit(), "arm", at=at)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"specs": "trial"}, ml.UnknownColumnError),
        ({"specs": "arm", "by": "arm"}, ml.UnknownColumnError),
        ({"specs": "arm", "weights": "some"}, ml.ControlError),
        ({"specs": "arm", "level": 95}, ml.ControlError),
        ({"specs": "arm", "type": "log"}, ml.ControlError),
        ({"specs": "arm", "ddf": "best"}, ml.ControlError),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(error):
        ml.emmeans(fit(), **options)


def test_contrasts_of_contrasts():
    pairs = ml.emmeans(fit(), "arm", by="sex").pairs()
    found = pairs.contrast("pairwise", by="contrast", adjust="none").to_frame()
    assert list(found.contrast1) == ["m - f"] * 3
    assert list(found.contrast) == ["high - low", "high - placebo", "low - placebo"]
    first = pairs.to_frame().estimate
    np.testing.assert_allclose(found.estimate, first[:3].to_numpy() - first[3:].to_numpy(), rtol=1e-10)
    effects = ml.emmeans(fit(), "arm").contrast("eff").to_frame()
    np.testing.assert_allclose(effects.estimate.sum(), 0.0, atol=1e-12)
    own = ml.emmeans(fit(), "arm").contrast({"any": {"placebo": -1, "low": 0.5, "high": 0.5}, "top": [1, 0, -1]})
    assert list(own.to_frame().contrast) == ["any", "top"]
    means = ml.emmeans(fit(), "arm").to_frame().estimate
    np.testing.assert_allclose(own.to_frame().estimate[0], -means[2] + (means[0] + means[1]) / 2)


def test_reference_level():
    found = ml.emmeans(fit(), "arm").contrast("trt.vs.ctrl", reference="placebo").to_frame()
    assert list(found.contrast) == ["high - placebo", "low - placebo"]
    with pytest.raises(ml.DataError, match="no mean of 'middle'"):
        ml.emmeans(fit(), "arm").contrast("trt.vs.ctrl", reference="middle")
    with pytest.raises(ml.ControlError, match="method must be one of"):
        ml.emmeans(fit(), "arm").contrast("all")
    with pytest.raises(ml.DataError, match="2 weights for 3 means"):
        ml.emmeans(fit(), "arm").contrast({"a": [1, -1]})
    with pytest.raises(ml.UnknownColumnError):
        ml.emmeans(fit(), "arm").pairs(by="sex")


def test_tests():
    means = ml.emmeans(fit(), "arm")
    found = means.test(null=12.0, adjust="tukey")
    assert found.adjust == "sidak"
    assert any("Šidák" in note for note in found.notes)
    table = found.to_frame()
    np.testing.assert_allclose(table.statistic, (table.estimate - 12.0) / table.std_error)
    assert not means.tests
    assert list(means.vcov().index) == ["high", "low", "placebo"]
    np.testing.assert_allclose(np.sqrt(np.diag(means.vcov())), table.std_error)


def test_polynomial_weights():
    assert contrast_weights("poly", list("abcdef"))[1].tolist() == [
        [-5, -3, -1, 1, 3, 5],
        [5, -1, -4, -4, -1, 5],
        [-5, 7, 4, -4, -7, 5],
        [1, -3, 2, 2, -3, 1],
        [-1, 5, -10, 10, -5, 1],
    ]


def test_labels_that_look_like_arithmetic():
    frame = data().assign(arm=data().arm.replace({"low": "low-dose"}))
    pairs = ml.emmeans(ml.lmer("y ~ arm + (1 | g)", frame), "arm").pairs()
    assert pairs.to_frame().contrast[0] == "high - (low-dose)"
    dose = ml.emmeans(fit(), "dose").pairs(reverse=True)
    assert list(dose.to_frame().contrast) == ["dose2 - dose1", "dose5 - dose1", "dose5 - dose2"]


def test_one_mean_has_no_pairs():
    assert len(ml.emmeans(fit(), "1").pairs()) == 0
    assert str(ml.emmeans(fit(), "1").pairs())
    only = ml.lmer("y ~ 1 + (1 | g)", data())
    found = ml.emmeans(only, "1").to_frame()
    np.testing.assert_allclose(found.estimate, only.fixef)


# ---- trends ------------------------------------------------------------------------------------------------------------


def test_slopes_are_exact_where_linear():
    found = ml.emtrends(fit(), "sex", "x").to_frame().estimate
    slope, more = (
        fit().fixef["x"],
        fit().fixef[[name for name in fit().fixef.index if ":x" in name or "x:" in name][-1]],
    )
    np.testing.assert_allclose(found, [slope, slope + more], rtol=1e-12)


def test_differences_of_equal_slopes_are_zero():
    same = ml.lmer("y ~ arm + x + (1 | g)", data().assign(x=data().x + 1e6))
    pairs = ml.emtrends(same, "arm", "x").pairs().to_frame()
    assert (pairs.estimate == 0.0).all()
    assert (pairs.std_error == 0.0).all()
    assert pairs.p_value.isna().all()


def test_slope_of_a_curve():
    curve = ml.lmer("y ~ log(x) + (1 | g)", data())
    found = ml.emtrends(curve, "x", "x", at={"x": [40, 60]}).to_frame()
    np.testing.assert_allclose(found.estimate, curve.fixef["log(x)"] / np.array([40.0, 60.0]), rtol=1e-6)


def test_what_has_no_slope():
    with pytest.raises(ml.DataTypeError, match="'arm' is a factor"):
        ml.emtrends(fit(), "sex", "arm")
    with pytest.raises(ml.UnknownColumnError):
        ml.emtrends(fit(), "sex", "z")


# ---- transformed responses -----------------------------------------------------------------------------------------------


def test_back_transformed():
    logged = ml.lmer("log(y) ~ arm + (1 | g)", data())
    linear, response = (ml.emmeans(logged, "arm", type=kind) for kind in ("linear", "response"))
    np.testing.assert_allclose(response.to_frame().estimate, np.exp(linear.to_frame().estimate))
    assert "Results are on the log scale of y, not that of the response" in linear.notes
    assert "Transformed back from the log scale of y" in response.notes
    assert response.pairs().to_frame().contrast[0] == "high / low"
    rooted = ml.emmeans(ml.lmer("sqrt(y) ~ arm + (1 | g)", data()), "arm", type="response").pairs()
    assert "Results are on the sqrt scale of y, not that of the response" in rooted.notes
    for text in ("sin(y)", "cos(y) / 2", "round(y)", "abs(y - 11)", "(y - 11)^2", "y + y^2"):
        with pytest.raises(ml.ControlError, match=f"way back from {re.escape(repr(text.replace(' / ', '/')))}"):
            ml.emmeans(ml.lmer(f"{text} ~ arm + (1 | g)", data()), "arm", type="response")


WAYS = """log(y)  log2(y)  log10(y)  log1p(y)  sqrt(y)  exp(y)  expm1(y)  log(y + 2)  (log(y))  log(y, 10)  log(y, base = 3)  1/y
I(1/y)  2/y  y^2  I(y^2)  y^3  y^-1  y^-2  y^-3  y^(1/3)  I(y^0.25)  y/100  y - 5  5 - y  -y  100 * y  I(sqrt(y))  asin(sqrt(y/3))
acos(y/3)  atan(y)  sinh(y)  tanh(y)  2 * log(y)  log(y)/2  10 - log(2 * y)  1/sqrt(y + 1)  (y - 3)^2  2^y  0.5^y  log(log(y + 3))
scale(y)  scale(y, scale = FALSE)  scale(y, center = FALSE)  center(y)  scale(log(y))  log(scale(y) + 5)  log(y/(3 - y)/(3 - y))
log((y/3)/(1 - y/3))  identity(y + 1)"""


@pytest.mark.parametrize("text", [part for line in WAYS.splitlines() for part in line.split("  ")])
def test_ways_back(text):
    y = np.array([0.5, 1.0, 2.0])
    frame = Frame({"y": y})
    node, evaluator = parse_expression(text), Evaluator(frame)
    there = np.asarray(evaluator.value(node))
    scale = response_scale(node, evaluator.state, evaluator.value)
    if text.count("y") > 2:
        assert scale is None
        return
    assert scale.of == "y"
    np.testing.assert_allclose(scale.back(there), y)
    step = 1e-6
    slope = (scale.back(there + step) - scale.back(there - step)) / (2 * step)
    np.testing.assert_allclose(scale.slope(there), np.abs(slope), rtol=1e-5)
    low, high = scale.interval(there, there - 1e-3, there + 1e-3)
    assert ((low < y) & (y < high)).all()
    np.testing.assert_allclose(high - low, 2e-3 * np.abs(slope), rtol=1e-3)


def test_even_powers_need_one_sign():
    def scale(values, text="y^2"):
        return response_scale(parse_expression(text), None, lambda _: np.array(values))

    assert scale([-1.0, 2.0]) is None
    assert scale([-1.0, 2.0], "y^-2") is None
    np.testing.assert_allclose(scale([1.0, 2.0]).back(np.array([4.0])), 2.0)
    np.testing.assert_allclose(scale([-1.0, 0.0]).back(np.array([4.0])), -2.0)
    low, high = scale([-1.0, 0.0]).interval(np.array([4.0]), np.array([1.0]), np.array([9.0]))
    assert (low[0], high[0]) == (-3.0, -1.0)
    assert response_scale(parse_expression("y^2")) is None


def test_ends_of_intervals_beyond_what_a_transformation_gives():
    def ends(text, middle, low, high):
        scale = response_scale(parse_expression(text), None, lambda _: np.ones(1))
        return tuple(float(end[0]) for end in scale.interval(*(np.array([value]) for value in (middle, low, high))))

    assert ends("1/y", 2.0, 1.0, 4.0) == (0.25, 1.0)
    assert ends("1/y", 2.0, -1.0, 4.0) == (0.25, np.inf)
    assert ends("1/y", -2.0, -4.0, 1.0) == (-np.inf, -0.25)
    assert ends("sqrt(y)", 1.0, -1.0, 2.0) == (0.0, 4.0)
    assert ends("exp(y)", 1.0, -1.0, np.e) == (-np.inf, 1.0)
    assert ends("y^2", 1.0, -1.0, 4.0) == (0.0, 2.0)
    assert ends("asin(sqrt(y))", 0.5 * np.pi - 0.1, 0.5 * np.pi - 0.2, 2.0)[1] == 1.0
    assert ends("-log(y)", 0.0, -1.0, 1.0) == pytest.approx((1 / np.e, np.e))


def test_scaled_responses_come_back():
    """R's emmeans (1.8.4) gives the same for scale(y) and its like; it has no way back from 1/y and powers."""
    plain = ml.emmeans(ml.lmer("y ~ arm + (1 | g)", data()), "arm").to_frame()
    for text in ("scale(y)", "scale(y, scale = FALSE)", "center(y)", "y/100", "3 - y"):
        found = ml.emmeans(ml.lmer(f"{text} ~ arm + (1 | g)", data()), "arm", type="response").to_frame()
        pd.testing.assert_frame_equal(found, plain, rtol=1e-5)
    means = ml.emmeans(ml.lmer("scale(y) ~ arm + (1 | g)", data()), "arm", type="response")
    assert "Transformed back from the scale of scale(y)" in means.notes
    assert "Results are on the scale of scale(y), not that of the response" in means.pairs().notes


def test_ratios_of_logarithms_that_are_multiplied_or_added_to():
    plain = ml.emmeans(ml.lmer("log(y) ~ arm + (1 | g)", data()), "arm", type="response")
    for text in ("log(y, 10)", "2 * log(y)", "log(y)/3", "1 - log(3 * y)", "log2(y/7)", "-log10(y) + 2"):
        found = ml.emmeans(ml.lmer(f"{text} ~ arm + (1 | g)", data()), "arm", type="response")
        pd.testing.assert_frame_equal(found.to_frame(), plain.to_frame(), rtol=1e-5)
        pd.testing.assert_frame_equal(
            found.pairs().to_frame().drop(columns="statistic"),
            plain.pairs().to_frame().drop(columns="statistic"),
            rtol=1e-4,
        )
    for text in ("log(y + 1)", "log1p(y)", "log((y/100)/(1 - y/100))", "sqrt(y)"):
        pairs = ml.emmeans(ml.lmer(f"{text} ~ arm + (1 | g)", data()), "arm", type="response").pairs()
        assert pairs.to_frame().contrast[0] == "high - low"
        assert any("not that of the response" in note for note in pairs.notes)


def test_an_estimate_that_no_response_has():
    frame = data().assign(z=lambda d: np.abs(d.y - d.y.mean()) * 1e-3)
    means = ml.emmeans(ml.lmer("z^2 ~ arm + y + (1 | g)", frame), "arm", at={"y": [-1e6]}, type="response")
    if (means.linear.estimate < 0).any():
        assert any("no response has the estimate as its z^2" in note for note in means.notes)
    else:
        means = ml.emmeans(ml.lmer("z^2 ~ arm + y + (1 | g)", frame), "arm", at={"y": [1e6]}, type="response")
        assert any("no response has the estimate as its z^2" in note for note in means.notes)


# ---- designs that are not of full rank -------------------------------------------------------------------------------------


def test_empty_cells():
    frame = data()[~((data().arm == "high") & (data().sex == "f"))]
    with pytest.warns(ml.RankDeficiencyWarning):
        gap = ml.lmer("y ~ arm * sex + smoker + (1 | g)", frame, contrasts={"arm": "sum"})
    found = ml.emmeans(gap, ["arm", "sex"])
    table = found.to_frame()
    gone = (table.arm == "high") & (table.sex == "f")
    assert table.estimate.isna().tolist() == gone.tolist()
    assert any("1 row is NaN" in note for note in found.notes)
    assert "NaN" in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        other = ml.lmer("y ~ arm * sex + smoker + (1 | g)", frame)
    np.testing.assert_allclose(table.estimate, ml.emmeans(other, ["arm", "sex"]).to_frame().estimate, rtol=1e-6)


def test_a_column_given_twice_loses_nothing():
    frame = data().assign(z=2.0 * data().x + 1.0)
    with pytest.warns(ml.RankDeficiencyWarning):
        twice = ml.lmer("y ~ arm + x + z + (1 | g)", frame)
    once = ml.lmer("y ~ arm + x + (1 | g)", frame)
    np.testing.assert_allclose(
        ml.emmeans(twice, "arm").to_frame().estimate, ml.emmeans(once, "arm").to_frame().estimate
    )
    assert ml.emmeans(twice, "arm", at={"x": 30}).to_frame().estimate.isna().all()


# ---- forms -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: ml.emmeans(fit(), "arm", by="sex"), lambda: ml.emmeans(fit(), "arm").pairs()])
def test_forms(make):
    found = make()
    text, page, markdown = str(found), found.to_html(), found.to_markdown()
    assert repr(found) == text
    assert found._repr_html_() == page
    for form in (text, page, markdown):
        assert "Averaged over" in form
        assert "Std. Error" in form
    assert page.count("<table") == markdown.count("| :---") == (2 if found.by else 1)
    assert all(len(line) <= 80 for line in text.splitlines())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).to_frame(), found.to_frame())


def test_other_frames():
    polars = pytest.importorskip("polars")
    expected = ml.emmeans(fit(), "arm").to_frame().estimate
    other = ml.lmer(fit().formula, polars.from_pandas(data()))
    # A polars categorical has no order of levels; the mean over them does not need one.
    np.testing.assert_allclose(ml.emmeans(other, "arm").to_frame().estimate, expected)
    mapping = ml.lmer(fit().formula, {name: data()[name].to_numpy() for name in data()})
    np.testing.assert_allclose(ml.emmeans(mapping, "arm").to_frame().estimate, expected)


def test_a_grid_can_be_too_large(monkeypatch):
    from multilevel.inference import reference_grid

    monkeypatch.setattr(reference_grid, "LARGEST", 20)
    with pytest.raises(ml.DataError, match="limit the levels"):
        ml.emmeans(fit(), "arm")


# ---- marginaleffects ---------------------------------------------------------------------------------------------------------


def test_without_marginaleffects(monkeypatch):
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(ml.MissingDependencyError, match="pip install marginaleffects"):
        for_marginaleffects(fit())


def test_marginaleffects():
    pytest.importorskip("marginaleffects")
    from marginaleffects import avg_predictions, avg_slopes, datagrid, predictions

    plain = ml.lmer("y ~ arm * sex + x + (1 | g)", data())
    model = for_marginaleffects(plain, ddf="kenward-roger")
    slope = avg_slopes(model, variables="x")
    np.testing.assert_allclose(slope["estimate"][0], plain.fixef["x"], rtol=1e-6)
    error = ml.contrast_test(plain, {"x": 1}, ddf="kenward-roger").std_error.iloc[0]
    np.testing.assert_allclose(slope["std_error"][0], error, rtol=1e-2)  # the package differences slopes numerically
    grid = datagrid(model=model, arm=["low", "high"], sex=["m", "f"])
    means = predictions(model, newdata=grid, by="arm").sort("arm")
    ours = ml.emmeans(plain, "arm", at={"arm": ["high", "low"]}, ddf="kenward-roger").to_frame()
    np.testing.assert_allclose(means["estimate"].to_numpy(), ours.estimate, rtol=1e-8)
    np.testing.assert_allclose(means["std_error"].to_numpy(), ours.std_error, rtol=1e-5)
    assert avg_predictions(model, vcov=False)["estimate"][0] == pytest.approx(
        float((plain.get_me("X") @ plain.fixef).mean())
    )
    with pytest.raises(ml.ControlError):
        model.get_vcov("HC3")
