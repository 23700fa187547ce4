"""The rows of a table of models: coefficients, random effects and measures of fit, a group of columns for each model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from multilevel.documents.model_columns import ModelColumns
from multilevel.reporting.cells import Across, Cell, Number
from multilevel.reporting.style import decimal_text, p_value_text
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    from multilevel.documents.model_table import ModelTable

Show = Literal["estimate", "std_beta", "ci", "std_error", "statistic", "df", "p"]
Measure = Literal["variances", "icc", "groups", "nobs", "r2", "aic", "deviance", "loglik"]

HEADS: dict[str, str] = {
    "estimate": "Estimate", "std_beta": "Std. Beta", "ci": "CI", "std_error": "SE", "statistic": "t", "df": "df", "p": "p",
}  # fmt: skip
MEASURES = ("variances", "icc", "groups", "nobs", "r2", "aic", "deviance", "loglik")

RANDOM = "Random effects"
MODEL = "Model"

UNDEFINED = "not defined"
"""What stands where a measure of a model has no value; the notes say why."""


def model_rows(table: ModelTable) -> Table:
    """Lay out a table of models."""
    models, show = table.models, table.show
    names = [f"{100 * table.level:g}% CI" if what == "ci" else HEADS[what] for what in show]
    rows: list[tuple[Cell, ...]] = [
        (term, *(cell for model in models for cell in _coefficient(model.coefficients.get(term), show)))
        for term in table.terms
    ]
    measures = set(table.measures)
    width = 1 + len(show) * len(models)
    blocks = [(RANDOM, _random_rows(models, measures)), (MODEL, _fit_rows(models, measures))]
    for heading, found in blocks:
        if found:
            rows.append((Across(heading, width, heading=True),))
            rows += [(label, *(Across(cell, len(show)) for cell in cells)) for label, cells in found]
    return Table(
        table.title,
        ("Predictors", *(name for _ in models for name in names)),
        tuple(rows),
        groups=tuple(Across(model.name, len(show)) for model in models),
    )


def _coefficient(values: Mapping[str, float] | None, show: Sequence[Show]) -> list[str | Number]:
    """Return the cells of a coefficient; what a model does not have is blank."""
    if values is None:
        return [""] * len(show)
    cells: list[str | Number] = []
    for what in show:
        if what == "ci":
            limits = (values["conf_low"], values["conf_high"])
            cells.append("" if math.isnan(sum(limits)) else Number(" ", limits, pattern="{} – {}"))
        elif what == "p":
            p = values["p_value"]
            cells.append("" if math.isnan(p) else Number(p_value_text(p, "numeric"), (p,), "p"))
        elif what == "df":
            cells.append("" if math.isnan(values["df"]) else "∞" if math.isinf(values["df"]) else f"{values['df']:.1f}")
        else:
            marked = values["p_value"] if what == "estimate" and "p" not in show else math.nan
            cells.append(_number(values.get(what, math.nan), marked))
    return cells


def _number(value: float, p_value: float = math.nan) -> str | Number:
    """Return a number whose decimals the table decides."""
    return "" if math.isnan(value) else Number(" ", (value,), p_value=p_value)


def _measured(value: float, places: int) -> str:
    return UNDEFINED if math.isnan(value) else decimal_text(value, places)


Rows = list[tuple[str, list[str | Number]]]


def _each(models: Sequence[ModelColumns], names: Callable[[ModelColumns], Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for model in models for name in names(model)))


def _random_rows(models: Sequence[ModelColumns], measures: set[Measure]) -> Rows:
    rows: Rows = []
    if "variances" in measures:
        for label in _each(models, lambda model: model.variances):
            rows.append((label, [_number(model.variances.get(label, math.nan)) for model in models]))
    if "icc" in measures:
        rows.append(("ICC", [UNDEFINED if math.isnan(model.icc) else _number(model.icc) for model in models]))
    if "groups" in measures:
        for group in _each(models, lambda model: model.groups):
            rows.append((f"N {group}", [f"{m.groups[group]:,}" if group in m.groups else "" for m in models]))
    return rows


def _fit_rows(models: Sequence[ModelColumns], measures: set[Measure]) -> Rows:
    rows: Rows = []
    if "nobs" in measures:
        rows.append(("Observations", [f"{model.nobs:,}" for model in models]))
    if "r2" in measures:
        texts: list[str | Number] = [
            f"{_measured(model.r2_marginal, 3)} / {_measured(model.r2_conditional, 3)}" for model in models
        ]
        rows.append(("Marginal R² / Conditional R²", texts))
    for what, label in (("deviance", "−2 log-likelihood"), ("aic", "AIC"), ("loglik", "Log-likelihood")):
        if what in measures:
            rows.append((label, [_number(model.fit[what]) for model in models]))
    if rows:
        rows.insert(0, ("Estimated by", [model.method for model in models]))
    return rows
