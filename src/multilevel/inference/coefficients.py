"""The table of the fixed effects: estimates, standard errors, degrees of freedom, t statistics and p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.inference.satterthwaite import satterthwaite_model

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

COEFFICIENT_COLUMNS = ("estimate", "std_error", "df", "statistic", "p_value")


def two_sided_p(statistics: FloatArray, df: FloatArray) -> FloatArray:
    """Return two-sided p-values of t statistics, of normal ones where the degrees of freedom are infinite."""
    from scipy.special import ndtr, stdtr

    size = -np.abs(statistics)
    finite = np.isfinite(df)
    found: FloatArray = 2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), size), ndtr(size))
    return found


def coefficient_table(fit: LinearMixedModel) -> pd.DataFrame:
    """Return the fixed effects with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    fit : LinearMixedModel
        A fitted model.

    Returns
    -------
    pandas.DataFrame
        One row per fixed effect with the columns ``estimate``, ``std_error``, ``df`` (infinite where it is not defined),
        ``statistic`` (t) and ``p_value`` (two-sided).

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.coefficients import coefficient_table
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> coefficient_table(fit).loc["Days"].round(3).to_dict()
    {'estimate': 10.467, 'std_error': 1.546, 'df': 17.0, 'statistic': 6.771, 'p_value': 0.0}
    """
    import pandas as pd

    estimates = fit.fixef.to_numpy(dtype=np.float64)
    errors = fit.standard_errors.to_numpy(dtype=np.float64)
    df = np.full(estimates.size, np.inf)
    if estimates.size:
        model = satterthwaite_model(fit._engine)
        found = np.array([model.degrees_of_freedom(contrast) for contrast in np.eye(estimates.size)])
        df = np.where(np.isfinite(found), found, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = estimates / errors
    values = (estimates, errors, df, statistics, two_sided_p(statistics, df))
    return pd.DataFrame(dict(zip(COEFFICIENT_COLUMNS, values, strict=True)), index=fit.fixef.index)
