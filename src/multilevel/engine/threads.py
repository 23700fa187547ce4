"""How many threads the dense linear algebra uses.

A second thread gains little on matrices of a few thousand rows and, where the machine is busy with something else, loses much:
the library's threads wait for one another by spinning, and some of its routines wake them for matrices of two rows. So all but
large problems are solved on one thread.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

SINGLE_THREAD_BELOW = 4000
"""Order of the dense matrix below which one thread is used."""


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - the library must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def linear_algebra_threads(order: int, threads: int | None) -> Iterator[None]:
    """Set the threads of the linear algebra while a problem of the given order is solved."""
    if threads is None:
        if order >= SINGLE_THREAD_BELOW:
            yield
            return
        threads = 1
    with _controller().limit(limits=threads, user_api="blas"):
        yield
