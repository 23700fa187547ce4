"""Design matrices, their names and their grouping factors, against R's and lme4's."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from formula_reference import reference, typed_frame

from multilevel.errors import FormulaWarning, RankDeficiencyWarning
from multilevel.formula.build import build_design
from multilevel.formula.design import Design
from multilevel.formula.grammar import find_bars, parse_formula, update_formula


def design(formula: str, data: object = None, **options: object) -> Design:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficiencyWarning)
        warnings.simplefilter("ignore", FormulaWarning)
        return build_design(formula, typed_frame() if data is None else data, **options)


def cases(key: str) -> list[object]:
    return [pytest.param(case, id=case["formula"]) for case in reference()[key]]


@pytest.mark.parametrize("case", cases("designs"))
def test_fixed_part(case):
    made = design(f"y ~ {case['formula']} + (1 | g)")
    names = case["names"]
    values = np.array(case["values"], dtype=float).reshape(len(names), -1).T
    kept = sorted(j - 1 for j in case["kept"])
    assert list(made.fixed_names) == [names[j] for j in kept]
    assert list(made.fixed_assign) == [case["assign"][j] for j in kept]
    assert set(made.dropped_names) == {names[j] for j in range(len(names)) if j not in kept}
    assert list(made.term_labels) == case["terms"]
    np.testing.assert_allclose(made.X, values[:, kept], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", cases("contrasted"))
def test_contrasts(case):
    made = design(f"y ~ {case['formula']} + (1 | g)", contrasts=case["contrasts"])
    assert list(made.fixed_names) == case["names"]
    np.testing.assert_allclose(made.X.T.ravel(), case["values"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("index", [0, 1])
def test_contrast_matrices(index):
    case = reference()["matrices"][index]
    matrix = np.array(case["matrix"], dtype=float)
    spec = pd.DataFrame(matrix, columns=case["columns"]) if case.get("columns") else matrix
    made = design("y ~ b + (1 | g)", contrasts={"b": spec})
    assert list(made.fixed_names) == case["names"]
    np.testing.assert_allclose(made.X.T.ravel(), case["values"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", cases("models"))
def test_random_terms(case):
    made = design(case["formula"])
    assert list(made.fixed_names) == case["fixed"]
    assert [str(bar) for bar in find_bars(case["formula"])] == [term["label"] for term in case["terms"]]
    for term, expected in zip(made.random, case["terms"], strict=True):
        assert term.label == expected["label"]
        assert list(term.names) == expected["names"]
        assert list(term.factor.levels) == expected["levels"]
        assert term.factor.n_levels == len(expected["levels"])
        np.testing.assert_array_equal(term.factor.codes, np.array(expected["codes"]) - 1)
        values = np.array(expected["values"], dtype=float).reshape(len(term.names), -1).T
        np.testing.assert_allclose(made.columns[:, list(term.columns)], values, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", cases("predicted"))
def test_new_data_are_coded_as_the_first(case):
    made = design(f"y ~ {case['formula']} + (1 | g)")
    later = {**reference()["later"], "g": [100, 1, 101, 107]}
    assert made.encoder is not None
    x = made.encoder.fixed_matrix(later)
    np.testing.assert_allclose(x.T.ravel(), case["values"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", reference()["updated"], ids=lambda case: f"{case['old']}, {case['new']}")
def test_update(case):
    new = update_formula(case["old"], case["new"])
    assert new.response == case["response"]
    assert list(new.terms) == case["terms"]
    assert new.intercept == bool(case["intercept"])
    assert len(new.offsets) == case["offsets"]
    assert [str(bar) for bar in find_bars(new)] == case["bars"]
    assert parse_formula(case["old"]).update(case["new"]) == new
