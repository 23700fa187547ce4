"""Arguments of functions in formulas: matched by R's rules, and refused in a sentence where they are of the wrong kind."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.data.factors import Factor
from multilevel.data.frames import Frame
from multilevel.errors import DataError, FormulaError, UnknownColumnError
from multilevel.formula.build import build_design
from multilevel.formula.evaluate import Evaluator, evaluate_condition
from multilevel.formula.syntax import parse_expression
from multilevel.formula.values import Logical, Matrix

NAN = float("nan")
FRAME = Frame(
    {
        "x": [1.0, 4.0, NAN, 16.0],
        "k": [3, 1, 2, 3],
        "s": ["b", None, "a", "b"],
        "t": np.array([True, False, True, False]),
    }
)


def value(text: str, frame: Frame = FRAME) -> object:
    found = Evaluator(frame).value(parse_expression(text))
    return found.values if isinstance(found, Logical | Matrix) else found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pmin(x, k, na.rm = TRUE)", [1, 1, 2, 3]),
        ("pmax(na.rm = F, x, 2)", [2, 4, NAN, 16]),
        ("k - max(x, 20)", [-17, -19, -18, -17]),
        ("k + min(k, 0.5)", [3.5, 1.5, 2.5, 3.5]),
        ("k * mean(x, na.rm = FALSE)", [NAN] * 4),
        ("k * sum(x, k)", [90, 30, 60, 90]),
        ("log(base = 2, x)", [0, 2, NAN, 4]),
        ("log(x, k)", [0, np.inf, NAN, np.log(16) / np.log(3)]),
        ("round(digits = 1, k / 3)", [1, 0.3, 0.7, 1]),
        ("round(k * 10 - 5, -1)", [20, 0, 20, 20]),
        ("round(k - 0.85, 1)", [2.1, 0.2, 1.1, 2.1]),
        ("round(k / 3, 400)", [1, 1 / 3, 2 / 3, 1]),
        ("signif(k * 1234, 2)", [3700, 1200, 2500, 3700]),
        ("ifelse(no = 1, yes = 0, k > 2)", [0, 1, 1, 0]),
        ("as.numeric(factor(s))", [2, NAN, 1, 2]),
        ("as.integer(factor(k, levels = c(3, 1)))", [1, 2, NAN, 1]),
        ("as.numeric(as.character(k))", [3, 1, 2, 3]),
        ("as.integer(t) + as.numeric(t)", [2, 0, 2, 0]),
        ("k %in% c('3', 'a')", [1, 0, 0, 1]),
        ("sin(pi * k / 2)", [-1, 1, 0, -1]),
        ("k * T + F", [3, 1, 2, 3]),
        ("dummy(s, 'a')", [[0], [NAN], [1], [0]]),
        ("dummy(k)", [[0, 1], [0, 0], [1, 0], [0, 1]]),
        ("poly(k, x, degree = 1, raw = TRUE)", [[3, 1], [1, 4], [2, NAN], [3, 16]]),
        ("base::log(exp(k))", [3, 1, 2, 3]),
    ],
)
def test_columns(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "codes", "levels"),
    [
        ("cut(k, c(0, 1, 2, 3), c('a', 'b', 'a'))", [0, 0, 1, 0], ("a", "b")),
        ("factor(k, labels = c('a', 'b', 'a'))", [0, 0, 1, 0], ("a", "b")),
        ("factor(k, exclude = 2)", [1, 0, -1, 1], ("1", "3")),
        ("relevel(factor(k), 3)", [0, 1, 2, 0], ("3", "1", "2")),
        ("relevel(factor(k), '3')", [0, 1, 2, 0], ("3", "1", "2")),
        ("interaction(s, k)", [1, -1, 0, 1], ("a.2", "b.3")),
        ("interaction(k, t)", [3, 0, 2, 1], ("1.FALSE", "3.FALSE", "2.TRUE", "3.TRUE")),
        ("interaction(k, t, sep = '/', lex.order = TRUE)", [3, 0, 1, 2], ("1/FALSE", "2/TRUE", "3/FALSE", "3/TRUE")),
        ("paste(s, k, sep = '-')", [1, -1, 0, 1], ("a-2", "b-3")),
        ("paste0('n', k)", [2, 0, 1, 2], ("n1", "n2", "n3")),
        ("as.character(10 * k - 1)", [1, 2, 0, 1], ("19", "29", "9")),
        ("C(k)", [2, 0, 1, 2], ("1", "2", "3")),
    ],
)
def test_factors(text, codes, levels):
    found = value(text)
    assert isinstance(found, Factor)
    assert found.codes.tolist() == codes
    assert found.levels.names == levels


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log(x, foo = 2)", r"no argument 'foo' in 'log\(x, foo = 2\)', so that it is unused; it has x, base"),
        ("exp(foo = x)", "no argument 'foo'"),
        ("log(x, 2, 3)", "has 3 arguments, too many: '3' is unused"),
        ("round(x, digits = 1, d = 2)", "no argument 'd'"),
        ("round(x, digits = 1, digits = 2)", "'digits' more than once"),
        ("bs(x, d = 3)", "'d' of .* can be df or degree"),
        ("pmin(x, k, narm = TRUE)", "no argument 'narm'"),
        ("paste(s, k, se = '-')", "no argument 'se'"),
        ("interaction(s, lex = TRUE)", "no argument 'lex'"),
        ("var(x, k)", r"argument y of var\(\) .* is not available"),
        ("poly(x, k, 2)", "takes its degree by name"),
        ("poly(x, foo = 2)", "no argument 'foo'"),
        ("poly(x, NaN)", "degree of poly.* whole number, not NaN"),
        ("poly(x, degree = k)", "must be a constant, not a column"),
        ("poly(x, raw = 'a', 2)", "raw of poly.* TRUE or FALSE, not the text 'a'"),
        ("bs(x, degree = -3)", "degree of bs.* at least 1, not -3"),
        ("ns(x, knots = 'a')", "knots of ns.* must be numbers"),
        ("ns(0 * k, df = 2)", "at least two distinct finite values"),
        ("ns(k, df = 9)", "more than 1 knot at"),
        ("ns(x, df = 1e8)", r"100,000,000 columns: more than the limit of 1,000; multilevel.limits\(basis=…\)"),
        ("cut(x, 1e9)", r"limits\(columns=…\) raises it"),
        ("cut(x, c('a', 'b'))", "breaks of cut.* must be numbers"),
        ("cut(x, c(0, NaN, 3))", "breaks of cut.* must be numbers"),
        ("k %in% 1:Inf", "range of finite numbers"),
        ("k %in% 1:1e12", r"999,999,999,999 values: more than the limit of 1,000,000; multilevel.limits\(values=…\)"),
        ("k %in% seq(0, 1, 0)", "by steps of 0"),
        ("k %in% seq(0, x)", "argument to of seq.* must be a constant"),
        ("k %in% x", "needs constants on its right"),
        ("round(x, k)", "argument digits of round.* must be a constant"),
        ("round(x, Inf)", "digits of round"),
        ("scale(x, center = 'a')", "center of scale.* must be a number, not the text 'a'"),
        ("scale(x, center = k)", "must be a constant"),
        ("scale(x, NULL)", "center of scale.* not NULL"),
        ("relevel(s, ref = k)", "must be a constant"),
        ("relevel(s, 3)", "place of one of 2 levels, not 3"),
        ("factor(k, labels = x)", "must be a constant"),
        ("factor(k, levels = c(1, 1))", "'1' more than once"),
        ("x + c(1, 2)", r"list of 2 constants, c\(1, 2\), and a column"),
        ("c(1, 2) + c(1, 2, 3)", "and one of 3"),
        ("x * c('a', 'b')", "joins a list"),
        ("-c('a', 'b')", "needs numbers, and its argument is the list"),
        ("ifelse(c(1, 2), x, 1)", "joins a list"),
        ("as.numeric(s)", r"as.numeric\(factor\(s\)\) for the places of its levels, or as.numeric\(as.character"),
        ("as.numeric(as.character(s))", "needs text that spells numbers"),
        ("dummy(s, 'q')", "no level 'q'"),
        ("k[1]", "the character '\\['"),
        ("dummy(k - 1, 1)", "at another place than 1; write it as text"),
        ("paste(k, c(1, 2))", "single constants"),
        ("interaction(k, 'a')", "combines columns"),
        ("C(k, 'contr.sum')", r"write factor\(k\), and contrasts="),
        ("splines::log(x)", "not one of R's package splines"),
        ("stats::ns(x, 3)", "not one of R's package stats"),
    ],
)
def test_refused(text, sentence):
    with pytest.raises(FormulaError, match=sentence) as raised:
        value(text)
    assert "\n" not in str(raised.value)


CONSTANT = ["is.na(1)", "is.na(1:3)", "!TRUE", "1 > 2 & TRUE", "c(1, 2) == 2", "ifelse(TRUE, 1, 2)", "max(1, 2)", "pi"]


@pytest.mark.parametrize("text", CONSTANT)
def test_what_has_no_column_is_no_term(text):
    with pytest.raises(FormulaError, match="is a constant; it must use a column"):
        Evaluator(FRAME).variable(parse_expression(f"I({text})"))


def test_a_column_wins_over_a_constant_of_r():
    frame = Frame({"T": [2.0, 3.0], "pi": [1.0, 0.0], "x": [1.0, 1.0]})
    assert value("x * T + pi + F", frame).tolist() == [3.0, 3.0]


def test_rows_of_a_condition():
    assert evaluate_condition("x > 3 & s == 'b'", FRAME).tolist() == [False, False, False, True]
    assert evaluate_condition("k %in% 2:3 | is.na(s)", FRAME).tolist() == [True, True, True, True]
    assert evaluate_condition("t", FRAME).tolist() == [True, False, True, False]
    assert evaluate_condition("TRUE", FRAME).all()
    with pytest.raises(FormulaError, match="must be true or false in each row"):
        evaluate_condition("x + 1", FRAME)
    with pytest.raises(UnknownColumnError, match="'q'"):
        evaluate_condition("q > 1", FRAME)


def test_new_data_are_counted_by_the_levels_first_seen():
    first = Evaluator(FRAME)
    calls = ("as.numeric(factor(k))", "factor(k, labels = c('a', 'b', 'c'))", "dummy(k, '2')", "k - max(k, 1)")
    for call in calls:
        first.value(parse_expression(call))
    later = Evaluator(Frame({"k": [2, 2]}), first.state)
    codes, labelled, indicator, shifted = (later.value(parse_expression(call)) for call in calls)
    assert codes.tolist() == [2, 2]
    assert labelled.codes.tolist() == [1, 1]
    assert indicator.values.tolist() == [[1], [1]]
    assert shifted.tolist() == [-1, -1]
    unknown = Evaluator(Frame({"k": [2, 9]}), first.state)
    for call in ("as.numeric(factor(k))", "dummy(k, '2')"):
        with pytest.raises(DataError, match="level '9' that it did not have"):
            unknown.value(parse_expression(call))


def test_an_offset_is_one_number_or_one_for_each_row():
    data = {"y": [1.0, 2.0, 4.0, 3.0], "x": [1.0, 2.0, 3.0, 5.0], "g": [0, 0, 1, 1]}
    assert build_design("y ~ x + offset(2) + (1 | g)", data).offset.tolist() == [2.0] * 4
    with pytest.raises(FormulaError, match=r"must be one number or one for each of 4 rows, not 3"):
        build_design("y ~ x + offset(1:3) + (1 | g)", data)
