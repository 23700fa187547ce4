"""Responses that the effects of a model give exactly leave no residual variance, and the sentence says so."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml

N, LEVELS = 180, 9


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    g, h = np.repeat(np.arange(LEVELS), N // LEVELS), rng.integers(0, 6, N)
    x, of_g, of_h = rng.uniform(1, 9, N), rng.normal(size=LEVELS)[g], rng.normal(size=6)[h]
    return {
        "g": g, "h": h, "x": x, "t": np.tile(np.arange(N // LEVELS), LEVELS), "w": rng.uniform(0.5, 2, N),
        "number": g * 1.0, "value": 3 * of_g + 1, "zero_one": (g > 4) * 1.0, "line": 3 * x,
        "line_and_group": 3 * x + of_g, "slopes": of_g * x + of_g, "crossed": of_g + of_h, "noise": rng.normal(size=N),
    }  # fmt: skip


OPTIONS = [{}, {"reml": False}, {"weights": "w"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    "formula", ["{} ~ 1 + (1 | g)", "{} ~ x + (1 | g)", "{} ~ x + (x | g)", "{} ~ x + (1 | g) + (1 | h)"]
)
@pytest.mark.parametrize("response", ["number", "value", "zero_one"])
def test_a_value_of_each_group(columns, response, formula, options):
    with pytest.raises(
        ml.DataError, match=f"no residual variance to estimate: {response} does not vary within the levels of g"
    ):
        ml.lmer(formula.format(response), columns, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("formula", "what"),
    [
        ("line ~ x + (1 | g)", "the fixed effects give line exactly"),
        ("line ~ x + (x | g)", "the fixed effects give line exactly"),
        ("line_and_group ~ x + (1 | g)", "the fixed effects and the effects of g give line_and_group exactly"),
        ("line_and_group ~ x + (x | g)", "the fixed effects and the effects of g give line_and_group exactly"),
        ("slopes ~ x + (x | g)", "the effects of g give slopes exactly"),
        ("slopes ~ x + (x || g)", "the effects of g give slopes exactly"),
        ("crossed ~ 1 + (1 | g) + (1 | h)", "the effects of g and h give crossed exactly"),
        ("line ~ 1 + offset(3 * x - value) + (1 | g)", "does not vary within the levels of g"),
    ],
)
def test_an_exact_fit(columns, formula, what, options):
    with pytest.raises(ml.DataError, match="no residual variance") as caught:
        ml.lmer(formula, columns, **options)
    assert what in str(caught.value)


def test_a_residual_correlation(columns):
    for formula in ("value ~ x + (1 | g)", "slopes ~ x + (x | g)"):
        with pytest.raises(ml.DataError, match="no residual variance"):
            ml.lmer(formula, columns, residual=ml.cor_ar1("t", within="g"))


@pytest.mark.parametrize("formula", ["line ~ 1 + (1 | g)", "line_and_group ~ 1 + (1 | g)", "crossed ~ 1 + (1 | g)"])
def test_what_other_effects_would_give_is_a_residual(columns, formula):
    assert ml.lmer(formula, columns).sigma > 0.1


def test_little_noise_is_not_none(columns):
    """A residual at 1e-8 of the response, and one beside a mean of 1e9, are found for what they are."""
    small = dict(columns, y=columns["value"] + 1e-8 * columns["noise"])
    assert ml.lmer("y ~ 1 + (1 | g)", dict(columns, y=1e9 + columns["noise"])).sigma == pytest.approx(1.0, rel=0.2)
    with pytest.raises(ml.DataError, match="no residual variance"):
        ml.lmer("value ~ 1 + (1 | g)", small)
    from multilevel.engine.exact_fit import refuse_exact_fit
    from multilevel.formula.build import build_design

    refuse_exact_fit(build_design("y ~ 1 + (1 | g)", small))  # nothing to refuse


def test_saturated_effects_are_no_exact_fit():
    """More columns of random effects than rows: what is left of least squares says nothing of the residual variance."""
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, 9, 14), rng.integers(0, 9, 14)
    fit = ml.lmer("y ~ 1 + (1 | a) + (1 | b)", {"a": a, "b": b, "y": rng.normal(size=14)})
    assert fit.sigma > 0.0


def test_a_new_response(columns):
    fit = ml.lmer("noise ~ x + (1 | g)", columns)
    with pytest.raises(ml.DataError, match="no residual variance"):
        fit.refit(columns["value"])
