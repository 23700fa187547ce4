"""Standardised residuals: conditional, marginal and whitened."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.engine.accumulate import rows_by_level
from multilevel.errors import DataError
from multilevel.inference.robust import clusters_of
from multilevel.model.residual_structure import refuse_structures
from multilevel.model.simulation import marginal_mean
from multilevel.quality.row_kernels import SINGULAR_PIVOT, whiten_single
from multilevel.quality.row_solutions import row_solutions

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
StandardisedKind = Literal["conditional", "marginal", "whitened"]


LARGEST_CLUSTER = 5000
"""Rows of a cluster whose covariance matrix is factorised as it stands."""


@checked
def rstandard(fit: LinearMixedModel, kind: StandardisedKind = "conditional") -> pd.Series[float]:
    """Return residuals divided by their standard deviations.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    kind : {"conditional", "marginal", "whitened"}
        ``"conditional"``: y − Xβ − Zb, divided by σ·√((1 − h)/w) with h the leverage. ``"marginal"``: y − Xβ, divided by the
        square root of the diagonal of σ²(V − X(XᵀV⁻¹X)⁻¹Xᵀ); they are correlated within clusters. ``"whitened"``: L⁻¹(y − Xβ)/σ
        with V = LLᵀ in the order of the rows of each cluster, which are uncorrelated where the model is true.

    Returns
    -------
    pandas.Series
        One value for each row; NaN for a conditional residual that is zero whatever the response (leverage one).

    Raises
    ------
    ControlError
        There is no such kind.
    DataError
        Whitened residuals are asked for and the grouping factors are crossed, so that no cluster is independent of the others.

    References
    ----------
    Santos Nobre & Singer 2007, Biometrical Journal 49, section 3; Houseman, Ryan & Coull 2004, JASA 99, for the whitened ones.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.rstandard(fit).head(3).round(3).tolist()
    [-0.183, -0.627, -1.764]
    >>> ml.rstandard(fit, "whitened").head(3).round(3).tolist()
    [-0.052, -0.071, -0.632]
    """
    values = {"conditional": _conditional, "marginal": _marginal, "whitened": whitened_residuals}[kind](fit)
    return fit._by_row(values, "standardised residual")


@checked
def rstudent(fit: LinearMixedModel, *, external: bool = False) -> pd.Series[float]:
    """Return studentised conditional residuals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    external : bool
        False, as lme4's ``rstudent`` has it: divided by σ·√((1 − h)/w) with the σ of the fit, which is `rstandard`. True: with
        the σ of the fit without the row, theta held, as R's ``rstudent`` has it for ``lm``.

    Returns
    -------
    pandas.Series
        One value for each row; NaN where the leverage is one.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.rstudent(fit).abs().idxmax(), round(float(ml.rstudent(fit, external=True).abs().max()), 3)
    (56, 6.056)
    """
    values = _conditional(fit)
    if external:
        df = fit._engine.objective.residual_df
        # (Py)²/Pᵢᵢ is σ² times the square of the standardised residual.
        with np.errstate(invalid="ignore", divide="ignore"):
            values = values * np.sqrt((df - 1.0) / (df - values**2))
    return fit._by_row(values, "studentised residual")


def _conditional(fit: LinearMixedModel) -> FloatArray:
    rows = row_solutions(fit)
    pivot = np.where(rows.diagonal > SINGULAR_PIVOT * rows.weights, rows.diagonal, np.nan)
    result: FloatArray = rows.scores / (np.sqrt(pivot) * fit.sigma)
    return result


def _marginal(fit: LinearMixedModel) -> FloatArray:
    design, scaling = fit._design, fit._engine.products.fixed
    rows = row_solutions(fit)
    variance = 1.0 / rows.weights
    for term, factor in zip(fit._terms, fit._engine.term_factors(), strict=True):
        loads = design.columns[:, list(term.columns)] @ factor
        variance = variance + (loads**2).sum(axis=1)
    X = (design.columns[:, scaling.places] - scaling.shift) * scaling.scale
    variance -= ((X @ rows.cholesky) ** 2).sum(axis=1)
    variance = np.where(variance > SINGULAR_PIVOT / rows.weights, variance, np.nan)
    result: FloatArray = (design.y - marginal_mean(fit)) / (fit.sigma * np.sqrt(variance))
    return result


def whitened_residuals(fit: LinearMixedModel, place: npt.NDArray[np.intp] | None = None) -> FloatArray:
    """Return L⁻¹(y − Xβ)/σ for the rows used, those of a cluster following one another as in `place` (by default as they are)."""
    from scipy.linalg import solve_triangular

    from multilevel.inference.robust import _cluster_covariance

    refuse_structures(fit, "The whitening of marginal residuals")
    design, plan = fit._design, fit._engine.products.plan
    error = design.y - marginal_mean(fit)
    try:
        clusters = clusters_of(fit)
    except DataError as problem:
        names = ", ".join(dict.fromkeys(term.factor.name for term in fit._terms))
        raise DataError(
            f"The grouping factors {names} are crossed, so every row depends on every other: whitened residuals need independent"
            " clusters; use the conditional or the marginal ones."
        ) from problem
    codes = clusters.codes if place is None else clusters.codes[place]
    start, order = rows_by_level(codes, clusters.count)
    if place is not None:
        order = place[order].astype(np.int32)
    result = np.empty(design.nobs)
    if len(plan.blocks) == 1:
        block = plan.blocks[0]
        weights = np.empty(0) if design.weights is None else np.ascontiguousarray(design.weights)
        whiten_single(
            design.columns, block.columns.places, block.columns.shift, block.columns.scale,
            np.ascontiguousarray(fit._engine.model.factor.factors[0]), weights, start, order, error, result,
        )  # fmt: skip
        return result / fit.sigma
    largest = int(np.diff(start).max())
    if largest > LARGEST_CLUSTER:
        raise DataError(
            f"A level of {clusters.name!r} has {largest} rows: whitened residuals of nested grouping factors are for clusters of at"
            f" most {LARGEST_CLUSTER}; use the conditional or the marginal ones."
        )
    for first, last in itertools.pairwise(start):
        rows = order[first:last].astype(np.intp)
        L = np.linalg.cholesky(_cluster_covariance(fit, rows))
        result[rows] = solve_triangular(L, error[rows], lower=True)
    return result
