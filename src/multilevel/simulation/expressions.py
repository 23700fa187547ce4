"""The expressions that make columns of simulated data: a formula's arithmetic and functions, and random draws.

``"normal(5, 2)"`` draws a number for each row, ``"uniform(0, 5) | school"`` one for each school, and
``"mean(x) | school"`` is the mean of x over the rows of each school.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, factor_from_codes
from multilevel.data.frames import Column, Frame, column_from_values, unknown_column
from multilevel.data.levels import Levels, level_text
from multilevel.errors import ControlError, DataError, FormulaError, MultilevelError, UnknownColumnError
from multilevel.formula.arguments import SIGNATURES, Signature, match_arguments
from multilevel.formula.deparse import deparse
from multilevel.formula.evaluate import KNOWN_FUNCTIONS, Evaluator
from multilevel.formula.functions import check_count
from multilevel.formula.syntax import Binary, Call, Name, Node, names_in, parse_expression
from multilevel.formula.values import Logical, Matrix, Value, as_numbers, flag, numbers, whole
from multilevel.simulation.covariances import correlation_factor
from multilevel.simulation.draws import Draws
from multilevel.simulation.units import Units
from multilevel.size_limits import beyond_limit, current_limits

FloatArray = npt.NDArray[np.float64]

REQUIRED = object()

DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "uniform": {"low": 0.0, "high": 1.0},
    "normal": {"mean": 0.0, "sd": 1.0},
    "lognormal": {"mean": 0.0, "sd": 1.0},
    "binomial": {"size": 1.0, "prob": 0.5},
    "poisson": {"mean": REQUIRED},
    "exponential": {"rate": 1.0},
    "gamma": {"shape": REQUIRED, "rate": 1.0},
    "beta": {"shape1": REQUIRED, "shape2": REQUIRED},
    "t": {"df": REQUIRED},
    "chisq": {"df": REQUIRED},
}
"""The distributions with numbers for parameters, and their defaults."""

OTHER_DRAWS: dict[str, dict[str, Any]] = {
    "integers": {"low": REQUIRED, "high": REQUIRED},
    "sample": {"values": REQUIRED, "prob": None, "replace": True},
    "balanced": {"values": REQUIRED, "within": None},
    "cycle": {"values": REQUIRED, "within": None},
    "multivariate_normal": {"mean": REQUIRED, "sd": REQUIRED, "corr": 0.0},
    "index": {"within": None},
    "plogis": {"x": REQUIRED},
}

_EFFECT = Signature("", ("group",), ("column",))

SUMMARIES = ("mean", "sum", "sd", "var", "min", "max", "median")

FUNCTIONS = (*DISTRIBUTIONS, *OTHER_DRAWS, "effect")

_R_NAMES = {
    "runif": "uniform", "rnorm": "normal", "rlnorm": "lognormal", "rbinom": "binomial", "rpois": "poisson",
    "rexp": "exponential", "rgamma": "gamma", "rbeta": "beta", "rt": "t", "rchisq": "chisq",
    "mvrnorm": "multivariate_normal", "rep": "cycle", "expit": "plogis", "logistic": "plogis",
}  # fmt: skip


class RandomEffectSource(Protocol):
    """Draws the random effects of a term when they are first asked for."""

    def effect(self, group: str, column: str) -> FloatArray:
        """Return the random effects of a column, one for each level of the group."""

    def codes(self, group: str, level: str | None) -> npt.NDArray[Any]:
        """Return, for each unit of a level or row, its position in the group."""


@dataclass(slots=True, eq=False)
class Columns:
    """The columns made so far, each with one value for every unit of its level.

    Attributes
    ----------
    units
        The units of every level, and the rows.
    values
        Arrays and pandas categoricals.
    levels
        The level of each column; None for the rows.
    """

    units: Units
    values: dict[str, Any] = field(default_factory=dict)
    levels: dict[str, str | None] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The columns that can be used, the levels themselves among them."""
        return [*self.units.levels, *self.values]

    def known_at(self, name: str, level: str | None) -> bool:
        """Return whether a column does not vary within the units of a level."""
        own = name if name in self.units.levels else self.levels[name]
        return level is None or own in self.units.above(level)

    def at(self, name: str, level: str | None) -> Any:
        """Return a column with a value for each unit of a level, or each row."""
        above = self.units.above(level)
        if name in self.units.levels:
            return above[name] + 1
        own = self.levels[name]
        values = self.values[name]
        return values if own == level else values.take(above[own])  # type: ignore[index]


class DrawEvaluator(Evaluator):
    """Evaluates an expression for the units of one level.

    Parameters
    ----------
    what
        What the expression makes, for messages, such as ``"the predictor 'x'"``.
    columns
        The columns made so far; None where an expression may use none.
    level
        The level; None for the rows.
    draws
        The random numbers.
    effects
        The random effects.
    count
        How many values are wanted, where there are no columns.
    """

    def __init__(
        self,
        what: str,
        draws: Draws,
        columns: Columns | None = None,
        level: str | None = None,
        effects: RandomEffectSource | None = None,
        count: int = 0,
    ) -> None:
        super().__init__(Frame({}))
        self.what, self.columns, self.level, self.draws, self.effects = what, columns, level, draws, effects
        self.n_rows = count if columns is None else columns.units.count_at(level)

    def column(self, name: str) -> Column:
        """Return a column for the units of the level."""
        if name in self._columns:
            return self._columns[name]
        columns = self.columns
        if columns is None or name not in columns.names:
            known = [] if columns is None else columns.names
            raise UnknownColumnError(
                unknown_column(name, known, f"There is no column for {self.what} (made in the order listed) named")
                if known
                else f"{self.what[0].upper()}{self.what[1:]} cannot use columns, and names {name!r}."
            )
        if not columns.known_at(name, self.level):
            raise DataError(
                f"{self.what[0].upper()}{self.what[1:]} has one value for each {self.level!r}, and {name!r} varies within; "
                f"summarise it, as in 'mean({name}) | {self.level}'."
            )
        found = self._columns[name] = column_from_values(name, columns.at(name, self.level))
        return found

    def has_column(self, name: str) -> bool:
        """Tell whether there is a column of that name."""
        return self.columns is not None and name in self.columns.names

    def _call(self, node: Call) -> Value:
        name = node.function
        try:
            if name in DISTRIBUTIONS:
                return self._distribution(name, node)
            if name in OTHER_DRAWS:
                maker: Callable[[Node, dict[str, Any]], Value] = getattr(self, f"_{name}")
                return maker(node, self._parameters(node, OTHER_DRAWS[name]))
            if name == "effect":
                return self._effect(node)
            if name in SUMMARIES and self.level is not None and self._varies(node):
                return self._summary(name, node)
            if name not in KNOWN_FUNCTIONS:
                self._refuse(node)
            return super()._call(node)
        except MultilevelError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"In {self.what}, {deparse(node)!r} cannot be drawn: {error}.") from error

    def _refuse(self, node: Call) -> None:
        known = sorted({*FUNCTIONS, *KNOWN_FUNCTIONS})
        near = [_R_NAMES[node.function]] if node.function in _R_NAMES else []
        near = near or difflib.get_close_matches(node.function, known, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the functions are {', '.join(known)}."
        raise FormulaError(f"In {self.what}, the function {node.function}() is not known; {hint}")

    def _parameters(self, node: Call, parameters: dict[str, Any]) -> dict[str, Any]:
        """Match the arguments of a draw to its parameters, evaluate them and fill in the defaults."""
        needs = tuple(name for name, default in parameters.items() if default is REQUIRED)
        signature = Signature("", needs, tuple(name for name in parameters if name not in needs))
        given = match_arguments(node, signature).named
        # A level is meant by its name, not by its values.
        bound = {
            name: deparse(argument) if name == "within" else self.value(argument) for name, argument in given.items()
        }
        return {**parameters, **bound}

    def _distribution(self, name: str, node: Call) -> Value:
        given = self._parameters(node, DISTRIBUTIONS[name])
        found = {key: as_numbers(value, f"{name}()") for key, value in given.items()}
        for key, value in found.items():
            if isinstance(value, np.ndarray) and value.shape != (self.n_rows,):
                raise FormulaError(f"In {deparse(node)!r}, {key} must be one number or a column.")
        if "sd" in found and not np.all(np.asarray(found["sd"]) >= 0):
            raise DataError(f"In {self.what}, {deparse(node)!r} has a standard deviation that is negative or missing.")
        if name == "lognormal":
            return np.exp(self.draws.normal(self.n_rows, **found))
        with np.errstate(all="ignore"):
            result: npt.NDArray[Any] = getattr(self.draws, name)(self.n_rows, **found)
        if np.isnan(result).any():
            raise DataError(
                f"In {self.what}, {deparse(node)!r} is not a distribution in all rows: check its parameters."
            )
        return result

    def _integers(self, node: Node, given: dict[str, Any]) -> Value:
        low, high = (whole(given[key], f"{key} of {deparse(node)!r}") for key in ("low", "high"))
        if high < low:
            raise FormulaError(f"{deparse(node)!r} has no integers: {high} is less than {low}.")
        if high - low >= 2**62 or abs(low) >= 2**62:
            raise FormulaError(f"{deparse(node)!r} has integers beyond what 64 bits hold.")
        return self.draws.choice(high - low + 1, self.n_rows, None, True) + low

    def _sample(self, node: Node, given: dict[str, Any]) -> Value:
        values = _listed(given["values"], node)
        replace = flag(given["replace"], f"replace of {deparse(node)!r}")
        prob = None if given["prob"] is None else np.array(numbers(given["prob"], f"prob of {deparse(node)!r}"))
        if prob is not None:
            if prob.shape != (len(values),) or not (prob >= 0).all() or prob.sum() <= 0:
                raise FormulaError(f"{deparse(node)!r} needs one probability for each of the {len(values)} values.")
            prob = prob / prob.sum()
        return _chosen(values, self.draws.choice(len(values), self.n_rows, prob, replace))

    def _balanced(self, node: Node, given: dict[str, Any]) -> Value:
        values = _listed(given["values"], node)
        codes = np.empty(self.n_rows, dtype=np.int64)
        if given["within"] is None:
            order = self.draws.choice(self.n_rows, self.n_rows, None, False)
            place = np.arange(self.n_rows)
        else:
            groups = self._level_codes(given["within"], node)
            order = np.lexsort((self.draws.uniform(self.n_rows, 0.0, 1.0), groups))
            place = _count_within(groups[order])
        codes[order] = place % len(values)
        return _chosen(values, codes)

    def _cycle(self, node: Node, given: dict[str, Any]) -> Value:
        values = _listed(given["values"], node)
        return _chosen(values, (self._index(node, {"within": given["within"]}) - 1) % len(values))

    def _index(self, node: Node, given: dict[str, Any]) -> npt.NDArray[Any]:
        if given["within"] is not None:
            return _count_within(self._level_codes(given["within"], node)) + 1
        return np.arange(1, self.n_rows + 1) if self.columns is None else self.columns.units.position(self.level)

    def _level_codes(self, level: str, node: Node) -> npt.NDArray[Any]:
        """Return the position of every unit's, or row's, unit of a level above."""
        above = {} if self.columns is None else self.columns.units.above(self.level)
        if level not in above:
            known = ", ".join(map(repr, above)) or "none"
            raise ControlError(f"In {self.what}, {deparse(node)!r} names the level {level!r}; there it can be {known}.")
        return above[level]

    def _plogis(self, node: Node, given: dict[str, Any]) -> Value:  # noqa: ARG002
        from scipy.special import expit

        x = as_numbers(given["x"], "plogis()")
        return np.asarray(expit(x)) if isinstance(x, np.ndarray) else float(expit(x))

    def _multivariate_normal(self, node: Node, given: dict[str, Any]) -> Value:
        mean, sd, corr = (
            np.array(numbers(given[key], f"{key} of {deparse(node)!r}")) for key in ("mean", "sd", "corr")
        )
        k = max(len(sd), len(mean))
        if k > current_limits().basis:
            raise FormulaError(f"{deparse(node)!r} makes {k:,} columns: {beyond_limit('basis')}")
        if len(mean) not in (1, k) or len(sd) not in (1, k):
            raise FormulaError(f"{deparse(node)!r} has {len(mean)} means and {len(sd)} standard deviations.")
        root = correlation_factor(corr[0] if len(corr) == 1 else corr, k, f"In {deparse(node)!r}")
        spherical = np.column_stack([self.draws.normal(self.n_rows, 0.0, 1.0) for _ in range(k)])
        return Matrix(np.asfortranarray(mean + (spherical @ root.T) * sd), tuple(str(i + 1) for i in range(k)))

    def _effect(self, node: Call) -> Value:
        given = match_arguments(node, _EFFECT).named
        if self.effects is None:
            raise FormulaError(
                f"{deparse(node)!r} cannot stand in {self.what}, which is drawn before the random effects."
            )
        group = deparse(given["group"])
        column = deparse(given["column"]) if "column" in given else "(Intercept)"
        effects: FloatArray = self.effects.effect(group, column)[self.effects.codes(group, self.level)]
        return effects

    def _varies(self, node: Node) -> bool:
        columns = self.columns
        return columns is not None and any(
            name in columns.names and not columns.known_at(name, self.level) for name in names_in(node)
        )

    def _summary(self, name: str, node: Call) -> Value:
        """Summarise an expression of the rows over those of each unit."""
        import pandas as pd

        matched = match_arguments(node, SIGNATURES[name])
        given = [*matched.named.values(), *(argument for _, argument in matched.dots)]
        if len(given) != 1:
            raise FormulaError(f"{deparse(node)!r} takes one argument where it summarises the rows of a level.")
        assert self.columns is not None
        rows = DrawEvaluator(self.what, self.draws, self.columns, None, self.effects)
        values = as_numbers(rows.value(given[0]), f"{name}()")
        units = self.columns.units
        grouped = (
            pd.Series(values).groupby(units.codes[str(self.level)], sort=True).agg("std" if name == "sd" else name)
        )
        return np.asarray(grouped.reindex(range(self.n_rows)), dtype=np.float64)


def split_level(text: str, levels: dict[str, Any]) -> tuple[Node, str | None]:
    """Read an expression and the level right of its bar, if there is one."""
    node = parse_expression(text)
    if isinstance(node, Binary) and node.op == "|" and isinstance(node.right, Name):
        if node.right.id not in levels:
            raise UnknownColumnError(unknown_column(node.right.id, levels, f"In {text!r} there is no level named"))
        return node.left, node.right.id
    return node, None


def as_columns(value: Value, count: int, what: str) -> list[Any]:
    """Return what an expression gave as columns, several of them where it gave a matrix."""
    import pandas as pd

    if isinstance(value, Matrix):
        return [np.ascontiguousarray(column) for column in value.values.T]
    if isinstance(value, Factor):
        names = list(value.levels.names)
        return [pd.Categorical.from_codes(value.codes, categories=pd.Index(names), ordered=value.ordered)]
    if isinstance(value, Logical):
        return [value.values if np.isnan(value.values).any() else value.values.astype(np.bool_)]
    if isinstance(value, str):
        return [pd.Categorical.from_codes(np.zeros(count, dtype=np.int32), categories=pd.Index([value]))]
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, int | float):
        return [np.full(count, float(value))]
    raise FormulaError(f"{what[0].upper()}{what[1:]} must be a column of values, not {value!r}.")


def _count_within(codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how many of the same code come before each."""
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    result = np.empty(len(codes), dtype=np.int64)
    result[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return result


def _listed(values: Any, node: Node) -> list[Any]:
    if isinstance(values, float | int) and not isinstance(values, bool) and values >= 1:
        count = whole(values, f"The number of values of {deparse(node)!r}")
        check_count(count, repr(deparse(node)))
        return list(range(1, count + 1))
    if isinstance(values, list) and values:
        return values
    raise FormulaError(f"{deparse(node)!r} needs values to choose from, as in c('a', 'b') or 0:2.")


def _chosen(values: list[Any], codes: npt.NDArray[Any]) -> Value:
    """Return some of the values: a factor with levels in the order listed, or numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        table = np.asarray(values, dtype=np.float64)
        if (table == np.floor(table)).all() and (np.abs(table) < 2.0**62).all():
            table = table.astype(np.int64)
        return np.asarray(table[codes])
    names = [level_text(value) for value in values]
    distinct = {name: i for i, name in enumerate(dict.fromkeys(names))}
    table = np.array([distinct[name] for name in names], dtype=np.int32)
    return factor_from_codes(table[codes], Levels(list(distinct)))
