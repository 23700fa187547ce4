"""Reading, checking, expanding, updating and writing formulas."""

from __future__ import annotations

import copy
import pickle
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilevel.errors import DataTypeError, FormulaError, MultilevelWarning
from multilevel.formula.deparse import deparse, quote_name
from multilevel.formula.grammar import find_bars, no_bars, parse_formula, update_formula
from multilevel.formula.syntax import Name, names_in, parse_expression


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
        ("y ~ (1 | g) + x | h", "random-effects term cannot stand|bar cannot stand within the left side"),
        ("y ~ 1 | g + 1 | h", "put each random-effects term in parentheses"),
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
        ("y ~ z + x > 2 + (1 | g)", r"takes in the whole sum 'z \+ x'"),
        ("y ~ x^NaN + (1 | g)", "power must be a whole number"),
        ("y ~ x^Inf + (1 | g)", "power must be a whole number"),
        ("y ~ splines::x + (1 | g)", "'splines::' must stand before a function's name"),
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
    ("old", "change", "expected"),
    [
        ("y ~ x + (x || g)", "- (0 + x | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (x || g)", "- (x - 1 | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (x || g)", "- (1 | g)", "y ~ x + (0 + x | g)"),
        ("y ~ x + (x || g)", "- (1 | g) - (0 + x | g) + (1 | h)", "y ~ x + (1 | h)"),
        ("y ~ x + (1 | g) + (0 + x | g)", "- (x || g) + (1 | h)", "y ~ x + (1 | h)"),
        ("y ~ x + (x | g)", "- (1 + x | g) + (1 | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (1 | a/b)", "- (1 | b:a)", "y ~ x + (1 | a)"),
        ("y ~ x + (1 | a/b)", "- (1 | a:b)", "y ~ x + (1 | a)"),
        ("y ~ x + (1 | a) + (1 | a:b)", "- (1 | a/b) + (1 | h)", "y ~ x + (1 | h)"),
        ("y ~ x + (x || a/b)", "- (0 + x | a:b)", "y ~ x + (1 | b:a) + (1 | a) + (0 + x | a)"),
        ("y ~ x + cs(x | g)", "- cs(1 + x | g) + (1 | g)", "y ~ x + (1 | g)"),
        ("y ~ a * x + (1 | g)", "- x", "y ~ a + a:x + (1 | g)"),
        ("y ~ a * x + (1 | g)", "- x:a", "y ~ a + x + (1 | g)"),
    ],
)
def test_update_removes_what_a_term_stands_for(old, change, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(update_formula(old, f". ~ . {change}")) == expected


@pytest.mark.parametrize(
    ("old", "change", "named"),
    [
        ("y ~ x + (1 | g)", "- (1 | h)", "(1 | h)"),
        ("y ~ x + (x || g)", "- (x | g)", "(x | g)"),
        ("y ~ x + cs(x | g)", "- (x | g)", "(x | g)"),
        ("y ~ x + (1 | a)", "- (1 | a/b)", "(1 | b:a)"),
        ("y ~ x + (1 | g)", "- z", "z"),
        ("y ~ a + x + (1 | g)", "- a*x", "a:x"),
        ("y ~ x + offset(w) + (1 | g)", "- offset(z)", "offset(z)"),
    ],
)
def test_update_says_what_is_not_there(old, change, named):
    with pytest.warns(MultilevelWarning, match=re.escape(f"removes {named}, which")):
        update_formula(old, f". ~ . {change}")


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


@pytest.mark.parametrize(
    ("text", "written", "fixed", "bars"),
    [
        ("Yield ~ 1 | Batch", "Yield ~ (1 | Batch)", (), ["1 | Batch"]),
        ("~ 1 | plate", "~(1 | plate)", (), ["1 | plate"]),
        ("y ~ x + 1 || g", "y ~ (x + 1 || g)", (), ["1 | g", "0 + x | g"]),
        ("y ~ 1 | a/b", "y ~ (1 | a/b)", (), ["1 | b:a", "1 | a"]),
        ("y ~ x > 3", "y ~ (x > 3)", ("x > 3",), []),
        ("y ~ x > 3 + (1 | g)", "y ~ (x > 3) + (1 | g)", ("x > 3",), ["1 | g"]),
        ("y ~ (1 | g) + x > 3", "y ~ (x > 3) + (1 | g)", ("x > 3",), ["1 | g"]),
        (
            "y ~ (1 | g) + x > 3 & z < 2 + (1 | h)",
            "y ~ (x > 3 & z < 2) + (1 | g) + (1 | h)",
            ("x > 3 & z < 2",),
            ["1 | g", "1 | h"],
        ),
        ("y ~ z + (x > 3) + (1 | g)", "y ~ z + (x > 3) + (1 | g)", ("z", "x > 3"), ["1 | g"]),
        ("y ~ k %% 2 + z:(f == 'a') + (1 | g)", 'y ~ k%%2 + z:(f == "a") + (1 | g)', ("k%%2", 'z:f == "a"'), ["1 | g"]),
    ],
)
def test_bars_and_comparisons_without_their_parentheses(text, written, fixed, bars):
    formula = parse_formula(text)
    assert str(formula) == written
    assert formula.terms == fixed
    assert [str(bar) for bar in formula.plain_bars] == bars
    assert parse_formula(written) == formula


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("y ~ x**2 + (1 | g)", [r"The term 'x^2' is 'x'", "write 'I(x^2)'"]),
        ("y ~ z + x^3", ["'I(x^3)'"]),
        ("y ~ log(x)^2", ["'I(log(x)^2)'"]),
        ("y ~ x * x", ["The term 'x * x' is 'x'"]),
        ("y ~ z + x:x", ["The term 'x:x' is 'x'"]),
        ("y ~ z + (x^2 | g)", ["The term 'x^2' is 'x'"]),
        ("y ~ x | g", ["as one random-effects term", "'x + (1 | g)'"]),
    ],
)
def test_what_means_something_else_than_it_seems_is_hinted_at(text, says):
    (hint,) = parse_formula(text).hints
    for piece in says:
        assert piece in hint


@pytest.mark.parametrize("text", ["y ~ 1 | g", "y ~ (x + z)^2", "y ~ x^1", "y ~ I(x^2) + x", "y ~ x + x", "y ~ x*z"])
def test_what_says_what_it_means_has_no_hint(text):
    assert parse_formula(text).hints == ()


def test_powers_of_sums_end_where_no_term_is_new():
    assert parse_formula("y ~ (x + z)^1000000000").terms == parse_formula("y ~ (x + z)^2").terms == ("x", "z", "x:z")
    assert parse_formula("y ~ (a + b + c)^1e9").terms == parse_formula("y ~ (a + b + c)^3").terms
    assert parse_formula("y ~ x^1e9").terms == ("x",)


def test_wide_sums_are_read_and_changed_without_recursion():
    names = [f"v{i}" for i in range(6000)]
    written = parse_formula(f"y ~ {' + '.join(names)} + (1 | g)")
    by_dot = parse_formula("y ~ . + (1 | g)").expand_dot(["y", *names, "g"])
    assert written == by_dot
    assert written.terms == tuple(names)
    assert pickle.loads(pickle.dumps(written)) == written
    assert copy.deepcopy(written).terms == written.terms
    assert update_formula(written, ". ~ . - v7").terms == (*names[:7], *names[8:])
    assert written.variables == ("y", *names, "g")
    inside = parse_formula(f"y ~ I({' + '.join(names)}) + (1 | g)")
    assert inside.terms == (f"I({' + '.join(names)})",)
    (node,) = inside.term_list.terms[0].variables
    assert hash(node) == hash(parse_expression(inside.terms[0]))
    assert node == parse_expression(inside.terms[0])
    assert node != parse_expression(inside.terms[0].replace("v17 ", "v18 "))
    assert pickle.loads(pickle.dumps(node)) == node


def test_nodes_differ_where_their_text_does():
    assert parse_expression("f(1)") != parse_expression("f(TRUE)")
    assert parse_expression("f(a = 1)") != parse_expression("f(1)")
    assert parse_expression("(x)") != parse_expression("x")
    assert parse_expression("splines::ns(x)") != parse_expression("ns(x)")


@pytest.mark.parametrize("name", ["a`b", "a\\b", "", "a b", "\\", "`", "1:2"])
def test_names_of_any_kind_are_written_so_that_they_are_read(name):
    assert parse_expression(quote_name(name)) == Name(name)
    formula = parse_formula("y ~ . + (1 | g)").expand_dot(["y", name, "g"])
    assert parse_formula(str(formula)).terms == formula.terms == (quote_name(name),)


def test_constants_of_r_where_no_column_has_their_name():
    formula = parse_formula("y ~ sin(2 * pi * t) + poly(t, 2, raw = T) + F + (1 | g)")
    assert formula.with_constants(["y", "t", "g"]).variables == ("y", "t", "F", "g")
    assert formula.with_constants(["y", "t", "g", "pi", "T"]).variables == ("y", "pi", "t", "T", "F", "g")
    known = formula.with_constants(["y", "t", "g"])
    assert str(known) == str(formula)
    assert pickle.loads(pickle.dumps(known)).variables == known.variables
