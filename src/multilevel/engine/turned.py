"""The criterion as a function of covariance matrices factorised from their last column up: a way off saddle points of λ.

With λ lower triangular and its first pivot zero, λ₂₁ does not enter Ψ₂₁ = λ₁₁λ₂₁: the criterion may fall along a covariance while
both of its derivatives in λ are zero. The point is a saddle whose curvature can be too small to be followed, since along it λ turns
on a circle. Where the columns are taken in the opposite order, the large variance is the first pivot, Ψ₂₁ is linear in an element
of the factor, and Newton's method sees the slope.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.factor import BlockedFactor
from multilevel.engine.objective import LocalModel, Objective
from multilevel.engine.parameters import Parameters, lower_factor
from multilevel.engine.products import CrossProducts

FloatArray = npt.NDArray[np.float64]


def can_turn(parameters: Parameters) -> bool:
    """Return whether some term has columns to take in another order, and every λ is linear in its parameters."""
    several = any(term.structure.rotates and term.structure.size > 1 for term in parameters.terms)
    return several and parameters.linear


@dataclass(frozen=True, slots=True)
class TurnedObjective:
    """The criterion of a model in the parameters of lower-triangular factors of its covariance matrices, columns reversed.

    Attributes
    ----------
    objective
        The criterion; its λ are linear in their parameters.
    """

    objective: Objective
    _orders: list[npt.NDArray[np.intp]] = field(init=False)

    def __post_init__(self) -> None:
        """Work out the order of the columns of each block."""
        orders = [np.arange(size) for size in self.parameters.block_sizes]
        for term in self.parameters.terms:
            if term.structure.rotates:
                inside = slice(term.offset, term.offset + term.structure.size)
                orders[term.block][inside] = orders[term.block][inside][::-1].copy()
        object.__setattr__(self, "_orders", orders)

    @property
    def products(self) -> CrossProducts:
        """The cross-products of the design."""
        return self.objective.products

    @property
    def parameters(self) -> Parameters:
        """The parameters: what makes a factor usual is the same in either order."""
        return self.objective.parameters

    def turn(self, phi: FloatArray) -> FloatArray:
        """Return the parameters, in the opposite order of columns, of the same covariance matrices."""
        result = phi.copy()
        for term, place in zip(self.parameters.terms, self.parameters.slices(), strict=True):
            if term.structure.rotates:
                result[place] = term.structure.parameters(lower_factor(term.structure.factor(phi[place])[::-1]))
        return result

    def factorise(self, phi: FloatArray) -> BlockedFactor:
        """Factorise the problem."""
        return self.objective.factorise(self.turn(phi))

    def value_of(self, factor: BlockedFactor) -> float:
        """Return the criterion of a factorised problem."""
        return self.objective.value_of(factor)

    def value(self, phi: FloatArray) -> float:
        """Return the criterion."""
        return self.value_of(self.factorise(phi))

    def gradient(self, phi: FloatArray) -> FloatArray:
        """Return the exact gradient."""
        return self.local_model(phi).gradient

    def local_model(
        self, phi: FloatArray, factor: BlockedFactor | None = None, exact: bool | None = None
    ) -> LocalModel:
        """Return value, gradient and Hessian; the latter is exact, whatever is asked for."""
        del exact
        factor = self.factorise(phi) if factor is None else factor
        reml = self.objective.reml
        blocks, dots, factors = [], [], []
        whole = self.parameters.block_factors(phi)
        for block, dot in self.objective.factor_derivatives(phi):
            order = np.ix_(self._orders[block], self._orders[block])
            blocks.append(block)
            dots.append(dot[order])
            factors.append(whole[block][order])
        halves = [dot @ own.T for dot, own in zip(dots, factors, strict=True)]
        directions = [half + half.T for half in halves]
        if self.objective.exact_is_cheap:
            bar, hessian = single_factor_derivatives(factor, reml, np.stack(directions))
            psi: tuple[FloatArray, ...] = (bar,)
        else:
            found = sensitivity(factor, reml)
            psi = found.psi
            hessian = hessian_by_direction(factor, found, reml, blocks, directions)
        gradient = np.empty(phi.size)
        hessian = hessian.copy()
        for a, block in enumerate(blocks):
            gradient[a] = 2.0 * float(((psi[block] @ factors[a]) * dots[a]).sum())
            pushed = psi[block] @ dots[a]
            for b in range(len(blocks)):
                if blocks[b] == block:
                    hessian[a, b] += 2.0 * float((pushed * dots[b]).sum())
        return LocalModel(phi, self.value_of(factor), gradient, hessian, True, factor)
