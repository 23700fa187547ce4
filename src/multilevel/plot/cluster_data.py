"""The rows, the lines of clusters and the line of the population that a picture of clustered data shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor
from multilevel.data.frames import Column, Frame
from multilevel.data.times import from_count
from multilevel.descriptives.groups import first_rows
from multilevel.errors import ControlError, DataError, MissingValuesWarning
from multilevel.formula.deparse import quote_name
from multilevel.formula.syntax import names_in
from multilevel.inference.reference_grid import fixed_variables, plain_values
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.source import data_used
from multilevel.plot.cluster_lines import cluster_least_squares
from multilevel.plot.random_effects import chosen_groups
from multilevel.plot.style import sampled

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

GRID_POINTS = 21
"""Values of x at which the lines of a model are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredRows:
    """The rows of clustered data.

    Attributes
    ----------
    x
        The predictor; for text and categories the position of the level, from 0.
    y
        The response.
    codes
        The cluster of each row, from 0.
    clusters
        The names of the clusters.
    names
        The names of predictor, response and cluster.
    categories
        The levels of the predictor, or None where it is a number.
    fit
        The model, where the rows are those of one.
    weights
        The model's prior weights of the rows, or None.
    """

    x: FloatArray
    y: FloatArray
    codes: npt.NDArray[np.int32]
    clusters: tuple[str, ...]
    names: tuple[str, str, str]
    categories: tuple[str, ...] | None
    fit: LinearMixedModel | None
    weights: FloatArray | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.clusters)


def clustered_rows(data: Any, x: str, y: str | None, cluster: str | None) -> ClusteredRows:
    """Return the rows of a data frame or of a fit.

    Parameters
    ----------
    data
        A data frame, or a fitted model.
    x
        The predictor's column.
    y
        The response's column; for a model its response.
    cluster
        The cluster's column; for a model one of its grouping factors, by default the one with the most levels.

    Raises
    ------
    ControlError
        An argument is missing, or does not go with a model.
    DataError
        A fit has no data frame, or no row is left.
    UnknownColumnError
        There is no such column.
    """
    if isinstance(data, LinearMixedModel):
        if y is not None:
            raise ControlError(f"y is for data frames: the response of the model is {data._design.response_name!r}.")
        name = chosen_groups(data, cluster)[0]
        factor = next(term.factor for term in data._terms if term.factor.name == name)
        values, categories = _numbers(data_used(data, [x])[x])
        names = (x, data._design.response_name, name)
        found = ClusteredRows(
            values, data._design.y, factor.codes, factor.levels, names, categories, data, data._design.weights
        )
        absent = ~np.isfinite(values)
    else:
        for name, given in (("y", y), ("cluster", cluster)):
            if given is None:
                raise ControlError(f"{name} must be given for a data frame: the name of a column.")
        frame = Frame(data)
        values, categories = _numbers(frame.column(x))
        response = frame.column(str(y)).as_numbers().astype(np.float64)
        groups = frame.column(str(cluster)).as_factor().drop_unused()
        names = (x, str(y), str(cluster))
        found = ClusteredRows(values, response, groups.codes, groups.levels.names, names, categories, None)
        absent = ~np.isfinite(values) | ~np.isfinite(response) | (groups.codes < 0)
    if absent.any():
        warn_caller(
            f"{int(absent.sum())} of {len(absent)} rows are not drawn because {', '.join(names)} lack a value in them.",
            MissingValuesWarning,
        )
        found = _some_rows(found, np.flatnonzero(~absent))
    if not len(found.y):
        raise DataError(f"No row has a value of each of {', '.join(names)}.")
    return found


def _numbers(column: Column) -> tuple[FloatArray, tuple[str, ...] | None]:
    """Return a predictor as numbers, and its levels where it has such."""
    if not isinstance(column.values, Factor) and column.values.dtype.kind != "b":
        return column.as_numbers().astype(np.float64), None
    factor = column.as_factor().drop_unused()
    return np.where(factor.codes < 0, np.nan, factor.codes), factor.levels.names


def _some_rows(rows: ClusteredRows, kept: IntArray) -> ClusteredRows:
    """Return some of the rows, with the clusters that occur in them."""
    used, codes = np.unique(rows.codes[kept], return_inverse=True)
    names = tuple(rows.clusters[code] for code in used)
    weights = None if rows.weights is None else rows.weights[kept]
    return ClusteredRows(
        rows.x[kept], rows.y[kept], codes.astype(np.int32), names, rows.names, rows.categories, rows.fit, weights
    )


def sampled_clusters(rows: ClusteredRows, most: int) -> npt.NDArray[np.bool_]:
    """Return which clusters are drawn."""
    chosen = np.zeros(rows.n_clusters, dtype=np.bool_)
    chosen[sampled(rows.n_clusters, most)] = True
    return chosen


def separate_lines(rows: ClusteredRows, chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return the least-squares line of each cluster over its own range of x; for categories the means of its rows.

    Returns
    -------
    pandas.DataFrame
        ``cluster``, ``x``, ``y``. A cluster with one value of x has no line.
    """
    import pandas as pd

    names = np.array(rows.clusters, dtype=object)
    if rows.categories is not None:
        k = len(rows.categories)
        cell = rows.codes.astype(np.int64) * k + rows.x.astype(np.int64)
        weights = np.ones(len(cell)) if rows.weights is None else rows.weights
        count = np.bincount(cell, weights, k * rows.n_clusters)
        total = np.bincount(cell, weights * rows.y, k * rows.n_clusters)
        cells = np.flatnonzero((count > 0) & np.repeat(chosen, k))
        return pd.DataFrame(
            {"cluster": names[cells // k], "x": (cells % k).astype(np.float64), "y": total[cells] / count[cells]}
        )
    coefficients = cluster_least_squares(
        rows.codes, rows.n_clusters, np.column_stack([np.ones(len(rows.x)), rows.x]), rows.y, rows.weights
    )
    low, high = np.full(rows.n_clusters, np.inf), np.full(rows.n_clusters, -np.inf)
    np.minimum.at(low, rows.codes, rows.x)
    np.maximum.at(high, rows.codes, rows.x)
    own = np.flatnonzero(chosen & np.isfinite(coefficients).all(axis=1))
    ends = np.column_stack([low[own], high[own]])
    return pd.DataFrame(
        {
            "cluster": np.repeat(names[own], 2),
            "x": ends.ravel(),
            "y": (coefficients[own, :1] + coefficients[own, 1:] * ends).ravel(),
        }
    )


def pooled_line(rows: ClusteredRows) -> pd.DataFrame:
    """Return the least-squares line through all rows, clusters ignored; for categories their means."""
    whole = ClusteredRows(
        rows.x, rows.y, np.zeros(len(rows.x), dtype=np.int32), ("all",), rows.names, rows.categories, None
    )
    return separate_lines(whole, np.ones(1, dtype=np.bool_)).drop(columns="cluster")


def model_lines(rows: ClusteredRows, chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return the model's line for each cluster: fixed effects and the cluster's conditional modes.

    Other numeric predictors are at the cluster's mean, categories at their most frequent level in it. Of the random effects those
    of the cluster count, and of factors that the cluster is nested in.

    Returns
    -------
    pandas.DataFrame
        ``cluster``, ``x``, ``y``, over each cluster's own range of x.
    """
    fit = _fit_of(rows)
    name = rows.names[2]
    own = next(term.factor for term in fit._terms if term.factor.name == name).codes
    first = first_rows(own, int(own.max()) + 1)
    terms = [term.label for term in fit._terms if np.array_equal(term.factor.codes, term.factor.codes[first][own])]
    random = "~ " + " + ".join(f"({label})" for label in terms)
    return _predicted_lines(rows, chosen, _other_columns(rows, random=True), random)


def population_lines(rows: ClusteredRows, chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return the model's line without random effects for each cluster, other predictors as in `model_lines`.

    What a cluster's line is apart from it is the cluster's random effects alone, also where the predictors differ between clusters.

    Returns
    -------
    pandas.DataFrame
        ``cluster``, ``x``, ``y``, over the whole range of x.
    """
    _fit_of(rows)
    whole = _grid(rows, np.arange(len(rows.x)))
    return _predicted_lines(rows, chosen, _other_columns(rows, random=False), False, whole)


def _predicted_lines(
    rows: ClusteredRows,
    chosen: npt.NDArray[np.bool_],
    columns: dict[str, npt.NDArray[Any]],
    re_formula: str | bool,
    grid: FloatArray | None = None,
) -> pd.DataFrame:
    """Return predictions for each cluster, the other columns at what is typical of it; by default over its own range of x."""
    import pandas as pd

    fit = _fit_of(rows)
    grouping = fit.formula.grouping_variables
    wanted = np.flatnonzero(chosen)
    members = np.flatnonzero(chosen[rows.codes])
    order = members[np.argsort(rows.codes[members], kind="stable")]
    parts = np.split(order, np.cumsum(np.bincount(rows.codes[order], minlength=rows.n_clusters)[wanted])[:-1])
    x, labels, others = [], [], {other: [] for other in columns}  # type: ignore[var-annotated]
    for code, part in zip(wanted, parts, strict=True):
        own = _grid(rows, part) if grid is None else grid
        x.append(own)
        labels += [rows.clusters[code]] * len(own)
        for other, values in columns.items():
            others[other] += [_typical(values[part], numeric=other not in grouping)] * len(own)
    at = np.concatenate(x)
    newdata = {rows.names[0]: _as_column(rows, at), **{other: _array(values) for other, values in others.items()}}
    return pd.DataFrame({"cluster": labels, "x": at, "y": np.asarray(fit.predict(newdata, re_formula=re_formula))})


def population_line(rows: ClusteredRows) -> pd.DataFrame:
    """Return the model's line without random effects, other predictors at their mean or most frequent level."""
    import pandas as pd

    fit = _fit_of(rows)
    at = _grid(rows, np.arange(len(rows.x)))
    newdata = {rows.names[0]: _as_column(rows, at)}
    for other, value in population_values(rows).items():
        newdata[other] = _array([value] * len(at))
    return pd.DataFrame({"x": at, "y": np.asarray(fit.predict(newdata, re_formula=False))})


def population_values(rows: ClusteredRows) -> dict[str, Any]:
    """Return the mean or the most frequent level of each predictor that the population's line is not over."""
    return {name: _typical(values) for name, values in _other_columns(rows, random=False).items()}


def _fit_of(rows: ClusteredRows) -> LinearMixedModel:
    if rows.fit is None:
        raise ControlError("Lines of a model need a fitted model in the place of the data.")
    if rows.names[0] not in rows.fit.formula.variables:
        raise ControlError(
            f"The model {rows.fit.formula} has no variable {rows.names[0]!r}, so that it has no lines over it."
        )
    return rows.fit


def _other_columns(rows: ClusteredRows, *, random: bool) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that a prediction with or without random effects needs besides x."""
    fit = _fit_of(rows)
    names = dict.fromkeys(names_in(fit.formula.right_node))
    own = fit._data.arguments.get("offset")
    if isinstance(own, str):
        names[own] = None
    fixed = fixed_variables(fit)
    unused = () if random else [name for name in fit.formula.grouping_variables if name not in fixed]
    wanted = [name for name in names if name != rows.names[0] and name not in unused]
    return {name: plain_values(column) for name, column in data_used(fit, wanted).items()}


def _grid(rows: ClusteredRows, part: IntArray) -> FloatArray:
    own = rows.x[part]
    if rows.categories is not None:
        return np.unique(own)
    low, high = float(own.min()), float(own.max())
    return np.array([low]) if low == high else np.linspace(low, high, GRID_POINTS)


def _typical(values: npt.NDArray[Any], *, numeric: bool = True) -> Any:
    """Return the mean of numbers, the most frequent of other values."""
    if numeric and values.dtype.kind in "iuf":
        return float(np.mean(values))
    if numeric and values.dtype.kind in "Mm":
        return np.array([round(float(np.mean(values.astype(np.int64))))]).astype(values.dtype)[0]
    levels, counts = np.unique(values.astype(str) if values.dtype == object else values, return_counts=True)
    return levels[np.argmax(counts)]


def _array(values: Sequence[Any]) -> npt.NDArray[Any]:
    return np.array(values, dtype=object) if values and isinstance(values[0], str) else np.array(values)


def _as_column(rows: ClusteredRows, at: FloatArray) -> npt.NDArray[Any]:
    if rows.categories is None:
        encoder = None if rows.fit is None else rows.fit._design.encoder
        scale = None if encoder is None else encoder.state.get(quote_name(rows.names[0]))
        return at if scale is None else from_count(at, scale)
    levels: npt.NDArray[Any] = np.array(rows.categories, dtype=object)[at.astype(int)]
    if set(rows.categories) <= {"FALSE", "TRUE"}:
        levels = np.asarray(levels == "TRUE")
    return levels
