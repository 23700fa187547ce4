"""The reference grid: every combination of the factors' levels with the covariates at their means, as rows of the design."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.columns import Column
from multilevel.data.factors import Factor, codes_for
from multilevel.data.frames import column_from_values, unknown_column
from multilevel.data.levels import level_text
from multilevel.data.times import NUMBER, describe_scale
from multilevel.errors import ControlError, DataError, DataTypeError, UnknownColumnError
from multilevel.formula.encoder import DesignEncoder
from multilevel.formula.syntax import Call, Name, Node, names_in
from multilevel.inference.nesting import Nests, nests_of
from multilevel.model.source import data_used

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WEIGHTS = ("equal", "proportional", "outer", "cells")
FEW_VALUES = 2
"""A covariate with no more values than this counts as a factor."""
LARGEST = 50_000_000
"""Most numbers that a grid's design may have."""
_MAKES_FACTORS = frozenset(
    {"factor", "as.factor", "ordered", "as.ordered", "C", "dummy", "as.character", "interaction", "paste", "paste0"}
)


@dataclass(frozen=True, slots=True, eq=False)
class GridVariable:
    """A variable of the fixed part as it stands in a grid.

    Attributes
    ----------
    name
        The column.
    values
        Its values in the grid: levels, or numbers.
    codes
        For a factor and each row of the data the position of its level among the values, -1 where it is none of them; None for
        a covariate.
    """

    name: str
    values: tuple[Any, ...]
    codes: IntArray | None

    @property
    def is_factor(self) -> bool:
        """Whether the variable has levels."""
        return self.codes is not None

    def column(self, positions: IntArray) -> npt.NDArray[Any]:
        """Return the values at some positions as a column that the design can be made of."""
        text = any(isinstance(value, str) for value in self.values)
        values = np.array(self.values, dtype=object) if text else np.array(self.values)
        found: npt.NDArray[Any] = values[positions]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class LinearForms:
    """Linear functions of the fixed effects, one in each row.

    Attributes
    ----------
    rows
        Weights of the coefficients, shape (m, p).
    defects
        How far each function is from one that can be estimated, for each dropped column, shape (m, d): zero where it can.
    constants
        What is added to each (a part of an offset), shape (m,).
    """

    rows: FloatArray
    defects: FloatArray
    constants: FloatArray

    def combine(self, weights: FloatArray) -> LinearForms:
        """Return combinations of the functions; what only rounding left is taken out."""
        rows = weights @ self.rows
        noise = 1e-12 * (np.abs(weights) @ np.abs(self.rows))
        return LinearForms(np.where(np.abs(rows) <= noise, 0.0, rows), weights @ self.defects, weights @ self.constants)

    def take(self, rows: npt.NDArray[np.bool_]) -> LinearForms:
        """Return some of the functions."""
        return LinearForms(self.rows[rows], self.defects[rows], self.constants[rows])

    @property
    def estimable(self) -> npt.NDArray[np.bool_]:
        """Which of the functions the data determine."""
        if not self.defects.shape[1]:
            return np.ones(len(self.rows), dtype=np.bool_)
        size = np.maximum(1.0, np.abs(self.rows).max(axis=1, initial=0.0))
        return np.asarray((np.abs(self.defects) <= 1e-6 * size[:, None]).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceGrid:
    """Variables and, for each combination of their values, the row of the fixed-effects design.

    Attributes
    ----------
    variables
        The variables; the first varies slowest in the rows.
    forms
        The rows of the design.
    nests
        For each nested factor the factors that it is nested in.
    """

    variables: tuple[GridVariable, ...]
    forms: LinearForms
    nests: Nests

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each variable."""
        return tuple(len(variable.values) for variable in self.variables)

    def position(self, name: str) -> int:
        """Return which variable has a name."""
        names = [variable.name for variable in self.variables]
        if name not in names:
            raise UnknownColumnError(unknown_column(name, names, "The fixed part of the model has no variable named"))
        return names.index(name)

    def frequencies(self, of: Sequence[int]) -> FloatArray:
        """Return how often the combinations of some factors occur, as an array over the grid (1 wide for the others)."""
        factors = sorted({axis for axis in of if self.variables[axis].is_factor})
        sizes = [self.shape[axis] if axis in factors else 1 for axis in range(len(self.shape))]
        if not factors:
            return np.ones(sizes)
        codes = np.stack([_codes_of(self.variables[axis]) for axis in factors])
        inside = (codes >= 0).all(axis=0)
        shape = tuple(self.shape[axis] for axis in factors)
        flat = np.ravel_multi_index(tuple(codes[:, inside]), shape)
        return np.bincount(flat, minlength=math.prod(shape)).astype(np.float64).reshape(sizes)

    def axes(self, names: Iterable[str]) -> list[int]:
        """Return the positions of some variables, those that vary."""
        return [axis for axis, variable in enumerate(self.variables) if variable.name in names and self.shape[axis] > 1]

    def possible(self, of: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return which combinations of some variables there can be, as an array over the grid (1 wide for the others).

        A level of a nested factor goes only with the levels of its nests that it occurs with.
        """
        found = np.ones([size if axis in of else 1 for axis, size in enumerate(self.shape)], dtype=np.bool_)
        for axis in of:
            own = self.nests.get(self.variables[axis].name, ())
            # A nest of which one level is left stands in every combination.
            nests = [
                other
                for other, variable in enumerate(self.variables)
                if variable.name in own and (other in of or self.shape[other] == 1)
            ]
            if nests:
                found = found & (self.frequencies([axis, *nests]) > 0)
        return found

    def marginal(self, kept: Sequence[int], weights: str = "equal") -> LinearForms:
        """Average over all variables but some; these vary in the rows in the order given, the first slowest.

        Means over a nested factor are within its nests, and those are averaged over in turn.
        """
        if weights not in WEIGHTS:
            raise ControlError(f"weights must be one of {', '.join(map(repr, WEIGHTS))}, not {weights!r}.")
        axes = [axis for axis in range(len(self.shape)) if axis not in kept]
        nests = self.axes({nest for axis in axes for nest in self.nests.get(self.variables[axis].name, ())})
        everything = range(len(self.shape))
        possible = self.possible(everything)
        w = possible.astype(np.float64)
        if weights == "equal":
            # What is nested in most comes first: its mean takes its place in the cells of its nests.
            for axis in sorted(axes, key=lambda own: -len(self.nests.get(self.variables[own].name, ()))):
                w = w / np.maximum(possible.sum(axis=axis, keepdims=True), 1)
                possible = np.asarray(possible.any(axis=axis, keepdims=True))
        elif weights == "proportional":
            w = w * self.frequencies([*axes, *nests])
        elif weights == "cells":
            w = w * self.frequencies(everything)
        else:
            # In the cells of the nests, what is averaged over counts as if it were crossed.
            inside = self.frequencies(nests)
            w = w * inside
            for axis in axes:
                if axis not in nests:
                    w = w * self.frequencies([axis, *nests]) / np.maximum(inside, 1.0)
        w = np.transpose(w, [*kept, *axes])
        n_kept = math.prod(self.shape[axis] for axis in kept)
        w = w.reshape(n_kept, -1)
        with np.errstate(invalid="ignore", divide="ignore"):
            w = w / w.sum(axis=1, keepdims=True)
        order = np.transpose(np.arange(math.prod(self.shape)).reshape(self.shape), [*kept, *axes]).reshape(w.shape)
        forms = self.forms
        empty = np.isnan(w).any(axis=1)
        w = np.where(empty[:, None], 0.0, w)
        defects = np.einsum("mk,mkd->md", w, forms.defects[order])
        if empty.any():
            # Nothing to weight with: the mean of an empty cell is no function of the fixed effects.
            defects = np.column_stack([defects, empty.astype(np.float64)])
        return LinearForms(
            np.einsum("mk,mkp->mp", w, forms.rows[order]), defects, np.einsum("mk,mk->m", w, forms.constants[order])
        )


def _codes_of(variable: GridVariable) -> IntArray:
    assert variable.codes is not None
    return variable.codes


# ---- the data of a fit -------------------------------------------------------------------------------------------------


def encoder_of(fit: LinearMixedModel) -> DesignEncoder:
    """Return what makes the design of new data."""
    encoder = fit._design.encoder
    if encoder is None:
        raise DataError("The design of this fit was not made from a formula, so that no new rows can be made for it.")
    return encoder


def fixed_variables(fit: LinearMixedModel) -> tuple[str, ...]:
    """Return the columns of the data that the fixed part uses, offsets aside, in order of appearance."""
    names: dict[str, None] = {}
    for term in fit.formula.term_list.terms:
        for node in term.variables:
            names.update(dict.fromkeys(names_in(node)))
    return tuple(names)


def plain_values(column: Column) -> npt.NDArray[Any]:
    """Return a column as an array, categories as text."""
    if isinstance(column.values, Factor):
        names = np.array([*column.values.levels.names, None], dtype=object)
        found: npt.NDArray[Any] = names[column.values.codes]
        return found
    return column.values if column.missing is None else column.as_numbers()


def _made_factors(node: Node) -> set[str]:
    """Return the columns that an expression turns into factors."""
    if isinstance(node, Call):
        if node.function in _MAKES_FACTORS:
            several = node.function in ("interaction", "paste", "paste0")
            made = [argument for _, argument in (node.arguments if several else node.arguments[:1])]
            if any(isinstance(argument, Name) for argument in made):
                return {argument.id for argument in made if isinstance(argument, Name)}
        return {name for _, argument in node.arguments for name in _made_factors(argument)}
    return set()


# ---- making a grid -----------------------------------------------------------------------------------------------------


def reference_grid(
    fit: LinearMixedModel, at: Mapping[str, Any] | None = None, *, means: Sequence[str] = ()
) -> ReferenceGrid:
    """Make the reference grid of a fit.

    Parameters
    ----------
    fit
        The fit.
    at
        Values of some variables to use instead: levels of a factor, numbers of a covariate.
    means
        Variables that are at their mean even where they have few values.

    Returns
    -------
    ReferenceGrid
        Text, categories, truth values, columns that ``factor()`` makes factors, and covariates with two values have a row for each
        of their levels; other covariates are at their mean over the rows used.

    Raises
    ------
    UnknownColumnError, DataError, DataTypeError
        `at` names a variable or a level that is not there, or the grid would be too large.
    """
    encoder = encoder_of(fit)
    variables = grid_variables(fit, at, means=means)
    size = math.prod(len(variable.values) for variable in variables)
    if size * max(len(encoder.fixed), 1) > LARGEST:
        raise DataError(f"The reference grid has {size} rows; limit the levels of some factors with at.")
    whole = variables
    if at and any(variable.is_factor for variable in variables if variable.name in at):
        # Levels that are left out tell nothing of what is nested in what.
        whole = grid_variables(fit, means=means)
    return ReferenceGrid(variables, grid_forms(fit, variables), nests_of(whole, fit.formula.term_list.terms))


def grid_variables(
    fit: LinearMixedModel, at: Mapping[str, Any] | None = None, *, means: Sequence[str] = ()
) -> tuple[GridVariable, ...]:
    """Return the variables of the fixed part as they stand in a reference grid, its design not made (see `reference_grid`)."""
    names = fixed_variables(fit)
    columns = data_used(fit, names)
    chosen = {} if at is None else dict(at)
    for name in chosen:
        if name not in columns:
            raise UnknownColumnError(
                unknown_column(name, names, "at: the fixed part of the model has no variable named")
            )
    made = {name for term in fit.formula.term_list.terms for node in term.variables for name in _made_factors(node)}
    return tuple(_variable(columns[name], name in made, chosen.get(name), at_mean=name in means) for name in names)


def _variable(column: Column, made_factor: bool, chosen: Any, *, at_mean: bool) -> GridVariable:
    values = column.values
    categorical = isinstance(values, Factor) or made_factor or values.dtype.kind == "b"
    listed = None if chosen is None else _as_list(chosen)
    if listed is not None and not listed:
        raise DataError(f"at gives no value for {column.name!r}.")
    if not categorical:
        numbers = column.as_numbers().astype(np.float64)
        few = not at_mean and len(np.unique(numbers[: 4 * FEW_VALUES])) <= FEW_VALUES
        if not few or len(np.unique(numbers)) > FEW_VALUES:
            given = None if listed is None else _numbers_at(column, listed)
            return GridVariable(column.name, given or (float(np.mean(numbers)),), None)
        if listed is not None and not set(_numbers_at(column, listed)) <= set(np.unique(numbers).tolist()):
            # Numbers that do not occur: no factor, then.
            return GridVariable(column.name, _numbers_at(column, listed), None)
    factor = column.as_factor().drop_unused()
    levels = factor.levels
    timed = not isinstance(values, Factor) and values.dtype.kind in "Mm"
    own: Any = (
        levels.names
        if isinstance(values, Factor)
        else (levels.labels() if timed else np.asarray(levels.values)).tolist()
    )
    if listed is None:
        return GridVariable(column.name, tuple(own), factor.codes.astype(np.int64))
    asked = column_from_values(column.name, listed).as_factor()
    places = codes_for(asked, levels)
    if (places < 0).any():
        lacking = level_text(listed[int(np.flatnonzero(places < 0)[0])])
        shown = ", ".join(map(repr, levels.names[:8])) + (", …" if len(levels) > 8 else "")
        raise DataError(f"at: {column.name!r} has no level {lacking!r}; its levels are {shown}.")
    table = np.full(len(levels) + 1, -1)
    table[places] = np.arange(len(places))
    return GridVariable(column.name, tuple(own[place] for place in places.tolist()), table[factor.codes])


def _numbers_at(column: Column, listed: list[Any]) -> tuple[float, ...]:
    """Return the values of a covariate as numbers; those of dates and times may be dates and times."""
    given = column_from_values(column.name, listed)
    if isinstance(given.values, Factor):
        scale = column.scale
        what = "numeric" if scale is None or scale == NUMBER else f"of {describe_scale(scale)}"
        raise DataTypeError(f"at gives {column.name!r}, which is {what}, the values {listed!r}.")
    if column.scale is not None:
        given = given.counted_as(column.scale)
    return tuple(given.as_numbers().astype(np.float64).tolist())


def _as_list(values: Any) -> list[Any]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return [values]
    return list(values)


def grid_frame(variables: Sequence[GridVariable]) -> dict[str, npt.NDArray[Any]]:
    """Return every combination of the variables' values as columns; the first variable varies slowest."""
    shape = tuple(len(variable.values) for variable in variables)
    positions = np.indices(shape).reshape(len(shape), -1)
    return {variable.name: variable.column(own) for variable, own in zip(variables, positions, strict=True)}


def grid_forms(fit: LinearMixedModel, variables: Sequence[GridVariable]) -> LinearForms:
    """Return the rows of the fixed-effects design for every combination; an offset is at its mean."""
    design = fit._design
    offset = 0.0 if design.offset is None else float(np.mean(design.offset))
    if not variables:
        rows = np.ones((1, design.n_fixed))
        return LinearForms(rows, np.zeros((1, 0)), np.full(1, offset))
    frame = grid_frame(variables)
    encoder = encoder_of(fit)
    if design.dropped_names and encoder.dropped is None:
        raise DataError(
            "This fit is from a file of an earlier version, which does not say how the columns that were dropped follow from the"
            " others, so that it cannot be told which means the data determine; fit the model again."
        )
    rows = encoder.fixed_matrix(frame)
    return LinearForms(np.ascontiguousarray(rows), encoder.defects(frame, rows), np.full(len(rows), offset))
