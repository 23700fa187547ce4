"""Columns that earlier columns determine, against R's qr."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multilevel.formula.rank import dependent_columns

CASES = json.loads((Path(__file__).parent.parent / "reference" / "formula_rank.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['noise']}-{case['shift']}")
def test_as_r(case):
    x = np.asfortranarray(np.reshape(case["values"], (-1, case.get("rows", 40))).T)
    kept = [j - 1 for j in case["kept"]]
    assert dependent_columns(x) == [j for j in range(x.shape[1]) if j not in kept]


def test_nothing_to_drop():
    assert dependent_columns(np.ones((5, 0))) == []
    assert dependent_columns(np.ones((5, 1))) == []
    assert dependent_columns(np.asfortranarray(np.random.default_rng(1).normal(size=(50, 4)))) == []
    assert dependent_columns(np.zeros((5, 1))) == [0]


def test_many_rows_with_a_dependency_that_the_sample_does_not_show():
    rng = np.random.default_rng(2)
    x = np.ones((20_000, 3), order="F")
    x[:, 1] = rng.normal(size=20_000)
    x[:, 2] = x[:, 1]
    x[3, 2] += 1.0
    assert dependent_columns(x) == []
    x[3, 2] -= 1.0
    assert dependent_columns(x) == [2]
