"""How far a share of simulated replicates may be from the probability that it estimates."""

from __future__ import annotations

import math
from typing import Literal

from multilevel.errors import ControlError

ShareInterval = Literal["clopper-pearson", "wilson"]

SHARE_INTERVALS = ("clopper-pearson", "wilson")


def check_share_interval(kind: str) -> None:
    """Refuse kinds of intervals that are not known."""
    if kind not in SHARE_INTERVALS:
        raise ControlError(f"interval must be one of {', '.join(map(repr, SHARE_INTERVALS))}, not {kind!r}.")


def share_interval(successes: int, n: int, level: float, kind: str = "clopper-pearson") -> tuple[float, float]:
    """Return the confidence interval of a probability.

    Parameters
    ----------
    successes, n
        How many of how many.
    level
        Confidence level.
    kind
        ``"clopper-pearson"`` (exact: covers at least with the level) or ``"wilson"`` (score interval: covers about with it).

    Examples
    --------
    >>> from multilevel.simulation.monte_carlo import share_interval
    >>> [round(value, 4) for value in share_interval(80, 100, 0.95)]
    [0.7082, 0.8733]
    >>> [round(value, 4) for value in share_interval(80, 100, 0.95, "wilson")]
    [0.7112, 0.8666]
    """
    from scipy.special import betaincinv, ndtri

    if n == 0:
        return math.nan, math.nan
    tail = 0.5 - level / 2
    if kind == "clopper-pearson":
        low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
        high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1.0 - tail))
        return low, high
    z = float(ndtri(1.0 - tail))
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
