"""Tests and intervals beside R: ``python -m benchmarks.inference``.

Each line is one piece of inference on one model: the median time here, the time in R (one run of a fresh process, the fit itself
not counted, but the derivatives that lmerTest works out right after it are), and the ratio. A task that R does not finish within
the limit, or cannot hold in memory, is reported as such.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import multilevel as ml


@dataclass(frozen=True)
class Task:
    """One comparison."""

    name: str
    data: Callable[[], pd.DataFrame]
    formula: str
    ours: Callable[[Any], Any]
    libraries: str
    theirs: str
    factors: tuple[str, ...]


def clusters(count: int, size: int = 50) -> pd.DataFrame:
    """Patients in therapists, with a treatment of the therapist and a random slope."""
    rng = np.random.default_rng(123)
    group = np.repeat(np.arange(count), size)
    arm = rng.integers(0, 3, count)
    x1 = rng.normal(0, 2, group.size)
    x2 = rng.integers(0, 2, group.size).astype(float)
    slope = rng.normal(0, 2, count) + 4 * arm
    y = 45 + (3 + slope[group]) * x1 + 10 * x2 + rng.normal(0, 2.5, count)[group] + rng.normal(0, 8, group.size)
    labels = pd.Categorical.from_codes(arm[group], ["CBT", "Mindfulness", "None"])
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "arm": labels, "id": pd.Categorical(group)})


CLUSTERS = "y ~ x1 * arm + x2 + (1 + x1 | id)"
SLEEP = "Reaction ~ Days + (Days | Subject)"
LMERTEST = "capture.output(print(summary(lmerTest::as_lmerModLmerTest(fit))))"
PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def fresh(fit: Any) -> Any:
    """Return the fit without what was worked out before."""
    return ml.LinearMixedModel(fit._design, fit._engine, fit._reml, fit._control, fit._data)


TASKS = [
    Task(
        "summary with Satterthwaite's df, 5,000 rows", lambda: clusters(100), CLUSTERS,
        lambda fit: str(fresh(fit).summary()), "lme4", LMERTEST, ("arm", "id"),
    ),
    Task(
        "summary with Satterthwaite's df, 500,000 rows", lambda: clusters(10_000), CLUSTERS,
        lambda fit: str(fresh(fit).summary()), "lme4", LMERTEST, ("arm", "id"),
    ),
    Task(
        "Kenward-Roger coefficients, sleepstudy", lambda: ml.load_dataset("sleepstudy"), SLEEP,
        lambda fit: fresh(fit).summary(ddf="kenward-roger"), "lmerTest", "summary(fit, ddf = 'Kenward-Roger')", ("Subject",),
    ),
    Task(
        "Kenward-Roger coefficients, 5,000 rows", lambda: clusters(100), CLUSTERS,
        lambda fit: fresh(fit).summary(ddf="kenward-roger"), "lmerTest", "summary(fit, ddf = 'Kenward-Roger')", ("arm", "id"),
    ),
    Task(
        "Kenward-Roger coefficients, 500,000 rows", lambda: clusters(10_000), CLUSTERS,
        lambda fit: fresh(fit).summary(ddf="kenward-roger"), "lmerTest", "summary(fit, ddf = 'Kenward-Roger')", ("arm", "id"),
    ),
    Task(
        "Kenward-Roger coefficients, InstEval", lambda: ml.load_dataset("InstEval"),
        "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)",
        lambda fit: fresh(fit).summary(ddf="kenward-roger"), "lmerTest", "summary(fit, ddf = 'Kenward-Roger')",
        ("s", "d", "dept", "service"),
    ),
    Task(
        "profile intervals, sleepstudy", lambda: ml.load_dataset("sleepstudy"), SLEEP,
        lambda fit: ml.profile(fit).confint(), "lme4", "confint(fit, method = 'profile', quiet = TRUE)", ("Subject",),
    ),
    Task(
        "profile intervals, Penicillin (crossed)", lambda: ml.load_dataset("Penicillin"), PENICILLIN,
        lambda fit: ml.profile(fit).confint(), "lme4", "confint(fit, method = 'profile', quiet = TRUE)", ("plate", "sample"),
    ),
]  # fmt: skip


def in_r(task: Task, frame: pd.DataFrame, limit: float) -> float | str:
    """Return the seconds that R takes, or what kept it from finishing."""
    program = shutil.which("Rscript")
    if program is None:
        return "R is not installed"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        frame.to_csv(path, index=False)
        factors = " ".join(f"d[['{name}']] <- factor(d[['{name}']]);" for name in task.factors)
        script = (
            f"suppressMessages(library({task.libraries})); d <- read.csv('{path}'); {factors}"
            f"fit <- suppressMessages(lmer({task.formula}, d)); start <- proc.time()[['elapsed']];"
            f"invisible(suppressMessages({task.theirs})); cat('@@', proc.time()[['elapsed']] - start, '\\n')"
        )
        try:
            done = subprocess.run([program, "-e", script], capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"not done in {limit:.0f} s"
    for line in done.stdout.splitlines():
        if line.startswith("@@"):
            return float(line.split()[1])
    last = done.stderr.strip().splitlines()
    return f"failed: {last[-1][:60] if last else 'no message'}"


def main() -> None:
    """Run the tasks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--limit", type=float, default=120.0, help="seconds that R may take for a task, its fit included"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=None, help="parts of task names")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| task | multilevel | R | ratio |\n| --- | ---: | ---: | ---: |")
    for task in TASKS:
        if options.only and not any(part in task.name for part in options.only):
            continue
        frame = task.data()
        fit = ml.lmer(task.formula, frame)
        task.ours(fit)
        seconds = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            task.ours(fit)
            seconds.append(time.perf_counter() - start)
        ours = statistics.median(seconds)
        theirs = in_r(task, frame, options.limit)
        right = f"{theirs:.3g} s | {theirs / ours:.0f}×" if isinstance(theirs, float) else f"{theirs} | "
        print(f"| {task.name} | {ours * 1e3:.3g} ms | {right} |", flush=True)


if __name__ == "__main__":
    main()
