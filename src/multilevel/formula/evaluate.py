"""Evaluating the expressions of a formula on a data frame: arithmetic and named functions, and nothing else."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.data.levels import level_text
from multilevel.data.times import NUMBER, count, describe_scale, split_scale
from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse, quote_name
from multilevel.formula.syntax import Binary, Call, Constant, Name, Node, Paren, Unary
from multilevel.formula.transforms import TRANSFORMS, Arguments
from multilevel.formula.values import Logical, Matrix, Value, Variable, as_factor, as_numbers, as_text, per_row

FloatArray = npt.NDArray[np.float64]


def _log(arguments: list[Value]) -> Any:
    x = as_numbers(arguments[0], "log()")
    return np.log(x) if len(arguments) == 1 else np.log(x) / math.log(as_numbers(arguments[1], "log()"))


def _round_half_even(arguments: list[Value]) -> Any:
    digits = int(as_numbers(arguments[1], "round()")) if len(arguments) > 1 else 0
    return np.round(as_numbers(arguments[0], "round()"), digits)


# Functions of each value by itself.
ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "expm1": np.expm1, "sqrt": np.sqrt,
    "abs": np.abs, "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "floor": np.floor, "ceiling": np.ceil, "trunc": np.trunc, "as.integer": np.trunc,
    "as.numeric": np.positive,
}  # fmt: skip

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "^": np.float_power,
    "%%": np.mod, "%/%": np.floor_divide,
}  # fmt: skip

_COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
}  # fmt: skip

_OTHER = ("I", "offset", "log", "round", "ifelse", "is.na", "c", "seq", "pmin", "pmax", "identity")
MAKES_FACTORS = frozenset({"factor", "as.factor", "ordered", "as.ordered", "relevel"})
"""Functions whose first argument is taken for its levels."""
KNOWN_FUNCTIONS = tuple(sorted({*ELEMENTWISE, *TRANSFORMS, *_OTHER}))


class Evaluator:
    """Evaluates expressions on one frame.

    Parameters
    ----------
    frame
        The data.
    state
        What the transformations learned when the design was first made, by the text of their call, and what the numbers of
        each column count, by its name. None when this is the first time: they learn from this frame, and `state` holds the
        result.
    """

    def __init__(self, frame: Frame, state: dict[str, Any] | None = None) -> None:
        self.frame = frame
        self.n_rows = frame.n_rows
        self.training = state is None
        self.state: dict[str, Any] = {} if state is None else state
        self._columns: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """Return a column of the frame, fetched once."""
        found = self._columns.get(name)
        if found is None:
            found = self.frame.column(name)
            key = quote_name(name)
            if self.training:
                if found.scale is not None:
                    self.state[key] = found.scale
            elif key in self.state:
                found = found.counted_as(self.state[key])
            self._columns[name] = found
        return found

    def variable(self, node: Node) -> Variable:
        """Evaluate a variable of a term: numbers, a matrix, or a factor."""
        if isinstance(node, Name):
            column = self.column(node.id)
            values = column.values
            if isinstance(values, Factor):
                return values
            return column.as_factor() if values.dtype.kind == "b" else column.as_numbers()
        value = self.value(node)
        if isinstance(value, Logical):
            return value.as_factor()
        if isinstance(value, np.ndarray | Matrix | Factor):
            return value
        raise FormulaError(f"The term {deparse(node)!r} is a constant; it must use a column of the data.")

    def factor(self, node: Node) -> Factor:
        """Evaluate a grouping variable: its distinct values are levels, whatever its type."""
        if isinstance(node, Name):
            return self.column(node.id).as_factor()
        return as_factor(self.value(node), f"The grouping factor {deparse(node)!r}")

    def value(self, node: Node) -> Value:
        """Evaluate any expression."""
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Paren):
            return self.value(node.inner)
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Unary):
            return self._unary(node)
        if isinstance(node, Binary):
            return self._binary(node)
        return self._call(node)

    def _name(self, node: Name) -> Value:
        column = self.column(node.id)
        values = column.values
        if isinstance(values, Factor):
            return values
        if values.dtype.kind == "b":
            truth = values.astype(np.float64)
            if column.missing is not None:
                truth[column.missing] = np.nan
            return Logical(truth)
        return column.as_numbers().astype(np.float64, copy=False)

    def _unary(self, node: Unary) -> Value:
        where = f"The operator {node.op!r} in {deparse(node)!r}"
        operand = self.value(node.operand)
        if node.op == "!":
            return Logical(1.0 - _truth(operand, where))
        numbers = as_numbers(operand, where)
        return _same_kind(numbers if node.op == "+" else -numbers, operand)

    def _binary(self, node: Binary) -> Value:
        op = node.op
        where = f"The operator {op!r} in {deparse(node)!r}"
        left, right = self.value(node.left), self.value(node.right)
        if op in _COMPARISON or op == "%in%":
            left, right = self._beside(node.right, left), self._beside(node.left, right)
        if op == ":":
            low, high = as_numbers(left, where), as_numbers(right, where)
            if isinstance(low, np.ndarray) or isinstance(high, np.ndarray):
                raise FormulaError(f"{where} makes a range of constants here, and its arguments are columns.")
            step = 1 if high >= low else -1
            return [low + step * i for i in range(int(abs(high - low) + 1e-10) + 1)]
        if op == "%in%":
            return self._member(left, right, where)
        if op in _COMPARISON:
            return self._compare(op, left, right, where)
        if op in ("&", "|", "&&", "||"):
            a, b = _truth(left, where), _truth(right, where)
            # A known false decides an "and", a known true an "or", whatever the other side.
            if op[0] == "&":
                return Logical(np.where((a == 0) | (b == 0), 0.0, a * b))
            return Logical(np.where((a == 1) | (b == 1), 1.0, a + b))
        a, b = as_numbers(left, where), as_numbers(right, where)
        with np.errstate(all="ignore"):
            result = _ARITHMETIC[op](a, b)
        return _same_kind(result, left, right)

    def _beside(self, node: Node, value: Value) -> Value:
        """Return a constant that stands beside a column of dates or times: its text as what the column counts."""
        if isinstance(value, list):
            return [self._beside(node, item) for item in value]
        if not isinstance(value, str) or not isinstance(node, Name):
            return value
        column = self.column(node.id)
        if isinstance(column.values, Factor) or column.values.dtype.kind != "M":
            return value
        try:
            moment = np.array([value.strip().replace(" ", "T", 1)], dtype="datetime64[us]")
        except ValueError:
            raise FormulaError(
                f"{node.id!r} holds {describe_scale(column.scale or NUMBER)}, and {value!r} is none; write it as '2021-03-31'."
            ) from None
        return float(count(moment, column.unit or split_scale(column.scale or NUMBER)[0])[0])

    def _compare(self, op: str, left: Value, right: Value, where: str) -> Value:
        compare = _COMPARISON[op]
        if isinstance(left, str | Factor) or isinstance(right, str | Factor):
            a, b = _text_side(left, self.n_rows), _text_side(right, self.n_rows)
            if op not in ("==", "!="):
                raise FormulaError(f"{where} needs numbers; text and categories can only be compared by == and !=.")
            unknown = np.array([u is None or v is None for u, v in zip(a, b, strict=True)])
            truth = compare(a, b).astype(np.float64)
            truth[unknown] = np.nan
            return Logical(truth)
        a, b = as_numbers(left, where), as_numbers(right, where)
        truth = np.asarray(compare(a, b), dtype=np.float64)
        unknown = np.isnan(a) | np.isnan(b)
        return Logical(np.where(unknown, np.nan, truth))

    def _member(self, left: Value, right: Value, where: str) -> Value:
        options = right if isinstance(right, list) else [right]
        if isinstance(left, Factor):
            places = left.levels.known_texts()
            chosen = np.zeros(len(left.levels) + 1, dtype=np.bool_)
            chosen[[places[text] for text in map(level_text, options) if text in places]] = True
            return Logical(chosen[left.codes].astype(np.float64))
        return Logical(np.isin(as_numbers(left, where), np.asarray(options, dtype=np.float64)).astype(np.float64))

    def _call(self, node: Call) -> Value:
        name = node.function
        transform = TRANSFORMS.get(name)
        if transform is not None:
            arguments = self._bind(node, transform.parameters)
            if name in MAKES_FACTORS:
                # The levels of a column are its own values: dates, not the numbers that they count.
                given = dict(reversed(node.arguments))
                column = given.get("x", given.get(None))
                arguments["x"] = self.factor(column) if isinstance(column, Name) else arguments["x"]
            key = deparse(node)
            if self.training and key not in self.state:
                self.state[key] = transform.fit(arguments)
            return transform.apply(arguments, self.state[key])
        if name in ELEMENTWISE:
            (argument,) = self._positional(node, 1, 1)
            return _same_kind(per_row(ELEMENTWISE[name])(as_numbers(argument, f"{name}()")), argument)
        if name in _OTHER:
            return self._other(node)
        near = difflib.get_close_matches(name, KNOWN_FUNCTIONS, n=2)
        if name == "C":
            raise FormulaError(
                f"The function C() in {deparse(node)!r} is not known in formulas: write factor(x) for a factor, and give its"
                " contrasts as contrasts={'x': …}."
            )
        hint = f"did you mean {' or '.join(near)}?" if near else f"the functions are {', '.join(KNOWN_FUNCTIONS)}."
        raise FormulaError(f"The function {name}() in {deparse(node)!r} is not known in formulas; {hint}")

    def _other(self, node: Call) -> Value:
        name = node.function
        if name in ("I", "offset", "identity"):
            (argument,) = self._positional(node, 1, 1)
            return argument
        if name == "log":
            numbers = self._positional(node, 1, 2)
            return _same_kind(per_row(_log)(numbers), numbers[0])
        if name == "round":
            numbers = self._positional(node, 1, 2)
            return _same_kind(_round_half_even(numbers), numbers[0])
        if name == "c":
            items: list[Any] = []
            for argument in self._positional(node, 0, None):
                if isinstance(argument, list):
                    items.extend(argument)
                elif isinstance(argument, str | bool | int | float):
                    items.append(argument)
                else:
                    raise FormulaError(f"{deparse(node)!r} can only hold constants.")
            return items
        if name == "seq":
            bounds = [as_numbers(v, "seq()") for v in self._positional(node, 2, 3)]
            step = bounds[2] if len(bounds) == 3 else 1.0
            return [bounds[0] + step * i for i in range(int((bounds[1] - bounds[0]) / step + 1e-10) + 1)]
        if name == "is.na":
            (argument,) = self._positional(node, 1, 1)
            if isinstance(argument, Factor):
                return Logical((argument.codes < 0).astype(np.float64))
            return Logical(np.isnan(as_numbers(argument, "is.na()")).astype(np.float64))
        if name == "ifelse":
            return self._ifelse(node)
        smallest = np.minimum if name == "pmin" else np.maximum
        values = self._positional(node, 2, None)
        result = as_numbers(values[0], f"{name}()")
        for value in values[1:]:
            result = smallest(result, as_numbers(value, f"{name}()"))
        return _same_kind(result, *values)

    def _ifelse(self, node: Call) -> Value:
        test, yes, no = self._positional(node, 3, 3)
        truth = _truth(test, f"The condition of {deparse(node)!r}")
        if isinstance(yes, str | Factor) or isinstance(no, str | Factor):
            chosen = np.where(truth == 1, as_text(yes, self.n_rows), as_text(no, self.n_rows))
            chosen[np.isnan(truth)] = None
            return as_factor(chosen, "ifelse()")
        picked = np.where(truth == 1, as_numbers(yes, "ifelse()"), as_numbers(no, "ifelse()"))
        return np.where(np.isnan(truth), np.nan, picked)

    def _positional(self, node: Call, fewest: int, most: int | None) -> list[Value]:
        count = len(node.arguments)
        if count < fewest or (most is not None and count > most):
            wanted = f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
            raise FormulaError(f"{deparse(node)!r} has {count} arguments; {node.function}() takes {wanted}.")
        return [self.value(argument) for _, argument in node.arguments]

    def _bind(self, node: Call, parameters: tuple[str, ...]) -> Arguments:
        """Match arguments to parameters: by name, then by position."""
        bound: Arguments = {}
        free = [p for p in parameters if p not in {name for name, _ in node.arguments}]
        for name, argument in node.arguments:
            if name is None:
                if not free:
                    raise FormulaError(f"{deparse(node)!r} has too many arguments.")
                name = free.pop(0)
            elif name not in parameters:
                known = ", ".join(parameters)
                raise FormulaError(f"{node.function}() has no argument {name!r} in {deparse(node)!r}; it has {known}.")
            bound[name] = self.value(argument)
        if parameters[0] not in bound:
            raise FormulaError(f"{deparse(node)!r} needs a column as its first argument.")
        return bound


def _truth(value: Value, where: str) -> Any:
    if isinstance(value, Factor) and value.logical:
        return np.where(value.codes < 0, np.nan, value.codes)
    numbers = as_numbers(value, where)
    return np.where(np.isnan(numbers), np.nan, numbers != 0)


def _text_side(value: Value, n_rows: int) -> Any:
    if isinstance(value, int | float):
        return as_text(level_text(value), n_rows)
    return as_text(value, n_rows)


def _same_kind(result: Any, *sources: Value) -> Value:
    """Return constants as constants and columns as arrays."""
    if isinstance(result, np.ndarray) and result.ndim:
        if any(isinstance(source, np.ndarray | Logical | Matrix | Factor) for source in sources):
            return result
        constants: list[Any] = result.tolist()
        return constants
    return float(result)
