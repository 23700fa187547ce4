"""How many clusters there are, how large they are, and how grouping factors lie to each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from multilevel.arguments import checked
from multilevel.data.factors import combine
from multilevel.data.frames import Frame
from multilevel.descriptives.groups import Groups
from multilevel.descriptives.table import FrameTable
from multilevel.levels.nesting import grouping_factors, say_missing_factors


@dataclass(frozen=True, eq=False, repr=False)
class ClusterSizes(FrameTable):
    """The sizes of clusters: what `cluster_sizes` returns.

    Attributes
    ----------
    title : str
        What is shown.
    notes : tuple of str
        How the factors lie to each other.
    relations : mapping
        For each pair of factors ``"nested"``, ``"crossed"`` (every combination occurs), ``"partially crossed"`` or
        ``"the same"``; the first of a nested pair is nested in the second.
    """

    relations: dict[tuple[str, str], str]


@checked
def cluster_sizes(frame: Any, by: str | int | Iterable[str | int]) -> ClusterSizes:
    """Count the clusters and their rows, and say whether factors are nested or crossed.

    Parameters
    ----------
    frame : data frame
        The data.
    by : str or iterable of str
        The grouping factor, several, or nested ones joined by slashes, outermost first.

    Returns
    -------
    ClusterSizes
        One row per factor: ``level``, ``n_groups``, ``n_rows``, ``min``, ``median``, ``mean``, ``max`` (rows in a group),
        ``singletons`` (groups of one row), ``balanced`` (whether all groups have the same size).

    Raises
    ------
    UnknownColumnError
        If the data have no such column.

    Warns
    -----
    MissingValuesWarning
        If rows have no group; they are left out.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.cluster_sizes(ml.load_dataset("Penicillin"), ["plate", "sample"]))
    Cluster sizes
    <BLANKLINE>
    level  n_groups n_rows min median mean max singletons balanced
    plate        24    144   6      6    6   6          0      yes
    sample        6    144  24     24   24  24          0      yes
    <BLANKLINE>
    plate and sample are crossed: each of their 144 combinations occurs.
    """
    import pandas as pd

    data = Frame(frame)
    factors = grouping_factors(data, by)
    say_missing_factors(factors)
    rows = []
    for groups in factors:
        sizes = groups.sizes()
        rows.append(
            {
                "level": groups.label,
                "n_groups": groups.n_groups,
                "n_rows": int(sizes.sum()),
                "min": int(sizes.min()),
                "median": float(np.median(sizes)),
                "mean": float(sizes.mean()),
                "max": int(sizes.max()),
                "singletons": int((sizes == 1).sum()),
                "balanced": bool(sizes.min() == sizes.max()),
            }
        )
    relations: dict[tuple[str, str], str] = {}
    notes = []
    for first, second in combinations(factors, 2):
        pair, relation, sentence = _relation(first, second)
        relations[pair] = relation
        notes.append(sentence)
    return ClusterSizes("Cluster sizes", tuple(notes), pd.DataFrame(rows), relations)


def _relation(first: Groups, second: Groups) -> tuple[tuple[str, str], str, str]:
    """Return how two factors lie to each other."""
    occurring = combine([first.factor, second.factor]).n_levels
    a, b = first.label, second.label
    if occurring == first.n_groups == second.n_groups:
        return (a, b), "the same", f"{a} and {b} are the same grouping under two names."
    if occurring == second.n_groups:
        return (b, a), "nested", f"{b} is nested in {a}."
    if occurring == first.n_groups:
        return (a, b), "nested", f"{a} is nested in {b}."
    total = first.n_groups * second.n_groups
    if occurring == total:
        return (a, b), "crossed", f"{a} and {b} are crossed: each of their {total} combinations occurs."
    said = f"{a} and {b} are partially crossed: {occurring} of their {total} combinations occur."
    return (a, b), "partially crossed", said
