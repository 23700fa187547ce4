"""The cells of a table: text, numbers that remember their values, and cells that reach across columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "p", "stars"]


@dataclass(frozen=True, slots=True)
class Number:
    """One number or several in a cell, written out already, with what it takes to write them in another way.

    Attributes
    ----------
    text : str
        The cell as it is written unless something else is asked for.
    values : tuple of float
        The numbers.
    kind : {"number", "p", "stars"}
        Whether decimals apply to it (estimates), or the style of p-values, or whether it is the mark of a p-value.
    pattern : str
        How several numbers stand in the cell, ``"[{}, {}]"`` for an interval.
    p_value : float
        The p-value whose stars may stand behind the number; NaN where there is none.
    """

    text: str
    values: tuple[float, ...]
    kind: Kind = "number"
    pattern: str = "{}"
    p_value: float = math.nan


@dataclass(frozen=True, slots=True)
class Across:
    """A cell that reaches across several columns.

    Attributes
    ----------
    cell : str or Number
        What stands in it.
    columns : int
        How many columns it takes.
    heading : bool
        Whether it is the heading of the rows below it.
    """

    cell: str | Number
    columns: int
    heading: bool = False


Cell = str | Number | Across


def cell_text(cell: Cell) -> str:
    """Return the text of a cell."""
    if isinstance(cell, Across):
        return cell_text(cell.cell)
    return cell.text if isinstance(cell, Number) else cell


def number_cells(values: Iterable[float], texts: Sequence[str], kind: Kind = "number") -> list[str | Number]:
    """Join numbers to their texts; a blank stays a blank, whatever the number."""
    return [
        Number(text, (float(value),), kind) if text.strip() else text for value, text in zip(values, texts, strict=True)
    ]


def interval_cells(lows: Iterable[float], highs: Iterable[float], texts: Sequence[str]) -> list[str | Number]:
    """Join the limits of intervals to their texts, ``[low, high]``."""
    return [
        Number(text, (float(low), float(high)), pattern="[{}, {}]") if text.strip() else text
        for low, high, text in zip(lows, highs, texts, strict=True)
    ]
