"""Pictures that the pages on random effects share: lines of groups, matrices as tiles, and the wiring of factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

import multilevel as ml
from multilevel.plot.style import BLUE, GREY, PALETTE, VERMILION

plt.rcParams.update({"figure.dpi": 110, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

DIVERGING = "RdBu_r"


def tiles(axes: Axes, matrix: Any, names: Sequence[str] | None = None, *, title: str = "", digits: int = 2) -> None:
    """Draw a matrix as coloured tiles, with its numbers in them where they find room."""
    values = np.asarray(matrix, dtype=float)
    limit = max(np.nanmax(np.abs(values)), 1e-12)
    axes.imshow(values, cmap=DIVERGING, norm=TwoSlopeNorm(0.0, -limit, limit), interpolation="nearest")
    rows, columns = values.shape
    if max(rows, columns) <= 10:
        for i in range(rows):
            for j in range(columns):
                dark = abs(values[i, j]) > 0.6 * limit
                text = f"{round(values[i, j], digits) + 0.0:.{digits}f}"  # no minus zero
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    if names is None:
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        axes.set_xticks(range(columns), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(rows), names, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)


def group_lines(axes: Axes, fit: ml.LinearMixedModel, x: str, group: str, *, most: int = 9) -> None:
    """Draw the data, the line of each group in its colour, and the line of the population in black."""
    data, response = fit.augment(), str(fit.endog_names)
    levels = [str(level) for level in pd.unique(data[group].astype(str))][:most]
    grid = np.linspace(float(data[x].min()), float(data[x].max()), 30)
    for number, level in enumerate(levels):
        own = data[data[group].astype(str) == level]
        colour = PALETTE[number % len(PALETTE)]
        axes.plot(own[x], own[response], ".", color=colour, alpha=0.35, markersize=4)
        axes.plot(grid, fit.predict(pd.DataFrame({x: grid, group: level})), color=colour, linewidth=1.2)
    axes.plot(grid, fit.predict(pd.DataFrame({x: grid}), re_formula=False), color="black", linewidth=2.5)
    axes.set_xlabel(x)
    axes.set_ylabel(response)


def term_picture(fit: ml.LinearMixedModel, x: str, group: str) -> Figure:
    """Draw the lines of a term, the covariance matrix of its effects, and the first rows of its design matrix."""
    figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.1), gridspec_kw={"width_ratios": [1.5, 1, 1]})
    group_lines(axes[0], fit, x, group)
    axes[0].set_title(str(fit.formula).split("~")[1].strip(), fontsize=10)
    covariance = fit.varcorr()[group]
    tiles(axes[1], covariance, list(covariance.index), title=f"Covariance matrix\nof one {group}", digits=0)
    pattern(axes[2], fit, rows=30)
    figure.tight_layout()
    return figure


def pattern(axes: Axes, fit: ml.LinearMixedModel, *, rows: int | None = None, title: str = "") -> None:
    """Draw where the random-effects design matrix Z is not zero."""
    design = fit.get_me("Z").toarray()[:rows]
    used = np.flatnonzero(np.abs(design).sum(axis=0)) if rows else np.arange(design.shape[1])
    shown = (design[:, used] != 0).astype(float)
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{len(used)} columns")
    axes.set_ylabel(f"{len(shown)} rows")
    axes.set_title(title or f"Z{', first rows' if rows else ''}", fontsize=10)


def wiring(axes: Axes, data: pd.DataFrame, upper: str, lower: str, *, title: str) -> None:
    """Draw which levels of two factors meet in the data."""
    pairs = data[[upper, lower]].astype(str).drop_duplicates()
    tops, bottoms = list(dict.fromkeys(pairs[upper])), list(dict.fromkeys(pairs[lower]))
    width = max(len(tops), len(bottoms))
    place = {
        **{(upper, name): (i + 0.5) * width / len(tops) for i, name in enumerate(tops)},
        **{(lower, name): (i + 0.5) * width / len(bottoms) for i, name in enumerate(bottoms)},
    }
    for top, bottom in pairs.itertuples(index=False):
        axes.plot([place[upper, top], place[lower, bottom]], [1, 0], color=GREY, linewidth=0.9, zorder=1)
    for factor, names, height, colour in ((upper, tops, 1, VERMILION), (lower, bottoms, 0, BLUE)):
        at = [place[factor, name] for name in names]
        axes.scatter(at, [height] * len(at), s=190, color=colour, zorder=2)
        for name, x in zip(names, at, strict=True):
            axes.text(x, height, name, ha="center", va="center", fontsize=7, color="white", zorder=3)
        axes.text(-0.1, height + 0.2, factor, fontsize=9, color=colour, ha="left")
    axes.set_ylim(-0.35, 1.45)
    axes.axis("off")
    axes.set_title(title, fontsize=10)
