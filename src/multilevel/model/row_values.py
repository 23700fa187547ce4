"""What a fit says of rows, its own and new ones: fitted values, residuals, predictions, simulated responses, matrices."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import (
    Count,
    IntervalName,
    Level,
    MethodName,
    NumberOf,
    Seed,
    also_called,
    checked_methods,
    idle,
)
from multilevel.errors import ControlError
from multilevel.model.fit_facts import whole
from multilevel.model.level_effects import LevelEffects

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csc_array

    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]

RESIDUAL_KINDS = ("response", "pearson", "scaled", "normalized")


@checked_methods
class RowValues(LevelEffects):
    """A fit's values by row."""

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
            (R's ``residuals(fit, "pearson", scaled = TRUE)``, nlme's ``"pearson"``); ``"normalized"``: scaled residuals freed of
            their correlation, as nlme has them.

        Raises
        ------
        ControlError
            The kind is none of these.
        """
        return self._by_row(self._residual_values(kind), "residual")

    @functools.cached_property
    def _scaled_residual_quantiles(self) -> FloatArray:
        """Minimum, quartiles and maximum of the scaled residuals."""
        if self._stored is not None and self._stored.residual_quantiles is not None:
            return self._stored.residual_quantiles
        from multilevel.reporting.numbers import quantile_summary

        return np.asarray(quantile_summary(self._residual_values("scaled")), dtype=np.float64)

    def _residual_values(self, kind: str) -> FloatArray:
        if kind not in RESIDUAL_KINDS:
            raise ControlError(f"The kind of residuals {kind!r} is unknown; choose one of {', '.join(RESIDUAL_KINDS)}.")
        values = self._design.y - self._fitted_values
        if kind == "normalized":
            from multilevel.model.residual_structure import whitened

            return whitened(whole(self), values) / self.sigma
        if kind != "response" and self._engine.residual is not None:
            from multilevel.model.residual_structure import relative_deviations

            values = values / relative_deviations(whole(self))
        elif kind != "response" and self._design.weights is not None:
            values = values * np.sqrt(self._design.weights)
        return values / self.sigma if kind == "scaled" else values

    @idle("level", when=lambda given: given["interval"] is None, why="there is no interval without interval=")
    @idle(
        "method",
        when=lambda given: given["interval"] is None and not given["se"],
        why="there is nothing to simulate without se or interval",
    )
    @idle("n", "rng", when=lambda given: given["method"] != "simulation", why="they are for method='simulation'")
    @idle("allow_new_levels", when=lambda given: given["newdata"] is None, why="the rows of the fit have no new levels")
    @idle(
        "weights",
        when=lambda given: given["interval"] != "prediction",
        why="weights matter to prediction intervals alone",
    )
    @also_called(re_form="re_formula", se_fit="se", **{"re.form": "re_formula", "se.fit": "se"})
    def predict(
        self,
        newdata: Any = None,
        *,
        re_formula: Any = None,
        allow_new_levels: bool = False,
        se: bool = False,
        interval: IntervalName | None = None,
        level: Level = 0.95,
        method: MethodName = "analytic",
        n: Count = 1000,
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
            variance, that of the random effects, is in standard errors and intervals. A row without a level is one of a new level
            of its own; where no new levels are allowed its prediction is NaN.
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

        Warns
        -----
        RankDeficiencyWarning
            Columns of the fixed effects were dropped, and the data of the fit do not determine the value of some new rows (those of
            an empty cell, say): these are NaN.

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
            whole(self), newdata, re_formula=re_formula, allow_new_levels=allow_new_levels, se=se, interval=interval, level=level,
            method=method, n=n, rng=rng, offset=offset, weights=weights, na_action=na_action,
        )  # fmt: skip

    @idle("allow_new_levels", when=lambda given: given["newdata"] is None, why="the rows of the fit have no new levels")
    @also_called(re_form="re_formula", nsim="n", seed="rng", **{"re.form": "re_formula"})
    def simulate(
        self,
        n: NumberOf = 1,
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
            Shape (n, rows): a response in each row, with the offset in it; NaN for rows of new data that lack a value or
            whose value the data of the fit do not determine.
        """
        from multilevel.model.simulated_responses import simulate

        return simulate(
            whole(self), n, newdata, rng=rng, conditional=conditional, re_formula=re_formula, allow_new_levels=allow_new_levels,
            offset=offset, weights=weights,
        )  # fmt: skip

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

        return component(whole(self), name)

    def random_design(self) -> csc_array:
        """Return Z, the random-effects design matrix, as a sparse array (``get_me("Z")``)."""
        found: csc_array = self.get_me("Z")
        return found
