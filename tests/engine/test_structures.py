"""Covariance structures: λ, its derivatives, and what is derived from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import small_models as sm
from multilevel.engine.correlations import Autoregressive, CompoundSymmetric, Independent, Toeplitz
from multilevel.engine.patterned import STEEP, Patterned
from multilevel.engine.structures import PATTERNED, Diagonal, Unstructured, element_name, structure_of

PLAIN = [*(Unstructured(k) for k in (1, 2, 3, 4)), *(Diagonal(k) for k in (1, 2, 3))]
PATTERNS = [structure_of(kind, k) for kind in PATTERNED for k in (2, 3, 6)]

every_structure = pytest.mark.parametrize("structure", [*PLAIN, *PATTERNS], ids=repr)
every_plain = pytest.mark.parametrize("structure", PLAIN, ids=repr)
every_pattern = pytest.mark.parametrize("structure", PATTERNS, ids=repr)


def parameters_of(structure, seed):
    """Return engine parameters that are neither small nor large."""
    rng = np.random.default_rng(seed)
    if isinstance(structure, Patterned):
        angles = rng.uniform(-1.3, 1.3, structure.n_theta - structure.n_scales)
        return np.concatenate([rng.uniform(0.4, 1.4, structure.n_scales), angles])
    return rng.normal(size=structure.n_theta)


def at_bounds(structure, theta):
    """Return parameters with every correlation at a bound, and with every scale zero."""
    angles = np.arange(structure.n_theta) >= structure.n_scales
    yield np.where(angles, STEEP, theta)
    yield np.where(angles, -STEEP, theta)
    yield np.where(angles, theta, 0.0)


def covariance(structure, theta):
    factor = structure.factor(theta)
    return factor @ factor.T


# ---- the factor and its derivatives ------------------------------------------------------------------------------------


@every_structure
def test_factor_is_lower_triangular(structure):
    factor = structure.factor(parameters_of(structure, 1))
    assert factor.shape == (structure.size, structure.size)
    np.testing.assert_array_equal(np.triu(factor, 1), 0.0)


@every_plain
def test_factor_and_parameters_are_inverse(structure):
    theta = parameters_of(structure, 1)
    np.testing.assert_array_equal(structure.parameters(structure.factor(theta)), theta)
    np.testing.assert_array_equal(structure.reported(theta), theta)
    np.testing.assert_array_equal(structure.from_reported(theta), theta)


@every_pattern
def test_parameters_of_patterned_factors(structure):
    theta = parameters_of(structure, 1)
    np.testing.assert_allclose(structure.parameters(structure.factor(theta)), theta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(structure.from_reported(structure.reported(theta)), theta, rtol=1e-9, atol=1e-9)


@every_structure
def test_start_is_the_identity(structure):
    np.testing.assert_allclose(structure.factor(structure.start()), np.eye(structure.size), atol=1e-15)


@every_structure
def test_jacobian_and_curvature(structure):
    theta = parameters_of(structure, 2)
    points = [theta, *at_bounds(structure, theta)] if isinstance(structure, Patterned) else [theta]
    for point in points:
        numerical = np.moveaxis(sm.derivative(structure.factor, point), -1, 0)
        np.testing.assert_allclose(structure.jacobian(point), numerical, atol=1e-8)
        second = sm.derivative(structure.jacobian, point)
        curvature = structure.curvature(point)
        if curvature is None:
            np.testing.assert_allclose(second, 0.0, atol=1e-9)
        else:
            np.testing.assert_allclose(np.moveaxis(curvature, 1, -1), second, atol=1e-7)


@every_structure
def test_rescaled(structure):
    scale = np.random.default_rng(3).uniform(0.5, 2.0, structure.size)
    if structure.common_scale:
        scale[:] = scale[0]
    theta = parameters_of(structure, 3)
    moved = structure.factor(theta * structure.rescaled(scale))
    np.testing.assert_allclose(moved, scale[:, None] * structure.factor(theta), rtol=1e-13, atol=1e-15)


# ---- patterns ----------------------------------------------------------------------------------------------------------


def pattern(kind, correlations, k):
    """Return the correlation matrix by its definition."""
    lag = np.abs(np.arange(k)[:, None] - np.arange(k))
    if kind == "cs":
        return np.where(lag == 0, 1.0, correlations[0])
    if kind == "ar1":
        return np.asarray(correlations[0] ** lag)
    return np.concatenate([[1.0], correlations])[lag]


@every_pattern
def test_patterns_are_those_of_their_definition(structure):
    theta = parameters_of(structure, 4)
    scales, correlations = np.split(structure.reported(theta), [structure.n_scales])
    scales = np.full(structure.size, scales[0]) if structure.homogeneous else scales
    families = {CompoundSymmetric: "cs", Autoregressive: "ar1", Toeplitz: "toep"}
    kind = families.get(type(structure.family))
    expected = np.eye(structure.size) if kind is None else pattern(kind, correlations, structure.size)
    np.testing.assert_allclose(
        covariance(structure, theta), scales[:, None] * expected * scales, rtol=1e-11, atol=1e-13
    )


@every_structure
def test_monomials_are_the_elements_of_the_covariance_matrix(structure):
    theta = parameters_of(structure, 5)
    matrix = covariance(structure, theta)
    length = np.sqrt(np.diag(matrix))
    unit = matrix / np.outer(length, length)
    natural = [length[e.row] if e.kind == "sd" else unit[e.row, e.column] for e in structure.natural()]
    for r in range(structure.size):
        for c in range(r + 1):
            if r == c or structure.correlated:
                product = np.prod([natural[at] ** power for at, power in structure.monomial(r, c).items()])
                assert product == pytest.approx(matrix[r, c], rel=1e-11, abs=1e-13)


@every_structure
def test_units_span_the_covariance_matrices(structure):
    units = structure.units()
    if units is None:
        assert not structure.homogeneous or isinstance(structure.family, Autoregressive)
        return
    matrix = covariance(structure, parameters_of(structure, 6))
    rest = matrix.copy()
    for unit in units:
        rest -= unit * matrix[tuple(np.argwhere(unit)[0])]
    np.testing.assert_allclose(rest, 0.0, atol=1e-13)


@given(kind=st.sampled_from(sorted(PATTERNED)), size=st.integers(2, 9), seed=st.integers(0, 10_000))
def test_canonical_parameters_have_the_same_covariance(kind, size, seed):
    structure = structure_of(kind, size)
    theta = np.random.default_rng(seed).normal(scale=3.0, size=structure.n_theta)
    canonical = structure.canonical(theta)
    assert (canonical[: structure.n_scales] >= 0).all()
    assert (np.abs(canonical[structure.n_scales :]) <= STEEP).all()
    np.testing.assert_allclose(covariance(structure, canonical), covariance(structure, theta), rtol=1e-7, atol=1e-7)


@given(size=st.integers(2, 9), seed=st.integers(0, 10_000))
def test_toeplitz_correlations_of_any_angles_are_positive_definite(size, seed):
    family = Toeplitz(size)
    angles = np.random.default_rng(seed).uniform(-1.4, 1.4, size - 1)
    rho = family.correlations(angles)
    assert np.linalg.eigvalsh(pattern("toep", rho, size))[0] > 0.0
    np.testing.assert_allclose(family.angles(rho), angles, atol=1e-5)


def test_bounds_are_reached_exactly():
    for structure in PATTERNS:
        if not structure.correlated:
            continue
        theta = np.concatenate([np.ones(structure.n_scales), np.full(structure.n_theta - structure.n_scales, STEEP)])
        factor = structure.factor(theta)
        np.testing.assert_array_equal(np.diag(factor)[1:], 0.0)
        np.testing.assert_allclose(structure.reported(theta), 1.0, rtol=1e-15)
    lowest = structure_of("homcs", 4)
    theta = np.array([1.0, -STEEP])
    assert lowest.reported(theta)[1] == pytest.approx(-1.0 / 3.0, rel=1e-15)
    np.testing.assert_allclose(covariance(lowest, theta).sum(axis=1), 0.0, atol=1e-15)
    assert lowest.factor(theta)[3, 3] == 0.0


def test_what_is_near_a_bound():
    structure = structure_of("cs", 3)
    assert structure.bounds_near(np.array([1.0, 0.05, 1.0, 1.5]), 0.02) == {1: 0.0, 3: STEEP}
    assert structure.bounds_near(np.array([1.0, 0.0, 1.0, -STEEP]), 0.02) == {}
    assert Unstructured(2).bounds_near(np.array([0.01, 0.001, 1.0]), 0.02) == {0: 0.0}
    lifted = structure.lifted(np.array([1.0, 0.0, 1.0, STEEP]), 0.1)
    np.testing.assert_allclose(lifted, [1.0, np.sqrt(0.1), 1.0, STEEP - 0.1])


@every_structure
def test_rough_guesses_belong_to_the_family(structure):
    k = structure.size
    rng = np.random.default_rng(8)
    guess = rng.normal(size=(k, k))
    theta = structure.nearest(guess + guess.T, 0.1, 10.0)
    assert np.isfinite(theta).all()
    values = np.sqrt(np.diag(covariance(structure, theta)))
    assert ((values > 0.09) & (values < 11.0)).all()


# ---- names -------------------------------------------------------------------------------------------------------------


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


def test_names_of_patterned_parameters():
    columns = ("t1", "t2", "t3")
    assert structure_of("cs", 3).theta_names(columns, "g") == ("g.t1", "g.t2", "g.t3", "g.rho")
    assert structure_of("ar1", 3).theta_names(columns, "g") == ("g.sd", "g.rho")
    assert structure_of("homtoep", 3).theta_names(columns, "g") == ("g.sd", "g.rho_lag1", "g.rho_lag2")
    assert structure_of("homdiag", 3).theta_names(columns, "g") == ("g.sd",)
    names = [element_name(e, columns, "g") for e in structure_of("hetar1", 3).natural()]
    assert names == ["sd_t1|g", "sd_t2|g", "sd_t3|g", "cor_lag1|g"]
    assert [element_name(e, columns, "g") for e in structure_of("homcs", 3).natural()] == ["sd_all|g", "cor_all|g"]
    assert [element_name(e, columns, "g") for e in Unstructured(2).natural()] == ["sd_t1|g", "cor_t2.t1|g", "sd_t2|g"]


def test_which_families_hold_every_covariance():
    assert [structure.rotates for structure in PLAIN] == [True, True, True, True, True, False, False]
    assert not any(structure.rotates for structure in PATTERNS)


def test_structure_of():
    assert structure_of("unstructured", 2) == Unstructured(2)
    assert structure_of("diagonal", 3) == Diagonal(3)
    assert structure_of("ar1", 3) == Patterned(Autoregressive(3), True)
    assert structure_of("homdiag", 3) == Patterned(Independent(3), True)
    assert structure_of("cs", 1) == Unstructured(1)
    with pytest.raises(ValueError, match="compound"):
        structure_of("compound", 2)
