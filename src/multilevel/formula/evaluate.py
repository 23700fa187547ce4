"""Evaluating the expressions of a formula on a data frame: arithmetic and named functions, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.data.levels import level_text
from multilevel.data.times import NUMBER, count, describe_scale, split_scale
from multilevel.errors import FormulaError, MultilevelError
from multilevel.formula.arguments import SIGNATURES, match_arguments, refuse_named
from multilevel.formula.deparse import deparse, quote_name, shown
from multilevel.formula.functions import FUNCTIONS, NAMES_IN_DOTS, Arguments, same_kind, spaced, truth_kind
from multilevel.formula.syntax import (
    R_CONSTANTS,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Paren,
    Unary,
    left_chain,
    parse_expression,
    shortened,
)
from multilevel.formula.transforms import TRANSFORMS
from multilevel.formula.values import (
    Logical,
    Matrix,
    Value,
    Variable,
    as_factor,
    as_numbers,
    as_text,
    check_lengths,
    described,
    is_column,
    truth,
)

BoolArray = npt.NDArray[np.bool_]

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "^": np.float_power,
    "%%": np.mod, "%/%": np.floor_divide,
}  # fmt: skip

_COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
}  # fmt: skip

MAKES_FACTORS = frozenset({"factor", "as.factor", "ordered", "as.ordered", "relevel"})
"""Functions whose first argument is taken for its levels."""

KNOWN_FUNCTIONS = tuple(sorted(SIGNATURES))


class _Where:
    """Where an operator stands, written out only for a message."""

    def __init__(self, node: Unary | Binary) -> None:
        self.node = node

    def __str__(self) -> str:
        """Return the beginning of a sentence."""
        return f"The operator {self.node.op!r} in {shown(self.node)}"


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

    @property
    def fetched(self) -> Mapping[str, Column]:
        """The columns fetched so far."""
        return self._columns

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

    def has_column(self, name: str) -> bool:
        """Tell whether there is a column of that name."""
        return name in self.frame

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
        raise FormulaError(f"The term {shown(node)} is a constant; it must use a column of the data.")

    def factor(self, node: Node) -> Factor:
        """Evaluate a grouping variable: its distinct values are levels, whatever its type."""
        if isinstance(node, Name):
            return self.column(node.id).as_factor()
        return as_factor(self.value(node), f"The grouping factor {shown(node)}")

    def value(self, node: Node) -> Value:
        """Evaluate any expression."""
        first, steps = left_chain(node)
        found = self._innermost(first)
        for step in steps:
            found = self._binary(step, found, self.value(step.right))
        return found

    def _innermost(self, node: Node) -> Value:
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Paren):
            return self.value(node.inner)
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Unary):
            return self._unary(node)
        assert isinstance(node, Call)
        return self._call(node)

    def _name(self, node: Name) -> Value:
        if node.id in R_CONSTANTS and not self.has_column(node.id):
            return R_CONSTANTS[node.id]
        column = self.column(node.id)
        values = column.values
        if isinstance(values, Factor):
            return values
        if values.dtype.kind == "b":
            known = values.astype(np.float64)
            if column.missing is not None:
                known[column.missing] = np.nan
            return Logical(known)
        return column.as_numbers().astype(np.float64, copy=False)

    def _unary(self, node: Unary) -> Value:
        where = _Where(node)
        operand = self.value(node.operand)
        if node.op == "!":
            return truth_kind(1.0 - truth(operand, where), operand)
        found = as_numbers(operand, where)
        return same_kind(found if node.op == "+" else -found, operand)

    def _binary(self, node: Binary, left: Value, right: Value) -> Value:
        op, where = node.op, _Where(node)
        if op in _COMPARISON or op == "%in%":
            left, right = self._beside(node.right, left), self._beside(node.left, right)
        if op == ":":
            return _range(left, right, where)
        if op == "%in%":
            return _member(left, right, where)
        check_lengths(where, left, right)
        if op in _COMPARISON:
            return self._compare(op, left, right, where)
        if op in ("&", "|", "&&", "||"):
            a, b = truth(left, where), truth(right, where)
            # A known false decides an "and", a known true an "or", whatever the other side.
            if op[0] == "&":
                return truth_kind(np.where((a == 0) | (b == 0), 0.0, a * b), left, right)
            return truth_kind(np.where((a == 1) | (b == 1), 1.0, a + b), left, right)
        a, b = as_numbers(left, where), as_numbers(right, where)
        with np.errstate(all="ignore"):
            result = _ARITHMETIC[op](a, b)
        return same_kind(result, left, right)

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

    def _compare(self, op: str, left: Value, right: Value, where: _Where) -> Value:
        compare = _COMPARISON[op]
        if isinstance(left, str | Factor) or isinstance(right, str | Factor):
            if op not in ("==", "!="):
                raise FormulaError(f"{where} needs numbers; text and categories can only be compared by == and !=.")
            a, b = _text_side(left, self.n_rows), _text_side(right, self.n_rows)
            unknown = np.array([u is None or v is None for u, v in zip(a, b, strict=True)])
            known = compare(a, b).astype(np.float64)
            known[unknown] = np.nan
            return Logical(known)
        a, b = as_numbers(left, where), as_numbers(right, where)
        known = np.asarray(compare(a, b), dtype=np.float64)
        unknown = np.isnan(a) | np.isnan(b)
        return truth_kind(np.where(unknown, np.nan, known), left, right)

    def _call(self, node: Call) -> Value:
        name = node.function
        signature = SIGNATURES.get(name)
        if signature is None:
            self._refuse_call(node)
        if node.package and node.package != signature.package:
            raise FormulaError(
                f"The function {name}() in {shown(node)} is not one of R's package {node.package};"
                f" write {name}() without it."
            )
        arguments = self._arguments(node)
        try:
            transform = TRANSFORMS.get(name)
            if transform is None:
                return FUNCTIONS[name](arguments)
            if self.training and arguments.call not in self.state:
                self.state[arguments.call] = transform.fit(arguments)
            return transform.apply(arguments, self.state.get(arguments.call))
        except MultilevelError as error:
            if type(error) is not FormulaError or arguments.call in str(error):
                raise
            raise FormulaError(f"In {shortened(arguments.call)!r}: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise FormulaError(f"{shortened(arguments.call)!r} cannot be evaluated: {error}.") from error

    def _arguments(self, node: Call) -> Arguments:
        """Match the arguments of a call and evaluate them."""
        signature = SIGNATURES[node.function]
        matched = match_arguments(node, signature)
        if node.function not in NAMES_IN_DOTS and node.function != "poly":
            refuse_named(node, signature, matched.dots)
        named = {name: self.value(argument) for name, argument in matched.named.items()}
        if node.function in MAKES_FACTORS and isinstance(matched.named.get("x"), Name):
            # The levels of a column are its own values: dates, not the numbers that they count.
            named["x"] = self.factor(matched.named["x"])
        dots = tuple(self.value(argument) for _, argument in matched.dots)
        for name, value in named.items():
            if is_column(value) and name not in _COLUMNS:
                raise FormulaError(
                    f"The argument {name} of {node.function}() in {shown(node)} must be a constant, not a column."
                )
        self._check_codes(node, matched.named.get("x"), named.get("x"))
        return Arguments(deparse(node), named, dots, self.n_rows, tuple(name for name, _ in matched.dots))

    @staticmethod
    def _check_codes(node: Call, argument: Node | None, value: Value) -> None:
        """Refuse the numbers of a column that may be text or categories: it is not plain which are meant."""
        while isinstance(argument, Paren):
            argument = argument.inner
        if node.function not in ("as.numeric", "as.double", "as.integer") or not isinstance(argument, Name):
            return
        if isinstance(value, Factor) and not value.ordered and not value.logical:
            own, name = node.function, deparse(argument)
            raise FormulaError(
                f"{shown(node)} needs numbers, and {name!r} is text or categories: write {own}(factor({name})) for the places"
                f" of its levels, or {own}(as.character({name})) for the numbers that they spell."
            )

    def _refuse_call(self, node: Call) -> NoReturn:
        name = node.function
        near = difflib.get_close_matches(name, KNOWN_FUNCTIONS, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the functions are {', '.join(KNOWN_FUNCTIONS)}."
        raise FormulaError(f"The function {name}() in {shown(node)} is not known in formulas; {hint}")


def evaluate_condition(text: str, data: Any) -> BoolArray:
    """Return the rows of data for which a condition such as ``"age > 18 & sex == 'f'"`` is known to be true.

    Raises
    ------
    FormulaError
        The text cannot be read, or is no condition on columns of the data.
    UnknownColumnError
        It names a column that the data do not have.
    """
    evaluator = Evaluator(data if isinstance(data, Frame) else Frame(data))
    value = evaluator.value(parse_expression(text))
    if isinstance(value, bool):
        return np.full(evaluator.n_rows, value)
    if not isinstance(value, Logical) and not (isinstance(value, Factor) and value.logical):
        raise FormulaError(f"The condition {shortened(text)!r} must be true or false in each row, as 'x > 3' is.")
    found: BoolArray = np.broadcast_to(truth(value, "The condition") == 1, (evaluator.n_rows,))
    return found


_COLUMNS = frozenset({"x", "f", "object", "test", "yes", "no", "base"})
"""Arguments that may be columns; others are constants."""


def _range(left: Value, right: Value, where: _Where) -> Value:
    low, high = as_numbers(left, where), as_numbers(right, where)
    if isinstance(low, np.ndarray) or isinstance(high, np.ndarray):
        raise FormulaError(f"{where} makes a range of constants here, and its arguments are columns.")
    if not np.isfinite(low) or not np.isfinite(high):
        raise FormulaError(f"{where} makes a range of finite numbers, not from {described(low)} to {described(high)}.")
    return spaced(low, 1 if high >= low else -1, abs(high - low), where)


def _member(left: Value, right: Value, where: _Where) -> Value:
    if is_column(right):
        raise FormulaError(f"{where} needs constants on its right, such as c(1, 2), and has a column there.")
    options = right if isinstance(right, list) else [right]
    if isinstance(left, str) or left is None or isinstance(left, list):
        raise FormulaError(f"{where} needs a column on its left, and has {described(left)}.")
    texts = any(isinstance(option, str) for option in options)
    if isinstance(left, Factor) or texts:
        factor = as_factor(left, where)
        places = factor.levels.known_texts()
        names = {level_text(option) for option in options if option is not None}
        chosen = np.zeros(len(factor.levels) + 1, dtype=np.bool_)
        chosen[[places[name] for name in names if name in places]] = True
        return Logical(chosen[factor.codes].astype(np.float64))
    known = np.asarray([option for option in options if option is not None], dtype=np.float64)
    return truth_kind(np.isin(as_numbers(left, where), known).astype(np.float64), left)


def _text_side(value: Value, n_rows: int) -> Any:
    return as_text(level_text(value) if isinstance(value, bool | int | float) else value, n_rows)
