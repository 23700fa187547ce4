"""Standard errors of each level's coefficients, the sums of fixed effects and conditional modes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit
from multilevel.engine.prediction import EffectRows, relative_variances
from multilevel.engine.withheld import variances_at_all

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def coefficient_errors(fit: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Return frames like those of ``fit.coef()`` with standard errors in the place of the coefficients.

    They are those of β̂ + b̂ as an estimate of β + b given θ, with the covariance of β̂ and b̂ in them.
    """
    import pandas as pd

    fixed = list(fit._design.fixed_names)
    result = {}
    for group, coefficients in fit.coef().items():
        levels = len(coefficients)
        codes = np.arange(levels, dtype=np.int32)
        columns = {}
        for name in coefficients.columns:
            x = np.zeros((levels, len(fixed)))
            if name in fixed:
                x[:, fixed.index(name)] = 1.0
            effects = []
            for t, term in enumerate(fit._terms):
                if term.factor.name == group and name in term.names:
                    z = np.zeros((levels, len(term.names)))
                    z[:, term.names.index(name)] = 1.0
                    effects.append(EffectRows(t, z, codes))
            variances = variances_at_all(fit._engine, partial(_coefficient_variances, x=x, effects=effects), x)
            columns[name] = np.sqrt(variances)
        result[group] = pd.DataFrame(columns, index=coefficients.index)
    return result


def _coefficient_variances(engine: EngineFit, x: FloatArray, effects: list[EffectRows]) -> FloatArray:
    return engine.sigma**2 * relative_variances(engine, x, effects)
