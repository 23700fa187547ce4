"""Numbers as R prints them: significant digits shared by a column, p-values, stars, and the rounding of coefficient tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

QUANTILE_LABELS = ("Min", "1Q", "Median", "3Q", "Max")

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."))

STARS_LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


def _leading(value: float, digits: int) -> tuple[int, int]:
    """Return the decimal exponent of a number rounded to so many digits, and how many of these are left without trailing zeros."""
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    return int(exponent), max(1, len(mantissa.replace(".", "").rstrip("0")))


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Inf" if value > 0 else "-Inf"


def format_values(values: Sequence[float] | FloatArray, digits: int = 7, *, decimals: int = 0) -> list[str]:
    """Write numbers alike: with so many decimals that each shows at least the significant digits asked for.

    Trailing zeros that no number needs are left off. Scientific notation is used for all where it is narrower.

    Parameters
    ----------
    values : sequence of float
        The numbers.
    digits : int, default 7
        Significant digits that every number shows, unless it has fewer.
    decimals : int, default 0
        The least number of decimals in fixed notation.

    Returns
    -------
    list of str
        The numbers as text of equal width, padded on the left.

    Examples
    --------
    >>> from multilevel.reporting.numbers import format_values
    >>> format_values([612.0955, 35.07171, 654.94], digits=4)
    ['612.10', ' 35.07', '654.94']
    >>> format_values([35.77, 5.048e-12], digits=4)
    ['3.577e+01', '5.048e-12']
    """
    numbers = [float(value) + 0.0 for value in values]
    finite = [value for value in numbers if math.isfinite(value)]
    sizes = [_leading(value, digits) for value in finite]
    places = max([decimals, *(kept - exponent - 1 for exponent, kept in sizes)])
    in_mantissa = max([kept for _, kept in sizes], default=1) - 1
    fixed = [f"{value:.{places}f}" if math.isfinite(value) else _special(value) for value in numbers]
    scientific = [f"{value:.{in_mantissa}e}" if math.isfinite(value) else _special(value) for value in numbers]
    wide, narrow = (max(map(len, texts), default=0) for texts in (fixed, scientific))
    chosen, width = (fixed, wide) if wide <= narrow else (scientific, narrow)
    return [text.rjust(width) for text in chosen]


def format_number(value: float, digits: int = 7) -> str:
    """Write one number with at most so many significant digits."""
    return format_values([value], digits)[0]


def format_correlations(values: Sequence[float] | FloatArray, decimals: int) -> list[str]:
    """Write correlations with a fixed number of decimals and equal width."""
    texts = []
    for value in values:
        rounded = round(float(value), decimals) + 0.0 if math.isfinite(value) else math.nan
        texts.append("NaN" if math.isnan(rounded) else f"{rounded:.{decimals}f}")
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def format_p_values(values: Sequence[float] | FloatArray, digits: int = 3) -> list[str]:
    """Write p-values; those below the precision of a double become ``<2e-16``.

    P-values from 0.0001 up share their decimals, smaller ones share their significant digits.

    Examples
    --------
    >>> from multilevel.reporting.numbers import format_p_values
    >>> format_p_values([1e-40, 3.264e-06, 0.0095, 0.2])
    ['< 2e-16', '3.26e-06', '0.0095', '0.2000']
    """
    smallest = float(np.finfo(np.float64).eps)
    texts = ["NaN"] * len(values)
    plain: list[int] = []
    small: list[int] = []
    tiny: list[int] = []
    for at, value in enumerate(map(float, values)):
        if math.isnan(value):
            continue
        (tiny if value < smallest else plain if value >= 1e-4 else small).append(at)
    for places in (plain, small):
        for at, text in zip(places, format_values([float(values[at]) for at in places], digits), strict=True):
            texts[at] = text
    widest = max((len(texts[at]) for at in (*plain, *small)), default=0)
    bound = f"<{'' if widest <= 6 else ' '}{format_number(smallest, 1)}"
    for at in tiny:
        texts[at] = bound
    return texts


def stars(p_value: float) -> str:
    """Return the mark of a p-value: ``***`` to 0.001, ``**`` to 0.01, ``*`` to 0.05, ``.`` to 0.1."""
    for limit, mark in _STARS:
        if p_value <= limit:
            return mark
    return ""


def format_coefficients(
    columns: FloatArray, statistics: FloatArray, digits: int = 4
) -> tuple[list[list[str]], list[str]]:
    """Write the columns of a coefficient table: estimates, standard errors and degrees of freedom alike, the statistics apart.

    Parameters
    ----------
    columns : ndarray
        Estimates, standard errors and degrees of freedom, shape (p, k).
    statistics : ndarray
        t statistics, shape (p,).
    digits : int, default 4
        Significant digits of the smallest entry.

    Returns
    -------
    list of list of str, list of str
        The text of each row's cells, and of the statistics.
    """
    sizes = np.abs(columns[np.isfinite(columns) & (columns != 0.0)])
    lowest = 1 + math.floor(math.log10(sizes.min())) if sizes.size else 1
    places = max(1, digits - lowest)
    flat = [float(value) for value in columns.ravel()]
    cells = format_values([_rounded(value, places) for value in flat], digits)
    # What was rounded away is written on its own, so that nothing looks like an exact zero.
    lost = [at for at, value in enumerate(flat) if math.isfinite(value) and value != 0.0 and float(cells[at]) == 0.0]
    for at, text in zip(lost, format_values([flat[at] for at in lost], max(1, digits - 1)), strict=True):
        cells[at] = text
    k = columns.shape[1]
    rows = [cells[at : at + k] for at in range(0, len(cells), k)]
    in_test = max(1, min(5, digits - 1))
    return rows, format_values([_rounded(float(value), in_test) for value in statistics], digits)


def _rounded(value: float, places: int) -> float:
    return round(value, places) if math.isfinite(value) else value


def quantile_summary(values: FloatArray) -> FloatArray:
    """Return minimum, quartiles and maximum (R's type 7). The array is reordered in place: no copy, no full sort."""
    if not values.size:
        return np.full(5, np.nan)
    found: FloatArray = np.quantile(values, (0.0, 0.25, 0.5, 0.75, 1.0), overwrite_input=True)
    return found


def format_quantiles(values: Sequence[float] | FloatArray, digits: int = 4) -> list[str]:
    """Write quantiles with decimals that suit the largest of them: what is next to nothing beside it becomes zero."""
    finite = [abs(float(value)) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    places = digits + 1
    if largest > 0:
        places = max(0, math.floor(digits + 1 - math.log10(largest) + 0.5))
    return format_values([_rounded(float(value), places) for value in values], digits)
