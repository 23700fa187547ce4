"""Numbers so large or so small that squares of them, or of ratios to them, cannot be represented: refused before the fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from multilevel.engine.columns import ColumnMoments
from multilevel.errors import DataError
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]

LARGEST = 1e152
"""Columns, and effects of a column on the response, may be as large as this, and as small as one over it.

Variances are their squares, and sums of squares over ten thousand rows stay below 1e308.
"""

LARGEST_RATIO = 1e30
"""The most by which weights may differ: a row of the smallest then counts as much as rounding does, squared."""


def check_magnitudes(design: Design, moments: ColumnMoments) -> None:
    """Refuse columns, and effects of columns, whose squares would overflow or vanish."""
    sizes = np.hypot(moments.mean, moments.spread)
    ordinary = (sizes == 0.0) | ((sizes > 1.0 / LARGEST) & (sizes < LARGEST))
    response = float(moments.spread[-1]) or float(sizes[-1])
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        effects = response / np.where(moments.constant, sizes, np.where(moments.spread > 0, moments.spread, sizes))
    usual = (sizes == 0.0) | ((effects > 1.0 / LARGEST) & (effects < LARGEST))
    sigma = response / moments.unit
    if ordinary.all() and usual.all() and (response == 0.0 or 1.0 / LARGEST < sigma < LARGEST):
        return
    for place, what in _names(design):
        if not ordinary[place]:
            raise DataError(
                f"{what} has values of the order of {sizes[place]:.0e}; squares of numbers beyond {LARGEST:.0e}, or below"
                f" {1.0 / LARGEST:.0e}, cannot be held: give it in other units."
            )
    for place, what in _names(design):
        if not usual[place]:
            raise DataError(
                f"{what} has an effect on the response of the order of {effects[place]:.0e}, whose variance cannot be represented:"
                " give it, or the response, in other units."
            )

    raise DataError(
        f"With weights of the order of {moments.unit**-2.0:.0e} the standard deviation of a row of weight one is of the order of"
        f" {sigma:.0e}, whose square cannot be represented: multiply all weights by one number that brings them near 1."
    )


def check_responses(responses: FloatArray) -> None:
    """Refuse new responses, a row each, of such sizes."""
    sizes = np.abs(responses).max(axis=1, initial=0.0)
    refused = np.flatnonzero((sizes > 0.0) & ~((sizes > 1.0 / LARGEST) & (sizes < LARGEST)))
    if refused.size:
        raise DataError(
            f"The new response number {int(refused[0])} (counted from 0) has values of about {sizes[refused[0]]:.0e}; squares"
            f" of numbers beyond {LARGEST:.0e}, or below {1.0 / LARGEST:.0e}, cannot be represented: give it in other units."
        )


def check_weights(weights: FloatArray | None) -> None:
    """Refuse weights so different that the rows with small ones vanish beside those with great ones."""
    if weights is None:
        return
    least, most = float(weights.min()), float(weights.max())
    if most / LARGEST_RATIO > least:
        raise DataError(
            f"The weights reach from {least:.0e} to {most:.0e}: beside rows of the greatest weight nothing is left of the others;"
            " leave rows of negligible weight out, or keep all weights within a factor of"
            f" {LARGEST_RATIO:.0e}."
        )


def _names(design: Design) -> Iterator[tuple[int, str]]:
    """Yield the places of the columns and what to call them, the response first."""
    yield design.columns.shape[1] - 1, f"The response {design.response_name!r}"
    for place, name in enumerate(design.fixed_names):
        yield place, f"The column {name!r}"
    for term in design.random:
        for place, name in zip(term.columns, term.names, strict=True):
            yield place, f"The column {name!r} of the term ({term.label})"
