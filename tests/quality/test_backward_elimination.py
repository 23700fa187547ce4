"""Backward elimination: against lmerTest, and its way with kept terms, missing rows and last terms."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from reference_cases import frame, reference
from small_models import without_data

MODELS = {model["name"]: model for model in reference("step")["steps"]}
COLUMNS = {
    "Eliminated": "eliminated",
    "npar": "npar",
    "logLik": "loglik",
    "AIC": "aic",
    "LRT": "chisq",
    "Df": "df",
    "Pr(>Chisq)": "p_value",
    "Sum Sq": "sum_sq",
    "Mean Sq": "mean_sq",
    "NumDF": "df_numerator",
    "DenDF": "df_denominator",
    "F value": "statistic",
    "Pr(>F)": "p_value",
}


@functools.cache
def found(name):
    model = MODELS[name]
    contrasts = {key: np.array(value) for key, value in model.get("contrasts", {}).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MissingValuesWarning)
        fit = ml.lmer(model["formula"], frame(model["source"], model["data"]), contrasts=contrasts)
    keep = [model["keep"]] if "keep" in model else []
    return fit, ml.step(fit, keep=keep, reduce_random=model["reduce_random"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("part", ["random", "fixed"])
def test_tables_agree_with_r(name, part):
    expected = MODELS[name][part]
    own = getattr(found(name)[1], part).to_frame()
    assert list(own.index) == expected["rows"]
    tolerances = {"loglik": 1e-8, "aic": 1e-8, "df_denominator": 1e-5}
    for column, values in zip(expected["columns"], zip(*expected["values"], strict=True), strict=True):
        label = COLUMNS[column]
        numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
        close = pytest.approx(numbers, rel=tolerances.get(label, 5e-6), abs=1e-30, nan_ok=True)
        assert own[label].to_numpy(dtype=float) == close


@pytest.mark.parametrize("name", MODELS)
def test_the_model_found_is_that_of_r(name):
    final = found(name)[1].final_model
    other = ml.parse_formula(" ".join(MODELS[name]["final"].split()))
    assert set(final.formula.terms) == set(other.terms)
    assert {str(bar) for bar in final.formula.random} == {str(bar) for bar in other.random}
    assert final.convergence.converged


def test_tests_end_when_all_are_significant():
    fit, result = found("ham")
    assert result.final_model.nobs == fit.nobs
    again = ml.step(result.final_model)
    assert (again.fixed.to_frame()["eliminated"] == 0).all()
    assert str(again.final_model.formula) == str(result.final_model.formula)


def test_nothing_is_reduced_where_not_asked():
    fit, _ = found("ham")
    result = ml.step(fit, reduce_random=False, reduce_fixed=False)
    assert result.final_model is fit
    assert result.random.to_frame()["chisq"].to_numpy()[1:] == pytest.approx(
        ml.ranova(fit).to_frame()["chisq"].to_numpy()[1:], rel=1e-12
    )
    assert list(result.fixed.to_frame().index) == ["Product:Information"]


@functools.cache
def noise():
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "h": np.tile(np.arange(10), 12)})
    data["x"], data["z"], data["y"] = rng.normal(size=120), rng.normal(size=120), rng.normal(size=120)
    return data


def test_the_last_random_term_stays_and_it_is_said():
    result = ml.step(ml.lmer("y ~ x * z + (1 | g) + (1 | h)", noise()))
    assert len(result.final_model.formula.random) == 1
    assert "stays as the last random-effects term" in str(result)
    assert str(result.final_model.formula).startswith("y ~ 1 + (1 | ")
    assert result.fixed.to_frame()["eliminated"].tolist() == [1, 2, 3]


def test_rows_left_out_at_the_beginning_stay_out():
    data = noise().copy()
    data.loc[:4, "x"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("y ~ x + z + (1 | g) + (1 | h)", data, weights=np.linspace(1, 2, 120), offset=np.zeros(120))
    result = ml.step(fit)
    assert "x" not in result.final_model.formula.terms
    assert result.final_model.nobs == 115
    assert result.final_model.get_me("weights") == pytest.approx(np.linspace(1, 2, 120)[5:])


def test_kept_terms_keep_their_parts():
    result = ml.step(ml.lmer("y ~ x * z + (1 | g)", noise()), keep=["z:x"])
    assert result.final_model.formula.terms == ("x", "z", "x:z")
    assert "Kept: z:x" in str(result)
    result = ml.step(ml.lmer("y ~ x * z + (1 | g)", noise()), keep=["x"])
    assert result.final_model.formula.terms == ("x",)


def test_other_degrees_of_freedom_offsets_and_no_intercept():
    fit = ml.lmer("angle ~ 0 + recipe + temp + offset(temp / 10) + (1 | recipe:replicate)", ml.load_dataset("cake"))
    result = ml.step(fit, ddf="kenward-roger")
    assert "Kenward and Roger" in str(result)
    assert result.final_model.formula.offsets == ("offset(temp/10)",)
    assert not result.final_model.formula.intercept


def test_reductions_that_another_term_covers():
    # Without x, (0 + x | g) is (1 | g), which the model has already.
    data = noise().assign(y=noise().y + 0.5 * noise().g)
    result = ml.step(ml.lmer("y ~ x + (0 + x | g) + (1 | g)", data), alpha_random=1e-6)
    assert result.random.to_frame()["eliminated"].tolist()[1:] == [1, 0]
    assert [str(bar) for bar in result.final_model.formula.random] == ["1 | g"]


def test_a_model_without_fixed_terms():
    result = ml.step(ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff")))
    assert len(result.fixed.to_frame()) == 0
    assert "no fixed-effects terms to test" in str(result)


def test_bad_options():
    fit = ml.lmer("y ~ x + (1 | g)", noise())
    for options, error, message in [
        ({"keep": "x"}, ml.DataTypeError, r"such as \['x'\]"),
        ({"keep": ["w"]}, ml.ControlError, "its terms are x"),
        ({"keep": ["x + z"]}, ml.ControlError, "keep names 'x . z'"),
        ({"alpha_random": -1}, ml.ControlError, "alpha_random"),
        ({"alpha_fixed": 2}, ml.ControlError, "alpha_fixed"),
        ({"ddf": "z"}, ml.ControlError, "ddf must be"),
    ]:
        with pytest.raises(error, match=message):
            ml.step(fit, **options)
    with pytest.raises(ml.DataError, match="no data frame"):
        ml.step(without_data(fit))


def test_forms_of_output():
    result = found("carrots")[1]
    text = str(result)
    assert text.endswith("Model found:\nPreference ~ sens2 + Homesize + (1 + sens2 | Consumer)")
    assert "Eliminated" in text
    assert result._repr_html_().count("<table") == 2
    assert result.to_markdown().count("Eliminated |") == 2
    assert result.to_latex().count(r"\begin{tabular}") == 2


@pytest.mark.parametrize("structure", ["cs", "diag"])
def test_structured_terms_keep_their_structure(structure):
    data = ml.load_dataset("sleepstudy")
    data = data.assign(z=np.random.default_rng(1).normal(size=len(data)))
    found = ml.step(ml.lmer(f"Reaction ~ Days + z + {structure}(Days + z | Subject)", data))
    assert str(found.final_model.formula) == f"Reaction ~ Days + {structure}(Days | Subject)"
