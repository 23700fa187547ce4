"""The stored tables of analysis of variance, and their comparison with ours."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pandas as pd

import multilevel as ml
import reference_cases as rc

INFERENCE = {model["name"]: model for model in rc.reference("inference")["models"]}
DESIGNS = {model["name"]: model for model in rc.reference("anova")["models"]}


@functools.cache
def cells(name: str) -> pd.DataFrame:
    """Return a data set of the designs that are not simple."""
    return pd.DataFrame(rc.reference("anova")["sets"][name])


@functools.cache
def inference_fit(name: str) -> ml.LinearMixedModel:
    """Fit a model of the common reference values."""
    model = INFERENCE[name]
    return ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), contrasts=rc.contrasts_of(model))


@functools.cache
def design_fit(name: str) -> ml.LinearMixedModel:
    """Fit one of the designs that are not simple."""
    model = DESIGNS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        return ml.lmer(
            model["formula"], cells(model["set"]), contrasts=rc.contrasts_of(model), weights=model.get("weights")
        )


def assert_same(found: ml.AnovaTable, stored: dict[str, Any], rtol: float = 2e-6, p_rtol: float = 1e-5) -> None:
    """Compare with a stored table; R puts terms without columns last, and has NA for their degrees of freedom."""
    frame = found.to_frame()
    assert set(frame.index) == set(stored["rows"])
    frame = frame.loc[stored["rows"]]
    expected = np.array(
        [[np.nan if value is None else value for value in row] for row in stored["values"]], dtype=float
    )
    ours = frame.to_numpy(dtype=float).copy()
    ours[(ours == 0.0) & np.isnan(expected)] = np.nan
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    p_value = frame.columns.get_loc("p_value")
    others = [c for c in range(ours.shape[1]) if c != p_value]
    np.testing.assert_allclose(ours[:, others], expected[:, others], rtol=rtol, atol=1e-9)
    # Where the statistic is large, the p-value magnifies what differs in it.
    np.testing.assert_allclose(ours[:, p_value], expected[:, p_value], rtol=p_rtol, atol=1e-12)
