"""New responses from a fitted model, and new designs out of its clusters.

A source draws responses a batch at a time: its random numbers are all that is ever held beside them, and the random effects
reach the rows through the grouping factors' codes, so that no Z is formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Seed
from multilevel.data.levels import Levels
from multilevel.engine.accumulate import linear_predictor, parent_levels
from multilevel.engine.threads import hears_interrupts
from multilevel.errors import ControlError
from multilevel.formula.design import Design, GroupingFactor, RandomTerm
from multilevel.model.residual_structure import correlate, relative_deviations

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

BATCH_NUMBERS = 2_000_000
"""The most random numbers drawn at once."""

LARGEST_BATCH = 64
"""The most responses drawn at once."""


DRAW_STEPS = 30.0
"""About how many elementary steps a normal number and its way into a response take."""


class ResponseSource(Protocol):
    """Draws responses for the rows of a design."""

    @property
    def numbers_per_response(self) -> int:
        """How many numbers are held for each response drawn."""

    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Return `count` responses, shape (count, n)."""


def _draw_steps(source: ResponseSource, _: np.random.Generator, count: int) -> float:
    return DRAW_STEPS * count * source.numbers_per_response


@dataclass(frozen=True, slots=True, eq=False)
class TermRows:
    """Where the random effects of one term meet the rows."""

    columns: FloatArray
    codes: IntArray
    places: npt.NDArray[np.int64]
    n_levels: int
    lower: FloatArray | None = None

    @classmethod
    def of(cls, design: Design, term: RandomTerm) -> TermRows:
        """Return where the effects of a term meet the rows of a design."""
        places = np.asarray(term.columns, dtype=np.int64)
        relation = term.factor.relation
        return cls(
            design.columns,
            term.factor.codes,
            places,
            term.factor.n_levels,
            None if relation is None else relation.lower,
        )

    def add(self, effects: FloatArray, out: FloatArray) -> None:
        """Add the contribution of effects (count × levels × k) to responses (count × n)."""
        k = self.places.size
        shift, scale = np.zeros(k), np.ones(k)
        for own, row in zip(effects, out, strict=True):
            linear_predictor(self.columns, self.codes, self.places, shift, scale, own, row)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianSource:
    """Responses from the model's own normal distributions.

    Attributes
    ----------
    mean
        What the draws are added to, shape (n,).
    error
        Standard deviation of the residual of each row, shape (n,).
    terms
        For each random term where its effects go and their factor σλ; none where the random effects are held fixed.
    correlate
        Gives independent numbers, a row for each response, the correlations of the residuals; None where there are none.
    """

    mean: FloatArray
    error: FloatArray
    terms: tuple[tuple[TermRows, FloatArray], ...]
    correlate: Callable[[FloatArray], FloatArray] | None = None

    @property
    def numbers_per_response(self) -> int:
        """Number of random effects and rows."""
        return self.mean.size + sum(rows.n_levels * int(factor.shape[0]) for rows, factor in self.terms)

    @hears_interrupts(_draw_steps)
    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Return `count` responses."""
        return self.responses(rng.standard_normal((count, self.numbers_per_response)))

    @hears_interrupts(lambda _, spherical: DRAW_STEPS * spherical.size)
    def responses(self, spherical: FloatArray) -> FloatArray:
        """Return the responses made of standard normal numbers, a row each: random effects by term and level, then residuals."""
        count = len(spherical)
        at = self.numbers_per_response - self.mean.size
        errors = spherical[:, at:]
        result = (errors if self.correlate is None else self.correlate(np.ascontiguousarray(errors))) * self.error
        result += self.mean
        first = 0
        for rows, factor in self.terms:
            k = factor.shape[0]
            own = spherical[:, first : first + rows.n_levels * k].reshape(count, rows.n_levels, k)
            effects = np.einsum("mjc,rc->mjr", own, factor)
            if rows.lower is not None:
                effects = np.einsum("ij,mjr->mir", rows.lower, effects)
            rows.add(np.ascontiguousarray(effects), result)
            first += rows.n_levels * k
        return result


@dataclass(frozen=True, slots=True, eq=False)
class ResampledSource:
    """Responses from the conditional modes and residuals, drawn with replacement after they were reflated.

    Attributes
    ----------
    mean
        Xβ and the offset, shape (n,).
    residuals
        The residuals to draw from, on the scale of rows of weight one.
    error
        What a residual is multiplied by in each row: 1/√w.
    factors
        For each grouping factor, its terms and the modes to draw from; terms of one factor are drawn together.
    """

    mean: FloatArray
    residuals: FloatArray
    error: FloatArray
    factors: tuple[tuple[tuple[TermRows, FloatArray], ...], ...]

    @property
    def numbers_per_response(self) -> int:
        """Number of random effects and rows."""
        return self.mean.size + sum(modes.size for terms in self.factors for _, modes in terms)

    @hears_interrupts(_draw_steps)
    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Return `count` responses."""
        n = self.mean.size
        result = self.residuals[rng.integers(n, size=(count, n))] * self.error
        result += self.mean
        for terms in self.factors:
            levels = terms[0][0].n_levels
            drawn = rng.integers(levels, size=(count, levels))
            for rows, modes in terms:
                rows.add(np.ascontiguousarray(modes[drawn]), result)
        return result


def marginal_mean(fit: LinearMixedModel) -> FloatArray:
    """Return Xβ and the offset of every row."""
    design = fit._design
    result = np.zeros(design.nobs) if design.offset is None else design.offset.copy()
    for c, value in enumerate(fit._engine.beta):
        result += value * design.columns[:, c]
    return result


def gaussian_source(fit: LinearMixedModel, *, conditional: bool = False) -> GaussianSource:
    """Return the model's own distribution, with new random effects or (conditional) the modes in place."""
    design = fit._design
    error = fit.sigma * relative_deviations(fit)
    residual = design.residual
    correlated = partial(correlate, fit) if residual is not None and residual.kind is not None else None
    if conditional:
        return GaussianSource(fit._fitted_values, error, (), correlated)
    factors = [fit.sigma * factor for factor in fit._engine.term_factors()]
    terms = tuple((TermRows.of(design, term), factor) for term, factor in zip(fit._terms, factors, strict=True))
    return GaussianSource(marginal_mean(fit), error, terms, correlated)


def resampled_source(fit: LinearMixedModel) -> ResampledSource:
    """Return the centred and reflated conditional modes and residuals of a fit.

    The modes are shrunken and so vary less than the model says: they are multiplied by the matrix that gives them the estimated
    covariance (Carpenter, Goldstein & Rasbash 2003), here the one nearest to no change once both are on the spherical scale.
    """
    design = fit._design
    if design.residual is not None and design.residual.kind is not None:
        raise ControlError(
            "Residuals that are correlated in time cannot be drawn one by one; use the parametric bootstrap or that of whole"
            " clusters."
        )
    for term in design.random:
        if term.factor.relation is not None:
            raise ControlError(_related(term.factor.name))
    groups: dict[str, list[int]] = {}
    for t, term in enumerate(fit._terms):
        groups.setdefault(term.factor.name, []).append(t)
    factors = fit._engine.term_factors()
    sources = []
    for own in groups.values():
        modes = np.column_stack([fit._modes[t] for t in own])
        sizes = [factors[t].shape[0] for t in own]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        whole = np.zeros((edges[-1], edges[-1]))
        for i, t in enumerate(own):
            whole[edges[i] : edges[i + 1], edges[i] : edges[i + 1]] = fit.sigma * factors[t]
        reflated = _reflate(modes - modes.mean(axis=0), whole)
        sources.append(
            tuple(
                (TermRows.of(design, fit._terms[t]), np.ascontiguousarray(reflated[:, edges[i] : edges[i + 1]]))
                for i, t in enumerate(own)
            )
        )
    residuals = fit._residual_values("pearson")
    residuals = residuals - residuals.mean()
    size = math.sqrt(float(np.mean(residuals**2)))
    if size > 0.0:
        residuals *= fit.sigma / size
    return ResampledSource(marginal_mean(fit), residuals, relative_deviations(fit), tuple(sources))


def _related(name: str) -> str:
    return f"The related levels of {name!r} cannot be drawn one by one; use the parametric bootstrap."


def _reflate(modes: FloatArray, factor: FloatArray) -> FloatArray:
    """Return modes (levels × k), transformed so that their covariance (divisor: levels) is that of a factor."""
    spherical = modes @ np.linalg.pinv(factor, rcond=1e-10).T
    values, vectors = np.linalg.eigh(spherical.T @ spherical / len(modes))
    keep = values > 1e-10 * max(float(values[-1]), 1e-300)
    root = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T
    result: FloatArray = spherical @ root @ factor.T
    return result


def batch_size(source: ResponseSource) -> int:
    """Return how many responses are drawn at once; it depends on nothing but the model, so that draws can be repeated."""
    return max(1, min(LARGEST_BATCH, BATCH_NUMBERS // max(source.numbers_per_response, 1)))


def seed_sequence(rng: Seed) -> np.random.SeedSequence:
    """Return what the seeds of batches are spawned from; a generator is advanced, so that its next use differs."""
    if isinstance(rng, np.random.SeedSequence):
        return rng
    if isinstance(rng, np.random.Generator):
        return np.random.SeedSequence(rng.integers(2**32, size=8, dtype=np.uint64).tolist())
    return np.random.SeedSequence(rng)


def is_nested(inner: IntArray, n_levels: int, outer: npt.NDArray[np.integer]) -> bool:
    """Return whether every level lies in a single level of the other factor."""
    return bool(parent_levels(inner, n_levels, np.asarray(outer, dtype=np.int32)).size)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterDesigns:
    """Makes designs of whole clusters of a design.

    Attributes
    ----------
    design
        The design.
    rows
        The rows of each cluster.
    inside
        For each grouping factor by name, whether its levels lie inside the clusters: they are new ones in every copy of a
        cluster. Levels of the others (crossed with the clusters) are the same everywhere.
    """

    design: Design
    rows: tuple[npt.NDArray[np.intp], ...]
    inside: dict[str, bool]

    @classmethod
    def of(cls, design: Design, codes: IntArray, n_clusters: int) -> ClusterDesigns:
        """Split a design into the clusters that codes name."""
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=n_clusters))[:-1]
        inside = {term.factor.name: is_nested(term.factor.codes, term.factor.n_levels, codes) for term in design.random}
        return cls(design, tuple(np.split(order, ends)), inside)

    def take(self, clusters: npt.NDArray[np.integer], *, data: bool = False) -> Design:
        """Return the design of some clusters, a cluster named twice being two of them, with their data or without."""
        design = self.design
        kept = design.data if data else None
        given = None if design.kept is None else np.flatnonzero(design.kept)
        rows = np.concatenate([self.rows[c] for c in clusters])
        copy = np.repeat(np.arange(len(clusters)), [len(self.rows[c]) for c in clusters])
        factors: dict[str, GroupingFactor] = {}
        for term in design.random:
            old = term.factor
            if old.relation is not None:
                raise ControlError(_related(old.name))
            if old.name not in factors:
                codes = old.codes[rows].astype(np.int64)
                if self.inside[old.name]:
                    codes += copy * old.n_levels
                levels, places = np.unique(codes, return_inverse=True)
                factors[old.name] = GroupingFactor(old.name, places.astype(np.int32), Levels(levels))
        columns = np.asfortranarray(design.columns[rows])
        columns.flags.writeable = False
        return replace(
            design,
            columns=columns,
            random=tuple(replace(term, factor=factors[term.factor.name]) for term in design.random),
            weights=None if design.weights is None else design.weights[rows],
            residual=None if design.residual is None else design.residual.take(rows, copy),
            offset=None if design.offset is None else design.offset[rows],
            n_rows=len(rows),
            kept=None,
            row_labels=None,
            missing_by_column={},
            data=None if kept is None else kept.take(rows if given is None else given[rows]),
        )
