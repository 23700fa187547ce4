"""Tests of fixed effects where the data do not determine the covariance parameters (see `multilevel.engine.withheld`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit
from multilevel.engine.withheld import undetermined, undetermined_elements
from multilevel.inference.degrees_of_freedom import FTest, InferenceBasis

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class WithheldBasis:
    """A method's tests, NaN where they depend on which of several equally good optima the fit is at."""

    inner: InferenceBasis
    fit: EngineFit

    @property
    def vcov(self) -> FloatArray:
        """Covariance matrix of the fixed effects, NaN where it is not determined."""
        return np.where(undetermined_elements(self.fit), np.nan, self.inner.vcov)

    def variances(self, contrasts: FloatArray) -> FloatArray:
        """Return the variances of contrasts, shape (r, p)."""
        return np.where(undetermined(self.fit, contrasts), np.nan, self.inner.variances(contrasts))

    def covariance(self, contrasts: FloatArray) -> FloatArray:
        """Return the covariance matrix of contrasts."""
        gone = undetermined(self.fit, contrasts)
        return np.where(gone[:, None] | gone, np.nan, self.inner.covariance(contrasts))

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast."""
        if undetermined(self.fit, contrast[None, :])[0]:
            return float("nan")
        return self.inner.degrees_of_freedom(contrast)

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the F test."""
        if undetermined(self.fit, contrasts).any():
            return FTest(float("nan"), int(np.linalg.matrix_rank(contrasts)), float("nan"))
        return self.inner.f_test(contrasts, estimates)
