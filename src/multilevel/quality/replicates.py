"""Variances of a model's parts in the replicates of a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Seed, idle
from multilevel.errors import ControlError
from multilevel.inference.bootstrap import bootstrap
from multilevel.inference.intervals import check_level, replicate_interval
from multilevel.quality.variance import mean_products

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

INTERVALS = ("percentile", "basic", "normal")

only_with_ci = idle(
    "n",
    "rng",
    "threads",
    "interval",
    "progress",
    when=lambda given: given["ci"] is None,
    why="they are for the bootstrap that ci= asks for",
)
"""Refuses the options of the bootstrap where no interval is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplicateVariances:
    """Variances of the parts in the replicates that converged.

    Attributes
    ----------
    fixed
        Variance of Xβ, shape (m,).
    random
        Mean variance of each grouping factor's random effects, shape (m,), in the order of `VarianceDecomposition.by_group`.
    residual
        Mean residual variance, shape (m,): σ², unless it differs between strata.
    note
        How many replicates there were.
    """

    fixed: FloatArray
    random: dict[str, FloatArray]
    residual: FloatArray
    note: str

    @property
    def all_random(self) -> FloatArray:
        """Mean variance of all random effects, shape (m,)."""
        return np.asarray(sum(self.random.values()), dtype=np.float64)


def replicate_variances(
    fit: LinearMixedModel, n: int, rng: Seed, threads: int | None, progress: bool, interval: str, level: float
) -> ReplicateVariances:
    """Draw responses from a fit, fit them, and split the variance of each (a parametric bootstrap)."""
    check_level(level)
    if interval not in INTERVALS:
        raise ControlError(f"interval must be one of {', '.join(repr(i) for i in INTERVALS)}, not {interval!r}.")
    found = bootstrap(fit, n, rng=rng, threads=threads, progress=progress)
    numbers = found.replicates.to_numpy(dtype=np.float64)[found.converged]
    design, parameters = fit._design, fit._engine.products.plan.parameters
    p, m = design.n_fixed, parameters.n_theta
    beta, theta, variance = numbers[:, :p], numbers[:, p : p + m], numbers[:, p + m] ** 2

    fixed = np.zeros(len(numbers))
    if p:
        spread = mean_products(design, tuple(range(p)), np.asarray(design.X.mean(axis=0)))
        fixed = np.einsum("mi,ij,mj->m", beta, spread * (design.nobs / (design.nobs - 1)), beta)
    random: dict[str, FloatArray] = {}
    for term, own, place in zip(fit._terms, parameters.terms, parameters.slices(), strict=True):
        k = own.structure.size
        factors = np.array([own.structure.factor(row) for row in theta[:, place]]).reshape(-1, k, k)
        # tr(λλᵀM) = Σ (Mλ)∘λ
        share = variance * np.einsum("mrc,rs,msc->m", factors, mean_products(design, term.columns), factors)
        random[term.factor.name] = random.get(term.factor.name, 0.0) + share
    left_out = f", {found.n_not_converged} of which did not converge and are left out" if found.n_not_converged else ""
    note = f"{100 * level:g}% intervals ({interval}) from a parametric bootstrap with {found.n} replicates{left_out}."
    residual = variance
    structure = fit._engine.residual
    if structure is not None and structure.model.n_ratios:
        # The ratios and ρ are the last of the numbers.
        first = numbers.shape[1] - structure.values.size
        ratios = numbers[:, first : first + structure.model.n_ratios]
        shares = structure.model.stratum_shares
        residual = variance * (shares[0] + ratios**2 @ shares[1:])
    return ReplicateVariances(fixed, random, residual, note)


def interval_of(values: FloatArray, estimate: float, level: float, interval: str) -> tuple[float, float]:
    """Return the bootstrap interval of one number."""
    low, high = replicate_interval(values[:, None], np.array([estimate]), level, interval)[0]
    return float(low), float(high)
