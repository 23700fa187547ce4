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


SPLIT_PLOTS = rc.reference("kenward_roger")


def split_plot(stored):
    return ml.lmer(
        "y ~ block + whole * sub + (1 | block:whole)", {key: stored[key] for key in ("y", "block", "whole", "sub")}
    )


@pytest.mark.parametrize("stored", SPLIT_PLOTS, ids=lambda model: "x".join(map(str, model["size"])))
def test_small_balanced_designs_have_the_exact_f_of_their_strata(stored):
    # two or four denominator degrees of freedom are 0/0 in the formulas
    found = ml.anova(split_plot(stored), ddf="kenward-roger", type=1).to_frame()
    exact, kr = stored["exact"], stored["pbkrtest"]
    assert found.df_denominator.to_numpy() == pytest.approx(np.array(exact["df"], dtype=float), rel=1e-7)
    assert found.statistic.to_numpy() == pytest.approx(np.array(exact["statistic"]), rel=1e-5)
    assert found.p_value.to_numpy() == pytest.approx(np.array(exact["p_value"]), rel=1e-5)
    sound = np.array(kr["sound"])
    assert found.statistic.to_numpy()[sound] == pytest.approx(np.array(kr["statistic"])[sound], rel=1e-4)
    assert found.df_denominator.to_numpy()[sound] == pytest.approx(np.array(kr["df"], dtype=float)[sound], rel=1e-4)


def test_two_degrees_of_freedom_wherever_the_method_is_used():
    stored = next(model for model in SPLIT_PLOTS if model["size"] == [3, 2, 2])
    fit = split_plot(stored)
    f, p = stored["exact"]["statistic"][1], stored["exact"]["p_value"][1]
    data = {key: stored[key] for key in ("y", "block", "whole", "sub")}
    additive = ml.lmer("y ~ block + whole + sub + (1 | block:whole)", data)
    row = ml.drop1(additive, ddf="kenward-roger").to_frame().loc["whole"]
    assert [row.df_denominator, row.statistic, row.p_value] == pytest.approx([2.0, f, p], rel=1e-5)
    pairs = ml.emmeans(additive, "whole", ddf="kenward-roger").contrast("pairwise").to_frame().iloc[0]
    assert [pairs.df, pairs.statistic**2, pairs.p_value] == pytest.approx([2.0, f, p], rel=1e-5)
    for table in (additive.summary(ddf="kenward-roger").coefficients, additive.tidy("fixed", ddf="kenward-roger")):
        row = table.loc["wholeB"] if "wholeB" in table.index else table.set_index("term").loc["wholeB"]
        assert [row.df, row.statistic**2, row.p_value] == pytest.approx([2.0, f, p], rel=1e-5)
    blocks = [{"block2": 1}, {"block3": 1}]
    for model in (fit, additive):
        joint = ml.contrast_test(model, blocks, ddf="kenward-roger", joint=True).iloc[0]
        assert joint.df_denominator == pytest.approx(2.0, rel=1e-8)
        assert joint.statistic == pytest.approx(stored["exact"]["statistic"][0], rel=1e-5)
        assert joint.p_value == pytest.approx(stored["exact"]["p_value"][0], rel=1e-5)
