"""Residual structures: cross-products of whitened rows, the joint criterion and its derivatives, against dense algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import multilevel.engine.whitening as whitening
import small_models as sm
from multilevel.engine.control import LmerControl
from multilevel.engine.fit import fit_of_design
from multilevel.engine.products import cross_products_of
from multilevel.engine.residual_objective import ResidualObjective
from multilevel.engine.whitening import WhitenedProducts, relative_residual_covariance, whitened_rows
from multilevel.errors import ControlError
from multilevel.formula.design import ResidualDesign

every_route = pytest.mark.parametrize("by_kind", [True, False], ids=["kinds", "rows"])


def residual_design(rng, group, kind, strata):
    """Return a residual structure: rows of a group at times in a random order, some left out."""
    n = group.size
    codes = rng.integers(0, max(strata, 1), n).astype(np.int32)
    sequence, previous, gap = np.arange(n, dtype=np.int32), np.full(n, -1, dtype=np.int32), np.zeros(n)
    if kind is not None:
        time = np.empty(n)
        for g in np.unique(group):
            at = np.flatnonzero(group == g)
            time[at] = rng.choice(3 * at.size, at.size, replace=False)
        if kind == "car1":
            time = time + rng.choice([0.0, 0.5], n)
        sequence = np.lexsort((time, group)).astype(np.int32)
        same = group[sequence[1:]] == group[sequence[:-1]]
        previous[sequence[1:][same]] = sequence[:-1][same]
        gap[sequence[1:][same]] = (time[sequence[1:]] - time[sequence[:-1]])[same]
    names = tuple("stuvw"[:strata]) if strata > 1 else ()
    return ResidualDesign("s" if names else None, names, codes, kind, None, None, sequence, previous, gap)


STRUCTURES = {
    "intercept": lambda m: (m.g, [sm.term(m.g, 0)]),
    "slope": lambda m: (m.g, [sm.term(m.g, 0, 1)]),
    "patterned": lambda m: (m.g, [sm.term(m.g, 0, 1, 2, structure="cs")]),
    "nested": lambda m: (m.cls, [sm.term(m.sch, 0, 2), sm.term(m.cls, 0, 1)]),
    "crossed": lambda m: (None, [sm.term(m.g, 0, 2), sm.term(m.h, 0)]),
}
KINDS = {
    "strata": (None, 3),
    "ar1": ("ar1", 0),
    "car1": ("car1", 0),
    "both": ("ar1", 2),
    "both, continuous": ("car1", 3),
}


def problem(structure, residual, seed=7, weights=False, monkeypatch=None, by_kind=True):
    m = sm.parts(seed=2, n=60)
    within, terms = STRUCTURES[structure](m)
    kind, strata = KINDS[residual]
    rng = np.random.default_rng(seed)
    given_design = sm.design(m.columns, 3, terms, m.weights if weights else None, m.columns[:, 2] if weights else None)
    # crossed factors: groups must lie in one level of each
    group = m.g.codes * 10 + m.h.codes if within is None else within.codes
    given_design = replace(given_design, residual=residual_design(rng, group, kind, strata))
    if monkeypatch is not None:
        monkeypatch.setattr(whitening, "MOST_KINDS", 1000 if by_kind else -1)
    return given_design


def dense_criterion(given_design, whitened, phi, delta, reml):
    """Return the criterion by dense algebra."""
    plan = whitened.basis.plan
    theta = plan.parameters.to_user(phi)
    n = given_design.nobs
    v = sm.dense_covariance(replace(given_design, weights=None), plan, theta) - np.eye(n)
    root = np.ones(n) if given_design.weights is None else 1.0 / np.sqrt(given_design.weights)
    v = v + root[:, None] * relative_residual_covariance(whitened.model, delta, np.arange(n)) * root
    X = given_design.X
    y = given_design.y if given_design.offset is None else given_design.y - given_design.offset
    inverse = np.linalg.inv(v)
    information = X.T @ inverse @ X
    beta = np.linalg.solve(information, X.T @ inverse @ y)
    rss = (y - X @ beta) @ inverse @ (y - X @ beta)
    df = n - X.shape[1] if reml else n
    value = np.linalg.slogdet(v)[1] + df * (1.0 + np.log(2.0 * np.pi * rss / df))
    return value + np.linalg.slogdet(information)[1] if reml else value


def joint_point(objective, seed=3):
    inner = objective.whitened.basis.plan.parameters
    phi = inner.from_user(sm.thetas(type("P", (), {"products": objective.products})()))
    delta = objective.whitened.model.start() + np.random.default_rng(seed).uniform(
        -0.4, 0.4, objective.parameters.n_delta
    )
    return np.concatenate([phi, delta])


@every_route
@pytest.mark.parametrize("weights", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("residual", KINDS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_criterion(structure, residual, weights, by_kind, monkeypatch):
    given_design = problem(structure, residual, 7, weights, monkeypatch, by_kind)
    for reml in (True, False):
        objective = ResidualObjective(WhitenedProducts(given_design), reml)
        point = joint_point(objective)
        phi, delta = objective.split(point)
        expected = dense_criterion(given_design, objective.whitened, phi, delta, reml)
        assert objective.value(point) == pytest.approx(expected, rel=1e-9)


@every_route
@pytest.mark.parametrize("residual", KINDS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradient_and_hessian(structure, residual, by_kind, monkeypatch):
    given_design = problem(structure, residual, 8, True, monkeypatch, by_kind)
    objective = ResidualObjective(WhitenedProducts(given_design), True)
    point = joint_point(objective)
    numerical = sm.derivative(objective.value, point)
    scale = max(1.0, float(np.abs(numerical).max()))
    np.testing.assert_allclose(objective.gradient(point), numerical, rtol=0, atol=1e-6 * scale)
    model = objective.local_model(point, exact=True)
    np.testing.assert_allclose(model.gradient, numerical, rtol=0, atol=1e-6 * scale)
    hessian = sm.derivative(objective.gradient, point)
    np.testing.assert_allclose(model.hessian, hessian, rtol=0, atol=1e-6 * max(1.0, float(np.abs(hessian).max())))
    near = objective.local_model(point, exact=False)
    assert not near.exact
    np.testing.assert_allclose(near.gradient, model.gradient, rtol=1e-9, atol=1e-9 * scale)


def test_both_routes_give_the_same_products(monkeypatch):
    delta = np.array([0.3, -0.2])
    found = []
    for by_kind in (True, False):
        given_design = problem("nested", "both", 5, True, monkeypatch, by_kind)
        whitened = WhitenedProducts(given_design)
        own = whitened.at(delta)
        numbers = [
            *(getattr(own, name) for name in ("diagonal", "tail", "values")),
            np.tril(own.dense),
            own.log_weights,
        ]
        slopes = [np.tril(part) if part.ndim == 2 else part for dots in whitened.slopes(delta) for part in dots]
        found.append([*numbers, *slopes])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from([None, "ar1", "car1"]), strata=st.sampled_from([0, 2, 4]))
def test_whitening_is_the_inverse_root_of_the_covariance(seed, kind, strata):
    rng = np.random.default_rng(seed)
    if kind is None and strata == 0:
        strata = 3
    design = residual_design(rng, rng.integers(0, 5, 30), kind, strata)
    model = whitening.ResidualModel(design)
    delta = rng.normal(scale=0.7, size=model.n_delta)
    covariance = relative_residual_covariance(model, delta, np.arange(30))
    white = np.column_stack([whitened_rows(model, delta, column) for column in np.eye(30)])
    np.testing.assert_allclose(white @ covariance @ white.T, np.eye(30), atol=1e-8)
    value, gradient = model.log_determinant(delta)
    assert value == pytest.approx(np.linalg.slogdet(covariance)[1], rel=1e-9, abs=1e-9)
    numerical = sm.derivative(lambda at: model.log_determinant(at)[0], delta)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6)


def test_rows_taken_in_whole_groups():
    rng = np.random.default_rng(2)
    group = rng.integers(0, 4, 24)
    design = residual_design(rng, group, "car1", 2)
    rows = np.concatenate([np.flatnonzero(group == g) for g in (2, 0, 2)])
    copy = np.repeat([0, 1, 2], [np.sum(group == g) for g in (2, 0, 2)])
    taken = design.take(rows, copy)
    model, part = whitening.ResidualModel(design), whitening.ResidualModel(taken)
    delta = np.array([0.2, 0.4])
    whole = relative_residual_covariance(model, delta, rows) * (copy[:, None] == copy)
    np.testing.assert_allclose(relative_residual_covariance(part, delta, np.arange(rows.size)), whole, atol=1e-14)
    values = rng.normal(size=24)
    np.testing.assert_allclose(whitened_rows(part, delta, values[rows]), whitened_rows(model, delta, values)[rows])


def test_a_fit_is_certified_for_all_parameters_together():
    given_design = problem("slope", "both")
    fit = fit_of_design(given_design, True, LmerControl())
    assert fit.convergence.gradient.size == fit.theta.size + 2
    assert fit.convergence.hessian.shape == (fit.theta.size + 2,) * 2
    assert fit.convergence.converged
    assert fit.n_variance_parameters == fit.theta.size + 3
    assert fit.residual.values.shape == (2,)


def test_there_are_no_cross_products_without_residual_parameters():
    with pytest.raises(ControlError, match="residual structure"):
        cross_products_of(problem("slope", "ar1"))
