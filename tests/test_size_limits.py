"""Limits on what a formula or a design may ask for: named where they are met, and raised by whoever wants more."""

from __future__ import annotations

import time

import numpy as np
import pytest

import multilevel as ml

DESIGN = {
    "formula": "y ~ x + (1 | school)",
    "levels": {"school": 5, "pupil": 6},
    "predictors": {"x": "normal(0, 1)"},
    "fixed": {"x": 1},
    "random": {"school": 1},
    "sigma": 1,
}
NAMES = [f"v{i}" for i in range(14)]


def test_a_limit_is_raised_and_restored():
    text = f"y ~ ({' + '.join(NAMES)})^14 + (1 | g)"
    with pytest.raises(ml.FormulaError, match=r"more than the limit of 10,000; multilevel.limits\(terms=…\) raises it"):
        ml.parse_formula(text)
    with ml.limits(terms=100_000) as raised:
        assert raised.terms == 100_000
        assert len(ml.parse_formula(text).terms) == 2**14 - 1
    assert repr(ml.limits()).startswith("Limits(terms=10000, ")


def test_a_limit_may_be_lowered():
    with ml.limits(nesting=5), pytest.raises(ml.FormulaError, match="limit of 5; "):
        ml.parse_formula("y ~ I(log(log(log(log(log(x)))))) + (1 | g)")


def test_deeper_nesting_than_python_follows_is_a_sentence():
    with ml.limits(nesting=10**6), pytest.raises(ml.FormulaError, match="nests deeper than Python follows"):
        ml.parse_formula(f"y ~ {'(' * 10_000}x{')' * 10_000} + (1 | g)")


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"colums": 3}, ml.ControlError, "no limit named 'colums'; there are terms, columns"),
        ({"terms": 0}, ml.ControlError, "at least 1"),
        ({"terms": 2.5}, ml.DataTypeError, "whole number"),
        ({"terms": True}, ml.DataTypeError, "whole number"),
    ],
)
def test_limits_are_checked(changes, error, sentence):
    with pytest.raises(error, match=sentence):
        ml.limits(**changes)


def test_interactions_of_many_levels_are_counted_before_they_are_made():
    n = 400
    data = {"y": np.arange(n) % 7 * 1.0, "a": [f"a{i}" for i in range(n)], "g": np.arange(n) % 5}
    with pytest.raises(ml.DataError, match=r"'a:paste\(a\)' has 160,000 columns.*limits\(columns=…\)"):
        ml.lmer("y ~ a:paste(a) + (1 | g)", data)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": {"school": 10**12, "pupil": 2}},
        {"levels": {"school": 10**400, "pupil": 2}},
        {"levels": {"school": 5, "pupil": "1e12"}},
        {"levels": {"school": 5, "pupil": "poisson(1e12)"}},
        {"levels": {"school": 5, "pupil": "integers(1e11, 1e12)"}},
        {"levels": {"school": 5, "pupil": "trunc(exponential(1e-300))"}},
        {"levels": {"school": 5, "pupil": "c(1, 2)"}},
        {"levels": {"school": 5, "item": ml.Crossed(10**12)}},
        {"levels": {"school": 5, "item": ml.Crossed(1000, each=10**8, replace=True)}},
        {"predictors": {"x": "sample(1:1e12)"}},
        {"predictors": {"x": "sample(1e12)"}},
        {"predictors": {"x": "multivariate_normal(0, 1:100000)"}},
        {"predictors": {"x": "integers(1, Inf)"}},
        {"predictors": {"x": "integers(1, 1e300)"}},
        {"predictors": {"x": "2**1e9"}},
        {"predictors": {"x": f"{'log(' * 500}1{')' * 500}"}},
        {"predictors": {"x": "ns(pupil, df = 1e9)"}},
        {"predictors": {"x": "normal(0, 1) | school | pupil"}},
        {"predictors": {"x": "normal(mean = 0, foo = 1)"}},
        {"predictors": {"x": "mean(pupil, foo = 1) | school"}},
        {"predictors": {"x": "effect(school, group = x)"}},
        {"sigma": "c(1, 2)"},
        {"missing": {"x": "c(0.1, 0.2)"}},
        {"weights": ["x"]},
        {"formula": "y ~ poly(x, 1e9) + (1 | school)"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("source", [int, ml.RRandom])
def test_designs_that_ask_for_too_much_end_at_once(change, source):
    began = time.perf_counter()
    with pytest.raises(ml.MultilevelError) as raised:
        ml.DataDesign(**{**DESIGN, **change}).draw(rng=source(1))
    assert len(str(raised.value)) < 1000
    assert "\n" not in str(raised.value)
    assert time.perf_counter() - began < 5.0


def test_draws_match_their_arguments_as_formulas_do():
    frames = [
        ml.DataDesign(**{**DESIGN, "predictors": {"x": text}}).draw(rng=3)[0]
        for text in ("normal(2, 5)", "normal(sd = 5, 2)", "normal(m = 2, s = 5)")
    ]
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame["x"], frames[0]["x"])


TOML = """\
formula = "y ~ x + (1 | school)"
sigma = 1
[levels]
school = 5
pupil = 6
[predictors]
x = "normal(0, 1)"
[random]
school = 1
[fixed]
x = 1
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = " + "[" * 100_000 + "]" * 100_000, "nests arrays or tables too deep"),
        ("levels = " + "{a = " * 5000 + "1" + "}" * 5000, "nests arrays or tables too deep"),
        ("levels." + ".".join(["a"] * 100_000) + " = 1", r"limits\(nesting=…\) raises it"),
        (TOML + "x" + ".'a, b'" * 150 + " = 1\n", "nests arrays or tables too deep"),
        (TOML + "z = " + "[" * 150 + "]" * 150 + "\n", "nests arrays or tables too deep"),
        ("sigma = " + "9" * 5000, "is not TOML"),
        (TOML.replace("school = 5", "school = " + "9" * 4000), "more than the limit of 10,000,000"),
    ],
    ids=["arrays", "tables", "key", "quoted key", "within", "digits", "level"],
)
def test_design_files_that_nest_or_count_too_far(text, sentence, tmp_path):
    from multilevel.simulation.design_file import read_design

    path = tmp_path / "design.toml"
    path.write_text(text)
    began = time.perf_counter()
    with pytest.raises(ml.DataError, match=sentence):
        read_design(path).draw(rng=1)
    assert time.perf_counter() - began < 5.0


def test_a_design_file_with_long_lists_and_dotted_text_is_read(tmp_path):
    from multilevel.simulation.design_file import read_design

    path = tmp_path / "design.toml"
    sizes = ", ".join(["3"] * 300)
    text = TOML.replace("school = 5", "school = 300").replace("pupil = 6", f"pupil = [{sizes}]")
    path.write_bytes((f"# {'...' * 100}\r\n" + text.replace("\n", "\r\n")).encode())
    assert len(read_design(path).draw(rng=1)[0]) == 900
