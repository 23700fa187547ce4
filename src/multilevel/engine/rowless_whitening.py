"""What stands in for the cross-products of whitened rows in a fit whose rows are not at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.whitening import ResidualModel
from multilevel.errors import DataError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowlessWhitening:
    """A residual structure at its estimates: its slopes there are known, and nothing at other residual parameters.

    Attributes
    ----------
    model
        The residual parameters.
    slopes
        For each of them the derivatives of vcov(β̂), σ held, and of r².
    """

    model: ResidualModel
    slopes: tuple[tuple[FloatArray, float], ...]

    def __getattr__(self, name: str) -> object:
        """Refuse, but for what Python looks up on its own account."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise DataError(
            "This changes the parameters of the residual structure, which needs the rows of the data, and they were not saved with"
            " the fit: save it with fit.save(path, data=True), or fit the model again."
        )
