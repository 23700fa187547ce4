"""The memory of a design as JSON and arrays: factor levels, what transformations learned, contrasts and columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from multilevel.data.levels import CombinedLevels, Levels
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.formula.coding import CodedColumn
from multilevel.formula.deparse import deparse
from multilevel.formula.encoder import DesignEncoder, DroppedColumns, GroupEncoder, RandomEncoder
from multilevel.formula.splines import OrthogonalPolynomials, SplineBasis
from multilevel.formula.syntax import parse_expression

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
        if values.dtype.kind == "M":
            return {"kind": "dates", "type": str(values.dtype), "values": writer.array(name, values.astype(np.int64))}
        if values.dtype.kind == "i" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
            return {"kind": "integers", "values": writer.array(name, values.astype(np.int64))}
        if values.dtype.kind == "f":
            return {"kind": "floats", "values": writer.array(name, values.astype(np.float64))}
        if values.dtype.kind == "b":
            return {"kind": "truth", "values": values.tolist()}
    # Others are known by their text, which is how new data are matched with them.
    return {"kind": "text", "values": list(levels.names)}


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
    if kind == "dates":
        require(str(stored["type"]).startswith("datetime64["), "dates have an unknown type")
        return Levels(reader.array(stored["values"], "i", 1).astype(stored["type"]))
    if kind == "integers":
        return Levels(reader.array(stored["values"], "i", 1))
    if kind == "floats":
        return Levels(reader.array(stored["values"], "f", 1))
    if kind == "truth":
        return Levels(np.array([bool(value) for value in stored["values"]]))
    require(kind == "text", "levels are of an unknown kind")
    return Levels(np.array(texts(stored["values"]), dtype=object))


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
    low, high = _finite(boundary)
    return SplineBasis(int(degree), tuple(_finite(inner)), (low, high), bool(intercept), bool(natural))


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
    return DesignEncoder(
        fixed=tuple(_restore_column(column) for column in stored["fixed"]),
        random=tuple(
            RandomEncoder(
                str(term["label"]), tuple(_restore_column(column) for column in term["columns"]), str(term["group"])
            )
            for term in stored["random"]
        ),
        groups={
            name: GroupEncoder(
                name, tuple(map(parse_expression, texts(group["members"]))), levels[int(group["levels"])]
            )
            for name, group in stored["groups"].items()
        },
        nodes={text: parse_expression(str(written)) for text, written in stored["nodes"].items()},
        levels={str(text): restore_levels(own, reader) for text, own in stored["levels"]},
        matrices={(str(text), str(kind)): reader.array(name, "f", 2) for text, kind, name in stored["matrices"]},
        offsets=tuple(map(parse_expression, texts(stored["offsets"]))),
        response=parse_expression(str(stored["response"])),
        state={str(text): restore_state(value) for text, value in stored["state"]},
        dropped=None if stored.get("dropped") is None else _restore_dropped(stored["dropped"], reader),
    )


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
