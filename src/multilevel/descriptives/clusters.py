"""Correlations of columns within clusters and between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multilevel.descriptives.association import Pairs, covariances, pearson
from multilevel.descriptives.statistics import GroupedColumn

FloatArray = npt.NDArray[np.float64]


def within_and_between(
    values: FloatArray, codes: npt.NDArray[np.int32], n_groups: int, level: float
) -> tuple[Pairs, Pairs]:
    """Return the correlations of the deviations from the clusters' means, and those of the means.

    Parameters
    ----------
    values : ndarray
        The columns, NaN where missing; shape (n, p). Each pair rests on the rows that have both.
    codes : ndarray of int
        For each row its cluster.
    n_groups : int
        How many clusters there are.
    level : float
        The confidence level.

    Returns
    -------
    within, between : Pairs
        Pooled within-cluster correlations, which lose one degree of freedom for each cluster; and the correlations of the means
        weighted by the clusters' sizes, which rest on as many observations as there are clusters.
    """
    p = values.shape[1]
    present = ~np.isnan(values)
    if present.all():
        n, clusters, within, between = _both(values, codes, n_groups)
    else:
        n, clusters, within, between = (np.full((p, p), np.nan) for _ in range(4))
        for i in range(p):
            for j in range(i + 1):
                rows = present[:, i] & present[:, j]
                pair = _both(values[rows][:, [i, j]], codes[rows], n_groups)
                for whole, part in zip((n, clusters, within, between), pair, strict=True):
                    whole[i, j] = whole[j, i] = part[0, 1]
    return pearson(within, n, level, lost=clusters - 1), pearson(between, clusters, level)


def _both(
    values: FloatArray, codes: npt.NDArray[np.int32], n_groups: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return numbers of rows and of clusters, and the two correlations, of columns without missing values."""
    columns = [GroupedColumn(values[:, i], codes, n_groups) for i in range(values.shape[1])]
    deviations, means = np.empty_like(values), np.empty_like(values)
    for i, column in enumerate(columns):
        constant = (column.minimum == column.maximum)[codes]
        deviations[:, i] = np.where(constant, 0.0, column.deviations)
        means[:, i] = np.where(constant, values[:, i], column.mean[codes])
    p = values.shape[1]
    clusters = np.full((p, p), float(np.count_nonzero(columns[0].n)))
    n, _, within = covariances(deviations)
    return n, clusters, within, covariances(means)[2]
