"""Whether the parts of a stored design belong together, checked before anything is made of them."""

from __future__ import annotations

from multilevel.export.stored_formula import require
from multilevel.formula.coding import INDICATOR, NUMERIC, CodedColumn
from multilevel.formula.design import Design
from multilevel.formula.encoder import DesignEncoder


def check_design(design: Design) -> None:
    """Refuse a design whose names, terms and memory are not those of its formula."""
    require(
        design.term_labels == tuple(term.label for term in design.formula.term_list.terms),
        "the terms are not those of the formula",
    )
    assigned = design.fixed_assign
    require(len(design.fixed_names) == len(assigned) == design.n_fixed, "the names of the fixed effects are incomplete")
    require(
        list(assigned) == sorted(assigned) and all(0 <= at <= len(design.term_labels) for at in assigned),
        "a fixed effect belongs to no term",
    )
    require(
        [term.label for term in design.random] == [str(bar) for bar in design.formula.plain_bars],
        "the random-effects terms are not those of the formula",
    )
    if design.encoder is not None:
        _check_encoder(design, design.encoder)


def _check_encoder(design: Design, encoder: DesignEncoder) -> None:
    require(
        [column.term for column in encoder.fixed] == list(design.fixed_assign),
        "the design's memory has other fixed effects",
    )
    require(len(encoder.random) == len(design.random), "the design's memory has other random-effects terms")
    for made, term in zip(encoder.random, design.random, strict=True):
        known = encoder.groups.get(made.group)
        require(
            made.label == term.label and len(made.columns) == len(term.names) and made.group == term.factor.name,
            "the design's memory has other random-effects terms",
        )
        require(
            known is not None and known.levels is term.factor.level_set,
            "the design's memory has other grouping factors",
        )
    require(
        all(text in encoder.nodes for text in encoder.levels), "the design's memory has levels of an unknown variable"
    )
    for (text, _), matrix in encoder.matrices.items():
        require(
            text in encoder.levels and matrix.shape[0] == len(encoder.levels[text]), "contrasts do not fit their factor"
        )
    gone = () if encoder.dropped is None else encoder.dropped.columns
    require(
        encoder.dropped is None
        or (len(gone), len(encoder.dropped.weights)) == (len(design.dropped_names), design.n_fixed),
        "the design's memory has other dropped columns",
    )
    for column in (*encoder.fixed, *gone, *(column for term in encoder.random for column in term.columns)):
        _check_pieces(column, encoder)


def _check_pieces(column: CodedColumn, encoder: DesignEncoder) -> None:
    """Refuse a column that is no product of the variables, indicators and contrasts that the memory has."""
    for text, kind, index in column.pieces:
        require(text in encoder.nodes and index >= 0, f"the column {column.name!r} is made of an unknown variable")
        levels = encoder.levels.get(text)
        if kind == NUMERIC:
            require(levels is None, f"the column {column.name!r} takes a factor for numbers")
            continue
        require(levels is not None, f"the column {column.name!r} takes numbers for a factor")
        matrix = encoder.matrices.get((text, kind))
        width = 0 if levels is None else len(levels) if kind == INDICATOR else 0 if matrix is None else matrix.shape[1]
        require(index < width, f"the column {column.name!r} is made of unknown contrasts")
