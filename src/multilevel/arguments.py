"""The door of the public functions: arguments are held against the types of the signature before anything is done with them.

A signature already says what is taken (``reml: bool``, ``ddf: DdfName``, ``fit: LinearMixedModel``). `checked` reads it once
and refuses what does not fit by a sentence that names the argument, what was given and what is taken. Choices may be spelled in
other letters (``"Kenward-Roger"``), and by the other names that `Spellings` lists. What a type cannot say stands beside it:
``Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, Union, cast, overload

from multilevel.argument_rules import Above, AtLeast, Between, Hint, Spellings
from multilevel.errors import ControlError
from multilevel.signatures import Door, door_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

Count: TypeAlias = Annotated[int, AtLeast(1)]
Level: TypeAlias = Annotated[float, Between(0, 1)]
Positive: TypeAlias = Annotated[float, Above(0)]
Reml: TypeAlias = Annotated[bool, Hint("reml=False is maximum likelihood")]
Share: TypeAlias = Annotated[float, Between(0, 1, closed=True)]
if TYPE_CHECKING:
    import numpy as np

    Seed: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None
else:  # NumPy's classes by name: this module is read before anything heavy
    Seed = Union[Annotated[int, AtLeast(0)], "SeedSequence", "Generator", None]  # noqa: F821
DdfName: TypeAlias = Annotated[
    Literal["satterthwaite", "kenward-roger", "residual", "asymptotic"],
    Spellings({"KR": "kenward-roger", "kenward": "kenward-roger", "lme4": "asymptotic", "z": "asymptotic"}),
]
"""Denominator degrees of freedom. lme4 has none, so that its t values are read as normal ones."""
BootstrapKind: TypeAlias = Literal["parametric", "residual", "cluster"]
BootstrapInterval: TypeAlias = Annotated[
    Literal["percentile", "basic", "normal", "bca"], Spellings({"perc": "percentile", "norm": "normal"})
]
IntervalName: TypeAlias = Literal["confidence", "prediction"]
MethodName: TypeAlias = Literal["analytic", "simulation"]
StandardizeMethod: TypeAlias = Literal["refit", "posthoc", "smart", "basic", "pseudo"]
PStyle: TypeAlias = Literal["numeric", "apa", "scientific", "stars", "numeric_stars", "scientific_stars"]


def _renamed(where: str, named: dict[str, Any], spellings: Mapping[str, str]) -> dict[str, Any]:
    """Return named arguments by the names that they have here."""
    if not named.keys() & spellings.keys():
        return named
    result: dict[str, Any] = {}
    for name, value in named.items():
        own = spellings.get(name, name)
        if own in result or (own != name and own in named):
            raise ControlError(f"{where}: {own} is given twice, as {own!r} and by another name of it; give it once.")
        result[own] = value
    return result


def _behind_door(
    function: Callable[..., Any], where: str, names: Mapping[str, Any], spellings: Mapping[str, str], *, bound: bool
) -> Callable[..., Any]:
    door: list[Door] = []

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not door:
            door.append(door_of(function, where, names, bound=bound))
        taken, named = door[0].let_in(arguments, _renamed(where, named, spellings) if spellings else named)
        return function(*taken, **named)

    return call


@overload
def checked(function: F) -> F: ...
@overload
def checked(*, spellings: Mapping[str, str]) -> Callable[[F], F]: ...
def checked(function: Any = None, *, spellings: Mapping[str, str] | None = None) -> Any:
    """Check the arguments of a function against its signature.

    Parameters
    ----------
    function : function
        The function.
    spellings : mapping, optional
        Other names of its arguments, as other software has them.

    Examples
    --------
    >>> from multilevel.arguments import checked
    >>> @checked
    ... def double(number: float) -> float:
    ...     return 2 * number
    >>> double("4")
    Traceback (most recent call last):
    multilevel.errors.DataTypeError: double(): number must be a number, not '4'.
    """

    def behind(function: Any) -> Any:
        return _behind_door(function, f"{function.__name__}()", function.__globals__, spellings or {}, bound=False)

    return behind if function is None else behind(function)


def also_called(**spellings: str) -> Callable[[F], F]:
    """Give arguments of a method other names (those of a function go to `checked`)."""

    def mark(function: F) -> F:
        function.__dict__["_spellings"] = spellings
        return function

    return mark


def checked_methods(owner: C) -> C:
    """Check the arguments of all public methods that a class defines."""
    for name, value in list(vars(owner).items()):
        inner = value.__func__ if isinstance(value, classmethod) else value
        if name.startswith("_") or not inspect.isfunction(inner):
            continue
        spellings = inner.__dict__.get("_spellings", {})
        behind = _behind_door(inner, f"{name}()", inner.__globals__, spellings, bound=True)
        setattr(owner, name, classmethod(behind) if isinstance(value, classmethod) else behind)
    return owner


def checked_fields(owner: C) -> C:
    """Check what a class is made of against the types of its fields or of its ``__init__``."""
    made = cast(Any, owner).__init__
    names = sys.modules[owner.__module__].__dict__
    cast(Any, owner).__init__ = _behind_door(made, owner.__name__, names, {}, bound=True)
    return owner
