"""Collinearity of the fixed effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.quality.checks.result import Check, listed, not_checked, number

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

MODERATE, HIGH = 5.0, 10.0
"""Variance inflation factors from which collinearity is called moderate and high."""


@checked
def check_collinearity(fit: LinearMixedModel) -> Check:
    """Check how far the fixed effects' standard errors are inflated by correlation among the predictors.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    Check
        ``table``, by term: ``vif``, the generalised variance inflation factor (Fox & Monette 1992, JASA 87) of all columns of the
        term, which agrees with R's ``car::vif`` and ``performance::check_collinearity``; ``df``, its number of columns;
        ``se_factor`` = vif^(1/(2·df)), by which standard errors are inflated; ``tolerance`` = 1/vif; and ``level``: low, moderate
        (5 and more) or high (10 and more), judged by vif^(1/df), which is comparable between terms. ``numbers``: the largest of
        these, and ``condition_number`` of X with columns scaled to length one (Belsley, Kuh & Welsch 1980).

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + I(Days**2) + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.check_collinearity(fit).table["vif"].round(4).tolist()
    [3.3255, 3.3255]
    """
    import pandas as pd

    design = fit._design
    assign = np.asarray(design.fixed_assign)
    columns = np.flatnonzero(assign > 0)
    terms = [t for t in range(1, len(design.term_labels) + 1) if (assign == t).any()]
    if len(terms) < 2:
        return not_checked(
            "collinearity", f"Collinearity needs two terms or more; the model has {len(terms)} beside the intercept."
        )
    vcov = fit._engine.unscaled_vcov
    # Without an intercept there is nothing to set aside; the factors then count correlation through the origin.
    scale = np.sqrt(np.diag(vcov))
    correlation = vcov / np.outer(scale, scale)
    whole = correlation[np.ix_(columns, columns)]
    log_whole = np.linalg.slogdet(whole)[1]
    rows = []
    for t in terms:
        own, other = np.flatnonzero(assign == t), np.flatnonzero((assign > 0) & (assign != t))
        logs = [np.linalg.slogdet(correlation[np.ix_(at, at)])[1] for at in (own, other)]
        vif, df = float(np.exp(sum(logs) - log_whole)), own.size
        adjusted = vif ** (1.0 / df)
        level = "high" if adjusted >= HIGH else "moderate" if adjusted >= MODERATE else "low"
        rows.append((design.term_labels[t - 1], vif, df, np.sqrt(adjusted), 1.0 / vif, level))
    table = pd.DataFrame(rows, columns=["term", "vif", "df", "se_factor", "tolerance", "level"]).set_index("term")
    worst = str(table["se_factor"].idxmax())
    factor = float(table["se_factor"].max())
    size = factor**2
    condition = _condition_number(fit)
    raised = [str(term) for term in table.index[table["level"] != "low"]]
    if raised:
        text = (
            f"Collinearity is {'high' if size >= HIGH else 'moderate'}: {listed(raised)} {'is' if len(raised) == 1 else 'are'}"
            f" largely determined by the other terms (largest variance inflation factor {number(size)}, {worst}); the standard"
            f" error there is {number(factor)} times what it would be without correlation."
        )
        if any(":" in label or "^" in label or "*" in label for label in raised):
            text += " Terms made of others (interactions, powers) are collinear by construction; centring the variables helps."
    else:
        text = f"Collinearity is low: the largest variance inflation factor is {number(size)} ({worst})."
    if 0 not in assign:
        text += " The model has no intercept, so that the factors are not what they usually mean."
    numbers = {"largest_vif": size, "condition_number": condition}
    return Check("collinearity", not raised, text, numbers, table, table.reset_index())


def _condition_number(fit: LinearMixedModel) -> float:
    """Return the ratio of the largest to the smallest singular value of X, its columns scaled to length one."""
    X = fit._design.X
    gram = X.T @ X
    lengths = np.sqrt(np.diag(gram))
    values = np.linalg.eigvalsh(gram / np.outer(lengths, lengths))
    if values[0] > 1e-10 * values[-1]:
        return float(np.sqrt(values[-1] / values[0]))
    return float(np.linalg.cond(X / lengths))
