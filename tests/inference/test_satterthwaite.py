"""Satterthwaite's degrees of freedom against dense algebra and numerical derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
import small_models as sm
from multilevel.engine.fit import fit_products
from multilevel.engine.products import cross_products_of
from multilevel.inference.satterthwaite import satterthwaite_model

NAMES = [name for name in sm.ALL_STRUCTURES if "no fixed effects" not in name]
# "several terms" has a variance twice, so that it is not determined; with more parameters the differences take long.
SMALL = [
    name
    for name in NAMES
    if name != "several terms"
    and sm.objective_of(sm.ALL_STRUCTURES[name](sm.parts()), True).products.plan.parameters.n_theta < 6
]


def full_criterion(given, plan, parameters, reml):
    """Return the criterion as a function of θ and log σ², nothing profiled but the fixed effects."""
    theta, log_variance = parameters[:-1], parameters[-1]
    X, y = given.X, given.y - (0.0 if given.offset is None else given.offset)
    v = sm.dense_covariance(given, plan, theta) * np.exp(log_variance)
    inverse = np.linalg.inv(v)
    xvx = X.T @ inverse @ X
    residual = y - X @ np.linalg.solve(xvx, X.T @ inverse @ y)
    value = np.linalg.slogdet(v)[1] + residual @ inverse @ residual
    return value + np.linalg.slogdet(xvx)[1] if reml else value


def covariance_of_fixed_effects(given, plan, parameters):
    inverse = np.linalg.inv(sm.dense_covariance(given, plan, parameters[:-1]) * np.exp(parameters[-1]))
    return np.linalg.inv(given.X.T @ inverse @ given.X)


def numerical_df(given, fit, reml, contrasts):
    """Return 2f²/var f by differences alone."""
    plan = fit.products.plan
    at = np.append(fit.theta, 2.0 * np.log(fit.sigma))

    def gradient(parameters):
        return sm.derivative(lambda x: full_criterion(given, plan, x, reml), parameters, step=0.02)

    hessian = sm.derivative(gradient, at, step=0.02)
    spread = 2.0 * np.linalg.inv(0.5 * (hessian + hessian.T))
    slopes = sm.derivative(lambda x: covariance_of_fixed_effects(given, plan, x), at)
    vcov = covariance_of_fixed_effects(given, plan, at)
    found = []
    for contrast in contrasts:
        slope = np.einsum("i,ija,j->a", contrast, slopes, contrast)
        found.append(2.0 * (contrast @ vcov @ contrast) ** 2 / (slope @ spread @ slope))
    return np.array(found)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", SMALL)
def test_against_differences(name, reml):
    given = sm.ALL_STRUCTURES[name](sm.parts(n=90, seed=12))
    plan = cross_products_of(given).plan
    # A response from the model itself, with variances well away from zero.
    rng = np.random.default_rng(9)
    theta = np.where(sm.thetas(sm.objective_of(given, reml)) > 0.25, 1.5, 0.3)
    noise = np.linalg.cholesky(sm.dense_covariance(given, plan, theta)) @ rng.normal(size=given.nobs)
    given = sm.with_response(given, given.X.sum(axis=1) + noise)
    fit = fit_products(cross_products_of(given), reml, ml.LmerControl())
    assert not fit.singular
    model = satterthwaite_model(fit)
    p = given.n_fixed
    contrasts = np.vstack([np.eye(p), np.ones(p), np.linspace(-1.0, 2.0, p)])
    df = [model.degrees_of_freedom(contrast) for contrast in contrasts]
    np.testing.assert_allclose(df, numerical_df(given, fit, reml, contrasts), rtol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_the_covariance(name):
    given = sm.ALL_STRUCTURES[name](sm.parts())
    fit = fit_products(cross_products_of(given), True, ml.LmerControl())
    model = satterthwaite_model(fit)
    parameters, plan = fit.products.plan.parameters, fit.products.plan

    def vcov(phi):
        lam = parameters.block_factors(phi)
        v = np.diag(np.ones(given.nobs) if given.weights is None else 1.0 / given.weights)
        for block, factor in zip(plan.blocks, lam, strict=True):
            places = block.columns.places
            values = (given.columns[:, places] - block.columns.shift) * block.columns.scale @ factor
            relation = sm.relation_of(block.factor)
            same = (relation @ relation.T)[np.ix_(block.factor.codes, block.factor.codes)]
            v = v + same * (values @ values.T)
        return fit.sigma**2 * np.linalg.inv(given.X.T @ np.linalg.inv(v) @ given.X)

    phi = fit.model.phi
    np.testing.assert_allclose(model.vcov, vcov(phi), rtol=1e-8, atol=1e-12)
    numerical = np.moveaxis(sm.derivative(vcov, phi), -1, 0)
    scale = float(np.abs(numerical).max())
    np.testing.assert_allclose(model.derivatives[:-1], numerical, rtol=0, atol=1e-7 * max(scale, 1.0))
    np.testing.assert_allclose(model.derivatives[-1], model.vcov)


def test_balanced_one_way_layout():
    # The variance of the mean is the mean square between groups: exactly J − 1 degrees of freedom.
    model = rc.satterthwaite("dyestuff_reml")
    assert model.degrees_of_freedom(np.ones(1)) == pytest.approx(5.0, rel=1e-8)
    assert rc.satterthwaite("sleepstudy_reml").degrees_of_freedom(np.array([0.0, 1.0])) == pytest.approx(17.0, rel=1e-8)


def test_without_variance_between_groups_they_are_those_of_least_squares():
    assert rc.satterthwaite("dyestuff2_reml").degrees_of_freedom(np.ones(1)) == pytest.approx(29.0, rel=1e-8)


def test_scale_of_a_contrast_does_not_matter():
    model = rc.satterthwaite("sleepstudy_reml")
    contrast = np.array([1.0, 9.0])
    assert model.degrees_of_freedom(contrast) == pytest.approx(model.degrees_of_freedom(-1e6 * contrast), rel=1e-10)


def test_units_of_a_column_do_not_matter():
    plain, scaled = rc.satterthwaite("bad_scale_twin_reml"), rc.satterthwaite("bad_scale_reml")
    for row, other in [([0, 1, 0], [0, 1, 0]), ([0, 0, 1], [0, 0, 1]), ([1, -2000, 0], [1, 0, 0])]:
        expected = plain.degrees_of_freedom(np.array(row, dtype=float))
        assert scaled.degrees_of_freedom(np.array(other, dtype=float)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["sleepstudy_reml", "penicillin_reml", "nested_vector_ml", "oats_slopes_nested_reml"])
def test_the_covariance_of_the_parameters_is_a_covariance(name):
    model = rc.satterthwaite(name)
    values = np.linalg.eigvalsh(model.covariance)
    assert values[0] >= -1e-10 * values[-1]
    assert (np.array([model.degrees_of_freedom(row) for row in np.eye(len(model.vcov))]) > 0).all()
