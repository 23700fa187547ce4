"""Kenward and Roger's adjusted covariance of the fixed effects and their denominator degrees of freedom.

Kenward & Roger (1997, Biometrics 53, 983–997). For covariance matrices that are linear in their parameters,
V = σ²(γ₀I + Σᵣ γᵣ Z EᵣZᵀ), with Eᵣ the unit symmetric matrices of a term's covariance and γ₀ = 1. With Φ = (XᵀV⁻¹X)⁻¹,
P = V⁻¹ − V⁻¹XΦXᵀV⁻¹ and N = ZᵀPZ, everything in the paper follows from four small sets of numbers, none of which needs a matrix of
the size of the data:

    tᵣ = tr(N Eᵣ),   Tᵣₛ = tr(N Eᵣ N Eₛ),   Aᵣ = ΦXᵀV⁻¹ ZEᵣZᵀ V⁻¹XΦ,   Mᵣₛ = ΦXᵀV⁻¹ ZEᵣ N EₛZᵀ V⁻¹XΦ.

The terms with the identity follow from V = I + ΣᵣγᵣZEᵣZᵀ (in units of σ²), PVP = P and XᵀP = 0. In particular the paper's
Qᵣₛ − PᵣΦPₛ is Φ⁻¹MᵣₛΦ⁻¹.

Where a structure is not linear in its parameters (cs, ar1, hetar1, toep), the Eᵣ are those of all elements of its Ψ, and first and
second derivatives of the elements carry the numbers above to the parameters. Second derivatives of V enter Λ as −¼ΣWᵢⱼRᵢⱼ
(Kenward & Roger 1997), and through the bias of the REML estimates of such parameters,
E(σ̂ᵣ) − σᵣ = −¼ΣₛWᵣₛΣᵢⱼWᵢⱼtr(PV̇ₛPV̈ᵢⱼ) (Kenward & Roger 2009, Comput. Stat. Data Anal. 53, 2583–2595). Together they are what is left
of V̈ when its part along the V̇ is taken off, so that the result does not depend on how a structure is parametrised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.fit import EngineFit
from multilevel.engine.solutions import fixed_scores, quadratic_products
from multilevel.engine.structures import CovarianceStructure, unit_matrix
from multilevel.engine.threads import linear_algebra_threads
from multilevel.errors import ControlError
from multilevel.inference.natural_parameters import monomial_derivatives

FloatArray = npt.NDArray[np.float64]

ONE_STRATUM = 1e-8
"""How far A₁ may be from qA₂, relative to it, in contrasts of one stratum.

There F is exact, with 2q/A₂ degrees of freedom, which the approximation finds too, as 0/0 where they are two or four.
"""

NEAR_TWO = 1e-2
"""The scaling is left out where the degrees of freedom are within this of two, at which it has a pole (as in R's pbkrtest)."""


@dataclass(frozen=True, slots=True, eq=False)
class KenwardRogerModel:
    """What the adjusted covariance and the tests of all contrasts follow from.

    Attributes
    ----------
    vcov
        Unadjusted covariance matrix of the fixed effects Φ, shape (p, p).
    adjusted
        The adjusted one, Φ + 2Λ.
    slopes
        ΦPᵣΦ up to sign: the derivatives of Φ with respect to the covariance parameters, shape (m, p, p).
    parameter_covariance
        W, the asymptotic covariance of the covariance parameters, shape (m, m).
    """

    vcov: FloatArray
    adjusted: FloatArray
    slopes: FloatArray
    parameter_covariance: FloatArray

    def test(self, contrasts: FloatArray) -> tuple[float, float]:
        """Return the scaling λ and the denominator degrees of freedom of the F test of some contrasts, shape (q, p).

        In the paper's words, with A₁, A₂, B, g, c₁, c₂ and c₃. One contrast (A₁ = A₂) is always in one stratum.
        """
        q = contrasts.shape[0]
        theta = contrasts.T @ np.linalg.solve(contrasts @ self.vcov @ contrasts.T, contrasts)
        moved = np.einsum("ij,ajk->aik", theta, self.slopes)
        traces = np.trace(moved, axis1=1, axis2=2)
        products = np.einsum("aij,bji->ab", moved, moved)
        a1 = float(traces @ self.parameter_covariance @ traces)
        a2 = float((self.parameter_covariance * products).sum())
        if a2 <= 0.0:
            return 1.0, float("inf")
        if abs(a1 - q * a2) <= ONE_STRATUM * a1:
            return 1.0, 2.0 * q / a2
        b = (a1 + 6.0 * a2) / (2.0 * q)
        g = ((q + 1.0) * a1 - (q + 4.0) * a2) / ((q + 2.0) * a2)
        below = 3.0 * q + 2.0 * (1.0 - g)
        c1, c2, c3 = g / below, (q - g) / below, (q + 2.0 - g) / below
        # E* = 1/e and V* = (2/q) v0/(v1² v2); their reciprocals are zero at two and four degrees of freedom
        e = 1.0 - a2 / q
        v0, v1, v2 = 1.0 + c1 * b, 1.0 - c2 * b, 1.0 - c3 * b
        excess = e**2 * v0 - v1**2 * v2
        if excess == 0.0:
            return e, float("inf")
        df = 4.0 + (q + 2.0) * v1**2 * v2 / excess
        return (1.0 if abs(df - 2.0) < NEAR_TWO else df * e / (df - 2.0)), df


@dataclass(frozen=True, slots=True, eq=False)
class _Elements:
    """The matrices Eᵣ in which V is linear, and how their multiples depend on the covariance parameters.

    Attributes
    ----------
    blocks, units
        The block and Eᵣ of each, m of them.
    values
        γᵣ, shape (m,).
    first, second
        Derivatives of γ with respect to the parameters, shapes (m, n) and (m, n, n); the identity and zeros where these are γ.
    """

    blocks: list[int]
    units: list[FloatArray]
    values: FloatArray
    first: FloatArray
    second: FloatArray


def _elements(fit: EngineFit) -> _Elements:
    """Return the multiples of a linear structure; of others the elements of Ψ, products of standard deviations and correlations."""
    blocks: list[int] = []
    units: list[FloatArray] = []
    values: list[float] = []
    chains: list[tuple[FloatArray, FloatArray]] = []
    for term in fit.products.plan.parameters.terms:
        psi = fit.model.factor.factors[term.block] @ fit.model.factor.factors[term.block].T
        k = term.structure.size
        inside = slice(term.offset, term.offset + k)
        own = psi[inside, inside]
        found = term.structure.units()
        if found is None:
            places = [(row, column) for row in range(k) for column in range(row + 1)]
            found = [unit_matrix(k, row, column) for row, column in places]
            chains.append(_chain(term.structure, own, places))
        else:
            n = len(found)
            chains.append((np.eye(n), np.zeros((n, n, n))))
        for matrix in found:
            unit = np.zeros(psi.shape)
            unit[inside, inside] = matrix
            # every element of a unit has the same multiple in Ψ
            at, to = np.argwhere(unit)[0]
            blocks.append(term.block)
            units.append(unit)
            values.append(float(psi[at, to]))
    m, n = len(units), sum(first.shape[1] for first, _ in chains)
    first, second = np.zeros((m, n)), np.zeros((m, n, n))
    at = to = 0
    for slope, bend in chains:
        rows, columns = slice(at, at + slope.shape[0]), slice(to, to + slope.shape[1])
        first[rows, columns], second[rows, columns, columns] = slope, bend
        at, to = rows.stop, columns.stop
    return _Elements(blocks, units, np.array(values), first, second)


def _chain(
    structure: CovarianceStructure, psi: FloatArray, places: list[tuple[int, int]]
) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of some elements of Ψ with respect to a structure's standard deviations and correlations."""
    deviations = np.sqrt(np.diag(psi))
    values = []
    for element in structure.natural():
        both = float(deviations[element.row] * deviations[element.column])
        value = float(psi[element.row, element.column])
        values.append(float(deviations[element.row]) if element.kind == "sd" else value / both if both > 0 else 0.0)
    found = [monomial_derivatives(np.array(values), structure.monomial(row, column)) for row, column in places]
    return np.array([slope for slope, _ in found]), np.array([bend for _, bend in found])


def kenward_roger_model(fit: EngineFit) -> KenwardRogerModel:
    """Work out the adjustment of a REML fit."""
    with linear_algebra_threads(fit.products.dense.shape[0], None):
        return _kenward_roger_model(fit)


def _kenward_roger_model(fit: EngineFit) -> KenwardRogerModel:
    if fit.residual is not None:
        raise ControlError(
            "Kenward and Roger's method is not available for models with a residual structure; use ddf='satterthwaite'."
        )
    objective, factor, products = fit.objective, fit.model.factor, fit.products
    plan = products.plan
    elements = _elements(fit)
    blocks, units, gamma = elements.blocks, elements.units, elements.values
    m, p, q = len(units), products.n_fixed, products.n_dense

    # t and T from the first and second derivatives of the restricted log-determinants along Eᵣ
    if objective.exact_is_cheap:
        psi, hessian = single_factor_derivatives(factor, True, np.stack(units), precision=0.0)
        sums: tuple[FloatArray, ...] = (psi,)
    else:
        found = sensitivity(factor, True, precision=0.0)
        sums = found.psi
        hessian = hessian_by_direction(factor, found, True, blocks, units, precision=0.0)
    t = np.array([float((sums[b] * unit).sum()) for b, unit in zip(blocks, units, strict=True)])
    information = np.empty((m + 1, m + 1))
    information[:m, :m] = -hessian
    information[:m, m] = information[m, :m] = t - information[:m, :m] @ gamma
    trace = products.nobs - p - float(gamma @ t)
    information[m, m] = trace - float(gamma @ information[:m, m])
    # by the chain rule from the elements to the parameters, the last of which is the residual variance
    first = np.zeros((m + 1, elements.first.shape[1] + 1))
    first[:m, :-1] = elements.first
    first[m, -1] = 1.0
    inverse = np.linalg.pinv(first.T @ information @ first, rcond=1e-12, hermitian=True)
    w = np.asarray(2.0 * inverse, dtype=np.float64)

    # A and M from the vectors Eᵣ ZᵀV⁻¹XΦ
    chain, dense = fixed_scores(factor)
    chain_vectors = np.zeros((chain.shape[0], m * p))
    dense_vectors = np.zeros((factor.dense.shape[0], m * p))
    slopes = np.empty((m + 1, p, p))
    for r in range(m):
        block = plan.blocks[blocks[r]]
        size = block.size * block.n_levels
        columns = slice(r * p, (r + 1) * p)
        source = products.rows_of(blocks[r], chain, dense)
        moved = np.einsum("st,jtc->jsc", units[r], source.reshape(block.n_levels, block.size, p)).reshape(size, p)
        products.rows_of(blocks[r], chain_vectors, dense_vectors)[:, columns] = moved
        slopes[r] = source.T @ moved
    inner = quadratic_products(factor, chain_vectors, dense_vectors).reshape(m, p, m, p).transpose(0, 2, 1, 3)
    to_user = products.fixed.to_user()
    order = factor.cholesky.shape[0]
    phi = factor.solve_dense(np.eye(order, p, -q))[q:]
    slopes[m] = phi - np.einsum("r,rij->ij", gamma, slopes[:m])
    # With the identity's rows and columns from XᵀP = 0, the sum over all parameters is one over the first m.
    lift = np.vstack([np.eye(m), -gamma])
    total = np.einsum("rs,rsij->ij", lift.T @ first @ w @ first.T @ lift, inner)
    # Σ WᵢⱼV̈ᵢⱼ, as multiples of the elements, less its part along the V̇
    bend = np.zeros(m + 1)
    bend[:m] = np.einsum("ij,rij->r", w[:-1, :-1], elements.second)
    bend -= first @ (inverse @ (first.T @ (information @ bend)))
    total -= 0.25 * np.einsum("r,rij->ij", bend, slopes)
    total = 0.5 * (total + total.T)
    variance = fit.sigma**2
    vcov = variance * (to_user @ phi @ to_user.T)
    adjusted = vcov + 2.0 * variance * (to_user @ total @ to_user.T)
    carried = variance * np.einsum("ij,rjk,lk->ril", to_user, np.tensordot(first.T, slopes, axes=1), to_user)
    return KenwardRogerModel(vcov, adjusted, carried, w)
