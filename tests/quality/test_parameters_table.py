"""All parameters in one table: against parameters and glmmTMB in R, and against the deviance's Hessian."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy.special import ndtri

import multilevel as ml
from multilevel.inference.natural_parameters import NaturalDeviance
from multilevel.quality.variance_intervals import variance_parameter_table
from reference_cases import frame, reference

MODELS = {
    f"{model['name']}_{'reml' if model['reml'] else 'ml'}": model for model in reference("parameters_table")["models"]
}


@functools.cache
def fitted(name):
    model = MODELS[name]
    return ml.lmer(model["formula"], frame(model["source"], model["data"]), reml=model["reml"])


@functools.cache
def sleepstudy():
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


# ---- against R ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_random_part_agrees_with_glmmtmb(name):
    # glmmTMB's optimiser stops earlier; its estimates are as far off as its standard errors.
    random = ml.model_parameters(fitted(name), "random").random.set_index("parameter")
    expected = MODELS[name]["random"]
    assert set(random.index) == set(expected)
    for parameter, numbers in expected.items():
        assert random["estimate"][parameter] == pytest.approx(numbers["estimate"], rel=1e-4)
        assert random["std_error"][parameter] == pytest.approx(numbers["std_error"], rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_fixed_part_agrees_with_parameters(name):
    model = MODELS[name]
    for kind in ("residual", "satterthwaite"):
        expected = model.get(kind)
        if not expected:
            continue
        fixed = ml.model_parameters(fitted(name), "fixed", ddf=kind).fixed
        for own, other in [("estimate", "Coefficient"), ("std_error", "SE"), ("statistic", "t")]:
            assert fixed[own].to_numpy() == pytest.approx(expected[other], rel=1e-6)
        assert fixed["df"].to_numpy() == pytest.approx(expected["df_error"], rel=1e-5)
        assert fixed["p_value"].to_numpy() == pytest.approx(expected["p"], rel=1e-5)
        assert fixed["conf_low"].to_numpy() == pytest.approx(expected["CI_low"], rel=1e-6)
        assert fixed["conf_high"].to_numpy() == pytest.approx(expected["CI_high"], rel=1e-6)


# ---- the variance parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "formula"),
    [
        (("fixture", "machines"), "score ~ Machine + (Machine | Worker)"),
        (("fixture", "five_slopes"), "y ~ x1 + x2 + (x1 + x2 + x3 | g)"),
        (("dataset", "sleepstudy"), "Reaction ~ Days + (Days || Subject)"),
        (("dataset", "Penicillin"), "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        (("fixture", "school_class_pupil"), "y ~ x + (x | school) + (1 | school:class)"),
    ],
)
def test_errors_are_those_of_the_deviance(data, formula):
    fit = ml.lmer(formula, frame(*data), reml=False)
    engine = fit._engine
    deviance = NaturalDeviance.of(engine.objective)
    hessian = deviance.evaluate(deviance.values_of(engine.term_factors(), engine.sigma))[2]
    expected = np.sqrt(np.diag(2.0 * np.linalg.inv(hessian)))
    assert variance_parameter_table(fit)["std_error"].to_numpy() == pytest.approx(expected, rel=1e-6)


def test_intervals_are_of_the_logarithm_and_of_z():
    table = variance_parameter_table(sleepstudy(), 0.9)
    z = ndtri(0.95)
    for name, row in table.iterrows():
        if name.startswith("cor_"):
            half = z * row["std_error"] / (1 - row["estimate"] ** 2)
            ends = np.tanh(np.arctanh(row["estimate"]) + np.array([-half, half]))
        else:
            ends = row["estimate"] * np.exp(np.array([-z, z]) * row["std_error"] / row["estimate"])
        assert row[["conf_low", "conf_high"]].to_numpy() == pytest.approx(ends, rel=1e-12)


def test_units_only_rescale():
    data = frame("dataset", "sleepstudy")
    plain = variance_parameter_table(sleepstudy())
    hours = variance_parameter_table(
        ml.lmer("Reaction ~ Hours + (Hours | Subject)", data.assign(Hours=24e6 * data.Days))
    )
    assert hours.loc["sd_Hours|Subject"].to_numpy() * 24e6 == pytest.approx(
        plain.loc["sd_Days|Subject"].to_numpy(), rel=1e-5
    )
    assert hours.loc["cor_Hours.(Intercept)|Subject"].to_numpy() == pytest.approx(
        plain.loc["cor_Days.(Intercept)|Subject"].to_numpy(), rel=1e-4
    )


def test_no_interval_on_the_boundary():
    fit = ml.lmer("y ~ x + (x | g)", frame("fixture", "perfect_correlation"))
    table = ml.model_parameters(fit).random.set_index("parameter")
    assert table["conf_low"].isna().tolist() == [False, False, True, False]
    assert "No Wald interval on the boundary" in str(ml.model_parameters(fit))
    none = ml.model_parameters(ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))).random
    assert none["estimate"].iloc[0] == 0.0
    assert none["std_error"].isna().tolist() == [True, False]
    # What is left is the linear model: σ̂ has the standard error σ / √(2 (n − 1)).
    assert none["std_error"].iloc[1] == pytest.approx(none["estimate"].iloc[1] / np.sqrt(2 * 29), rel=1e-6)


# ---- the table ---------------------------------------------------------------------------------------------------------


def test_rows_and_columns():
    found = ml.model_parameters(sleepstudy())
    table = found.to_frame()
    assert list(table.index) == [
        "(Intercept)",
        "Days",
        "SD (Intercept: Subject)",
        "SD (Days: Subject)",
        "Cor (Intercept~Days: Subject)",
        "SD (Residual)",
    ]
    assert table["effect"].tolist() == ["fixed"] * 2 + ["random"] * 4
    assert table["group"].tolist()[2:] == ["Subject"] * 3 + ["Residual"]
    confint = sleepstudy().confint("wald")
    assert set(table["parameter"]) == set(confint.index)
    assert table["p_value"].isna().tolist() == [False] * 2 + [True] * 4
    assert list(ml.model_parameters(sleepstudy(), "fixed").to_frame()["parameter"]) == ["(Intercept)", "Days"]
    assert list(ml.model_parameters(sleepstudy(), "random").to_frame()["effect"]) == ["random"] * 4


def test_other_intervals():
    fit = sleepstudy()
    profile = ml.model_parameters(fit, ci_random="profile").random.set_index("parameter")
    expected = fit.confint("profile").loc[profile.index]
    assert profile[["conf_low", "conf_high"]].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-6)
    bootstrap = ml.model_parameters(fit, ci_random="bootstrap", interval="basic", n=50, rng=1, threads=1)
    table = bootstrap.random.set_index("parameter")
    expected = fit.confint("bootstrap", interval="basic", n=50, rng=1, threads=1).loc[table.index]
    assert table[["conf_low", "conf_high"]].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-12)
    none = ml.model_parameters(fit, "random", ci_random=None)
    assert none.random["conf_low"].isna().all()
    assert none.notes == ()


def test_standardized():
    found = ml.model_parameters(sleepstudy(), standardize="refit")
    again = ml.standardize_fit(sleepstudy())
    expected = ml.standardize_parameters(sleepstudy(), ddf="satterthwaite").to_frame()
    assert found.fixed["conf_low"].to_numpy() == pytest.approx(expected["conf_low"].to_numpy(), rel=1e-10)
    assert found.random["estimate"]["SD (Residual)"] == pytest.approx(again.sigma, rel=1e-12)
    basic = ml.model_parameters(sleepstudy(), standardize="basic")
    assert basic.random is None
    assert "only 'refit' standardizes them" in str(basic)


def test_bad_options():
    for arguments, message in [
        ({"effects": "some"}, "effects must be one of 'all'"),
        ({"ci_random": "exact"}, "ci_random must be one of 'wald'"),
        ({"n": 100}, "options n are for ci_random='bootstrap'"),
        ({"standardize": "all"}, "standardize must be one of"),
        ({"effects": "random", "standardize": "basic"}, "standardizes fixed effects only"),
        ({"level": 0.0}, "level must be a number between 0 and 1"),
    ]:
        with pytest.raises(ml.ControlError, match=message):
            ml.model_parameters(sleepstudy(), **arguments)


def test_forms_of_output():
    found = ml.model_parameters(sleepstudy())
    assert found.to_html().count("<table") == 2
    assert found._repr_html_() == found.to_html()
    assert found.to_markdown().count("| Estimate |") == 2
    assert found.to_latex().count(r"\begin{tabular}") == 2
    only = ml.model_parameters(sleepstudy(), "random")
    assert "Random effects\n" in str(only)
    assert "Fixed effects" not in str(only)
    assert "Parameters of y ~ 0 + (x | g)" in str(
        ml.model_parameters(ml.lmer("y ~ 0 + (x | g)", frame("fixture", "zero_slope")))
    )


def test_intervals_beside_a_residual_correlation_are_those_of_nlme():
    """R: intervals(lme(Reaction ~ Days, sleepstudy, ~ 1 | Subject, corAR1(form = ~ Days | Subject)))."""
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"), residual=ml.cor_ar1("Days"))
    random = ml.model_parameters(fit).random[["conf_low", "estimate", "conf_high"]].to_numpy()
    expected = [[18.49357, 31.71358, 54.38384], [29.19187, 37.63734, 48.52614]]
    np.testing.assert_allclose(random, expected, rtol=1e-4)
