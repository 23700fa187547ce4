"""Tables of parameters with their standard errors and intervals as cells of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import VcovName
from multilevel.reporting.cells import Number, interval_cells, number_cells
from multilevel.reporting.numbers import format_p_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

SIGNIFICANT = 2
"""Significant digits of the smallest standard error shown."""

FEWEST, MOST = 2, 6
"""Bounds of the number of decimals."""

DDF_NOTES = {
    "residual": "t distribution with residual degrees of freedom",
    "satterthwaite": "t distribution with Satterthwaite's degrees of freedom",
    "kenward-roger": "t distribution with Kenward and Roger's standard errors and degrees of freedom",
    "asymptotic": "normal distribution",
}


def interval_note(ddf: str, vcov: VcovName = "model") -> str:
    """Say where the intervals of fixed effects come from."""
    if vcov != "model":
        return f"Intervals: cluster-robust standard errors ({vcov}) with Satterthwaite's degrees of freedom."
    return f"Intervals: {DDF_NOTES[ddf]}."


def coefficient_table(
    frame: pd.DataFrame, level: float, caption: str, estimate: str = "Estimate", *, tests: bool = False
) -> Table:
    """Lay out estimates, standard errors and intervals, and the tests where asked.

    Parameters
    ----------
    frame
        ``estimate``, ``std_error``, ``conf_low``, ``conf_high``; for the tests also ``df``, ``statistic``, ``p_value``; and
        ``part`` where it has that column.
    level
        Confidence level, for the head of the intervals.
    caption
        What the table shows.
    estimate
        The head of the estimates.
    tests
        Whether t, degrees of freedom and p-values are shown.
    """
    numbers = frame[["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(dtype=np.float64)
    places = shared_places(numbers)
    estimates, errors, lows, highs = ([_number(value, places) for value in column] for column in numbers.T)
    columns: list[list[str | Number]] = [
        number_cells(numbers[:, 0], estimates),
        number_cells(numbers[:, 1], errors),
        interval_cells(numbers[:, 2], numbers[:, 3], _intervals(lows, highs)),
    ]
    heads = ["", estimate, "Std. Error", f"{100 * level:g}% CI"]
    if tests:
        statistics = [f"{round(value, 2) + 0.0:.2f}" if not math.isnan(value) else "" for value in frame["statistic"]]
        columns.append(number_cells(frame["statistic"], statistics))
        columns.append([*_degrees(frame["df"].to_numpy(dtype=np.float64))])
        p_values = frame["p_value"].to_numpy(dtype=np.float64)
        texts = [text if text != "NaN" else "" for text in format_p_values(p_values)]
        columns.append(number_cells(p_values, texts, "p"))
        heads += ["t", "df", "p"]
    if "part" in frame:
        columns.append([str(part) for part in frame["part"]])
        heads.append("Part")
    rows = tuple((str(label), *cells) for label, cells in zip(frame.index, zip(*columns, strict=True), strict=True))
    return Table(caption, tuple(heads), rows)


def shared_places(numbers: FloatArray) -> int:
    """Return the decimals with which the smallest standard error, in the second column, shows two significant digits."""
    errors = numbers[:, 1]
    positive = errors[np.isfinite(errors) & (errors > 0.0)]
    if not positive.size:
        return 3
    return int(np.clip(SIGNIFICANT - 1 - math.floor(math.log10(float(positive.min()))), FEWEST, MOST))


def _number(value: float, places: int) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    size = abs(value)
    if (size >= 1e-12 and round(size, places) == 0.0) or size >= 1e9:
        return f"{value:.1e}"
    return f"{round(value, places) + 0.0:.{places}f}"


def _intervals(lows: list[str], highs: list[str]) -> list[str]:
    widths = [max(map(len, texts), default=0) for texts in (lows, highs)]
    return [
        f"[{low.rjust(widths[0])}, {high.rjust(widths[1])}]" if low and high else ""
        for low, high in zip(lows, highs, strict=True)
    ]


def _degrees(values: FloatArray) -> list[str]:
    finite = values[np.isfinite(values)]
    whole = bool((np.abs(finite - np.round(finite)) < 1e-9).all())
    return [
        "" if math.isnan(value) else "Inf" if math.isinf(value) else f"{value:.0f}" if whole else f"{value:.1f}"
        for value in map(float, values)
    ]
