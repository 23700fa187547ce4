"""Formulas with random-effects terms: reading them, taking them apart, updating them and writing them back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, reduce

from multilevel.arguments import checked, checked_methods
from multilevel.errors import DataTypeError, FormulaError
from multilevel.formula.deparse import deparse
from multilevel.formula.structured import ORDERED, STRUCTURES, BarParts, bar_parts
from multilevel.formula.syntax import Binary, Call, Constant, Name, Node, Paren, Unary, names_in, parse_sides
from multilevel.formula.terms import TermList, expand_terms, is_bar

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
        return _interaction_members(self.group_node)

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

    def __str__(self) -> str:
        return self.text

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
        raise FormulaError(f"The formula {text.strip()!r} has no '~' between the response and the terms.")
    if right is None:
        raise FormulaError(f"The formula {text.strip()!r} has nothing right of '~'; write '1' for an intercept alone.")
    return _make_formula(left, right)


def update_formula(old: str | Formula, new: str | Formula) -> Formula:
    """Change a formula as R's ``update`` does.

    In `new`, ``.`` on a side stands for that side of `old`; terms are added with ``+`` and removed with ``-``,
    random-effects terms too: ``". ~ . + price - (1 | school)"``. A missing left side keeps the response. The result
    has its products expanded, its terms in R's order, and the random-effects terms last.
    """
    old, new = parse_formula(old), parse_formula(new)
    response = new.response_node if new.response_node is not None else _DOT
    if old.response_node is not None:
        response = _substitute(response, old.response_node)
    right = _substitute(new.right_node, Paren(old.right_node))
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
    whole = expand_terms(right)
    bars = []
    for term in whole.terms:
        inside = [variable for variable in term.variables if is_bar(variable)]
        if inside and len(term.variables) > 1:
            raise FormulaError(
                f"The random-effects term {deparse(inside[0])!r} is part of the interaction {term.label!r}; "
                "random-effects terms can only be added with '+'."
            )
        if inside:
            bars.append(_make_bar(bar_parts(inside[0])))
    for offset in whole.offsets:
        if not isinstance(offset, Call) or len(offset.arguments) != 1:
            raise FormulaError(f"{deparse(offset)!r} must have exactly one argument, as in 'offset(z)'.")
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
        for member in _interaction_members(nested):
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
        raise FormulaError(f"The grouping factor of '({bar})' must be a column of the data, not {deparse(member)!r}.")
    if member == _DOT:
        raise FormulaError(f"The grouping factor of '({bar})' must be named; '.' cannot stand for it.")


def _refuse_bars(node: Node, where: str) -> None:
    if isinstance(node, Call) and is_bar(node):
        raise FormulaError(f"A random-effects term cannot stand within {where}: {deparse(node)!r}.")
    if isinstance(node, Paren):
        _refuse_bars(node.inner, where)
    elif isinstance(node, Unary):
        _refuse_bars(node.operand, where)
    elif isinstance(node, Binary):
        if node.op in ("|", "||"):
            raise FormulaError(f"A bar cannot stand within {where}: {deparse(node)!r}.")
        _refuse_bars(node.left, where)
        _refuse_bars(node.right, where)


def _without_bars(node: Node) -> Node | None:
    """Drop the random-effects terms from a sum; None when nothing else is there."""
    if is_bar(node):
        return None
    if isinstance(node, Paren):
        inner = _without_bars(node.inner)
        return None if inner is None else node if inner is node.inner else Paren(inner)
    if isinstance(node, Unary) and node.op in "+-":
        operand = _without_bars(node.operand)
        return None if operand is None else node if operand is node.operand else Unary(node.op, operand)
    if isinstance(node, Binary) and node.op in "+-":
        left, right = _without_bars(node.left), _without_bars(node.right)
        if right is None:
            return left
        if left is None:
            return right if node.op == "+" else Unary("-", right)
        return node if left is node.left and right is node.right else Binary(node.op, left, right)
    return node


def _substitute(node: Node, replacement: Node) -> Node:
    """Put an expression in the place of every ``.``."""
    if node == _DOT:
        return replacement
    if isinstance(node, Paren):
        inner = _substitute(node.inner, replacement)
        return inner if isinstance(inner, Paren) and not is_bar(inner) else Paren(inner)
    if isinstance(node, Unary):
        return Unary(node.op, _grouped(_substitute(node.operand, replacement), node.operand))
    if isinstance(node, Binary):
        # Left of a "+" or "-" a sum needs no parentheses: it is read from the left anyway.
        left = _substitute(node.left, replacement)
        if node.op not in ("+", "|", "||"):
            left = _grouped(left, node.left)
        return Binary(node.op, left, _grouped(_substitute(node.right, replacement), node.right))
    if isinstance(node, Call):
        return Call(node.function, tuple((name, _substitute(value, replacement)) for name, value in node.arguments))
    return node


def _grouped(new: Node, old: Node) -> Node:
    return Paren(new) if old == _DOT and isinstance(new, Binary | Unary) else new


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
    outer = _nested_groups(node.left)
    inner = _nested_groups(node.right)
    return tuple(Binary(":", part, outer[0]) for part in inner) + outer


def _interaction_members(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Paren):
        return _interaction_members(node.inner)
    if isinstance(node, Binary) and node.op == ":":
        return (*_interaction_members(node.left), *_interaction_members(node.right))
    return (node,)
