"""Many responses of one design, beside a loop over lme4's lmer where R is there: python -m benchmarks.refits."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

import multilevel as ml

ROWS, CLUSTERS, RESPONSES, LOOP = 1_000, 100, 5_000, 60
"""The size of the design, the responses fitted here, and those that R fits, from which its time for all follows."""

TERMS = ("(1 | g)", "(x | g)", "(x || g)")

R_CODE = """
suppressMessages(library(lme4))
set.seed(1)
n <- %d; clusters <- %d; loop <- %d
g <- rep(seq_len(clusters), each = n / clusters); x <- rnorm(n)
between <- function(sd) if (sd > 0) rnorm(clusters, sd = sd)[g] else 0
seconds <- function(term, sd0, sd1) system.time(for (i in seq_len(loop)) {
  y <- 1 + 0.3 * x + rnorm(n) + between(sd0) + between(sd1) * x
  suppressMessages(suppressWarnings(lmer(as.formula(paste("y ~ x +", term)), data.frame(y, x, g))))
})[["elapsed"]] / loop
sleep <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
drawn <- simulate(sleep, loop, seed = 1)
again <- system.time(for (y in drawn) suppressMessages(suppressWarnings(refit(sleep, y))))[["elapsed"]] / loop
found <- c()
for (term in c("(1 | g)", "(x | g)", "(x || g)")) for (inside in c(TRUE, FALSE))
  found <- c(found, seconds(term, if (inside) 0.7 else 0, if (inside) 0.4 else 0))
cat(found, again)
"""


@dataclass(frozen=True)
class Timing:
    """What was fitted, the seconds it took, and the share of fits on the boundary."""

    model: str
    seconds: float
    singular: float


def fitted(model: str, fit: ml.LinearMixedModel, responses: npt.NDArray[np.float64], threads: int) -> Timing:
    """Fit all responses, once the kernels are compiled."""
    fit.refit_many(responses[:20], threads=threads)
    start = time.perf_counter()
    table = fit.refit_many(responses, threads=threads)
    seconds = time.perf_counter() - start
    # The scales are the elements of θ without a second column in their names.
    scales = [name for name in fit.theta.index if name.count(".") == 1]
    return Timing(model, seconds, float((table[scales].to_numpy(dtype=float) < 1e-4).any(axis=1).mean()))


def ours(threads: int = 2) -> list[Timing]:
    """Return the times of every model, with variance between clusters and without, and of sleepstudy."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(CLUSTERS), ROWS // CLUSTERS), rng.normal(size=ROWS)
    found = []
    for term in TERMS:
        for inside in (True, False):
            effects = rng.normal(size=(RESPONSES, 2, CLUSTERS)) * (np.array([0.7, 0.4]) * inside)[:, None]
            noise = rng.normal(size=(RESPONSES, ROWS))
            responses = 1.0 + 0.3 * x + noise + effects[:, 0][:, g] + effects[:, 1][:, g] * x
            fit = ml.lmer(f"y ~ x + {term}", pd.DataFrame({"y": responses[0], "x": x, "g": g}))
            found.append(fitted(term, fit, responses, threads))
    sleep = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    drawn = np.asarray(sleep.simulate(10_000, rng=1))
    return [*found, fitted("sleepstudy", sleep, drawn, threads)]


def lme4() -> list[float] | None:
    """Return the seconds that R takes for one fit of each, or None where it is not there."""
    if shutil.which("Rscript") is None:
        return None
    code = R_CODE % (ROWS, CLUSTERS, LOOP)
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    return [float(value) for value in done.stdout.split()] if done.returncode == 0 else None


def main() -> None:
    """Print seconds and ratios."""
    print(
        f"{RESPONSES:,} responses, {ROWS:,} rows, {CLUSTERS} clusters, one fixed slope; 10,000 responses of sleepstudy"
    )
    reference = lme4()
    if reference is None:
        print("R with lme4 is not installed.")
    for at, timing in enumerate(ours()):
        count = 10_000 if timing.model == "sleepstudy" else RESPONSES
        line = f"{timing.model:<12} {timing.singular:5.0%} singular {timing.seconds:8.2f} s"
        if reference is not None:
            loop = reference[at] * count
            line += f"   lme4 {loop:8.1f} s (from {LOOP} fits)   ratio {loop / timing.seconds:5.0f}"
        print(line)


if __name__ == "__main__":
    main()
