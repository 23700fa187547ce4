"""Variances of a model's parts against insight, lme4's matrices and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import multilevel as ml
import reference_cases as rc
from multilevel.quality.variance import mean_products
from small_models import designs, indicator_columns

CASES = {case["name"]: case for case in rc.reference("quality_performance")["variances"]}

LEFT_OUT = {"sleepstudy_uncorrelated_reml", "cake_recipe_cells_reml"}
"""insight leaves out a second term on a factor, and columns that are not among the fixed effects."""


@pytest.mark.parametrize("name", CASES)
def test_against_insight_and_lme4(name):
    expected, found = CASES[name], ml.variance_decomposition(rc.fit(name))
    # The optima of the largest models agree to this many digits (see tests/reference/README.md).
    close = 2e-6 if "scottish" in name else 1e-7
    assert found.fixed == pytest.approx(expected["fixed"], rel=1e-7, abs=1e-12)
    assert found.random == pytest.approx(expected["mean_random"], rel=close)
    assert found.residual == pytest.approx(expected["residual"], rel=1e-7)
    if name in LEFT_OUT:
        assert abs(found.random / expected["random"] - 1) > 0.1
    else:
        assert found.random == pytest.approx(expected["random"], rel=close)
    assert found.total == pytest.approx(found.fixed + found.random + found.residual)
    assert sum(found.by_group.values()) == pytest.approx(found.random)
    assert ("singular" in " ".join(found.notes)) == expected["is_na_in_performance"]


@given(designs())
@settings(max_examples=40)
def test_mean_variance_is_the_trace_over_the_rows(design):
    rng = np.random.default_rng(3)
    for term in design.random:
        k = len(term.columns)
        factor = rng.normal(size=(k, k))
        z = indicator_columns(design, term) @ np.kron(np.eye(term.factor.n_levels), factor)
        mean = float(((factor @ factor.T) * mean_products(design, term.columns)).sum())
        assert mean == pytest.approx(np.trace(z @ z.T) / design.nobs, rel=1e-10)
        shift = rng.normal(size=k)
        values = design.columns[:, list(term.columns)] - shift
        np.testing.assert_allclose(
            mean_products(design, term.columns, shift), values.T @ values / design.nobs, atol=1e-10
        )


def test_an_intercept_alone_has_no_variance_however_large():
    frame = ml.load_dataset("Dyestuff")
    frame["Yield"] += 1e9
    assert ml.variance_decomposition(ml.lmer("Yield ~ 1 + (1 | Batch)", frame)).fixed == 0.0


def test_without_fixed_effects():
    fit = ml.lmer("Reaction ~ 0 + (1 | Subject)", ml.load_dataset("sleepstudy"))
    assert ml.variance_decomposition(fit).fixed == 0.0
    assert ml.r2(fit).marginal == 0.0


def test_the_frame_and_the_forms():
    found = ml.variance_decomposition(rc.fit("weights_and_offset_reml"))
    frame = found.to_frame()
    assert frame["component"].tolist() == ["fixed", "random", "residual"]
    assert frame["share"].sum() == pytest.approx(1.0)
    assert frame.loc[1, "term"] == "Days | Subject"
    assert any("weight one" in note for note in found.notes)
    assert any("offset" in note for note in found.notes)
    assert str(found) == repr(found)
    html = found._repr_html_()
    assert ">Variance decomposition</caption>" in html
    assert "<li>" in found.to_html()
    assert found.to_markdown().count("\n- ") == 2
    assert r"\item" in found.to_latex()
    assert r"\begin{itemize}" not in ml.variance_decomposition(rc.fit("sleepstudy_reml")).to_latex()


@pytest.mark.parametrize("function", ["variance_decomposition", "icc", "r2", "model_performance", "conditional_aic"])
def test_what_is_no_fit_is_refused(function):
    with pytest.raises(ml.DataTypeError, match=f"{function}.* must be a model fitted by lmer, not 'y ~ x'"):
        getattr(ml, function)("y ~ x")
