"""Reading, checking, expanding, updating and writing formulas."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilevel.errors import DataTypeError, FormulaError
from multilevel.formula.deparse import deparse, quote_name
from multilevel.formula.grammar import find_bars, no_bars, parse_formula, update_formula
from multilevel.formula.syntax import names_in, parse_expression


def test_parts_of_a_formula():
    formula = parse_formula("log(y)~x*z+offset(w)+(1+x||g/h)")
    assert formula.response == "log(y)"
    assert formula.fixed == "x * z + offset(w)"
    assert formula.terms == ("x", "z", "x:z")
    assert formula.intercept
    assert formula.offsets == ("offset(w)",)
    (bar,) = formula.random
    assert (bar.lhs, bar.group, bar.double) == ("1 + x", "g/h", True)
    assert formula.variables == ("y", "x", "z", "w", "g", "h")
    assert formula.grouping_variables == ("g", "h")
    assert str(formula) == "log(y) ~ x * z + offset(w) + (1 + x || g/h)"


def test_formulas_are_equal_whatever_their_spaces_and_can_be_stored():
    formula = parse_formula("y ~ x + (1 | g)")
    assert parse_formula("  y~x+( 1|g )\n") == formula
    assert hash(parse_formula("y~x+(1|g)")) == hash(formula)
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert parse_formula(formula) is formula
    assert parse_formula("y ~ x + (1 | h)") != formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y ~ (1 | a/b)", ["1 | b:a", "1 | a"]),
        ("y ~ (1 | a/b/c)", ["1 | c:(b:a)", "1 | b:a", "1 | a"]),
        ("y ~ (x || g)", ["1 | g", "0 + x | g"]),
        ("y ~ (0 + x || g)", ["0 + x | g"]),
        ("y ~ (x - 1 || g)", ["0 + x | g"]),
        ("y ~ (x * z || g)", ["1 | g", "0 + x | g", "0 + z | g", "0 + x:z | g"]),
        ("y ~ (x || a/b)", ["1 | b:a", "1 | a", "0 + x | b:a", "0 + x | a"]),
        ("y ~ ((1 | g) + (x | h)) + z", ["1 | g", "x | h"]),
        ("y ~ x + (1 | g) + (1 | g)", ["1 | g"]),
        ("~ (1 | g)", ["1 | g"]),
    ],
)
def test_find_bars(text, expected):
    assert [str(bar) for bar in find_bars(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y ~ x + (1 | g)", "y ~ x"),
        ("y ~ (1 | g)", "y ~ 1"),
        ("y ~ 0 + (1 | g) + x", "y ~ 0 + x"),
        ("y ~ (1 | g) - 1", "y ~ -1"),
        ("~ x + (x || g)", "~x"),
        ("y ~ (a + (1 | g))", "y ~ (a)"),
    ],
)
def test_no_bars(text, expected):
    assert no_bars(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("y + x", "no '~'"),
        ("y ~", "nothing right of '~'"),
        ("~", "nothing right of '~'"),
        ("y ~ x | g", r"must stand in parentheses, as in '\(x \| g\)'"),
        ("y ~ x + 1 || g", "must stand in parentheses"),
        ("y ~ x * (1 | g)", r"'\(1 \| g\)' is part of the interaction 'x:\(1 \| g\)'"),
        ("y ~ (x + (1 | g))^2", "part of the interaction"),
        ("y ~ ((1 | g) | h)", r"A bar cannot stand within the left side of the random-effects term"),
        ("y ~ (1 | (g | h))", "within the grouping factor"),
        ("(y | z) ~ x + (1 | g)", "within the response"),
        ("y ~ (1 | a + b)", "crossed factors as separate terms"),
        ("y ~ (1 | 2)", "must be a column"),
        ("y ~ (1 | .)", r"'\.' cannot stand for it"),
        ("y ~ (0 | g)", "has no columns"),
        ("y ~ (offset(z) | g)", "offset belongs to the fixed part"),
        ("y ~ offset(x, z) + (1 | g)", "exactly one argument"),
        ("y ~ (x", "parenthesis is not closed"),
        ("y ~ log(x", "parenthesis is not closed"),
        ("y ~ x)", r"'\)' without its '\('"),
        ("y ~ ()", "empty pair of parentheses"),
        ("y ~ x +", r"ends after '\+'"),
        ("y ~ x z", "missing before 'z'"),
        ("y ~ x, z", "','"),
        ("y ~ * x", r"'\*' stands where a term"),
        ("y = x + (1 | g)", "'='"),
        ("y ~ x ~ z", "more than one '~'"),
        ("y ~ 'a", "unfinished quotation"),
        ("y ~ x ? z", r"the character '\?'"),
        ("y ~ 2 * x", "constant 2 cannot be a term"),
        ("y ~ x^z", "power must be a whole number"),
        ("y ~ x > 2", r"write it inside I\(\)"),
        ("y ~ !x", r"inside I\(\)"),
    ],
)
def test_malformed_formulas(text, sentence):
    with pytest.raises(FormulaError, match=sentence) as raised:
        parse_formula(text)
    assert "\n" not in str(raised.value)


def test_a_formula_must_be_text():
    with pytest.raises(DataTypeError, match="must be a text or a Formula, not 3"):
        parse_formula(3)  # type: ignore[arg-type]


def test_dot_is_every_other_column():
    formula = parse_formula("y ~ . + (1 | g)")
    assert formula.has_dot
    assert str(formula.expand_dot(["y", "a", "g", "my b", "w"], exclude=["w"])) == "y ~ a + `my b` + (1 | g)"
    assert parse_formula("y ~ .^2 + (1 | g)").expand_dot(["y", "a", "b", "g"]).terms == ("a", "b", "a:b")
    assert parse_formula("log(y) ~ . - a + (1 | g)").expand_dot(["y", "a", "b", "g"]).terms == ("b",)
    with pytest.raises(FormulaError, match="no column"):
        formula.expand_dot(["y", "g"])


def test_update_keeps_what_it_does_not_name():
    assert str(update_formula("y ~ x + (1 | g)", ". ~ . + price")) == "y ~ x + price + (1 | g)"
    assert str(update_formula("y ~ x + (1 | g)", "~ . - (1 | g) + (x | g)")) == "y ~ x + (x | g)"
    assert str(update_formula("y ~ x + (1 | g)", "sqrt(.) ~ 1")) == "sqrt(y) ~ 1"
    assert str(update_formula("y ~ x + (1 | g)", ". ~ . - 1")) == "y ~ 0 + x + (1 | g)"
    with pytest.raises(FormulaError, match="part of the interaction"):
        update_formula("y ~ x + (1 | g)", ". ~ . * z")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("-x^2", "-x^2"),
        ("(-x)^2", "(-x)^2"),
        ("x ** 2", "x^2"),
        ("2^-1", "2^-1"),
        ("a%in%b", "a %in% b"),
        ("x%%2", "x%%2"),
        ("a/b*c", "a/b * c"),
        ("1e5*x", "1e+05 * x"),
        ("c(1L, 0.1, -Inf)", "c(1, 0.1, -Inf)"),
        ("cut(x, labels = c('a', \"b\"))", 'cut(x, labels = c("a", "b"))'),
        ("x>=2&!z", "x >= 2 & !z"),
        ("`my var`+.x", "`my var` + .x"),
        ("f(True, None, NULL, FALSE)", "f(TRUE, NULL, NULL, FALSE)"),
    ],
)
def test_expressions_are_written_as_r_writes_them(text, written):
    assert deparse(parse_expression(text)) == written
    assert deparse(parse_expression(written)) == written


def test_names():
    assert quote_name("x.1") == "x.1"
    assert quote_name("2x") == "`2x`"
    assert quote_name("TRUE") == "`TRUE`"
    assert names_in(parse_expression("I(a*b) + f(a, c, k = -(d))")) == ("a", "b", "c", "d")


names = st.sampled_from(["x", "y2", "z.a", "größe", "my var", "f"]).map(quote_name)
constants = st.sampled_from(["1", "0.5", "1e+05", "TRUE", '"low"'])
expressions = st.recursive(
    names,
    lambda inner: st.one_of(
        st.builds("I({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "^", "%%", ">", "&", "|"]), inner),
        st.builds("({})".format, inner),
        st.builds("log({})".format, inner),
        st.builds("poly({}, degree = {})".format, names, constants),
        st.builds("{}:{}".format, inner, inner),
        st.builds("{} * {}".format, inner, inner),
        st.builds("({} + {})^2".format, inner, inner),
        st.builds("{}/{}".format, inner, inner),
    ),
    max_leaves=6,
)
bars = st.builds(
    "({}{} {} {})".format,
    st.sampled_from(["1 + ", "0 + ", ""]),
    expressions,
    st.sampled_from(["|", "||"]),
    st.sampled_from(["g", "g/h", "g:h", "factor(g)"]),
)
formulas = st.builds(
    lambda response, intercept, fixed, random: f"{response}~{intercept}{'+'.join([*fixed, *random])}",
    names,
    st.sampled_from(["", "0+", "1+", "-1+"]),
    st.lists(expressions, min_size=1, max_size=3),
    st.lists(bars, max_size=2),
)


@given(formulas)
def test_round_trip(text):
    formula = parse_formula(text)
    again = parse_formula(str(formula))
    assert again == formula
    assert str(again) == str(formula)
    assert again.terms == formula.terms
    assert again.random == formula.random
    assert find_bars(again) == find_bars(formula)
    # As in R, the variables of a term may change places when the terms before it have.
    same = update_formula(formula, ". ~ .")
    assert {frozenset(t.variables) for t in same.term_list.terms} == {
        frozenset(t.variables) for t in formula.term_list.terms
    }
    assert set(find_bars(update_formula(formula, ". ~ ."))) == set(find_bars(formula))


@given(expressions)
def test_round_trip_of_expressions(text):
    node = parse_expression(text)
    assert parse_expression(deparse(node)) == node


def test_errors_inside_expressions():
    for text, sentence in (("f(x y)", "operator or '\\)'"), ("f(,)", "','"), ("x ? 2", "character")):
        with pytest.raises(FormulaError, match=sentence):
            parse_expression(text)
    with pytest.raises(FormulaError, match=r"missing before '\('"):
        parse_expression("2 (x)")
