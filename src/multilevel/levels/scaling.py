"""Standardizing columns, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked, checked_methods
from multilevel.data.caller import warn_caller
from multilevel.data.factors import codes_for
from multilevel.data.frames import Frame, column_from_values
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
from multilevel.errors import ControlError, DataError, MultilevelWarning, UnknownColumnError
from multilevel.levels.output import refuse_overwriting, with_columns

FloatArray = npt.NDArray[np.float64]
FrameT = TypeVar("FrameT")


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Standardizer:
    """The centres and scales of columns, with which they can be standardized and the standardization undone.

    Attributes
    ----------
    center : mapping of str to ndarray
        For each column its centre in each group; shape (1,) where there are no groups.
    scale : mapping of str to ndarray
        Likewise what the distance from the centre is divided by; 1 where a column does not vary.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> scaling = ml.Standardizer.of(sleep, ["Reaction", "Days"])
    >>> scaled = scaling.transform(sleep)
    >>> scaled.head(2).round(3)
       Reaction   Days Subject
    0    -0.869 -1.562     308
    1    -0.707 -1.215     308
    >>> bool(abs(scaling.inverse(scaled)["Reaction"] - sleep["Reaction"]).max() < 1e-12)
    True
    """

    center: Mapping[str, FloatArray]
    scale: Mapping[str, FloatArray]
    _groups: Groups | None = None

    @classmethod
    def of(
        cls,
        frame: Any,
        columns: str | int | Iterable[str | int] | None = None,
        *,
        by: str | int | Iterable[str | int] | None = None,
        robust: bool = False,
        two_sd: bool = False,
        weights: Any = None,
    ) -> Standardizer:
        """Take the centres and scales from data.

        Parameters
        ----------
        frame : data frame
            The data.
        columns, by, robust, two_sd, weights
            As in `standardize`.

        Returns
        -------
        Standardizer
            The centres and scales.

        Raises
        ------
        UnknownColumnError
            If the data have no such column.
        DataTypeError
            If a column named does not hold numbers.
        ControlError
            If options exclude one another.
        DataError
            If the weights are not positive numbers, one for each row.

        Warns
        -----
        MultilevelWarning
            If a column does not vary, and is only centred.
        """
        if robust and weights is not None:
            raise ControlError("robust=True uses the median, which takes no weights; leave out one of the two.")
        data = Frame(frame)
        if by is not None:
            hint_of_measured_groups(data, by)
        groups = None if by is None else groups_of(data, by)
        if groups is not None:
            say_missing_groups(groups, "cannot be standardized")
        without = list(() if groups is None else groups.names)
        without += [weights] if isinstance(weights, str) else []
        variables = numeric_columns(data, columns, without=without, logical=False)
        weighing = _weights(data, weights)
        center, scale = {}, {}
        for name, values in variables.items():
            center[name], scale[name] = _moments(values, groups, robust, weighing)
            if two_sd:
                scale[name] = 2 * scale[name]
            still = ~(scale[name] > 0)
            if still.any():
                where = (
                    "" if groups is None else f" in {int(still.sum())} of {groups.n_groups} groups of {groups.label}"
                )
                what = "median absolute deviation" if robust else "standard deviation"
                warn_caller(f"The {what} of {name!r} is zero or unknown{where}: only centred there.", MultilevelWarning)
                scale[name] = np.where(still, 1.0, scale[name])
        return cls(center, scale, groups)

    def transform(self, frame: FrameT, *, suffix: str | None = None) -> FrameT:
        """Return data with the columns standardized, by the centres and scales that were taken before.

        Parameters
        ----------
        frame : data frame
            The data; they need not be those the scales are from.
        suffix : str, optional
            Add columns whose names end so, instead of replacing.

        Returns
        -------
        data frame
            A frame of the same kind.

        Raises
        ------
        UnknownColumnError
            If a column is missing.
        """
        data = Frame(frame)
        new = {}
        for name in self.center:
            values = numbers_of(data.column(name))
            new[name] = (values - self._rows(data, self.center[name])) / self._rows(data, self.scale[name])
        if suffix:
            new = {f"{name}{suffix}": values for name, values in new.items()}
            refuse_overwriting(data, list(new), "rename that column or choose another suffix")
        result: FrameT = with_columns(frame, new)
        return result

    def inverse(self, frame: FrameT, columns: str | int | Iterable[str | int] | None = None) -> FrameT:
        """Return data with standardized columns back in their units.

        Parameters
        ----------
        frame : data frame
            Standardized data.
        columns : str or iterable of str, optional
            The columns; all standardized ones that the data have where none is named.

        Returns
        -------
        data frame
            A frame of the same kind.

        Raises
        ------
        UnknownColumnError
            If a column was not standardized.
        """
        data = Frame(frame)
        names = [name for name in self.center if name in data] if columns is None else as_names(columns, data)
        for name in names:
            if name not in self.center:
                raise UnknownColumnError(f"The column {name!r} was not standardized.")
        new = {}
        for name in names:
            values = numbers_of(data.column(name))
            new[name] = values * self._rows(data, self.scale[name]) + self._rows(data, self.center[name])
        result: FrameT = with_columns(frame, new)
        return result

    def _rows(self, data: Frame, by_group: FloatArray) -> FloatArray | float:
        if self._groups is None:
            return float(by_group[0])
        new = groups_of(data, self._groups.names)
        return np.append(by_group, np.nan)[codes_for(new.factor, self._groups.factor.levels)]

    def __str__(self) -> str:
        """Return the columns with their centres and scales."""
        lines = []
        for name in self.center:
            if self._groups is None:
                lines.append(f"{name}: center {self.center[name][0]:.6g}, scale {self.scale[name][0]:.6g}")
            else:
                lines.append(f"{name}: in each of {self._groups.n_groups} groups of {self._groups.label}")
        return "\n".join(["Standardizer", *lines])

    __repr__ = __str__


@checked
def standardize(
    frame: FrameT,
    columns: str | int | Iterable[str | int] | None = None,
    *,
    by: str | int | Iterable[str | int] | None = None,
    robust: bool = False,
    two_sd: bool = False,
    weights: Any = None,
    suffix: str | None = None,
) -> FrameT:
    """Subtract the mean of each numeric column and divide by its standard deviation, as R's ``datawizard::standardize``.

    Text, categories, truth values and dates stay as they are. To keep the means and standard deviations, for other data or to
    come back to the units, use `Standardizer`.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : str or iterable of str, optional
        The columns; all numeric ones but the grouping ones where none is named.
    by : str or iterable of str, optional
        Standardize within each group that these columns make.
    robust : bool, default False
        Use the median, and the median absolute deviation times 1.4826.
    two_sd : bool, default False
        Divide by two standard deviations (Gelman 2008).
    weights : str or array_like, optional
        A column, or an array, of weights w of the rows, for weighted means and standard deviations. These divide by
        Σw - Σw²/Σw, as R's ``cov.wt`` does.
    suffix : str, optional
        Add columns whose names end so, instead of replacing.

    Returns
    -------
    data frame
        A frame of the same kind. Missing values stay missing.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column named does not hold numbers.
    ControlError
        If options exclude one another.
    DataError
        If the weights are not positive numbers, one for each row.

    Warns
    -----
    MultilevelWarning
        If a column does not vary, and is only centred.

    References
    ----------
    Gelman, A. (2008). Scaling regression inputs by dividing by two standard deviations. Statistics in Medicine 27, 2865-2873.

    Examples
    --------
    >>> import multilevel as ml
    >>> ml.standardize(ml.load_dataset("sleepstudy")).head(2).round(3)
       Reaction   Days Subject
    0    -0.869 -1.562     308
    1    -0.707 -1.215     308
    """
    scaling = Standardizer.of(frame, columns, by=by, robust=robust, two_sd=two_sd, weights=weights)
    return scaling.transform(frame, suffix=suffix)


def _weights(data: Frame, weights: Any) -> FloatArray | None:
    if weights is None:
        return None
    column = data.column(weights) if isinstance(weights, str) else column_from_values("weights", weights)
    numbers = numbers_of(column)
    if len(numbers) != data.n_rows:
        raise DataError(f"There are {len(numbers)} weights for {data.n_rows} rows.")
    if not (np.isfinite(numbers).all() and (numbers > 0).all()):
        raise DataError(f"The weights in {column.name!r} must be positive numbers, none missing.")
    return numbers


def _moments(
    values: FloatArray, groups: Groups | None, robust: bool, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return centre and scale of a column in each group."""
    codes, n_groups = (None, 1) if groups is None else (groups.codes, groups.n_groups)
    column = GroupedColumn(values, codes, n_groups)
    if robust:
        return column.median, column.mad
    if weights is None:
        constant = column.minimum == column.maximum
        return np.where(constant, column.minimum, column.mean), np.where(constant, 0.0, np.sqrt(column.variance))
    weighing = weights[~np.isnan(values) & (True if codes is None else codes >= 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = column.sums(weighing)
        mean = column.sums(weighing * column.values) / total
        squares = column.sums(weighing * (column.values - mean[column.codes]) ** 2)
        return mean, np.sqrt(squares / (total - column.sums(weighing**2) / total))
