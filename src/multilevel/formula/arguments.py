"""The functions of formulas: the arguments that each takes, and how those given are matched to them, by R's rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse, shown
from multilevel.formula.syntax import Call, Node

DOTS = "..."


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a function, in R's order.

    Attributes
    ----------
    package
        The R package that has the function; empty where R has none.
    needs
        The arguments that must be given; ``...`` among them stands for one or more values.
    may
        The arguments that may be given.
    absent
        Those among them that R has and that have no meaning here.
    """

    package: str
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()

    @property
    def parameters(self) -> tuple[str, ...]:
        """All arguments."""
        return (*self.needs, *self.may)

    def __str__(self) -> str:
        """Return the arguments that can be given, as they stand in a sentence."""
        return ", ".join(name for name in self.parameters if name not in self.absent) or "no arguments"


@dataclass(frozen=True, slots=True)
class Matched:
    """The arguments of a call: those with a name, and those that ``...`` takes, with the names they were given."""

    named: dict[str, Node]
    dots: tuple[tuple[str | None, Node], ...]


def _table(package: str, *rows: str) -> dict[str, Signature]:
    """Read signatures such as ``"cut x [breaks labels -nmax]"``: what must be given, what may be, and what is absent."""
    found = {}
    for row in rows:
        needs, _, may = row.rstrip("]").partition("[")
        name, *required = needs.split()
        optional = may.split()
        absent = frozenset(word[1:] for word in optional if word.startswith("-"))
        found[name] = Signature(package, tuple(required), tuple(word.lstrip("-") for word in optional), absent)
    return found


ELEMENTWISE = (
    "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs", "sign", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "floor", "ceiling", "trunc",
)  # fmt: skip
"""Functions of one number."""

SIGNATURES: dict[str, Signature] = {
    **_table("base", *(f"{name} x" for name in ELEMENTWISE)),
    **_table(
        "base",
        "as.numeric x", "as.double x", "as.integer x", "as.character x", "is.na x", "I x", "identity x",
        "log x [base]", "round x [digits]", "signif x [digits]", "ifelse test yes no",
        "c [...]", "seq from to [by length.out -along.with]",
        "pmin ... [na.rm]", "pmax ... [na.rm]", "min ... [na.rm]", "max ... [na.rm]", "sum ... [na.rm]",
        "mean x [trim na.rm]", "scale x [center scale]",
        "cut x [breaks labels include.lowest right dig.lab ordered_result]",
        "factor x [levels labels exclude ordered -nmax]", "ordered x [levels labels exclude -nmax]", "as.factor x", "as.ordered x",
        "interaction ... [drop sep lex.order]", "paste ... [sep -collapse -recycle0]", "paste0 ... [-collapse -recycle0]",
    ),
    **_table(
        "stats",
        "offset object", "relevel x [ref]", "median x [na.rm]", "sd x [na.rm]", "var x [-y na.rm -use]",
        "C object [-contr -how.many]",
        "poly x [... degree -coefs raw simple]",
    ),
    **_table("splines", "bs x [df knots degree intercept Boundary.knots]", "ns x [df knots intercept Boundary.knots]"),
    **_table("lme4", "dummy f [levelsToKeep]"),
    **_table("", "center x"),
}  # fmt: skip
"""What each function takes."""


def match_arguments(call: Call, signature: Signature) -> Matched:
    """Match the arguments of a call as R does: by whole name, by the beginning of a name where it is plain, then by place.

    Raises
    ------
    FormulaError
        An argument is not taken, is given twice, or is lacking.
    """
    parameters = signature.parameters
    cut = parameters.index(DOTS) if DOTS in parameters else len(parameters)
    # What stands after the dots is known by its whole name only.
    before, by_name = parameters[:cut], [name for name in parameters if name != DOTS]
    named: dict[str, Node] = {}
    rest: list[tuple[str | None, Node]] = []
    for name, node in call.arguments:
        if name in by_name:
            _bind(named, str(name), node, call)
        else:
            rest.append((name, node))
    exact = set(named)
    left: list[tuple[str | None, Node]] = []
    for name, node in rest:
        near = [] if name is None else [known for known in before if known.startswith(name) and known not in exact]
        if len(near) > 1:
            raise FormulaError(
                f"The argument {name!r} of {shown(call)} can be {' or '.join(near)}; write its name in full."
            )
        if near:
            _bind(named, near[0], node, call)
        else:
            left.append((name, node))
    free = [name for name in before if name not in named]
    dots: list[tuple[str | None, Node]] = []
    for name, node in left:
        if name is None and free:
            named[free.pop(0)] = node
        elif DOTS in parameters:
            dots.append((name, node))
        else:
            _refuse(call, signature, name, node)
    for name in signature.absent & named.keys():
        if call.function == "C":
            factor = f"factor({deparse(named['object'])})" if "object" in named else "factor(x)"
            raise FormulaError(
                f"The contrasts in {shown(call)} are given apart from the formula: write {factor}, and contrasts={{{factor!r}: …}}."
            )
        raise FormulaError(f"The argument {name} of {call.function}() in {shown(call)} is not available; leave it out.")
    _check_needs(call, signature, named, dots)
    return Matched(named, tuple(dots))


def refuse_named(call: Call, signature: Signature, dots: Iterable[tuple[str | None, Node]]) -> None:
    """Refuse names among the arguments that ``...`` takes: one that is misspelt would be a value."""
    for name, node in dots:
        if name is not None:
            _refuse(call, signature, name, node)


def _bind(named: dict[str, Node], name: str, node: Node, call: Call) -> None:
    if name in named:
        raise FormulaError(f"{shown(call)} has the argument {name!r} more than once.")
    named[name] = node


def _check_needs(call: Call, signature: Signature, named: dict[str, Node], dots: list[tuple[str | None, Node]]) -> None:
    lacking = [name for name in signature.needs if name not in named and not (name == DOTS and dots)]
    if not lacking:
        return
    if lacking[0] in ("x", DOTS, "f"):
        raise FormulaError(f"{shown(call)} needs a column as its first argument; {call.function}() takes {signature}.")
    raise FormulaError(f"{shown(call)} needs its argument {lacking[0]!r}; {call.function}() takes {signature}.")


def _refuse(call: Call, signature: Signature, name: str | None, node: Node) -> None:
    if name is None:
        count = len(call.arguments)
        raise FormulaError(
            f"{shown(call)} has {count} argument{'s' if count > 1 else ''}, too many: {shown(node)} is unused;"
            f" {call.function}() takes {signature}."
        )
    raise FormulaError(
        f"{call.function}() has no argument {name!r} in {shown(call)}, so that it is unused; it has {signature}."
    )
