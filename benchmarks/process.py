"""A worker process seen from the outside: commands, time limits and memory."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any

from .environments import Peer
from .models import Model

ROOT = Path(__file__).resolve().parent
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
POLL = 0.25
"""Seconds between two looks at a worker that is busy."""


class WorkerError(Exception):
    """A worker cannot do what it was asked to: the message says why."""


class Worker:
    """One package in its own process.

    Parameters
    ----------
    peer, program
        The package and what runs it.
    limit
        Seconds an answer may take.
    memory_limit
        Bytes of resident memory after which the worker is stopped.
    threads
        Threads the numerical libraries may use; as many as they like without it.
    """

    def __init__(
        self, peer: Peer, program: str, *, limit: float, memory_limit: float, threads: int | None = None
    ) -> None:
        self.peer = peer
        self.limit = limit
        self.memory_limit = memory_limit
        environment = dict(os.environ)
        environment.pop("PYTHONPATH", None)
        if threads is not None:
            environment |= dict.fromkeys(THREADS, str(threads))
        if peer.environment:
            command = [program, "-P", str(ROOT / "worker.py"), peer.name]
        else:
            command = [program, "--vanilla", str(ROOT / "worker.R")]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pending = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        ready = self.receive()
        self.version: str = ready["version"]
        self.import_seconds: float = ready["import"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self, field: str) -> int | None:
        """Read one of the process's memory figures, in bytes, where the system tells."""
        try:
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return None

    def reset_peak(self) -> bool:
        """Start the process's memory peak anew; tell whether the system allows it."""
        try:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def receive(self) -> dict[str, Any]:
        """Wait for the next answer."""
        end = time.monotonic() + self.limit
        while True:
            line, separator, rest = self.pending.partition(b"\n")
            if separator:
                self.pending = rest
                if line.startswith(b"@@ "):
                    content = json.loads(line[3:])
                    break
                continue
            if self.selector.select(POLL):
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                if not chunk:
                    self.close()
                    raise WorkerError("ended unexpectedly")
                self.pending += chunk
            elif time.monotonic() > end:
                self.close()
                raise WorkerError(f"more than {self.limit:.0f} s")
            elif (self.status("VmRSS") or 0) > self.memory_limit:
                self.close()
                raise WorkerError(f"more than {self.memory_limit / 2**30:.0f} GB of memory")
        if "unsupported" in content:
            raise WorkerError(f"cannot: {content['unsupported']}")
        if "error" in content:
            raise WorkerError(f"failed: {content['error']}")
        return content

    def ask(self, command: str) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        if self.process.poll() is not None:
            raise WorkerError("ended unexpectedly")
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.receive()

    def open(self, model: Model) -> dict[str, Any]:
        """Have the worker load a model's data."""
        if self.peer.environment:
            return self.ask("open " + json.dumps(model.specification()))
        return self.ask(f"open {model.binary}\t{model.formula}")

    def fit(self, count: int = 1) -> list[float]:
        """Fit the model and return the seconds of each call."""
        seconds = self.ask(f"fit {count}")["seconds"]
        return seconds if isinstance(seconds, list) else [seconds]

    def estimates(self) -> dict[str, Any]:
        """Return criterion and estimates of the last fit."""
        return self.ask("estimates")

    def refit(self, responses: Path, count: int) -> float:
        """Fit new responses and return the seconds for all of them."""
        return self.ask(f"refit {responses} {count}")["seconds"]

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(b"quit\n")
                self.process.stdin.flush()
            try:
                self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.selector.close()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
