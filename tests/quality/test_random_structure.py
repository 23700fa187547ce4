"""Principal components of random effects, and the reduction of random-effects structures."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from reference_cases import frame, reference
from small_models import without_data

COMPONENTS = {model["name"]: model for model in reference("step")["components"]}


@functools.cache
def fitted(source, name, formula):
    return ml.lmer(formula, frame(source, name))


def sleepstudy(formula="Reaction ~ Days + (Days | Subject)"):
    return fitted("dataset", "sleepstudy", formula)


# ---- principal components ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_agree_with_lme4(name):
    model = COMPONENTS[name]
    found = ml.re_pca(fitted(model["source"], model["data"], model["formula"]))
    assert list(found) == list(model["groups"])
    for group, expected in model["groups"].items():
        rotation = np.reshape(expected["rotation"], (len(expected["sdev"]),) * 2)
        assert found[group].standard_deviations == pytest.approx(expected["sdev"], abs=1e-6)
        assert np.abs(found[group].loadings) == pytest.approx(np.abs(rotation), abs=1e-6)


def test_components_make_up_the_covariance_matrix():
    fit = fitted("fixture", "five_slopes", "y ~ x1 + x2 + (x1 + x2 + x3 | g)")
    own = ml.re_pca(fit)["g"]
    whole = fit.sigma**2 * (own.loadings * own.standard_deviations**2) @ own.loadings.T
    assert whole == pytest.approx(fit.varcorr()["g"].to_numpy(), rel=1e-8)
    assert own.cumulative[-1] == pytest.approx(1.0)
    assert (own.loadings.max(axis=0) >= -own.loadings.min(axis=0)).all()


def test_components_of_the_correlations_do_not_depend_on_units():
    data = frame("dataset", "sleepstudy")
    hours = ml.lmer("Reaction ~ Hours + (Hours | Subject)", data.assign(Hours=24 * data.Days))
    found = [ml.re_pca(fit, correlation=True)["Subject"] for fit in (sleepstudy(), hours)]
    assert found[1].standard_deviations == pytest.approx(found[0].standard_deviations, rel=1e-5)
    assert found[0].standard_deviations @ found[0].standard_deviations == pytest.approx(2.0)


def test_missing_dimensions_are_said():
    found = ml.re_pca(fitted("fixture", "perfect_correlation", "y ~ x + (x | g)"))
    assert found["g"].n_components == 1
    assert "g: 1 of 2 components" in str(found)
    none = ml.re_pca(fitted("dataset", "Dyestuff2", "Yield ~ 1 + (1 | Batch)"))
    assert none["Batch"].n_components == 0
    assert none["Batch"].proportions.tolist() == [0.0]


def test_components_in_all_forms():
    found = ml.re_pca(sleepstudy())
    assert len(found) == 1
    assert found.loadings("Subject").index.tolist() == ["(Intercept)", "Days"]
    assert found.to_frame().shape == (2, 5)
    assert "Cumulative proportion" in str(found)
    assert "| PC1 |" in found.to_markdown()
    assert "<table" in found._repr_html_()


# ---- reduction ---------------------------------------------------------------------------------------------------------


def likelihood(fit):
    return fit.reml_criterion if fit.reml else fit.deviance


def check(result):
    """Check what must hold of any reduction."""
    steps, final = result.steps, result.final_model
    last = steps[steps["accepted"]].iloc[-1]
    assert final.convergence.converged
    assert steps["converged"].all()
    assert final.loglik == pytest.approx(last["loglik"], rel=1e-9)
    assert final.n_parameters == last["npar"]
    assert final.nobs == result.initial_model.nobs
    assert final.reml == result.initial_model.reml
    assert set(final.formula.terms) == set(result.initial_model.formula.terms)
    bars = " + ".join(f"({bar})" for bar in final.formula.random)
    assert bars == last["random"]
    # Every step is one more or fewer than what it was compared with, at its likelihood ratio.
    assert (steps["chisq"].dropna() >= 0).all()
    assert (steps["df"].dropna() >= 1).all()
    assert result.against_initial[1] >= 0


def test_a_correlation_that_is_not_needed_goes():
    for reml in (True, False):
        fit = sleepstudy().update(reml=reml)
        result = ml.reduce_random_effects(fit)
        check(result)
        assert str(result.final_model.formula) == "Reaction ~ Days + (1 + Days || Subject)"
        actions = ["start", "without correlations", "without Days | Subject", "with correlations | Subject"]
        assert result.steps["action"].tolist() == actions
        assert result.steps["accepted"].tolist() == [True, True, False, False]
        table = ml.anova(fit, result.final_model, refit=False).to_frame()
        assert result.steps["chisq"][1] == pytest.approx(table["chisq"].dropna().iloc[0], rel=1e-7)
        assert result.against_initial[0] == pytest.approx(result.steps["chisq"][1], rel=1e-7)
        assert not ml.reduce_random_effects(fit, extend=False).steps["action"].str.contains("with corr").any()


def test_correlations_that_are_needed_come_back():
    fit = fitted("fixture", "subjects_items", "y ~ cond + (cond | subject) + (cond | item)")
    result = ml.reduce_random_effects(fit, alpha=0.05)
    check(result)
    assert str(result.final_model.formula) == "y ~ cond + (1 + cond | subject) + (1 + cond || item)"
    # Without its correlation the slope of the subjects seems to add nothing.
    steps = result.steps.set_index("action")
    assert steps["p_value"]["without correlations"] < 0.05
    assert steps["accepted"]["without cond | subject"].tolist() == [True, False]
    assert steps["accepted"]["back to the start"]
    assert result.against_initial[2] > 0.05
    by_aic = ml.reduce_random_effects(fit, criterion="aic")
    check(by_aic)
    assert by_aic.final_model.aic <= fit.aic + 1e-6


def test_variances_of_zero_go():
    result = ml.reduce_random_effects(fitted("fixture", "zero_slope", "y ~ x + (x | g)"))
    check(result)
    assert [str(bar) for bar in result.final_model.formula.random] == ["1 | g"]
    assert "singular" in str(result)
    assert not result.final_model.is_singular


def test_columns_of_factors_are_told_apart():
    data = frame("fixture", "ham")
    formula = "`Informed.liking` ~ Product * Information + (Product * Information | Consumer)"
    # 8 effects of 81 consumers, and as many rows.
    fit = ml.lmer(formula, data, control=ml.LmerControl(check_effects_against_rows="ignore"))
    result = ml.reduce_random_effects(fit, alpha=0.05)
    check(result)
    assert [str(bar) for bar in result.final_model.formula.random] == ["1 + Product2 + Product3 + Product4 | Consumer"]
    dropped = result.steps["action"][result.steps["accepted"]].tolist()
    # Interactions go before their parts.
    assert dropped.index("without Information2 | Consumer") > max(
        at for at, action in enumerate(dropped) if ":" in action
    )
    assert (result.final_model._data.frame["Product2"] == (data["Product"] == "2")).all()
    assert "Product2" not in data


def test_grouping_factors_stay_unless_asked():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 12), "h": np.tile(np.arange(12), 12), "x": rng.normal(size=144)})
    data["y"] = rng.normal(size=12)[data.g] + rng.normal(size=144)
    fit = ml.lmer("y ~ x + (x | g) + (x | h)", data)
    kept, gone = ml.reduce_random_effects(fit, alpha=0.01), ml.reduce_random_effects(fit, alpha=0.01, drop_groups=True)
    for result in (kept, gone):
        check(result)
    assert [str(bar) for bar in kept.final_model.formula.random] == ["1 | g", "1 | h"]
    assert [str(bar) for bar in gone.final_model.formula.random] == ["1 | g"]
    alone = ml.lmer("y ~ x + (1 | h)", data)
    assert str(ml.reduce_random_effects(alone, drop_groups=True).final_model.formula) == "y ~ x + (1 | h)"


def test_units_do_not_matter():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(20), 15)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=300), "z": rng.normal(size=300)})
    data["y"] = data.x + (1 + 0.8 * rng.normal(size=20))[g] * data.z + rng.normal(size=20)[g] + rng.normal(size=300)
    results = [
        ml.reduce_random_effects(ml.lmer("y ~ x + z + (x + z | g)", data.assign(x=data.x * scale)), alpha=0.01)
        for scale in (1.0, 1e4)
    ]
    for result in results:
        check(result)
        assert [str(bar) for bar in result.final_model.formula.random] == ["1 + z || g"]
    assert results[0].steps["action"].tolist() == results[1].steps["action"].tolist()


def test_rows_left_out_and_names_taken():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(15), 20)
    data = pd.DataFrame({"g": g, "f": np.array(list("ab"))[rng.integers(0, 2, 300)], "fb": rng.normal(size=300)})
    data["y"] = (data.f == "b") * rng.normal(size=15)[g] * 2 + data.fb + rng.normal(size=15)[g] + rng.normal(size=300)
    data.loc[:2, "fb"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("y ~ f + fb + (f + fb | g)", data)
    result = ml.reduce_random_effects(fit)
    check(result)
    # The factor's column cannot be called fb.
    assert str(result.final_model.formula.random[0]).startswith("1 + fb_ ")
    assert len(result.final_model._data.frame) == 297


def test_bad_options():
    for options, message in [({"criterion": "bic"}, "criterion must be"), ({"alpha": 1.0}, "alpha must lie")]:
        with pytest.raises(ml.ControlError, match=message):
            ml.reduce_random_effects(sleepstudy(), **options)
    with pytest.raises(ml.DataError, match="no data frame"):
        ml.reduce_random_effects(without_data(sleepstudy()))


def test_reductions_in_all_forms():
    result = ml.reduce_random_effects(sleepstudy())
    assert "Model found: Reaction ~ Days + (1 + Days || Subject)" in str(result)
    assert "Against the model at the start" in str(result)
    assert result.to_frame().equals(result.steps)
    for text in (result.to_html(), result.to_markdown(), result.to_latex()):
        assert "without correlations" in text
    assert "The model with the lower AIC" in str(ml.reduce_random_effects(sleepstudy(), criterion="aic"))
