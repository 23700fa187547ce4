"""The table of the random effects' variances, standard deviations and correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from multilevel.data.labels import distinct
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.numbers import format_correlations, format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    from multilevel.model.residual_structure import ResidualStructure
    from multilevel.model.variance_components import TermVariance, VarianceComponents


def variance_table(components: VarianceComponents, variances: bool = True, digits: int = 5) -> Table:
    """Lay out variance components as lme4 does.

    Parameters
    ----------
    components : VarianceComponents
        What is shown.
    variances : bool, default True
        Whether variances stand beside the standard deviations.
    digits : int, default 5
        Significant digits of the smallest standard deviation; correlations have two decimals fewer than that.

    Returns
    -------
    Table
        Columns ``Groups``, ``Name``, ``Variance``, ``Std.Dev.`` and ``Corr``, the last over the columns of the lower triangle. A
        patterned structure has what it is described by: a row for each standard deviation (one where all columns share it), and
        its correlations with the structure's name.
    """
    layout = [_cells(term, max(2, digits - 2)) for term in components]
    deviations = [value for own in layout for _, value, _ in own if value is not None] + [components.sigma]
    numbers = [number_cells(deviations, format_values(deviations, digits))]
    if variances:
        squares = [value**2 for value in deviations]
        numbers.insert(0, number_cells(squares, format_values(squares, digits)))
    n_correlations = max((len(cells) for own in layout for _, _, cells in own), default=0)
    rows = []
    at = 0
    for label, own in zip(distinct([term.group for term in components]), layout, strict=True):
        for i, (name, value, cells) in enumerate(own):
            correlations = (cells + [""] * n_correlations)[:n_correlations]
            texts = ["" for _ in numbers] if value is None else [column[at] for column in numbers]
            rows.append(("" if i else label, name, *texts, *correlations))
            at += value is not None
    rows.append(("Residual", "", *(column[at] for column in numbers), *[""] * n_correlations))
    heads = ("Groups", "Name", *(("Variance",) if variances else ()), "Std.Dev.")
    heads += ("Corr", *[""] * (n_correlations - 1)) if n_correlations else ()
    return Table("Random effects", heads, tuple(rows), labels=2, left=True, indent=" ")


STRUCTURE_WORDS = {"ar1": "AR(1)", "car1": "Continuous AR(1)"}
"""What the kinds of residual correlation are called."""


def residual_structure_table(structure: ResidualStructure, digits: int = 4) -> Table:
    """Lay out a residual structure: the standard deviation of each stratum and its ratio to the first, and the correlation."""
    rows: list[tuple[str | Number, ...]] = []
    correlated = structure.kind is not None
    if structure.by is not None:
        values = [float(value) for value in structure.standard_deviations]
        ratios = [value / values[0] for value in values]
        deviations = number_cells(values, format_values(values, digits))
        relative = number_cells(ratios, format_values(ratios, digits))
        for i, (level, own, ratio) in enumerate(zip(structure.levels, deviations, relative, strict=True)):
            rows.append(("" if i else structure.by, level, own, ratio, *[""] * correlated))
    if structure.kind is not None and structure.rho is not None:
        label = STRUCTURE_WORDS[structure.kind] + (f" over {structure.time}" if structure.time else "")
        blank = [""] * (2 if structure.by is not None else 0)
        rows.append(
            (label, f"within {structure.within}", *blank, Number(f"{structure.rho:.{digits}f}", (structure.rho,)))
        )
    heads = (
        "Residuals",
        "",
        *(("Std.Dev.", "Ratio") if structure.by is not None else ()),
        *(("Corr",) if correlated else ()),
    )
    return Table("Residual structure", heads, tuple(rows), labels=2, left=True, indent=" ")


def _cells(term: TermVariance, decimals: int) -> list[tuple[str, float | None, list[str | Number]]]:
    """Return a name, a standard deviation (None where it is another row's) and correlations for each row of a term."""
    deviations = [float(value) for value in term.standard_deviations]
    if not term.patterned:
        return list(zip(term.names, deviations, _triangle(term, decimals), strict=True))
    labels = [element for element in term.elements if element.kind == "cor"]
    texts = format_correlations(np.array([term.correlation[e.row, e.column] for e in labels]), decimals)
    notes: list[str | Number] = []
    for text, e in zip(texts, labels, strict=True):
        kind = f"({term.structure}{f', {e.label}' if len(labels) > 1 else ''})"
        value = float(term.correlation[e.row, e.column])
        notes.append(Number(f"{text} {kind}", (value,), pattern=f"{{}} {_kept(kind)}"))
    if not labels:
        notes = [f"({term.structure})"]
    if term.elements[0].label:
        # one standard deviation for all columns
        names, values = [f"{term.names[0]} … {term.names[-1]}", *[""] * (len(notes) - 1)], [deviations[0]]
    else:
        names, values = list(term.names), deviations
    count = max(len(names), len(notes))
    padded = [*values, *[None] * (count - len(values))]
    return [(names[i] if i < len(names) else "", padded[i], [notes[i]] if i < len(notes) else []) for i in range(count)]


def _kept(text: str) -> str:
    """Write text so that it is itself in a pattern of numbers."""
    return text.replace("{", "{{").replace("}", "}}")


def _triangle(term: TermVariance, decimals: int) -> list[list[str | Number]]:
    """Return, for each column of a term, its correlations with those before it."""
    k = len(term.names)
    if not term.correlated:
        return [[] for _ in range(k)]
    texts = number_cells(term.correlation.ravel(), format_correlations(term.correlation.ravel(), decimals))
    return [[texts[i * k + j] for j in range(i)] for i in range(k)]
