"""Names that tell columns, terms and parameters apart.

A factor's level can spell another column (``time`` with a level "2" beside ``time2``), two terms of a grouping factor can have the
same column, and a predictor can be called ``sigma``. Tables are made by position; the names shown in them are made distinct here,
once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def distinct(names: Sequence[str]) -> list[str]:
    """Give a number to names that stand there already: ``x``, ``x.1``, ``x.2``, passing over those that are taken (as R does).

    Examples
    --------
    >>> from multilevel.data.labels import distinct
    >>> distinct(["g", "g", "h", "g.1", "g"])
    ['g', 'g.2', 'h', 'g.1', 'g.3']
    """
    taken = set(names)
    if len(taken) == len(names):
        return list(names)
    last = dict.fromkeys(names, 0)
    found: list[str] = []
    seen: set[str] = set()
    for name in names:
        shown = name
        if name in seen:
            while shown in taken:
                last[name] += 1
                shown = f"{name}.{last[name]}"
            taken.add(shown)
        seen.add(name)
        found.append(shown)
    return found


def apart_from(names: Sequence[str], coefficients: Collection[str]) -> list[str]:
    """Put a dot before the names that a coefficient has, as lme4 has ``.sigma`` beside a predictor called ``sigma``.

    Examples
    --------
    >>> from multilevel.data.labels import apart_from
    >>> apart_from(["sd_(Intercept)|g", "sigma"], ["(Intercept)", "sigma"])
    ['sd_(Intercept)|g', '.sigma']
    """
    found = []
    for name in distinct(names):
        shown = name
        while shown in coefficients or (shown != name and shown in names):
            shown = f".{shown}"
        found.append(shown)
    return found


def term_groups(terms: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the names of the terms' grouping factors, numbered where terms of one factor share a column.

    Parameters
    ----------
    terms
        For each term its grouping factor and its columns.

    Examples
    --------
    >>> from multilevel.data.labels import term_groups
    >>> term_groups([("g", ["(Intercept)", "x"]), ("g", ["(Intercept)"]), ("h", ["(Intercept)"]), ("h", ["x"])])
    ['g', 'g.1', 'h', 'h']
    """
    columns: dict[str, list[str]] = {}
    for group, names in terms:
        columns.setdefault(group, []).extend(names)
    shared = {group for group, names in columns.items() if len(set(names)) < len(names)}
    numbered = distinct([group for group, _ in terms])
    return [label if group in shared else group for (group, _), label in zip(terms, numbered, strict=True)]
