"""Where the fixed effects explain nearly all of the response: their part is taken off before anything is added up.

A penalized sum of squares is a difference of cross-products, so that of its digits those are lost by which the response's own
square is larger: with residuals a millionth of the response nothing is left of it. The criteria, maximum likelihood's and REML's,
do not change when Xb is taken off the response, for any b; with b from a first least-squares fit the differences are those of
numbers of the residuals' size, and b is added to the fixed effects at the end. The random effects allow no such change: what they
explain is taken off by the fit itself, and `warn_of_lost_digits` says when that leaves too little.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotrs

from multilevel.data.caller import warn_caller
from multilevel.errors import PrecisionWarning

FloatArray = npt.NDArray[np.float64]

STRONG = 1e-6
"""The fixed part is taken off where least squares leave less than this of the response's square."""

ROUNDS = 4
"""How often it is taken off: the first time leaves an error of rounding, small beside the response but not beside noise."""

FEW_DIGITS = 1e-11
"""With less than this of the response's square left at the optimum, σ and θ have fewer than about three digits."""

SPACING = float(np.finfo(np.float64).eps)


def strong_part(gram: FloatArray) -> FloatArray | None:
    """Return the least-squares coefficients of the last column on the others where they leave next to nothing of it, or None.

    Parameters
    ----------
    gram
        Cross-products of X and y, lower triangle.
    """
    p = gram.shape[0] - 1
    square = float(gram[p, p])
    if p == 0 or not square > 0.0:
        return None
    factor, info = dpotrf(gram[:p, :p].T, lower=0, clean=0)
    if info != 0:
        return None
    right = gram[p, :p]
    coefficients: FloatArray = dpotrs(factor, right, lower=0)[0]
    return coefficients if square - float(coefficients @ right) < STRONG * square else None


def is_rounding(left: float, size: float, n_fixed: int) -> bool:
    """Tell whether what least squares leave is what rounding makes of an exact relation.

    Parameters
    ----------
    left
        Root mean square of what they leave.
    size
        Largest response.
    n_fixed
        Number of columns whose products were taken off.
    """
    return bool(left < (2.0 + 2.0 * np.sqrt(n_fixed)) * SPACING * size)


def warn_of_rounded_response(left: float, size: float) -> None:
    """Warn where the response itself has too few digits for what the fixed effects leave of it."""
    if 0.0 < left < 100.0 * SPACING * size:
        warn_caller(
            f"The fixed effects explain the response up to {left:.1e}, and numbers as large as {size:.1e} are stored with an error"
            f" of {0.5 * SPACING * size:.1e}: the variances are in part those of rounding; subtract what is known from the response"
            " before it is rounded, or give it with more digits.",
            PrecisionWarning,
        )


def warn_of_lost_digits(rss: float, square: float) -> None:
    """Warn where the random effects explain so much that few digits are left for the residual variance.

    Parameters
    ----------
    rss
        The penalized sum of squares at the optimum.
    square
        The response's sum of squares about its fixed part (or its mean), in the same units.
    """
    if rss < FEW_DIGITS * square:
        digits = max(int(-np.log10(SPACING * square / rss)), 0) if rss > 0 else 0
        warn_caller(
            f"The model explains all but {rss / square:.0e} of the response's variation: at most {digits} digits are left"
            " for the residual variance and what depends on it; check that it varies within"
            " the groups, or subtract the groups' known levels from it.",
            PrecisionWarning,
        )


def warn_of_few_digits(count: int, total: int) -> None:
    """Warn where that happens to some of many responses."""
    if count:
        warn_caller(
            f"The model explains nearly all of {count} of {total} responses: few digits are left for their residual"
            " variances and what depends on them.",
            PrecisionWarning,
        )
