"""A table of text cells, and its forms: plain text, HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

TEXT_WIDTH = 80
"""Columns beyond this width go into a further block of lines, where a table may be split."""

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "σ": r"$\sigma$",
}  # fmt: skip
_STARS = frozenset({"***", "**", "*", "."})
_MARKDOWN = {mark: f"\\{mark}" for mark in "\\|*_`<>[]"}


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def escape_markdown(text: str) -> str:
    """Write text so that Markdown shows it as it is."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in text)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells that are already text.

    Attributes
    ----------
    caption : str
        What the table shows.
    headers : tuple of str
        The column heads. An empty one belongs to the column before it.
    rows : tuple of tuple of str
        The cells.
    labels : int
        How many leading columns name the row.
    left : bool
        Whether plain text puts cells at the left of their column; the other forms put numbers at the right.
    indent : str
        What every line of the plain text begins with.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    left: bool = False
    indent: str = ""

    def to_text(self, *, width: int | None = None) -> str:
        """Return the table as lines of text, without its caption.

        Parameters
        ----------
        width : int, optional
            Split the columns into blocks no wider than this, each with the row labels.
        """
        lines = [self.headers, *self.rows]
        widths = [max(len(line[c]) for line in lines) for c in range(len(self.headers))]
        blocks = [list(range(self.labels, len(self.headers)))]
        if width is not None:
            blocks = _blocks(widths, self.labels, width)
        found = []
        for block in blocks:
            for line in lines:
                cells = [line[c].ljust(widths[c]) for c in range(self.labels)]
                cells += [line[c].ljust(widths[c]) if self.left else line[c].rjust(widths[c]) for c in block]
                found.append((self.indent + " ".join(cells)).rstrip())
        return "\n".join(found)

    def to_html(self) -> str:
        """Return a ``<table>`` with its caption, heads with their scope and numbers at the right."""
        heads = []
        for c, head in enumerate(self.headers):
            if c and not head and c >= self.labels:
                continue
            span = 1
            while c >= self.labels and c + span < len(self.headers) and not self.headers[c + span]:
                span += 1
            scope = f'scope="colgroup" colspan="{span}"' if span > 1 else 'scope="col"'
            name = ' class="name"' if c < self.labels else ""
            text = html.escape(head.strip())
            heads.append(f"<th {scope}{name}>{text}</th>" if text else f"<td{name}></td>")
        body = []
        for row in self.rows:
            cells = []
            for c, cell in enumerate(row):
                text = html.escape(cell.strip())
                if c < self.labels and text:
                    cells.append(f'<th scope="row" class="name">{text}</th>')
                else:
                    cells.append(f'<td class="stars">{text}</td>' if text in _STARS else f"<td>{text}</td>")
            body.append(f"<tr>{''.join(cells)}</tr>")
        return (
            f"<table>\n<caption>{html.escape(self.caption)}</caption>\n<thead><tr>{''.join(heads)}</tr></thead>\n"
            f"<tbody>\n{chr(10).join(body)}\n</tbody>\n</table>"
        )

    def to_markdown(self) -> str:
        """Return a pipe table under its caption in bold."""
        marks = [":---" if c < self.labels else "---:" for c in range(len(self.headers))]
        lines = [[escape_markdown(cell.strip()) for cell in line] for line in (self.headers, *self.rows)]
        lines.insert(1, marks)
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{escape_markdown(self.caption)}**\n\n{text}"

    def to_latex(self) -> str:
        """Return a ``table`` environment with rules from the booktabs package."""
        columns = "l" * self.labels + "r" * (len(self.headers) - self.labels)
        lines = [
            " & ".join(escape_latex(cell.strip()) for cell in line) + r" \\" for line in (self.headers, *self.rows)
        ]
        return "\n".join(
            [
                r"\begin{table}[htbp]", r"\centering", rf"\caption{{{escape_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule",
                r"\end{tabular}", r"\end{table}",
            ]
        )  # fmt: skip

    def __str__(self) -> str:
        """Return the text."""
        return self.to_text()

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()


def _blocks(widths: Sequence[int], labels: int, width: int) -> list[list[int]]:
    """Share columns out to blocks of lines that are no wider than asked, at least one column in each."""
    start = sum(widths[:labels]) + labels - 1
    blocks: list[list[int]] = [[]]
    used = start
    for c in range(labels, len(widths)):
        if blocks[-1] and used + 1 + widths[c] > width:
            blocks.append([])
            used = start
        blocks[-1].append(c)
        used += 1 + widths[c]
    return blocks
