"""Measures of explained variance by level: Snijders & Bosker's, Raudenbush & Bryk's, and Rights & Sterba's decomposition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError, DataError
from multilevel.model.residual_structure import mean_residual_variance
from multilevel.quality.null_model import SimpleVariances, reduced_variances
from multilevel.quality.variance import fixed_predictor, variance_decomposition

if TYPE_CHECKING:
    from multilevel.formula.design import GroupingFactor
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

BETWEEN_SHARE = 1e-12
"""A column whose means by cluster have less than this share of its variance is centred within clusters."""

NEGATIVE = -1e-6
"""A measure above this is zero up to rounding and the optimiser's tolerance, and needs no explanation."""


def snijders_bosker(fit: LinearMixedModel) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return R²₁ and R²₂ (Snijders & Bosker 1994, Sociol. Methods Res. 22, 342–363; 2012, ch. 7), and notes.

    R²₁ is the share by which the predictors reduce the error variance of a single row, τ² + σ²; R²₂ that of a cluster's mean,
    τ² + σ²/n, with the harmonic mean of the clusters' sizes for n.
    """
    design = fit._design
    if design.residual is not None and design.residual.kind is not None:
        raise ControlError(
            "Snijders and Bosker's R squared is for residuals that are independent within clusters; use method='nakagawa',"
            " 'raudenbush-bryk' or 'rights-sterba' with cor_ar1 and cor_car1."
        )
    notes = []
    if any(_slopes(fit)):
        full = reduced_variances(fit, fixed=True, slopes=False)
        notes.append(
            "Fitted anew with random intercepts only, as Snijders and Bosker advise for models with random slopes."
        )
    else:
        parts = variance_decomposition(fit)
        full = SimpleVariances(parts.by_group, parts.residual)
    null = reduced_variances(fit, fixed=False, slopes=False)
    values = {"level_1": 1.0 - full.total / null.total}
    if len(full.by_group) == 1:
        factor = design.random[0].factor
        size = 1.0 / float(np.mean(1.0 / np.bincount(factor.codes, minlength=factor.n_levels)))
        values["level_2"] = 1.0 - full.mean_variance(size) / null.mean_variance(size)
        notes.append(f"Level 2 is the mean of a cluster of {size:.4g} rows (the harmonic mean of the sizes).")
    else:
        notes.append("The measure of level 2 is defined for a single grouping factor; the model has several.")
    if min(values.values()) < NEGATIVE:
        notes.append(
            "A negative value: the predictors raise an estimated variance, which points to a misspecified fixed part."
        )
    return values, tuple(notes)


def _slopes(fit: LinearMixedModel) -> list[bool]:
    """Return for each term whether it is other than a random intercept."""
    design = fit._design
    return [any(not np.all(design.columns[:, c] == 1.0) for c in term.columns) for term in fit._terms]


def reduction_by_level(fit: LinearMixedModel) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the share by which the predictors reduce the variance of each level (Raudenbush & Bryk 2002, ch. 4), and notes."""
    parts = variance_decomposition(fit)
    null = reduced_variances(fit, fixed=False, slopes=True)
    values = {"level_1": _reduction(parts.residual, null.residual)}
    values.update({name: _reduction(value, null.by_group[name]) for name, value in parts.by_group.items()})
    notes = []
    if any(_slopes(fit)):
        notes.append(
            "Random slopes count with their mean variance over the rows, in the model with and without predictors."
        )
    if any(value < NEGATIVE for value in values.values()):
        notes.append("A negative value: the predictors raise the estimated variance of that level.")
    if any(math.isnan(value) for value in values.values()):
        notes.append("NaN: without predictors the estimated variance of that level is zero.")
    return values, tuple(notes)


def _reduction(with_predictors: float, without: float) -> float:
    return 1.0 - with_predictors / without if without > 0 else math.nan


def rights_sterba(fit: LinearMixedModel) -> tuple[dict[str, tuple[float, float, float]], tuple[str, ...]]:
    """Return Rights & Sterba's measures: of the total, the within-cluster and the between-cluster variance, and notes.

    With μ = Xβ, x the columns of the random effects with covariance T, and variances over the rows (divisor n − 1): f1 and f2
    are the variances of μ about its cluster means and of these means; v1 = tr(TΣ_within) and v2 = tr(TΣ_between) with the
    covariances of x; m = x̄ᵀTx̄ (Rights & Sterba 2019, Psychol. Methods 24, 309–338; for predictors that are not centred within
    clusters 2021, New Dir. Child Adolesc. Dev. 175, 65–110).

    Raises
    ------
    DataError
        The model has several grouping factors.
    """
    design = fit._design
    factors = {term.factor.name: term.factor for term in design.random}
    if len(factors) > 1:
        raise DataError(
            f"Rights and Sterba's decomposition is for one grouping factor; the model has {', '.join(factors)}."
        )
    factor = next(iter(factors.values()))
    between, within = _split(fixed_predictor(fit)[:, None], factor)
    f1, f2 = float(within[0, 0]), float(between[0, 0])
    v1 = v2 = m = 0.0
    for term, part in zip(fit._terms, fit.varcorr(), strict=True):
        columns = design.columns[:, list(term.columns)]
        between, within = _split(columns, factor)
        mean = columns.mean(axis=0)
        v1 += float((part.covariance * within).sum())
        v2 += float((part.covariance * between).sum())
        m += float(mean @ part.covariance @ mean)
    residual = mean_residual_variance(fit._engine)
    total = f1 + f2 + v1 + v2 + m + residual
    inside, outside = f1 + v1 + residual, f2 + v2 + m
    nan = math.nan

    def row(of_total: float, of_within: float = nan, of_between: float = nan) -> tuple[float, float, float]:
        return of_total / total, of_within / inside, of_between / outside if outside > 0 else nan

    values = {
        "f1": row(f1, f1),
        "f2": row(f2, nan, f2),
        "v1": row(v1, v1),
        "v2": row(v2, nan, v2),
        "m": row(m, nan, m),
        "f": row(f1 + f2, f1, f2),
        "v": row(v1 + v2, v1, v2),
        "fv": row(f1 + f2 + v1 + v2, f1 + v1, f2 + v2),
        "fvm": row(f1 + f2 + v1 + v2 + m, f1 + v1, f2 + v2 + m),
    }
    mixed = _not_centred(fit, factor)
    notes = [
        f"f1, f2: fixed effects within and between the levels of {factor.name}; v1, v2: random slopes; m: means of the levels;"
        " f = f1 + f2, v = v1 + v2, fv = f + v, fvm = f + v + m."
    ]
    if mixed:
        notes.append(
            f"{', '.join(mixed)} {'varies' if len(mixed) == 1 else 'vary'} both within and between the levels of"
            f" {factor.name}: one coefficient stands for both effects there, so that f1 and f2 are not estimated apart. Centre"
            " within clusters and add the cluster means to tell them apart."
        )
    return values, tuple(notes)


def _split(columns: FloatArray, factor: GroupingFactor) -> tuple[FloatArray, FloatArray]:
    """Return the covariance between clusters and that within them, which sum to the whole (divisor n − 1)."""
    n = len(columns)
    counts = np.bincount(factor.codes, minlength=factor.n_levels)
    centred = columns - columns.mean(axis=0)
    sums = np.column_stack([np.bincount(factor.codes, c, minlength=factor.n_levels) for c in centred.T])
    means = sums / counts[:, None]
    between = np.einsum("jr,js->rs", sums, means) / (n - 1)
    deviations = centred - means[factor.codes]
    return between, np.einsum("ir,is->rs", deviations, deviations) / (n - 1)


def _not_centred(fit: LinearMixedModel, factor: GroupingFactor) -> list[str]:
    """Return the fixed-effects columns that vary both within and between clusters."""
    found = []
    for name, column in zip(fit._design.fixed_names, fit._design.X.T, strict=True):
        between, within = _split(column[:, None], factor)
        whole = between + within
        if min(between[0, 0], within[0, 0]) > BETWEEN_SHARE * whole[0, 0]:
            found.append(name)
    return found
