"""Calls of functions in formulas, their arguments matched as R matches them, against R's and lme4's own columns."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from multilevel.errors import FormulaWarning, MissingValuesWarning, MultilevelError, RankDeficiencyWarning
from multilevel.formula.build import build_design
from multilevel.formula.design import Design
from multilevel.formula.grammar import find_bars, parse_formula

REFERENCE = json.loads((Path(__file__).parent.parent / "reference" / "formula_functions.json").read_text())


def columns(rows: list[dict[str, object]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


DATA, LATER = columns(REFERENCE["data"]), columns(REFERENCE["later"])


def design(formula: str) -> Design:
    with warnings.catch_warnings():
        for category in (FormulaWarning, RankDeficiencyWarning, MissingValuesWarning):
            warnings.simplefilter("ignore", category)
        return build_design(formula, DATA)


def cases(key: str) -> list[object]:
    return [pytest.param(case, id=case["formula"]) for case in REFERENCE[key]]


@pytest.mark.parametrize("case", cases("designs"))
def test_columns_are_those_of_r(case):
    made = design(f"y ~ {case['formula']} + (1 | g)")
    # Columns that others determine are dropped here, and kept by model.matrix.
    kept = [j for j, name in enumerate(case["names"]) if name not in made.dropped_names]
    assert list(made.fixed_names) == [case["names"][j] for j in kept]
    values = np.array(case["values"], dtype=float).reshape(len(case["names"]), -1).T
    np.testing.assert_allclose(made.X, values[:, kept], rtol=1e-10, atol=1e-10)
    rows = np.arange(len(DATA["y"])) if made.kept is None else np.flatnonzero(made.kept)
    np.testing.assert_array_equal(rows + 1, case["rows"])
    if case["later"]:
        later = np.array(case["later"], dtype=float).reshape(len(case["names"]), -1).T
        assert made.encoder is not None
        np.testing.assert_allclose(made.encoder.fixed_matrix(LATER), later[:, kept], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in cases("designs") if "na.rm" not in case.id])
def test_a_row_of_new_data_has_the_columns_that_it_had_in_the_fit(case):
    made = design(f"y ~ {case['formula']} + (1 | g)")
    assert made.encoder is not None
    at = 11
    if made.kept is not None and not made.kept[at]:
        at = int(np.flatnonzero(made.kept)[0])
    place = at if made.kept is None else int(made.kept[:at].sum())
    row = {name: values[at : at + 1] for name, values in DATA.items()}
    np.testing.assert_allclose(made.encoder.fixed_matrix(row)[0], made.X[place], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", REFERENCE["refused"])
def test_what_r_refuses_is_refused(text):
    with pytest.raises(MultilevelError) as raised:
        design(f"y ~ {text} + (1 | g)")
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")
    assert text.partition("(")[0] in str(raised.value)


@pytest.mark.parametrize("case", cases("models"))
def test_random_terms_are_those_of_lme4(case):
    made = design(case["formula"])
    assert list(made.fixed_names) == [name for name in case["fixed"] if name not in made.dropped_names]
    assert [str(bar) for bar in find_bars(case["formula"])] == [term["label"] for term in case["terms"]]
    for term, expected in zip(made.random, case["terms"], strict=True):
        assert list(term.names) == expected["names"]
        assert list(term.factor.levels) == expected["levels"]
        np.testing.assert_array_equal(term.factor.codes, np.array(expected["codes"]) - 1)
        values = np.array(expected["values"], dtype=float).reshape(len(term.names), -1).T
        np.testing.assert_allclose(made.columns[:, list(term.columns)], values, rtol=1e-11, atol=1e-11)
    assert parse_formula(str(made.formula)) == made.formula
