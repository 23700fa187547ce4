"""The algebra of terms: what ``a * b``, ``a / b``, ``(a + b)^2`` and ``- x`` stand for, in R's order.

A term is the set of variables it multiplies. Sets are kept as integers, one bit per variable in the order in which the
variables first appear, because that order decides how a term is written (``b:a`` when b was met first).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse, shown
from multilevel.formula.structured import bar_inside
from multilevel.formula.syntax import Binary, Call, Constant, Node, Paren, Unary, left_chain
from multilevel.size_limits import beyond_limit, current_limits

OPERATORS = frozenset({"+", "-", "*", ":", "/", "%in%", "^", "|", "||"})
"""Operators that join terms; what others make is a variable."""

_STEPS_PER_TERM = 100
"""How many steps may be taken for each term that a formula may have: products looked at, of which few terms may come."""

_STEPS_PER_VARIABLE = 20
"""How many such steps reading one variable counts for."""


@dataclass(frozen=True, slots=True)
class Term:
    """A product of variables.

    Attributes
    ----------
    variables
        The expressions multiplied, in the order in which the formula first mentions them.
    label
        The term as R writes it, for example ``"a:log(x)"``.
    """

    variables: tuple[Node, ...]
    label: str


@dataclass(frozen=True, slots=True)
class TermList:
    """The expanded terms of one side of a formula: the intercept, the terms by degree, and the offsets.

    `hints` are sentences about what seems to say something else.
    """

    intercept: bool
    terms: tuple[Term, ...]
    offsets: tuple[Node, ...]
    hints: tuple[str, ...] = ()


def is_bar(node: Node) -> bool:
    """Tell whether a node is a random-effects term: ``(x | g)`` in its parentheses, or in a call such as ``cs(x | g)``."""
    return bar_inside(node) is not None


def expand_terms(node: Node | None, *, intercept: bool = True) -> TermList:
    """Expand an expression into its terms, sorted by degree and otherwise in order of appearance, as R does.

    A random-effects term in parentheses counts as a variable.
    """
    expansion = _Expansion(intercept)
    products = sorted(expansion.expand(node), key=int.bit_count) if node is not None else []
    texts = list(expansion.variables)
    variables = list(expansion.variables.values())
    terms = []
    for bits in products:
        positions = _positions(bits)
        terms.append(Term(tuple(variables[i] for i in positions), ":".join(texts[i] for i in positions)))
    return TermList(
        expansion.intercept, tuple(terms), tuple(expansion.offsets.values()), tuple(dict.fromkeys(expansion.hints))
    )


class _Expansion:
    """Expands expressions into lists of bit sets, numbering variables as they appear.

    The intercept is a switch that any ``0``, ``1`` or ``- 1`` turns, wherever it stands; a term is removed only from
    the sum that its removal belongs to: ``x + (z - x)`` keeps ``x``.
    """

    def __init__(self, intercept: bool) -> None:
        self.intercept = intercept
        # Variables and offsets are known by their text.
        self.variables: dict[str, Node] = {}
        self.positions: dict[str, int] = {}
        self.offsets: dict[str, Node] = {}
        self.hints: list[str] = []
        self.most = current_limits().terms
        self.steps = 0

    def expand(self, node: Node, adding: bool = True) -> list[int]:
        """Return the terms of an expression; `adding` is False while reading what is to be removed."""
        if is_bar(node):
            return self._variable(node)
        if isinstance(node, Paren):
            return self.expand(node.inner, adding)
        if isinstance(node, Binary) and node.op in OPERATORS:
            return self._chain(node, adding)
        if isinstance(node, Unary) and node.op != "!":
            return list(self._sum({}, node.operand, node.op, adding))
        if isinstance(node, Constant):
            return self._constant(node, adding)
        if isinstance(node, Call) and node.function == "offset":
            if adding:
                self.offsets[deparse(node)] = node
            else:
                self.offsets.pop(deparse(node), None)
            return []
        return self._variable(node)

    def _chain(self, node: Binary, adding: bool) -> list[int]:
        first, steps = left_chain(node)
        for i in range(len(steps) - 1, -1, -1):
            if steps[i].op not in OPERATORS:
                # A comparison of sums is one variable, whatever it begins with.
                first, steps = steps[i], steps[i + 1 :]
                break
        found = dict.fromkeys(self.expand(first, adding))
        for step in steps:
            if step.op in ("+", "-"):
                found = self._sum(found, step.right, step.op, adding)
            else:
                found = self._product(list(found), step, adding)
        return list(found)

    def _sum(self, left: dict[int, None], right: Node, op: str, adding: bool) -> dict[int, None]:
        """Add the terms of an expression to others, or take them out."""
        if op == "+":
            left.update(dict.fromkeys(self.expand(right, adding)))
            self._check(len(left), right)
        else:
            for bits in self.expand(right, not adding):
                left.pop(bits, None)
        return left

    def _constant(self, node: Constant, adding: bool) -> list[int]:
        if isinstance(node.value, str) or node.value not in (0.0, 1.0):
            raise FormulaError(
                f"The constant {deparse(node)} cannot be a term: only 0 and 1, for the intercept, can; "
                "write arithmetic inside I()."
            )
        self.intercept = adding == bool(node.value)
        return []

    def _variable(self, node: Node) -> list[int]:
        text = deparse(node)
        self._spend(_STEPS_PER_VARIABLE, node)
        position = self.positions.setdefault(text, len(self.positions))
        self.variables.setdefault(text, node)
        return [1 << position]

    def _product(self, left: list[int], node: Binary, adding: bool) -> dict[int, None]:
        op = node.op
        if op == "^":
            return self._power(left, node)
        if op in ("|", "||"):
            raise FormulaError(
                f"The random-effects term {shown(node)} must stand in parentheses, as in '({shown(node, quoted=False)})'."
            )
        right = self.expand(node.right, adding)
        if op in ("*", ":") and len(left) == 1 and left == right:
            self._hint(node, left)
        if op == "*":
            return self._union(node, left, right, self._cross(left, right, node))
        if op == "/":
            return self._union(node, left, self._cross([_together(left)], right, node))
        if op == "%in%":
            return self._cross(left, [_together(right)], node)
        return self._cross(left, right, node)

    def _power(self, base: list[int], node: Binary) -> dict[int, None]:
        exponent = node.right.inner if isinstance(node.right, Paren) else node.right
        value = exponent.value if isinstance(exponent, Constant) else None
        if not isinstance(value, float) or not math.isfinite(value) or value < 1 or value != int(value):
            raise FormulaError(
                f"In {shown(node)} the power must be a whole number from 1 on; for the power of a variable write "
                f"I({shown(node, quoted=False)})."
            )
        if len(base) == 1 and value > 1:
            self._hint(node, base)
        bits = dict.fromkeys(base)
        # A term crossed with itself is itself: once no power adds a term, or all variables stand together, none will.
        for _ in range(min(int(value) - 1, len(self.variables) + 1)):
            before = list(bits)
            bits = self._cross(before, base, node)
            if list(bits) == before:
                break
        return bits

    def _hint(self, node: Binary, bits: list[int]) -> None:
        """Note that a variable multiplied with itself is itself; one or two such notes are enough."""
        if len(self.hints) > 1:
            return
        itself = ":".join(list(self.variables)[i] for i in _positions(bits[0]))
        square = f"I({itself}^{deparse(node.right)})" if node.op == "^" else f"I({itself}^2)"
        self.hints.append(
            f"The term {shown(node)} is {itself!r}: in a formula, as in R, '{node.op}' makes interactions, and that of a"
            f" variable with itself is the variable; write {square!r} for the power of its values, or {itself!r} alone."
        )

    def _cross(self, left: list[int], right: list[int], node: Node) -> dict[int, None]:
        self._spend(len(left) * len(right), node)
        found = dict.fromkeys(a | b for a in left for b in right)
        self._check(len(found), node)
        return found

    def _union(self, node: Node, *lists: Iterable[int]) -> dict[int, None]:
        found: dict[int, None] = {}
        for bits in lists:
            found.update(dict.fromkeys(bits))
        self._spend(len(found), node)
        self._check(len(found), node)
        return found

    def _check(self, count: int, node: Node) -> None:
        if count > self.most:
            raise FormulaError(f"The formula stands for too many terms at {_shown(node)}: {beyond_limit('terms')}")

    def _spend(self, steps: int, node: Node) -> None:
        """Bound the work, which can be much where few terms come of it."""
        self.steps += steps
        if self.steps > _STEPS_PER_TERM * self.most:
            raise FormulaError(
                f"The formula names or multiplies terms too often at {_shown(node)}, {_STEPS_PER_TERM} times"
                f" {beyond_limit('terms')}"
            )


def _shown(node: Node) -> str:
    text = deparse(node)
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _positions(bits: int) -> list[int]:
    """Return the places of the bits of a set."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found


def _together(bits: list[int]) -> int:
    """Return the product of all terms."""
    return reduce(or_, bits, 0)
