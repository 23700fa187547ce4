"""Pictures of a report, as text that stands in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from multilevel.errors import MissingDependencyError, MultilevelError
from multilevel.formula.syntax import Name
from multilevel.plot.clusters import plot_clusters
from multilevel.plot.model import plot_model
from multilevel.plot.style import plotnine

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

DPI = 110

MOST_ESTIMATES = 40
"""Fixed effects that still fit into a forest plot."""


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes
    ----------
    caption : str
        What it shows, in a sentence; it is the alternative text too.
    source : str
        A ``data:`` address with the whole picture, or empty where it could not be drawn.
    reason : str
        Why it could not be drawn.
    wide : bool
        Whether it is a page of panels, too small to read on a phone unless it scrolls.
    """

    caption: str
    source: str
    reason: str = ""
    wide: bool = False


def data_address(picture: Any) -> str:
    """Return a plotnine picture as a PNG in a ``data:`` address."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    picture.save(buffer, format="png", dpi=DPI, verbose=False)
    plt.close("all")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def report_pictures(fit: LinearMixedModel) -> tuple[Picture, ...]:
    """Draw the pictures of a report: the data by cluster, the estimates, the random effects and the residuals."""
    try:
        plotnine()
    except MissingDependencyError as error:
        return (Picture("The pictures", "", str(error)),)
    found = []
    for caption, draw in _wanted(fit):
        try:
            found.append(Picture(caption, data_address(draw()), wide=caption.startswith("Diagnostics")))
        except MultilevelError as error:
            found.append(Picture(caption, "", str(error)))
    return tuple(found)


def _wanted(fit: LinearMixedModel) -> list[tuple[str, Callable[[], Any]]]:
    """Return the captions and makers of the pictures that a model has something to show in."""
    wanted: list[tuple[str, Callable[[], Any]]] = []
    predictor = _first_number(fit)
    group = str(fit.ngroups.index[0])
    if predictor is not None:
        wanted.append(
            (
                f"The response over {predictor}, a line for each level of {group}.",
                partial(plot_clusters, fit, predictor, cluster=group),
            )
        )
    if 1 < len(fit.fixef) <= MOST_ESTIMATES:
        wanted.append(("Fixed effects with their intervals.", partial(plot_model, fit, "est")))
    wanted.append(("Variance components with their intervals.", partial(plot_model, fit, "variance")))
    for name in fit.ngroups.index:
        wanted.append(
            (
                f"Random effects of {name}: conditional modes with 95% intervals, in order.",
                partial(plot_model, fit, "re", group=name),
            )
        )
    wanted.append(
        (
            "Diagnostics: residuals, their quantiles and spread, and the rows' influence.",
            partial(plot_model, fit, "diag"),
        )
    )
    return wanted


def _first_number(fit: LinearMixedModel) -> str | None:
    """Return the first predictor that is a column of numbers with more than two values."""
    import numpy as np

    design = fit._design
    for name in (str(term) for term in design.term_labels):
        if name in design.fixed_names:
            values = design.columns[:, design.fixed_names.index(name)]
            if isinstance(_node(fit, name), Name) and np.unique(values[:1000]).size > 2:
                return name
    return None


def _node(fit: LinearMixedModel, name: str) -> Any:
    encoder = fit._design.encoder
    return None if encoder is None else encoder.nodes.get(name)
