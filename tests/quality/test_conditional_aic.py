"""The conditional AIC against cAIC4, differences of fitted values, and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import multilevel as ml
import reference_cases as rc
from multilevel.quality.conditional_aic import scores_of
from small_models import dense, designs, indicator_columns, objective_of, term_factors, thetas

REFERENCE = rc.reference("quality_performance")
CASES = REFERENCE["conditional_aic"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {'REML' if case['reml'] else 'ML'}")
def test_against_caic4(case):
    found = ml.conditional_aic(rc.fit(f"{case['name']}_{'reml' if case['reml'] else 'ml'}"))
    assert found.loglik == pytest.approx(case["loglik"], rel=1e-8)
    assert found.hat_trace == pytest.approx(case["hat_trace"], rel=1e-7)
    # cAIC4's correction is the larger one; differences of fitted values in R itself (below) agree with ours.
    assert 0 < found.correction < case["df"] - case["hat_trace"] - 1
    assert found.df == pytest.approx(case["df"], abs=0.1)
    assert found.aic == pytest.approx(case["caic"], abs=0.2)


def test_the_correction_is_that_of_differences_in_r():
    found = ml.conditional_aic(rc.fit("sleepstudy_intercept_reml"))
    assert found.hat_trace + found.correction == pytest.approx(REFERENCE["effective_by_differences"], rel=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "sleepstudy_ml",
        "weights_and_offset_reml",
        "pastes_nested_reml",
        "penicillin_reml",
        "machines_reml",
        "zero_slope_reml",
    ],
)
def test_effective_parameters_by_differences_of_fitted_values(name):
    fit = rc.fit(name)
    y, h, total = fit.get_me("y"), 1e-3 * fit.sigma, 0.0
    for i in range(fit.nobs):
        step = np.where(np.arange(fit.nobs) == i, h, 0.0)
        total += (fit.refit(y + step)._fitted_values[i] - fit.refit(y - step)._fitted_values[i]) / (2 * h)
    found = ml.conditional_aic(fit)
    assert found.hat_trace + found.correction == pytest.approx(total, rel=1e-6)


@given(designs())
@settings(max_examples=40)
def test_scores_against_dense_algebra(design):
    objective = objective_of(design, True)
    theta = thetas(objective)
    plan, products = objective.products.plan, objective.products
    factor = objective.factorise(plan.parameters.from_user(theta))
    found = dense(design, plan, theta, True)
    P = found.inverse - found.inverse @ design.X @ found.unscaled_vcov @ design.X.T @ found.inverse
    rng = np.random.default_rng(5)
    size = int((products.layout.levels * products.layout.sizes).sum())
    chain, rest = np.zeros((size, 2)), np.zeros((factor.dense.shape[0], 2))
    z, psi, back = np.zeros((design.nobs, 2)), [], []
    for place, t, lam in zip(plan.parameters.terms, plan.term_order, term_factors(plan, theta), strict=True):
        term = design.random[t]
        k, levels = lam.shape[0], term.factor.n_levels
        u = rng.normal(size=(levels, k, 2))
        own = products.rows_of(place.block, chain, rest).reshape(levels, -1, 2)
        own[:, place.offset : place.offset + k] = np.einsum("rs,jst->jrt", place.to_engine, u)
        z += indicator_columns(design, term) @ u.reshape(levels * k, 2)
        psi.append((place, term, lam))
        back.append(u)
    scores, effects = scores_of(factor, chain, rest)
    for place, term, lam in psi:
        k, levels = lam.shape[0], term.factor.n_levels
        expected = (indicator_columns(design, term).T @ P @ z).reshape(levels, k, 2)
        split = np.split(scores, [size]), np.split(effects, [size])
        own = [
            products.rows_of(place.block, part[0], part[1]).reshape(levels, -1, 2)[:, place.offset : place.offset + k]
            for part in split
        ]
        # Scores are in the engine's columns Z·U⁻¹, effects in its coordinates U·b.
        np.testing.assert_allclose(np.einsum("sr,jst->jrt", place.to_engine, own[0]), expected, atol=1e-8)
        moved = np.einsum("rs,jst->jrt", place.to_user, own[1])
        np.testing.assert_allclose(moved, np.einsum("rs,jst->jrt", lam @ lam.T, expected), atol=1e-8)


def test_the_trace_is_that_of_the_hat_matrix():
    fit = rc.fit("weights_and_offset_reml")
    X, Z, Lambda, w = fit.get_me("X"), fit.get_me("Z").toarray(), fit.get_me("Lambda").toarray(), fit.get_me("weights")
    V = np.diag(1 / w) + Z @ Lambda @ Lambda.T @ Z.T
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    found = ml.conditional_aic(fit)
    assert found.hat_trace == pytest.approx(fit.nobs - np.trace(np.diag(1 / w) @ P), rel=1e-10)
    residual = fit.residuals().to_numpy()
    loglik = -0.5 * np.sum(np.log(2 * np.pi * fit.sigma**2 / w) + w * residual**2 / fit.sigma**2)
    assert found.loglik == pytest.approx(loglik, rel=1e-12)
    assert found.aic == pytest.approx(-2 * loglik + 2 * found.df)
    assert found.aic_known_variances == pytest.approx(-2 * loglik + 2 * (found.hat_trace + 1))


def test_the_trace_of_large_crossed_factors():
    fit = rc.fit("insteval_reml")
    found = ml.conditional_aic(fit)
    covariances = fit.ranef(cond_var=True)
    shrunken = 0.0
    for group, variance in zip(covariances.groups.values(), fit.varcorr(), strict=True):
        # tr(ΨN) = Σ (1 − conditional variance / variance), with fixed effects known
        shrunken += (1 - group.covariances[:, 0, 0] / variance.covariance[0, 0]).sum()
    assert shrunken < found.hat_trace < shrunken + 2
    assert 0 < found.correction < 3


def test_singular_fits():
    found = ml.conditional_aic(rc.fit("dyestuff2_reml"))
    assert (found.hat_trace, found.correction, found.df) == pytest.approx((1.0, 0.0, 2.0))
    assert "singular" in found.notes[0]
    assert found.to_frame().columns.tolist() == [
        "loglik", "hat_trace", "correction", "df", "aic", "aic_known_variances"
    ]  # fmt: skip
    assert "Greven &amp; Kneib" in found.to_html()
