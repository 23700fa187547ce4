"""How much memory a computation may take: what the machine has, and what the process and its container are allowed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from multilevel.errors import DataError

SMALL_ENOUGH = 10**8
"""Below this many bytes nobody is asked."""

GIGABYTE = 1e9

UNLIMITED = 1 << 60
"""A limit above this is none (the first version of control groups has no word for it)."""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that may still be taken, and who says so."""

    size: int
    reason: str


def memory_room(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Room | None:
    """Return the least of what the machine, the process's limits and its control groups leave, or None where nothing is known.

    Parameters
    ----------
    proc, groups
        Where the system tells of processes and of control groups.
    """
    found = [*_machine(), *_process(proc), *_control_groups(proc, groups)]
    return min(found, key=lambda room: room.size, default=None)


def _machine() -> Iterator[Room]:
    if hasattr(os, "sysconf"):
        with contextlib.suppress(ValueError, OSError):
            size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            yield Room(size, f"this machine has {size / GIGABYTE:.1f} GB")


def _process(proc: Path) -> Iterator[Room]:
    """Yield what is left of the address space and of the data segment that the process may have (``ulimit -v`` and ``-d``)."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    pages = (_text(proc / "self" / "statm") or "").split()
    page = os.sysconf("SC_PAGE_SIZE")
    for name, field in (("RLIMIT_AS", 0), ("RLIMIT_DATA", 5)):
        limit = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if limit == resource.RLIM_INFINITY or limit >= UNLIMITED:
            continue
        used = int(pages[field]) * page if len(pages) > field else 0
        left = max(limit - used, 0)
        yield Room(
            left,
            f"the limit of this process ({name}, {limit / GIGABYTE:.1f} GB) leaves {left / GIGABYTE:.1f} GB",
        )


def _control_groups(proc: Path, groups: Path) -> Iterator[Room]:
    """Yield what the process's control groups, and those above them, leave; caches of files are given back when wanted."""
    for line in (_text(proc / "self" / "cgroup") or "").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base = groups / "memory" if controllers else groups
        most, used, cache = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        parts = [part for part in own.split("/") if part not in ("", "..")]
        # In a container the path may be the host's, which is not seen from here: then the root is the container's own group.
        for depth in range(len(parts) + 1):
            place = base.joinpath(*parts[:depth])
            limit = _number(place / most)
            if limit is None or limit >= UNLIMITED:
                continue
            taken = (_number(place / used) or 0) - _statistic(place / "memory.stat", cache)
            left = max(limit - max(taken, 0), 0)
            yield Room(left, f"the container's limit of {limit / GIGABYTE:.1f} GB leaves {left / GIGABYTE:.1f} GB")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None


def _number(path: Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdigit() else None


def _statistic(path: Path, name: str) -> int:
    for line in (_text(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def require_memory(needed: float, what: str, advice: str) -> None:
    """Refuse, before anything is allocated, what memory does not hold.

    Parameters
    ----------
    needed
        Bytes.
    what
        What they are for, the subject of a sentence.
    advice
        What to do instead.

    Raises
    ------
    DataError
        There is less memory.
    """
    if needed < SMALL_ENOUGH:
        return
    room = memory_room()
    if room is not None and needed > room.size:
        raise DataError(f"{what}: that needs about {needed / GIGABYTE:.1f} GB of memory, and {room.reason}; {advice}.")


@contextlib.contextmanager
def memory_errors_explained(what: str) -> Iterator[None]:
    """Say what memory ran out for.

    Parameters
    ----------
    what
        What is done here, the subject of a sentence.
    """
    try:
        yield
    except MemoryError as error:
        room = memory_room()
        said = "" if room is None else f" ({room.reason})"
        raise DataError(
            f"{what} needs more memory than there is{said}: use fewer rows, a simpler model, or factors with fewer levels."
        ) from error
