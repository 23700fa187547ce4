"""Predictions of the fixed effects over one to three variables, with intervals, and the lines of single clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName
from multilevel.data.factors import Factor
from multilevel.data.frames import Frame
from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataError
from multilevel.formula.syntax import names_in
from multilevel.inference.emmeans import MeanWeights, emmeans
from multilevel.inference.nesting import followers, nests_of
from multilevel.inference.reference_grid import (
    encoder_of,
    fixed_variables,
    grid_frame,
    grid_variables,
    plain_values,
)
from multilevel.inference.response_scale import ResponseScale, scale_of_response
from multilevel.model.source import data_used
from multilevel.plot.prediction_terms import PlotTerm, plot_terms
from multilevel.plot.style import sampled

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.inference.marginal_means import MarginalMeans
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
Scale = Literal["response", "linear"]
Margin = Literal["reference", "average"]

MARGINS = ("reference", "average")
MOST_CLUSTERS = 100
"""Clusters whose lines are drawn; of more, a sample is."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions and what they are predictions of.

    Attributes
    ----------
    terms
        The variables they run over.
    frame
        A row for each combination: ``x``, ``group``, ``panel``, ``estimate``, ``std_error``, ``df``, ``conf_low``, ``conf_high``.
    held
        The variables that are held, and at what.
    averaged
        The factors averaged over.
    scale
        The transformation of the response that was undone, or None.
    """

    terms: tuple[PlotTerm, ...]
    frame: pd.DataFrame
    held: Mapping[str, Any]
    averaged: tuple[str, ...]
    scale: ResponseScale | None


def predictions(
    fit: LinearMixedModel,
    terms: Any = None,
    *,
    margin: Margin = "reference",
    at: Mapping[str, Any] | None = None,
    weights: MeanWeights = "equal",
    scale: Scale = "response",
    level: float = 0.95,
    ddf: DdfName = "satterthwaite",
) -> Predictions:
    """Make the predictions (see `predictions_data`)."""
    if margin not in MARGINS:
        raise ControlError(f"margin must be 'reference' or 'average', not {margin!r}.")
    if scale not in ("response", "linear"):
        raise ControlError(f"scale must be 'response' or 'linear', not {scale!r}.")
    chosen = plot_terms(fit, terms)
    names = [term.name for term in chosen]
    given = dict(at or {})
    for name in given:
        if name in names:
            raise ControlError(f"{name!r} is both in terms and in at; its values stand in terms.")
    fixed: dict[str, Any] = {term.name: list(term.values) for term in chosen}
    held: dict[str, Any] = {}
    free = _not_held(fit, names)
    for variable in grid_variables(fit, given, means=[] if margin == "average" else fixed_variables(fit)):
        if variable.name in names or (variable.name in free and variable.name not in given):
            continue
        own = variable.values
        if variable.is_factor and variable.name not in given:
            if margin == "average":
                continue
            own = own[:1]
        fixed[variable.name] = list(own)
        if len(own) == 1:
            held[variable.name] = own[0]
    back = scale_of_response(fit) if scale == "response" else None
    means = emmeans(
        fit, names, at=fixed, weights=weights, ddf=ddf, type="linear" if back is None else "response", level=level
    )
    return Predictions(chosen, _as_frame(means, chosen), held, means.averaged, back)


def _not_held(fit: LinearMixedModel, names: Sequence[str]) -> set[str]:
    """Return the factors that go with the levels of some others: those that follow from them, and those nested in them."""
    variables = grid_variables(fit, means=fixed_variables(fit))
    nests = nests_of(variables, fit.formula.term_list.terms)
    inside = {name for name, own in nests.items() if name not in names and set(own) & set(names)}
    return followers(variables, names) | inside


def _as_frame(means: MarginalMeans, terms: tuple[PlotTerm, ...]) -> pd.DataFrame:
    """Return the table with columns by what the terms are for; missing ones have a single empty category."""
    import pandas as pd

    found = means.to_frame()
    labels = dict(means.labels)
    columns: dict[str, Any] = {}
    for place, role in enumerate(("x", "group", "panel")):
        if place >= len(terms):
            columns[role] = pd.Categorical([""] * len(found))
            continue
        term = terms[place]
        values = labels[term.name]
        if role == "x" and not term.is_factor:
            columns[role] = np.array(values, dtype=np.float64)
        else:
            columns[role] = _as_category(values, term)
    numbers = ("estimate", "std_error", "df", "conf_low", "conf_high")
    return pd.DataFrame(columns | {name: found[name] for name in numbers})


def _as_category(values: Iterable[Any], term: PlotTerm) -> pd.Categorical:
    import pandas as pd

    names = dict(zip((level_text(value) for value in term.values), term.labels, strict=True))
    return pd.Categorical([names.get(level_text(value)) for value in values], categories=list(term.labels))


def predictions_data(
    fit: LinearMixedModel,
    terms: Any = None,
    *,
    margin: Margin = "reference",
    at: Mapping[str, Any] | None = None,
    weights: MeanWeights = "equal",
    scale: Scale = "response",
    level: float = 0.95,
    ddf: DdfName = "satterthwaite",
) -> pd.DataFrame:
    """Return predictions of the fixed effects over one to three variables.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    terms : str, sequence of str or mapping
        The variables: the first for the x axis, the second for colours, the third for panels. A name alone takes all levels of a
        factor; of a numeric variable 61 values over its range for the x axis, and mean − sd, mean and mean + sd elsewhere. Values
        stand in brackets: ``"x [0, 1.5]"``, ``"x [1:10]"``, ``"x [1:10 by=0.5]"``, ``"arm [control, therapy]"``, ``"x [all]"`` (all
        that occur), ``[meansd]``, ``[minmax]``, ``[zeromax]``, ``[quart]``, ``[quart2]`` (without the extremes), ``[terciles]``,
        ``[fivenum]``, ``[mean]``, ``[n=5]`` (evenly spaced). A mapping gives each its values. By default the first variable.
    margin : {"reference", "average"}
        What the other variables are: ``"reference"``, numbers at their mean and factors at their first level (R's ``ggpredict``);
        ``"average"``, numbers at their mean and predictions averaged over the levels of factors (``ggemmeans``), those with two
        numeric values among them.
    at : mapping, optional
        Values of other variables to hold them at; several are averaged over.
    weights : {"equal", "proportional", "outer", "cells"}
        For ``"average"``, how levels are averaged over (see `emmeans`).
    scale : {"response", "linear"}
        Whether a response that the formula transforms (``log(y)``, …) is transformed back.
    level : float
        Confidence level of the intervals.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of the t intervals; ``"asymptotic"`` gives normal ones, as R's ``ggpredict`` has them.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``group``, ``panel``, ``estimate``, ``std_error``, ``df``, ``conf_low``, ``conf_high``: population means, with all
        random effects at zero.

    Raises
    ------
    UnknownColumnError
        The fixed part has no such variable.
    ControlError, DataError
        The terms, their values or an option cannot be used.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.predicted_values import predictions_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> predictions_data(fit, "Days [0, 9]")[["x", "estimate", "conf_low", "conf_high"]].round(1)
         x  estimate  conf_low  conf_high
    0  0.0     251.4     237.0      265.8
    1  9.0     345.6     314.7      376.5
    """
    return predictions(
        fit, terms, margin=margin, at=at, weights=weights, scale=scale, level=level, ddf=ddf
    ).frame  # fmt: skip


# ---- rows of the data ------------------------------------------------------------------------------------------------------


def raw_data(fit: LinearMixedModel, found: Predictions) -> pd.DataFrame:
    """Return the response of the rows used beside the picture's variables.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``group``, ``panel`` and ``response``, on the scale of the predictions. A numeric variable of colours or panels takes
        the nearest of its values; rows with levels that the picture leaves out are left out.
    """
    import pandas as pd

    columns = data_used(fit, [term.name for term in found.terms])
    response = fit._design.y
    frame: dict[str, Any] = {}
    keep = np.ones(fit.nobs, dtype=np.bool_)
    for place, role in enumerate(("x", "group", "panel")):
        if place >= len(found.terms):
            frame[role] = pd.Categorical([""] * fit.nobs)
            continue
        term = found.terms[place]
        column = columns[term.name]
        if not term.is_factor:
            numbers = column.as_numbers().astype(np.float64)
            if role == "x":
                frame[role] = numbers
                continue
            nearest = np.abs(numbers[:, None] - np.asarray(term.values)).argmin(axis=1)
            frame[role] = pd.Categorical.from_codes([int(code) for code in nearest], categories=pd.Index(term.labels))
            continue
        factor: Factor = column.as_factor()
        place_of = {text: i for i, text in enumerate(term.labels)}
        table = np.array([*(place_of.get(text, -1) for text in factor.levels.names), -1])
        codes = table[factor.codes]
        keep &= codes >= 0
        frame[role] = pd.Categorical.from_codes([int(code) for code in codes], categories=pd.Index(term.labels))
    frame["response"] = response if found.scale is None else found.scale.back(response)
    return pd.DataFrame(frame)[keep].reset_index(drop=True)


# ---- lines of clusters -----------------------------------------------------------------------------------------------------


def cluster_lines(fit: LinearMixedModel, found: Predictions, groups: Any) -> tuple[pd.DataFrame, str, int]:
    """Return the predictions of single clusters, with the conditional modes of their grouping factor in them.

    Parameters
    ----------
    fit
        The fitted model.
    found
        The population's predictions.
    groups
        A grouping factor, or a mapping of one to the levels wanted.

    Returns
    -------
    frame : pandas.DataFrame
        ``x``, ``group``, ``panel``, ``cluster`` and ``estimate``; a cluster has rows for those levels of the factors of colours and
        panels alone that it has in the data.
    name : str
        The grouping factor.
    count : int
        How many clusters there are to choose from.

    Raises
    ------
    ControlError, DataError
        There is no such grouping factor or level, or factors are averaged over.
    """
    import pandas as pd

    if found.averaged:
        raise ControlError(
            f"Lines of clusters are for one level of each factor; these predictions are averages over {', '.join(found.averaged)}."
            " Use type='pred', or hold it with at."
        )
    name, levels = _chosen_levels(fit, groups)
    terms = [t for t, term in enumerate(fit._terms) if term.factor.name == name]
    factor = fit._terms[terms[0]].factor
    picked = sampled(factor.n_levels, MOST_CLUSTERS) if levels is None else levels
    grid = _grid_with_random(fit, found, terms)
    rows = len(next(iter(grid.values())))
    encoder = encoder_of(fit)
    # The columns of the terms do not depend on the cluster: its levels are not needed to make them.
    order = fit._engine.products.plan.term_order
    evaluator = encoder._evaluator(Frame(grid))
    effects = np.zeros((rows, len(picked)))
    for t in terms:
        z = encoder._fill(evaluator, encoder.random[order[t]].columns)
        effects += z @ fit._modes[t][picked].T
    base = encoder.determined_matrix(Frame(grid)) @ fit._engine.beta
    offset = 0.0 if fit._design.offset is None else float(np.mean(fit._design.offset))
    values = base[:, None] + offset + effects
    if found.scale is not None:
        values = found.scale.back(values)
    parts: dict[str, Any] = {}
    for place, role in enumerate(("x", "group", "panel")):
        if place >= len(found.terms):
            parts[role] = pd.Categorical([""] * values.size)
            continue
        term = found.terms[place]
        repeated = np.repeat(grid[term.name], len(picked))
        parts[role] = repeated if role == "x" and not term.is_factor else _as_category(repeated, term)
    parts["cluster"] = np.tile(np.array([factor.levels[j] for j in picked], dtype=object), rows)
    parts["estimate"] = values.ravel()
    frame = pd.DataFrame(parts)
    # The notes of the picture say of combinations that the data do not determine.
    kept = _occurring(fit, found, factor.codes, picked, frame) & frame["estimate"].notna().to_numpy()
    return frame[kept].reset_index(drop=True), name, factor.n_levels


def _chosen_levels(fit: LinearMixedModel, groups: Any) -> tuple[str, npt.NDArray[np.intp] | None]:
    levels: Any = None
    name = groups
    if groups is True:
        name = str(fit.ngroups.index[0])
    elif isinstance(groups, Mapping):
        if len(groups) != 1:
            raise ControlError("groups maps one grouping factor to its levels, as in {'Subject': ['308', '309']}.")
        name, levels = next(iter(groups.items()))
    factors = {term.factor.name: term.factor for term in fit._terms}
    if name not in factors:
        raise ControlError(f"The model has no grouping factor {name!r}; it has {', '.join(map(repr, factors))}.")
    if levels is None:
        return str(name), None
    texts = [level_text(value) for value in ([levels] if isinstance(levels, str) else levels)]
    known = {text: j for j, text in enumerate(factors[name].levels)}
    unknown = [text for text in texts if text not in known]
    if unknown or not texts:
        shown = ", ".join(map(repr, factors[name].levels[:8])) + (", …" if factors[name].n_levels > 8 else "")
        raise DataError(f"groups: {name!r} has no level {unknown[0] if unknown else ''!r}; its levels are {shown}.")
    return str(name), np.array([known[text] for text in texts], dtype=np.intp)


def _grid_with_random(fit: LinearMixedModel, found: Predictions, terms: Sequence[int]) -> dict[str, Any]:
    """Return the rows of the predictions with every variable that the fixed part or the random terms use."""
    at = {term.name: list(term.values) for term in found.terms}
    at |= {name: [value] for name, value in found.held.items()}
    variables = grid_variables(fit, at, means=[name for name in fixed_variables(fit) if name not in at])
    by_name = {variable.name: variable for variable in variables}
    order = [term.name for term in reversed(found.terms)]
    grid = grid_frame([by_name[name] for name in [*order, *(own for own in by_name if own not in order)]])
    encoder = encoder_of(fit)
    needed: dict[str, None] = {}
    for t in terms:
        for column in encoder.random[fit._engine.products.plan.term_order[t]].columns:
            for text, _, _ in column.pieces:
                needed.update(dict.fromkeys(names_in(encoder.nodes[text])))
    rows = len(next(iter(grid.values())))
    for name, used in data_used(fit, [name for name in needed if name not in grid]).items():
        value = used.as_numbers().mean() if used.is_numeric else plain_values(used)[0]
        grid[name] = np.full(rows, value)
    return grid


def _occurring(
    fit: LinearMixedModel,
    found: Predictions,
    codes: npt.NDArray[Any],
    picked: npt.NDArray[np.intp],
    frame: pd.DataFrame,
) -> npt.NDArray[np.bool_]:
    """Return which rows have levels of the colours and panels that their cluster has in the data."""
    keep = np.ones(len(frame), dtype=np.bool_)
    for term, role in zip(found.terms[1:], ("group", "panel"), strict=False):
        if not term.is_factor:
            continue
        factor = data_used(fit, [term.name])[term.name].as_factor()
        seen = np.zeros((int(codes.max()) + 1, len(factor.levels)), dtype=np.bool_)
        seen[codes, factor.codes] = True
        texts = list(factor.levels.names)
        place = np.array([texts.index(label) for label in frame[role].cat.categories])
        clusters = np.tile(picked, len(frame) // len(picked))
        keep &= seen[clusters, place[frame[role].cat.codes.to_numpy()]]
    return keep
