"""The models of the benchmark and the data they are fitted to.

Every data set is either one that lme4 ships (``sleepstudy``, ``InstEval``) or simulated from a fixed truth with a fixed
seed. It is written once to ``benchmarks/work``: as a Parquet file for the Python packages and as plain binary columns
for R, so that neither side spends its time parsing text. Loading is never timed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent
WORK = ROOT / "work"
BUNDLED = ROOT.parent / "src" / "multilevel" / "data" / "sets"

REFIT_RESPONSES = 1000
"""How many simulated responses of ``sleepstudy`` the refit benchmark cycles through."""


@dataclass(frozen=True)
class Model:
    """One benchmark model.

    Parameters
    ----------
    name
        Short name, used on the command line and for file names.
    title
        What the results table calls it.
    formula
        The formula in lme4's notation.
    response, fixed
        The two sides of the fixed part, for packages that take it alone.
    random
        The random-effects terms as pairs of a right-hand side and the columns whose combinations form the groups.
    simulate
        Makes the data frame.
    """

    name: str
    title: str
    formula: str
    response: str
    fixed: str
    random: tuple[tuple[str, tuple[str, ...]], ...]
    simulate: Callable[[], pd.DataFrame]

    @property
    def parquet(self) -> Path:
        """The Parquet file with the data."""
        return WORK / f"{self.name}.parquet"

    @property
    def binary(self) -> Path:
        """The folder with one binary file per column, for R."""
        return WORK / f"{self.name}.columns"

    def specification(self) -> dict[str, object]:
        """Return what a worker has to know about the model."""
        fields = asdict(self)
        del fields["simulate"], fields["title"]
        return fields | {"parquet": str(self.parquet)}


def labels(codes: np.ndarray, prefix: str = "") -> pd.Categorical:
    """Turn integer codes from 0 into a categorical whose levels are numbered from 1."""
    count = int(codes.max()) + 1
    return pd.Categorical.from_codes(codes, [f"{prefix}{i + 1}" for i in range(count)])


def lme4_data(name: str) -> pd.DataFrame:
    """Read a data set that lme4 ships: the bundled copy or, without one, R's."""
    path = BUNDLED / f"{name}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    target = WORK / f"{name}.csv"
    code = f'write.csv(lme4::{name}, "{target.as_posix()}", row.names = FALSE)'
    subprocess.run(["Rscript", "-e", code], check=True, capture_output=True)
    return pd.read_csv(target)


def sleepstudy() -> pd.DataFrame:
    data = lme4_data("sleepstudy")
    return pd.DataFrame(
        {
            "Reaction": data["Reaction"].astype(float),
            "Days": data["Days"].astype(float),
            "Subject": pd.Categorical(data["Subject"].astype(str)),
        }
    )


def inst_eval() -> pd.DataFrame:
    data = lme4_data("InstEval")
    frame = pd.DataFrame({"y": data["y"].astype(float)})
    for column in ("service", "s", "d", "dept"):
        values = data[column].astype(int)
        levels = np.sort(values.unique())
        frame[column] = pd.Categorical(values.astype(str), [str(level) for level in levels])
    return frame


def cross_level(clusters: int, seed: int) -> pd.DataFrame:
    """Simulate a random slope that depends on a treatment given to whole clusters of 50 rows."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), 50)
    rows = cluster.size
    treatment = rng.integers(0, 3, clusters)
    x1 = rng.normal(0, 2, rows)
    x2 = rng.binomial(1, 0.5, rows).astype(float)
    intercept = rng.normal(0, 2.5, clusters)
    slope = rng.normal(0, 2, clusters) + 4 * treatment
    y = 45 + (3 + slope[cluster]) * x1 + 10 * x2 + intercept[cluster] + rng.normal(0, 8, rows)
    names = ["CBT", "Mindfulness", "No Intv"]
    return pd.DataFrame(
        {
            "y": y,
            "x1_c": x1,
            "x2": x2,
            "interv_label": pd.Categorical.from_codes((2 - treatment)[cluster], names),
            "k_id": labels(cluster),
        }
    )


def five_slopes() -> pd.DataFrame:
    rng = np.random.default_rng(505)
    groups, size, terms = 300, 20, 5
    group = np.repeat(np.arange(groups), size)
    X = np.column_stack([np.ones(group.size), rng.normal(size=(group.size, terms - 1))])
    scale = np.array([2.0, 1.0, 0.8, 0.6, 0.5])
    correlation = 0.3 + 0.7 * np.eye(terms)
    effects = rng.multivariate_normal(np.zeros(terms), correlation * np.outer(scale, scale), groups)
    beta = np.array([10.0, 1.0, -1.0, 0.5, 0.0])
    y = np.einsum("ij,ij->i", X, beta + effects[group]) + rng.normal(0, 2, group.size)
    frame = pd.DataFrame({"y": y})
    for j in range(1, terms):
        frame[f"x{j}"] = X[:, j]
    frame["g"] = labels(group)
    return frame


def nested() -> pd.DataFrame:
    rng = np.random.default_rng(606)
    schools, classes, pupils = 2000, 10, 20
    class_id = np.repeat(np.arange(schools * classes), pupils)
    school = class_id // classes
    x = rng.normal(size=class_id.size)
    y = (
        50
        + 2 * x
        + rng.normal(0, 3, schools)[school]
        + rng.normal(0, 2, schools * classes)[class_id]
        + rng.normal(0, 6, class_id.size)
    )
    return pd.DataFrame({"y": y, "x": x, "school": labels(school), "class": labels(class_id % classes)})


def one_slope() -> pd.DataFrame:
    rng = np.random.default_rng(707)
    groups, size = 10_000, 100
    group = np.repeat(np.arange(groups), size)
    x = rng.normal(size=group.size)
    intercept = rng.normal(0, 2, groups)
    slope = 0.3 * intercept + rng.normal(0, 1, groups)
    y = 5 + intercept[group] + (1.5 + slope[group]) * x + rng.normal(0, 4, group.size)
    return pd.DataFrame({"y": y, "x": x, "g": labels(group)})


def crossed(first: int, second: int, rows: int, seed: int) -> pd.DataFrame:
    """Simulate two crossed factors met in random pairs."""
    rng = np.random.default_rng(seed)
    # Every level occurs: the first rows run through them.
    a = np.concatenate([np.arange(first), rng.integers(0, first, rows - first)])
    b = np.concatenate([np.arange(second), rng.integers(0, second, rows - second)])
    rng.shuffle(a)
    rng.shuffle(b)
    x = rng.normal(size=rows)
    y = 1 + 0.5 * x + rng.normal(0, 1, first)[a] + rng.normal(0, 0.7, second)[b] + rng.normal(0, 2, rows)
    return pd.DataFrame({"y": y, "x": x, "a": labels(a), "b": labels(b)})


SCENARIO = {
    "formula": "y ~ x1_c * interv_label + x2 + (1 + x1_c | k_id)",
    "response": "y",
    "fixed": "x1_c * interv_label + x2",
    "random": (("1 + x1_c", ("k_id",)),),
}
CROSSED = {
    "formula": "y ~ x + (1 | a) + (1 | b)",
    "response": "y",
    "fixed": "x",
    "random": (("1", ("a",)), ("1", ("b",))),
}

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="sleepstudy",
            title="sleepstudy, correlated slope, 180 rows",
            formula="Reaction ~ Days + (Days | Subject)",
            response="Reaction",
            fixed="Days",
            random=(("1 + Days", ("Subject",)),),
            simulate=sleepstudy,
        ),
        Model(
            name="scenario4",
            title="cross-level interaction, 100 clusters, 5,000 rows",
            simulate=lambda: cross_level(100, 404),
            **SCENARIO,
        ),
        Model(
            name="scenario4_large",
            title="cross-level interaction, 10,000 clusters, 500,000 rows",
            simulate=lambda: cross_level(10_000, 405),
            **SCENARIO,
        ),
        Model(
            name="five_slopes",
            title="five correlated effects per group, 300 groups, 6,000 rows",
            formula="y ~ x1 + x2 + x3 + x4 + (1 + x1 + x2 + x3 + x4 | g)",
            response="y",
            fixed="x1 + x2 + x3 + x4",
            random=(("1 + x1 + x2 + x3 + x4", ("g",)),),
            simulate=five_slopes,
        ),
        Model(
            name="nested",
            title="2,000 schools × 10 classes, 400,000 rows",
            formula="y ~ x + (1 | school/class)",
            response="y",
            fixed="x",
            random=(("1", ("school",)), ("1", ("school", "class"))),
            simulate=nested,
        ),
        Model(
            name="insteval",
            title="InstEval, students × teachers × departments, 73,421 rows",
            formula="y ~ service + (1 | s) + (1 | d) + (1 | dept:service)",
            response="y",
            fixed="service",
            random=(("1", ("s",)), ("1", ("d",)), ("1", ("dept", "service"))),
            simulate=inst_eval,
        ),
        Model(
            name="slope_million",
            title="correlated slope, 10,000 groups, 1,000,000 rows",
            formula="y ~ x + (1 + x | g)",
            response="y",
            fixed="x",
            random=(("1 + x", ("g",)),),
            simulate=one_slope,
        ),
        Model(
            name="crossed_million",
            title="crossed 20,000 × 1,000, 1,000,000 rows",
            simulate=lambda: crossed(20_000, 1_000, 1_000_000, 808),
            **CROSSED,
        ),
        Model(
            name="crossed_sparse",
            title="crossed 20,000 × 3,000, 200,000 rows",
            simulate=lambda: crossed(20_000, 3_000, 200_000, 909),
            **CROSSED,
        ),
    )
}


def write_columns(frame: pd.DataFrame, folder: Path) -> None:
    """Write a frame as one binary file per column, with the levels of factors beside them, for R to read."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for column in frame.columns:
        values = frame[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            (values.cat.codes.to_numpy().astype("<i4") + np.int32(1)).tofile(folder / f"{column}.bin")
            (folder / f"{column}.levels").write_text("\n".join(values.cat.categories) + "\n", encoding="utf-8")
            lines.append(f"{column}\tfactor")
        else:
            values.to_numpy(dtype="<f8").tofile(folder / f"{column}.bin")
            lines.append(f"{column}\tdouble")
    (folder / "columns.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare(model: Model, *, again: bool = False) -> None:
    """Write the data of a model unless it is there already."""
    WORK.mkdir(exist_ok=True)
    marker = model.binary / "columns.tsv"
    if model.parquet.exists() and marker.exists() and not again:
        return
    frame = model.simulate()
    frame.to_parquet(model.parquet, index=False)
    write_columns(frame, model.binary)


def refit_responses() -> Path:
    """Write new responses for the design of ``sleepstudy``, one after another as doubles, and return the file."""
    path = WORK / "refit_responses.bin"
    if not path.exists():
        frame = sleepstudy()
        rng = np.random.default_rng(1010)
        days = frame["Days"].to_numpy()
        subject = frame["Subject"].cat.codes.to_numpy()
        subjects = int(subject.max()) + 1
        covariance = np.array([[612.1, 9.6], [9.6, 35.07]])
        responses = np.empty((REFIT_RESPONSES, len(frame)))
        for row in responses:
            effects = rng.multivariate_normal([251.4, 10.47], covariance, subjects)[subject]
            row[:] = effects[:, 0] + effects[:, 1] * days + rng.normal(0, 25.59, days.size)
        responses.astype("<f8").tofile(path)
    return path
