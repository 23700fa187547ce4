"""The deviance as a function of standard deviations, correlations and σ, with exact derivatives.

The covariance of a term's random effects is Σᵢⱼ = sᵢ sⱼ ρᵢⱼ, where a patterned structure has one s or ρ (or a power of one) in
several places; so every element of the relative covariance Ψ = Σ/σ² is a product of powers of standard deviations, correlations
and 1/σ². The engine's derivatives with respect to Ψ carry over by the chain rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.factor import BlockedFactor, factorise
from multilevel.engine.objective import Objective
from multilevel.engine.parameters import lower_factor
from multilevel.engine.solutions import score_products
from multilevel.engine.structures import unit_matrix

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NaturalParameter:
    """One parameter: a standard deviation, a correlation, σ, or one of a residual structure.

    Attributes
    ----------
    kind
        ``"sd"``, ``"cor"``, ``"sigma"`` or ``"residual"``.
    term
        Position of the term in the order of theta; −1 for σ and what follows it.
    row, column
        The term's columns concerned (equal for a standard deviation).
    label
        The name of what belongs to several columns (see `NaturalElement`).
    low, high
        The smallest and the largest value it can have.
    """

    kind: str
    term: int
    row: int
    column: int
    label: str = ""
    low: float = 0.0
    high: float = np.inf


def _same(value: float) -> float:
    return value


@dataclass(frozen=True, slots=True)
class HeldScale:
    """The scale on which a parameter is held along its profile.

    Attributes
    ----------
    low, high
        The bounds on this scale.
    inside
        From this scale to the parameter of the deviance.
    outside
        Back.
    reported
        From this scale to what users see.
    """

    low: float
    high: float
    inside: Callable[[float], float] = _same
    outside: Callable[[float], float] = _same
    reported: Callable[[float], float] = _same


def natural_scale(parameter: NaturalParameter, unit: float) -> HeldScale:
    """Return the scale on which a standard deviation or a correlation is held."""
    return HeldScale(
        parameter.low, parameter.high, inside=lambda value: value / unit, outside=lambda value: value * unit
    )


@dataclass(frozen=True, slots=True)
class NaturalDeviance:
    """The deviance (−2 log-likelihood, σ not profiled out) in natural parameters, in the user's columns.

    Attributes
    ----------
    objective
        The objective of the model; its criterion is not used, its cross-products are.
    parameters
        The parameters: for each term the standard deviations and correlations in the order of theta, then σ.
    units
        What one unit of each parameter is worth in the user's columns: the deviance is a function of parameters of ordinary size,
        whatever units the data have.
    columns
        For each term the units of its standard deviations relative to that of σ, by column.
    """

    objective: Objective
    parameters: tuple[NaturalParameter, ...]
    units: FloatArray
    columns: tuple[FloatArray, ...]

    @classmethod
    def of(cls, objective: Objective, *, scaled: bool = False) -> NaturalDeviance:
        """List the parameters of a model, in the user's units or (`scaled`) in those of the engine's columns and response."""
        found: list[NaturalParameter] = []
        for t, term in enumerate(objective.products.plan.parameters.terms):
            found.extend(
                NaturalParameter(e.kind, t, e.row, e.column, e.label, e.low, 1.0 if e.kind == "cor" else np.inf)
                for e in term.structure.natural()
            )
        found.append(NaturalParameter("sigma", -1, 0, 0))
        terms = objective.products.plan.parameters.terms
        if not scaled:
            return cls(objective, tuple(found), np.ones(len(found)), tuple(np.ones(t.structure.size) for t in terms))
        columns = tuple(np.abs(np.diag(term.to_user)) for term in terms)
        unit = 1.0 / objective.products.response_scale
        sizes = [
            unit * float(columns[p.term][p.row]) if p.kind == "sd" else unit if p.kind == "sigma" else 1.0
            for p in found
        ]
        return cls(objective, tuple(found), np.array(sizes), columns)

    def values_of(self, factors: list[FloatArray], sigma: float) -> FloatArray:
        """Return the parameters of relative factors λ (the user's, in the order of theta) and σ, in the user's units."""
        values = []
        for parameter in self.parameters:
            if parameter.kind == "sigma":
                values.append(sigma)
                continue
            lam = sigma * factors[parameter.term]
            length = np.sqrt((lam * lam).sum(axis=1))
            r, c = parameter.row, parameter.column
            if parameter.kind == "sd":
                values.append(float(length[r]))
            else:
                both = float(length[r] * length[c])
                values.append(float(lam[r] @ lam[c]) / both if both > 0 else 0.0)
        return np.array(values)

    def _covariances(self, values: FloatArray) -> list[FloatArray]:
        """Return Σ of each term, in the parameters' units."""
        found = []
        for term, first in zip(self.objective.products.plan.parameters.terms, self._first(), strict=True):
            k = term.structure.size
            matrix = np.zeros((k, k))
            for r in range(k):
                for c in range(r + 1):
                    if r == c or term.structure.correlated:
                        powers = term.structure.monomial(r, c).items()
                        matrix[r, c] = matrix[c, r] = np.prod(
                            [float(values[first + at]) ** power for at, power in powers]
                        )
            found.append(matrix)
        return found

    def _first(self) -> list[int]:
        """Return the position of each term's first parameter."""
        counts = [len(term.structure.natural()) for term in self.objective.products.plan.parameters.terms]
        return [0, *np.cumsum(counts)[:-1].tolist()]

    def allowed(self, index: int, value: float) -> FloatArray:
        """Return values of the correlations with which one of them can have a value: zeros, or what a pattern asks for."""
        result = np.zeros(len(self.parameters))
        held = self.parameters[index]
        result[index] = value
        if held.label.startswith("lag"):
            # independent AR(1) processes interleaved: the correlation at m times the lag is the m-th power
            for i, other in enumerate(self.parameters):
                if other.term == held.term and other.kind == "cor" and other.row % held.row == 0:
                    result[i] = value ** (other.row // held.row)
        return result

    def feasible(self, values: FloatArray) -> bool:
        """Return whether the values are standard deviations above zero and a positive semidefinite correlation matrix."""
        if values[-1] <= 0 or any(
            value < 0 for p, value in zip(self.parameters, values, strict=True) if p.kind == "sd"
        ):
            return False
        unit = values.copy()
        unit[[i for i, p in enumerate(self.parameters) if p.kind == "sd"]] = 1.0
        return all(float(np.linalg.eigvalsh(matrix)[0]) > -1e-12 for matrix in self._covariances(unit))

    def _engine_factors(self, values: FloatArray) -> list[FloatArray]:
        """Return λ̃ of every block."""
        plan = self.objective.products.plan
        sigma = float(values[-1])
        factors = [np.zeros((size, size)) for size in plan.parameters.block_sizes]
        for t, (term, covariance) in enumerate(zip(plan.parameters.terms, self._covariances(values), strict=True)):
            eigenvalues, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0)) / sigma
            inside = slice(term.offset, term.offset + term.structure.size)
            factors[term.block][inside, inside] = lower_factor(self._to_engine(t) @ root)
        return factors

    def _to_engine(self, term: int) -> FloatArray:
        """Return the map of a term's random effects from the parameters' units to the engine's columns."""
        result: FloatArray = self.objective.products.plan.parameters.terms[term].to_engine * self.columns[term]
        return result

    def reported(self, values: FloatArray) -> FloatArray:
        """Return the parameters as users see them."""
        return values * self.units

    def scale(self, index: int) -> HeldScale:
        """Return the scale on which a parameter is held: the user's."""
        return natural_scale(self.parameters[index], float(self.units[index]))

    def factorised(self, values: FloatArray) -> BlockedFactor:
        """Factorise the problem at some values."""
        return factorise(self.objective.products, self.objective.rows, self._engine_factors(values))

    def evaluate(
        self, values: FloatArray, *, curvature: bool = True, factor: BlockedFactor | None = None
    ) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return the deviance, its gradient, its Hessian, and the fixed effects (engine's columns) at some values.

        Without `curvature` the Hessian is left out (an empty array) unless it comes for free. `factor` is what `factorised` gives.
        """
        objective, products = self.objective, self.objective.products
        plan = products.plan
        factor = self.factorised(values) if factor is None else factor
        # In the engine's units the response is scaled.
        sigma = float(values[-1] * self.units[-1]) * products.response_scale
        precision = 1.0 / sigma**2
        n = products.nobs
        value = factor.logdet_random + n * np.log(2.0 * np.pi * sigma**2) + factor.rss * precision
        value += -2.0 * n * np.log(products.response_scale) - products.log_weights

        units, rows = self._units()
        blocks = [plan.parameters.terms[t].block for t, _, _ in rows]
        if objective.exact_is_cheap:
            psi, bend = single_factor_derivatives(factor, False, np.stack(units), precision=precision)
            sums: tuple[FloatArray, ...] = (psi,)
        else:
            found = sensitivity(factor, False, precision=precision)
            sums = found.psi
            bend = (
                hessian_by_direction(factor, found, False, blocks, units, precision=precision)
                if curvature
                else np.empty((0, 0))
            )
        scores = score_products(factor)
        slope = np.array([float((sums[b] * unit).sum()) for b, unit in zip(blocks, units, strict=True)])
        rss_slope = -np.array([float((scores[b] * unit).sum()) for b, unit in zip(blocks, units, strict=True)])

        first, second = self._relative(values, rows)
        gradient = first.T @ slope
        # σ also stands in n log σ² + r²/σ².
        s = float(values[-1])
        gradient[-1] += 2.0 * n / s - 2.0 * factor.rss * precision / s
        hessian = np.empty((0, 0))
        if bend.size:
            hessian = first.T @ bend @ first + np.einsum("a,aij->ij", slope, second)
            cross = -2.0 * precision / s * (first.T @ rss_slope)
            hessian[-1, :] += cross
            hessian[:, -1] += cross
            hessian[-1, -1] += -2.0 * n / s**2 + 6.0 * factor.rss * precision / s**2
        q, p = products.n_dense, products.n_fixed
        return float(value), gradient, hessian, -factor.coefficients[q : q + p]

    def _units(self) -> tuple[list[FloatArray], list[tuple[int, int, int]]]:
        """Return, for each element of each term's Ψ, its unit matrix in the engine's columns, and (term, row, column)."""
        plan = self.objective.products.plan
        units, rows = [], []
        for t, term in enumerate(plan.parameters.terms):
            k = term.structure.size
            for r in range(k):
                for c in range(r + 1):
                    if r != c and not term.structure.correlated:
                        continue
                    unit = unit_matrix(k, r, c)
                    whole = np.zeros((plan.parameters.block_sizes[term.block],) * 2)
                    inside = slice(term.offset, term.offset + k)
                    whole[inside, inside] = self._to_engine(t) @ unit @ self._to_engine(t).T
                    units.append(whole)
                    rows.append((t, r, c))
        return units, rows

    def _relative(self, values: FloatArray, rows: list[tuple[int, int, int]]) -> tuple[FloatArray, FloatArray]:
        """Return first and second derivatives of the elements of Ψ = s s' ρ / σ² with respect to the parameters."""
        m = len(self.parameters)
        terms, begin = self.objective.products.plan.parameters.terms, self._first()
        first, second = np.zeros((len(rows), m)), np.zeros((len(rows), m, m))
        for a, (t, r, c) in enumerate(rows):
            # a product of powers: its derivatives follow from those of the logarithm, written out to allow zeros
            powers = {begin[t] + at: power for at, power in terms[t].structure.monomial(r, c).items()}
            powers[m - 1] = -2
            first[a], second[a] = monomial_derivatives(values, powers)
        return first, second


def monomial_derivatives(values: FloatArray, powers: dict[int, int]) -> tuple[FloatArray, FloatArray]:
    """Return gradient and Hessian of Π valuesᵢ^powerᵢ."""
    m = values.size
    gradient, hessian = np.zeros(m), np.zeros((m, m))

    def product(reduced: dict[int, int]) -> float:
        result = 1.0
        for at, power in reduced.items():
            result *= float(values[at]) ** power
        return result

    for a, power_a in powers.items():
        less = {**powers, a: power_a - 1}
        gradient[a] = power_a * product(less)
        for b, power_b in less.items():
            if power_b != 0:
                hessian[a, b] += power_a * power_b * product({**less, b: power_b - 1})
    return gradient, hessian
