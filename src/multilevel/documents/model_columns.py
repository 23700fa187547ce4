"""What one model contributes to a table of models: its coefficients, its variances and its measures of fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from multilevel.arguments import DdfName
from multilevel.errors import MultilevelError
from multilevel.model.identification import identification_notes
from multilevel.quality.intraclass_correlation import icc
from multilevel.quality.parameters_table import model_parameters
from multilevel.quality.r_squared import r2
from multilevel.quality.standardize import standardize_parameters

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

COEFFICIENT_FIELDS = ("estimate", "std_beta", "std_error", "conf_low", "conf_high", "statistic", "df", "p_value")


@dataclass(frozen=True)
class ModelColumns:
    """One model of a table.

    Attributes
    ----------
    name : str
        What it is called.
    response : str
        Its response.
    coefficients : mapping
        For each fixed effect its numbers by name: ``estimate``, ``std_beta`` (where asked for), ``std_error``, ``conf_low``,
        ``conf_high``, ``statistic``, ``df``, ``p_value``.
    variances : mapping
        σ², then for each term of each grouping factor τ₀₀ (intercept), τ₁₁ (slope) and ρ (correlation), in variances.
    icc : float
        Adjusted intraclass correlation.
    groups : mapping
        Number of levels of each grouping factor.
    nobs : int
        Number of rows.
    r2_marginal, r2_conditional : float
        Nakagawa's R²; NaN where it is not defined.
    method : str
        ``"REML"`` or ``"ML"``.
    fit : mapping
        ``deviance`` (−2 log-likelihood; of a REML fit the REML criterion), ``aic`` and ``loglik``.
    notes : tuple of str
        What a reader should know: a singular fit, one that did not converge, rows left out.
    """

    name: str
    response: str
    coefficients: Mapping[str, Mapping[str, float]]
    variances: Mapping[str, float]
    icc: float
    groups: Mapping[str, int]
    nobs: int
    r2_marginal: float
    r2_conditional: float
    method: str
    fit: Mapping[str, float]
    notes: tuple[str, ...]


def model_columns(
    fit: LinearMixedModel, name: str, *, level: float, ddf: DdfName, standardized: bool = False
) -> ModelColumns:
    """Return what a model contributes to a table of models."""
    table = model_parameters(fit, "fixed", level=level, ddf=ddf).to_frame()
    coefficients: dict[str, dict[str, float]] = {
        str(row["parameter"]): {
            field: float(row[field]) for field in COEFFICIENT_FIELDS if field != "std_beta" and field in table.columns
        }
        for _, row in table.iterrows()
    }
    if standardized:
        beta = standardize_parameters(fit).to_frame()
        for term, value in beta["estimate"].items():
            coefficients[str(term)]["std_beta"] = float(value)
    variances = {"σ²": fit.sigma**2}
    correlations: dict[str, float] = {}
    for part in fit.varcorr():
        for c, (column, deviation) in enumerate(zip(part.names, part.standard_deviations, strict=True)):
            label = f"τ₀₀ {part.label}" if column == "(Intercept)" else f"τ₁₁ {part.label}: {column}"
            variances[label] = float(deviation) ** 2
            for r in range(c + 1, len(part.names) if part.correlated else 0):
                pair = part.names[r] if column == "(Intercept)" else f"{column}, {part.names[r]}"
                correlations[f"ρ {part.label}: {pair}"] = float(part.correlation[r, c])
    variances.update(correlations)
    structure = fit.residual_structure
    if structure is not None:
        first = float(structure.standard_deviations[0])
        for stratum, own in zip(structure.levels[1:], structure.standard_deviations[1:], strict=True):
            variances[f"σ² {structure.by} {stratum} / {structure.levels[0]}"] = (float(own) / first) ** 2
        if structure.rho is not None:
            variances["ρ residuals" + (f" over {structure.time}" if structure.time else "")] = float(structure.rho)
    notes: list[str] = []
    adjusted, marginal, conditional = _explained(fit, notes)
    notes += identification_notes(fit)
    if not fit.convergence.converged:
        notes.append("The search ended before it reached an optimum.")
    elif fit.is_singular:
        notes.append("The fit is singular: a variance is estimated as zero or a correlation as ±1.")
    if fit.n_missing:
        were = (
            "1 row with missing values was"
            if fit.n_missing == 1
            else f"{fit.n_missing:,} rows with missing values were"
        )
        notes.append(f"{were} left out.")
    if fit.dropped_columns:
        notes.append(f"Left out because other columns determine them: {', '.join(fit.dropped_columns)}.")
    return ModelColumns(
        name,
        str(fit.formula.response),
        MappingProxyType({term: MappingProxyType(values) for term, values in coefficients.items()}),
        MappingProxyType(variances),
        adjusted,
        MappingProxyType({str(group): int(count) for group, count in fit.ngroups.items()}),
        fit.nobs,
        marginal,
        conditional,
        "REML" if fit.reml else "ML",
        MappingProxyType({"deviance": -2.0 * fit.loglik, "aic": fit.aic, "loglik": fit.loglik}),
        tuple(notes),
    )


def _explained(fit: LinearMixedModel, notes: list[str]) -> tuple[float, float, float]:
    """Return ICC, marginal and conditional R²; the notes say why one of them is not defined."""
    try:
        adjusted = float(icc(fit).adjusted)
        explained = r2(fit)
    except MultilevelError as error:
        notes.append(f"No ICC and R²: {error}")
        return math.nan, math.nan, math.nan
    marginal, conditional = float(explained.marginal), float(explained.conditional)
    lost = [
        name
        for name, value in (("ICC", adjusted), ("marginal R²", marginal), ("conditional R²", conditional))
        if math.isnan(value)
    ]
    if lost:
        notes.append(f"Not defined for this model: {', '.join(lost)}.")
    return adjusted, marginal, conditional
