"""How often 95 % intervals hold the truth on a small unbalanced design: python -m benchmarks.coverage [DATA SETS [TIMES]].

Eight groups of two to nine rows, or as many TIMES over; x1 varies between groups, x2 within. Every method sees the same data.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

import multilevel as ml
from multilevel.inference.intervals import wald_interval

SIZES = (2, 3, 3, 4, 5, 6, 8, 9)
TRUTH = {"(Intercept)": 1.0, "x1": 0.5, "x2": -0.5, "sd_(Intercept)|g": 1.0, "sigma": 1.0}
BOOTSTRAP = 300
Method = Callable[[ml.LinearMixedModel, int], pd.DataFrame]


def design(times: int, seed: int = 1) -> pd.DataFrame:
    """Return the frame without a response."""
    rng = np.random.default_rng(seed)
    sizes = SIZES * times
    g = np.repeat(np.arange(len(sizes)), sizes)
    return pd.DataFrame({"g": g, "x1": rng.normal(size=len(sizes))[g], "x2": rng.normal(size=g.size)})


def draw(frame: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return a response with the true parameters."""
    effects = TRUTH["sd_(Intercept)|g"] * rng.normal(size=frame["g"].max() + 1)[frame["g"]]
    mean = TRUTH["(Intercept)"] + TRUTH["x1"] * frame["x1"] + TRUTH["x2"] * frame["x2"]
    return (mean + effects + TRUTH["sigma"] * rng.normal(size=len(frame))).to_numpy()


def methods() -> dict[str, Method]:
    """Return the ways to make intervals of a fit."""
    found: dict[str, Method] = {
        "wald, normal": lambda fit, _: wald_interval(fit),
        "satterthwaite": lambda fit, _: wald_interval(fit, ddf="satterthwaite"),
        "kenward-roger": lambda fit, _: wald_interval(fit, ddf="kenward-roger"),
        "bootstrap": lambda fit, seed: fit.bootstrap(BOOTSTRAP, rng=seed, threads=1).confint(),
    }
    try:
        from multilevel.inference.profile import profile_interval
    except ImportError:
        return found
    return {**found, "profile": lambda fit, _: profile_interval(fit)}


def main(data_sets: int = 2000, times: int = 1) -> None:
    """Print coverage and mean width."""
    frame, rng = design(times), np.random.default_rng(2)
    chosen = methods()
    inside = {name: np.zeros(len(TRUTH)) for name in chosen}
    width, given, seconds = ({name: np.zeros(len(TRUTH)) for name in chosen} for _ in range(3))
    truth = np.array(list(TRUTH.values()))
    for seed in range(data_sets):
        fit = ml.lmer("y ~ x1 + x2 + (1 | g)", frame.assign(y=draw(frame, rng)))
        for name, method in chosen.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = method(fit, seed).reindex(TRUTH)
            seconds[name] += time.perf_counter() - start
            low, high = table["conf_low"].to_numpy(), table["conf_high"].to_numpy()
            known = np.isfinite(low) & np.isfinite(high)
            given[name] += known
            inside[name] += known & (low <= truth) & (truth <= high)
            width[name] += np.where(known, high - low, 0.0)
    error = 100 * np.sqrt(0.95 * 0.05 / data_sets)
    print(
        f"Coverage of 95 % intervals in per cent (mean width), {8 * times} groups, {data_sets} data sets;"
        f" Monte Carlo error {error:.1f}"
    )
    print(f"{'':<16}" + "".join(f"{name:>20}" for name in TRUTH) + f"{'ms a fit':>10}")
    for name in chosen:
        cells = [
            f"{100 * i / g:.1f} ({w / g:.2f})" if g else "–"
            for i, w, g in zip(inside[name], width[name], given[name], strict=True)
        ]
        print(f"{name:<16}" + "".join(f"{c:>20}" for c in cells) + f"{1e3 * seconds[name][0] / data_sets:>10.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
