"""Residual structures: variances that differ between groups of rows, and correlations between rows in order of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.factors import Factor, combine
from multilevel.errors import DataError, DataTypeError
from multilevel.formula.design import GroupingFactor, ResidualDesign
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.nlme_spelling import combination, correlation_call, nlme_advice, strata_call
from multilevel.formula.syntax import interaction_members, names_in, parse_expression
from multilevel.formula.values import Matrix, Variable

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VarIdent:
    """A residual variance for each level of a factor; made by `var_ident`.

    Attributes
    ----------
    by : str
        The factor.
    """

    by: str

    def __str__(self) -> str:
        """Return the call that makes it."""
        return f"var_ident({self.by!r})"


@dataclass(frozen=True, slots=True)
class ResidualCorrelation:
    """Correlated residuals within groups; made by `cor_ar1` and `cor_car1`.

    Attributes
    ----------
    kind : str
        ``"ar1"`` or ``"car1"``.
    time : str or None
        The time, or None for the order of the rows.
    within : str or None
        The groups, or None for the levels of the innermost grouping factor.
    """

    kind: str
    time: str | None
    within: str | None

    def __str__(self) -> str:
        """Return the call that makes it."""
        return f"cor_{self.kind}({self.time!r}, within={self.within!r})"


ResidualPart = VarIdent | ResidualCorrelation


@checked
def var_ident(by: str) -> VarIdent:
    """Let the residual variance differ between the levels of a factor, for the argument `residual` of `lmer`.

    The residual standard deviation is σ for the first level of the factor and a multiple of σ, which is estimated, for each other
    level. Agrees with ``varIdent(form = ~ 1 | by)`` of R's nlme, except that there σ belongs to the level of the first row.

    Parameters
    ----------
    by : str
        A column of the data, or an expression such as ``"a:b"``.

    Returns
    -------
    VarIdent
        What `lmer` takes as `residual`, alone or in a list with a correlation.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"), residual=ml.var_ident("Days > 4"))
    >>> fit.residual_parameters.round(3).to_dict()
    {'sd_ratio_TRUE': 1.912}
    """
    if not isinstance(by, str):
        raise DataTypeError(f"var_ident() takes the name of a column, not {by!r}.")
    if "~" in by:
        raise DataTypeError(f"var_ident() takes the name of a column, not the formula {by!r}; write {strata_call(by)}.")
    return VarIdent(by)


@checked
def cor_ar1(time: str | None = None, *, within: str | None = None) -> ResidualCorrelation:
    """Let residuals follow a first-order autoregression over equally spaced times, for the argument `residual` of `lmer`.

    Two residuals of a group whose times differ by d have the correlation ρᵈ, with ρ from −1 to 1. Times are whole numbers; gaps are
    allowed. Agrees with ``corAR1(form = ~ time | within)`` of R's nlme.

    Parameters
    ----------
    time : str, optional
        A column of whole numbers, each once in a group, or a factor, whose levels are taken as equally spaced; by default the
        rows of a group are in their order in the data.
    within : str, optional
        The groups: a column, or a combination such as ``"school:pupil"``; by default the innermost grouping factor. Each must lie
        in one level of every grouping factor.

    Returns
    -------
    ResidualCorrelation
        What `lmer` takes as `residual`.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"), residual=ml.cor_ar1("Days"))
    >>> fit.residual_parameters.round(3).to_dict()
    {'rho': 0.653}
    """
    return _correlation("ar1", time, within)


@checked
def cor_car1(time: str | None = None, *, within: str | None = None) -> ResidualCorrelation:
    """Let residuals follow a continuous-time autoregression, for the argument `residual` of `lmer`.

    Two residuals of a group whose times differ by d have the correlation ρᵈ, with ρ from 0 to 1 and any times. Agrees with
    ``corCAR1(form = ~ time | within)`` of R's nlme.

    Parameters
    ----------
    time : str, optional
        A column of numbers, each once in a group; by default rows of a group are one apart in their order in the data.
    within : str, optional
        The groups (see `cor_ar1`).

    Returns
    -------
    ResidualCorrelation
        What `lmer` takes as `residual`.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"), residual=ml.cor_car1("Days"))
    >>> fit.residual_parameters.round(3).to_dict()
    {'rho': 0.653}
    """
    return _correlation("car1", time, within)


def _correlation(kind: str, time: str | None, within: str | None) -> ResidualCorrelation:
    for name, value in (("time", time), ("within", within)):
        if value is not None and not isinstance(value, str):
            raise DataTypeError(f"cor_{kind}() takes the name of a column as {name}, not {value!r}.")
    if time is not None and ("~" in time or "|" in time):
        form = time if "~" in time else f"~{time}"
        raise DataTypeError(
            f"cor_{kind}() takes the name of a column as time, not the formula {time!r}; write"
            f" {correlation_call(f'cor_{kind}', form)}."
        )
    if within is not None and "/" in within:
        raise DataTypeError(
            f"cor_{kind}() takes groups within={within!r} as a combination of factors; write within={combination(within)!r}."
        )
    return ResidualCorrelation(kind, time, within)


def residual_parts(residual: Any) -> tuple[ResidualPart, ...]:
    """Return the parts of a residual structure, checked."""
    if residual is None:
        return ()
    parts = (residual,) if isinstance(residual, ResidualPart) else residual
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise DataTypeError(
            f"residual must be made by var_ident(), cor_ar1() or cor_car1(), or be a list of these, not"
            f" {residual!r}{_advice(residual)}."
        )
    found = tuple(parts)
    for part in found:
        if not isinstance(part, ResidualPart):
            raise DataTypeError(
                f"residual has {part!r} in it; its parts are made by var_ident(), cor_ar1() or cor_car1(){_advice(part)}."
            )
    for kind, what in ((VarIdent, "variances"), (ResidualCorrelation, "correlations")):
        if sum(isinstance(part, kind) for part in found) > 1:
            raise DataError(
                f"residual has two structures of the {what}; combine their factors, as in 'a:b', or leave one out."
            )
    return found


def _advice(given: Any) -> str:
    advice = nlme_advice(given) if isinstance(given, str) else ""
    return f": {advice}" if advice else ""


def residual_variables(parts: tuple[ResidualPart, ...], evaluator: Evaluator) -> dict[str, Variable]:
    """Evaluate what the parts name, by the text they name it with."""
    found: dict[str, Variable] = {}
    for part in parts:
        if isinstance(part, VarIdent):
            found[f"{part.by} (strata)"] = stratum_factor(part.by, evaluator)
        else:
            if part.within is not None:
                found[f"{part.within} (groups)"] = stratum_factor(part.within, evaluator)
            if part.time is not None:
                value = evaluator.variable(parse_expression(part.time))
                if isinstance(value, Matrix):
                    raise DataTypeError(f"The time {part.time!r} of cor_{part.kind}() must be one column.")
                found[part.time] = value
    return found


def residual_names(parts: tuple[ResidualPart, ...]) -> tuple[str, ...]:
    """Return the columns that the parts name."""
    texts: list[str | None] = []
    for part in parts:
        texts += [part.by] if isinstance(part, VarIdent) else [part.within, part.time]
    return tuple(dict.fromkeys(name for text in texts if text for name in names_in(parse_expression(text))))


def stratum_factor(text: str, evaluator: Evaluator) -> Factor:
    """Evaluate a factor, or a combination such as ``"a:b"``."""
    return combine([evaluator.factor(node) for node in interaction_members(parse_expression(text))])


def residual_design(
    parts: tuple[ResidualPart, ...], variables: dict[str, Variable], groups: list[GroupingFactor]
) -> ResidualDesign | None:
    """Return the residual structure in the rows of a design; `variables` are those of `residual_variables` in these rows."""
    if not parts:
        return None
    n = groups[0].codes.size
    strata: tuple[str, ...] = ()
    codes = np.zeros(n, dtype=np.int32)
    stratum_name = kind = time_name = within_name = None
    sequence, previous, gap = np.arange(n, dtype=np.int32), np.full(n, -1, dtype=np.int32), np.zeros(n)
    for part in parts:
        if isinstance(part, VarIdent):
            factor = variables[f"{part.by} (strata)"]
            assert isinstance(factor, Factor)
            factor = factor.drop_unused()
            if factor.n_levels < 2:
                raise DataError(
                    f"The factor {part.by!r} of var_ident() has only {factor.n_levels} level in the rows used; a variance for each"
                    " level needs at least two."
                )
            stratum_name, strata, codes = part.by, factor.levels.names, factor.codes.astype(np.int32)
        else:
            kind, time_name = part.kind, part.time
            within_name, within = _groups(part, variables, groups)
            sequence, previous, gap = _order(part, within_name, within, variables)
            for group in groups:
                later = np.flatnonzero(previous >= 0)
                if (group.codes[later] != group.codes[previous[later]]).any():
                    raise DataError(
                        f"The residual correlation within {within_name!r} joins rows of different levels of the grouping factor"
                        f" {group.name!r}; name groups that lie within one level of it as `within`."
                    )
    return ResidualDesign(stratum_name, strata, codes, kind, time_name, within_name, sequence, previous, gap)


def _groups(
    part: ResidualCorrelation, variables: dict[str, Variable], groups: list[GroupingFactor]
) -> tuple[str, npt.NDArray[np.int32]]:
    if part.within is not None:
        factor = variables[f"{part.within} (groups)"]
        assert isinstance(factor, Factor)
        return part.within, factor.codes
    innermost = max(groups, key=lambda group: group.n_levels)
    return innermost.name, innermost.codes


def _order(
    part: ResidualCorrelation, within_name: str, within: npt.NDArray[np.int32], variables: dict[str, Variable]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], FloatArray]:
    """Return the rows in order, the row before each, and the time since."""
    n = within.size
    if part.time is None:
        # rows of a group one apart, in their order
        sequence = np.argsort(within, kind="stable")
        time = np.empty(n)
        time[sequence] = np.arange(n)
    else:
        value = variables[part.time]
        time = value.codes.astype(np.float64) if isinstance(value, Factor) else np.asarray(value, dtype=np.float64)
        if not np.isfinite(time).all():
            raise DataError(f"The time {part.time!r} of cor_{part.kind}() has infinite values; correct them.")
        if part.kind == "ar1" and (time != np.rint(time)).any():
            raise DataError(
                f"The time {part.time!r} of cor_ar1() has values that are not whole numbers; use cor_car1() for continuous"
                " time."
            )
        sequence = np.lexsort((time, within))
    same = within[sequence[1:]] == within[sequence[:-1]]
    gap, previous = np.zeros(n), np.full(n, -1, dtype=np.int32)
    later = sequence[1:][same]
    previous[later] = sequence[:-1][same]
    gap[later] = time[later] - time[previous[later]]
    if not later.size:
        raise DataError(
            f"Every group of {within_name!r} has one row: there is no correlation of residuals to estimate."
        )
    twice = np.flatnonzero((previous >= 0) & (gap <= 0.0))
    if twice.size:
        raise DataError(
            f"The time {part.time!r} is the same in several rows of one group of {within_name!r} ({twice.size} such rows); name"
            " groups in which each time occurs once as `within`."
        )
    return sequence.astype(np.int32), previous, gap
