"""What a check returns, and how it is shown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked_methods
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Forms, Paragraph
from multilevel.reporting.numbers import format_p_values, format_values
from multilevel.reporting.tables import TEXT_WIDTH, Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.reporting.forms import Block

VERDICTS: Mapping[bool | None, str] = {True: "OK", False: "Warning", None: "Not checked"}

SHOWN = 12
"""Rows of a check's table that are printed."""


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Check(Forms):
    """A check of a fit.

    Attributes
    ----------
    name : str
        What was checked, for example ``"collinearity"``.
    ok : bool or None
        True: nothing to object to. False: something to look at. None: the check does not apply, for the reason that the conclusion
        gives. A check is true in a condition where nothing speaks against the fit, so also where it does not apply.
    conclusion : str
        What was found, in plain sentences.
    numbers : mapping
        The numbers behind the conclusion, by name.
    table : pandas.DataFrame
        The numbers row by row (terms, predictors, tests, …); it may be empty.
    data : pandas.DataFrame
        What a plot of the check shows; it may be empty.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> check = ml.check_singularity(fit)
    >>> check.ok, bool(check)
    (True, True)
    >>> print(check)
    Singularity: OK
    No variance of the random effects is estimated as zero, and no correlation as
    ±1.
    <BLANKLINE>
    component relative sd share
    Subject 1       0.967 0.946
    Subject 2       0.231 0.054
    """

    name: str
    ok: bool | None
    conclusion: str
    numbers: Mapping[str, float]
    table: pd.DataFrame
    data: pd.DataFrame

    @property
    def verdict(self) -> str:
        """``"OK"``, ``"Warning"`` or ``"Not checked"``."""
        return VERDICTS[self.ok]

    def __bool__(self) -> bool:
        """Return whether nothing speaks against the fit."""
        return self.ok is not False

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def title(self) -> str:
        """The name with a capital."""
        return self.name[0].upper() + self.name[1:]

    def _table(self) -> Table | None:
        if self.table.empty:
            return None
        frame = self.table.head(SHOWN)
        columns = [_cells(frame[name], str(name)) for name in frame.columns]
        heads = [str(name).replace("_", " ") for name in frame.columns]
        if frame.index.name is None:  # the leading columns of text name the rows
            labels = next((c for c, name in enumerate(frame) if frame[name].dtype.kind in "iufb"), len(columns))
        else:
            labels = 1
            columns.insert(0, [str(label) for label in frame.index])
            heads.insert(0, str(frame.index.name))
        rows = tuple(zip(*columns, strict=True))
        caption = self.title
        if len(self.table) > SHOWN:
            caption += f" (the first {SHOWN} of {len(self.table)} rows)"
        return Table(caption, tuple(heads), rows, labels=labels)

    def __str__(self) -> str:
        """Return verdict, conclusion and table as text."""
        table = self._table()
        lines = [f"{self.title}: {self.verdict}", wrapped(self.conclusion)]
        if table is not None:
            lines += ["", table.to_text(width=100)]
            if len(self.table) > SHOWN:
                lines.append(f"… {len(self.table) - SHOWN} more rows")
        return "\n".join(lines)

    __repr__ = __str__

    def _document(self) -> Document:
        return Document(self.title, self.blocks())

    def blocks(self) -> tuple[Block, ...]:
        """Return verdict, conclusion and table as parts of a document."""
        table = self._table()
        head = (Paragraph(f"{self.title}: {self.verdict}", bold=True), Paragraph(self.conclusion))
        return head if table is None else (*head, table)


def not_checked(name: str, reason: str) -> Check:
    """Return a check that does not apply."""
    import pandas as pd

    return Check(name, None, reason, {}, pd.DataFrame(), pd.DataFrame())


def wrapped(text: str) -> str:
    """Break text into lines."""
    return textwrap.fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)


def number(value: float, digits: int = 3) -> str:
    """Write a number in a sentence."""
    if not math.isfinite(value):
        return "infinite" if value > 0 else "not defined"
    plain = 1e-4 <= abs(value) < 1e6 or value == 0.0
    text = f"{value:.{digits}g}" if plain else f"{value:.{digits - 1}e}"
    return "−" + text[1:] if text.startswith("-") else text


def p_text(value: float) -> str:
    """Write a p-value in a sentence."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def listed(names: list[str], limit: int = 5) -> str:
    """Write names in a sentence, at most so many of them."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _cells(values: Any, name: str) -> list[str | Number]:
    """Write a column; p-values and numbers that are no counts follow the style that is asked for."""
    texts = _texts(values, name)
    if values.dtype.kind != "f" or name.startswith("df"):
        return [*texts]
    return number_cells(values, texts, "p" if name.startswith("p_value") else "number")


def _texts(values: Any, name: str) -> list[str]:
    if values.dtype.kind == "b":
        return ["yes" if value else "no" for value in values]
    if values.dtype.kind not in "if":
        return [str(value) for value in values]
    numbers = values.to_numpy(dtype=np.float64)
    known = np.isfinite(numbers)
    if name.startswith("p_value"):
        texts = iter(format_p_values(numbers[known], 3))
    elif name.startswith("df"):
        texts = iter([f"{value:.4g}" for value in numbers[known]])
    elif values.dtype.kind == "i":
        texts = iter([str(int(value)) for value in numbers])
    else:
        texts = iter(_significant(numbers[known]))
    return [
        next(texts) if here else ("" if math.isnan(value) else "Inf")
        for here, value in zip(known, numbers, strict=True)
    ]


def _significant(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    """Write numbers with as many decimals as three digits of the median size take."""
    sizes = np.abs(values[values != 0.0])
    if not sizes.size or sizes.max() >= 1e6 or sizes.max() < 1e-4:
        return format_values(values, 3)
    places = int(np.clip(2 - math.floor(math.log10(float(np.median(sizes)))), 0, 5))
    # The small ones beside large ones get two decimals at the least.
    places = max(places, int(np.clip(1 - math.floor(math.log10(float(sizes.min()))), 0, 2)))
    return [f"{round(value, places) + 0.0:.{places}f}" for value in values]
