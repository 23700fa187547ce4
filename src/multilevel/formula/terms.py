"""The algebra of terms: what ``a * b``, ``a / b``, ``(a + b)^2`` and ``- x`` stand for, in R's order.

A term is the set of variables it multiplies. Sets are kept as integers, one bit per variable in the order in which the
variables first appear, because that order decides how a term is written (``b:a`` when b was met first).
"""

from __future__ import annotations

from dataclasses import dataclass

from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse
from multilevel.formula.syntax import Binary, Call, Constant, Node, Paren, Unary

INTERCEPT = 0  # the empty product


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
    """Tell whether a node is a random-effects term in its parentheses, as in ``(x | g)``."""
    return isinstance(node, Paren) and isinstance(node.inner, Binary) and node.inner.op in ("|", "||")


def expand_terms(node: Node | None, *, intercept: bool = True) -> TermList:
    """Expand an expression into its terms, sorted by degree and otherwise in order of appearance, as R does.

    A random-effects term in parentheses counts as a variable.
    """
    expansion = _Expansion()
    bits = expansion.expand(node, [INTERCEPT] if intercept else []) if node is not None else [INTERCEPT]
    variables = expansion.variables
    products = sorted((bit for bit in bits if bit != INTERCEPT), key=int.bit_count)
    terms = []
    for bit in products:
        members = tuple(variable for i, variable in enumerate(variables) if bit >> i & 1)
        terms.append(Term(members, ":".join(deparse(member) for member in members)))
    return TermList(INTERCEPT in bits, tuple(terms), tuple(expansion.offsets))


class _Expansion:
    """Expands expressions into lists of bit sets, numbering variables as they appear."""

    def __init__(self) -> None:
        self.variables: list[Node] = []
        self.positions: dict[Node, int] = {}
        self.offsets: list[Node] = []

    def expand(self, node: Node, start: list[int]) -> list[int]:
        """Expand a whole side; `start` holds the intercept when it is there unless removed."""
        return self._sum(node, start)

    def _sum(self, node: Node, before: list[int]) -> list[int]:
        # A removal such as "- 1" acts on everything to its left, the implied intercept among it.
        if isinstance(node, Paren) and not is_bar(node):
            return self._sum(node.inner, before)
        if isinstance(node, Binary) and node.op in "+-":
            left = self._sum(node.left, before)
            return self._sum(node.right, left) if node.op == "+" else self._remove(node.right, left)
        if isinstance(node, Unary) and node.op == "-":
            return self._remove(node.operand, before)
        if isinstance(node, Unary) and node.op == "+":
            return self._sum(node.operand, before)
        if node in (Constant(0.0), Constant(False)):
            return [bit for bit in before if bit != INTERCEPT]
        return _union(before, self._product(node))

    def _remove(self, node: Node, before: list[int]) -> list[int]:
        if isinstance(node, Paren) and not is_bar(node):
            return self._remove(node.inner, before)
        if node == Constant(0.0):
            return _union([INTERCEPT], before)
        if isinstance(node, Call) and node.function == "offset":
            self.offsets = [offset for offset in self.offsets if offset != node]
            return before
        gone = set(self._product(node))
        return [bit for bit in before if bit not in gone]

    def _product(self, node: Node) -> list[int]:
        if is_bar(node):
            return self._variable(node)
        if isinstance(node, Paren):
            return self._product(node.inner)
        if isinstance(node, Binary):
            return self._operator(node)
        if isinstance(node, Unary):
            if node.op == "!":
                raise FormulaError(f"The term {deparse(node)!r} must stand inside I(), as in I({deparse(node)}).")
            return self._sum(node, [])
        if isinstance(node, Constant):
            if node.value in (1.0, True) and not isinstance(node.value, str):
                return [INTERCEPT]
            if node.value == 0.0 and not isinstance(node.value, str):
                return []
            raise FormulaError(
                f"The constant {deparse(node)} cannot be a term: only 0 and 1, for the intercept, can; "
                "write arithmetic inside I()."
            )
        if isinstance(node, Call) and node.function == "offset":
            if node not in self.offsets:
                self.offsets.append(node)
            return []
        return self._variable(node)

    def _variable(self, node: Node) -> list[int]:
        position = self.positions.setdefault(node, len(self.variables))
        if position == len(self.variables):
            self.variables.append(node)
        return [1 << position]

    def _operator(self, node: Binary) -> list[int]:
        op = node.op
        if op in ("+", "-"):
            return self._sum(node, [])
        if op == "^":
            return self._power(node)
        if op in ("|", "||"):
            raise FormulaError(
                f"The random-effects term {deparse(node)!r} must stand in parentheses, as in '({deparse(node)})'."
            )
        if op not in ("*", ":", "/", "%in%"):
            raise FormulaError(f"The expression {deparse(node)!r} is not a term; write it inside I().")
        left, right = self._product(node.left), self._product(node.right)
        if op == "*":
            return _union(left, right, _cross(left, right))
        if op == "/":
            together = 0
            for bit in left:
                together |= bit
            return _union(left, _cross([together], right))
        # As R has it, a product with the constant 1 alone is the intercept.
        return _cross(left, right) if INTERCEPT not in (*left, *right) else [INTERCEPT]

    def _power(self, node: Binary) -> list[int]:
        exponent = node.right.inner if isinstance(node.right, Paren) else node.right
        value = exponent.value if isinstance(exponent, Constant) else None
        if not isinstance(value, float) or value < 1 or value != int(value):
            raise FormulaError(
                f"In {deparse(node)!r} the power must be a whole number from 1 on; for the power of a variable write "
                f"I({deparse(node)})."
            )
        base = self._product(node.left)
        bits = base
        for _ in range(int(value) - 1):
            bits = _union(bits, _cross(bits, base))
        return bits


def _union(*lists: list[int]) -> list[int]:
    return list(dict.fromkeys(bit for bits in lists for bit in bits))


def _cross(left: list[int], right: list[int]) -> list[int]:
    return _union([a | b for a in left for b in right])
