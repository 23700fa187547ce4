"""Deletion of single fixed-effects terms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, checked, idle
from multilevel.inference.anova import f_table
from multilevel.inference.anova_table import AnovaTable
from multilevel.inference.hypotheses import columns_of
from multilevel.inference.likelihood_ratio import as_ml, chisq_p_value
from multilevel.inference.recoding import (
    Recoder,
    changed_design,
    droppable,
    fitted_criterion,
    random_terms,
    recoder,
    without,
)

if TYPE_CHECKING:
    from multilevel.formula.coding import CodedColumn
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

HEADS = {"df": "npar", "aic": "AIC", "chisq": "LRT", "p_value": "Pr(Chi)"}


@checked
@idle(
    "ddf",
    when=lambda given: given["test"] == "chisq",
    why="likelihood-ratio tests have no denominator degrees of freedom",
)
def drop1(fit: LinearMixedModel, *, test: Literal["F", "chisq"] = "F", ddf: DdfName = "satterthwaite") -> AnovaTable:
    """Test each fixed-effects term that can be left out while the others stay.

    A term that is part of an interaction in the model is not among them.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    test : {"F", "chisq"}
        F tests from the fit itself; or likelihood-ratio tests between the model and the smaller ones, all by maximum likelihood.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the denominator degrees of freedom of the F tests are found.

    Returns
    -------
    AnovaTable
        For F tests the columns ``sum_sq``, ``mean_sq``, ``df_numerator``, ``df_denominator``, ``statistic``, ``p_value``; for
        likelihood-ratio tests ``df`` (parameters less), ``aic``, ``chisq``, ``p_value``, the first row the whole model.

    Raises
    ------
    ControlError
        An option is not one of its choices, or the method does not apply.

    Notes
    -----
    Agrees with ``drop1`` of R's lmerTest (F tests) and lme4 (``test = "Chisq"``). Without an intercept in the model the two tests
    can ask different questions: the F test is of the term's coefficients, and the likelihood ratio compares with the formula
    without the term, in which another factor may take up the columns that it leaves.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", ml.load_dataset("cake"))
    >>> ml.drop1(fit, test="chisq").to_frame().round(4)
            df        aic     chisq  p_value
    <none>  NaN  1708.1578      NaN      NaN
    recipe  2.0  1704.6877   0.5300   0.7672
    temp    1.0  1785.6884  79.5306   0.0000
    """
    import pandas as pd

    terms = fit.formula.term_list
    scope = droppable(terms.terms)
    labels = [terms.terms[k].label for k in scope]
    if test == "F":
        hypotheses = [deletion_hypothesis(fit, k) for k in scope]
        return f_table(fit, labels, hypotheses, ddf, "Single term deletions with {method}")
    whole, again = as_ml(fit), recoder(fit)
    rows = [(math.nan, whole.aic, math.nan, math.nan)]
    for k in scope:
        smaller = changed_design(again, again.code(without(terms, k), fixed=True), random_terms(again))
        criterion, npar = fitted_criterion(smaller, again, False)
        df, chisq = whole.n_parameters - npar, max(0.0, criterion - whole.deviance)
        rows.append((df, criterion + 2.0 * npar, chisq, chisq_p_value(chisq, df)))
    frame = pd.DataFrame(rows, columns=list(HEADS), index=["<none>", *labels])
    note = "Fitted anew by maximum likelihood instead of REML" if fit.reml else ""
    title = "Single term deletions with likelihood-ratio tests"
    return AnovaTable(title, {"Model": str(fit.formula)}, note, HEADS, frame)


def deletion_hypothesis(fit: LinearMixedModel, position: int) -> FloatArray:
    """Return the contrasts that are zero when a term is left out, shape (q, p).

    They are its coefficients; where columns were dropped for rank, those that the columns of the model without it leave.
    """
    if not fit.dropped_columns:
        return np.eye(fit._design.n_fixed)[columns_of(fit._design)[position]]
    again = recoder(fit)
    smaller = again.code(without(fit.formula.term_list, position), fixed=True)
    return complement(again, again.without_dependent(smaller))


def complement(again: Recoder, smaller: tuple[CodedColumn, ...]) -> FloatArray:
    """Return contrasts, orthonormal, that are zero where the fitted values are combinations of fewer columns."""
    p = len(again.encoder.fixed)
    if len(smaller) >= p:
        return np.zeros((0, p))
    inside = again.expressed(again.encoder.fixed, smaller)
    size = np.linalg.norm(again.fit._design.X, axis=0)
    scaled = inside * size[:, None]
    vectors = np.linalg.svd(scaled / np.linalg.norm(scaled, axis=0), full_matrices=True)[0]
    rows = vectors[:, len(smaller) :].T * size
    found: FloatArray = np.linalg.qr(rows.T)[0].T
    return found
