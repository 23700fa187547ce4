"""Smooth curves through clouds of points."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import MissingDependencyError
from multilevel.plot.style import sampled

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

SMOOTHED = 20_000
"""Rows that a curve is worked out from; of more, a sample."""
CURVE_POINTS = 200


def lowess_curve(x: FloatArray, y: FloatArray) -> pd.DataFrame:
    """Return Cleveland's robust locally weighted regression of y on x, with the settings of R's ``lowess``.

    Parameters
    ----------
    x, y : ndarray
        The points; of more than 20,000 a sample is taken.

    Returns
    -------
    pandas.DataFrame
        ``x`` and ``y`` of at most 200 points of the curve, in order; none where x has fewer than four values.

    References
    ----------
    Cleveland, W. S. (1979). Robust locally weighted regression and smoothing scatterplots. JASA, 74, 829-836.

    Examples
    --------
    >>> import numpy as np
    >>> from multilevel.plot.smooth import lowess_curve
    >>> x = np.arange(20.0)
    >>> lowess_curve(x, 2 * x + 1).iloc[-1].round(6).to_dict()
    {'x': 19.0, 'y': 39.0}
    """
    import pandas as pd

    rows = sampled(x.size, SMOOTHED)
    x, y = x[rows], y[rows]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if np.unique(x).size < 4:
        return pd.DataFrame({"x": np.empty(0), "y": np.empty(0)})
    curve = _lowess()(y, x, frac=2 / 3, it=3, delta=0.01 * float(x[-1] - x[0]), is_sorted=True)
    at = np.unique(np.linspace(0, x.size - 1, CURVE_POINTS).round().astype(int))
    curve = curve[at]
    # A stretch where x hardly varies has no local line.
    curve = curve[np.isfinite(curve).all(axis=1)]
    return pd.DataFrame({"x": curve[:, 0], "y": curve[:, 1]})


def _lowess() -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = importlib.import_module("statsmodels.nonparametric.smoothers_lowess").lowess
    except ImportError as error:
        raise MissingDependencyError("Smooth curves need statsmodels: pip install 'multilevel[plot]'.") from error
    return found
