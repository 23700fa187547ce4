"""Formulas put together from terms: the fixed part and the random-effects terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from multilevel.formula.deparse import deparse
from multilevel.formula.grammar import Bar, Formula, parse_formula
from multilevel.formula.terms import TermList
from multilevel.inference.recoding import droppable, variable_texts, without

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel


def write_terms(terms: TermList, *, bar: bool = False) -> str:
    """Write a term list; left of a bar an intercept beside other terms is left to be understood."""
    parts = [term.label for term in terms.terms]
    if not bar:
        parts += [deparse(node) for node in terms.offsets]
    if not terms.intercept:
        parts.insert(0, "0")
    elif not parts:
        parts.append("1")
    return " + ".join(parts)


def write_formula(response: str, fixed: TermList, bars: Sequence[str]) -> Formula:
    """Return the formula with a fixed part and random-effects terms, given without their parentheses."""
    text = " + ".join([write_terms(fixed), *(f"({bar})" for bar in bars)])
    return parse_formula(f"{response} ~ {text}")


def without_term(formula: Formula, position: int) -> Formula:
    """Return a formula without one of its fixed-effects terms."""
    assert formula.response is not None
    bars = [str(bar) for bar in formula.random]
    return write_formula(formula.response, without(formula.term_list, position), bars)


def reduced_formulas(fit: LinearMixedModel) -> Iterator[tuple[str, Formula | None]]:
    """Return, in the order of `ranova`, the label of each reduction of the random part and the formula that is left.

    The formula is None where no random-effects term would be left.
    """
    formula = fit.formula
    assert formula.response is not None
    bars = formula.plain_bars
    for t, bar in enumerate(bars):
        others = [str(other) for other in (*bars[:t], *bars[t + 1 :])]
        inside = droppable(bar.term_list.terms)
        if not inside:
            left = write_formula(formula.response, formula.term_list, others) if others else None
            yield f"({bar})", left
        for position in inside:
            terms = without(bar.term_list, position)
            if not terms.terms:
                terms = TermList(True, (), ())
            label = f"{bar.term_list.terms[position].label} in ({bar})"
            rest = [*bars[:t], *bars[t + 1 :]]
            if any(_same(terms, bar.group, other) for other in rest):
                yield label, write_formula(formula.response, formula.term_list, others)
                continue
            smaller = f"{write_terms(terms, bar=True)} | {bar.group}"
            texts = [str(other) for other in bars]
            texts[t] = smaller
            yield label, write_formula(formula.response, formula.term_list, texts)


def _same(terms: TermList, group: str, other: Bar) -> bool:
    sets = [{variable_texts(term) for term in found.terms} for found in (terms, other.term_list)]
    return group == other.group and terms.intercept == other.term_list.intercept and sets[0] == sets[1]
