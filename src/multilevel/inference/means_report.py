"""Marginal means and contrasts as text, HTML and Markdown."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.data.levels import level_text
from multilevel.reporting.markup import _STYLE
from multilevel.reporting.numbers import format_p_values, format_values
from multilevel.reporting.tables import TEXT_WIDTH, Table, escape_markdown

if TYPE_CHECKING:
    from multilevel.inference.marginal_means import MarginalMeans

FloatArray = npt.NDArray[np.float64]

ERROR_DIGITS = 3
"""Significant digits that the smallest standard error shows."""


def means_tables(means: MarginalMeans) -> list[Table]:
    """Return a table for each group; its caption says which."""
    numbers = means.numbers
    estimates = _alike([numbers.estimate, numbers.std_error, numbers.conf_low, numbers.conf_high], numbers.std_error)
    cells = [estimates[0], estimates[1], _degrees(numbers.df)]
    head = "Ratio" if means._ratios else "Response" if means._back and means._scale is not None else "Estimate"
    heads = [head, "Std. Error", "df"]
    if means.tests:
        letter = "z" if np.isinf(numbers.df).any() else "t"
        cells += [_fixed(numbers.statistic, 3), format_p_values([float(p) for p in numbers.p_value], 3)]
        heads += [f"{letter} value", f"Pr(>|{letter}|)"]
    else:
        percent = f"{100 * means.level:g}%"
        cells += [estimates[2], estimates[3]]
        heads += [f"{percent} low", f"{percent} high"]
    shown = [(name, values) for name, values in means.labels if name not in means.by]
    texts = [[level_text(value) for value in values] for _, values in shown]
    tables = []
    for key, rows in means._groups:
        caption = ", ".join(f"{name} = {level_text(value)}" for name, value in zip(means.by, key, strict=True))
        body = tuple(tuple(column[row] for column in [*texts, *cells]) for row in rows)
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


def means_html(means: MarginalMeans) -> str:
    """Return the title, the tables and the notes as HTML with its style."""
    title = [f'<p class="title">{html.escape(means.title)}</p>'] if means.by else []
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in means.notes)
    parts = [*title, *(table.to_html() for table in means_tables(means)), f"<ul>{notes}</ul>"]
    return (
        f'<section class="multilevel-summary" aria-label="{html.escape(means.title)}">\n<style>\n{_STYLE}\n</style>\n'
        + "\n".join(parts)
        + "\n</section>"
    )


def means_markdown(means: MarginalMeans) -> str:
    """Return the title, the tables and the notes as Markdown."""
    title = [f"**{escape_markdown(means.title)}**"] if means.by else []
    notes = "\n".join(f"- {escape_markdown(note)}" for note in means.notes)
    return "\n\n".join([*title, *(table.to_markdown() for table in means_tables(means)), notes])


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
