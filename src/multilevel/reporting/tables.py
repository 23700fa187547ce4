"""A table of cells and its plain text; the other forms are those of every document that holds tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from multilevel.reporting.cells import Across, Cell, cell_text
from multilevel.reporting.forms import Document, Forms

TEXT_WIDTH = 80
"""Columns beyond this width go into a further block of lines, where a table may be split."""


@dataclass(frozen=True, slots=True)
class Table(Forms):
    """A table of cells.

    Attributes
    ----------
    caption : str
        What the table shows; empty where something else says so.
    headers : tuple of str
        The column heads. An empty one belongs to the column before it.
    rows : tuple of tuple of (str, Number or Across)
        The cells.
    labels : int
        How many leading columns name the row.
    left : bool
        Whether plain text puts cells at the left of their column; the other forms put numbers at the right.
    indent : str
        What every line of the plain text begins with.
    groups : tuple of Across
        A line of heads above the heads, from the first column that names no row.
    names : mapping
        The whole names of labels and heads that are shown shortened.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1
    left: bool = False
    indent: str = ""
    groups: tuple[Across, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def to_text(self, *, width: int | None = None) -> str:
        """Return the table as lines of text, without its caption.

        Parameters
        ----------
        width : int, optional
            Split the columns into blocks no wider than this, each with the row labels.
        """
        lines = [self.headers, *(tuple(cell_text(cell) for cell in row) for row in self.rows)]
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

    def _document(self) -> Document:
        return Document(self.caption, (self,))

    def __str__(self) -> str:
        """Return the text."""
        return self.to_text()


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
