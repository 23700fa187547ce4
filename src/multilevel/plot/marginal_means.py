"""Pictures of marginal means, trends and their contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked
from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataError, DataTypeError
from multilevel.inference.marginal_means import CONTRAST, MarginalMeans, as_names
from multilevel.plot.style import BLUE, GREY, PALETTE, caption, percent, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""What tells levels apart beside their colours."""
ACROSS, LETTERS = 8, 60
"""Levels, and letters of their names, that still fit along the horizontal axis."""
MOST_PANELS = 24


def marginal_means_data(means: MarginalMeans, terms: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Return what the picture of marginal means draws.

    Parameters
    ----------
    means : MarginalMeans
        What `emmeans` or `emtrends` returned, or contrasts of these.
    terms : str or sequence of str, optional
        The variables for the axis, for colours and for panels, in this order; those not named have panels. By default the first of
        ``specs`` is on the axis, the second has colours, and what is left, ``by`` among it, has panels.

    Returns
    -------
    pandas.DataFrame
        One row for each mean that the data determine: ``x`` (numbers where all values are numbers and there are three or more,
        else categories), ``group`` and ``panel`` (categories, a single empty one where there are none), ``estimate``,
        ``std_error``, ``df``, ``conf_low``, ``conf_high``.

    Raises
    ------
    ControlError
        A term is none of the variables.
    DataError
        The data determine none of the means.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.marginal_means import marginal_means_data
    >>> fit = ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> marginal_means_data(ml.emmeans(fit, "recipe"))[["x", "estimate", "conf_low", "conf_high"]].round(2).values.tolist()
    [['A', 33.12, 29.62, 36.63], ['B', 31.64, 28.14, 35.15], ['C', 31.6, 28.09, 35.11]]
    """
    import pandas as pd

    if not isinstance(means, MarginalMeans):
        raise DataTypeError(f"plot_emmeans takes what emmeans or emtrends returned, not a {type(means).__name__}.")
    labels = dict(means.labels)
    order = _order(means, terms)
    table = means.to_frame()
    columns: dict[str, Any] = {"x": _axis(labels[order[0]])}
    columns["group"] = _categories(labels[order[1]]) if len(order) > 1 and order[1] else _none(len(table))
    rest = order[2:]
    if rest:
        texts = [", ".join(f"{name}: {level_text(labels[name][row])}" for name in rest) for row in range(len(table))]
        columns["panel"] = pd.Categorical(texts, categories=list(dict.fromkeys(texts)))
    else:
        columns["panel"] = _none(len(table))
    data = pd.DataFrame(columns)
    for name in ("estimate", "std_error", "df", "conf_low", "conf_high"):
        data[name] = table[name].to_numpy()
    data = data[data["estimate"].notna()].reset_index(drop=True)
    if data.empty:
        raise DataError("There is nothing to draw: the data determine none of the means.")
    return data


def _order(means: MarginalMeans, terms: str | Sequence[str] | None) -> list[str]:
    """Return the variables for axis, colours and panels; an empty name stands for no colours."""
    names = [name for name, _ in means.labels]
    if terms is None:
        own = [name for name in names if name not in means.by]
        return [own[0], own[1] if len(own) > 1 else "", *own[2:], *means.by]
    wanted = list(as_names(terms))
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise ControlError(
            f"terms names {unknown[0] if unknown else 'no variable'!r}; the means are for {', '.join(names)}."
        )
    return [wanted[0], wanted[1] if len(wanted) > 1 else "", *wanted[2:], *(n for n in names if n not in wanted)]


def _none(rows: int) -> Any:
    import pandas as pd

    return pd.Categorical([""] * rows)


def _categories(values: Sequence[Any]) -> Any:
    import pandas as pd

    texts = [level_text(value) for value in values]
    return pd.Categorical(texts, categories=list(dict.fromkeys(texts)))


def _axis(values: Sequence[Any]) -> Any:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and len(set(values)) > 2:
        return np.array(values, dtype=np.float64)
    return _categories(values)


@checked
def plot_emmeans(means: MarginalMeans, terms: str | Sequence[str] | None = None) -> Any:
    """Draw marginal means, trends or contrasts as points with intervals.

    Parameters
    ----------
    means : MarginalMeans
        What `emmeans` or `emtrends` returned, or contrasts of these (``pairs()``, ``contrast()``).
    terms : str or sequence of str, optional
        The variables for the axis, for colours and for panels, in this order; those not named have panels. By default the first of
        ``specs`` is on the axis, the second has colours, and what is left, ``by`` among it, has panels.

    Returns
    -------
    plotnine.ggplot
        The picture. Contrasts, and means of many levels, stand below each other; a dashed line is drawn at the value that means no
        difference or no slope. The caption gives the notes of the table.

    Raises
    ------
    ControlError
        A term is none of the variables, or there are more than eight colours or 24 panels.
    DataError
        The data determine none of the means.
    DataTypeError
        What is given are no marginal means.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> picture = ml.plot_emmeans(ml.emmeans(fit, ["temperature", "recipe"]))
    >>> picture.save("means.png", verbose=False)  # doctest: +SKIP
    """
    data = marginal_means_data(means, terms)
    p9 = plotnine()
    order = _order(means, terms)
    colours = list(data["group"].cat.categories)
    panels = len(data["panel"].cat.categories)
    if len(colours) > len(PALETTE):
        raise ControlError(
            f"{order[1]!r} has {len(colours)} values, and at most {len(PALETTE)} colours can be told apart; name it first in terms."
        )
    if panels > MOST_PANELS:
        raise ControlError(f"{panels} panels do not fit on a page; at most {MOST_PANELS} do. Ask for fewer means.")
    coloured = len(colours) > 1
    numeric = data["x"].dtype.kind == "f"
    levels = [] if numeric else [name for name in data["x"].cat.categories if (data["x"] == name).any()]
    contrasts = means.labels[0][0].startswith(CONTRAST)
    columns = min(panels, 3)
    rows = -(-panels // columns)
    across = ACROSS if panels == 1 else ACROSS // 2
    lying = not numeric and (contrasts or len(levels) > across or sum(map(len, levels)) > LETTERS / columns)
    width = 7.0 if panels == 1 else min(11.0, 3.2 * columns + 1.2)
    if lying:
        # A vertical axis that is turned begins at the bottom.
        data["x"] = data["x"].cat.set_categories(levels[::-1])
        data["group"] = data["group"].cat.reorder_categories(colours[::-1])
    span = float(np.ptp(data["x"])) if numeric else 1.0
    dodge = p9.position_dodge(width=(0.5 if not numeric else 0.02 * len(colours)) * (span or 1.0))
    aes = {"group": "group"} | ({"color": "group"} if coloured else {})
    ink = {} if coloured else {"color": BLUE}
    position = {"position": dodge} if coloured else {}
    picture = p9.ggplot(data, p9.aes("x", "estimate"))
    line = _no_effect(means)
    if line is not None:
        picture += p9.geom_hline(yintercept=line, linetype="dashed", color=GREY)
    if numeric:
        picture += p9.geom_line(p9.aes(**aes), size=0.7, show_legend=False, **position, **ink)
    picture += p9.geom_linerange(
        p9.aes(ymin="conf_low", ymax="conf_high", **aes), size=0.9, show_legend=False, na_rm=True, **position, **ink
    )
    shape = {"shape": "group"} if coloured else {}
    picture += p9.geom_point(p9.aes(**aes, **shape), size=2.8, **position, **ink)
    if coloured:
        names = dict(zip(colours, wrapped(colours), strict=True))
        picture += p9.scale_color_manual(
            dict(zip(colours, PALETTE, strict=False)), breaks=colours, labels=list(names.values())
        )
        picture += p9.scale_shape_manual(
            dict(zip(colours, SHAPES, strict=False)), breaks=colours, labels=list(names.values())
        )
        picture += p9.labs(color=order[1], shape=order[1])
    if panels > 1:
        titles = dict(zip(data["panel"].cat.categories, wrapped(data["panel"].cat.categories, 34), strict=True))
        picture += p9.facet_wrap("panel", ncol=columns, labeller=lambda label: titles[label])
    beside = 0.0
    if not numeric:
        shown = levels[::-1] if lying else levels
        room = 34 if lying else max(6, int(60 / columns / max(len(levels), 1)))
        names_shown = wrapped(shown, room)
        picture += p9.scale_x_discrete(labels=names_shown)
        # The caption begins where the panel does, right of the names.
        beside = 0.1 * max(len(line) for name in names_shown for line in name.split("\n")) if lying else 0.0
    elif data["x"].nunique() <= ACROSS:
        at = sorted(set(data["x"]))
        picture += p9.scale_x_continuous(breaks=at, labels=[f"{value:g}" for value in at], minor_breaks=[])
    if lying:
        picture += p9.coord_flip()
        row = len(levels) * max(0.3, 0.16 * len(colours) + 0.1)
        height = 1.8 + rows * (row + 0.5)
    else:
        height = 4.4 if rows == 1 else 1.6 + 2.7 * rows
    axis = "" if order[0] in ("1", CONTRAST) else order[0]
    return (
        picture
        + p9.labs(
            x=axis, y=f"{_quantity(means)} with {percent(means.level)} interval", title=means.title,
            caption=caption(*(f"{note}." for note in means.notes), width=width - beside),
        )
        + theme(width, float(np.clip(height, 2.6, 14.0)))
    )  # fmt: skip


def _no_effect(means: MarginalMeans) -> float | None:
    """Return the value that stands for no difference or no slope, or None for means."""
    contrasts = means.labels[0][0].startswith(CONTRAST)
    if means.tests and means.null:
        return means.null if means._way_back is None else float(means._way_back.back(np.array([means.null]))[0])
    if contrasts:
        return 1.0 if means._ratios else 0.0
    return 0.0 if "rends of" in means.title else None


def _quantity(means: MarginalMeans) -> str:
    if means.labels[0][0].startswith(CONTRAST):
        return "Ratio" if means._ratios else "Contrast"
    return f"Slope of {means.title.removeprefix('Trends of ')}" if means.title.startswith("Trends of ") else "Mean"
