"""How the levels of a grouping factor are related, as arrays and JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require, texts
from multilevel.formula.design import LevelRelation
from multilevel.formula.relationship import Relationship, relationships


def store_relation(relation: LevelRelation | None, name: str, writer: ArchiveWriter) -> dict[str, Any] | None:
    """Return a grouping factor's relation as JSON, its numbers beside it."""
    if relation is None:
        return None
    return {
        "lower": writer.array(f"{name}_lower", relation.lower),
        "others": list(relation.others),
        "across": writer.array(f"{name}_across", relation.across),
    }


def restore_relation(stored: Any, n_levels: int, reader: ArchiveReader) -> LevelRelation | None:
    """Return the relation of a grouping factor, checked."""
    if stored is None:
        return None
    lower, across = reader.array(stored["lower"], "f", 2), reader.array(stored["across"], "f", 2)
    others = tuple(texts(stored["others"]))
    require(lower.shape == (n_levels, n_levels), "the relationship of levels has the wrong size")
    require(across.shape == (len(others), n_levels), "the relationship of levels has the wrong size")
    finite = bool(np.isfinite(lower).all() and np.isfinite(across).all())
    require(finite and bool((np.diag(lower) > 0).all()), "the relationship of levels is damaged")
    require(not np.triu(lower, 1).any(), "the relationship of levels is damaged")
    lower.flags.writeable = False
    return LevelRelation(lower, others, across)


def store_relationships(given: Any, writer: ArchiveWriter) -> list[list[Any]]:
    """Return the argument `relationship` of `lmer`: names and labels, the matrices beside them."""
    return [
        [name, list(known.labels), writer.array(f"relationships/{i}", known.matrix)]
        for i, (name, known) in enumerate(relationships(given).items())
    ]


def restore_relationships(stored: Any, reader: ArchiveReader) -> dict[str, Relationship] | None:
    """Return the argument `relationship` of `lmer`."""
    found = {}
    for name, labels, matrix in stored:
        values = reader.array(matrix, "f", 2)
        require(values.shape == (len(texts(labels)),) * 2, "a relationship matrix has the wrong size")
        values.flags.writeable = False
        found[str(name)] = Relationship(values, tuple(labels))
    return found or None
