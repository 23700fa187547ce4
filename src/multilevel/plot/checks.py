"""All checks of a model on one page of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.errors import ControlError, DataTypeError
from multilevel.plot.style import (
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    SKY,
    VERMILION,
    plotnine,
    sampled,
    theme,
    wrapped,
)
from multilevel.quality.checks.collinearity import HIGH, MODERATE
from multilevel.quality.checks.model import ModelChecks

if TYPE_CHECKING:
    from multilevel.quality.checks.result import Check

WIDTH, HEIGHT = 4.0, 3.0
COLUMNS = 3
SIMULATED = 50
"""Simulated responses that are drawn."""
VERDICT_COLOURS = {"OK": GREEN, "Warning": VERMILION, "Not checked": GREY}


def plot_checks(checks: ModelChecks) -> Any:
    """Draw the checks of a model on one page.

    Parameters
    ----------
    checks : ModelChecks
        What `check_model` returned.

    Returns
    -------
    plotnine.composition.Compose or plotnine.ggplot
        A picture for each check that has something to show: the response against simulated ones, the spread of the residuals, normal
        quantiles of residuals and random effects, influential rows, variance inflation, autocorrelation, and the slopes within and
        between clusters. The subtitle of each gives its verdict. ``page & theme_bw()`` adds to all of them.

    Raises
    ------
    DataTypeError
        It is not what `check_model` returns.
    ControlError
        No check has anything to show.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> page = ml.plot_checks(ml.check_model(fit))
    >>> page.save("checks.png", verbose=False)  # doctest: +SKIP
    """
    if not isinstance(checks, ModelChecks):
        raise DataTypeError(f"plot_checks takes what check_model returned, not {type(checks).__name__}.")
    p9 = plotnine()
    pictures = [_titled(draw(checks[name]), checks[name]) for name, draw in drawn(checks).items()]
    if not pictures:
        raise ControlError("No check of this model has anything to draw.")
    if len(pictures) == 1:
        return pictures[0]
    rows = []
    for first in range(0, len(pictures), COLUMNS):
        row = pictures[first]
        for picture in pictures[first + 1 : first + COLUMNS]:
            row = row | picture
        rows.append(row)
    page = rows[0]
    for row in rows[1:]:
        page = page / row
    across = min(COLUMNS, len(pictures))
    return page & p9.theme(figure_size=(WIDTH * across, HEIGHT * len(rows)))


def drawn(checks: ModelChecks) -> dict[str, Callable[[Check], Any]]:
    """Return the checks that have a picture, in the order of the page, and what draws each."""
    return {name: draw for name, draw in _PICTURES.items() if name in checks and not checks[name].data.empty}


def _titled(picture: Any, check: Check) -> Any:
    p9 = plotnine()
    return (
        picture
        + p9.labs(title=check.title, subtitle=check.verdict)
        + theme(WIDTH, HEIGHT)
        + p9.theme(
            plot_title=p9.element_text(size=10, weight="bold", ha="left"),
            plot_subtitle=p9.element_text(size=9, weight="bold", color=VERDICT_COLOURS[check.verdict], ha="left"),
            axis_title=p9.element_text(size=9),
            axis_text=p9.element_text(size=8),
            legend_position="none",
        )
    )


def _predictions(check: Check) -> Any:
    """Draw the density of the response over those of simulated ones."""
    p9 = plotnine()
    data = check.data[check.data["replicate"] <= SIMULATED]
    return (
        p9.ggplot(data, p9.aes("response", "density"))
        + p9.geom_line(p9.aes(group="replicate"), data=data[data["replicate"] > 0], color=SKY, alpha=0.35, size=0.4)
        + p9.geom_line(data=data[data["replicate"] == 0], color="black", size=1.0)
        + p9.labs(x="Response (black), simulated (blue)", y="Density")
    )


def _spread(check: Check) -> Any:
    """Draw the root of absolute residuals against fitted values, with their mean in slices."""
    import pandas as pd

    p9 = plotnine()
    data = check.data.sort_values("fitted", ignore_index=True)
    data = data[np.isfinite(data["root_absolute_residual"])]
    slices = np.array_split(np.arange(len(data)), min(15, max(2, len(data) // 10)))
    means = pd.DataFrame([data.iloc[own].mean() for own in slices if own.size])
    points = data.iloc[sampled(len(data), 2000)]
    return (
        p9.ggplot(points, p9.aes("fitted", "root_absolute_residual"))
        + p9.geom_point(color=BLUE, size=1.0, stroke=0, alpha=float(np.clip(300 / len(points), 0.2, 0.7)))
        + p9.geom_line(data=means, color=VERMILION, size=1.0)
        + p9.labs(x="Fitted value", y="√|standardised residual|")
    )


def _quantiles(check: Check) -> Any:
    """Draw ordered values against normal quantiles; several sets have panels."""
    p9 = plotnine()
    data = check.data.assign(line=0.5 * (check.data["conf_low"] + check.data["conf_high"]))
    sets = list(dict.fromkeys(data["values"]))
    # More sets than four leave each no room.
    shown = sets[:4]
    labels = dict(zip(shown, wrapped(shown, 20), strict=True))
    data = data[data["values"].isin(shown)].assign(panel=lambda own: own["values"].map(labels))
    few = len(data) <= 300
    picture = (
        p9.ggplot(data, p9.aes("theoretical"))
        + p9.geom_ribbon(p9.aes(ymin="conf_low", ymax="conf_high"), fill=LIGHT_GREY, alpha=0.6)
        + p9.geom_line(p9.aes(y="line"), color=GREY, linetype="dashed", size=0.5)
        + p9.geom_point(p9.aes(y="sample"), color=BLUE, size=1.3 if few else 0.7, stroke=0)
    )
    if len(shown) > 1:
        picture += p9.facet_wrap("panel", scales="free_y", ncol=2)
        picture += p9.theme(strip_text=p9.element_text(size=7))
    what = "Standardised residual" if shown[0] == "residuals" else "Standardised mode"
    more = "" if len(sets) == len(shown) else f" (the first {len(shown)} of {len(sets)} terms)"
    return picture + p9.labs(x=f"Normal quantile{more}", y=what)


def _outliers(check: Check) -> Any:
    """Draw studentised residuals against leverage, those named by the check in another colour."""
    p9 = plotnine()
    data = check.data[np.isfinite(check.data[["leverage", "studentised_residual"]]).all(axis=1)]
    named = data[data.index.isin(check.table.index)]
    others = data[~data.index.isin(check.table.index)]
    kept = others.iloc[sampled(len(others), 2000)]
    picture = (
        p9.ggplot(kept, p9.aes("leverage", "studentised_residual"))
        + p9.geom_hline(yintercept=0, color=GREY, size=0.4)
        + p9.geom_point(color=BLUE, size=1.0, stroke=0, alpha=float(np.clip(300 / max(len(kept), 1), 0.25, 0.7)))
    )
    if len(named):
        first = named.loc[named["studentised_residual"].abs().sort_values(ascending=False).index[:5]]
        picture += p9.geom_point(data=named, color=VERMILION, shape="^", size=1.8)
        picture += p9.geom_text(
            p9.aes(label="row"), data=first.assign(row=first.index.astype(str)), size=7, ha="left", nudge_x=0.004
        )
    return picture + p9.labs(x="Leverage", y="Studentised residual")


def _collinearity(check: Check) -> Any:
    """Draw the inflation of each term's variance, by vif^(1/df), which is comparable between terms."""
    import pandas as pd

    p9 = plotnine()
    data = check.table.reset_index()
    # The largest are what one looks for.
    data = data.assign(inflation=data["se_factor"] ** 2).sort_values("inflation").tail(12)
    names = [str(name) for name in data["term"]]
    data["term"] = pd.Categorical(names, categories=names)
    data["level"] = data["level"].astype(str)
    limit = max(float(data["inflation"].max()), MODERATE) * 1.05
    picture = p9.ggplot(data, p9.aes(y="inflation", x="term")) + p9.coord_flip()
    for height in (MODERATE, HIGH):
        if height < limit:
            picture += p9.geom_hline(yintercept=height, linetype="dashed", color=GREY, size=0.5)
    colours = {"low": BLUE, "moderate": ORANGE, "high": VERMILION}
    return (
        picture
        + p9.geom_col(p9.aes(fill="level"), width=0.6)
        + p9.scale_fill_manual({level: colours[level] for level in dict.fromkeys(data["level"])})
        + p9.scale_x_discrete(labels=wrapped(names, 18))
        + p9.scale_y_continuous(limits=(0, limit), expand=(0.01, 0))
        + p9.labs(x="", y="Variance inflation")
    )


def _autocorrelation(check: Check) -> Any:
    """Draw the correlations by lag with the bounds that chance keeps to."""
    p9 = plotnine()
    data = check.data.assign(low=-check.data["bound"], high=check.data["bound"])
    return (
        p9.ggplot(data, p9.aes("lag"))
        + p9.geom_ribbon(p9.aes(ymin="low", ymax="high"), fill=LIGHT_GREY, alpha=0.6)
        + p9.geom_hline(yintercept=0, color=GREY, size=0.5)
        + p9.geom_segment(p9.aes(xend="lag", y=0, yend="autocorrelation"), color=BLUE, size=1.0)
        + p9.geom_point(p9.aes(y="autocorrelation"), color=BLUE, size=2)
        + p9.scale_x_continuous(breaks=list(range(1, int(data["lag"].max()) + 1)), minor_breaks=[])
        + p9.labs(x="Lag within clusters", y="Correlation")
    )


def _within_between(check: Check) -> Any:
    """Draw the difference of the slopes between and within clusters, in standard errors of each."""
    import pandas as pd

    p9 = plotnine()
    data = check.table.reset_index().head(10)
    names = [str(name) for name in data["predictor"]]
    data["predictor"] = pd.Categorical(names, categories=names[::-1])
    parts = pd.concat(
        [
            pd.DataFrame({"predictor": data["predictor"], "slope": data[which], "which": which})
            for which in ("within", "between")
        ],
        ignore_index=True,
    )
    return (
        p9.ggplot(parts, p9.aes("slope", "predictor"))
        + p9.geom_vline(xintercept=0, linetype="dashed", color=GREY, size=0.5)
        + p9.geom_segment(
            p9.aes(x="within", xend="between", y="predictor", yend="predictor"), data=data, color=GREY, size=0.6
        )
        + p9.geom_point(p9.aes(color="which", shape="which"), size=2.6)
        + p9.scale_color_manual({"within": BLUE, "between": VERMILION})
        + p9.scale_shape_manual({"within": "o", "between": "s"})
        + p9.scale_y_discrete(labels=wrapped(names[::-1], 16))
        + p9.labs(x="Slope within (●) and between (■) clusters", y="")
    )


def _cluster_means(check: Check) -> Any:
    """Draw the conditional modes against the cluster means of the predictor that they go with most."""
    p9 = plotnine()
    worst = check.table.iloc[int(check.table["p_value"].to_numpy().argmin())]
    own = check.data
    for name in ("group", "effect", "predictor"):
        own = own[own[name].astype(str) == str(worst[name])]
    points = own.iloc[sampled(len(own), 2000)]
    slope, intercept = np.polyfit(own["mean"], own["mode"], 1)
    return (
        p9.ggplot(points, p9.aes("mean", "mode"))
        + p9.geom_point(color=BLUE, size=1.2, stroke=0, alpha=float(np.clip(300 / len(points), 0.25, 0.7)))
        + p9.geom_abline(slope=float(slope), intercept=float(intercept), color=VERMILION)
        + p9.labs(x=f"Mean of {worst['predictor']} by {worst['group']}", y=f"Mode of {worst['effect']}")
    )


_PICTURES: dict[str, Callable[[Check], Any]] = {
    "predictions": _predictions,
    "heteroscedasticity": _spread,
    "normality of the residuals": _quantiles,
    "normality of the random effects": _quantiles,
    "outliers": _outliers,
    "autocorrelation": _autocorrelation,
    "collinearity": _collinearity,
    "slopes within and between clusters": _within_between,
    "random effects and cluster means": _cluster_means,
}
