"""R²: how much of a response's variance a model explains."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from multilevel.arguments import Count, Level, Seed, checked, checked_methods
from multilevel.errors import ControlError, DataError
from multilevel.quality.multilevel_r_squared import reduction_by_level, rights_sterba, snijders_bosker
from multilevel.quality.replicates import interval_of, only_with_ci, replicate_variances
from multilevel.quality.shown import Shown, decimal_cells
from multilevel.quality.variance import variance_decomposition
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

RSquaredMethod = Literal["nakagawa", "snijders-bosker", "raudenbush-bryk", "rights-sterba", "edwards", "xu"]
Triple = tuple[float, float, float]

TITLES = {
    "nakagawa": "R² (Nakagawa, Johnson & Schielzeth)",
    "snijders-bosker": "R² by level (Snijders & Bosker)",
    "raudenbush-bryk": "Variance explained by level (Raudenbush & Bryk)",
    "rights-sterba": "R² decomposed (Rights & Sterba)",
    "edwards": "R² of the fixed effects (Edwards et al., Kenward-Roger F)",
    "xu": "R² (Xu)",
}


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class RSquared(Shown):
    """Explained variance, what `r2` returns.

    Attributes
    ----------
    method : str
        Which definition.
    values : dict of str to float
        The measures by name; with ``"rights-sterba"`` those of the total variance.
    intervals : dict
        The limits of those for which a confidence interval was asked for.
    decomposition : dict
        With ``"rights-sterba"``, each measure's share of the total, the within-cluster and the between-cluster variance.
    """

    method: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    decomposition: dict[str, Triple]
    _notes: tuple[str, ...] = field(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    @property
    def marginal(self) -> float:
        """Share of the fixed effects (Nakagawa's method)."""
        return self._value("marginal")

    @property
    def conditional(self) -> float:
        """Share of fixed and random effects (Nakagawa's method)."""
        return self._value("conditional")

    def _value(self, name: str) -> float:
        if name not in self.values:
            raise AttributeError(
                f"The method {self.method!r} has no {name} R²; its measures are {', '.join(self.values)}."
            )
        return self.values[name]

    def to_frame(self) -> pd.DataFrame:
        """Return ``estimate``, ``conf_low``, ``conf_high`` by measure; with Rights & Sterba ``total``, ``within``, ``between``."""
        import pandas as pd

        if self.decomposition:
            return pd.DataFrame.from_dict(self.decomposition, orient="index", columns=["total", "within", "between"])
        none = (math.nan, math.nan)
        rows = [(value, *self.intervals.get(name, none)) for name, value in self.values.items()]
        return pd.DataFrame(rows, index=list(self.values), columns=["estimate", "conf_low", "conf_high"])

    def _table(self) -> Table:
        frame = self.to_frame()
        if not self.decomposition and not self.intervals:
            frame = frame[["estimate"]]
        heads = [("R²" if head == "estimate" else str(head)) for head in frame.columns]
        names = [_NAMES.get(str(name), str(name)) for name in frame.index]
        cells = [decimal_cells(frame[column].tolist()) for column in frame.columns]
        return Table(TITLES[self.method], ("", *heads), tuple(zip(names, *cells, strict=True)))


_NAMES = {
    "conditional": "Conditional", "marginal": "Marginal", "level_1": "Level 1", "level_2": "Level 2", "model": "Model", "xu": "Ω²₀",
}  # fmt: skip


@checked
@only_with_ci
def r2(
    fit: LinearMixedModel,
    method: RSquaredMethod = "nakagawa",
    ci: Level | None = None,
    *,
    n: Count = 1000,
    rng: Seed = None,
    threads: Count | None = None,
    interval: str = "percentile",
    progress: bool = False,
) -> RSquared:
    """Return measures of explained variance.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    method : {"nakagawa", "snijders-bosker", "raudenbush-bryk", "rights-sterba", "edwards", "xu"}
        ``"nakagawa"``: marginal (fixed effects over the total) and conditional (fixed and random effects over the total) R² of
        Nakagawa & Schielzeth (2013), with random slopes after Johnson (2014). ``"snijders-bosker"``: R²₁ and R²₂, the reduction
        of the error variance of a row and of a cluster's mean against the model without predictors. ``"raudenbush-bryk"``: the
        reduction of the variance of each level (performance's ``by_group``). ``"rights-sterba"``: the decomposition of total,
        within- and between-cluster variance of Rights & Sterba (2019, 2021), for one grouping factor. ``"edwards"``: R²β of all
        fixed effects and of each term from Kenward and Roger's F test (Edwards et al. 2008). ``"xu"``: Ω²₀ = 1 −
        var(residuals)/var(y) (Xu 2003).
    ci : float, optional
        For ``"nakagawa"``, the level of confidence intervals from a parametric bootstrap; by default there are none.
    n : int
        Number of bootstrap replicates.
    rng : int, SeedSequence or Generator, optional
        Where the random numbers come from.
    threads : int, optional
        Threads for the bootstrap; by default one for each processor.
    interval : {"percentile", "basic", "normal"}
        Which bootstrap interval.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    RSquared
        The measures in ``values``; with the default method also as ``marginal`` and ``conditional``.

    Raises
    ------
    DataTypeError
        It is not a fitted model.
    ControlError
        The method is none of these, intervals are asked for where there are none, or Kenward and Roger's method is asked of a
        fit by maximum likelihood; or Snijders and Bosker's, or Edwards', does not fit the residual structure of the model.
    DataError
        The method does not apply to the model: several grouping factors for Rights and Sterba, no predictors for Edwards.

    Notes
    -----
    The default agrees with R's ``performance::r2_nakagawa``, ``"raudenbush-bryk"`` with its ``by_group = TRUE``
    (random intercepts), ``"xu"`` with ``performance::r2_xu``, and ``"rights-sterba"`` with the formulas of R's r2mlm. A
    singular fit gives numbers and a note, not NA. Where residuals differ in variance or are correlated, the residual variance is
    its mean over the rows (see `variance_decomposition`).

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.r2(fit))
    R² (Nakagawa, Johnson & Schielzeth)
    <BLANKLINE>
                   R²
    Conditional 0.799
    Marginal    0.279
    >>> ml.r2(fit, "rights-sterba").to_frame().round(3).loc["f"].to_dict()
    {'total': 0.279, 'within': 0.49, 'between': 0.0}
    """
    if method == "nakagawa":
        return _nakagawa(fit, ci, n, rng, threads, interval, progress)
    if ci is not None:
        raise ControlError(f"There are no intervals for the method {method!r}; leave out ci, or use method='nakagawa'.")
    if method == "rights-sterba":
        decomposition, notes = rights_sterba(fit)
        return RSquared(method, {name: row[0] for name, row in decomposition.items()}, {}, decomposition, notes)
    if method == "snijders-bosker":
        values, notes = snijders_bosker(fit)
    elif method == "raudenbush-bryk":
        values, notes = reduction_by_level(fit)
    elif method == "edwards":
        values, notes = _edwards(fit)
    else:
        spread = float(np.var(fit._design.y))
        values, notes = {"xu": 1.0 - float(np.var(fit._residual_values("response"))) / spread}, ()
    return RSquared(method, values, {}, {}, notes)


def _nakagawa(
    fit: LinearMixedModel,
    ci: float | None,
    n: int,
    rng: Seed,
    threads: int | None,
    interval: str,
    progress: bool,
) -> RSquared:
    parts = variance_decomposition(fit)
    values = {"conditional": (parts.fixed + parts.random) / parts.total, "marginal": parts.fixed / parts.total}
    intervals, notes = {}, parts.notes
    if ci is not None:
        found = replicate_variances(fit, n, rng, threads, progress, interval, ci)
        explained = found.fixed + found.all_random
        total = explained + found.residual
        intervals = {
            "conditional": interval_of(explained / total, values["conditional"], ci, interval),
            "marginal": interval_of(found.fixed / total, values["marginal"], ci, interval),
        }
        notes = (*notes, found.note)
    return RSquared("nakagawa", values, intervals, {}, notes)


def _edwards(fit: LinearMixedModel) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return R²β = qF/ν / (1 + qF/ν) of all fixed effects but the intercept, and of each term."""
    from multilevel.inference.degrees_of_freedom import inference_basis

    design = fit._design
    basis = inference_basis(fit, "kenward-roger")
    assign, beta = np.array(design.fixed_assign), fit._engine.beta
    tests = {"model": np.flatnonzero(assign > 0)}
    if not tests["model"].size:
        raise DataError("The model has no fixed effects but the intercept, so there is nothing to test.")
    for t, label in enumerate(design.term_labels, start=1):
        if (assign == t).any():
            tests[label] = np.flatnonzero(assign == t)
    values = {}
    for name, places in tests.items():
        found = basis.f_test(np.eye(design.n_fixed)[places], beta[places])
        ratio = found.df_numerator * found.statistic / found.df_denominator
        values[name] = ratio / (1.0 + ratio)
    return values, ()
