"""What other optima of the same criterion would answer differently is withheld; the rest is that of the smaller model."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.simulation.fit_numbers import fit_numbers

DDF = ["satterthwaite", "kenward-roger", "residual", "asymptotic"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(31)
    g = np.repeat(np.arange(30), 8)
    x = rng.normal(size=g.size)
    site = np.array(["north", "east", "south"])[g % 3]
    y = 5 + (site == "east") * 2 + 0.4 * x + rng.normal(size=30)[g] + rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "g": [f"g{i}" for i in g], "x": x, "site": site, "dose": np.tile([0, 1], 120)})


def quietly(formula: str, frame: pd.DataFrame, **options) -> ml.LinearMixedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.NotIdentifiedWarning)
        return ml.lmer(formula, frame, **options)


@pytest.fixture(scope="module")
def fits(frame) -> tuple[ml.LinearMixedModel, ml.LinearMixedModel]:
    """A site that is a fixed and a random effect, and the model without the latter."""
    return quietly("y ~ site * dose + x + (1 | site) + (1 | g)", frame), ml.lmer("y ~ site * dose + x + (1 | g)", frame)


WITHIN = ["dose", "x", "sitenorth:dose", "sitesouth:dose"]
BETWEEN = ["(Intercept)", "sitenorth", "sitesouth"]


@pytest.mark.parametrize("ddf", DDF)
def test_coefficients(fits, ddf):
    found, smaller = (ml.model_parameters(fit, "fixed", ddf=ddf).to_frame() for fit in fits)
    columns = ["std_error", "conf_low", "conf_high", "statistic", "df", "p_value"]
    assert found.loc[BETWEEN, columns].isna().all(axis=None)
    # The residual degrees of freedom count every parameter of a model, those that nothing determines too.
    same = ["std_error", "statistic"] if ddf == "residual" else columns
    np.testing.assert_allclose(found.loc[WITHIN, same], smaller.loc[WITHIN, same], rtol=2e-5)
    if ddf == "residual":
        np.testing.assert_array_equal(found.loc[WITHIN, "df"], smaller.loc[WITHIN, "df"] - 1)
    np.testing.assert_allclose(found["estimate"], smaller["estimate"], rtol=1e-7)


@pytest.mark.parametrize("ddf", DDF)
def test_anova(fits, ddf):
    found, smaller = (ml.anova(fit, ddf=ddf).to_frame() for fit in fits)
    assert found.loc["site", ["statistic", "p_value", "df_denominator"]].isna().all()
    rest = ["dose", "x", "site:dose"]
    same = "statistic" if ddf == "residual" else "p_value"
    np.testing.assert_allclose(found.loc[rest, same], smaller.loc[rest, same], rtol=1e-4)
    assert "not identified" in str(ml.anova(fits[0], ddf=ddf))


def test_tests_of_type_two_and_three(fits):
    for kind in (2, 3):
        found, smaller = (ml.anova(fit, type=kind, test="chisq").to_frame() for fit in fits)
        assert np.isnan(found.loc["site", "p_value"])
        rest = ["dose", "x", "site:dose"]
        np.testing.assert_allclose(found.loc[rest, "chisq"], smaller.loc[rest, "chisq"], rtol=1e-6)


def test_contrasts(fits):
    found, smaller = fits
    within, between = {"dose": 1, "sitenorth:dose": 0.5}, {"sitenorth": 1, "sitesouth": -1}
    own, other = (ml.contrast_test(fit, within) for fit in (found, smaller))
    np.testing.assert_allclose(own, other, rtol=1e-4)
    for kind in ("model", "CR0", "CR2"):
        assert np.isnan(ml.contrast_test(found, between, vcov=kind)["p_value"].iloc[0])
        assert np.isfinite(ml.contrast_test(found, {"x": 1}, vcov=kind)["std_error"].iloc[0])
        joint = ml.contrast_test(found, [within, between], joint=True, vcov=kind)
        assert np.isnan(joint["p_value"].iloc[0])
        assert joint["df_numerator"].iloc[0] == 2


def test_contrasts_within_a_site_of_cell_means(frame):
    """Each mean is withheld, the difference of two that share the site's effect is not, however the cells are coded."""
    cells = frame.assign(cell=frame["site"] + frame["dose"].astype(str))
    fit, smaller = quietly("y ~ 0 + cell + (1 | site) + (1 | g)", cells), ml.lmer("y ~ 0 + cell + (1 | g)", cells)
    assert fit.standard_errors.isna().all()
    difference = {"celleast1": 1, "celleast0": -1}
    own, other = (ml.contrast_test(m, difference) for m in (fit, smaller))
    np.testing.assert_allclose(own, other, rtol=1e-4)


def test_marginal_means(fits):
    found, smaller = fits
    means = ml.emmeans(found, "site")
    assert means.to_frame()[["std_error", "conf_low"]].isna().all(axis=None)
    assert "not identified" in str(means)
    assert means.vcov().isna().all(axis=None)
    own, other = (
        ml.emmeans(fit, "dose", by="site", at={"dose": [0, 1]}).contrast("pairwise").to_frame() for fit in fits
    )
    np.testing.assert_allclose(own["std_error"], other["std_error"], rtol=1e-5)
    trends = [ml.emtrends(fit, "site", "x").to_frame()["std_error"] for fit in (found, smaller)]
    np.testing.assert_allclose(*trends, rtol=1e-5)


def test_covariance_matrix(fits):
    found, smaller = (fit.vcov() for fit in fits)
    assert found.loc[BETWEEN, BETWEEN].isna().all(axis=None)
    np.testing.assert_allclose(found.loc[WITHIN], smaller.loc[WITHIN], rtol=1e-5)
    table = fits[0].summary().coefficients
    assert table.loc[BETWEEN, "std_error"].isna().all()
    wald = fits[0].confint("wald")
    assert wald.loc[BETWEEN].isna().all(axis=None)
    assert wald.loc[WITHIN].notna().all(axis=None)
    boot = fits[0].confint("bootstrap", n=20, rng=1)
    assert boot.loc[[*BETWEEN, "sd_(Intercept)|site"]].isna().all(axis=None)
    assert boot.loc[[*WITHIN, "sd_(Intercept)|g", "sigma"]].notna().all(axis=None)


def test_predictions(frame, fits):
    """A known site's mean is the sum of a fixed and a random effect, which the data do determine."""
    found = fits[0]
    rows = frame.head(3)
    own, other = (fit.predict(rows, interval="confidence") for fit in fits)
    np.testing.assert_allclose(own, other, rtol=1e-5)
    population = found.predict(rows, interval="confidence", re_formula="~0")
    assert population[["std_error", "conf_low"]].isna().all(axis=None)
    assert population["fit"].notna().all()
    errors = [fit.coef_standard_errors()["g"] for fit in fits]
    assert errors[0]["(Intercept)"].isna().all()
    assert errors[1]["(Intercept)"].notna().all()


def test_variance_parameters(fits):
    found, smaller = (ml.model_parameters(fit, "random").to_frame() for fit in fits)
    assert np.isnan(found.loc["SD (Intercept: site)", "conf_low"])
    rest = ["SD (Intercept: g)", "SD (Residual)"]
    columns = ["std_error", "conf_low", "conf_high"]
    np.testing.assert_allclose(found.loc[rest, columns], smaller.loc[rest, columns], rtol=1e-4)
    numbers = dict(
        zip(*(getattr(fit_numbers(fits[0], 0.95, "satterthwaite"), n) for n in ("names", "std_errors")), strict=True)
    )
    assert np.isnan(numbers["sd_(Intercept)|site"])
    assert numbers["sigma"] > 0


def test_covariances_that_only_add_up(frame):
    """Two terms of one factor: what moves between them has no interval, the fixed effects and σ are those of one term."""
    d = frame.assign(f=np.where(frame["dose"] == 1, "b", "a"))
    d["y"] += np.random.default_rng(1).normal(0, 1.5, 30)[d["g"].str[1:].astype(int)] * d["dose"]
    found, smaller = quietly("y ~ f + (f || g)", d), ml.lmer("y ~ f + (0 + f | g)", d)
    table = ml.model_parameters(found, "random").to_frame()
    assert table.loc[table["group"] == "g", ["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    other = ml.model_parameters(smaller, "random").to_frame()
    np.testing.assert_allclose(
        table.loc["SD (Residual)", "conf_low"], other.loc["SD (Residual)", "conf_low"], rtol=1e-4
    )
    for ddf in DDF:
        tables = [
            ml.model_parameters(fit, "fixed", ddf=ddf).to_frame()[["std_error", "df"]] for fit in (found, smaller)
        ]
        if ddf == "residual":
            tables = [table[["std_error"]] for table in tables]
        np.testing.assert_allclose(*tables, rtol=1e-4)


def test_reports_say_it(fits):
    found = fits[0]
    check = ml.check_convergence(found)
    assert check.ok is False
    assert "not identified" in check.conclusion
    assert "drop (1 | site)" in check.conclusion
    assert not ml.check_model(found)["convergence"].ok
    for text in (str(found), str(found.summary()), str(ml.model_parameters(found)), str(ml.report(found).methods)):
        assert "not identified" in " ".join(text.split())
        assert "drop (1 | site)" in " ".join(text.split()).replace("(1 |\n", "(1 | ")
    assert "No standard errors of (Intercept), sitenorth, sitesouth" in " ".join(found.summary().notes)
    assert found.summary().to_dict()["convergence"]["status"] == "not identified"


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("name", ["site", "pairs"])
def test_saved_fits_keep_it(fits, tmp_path, name, data):
    found = fits[0]
    if name == "pairs":
        rng = np.random.default_rng(3)
        pair = np.repeat(np.arange(60), 2)
        pairs = pd.DataFrame(
            {"pair": pair, "t": np.tile([0, 1], 60), "y": rng.normal(size=60)[pair] + rng.normal(size=120)}
        )
        found = quietly("y ~ 1 + (1 | pair)", pairs, residual=ml.cor_ar1("t", within="pair"))
    found.save(tmp_path / "fit.mlm", data=data)
    for again in (ml.load(tmp_path / "fit.mlm"), pickle.loads(pickle.dumps(found))):
        assert again.convergence.status == "not identified"
        assert str(again.summary()) == str(found.summary())
        pd.testing.assert_frame_equal(again.confint("wald"), found.confint("wald"))
        assert ml.check_convergence(again).conclusion == ml.check_convergence(found).conclusion


def test_maximum_likelihood_has_an_answer(fits):
    """The variance is zero, and the standard errors are those of the model without it."""
    likelihood = fits[0].update(reml=False)
    assert likelihood.convergence.status == "singular"
    smaller = fits[1].update(reml=False)
    np.testing.assert_allclose(likelihood.standard_errors, smaller.standard_errors, rtol=1e-6)
