"""The names that users of statsmodels look for, and packages that read its results (maketables and others).

Each is an alias: the fit's own name for it stands in its docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


class StatsmodelsNames:
    """Aliases of a fit's properties and methods.

    As everywhere in statsmodels but in its mixed models, ``params`` are the fixed effects alone: variances are in ``varcorr()``.
    Tests and intervals are those of ``summary()``: Student's t with Satterthwaite's degrees of freedom.
    """

    __slots__ = ()

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects: ``fixef``."""
        return _own(self).fixef

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects: ``standard_errors``."""
        return _own(self).standard_errors

    @property
    def tvalues(self) -> pd.Series[float]:
        """The t statistics of the fixed effects: ``summary().coefficients["statistic"]``."""
        return _table(self)["statistic"]

    @property
    def pvalues(self) -> pd.Series[float]:
        """Their p-values: ``summary().coefficients["p_value"]``."""
        return _table(self)["p_value"]

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of the fixed effects, in columns 0 and 1: those of ``confint("wald", ddf="satterthwaite")``.

        Parameters
        ----------
        alpha : float
            One less the confidence level.
        """
        fit = _own(self)
        whole = fit.confint("wald", level=1.0 - alpha, ddf="satterthwaite")
        return whole.iloc[len(whole) - len(fit.fixef) :].set_axis([0, 1], axis=1)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects: ``vcov()``."""
        return _own(self).vcov()

    @property
    def llf(self) -> float:
        """Log-likelihood: ``loglik``."""
        return _own(self).loglik

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted values: ``fitted()``."""
        return _own(self).fitted()

    @property
    def resid(self) -> pd.Series[float]:
        """Residuals: ``residuals()``."""
        return _own(self).residuals()

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom: ``df_residual``."""
        return _own(self).df_residual

    @property
    def endog_names(self) -> str:
        """Name of the response."""
        return _own(self)._design.response_name


def _own(fit: StatsmodelsNames) -> LinearMixedModel:
    return cast("LinearMixedModel", fit)


def _table(fit: StatsmodelsNames) -> pd.DataFrame:
    from multilevel.inference.coefficients import coefficient_table

    return coefficient_table(_own(fit))
