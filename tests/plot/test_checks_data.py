"""What the page of checks shows."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.plot.checks import collinearity_data, influence_data
from reference_cases import frame, reference


@functools.cache
def sleep() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


@functools.cache
def checks() -> ml.ModelChecks:
    return ml.check_model(sleep())


def test_variance_inflation_agrees_with_performance():
    fit = ml.lmer("y ~ x1_c * interv_label + x2 + (1 | k_id)", frame("fixture", "scenario_4"))
    stored = reference("plots")["collinearity"]
    data = collinearity_data(ml.check_collinearity(fit))
    found = data.set_index("term")["factor"]
    # The intervention has three levels.
    columns = np.array([2 if "interv_label" in term else 1 for term in stored["term"]])
    np.testing.assert_allclose(found[stored["term"]], np.array(stored["vif"]) ** (1 / columns), rtol=1e-4)
    assert data["factor"].is_monotonic_decreasing


def test_influence_agrees_with_lme4():
    stored = reference("plots")["influence"]
    data = influence_data(checks()["outliers"])
    assert data["cooks_distance"].is_monotonic_decreasing
    rows = data.sort_index()
    np.testing.assert_allclose(rows["cooks_distance"], stored["cooks_distance"], rtol=1e-4)
    np.testing.assert_allclose(rows["leverage"], stored["leverage"], rtol=1e-4)
    assert sorted(data.index[data["flagged"]]) == sorted(checks()["outliers"].table.index)


def test_quantiles_agree_with_r():
    stored = reference("plots")["quantiles"]
    data = checks()["normality of the residuals"].data
    np.testing.assert_allclose(data["theoretical"], stored["theoretical"], atol=1e-12)
    np.testing.assert_allclose(data["sample"], stored["sample"], rtol=1e-4, atol=1e-6)


def test_linearity_is_shown_against_predictions_that_are_uncorrelated_with_residuals():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(300), 2)
    x = rng.normal(size=600)
    y = x + 2.0 * rng.normal(size=300)[g] + rng.normal(size=600)
    fit = ml.lmer("y ~ x + (1 | g)", {"g": g, "x": x, "y": y})
    data = ml.check_heteroscedasticity(fit).data
    np.testing.assert_allclose(data["population"], fit.fixef["(Intercept)"] + fit.fixef["x"] * x, rtol=1e-10)
    np.testing.assert_allclose(data["standardised_residual"], ml.rstandard(fit), rtol=1e-10)
    np.testing.assert_allclose(data["root_absolute_residual"] ** 2, np.abs(ml.rstandard(fit)), rtol=1e-10)
    residual = fit.residuals()
    assert abs(np.corrcoef(data["population"], residual)[0, 1]) < 1e-6
    assert np.corrcoef(fit.fitted(), residual)[0, 1] > 0.2


def test_rows_left_out_have_no_place_in_the_picture_of_linearity():
    rows = ml.load_dataset("sleepstudy").copy()
    rows.loc[[3, 50], "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("Reaction ~ Days + (Days | Subject)", rows, na_action="exclude")
    data = ml.check_heteroscedasticity(fit).data
    kept = rows["Reaction"].notna()
    np.testing.assert_allclose(
        data["population"], fit.fixef["(Intercept)"] + fit.fixef["Days"] * rows.loc[kept, "Days"]
    )
    np.testing.assert_allclose(data["standardised_residual"], ml.rstandard(fit)[kept])


def test_densities_are_those_of_a_normal_kernel():
    data = checks()["predictions"].data
    own = data[data["replicate"] == 0]
    y = ml.load_dataset("sleepstudy")["Reaction"].to_numpy()
    width = 0.9 * min(y.std(), np.subtract(*np.quantile(y, [0.75, 0.25])) / 1.34) * len(y) ** -0.2
    expected = stats.norm.pdf(own["response"].to_numpy()[:, None], y, width).mean(axis=1)
    # The counts of a fine grid are smoothed in its place.
    np.testing.assert_allclose(own["density"], expected, atol=0.01 * expected.max())
    assert data["replicate"].nunique() == 51


def test_the_page_takes_checks_or_a_model():
    with pytest.raises(
        ml.DataTypeError, match="must be what check_model returned or a model fitted by lmer, not a DataFrame"
    ):
        ml.plot_checks(ml.load_dataset("sleepstudy"))
    empty = ml.ModelChecks("y ~ x", (checks()["collinearity"],))
    with pytest.raises(ml.ControlError, match="nothing to draw"):
        ml.plot_checks(empty)
    assert len(ml.plot_checks(checks())) == len(ml.plot_checks(sleep()))
