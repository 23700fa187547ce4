"""What pictures of profiles, of power, of explained variance and of two models show."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import multilevel as ml
from multilevel.plot.comparisons import comparison_data
from multilevel.plot.explained_variance import explained_variance_data
from multilevel.plot.power_curves import power_data
from multilevel.plot.profiles import contour_data, interval_data, zeta_data
from reference_cases import frame, reference


@functools.cache
def dyestuff() -> ml.Profile:
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    return ml.profile(fit, level=0.999)


@functools.cache
def sleep() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


# ---- profiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(3))
def test_zeta_agrees_with_lme4(case):
    stored = reference("plots")["zeta"]
    name = stored["parameter"][case]
    data = zeta_data(dyestuff(), name)
    assert len(data) == 201
    found = np.interp(stored["value"][case], data["value"], data["zeta"])
    # Both interpolate between points of their own, two hundred here in straight lines.
    np.testing.assert_allclose(found, stored["zeta"][case], atol=2e-3)


def test_the_density_is_the_derivative_of_the_normal_distribution_of_zeta():
    for _, own in zeta_data(dyestuff()).groupby("parameter"):
        step = np.diff(own["value"])
        middle = 0.5 * (own["density"].to_numpy()[1:] + own["density"].to_numpy()[:-1])
        np.testing.assert_allclose(middle * step, np.diff(stats.norm.cdf(own["zeta"])), atol=2e-4)


def test_ends_of_intervals_agree_with_lme4():
    stored = reference("plots")["profile_ends"]
    data = interval_data(dyestuff(), levels=stored["level"]).set_index(["parameter", "level", "side"])
    for level, ends in zip(stored["level"], stored["ends"], strict=True):
        z = stats.norm.ppf(0.5 + level / 2)
        for name, (low, high) in zip(stored["parameter"], ends, strict=True):
            for side, value, sign in (("conf_low", low, -1), ("conf_high", high, 1)):
                row = data.loc[(name, level, side)]
                # Both read the ends off curves through points.
                assert row["value"] == pytest.approx(value, rel=2e-3)
                assert row["zeta"] == pytest.approx(sign * z)


def test_levels_out_of_reach_have_no_ends():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    data = interval_data(ml.profile(fit, level=0.9), "sigma", levels=[0.5, 0.99999])
    assert set(data["level"]) == {0.5}


def _rise(parameters: np.ndarray, names: list[str]) -> np.ndarray:
    """Return the deviance of a balanced one-way layout, less its minimum, from sums of squares; the mean is at its estimate."""
    data = ml.load_dataset("Dyestuff")
    groups = data.groupby("Batch", observed=True)["Yield"]
    n = 5
    within = ((data["Yield"] - groups.transform("mean")) ** 2).sum()
    between = n * ((groups.mean() - data["Yield"].mean()) ** 2).sum()

    def deviance(deviation, sigma):
        total = sigma**2 + n * deviation**2
        return 24 * np.log(sigma**2) + 6 * np.log(total) + within / sigma**2 + between / total

    best = deviance(np.sqrt((between / 6 - within / 24) / n), np.sqrt(within / 24))
    found = {name: parameters[:, at] for at, name in enumerate(names)}
    return deviance(found["sd_(Intercept)|Batch"], found["sigma"]) - best


def test_ends_of_intervals_are_where_the_likelihood_says():
    names = ["sd_(Intercept)|Batch", "sigma"]
    data = interval_data(dyestuff(), names, levels=[0.5, 0.9])
    for row in data.itertuples():
        own = names.index(row.parameter)

        def rise(other: float, own: int = own, value: float = row.value) -> float:
            return float(_rise(np.array([[value, other] if own == 0 else [other, value]]), names)[0])

        least = optimize.minimize_scalar(rise, bounds=(5.0, 200.0), method="bounded", options={"xatol": 1e-8}).fun
        # The curve is exact at the points of the profile and interpolated between them.
        assert least == pytest.approx(stats.chi2.ppf(row.level, 1), rel=1e-3)


def test_contours_follow_the_likelihood():
    names = ["sd_(Intercept)|Batch", "sigma"]
    data = contour_data(dyestuff(), names, levels=[0.5, 0.8])
    for level, own in data[data["x_parameter"] == names[0]].groupby("level"):
        rise = _rise(own[["x", "y"]].to_numpy(), names)
        # Only where a contour touches the traces is it exact; between them it is interpolated.
        np.testing.assert_allclose(rise, stats.chi2.ppf(level, 2), rtol=0.1)
        for end in (own["x"].idxmin(), own["x"].idxmax(), own["y"].idxmax()):
            touch = _rise(own.loc[[end], ["x", "y"]].to_numpy(), names)[0]
            assert touch == pytest.approx(stats.chi2.ppf(level, 2), rel=0.03)


def test_contours_on_the_scale_of_zeta_are_within_their_square():
    data = contour_data(dyestuff(), levels=[0.5, 0.9], scale="zeta")
    for (_, _, level), own in data.groupby(["x_parameter", "y_parameter", "level"]):
        size = np.sqrt(stats.chi2.ppf(level, 2))
        assert own[["x", "y"]].abs().max().max() == pytest.approx(size, rel=2e-3)
        np.testing.assert_allclose(own[["x", "y"]].iloc[0], own[["x", "y"]].iloc[-1], atol=1e-9)


def test_contours_refuse_what_they_cannot_draw():
    with pytest.raises(ml.ControlError, match="name two parameters or more"):
        contour_data(dyestuff(), "sigma")
    with pytest.raises(ml.ControlError, match="no profile of 'theta'; there are"):
        zeta_data(dyestuff(), "theta")


# ---- power -------------------------------------------------------------------------------------------------------------


def test_power_curves_have_the_numbers_of_the_simulation():
    curve = ml.power_curve(
        sleep(), {"Subject": [4, 8], "sigma": [20.0, 30.0]}, test="Days", effects={"Days": 8}, n=20, rng=1
    )
    data, expected = power_data(curve), curve.to_frame()
    np.testing.assert_array_equal(data["x"], expected["Subject"])
    assert data["series"].astype(str).tolist() == [f"sigma = {value}" for value in expected["sigma"]]
    for name in ("power", "conf_low", "conf_high"):
        np.testing.assert_array_equal(data[name], expected[name])
    assert list(data["panel"].cat.categories) == [""]


# ---- explained variance ------------------------------------------------------------------------------------------------


def test_shares_of_variance_agree_with_performance():
    stored = reference("plots")["explained"]
    data = explained_variance_data(sleep()).set_index("part")["share"]
    assert data["fixed effects"] == pytest.approx(stored["marginal"], rel=1e-4)
    assert data["fixed effects"] + data["random effects"] == pytest.approx(stored["conditional"], rel=1e-4)
    assert data.sum() == pytest.approx(1.0)


def test_shares_by_rights_and_sterba_are_those_of_r2_and_add_up():
    empty = sleep().update(". ~ 1 + (1 | Subject)")
    data = explained_variance_data({"empty": empty, "Days": sleep()}, "rights-sterba")
    sums = data.groupby(["model", "variance"], observed=True)["share"].sum()
    np.testing.assert_allclose(sums, 1.0)
    found = data[(data["model"] == "Days") & (data["variance"] == "total")].set_index("part")["share"]
    expected = ml.r2(sleep(), "rights-sterba").to_frame()["total"]
    assert found["fixed effects, within"] == expected["f1"]
    assert found["cluster means"] == expected["m"]


# ---- two models --------------------------------------------------------------------------------------------------------


def test_clusters_without_and_with_a_predictor_agree_with_lme4():
    rows = frame("fixture", "orthodont")
    before = ml.lmer("distance ~ age + (1 | Subject)", rows)
    data = comparison_data(before, before.update(". ~ . + Sex"))
    assert list(data["model"].cat.categories) == ["without Sex", "with Sex"]
    for model, stored in zip(data["model"].cat.categories, reference("plots")["comparison"], strict=True):
        own = data[data["model"] == model].set_index("grp").loc[stored["grp"]]
        np.testing.assert_allclose(own["estimate"], stored["condval"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(own["std_error"], stored["condsd"], rtol=1e-4)
        np.testing.assert_allclose(own["sd"], stored["sd"], rtol=1e-4)
    first = data[data["model"] == "without Sex"].sort_values("rank")
    assert first["estimate"].is_monotonic_increasing
    wide = data.pivot_table(index="grp", columns="model", values="rank", observed=True)
    pd.testing.assert_series_equal(wide["without Sex"], wide["with Sex"], check_names=False)


def test_models_of_other_data_are_refused():
    rows = frame("fixture", "orthodont")
    fit = ml.lmer("distance ~ age + (1 | Subject)", rows)
    fewer = rows[rows["Subject"].astype(str) != str(rows["Subject"].iloc[0])]
    with pytest.raises(ml.DataError, match="levels of 'Subject' differ"):
        comparison_data(fit, ml.lmer("distance ~ age + (1 | Subject)", fewer))
    with pytest.raises(ml.ControlError, match="do not share a grouping factor"):
        comparison_data(fit, sleep().update("Reaction ~ Days + (1 | Days)"))
