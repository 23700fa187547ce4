"""Whether the data determine the covariance parameters, or the criterion has a valley of equally good optima.

In units of σ² the covariance of the rows is V = sI + ΣZ Ψ Zᵀ (s = 1). Let D be changes of all Ψ together, and d one of s. The
deviance stays the same for every response if ΣZDZᵀ + dI = 0; the REML criterion, which sees the rows only through contrasts K free
of the fixed effects, if Kᵀ(ΣZDZᵀ + dI)K = 0. These directions span the null space of the expected information tr(P ∂V P ∂V) (ML:
with V⁻¹ for P) at any covariance whatever, so they are found at Ψ = I, far from the boundary; it is minus the exact second
derivative of the log-determinants.

A direction makes a valley of a fit if its covariance matrices can go along it and remain covariance matrices: where two
interchangeable variances both are zero, zero is the only optimum, though the model does not determine them. In Ψ relative to σ²
a valley is a straight line, and the criterion at its other end is worked out to be sure. With a residual structure, which is not
linear in its parameters, a second search from a point along the flat direction says whether it comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.factor import BlockedFactor, factorise
from multilevel.engine.newton import minimise
from multilevel.engine.objective import LocalModel, Objective
from multilevel.engine.parameters import Parameters, TermParameters, lower_factor
from multilevel.engine.products import CrossProducts
from multilevel.engine.residual_objective import ResidualObjective

FloatArray = npt.NDArray[np.float64]

FLAT_CURVATURE = 1e-4
"""A curvature below this, for parameters scaled to their own size, makes a fit worth looking into: the criterion is a deviance."""

FLAT_SHARE = 1e-9
"""So does one below this share of the largest."""

NULL_SHARE = 1e-11
"""An eigenvalue of the information below this share of the largest is zero."""

NO_CHANGE = 1e-6
"""A criterion that changes by less than this along a valley does not change."""

INSIDE_SPAN = 1e-9
"""Less than this share of a column's square outside of the fixed effects' span is rounding error."""

STRIDE = 0.5
"""How far along a flat direction a second search begins, relative to the size of its parameters."""

SECOND_SEARCH = 50
"""The most evaluations of a second search."""

SECOND_TOLERANCE = 1e-12
"""How much lower a second search must expect to get to go on."""

SEARCHED = 1e-3
"""Changes of covariances between the ends of two searches below this share of their size are no changes."""

DIFFERENT = 0.02
"""Covariances that differ by less than this share of their size count as the same."""

LIFTED = 0.1
"""Tangents of a structure that is not linear are taken this far from where they vanish."""

SHORTEST = 1e-3
"""A step shorter than this, relative to the covariances concerned, does not count as going along a valley."""


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """A change of the covariance matrices that the criterion does not see.

    Attributes
    ----------
    changes
        D of each term in the order of θ, in the engine's columns.
    residual
        d, the change of the residual variance.
    """

    changes: tuple[FloatArray, ...]
    residual: float


@dataclass(frozen=True, slots=True, eq=False)
class OtherOptimum:
    """A point of the same valley as a fit, with the same criterion.

    Attributes
    ----------
    factors
        λ̃ of every block, in the plan's order.
    residual
        The parameters of the residual structure as users see them.
    beta, sigma, unscaled_vcov
        The estimates there, as in `EngineFit`.
    """

    factors: tuple[FloatArray, ...]
    residual: FloatArray
    beta: FloatArray
    sigma: float
    unscaled_vcov: FloatArray


# ---- what the structure of a design shows ------------------------------------------------------------------------------


def structure_is_suspect(products: CrossProducts) -> bool:
    """Return whether the cross-products show at a glance that covariances may not be determined.

    That is so where two grouping factors share one partition, the columns of a factor's terms are zero or depend on one another,
    or all of a factor's effects lie within the span of the fixed effects. Each costs next to nothing beside a step of the fit.
    """
    plan = products.plan
    for i in range(plan.depth - 1):
        # Levels that lie in one another and are as many.
        if plan.blocks[i].n_levels == plan.blocks[i + 1].n_levels:
            return True
    for i, block in enumerate(plan.blocks):
        own = own_products(products, i)
        if _depends_on_itself(own):
            return True
        if block.n_levels <= products.n_fixed and _inside_fixed(products, own, _products_with_fixed(products, i)):
            return True
    return False


def own_products(products: CrossProducts, i: int) -> FloatArray:
    """Return the products of a block's columns with one another, level by level, shape (J, k, k)."""
    plan = products.plan
    k, levels = plan.blocks[i].size, plan.blocks[i].n_levels
    if i < plan.depth:
        first = int(products.layout.diagonal_at[i])
        return products.diagonal[first : first + levels * k * k].reshape(levels, k, k)
    at = plan.dense_offsets()[i - plan.depth] + np.arange(levels * k).reshape(levels, k)
    rows, columns = at[:, :, None], at[:, None, :]
    found: FloatArray = products.dense[np.maximum(rows, columns), np.minimum(rows, columns)]
    return found


def _products_with_fixed(products: CrossProducts, i: int) -> FloatArray:
    """Return the products of a block's columns with X, level by level, shape (J, k, p)."""
    plan, layout, p, q = products.plan, products.layout, products.n_fixed, products.n_dense
    k, levels = plan.blocks[i].size, plan.blocks[i].n_levels
    if i < plan.depth:
        indptr = layout.indptr[layout.indptr_at[i] : layout.indptr_at[i] + levels + 1]
        # X and y are the last of the columns that each level lists.
        ends = int(layout.values_at[i]) + k * indptr[:-1, None] + (np.arange(k) + 1) * np.diff(indptr)[:, None]
        chain: FloatArray = products.values[ends[:, :, None] + np.arange(-p - 1, -1)]
        return chain
    at = plan.dense_offsets()[i - plan.depth] + np.arange(levels * k).reshape(levels, k)
    dense: FloatArray = products.dense[q : q + p, at].transpose(1, 2, 0)
    return dense


def _depends_on_itself(own: FloatArray) -> bool:
    """Return whether the columns of a block, all levels together, are dependent."""
    total = own.sum(axis=0)
    size = total.diagonal()
    if not size.min() > 0.0:
        return True
    if len(size) == 2:
        return float(total[0, 1]) ** 2 > (1.0 - INSIDE_SPAN) * float(total[0, 0] * total[1, 1])
    return len(size) > 2 and float(np.linalg.eigvalsh(total / np.sqrt(np.outer(size, size)))[0]) < INSIDE_SPAN


def _inside_fixed(products: CrossProducts, own: FloatArray, cross: FloatArray) -> bool:
    """Return whether some column's effects, one for each level, all lie within the span of X."""
    p, q = products.n_fixed, products.n_dense
    gram = np.tril(products.dense[q : q + p, q : q + p])
    gram = gram + np.tril(gram, -1).T
    explained = np.einsum("jka,ab,jkb->jk", cross, np.linalg.pinv(gram, hermitian=True), cross)
    squares = np.einsum("jkk->jk", own)
    return bool((squares - explained <= INSIDE_SPAN * squares).all(axis=0).any())


# ---- what the curvature shows ------------------------------------------------------------------------------------------


def is_flat(curvature: npt.NDArray[np.floating]) -> bool:
    """Return whether the smallest eigenvalue of a Hessian, in ascending order, may be that of a valley."""
    return float(curvature[0]) <= max(100.0 * FLAT_CURVATURE, FLAT_SHARE * float(curvature[-1]))


def flat_directions(model: LocalModel, scale: FloatArray) -> FloatArray:
    """Return the directions in which the Hessian, parameters scaled, shows no curvature to speak of, as columns."""
    values, vectors = np.linalg.eigh(model.hessian * np.outer(scale, scale))
    flat = values <= max(FLAT_CURVATURE, FLAT_SHARE * float(values[-1]))
    result: FloatArray = scale[:, None] * vectors[:, flat]
    return result


def parameter_scale(parameters: Parameters, phi: FloatArray) -> FloatArray:
    """Return by how much each parameter changes when the rows of λ that it stands in change by their own size (one, if smaller)."""
    found = []
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        size = np.maximum(1.0, np.sqrt((term.factor(phi[place]) ** 2).sum(axis=1)))
        steps = np.sqrt((term.jacobian(phi[place]) ** 2).sum(axis=2)) / size
        largest = steps.max(axis=1)
        found.append(1.0 / np.where(largest > 0.0, largest, 1.0))
    return np.concatenate(found)


# ---- directions that the criterion does not see ------------------------------------------------------------------------


def directions_of_structure(objective: Objective) -> tuple[Direction, ...] | None:
    """Return the directions that the criterion does not see where the structure gives reason to look for them, or None.

    Where a structure is not linear in its variances and covariances that depends on where one is, and is left for later.
    """
    parameters = objective.parameters
    if not structure_is_suspect(objective.products) or any(t.structure.units() is None for t in parameters.terms):
        return None
    return unseen_directions(objective, parameters.start())


def unseen_directions(objective: Objective, phi: FloatArray) -> tuple[Direction, ...]:
    """Return the directions that leave the criterion as it is, whatever the response.

    Parameters
    ----------
    objective
        The criterion.
    phi
        Where the tangents of structures are taken that are not linear in their variances and covariances.
    """
    parameters = objective.parameters
    blocks, units, terms = [], [], []
    for t, (term, place) in enumerate(zip(parameters.terms, parameters.slices(), strict=True)):
        inside = slice(term.offset, term.offset + term.structure.size)
        for unit in _tangents(term, phi[place]):
            whole = np.zeros((parameters.block_sizes[term.block],) * 2)
            whole[inside, inside] = unit
            blocks.append(term.block)
            units.append(whole)
            terms.append(t)
    factor = objective.factorise(parameters.start())
    information = _information(objective, factor, blocks, units)
    size = [objective.products.plan.blocks[b].n_levels for b in blocks] + [objective.products.nobs]
    scale = 1.0 / np.sqrt(np.array(size, dtype=np.float64))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    null = vectors[:, values <= NULL_SHARE * float(values[-1])] * scale[:, None]
    # Terms with few columns first: their own elements tell the directions apart.
    width = [parameters.terms[t].structure.size for t in terms] + [np.inf]
    found = []
    for row in _reduced(null.T, np.argsort(width, kind="stable")):
        changes = []
        for t, (term, start) in enumerate(zip(parameters.terms, parameters.covariances(factor.factors), strict=True)):
            inside = slice(term.offset, term.offset + term.structure.size)
            change = row[-1] * start
            for at, own in enumerate(terms):
                if own == t:
                    change = change + row[at] * units[at][inside, inside]
            changes.append(change)
        found.append(Direction(tuple(changes), float(row[-1])))
    return tuple(found)


def _tangents(term: TermParameters, phi: FloatArray) -> list[FloatArray]:
    """Return matrices that span the changes of a term's Ψ, in the engine's columns."""
    units = term.structure.units()
    if units is not None:
        return units
    phi = term.structure.lifted(phi, LIFTED)
    moved = term.jacobian(phi) @ term.factor(phi).T
    k = term.structure.size
    flat = (moved + moved.transpose(0, 2, 1)).reshape(-1, k * k)
    _, size, rows = np.linalg.svd(flat, full_matrices=False)
    return list(rows[size > 1e-9 * size[0]].reshape(-1, k, k))


def _information(objective: Objective, factor: BlockedFactor, blocks: list[int], units: list[FloatArray]) -> FloatArray:
    """Return tr(P ∂V P ∂V) (ML: V⁻¹ for P) in the directions given and, last, along V itself."""
    m = len(units)
    if objective.exact_is_cheap:
        bar, curvature = single_factor_derivatives(factor, objective.reml, np.stack(units), precision=0.0)
        psi: tuple[FloatArray, ...] = (bar,)
    else:
        found = sensitivity(factor, objective.reml, precision=0.0)
        psi = found.psi
        curvature = hessian_by_direction(factor, found, objective.reml, blocks, units, precision=0.0)
    result = np.empty((m + 1, m + 1))
    result[:m, :m] = -curvature
    result[m, :m] = result[:m, m] = [float((psi[b] * unit).sum()) for b, unit in zip(blocks, units, strict=True)]
    result[m, m] = objective.residual_df
    return result


def _reduced(rows: FloatArray, order: npt.NDArray[np.intp]) -> FloatArray:
    """Return a basis of the same space in which each row has a one where the others have a zero, the largest element being one."""
    rows = rows / np.abs(rows).max(axis=1, initial=1e-300, keepdims=True)
    done = 0
    for column in order:
        if done == len(rows):
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) < 1e-5:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, column], rows[done])
        done += 1
    rows = rows / np.abs(rows).max(axis=1, initial=1e-300, keepdims=True)
    rows[np.abs(rows) < 1e-6] = 0.0
    return rows


# ---- valleys of a fit --------------------------------------------------------------------------------------------------


def valley(
    objective: Objective, model: LocalModel, directions: tuple[Direction, ...]
) -> tuple[tuple[Direction, ...], list[BlockedFactor]]:
    """Return the directions along which the criterion does not change, and the problems factorised at the valley's other ends.

    A direction without another end, since the optimum is on the boundary, is kept; one that the criterion sees after all is not.
    """
    kept, ends = [], []
    for direction in directions:
        found = [factorise(objective.products, objective.rows, end) for end in _ends(objective, model, direction)]
        flat = [f for f in found if abs(objective.value_of(f) - model.value) <= NO_CHANGE + 1e-11 * abs(model.value)]
        if flat or not found:
            kept.append(direction)
            ends += flat[:1]
    return tuple(kept), ends


def _ends(objective: Objective, model: LocalModel, direction: Direction) -> Iterator[list[FloatArray]]:
    """Give λ̃ of every block some way along a direction, to either side, as far as Ψ remains a covariance matrix."""
    parameters = objective.parameters
    psi = parameters.covariances(model.factor.factors)
    steps = [d - direction.residual * own for d, own in zip(direction.changes, psi, strict=True)]
    largest = max(float(np.abs(step).max()) for step in steps)
    if not largest > 0.0:
        return
    size = max([1.0, *(float(own.max()) for own, step in zip(psi, steps, strict=True) if np.abs(step).max() > 0.0)])
    for sign in (1.0, -1.0):
        reach = sign * size / largest
        for _ in range(12):
            roots = [_root(own + reach * step) for own, step in zip(psi, steps, strict=True)]
            if 1.0 - reach * direction.residual > 0.05 and all(root is not None for root in roots):
                factors = [np.zeros((width, width)) for width in parameters.block_sizes]
                for term, root in zip(parameters.terms, roots, strict=True):
                    inside = slice(term.offset, term.offset + term.structure.size)
                    factors[term.block][inside, inside] = root
                yield factors
                break
            if abs(reach) * largest < SHORTEST * size:
                break
            reach *= 0.5


def returns_elsewhere(objective: ResidualObjective, model: LocalModel, flat: FloatArray) -> list[LocalModel]:
    """Return the optima, no higher, that second searches find which begin some way along flat directions (columns)."""
    found = []
    for step in flat.T:
        for sign in (STRIDE, -STRIDE):
            start = objective.parameters.canonical(model.phi + sign * step)
            end = minimise(objective, start, SECOND_TOLERANCE, SECOND_SEARCH, certify=False).model
            if end.value <= model.value + NO_CHANGE and _differ(objective, model.phi, end.phi):
                found.append(end)
                break
    return found


def _differ(objective: ResidualObjective, one: FloatArray, other: FloatArray) -> bool:
    """Return whether two optima have other covariances, and not only other parameters of the same ones."""
    parameters, residual = objective.whitened.basis.plan.parameters, objective.whitened.model
    points = [objective.split(joint) for joint in (one, other)]
    for a, b in zip(*(parameters.block_factors(phi) for phi, _ in points), strict=True):
        size = np.maximum(1.0, np.sqrt(np.maximum((a * a).sum(axis=1), (b * b).sum(axis=1))))
        if (np.abs(a @ a.T - b @ b.T) > DIFFERENT * np.outer(size, size)).any():
            return True
    own, others = (residual.natural(delta) for _, delta in points)
    m = residual.n_ratios
    # Ratios of nothing to something are alike whatever they are.
    shares = np.abs(own[:m] / (1.0 + own[:m]) - others[:m] / (1.0 + others[:m]))
    return bool((shares > DIFFERENT).any() or (np.abs(own[m:] - others[m:]) > DIFFERENT).any())


def _root(matrix: FloatArray) -> FloatArray | None:
    """Return the lower-triangular factor of a covariance matrix, None where it is not one."""
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -1e-12 * max(1.0, float(values[-1])):
        return None
    return lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))
