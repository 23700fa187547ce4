"""The groups of rows that a diagnostic is worked out for: a grouping factor's levels, or a column's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import column_from_values
from multilevel.data.levels import Levels
from multilevel.errors import DataError
from multilevel.model.source import column_of

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


@dataclass(frozen=True, slots=True, eq=False)
class RowGroups:
    """Groups of the rows of a fit.

    Attributes
    ----------
    name
        The grouping factor's or column's name.
    codes
        The group of each row used, counted from 0.
    levels
        The groups, every one of which has rows.
    """

    name: str
    codes: npt.NDArray[np.int32]
    levels: Levels

    @property
    def labels(self) -> tuple[str, ...]:
        """The groups as text."""
        return self.levels.names

    @property
    def index(self) -> pd.Index[Any]:
        """The groups as an index of the type of their column."""
        return self.levels.labels(self.name)


def row_groups(fit: LinearMixedModel, group: Any) -> RowGroups:
    """Return the groups that a grouping factor, a column, or one value for each row make.

    Raises
    ------
    UnknownColumnError
        There is no such column.
    DataError
        The values do not fit the rows, or there is only one group.
    """
    design = fit._design
    factors = {term.factor.name: term.factor for term in design.random}
    if isinstance(group, str) and group in factors:
        return RowGroups(group, factors[group].codes, factors[group].level_set)
    if isinstance(group, str):
        name, column = group, column_of(fit, group)
    else:
        name, column = "group", column_from_values("group", group)
    factor = column.as_factor()
    codes = factor.codes
    if len(codes) == design.n_rows and design.kept is not None:
        codes = codes[design.kept]
    if len(codes) != design.nobs:
        raise DataError(f"The groups {name!r} have {len(codes)} values; there are {design.nobs} rows.")
    if bool((codes < 0).any()):
        raise DataError(f"The groups {name!r} lack a value in {int((codes < 0).sum())} of the rows used.")
    used, places = np.unique(codes, return_inverse=True)
    if used.size < 2:
        raise DataError(f"The groups {name!r} have {used.size} value in the rows used; at least two are needed.")
    return RowGroups(name, places.astype(np.int32), factor.levels.take(used.astype(np.intp)))
