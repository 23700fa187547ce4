"""The memory of a design as JSON and arrays: factor levels, what transformations learned, contrasts and columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from multilevel.data.frames import column_from_values
from multilevel.data.levels import CombinedLevels, Levels
from multilevel.data.times import zone_name
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.formula.coding import CodedColumn
from multilevel.formula.deparse import deparse
from multilevel.formula.encoder import DesignEncoder, DroppedColumns, GroupEncoder, RandomEncoder
from multilevel.formula.grammar import Formula, insert_constants, parse_formula
from multilevel.formula.remembered import is_remembered
from multilevel.formula.splines import OrthogonalPolynomials, SplineBasis
from multilevel.formula.syntax import R_CONSTANTS, Constant, Node, parse_expression, walk

MAX_DEGREE = 100
"""The highest degree of a spline; those of higher ones are not told apart in double precision."""

_NUMBERS = frozenset({*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float64"})
"""The types that a column of numbers can have."""

# ---- levels ------------------------------------------------------------------------------------------------------------


def store_levels(levels: Levels, name: str, writer: ArchiveWriter) -> dict[str, Any]:
    """Return levels as JSON, their numbers beside it."""
    if isinstance(levels, CombinedLevels):
        parts = [store_levels(part, f"{name}_{i}", writer) for i, part in enumerate(levels._parts)]
        positions = [
            writer.array(f"{name}_{i}_of", np.asarray(own, dtype=np.int64)) for i, own in enumerate(levels._positions)
        ]
        return {"kind": "combined", "parts": parts, "positions": positions}
    values = levels.values
    if isinstance(values, np.ndarray):
        column: dict[str, Any] = {} if levels.kind is None else {"column": levels.kind}
        if values.dtype.kind in "Mm":
            kind = "dates" if values.dtype.kind == "M" else "durations"
            whole = writer.array(name, values.astype(np.int64))
            return {"kind": kind, "type": str(values.dtype), "values": whole, **column}
        if values.dtype.kind == "i" or (values.dtype.kind == "u" and values.max(initial=0) <= np.iinfo(np.int64).max):
            return {"kind": "integers", "values": writer.array(name, values.astype(np.int64)), **column}
        if values.dtype.kind == "f":
            return {"kind": "floats", "values": writer.array(name, values.astype(np.float64)), **column}
        if values.dtype.kind == "b":
            return {"kind": "truth", "values": values.tolist()}
        if values.dtype.kind == "O" and (found := _store_spans(levels, name, writer)) is not None:
            return found
    # Others are known by their text, which is how new data are matched with them.
    return {"kind": "text", "values": list(levels.names)}


def _store_spans(levels: Levels, name: str, writer: ArchiveWriter) -> dict[str, Any] | None:
    """Return periods or intervals as JSON; None where the levels are neither."""
    import pandas as pd

    index = levels.labels()
    if isinstance(index, pd.PeriodIndex):
        return {"kind": "periods", "frequency": index.freqstr, "values": writer.array(name, np.asarray(index.asi8))}
    if isinstance(index, pd.IntervalIndex):
        ends = {side: column_from_values(side, getattr(index, side)) for side in ("left", "right")}
        sides = {side: Levels(end.values, end.zone) for side, end in ends.items() if isinstance(end.values, np.ndarray)}
        if len(sides) == 2:
            stored = {side: store_levels(own, f"{name}_{side}", writer) for side, own in sides.items()}
            return {"kind": "intervals", "closed": index.closed, **stored}
    return None


def restore_levels(stored: Any, reader: ArchiveReader) -> Levels:
    """Return the levels of JSON."""
    kind = stored["kind"]
    if kind == "combined":
        parts = [restore_levels(part, reader) for part in stored["parts"]]
        positions = [reader.array(name, "i", 1) for name in stored["positions"]]
        if not parts or len(parts) != len(positions) or len({len(own) for own in positions}) != 1:
            raise ValueError("combined levels do not fit together")
        for part, own in zip(parts, positions, strict=True):
            require(own.size == 0 or (own.min() >= 0 and own.max() < len(part)), "combined levels are out of range")
        return CombinedLevels(parts, positions)
    column = stored.get("column")
    if kind in ("dates", "durations"):
        known = "datetime64[" if kind == "dates" else "timedelta64["
        require(str(stored["type"]).startswith(known), f"{kind} have an unknown type")
        require(column is None or zone_name(column) == column, "times have an unknown zone")
        return Levels(reader.array(stored["values"], "i", 1).astype(stored["type"]), column)
    if kind in ("integers", "floats"):
        require(column is None or column in _NUMBERS, "numbers have an unknown type")
        return Levels(reader.array(stored["values"], "i" if kind == "integers" else "f", 1), column)
    if kind in ("periods", "intervals"):
        return _restore_spans(stored, reader)
    if kind == "truth":
        return Levels(np.array([bool(value) for value in stored["values"]]))
    require(kind == "text", "levels are of an unknown kind")
    return Levels(np.array(texts(stored["values"]), dtype=object))


def _restore_spans(stored: Any, reader: ArchiveReader) -> Levels:
    import pandas as pd

    if stored["kind"] == "periods":
        periods: Any = pd.PeriodIndex  # its stubs lack what makes it of ordinals
        found: Any = periods.from_ordinals(reader.array(stored["values"], "i", 1), freq=str(stored["frequency"]))
    else:
        left, right = (restore_levels(stored[side], reader).labels() for side in ("left", "right"))
        found = pd.IntervalIndex.from_arrays(left, right, closed=stored["closed"])
    return Levels(np.asarray(found, dtype=object))


# ---- what transformations learned ----------------------------------------------------------------------------------------


def store_state(value: Any) -> Any:
    """Return what a transformation learned as JSON."""
    if isinstance(value, OrthogonalPolynomials):
        return {"polynomials": [list(value.alpha), list(value.norms)]}
    if isinstance(value, SplineBasis):
        return {"spline": [value.degree, list(value.inner), list(value.boundary), value.intercept, value.natural]}
    if isinstance(value, tuple):
        return {"tuple": [store_state(item) for item in value]}
    if isinstance(value, list):
        return [store_state(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float | np.number):
        return int(value) if isinstance(value, int | np.integer) else {"number": float(value).hex()}
    raise TypeError(f"what a transformation learned cannot be stored: {type(value).__name__}")


def restore_state(stored: Any) -> Any:
    """Return what a transformation learned."""
    if isinstance(stored, list):
        return [restore_state(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    ((kind, content),) = stored.items()
    if kind == "number":
        return float.fromhex(content)
    if kind == "tuple":
        return tuple(restore_state(item) for item in content)
    if kind == "polynomials":
        alpha, norms = (tuple(_finite(part)) for part in content)
        require(len(norms) == len(alpha) + 1, "a polynomial is incomplete")
        return OrthogonalPolynomials(alpha, norms)
    require(kind == "spline", "a transformation is of an unknown kind")
    degree, inner, boundary, intercept, natural = content
    knots, (low, high) = _finite(inner), _finite(boundary)
    require(0 < int(degree) <= MAX_DEGREE and low < high and knots == sorted(knots), "a spline is damaged")
    return SplineBasis(int(degree), tuple(knots), (low, high), bool(intercept), bool(natural))


def _restore_states(stored: Any) -> dict[str, Any]:
    """Return what the transformations of a design learned, by their text."""
    found = {str(text): restore_state(value) for text, value in stored}
    for text, value in found.items():
        require(is_remembered(parse_expression(text), value), f"what {text} learned is damaged")
    return found


# ---- the encoder -------------------------------------------------------------------------------------------------------


def store_encoder(encoder: DesignEncoder, groups: dict[str, int], writer: ArchiveWriter) -> dict[str, Any]:
    """Return the memory of a design as JSON; `groups` has the places of the stored grouping factors."""
    return {
        "fixed": [_store_column(column) for column in encoder.fixed],
        "random": [
            {"label": term.label, "columns": [_store_column(column) for column in term.columns], "group": term.group}
            for term in encoder.random
        ],
        "groups": {
            name: {"members": [deparse(node) for node in group.members], "levels": groups[name]}
            for name, group in encoder.groups.items()
        },
        "nodes": {text: deparse(node) for text, node in encoder.nodes.items()},
        "levels": [
            [text, store_levels(levels, f"levels/{i}", writer)]
            for i, (text, levels) in enumerate(encoder.levels.items())
        ],
        "matrices": [
            [text, kind, writer.array(f"contrasts/{i}", np.asarray(matrix, dtype=np.float64))]
            for i, ((text, kind), matrix) in enumerate(encoder.matrices.items())
        ],
        "offsets": [deparse(node) for node in encoder.offsets],
        "response": deparse(encoder.response),
        "state": [[text, store_state(value)] for text, value in encoder.state.items()],
        "constants": sorted(spelled_constants(encoder)),
        "dropped": None
        if encoder.dropped is None
        else {
            "columns": [_store_column(column) for column in encoder.dropped.columns],
            "weights": writer.array("dropped/weights", encoder.dropped.weights),
            "sizes": writer.array("dropped/sizes", encoder.dropped.sizes),
        },
    }


def restore_encoder(stored: Any, levels: list[Levels], reader: ArchiveReader) -> DesignEncoder:
    """Return the memory of a design."""
    known = known_constants(stored)

    def read(text: str) -> Node:
        return insert_constants(parse_expression(text), known)

    return DesignEncoder(
        fixed=tuple(_restore_column(column) for column in stored["fixed"]),
        random=tuple(
            RandomEncoder(
                str(term["label"]), tuple(_restore_column(column) for column in term["columns"]), str(term["group"])
            )
            for term in stored["random"]
        ),
        groups={
            name: GroupEncoder(name, tuple(map(read, texts(group["members"]))), levels[int(group["levels"])])
            for name, group in stored["groups"].items()
        },
        nodes={text: read(str(written)) for text, written in stored["nodes"].items()},
        levels={str(text): restore_levels(own, reader) for text, own in stored["levels"]},
        matrices={(str(text), str(kind)): reader.array(name, "f", 2) for text, kind, name in stored["matrices"]},
        offsets=tuple(map(read, texts(stored["offsets"]))),
        response=read(str(stored["response"])),
        state=_restore_states(stored["state"]),
        dropped=None if stored.get("dropped") is None else _restore_dropped(stored["dropped"], reader),
    )


def restore_formula(manifest: Any) -> Formula:
    """Return the formula of a stored fit, with the constants that it had."""
    known = known_constants(manifest["encoder"] or {})
    return parse_formula(str(manifest["formula"])).with_constants(frozenset(R_CONSTANTS) - known.keys())


def spelled_constants(encoder: DesignEncoder) -> set[str]:
    """Return the names that stand for constants in the expressions of a design, such as ``pi``."""
    nodes = [*encoder.nodes.values(), *encoder.offsets, encoder.response]
    nodes += [member for group in encoder.groups.values() for member in group.members]
    return {part.spelled for node in nodes for part in walk(node) if isinstance(part, Constant) and part.spelled}


def known_constants(stored: Any) -> dict[str, float | bool]:
    """Return what the names stand for that a stored design has as constants."""
    return {name: R_CONSTANTS[name] for name in texts(stored.get("constants", []))}


def _restore_dropped(stored: Any, reader: ArchiveReader) -> DroppedColumns:
    columns = tuple(_restore_column(column) for column in stored["columns"])
    weights, sizes = reader.array(stored["weights"], "f", 2), reader.array(stored["sizes"], "f", 1)
    require(weights.shape[1] == sizes.size == len(columns) > 0, "the dropped columns are incomplete")
    require(bool(np.isfinite(weights).all() and np.isfinite(sizes).all()), "the dropped columns are damaged")
    return DroppedColumns(columns, weights, sizes)


def _store_column(column: CodedColumn) -> list[Any]:
    return [column.name, [list(piece) for piece in column.pieces], column.term]


def _restore_column(stored: Any) -> CodedColumn:
    name, pieces, term = stored
    return CodedColumn(str(name), tuple((str(text), str(kind), int(index)) for text, kind, index in pieces), int(term))


# ---- checks ------------------------------------------------------------------------------------------------------------


def require(condition: bool | np.bool_, what: str) -> None:
    """Refuse what does not hold in a sound file."""
    if not condition:
        raise ValueError(what)


def texts(values: Any) -> list[str]:
    """Return a list of texts, checked."""
    require(isinstance(values, list) and all(isinstance(value, str) for value in values), "a list of names is damaged")
    found: list[str] = values
    return found


def _finite(values: Any) -> list[float]:
    numbers = [float(value) for value in values]
    require(all(map(math.isfinite, numbers)), "a number is not finite")
    return numbers
