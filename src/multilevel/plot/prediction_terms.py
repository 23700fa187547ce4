"""The variables that a picture of predictions runs over, and their values: ``"x [all]"``, ``"arm"``, ``"z [0, 1]"``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import unknown_column
from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataError, UnknownColumnError
from multilevel.inference.reference_grid import GridVariable, fixed_variables, grid_variables
from multilevel.model.source import data_used
from multilevel.plot.style import PALETTE

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

MOST_TERMS = 3
CURVE = 61
"""Points at which a curve over a numeric variable is worked out."""
FEW_VALUES = 2
"""A numeric variable with no more values than this is drawn at these, not along a curve."""
ALL = 2000
"""Most values of a numeric variable that ``[all]`` takes."""
WORDS = (
    "all",
    "meansd",
    "minmax",
    "zeromax",
    "quart",
    "quart2",
    "terciles",
    "fivenum",
    "mean",
    "n=…",
    "a:b",
    "a:b by=c",
)

_TERM = re.compile(r"\s*(?P<name>.*?)\s*(?:\[(?P<values>[^\[\]]*)\])?\s*", re.DOTALL)
_RANGE = re.compile(r"(?P<first>[^:]+):(?P<last>[^:]+?)(?:\s+by\s*=\s*(?P<step>.+))?")


@dataclass(frozen=True, slots=True, eq=False)
class PlotTerm:
    """A variable and the values that predictions are made for.

    Attributes
    ----------
    name
        The column.
    values
        The values: levels, or numbers.
    labels
        What they are called in a legend or the title of a panel.
    is_factor
        Whether the variable is categorical.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    is_factor: bool

    @property
    def curved(self) -> bool:
        """Whether predictions over it are joined to a curve."""
        return not self.is_factor and len(self.values) > FEW_VALUES


def plot_terms(fit: LinearMixedModel, terms: Any = None) -> tuple[PlotTerm, ...]:
    """Read the terms of a picture: the first for the x axis, the second for colours, the third for panels.

    Parameters
    ----------
    fit
        The fitted model.
    terms
        Names, each with its values in brackets or not (see `multilevel.plot.predictions.predictions_data`), or a mapping of names
        to values; by default the first variable of the fixed part.

    Raises
    ------
    UnknownColumnError
        The fixed part has no such variable.
    ControlError, DataError
        The terms or their values cannot be read.
    """
    known = fixed_variables(fit)
    if not known:
        raise DataError("The fixed part of the model has no variable to make predictions over.")
    wanted = _wanted(terms, known[0])
    if not 1 <= len(wanted) <= MOST_TERMS:
        raise ControlError(f"terms must name one to three variables; it names {len(wanted)}.")
    for name in wanted:
        if name not in known:
            raise UnknownColumnError(
                unknown_column(name, known, "terms: the fixed part of the model has no variable named")
            )
    variables = {variable.name: variable for variable in grid_variables(fit, means=known)}
    columns = data_used(fit, list(wanted))
    found = []
    for place, (name, values) in enumerate(wanted.items()):
        variable = variables[name]
        if variable.is_factor:
            term = _factor_term(variable, values)
        else:
            numbers = columns[name].as_numbers().astype(np.float64)
            term = _numeric_term(name, numbers, values, axis=place == 0)
        found.append(term)
    if len(found) > 1 and len(found[1].values) > len(PALETTE):
        raise ControlError(
            f"{found[1].name!r} has {len(found[1].values)} values, and at most {len(PALETTE)} colours can be told apart; choose"
            f" some of them, as in '{found[1].name} [{found[1].labels[0]}, {found[1].labels[1]}]', or put it first."
        )
    return tuple(found)


def _wanted(terms: Any, default: str) -> dict[str, Any]:
    """Return names with what was said about their values: text, a list, or None."""
    if terms is None:
        return {default: None}
    if isinstance(terms, Mapping):
        return {str(name): values for name, values in terms.items()}
    found: dict[str, Any] = {}
    for text in [terms] if isinstance(terms, str) else list(terms):
        match = _TERM.fullmatch(text) if isinstance(text, str) else None
        if match is None or not match["name"]:
            raise ControlError(
                f"A term is a name, with values in brackets where they are chosen, as in 'x [0, 1]'; {text!r} is none."
            )
        if match["name"] in found:
            raise ControlError(f"terms names {match['name']!r} twice.")
        found[match["name"]] = match["values"]
    return found


def _factor_term(variable: GridVariable, values: Any) -> PlotTerm:
    texts = [level_text(value) for value in variable.values]
    chosen = texts
    if values is not None and not (isinstance(values, str) and values.strip() == "all"):
        listed = _split(values) if isinstance(values, str) else [level_text(value) for value in _as_list(values)]
        unknown = [text for text in listed if text not in texts]
        if unknown or not listed:
            shown = ", ".join(map(repr, texts[:8])) + (", …" if len(texts) > 8 else "")
            what = repr(unknown[0]) if unknown else "that name"
            raise DataError(f"terms: {variable.name!r} has no level {what}; its levels are {shown}.")
        chosen = list(dict.fromkeys(listed))
    places = [texts.index(text) for text in chosen]
    return PlotTerm(variable.name, tuple(variable.values[i] for i in places), tuple(texts[i] for i in places), True)


def _numeric_term(name: str, numbers: FloatArray, values: Any, *, axis: bool) -> PlotTerm:
    unique = np.unique(numbers)
    labels: Sequence[str] | None = None
    if values is None:
        if unique.size <= FEW_VALUES:
            found = unique
        elif axis:
            found = np.linspace(unique[0], unique[-1], CURVE)
        else:
            found, labels = _around_mean(numbers)
    elif isinstance(values, str):
        found, labels = _by_word(name, numbers, unique, values.strip())
    else:
        try:
            found = np.array([float(value) for value in _as_list(values)])
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"terms gives {name!r}, which is numeric, the values {values!r}.") from None
    if found.size == 0 or not np.isfinite(found).all():
        raise DataError(f"terms gives {name!r} no value, or one that is not finite.")
    shown = _short(found) if labels is None else labels
    return PlotTerm(name, tuple(float(value) for value in found), tuple(shown), False)


def _around_mean(numbers: FloatArray) -> tuple[FloatArray, list[str]]:
    mean, sd = float(numbers.mean()), float(numbers.std(ddof=1))
    found = np.array([mean - sd, mean, mean + sd])
    words = ("mean − sd", "mean", "mean + sd")
    # Three digits of the standard deviation: a mean that is next to nothing beside it is zero.
    places = max(0, 2 - int(np.floor(np.log10(sd)))) if sd > 0 else 2
    texts = [f"{round(value, places) + 0.0:.{min(places, 12)}f}".replace("-", "−") for value in found]
    return found, [f"{text} ({word})" for text, word in zip(texts, words, strict=True)]


def _by_word(name: str, numbers: FloatArray, unique: FloatArray, text: str) -> tuple[FloatArray, list[str] | None]:
    """Return the values that a word in brackets stands for, and their names where they have some."""
    if text == "all":
        if unique.size > ALL:
            return np.linspace(unique[0], unique[-1], CURVE), None
        return unique, None
    if text == "meansd":
        return _around_mean(numbers)
    if text == "mean":
        return np.array([numbers.mean()]), None
    if text == "minmax":
        return unique[[0, -1]], None
    if text == "zeromax":
        return np.array([0.0, unique[-1]]), None
    shares = {
        "quart": (0.0, 0.25, 0.5, 0.75, 1.0),
        "fivenum": (0.0, 0.25, 0.5, 0.75, 1.0),
        "quart2": (0.25, 0.5, 0.75),
        "terciles": (1 / 3, 2 / 3),
    }
    if text in shares:
        return np.unique(np.quantile(numbers, shares[text])), None
    if re.fullmatch(r"n\s*=\s*\d+", text):
        count = int(text.split("=")[1])
        if count < 1:
            raise DataError(f"terms: {name!r} is given n={count} values; it needs one at least.")
        return np.linspace(unique[0], unique[-1], count), None
    try:
        match = _RANGE.fullmatch(text)
        if match is not None:
            return _range(float(match["first"]), float(match["last"]), float(match["step"] or 1.0), name), None
        return np.array([float(part) for part in _split(text)]), None
    except ValueError as problem:
        if isinstance(problem, DataError):
            raise
        raise DataError(
            f"terms: the values [{text}] of {name!r} cannot be read; give numbers or one of {', '.join(WORDS)}."
        ) from None


def _range(first: float, last: float, step: float, name: str) -> FloatArray:
    if step == 0.0 or (last - first) / step < 0:
        raise DataError(f"terms: no values of {name!r} lead from {first:g} to {last:g} in steps of {step:g}.")
    return np.asarray(first + step * np.arange(int(np.floor((last - first) / step + 1e-9)) + 1), dtype=np.float64)


def _split(text: str) -> list[str]:
    return [part.strip().strip("'\"") for part in text.split(",") if part.strip()]


def _as_list(values: Any) -> list[Any]:
    return [values] if isinstance(values, str) or not hasattr(values, "__iter__") else list(values)


def _short(values: FloatArray) -> list[str]:
    """Write numbers with as few digits, three at the least, as tell them apart."""
    for digits in range(3, 17):
        texts = [f"{value + 0.0:.{digits}g}".replace("-", "−") for value in values]
        if len(set(texts)) == len(set(values.tolist())):
            break
    return texts
