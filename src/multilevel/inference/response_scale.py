"""The scale of a transformed response, and the way back from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from multilevel.formula.deparse import deparse
from multilevel.formula.syntax import Binary, Call, Constant, Name, Node, Paren

FloatArray = npt.NDArray[np.float64]


class _Inverse(NamedTuple):
    """The inverse of a transformation, the derivative of the inverse, and whether differences are logarithms of ratios."""

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    ratios: bool


_INVERSES = {
    "log": _Inverse(np.exp, np.exp, True),
    "log2": _Inverse(np.exp2, lambda x: np.log(2.0) * np.exp2(x), True),
    "log10": _Inverse(lambda x: np.power(10.0, x), lambda x: np.log(10.0) * np.power(10.0, x), True),
    "log1p": _Inverse(np.expm1, np.exp, False),
    # A square root is not negative: the end of an interval that is counts as zero.
    "sqrt": _Inverse(lambda x: np.maximum(x, 0.0) ** 2, lambda x: 2.0 * np.maximum(x, 0.0), False),
    "exp": _Inverse(np.log, lambda x: 1.0 / x, False),
}


@dataclass(frozen=True, slots=True)
class ResponseScale:
    """How the response was transformed in the formula.

    Attributes
    ----------
    name
        The function.
    of
        What it was applied to, as text.
    shift
        What was added to the response before.
    """

    name: str
    of: str
    shift: float = 0.0

    @property
    def ratios(self) -> bool:
        """Whether differences on this scale are logarithms of ratios of responses."""
        return _INVERSES[self.name].ratios and self.shift == 0.0

    def back(self, values: FloatArray) -> FloatArray:
        """Return values on the scale of the response."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found: FloatArray = _INVERSES[self.name].value(values) - self.shift
        return found

    def slope(self, values: FloatArray) -> FloatArray:
        """Return by how much the response changes with the transformed one (the delta method's factor)."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found: FloatArray = np.abs(_INVERSES[self.name].slope(values))
        return found


def response_scale(node: Node) -> ResponseScale | None:
    """Return the transformation of a response that can be undone, or None.

    Examples
    --------
    >>> from multilevel.formula.syntax import parse_expression
    >>> response_scale(parse_expression("log(y + 1)"))
    ResponseScale(name='log', of='y', shift=1.0)
    """
    while isinstance(node, Paren):
        node = node.inner
    if not isinstance(node, Call) or node.function not in _INVERSES or len(node.arguments) != 1:
        return None
    inner = node.arguments[0][1]
    shifted = isinstance(inner, Binary) and inner.op == "+" and node.function != "exp"
    if shifted and isinstance(inner.left, Name) and isinstance(inner.right, Constant):  # type: ignore[union-attr]
        constant = inner.right.value  # type: ignore[union-attr]
        if isinstance(constant, float):
            return ResponseScale(node.function, inner.left.id, constant)  # type: ignore[union-attr]
    return ResponseScale(node.function, deparse(inner))
