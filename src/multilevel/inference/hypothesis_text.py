"""Hypotheses about coefficients as text: ``"x1 = x2"``, ``"2*x1 + x2 = 3"``, as R's car and statsmodels have them.

A hypothesis is an equation of linear combinations of the coefficients; without ``=`` the combination is zero. Coefficients stand by
the names that the fit shows, whatever is in them (``recipeB:temp``, ``I(x^2)``, ``(Intercept)``), in back quotes or without.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.argument_rules import shown
from multilevel.errors import FormulaError

FloatArray = npt.NDArray[np.float64]

NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
WORD = re.compile(r"[^\s*/+\-=,;()][^\s*/+\-=,;]*")
INSIDE_NAME = re.compile(r"[\w.:]")
OPERATORS = "+-*/()=,;"
DEEPEST = 100


@dataclass(frozen=True, slots=True)
class _Linear:
    """A linear combination of coefficients and a constant."""

    weights: FloatArray
    constant: float

    def scaled(self, by: float) -> _Linear:
        return _Linear(self.weights * by, self.constant * by)

    def plus(self, other: _Linear, sign: float) -> _Linear:
        return _Linear(self.weights + sign * other.weights, self.constant + sign * other.constant)


def read_hypotheses(texts: Sequence[str], names: Sequence[str]) -> tuple[FloatArray, FloatArray, list[str]]:
    """Return contrasts L, right-hand sides r and a label for each hypothesis Lβ = r.

    Parameters
    ----------
    texts
        The hypotheses; each may hold several, separated by commas.
    names
        The coefficients.

    Raises
    ------
    FormulaError
        A text cannot be read, or names what is no coefficient.
    """
    rows, values, labels = [], [], []
    for text in texts:
        for row, value, label in _Reader(text, names).hypotheses():
            rows.append(row)
            values.append(value)
            labels.append(label)
    return np.array(rows), np.array(values), labels


class _Reader:
    """Reads one text by recursive descent."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        self.names = list(names)
        self.ends: list[tuple[int, int]] = []
        self.tokens = self._tokens()
        self.at = self.depth = 0

    def hypotheses(self) -> list[tuple[FloatArray, float, str]]:
        """Return the hypotheses of the text."""
        found = []
        while True:
            first = self.at
            sides = [self._sum()]
            while self._take("="):
                sides.append(self._sum())
            label = self.text[self.ends[first][0] : self.ends[self.at - 1][1]]
            zero = _Linear(np.zeros(len(self.names)), 0.0)
            pairs = list(itertools.pairwise(sides)) if len(sides) > 1 else [(sides[0], zero)]
            for number, (left, right) in enumerate(pairs, start=1):
                both = left.plus(right, -1.0)
                if not both.weights.any():
                    raise self._error(f"{label!r} has no coefficient in it")
                own = label if len(pairs) == 1 else f"{label} [{number}]"
                found.append((both.weights, 0.0 - both.constant, own))
            if not (self._take(",") or self._take(";")):
                break
        if self.at < len(self.tokens):
            start, end = self.ends[self.at]
            raise self._error(f"{self.text[start:end]!r} stands where an operator is expected")
        return found

    def _tokens(self) -> list[str | int | float]:
        """Return operators as text, coefficients as their positions (int) and numbers as floats."""
        longest = sorted(range(len(self.names)), key=lambda i: -len(self.names[i]))
        found: list[str | int | float] = []
        at, text = 0, self.text
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            token, end = self._token(at, longest)
            found.append(token)
            self.ends.append((at, end))
            at = end
        return found

    def _token(self, at: int, longest: list[int]) -> tuple[str | int | float, int]:
        """Return the token at a place, and where it ends."""
        text = self.text
        quoted = text.find("`", at + 1) if text[at] == "`" else -1
        if quoted > 0:
            return self._position(text[at + 1 : quoted]), quoted + 1
        name = next((i for i in longest if self._stands(self.names[i], at)), None)
        if name is not None:
            return name, at + len(self.names[name])
        number = NUMBER.match(text, at)
        if number is not None:
            return float(number.group()), number.end()
        if text.startswith("==", at):
            return "=", at + 2
        if text[at] in OPERATORS:
            return text[at], at + 1
        word = WORD.match(text, at)
        name_given = word.group() if word else text[at]
        return self._position(name_given), at + len(name_given)

    def _stands(self, name: str, at: int) -> bool:
        """Say whether a coefficient's name stands at a place, and no longer word does."""
        if not name or not self.text.startswith(name, at):
            return False
        after = self.text[at + len(name) : at + len(name) + 1]
        return not (after and INSIDE_NAME.match(after) and INSIDE_NAME.match(name[-1])) and not after.startswith(":")

    def _position(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if name == "Intercept" and "(Intercept)" in self.names:
            return self.names.index("(Intercept)")
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.names)}."
        raise FormulaError(f"The hypothesis {shown(self.text)} names {name!r}, which the model does not have; {hint}")

    def _take(self, operator: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == operator:
            self.at += 1
            return True
        return False

    def _sum(self) -> _Linear:
        result = self._product()
        while True:
            if self._take("+"):
                result = result.plus(self._product(), 1.0)
            elif self._take("-"):
                result = result.plus(self._product(), -1.0)
            else:
                return result

    def _product(self) -> _Linear:
        result = self._factor()
        while True:
            if self._take("*"):
                other = self._factor()
                if result.weights.any() and other.weights.any():
                    raise self._error("it multiplies coefficients; a hypothesis is linear")
                result = result.scaled(other.constant) if result.weights.any() else other.scaled(result.constant)
            elif self._take("/"):
                other = self._factor()
                if other.weights.any() or other.constant == 0.0:
                    raise self._error("it divides by a coefficient or by zero")
                result = result.scaled(1.0 / other.constant)
            else:
                return result

    def _factor(self) -> _Linear:
        sign = 1.0
        while self.at < len(self.tokens) and self.tokens[self.at] in ("+", "-"):
            sign = -sign if self.tokens[self.at] == "-" else sign
            self.at += 1
        return self._operand().scaled(sign)

    def _operand(self) -> _Linear:
        if self._take("("):
            self.depth += 1
            if self.depth > DEEPEST:
                raise self._error(f"it has more than {DEEPEST} parentheses")
            inner = self._sum()
            if not self._take(")"):
                raise self._error("a ')' is missing")
            return inner
        if self.at == len(self.tokens):
            raise self._error("it ends where a coefficient or a number is expected")
        token = self.tokens[self.at]
        self.at += 1
        weights = np.zeros(len(self.names))
        if isinstance(token, str):
            raise self._error(f"{token!r} stands where a coefficient or a number is expected")
        if isinstance(token, int):
            weights[token] = 1.0
            return _Linear(weights, 0.0)
        if not math.isfinite(token):
            raise self._error("it holds a number that is too large")
        return _Linear(weights, token)

    def _error(self, what: str) -> FormulaError:
        return FormulaError(f"The hypothesis {shown(self.text)} cannot be read: {what}.")
