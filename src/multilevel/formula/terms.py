"""The algebra of terms: what ``a * b``, ``a / b``, ``(a + b)^2`` and ``- x`` stand for, in R's order.

A term is the set of variables it multiplies. Sets are kept as integers, one bit per variable in the order in which the
variables first appear, because that order decides how a term is written (``b:a`` when b was met first).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse
from multilevel.formula.structured import bar_inside
from multilevel.formula.syntax import Binary, Call, Constant, Node, Paren, Unary


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
    """The expanded terms of one side of a formula: the intercept, the terms by degree, and the offsets."""

    intercept: bool
    terms: tuple[Term, ...]
    offsets: tuple[Node, ...]


def is_bar(node: Node) -> bool:
    """Tell whether a node is a random-effects term: ``(x | g)`` in its parentheses, or in a call such as ``cs(x | g)``."""
    return bar_inside(node) is not None


def expand_terms(node: Node | None, *, intercept: bool = True) -> TermList:
    """Expand an expression into its terms, sorted by degree and otherwise in order of appearance, as R does.

    A random-effects term in parentheses counts as a variable.
    """
    expansion = _Expansion(intercept)
    products = sorted(expansion.expand(node), key=int.bit_count) if node is not None else []
    variables = expansion.variables
    terms = []
    for bit in products:
        members = tuple(variable for i, variable in enumerate(variables) if bit >> i & 1)
        terms.append(Term(members, ":".join(deparse(member) for member in members)))
    return TermList(expansion.intercept, tuple(terms), tuple(expansion.offsets))


class _Expansion:
    """Expands expressions into lists of bit sets, numbering variables as they appear.

    The intercept is a switch that any ``0``, ``1`` or ``- 1`` turns, wherever it stands; a term is removed only from
    the sum that its removal belongs to: ``x + (z - x)`` keeps ``x``.
    """

    def __init__(self, intercept: bool) -> None:
        self.intercept = intercept
        self.variables: list[Node] = []
        self.positions: dict[Node, int] = {}
        self.offsets: list[Node] = []

    def expand(self, node: Node, adding: bool = True) -> list[int]:
        """Return the terms of an expression; `adding` is False while reading what is to be removed."""
        if is_bar(node):
            return self._variable(node)
        if isinstance(node, Paren):
            return self.expand(node.inner, adding)
        if isinstance(node, Binary):
            return self._operator(node, adding)
        if isinstance(node, Unary):
            if node.op == "!":
                raise FormulaError(f"The term {deparse(node)!r} must stand inside I(), as in I({deparse(node)}).")
            return self._sum([], node.operand, node.op, adding)
        if isinstance(node, Constant):
            return self._constant(node, adding)
        if isinstance(node, Call) and node.function == "offset":
            if not adding:
                self.offsets = [offset for offset in self.offsets if offset != node]
            elif node not in self.offsets:
                self.offsets.append(node)
            return []
        return self._variable(node)

    def _sum(self, left: list[int], right: Node, op: str, adding: bool) -> list[int]:
        if op == "+":
            return _union(left, self.expand(right, adding))
        gone = set(self.expand(right, not adding))
        return [bit for bit in left if bit not in gone]

    def _constant(self, node: Constant, adding: bool) -> list[int]:
        if isinstance(node.value, str) or node.value not in (0.0, 1.0):
            raise FormulaError(
                f"The constant {deparse(node)} cannot be a term: only 0 and 1, for the intercept, can; "
                "write arithmetic inside I()."
            )
        self.intercept = adding == bool(node.value)
        return []

    def _variable(self, node: Node) -> list[int]:
        position = self.positions.setdefault(node, len(self.variables))
        if position == len(self.variables):
            self.variables.append(node)
        return [1 << position]

    def _operator(self, node: Binary, adding: bool) -> list[int]:
        op = node.op
        if op in ("+", "-"):
            return self._sum(self.expand(node.left, adding), node.right, op, adding)
        if op == "^":
            return self._power(node, adding)
        if op in ("|", "||"):
            raise FormulaError(
                f"The random-effects term {deparse(node)!r} must stand in parentheses, as in '({deparse(node)})'."
            )
        if op not in ("*", ":", "/", "%in%"):
            raise FormulaError(f"The expression {deparse(node)!r} is not a term; write it inside I().")
        left, right = self.expand(node.left, adding), self.expand(node.right, adding)
        if op == "*":
            return _union(left, right, _cross(left, right))
        if op == "/":
            return _union(left, _cross([_together(left)], right))
        if op == "%in%":
            return _cross(left, [_together(right)])
        return _cross(left, right)

    def _power(self, node: Binary, adding: bool) -> list[int]:
        exponent = node.right.inner if isinstance(node.right, Paren) else node.right
        value = exponent.value if isinstance(exponent, Constant) else None
        if not isinstance(value, float) or value < 1 or value != int(value):
            raise FormulaError(
                f"In {deparse(node)!r} the power must be a whole number from 1 on; for the power of a variable write "
                f"I({deparse(node)})."
            )
        base = self.expand(node.left, adding)
        bits = base
        for _ in range(int(value) - 1):
            bits = _cross(bits, base)  # a term crossed with itself is itself, so nothing is lost
        return bits


def _union(*lists: list[int]) -> list[int]:
    return list(dict.fromkeys(bit for bits in lists for bit in bits))


def _together(bits: list[int]) -> int:
    """Return the product of all terms."""
    return reduce(or_, bits, 0)


def _cross(left: list[int], right: list[int]) -> list[int]:
    return _union([a | b for a in left for b in right])
