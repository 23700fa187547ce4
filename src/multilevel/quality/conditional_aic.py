"""The conditional Akaike information criterion.

With V = W⁻¹ + ZΨZᵀ (in units of σ²), P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹ and N = ZᵀPZ the fitted values are ŷ = y − W⁻¹Py. With known
variances the effective number of parameters is the trace of the hat matrix,

    ρ = Σ ∂ŷᵢ/∂yᵢ = n − tr(W⁻¹P) = p + tr(ΨN),

since W⁻¹ = V − ZΨZᵀ and tr(VP) = n − p. When the covariance parameters φ are estimated they move with y as well. With Ψⱼ =
∂Ψ/∂φⱼ, g = ZᵀPy, uⱼ = Ψⱼg and aⱼ = PZuⱼ, ŷ moves by ∂ŷ/∂φⱼ = W⁻¹aⱼ, and φ̂, where the gradient of the criterion is zero, by
∂φ̂/∂y = H⁻¹·2c[aₖ − (gᵀuₖ/r²)Py] with c the reciprocal of σ². The trace then grows by

    2c Σⱼₖ (H⁻¹)ⱼₖ [aⱼᵀW⁻¹aₖ − aⱼᵀW⁻¹Py·gᵀuₖ/r²],

which is Greven & Kneib's (2010) correction. From PVP = P it follows that aⱼᵀW⁻¹aₖ = uⱼᵀNuₖ − (Nuⱼ)ᵀΨ(Nuₖ), so that numbers by
random effect are all it takes: no matrix of n rows is formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsymm

from multilevel.arguments import checked, checked_methods
from multilevel.engine.derivatives import sensitivity
from multilevel.engine.factor import BlockedFactor
from multilevel.engine.fit import EngineFit
from multilevel.engine.solution_kernels import back_substitute, eliminate_columns, multiply
from multilevel.engine.solutions import chain_scores, dense_scores
from multilevel.engine.threads import linear_algebra_threads
from multilevel.model.residual_structure import refuse_structures
from multilevel.quality.shown import Shown
from multilevel.reporting.cells import Number
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class ConditionalAIC(Shown):
    """Conditional AIC, what `conditional_aic` returns.

    Attributes
    ----------
    loglik : float
        Conditional log-likelihood, of the response given the conditional modes.
    hat_trace : float
        ρ, the trace of the hat matrix: the effective number of parameters of the mean with known variances.
    correction : float
        What the estimated variances add to it (Greven & Kneib 2010).
    """

    loglik: float
    hat_trace: float
    correction: float
    _notes: tuple[str, ...]

    @property
    def df(self) -> float:
        """Effective degrees of freedom: ``hat_trace`` + ``correction`` + 1 for σ."""
        return self.hat_trace + self.correction + 1.0

    @property
    def aic(self) -> float:
        """Conditional AIC, −2·loglik + 2·df."""
        return -2.0 * self.loglik + 2.0 * self.df

    @property
    def aic_known_variances(self) -> float:
        """Conditional AIC that takes the variances as known, −2·loglik + 2(ρ + 1) (Vaida & Blanchard 2005)."""
        return -2.0 * self.loglik + 2.0 * (self.hat_trace + 1.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    def to_frame(self) -> pd.DataFrame:
        """Return ``loglik``, ``hat_trace``, ``correction``, ``df``, ``aic`` and ``aic_known_variances`` in one row."""
        import pandas as pd

        names = ("loglik", "hat_trace", "correction", "df", "aic", "aic_known_variances")
        return pd.DataFrame([[getattr(self, name) for name in names]], columns=list(names))

    def _table(self) -> Table:
        likelihood = format_values([round(self.loglik, 2)], 12, decimals=2)[0]
        found = (
            ("Conditional log-likelihood", likelihood),
            ("Trace of the hat matrix", f"{self.hat_trace:.2f}"),
            ("Correction for estimated variances", f"{self.correction:.2f}"),
            ("Effective degrees of freedom", f"{self.df:.2f}"),
            ("Conditional AIC (Greven & Kneib)", f"{self.aic:.2f}"),
            ("Conditional AIC, variances known (Vaida & Blanchard)", f"{self.aic_known_variances:.2f}"),
        )
        names = ("loglik", "hat_trace", "correction", "df", "aic", "aic_known_variances")
        rows = tuple(
            (label, Number(text, (getattr(self, name),))) for (label, text), name in zip(found, names, strict=True)
        )
        return Table("Conditional AIC", ("", "Value"), rows)


@checked
def conditional_aic(fit: LinearMixedModel) -> ConditionalAIC:
    """Return the conditional AIC, for predictions within the clusters of the data.

    The ordinary (marginal) AIC judges a model by new clusters and counts a variance as one parameter; the conditional AIC
    judges it by new rows of the same clusters and counts the random effects by how far the data determine them. Models with
    different random effects, and also fits by REML with different fixed effects, can be compared by it.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    ConditionalAIC
        ``aic``, ``df`` and what they are made of.

    Raises
    ------
    DataTypeError
        It is not a fitted model.

    Notes
    -----
    Vaida & Blanchard (2005), Biometrika 92, 351–370; Greven & Kneib (2010), Biometrika 97, 773–789. The correction is the exact
    derivative of the fitted values by the response through the estimated variances, also with prior weights. Likelihood and trace
    agree with R's ``cAIC4::cAIC``; its correction is somewhat larger: ``Reaction ~ Days + (1 | Subject)`` has 18.023 effective
    parameters here and by differences of the fitted values, in R too, and 18.030 in cAIC4. Where a variance is estimated as zero
    or a correlation as ±1, only the parameters inside the boundary are corrected for.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.conditional_aic(fit))
    Conditional AIC
    <BLANKLINE>
                                                           Value
    Conditional log-likelihood                           -824.51
    Trace of the hat matrix                                29.02
    Correction for estimated variances                      1.23
    Effective degrees of freedom                           31.25
    Conditional AIC (Greven & Kneib)                     1711.52
    Conditional AIC, variances known (Vaida & Blanchard) 1709.06
    """
    refuse_structures(fit, "The conditional AIC")
    engine = fit._engine
    with linear_algebra_threads(engine.products.dense.shape[0], None):
        trace, correction = effective_parameters(engine)
    notes = []
    if fit.is_singular:
        notes.append(
            "The fit is singular: variances that are estimated as zero are not corrected for, as if their random effects were"
            " not in the model."
        )
    return ConditionalAIC(_conditional_loglik(fit), trace, correction, tuple(notes))


def _conditional_loglik(fit: LinearMixedModel) -> float:
    scaled = fit._residual_values("scaled")
    constant = fit.nobs * math.log(2.0 * math.pi * fit.sigma**2) - fit._engine.products.log_weights
    return -0.5 * (constant + float(scaled @ scaled))


def effective_parameters(fit: EngineFit) -> tuple[float, float]:
    """Return the trace of the hat matrix and the correction for estimated covariance parameters."""
    objective, factor, products = fit.objective, fit.model.factor, fit.products
    plan = products.plan
    sums = sensitivity(factor, True, precision=0.0).psi
    covariances = [lam @ lam.T for lam in factor.factors]
    trace = products.n_fixed + sum(float((total * psi).sum()) for total, psi in zip(sums, covariances, strict=True))

    chain_g, chain_modes = chain_scores(factor)
    dense_g = dense_scores(factor)
    blocks, directions = objective.directions(fit.model.phi, factor)
    m = len(directions)
    chain, dense = np.zeros((chain_g.size, m)), np.zeros((factor.dense.shape[0], m))
    for j, (at, direction) in enumerate(zip(blocks, directions, strict=True)):
        g = products.rows_of(at, chain_g, dense_g)
        products.rows_of(at, chain, dense)[:, j] = (g.reshape(-1, plan.blocks[at].size) @ direction).ravel()
    u = np.concatenate([chain, dense[: products.n_dense]])
    scores, effects = scores_of(factor, chain, dense)
    g = np.concatenate([chain_g, dense_g])
    modes = np.concatenate([chain_modes, -factor.coefficients[: products.n_dense]])

    pairs = u.T @ scores - scores.T @ effects
    crossed = u.T @ g - scores.T @ modes
    slopes = u.T @ g
    inverse = fit.convergence._inverse_of(fit.convergence.hessian)
    c = objective.residual_df / factor.rss
    correction = 2.0 * c * float((inverse * (pairs - np.outer(crossed, slopes) / factor.rss)).sum())
    return trace, correction


def scores_of(factor: BlockedFactor, chain: FloatArray, dense: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Nu and ΨNu for vectors u of random effects, given as columns over the chain and over the rows of the dense matrix."""
    products = factor.products
    layout, q, order = products.layout, products.n_dense, factor.cholesky.shape[0]
    m = chain.shape[1]
    right = np.zeros_like(chain)
    dense_right = np.ascontiguousarray(dsymm(1.0, products.dense.T, dense, lower=0))
    multiply(layout, products.diagonal, products.tail, products.values, chain, dense, right, dense_right)
    eliminated = (layout, factor.chain_flat, factor.diagonal, factor.tail, factor.values)
    eliminate_columns(*eliminated, right, dense_right, np.zeros((m, m)))
    solution = np.zeros((order + 1, m))
    solution[:order] = -factor.solve_dense(dense_right[:order])
    scores, effects = np.empty_like(chain), np.empty_like(chain)
    back_substitute(*eliminated, solution, right, scores, effects)
    left = dense_right[:q] + dsymm(1.0, factor.dense.T, solution, lower=0)[:q]
    return np.concatenate([scores, left]), np.concatenate([effects, -solution[:q]])
