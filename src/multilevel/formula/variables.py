"""The variables of a model: evaluated, freed of rows with missing values, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.columns import number_in
from multilevel.data.factors import Factor
from multilevel.data.frames import Frame, column_from_values, unknown_column
from multilevel.data.missing import all_finite, kept_rows, missing_rows, report_missing
from multilevel.errors import DataError, DataTypeError, MultilevelWarning, UnknownColumnError
from multilevel.formula.deparse import deparse
from multilevel.formula.encoder import sum_offsets
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.grammar import Formula
from multilevel.formula.nlme_spelling import nlme_advice
from multilevel.formula.residual import ResidualPart, residual_parts, residual_variables
from multilevel.formula.syntax import Name, Node, names_in
from multilevel.formula.values import Matrix, Variable

BoolArray = npt.NDArray[np.bool_]

MANY_LEVELS = 11
"""A column of text that holds numbers only, with so many different ones, was hardly meant as a factor."""
_MISSING_MARKS = frozenset({"", ".", "-", "?", "na", "n/a", "nan", "null", "none", "missing"})
"""Text that stands for a missing value."""


@dataclass(slots=True)
class ModelVariables:
    """Everything that a formula names.

    Attributes
    ----------
    evaluator
        What evaluated it, with the state of the transformations.
    response
        The response.
    nodes, variables
        The variables of all terms, as expressions and as values, by their text.
    group_members
        For each grouping factor by name, the expressions it combines.
    group_factors
        The values of these expressions, by their text.
    weights, weights_name
        The prior weights and what to call them.
    offset, offset_name, offset_node
        The sum of all offsets, and what to put its missing values down to: a column, or the formula's only offset.
    missing_by_column
        For each column with missing values, how many rows lack it.
    finite
        Whether no value was found to be missing or infinite.
    residual_parts, residual
        The residual structure asked for, and what it names.
    """

    evaluator: Evaluator
    response_node: Node
    response: npt.NDArray[Any]
    nodes: dict[str, Node] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    group_members: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    group_factors: dict[str, Factor] = field(default_factory=dict)
    weights: npt.NDArray[Any] | None = None
    weights_name: str = "weights"
    offset: npt.NDArray[Any] | None = None
    offset_name: str = "offset"
    offset_node: Node | None = None
    missing_by_column: dict[str, int] = field(default_factory=dict)
    finite: bool = True
    residual_parts: tuple[ResidualPart, ...] = ()
    residual: dict[str, Variable] = field(default_factory=dict)

    @property
    def response_name(self) -> str:
        """The response as written."""
        return deparse(self.response_node)


def evaluate_variables(
    formula: Formula,
    frame: Frame,
    weights: Any,
    offset: Any,
    residual: Any = None,
    response: npt.NDArray[Any] | None = None,
) -> ModelVariables:
    """Evaluate every variable of a model once, on all rows; the response unless it is given."""
    evaluator = Evaluator(frame)
    node = formula.response_node
    assert node is not None
    # Evaluated even where it is given: its columns are kept, and what its functions learn of them is the way back.
    own = _numeric_response(evaluator, node)
    if response is not None and len(response) != frame.n_rows:
        raise DataError(
            f"The response has {len(response)} values and the data have {frame.n_rows} rows; they must match."
        )
    found = ModelVariables(evaluator, node, own if response is None else response)
    for terms in (formula.term_list, *(bar.term_list for bar in formula.plain_bars)):
        for term in terms.terms:
            for node in term.variables:
                text = deparse(node)
                if text not in found.nodes:
                    found.nodes[text] = node
                    found.variables[text] = evaluator.variable(node)
    for bar in formula.plain_bars:
        if bar.group not in found.group_members:
            found.group_members[bar.group] = bar.group_variables
            for node in bar.group_variables:
                text = deparse(node)
                if text not in found.group_factors:
                    found.group_factors[text] = evaluator.factor(node)
    found.residual_parts = residual_parts(residual)
    found.residual = residual_variables(found.residual_parts, evaluator)
    if weights is not None:
        if isinstance(weights, str) and weights not in frame and (advice := nlme_advice(weights)):
            raise DataTypeError(
                f"weights are prior weights, not a residual structure such as {weights!r}: {advice} as residual."
            )
        found.weights_name = weights if isinstance(weights, str) else "weights"
        found.weights = _row_values(frame, weights, "weights")
    offset_terms = formula.term_list.offsets
    found.offset = sum_offsets(evaluator, offset_terms)
    if offset is None:
        found.offset_node = offset_terms[0] if len(offset_terms) == 1 else None
    else:
        found.offset_name = offset if isinstance(offset, str) else "offset"
        given = _row_values(frame, offset, "offset")
        found.offset = given.astype(np.float64) if found.offset is None else found.offset + given
    return found


def _numeric_response(evaluator: Evaluator, node: Node) -> npt.NDArray[Any]:
    value = evaluator.variable(node)
    if isinstance(value, Factor):
        kind = "truth values" if value.logical else "text or categories"
        raise DataTypeError(f"The response {deparse(node)!r} holds {kind}; a linear mixed model needs numbers.")
    if isinstance(value, Matrix):
        if value.values.shape[1] > 1:
            raise DataTypeError(
                f"The response {deparse(node)!r} has {value.values.shape[1]} columns; it must have one."
            )
        return value.values[:, 0]
    return value


def _row_values(frame: Frame, values: Any, what: str) -> npt.NDArray[Any]:
    """Return weights or an offset as numbers, one per row."""
    if isinstance(values, str):
        if values not in frame:
            raise UnknownColumnError(unknown_column(values, frame.columns, f"The data have no column for {what} named"))
        column = frame.column(values)
    else:
        if not hasattr(values, "__len__") or isinstance(values, Mapping):
            raise DataTypeError(f"{what} must be the name of a column or one number per row, not {values!r}.")
        if len(values) != frame.n_rows:
            raise DataError(f"{what} has {len(values)} values and the data have {frame.n_rows} rows; they must match.")
        column = column_from_values(what, values)
    if not column.is_numeric:
        raise DataTypeError(f"{what} must be numbers; {column.name!r} holds something else.")
    return column.as_numbers()


def drop_missing(found: ModelVariables, na_action: str) -> BoolArray | None:
    """Leave out the rows that lack a value, and the levels that then do not occur.

    Returns the rows kept, or None when all are.
    """
    n_rows = found.evaluator.n_rows
    masks: list[BoolArray] = []

    def note(mask: BoolArray | None, node: Node | None, name: str = "") -> None:
        if mask is not None:
            masks.append(mask)
            _count_missing(found, mask, node, name)

    def look(values: npt.NDArray[Any], node: Node | None, name: str = "") -> None:
        if not all_finite(values):
            found.finite = False
            note(missing_rows(values), node, name)

    look(found.response, found.response_node)
    for text, value in found.variables.items():
        if isinstance(value, Factor):
            note(value.codes < 0 if value.has_missing else None, found.nodes[text])
        else:
            look(value.values if isinstance(value, Matrix) else value, found.nodes[text])
    for members in found.group_members.values():
        for node in members:
            factor = found.group_factors[deparse(node)]
            note(factor.codes < 0 if factor.has_missing else None, node)
    for text, value in found.residual.items():
        if isinstance(value, Factor):
            note(
                value.codes < 0 if value.has_missing else None,
                None,
                text.removesuffix(" (groups)").removesuffix(" (strata)"),
            )
        elif not isinstance(value, Matrix) and not all_finite(value):
            note(missing_rows(value), None, text)
    if found.offset is not None:
        look(found.offset, found.offset_node, found.offset_name)
    if found.weights is not None:
        look(found.weights, None, found.weights_name)
    kept = kept_rows(masks, n_rows)
    if kept is None:
        for text, value in found.variables.items():
            if isinstance(value, Factor):
                found.variables[text] = value.drop_unused()
        return None
    report_missing(found.missing_by_column, int(np.count_nonzero(kept)), n_rows, na_action)
    found.response = found.response[kept]
    found.variables = {text: _keep(value, kept) for text, value in found.variables.items()}
    found.group_factors = {text: factor.keep_rows(kept) for text, factor in found.group_factors.items()}
    found.residual = {text: _keep(value, kept) for text, value in found.residual.items()}
    found.offset = None if found.offset is None else found.offset[kept]
    found.weights = None if found.weights is None else found.weights[kept]
    return kept


def _keep(value: Variable, kept: BoolArray) -> Variable:
    if isinstance(value, Factor):
        return value.keep_rows(kept).drop_unused()
    if isinstance(value, Matrix):
        return Matrix(np.asfortranarray(value.values[kept]), value.names)
    kept_values: npt.NDArray[Any] = value[kept]
    return kept_values


def _count_missing(found: ModelVariables, mask: BoolArray, node: Node | None, name: str) -> None:
    """Put missing rows down to the columns that lack them, and the rest to the expression that made them."""
    counts = found.missing_by_column
    if node is None or isinstance(node, Name):
        name = name if node is None else node.id
        counts.setdefault(name, int(mask.sum()))
        return
    explained = np.zeros_like(mask)
    for column_name in names_in(node):
        column = found.evaluator.column(column_name)
        values = column.values
        own = values.codes < 0 if isinstance(values, Factor) else missing_rows(column.as_numbers())
        if own is not None and own.any():
            counts.setdefault(column_name, int(own.sum()))
            explained |= own
    extra = int((mask & ~explained).sum())
    if extra:
        counts.setdefault(deparse(node), extra)


def check_values(found: ModelVariables) -> None:
    """Refuse values that no model can use: infinite ones, a constant response, weights that are not positive."""
    if not found.finite:
        _refuse_infinite_values(found)
    _refuse_rounded_whole_numbers(found)
    response = found.response
    if len(response) and response[0] == response[-1] and bool((response == response[0]).all()):
        raise DataError(f"The response {found.response_name!r} is constant; there is nothing to explain.")
    if found.weights is not None and not bool((found.weights > 0).all()):
        negative, zero = int((found.weights < 0).sum()), int((found.weights == 0).sum())
        counts = [f"{count} {kind}" for count, kind in ((negative, "negative"), (zero, "zero")) if count]
        raise DataError(
            f"The weights {found.weights_name!r} must be positive; of {len(found.weights)}, {' and '.join(counts)}. "
            "Leave rows of weight zero out of the data."
        )


def hint_at_text(found: ModelVariables) -> None:
    """Warn of a factor with many levels that was hardly meant as one: a column of numbers that are text, or of periods.

    Grouping factors and columns of categories are meant as they are.
    """
    grouping = {deparse(node) for members in found.group_members.values() for node in members}
    for text, node in found.nodes.items():
        value = found.variables[text]
        if (
            not isinstance(node, Name)
            or not isinstance(value, Factor)
            or text in grouping
            or value.n_levels < MANY_LEVELS
        ):
            continue
        if not found.evaluator.column(node.id).is_plain:
            continue
        names, remedy = value.levels.names, "or categories if the levels are meant"
        if not isinstance(value.levels.values[0], str):
            warn_caller(
                f"{text!r} holds periods and counts as a factor with {len(names)} levels: make them dates for one slope"
                f" (.dt.to_timestamp()), {remedy}.",
                MultilevelWarning,
            )
            continue
        marks = [name for name in names if name.strip().lower() in _MISSING_MARKS]
        if all(name in marks or number_in(name) is not None for name in names):
            besides = f" but {', '.join(map(repr, marks))}" if marks else ""
            warn_caller(
                f"{text!r} is text and counts as a factor with {len(names)} levels, though all{besides} are numbers: make the"
                f" column numeric for one slope (pandas.to_numeric), {remedy}.",
                MultilevelWarning,
            )


def _numbers(found: ModelVariables) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield everything that holds numbers, and what to call it."""
    yield f"The response {found.response_name!r}", found.response
    for text, value in found.variables.items():
        if not isinstance(value, Factor):
            yield f"The variable {text!r}", value.values if isinstance(value, Matrix) else value
    if found.offset is not None:
        yield "The offset", found.offset
    if found.weights is not None:
        yield f"The weights {found.weights_name!r}", found.weights


EXACT_WHOLE_NUMBERS = 2**53
"""Up to this every whole number is a floating-point number too."""


def _refuse_rounded_whole_numbers(found: ModelVariables) -> None:
    """Refuse whole numbers so large that floating point does not tell them apart."""
    for what, values in _numbers(found):
        if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
            continue
        low, high = int(values.min()), int(values.max())
        largest = max(-low, high)
        step = int(np.spacing(float(largest)))
        if largest > EXACT_WHOLE_NUMBERS and high > low and high - low < WHOLE_NUMBER_STEPS * step:
            raise DataError(
                f"{what} has whole numbers as large as {largest}, of which only every {step}th is a floating-point number, and they"
                f" differ by no more than {high - low}: subtract a common number from them first."
            )


WHOLE_NUMBER_STEPS = 10_000
"""Rounding is let pass where the values reach over this many floating-point numbers."""


def _refuse_infinite_values(found: ModelVariables) -> None:
    for what, values in _numbers(found):
        count = 0 if values.dtype.kind != "f" else int(np.isinf(values).sum())
        if count:
            raise DataError(
                f"{what} has {count} infinite {'value' if count == 1 else 'values'}; correct them or make them missing."
            )
