"""P-values of Spearman's and Kendall's rank correlations, by the methods that R's ``cor.test`` chooses."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Test = Literal["exact", "Edgeworth", "t", "normal"]

_SPEARMAN_EXACT = 9
_SPEARMAN_EDGEWORTH = 1290
_KENDALL_EXACT = 50


def has_ties(values: FloatArray) -> bool:
    """Tell whether a value occurs twice."""
    ordered = np.sort(values)
    return bool((ordered[1:] == ordered[:-1]).any())


def spearman_test(rho: float, n: int, ties: bool) -> tuple[float, float, Test]:
    """Test a Spearman correlation.

    Parameters
    ----------
    rho : float
        The correlation.
    n : int
        The number of pairs.
    ties : bool
        Whether a value occurs twice in either variable.

    Returns
    -------
    statistic, p_value, test
        S, the sum of squared differences of ranks; its two-sided p-value; and where this comes from. Without ties it is exact
        up to 9 pairs and comes from the Edgeworth series of Best and Roberts (1975) up to 1290; else from the t distribution.
    """
    from scipy.special import stdtr

    cubes = float(n) ** 3 - n
    s = cubes * (1 - rho) / 6
    if np.isnan(rho) or n < 3:
        return s, np.nan, "t"
    if ties or n > _SPEARMAN_EDGEWORTH:
        with np.errstate(divide="ignore"):
            t = rho * np.sqrt((n - 2) / np.float64((1 - rho) * (1 + rho)))
        return s, float(2 * stdtr(n - 2, -abs(t))), "t"
    whole = 2 * round(s / 2)
    upper = s > cubes / 6
    if n <= _SPEARMAN_EXACT:
        counts = _squared_differences(n)
        tail = counts[whole:].sum() if upper else counts[: whole + 1].sum()
        return s, float(min(1.0, 2 * tail / counts.sum())), "exact"
    tail = _edgeworth_tail(whole, n) if upper else 1 - _edgeworth_tail(whole + 2, n)
    return s, min(1.0, 2 * tail), "Edgeworth"


@functools.cache
def _squared_differences(n: int) -> FloatArray:
    """Count the permutations of n ranks by their sum of squared differences from the natural order."""
    size = (n**3 - n) // 3 + 1
    counts = {0: np.zeros(size)}
    counts[0][0] = 1.0
    for place in range(n):
        further: dict[int, FloatArray] = {}
        for taken, number in counts.items():
            for rank in range(n):
                if taken >> rank & 1:
                    continue
                distance = (place - rank) ** 2
                shifted = further.setdefault(taken | 1 << rank, np.zeros(size))
                shifted[distance:] += number[: size - distance]
        counts = further
    return counts[(1 << n) - 1]


def _edgeworth_tail(s: int, n: int) -> float:
    """Return the probability of S or more under independence (algorithm AS 89)."""
    from scipy.special import ndtr

    b = 1.0 / n
    x = (6.0 * (s - 1) * b / (n * n - 1.0) - 1.0) * np.sqrt(n - 1.0)
    y = x * x
    inner = 0.0879 + 0.0151 * b - y * (0.0072 - 0.0831 * b + y * b * (0.0131 - 4.6e-4 * y))
    series = 0.2274 + b * (0.2531 + 0.1745 * b) + y * (-0.0758 + b * (0.1033 + 0.3932 * b) - y * b * inner)
    return float(np.clip(x * b * series / np.exp(y / 2) + ndtr(-x), 0.0, 1.0))


def kendall_test(x: FloatArray, y: FloatArray) -> tuple[float, float, float, Test]:
    """Compute and test Kendall's tau-b.

    Parameters
    ----------
    x, y : ndarray
        The values, none missing; shape (n,).

    Returns
    -------
    tau, statistic, p_value, test
        The correlation; T, the number of concordant pairs, where the test is exact (fewer than 50 pairs of values, no ties),
        else z, its standardised form with ties allowed for; the two-sided p-value; and which of the two it is.
    """
    from scipy.stats import kendalltau

    n = len(x)
    if n < 2:
        return np.nan, np.nan, np.nan, "normal"
    ties = [_tie_counts(values) for values in (x, y)]
    exact = n < _KENDALL_EXACT and not any(len(counts) for counts in ties)
    found = kendalltau(x, y, method="exact" if exact else "asymptotic")
    tau = float(found.statistic)
    pairs = n * (n - 1) / 2
    if exact:
        return tau, round((tau + 1) * pairs / 2), float(found.pvalue), "exact"
    tied = [float((counts * (counts - 1) / 2).sum()) for counts in ties]
    # S is a whole number, so what rounding left of it goes.
    s = round(tau * np.sqrt((pairs - tied[0]) * (pairs - tied[1]))) if not np.isnan(tau) else np.nan
    spread = _kendall_variance(n, ties)
    return tau, s / np.sqrt(spread) if spread > 0 else np.nan, float(found.pvalue), "normal"


def _tie_counts(values: FloatArray) -> FloatArray:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return counts[counts > 1]


def _kendall_variance(n: int, ties: list[FloatArray]) -> float:
    """Return the variance of S, concordant less discordant pairs, under independence with ties (Kendall 1970)."""
    m = float(n)
    once = [float((t * (t - 1) * (2 * t + 5)).sum()) for t in ties]
    twice = [float((t * (t - 1)).sum()) for t in ties]
    thrice = [float((t * (t - 1) * (t - 2)).sum()) for t in ties]
    variance = (m * (m - 1) * (2 * m + 5) - sum(once)) / 18 + twice[0] * twice[1] / (2 * m * (m - 1))
    return variance + (thrice[0] * thrice[1] / (9 * m * (m - 1) * (m - 2)) if n > 2 else 0.0)
