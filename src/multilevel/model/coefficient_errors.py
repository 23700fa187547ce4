"""Standard errors of each level's coefficients, the sums of fixed effects and conditional modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from multilevel.engine.prediction import EffectRows, relative_variances

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


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
            columns[name] = fit.sigma * np.sqrt(relative_variances(fit._engine, x, effects))
        result[group] = pd.DataFrame(columns, index=coefficients.index)
    return result
