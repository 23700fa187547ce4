"""Expressions in formulas."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.data.factors import Factor
from multilevel.data.frames import Frame
from multilevel.errors import DataError, FormulaError
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.syntax import parse_expression
from multilevel.formula.values import Logical, Matrix

NAN = float("nan")
FRAME = Frame(
    {
        "x": [1.0, 4.0, NAN, 16.0],
        "k": [3, 1, 2, 3],
        "s": ["b", None, "a", "b"],
        "t": np.array([True, False, True, False]),
        "u": [True, None, False, True],
    }
)


def value(text: str) -> object:
    found = Evaluator(FRAME).value(parse_expression(text))
    return found.values if isinstance(found, Logical | Matrix) else found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I(-x^2)", [-1, -16, NAN, -256]),
        ("k^-1", [1 / 3, 1, 0.5, 1 / 3]),
        ("k %% 2 + k %/% 2", [2, 1, 1, 2]),
        ("sqrt(x) * 2 - +1", [1, 3, NAN, 7]),
        ("log(x, 4)", [0, 1, NAN, 2]),
        ("round(k / 3, 1)", [1, 0.3, 0.7, 1]),
        ("x > 3", [0, 1, NAN, 1]),
        ("x > 3 & k == 3", [0, 0, 0, 1]),
        ("x > 3 | k == 3", [1, 1, NAN, 1]),
        ("!t", [0, 1, 0, 1]),
        ("!u", [0, NAN, 1, 0]),
        ("u & t", [1, 0, 0, 0]),
        ("t + k", [4, 1, 3, 3]),
        ("s == 'b'", [1, NAN, 0, 1]),
        ("s != 'b'", [0, NAN, 1, 0]),
        ("s %in% c('a', 'c')", [0, 0, 1, 0]),
        ("k %in% 2:3", [1, 0, 1, 1]),
        ("k %in% c(3:2, 9)", [1, 0, 1, 1]),
        ("k == '3'", [1, 0, 0, 1]),
        ("factor(k) == 3", [1, 0, 0, 1]),
        ("is.na(x)", [0, 0, 1, 0]),
        ("is.na(s)", [0, 1, 0, 0]),
        ("x > mean(k) & !(s == 'b')", [0, NAN, NAN, 0]),
        ("u + 0", [1, NAN, 0, 1]),
        ("trunc(x / 3) + sign(k)", [1, 2, NAN, 6]),
        ("ifelse(is.na(x), 0, x)", [1, 4, 0, 16]),
        ("ifelse(x > 3, 1, -1)", [-1, 1, NAN, 1]),
        ("pmin(x, k)", [1, 1, NAN, 3]),
        ("pmax(k, 2)", [3, 2, 2, 3]),
        ("x - mean(x)", [-6, -3, NAN, 9]),
        ("center(x)", [-6, -3, NAN, 9]),
        ("k - min(k) + max(k) + median(k) - sum(k)", [-1.5, -3.5, -2.5, -1.5]),
        ("scale(k, center = 1, scale = 2)", [1, 0, 0.5, 1]),
        ("poly(k, 2, raw = TRUE)", [[3, 9], [1, 1], [2, 4], [3, 9]]),
        ("as.numeric(x)", [1, 4, NAN, 16]),
        ("cut(k, c(0, 1, 2, 3), labels = FALSE)", [3, 1, 2, 3]),
        ("sd(k) + 0 * k", [np.std([3, 1, 2, 3], ddof=1)] * 4),
    ],
)
def test_columns(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("c(1, 2:3, seq(0, 1, 0.5))", [1, 2, 3, 0, 0.5, 1]), ("-c(1, 2) * 2", [-2, -4]), ("2^3", 8.0), ("c('a')", ["a"])],
)
def test_constants(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "codes", "levels"),
    [
        ("factor(s)", [1, -1, 0, 1], ("a", "b")),
        ("factor(k, levels = c(3, 1), labels = c('three', 'one'))", [0, 1, -1, 0], ("three", "one")),
        ("as.factor(k)", [2, 0, 1, 2], ("1", "2", "3")),
        ("relevel(s, ref = 'b')", [0, -1, 1, 0], ("b", "a")),
        ("relevel(factor(k), ref = 2)", [2, 1, 0, 2], ("2", "1", "3")),
        ("ifelse(x > 3, 'big', 'small')", [1, 0, -1, 0], ("big", "small")),
        ("cut(k, c(0, 1.5, 3))", [1, 0, 1, 1], ("(0,1.5]", "(1.5,3]")),
        ("cut(k, c(1, 2, 3), include.lowest = TRUE)", [1, 0, 0, 1], ("[1,2]", "(2,3]")),
        ("cut(k, c(1, 2, 3), right = FALSE)", [-1, 0, 1, -1], ("[1,2)", "[2,3)")),
    ],
)
def test_factors(text, codes, levels):
    found = value(text)
    assert isinstance(found, Factor)
    assert found.codes.tolist() == codes
    assert found.levels.names == levels


def test_orderings():
    assert value("ordered(k)").ordered
    assert value("factor(k, ordered = TRUE)").ordered
    assert value("cut(k, 2, ordered_result = TRUE)").ordered
    assert not value("factor(k)").ordered


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("open('x')", "not known"),
        ("sqrrt(x)", "did you mean sqrt"),
        ("log(s)", "needs numbers, and its argument is a factor or text"),
        ("s + 1", r"The operator '\+' in 's \+ 1' needs numbers"),
        ("s > 'a'", "only be compared by == and !="),
        ("poly(x, 2) + 1", "one column of numbers"),
        ("sqrt(x, k)", "has 2 arguments"),
        ("scale()", "needs a column"),
        ("scale(3)", "needs a column, not a constant"),
        ("scale(x, middle = 1)", "no argument 'middle'.*it has x, center, scale"),
        ("scale(x, TRUE, TRUE, TRUE)", "too many"),
        ("poly(k, 3)", "3 distinct values"),
        ("poly(k, 1.5)", "whole number"),
        ("bs(x, df = 2)", "at least 3 degrees of freedom"),
        ("ns(x, knots = 99)", "between its boundary knots 1 and 16"),
        ("ns(x, Boundary.knots = 3)", "two boundary knots"),
        ("cut(x)", "needs breaks"),
        ("cut(x, 1)", "at least 2 intervals"),
        ("cut(x, c(1, 1, 2))", "all be different"),
        ("cut(x, c(1, 2), labels = c('a', 'b'))", "makes 1 intervals"),
        ("factor(k, labels = 'a')", "as many labels"),
        ("relevel(s)", "needs the level"),
        ("x:k", "range of constants"),
        ("c(x)", "only hold constants"),
        ("ifelse(s, 1, 0)", "The condition of"),
        ("poly(k, 0)", "at least 1"),
        ("bs(x, knots = c(3, 99))", "between its boundary"),
        ("cut(k, 2.5)", "whole number"),
    ],
)
def test_refused(text, sentence):
    with pytest.raises(FormulaError, match=sentence):
        value(text)


def test_no_such_level():
    with pytest.raises(DataError, match="'z' cannot be put first: the levels are 'a', 'b'"):
        value("relevel(s, ref = 'z')")
