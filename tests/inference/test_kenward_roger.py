"""Kenward and Roger's method against pbkrtest's stored results and against its definition."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.inference.kenward_roger import kenward_roger_model

MODELS = {model["name"]: model for model in rc.reference("inference")["models"]}
WITH_KR = [name for name, model in MODELS.items() if model.get("kenward_roger")]


def fit_of(name):
    model = MODELS[name]
    return ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), contrasts=rc.contrasts_of(model))


@pytest.mark.parametrize("name", WITH_KR)
def test_standard_errors_and_degrees_of_freedom(name):
    fit, stored = fit_of(name), MODELS[name]["kenward_roger"]
    table = fit.summary(ddf="kenward-roger").coefficients
    for column, key in (("std_error", "se"), ("df", "df"), ("statistic", "t")):
        expected = list(stored[key].values()) if isinstance(stored[key], dict) else np.atleast_1d(stored[key])
        assert table[column].to_numpy() == pytest.approx(np.array(expected, dtype=float), rel=1e-5), column


def dense_model(fit):
    """The method from its definition, with n × n matrices."""
    X, Z, Lambda = fit.get_me("X"), fit.get_me("Z").toarray(), fit.get_me("Lambda").toarray()
    p = X.shape[1]
    noise = np.diag(1.0 / fit.get_me("weights"))
    V = fit.sigma**2 * (noise + Z @ Lambda @ Lambda.T @ Z.T)
    G, at = [], 0
    for term in fit.varcorr():
        k, levels = len(term.names), fit.ngroups[term.group]
        for r in range(k):
            for c in range(r + 1):
                if r != c and not term.correlated:
                    continue
                unit = np.zeros((k, k))
                unit[r, c] = unit[c, r] = 1.0
                block = np.kron(np.eye(levels), unit)
                part = Z[:, at : at + k * levels]
                G.append(part @ block @ part.T)
        at += k * levels
    G.append(noise)
    W = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ W @ X)
    P = W - W @ X @ phi @ X.T @ W
    information = 0.5 * np.array([[np.trace(P @ a @ P @ b) for b in G] for a in G])
    w = np.linalg.inv(information)
    adjustment = np.zeros((p, p))
    for i, a in enumerate(G):
        for j, b in enumerate(G):
            adjustment += w[i, j] * (X.T @ W @ a @ P @ b @ W @ X)
    return phi, phi + 2 * phi @ adjustment @ phi


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        "y ~ x + (x | g)",
        "y ~ x + (x || g)",
        "y ~ x + (1 | g) + (1 | h)",
        "y ~ x + (x | g) + (x | h)",
        "y ~ x + (1 | big / small)",
        "y ~ x + (x | big / small)",
    ],
)
def test_against_the_definition(formula, weighted):
    rng = np.random.default_rng(11)
    n = 240
    g, h, small, x = rng.integers(0, 12, n), rng.integers(0, 9, n), rng.integers(0, 24, n), rng.normal(size=n)
    y = x + rng.normal(size=n)
    for codes in (g, h, small, small // 3):
        y += 1.5 * rng.normal(size=24)[codes] + rng.normal(size=24)[codes] * x
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    fit = ml.lmer(formula, {"y": y, "x": x, "g": g, "h": h, "small": small, "big": small // 3}, weights=weights)
    assert not fit.is_singular
    found = kenward_roger_model(fit._engine)
    phi, adjusted = dense_model(fit)
    assert found.vcov == pytest.approx(phi, rel=1e-8)
    assert found.adjusted == pytest.approx(adjusted, rel=1e-7)


def test_a_maximum_likelihood_fit_is_refused():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    with pytest.raises(ml.ControlError, match="reml=True"):
        fit.summary(ddf="kenward-roger")


def test_a_singular_fit_gets_an_answer():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))
    table = fit.summary(ddf="kenward-roger").coefficients
    assert np.isfinite(table.to_numpy()).all()


@pytest.mark.parametrize("stored", rc.reference("singular"), ids=lambda model: model["data"])
def test_singular_fits_of_r(stored):
    fit = ml.lmer(stored["formula"], ml.load_dataset(stored["data"]))
    assert fit.is_singular == stored["singular"]
    table = fit.summary(ddf="kenward-roger").coefficients
    assert list(table.index) == stored["names"]
    # R's optimiser stops a little off the boundary.
    assert table.std_error.to_numpy() == pytest.approx(np.array(stored["std_error"]), rel=1e-4)
    assert table.df.to_numpy() == pytest.approx(np.array(stored["df"]), rel=1e-3)
