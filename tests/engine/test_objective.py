"""The blocked criterion and its derivatives against dense algebra and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import small_models as sm
from multilevel.engine.fit import finish
from multilevel.engine.solutions import conditional_covariances, fixed_scores
from multilevel.errors import DataError

every_structure = pytest.mark.parametrize("name", sm.ALL_STRUCTURES)
every_criterion = pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])


def problem(name, reml):
    given_design = sm.ALL_STRUCTURES[name](sm.parts())
    return given_design, sm.objective_of(given_design, reml)


def boundaries(objective, phi):
    """Return points with zero pivots (each scale of a column alone, and all of them) and with correlations at their bounds."""
    parameters = objective.products.plan.parameters
    pivots = np.flatnonzero(parameters.pivots)
    for zero in [*([at] for at in pivots), list(pivots)]:
        point = phi.copy()
        point[zero] = 0.0
        yield point
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        for at in range(place.start, place.stop):
            if not term.structure.rotates and not parameters.pivots[at]:
                for bound in (-0.5 * np.pi, 0.5 * np.pi):
                    point = phi.copy()
                    point[at] = bound
                    yield point


# ---- the criterion -----------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(given_design=sm.designs(), reml=st.booleans(), data=st.data())
def test_criterion_of_random_models(given_design, reml, data):
    objective = sm.objective_of(given_design, reml)
    plan = objective.products.plan
    parameters = plan.parameters
    theta = sm.thetas(objective, data.draw(st.integers(0, 1000), label="theta"))
    if data.draw(st.booleans(), label="zeros"):
        theta[data.draw(st.sets(st.integers(0, theta.size - 1)).map(sorted), label="which")] = 0.0
    phi = parameters.from_user(theta)
    expected = sm.dense(given_design, plan, theta, reml)
    factor = objective.factorise(phi)
    assert objective.value_of(factor) == pytest.approx(expected.value, rel=1e-9, abs=1e-7)
    model = objective.local_model(phi, exact=False)
    found = finish(objective, model, False, None)
    np.testing.assert_allclose(found.beta, expected.beta, rtol=1e-7, atol=1e-8)
    assert found.sigma == pytest.approx(expected.sigma, rel=1e-9)
    np.testing.assert_allclose(found.unscaled_vcov, expected.unscaled_vcov, rtol=1e-7, atol=1e-9)
    for modes, dense_modes in zip(found.conditional_modes(), expected.modes, strict=True):
        np.testing.assert_allclose(modes, dense_modes, rtol=0, atol=1e-7)


@every_structure
@every_criterion
def test_criterion_of_named_structures(name, reml):
    given_design, objective = problem(name, reml)
    plan = objective.products.plan
    theta = sm.thetas(objective)
    phi = plan.parameters.from_user(theta)
    np.testing.assert_allclose(plan.parameters.to_user(phi), theta, rtol=1e-12)
    assert objective.value(phi) == pytest.approx(sm.dense(given_design, plan, theta, reml).value, rel=1e-11)


@every_structure
def test_criterion_is_even_in_each_column(name):
    _, objective = problem(name, True)
    parameters = objective.products.plan.parameters
    phi = parameters.from_user(sm.thetas(objective))
    angles = np.concatenate([~t.structure.pivots & (not t.structure.rotates) for t in parameters.terms])
    turned = np.where(angles, phi, -phi)
    assert objective.value(turned) == pytest.approx(objective.value(phi), rel=1e-13)
    np.testing.assert_allclose(parameters.canonical(turned), parameters.canonical(phi), rtol=1e-12, atol=1e-14)


def test_offset_is_taken_off_the_response():
    m = sm.parts()
    offset = 100.0 * m.columns[:, 2]
    moved = sm.objective_of(sm.design(m.columns, 2, [sm.term(m.g, 0, 1)], offset=offset), True)
    plain = sm.design(m.columns, 2, [sm.term(m.g, 0, 1)])
    other = sm.objective_of(sm.with_response(plain, m.columns[:, -1] - offset), True)
    phi = sm.thetas(other)
    assert moved.value(phi) == pytest.approx(other.value(phi), rel=1e-13)


def test_dependent_fixed_effects_are_an_error():
    m = sm.parts()
    columns = m.columns.copy()
    columns[:, 2] = columns[:, 1]
    objective = sm.objective_of(sm.design(columns, 3, [sm.term(m.g, 0)]), True)
    with pytest.raises(DataError, match="cannot be told apart"):
        objective.value(np.array([-1e-3]) * 0.0)


# ---- first derivatives -------------------------------------------------------------------------------------------------


@every_structure
@every_criterion
def test_gradient(name, reml):
    _, objective = problem(name, reml)
    phi = objective.products.plan.parameters.from_user(sm.thetas(objective))
    numerical = sm.derivative(objective.value, phi)
    scale = max(1.0, float(np.abs(numerical).max()))
    for point in (objective.gradient(phi), *(objective.local_model(phi, exact=e).gradient for e in (True, False))):
        np.testing.assert_allclose(point, numerical, rtol=0, atol=1e-6 * scale)


@every_structure
@every_criterion
def test_gradient_on_the_boundary(name, reml):
    _, objective = problem(name, reml)
    inner = objective.products.plan.parameters.from_user(sm.thetas(objective))
    for phi in boundaries(objective, inner):
        numerical = sm.derivative(objective.value, phi)
        scale = max(1.0, float(np.abs(numerical).max()))
        np.testing.assert_allclose(objective.gradient(phi), numerical, rtol=0, atol=1e-6 * scale)


@settings(max_examples=25)
@given(given_design=sm.designs(), reml=st.booleans(), seed=st.integers(0, 1000))
def test_gradients_of_random_models(given_design, reml, seed):
    objective = sm.objective_of(given_design, reml)
    phi = objective.products.plan.parameters.from_user(sm.thetas(objective, seed))
    numerical = sm.derivative(objective.value, phi)
    exact, average = objective.local_model(phi, exact=True), objective.local_model(phi, exact=False)
    scale = max(1.0, float(np.abs(numerical).max()))
    np.testing.assert_allclose(exact.gradient, numerical, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(average.gradient, exact.gradient, rtol=0, atol=1e-9 * scale)
    hessian = sm.derivative(objective.gradient, phi)
    np.testing.assert_allclose(exact.hessian, hessian, rtol=0, atol=1e-6 * max(1.0, float(np.abs(hessian).max())))


# ---- second derivatives ------------------------------------------------------------------------------------------------


@every_structure
@every_criterion
def test_hessian(name, reml):
    _, objective = problem(name, reml)
    inner = objective.products.plan.parameters.from_user(sm.thetas(objective))
    for phi in [inner, *boundaries(objective, inner)]:
        model = objective.local_model(phi, exact=True)
        assert model.exact
        numerical = sm.derivative(objective.gradient, phi)
        scale = max(1.0, float(np.abs(numerical).max()))
        np.testing.assert_allclose(model.hessian, numerical, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(model.hessian, model.hessian.T, rtol=0, atol=1e-13 * scale)


@every_structure
@every_criterion
def test_average_information(name, reml):
    _, objective = problem(name, reml)
    phi = objective.products.plan.parameters.from_user(sm.thetas(objective))
    exact, average = objective.local_model(phi, exact=True), objective.local_model(phi, exact=False)
    assert not average.exact
    assert average.value == exact.value
    scale = max(1.0, float(np.abs(exact.gradient).max()))
    np.testing.assert_allclose(average.gradient, exact.gradient, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(
        average.hessian, average.hessian.T, rtol=0, atol=1e-10 * float(np.abs(average.hessian).max())
    )


@pytest.mark.parametrize("name", sm.LARGE_STRUCTURES)
def test_large_dense_parts(name):
    given_design = sm.LARGE_STRUCTURES[name](sm.many_levels())
    objective = sm.objective_of(given_design, True)
    plan = objective.products.plan
    assert objective.products.n_dense >= 100
    theta = sm.thetas(objective)
    phi = plan.parameters.from_user(theta)
    expected = sm.dense(given_design, plan, theta, True)
    model = objective.local_model(phi, exact=True)
    assert model.value == pytest.approx(expected.value, rel=1e-11)
    gradient = sm.derivative(objective.value, phi)
    np.testing.assert_allclose(model.gradient, gradient, rtol=0, atol=1e-6 * float(np.abs(gradient).max()))
    average = objective.local_model(phi, exact=False)
    np.testing.assert_allclose(average.gradient, model.gradient, rtol=1e-10, atol=1e-9)
    found = finish(objective, model, False, None)
    np.testing.assert_allclose(found.beta, expected.beta, rtol=1e-9)
    for modes, dense_modes in zip(found.conditional_modes(), expected.modes, strict=True):
        np.testing.assert_allclose(modes, dense_modes, rtol=0, atol=1e-9)
    covariances = conditional_covariances(model.factor)
    for t, wanted in zip(plan.parameters.terms, expected.relative_covariances, strict=True):
        inside = slice(t.offset, t.offset + t.structure.size)
        own = covariances[t.block][:, inside, inside]
        np.testing.assert_allclose(t.to_user @ own @ t.to_user.T, wanted, rtol=0, atol=1e-9)
    hessian = sm.derivative(objective.gradient, phi)
    np.testing.assert_allclose(model.hessian, hessian, rtol=0, atol=1e-6 * float(np.abs(hessian).max()))


def test_the_exact_hessian_is_the_default_where_it_is_cheap():
    for name, cheap in [("three columns", True), ("several terms", True), ("nested", False), ("crossed", False)]:
        _, objective = problem(name, True)
        assert objective.exact_is_cheap is cheap
        assert objective.local_model(objective.products.plan.parameters.start()).exact is cheap


# ---- what else follows from the factor ---------------------------------------------------------------------------------


def engine_terms(given_design, objective, phi):
    """Return, for each block, Z in the engine's columns and Ψ of one level."""
    plan = objective.products.plan
    for block, lam in zip(plan.blocks, plan.parameters.block_factors(phi), strict=True):
        places, shift, scale = block.columns.places, block.columns.shift, block.columns.scale
        values = (given_design.columns[:, places] - shift) * scale
        k, n = block.size, given_design.nobs
        z = np.zeros((n, block.n_levels * k))
        for c in range(k):
            z[np.arange(n), block.factor.codes * k + c] = values[:, c]
        z = z @ np.kron(sm.relation_of(block.factor), np.eye(k))
        yield block, z, lam @ lam.T


@every_structure
def test_conditional_covariances(name):
    given_design, objective = problem(name, True)
    plan = objective.products.plan
    theta = sm.thetas(objective)
    inner = plan.parameters.from_user(theta)
    for phi in [inner, *boundaries(objective, inner)]:
        factor = objective.factorise(phi)
        inverse = np.linalg.inv(sm.dense_covariance(given_design, plan, plan.parameters.to_user(phi)))
        found = conditional_covariances(factor)
        for (block, z, psi), covariances in zip(engine_terms(given_design, objective, phi), found, strict=True):
            k = block.size
            whole = np.kron(np.eye(block.n_levels), psi)
            whole = whole - whole @ z.T @ inverse @ z @ whole
            relation = np.kron(sm.relation_of(block.factor), np.eye(k))
            whole = relation @ whole @ relation.T
            expected = [whole[j * k : (j + 1) * k, j * k : (j + 1) * k] for j in range(block.n_levels)]
            np.testing.assert_allclose(covariances, expected, rtol=0, atol=1e-9)


@every_structure
def test_fixed_scores(name):
    given_design, objective = problem(name, True)
    plan, products = objective.products.plan, objective.products
    phi = plan.parameters.from_user(sm.thetas(objective))
    inverse = np.linalg.inv(sm.dense_covariance(given_design, plan, plan.parameters.to_user(phi)))
    X = (given_design.X - products.fixed.shift) * products.fixed.scale
    solved = (
        inverse @ X @ np.linalg.inv(X.T @ inverse @ X) if given_design.n_fixed else np.zeros((given_design.nobs, 0))
    )
    parts = [z.T @ solved for _, z, _ in engine_terms(given_design, objective, phi)]
    chain, dense = fixed_scores(objective.factorise(phi))
    expected = np.concatenate(parts)
    assert chain.shape[0] + dense.shape[0] == expected.shape[0]
    np.testing.assert_allclose(np.concatenate([chain, dense]), expected, rtol=0, atol=1e-8)
