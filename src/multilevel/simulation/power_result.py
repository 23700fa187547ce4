"""What a power analysis found, and how it is shown."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked_methods
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Forms, Notes, Paragraph
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import TEXT_WIDTH, Table

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

COLUMNS = (
    "power", "conf_low", "conf_high", "n_significant", "truth", "mean_estimate", "type_s", "type_m",
)  # fmt: skip


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class PowerResult(Forms):
    """The power of one or several tests.

    Attributes
    ----------
    formula : str
        The model fitted to every replicate.
    method : str
        By which method was tested.
    n : int
        Number of replicates.
    n_not_fitted : int
        How many could not be fitted; they count as not significant.
    n_not_converged : int
        How many fits did not end at an optimum; their tests count as they are.
    n_singular : int
        How many fits have a covariance matrix on the boundary; their tests count as they are.
    alpha : float
        The level of significance.
    level : float
        Confidence level of the intervals.
    p_values : pandas.DataFrame
        The p-value of each test (columns) in each replicate (rows); NaN where there is none.
    estimates : pandas.DataFrame
        Likewise the estimates of the coefficients tested.
    problem : str
        Why the first of those that could not be fitted could not.
    """

    formula: str
    method: str
    n: int
    n_not_fitted: int
    n_not_converged: int
    n_singular: int
    alpha: float
    level: float
    p_values: pd.DataFrame
    estimates: pd.DataFrame
    problem: str
    _frame: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each test.

        Returns
        -------
        pandas.DataFrame
            ``power`` with its Monte Carlo interval ``conf_low`` and ``conf_high``; ``n_significant``; for coefficients ``truth``,
            ``mean_estimate``, ``type_s`` (the share of significant estimates that have the wrong sign) and ``type_m`` (how many
            times too large significant estimates are on average), NaN where they do not apply (Gelman & Carlin 2014).
        """
        return self._frame.copy()

    def _table(self) -> Table:
        frame = self._frame
        columns: list[list[str | Number]] = [[str(label) for label in frame.index], [*percentages(frame["power"])]]
        low, high = percentages(frame["conf_low"]), percentages(frame["conf_high"])
        columns.append([f"[{a}, {b}]" for a, b in zip(low, high, strict=True)])
        heads = ["", "power", f"{100 * self.level:g}% interval"]
        for name, head in (
            ("truth", "truth"),
            ("mean_estimate", "mean est."),
            ("type_s", "type S"),
            ("type_m", "type M"),
        ):
            values = frame[name].to_numpy(dtype=np.float64)
            if np.isfinite(values).any():
                cells = percentages(frame[name]) if name == "type_s" else _numbers(values)
                shown = ["" if np.isnan(value) else cell for value, cell in zip(values, cells, strict=True)]
                columns.append([*shown] if name == "type_s" else number_cells(values, shown))
                heads.append(head)
        return Table("Power by simulation", tuple(heads), tuple(zip(*columns, strict=True)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know of the fits."""
        found = []
        if self.n_not_fitted:
            verb = "counts" if self.n_not_fitted == 1 else "count"
            found.append(
                f"{self.n_not_fitted} could not be fitted and {verb} as not significant. The first: {self.problem}"
            )
        if self.n_not_converged:
            found.append(f"{self.n_not_converged} did not converge.")
        if self.n_singular:
            verb = "has" if self.n_singular == 1 else "have"
            found.append(f"{self.n_singular} {verb} a singular fit, with a variance of zero or a correlation of ±1.")
        return tuple(f"Of {self.n} replicates, {note}" for note in found)

    def _head(self) -> list[str]:
        return [f"Model: {self.formula}", f"Test: {self.method}", f"{self.n} replicates, significant at {self.alpha:g}"]

    def __str__(self) -> str:
        """Return the text."""
        lines = [
            "Power by simulation",
            *(textwrap.fill(line, TEXT_WIDTH, subsequent_indent="    ") for line in self._head()),
        ]
        parts = ["\n".join(lines), self._table().to_text()]
        if self.notes:
            parts.append("\n".join(textwrap.fill(note, TEXT_WIDTH) for note in self.notes))
        return "\n\n".join(parts)

    __repr__ = __str__

    def _document(self) -> Document:
        table = self._table()
        head = [Paragraph(line) for line in self._head()]
        return Document(table.caption, (table, *head, Notes(self.notes)))


def percentages(shares: pd.Series[float]) -> list[str]:
    """Write shares as percentages."""
    return [f"{100 * value:.1f}%" for value in shares]


def _numbers(values: FloatArray) -> list[str]:
    finite = [float(value) for value in values if np.isfinite(value)]
    texts = iter(format_values([float(f"{value:.3g}") for value in finite], 3))
    return [next(texts) if np.isfinite(value) else "" for value in values]
