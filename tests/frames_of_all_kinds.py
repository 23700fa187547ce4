"""Columns of every kind that data frame libraries have, for tests that put them in every place."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

UTC = dt.UTC
FIRST = dt.datetime(2021, 3, 1)


def objects(values: list[Any]) -> pd.Series:
    """Return a pandas column of Python objects, each as it is."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return pd.Series(array, dtype=object)


def days(k: np.ndarray) -> list[dt.date]:
    return [FIRST.date() + dt.timedelta(int(i)) for i in k]


def times(k: np.ndarray, zone: dt.tzinfo | None = None) -> list[dt.datetime]:
    return [FIRST.replace(tzinfo=zone) + dt.timedelta(hours=int(i)) for i in k]


def gaps(values: list[Any]) -> list[Any]:
    return [None if i % 7 == 3 else value for i, value in enumerate(values)]


def arrow(values: list[Any], kind: Any) -> Any:
    return pd.array(values, dtype=pd.ArrowDtype(kind))


# Each makes a column of whole numbers k (0, 1, 2, …).
PANDAS: dict[str, Callable[[np.ndarray], Any]] = {
    "int64": lambda k: k.astype(np.int64),
    "uint8": lambda k: k.astype(np.uint8),
    "uint64 near its end": lambda k: np.uint64(2**64 - 1) - k.astype(np.uint64),
    "float32": lambda k: k.astype(np.float32) / 3,
    "float with gaps": lambda k: np.where(np.arange(k.size) % 7 == 3, np.nan, k + 0.5),
    "all missing": lambda k: np.full(k.size, np.nan),
    "infinite": lambda k: np.where(k == 1, np.inf, k),
    "complex": lambda k: k * 1j,
    "bool": lambda k: k % 2 == 0,
    "Int64": lambda k: pd.array(gaps(k.tolist()), dtype="Int64"),
    "Float64": lambda k: pd.array(gaps((k / 2).tolist()), dtype="Float64"),
    "boolean": lambda k: pd.array(gaps((k % 2 == 0).tolist()), dtype="boolean"),
    "string": lambda k: pd.array(gaps([f"s{i}" for i in k]), dtype="string"),
    "str": lambda k: pd.Series([f"s{i}" for i in k]),
    "object text": lambda k: objects(gaps([f"s{i}" for i in k])),
    "text of numbers": lambda k: objects([str(i) for i in k]),
    "numbers and text": lambda k: objects([str(i) if n % 2 else int(i) for n, i in enumerate(k)]),
    "truth and text": lambda k: objects(["True" if n % 2 else bool(i % 2) for n, i in enumerate(k)]),
    "dates and text": lambda k: objects([str(d) if n % 2 else d for n, d in enumerate(days(k))]),
    "truth and numbers": lambda k: objects([int(i) if n % 2 else bool(i % 2) for n, i in enumerate(k)]),
    "dicts": lambda k: objects([{"a": int(i)} for i in k]),
    "lists": lambda k: objects([[int(i)] for i in k]),
    "arrays": lambda k: objects([np.arange(i + 1) for i in k]),
    "tuples": lambda k: objects([(int(i), 1) for i in k]),
    "sets": lambda k: objects([{int(i)} for i in k]),
    "bytes": lambda k: objects([b"a%d" % i for i in k]),
    "bytes that are no text": lambda k: objects([bytes([255, i]) for i in k]),
    "half characters": lambda k: objects([f"\ud800{i}" for i in k]),
    "uuid": lambda k: objects([uuid.UUID(int=int(i)) for i in k]),
    "things": lambda k: objects([object() for _ in k]),
    "decimal": lambda k: objects([decimal.Decimal(int(i)) / 4 for i in k]),
    "large whole numbers": lambda k: objects([int(i) + 2**70 for i in k]),
    "complex objects": lambda k: objects([complex(0, int(i)) for i in k]),
    "None": lambda k: objects([None] * k.size),
    "NaN of all kinds": lambda k: objects([(None, np.nan, pd.NaT, pd.NA)[i % 4] for i in k]),
    "dates": lambda k: objects(gaps(days(k))),
    "datetimes": lambda k: objects(times(k)),
    "zoned datetimes": lambda k: objects(times(k, UTC)),
    "mixed zones": lambda k: objects([t.replace(tzinfo=UTC) if n % 2 else t for n, t in enumerate(times(k))]),
    "two zones": lambda k: objects(
        [t.replace(tzinfo=dt.timezone(dt.timedelta(hours=n % 2))) for n, t in enumerate(times(k))]
    ),
    "times of day": lambda k: objects([dt.time(int(i) % 24) for i in k]),
    "durations": lambda k: objects([dt.timedelta(hours=int(i)) for i in k]),
    "datetime64[ns]": lambda k: pd.Series(times(k)).astype("datetime64[ns]"),
    "datetime64[s] with gaps": lambda k: pd.Series(gaps(times(k))).astype("datetime64[s]"),
    "datetime64 zoned": lambda k: pd.Series(times(k)).dt.tz_localize("Europe/Berlin"),
    "timedelta64": lambda k: pd.to_timedelta(k, unit="D"),
    "category": lambda k: pd.Categorical([f"s{i}" for i in k], ordered=True),
    "category of numbers": lambda k: pd.Categorical(k),
    "category of 1 and '1'": lambda k: pd.Categorical(objects([str(i) if n % 2 else int(i) for n, i in enumerate(k)])),
    "category of times": lambda k: pd.Categorical(pd.Series(times(k, UTC))),
    "category of intervals": lambda k: pd.cut(pd.Series(k.astype(float)), 3),
    "empty categories": lambda k: pd.Categorical([None] * k.size, categories=["a", "b"]),
    "period": lambda k: pd.PeriodIndex([pd.Period(t, freq="M") for t in days(k * 31)]),
    "periods of two frequencies": lambda k: objects([pd.Period(d, freq="MD"[n % 2]) for n, d in enumerate(days(k))]),
    "interval": lambda k: pd.arrays.IntervalArray.from_arrays(k, k + 1),
    "sparse": lambda k: pd.arrays.SparseArray(k),
    "sparse with gaps": lambda k: pd.arrays.SparseArray(np.where(k == 1, np.nan, k)),
    "sparse truth": lambda k: pd.arrays.SparseArray(k % 2 == 0),
    "arrow int": lambda k: arrow(gaps(k.tolist()), pa.int16()),
    "arrow bool": lambda k: arrow(gaps((k % 2 == 0).tolist()), pa.bool_()),
    "arrow text": lambda k: arrow(gaps([f"s{i}" for i in k]), pa.string()),
    "arrow dictionary": lambda k: arrow([f"s{i}" for i in k], pa.dictionary(pa.int8(), pa.string())),
    "arrow dates": lambda k: arrow(gaps(days(k)), pa.date32()),
    "arrow times": lambda k: arrow(times(k), pa.timestamp("ns")),
    "arrow zoned": lambda k: arrow(times(k, UTC), pa.timestamp("us", tz="Europe/Berlin")),
    "arrow durations": lambda k: arrow([dt.timedelta(int(i)) for i in k], pa.duration("ms")),
    "arrow decimal": lambda k: arrow([decimal.Decimal(int(i)) for i in k], pa.decimal128(20, 3)),
    "arrow lists": lambda k: arrow([[int(i)] for i in k], pa.list_(pa.int64())),
    "arrow records": lambda k: arrow([{"a": int(i)} for i in k], pa.struct([("a", pa.int64())])),
}  # fmt: skip

POLARS: dict[str, Callable[[np.ndarray], Any]] = {
    "Int8": lambda k: pl.Series(gaps(k.tolist()), dtype=pl.Int8),
    "UInt64": lambda k: pl.Series([2**64 - 1 - int(i) for i in k], dtype=pl.UInt64),
    "Int128": lambda k: pl.Series(gaps(k.tolist())).cast(pl.Int128),
    "Float32": lambda k: pl.Series(k / 3).cast(pl.Float32),
    "Boolean": lambda k: pl.Series(gaps((k % 2 == 0).tolist())),
    "String": lambda k: pl.Series(gaps([f"s{i}" for i in k])),
    "Categorical": lambda k: pl.Series([f"s{i}" for i in k], dtype=pl.Categorical),
    "Enum": lambda k: pl.Series([f"s{i}" for i in k], dtype=pl.Enum([f"s{i}" for i in range(60)])),
    "Date": lambda k: pl.Series(gaps(days(k))),
    "Datetime": lambda k: pl.Series(times(k)),
    "Datetime zoned": lambda k: pl.Series(times(k)).dt.replace_time_zone("Asia/Tokyo"),
    "Duration": lambda k: pl.Series([dt.timedelta(hours=int(i)) for i in k]),
    "Time": lambda k: pl.Series([dt.time(int(i) % 24) for i in k]),
    "Decimal": lambda k: pl.Series([decimal.Decimal(int(i)) for i in k], dtype=pl.Decimal(20, 2)),
    "List": lambda k: pl.Series([[int(i)] for i in k]),
    "Array": lambda k: pl.Series([[int(i), 1] for i in k], dtype=pl.Array(pl.Int64, 2)),
    "Struct": lambda k: pl.Series([{"a": int(i)} for i in k]),
    "Object": lambda k: pl.Series([object() for _ in k], dtype=pl.Object),
    "Binary": lambda k: pl.Series([b"a%d" % i for i in k]),
    "Null": lambda k: pl.Series([None] * k.size),
}  # fmt: skip

ARROW: dict[str, Callable[[np.ndarray], Any]] = {
    "chunked int": lambda k: pa.chunked_array([k[:5].tolist(), k[5:].tolist()], type=pa.int32()),
    "large_string": lambda k: pa.array(gaps([f"s{i}" for i in k]), pa.large_string()),
    "string_view": lambda k: pa.array([f"s{i}" for i in k], pa.string_view()),
    "dictionary": lambda k: pa.array([f"s{i}" for i in k]).dictionary_encode(),
    "dictionary of numbers": lambda k: pa.array(k.tolist()).dictionary_encode(),
    "run ends": lambda k: pa.RunEndEncodedArray.from_arrays(list(range(1, k.size + 1)), pa.array(k.tolist())),
    "date64": lambda k: pa.array(days(k), pa.date64()),
    "timestamp": lambda k: pa.array(times(k), pa.timestamp("s")),
    "timestamp ns": lambda k: pa.array([int(i) * 1001 + 1 for i in k], pa.timestamp("ns")),
    "time32": lambda k: pa.array([dt.time(int(i) % 24) for i in k], pa.time32("s")),
    "duration": lambda k: pa.array([dt.timedelta(int(i)) for i in k]),
    "month intervals": lambda k: pa.array([(1, int(i), 0) for i in k], pa.month_day_nano_interval()),
    "decimal256": lambda k: pa.array([decimal.Decimal(int(i)) for i in k], pa.decimal256(50, 3)),
    "half": lambda k: pa.array(k.astype(np.float16)),
    "binary": lambda k: pa.array([b"a%d" % i for i in k]),
    "fixed binary": lambda k: pa.array([b"a%02d" % (i % 100) for i in k], pa.binary(3)),
    "null": lambda k: pa.nulls(k.size),
    "list": lambda k: pa.array([[int(i)] for i in k]),
    "map": lambda k: pa.array([[("a", int(i))] for i in k], pa.map_(pa.string(), pa.int64())),
    "struct": lambda k: pa.array([{"a": int(i)} for i in k]),
}  # fmt: skip

NUMPY: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda k: k.tolist(),
    "tuple": lambda k: tuple(k.tolist()),
    "range": lambda k: range(k.size),
    "list of mixed": lambda k: [str(i) if n % 2 else float(i) for n, i in enumerate(k)],
    "ragged": lambda k: [list(range(int(i))) for i in k],
    "text": lambda k: np.array([f"s{i}" for i in k]),
    "bytes": lambda k: np.array([b"a%d" % i for i in k]),
    "days": lambda k: np.array(days(k), dtype="datetime64[D]"),
    "months": lambda k: np.array(days(k * 31), dtype="datetime64[M]"),
    "durations in hours": lambda k: k.astype("timedelta64[h]"),
    "durations in months": lambda k: k.astype("timedelta64[M]"),
    "durations without unit": lambda k: k.astype("timedelta64"),
    "masked": lambda k: np.ma.masked_array(k, mask=k == 1),
    "masked text": lambda k: np.ma.masked_array([f"s{i}" for i in k], mask=k == 1),
    "structured": lambda k: np.array([(int(i), 1.0) for i in k], dtype=[("a", "i4"), ("b", "f8")]),
    "void": lambda k: np.zeros(k.size, dtype="V4"),
    "complex": lambda k: k + 1j,
    "longdouble": lambda k: k.astype(np.longdouble),
    "float16": lambda k: k.astype(np.float16),
    "two-dimensional": lambda k: np.column_stack([k, k]),
    "one number": lambda k: float(k[0]),
    "series of polars": lambda k: pl.Series(k),
    "array of Arrow": lambda k: pa.array(k),
}  # fmt: skip


def frame_with(library: str, kind: str, role: str, k: np.ndarray, rng: np.random.Generator) -> Any:
    """Return a data frame with the columns y, x, g, w of which one is of a kind."""
    n = k.size
    plain = {"y": rng.normal(size=n), "x": rng.normal(size=n), "g": [f"g{i % 4}" for i in range(n)], "w": np.ones(n)}
    column = {"pandas": PANDAS, "polars": POLARS, "arrow": ARROW, "numpy": NUMPY}[library][kind](k)
    whole = {**plain, role: column}
    if library == "pandas":
        return pd.DataFrame(whole)
    if library == "polars":
        return pl.DataFrame(whole)
    return pa.table(whole) if library == "arrow" else whole


KINDS = [(library, kind) for library, kinds in
         {"pandas": PANDAS, "polars": POLARS, "arrow": ARROW, "numpy": NUMPY}.items() for kind in kinds]  # fmt: skip
