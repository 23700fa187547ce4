"""Labels, decimals and styles of p-values that a reader asks for, put onto tables that are laid out already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, get_args

from multilevel.arguments import PStyle
from multilevel.errors import ControlError
from multilevel.reporting.cells import Across, Cell, Number, cell_text
from multilevel.reporting.forms import Document, Fact, Legend
from multilevel.reporting.numbers import stars
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    from multilevel.reporting.forms import Block

P_STYLES: tuple[str, ...] = get_args(PStyle)

STARS_NOTE = "* p < 0.05, ** p < 0.01, *** p < 0.001"
"""What the stars of the styles of p-values mean."""

MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class TableStyle:
    """How a reader wants tables written; what is None stays as it is.

    Attributes
    ----------
    digits : int or None
        Decimals of estimates and what goes with them.
    labels : mapping
        Other names, by those in the table.
    p_style : str or None
        How p-values are written.
    """

    digits: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    p_style: PStyle | None = None

    def __post_init__(self) -> None:
        """Refuse what is no choice."""
        if self.p_style is not None and self.p_style not in P_STYLES:
            raise ControlError(f"p_style must be one of {', '.join(map(repr, P_STYLES))}, not {self.p_style!r}.")
        digits = self.digits
        if digits is not None and (
            isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= MOST_DIGITS
        ):
            raise ControlError(f"digits must be a whole number from 0 to {MOST_DIGITS}, not {digits!r}.")

    @property
    def starred(self) -> bool:
        """Whether p-values have stars."""
        return self.p_style is not None and "stars" in self.p_style


def decimal_text(value: float, digits: int) -> str:
    """Write a number with so many decimals; what is missing is blank, and no zero has a sign."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{round(value, digits) + 0.0:.{digits}f}"


def star_marks(p_value: float) -> str:
    """Return one to three stars for a p-value below 0.05, 0.01 and 0.001."""
    return stars(p_value).replace(".", "")


def p_value_text(value: float, style: PStyle) -> str:
    """Write a p-value in a style."""
    if math.isnan(value):
        return ""
    if style == "stars":
        return star_marks(value)
    if style.startswith("scientific"):
        text = f"{value:.2e}"
    elif style == "apa":
        text = "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)
    else:
        text = "<0.001" if value < 0.001 else f"{value:.3f}"
    return f"{text} {star_marks(value)}".rstrip() if style.endswith("stars") else text


def restyled(document: Document, style: TableStyle) -> Document:
    """Return a document with other labels, decimals and p-values.

    Raises
    ------
    ControlError
        A label names nothing that there is.
    """
    if style.labels:
        _check_labels(document, style.labels)
    blocks: list[Block] = []
    starred_at = -1
    for block in document.blocks:
        if isinstance(block, Fact):
            blocks.append(replace(block, name=style.labels.get(block.name, block.name)))
        elif isinstance(block, Table):
            blocks.append(_table(block, style))
            if _has_p_values(block):
                starred_at = len(blocks)
        elif not (isinstance(block, Legend) and style.p_style is not None):
            blocks.append(block)
    if style.starred and starred_at > 0:
        blocks.insert(starred_at, Legend(STARS_NOTE))
    return Document(style.labels.get(document.title, document.title), tuple(blocks))


def _check_labels(document: Document, labels: Mapping[str, str]) -> None:
    known: dict[str, None] = {}
    for block in document.blocks:
        if isinstance(block, Fact):
            known[block.name] = None
        elif isinstance(block, Table):
            texts = [block.caption, *block.headers, *map(cell_text, block.groups)]
            for row in block.rows:
                texts += [cell_text(cell) for cell in row[: block.labels]]
            known |= {block.names.get(text, text).strip(): None for text in texts if text.strip()}
    for name in labels:
        if name not in known:
            raise ControlError(f"labels names {name!r}, which is not in the table; it has {', '.join(known)}.")


def _has_p_values(table: Table) -> bool:
    inner = (cell.cell if isinstance(cell, Across) else cell for row in table.rows for cell in row)
    return any(isinstance(cell, Number) and (cell.kind == "p" or not math.isnan(cell.p_value)) for cell in inner)


def _table(table: Table, style: TableStyle) -> Table:
    def label(text: str) -> str:
        return style.labels.get(table.names.get(text, text).strip(), text)

    kept = list(range(len(table.headers)))
    if style.p_style is not None:  # marks of p-values have no column of their own then
        lines = table.rows
        kept = [c for c in kept if not any(_is_mark(row[c]) for row in lines if len(row) == len(kept))]
    rows = []
    for row in table.rows:
        cells = row if any(isinstance(cell, Across) for cell in row) else tuple(row[c] for c in kept)
        rows.append(tuple(_cell(cell, style, label if c < table.labels else None) for c, cell in enumerate(cells)))
    return replace(
        table,
        caption=label(table.caption),
        headers=tuple(label(table.headers[c]) for c in kept),
        rows=tuple(rows),
        groups=tuple(replace(group, cell=label(cell_text(group))) for group in table.groups),
    )


def _is_mark(cell: Cell) -> bool:
    return isinstance(cell, Number) and cell.kind == "stars"


def _cell(cell: Cell, style: TableStyle, label: Callable[[str], str] | None) -> Cell:
    if isinstance(cell, Across):
        return replace(cell, cell=_plain_cell(cell.cell, style, label))
    return _plain_cell(cell, style, label)


def _plain_cell(cell: str | Number, style: TableStyle, label: Callable[[str], str] | None) -> str | Number:
    if isinstance(cell, str):
        return cell if label is None else label(cell)
    if cell.kind == "p":
        return cell if style.p_style is None else replace(cell, text=p_value_text(cell.values[0], style.p_style))
    if cell.kind == "stars" or (style.digits is None and not style.starred):
        return cell
    text = cell.text
    if style.digits is not None:
        texts = [decimal_text(value, style.digits) for value in cell.values]
        text = cell.pattern.format(*texts) if all(texts) else ""
    if style.starred and text and not math.isnan(cell.p_value):
        text += star_marks(cell.p_value)
    return replace(cell, text=text)
