"""ICC, R² and the split of the variance beside a residual structure, against nlme, insight and performance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc

DATA = rc.reference("covariance_structures")["data"]
STORED = {model["name"]: model for model in rc.reference("residual_variance")["models"]}
MODELS = {
    "ovary_ar1": ("ovary", "follicles ~ sine + cosine + (1 | mare)", lambda: ml.cor_ar1()),
    "series_car1": ("series", "y ~ step + (1 | subject)", lambda: ml.cor_car1("clock")),
    "orthodont_ident": ("orthodont", "distance ~ age * sex + (1 | subject)", lambda: ml.var_ident("sex")),
    "orthodont_slope_ident": ("orthodont", "distance ~ age * sex + (age | subject)", lambda: ml.var_ident("sex")),
    "series_both": ("series", "y ~ step + (1 | subject)", lambda: [ml.var_ident("arm"), ml.cor_ar1("step")]),
}


def frame_of(name):
    frame = pd.DataFrame(DATA[name])
    if name == "ovary":
        frame["sine"], frame["cosine"] = np.sin(2 * np.pi * frame["time"]), np.cos(2 * np.pi * frame["time"])
    return frame


def fit_of(name, **options):
    source, formula, residual = MODELS[name]
    return ml.lmer(formula, frame_of(source), residual=residual(), **options)


@pytest.mark.parametrize("name", MODELS)
def test_against_nlme(name):
    stored, fit = STORED[name], fit_of(name)
    parts = ml.variance_decomposition(fit)
    assert parts.fixed == pytest.approx(stored["fixed"], rel=1e-4)
    assert parts.random == pytest.approx(stored["random"], rel=1e-4)
    assert fit.sigma**2 == pytest.approx(stored["residual"], rel=1e-4)
    assert parts.residual == pytest.approx(stored["mean_residual"], rel=1e-4)
    if "ident" in name or "both" in name:
        # insight takes the first stratum's variance for that of all rows
        assert abs(parts.residual / stored["residual"] - 1) > 0.1
        assert "differs by" in parts.notes[-1]
        return
    assert parts.residual == fit.sigma**2
    found, explained, indices = ml.icc(fit), ml.r2(fit), ml.model_performance(fit)
    assert found.adjusted == pytest.approx(stored["icc"]["ICC_adjusted"], rel=1e-4)
    assert found.unadjusted == pytest.approx(stored["icc"]["ICC_unadjusted"], rel=1e-4)
    assert explained.conditional == pytest.approx(stored["r2"]["R2_conditional"], rel=1e-4)
    assert explained.marginal == pytest.approx(stored["r2"]["R2_marginal"], rel=1e-4)
    assert (indices.icc, indices.r2_marginal) == (found.adjusted, explained.marginal)


def test_the_reference_level_does_not_matter():
    frame = frame_of("orthodont")
    other = frame.assign(sex=pd.Categorical(frame["sex"], categories=["Male", "Female"]))
    one, two = (ml.lmer(MODELS["orthodont_ident"][1], d, residual=ml.var_ident("sex")) for d in (frame, other))
    assert one.sigma != pytest.approx(two.sigma, rel=0.1)
    for measure in (lambda f: ml.icc(f).adjusted, lambda f: ml.r2(f).marginal):
        assert measure(one) == pytest.approx(measure(two), rel=1e-5)
    explained = [ml.r2(f, "rights-sterba").values["f"] for f in (one, two)]
    assert explained[0] == pytest.approx(explained[1], rel=1e-5)


def test_strata_of_equal_variance_change_nothing():
    frame = ml.load_dataset("sleepstudy").assign(half=lambda d: (d["Days"] % 2).astype(str))
    # Both halves have the same residuals, so the ratio is one.
    twice = pd.concat([frame.assign(half="a"), frame.assign(half="b")], ignore_index=True)
    model = "Reaction ~ Days + (1 | Subject)"
    plain, strata = ml.lmer(model, twice), ml.lmer(model, twice, residual=ml.var_ident("half"))
    assert strata.residual_parameters["sd_ratio_b"] == pytest.approx(1.0, abs=1e-6)
    for method in ("nakagawa", "rights-sterba", "snijders-bosker", "raudenbush-bryk"):
        assert ml.r2(strata, method).values == pytest.approx(
            ml.r2(plain, method).values, rel=1e-6, abs=1e-8, nan_ok=True
        )
    assert ml.icc(strata).adjusted == pytest.approx(ml.icc(plain).adjusted, rel=1e-6)
    assert ml.variance_decomposition(strata).residual == pytest.approx(plain.sigma**2, rel=1e-6)


def test_reduction_by_level_fits_the_null_model_with_the_same_structure():
    fit = fit_of("orthodont_ident")
    null = ml.lmer("distance ~ 1 + (1 | subject)", frame_of("orthodont"), residual=ml.var_ident("sex"))
    parts, without = ml.variance_decomposition(fit), ml.variance_decomposition(null)
    found = ml.r2(fit, "raudenbush-bryk").values
    assert found["level_1"] == pytest.approx(1 - parts.residual / without.residual, rel=1e-6)
    assert found["subject"] == pytest.approx(1 - parts.random / without.random, rel=1e-5)


def test_intervals_take_the_ratios_of_the_replicates():
    fit = fit_of("series_both")
    found = ml.icc(fit, ci=0.9, n=40, rng=5)
    replicates = fit.bootstrap(40, rng=5)
    table = replicates.replicates[replicates.converged]
    rows = frame_of("series")["arm"].value_counts()
    mean = (rows["a"] + rows["b"] * table["sd_ratio_b"] ** 2 + rows["c"] * table["sd_ratio_c"] ** 2) / rows.sum()
    values = table["sd_(Intercept)|subject"] ** 2
    shares = values / (values + table["sigma"] ** 2 * mean)
    expected = np.quantile(shares, [0.05, 0.95], method="weibull")
    assert found.intervals["adjusted"] == pytest.approx(tuple(expected), rel=1e-9)


def test_the_variance_of_a_cluster_mean_is_not_given_for_correlated_residuals():
    with pytest.raises(ml.ControlError, match="independent within clusters"):
        ml.r2(fit_of("ovary_ar1"), "snijders-bosker")
