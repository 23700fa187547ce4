"""Backward elimination of random-effects terms and then of fixed-effects terms."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from multilevel.arguments import DdfName, Share, checked, idle
from multilevel.errors import ControlError, DataTypeError
from multilevel.formula.deparse import deparse
from multilevel.formula.syntax import parse_expression
from multilevel.formula.terms import Term, expand_terms
from multilevel.inference.anova import F_HEADS, METHODS
from multilevel.inference.anova_table import AnovaTable
from multilevel.inference.random_terms import HEADS as RANDOM_HEADS
from multilevel.inference.random_terms import ranova
from multilevel.inference.recoding import variable_texts
from multilevel.inference.single_term import drop1
from multilevel.model.source import whole_frame
from multilevel.quality.formula_parts import reduced_formulas, without_term
from multilevel.quality.source_data import on_rows_used, refitted
from multilevel.reporting.forms import Document, Fact, Forms, Paragraph

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

ELIMINATED = "eliminated"


@dataclass(frozen=True, eq=False, repr=False)
class StepResult(Forms):
    """What `step` returns: two tables and the model that is left.

    Attributes
    ----------
    random : AnovaTable
        Tests of the random-effects terms: those eliminated, in their order, and those left. ``eliminated`` is the order, 0 for
        terms that stay.
    fixed : AnovaTable
        The same for the fixed-effects terms, with F tests.
    final_model : LinearMixedModel
        The model that is left.
    """

    random: AnovaTable
    fixed: AnovaTable
    final_model: LinearMixedModel

    def _blocks(self) -> list[AnovaTable]:
        return [self.random, self.fixed]

    def __str__(self) -> str:
        """Return both tables and the formula found."""
        return "\n\n".join([*map(str, self._blocks()), f"Model found:\n{self.final_model.formula}"])

    __repr__ = __str__

    def _document(self) -> Document:
        blocks = [
            block
            for table in self._blocks()
            for block in (Paragraph(table.title, bold=True), *table._document().blocks)
        ]
        return Document("Backward elimination", (*blocks, Fact("Model found", str(self.final_model.formula))))


@checked
@idle("alpha_random", when=lambda given: not given["reduce_random"], why="the random effects are left alone")
@idle("alpha_fixed", "keep", when=lambda given: not given["reduce_fixed"], why="the fixed effects are left alone")
def step(
    fit: LinearMixedModel,
    *,
    alpha_random: Share = 0.1,
    alpha_fixed: Share = 0.05,
    reduce_random: bool = True,
    reduce_fixed: bool = True,
    ddf: DdfName = "satterthwaite",
    keep: Iterable[str] = (),
) -> StepResult:
    """Eliminate random-effects terms, and then fixed-effects terms, one at a time, the least significant first.

    Random-effects terms are tested by `ranova`, which reduces ``(x | g)`` to ``(1 | g)`` before the whole term is tested; fixed-
    effects terms by the F tests of `drop1`, those first that are part of no other term. All models are fitted to the rows that the
    fit used.

    Parameters
    ----------
    fit : LinearMixedModel
        The model to begin with.
    alpha_random : float
        A random-effects term goes when its p-value is above this.
    alpha_fixed : float
        The same for a fixed-effects term.
    reduce_random, reduce_fixed : bool
        Whether each part is reduced; the tests of a part that is not are shown all the same.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the denominator degrees of freedom of the F tests are found.
    keep : iterable of str
        Fixed-effects terms that stay, and with them the terms that are part of them.

    Returns
    -------
    StepResult
        The two tables and the ``final_model``.

    Raises
    ------
    ControlError
        An option is not one of its choices, or `keep` names a term that the model does not have.
    DataError
        The fit has no data frame.

    Notes
    -----
    Agrees with ``step`` of R's lmerTest, except that the last random-effects term always stays, since the result is a mixed model;
    a note says where its test would let it go. P-values after a selection are too small: the tests are not those of a model that
    was settled beforehand.

    References
    ----------
    Kuznetsova, A., Brockhoff, P. B. & Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects models. Journal
    of Statistical Software, 82(13).

    Examples
    --------
    >>> import multilevel as ml
    >>> cake = ml.load_dataset("cake")
    >>> found = ml.step(ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", cake))
    >>> print(found.final_model.formula)
    angle ~ temp + (1 | recipe:replicate)
    >>> found.fixed.to_frame()[["eliminated", "p_value"]].round(4)
                 eliminated  p_value
    recipe:temp           1   0.9592
    recipe                2   0.7809
    temp                  0   0.0000
    """
    _check_alpha("alpha_random", alpha_random)
    _check_alpha("alpha_fixed", alpha_fixed)
    if isinstance(keep, str):
        raise DataTypeError(f"keep must be a list of terms, such as [{keep!r}], not text.")
    keep = list(keep)
    kept = _kept(fit, keep)
    current = on_rows_used(fit)
    random, current = _reduce_random(current, alpha_random if reduce_random else 1.0)
    fixed, current = _reduce_fixed(current, alpha_fixed if reduce_fixed else 1.0, ddf, kept)
    if not fit.formula.terms:
        fixed = replace(fixed, note="There are no fixed-effects terms to test")
    if keep:
        fixed = replace(fixed, note=f"Kept: {', '.join(keep)}")
    return StepResult(random, fixed, current)


def _check_alpha(name: str, alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise ControlError(f"{name} must lie between 0 and 1; it is {alpha}.")


def _kept(fit: LinearMixedModel, keep: list[str]) -> list[frozenset[str]]:
    """Return the variables of the terms to keep."""
    present = {variable_texts(term) for term in fit.formula.term_list.terms}
    found = []
    for text in keep:
        terms = expand_terms(parse_expression(text)).terms
        if len(terms) != 1 or variable_texts(terms[0]) not in present:
            shown = ", ".join(fit.formula.terms)
            raise ControlError(
                f"keep names {text!r}, which is not a fixed-effects term of the model; its terms are {shown}."
            )
        found.append(variable_texts(terms[0]))
    return found


def _worst(table: pd.DataFrame, candidates: list[str], alpha: float) -> str | None:
    """Return the row with the largest p-value above alpha."""
    worst, largest = None, alpha
    for label in candidates:
        p_value = float(table["p_value"].loc[label])
        if not math.isnan(p_value) and p_value > largest:
            worst, largest = label, p_value
    return worst


def _reduce_random(fit: LinearMixedModel, alpha: float) -> tuple[AnovaTable, LinearMixedModel]:
    import pandas as pd

    labels: list[str] = []
    rows: list[dict[Hashable, Any]] = []
    note = ""
    first: pd.Series[float] | None = None
    current = fit
    while True:
        table = ranova(current).to_frame()
        first = table.iloc[0] if first is None else first
        # both go through the terms in the same order
        smaller = dict(zip(map(str, table.index[1:]), reduced_formulas(current), strict=True))
        worst = _worst(table, list(smaller), alpha)
        if worst is None:
            break
        formula = smaller[worst]
        if formula is None:
            note = f"{worst} stays as the last random-effects term, although its p-value is above {alpha:g}"
            break
        labels.append(worst)
        rows.append({ELIMINATED: float(len(rows) + 1), **table.loc[worst].to_dict()})
        current = refitted(current, formula, whole_frame(current), current._design.given_response())
    for label in table.index[1:]:
        labels.append(label)
        rows.append({ELIMINATED: 0.0, **table.loc[label].to_dict()})
    rows.insert(0, {ELIMINATED: math.nan, **first.to_dict()})
    frame = pd.DataFrame(rows, index=["<none>", *labels])
    heads = {ELIMINATED: "Eliminated", **RANDOM_HEADS}
    title = "Backward elimination of random-effects terms by likelihood ratios"
    return AnovaTable(title, {"Model": str(fit.formula)}, note, heads, frame), current


def _reduce_fixed(
    fit: LinearMixedModel, alpha: float, ddf: DdfName, kept: list[frozenset[str]]
) -> tuple[AnovaTable, LinearMixedModel]:
    import pandas as pd

    labels: list[str] = []
    rows: list[dict[Hashable, Any]] = []
    current = fit
    while True:
        table = drop1(current, ddf=ddf).to_frame()
        terms = {term.label: k for k, term in enumerate(current.formula.term_list.terms)}
        free = [label for label in table.index if not _is_kept(current.formula.term_list.terms[terms[label]], kept)]
        worst = _worst(table, free, alpha)
        if worst is None:
            break
        labels.append(worst)
        rows.append({ELIMINATED: len(rows) + 1, **table.loc[worst].to_dict()})
        current = refitted(
            current,
            without_term(current.formula, terms[worst]),
            whole_frame(current),
            current._design.given_response(),
        )
    for label in table.index:
        labels.append(label)
        rows.append({ELIMINATED: 0, **table.loc[label].to_dict()})
    frame = pd.DataFrame(rows, index=labels, columns=[ELIMINATED, *F_HEADS])
    heads = {ELIMINATED: "Eliminated", **F_HEADS}
    title = f"Backward elimination of fixed-effects terms with {METHODS[ddf]}"
    return AnovaTable(title, {"Model": str(fit.formula)}, "", heads, frame), current


def _is_kept(term: Term, kept: list[frozenset[str]]) -> bool:
    """Tell whether a term is among those to keep, or part of one."""
    return any(frozenset(deparse(node) for node in term.variables) <= own for own in kept)
