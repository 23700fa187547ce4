"""What every result that is a table can do: be shown as text, HTML, Markdown and LaTeX, and become a data frame."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked_methods
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Forms, Notes, Paragraph
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

LINE_WIDTH = 110
"""Where a table is split into blocks of columns and a note into lines."""

_HEAD, _TAIL = 20, 5
"""How many rows of a long table are shown at its ends."""


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class FrameTable(Forms):
    """A table with a title and notes: what the functions that describe data return.

    Attributes
    ----------
    title : str
        What the table shows.
    notes : tuple of str
        What a reader should know: values that are missing, columns that were left out.
    """

    title: str
    notes: tuple[str, ...]
    _frame: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers at full precision."""
        return self._frame.copy()

    def _tables(self) -> list[Table]:
        """Return the tables shown, each with its caption; a class that shows the whole frame need not say how."""
        return [frame_table(self._frame, self.title)]

    def to_text(self, *, width: int = LINE_WIDTH) -> str:
        """Return the title, the tables and the notes as lines of text.

        Parameters
        ----------
        width : int, default 110
            Columns that do not fit go into further blocks of lines.
        """
        parts = [self.title]
        for table in self._tables():
            above = "" if table.caption == self.title else f"{table.caption}:\n"
            parts.append(above + table.to_text(width=width))
        notes = [textwrap.fill(note, width, break_long_words=False, break_on_hyphens=False) for note in self.notes]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])

    def __str__(self) -> str:
        """Return the text."""
        return self.to_text()

    __repr__ = __str__

    def _document(self) -> Document:
        tables = self._tables()
        title = [] if tables and tables[0].caption == self.title else [Paragraph(self.title, bold=True)]
        return Document(self.title, (*title, *tables, Notes(self.notes)))


def frame_table(frame: pd.DataFrame, caption: str, *, labels: int = 1, decimals: int = 2) -> Table:
    """Lay out a frame: numbers with decimals that suit each column, whole numbers without, text as it is.

    Parameters
    ----------
    frame : pandas.DataFrame
        What is shown; its index is not.
    caption : str
        The caption.
    labels : int, default 1
        How many leading columns name the row.
    decimals : int, default 2
        The least number of decimals.
    """
    shown, gap = _ends(len(frame))
    columns = []
    for position, name in enumerate(frame.columns):
        series = frame.iloc[shown, position]
        cells = p_cells(series.tolist()) if name == "p_value" else cells_of(series.tolist(), decimals)
        if gap:
            cells.insert(_HEAD, f"… {gap} more" if position == 0 else "…")
        columns.append(cells)
    heads = tuple(str(name) for name in frame.columns)
    return Table(caption, heads, tuple(zip(*columns, strict=True)), labels=labels)


def _ends(n_rows: int) -> tuple[list[int], int]:
    """Return the rows of a table that are shown, and how many are not."""
    if n_rows <= _HEAD + _TAIL + 1:
        return list(range(n_rows)), 0
    return [*range(_HEAD), *range(n_rows - _TAIL, n_rows)], n_rows - _HEAD - _TAIL


def cells_of(values: Sequence[Any], decimals: int = 2) -> list[str | Number]:
    """Write the values of one column."""
    if all(isinstance(value, bool | np.bool_) for value in values):
        return ["yes" if value else "no" for value in values]
    if not all(isinstance(value, int | float | np.integer | np.floating) for value in values):
        from multilevel.data.levels import level_text

        return ["" if value is None else level_text(value) for value in values]
    numbers = [float(value) for value in values]
    finite = [value for value in numbers if math.isfinite(value)]
    if all(value == round(value) and abs(value) < 1e15 for value in finite) and finite:
        return [*fixed(numbers, 0)]
    return fixed_cells(numbers, places_for(finite, decimals))


def places_for(values: Iterable[float], decimals: int = 2) -> int:
    """Return how many decimals show at least two digits of the largest number, and never fewer than asked for."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return max(decimals, min(12, decimals - 1 - math.floor(math.log10(largest)))) if largest > 0 else decimals


def fixed(values: Iterable[float], places: int) -> list[str]:
    """Write numbers with so many decimals; what is missing is blank."""
    texts = []
    for value in values:
        if math.isnan(value):
            texts.append("")
        elif math.isinf(value):
            texts.append("Inf" if value > 0 else "-Inf")
        else:
            rounded = round(float(value), places) + 0.0
            texts.append(f"{rounded:.{places}f}")
    return texts


def fixed_cells(values: Sequence[float], places: int) -> list[str | Number]:
    """Write numbers as cells of a table, with so many decimals unless others are asked for."""
    return number_cells(values, fixed(values, places))


def p_cells(values: Sequence[float]) -> list[str | Number]:
    """Write p-values; those that are missing are blank."""
    from multilevel.reporting.numbers import format_p_values

    known = [value for value in values if not math.isnan(value)]
    texts = iter(text.strip() for text in format_p_values(known, 3))
    return number_cells(values, ["" if math.isnan(value) else next(texts) for value in values], "p")
