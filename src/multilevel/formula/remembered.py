"""What each transformation may remember: looked at where it comes from a file, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multilevel.formula.splines import OrthogonalPolynomials, SplineBasis
from multilevel.formula.syntax import Call, Node
from multilevel.formula.transforms import TRANSFORMS

Form = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _none(value: Any) -> bool:
    return value is None


def _list_of(item: Form) -> Form:
    return lambda value: isinstance(value, list) and all(map(item, value))


def _tuple_of(*items: Form) -> Form:
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(items)
        and all(item(own) for item, own in zip(items, value, strict=True))
    )


def _either(*forms: Form) -> Form:
    return lambda value: any(form(value) for form in forms)


def _polynomials(value: Any) -> bool:
    """Tell whether a value is a degree and, for each variable, its polynomials of that degree (None where powers are raw)."""
    if not isinstance(value, tuple) or len(value) != 2 or not _number(value[0]) or value[0] < 1:
        return False
    made = value[1] if isinstance(value[1], tuple) else (value[1],)
    return bool(made) and all(
        own is None or (isinstance(own, OrthogonalPolynomials) and len(own.alpha) == value[0]) for own in made
    )


def _intervals(value: Any) -> bool:
    """Tell whether a value is breaks, a label for each interval between them, and three switches."""
    form = _tuple_of(_list_of(_number), _list_of(_text), _truth, _truth, _truth)
    return form(value) and len(value[0]) == len(value[1]) + 1 and value[0] == sorted(value[0])


_TEXTS_OR_NONE = _either(_none, _list_of(_text))

FORMS: dict[str, Form] = {
    **dict.fromkeys(TRANSFORMS, _number),
    "scale": _tuple_of(_number, _number),
    "poly": _polynomials,
    "bs": lambda value: isinstance(value, SplineBasis) and not value.natural,
    "ns": lambda value: isinstance(value, SplineBasis) and value.natural,
    "cut": _intervals,
    **dict.fromkeys(("factor", "ordered", "as.numeric", "as.double", "as.integer"), _TEXTS_OR_NONE),
    **dict.fromkeys(("as.factor", "C", "as.ordered"), _none),
    "relevel": _text,
    "dummy": _tuple_of(_list_of(_text), _list_of(_text)),
}
"""For each transformation, whether something is what it remembers; of a column by itself that is what its numbers count."""


def is_remembered(node: Node, value: Any) -> bool:
    """Tell whether something is what a variable or a call of a formula remembers."""
    form = FORMS.get(node.function) if isinstance(node, Call) else _text
    return form is not None and form(value)
