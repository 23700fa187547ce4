"""Designs: what is stored, what is left out, what is refused."""

from __future__ import annotations

import pickle
import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from formula_reference import typed_frame

from multilevel.errors import (
    ControlError,
    DataError,
    DataTypeError,
    FormulaError,
    FormulaWarning,
    MissingValuesWarning,
    RankDeficiencyWarning,
    UnknownColumnError,
)
from multilevel.formula.build import build_design
from multilevel.formula.design import GroupingFactor


@pytest.fixture
def frame() -> pd.DataFrame:
    return typed_frame()


def small(**columns: object) -> dict[str, object]:
    return {"y": [1.0, 2.5, 3.0, 2.0], "x": [1.0, 2.0, 4.0, 3.0], "g": ["a", "b", "a", "b"], **columns}


# ---- what is stored ------------------------------------------------------------------------------------------------


def test_each_variable_is_stored_once(frame):
    design = build_design("y ~ x + b + (x | g) + (0 + b | h) + (z || g)", frame)
    assert design.columns.flags.f_contiguous
    assert not design.columns.flags.writeable
    assert design.fixed_names == ("(Intercept)", "x", "bmid", "bhigh")
    # Of the indicators of b only that of its first level, and z, are not in the fixed part already.
    assert design.columns.shape == (48, 4 + 2 + 1)
    by_label = {term.label: term for term in design.random}
    assert by_label["x | g"].columns == (0, 1)
    assert by_label["0 + b | h"].names == ("blow", "bmid", "bhigh")
    assert by_label["0 + b | h"].columns == (4, 2, 3)
    assert by_label["1 | g"].columns == (0,)
    assert by_label["0 + z | g"].columns == (5,)
    assert by_label["x | g"].factor is by_label["0 + z | g"].factor
    assert design.nobs == 48
    np.testing.assert_array_equal(design.y, frame["y"])
    np.testing.assert_array_equal(design.X, design.columns[:, :4])


def test_metadata(frame):
    frame.index = [f"r{i}" for i in range(48)]
    design = build_design("log(z) ~ x * a + offset(k) + (1 | g)", frame, weights="z", offset=np.ones(48))
    assert design.response_name == "log(z)"
    assert design.term_labels == ("x", "a", "x:a")
    assert design.fixed_assign == (0, 1, 2, 3)
    np.testing.assert_array_equal(design.offset, frame["k"] + 1.0)
    np.testing.assert_array_equal(design.weights, frame["z"])
    assert list(design.row_labels) == list(frame.index)
    assert design.kept is None
    assert design.n_rows == 48
    assert design.missing_by_column == {}
    assert design.dropped_names == ()
    assert build_design("y ~ x + (1 | g)", frame.reset_index(drop=True)).row_labels is None


def test_no_fixed_effects_at_all(frame):
    design = build_design("y ~ 0 + (1 | g)", frame)
    assert design.n_fixed == 0
    assert design.X.shape == (48, 0)
    assert design.random[0].columns == (0,)


def test_dot(frame):
    frame = frame[["y", "x", "a", "g", "z"]]
    design = build_design("y ~ . + (1 | g)", frame, weights="z")
    assert design.fixed_names == ("(Intercept)", "x", "aa2")
    assert str(design.formula) == "y ~ x + a + (1 | g)"


def test_names_that_need_quotes():
    design = build_design("y ~ `my x` + (1 | `the g`)", {"y": [1, 2, 4], "my x": [1, 3, 2], "the g": [1, 2, 2]})
    assert design.fixed_names == ("(Intercept)", "`my x`")
    assert design.random[0].factor.name == "`the g`"


def test_polars_and_pyarrow_give_the_same_design(frame):
    formula = "y ~ x * a + b + flag + (x | g) + (1 | batch/cask) + (1 | ratio)"
    expected = build_design(formula, frame)
    enum = pl.Enum(["low", "mid", "high"])
    polars = pl.DataFrame(frame.astype({"b": str, "dose": str}).to_dict("list")).with_columns(pl.col("b").cast(enum))
    for other in (polars, pa.Table.from_pandas(frame)):
        design = build_design(formula, other)
        assert design.fixed_names == expected.fixed_names
        np.testing.assert_array_equal(design.columns, expected.columns)
        for term, wanted in zip(design.random, expected.random, strict=True):
            assert term.factor.levels == wanted.factor.levels
            np.testing.assert_array_equal(term.factor.codes, wanted.factor.codes)


def test_grouping_factor_record():
    factor = GroupingFactor("g", np.array([0, 1], dtype=np.int32), ("a", "b"))
    assert factor.levels == ("a", "b")
    assert factor.n_levels == 2
    again = pickle.loads(pickle.dumps(factor))
    assert again.levels == ("a", "b")
    assert GroupingFactor(name="g", codes=factor.codes, levels=["a", "b"]).levels == ("a", "b")


def test_a_logical_grouping_factor_has_only_levels_that_occur():
    design = build_design("y ~ (1 | f:g)", small(f=[True, True, True, True]))
    assert design.random[0].factor.levels == ("TRUE:a", "TRUE:b")
    with pytest.raises(DataError, match=r"only 1 level \('TRUE'\)"):
        build_design("y ~ (1 | f)", small(f=[True, True, True, True]))


# ---- missing values ------------------------------------------------------------------------------------------------


def test_rows_with_missing_values_are_left_out(frame):
    frame["x"] = frame["x"].where(frame.index != 3)
    frame["g"] = frame["g"].where(~frame.index.isin([3, 5]))
    frame["z"] = frame["z"].where(frame.index != 7)
    frame["b"] = frame["b"].where(frame.index != 9)
    message = r"^4 of 48 rows were left out because of missing values in 'z' \(1\), 'x' \(1\), 'b' \(1\), 'g' \(2\)\.$"
    with pytest.warns(MissingValuesWarning, match=message):
        design = build_design("log(z) ~ x + b + (x | g)", frame, na_action="exclude")
    assert np.flatnonzero(~design.kept).tolist() == [3, 5, 7, 9]
    assert design.nobs == 44
    assert design.n_rows == 48
    assert design.missing_by_column == {"z": 1, "x": 1, "b": 1, "g": 2}
    assert design.na_action == "exclude"
    assert design.random[0].factor.levels[0] == "100"
    rest = frame.drop(index=[3, 5, 7, 9])
    np.testing.assert_array_equal(design.columns, build_design("log(z) ~ x + b + (x | g)", rest).columns)


def test_levels_that_only_left_out_rows_have_are_dropped():
    data = small(x=[1.0, 2.0, np.nan, 3.0], f=["p", "q", "only", "q"], g=["a", "b", "gone", "a"])
    with pytest.warns(MissingValuesWarning):
        design = build_design("y ~ x + f + (1 | g)", data)
    assert design.fixed_names == ("(Intercept)", "x", "fq")
    assert design.random[0].factor.levels == ("a", "b")
    assert design.random[0].factor.codes.tolist() == [0, 1, 0]


def test_transformations_learn_from_all_rows_as_in_r():
    data = small(y=[1.0, 2.0, None, 4.0], x=[0.0, 1.0, 5.0, 2.0])
    with pytest.warns(MissingValuesWarning, match="'y'"):
        design = build_design("y ~ center(x) + (1 | g)", data)
    assert design.X[:, 1].tolist() == [-2.0, -1.0, 0.0]


def test_values_that_an_expression_cannot_have_are_missing():
    with pytest.warns(MissingValuesWarning, match=r"1 of 4 rows were left out because of missing values in 'log\(x\)'"):
        build_design("y ~ log(x) + (1 | g)", small(x=[1.0, -2.0, 4.0, 3.0], g=["a", "b", "b", "a"]))


def test_missing_weights_and_offset():
    with pytest.warns(MissingValuesWarning, match=r"'offset' \(1\), 'w' \(1\)"):
        design = build_design("y ~ (1 | g)", small(w=[1, None, 2, 1]), weights="w", offset=[np.nan, 0, 0, 0])
    assert design.weights.tolist() == [2, 1]
    assert design.offset.tolist() == [0, 0]
    with pytest.warns(MissingValuesWarning, match=r"1 of 4 rows .* in 'w' \(1\)"):
        build_design("y ~ offset(log(w)) + (1 | g)", small(w=[1, None, 2, 1]))
    with pytest.warns(MissingValuesWarning, match=r"1 of 4 rows .* in 'w' \(1\)"):
        build_design("y ~ offset(x) + (1 | g)", small(w=[1, None, 2, 1]), offset="w")


@pytest.mark.filterwarnings("ignore::multilevel.errors.MissingValuesWarning")
def test_missing_values_refused():
    data = small(x=[1.0, None, 4.0, 3.0])
    with pytest.raises(DataError, match="1 of 4 rows have missing values, in 'x'"):
        build_design("y ~ x + (1 | g)", data, na_action="fail")
    with pytest.raises(ControlError, match="na_action"):
        build_design("y ~ x + (1 | g)", data, na_action="drop")
    with pytest.raises(DataError, match=r"No rows are left.*'y' \(4\)"):
        build_design("y ~ x + (1 | g)", small(y=[None] * 4))
    with pytest.raises(DataError, match=r"'g' has only 1 level"):
        build_design("y ~ x + (1 | g)", small(x=[1.0, None, 4.0, None]))


# ---- rank deficiency -----------------------------------------------------------------------------------------------


def test_dependent_columns_are_dropped_with_a_warning(frame):
    frame["twice"] = 2 * frame["x"] + 1
    with pytest.warns(RankDeficiencyWarning, match=r"1 column determined by earlier ones dropped: twice\.$"):
        design = build_design("y ~ x + twice + z + (0 + twice | g)", frame)
    assert design.fixed_names == ("(Intercept)", "x", "z")
    assert design.fixed_assign == (0, 1, 3)
    assert design.dropped_names == ("twice",)
    (position,) = design.random[0].columns
    np.testing.assert_array_equal(design.columns[:, position], frame["twice"])
    assert design.encoder.fixed_matrix(frame).shape == (48, 3)


def test_warnings_point_here():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_design("y ~ x + I(2 * x) + (1 | g)", small(y=[1.0, 2.0, 3.0, None], x=[1.0, 2.0, 4.0, 3.0]))
    assert [warning.category for warning in caught] == [MissingValuesWarning, RankDeficiencyWarning]
    assert {warning.filename for warning in caught} == {__file__}


def test_constant_and_zero_columns():
    data = small(one=[1.0] * 4, zero=[0.0] * 4)
    with pytest.warns(RankDeficiencyWarning, match="2 columns .* dropped: one, zero"):
        design = build_design("y ~ one + x + zero + (1 | g)", data)
    assert design.fixed_names == ("(Intercept)", "x")


def test_a_rare_level_among_many_rows_is_not_dropped():
    n = 50_000
    rng = np.random.default_rng(1)
    rare = np.zeros(n)
    rare[17] = 1.0
    data = {"y": rng.normal(size=n), "x": rng.normal(size=n), "rare": rare, "g": np.arange(n) % 50}
    assert build_design("y ~ x + rare + (1 | g)", data).n_fixed == 3
    data["sum"] = data["x"] + rare
    with pytest.warns(RankDeficiencyWarning, match="sum"):
        build_design("y ~ x + rare + sum + (1 | g)", data)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "columns", "options", "error", "sentence"),
    [
        ("~ x + (1 | g)", {}, {}, FormulaError, "has no response"),
        ("y ~ x", {}, {}, FormulaError, "has no random-effects term"),
        ("y ~ X + (1 | g)", {}, {}, UnknownColumnError, "no column named 'X'; did you mean 'x'"),
        ("y ~ x + (1 | group)", {}, {}, UnknownColumnError, "no column named 'group'"),
        ("y ~ lg(x) + (1 | g)", {}, {}, FormulaError, r"The function lg\(\) in 'lg\(x\)' is not known.*log"),
        ("y ~ __import__('os') + (1 | g)", {}, {}, FormulaError, "not known"),
        ("y ~ x + (1 | h)", {"h": ["a"] * 4}, {}, DataError, r"'h' has only 1 level \('a'\)"),
        ("y ~ h + (1 | g)", {"h": ["a"] * 4}, {}, DataError, "'h' has only the level 'a'"),
        ("y ~ x + (1 | g)", {"y": [1.0] * 4}, {}, DataError, "response 'y' is constant"),
        ("y ~ x + (1 | g)", {"y": list("abcd")}, {}, DataTypeError, "response 'y' holds text or categories"),
        ("y ~ x + (1 | g)", {"y": [True, False] * 2}, {}, DataTypeError, "response 'y' holds truth values"),
        ("poly(x, 2) ~ (1 | g)", {}, {}, DataTypeError, "has 2 columns"),
        ("y ~ x + (1 | g)", {"y": [1, 2, np.inf, np.inf]}, {}, DataError, "response 'y' has 2 infinite values"),
        ("y ~ x + (1 | g)", {"x": [1, 2, -np.inf, 4]}, {}, DataError, "variable 'x' has 1 infinite value;"),
        ("y ~ log(x) + (1 | g)", {"x": [1, 2, 0, 4]}, {}, DataError, r"variable 'log\(x\)' has 1 infinite value"),
        ("y ~ x + (z | g)", {"z": [1, 2, np.inf, 4]}, {}, DataError, "variable 'z' has 1 infinite"),
        ("y ~ (1 | g)", {}, {"weights": [1, -1, 0, 0]}, DataError, "of 4, 1 negative and 2 zero"),
        ("y ~ (1 | g)", {}, {"weights": [1, 2]}, DataError, "weights has 2 values and the data have 4 rows"),
        ("y ~ (1 | g)", {}, {"weights": "w"}, UnknownColumnError, "no column for weights named 'w'"),
        ("y ~ (1 | g)", {}, {"weights": "g"}, DataTypeError, "weights must be numbers"),
        ("y ~ (1 | g)", {}, {"weights": 2.0}, DataTypeError, "name of a column or one number per row"),
        ("y ~ (1 | g)", {}, {"weights": [1, 2, 3, np.inf]}, DataError, "1 infinite"),
        ("y ~ (1 | g)", {}, {"offset": [1, 2]}, DataError, "offset has 2 values"),
        ("y ~ (1 | g)", {}, {"offset": [1, 2, 3, np.inf]}, DataError, "offset has 1 infinite"),
        ("y ~ (1 | g)", {"y": [], "x": [], "g": []}, {}, DataError, "no rows"),
        ("y ~ f + (1 | g)", {"f": list("pqpq")}, {"contrasts": {"f": "sums"}}, ControlError, "'sums' of 'f' are not"),
        ("y ~ f + (1 | g)", {"f": list("pqpq")}, {"contrasts": {"f": [[1, 2]]}}, DataError, "1 × 2; .* must be 2 × 1"),
        ("y ~ f + (1 | g)", {"f": list("pqpq")}, {"contrasts": {"f": [[1], [1]]}}, DataError, "linearly dependent"),
        ("y ~ x + (1 | g)", {}, {"contrasts": {"x": "sum"}}, DataTypeError, "'x', which is numeric"),
        ("y ~ x + (1 | g)", {}, {"contrasts": {"arm": "sum"}}, UnknownColumnError, "'arm'"),
        ("y ~ I(3) + (1 | g)", {}, {}, FormulaError, r"'I\(3\)' is a constant"),
        ("y ~ log(f) + (1 | g)", {"f": list("pqpq")}, {}, FormulaError, "needs numbers"),
    ],
)
def test_refused(formula, columns, options, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        build_design(formula, small(**columns), **options)
    assert "\n" not in str(raised.value)


def test_contrasts_of_a_column_that_the_fixed_part_does_not_use_are_ignored():
    design = build_design("y ~ x + (f | g)", small(f=list("pqqp")), contrasts={"f": "sum"})
    assert design.random[0].names == ("(Intercept)", "fq")


# ---- speed ---------------------------------------------------------------------------------------------------------


def test_half_a_million_rows_take_little_time():
    n = 500_000
    rng = np.random.default_rng(1)
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("y", "x1", "x2", "x3", "x4")})
    data["arm"] = pd.Categorical(rng.choice(["a", "b", "c"], n))
    data["g"] = rng.integers(0, 10_000, n)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        build_design("y ~ x1 + x2 + x3 + x4 + arm + (x1 | g)", data)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2  # about 10 ms on an idle machine


def test_a_power_that_is_no_power_is_hinted_at_once_for_each_fit():
    data = {"y": [1.0, 2.0, 4.0, 3.0], "x": [1.0, 2.0, 3.0, 5.0], "g": [0, 0, 1, 1]}
    for _ in range(2):
        with pytest.warns(FormulaWarning, match=r"The term 'x\^2' is 'x'.*write 'I\(x\^2\)'"):
            made = build_design("y ~ x**2 + (1 | g)", data)
    assert made.fixed_names == ("(Intercept)", "x")


def test_every_column_of_a_wide_frame():
    rng = np.random.default_rng(3)
    data = {f"v{i}": rng.normal(size=1100) for i in range(1000)}
    data |= {"y": rng.normal(size=1100), "g": np.arange(1100) % 7}
    by_dot = build_design("y ~ . + (1 | g)", data)
    assert by_dot.fixed_names == ("(Intercept)", *(f"v{i}" for i in range(1000)))
    written = build_design(f"y ~ {' + '.join(f'v{i}' for i in range(1000))} + (1 | g)", data)
    np.testing.assert_array_equal(written.X, by_dot.X)
    total = build_design(f"y ~ I({' + '.join(f'v{i}' for i in range(1000))}) + (1 | g)", data)
    np.testing.assert_allclose(total.X[:, 1], by_dot.X[:, 1:].sum(axis=1), rtol=1e-10)
    encoder = pickle.loads(pickle.dumps(total.encoder))
    np.testing.assert_array_equal(encoder.fixed_matrix(data), total.X)
