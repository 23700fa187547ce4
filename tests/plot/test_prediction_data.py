"""What pictures of predictions, slopes and marginal means show, against R's emmeans and against matrices made by hand."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import multilevel as ml
from multilevel.plot.marginal_means import marginal_means_data
from multilevel.plot.predicted_values import cluster_lines, predictions, predictions_data, raw_data
from multilevel.plot.predictions import interactions
from multilevel.plot.slopes import plain_slopes_data, region_text, slopes_data
from reference_cases import frame, reference

Z = 1.959963984540054


@functools.cache
def cake() -> ml.LinearMixedModel:
    return ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", ml.load_dataset("cake"))


@functools.cache
def moderated() -> ml.LinearMixedModel:
    return ml.lmer("y ~ x1_c * x2 + (1 | k_id)", frame("fixture", "scenario_4"))


@functools.cache
def logarithm() -> ml.LinearMixedModel:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "x": rng.normal(size=120), "arm": np.tile(["b", "a"], 60)})
    data["y"] = np.exp(0.5 * data["x"] + 0.3 * rng.normal(size=12)[data["g"]] + 0.2 * rng.normal(size=120))
    return ml.lmer("log(y) ~ x + I(x**2) + arm + (1 + x | g)", data)


def stored(name: str) -> pd.DataFrame:
    return pd.DataFrame(reference("plots")[name])


# ---- predictions -------------------------------------------------------------------------------------------------------


def test_predictions_of_every_cell_agree_with_r():
    data = predictions_data(cake(), ["temp [175, 200, 225]", "recipe"], ddf="asymptotic")
    expected = stored("predicted").set_index(["temp", "recipe"])
    found = data.set_index([data["x"], data["group"].astype(str)]).loc[expected.index]
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-6)
    np.testing.assert_allclose(found["std_error"], expected["std_error"], rtol=1e-4)
    np.testing.assert_allclose(found["conf_low"], expected["estimate"] - Z * expected["std_error"], rtol=1e-4)
    np.testing.assert_allclose(found["conf_high"], expected["estimate"] + Z * expected["std_error"], rtol=1e-4)


def test_predictions_hold_factors_at_their_first_level():
    data = predictions_data(cake(), "temp [175, 200, 225]")
    expected = stored("predicted").query("recipe == 'A'")
    np.testing.assert_allclose(data["estimate"], expected["estimate"], rtol=1e-6)


def test_predictions_averaged_agree_with_emmeans():
    data = predictions_data(cake(), "temp [175, 200, 225]", margin="average")
    expected = stored("averaged")
    for name, of in (("estimate", "emmean"), ("std_error", "SE"), ("conf_low", "lower.CL"), ("conf_high", "upper.CL")):
        np.testing.assert_allclose(data[name], expected[of], rtol=1e-4)
    np.testing.assert_allclose(data["df"], expected["df"], rtol=1e-3)


def test_a_curve_runs_over_the_range_and_other_numbers_are_at_their_mean():
    fit = moderated()
    data = predictions_data(fit, "x1_c")
    rows = frame("fixture", "scenario_4")
    assert len(data) == 61
    np.testing.assert_allclose(data["x"].iloc[[0, -1]], [rows["x1_c"].min(), rows["x1_c"].max()])
    mean = rows["x2"].mean()
    X = np.column_stack([np.ones(61), data["x"], np.full(61, mean), data["x"] * mean])
    np.testing.assert_allclose(data["estimate"], X @ fit.fixef, rtol=1e-10)
    error = np.sqrt(np.einsum("ri,ij,rj->r", X, fit.vcov().to_numpy(), X))
    np.testing.assert_allclose(data["std_error"], error, rtol=1e-8)
    half = stats.t.ppf(0.975, data["df"]) * error
    np.testing.assert_allclose(data["conf_high"] - data["estimate"], half, rtol=1e-8)


def test_a_transformed_response_is_carried_back():
    fit = logarithm()
    linear = predictions_data(fit, "x [-1, 0, 1]", at={"arm": "a"}, scale="linear")
    X = np.array([[1.0, -1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    np.testing.assert_allclose(linear["estimate"], X @ fit.fixef, rtol=1e-10)
    back = predictions_data(fit, "x [-1, 0, 1]", at={"arm": "a"})
    for name in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(back[name], np.exp(linear[name]), rtol=1e-10)


def test_lines_of_clusters_are_predictions_of_them():
    fit = logarithm()
    found = predictions(fit, ["x [-1, 0, 1]", "arm"])
    lines, name, count = cluster_lines(fit, found, {"g": [3, 7]})
    assert (name, count) == ("g", 12)
    assert len(lines) == 3 * 2 * 2
    own = {
        "x": lines["x"].to_numpy(),
        "arm": lines["group"].astype(str).tolist(),
        "g": lines["cluster"].astype(int).to_numpy(),
    }
    np.testing.assert_allclose(lines["estimate"], np.exp(fit.predict(own)), rtol=1e-10)


def test_rows_beside_the_curves_are_those_of_the_data():
    fit = cake()
    rows = ml.load_dataset("cake")
    found = predictions(fit, ["temp", "recipe [A, C]"])
    points = raw_data(fit, found)
    kept = rows["recipe"].astype(str).isin(["A", "C"])
    np.testing.assert_array_equal(points["x"], rows.loc[kept, "temp"])
    np.testing.assert_array_equal(points["response"], rows.loc[kept, "angle"])
    assert points["group"].astype(str).tolist() == rows.loc[kept, "recipe"].astype(str).tolist()


def test_a_numeric_variable_of_colours_takes_the_nearest_value():
    fit = moderated()
    points = raw_data(fit, predictions(fit, ["x1_c", "x2 [0, 1]"]))
    values = frame("fixture", "scenario_4")["x2"].to_numpy()
    assert (points["group"].astype(str) == np.where(np.abs(values) <= np.abs(values - 1), "0", "1")).all()


def test_interactions_are_those_that_no_other_contains():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({name: rng.normal(size=200) for name in "abcdy"}).assign(g=np.repeat(np.arange(20), 10))
    assert interactions(ml.lmer("y ~ a*b*c + c:d + (1 | g)", data)) == [("c", "d"), ("a", "b", "c")]
    assert interactions(ml.lmer("y ~ a + log(abs(b)) + (1 | g)", data)) == []


def test_words_in_brackets():
    rows = frame("fixture", "scenario_4")["x1_c"].to_numpy()
    mean, sd = rows.mean(), rows.std(ddof=1)
    cases = {
        "meansd": [mean - sd, mean, mean + sd], "minmax": [rows.min(), rows.max()], "zeromax": [0.0, rows.max()],
        "quart2": np.quantile(rows, [0.25, 0.5, 0.75]), "terciles": np.quantile(rows, [1 / 3, 2 / 3]), "mean": [mean],
        "-1:1 by=0.5": [-1, -0.5, 0, 0.5, 1], "n=3": np.linspace(rows.min(), rows.max(), 3), "all": np.unique(rows)[:2000],
    }  # fmt: skip
    for word, expected in cases.items():
        found = predictions_data(moderated(), f"x1_c [{word}]")["x"]
        if len(expected) == len(found):
            np.testing.assert_allclose(found, expected, atol=1e-12, err_msg=word)
        else:
            assert (word, len(found)) == ("all", 61)


# ---- slopes ------------------------------------------------------------------------------------------------------------


def test_slopes_by_level_agree_with_emtrends():
    data = slopes_data(cake(), "temp", "recipe").frame
    expected = stored("trends")
    assert data["moderator"].astype(str).tolist() == expected["recipe"].tolist()
    for name, of in (
        ("estimate", "temp.trend"),
        ("std_error", "SE"),
        ("conf_low", "lower.CL"),
        ("conf_high", "upper.CL"),
    ):
        np.testing.assert_allclose(data[name], expected[of], rtol=1e-4)
    np.testing.assert_allclose(data["df"], expected["df"], rtol=1e-3)


def test_ends_of_the_region_are_those_of_johnson_and_neyman():
    expected = reference("plots")["bounds"]
    found = slopes_data(moderated(), "x1_c", "x2 [-20:80]", ddf="asymptotic")
    np.testing.assert_allclose(found.bounds, expected, rtol=1e-4)
    inside = (found.frame["moderator"] > expected[0]) & (found.frame["moderator"] < expected[1])
    np.testing.assert_array_equal(found.frame["significant"], inside if found.frame["significant"][50] else ~inside)
    b = moderated().fixef
    np.testing.assert_allclose(found.frame["estimate"], b["x1_c"] + b["x1_c:x2"] * found.frame["moderator"], rtol=1e-8)
    word = "between −13.8 and 73" if found.frame["significant"][50] else "below −13.8 or above 73"
    assert region_text(found) == f"The slope differs from zero where x2 is {word}."


def test_a_region_without_ends_is_said():
    assert (
        region_text(slopes_data(cake(), "temp", "recipe"))
        == "The slope differs from zero at every value of recipe shown."
    )


def test_plain_slopes_are_least_squares():
    rows = frame("fixture", "scenario_4")
    found = plain_slopes_data(moderated())
    assert list(found.index) == ["x1_c", "x2"]
    for name in found.index:
        slope, intercept = np.polyfit(rows[name], rows["y"], 1)
        np.testing.assert_allclose(found.loc[name, ["intercept", "slope"]].astype(float), [intercept, slope], rtol=1e-8)


# ---- marginal means ----------------------------------------------------------------------------------------------------


def test_marginal_means_agree_with_emmeans():
    means = ml.emmeans(cake(), "recipe", by="temp", at={"temp": [175, 225]})
    data = marginal_means_data(means)
    expected = stored("cell_means")
    assert data["x"].astype(str).tolist() == expected["recipe"].tolist()
    assert data["panel"].astype(str).tolist() == [f"temp: {value}" for value in expected["temp"]]
    for name, of in (("estimate", "emmean"), ("conf_low", "lower.CL"), ("conf_high", "upper.CL")):
        np.testing.assert_allclose(data[name], expected[of], rtol=1e-4)
    coloured = marginal_means_data(means, ["temp", "recipe"])
    assert coloured["x"].astype(str).tolist() == [str(value) for value in expected["temp"]]
    assert coloured["group"].astype(str).tolist() == expected["recipe"].tolist()
    assert list(coloured["panel"].cat.categories) == [""]


def test_differences_have_simultaneous_intervals():
    data = marginal_means_data(ml.emmeans(cake(), "recipe").pairs())
    expected = stored("differences")
    assert data["x"].astype(str).tolist() == expected["contrast"].tolist()
    np.testing.assert_allclose(data["estimate"], expected["estimate"], rtol=1e-4)
    # R's Tukey quantile is less accurate than the degrees of freedom.
    np.testing.assert_allclose(data["conf_low"], expected["lower.CL"], rtol=1e-3)


def test_three_numbers_make_an_axis_of_numbers_and_two_do_not():
    three = marginal_means_data(ml.emmeans(cake(), "temp", at={"temp": [175, 200, 225]}))
    np.testing.assert_array_equal(three["x"], [175.0, 200.0, 225.0])
    np.testing.assert_allclose(three["estimate"], stored("averaged")["emmean"], rtol=1e-6)
    two = marginal_means_data(ml.emmeans(cake(), "temp", at={"temp": [175, 225]}))
    assert list(two["x"].cat.categories) == ["175", "225"]


def test_marginal_means_refuse_what_they_cannot_draw():
    means = ml.emmeans(cake(), "recipe")
    with pytest.raises(ml.ControlError, match="terms names 'temperature'; the means are for recipe"):
        marginal_means_data(means, "temperature")
    with pytest.raises(ml.DataTypeError, match="must be what emmeans or emtrends returned, not a LinearMixedModel"):
        ml.plot_emmeans(cake())
    many = ml.emmeans(cake(), ["recipe", "temp"], at={"temp": list(range(175, 185))})
    with pytest.raises(ml.ControlError, match="'temp' has 10 values, and at most 8 colours"):
        ml.plot_emmeans(many)
