"""Heat maps of correlation matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.data.levels import level_text
from multilevel.descriptives.association_table import Association
from multilevel.errors import ControlError, DataTypeError
from multilevel.plot.style import BLUE, VERMILION, caption, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

WRITTEN = 15
"""Variables whose correlations are written into the cells."""


def correlation_data(association: Association) -> pd.DataFrame:
    """Return the cells of correlation matrices.

    Returns
    -------
    pandas.DataFrame
        ``panel``, ``x``, ``y``, ``estimate``: the lower triangle of each matrix with its diagonal, variables in their order.

    Raises
    ------
    DataTypeError
        It is no table of correlations.
    ControlError
        They are covariances, which have no common scale.
    """
    import pandas as pd

    if not isinstance(association, Association):
        raise DataTypeError(f"plot_correlation takes what correlation returned, not {type(association).__name__}.")
    if association.method == "covariance":
        raise ControlError("Covariances have no common scale to colour; give ml.correlation(…) of the same columns.")
    parts = []
    for key, matrix in association._matrices:
        panel = ", ".join(
            level_text(value) if name == "kind" else f"{name} = {level_text(value)}"
            for name, value in zip(association.by, key, strict=True)
        )
        rows, columns = np.tril_indices(len(matrix))
        names = matrix.columns.to_numpy(dtype=object)
        values = matrix.to_numpy()[rows, columns]
        parts.append(pd.DataFrame({"panel": panel, "x": names[columns], "y": names[rows], "estimate": values}))
    data = pd.concat(parts, ignore_index=True)
    names = list(association._matrices[0][1].columns)
    return data.assign(
        panel=pd.Categorical(data["panel"], categories=list(dict.fromkeys(data["panel"]))),
        x=pd.Categorical(data["x"], categories=names),
        y=pd.Categorical(data["y"], categories=names[::-1]),
    )


def plot_correlation(association: Association) -> Any:
    """Draw correlation matrices as heat maps.

    Parameters
    ----------
    association : Association
        What `correlation` returned; several matrices (groups, or total, within and between clusters) have a panel each.

    Returns
    -------
    plotnine.ggplot
        The picture; correlations of up to 15 variables are written into the cells.

    Raises
    ------
    DataTypeError
        It is no table of correlations.
    ControlError
        They are covariances.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> picture = ml.plot_correlation(ml.correlation(sleep, cluster="Subject"))
    >>> picture.save("correlation.png", verbose=False)  # doctest: +SKIP
    """
    p9 = plotnine()
    data = correlation_data(association)
    names = list(data["x"].cat.categories)
    panels = len(data["panel"].cat.categories)
    columns = min(panels, 3)
    n_rows = -(-panels // columns)
    side = max(2.6, min(8.0, 0.55 * len(names) + 0.6))
    width = max(5.0, min(12.0, columns * side + 1.0))
    data["text"] = ["" if np.isnan(value) else f"{value:.2f}".replace("-", "−") for value in data["estimate"]]
    data["ink"] = np.where(data["estimate"].abs() > 0.6, "white", "black")
    picture = p9.ggplot(data, p9.aes("x", "y", fill="estimate")) + p9.geom_tile(color="white", size=0.8)
    if len(names) <= WRITTEN:
        picture += p9.geom_text(p9.aes(label="text", color="ink"), size=9 if len(names) <= 8 else 7, show_legend=False)
        picture += p9.scale_color_identity()
    if panels > 1:
        picture += p9.facet_wrap("panel", ncol=columns)
    upright = sum(map(len, map(str, names))) > 9 * side
    notes = [note if note.endswith(".") else f"{note}." for note in association.notes]
    return (
        picture
        + p9.scale_fill_gradient2(
            low=VERMILION, mid="#F7F7F7", high=BLUE, midpoint=0, limits=(-1, 1), na_value="#E0E0E0", breaks=[-1, 0, 1]
        )
        + p9.scale_x_discrete(labels=wrapped(names, 16))
        + p9.scale_y_discrete(labels=wrapped(names[::-1], 20))
        + p9.coord_fixed()
        + p9.labs(
            x="",
            y="",
            fill="Correlation",
            title=association.title.split(":")[0],
            caption=caption(*notes, width=width),
        )
        + theme(width, min(14.0, n_rows * side + 1.4))
        + p9.theme(
            panel_grid_major=p9.element_blank(),
            axis_text_x=p9.element_text(rotation=90 if upright else 0, va="top", ha="center"),
        )
    )
