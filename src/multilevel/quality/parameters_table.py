"""All parameters of a model in one table: fixed effects, and standard deviations and correlations of the random effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import (
    BootstrapInterval,
    DdfName,
    Level,
    StandardizeMethod,
    VcovName,
    checked,
    checked_methods,
    how_tested,
    idle,
    robust_options,
)
from multilevel.errors import ControlError
from multilevel.inference.contrasts import t_table
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.intervals import check_level
from multilevel.model.identification import identification_notes
from multilevel.model.parameter_labels import ParameterLabels
from multilevel.quality.coefficient_cells import coefficient_table, interval_note
from multilevel.quality.several_tables import SeveralTables
from multilevel.quality.standardize import standardize_parameters
from multilevel.quality.variance_intervals import variance_parameter_table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel
    from multilevel.reporting.tables import Table

Effects = Literal["all", "fixed", "random"]
RandomInterval = Literal["wald", "profile", "bootstrap"]

NUMBERS = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
RANDOM_NOTES = {
    "wald": "Random effects: Wald intervals of log SD and of Fisher's z, from the exact Hessian.",
    "profile": "Random effects: profile-likelihood intervals.",
    "bootstrap": "Random effects: bootstrap intervals.",
}


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class ParametersTable(SeveralTables):
    """The parameters of a model, as `model_parameters` returns them.

    Attributes
    ----------
    fixed : pandas.DataFrame or None
        By coefficient ``estimate``, ``std_error``, ``statistic`` (t), ``df``, ``p_value``, ``conf_low``, ``conf_high``.
    random : pandas.DataFrame or None
        The same columns, those of a test NaN, with ``group`` and ``parameter``, the name that `LinearMixedModel.confint` has.
    level : float
        Confidence level.
    formula : str
        The model.
    """

    fixed: pd.DataFrame | None
    random: pd.DataFrame | None
    level: float
    formula: str
    _notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one frame with a row for each parameter.

        Returns
        -------
        pandas.DataFrame
            ``effect`` (``"fixed"`` or ``"random"``), ``group`` (None for fixed effects), ``parameter``, and the numbers.
        """
        import pandas as pd

        parts = []
        if self.fixed is not None:
            fixed = self.fixed.copy()
            fixed.insert(0, "effect", "fixed")
            fixed.insert(1, "group", None)
            fixed.insert(2, "parameter", fixed.index.astype(str))
            parts.append(fixed)
        if self.random is not None:
            random = self.random.copy()
            random.insert(0, "effect", "random")
            parts.append(random)
        if len(parts) == 1:
            return parts[0]
        columns = ["effect", "group", "parameter", *NUMBERS]
        index = [label for part in parts for label in part.index]
        return pd.DataFrame({name: [value for part in parts for value in part[name]] for name in columns}, index=index)

    @property
    def title(self) -> str:
        """The model."""
        return f"Parameters of {self.formula}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the intervals come from."""
        return self._notes

    def _tables(self) -> list[Table]:
        found = []
        if self.fixed is not None:
            found.append(coefficient_table(self.fixed, self.level, "Fixed effects", tests=True))
        if self.random is not None:
            found.append(coefficient_table(self.random, self.level, "Random effects"))
        return found


@checked
@robust_options
@idle("interval", when=lambda given: given["ci_random"] != "bootstrap", why="it is for ci_random='bootstrap'")
@idle(
    "ddf",
    "standardize",
    "vcov",
    "cluster",
    when=lambda given: given["effects"] == "random" and given["standardize"] is None,
    why="there are no fixed effects in the table",
)
@idle("ci_random", when=lambda given: given["effects"] == "fixed", why="there are no random effects in the table")
def model_parameters(
    fit: LinearMixedModel,
    effects: Effects = "all",
    *,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    standardize: StandardizeMethod | None = None,
    ci_random: RandomInterval | None = "wald",
    interval: BootstrapInterval = "percentile",
    vcov: VcovName = "model",
    cluster: Any = None,
    **options: Any,
) -> ParametersTable:
    """Return the parameters of a model with standard errors, intervals and tests.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    effects : {"all", "fixed", "random"}
        Which part.
    level : float
        Confidence level.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of the fixed effects' tests and intervals, as in the summary.
    standardize : {"refit", "posthoc", "smart", "basic", "pseudo"}, optional
        Standardize the parameters (see `standardize_parameters`); by other methods than ``"refit"`` the fixed effects only.
    ci_random : {"wald", "profile", "bootstrap"} or None
        Intervals of standard deviations and correlations: Wald's on the scales of log and Fisher's z from the exact Hessian, which
        take next to no time; those of the profile likelihood, the most exact; a bootstrap's; or none.
    interval : {"percentile", "basic", "normal", "bca"}
        For the bootstrap, which interval.
    vcov, cluster
        A cluster-robust covariance matrix of the fixed effects instead (see `LinearMixedModel.vcov`).
    **options
        For the bootstrap, the arguments of `LinearMixedModel.bootstrap`: ``n``, ``rng``, ….

    Returns
    -------
    ParametersTable
        Two tables to print; `to_frame` gives the numbers.

    Raises
    ------
    ControlError
        An option is not one of its choices.

    Notes
    -----
    Standard deviations and correlations are the estimates of the fit. Profile intervals are those of the deviance, as in lme4, also
    for a fit by REML. Agrees with ``model_parameters`` of R's parameters, which takes residual degrees of freedom by default
    (``ddf="residual"``); its Wald intervals of random effects need merDeriv and are those of glmmTMB for models fitted there.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.model_parameters(fit))
    Parameters of Reaction ~ Days + (Days | Subject)
    <BLANKLINE>
    Fixed effects
                Estimate Std. Error           95% CI     t df        p
    (Intercept)   251.41       6.82 [237.01, 265.80] 36.84 17  < 2e-16
    Days           10.47       1.55 [  7.21,  13.73]  6.77 17 3.26e-06
    <BLANKLINE>
    Random effects
                                  Estimate Std. Error         95% CI
    SD (Intercept: Subject)          24.74       5.84 [15.58, 39.28]
    SD (Days: Subject)                5.92       1.25 [ 3.92,  8.95]
    Cor (Intercept~Days: Subject)     0.07       0.33 [-0.52,  0.61]
    SD (Residual)                    25.59       1.51 [22.80, 28.72]
    <BLANKLINE>
    * Intervals: t distribution with Satterthwaite's degrees of freedom.
    * Random effects: Wald intervals of log SD and of Fisher's z, from the exact Hessian.
    """
    check_level(level)
    if options and ci_random != "bootstrap":
        raise ControlError(f"The options {', '.join(options)} are for ci_random='bootstrap'.")
    fixed = random = None
    notes = []
    model = fit
    if standardize is not None:
        found = standardize_parameters(fit, standardize, level=level, **how_tested(ddf, vcov, cluster))
        fixed = found.to_frame()
        notes.append(f"Standardized (method: {standardize}).")
        if found.model is not None:
            model = found.model
        elif effects == "random":
            raise ControlError(f"The method {standardize!r} standardizes fixed effects only; use standardize='refit'.")
        else:
            effects = "fixed"
            notes.append("The random effects are left out: only 'refit' standardizes them.")
    elif effects != "random":
        beta = fit._engine.beta
        basis = inference_basis(fit, ddf, vcov=vcov, cluster=cluster)
        fixed = t_table(basis, np.eye(beta.size), beta, beta, level)[NUMBERS].set_axis(fit.fixef.index)
    if effects == "random":
        fixed = None
    else:
        notes.append(interval_note(ddf, vcov))
    if effects != "fixed":
        random = _random_part(model, level, ci_random, interval, options)
        notes += [RANDOM_NOTES[ci_random]] if ci_random is not None else []
        if ci_random == "wald" and random["conf_low"].isna().any() and fit.is_singular:
            notes.append(
                "No Wald interval on the boundary (a variance of zero, a correlation of 1 or -1); use 'profile'."
            )
    notes += identification_notes(fit)
    return ParametersTable(fixed, random, level, str(fit.formula), tuple(notes))


def _random_part(
    fit: LinearMixedModel, level: float, method: str | None, interval: BootstrapInterval, options: dict[str, Any]
) -> pd.DataFrame:
    labels = ParameterLabels.of(fit)
    names = [*labels.variance, labels.sigma]
    table = variance_parameter_table(fit, level)
    if method in ("profile", "bootstrap"):
        if method == "profile":
            from multilevel.inference.profile import profile_interval

            ends = profile_interval(fit, names, level=level)
        else:
            ends = fit.confint("bootstrap", level=level, interval=interval, **options)
        table[["conf_low", "conf_high"]] = ends.loc[names, ["conf_low", "conf_high"]].to_numpy()
    elif method is None:
        table[["conf_low", "conf_high"]] = np.nan
    for name in ("statistic", "df", "p_value"):
        table[name] = np.nan
    shown = _shown(fit)
    table = table.loc[[name for name, _, _ in shown]]
    table.insert(0, "parameter", [name for name, _, _ in shown])
    table.insert(0, "group", [group for _, group, _ in shown])
    return table[["group", "parameter", *NUMBERS]].set_axis([label for _, _, label in shown])


def _shown(fit: LinearMixedModel) -> list[tuple[str, str, str]]:
    """Return name, grouping factor and label of the variance parameters: of each term standard deviations, then correlations."""
    found = []
    known = ParameterLabels.of(fit)
    names = iter(known.variance)
    for term in fit.varcorr():
        own_names = [next(names) for _ in term.elements]
        labels = ["Intercept" if name == "(Intercept)" else name for name in term.names]
        for kind, word in (("sd", "SD"), ("cor", "Cor")):
            for element, name in zip(term.elements, own_names, strict=True):
                if element.kind == kind:
                    own = labels[element.row] if kind == "sd" else f"{labels[element.column]}~{labels[element.row]}"
                    found.append((name, term.label, f"{word} ({element.label or own}: {term.label})"))
    return [*found, (known.sigma, "Residual", "SD (Residual)")]
