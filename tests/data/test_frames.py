"""The same columns out of every kind of frame."""

from __future__ import annotations

import datetime as dt
import decimal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from multilevel.data.factors import Factor
from multilevel.data.frames import Frame, column_from_values
from multilevel.errors import DataError, DataTypeError, UnknownColumnError

DATA: dict[str, list[object]] = {
    "whole": [3, 1, 2, 1],
    "real": [0.5, float("nan"), 2.5, 1.0],
    "text": ["b", "a", None, "b"],
    "truth": [True, False, True, True],
    "day": [dt.date(2020, 1, 2), dt.date(2020, 1, 1), dt.date(2021, 1, 1), dt.date(2020, 1, 1)],
    "gaps": [3, None, 2, 1],
    "perhaps": [True, None, False, True],
}


def as_pandas_arrow() -> pd.DataFrame:
    return pa.table(DATA).to_pandas(types_mapper=pd.ArrowDtype)


def as_pandas_nullable() -> pd.DataFrame:
    frame = pd.DataFrame(DATA)
    return frame.astype({"gaps": "Int64", "perhaps": "boolean", "text": "string", "whole": "Int32", "real": "Float64"})


FRAMES = {
    "dict": lambda: DATA,
    "dict of arrays": lambda: {name: np.array(values) for name, values in DATA.items()},
    "dict of series": lambda: {name: pl.Series(values) for name, values in DATA.items()},
    "pandas": lambda: pd.DataFrame(DATA),
    "pandas nullable": as_pandas_nullable,
    "pandas arrow": as_pandas_arrow,
    "polars": lambda: pl.DataFrame(DATA),
    "polars lazy": lambda: pl.LazyFrame(DATA),
    "pyarrow": lambda: pa.table(DATA),
    "pyarrow chunked": lambda: pa.concat_tables([pa.table(DATA).slice(0, 1), pa.table(DATA).slice(1)]),
    "narwhals": lambda: nw.from_native(pl.DataFrame(DATA)),
}


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Frame:
    return Frame(FRAMES[request.param]())


def test_columns(frame):
    assert list(frame.columns) == list(DATA)
    assert len(frame) == frame.n_rows == 4
    assert "text" in frame
    assert "texts" not in frame


def test_numbers(frame):
    assert frame.column("whole").is_numeric
    np.testing.assert_array_equal(frame.column("whole").as_numbers(), [3, 1, 2, 1])
    np.testing.assert_array_equal(frame.column("real").as_numbers(), [0.5, np.nan, 2.5, 1.0])
    np.testing.assert_array_equal(frame.column("gaps").as_numbers(), [3, np.nan, 2, 1])


def test_factors(frame):
    expected = {
        "whole": ([2, 0, 1, 0], ("1", "2", "3")),
        "text": ([1, 0, -1, 1], ("a", "b")),
        "truth": ([1, 0, 1, 1], ("FALSE", "TRUE")),
        "day": ([1, 0, 2, 0], ("2020-01-01", "2020-01-02", "2021-01-01")),
        "gaps": ([2, -1, 1, 0], ("1", "2", "3")),
        "perhaps": ([1, -1, 0, 1], ("FALSE", "TRUE")),
        "real": ([0, -1, 2, 1], ("0.5", "1", "2.5")),
    }
    for name, (codes, levels) in expected.items():
        factor = frame.column(name).as_factor()
        assert factor.codes.tolist() == codes, name
        assert factor.levels.names == levels, name
        assert factor.has_missing == (-1 in codes), name


def test_dates_count_days(frame):
    days = frame.column("day").as_numbers()
    np.testing.assert_array_equal(np.diff(days), [-1, 366, -366])


def test_text_is_no_number(frame):
    assert not frame.column("text").is_numeric
    with pytest.raises(DataTypeError, match="'text' holds text"):
        frame.column("text").as_numbers()


def test_unknown_column(frame):
    with pytest.raises(UnknownColumnError, match="no column named 'txt'; did you mean 'text'"):
        frame.column("txt")
    with pytest.raises(UnknownColumnError, match="'TRUTH'; did you mean 'truth'"):
        frame.column("TRUTH")
    with pytest.raises(UnknownColumnError, match="'quux'; the columns are 'whole', 'real'"):
        frame.column("quux")


def test_order_of_categories():
    values, order = ["mid", "low", "mid", "high"], ["low", "mid", "high", "never"]
    pandas = pd.DataFrame({"f": pd.Categorical(values, categories=order)})
    ordered = pd.DataFrame({"f": pd.Categorical(values, categories=order, ordered=True)})
    kept = [
        pandas,
        ordered,
        pa.Table.from_pandas(pandas),
        pa.Table.from_pandas(ordered),
        pl.DataFrame({"f": pl.Series(values, dtype=pl.Enum(order))}),
        nw.from_native(ordered),
        {"f": pl.Series(values, dtype=pl.Enum(order))},
        {"f": pandas["f"]},
    ]
    for frame, is_ordered in zip(kept, [False, True, False, True, False, True, False, False], strict=True):
        factor = Frame(frame).column("f").as_factor()
        assert factor.levels.names == tuple(order)
        assert factor.codes.tolist() == [1, 0, 1, 2]
        assert factor.ordered is is_ordered


def test_encoded_text_has_no_order_of_its_own():
    values = ["mid", "low", None, "high"]
    for frame in (
        pl.DataFrame({"f": pl.Series(values, dtype=pl.Categorical)}),
        pa.table({"f": pa.array(values).dictionary_encode()}),
        pa.table({"f": pa.DictionaryArray.from_arrays(pa.array([0, 1, 3, 2]), pa.array(["mid", "low", "high", None]))}),
    ):
        factor = Frame(frame).column("f").as_factor()
        assert factor.levels.names == ("high", "low", "mid")
        assert factor.codes.tolist() == [2, 1, -1, 0]


def test_categories_that_are_numbers():
    factor = Frame(pd.DataFrame({"f": pd.Categorical([10, 2, 10])})).column("f").as_factor()
    assert factor.levels.names == ("2", "10")


def test_times_count_seconds_and_forget_their_zone():
    stamps = pd.to_datetime(["2020-01-01 00:00", "2020-01-01 00:01"])
    for values in (stamps, stamps.tz_localize("Europe/Berlin")):
        column = Frame(pd.DataFrame({"t": values})).column("t")
        assert np.diff(column.as_numbers()).tolist() == [60.0]
    assert Frame(pl.DataFrame({"t": stamps.to_numpy()})).column("t").as_numbers()[0] == 1577836800.0


def test_row_labels():
    frame = pd.DataFrame({"x": [1, 2]})
    assert Frame(frame).row_labels is None
    assert list(Frame(frame.set_axis(["a", "b"])).row_labels) == ["a", "b"]
    assert list(Frame(frame.set_axis([5, 6])).row_labels) == [5, 6]
    assert Frame(pl.DataFrame({"x": [1]})).row_labels is None


def test_numbers_are_not_copied():
    values = np.arange(5.0)
    assert np.shares_memory(Frame({"x": values}).column("x").values, values)
    assert np.shares_memory(Frame(pd.DataFrame({"x": values}, copy=False)).column("x").values, values)
    assert np.shares_memory(Frame(pa.table({"x": pa.array(values)})).column("x").values, values)


def test_duplicate_columns():
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(DataError, match="more than one column named 'x'"):
        Frame(twice)
    with pytest.raises(DataError, match="more than one column"):
        Frame(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]))


def test_what_is_no_frame():
    with pytest.raises(DataTypeError, match=r"must be a data frame.*not int"):
        Frame(3)
    with pytest.raises(DataTypeError, match=r"not one column|must be a data frame"):
        Frame(pd.Series([1.0]))
    with pytest.raises(DataError, match="different lengths: 'x' 1, 'y' 2"):
        Frame({"x": [1], "y": [1, 2]})
    with pytest.raises(DataError, match="one dimension"):
        Frame({"x": np.zeros((2, 2))}).column("x")
    with pytest.raises(DataTypeError, match="cannot be used"):
        Frame({"x": np.array([1j])}).column("x")
    with pytest.raises(DataTypeError, match="cannot be used"):
        Frame(pa.table({"x": [[1], [2]]})).column("x")


def test_other_array_likes():
    masked = column_from_values("w", np.ma.masked_array([1.0, 2.0], mask=[False, True]))
    np.testing.assert_array_equal(masked.as_numbers(), [1.0, np.nan])
    np.testing.assert_array_equal(column_from_values("w", pd.array([1, None], dtype="Int8")).as_numbers(), [1, np.nan])
    np.testing.assert_array_equal(column_from_values("w", pd.Index([1, 2])).as_numbers(), [1, 2])
    np.testing.assert_array_equal(column_from_values("w", pa.array([1, None])).as_numbers(), [1, np.nan])
    np.testing.assert_array_equal(column_from_values("w", [decimal.Decimal("1.5"), None]).as_numbers(), [1.5, np.nan])
    np.testing.assert_array_equal(column_from_values("w", [None, None]).as_numbers(), [np.nan, np.nan])
    assert isinstance(column_from_values("w", [2**80, 1]).values, Factor)
    assert column_from_values("w", np.arange(2, dtype=np.float32)).values.dtype == np.float64
