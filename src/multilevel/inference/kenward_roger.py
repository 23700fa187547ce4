"""Kenward and Roger's adjusted covariance of the fixed effects and their denominator degrees of freedom.

Kenward & Roger (1997, Biometrics 53, 983–997), for covariance matrices that are linear in their parameters:
V = σ²(γ₀I + Σᵣ γᵣ Z EᵣZᵀ), with Eᵣ the unit symmetric matrices of a term's covariance and γ₀ = 1. With Φ = (XᵀV⁻¹X)⁻¹,
P = V⁻¹ − V⁻¹XΦXᵀV⁻¹ and N = ZᵀPZ, everything in the paper follows from four small sets of numbers, none of which needs a matrix of
the size of the data:

    tᵣ = tr(N Eᵣ),   Tᵣₛ = tr(N Eᵣ N Eₛ),   Aᵣ = ΦXᵀV⁻¹ ZEᵣZᵀ V⁻¹XΦ,   Mᵣₛ = ΦXᵀV⁻¹ ZEᵣ N EₛZᵀ V⁻¹XΦ.

The terms with the identity follow from V = I + ΣᵣγᵣZEᵣZᵀ (in units of σ²), PVP = P and XᵀP = 0. In particular the paper's
Qᵣₛ − PᵣΦPₛ is Φ⁻¹MᵣₛΦ⁻¹.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.derivatives import hessian_by_direction, sensitivity, single_factor_derivatives
from multilevel.engine.fit import EngineFit
from multilevel.engine.solutions import fixed_scores, quadratic_products
from multilevel.engine.threads import linear_algebra_threads
from multilevel.errors import ControlError

FloatArray = npt.NDArray[np.float64]


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
        """Return the scaling λ and the denominator degrees of freedom of the F test of some contrasts, shape (q, p)."""
        q = contrasts.shape[0]
        theta = contrasts.T @ np.linalg.solve(contrasts @ self.vcov @ contrasts.T, contrasts)
        moved = np.einsum("ij,ajk->aik", theta, self.slopes)
        traces = np.trace(moved, axis1=1, axis2=2)
        products = np.einsum("aij,bji->ab", moved, moved)
        a1 = float(traces @ self.parameter_covariance @ traces)
        a2 = float((self.parameter_covariance * products).sum())
        b = (a1 + 6.0 * a2) / (2.0 * q)
        g = ((q + 1.0) * a1 - (q + 4.0) * a2) / ((q + 2.0) * a2) if a2 > 0 else 0.0
        below = 3.0 * q + 2.0 * (1.0 - g)
        c1, c2, c3 = g / below, (q - g) / below, (q + 2.0 - g) / below
        expectation = 1.0 / (1.0 - a2 / q)
        variance = (2.0 / q) * (1.0 + c1 * b) / ((1.0 - c2 * b) ** 2 * (1.0 - c3 * b))
        rho = variance / (2.0 * expectation**2)
        df = 4.0 + (q + 2.0) / (q * rho - 1.0)
        return df / (expectation * (df - 2.0)), float(df)


def _units(fit: EngineFit) -> tuple[list[int], list[FloatArray], FloatArray]:
    """Return the block and Eᵣ of each covariance parameter, and γᵣ."""
    parameters = fit.products.plan.parameters
    blocks: list[int] = []
    units: list[FloatArray] = []
    values: list[float] = []
    for term in parameters.terms:
        psi = fit.model.factor.factors[term.block] @ fit.model.factor.factors[term.block].T
        inside = slice(term.offset, term.offset + term.structure.size)
        found = term.structure.units()
        if found is None:
            raise ControlError(
                "Kenward and Roger's method needs a covariance matrix that is linear in its parameters, which that of a cs, ar1,"
                " hetar1 or toep term is not; use ddf='satterthwaite', or a homogeneous structure such as homcs or homtoep."
            )
        for own in found:
            unit = np.zeros(psi.shape)
            unit[inside, inside] = own
            # every element of a unit has the same multiple in Ψ
            at, to = np.argwhere(unit)[0]
            blocks.append(term.block)
            units.append(unit)
            values.append(float(psi[at, to]))
    return blocks, units, np.array(values)


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
    blocks, units, gamma = _units(fit)
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
    w = np.asarray(2.0 * np.linalg.pinv(information, rcond=1e-12, hermitian=True), dtype=np.float64)

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
    total = np.einsum("rs,rsij->ij", lift.T @ w @ lift, inner)
    total = 0.5 * (total + total.T)
    variance = fit.sigma**2
    vcov = variance * (to_user @ phi @ to_user.T)
    adjusted = vcov + 2.0 * variance * (to_user @ total @ to_user.T)
    carried = variance * np.einsum("ij,rjk,lk->ril", to_user, slopes, to_user)
    return KenwardRogerModel(vcov, adjusted, carried, w)
