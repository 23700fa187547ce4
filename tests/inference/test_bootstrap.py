"""Bootstrap: what is replicated, that it can be repeated, and the intervals made of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

import multilevel as ml
import reference_cases as rc
from multilevel.inference.intervals import (
    acceleration,
    confint,
    lme4_names,
    replicate_interval,
    variance_parameter_names,
    wald_interval,
)

NAMES = ["sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sd_Days|Subject"]
KINDS = ("parametric", "residual", "cluster")


@pytest.fixture(scope="module")
def sleep():
    return rc.fit("sleepstudy_reml")


@pytest.fixture(scope="module")
def found(sleep):
    return sleep.bootstrap(600, rng=1)


def test_columns_and_estimates(sleep, found):
    expected = [*sleep.fixef.index, *sleep.theta.index, "sigma", *NAMES]
    assert list(found.replicates.columns) == expected
    assert list(found.estimates.index) == expected
    table = sleep.varcorr().to_frame()
    np.testing.assert_allclose(found.estimates[NAMES], table["sdcor"].to_numpy()[[0, 2, 1]], rtol=1e-9)
    assert found.n == 600
    assert found.n_not_converged == 0
    assert found.kind == "parametric"
    assert found.lme4_names == {**dict(zip(NAMES, [".sig01", ".sig02", ".sig03"], strict=True)), "sigma": ".sigma"}


def test_each_replicate_is_a_fit(sleep, found):
    row = found.replicates.iloc[5]
    seed = np.random.SeedSequence(1).spawn(10)[0]
    from multilevel.model.simulation import gaussian_source

    again = sleep.refit(gaussian_source(sleep).draw(np.random.default_rng(seed), 64)[5])
    np.testing.assert_allclose(row[["(Intercept)", "Days"]], again.fixef, rtol=1e-5)
    table = again.varcorr().to_frame()
    np.testing.assert_allclose(row[NAMES], table["sdcor"].to_numpy()[[0, 2, 1]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sleepstudy_reml", "nested_vector_ml"])
def test_any_number_of_threads_gives_the_same(name, kind):
    fit = rc.fit(name)
    n = 70 if name == "sleepstudy_reml" else 20
    one = fit.bootstrap(n, kind=kind, rng=5, threads=1)
    np.testing.assert_array_equal(one.replicates, fit.bootstrap(n, kind=kind, rng=5, threads=3).replicates)
    assert not one.replicates.equals(fit.bootstrap(n, kind=kind, rng=6).replicates)


@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_are_those_of_the_model(sleep, kind):
    summary = sleep.bootstrap(600, kind=kind, rng=2).summary()
    # Clusters drawn with replacement vary less by about √((J − 1)/J).
    np.testing.assert_allclose(summary["std_error"][["(Intercept)", "Days"]], sleep.standard_errors, rtol=0.15)
    assert np.all(np.abs(summary["bias"][["(Intercept)", "Days"]]) < 0.2 * sleep.standard_errors)
    assert summary["estimate"]["Days"] == pytest.approx(10.467, abs=1e-3)


def test_intervals_agree_with_the_profile_where_both_are_good(found):
    profile = [[14.38, 37.72], [-0.48, 0.68], [3.80, 8.75], [22.90, 28.86], [237.68, 265.13], [7.36, 13.58]]
    parameters = [*NAMES, "sigma", "(Intercept)", "Days"]
    width = np.diff(profile, axis=1)
    for kind in ("percentile", "basic", "normal", "bca"):
        table = found.confint(kind=kind).loc[parameters]
        assert (table["conf_low"] < table["conf_high"]).all()
        assert (np.abs(table.to_numpy() - profile) < 0.3 * width).all()
    narrower = found.confint(0.5)
    assert (narrower["conf_low"] > found.confint()["conf_low"]).all()


def test_intervals_by_their_definitions():
    values = np.random.default_rng(3).gamma(4.0, size=(999, 1))
    estimate = np.array([3.5])
    ordered = np.sort(values[:, 0])
    np.testing.assert_allclose(replicate_interval(values, estimate, 0.9, "percentile")[0], ordered[[49, 949]])
    np.testing.assert_allclose(replicate_interval(values, estimate, 0.9, "basic")[0], 7.0 - ordered[[949, 49]])
    half = ndtri(0.95) * values.std(ddof=1)
    center = 7.0 - values.mean()
    np.testing.assert_allclose(replicate_interval(values, estimate, 0.9, "normal")[0], [center - half, center + half])
    jackknife = np.array([[1.0], [2.0], [4.0]])
    d = jackknife.mean() - jackknife[:, 0]
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    assert acceleration(jackknife[:, 0]) == pytest.approx(a)
    z0 = ndtri((values < 3.5).mean())
    z = z0 + ndtri([0.05, 0.95])
    expected = np.quantile(values, ndtr(z0 + z / (1 - a * z)), method="weibull")
    np.testing.assert_allclose(replicate_interval(values, estimate, 0.9, "bca", jackknife)[0], expected)
    symmetric = np.array([[1.0], [2.0], [3.0]])
    centred = replicate_interval(values, np.median(values, axis=0), 0.9, "bca", symmetric)
    np.testing.assert_allclose(centred, replicate_interval(values, estimate, 0.9, "percentile"), atol=0.02)
    assert np.isnan(replicate_interval(values, np.array([-1.0]), 0.9, "bca", jackknife)).all()
    assert np.isnan(replicate_interval(np.full((5, 1), np.nan), estimate, 0.9, "basic")).all()
    assert acceleration(np.ones(4)) == acceleration(np.ones(1)) == 0.0


def test_a_statistic(sleep):
    def ratio(fit):
        return {"ratio": fit.fixef["Days"] / fit.sigma, "days": fit.fixef["Days"]}

    found = sleep.bootstrap(40, rng=1, statistic=ratio)
    assert list(found.replicates.columns) == ["ratio", "days"]
    fast = sleep.bootstrap(40, rng=1).replicates
    np.testing.assert_allclose(found.replicates["days"], fast["Days"], rtol=1e-5)
    assert found.confint(kind="bca").shape == (2, 2)
    assert list(sleep.bootstrap(2, statistic=lambda fit: fit.sigma).replicates) == ["statistic"]
    assert list(sleep.bootstrap(2, statistic=lambda fit: fit.fixef).replicates) == ["(Intercept)", "Days"]
    array = sleep.bootstrap(2, kind="cluster", statistic=lambda fit: fit.fixef.to_numpy(), threads=1)
    assert list(array.replicates) == ["statistic1", "statistic2"]
    assert list(confint(sleep, "bootstrap", n=20, rng=1, statistic=ratio).index) == ["ratio", "days"]


def test_singular_replicates_count():
    fit = rc.fit("dyestuff2_reml")
    assert fit.is_singular
    found = fit.bootstrap(200, rng=1)
    assert found.n_not_converged == 0
    assert (found.replicates["sd_(Intercept)|Batch"] == 0).mean() > 0.3
    assert found.confint()["conf_low"]["sd_(Intercept)|Batch"] == 0.0


def test_crossed_factors():
    fit = rc.fit("penicillin_reml")
    found = fit.bootstrap(20, rng=1)
    assert found.n_not_converged == 0
    assert found.confint(kind="bca").shape == (6, 2)
    with pytest.raises(ml.DataError, match="crossed"):
        fit.bootstrap(2, kind="cluster")
    one = fit.bootstrap(10, kind="cluster", cluster="plate", rng=1)
    assert one.n_not_converged == 0
    assert one.confint(kind="bca").shape == (6, 2)


def test_replicates_that_cannot_be_fitted():
    # One Batch alone has x: it is missing from a third of the draws, and its column is then a column of zeros.
    frame = ml.load_dataset("Dyestuff")
    frame["x"] = np.where(frame["Batch"].eq("A"), np.arange(30.0) % 5, 0.0)
    found = ml.lmer("Yield ~ x + (1 | Batch)", frame).bootstrap(60, kind="cluster", rng=1)
    assert 5 < found.n_not_converged < 40
    assert found.replicates[~found.converged].isna().all(axis=None)
    assert (found.summary()["replicates"] == found.converged.sum()).all()
    assert "not converged" in repr(found)
    assert found.confint(kind="bca").loc["sigma"].notna().all()


def test_progress(sleep, capsys):
    quiet = sleep.bootstrap(30, rng=1)
    assert capsys.readouterr().err == ""
    shown = sleep.bootstrap(30, rng=1, progress=True)
    assert "bootstrap" in capsys.readouterr().err
    np.testing.assert_array_equal(quiet.replicates, shown.replicates)


def test_wald_intervals(sleep):
    model = next(m for m in rc.reference("inference")["models"] if m["name"] == "sleepstudy")
    table = wald_interval(sleep)
    assert list(table.index) == [*NAMES, "sigma", "(Intercept)", "Days"]
    np.testing.assert_allclose(table.loc[model["wald_interval"]["rows"]], model["wald_interval"]["values"], rtol=1e-6)
    assert table.loc[[*NAMES, "sigma"]].isna().all(axis=None)
    wider = wald_interval(sleep, ddf="satterthwaite")
    assert wider["conf_high"]["Days"] > table["conf_high"]["Days"]
    assert wald_interval(sleep, 0.5)["conf_high"]["Days"] < table["conf_high"]["Days"]


def test_confint(sleep, found):
    expected = [*NAMES, "sigma", "(Intercept)", "Days"]
    for method, options in [("wald", {}), ("profile", {}), ("bootstrap", {"n": 600, "rng": 1})]:
        table = confint(sleep, method, **options)
        assert list(table.index) == expected
        assert list(table.columns) == ["conf_low", "conf_high"]
    np.testing.assert_array_equal(table, found.confint().loc[expected])


def test_names():
    fit = rc.fit("subjects_items_uncorrelated_reml")
    names = variance_parameter_names(fit)
    assert len(names) == fit.theta.size
    assert next(iter(lme4_names(fit).values())) == ".sig01"
    assert list(lme4_names(fit))[-1] == "sigma"


def test_options_that_do_not_exist(sleep):
    for options in ({"kind": "wild"}, {"n": 0}, {"threads": 0}, {"cluster": "Subject"}):
        with pytest.raises(ml.ControlError):
            sleep.bootstrap(**options)
    with pytest.raises(ml.ControlError, match="'studentized'"):
        sleep.bootstrap(3).confint(kind="studentized")
    with pytest.raises(ml.ControlError, match="between 0 and 1"):
        sleep.bootstrap(3).confint(95)
    with pytest.raises(ml.ControlError, match="'score'"):
        confint(sleep, "score")
    with pytest.raises(ml.ControlError, match="no options n"):
        confint(sleep, "wald", n=10)
