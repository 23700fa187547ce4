"""Variances of linear combinations of effects, and joint draws, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import Convergence, EngineFit, finish
from multilevel.engine.objective import Objective
from multilevel.engine.prediction import EffectRows, draw_deviations, relative_variances
from multilevel.engine.products import cross_products_of
from small_models import LARGE_STRUCTURES, STRUCTURES, designs, indicator_columns, many_levels, parts, term_factors


def engine_at(design, theta_seed: int = 3, reml: bool = True) -> EngineFit:
    """Return what a fit would hold at covariance parameters that are no optimum."""
    objective = Objective(cross_products_of(design), reml)
    parameters = objective.products.plan.parameters
    rng = np.random.default_rng(theta_seed)
    phi = parameters.canonical(parameters.start() * rng.uniform(0.4, 1.3, parameters.n_theta))
    model = objective.local_model(phi)
    ending = Convergence("converged", "", LmerControl().optimizer, 1, model.gradient, 0.0, (), model, objective)
    return finish(objective, model, False, ending)


def dense_inverse(design, engine: EngineFit) -> np.ndarray:
    """Return the covariance of (β̂ − β, b̂ − b) divided by σ², terms in the order of θ."""
    plan = engine.products.plan
    random = [design.random[t] for t in plan.term_order]
    w = np.ones(design.nobs) if design.weights is None else design.weights
    z = np.hstack([indicator_columns(design, t) for t in random])
    lam = np.zeros((z.shape[1],) * 2)
    at = 0
    for t, factor in zip(random, term_factors(plan, engine.theta), strict=True):
        for _ in range(t.factor.n_levels):
            k = factor.shape[0]
            lam[at : at + k, at : at + k] = factor
            at += k
    # In spherical effects, so that a singular Λ needs no inverse.
    both = np.hstack([design.X, z @ lam])
    matrix = both.T @ (w[:, None] * both)
    p = design.n_fixed
    matrix[p:, p:] += np.eye(z.shape[1])
    inverse = np.linalg.inv(matrix)
    back = np.zeros_like(matrix)
    back[:p, :p], back[p:, p:] = np.eye(p), lam
    return back @ inverse @ back.T


def some_rows(design, engine: EngineFit, seed: int, n: int = 23) -> tuple[np.ndarray, list[EffectRows], np.ndarray]:
    """Return random rows with levels combined at will (−1 among them), and the same as rows over all effects."""
    rng = np.random.default_rng(seed)
    plan = engine.products.plan
    x = rng.normal(size=(n, design.n_fixed))
    effects, wide, codes_of = [], [x], {}
    for position, t in enumerate(plan.term_order):
        term = design.random[t]
        levels, k = term.factor.n_levels, len(term.columns)
        if term.factor.name not in codes_of:
            codes_of[term.factor.name] = rng.integers(-1, levels, n).astype(np.int32)
        codes, z = codes_of[term.factor.name], rng.normal(size=(n, k))
        effects.append(EffectRows(position, z, codes))
        block = np.zeros((n, levels, k))
        known = codes >= 0
        block[np.flatnonzero(known), codes[known]] = z[known]
        wide.append(block.reshape(n, -1))
    return x, effects, np.hstack(wide)


def check(design, seed: int) -> None:
    engine = engine_at(design)
    covariance = dense_inverse(design, engine)
    x, effects, wide = some_rows(design, engine, seed)
    expected = np.einsum("ia,ab,ib->i", wide, covariance, wide)
    np.testing.assert_allclose(relative_variances(engine, x, effects), expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        relative_variances(engine, x, []),
        np.einsum("ia,ab,ib->i", x, covariance[: x.shape[1], : x.shape[1]], x),
        rtol=1e-8,
    )


@pytest.mark.parametrize("name", STRUCTURES)
def test_variances(name):
    check(STRUCTURES[name](parts()), 8)


@pytest.mark.parametrize("name", ["many crossed, nested", "many crossed, three deep"])
def test_variances_with_many_levels(name):
    check(LARGE_STRUCTURES[name](many_levels()), 9)


@settings(max_examples=25, deadline=None)
@given(designs(), st.integers(0, 1000))
def test_variances_of_random_designs(design, seed):
    if design.n_fixed >= design.nobs:
        return
    check(design, seed)


class UnitVectors:
    """In the place of a generator: its "draws" are unit vectors, so that what is made of them is a root of the covariance."""

    def __init__(self) -> None:
        self.used = 0

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        self.used += shape[0]
        return np.eye(shape[0], shape[1], self.used - shape[0])


@pytest.mark.parametrize("name", STRUCTURES)
def test_draws_have_the_joint_covariance(name):
    design = STRUCTURES[name](parts())
    engine = engine_at(design)
    expected = dense_inverse(design, engine)
    fixed, effects = draw_deviations(engine, UnitVectors(), len(expected))
    root = np.hstack([fixed, *(block.reshape(len(expected), -1) for block in effects)])
    np.testing.assert_allclose(root.T @ root, expected, rtol=1e-7, atol=1e-10 * np.abs(expected).max())


def test_draws_are_normal():
    design = STRUCTURES["crossed, slopes"](parts())
    engine = engine_at(design)
    fixed, _ = draw_deviations(engine, np.random.default_rng(1), 20_000)
    z = fixed / np.sqrt(np.diag(engine.unscaled_vcov))
    np.testing.assert_allclose((z**4).mean(axis=0), 3.0, rtol=0.15)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.04)


def test_draws_on_the_boundary():
    design = STRUCTURES["slope"](parts())
    objective = Objective(cross_products_of(design), True)
    model = objective.local_model(np.array([0.7, 0.3, 0.0]))
    ending = Convergence("singular", "", "newton", 1, model.gradient, 0.0, (), model, objective)
    engine = finish(objective, model, True, ending)
    _, effects = draw_deviations(engine, np.random.default_rng(1), 50)
    assert np.isfinite(effects[0]).all()
    singular = effects[0].reshape(-1, 2)
    assert np.linalg.svd(singular, compute_uv=False)[1] < 1e-8 * np.linalg.norm(singular)
