"""`lmer`: what it takes, what it refuses, and that equal inputs give equal fits."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel import LmerControl, lmer

SLEEP = "Reaction ~ Days + (Days | Subject)"


def same(one, two, rtol=1e-12):
    assert list(one.fixef.index) == list(two.fixef.index)
    assert list(one.theta.index) == list(two.theta.index)
    np.testing.assert_allclose(one._engine.criterion, two._engine.criterion, rtol=rtol)
    np.testing.assert_allclose(one.fixef, two.fixef, rtol=max(rtol, 1e-9), atol=1e-12)
    np.testing.assert_allclose(one.theta, two.theta, rtol=max(rtol, 1e-7), atol=1e-9)
    assert one.sigma == pytest.approx(two.sigma, rel=max(rtol, 1e-9))


# ---- kinds of data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: {name: frame[name].to_numpy() for name in frame},
        lambda frame: {name: list(frame[name]) for name in frame},
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.set_index(pd.Index([f"row {i}" for i in range(len(frame))])),
    ],
    ids=["polars", "pyarrow", "arrays", "lists", "nullable", "labelled"],
)
def test_every_kind_of_table_gives_the_same_fit(sleepstudy, convert):
    frame = sleepstudy.astype({"Subject": str})
    fit, expected = lmer(SLEEP, convert(frame)), lmer(SLEEP, frame)
    same(fit, expected)
    assert list(fit.ranef()["Subject"].index) == list(expected.ranef()["Subject"].index)
    np.testing.assert_allclose(fit.fitted().to_numpy(), expected.fitted().to_numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    "convert",
    [
        lambda codes: codes,
        lambda codes: codes.astype(np.int16),
        lambda codes: codes.astype(float),
        lambda codes: np.array([f"s{code:02d}" for code in codes]),
        lambda codes: np.array([f"s{code:02d}" for code in codes], dtype=object),
        lambda codes: [datetime.date(2020, 1, 1 + int(code)) for code in codes],
        lambda codes: pd.to_datetime("2021-03-01") + pd.to_timedelta(codes, unit="D"),
        lambda codes: pd.Categorical(codes),
    ],
    ids=["int64", "int16", "float", "text", "objects", "dates", "timestamps", "categorical"],
)
def test_every_kind_of_grouping_factor_gives_the_same_fit(sleepstudy, convert):
    codes = pd.factorize(sleepstudy["Subject"])[0]
    frame = sleepstudy.assign(Subject=convert(codes))
    fit = lmer(SLEEP, frame)
    assert fit._engine.criterion == pytest.approx(rc.cases()["sleepstudy_reml"]["criterion"], rel=1e-9)
    np.testing.assert_allclose(
        fit.ranef()["Subject"].to_numpy(), rc.fit("sleepstudy_reml").ranef()["Subject"].to_numpy(), atol=1e-4
    )


def test_a_grouping_factor_of_truth_values():
    rng = np.random.default_rng(2)
    group = np.tile([True, False], 30)
    frame = pd.DataFrame({"y": rng.normal(size=60) + 3.0 * group, "flag": group, "text": np.where(group, "b", "a")})
    fit, expected = lmer("y ~ 1 + (1 | flag)", frame), lmer("y ~ 1 + (1 | text)", frame)
    assert fit._engine.criterion == pytest.approx(expected._engine.criterion, rel=1e-12)
    assert list(fit.ranef()["flag"].index) == [False, True]
    assert fit.ranef().groups["flag"].levels == ("FALSE", "TRUE")
    np.testing.assert_allclose(fit.ranef()["flag"].to_numpy(), expected.ranef()["text"].to_numpy(), rtol=1e-9)


def test_the_order_of_rows_does_not_matter(sleepstudy):
    shuffled = sleepstudy.sample(frac=1.0, random_state=3)
    fit = lmer(SLEEP, shuffled)
    same(fit, rc.fit("sleepstudy_reml"), rtol=1e-11)
    np.testing.assert_allclose(fit.fitted().sort_index(), rc.fit("sleepstudy_reml").fitted(), rtol=1e-6)


def test_the_data_are_not_changed(sleepstudy):
    before = sleepstudy.copy(deep=True)
    lmer(SLEEP, sleepstudy, weights=np.ones(180))
    pd.testing.assert_frame_equal(sleepstudy, before)


def test_a_parsed_formula(sleepstudy):
    same(lmer(ml.parse_formula(SLEEP), sleepstudy), rc.fit("sleepstudy_reml"))


# ---- weights and offset ------------------------------------------------------------------------------------------------


def test_weights_and_offset_by_name_and_as_values():
    frame = rc.frame("fixture", "sleepstudy_extra")
    named = rc.fit("weights_and_offset_reml")
    for convert in (np.asarray, list, pd.Series):
        same(lmer(SLEEP, frame, weights=convert(frame["w_fraction"]), offset=convert(frame["off"])), named)
    np.testing.assert_array_equal(named.get_me("weights"), frame["w_fraction"])
    np.testing.assert_array_equal(named.get_me("offset"), frame["off"])


def test_weights_change_only_the_scale_when_all_are_equal(sleepstudy):
    fit, plain = lmer(SLEEP, sleepstudy, weights=np.full(180, 4.0)), rc.fit("sleepstudy_reml")
    np.testing.assert_allclose(fit.fixef, plain.fixef, rtol=1e-7)
    assert fit.sigma == pytest.approx(2.0 * plain.sigma, rel=1e-6)
    assert fit.reml_criterion == pytest.approx(plain.reml_criterion, rel=1e-10)


def test_an_offset_adds_to_the_one_in_the_formula():
    frame = rc.frame("fixture", "sleepstudy_extra")
    both = lmer("Reaction ~ Days + offset(off) + (Days | Subject)", frame, offset="off")
    twice = lmer(SLEEP, frame.assign(twice=2.0 * frame["off"]), offset="twice")
    same(both, twice)


@pytest.mark.parametrize("weights", [-1.0, 0.0, np.inf])
def test_weights_must_be_positive(sleepstudy, weights):
    values = np.ones(180)
    values[3] = weights
    with pytest.raises(ml.DataError):
        lmer(SLEEP, sleepstudy, weights=values)


def test_weights_of_the_wrong_length(sleepstudy):
    with pytest.raises(ml.DataError):
        lmer(SLEEP, sleepstudy, weights=np.ones(7))
    with pytest.raises(ml.UnknownColumnError):
        lmer(SLEEP, sleepstudy, weights="heft")


# ---- missing values ----------------------------------------------------------------------------------------------------


def with_gaps(frame):
    gaps = frame.astype({"Reaction": float, "Days": float}).copy()
    gaps.loc[[2, 60], "Reaction"] = np.nan
    gaps.loc[100, "Days"] = np.nan
    return gaps


def test_rows_with_missing_values_are_left_out(sleepstudy):
    gaps = with_gaps(sleepstudy)
    with pytest.warns(ml.MissingValuesWarning, match="3 of 180"):
        fit = lmer(SLEEP, gaps)
    assert (fit.nobs, fit.n_missing) == (177, 3)
    same(fit, lmer(SLEEP, gaps.dropna()))
    assert list(fit.fitted().index) == [i for i in range(180) if i not in (2, 60, 100)]


def test_exclude_pads_with_nan(sleepstudy):
    gaps = with_gaps(sleepstudy)
    with pytest.warns(ml.MissingValuesWarning):
        omitted = lmer(SLEEP, gaps)
    with pytest.warns(ml.MissingValuesWarning):
        fit = lmer(SLEEP, gaps, na_action="exclude")
    same(fit, omitted)
    for padded, plain in [
        (fit.fitted(), omitted.fitted()),
        *((fit.residuals(kind), omitted.residuals(kind)) for kind in ("response", "pearson", "scaled")),
    ]:
        assert len(padded) == 180
        assert list(padded.index) == list(range(180))
        assert list(np.flatnonzero(padded.isna())) == [2, 60, 100]
        np.testing.assert_allclose(padded.dropna(), plain)


def test_fail_refuses(sleepstudy):
    with pytest.raises(ml.DataError, match="Reaction"):
        lmer(SLEEP, with_gaps(sleepstudy), na_action="fail")
    with pytest.raises(ml.ControlError):
        lmer(SLEEP, sleepstudy, na_action="ignore")


def test_exclude_without_gaps(sleepstudy):
    fit = lmer(SLEEP, sleepstudy, na_action="exclude")
    assert len(fit.fitted()) == 180


# ---- refusals ----------------------------------------------------------------------------------------------------------


def rows_as_levels(n=24):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=n), "row": np.arange(n), "g": np.arange(n) % 6})
    return frame.assign(y=1.0 + frame["x"] + 0.5 * frame["g"] + rng.normal(size=n))


def test_as_many_levels_as_rows_are_refused():
    frame = rows_as_levels()
    with pytest.raises(ml.DataError, match=r"'row' has 24 levels and there are 24 rows"):
        lmer("y ~ x + (1 | row)", frame)
    with pytest.raises(ml.DataError, match="check_levels_against_rows"):
        lmer("y ~ x + (1 | g) + (1 | row)", frame)


def test_as_many_effects_as_rows_are_refused():
    frame = rows_as_levels().assign(pair=np.arange(24) // 2)
    with pytest.raises(ml.DataError, match=r"\(x \| pair\) has 24 random effects and there are 24 rows"):
        lmer("y ~ x + (x | pair)", frame)


def test_levels_as_rows_can_be_let_through():
    # Only the sum of the two variances is determined: it is that of a model without the term.
    frame = rows_as_levels()
    control = LmerControl(check_levels_against_rows="ignore", check_effects_against_rows="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ConvergenceWarning)
        fit = lmer("y ~ x + (1 | g) + (1 | row)", frame, control=control)
    plain = lmer("y ~ x + (1 | g)", frame)
    assert fit.reml_criterion == pytest.approx(plain.reml_criterion, rel=1e-8)
    np.testing.assert_allclose(fit.fixef, plain.fixef, rtol=1e-5)
    total = fit.sigma**2 + float(fit.varcorr()["row"].iloc[0, 0])
    assert total == pytest.approx(plain.sigma**2, rel=1e-4)
    assert float(fit.varcorr()["g"].iloc[0, 0]) == pytest.approx(float(plain.varcorr()["g"].iloc[0, 0]), rel=1e-3)


def test_too_many_effects_can_be_let_through():
    frame = rows_as_levels().assign(pair=np.arange(24) // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ConvergenceWarning)
        fit = lmer("y ~ x + (x | pair)", frame, control=LmerControl(check_effects_against_rows="ignore"))
    assert np.isfinite(fit.reml_criterion)
    assert fit.reml_criterion <= lmer("y ~ x + (1 | pair)", frame).reml_criterion + 1e-6


@pytest.mark.parametrize("n", [3, 2])
def test_a_saturated_model_is_refused(n):
    frame = pd.DataFrame({"y": np.arange(n) ** 1.5, "x": np.arange(n), "z": np.arange(n) ** 2, "g": [0, 0, 1][-n:]})
    warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
    with pytest.raises(ml.DataError):
        lmer("y ~ x + z + (1 | g)", frame)


@pytest.mark.parametrize(
    "option",
    [
        {"optimizer": "simplex"},
        {"max_evaluations": 0},
        {"tolerance": 0.0},
        {"tolerance": float("nan")},
        {"check_levels_against_rows": "warn"},
        {"check_effects_against_rows": True},
    ],
)
def test_options_are_checked(option):
    with pytest.raises(ml.ControlError):
        LmerControl(**option)


def test_control_cannot_be_changed():
    control = LmerControl(start=[1, 0, 1], optimizer_options={"maxfev": 3})
    assert control.start == (1.0, 0.0, 1.0)
    with pytest.raises(AttributeError):
        control.optimizer = "powell"
    assert LmerControl() == LmerControl()


@pytest.mark.parametrize(
    ("formula", "error"),
    [
        ("Reaction ~ Days", ml.FormulaError),
        ("~ Days + (1 | Subject)", ml.FormulaError),
        ("Reaction ~ Dayz + (1 | Subject)", ml.UnknownColumnError),
        ("Reaction ~ Days + (1 | Subjekt)", ml.UnknownColumnError),
        ("Reaction ~ Days + (1 | ", ml.FormulaError),
    ],
)
def test_bad_formulas(sleepstudy, formula, error):
    with pytest.raises(error):
        lmer(formula, sleepstudy)


# ---- special models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["diameter ~ 0 + (1 | sample)", "diameter ~ 0 + (1 | plate) + (1 | sample)"])
@pytest.mark.parametrize("reml", [True, False])
def test_no_fixed_effects(formula, reml):
    fit = lmer(formula, ml.load_dataset("Penicillin"), reml=reml)
    assert fit.convergence.converged
    assert fit.fixef.empty
    assert fit.vcov().shape == (0, 0)
    # Without fixed effects the two criteria are one.
    assert fit.reml_criterion == pytest.approx(fit.deviance, rel=1e-12)
    rows = fit.get_me("Z") @ fit.get_me("b")
    np.testing.assert_allclose(fit.fitted(), rows, rtol=1e-9)


def test_no_fixed_effects_with_nested_factors():
    fit = lmer("strength ~ 0 + (1 | batch/cask)", ml.load_dataset("Pastes"))
    assert fit.convergence.converged


def test_a_constant_response_is_refused():
    frame = pd.DataFrame({"y": np.full(20, 3.0), "g": np.arange(20) % 4})
    with pytest.raises(ml.DataError, match="constant"):
        lmer("y ~ 1 + (1 | g)", frame)


@pytest.mark.parametrize("reml", [True, False])
def test_slopes_without_intercepts(reml):
    # Group means are taken out, so the intercepts do not vary and the slopes do: the larger model ends at the smaller one.
    rng = np.random.default_rng(21)
    g, x = np.repeat(np.arange(30), 8), np.tile(np.arange(8) - 3.5, 30)
    frame = pd.DataFrame({"g": g, "x": x, "y": x * (1.0 + rng.normal(size=30)[g]) + 3.0 * rng.normal(size=240)})
    frame["y"] += 1.0 - frame.groupby("g")["y"].transform("mean")
    fit, smaller = (lmer(f, frame, reml=reml) for f in ("y ~ x + (x | g)", "y ~ x + (0 + x | g)"))
    assert fit._engine.criterion == pytest.approx(smaller._engine.criterion, rel=1e-11)
    assert fit.convergence.status == "singular"
    assert fit.theta["g.(Intercept)"] == 0.0
    term = fit.varcorr().terms[0]
    assert term.standard_deviations[0] == 0.0
    assert term.standard_deviations[1] == pytest.approx(smaller.varcorr().terms[0].standard_deviations[0], rel=1e-6)
    assert np.isnan(term.correlation[0, 1])
    assert (fit.ranef()["g"]["(Intercept)"] == 0.0).all()


def test_two_levels_and_few_rows():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 6.0], "g": ["a", "a", "b", "b"]})
    fit = lmer("y ~ 1 + (1 | g)", frame)
    # The balanced one-way layout has a closed form: means 1.5 and 5, within mean square (0.5 + 2) / 2.
    within, between = 1.25, 12.25
    assert fit.sigma**2 == pytest.approx(within, rel=1e-6)
    assert float(fit.varcorr()["g"].iloc[0, 0]) == pytest.approx((between - within) / 2, rel=1e-5)
    assert fit.fixef["(Intercept)"] == pytest.approx(3.25)
