"""Threads: how many the dense linear algebra uses, and how long work is given to others so that Ctrl-C is heard meanwhile.

A second thread gains little on matrices of a few thousand rows and, where the machine is busy with something else, loses much:
the library's threads wait for one another by spinning, and some of its routines wake them for matrices of two rows. So all but
large problems are solved on one thread.

Python hears Ctrl-C between two of its own instructions, and a compiled kernel or a factorisation is one of them, however long it
takes. What may take long is therefore run in another thread while the main thread waits in short steps. Those threads are daemons:
one that is left behind in a kernel keeps nobody waiting, neither the caller nor the end of the process.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
Parameters = ParamSpec("Parameters")

SINGLE_THREAD_BELOW = 4000
"""Order of the dense matrix below which one thread is used."""

LONG_WORK = 200_000_000
"""Elementary steps from which a kernel is long (some tenths of a second); below, another thread is not worth its start."""

STEP = 0.1
"""Seconds that the main thread waits at a time (not every system wakes it by a signal)."""

PIECES = 64
"""Pieces that a long range of work is cut into: those not begun are dropped when it is interrupted."""


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


class _Task(Generic[Found]):
    """A call, to be made in some thread, and its outcome."""

    def __init__(self, call: Callable[[], Found]) -> None:
        self._call = call
        self._done = threading.Event()
        self._value: Found | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call and keep what it returns or raises."""
        try:
            self._value = self._call()
        except BaseException as error:  # it is raised where the result is waited for
            self._error = error
        self._done.set()

    def result(self) -> Found:
        """Wait for the call and return what it returned, or raise what it raised."""
        while not self._done.wait(STEP):
            pass
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


def interruptible(call: Callable[[], Found], work: float) -> Found:
    """Make a call that may take long without being deaf to Ctrl-C; the call must let other threads run, as kernels do.

    Parameters
    ----------
    call
        What to call.
    work
        About how many elementary steps it takes: a short call is made at once.
    """
    if work < LONG_WORK or threading.current_thread() is not threading.main_thread():
        return call()
    task = _Task(call)
    threading.Thread(target=task.run, daemon=True).start()
    return task.result()


def hears_interrupts(
    steps: Callable[..., float],
) -> Callable[[Callable[Parameters, Found]], Callable[Parameters, Found]]:
    """Decorate a function that may take long (see `interruptible`); `steps` says of its arguments how many steps they mean."""

    def decorate(function: Callable[Parameters, Found]) -> Callable[Parameters, Found]:
        @functools.wraps(function)
        def called(*arguments: Parameters.args, **options: Parameters.kwargs) -> Found:
            return interruptible(functools.partial(function, *arguments, **options), steps(*arguments, **options))

        return called

    return decorate


def ordered_map(work: Callable[[Item], Found], items: Iterable[Item], threads: int) -> Iterator[Found]:
    """Apply work to items, a few at a time in other threads, and yield what it returns in the items' order.

    An exception, an interruption or an early end drops what was not begun, and waits for nothing.

    Parameters
    ----------
    work
        What to do with an item.
    items
        The items; no more than two for each thread are taken ahead.
    threads
        Number of threads; with one the work is done by the caller's own.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[_Task[Found]] = deque()
    tasks: queue.SimpleQueue[_Task[Found] | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def serve() -> None:
        while (task := tasks.get()) is not None and not stopped.is_set():
            task.run()

    for _ in range(threads):
        threading.Thread(target=serve, daemon=True).start()
    try:
        for item in items:
            waiting.append(_Task(functools.partial(work, item)))
            tasks.put(waiting[-1])
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stopped.set()
        for _ in range(threads):
            tasks.put(None)


def in_pieces(work: Callable[[int, int], None], count: int, threads: int, size: float) -> None:
    """Call ``work(first, last)`` for pieces of a range that together are all of it, in other threads where it takes long.

    Parameters
    ----------
    work
        What to do with a piece: a kernel that lets other threads run.
    count
        Length of the range.
    threads
        Number of threads.
    size
        About how many elementary steps each of the range's items takes.
    """
    if count == 0:
        return
    main = threading.current_thread() is threading.main_thread()
    if threads <= 1 and (count * size < LONG_WORK or not main):
        work(0, count)
        return
    pieces = min(count, max(PIECES, 4 * threads))
    edges = [count * piece // pieces for piece in range(pieces + 1)]

    def one(piece: int) -> None:
        work(edges[piece], edges[piece + 1])

    if threads > 1:
        for _ in ordered_map(one, range(pieces), threads):
            pass
        return
    for piece in range(pieces):
        interruptible(functools.partial(one, piece), LONG_WORK)
