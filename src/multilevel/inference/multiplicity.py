"""Adjusting p-values and confidence intervals for the number of comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError

FloatArray = npt.NDArray[np.float64]

ADJUSTMENTS = ("tukey", "holm", "hochberg", "bonferroni", "sidak", "fdr", "none")


def check_adjustment(adjust: str) -> None:
    """Refuse an adjustment that is not known."""
    if adjust not in ADJUSTMENTS:
        raise ControlError(f"adjust must be one of {', '.join(map(repr, ADJUSTMENTS))}, not {adjust!r}.")


def two_sided(statistics: FloatArray, df: FloatArray) -> FloatArray:
    """Return two-sided p-values of t statistics; normal ones where the degrees of freedom are infinite."""
    from scipy.special import stdtr

    p_values: FloatArray = 2.0 * stdtr(df, -np.abs(statistics))
    return p_values


def adjust_p_values(
    p_values: npt.ArrayLike,
    adjust: str = "holm",
    *,
    statistics: npt.ArrayLike | None = None,
    df: npt.ArrayLike | None = None,
    n_means: int | None = None,
) -> FloatArray:
    """Adjust the p-values of a family of tests.

    Parameters
    ----------
    p_values : array_like
        The p-values of the family; those that are NaN are no tests and stay NaN.
    adjust : {"tukey", "holm", "hochberg", "bonferroni", "sidak", "fdr", "none"}
        The method. ``"fdr"`` is Benjamini and Hochberg's (1995), which controls the false discovery rate; the others control the
        probability of any false rejection. ``"tukey"`` is for all pairwise differences of some means.
    statistics, df : array_like, optional
        The t statistics and their degrees of freedom; Tukey's method needs them.
    n_means : int, optional
        How many means the differences are between, for Tukey's method.

    Returns
    -------
    ndarray
        The adjusted p-values.

    Raises
    ------
    ControlError
        The method is not known, or Tukey's is asked for without statistics.

    Examples
    --------
    >>> from multilevel.inference.multiplicity import adjust_p_values
    >>> adjust_p_values([0.01, 0.04, 0.03], "holm").round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    check_adjustment(adjust)
    given = np.asarray(p_values, dtype=np.float64)
    found = given.copy()
    tests = np.flatnonzero(~np.isnan(given))
    m = len(tests)
    if adjust == "none" or m == 0:
        return found
    p = given[tests]
    if adjust == "tukey":
        if statistics is None or df is None or n_means is None:
            raise ControlError("Tukey's method needs the statistics, their degrees of freedom and the number of means.")
        t, own_df = (np.broadcast_to(np.asarray(x, dtype=np.float64), given.shape)[tests] for x in (statistics, df))
        # Between two means there is one difference, and nothing to adjust.
        found[tests] = p if n_means <= 2 else _studentized_range_tail(np.sqrt(2.0) * np.abs(t), n_means, own_df)
    elif adjust == "bonferroni":
        found[tests] = np.minimum(m * p, 1.0)
    elif adjust == "sidak":
        with np.errstate(divide="ignore"):
            found[tests] = -np.expm1(m * np.log1p(-p))
    elif adjust == "holm":
        order = np.argsort(p, kind="stable")
        found[tests[order]] = np.minimum(np.maximum.accumulate((m - np.arange(m)) * p[order]), 1.0)
    else:
        order = np.argsort(-p, kind="stable")
        factors = m / (m - np.arange(m)) if adjust == "fdr" else 1.0 + np.arange(m)
        found[tests[order]] = np.minimum(np.minimum.accumulate(factors * p[order]), 1.0)
    return found


def _studentized_range_tail(q: FloatArray, n_means: int, df: FloatArray) -> FloatArray:
    from scipy.stats import studentized_range

    tail: FloatArray = np.clip(studentized_range.sf(q, n_means, df), 0.0, 1.0)
    return tail


def critical_values(
    df: npt.ArrayLike, level: float = 0.95, adjust: str = "none", *, n_tests: int = 1, n_means: int = 2
) -> FloatArray:
    """Return how many standard errors a simultaneous confidence interval extends to either side.

    Parameters
    ----------
    df : array_like
        Degrees of freedom.
    level : float
        Confidence level of all intervals together.
    adjust : {"tukey", "holm", "hochberg", "bonferroni", "sidak", "fdr", "none"}
        The method. Stepwise methods and ``"fdr"`` have no intervals of their own; Bonferroni's are used with them.
    n_tests : int
        How many intervals there are.
    n_means : int
        How many means the differences are between, for Tukey's method.

    Returns
    -------
    ndarray
        A value for each of the degrees of freedom.

    Examples
    --------
    >>> from multilevel.inference.multiplicity import critical_values
    >>> critical_values([10, float("inf")], adjust="tukey", n_tests=3, n_means=3).round(4).tolist()
    [2.7413, 2.3437]
    """
    check_adjustment(adjust)
    degrees = np.atleast_1d(np.asarray(df, dtype=np.float64))
    tests = max(n_tests, 1)
    if adjust == "tukey" and n_means > 2:
        return _each(degrees, lambda own: _studentized_range_quantile(level, n_means, own) / np.sqrt(2.0))
    tail = 1.0 - level
    if adjust == "sidak":
        tail = -float(np.expm1(np.log1p(-tail) / tests))
    elif adjust not in ("none", "tukey"):
        tail /= tests
    from scipy.special import ndtri, stdtrit

    finite = np.isfinite(degrees)
    quantiles = stdtrit(np.where(finite, degrees, 1.0), 1.0 - tail / 2.0)
    result: FloatArray = np.where(np.isnan(degrees), np.nan, np.where(finite, quantiles, ndtri(1.0 - tail / 2.0)))
    return result


def _studentized_range_quantile(level: float, n_means: int, df: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, n_means, df))


def _each(degrees: FloatArray, function: object) -> FloatArray:
    """Apply a slow function once to every distinct value that is a number."""
    assert callable(function)
    found = np.full(degrees.shape, np.nan)
    for value in np.unique(degrees[~np.isnan(degrees)]):
        found[degrees == value] = function(float(value))
    return found
