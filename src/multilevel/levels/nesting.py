"""Grouping factors by which variables are split: one, several that are crossed, or nested ones as in ``"school/class"``."""

from __future__ import annotations

from collections.abc import Iterable

from multilevel.data.frames import Frame
from multilevel.descriptives.groups import Groups, as_names, groups_of, say_missing_groups
from multilevel.errors import DataError


def is_nested(frame: Frame, by: str | int | Iterable[str | int]) -> bool:
    """Tell whether a slash says that factors are nested; one that belongs to a column's own name does not."""
    return any("/" in name and name not in frame for name in as_names(by, frame))


def grouping_factors(frame: Frame, by: str | int | Iterable[str | int]) -> list[Groups]:
    """Return each grouping factor, and for ``"a/b"`` those of ``a`` and of ``a:b``, outermost first.

    Parameters
    ----------
    frame : Frame
        The data.
    by : str or iterable of str
        The factors. A column whose own name has a slash is taken for that column.

    Returns
    -------
    list of Groups
        The factors, each once.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataError
        If no column is named.
    """
    found: dict[tuple[str, ...], None] = {}
    for name in as_names(by, frame):
        parts = [name] if name in frame else [part.strip() for part in name.split("/")]
        if not all(parts):
            raise DataError(f"by={name!r} does not read as columns joined by slashes, outermost first.")
        for depth in range(1, len(parts) + 1):
            found.setdefault(tuple(parts[:depth]))
    if not found:
        raise DataError("by must name at least one column.")
    return [groups_of(frame, names) for names in found]


def say_missing_factors(factors: list[Groups], consequence: str = "were left out") -> None:
    """Warn about rows without a group, once for nested factors: what lacks the outer one lacks the inner one."""
    for groups in factors:
        if not any(set(groups.names) < set(others.names) for others in factors):
            say_missing_groups(groups, consequence)
