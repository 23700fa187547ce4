"""Covariances and correlations of columns: matrices over all pairs, and the tests of the correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.descriptives.rank_tests import has_ties, kendall_test, spearman_test

FloatArray = npt.NDArray[np.float64]

# A variance over the rows of one pair that is this much smaller than the column's own is computed again, from the rows.
_CANCELLED = 1e-6


@dataclass(frozen=True, slots=True)
class Pairs:
    """Correlations (or covariances) of all pairs of columns, each field a (p, p) array.

    Attributes
    ----------
    n : ndarray
        The number of rows each rests on.
    estimate : ndarray
        The correlations or covariances.
    statistic, df, p_value, conf_low, conf_high : ndarray
        The test of each correlation and its interval; NaN where there is none.
    test : ndarray of str
        Where the p-value comes from.
    """

    n: FloatArray
    estimate: FloatArray
    statistic: FloatArray
    df: FloatArray
    p_value: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray
    test: npt.NDArray[np.str_]


def covariances(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the numbers of rows, covariances and Pearson correlations of all pairs of columns.

    Parameters
    ----------
    values : ndarray
        The columns, NaN where missing; shape (n, p). Each pair rests on the rows that have both.

    Returns
    -------
    n, covariance, correlation : ndarray
        Each (p, p). Correlations with a column that does not vary are NaN.
    """
    present = ~np.isnan(values)
    if present.all():
        return _complete(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0)
        z = np.where(present, values - centre, 0.0)
        mask = present.astype(np.float64)
        n = mask.T @ mask
        sums = z.T @ mask
        products = z.T @ z - sums * sums.T / n
        squares = (z * z).T @ mask - sums**2 / n
    whole = np.diag(squares)
    covariance = np.where(n > 1, products / np.maximum(n - 1, 1), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = products / np.sqrt(squares * squares.T)
    for i, j in np.argwhere(squares <= _CANCELLED * whole[:, None]):
        both = present[:, i] & present[:, j]
        _, cov, cor = _complete(values[both][:, [i, j]])
        covariance[i, j] = covariance[j, i] = cov[0, 1]
        correlation[i, j] = correlation[j, i] = cor[0, 1]
    correlation[n < 2] = np.nan
    return n, covariance, _tidy(correlation)


def _complete(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    rows, p = values.shape
    n = np.full((p, p), float(rows))
    if rows < 2:
        return n, np.full((p, p), np.nan), np.full((p, p), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = values - values.mean(axis=0)
        z -= z.mean(axis=0)
        z[:, values.max(axis=0) == values.min(axis=0)] = 0.0
        products = z.T @ z
        scale = np.sqrt(np.diag(products))
        correlation = products / np.outer(scale, scale)
    return n, products / (rows - 1), _tidy(correlation)


def _tidy(correlation: FloatArray) -> FloatArray:
    """Keep correlations between -1 and 1, with ones where a column meets itself."""
    correlation = np.clip(correlation, -1.0, 1.0)
    at = np.diag_indices(len(correlation))
    correlation[at] = np.where(np.isnan(correlation[at]), np.nan, 1.0)
    return correlation


def pearson(correlation: FloatArray, n: FloatArray, level: float, *, lost: FloatArray | float = 0.0) -> Pairs:
    """Test Pearson correlations by the t distribution, with intervals from Fisher's z.

    Parameters
    ----------
    correlation, n : ndarray
        The correlations and the numbers of rows they rest on.
    level : float
        The confidence level.
    lost : ndarray or float, default 0
        Degrees of freedom lost to means that were taken out before, beyond the one of each variable.

    Returns
    -------
    Pairs
        The correlations and their tests.
    """
    from scipy.special import stdtr

    effective = n - lost
    df = np.where(effective > 2, effective - 2, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = correlation * np.sqrt(df / ((1 - correlation) * (1 + correlation)))
        p_value = 2 * stdtr(df, -np.abs(statistic))
    low, high = _fisher(correlation, np.where(effective > 3, 1 / np.maximum(effective - 3, 1), np.nan), level)
    return Pairs(n, correlation, statistic, df, p_value, low, high, np.full(n.shape, "t"))


def spearman(values: FloatArray, level: float) -> Pairs:
    """Compute and test Spearman's rank correlations; the intervals are those of Bonett and Wright (2000)."""
    from scipy.stats import rankdata

    present = ~np.isnan(values)
    p = values.shape[1]
    if present.all():
        n, _, correlation = covariances(rankdata(values, axis=0) if len(values) else values)
        ties = [has_ties(values[:, i]) for i in range(p)]
        tied = np.logical_or.outer(ties, ties)
    else:
        # A row without one of the two values has no place in the ranks of the other.
        n, correlation = np.zeros((p, p)), np.full((p, p), np.nan)
        tied = np.zeros((p, p), dtype=np.bool_)
        for i in range(p):
            for j in range(i + 1):
                both = values[present[:, i] & present[:, j]][:, [i, j]]
                n[i, j] = n[j, i] = len(both)
                found = covariances(rankdata(both, axis=0) if len(both) else both)[2][0, 1]
                correlation[i, j] = correlation[j, i] = found
                tied[i, j] = tied[j, i] = has_ties(both[:, 0]) or has_ties(both[:, 1])
    correlation = _tidy(correlation)
    statistic, p_value = np.full((p, p), np.nan), np.full((p, p), np.nan)
    test = np.full((p, p), "", dtype="U9")
    for i, j in np.ndindex(p, p):
        statistic[i, j], p_value[i, j], test[i, j] = spearman_test(
            float(correlation[i, j]), int(n[i, j]), bool(tied[i, j])
        )
    spread = np.where(n > 3, (1 + correlation**2 / 2) / np.maximum(n - 3, 1), np.nan)
    return Pairs(
        n, correlation, statistic, np.full((p, p), np.nan), p_value, *_fisher(correlation, spread, level), test
    )


def kendall(values: FloatArray, level: float) -> Pairs:
    """Compute and test Kendall's tau-b; the intervals are those of Fieller, Hartley and Pearson (1957)."""
    present = ~np.isnan(values)
    p = values.shape[1]
    n, tau, statistic, p_value = (np.full((p, p), np.nan) for _ in range(4))
    test = np.full((p, p), "", dtype="U9")
    for i in range(p):
        for j in range(i + 1):
            both = values[present[:, i] & present[:, j]]
            n[i, j] = n[j, i] = len(both)
            found = kendall_test(both[:, i], both[:, j])
            tau[i, j], statistic[i, j], p_value[i, j], test[i, j] = found
            tau[j, i], statistic[j, i], p_value[j, i], test[j, i] = found
    tau = _tidy(tau)
    spread = np.where(n > 4, 0.437 / np.maximum(n - 4, 1), np.nan)
    return Pairs(n, tau, statistic, np.full((p, p), np.nan), p_value, *_fisher(tau, spread, level), test)


def _fisher(correlation: FloatArray, variance: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return the interval of correlations from the variance of their inverse hyperbolic tangents."""
    from scipy.special import ndtri

    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.arctanh(correlation)
        half = ndtri(0.5 + level / 2) * np.sqrt(variance)
    return np.tanh(z - half), np.tanh(z + half)
