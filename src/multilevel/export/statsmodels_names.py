"""The names that users of statsmodels look for, and packages that read its results (maketables and others).

Each is an alias: the fit's own name for it stands in its docstring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, checked_methods
from multilevel.errors import ControlError

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelNames:
    """A model's names and matrices by statsmodels' names for them (``result.model``).

    Attributes
    ----------
    formula : str
        The formula.
    endog_names : str
        The response.
    exog_names : tuple of str
        The fixed effects.
    """

    formula: str
    endog_names: str
    exog_names: tuple[str, ...]
    _fit: LinearMixedModel

    @property
    def endog(self) -> FloatArray:
        """The response, shape (n,): ``get_me("y")``."""
        found: FloatArray = self._fit.get_me("y")
        return found

    @property
    def exog(self) -> FloatArray:
        """The fixed-effects design matrix, shape (n, p): ``get_me("X")``."""
        found: FloatArray = self._fit.get_me("X")
        return found

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self._fit.nobs

    def __repr__(self) -> str:
        """Return the formula."""
        return self.formula


@checked_methods
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

    def conf_int(self, alpha: Level = 0.05) -> pd.DataFrame:
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

    @property
    def fe_params(self) -> pd.Series[float]:
        """Fixed effects: ``fixef``."""
        return _own(self).fixef

    @property
    def bse_fe(self) -> pd.Series[float]:
        """Standard errors of the fixed effects: ``standard_errors``."""
        return _own(self).standard_errors

    @property
    def scale(self) -> float:
        """Residual variance: ``sigma`` squared."""
        return _own(self).sigma ** 2

    @property
    def method(self) -> str:
        """The criterion, ``"REML"`` or ``"ML"``: ``reml``."""
        return "REML" if _own(self).reml else "ML"

    @property
    def converged(self) -> bool:
        """Whether the fit ended at an optimum: ``convergence.converged``."""
        return _own(self).convergence.converged

    @property
    def use_t(self) -> bool:
        """Whether tests use Student's t distribution: always."""
        return True

    @property
    def cov_re(self) -> pd.DataFrame:
        """Covariance matrix of the random effects of the one grouping factor, for models with more see ``varcorr()``.

        Raises
        ------
        ControlError
            The model has several grouping factors, and so several such matrices.
        """
        import pandas as pd
        from scipy.linalg import block_diag

        fit = _own(self)
        _one_factor(fit, "cov_re", "varcorr()")
        parts = list(fit.varcorr())
        names = [name for part in parts for name in part.names]
        return pd.DataFrame(block_diag(*(part.covariance for part in parts)), index=names, columns=names)

    @property
    def random_effects(self) -> dict[Any, pd.Series[float]]:
        """Conditional modes by level of the one grouping factor, for models with more see ``ranef()``.

        Raises
        ------
        ControlError
            The model has several grouping factors.
        """
        fit = _own(self)
        frame = fit.ranef()[_one_factor(fit, "random_effects", "ranef()")]
        return dict(frame.iterrows())

    @property
    def random_effects_cov(self) -> dict[Any, pd.DataFrame]:
        """Their conditional covariance matrices by level: ``ranef(cond_var=True).conditional_variances(group)``.

        Raises
        ------
        ControlError
            The model has several grouping factors.
        """
        import pandas as pd

        fit = _own(self)
        effects = fit.ranef(cond_var=True)
        frame = effects[_one_factor(fit, "random_effects_cov", "ranef(cond_var=True)")]
        blocks = effects.conditional_variances(str(frame.index.name))
        return {
            level: pd.DataFrame(block, index=frame.columns, columns=frame.columns)
            for level, block in zip(frame.index, blocks, strict=True)
        }

    @property
    def model(self) -> ModelNames:
        """The names and the matrices of the model."""
        fit = _own(self)
        return ModelNames(str(fit.formula), fit._design.response_name, tuple(fit._design.fixed_names), fit)


def _one_factor(fit: LinearMixedModel, name: str, instead: str) -> str:
    """Return the name of the only grouping factor."""
    factors = list(dict.fromkeys(term.factor.name for term in fit._terms))
    if len(factors) > 1:
        raise ControlError(
            f"{name} is for models with one grouping factor; this one has {', '.join(factors)}: use {instead}."
        )
    return factors[0]


def _own(fit: StatsmodelsNames) -> LinearMixedModel:
    return cast("LinearMixedModel", fit)


def _table(fit: StatsmodelsNames) -> pd.DataFrame:
    from multilevel.inference.coefficients import coefficient_table

    return coefficient_table(_own(fit))
