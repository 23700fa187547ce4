"""Pictures of estimated marginal means, trends and contrasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multilevel.data.levels import level_text
from multilevel.errors import ControlError, DataTypeError
from multilevel.inference.marginal_means import MarginalMeans
from multilevel.plot.style import BLUE, GREY, PALETTE, caption, percent, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_ROWS = 120
"""Rows that can be drawn on a page."""


def means_data(means: MarginalMeans, color: str | None = None) -> pd.DataFrame:
    """Return what the picture shows.

    Parameters
    ----------
    means : MarginalMeans
        What `emmeans`, `emtrends` or their `contrast` and `pairs` returned.
    color : str, optional
        The variable that colours stand for; by default the second of those not in `by`.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``color``, ``panel``, ``estimate``, ``conf_low``, ``conf_high``, and ``place``, on the vertical axis from the top;
        rows that the data do not determine are left out.

    Raises
    ------
    DataTypeError
        It is no table of marginal means.
    ControlError
        There is no such variable.
    """
    import pandas as pd

    if not isinstance(means, MarginalMeans):
        raise DataTypeError(f"plot_emmeans takes what emmeans or emtrends returned, not {type(means).__name__}.")
    texts = {name: [level_text(value) for value in values] for name, values in means.labels}
    own = [name for name in texts if name not in means.by]
    if color is None:
        color = own[1] if len(own) > 1 else None
    elif color not in own:
        raise ControlError(f"There is no variable {color!r} to colour by; there are {', '.join(own)}.")
    rest = [name for name in own if name != color]
    numbers = means.numbers
    rows = range(len(means))
    # With a colour and nothing else, its levels have a row each.
    label = [", ".join(texts[name][row] for name in rest) for row in rows] if rest else texts[str(color)]
    panel = [", ".join(f"{name} = {texts[name][row]}" for name in means.by) for row in rows]
    hue = texts[color] if color is not None else [""] * len(means)
    data = pd.DataFrame({"label": label, "color": hue, "panel": panel})
    for name in ("estimate", "conf_low", "conf_high"):
        data[name] = getattr(numbers, name)
    data = data[data["estimate"].notna()].reset_index(drop=True)
    for name in ("label", "color", "panel"):
        data[name] = pd.Categorical(data[name], categories=list(dict.fromkeys(data[name])))
    labels, hues = data["label"].cat, data["color"].cat
    count = len(hues.categories)
    # Within a label the colours lie below each other, the first on top.
    shift = (hues.codes - (count - 1) / 2) * min(0.22, 0.7 / max(count, 1))
    data["place"] = len(labels.categories) - labels.codes - shift
    return data


def plot_emmeans(means: MarginalMeans, *, color: str | None = None, vline: float | None = None) -> Any:
    """Draw estimated marginal means, trends or contrasts with their intervals.

    Parameters
    ----------
    means : MarginalMeans
        What `emmeans`, `emtrends` or their ``contrast`` and ``pairs`` returned.
    color : str, optional
        The variable that colours stand for; by default the second of those that the means are for. Those in ``by`` have panels.
    vline : float, optional
        Where a dashed line stands; by default at zero for contrasts and tests (at one for ratios), and nowhere for means.

    Returns
    -------
    plotnine.ggplot
        The picture; the caption says what was averaged over and how intervals were adjusted.

    Raises
    ------
    DataTypeError
        It is no table of marginal means.
    ControlError
        There is no such variable, or there are too many rows or colours to draw.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> picture = ml.plot_emmeans(ml.emmeans(fit, "recipe", by="temperature"))
    >>> picture.save("means.png", verbose=False)  # doctest: +SKIP
    """
    p9 = plotnine()
    data = means_data(means, color)
    labels = list(data["label"].cat.categories)
    hues = list(data["color"].cat.categories)
    panels = list(data["panel"].cat.categories)
    if len(hues) > len(PALETTE):
        raise ControlError(f"At most {len(PALETTE)} levels can be told apart by colour; there are {len(hues)}.")
    if len(labels) > MOST_ROWS:
        raise ControlError(
            f"A picture has room for {MOST_ROWS} rows; there are {len(labels)}. Choose some levels with at."
        )
    if vline is None and means.tests:
        vline = 1.0 if means._ratios else means.null
    own = [name for name, _ in means.labels if name not in means.by]
    named = color if color is not None else own[1] if len(own) > 1 else None
    rest = [name for name in own if name != named] or own
    columns = min(len(panels), 3)
    n_rows = -(-len(panels) // columns)
    width = 7.0 if columns == 1 else min(11.0, 3.0 * columns + 1.2)
    picture = p9.ggplot(data, p9.aes("estimate", "place"))
    if vline is not None:
        picture += p9.geom_vline(xintercept=vline, linetype="dashed", color=GREY)
    if len(hues) > 1:
        picture += p9.geom_segment(
            p9.aes(x="conf_low", xend="conf_high", yend="place", color="color"), size=0.9, show_legend=False
        )
        picture += p9.geom_point(p9.aes(color="color", shape="color"), size=2.8)
        picture += p9.scale_color_manual(list(PALETTE[: len(hues)]), labels=wrapped(hues))
        picture += p9.scale_shape_manual(list(SHAPES[: len(hues)]), labels=wrapped(hues))
        picture += p9.labs(color=named, shape=named)
    else:
        picture += p9.geom_segment(p9.aes(x="conf_low", xend="conf_high", yend="place"), color=BLUE, size=0.9)
        picture += p9.geom_point(color=BLUE, size=2.8)
    if len(panels) > 1:
        picture += p9.facet_wrap("panel", ncol=columns)
    height = 1.3 + n_rows * (0.4 + len(labels) * max(0.32, 0.2 * len(hues)))
    what = "Ratio" if means._ratios else "Contrast" if own[0].startswith("contrast") else means.title.split(" of ")[0]
    return (
        picture
        + p9.scale_y_continuous(
            breaks=list(range(len(labels), 0, -1)),
            labels=wrapped(labels),
            minor_breaks=[],
            limits=(0.4, len(labels) + 0.6),
            expand=(0, 0),
        )
        + p9.labs(
            x=f"{'Mean' if what.startswith('Estimated') else what.rstrip('s')} with {percent(means.level)} interval",
            y="" if rest[0] in ("contrast", "1") else ", ".join(rest),
            title=means.title,
            caption=caption(*(f"{note}." for note in means.notes), width=width),
        )
        + theme(width, min(14.0, max(2.6, height)))
    )
