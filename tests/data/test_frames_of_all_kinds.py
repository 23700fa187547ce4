"""Whatever a column holds there is a result or an error of the package, and what is fitted can be predicted and saved."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import multilevel as ml
from frames_of_all_kinds import KINDS, frame_with

ROWS = 28
EXTREME = {"uint64 near its end", "UInt64"}
"""Numbers whose spread is lost beside their size: other tests look at them."""


def whole(frame: Any, formula: str) -> None:
    """Fit, predict, show, save and load."""
    fit = ml.lmer(formula, frame)
    expected = fit.fitted().to_numpy()
    found = fit.predict(frame).dropna().to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-7 * max(1.0, float(np.abs(expected).max())))
    str(fit.summary())
    fit.ranef()
    fit.coef()
    fit.tidy(["fixed", "ran_vals"])
    fit.augment()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.mlm"
        try:
            fit.save(path, data=True)
        except ml.DataError:
            assert not list(Path(folder).iterdir())
            fit.save(path)
        again = ml.load(path)
    np.testing.assert_allclose(again.predict(frame).dropna().to_numpy(), found)
    for name, table in fit.ranef().items():
        assert again.ranef()[name].index.equals(table.index)


CALLS = {
    "predictor": ("x", lambda d: whole(d, "y ~ x + (1 | g)")),
    "slope": ("x", lambda d: ml.lmer("y ~ 1 + (x | g)", d)),
    "group": ("g", lambda d: whole(d, "y ~ x + (1 | g)")),
    "combined group": ("g", lambda d: whole(d, "y ~ x + (1 | w:g)")),
    "factor": ("x", lambda d: whole(d, "y ~ factor(x) + (1 | g)")),
    "scaled": ("x", lambda d: whole(d, "y ~ scale(x) + (1 | g)")),
    "response": ("y", lambda d: ml.lmer("y ~ x + (1 | g)", d)),
    "weights": ("w", lambda d: ml.lmer("y ~ x + (1 | g)", d, weights="w")),
    "offset": ("w", lambda d: ml.lmer("y ~ x + (1 | g)", d, offset="w")),
    "dot": ("w", lambda d: ml.lmer("y ~ . + (1 | g)", d)),
    "strata": ("w", lambda d: ml.lmer("y ~ x + (1 | g)", d, residual=ml.var_ident("w")).simulate(1, rng=1)),
    "emmeans": ("x", lambda d: ml.emmeans(ml.lmer("y ~ x + (1 | g)", d), "x")),
    "influence": ("g", lambda d: ml.influence(ml.lmer("y ~ x + (1 | g)", d), "g")),
    "simulate": ("g", lambda d: ml.lmer("y ~ x + (1 | g)", d).simulate(1, rng=1, newdata=d)),
    "update": ("x", lambda d: ml.lmer("y ~ x + (1 | g)", d).update("y ~ x + I(x) + (1 | g)")),
    "describe": ("x", lambda d: str(ml.describe(d))),
    "describe_by": ("g", lambda d: str(ml.describe_by(d, by="g"))),
    "group_summary": ("g", lambda d: str(ml.group_summary(d, by="g"))),
    "cluster_sizes": ("g", lambda d: str(ml.cluster_sizes(d, "g"))),
    "correlation": ("x", lambda d: str(ml.correlation(d))),
    "correlation by": ("g", lambda d: str(ml.correlation(d, by="g"))),
    "demean": ("x", lambda d: ml.demean(d, "x", by="g")),
    "demean by": ("g", lambda d: ml.demean(d, "x", by="g")),
    "center": ("x", lambda d: ml.center(d, "x")),
    "standardize": ("x", lambda d: ml.standardize(d, "x")),
}


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KINDS), st.sampled_from(sorted(CALLS)), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_result_or_an_error_of_the_package(kind, call, levels, seed):
    role, function = CALLS[call]
    if kind[1] in EXTREME and call in ("response", "offset"):
        return
    rng = np.random.default_rng(seed)
    frame = frame_with(*kind, role, rng.integers(0, levels, ROWS), rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Anything else that is raised fails the test.
        with contextlib.suppress(ml.MultilevelError):
            function(frame)


@pytest.mark.parametrize(
    "name", ["lists", "dicts", "half characters", "mixed zones", "complex objects", "arrow records"]
)
@pytest.mark.parametrize("role", ["x", "g", "y"])
def test_what_cannot_be_used_is_named(name, role):
    frame = frame_with("pandas", name, role, np.arange(ROWS) % 4, np.random.default_rng(1))
    with pytest.raises((ml.DataTypeError, ml.DataError), match=f"column '{role}'"):
        ml.lmer("y ~ x + (1 | g)", frame)


@pytest.mark.parametrize(
    "name",
    ["int64", "uint8", "Int64", "bool", "boolean", "dates", "datetimes", "datetime64[ns]", "datetime64 zoned", "timedelta64",
     "category of numbers", "category of times", "category of intervals", "interval", "period", "arrow int",
     "arrow dates", "arrow zoned", "float with gaps", "string", "two zones", "uuid"],
)  # fmt: skip
def test_labels_find_the_rows_that_they_come_from(name):
    rng = np.random.default_rng(2)
    frame = frame_with("pandas", name, "g", np.arange(ROWS) % 5, rng)
    frame = frame[frame["g"].notna()].reset_index(drop=True)
    fit = ml.lmer("y ~ x + (1 | g)", frame)
    modes = fit.ranef()["g"]["(Intercept)"]
    found = frame["g"].map(modes).astype(float)
    expected = fit.fitted() - fit.predict(re_formula=False)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert list(fit.coef()["g"].index) == list(modes.index) == list(fit.tidy("ran_vals")["level"])
    assert list(ml.influence(fit, "g").dfbeta.index) == list(modes.index)


def test_integer_labels_merge_with_the_data():
    frame = frame_with("pandas", "int64", "g", np.arange(ROWS) % 5, np.random.default_rng(2))
    fit = ml.lmer("y ~ x + (1 | g)", frame)
    table = fit.tidy("ran_vals")
    assert table["level"].dtype == np.int64
    assert len(frame.merge(table[["level", "estimate"]], left_on="g", right_on="level")) == len(frame)
    # A column that holds what has no level, too, keeps whole numbers whole.
    assert fit.tidy(["fixed", "ran_vals"])["level"].tolist() == [None, None, 0, 1, 2, 3, 4]
    assert fit.ranef().groups["g"].levels == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("library", "name"),
    [("pandas", "sparse"), ("pandas", "uint8"), ("arrow", "chunked int"), ("arrow", "run ends"), ("arrow", "decimal256"),
     ("arrow", "half"), ("polars", "Decimal"), ("numpy", "range"), ("numpy", "longdouble"), ("numpy", "series of polars")],
)  # fmt: skip
def test_numbers_of_every_kind_are_the_same_numbers(library, name):
    k = np.arange(ROWS) % 5 if name != "range" else np.arange(ROWS)
    expected = ml.lmer("y ~ x + (1 | g)", frame_with("numpy", "list", "x", k, np.random.default_rng(3)))
    found = ml.lmer("y ~ x + (1 | g)", frame_with(library, name, "x", k, np.random.default_rng(3)))
    np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_a_column_that_no_one_uses_is_in_nobodys_way(kind, seed):
    rng = np.random.default_rng(seed)
    frame = frame_with(*kind, "unused", rng.integers(0, 5, ROWS), rng)
    with warnings.catch_warnings(), contextlib.suppress(ml.MultilevelError):
        warnings.simplefilter("ignore")
        whole(frame, "y ~ x + (1 | g)")
        str(ml.describe(frame))
        ml.demean(frame, "x", by="g")
        ml.standardize(frame)


def test_series_of_different_indexes_are_rows_in_their_order():
    plain = frame_with("numpy", "list", "x", np.arange(ROWS) % 5, np.random.default_rng(3))
    shifted = {**plain, "x": pd.Series(plain["x"], index=range(100, 100 + ROWS))}
    fit = ml.lmer("y ~ x + (1 | g)", shifted)
    assert len(fit.augment()) == ROWS
    np.testing.assert_allclose(fit.augment(newdata=shifted)[".fitted"], fit.fitted())
