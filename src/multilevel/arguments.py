"""The door of the public functions: arguments are held against the types of the signature before anything is done with them.

A signature already says what is taken (``reml: bool``, ``ddf: DdfName``, ``fit: LinearMixedModel``). `checked` reads it once
and refuses what does not fit by a sentence that names the argument, what was given and what is taken. Choices may be spelled in
other letters (``"Kenward-Roger"``), and by the other names that `Spellings` lists. What a type cannot say stands beside it:
``Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, Union, cast

from multilevel.argument_rules import Above, AtLeast, Between, Hint, NotEmpty, Spellings
from multilevel.errors import ControlError
from multilevel.signatures import Door, door_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

Count: TypeAlias = Annotated[int, AtLeast(1)]
NumberOf: TypeAlias = Annotated[int, AtLeast(0)]
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
    Spellings({"KR": "kenward-roger", "kenward": "kenward-roger", "lme4": "asymptotic"}),
]
"""Denominator degrees of freedom. lme4 has none, so that its t values are read as normal ones."""
BootstrapKind: TypeAlias = Literal["parametric", "residual", "cluster"]
BootstrapInterval: TypeAlias = Annotated[
    Literal["percentile", "basic", "normal", "bca"], Spellings({"perc": "percentile", "norm": "normal"})
]
FileName: TypeAlias = Annotated[str, NotEmpty()]
VcovName: TypeAlias = Literal["model", "CR0", "CR1", "CR1S", "CR2"]
NaAction: TypeAlias = Annotated[
    Literal["omit", "exclude", "fail"], Spellings({"na.omit": "omit", "na.exclude": "exclude", "na.fail": "fail"})
]
IntervalName: TypeAlias = Literal["confidence", "prediction"]
MethodName: TypeAlias = Literal["analytic", "simulation"]
StandardizeMethod: TypeAlias = Literal["refit", "posthoc", "smart", "basic", "pseudo"]
PStyle: TypeAlias = Literal["numeric", "apa", "scientific", "stars", "numeric_stars", "scientific_stars"]


def check_options(where: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse options that are handed on and that nobody has.

    Raises
    ------
    ControlError
        There is no such option.
    """
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}."
            raise ControlError(f"{where} has no argument {name!r}; {hint}")


def option_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments after the first."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in variable
    ]
    return found[1:]


@dataclass(frozen=True)
class Idle:
    """Arguments that say nothing beside certain others."""

    names: tuple[str, ...]
    when: Callable[[Mapping[str, Any]], bool]
    why: str


def also_called(**spellings: str) -> Callable[[F], F]:
    """Give arguments of a function other names, as other software has them; `checked` stands above."""

    def mark(function: F) -> F:
        function.__dict__["_spellings"] = spellings
        return function

    return mark


def idle(*names: str, when: Callable[[Mapping[str, Any]], bool], why: str) -> Callable[[F], F]:
    """Refuse arguments that would be ignored; `checked` stands above.

    Parameters
    ----------
    names
        The arguments, refused where they are given.
    when
        From all arguments by name, those left out at their defaults, whether these would be ignored.
    why
        What holds then, as the second half of a sentence.
    """

    def mark(function: F) -> F:
        function.__dict__.setdefault("_idle", []).append(Idle(names, when, why))
        return function

    return mark


def robust_options(function: F) -> F:
    """Refuse degrees of freedom beside a cluster-robust covariance matrix, and clusters without one; `checked` stands above."""
    robust = idle(
        "ddf",
        when=lambda given: given["vcov"] != "model",
        why="a cluster-robust covariance matrix brings its own degrees of freedom",
    )
    model = idle(
        "cluster",
        when=lambda given: given["vcov"] == "model",
        why="it is for a cluster-robust covariance matrix, vcov='CR2' say",
    )
    return robust(model(function))


def how_tested(ddf: DdfName, vcov: VcovName, cluster: Any) -> dict[str, Any]:
    """Return those of the three options that say something, to hand them on."""
    return {"ddf": ddf} if vcov == "model" else {"vcov": vcov, "cluster": cluster}


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


def _refuse_idle(function: Callable[..., Any], where: str, rules: list[Idle], arguments: Any, named: Any) -> None:
    """Refuse what would be ignored."""
    try:
        bound = inspect.signature(function).bind(*arguments, **named)
    except TypeError:  # the call itself says what is wrong with it
        return
    given = set(bound.arguments)
    bound.apply_defaults()
    for rule in rules:
        told = [name for name in rule.names if name in given]
        if told and rule.when(bound.arguments):
            names, them = " and ".join(told), "them" if told[1:] else "it"
            raise ControlError(f"{where}: {names} would be ignored: {rule.why}; leave {them} out.")


def _behind_door(
    function: Callable[..., Any], where: str, names: Mapping[str, Any], *, bound: bool
) -> Callable[..., Any]:
    """Return a function that checks its arguments before another sees them."""
    door: list[Door] = []
    spellings = function.__dict__.get("_spellings", {})
    rules = function.__dict__.get("_idle", [])

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not door:
            door.append(door_of(function, where, names, bound=bound))
        taken, named = door[0].let_in(arguments, _renamed(where, named, spellings) if spellings else named)
        if rules:
            _refuse_idle(function, where, rules, taken, named)
        return function(*taken, **named)

    return call


def checked(function: F) -> F:
    """Check the arguments of a function against its signature.

    Examples
    --------
    >>> from multilevel.arguments import checked
    >>> @checked
    ... def double(number: float) -> float:
    ...     return 2 * number
    >>> double("4")
    Traceback (most recent call last):
    multilevel.errors.ArgumentError: double(): number must be a number, not '4'.
    """
    return cast(F, _behind_door(function, f"{function.__name__}()", function.__globals__, bound=False))


def taken_by(function: Callable[..., Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return named arguments that are handed on to a checked function later, as it will have them."""
    inner = inspect.unwrap(function)
    return door_of(inner, f"{inner.__name__}()", inner.__globals__, bound=False).let_in((), dict(named))[1]


def checked_method(method: F) -> F:
    """Check the arguments of a method (`checked_methods` does so for all of a class)."""
    return cast(F, _behind_door(method, f"{method.__name__}()", method.__globals__, bound=True))


def checked_methods(owner: C) -> C:
    """Check the arguments of all public methods that a class defines."""
    for name, value in list(vars(owner).items()):
        inner = value.__func__ if isinstance(value, classmethod) else value
        if not name.startswith("_") and inspect.isfunction(inner):
            behind = checked_method(inner)
            setattr(owner, name, classmethod(behind) if isinstance(value, classmethod) else behind)
    return owner


def checked_fields(owner: C) -> C:
    """Check what a class is made of against the types of its fields or of its ``__init__``."""
    made = cast(Any, owner).__init__
    cast(Any, owner).__init__ = _behind_door(made, owner.__name__, sys.modules[owner.__module__].__dict__, bound=True)
    return owner
