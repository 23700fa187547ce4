"""Results that are shown as one table with notes below it: as text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
import math

from multilevel.reporting.tables import Table, escape_latex, escape_markdown

MISSING = ""
"""What stands in a cell whose number does not apply."""


class Shown:
    """What results have in common: a title, a table of cells and notes, in all forms of output."""

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

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()

    def to_html(self) -> str:
        """Return the table as HTML with its own style, for light and dark pages."""
        from multilevel.reporting.markup import _STYLE

        table = self._table()
        items = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        below = f"\n<ul>{items}</ul>" if items else ""
        return (
            f'<section class="multilevel-summary" aria-label="{html.escape(table.caption)}">\n<style>\n{_STYLE}\n</style>\n'
            f"{table.to_html()}{below}\n</section>"
        )

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        parts = [self._table().to_markdown()]
        if self.notes:
            parts.append("\n".join(f"- {escape_markdown(note)}" for note in self.notes))
        return "\n\n".join(parts)

    def to_latex(self) -> str:
        """Return the table as LaTeX; it needs the booktabs package."""
        parts = ["% requires \\usepackage{booktabs}", self._table().to_latex()]
        if self.notes:
            items = "\n".join(rf"\item {escape_latex(note)}" for note in self.notes)
            parts.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
        return "\n\n".join(parts)


def _text_notes(notes: tuple[str, ...]) -> str:
    import textwrap

    return "\n".join(textwrap.fill(note, 110, initial_indent="* ", subsequent_indent="  ") for note in notes)


def decimal_cells(values: list[float], places: int = 3) -> list[str]:
    """Write numbers with so many decimals, blank where there is none; none looks like a negative zero."""
    return [MISSING if math.isnan(value) else f"{round(value, places) + 0.0:.{places}f}" for value in values]
