"""Comparison of several models by their likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from multilevel.errors import ControlError, DataError
from multilevel.formula.syntax import Name
from multilevel.inference.anova_table import AnovaTable
from multilevel.model.residual_structure import residual_note

if TYPE_CHECKING:
    from multilevel.formula.design import Design
    from multilevel.model.fitted import LinearMixedModel

HEADS = {
    "npar": "npar",
    "aic": "AIC",
    "bic": "BIC",
    "loglik": "logLik",
    "deviance": "deviance",
    "chisq": "Chisq",
    "df": "Df",
    "p_value": "Pr(>Chisq)",
}


def chisq_p_value(statistic: float, df: int) -> float:
    """Return the probability of a larger χ²; NaN without degrees of freedom."""
    from scipy.special import chdtrc

    return float(chdtrc(df, statistic)) if df > 0 else math.nan


def as_ml(fit: LinearMixedModel) -> LinearMixedModel:
    """Return the fit by maximum likelihood: the same one, or one made anew."""
    from multilevel.model.lmer import fit_design

    if not fit.reml:
        return fit
    return fit_design(fit._design, False, fit._control, fit._data)


def compare_models(fits: Sequence[LinearMixedModel], *, refit: bool) -> AnovaTable:
    """Return the likelihood-ratio tests between models, by number of parameters.

    Parameters
    ----------
    fits
        The models.
    refit
        Whether REML fits are fitted anew by maximum likelihood.

    Raises
    ------
    DataError
        The models are not of the same response in the same rows and with the same weights.
    ControlError
        Nothing is to be fitted anew, and some fits are by REML and others by maximum likelihood.
    """
    import pandas as pd

    for number, other in enumerate(fits[1:], start=2):
        check_same_data(fits[0]._design, other._design, f"Model 1 and model {number}")
    by_reml = sum(fit.reml for fit in fits)
    note = ""
    if refit and by_reml:
        models = "1 model" if by_reml == 1 else f"{by_reml} models"
        note = f"{models} fitted anew by maximum likelihood instead of REML"
        used = [as_ml(fit) for fit in fits]
    else:
        if 0 < by_reml < len(fits):
            raise ControlError("Some fits are by REML and others by maximum likelihood; leave refit=True.")
        used = list(fits)
        if by_reml and len({frozenset(fit._design.fixed_names) for fit in fits}) > 1:
            note = "The fixed effects differ, so that the restricted likelihoods cannot be compared: use refit=True"
    order = sorted(range(len(used)), key=lambda i: used[i].n_parameters)
    rows = []
    below: LinearMixedModel | None = None
    for i in order:
        fit = used[i]
        chisq, df = math.nan, math.nan
        if below is not None:
            chisq = max(0.0, 2.0 * (fit.loglik - below.loglik))
            df = fit.n_parameters - below.n_parameters
        p_value = chisq_p_value(chisq, int(df)) if below is not None else math.nan
        rows.append((fit.n_parameters, fit.aic, fit.bic, fit.loglik, -2.0 * fit.loglik, chisq, df, p_value))
        below = fit
    labels = [f"model {i + 1}" for i in order]
    frame = pd.DataFrame(rows, columns=list(HEADS), index=labels)
    models_by_label = {f"model {i + 1}": f"{fits[i].formula}{residual_note(fits[i])}" for i in order}
    return AnovaTable("Likelihood-ratio tests", models_by_label, note, HEADS, frame)


def check_same_data(first: Design, second: Design, who: str) -> None:
    """Refuse to compare models of different rows, responses, weights, or values of variables that both use."""
    if first.nobs != second.nobs:
        missing = (
            " Rows with missing values may be the cause." if first.kept is not None or second.kept is not None else ""
        )
        raise DataError(
            f"{who} were fitted to {first.nobs} and {second.nobs} rows; models can be compared in the same rows only.{missing}"
        )
    if not np.array_equal(first.y, second.y):
        if first.response_name != second.response_name:
            raise DataError(f"{who} have different responses, {first.response_name!r} and {second.response_name!r}.")
        raise DataError(f"{who} were fitted to different data: the values of {first.response_name!r} differ.")
    ones = np.ones(first.nobs)
    if not np.array_equal(
        ones if first.weights is None else first.weights, ones if second.weights is None else second.weights
    ):
        raise DataError(f"{who} were fitted with different weights.")
    groups = {term.factor.name: term.factor for term in first.random}
    for term in second.random:
        same = groups.get(term.factor.name)
        if same is not None and same is not term.factor and not np.array_equal(same.codes, term.factor.codes):
            raise DataError(f"{who} were fitted to different data: the groups {term.factor.name!r} differ.")
    numbers = _plain_columns(first)
    for name, values in _plain_columns(second).items():
        if name in numbers and not np.array_equal(numbers[name], values):
            raise DataError(f"{who} were fitted to different data: the values of {name!r} differ.")


def _plain_columns(design: Design) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return the fixed-effects columns that are numeric variables of the data as they stand."""
    encoder = design.encoder
    if encoder is None:
        return {}
    found = {}
    for j, column in enumerate(encoder.fixed):
        if len(column.pieces) == 1:
            text, kind, _ = column.pieces[0]
            if kind == "numeric" and isinstance(encoder.nodes[text], Name):
                found[text] = design.columns[:, j]
    return found
