"""Methods whose result may be looked into at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Lookup:
    """A method that returns a mapping, which may be looked into without a call: ``fit.ranef["g"]``."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method

    def __get__(self, fit: Any, owner: type) -> Any:
        """Return the method of a fit, or that of the class."""
        return self.method if fit is None else BoundLookup(self.method, fit)


class BoundLookup:
    """Such a method of one fit."""

    def __init__(self, method: Callable[..., Any], fit: Any) -> None:
        self.__func__ = method
        self.__self__ = fit
        functools.update_wrapper(self, method.__get__(fit))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the method."""
        return self.__func__(self.__self__, *arguments, **named)

    def __getitem__(self, name: str) -> Any:
        """Return a part of what the method returns by default."""
        return self.__func__(self.__self__)[name]

    __iter__ = None
    """It is no collection: call it."""


def lookup(method: F) -> F:
    """Let what a method returns be looked into without a call."""
    return cast(F, Lookup(method))
