"""Results that are shown as several tables with notes below them: as text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import textwrap

from multilevel.reporting.forms import Document, Forms, Notes, Paragraph
from multilevel.reporting.tables import Table

WIDTH = 110


class SeveralTables(Forms):
    """What such results have in common."""

    __slots__ = ()

    @property
    def title(self) -> str:
        """What the result is."""
        raise NotImplementedError

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        raise NotImplementedError

    def _tables(self) -> list[Table]:
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the text."""
        tables = self._tables()
        parts = [self.title]
        for table in tables:
            head = f"{table.caption}\n" if table.caption != self.title else ""
            parts.append(head + table.to_text(width=WIDTH))
        notes = [textwrap.fill(note, WIDTH, initial_indent="* ", subsequent_indent="  ") for note in self.notes]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])

    __repr__ = __str__

    def _document(self) -> Document:
        tables = self._tables()
        title = [] if tables and tables[0].caption == self.title else [Paragraph(self.title, bold=True)]
        return Document(self.title, (*title, *tables, Notes(self.notes)))
