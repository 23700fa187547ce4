"""The summary of a fit as plain text and as a document, and the short form of a fit."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from multilevel.reporting.abbreviate import abbreviate
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Fact, Legend, Notes, Paragraph
from multilevel.reporting.numbers import (
    QUANTILE_LABELS,
    STARS_LEGEND,
    format_coefficients,
    format_correlations,
    format_number,
    format_p_values,
    format_quantiles,
    format_values,
    stars,
)
from multilevel.reporting.tables import TEXT_WIDTH, Table
from multilevel.reporting.variance_table import residual_structure_table, variance_table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel
    from multilevel.reporting.forms import Block
    from multilevel.reporting.summary import Summary

DIGITS = 4
"""Significant digits of estimates."""

_TIE = "\x00"
_CRITERIA = {"AIC": "aic", "BIC": "bic", "logLik": "loglik", "deviance": "deviance", "df.resid": "df_residual"}


def summary_text(summary: Summary) -> str:
    """Return the whole summary."""
    parts = [
        "\n".join(
            [summary.title, *_model_lines(summary.formula, summary.weights, summary.offset, summary.relationship)]
        ),
        criterion_line(summary.reml, summary.criteria, decimals=1),
        f"Scaled residuals:\n{_named(list(QUANTILE_LABELS), _residual_cells(summary), gap=1)}",
        f"Random effects:\n{variance_table(summary.components, digits=DIGITS)}\n"
        f"{data_line(summary.nobs, summary.ngroups)}",
    ]
    if summary.residual_structure is not None:
        parts.append(f"Residual structure:\n{residual_structure_table(summary.residual_structure).to_text()}")
    if len(summary.coefficients):
        table, starred = coefficient_cells(summary.coefficients)
        legend = f"\n---\n{STARS_LEGEND}" if starred else ""
        parts.append(f"Fixed effects:\n{table.to_text()}{legend}")
    else:
        parts.append("No fixed effects")
    if summary.show_correlation and len(summary.coefficients) > 1:
        triangle = correlation_table(summary.correlation).to_text(width=TEXT_WIDTH)
        parts.append(f"Correlation of Fixed Effects:\n{triangle}")
    parts.append("\n".join(_wrapped(note) for note in summary.notes))
    return "\n\n".join(parts)


def summary_document(summary: Summary) -> Document:
    """Return the whole summary as what HTML, Markdown and LaTeX are made of."""
    facts = [
        ("Formula", summary.formula), ("Weights", summary.weights), ("Offset", summary.offset),
        ("Related", summary.relationship),
    ]  # fmt: skip
    if summary.reml:
        name, value = criterion_line(True, summary.criteria, 1).split(": ")
        facts.append((name, value))
    blocks: list[Block] = [Paragraph(summary.title, bold=True), *(Fact(name, code) for name, code in facts if code)]
    if not summary.reml:
        blocks.append(criterion_table(summary))
    blocks += [
        residual_table(summary),
        variance_table(summary.components, digits=DIGITS),
        Paragraph(" ".join(data_line(summary.nobs, summary.ngroups).split())),
    ]
    if summary.residual_structure is not None:
        blocks.append(residual_structure_table(summary.residual_structure))
    if len(summary.coefficients):
        fixed, starred = coefficient_cells(summary.coefficients)
        blocks += [fixed, *([Legend(STARS_LEGEND)] if starred else [])]
    else:
        blocks.append(Paragraph("No fixed effects"))
    if summary.show_correlation and len(summary.coefficients) > 1:
        blocks.append(correlation_table(summary.correlation))
    return Document(f"Summary of {summary.formula}", (*blocks, Notes(summary.notes)))


def short_text(fit: LinearMixedModel) -> str:
    """Return a fit in short."""
    from multilevel.model.identification import identification_notes
    from multilevel.reporting.summary import fit_title, given, problems, related_levels

    names = ["reml_criterion"] if fit.reml else list(_CRITERIA.values())
    criteria = {name: float(getattr(fit, name)) for name in names}
    lines = [
        fit_title(fit.reml),
        *_model_lines(str(fit.formula), given(fit, "weights"), given(fit, "offset"), related_levels(fit)),
        criterion_line(fit.reml, criteria, decimals=DIGITS),
        "Random effects:",
        variance_table(fit.varcorr(), variances=False, digits=DIGITS).to_text(),
        data_line(fit.nobs, fit.ngroups),
    ]
    structure = fit.residual_structure
    if structure is not None:
        lines += ["Residual structure:", residual_structure_table(structure).to_text()]
    fixed = fit.fixef
    if len(fixed):
        lines += [
            "Fixed Effects:",
            _named(list(fixed.index), format_values(np.asarray(fixed, dtype=np.float64), DIGITS)),
        ]
    else:
        lines.append("No fixed effects")
    notes = problems(fit.n_missing, fit._design.missing_by_column, fit.dropped_columns, fit.is_singular)
    lines += [_wrapped(note) for note in (*notes, *identification_notes(fit))]
    if not fit.convergence.converged:
        lines.append(_wrapped(f"NOT CONVERGED: {fit.convergence.message}"))
    return "\n".join(lines)


def residual_table(summary: Summary) -> Table:
    """Return the quantiles of the scaled residuals."""
    values = [float(value) for value in summary.scaled_residuals]
    return Table(
        "Scaled residuals", QUANTILE_LABELS, (tuple(number_cells(values, _residual_cells(summary))),), labels=0
    )


def _residual_cells(summary: Summary) -> list[str]:
    return format_quantiles(np.asarray(summary.scaled_residuals, dtype=np.float64), DIGITS)


def criterion_table(summary: Summary) -> Table:
    """Return the criteria of a likelihood fit."""
    *texts, df = _criterion_cells(summary.criteria, 1)
    values = [float(summary.criteria[key]) for key in _CRITERIA.values()]
    return Table("Criteria", tuple(_CRITERIA), ((*number_cells(values[:-1], texts), df),), labels=0)


def coefficient_cells(coefficients: pd.DataFrame) -> tuple[Table, bool]:
    """Return the coefficient table, and whether it has stars (it has where some p-value is below 0.1)."""
    body, statistics = format_coefficients(
        coefficients[["estimate", "std_error", "df"]].to_numpy(dtype=np.float64),
        coefficients["statistic"].to_numpy(dtype=np.float64),
        DIGITS,
    )
    p_values = coefficients["p_value"].to_numpy(dtype=np.float64)
    marks = [stars(value) for value in p_values]
    starred = bool((p_values < 0.1).any())
    width = max(map(len, marks), default=0)
    estimates, errors, degrees = zip(*body, strict=True)
    columns = [
        number_cells(coefficients["estimate"], estimates),
        number_cells(coefficients["std_error"], errors),
        list(degrees),
        number_cells(coefficients["statistic"], statistics),
        number_cells(p_values, format_p_values(p_values, DIGITS - 1), "p"),
    ]
    if starred:
        columns.append([Number(mark.ljust(width), (p,), "stars") for mark, p in zip(marks, p_values, strict=True)])
    rows = tuple(
        (str(name), *cells) for name, cells in zip(coefficients.index, zip(*columns, strict=True), strict=True)
    )
    heads = ("", "Estimate", "Std. Error", "df", "t value", "Pr(>|t|)", *(("",) if starred else ()))
    return Table("Fixed effects", heads, rows), starred


def correlation_table(correlation: pd.DataFrame) -> Table:
    """Return the lower triangle of the fixed effects' correlations, under short names."""
    names = [str(name) for name in correlation.index]
    p = len(names)
    texts = format_correlations(correlation.to_numpy().ravel(), 3)
    labels, heads = abbreviate(names, 11), abbreviate(names, 6)
    cells = number_cells(correlation.to_numpy().ravel(), texts)
    rows = tuple((labels[i], *(cells[i * p + j] if j < i else "" for j in range(p - 1))) for i in range(1, p))
    whole = {short: name for shown in (labels, heads) for short, name in zip(shown, names, strict=True)}
    return Table("Correlation of fixed effects", ("", *heads[:-1]), rows, left=True, names=whole)


def data_line(nobs: int, ngroups: pd.Series[int]) -> str:
    """Return the numbers of rows and of levels."""
    groups = "; ".join(f"{name}, {count}" for name, count in ngroups.items())
    line = f"Number of obs: {nobs}, groups:  {groups}"
    return line if len(line) <= TEXT_WIDTH else f"Number of obs: {nobs}, groups:\n{groups}"


def _model_lines(formula: str, weights: str | None, offset: str | None, relationship: str | None) -> list[str]:
    lines = [_wrapped(f"Formula: {_kept_together(formula)}").replace(_TIE, " ")]
    if weights:
        lines.append(f"Weights: {weights}")
    if offset:
        lines.append(f" Offset: {offset}")
    if relationship:
        lines.append(_wrapped(f"Related: {relationship}"))
    return lines


def criterion_line(reml: bool, criteria: Mapping[str, float], decimals: int) -> str:
    """Return the REML criterion, or the criteria of a likelihood fit under their names."""
    if reml:
        value = criteria["reml_criterion"]
        return f"REML criterion at convergence: {format_number(round(float(value), decimals))}"
    return _named(list(_CRITERIA), _criterion_cells(criteria, decimals), gap=1)


def _criterion_cells(criteria: Mapping[str, float], decimals: int) -> list[str]:
    values = [float(criteria[key]) for key in _CRITERIA.values()]
    return [*format_values([round(float(value), decimals) for value in values[:-1]]), str(int(values[-1]))]


def _named(names: list[str], cells: list[str], gap: int = 2) -> str:
    """Write values under their names in columns of equal width, as many to a line as there is room for."""
    width = max(map(len, [*names, *cells]))
    across = max(1, TEXT_WIDTH // (width + gap))
    lines = []
    for at in range(0, len(names), across):
        for texts in (names, cells):
            lines.append((" " * gap).join(text.rjust(width) for text in texts[at : at + across]))
    return "\n".join(lines)


def _kept_together(formula: str) -> str:
    """Tie what stands in parentheses, so that lines break between terms."""
    depth, letters = 0, []
    for letter in formula:
        depth += (letter == "(") - (letter == ")")
        letters.append(_TIE if letter == " " and depth else letter)
    return "".join(letters)


def _wrapped(line: str) -> str:
    return textwrap.fill(line, TEXT_WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
