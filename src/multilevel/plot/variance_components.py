"""Bars of the standard deviations of the random effects and the residual, or of the shares of the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import Level, checked, idle
from multilevel.errors import ControlError
from multilevel.inference.intervals import check_level
from multilevel.plot.style import BLUE, LIGHT_GREY, SKY, caption, percent, plotnine, theme, wrapped
from multilevel.quality.parameters_table import model_parameters
from multilevel.quality.variance import variance_decomposition

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

Scale = Literal["sd", "variance", "share"]
Interval = Literal["wald", "profile", "bootstrap"]

SCALES = {"sd": "Standard deviation", "variance": "Variance", "share": "Share of the variance"}


def variance_components_data(
    fit: LinearMixedModel,
    scale: Scale = "sd",
    *,
    interval: Interval | None = "wald",
    level: Level = 0.95,
    **options: Any,
) -> pd.DataFrame:
    """Return the variance components with their intervals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    scale : {"sd", "variance", "share"}
        Standard deviations, variances, or the parts of the response's variance that fixed effects, each random-effects term
        (averaged over the rows where it has slopes) and the residual have (see `variance_decomposition`).
    interval : {"wald", "profile", "bootstrap"} or None
        Intervals as those of `model_parameters`; shares have none.
    level : float
        Confidence level.
    **options
        For the bootstrap, its arguments: ``n``, ``rng``, ….

    Returns
    -------
    pandas.DataFrame
        ``group``, ``term``, ``estimate``, ``conf_low``, ``conf_high`` (NaN where there is no interval) and ``label``.

    Raises
    ------
    ControlError
        An option is not one of its choices.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.variance_components import variance_components_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> variance_components_data(fit)[["label", "estimate", "conf_low", "conf_high"]].round(1)
                    label  estimate  conf_low  conf_high
    0  Subject: Intercept      24.7      15.6       39.3
    1       Subject: Days       5.9       3.9        9.0
    2            Residual      25.6      22.8       28.7
    """
    import pandas as pd

    check_level(level)
    if scale not in SCALES:
        raise ControlError(f"scale must be one of {', '.join(map(repr, SCALES))}, not {scale!r}.")
    if scale == "share":
        parts = variance_decomposition(fit).to_frame()
        labels = {"fixed": "Fixed effects", "residual": "Residual"}
        named = zip(parts["component"], parts["term"], strict=True)
        return pd.DataFrame(
            {
                "group": parts["group"],
                "term": parts["term"],
                "estimate": parts["share"],
                "conf_low": np.nan,
                "conf_high": np.nan,
                "label": [labels.get(kind, f"({term})") for kind, term in named],
            }
        )
    table = model_parameters(fit, "random", level=level, ci_random=interval, **options).random
    assert table is not None
    # Correlations are no part of the variance.
    table = table[[not name.startswith("cor_") for name in table["parameter"]]].reset_index(drop=True)
    groups = [str(name) for name in table["group"]]
    names = [str(name).removeprefix("sd_").rsplit("|", 1)[0] for name in table["parameter"]]
    terms = [*names[:-1], None]
    data = pd.DataFrame({"group": groups, "term": pd.Series(terms, dtype=object)})
    for name in ("estimate", "conf_low", "conf_high"):
        data[name] = table[name] if scale == "sd" else table[name] ** 2
    data["label"] = [
        "Residual" if term is None else f"{group}: {'Intercept' if term == '(Intercept)' else term}"
        for group, term in zip(groups, terms, strict=True)
    ]
    return data


@checked
@idle("interval", "level", when=lambda given: given["scale"] == "share", why="shares of the variance have no intervals")
def plot_variance_components(
    fit: LinearMixedModel,
    scale: Scale = "sd",
    *,
    interval: Interval | None = "wald",
    level: Level = 0.95,
    **options: Any,
) -> Any:
    """Draw the variance components as bars with intervals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    scale : {"sd", "variance", "share"}
        Standard deviations, variances, or shares of the response's variance.
    interval : {"wald", "profile", "bootstrap"} or None
        Intervals as those of `model_parameters`; shares have none.
    level : float
        Confidence level.
    **options
        For the bootstrap, its arguments: ``n``, ``rng``, ….

    Returns
    -------
    plotnine.ggplot
        The picture. Standard deviations and variances of slopes are per unit of their predictor.

    Raises
    ------
    ControlError
        An option is not one of its choices.
    """
    p9 = plotnine()
    data = variance_components_data(fit, scale, interval=interval, level=level, **options)
    names = wrapped(data["label"])
    data["place"] = np.arange(len(data), 0, -1.0)
    data["part"] = np.where(
        data["label"] == "Residual", LIGHT_GREY, np.where(data["label"] == "Fixed effects", BLUE, SKY)
    )
    with_interval = data[data["conf_low"].notna() & data["conf_high"].notna()]
    drawn = scale != "share" and interval is not None
    title = SCALES[scale] + (f" with {percent(level)} interval" if len(with_interval) else "")
    notes = []
    if len(with_interval):
        how = {"wald": "Wald's on the scale of log SD", "profile": "profile likelihood", "bootstrap": "bootstrap"}
        notes.append(f"Intervals: {how[str(interval)]}.")
    if drawn and len(with_interval) < len(data):
        notes.append("A component without an interval is on the boundary; interval='profile' gives one.")
    if scale != "share" and any(name != "(Intercept)" for term in fit._terms for name in term.names):
        notes.append("Slopes: per unit of their predictor.")
    if scale == "share" and any(len(term.names) > 1 for term in fit._terms):
        notes.append("Slopes: mean over the rows.")
    picture = (
        p9.ggplot(data, p9.aes(xmin="0", xmax="estimate", ymin="place - 0.35", ymax="place + 0.35", fill="part"))
        + p9.geom_rect()
        + p9.scale_fill_identity()
        + p9.scale_y_continuous(breaks=data["place"].tolist(), labels=names, minor_breaks=[], expand=(0, 0.2))
        + p9.labs(x=title, y="", title="Variance components", caption=caption(*notes))
        + theme(7.0, max(2.4, 1.3 + 0.42 * len(data) + 0.14 * sum(name.count("\n") for name in names)))
    )
    if len(with_interval):
        picture += p9.geom_segment(
            p9.aes(x="conf_low", xend="conf_high", y="place", yend="place"),
            data=with_interval, inherit_aes=False, color="black", size=0.8,
        )  # fmt: skip
    if scale == "share":
        return picture + p9.scale_x_continuous(
            labels=lambda at: [percent(round(value, 6)) for value in at], expand=(0, 0, 0.05, 0)
        )
    return picture + p9.scale_x_continuous(expand=(0, 0, 0.05, 0))
