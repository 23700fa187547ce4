"""A table of models as plain text: blocks of models below each other where there are too many for a line."""

from __future__ import annotations

from collections.abc import Sequence

from multilevel.reporting.cells import Across, cell_text
from multilevel.reporting.tables import Table

WIDTH = 120
"""Longest line; a model that needs more has a block of its own."""


def grouped_text(table: Table) -> str:
    """Return a table with heads above its heads as text."""
    blocks = []
    left = list(range(len(table.groups)))
    while left:
        count = len(left)
        while count > 1 and len(_block(table, left[:count]).split("\n", 1)[0]) > WIDTH:
            count -= 1
        blocks.append(_block(table, left[:count]))
        left = left[count:]
    return "\n\n".join(blocks)


def _block(table: Table, chosen: Sequence[int]) -> str:
    span = table.groups[0].columns
    names = [cell_text(group) for group in table.groups]
    heads = table.headers[1 : 1 + span]
    whole = [row for row in table.rows if len(row) == len(table.headers)]
    across = [row for row in table.rows if 1 < len(row) < len(table.headers)] if span > 1 else []
    first = max(len(cell_text(row[0])) for row in table.rows)
    widths = []
    for m in chosen:
        start = 1 + span * m
        own = [max(len(head), *(len(cell_text(row[start + c])) for row in whole), 0) for c, head in enumerate(heads)]
        spare = max(len(names[m]), *(len(cell_text(row[1 + m])) for row in across), 0)
        own[-1] += max(0, spare - sum(own) - span + 1)
        widths.append(own)
    room = [sum(own) + span - 1 for own in widths]
    line = "─" * (first + sum(room) + 3 * len(room))
    blank = " " * first
    lines = [
        line,
        blank + "".join("   " + names[m].center(w) for m, w in zip(chosen, room, strict=True)),
        blank + "".join("   " + " ".join(h.rjust(w) for h, w in zip(heads, own, strict=True)) for own in widths),
        line,
    ]
    headings = 0
    for row in table.rows:
        label = cell_text(row[0])
        if isinstance(row[0], Across):
            lines += [line, label] if not headings else [label]
            headings += 1
            continue
        text = label.ljust(first)
        for m, own, w in zip(chosen, widths, room, strict=True):
            if isinstance(row[1], Across):
                text += "   " + cell_text(row[1 + m]).center(w)
            else:
                cells = row[1 + span * m : 1 + span * (m + 1)]
                text += "   " + " ".join(cell_text(cell).rjust(v) for cell, v in zip(cells, own, strict=True))
        lines.append(text)
    return "\n".join(text.rstrip() for text in [*lines, line])
