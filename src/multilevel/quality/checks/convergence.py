"""Whether a fit ended at an optimum, and whether that lies on the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from multilevel.arguments import checked
from multilevel.engine.fit import SINGULAR_TOLERANCE
from multilevel.engine.newton import CERTIFIED_DECREASE
from multilevel.engine.single_factor import CURVATURE_TOLERANCE
from multilevel.model.identification import identification_sentence
from multilevel.quality.checks.result import Check, listed, number

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

NEARLY_ONE = 1e-4
"""A correlation this close to ±1 counts as on the boundary."""


@checked
def check_convergence(fit: LinearMixedModel) -> Check:
    """Check whether the fit ended at an optimum, and at the only one, by the exact gradient and Hessian.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    Check
        ``numbers``: ``gradient_norm``, ``expected_decrease``, ``smallest_hessian_eigenvalue``, ``evaluations``. ``data``: the
        criterion along the way.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.check_convergence(fit).ok
    True
    """
    import pandas as pd

    found = fit.convergence
    numbers = {
        "gradient_norm": found.gradient_norm,
        "expected_decrease": found.expected_decrease,
        "smallest_hessian_eigenvalue": found.smallest_hessian_eigenvalue,
        "evaluations": float(found.evaluations),
    }
    # Certificates of models with many crossed levels leave the exact Hessian out.
    curvature = np.linalg.eigvalsh(found.hessian)
    allowed = max(CURVATURE_TOLERANCE * max(1.0, float(curvature[-1])), 10.0 * found.gradient_norm)
    descends = bool(curvature[0] < -allowed)
    if found.directions:
        text = (
            f"The fit is at an optimum, but {_lower(identification_sentence(fit))} Estimates, standard errors and tests that"
            " depend on them are those of one of many equally good optima, or are withheld."
            if found.others
            else f"The fit is at an optimum. {identification_sentence(fit)}"
        )
    elif found.converged and not descends:
        where = " on the boundary of the parameters" if found.status == "singular" else ""
        text = (
            f"The fit is at an optimum{where}: a further Newton step would lower the criterion by"
            f" {number(found.expected_decrease, 2)} (allowed: {CERTIFIED_DECREASE:g}), and the exact Hessian has no direction of"
            " descent."
        )
    else:
        why = "the exact Hessian has a direction of descent" if descends else found.message
        text = (
            f"The fit is not at an optimum ({why}): a further Newton step would lower the criterion by"
            f" {number(found.expected_decrease, 2)}. Try another optimizer or more evaluations (LmerControl), other units of the"
            " predictors, or a simpler random part."
        )
    data = pd.DataFrame({"evaluation": np.arange(1, len(found.trace) + 1), "criterion": list(found.trace)})
    ok = found.converged and not descends and not found.directions
    return Check("convergence", ok, text, numbers, pd.DataFrame(), data)


@checked
def check_singularity(fit: LinearMixedModel, tolerance: float = SINGULAR_TOLERANCE) -> Check:
    """Check whether an estimated covariance matrix of the random effects is on the boundary.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    tolerance : float
        A pivot of a relative factor λ, for columns scaled to unit size, below this is on the boundary (lme4's ``isSingular``).

    Returns
    -------
    Check
        ``ok`` is True where the fit is *not* singular (R's ``check_singularity`` returns TRUE where it is). ``table`` and
        ``data``: the principal components of each covariance matrix, as standard deviations relative to σ and shares of variance.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))
    >>> print(ml.check_singularity(fit).conclusion)
    The fit is singular: the variance of (Intercept) by Batch is estimated as zero. The data do not support that part of the random
    effects; consider leaving it out.
    """
    import pandas as pd

    rows, problems = [], []
    for part, factor in zip(fit.varcorr(), fit._engine.term_factors(), strict=True):
        spread = np.linalg.svd(factor, compute_uv=False)
        total = float((spread**2).sum())
        for c, value in enumerate(spread):
            share = float(value**2 / total) if total > 0 else np.nan
            rows.append((f"{part.group} {c + 1}", float(value), share))
        lengths = np.sqrt((factor**2).sum(axis=1))
        zero = [name for name, length in zip(part.names, lengths, strict=True) if length < tolerance]
        problems += [f"the variance of {name} by {part.group} is estimated as zero" for name in zero]
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = (factor @ factor.T) / np.outer(lengths, lengths)
        for a in range(len(part.names)):
            for b in range(a):
                if abs(correlation[a, b]) > 1.0 - NEARLY_ONE:
                    problems.append(
                        f"the correlation of {part.names[b]} and {part.names[a]} by {part.group} is estimated as"
                        f" {'−' if correlation[a, b] < 0 else ''}1"
                    )
    singular = fit.singular(tolerance)
    if singular:
        what = listed(problems) if problems else "a combination of random effects has a variance of zero"
        text = f"The fit is singular: {what}. The data do not support that part of the random effects; consider leaving it out."
    else:
        text = "No variance of the random effects is estimated as zero, and no correlation as ±1."
    table = pd.DataFrame(rows, columns=["component", "relative_sd", "share"]).set_index("component")
    smallest = float(min(abs(row[1]) for row in rows))
    return Check("singularity", not singular, text, {"smallest_relative_sd": smallest}, table, table.reset_index())


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
