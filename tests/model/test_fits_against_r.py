"""Every stored fit of R's lme4 and lmerTest, quantity by quantity.

A search that ends within 1e-10 of the lowest criterion leaves each parameter within about 1e-5 of its standard error; the
tolerances below are of that order.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc

CASES = rc.cases()

# lme4 compares an element of theta in units of a millionth with a fixed tolerance and calls these fits singular.
# They are not (`bad_scale_twin` is the same model in better units, and lme4 does not call that one singular).
FALSE_ALARMS = {"bad_scale_reml", "bad_scale_ml"}

every_case = pytest.mark.parametrize("name", CASES)


def values(stored: dict[str, float]) -> np.ndarray:
    return np.array(list(stored.values()), dtype=float)


def random_scale(case) -> dict[str, np.ndarray]:
    """Return the standard deviations of each grouping factor's columns: the unit its modes are compared in."""
    found: dict[str, list[float]] = {}
    for term in case["varcorr"]:
        found.setdefault(term["group"], []).extend(term["sd"])
    return {group: np.array(sd) for group, sd in found.items()}


def test_no_case_is_missing():
    assert len(CASES) == 118
    assert {case["case"] + ("_reml" if case["reml"] else "_ml") for case in CASES.values()} == set(CASES)


# ---- names and counts --------------------------------------------------------------------------------------------------


@every_case
def test_names_and_counts(name):
    case, fit = CASES[name], rc.fit(name)
    assert list(fit.fixef.index) == list(case["fixef"])
    assert list(fit.standard_errors.index) == list(case["se"])
    assert list(fit.theta.index) == list(case["theta"])
    assert list(fit.dropped_columns) == case["dropped"]
    assert fit.nobs == case["nobs"]
    assert fit.ngroups.to_dict() == case["ngrps"]
    assert list(fit.ngroups.index) == list(case["ngrps"])
    assert fit.n_parameters == case["npar"]
    assert fit.df_residual == case["df_residual"]
    assert fit.reml is case["reml"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["dropped"]])
def test_dropped_columns_are_announced(name):
    case = CASES[name]
    with pytest.warns(ml.RankDeficiencyWarning, match=", ".join(case["dropped"])):
        fit = ml.lmer(case["formula"], rc.frame(case["source"], case["data"]), reml=case["reml"])
    whole = fit.fixed_effects(add_dropped=True)
    assert list(whole.index) == [*case["fixef"], *case["dropped"]]
    assert whole[case["dropped"]].isna().all()
    pd.testing.assert_series_equal(whole[: len(case["fixef"])], fit.fixef)


# ---- criterion ---------------------------------------------------------------------------------------------------------


@every_case
def test_criterion(name):
    # 1e-6 is promised.
    case, fit = CASES[name], rc.fit(name)
    criterion = fit.reml_criterion if fit.reml else fit.deviance
    assert criterion == pytest.approx(case["criterion"], rel=1e-9)
    assert fit.loglik == pytest.approx(case["loglik"], rel=1e-9)
    assert fit.aic == pytest.approx(case["aic"], rel=1e-9)
    assert fit.bic == pytest.approx(case["bic"], rel=1e-9)


@every_case
def test_convergence(name):
    case, fit = CASES[name], rc.fit(name)
    singular = case["singular"] and name not in FALSE_ALARMS
    assert fit.is_singular is singular
    assert fit.singular() is singular
    assert fit.convergence.status == ("singular" if singular else "converged")
    assert fit.convergence.converged
    assert fit.convergence.optimizer == "newton"
    assert fit.convergence.expected_decrease <= 1e-6
    assert fit.convergence.trace[-1] == pytest.approx(fit._engine.criterion, rel=1e-13)


@pytest.mark.parametrize("name", sorted(FALSE_ALARMS))
def test_scale_does_not_make_a_fit_singular(name):
    assert CASES[name]["singular"]
    assert not CASES[name.replace("bad_scale", "bad_scale_twin")]["singular"]
    assert not rc.fit(name).is_singular


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["nobs"] < 10_000])
def test_the_exact_hessian_is_not_negative(name):
    convergence = rc.fit(name).convergence
    largest = float(np.linalg.eigvalsh(convergence.hessian)[-1])
    assert convergence.smallest_hessian_eigenvalue >= -1e-8 * max(1.0, largest)


# ---- estimates ---------------------------------------------------------------------------------------------------------


@every_case
def test_fixed_effects(name):
    case, fit = CASES[name], rc.fit(name)
    se = values(case["se"])
    np.testing.assert_array_less(np.abs(fit.fixef.to_numpy() - values(case["fixef"])), 1e-5 * se)
    np.testing.assert_allclose(fit.standard_errors, se, rtol=1e-5)
    vcov = fit.vcov()
    assert list(vcov.index) == list(vcov.columns) == list(case["fixef"])
    np.testing.assert_allclose(vcov / np.outer(se, se), case["correlation"]["values"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(vcov / np.outer(se, se), case["vcov"]["values"] / np.outer(se, se), rtol=0, atol=2e-5)


@every_case
def test_theta_and_sigma(name):
    case, fit = CASES[name], rc.fit(name)
    assert case["theta_is_unique"]
    assert fit.sigma == pytest.approx(case["sigma"], rel=1e-6)
    # Each element in units of its row's standard deviation, so that a slope per 1e6 units is held to the same.
    theta, expected = fit.theta.to_numpy(), values(case["theta"])
    sizes = [(term, len(term["sd"])) for term in case["varcorr"]]
    unit = np.concatenate([np.array(term["sd"])[np.triu_indices(k)[1]] for term, k in sizes]) / case["sigma"]
    np.testing.assert_array_less(np.abs(theta - expected), 5e-5 * unit + 1e-12)


@every_case
def test_variance_components(name):
    case, fit = CASES[name], rc.fit(name)
    found = fit.varcorr()
    assert [(term.group, list(term.names)) for term in found] == [(t["group"], t["names"]) for t in case["varcorr"]]
    assert found.sigma == fit.sigma
    for term, expected in zip(found, case["varcorr"], strict=True):
        sd = np.array(expected["sd"], dtype=float)
        unit = np.where(sd > 0, sd, 1.0)
        np.testing.assert_allclose(term.standard_deviations / unit, sd / unit, rtol=0, atol=5e-5)
        np.testing.assert_allclose(
            term.covariance / np.outer(unit, unit), np.array(expected["covariance"]) / np.outer(unit, unit), atol=1e-4
        )
        if (sd > 0).all():
            np.testing.assert_allclose(term.correlation, np.array(expected["correlation"], dtype=float), atol=1e-4)


@every_case
def test_variances_of_zero_are_exactly_zero(name):
    case, fit = CASES[name], rc.fit(name)
    for term, expected in zip(fit.varcorr(), case["varcorr"], strict=True):
        zero = np.array(expected["sd"]) == 0.0
        np.testing.assert_array_equal(term.standard_deviations == 0.0, zero)
        assert (term.covariance[zero] == 0.0).all()
        assert (term.covariance[:, zero] == 0.0).all()


@pytest.mark.parametrize("name", ["dyestuff2_reml", "dyestuff2_ml"])
def test_dyestuff2_has_no_variance_between_batches(name):
    fit = rc.fit(name)
    assert fit.theta.to_dict() == {"Batch.(Intercept)": 0.0}
    assert fit.varcorr().terms[0].standard_deviations[0] == 0.0
    assert (fit.ranef()["Batch"].to_numpy() == 0.0).all()
    assert (fit.ranef(cond_var=True).conditional_variances("Batch") == 0.0).all()


# ---- random effects ----------------------------------------------------------------------------------------------------


@every_case
def test_random_effects(name):
    case, fit = CASES[name], rc.fit(name)
    found = fit.ranef(cond_var=True)
    assert list(found) == list(case["ranef"])
    scales = random_scale(case)
    for group, expected in case["ranef"].items():
        table = found[group]
        shown = len(expected["levels"])
        assert len(table) == expected["n_levels"]
        assert list(found.groups[group].levels[:shown]) == expected["levels"]
        assert list(table.columns) == expected["columns"]
        unit = np.where(scales[group] > 0, scales[group], 1.0)
        np.testing.assert_allclose(table[:shown] / unit, np.array(expected["values"]) / unit, rtol=0, atol=5e-5)
        squares = (table.to_numpy() ** 2).sum(axis=0)
        np.testing.assert_allclose(squares, expected["sum_of_squares"], rtol=1e-4, atol=1e-12)
        variances = found.conditional_variances(group)
        assert variances.shape == (len(table), len(unit), len(unit))
        at = 0
        for block in expected["cond_var"]:
            stored = np.array(block, dtype=float)
            own = slice(at, at + stored.shape[1])
            at = own.stop
            units = np.outer(unit[own], unit[own])
            np.testing.assert_allclose(variances[:shown, own, own] / units, stored / units, rtol=0, atol=5e-5)
        assert at == len(unit)


# ---- rows --------------------------------------------------------------------------------------------------------------


@every_case
def test_rows(name):
    case, fit = CASES[name], rc.fit(name)
    sigma = case["sigma"]
    np.testing.assert_allclose(fit.fitted()[:10] / sigma, np.array(case["fitted"]) / sigma, rtol=1e-9, atol=2e-5)
    np.testing.assert_allclose(fit.residuals()[:10] / sigma, np.array(case["residuals"]) / sigma, rtol=0, atol=2e-5)
    scaled = fit.residuals("scaled")
    np.testing.assert_allclose(scaled[:10], case["scaled_residuals"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(
        np.quantile(scaled, [0, 0.25, 0.5, 0.75, 1]), case["scaled_residual_quantiles"], rtol=0, atol=2e-5
    )


# ---- tests -------------------------------------------------------------------------------------------------------------


@every_case
def test_satterthwaite(name):
    # 1e-3 is promised.
    case, fit, model = CASES[name], rc.fit(name), rc.satterthwaite(name)
    expected = case["satterthwaite"]
    assert list(expected["df"]) == list(fit.fixef.index)
    df = [model.degrees_of_freedom(row) for row in np.eye(len(fit.fixef))]
    np.testing.assert_allclose(df, values(expected["df"]), rtol=1e-4)
    np.testing.assert_allclose(fit.fixef / fit.standard_errors, values(expected["t"]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.vcov, fit.vcov(), rtol=1e-12)
