"""Whether neighbouring residuals within clusters are alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.frames import column_from_values
from multilevel.errors import DataError
from multilevel.inference.robust import clusters_of
from multilevel.model.source import column_of
from multilevel.quality.checks.result import Check, listed, not_checked, number, p_text
from multilevel.quality.residuals import whitened_residuals

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

LARGEST_LAG = 10
"""Lags of the plot."""

LARGE_SAMPLE, MODEST_CORRELATION = 5000, 0.05
"""With more pairs than this, a correlation of this size is let pass."""


@checked
def check_autocorrelation(fit: LinearMixedModel, order: Any = None) -> Check:
    """Check whether residuals that follow one another within a cluster are correlated.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    order : str or array_like, optional
        A numeric column, or one number for each row, in whose order the rows of a cluster follow one another; by default that of
        the data.

    Returns
    -------
    Check
        ``numbers``: ``autocorrelation`` at lag one within clusters, its z ``statistic`` and ``p_value``, the number of ``pairs``,
        and ``durbin_watson``, the statistic of the conditional residuals in the order of the data over all rows, as R's
        ``car::durbinWatsonTest`` and ``performance::check_autocorrelation`` have it. ``table`` and ``data``: correlations by lag.

    Notes
    -----
    Conditional residuals of a cluster are negatively correlated even where the model is true, since the conditional modes take a
    share of each. The correlations are therefore those of the whitened residuals (see `rstandard`), which are uncorrelated then.
    With crossed grouping factors there are none, and only ``durbin_watson`` is given.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> check = ml.check_autocorrelation(fit, order="Days")
    >>> {name: round(value, 3) for name, value in check.numbers.items()}
    {'autocorrelation': 0.256, 'statistic': 3.265, 'p_value': 0.001, 'pairs': 162, 'durbin_watson': 1.858}
    """
    import pandas as pd
    from scipy.special import ndtr

    conditional = fit._residual_values("pearson")
    total = float(conditional @ conditional)
    durbin_watson = float((np.diff(conditional) ** 2).sum() / total) if total > 0 else math.nan
    place = None if order is None else np.argsort(_order_values(fit, order), kind="stable")
    try:
        codes, values = clusters_of(fit).codes, whitened_residuals(fit, place)
    except DataError:  # crossed factors, or large clusters of nested ones
        empty = pd.DataFrame()
        names = listed(list(dict.fromkeys(term.factor.name for term in fit._terms)))
        text = (
            f"Residuals are correlated by the fit itself, and those of a model with {names} cannot be freed of that (the factors"
            f" are crossed, or their levels are large), so there is no test. The Durbin–Watson statistic of all rows in the order"
            f" of the data is {number(durbin_watson)}; without autocorrelation it is about 2."
        )
        return Check("autocorrelation", None, text, {"durbin_watson": durbin_watson}, empty, empty)
    position = np.argsort(codes, kind="stable") if place is None else place[np.argsort(codes[place], kind="stable")]
    codes, values = codes[position], values[position]
    scale = float(values @ values) / values.size
    rows = []
    for lag in range(1, LARGEST_LAG + 1):
        same = codes[lag:] == codes[:-lag]
        pairs = int(same.sum())
        if pairs < 3:
            break
        correlation = float((values[lag:] * values[:-lag])[same].sum() / (pairs * scale))
        rows.append((lag, pairs, correlation, 1.959963984540054 / math.sqrt(pairs)))
    if not rows:
        return not_checked("autocorrelation", "No cluster has rows enough that follow one another.")
    table = pd.DataFrame(rows, columns=["lag", "pairs", "autocorrelation", "bound"]).set_index("lag")
    _, pairs, correlation, _ = rows[0]
    statistic = correlation * math.sqrt(pairs)
    p_value = 2.0 * float(ndtr(-abs(statistic)))
    passed = p_value >= 0.05 or (pairs > LARGE_SAMPLE and abs(correlation) <= MODEST_CORRELATION)
    numbers = {
        "autocorrelation": correlation,
        "statistic": statistic,
        "p_value": p_value,
        "pairs": pairs,
        "durbin_watson": durbin_watson,
    }
    text = (
        f"Neighbouring residuals within clusters are {'not correlated to speak of' if passed else 'correlated'}: the"
        f" correlation at lag one is {number(correlation)} ({p_text(p_value)})."
    )
    if not passed:
        text += (
            " Rows close in time are alike beyond what the model says; an effect of time, its curve, or a random slope of it may"
            " take that up; robust standard errors (vcov='CR2') allow for it."
        )
    return Check("autocorrelation", passed, text, numbers, table, table.reset_index())


def _order_values(fit: LinearMixedModel, order: Any) -> FloatArray:
    """Return the numbers that rows are put in order by, for the rows used."""
    design = fit._design
    if isinstance(order, str):
        name, column = order, column_of(fit, order)
    else:
        name, column = "order", column_from_values("order", order)
    values = np.asarray(column.as_numbers(), dtype=np.float64)
    if values.size == design.n_rows and design.kept is not None:
        values = values[design.kept]
    if values.size != design.nobs:
        raise DataError(f"The order {name!r} has {values.size} values; there are {design.nobs} rows.")
    if not np.isfinite(values).all():
        raise DataError(f"The order {name!r} lacks a value in {int((~np.isfinite(values)).sum())} of the rows used.")
    return values
