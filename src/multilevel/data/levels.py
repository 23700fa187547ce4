"""The level names of a factor, written out only when somebody reads them."""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.labels import distinct
from multilevel.data.numbers import format_number
from multilevel.data.times import with_zone, write_durations, write_times

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = ":"


class Levels:
    """The levels of a factor in their order.

    The values are kept as they came (numbers, dates, text) and turned into text by `names`, once. A fit needs only
    their number, and a million names take longer to write than the fit.

    Parameters
    ----------
    values
        One value per level.
    kind
        What the column has that the values do not show: the type of its numbers (``"uint8"``, and ``"float64"`` where
        its numbers are whole), or the time zone of its times.
    """

    __slots__ = ("_kind", "_names", "_values")

    def __init__(self, values: npt.NDArray[Any] | Sequence[Any], kind: str | None = None) -> None:
        self._values = values
        self._kind = kind
        self._names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Levels) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        shown = ", ".join(repr(level_text(value)) for value in self._values[:3])
        return f"Levels({len(self)}: {shown}{', …' if len(self) > 3 else ''})"

    def __getstate__(self) -> tuple[Any, ...]:
        return (self._values, self._kind)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._values, self._kind = state
        self._names = None

    @property
    def values(self) -> npt.NDArray[Any] | Sequence[Any]:
        """The levels as they came."""
        return self._values

    @property
    def kind(self) -> str | None:
        """The type of the numbers or the time zone of the times, where the values do not show it."""
        return self._kind

    @property
    def names(self) -> tuple[str, ...]:
        """The levels as text."""
        if self._names is None:
            self._names = _render(self._values)
        return self._names

    @property
    def is_logical(self) -> bool:
        """Whether the levels are FALSE and TRUE."""
        return isinstance(self._values, np.ndarray) and self._values.dtype.kind == "b" and len(self._values) == 2

    def take(self, positions: npt.NDArray[np.intp]) -> Levels:
        """Return the levels at some positions."""
        values = self._values
        taken = values[positions] if isinstance(values, np.ndarray) else [values[i] for i in positions.tolist()]
        return Levels(taken, self._kind)

    def labels(self, name: str | None = None) -> pd.Index[Any]:
        """Return the levels as an index of the type of their column, so that they can be mapped and merged with it."""
        import pandas as pd

        values, found = self.values, None
        if not isinstance(values, np.ndarray) or values.dtype.kind == "U":
            found = pd.Index(self.names)
        elif values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] == "D":
            # A date without a time is Python's: pandas would make it a time.
            found = pd.Index(values.astype(object), dtype=object)
        elif values.dtype.kind == "M" and self._kind is not None:
            found = with_zone(values, self._kind)
        else:
            found = pd.Index(values if self._kind is None else values.astype(self._kind))
        labels: pd.Index[Any] = found.rename(name)
        return labels

    def known_texts(self) -> dict[str, int]:
        """Return the place of each level by its name, and by its text as it would be written alone."""
        known = {name: i for i, name in enumerate(self.names)}
        values = self.values
        if isinstance(values, np.ndarray) and values.dtype.kind in "Mm":
            known = {level_text(value): i for i, value in enumerate(values)} | known
        return known


class CombinedLevels(Levels):
    """The levels of a combination of factors, ``"a1:b2"``, of those combinations that occur.

    Parameters
    ----------
    parts
        The levels of each factor.
    positions
        For each factor, which of its levels each combination has.
    """

    __slots__ = ("_parts", "_positions")

    def __init__(self, parts: Sequence[Levels], positions: Sequence[npt.NDArray[np.integer[Any]]]) -> None:
        super().__init__(())
        self._parts = tuple(parts)
        self._positions = tuple(positions)

    def __len__(self) -> int:
        return len(self._positions[0])

    def __repr__(self) -> str:
        return f"CombinedLevels({len(self)} of {' × '.join(str(len(part)) for part in self._parts)})"

    def __getstate__(self) -> tuple[Any, ...]:
        return (self._parts, self._positions)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        super().__init__(())
        self._parts, self._positions = state

    @property
    def parts(self) -> tuple[Levels, ...]:
        """The levels of each factor."""
        return self._parts

    @property
    def positions(self) -> tuple[npt.NDArray[np.integer[Any]], ...]:
        """For each factor, which of its levels each combination has."""
        return self._positions

    @property
    def values(self) -> Sequence[Any]:
        """The levels as text: a combination has no value of its own."""
        return self.names

    @property
    def names(self) -> tuple[str, ...]:
        """The levels as text, the parts joined by colons; numbered where parts with colons in them make the same text."""
        if self._names is None:
            columns = [
                [part.names[i] for i in positions.tolist()]
                for part, positions in zip(self._parts, self._positions, strict=True)
            ]
            self._names = tuple(distinct(list(map(SEPARATOR.join, zip(*columns, strict=True)))))
        return self._names

    def take(self, positions: npt.NDArray[np.intp]) -> Levels:
        """Return the levels at some positions."""
        return CombinedLevels(self._parts, [part[positions] for part in self._positions])


def level_text(value: Any) -> str:
    """Write one level as R does: numbers with fifteen digits, truth values in capitals, dates in ISO form."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.timedelta):
        value = np.timedelta64(value)
    if isinstance(value, np.datetime64 | np.timedelta64):  # the latter counts as a whole number
        return _render(np.array([value]))[0]
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return format_number(float(value))
    if isinstance(value, dt.datetime):
        return str(value.replace(tzinfo=None)).removesuffix(" 00:00:00")
    return str(value)


def _render(values: npt.NDArray[Any] | Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "iu":
            return tuple(map(str, values.tolist()))
        if values.dtype.kind == "M":
            return write_times(values)
        if values.dtype.kind == "m":
            return write_durations(values)
        values = values.tolist()
    return tuple(map(level_text, values))
