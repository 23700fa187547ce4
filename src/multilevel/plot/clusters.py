"""Clustered data and the lines of their clusters: spaghetti, or a panel for each cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import checked
from multilevel.errors import ControlError
from multilevel.model.fitted import LinearMixedModel
from multilevel.plot.cluster_data import (
    ClusteredRows,
    clustered_rows,
    model_lines,
    pooled_line,
    population_line,
    population_lines,
    population_values,
    sampled_clusters,
    separate_lines,
)  # fmt: skip
from multilevel.plot.style import (
    BLUE,
    MOST_POINTS,
    ORANGE,
    VERMILION,
    caption,
    counted,
    heading,
    listed,
    plotnine,
    sampled,
    theme,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd

Lines = Literal["separate", "fit", "both", "observed", "none"]

LINES = ("separate", "fit", "both", "observed", "none")
MOST_LINES, MOST_PANELS = 100, 30
KINDS = {
    "observed": "Observations joined",
    "separate": "Cluster by itself",
    "fit": "Cluster in the model",
    "population": "Population",
}
COLORS = {"observed": BLUE, "separate": ORANGE, "fit": BLUE, "population": VERMILION}


def clusters_data(
    data: Any,
    x: str,
    y: str | None = None,
    cluster: str | None = None,
    *,
    lines: Lines | None = None,
    population: bool = True,
    max_clusters: int = MOST_LINES,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the points and lines of a picture of clustered data.

    Parameters
    ----------
    data : data frame or LinearMixedModel
        The data, or a model and with it the rows that it used.
    x, y, cluster, lines, population, max_clusters
        See `plot_clusters`.

    Returns
    -------
    points, lines : pandas.DataFrame
        ``cluster``, ``x``, ``y``; for the lines also ``kind``, ``"separate"``, ``"fit"``, ``"observed"`` or ``"population"`` (whose
        ``cluster`` is None).

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.clusters import clusters_data
    >>> points, lines = clusters_data(ml.load_dataset("sleepstudy"), "Days", "Reaction", "Subject")
    >>> lines.head(2).round(2)
      cluster    x       y      kind
    0     308  0.0  244.19  separate
    1     308  9.0  440.07  separate
    """
    return _frames(clustered_rows(data, x, y, cluster), _line_kind(data, lines), population, max_clusters)


@checked
def plot_clusters(
    data: Any,
    x: str,
    y: str | None = None,
    cluster: str | None = None,
    *,
    lines: Lines | None = None,
    panels: bool = False,
    points: bool = True,
    population: bool = True,
    max_clusters: int | None = None,
) -> Any:
    """Draw clustered data: their rows, a line for each cluster, and the line of the population.

    Parameters
    ----------
    data : data frame or LinearMixedModel
        The data, or a model and with it the rows that it used.
    x : str
        The predictor: a column of numbers, or of categories.
    y, cluster : str, optional
        Response and cluster, which a data frame needs. For a model the response is the model's, and `cluster` one of its grouping
        factors, by default the one with the most levels.
    lines : {"separate", "fit", "both", "observed", "none"}, optional
        Of each cluster its own least-squares line; the model's, with its conditional modes; both; its observations joined in the
        order of x; or none. By default ``"fit"`` for a model (``"both"`` in panels) and ``"separate"`` for data. Where x is
        categorical, a cluster's own line joins the means of its rows.
    panels : bool
        Whether each cluster has a panel of its own.
    points : bool
        Whether the rows are drawn.
    population : bool
        Whether there is a line of the population: the model's without random effects, or least squares through all rows.
    max_clusters : int, optional
        Of more clusters so many are drawn, chosen at random; the caption says so. By default 100, or 30 in panels.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError
        An argument is missing, does not go with a model, or is not one of its choices.
    UnknownColumnError
        There is no such column.
    DataError
        No row can be drawn, or the fit has no data frame.
    MissingDependencyError
        plotnine is not installed.

    Warns
    -----
    MissingValuesWarning
        Rows lack a value and are not drawn.

    Notes
    -----
    On the lines of a model, other numeric predictors are at their mean in the cluster and categories at their most frequent level.
    So they are on the population's line in a cluster's panel; in a picture without panels they are at those of all rows there.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> picture = ml.plot_clusters(sleep, "Days", "Reaction", "Subject", panels=True)
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> picture = ml.plot_clusters(fit, "Days")
    >>> picture.save("clusters.png", verbose=False)  # doctest: +SKIP
    """
    import pandas as pd

    p9 = plotnine()
    kind = _line_kind(data, lines, panels=panels)
    most = (MOST_PANELS if panels else MOST_LINES) if max_clusters is None else max_clusters
    rows = clustered_rows(data, x, y, cluster)
    dots, curves = _frames(rows, kind, population, most, panels=panels)
    names = [rows.clusters[at] for at in np.flatnonzero(sampled_clusters(rows, most))]
    dots_shown = dots.iloc[sampled(len(dots))]
    notes = []
    if len(names) < rows.n_clusters:
        notes.append(
            f"{counted(len(names))} of {counted(rows.n_clusters)} levels of {rows.names[2]}, chosen at random."
        )
    if points and len(dots) > MOST_POINTS:
        notes.append(f"{counted(MOST_POINTS)} of their {counted(len(dots))} rows are drawn.")
    notes += _other_predictors(rows, set(curves["kind"]), panels=panels)
    curves["curve"] = curves["kind"] + ":" + curves["cluster"].astype(object).fillna("").astype(str)
    # A line needs two points.
    long = curves["curve"].map(curves["curve"].value_counts()) > 1
    if not long.all():
        short = curves.loc[~long, "cluster"].nunique()
        notes.append(f"Levels with one value of {x} and so without a line: {counted(int(short))}.")
        curves = curves[long].copy()
    n_columns = min(6, max(3, int(np.ceil(np.sqrt(len(names)))))) if panels else 1
    n_rows = -(-len(names) // n_columns)
    width = 1.6 * n_columns + 0.9 if panels else 7.0
    found = [name for name in KINDS if name in set(curves["kind"])]
    curves["line"] = pd.Categorical(curves["kind"].map(KINDS), categories=[KINDS[name] for name in found])
    if panels:
        dots_shown, curves = _in_panels(dots_shown, curves, names)
    many = len(names) > 20 and not panels
    picture = p9.ggplot(dots_shown, p9.aes("x", "y"))
    if points:
        few = len(dots_shown) <= 500
        picture += p9.geom_point(color="black", alpha=0.6 if few else 0.2, size=1.5 if few else 1.0, stroke=0)
    for name in found:
        picture += p9.geom_line(
            p9.aes(color="line", linetype="line", group="curve"),
            data=curves[curves["kind"] == name],
            size=(1.4 if not panels else 0.7) if name == "population" else 0.35 if many else 0.7,
            alpha=1.0 if name == "population" or not many else 0.6,
        )
    if found:
        # Dashes and a colour of its own are for a line that stands beside another of the same cluster.
        apart = {"separate"} if "fit" in found else set()
        colors = {KINDS[name]: COLORS[name] if name in apart | {"population"} else BLUE for name in found}
        picture += p9.scale_color_manual(colors)
        picture += p9.scale_linetype_manual({KINDS[name]: "dashed" if name in apart else "solid" for name in found})
    if rows.categories is not None:
        picture += p9.scale_x_continuous(
            breaks=list(range(len(rows.categories))), labels=wrapped(rows.categories, 14), minor_breaks=[],
            expand=(0.08, 0),
        )  # fmt: skip
    title = f"{rows.names[1]} over {x} by {rows.names[2]}"
    picture += p9.labs(x=x, y=rows.names[1], title=heading(title, width), caption=caption(*notes, width=width))
    picture += theme(width, min(16.0, 1.5 + 1.5 * n_rows) if panels else 5.0)
    picture += p9.theme(legend_title=p9.element_blank())
    if panels:
        picture += p9.facet_wrap("cluster", ncol=n_columns)
        picture += p9.theme(strip_text=p9.element_text(size=8), axis_text=p9.element_text(size=8))
    return picture


def _line_kind(data: Any, lines: str | None, *, panels: bool = False) -> str:
    is_fit = isinstance(data, LinearMixedModel)
    if lines is None:
        return ("both" if panels else "fit") if is_fit else "separate"
    if lines not in LINES:
        raise ControlError(f"lines must be one of {', '.join(map(repr, LINES))}, not {lines!r}.")
    if lines in ("fit", "both") and not is_fit:
        raise ControlError(f"lines={lines!r} needs a fitted model in the place of the data.")
    return lines


def _other_predictors(rows: ClusteredRows, kinds: set[str], *, panels: bool) -> list[str]:
    """Say at which values of other predictors the lines of a model are."""
    if rows.fit is None or len(rows.fit.formula.term_list.terms) < 2 or not kinds & {"fit", "population"}:
        return []
    if panels:
        return ["Other predictors: at their mean or most frequent level in each panel."]
    levels = [f"{name} = {value}" for name, value in population_values(rows).items() if not isinstance(value, float)]
    population = f"; the population's line is at {listed(levels)}" if levels and "population" in kinds else ""
    return [f"Other predictors: at their mean or most frequent level{population}."]


def _frames(
    rows: ClusteredRows, lines: str, population: bool, most: int, *, panels: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    if most < 1:
        raise ControlError(f"max_clusters must be at least 1, not {most}.")
    chosen = sampled_clusters(rows, most)
    own = np.flatnonzero(chosen[rows.codes])
    names = np.array(rows.clusters, dtype=object)
    points = pd.DataFrame({"cluster": names[rows.codes[own]], "x": rows.x[own], "y": rows.y[own]})
    parts = []
    if lines == "observed":
        order = np.lexsort((points["x"], rows.codes[own]))
        parts.append(points.iloc[order].assign(kind="observed"))
    if lines in ("separate", "both"):
        parts.append(separate_lines(rows, chosen).assign(kind="separate"))
    if lines in ("fit", "both"):
        parts.append(model_lines(rows, chosen).assign(kind="fit"))
    if population:
        if rows.fit is not None and panels:
            line = population_lines(rows, chosen)
        else:
            line = (pooled_line(rows) if rows.fit is None else population_line(rows)).assign(cluster=None)
        parts.append(line.assign(kind="population"))
    parts = [part[["cluster", "x", "y", "kind"]] for part in parts]
    if not parts:
        return points, pd.DataFrame({"cluster": [], "x": [], "y": [], "kind": []}).astype({"kind": object})
    records = {name: [value for part in parts for value in part[name]] for name in ("cluster", "x", "y", "kind")}
    return points, pd.DataFrame(records).astype({"cluster": object})


def _in_panels(points: pd.DataFrame, lines: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repeat a line of all clusters in every panel, and give the panels the order of the clusters."""
    import pandas as pd

    shared = lines["cluster"].isna()
    whole, own = lines[shared], lines[~shared]
    lines = pd.concat([own, *(whole.assign(cluster=name) for name in names)], ignore_index=True)
    labels = dict(zip(names, wrapped(names, 16), strict=True))
    order = list(dict.fromkeys(labels[name] for name in names))
    for frame in (points, lines):
        frame["cluster"] = pd.Categorical(frame["cluster"].map(labels), categories=order)
    return points, lines
