"""Quantile plots: ordered values against those of a normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multilevel.plot.style import BLUE, GREY, LIGHT_GREY, caption, counted, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

MOST_SETS = 9
"""Random effects that have a panel each."""
HEIGHT, PANEL_HEIGHT, WIDE = 3.4, 3.0, 9.0
"""Inches: the height of one picture and of a row of panels, and the width of several panels."""


def quantile_picture(data: pd.DataFrame, label: str, title: str, width: float) -> Any:
    """Draw ordered values against normal quantiles, with the band in which they would lie.

    Parameters
    ----------
    data : pandas.DataFrame
        ``theoretical``, ``sample``, ``conf_low`` and ``conf_high``, as `check_normality` has them.
    label, title : str
        What the values are, and the title.
    width : float
        Width in inches.
    """
    p9 = plotnine()
    few = len(data) <= 500
    return (
        p9.ggplot(data, p9.aes("theoretical"))
        + p9.geom_ribbon(p9.aes(ymin="conf_low", ymax="conf_high"), fill=LIGHT_GREY, alpha=0.6)
        + p9.geom_line(p9.aes(y="0.5 * (conf_low + conf_high)"), color=GREY, linetype="dashed")
        + p9.geom_point(p9.aes(y="sample"), color=BLUE, size=1.6 if few else 0.9, stroke=0)
        + p9.labs(x="Normal quantile", y=label, title=title, caption="Band: pointwise 95%.")
        + theme(width, HEIGHT)
    )


def random_effects_quantiles(data: pd.DataFrame, title: str, width: float) -> tuple[Any, int]:
    """Draw a panel for each set of random effects, at most nine of them, and return how many there are.

    Parameters
    ----------
    data : pandas.DataFrame
        As for `quantile_picture`, with ``values``, the name of the set.
    title : str
        The title; the caption names the set where there is one.
    width : float
        Width in inches of a picture with one set.
    """
    import pandas as pd

    names = list(dict.fromkeys(data["values"]))
    shown = names[:MOST_SETS]
    labels = dict(zip(shown, wrapped(shown), strict=True))
    own = data[data["values"].isin(shown)].copy()
    own["values"] = pd.Categorical(own["values"].map(labels), categories=list(labels.values()))
    label = "Standardised conditional mode"
    if len(shown) == 1:
        picture = quantile_picture(own, label, title, width)
        return picture + plotnine().labs(caption=caption(f"{shown[0]}. Band: pointwise 95%.", width=width)), 1
    p9 = plotnine()
    rows = -(-len(shown) // 3)
    picture = quantile_picture(own, label, title, width) + p9.facet_wrap("values", scales="free", ncol=3)
    if len(shown) < len(names):
        note = f"Band: pointwise 95%. The first {len(shown)} of {counted(len(names))} random effects are drawn."
        picture += p9.labs(caption=caption(note, width=WIDE))
    return picture + theme(WIDE, 1.0 + PANEL_HEIGHT * rows), len(shown)
