"""Correlations of random effects and of fixed effects, and conditional modes against each other with their covariance ellipse."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, checked
from multilevel.errors import ControlError
from multilevel.inference.intervals import check_level
from multilevel.plot.random_effects import chosen_groups
from multilevel.plot.style import (
    BLUE,
    GREY,
    MOST_POINTS,
    VERMILION,
    caption,
    counted,
    percent,
    plotnine,
    sampled,
    theme,
    wrapped,
)  # fmt: skip
from multilevel.reporting.abbreviate import abbreviate

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
Part = Literal["all", "fixed", "random"]

PARTS, KINDS = ("all", "fixed", "random"), ("heatmap", "scatter")
WRITTEN = 12
"""Rows of a matrix in whose cells the correlations still find room."""
CORNERS = 181


def covariances_data(fit: LinearMixedModel, part: Part = "all") -> pd.DataFrame:
    """Return the correlation matrices of a fit, a row for each cell.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    part : {"all", "fixed", "random"}
        The estimated correlations of the random effects, those of the estimates of the fixed effects, or both.

    Returns
    -------
    pandas.DataFrame
        ``matrix`` (``"Random effects of g"`` or ``"Estimates of the fixed effects"``), ``row``, ``column``, ``covariance`` and
        ``correlation`` (NaN where a standard deviation is zero). Random effects of different terms have correlation 0 by the model.

    Raises
    ------
    ControlError
        There is no such part, or no matrix in it has two rows.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.covariances import covariances_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> covariances_data(fit, "random")[["row", "column", "correlation"]].round(3).head(2)
               row       column  correlation
    0  (Intercept)  (Intercept)        1.000
    1  (Intercept)         Days        0.066
    """
    import pandas as pd

    if part not in PARTS:
        raise ControlError(f"part must be 'all', 'fixed' or 'random', not {part!r}.")
    matrices = {}
    if part != "fixed":
        components = fit.varcorr()
        matrices = {f"Random effects of {group}": components[group] for group in chosen_groups(fit, None)}
    if part != "random":
        matrices["Estimates of the fixed effects"] = fit.vcov()
    parts = []
    for title, matrix in matrices.items():
        values = matrix.to_numpy()
        k = len(values)
        if k < 2:
            continue
        deviations = np.sqrt(np.diag(values))
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.clip(values / np.outer(deviations, deviations), -1.0, 1.0)
        names = [str(name) for name in matrix.index]
        parts.append(
            pd.DataFrame(
                {
                    "matrix": title,
                    "row": np.repeat(names, k),
                    "column": np.tile(names, k),
                    "covariance": values.ravel(),
                    "correlation": correlation.ravel(),
                }
            )
        )
    if not parts:
        what = {"all": "effect", "fixed": "fixed effect", "random": "random effect for each grouping factor"}[part]
        raise ControlError(f"There are no correlations: the model has at most one {what}.")
    return pd.concat(parts, ignore_index=True)


def ellipse(centre: FloatArray, covariance: FloatArray, level: float) -> FloatArray:
    """Return the boundary of the region that holds a bivariate normal variable with some probability, shape (corners, 2)."""
    radius = np.sqrt(-2.0 * np.log1p(-level))  # the χ² distribution of two degrees of freedom is exponential
    # Eigenvectors, since a singular matrix has no Cholesky factor.
    values, vectors = np.linalg.eigh(covariance)
    angles = np.linspace(0.0, 2.0 * np.pi, CORNERS)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    result: FloatArray = centre + radius * (circle * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return result


def mode_pairs_data(
    fit: LinearMixedModel, group: str | None = None, *, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the conditional modes of each pair of terms of the grouping factors, and the ellipses of their covariance.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        The grouping factor; by default all that have two terms.
    level : float
        Probability of the ellipse.

    Returns
    -------
    modes, ellipses : pandas.DataFrame
        ``pair``, ``x``, ``y`` and, for the modes, ``x_term``, ``y_term`` and ``grp``. The
        ellipses are those of the estimated covariance of the random effects
        themselves; conditional modes are shrunken and vary less.

    Raises
    ------
    ControlError
        There is no such grouping factor, or none has two terms.
    """
    import pandas as pd

    check_level(level)
    groups = chosen_groups(fit, group)
    components, effects = fit.varcorr(), fit.ranef()
    modes, ellipses = [], []
    for name in groups:
        whole, matrix = effects.groups[name], components[name].to_numpy()
        for first, second in combinations(range(len(whole.names)), 2):
            x, y = whole.names[first], whole.names[second]
            pair = f"{name}: {y} against {x}" if len(groups) > 1 else f"{y} against {x}"
            values = whole.modes[:, [first, second]]
            columns = {
                "pair": pair,
                "x_term": x,
                "y_term": y,
                "grp": whole.levels,
                "x": values[:, 0],
                "y": values[:, 1],
            }
            modes.append(pd.DataFrame(columns))
            own = ellipse(np.zeros(2), matrix[np.ix_([first, second], [first, second])], level)
            ellipses.append(pd.DataFrame({"pair": pair, "x": own[:, 0], "y": own[:, 1]}))
    if not modes:
        which = f"{groups[0]!r} has" if len(groups) == 1 else "each grouping factor has"
        raise ControlError(f"There are no pairs of random effects: {which} one term.")
    return pd.concat(modes, ignore_index=True), pd.concat(ellipses, ignore_index=True)


@checked
def plot_covariances(
    fit: LinearMixedModel,
    kind: Literal["heatmap", "scatter"] = "heatmap",
    *,
    part: Part = "all",
    group: str | None = None,
    level: Level = 0.95,
) -> Any:
    """Draw the correlations of random and fixed effects.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    kind : {"heatmap", "scatter"}
        The correlation matrices; or the conditional modes of each pair of terms with the ellipse of their estimated covariance.
    part : {"all", "fixed", "random"}
        For the heatmap, which correlations.
    group : str, optional
        For the scatter, the grouping factor; by default all that have two terms.
    level : float
        For the scatter, the probability of the ellipse.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError
        An option is not one of its choices, or the model has no correlations to show.
    """
    return _heatmap(covariances_data(fit, part)) if kind == "heatmap" else _scatter(fit, group, level)


def _heatmap(data: pd.DataFrame) -> Any:
    import pandas as pd

    p9 = plotnine()
    matrices = list(dict.fromkeys(data["matrix"]))
    sizes = {title: len(dict.fromkeys(own["row"])) for title, own in data.groupby("matrix", sort=False)}
    # Each matrix has a stretch of both axes to itself, so that each keeps its own order.
    largest = max(sizes.values())
    stretch = largest + 10
    breaks: list[int] = []
    labels: list[str] = []
    short: list[str] = []
    lines = 0
    rows, columns = [], []
    for at, title in enumerate(matrices):
        own = data[data["matrix"] == title]
        names = list(dict.fromkeys(own["row"]))
        places = {name: at * stretch + place for place, name in enumerate(names)}
        breaks += places.values()
        labels += wrapped(names, 26)
        # Below the columns there is no room for long names.
        short += abbreviate(names, 16)
        lines = max(lines, len(names) * max(label.count("\n") + 1 for label in labels[-len(names) :]))
        rows += [places[name] for name in own["row"]]
        columns += [places[name] for name in own["column"]]
    data = data.assign(matrix=pd.Categorical(data["matrix"], categories=matrices), row_place=rows, column_place=columns)
    data["text"] = ["" if np.isnan(value) else f"{value + 0.0:.2f}" for value in np.round(data["correlation"], 2)]
    n_columns = min(len(matrices), 2)
    n_rows = -(-len(matrices) // n_columns)
    side = min(10.0, max(3.6, 0.62 * largest + 1.9, 0.2 * lines + 1.9))
    known = data[data["correlation"].notna()]
    picture = (
        p9.ggplot(data, p9.aes("column_place", "row_place"))
        + p9.geom_tile(fill="#EEEEEE", color="white")
        + p9.geom_tile(p9.aes(fill="correlation"), data=known, color="white", size=0.8 if largest <= 30 else 0.1)
        + p9.scale_fill_gradient2(low=VERMILION, mid="white", high=BLUE, limits=(-1, 1), breaks=(-1, -0.5, 0, 0.5, 1))
        + p9.scale_x_continuous(breaks=breaks, labels=short, minor_breaks=[], expand=(0, 0))
        + p9.scale_y_reverse(breaks=breaks, labels=labels, minor_breaks=[], expand=(0, 0))
        + p9.labs(x="", y="", fill="Correlation", title="Correlations" if len(matrices) > 1 else matrices[0])
        + theme(max(4.6, min(14.0, side * n_columns)), 0.9 + side * 0.85 * n_rows)
        + p9.theme(panel_grid_major=p9.element_blank())
    )
    if len(known) < len(data):
        note = caption("Grey: no correlation, since a standard deviation is estimated as zero.", width=side * n_columns)
        picture += p9.labs(caption=note)
    if largest <= WRITTEN:
        picture += p9.geom_text(
            p9.aes(label="text", color="abs(correlation) > 0.6"),
            data=known, size=9 if largest <= 6 else 7, show_legend=False,
        )  # fmt: skip
        picture += p9.scale_color_manual({False: "black", True: "white"})
    if largest > 2:
        picture += p9.theme(axis_text_x=p9.element_text(rotation=90 if largest > 12 else 45, ha="right", va="top"))
    if len(matrices) > 1:
        picture += p9.facet_wrap("matrix", scales="free", ncol=n_columns)
    return picture


def _scatter(fit: LinearMixedModel, group: str | None, level: float) -> Any:
    import pandas as pd

    p9 = plotnine()
    modes, ellipses = mode_pairs_data(fit, group, level=level)
    pairs = list(dict.fromkeys(modes["pair"]))
    own = {name: modes[modes["pair"] == name] for name in pairs}
    shown = pd.concat([part.iloc[sampled(len(part))] for part in own.values()])
    for frame in (shown, ellipses):
        frame["pair"] = pd.Categorical(frame["pair"], categories=pairs)
    largest = max(map(len, own.values()))
    few = largest <= 500
    note = f"Ellipse: {percent(level)} of the estimated distribution. Conditional modes are shrunken and vary less."
    if largest > MOST_POINTS:
        note += f" At most {counted(MOST_POINTS)} levels are drawn, chosen at random."
    n_columns = min(3, len(pairs))
    n_rows = -(-len(pairs) // n_columns)
    width = max(5.0, 3.4 * n_columns)
    picture = (
        p9.ggplot(shown, p9.aes("x", "y"))
        + p9.geom_hline(yintercept=0, color=GREY, linetype="dashed")
        + p9.geom_vline(xintercept=0, color=GREY, linetype="dashed")
        + p9.geom_point(color=BLUE, alpha=0.9 if few else 0.3, size=1.8 if few else 0.8, stroke=0)
        + p9.geom_path(data=ellipses, color=VERMILION, size=0.9)
        + p9.labs(
            x="Conditional mode", y="Conditional mode", title="Random effects", caption=caption(note, width=width)
        )
        + theme(width, 1.4 + 3.2 * n_rows)
    )
    if len(pairs) > 1:
        return picture + p9.facet_wrap("pair", scales="free", ncol=n_columns)
    first, second = modes["x_term"].iloc[0], modes["y_term"].iloc[0]
    return picture + p9.labs(x=f"Conditional mode of {first}", y=f"Conditional mode of {second}")
