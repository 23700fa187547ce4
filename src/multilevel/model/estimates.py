"""The estimates of a fit, their covariance matrix and the criteria."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import VcovName, checked_method, checked_methods, idle
from multilevel.engine.fit import Convergence, is_singular
from multilevel.model.fit_facts import FitFacts, whole
from multilevel.model.lookup import lookup
from multilevel.model.variance_components import VarianceComponents, term_variance

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.residual_structure import ResidualStructure


@checked_methods
class Estimates(FitFacts):
    """A fit's estimates and criteria."""

    @property
    def fixef(self) -> pd.Series[float]:
        """Fixed effects, in the order of the columns of X; R's ``fixef()``, with or without parentheses."""
        from multilevel.model.called import CalledSeries

        return CalledSeries(self._engine.beta.copy(), index=list(self._design.fixed_names), name="estimate")

    def fixed_effects(self, *, add_dropped: bool = False) -> pd.Series[float]:
        """Return the fixed effects, with NaN for columns dropped for rank where asked.

        Parameters
        ----------
        add_dropped : bool
            Whether the dropped columns are listed too, at the end (R's ``fixef(fit, add.dropped = TRUE)``).
        """
        import pandas as pd

        if not add_dropped:
            return self.fixef
        dropped = pd.Series(np.nan, index=list(self._design.dropped_names), dtype="float64")
        return pd.concat([self.fixef, dropped]).rename("estimate")

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Fixed-effects columns that were dropped because others determine them."""
        return self._design.dropped_names

    @property
    def theta(self) -> pd.Series[float]:
        """Covariance parameters: the lower triangles of the relative factors λ, in lme4's order and names.

        A term with a patterned structure (``cs``, ``ar1``, …) has its standard deviations relative to σ, then its correlations.
        """
        import pandas as pd

        names: list[str] = []
        places = self._engine.products.plan.parameters.terms
        for term, label, place in zip(self._terms, self._term_groups, places, strict=True):
            names.extend(place.structure.theta_names(term.names, label))
        return pd.Series(self._engine.theta.copy(), index=names, name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation; with ``var_ident`` that of the first level, with weights that of a row of weight one."""
        return self._engine.sigma

    @property
    def residual_structure(self) -> ResidualStructure | None:
        """The residual variances by stratum and the correlation of residuals, or None where residuals are independent."""
        from multilevel.model.residual_structure import residual_structure

        return residual_structure(whole(self))

    @property
    def residual_parameters(self) -> pd.Series[float]:
        """Parameters of the residual structure: ``sd_ratio_<level>`` relative to the first level, and ``rho``."""
        import pandas as pd

        from multilevel.model.residual_structure import residual_parameter_names

        found = self._engine.residual
        values = np.empty(0) if found is None else found.values.copy()
        return pd.Series(values, index=residual_parameter_names(whole(self)), name="estimate", dtype="float64")

    @property
    def is_singular(self) -> bool:
        """Whether an estimated covariance matrix is on the boundary: a variance of zero or a correlation of ±1."""
        return self._engine.singular

    def singular(self, tolerance: float = 1e-4) -> bool:
        """Return whether some pivot of a relative factor, for columns scaled to unit size, is below a tolerance."""
        return is_singular(self._engine.objective, self._engine.model.phi, tolerance)

    @property
    def convergence(self) -> Convergence:
        """How the fit ended, judged by the exact gradient and Hessian."""
        return self._engine.convergence

    @lookup
    @checked_method
    def varcorr(self) -> VarianceComponents:
        """Return the variances and correlations of the random effects, and the residual standard deviation."""
        parts = []
        places = self._engine.products.plan.parameters.terms
        for term, label, place, factor in zip(
            self._terms, self._term_groups, places, self._engine.term_factors(), strict=True
        ):
            own = (term.factor.name, label, term.names)
            parts.append(term_variance(*own, factor, self.sigma, term.structure, place.structure))
        return VarianceComponents(tuple(parts), self.sigma)

    @idle(
        "cluster",
        when=lambda given: given["kind"] == "model",
        why="it is for a cluster-robust covariance matrix, 'CR2' say",
    )
    def vcov(self, kind: VcovName = "model", *, cluster: Any = None) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects, σ²(XᵀV⁻¹X)⁻¹ or a cluster-robust one.

        Where the covariance parameters are not identified, elements that depend on them are NaN.

        Parameters
        ----------
        kind : {"model", "CR0", "CR1", "CR1S", "CR2"}
            ``"model"``, or the correction of the cluster-robust sandwich for few clusters (see `robust_basis`).
        cluster : str or array_like, optional
            The clusters: a grouping factor, a column of the data, or one value for each row; by default the grouping factor in
            which all others are nested.
        """
        import pandas as pd

        if kind != "model":
            from multilevel.inference.robust import robust_vcov

            return robust_vcov(whole(self), kind, cluster)
        names = list(self._design.fixed_names)
        values = self.sigma**2 * self._engine.unscaled_vcov
        if self.convergence.others:
            from multilevel.engine.withheld import undetermined_elements

            values = np.where(undetermined_elements(self._engine), np.nan, values)
        return pd.DataFrame(values, index=names, columns=names)

    @property
    def standard_errors(self) -> pd.Series[float]:
        """Standard errors of the fixed effects."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.vcov())), index=list(self._design.fixed_names), name="std_error")

    # ---- criteria --------------------------------------------------------------------------------------------------------

    @property
    def n_parameters(self) -> int:
        """Number of parameters: fixed effects, theta, those of the residual structure and σ."""
        return self._design.n_fixed + self._engine.n_variance_parameters

    @property
    def df_residual(self) -> int:
        """Number of rows less number of parameters (R's ``df.residual``)."""
        return self.nobs - self.n_parameters

    @functools.cached_property
    def deviance(self) -> float:
        """Minus twice the log-likelihood (not the restricted one) at the fit's theta; what ML minimises."""
        return self._criterion(reml=False)

    @functools.cached_property
    def reml_criterion(self) -> float:
        """Minus twice the restricted log-likelihood at the fit's theta; what REML minimises."""
        return self._criterion(reml=True)

    def _criterion(self, *, reml: bool) -> float:
        if reml == self._reml:
            return self._engine.criterion
        objective = self._engine.objective
        return replace(objective, reml=reml).value_of(self._engine.model.factor)

    @property
    def loglik(self) -> float:
        """Log-likelihood: the restricted one for a REML fit, as in R."""
        return -0.5 * self._engine.criterion

    @property
    def aic(self) -> float:
        """Akaike's information criterion, −2·loglik + 2·n_parameters."""
        return -2.0 * self.loglik + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Bayesian information criterion, −2·loglik + log(nobs)·n_parameters."""
        return -2.0 * self.loglik + math.log(self.nobs) * self.n_parameters
