"""The fitted model: what it answers, and that nothing changes it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc
import small_models as sm
from multilevel import lmer

SLEEP = "Reaction ~ Days + (Days | Subject)"


# ---- it does not change ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigma", "reml", "formula", "_engine", "anything"])
def test_attributes_cannot_be_set(sleep, name):
    with pytest.raises(AttributeError):
        setattr(sleep, name, 1)


def test_parts_cannot_be_set(sleep):
    for part, name in [(sleep.convergence, "status"), (sleep.varcorr(), "sigma"), (sleep.varcorr().terms[0], "group")]:
        with pytest.raises(AttributeError):
            setattr(part, name, "x")


def test_arrays_are_read_only(sleep):
    engine = sleep._engine
    term = sleep.varcorr().terms[0]
    group = sleep.ranef(cond_var=True).groups["Subject"]
    arrays = [
        *(engine.theta, engine.beta, engine.unscaled_vcov, sleep._design.columns, sleep._fitted_values),
        *(term.covariance, term.standard_deviations, term.correlation, group.modes, group.covariances),
        *(sleep.convergence.gradient, sleep.convergence.hessian),
    ]
    for array in arrays:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


FRESH = {
    "fixef": lambda fit: fit.fixef,
    "theta": lambda fit: fit.theta,
    "standard_errors": lambda fit: fit.standard_errors,
    "ngroups": lambda fit: fit.ngroups,
    "fixed_effects": lambda fit: fit.fixed_effects(),
    "vcov": lambda fit: fit.vcov(),
    "fitted": lambda fit: fit.fitted(),
    "residuals": lambda fit: fit.residuals(),
    "ranef": lambda fit: fit.ranef()["Subject"],
    "coef": lambda fit: fit.coef()["Subject"],
    "varcorr": lambda fit: fit.varcorr()["Subject"],
    "varcorr frame": lambda fit: fit.varcorr().to_frame()["vcov"],
    "theta array": lambda fit: fit.get_me("theta"),
    "beta array": lambda fit: fit.get_me("beta"),
    "b": lambda fit: fit.get_me("b"),
    "u": lambda fit: fit.get_me("u"),
}


@pytest.mark.parametrize("what", FRESH)
def test_changing_a_result_does_not_change_the_fit(sleepstudy, what):
    fit = lmer(SLEEP, sleepstudy)
    result = FRESH[what](fit)
    before = np.array(result, dtype=float)
    if isinstance(result, np.ndarray):
        result[...] = -1.0
    else:
        result.iloc[:] = -1
    np.testing.assert_array_equal(np.array(FRESH[what](fit), dtype=float), before)
    np.testing.assert_allclose(fit.fitted(), rc.fit("sleepstudy_reml").fitted())


def test_changing_the_data_does_not_change_the_fit(sleepstudy):
    frame = sleepstudy.copy()
    weights = np.linspace(1.0, 2.0, 180)
    fit = lmer(SLEEP, frame, weights=weights, offset=weights)
    before = fit.fitted()
    frame["Reaction"] = 0.0
    frame.loc[:, "Days"] = 0
    weights[:] = 1.0
    pd.testing.assert_series_equal(fit.fitted(), before)
    np.testing.assert_allclose(fit.get_me("weights"), np.linspace(1.0, 2.0, 180))
    np.testing.assert_allclose(fit.residuals() + fit.fitted(), ml.load_dataset("sleepstudy")["Reaction"])


# ---- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [lambda fit: pickle.loads(pickle.dumps(fit)), copy.deepcopy, copy.copy])
def test_copies(any_fit, duplicate):
    twin = duplicate(any_fit)
    pd.testing.assert_series_equal(twin.fixef, any_fit.fixef)
    pd.testing.assert_series_equal(twin.theta, any_fit.theta)
    pd.testing.assert_series_equal(twin.fitted(), any_fit.fitted())
    pd.testing.assert_frame_equal(twin.vcov(), any_fit.vcov())
    pd.testing.assert_frame_equal(
        twin.ranef(cond_var=True).to_frame(), any_fit.ranef(cond_var=True).to_frame(), check_exact=False, rtol=1e-12
    )
    assert str(twin.formula) == str(any_fit.formula)
    assert twin.convergence.status == any_fit.convergence.status
    assert twin.convergence.smallest_hessian_eigenvalue == pytest.approx(
        any_fit.convergence.smallest_hessian_eigenvalue
    )
    again = twin.refit(any_fit.get_me("y"))
    assert again._engine.criterion == pytest.approx(any_fit._engine.criterion, rel=1e-12)


def test_a_pickled_fit_can_be_updated(sleepstudy):
    fit = pickle.loads(pickle.dumps(lmer(SLEEP, sleepstudy, weights=np.ones(180))))
    assert list(fit.update(". ~ . - Days").fixef.index) == ["(Intercept)"]


# ---- new fits ----------------------------------------------------------------------------------------------------------


def test_refit_is_a_fresh_fit(any_fit):
    rng = np.random.default_rng(5)
    response = any_fit.fitted().to_numpy() + any_fit.sigma * rng.normal(size=any_fit.nobs)
    found = any_fit.refit(response)
    from multilevel.engine.fit import fit_products
    from multilevel.engine.products import cross_products_of

    fresh = fit_products(cross_products_of(sm.with_response(any_fit._design, response)), any_fit.reml, any_fit._control)
    assert found._engine.criterion == pytest.approx(fresh.criterion, rel=1e-12)
    np.testing.assert_allclose(found.theta, fresh.theta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.fixef, fresh.beta, rtol=1e-8)
    assert found.sigma == pytest.approx(fresh.sigma, rel=1e-9)
    np.testing.assert_array_equal(found.get_me("y"), response)
    assert found.reml is any_fit.reml


def test_refit_takes_a_series_and_a_list(sleep, sleepstudy):
    doubled = 2.0 * sleepstudy["Reaction"]
    for response in (doubled, list(doubled), doubled.to_numpy()):
        fit = sleep.refit(response)
        np.testing.assert_allclose(fit.fixef, 2.0 * sleep.fixef, rtol=1e-7)
        assert fit.sigma == pytest.approx(2.0 * sleep.sigma, rel=1e-6)


def test_refit_checks_the_response(sleep):
    with pytest.raises(ml.DataError, match="180"):
        sleep.refit(np.ones(7))
    with pytest.raises(ml.DataError, match="180"):
        sleep.refit(np.ones((180, 1)))
    bad = np.ones(180)
    bad[4] = np.nan
    with pytest.raises(ml.DataError, match="not finite"):
        sleep.refit(bad)


def test_update_the_formula(sleepstudy):
    fit = lmer("Reaction ~ 1 + (1 | Subject)", sleepstudy)
    larger = fit.update(". ~ . + Days")
    assert list(larger.fixef.index) == ["(Intercept)", "Days"]
    assert larger.reml_criterion == pytest.approx(rc.cases()["sleepstudy_intercept_reml"]["criterion"], rel=1e-9)
    assert list(fit.fixef.index) == ["(Intercept)"]
    logged = fit.update("log(.) ~ .")
    assert logged.get_me("y")[0] == pytest.approx(np.log(sleepstudy["Reaction"].iloc[0]))
    other = larger.update(". ~ . - (1 | Subject) + (Days | Subject)")
    assert other.reml_criterion == pytest.approx(rc.cases()["sleepstudy_reml"]["criterion"], rel=1e-9)


def test_update_the_criterion_and_the_data(sleep, sleepstudy):
    other = sleep.update(reml=False)
    assert not other.reml
    assert other.deviance == pytest.approx(rc.cases()["sleepstudy_ml"]["criterion"], rel=1e-9)
    part = sleepstudy[sleepstudy["Days"] > 1]
    fit = sleep.update(data=part, reml=False)
    assert fit.nobs == len(part)
    expected = lmer(SLEEP, part, reml=False)
    assert fit.deviance == pytest.approx(expected.deviance, rel=1e-12)
    assert sleep.update().reml_criterion == pytest.approx(sleep.reml_criterion, rel=1e-12)


def test_update_keeps_and_changes_arguments(sleepstudy):
    weights = np.linspace(0.5, 2.0, 180)
    fit = lmer(SLEEP, sleepstudy, weights=weights, control=ml.LmerControl(tolerance=1e-9))
    np.testing.assert_array_equal(fit.update(reml=False).get_me("weights"), weights)
    assert fit.update(reml=False)._control.tolerance == 1e-9
    plain = fit.update(weights=None, control=None)
    assert plain.reml_criterion == pytest.approx(rc.cases()["sleepstudy_reml"]["criterion"], rel=1e-9)


# ---- criteria ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sleepstudy_reml", "sleepstudy_ml", "penicillin_reml", "nested_crossed_ml"])
def test_both_criteria_of_either_fit(name):
    fit = rc.fit(name)
    design, plan = fit._design, fit._engine.products.plan
    for reml, value in ((True, fit.reml_criterion), (False, fit.deviance)):
        expected = sm.dense(design, plan, fit.get_me("theta"), reml)
        assert value == pytest.approx(expected.value, rel=1e-10)
    assert fit.loglik == pytest.approx(-0.5 * (fit.reml_criterion if fit.reml else fit.deviance), rel=1e-14)


def test_criteria_as_r_gives_them():
    # -2 * logLik(refitML) is lower; these are deviance(fit, REML = FALSE) and REMLcrit at the other fit's theta.
    reml, maximum = rc.fit("sleepstudy_reml"), rc.fit("sleepstudy_ml")
    assert reml.reml_criterion == pytest.approx(1743.628271958, rel=1e-10)
    assert maximum.deviance == pytest.approx(1751.939344464, rel=1e-10)
    assert reml.deviance > maximum.deviance
    assert maximum.reml_criterion > reml.reml_criterion
    assert reml.deviance == pytest.approx(1751.98585317969, rel=1e-8)
    assert maximum.reml_criterion == pytest.approx(1743.67373330612, rel=1e-8)


# ---- matrices ----------------------------------------------------------------------------------------------------------


def test_matrices_fit_together(any_fit):
    fit = any_fit
    X, Z, beta, b, y = (fit.get_me(name) for name in ("X", "Z", "beta", "b", "y"))
    q = sum(term.factor.n_levels * len(term.names) for term in fit._terms)
    assert X.shape == (fit.nobs, len(fit.fixef))
    assert Z.shape == (fit.nobs, q)
    fitted = X @ beta + Z @ b + fit.get_me("offset")
    scale = float(np.abs(y).max())
    np.testing.assert_allclose(fitted, fit.fitted(), rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(y - fitted, fit.residuals(), rtol=0, atol=1e-9 * scale)
    lam, u = fit.get_me("Lambda"), fit.get_me("u")
    assert lam.shape == (q, q)
    np.testing.assert_allclose(lam @ u, b, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose((fit.get_me("Zt") - Z.T).data, 0.0)
    np.testing.assert_allclose((fit.get_me("Lambdat") - lam.T).data, 0.0)
    assert (fit.random_design() != Z).nnz == 0
    # The penalized normal equations hold.
    weights = fit.get_me("weights")
    residual = weights * (y - fitted)
    unit = float(np.abs(weights * y).sum())
    np.testing.assert_allclose(lam.T @ (Z.T @ residual) - u, 0.0, atol=1e-8 * unit)
    np.testing.assert_allclose(X.T @ residual / np.abs(X).max(axis=0), 0.0, atol=1e-9 * unit)
    parts = fit.get_me("devcomp")
    assert parts["pwrss"] == pytest.approx(float((weights * (y - fitted) ** 2).sum() + u @ u), rel=1e-6)


def test_criterion_from_its_parts(any_fit):
    parts = any_fit.get_me("devcomp")
    df = parts["n"] - (parts["p"] if any_fit.reml else 0)
    value = parts["ldL2"] + df * (1.0 + np.log(2.0 * np.pi * parts["pwrss"] / df))
    value -= float(np.log(any_fit.get_me("weights")).sum())
    if any_fit.reml:
        value += parts["ldRX2"]
    assert value == pytest.approx(parts["REML" if any_fit.reml else "dev"], rel=1e-10)
    assert parts["pwrss"] == pytest.approx(df * any_fit.sigma**2, rel=1e-10)


def test_other_components(sleep, sleepstudy):
    np.testing.assert_array_equal(sleep.get_me("y"), sleepstudy["Reaction"])
    assert sleep.get_me("sigma") == sleep.sigma
    assert sleep.get_me("n_rtrms") == 1
    assert sleep.get_me("cnms") == [("Subject", ("(Intercept)", "Days"))]
    codes, levels = sleep.get_me("flist")["Subject"]
    assert np.array(levels)[codes].tolist() == sleepstudy["Subject"].astype(str).tolist()
    np.testing.assert_array_equal(sleep.get_me("theta"), sleep.theta)
    np.testing.assert_array_equal(sleep.get_me("beta"), sleep.fixef)
    with pytest.raises(ml.ControlError, match="Zt"):
        sleep.get_me("Ztt")


# ---- random effects ----------------------------------------------------------------------------------------------------


def test_variance_components_frame():
    frame = rc.fit("sleepstudy_reml").varcorr().to_frame()
    assert list(frame.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert frame["grp"].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert frame["var1"].tolist()[:3] == ["(Intercept)", "Days", "(Intercept)"]
    assert frame["var2"].tolist()[2] == "Days"
    assert frame["var2"].isna().tolist() == [True, True, False, True]
    np.testing.assert_allclose(frame["sdcor"], [24.74066, 5.922138, 0.06555124, 25.5918], rtol=1e-5)
    np.testing.assert_allclose(frame["vcov"], [612.1002, 35.07171, 9.604409, 654.94], rtol=5e-5)


def test_variance_components_of_uncorrelated_terms():
    found = rc.fit("sleepstudy_uncorrelated_reml").varcorr()
    assert len(found) == 2
    frame = found.to_frame()
    assert frame["var1"].tolist()[:2] == ["(Intercept)", "Days"]
    assert frame["var2"].isna().all()
    matrix = found["Subject"]
    assert matrix.loc["(Intercept)", "Days"] == 0.0
    np.testing.assert_allclose(np.sqrt(np.diag(matrix)), [25.05134, 5.988173], rtol=1e-5)
    with pytest.raises(KeyError, match="Subject"):
        found["subject"]


def test_correlations_without_variance_are_nan():
    term = rc.fit("oats_slope_reml").varcorr().terms[0]
    assert term.correlated
    np.testing.assert_array_equal(np.diag(term.correlation), 1.0)
    zero = lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2")).varcorr().terms[0]
    np.testing.assert_array_equal(zero.correlation, [[1.0]])
    assert not zero.correlated


def test_random_effects_mapping(sleep):
    effects = sleep.ranef()
    assert list(effects) == ["Subject"]
    assert len(effects) == 1
    assert effects["Subject"].index.name == "Subject"
    assert "Subject" in repr(effects)
    with pytest.raises(KeyError, match="Subject"):
        effects["subject"]
    with pytest.raises(KeyError, match="cond_var"):
        effects.conditional_variances("Subject")
    frame = effects.to_frame()
    assert list(frame.columns) == ["grpvar", "term", "grp", "condval", "condsd"]
    assert frame["condsd"].isna().all()
    assert len(frame) == 36


def test_random_effects_frame_with_deviations():
    effects = rc.fit("nested_vector_reml").ranef(cond_var=True)
    frame = effects.to_frame()
    assert frame["grpvar"].unique().tolist() == ["class:school", "school"]
    for group in effects:
        variances = effects.conditional_variances(group)
        for c, name in enumerate(effects[group].columns):
            own = frame[(frame["grpvar"] == group) & (frame["term"] == name)]
            np.testing.assert_array_equal(own["condval"], effects[group][name])
            np.testing.assert_allclose(own["condsd"], np.sqrt(variances[:, c, c]))


def test_conditional_covariances_against_dense_algebra():
    for name in ("sleepstudy_reml", "sleepstudy_uncorrelated_ml", "penicillin_reml", "nested_crossed_reml"):
        fit = rc.fit(name)
        expected = sm.dense(fit._design, fit._engine.products.plan, fit.get_me("theta"), fit.reml)
        effects = fit.ranef(cond_var=True)
        at = dict.fromkeys(effects, 0)
        for term, covariances in zip(fit._terms, expected.relative_covariances, strict=True):
            group = term.factor.name
            own = slice(at[group], at[group] + len(term.names))
            at[group] = own.stop
            np.testing.assert_allclose(
                effects.conditional_variances(group)[:, own, own], fit.sigma**2 * covariances, rtol=1e-7, atol=1e-9
            )


def test_conditional_covariances_between_terms_of_one_factor():
    # Written as one diagonal structure or as two terms, the levels' effects are correlated given the data.
    fit = rc.fit("sleepstudy_uncorrelated_reml")
    variances = fit.ranef(cond_var=True).conditional_variances("Subject")
    design, theta, n = fit._design, fit.get_me("theta"), fit.nobs
    z = design.columns[:10, :2]
    inverse = np.linalg.inv(np.diag(theta**-2.0) + z.T @ z)
    assert n == 180
    np.testing.assert_allclose(variances[0], fit.sigma**2 * inverse, rtol=1e-7)


def test_coefficients_of_every_level(sleep):
    coefficients = sleep.coef()["Subject"]
    effects = sleep.ranef()["Subject"]
    assert list(coefficients.columns) == ["(Intercept)", "Days"]
    for name in coefficients:
        np.testing.assert_allclose(coefficients[name], effects[name] + sleep.fixef[name])


def test_coefficients_of_columns_without_a_fixed_effect():
    # recipe's levels have no fixed effect of their own names, and temp has no random one.
    fit = rc.fit("cake_recipe_cells_reml")
    table = fit.coef()["replicate"]
    effects = fit.ranef()["replicate"]
    assert list(table.columns) == [*fit.fixef.index, *(c for c in effects.columns if c not in fit.fixef.index)]
    np.testing.assert_allclose(table["recipeA"], effects["recipeA"])
    np.testing.assert_allclose(table["(Intercept)"], fit.fixef["(Intercept)"])
    np.testing.assert_allclose(table["recipeB"], fit.fixef["recipeB"] + effects["recipeB"])


# ---- rows --------------------------------------------------------------------------------------------------------------


def test_residual_kinds():
    fit = rc.fit("weights_and_offset_reml")
    weights = rc.frame("fixture", "sleepstudy_extra")["w_fraction"]
    response = fit.residuals()
    np.testing.assert_allclose(response + fit.fitted(), fit.get_me("y"))
    np.testing.assert_allclose(fit.residuals("pearson"), response * np.sqrt(weights))
    np.testing.assert_allclose(fit.residuals("scaled"), response * np.sqrt(weights) / fit.sigma)
    with pytest.raises(ml.ControlError, match="pearson"):
        fit.residuals("deviance")


def test_rows_keep_the_index(sleepstudy):
    labels = pd.Index([f"row {i}" for i in range(180)], name="who")
    fit = lmer(SLEEP, sleepstudy.set_index(labels))
    for series in (fit.fitted(), fit.residuals()):
        assert list(series.index) == list(labels)


def test_fixed_effects_with_dropped_columns():
    fit = rc.fit("rank_deficient_first_reml")
    assert fit.dropped_columns == ("Days",)
    assert list(fit.fixed_effects().index) == ["(Intercept)", "Days2", "Days3"]
    assert fit.fixed_effects(add_dropped=True).isna().tolist() == [False, False, False, True]


def test_tolerance_of_singularity(sleep):
    assert not sleep.singular()
    assert sleep.singular(tolerance=100.0)
    assert rc.fit("dyestuff2_reml").singular(tolerance=1e-12)
