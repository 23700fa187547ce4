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
    """Return the formula with a fixed part and random-effects terms, given as they stand in a formula."""
    return parse_formula(f"{response} ~ {' + '.join([write_terms(fixed), *bars])}")


def without_term(formula: Formula, position: int) -> Formula:
    """Return a formula without one of its fixed-effects terms."""
    assert formula.response is not None
    bars = [bar.written for bar in formula.random]
    return write_formula(formula.response, without(formula.term_list, position), bars)


def reduced_formulas(fit: LinearMixedModel) -> Iterator[Formula | None]:
    """Return the formula that each reduction of the random part leaves, in the order of `ranova`.

    The formula is None where no random-effects term would be left.
    """
    formula = fit.formula
    assert formula.response is not None
    bars = formula.plain_bars
    for t, bar in enumerate(bars):
        others = [other.written for other in (*bars[:t], *bars[t + 1 :])]
        inside = droppable(bar.term_list.terms)
        if not inside:
            left = write_formula(formula.response, formula.term_list, others) if others else None
            yield left
        for position in inside:
            terms = without(bar.term_list, position)
            if not terms.terms:
                terms = TermList(True, (), ())
            rest = [*bars[:t], *bars[t + 1 :]]
            if any(_same(terms, bar.group, other) for other in rest):
                yield write_formula(formula.response, formula.term_list, others)
                continue
            # one column has no structure
            call = "" if terms == TermList(True, (), ()) else bar.written.partition("(")[0]
            texts = [other.written for other in bars]
            texts[t] = f"{call}({write_terms(terms, bar=True)} | {bar.group})"
            yield write_formula(formula.response, formula.term_list, texts)


def _same(terms: TermList, group: str, other: Bar) -> bool:
    sets = [{variable_texts(term) for term in found.terms} for found in (terms, other.term_list)]
    return group == other.group and terms.intercept == other.term_list.intercept and sets[0] == sets[1]
