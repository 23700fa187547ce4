"""Covariance structures of random terms and of residuals against R (tests/reference/covariance_structures.R)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "covariance_structures.json").read_text())


def data(name):
    frame = pd.DataFrame(REFERENCE["data"][name])
    if name == "ovary":
        frame["sine"], frame["cosine"] = np.sin(2 * np.pi * frame["time"]), np.cos(2 * np.pi * frame["time"])
    return frame


# ---- structures of random terms ----------------------------------------------------------------------------------------


def random_fit(case, **options):
    control = ml.LmerControl(**options)
    return ml.lmer(f"y ~ time + x + {case['formula']}", data("repeated"), reml=case["reml"], control=control)


@pytest.mark.parametrize("case", REFERENCE["random"], ids=lambda c: f"{c['formula'].split('(')[0]}-{c['reml']}")
def test_random_structures(case):
    fit = random_fit(case)
    assert fit.convergence.converged
    assert -2 * fit.loglik < case["criterion"] + 1e-8
    assert -2 * fit.loglik == pytest.approx(case["criterion"], rel=1e-9)
    if fit.is_singular:
        return  # R only comes near to the bound
    np.testing.assert_allclose(fit.fixef, case["beta"], rtol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, case["std_error"], rtol=1e-6)
    assert fit.sigma == pytest.approx(case["sigma"], rel=1e-6)
    np.testing.assert_allclose(fit.varcorr()["subject"], case["covariance"], rtol=0, atol=3e-6)


@pytest.mark.parametrize("case", REFERENCE["glmmTMB"], ids=lambda c: f"{c['structure']}-{c['reml']}")
def test_random_structures_of_glmmtmb(case):
    fit = random_fit({"formula": f"{case['structure']}(0 + factor(time) | subject)", "reml": case["reml"]})
    assert -2 * fit.loglik == pytest.approx(case["criterion"], rel=1e-9)
    assert -2 * fit.loglik < case["criterion"] + 1e-9


@pytest.mark.parametrize("optimizer", ["nelder-mead", "l-bfgs-b"])
def test_other_optimisers(optimizer):
    case = next(c for c in REFERENCE["random"] if c["formula"].startswith("ar1"))
    assert -2 * random_fit(case, optimizer=optimizer).loglik == pytest.approx(case["criterion"], abs=1e-5)


def test_structures_that_are_the_same_model():
    frame = ml.load_dataset("sleepstudy")
    plain = ml.lmer("Reaction ~ Days + (Days | Subject)", frame)
    same = ml.lmer("Reaction ~ Days + us(Days | Subject)", frame)
    symmetric = ml.lmer("Reaction ~ Days + cs(Days | Subject)", frame)  # two columns have one correlation anyway
    assert same.reml_criterion == plain.reml_criterion
    assert symmetric.reml_criterion == pytest.approx(plain.reml_criterion, rel=1e-12)
    assert symmetric.n_parameters == plain.n_parameters
    np.testing.assert_allclose(symmetric.varcorr()["Subject"], plain.varcorr()["Subject"], rtol=1e-6)
    np.testing.assert_allclose(symmetric.confint(), plain.confint().iloc[[0, 2, 1, 3, 4, 5]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(symmetric.summary().coefficients, plain.summary().coefficients, rtol=1e-5)
    bars = ml.lmer("Reaction ~ Days + (Days || Subject)", frame)
    diagonal = ml.lmer("Reaction ~ Days + diag(Days | Subject)", frame)
    assert diagonal.reml_criterion == pytest.approx(bars.reml_criterion, rel=1e-12)
    # compound symmetry with one variance is an intercept and a homogeneous deviation from it
    frame = data("repeated")
    split = ml.lmer("y ~ time + x + (1 | subject) + homdiag(0 + factor(time) | subject)", frame)
    joint = ml.lmer("y ~ time + x + homcs(0 + factor(time) | subject)", frame)
    assert joint.reml_criterion == pytest.approx(split.reml_criterion, rel=1e-10)


def test_hom_names_the_same_structures():
    frame = data("repeated")
    for short, long in [("homcs", "cs(0 + factor(time) | subject, hom = TRUE)"),
                        ("hetar1", "ar1(0 + factor(time) | subject, hom = FALSE)"),
                        ("homdiag", "diag(0 + factor(time) | subject, hom = TRUE)")]:  # fmt: skip
        one = ml.lmer(f"y ~ x + {short}(0 + factor(time) | subject)", frame)
        other = ml.lmer(f"y ~ x + {long}", frame)
        assert one.reml_criterion == other.reml_criterion


def test_parameters_and_their_names():
    fit = random_fit({"formula": "ar1(0 + factor(time) | subject)", "reml": True})
    assert list(fit.theta.index) == ["subject.sd", "subject.rho"]
    assert fit.n_parameters == 6
    covariance = fit.varcorr()["subject"].to_numpy()
    sd, rho = fit.theta * [fit.sigma, 1.0]
    lag = np.abs(np.arange(5)[:, None] - np.arange(5))
    np.testing.assert_allclose(covariance, sd**2 * rho**lag, rtol=1e-10)
    again = ml.lmer("y ~ time + x + ar1(0 + factor(time) | subject)", data("repeated"),
                    control=ml.LmerControl(start=tuple(fit.theta)))  # fmt: skip
    assert again.convergence.evaluations <= 3
    assert str(fit.varcorr()).splitlines()[1].endswith(f"{rho:.3f} (ar1)")
    intervals = fit.confint()
    assert list(intervals.index[:3]) == ["sd_all|subject", "cor_lag1|subject", "sigma"]
    assert (intervals["conf_low"] < [sd, rho, fit.sigma, *fit.fixef]).all()
    assert (intervals["conf_high"] > [sd, rho, fit.sigma, *fit.fixef]).all()


def test_printing_of_patterns():
    text = str(random_fit({"formula": "hetar1(0 + factor(time) | subject)", "reml": True}).varcorr()).splitlines()
    assert len(text) == 7
    assert text[1].endswith("(hetar1)")
    text = str(random_fit({"formula": "homtoep(0 + factor(time) | subject)", "reml": True}).varcorr())
    assert [line.split("(")[-1] for line in text.splitlines()[1:5]] == [f"homtoep, lag{i})" for i in (1, 2, 3, 4)]


def test_a_correlation_at_its_bound_is_reached_exactly():
    rng = np.random.default_rng(3)
    g, t = np.repeat(np.arange(30), 12), np.tile(np.repeat(np.arange(4), 3), 30)
    y = rng.normal(size=30)[g] + 0.5 * rng.normal(size=360)  # the same effect at all times
    fit = ml.lmer("y ~ 1 + homcs(0 + t | g)", pd.DataFrame({"y": y, "t": t.astype(str), "g": g}))
    assert fit.convergence.status == "singular"
    assert fit.is_singular
    assert fit.theta["g.rho"] == 1.0
    plain = ml.lmer("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))
    assert fit.reml_criterion == pytest.approx(plain.reml_criterion, rel=1e-10)
    # effects that sum to zero in every group: the smallest correlation possible
    effects = rng.normal(size=(30, 4))
    effects -= effects.mean(axis=1, keepdims=True)
    y = effects[g, t] + 0.3 * rng.normal(size=360)
    fit = ml.lmer("y ~ 1 + homcs(0 + t | g)", pd.DataFrame({"y": y, "t": t.astype(str), "g": g}))
    assert fit.convergence.status == "singular"
    assert fit.theta["g.rho"] == pytest.approx(-1.0 / 3.0, rel=1e-14)


def test_kenward_roger():
    linear = random_fit({"formula": "homcs(0 + factor(time) | subject)", "reml": True})
    same = ml.lmer("y ~ time + x + (1 | subject) + (1 | subject:time)", data("repeated"))
    found, expected = (f.summary(ddf="kenward-roger").coefficients for f in (linear, same))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_satterthwaite_does_not_depend_on_how_the_model_is_written():
    one = random_fit({"formula": "homcs(0 + factor(time) | subject)", "reml": True})
    other = ml.lmer("y ~ time + x + (1 | subject) + (1 | subject:time)", data("repeated"))
    np.testing.assert_allclose(one.summary().coefficients, other.summary().coefficients, rtol=1e-4)


def test_ranova_and_bootstrap():
    fit = random_fit({"formula": "ar1(0 + factor(time) | subject)", "reml": True})
    assert list(ml.ranova(fit).to_frame().index) == ["<none>", "factor(time) in ar1(0 + factor(time) | subject)"]
    replicates = fit.bootstrap(8, rng=1)
    assert list(replicates.estimates.index[-2:]) == ["sd_all|subject", "cor_lag1|subject"]
    assert replicates.n_not_converged == 0
    assert fit.update(". ~ . - x").formula.random[0].structure == "ar1"


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("ar1(time | subject)", "levels of one factor"),
        ("ar1(0 + time | subject)", r"0 \+ factor\(time\)"),
        ("toep(0 + factor(time):x | subject)", "levels of one factor"),
        ("cs(time || subject)", "write '|'"),
        ("ou(0 + time | subject)", "not available"),
        ("un(time | subject)", r"un\(\).* is us\(\) here; write 'us\(time \| subject\)'"),
        ("corAR1(0 + time | subject)", r"write 'ar1\(0 \+ time \| subject\)'"),
        ("us(time | subject, hom = TRUE)", "does not know"),
        ("cs(time | subject, hom = 1)", "does not know"),
        ("(cs(1 | subject) | subject)", "cannot stand within"),
        ("toep(0 + factor(step) | subject)", "random effects and there are"),
    ],
)
def test_what_is_refused(term, message):
    frame = data("repeated").assign(step=lambda d: d["time"] * 10 + d["rep"])
    with pytest.raises(ml.MultilevelError, match=message):
        ml.lmer(f"y ~ x + {term}", frame)


# ---- residual structures -----------------------------------------------------------------------------------------------

RESIDUAL_MODELS = {
    "orthodont_ident": ("orthodont", "distance ~ age * sex + (1 | subject)", lambda: ml.var_ident("sex")),
    "orthodont_slope_ident": ("orthodont", "distance ~ age * sex + (age | subject)", lambda: ml.var_ident("sex")),
    "ovary_ar1": ("ovary", "follicles ~ sine + cosine + (1 | mare)", ml.cor_ar1),
    "ovary_car1": ("ovary", "follicles ~ sine + cosine + (1 | mare)", lambda: ml.cor_car1("time")),
    "series_ar1": ("series", "y ~ step + (1 | subject)", lambda: ml.cor_ar1("step", within="subject")),
    "series_slope_ident": ("series", "y ~ step + (step | subject)", lambda: ml.var_ident("arm")),
    "series_car1": ("series", "y ~ step + (1 | subject)", lambda: ml.cor_car1("clock")),
    "series_both": ("series", "y ~ step + (1 | subject)", lambda: [ml.var_ident("arm"), ml.cor_ar1("step")]),
    "series_both_continuous": (
        "series",
        "y ~ step + (1 | subject)",
        lambda: [ml.var_ident("arm"), ml.cor_car1("clock")],
    ),
    "growth_both": (
        "growth",
        "weight ~ time * diet + (time | rat)",
        lambda: [ml.var_ident("diet"), ml.cor_car1("time")],
    ),
    "growth_weighted": ("growth", "weight ~ time * diet + (time | rat)", lambda: ml.var_ident("diet")),
}


def residual_fit(name, reml=True):
    source, formula, residual = RESIDUAL_MODELS[name]
    weights = "w" if name.endswith("weighted") else None
    return ml.lmer(formula, data(source), reml=reml, residual=residual(), weights=weights)


@pytest.mark.parametrize("case", REFERENCE["residual"], ids=lambda c: f"{c['name']}-{c['reml']}")
def test_residual_structures(case):
    fit = residual_fit(case["name"], case["reml"])
    assert fit.convergence.converged
    assert -2 * fit.loglik == pytest.approx(case["criterion"], rel=1e-8)
    assert fit.n_parameters == case["npar"]
    np.testing.assert_allclose(fit.fixef, case["beta"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, case["std_error"], rtol=1e-4)
    assert fit.sigma == pytest.approx(case["sigma"], rel=1e-4)
    ratios = [value for name, value in case["ratios"].items() if name != min(case["ratios"])] if case["ratios"] else []
    found = fit.residual_parameters
    ordered = sorted(case["ratios"])[1:] if case["ratios"] else []
    assert len(found) == len(ratios) + len(case["rho"])
    expected = [*(case["ratios"][level] for level in ordered), *case["rho"]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fit.residuals("scaled")[:8], case["pearson"], atol=1e-4)
    np.testing.assert_allclose(fit.residuals("normalized")[:8], case["normalized"], atol=1e-4)
    (effects,) = fit.ranef().groups.values()
    modes = effects.modes[[effects.levels.index(group) for group in case["groups"]], 0]
    np.testing.assert_allclose(modes, case["modes"], atol=2e-4)


def test_several_minima_are_searched():
    case = next(c for c in REFERENCE["random"] if c["formula"] == "cs(time + x | subject)" and c["reml"])
    # From here the search ends in a minimum that is not the lowest.
    local = random_fit(case, start=(1.0, 0.3, 0.3, -0.4))
    assert local.convergence.status == "converged"
    assert local.reml_criterion > random_fit(case).reml_criterion + 0.4


def test_sigma_belongs_to_the_first_level():
    fit = residual_fit("series_both")
    structure = fit.residual_structure
    assert structure.levels == ("a", "b", "c")
    np.testing.assert_allclose(structure.standard_deviations, fit.sigma * np.array([1.0, *fit.residual_parameters[:2]]))
    assert structure.rho == fit.residual_parameters["rho"]
    assert list(structure.to_frame().columns) == ["level", "std_dev", "ratio"]
    assert list(fit.residual_parameters.index) == ["sd_ratio_b", "sd_ratio_c", "rho"]
    plain = ml.lmer("y ~ step + (1 | subject)", data("series"))
    assert plain.residual_structure is None
    assert len(plain.residual_parameters) == 0


def test_residuals_on_their_scales():
    frame = data("series")
    fit = residual_fit("series_both")
    ratio = {"a": 1.0, **dict(zip("bc", fit.residual_parameters, strict=False))}
    scaled = fit.residuals() / frame["arm"].map(ratio) / fit.sigma
    np.testing.assert_allclose(fit.residuals("scaled"), scaled, rtol=1e-12)
    np.testing.assert_allclose(fit.residuals("pearson"), scaled * fit.sigma, rtol=1e-12)
    first = frame.groupby("subject")["step"].idxmin()
    np.testing.assert_allclose(fit.residuals("normalized")[first], scaled[first], rtol=1e-12)
    independent = ml.lmer("y ~ step + (1 | subject)", frame, weights="w")
    np.testing.assert_allclose(independent.residuals("normalized"), independent.residuals("scaled"), rtol=1e-14)


def test_prior_weights_scale_the_residual_variances():
    frame = data("series")
    weighted = ml.lmer("y ~ step + (1 | subject)", frame, weights="w", residual=ml.cor_ar1("step"))
    # Two weights that alternate with the steps are two strata with a known ratio.
    strata = ml.lmer("y ~ step + (1 | subject)", frame, residual=[ml.var_ident("w"), ml.cor_ar1("step")])
    assert strata.loglik >= weighted.loglik
    again = ml.lmer(
        "y ~ step + (1 | subject)", frame.assign(w=2.5 * frame["w"]), weights="w", residual=ml.cor_ar1("step")
    )
    assert again.loglik == pytest.approx(weighted.loglik, rel=1e-10)
    assert again.sigma == pytest.approx(np.sqrt(2.5) * weighted.sigma, rel=1e-5)
    free = ml.lmer("y ~ step + (1 | subject)", frame, weights="w", residual=[ml.var_ident("w"), ml.cor_ar1("step")])
    assert free.loglik == pytest.approx(strata.loglik, rel=1e-10)


def test_order_of_rows_does_not_matter():
    frame = data("series")
    shuffled = frame.sample(frac=1.0, random_state=1)
    model = ("y ~ step + (1 | subject)",)
    residual = [ml.var_ident("arm"), ml.cor_ar1("step")]
    one, other = (ml.lmer(*model, d, residual=residual) for d in (frame, shuffled))
    assert other.loglik == pytest.approx(one.loglik, rel=1e-12)
    np.testing.assert_allclose(other.residuals("normalized").loc[frame.index], one.residuals("normalized"), atol=1e-6)
    # a factor's levels stand for equally spaced times; time-less rows are one apart
    as_text = ml.lmer(*model, frame.assign(step=frame["step"].map("t{}".format)), residual=ml.cor_ar1("step"))
    assert as_text.convergence.converged
    in_order = ml.lmer(*model, frame, residual=ml.cor_ar1())
    assert in_order.loglik == ml.lmer(*model, frame, residual=ml.cor_ar1(within="subject")).loglik


def test_missing_values_of_the_structure_leave_rows_out():
    frame = data("series")
    frame.loc[[3, 40], "clock"] = np.nan
    frame.loc[7, "arm"] = None
    with pytest.warns(ml.MissingValuesWarning, match="3 of 135 rows"):
        fit = ml.lmer("y ~ step + (1 | subject)", frame, residual=[ml.var_ident("arm"), ml.cor_car1("clock")])
    kept = ml.lmer("y ~ step + (1 | subject)", frame.dropna(), residual=[ml.var_ident("arm"), ml.cor_car1("clock")])
    assert fit.loglik == pytest.approx(kept.loglik, rel=1e-12)
    assert fit.summary().missing == {"arm": 1, "clock": 2}


def test_satterthwaite_takes_residual_parameters_into_account():
    # Without any structure in the data but strata, against derivatives of the criterion written out with dense matrices.
    frame = data("series")
    fit = ml.lmer("y ~ step + (1 | subject)", frame, residual=[ml.var_ident("arm"), ml.cor_ar1("step")])
    n = len(frame)
    X = np.column_stack([np.ones(n), frame["step"]])
    y = frame["y"].to_numpy()
    same = frame["subject"].to_numpy()[:, None] == frame["subject"].to_numpy()
    lag = np.abs(frame["step"].to_numpy()[:, None] - frame["step"].to_numpy())
    arm = pd.Categorical(frame["arm"]).codes

    def covariance(p):
        tau, b, c, rho, sigma = p
        sd = sigma * np.array([1.0, b, c])[arm]
        return tau**2 * same + sd[:, None] * (rho**lag * same) * sd

    def deviance(p):
        inverse = np.linalg.inv(covariance(p))
        information = X.T @ inverse @ X
        error = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
        return np.linalg.slogdet(covariance(p))[1] + np.linalg.slogdet(information)[1] + error @ inverse @ error

    def vcov(p):
        return np.linalg.inv(X.T @ np.linalg.inv(covariance(p)) @ X)

    at = np.array([fit.theta.iloc[0] * fit.sigma, *fit.residual_parameters, fit.sigma])
    step = 1e-3
    units = np.eye(5) * step

    def second(a, b):
        return (
            deviance(at + units[a] + units[b]) - deviance(at + units[a] - units[b])
            - deviance(at - units[a] + units[b]) + deviance(at - units[a] - units[b])
        ) / (4.0 * step**2)  # fmt: skip

    hessian = np.array([[second(a, b) for b in range(5)] for a in range(5)])
    spread = 2.0 * np.linalg.inv(hessian)
    slopes = np.array([(vcov(at + u) - vcov(at - u)) / (2.0 * step) for u in units])
    found = fit.summary().coefficients["df"]
    for j in range(2):
        slope = slopes[:, j, j]
        assert found.iloc[j] == pytest.approx(2.0 * vcov(at)[j, j] ** 2 / (slope @ spread @ slope), rel=1e-3)
    # The same covariance of the parameters gives the intervals of those of the residuals.
    intervals = fit.confint("wald").loc[list(fit.residual_parameters.index)]
    reach = 1.959963984540054 * np.sqrt(np.diag(spread)[1:4])
    for name, value, half, jacobian, link in zip(
        intervals.index,
        at[1:4],
        reach,
        [1 / at[1], 1 / at[2], 1 / (1 - at[3] ** 2)],
        [np.log, np.log, np.arctanh],
        strict=True,
    ):
        expected = link(value) + half * jacobian * np.array([-1.0, 1.0])
        np.testing.assert_allclose(link(intervals.loc[name]), expected, rtol=1e-3, atol=1e-4)


def test_simulated_responses_have_the_covariance_of_the_model():
    frame = data("series").query("subject <= 3")
    fit = residual_fit("series_both")
    rows = frame.index.to_numpy()
    drawn = fit.simulate(60_000, rng=1)[:, rows]
    same = frame["subject"].to_numpy()[:, None] == frame["subject"].to_numpy()
    lag = np.abs(frame["step"].to_numpy()[:, None] - frame["step"].to_numpy())
    structure = fit.residual_structure
    sd = structure.standard_deviations[pd.Categorical(frame["arm"], categories=list("abc")).codes]
    expected = (fit.varcorr()["subject"].iloc[0, 0] + sd[:, None] * structure.rho**lag * sd) * same
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.06)
    conditional = fit.simulate(2, rng=1, conditional=True)
    assert conditional.shape == (2, fit.nobs)


def test_new_fits_keep_the_structure():
    fit = residual_fit("series_both")
    doubled = fit.refit(2 * data("series")["y"].to_numpy())
    assert doubled.sigma == pytest.approx(2 * fit.sigma, rel=1e-6)
    np.testing.assert_allclose(doubled.residual_parameters, fit.residual_parameters, rtol=1e-5)
    ml_fit = fit.update(reml=False)
    assert len(ml_fit.residual_parameters) == 3
    assert len(fit.update(". ~ . - step").residual_parameters) == 3
    assert fit.update(residual=None).residual_structure is None
    table = ml.anova(ml_fit.update(residual=None), ml_fit)
    assert table.to_frame()["df"].iloc[1] == 3
    assert "; residuals: variance by arm, AR(1) over step within subject" in str(table)
    assert fit.n_parameters - fit.update(residual=ml.var_ident("arm")).n_parameters == 1
    reduced = ml.drop1(ml_fit)
    assert reduced.to_frame().index[-1] == "step"


def test_bootstraps():
    fit = residual_fit("series_both")
    parametric = fit.bootstrap(6, rng=2)
    assert list(parametric.estimates.index[-3:]) == ["sd_ratio_b", "sd_ratio_c", "rho"]
    np.testing.assert_allclose(parametric.estimates.iloc[-3:], fit.residual_parameters, rtol=1e-12)
    clusters = fit.bootstrap(4, kind="cluster", rng=2)
    assert np.isfinite(clusters.replicates.to_numpy()).all()
    with pytest.raises(ml.ControlError, match="one by one"):
        fit.bootstrap(2, kind="residual", rng=2)
    residual_fit("series_slope_ident").bootstrap(2, kind="residual", rng=2)


def test_robust_covariance_uses_the_structure():
    fit = residual_fit("series_both")
    frame = data("series")
    M = fit.vcov().to_numpy()
    meat = np.zeros((2, 2))
    X = np.column_stack([np.ones(len(frame)), frame["step"]])
    error = frame["y"].to_numpy() - X @ fit.fixef.to_numpy()
    structure = fit.residual_structure
    for _, own in frame.groupby("subject"):
        at = own.index.to_numpy()
        lag = np.abs(own["step"].to_numpy()[:, None] - own["step"].to_numpy())
        sd = structure.standard_deviations[pd.Categorical(own["arm"], categories=list("abc")).codes]
        v = fit.varcorr()["subject"].iloc[0, 0] + sd[:, None] * structure.rho**lag * sd
        score = X[at].T @ np.linalg.solve(v, error[at])
        meat += np.outer(score, score)
    np.testing.assert_allclose(fit.vcov("CR0"), M @ meat @ M, rtol=1e-8)


def test_reports_show_the_structure():
    fit = residual_fit("series_both")
    for text in (str(fit.summary()), repr(fit), str(fit.residual_structure)):
        assert "AR(1) over step" in text
        assert f"{fit.residual_parameters['rho']:.4f}" in text
    assert "Residual structure" in fit.summary().to_html()
    assert "AR(1) over step" in fit.summary().to_markdown()
    found = fit.summary().to_dict()["residual_structure"]
    assert found["levels"] == ["a", "b", "c"]
    assert found["rho"] == fit.residual_parameters["rho"]


def test_what_is_not_available_is_said():
    fit = residual_fit("series_ar1")
    with pytest.raises(ml.ControlError, match="residual structure"):
        fit.summary(ddf="kenward-roger")
    assert fit.confint("wald").loc["step"].notna().all()


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        ("arm", "made by var_ident"),
        ([1], "made by var_ident"),
        ("corAR1(form = ~ step | subject)", r"cor_car1\(\), or .*: write cor_ar1\('step', within='subject'\)"),
        ("corCAR1(0.5, form = ~ clock)", r"write cor_car1\('clock'\)"),
        ("corAR1", r"write cor_ar1\('time', within='g'\)"),
        ("ar1", r"write cor_ar1\('time', within='g'\)"),
        (["varIdent(form = ~ 1 | arm * w)"], r"write var_ident\('arm:w'\)"),
        ("corCompSymm(form = ~ 1 | subject)", "a random intercept"),
        ("varPower()", r"varPower\(\) is not available"),
        (lambda: ml.var_ident("~ 1 | arm"), r"write var_ident\('arm'\)"),
        (lambda: ml.cor_ar1("~ step | subject/arm"), r"write cor_ar1\('step', within='subject:arm'\)"),
        (lambda: ml.cor_ar1("~ 1 | subject"), r"write cor_ar1\(within='subject'\)"),
        (lambda: ml.cor_car1("clock | subject"), r"write cor_car1\('clock', within='subject'\)"),
        (lambda: ml.cor_ar1("step", within="arm/subject"), "write within='arm:subject'"),
        (lambda: [ml.var_ident("arm"), ml.var_ident("w")], "two structures of the variances"),
        (lambda: ml.var_ident("constant"), "only 1 level"),
        (lambda: ml.var_ident("arms"), "arms"),
        (lambda: ml.cor_ar1("clock"), "not whole numbers"),
        (lambda: ml.cor_ar1("w"), "is the same in several rows"),
        (lambda: ml.cor_ar1("step", within="arm"), "is the same in several rows"),
        (lambda: ml.cor_ar1("row", within="arm"), "joins rows of different levels"),
        (lambda: ml.cor_ar1(within="row"), "has one row"),
    ],
)
def test_residual_structures_refused(residual, message):
    frame = data("series").assign(constant="k", row=lambda d: np.arange(len(d)))
    with pytest.raises(ml.MultilevelError, match=message):
        ml.lmer("y ~ step + (1 | subject)", frame, residual=residual() if callable(residual) else residual)


def test_weights_are_no_residual_structure():
    with pytest.raises(ml.DataTypeError, match=r"write var_ident\('arm'\) as residual"):
        ml.lmer("y ~ step + (1 | subject)", data("series"), weights="varIdent(form = ~ 1 | arm)")


@pytest.mark.parametrize("make", [ml.var_ident, ml.cor_ar1, ml.cor_car1])
def test_names_must_be_text(make):
    with pytest.raises(ml.DataTypeError, match="must be a text"):
        make(3)


# ---- what rests on the rows --------------------------------------------------------------------------------------------


def test_predictions_know_the_strata():
    fit = residual_fit("series_both")
    frame = data("series")
    new = frame.iloc[:6].assign(arm=list("abcabc"))
    table = fit.predict(new, re_formula="~0", interval="prediction")
    sd = fit.residual_structure.standard_deviations[[0, 1, 2, 0, 1, 2]]
    inner = fit.predict(new, re_formula="~0", se=True)["std_error"]
    half = 1.959963984540054 * np.sqrt(inner**2 + sd**2)
    np.testing.assert_allclose(table["conf_high"] - table["fit"], half, rtol=1e-10)
    own = fit.predict(interval="prediction")
    assert (own["conf_high"] > own["conf_low"]).all()
    with pytest.raises(ml.DataError, match="'z'"):
        fit.predict(new.assign(arm="z"), re_formula="~0", interval="prediction")
    np.testing.assert_allclose(fit.predict(frame), fit.fitted(), rtol=1e-12)


def test_patterned_fits_are_saved_and_loaded(tmp_path):
    fit = random_fit({"formula": "hetar1(0 + factor(time) | subject)", "reml": True})
    fit.save(tmp_path / "fit.mlm")
    again = ml.load(tmp_path / "fit.mlm")
    assert str(again.summary()) == str(fit.summary())
    new = data("repeated").head(7)
    np.testing.assert_allclose(again.predict(new, se=True), fit.predict(new, se=True), rtol=1e-12)


def test_patterned_fits_are_judged_like_others():
    fit = random_fit({"formula": "homcs(0 + factor(time) | subject)", "reml": True})
    same = ml.lmer("y ~ time + x + (1 | subject) + (1 | subject:time)", data("repeated"))
    assert ml.icc(fit).to_frame().iloc[0, 0] == pytest.approx(ml.icc(same).to_frame().iloc[0, 0], rel=1e-4)
    assert ml.r2(fit).conditional == pytest.approx(ml.r2(same).conditional, rel=1e-4)
    np.testing.assert_allclose(ml.cooks_distance(fit), ml.cooks_distance(same), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(fit.predict(se=True), same.predict(se=True), rtol=1e-4)


@pytest.mark.parametrize(
    "use",
    [
        ml.cooks_distance,
        ml.rstandard,
        ml.hatvalues,
        ml.conditional_aic,
        lambda f: f.simulate(1, newdata=data("series")),
    ],
)
def test_what_does_not_know_residual_structures_says_so(use):
    with pytest.raises(ml.ControlError, match="residual"):
        use(residual_fit("series_both"))


def test_joint_fits_by_the_other_criterion():
    fit = residual_fit("series_both")
    assert fit.update(reml=False).loglik == pytest.approx(residual_fit("series_both", reml=False).loglik, rel=1e-10)
