"""The summary of a fit: its numbers in one record, and the forms in which it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import DdfName, VcovName, checked_methods
from multilevel.inference.coefficients import coefficient_table
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.model.identification import identification_notes
from multilevel.model.variance_components import VarianceComponents
from multilevel.reporting.forms import Document, Forms
from multilevel.reporting.numbers import QUANTILE_LABELS

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel
    from multilevel.model.residual_structure import ResidualStructure

MAX_CORRELATIONS = 12
"""With more fixed effects than this their correlations are not shown unless asked for."""


TEST_NAMES = {
    "satterthwaite": "t-tests use Satterthwaite's method",
    "kenward-roger": "t-tests use Kenward and Roger's method",
    "residual": "t-tests use the residual degrees of freedom",
    "asymptotic": "z-tests use the normal distribution",
    **{kind: f"t-tests use the cluster-robust covariance {kind}" for kind in ("CR0", "CR1", "CR1S", "CR2")},
}
"""What the title says of each way to find degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """How a fit ended, without what it was worked out from.

    Attributes
    ----------
    status : str
        ``"converged"``, ``"singular"``, ``"not identified"`` or ``"not converged"``.
    message : str
        What ended the search.
    optimizer : str
        Which optimiser was used.
    evaluations : int
        Evaluations of the criterion.
    gradient_norm : float
        Largest absolute element of the exact gradient.
    expected_decrease : float
        How much lower a Newton step would take the criterion.
    """

    status: str
    message: str
    optimizer: str
    evaluations: int
    gradient_norm: float
    expected_decrease: float

    @property
    def converged(self) -> bool:
        """Whether the fit is at an optimum, be it on the boundary or one of many."""
        return self.status != "not converged"


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Summary(Forms):
    """What ``fit.summary()`` returns. ``str(summary)`` is the text that users of lme4 and lmerTest know.

    Attributes
    ----------
    formula : str
        The formula.
    reml : bool
        Whether the criterion was REML's or the likelihood's.
    criteria : mapping
        ``reml_criterion``, ``aic``, ``bic``, ``loglik``, ``deviance``, ``df_residual``.
    nobs : int
        Rows used.
    n_rows : int
        Rows given.
    missing : mapping
        For each variable with missing values, how many rows lack it.
    ngroups : Series
        Number of levels of each grouping factor.
    coefficients : DataFrame
        The fixed effects: ``estimate``, ``std_error``, ``df``, ``statistic``, ``p_value``.
    components : VarianceComponents
        The variances of the random effects and the residual.
    theta : Series
        The covariance parameters.
    correlation : DataFrame
        Correlations of the fixed effects.
    show_correlation : bool
        Whether the text, HTML, Markdown and LaTeX show them.
    scaled_residuals : Series
        Minimum, quartiles and maximum of the scaled residuals.
    dropped : tuple of str
        Fixed-effects columns left out because others determine them.
    weights, offset : str or None
        The prior weights and the offset that were given.
    singular : bool
        Whether a covariance matrix is on the boundary.
    convergence : Certificate
        How the fit ended.
    df_method : str
        How the degrees of freedom were found.
    residual_structure : ResidualStructure or None
        Residual variances by stratum and the correlation of residuals.
    relationship : str or None
        The grouping factors whose levels are related.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(fit.summary().coefficients.round(3))  # doctest: +NORMALIZE_WHITESPACE
                 estimate  std_error    df  statistic  p_value
    (Intercept)   251.405      6.825  17.0     36.838      0.0
    Days           10.467      1.546  17.0      6.771      0.0
    """

    formula: str
    reml: bool
    criteria: Mapping[str, float]
    nobs: int
    n_rows: int
    missing: Mapping[str, int]
    ngroups: pd.Series[int]
    coefficients: pd.DataFrame
    components: VarianceComponents
    theta: pd.Series[float]
    correlation: pd.DataFrame
    show_correlation: bool
    scaled_residuals: pd.Series[float]
    dropped: tuple[str, ...]
    weights: str | None
    offset: str | None
    singular: bool
    convergence: Certificate
    df_method: str = "satterthwaite"
    residual_structure: ResidualStructure | None = None
    relationship: str | None = None
    not_identified: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What kind of model it is, how it was fitted and how it is tested."""
        return f"{fit_title(self.reml)}. {TEST_NAMES[self.df_method]}"

    @property
    def random(self) -> pd.DataFrame:
        """The variances and covariances, one row each, with the columns of R's ``as.data.frame(VarCorr(fit))``."""
        return self.components.to_frame()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know: rows and columns left out, a fit on the boundary, how the fit ended."""
        warnings = problems(self.n_rows - self.nobs, self.missing, self.dropped, self.singular)
        return (*warnings, *self.not_identified, _ending(self.convergence))

    def __str__(self) -> str:
        """Return the text."""
        from multilevel.reporting.text import summary_text

        return summary_text(self)

    __repr__ = __str__

    def _document(self) -> Document:
        from multilevel.reporting.text import summary_document

        return summary_document(self)

    def to_dict(self) -> dict[str, Any]:
        """Return every number at full precision in dicts and lists that JSON takes.

        What is not finite (infinite degrees of freedom, the correlation with a variance of zero) is None.

        Returns
        -------
        dict
            ``title``, ``formula``, ``method`` (``"REML"`` or ``"ML"``), ``criteria``, ``nobs``, ``n_rows``, ``missing``,
            ``ngroups``, ``fixed_effects`` (a list with ``term``, ``estimate``, ``std_error``, ``df``, ``statistic``,
            ``p_value``), ``df_method``, ``correlation`` (``names`` and ``values``), ``random_effects`` (a list of terms with
            ``group``, ``names``, ``variances``, ``standard_deviations``, ``covariance``, ``correlation``, the last None where
            there is none), ``sigma``, ``theta``, ``residual_structure`` (None where residuals are independent),
            ``scaled_residuals``, ``dropped``, ``weights``, ``offset``, ``relationship``, ``singular``, ``convergence`` and
            ``notes``.
        """
        ending = self.convergence
        effects = self.coefficients.reset_index(names="term").to_dict(orient="records")
        return {
            "title": self.title,
            "formula": self.formula,
            "method": "REML" if self.reml else "ML",
            "criteria": _plain(self.criteria),
            "nobs": self.nobs,
            "n_rows": self.n_rows,
            "missing": _plain(self.missing),
            "ngroups": _plain(self.ngroups.to_dict()),
            "fixed_effects": _plain(effects),
            "df_method": self.df_method,
            "correlation": {"names": list(self.correlation.index), "values": _plain(self.correlation.to_numpy())},
            "random_effects": [
                {
                    "group": term.label,
                    "names": list(term.names),
                    "variances": _plain(np.diag(term.covariance)),
                    "standard_deviations": _plain(term.standard_deviations),
                    "covariance": _plain(term.covariance),
                    "correlation": _plain(term.correlation) if term.correlated else None,
                }
                for term in self.components
            ],
            "sigma": _plain(self.components.sigma),
            "theta": _plain(self.theta.to_dict()),
            "residual_structure": _plain_structure(self.residual_structure),
            "scaled_residuals": dict(
                zip(("min", "q1", "median", "q3", "max"), _plain(self.scaled_residuals.to_numpy()), strict=True)
            ),
            "dropped": list(self.dropped),
            "weights": self.weights,
            "offset": self.offset,
            "relationship": self.relationship,
            "singular": self.singular,
            "convergence": {
                "status": ending.status,
                "converged": ending.converged,
                "optimizer": ending.optimizer,
                "evaluations": ending.evaluations,
                "gradient_norm": _plain(ending.gradient_norm),
                "expected_decrease": _plain(ending.expected_decrease),
                "message": ending.message,
            },
            "notes": list(self.notes),
        }


def summarise(
    fit: LinearMixedModel,
    correlation: bool | None = None,
    ddf: DdfName = "satterthwaite",
    *,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> Summary:
    """Gather the summary of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
        The fit.
    correlation : bool, optional
        Whether to show the correlations of the fixed effects; by default with at most 12 of them.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the degrees of freedom are found; Kenward and Roger's method adjusts the covariance matrix too.
    vcov, cluster
        A cluster-robust covariance matrix instead, with its own degrees of freedom (see `LinearMixedModel.vcov`).

    Returns
    -------
    Summary
        Its numbers.
    """
    import pandas as pd

    design, ending = fit._design, fit.convergence
    names = list(fit.fixef.index)
    covariance = pd.DataFrame(inference_basis(fit, ddf, vcov=vcov, cluster=cluster).vcov, index=names, columns=names)
    deviations = np.sqrt(np.diag(covariance))
    correlations = covariance.to_numpy() / np.outer(deviations, deviations)
    np.fill_diagonal(correlations, 1.0)
    shown = len(covariance) <= MAX_CORRELATIONS if correlation is None else bool(correlation)
    quantiles = fit._scaled_residual_quantiles
    return Summary(
        formula=str(fit.formula),
        reml=fit.reml,
        criteria={
            "reml_criterion": fit.reml_criterion,
            "aic": fit.aic,
            "bic": fit.bic,
            "loglik": fit.loglik,
            "deviance": fit.deviance,
            "df_residual": fit.df_residual,
        },
        nobs=fit.nobs,
        n_rows=design.n_rows,
        missing=dict(design.missing_by_column),
        ngroups=fit.ngroups,
        coefficients=coefficient_table(fit, ddf, vcov=vcov, cluster=cluster),
        components=fit.varcorr(),
        theta=fit.theta,
        correlation=pd.DataFrame(correlations, index=covariance.index, columns=covariance.columns),
        show_correlation=shown,
        scaled_residuals=pd.Series(quantiles, index=list(QUANTILE_LABELS), name="scaled_residuals"),
        dropped=fit.dropped_columns,
        weights=given(fit, "weights"),
        offset=given(fit, "offset"),
        singular=fit.is_singular,
        convergence=Certificate(
            ending.status,
            ending.message,
            ending.optimizer,
            ending.evaluations,
            ending.gradient_norm if ending.gradient.size else 0.0,
            ending.expected_decrease,
        ),
        df_method=ddf if vcov == "model" else vcov,
        residual_structure=fit.residual_structure,
        relationship=related_levels(fit),
        not_identified=tuple(identification_notes(fit)),
    )


def short_print(fit: LinearMixedModel) -> str:
    """Return a fit in short: formula, criterion, standard deviations of the random effects and the fixed effects."""
    from multilevel.reporting.text import short_text

    return short_text(fit)


def fit_title(reml: bool) -> str:
    """Say what was fitted by which criterion."""
    return f"Linear mixed model fit by {'REML' if reml else 'maximum likelihood'}"


def given(fit: LinearMixedModel, what: str) -> str | None:
    """Name the weights or the offset that `lmer` was given: a column, or that there was one value per row."""
    value = getattr(fit._data, "arguments", {}).get(what)
    if value is None:
        return None
    return value if isinstance(value, str) else "one value per row"


def related_levels(fit: LinearMixedModel) -> str | None:
    """Name the grouping factors whose levels are related, and how many of these have no rows."""
    found = []
    for term in {term.factor.name: term for term in fit._design.random}.values():
        relation = term.factor.relation
        if relation is not None:
            others = f" and {len(relation.others)} without rows" if relation.others else ""
            found.append(f"{term.factor.name} ({term.factor.n_levels} levels{others})")
    return ", ".join(found) or None


def problems(left_out: int, missing: Mapping[str, int], dropped: tuple[str, ...], singular: bool) -> tuple[str, ...]:
    """Say what is not as asked: rows and columns left out, a fit on the boundary."""
    found = []
    if left_out:
        rows = "1 row" if left_out == 1 else f"{left_out} rows"
        lacking = ", ".join(f"{name}: {count}" for name, count in missing.items())
        found.append(f"{rows} left out for missing values" + (f" ({lacking})" if lacking else ""))
    if dropped:
        columns = "1 fixed-effects column" if len(dropped) == 1 else f"{len(dropped)} fixed-effects columns"
        found.append(f"{columns} dropped, determined by the others: {', '.join(dropped)}")
    if singular:
        found.append("Singular fit: a variance is estimated as zero or a correlation as 1 or -1")
    return tuple(found)


def _ending(ending: Certificate) -> str:
    """Say how a fit ended in one line."""
    evaluations = "1 evaluation" if ending.evaluations == 1 else f"{ending.evaluations} evaluations"
    facts = f"exact gradient {ending.gradient_norm:.1e}, gain left {max(ending.expected_decrease, 0.0):.1e}"
    if ending.status == "not identified":
        return f"At one of many optima ({ending.optimizer}, {evaluations}): {facts}"
    if ending.converged:
        return f"Converged ({ending.optimizer}, {evaluations}): {facts}"
    return f"NOT CONVERGED ({ending.optimizer}, {evaluations}; {ending.message}): {facts}"


def _plain_structure(structure: ResidualStructure | None) -> dict[str, Any] | None:
    """Return a residual structure as JSON has it."""
    if structure is None:
        return None
    return {
        "by": structure.by,
        "levels": list(structure.levels),
        "standard_deviations": _plain(structure.standard_deviations),
        "correlation": structure.kind,
        "time": structure.time,
        "within": structure.within,
        "rho": _plain(structure.rho),
    }


def _plain(value: Any) -> Any:
    """Return numbers and their containers as JSON has them, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
