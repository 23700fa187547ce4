"""Least squares within each cluster, all clusters at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError
from multilevel.model.level_effects import coefficient_columns
from multilevel.plot.covariances import ellipse
from multilevel.plot.random_effects import chosen_groups

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-7
"""A column is determined by earlier ones within a cluster where less than this part of its length is left, as in R's ``lm``."""


def cluster_least_squares(
    codes: npt.NDArray[np.int32],
    n_clusters: int,
    columns: FloatArray,
    response: FloatArray,
    weights: FloatArray | None = None,
) -> FloatArray:
    """Return the least-squares coefficients of each cluster.

    The columns are made orthogonal within all clusters at once, one after the other (modified Gram–Schmidt), with sums over the
    rows of each cluster; no loop goes over clusters.

    Parameters
    ----------
    codes : ndarray of int
        The cluster of each row, from 0.
    n_clusters : int
        Number of clusters.
    columns : ndarray
        The predictors, shape (n, k).
    response : ndarray
        Shape (n,).
    weights : ndarray, optional
        Prior weights of the rows.

    Returns
    -------
    ndarray
        Shape (clusters, k); NaN in the row of a cluster that does not determine its coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> from multilevel.plot.cluster_lines import cluster_least_squares
    >>> x, y = np.array([0.0, 1, 2, 0, 5]), np.array([1.0, 3, 5, 7, 7])
    >>> cluster_least_squares(np.array([0, 0, 0, 1, 2]), 3, np.column_stack([np.ones(5), x]), y).round(6)
    array([[ 1.,  2.],
           [nan, nan],
           [nan, nan]])
    """
    k = columns.shape[1]
    root = np.ones(len(codes)) if weights is None else np.sqrt(weights)
    rows = np.asfortranarray(np.column_stack([columns, response]) * root[:, None])
    R = np.zeros((n_clusters, k, k + 1))
    determined = np.ones(n_clusters, dtype=np.bool_)
    sizes = [np.bincount(codes, rows[:, c] ** 2, n_clusters) for c in range(k)]
    for c in range(k):
        left = np.bincount(codes, rows[:, c] ** 2, n_clusters)
        own = left > TOLERANCE**2 * sizes[c]
        determined &= own
        length = np.where(own, np.sqrt(left), 1.0)
        R[:, c, c] = length
        unit = rows[:, c] / length[codes]
        for other in range(c + 1, k + 1):
            R[:, c, other] = np.bincount(codes, unit * rows[:, other], n_clusters)
            rows[:, other] -= R[codes, c, other] * unit
    result = np.empty((n_clusters, k))
    for c in range(k - 1, -1, -1):
        explained = np.einsum("jo,jo->j", R[:, c, c + 1 : k], result[:, c + 1 :])
        result[:, c] = (R[:, c, k] - explained) / R[:, c, c]
    result[~determined] = np.nan
    return result


def shrinkage_data(fit: LinearMixedModel, group: str | None = None) -> pd.DataFrame:
    """Return the coefficients of each level without pooling and with partial pooling.

    Without pooling they are the least-squares coefficients of the level's own rows, for the columns that vary by level; the other
    fixed effects, the random effects of other grouping factors, and the offset are held at their estimates. Where the model has no
    others, these are those of R's ``lmList``. With partial pooling they are fixed effects plus conditional modes (`coef`).

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        The grouping factor; by default the first of `ngroups`, the one with the most levels.

    Returns
    -------
    pandas.DataFrame
        One row for each term and level: ``term``, ``grp``, ``n`` (rows of the level), ``no_pooling`` (NaN where the level's rows do
        not determine its coefficients), ``partial_pooling``, and ``population``, the fixed effect (0 where there is none).

    Raises
    ------
    ControlError
        There is no such grouping factor.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.cluster_lines import shrinkage_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> data = shrinkage_data(fit)
    >>> data[data["term"] == "Days"].head(2).round(2)
        term  grp   n  no_pooling  partial_pooling  population
    18  Days  308  10       21.76            19.67       10.47
    19  Days  309  10        2.26             1.85       10.47
    """
    import pandas as pd

    name = chosen_groups(fit, group)[0]
    design = fit._design
    own = [term for term in fit._terms if term.factor.name == name]
    whole = fit.ranef().groups[name]
    factor = own[0].factor
    # A column that two terms have is one coefficient.
    labels = coefficient_columns(fit, name)
    every = [place for term in own for place in term.columns]
    places = list(dict.fromkeys(every))
    names, columns = [labels[place] for place in places], design.columns[:, places]
    modes = np.column_stack([whole.modes[:, [at == place for at in every]].sum(axis=1) for place in places])
    beta = fit._engine.beta
    population = np.array([beta[place] if place < beta.size else 0.0 for place in places])
    coefficients = population + modes
    # What is left when all but the level's own part of the fitted values is taken off.
    response = design.y - fit._fitted_values + np.einsum("nk,nk->n", columns, coefficients[factor.codes])
    alone = cluster_least_squares(factor.codes, factor.n_levels, columns, response, design.weights)
    n = np.bincount(factor.codes, minlength=factor.n_levels)
    parts = [
        pd.DataFrame(
            {
                "term": label, "grp": list(factor.levels), "n": n, "no_pooling": alone[:, c],
                "partial_pooling": coefficients[:, c], "population": population[c],
            }
        )
        for c, label in enumerate(names)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def population_ellipse(fit: LinearMixedModel, group: str, terms: tuple[str, str], level: float) -> FloatArray:
    """Return the region that holds the coefficients of a level of two terms with some probability, by the estimates."""
    labels = coefficient_columns(fit, group)
    names = [labels[place] for term in fit._terms if term.factor.name == group for place in term.columns]
    for label in terms:
        if label not in names:
            raise ControlError(f"{group!r} has no random effect {label!r}; it has {', '.join(names)}.")
    at = [[place for place, name in enumerate(names) if name == label] for label in terms]
    values = fit.varcorr()[group].to_numpy()
    covariance = np.array([[values[np.ix_(r, c)].sum() for c in at] for r in at])
    centre = np.array([float(fit.fixef.get(label, 0.0)) for label in terms])
    return ellipse(centre, covariance, level)
