"""Dates, times and durations: how they count as numbers, the clock that times are read on, and how they are written.

A time is what the clock of its column shows: times with a zone are kept as that zone's wall-clock time, beside the name of the
zone, so that they count and read as they are printed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

DAYS, SECONDS, DURATION, NUMBER = "days", "seconds", "duration", "number"
"""What a column counts: days or seconds since 1970, the seconds of a duration, or whatever its numbers count."""

_WORDS = {DAYS: "dates", SECONDS: "times", DURATION: "durations", NUMBER: "numbers"}


def scale_of(values: npt.NDArray[Any], zone: str | None) -> str:
    """Return what an array counts, with the zone of its times: ``"days"``, ``"seconds Europe/Berlin"``, ``"number"``, …."""
    kind = values.dtype.kind
    if kind == "m":
        return DURATION
    if kind != "M":
        return NUMBER
    unit = DAYS if np.datetime_data(values.dtype)[0] == "D" else SECONDS
    return unit if zone is None else f"{unit} {zone}"


def split_scale(scale: str) -> tuple[str, str | None]:
    """Return the unit and the zone of a scale."""
    unit, _, zone = scale.partition(" ")
    return unit, zone or None


def describe_scale(scale: str) -> str:
    """Return what a column with a scale holds, in a word."""
    return _WORDS.get(split_scale(scale)[0], _WORDS[NUMBER])


def count(values: npt.NDArray[Any], unit: str | None = None) -> npt.NDArray[np.float64]:
    """Return dates, times or durations as numbers, NaN where missing.

    Dates count days and times seconds since 1970, unless `unit` says otherwise; durations count seconds.
    """
    if values.dtype.kind == "m":
        return np.asarray(values / np.timedelta64(1, "s"), dtype=np.float64)
    whole_days = np.datetime_data(values.dtype)[0] == "D"
    numbers = values.astype(f"datetime64[{'D' if whole_days else 'us'}]").astype(np.int64).astype(np.float64)
    numbers[np.isnat(values)] = np.nan
    if whole_days:
        return numbers * 86400.0 if unit == SECONDS else numbers
    numbers /= 1e6
    return numbers / 86400.0 if unit == DAYS else numbers


def from_count(numbers: npt.NDArray[np.float64], scale: str) -> npt.NDArray[Any]:
    """Return the dates, times or durations that some numbers count, to the microsecond; numbers stay what they are."""
    unit = split_scale(scale)[0]
    if unit == NUMBER:
        return numbers
    micro = np.where(np.isfinite(numbers), np.round(numbers * (86400e6 if unit == DAYS else 1e6)), 0).astype(np.int64)
    found = micro.astype("timedelta64[us]" if unit == DURATION else "datetime64[us]")
    found[~np.isfinite(numbers)] = "NaT"
    return found


# ---- clocks ----------------------------------------------------------------------------------------------------------------


def zone_name(zone: Any) -> str | None:
    """Return the name of a time zone, or None where no name stands for it."""
    import pandas as pd

    if zone is None:
        return None
    try:
        return str(zone) if pd.DatetimeTZDtype("ns", str(zone)) else None
    except (TypeError, ValueError, KeyError, LookupError, OSError):
        return None


def read_on(values: npt.NDArray[np.datetime64], zone: str | None, clock: str | None) -> npt.NDArray[np.datetime64]:
    """Return times of a zone as another zone's clock shows them; where either has no zone they stay as they are."""
    if zone is None or clock is None or zone == clock or np.datetime_data(values.dtype)[0] == "D":
        return values
    return np.asarray(_zoned(values, zone).tz_convert(clock).tz_localize(None))


def with_zone(values: npt.NDArray[np.datetime64], zone: str) -> Any:
    """Return wall-clock times as a pandas index of times with a zone."""
    return _zoned(values, zone)


def _zoned(values: npt.NDArray[np.datetime64], zone: str) -> Any:
    import pandas as pd

    # An hour that the clock shows twice is its first; an hour that it skips is the one after.
    twice = np.ones(len(values), dtype=np.bool_)
    return pd.DatetimeIndex(values).tz_localize(zone, ambiguous=twice, nonexistent="shift_forward")


# ---- text ------------------------------------------------------------------------------------------------------------------


def write_times(values: npt.NDArray[np.datetime64]) -> tuple[str, ...]:
    """Write dates without the time where no time matters, and times without fractions of seconds likewise."""
    for unit in ("datetime64[D]", "datetime64[s]"):
        coarse = values.astype(unit)
        if bool(np.all(coarse == values)):
            values = coarse
            break
    return tuple(text.replace("T", " ") for text in np.datetime_as_string(values).tolist())


def write_durations(values: npt.NDArray[np.timedelta64]) -> tuple[str, ...]:
    """Write durations as days alone where all are whole days, and else with the time of day that is left."""
    import pandas as pd

    days = bool(np.all(values.astype("timedelta64[D]") == values))
    texts = tuple(map(str, pd.TimedeltaIndex(values)))
    return tuple(text.removesuffix(" 00:00:00") for text in texts) if days else texts
