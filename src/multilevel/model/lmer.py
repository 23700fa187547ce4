"""`lmer`: from a formula and a data frame to a fitted linear mixed-effects model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import NaAction, Reml, also_called, checked
from multilevel.data.caller import warn_caller
from multilevel.data.frames import Frame
from multilevel.data.memory import memory_errors_explained
from multilevel.engine.control import Control, LmerControl, as_control
from multilevel.engine.fit import fit_of_design
from multilevel.errors import DataError, MultilevelWarning
from multilevel.formula.build import build_design
from multilevel.formula.deparse import deparse
from multilevel.formula.design import Design
from multilevel.formula.grammar import Formula
from multilevel.formula.subset import rows_kept
from multilevel.formula.syntax import Name
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.identification import describer
from multilevel.model.source import FitSource, own_arguments
from multilevel.model.spellings import check_family, with_groups

FloatArray = npt.NDArray[np.float64]


@checked
@also_called(REML="reml", **{"na.action": "na_action"})
def lmer(
    formula: str | Formula,
    data: Any,
    *,
    reml: Reml = True,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | str | None = None,
    na_action: NaAction = "omit",
    control: Control = None,
    residual: Any = None,
    relationship: Mapping[str, Any] | None = None,
    subset: Any = None,
    groups: Any = None,
    family: Any = None,
) -> LinearMixedModel:
    """Fit a linear mixed-effects model.

    Parameters
    ----------
    formula : str or Formula
        As in R's lme4: ``"y ~ x + (1 + x | group)"``. Random terms may be ``(1 | g)``, ``(x | g)``, ``(0 + x | g)``, ``(x || g)``
        (uncorrelated), ``(1 | a/b)`` (b within a), ``(1 | a:b)``, with several terms and factors left of a bar. A covariance
        structure is written as in lme4 2.0 and glmmTMB: ``diag(x | g)`` and ``homdiag(x | g)`` (no correlations), ``cs(x | g)`` and
        ``homcs(x | g)`` (compound symmetry), and over the levels of a factor, taken as equally spaced, ``ar1(0 + time | g)`` and
        ``hetar1(…)`` (first-order autoregression), ``toep(0 + time | g)`` and ``homtoep(…)`` (a correlation for each lag); ``hom``
        structures and ``ar1`` have one variance for all columns. One bar needs no parentheses: ``"Yield ~ 1 | Batch"``.
    data : data frame
        A pandas, polars or pyarrow table, or a mapping of columns.
    reml : bool, default True
        Whether to minimise the REML criterion or, when False, the deviance (maximum likelihood).
    weights : str or array_like, optional
        Prior weights, a column's name or one value per row: the residual variance of row i is σ²/wᵢ.
    offset : str or array_like, optional
        A known part of the linear predictor; added to any ``offset()`` in the formula.
    contrasts : mapping or str, optional
        For a factor's name the contrasts to code it with: ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"SAS"``, or a
        matrix with a row for each level. One name alone is for all factors of the fixed effects.
    na_action : {"omit", "exclude", "fail"}, default "omit"
        What to do with rows that lack a value: leave them out (a `MissingValuesWarning` says how many), leave them out and give NaN
        for them in `fitted` and `residuals`, or raise `DataError`.
    control : LmerControl or mapping or str, optional
        The optimiser and its options: `LmerControl`, a mapping of its options, or an optimiser's name alone.
    residual : VarIdent or ResidualCorrelation or list of these, optional
        How residual variances differ (`var_ident`) and how residuals are correlated (`cor_ar1`, `cor_car1`); σ is then the
        residual standard deviation of the first stratum. By default residuals are independent with variance σ²/wᵢ.
    relationship : mapping, optional
        For a grouping factor's name how its levels are related: a symmetric positive definite matrix K as a pandas data frame with
        the levels as labels, a pair of matrix and labels, or what `relationship` returns. The random effects of the levels then
        have the covariance K times that of the term. Levels of K without rows do not change the fit (see
        `LinearMixedModel.relatives`).
    subset : str or array_like, optional
        The rows to fit: an expression of the columns, ``"Days > 1 & Subject != '308'"``, or one truth value per row. Rows for
        which it is not known are left out, as in R. The fit knows nothing of the others.
    groups : str, optional
        statsmodels' spelling of a random intercept: ``groups="g"`` beside a formula without bars is ``(1 | g)``.
    family : optional
        Only the normal distribution (``"gaussian"``) is fitted.

    Returns
    -------
    LinearMixedModel
        The fit. Its `convergence` says how the exact gradient and Hessian judge it.

    Raises
    ------
    FormulaError
        The formula cannot be read.
    UnknownColumnError
        The formula or an argument names a column that is not there.
    DataError, DataTypeError
        The data cannot be used: the message says which column, term or level.

    Warns
    -----
    MissingValuesWarning, RankDeficiencyWarning, FormulaWarning, ConvergenceWarning, NotIdentifiedWarning
        Rows or columns were left out, the formula says something else than it seems to, the fit did not end at an optimum, or it is
        at one of many that are as good.

    Notes
    -----
    The model is y = Xβ + Zb + offset + ε with b ~ N(0, σ²ΛΛᵀ) and ε ~ N(0, σ²W⁻¹); the criterion is that of Bates, Mächler, Bolker
    & Walker (2015, J. Stat. Soft. 67(1)), minimised by Newton's method on exact derivatives. Agrees with R's ``lme4::lmer``.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))
    >>> round(fit.sigma, 4), fit.ngroups.to_dict()
    (0.5499, {'plate': 24, 'sample': 6})
    """
    check_family(family)
    if subset is not None:
        data, (weights, offset) = rows_of(data, subset, (weights, offset))
    arguments = {
        "weights": weights,
        "offset": offset,
        "contrasts": contrasts,
        "na_action": na_action,
        "residual": residual,
        "relationship": relationship,
    }
    fit = fit_formula(with_groups(formula, groups), data, arguments, reml, as_control(control))
    warn_of_unused_contrasts(fit._design, contrasts)
    return fit


def fit_formula(
    formula: str | Formula,
    data: Any,
    arguments: Mapping[str, Any],
    reml: bool,
    control: LmerControl,
    response: FloatArray | None = None,
) -> LinearMixedModel:
    """Fit a formula to a data frame, or to another response than the formula makes of it."""
    if isinstance(data, Mapping) and any(isinstance(values, Iterator) for values in data.values()):
        # They can be read once only.
        data = {name: list(values) if isinstance(values, Iterator) else values for name, values in data.items()}
    given = own_arguments(arguments)
    design = build_design(formula, data, **given, response=response)
    check_design(design, control)
    return fit_design(design, reml, control, FitSource.of(data, given, design))


def rows_of(data: Any, subset: Any, by_row: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return some rows of the data, and of values that are given one per row."""
    frame = Frame(data)
    kept = rows_kept(frame, subset)
    columns = [
        values if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != frame.n_rows
        else Frame({"values": values}).rows(kept)["values"]
        for values in by_row
    ]  # fmt: skip
    return frame.rows(kept), tuple(columns)


def warn_of_unused_contrasts(design: Design, contrasts: Mapping[str, Any] | str | None) -> None:
    """Warn of contrasts for what the fixed effects do not have."""
    if contrasts is None or isinstance(contrasts, str):
        return
    used = {deparse(node) for term in design.formula.term_list.terms for node in term.variables}
    for name in contrasts:
        if name not in used and deparse(Name(name)) not in used:
            warn_caller(
                f"contrasts names {name!r}, which is not among the fixed effects ({', '.join(sorted(used)) or 'there are none'});"
                " its contrasts are ignored.",
                MultilevelWarning,
            )


SEPARABLE = frozenset({"ar1", "hetar1", "cs"})
"""Structures whose covariances differ from a residual variance even with one row for each random effect."""


def check_design(design: Design, control: LmerControl) -> None:
    """Refuse designs whose variances cannot be told apart, as lme4 does, and saturated ones."""
    n = design.nobs
    if design.n_fixed >= n:
        raise DataError(
            f"The fixed effects have {design.n_fixed} columns and there are {n} rows: nothing is left to estimate variances from;"
            " use fewer fixed effects or more rows."
        )
    for term in design.random:
        levels = term.factor.n_levels
        if term.factor.relation is not None:
            continue
        if control.check_levels_against_rows == "error" and levels >= n:
            raise DataError(
                f"The grouping factor {term.factor.name!r} has {levels} levels and there are {n} rows: with as many levels"
                " as rows its variance cannot be told from the residual's; use a factor with repeated rows, or"
                " LmerControl(check_levels_against_rows='ignore')."
            )
        effects = levels * len(term.columns)
        if term.structure in SEPARABLE:
            continue
        if control.check_effects_against_rows == "error" and effects >= n:
            raise DataError(
                f"The term ({term.label}) has {effects} random effects and there are {n} rows: its covariances cannot be"
                " told from the residual variance; simplify the term, or LmerControl(check_effects_against_rows='ignore')."
            )


def fit_design(design: Design, reml: bool, control: LmerControl, source: FitSource) -> LinearMixedModel:
    """Fit a design and wrap the result."""
    with memory_errors_explained("Fitting the model"):
        engine = fit_of_design(design, reml, control, describer(design, control))
    for array in (engine.theta, engine.beta, engine.unscaled_vcov):
        array.flags.writeable = False
    return LinearMixedModel(design, engine, reml, control, source)
