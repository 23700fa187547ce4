"""How partial pooling moves the coefficients of clusters towards those of the population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import Level, checked
from multilevel.errors import ControlError
from multilevel.inference.intervals import check_level
from multilevel.plot.cluster_lines import population_ellipse, shrinkage_data
from multilevel.plot.random_effects import chosen_groups
from multilevel.plot.style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    caption,
    counted,
    heading,
    percent,
    plotnine,
    sampled,
    theme,
)

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

MOST_CLUSTERS = 300
STAGES = ("No pooling", "Partial pooling", "Complete pooling")
COLORS, SHAPES = (ORANGE, BLUE, VERMILION), ("o", "o", "D")


@checked
def plot_shrinkage(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    terms: str | Sequence[str] | None = None,
    level: Level = 0.95,
    max_clusters: int = MOST_CLUSTERS,
) -> Any:
    """Draw how the model moves each cluster's own estimates towards the population's.

    With two random effects or more this is a picture of one against the other: from the least-squares coefficients of each cluster
    by itself (no pooling) an arrow leads to its coefficients in the model (partial pooling); the diamond is the population
    (complete pooling), with the ellipse that holds clusters by the estimated covariance. With one random effect the three
    stand side by side.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        The grouping factor; by default the one with the most levels.
    terms : sequence of str, optional
        One random effect or two; by default the first two.
    level : float
        Probability of the ellipse.
    max_clusters : int
        Of more clusters so many are drawn, chosen at random; the caption says so.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError
        There is no such grouping factor or term.
    MissingDependencyError
        plotnine is not installed.

    Notes
    -----
    The least squares of a cluster hold the effects that do not vary by cluster at their estimates (see `shrinkage_data`). Clusters
    whose rows do not determine their coefficients are drawn without an arrow.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> picture = ml.plot_shrinkage(fit)
    >>> picture.save("shrinkage.png", verbose=False)  # doctest: +SKIP
    """
    check_level(level)
    if max_clusters < 1:
        raise ControlError(f"max_clusters must be at least 1, not {max_clusters}.")
    name = chosen_groups(fit, group)[0]
    data = shrinkage_data(fit, name)
    known = list(dict.fromkeys(data["term"]))
    chosen = known[:2] if terms is None else [terms] if isinstance(terms, str) else list(dict.fromkeys(terms))
    for term in chosen:
        if term not in known:
            raise ControlError(f"{name!r} has no random effect {term!r}; it has {', '.join(known)}.")
    if len(chosen) not in (1, 2):
        raise ControlError(f"terms must be one random effect or two, not {len(chosen)}.")
    n_levels = int(fit.ngroups[name])
    kept = sampled(n_levels, max_clusters)
    parts = [data[data["term"] == term].reset_index(drop=True).iloc[kept].reset_index(drop=True) for term in chosen]
    notes = []
    if len(kept) < n_levels:
        notes.append(f"{counted(len(kept))} of {counted(n_levels)} levels of {name} are drawn, chosen at random.")
    without = int(parts[0]["no_pooling"].isna().sum())
    if without:
        notes.append(f"{counted(without)} of the levels drawn have too few rows for estimates of their own.")
    return _strip(parts[0], name, notes) if len(chosen) == 1 else _scatter(fit, parts, name, level, notes)


def _scatter(fit: LinearMixedModel, parts: list[pd.DataFrame], group: str, level: float, notes: list[str]) -> Any:
    import pandas as pd

    p9 = plotnine()
    first, second = parts
    terms = (str(first["term"].iloc[0]), str(second["term"].iloc[0]))
    moves = pd.DataFrame(
        {
            "x": first["no_pooling"],
            "y": second["no_pooling"],
            "xend": first["partial_pooling"],
            "yend": second["partial_pooling"],
        }
    )
    centre = pd.DataFrame({"x": first["population"].iloc[:1], "y": second["population"].iloc[:1]})
    alone = moves[["x", "y"]].dropna()
    pooled = moves[["xend", "yend"]].set_axis(["x", "y"], axis=1)
    points = pd.concat([part.assign(stage=stage) for part, stage in zip((alone, pooled, centre), STAGES, strict=True)])
    points["stage"] = pd.Categorical(points["stage"], categories=list(STAGES))
    boundary = pd.DataFrame(population_ellipse(fit, group, terms, level), columns=["x", "y"])
    few = len(moves) <= 60
    sizes = (2.2, 2.2, 4.0) if few else (1.2, 1.2, 4.0)
    notes = [f"Arrows: from each level's own least squares to the model. Ellipse: {percent(level)} of levels.", *notes]
    return (
        p9.ggplot(points, p9.aes("x", "y"))
        + p9.geom_path(data=boundary, color=GREY, linetype="dashed", size=0.6)
        + p9.geom_segment(
            p9.aes(xend="xend", yend="yend"), data=moves.dropna(), color=GREY, alpha=0.9 if few else 0.5,
            size=0.5 if few else 0.3, arrow=p9.arrow(length=0.07 if few else 0.04, type="closed", angle=22),
        )
        + p9.geom_point(p9.aes(color="stage", shape="stage", size="stage"), stroke=0)
        + p9.scale_color_manual(COLORS)
        + p9.scale_shape_manual(SHAPES)
        + p9.scale_size_manual(sizes)
        + p9.labs(
            x=f"Coefficient of {terms[0]}", y=f"Coefficient of {terms[1]}",
            title=heading(f"Shrinkage of {group}", 7.0), caption=caption(*notes))
        + theme(7.0, 5.6)
        + p9.theme(legend_title=p9.element_blank())
    )  # fmt: skip


def _strip(data: pd.DataFrame, group: str, notes: list[str]) -> Any:
    import pandas as pd

    p9 = plotnine()
    columns = ("no_pooling", "partial_pooling", "population")
    points = pd.concat(
        [
            pd.DataFrame({"grp": data["grp"], "stage": stage, "place": float(at), "value": data[column]})
            for at, (stage, column) in enumerate(zip(STAGES, columns, strict=True))
        ],
        ignore_index=True,
    ).dropna()
    points["stage"] = pd.Categorical(points["stage"], categories=list(STAGES))
    few = len(data) <= 60
    term = str(data["term"].iloc[0])
    return (
        p9.ggplot(points, p9.aes("place", "value"))
        + p9.geom_line(p9.aes(group="grp"), color=GREY, alpha=0.7 if few else 0.25, size=0.5 if few else 0.3)
        + p9.geom_point(p9.aes(color="stage", shape="stage", size="stage"), stroke=0)
        + p9.scale_color_manual(COLORS)
        + p9.scale_shape_manual(SHAPES)
        + p9.scale_size_manual((2.2, 2.2, 4.0) if few else (1.0, 1.0, 4.0))
        + p9.scale_x_continuous(breaks=list(np.arange(3.0)), labels=list(STAGES), minor_breaks=[], limits=(-0.25, 2.25))
        + p9.labs(
            x="",
            y=f"Coefficient of {term}",
            title=heading(f"Shrinkage of {group}", 6.0),
            caption=caption(*notes, width=6.0),
        )
        + theme(6.0, 4.8)
        + p9.theme(legend_position="none")
    )
