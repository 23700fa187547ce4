"""The stored reference fits of R and the frames they were made from."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import multilevel as ml
from multilevel.inference.satterthwaite import SatterthwaiteModel, satterthwaite_model

FOLDER = Path(__file__).parent / "reference"

CONTRASTS = {
    "contr.sum": "sum",
    "contr.helmert": "helmert",
    "contr.treatment": "treatment",
    "contr.poly": "poly",
    "contr.SAS": "SAS",
}
"""The names `lmer` has for R's contrast functions."""


@functools.cache
def reference(name: str) -> dict[str, Any]:
    """Return a stored file."""
    return json.loads((FOLDER / f"{name}.json").read_text())


@functools.cache
def frame(source: str, name: str) -> pd.DataFrame:
    """Return a data set of the package or a fixture."""
    return ml.load_dataset(name) if source == "dataset" else pd.read_parquet(FOLDER / f"{name}.parquet")


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    """Return the reference fits by name."""
    return {case["name"]: case for case in reference("lmm_fits")["cases"]}


def contrasts_of(case: dict[str, Any]) -> dict[str, Any] | None:
    """Return the contrasts of a case as `lmer` takes them."""
    stored = case.get("contrasts")
    if not stored:
        return None
    return {
        key: CONTRASTS[value] if isinstance(value, str) else np.asarray(value, dtype=float)
        for key, value in stored.items()
        if key in case["formula"]  # those of other columns are warned of
    }


@functools.cache
def fit(name: str) -> ml.LinearMixedModel:
    """Fit a case."""
    case = cases()[name]
    with warnings.catch_warnings():
        if case["dropped"]:
            warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        return ml.lmer(
            case["formula"],
            frame(case["source"], case["data"]),
            reml=case["reml"],
            weights=case.get("weights"),
            offset=case.get("offset"),
            contrasts=contrasts_of(case),
        )


@functools.cache
def satterthwaite(name: str) -> SatterthwaiteModel:
    """Work out what Satterthwaite's method needs of a case."""
    return satterthwaite_model(fit(name)._engine)
