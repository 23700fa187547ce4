"""From a formula and a data frame to the design that the engine fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.data.factors import Factor, combine
from multilevel.data.frames import Frame, unknown_column
from multilevel.data.kept import keep_columns
from multilevel.data.memory import memory_errors_explained, require_memory
from multilevel.data.missing import check_na_action
from multilevel.errors import (
    DataError,
    DataTypeError,
    FormulaError,
    FormulaWarning,
    RankDeficiencyWarning,
    UnknownColumnError,
)
from multilevel.formula.coding import NUMERIC, CodedColumn, Coding, Pieces, fill_column, with_distinct_names
from multilevel.formula.deparse import deparse
from multilevel.formula.design import Design, GroupingFactor, RandomTerm
from multilevel.formula.encoder import DesignEncoder, DroppedColumns, GroupEncoder, RandomEncoder
from multilevel.formula.grammar import Bar, Formula, parse_formula
from multilevel.formula.rank import dependence
from multilevel.formula.relationship import Relationship, related_factor, relationships
from multilevel.formula.residual import residual_design
from multilevel.formula.structured import ORDERED
from multilevel.formula.syntax import Name, Node, shortened
from multilevel.formula.values import Matrix
from multilevel.formula.variables import ModelVariables, check_values, drop_missing, evaluate_variables, hint_at_text
from multilevel.size_limits import current_limits

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MANY_COLUMNS = 100
"""With fewer columns in a part of the model memory is not asked for."""

MATRIX_COPIES = 2
"""Matrices of the columns' products that are alive at once."""


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | str | None = None,
    na_action: str = "omit",
    residual: Any = None,
    relationship: Any = None,
    response: FloatArray | None = None,
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
        a row per level; or one name for all factors of the fixed part. As in lme4 they do not apply to the
        columns of random-effects terms.
    na_action
        What to do with rows that have missing values in any variable: ``"omit"`` or ``"exclude"`` leaves them out
        (they differ in what residuals look like later), ``"fail"`` makes them an error.
    residual
        The residual structure: what `var_ident`, `cor_ar1` or `cor_car1` returns, or a list of such.
    relationship
        For grouping factors by name, how their levels are related: what `relationship` takes or returns.
    response
        The response, one number per row, where it is not what the formula makes of the data.

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
    frame = data if isinstance(data, Frame) else Frame(data)
    if frame.n_rows == 0:
        raise DataError("The data have no rows.")
    if formula.has_dot:
        formula = formula.expand_dot(frame.columns, exclude=[name for name in (weights, offset) if type(name) is str])
    formula = formula.with_constants(frame)
    for hint in formula.hints:
        warn_caller(hint, FormulaWarning)
    with memory_errors_explained("Making the model's columns"):
        found = evaluate_variables(formula, frame, weights, offset, residual, response)
        factors = dict(found.group_factors)
        kept = drop_missing(found, na_action)
        check_values(found)
        hint_at_text(found)
        for name in (weights, offset):
            if isinstance(name, str):
                found.evaluator.column(name)
        return _assemble(
            formula,
            frame,
            found,
            kept,
            contrasts or {},
            na_action,
            relationships(relationship),
            factors,
            response_replaced=response is not None,
        )


def _check_complete(formula: Formula) -> None:
    if formula.response_node is None:
        raise FormulaError(
            f"The formula '{shortened(str(formula))}' has no response; write one left of '~', as in 'y ~ x + (1 | g)'."
        )
    if not formula.random:
        raise FormulaError(
            f"The formula '{shortened(str(formula))}' has no random-effects term; add one such as '(1 | g)', "
            "or fit a linear model with other software."
        )


def _assemble(
    formula: Formula,
    frame: Frame,
    found: ModelVariables,
    kept: BoolArray | None,
    contrasts: Mapping[str, Any] | str,
    na_action: str,
    related: dict[str, Relationship],
    factors: dict[str, Factor],
    *,
    response_replaced: bool,
) -> Design:
    _check_memory(formula, found)
    coding = Coding(found.variables, _contrasts_by_factor(formula, found, frame, contrasts))
    fixed = coding.code(formula.term_list, fixed=True)
    bar_columns = [coding.code(bar.term_list, fixed=False) for bar in formula.plain_bars]
    fixed, *bar_columns = with_distinct_names([fixed, *bar_columns])
    groups = {name: _group(found, name, members) for name, members in found.group_members.items()}
    for name, known in related.items():
        if name not in groups:
            raise DataError(
                f"relationship names {name!r}, which is no grouping factor of the model; there are {', '.join(groups)}."
            )
        groups[name] = related_factor(groups[name], known)
    columns, positions, dropped, gone = _columns(found, coding, fixed, bar_columns)
    left = tuple(column for j, column in enumerate(fixed) if j not in set(dropped))
    if dropped:
        _warn_dropped([fixed[j].name for j in dropped])
    random = tuple(
        RandomTerm(
            label=str(bar),
            factor=groups[bar.group],
            names=tuple(column.name for column in coded),
            columns=tuple(positions[column.pieces] for column in coded),
            structure=_checked_structure(bar, found),
        )
        for bar, coded in zip(formula.plain_bars, bar_columns, strict=True)
    )
    own_weights = None if found.weights is None else np.array(found.weights, dtype=np.float64)

    def same(name: str) -> FloatArray | None:
        """Return what holds a column's numbers already."""
        if kept is not None:
            return None
        if found.response_node == Name(name) and not response_replaced:
            return columns[:, -1]
        if found.weights is not None and found.weights is found.evaluator.fetched[name].values:
            return own_weights
        place = positions.get(((deparse(Name(name)), NUMERIC, 0),))
        return None if place is None else columns[:, place]

    def factor(name: str) -> Factor | None:
        return factors.get(deparse(Name(name)))

    return Design(
        formula=formula,
        columns=columns,
        n_fixed=len(left),
        fixed_names=tuple(column.name for column in left),
        fixed_assign=tuple(column.term for column in left),
        term_labels=tuple(term.label for term in formula.term_list.terms),
        dropped_names=tuple(fixed[j].name for j in dropped),
        response_name=found.response_name,
        random=random,
        weights=own_weights,
        offset=None if found.offset is None else np.array(found.offset, dtype=np.float64),
        n_rows=frame.n_rows,
        kept=kept,
        missing_by_column=found.missing_by_column,
        na_action=na_action,
        row_labels=frame.row_labels,
        encoder=_encoder(formula, found, coding, left, bar_columns, groups, gone),
        residual=residual_design(found.residual_parts, found.residual, list(groups.values())),
        data=keep_columns(frame, found.evaluator.fetched, same, factor),
        response_replaced=response_replaced,
    )


def _check_memory(formula: Formula, found: ModelVariables) -> None:
    """Refuse a design that would not fit into memory, before any column is written."""
    counts = {
        text: value.n_levels if isinstance(value, Factor) else value.values.shape[1] if isinstance(value, Matrix) else 1
        for text, value in found.variables.items()
    }
    n = len(found.response)
    for terms in (formula.term_list, *(bar.term_list for bar in formula.plain_bars)):
        widths = [math.prod(counts[deparse(node)] for node in term.variables) for term in terms.terms]
        total = sum(widths) + 1
        # So many columns are refused by their limit, which is the same on every machine.
        if total < MANY_COLUMNS or total > current_limits().columns:
            continue
        widest = terms.terms[widths.index(max(widths))]
        where = "fixed effects" if terms is formula.term_list else "random effects of each level"
        require_memory(
            8.0 * total * (n + MATRIX_COPIES * total),
            f"The {where} have about {total} columns, {max(widths)} of them those of {widest.label!r}, over {n} rows",
            f"a factor with so many levels belongs right of a bar, as in (1 | {widest.label})",
        )


def _checked_structure(bar: Bar, found: ModelVariables) -> str:
    """Return a term's covariance structure; refuse one over the levels of a factor where there is no factor."""
    if bar.structure in ORDERED:
        node = bar.term_list.terms[0].variables[0]
        text = deparse(node)
        if not isinstance(found.variables[text], Factor):
            raise DataTypeError(
                f"The random-effects term '{bar.written}' needs a factor left of the bar and {text!r} is numeric; write"
                f" '{bar.structure}(0 + factor({text}) | {bar.group})', whose levels are taken as equally spaced."
            )
    return bar.structure


def _group(found: ModelVariables, name: str, members: tuple[Node, ...]) -> GroupingFactor:
    factor = combine([found.group_factors[deparse(node)] for node in members])
    if factor.logical:
        # Among groups, FALSE without a row is no level.
        factor = replace(factor, logical=False)
    factor = factor.drop_unused()
    if factor.n_levels < 2:
        only = f" ({factor.levels.names[0]!r})" if factor.n_levels else ""
        raise DataError(
            f"The grouping factor {name!r} has only {factor.n_levels} level{only} in the rows used; "
            "a random effect needs at least two."
        )
    return GroupingFactor(name, factor.codes, factor.levels)


def _columns(
    found: ModelVariables, coding: Coding, fixed: tuple[CodedColumn, ...], bar_columns: list[tuple[CodedColumn, ...]]
) -> tuple[FloatArray, dict[Pieces, int], list[int], DroppedColumns | None]:
    """Write every distinct column once, and leave out the fixed-effects columns that others determine."""
    n, p = len(found.response), len(fixed)
    in_random = dict.fromkeys(column.pieces for coded in bar_columns for column in coded)
    in_fixed = dict.fromkeys(column.pieces for column in fixed)
    written = [*in_fixed, *(pieces for pieces in in_random if pieces not in in_fixed)]
    columns = np.empty((n, len(written) + 1), order="F")
    for j, pieces in enumerate(written):
        fill_column(columns[:, j], pieces, found.variables, coding.matrices)
    columns[:, -1] = found.response
    dropped, weights = dependence(columns[:, :p])
    gone = None
    if dropped:
        sizes = np.sqrt(np.einsum("ij,ij->j", columns[:, dropped], columns[:, dropped]) / n)
        gone = DroppedColumns(tuple(fixed[j] for j in dropped), weights, sizes)
        # A column dropped from the fixed part may still be needed by a random-effects term.
        left = [j for j in range(p) if j not in dropped]
        needed = [j for j in dropped if written[j] in in_random]
        order = [*left, *needed, *range(p, len(written))]
        columns = np.asfortranarray(columns[:, [*order, len(written)]])
        written = [written[j] for j in order]
    columns.flags.writeable = False
    return columns, {pieces: j for j, pieces in enumerate(written)}, dropped, gone


def _warn_dropped(names: list[str]) -> None:
    what = "1 column" if len(names) == 1 else f"{len(names)} columns"
    warn_caller(
        f"The fixed-effects design is rank deficient; {what} determined by earlier ones dropped: {', '.join(names)}.",
        RankDeficiencyWarning,
    )


def _contrasts_by_factor(
    formula: Formula, found: ModelVariables, frame: Frame, given: Mapping[str, Any] | str
) -> dict[str, Any]:
    """Return the contrasts by the text of the factor; those of a column that the fixed part does not use are left out."""
    in_fixed = {deparse(node) for term in formula.term_list.terms for node in term.variables}
    if isinstance(given, str):
        return {text: given for text in in_fixed if isinstance(found.variables[text], Factor)}
    contrasts = {}
    for name, choice in given.items():
        text = name if name in in_fixed else deparse(Name(name))
        if text in in_fixed:
            if not isinstance(found.variables[text], Factor):
                raise DataTypeError(
                    f"contrasts names {name!r}, which is numeric in the fixed part; only a factor has contrasts."
                )
            contrasts[text] = choice
        elif name not in frame:
            raise UnknownColumnError(unknown_column(name, sorted(in_fixed), "contrasts has no factor to apply to:"))
    return contrasts


def _encoder(
    formula: Formula,
    found: ModelVariables,
    coding: Coding,
    fixed: tuple[CodedColumn, ...],
    bar_columns: list[tuple[CodedColumn, ...]],
    groups: dict[str, GroupingFactor],
    dropped: DroppedColumns | None,
) -> DesignEncoder:
    assert formula.response_node is not None
    return DesignEncoder(
        fixed=fixed,
        random=tuple(
            RandomEncoder(str(bar), coded, bar.group)
            for bar, coded in zip(formula.plain_bars, bar_columns, strict=True)
        ),
        groups={
            name: GroupEncoder(name, members, groups[name].level_set) for name, members in found.group_members.items()
        },
        nodes=found.nodes,
        levels={text: value.levels for text, value in found.variables.items() if isinstance(value, Factor)},
        matrices=coding.matrices,
        offsets=formula.term_list.offsets,
        response=formula.response_node,
        state=found.evaluator.state,
        dropped=dropped,
    )
