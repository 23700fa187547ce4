"""Marginal means and contrasts as text and as a document."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.data.levels import level_text
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Notes, Paragraph
from multilevel.reporting.numbers import format_p_values, format_values
from multilevel.reporting.tables import TEXT_WIDTH, Table

if TYPE_CHECKING:
    from multilevel.inference.marginal_means import MarginalMeans

FloatArray = npt.NDArray[np.float64]

ERROR_DIGITS = 3
"""Significant digits that the smallest standard error shows."""


def means_tables(means: MarginalMeans) -> list[Table]:
    """Return a table for each group; its caption says which."""
    numbers = means.numbers
    estimates = _alike([numbers.estimate, numbers.std_error, numbers.conf_low, numbers.conf_high], numbers.std_error)
    cells: list[list[str | Number]] = [
        number_cells(numbers.estimate, estimates[0]), number_cells(numbers.std_error, estimates[1]), [*_degrees(numbers.df)],
    ]  # fmt: skip
    head = "Ratio" if means._ratios else "Response" if means._back and means._scale is not None else "Estimate"
    heads = [head, "Std. Error", "df"]
    if means.tests:
        letter = "z" if np.isinf(numbers.df).any() else "t"
        p_values = [float(p) for p in numbers.p_value]
        cells.append(number_cells(numbers.statistic, _fixed(numbers.statistic, 3)))
        cells.append(number_cells(p_values, format_p_values(p_values, 3), "p"))
        heads += [f"{letter} value", f"Pr(>|{letter}|)"]
    else:
        percent = f"{100 * means.level:g}%"
        cells += [number_cells(numbers.conf_low, estimates[2]), number_cells(numbers.conf_high, estimates[3])]
        heads += [f"{percent} low", f"{percent} high"]
    shown = [(name, values) for name, values in means.labels if name not in means.by]
    texts = [[level_text(value) for value in values] for _, values in shown]
    tables = []
    for key, rows in means._groups:
        caption = ", ".join(f"{name} = {level_text(value)}" for name, value in zip(means.by, key, strict=True))
        body = tuple((*(text[row] for text in texts), *(column[row] for column in cells)) for row in rows)
        tables.append(Table(caption or means.title, (*(name for name, _ in shown), *heads), body, labels=len(shown)))
    return tables


def means_text(means: MarginalMeans) -> str:
    """Return the title, the tables and the notes as lines of text."""
    parts = [means.title]
    for table in means_tables(means):
        parts.append(f"{table.caption}:\n{table.to_text()}" if means.by else table.to_text())
    notes = [
        textwrap.fill(note, TEXT_WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
        for note in means.notes
    ]
    return "\n\n".join([*parts, "\n".join(notes)])


def means_document(means: MarginalMeans) -> Document:
    """Return the title, the tables and the notes as what HTML, Markdown and LaTeX are made of."""
    title = [Paragraph(means.title, bold=True)] if means.by else []
    return Document(means.title, (*title, *means_tables(means), Notes(means.notes)))


def _alike(columns: Sequence[FloatArray], errors: FloatArray) -> list[list[str]]:
    """Write columns with as many decimals as the smallest standard error needs."""
    sizes = errors[np.isfinite(errors) & (errors > 0.0)]
    places = max(0, ERROR_DIGITS - 1 - math.floor(math.log10(sizes.min()))) if sizes.size else ERROR_DIGITS
    if places > 8:
        return [format_values(column, ERROR_DIGITS + 1) for column in columns]
    return [_fixed(column, places) for column in columns]


def _degrees(df: FloatArray) -> list[str]:
    finite = df[np.isfinite(df)]
    return _fixed(df, 0 if np.abs(finite - np.round(finite)).max(initial=0.0) < 5e-3 else 1)


def _fixed(values: FloatArray, places: int) -> list[str]:
    texts = []
    for value in values:
        rounded = round(float(value), places) + 0.0 if math.isfinite(value) else float(value)
        texts.append(
            f"{rounded:.{places}f}"
            if math.isfinite(rounded)
            else "NaN"
            if math.isnan(rounded)
            else "Inf"
            if rounded > 0
            else "-Inf"
        )
    return texts
