"""The units of simulated data: how many there are at each level, and to which of them every row belongs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked_fields
from multilevel.errors import ControlError, DataError, DataTypeError
from multilevel.simulation.draws import Draws
from multilevel.size_limits import beyond_limit, current_limits

IndexArray = npt.NDArray[np.int64]
SizeDraw = Callable[[str, str, int], npt.NDArray[Any]]


@checked_fields
@dataclass(frozen=True, slots=True)
class Crossed:
    """A level whose units are shared by the units of the levels before it, such as the items that every subject rates.

    Parameters
    ----------
    size : int or str or sequence of int
        How many units there are in all; or, with `within`, in each unit of that level.
    each : int, optional
        How many of them each unit of the levels before it meets, drawn at random; by default all of them, in order.
    within : str, optional
        Another crossed level that these units are nested in, such as the categories of items.
    replace : bool, default False
        Whether, with `each`, the same unit can be met again.

    Examples
    --------
    24 subjects who each rate 10 of 60 items, twice:

    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "rating ~ 1 + (1 | subject) + (1 | item)",
    ...     levels={"subject": 24, "item": ml.Crossed(60, each=10), "trial": 2},
    ...     fixed={"(Intercept)": 4},
    ...     random={"subject": 0.5, "item": 0.3},
    ...     sigma=1,
    ... )
    >>> frame, truth = design.draw(rng=1)
    >>> len(frame), frame.item.nunique(), int(frame.groupby("subject").item.nunique().max())
    (480, 59, 10)
    """

    size: Any
    each: int | None = None
    within: str | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One level with its units.

    Attributes
    ----------
    name
        Its name.
    count
        Number of units.
    above
        For each level that a unit determines, the unit's position there; itself included.
    """

    name: str
    count: int
    above: Mapping[str, IndexArray]


@dataclass(slots=True, eq=False)
class Units:
    """All levels, and the rows.

    Attributes
    ----------
    levels
        The levels, in the order given.
    codes
        For each level, the position of each row's unit.
    n_rows
        Number of rows.
    parent
        For each level that is not crossed, the row of the levels before it that each of its units was added to.
    row_parent
        The same for the rows as they are.
    """

    levels: dict[str, Level] = field(default_factory=dict)
    codes: dict[str, IndexArray] = field(default_factory=dict)
    n_rows: int = 1
    parent: dict[str, IndexArray] = field(default_factory=dict)
    row_parent: IndexArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))

    def add(self, name: str, spec: Any, draws: Draws, draw_sizes: SizeDraw) -> None:
        """Add a level: nested in those before it, or crossed with them."""
        if isinstance(spec, Crossed):
            self._cross(name, spec, draws, draw_sizes)
            return
        sizes = _sizes(name, spec, self.n_rows, draw_sizes)
        rows = np.repeat(np.arange(self.n_rows), sizes)
        self.codes = {known: codes[rows] for known, codes in self.codes.items()}
        self.n_rows = len(rows)
        self.codes[name] = np.arange(self.n_rows)
        self.parent[name] = self.row_parent = rows
        self.levels[name] = Level(name, self.n_rows, dict(self.codes))

    def _cross(self, name: str, spec: Crossed, draws: Draws, draw_sizes: SizeDraw) -> None:
        if spec.within is None:
            count = int(_sizes(name, spec.size, 1, draw_sizes)[0])
            owner, first, sizes = np.zeros(self.n_rows, dtype=np.int64), np.zeros(1, np.int64), np.array([count])
            above: dict[str, IndexArray] = {}
        else:
            outer = self.levels.get(spec.within)
            if outer is None:
                known = ", ".join(map(repr, self.levels)) or "none"
                raise ControlError(f"The level {name!r} is within {spec.within!r}; the levels before it are {known}.")
            sizes = _sizes(name, spec.size, outer.count, draw_sizes)
            parents = np.repeat(np.arange(outer.count), sizes)
            count = len(parents)
            above = {known: codes[parents] for known, codes in outer.above.items()}
            owner, first = self.codes[spec.within], np.cumsum(sizes) - sizes
        if spec.each is None:
            met = sizes[owner]
            _check_rows(name, float(met.sum(dtype=np.float64)))
            rows = np.repeat(np.arange(self.n_rows), met)
            inside = np.arange(len(rows)) - np.repeat(np.cumsum(met) - met, met)
        else:
            each = _whole(spec.each, f"each of the level {name!r}")
            smallest = int(sizes[owner].min(initial=each))
            if each < 1 or (each > smallest and not spec.replace):
                raise ControlError(f"The level {name!r} has {smallest} units to draw from, so each cannot be {each}.")
            _check_rows(name, float(self.n_rows) * each)
            rows = np.repeat(np.arange(self.n_rows), each)
            inside = np.empty((self.n_rows, each), dtype=np.int64)
            for unit in range(len(sizes)):
                here = np.flatnonzero(owner == unit)
                inside[here] = draws.subsets(len(here), int(sizes[unit]), each, spec.replace)
            inside = inside.ravel()
        self.codes = {known: codes[rows] for known, codes in self.codes.items()}
        self.n_rows = len(rows)
        self.row_parent = rows
        self.codes[name] = first[owner][rows] + inside
        self.levels[name] = Level(name, count, {**above, name: np.arange(count)})

    def count_at(self, level: str | None) -> int:
        """Return the number of units of a level; of rows for None."""
        return self.n_rows if level is None else self.levels[level].count

    def above(self, level: str | None) -> Mapping[str, IndexArray]:
        """Return, for each level that the units of a level (or the rows) determine, their position there."""
        return self.codes if level is None else self.levels[level].above

    def position(self, level: str | None) -> IndexArray:
        """Return, for each unit of a level or row, its place among those of the same parent, from 1."""
        parent = self.row_parent if level is None else self.parent.get(level)
        if parent is None:
            return np.arange(1, self.count_at(level) + 1)
        sizes = np.bincount(parent)
        return np.arange(len(parent)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1


def _whole(value: Any, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DataTypeError(f"{what} must be a whole number, not {value!r}.") from None


def _check_rows(name: str, count: float) -> None:
    if count > current_limits().rows:
        raise DataError(f"With the level {name!r} the design has {count:,.0f} rows or units: {beyond_limit('rows')}")


def _sizes(name: str, spec: Any, count: int, draw_sizes: SizeDraw) -> IndexArray:
    """Return the number of units in each of `count` parents."""
    if isinstance(spec, str):
        values = draw_sizes(name, spec, count)
    elif callable(spec):
        raise DataTypeError(f"The size of the level {name!r} must be a number, a list or text such as 'poisson(20)'.")
    elif isinstance(spec, Sequence | np.ndarray):
        values = np.asarray(spec)
        if values.shape != (count,):
            raise DataError(
                f"The level {name!r} has a list of {values.size} sizes; it needs one for each of the {count} units above it."
            )
    else:
        values = np.full(count, float(min(_whole(spec, f"The size of the level {name!r}"), 1 << 62)))
    sizes = np.asarray(values, dtype=np.float64)
    good = np.isfinite(sizes) & (sizes >= 0) & (sizes == np.floor(sizes))
    if not good.all():
        wrong = float(sizes[~good][0])
        raise DataError(f"The sizes of the level {name!r} must be whole numbers from 0 on; one of them is {wrong:g}.")
    _check_rows(name, float(sizes.sum()))
    result: IndexArray = sizes.astype(np.int64)
    if result.sum() == 0:
        raise DataError(f"The level {name!r} has no units: all sizes are 0.")
    return result
