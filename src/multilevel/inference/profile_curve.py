"""ζ of a profile between its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline, PchipInterpolator

    from multilevel.inference.profile import ProfilePoint

FloatArray = npt.NDArray[np.float64]

FINE = 2000
"""Places at which a curve is seen to rise."""


def rising_points(points: Sequence[ProfilePoint]) -> tuple[FloatArray, FloatArray]:
    """Return values and ζ of a profile, where both rise."""
    value = np.array([point.value for point in points])
    zeta = np.array([point.zeta for point in points])
    keep = rises(zeta) & rises(value)
    return value[keep], zeta[keep]


def rises(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which values are above all those before them."""
    before = np.maximum.accumulate(values)
    return np.concatenate([[True], values[1:] > before[:-1]])


def zeta_curve(value: FloatArray, zeta: FloatArray) -> CubicSpline | PchipInterpolator:
    """Return ζ as a function of the value: the cubic spline through the points, or where that falls somewhere the monotone one.

    The deviance is even in a standard deviation, so ζ is level at zero.
    """
    from scipy.interpolate import CubicSpline, PchipInterpolator

    spline = CubicSpline(value, zeta, bc_type=((1, np.zeros(())) if value[0] == 0.0 else "not-a-knot", "not-a-knot"))
    # Not at the ends themselves, where it may be level.
    rising = (spline(np.linspace(value[0], value[-1], FINE)[1:-1], 1) > 0).all()
    return spline if rising else PchipInterpolator(value, zeta)
