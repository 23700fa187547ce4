"""One column of a frame, and columns made of Python objects."""

from __future__ import annotations

import decimal
import numbers
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor, factorize
from multilevel.data.levels import Levels, level_text
from multilevel.data.times import NUMBER, count, describe_scale, read_on, scale_of, split_scale
from multilevel.errors import DataError, DataTypeError, MultilevelWarning

BoolArray = npt.NDArray[np.bool_]

_NESTED = (list, dict, set, frozenset, np.ndarray)
"""Types of values that hold several."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of a frame.

    Attributes
    ----------
    name
        Its name.
    values
        A one-dimensional array of numbers, truth values, dates, times or durations, or a `Factor` for text and
        categories. Times are what the clock of their zone shows.
    missing
        The rows without a value where the array itself cannot say so (NaN and NaT do), or None.
    zone
        The name of the times' zone, or None.
    unit
        What dates and times count (`multilevel.data.times`), or None for what their type counts.
    is_plain
        Whether the levels are text or periods as they came, rather than categories.
    """

    name: str
    values: npt.NDArray[Any] | Factor
    missing: BoolArray | None = None
    zone: str | None = None
    unit: str | None = None
    is_plain: bool = False

    @property
    def is_numeric(self) -> bool:
        """Whether the column holds numbers (truth values are not)."""
        return isinstance(self.values, np.ndarray) and self.values.dtype.kind in "iuf"

    @property
    def scale(self) -> str | None:
        """What the column's numbers count, with the zone of times; None for text, categories and truth values."""
        if isinstance(self.values, Factor) or self.values.dtype.kind == "b":
            return None
        return scale_of(self.values, self.zone)

    def as_factor(self) -> Factor:
        """Return the column as a factor, every level as it came."""
        if isinstance(self.values, Factor):
            return self.values
        found = factorize(self.values, self.missing)
        return found if self.zone is None else replace(found, levels=Levels(found.levels.values, self.zone))

    def as_numbers(self) -> npt.NDArray[Any]:
        """Return the numbers, NaN where missing.

        Dates count days, times and durations seconds.
        """
        values = self.values
        if isinstance(values, Factor):
            raise DataTypeError(f"The column {self.name!r} holds text or categories where numbers are needed.")
        if values.dtype.kind in "Mm":
            values = count(values, self.unit)
        if self.missing is not None:
            values = values.astype(np.float64)
            values[self.missing] = np.nan
        return values

    def counted_as(self, scale: str) -> Column:
        """Return the column so that it counts what another column of the same variable counts.

        Numbers, truth values, text and categories stay as they are.

        Raises
        ------
        DataTypeError
            The columns cannot be brought together, as dates and durations cannot.
        """
        own = self.scale
        if isinstance(self.values, Factor) or own is None or own in (scale, NUMBER):
            return self
        (unit, zone), own_unit = split_scale(scale), split_scale(own)[0]
        if NUMBER in (unit, own_unit) or "duration" in (unit, own_unit):
            raise DataTypeError(
                f"{self.name!r} holds {describe_scale(own)} in the new data and {describe_scale(scale)} in the fitted data;"
                " give them in the type that was fitted."
            )
        return replace(self, values=read_on(self.values, self.zone, zone), zone=zone, unit=unit)


def text_column(name: str, factor: Factor) -> Column:
    """Make a column of text."""
    return Column(name, factor, is_plain=True)


def column_of_objects(name: str, array: npt.NDArray[np.object_], missing: BoolArray | None) -> Column:
    """Look at Python objects: text stays text, and numbers, truth values, dates and durations become arrays.

    Raises
    ------
    DataTypeError
        The objects are none of these, or of types that cannot be brought together.
    DataError
        A text is not valid.
    """
    import pandas as pd

    kind = pd.api.types.infer_dtype(array, skipna=True)
    absent = pd.isna(array)
    missing = absent if missing is None else absent | missing
    gone = missing if missing.any() else None
    if missing.all():
        return Column(name, np.full(len(array), np.nan))
    if kind == "string":
        return text_column(name, _text_factor(name, array, gone))
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        filled = np.where(missing, 0 if kind == "integer" else np.nan, array)
        try:
            return Column(name, filled.astype(np.int64 if kind == "integer" else np.float64), gone)
        except OverflowError:
            return Column(name, factorize(array, gone))
    if kind == "boolean":
        return Column(name, np.where(missing, False, array).astype(np.bool_), gone)
    if kind in ("datetime64", "datetime", "date"):
        return _times(name, array, missing, dates=kind == "date")
    if kind in ("timedelta64", "timedelta"):
        return Column(name, pd.to_timedelta(pd.Series(_emptied(array, missing))).to_numpy())
    if kind == "bytes":
        return text_column(name, _text_factor(name, _decoded(name, array, missing), gone))
    if kind in ("period", "interval", "categorical"):
        return Column(name, factorize(array, gone), is_plain=kind == "period")
    return _of_several_types(name, array, missing)


def _emptied(array: npt.NDArray[np.object_], missing: BoolArray) -> npt.NDArray[np.object_]:
    """Return objects with None for all that is missing."""
    found = array.copy()
    found[missing] = None
    return found


def _times(name: str, array: npt.NDArray[np.object_], missing: BoolArray, *, dates: bool) -> Column:
    import pandas as pd

    from multilevel.data.times import zone_name

    present = array[~missing]
    if dates and all(type(value).__name__ == "date" for value in present):
        return Column(name, _emptied(array, missing).astype("datetime64[D]"))
    zones = [getattr(value, "tzinfo", None) for value in present]
    aware = sum(zone is not None for zone in zones)
    if 0 < aware < len(zones):
        raise DataTypeError(
            f"The column {name!r} holds times with a time zone and times without one; give all of them a zone, or none."
        )
    # Times of several zones are read on one clock.
    several = len({str(zone) for zone in zones}) > 1
    try:
        found = pd.to_datetime(pd.Series(_emptied(array, missing)), utc=several)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataTypeError(f"The column {name!r} holds times that cannot be read: {error}.") from error
    zone = getattr(found.dtype, "tz", None)
    local = found if zone is None else found.dt.tz_localize(None)
    return Column(name, local.to_numpy().astype("datetime64[us]"), zone=zone_name(zone))


def _text_factor(name: str, array: npt.NDArray[np.object_], missing: BoolArray | None) -> Factor:
    found = factorize(array, missing)
    for text in found.levels.names:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(
                f"The column {name!r} holds {text!r}, which is no valid text: it has half of a character in it; correct how the"
                " data are read."
            )
    return found


def _decoded(name: str, array: npt.NDArray[np.object_], missing: BoolArray) -> npt.NDArray[np.object_]:
    """Return bytes as text."""
    found = array.copy()
    try:
        found[~missing] = [value.decode("utf-8") for value in array[~missing]]
    except UnicodeDecodeError as error:
        raise DataTypeError(f"The column {name!r} holds bytes that are no text; decode them first.") from error
    return found


def _of_several_types(name: str, array: npt.NDArray[np.object_], missing: BoolArray) -> Column:
    """Make a column of values without a common type: numbers where all are numbers, and else text, as in R."""
    present = array[~missing]
    types = set(map(type, present))
    nested = next((kind for kind in types if issubclass(kind, _NESTED) or hasattr(kind, "iloc")), None)
    if nested is not None:
        raise DataTypeError(
            f"The column {name!r} holds values of type {nested.__name__}, which cannot be used in a model; give it one value"
            " per row."
        )
    if any(issubclass(kind, complex | np.complexfloating) for kind in types):
        raise DataTypeError(f"The column {name!r} holds complex numbers, which cannot be used in a model.")
    if all(issubclass(kind, numbers.Real | decimal.Decimal | np.bool_) for kind in types):
        filled = np.full(len(array), np.nan)
        try:
            filled[~missing] = [float(value) for value in present]
        except (OverflowError, ValueError) as error:
            raise DataTypeError(f"The column {name!r} holds numbers that are no doubles: {error}.") from error
        return Column(name, filled)
    texts = np.full(len(array), None, dtype=object)
    if len(types) == 1 and not types <= {tuple}:
        try:
            return Column(name, factorize(_emptied(array, missing)))
        except TypeError as error:
            raise DataTypeError(
                f"The column {name!r} holds values of type {next(iter(types)).__name__}, which cannot be used in a model."
            ) from error
    texts[~missing] = _common_texts(name, present)
    return text_column(name, _text_factor(name, texts, missing if missing.any() else None))


def _common_texts(name: str, present: npt.NDArray[np.object_]) -> list[str]:
    """Write values of several types as text, so that 1 and "1" are one level, and True and "True"."""
    words = {value for value in present if isinstance(value, str)}
    spelling = {True: "True", False: "False"} if words & {"True", "False"} else {True: "TRUE", False: "FALSE"}
    texts = [spelling[bool(v)] if isinstance(v, bool | np.bool_) else level_text(v) for v in present]
    known = {
        float(value) for value in present if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    }
    written = {text for text, value in zip(texts, present, strict=True) if not isinstance(value, str)}
    for word in sorted(words - written):
        value = number_in(word)
        if value is not None and value in known:
            warn_caller(
                f"The column {name!r} holds numbers and text; the text {word!r} and the number {level_text(value)} are taken as two"
                " levels. Make the column all text or all numbers.",
                MultilevelWarning,
            )
            break
    return texts


def number_in(text: str) -> float | None:
    """Return the number that a text is, or None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in text else None
