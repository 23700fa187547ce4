"""The scale of a transformed response, and the way back from it.

A response such as ``2 * log(y + 1)`` is a chain of steps, each a function of one variable that can be undone: y is found by undoing
them from the outside in, the derivative is the product of theirs, and the ends of an interval go the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import Frame
from multilevel.formula.deparse import deparse
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.syntax import Binary, Call, Constant, Name, Node, Paren, Unary, names_in
from multilevel.model.source import data_used

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
ValuesOf = Callable[[Node], FloatArray]


class _Kind(NamedTuple):
    """A kind of step undone: the inverse and its derivative, of a value and two numbers, and the bounds of what a step can give.

    Bounds that are both zero mark two branches, below and above zero.
    """

    value: Callable[[Any, float, float], Any]
    slope: Callable[[Any, float, float], Any]
    low: float = -math.inf
    high: float = math.inf


def _root(x: Any, power: float) -> Any:
    """Return the root of what is not negative."""
    return np.where(x >= 0.0, np.abs(x), np.nan) ** power


_QUARTER = 0.5 * math.pi
_KINDS = {
    # x was slope · y + constant
    "linear": _Kind(
        lambda x, slope, constant: (x - constant) / slope, lambda x, slope, _: np.full_like(x, 1.0 / slope)
    ),
    # x was log(y) / size
    "log": _Kind(lambda x, size, _: np.exp(size * x), lambda x, size, _: size * np.exp(size * x)),
    "log1p": _Kind(lambda x, *_: np.expm1(x), lambda x, *_: np.exp(x)),
    # x was exp(size · y)
    "exp": _Kind(lambda x, size, _: np.log(x) / size, lambda x, size, _: 1.0 / (x * size), low=0.0),
    "expm1": _Kind(lambda x, *_: np.log1p(x), lambda x, *_: 1.0 / (1.0 + x), low=-1.0),
    # A square root is not negative: a mean that is counts as zero.
    "sqrt": _Kind(lambda x, *_: np.maximum(x, 0.0) ** 2, lambda x, *_: 2.0 * np.maximum(x, 0.0), low=0.0),
    # x was y to a power, y of one sign
    "power": _Kind(
        lambda x, power, sign: sign * _root(x, 1.0 / power),
        lambda x, power, sign: sign * _root(x, 1.0 / power - 1.0) / power,
        low=0.0,
    ),
    "odd power": _Kind(
        lambda x, power, _: np.copysign(np.abs(x) ** (1.0 / power), x),
        lambda x, power, _: np.abs(x) ** (1.0 / power - 1.0) / power,
    ),
    "odd power below": _Kind(
        lambda x, power, _: np.copysign(np.abs(x) ** (1.0 / power), x),
        lambda x, power, _: np.abs(x) ** (1.0 / power - 1.0) / power,
        0.0,
        0.0,
    ),
    # x was number / y
    "reciprocal": _Kind(lambda x, number, _: number / x, lambda x, number, _: -number / (x * x), 0.0, 0.0),
    # x was y / (1 − y)
    "odds": _Kind(lambda x, *_: x / (1.0 + x), lambda x, *_: 1.0 / (1.0 + x) ** 2, low=0.0),
    "asin": _Kind(lambda x, *_: np.sin(x), lambda x, *_: np.cos(x), -_QUARTER, _QUARTER),
    "acos": _Kind(lambda x, *_: np.cos(x), lambda x, *_: -np.sin(x), 0.0, math.pi),
    "atan": _Kind(lambda x, *_: np.tan(x), lambda x, *_: 1.0 / np.cos(x) ** 2, -_QUARTER, _QUARTER),
    "sinh": _Kind(lambda x, *_: np.arcsinh(x), lambda x, *_: 1.0 / np.sqrt(1.0 + x * x)),
    "tanh": _Kind(lambda x, *_: np.arctanh(x), lambda x, *_: 1.0 / (1.0 - x * x), -1.0, 1.0),
}
_LOGARITHMS = {"log": math.e, "log2": 2.0, "log10": 10.0}
_FUNCTIONS = frozenset({*_KINDS, *_LOGARITHMS}) - {"linear", "power", "reciprocal", "odds"}
_SAME = frozenset({"I", "identity", "as.numeric"})


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a transformation, to be undone: its kind and the numbers in it."""

    kind: str
    first: float = 1.0
    second: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that the step can give; both zero where there are two branches."""
        return _KINDS[self.kind].low, _KINDS[self.kind].high

    def value(self, x: FloatArray) -> FloatArray:
        """Return what the step was applied to."""
        found: FloatArray = _KINDS[self.kind].value(x, self.first, self.second)
        return found

    def slope(self, x: FloatArray) -> FloatArray:
        """Return the derivative of `value`."""
        found: FloatArray = _KINDS[self.kind].slope(x, self.first, self.second)
        return found


def _logarithm(base: float) -> Step:
    return Step("log", math.log(base))


@dataclass(frozen=True, slots=True, eq=False)
class ResponseScale:
    """How the response was transformed in the formula.

    Attributes
    ----------
    text
        The response as written.
    name
        What the scale is called: the function, where there is only one.
    of
        What the way back leads to, as text.
    steps
        The steps undone, in their order.
    ratio
        What makes a ratio of responses of a difference on this scale, or None where differences are no logarithms of ratios.
    """

    text: str
    name: str
    of: str
    steps: tuple[Step, ...]
    ratio: Step | None = None

    @property
    def ratios(self) -> bool:
        """Whether differences on this scale are logarithms of ratios of responses."""
        return self.ratio is not None

    @property
    def of_ratios(self) -> ResponseScale:
        """The scale of differences that are logarithms of ratios."""
        assert self.ratio is not None
        return ResponseScale(self.text, self.name, self.of, (self.ratio,), self.ratio)

    def back(self, values: FloatArray) -> FloatArray:
        """Return values on the scale of the response."""
        found = np.asarray(values, dtype=np.float64)
        with np.errstate(all="ignore"):
            for step in self.steps:
                found = step.value(found)
        return found

    def slope(self, values: FloatArray) -> FloatArray:
        """Return by how much the response changes with the transformed one (the delta method's factor)."""
        at = np.asarray(values, dtype=np.float64)
        total = np.ones_like(at)
        with np.errstate(all="ignore"):
            for step in self.steps:
                total, at = total * np.abs(step.slope(at)), step.value(at)
        return total

    def interval(self, middle: FloatArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the ends of intervals on the scale of the response.

        An end beyond what a transformation can give is at its bound; with a falling transformation the ends change places.
        """
        with np.errstate(all="ignore"):
            for step in self.steps:
                least, most = step.bounds
                branches = least == 0.0 == most
                if branches:
                    # The ends stay on the side of zero that the middle is on; zero itself leads to infinity on that side.
                    zero = np.copysign(0.0, middle)
                    low = np.where(middle >= 0.0, np.maximum(low, zero), low)
                    high = np.where(middle >= 0.0, high, np.minimum(high, zero))
                else:
                    low, high = np.clip(low, least, most), np.clip(high, least, most)
                falls = step.slope(middle) < 0.0
                one, other, middle = step.value(low), step.value(high), step.value(middle)
                low, high = np.where(falls, other, one), np.where(falls, one, other)
        return low, high


def scale_of_response(fit: LinearMixedModel) -> ResponseScale | None:
    """Return the transformation of a fit's response that can be undone, or None."""
    encoder = fit._design.encoder
    if encoder is None:
        return None

    def values(node: Node) -> FloatArray:
        names = names_in(node)
        columns = data_used(fit, names)
        return np.asarray(Evaluator(Frame({n: columns[n].as_numbers() for n in names}), encoder.state).value(node))

    return response_scale(encoder.response, encoder.state, None if fit._design.data is None else values)


def response_scale(
    node: Node, state: Mapping[str, Any] | None = None, values: ValuesOf | None = None
) -> ResponseScale | None:
    """Return the transformation of a response that can be undone, or None.

    Parameters
    ----------
    node
        The response.
    state
        What ``scale()`` and ``center()`` learned.
    values
        Gives the values of an expression in the data: an even power can be undone where these have one sign.

    Examples
    --------
    >>> from multilevel.formula.syntax import parse_expression
    >>> scale = response_scale(parse_expression("log(y + 1)"))
    >>> scale.of, scale.back([0.0, 1.0]).round(3).tolist()
    ('y', [0.0, 1.718])
    """
    steps: list[Step] = []
    inner = node
    while True:
        inner = _bare(inner)
        if isinstance(inner, Name):
            break
        found = _undone(inner, state or {}, values)
        if found is None:
            # What several columns make is a response of its own; a function that cannot be undone is not.
            if len(names_in(inner)) < 2:
                return None
            break
        step, inner = found
        steps.append(step)
    if not steps:
        return None
    text, of = deparse(node), inner.id if isinstance(inner, Name) else deparse(inner)
    return ResponseScale(text, _name(node, steps), of, tuple(steps), _ratio(node))


def _bare(node: Node) -> Node:
    while True:
        if isinstance(node, Paren):
            node = node.inner
        elif isinstance(node, Call) and node.function in _SAME and len(node.arguments) == 1:
            node = node.arguments[0][1]
        else:
            return node


def _undone(node: Node, state: Mapping[str, Any], values: ValuesOf | None) -> tuple[Step, Node] | None:
    """Return the outermost step of an expression, undone, and what it was applied to."""
    if isinstance(node, Unary) and node.op in "+-":
        return Step("linear", -1.0 if node.op == "-" else 1.0), node.operand
    if isinstance(node, Binary):
        return _undone_operator(node, values)
    if not isinstance(node, Call):
        return None
    argument = node.arguments[0][1] if node.arguments else node
    if node.function in ("scale", "center"):
        learned = state.get(deparse(node))
        if learned is None:
            return None
        middle, spread = learned if isinstance(learned, tuple) else (learned, 1.0)
        return Step("linear", 1.0 / spread, -middle / spread), argument
    base = _base(node)
    if base is not None:
        return _logarithm(base), argument
    if node.function in _FUNCTIONS and len(node.arguments) == 1:
        return Step(node.function), argument
    return None


def _base(node: Node) -> float | None:
    """Return the base of a logarithm, or None for what is none."""
    if not isinstance(node, Call) or node.function not in _LOGARITHMS:
        return None
    if len(node.arguments) == 1:
        return _LOGARITHMS[node.function]
    if node.function == "log" and len(node.arguments) == 2 and node.arguments[0][0] in (None, "x"):
        base = _number(node.arguments[1][1])
        return base if base is not None and base > 0.0 and base != 1.0 else None
    return None


def _undone_operator(node: Binary, values: ValuesOf | None) -> tuple[Step, Node] | None:
    odds = _odds(node)
    if odds is not None:
        return Step("odds"), odds
    left, right = _number(node.left), _number(node.right)
    if (left is None) == (right is None):
        return None
    number, inner = (right, node.left) if left is None else (left, node.right)
    if number is None or not math.isfinite(number):
        return None
    if node.op in "+-":
        sign = -1.0 if node.op == "-" else 1.0
        return (Step("linear", 1.0, sign * number) if left is None else Step("linear", sign, number)), inner
    if number == 0.0:
        return None
    if node.op == "*":
        return Step("linear", number), inner
    if node.op == "/":
        return (Step("linear", 1.0 / number) if left is None else Step("reciprocal", number)), inner
    if node.op == "^" and left is None:
        step = _power(number, inner, values)
        return None if step is None else (step, inner)
    if node.op == "^" and number > 0.0 and number != 1.0:
        return Step("exp", math.log(number)), inner
    return None


def _power(power: float, inner: Node, values: ValuesOf | None) -> Step | None:
    """Return a power as a step, None for an even one of values of both signs; fractional ones have none below zero."""
    if power != round(power):
        return Step("power", power, 1.0)
    if power % 2:
        return Step("odd power" if power > 0.0 else "odd power below", power)
    found = None if values is None else values(inner)
    if found is None or not (np.all(found >= 0.0) or np.all(found <= 0.0)):
        return None
    return Step("power", power, 1.0 if np.all(found >= 0.0) else -1.0)


def _odds(node: Node) -> Node | None:
    """Return p where an expression is p / (1 - p)."""
    if not isinstance(node, Binary) or node.op != "/":
        return None
    below = _bare(node.right)
    if isinstance(below, Binary) and below.op == "-" and _number(below.left) == 1.0:
        above = _bare(node.left)
        return above if above == _bare(below.right) else None
    return None


def _number(node: Node) -> float | None:
    """Return the value of an expression without columns, None for others."""
    if names_in(node) or not isinstance(node, Constant | Paren | Unary | Binary | Call):
        return None
    value = Evaluator(Frame({"": np.zeros(1)})).value(node)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _name(node: Node, steps: list[Step]) -> str:
    """Return a function's name, where it stands for the whole transformation but for a number added before."""
    outer = _bare(node)
    if isinstance(outer, Call) and outer.function in _FUNCTIONS and len(outer.arguments) == 1 and len(steps) <= 2:
        inner = _bare(outer.arguments[0][1])
        if len(steps) == 1 or (isinstance(inner, Binary) and inner.op == "+"):
            return outer.function
    return ""


def _ratio(node: Node) -> Step | None:
    """Return what makes a ratio of a difference of logarithms, themselves multiplied or added to or not."""
    factor = 1.0
    while True:
        node = _bare(node)
        if isinstance(node, Unary) and node.op in "+-":
            factor, node = -factor if node.op == "-" else factor, node.operand
            continue
        if not isinstance(node, Binary):
            break
        left, right = _number(node.left), _number(node.right)
        number = right if left is None else left
        if number is None or node.op not in "+-*/" or (node.op == "/" and left is not None):
            return None
        if node.op in "*/":
            factor *= number if node.op == "*" else 1.0 / number
        elif node.op == "-" and left is not None:
            factor = -factor
        node = node.right if left is not None else node.left
    base = _base(node)
    if base is None or factor == 0.0 or not math.isfinite(factor):
        return None
    assert isinstance(node, Call)
    inner = _bare(node.arguments[0][1])
    if _odds(inner) is not None:
        return None
    # Multiplied before the logarithm is taken, the response keeps its ratios; added to, it does not.
    while isinstance(inner, Binary) and inner.op in "*/":
        left, right = _number(inner.left), _number(inner.right)
        if (left is None) == (right is None) or (inner.op == "/" and left is not None):
            break
        inner = _bare(inner.right if left is not None else inner.left)
    shifted = (
        isinstance(inner, Binary)
        and inner.op in "+-"
        and (_number(inner.left) is not None or _number(inner.right) is not None)
    )
    return None if shifted else _logarithm(math.e ** (math.log(base) / factor))
