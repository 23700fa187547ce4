"""Predictions against lme4 and against dense formulas, and what new data may look like."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml
import reference_cases as rc


def stored(name):
    return rc.reference("predict")[name]


@functools.cache
def model(name) -> ml.LinearMixedModel:
    if name in ("iris", "machines"):
        data = pd.DataFrame(stored(name)["data"])
    else:
        data = ml.load_dataset({"uncorrelated": "sleepstudy", "penicillin": "Penicillin"}.get(name, name))
    weights = None
    if name == "cake":
        weights = 1.0 + np.arange(1, len(data) + 1) % 3
    formula = {
        "sleepstudy": "Reaction ~ Days + (Days | Subject)",
        "uncorrelated": "Reaction ~ Days + (Days || Subject)",
        "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "machines": "score ~ Machine + (1 | Worker/Machine)",
        "cake": "angle ~ recipe * temp + (1 | recipe:replicate)",
        "iris": "Petal.Width ~ Sepal.Length + (1 | Species)",
    }[name]
    return ml.lmer(formula, data, weights=weights)


MODELS = ["sleepstudy", "uncorrelated", "penicillin", "machines", "cake", "iris"]


@pytest.mark.parametrize("name", MODELS)
def test_fitted_rows_against_lme4(name):
    fit, expected = model(name), stored(name)
    np.testing.assert_allclose(fit.predict(), expected["all"], rtol=1e-9)
    np.testing.assert_array_equal(fit.predict(re_formula=True), fit.predict())
    np.testing.assert_allclose(fit.predict(), fit.fitted(), rtol=1e-13)
    for none in (False, "~0", "~ 1"):
        np.testing.assert_allclose(fit.predict(re_formula=none), expected["none"], rtol=1e-9)
    for part, values in expected["parts"].items():
        np.testing.assert_allclose(fit.predict(re_formula=part), values, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_the_data_of_the_fit_as_new_data(name):
    fit = model(name)
    for formula in (None, False, *stored(name)["parts"]):
        own = fit.predict(re_formula=formula, se=True)
        again = fit.predict(fit._data.frame, re_formula=formula, se=True)
        pd.testing.assert_frame_equal(own, again, rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_standard_errors(name):
    fit, expected = model(name), stored(name)
    np.testing.assert_allclose(fit.predict(se=True)["std_error"], expected["conditional_error"], rtol=1e-8)
    found = fit.predict(se=True, re_formula=False)["std_error"]
    np.testing.assert_allclose(found, expected["marginal_error"], rtol=1e-8)


def test_standard_errors_of_lme4():
    """What lme4 1.1-35 prints for `predict(fit, se.fit = TRUE)`."""
    found = model("iris").predict(se=True)["std_error"].head(6)
    expected = [0.02718164003, 0.02722988623, 0.02861883799, 0.02976454674, 0.02703305153, 0.02958762655]
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    found = model("iris").predict(se=True, re_formula=False)["std_error"].head(6)
    expected = [0.45114786505, 0.45149797185, 0.45193073260, 0.45217803581, 0.45131257362, 0.45077808985]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("name", ["nested_crossed_reml", "weights_and_offset_reml", "subjects_items_uncorrelated_reml"])
def test_standard_errors_by_dense_algebra(name):
    fit = rc.fit(name)
    Z, Lambda = fit.get_me("Z"), fit.get_me("Lambda")
    both = np.hstack([fit.get_me("X"), (Z @ Lambda).toarray()])
    p = fit.get_me("X").shape[1]
    matrix = both.T @ (fit.get_me("weights")[:, None] * both)
    matrix[p:, p:] += np.eye(len(matrix) - p)
    expected = fit.sigma * np.sqrt(np.einsum("ia,ab,ib->i", both, np.linalg.inv(matrix), both))
    np.testing.assert_allclose(fit.predict(se=True)["std_error"], expected, rtol=1e-9)


def test_new_data_against_lme4():
    expected = stored("new_data")
    days, fit = pd.DataFrame(expected["days"]), model("sleepstudy")
    np.testing.assert_allclose(fit.predict(days, allow_new_levels=True), expected["all"], rtol=1e-9)
    np.testing.assert_allclose(fit.predict(days, re_formula=False), expected["none"], rtol=1e-9)
    found = fit.predict(days, re_formula="~ (1 | Subject)", allow_new_levels=True)
    np.testing.assert_allclose(found, expected["intercepts"], rtol=1e-9)
    curve = ml.lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", ml.load_dataset("sleepstudy"))
    np.testing.assert_allclose(curve.predict(days, allow_new_levels=True), expected["curve"], rtol=1e-9)


def test_new_levels():
    fit = model("sleepstudy")
    days = pd.DataFrame({"Days": [2.0, 3.0], "Subject": ["308", "999"]})
    with pytest.raises(ml.DataError, match=r"level of the grouping factor 'Subject' that the fit does not know: '999'"):
        fit.predict(days)
    assert fit.predict(days, re_formula=False).notna().all()
    found = fit.predict(days, allow_new_levels=True, interval="prediction")
    z = np.array([1.0, 3.0])
    own = z @ fit.varcorr()["Subject"].to_numpy() @ z
    fixed = z @ fit.vcov().to_numpy() @ z
    assert found["std_error"][1] == pytest.approx(np.sqrt(own + fixed), rel=1e-10)
    half = 1.959963984540054 * np.sqrt(own + fixed + fit.sigma**2)
    assert found["conf_high"][1] - found["fit"][1] == pytest.approx(half, rel=1e-10)
    intercepts = fit.predict(days, re_formula="(1 | Subject)", allow_new_levels=True, se=True)
    expected = np.sqrt(fit.varcorr()["Subject"].iloc[0, 0] + fixed)
    assert intercepts["std_error"][1] == pytest.approx(expected, rel=1e-10)
    many = pd.DataFrame({"Days": 1.0, "Subject": [f"n{i}" for i in range(20)]})
    with pytest.raises(ml.DataError, match=r"levels .* 'n0', 'n1', .*…"):
        fit.predict(many)


def test_a_known_level_without_its_parent():
    """Levels combined in new ways: each grouping factor is known for itself."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.integers(0, 4, 80), "x": rng.normal(size=80)})
    frame["b"] = frame["a"] * 3 + rng.integers(0, 3, 80)
    frame["y"] = rng.normal(size=4)[frame["a"]] + rng.normal(size=12)[frame["b"]] + rng.normal(size=80)
    fit = ml.lmer("y ~ x + (1 | a) + (1 | b)", frame)
    new = pd.DataFrame({"x": [0.0, 0.0], "a": [0, 3], "b": [1, 1]})
    modes = fit.ranef()
    expected = fit.fixef.iloc[0] + modes["a"].loc[[0, 3]].to_numpy() + modes["b"].loc[[1, 1]].to_numpy()
    np.testing.assert_allclose(fit.predict(new), expected[:, 0])
    both = fit.predict(new, se=True)["std_error"]
    assert both[0] < both[1]


def test_intervals():
    fit = model("cake")
    found = fit.predict(interval="confidence", level=0.9)
    np.testing.assert_allclose(found["conf_high"] - found["fit"], 1.6448536269514722 * found["std_error"])
    np.testing.assert_allclose(found["fit"] - found["conf_low"], found["conf_high"] - found["fit"])
    wide = fit.predict(interval="prediction", level=0.9)
    total = np.sqrt(found["std_error"] ** 2 + fit.sigma**2 / fit.get_me("weights"))
    np.testing.assert_allclose(wide["conf_high"] - wide["fit"], 1.6448536269514722 * total)
    new = fit._data.frame.head(3)
    with pytest.raises(ml.DataError, match="give weights="):
        fit.predict(new, interval="prediction")
    pd.testing.assert_frame_equal(
        fit.predict(new, interval="prediction", level=0.9, weights=fit.get_me("weights")[:3]), wide.head(3)
    )
    assert fit.predict(new, interval="confidence").shape == (3, 4)
    with pytest.raises(ml.DataError, match="weights must be positive"):
        fit.predict(new, interval="prediction", weights=0)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "machines"])
@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_simulated_intervals(name, interval):
    fit = model(name)
    by_formula = fit.predict(interval=interval)
    drawn = fit.predict(interval=interval, method="simulation", n=4000, rng=1)
    pd.testing.assert_series_equal(by_formula["fit"], drawn["fit"])
    # σ is drawn too: a t distribution in the place of a normal one.
    np.testing.assert_allclose(drawn["std_error"], by_formula["std_error"], rtol=0.08)
    width = by_formula["conf_high"] - by_formula["conf_low"]
    for bound in ("conf_low", "conf_high"):
        assert np.abs((drawn[bound] - by_formula[bound]) / width).max() < 0.06


def test_simulated_intervals_of_new_levels():
    fit = model("sleepstudy")
    days = pd.DataFrame({"Days": [2.0, np.nan, 3.0, 5.0], "Subject": ["308", "308", "999", "998"]})
    options = {"allow_new_levels": True, "interval": "prediction"}
    by_formula = fit.predict(days, **options)
    drawn = fit.predict(days, **options, method="simulation", n=20_000, rng=2)
    assert drawn.loc[1].isna().all()
    np.testing.assert_allclose(drawn["conf_low"][[0, 2, 3]], by_formula["conf_low"][[0, 2, 3]], rtol=0.03)
    with pytest.raises(ml.ControlError, match="at least 1"):
        fit.predict(days, **options, method="simulation", n=0)


def test_missing_values_stay_in_their_place():
    fit = model("sleepstudy")
    days = pd.DataFrame(
        {"Days": [1.0, np.nan, 2.0, 3.0], "Subject": ["308", "309", None, "310"]}, index=["p", "q", "r", "s"]
    )
    found = fit.predict(days, se=True)
    assert found.index.tolist() == ["p", "q", "r", "s"]
    assert found.isna().all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_allclose(fit.predict(days)["p"], fit.predict({"Days": [1.0], "Subject": ["308"]})[0])
    assert fit.predict(days, re_formula=False).isna().tolist() == [False, True, False, False]
    assert fit.predict(days, na_action="omit").index.tolist() == ["p", "s"]
    with pytest.raises(ml.DataError, match="2 of 4 rows of the new data lack a value"):
        fit.predict(days, na_action="fail")
    with pytest.raises(ml.ControlError, match="na_action"):
        fit.predict(days, na_action="drop")


def test_rows_that_the_fit_left_out():
    frame = ml.load_dataset("sleepstudy")
    frame.loc[3, "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        omitted = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    with pytest.warns(ml.MissingValuesWarning):
        excluded = ml.lmer("Reaction ~ Days + (1 | Subject)", frame, na_action="exclude")
    assert len(omitted.predict()) == 179
    assert 3 not in omitted.predict().index
    found = excluded.predict(se=True)
    assert found.isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [3]
    pd.testing.assert_series_equal(found["fit"], excluded.fitted().rename("fit"))
    assert omitted.predict(na_action="pass").isna().sum() == 1
    assert omitted.predict(frame).notna().all()


def test_the_design_is_remembered(sleepstudy):
    frame = sleepstudy.assign(half=np.where(sleepstudy["Days"] < 5, "early", "late"))
    fit = ml.lmer("Reaction ~ ns(Days, 3) + half + (scale(Days) | Subject)", frame, contrasts={"half": "sum"})
    rows = [170, 4, 33]
    for kind in (frame.iloc[rows], pl.from_pandas(frame.iloc[rows]), frame.iloc[rows].to_dict("list")):
        np.testing.assert_allclose(fit.predict(kind), fit.predict().iloc[rows], rtol=1e-12)
    with pytest.raises(ml.DataError, match="'half' that the fitted model does not know: 'noon'"):
        fit.predict(frame.iloc[rows].assign(half="noon"))
    with pytest.raises(ml.UnknownColumnError, match="half"):
        fit.predict(frame.iloc[rows].drop(columns="half"))
    with pytest.raises(ml.DataError, match="no rows"):
        fit.predict(frame.iloc[:0])


def test_columns_that_are_not_needed():
    fit = model("sleepstudy")
    assert fit.predict({"Days": [1]}, re_formula=False).shape == (1,)
    crossed = model("penicillin")
    found = crossed.predict({"plate": ["a", "b"]}, re_formula="~ (1 | plate)")
    expected = crossed.fixef.iloc[0] + crossed.ranef()["plate"].loc[["a", "b"], "(Intercept)"]
    np.testing.assert_allclose(found, expected)
    nested = model("machines")
    both = nested.predict({"Worker": ["1"], "Machine": ["B"]}, re_formula="~ (1 | Machine:Worker)")
    other = nested.predict({"Worker": ["1"], "Machine": ["B"]}, re_formula="~ (1 | Worker:Machine)")
    assert both[0] == other[0]


def test_parts_of_terms_with_factors():
    frame = rc.frame("dataset", "cake")
    fit = ml.lmer("angle ~ temp + (recipe | replicate)", frame)
    row = frame.iloc[[0, 20, 40]]
    modes = fit.ranef()["replicate"].loc[row["replicate"].astype(str)]
    only = fit.predict(row, re_formula="~ (1 | replicate)") - fit.predict(row, re_formula=False)
    np.testing.assert_allclose(only, modes["(Intercept)"])
    everything = fit.predict(row, re_formula="~ (1 + recipe | replicate)")
    np.testing.assert_allclose(everything, fit.predict(row))
    with pytest.raises(ml.FormulaError, match="'recipeA'"):
        fit.predict(row, re_formula="~ (0 + recipe | replicate)")


def test_ordered_factors_and_matrices_in_parts():
    frame = rc.frame("dataset", "cake").assign(
        degree=lambda d: pd.Categorical(d["temp"].astype(str), ordered=True), heat=lambda d: d["temp"].astype(float)
    )
    fit = ml.lmer("angle ~ recipe + (poly(heat, 2) | replicate)", frame)
    np.testing.assert_allclose(fit.predict(re_formula="~ (poly(heat, 2) | replicate)"), fit.predict())
    some = (
        fit.predict(re_formula="~ (0 + poly(heat, 2) | replicate)")
        + fit.ranef()["replicate"].loc[frame["replicate"].astype(str), "(Intercept)"].to_numpy()
    )
    np.testing.assert_allclose(some, fit.predict())
    ordered = ml.lmer("angle ~ recipe + (0 + degree || replicate)", frame)
    np.testing.assert_allclose(ordered.predict(re_formula="~ (0 + degree | replicate)"), ordered.predict())


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("~ (1 | Foo)", r"grouping factor 'Foo', which the model does not have; it has 'Subject'"),
        ("~ (Height | Subject)", r"asks for 'Height' in \(Height | Subject\)"),
        ("~ Days + (1 | Subject)", "has more than these"),
        ("Reaction ~ (1 | Subject)", "has more than these"),
        ("~ (1 | Subject", "parenthesis is not closed"),
    ],
)
def test_formulas_that_are_no_part_of_the_model(formula, message):
    with pytest.raises(ml.FormulaError, match=message):
        model("sleepstudy").predict(re_formula=formula)


def test_options_that_are_no_choices():
    fit = model("sleepstudy")
    with pytest.raises(ml.DataTypeError, match="re_formula"):
        fit.predict(re_formula=3)
    with pytest.raises(ml.ControlError, match="interval"):
        fit.predict(interval="credible")
    with pytest.raises(ml.ControlError, match="method"):
        fit.predict(method="mcmc", se=True)
    with pytest.raises(ml.ControlError, match="level"):
        fit.predict(interval="confidence", level=95)
    with pytest.raises(ml.ControlError, match="of new data"):
        fit.predict(offset=1)


def test_offsets(sleepstudy):
    frame = sleepstudy.assign(base=np.linspace(-5, 5, 180), other=np.linspace(3, 9, 180))
    named = ml.lmer("Reaction ~ Days + offset(base) + (1 | Subject)", frame, offset="other")
    by_row = ml.lmer("Reaction ~ Days + offset(base) + (1 | Subject)", frame, offset=frame["other"].to_numpy())
    np.testing.assert_allclose(named.predict(frame), named.predict())
    np.testing.assert_allclose(named.predict(), named.fitted())
    np.testing.assert_allclose(named.predict(frame, offset=0), named.predict() - frame["other"])
    with pytest.raises(ml.DataError, match="give offset="):
        by_row.predict(frame)
    np.testing.assert_allclose(by_row.predict(frame, offset="other"), named.predict(), rtol=1e-12)
    with pytest.raises(ml.UnknownColumnError, match="offset"):
        named.predict(frame.drop(columns="other"))
    with pytest.raises(ml.DataError, match="offset has 2 values"):
        by_row.predict(frame, offset=[1, 2])
    with pytest.raises(ml.DataTypeError, match="offset must be numbers"):
        by_row.predict(frame, offset="Subject")


def test_factors_without_new_levels_are_not_copied(sleepstudy):
    fit = model("sleepstudy")
    shuffled = sleepstudy.sample(frac=1.0, random_state=1)
    np.testing.assert_allclose(fit.predict(shuffled), fit.predict().loc[shuffled.index])
    assert fit.predict(shuffled).index.equals(shuffled.index)


def test_no_fixed_effects_and_a_singular_fit(sleepstudy):
    fit = ml.lmer("Reaction ~ 0 + (1 | Subject)", sleepstudy)
    assert fit.predict(re_formula=False).eq(0).all()
    assert (fit.predict(se=True)["std_error"] > 0).all()
    singular = rc.fit("dyestuff2_reml")
    np.testing.assert_allclose(
        singular.predict(se=True)["std_error"], singular.predict(se=True, re_formula=False)["std_error"]
    )


def test_standard_errors_of_coefficients():
    fit = model("sleepstudy")
    found = fit.coef_standard_errors()["Subject"]
    new = pd.DataFrame({"Days": 0.0, "Subject": found.index})
    np.testing.assert_allclose(found["(Intercept)"], fit.predict(new, se=True)["std_error"])
    crossed = model("penicillin").coef_standard_errors()
    assert {name: frame.shape for name, frame in crossed.items()} == {"plate": (24, 1), "sample": (6, 1)}
    wide = model("machines").coef_standard_errors()["Worker"]
    np.testing.assert_allclose(wide["MachineB"], model("machines").standard_errors["MachineB"])


# ---- input that cannot be used -----------------------------------------------------------------------------------------


def test_infinite_values_of_new_data(sleepstudy):
    fit = rc.fit("sleepstudy_reml")
    with pytest.raises(ml.DataError, match="'Days' has 1 infinite value in the new data"):
        fit.predict({"Days": [np.inf, 1.0], "Subject": ["308", "309"]}, se=True)
    shifted = sleepstudy.assign(later=sleepstudy["Days"] + 1)
    curve = ml.lmer("Reaction ~ log(later) + (1 | Subject)", shifted)
    with pytest.raises(ml.DataError, match=r"'log\(later\)' has 1 infinite value"):
        curve.predict({"later": [0, 1], "Subject": ["308", "309"]})
    with pytest.raises(ml.DataError, match="offset of the new data has 1 infinite value"):
        fit.predict({"Days": [1, 1], "Subject": ["308", "309"]}, offset=[0.0, np.inf])


@pytest.mark.parametrize("values", [1, 2.5, "308", None, np.array(3.0)])
def test_single_values_are_no_columns(values):
    with pytest.raises(
        ml.DataTypeError, match="'Days' of the data must hold a value for each row, not the single value"
    ):
        rc.fit("sleepstudy_reml").predict({"Days": values, "Subject": ["308"]})


@pytest.mark.parametrize("n", [1.5, 0, "3"])
def test_numbers_of_draws(n):
    fit = rc.fit("sleepstudy_reml")
    with pytest.raises(ml.ControlError, match="whole number of at least 1"):
        fit.predict(interval="confidence", method="simulation", n=n)
    if n != 0:
        with pytest.raises(ml.ControlError, match="whole number of at least 0"):
            fit.simulate(n)


def test_missing_random_effects_as_r_writes_them():
    with pytest.raises(ml.DataTypeError, match=r"False \(none, lme4's NA\)"):
        rc.fit("sleepstudy_reml").predict(re_formula=np.nan)


def test_contrasts_as_patsy_writes_them(sleepstudy):
    categorical = ml.lmer("Reaction ~ C(Days) + (1 | Subject)", sleepstudy)
    by_factor = ml.lmer("Reaction ~ factor(Days) + (1 | Subject)", sleepstudy)
    np.testing.assert_array_equal(categorical.fixef.to_numpy(), by_factor.fixef.to_numpy())
    with pytest.raises(ml.FormulaError, match=r"write factor\(Days\), and contrasts="):
        ml.lmer("Reaction ~ C(Days, Sum) + (1 | Subject)", sleepstudy)


def test_simulated_intervals_of_mertools():
    stored = rc.reference("prediction_intervals")
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    new = {"Days": stored["days"], "Subject": stored["subject"]}
    level = stored["level"]
    found = fit.predict(new, interval="prediction", level=level)
    width = np.subtract(stored["upper"], stored["lower"])
    # 20,000 draws: means have a standard error of 0.24, widths one of 0.65 % (two 5 % quantiles of a normal variable).
    np.testing.assert_allclose(found["fit"], stored["fit"], atol=0.75)
    # merTools draws β and b independently of each other; their covariance is negative, so that ours are narrower.
    rows = np.column_stack([np.ones(len(width)), stored["days"]])
    of_beta = np.einsum("ij,jk,ik->i", rows, fit.vcov().to_numpy(), rows)
    of_b = fit.ranef(cond_var=True).conditional_variances("Subject")[0, 0, 0]
    z = 1.6448536269514722
    np.testing.assert_allclose(width, 2 * z * np.sqrt(of_beta + of_b + fit.sigma**2), rtol=0.02)
    ours = (found["conf_high"] - found["conf_low"]).to_numpy()
    assert (ours < width).all()
    assert (ours > 0.94 * width).all()
