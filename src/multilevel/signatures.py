"""Rules of arguments, read from the annotations of a function.

An annotation is read as it stands in the source: names that are imported for the type checker alone are those of classes.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from multilevel.argument_rules import (
    ANYTHING,
    Above,
    AtLeast,
    Between,
    Choice,
    Function,
    Hint,
    Hinted,
    Instance,
    Later,
    ListOf,
    MappingOf,
    Missing,
    NotEmpty,
    Numeral,
    OneOf,
    Rule,
    Spellings,
    Text,
    TrueOrFalse,
    check,
)

LISTS = (list, Sequence, Iterable)


def rule_of_text(text: str, names: Mapping[str, Any]) -> Rule:
    """Return the rule of an annotation as it stands in the source."""
    return _rule_of_tree(ast.parse(text, mode="eval").body, names)


def _rule_of_tree(tree: ast.expr, names: Mapping[str, Any]) -> Rule:
    if isinstance(tree, ast.BinOp):
        return _one_of([_rule_of_tree(tree.left, names), _rule_of_tree(tree.right, names)])
    if isinstance(tree, ast.Constant):
        return Missing() if tree.value is None else rule_of_text(str(tree.value), names)
    if isinstance(tree, ast.Subscript):
        inner = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        of = _found(tree.value, names)
        if of is Literal:
            return Choice(tuple(ast.literal_eval(part) for part in inner))
        return _generic(of, [_rule_of_tree(part, names) for part in inner if not _is_ellipsis(part)])
    if isinstance(tree, ast.List):  # the arguments of a function that is an argument
        return ANYTHING
    found = _found(tree, names)
    return Instance(found) if isinstance(found, str) else rule_of(found)


def _is_ellipsis(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and tree.value is ...


def _found(tree: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return what a name stands for, or the name itself where it is imported for the type checker alone."""
    if isinstance(tree, ast.Attribute):
        home = _found(tree.value, names)
        return tree.attr if isinstance(home, str) else getattr(home, tree.attr)
    assert isinstance(tree, ast.Name)
    if tree.id in names:
        return names[tree.id]
    return getattr(builtins, tree.id, tree.id)


def rule_of(kind: Any) -> Rule:
    """Return the rule of a type."""
    if isinstance(kind, typing.ForwardRef):
        return Instance(kind.__forward_arg__)
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _narrowed(rule_of(kind.__origin__), kind.__metadata__)
    if origin in (typing.Union, types.UnionType):
        return _one_of([rule_of(part) for part in typing.get_args(kind)])
    if origin is Literal:
        return Choice(typing.get_args(kind))
    if origin is not None:
        return _generic(
            origin, [rule_of(part) for part in typing.get_args(kind) if not isinstance(part, list) and part is not ...]
        )
    plain: dict[Any, Rule] = {
        Any: ANYTHING, object: ANYTHING, None: Missing(), type(None): Missing(), bool: TrueOrFalse(), int: Numeral(True),
        float: Numeral(False), str: Text(), typing.SupportsIndex: Numeral(True), Callable: Function(),
    }  # fmt: skip
    if kind in plain:
        return plain[kind]
    if kind in (list, tuple, *LISTS):
        return ListOf(ANYTHING)
    if kind in (dict, Mapping):
        return MappingOf(ANYTHING, ANYTHING)
    is_class = isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
    return Instance(kind) if is_class else ANYTHING


def _generic(of: Any, inner: list[Rule]) -> Rule:
    if of is Annotated:
        raise TypeError("Annotated types have a name of their own, so that they are read once.")
    if of in (tuple, *LISTS):
        return ListOf(inner[0] if inner and all(part == inner[0] for part in inner) else ANYTHING)
    if of in (dict, Mapping, types.MappingProxyType):
        return MappingOf(*inner)
    if of is Callable:
        return Function()
    return rule_of(of)


def _one_of(parts: Iterable[Rule]) -> Rule:
    flat: list[Rule] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, OneOf) else [part])
    return ANYTHING if ANYTHING in flat else OneOf(tuple(flat))


def _narrowed(rule: Rule, more: Iterable[Any]) -> Rule:
    for part in more:
        if isinstance(part, Later):
            return ANYTHING
        if isinstance(part, Hint):
            rule = Hinted(rule, part.text)
        elif isinstance(part, NotEmpty):
            rule = Text(filled=True)
        elif isinstance(part, Spellings):
            assert isinstance(rule, Choice)
            rule = Choice(rule.values, part.names)
        elif isinstance(part, AtLeast | Above | Between):
            assert isinstance(rule, Numeral)
            rule = Numeral(rule.whole, part)
    return rule


@dataclass(frozen=True)
class Door:
    """The rules of a function's arguments, and the other names that they have."""

    where: str
    positional: tuple[tuple[str, Rule], ...]
    by_name: Mapping[str, Rule]
    more: Rule | None
    named: Rule | None

    def let_in(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the function is to have them; what it has no place for is left to Python to refuse."""
        taken = list(arguments)
        for at, value in enumerate(arguments):
            if at < len(self.positional):
                name, rule = self.positional[at]
                taken[at] = value if rule is ANYTHING else check(self.where, name, rule, value)
            elif self.more is not None:
                taken[at] = check(self.where, f"argument {at + 1}", self.more, value)
        for name, value in named.items():
            found = self.by_name.get(name, self.named)
            if found is not None and found is not ANYTHING:
                named[name] = check(self.where, name, found, value)
        return tuple(taken), named


def door_of(function: Callable[..., Any], where: str, names: Mapping[str, Any], *, bound: bool) -> Door:
    """Return the door of a function; the first argument of a method is not looked at."""
    parameters = list(inspect.signature(function).parameters.values())
    positional: list[tuple[str, Rule]] = []
    by_name: dict[str, Rule] = {}
    more = rest = None
    for at, parameter in enumerate(parameters):
        text = parameter.annotation
        rule = ANYTHING
        if not (bound and at == 0) and text is not inspect.Parameter.empty:
            rule = rule_of_text(text, names) if isinstance(text, str) else rule_of(text)
        if parameter.kind is parameter.VAR_POSITIONAL:
            more = rule
        elif parameter.kind is parameter.VAR_KEYWORD:
            rest = rule
        else:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                positional.append((parameter.name, rule))
            by_name[parameter.name] = rule
    return Door(where, tuple(positional), by_name, more, rest)
