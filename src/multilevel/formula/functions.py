"""The functions of formulas that remember nothing: what they make of a row follows from that row alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import MISSING, Factor, combine, factor_from_codes
from multilevel.data.levels import Levels, level_text
from multilevel.errors import FormulaError
from multilevel.formula.values import (
    Logical,
    Text,
    Value,
    as_factor,
    as_numbers,
    as_text,
    check_lengths,
    described,
    flag,
    is_column,
    number,
    text,
    truth,
    whole,
)
from multilevel.size_limits import beyond_limit, current_limits

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The evaluated arguments of a call.

    Attributes
    ----------
    call
        The call as written.
    named
        The arguments by their names.
    dots
        Those that ``...`` takes.
    n_rows
        The number of rows.
    dot_names
        The names that those were given, or None.
    """

    call: str
    named: dict[str, Value]
    dots: tuple[Value, ...]
    n_rows: int
    dot_names: tuple[str | None, ...] = field(default=())

    def __contains__(self, name: str) -> bool:
        return name in self.named

    def __getitem__(self, name: str) -> Any:
        return self.named[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or what it is by default."""
        return self.named.get(name, default)

    def flag(self, name: str, default: bool) -> bool:
        """Return an argument that is TRUE or FALSE."""
        return flag(self.named[name], f"{name} of {self.function}()") if name in self.named else default

    @property
    def function(self) -> str:
        """The name of the function."""
        return self.call.partition("(")[0].rpartition(":")[2]


def same_kind(result: Any, *sources: Value) -> Value:
    """Return constants as constants and columns as arrays."""
    if isinstance(result, np.ndarray) and result.ndim:
        if any(map(is_column, sources)):
            return result
        constants: list[Any] = result.tolist()
        return constants
    return float(result)


def truth_kind(values: Any, *sources: Value) -> Value:
    """Return truth values as a column, or as a constant where they come of constants."""
    if any(map(is_column, sources)):
        return Logical(values)
    found = np.asarray(values)
    if found.ndim:
        return [float(value) if np.isnan(value) else bool(value) for value in found.tolist()]
    return float(found) if np.isnan(found) else bool(found)


# ---- numbers -------------------------------------------------------------------------------------------------------


def _elementwise(function: Callable[[Any], Any], arguments: Arguments) -> Value:
    x = arguments["x"]
    with np.errstate(all="ignore"):
        return same_kind(function(as_numbers(x, f"{arguments.function}()")), x)


def _log(arguments: Arguments) -> Value:
    x, base = arguments["x"], arguments.get("base")
    check_lengths("log()", x, base)
    with np.errstate(all="ignore"):
        result = np.log(as_numbers(x, "log()"))
        if "base" in arguments:
            result = result / np.log(as_numbers(base, "log()"))
        return same_kind(result, x, base)


def _round(arguments: Arguments) -> Value:
    x = arguments["x"]
    digits = whole(arguments["digits"], "digits of round()") if "digits" in arguments else 0
    return same_kind(_rounded(np.asarray(as_numbers(x, "round()")), digits), x)


def _rounded(x: FloatArray, digits: int) -> FloatArray:
    """Round to the nearer of the two neighbours with so many digits, to the even one between them, as R does since 4.0."""
    if digits > 300:
        return x
    if digits < -300:
        return np.where(np.isnan(x), np.nan, 0.0)
    with np.errstate(all="ignore"):
        unit = 10.0 ** abs(digits)
        places = x * unit if digits >= 0 else x / unit
        low, high = np.floor(places), np.ceil(places)
        below, above = (low / unit, high / unit) if digits >= 0 else (low * unit, high * unit)
        down, up = x - below, above - x
        nearer: FloatArray = np.where((down < up) | ((down == up) & (np.mod(low, 2) == 0)), below, above)
    # Numbers too large to have such digits are what they are.
    return np.where(np.isfinite(places) & (np.abs(places) < 2.0**53), nearer, x)


def _signif(arguments: Arguments) -> Value:
    x = arguments["x"]
    digits = max(whole(arguments["digits"], "digits of signif()") if "digits" in arguments else 6, 1)
    values = np.asarray(as_numbers(x, "signif()"))
    if digits > 15:
        return same_kind(values, x)
    with np.errstate(all="ignore"):
        places = digits - 1 - np.floor(np.log10(np.abs(values)))
        unit = 10.0 ** np.abs(places)
        result = np.where(places > 0, np.rint(values * unit) / unit, np.rint(values / unit) * unit)
    # Zeros, infinite values and the ends of the range of doubles are what they are.
    return same_kind(np.where(np.abs(places) < 300, result, values), x)


def _extreme(arguments: Arguments) -> Value:
    name = arguments.function
    without_missing = arguments.flag("na.rm", False)
    pick = {
        ("pmin", False): np.minimum, ("pmin", True): np.fmin, ("pmax", False): np.maximum, ("pmax", True): np.fmax,
    }[name, without_missing]  # fmt: skip
    check_lengths(f"{name}()", *arguments.dots)
    values = [as_numbers(value, f"{name}()") for value in arguments.dots]
    return same_kind(reduce(pick, values), *arguments.dots)


# ---- constants -----------------------------------------------------------------------------------------------------


def _constants(arguments: Arguments) -> Value:
    items: list[Any] = []
    for argument in arguments.dots:
        if isinstance(argument, list):
            items.extend(argument)
        elif isinstance(argument, str | bool | int | float):
            items.append(argument)
        elif argument is not None:
            raise FormulaError(f"{arguments.call!r} can only hold constants.")
    return items


def _sequence(arguments: Arguments) -> Value:
    first, last = (number(arguments[name], f"{name} of seq()") for name in ("from", "to"))
    if "length.out" in arguments:
        if "by" in arguments:
            raise FormulaError("seq() takes by or length.out, not both.")
        count = whole(arguments["length.out"], "length.out of seq()")
        if count < 1:
            raise FormulaError(f"length.out of seq() must be at least 1, not {count}.")
        check_count(count, "seq()")
        return [float(v) for v in np.linspace(first, last, count)]
    step = number(arguments["by"], "by of seq()") if "by" in arguments else 1.0 if last >= first else -1.0
    if first == last:
        return [first]
    if step == 0 or (last - first) / step < 0:
        raise FormulaError(f"seq() does not come from {first:g} to {last:g} by steps of {step:g}.")
    return spaced(first, step, (last - first) / step, "seq()")


def spaced(first: float, step: float, steps: float, what: object) -> list[float]:
    """Return constants at equal distances."""
    check_count(steps, what)
    return [first + step * i for i in range(int(steps + 1e-10) + 1)]


def check_count(count: float, what: object) -> None:
    """Refuse a list of very many constants."""
    if not count <= current_limits().values:
        raise FormulaError(f"{what} makes {count:,.0f} values: {beyond_limit('values')}")


# ---- truth and choice ----------------------------------------------------------------------------------------------


def _is_missing(arguments: Arguments) -> Value:
    x = arguments["x"]
    if isinstance(x, Factor):
        return Logical((x.codes < 0).astype(np.float64))
    return truth_kind(np.isnan(as_numbers(x, "is.na()")).astype(np.float64), x)


def _ifelse(arguments: Arguments) -> Value:
    test, yes, no = (arguments[name] for name in ("test", "yes", "no"))
    check_lengths("ifelse()", test, yes, no, np.empty(0))
    chosen = truth(test, f"The condition of {arguments.call!r}")
    if isinstance(yes, str | Factor) or isinstance(no, str | Factor):
        texts = np.where(chosen == 1, _texts(yes, arguments.n_rows), _texts(no, arguments.n_rows))
        texts[np.isnan(chosen)] = None
        return as_texts(as_factor(texts, "ifelse()"))
    picked = np.where(chosen == 1, as_numbers(yes, "ifelse()"), as_numbers(no, "ifelse()"))
    result = np.where(np.isnan(chosen), np.nan, picked)
    if all(isinstance(value, Logical | bool) for value in (yes, no)):
        return Logical(np.broadcast_to(result, (arguments.n_rows,)).astype(np.float64))
    return same_kind(result, test, yes, no)


def _texts(value: Value, n_rows: int) -> npt.NDArray[np.object_]:
    return as_text(level_text(value) if isinstance(value, bool | int | float) else value, n_rows)


# ---- factors -------------------------------------------------------------------------------------------------------


def as_texts(factor: Factor) -> Text:
    """Return the levels of a factor as text, in the order of text."""
    factor = factor.drop_unused()
    names = np.array(factor.levels.names, dtype=object)
    distinct, places = np.unique(names.astype(str), return_inverse=True) if len(names) else (names, names.astype(int))
    table = np.append(places, MISSING).astype(np.int32)
    codes = table[factor.codes]
    return Text(codes, Levels(distinct.astype(object)), has_missing=bool((codes < 0).any()))


def _as_character(arguments: Arguments) -> Value:
    x = arguments["x"]
    return x if isinstance(x, str) else as_texts(as_factor(x, "as.character()"))


def _paste(arguments: Arguments) -> Value:
    name = arguments.function
    between = text(arguments["sep"], "sep of paste()") if "sep" in arguments else " " if name == "paste" else ""
    parts = _parts(arguments)
    if all(isinstance(part, str) for part in parts):
        return between.join(str(part) for part in parts)
    return as_texts(_joined(parts, between, [i for i, part in enumerate(parts) if not isinstance(part, str)]))


def _interaction(arguments: Arguments) -> Value:
    parts = _parts(arguments)
    if any(isinstance(part, str) for part in parts):
        raise FormulaError("interaction() combines columns, not constants.")
    # What does not occur is no level in a model, whether or not it is dropped here.
    arguments.flag("drop", False)
    between = text(arguments["sep"], "sep of interaction()") if "sep" in arguments else "."
    places = list(range(len(parts)))
    return _joined(parts, between, places if arguments.flag("lex.order", False) else places[::-1])


def _parts(arguments: Arguments) -> list[Factor | str]:
    """Return the arguments to be joined: factors and pieces of text."""
    where = f"{arguments.function}()"
    for value in arguments.dots:
        if isinstance(value, list | None):
            raise FormulaError(f"{where} joins columns and single constants, not {described(value)}.")
    return [
        level_text(value) if isinstance(value, str | bool | int | float) else as_factor(value, where)
        for value in arguments.dots
    ]


def _joined(parts: list[Factor | str], between: str, order: list[int]) -> Factor:
    """Return the combinations of levels that occur; the levels of the part that `order` has last vary fastest."""
    factors = [part for part in (parts[i] for i in order) if isinstance(part, Factor)]
    seen, rows, places = np.unique(combine(factors).codes, return_index=True, return_inverse=True)
    missing = int((seen < 0).sum())
    codes, rows = (places - missing).astype(np.int32), rows[missing:]
    columns = [
        [part] * len(rows) if isinstance(part, str) else [part.levels.names[code] for code in part.codes[rows].tolist()]
        for part in parts
    ]
    names = list(map(between.join, zip(*columns, strict=True)))
    return merged(codes, names)


def merged(codes: npt.NDArray[Any], names: list[str], *, ordered: bool = False) -> Factor:
    """Make a factor of codes and the names of its levels, of which those that are alike become one."""
    distinct = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(distinct) < len(names):
        table = np.array([*(distinct[name] for name in names), MISSING], dtype=np.int32)
        codes = table[codes]
    return factor_from_codes(codes, Levels(list(distinct)), ordered=ordered)


def _same(name: str, arguments: Arguments) -> Value:
    found: Value = arguments[name]
    return found


_NUMPY: dict[str, Callable[[Any], Any]] = {
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "expm1": np.expm1, "sqrt": np.sqrt,
    "abs": np.abs, "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "floor": np.floor, "ceiling": np.ceil, "trunc": np.trunc,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[[Arguments], Value]] = {
    **{name: partial(_elementwise, function) for name, function in _NUMPY.items()},
    "I": partial(_same, "x"),
    "identity": partial(_same, "x"),
    "offset": partial(_same, "object"),
    "log": _log,
    "round": _round,
    "signif": _signif,
    "pmin": _extreme,
    "pmax": _extreme,
    "c": _constants,
    "seq": _sequence,
    "is.na": _is_missing,
    "ifelse": _ifelse,
    "as.character": _as_character,
    "paste": _paste,
    "paste0": _paste,
    "interaction": _interaction,
}
"""What each function makes of its arguments."""

NAMES_IN_DOTS = frozenset({"c"})
"""Functions whose ``...`` may be given names, which mean nothing."""
