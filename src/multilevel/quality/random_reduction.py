"""Parsimonious random-effects structures: what the data do not support is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from multilevel.arguments import Share, checked, checked_methods, idle
from multilevel.engine.fit import EngineFit
from multilevel.errors import ControlError
from multilevel.inference.likelihood_ratio import chisq_p_value
from multilevel.quality.random_structure import RandomStructure
from multilevel.quality.several_tables import SeveralTables
from multilevel.quality.source_data import on_rows_used
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.numbers import format_p_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

Criterion = Literal["lrt", "aic"]

COLUMNS = ["action", "random", "npar", "loglik", "aic", "chisq", "df", "p_value", "accepted", "singular", "converged"]


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class RandomReduction(SeveralTables):
    """What `reduce_random_effects` did, step by step.

    Attributes
    ----------
    steps : pandas.DataFrame
        A row for each model tried: ``action``, ``random`` (its random-effects terms), ``npar``, ``loglik``, ``aic``; ``chisq``,
        ``df`` and ``p_value`` of the likelihood ratio against the model it was compared with; ``accepted``, ``singular``,
        ``converged``.
    initial_model, final_model : LinearMixedModel
        The model at the beginning and the one that is left.
    rule : str
        By what was decided.
    """

    steps: pd.DataFrame
    initial_model: LinearMixedModel
    final_model: LinearMixedModel
    rule: str

    def to_frame(self) -> pd.DataFrame:
        """Return the steps."""
        return self.steps.copy()

    @property
    def against_initial(self) -> tuple[float, float, float]:
        """The likelihood-ratio test of the final against the initial model: χ², degrees of freedom, p-value."""
        initial, final = self.initial_model, self.final_model
        chisq, df = max(0.0, 2.0 * (initial.loglik - final.loglik)), initial.n_parameters - final.n_parameters
        return chisq, float(df), chisq_p_value(chisq, df)

    @property
    def title(self) -> str:
        """What was reduced."""
        return f"Reduction of the random effects of {self.initial_model.formula}"

    @property
    def notes(self) -> tuple[str, ...]:
        """By what was decided, and the result."""
        found = [self.rule, f"Model found: {self.final_model.formula}"]
        chisq, df, p_value = self.against_initial
        if df > 0:
            found.append(
                f"Against the model at the start: Chisq {chisq:.3f}, Df {df:.0f}, p {format_p_values([p_value])[0].strip()}."
            )
        if not bool(self.steps["converged"].all()):
            found.append("Some model did not end at an optimum; see the column 'converged' of the steps.")
        return tuple(found)

    def _tables(self) -> list[Table]:
        steps = self.steps
        values = steps["p_value"].to_numpy(dtype=np.float64)
        p_values = number_cells(values, [text if text != "NaN" else "" for text in format_p_values(values)], "p")
        rows: list[tuple[str | Number, ...]] = []
        for (_, row), p_text in zip(steps.iterrows(), p_values, strict=True):
            test = ("", "") if np.isnan(row["chisq"]) else (_decimals(row["chisq"], 3), f"{row['df']:.0f}")
            kept = "" if row["action"] == "start" else "yes" if row["accepted"] else "no"
            mark = "singular" if row["singular"] else ""
            rows.append(
                (
                    row["action"],
                    f"{row['npar']}",
                    _decimals(row["loglik"], 2),
                    _decimals(row["aic"], 1),
                    *test,
                    p_text,
                    kept,
                    mark,
                )
            )
        width = 9 if any(row[-1] for row in rows) else 8
        heads = ("", "npar", "logLik", "AIC", "Chisq", "Df", "p", "accepted", " ")
        cells = tuple(row[:width] for row in rows)
        return [Table("Steps", heads[:width], cells)]


def _decimals(value: float, places: int) -> Number:
    return Number(f"{value:.{places}f}", (float(value),))


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """A structure and its fit."""

    structure: RandomStructure
    fit: EngineFit
    npar: int

    @property
    def loglik(self) -> float:
        return -0.5 * self.fit.criterion

    @property
    def aic(self) -> float:
        return self.fit.criterion + 2.0 * self.npar


@checked
@idle("alpha", when=lambda given: given["criterion"] == "aic", why="AIC has no significance level")
def reduce_random_effects(
    fit: LinearMixedModel,
    *,
    criterion: Criterion = "lrt",
    alpha: Share = 0.2,
    extend: bool = True,
    drop_groups: bool = False,
) -> RandomReduction:
    """Reduce the random effects of a model to what the data support, after Bates, Kliegl, Vasishth & Baayen (2015).

    First the correlations are left out. Then variance components are left out one at a time, beginning with the one that adds least
    to the response's standard deviation, for as long as the fit does not get worse for it; an interaction goes before its parts and
    the intercept of a grouping factor last. Last, the correlations that the model had at the beginning are put back term by term
    where that improves the fit and does not make it singular. Should the model that is left be worse than the first one all the
    same, the variance components are left out one at a time with the correlations in place, and those after them.

    Parameters
    ----------
    fit : LinearMixedModel
        The model to begin with, usually with all random effects that the design allows.
    criterion : {"lrt", "aic"}
        ``"lrt"`` leaves out what has a likelihood-ratio test above alpha; ``"aic"`` what does not lower the AIC.
    alpha : float
        For the tests, by default 0.2 (Matuschek et al. 2017): high, so that what is needed is not lost.
    extend : bool
        Whether the correlations are tried again at the end.
    drop_groups : bool
        Whether a grouping factor may go altogether. By default each keeps one column, since it belongs to the design: without it,
        rows that share its levels would count as independent.

    Returns
    -------
    RandomReduction
        The steps and the ``final_model``. Where columns of factors were told apart, the final model's data have them as numeric
        columns.

    Raises
    ------
    ControlError
        An option is not one of its choices.
    DataError
        The fit has no data frame.

    Notes
    -----
    All models are fitted by the criterion of the fit, REML's or the likelihood; both compare models with equal fixed effects. The
    tests are those of R's ``anova``: the p-value of a variance is too large, by about a factor of two, since zero is its bound.
    That the correlations are left out first is not decided by a test; it makes the next steps well determined, and the step is
    listed with its test.

    References
    ----------
    Bates, D., Kliegl, R., Vasishth, S. & Baayen, H. (2015). Parsimonious mixed models. arXiv:1506.04967.

    Matuschek, H., Kliegl, R., Vasishth, S., Baayen, H. & Bates, D. (2017). Balancing type I error and power in linear mixed models.
    Journal of Memory and Language, 94, 305-315.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = ml.reduce_random_effects(fit)
    >>> print(found.final_model.formula)
    Reaction ~ Days + (1 + Days || Subject)
    >>> found.steps[["action", "p_value", "accepted"]].round(3).values.tolist()[1]
    ['without correlations', 0.839, True]
    """
    import pandas as pd

    if not 0.0 < alpha < 1.0:
        raise ControlError(f"alpha must lie between 0 and 1; it is {alpha}.")
    base = on_rows_used(fit)
    start = RandomStructure.of(base)
    rows: list[tuple[object, ...]] = []

    def state_of(structure: RandomStructure) -> _State:
        found = structure.fit()
        return _State(structure, found, base._design.n_fixed + found.theta.size + 1)

    def note(action: str, state: _State, against: _State | None, accepted: bool) -> None:
        chisq, df, p_value = (np.nan, np.nan, np.nan) if against is None else _test(state, against)
        bars = " + ".join(f"({bar})" for bar in state.structure.bars())
        ending = state.fit.convergence
        rows.append(
            (
                action,
                bars,
                state.npar,
                state.loglik,
                state.aic,
                chisq,
                df,
                p_value,
                accepted,
                state.fit.singular,
                ending.converged,
            )
        )

    def worth_it(smaller: _State, larger: _State) -> bool:
        """Tell whether the larger of two models is worth its parameters."""
        return larger.aic < smaller.aic if criterion == "aic" else _test(smaller, larger)[2] <= alpha

    whole = _State(start, base._engine, base.n_parameters)
    note("start", whole, None, True)
    current = whole
    if start.has_correlations:
        current = state_of(start.uncorrelated())
        note("without correlations", current, whole, True)
    current = _drop_components(current, drop_groups, state_of, note, worth_it)
    if extend and start.has_correlations:
        current = _change_correlations(current, True, state_of, note, worth_it)
        if worth_it(current, whole):
            # Together, what went was needed: without the correlations a variance can seem to add nothing.
            note("back to the start", whole, current, True)
            current = _drop_components(whole, drop_groups, state_of, note, worth_it)
            current = _change_correlations(current, False, state_of, note, worth_it)
    rule = f"A model is preferred to a larger one when the likelihood-ratio test has p > {alpha:g}."
    if criterion == "aic":
        rule = "The model with the lower AIC is preferred."
    steps = pd.DataFrame(rows, columns=COLUMNS)
    return RandomReduction(steps, fit, current.structure.model(), rule)


def _test(one: _State, other: _State) -> tuple[float, float, float]:
    """Return the likelihood-ratio test of two nested models, in either order."""
    smaller, larger = (one, other) if one.npar < other.npar else (other, one)
    chisq, df = max(0.0, 2.0 * (larger.loglik - smaller.loglik)), larger.npar - smaller.npar
    return chisq, float(df), chisq_p_value(chisq, df)


def _drop_components(
    current: _State,
    drop_groups: bool,
    state_of: Callable[[RandomStructure], _State],
    note: Callable[[str, _State, _State | None, bool], None],
    worth_it: Callable[[_State, _State], bool],
) -> _State:
    """Leave out variance components until every one that could go is needed."""
    needed: set[tuple[str, frozenset[str], str]] = set()
    while True:
        for _, block, column in current.structure.contributions(current.fit):
            key = (block.factor.name, column.variables, column.text)
            if key in needed or not current.structure.droppable(block, column, drop_groups=drop_groups):
                continue
            tried = state_of(current.structure.replaced(block, block.without(column)))
            accepted = not worth_it(tried, current)
            note(f"without {column.coded.name} | {block.factor.name}", tried, current, accepted)
            if accepted:
                current = tried
                needed.clear()
                break
            needed.add(key)
        else:
            return current


def _change_correlations(
    current: _State,
    correlated: bool,
    state_of: Callable[[RandomStructure], _State],
    note: Callable[[str, _State, _State | None, bool], None],
    worth_it: Callable[[_State, _State], bool],
) -> _State:
    """Put correlations back or leave them out, block by block."""
    for place in range(len(current.structure.blocks)):
        block = current.structure.blocks[place]
        if len(block.columns) < 2:
            continue
        tried = state_of(current.structure.replaced(block, replace(block, correlated=correlated)))
        wanted = worth_it(current, tried) and not _unsupported(tried.fit) if correlated else worth_it(tried, current)
        accepted = wanted == correlated
        note(f"with{'' if correlated else 'out'} correlations | {block.factor.name}", tried, current, accepted)
        if accepted:
            current = tried
    return current


def _unsupported(fit: EngineFit) -> bool:
    """Return whether the data do not support all that a fit asks of them."""
    return fit.singular or bool(fit.convergence.directions)
