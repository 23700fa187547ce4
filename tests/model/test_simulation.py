"""Responses drawn from a fit: their moments, their seeds, and designs of whole clusters."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.model import simulation
from multilevel.model.simulation import ClusterDesigns, resampled_source, seed_sequence


def covariance(fit) -> np.ndarray:
    ZL = fit.get_me("Z") @ fit.get_me("Lambda")
    return fit.sigma**2 * ((ZL @ ZL.T).toarray() + np.diag(1.0 / fit.get_me("weights")))


def marginal(fit) -> np.ndarray:
    return fit.get_me("X") @ fit.get_me("beta") + fit.get_me("offset")


def check_moments(draws: np.ndarray, mean: np.ndarray, V: np.ndarray) -> None:
    """Compare means and covariances with what they should be, in Monte Carlo standard errors."""
    m = len(draws)
    z = (draws.mean(axis=0) - mean) / np.sqrt(np.diag(V) / m)
    assert np.abs(z).max() < 5.0
    found = (draws - mean).T @ (draws - mean) / m
    error = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / m)
    z = (found - V) / error
    assert np.abs(z).max() < 6.0
    assert np.mean(z[np.tril_indices(len(V))] ** 2) == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize(
    "name", ["sleepstudy_reml", "weights_and_offset_reml", "penicillin_reml", "sleepstudy_uncorrelated_ml"]
)
def test_moments(name):
    fit = rc.fit(name)
    check_moments(fit.simulate(6000, rng=11), marginal(fit), covariance(fit))


def test_conditional_moments():
    fit = rc.fit("weights_and_offset_reml")
    V = fit.sigma**2 * np.diag(1.0 / fit.get_me("weights"))
    check_moments(fit.simulate(6000, rng=12, conditional=True), fit.fitted().to_numpy(), V)


def test_seeds(sleep, monkeypatch):
    draws = sleep.simulate(150, rng=3)
    np.testing.assert_array_equal(sleep.simulate(150, rng=np.random.default_rng(3)), draws)
    np.testing.assert_array_equal(sleep.simulate(7, rng=3), draws[:7])
    monkeypatch.setattr(simulation, "BATCH_NUMBERS", 500)
    np.testing.assert_allclose(sleep.simulate(150, rng=3), draws, rtol=1e-13)
    rng = np.random.default_rng(3)
    assert not np.array_equal(sleep.simulate(rng=rng), sleep.simulate(rng=rng))
    assert sleep.simulate(0).shape == (0, 180)
    with pytest.raises(ml.ControlError, match="of at least 0, not -1"):
        sleep.simulate(-1)


def test_seed_sequences():
    assert seed_sequence(4).entropy == 4
    whole = np.random.SeedSequence(9)
    assert seed_sequence(whole) is whole
    one, other = (seed_sequence(np.random.default_rng(4)).entropy for _ in range(2))
    assert one == other
    rng = np.random.default_rng(4)
    assert seed_sequence(rng).entropy != seed_sequence(rng).entropy


def test_reflated_modes_have_the_estimated_covariance(any_fit):
    source = resampled_source(any_fit)
    assert np.mean(source.residuals**2) == pytest.approx(any_fit.sigma**2)
    for group in source.factors:
        modes = np.column_stack([part for _, part in group])
        found = modes.T @ modes / len(modes)
        names = any_fit.varcorr()
        owner = next(t.factor for t in any_fit._terms if t.factor.codes is group[0][0].codes)
        expected = names[owner.name].to_numpy()
        size = max(1e-12, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, atol=1e-6 * size)
        np.testing.assert_allclose(modes.mean(axis=0), 0.0, atol=1e-6 * np.sqrt(size))


def test_moments_of_resampled_responses():
    fit = rc.fit("weights_and_offset_reml")
    draws = resampled_source(fit).draw(np.random.default_rng(5), 4000)
    V = covariance(fit)
    z = (draws.mean(axis=0) - marginal(fit)) / np.sqrt(np.diag(V) / len(draws))
    assert np.abs(z).max() < 5.0
    np.testing.assert_allclose(draws.var(axis=0), np.diag(V), rtol=0.2)


def test_designs_of_clusters():
    frame = rc.frame("fixture", "school_class_pupil")
    fit = ml.lmer("y ~ x + (1 | school/class) + (1 | rater)", frame)
    factors = {term.factor.name: term.factor for term in fit._design.random}
    school = factors["school"]
    designs = ClusterDesigns.of(fit._design, school.codes, school.n_levels)
    assert designs.inside == {"school": True, "class:school": True, "rater": False}
    same = designs.take(np.arange(school.n_levels))
    assert same.nobs == fit.nobs
    twice = designs.take(np.array([2, 2, 5]))
    found = {term.factor.name: term.factor for term in twice.random}
    rows = np.isin(school.codes, [2])
    assert twice.nobs == 2 * rows.sum() + np.isin(school.codes, [5]).sum()
    assert found["school"].n_levels == 3
    own = len(np.unique(factors["class:school"].codes[rows]))
    assert found["class:school"].n_levels == 2 * own + len(np.unique(factors["class:school"].codes[school.codes == 5]))
    assert found["rater"].n_levels <= factors["rater"].n_levels
    np.testing.assert_array_equal(twice.columns[: rows.sum()], twice.columns[rows.sum() : 2 * rows.sum()])
