"""Which factors of the fixed part are nested in others: in the data, or by the formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from multilevel.formula.syntax import names_in
from multilevel.formula.terms import Term
from multilevel.model.simulation import is_nested

if TYPE_CHECKING:
    from multilevel.inference.reference_grid import GridVariable

Nests = Mapping[str, tuple[str, ...]]


def nests_of(variables: Sequence[GridVariable], terms: Sequence[Term]) -> dict[str, tuple[str, ...]]:
    """Return for each nested factor the factors that it is nested in.

    A factor is nested in another where each of its levels occurs with one level of the other (of two factors that say the same, the
    first is nested in the second), or where the formula has it within the other only, as ``f / area`` does, whatever its levels are
    called.

    Parameters
    ----------
    variables
        The variables with all their levels.
    terms
        The terms of the fixed part.
    """
    factors = [variable for variable in variables if variable.is_factor and len(variable.values) > 1]
    found: dict[str, set[str]] = {}
    for own in factors:
        for other in factors:
            if other is own or own.name in found.get(other.name, ()):
                continue
            if _determines(own, other):
                found.setdefault(own.name, set()).add(other.name)
    for name, nests in _written(factors, terms).items():
        found.setdefault(name, set()).update(nests)
    whole = {name: _all_nests(name, found) for name in found}
    # Two that are nested in one another are crossed.
    order = [variable.name for variable in variables]
    return {name: tuple(sorted(nests, key=order.index)) for name, nests in whole.items() if nests and name not in nests}


def followers(variables: Sequence[GridVariable], names: Sequence[str]) -> set[str]:
    """Return the factors whose level follows from that of one of some others."""
    factors = [variable for variable in variables if variable.is_factor]
    return {
        other.name
        for own in factors
        for other in factors
        if own.name in names and other.name not in names and _determines(own, other)
    }


def _determines(own: GridVariable, other: GridVariable) -> bool:
    """Tell whether each level of a factor occurs with one level of another."""
    assert own.codes is not None
    assert other.codes is not None
    return is_nested(own.codes.astype(np.int32), len(own.values), other.codes)


def _all_nests(name: str, found: Mapping[str, set[str]]) -> set[str]:
    """Return what a factor is nested in, and what that is nested in."""
    reached: set[str] = set()
    ahead = list(found[name])
    while ahead:
        nest = ahead.pop()
        if nest not in reached:
            reached.add(nest)
            ahead += found.get(nest, ())
    return reached


def _written(factors: Sequence[GridVariable], terms: Sequence[Term]) -> dict[str, set[str]]:
    """Return the nesting that the formula says: factors without a term of their own that stand within others."""
    names = {variable.name for variable in factors}
    columns = [frozenset(name for node in term.variables for name in names_in(node)) for term in terms]
    present = {*columns, frozenset[str]()}
    found: dict[str, set[str]] = {}
    for name in names:
        if frozenset([name]) in present:
            continue
        # Where the rest of a term is a term, the term says how the factor differs within the others, which do not vary without it.
        nests = [
            frozenset(other for other in column & names if other != name and column - {other} not in present)
            for column in columns
            if name in column and column - {name} in present
        ]
        smallest = [own for own in nests if own and not any(other < own for other in nests if other)]
        if smallest:
            found[name] = set().union(*smallest)
    return found
