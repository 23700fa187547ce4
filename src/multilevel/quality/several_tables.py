"""Results that are shown as several tables with notes below them: as text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
import textwrap

from multilevel.reporting.tables import Table, escape_latex, escape_markdown

WIDTH = 110


class SeveralTables:
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

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()

    def to_html(self) -> str:
        """Return the tables as HTML with their own style, for light and dark pages."""
        from multilevel.reporting.markup import _STYLE

        title = html.escape(self.title)
        parts = [f'<p class="title">{title}</p>', *(table.to_html() for table in self._tables())]
        items = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        parts += [f"<ul>{items}</ul>"] if items else []
        return (
            f'<section class="multilevel-summary" aria-label="{title}">\n<style>\n{_STYLE}\n</style>\n'
            + "\n".join(parts)
            + "\n</section>"
        )

    def to_markdown(self) -> str:
        """Return the tables as Markdown."""
        parts = [f"**{escape_markdown(self.title)}**", *(table.to_markdown() for table in self._tables())]
        if self.notes:
            parts.append("\n".join(f"- {escape_markdown(note)}" for note in self.notes))
        return "\n\n".join(parts)

    def to_latex(self) -> str:
        """Return the tables as LaTeX; it needs the booktabs package."""
        parts = ["% requires \\usepackage{booktabs}", rf"\noindent\textbf{{{escape_latex(self.title)}}}"]
        parts += [table.to_latex() for table in self._tables()]
        if self.notes:
            items = "\n".join(rf"\item {escape_latex(note)}" for note in self.notes)
            parts.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
        return "\n\n".join(parts)
