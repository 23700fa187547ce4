"""A Series that R's users may ask for with parentheses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    FloatSeries = pd.Series[float]
else:
    FloatSeries = pd.Series


class _SameAsSeries(type):
    """A class that compares equal to that of an ordinary Series, so that what asks for the class finds the one it knows."""

    def __eq__(cls, other: object) -> bool:
        return other is pd.Series or other is cls

    def __hash__(cls) -> int:
        return hash(pd.Series)


class CalledSeries(FloatSeries, metaclass=_SameAsSeries):
    """A Series that may be called, as R's users do (``fixef()``); what is made of it is an ordinary Series."""

    @property
    def _constructor(self) -> Any:
        return pd.Series

    def __call__(self) -> pd.Series[float]:
        """Return the Series itself."""
        return self
