"""What the pictures show, against R and against other results of the library."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multilevel as ml
from multilevel.plot.cluster_data import clustered_rows, model_lines
from multilevel.plot.cluster_lines import cluster_least_squares, shrinkage_data
from multilevel.plot.clusters import clusters_data
from multilevel.plot.covariances import covariances_data, ellipse, mode_pairs_data
from multilevel.plot.diagnostics import diagnostics_data
from multilevel.plot.forest import fixed_effects_data
from multilevel.plot.random_effects import random_effects_data
from multilevel.plot.residuals import residual_quartiles_data, residuals_data
from multilevel.plot.smooth import lowess_curve
from multilevel.plot.style import axis_breaks, axis_numbers, counted, percent, sampled, theme, wrapped
from multilevel.plot.variance_components import variance_components_data
from reference_cases import frame, reference

SLEEP = "Reaction ~ Days + (Days | Subject)"


@functools.cache
def sleep() -> ml.LinearMixedModel:
    return ml.lmer(SLEEP, ml.load_dataset("sleepstudy"))


@functools.cache
def crossed() -> ml.LinearMixedModel:
    return ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))


@functools.cache
def weighted() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", frame("fixture", "sleepstudy_extra"), weights="w")


# ---- caterpillar -------------------------------------------------------------------------------------------------------


def test_caterpillar_agrees_with_lme4():
    stored = reference("plots")["caterpillar"]
    expected = pd.DataFrame(stored).set_index(["term", "grp"])
    data = random_effects_data(sleep()).set_index(["term", "grp"]).loc[expected.index]
    np.testing.assert_allclose(data["estimate"], expected["condval"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(data["std_error"], expected["condsd"], rtol=1e-6)
    np.testing.assert_allclose(data["conf_high"] - data["estimate"], 1.959963984540054 * expected["condsd"], rtol=1e-6)


def test_ranks_are_those_of_the_values():
    data = random_effects_data(sleep())
    for _, own in data.groupby("term"):
        assert own.sort_values("rank")["estimate"].is_monotonic_increasing
        assert sorted(own["rank"]) == list(range(1, 19))
    by_days = random_effects_data(sleep(), sort="Days")
    assert by_days.groupby("grp")["rank"].nunique().eq(1).all()
    assert by_days[by_days["term"] == "Days"].sort_values("rank")["estimate"].is_monotonic_increasing
    plain = random_effects_data(sleep(), sort=False)
    assert plain.loc[plain["term"] == "Days", "rank"].tolist() == list(range(1, 19))


def test_coefficients_of_levels_are_those_of_coef():
    data = random_effects_data(sleep(), kind="coef", level=0.9)
    own = data[data["term"] == "Days"].set_index("grp")
    np.testing.assert_allclose(own["estimate"], sleep().coef()["Subject"]["Days"])
    np.testing.assert_allclose(own["std_error"], sleep().coef_standard_errors()["Subject"]["Days"])
    np.testing.assert_allclose(own["conf_high"] - own["conf_low"], 2 * 1.6448536269514722 * own["std_error"])
    assert set(own["centre"]) == {sleep().fixef["Days"]}


def test_all_grouping_factors_or_one():
    data = random_effects_data(crossed())
    assert data.groupby("grpvar").size().to_dict() == {"plate": 24, "sample": 6}
    pd.testing.assert_frame_equal(data, random_effects_data(crossed(), "all"))
    assert set(random_effects_data(crossed(), "sample")["grpvar"]) == {"sample"}


def test_caterpillar_refuses_what_it_cannot_draw():
    with pytest.raises(ml.ControlError, match="no grouping factor 'batch'; it has 'plate', 'sample'"):
        random_effects_data(crossed(), "batch")
    with pytest.raises(ml.ControlError, match="no random effect 'x' to sort by"):
        random_effects_data(sleep(), sort="x")
    with pytest.raises(ml.ControlError, match="kind must be 'ranef' or 'coef'"):
        random_effects_data(sleep(), kind="modes")
    with pytest.raises(ml.ControlError, match="must lie between 0 and 1"):
        random_effects_data(sleep(), level=95)


# ---- fixed effects -----------------------------------------------------------------------------------------------------


def test_forest_shows_the_numbers_of_the_summary():
    data = fixed_effects_data(weighted(), show_intercept=True).set_index("term")
    expected = ml.model_parameters(weighted(), "fixed").fixed
    for name in ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high"):
        np.testing.assert_array_equal(data[name], expected[name])
    assert fixed_effects_data(weighted())["term"].tolist() == ["Days"]


def test_standardized_forest_shows_the_numbers_of_standardize_parameters():
    data = fixed_effects_data(sleep(), standardize="refit", ddf="residual")
    expected = ml.standardize_parameters(sleep()).to_frame().loc["Days"]
    assert data["estimate"].item() == expected["estimate"]
    assert data["conf_low"].item() == expected["conf_low"]
    # Methods that rescale have no intercept, asked for or not.
    assert fixed_effects_data(sleep(), standardize="basic", show_intercept=True)["term"].tolist() == ["Days"]


def test_terms_of_several_models_share_their_places():
    data = frame("fixture", "rat_pups")
    small = ml.lmer("weight ~ Lsize + (1 | Litter)", data)
    large = ml.lmer("weight ~ sex + Lsize + (1 | Litter)", data)
    found = fixed_effects_data({"small": small, "large": large})
    assert found[["model", "term"]].to_numpy().tolist() == [
        ["small", "Lsize"], ["large", "sexFemale"], ["large", "Lsize"],
    ]  # fmt: skip
    places = found.set_index(["model", "term"])["place"]
    assert places["small", "Lsize"] > 2 > places["large", "Lsize"] > 1.5
    assert places["large", "sexFemale"] == pytest.approx(places["large", "Lsize"] - 1)
    ordered = fixed_effects_data(large, sort=True)
    assert ordered.sort_values("place")["estimate"].is_monotonic_increasing
    chosen = fixed_effects_data(large, terms=["Lsize", "(Intercept)"])
    assert chosen.sort_values("place", ascending=False)["term"].tolist() == ["Lsize", "(Intercept)"]


def test_forest_refuses_what_it_cannot_draw():
    with pytest.raises(ml.ControlError, match="no fixed effect to draw but the intercept"):
        fixed_effects_data(crossed())
    with pytest.raises(ml.ControlError, match="no fixed effect 'Nights'; there are"):
        fixed_effects_data(sleep(), terms=["Nights"])


# ---- residuals ---------------------------------------------------------------------------------------------------------


def test_residuals_and_fitted_values():
    data = residuals_data(weighted(), kind="scaled", by="Subject")
    np.testing.assert_allclose(data["residual"], weighted().residuals("scaled"))
    np.testing.assert_allclose(data["x"], weighted().fitted())
    assert data["group"].astype(str).tolist() == ml.load_dataset("sleepstudy")["Subject"].astype(str).tolist()
    np.testing.assert_array_equal(residuals_data(sleep(), x="Days")["x"], ml.load_dataset("sleepstudy")["Days"])


def test_residuals_are_those_of_the_rows_used():
    data = ml.load_dataset("sleepstudy").copy()
    data.loc[[3, 50], "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer(SLEEP, data, na_action="exclude")
    found = residuals_data(fit, x="Days", by="Subject")
    kept = data["Reaction"].notna()
    np.testing.assert_array_equal(found["x"], data.loc[kept, "Days"])
    np.testing.assert_allclose(found["residual"], fit.residuals()[kept])
    rows = diagnostics_data(fit)
    assert rows.index.equals(data.index[kept])
    np.testing.assert_allclose(rows["fitted"], fit.fitted()[kept])
    np.testing.assert_allclose(rows["cooks_distance"], ml.cooks_distance(fit)[kept])


def test_quartiles_by_level_agree_with_r():
    found = residual_quartiles_data(sleep(), "Subject")
    columns = ["minimum", "lower", "median", "upper", "maximum"]
    np.testing.assert_allclose(found[columns], reference("plots")["quartiles"], rtol=1e-6, atol=1e-6)
    assert found["rank"].tolist() == list(range(1, 19))


def test_many_levels_are_sorted_by_their_median():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(80), 5), "y": rng.normal(size=400)})
    found = residual_quartiles_data(ml.lmer("y ~ 1 + (1 | g)", data), "g")
    assert found.sort_values("rank")["median"].is_monotonic_increasing


def test_curve_agrees_with_lowess_of_r():
    stored = reference("plots")["lowess"]
    curve = lowess_curve(sleep().fitted().to_numpy(), sleep().residuals().to_numpy())
    np.testing.assert_allclose(curve["x"], stored["x"], rtol=1e-6)
    np.testing.assert_allclose(curve["y"], stored["y"], atol=1e-7)


def test_a_curve_needs_four_values():
    assert lowess_curve(np.repeat([0.0, 1.0], 10), np.arange(20.0)).empty


def test_diagnostics_are_those_of_the_library():
    rows = diagnostics_data(weighted())
    np.testing.assert_array_equal(rows["leverage"], ml.hatvalues(weighted()))
    np.testing.assert_array_equal(rows["standardised"], ml.rstandard(weighted()))
    np.testing.assert_array_equal(rows["cooks_distance"], ml.cooks_distance(weighted()))
    np.testing.assert_array_equal(rows["residual"], weighted().residuals("pearson"))
    np.testing.assert_allclose(rows["spread"] ** 2, np.abs(ml.rstandard(weighted())))


# ---- variances and correlations ----------------------------------------------------------------------------------------


def test_correlations_of_random_and_fixed_effects():
    data = covariances_data(sleep())
    random = data[data["matrix"] == "Random effects of Subject"]
    np.testing.assert_allclose(random["correlation"].to_numpy().reshape(2, 2), sleep().varcorr().terms[0].correlation)
    fixed = data[data["matrix"] == "Estimates of the fixed effects"]
    np.testing.assert_array_equal(fixed["covariance"].to_numpy().reshape(2, 2), sleep().vcov())
    assert fixed["correlation"].iloc[1] == pytest.approx(-0.138, abs=5e-4)
    assert set(covariances_data(sleep(), "fixed")["matrix"]) == {"Estimates of the fixed effects"}


def test_uncorrelated_terms_of_a_factor_share_a_matrix():
    fit = ml.lmer("Reaction ~ Days + (Days || Subject)", ml.load_dataset("sleepstudy"))
    data = covariances_data(fit, "random")
    assert data["correlation"].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_correlations_that_are_not_there():
    with pytest.raises(ml.ControlError, match="at most one random effect for each grouping factor"):
        covariances_data(crossed(), "random")
    with pytest.raises(ml.ControlError, match="at most one fixed effect"):
        covariances_data(crossed(), "fixed")
    with pytest.raises(ml.ControlError, match="each grouping factor has one term"):
        mode_pairs_data(crossed())
    with pytest.raises(ml.ControlError, match="part must be"):
        covariances_data(sleep(), "both")


def test_a_variance_of_zero_has_no_correlation():
    fit = ml.lmer("y ~ x + (x || g)", frame("fixture", "zero_slope"))
    assert fit.is_singular
    data = covariances_data(fit, "random").set_index(["row", "column"])["correlation"]
    assert np.isnan(data["(Intercept)", "x"])
    assert np.isnan(data["x", "x"])


def test_the_ellipse_is_a_quantile_of_chi_squared():
    stored = reference("plots")
    covariance = np.asarray(stored["covariance"])
    own = sleep().varcorr()["Subject"].to_numpy()
    np.testing.assert_allclose(own, covariance, rtol=1e-6, atol=1e-6)
    corners = mode_pairs_data(sleep())[1][["x", "y"]].to_numpy()
    distance = np.einsum("ij,jk,ik->i", corners, np.linalg.inv(own), corners)
    np.testing.assert_allclose(distance, stored["ellipse_radius"] ** 2, rtol=1e-9)


def test_an_ellipse_of_a_singular_matrix_is_a_line():
    corners = ellipse(np.array([1.0, 2.0]), np.array([[1.0, 2.0], [2.0, 4.0]]), 0.5)
    np.testing.assert_allclose(corners[:, 1] - 2.0, 2.0 * (corners[:, 0] - 1.0), atol=1e-7)
    assert corners[:, 0].max() == pytest.approx(1.0 + np.sqrt(2 * np.log(2)))


def test_modes_are_paired():
    modes, _ = mode_pairs_data(sleep(), "Subject")
    np.testing.assert_array_equal(modes[["x", "y"]], sleep().ranef()["Subject"])
    assert modes["grp"].tolist() == list(sleep().ranef()["Subject"].index)


def test_variance_components_with_intervals():
    data = variance_components_data(sleep(), interval="profile", level=0.9)
    expected = sleep().confint(level=0.9)
    names = ["sd_(Intercept)|Subject", "sd_Days|Subject", "sigma"]
    np.testing.assert_allclose(data[["conf_low", "conf_high"]], expected.loc[names], rtol=1e-8)
    squares = variance_components_data(sleep(), "variance", interval=None)
    parts = sleep().varcorr().to_frame()
    np.testing.assert_allclose(squares["estimate"], parts.loc[parts["var2"].isna(), "vcov"])
    assert squares["conf_low"].isna().all()
    assert squares["term"].tolist() == ["(Intercept)", "Days", None]


def test_shares_add_up():
    data = variance_components_data(sleep(), "share")
    assert data["estimate"].sum() == pytest.approx(1.0)
    assert data["label"].tolist() == ["Fixed effects", "(Days | Subject)", "Residual"]
    np.testing.assert_allclose(data["estimate"], ml.variance_decomposition(sleep()).to_frame()["share"])
    with pytest.raises(ml.ControlError, match="scale must be one of"):
        variance_components_data(sleep(), "sdcor")


# ---- shrinkage and clusters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(3))
def test_lines_of_clusters_agree_with_r(case):
    stored = reference("plots")["own_lines"][case]
    source = "dataset" if stored["data"] == "sleepstudy" else "fixture"
    data = frame(source, stored["data"])
    response, predictor = ("distance", data["age"] - 11) if "age" in data else ("Reaction", data["Days"])
    groups = data[stored["group"]]
    levels = list(stored["levels"])
    codes = groups.astype(str).map({level: at for at, level in enumerate(levels)}).to_numpy(dtype=np.int32)
    weights = None if stored["weights"] is None else data[stored["weights"]].to_numpy()
    columns = np.column_stack([np.ones(len(data)), predictor])
    found = cluster_least_squares(codes, len(levels), columns, data[response].to_numpy(), weights)
    np.testing.assert_allclose(found, stored["coefficients"], rtol=1e-9, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans())
def test_least_squares_of_all_clusters_is_that_of_each(seed, k, with_weights):
    rng = np.random.default_rng(seed)
    n, J = 60, 7
    codes = rng.integers(0, J, n).astype(np.int32)
    columns = np.column_stack([np.ones(n), rng.normal(1000.0, 1.0, (n, k - 1))])
    y = rng.normal(size=n)
    w = rng.uniform(0.5, 2.0, n) if with_weights else None
    found = cluster_least_squares(codes, J, columns, y, w)
    for j in range(J):
        own = codes == j
        root = np.sqrt(w[own]) if w is not None else np.ones(own.sum())
        X, own_y = columns[own] * root[:, None], y[own] * root
        if own.sum() < k:
            assert np.isnan(found[j]).all()
        elif own.sum() > k:
            # The coefficients of columns far from zero are large; the fitted values are what both agree on.
            expected = np.linalg.lstsq(X, own_y, rcond=None)[0]
            np.testing.assert_allclose(X @ found[j], X @ expected, atol=1e-7)


def test_shrinkage_without_other_effects_is_that_of_lists_of_models():
    data = shrinkage_data(sleep())
    expected = np.asarray(reference("plots")["own_lines"][0]["coefficients"])
    for c, term in enumerate(["(Intercept)", "Days"]):
        own = data[data["term"] == term]
        np.testing.assert_allclose(own["no_pooling"], expected[:, c], rtol=1e-9)
        np.testing.assert_allclose(own["partial_pooling"], sleep().coef()["Subject"][term])
        assert set(own["population"]) == {sleep().fixef[term]}
    assert set(data["n"]) == {10}


def test_shrinkage_of_an_intercept_follows_its_formula():
    """With one variance component a mode is the mean of the residuals of its level times τ²/(τ² + σ²/n)."""
    fit = ml.lmer("weight ~ sex + Lsize + (1 | Litter)", frame("fixture", "rat_pups"))
    data = shrinkage_data(fit)
    tau = fit.varcorr()["Litter"].iloc[0, 0]
    factor = tau / (tau + fit.sigma**2 / data["n"])
    np.testing.assert_allclose(
        data["partial_pooling"] - data["population"], factor * (data["no_pooling"] - data["population"]), atol=1e-10
    )


def test_shrinkage_with_crossed_factors_takes_the_others_off():
    data = shrinkage_data(crossed(), "sample")
    pen = ml.load_dataset("Penicillin")
    plate = crossed().ranef()["plate"]["(Intercept)"]
    left = pen["diameter"] - plate[pen["plate"].astype(str)].to_numpy()
    expected = left.groupby(pen["sample"].astype(str)).mean()
    np.testing.assert_allclose(data.set_index("grp")["no_pooling"], expected[data["grp"]], rtol=1e-12)


def test_lines_of_data():
    data = ml.load_dataset("sleepstudy")
    points, lines = clusters_data(data, "Days", "Reaction", "Subject")
    assert len(points) == 180
    stored = np.asarray(reference("plots")["own_lines"][0]["coefficients"])
    own = lines[lines["kind"] == "separate"]
    np.testing.assert_allclose(own["y"].to_numpy().reshape(18, 2)[:, 0], stored[:, 0])
    np.testing.assert_allclose(own["y"].to_numpy().reshape(18, 2)[:, 1], stored @ [1, 9])
    whole = lines[lines["kind"] == "population"]
    slope, intercept = np.polyfit(data["Days"], data["Reaction"], 1)
    np.testing.assert_allclose(whole["y"], intercept + slope * whole["x"])


def test_lines_of_a_model_are_its_coefficients():
    _, lines = clusters_data(sleep(), "Days", lines="both")
    own = lines[lines["kind"] == "fit"]
    coefficients = sleep().coef()["Subject"].loc[own["cluster"]]
    np.testing.assert_allclose(
        own["y"], coefficients["(Intercept)"].to_numpy() + coefficients["Days"].to_numpy() * own["x"]
    )
    whole = lines[lines["kind"] == "population"]
    np.testing.assert_allclose(whole["y"], sleep().fixef["(Intercept)"] + sleep().fixef["Days"] * whole["x"])


def test_lines_of_a_weighted_model_are_weighted():
    _, lines = clusters_data(weighted(), "Days", lines="separate")
    stored = np.asarray(reference("plots")["own_lines"][1]["coefficients"])
    own = lines[lines["kind"] == "separate"]["y"].to_numpy().reshape(18, 2)
    np.testing.assert_allclose(own, stored @ [[1, 1], [0, 9]])


def test_other_predictors_are_typical_of_their_cluster():
    data = frame("fixture", "rat_pups")
    fit = ml.lmer("weight ~ sex + Lsize + Treatment + (sex | Litter)", data)
    rows = clustered_rows(fit, "Lsize", None, None)
    lines = model_lines(rows, np.ones(rows.n_clusters, dtype=bool)).set_index("cluster")
    litter = "9"
    own = data[data["Litter"].astype(str) == litter]
    typical = {
        "Lsize": [own["Lsize"].iloc[0]], "sex": [own["sex"].astype(str).mode()[0]], "Litter": [litter],
        "Treatment": [own["Treatment"].astype(str).iloc[0]],
    }  # fmt: skip
    assert lines.loc[litter, "y"] == pytest.approx(fit.predict(typical).iloc[0])


def test_nested_clusters_have_the_effects_above_them():
    data = ml.load_dataset("Pastes").assign(x=np.tile([0.0, 1.0], 30))
    fit = ml.lmer("strength ~ x + (1 | batch/cask)", data)
    rows = clustered_rows(fit, "x", None, "cask:batch")
    lines = model_lines(rows, np.ones(rows.n_clusters, dtype=bool)).groupby("cluster")["y"].first()
    expected = fit.predict({"x": [0.0, 0.0], "batch": ["A", "J"], "cask": ["a", "c"]})
    np.testing.assert_allclose(lines[["a:A", "c:J"]], expected, rtol=1e-12)


def test_crossed_clusters_have_no_effects_of_others():
    _, lines = clusters_data(ml.lmer("diameter ~ x + (1 | plate) + (1 | sample)", _with_x()), "x", cluster="sample")
    own = lines[lines["kind"] == "fit"].groupby("cluster")["y"].first()
    fit = ml.lmer("diameter ~ x + (1 | plate) + (1 | sample)", _with_x())
    expected = fit.fixef["(Intercept)"] + fit.ranef()["sample"]["(Intercept)"]
    np.testing.assert_allclose(own, expected[own.index])


def _with_x() -> pd.DataFrame:
    data = ml.load_dataset("Penicillin")
    return data.assign(x=np.arange(len(data)) // 6 % 2 * 1.0, plate=pd.factorize(data["plate"])[0])


def test_categories_have_means():
    data = frame("fixture", "machines")
    _, lines = clusters_data(data, "Machine", "score", "Worker")
    expected = data.groupby(["Worker", "Machine"], observed=True)["score"].mean()
    own = lines[lines["kind"] == "separate"]
    machines = np.array(list("ABC"))[own["x"].astype(int)]
    np.testing.assert_allclose(own["y"], expected.loc[list(zip(own["cluster"], machines, strict=True))])
    fit = ml.lmer("score ~ Machine + (Machine | Worker)", data)
    _, of_fit = clusters_data(fit, "Machine")
    row = of_fit[(of_fit["kind"] == "fit") & (of_fit["cluster"] == "3") & (of_fit["x"] == 1)]
    assert row["y"].item() == pytest.approx(fit.predict({"Machine": ["B"], "Worker": ["3"]}).iloc[0])


def test_observations_joined_are_in_order():
    data = ml.load_dataset("sleepstudy").sample(frac=1, random_state=1)
    _, lines = clusters_data(data, "Days", "Reaction", "Subject", lines="observed", population=False)
    assert lines.groupby("cluster")["x"].apply(lambda own: own.is_monotonic_increasing).all()
    assert clusters_data(data, "Days", "Reaction", "Subject", lines="none", population=False)[1].empty


def test_a_sample_of_clusters_keeps_all_their_rows():
    data = pd.DataFrame({"g": np.repeat(np.arange(500), 4), "x": np.tile(np.arange(4.0), 500)})
    data["y"] = data["x"] + data["g"]
    points, lines = clusters_data(data, "x", "y", "g", max_clusters=20)
    assert points["cluster"].nunique() == 20
    assert len(points) == 80
    assert lines.loc[lines["kind"] == "separate", "cluster"].nunique() == 20
    again, _ = clusters_data(data, "x", "y", "g", max_clusters=20)
    pd.testing.assert_frame_equal(points, again)
    # The population is that of all clusters.
    np.testing.assert_allclose(lines[lines["kind"] == "population"]["y"], [249.5, 252.5])


def test_clusters_refuse_what_they_cannot_draw():
    data = ml.load_dataset("sleepstudy")
    with pytest.raises(ml.ControlError, match="y must be given for a data frame"):
        clusters_data(data, "Days")
    with pytest.raises(ml.ControlError, match="cluster must be given"):
        clusters_data(data, "Days", "Reaction")
    with pytest.raises(ml.ControlError, match="the response of the model is 'Reaction'"):
        clusters_data(sleep(), "Days", "Reaction")
    with pytest.raises(ml.ControlError, match="lines='fit' needs a fitted model"):
        clusters_data(data, "Days", "Reaction", "Subject", lines="fit")
    with pytest.raises(ml.ControlError, match="lines must be one of"):
        clusters_data(data, "Days", "Reaction", "Subject", lines="smooth")
    with pytest.raises(ml.ControlError, match="max_clusters must be at least 1"):
        clusters_data(data, "Days", "Reaction", "Subject", max_clusters=0)
    with pytest.raises(ml.UnknownColumnError, match="did you mean 'Days'"):
        clusters_data(data, "Day", "Reaction", "Subject")
    only = ml.lmer("Reaction ~ 1 + (1 | Subject)", data)
    with pytest.raises(ml.ControlError, match="has no variable 'Days'"):
        clusters_data(only, "Days")


def test_rows_without_values_are_said():
    data = ml.load_dataset("sleepstudy").copy()
    data.loc[:4, "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning, match="5 of 180 rows are not drawn"):
        points, _ = clusters_data(data, "Days", "Reaction", "Subject")
    assert len(points) == 175


# ---- style -------------------------------------------------------------------------------------------------------------


def test_labels_are_broken_where_they_can_be():
    assert wrapped(["a_long_name:another", "x", "word"], 12) == ["a_long_name:\nanother", "x", "word"]
    assert wrapped(["antidisestablishmentarianism"], 5) == ["antidisestablishmentarianism"]


def test_samples_are_the_same_every_time():
    np.testing.assert_array_equal(sampled(10, 20), np.arange(10))
    first = sampled(1000, 10)
    np.testing.assert_array_equal(first, sampled(1000, 10))
    assert len(set(first)) == 10
    assert (np.diff(first) > 0).all()


def test_numbers_in_words():
    assert percent(0.95) == "95%"
    assert percent(0.995) == "99.5%"
    assert counted(10000) == "10,000"


# ---- what stands on axes, and where lines of the population are ---------------------------------------------------------------


def two_arms():
    random = np.random.default_rng(2)
    g = np.repeat(np.arange(9), 14)
    data = pd.DataFrame(
        {"g": [f"c{i}" for i in g], "x": random.uniform(0, 10, g.size), "arm": np.where(g % 3, "b", "a")}
    )
    data["z"] = random.normal(size=9)[g]
    data["y"] = 10 + data.x + np.where(data.arm == "b", 15, 0) + random.normal(0, 2, 9)[g] + random.normal(size=g.size)
    return data, ml.lmer("y ~ x + arm + z + (1 | g)", data)


def test_the_population_in_a_panel_is_at_the_predictors_of_its_cluster():
    data, fit = two_arms()
    picture = ml.plot_clusters(fit, "x", panels=True)
    lines = pd.concat([layer._data for layer in picture.layers if isinstance(layer._data, pd.DataFrame)])
    modes = fit.ranef()["g"]["(Intercept)"]
    for name, own in lines.groupby("cluster", observed=True):
        arm, z = data.loc[data.g == name, ["arm", "z"]].iloc[0]
        population = own[own.kind == "population"]
        expected = fit.predict(population[["x"]].assign(arm=arm, z=z), re_formula=False)
        np.testing.assert_allclose(population.y, expected)
        # the cluster's line is apart from it by the cluster's random effect
        line = own[own.kind == "fit"]
        np.testing.assert_allclose(line.y - np.interp(line.x, population.x, population.y), modes[name])
    assert "in each panel" in picture.labels.caption
    # one line for all clusters says where it is
    assert "the population's line is at arm = b" in ml.plot_clusters(fit, "x").labels.caption


def test_numbers_on_axes():
    assert axis_numbers([0.752]) == ["0.752"]
    assert axis_numbers([0.75, 1.0]) == ["0.75", "1.00"]
    assert axis_numbers([-0.5, 1e-17, 0.5]) == ["-0.5", "0.0", "0.5"]
    assert axis_numbers([1e-10, 2e-10]) == ["1e-10", "2e-10"]
    assert axis_numbers([1234567.0, 1234568.0]) == ["1234567", "1234568"]
    assert axis_numbers([]) == []
    for limits in ((0.7, 0.8), (0.7512, 0.7528), (-3.0, 40.0), (1e-9, 4e-9)):
        breaks = axis_breaks(limits, 3)
        assert len(breaks) > 1
        assert len(set(axis_numbers(breaks))) == len(breaks)


def test_a_lone_number_on_an_axis_keeps_its_decimals():
    import plotnine as p9

    data = pd.DataFrame({"x": [0.7515, 0.7525], "y": [2e-11, 3e-11]})
    picture = p9.ggplot(data, p9.aes("x", "y")) + p9.geom_point() + p9.scale_x_continuous(breaks=[0.752]) + theme()
    axes = picture.draw().axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.752"]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 1
