"""Runs the benchmarks and writes their results."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from . import report
from .environments import PEERS, Peer, interpreter
from .models import MODELS, WORK, Model, prepare, refit_responses
from .process import Worker, WorkerError

RESULTS = WORK / "results.json"
MEMORY_MODEL = "scenario4_large"
MEMORY_WARM_UP = "scenario4"
EXTRAS = ("refit", "memory", "start")


class Harness:
    """What all measurements share.

    Parameters
    ----------
    programs
        The peers that can be run here, with the program that runs each.
    options
        The command line.
    """

    def __init__(self, programs: dict[str, str], options: argparse.Namespace) -> None:
        self.programs = programs
        self.options = options

    def worker(self, name: str, threads: int | None = None) -> Worker:
        """Start a peer's worker."""
        return Worker(
            PEERS[name],
            self.programs[name],
            limit=self.options.limit,
            memory_limit=self.options.memory_limit * 2**30,
            threads=threads or self.options.threads,
        )

    def model(self, model: Model) -> dict[str, Any]:
        """Time one model with every peer, in turns.

        Every worker loads the data and fits once; that call is not counted. Then come the rounds: in each, every
        worker in turn fits as often as fits into a fraction of a second, at least once. A peer leaves the rounds when
        its budget is used up.
        """
        prepare(model)
        entry: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {}
            warm: dict[str, float] = {}
            for name in self.programs:
                entry[name] = {"seconds": []}
                try:
                    worker = stack.enter_context(self.worker(name))
                    entry[name]["version"] = worker.version
                    entry[name]["rows"] = worker.open(model)["rows"]
                    entry[name]["first"] = warm[name] = worker.fit()[0]
                    entry[name] |= worker.estimates()
                    workers[name] = worker
                except WorkerError as problem:
                    entry[name]["note"] = str(problem)
                report.progress(model.name, name, entry[name])
            for _ in range(self.options.repeats):
                for name, worker in list(workers.items()):
                    seconds = entry[name]["seconds"]
                    usual = min([warm[name], *seconds])
                    if seconds and sum(seconds) + usual > self.options.budget:
                        continue
                    try:
                        seconds += worker.fit(max(1, min(50, int(0.1 / usual))))
                    except WorkerError as problem:
                        entry[name]["note"] = str(problem)
                        del workers[name]
        for name, result in entry.items():
            if result["seconds"]:
                result["median"] = statistics.median(result["seconds"])
                report.progress(model.name, name, result)
        return entry

    def refit(self) -> dict[str, Any]:
        """Measure how many new responses of sleepstudy are fitted a second, with one thread."""
        model = MODELS["sleepstudy"]
        prepare(model)
        responses = refit_responses()
        entry: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            workers: dict[str, tuple[Worker, int]] = {}
            for name in self.programs:
                entry[name] = {"rates": []}
                try:
                    worker = stack.enter_context(self.worker(name, threads=1))
                    worker.open(model)
                    worker.refit(responses, 2)
                    each = worker.refit(responses, 5) / 5
                    workers[name] = (worker, max(3, min(5000, int(0.5 / each))))
                except WorkerError as problem:
                    entry[name]["note"] = str(problem)
            for _ in range(self.options.repeats):
                for name, (worker, count) in workers.items():
                    entry[name]["rates"].append(count / worker.refit(responses, count))
        for name, result in entry.items():
            if result["rates"]:
                result["median"] = statistics.median(result["rates"])
                report.progress("refits a second", name, result)
        return entry

    def memory(self) -> dict[str, Any]:
        """Measure how far one fit of the large model drives up the resident memory.

        The worker fits a small model of the same structure first, so that code it loads or compiles is not counted.
        The figure is the peak during the fit less what was resident once the data frame was loaded.
        """
        small, large = MODELS[MEMORY_WARM_UP], MODELS[MEMORY_MODEL]
        prepare(small)
        prepare(large)
        entry: dict[str, Any] = {}
        for name in self.programs:
            entry[name] = {}
            try:
                with self.worker(name) as worker:
                    worker.open(small)
                    worker.fit(2)
                    frame = worker.open(large)["bytes"]
                    exact = worker.reset_peak()
                    before = worker.status("VmRSS")
                    worker.fit()
                    peak = worker.status("VmHWM")
                    if before is None or peak is None:
                        raise WorkerError("not measurable on this system")
                    entry[name] = {"frame": frame, "increase": peak - before, "exact": exact}
            except WorkerError as problem:
                entry[name] = {"note": str(problem)}
            report.progress("memory", name, entry[name])
        return entry

    def start(self) -> dict[str, Any]:
        """Measure importing a package, its first fit of sleepstudy, and a process that does both, in fresh processes.

        The last runs from the start of the process to the fitted model, reading the data in between. One process goes
        ahead uncounted, so that compiled code a package caches on disk is there.
        """
        model = MODELS["sleepstudy"]
        prepare(model)
        entry: dict[str, Any] = {name: {"import": [], "first": [], "process": []} for name in self.programs}
        for attempt in range(6):
            for name in self.programs:
                try:
                    imported = self.import_seconds(name)
                    begin = time.perf_counter()
                    with self.worker(name) as worker:
                        worker.open(model)
                        first = worker.fit()[0]
                        whole = time.perf_counter() - begin
                except WorkerError as problem:
                    entry[name]["note"] = str(problem)
                    continue
                if attempt:
                    entry[name]["import"].append(imported)
                    entry[name]["first"].append(first)
                    entry[name]["process"].append(whole)
        for name, result in entry.items():
            for key in ("import", "first", "process"):
                if result[key]:
                    result[f"{key}_median"] = statistics.median(result[key])
            report.progress("start", name, result)
        return entry

    def import_seconds(self, name: str) -> float:
        """Time the import of a package into a process that has imported nothing else."""
        peer, program = PEERS[name], self.programs[name]
        if peer.environment:
            code = (
                f"import time; t = time.perf_counter(); import {peer.module}; "
                "print('@@', time.perf_counter() - t, flush=True)"
            )
            command = [program, "-P", "-c", code]
        else:
            code = (
                "t <- Sys.time(); suppressMessages(library(lme4)); "
                "cat('@@', as.numeric(Sys.time() - t, units = 'secs'))"
            )
            command = [program, "--vanilla", "-e", code]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        for line in run.stdout.splitlines():
            if line.startswith("@@"):
                return float(line.split()[1])
        raise WorkerError("cannot be imported")


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), metavar="MODEL", help="default: all of them")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), metavar="PEER", help="default: all of them")
    parser.add_argument("--extras", nargs="*", choices=EXTRAS, help="refit rates, memory and start-up; default: all")
    parser.add_argument("--repeats", type=int, default=9, help="rounds per model")
    parser.add_argument("--limit", type=float, default=120, help="seconds a single fit may take")
    parser.add_argument("--budget", type=float, default=45, help="seconds a package may spend on a model's rounds")
    parser.add_argument("--memory-limit", type=float, default=8, help="GB after which a worker is stopped")
    parser.add_argument("--threads", type=int, help="threads per package; default: what each of them chooses")
    parser.add_argument("--environments", type=Path, help="a folder with one existing environment per package")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="the interpreter for one environment"
    )
    parser.add_argument("--list", action="store_true", help="list models and peers, and stop")
    parser.add_argument("--report-only", action="store_true", help="write RESULTS.md from the stored results, and stop")
    parser.add_argument("--write-readme", action="store_true", help="also put the tables into the project's README")
    return parser.parse_args(argv)


def available(names: list[str], options: argparse.Namespace) -> dict[str, str]:
    """Find the program of each peer and say which are missing."""
    chosen = dict(pair.split("=", 1) for pair in options.python)
    programs: dict[str, str] = {}
    for name in names:
        peer: Peer = PEERS[name]
        try:
            program = interpreter(peer, options.environments, chosen)
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"{name}: no environment ({problem})")
            continue
        if program is None:
            print(f"{name}: {'no environment' if peer.environment else 'R is not installed'}; left out")
        else:
            programs[name] = program
    return programs


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks."""
    options = arguments(argv)
    if options.list:
        for model in MODELS.values():
            print(f"{model.name:16} {model.title}\n{'':16} {model.formula}")
        print("peers:", ", ".join(PEERS))
        return 0
    WORK.mkdir(exist_ok=True)
    stored: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}

    def store(kind: str, key: str, entry: dict[str, Any]) -> None:
        stored.setdefault(kind, {})[key] = {"date": datetime.date.today().isoformat(), "peers": entry}
        RESULTS.write_text(json.dumps(stored, indent=1), encoding="utf-8")

    if not options.report_only:
        names = options.peers if options.peers is not None else list(PEERS)
        harness = Harness(available(names, options), options)
        stored["machine"] = {
            "processor": processor(),
            "cores": cores(),
            "system": platform.system(),
            "threads": options.threads,
        }
        # Asking for some models only, or some extras only, leaves the other kind out.
        neither = options.models is None and options.extras is None
        for name in options.models if options.models is not None else MODELS if neither else ():
            store("models", name, harness.model(MODELS[name]))
        for extra in options.extras if options.extras is not None else EXTRAS if neither else ():
            store("extras", extra, getattr(harness, extra)())
    print("\n" + report.write(stored, readme=options.write_readme))
    return 0
