"""Random designs fitted here and by others: who is lower, by how much? python -m benchmarks.agreement [--n 1000] [--seed 1].

The criterion of the fit is compared with the same criterion, evaluated here, at the theta that lme4 ends with (its two optimisers
at tight tolerances, the lower one), or, without R, at the ends of other optimisers and of searches from random starts.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import multilevel as ml
from benchmarks.agreement_designs import RandomDesign, random_design

EQUAL = 1e-7
"""Criteria that differ by less than this are equal."""

BATCH = 100
"""Designs that one process of R fits."""

CHECKS = {"check_levels_against_rows": "ignore", "check_effects_against_rows": "ignore"}


@dataclass(frozen=True)
class Rival:
    """The lowest end of other searches.

    Attributes
    ----------
    name
        Whose end it is.
    value
        The criterion evaluated here at its theta; infinite where there is none.
    reported
        The criterion as the other package reports it.
    """

    name: str
    value: float
    reported: float


NOBODY = Rival("nobody", np.inf, np.inf)


def fit_here(design: RandomDesign, **control: object) -> ml.LinearMixedModel:
    """Fit a design as a user does, without the checks of its size."""
    return ml.lmer(
        design.formula,
        design.frame,
        reml=design.reml,
        weights="w" if design.weighted else None,
        control=ml.LmerControl(**CHECKS, **control),
    )


def criterion(fit: ml.LinearMixedModel) -> float:
    """Return the criterion that was minimised."""
    return fit.reml_criterion if fit.reml else fit.deviance


def value_at(fit: ml.LinearMixedModel, theta: np.ndarray) -> float:
    """Return the criterion of a fit's model at another theta."""
    objective = fit._engine.objective
    return objective.value(objective.parameters.from_user(theta))


def write_designs(folder: Path, designs: dict[int, RandomDesign]) -> None:
    """Write what agreement.R reads."""
    with (folder / "designs.tsv").open("w") as listing:
        for number, design in designs.items():
            listing.write(f"{number}\t{design.formula}\t{int(design.reml)}\t{int(design.weighted)}\n")
            design.frame.to_csv(folder / f"{number}.csv", index=False, float_format="%.17g")
            with (folder / f"{number}.types").open("w") as types:
                for name, column in design.frame.items():
                    if isinstance(column.dtype, pd.CategoricalDtype):
                        kind = f"ordered\t{','.join(column.cat.categories)}"
                    else:
                        first = column.dropna().iloc[0]
                        kind = (
                            "logical"
                            if isinstance(first, bool | np.bool_)
                            else "factor"
                            if isinstance(first, str)
                            else "number"
                        )
                        kind += "\t"
                    types.write(f"{name}\t{kind}\n")


def ends_of_lme4(designs: dict[int, RandomDesign]) -> dict[int, tuple[float, np.ndarray]]:
    """Return the criterion and theta with which lme4 ends; designs that it refuses are left out."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_designs(folder, designs)
        script = Path(__file__).with_name("agreement.R")
        subprocess.run(["Rscript", "--vanilla", str(script), str(folder)], check=True, stdout=subprocess.DEVNULL)
        for line in (folder / "results.tsv").read_text().splitlines():
            number, value, *rest = line.split("\t")
            if value != "NA":
                found[int(number)] = float(value), np.array(rest[1].split(","), dtype=float)
    return found


def other_searches(fit: ml.LinearMixedModel, starts: int, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Yield the ends of another optimiser, and of Newton's method from random starts."""
    if starts <= 0:
        return
    yield "nelder-mead", criterion(fit.update(control=ml.LmerControl(optimizer="nelder-mead", **CHECKS)))
    parameters = fit._engine.objective.parameters
    for _ in range(starts):
        # In the engine's columns, whose scales are alike.
        phi = np.where(
            parameters.pivots,
            np.exp(rng.normal(scale=1.5, size=parameters.n_theta)),
            rng.normal(size=parameters.n_theta),
        )
        start = tuple(parameters.to_user(phi))
        yield "start", criterion(fit.update(control=ml.LmerControl(start=start, **CHECKS)))


def compare(seed: int, numbers: range, with_r: bool, starts: int) -> Iterator[dict[str, object]]:
    """Fit designs here and elsewhere; yield what came of each."""
    designs = {number: random_design(seed, number) for number in numbers}
    theirs = ends_of_lme4(designs) if with_r else {}
    for number, design in designs.items():
        row: dict[str, object] = {"number": number, "formula": design.formula, "reml": design.reml}
        row["n"] = len(design.frame)
        began = time.perf_counter()
        try:
            fit = fit_here(design)
        except ml.MultilevelError as error:
            yield {**row, "status": "refused", "error": str(error), "lme4": number in theirs}
            continue
        row["seconds"] = time.perf_counter() - began
        row |= {"status": fit.convergence.status, "evaluations": fit.convergence.evaluations, "value": criterion(fit)}
        rival = NOBODY
        if number in theirs:
            reported, theta = theirs[number]
            if theta.size == fit.theta.size:
                rival = Rival("lme4", value_at(fit, theta), reported)
        for name, value in other_searches(fit, starts, np.random.default_rng([seed, number, 1])):
            if value < rival.value - EQUAL:
                rival = Rival(name, value, value)
        yield {**row, "rival": rival.name, "rival_value": rival.value, "rival_reported": rival.reported}


def report(rows: list[dict[str, object]]) -> int:
    """Print who is lower, how the fits ended and what they cost; return how many fits are above another."""
    table = pd.DataFrame(rows)
    refused = table[table["status"] == "refused"]
    fitted = table[table["status"] != "refused"]
    compared = fitted[np.isfinite(fitted["rival_value"])]
    gap = compared["value"] - compared["rival_value"]
    print(f"{len(table)} designs: {len(fitted)} fitted, {len(refused)} refused, {len(compared)} compared")
    if len(refused):
        for error, count in collections.Counter(refused["error"].str.slice(0, 100)).most_common():
            print(f"  refused {count}: {error}")
    print(f"\n{'against':<14}{'equal':>8}{'lower here':>12}{'by (max)':>12}{'above':>8}{'by (max)':>12}")
    for name, at in compared.groupby("rival").groups.items():
        own = gap.loc[at]
        print(
            f"{name:<14}{(own.abs() <= EQUAL).sum():>8}{(own < -EQUAL).sum():>12}{max(-own.min(), 0.0):>12.3g}"
            f"{(own > EQUAL).sum():>8}{max(own.max(), 0.0):>12.3g}"
        )
    lme4 = compared[compared["rival"] == "lme4"]
    if len(lme4):
        off = (lme4["rival_value"] - lme4["rival_reported"]).abs() / lme4["rival_reported"].abs().clip(lower=1.0)
        print(
            f"the criterion at lme4's theta, here and as lme4 reports it: relative difference {off.max():.1e} at most"
        )
    print("\nstatus: " + ", ".join(f"{name} {count}" for name, count in fitted["status"].value_counts().items()))
    for name in ("evaluations", "seconds"):
        quantiles = fitted[name].quantile([0.5, 0.9, 0.99, 1.0])
        print(f"{name}: " + ", ".join(f"{100 * q:g} % {value:.4g}" for q, value in quantiles.items()))
    above = compared[gap > EQUAL]
    for _, row in above.iterrows():
        print(
            f"above: number {row['number']}, {row['value'] - row['rival_value']:.3g} above {row['rival']},"
            f" {row['status']}, n = {row['n']}, {'REML' if row['reml'] else 'ML'}: {row['formula']}"
        )
    slow = fitted[fitted["evaluations"] > 500]
    for _, row in slow.iterrows():
        print(f"slow: number {row['number']}, {row['evaluations']:.0f} evaluations, {row['status']}: {row['formula']}")
    return len(above)


def main() -> None:
    """Compare and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="designs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first design")
    parser.add_argument("--starts", type=int, help="random starts besides (default: none with R, 4 without)")
    parser.add_argument("--no-r", action="store_true", help="leave lme4 out")
    options = parser.parse_args()
    with_r = not options.no_r and shutil.which("Rscript") is not None
    starts = options.starts if options.starts is not None else 0 if with_r else 4
    if not with_r:
        print("without R: against other searches of this package")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MultilevelWarning)
        for first in range(options.first, options.first + options.n, BATCH):
            last = min(first + BATCH, options.first + options.n)
            rows.extend(compare(options.seed, range(first, last), with_r, starts))
    if report(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
