"""Transformations that learn something from the data they are first given, and must remember it for new data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, codes_for, factor_from_codes, relevel_factor
from multilevel.data.levels import Levels, level_text
from multilevel.errors import DataError, FormulaError
from multilevel.formula.functions import Arguments, merged, same_kind
from multilevel.formula.splines import OrthogonalPolynomials, SplineBasis
from multilevel.formula.values import (
    Matrix,
    Text,
    Value,
    as_factor,
    as_numbers,
    constants,
    described,
    number,
    numbers,
    whole,
)
from multilevel.size_limits import beyond_limit, current_limits

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transform:
    """A transformation in two steps.

    Attributes
    ----------
    fit
        Takes the arguments and returns what must be remembered.
    apply
        Takes the arguments and what was remembered, and returns the transformed column.
    """

    fit: Callable[[Arguments], Any]
    apply: Callable[[Arguments, Any], Value]


def _column(arguments: Arguments, name: str = "x") -> FloatArray:
    return _as_column(arguments[name], arguments.function)


def _as_column(value: Value, function: str) -> FloatArray:
    found = as_numbers(value, f"{function}()")
    if not isinstance(found, np.ndarray) or isinstance(value, list):
        raise FormulaError(f"{function}() needs a column, not a constant.")
    return found


def _check_basis(count: float, what: str) -> None:
    if count > current_limits().basis:
        raise FormulaError(f"{what} makes {count:,.0f} columns: {beyond_limit('basis')}")


# ---- scale, center -------------------------------------------------------------------------------------------------


def _fit_scale(arguments: Arguments) -> tuple[float, float]:
    x = _column(arguments)
    center, scale = arguments.get("center", True), arguments.get("scale", True)
    x = x[~np.isnan(x)]
    middle = 0.0 if isinstance(center, bool) else number(center, "center of scale()")
    if center is True and len(x):
        middle = float(np.mean(x))
    if scale is True:
        # Without centring, R divides by the root mean square.
        spread = float(np.sqrt(np.sum((x - middle) ** 2) / max(len(x) - 1, 1)))
    else:
        spread = 1.0 if scale is False else number(scale, "scale of scale()")
    return middle, spread


def _apply_scale(arguments: Arguments, state: tuple[float, float]) -> Value:
    with np.errstate(all="ignore"):
        result: FloatArray = (_column(arguments) - state[0]) / state[1]
    return result


def _fit_center(arguments: Arguments) -> float:
    x = _column(arguments)
    return float(np.nanmean(x)) if not np.isnan(x).all() else float("nan")


def _apply_center(arguments: Arguments, state: float) -> Value:
    result: FloatArray = _column(arguments) - state
    return result


# ---- poly, bs, ns --------------------------------------------------------------------------------------------------


PolyState = tuple[int, OrthogonalPolynomials | None] | tuple[int, tuple[OrthogonalPolynomials | None, ...]]


def _poly_arguments(arguments: Arguments) -> tuple[list[FloatArray], int, bool]:
    """Return the variables, the degree and whether the powers are raw: an argument by place is the degree or a variable."""
    others, degree = [], arguments.get("degree", 1.0)
    for name, value in zip(arguments.dot_names, arguments.dots, strict=True):
        # R takes any name here; only one that begins as degree does can be meant.
        if name is not None and not "degree".startswith(name):
            raise FormulaError(
                f"poly() has no argument {name!r}, so that it is unused; it has x, ..., degree, raw, simple."
            )
        if isinstance(value, int | float | str | list | None):
            if len(arguments.dots) > 1 or "degree" in arguments:
                raise FormulaError(
                    "poly() of several variables takes its degree by name, as in poly(x, z, degree = 2)."
                )
            degree = value
        elif name is not None:
            raise FormulaError(f"The degree of poly() must be a whole number, not {described(value)}.")
        else:
            others.append(_as_column(value, "poly"))
    arguments.flag("simple", False)
    return [_column(arguments), *others], whole(degree, "The degree of poly()"), arguments.flag("raw", False)


def _fit_poly(arguments: Arguments) -> PolyState:
    variables, degree, raw = _poly_arguments(arguments)
    if degree < 1:
        raise FormulaError(f"The degree of poly() must be at least 1, not {degree}.")
    _check_basis(_poly_columns(len(variables), degree), "poly()")
    made = tuple(None if raw else OrthogonalPolynomials.fit(x, degree) for x in variables)
    return (degree, made[0]) if len(made) == 1 else (degree, made)


def _poly_columns(variables: int, degree: int) -> float:
    # Of one variable there are as many as the degree; binomial coefficients of huge numbers are not worked out.
    return degree if variables == 1 or degree > 10_000 else math.comb(variables + degree, degree) - 1


def _apply_poly(arguments: Arguments, state: PolyState) -> Value:
    degree, made = state
    variables = _poly_arguments(arguments)[0]
    polynomials = made if isinstance(made, tuple) else (made,)
    bases = [_powers(x, own, degree) for x, own in zip(variables, polynomials, strict=True)]
    if len(bases) == 1:
        return Matrix(bases[0], tuple(str(j) for j in range(1, degree + 1)))
    # All products up to the degree, the power of the first variable varying fastest.
    powers = [power[::-1] for power in _exponents(len(bases), degree)]
    out = np.ones((len(bases[0]), len(powers)), order="F")
    for j, power in enumerate(powers):
        for basis, exponent in zip(bases, power, strict=True):
            if exponent:
                out[:, j] *= basis[:, exponent - 1]
    return Matrix(out, tuple(".".join(map(str, power)) for power in powers))


def _powers(x: FloatArray, polynomials: OrthogonalPolynomials | None, degree: int) -> FloatArray:
    if polynomials is not None:
        return polynomials(x)
    with np.errstate(all="ignore"):
        powers: FloatArray = x[:, None] ** np.arange(1, degree + 1)
    return powers


def _exponents(count: int, degree: int) -> Iterable[tuple[int, ...]]:
    """List the exponents of so many variables whose sum is from 1 to the degree, those of the last varying fastest."""
    rows: list[tuple[int, ...]] = [()]
    for _ in range(count):
        rows = [(*row, power) for row in rows for power in range(degree - sum(row) + 1)]
    return [row for row in rows if any(row)]


def _fit_spline(arguments: Arguments, *, natural: bool) -> SplineBasis:
    function = "ns" if natural else "bs"
    df, knots, boundary = (arguments.get(name) for name in ("df", "knots", "Boundary.knots"))
    degree = 3 if natural else whole(arguments.get("degree", 3.0), "The degree of bs()")
    if degree < 1:
        raise FormulaError(f"The degree of bs() must be at least 1, not {degree}.")
    count = None if df is None else whole(df, f"df of {function}()")
    inner = None if knots is None else numbers(knots, f"knots of {function}()")
    columns = count if count is not None and inner is None else degree + len(inner or ())
    _check_basis(max(columns, degree), f"{function}()")
    return SplineBasis.fit(
        _column(arguments),
        df=count,
        knots=inner,
        degree=degree,
        intercept=arguments.flag("intercept", False),
        boundary=None if boundary is None else numbers(boundary, f"Boundary.knots of {function}()"),
        natural=natural,
    )


def _apply_spline(arguments: Arguments, state: SplineBasis) -> Value:
    basis = state(_column(arguments))
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
    x = _column(arguments)
    given = arguments.get("breaks")
    if given is None:
        raise FormulaError("cut() needs breaks: their number or a list, as in cut(x, c(0, 10, 20)).")
    if isinstance(given, list) and len(given) > 1:
        breaks = sorted(numbers(given, "The breaks of cut()", finite=False))
    else:
        count = whole(given, "The number of intervals in cut()")
        if count < 2:
            raise FormulaError(f"cut() needs at least 2 intervals, not {count}.")
        if count > current_limits().columns:
            raise FormulaError(f"cut() makes {count:,} intervals: {beyond_limit('columns')}")
        if not np.isfinite(x[~np.isnan(x)]).all() or np.isnan(x).all():
            raise FormulaError(
                "cut() into a number of intervals needs finite values; write the breaks, as in cut(x, c(0, 10, Inf))."
            )
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
    right, lowest = arguments.flag("right", True), arguments.flag("include.lowest", False)
    labels = arguments.get("labels")
    if labels is None or labels is True:
        digits = whole(arguments.get("dig.lab", 3.0), "dig.lab of cut()")
        if not 1 <= digits <= 22:
            raise FormulaError(f"dig.lab of cut() must be from 1 to 22, not {digits}.")
        labels = _cut_labels(breaks, right, lowest, digits)
    elif labels is False:
        labels = [str(j) for j in range(1, len(breaks))]
    else:
        labels = [level_text(label) for label in constants(labels, "labels of cut()")]
        if len(labels) != len(breaks) - 1:
            raise FormulaError(
                f"cut() makes {len(breaks) - 1} intervals, so it needs as many labels, not {len(labels)}."
            )
    return breaks, labels, right, lowest, arguments.flag("ordered_result", False)


def _apply_cut(arguments: Arguments, state: tuple[list[float], list[str], bool, bool, bool]) -> Value:
    breaks, labels, right, lowest, ordered = state
    x = _column(arguments)
    edges = np.asarray(breaks)
    codes = np.searchsorted(edges, x, side="left" if right else "right") - 1
    if lowest:
        codes[x == (edges[0] if right else edges[-1])] = 0 if right else len(labels) - 1
    codes[(codes < 0) | (codes >= len(labels)) | np.isnan(x)] = -1
    if arguments.get("labels") is False:
        return np.where(codes < 0, np.nan, codes + 1.0)
    return merged(codes, labels, ordered=ordered)


# ---- factors -------------------------------------------------------------------------------------------------------


def _nothing(_: Arguments) -> None:
    return None


def _fit_factor(arguments: Arguments) -> list[str] | None:
    """Remember the levels where labels are given for them: new data need not have all of them."""
    if arguments.get("levels") is not None or arguments.get("labels") is None:
        return None
    return list(_without(as_factor(arguments["x"], "factor()").drop_unused(), arguments).levels.names)


def _apply_factor(arguments: Arguments, state: list[str] | None, *, ordered: bool = False) -> Value:
    where = f"{arguments.function}()"
    factor = as_factor(arguments["x"], where)
    levels, labels = arguments.get("levels"), arguments.get("labels")
    keep_order = ordered or arguments.flag("ordered", factor.ordered)
    if levels is None and state is None:
        factor = _without(factor.drop_unused(), arguments).drop_unused()
        chosen = factor.levels
        codes = factor.codes
    else:
        given = state or constants(levels, f"levels of {where}")
        names = [level_text(level) for level in given]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FormulaError(f"levels of {where} has {twice!r} more than once.")
        numeric = all(isinstance(level, float) for level in given)
        chosen = Levels(np.array(given, dtype=np.float64) if numeric else names)
        codes = codes_for(_without(factor, arguments), chosen)
    if labels is None:
        return factor_from_codes(codes, chosen, ordered=keep_order)
    texts = [level_text(label) for label in constants(labels, f"labels of {where}")]
    if len(texts) != len(chosen):
        raise FormulaError(f"{where} has {len(chosen)} levels, so it needs as many labels, not {len(texts)}.")
    return merged(codes, texts, ordered=keep_order)


def _without(factor: Factor, arguments: Arguments) -> Factor:
    """Make the levels that are excluded missing."""
    excluded = arguments.get("exclude")
    if excluded is None:
        return factor
    names = {level_text(level) for level in constants(excluded, f"exclude of {arguments.function}()")}
    gone = np.array([name in names for name in factor.levels.names] + [False])
    codes = np.where(gone[factor.codes], np.int32(-1), factor.codes)
    return factor_from_codes(codes, factor.levels, ordered=factor.ordered)


def _apply_ordered(arguments: Arguments, state: Any) -> Value:
    return _apply_factor(arguments, state, ordered=True)


def _as_factor(arguments: Arguments, _: Any, *, name: str = "x") -> Value:
    return as_factor(arguments[name], f"{arguments.function}()")


def _apply_relevel(arguments: Arguments, state: str) -> Value:
    factor = as_factor(arguments["x"], "relevel()")
    # New data need not have every level, and the order of those that they have makes no difference to them.
    return factor if state not in factor.levels.names else relevel_factor(factor, state)


def _fit_relevel(arguments: Arguments) -> str:
    ref = arguments.get("ref")
    if ref is None:
        raise FormulaError("relevel() needs the level that comes first, as in relevel(arm, ref = 'placebo').")
    factor = as_factor(arguments["x"], "relevel()")
    names = factor.levels.names
    if isinstance(ref, str):
        relevel_factor(factor, ref)
        return ref
    # As in R a number is the place of a level, not its name.
    place = whole(ref, "ref of relevel(), a level as text or the place of one,")
    if not 1 <= place <= len(names):
        raise FormulaError(
            f"ref of relevel() is the place of one of {len(names)} levels, not {place}; write a level as text, as in"
            f" ref = '{place}'."
        )
    return names[place - 1]


# ---- factors as numbers --------------------------------------------------------------------------------------------


def _known_codes(factor: Factor, names: list[str], where: str) -> npt.NDArray[Any]:
    """Return the codes of a factor with respect to the levels first seen; a level that is none of them is refused."""
    codes = codes_for(factor, Levels(names))
    unknown = (codes < 0) & (factor.codes >= 0)
    if unknown.any():
        level = factor.levels.names[int(factor.codes[unknown][0])]
        raise DataError(f"{where} has a level {level!r} that it did not have when the model was fitted.")
    return codes


def _fit_codes(arguments: Arguments) -> list[str] | None:
    x = arguments["x"]
    return list(x.levels.names) if isinstance(x, Factor) and not isinstance(x, Text) else None


def _apply_codes(arguments: Arguments, state: list[str] | None) -> Value:
    """Return numbers as they are, those that text spells, and of a factor the places of its levels."""
    x, where = arguments["x"], f"{arguments.function}()"
    whole_numbers = np.trunc if arguments.function == "as.integer" else np.positive
    if isinstance(x, Text):
        try:
            values = np.array([float(name) for name in x.levels.names] + [np.nan])
        except ValueError:
            raise FormulaError(
                f"{where} needs text that spells numbers, and {arguments.call!r} has other text."
            ) from None
        return np.asarray(whole_numbers(values[x.codes]))
    if isinstance(x, Factor) and state is not None:
        codes = _known_codes(x, state, repr(arguments.call))
        return np.where(codes < 0, np.nan, codes + 1.0)
    return same_kind(whole_numbers(as_numbers(x, where)), x)


def _fit_dummy(arguments: Arguments) -> tuple[list[str], list[str]]:
    names = list(as_factor(arguments["f"], "dummy()").drop_unused().levels.names)
    kept = names[1:]
    if "levelsToKeep" in arguments:
        given = constants(arguments["levelsToKeep"], "levelsToKeep of dummy()")
        kept = [level_text(level) for level in given]
        for level, name in zip(given, kept, strict=True):
            # lme4 looks a number up among the levels and then takes the column at that place.
            if not isinstance(level, str) and name in names and names.index(name) + 1 != level:
                raise FormulaError(
                    f"dummy() has the level {name!r} at another place than {name}; write it as text, {name!r}."
                )
    for level in kept:
        if level not in names:
            raise FormulaError(f"dummy() has no level {level!r}; its levels are {', '.join(map(repr, names[:8]))}.")
    if not kept:
        raise FormulaError("dummy() needs a factor with at least two levels, or the levels to keep.")
    _check_basis(len(kept), "dummy()")
    return names, kept


def _apply_dummy(arguments: Arguments, state: tuple[list[str], list[str]]) -> Value:
    names, kept = state
    codes = _known_codes(as_factor(arguments["f"], "dummy()"), names, repr(arguments.call))
    out = np.empty((len(codes), len(kept)), order="F")
    for j, level in enumerate(kept):
        out[:, j] = np.where(codes < 0, np.nan, codes == names.index(level))
    return Matrix(out, tuple(kept))


# ---- one number of a column ----------------------------------------------------------------------------------------


def _single(function: Callable[[FloatArray], Any]) -> Transform:
    """Make a transform of a function of all values of a column, and of those of ``...`` where it takes several."""

    def fit(arguments: Arguments) -> float:
        given = arguments.dots or (arguments["x"],)
        columns = [np.atleast_1d(as_numbers(value, f"{arguments.function}()")) for value in given]
        x = np.concatenate(columns)
        missing = np.isnan(x)
        # Missing values are left out unless that is ruled out: R would make every row missing.
        if missing.any() and not arguments.flag("na.rm", True):
            return float("nan")
        x = _trimmed(x[~missing], arguments)
        return float(function(x)) if len(x) else float("nan")

    return Transform(fit, lambda _, state: float(state))


def _trimmed(x: FloatArray, arguments: Arguments) -> FloatArray:
    if "trim" not in arguments:
        return x
    share = number(arguments["trim"], "trim of mean()")
    if not 0 <= share <= 0.5:
        raise FormulaError(f"trim of mean() must be from 0 to 0.5, not {share:g}.")
    if share == 0.5:
        return np.array([np.median(x)]) if len(x) else x
    gone = int(len(x) * share)
    return np.sort(x)[gone : len(x) - gone]


def _spread(x: FloatArray, function: Callable[..., Any]) -> Any:
    return function(x, ddof=1) if len(x) > 1 else np.nan


TRANSFORMS: dict[str, Transform] = {
    "scale": Transform(_fit_scale, _apply_scale),
    "center": Transform(_fit_center, _apply_center),
    "poly": Transform(_fit_poly, _apply_poly),
    "bs": Transform(partial(_fit_spline, natural=False), _apply_spline),
    "ns": Transform(partial(_fit_spline, natural=True), _apply_spline),
    "cut": Transform(_fit_cut, _apply_cut),
    "factor": Transform(_fit_factor, _apply_factor),
    "as.factor": Transform(_nothing, _as_factor),
    "C": Transform(_nothing, partial(_as_factor, name="object")),
    "ordered": Transform(_fit_factor, _apply_ordered),
    "as.ordered": Transform(_nothing, _apply_ordered),
    "relevel": Transform(_fit_relevel, _apply_relevel),
    "dummy": Transform(_fit_dummy, _apply_dummy),
    "as.numeric": Transform(_fit_codes, _apply_codes),
    "as.double": Transform(_fit_codes, _apply_codes),
    "as.integer": Transform(_fit_codes, _apply_codes),
    "mean": _single(np.mean),
    "median": _single(np.median),
    "sd": _single(partial(_spread, function=np.std)),
    "var": _single(partial(_spread, function=np.var)),
    "min": _single(np.min),
    "max": _single(np.max),
    "sum": _single(np.sum),
}
"""The transformations that remember something."""
