"""Indices of a model's fit: information criteria, R², ICC, RMSE and σ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from multilevel.arguments import checked, checked_methods
from multilevel.errors import ControlError
from multilevel.quality.shown import Shown, decimal_cells
from multilevel.quality.variance import variance_decomposition
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

Estimator = Literal["ML", "REML"]

CRITERIA = ("aic", "aicc", "bic")
EXPLAINED = ("r2_conditional", "r2_marginal", "icc")
ERRORS = ("rmse", "sigma")
INDICES = (*CRITERIA, *EXPLAINED, *ERRORS)

HEADS = {
    "aic": "AIC", "aic_weight": "(weight)", "aicc": "AICc", "aicc_weight": "(weight)", "bic": "BIC", "bic_weight": "(weight)",
    "r2_conditional": "R² (cond.)", "r2_marginal": "R² (marg.)", "icc": "ICC", "rmse": "RMSE", "sigma": "Sigma",
    "performance_score": "Score",
}  # fmt: skip


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class ModelPerformance(Shown):
    """Indices of one model's fit, what `model_performance` returns.

    Attributes
    ----------
    formula : str
        The model.
    estimator : str
        ``"REML"`` or ``"ML"``: what `loglik`, `aic`, `aicc` and `bic` are of.
    nobs, n_parameters : int
        Numbers of rows, and of fixed effects, theta and σ.
    loglik, deviance : float
        Log-likelihood (the restricted one for REML); minus twice the log-likelihood, never the restricted one.
    aic, aicc, bic : float
        Information criteria: −2·loglik + 2k, the same + 2k(k + 1)/(n − k − 1), and −2·loglik + k·log(n).
    r2_conditional, r2_marginal, icc : float
        Nakagawa's R² and the adjusted intraclass correlation of the fit as it is (see `r2`, `icc`).
    rmse, sigma : float
        Root of the mean squared conditional residual, and the residual standard deviation, of the fit as it is.
    """

    formula: str
    estimator: str
    nobs: int
    n_parameters: int
    loglik: float
    deviance: float
    aic: float
    aicc: float
    bic: float
    r2_conditional: float
    r2_marginal: float
    icc: float
    rmse: float
    sigma: float
    _notes: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers in one row."""
        import pandas as pd

        names = [*INDICES, "nobs", "n_parameters", "loglik", "deviance"]
        return pd.DataFrame([[getattr(self, name) for name in names]], columns=names)

    def _table(self) -> Table:
        frame = self.to_frame()
        cells = index_cells(frame, INDICES)
        return Table(f"Performance of {self.formula}", tuple(HEADS[name] for name in INDICES), tuple(cells), labels=0)


def index_cells(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str | Number, ...]]:
    """Write the columns of a table of indices as text, row by row."""
    found: list[list[str | Number]] = []
    for name in columns:
        values = frame[name].tolist()
        if name in CRITERIA:
            found.append(number_cells(values, [f"{value:.1f}" for value in values]))
        elif name in ERRORS:
            found.append(number_cells(values, format_values(values, 5)))
        elif name.endswith("_weight"):
            found.append(
                ["" if math.isnan(value) else "<.001" if value < 0.0005 else f"{value:.3f}" for value in values]
            )
        else:
            found.append(decimal_cells(values))
    return list(zip(*found, strict=True))


def checked_estimator(value: str | None) -> str | None:
    """Return an estimator's name in capitals, or refuse it."""
    if value is None:
        return None
    if not isinstance(value, str) or value.upper() not in ("ML", "REML"):
        raise ControlError(f"estimator must be 'ML', 'REML' or None, not {value!r}.")
    return value.upper()


def _loglik(fit: LinearMixedModel, estimator: str | None, refit: bool) -> tuple[float, float, str, str]:
    """Return log-likelihood and deviance by an estimator, which one it is, and a note."""
    from multilevel.model.lmer import fit_design

    own = "REML" if fit.reml else "ML"
    wanted = own if estimator is None else estimator
    if wanted == own:
        return fit.loglik, fit.deviance, own, ""
    if refit:
        other = fit_design(fit._design, wanted == "REML", replace(fit._control, start=None), fit._data)
        return other.loglik, other.deviance, wanted, "anew"
    loglik = -0.5 * (fit.reml_criterion if wanted == "REML" else fit.deviance)
    return loglik, fit.deviance, wanted, "at"


def indices_of(fit: LinearMixedModel, estimator: str | None, refit: bool) -> tuple[ModelPerformance, str]:
    """Return the indices of a fit, and how its criteria came about: ``"anew"``, ``"at"`` its estimates, or ``""``."""
    loglik, deviance, used, how = _loglik(fit, estimator, refit)
    n, k = fit.nobs, fit.n_parameters
    aic = -2.0 * loglik + 2.0 * k
    # Infinite where there are not rows enough: no correction is large enough.
    aicc = aic + 2.0 * k * (k + 1.0) / (n - k - 1.0) if n > k + 1 else math.inf
    parts = variance_decomposition(fit)
    residuals = fit._residual_values("response")
    found = ModelPerformance(
        formula=str(fit.formula),
        estimator=used,
        nobs=n,
        n_parameters=k,
        loglik=loglik,
        deviance=deviance,
        aic=aic,
        aicc=aicc,
        bic=-2.0 * loglik + math.log(n) * k,
        r2_conditional=(parts.fixed + parts.random) / parts.total,
        r2_marginal=parts.fixed / parts.total,
        icc=parts.random / (parts.random + parts.residual),
        rmse=math.sqrt(float(np.mean(residuals**2))),
        sigma=fit.sigma,
        _notes=parts.notes,
    )
    return found, how


@checked
def model_performance(
    fit: LinearMixedModel, *, estimator: Estimator | None = None, refit: bool = True
) -> ModelPerformance:
    """Return indices of how well a model fits: information criteria, R², ICC, RMSE and σ.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    estimator : {"ML", "REML"}, optional
        What the information criteria are of; by default the criterion by which the model was fitted.
    refit : bool
        Where the estimator is the other one, whether the model is fitted anew by it (True), or its likelihood taken at the
        estimates there are (False, what R's performance 0.10.2 does).

    Returns
    -------
    ModelPerformance
        The indices.

    Raises
    ------
    DataTypeError
        It is not a fitted model.
    ControlError
        The estimator is none of these.

    Notes
    -----
    Agrees with R's ``performance::model_performance``. R², ICC, RMSE and σ are always those of the fit as it is;
    the RMSE is of the conditional residuals, without weights. Where residuals differ in variance or are correlated, R² and ICC
    take the mean residual variance over the rows (see `variance_decomposition`), and σ is that of the first stratum.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.model_performance(fit))
    Performance of Reaction ~ Days + (Days | Subject)
    <BLANKLINE>
       AIC   AICc    BIC R² (cond.) R² (marg.)   ICC   RMSE  Sigma
    1755.6 1756.1 1774.8      0.799      0.279 0.722 23.438 25.592
    <BLANKLINE>
    * AIC, AICc and BIC are of the REML fit: compare them between models with the same fixed effects only.
    """
    found, how = indices_of(fit, checked_estimator(estimator), refit)
    notes = [*found.notes]
    if found.estimator == "REML":
        notes.append(
            "AIC, AICc and BIC are of the REML fit: compare them between models with the same fixed effects only."
        )
    if how:
        notes.append(estimator_note("the model was", found.estimator, how))
    return replace(found, _notes=tuple(notes))


def estimator_note(which: str, estimator: str, how: str) -> str:
    """Say in a sentence what the criteria are of."""
    if how == "anew":
        method = "maximum likelihood" if estimator == "ML" else "REML"
        return f"For AIC, AICc and BIC {which} fitted anew by {method}."
    likelihood, other = ("likelihood", "REML") if estimator == "ML" else ("restricted likelihood", "ML")
    return f"AIC, AICc and BIC take the {likelihood} at the {other} estimates: {which} not fitted anew."
