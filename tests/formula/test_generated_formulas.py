"""Generated formulas: a design or one sentence, at once, whatever is written."""

from __future__ import annotations

import pickle
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multilevel.errors import MultilevelError, MultilevelWarning
from multilevel.formula.arguments import SIGNATURES
from multilevel.formula.build import build_design
from multilevel.formula.grammar import parse_formula

N = 40
_rng = np.random.default_rng(5)
DATA: dict[str, np.ndarray] = {
    "y": _rng.normal(size=N),
    "x": _rng.normal(size=N),
    "z": _rng.uniform(1, 3, N),
    "k": _rng.integers(0, 4, N),
    "f": np.array(list("abc"))[_rng.integers(0, 3, N)],
    "b": _rng.random(N) < 0.5,
    "m": np.where(np.arange(N) % 7 == 0, np.nan, 1.0 * np.arange(N)),
    "one": np.ones(N),
    "my var": _rng.normal(size=N),
    "g": np.arange(N) % 5,
}
SECONDS = 5.0

columns = st.sampled_from(["x", "z", "k", "f", "b", "m", "one", "`my var`", "g", "pi", "T", "nope"])
constants = st.sampled_from(
    [
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "1e9",
        "1e400",
        "NaN",
        "Inf",
        "TRUE",
        "F",
        "NULL",
        "'a'",
        "c(1, 2)",
        "c('a', 'b')",
        "1:3",
        "c()",
    ]
)
operators = st.sampled_from(
    ["+", "-", "*", "/", "^", "**", "%%", "%/%", "%in%", ":", ">", "<=", "==", "!=", "&", "|", "&&", "||"]
)
argument_names = st.sampled_from(
    [
        *sorted({f"{name} = " for signature in SIGNATURES.values() for name in signature.parameters if name != "..."}),
        "foo = ",
        "deg = ",
    ]
)


@st.composite
def calls(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    arguments = [
        (draw(argument_names) if draw(st.integers(0, 2)) == 0 else "") + draw(inner)
        for _ in range(draw(st.integers(0, 3)))
    ]
    prefix = draw(st.sampled_from(["", "", "", "", "stats::", "base::", "splines::"]))
    return f"{prefix}{draw(st.sampled_from(sorted(SIGNATURES)))}({', '.join(arguments)})"


expressions = st.recursive(
    st.one_of(columns, columns, constants),
    lambda inner: st.one_of(
        calls(inner),
        calls(inner),
        st.builds("{} {} {}".format, inner, operators, inner),
        st.builds("({})".format, inner),
        st.builds("{}{}".format, st.sampled_from("-+!"), inner),
        st.builds("I({})".format, inner),
    ),
    max_leaves=7,
)
bars = st.one_of(
    st.just("(1 | g)"),
    st.just("1 | g"),
    st.builds("({} | g)".format, expressions),
    st.builds("(1 | {})".format, expressions),
    st.builds("({} || g)".format, expressions),
)
formulas = st.builds(
    lambda terms, bar, first, joint: f"y ~ {joint.join([bar, *terms] if first else [*terms, bar])}",
    st.lists(expressions, min_size=1, max_size=3),
    st.one_of(st.just("(1 | g)"), bars),
    st.booleans(),
    st.sampled_from([" + ", " + ", " + ", " * ", " - "]),
)


def attempt(text: str) -> None:
    """Make a design; what it does not make it refuses in one sentence, and neither takes long."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", MultilevelWarning)
            made = build_design(text, DATA)
    except MultilevelError as error:
        said, made = str(error), None
    assert time.perf_counter() - began < SECONDS
    if made is None:
        assert 0 < len(said) < 2000
        # No sentence is another library's.
        assert "cannot be evaluated" not in said
        return
    assert parse_formula(str(made.formula)) == made.formula
    assert made.encoder is not None
    # Some of the rows alone have the columns that they had among all.
    again = pickle.loads(pickle.dumps(made.encoder))
    rows = np.arange(N) if made.kept is None else np.flatnonzero(made.kept)
    half = {name: values[: N // 2] for name, values in DATA.items()}
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            again.fixed_matrix(half)[rows[rows < N // 2]], made.X[: (rows < N // 2).sum()], rtol=1e-8, atol=1e-8
        )


@given(formulas)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_formulas_by_the_grammar(text):
    attempt(text)


@given(formulas, st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_formulas_with_slips(text, data):
    at = data.draw(st.integers(0, len(text)))
    attempt(
        text[:at]
        + data.draw(st.text("()+-*/^|~,=.:'`\"%019 xg!&<>\\é\n\x00", max_size=3))
        + text[at + data.draw(st.integers(0, 2)) :]
    )


MANY = [f"u{i}" for i in range(200)]


@pytest.mark.parametrize(
    "text",
    [
        "(x + z)^1000000000",
        "x^1e9",
        f"({'+'.join(MANY[:20])})^20",
        " * ".join(MANY[:40]),
        ".^2",
        "/".join(f"v{i}" for i in range(3000)),
        "x:" * 10_000 + "x",
        "(x|" * 2000,
        "-" * 5000 + "x",
        "x^" * 3000 + "2",
        "I(" * 5000,
        "(" * 1000 + "x" + ")" * 1000,
        " + ".join(["."] * 3000),
        "I(x %in% 1:1e12)",
        "I(x %in% seq(0, 1, 1e-12))",
        "I(x %in% seq(0, 1, length.out = 1e12))",
        f"I(x %in% c({'1, ' * 300_000}2))",
        "ns(x, df = 1e8)",
        "bs(x, knots = 1:1e6)",
        "bs(x, degree = 1e6)",
        "poly(x, 1e6, raw = TRUE)",
        f"poly({', '.join(MANY)}, degree = 50)",
        "cut(x, 1e9)",
        "f:factor(x):factor(z):factor(y)",
        f"(1 | {'/'.join(MANY)})",
        "'" * 50_001,
        "x" + " " * 200_000,
        f"I(x * {'9' * 50_000})",
    ],
    ids=lambda text: text[:24],
)
def test_what_asks_for_very_much_ends_at_once(text):
    wide = {**DATA, **{name: DATA["x"] + i for i, name in enumerate(MANY)}}
    began, said = time.perf_counter(), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            build_design(f"y ~ {text} + (1 | g)", wide)
    except MultilevelError as error:
        said = str(error)
    assert len(said) < 2000
    assert time.perf_counter() - began < SECONDS
