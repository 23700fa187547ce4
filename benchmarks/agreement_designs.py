"""Random designs for `benchmarks.agreement`: small and awkward on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class RandomDesign:
    """A data frame and the model to fit to it.

    Attributes
    ----------
    frame
        The data; `w` holds weights and `off` an offset where the model has them.
    formula
        The model.
    reml
        The criterion.
    weighted
        Whether `w` are prior weights.
    """

    frame: pd.DataFrame
    formula: str
    reml: bool
    weighted: bool


def random_design(seed: int, number: int) -> RandomDesign:
    """Return one design: its random stream depends on nothing but the two numbers."""
    rng = np.random.default_rng([seed, number])
    n = int(np.exp(rng.uniform(np.log(30), np.log(400))))
    frame = _groups(rng, n)
    n = len(frame)
    for name in ("x1", "x2", "z"):
        frame[name] = rng.normal(size=n)
    if rng.random() < 0.3:  # constant within groups
        frame["x2"] = rng.normal(size=frame["g"].nunique())[pd.factorize(frame["g"])[0]]
    if rng.random() < 0.25:  # badly scaled
        name = str(rng.choice(["x1", "x2", "z"]))
        frame[name] = frame[name] * 10.0 ** rng.integers(-5, 6) + 10.0 ** rng.integers(0, 5)
    if rng.random() < 0.2:  # few values
        frame["x1"] = rng.integers(0, 4, size=n).astype(float)
    frame["b"] = rng.random(n) < rng.uniform(0.1, 0.9)
    frame["f"] = rng.choice(["p", "q", "r"], size=n, p=rng.dirichlet([2, 2, 2]))
    levels = ["lo", "mid", "hi", "top"][: rng.integers(3, 5)]
    frame["o"] = pd.Categorical(rng.choice(levels, size=n), levels, ordered=True)
    fixed, random, offset = _fixed_part(rng), _random_part(rng), rng.random() < 0.15
    frame["off"] = rng.normal(size=n)
    frame["w"] = np.exp(rng.normal(scale=rng.choice([0.3, 1.0]), size=n)).round(4) + 1e-3
    frame["y"] = _response(rng, frame)
    if rng.random() < 0.3:
        for name in ("y", "x1", "b", "g"):
            frame[name] = frame[name].astype(object).where(rng.random(n) > 0.04, None)
    formula = f"y ~ {' + '.join([fixed, *random])}" + (" + offset(off)" if offset else "")
    return RandomDesign(frame, formula, bool(rng.random() < 0.5), bool(rng.random() < 0.25))


def _groups(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Return grouping factors g, h and k: crossed, partly crossed or nested, some of them with tiny groups or empty cells."""
    sizes = [int(np.exp(rng.uniform(np.log(3), np.log(max(4.0, n / rng.choice([2, 4, 8])))))) for _ in range(3)]
    shape = rng.choice(["crossed", "balanced", "nested", "part"], p=[0.35, 0.15, 0.3, 0.2])
    if shape == "balanced":
        a, b = rng.integers(3, 9, size=2)
        times = max(1, n // int(a * b))
        grid = np.indices((a, b, times)).reshape(3, -1)
        g, h = grid[0], grid[1]
        if rng.random() < 0.4:  # empty cells
            keep = ~np.isin(g * b + h, rng.choice(a * b, size=int(a * b) // 5, replace=False))
            g, h = g[keep], h[keep]
    else:
        g = rng.choice(sizes[0], size=n, p=rng.dirichlet(np.full(sizes[0], rng.choice([0.7, 5.0]))))
        h = rng.integers(0, sizes[1], size=n)
        if shape == "nested":
            h = g % max(2, sizes[0] // int(rng.integers(2, 5)))
        elif shape == "part":  # every level of g meets a few levels of h
            h = (g + rng.integers(0, 3, size=n)) % sizes[1]
    k = rng.integers(0, sizes[2], size=g.size)
    frame = pd.DataFrame({"g": g, "h": h, "k": k})
    for name in frame:
        frame[name] = name + frame[name].astype(str)
    return frame


def _fixed_part(rng: np.random.Generator) -> str:
    terms = [
        str(t) for t in rng.choice(["x1", "x2", "z", "b", "f", "o"], size=rng.integers(0, 4), replace=False).tolist()
    ]
    if len(terms) >= 2 and rng.random() < 0.4:
        terms.append(f"{terms[0]}:{terms[1]}")
    return " + ".join(terms) or "1"


COLUMNS = ["1", "1", "1", "x1", "x1", "x1 + x2", "0 + x1", "0 + b", "b", "f", "0 + f", "x1 + b", "z", "1 + o"]
DOUBLE = ["x1", "x1 + x2", "z", "x1 + x2 + z", "b", "f"]


def _random_part(rng: np.random.Generator) -> list[str]:
    found = []
    for group in rng.permutation(["g", "h", "k"])[: rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2])].tolist():
        if rng.random() < 0.25:
            found.append(f"({rng.choice(DOUBLE)} || {group})")
        else:
            found.append(f"({rng.choice(COLUMNS)} | {group})")
            if rng.random() < 0.1:
                found.append(f"(0 + z | {group})")
    if rng.random() < 0.1:
        found.append("(1 | g:h)")
    return found


def _response(rng: np.random.Generator, frame: pd.DataFrame) -> np.ndarray:
    """Return a response with some effects that vary and some that do not."""
    n = len(frame)
    columns = np.column_stack([np.ones(n), *(_standard(frame[name]) for name in ("x1", "x2", "z", "b"))])
    y = columns @ rng.normal(size=5)
    for name in ("g", "h", "k"):
        codes, levels = pd.factorize(frame[name])
        deviations = rng.choice([0.0, 0.3, 1.0, 1.0, 3.0], size=5)
        rank = int(rng.integers(1, 6))
        effects = rng.normal(size=(len(levels), rank)) @ rng.normal(size=(rank, 5)) / np.sqrt(rank) * deviations
        y += (columns * effects[codes]).sum(axis=1)
    noise = rng.normal(size=n) if rng.random() < 0.85 else rng.standard_t(2.5, size=n)
    return (y + rng.choice([0.2, 1.0, 1.0]) * noise) * 10.0 ** rng.choice([0, 0, 0, -3, 3])


def _standard(column: pd.Series) -> np.ndarray:
    values = column.to_numpy(dtype=float)
    return (values - values.mean()) / (values.std() or 1.0)
