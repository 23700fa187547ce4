"""1,000 parametric bootstrap replicates of sleepstudy, beside lme4's bootMer where R is there: python -m benchmarks.bootstrap."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time

import multilevel as ml

FORMULA = "Reaction ~ Days + (Days | Subject)"

R_CODE = """
suppressMessages(library(lme4))
fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
numbers <- function(fit) c(fixef(fit), getME(fit, "theta"), sigma(fit))
elapsed <- system.time(found <- suppressWarnings(suppressMessages(bootMer(fit, numbers, nsim = %d, seed = 1))))
cat(elapsed[["elapsed"]], apply(found$t, 2, sd)[1:2])
"""


def ours(n: int, threads: int | None, repeats: int = 5) -> tuple[float, list[float]]:
    """Return the median seconds of n replicates, and the standard errors of the fixed effects."""
    fit = ml.lmer(FORMULA, ml.load_dataset("sleepstudy"))
    fit.bootstrap(10, rng=1)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = fit.bootstrap(n, rng=1, threads=threads)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), found.summary()["std_error"].iloc[:2].tolist()


def lme4(n: int) -> tuple[float, list[float]] | None:
    """Return the same of R's lme4, or None where it is not there."""
    if shutil.which("Rscript") is None:
        return None
    done = subprocess.run(["Rscript", "-e", R_CODE % n], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    seconds, *errors = map(float, done.stdout.split())
    return seconds, errors


def main(n: int = 1000) -> None:
    """Print seconds and standard errors."""
    single, errors = ours(n, 1)
    several, _ = ours(n, None)
    print(f"{n} parametric bootstrap replicates of {FORMULA}")
    print(f"{'multilevel, one thread':<28} {single:8.3f} s   standard errors {errors[0]:.2f} {errors[1]:.3f}")
    print(f"{'multilevel, all threads':<28} {several:8.3f} s")
    reference = lme4(n)
    if reference is None:
        print("R with lme4 is not installed.")
        return
    seconds, errors = reference
    print(f"{'lme4, bootMer':<28} {seconds:8.3f} s   standard errors {errors[0]:.2f} {errors[1]:.3f}")
    print(f"ratio {seconds / single:.0f} with one thread, {seconds / several:.0f} with all")


if __name__ == "__main__":
    main()
