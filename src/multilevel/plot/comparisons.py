"""The differences between clusters in two models, side by side on one scale: what a predictor does to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import Level, checked
from multilevel.errors import ControlError, DataError
from multilevel.plot.random_effects import random_effects_data
from multilevel.plot.style import (
    BLUE,
    FEW_LEVELS,
    GREY,
    VERMILION,
    axis_breaks,
    caption,
    counted,
    percent,
    plotnine,
    theme,
    wrapped,
)
from multilevel.quality.variance import check_fit

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

ComparisonKind = Literal["caterpillars", "dumbbells"]


def comparison_data(
    before: LinearMixedModel,
    after: LinearMixedModel,
    group: str | None = None,
    *,
    term: str | None = None,
    names: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the conditional modes of two models, levels in the order of the first one's.

    Parameters
    ----------
    before, after : LinearMixedModel
        Two fitted models.
    group : str, optional
        The grouping factor; by default the first that both have.
    term : str, optional
        The random effect; by default the first that both have.
    names : sequence of two str, optional
        What the models are called; by default ``"without x"`` and ``"with x"`` where terms were added or removed, else
        ``"before"`` and
        ``"after"``.
    level : float
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``grpvar``, ``grp``, ``term``, ``estimate``, ``std_error``, ``conf_low``, ``conf_high``, ``rank`` (by the
        first model),
        and ``sd``: the estimated standard deviation of the random effect in that model.

    Raises
    ------
    ControlError
        The models do not share such a grouping factor or term.
    DataError
        The factor's levels differ between the models.
    """
    import pandas as pd

    fits = (before, after)
    for fit in fits:
        check_fit(fit, "plot_comparison")
    shared = [name for name in before.ngroups.index if name in after.ngroups.index]
    if group is None and shared:
        group = str(shared[0])
    if group not in shared:
        which = f"the grouping factor {group!r}" if group is not None else "a grouping factor"
        raise ControlError(
            f"The models do not share {which}: the first has {', '.join(before.ngroups.index)}, the second"
            f" {', '.join(after.ngroups.index)}."
        )
    own_terms = [[str(name) for name in fit.varcorr()[str(group)].index] for fit in fits]
    both = [name for name in own_terms[0] if name in own_terms[1]]
    if term is None and both:
        term = both[0]
    if term not in both:
        which = f"the random effect {term!r}" if term is not None else "a random effect"
        raise ControlError(
            f"The models do not share {which} of {group!r}: the first has {', '.join(own_terms[0])}, the second"
            f" {', '.join(own_terms[1])}."
        )
    labels = _names(before, after) if names is None else [str(name) for name in names]
    if len(labels) != 2 or labels[0] == labels[1]:
        raise ControlError("names must be two different names, one for each model.")
    parts = []
    for fit, label in zip(fits, labels, strict=True):
        data = random_effects_data(fit, group, level=level, sort=True)
        part = data[data["term"] == term].drop(columns="centre").reset_index(drop=True)
        parts.append(part.assign(model=label, sd=_deviation(fit, str(group), str(term))))
    first, second = parts
    if set(first["grp"]) != set(second["grp"]):
        raise DataError(f"The levels of {group!r} differ between the models: fit both to the same data.")
    second["rank"] = second["grp"].map(dict(zip(first["grp"], first["rank"], strict=True)))
    found = pd.concat(parts, ignore_index=True)
    found["model"] = pd.Categorical(found["model"], categories=labels)
    return found[["model", *(name for name in found.columns if name != "model")]]


def _names(before: LinearMixedModel, after: LinearMixedModel) -> list[str]:
    """Name two models by the fixed-effects terms in which they differ."""
    old, new = before.formula.terms, after.formula.terms
    added, removed = [t for t in new if t not in old], [t for t in old if t not in new]
    if added and not removed:
        return [f"without {' + '.join(added)}", f"with {' + '.join(added)}"]
    if removed and not added:
        return [f"with {' + '.join(removed)}", f"without {' + '.join(removed)}"]
    return ["before", "after"]


def _deviation(fit: LinearMixedModel, group: str, term: str) -> float:
    """Return the standard deviation of a random effect."""
    matrix = fit.varcorr()[group]
    at = list(matrix.index).index(term)
    return float(np.sqrt(matrix.to_numpy()[at, at]))


@checked
def plot_comparison(
    before: LinearMixedModel,
    after: LinearMixedModel,
    group: str | None = None,
    *,
    term: str | None = None,
    names: Sequence[str] | None = None,
    kind: ComparisonKind = "caterpillars",
    level: Level = 0.95,
) -> Any:
    """Draw the differences between clusters in two models on one scale.

    Parameters
    ----------
    before, after : LinearMixedModel
        Two fitted models, as without and with a predictor of the clusters.
    group : str, optional
        The grouping factor; by default the first that both have.
    term : str, optional
        The random effect; by default the first that both have.
    names : sequence of two str, optional
        What the models are called; by default by the terms in which they differ.
    kind : {"caterpillars", "dumbbells"}
        A panel for each model, levels in the same order; or a line for each level from one model to the other.
    level : float
        Probability of the intervals.

    Returns
    -------
    plotnine.ggplot
        The picture. The titles of the panels, or the subtitle, give the estimated standard deviation in each model.

    Raises
    ------
    ControlError
        The models do not share such a grouping factor or term, or there is no such kind.
    DataError
        The factor's levels differ between the models.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> scenario = ml.scenarios.confounder()
    >>> without = ml.lmer("y ~ x1 + x2 + (1 | k_id)", scenario.data)
    >>> picture = ml.plot_comparison(without, without.update(". ~ . + price"))
    >>> picture.save("confounder.png", verbose=False)  # doctest: +SKIP
    """
    p9 = plotnine()
    data = comparison_data(before, after, group, term=term, names=names, level=level)
    name, effect = str(data["grpvar"].iloc[0]), str(data["term"].iloc[0])
    labels = list(data["model"].cat.categories)
    sizes = data.groupby("model", observed=True)["sd"].first()
    titles = {label: f"{label}: sd = {sizes[label]:#.3g}" for label in labels}
    levels = int(data["rank"].max())
    few = levels <= FEW_LEVELS
    notes = [f"Levels are in the order of the model {labels[0]}."]
    if kind == "caterpillars":
        data["panel"] = data["model"].cat.rename_categories(titles)
        ink = {"size": 0.7, "alpha": 1.0} if few else {"size": 0.4, "alpha": 0.7 if levels <= 500 else 0.4}
        size = 2.4 if few else 0.9 if levels <= 500 else 0.15
        picture = (
            p9.ggplot(data, p9.aes("estimate", "rank", color="model"))
            + p9.geom_vline(xintercept=0, linetype="dashed", color=GREY)
            + p9.geom_segment(p9.aes(x="conf_low", xend="conf_high", yend="rank"), **ink)
            + p9.geom_point(stroke=0, size=size, **({} if few else {"color": "black"}))
        )
        picture += p9.facet_wrap("panel", ncol=2)
        picture += p9.scale_x_continuous(breaks=lambda limits: axis_breaks(limits, 5, 0.06))
        picture += p9.labs(x=f"Conditional mode with {percent(level)} interval")
        width = 8.6
    else:
        wide = data.pivot(index="rank", columns="model", values="estimate").reset_index()  # noqa: PD010 - one value for each pair
        wide.columns = ["rank", "from_value", "to_value"]
        size = 2.4 if few else 1.2 if levels <= 500 else 0.3
        # Of many levels neither model may cover the other.
        ink = {} if few else {"stroke": 0, "alpha": 0.8 if levels <= 500 else 0.4}
        picture = (
            p9.ggplot(data, p9.aes("estimate", "rank"))
            + p9.geom_vline(xintercept=0, linetype="dashed", color=GREY)
            + p9.geom_segment(
                p9.aes(x="from_value", xend="to_value", yend="rank"),
                data=wide,
                color=GREY,
                alpha=0.6 if levels <= 500 else 0.2,
                size=0.5,
            )
            + p9.geom_point(p9.aes(color="model", shape="model"), size=size, **ink)
            + p9.scale_shape_manual(["o", "s"])
            + p9.guides(color=p9.guide_legend(override_aes={"size": 3, "alpha": 1}))
            + p9.labs(x="Conditional mode", subtitle="; ".join(titles[label] for label in labels), color="", shape="")
        )
        width = 7.0
    if few:
        order = data.drop_duplicates("rank").sort_values("rank")
        picture += p9.scale_y_continuous(
            breaks=order["rank"].tolist(), labels=wrapped(order["grp"]), minor_breaks=[], expand=(0.02, 0.5)
        )
        picture += p9.labs(y=name)
    else:
        picture += p9.scale_y_continuous(labels=lambda values: [counted(int(value)) for value in values])
        picture += p9.labs(y=f"{name}, in order")
    height = min(9.5, max(3.2, 0.17 * levels + 1.5)) if few else 5.6
    what = "" if effect == "(Intercept)" else f": {effect}"
    picture += p9.scale_color_manual([VERMILION, BLUE])
    picture += p9.labs(title=f"Differences between the levels of {name}{what}", caption=caption(*notes, width=width))
    picture += theme(width, height)
    return picture + p9.theme(legend_position="none") if kind == "caterpillars" else picture
