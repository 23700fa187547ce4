"""Formulas with random-effects terms: reading them, taking them apart, updating them and writing them back."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any

from multilevel.arguments import checked, checked_methods
from multilevel.data.caller import warn_caller
from multilevel.errors import DataTypeError, FormulaError, MultilevelWarning
from multilevel.formula.deparse import deparse, shown
from multilevel.formula.removal import absent_terms, match_removals
from multilevel.formula.structured import ORDERED, STRUCTURES, BarParts, bar_parts
from multilevel.formula.syntax import (
    BINDING,
    R_CONSTANTS,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Paren,
    Unary,
    interaction_members,
    left_chain,
    names_in,
    parse_sides,
    rewritten,
    shortened,
)
from multilevel.formula.terms import OPERATORS, TermList, expand_terms, is_bar
from multilevel.size_limits import beyond_limit, current_limits

_DOT = Name(".")


@dataclass(frozen=True, slots=True)
class Bar:
    """One random-effects term, the parentheses taken off.

    Attributes
    ----------
    lhs
        What varies, left of the bar, for example ``"1 + Days"``.
    group
        What it varies over, right of the bar, for example ``"Subject"`` or ``"school/class"``.
    double
        Whether the bar is ``||``: no correlations between the columns of different terms.
    structure
        The covariance structure: ``"unstructured"``, or what a call such as ``cs(x | g)`` names (see `structured.STRUCTURES`).
    """

    lhs: str
    group: str
    double: bool
    structure: str
    lhs_node: Node = field(repr=False, compare=False)
    group_node: Node = field(repr=False, compare=False)
    term_list: TermList = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.lhs} {'||' if self.double else '|'} {self.group}"

    @property
    def written(self) -> str:
        """The term as it stands in a formula, with its parentheses or its structure's name."""
        name = next(name for name, structure in STRUCTURES.items() if structure == self.structure)
        return f"({self})" if name == "us" else f"{name}({self})"

    @property
    def group_variables(self) -> tuple[Node, ...]:
        """The expressions whose combinations make the grouping factor, ``a`` and ``b`` in ``a:b``."""
        return interaction_members(self.group_node)

    def split(self) -> tuple[Bar, ...]:
        """Return the plain terms that this one stands for, in lme4's order.

        ``(x || g)`` is ``(1 | g)`` and ``(0 + x | g)``, one term for each term on the left; ``(x | a/b)`` is
        ``(x | b:a)`` and ``(x | a)``.
        """
        lefts = _uncorrelated(self.lhs_node) if self.double else (self.lhs_node,)
        groups = _nested_groups(self.group_node)
        return tuple(_make_bar(BarParts(left, group, False, self.structure)) for left in lefts for group in groups)


@checked_methods
@dataclass(frozen=True, slots=True)
class Formula:
    """A model formula, read and checked; ``str(formula)`` writes it back.

    Two formulas are equal when they are written alike, white space apart.

    Attributes
    ----------
    response
        The response as text, or None where the formula has none.
    fixed
        The fixed part as text, the random-effects terms taken out.
    terms
        The labels of the fixed part's terms, expanded and in R's order, without the intercept.
    intercept
        Whether the fixed part has an intercept.
    offsets
        The expressions in ``offset()``, as text.
    random
        The random-effects terms as written; `find_bars` gives them with ``/`` and ``||`` expanded.
    """

    response: str | None
    fixed: str
    terms: tuple[str, ...] = field(compare=False)
    intercept: bool = field(compare=False)
    offsets: tuple[str, ...] = field(compare=False)
    random: tuple[Bar, ...] = field(compare=False)
    text: str = field(repr=False)
    response_node: Node | None = field(repr=False, compare=False)
    right_node: Node = field(repr=False, compare=False)
    term_list: TermList = field(repr=False, compare=False)
    plain_bars: tuple[Bar, ...] = field(repr=False, compare=False)
    _hints: tuple[str, ...] = field(repr=False, compare=False, default=())

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _make_formula, (self.response_node, self.right_node)

    @property
    def hints(self) -> tuple[str, ...]:
        """Sentences about what the formula seems to say and does not, such as the square of a variable."""
        found = [*self.term_list.hints, *self._hints]
        for bar in self.random:
            found += bar.term_list.hints
        return tuple(dict.fromkeys(found))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of all variables in the formula, response first, each once."""
        response = names_in(self.response_node) if self.response_node is not None else ()
        return tuple(dict.fromkeys((*response, *names_in(self.right_node))))

    @property
    def grouping_variables(self) -> tuple[str, ...]:
        """The names of the variables right of the bars, each once."""
        return tuple(dict.fromkeys(name for bar in self.random for name in names_in(bar.group_node)))

    @property
    def has_dot(self) -> bool:
        """Whether ``.`` stands for columns of the data."""
        return "." in self.variables

    def update(self, new: str | Formula) -> Formula:
        """Return the formula changed as `new` says, for example ``". ~ . + price"``; see `update_formula`."""
        return update_formula(self, new)

    def expand_dot(self, columns: Iterable[str], *, exclude: Iterable[str] = ()) -> Formula:
        """Return the formula with ``.`` replaced by the sum of the data's columns.

        ``.`` stands for every column that is neither in the response nor right of a bar nor in `exclude` (the
        columns that hold the weights or the offset). R leaves out only the response, which would make the grouping
        factors fixed effects.
        """
        if not self.has_dot:
            return self
        response = names_in(self.response_node) if self.response_node is not None else ()
        left_out = {*response, *self.grouping_variables, *exclude}
        names: list[Node] = [Name(column) for column in columns if column not in left_out]
        if not names:
            raise FormulaError(f"In the formula '{self}', '.' stands for no column: none is left in the data.")
        total = reduce(lambda left, right: Binary("+", left, right), names)
        return _make_formula(self.response_node, _substitute(self.right_node, total))

    def with_constants(self, columns: Container[str]) -> Formula:
        """Return the formula with R's ``pi``, ``T`` and ``F`` as constants, where they are no columns and no terms."""
        constants = {name: value for name, value in R_CONSTANTS.items() if name not in columns}
        if not constants.keys() & set(self.variables):
            return self
        response = None if self.response_node is None else insert_constants(self.response_node, constants)
        return _make_formula(response, insert_constants(self.right_node, constants))


@checked
def parse_formula(text: str | Formula) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text
        A formula in lme4's notation. The response may be missing, as in ``"~ x + (1 | g)"``.

    Returns
    -------
    Formula
        The formula taken apart.

    Raises
    ------
    FormulaError
        If the text cannot be read, or if what it says has no meaning.

    Examples
    --------
    >>> formula = parse_formula("Reaction ~ Days + (Days | Subject)")
    >>> formula.response, formula.terms, str(formula.random[0])
    ('Reaction', ('Days',), 'Days | Subject')
    """
    if isinstance(text, Formula):
        return text
    if not isinstance(text, str):
        raise DataTypeError(f"A formula must be text such as 'y ~ x + (1 | g)', not {type(text).__name__}.")
    return _parse_cached(text)


@lru_cache(maxsize=256)
def _parse_cached(text: str) -> Formula:
    left, right, tilde = parse_sides(text)
    if not tilde:
        raise FormulaError(f"The formula {shortened(text)!r} has no '~' between the response and the terms.")
    if right is None:
        raise FormulaError(
            f"The formula {shortened(text)!r} has nothing right of '~'; write '1' for an intercept alone."
        )
    return _make_formula(left, right)


def update_formula(old: str | Formula, new: str | Formula) -> Formula:
    """Change a formula as R's ``update`` does.

    In `new`, ``.`` on a side stands for that side of `old`; terms are added with ``+`` and removed with ``-``,
    random-effects terms too: ``". ~ . + price - (1 | school)"``. One of the terms that a ``||`` or a ``/`` stands for
    can be removed from it. A missing left side keeps the response. The result has its products expanded, its terms in
    R's order, and the random-effects terms last.

    Warns
    -----
    MultilevelWarning
        A term is removed that is not there.
    """
    old, new = parse_formula(old), parse_formula(new)
    response = new.response_node if new.response_node is not None else _DOT
    if old.response_node is not None:
        response = _substitute(response, old.response_node)
    before, change, absent = match_removals(
        old.right_node, new.right_node, lambda node: _make_bar(bar_parts(node)).split()
    )
    right = _substitute(change, Paren(before))
    own = absent_terms(before)
    absent += [term for term in absent_terms(right) if term not in own]
    if absent:
        warn_caller(
            f"The update removes {', '.join(absent)}, which the model '{old}' does not have.", MultilevelWarning
        )
    expanded = expand_terms(right)
    products = [reduce(lambda a, b: Binary(":", a, b), term.variables) for term in expanded.terms]
    parts: list[Node] = [part for part in products if not is_bar(part)]
    parts += expanded.offsets
    if not expanded.intercept:
        parts.insert(0, Constant(0.0))
    elif not parts:
        parts.append(Constant(1.0))
    parts += [part for part in products if is_bar(part)]
    return _make_formula(
        None if response == _DOT else response, reduce(lambda left, term: Binary("+", left, term), parts)
    )


@checked
def find_bars(formula: str | Formula) -> tuple[Bar, ...]:
    """Return the random-effects terms of a formula with ``/`` and ``||`` expanded, in lme4's order.

    Examples
    --------
    >>> [str(bar) for bar in find_bars("y ~ x + (1 | batch/cask)")]
    ['1 | cask:batch', '1 | batch']
    """
    return parse_formula(formula).plain_bars


@checked
def no_bars(formula: str | Formula) -> str:
    """Return a formula's text without its random-effects terms.

    Examples
    --------
    >>> no_bars("y ~ x + (1 | g)")
    'y ~ x'
    """
    formula = parse_formula(formula)
    return _join_sides(formula.response, formula.fixed)


def _join_sides(response: str | None, right: str) -> str:
    return f"~{right}" if response is None else f"{response} ~ {right}"


def _make_formula(left: Node | None, right: Node) -> Formula:
    """Check a formula's two sides and put the record together."""
    if left is not None:
        _refuse_bars(left, "the response")
    right, hints = _with_bars_apart(right)
    whole = expand_terms(right)
    bars = []
    for term in whole.terms:
        inside = [variable for variable in term.variables if is_bar(variable)]
        if inside and len(term.variables) > 1:
            raise FormulaError(
                f"The random-effects term {shown(inside[0])} is part of the interaction {term.label!r}; "
                "random-effects terms can only be added with '+'."
            )
        if inside:
            bars.append(_make_bar(bar_parts(inside[0])))
    for offset in whole.offsets:
        if not isinstance(offset, Call) or len(offset.arguments) != 1:
            raise FormulaError(f"{shown(offset)} must have exactly one argument, as in 'offset(z)'.")
    fixed_node = _without_bars(right)
    fixed = expand_terms(fixed_node)
    response = None if left is None else deparse(left)
    return Formula(
        response=response,
        fixed="1" if fixed_node is None else deparse(fixed_node),
        terms=tuple(term.label for term in fixed.terms),
        intercept=fixed.intercept,
        offsets=tuple(deparse(offset) for offset in fixed.offsets),
        random=tuple(bars),
        text=_join_sides(response, deparse(right)),
        response_node=left,
        right_node=right,
        term_list=fixed,
        plain_bars=tuple(part for bar in bars for part in bar.split()),
        _hints=hints,
    )


def _make_bar(parts: BarParts) -> Bar:
    left, group = parts.left, parts.group
    # The left side may not hold a bar, which would be read as a variable here and is refused below.
    columns = expand_terms(left)
    bar = Bar(deparse(left), deparse(group), parts.double, parts.structure, left, group, columns)
    _refuse_bars(left, f"the left side of the random-effects term '({bar})'")
    _refuse_bars(group, f"the grouping factor of the random-effects term '({bar})'")
    if columns.offsets:
        raise FormulaError(f"The random-effects term '({bar})' has an offset; an offset belongs to the fixed part.")
    for nested in _nested_groups(group):
        for member in interaction_members(nested):
            _check_group(member, bar)
    if not columns.intercept and not columns.terms:
        raise FormulaError(f"The random-effects term '({bar})' has no columns: nothing is left of '0'.")
    if bar.structure in ORDERED and (columns.intercept or [len(term.variables) for term in columns.terms] != [1]):
        raise FormulaError(
            f"The random-effects term '{bar.written}' must have the levels of one factor for columns, in their order and without an"
            f" intercept, as in '{bar.structure}(0 + time | {bar.group})'."
        )
    return bar


def _check_group(member: Node, bar: Bar) -> None:
    if isinstance(member, Binary) and member.op in ("+", "*"):
        raise FormulaError(
            f"The grouping factor of '({bar})' cannot be {bar.group!r}; write crossed factors as separate terms, as in "
            f"'({bar.lhs} | a) + ({bar.lhs} | b)', nested ones as 'a/b' and combinations as 'a:b'."
        )
    if isinstance(member, Binary | Unary | Constant):
        raise FormulaError(f"The grouping factor of '({bar})' must be a column of the data, not {shown(member)}.")
    if member == _DOT:
        raise FormulaError(f"The grouping factor of '({bar})' must be named; '.' cannot stand for it.")


def _refuse_bars(node: Node, where: str) -> None:
    waiting: list[Node] = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Call) and is_bar(node):
            raise FormulaError(f"A random-effects term cannot stand within {where}: {shown(node)}.")
        if isinstance(node, Paren):
            waiting.append(node.inner)
        elif isinstance(node, Unary):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            if node.op in ("|", "||"):
                raise FormulaError(
                    f"A bar cannot stand within {where}: {shown(node)}; put each random-effects term in parentheses, as in"
                    " '(1 | a) + (1 | b)', and a comparison with '|' inside I()."
                )
            waiting += [node.right, node.left]


def _with_bars_apart(node: Node) -> tuple[Node, tuple[str, ...]]:
    """Put random-effects terms in parentheses of their own where an operator that binds loosely takes in more.

    ``1 | g`` is ``(1 | g)``, and ``x > 3 + (1 | g)``, in which the sum is compared, is ``(x > 3) + (1 | g)``.
    """
    if isinstance(node, Binary) and node.op in ("|", "||"):
        _refuse_bars(node.left, f"the left side of the random-effects term {shown(node)}")
        _refuse_bars(node.right, f"the grouping factor of the random-effects term {shown(node)}")
        hint: tuple[str, ...] = ()
        if deparse(node.left) != "1":
            hint = (
                f"The formula's right side {shown(node)} is read as one random-effects term, as in lme4, so that the intercept"
                " is the only fixed effect; put the random-effects terms in parentheses, as in"
                f" '{deparse(node.left)} + (1 | {deparse(node.right)})', to have others.",
            )
        return Paren(node), hint
    if not _is_condition(node):
        return node, ()
    bars: list[Node] = []
    condition: Node = Paren(_without_sums(node, bars))
    return reduce(lambda left, bar: Binary("+", left, bar), bars, condition), ()


def _is_condition(node: Node) -> bool:
    return (isinstance(node, Binary) and node.op not in OPERATORS and BINDING[node.op] < BINDING["+"]) or (
        isinstance(node, Unary) and node.op == "!"
    )


def _without_sums(node: Node, bars: list[Node]) -> Node:
    """Return a condition without the random-effects terms in the sums that it compares; these are added to `bars`."""
    if isinstance(node, Unary) and _is_condition(node):
        return Unary(node.op, _without_sums(node.operand, bars))
    if isinstance(node, Binary) and _is_condition(node):
        left = _without_sums(node.left, bars)
        return Binary(node.op, left, _without_sums(node.right, bars))
    first, steps = left_chain(node)
    parts = [(step.op, step.right) for step in steps if step.op in ("+", "-")] if steps else []
    if not parts or len(parts) < len(steps):
        return node
    parts.insert(0, ("+", first))
    bars += [part for op, part in parts if op == "+" and is_bar(part)]
    left_over = [part for op, part in parts if op == "-" or not is_bar(part)]
    if len(left_over) != 1:
        raise FormulaError(
            f"In the formula a comparison takes in the whole sum {shown(node)}, because it binds less tightly"
            " than '+'; put it in parentheses, as in 'z + (x > 3)'."
        )
    return left_over[0]


def insert_constants(node: Node, constants: Mapping[str, float | bool], term: bool = True) -> Node:
    """Put constants in the place of their names in calls and arithmetic, but not where the name is itself a term."""

    def change(part: Node) -> Node | None:
        if isinstance(part, Name):
            if term or part.id not in constants:
                return part
            return Constant(constants[part.id], spelled=part.id)
        inside = isinstance(part, Call) and not is_bar(part)
        if term and (inside or (isinstance(part, Binary) and part.op not in OPERATORS)):
            return insert_constants(part, constants, term=False)
        return None

    return rewritten(node, change)


def _without_bars(node: Node) -> Node | None:
    """Drop the random-effects terms from a sum; None when nothing else is there."""
    first, steps = left_chain(node)
    for i in range(len(steps) - 1, -1, -1):
        if steps[i].op not in ("+", "-"):
            first, steps = steps[i], steps[i + 1 :]
            break
    result = _innermost_without_bars(first)
    for step in steps:
        right = _without_bars(step.right)
        if right is None:
            continue
        if result is None:
            result = right if step.op == "+" else Unary("-", right)
        else:
            unchanged = result is step.left and right is step.right
            result = step if unchanged else Binary(step.op, result, right)
    return result


def _innermost_without_bars(node: Node) -> Node | None:
    if is_bar(node):
        return None
    if isinstance(node, Paren):
        inner = _without_bars(node.inner)
        return None if inner is None else node if inner is node.inner else Paren(inner)
    if isinstance(node, Unary) and node.op in "+-":
        operand = _without_bars(node.operand)
        return None if operand is None else node if operand is node.operand else Unary(node.op, operand)
    return node


def _substitute(node: Node, replacement: Node) -> Node:
    """Put an expression in the place of every ``.``; deparsing adds the parentheses that it needs."""

    def change(part: Node) -> Node | None:
        if part == _DOT:
            return replacement
        if isinstance(part, Paren) and part.inner == _DOT and isinstance(replacement, Paren):
            return replacement if not is_bar(replacement) else Paren(replacement)
        return None

    return rewritten(node, change)


def _uncorrelated(node: Node) -> tuple[Node, ...]:
    """Split the left side of a double bar: the intercept and each term for themselves."""
    expanded = expand_terms(node)
    parts: list[Node] = [Constant(1.0)] if expanded.intercept else []
    for term in expanded.terms:
        product = reduce(lambda a, b: Binary(":", a, b), term.variables)
        parts.append(Binary("+", Constant(0.0), product))
    return tuple(parts)


def _nested_groups(node: Node) -> tuple[Node, ...]:
    """Split ``a/b/c`` into ``c:(b:a)``, ``b:a`` and ``a``, named as lme4 names them."""
    while isinstance(node, Paren):
        node = node.inner
    if not (isinstance(node, Binary) and node.op == "/"):
        return (node,)
    first, steps = left_chain(node)
    for i in range(len(steps) - 1, -1, -1):
        if steps[i].op != "/":
            first, steps = steps[i], steps[i + 1 :]
            break
    if len(steps) >= current_limits().nesting:
        raise FormulaError(f"A random-effects term nests {len(steps) + 1} grouping factors: {beyond_limit('nesting')}")
    groups = _nested_groups(first)
    for step in steps:
        groups = tuple(Binary(":", part, groups[0]) for part in _nested_groups(step.right)) + groups
    return groups
