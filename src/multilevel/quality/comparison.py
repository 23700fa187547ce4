"""Models side by side: indices of their fit, weights of the information criteria, and a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked, checked_methods
from multilevel.data.caller import warn_caller
from multilevel.errors import DataError, MultilevelWarning
from multilevel.inference.likelihood_ratio import check_same_data
from multilevel.quality.model_names import named_models
from multilevel.quality.performance import (
    CRITERIA,
    ERRORS,
    EXPLAINED,
    HEADS,
    INDICES,
    Estimator,
    ModelPerformance,
    checked_estimator,
    estimator_note,
    index_cells,
    indices_of,
)
from multilevel.quality.shown import Shown
from multilevel.quality.variance import check_fit
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@checked_methods
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PerformanceComparison(Shown):
    """Indices of several models, what `compare_performance` returns.

    Attributes
    ----------
    models : dict of str to ModelPerformance
        The indices of each model, by name, in the order given.
    ranked : bool
        Whether the models are in the order of their scores.
    """

    models: dict[str, ModelPerformance]
    ranked: bool
    _frame: pd.DataFrame
    _notes: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each model: the indices, the weights of the criteria, and the score where ranked."""
        return self._frame.copy()

    def _table(self) -> Table:
        columns = ["performance_score"] if self.ranked else []
        for name in INDICES:
            columns += [name, f"{name}_weight"] if name in CRITERIA else [name]
        cells = index_cells(self._frame, columns)
        rows = tuple((str(name), *row) for name, row in zip(self._frame.index, cells, strict=True))
        return Table("Comparison of models", ("Model", *(HEADS[name] for name in columns)), rows)


@checked
def compare_performance(
    *fits: LinearMixedModel,
    names: Sequence[str] | None = None,
    rank: bool = False,
    estimator: Estimator | None = "ML",
    refit: bool = True,
    **named: LinearMixedModel,
) -> PerformanceComparison:
    """Put the indices of several models side by side.

    Parameters
    ----------
    *fits : LinearMixedModel
        The fitted models.
    names : sequence of str, optional
        Their names; by default ``"model 1"``, ``"model 2"``, ….
    rank : bool
        Whether to sort the models by a score: the mean of R², ICC, RMSE, σ and the weights of the criteria, each rescaled to
        run from 0 (worst) to 1 (best). A quick overview rather than a test.
    estimator : {"ML", "REML"}, optional
        What the information criteria are of; None for the criterion by which each model was fitted.
    refit : bool
        Whether models fitted by the other one are fitted anew (True), as `anova` does, or their likelihood taken at the
        estimates there are (False, what R's performance 0.10.2 does).
    **named : LinearMixedModel
        Further models by name: ``compare_performance(empty=m0, full=m1)``.

    Returns
    -------
    PerformanceComparison
        A row for each model: the indices of `model_performance`, and the Akaike weights of AIC, AICc and BIC.

    Raises
    ------
    DataTypeError
        One of them is not a fitted model.
    ControlError
        There is none, the names do not fit, or the estimator is none of these.
    DataError
        Models of different responses or rows are to be ranked.

    Warns
    -----
    MultilevelWarning
        The models are of different responses or rows: their criteria cannot be compared, and there are no weights.

    Notes
    -----
    Agrees with R's ``performance::compare_performance``, with ``refit=False`` also in AIC, AICc and BIC of REML fits.

    Examples
    --------
    >>> import multilevel as ml
    >>> frame = ml.load_dataset("sleepstudy")
    >>> intercepts = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    >>> slopes = ml.lmer("Reaction ~ Days + (Days | Subject)", frame)
    >>> print(ml.compare_performance(intercepts=intercepts, slopes=slopes))
    Comparison of models
    <BLANKLINE>
    Model         AIC (weight)   AICc (weight)    BIC (weight) R² (cond.) R² (marg.)   ICC   RMSE  Sigma
    intercepts 1802.1    <.001 1802.3    <.001 1814.9    <.001      0.704      0.280 0.589 29.411 30.991
    slopes     1763.9    1.000 1764.4    1.000 1783.1    1.000      0.799      0.279 0.722 23.438 25.592
    <BLANKLINE>
    * For AIC, AICc and BIC all models were fitted anew by maximum likelihood.
    """
    import pandas as pd

    models = {
        name: check_fit(fit, "compare_performance") for name, fit in named_models(fits, names, named, "compare").items()
    }
    chosen = checked_estimator(estimator)
    differ = _difference(models)
    if differ and rank:
        raise DataError(f"{differ} They cannot be ranked; fit all of them to the same rows, or leave out rank.")
    if differ:
        warn_caller(f"{differ} Their information criteria cannot be compared.", MultilevelWarning)
    found = {name: indices_of(fit, chosen, refit) for name, fit in models.items()}
    performances = {name: performance for name, (performance, _) in found.items()}
    columns = [*INDICES, "nobs", "n_parameters", "loglik", "deviance"]
    frame = pd.concat([performance.to_frame() for performance in performances.values()])[columns]
    frame.index = pd.Index(list(performances))
    for name in CRITERIA:
        weights = np.full(len(frame), np.nan) if differ else _weights(frame[name].to_numpy(dtype=np.float64))
        frame.insert(list(frame.columns).index(name) + 1, f"{name}_weight", weights)

    notes = [f"{differ} Their information criteria cannot be compared."] if differ else []
    for how in ("anew", "at"):
        refitted = [name for name, (_, way) in found.items() if way == how]
        if refitted:
            which = "all models were" if len(refitted) == len(models) else f"{', '.join(refitted)} {_were(refitted)}"
            notes.append(estimator_note(which, str(chosen), how))
    notes += _reml_notes(models, performances)
    singular = {
        note: [n for n, p in performances.items() if note in p.notes] for p in performances.values() for note in p.notes
    }
    notes += [f"{', '.join(own)}: {note}" for note, own in singular.items()]
    if rank:
        frame["performance_score"], left_out = _scores(frame)
        frame = frame.sort_values("performance_score", ascending=False, kind="stable")
        if left_out:
            notes.append(f"Not in the score, being the same for all models: {', '.join(left_out)}.")
    return PerformanceComparison(performances, rank, frame, tuple(notes))


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _reml_notes(models: dict[str, LinearMixedModel], performances: dict[str, ModelPerformance]) -> list[str]:
    estimators = {performance.estimator for performance in performances.values()}
    if len(estimators) > 1:
        return [
            "Some criteria are of REML fits and others of maximum likelihood: they cannot be compared; use estimator='ML'."
        ]
    if estimators == {"REML"} and len({frozenset(fit._design.fixed_names) for fit in models.values()}) > 1:
        return ["The fixed effects differ, so that criteria of REML fits cannot be compared: use estimator='ML'."]
    return []


def _difference(models: dict[str, LinearMixedModel]) -> str:
    """Say in which way the models are of different data; nothing where they are not."""
    (first, one), *others = models.items()
    for name, other in others:
        try:
            check_same_data(one._design, other._design, f"{first} and {name}")
        except DataError as error:
            return str(error)
    return ""


def _weights(values: FloatArray) -> FloatArray:
    """Return Akaike weights: exp(−Δ/2), Δ from the smallest, divided by their sum."""
    if not np.isfinite(values.min()):
        return np.full(values.size, np.nan)
    share = np.exp(-0.5 * (values - values.min()))
    result: FloatArray = share / share.sum()
    return result


def _scores(frame: pd.DataFrame) -> tuple[FloatArray, list[str]]:
    """Return the mean of the rescaled indices of each model, and the indices that do not differ between models."""
    columns, left_out = [], []
    for name in [*EXPLAINED, *ERRORS, *(f"{name}_weight" for name in CRITERIA)]:
        values = frame[name].to_numpy(dtype=np.float64)
        spread = values.max() - values.min()
        if not spread > 1e-12 * np.abs(values).max():
            left_out.append(f"{HEADS[name[:-7]]} weight" if name.endswith("_weight") else HEADS[name])
            continue
        scaled = (values - values.min()) / spread
        columns.append(1.0 - scaled if name in ERRORS else scaled)
    if not columns:
        return np.full(len(frame), np.nan), left_out
    return np.mean(columns, axis=0), left_out
