"""Centring by level: the parts of a variable that lie within clusters and between them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor
from multilevel.data.frames import Frame
from multilevel.descriptives.groups import (
    Groups,
    as_names,
    groups_of,
    hint_of_measured_groups,
    numbers_of,
    numeric_columns,
    say_missing_groups,
)
from multilevel.descriptives.statistics import GroupedColumn
from multilevel.errors import ControlError, DataError, MissingValuesWarning
from multilevel.levels.nesting import grouping_factors, is_nested, say_missing_factors
from multilevel.levels.output import refuse_overwriting, with_columns

FloatArray = npt.NDArray[np.float64]
FrameT = TypeVar("FrameT")


@checked
def demean(
    frame: FrameT,
    columns: str | int | Iterable[str | int],
    by: str | int | Iterable[str | int],
    *,
    grand_mean: bool = False,
    suffix_between: str = "_between",
    suffix_within: str = "_within",
) -> FrameT:
    """Split variables into the part between clusters and the part within them, as R's ``datawizard::demean``.

    With one factor ``x_between`` is the mean of x in the row's cluster and ``x_within`` is how far x is from it. With nested
    factors, ``by="school/class"``, ``x_school_between`` is the school's mean, ``x_class_between`` how far the class's mean is from
    it, and ``x_within`` how far x is from the class's mean. With crossed factors, ``by=["subject", "item"]``,
    ``x_subject_between`` and ``x_item_between`` are the means and ``x_within`` is x less both. The parts always add up to x,
    or with ``grand_mean=True`` to x less its mean.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str
        The variables. Truth values count as 0 and 1; text and categories become indicators, ``x_level``, one for each level.
    by : str or iterable of str
        The grouping factor, several that are crossed, or nested ones joined by slashes, outermost first.
    grand_mean : bool, default False
        Whether to subtract the mean of all rows from what lies between.
    suffix_between, suffix_within : str
        What the names of the new columns end with.

    Returns
    -------
    data frame
        A frame of the same kind with the new columns at its end. A row without a value has a between part, if other rows of its
        cluster have values, but no within part; means are over the rows with values.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column holds dates.
    DataError
        If the data already have a column with one of the new names.
    ControlError
        If some factors are nested and others crossed.

    Warns
    -----
    MissingValuesWarning
        If values or groups are missing.

    References
    ----------
    Bell, A., Fairbrother, M. and Jones, K. (2019). Fixed and random effects models: making an informed choice. Quality & Quantity
    53, 1051-1074. Brincks, A. M. et al. (2017). Centering predictor variables in three-level contextual models. Multivariate
    Behavioral Research 52, 149-163. Guo, Y., Dhaliwal, J. and Rights, J. D. (2024). Disaggregating level-specific effects in
    cross-classified multilevel models. Behavior Research Methods 56, 3023-3057.

    Examples
    --------
    >>> import multilevel as ml
    >>> pastes = ml.demean(ml.load_dataset("Pastes"), "strength", by="batch/cask")
    >>> pastes.filter(like="strength").head(3).round(3)
       strength  strength_batch_between  strength_cask_between  strength_within
    0      62.8                  62.267                  0.433              0.1
    1      62.6                  62.267                  0.433             -0.1
    2      60.1                  62.267                 -1.067             -1.1
    """
    data = Frame(frame)
    hint_of_measured_groups(data, by)
    factors = grouping_factors(data, by)
    nested = is_nested(data, by)
    if nested and len(as_names(by, data)) > 1:
        raise ControlError(f"by must be nested factors or crossed ones, not both: {by!r}. Call demean once for each.")
    variables = _variables(data, columns)
    _say_missing(variables, factors)
    between: dict[str, FloatArray] = {}
    within: dict[str, FloatArray] = {}
    new: list[str] = []
    for name, values in variables.items():
        grand = float(GroupedColumn(values, None).mean[0]) if grand_mean else 0.0
        means = [_means(values, groups) for groups in factors]
        if nested:
            parts = [means[0] - grand, *(inner - outer for outer, inner in pairwise(means))]
        else:
            parts = [mean - grand for mean in means]
        labels = [groups.names[-1] for groups in factors]
        several = len(factors) > 1
        named = [f"{name}_{label}{suffix_between}" if several else f"{name}{suffix_between}" for label in labels]
        between.update(zip(named, parts, strict=True))
        new += named
        rest = values - means[-1]
        for part in [] if nested else parts[:-1]:
            rest = rest - part
        within[f"{name}{suffix_within}"] = rest
    new += [f"{name}{suffix_within}" for name in variables]
    refuse_overwriting(data, new, "rename that column or choose other suffixes")
    return _same(frame, {**between, **within})


@checked
def group_mean(
    frame: FrameT,
    columns: str | int | Iterable[str | int],
    by: str | int | Iterable[str | int],
    *,
    suffix: str = "_mean",
) -> FrameT:
    """Add the cluster's mean of a variable to every row, the contextual variable ``x_mean`` of ``x``.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str
        The variables.
    by : str or iterable of str
        The grouping factor, or several whose combinations are the clusters.
    suffix : str, default "_mean"
        What the names of the new columns end with.

    Returns
    -------
    data frame
        A frame of the same kind with the new columns at its end. Means are over the rows with values.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.
    DataError
        If the data already have a column with one of the new names.

    Warns
    -----
    MissingValuesWarning
        If values or groups are missing.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.group_mean(ml.load_dataset("sleepstudy"), "Reaction", by="Subject")
    >>> sleep.head(2).round(2)
       Reaction  Days Subject  Reaction_mean
    0    249.56   0.0     308         342.13
    1    258.70   1.0     308         342.13
    """
    data = Frame(frame)
    hint_of_measured_groups(data, by)
    groups = groups_of(data, by)
    variables = numeric_columns(data, columns)
    _say_missing(variables, [groups], within=False)
    new = {f"{name}{suffix}": _means(values, groups) for name, values in variables.items()}
    refuse_overwriting(data, list(new), "rename that column or choose another suffix")
    return _same(frame, new)


@checked
def center(
    frame: FrameT,
    columns: str | int | Iterable[str | int] | None = None,
    by: str | int | Iterable[str | int] | None = None,
    *,
    at: Literal["mean", "median"] | float = "mean",
    suffix: str | None = None,
) -> FrameT:
    """Centre variables at their mean, their median or a number; at those of their cluster where one is named.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str, optional
        The variables; all numeric ones but the grouping ones where none is named.
    by : str or iterable of str, optional
        The grouping factor, or several whose combinations are the clusters.
    at : {"mean", "median"} or float
        What is subtracted.
    suffix : str, optional
        Add columns whose names end so, instead of replacing the variables.

    Returns
    -------
    data frame
        A frame of the same kind.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.
    ControlError
        If `at` is none of its choices, or a number with `by`.

    Warns
    -----
    MissingValuesWarning
        If groups are missing.

    Examples
    --------
    >>> import multilevel as ml
    >>> ml.center(ml.load_dataset("sleepstudy"), "Days", suffix="_c").head(2).round(2)
       Reaction  Days Subject  Days_c
    0    249.56   0.0     308    -4.5
    1    258.70   1.0     308    -3.5
    """
    fixed_point = isinstance(at, int | float) and not isinstance(at, bool)
    if not fixed_point and at not in ("mean", "median"):
        raise ControlError(f"at must be 'mean', 'median' or a number, not {at!r}.")
    if fixed_point and by is not None:
        raise ControlError(f"at={at!r} is the same in every cluster; leave out by, or centre at 'mean' or 'median'.")
    data = Frame(frame)
    if by is not None:
        hint_of_measured_groups(data, by)
    groups = None if by is None else groups_of(data, by)
    if groups is not None:
        say_missing_groups(groups, "have no value after centring")
    variables = numeric_columns(data, columns, without=() if groups is None else groups.names, logical=False)
    new = {}
    for name, values in variables.items():
        if fixed_point:
            new[name] = values - float(at)
        else:
            column = _grouped(values, groups)
            new[name] = values - _spread(column.mean if at == "mean" else column.median, groups)
    return _named(frame, data, new, suffix)


def _named(frame: FrameT, data: Frame, new: dict[str, FloatArray], suffix: str | None) -> FrameT:
    """Put new columns in the place of the old ones, or beside them under names of their own."""
    if suffix:
        new = {f"{name}{suffix}": values for name, values in new.items()}
        refuse_overwriting(data, list(new), "rename that column or choose another suffix")
    return _same(frame, new)


def _same(frame: FrameT, new: dict[str, FloatArray]) -> FrameT:
    result: FrameT = with_columns(frame, new)
    return result


def _grouped(values: FloatArray, groups: Groups | None) -> GroupedColumn:
    return GroupedColumn(values, None) if groups is None else GroupedColumn(values, groups.codes, groups.n_groups)


def _spread(by_group: FloatArray, groups: Groups | None) -> FloatArray | float:
    """Return for each row what its group has; NaN for rows of no group."""
    if groups is None:
        return float(by_group[0])
    return np.append(by_group, np.nan)[groups.codes]


def _means(values: FloatArray, groups: Groups) -> FloatArray:
    """Return for each row the mean of its group: exactly the value itself where the group has only one."""
    column = _grouped(values, groups)
    means = np.where(column.minimum == column.maximum, column.minimum, column.mean)
    return np.append(means, np.nan)[groups.codes]


def _variables(data: Frame, columns: str | int | Iterable[str | int]) -> dict[str, FloatArray]:
    """Return the variables as numbers, text and categories as one indicator for each level."""
    found = {}
    for name in as_names(columns, data):
        column = data.column(name)
        if isinstance(column.values, Factor):
            factor = column.values.drop_unused()
            for level, text in enumerate(factor.levels.names):
                found[f"{name}_{text}"] = np.where(factor.codes < 0, np.nan, factor.codes == level)
        else:
            found[name] = numbers_of(column)
    if not found:
        raise DataError("columns must name at least one column.")
    return found


def _say_missing(variables: dict[str, FloatArray], factors: list[Groups], *, within: bool = True) -> None:
    """Warn about missing values and groups, whose rows stay in the frame."""
    say_missing_factors(factors, "have no value in the new columns")
    counts = {name: int(np.isnan(values).sum()) for name, values in variables.items()}
    where = ", ".join(f"{name!r} ({count})" for name, count in counts.items() if count)
    if where:
        kept = ", and have no within part" if within else ""
        warn_caller(f"Rows with missing values in {where} do not count in the means{kept}.", MissingValuesWarning)
