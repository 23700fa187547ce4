"""Tests of contrasts of the fixed effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, Level, VcovName, checked, idle, robust_options
from multilevel.data.arrays import number_array
from multilevel.errors import ControlError, DataError
from multilevel.inference.degrees_of_freedom import InferenceBasis, inference_basis
from multilevel.inference.hypothesis_text import read_hypotheses

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def contrast_rows(fit: LinearMixedModel, contrasts: Any) -> tuple[FloatArray, list[str], FloatArray | None]:
    """Return contrasts as a matrix with a column for each fixed effect, a name for each row, and the values that hypotheses name.

    A mapping or a Series gives weights by coefficient name; a list of those gives several rows; a DataFrame has coefficient
    names as columns; an array has a column for each fixed effect; a text or several are hypotheses (`read_hypotheses`).

    Raises
    ------
    FormulaError, DataError, DataTypeError
        They cannot be read, or do not fit the coefficients.
    """
    import pandas as pd

    names = list(fit.fixef.index)
    if isinstance(contrasts, str):
        contrasts = [contrasts]
    if isinstance(contrasts, list | tuple) and contrasts and all(isinstance(text, str) for text in contrasts):
        rows, values, labels = read_hypotheses(contrasts, names)
        return rows, labels, values
    labels = []
    if isinstance(contrasts, pd.DataFrame):
        labels = [str(label) for label in contrasts.index]
        contrasts = [row for _, row in contrasts.iterrows()]
    elif isinstance(contrasts, Mapping | pd.Series):
        contrasts = [contrasts]
    if isinstance(contrasts, list | tuple) and contrasts and isinstance(contrasts[0], Mapping | pd.Series):
        rows = np.zeros((len(contrasts), len(names)))
        for r, weights in enumerate(contrasts):
            for name, weight in dict(weights).items():
                if name not in names:
                    raise DataError(
                        f"A contrast names the coefficient {name!r}, which the model does not have; it has {', '.join(names)}."
                    )
                rows[r, names.index(name)] = number_array(weight, f"the weight of {name!r}", shape=()).item()
    else:
        rows = np.atleast_2d(number_array(contrasts, "contrasts"))
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise DataError(
                f"The contrasts have {rows.shape[-1]} columns; they need one for each of the {len(names)} fixed effects."
            )
    empty = np.flatnonzero(~rows.any(axis=1))
    if empty.size or not len(rows):
        raise DataError(f"The contrast number {int(empty[0]) + 1 if empty.size else 1} has no weight other than zero.")
    return rows, labels or [f"contrast {r + 1}" for r in range(len(rows))], None


@checked
@robust_options
@idle("level", when=lambda given: given["joint"], why="a joint test has no interval")
def contrast_test(
    fit: LinearMixedModel,
    contrasts: Any,
    *,
    rhs: Any = 0.0,
    ddf: DdfName = "satterthwaite",
    joint: bool = False,
    level: Level = 0.95,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> pd.DataFrame:
    """Test contrasts of the fixed effects, Lβ = rhs.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    contrasts : array_like, mapping, DataFrame, str or list of str
        L: a row of weights for each contrast, with a column for each fixed effect; or weights by coefficient name; or hypotheses
        as text, ``"x1 = x2"``, ``"2*x1 + x2 = 3"`` (as R's car and statsmodels have them), several in a list or between commas.
    rhs : float or array_like
        The values under the null hypothesis, where they are not in the text.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the denominator degrees of freedom are found; Kenward and Roger's method adjusts the standard errors too.
    joint : bool
        False: a t test for each row. True: one F test that all hold.
    level : float
        Confidence level of the intervals.
    vcov, cluster
        A cluster-robust covariance matrix instead, with its own degrees of freedom (see `LinearMixedModel.vcov`).

    Returns
    -------
    pandas.DataFrame
        Row by row ``estimate``, ``std_error``, ``statistic``, ``df``, ``p_value``, ``conf_low``, ``conf_high``; or, with
        ``joint``, one row with ``statistic``, ``df_numerator``, ``df_denominator``, ``p_value``.

    Raises
    ------
    DataError
        A contrast does not fit the coefficients.
    FormulaError
        A hypothesis cannot be read, or names what is no coefficient.
    ControlError
        The method is not known or does not apply.

    Notes
    -----
    Agrees with ``contest`` of R's lmerTest and ``KRmodcomp`` of pbkrtest.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.contrast_test(fit, {"Days": 1}, ddf="kenward-roger")[["estimate", "df"]].round(2).values.tolist()
    [[10.47, 17.0]]
    >>> ml.contrast_test(fit, "Days = 10")[["estimate", "statistic"]].round(3)
               estimate  statistic
    Days = 10    10.467      0.302
    """
    import pandas as pd

    rows, labels, values = contrast_rows(fit, contrasts)
    given = number_array(rhs, "rhs")
    if values is None:
        if given.ndim > 1 or given.size not in (1, len(rows)):
            raise DataError(
                f"rhs has {given.size} values and there are {len(rows)} contrasts: give one, or one for each."
            )
        values = np.broadcast_to(given, len(rows))
    elif given.any():
        raise ControlError("rhs would be ignored: the hypotheses say themselves what the values are; leave it out.")
    basis = inference_basis(fit, ddf, vcov=vcov, cluster=cluster)
    above = rows @ fit.fixef.to_numpy() - values
    if joint:
        found = basis.f_test(rows, above)
        return pd.DataFrame(
            {
                "statistic": [found.statistic],
                "df_numerator": [found.df_numerator],
                "df_denominator": [found.df_denominator],
                "p_value": [found.p_value],
            },
            index=["joint"],
        )
    table = t_table(basis, rows, rows @ fit.fixef.to_numpy(), above, level)
    table.index = pd.Index(labels)
    return table


def t_table(
    basis: InferenceBasis, rows: FloatArray, estimates: FloatArray, above: FloatArray, level: float
) -> pd.DataFrame:
    """Return estimates, standard errors, t tests and intervals of contrasts."""
    import pandas as pd
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    errors = np.sqrt(basis.variances(rows))
    df = np.array([basis.degrees_of_freedom(row) for row in rows])
    finite = np.isfinite(df)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = above / errors
    size = -np.abs(statistic)
    p_value = 2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), size), ndtr(size))
    half = np.where(finite, stdtrit(np.where(finite, df, 1.0), 0.5 + level / 2), ndtri(0.5 + level / 2))
    return pd.DataFrame(
        {
            "estimate": estimates,
            "std_error": errors,
            "statistic": statistic,
            "df": df,
            "p_value": p_value,
            "conf_low": estimates - half * errors,
            "conf_high": estimates + half * errors,
        }
    )
