"""Leverage and standardised residuals against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import small_models as sm
from dense_deletion import Projection, fit_of

SOME = ["slope", "three columns", "nested, slopes", "nested, three deep", "crossed, slopes", "no intercept"]


@pytest.mark.parametrize("name", SOME)
def test_parts_of_the_leverage(name):
    fit = fit_of(sm.STRUCTURES[name](sm.parts()))
    dense = Projection.of(fit)
    w = np.ones(fit.nobs) if fit._design.weights is None else fit._design.weights
    fixed = dense.X @ dense.gain.T
    random = (dense.V - np.diag(1.0 / w)) @ dense.P
    np.testing.assert_allclose(ml.hatvalues(fit, "fixed"), np.diag(fixed), rtol=1e-8)
    np.testing.assert_allclose(ml.hatvalues(fit, "random"), np.diag(random), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ml.hatvalues(fit), np.diag(fixed + random), rtol=1e-8)
    assert ml.hatvalues(fit, "fixed").sum() == pytest.approx(fit._design.n_fixed)


@pytest.mark.parametrize("name", SOME)
def test_standardised_residuals(name):
    fit = fit_of(sm.STRUCTURES[name](sm.parts()))
    dense = Projection.of(fit)
    w = np.ones(fit.nobs) if fit._design.weights is None else fit._design.weights
    conditional = (dense.P @ dense.y) / w
    spread = fit.sigma * np.sqrt(np.diag(dense.P)) / w
    np.testing.assert_allclose(ml.rstandard(fit), conditional / spread, rtol=1e-7)
    marginal = dense.y - dense.X @ dense.beta
    covariance = fit.sigma**2 * (dense.V - dense.X @ dense.unscaled @ dense.X.T)
    np.testing.assert_allclose(ml.rstandard(fit, "marginal"), marginal / np.sqrt(np.diag(covariance)), rtol=1e-7)
    if not name.startswith(("crossed", "no intercept")):
        whitened = ml.rstandard(fit, "whitened").to_numpy()
        root = np.linalg.cholesky(fit.sigma**2 * dense.V)
        np.testing.assert_allclose(root @ whitened, marginal, atol=1e-9)
    # The external ones: σ without the row, theta held.
    external = ml.rstudent(fit, external=True).to_numpy()
    for row in (0, 17):
        keep = np.arange(fit.nobs) != row
        assert external[row] == pytest.approx(
            conditional[row] * fit.sigma / spread[row] / Projection.of(fit, keep).sigma(True)
        )


def test_a_leverage_of_one():
    frame = ml.load_dataset("sleepstudy").assign(only=0.0)
    frame.loc[20, "only"] = 1.0
    fit = ml.lmer("Reaction ~ Days + only + (1 | Subject)", frame)
    assert ml.hatvalues(fit)[20] == pytest.approx(1.0)
    for kind in ("conditional", "marginal"):
        assert list(np.flatnonzero(ml.rstandard(fit, kind).isna())) == ([20] if kind == "conditional" else [])


def test_what_cannot_be_used():
    fit = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))
    with pytest.raises(ml.DataError, match="plate, sample are crossed"):
        ml.rstandard(fit, "whitened")
    with pytest.raises(ml.ControlError, match=r"kind must be one of .* not 'pearson'"):
        ml.rstandard(fit, "pearson")
    with pytest.raises(ml.ControlError, match=r"part must be one of .* not 'level'"):
        ml.hatvalues(fit, "level")
