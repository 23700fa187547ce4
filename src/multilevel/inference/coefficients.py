"""The table of the fixed effects: estimates, standard errors, degrees of freedom, t statistics and p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import DdfName, VcovName
from multilevel.inference.contrasts import t_table
from multilevel.inference.degrees_of_freedom import inference_basis

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

COEFFICIENT_COLUMNS = ("estimate", "std_error", "df", "statistic", "p_value")


def coefficient_table(
    fit: LinearMixedModel, ddf: DdfName = "satterthwaite", *, vcov: VcovName = "model", cluster: Any = None
) -> pd.DataFrame:
    """Return the fixed effects with their degrees of freedom and p-values.

    Parameters
    ----------
    fit : LinearMixedModel
        A fitted model.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the degrees of freedom are found; Kenward and Roger's method adjusts the standard errors too.
    vcov, cluster
        A cluster-robust covariance matrix instead, with its own degrees of freedom (see `LinearMixedModel.vcov`).

    Returns
    -------
    pandas.DataFrame
        One row per fixed effect with the columns ``estimate``, ``std_error``, ``df`` (infinite where it is not defined),
        ``statistic`` (t) and ``p_value`` (two-sided).

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.coefficients import coefficient_table
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> coefficient_table(fit).loc["Days"].round(3).to_dict()
    {'estimate': 10.467, 'std_error': 1.546, 'df': 17.0, 'statistic': 6.771, 'p_value': 0.0}
    """
    import pandas as pd

    estimates = fit._engine.beta
    if estimates.size == 0:
        return pd.DataFrame(columns=list(COEFFICIENT_COLUMNS), index=fit.fixef.index, dtype=np.float64)
    table = t_table(
        inference_basis(fit, ddf, vcov=vcov, cluster=cluster), np.eye(estimates.size), estimates, estimates, 0.95
    )
    return table[list(COEFFICIENT_COLUMNS)].set_axis(fit.fixef.index)
