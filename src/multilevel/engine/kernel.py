"""The decorator of the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any] | None = None, *, reassociate: bool = False) -> Any:
    """Compile a function when it is first called, and keep the result for later processes.

    Parameters
    ----------
    function
        The function; None where the decorator is called with options.
    reassociate
        Whether sums may be taken in another order, so that several terms are added at once.
    """
    if function is None:
        return lambda inner: kernel(inner, reassociate=reassociate)
    fastmath = {"reassoc", "contract", "nsz", "arcp"} if reassociate else False
    try:
        return njit(function, cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    except RuntimeError:
        # Neither the package's folder nor the user's can be written: compile anew in every process.
        return njit(function, cache=False, nogil=True, error_model="numpy", fastmath=fastmath)
