"""Simple slopes: how the slope of one predictor changes with another, where it differs from zero, and plain slopes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, Level, checked
from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataError, DataTypeError
from multilevel.inference.emmeans import emtrends
from multilevel.inference.reference_grid import fixed_variables, grid_variables
from multilevel.model.source import data_used
from multilevel.plot.predicted_values import predictions
from multilevel.plot.prediction_terms import PlotTerm, plot_terms
from multilevel.plot.predictions import DDF_WORDS, interactions, opacity
from multilevel.plot.style import BLUE, GREY, VERMILION, caption, counted, percent, plotnine, sampled, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

STEPS = 161
"""Values of the moderator at which the slope is worked out."""
ZOOMS = 4
"""How often the end of a region is looked for on a finer grid."""
ZOOM_STEPS = 33


@dataclass(frozen=True, slots=True, eq=False)
class SimpleSlopes:
    """Slopes of a predictor along a moderator.

    Attributes
    ----------
    predictor, moderator
        The columns.
    frame
        ``moderator``, ``estimate``, ``std_error``, ``df``, ``conf_low``, ``conf_high``, and ``significant``: whether the interval
        leaves zero out.
    bounds
        Values of a numeric moderator, within its range, where the interval begins or ceases to hold zero (Johnson & Neyman 1936).
    averaged
        The factors averaged over.
    """

    predictor: str
    moderator: str
    frame: pd.DataFrame
    bounds: tuple[float, ...]
    averaged: tuple[str, ...]

    @property
    def numeric(self) -> bool:
        """Whether the moderator is a number."""
        return bool(self.frame["moderator"].dtype.kind == "f")


def slopes_data(
    fit: LinearMixedModel, predictor: str, moderator: str, *, level: float = 0.95, ddf: DdfName = "satterthwaite"
) -> SimpleSlopes:
    """Work out the slope of a predictor over a moderator.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    predictor : str
        The numeric variable whose slope it is.
    moderator : str
        The variable that it may change with, with values in brackets where they are chosen (``"age [20:60]"``): a number's
        range, or
        the levels of a factor.
    level : float
        Confidence level; the slope is called different from zero where the interval leaves zero out.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of the t intervals.

    Returns
    -------
    SimpleSlopes
        The slopes, averaged over the levels of other factors as `emtrends` does, and the ends of the region of significance.

    References
    ----------
    Johnson, P. O. and Neyman, J. (1936). Tests of certain linear hypotheses and their application to some educational problems.
    Statistical Research Memoirs, 1, 57-93. Bauer, D. J. and Curran, P. J. (2005). Probing interactions in fixed and multilevel
    regression. Multivariate Behavioral Research, 40, 373-400.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.slopes import slopes_data
    >>> cake = ml.load_dataset("cake")
    >>> fit = ml.lmer("angle ~ temp + I(temp**2) + (1 | recipe:replicate)", cake)
    >>> found = slopes_data(fit.update(". ~ . - I(temp**2) + recipe + recipe:temp"), "temp", "recipe")
    >>> found.frame["estimate"].round(3).tolist()
    [0.154, 0.165, 0.156]
    """
    term = plot_terms(fit, [moderator])[0]
    if term.name == predictor:
        raise ControlError(f"{predictor!r} cannot be its own moderator.")
    values: tuple[Any, ...] = term.values
    if not term.is_factor and term.curved and "[" not in moderator:
        values = tuple(np.linspace(values[0], values[-1], STEPS).tolist())
    means = _trends(fit, predictor, term, values, level, ddf)
    frame = means.to_frame().rename(columns={term.name: "moderator"})
    frame["significant"] = (frame["conf_low"] > 0) | (frame["conf_high"] < 0)
    bounds: tuple[float, ...] = ()
    if term.is_factor:
        import pandas as pd

        texts = [level_text(value) for value in frame["moderator"]]
        frame["moderator"] = pd.Categorical(texts, categories=list(term.labels))
    else:
        frame["moderator"] = frame["moderator"].astype(np.float64)
        frame = frame.sort_values("moderator", ignore_index=True)
        bounds = _bounds(fit, predictor, term, frame, level, ddf)
    return SimpleSlopes(predictor, term.name, frame, bounds, means.averaged)


def _trends(
    fit: LinearMixedModel, predictor: str, term: PlotTerm, values: Sequence[Any], level: float, ddf: DdfName
) -> Any:
    return emtrends(fit, term.name, predictor, at={term.name: list(values)}, level=level, ddf=ddf)


def _bounds(
    fit: LinearMixedModel, predictor: str, term: PlotTerm, frame: pd.DataFrame, level: float, ddf: DdfName
) -> tuple[float, ...]:
    """Return where an end of the interval passes zero, each found by looking ever closer."""
    found = []
    for side in ("conf_low", "conf_high"):
        x, y = frame["moderator"].to_numpy(), frame[side].to_numpy()
        for i in np.flatnonzero(np.signbit(y[:-1]) != np.signbit(y[1:])):
            left, right = float(x[i]), float(x[i + 1])
            for _ in range(ZOOMS):
                grid = np.linspace(left, right, ZOOM_STEPS)
                own = _trends(fit, predictor, term, grid.tolist(), level, ddf).to_frame()[side].to_numpy()
                at = int(np.flatnonzero(np.signbit(own[:-1]) != np.signbit(own[1:]))[0])
                left, right, low, high = float(grid[at]), float(grid[at + 1]), float(own[at]), float(own[at + 1])
            found.append(left - low * (right - left) / (high - low))
    return tuple(sorted(found))


def region_text(found: SimpleSlopes) -> str:
    """Say where the slope differs from zero."""
    frame, name = found.frame, found.moderator
    if frame["significant"].all():
        return f"The slope differs from zero at every value of {name} shown."
    if not frame["significant"].any():
        return f"The slope does not differ from zero at any value of {name} shown."
    if not found.numeric:
        levels = frame.loc[frame["significant"], "moderator"].astype(str)
        return f"The slope differs from zero for {', '.join(levels)}."
    low, high = float(frame["moderator"].iloc[0]), float(frame["moderator"].iloc[-1])
    ends = [low, *found.bounds, high]
    parts = []
    for left, right in itertools.pairwise(ends):
        middle = 0.5 * (left + right)
        nearest = int(np.abs(frame["moderator"].to_numpy() - middle).argmin())
        if frame["significant"].iloc[nearest]:
            if left == low:
                parts.append(f"below {_text(right)}")
            elif right == high:
                parts.append(f"above {_text(left)}")
            else:
                parts.append(f"between {_text(left)} and {_text(right)}")
    return f"The slope differs from zero where {name} is {' or '.join(parts)}."


def _text(value: float) -> str:
    return f"{value + 0.0:.3g}".replace("-", "−")


def plain_slopes_data(fit: LinearMixedModel, predictors: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the least-squares slope of the response on each numeric predictor alone.

    Returns
    -------
    pandas.DataFrame
        By predictor: ``intercept``, ``slope``, ``low`` and ``high`` (the range of the predictor).
    """
    import pandas as pd

    rows = []
    for name in numeric_predictors(fit) if predictors is None else predictors:
        x, y = data_used(fit, [name])[name].as_numbers().astype(np.float64), fit._design.y
        deviation = x - x.mean()
        slope = float(deviation @ y / (deviation @ deviation))
        rows.append((name, float(y.mean() - slope * x.mean()), slope, float(x.min()), float(x.max())))
    return pd.DataFrame(rows, columns=["predictor", "intercept", "slope", "low", "high"]).set_index("predictor")


def numeric_predictors(fit: LinearMixedModel) -> list[str]:
    """Return the numeric variables of the fixed part that vary."""
    names = fixed_variables(fit)
    variables = grid_variables(fit, means=names)
    numeric = [variable.name for variable in variables if not variable.is_factor]
    return [name for name in numeric if float(np.ptp(data_used(fit, [name])[name].as_numbers())) > 0]


# ---- drawing ---------------------------------------------------------------------------------------------------------------


@checked
def plot_slopes(
    fit: LinearMixedModel,
    terms: Any = None,
    *,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    show_data: bool = True,
) -> Any:
    """Draw slopes (type ``"slope"``).

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    terms : str or sequence of str, optional
        Two variables: the slope of the first over the second, with the region where it differs from zero (Johnson and Neyman's
        technique). One or none: the response against that predictor, or against each numeric one, with the model's line.
        By default the first interaction with a number in it, where there is one.
    level : float
        Confidence level of the band.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of its t intervals.
    show_data : bool
        Whether the rows are drawn as points beside the lines of single predictors.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError, DataError, DataTypeError, UnknownColumnError
        The terms cannot be used, or there is no numeric predictor.
    """
    chosen = [terms] if isinstance(terms, str) else list(terms) if terms is not None else _default_terms(fit)
    if len(chosen) > 2:
        raise ControlError(
            f"type='slope' takes one predictor, or a predictor and its moderator; terms has {len(chosen)}."
        )
    if len(chosen) == 2:
        return _draw_simple(slopes_data(fit, chosen[0], chosen[1], level=level, ddf=ddf), fit, level, ddf)
    names = chosen or numeric_predictors(fit)
    if not names:
        raise DataError("The fixed part of the model has no numeric variable that would have a slope.")
    for term in (plot_terms(fit, [name])[0] for name in names):
        if term.is_factor:
            raise DataTypeError(f"{term.name!r} is a factor and has no slope; type='pred' draws its levels.")
    return _draw_plain(fit, names, level, ddf, show_data)


def _default_terms(fit: LinearMixedModel) -> list[str]:
    numeric = numeric_predictors(fit)
    for names in interactions(fit):
        own = [name for name in names if name in numeric]
        if own:
            return [own[0], next(name for name in names if name != own[0])]
    return []


def _draw_simple(found: SimpleSlopes, fit: LinearMixedModel, level: float, ddf: str) -> Any:
    p9 = plotnine()
    frame = found.frame
    notes = [region_text(found), f"Intervals: {percent(level)} ({DDF_WORDS[ddf]})."]
    if found.averaged:
        notes.append(f"Averaged over {', '.join(found.averaged)}.")
    words = ("zero is outside", "zero is inside")
    picture = p9.ggplot(frame, p9.aes("moderator", "estimate")) + p9.geom_hline(
        yintercept=0, linetype="dashed", color=GREY
    )
    if found.numeric:
        parts = _stretches(found)
        picture += p9.geom_ribbon(
            p9.aes(ymin="conf_low", ymax="conf_high", fill="region", group="stretch"), data=parts, alpha=0.3
        )
        picture += p9.geom_line(color=BLUE, size=1.1)
        picture += p9.scale_fill_manual(dict(zip(words, (BLUE, VERMILION), strict=True)))
        picture += p9.labs(fill=f"{percent(level)} interval:")
        for bound in found.bounds:
            picture += p9.geom_vline(xintercept=bound, linetype="dotted", color="black")
        values = data_used(fit, [found.moderator])[found.moderator].as_numbers().astype(np.float64)
        unique = np.unique(values)
        low, high = float(frame["moderator"].iloc[0]), float(frame["moderator"].iloc[-1])
        shown = unique[(unique >= low) & (unique <= high)]
        import pandas as pd

        rug = pd.DataFrame({"moderator": shown[sampled(shown.size, 400)]})
        picture += p9.geom_rug(
            p9.aes(x="moderator"), data=rug, sides="b", alpha=0.4, color=GREY, size=0.4, inherit_aes=False
        )
    else:
        frame = frame.assign(region=np.where(frame["significant"], *words))
        picture += p9.geom_linerange(p9.aes(ymin="conf_low", ymax="conf_high", color="region"), data=frame, size=0.9)
        picture += p9.geom_point(p9.aes(color="region", shape="region"), data=frame, size=3)
        picture += p9.scale_color_manual(dict(zip(words, (BLUE, VERMILION), strict=True)))
        picture += p9.scale_shape_manual(dict(zip(words, ("o", "s"), strict=True)))
        picture += p9.labs(color=f"{percent(level)} interval:", shape=f"{percent(level)} interval:")
        picture += p9.scale_x_discrete(labels=wrapped(frame["moderator"].cat.categories, 16))
    return (
        picture
        + p9.labs(
            x=found.moderator,
            y=f"Slope of {found.predictor}",
            title=f"Slope of {found.predictor} by {found.moderator}",
            caption=caption(*notes),
        )
        + theme(7.0, 4.6)
    )


def _stretches(found: SimpleSlopes) -> pd.DataFrame:
    """Cut the band where it passes zero, so that each part has a colour of its own."""
    import pandas as pd

    frame = found.frame[["moderator", "estimate", "conf_low", "conf_high"]]
    x = frame["moderator"].to_numpy()
    cuts = [(bound, *(float(np.interp(bound, x, frame[side])) for side in frame.columns[1:])) for bound in found.bounds]
    ends = [-np.inf, *found.bounds, np.inf]
    parts = []
    for stretch, (left, right) in enumerate(itertools.pairwise(ends)):
        inside = frame[(x > left) & (x < right)]
        own = [cut for cut in cuts if cut[0] in (left, right)]
        part = pd.concat([inside, pd.DataFrame(own, columns=frame.columns)]) if own else inside
        if len(inside):
            significant = bool(found.frame.loc[inside.index[len(inside) // 2], "significant"])
            word = "zero is outside" if significant else "zero is inside"
            parts.append(part.sort_values("moderator").assign(stretch=stretch, region=word))
    return pd.concat(parts, ignore_index=True)


def _draw_plain(fit: LinearMixedModel, names: Sequence[str], level: float, ddf: DdfName, show_data: bool) -> Any:
    """Draw the response against predictors, with the model's lines and those of least squares on each alone."""
    import pandas as pd

    p9 = plotnine()
    lines, points = [], []
    rows = sampled(fit.nobs)
    terms = [plot_terms(fit, [f"{name} [n=61]" if "[" not in name else name])[0] for name in names]
    response = fit._design.y
    for term in terms:
        own = predictions(fit, {term.name: list(term.values)}, scale="linear", level=level, ddf=ddf).frame
        lines.append(own.assign(panel=term.name))
        x = data_used(fit, [term.name])[term.name].as_numbers().astype(np.float64)
        points.append(pd.DataFrame({"x": x[rows], "response": response[rows], "panel": term.name}))
    labels = [term.name for term in terms]
    plain = plain_slopes_data(fit, labels).reset_index()
    plain["y_low"] = plain["intercept"] + plain["slope"] * plain["low"]
    plain["y_high"] = plain["intercept"] + plain["slope"] * plain["high"]
    curves, cloud = (
        frame.assign(panel=pd.Categorical(frame["panel"], categories=labels))
        for frame in (pd.concat(lines, ignore_index=True), pd.concat(points, ignore_index=True))
    )
    plain["panel"] = pd.Categorical(plain["predictor"], categories=labels)
    notes = [
        f"Band: {percent(level)} confidence of the population mean, other numbers at their mean, factors at their first level."
    ]
    if show_data and len(rows) < fit.nobs:
        notes.append(f"{counted(len(rows))} of {counted(fit.nobs)} rows are drawn.")
    columns = min(len(labels), 3)
    n_rows = -(-len(labels) // columns)
    width = 7.0 if columns == 1 else min(11.0, 3.3 * columns + 0.8)
    names_of_lines = ("the model, others held", "least squares, this predictor alone")
    picture = p9.ggplot(curves, p9.aes("x", "estimate"))
    if show_data:
        picture += p9.geom_point(
            p9.aes(y="response"),
            data=cloud,
            color=GREY,
            alpha=opacity(len(rows)),
            size=1.5 if len(rows) <= 500 else 1.0,
            stroke=0,
        )
    picture += p9.geom_ribbon(p9.aes(ymin="conf_low", ymax="conf_high"), fill=BLUE, alpha=0.2)
    picture += p9.geom_line(p9.aes(color="line", linetype="line"), data=curves.assign(line=names_of_lines[0]), size=1.1)
    picture += p9.geom_segment(
        p9.aes(x="low", y="y_low", xend="high", yend="y_high", color="line", linetype="line"),
        data=plain.assign(line=names_of_lines[1]),
        size=0.9,
    )
    picture += p9.scale_color_manual(dict(zip(names_of_lines, (BLUE, VERMILION), strict=True)))
    picture += p9.scale_linetype_manual(dict(zip(names_of_lines, ("solid", "dashed"), strict=True)))
    if len(labels) > 1:
        picture += p9.facet_wrap("panel", scales="free_x", ncol=columns)
    return (
        picture
        + p9.labs(
            x=labels[0] if len(labels) == 1 else "Predictor",
            y=fit._design.response_name,
            title="Slopes of the response",
            color="",
            linetype="",
            caption=caption(*notes, width=width),
        )
        + theme(width, 4.6 if n_rows == 1 else min(12.0, 1.6 + 2.8 * n_rows))
    )
