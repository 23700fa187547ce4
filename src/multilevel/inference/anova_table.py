"""The tables that `anova`, `ranova` and `drop1` return, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked_methods
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Fact, Forms, Legend, Paragraph
from multilevel.reporting.numbers import STARS_LEGEND, format_number, format_p_values, format_values, stars
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 5
"""Significant digits of all columns but the p-values."""

_TESTS = frozenset({"F value", "Chisq"})
_SMALLEST = float(np.finfo(np.float64).eps)


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class AnovaTable(Forms):
    """A table of tests: what `anova`, `ranova` and `drop1` return.

    Attributes
    ----------
    title : str
        What the table shows, and by which method.
    models : mapping
        The formulas of the models compared, by their labels in the table; or the one model under ``"Model"``.
    note : str
        What a reader of the numbers should know, such as that fits were made anew by maximum likelihood; often empty.
    heads : mapping
        The column heads of the printed table, by the names in the data frame.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> table = ml.anova(fit)
    >>> print(table)
    Type III analysis of variance with Satterthwaite's method
    <BLANKLINE>
    Model: Reaction ~ Days + (Days | Subject)
    <BLANKLINE>
         Sum Sq Mean Sq NumDF DenDF F value    Pr(>F)
    Days  30031   30031     1    17  45.853 3.264e-06 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    >>> table.to_frame().round(3)
           sum_sq    mean_sq  df_numerator  df_denominator  statistic  p_value
    Days  30031.0...  30031.0...             1            17.0     45.853      0.0
    """

    title: str
    models: Mapping[str, str]
    note: str
    heads: Mapping[str, str]
    _frame: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers at full precision; what does not apply to a row is NaN."""
        return self._frame.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return title, models, note and rows in dicts and lists that JSON takes, None for what does not apply."""
        rows = []
        for label, row in self._frame.iterrows():
            numbers = {str(name): float(value) for name, value in row.items()}
            rows.append(
                {"label": label, **{name: value if math.isfinite(value) else None for name, value in numbers.items()}}
            )
        return {"title": self.title, "models": dict(self.models), "note": self.note, "rows": rows}

    def _table(self) -> tuple[Table, bool]:
        """Return the cells, and whether some p-value has stars."""
        frame = self._frame
        columns: list[list[str | Number]] = []
        for name, head in self.heads.items():
            values = frame[name].to_numpy(dtype=np.float64)
            if name == "p_value":
                columns.append(number_cells(values, _p_cells(values), "p"))
            elif name.startswith("df") or _whole(values):
                columns.append([*_cells(values, head)])
            else:
                columns.append(number_cells(values, _cells(values, head)))
        p_values = frame["p_value"].to_numpy(dtype=np.float64)
        starred = bool((p_values < 0.1).any())
        if starred:
            marks = ["" if math.isnan(value) else stars(value) for value in p_values]
            width = max(map(len, marks))
            columns.append([Number(mark.ljust(width), (p,), "stars") for mark, p in zip(marks, p_values, strict=True)])
        rows = tuple((str(label), *(column[r] for column in columns)) for r, label in enumerate(frame.index))
        heads = ("", *self.heads.values(), *(("",) if starred else ()))
        return Table(self.title, heads, rows), starred

    def __str__(self) -> str:
        """Return the text."""
        table, starred = self._table()
        several = len(self.models) > 1
        listed = "\n".join(f"{label}: {formula}" for label, formula in self.models.items())
        parts = [self.title, *([self.note] if self.note else []), f"Models:\n{listed}" if several else listed]
        return "\n\n".join([*parts, table.to_text() + (f"\n---\n{STARS_LEGEND}" if starred else "")])

    __repr__ = __str__

    def _document(self) -> Document:
        table, starred = self._table()
        note = [Paragraph(self.note)] if self.note else []
        models = [Fact(label, formula) for label, formula in self.models.items()]
        return Document(self.title, (*note, *models, table, *([Legend(STARS_LEGEND)] if starred else [])))


def _whole(values: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    """Whether a column counts something."""
    finite = values[np.isfinite(values)]
    return bool((finite == np.round(finite)).all())


def _cells(values: np.ndarray[Any, np.dtype[np.float64]], head: str) -> list[str]:
    """Write a column of numbers, with blanks for what does not apply; what is next to nothing beside others becomes zero."""
    shown = ~np.isnan(values)
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if head in _TESTS:
        places = DIGITS - 1
    elif head == "Df":
        places = DIGITS
    else:
        places = max(0, math.floor(DIGITS - math.log10(largest) + 0.5)) if largest > 0 else DIGITS
    texts = iter(format_values([_rounded(float(value), places) for value in values[shown]], DIGITS))
    return [next(texts) if here else "" for here in shown]


def _rounded(value: float, places: int) -> float:
    return round(value, places) if math.isfinite(value) else value


def _p_cells(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    """Write p-values with four significant digits, those below the precision of a double as ``< 2.2e-16``."""
    cells = ["" for _ in values]
    plain = [at for at, value in enumerate(values) if value >= _SMALLEST]
    for at, text in zip(plain, format_p_values(values[plain], DIGITS - 1), strict=True):
        cells[at] = text
    widest = max((len(cells[at]) for at in plain), default=0)
    digits = 2 if not plain or widest >= 8 else 1
    bound = f"<{'' if plain and digits == 1 and widest <= 6 else ' '}{format_number(_SMALLEST, digits)}"
    return [bound if value < _SMALLEST else text for value, text in zip(values, cells, strict=True)]
