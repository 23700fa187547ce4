"""Tests of the random-effects terms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from multilevel.arguments import checked
from multilevel.data.labels import distinct
from multilevel.inference.anova_table import AnovaTable
from multilevel.inference.likelihood_ratio import chisq_p_value
from multilevel.inference.recoding import (
    CodedTerm,
    Recoder,
    changed_design,
    droppable,
    fitted_criterion,
    random_terms,
    recoder,
    without,
)

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

HEADS = {
    "npar": "npar",
    "loglik": "logLik",
    "aic": "AIC",
    "chisq": "LRT",
    "df": "Df",
    "p_value": "Pr(>Chisq)",
}


@checked
def ranova(fit: LinearMixedModel, *, reduce_terms: bool = True, mixture: bool = False) -> AnovaTable:
    """Test the random-effects terms by the likelihood ratios of models with one of them reduced or left out.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model; the models compared with it are fitted by the same criterion, REML's or the likelihood.
    reduce_terms : bool, default True
        Whether ``(x + z | g)`` is reduced to ``(z | g)`` and to ``(x | g)``, and ``(x | g)`` to ``(1 | g)``. Otherwise every term
        is left out as a whole.
    mixture : bool, default False
        Whether the p-values take into account that a variance cannot be negative, by a mixture of two χ² distributions.

    Returns
    -------
    AnovaTable
        Columns ``npar``, ``loglik``, ``aic``, ``chisq`` (the likelihood ratio), ``df``, ``p_value``; the first row is the model.

    Notes
    -----
    Agrees with ``ranova`` of R's lmerTest, whose p-values from the χ² distribution with ``df`` degrees of freedom are too large,
    because the null hypothesis is on the boundary of the parameters. Where one random effect, correlated with k others of its term,
    is left out, the distribution is half χ² with k and half with k + 1 degrees of freedom (Self & Liang 1987, Stram & Lee 1994);
    this is what ``mixture=True`` uses. Where a term loses several effects at once, the same mixture of ``df − 1`` and ``df``
    degrees of freedom is an upper bound of the p-value (Perlman 1969), still below that of the plain χ²; the note says so. As in
    lmerTest, ``(0 + x | g)`` is compared with ``(1 | g)``, which is not nested in it, unless the model has ``(1 | g)`` as well.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.ranova(fit))
    Likelihood-ratio tests of random-effects terms
    <BLANKLINE>
    Model: Reaction ~ Days + (Days | Subject)
    <BLANKLINE>
                             npar  logLik    AIC    LRT Df Pr(>Chisq)
    <none>                      6 -871.81 1755.6
    Days in (Days | Subject)    4 -893.23 1794.5 42.837  2   4.99e-10 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    import pandas as pd

    again = recoder(fit)
    labels = ["<none>"]
    rows = [(fit.n_parameters, fit.loglik, fit.aic, math.nan, math.nan, math.nan)]
    bounds = []
    for label, terms in _reduced(again, reduce_terms):
        criterion, npar = fitted_criterion(changed_design(again, again.encoder.fixed, terms), again, fit.reml)
        loglik = -0.5 * criterion
        chisq, df = max(0.0, 2.0 * (fit.loglik - loglik)), fit.n_parameters - npar
        if mixture and df > 0:
            p_value = boundary_p_value(chisq, df)
            if _n_effects(random_terms(again)) - _n_effects(terms) > 1:
                bounds.append(label)
        else:
            p_value = chisq_p_value(chisq, df)
        labels.append(label)
        rows.append((npar, loglik, criterion + 2.0 * npar, chisq, df, p_value))
    frame = pd.DataFrame(rows, columns=list(HEADS), index=labels)
    note = "p-values from mixtures of chi-squared distributions" if mixture else ""
    if bounds:
        note += f"; upper bounds for {', '.join(bounds)}"
    title = "Likelihood-ratio tests of random-effects terms"
    return AnovaTable(title, {"Model": str(fit.formula)}, note, HEADS, frame)


def boundary_p_value(statistic: float, df: int) -> float:
    """Return the probability of a larger value of the even mixture of χ² with `df` − 1 and with `df` degrees of freedom."""
    from scipy.special import chdtrc

    if statistic <= 1e-8:
        return 1.0
    below = float(chdtrc(df - 1, statistic)) if df > 1 else 0.0
    return 0.5 * below + 0.5 * float(chdtrc(df, statistic))


def _reduced(again: Recoder, reduce_terms: bool) -> list[tuple[str, list[CodedTerm]]]:
    """Return, for each test, its label and the terms that are left."""
    present = random_terms(again)
    found = []
    for t, bar in enumerate(again.fit.formula.plain_bars):
        others = present[:t] + present[t + 1 :]
        inside = droppable(bar.term_list.terms) if reduce_terms else []
        if not inside:
            found.append((bar.written, others))
        for position in inside:
            left = without(bar.term_list, position)
            if not left.terms:
                left = type(left)(True, (), ())
            columns = again.code(left, fixed=False)
            smaller = CodedTerm(str(bar), present[t].factor, columns, present[t].structure)
            label = f"{bar.term_list.terms[position].label} in {bar.written}"
            if any(_same(smaller, other) for other in others):
                found.append((label, others))
            else:
                found.append((label, [*present[:t], smaller, *present[t + 1 :]]))
    labels = distinct([label for label, _ in found])
    return [(label, terms) for label, (_, terms) in zip(labels, found, strict=True)]


def _same(one: CodedTerm, other: CodedTerm) -> bool:
    """Tell whether two terms have the same columns for the same groups."""
    columns = [{column.pieces for column in term.columns} for term in (one, other)]
    return one.factor.name == other.factor.name and columns[0] == columns[1]


def _n_effects(terms: list[CodedTerm]) -> int:
    return sum(len(term.columns) for term in terms)
