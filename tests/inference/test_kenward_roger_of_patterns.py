"""Kenward and Roger's method for structures that are not linear in their parameters, against dense matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.inference.kenward_roger import kenward_roger_model

REPEATED = pd.DataFrame(rc.reference("covariance_structures")["data"]["repeated"])


def lag():
    return np.abs(np.arange(5)[:, None] - np.arange(5))


def toeplitz(correlations):
    return np.append(1.0, correlations)[lag()]


FAMILIES = {
    "cs": (5, lambda r: np.where(lag() == 0, 1.0, r[0])),
    "ar1": (1, lambda r: r[0] ** lag()),
    "hetar1": (5, lambda r: r[0] ** lag()),
    "toep": (5, toeplitz),
    "homtoep": (1, toeplitz),
}


def dense_model(fit, n_sd, correlation, transform):
    """Φ + 2Λ with second derivatives of V and the bias of the REML estimates, from n × n matrices and differences of V."""
    X = fit.get_me("X")
    group, time = REPEATED["subject"].to_numpy(), REPEATED["time"].to_numpy() - 1
    same = (group[:, None] == group).astype(float)
    psi = fit.varcorr()["subject"].to_numpy()
    sd = np.sqrt(np.diag(psi))[:n_sd]
    unit = psi / np.sqrt(np.outer(np.diag(psi), np.diag(psi)))
    rho = unit[0, 1:] if correlation is toeplitz else unit[0, 1:2]
    forward, back = transform
    at = np.array([*forward(sd), *rho, fit.sigma**2])

    def variance(parameters):
        s = back(parameters[:n_sd]) * np.ones(5)
        sigma = s[:, None] * correlation(parameters[n_sd:-1]) * s
        return same * sigma[np.ix_(time, time)] + parameters[-1] * np.eye(time.size)

    n, h = at.size, 1e-3
    e = np.eye(n) * h

    def slope(i, step=1.0):
        return (variance(at + step * e[i]) - variance(at - step * e[i])) / (2 * step * h)

    def bend(i, j):
        return (
            variance(at + e[i] + e[j])
            - variance(at + e[i] - e[j])
            - variance(at - e[i] + e[j])
            + variance(at - e[i] - e[j])
        ) / (4 * h * h)

    W = np.linalg.inv(variance(at))
    phi = np.linalg.inv(X.T @ W @ X)
    P = W - W @ X @ phi @ X.T @ W
    first = [(4 * slope(i) - slope(i, 2.0)) / 3 for i in range(n)]
    PV = [P @ d for d in first]
    covariance = np.linalg.inv(0.5 * np.array([[np.sum(a * b.T) for b in PV] for a in PV]))
    half = W @ X @ phi
    total, pull = np.zeros_like(phi), np.zeros(n)
    for i in range(n):
        for j in range(n):
            second = bend(i, j)
            Q = half.T @ first[i] @ P @ first[j] @ half  # Φ(Q − PᵢΦPⱼ)Φ
            total += covariance[i, j] * (Q - 0.25 * half.T @ second @ half)
            pull += covariance[i, j] * np.array([np.sum(a * (P @ second).T) for a in PV])
    bias = -0.25 * covariance @ pull
    change = sum(b * half.T @ d @ half for b, d in zip(bias, first, strict=True))
    # the expectation of Φ at the estimates exceeds Φ by the change that their bias makes
    return phi, phi + 2 * total - change


@pytest.mark.parametrize("name", FAMILIES)
def test_against_the_definition(name):
    n_sd, correlation = FAMILIES[name]
    fit = ml.lmer(f"y ~ time + x + {name}(0 + factor(time) | subject)", REPEATED)
    assert not fit.is_singular
    found = kenward_roger_model(fit._engine)
    phi, adjusted = dense_model(fit, n_sd, correlation, (np.square, np.sqrt))
    np.testing.assert_allclose(found.vcov, phi, rtol=1e-6)
    np.testing.assert_allclose(found.adjusted - found.vcov, adjusted - phi, rtol=1e-3, atol=1e-6 * np.abs(phi).max())


def test_the_parametrisation_does_not_matter():
    fit = ml.lmer("y ~ time + x + hetar1(0 + factor(time) | subject)", REPEATED)
    n_sd, correlation = FAMILIES["hetar1"]
    one, other = (dense_model(fit, n_sd, correlation, t)[1] for t in ((np.square, np.sqrt), (np.log, np.exp)))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)


def test_two_columns_have_one_correlation_anyway():
    frame = ml.load_dataset("sleepstudy")
    plain, pattern = (ml.lmer(f"Reaction ~ Days + {t}(Days | Subject)", frame) for t in ("us", "cs"))
    one, other = (f.summary(ddf="kenward-roger").coefficients for f in (plain, pattern))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_small_samples_cost_standard_errors_and_degrees_of_freedom():
    fit = ml.lmer("y ~ time + x + ar1(0 + factor(time) | subject)", REPEATED)
    table = fit.summary(ddf="kenward-roger").coefficients
    close = fit.summary().coefficients
    assert (table["std_error"] >= close["std_error"] * (1 - 1e-6)).all()
    np.testing.assert_allclose(table["df"], close["df"], rtol=0.1)
