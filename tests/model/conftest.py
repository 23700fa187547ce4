"""Fits that several tests look at."""

from __future__ import annotations

import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc


@pytest.fixture
def sleepstudy() -> pd.DataFrame:
    return ml.load_dataset("sleepstudy")


@pytest.fixture
def sleep() -> ml.LinearMixedModel:
    return rc.fit("sleepstudy_reml")


@pytest.fixture(
    params=[
        "sleepstudy_reml",
        "sleepstudy_uncorrelated_ml",
        "dyestuff2_reml",
        "penicillin_reml",
        "cake_recipe_slopes_reml",
        "nested_vector_ml",
        "nested_crossed_reml",
        "subjects_items_uncorrelated_reml",
        "weights_and_offset_reml",
        "rank_deficient_reml",
        "bad_scale_reml",
    ]
)
def any_fit(request) -> ml.LinearMixedModel:
    return rc.fit(request.param)
