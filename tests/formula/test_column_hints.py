"""A column of text that was hardly meant as a factor is said to be one."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

ROWS = 120
RNG = np.random.default_rng(7)
NUMBERS = RNG.integers(0, 30, ROWS)
FRAME = pd.DataFrame(
    {
        "y": RNG.normal(size=ROWS),
        "g": np.arange(ROWS) % 6,
        "text": NUMBERS.astype(str),
        "marked": np.where(NUMBERS == 3, "n/a", NUMBERS.astype(str)),
        "few": (NUMBERS % 4).astype(str),
        "words": [f"w{i}" for i in NUMBERS],
        "category": pd.Categorical(NUMBERS.astype(str)),
        "month": pd.PeriodIndex([pd.Period("2020-01", "M") + int(i) for i in NUMBERS]),
    }
)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("text", r"'text' is text and counts as a factor with \d\d levels, though all are numbers"),
        ("marked", r"'marked' is text and counts as a factor with \d\d levels, though all but 'n/a' are numbers"),
        ("month", r"'month' holds periods and counts as a factor with \d\d levels"),
    ],
)
def test_a_hint(column, message):
    with pytest.warns(ml.MultilevelWarning, match=message):
        fit = ml.lmer(f"y ~ {column} + (1 | g)", FRAME)
    assert len(fit.fixef) == FRAME[column].nunique()


@pytest.mark.parametrize(
    "formula",
    ["y ~ few + (1 | g)", "y ~ words + (1 | g)", "y ~ category + (1 | g)", "y ~ factor(text) + (1 | g)", "y ~ 1 + (1 | text)",
     "y ~ 1 + (1 | g) + (1 | month)"],
)  # fmt: skip
def test_no_hint_where_levels_are_meant(formula):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ml.MultilevelWarning)
        ml.lmer(formula, FRAME)
