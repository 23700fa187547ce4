"""θ in the user's columns and φ in the engine's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import small_models as sm
from multilevel.engine.parameters import lower_factor

numbers = st.floats(-4.0, 4.0).map(lambda value: 0.0 if abs(value) < 1e-3 else value)
matrices = st.integers(1, 4).flatmap(lambda k: hnp.arrays(np.float64, (k, k), elements=numbers))


# ---- the lower-triangular factor ---------------------------------------------------------------------------------------


@given(matrices)
def test_lower_factor(matrix):
    lower = lower_factor(matrix)
    np.testing.assert_allclose(lower @ lower.T, matrix @ matrix.T, atol=1e-12 * max(1.0, float((matrix**2).sum())))
    np.testing.assert_array_equal(np.triu(lower, 1), 0.0)
    assert (np.diag(lower) >= 0.0).all()


@given(matrices, st.sets(st.integers(0, 3)))
def test_lower_factor_of_singular_matrices(matrix, zero):
    k = matrix.shape[0]
    for column in zero:
        matrix[:, column % k] = 0.0
    lower = lower_factor(matrix)
    np.testing.assert_allclose(lower @ lower.T, matrix @ matrix.T, atol=1e-12 * max(1.0, float((matrix**2).sum())))
    assert (np.diag(lower) >= 0.0).all()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1.0, 0.0], [2.0, 1e-17]], [[1.0, 0.0], [2.0, 0.0]]),
        ([[-1.0, 0.0], [2.0, -3.0]], [[1.0, 0.0], [-2.0, 3.0]]),
        ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ([[2.0, 0, 0], [1.0, 1e-17, 0], [3.0, 0.8, 0.6]], [[2.0, 0, 0], [1.0, 0, 0], [3.0, 0, 1.0]]),
    ],
)
def test_a_pivot_of_rounding_error_is_exactly_zero(matrix, expected):
    # What stands under it is carried by the later columns.
    lower = lower_factor(np.array(matrix))
    np.testing.assert_allclose(lower @ lower.T, np.array(matrix) @ np.array(matrix).T, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(lower, expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(np.diag(lower) == 0.0, np.diag(expected) == 0.0)


@pytest.mark.parametrize("matrix", [[[0.0, 0.0], [0.7, 0.0]], [[0.0, 0.0], [0.3, 0.4]]])
def test_a_zero_pivot_with_something_under_it(matrix):
    lower = lower_factor(np.array(matrix))
    np.testing.assert_allclose(lower @ lower.T, np.array(matrix) @ np.array(matrix).T, rtol=1e-14)
    assert lower[0, 0] == 0.0


def test_a_perfect_correlation_survives_a_change_of_columns():
    lower = np.array([[24.0, 0.0], [-1.3, 0.0]])
    moved = np.array([[1.0, 4.5], [0.0, 2.87]]) @ lower
    assert lower_factor(moved)[1, 1] == 0.0


# ---- maps of all terms -------------------------------------------------------------------------------------------------


@pytest.fixture(params=sm.ALL_STRUCTURES)
def parameters(request):
    return sm.objective_of(sm.ALL_STRUCTURES[request.param](sm.parts()), True).products.plan.parameters


def test_round_trips(parameters):
    phi = parameters.canonical(np.random.default_rng(4).normal(size=parameters.n_theta))
    theta = parameters.to_user(phi)
    np.testing.assert_allclose(parameters.from_user(theta), phi, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(parameters.to_user(parameters.from_user(theta)), theta, rtol=1e-11, atol=1e-12)


def test_canonical_points_have_no_negative_pivot(parameters):
    phi = np.random.default_rng(6).normal(size=parameters.n_theta)
    canonical = parameters.canonical(phi)
    np.testing.assert_allclose(parameters.canonical(canonical), canonical, rtol=1e-13, atol=1e-15)
    for before, after in zip(parameters.block_factors(phi), parameters.block_factors(canonical), strict=True):
        np.testing.assert_allclose(after @ after.T, before @ before.T, rtol=1e-12, atol=1e-13)
        assert (np.diag(after) >= 0.0).all()


def test_covariances_are_carried_over(parameters):
    phi = np.random.default_rng(7).normal(size=parameters.n_theta)
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        engine, user = term.factor(phi[place]), term.user_factor(phi[place])
        np.testing.assert_allclose(
            term.to_engine @ user @ user.T @ term.to_engine.T, engine @ engine.T, rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(term.to_engine @ term.to_user, np.eye(term.structure.size), atol=1e-12)


def test_derivatives_of_the_blocks(parameters):
    phi = np.random.default_rng(8).normal(size=parameters.n_theta)
    derivatives = parameters.block_derivatives(phi)
    assert len(derivatives) == parameters.n_theta
    for block in range(len(parameters.block_sizes)):
        numerical = sm.derivative(lambda at, b=block: parameters.block_factors(at)[b], phi)
        for a, (own, derivative) in enumerate(derivatives):
            expected = derivative if own == block else 0.0 * numerical[:, :, a]
            np.testing.assert_allclose(numerical[:, :, a], expected, atol=1e-10)
    curvatures = parameters.block_curvatures(phi)
    assert (not curvatures) == parameters.linear
    second = {(a, b): whole for a, b, whole in curvatures}
    numerical = sm.derivative(lambda at: np.array([d.sum() for _, d in parameters.block_derivatives(at)]), phi)
    for a in range(parameters.n_theta):
        for b in range(parameters.n_theta):
            expected = second[a, b].sum() if (a, b) in second else 0.0
            assert numerical[a, b] == pytest.approx(expected, abs=1e-7)


def test_start_is_the_identity(parameters):
    for lam in parameters.block_factors(parameters.start()):
        np.testing.assert_allclose(lam @ lam.T, np.eye(len(lam)), atol=1e-14)
