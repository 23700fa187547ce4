"""From a formula and a data frame to the design that the engine fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, combine
from multilevel.data.frames import Frame, column_from_values, unknown_column
from multilevel.data.missing import check_na_action, count_infinite, kept_rows, missing_rows, report_missing
from multilevel.errors import (
    DataError,
    DataTypeError,
    FormulaError,
    RankDeficiencyWarning,
    UnknownColumnError,
)
from multilevel.formula.coding import CodedColumn, Coding, Pieces, fill_column
from multilevel.formula.deparse import deparse
from multilevel.formula.design import Design, GroupingFactor, RandomTerm
from multilevel.formula.encoder import DesignEncoder, GroupEncoder, RandomEncoder, sum_offsets
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.grammar import Bar, Formula, find_bars, parse_formula
from multilevel.formula.rank import dependent_columns
from multilevel.formula.syntax import Name, Node, names_in
from multilevel.formula.terms import TermList, expand_terms
from multilevel.formula.values import Matrix, Variable

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
) -> Design:
    """Make the design of a mixed model.

    Parameters
    ----------
    formula
        The model in lme4's notation, for example ``"y ~ x + (x | g)"``.
    data
        A pandas, polars or pyarrow frame, any other that narwhals knows, or a dict of arrays.
    weights
        Prior weights, positive: the name of a column, or one number per row.
    offset
        A known part of the linear predictor: the name of a column, or one number per row. It is added to the formula's
        ``offset()`` terms.
    contrasts
        For a factor of the fixed part, by its name, how it is coded: ``"treatment"`` (the default), ``"sum"``,
        ``"helmert"``, ``"poly"`` (the default of ordered factors), ``"SAS"``, ``("treatment", base)``, or a matrix with
        a row per level. As in lme4 they do not apply to the columns of random-effects terms.
    na_action
        What to do with rows that have missing values in any variable: ``"omit"`` or ``"exclude"`` leaves them out
        (they differ in what residuals look like later), ``"fail"`` makes them an error.

    Returns
    -------
    Design
        The columns and what they mean.

    Raises
    ------
    FormulaError, UnknownColumnError, DataError, DataTypeError, ControlError
        If formula, data or options cannot be used; the message says what, where, and what to do.
    """
    na_action = check_na_action(na_action)
    formula = parse_formula(formula)
    _check_complete(formula)
    frame = Frame(data)
    if frame.n_rows == 0:
        raise DataError("The data have no rows.")
    if formula.has_dot:
        formula = formula.expand_dot(frame.columns, exclude=[name for name in (weights, offset) if type(name) is str])
    parts = _evaluate(formula, frame, weights, offset)
    kept = _drop_missing(parts, frame.n_rows, na_action)
    _check_values(parts)
    return _assemble(formula, frame, parts, kept, dict(contrasts or {}), na_action)


def _check_complete(formula: Formula) -> None:
    if formula.response_node is None:
        raise FormulaError(f"The formula '{formula}' has no response; write one left of '~', as in 'y {formula}'.")
    if not formula.random:
        raise FormulaError(
            f"The formula '{formula}' has no random-effects term; add one such as '(1 | g)', "
            "or fit a linear model with other software."
        )


@dataclass(slots=True)
class _Parts:
    """Everything that a formula names, evaluated on all rows."""

    evaluator: Evaluator
    response_name: str
    response: npt.NDArray[Any]
    fixed: TermList
    bars: tuple[Bar, ...]
    bar_terms: tuple[TermList, ...]
    nodes: dict[str, Node] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    group_members: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    group_factors: dict[str, Factor] = field(default_factory=dict)
    weights: npt.NDArray[Any] | None = None
    weights_name: str = "weights"
    offset: npt.NDArray[Any] | None = None
    missing_by_column: dict[str, int] = field(default_factory=dict)


def _evaluate(formula: Formula, frame: Frame, weights: Any, offset: Any) -> _Parts:
    evaluator = Evaluator(frame)
    assert formula.response_node is not None
    response = _numeric_response(evaluator, formula.response_node)
    bars = find_bars(formula)
    parts = _Parts(
        evaluator=evaluator,
        response_name=deparse(formula.response_node),
        response=response,
        fixed=formula.term_list,
        bars=bars,
        bar_terms=tuple(expand_terms(bar.lhs_node) for bar in bars),
    )
    for terms in (parts.fixed, *parts.bar_terms):
        for term in terms.terms:
            for node in term.variables:
                text = deparse(node)
                if text not in parts.nodes:
                    parts.nodes[text] = node
                    parts.variables[text] = evaluator.variable(node)
    for bar in bars:
        if bar.group not in parts.group_members:
            parts.group_members[bar.group] = bar.group_variables
            for node in bar.group_variables:
                text = deparse(node)
                if text not in parts.group_factors:
                    parts.group_factors[text] = evaluator.factor(node)
    if weights is not None:
        parts.weights_name = weights if isinstance(weights, str) else "weights"
        parts.weights = _row_values(frame, weights, "weights")
    parts.offset = sum_offsets(evaluator, formula.term_list.offsets)
    if offset is not None:
        given = _row_values(frame, offset, "offset")
        parts.offset = given.astype(np.float64) if parts.offset is None else parts.offset + given
    return parts


def _numeric_response(evaluator: Evaluator, node: Node) -> npt.NDArray[Any]:
    value = evaluator.variable(node)
    if isinstance(value, Factor):
        kind = "truth values" if value.logical else "text or categories"
        raise DataTypeError(f"The response {deparse(node)!r} holds {kind}; a linear mixed model needs numbers.")
    if isinstance(value, Matrix):
        if value.values.shape[1] > 1:
            raise DataTypeError(f"The response {deparse(node)!r} has {value.values.shape[1]} columns; it must have one.")
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


# ---- missing values ------------------------------------------------------------------------------------------------


def _drop_missing(parts: _Parts, n_rows: int, na_action: str) -> BoolArray | None:
    """Leave out the rows that lack a value; returns the rows kept, None when all are."""
    masks: list[BoolArray] = []

    def note(mask: BoolArray | None, node: Node | None, name: str) -> None:
        if mask is None:
            return
        masks.append(mask)
        _count_missing(parts, mask, node, name)

    response_node = None if parts.response_name in parts.nodes else parts.response_name
    if response_node is not None:
        note(missing_rows(parts.response), None, parts.response_name)
    for text, value in parts.variables.items():
        note(_missing_in(value), parts.nodes[text], text)
    for name, members in parts.group_members.items():
        for node in members:
            factor = parts.group_factors[deparse(node)]
            note(factor.codes < 0 if factor.has_missing else None, node, name if len(members) == 1 else deparse(node))
    if parts.offset is not None:
        note(missing_rows(parts.offset), None, "offset")
    if parts.weights is not None:
        note(missing_rows(parts.weights), None, parts.weights_name)
    kept = kept_rows(masks, n_rows)
    if kept is None:
        parts.variables = {
            text: value.drop_unused() if isinstance(value, Factor) else value for text, value in parts.variables.items()
        }
        return None
    report_missing(parts.missing_by_column, int(np.count_nonzero(kept)), n_rows, na_action)
    parts.response = parts.response[kept]
    parts.variables = {text: _keep(value, kept) for text, value in parts.variables.items()}
    parts.group_factors = {text: factor.keep_rows(kept) for text, factor in parts.group_factors.items()}
    parts.offset = None if parts.offset is None else parts.offset[kept]
    parts.weights = None if parts.weights is None else parts.weights[kept]
    return kept


def _missing_in(value: Variable) -> BoolArray | None:
    if isinstance(value, Factor):
        return value.codes < 0 if value.has_missing else None
    return missing_rows(value.values if isinstance(value, Matrix) else value)


def _keep(value: Variable, kept: BoolArray) -> Variable:
    if isinstance(value, Factor):
        return value.keep_rows(kept).drop_unused()
    if isinstance(value, Matrix):
        return Matrix(np.asfortranarray(value.values[kept]), value.names)
    kept_values: npt.NDArray[Any] = value[kept]
    return kept_values


def _count_missing(parts: _Parts, mask: BoolArray, node: Node | None, name: str) -> None:
    """Put missing rows down to the columns that lack them, and the rest to the expression that made them."""
    counts = parts.missing_by_column
    if node is None or isinstance(node, Name):
        if isinstance(node, Name):
            name = node.id
        counts.setdefault(name, int(mask.sum()))
        return
    explained = np.zeros_like(mask)
    for column_name in names_in(node):
        column = parts.evaluator.column(column_name)
        values = column.values
        own = values.codes < 0 if isinstance(values, Factor) else missing_rows(column.as_numbers())
        if own is not None and own.any():
            counts.setdefault(column_name, int(own.sum()))
            explained |= own
    extra = int((mask & ~explained).sum())
    if extra:
        counts.setdefault(name, extra)


# ---- values that no model can use ----------------------------------------------------------------------------------


def _check_values(parts: _Parts) -> None:
    response = parts.response
    _refuse_infinite(response, f"The response {parts.response_name!r}")
    if len(response) and response[0] == response[-1] and bool((response == response[0]).all()):
        raise DataError(f"The response {parts.response_name!r} is constant; there is nothing to explain.")
    for text, value in parts.variables.items():
        if not isinstance(value, Factor):
            _refuse_infinite(value.values if isinstance(value, Matrix) else value, f"The variable {text!r}")
    if parts.offset is not None:
        _refuse_infinite(parts.offset, "The offset")
    if parts.weights is not None:
        _refuse_infinite(parts.weights, f"The weights {parts.weights_name!r}")
        if not bool((parts.weights > 0).all()):
            negative, zero = int((parts.weights < 0).sum()), int((parts.weights == 0).sum())
            counts = [f"{count} {kind}" for count, kind in ((negative, "negative"), (zero, "zero")) if count]
            raise DataError(
                f"The weights {parts.weights_name!r} must be positive; {' and '.join(counts)} "
                f"of {len(parts.weights)} are not. Leave rows of weight zero out of the data."
            )


def _refuse_infinite(values: npt.NDArray[Any], what: str) -> None:
    count = count_infinite(values)
    if count:
        raise DataError(
            f"{what} has {count} infinite {'value' if count == 1 else 'values'}; correct them or make them missing."
        )


# ---- putting the design together -----------------------------------------------------------------------------------


def _assemble(
    formula: Formula,
    frame: Frame,
    parts: _Parts,
    kept: BoolArray | None,
    contrasts: dict[str, Any],
    na_action: str,
) -> Design:
    _check_contrasts(parts, frame, contrasts)
    coding = Coding(parts.variables, contrasts)
    fixed = coding.code(parts.fixed, fixed=True)
    bar_columns = [coding.code(terms, fixed=False) for terms in parts.bar_terms]
    groups = {name: _group(parts, name, members) for name, members in parts.group_members.items()}
    columns, positions, dropped = _columns(parts, coding, fixed, bar_columns)
    left = tuple(column for j, column in enumerate(fixed) if j not in set(dropped))
    if dropped:
        _warn_dropped([fixed[j].name for j in dropped])
    random = tuple(
        RandomTerm(
            label=str(bar),
            factor=groups[bar.group],
            names=tuple(column.name for column in coded),
            columns=tuple(positions[column.pieces] for column in coded),
        )
        for bar, coded in zip(parts.bars, bar_columns, strict=True)
    )
    labels = frame.row_labels
    return Design(
        formula=formula,
        columns=columns,
        n_fixed=len(left),
        fixed_names=tuple(column.name for column in left),
        fixed_assign=tuple(column.term for column in left),
        term_labels=tuple(term.label for term in parts.fixed.terms),
        dropped_names=tuple(fixed[j].name for j in dropped),
        response_name=parts.response_name,
        random=random,
        weights=None if parts.weights is None else np.array(parts.weights, dtype=np.float64),
        offset=None if parts.offset is None else np.array(parts.offset, dtype=np.float64),
        n_rows=frame.n_rows,
        kept=kept,
        missing_by_column=parts.missing_by_column,
        na_action=na_action,
        row_labels=labels if labels is None or kept is None else labels[kept],
        encoder=_encoder(formula, parts, coding, left, bar_columns, groups),
    )


def _group(parts: _Parts, name: str, members: tuple[Node, ...]) -> GroupingFactor:
    factor = combine([parts.group_factors[deparse(node)] for node in members]).drop_unused()
    if factor.n_levels < 2:
        only = f" ({factor.levels.names[0]!r})" if factor.n_levels else ""
        raise DataError(
            f"The grouping factor {name!r} has only {factor.n_levels} level{only} in the rows used; a random effect needs "
            "at least two."
        )
    return GroupingFactor(name, factor.codes, factor.levels)


def _columns(
    parts: _Parts, coding: Coding, fixed: tuple[CodedColumn, ...], bar_columns: list[tuple[CodedColumn, ...]]
) -> tuple[FloatArray, dict[Pieces, int], list[int]]:
    """Write every distinct column once, and leave out the fixed-effects columns that others determine."""
    n, p = len(parts.response), len(fixed)
    extra = list(dict.fromkeys(column.pieces for columns in bar_columns for column in columns))
    only_random = [pieces for pieces in extra if pieces not in {column.pieces for column in fixed}]
    columns = np.empty((n, p + len(only_random) + 1), order="F")
    for j, pieces in enumerate([*(column.pieces for column in fixed), *only_random]):
        fill_column(columns[:, j], pieces, parts.variables, coding.matrices)
    columns[:, -1] = parts.response
    dropped = dependent_columns(columns[:, :p])
    if dropped:
        gone = set(dropped)
        left = [j for j in range(p) if j not in gone]
        # A dropped column may still be needed by a random-effects term.
        needed = [j for j in dropped if fixed[j].pieces in set(extra)]
        order = [*left, *needed, *range(p, columns.shape[1])]
        columns = np.asfortranarray(columns[:, order])
        all_pieces = [*(column.pieces for column in fixed), *only_random]
        written = [all_pieces[j] for j in order[:-1]]
    else:
        written = [*(column.pieces for column in fixed), *only_random]
    columns.flags.writeable = False
    positions: dict[Pieces, int] = {}
    for j, pieces in enumerate(written):
        positions.setdefault(pieces, j)
    return columns, positions, dropped


def _warn_dropped(names: list[str]) -> None:
    what = "1 column" if len(names) == 1 else f"{len(names)} columns"
    warnings.warn(
        f"The fixed-effects design is rank deficient; {what} determined by earlier ones dropped: {', '.join(names)}.",
        RankDeficiencyWarning,
        stacklevel=4,
    )


def _check_contrasts(parts: _Parts, frame: Frame, contrasts: dict[str, Any]) -> None:
    in_fixed = {deparse(node) for term in parts.fixed.terms for node in term.variables}
    for name in list(contrasts):
        text = name if name in in_fixed else deparse(Name(name))
        if text != name:
            contrasts[text] = contrasts.pop(name)
        if text in in_fixed:
            value = parts.variables[text]
            if not isinstance(value, Factor):
                raise DataTypeError(
                    f"contrasts names {name!r}, which is numeric in the fixed part; only a factor has contrasts."
                )
        elif name not in frame:
            raise UnknownColumnError(unknown_column(name, sorted(in_fixed), "contrasts names no factor of the formula:"))


def _encoder(
    formula: Formula,
    parts: _Parts,
    coding: Coding,
    fixed: tuple[CodedColumn, ...],
    bar_columns: list[tuple[CodedColumn, ...]],
    groups: dict[str, GroupingFactor],
) -> DesignEncoder:
    assert formula.response_node is not None
    return DesignEncoder(
        fixed=fixed,
        random=tuple(
            RandomEncoder(str(bar), coded, bar.group) for bar, coded in zip(parts.bars, bar_columns, strict=True)
        ),
        groups={
            name: GroupEncoder(name, members, groups[name].level_set) for name, members in parts.group_members.items()
        },
        nodes=parts.nodes,
        levels={text: value.levels for text, value in parts.variables.items() if isinstance(value, Factor)},
        matrices=coding.matrices,
        offsets=formula.term_list.offsets,
        response=formula.response_node,
        state=parts.evaluator.state,
    )
