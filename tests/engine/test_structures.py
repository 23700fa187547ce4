"""Covariance structures: λ(θ), its derivatives, and what is derived from it."""

from __future__ import annotations

import numpy as np
import pytest

import small_models as sm
from multilevel.engine.structures import Diagonal, Unstructured, structure_of

STRUCTURES = [*(Unstructured(k) for k in (1, 2, 3, 4)), *(Diagonal(k) for k in (1, 2, 3))]

every_structure = pytest.mark.parametrize("structure", STRUCTURES, ids=repr)


@every_structure
def test_factor_and_parameters_are_inverse(structure):
    theta = np.random.default_rng(1).normal(size=structure.n_theta)
    factor = structure.factor(theta)
    assert factor.shape == (structure.size, structure.size)
    np.testing.assert_array_equal(np.triu(factor, 1), 0.0)
    np.testing.assert_array_equal(structure.parameters(factor), theta)


@every_structure
def test_start_is_the_identity(structure):
    np.testing.assert_array_equal(structure.factor(structure.start()), np.eye(structure.size))


@every_structure
def test_jacobian_and_curvature(structure):
    theta = np.random.default_rng(2).normal(size=structure.n_theta)
    numerical = np.moveaxis(sm.derivative(structure.factor, theta), -1, 0)
    np.testing.assert_allclose(structure.jacobian(theta), numerical, atol=1e-11)
    second = sm.derivative(structure.jacobian, theta)
    curvature = structure.curvature(theta)
    if curvature is None:
        np.testing.assert_allclose(second, 0.0, atol=1e-9)
    else:
        np.testing.assert_allclose(np.moveaxis(curvature, 1, -1), second, atol=1e-7)


@every_structure
def test_rescaled(structure):
    rng = np.random.default_rng(3)
    theta, scale = rng.normal(size=structure.n_theta), rng.uniform(0.5, 2.0, structure.size)
    moved = structure.factor(theta * structure.rescaled(scale))
    np.testing.assert_allclose(moved, scale[:, None] * structure.factor(theta), rtol=1e-14)


def test_order_and_names_are_those_of_lme4():
    structure = Unstructured(3)
    np.testing.assert_array_equal(
        structure.factor(np.arange(1.0, 7.0)), [[1.0, 0.0, 0.0], [2.0, 4.0, 0.0], [3.0, 5.0, 6.0]]
    )
    assert structure.theta_names(("(Intercept)", "a", "b"), "g") == (
        "g.(Intercept)",
        "g.a.(Intercept)",
        "g.b.(Intercept)",
        "g.a",
        "g.b.a",
        "g.b",
    )
    assert Diagonal(2).theta_names(("a", "b"), "f:g") == ("f:g.a", "f:g.b")


def test_which_families_hold_every_covariance():
    assert [structure.rotates for structure in STRUCTURES] == [True, True, True, True, True, False, False]


def test_structure_of():
    assert structure_of("unstructured", 2) == Unstructured(2)
    assert structure_of("diagonal", 3) == Diagonal(3)
    with pytest.raises(ValueError, match="compound"):
        structure_of("compound", 2)
