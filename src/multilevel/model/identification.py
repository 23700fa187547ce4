"""What the data do not determine, in the terms of the formula, and what to drop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import Describe
from multilevel.engine.identification import Direction, own_products
from multilevel.engine.plan import Plan
from multilevel.engine.products import CrossProducts
from multilevel.engine.withheld import undetermined
from multilevel.formula.design import Design, RandomTerm

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

NOTHING = 1e-7
"""A change of a covariance below this share of the largest is rounding error."""


def identification_sentence(fit: LinearMixedModel) -> str:
    """Say which covariances of a fit the data do not determine and what to drop; empty where they determine all."""
    directions = fit.convergence.directions
    return describe_directions(fit._design, fit._engine.products, directions) if directions else ""


def identification_notes(fit: LinearMixedModel) -> list[str]:
    """Say what the data do not determine and which standard errors are withheld for it; nothing where they determine all."""
    if not fit.convergence.directions:
        return []
    gone = undetermined(fit._engine, np.eye(fit._design.n_fixed))
    names = [name for name, withheld in zip(fit._design.fixed_names, gone, strict=True) if withheld]
    notes = [identification_sentence(fit)]
    if names:
        notes.append(f"No standard errors of {', '.join(names)}: they depend on these covariance parameters.")
    return notes


def describer(design: Design, control: LmerControl) -> Describe:
    """Return what describes directions in a warning; those that a check was told to ignore are not warned of."""
    ignored = "ignore" in (control.check_effects_against_rows, control.check_levels_against_rows)

    def describe(products: CrossProducts, directions: tuple[Direction, ...]) -> str:
        # As many effects as rows: what the checks refuse is that they cannot be told from the residual.
        told = [direction for direction in directions if not ignored or abs(direction.residual) <= NOTHING]
        return describe_directions(design, products, told) if told else ""

    return describe


def describe_directions(design: Design, products: CrossProducts, directions: Sequence[Direction]) -> str:
    """Say which covariances can change along directions that the criterion does not see, and what to drop."""
    plan = products.plan
    terms = [design.random[t] for t in plan.term_order]
    changes = [_user_changes(plan, direction) for direction in directions]
    parts = [_group_sentence(products, terms, group) for group in _connected(changes)]
    return f"The covariance parameters are not identified: {' '.join(parts)}"


def moving_parameters(fit: LinearMixedModel) -> list[bool]:
    """Return which standard deviations and correlations, then σ, and then the residual parameters the data do not determine.

    They are in the order of ``fit.varcorr()`` and its elements.
    """
    ending, engine = fit.convergence, fit._engine
    place = engine.products.plan.parameters
    result: list[bool] = []
    for t, (term, part) in enumerate(zip(place.terms, fit.varcorr(), strict=True)):
        own = part.covariance / fit.sigma**2
        moved = [term.to_user @ direction.changes[t] @ term.to_user.T for direction in ending.directions]
        size = np.sqrt((term.to_user**2).sum(axis=1))
        for element in part.elements:
            r, c = element.row, element.column
            result.append(any(_moves(own, change, size, r, c) for change in moved))
    result.append(any(abs(direction.residual) > NOTHING for direction in ending.directions))
    values = fit.residual_parameters.to_numpy()
    result += [any(abs(other.residual[i] - value) > 1e-3 for other in ending.others) for i, value in enumerate(values)]
    return result


def _moves(own: FloatArray, change: FloatArray, size: FloatArray, r: int, c: int) -> bool:
    """Return whether a standard deviation (r = c) or correlation moves with a change of its covariance matrix."""
    scaled = change / np.outer(size, size)
    if r == c:
        return abs(float(scaled[r, r])) > NOTHING
    variances = own[r, r] * own[c, c]
    if not variances > 0.0:
        return bool(np.abs(scaled[[r, c, r], [r, c, c]]).max() > NOTHING)
    slope = change[r, c] - 0.5 * own[r, c] * (change[r, r] / own[r, r] + change[c, c] / own[c, c])
    return bool(abs(float(slope)) > NOTHING * size[r] * size[c])


Changes = tuple[list[FloatArray], float]
"""The change of each term's covariance matrix, in the user's columns scaled to unit size, and of the residual variance."""


def _user_changes(plan: Plan, direction: Direction) -> Changes:
    found = []
    for term, change in zip(plan.parameters.terms, direction.changes, strict=True):
        size = np.sqrt((term.to_user**2).sum(axis=1))
        found.append((term.to_user @ change @ term.to_user.T) / np.outer(size, size))
    largest = max(float(np.abs(change).max()) for change in (*found, np.array([direction.residual])))
    return [np.where(np.abs(c) > NOTHING * largest, c, 0.0) for c in found], direction.residual


def _connected(changes: list[Changes]) -> list[list[Changes]]:
    """Bring together the directions that share terms."""
    groups: list[tuple[set[int], list[Changes]]] = []
    for own in changes:
        terms = {t for t, change in enumerate(own[0]) if change.any()}
        members = [own]
        apart = []
        for others, theirs in groups:
            if others & terms:
                terms |= others
                members = [*theirs, *members]
            else:
                apart.append((others, theirs))
        groups = [*apart, (terms, members)]
    return [members for _, members in groups]


def _group_sentence(products: CrossProducts, terms: list[RandomTerm], group: list[Changes]) -> str:
    """Say of some directions what moves along them, and what must go for none to be left."""
    moved = [t for t in range(len(terms)) if any(changes[t].any() for changes, _ in group)]
    moved.sort(key=lambda t: len(terms[t].names))
    labels = [f"({terms[t].label})" for t in moved]
    residual = any(abs(change) > NOTHING for _, change in group)
    if len(moved) == 1 and not residual:
        t = moved[0]
        return _term_sentence(_term_products(products, t), terms[t], np.stack([changes[t] for changes, _ in group]))
    rows = [np.concatenate([changes[t].ravel() for changes, _ in group]).reshape(len(group), -1) for t in moved]
    enough = [label for label, own in zip(labels, rows, strict=True) if np.linalg.matrix_rank(own) == len(group)]
    what = _in_words([*labels, *(["the residual"] if residual else [])], "and")
    drop = f"drop {_in_words(enough, 'or')}" if enough else f"drop all but one of {_in_words(labels, 'and')}"
    return f"the data cannot tell the covariances of {what} apart, only combinations of them; {drop}."


def _term_products(products: CrossProducts, t: int) -> FloatArray:
    """Return the products of a term's columns with one another, level by level, shape (J, k, k)."""
    place = products.plan.parameters.terms[t]
    inside = slice(place.offset, place.offset + place.structure.size)
    return own_products(products, place.block)[:, inside, inside]


def _term_sentence(squares: FloatArray, term: RandomTerm, changes: FloatArray) -> str:
    """Say of one term, from its products and its changes (directions × k × k), which columns the data say nothing of."""
    label, k = f"({term.label})", len(term.names)
    places = [i for i in range(k) if changes[:, i].any()]
    empty = [term.names[i] for i in places if not squares[:, i, i].any()]
    if empty:
        verb = "is" if len(empty) == 1 else "are"
        return f"{_in_words(empty, 'and')} in {label} {verb} zero in every row; drop {_from(empty, label, k)}."
    # A column is within the fixed effects if its variance alone can change.
    alone = [i for i in places if _holds_alone(changes, i)]
    if alone:
        names = [term.names[i] for i in alone]
        what = "differences" if names == ["(Intercept)"] else f"differences in {_in_words(names, 'and')}"
        return (
            f"the fixed effects hold all {what} between the levels of {term.factor.name} that {label} could describe;"
            f" drop {_from(names, label, k)}, or these fixed effects."
        )
    if k == 1:
        return f"the data do not determine the variance of {label}; drop it."
    enough = [term.names[i] for i in places if np.linalg.matrix_rank(changes[:, i]) == len(changes)]
    names = enough or [term.names[i] for i in places]
    # An intercept is the last to go.
    names = [name for name in names if name != "(Intercept)"] or names
    still = [name for name in names if not _varies_within(squares, term.names, name)]
    why = ""
    if still:
        why = f" ({_in_words(still, 'and')} {'does' if len(still) == 1 else 'do'} not vary within the levels of {term.factor.name})"
    what = f"the data determine only combinations of the variances and covariances of {label}{why}"
    return f"{what}; drop {_in_words(names, 'or')} from it."


def _varies_within(squares: FloatArray, names: tuple[str, ...], name: str) -> bool:
    """Return whether a column may differ from a multiple of the intercept within a level."""
    if "(Intercept)" not in names:
        return True
    one, i = names.index("(Intercept)"), names.index(name)
    both = squares[:, one, one] * squares[:, i, i]
    return bool((both - squares[:, one, i] ** 2 > 1e-12 * both).any())


def _holds_alone(changes: FloatArray, i: int) -> bool:
    """Return whether some combination of the changes is one of the variance of column i and nothing else."""
    unit = np.zeros(changes.shape[1:])
    unit[i, i] = 1.0
    rows = np.vstack([changes.reshape(len(changes), -1), unit.ravel()])
    return int(np.linalg.matrix_rank(rows, tol=1e-5)) == int(np.linalg.matrix_rank(rows[:-1], tol=1e-5))


def _from(names: list[str], label: str, size: int) -> str:
    return label if len(names) == size else f"{_in_words(names, 'and')} from {label}"


def _in_words(names: list[str], last: str) -> str:
    return f" {last} ".join(", ".join(names).rsplit(", ", 1)) if len(names) > 1 else "".join(names)
