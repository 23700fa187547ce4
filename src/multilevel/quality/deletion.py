"""What becomes of the fixed effects when rows are left out and theta stays: exact formulas, no refits.

With G = V⁻¹X(XᵀV⁻¹X)⁻¹ and P as in `row_kernels`, leaving out the rows S changes the fixed effects by −G_SᵀP_SS⁻¹(Py)_S, adds
G_SᵀP_SS⁻¹G_S to their covariance matrix (divided by σ²), and takes (Py)_SᵀP_SS⁻¹(Py)_S off the penalized sum of squares. That
holds for any V, crossed factors included. Where every grouping factor is nested in the groups left out, V is block-diagonal over
them, and with Aⱼ = XⱼᵀVⱼ⁻¹Xⱼ, rⱼ = XⱼᵀVⱼ⁻¹(yⱼ − Xⱼβ) the change is −(XᵀV⁻¹X − Aⱼ)⁻¹rⱼ: sums over rows, however many a group has
(Christensen, Pearson & Johnson 1992, Technometrics 34; Demidenko & Stukel 2005, Statistics in Medicine 24).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from multilevel.engine.objective import Objective
from multilevel.engine.plan import Plan
from multilevel.engine.products import cross_products_of
from multilevel.engine.threads import linear_algebra_threads
from multilevel.formula.rank import dependent_columns
from multilevel.model.simulation import ClusterDesigns, is_nested, marginal_mean
from multilevel.quality.row_kernels import SINGULAR_PIVOT
from multilevel.quality.row_solutions import RowSolutions, row_solutions

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Deletions:
    """What leaving out each of several sets of rows does to a fit, in the user's columns.

    Attributes
    ----------
    change
        Fixed effects without the rows less those with them, shape (J, p); NaN where they cannot be estimated without the rows.
    cooks_distance
        changeᵀ · vcov⁻¹ · change / p, shape (J,).
    std_error
        Standard errors without the rows, with σ estimated anew, shape (J, p).
    covariance_ratio
        Determinant of the covariance matrix without the rows over that with them, shape (J,).
    sigma
        Residual standard deviation without the rows, shape (J,).
    counts
        Rows left out, shape (J,).
    estimable
        Whether the fixed effects can be estimated without the rows, shape (J,).
    """

    change: FloatArray
    cooks_distance: FloatArray
    std_error: FloatArray
    covariance_ratio: FloatArray
    sigma: FloatArray
    counts: npt.NDArray[np.int64]
    estimable: npt.NDArray[np.bool_]


def delete_rows(fit: LinearMixedModel) -> Deletions:
    """Leave out each row in turn, theta held."""
    rows = row_solutions(fit)
    n, p = rows.gain.shape
    estimable = rows.diagonal > SINGULAR_PIVOT * rows.weights
    pivot = np.where(estimable, rows.diagonal, np.nan)
    moved = rows.scores / pivot
    gain = rows.user_gain()
    base = np.diag(rows.to_user @ (rows.cholesky @ rows.cholesky.T) @ rows.to_user.T)
    length = (solve_triangular(rows.cholesky, rows.gain.T, lower=True) ** 2).sum(axis=0) if p else np.zeros(n)
    counts = np.ones(n, dtype=np.int64)
    sigma = _sigma(fit, rows.scores * moved, counts)
    return Deletions(
        -gain * moved[:, None],
        moved**2 * length / (p * fit.sigma**2),
        sigma[:, None] * np.sqrt(base + gain**2 / pivot[:, None]),
        (sigma / fit.sigma) ** (2 * p) * (1.0 + length / pivot),
        sigma,
        counts,
        estimable & np.isfinite(sigma),
    )


def delete_groups(fit: LinearMixedModel, codes: IntArray, n_groups: int) -> Deletions:
    """Leave out each group of rows in turn, theta held."""
    rows = row_solutions(fit)
    p = rows.gain.shape[1]
    factors = [term.factor for term in fit._design.random]
    counts = np.bincount(codes, minlength=n_groups)
    if all(is_nested(factor.codes, factor.n_levels, codes) for factor in factors):
        products, state = _independent(fit, rows, codes, n_groups)
    else:
        products, state = rows.deletion_products(codes, n_groups)
    large = np.flatnonzero(state == 2)
    if large.size:
        designs = ClusterDesigns.of(fit._design, codes, n_groups)
        for group in large:
            found = _refactorised(fit, rows, designs, int(group), n_groups)
            state[group] = 1 if found is None else 0
            products[group] = np.nan if found is None else found
    estimable = state == 0
    products[~estimable] = np.nan
    spread, change, lost = products[:, :p, :p], -products[:, :p, p], products[:, p, p]
    sigma = _sigma(fit, lost, counts)
    M = rows.cholesky @ rows.cholesky.T
    user = np.einsum("ab,jbc,ac->ja", rows.to_user, M + spread, rows.to_user)
    standard = solve_triangular(rows.cholesky, change.T, lower=True, check_finite=False)
    inverse = np.linalg.inv(rows.cholesky)
    logdet = log_determinants(np.eye(p) + np.einsum("ab,jbc,dc->jad", inverse, spread, inverse))
    return Deletions(
        change @ rows.to_user.T,
        (standard**2).sum(axis=0) / (p * fit.sigma**2),
        sigma[:, None] * np.sqrt(user),
        np.exp(2 * p * np.log(sigma / fit.sigma) + logdet),
        sigma,
        counts,
        estimable & np.isfinite(sigma),
    )


def log_determinants(blocks: FloatArray) -> FloatArray:
    """Return the logarithm of the determinant of each matrix, NaN where one holds NaN."""
    result = np.full(len(blocks), np.nan)
    known = np.isfinite(blocks).all(axis=(1, 2))
    result[known] = np.linalg.slogdet(blocks[known])[1]
    return result


def _sigma(fit: LinearMixedModel, lost: FloatArray, counts: npt.NDArray[np.int64]) -> FloatArray:
    """Return the residual standard deviation without some rows."""
    df = fit._engine.objective.residual_df
    left = df - counts
    squares = np.maximum(fit.sigma**2 * df - lost, 0.0)
    return np.sqrt(np.where(left > 0, squares / np.maximum(left, 1), np.nan))


def _independent(
    fit: LinearMixedModel, rows: RowSolutions, codes: IntArray, n_groups: int
) -> tuple[FloatArray, npt.NDArray[np.int8]]:
    """Return what `RowSolutions.deletion_products` does, for groups in which all grouping factors are nested."""
    design, scaling = fit._design, fit._engine.products.fixed
    p = rows.gain.shape[1]
    error = design.y - marginal_mean(fit)
    score, information = np.empty((n_groups, p)), np.empty((n_groups, p, p))
    for a, place in enumerate(scaling.places):
        x = (design.columns[:, place] - scaling.shift[a]) * scaling.scale[a]
        score[:, a] = np.bincount(codes, x * rows.scores, n_groups)
        for b in range(p):
            information[:, a, b] = np.bincount(codes, x * rows.gain[:, b], n_groups)
    # The share of a group in the information, LᵀAL with LLᵀ = M: its eigenvalues are between zero and one.
    L = rows.cholesky
    inverse = np.linalg.inv(L)
    share = np.einsum("ba,jbc,dc->jad", L, information, inverse)
    values, vectors = np.linalg.eigh(0.5 * (share + share.transpose(0, 2, 1)))
    state = (values[:, -1] > 1.0 - SINGULAR_PIVOT).astype(np.int8)
    left = np.where(state[:, None] == 0, 1.0 - values, 1.0)
    directions = L @ vectors
    products = np.empty((n_groups, p + 1, p + 1))
    products[:, :p, :p] = np.einsum("jab,jb,jcb->jac", directions, values / left, directions)
    inside = np.einsum("jab,ja->jb", directions, score)
    products[:, :p, p] = products[:, p, :p] = np.einsum("jab,jb->ja", directions, inside / left)
    own = np.bincount(codes, error * rows.scores, n_groups)
    products[:, p, p] = own + (inside**2 / left).sum(axis=1)
    return products, state


def carried_theta(theta: FloatArray, source: Plan, target: Plan) -> FloatArray:
    """Return theta in the order of another plan of the same terms, which has them by their number of levels."""
    places = dict(zip(source.term_order, source.parameters.slices(), strict=True))
    return np.concatenate([theta[places[term]] for term in target.term_order])


def _refactorised(
    fit: LinearMixedModel, rows: RowSolutions, designs: ClusterDesigns, group: int, n_groups: int
) -> FloatArray | None:
    """Return the same of one large group by factorising the cross-products without it; None where X loses rank."""
    rest = designs.take(np.delete(np.arange(n_groups), group))
    if dependent_columns(rest.X):
        return None
    products = cross_products_of(rest)
    objective = Objective(products, fit.reml)
    q, p = products.n_dense, products.n_fixed
    with linear_algebra_threads(products.dense.shape[0], None):
        theta = carried_theta(fit._engine.theta, fit._engine.products.plan, products.plan)
        factor = objective.factorise(products.plan.parameters.from_user(theta))
    beta = products.user_fixed_effects(-factor.coefficients[q : q + p])
    half = np.linalg.inv(np.tril(factor.cholesky[q:, q:])) @ products.fixed.to_user().T
    to_engine = np.linalg.inv(rows.to_user)
    result = np.empty((p + 1, p + 1))
    result[:p, :p] = to_engine @ (half.T @ half) @ to_engine.T - rows.cholesky @ rows.cholesky.T
    result[:p, p] = result[p, :p] = -to_engine @ (beta - fit._engine.beta)
    total = fit.sigma**2 * fit._engine.objective.residual_df
    result[p, p] = total - factor.rss / products.response_scale**2
    return result
