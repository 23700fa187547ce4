"""The level names of a factor, written out only when somebody reads them."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.labels import distinct
from multilevel.data.numbers import format_number

SEPARATOR = ":"


class Levels:
    """The levels of a factor in their order.

    The values are kept as they came (numbers, dates, text) and turned into text by `names`, once. A fit needs only
    their number, and a million names take longer to write than the fit.

    Parameters
    ----------
    values
        One value per level.
    """

    __slots__ = ("_names", "_values")

    def __init__(self, values: npt.NDArray[Any] | Sequence[Any]) -> None:
        self._values = values
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
        return (self._values,)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._values = state[0]
        self._names = None

    @property
    def values(self) -> npt.NDArray[Any] | Sequence[Any]:
        """The levels as they came."""
        return self._values

    @property
    def names(self) -> tuple[str, ...]:
        """The levels as text."""
        if self._names is None:
            self._names = _render(self._values)
        return self._names

    def take(self, positions: npt.NDArray[np.intp]) -> Levels:
        """Return the levels at some positions."""
        values = self._values
        return Levels(values[positions] if isinstance(values, np.ndarray) else [values[i] for i in positions.tolist()])


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

    @property
    def parts(self) -> tuple[tuple[Levels, npt.NDArray[np.integer[Any]]], ...]:
        """The levels of each factor, and which of them each combination has."""
        return tuple(zip(self._parts, self._positions, strict=True))

    def take(self, positions: npt.NDArray[np.intp]) -> Levels:
        """Return the levels at some positions."""
        return CombinedLevels(self._parts, [part[positions] for part in self._positions])


def level_text(value: Any) -> str:
    """Write one level as R does: numbers with fifteen digits, truth values in capitals, dates in ISO form."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return format_number(float(value))
    if isinstance(value, np.datetime64):
        return _render(np.array([value]))[0]
    return str(value)


def _render_times(values: npt.NDArray[np.datetime64]) -> tuple[str, ...]:
    """Write dates without the time where no time matters, and times without fractions of seconds likewise."""
    for unit in ("datetime64[D]", "datetime64[s]"):
        coarse = values.astype(unit)
        if bool(np.all(coarse == values)):
            values = coarse
            break
    return tuple(text.replace("T", " ") for text in np.datetime_as_string(values).tolist())


def _render(values: npt.NDArray[Any] | Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "iu":
            return tuple(map(str, values.tolist()))
        if values.dtype.kind == "M":
            return _render_times(values)
        values = values.tolist()
    return tuple(map(level_text, values))
