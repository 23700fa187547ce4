"""Pictures of predictions: over chosen variables, and over the variables of every interaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import DdfName, Level, checked
from multilevel.data.levels import level_text
from multilevel.errors import DataError
from multilevel.formula.syntax import names_in
from multilevel.inference.emmeans import MeanWeights
from multilevel.plot.predicted_values import (
    Predictions,
    Scale,
    cluster_lines,
    predictions,
    raw_data,
)
from multilevel.plot.prediction_terms import MOST_TERMS
from multilevel.plot.style import (
    BLUE,
    GREY,
    PALETTE,
    caption,
    counted,
    percent,
    plotnine,
    sampled,
    theme,
    wrapped,
)

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

LINES = ("solid", "dashed", "dashdot", "dotted", (0, (1, 1, 5, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (10, 4)))
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""What tells the levels of the second variable apart beside their colours."""
WIDTH = 7.0
DDF_WORDS = {
    "satterthwaite": "t by Satterthwaite",
    "kenward-roger": "t by Kenward and Roger",
    "residual": "t with n − p df",
    "asymptotic": "normal",
}


@checked
def plot_predictions(
    fit: LinearMixedModel,
    terms: Any = None,
    *,
    at: Mapping[str, Any] | None = None,
    scale: Scale = "response",
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    show_data: bool = False,
    groups: Any = None,
) -> Any:
    """Draw predicted values (type ``"pred"``): other numbers at their mean, other factors at their first level.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    terms : str, sequence of str or mapping
        One to three variables, for the x axis, colours and panels, with values in brackets where they are chosen:
        ``["x [all]", "arm", "age [20, 40]"]`` (see `multilevel.plot.predicted_values.predictions_data`).
    at : mapping, optional
        Values of other variables to hold them at.
    scale : {"response", "linear"}
        Whether a response that the formula transforms is transformed back.
    level : float
        Confidence level of the band.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of its t intervals.
    show_data : bool
        Whether the rows of the data are drawn as points; of more than 4000, a sample.
    groups : str, mapping or True, optional
        A grouping factor whose levels have a line each, or a mapping of one to the levels wanted; of more than 100, a sample. True:
        the first grouping factor.

    Returns
    -------
    plotnine.ggplot
        The picture. The band is that of the population mean, random effects at zero; the caption says what is held at what.

    Raises
    ------
    UnknownColumnError
        The fixed part has no such variable.
    ControlError, DataError
        The terms, their values or an option cannot be used.
    """
    found = predictions(fit, terms, at=at, scale=scale, level=level, ddf=ddf)
    return draw_predictions(fit, found, "Predicted values", level, ddf, show_data=show_data, groups=groups)


@checked
def plot_marginal_effects(
    fit: LinearMixedModel,
    terms: Any = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: MeanWeights = "equal",
    scale: Scale = "response",
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    show_data: bool = False,
) -> Any:
    """Draw estimated marginal means (type ``"eff"``): other numbers at their mean, averaged over the levels of other factors.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    terms, at, scale, level, ddf, show_data
        As in `plot_predictions`.
    weights : {"equal", "proportional", "outer", "cells"}
        How levels are averaged over (see `emmeans`).

    Returns
    -------
    plotnine.ggplot
        The picture; its numbers are those of `emmeans`.
    """
    found = predictions(fit, terms, margin="average", at=at, weights=weights, scale=scale, level=level, ddf=ddf)
    return draw_predictions(fit, found, "Estimated marginal means", level, ddf, show_data=show_data)


def interactions(fit: LinearMixedModel) -> list[tuple[str, ...]]:
    """Return the variables of every interaction of the fixed part that no other one contains, in order of appearance."""
    found: list[tuple[str, ...]] = []
    for term in fit.formula.term_list.terms:
        names = tuple(dict.fromkeys(name for node in term.variables for name in names_in(node)))
        if len(names) > 1:
            found.append(names)
    sets = [frozenset(names) for names in found]
    kept = [names for names, own in zip(found, sets, strict=True) if not any(own < other for other in sets)]
    return list({frozenset(names): names for names in reversed(kept)}.values())[::-1]


@checked
def plot_interactions(
    fit: LinearMixedModel,
    *,
    values: str = "meansd",
    at: Mapping[str, Any] | None = None,
    scale: Scale = "response",
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    show_data: bool = False,
) -> Any:
    """Draw the predictions over the variables of every interaction (type ``"int"``).

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    values : {"meansd", "minmax", "zeromax", "quart", "quart2", "terciles", "all"}
        Which values numeric variables take that are not on the x axis.
    at, scale, level, ddf, show_data
        As in `plot_predictions`.

    Returns
    -------
    plotnine.ggplot or plotnine.composition.Compose
        One picture for each interaction that no other one contains: below each other where there are several. A numeric variable
        of it is on the x axis; of more than three variables the others are held.

    Raises
    ------
    DataError
        The model has no interaction.
    """
    wanted = interactions(fit)
    if not wanted:
        raise DataError("The fixed part of the model has no interaction to draw; type='pred' draws predictions.")
    pictures = []
    for names in wanted:
        kinds = {term.name: term.is_factor for term in _kinds(fit, names)}
        # A numeric variable along the axis shows its slope; the others keep their order.
        order = sorted(names, key=lambda name: kinds[name])[:1]
        order += [name for name in names if name not in order]
        terms = [
            name if kinds[name] or place == 0 else f"{name} [{values}]" if _varied(fit, name) else name
            for place, name in enumerate(order[:MOST_TERMS])
        ]
        own = {name: value for name, value in (at or {}).items() if name not in order[:MOST_TERMS]}
        found = predictions(fit, terms, at=own, scale=scale, level=level, ddf=ddf)
        pictures.append(
            draw_predictions(fit, found, f"Interaction of {' and '.join(order)}", level, ddf, show_data=show_data)
        )
    page = pictures[0]
    for picture in pictures[1:]:
        page = page / picture
    if len(pictures) == 1:
        return page
    p9 = plotnine()
    return page & p9.theme(figure_size=(WIDTH + 0.5, min(14.0, 4.4 * len(pictures))))


def _kinds(fit: LinearMixedModel, names: tuple[str, ...]) -> list[Any]:
    from multilevel.inference.reference_grid import fixed_variables, grid_variables

    return [variable for variable in grid_variables(fit, means=fixed_variables(fit)) if variable.name in names]


def _varied(fit: LinearMixedModel, name: str) -> bool:
    """Whether a numeric variable has more values than two, so that some stand for all."""
    from multilevel.model.source import data_used

    return len(np.unique(data_used(fit, [name])[name].as_numbers())) > 2


# ---- drawing ---------------------------------------------------------------------------------------------------------------


def draw_predictions(
    fit: LinearMixedModel,
    found: Predictions,
    title: str,
    level: float,
    ddf: str,
    *,
    show_data: bool = False,
    groups: Any = None,
) -> Any:
    """Draw predictions: curves with bands over numbers, points with intervals over levels."""
    p9 = plotnine()
    first = found.terms[0]
    coloured = len(found.terms) > 1
    n_panels = len(found.terms[2].values) if len(found.terms) > 2 else 1
    n_columns = min(n_panels, 3)
    width = WIDTH if n_panels == 1 else min(11.0, 3.2 * n_columns + 1.0)
    notes = _notes(fit, found, level, ddf)
    found = replace(found, frame=found.frame.dropna(subset=["estimate"]))
    picture = p9.ggplot(found.frame, p9.aes("x", "estimate"))
    if show_data:
        rows = raw_data(fit, found)
        kept = sampled(len(rows))
        if len(kept) < len(rows):
            notes.append(f"{counted(len(kept))} of {counted(len(rows))} rows are drawn.")
        picture += _points(rows.iloc[kept], coloured, jitter=first.is_factor)
    if groups is not None and groups is not False:
        lines, name, count = cluster_lines(fit, found, groups)
        drawn = lines["cluster"].nunique()
        notes.append(f"Thin lines: {counted(drawn)} of {counted(count)} levels of {name}.")
        lines = lines.assign(line=lines["cluster"].astype(str) + "\n" + lines["group"].astype(str))
        opacity = float(np.clip(8.0 / drawn, 0.25, 0.7))
        aes = {"group": "line"} | ({"color": "group"} if coloured else {})
        ink = {} if coloured else {"color": GREY}
        picture += p9.geom_line(p9.aes(**aes), data=lines, alpha=opacity, size=0.5, show_legend=False, **ink)
    picture += _marks(found, coloured)
    if coloured:
        colours = list(PALETTE[: len(found.terms[1].values)])
        labels = wrapped(found.terms[1].labels)
        scales = [p9.scale_color_manual(colours, labels=labels), p9.scale_fill_manual(colours, labels=labels)]
        if first.curved:
            scales.append(p9.scale_linetype_manual(list(LINES[: len(colours)]), labels=labels))
        else:
            scales.append(p9.scale_shape_manual(list(SHAPES[: len(colours)]), labels=labels))
        for scale in scales:
            picture += scale
        name = found.terms[1].name
        same = {"color": name, "fill": name, "linetype" if first.curved else "shape": name}
        picture += p9.labs(**same)
    if n_panels > 1:
        third = found.terms[2].name
        picture += p9.facet_wrap("panel", ncol=n_columns, labeller=lambda label: f"{third}: {label}")
    if first.is_factor:
        picture += p9.scale_x_discrete(labels=wrapped(first.labels, max(6, int(60 / n_columns / len(first.labels)))))
    elif not first.curved:
        picture += p9.scale_x_continuous(
            breaks=list(first.values), labels=[level_text(value) for value in first.values], expand=(0.25, 0)
        )
    response = fit._design.response_name if found.scale is None else found.scale.of
    n_rows = -(-n_panels // n_columns)
    return (
        picture
        + p9.labs(
            x=first.name,
            y=f"Predicted {response}",
            title=title,
            caption=caption(*notes, width=width),
        )
        + theme(width, min(11.0, 4.6 if n_rows == 1 else 1.4 + 2.7 * n_rows))
    )


def _points(rows: Any, coloured: bool, *, jitter: bool) -> Any:
    p9 = plotnine()
    aes = p9.aes(y="response", color="group") if coloured else p9.aes(y="response")
    options: dict[str, Any] = {
        "data": rows,
        "alpha": opacity(len(rows)),
        "size": 1.5 if len(rows) <= 500 else 1.0,
        "stroke": 0,
        "show_legend": False,
    }
    if not coloured:
        options["color"] = GREY
    if jitter:
        options["position"] = p9.position_jitter(width=0.12, height=0, random_state=1)
    return p9.geom_point(aes, **options)


def opacity(n: int) -> float:
    """Return how opaque n points are drawn."""
    return float(np.clip(250 / max(n, 1), 0.2, 0.6))


def _marks(found: Predictions, coloured: bool) -> list[Any]:
    """Return the layers of the predictions."""
    p9 = plotnine()
    if found.terms[0].curved:
        if not coloured:
            return [
                p9.geom_ribbon(p9.aes(ymin="conf_low", ymax="conf_high"), fill=BLUE, alpha=0.2),
                p9.geom_line(color=BLUE, size=1.1),
            ]
        return [
            p9.geom_ribbon(p9.aes(ymin="conf_low", ymax="conf_high", fill="group"), alpha=0.18, show_legend=False),
            p9.geom_line(p9.aes(color="group", linetype="group"), size=1.1),
        ]
    if not coloured:
        return [
            p9.geom_linerange(p9.aes(ymin="conf_low", ymax="conf_high"), color=BLUE, size=0.9, na_rm=True),
            p9.geom_point(color=BLUE, size=3),
        ]
    span = 1.0 if found.terms[0].is_factor else float(np.ptp(found.terms[0].values)) or 1.0
    dodge = p9.position_dodge(width=0.4 * span)
    aes = p9.aes(ymin="conf_low", ymax="conf_high", color="group", group="group")
    return [
        p9.geom_linerange(aes, position=dodge, size=0.9, show_legend=False, na_rm=True),
        p9.geom_point(p9.aes(color="group", shape="group", group="group"), position=dodge, size=3),
    ]


def _notes(fit: LinearMixedModel, found: Predictions, level: float, ddf: str) -> list[str]:
    """Say what the band is, what is held and what averaged over."""
    mark = "Band" if found.terms[0].curved else "Bars"
    methods = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward–Roger", "residual": "residual df"}
    method = methods.get(ddf, "normal")
    notes = [f"{mark}: {percent(level)} confidence of the population mean ({method}), random effects at zero."]
    if found.held:
        held = ", ".join(f"{name} = {_value(value)}" for name, value in found.held.items())
        notes.append(f"Held: {held}.")
    if found.averaged:
        notes.append(f"Averaged over {', '.join(found.averaged)}.")
    if fit._design.offset is not None:
        notes.append("The offset is at its mean.")
    if found.scale is not None:
        notes.append(f"Transformed back from {found.scale.text}.")
    missing = int(found.frame["estimate"].isna().sum())
    if missing:
        what = "1 combination is" if missing == 1 else f"{missing} combinations are"
        notes.append(f"{what} not determined by the data and left out.")
    return notes


def _value(value: Any) -> str:
    return f"{value + 0.0:.3g}".replace("-", "−") if isinstance(value, float) else level_text(value)
