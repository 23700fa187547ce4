"""The table of the random effects' variances, standard deviations and correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multilevel.reporting.numbers import format_correlations, format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
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
        Columns ``Groups``, ``Name``, ``Variance``, ``Std.Dev.`` and ``Corr``, the last over the columns of the lower triangle.
    """
    deviations = [float(value) for term in components for value in term.standard_deviations] + [components.sigma]
    numbers = [format_values(deviations, digits)]
    if variances:
        squares = [float(value) for term in components for value in term.covariance.diagonal()] + [components.sigma**2]
        numbers.insert(0, format_values(squares, digits))
    n_correlations = max((len(term.names) - 1 for term in components if term.correlated), default=0)
    rows = []
    at = 0
    for label, term in zip(_labels([term.group for term in components]), components, strict=True):
        triangle = _triangle(term, max(2, digits - 2))
        for i, name in enumerate(term.names):
            correlations = (triangle[i] + [""] * n_correlations)[:n_correlations]
            rows.append(("" if i else label, name, *(column[at] for column in numbers), *correlations))
            at += 1
    rows.append(("Residual", "", *(column[at] for column in numbers), *[""] * n_correlations))
    heads = ("Groups", "Name", *(("Variance",) if variances else ()), "Std.Dev.")
    heads += ("Corr", *[""] * (n_correlations - 1)) if n_correlations else ()
    return Table("Random effects", heads, tuple(rows), labels=2, left=True, indent=" ")


def _labels(groups: list[str]) -> list[str]:
    """Return the groups, with a number to the later terms of each: ``subject.1``."""
    seen: dict[str, int] = {}
    labels = []
    for group in groups:
        count = seen.get(group, 0)
        labels.append(f"{group}.{count}" if count else group)
        seen[group] = count + 1
    return labels


def _triangle(term: TermVariance, decimals: int) -> list[list[str]]:
    """Return, for each column of a term, its correlations with those before it."""
    k = len(term.names)
    if not term.correlated:
        return [[] for _ in range(k)]
    texts = format_correlations(term.correlation.ravel(), decimals)
    return [[texts[i * k + j] for j in range(i)] for i in range(k)]
