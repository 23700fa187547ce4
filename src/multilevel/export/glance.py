"""The facts of a fit in one row, as broom.mixed's ``glance`` returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


def glance(fit: LinearMixedModel) -> pd.DataFrame:
    """Return the facts of a fit in one row.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    pandas.DataFrame
        One row with ``nobs``, ``sigma``, ``loglik``, ``aic``, ``bic``, ``reml_criterion`` (``deviance`` of a fit by maximum
        likelihood) and ``df_residual``: what R's ``broom.mixed::glance`` has, by the names that the fit itself has for them.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.glance().round(2)
       nobs  sigma  loglik      aic      bic  reml_criterion  df_residual
    0   180  25.59 -871.81  1755.63  1774.79         1743.63          174
    """
    import pandas as pd

    criterion = {"reml_criterion": fit.reml_criterion} if fit.reml else {"deviance": fit.deviance}
    facts = {
        "nobs": fit.nobs,
        "sigma": fit.sigma,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        **criterion,
        "df_residual": fit.df_residual,
    }
    return pd.DataFrame([facts])
