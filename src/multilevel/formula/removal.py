"""Terms to remove from a formula: finding those of bars that stand for several terms, and those that are not there.

``(x || g)`` is ``(1 | g)`` and ``(0 + x | g)``, and ``(1 | a/b)`` is ``(1 | b:a)`` and ``(1 | a)``; either can be removed alone,
and the same term can be written in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING

from multilevel.formula.deparse import deparse
from multilevel.formula.structured import STRUCTURES
from multilevel.formula.syntax import Binary, Call, Node, Paren, Unary
from multilevel.formula.terms import expand_terms, is_bar

if TYPE_CHECKING:
    from multilevel.formula.grammar import Bar

BarKey = tuple[bool, frozenset[frozenset[Node]], frozenset[str], str]
Split = Callable[[Node], "tuple[Bar, ...]"]


def match_removals(old: Node, new: Node, split: Split) -> tuple[Node, Node, list[str]]:
    """Spell the bars that `new` removes as they stand in `old`, and take apart those of `old` of which a part is removed.

    Returns
    -------
    tuple
        Both right sides, and the removed bars that `old` does not have, as text.
    """
    removed = [node for node, adding in _bars(new) if not adding]
    own = {node: _plain(node, split) for node, adding in _bars(old) if adding}
    added = {key for node, adding in _bars(new) if adding for key in _plain(node, split)}
    wanted = {node: _plain(node, split) for node in removed}
    apart: dict[Node, Node] = {}
    found: dict[Node, list[Node]] = {node: [] for node in removed}
    present = set(added)
    for bar, parts in own.items():
        present |= parts.keys()
        whole = [node for node, keys in wanted.items() if parts.keys() <= keys.keys()]
        for node in whole:
            found[node].append(bar)
        if not whole and any(parts.keys() & keys.keys() for keys in wanted.values()):
            apart[bar] = _sum(list(parts.values()))
            for node, keys in wanted.items():
                found[node] += [part for key, part in parts.items() if key in keys]
    absent = [
        deparse(node if not keys.keys() & present else part)
        for node, keys in wanted.items()
        for key, part in keys.items()
        if key not in present
    ]
    spelled = {node: Paren(_sum(bars)) for node, bars in found.items() if bars}
    return _replaced(old, apart), _replaced(new, spelled, removing=True), list(dict.fromkeys(absent))


def absent_terms(node: Node) -> list[str]:
    """Return the fixed-effects terms and offsets that a sum removes and does not have, as text."""
    found: list[str] = []
    if isinstance(node, Paren) and not is_bar(node):
        return absent_terms(node.inner)
    if isinstance(node, Unary) and node.op == "-":
        found += _missing(None, node.operand)
    first, steps = _along(node)
    if steps:
        found += absent_terms(first)
    for step in steps:
        found += absent_terms(step.right)
        if step.op == "-":
            found += _missing(step.left, step.right)
    return list(dict.fromkeys(found))


def _along(node: Node) -> tuple[Node, list[Binary]]:
    """Return what a sum begins with and its steps: a sum may have thousands of terms, too many to go into one in another."""
    steps: list[Binary] = []
    while isinstance(node, Binary) and node.op in "+-" and not is_bar(node):
        steps.append(node)
        node = node.left
    return node, steps[::-1]


def _missing(left: Node | None, right: Node) -> list[str]:
    """Return what is in `right` and not in `left`."""
    there, gone = expand_terms(left), expand_terms(right)
    terms = {frozenset(term.variables) for term in there.terms}
    absent = [
        term.label
        for term in gone.terms
        if frozenset(term.variables) not in terms and not any(is_bar(variable) for variable in term.variables)
    ]
    return absent + [deparse(offset) for offset in gone.offsets if offset not in there.offsets]


def _bars(node: Node, adding: bool = True) -> Iterator[tuple[Node, bool]]:
    """Go through the random-effects terms of a sum, each with whether it is added."""
    if is_bar(node):
        yield node, adding
    elif isinstance(node, Paren):
        yield from _bars(node.inner, adding)
    elif isinstance(node, Unary):
        yield from _bars(node.operand, adding != (node.op == "-"))
    elif isinstance(node, Binary) and node.op in "+-":
        first, steps = _along(node)
        yield from _bars(first, adding)
        for step in steps:
            yield from _bars(step.right, adding != (step.op == "-"))


def _replaced(node: Node, instead: Mapping[Node, Node], *, removing: bool = False, adding: bool = True) -> Node:
    """Put other nodes in the place of bars: of those that are added or, where asked, of those that are removed."""
    if is_bar(node):
        return instead.get(node, node) if adding != removing else node
    if isinstance(node, Paren):
        return Paren(_replaced(node.inner, instead, removing=removing, adding=adding))
    if isinstance(node, Unary):
        turned = adding != (node.op == "-")
        return Unary(node.op, _replaced(node.operand, instead, removing=removing, adding=turned))
    if isinstance(node, Binary) and node.op in "+-":
        first, steps = _along(node)
        found = _replaced(first, instead, removing=removing, adding=adding)
        for step in steps:
            turned = adding != (step.op == "-")
            found = Binary(step.op, found, _replaced(step.right, instead, removing=removing, adding=turned))
        return found
    return node


def _plain(node: Node, split: Split) -> dict[BarKey, Node]:
    """Return the plain terms that a bar stands for, by what they mean and not how they are written."""
    found: dict[BarKey, Node] = {}
    for bar in split(node):
        terms = frozenset(frozenset(term.variables) for term in bar.term_list.terms)
        members = frozenset(deparse(member) for member in bar.group_variables)
        found[bar.term_list.intercept, terms, members, bar.structure] = _written(bar)
    return found


def _written(bar: Bar) -> Node:
    """Return a plain term as a node of a formula."""
    inside = Binary("|", bar.lhs_node, bar.group_node)
    name = next(name for name, structure in STRUCTURES.items() if structure == bar.structure)
    return Paren(inside) if name == "us" else Call(name, ((None, inside),))


def _sum(nodes: list[Node]) -> Node:
    return reduce(lambda left, right: Binary("+", left, right), nodes)
