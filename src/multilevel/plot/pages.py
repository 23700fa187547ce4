"""Several pictures on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multilevel.plot.style import plotnine


def page_of(pictures: Sequence[Any], wide: Sequence[Any] = (), *, width: float = 9.5, row_height: float = 3.4) -> Any:
    """Arrange pictures in two columns, one that is left over across both.

    Parameters
    ----------
    pictures : sequence of plotnine.ggplot
        The pictures, row by row.
    wide : sequence of plotnine.ggplot
        Pictures that have a row to themselves, below the others.
    width, row_height : float
        Size in inches.

    Returns
    -------
    plotnine.composition.Compose or plotnine.ggplot
        The page; one picture alone is itself.
    """
    p9 = plotnine()
    if len(pictures) + len(wide) == 1:
        return [*pictures, *wide][0]
    pairs = len(pictures) - len(pictures) % 2
    rows = [pictures[at] | pictures[at + 1] for at in range(0, pairs, 2)]
    rows += [*pictures[pairs:], *wide]
    page = rows[0]
    for row in rows[1:]:
        page = page / row
    return page & p9.theme(
        figure_size=(width, row_height * len(rows)), plot_title=p9.element_text(size=11, weight="bold")
    )
