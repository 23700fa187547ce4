"""The tables of covariances and correlations, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked_methods
from multilevel.data.levels import level_text
from multilevel.descriptives.table import FrameTable, cells_of, fixed, fixed_cells, frame_table, p_cells, places_for
from multilevel.errors import ControlError
from multilevel.reporting.cells import number_cells
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 15
"""How many pairs are listed with their tests below the matrix."""


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Association(FrameTable):
    """Covariances or correlations: what `covariance` and `correlation` return.

    Attributes
    ----------
    title : str
        What is shown.
    notes : tuple of str
        Where p-values and intervals come from, and what is missing.
    method : str
        ``"covariance"``, ``"pearson"``, ``"spearman"`` or ``"kendall"``.
    by : tuple of str
        What tells several matrices apart: the grouping columns, and ``"kind"`` for total, within and between.
    icc : pandas.DataFrame or None
        With ``cluster=``, each variable's ICC(1), the share of its variance between clusters, and ICC(2), the reliability of the
        clusters' means.
    """

    method: str
    by: tuple[str, ...]
    icc: pd.DataFrame | None
    _matrices: tuple[tuple[tuple[Any, ...], pd.DataFrame], ...]

    def matrix(self, of: str = "estimate", **group: Any) -> pd.DataFrame:
        """Return one of the square matrices.

        Parameters
        ----------
        of : {"estimate", "n", "p_value", "conf_low", "conf_high"}
            What is in it.
        **group
            Which group, where there are several: ``matrix(x2=1)``, ``matrix(kind="within")``.

        Returns
        -------
        pandas.DataFrame
            Rows and columns are the variables. Only estimates have a diagonal.

        Raises
        ------
        ControlError
            If `of` is none of its choices, or `group` does not choose one matrix.
        """
        for name in group:
            if name not in self.by:
                known = f"; there is {', '.join(self.by)}" if self.by else ", and there is only one matrix"
                raise ControlError(f"There is no {name!r} to choose a matrix by{known}.")
        wanted = {name: level_text(value) for name, value in group.items()}
        found = [
            (key, matrix)
            for key, matrix in self._matrices
            if all(level_text(value) == wanted.get(name, level_text(value)) for name, value in self._named(key))
        ]
        if len(found) != 1:
            shown = "; ".join(self._caption(key) for key, _ in self._matrices[:6])
            raise ControlError(f"Choose one of the {len(self._matrices)} matrices: {shown}.")
        key, matrix = found[0]
        if of == "estimate":
            return matrix.copy()
        if of not in ("n", "p_value", "conf_low", "conf_high") or of not in self._frame:
            raise ControlError(f"of must be 'estimate', 'n', 'p_value', 'conf_low' or 'conf_high', not {of!r}.")
        rows = self._frame
        for name, value in self._named(key):
            rows = rows[rows[name] == value]
        filled = matrix.astype(np.float64)
        filled.loc[:, :] = np.nan
        for x, y, value in zip(rows["x"], rows["y"], rows[of], strict=True):
            filled.loc[x, y] = filled.loc[y, x] = value
        return filled

    def _named(self, key: tuple[Any, ...]) -> list[tuple[str, Any]]:
        return list(zip(self.by, key, strict=True))

    def _caption(self, key: tuple[Any, ...]) -> str:
        return ", ".join(f"{name} = {level_text(value)}" for name, value in self._named(key))

    def _tables(self) -> list[Table]:
        single = len(self._matrices) == 1
        captions = [self.title if single else self._caption(key) for key, _ in self._matrices]
        tables = [self._matrix_table(matrix, text) for text, (_, matrix) in zip(captions, self._matrices, strict=True)]
        if self.method != "covariance" and 0 < len(self._frame) <= _LONGEST:
            tables.append(self._tests_table())
        if self.icc is not None:
            tables.append(frame_table(self.icc, "Intraclass correlations", decimals=3))
        return tables

    def _matrix_table(self, matrix: pd.DataFrame, caption: str) -> Table:
        """Lay out the lower triangle."""
        values = matrix.to_numpy()
        diagonal = np.diag(values)
        places = 2 if self.method != "covariance" else places_for([diagonal[diagonal > 0].min(initial=np.inf)])
        names = [str(name) for name in matrix.columns]
        rows = []
        for i, name in enumerate(names):
            texts = ["NaN" if np.isnan(value) else fixed([float(value)], places)[0] for value in values[i, : i + 1]]
            cells = number_cells(values[i, : i + 1], texts)
            rows.append((name, *cells, *[""] * (len(names) - i - 1)))
        return Table(caption, ("", *names), tuple(rows))

    def _tests_table(self) -> Table:
        frame = self._frame
        heads = [*self.by, "x", "y", "n", "estimate", "conf_low", "conf_high", "p_value", "test"]
        columns = []
        for name in heads:
            values = frame[name].tolist()
            if name in ("estimate", "conf_low", "conf_high"):
                columns.append(fixed_cells(values, 3))
            else:
                columns.append(p_cells(values) if name == "p_value" else cells_of(values))
        return Table("Pairs", tuple(heads), tuple(zip(*columns, strict=True)), labels=len(self.by) + 2)
