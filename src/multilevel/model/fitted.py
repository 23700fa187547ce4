"""The fitted linear mixed-effects model."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import Convergence, EngineFit, fit_of_design, fit_products, is_singular
from multilevel.engine.solutions import conditional_covariances
from multilevel.engine.threads import linear_algebra_threads
from multilevel.errors import ControlError, DataError
from multilevel.export.statsmodels_names import StatsmodelsNames
from multilevel.formula.design import Design, RandomTerm
from multilevel.formula.grammar import Formula
from multilevel.model.random_effects import GroupEffects, RandomEffects
from multilevel.model.variance_components import VarianceComponents, term_variance

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csc_array

    from multilevel.inference.bootstrap import BootstrapKind, BootstrapResult
    from multilevel.inference.degrees_of_freedom import DdfName
    from multilevel.inference.profile import Profile
    from multilevel.model.prediction import IntervalName, MethodName
    from multilevel.model.residual_structure import ResidualStructure
    from multilevel.model.simulation import Seed
    from multilevel.reporting.summary import Summary
    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]

RESIDUAL_KINDS = ("response", "pearson", "scaled", "normalized")


@dataclass(frozen=True, eq=False, repr=False)
class LinearMixedModel(StatsmodelsNames):
    """A linear mixed-effects model fitted by `lmer`. It does not change; what alters it returns a new one.

    Facts are properties (`fixef`, `theta`, `sigma`, `loglik`, …); what takes options or work is a method (`ranef`, `predict`,
    `summary`, …). statsmodels' names (`params`, `bse`, `tvalues`, `pvalues`, …) are aliases.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.fixef.round(3).to_dict()
    {'(Intercept)': 251.405, 'Days': 10.467}
    >>> round(fit.reml_criterion, 4)
    1743.6283
    """

    _design: Design
    _engine: EngineFit
    _reml: bool
    _control: LmerControl
    _data: Any

    # ---- what was fitted -------------------------------------------------------------------------------------------------

    @property
    def formula(self) -> Formula:
        """The formula."""
        return self._design.formula

    @property
    def reml(self) -> bool:
        """Whether the criterion was REML's (True) or the likelihood's (False)."""
        return self._reml

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self._design.nobs

    @property
    def ngroups(self) -> pd.Series[int]:
        """Number of levels of each grouping factor, by decreasing number."""
        import pandas as pd

        counts = {term.factor.name: term.factor.n_levels for term in self._terms}
        return pd.Series(counts, name="levels", dtype="int64")

    @property
    def n_missing(self) -> int:
        """Number of rows left out because a value in them is missing."""
        return self._design.n_rows - self._design.nobs

    @property
    def _terms(self) -> tuple[RandomTerm, ...]:
        """The random terms in the order of theta."""
        return tuple(self._design.random[t] for t in self._engine.products.plan.term_order)

    # ---- estimates -------------------------------------------------------------------------------------------------------

    @property
    def fixef(self) -> pd.Series[float]:
        """Fixed effects, in the order of the columns of X."""
        import pandas as pd

        return pd.Series(self._engine.beta.copy(), index=list(self._design.fixed_names), name="estimate")

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
        for term, place in zip(self._terms, self._engine.products.plan.parameters.terms, strict=True):
            names.extend(place.structure.theta_names(term.names, term.factor.name))
        return pd.Series(self._engine.theta.copy(), index=names, name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation; with ``var_ident`` that of the first level, with weights that of a row of weight one."""
        return self._engine.sigma

    @property
    def residual_structure(self) -> ResidualStructure | None:
        """The residual variances by stratum and the correlation of residuals, or None where residuals are independent."""
        from multilevel.model.residual_structure import residual_structure

        return residual_structure(self)

    @property
    def residual_parameters(self) -> pd.Series[float]:
        """Parameters of the residual structure: ``sd_ratio_<level>`` relative to the first level, and ``rho``."""
        import pandas as pd

        from multilevel.model.residual_structure import residual_parameter_names

        found = self._engine.residual
        values = np.empty(0) if found is None else found.values.copy()
        return pd.Series(values, index=residual_parameter_names(self), name="estimate", dtype="float64")

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

    def varcorr(self) -> VarianceComponents:
        """Return the variances and correlations of the random effects, and the residual standard deviation."""
        parts = []
        for term, place, factor in zip(
            self._terms, self._engine.products.plan.parameters.terms, self._engine.term_factors(), strict=True
        ):
            parts.append(
                term_variance(term.factor.name, term.names, factor, self.sigma, term.structure, place.structure)
            )
        return VarianceComponents(tuple(parts), self.sigma)

    def vcov(
        self, kind: Literal["model", "CR0", "CR1", "CR1S", "CR2"] = "model", *, cluster: Any = None
    ) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects, σ²(XᵀV⁻¹X)⁻¹ or a cluster-robust one.

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

            return robust_vcov(self, kind, cluster)
        names = list(self._design.fixed_names)
        return pd.DataFrame(self.sigma**2 * self._engine.unscaled_vcov, index=names, columns=names)

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

    # ---- random effects --------------------------------------------------------------------------------------------------

    def ranef(self, *, cond_var: bool = False) -> RandomEffects:
        """Return the conditional modes of the random effects.

        Parameters
        ----------
        cond_var : bool
            Whether their conditional covariance matrices (given the data and the parameters) are worked out as well; they agree
            with the ``postVar`` of R's ``ranef(fit, condVar = TRUE)``, and hold the covariances between terms that share a factor.

        Returns
        -------
        RandomEffects
            A mapping from grouping factor to a data frame, levels in rows and columns of its terms in columns.
        """
        modes = self._modes
        parameters = self._engine.products.plan.parameters.terms
        covariances = self._conditional_covariances if cond_var else None
        groups: dict[str, list[int]] = {}
        for t, term in enumerate(self._terms):
            groups.setdefault(term.factor.name, []).append(t)
        found = []
        for name, own in groups.items():
            names = tuple(column for t in own for column in self._terms[t].names)
            block = None
            if covariances is not None:
                whole = covariances[parameters[own[0]].block]
                block = np.empty_like(whole)
                at: list[int] = []
                to_user = np.zeros(whole.shape[1:])
                for t in own:
                    part = parameters[t]
                    inside = slice(part.offset, part.offset + part.structure.size)
                    to_user[inside, inside] = part.to_user
                    at.extend(range(inside.start, inside.stop))
                block = np.einsum("rs,jst,ut->jru", to_user, whole, to_user)[:, at][:, :, at]
            values = np.column_stack([modes[t] for t in own])
            for array in (values, block):
                if array is not None:
                    array.flags.writeable = False
            found.append(GroupEffects(name, names, self._terms[own[0]].factor.levels, values, block))
        return RandomEffects(tuple(found))

    @functools.cached_property
    def _modes(self) -> list[FloatArray]:
        return self._engine.conditional_modes()

    @functools.cached_property
    def _conditional_covariances(self) -> list[FloatArray]:
        scale = self.sigma**2
        factor = self._engine.model.factor
        with linear_algebra_threads(factor.dense.shape[0], None):
            return [scale * block for block in conditional_covariances(factor)]

    def relatives(self, group: str) -> pd.DataFrame:
        """Return the conditional modes of all levels of a relationship matrix, those without rows in the data too.

        The effects of a level without rows have the expectation K₂₁K₁₁⁻¹b given those of the levels with rows (breeding values of
        animals without records, values of species not observed).

        Parameters
        ----------
        group : str
            The grouping factor.

        Returns
        -------
        pandas.DataFrame
            A row for each level, those in the data first.

        Raises
        ------
        DataError
            The factor's levels have no relationship.
        """
        from multilevel.model.random_effects import relatives

        return relatives(self, group)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Return the coefficients of every level: fixed effects plus conditional modes, by grouping factor (R's ``coef``)."""
        import pandas as pd

        fixed = self.fixef
        result = {}
        for group, frame in self.ranef().items():
            out = pd.DataFrame({name: np.full(len(frame), value) for name, value in fixed.items()}, index=frame.index)
            for name in dict.fromkeys(frame.columns):
                own = frame.loc[:, [name]].sum(axis=1)
                out[name] = out[name] + own if name in out else own
            result[group] = out
        return result

    def coef_standard_errors(self) -> dict[str, pd.DataFrame]:
        """Return the standard errors of `coef`, with the covariance of fixed effects and conditional modes in them.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
        >>> fit.coef_standard_errors()["Subject"].round(2).loc["308"].to_dict()
        {'(Intercept)': 12.25, 'Days': 2.34}
        """
        from multilevel.model.coefficient_errors import coefficient_errors

        return coefficient_errors(self)

    # ---- rows ------------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _fitted_values(self) -> FloatArray:
        from multilevel.engine.accumulate import linear_predictor

        design = self._design
        # X·β column by column: no temporary of the size of X.
        result = np.zeros(design.nobs) if design.offset is None else design.offset.copy()
        for c, value in enumerate(self._engine.beta):
            result += value * design.columns[:, c]
        for term, modes in zip(self._terms, self._modes, strict=True):
            k = len(term.columns)
            linear_predictor(
                design.columns, term.factor.codes, np.asarray(term.columns, dtype=np.int64), np.zeros(k), np.ones(k),
                np.ascontiguousarray(modes), result,
            )  # fmt: skip
        result.flags.writeable = False
        return result

    def _by_row(self, values: FloatArray, name: str) -> pd.Series[float]:
        import pandas as pd

        design = self._design
        labels = pd.RangeIndex(design.n_rows) if design.row_labels is None else design.row_labels
        if design.kept is None:
            return pd.Series(values.copy(), index=labels, name=name)
        if design.na_action == "exclude":
            whole = np.full(design.n_rows, np.nan)
            whole[design.kept] = values
            return pd.Series(whole, index=labels, name=name)
        return pd.Series(values.copy(), index=labels[design.kept], name=name)

    def fitted(self) -> pd.Series[float]:
        """Return the fitted values, with the conditional modes in them; NaN in left-out rows with ``na_action="exclude"``."""
        return self._by_row(self._fitted_values, "fitted")

    def residuals(self, kind: Literal["response", "pearson", "scaled", "normalized"] = "response") -> pd.Series[float]:
        """Return the conditional residuals.

        Parameters
        ----------
        kind : {"response", "pearson", "scaled", "normalized"}
            ``"response"``: y less the fitted values; ``"pearson"``: times the square root of the prior weights and divided by the
            relative standard deviation of the row's stratum; ``"scaled"``: the latter divided by the residual standard deviation
            (nlme's ``"pearson"``); ``"normalized"``: scaled residuals freed of their correlation, as nlme has them.

        Raises
        ------
        ControlError
            The kind is none of these.
        """
        return self._by_row(self._residual_values(kind), "residual")

    @functools.cached_property
    def _scaled_residual_quantiles(self) -> FloatArray:
        """Minimum, quartiles and maximum of the scaled residuals; a fit loaded without its rows brings them."""
        from multilevel.reporting.numbers import quantile_summary

        return np.asarray(quantile_summary(self._residual_values("scaled")), dtype=np.float64)

    def _residual_values(self, kind: str) -> FloatArray:
        if kind not in RESIDUAL_KINDS:
            raise ControlError(f"The kind of residuals {kind!r} is unknown; choose one of {', '.join(RESIDUAL_KINDS)}.")
        values = self._design.y - self._fitted_values
        if kind == "normalized":
            from multilevel.model.residual_structure import whitened

            return whitened(self, values) / self.sigma
        if kind != "response" and self._engine.residual is not None:
            from multilevel.model.residual_structure import relative_deviations

            values = values / relative_deviations(self)
        elif kind != "response" and self._design.weights is not None:
            values = values * np.sqrt(self._design.weights)
        return values / self.sigma if kind == "scaled" else values

    def predict(
        self,
        newdata: Any = None,
        *,
        re_formula: Any = None,
        allow_new_levels: bool = False,
        se: bool = False,
        interval: IntervalName | None = None,
        level: float = 0.95,
        method: MethodName = "analytic",
        n: int = 1000,
        rng: Seed = None,
        offset: Any = None,
        weights: Any = None,
        na_action: Literal["pass", "omit", "fail"] | None = None,
    ) -> pd.Series[float] | pd.DataFrame:
        """Predict the response, for the rows of the fit or for new data.

        The design is remembered: factor levels and contrasts, and what ``scale``, ``poly`` or splines learned from the data.

        Parameters
        ----------
        newdata : data frame, optional
            Any frame that `lmer` takes, with the columns that the chosen effects need; the response is not needed. By default the
            rows of the fit.
        re_formula : str, Formula or bool, optional
            Which random effects are in the predictions, lme4's ``re.form``: None or True for all, False or ``"~0"`` for none
            (population values), or a part of the model's random effects: ``"~ (1 | g)"``, ``"~ (0 + Days | Subject)"``.
        allow_new_levels : bool
            Whether a grouping factor may have levels that the fit does not know. Their effects are predicted as zero, and their
            variance, that of the random effects, is in standard errors and intervals.
        se : bool
            Whether standard errors are wanted: of β̂ and b̂ together, with their covariance (lme4's ``se.fit``).
        interval : {"confidence", "prediction"}, optional
            An interval for the linear predictor Xβ + Zb, or for a new response, with the residual variance on top. Random effects
            that `re_formula` leaves out are held at zero and add no variance; for a response of a new group, give it a new level.
        level : float
            Confidence level.
        method : {"analytic", "simulation"}
            Normal intervals by formula; or quantiles of draws of σ, β and b from their joint distribution (as `sim`; compare
            R's ``merTools::predictInterval``).
        n, rng
            For ``"simulation"``, the number of draws and where the random numbers come from.
        offset, weights : str, float or array_like, optional
            Those of new data: a column, a number, or one per row. By default the columns that `lmer` was given; weights matter to
            prediction intervals alone.
        na_action : {"pass", "omit", "fail"}, optional
            Rows of new data that lack a value: NaN in their place (the default), left out, or refused. The rows of the fit follow
            the fit's own ``na_action``.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            ``fit``; with `se` or `interval` a frame with ``fit``, ``std_error`` and, for an interval, ``conf_low`` and
            ``conf_high``. The index is that of the data.

        Raises
        ------
        FormulaError
            `re_formula` has random effects that the model does not have.
        DataError
            A factor has a level that the fit does not know (and may not), or an offset or weights are missing.
        UnknownColumnError
            A column is not there.
        ControlError
            An option has a value that is not one of its choices.

        Notes
        -----
        Standard errors are those of the prediction as an estimate of Xβ + Zb given θ and σ:
        σ²(x, z)'C⁻¹(x, z), with C the matrix of the mixed-model equations (Henderson 1975). They agree with the ``se.fit`` of
        lme4 1.1-35 and later. They take θ as known.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
        >>> fit.predict({"Days": [0, 10], "Subject": ["308", "308"]}).round(2).tolist()
        [253.66, 450.33]
        >>> fit.predict({"Days": [10]}, re_formula=False, interval="confidence").round(1)
             fit  std_error  conf_low  conf_high
        0  356.1       16.0     324.7      387.5
        """
        from multilevel.model.prediction import predict

        return predict(
            self, newdata, re_formula=re_formula, allow_new_levels=allow_new_levels, se=se, interval=interval, level=level,
            method=method, n=n, rng=rng, offset=offset, weights=weights, na_action=na_action,
        )  # fmt: skip

    # ---- matrices --------------------------------------------------------------------------------------------------------

    def get_me(self, name: str) -> Any:
        """Return one of the quantities that define the model (R's ``getME``).

        Parameters
        ----------
        name : str
            ``"X"`` (n × p array), ``"Z"`` (n × q sparse array, terms in the order of theta, columns of a level side by side),
            ``"Zt"``, ``"Lambda"`` (q × q sparse relative covariance factor), ``"Lambdat"``, ``"y"``, ``"offset"``, ``"weights"``,
            ``"theta"``, ``"beta"``, ``"b"`` (conditional modes, q), ``"u"`` (the same on the spherical scale, b = Λu), ``"sigma"``,
            ``"flist"`` (codes and levels by grouping factor), ``"cnms"`` (column names by term), ``"n_rtrms"``, ``"devcomp"``.

        Raises
        ------
        ControlError
            There is no such quantity.
        """
        from multilevel.model.components import component

        return component(self, name)

    # ---- inference -------------------------------------------------------------------------------------------------------

    def profile(
        self,
        which: Sequence[str] | None = None,
        *,
        level: float = 0.99,
        points: int = 8,
        progress: bool = False,
    ) -> Profile:
        """Profile the likelihood of the parameters (see `multilevel.inference.profile.profile`)."""
        from multilevel.inference.profile import profile

        return profile(self, which, level=level, points=points, progress=progress)

    def confint(
        self,
        method: Literal["wald", "profile", "bootstrap"] = "profile",
        *,
        level: float = 0.95,
        ddf: DdfName = "asymptotic",
        vcov: str = "model",
        cluster: Any = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Return confidence intervals of all parameters (see `multilevel.inference.intervals.confint`).

        Parameters
        ----------
        method : {"profile", "wald", "bootstrap"}
            Profile likelihood (lme4's default), Wald's for the fixed effects alone, or a parametric bootstrap.
        level : float
            Confidence level.
        ddf, vcov, cluster
            For Wald's: the degrees of freedom, or a cluster-robust covariance matrix.
        **options
            For the bootstrap: ``interval`` and the arguments of `bootstrap`.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
        >>> fit.confint().round(2).loc["sd_Days|Subject"].tolist()
        [3.8, 8.75]
        """
        from multilevel.inference.intervals import confint

        return confint(self, method, level=level, ddf=ddf, vcov=vcov, cluster=cluster, **options)

    # ---- reports ---------------------------------------------------------------------------------------------------------

    def summary(
        self,
        *,
        ddf: DdfName = "satterthwaite",
        correlation: bool | None = None,
        vcov: str = "model",
        cluster: Any = None,
    ) -> Summary:
        """Return the summary: scaled residuals, random effects, fixed effects with Satterthwaite's df, their correlations.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
            How the degrees of freedom of the coefficients are found.
        correlation : bool, optional
            Whether to show the correlations of the fixed effects; by default with at most 12 of them.
        vcov, cluster
            A cluster-robust covariance matrix instead, with its own degrees of freedom (see `vcov`).
        """
        from multilevel.reporting.summary import summarise

        return summarise(self, correlation=correlation, ddf=ddf, vcov=vcov, cluster=cluster)

    def tidy(
        self,
        effects: str | Sequence[str] = ("fixed", "ran_pars"),
        *,
        conf_int: bool = False,
        level: float = 0.95,
        conf_method: Literal["wald", "profile", "bootstrap"] = "wald",
        ddf: DdfName = "satterthwaite",
        vcov: str = "model",
        cluster: Any = None,
        scales: Literal["sdcor", "vcov"] = "sdcor",
        **options: Any,
    ) -> pd.DataFrame:
        """Return the estimates as a frame with a row each, as broom.mixed's ``tidy`` (see `multilevel.export.tidy.tidy`)."""
        from multilevel.export.tidy import tidy

        return tidy(
            self, effects, conf_int=conf_int, level=level, conf_method=conf_method, ddf=ddf, vcov=vcov, cluster=cluster,
            scales=scales, **options,
        )  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """Return the facts of the fit in one row, as broom.mixed's ``glance`` (see `multilevel.export.glance.glance`)."""
        from multilevel.export.glance import glance

        return glance(self)

    def augment(self, data: Any = None, *, newdata: Any = None, allow_new_levels: bool = False) -> pd.DataFrame:
        """Return the rows with fitted values and diagnostics, as broom.mixed's ``augment`` (see `multilevel.export.augment`)."""
        from multilevel.export.augment import augment

        return augment(self, data, newdata=newdata, allow_new_levels=allow_new_levels)

    def __repr__(self) -> str:
        """Return the fit in short, as lme4 prints it."""
        from multilevel.reporting.summary import short_print

        return short_print(self)

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        return self.summary()._repr_html_()

    # ---- new fits --------------------------------------------------------------------------------------------------------

    def refit(self, response: Any) -> LinearMixedModel:
        """Fit the same model to another response.

        Parameters
        ----------
        response : array_like
            The new response, one value per row that the fit used.

        Raises
        ------
        DataError
            The response has another length, or values that are not finite.
        """
        from multilevel.model.lmer import fit_design

        design = self._design.with_response(self._new_responses(response)[0])
        return fit_design(design, self._reml, self._control, replace(self._data, frame=None))

    def refit_many(self, responses: Any, *, threads: int = 1, std_error: bool = False) -> pd.DataFrame:
        """Fit the same model to many responses; what does not depend on the response is shared by all.

        Parameters
        ----------
        responses : array_like
            The new responses, shape (m, nobs): one row for each, in the rows that the fit used.
        threads : int
            Threads to share them among.
        std_error : bool
            Whether there are also ``std_error_…``, ``statistic_…`` and ``p_value_…`` of each fixed effect; the p-values are from
            the normal distribution.

        Returns
        -------
        pandas.DataFrame
            A row for each response: the fixed effects, theta, ``sigma``, ``criterion`` (REML's or the deviance) and ``converged``.

        Raises
        ------
        DataError
            The responses have another length, or values that are not finite.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
        >>> y = fit.get_me("y")
        >>> fit.refit_many([y, 2 * y]).sigma.round(2).tolist()
        [49.51, 99.02]
        """
        import pandas as pd

        from multilevel.engine.refit import refit_all

        found = refit_all(
            self._engine, self._design, self._new_responses(responses), self._control, threads, std_error=std_error
        )
        names = [*self._design.fixed_names, *self.theta.index, "sigma", "criterion"]
        parts = [found.beta, found.theta, found.sigma, found.criterion]
        if found.std_error is not None:
            from scipy.special import ndtr

            statistic = found.beta / found.std_error
            parts += [found.std_error, statistic, 2.0 * ndtr(-np.abs(statistic))]
            kinds = ("std_error", "statistic", "p_value")
            names += [f"{kind}_{name}" for kind in kinds for name in self._design.fixed_names]
        return pd.DataFrame(np.column_stack(parts), columns=names).assign(converged=found.converged)

    def _new_responses(self, values: Any) -> FloatArray:
        """Return new responses as rows, checked."""
        rows = np.atleast_2d(np.ascontiguousarray(values, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != self.nobs:
            raise DataError(
                f"The new response has shape {np.shape(values)}; it needs one value for each of the {self.nobs} rows used."
            )
        if not np.isfinite(rows).all():
            raise DataError(
                f"The new response has {int((~np.isfinite(rows)).sum())} values that are not finite; correct them."
            )
        return rows

    def simulate(
        self,
        n: int = 1,
        newdata: Any = None,
        *,
        rng: Seed | RRandom = None,
        conditional: bool = False,
        re_formula: Any = None,
        allow_new_levels: bool = False,
        offset: Any = None,
        weights: Any = None,
    ) -> FloatArray:
        """Draw responses from the fitted model (see `multilevel.model.simulated_responses.simulate`).

        Parameters
        ----------
        n : int
            How many responses.
        newdata : data frame, optional
            The rows to draw responses for; by default those that the fit used.
        rng : int, SeedSequence, Generator or RRandom, optional
            Where the random numbers come from; an `RRandom` gives the stream of R's ``simulate(fit, n, seed = …)``.
        conditional : bool
            Whether the conditional modes of this fit are in all responses; by default each has new random effects.
        re_formula : str, Formula or bool, optional
            The random-effects terms to condition on, in the place of `conditional`; the others are drawn.
        allow_new_levels : bool
            Whether grouping factors of new data may have levels that the fit does not know; their effects are drawn.
        offset, weights
            Those of new data (see `predict`).

        Returns
        -------
        ndarray
            Shape (n, rows): a response in each row, with the offset in it; NaN for rows of new data that lack a value.
        """
        from multilevel.model.simulated_responses import simulate

        return simulate(
            self, n, newdata, rng=rng, conditional=conditional, re_formula=re_formula, allow_new_levels=allow_new_levels,
            offset=offset, weights=weights,
        )  # fmt: skip

    def bootstrap(
        self,
        n: int = 1000,
        *,
        kind: BootstrapKind = "parametric",
        rng: Seed = None,
        threads: int | None = None,
        progress: bool = False,
        statistic: Callable[[LinearMixedModel], Any] | None = None,
        cluster: Any = None,
    ) -> BootstrapResult:
        """Bootstrap the fit.

        Parameters
        ----------
        n : int
            Number of replicates.
        kind : {"parametric", "residual", "cluster"}
            Responses drawn from the fitted model; conditional modes and residuals drawn with replacement and reflated; or whole
            clusters drawn with replacement.
        rng : int, SeedSequence or Generator, optional
            Where the random numbers come from. The result does not depend on the number of threads.
        threads : int, optional
            Threads to share the replicates among; by default one for each processor.
        progress : bool
            Whether to show a progress bar.
        statistic : callable, optional
            What to replicate: a function of a fit that returns numbers; by default all parameters.
        cluster : str or array_like, optional
            For ``"cluster"``, the clusters; by default the grouping factor in which all others are nested.

        Returns
        -------
        BootstrapResult
            The replicates, with `confint` and `summary`.
        """
        from multilevel.inference.bootstrap import bootstrap

        return bootstrap(
            self, n, kind=kind, rng=rng, threads=threads, progress=progress, statistic=statistic, cluster=cluster
        )

    def update(
        self, formula: str | Formula | None = None, data: Any = None, *, reml: bool | None = None, **changes: Any
    ) -> LinearMixedModel:
        """Fit a changed model.

        Parameters
        ----------
        formula : str, optional
            The new formula; a ``.`` on either side stands for what was there: ``". ~ . + price"``.
        data : data frame, optional
            New data; by default those of this fit.
        reml : bool, optional
            The criterion; by default that of this fit.
        **changes
            Further arguments of `lmer` to change: ``weights``, ``offset``, ``contrasts``, ``na_action``, ``control``,
            ``residual``.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
        >>> str(fit.update(". ~ . - Days").formula)
        'Reaction ~ 1 + (1 | Subject)'
        """
        from multilevel.model.lmer import lmer

        if formula is None and data is None and not changes.keys() - {"control"}:
            return self._fit_again(self._reml if reml is None else reml, changes.get("control", self._control))
        if data is None and self._data.frame is None:
            raise DataError(
                "This fit holds no data frame (its response was replaced by refit, or it was saved without its rows), so that"
                " there is nothing to fit a changed model to; give data=."
            )
        new = self.formula if formula is None else self.formula.update(formula)
        arguments: dict[str, Any] = {**self._data.arguments, "control": self._control, **changes}
        frame = self._data.frame if data is None else data
        return lmer(new, frame, reml=self._reml if reml is None else reml, **arguments)

    def _fit_again(self, reml: bool, control: LmerControl) -> LinearMixedModel:
        """Fit the same cross-products by another criterion or with other options."""
        if self._design.residual is not None:
            engine = fit_of_design(self._design, reml, control)
        else:
            engine = fit_products(self._engine.products, reml, control)
        for array in (engine.theta, engine.beta, engine.unscaled_vcov):
            array.flags.writeable = False
        result = replace(self, _engine=engine, _reml=reml, _control=control)
        if "_term_hypotheses" in self.__dict__:
            result.__dict__["_term_hypotheses"] = self.__dict__["_term_hypotheses"]
        return result

    def save(self, path: str | PathLike[str], *, data: bool = False) -> None:
        """Save the fit to a file that `multilevel.load` reads (see `multilevel.export.fit_file.save`).

        Parameters
        ----------
        path : str or path
            The file; one that is there is replaced.
        data : bool
            Whether the rows and the data frame are saved too: `fitted`, `residuals`, `refit`, `update` and the like need them.
        """
        from multilevel.export.fit_file import save

        save(self, path, data=data)

    def random_design(self) -> csc_array:
        """Return Z, the random-effects design matrix, as a sparse array (``get_me("Z")``)."""
        found: csc_array = self.get_me("Z")
        return found
