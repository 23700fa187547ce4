"""Which random effects take part in a prediction: all, none, or those that a formula names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.errors import DataTypeError, FormulaError
from multilevel.formula.coding import INTERCEPT_NAME, NUMERIC, Coding, Pieces
from multilevel.formula.deparse import deparse
from multilevel.formula.grammar import Bar, Formula, parse_formula
from multilevel.formula.syntax import Node
from multilevel.formula.values import Matrix, Variable

if TYPE_CHECKING:
    from multilevel.formula.encoder import DesignEncoder
    from multilevel.model.fitted import LinearMixedModel

BoolArray = npt.NDArray[np.bool_]


def select_random(fit: LinearMixedModel, re_formula: Any) -> tuple[BoolArray, ...]:
    """Return, for each term in the order of theta, which of its columns are chosen.

    Parameters
    ----------
    fit
        The fitted model.
    re_formula
        None or True: all; False or a formula without a bar (``"~0"``): none; otherwise a formula whose random-effects terms are
        those of the model or parts of them.

    Raises
    ------
    FormulaError
        The formula has fixed effects, or random effects that the model does not have.
    DataTypeError
        It is none of these.
    """
    chosen = [np.zeros(len(term.names), dtype=np.bool_) for term in fit._terms]
    if re_formula is None or re_formula is True:
        return tuple(~part for part in chosen)
    if re_formula is False:
        return tuple(chosen)
    if not isinstance(re_formula, str | Formula):
        raise DataTypeError(
            "re_formula must be None (all random effects), False (none, lme4's NA) or a formula such as '~ (1 | g)', not"
            f" {re_formula!r}."
        )
    formula = parse_formula(re_formula if not isinstance(re_formula, str) or "~" in re_formula else f"~ {re_formula}")
    if formula.terms or formula.response is not None:
        raise FormulaError(
            f"re_formula names the random effects alone, as in '~ (1 | g)'; '{formula}' has more than these."
        )
    if not formula.plain_bars:
        return tuple(chosen)
    encoder = fit._design.encoder
    if encoder is None:
        raise FormulaError("The fit was not made from a formula, so that re_formula can only be None or False.")
    coding = Coding(_stand_ins(encoder), {})
    for bar in formula.plain_bars:
        _choose(fit, encoder, coding, bar, chosen)
    return tuple(chosen)


def _choose(fit: LinearMixedModel, encoder: DesignEncoder, coding: Coding, bar: Bar, chosen: list[BoolArray]) -> None:
    """Mark the columns of one term of the formula."""
    wanted = _members(bar.group_variables)
    own = [
        (at, encoder.random[position])
        for at, position in enumerate(fit._engine.products.plan.term_order)
        if _members(encoder.groups[encoder.random[position].group].members) == wanted
    ]
    if not own:
        raise FormulaError(
            f"re_formula has the grouping factor {bar.group!r}, which the model does not have;"
            f" it has {', '.join(map(repr, encoder.groups))}."
        )
    unknown = sorted(
        {deparse(node) for term in bar.term_list.terms for node in term.variables} - coding.variables.keys()
    )
    if unknown:
        raise FormulaError(_missing_effect(unknown[0], bar, fit))
    for column in coding.code(bar.term_list, fixed=False):
        found = False
        for at, term in own:
            for c, known in enumerate(term.columns):
                if known.pieces == column.pieces:
                    chosen[at][c] = found = True
        if not found:
            raise FormulaError(_missing_effect(column.name, bar, fit))


def _missing_effect(name: str, bar: Bar, fit: LinearMixedModel) -> str:
    labels = ", ".join(f"({term.label})" for term in fit._terms)
    return f"re_formula asks for {name!r} in ({bar}), a random effect that the model does not have; its terms are {labels}."


def _members(nodes: tuple[Node, ...]) -> frozenset[str]:
    """Return the variables that make a grouping factor; their order makes no difference to its levels."""
    return frozenset(map(deparse, nodes))


def _stand_ins(encoder: DesignEncoder) -> dict[str, Variable]:
    """Return variables without rows, of the kinds that the model's random effects have."""
    widths: dict[str, int] = {}
    ordered: set[str] = set()
    found: dict[str, Variable] = {}
    pieces: list[Pieces] = [column.pieces for term in encoder.random for column in term.columns]
    for text, kind, index in (piece for group in pieces for piece in group):
        if kind == NUMERIC:
            widths[text] = max(widths.get(text, 0), index + 1)
        elif text in encoder.levels:
            # Contrasts of their own by default have ordered factors only.
            if kind.startswith("contrast"):
                ordered.add(text)
            found[text] = Factor(np.empty(0, dtype=np.int32), encoder.levels[text], ordered=text in ordered)
    for text, width in widths.items():
        names = tuple(str(j) for j in range(width))
        found[text] = Matrix(np.empty((0, width)), names) if width > 1 else np.empty(0)
    return found


def chosen_names(fit: LinearMixedModel, chosen: tuple[BoolArray, ...]) -> str:
    """Write the chosen random effects as text."""
    parts = []
    for term, mask in zip(fit._terms, chosen, strict=True):
        names = [name for name, used in zip(term.names, mask, strict=True) if used]
        if names:
            shown = " + ".join("1" if name == INTERCEPT_NAME else name for name in names)
            parts.append(f"({shown} | {term.factor.name})")
    return " + ".join(parts) if parts else "none"
