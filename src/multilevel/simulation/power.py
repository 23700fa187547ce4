"""Power by simulation: how often a test of a design or of a fitted model finds what is there."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, DdfName, Level, Reml, Seed, checked
from multilevel.engine.control import Control, as_control
from multilevel.engine.fit import is_singular
from multilevel.engine.refit import refit_all
from multilevel.engine.withheld import undetermined
from multilevel.errors import ControlError, DataError, MultilevelWarning
from multilevel.formula.grammar import Formula
from multilevel.inference.intervals import check_level
from multilevel.model.fitted import LinearMixedModel
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.drawing import Drawing
from multilevel.simulation.draws import as_draws
from multilevel.simulation.monte_carlo import ShareInterval, check_share_interval, share_interval
from multilevel.simulation.power_result import COLUMNS, PowerResult
from multilevel.simulation.power_sources import source_of
from multilevel.simulation.power_tests import CoefficientTest, PowerTest, TestFunction, make_tests, two_sided
from multilevel.simulation.replicates import (
    Data,
    DesignSource,
    Outcome,
    ResponseSource,
    each_fitted,
    run_replicates,
)

if TYPE_CHECKING:
    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]


PILOTS = 20
"""How many samples are tried for one that the model can be fitted to, before anything is counted."""


@checked
def power(
    model: DataDesign | LinearMixedModel,
    formula: str | Formula | None = None,
    *,
    test: str | list[str] | tuple[str, ...] | TestFunction | None = None,
    reduced: str | Formula | None = None,
    n: Count = 1000,
    alpha: Level = 0.05,
    ddf: DdfName = "satterthwaite",
    effects: Mapping[str, float] | None = None,
    random: Any = None,
    sigma: float | None = None,
    extend: Mapping[str, Any] | None = None,
    within: Mapping[str, int] | None = None,
    rng: Seed | RRandom = None,
    threads: Count | None = None,
    progress: bool = False,
    level: Level = 0.95,
    interval: ShareInterval = "clopper-pearson",
    reml: Reml = True,
    control: Control = None,
) -> PowerResult:
    """Find the power of tests by simulation: draw data, fit, test, and count.

    Parameters
    ----------
    model : DataDesign or LinearMixedModel
        What the data are drawn from. A design draws new predictors and responses each time; a fit draws new responses in its rows,
        from its own estimates (a pilot study's), changed as `effects`, `random` and `sigma` say.
    formula : str, optional
        For a design, the model that is fitted, whole or as a change (``". ~ . - ses"``); by default the design's own.
    test : str, list of str or callable, optional
        Coefficients, tested by t, or terms of several coefficients, tested by F (type III); or a function that takes a fit and
        returns a p-value or several by name. By default every coefficient but the intercept.
    reduced : str, optional
        The smaller model of a likelihood-ratio test, such as ``". ~ . - arm"`` or ``". ~ . - (0 + x | g)"``.
    n : int
        Number of replicates.
    alpha : float
        The level of significance.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How t and F tests find their degrees of freedom. With ``"asymptotic"`` (Wald's z) tests of coefficients of a fitted model
        are much faster.
    effects : mapping, optional
        Fixed effects to be changed, by name.
    random : mapping, optional
        Other standard deviations and correlations of the random effects, as in `DataDesign`.
    sigma : float, optional
        Another residual standard deviation.
    extend : mapping, optional
        Other numbers of groups: for a fit, by grouping variable, how many levels it is to have, with copies of those there are;
        for a design, sizes of levels.
    within : mapping, optional
        For a fit, by grouping variable, how many rows each level is to have, with copies of those there are.
    rng : int, SeedSequence, Generator or RRandom, optional
        Where the random numbers come from. The result does not depend on the number of threads.
    threads : int, optional
        Threads to share the replicates among; by default one for each processor.
    progress : bool
        Whether to show a progress bar.
    level : float
        Confidence level of the Monte Carlo interval of the power.
    interval : {"clopper-pearson", "wilson"}
        Its kind.
    reml : bool
        Whether models of a design are fitted by REML.
    control : LmerControl, optional
        The optimiser and its options.

    Returns
    -------
    PowerResult
        It prints as a table; `to_frame` has the numbers.

    Raises
    ------
    ControlError, FormulaError, UnknownColumnError, DataError, DataTypeError
        There is no such test or effect, or an option does not apply; or not one replicate could be fitted.

    Notes
    -----
    Replicates that cannot be fitted, for example because a small sample lacks a level of a factor, count as not significant. Fits
    that are singular or did not converge count with the p-values that they have; the result says how many there are. In
    likelihood-ratio tests of variances the null hypothesis is on the boundary, where the χ² distribution is conservative.
    The idea of power from a fitted pilot model is that of Green & MacLeod (2016, Methods in Ecology and Evolution 7), R's simr.

    Examples
    --------
    A cluster-randomised trial with 20 schools of 25 pupils:

    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "score ~ arm + (1 | school)",
    ...     levels={"school": 20, "pupil": 25},
    ...     predictors={"arm": "balanced(c('control', 'therapy')) | school"},
    ...     fixed={"(Intercept)": 50, "armtherapy": 4},
    ...     random={"school": 3},
    ...     sigma=9,
    ... )
    >>> found = ml.power(design, n=200, rng=1)
    >>> print(found)
    Power by simulation
    Model: score ~ arm + (1 | school)
    Test: t tests with Satterthwaite's degrees of freedom
    200 replicates, significant at 0.05
    <BLANKLINE>
               power   95% interval truth mean est. type S type M
    armtherapy 64.0% [56.9%, 70.6%]     4      3.78   0.0%   1.15
    <BLANKLINE>
    Of 200 replicates, 1 has a singular fit, with a variance of zero or a
    correlation of ±1.

    From a pilot study, had it had twice the subjects and half the effect:

    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = ml.power(fit, test="Days", effects={"Days": 5}, extend={"Subject": 36}, ddf="asymptotic", n=200, rng=1)
    >>> found.to_frame().loc["Days", ["power", "truth"]].round(2).tolist()
    [0.98, 5.0]
    """
    check_level(level)
    check_share_interval(interval)
    if not 0.0 < alpha < 1.0:
        raise ControlError(f"alpha must lie between 0 and 1; it is {alpha}.")
    changes = {"effects": effects, "random": random, "sigma": sigma, "extend": extend, "within": within}
    source = source_of(model, formula, changes, reml, None if control is None else as_control(control))
    pilot = pilot_fit(source)
    tests = make_tests(source, pilot, test, reduced, ddf)
    outcomes = run_replicates(source.sample, _work(source, tests), n, rng, threads, progress, "power")
    return _result(source, tests, outcomes, alpha, level, interval)


def pilot_fit(source: DesignSource | ResponseSource) -> LinearMixedModel:
    """Return a fit that shows what the model's coefficients and terms are."""
    if isinstance(source, ResponseSource):
        return source.template
    draws = as_draws(0)
    for _ in range(PILOTS - 1):
        # Small samples may lack what the model needs by chance; what is wrong with the design is wrong every time.
        with contextlib.suppress(DataError), warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            return source.fit(source.sample(draws))
    return source.fit(source.sample(draws))


def _work(source: DesignSource | ResponseSource, tests: list[PowerTest]) -> Any:
    if isinstance(source, ResponseSource) and all(
        isinstance(test, CoefficientTest) and test.ddf == "asymptotic" for test in tests
    ):
        return _fast_work(source, tests)

    def take(fit: LinearMixedModel, data: Data) -> FloatArray:
        return np.concatenate([test.apply(fit, data) for test in tests])

    return each_fitted(source, take)


def _fast_work(source: ResponseSource, tests: list[PowerTest]) -> Any:
    """Return work for Wald's z tests in one and the same design: nothing but estimates and standard errors is needed."""
    template = source.template
    names = template._design.fixed_names
    places = [names.index(label) for test in tests for label in test.labels]
    withheld = undetermined(template._engine, np.eye(len(names)))[places]

    def work(batch: list[Data]) -> list[Outcome]:
        engine = template._engine
        found = refit_all(engine, template._design, np.stack(batch), template._control, 1)
        outcomes = []
        for row, converged in enumerate(found.converged):
            phi = engine.products.plan.parameters.from_user(found.theta[row])
            errors = found.sigma[row] * np.sqrt(np.diag(engine_unscaled_vcov(template, phi))[places])
            errors[withheld] = np.nan
            estimates = found.beta[row, places]
            p_values = two_sided(np.abs(estimates) / errors, np.full(len(places), np.inf))
            values = np.column_stack([p_values, estimates])
            outcomes.append(Outcome(values, bool(converged), is_singular(engine.objective, phi)))
        return outcomes

    return work


def engine_unscaled_vcov(template: LinearMixedModel, phi: FloatArray) -> FloatArray:
    """Return the covariance of the fixed effects divided by σ² at some covariance parameters."""
    objective = template._engine.objective
    products = objective.products
    factor = objective.factorise(phi)
    q = products.n_dense
    half = np.linalg.inv(np.tril(factor.cholesky[q:, q:]))
    to_user = products.fixed.to_user()
    result: FloatArray = to_user @ (half.T @ half) @ to_user.T
    return result


def _known_truth(source: DesignSource | ResponseSource) -> dict[str, float]:
    """Return the true values of the coefficients by name, where they are known."""
    if isinstance(source, ResponseSource):
        return dict(source.fixed)
    drawing = Drawing(source.design, as_draws(0))
    drawing.run()
    fixed = drawing.truth().fixef
    return {str(name): float(value) for name, value in fixed.items()}


def _result(
    source: DesignSource | ResponseSource,
    tests: list[PowerTest],
    outcomes: list[Outcome],
    alpha: float,
    level: float,
    interval: str,
) -> PowerResult:
    import pandas as pd

    labels = [label for test in tests for label in test.labels]
    n = len(outcomes)
    values = np.full((n, len(labels), 2), np.nan)
    for row, outcome in enumerate(outcomes):
        if outcome.values is not None:
            values[row] = outcome.values
    truth = _known_truth(source)
    rows = []
    for c, label in enumerate(labels):
        p_values, estimates = values[:, c, 0], values[:, c, 1]
        significant = p_values < alpha
        count = int(significant.sum())
        low, high = share_interval(count, n, level, interval)
        true = truth.get(label, np.nan) if np.isfinite(estimates).any() else np.nan
        mean = float(np.nanmean(estimates)) if np.isfinite(estimates).any() else np.nan
        wrong, factor = np.nan, np.nan
        if np.isfinite(true) and true != 0.0 and count:
            wrong = float((np.sign(estimates[significant]) != np.sign(true)).mean())
            factor = float(np.abs(estimates[significant]).mean() / abs(true))
        rows.append((count / n, low, high, count, true, mean, wrong, factor))
    frame = pd.DataFrame(rows, columns=list(COLUMNS), index=labels)
    fitted = [outcome for outcome in outcomes if outcome.values is not None]
    problems = [outcome.problem for outcome in outcomes if outcome.values is None]
    return PowerResult(
        str(source.formula),
        "; ".join(test.method for test in tests),
        n,
        len(problems),
        sum(not outcome.converged for outcome in fitted),
        sum(outcome.singular for outcome in fitted),
        alpha,
        level,
        pd.DataFrame(values[:, :, 0], columns=labels),
        pd.DataFrame(values[:, :, 1], columns=labels),
        problems[0] if problems else "",
        frame,
    )
