"""Bootstrap of a fitted model: parametric, of residuals, and of whole clusters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import BootstrapInterval, BootstrapKind, Level, Seed, checked_methods
from multilevel.engine.fit import EngineFit, fit_of_design
from multilevel.engine.refit import refit_all
from multilevel.engine.threads import ordered_map
from multilevel.errors import ControlError, ConvergenceWarning, DataError
from multilevel.formula.design import Design
from multilevel.formula.rank import dependent_columns
from multilevel.inference.intervals import (
    lme4_names,
    replicate_interval,
)
from multilevel.inference.robust import clusters_of
from multilevel.model.parameter_labels import ParameterLabels
from multilevel.model.simulation import (
    LARGEST_BATCH,
    ClusterDesigns,
    ResponseSource,
    batch_size,
    gaussian_source,
    resampled_source,
    seed_sequence,
)

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Statistic = Callable[["LinearMixedModel"], Any]
Batch = tuple[FloatArray, BoolArray]

KINDS = ("parametric", "residual", "cluster")


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class BootstrapResult:
    """Replicates of a bootstrap.

    Attributes
    ----------
    kind : str
        ``"parametric"``, ``"residual"`` or ``"cluster"``.
    replicates : pandas.DataFrame
        A row for each replicate; in columns the fixed effects, theta, ``sigma``, and the standard deviations and correlations of
        the random effects (``sd_Days|Subject``, ``cor_Days.(Intercept)|Subject``), or what the statistic returned. A row is NaN
        where a replicate could not be fitted.
    estimates : pandas.Series
        The same numbers from the data themselves.
    converged : ndarray
        Whether each replicate ended at an optimum; one with a variance of zero counts as such.
    """

    kind: str
    replicates: pd.DataFrame
    estimates: pd.Series[float]
    converged: BoolArray
    _fit: LinearMixedModel
    _statistic: Statistic | None = None
    _cluster: Any = None
    _kept: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of replicates."""
        return len(self.converged)

    @property
    def n_not_converged(self) -> int:
        """Number of replicates that did not end at an optimum; intervals and summary leave them out."""
        return int((~self.converged).sum())

    @property
    def lme4_names(self) -> dict[str, str]:
        """For each standard deviation and correlation the name that lme4's ``confint`` gives it, such as ``.sig01``."""
        return lme4_names(self._fit)

    def _numbers(self) -> FloatArray:
        return self.replicates.to_numpy(dtype=np.float64)[self.converged]

    def confint(self, level: Level = 0.95, kind: BootstrapInterval = "percentile") -> pd.DataFrame:
        """Return confidence intervals.

        Parameters
        ----------
        level : float
            Confidence level.
        kind : {"percentile", "basic", "normal", "bca"}
            Quantiles of the replicates; quantiles mirrored at the estimate; the estimate less the bias with a normal
            distribution's quantiles; or quantiles corrected for bias and acceleration (Efron 1987).

        Returns
        -------
        pandas.DataFrame
            ``conf_low`` and ``conf_high`` by parameter; NaN where BCa has all replicates on one side of the estimate.

        Notes
        -----
        BCa's acceleration comes from fits that leave out one cluster at a time, of the grouping factor in which the others are
        nested, since only its clusters are independent; where grouping factors are crossed, of the one with most levels.
        """
        import pandas as pd

        jackknife = self._jackknife() if kind == "bca" else None
        estimates: FloatArray = np.asarray(self.estimates, dtype=np.float64)
        numbers = replicate_interval(self._numbers(), estimates, level, kind, jackknife)
        return pd.DataFrame(numbers, index=self.estimates.index, columns=["conf_low", "conf_high"])

    def summary(self) -> pd.DataFrame:
        """Return ``estimate``, ``bias`` and ``std_error`` of each parameter, over ``replicates`` values that are finite."""
        import pandas as pd

        estimates, rows = self.estimates.to_numpy(dtype=np.float64), []
        for estimate, column in zip(estimates, self._numbers().T, strict=True):
            values = column[np.isfinite(column)]
            bias = values.mean() - estimate if values.size else np.nan
            rows.append((estimate, bias, values.std(ddof=1) if values.size > 1 else np.nan, values.size))
        return pd.DataFrame(rows, index=self.estimates.index, columns=["estimate", "bias", "std_error", "replicates"])

    def _jackknife(self) -> FloatArray:
        """Return the estimates without each of the clusters, worked out once."""
        if "jackknife" not in self._kept:
            fit = self._fit
            codes, count = _jackknife_clusters(fit, self._cluster)
            designs = ClusterDesigns.of(fit._design, codes, count)
            everything = np.arange(count)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = [
                    _fit_row(fit, designs.take(np.delete(everything, j)), self._statistic, len(self.estimates))[0]
                    for j in range(count)
                ]
            self._kept["jackknife"] = np.array(found)
        return self._kept["jackknife"]

    def __repr__(self) -> str:
        """Return the summary with a line about the replicates."""
        failed = f", {self.n_not_converged} not converged" if self.n_not_converged else ""
        return f"{self.kind.capitalize()} bootstrap, {self.n} replicates{failed}\n{self.summary().to_string()}"


def _jackknife_clusters(fit: LinearMixedModel, cluster: Any) -> tuple[npt.NDArray[np.int32], int]:
    try:
        found = clusters_of(fit, cluster)
    except DataError:  # crossed grouping factors; the first term has the most levels
        factor = fit._terms[0].factor
        return factor.codes, factor.n_levels
    return found.codes, found.count


# ---- one row of numbers for a fit ----------------------------------------------------------------------------------------


def parameter_names(fit: LinearMixedModel) -> list[str]:
    """Return the names of fixed effects, theta, σ, standard deviations and correlations, and of the residual structure."""
    labels = ParameterLabels.of(fit)
    return [*labels.fixed, *labels.theta, labels.sigma, *labels.variance, *labels.residual]


def parameter_rows(
    fit: LinearMixedModel, beta: FloatArray, theta: FloatArray, sigma: FloatArray, residual: FloatArray | None = None
) -> FloatArray:
    """Return a row of all parameters for each row of fixed effects, theta, σ and residual parameters."""
    parameters = fit._engine.products.plan.parameters
    columns = []
    for term, place, variance in zip(parameters.terms, parameters.slices(), fit.varcorr(), strict=True):
        factor = np.array([term.factor_of(row) for row in theta[:, place]])
        factor = factor.reshape(len(theta), term.structure.size, term.structure.size) * sigma[:, None, None]
        deviations = np.sqrt((factor**2).sum(axis=2))
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = factor / deviations[:, :, None]
        for element in variance.elements:
            r, c = element.row, element.column
            columns.append(deviations[:, r] if element.kind == "sd" else (unit[:, r] * unit[:, c]).sum(axis=1))
    return np.column_stack([beta, theta, sigma, *columns, *([] if residual is None else [residual])])


def engine_row(fit: LinearMixedModel, engine: EngineFit) -> FloatArray:
    """Return the row of all parameters of an optimum for the design of a fit."""
    residual = None if engine.residual is None else engine.residual.values[None]
    rows = parameter_rows(fit, engine.beta[None], engine.theta[None], np.array([engine.sigma]), residual)
    result: FloatArray = rows[0]
    return result


def _statistic_values(found: Any) -> tuple[list[str], FloatArray]:
    """Return what a statistic returned as names and numbers."""
    import pandas as pd

    if isinstance(found, Mapping | pd.Series):
        names = [str(name) for name in found.keys()]  # noqa: SIM118 - iterating over a Series gives its values
        return names, np.asarray([found[name] for name in found.keys()], dtype=np.float64)  # noqa: SIM118
    values = np.atleast_1d(np.asarray(found, dtype=np.float64)).ravel()
    return (["statistic"] if values.size == 1 else [f"statistic{i + 1}" for i in range(values.size)]), values


def _fit_row(fit: LinearMixedModel, design: Design, statistic: Statistic | None, width: int) -> tuple[FloatArray, bool]:
    """Fit a design and return its row of numbers, NaN where it cannot be fitted, and whether it converged."""
    from multilevel.model.lmer import fit_design

    try:
        if dependent_columns(design.X):
            return np.full(width, np.nan), False
        if statistic is not None:
            whole = fit_design(design, fit.reml, fit._control, fit._data)
            return _statistic_values(statistic(whole))[1], whole.convergence.converged
        engine = fit_of_design(design, fit.reml, fit._control)
    except DataError:
        return np.full(width, np.nan), False
    return engine_row(fit, engine), engine.convergence.converged


# ---- batches -------------------------------------------------------------------------------------------------------------


def _response_batch(
    fit: LinearMixedModel,
    source: ResponseSource,
    statistic: Statistic | None,
    width: int,
    seed: np.random.SeedSequence,
    count: int,
) -> Batch:
    """Draw responses and fit them all."""
    responses = source.draw(np.random.default_rng(seed), count)
    if statistic is None:
        found = refit_all(fit._engine, fit._design, responses, fit._control, 1)
        return parameter_rows(fit, found.beta, found.theta, found.sigma, found.residual), found.converged
    numbers, converged = np.empty((count, width)), np.empty(count, dtype=np.bool_)
    for row, response in enumerate(responses):
        numbers[row], converged[row] = _fit_row(fit, fit._design.with_response(response), statistic, width)
    return numbers, converged


def _cluster_batch(
    fit: LinearMixedModel,
    designs: ClusterDesigns,
    statistic: Statistic | None,
    width: int,
    seed: np.random.SeedSequence,
    count: int,
) -> Batch:
    """Draw clusters with replacement and fit their designs."""
    rng = np.random.default_rng(seed)
    numbers, converged = np.empty((count, width)), np.empty(count, dtype=np.bool_)
    clusters = len(designs.rows)
    for row, drawn in enumerate(rng.integers(clusters, size=(count, clusters))):
        numbers[row], converged[row] = _fit_row(fit, designs.take(drawn, data=statistic is not None), statistic, width)
    return numbers, converged


def _run(work: Callable[[np.random.SeedSequence, int], Batch], n: int, batch: int, seeds: np.random.SeedSequence,
         threads: int, progress: bool) -> Batch:  # fmt: skip
    counts = [min(batch, n - first) for first in range(0, n, batch)]
    children = seeds.spawn(len(counts))
    with warnings.catch_warnings():
        # The result counts them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        batches = ordered_map(lambda item: work(*item), zip(children, counts, strict=True), min(threads, len(counts)))
        found = list(_shown(batches, counts, progress))
    return np.concatenate([numbers for numbers, _ in found]), np.concatenate([converged for _, converged in found])


def _shown(batches: Iterator[Batch], counts: list[int], progress: bool) -> Iterator[Batch]:
    """Pass batches on, with a progress bar where asked."""
    if not progress:
        yield from batches
        return
    from tqdm.auto import tqdm

    with tqdm(total=sum(counts), desc="bootstrap", unit="fit") as bar:
        for batch in batches:
            bar.update(len(batch[1]))
            yield batch


def bootstrap(
    fit: LinearMixedModel,
    n: int = 1000,
    *,
    kind: BootstrapKind = "parametric",
    rng: Seed = None,
    threads: int | None = None,
    progress: bool = False,
    statistic: Statistic | None = None,
    cluster: Any = None,
) -> BootstrapResult:
    """Bootstrap a fitted model.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    n : int
        Number of replicates.
    kind : {"parametric", "residual", "cluster"}
        ``"parametric"``: responses drawn from the fitted model. ``"residual"``: conditional modes and residuals drawn with
        replacement, reflated to the estimated covariances (Carpenter, Goldstein & Rasbash 2003). ``"cluster"``: whole clusters
        drawn with replacement.
    rng : int, SeedSequence or Generator, optional
        Where the random numbers come from. The result does not depend on the number of threads.
    threads : int, optional
        Threads to share the replicates among; by default one for each processor.
    progress : bool
        Whether to show a progress bar.
    statistic : callable, optional
        What to replicate: a function of a fit that returns a number, an array or a mapping of names to numbers, called from
        several threads unless ``threads=1``. The fits have the data of their replicate; with ``"cluster"`` it must not use
        ``update``, for which a cluster drawn twice would be one. Without it all parameters are replicated, which is much faster
        since the fits need not be wrapped up one by one.
    cluster : str or array_like, optional
        For ``"cluster"``, the clusters: a grouping factor, a column or one value for each row; by default the grouping factor in
        which all others are nested. Levels of factors that are crossed with the clusters are kept as they are.

    Returns
    -------
    BootstrapResult
        The replicates; its `confint` and `summary` say what they amount to.

    Raises
    ------
    ControlError
        An argument has a value that is not one of its choices.
    DataError
        There are no independent clusters to draw, and none are named.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = fit.bootstrap(200, rng=1)
    >>> found.n, found.n_not_converged
    (200, 0)
    >>> found.confint(0.9, "bca").loc["sigma"].between(20, 30).tolist()
    [True, True]
    """
    import pandas as pd

    if kind not in KINDS:
        raise ControlError(f"The kind of bootstrap {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    if n < 1:
        raise ControlError(f"The number of replicates must be at least 1; it is {n}.")
    if threads is not None and threads < 1:
        raise ControlError(f"threads must be at least 1, not {threads}.")
    if cluster is not None and kind != "cluster":
        raise ControlError(
            f"The kind of bootstrap {kind!r} draws no clusters; use kind='cluster' or leave out `cluster`."
        )
    if statistic is None:
        names = parameter_names(fit)
        engine = fit._engine
        estimates = engine_row(fit, engine)
    else:
        names, estimates = _statistic_values(statistic(fit))
    width = len(names)

    if kind == "cluster":
        clusters = clusters_of(fit, cluster)
        designs = ClusterDesigns.of(fit._design, clusters.codes, clusters.count)
        batch = LARGEST_BATCH // 4

        def work(seed: np.random.SeedSequence, count: int) -> Batch:
            return _cluster_batch(fit, designs, statistic, width, seed, count)

    else:
        source: ResponseSource = gaussian_source(fit) if kind == "parametric" else resampled_source(fit)
        batch = batch_size(source)

        def work(seed: np.random.SeedSequence, count: int) -> Batch:
            return _response_batch(fit, source, statistic, width, seed, count)

    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    numbers, converged = _run(work, n, batch, seed_sequence(rng), threads, progress)
    converged.flags.writeable = False
    return BootstrapResult(
        kind,
        pd.DataFrame(numbers, columns=names),
        pd.Series(estimates, index=names, name="estimate"),
        converged,
        fit,
        statistic,
        cluster,
    )
