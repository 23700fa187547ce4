"""Estimated marginal means and marginal trends of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import DdfName, Level, checked
from multilevel.errors import ControlError, DataError, DataTypeError, UnknownColumnError
from multilevel.formula.syntax import Name, names_in
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.marginal_means import MarginalMeans, as_names, check_level
from multilevel.inference.reference_grid import (
    GridVariable,
    LinearForms,
    ReferenceGrid,
    encoder_of,
    grid_forms,
    reference_grid,
)
from multilevel.inference.response_scale import scale_of_response
from multilevel.model.identification import identification_notes
from multilevel.model.source import data_used

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

MeanWeights = Literal["equal", "proportional", "outer", "cells"]
OVERALL = "1"
TREND_STEP = 0.001
"""The step of the difference quotient of a trend, in ranges of the covariate."""


@checked
def emmeans(
    fit: LinearMixedModel,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: MeanWeights = "equal",
    ddf: DdfName = "satterthwaite",
    type: Literal["linear", "response"] = "linear",
    level: Level = 0.95,
) -> MarginalMeans:
    """Estimate marginal means: the fixed effects' predictions, averaged over what is not asked for.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    specs : str or sequence of str
        The variables that the means are for, the first varying fastest; ``"1"`` for the overall mean.
    by : str or sequence of str, optional
        Variables whose levels make groups: means are compared within a group only.
    at : mapping, optional
        Values to use instead of all levels of a factor or the mean of a covariate. Several values of a covariate that is not asked
        for are averaged over.
    weights : {"equal", "proportional", "outer", "cells"}
        How levels are averaged over: alike; by how often their combinations occur in the data; by the product of how often each
        occurs; or by how often they occur together with the levels that the mean is for.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the degrees of freedom are found; Kenward and Roger's method adjusts the standard errors too.
    type : {"linear", "response"}
        Whether means of a response that the formula transforms are transformed back, with standard errors by the delta method:
        from logarithms, exponentials, powers, ``scale()``, ``center()``, ``asin()``, sums and products with numbers, and what is
        made of these, such as ``2 * log(y + 1)``. Differences of logarithms become ratios.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    MarginalMeans
        The means: ``to_frame()``, ``pairs()``, ``contrast()``, ``test()``.

    Raises
    ------
    UnknownColumnError
        A variable is not in the fixed part of the model.
    DataError, DataTypeError, ControlError
        A value of `at` or an option cannot be used.

    Notes
    -----
    Covariates are at their mean over the rows used, and those with two distinct values count as factors; truth values, text and
    categories, and columns inside ``factor()``, are factors. An offset is at its mean. Means that the data do not determine are
    NaN. Frequencies count rows, whatever their prior weights. Agrees with R's ``emmeans``.

    A factor is nested in another where each of its levels occurs with one level of that, or where the formula has it within that
    only (``f / area``). Means of the outer factor are then means of those within it (of streets within towns, of these within the
    region), a nested factor is shown with what it is nested in, and combinations that cannot be are left out.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> ml.emmeans(fit, "recipe", at={"temp": [175, 225]}, ddf="kenward-roger")
    Estimated marginal means
    <BLANKLINE>
    recipe Estimate Std. Error df 95% low 95% high
    A         33.12       1.74 42   29.62    36.63
    B         31.64       1.74 42   28.14    35.15
    C         31.60       1.74 42   28.09    35.11
    <BLANKLINE>
    Averaged over temp
    recipe is in an interaction with what is averaged over
    Degrees of freedom: kenward-roger; confidence level: 0.95
    """
    grid = reference_grid(fit, at)
    return _table(fit, grid, "Estimated marginal means", specs, by, weights, ddf, type, level)


@checked
def emtrends(
    fit: LinearMixedModel,
    specs: str | Sequence[str],
    var: str,
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: MeanWeights = "equal",
    ddf: DdfName = "satterthwaite",
    level: Level = 0.95,
) -> MarginalMeans:
    """Estimate marginal trends: slopes of the prediction in a covariate, averaged as means are.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    specs : str or sequence of str
        The variables that the slopes are for; ``"1"`` for the overall slope.
    var : str
        The covariate. Where its effect is not linear, the slope is that at its mean, or at the values that `at` gives.
    by, at, weights, ddf, level
        As in `emmeans`.

    Returns
    -------
    MarginalMeans
        The slopes: ``to_frame()``, ``pairs()``, ``contrast()``, ``test()``.

    Notes
    -----
    Slopes are exact where the prediction is linear in the covariate, and otherwise symmetric difference quotients over a thousandth
    of the covariate's range. They are on the scale of the linear predictor. Agrees with R's ``emtrends``, whose quotients go to one
    side, so that its slopes of curves are those half a thousandth of the range further on.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> slopes = ml.emtrends(fit, "recipe", "temp")
    >>> slopes.to_frame().estimate.round(3).tolist()
    [0.154, 0.165, 0.156]
    >>> slopes.pairs().to_frame().p_value.round(3).tolist()
    [0.96, 0.998, 0.974]
    """
    grid = reference_grid(fit, at, means=(var,))
    axis = grid.position(var)
    variable = grid.variables[axis]
    if variable.is_factor:
        raise DataTypeError(f"var must be numeric, and {var!r} is a factor.")
    forms = _slopes(fit, grid, variable)
    return _table(fit, replace(grid, forms=forms), f"Trends of {var}", specs, by, weights, ddf, "linear", level)


def _slopes(fit: LinearMixedModel, grid: ReferenceGrid, variable: GridVariable) -> LinearForms:
    """Return the derivatives of a grid's rows in a covariate."""
    values = data_used(fit, [variable.name])[variable.name].as_numbers()
    span = float(np.ptp(values))
    if not span > 0.0:
        raise DataError(f"{variable.name!r} is constant; there is no slope.")

    def difference(step: float) -> LinearForms:
        ends = []
        for sign in (0.5, -0.5):
            moved = replace(variable, values=tuple(value + sign * step for value in variable.values))
            ends.append(grid_forms(fit, [moved if own is variable else own for own in grid.variables]))
        return LinearForms(
            (ends[0].rows - ends[1].rows) / step,
            (ends[0].defects - ends[1].defects) / step,
            np.zeros(len(ends[0].rows)),
        )

    small = difference(TREND_STEP * span)
    wide = difference(span)
    # The wider difference rounds less and is the slope where columns are linear in the covariate.
    size = np.maximum(np.abs(small.rows).max(axis=0), 1e-300)
    linear = np.isfinite(wide.rows).all(axis=0) & (np.abs(wide.rows - small.rows).max(axis=0) <= 1e-8 * size)
    return replace(small, rows=np.where(linear, wide.rows, small.rows))


def _table(
    fit: LinearMixedModel,
    grid: ReferenceGrid,
    title: str,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    weights: str,
    ddf: str,
    kind: str,
    level: float,
) -> MarginalMeans:
    """Average a grid over what is not asked for."""
    check_level(level)
    if kind not in ("linear", "response"):
        raise ControlError(f"type must be 'linear' or 'response', not {kind!r}.")
    response = encoder_of(fit).response
    scale = scale_of_response(fit)
    if kind == "response" and scale is None and not isinstance(response, Name):
        raise ControlError(
            f"The way back from {fit._design.response_name!r} is not known; it is from logarithms, exponentials, powers of what has"
            " one sign, scale(), center(), asin(), sums and products with numbers, and what is made of these. Use type='linear'."
        )
    groups = as_names(by)
    overall = specs in (OVERALL, [], ())
    asked = () if overall else as_names(specs)
    twice = [name for name in asked if name in groups]
    if twice:
        raise UnknownColumnError(f"{', '.join(map(repr, twice))} cannot be both in specs and in by.")
    for name in (*asked, *groups):
        grid.position(name)
    groups = _with_nests(grid, groups, asked, before=True)
    asked = _with_nests(grid, asked, groups)
    order = [*asked, *groups]
    # The first of specs varies fastest.
    kept = [grid.position(name) for name in reversed(order)]
    forms = grid.marginal(kept, weights)
    shape = tuple(grid.shape[axis] for axis in kept)
    positions = np.indices(shape).reshape(len(shape), len(forms.rows))[::-1]
    rest = [axis for axis in range(len(grid.shape)) if axis not in kept]
    there = np.transpose(grid.possible(kept), [*kept, *rest]).reshape(-1)
    if not there.all():
        forms, positions = forms.take(there), positions[:, there]
    labels: list[tuple[str, tuple[Any, ...]]] = [
        (name, tuple(grid.variables[grid.position(name)].values[i] for i in own))
        for name, own in zip(order, positions, strict=True)
    ]
    if not asked:
        labels.insert(0, (OVERALL, ("overall",) * len(forms.rows)))
    averaged = tuple(
        variable.name for variable in grid.variables if variable.name not in order and len(variable.values) > 1
    )
    return MarginalMeans(
        title=title,
        labels=tuple(labels),
        by=groups,
        forms=forms,
        ddf=ddf,
        level=level,
        adjust="none",
        tests=False,
        null=0.0,
        averaged=averaged,
        _beta=np.asarray(fit.fixef, dtype=np.float64),
        _basis=inference_basis(fit, ddf),
        _scale=scale,
        _back=kind == "response" and scale is not None,
        _remarks=(*_nestings(grid), *_interactions(fit, grid, order, averaged), *identification_notes(fit)),
    )


def _with_nests(
    grid: ReferenceGrid, names: Sequence[str], others: Sequence[str], *, before: bool = False
) -> tuple[str, ...]:
    """Return names with the factors that they are nested in, behind each or before it, those that stand elsewhere left out."""
    found: list[str] = []
    for name in names:
        nests = [grid.variables[axis].name for axis in grid.axes(grid.nests.get(name, ()))]
        own = [nest for nest in nests if nest not in names and nest not in others]
        found += [*own, name] if before else [name, *own]
    return tuple(dict.fromkeys(found))


def _nestings(grid: ReferenceGrid) -> tuple[str, ...]:
    """Say which factors are nested in which."""
    found = []
    for axis, variable in enumerate(grid.variables):
        nests = grid.nests.get(variable.name, ())
        if grid.shape[axis] > 1 and nests:
            found.append(f"{variable.name} is nested in {', '.join(nests)}")
    return ("; ".join(found),) if found else ()


def _interactions(
    fit: LinearMixedModel, grid: ReferenceGrid, order: Sequence[str], averaged: Sequence[str]
) -> tuple[str, ...]:
    """Say which variables asked for interact with what is averaged over: their means then depend on the weights.

    Those of a nest are about what is nested in it by their meaning.
    """
    found: dict[str, None] = {}
    for term in fit.formula.term_list.terms:
        names = {name for node in term.variables for name in names_in(node)}
        over = names & set(averaged)
        found.update(
            dict.fromkeys(
                name for name in order if name in names and any(name not in grid.nests.get(own, ()) for own in over)
            )
        )
    if not found:
        return ()
    verb = "is in an interaction" if len(found) == 1 else "are in interactions"
    return (f"{', '.join(found)} {verb} with what is averaged over",)
