"""Transformations that learn something from the data they are first given, and must remember it for new data."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import codes_for, factor_from_codes, relevel_factor
from multilevel.data.levels import Levels
from multilevel.data.numbers import format_number
from multilevel.errors import FormulaError
from multilevel.formula.splines import OrthogonalPolynomials, SplineBasis
from multilevel.formula.values import Matrix, Value, as_factor, as_numbers

FloatArray = npt.NDArray[np.float64]
Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transform:
    """A transformation in two steps.

    Attributes
    ----------
    parameters
        The names of its arguments, in order, the column first.
    fit
        Takes the arguments and returns what must be remembered.
    apply
        Takes the arguments and what was remembered, and returns the transformed column.
    """

    parameters: tuple[str, ...]
    fit: Callable[[Arguments], Any]
    apply: Callable[[Arguments, Any], Value]


def _column(arguments: Arguments, function: str) -> FloatArray:
    value = as_numbers(arguments["x"], f"{function}()")
    if not isinstance(value, np.ndarray):
        raise FormulaError(f"{function}() needs a column, not a constant.")
    return value


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise FormulaError(f"{what} must be a whole number, not {value!r}.")
    return int(value)


def _numbers(value: Any) -> list[float] | None:
    if value is None:
        return None
    return [float(v) for v in (value if isinstance(value, list) else [value])]


# ---- scale, center -------------------------------------------------------------------------------------------------


def _fit_scale(arguments: Arguments) -> tuple[float, float]:
    x = _column(arguments, "scale")
    center, scale = arguments.get("center", True), arguments.get("scale", True)
    x = x[~np.isnan(x)]
    middle = float(np.mean(x)) if center is True and len(x) else 0.0 if isinstance(center, bool) else float(center)
    if scale is True:
        # Without centring, R divides by the root mean square.
        spread = float(np.sqrt(np.sum((x - middle) ** 2) / max(len(x) - 1, 1)))
    else:
        spread = 1.0 if scale is False else float(scale)
    return middle, spread


def _apply_scale(arguments: Arguments, state: tuple[float, float]) -> Value:
    with np.errstate(all="ignore"):
        result: FloatArray = (_column(arguments, "scale") - state[0]) / state[1]
    return result


def _fit_center(arguments: Arguments) -> float:
    return float(np.nanmean(_column(arguments, "center")))


def _apply_center(arguments: Arguments, state: float) -> Value:
    result: FloatArray = _column(arguments, "center") - state
    return result


# ---- poly, bs, ns --------------------------------------------------------------------------------------------------


def _fit_poly(arguments: Arguments) -> tuple[int, OrthogonalPolynomials | None]:
    degree = _whole(arguments.get("degree", 1.0), "The degree of poly()")
    x = _column(arguments, "poly")
    return degree, None if arguments.get("raw", False) is True else OrthogonalPolynomials.fit(x, degree)


def _apply_poly(arguments: Arguments, state: tuple[int, OrthogonalPolynomials | None]) -> Value:
    degree, polynomials = state
    x = _column(arguments, "poly")
    powers = x[:, None] ** np.arange(1, degree + 1) if polynomials is None else polynomials(x)
    return Matrix(powers, tuple(str(j) for j in range(1, degree + 1)))


def _fit_spline(arguments: Arguments, *, natural: bool) -> SplineBasis:
    function = "ns" if natural else "bs"
    df = arguments.get("df")
    return SplineBasis.fit(
        _column(arguments, function),
        df=None if df is None else _whole(df, f"df of {function}()"),
        knots=_numbers(arguments.get("knots")),
        degree=3 if natural else _whole(arguments.get("degree", 3.0), "The degree of bs()"),
        intercept=arguments.get("intercept", False) is True,
        boundary=_numbers(arguments.get("Boundary.knots")),
        natural=natural,
    )


def _apply_spline(arguments: Arguments, state: SplineBasis) -> Value:
    basis = state(_column(arguments, "ns" if state.natural else "bs"))
    return Matrix(basis, tuple(str(j) for j in range(1, basis.shape[1] + 1)))


# ---- cut -----------------------------------------------------------------------------------------------------------


def _cut_labels(breaks: list[float], right: bool, lowest: bool, digits: int) -> list[str]:
    for precision in range(digits, max(12, digits) + 1):
        texts = [_short(b, precision) for b in breaks]
        if len(set(texts)) == len(texts):
            break
    left_mark, right_mark = ("(", "]") if right else ("[", ")")
    labels = [f"{left_mark}{a},{b}{right_mark}" for a, b in itertools.pairwise(texts)]
    if lowest and right:
        labels[0] = "[" + labels[0][1:]
    elif lowest:
        labels[-1] = labels[-1][:-1] + "]"
    return labels


def _short(value: float, digits: int) -> str:
    if np.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:.{digits}g}"


def _fit_cut(arguments: Arguments) -> tuple[list[float], list[str], bool, bool, bool]:
    x = _column(arguments, "cut")
    given = arguments.get("breaks")
    if given is None:
        raise FormulaError("cut() needs breaks: their number or a list, as in cut(x, c(0, 10, 20)).")
    if isinstance(given, list):
        breaks = sorted(float(b) for b in given)
    else:
        count = _whole(given, "The number of intervals in cut()")
        if count < 2:
            raise FormulaError(f"cut() needs at least 2 intervals, not {count}.")
        low, high = float(np.nanmin(x)), float(np.nanmax(x))
        width = high - low
        if width == 0:
            width = abs(low)
            breaks = np.linspace(low - width / 1000, high + width / 1000, count + 1).tolist()
        else:
            breaks = np.linspace(low, high, count + 1).tolist()
            breaks[0], breaks[-1] = low - width / 1000, high + width / 1000
    if len(set(breaks)) != len(breaks):
        raise FormulaError("The breaks of cut() must all be different.")
    right, lowest = arguments.get("right", True) is True, arguments.get("include.lowest", False) is True
    labels = arguments.get("labels")
    if labels is None or labels is True:
        labels = _cut_labels(breaks, right, lowest, _whole(arguments.get("dig.lab", 3.0), "dig.lab of cut()"))
    elif labels is False:
        labels = [str(j) for j in range(1, len(breaks))]
    elif not isinstance(labels, list) or len(labels) != len(breaks) - 1:
        raise FormulaError(f"cut() makes {len(breaks) - 1} intervals, so it needs as many labels.")
    else:
        labels = [label if isinstance(label, str) else format_number(label) for label in labels]
    ordered = arguments.get("ordered_result", False) is True
    return breaks, labels, right, lowest, ordered


def _apply_cut(arguments: Arguments, state: tuple[list[float], list[str], bool, bool, bool]) -> Value:
    breaks, labels, right, lowest, ordered = state
    x = _column(arguments, "cut")
    edges = np.asarray(breaks)
    codes = np.searchsorted(edges, x, side="left" if right else "right") - 1
    if lowest:
        codes[x == (edges[0] if right else edges[-1])] = 0 if right else len(labels) - 1
    codes[(codes < 0) | (codes >= len(labels)) | np.isnan(x)] = -1
    if arguments.get("labels") is False:
        return np.where(codes < 0, np.nan, codes + 1.0)
    return factor_from_codes(codes, Levels(labels), ordered=ordered)


# ---- factors -------------------------------------------------------------------------------------------------------


def _nothing(_: Arguments) -> None:
    return None


def _apply_factor(arguments: Arguments, _: Any, *, ordered: bool = False) -> Value:
    factor = as_factor(arguments["x"], "factor()")
    levels, labels = arguments.get("levels"), arguments.get("labels")
    keep_order = ordered or arguments.get("ordered", factor.ordered) is True
    if levels is None:
        factor = factor.drop_unused()
        chosen = factor.levels
        codes = factor.codes
    else:
        given = _listed(levels)
        if all(isinstance(level, float) for level in given):
            chosen = Levels(np.array(given, dtype=np.float64))
        else:
            chosen = Levels([level if isinstance(level, str) else _level_name(level) for level in given])
        codes = codes_for(factor, chosen)
    if labels is not None:
        texts = [label if isinstance(label, str) else _level_name(label) for label in _listed(labels)]
        if len(texts) != len(chosen):
            raise FormulaError(f"factor() has {len(chosen)} levels, so it needs as many labels, not {len(texts)}.")
        chosen = Levels(texts)
    return factor_from_codes(codes, chosen, ordered=keep_order)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _level_name(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return format_number(value)


def _apply_ordered(arguments: Arguments, state: Any) -> Value:
    return _apply_factor(arguments, state, ordered=True)


def _apply_relevel(arguments: Arguments, state: str) -> Value:
    factor = as_factor(arguments["x"], "relevel()")
    # New data need not have every level, and the order of those that they have makes no difference to them.
    return factor if state not in factor.levels.names else relevel_factor(factor, state)


def _fit_relevel(arguments: Arguments) -> str:
    ref = arguments.get("ref")
    if ref is None:
        raise FormulaError("relevel() needs the level that comes first, as in relevel(arm, ref = 'placebo').")
    factor = as_factor(arguments["x"], "relevel()")
    name = ref if isinstance(ref, str) else _level_name(ref)
    relevel_factor(factor, name)
    return name


# ---- one number of a column ----------------------------------------------------------------------------------------


def _summary(name: str, function: Callable[[FloatArray], Any]) -> Transform:
    def fit(arguments: Arguments) -> float:
        x = _column(arguments, name)
        x = x[~np.isnan(x)]
        return float(function(x)) if len(x) else float("nan")

    return Transform(("x", "na.rm"), fit, lambda _, state: float(state))


TRANSFORMS: dict[str, Transform] = {
    "scale": Transform(("x", "center", "scale"), _fit_scale, _apply_scale),
    "center": Transform(("x",), _fit_center, _apply_center),
    "poly": Transform(("x", "degree", "raw"), _fit_poly, _apply_poly),
    "bs": Transform(
        ("x", "df", "knots", "degree", "intercept", "Boundary.knots"),
        lambda arguments: _fit_spline(arguments, natural=False),
        _apply_spline,
    ),
    "ns": Transform(
        ("x", "df", "knots", "intercept", "Boundary.knots"),
        lambda arguments: _fit_spline(arguments, natural=True),
        _apply_spline,
    ),
    "cut": Transform(
        ("x", "breaks", "labels", "include.lowest", "right", "dig.lab", "ordered_result"), _fit_cut, _apply_cut
    ),
    "factor": Transform(("x", "levels", "labels", "ordered"), _nothing, _apply_factor),
    "as.factor": Transform(("x",), _nothing, lambda arguments, _: as_factor(arguments["x"], "as.factor()")),
    "ordered": Transform(("x", "levels", "labels"), _nothing, _apply_ordered),
    "as.ordered": Transform(("x",), _nothing, _apply_ordered),
    "relevel": Transform(("x", "ref"), _fit_relevel, _apply_relevel),
    "mean": _summary("mean", np.mean),
    "median": _summary("median", np.median),
    "sd": _summary("sd", lambda x: np.std(x, ddof=1)),
    "var": _summary("var", lambda x: np.var(x, ddof=1)),
    "min": _summary("min", np.min),
    "max": _summary("max", np.max),
    "sum": _summary("sum", np.sum),
}
