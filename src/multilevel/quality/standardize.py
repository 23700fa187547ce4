"""Standardized coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import (
    DdfName,
    Level,
    StandardizeMethod,
    VcovName,
    checked,
    checked_methods,
    idle,
    robust_options,
)
from multilevel.errors import ControlError, DataError
from multilevel.inference.contrasts import t_table
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.intervals import check_level
from multilevel.quality.coefficient_cells import coefficient_table, interval_note
from multilevel.quality.coefficient_units import CoefficientUnits, basic_units, level_units, numeric_units
from multilevel.quality.several_tables import SeveralTables
from multilevel.quality.standardized_fit import Transformed, standardized

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel
    from multilevel.reporting.tables import Table

FloatArray = npt.NDArray[np.float64]

COLUMNS = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class StandardizedParameters(SeveralTables):
    """Standardized fixed effects, as `standardize_parameters` returns them.

    Attributes
    ----------
    method : str
        How they were standardized.
    level : float
        Confidence level of the intervals.
    scales : pandas.DataFrame
        What was standardized by what: for ``"refit"`` the ``center`` and ``spread`` of each variable; for the others the
        ``response`` and ``predictor`` spread of each coefficient.
    model : LinearMixedModel or None
        The model of the standardized data, for ``"refit"``.
    """

    method: str
    level: float
    scales: pd.DataFrame
    model: LinearMixedModel | None
    _frame: pd.DataFrame
    _notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients at full precision.

        Returns
        -------
        pandas.DataFrame
            By coefficient ``estimate``, ``std_error``, ``statistic``, ``df``, ``p_value``, ``conf_low``, ``conf_high``; for
            ``"pseudo"`` also ``part``, ``"within"`` or ``"between"``.
        """
        return self._frame.copy()

    @property
    def title(self) -> str:
        """What the table shows."""
        return f"Standardized parameters (method: {self.method})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the intervals are, and what else a reader should know."""
        return self._notes

    def _tables(self) -> list[Table]:
        return [coefficient_table(self._frame, self.level, self.title, "Std. Coef.")]


@checked
@robust_options
@idle("transformed", when=lambda given: given["method"] != "refit", why="it is for method='refit'")
def standardize_parameters(
    fit: LinearMixedModel,
    method: StandardizeMethod = "refit",
    *,
    robust: bool = False,
    two_sd: bool = False,
    include_response: bool = True,
    transformed: Transformed = "before",
    level: Level = 0.95,
    ddf: DdfName = "residual",
    vcov: VcovName = "model",
    cluster: Any = None,
) -> StandardizedParameters:
    """Return standardized coefficients: changes of the response in its standard deviations for one of the predictor.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    method : {"refit", "posthoc", "smart", "basic", "pseudo"}
        ``"refit"`` fits the model anew to standardized data (see `standardize_fit`); the other methods only rescale. ``"posthoc"``
        multiplies by the standard deviations of the numeric variables and divides by that of the response; ``"smart"`` does the
        same with the response's standard deviation at a factor's reference level; ``"basic"`` multiplies by the standard deviation
        of the column of X, of a factor's columns too. ``"pseudo"``, for two levels, takes the standard deviations at the
        predictor's own level: between groups where it is constant in them, within otherwise (Hoffman 2015).
    robust : bool
        Median and median absolute deviation instead of mean and standard deviation.
    two_sd : bool
        Two standard deviations of the predictors instead of one (Gelman 2008).
    include_response : bool
        Whether the response is standardized, too.
    transformed : {"before", "after"}
        For ``"refit"``, whether the variables under a transformation are standardized or what it gives (see `standardize_fit`).
    level : float
        Confidence level.
    ddf : {"residual", "satterthwaite", "kenward-roger", "asymptotic"}
        Degrees of freedom of the intervals and p-values. The default is that of R's ``standardize_parameters``; with few groups
        ``"satterthwaite"`` is the better choice.
    vcov, cluster
        A cluster-robust covariance matrix instead (see `LinearMixedModel.vcov`).

    Returns
    -------
    StandardizedParameters
        The coefficients; `to_frame` gives the numbers, and ``model`` the fit to standardized data.

    Raises
    ------
    ControlError
        An option is not one of its choices, or the method does not apply to the model.
    DataError
        The fit has no data frame.

    Notes
    -----
    Agrees with ``standardize_parameters`` of R's effectsize and parameters, but for these cases, besides those of
    `standardize_fit`. The methods that rescale say nothing of the intercept, which is NaN here and 0 in R. ``"posthoc"`` and
    ``"smart"`` multiply the coefficient of an interaction by the standard deviations of all its numeric variables, which is what
    ``"refit"`` gives for the highest interaction; R takes only the last of them. ``"smart"`` takes a factor's reference level,
    where R takes the level of the first row. The intervals of the methods that rescale are rescaled, and do not reflect that
    standard deviations are estimates (Jones & Waller 2015).

    References
    ----------
    Hoffman, L. (2015). Longitudinal analysis: modeling within-person fluctuation and change, p. 342. Routledge.

    Jones, J. A. & Waller, N. G. (2015). The normal-theory and asymptotic distribution-free (ADF) covariance matrix of standardized
    regression coefficients. Psychometrika, 80, 365-378.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.standardize_parameters(fit))
    Standardized parameters (method: refit)
    <BLANKLINE>
                Std. Coef. Std. Error          95% CI
    (Intercept)      0.000      0.161 [-0.317, 0.317]
    Days             0.535      0.079 [ 0.379, 0.691]
    <BLANKLINE>
    * Intervals: t distribution with residual degrees of freedom.
    """
    import pandas as pd

    check_level(level)
    if method != "refit" and transformed != "before":
        raise ControlError(
            f"transformed={transformed!r} is for method='refit'; the other methods rescale what is in the model."
        )
    if method == "pseudo" and robust:
        raise ControlError("method='pseudo' works with variance components; it cannot be robust.")
    names = list(fit.fixef.index)
    notes = ["Units: median absolute deviations instead of standard deviations."] if robust else []
    notes += ["Predictors: changes by two standard deviations."] if two_sd else []
    notes += [] if include_response else ["The response is in its own units."]
    if method == "refit":
        found = standardized(
            fit, robust=robust, two_sd=two_sd, include_response=include_response, transformed=transformed
        )
        if found.model._design.fixed_assign != fit._design.fixed_assign:
            raise DataError(
                "The standardized data leave other columns of the fixed part undetermined than the data do"
                f" ({', '.join(found.model.dropped_columns)}); leave out terms that others determine."
            )
        table = _estimates(found.model, level, ddf, vcov, cluster)
        table.index = pd.Index(names)
        scales = pd.DataFrame(
            [(scale.center, scale.spread) for scale in found.scales.values()],
            index=list(found.scales),
            columns=["center", "spread"],
            dtype=np.float64,
        )
        return StandardizedParameters(method, level, scales, found.model, table, (interval_note(ddf, vcov), *notes))
    if method == "basic":
        units = basic_units(fit, robust=robust, two_sd=two_sd, include_response=include_response)
    elif method == "pseudo":
        units = level_units(fit, two_sd=two_sd, include_response=include_response)
    else:
        units = numeric_units(
            fit, robust=robust, two_sd=two_sd, include_response=include_response, smart=method == "smart"
        )
    table = _rescaled(_estimates(fit, level, ddf, vcov, cluster), units)
    table.index = pd.Index(names)
    scales = pd.DataFrame({"response": units.response, "predictor": units.predictor}, index=names)
    return StandardizedParameters(method, level, scales, None, table, (interval_note(ddf, vcov), *notes))


def _estimates(fit: LinearMixedModel, level: float, ddf: str, vcov: VcovName, cluster: Any) -> pd.DataFrame:
    beta = fit._engine.beta
    basis = inference_basis(fit, ddf, vcov=vcov, cluster=cluster)
    return t_table(basis, np.eye(beta.size), beta, beta, level)[COLUMNS]


def _rescaled(table: pd.DataFrame, units: CoefficientUnits) -> pd.DataFrame:
    ratio = units.predictor / units.response
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        table[name] = table[name] * ratio
    for name in ("statistic", "df", "p_value"):
        table[name] = table[name].where(np.isfinite(ratio))
    if units.part is not None:
        table["part"] = list(units.part)
    return table
