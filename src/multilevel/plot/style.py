"""What all pictures share: colours, theme, and the import of plotnine."""

from __future__ import annotations

import importlib
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import MissingDependencyError

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
"""The colours of Okabe & Ito (2008), told apart by people with any kind of colour vision."""

PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
"""The order in which categories take them: the first ones differ in lightness too."""

GREY, LIGHT_GREY = "#6B6B6B", "#C8C8C8"

FEW_LEVELS = 60
"""Levels of a factor that can still be labelled one by one."""


MOST_POINTS = 4000
"""Rows that are drawn as points; of more, a sample is."""

LONG_NUMBER = 7
"""Characters of a number on an axis before powers of ten take the place of its zeros."""

LINE_WIDTH = 30
"""Characters of a label before it goes on in the next line."""


def plotnine() -> Any:
    """Import plotnine, which is an optional dependency.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        return importlib.import_module("plotnine")
    except ImportError as error:
        raise MissingDependencyError("Pictures need the package plotnine: pip install 'multilevel[plot]'.") from error


def theme(width: float = 7.0, height: float = 4.5) -> Any:
    """Return what all pictures have in common, to be added to them: a theme with a size in inches, and the numbers of axes."""
    p9 = plotnine()
    from multilevel.plot.axes import NumberedAxes

    look = p9.theme_minimal(base_size=11) + p9.theme(
        figure_size=(width, height),
        plot_title=p9.element_text(size=13, weight="bold", ha="left"),
        plot_subtitle=p9.element_text(size=10, color=GREY, ha="left"),
        plot_caption=p9.element_text(size=8, color=GREY, ha="left"),
        plot_background=p9.element_rect(fill="white", color="white"),
        panel_grid_minor=p9.element_blank(),
        panel_grid_major=p9.element_line(color="#E6E6E6", size=0.5),
        strip_text=p9.element_text(size=10, weight="bold"),
        legend_position="top",
    )
    return [look, NumberedAxes()]


def percent(level: float) -> str:
    """Write a confidence level for a label: ``0.95`` is ``95%``."""
    return f"{100 * level:g}%"


def axis_numbers(values: Sequence[float]) -> list[str]:
    """Write the numbers of an axis with all the decimals that they have, alike; long ones in powers of ten.

    Examples
    --------
    >>> from multilevel.plot.style import axis_numbers
    >>> axis_numbers([0.75, 1.0]), axis_numbers([0.752]), axis_numbers([2e-10, 4e-10])
    (['0.75', '1.00'], ['0.752'], ['2e-10', '4e-10'])
    """
    size = max((abs(value) for value in values), default=0.0)
    # what rounding has left of a zero
    own = [0.0 if abs(value) <= 1e-10 * size else float(value) for value in values]
    digits = next((n for n in (6, 9, 12) if len({f"{value:.{n}g}" for value in own}) == len(set(own))), 17)
    short = [f"{value:.{digits}g}" for value in own]
    decimals = [len(np.format_float_positional(float(text), trim="-").partition(".")[2]) for text in short]
    aligned = [f"{value:.{max(decimals)}f}" for value in own]
    length = max(map(len, aligned), default=0)
    return short if length > LONG_NUMBER and max(map(len, short)) < length else aligned


def axis_breaks(limits: tuple[float, float], n: int, share: float = 0.1) -> list[float]:
    """Return about n round numbers within limits, two at least, off a share at their ends, where those of the next panel stand."""
    from mizani.breaks import breaks_extended

    edge = share * (limits[1] - limits[0])
    found: list[float] = []
    for more in range(n, n + 4):
        found = [float(at) for at in breaks_extended(n=more)(limits) if limits[0] + edge <= at <= limits[1] - edge]
        if len(found) > 1:
            break
    return found


def counted(n: int) -> str:
    """Write a count with commas: ``10000`` is ``10,000``."""
    return f"{n:,}"


def sampled(n: int, most: int = MOST_POINTS, seed: int = 1) -> npt.NDArray[np.intp]:
    """Return the positions of `most` of `n` things in order, drawn at random but always the same; of all where there are fewer."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def wrapped(labels: Iterable[Any], width: int = LINE_WIDTH) -> list[str]:
    r"""Break labels longer than a line, after spaces, colons, underscores and dots.

    Examples
    --------
    >>> from multilevel.plot.style import wrapped
    >>> wrapped(["short", "treatment_group:number_of_sessions"], 20)
    ['short', 'treatment_group:\nnumber_of_sessions']
    """
    found = []
    for label in map(str, labels):
        lines = [""]
        for piece in re.findall(r"[^\s:_.]*[\s:_.]|[^\s:_.]+", label):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
        found.append("\n".join(line.strip() for line in lines))
    return found


def shortened(labels: Iterable[Any], width: int = LINE_WIDTH) -> list[str]:
    """Cut long labels off, those excepted that would be the same then; for axes whose labels have one line each.

    Examples
    --------
    >>> from multilevel.plot.style import shortened
    >>> shortened(["district 1", "district of the upper valley"], 12)
    ['district 1', 'district of…']
    """
    whole = [str(label) for label in labels]
    short = [label if len(label) <= width else label[: width - 1].rstrip() + "…" for label in whole]
    counts = Counter(short)
    return [own if counts[own] == 1 else label for own, label in zip(short, whole, strict=True)]


def heading(text: str, width: float) -> str:
    """Break a title into lines that fit the width of a picture in inches."""
    return wrapped([text], max(20, int(9 * (width - 0.9))))[0]


def listed(names: Iterable[str]) -> str:
    """Write names in a sentence: ``a, b and c``; a name may hold commas itself."""
    each = list(names)
    return " and ".join([", ".join(each[:-1]), each[-1]] if len(each) > 1 else each)


def caption(*notes: str, width: float = 7.0) -> str:
    """Join what a reader should know about a picture, in lines that fit its width in inches."""
    return "\n".join(textwrap.wrap(" ".join(note for note in notes if note), max(40, int(15 * (width - 0.7)))))
