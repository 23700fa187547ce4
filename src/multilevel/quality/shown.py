"""Results that are shown as one table with notes below it: as text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import math
import textwrap

from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Forms, Notes
from multilevel.reporting.tables import Table

MISSING = ""
"""What stands in a cell whose number does not apply."""


class Shown(Forms):
    """What results have in common that are one table with notes below it."""

    __slots__ = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        raise NotImplementedError

    def _table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the text."""
        table = self._table()
        return "\n\n".join(
            [table.caption, table.to_text(width=120), *([_text_notes(self.notes)] if self.notes else [])]
        )

    __repr__ = __str__

    def _document(self) -> Document:
        table = self._table()
        return Document(table.caption, (table, Notes(self.notes)))


def _text_notes(notes: tuple[str, ...]) -> str:
    return "\n".join(textwrap.fill(note, 110, initial_indent="* ", subsequent_indent="  ") for note in notes)


def decimal_cells(values: list[float], places: int = 3) -> list[str | Number]:
    """Write numbers with so many decimals, blank where there is none; none looks like a negative zero."""
    texts = [MISSING if math.isnan(value) else f"{round(value, places) + 0.0:.{places}f}" for value in values]
    return number_cells(values, texts)
