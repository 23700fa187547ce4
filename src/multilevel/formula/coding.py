"""From terms to columns: which contrasts a factor gets in which term, and what the columns are called.

A column is a product of pieces, one per variable of its term; equal products are one and the same column, however many
terms use it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.data.labels import distinct
from multilevel.data.levels import Levels
from multilevel.errors import DataError
from multilevel.formula.contrasts import Contrast, make_contrast
from multilevel.formula.deparse import deparse
from multilevel.formula.terms import TermList
from multilevel.formula.values import Matrix, Variable
from multilevel.size_limits import beyond_limit, current_limits

FloatArray = npt.NDArray[np.float64]

NUMERIC, INDICATOR = "numeric", "indicator"

# A variable's text, how it is used (as numbers, as an indicator of a level, or by the contrasts of that name), and
# which of its columns or levels.
Piece = tuple[str, str, int]
Pieces = tuple[Piece, ...]
INTERCEPT_NAME = "(Intercept)"


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column of a design: its name, what it is a product of, and its term's position (0 for the intercept)."""

    name: str
    pieces: Pieces
    term: int


@dataclass(slots=True)
class Coding:
    """The variables of a design and how their factors are coded.

    Attributes
    ----------
    variables
        The evaluated variables, by their text.
    choices
        The contrasts asked for in the fixed part, by the text of the factor.
    matrices
        The contrast matrices in use that are no sets of indicators, by variable and by name of the contrasts.
    """

    variables: Mapping[str, Variable]
    choices: Mapping[str, Any]
    matrices: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    _contrasts: dict[tuple[str, bool], Contrast] = field(default_factory=dict)

    def code(self, terms: TermList, *, fixed: bool) -> tuple[CodedColumn, ...]:
        """List the columns of a term list.

        As in R, a factor is coded by contrasts in a term when the term without it is part of a term before it (or is
        the intercept's place), and by an indicator of each level otherwise; without an intercept the first factor
        gets indicators too. `fixed` says whether the contrasts asked for apply: as in lme4, they do not to the
        columns of random-effects terms.
        """
        columns = [CodedColumn(INTERCEPT_NAME, (), 0)] if terms.intercept else []
        earlier: list[frozenset[str]] = []
        spare_first_factor = not terms.intercept
        for position, term in enumerate(terms.terms, start=1):
            texts = [deparse(variable) for variable in term.variables]
            blocks = []
            for text in texts:
                others = frozenset(texts) - {text}
                marginal = not others or any(others <= before for before in earlier)
                if spare_first_factor and isinstance(self.variables[text], Factor):
                    spare_first_factor = False
                    marginal = False
                blocks.append(self._block(text, marginal=marginal, fixed=fixed))
            count = len(columns) + math.prod(map(len, blocks))
            if count > current_limits().columns:
                raise DataError(
                    f"The term {term.label!r} has {math.prod(map(len, blocks)):,} columns, which makes {count:,} in all:"
                    f" {beyond_limit('columns')}"
                )
            earlier.append(frozenset(texts))
            # The first variable's columns vary fastest.
            for combination in itertools.product(*reversed(blocks)):
                parts = combination[::-1]
                name = ":".join(label for label, _ in parts)
                columns.append(CodedColumn(name, tuple(sorted(piece for _, piece in parts)), position))
        return tuple(columns)

    def _block(self, text: str, *, marginal: bool, fixed: bool) -> list[tuple[str, Piece]]:
        """List the columns of one variable, each with its label."""
        value = self.variables[text]
        if isinstance(value, Matrix):
            if len(value.names) == 1:
                return [(text, (text, NUMERIC, 0))]
            return [(text + name, (text, NUMERIC, j)) for j, name in enumerate(value.names)]
        if not isinstance(value, Factor):
            return [(text, (text, NUMERIC, 0))]
        if not marginal:
            return [(text + name, (text, INDICATOR, j)) for j, name in enumerate(value.levels.names)]
        contrast = self._contrast(text, value, fixed=fixed)
        kind = f"contrast {'asked for' if fixed and text in self.choices else 'by default'}"
        block: list[tuple[str, Piece]] = []
        for j, (suffix, level) in enumerate(zip(contrast.suffixes, contrast.indicators, strict=True)):
            block.append((text + suffix, (text, INDICATOR, level) if level >= 0 else (text, kind, j)))
            if level < 0:
                self.matrices[text, kind] = contrast.matrix
        return block

    def _contrast(self, text: str, factor: Factor, *, fixed: bool) -> Contrast:
        key = (text, fixed and text in self.choices)
        if key not in self._contrasts:
            spec = self.choices[text] if key[1] else "poly" if factor.ordered else "treatment"
            self._contrasts[key] = make_contrast(spec, factor.levels.names, text)
        return self._contrasts[key]


def with_distinct_names(parts: Sequence[tuple[CodedColumn, ...]]) -> list[tuple[CodedColumn, ...]]:
    """Give a number to names that stand for other columns already, the parts of a formula taken in their order."""
    written = list(dict.fromkeys((column.name, column.pieces) for part in parts for column in part))
    shown = dict(zip(written, distinct([name for name, _ in written]), strict=True))
    return [tuple(replace(column, name=shown[column.name, column.pieces]) for column in part) for part in parts]


def fill_column(
    out: FloatArray,
    pieces: Pieces,
    variables: Mapping[str, Variable],
    matrices: Mapping[tuple[str, str], FloatArray],
) -> None:
    """Write the product of some pieces."""
    if not pieces:
        out.fill(1.0)
        return
    _fill_piece(out, pieces[0], variables, matrices)
    if len(pieces) > 1:
        buffer = np.empty_like(out)
        for piece in pieces[1:]:
            _fill_piece(buffer, piece, variables, matrices)
            out *= buffer


def _fill_piece(
    out: FloatArray,
    piece: Piece,
    variables: Mapping[str, Variable],
    matrices: Mapping[tuple[str, str], FloatArray],
) -> None:
    text, kind, index = piece
    value = variables[text]
    if isinstance(value, Matrix):
        if index >= value.values.shape[1]:
            raise DataError(f"{text!r} has {value.values.shape[1]} columns here, and more in the fitted model.")
        out[:] = value.values[:, index]
    elif not isinstance(value, Factor):
        out[:] = value
    else:
        if kind == INDICATOR:
            out[:] = value.codes == index
        else:
            out[:] = matrices[text, kind][:, index][value.codes]
        if value.has_missing:
            out[value.codes < 0] = np.nan


def match_levels(text: str, factor: Factor, levels: Levels) -> Factor:
    """Express a factor of new data in the levels that a design was made with.

    Raises
    ------
    DataError
        If the new data have a level that the design does not know.
    """
    from multilevel.data.factors import codes_for

    codes = codes_for(factor, levels)
    unknown = (codes < 0) & (factor.codes >= 0)
    if unknown.any():
        names = factor.levels.names
        new = [names[code] for code in np.unique(factor.codes[unknown])]
        raise DataError(
            f"The new data have {'a level' if len(new) == 1 else 'levels'} of {text!r} that the fitted model does not "
            f"know: {', '.join(map(repr, new[:8]))}{', …' if len(new) > 8 else ''}."
        )
    return Factor(codes, levels, factor.ordered, factor.logical, factor.has_missing)


def as_pieces_used(columns: tuple[CodedColumn, ...]) -> frozenset[str]:
    """Return the variables that some columns use."""
    return frozenset(piece[0] for column in columns for piece in column.pieces)
