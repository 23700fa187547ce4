"""Limits that keep one line of a formula or of a design from using up a machine, and the way to raise them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import TracebackType

from multilevel.errors import ControlError, DataTypeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large what a formula or a design asks for may become; see `limits`."""

    terms: int = 10_000
    columns: int = 100_000
    basis: int = 1_000
    values: int = 1_000_000
    nesting: int = 100
    symbols: int = 100_000
    rows: int = 10_000_000


_current = Limits()


def current_limits() -> Limits:
    """Return the limits in force."""
    return _current


class ChangedLimits:
    """Limits that were changed; leaving a ``with`` block restores those before."""

    def __init__(self, before: Limits) -> None:
        self._before = before

    def __repr__(self) -> str:
        """Return the limits in force."""
        return repr(_current)

    def __enter__(self) -> Limits:
        """Return the limits in force."""
        return _current

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the limits before."""
        global _current
        _current = self._before


def limits(**changes: int) -> ChangedLimits:
    """Change how large what a formula or a design of data asks for may become.

    A formula or a design that asks for more is refused, so that one line of text does not use up a machine. The defaults are
    far above what models need. The change lasts for the program, or for a ``with`` block.

    Parameters
    ----------
    terms : int, default 10,000
        Terms that one side of a formula stands for, and the random-effects terms.
    columns : int, default 100,000
        Columns of the fixed part, or of a random-effects term; intervals of ``cut``.
    basis : int, default 1,000
        Columns that one function makes, such as ``ns(x, df)`` or ``poly(x, degree)``.
    values : int, default 1,000,000
        Constants in a list such as ``1:1000``.
    nesting : int, default 100
        How deep parentheses and calls stand within one another.
    symbols : int, default 100,000
        Names, constants, operators and parentheses that a formula is written with.
    rows : int, default 10,000,000
        Rows of simulated data.

    Returns
    -------
    ChangedLimits
        A context manager that restores the limits before; its repr shows those in force.

    Raises
    ------
    ControlError
        There is no such limit, or it is less than 1.
    DataTypeError
        A limit is not a whole number.

    Examples
    --------
    >>> import multilevel as ml
    >>> with ml.limits(terms=50_000):
    ...     formula = ml.parse_formula("y ~ (a + b + c)^3 + (1 | g)")
    >>> len(formula.terms)
    7
    >>> ml.limits()
    Limits(terms=10000, columns=100000, basis=1000, values=1000000, nesting=100, symbols=100000, rows=10000000)
    """
    global _current
    known = [field.name for field in fields(Limits)]
    for name, value in changes.items():
        if name not in known:
            raise ControlError(f"There is no limit named {name!r}; there are {', '.join(known)}.")
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataTypeError(f"The limit {name} must be a whole number, not {value!r}.")
        if value < 1:
            raise ControlError(f"The limit {name} must be at least 1, not {value}.")
    changed = ChangedLimits(_current)
    _current = replace(_current, **changes)
    return changed


def beyond_limit(name: str) -> str:
    """Return the end of a sentence about something too large: the limit, and how it is raised."""
    return f"more than the limit of {getattr(_current, name):,}; multilevel.limits({name}=…) raises it."
