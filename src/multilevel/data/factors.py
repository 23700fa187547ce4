"""Factors: columns turned into level codes, in R's order of levels, without a Python object per row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from multilevel.data.levels import CombinedLevels, Levels, level_text
from multilevel.data.times import read_on
from multilevel.errors import DataError

Codes = npt.NDArray[np.int32]
_Integer = TypeVar("_Integer", bound=np.integer[Any])

MISSING = -1
# A lookup table is used where the range of an integer column is at most this many times its length (or this small).
_TABLE_PER_ROW = 4
_TABLE_ALWAYS = 1 << 16
# Kinds of Python objects, as pandas names them, that have an order.
_ORDERED = frozenset({"string", "integer", "floating", "bytes", "period", "interval", "timedelta", "datetime", "date"})
# Numbers nearer to each other than this, relatively, can have one text of fifteen digits.
_SAME_TEXT = 1e-14
# Usually the first rows already show every level of a factor with few of them.
_GLANCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A categorical variable.

    Attributes
    ----------
    codes
        For each row the position of its level, or -1 where the value is missing.
    levels
        The levels in order: sorted for text and numbers, as given for categorical columns.
    ordered
        Whether the order has a meaning (then polynomial contrasts are the default).
    logical
        Whether the levels are FALSE and TRUE, of which neither is dropped when it does not occur.
    has_missing
        Whether any code is -1.
    exact
        Whether every level is known to occur.
    """

    codes: Codes
    levels: Levels
    ordered: bool = False
    logical: bool = False
    has_missing: bool = False
    exact: bool = False

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.levels)

    def keep_rows(self, kept: npt.NDArray[np.bool_]) -> Factor:
        """Return the factor for some of its rows; every level stays."""
        codes = self.codes[kept]
        missing = self.has_missing and bool((codes < 0).any())
        return Factor(codes, self.levels, self.ordered, self.logical, missing)

    def drop_unused(self) -> Factor:
        """Return the factor without the levels that do not occur."""
        if self.logical or self.exact:
            return self
        n_levels = len(self.levels)
        used = np.zeros(n_levels + 1, dtype=np.bool_)  # the last place takes the code -1
        used[self.codes[:_GLANCE]] = True
        if not used[:n_levels].all() and len(self.codes) > _GLANCE:
            counts = np.bincount(self.codes + 1 if self.has_missing else self.codes, minlength=n_levels + 1)
            used = np.roll(counts > 0, -1) if self.has_missing else counts > 0
        if used[:n_levels].all():
            return self
        positions = np.flatnonzero(used[:n_levels])
        table = np.full(n_levels + 1, MISSING, dtype=np.int32)
        table[positions] = np.arange(len(positions), dtype=np.int32)
        return Factor(table[self.codes], self.levels.take(positions), self.ordered, False, self.has_missing, True)


def factorize(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None) -> Factor:
    """Turn an array into a factor with its distinct values, sorted, as levels.

    Text is sorted by code points, as R does in the C locale, so that the order is the same on every machine.

    Parameters
    ----------
    values
        Numbers, truth values, dates or text. NaN, NaT and None are missing.
    missing
        Further rows without a value.
    """
    kind = values.dtype.kind
    if kind == "b":
        codes = values.astype(np.int32)
        return _mark(Factor(codes, Levels(np.array([False, True])), logical=True), missing)
    if kind in "iu":
        return _of_kind(_factorize_integers(values, missing), str(values.dtype))
    if kind == "f":
        # Whole numbers are often identifiers that only a missing value made floats, and are treated as such.
        whole = _as_integers(values, missing)
        if whole is not None:
            return _of_kind(_factorize_integers(*whole), "float64")
    return _factorize_hashed(values, missing)


def factor_from_codes(
    codes: npt.NDArray[Any], levels: Levels, *, ordered: bool = False, missing: npt.NDArray[np.bool_] | None = None
) -> Factor:
    """Make a factor of codes that a data frame already holds; negative codes are missing."""
    compact = codes.astype(np.int32, copy=False)
    lowest = int(compact.min()) if len(compact) else 0
    return _mark(Factor(compact, levels, ordered, has_missing=lowest < 0), missing)


def combine(factors: list[Factor]) -> Factor:
    """Return the factor of the combinations that occur, the first factor's levels varying slowest."""
    if len(factors) == 1:
        return factors[0]
    total = 1
    for factor in factors:
        total *= max(len(factor.levels), 1)
    if total >= 1 << 62:
        # Too many possible combinations to number: number the ones that occur, pair by pair.
        head = combine(factors[:2])
        return combine([head, *factors[2:]])
    keys = factors[0].codes.astype(np.int64)
    missing = factors[0].codes < 0 if factors[0].has_missing else None
    for factor in factors[1:]:
        keys *= len(factor.levels)
        keys += factor.codes
        if factor.has_missing:
            absent = factor.codes < 0
            missing = absent if missing is None else missing | absent
    if missing is not None:
        keys[missing] = 0
    joint = _factorize_integers(keys, missing)
    rest = np.asarray(joint.levels.values, dtype=np.int64)
    positions: list[npt.NDArray[np.int64]] = []
    for factor in reversed(factors):
        size = max(len(factor.levels), 1)
        positions.append(rest % size)
        rest = rest // size
    levels = CombinedLevels([factor.levels for factor in factors], positions[::-1])
    return Factor(joint.codes, levels, has_missing=joint.has_missing, exact=joint.exact)


def relevel_factor(factor: Factor, ref: str) -> Factor:
    """Return a factor with one level put first, where treatment contrasts have their reference."""
    names = factor.levels.names
    if ref not in names:
        shown = ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")
        raise DataError(f"The level {ref!r} cannot be put first: the levels are {shown}.")
    first = names.index(ref)
    order = np.array([first, *(i for i in range(len(names)) if i != first)], dtype=np.intp)
    table = np.empty(len(names) + 1, dtype=np.int32)
    table[order] = np.arange(len(names), dtype=np.int32)
    table[-1] = MISSING
    return Factor(table[factor.codes], factor.levels.take(order), factor.ordered, has_missing=factor.has_missing)


def codes_for(factor: Factor, levels: Levels) -> Codes:
    """Return a factor's codes with respect to other levels; -1 where a level is not among them."""
    if factor.levels is levels:
        return factor.codes
    table = np.append(positions(factor.levels, levels), np.int32(MISSING))
    return table[factor.codes]


def positions(levels: Levels, among: Levels) -> Codes:
    """Return where each level is among others, or -1.

    Numbers, times and durations are compared by value, since 1e5 may be written in two ways and a time with or without
    its hour; what is not found so, by its text. Combinations are matched part by part, since their texts can be alike.
    """
    if (
        isinstance(levels, CombinedLevels)
        and isinstance(among, CombinedLevels)
        and len(levels.parts) == len(among.parts)
    ):
        return _positions_of_combinations(levels, among)
    found = _positions_by_value(levels, among)
    if found is None:
        return _positions_by_text(levels, among)
    lacking = np.flatnonzero(found < 0)
    if len(lacking) and any(np.asarray(own.values).dtype.kind == "f" for own in (levels, among)):
        found[lacking] = _positions_by_text(levels.take(lacking), among)
    return found


def _positions_of_combinations(levels: CombinedLevels, among: CombinedLevels) -> Codes:
    new = [
        positions(own, known)[at].tolist()
        for own, known, at in zip(levels.parts, among.parts, levels.positions, strict=True)
    ]
    place = {members: i for i, members in enumerate(zip(*(at.tolist() for at in among.positions), strict=True))}
    return np.array([place.get(members, MISSING) for members in zip(*new, strict=True)], dtype=np.int32)


def _positions_by_value(levels: Levels, among: Levels) -> Codes | None:
    new, known = levels.values, among.values
    if not (isinstance(new, np.ndarray) and isinstance(known, np.ndarray) and len(known)):
        return None
    kinds = {new.dtype.kind, known.dtype.kind}
    if not (kinds <= set("iuf") or kinds == {"M"} or kinds == {"m"}):
        return None
    if kinds == {"M"}:
        new = read_on(new, levels.kind, among.kind)
    order = np.argsort(known, kind="stable")
    places = order[np.minimum(np.searchsorted(known, new, sorter=order), len(known) - 1)]
    return np.where(known[places] == new, places, MISSING).astype(np.int32)


def _positions_by_text(levels: Levels, among: Levels) -> Codes:
    known, values = among.known_texts(), levels.values
    if among.is_logical:
        known |= {"False": known["FALSE"], "True": known["TRUE"]}
    elif levels.is_logical and "TRUE" not in known and "FALSE" not in known:
        # Text of truth values as Python writes it.
        known |= {text.upper(): place for text, place in known.items() if text in ("True", "False")}
    found = [known.get(name, MISSING) for name in levels.names]
    if isinstance(values, np.ndarray) and values.dtype.kind in "Mm":
        # A time may be written with its hour and without it.
        alone = [level_text(value) for value in values]
        found = [
            at if at >= 0 else known.get(text, known.get(f"{text} 00:00:00", MISSING))
            for at, text in zip(found, alone, strict=True)
        ]
    return np.array(found, dtype=np.int32)


def _of_kind(factor: Factor, kind: str) -> Factor:
    """Return a factor of numbers whose levels remember the type of the column."""
    levels = factor.levels
    own = str(levels.values.dtype) if isinstance(levels.values, np.ndarray) else ""
    return factor if own == kind else replace(factor, levels=Levels(levels.values, kind))


def _mark(factor: Factor, missing: npt.NDArray[np.bool_] | None) -> Factor:
    if missing is None or not missing.any():
        return factor
    codes = factor.codes.copy()
    codes[missing] = MISSING
    return Factor(codes, factor.levels, factor.ordered, factor.logical, True, factor.exact)


def _as_integers(
    values: npt.NDArray[np.floating[Any]], missing: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None] | None:
    """Return floats that are all whole numbers as integers, with a mask of the missing; None when they are not."""
    absent = np.isnan(values)
    if not absent.any():
        absent_or_none = missing
    else:
        absent_or_none = absent if missing is None else absent | missing
        values = np.where(absent_or_none, 0.0, values)
    if len(values) == 0 or not (np.abs(values).max() < 2.0**53):
        return None
    whole = values.astype(np.int64)
    return (whole, absent_or_none) if bool((whole == values).all()) else None


def _factorize_integers(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None) -> Factor:
    # Codes of rows that count as missing are overwritten at the end, so they must not make levels here.
    present = values if missing is None else values[~missing]
    if len(present) == 0:
        return Factor(np.full(len(values), MISSING, dtype=np.int32), Levels(()), has_missing=len(values) > 0)
    low, high = int(present.min()), int(present.max())
    span = high - low + 1
    if span > max(_TABLE_ALWAYS, _TABLE_PER_ROW * len(values)):
        return _factorize_hashed(values, missing)
    # Offsets from the smallest value fit in the value's own type except near the ends of its range.
    fits = values.dtype.itemsize >= 4 and not (values.dtype.kind == "i" and low < 0 and high - low > 2**31 - 1)
    offsets = np.subtract(values, low) if fits else values.astype(np.int64) - low
    if low == 0:
        offsets = values
    if missing is not None:
        offsets = np.where(missing, 0, offsets)
    used = np.zeros(span, dtype=np.bool_)
    used[offsets if missing is None else offsets[~missing]] = True
    if used.all():
        codes = offsets.astype(np.int32)
        places: npt.NDArray[np.intp] = np.arange(span)
    else:
        places = np.flatnonzero(used)
        table = np.empty(span, dtype=np.int32)
        table[places] = np.arange(len(places), dtype=np.int32)
        codes = table[offsets]
    wide = np.uint64 if high > np.iinfo(np.int64).max else np.int64
    levels = places.astype(wide) + wide(low)
    factor = Factor(codes, Levels(levels), exact=True)
    return _mark(factor, missing)


def _factorize_hashed(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None) -> Factor:
    import pandas as pd

    if values.dtype.kind in "US":
        values = values.astype(object)
    if missing is not None and values.dtype.kind == "O":
        values = values.copy()
        values[missing] = None
    found, uniques = pd.factorize(values)
    if values.dtype.kind in "Mm":
        uniques = uniques.astype(values.dtype)  # pandas has no days
    kind = pd.api.types.infer_dtype(uniques, skipna=False) if values.dtype.kind == "O" else ""
    # Values without an order among themselves take that of their text.
    ordered = values.dtype.kind != "O" or kind in _ORDERED
    texts = uniques if ordered else np.array([level_text(value) for value in uniques], dtype=object)
    order = np.argsort(texts, kind="stable")
    rank = np.empty(len(order) + 1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    uniques = uniques[order]
    if not ordered:
        uniques, rank = _merge_by_text(uniques, texts[order], rank)
    elif values.dtype.kind == "f" and bool((np.diff(uniques) <= _SAME_TEXT * np.abs(uniques[1:])).any()):
        uniques, rank = _merge_by_text(uniques, np.array(Levels(uniques).names, dtype=object), rank)
    rank[-1] = MISSING
    codes = rank[found]
    lacks = bool((codes < 0).any())
    if missing is None or values.dtype.kind == "O":
        return Factor(codes, Levels(uniques), has_missing=lacks, exact=True)
    return _mark(Factor(codes, Levels(uniques), has_missing=lacks), missing).drop_unused()


def _merge_by_text(
    values: npt.NDArray[Any], texts: npt.NDArray[np.object_], rank: Codes
) -> tuple[npt.NDArray[Any], Codes]:
    """Make sorted levels with one text one level, as they are in R; where their types differ it is known by its text."""
    first = np.append(True, texts[1:] != texts[:-1])
    if first.all():
        return values, rank
    place = (np.cumsum(first) - 1).astype(np.int32)
    rank[:-1] = place[rank[:-1]]
    several = len({type(value) for value in values.tolist()}) > 1
    return (texts if several else values)[first], rank
