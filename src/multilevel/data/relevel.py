"""Choosing the reference level of a column before a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multilevel.data.factors import relevel_factor
from multilevel.data.frames import column_from_values
from multilevel.data.levels import level_text

if TYPE_CHECKING:
    import pandas as pd


def relevel(values: Any, ref: Any) -> pd.Categorical:
    """Return a column as categories of which one comes first, so that the others are compared with it.

    Parameters
    ----------
    values
        A column: a series of any data frame library, an array or a list.
    ref
        The level that comes first.

    Returns
    -------
    pandas.Categorical
        The same values; the other levels keep their order, and those that do not occur are dropped.

    Raises
    ------
    DataError
        If no value is `ref`.

    Examples
    --------
    >>> relevel(["a", "placebo", "b"], "placebo").categories.tolist()
    ['placebo', 'a', 'b']
    """
    import pandas as pd

    factor = relevel_factor(column_from_values("values", values).as_factor().drop_unused(), level_text(ref))
    dtype = pd.CategoricalDtype(list(factor.levels.names))
    categorical: pd.Categorical = pd.Categorical.from_codes(factor.codes, dtype=dtype)
    return categorical
