"""Standard errors of each level's coefficients, the sums of fixed effects and conditional modes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit
from multilevel.engine.prediction import EffectRows, relative_variances
from multilevel.engine.withheld import variances_at_all
from multilevel.model.level_effects import coefficient_columns

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def coefficient_errors(fit: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Return frames like those of ``fit.coef()`` with standard errors in the place of the coefficients.

    They are those of β̂ + b̂ as an estimate of β + b given θ, with the covariance of β̂ and b̂ in them.
    """
    import pandas as pd

    p = fit._design.n_fixed
    result = {}
    for group, coefficients in fit.coef().items():
        levels = len(coefficients)
        codes = np.arange(levels, dtype=np.int32)
        errors = np.empty((levels, coefficients.shape[1]))
        for c, place in enumerate(coefficient_columns(fit, group)):
            x = np.zeros((levels, p))
            if place < p:
                x[:, place] = 1.0
            effects = []
            for t, term in enumerate(fit._terms):
                if term.factor.name == group and place in term.columns:
                    z = np.zeros((levels, len(term.names)))
                    z[:, term.columns.index(place)] = 1.0
                    effects.append(EffectRows(t, z, codes))
            errors[:, c] = np.sqrt(
                variances_at_all(fit._engine, partial(_coefficient_variances, x=x, effects=effects), x)
            )
        result[group] = pd.DataFrame(errors, index=coefficients.index, columns=coefficients.columns)
    return result


def _coefficient_variances(engine: EngineFit, x: FloatArray, effects: list[EffectRows]) -> FloatArray:
    return engine.sigma**2 * relative_variances(engine, x, effects)
