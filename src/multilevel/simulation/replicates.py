"""Replicates of simulated data: where they come from, and their fits, shared among threads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Seed
from multilevel.engine.control import LmerControl
from multilevel.engine.threads import ordered_map
from multilevel.errors import ControlError, DataError, MultilevelWarning
from multilevel.formula.build import build_design
from multilevel.formula.grammar import Formula
from multilevel.formula.syntax import names_in
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.lmer import check_design, fit_design, lmer
from multilevel.model.simulation import GaussianSource, seed_sequence
from multilevel.model.source import FitSource, rows_used
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.drawing import Drawing
from multilevel.simulation.draws import Draws, as_draws, is_r_random

if TYPE_CHECKING:
    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]
Data = Any

AT_ONCE = 16
"""Replicates that a thread takes at a time; the numbers drawn do not depend on it."""


class Source(Protocol):
    """Draws data and fits models to them."""

    @property
    def formula(self) -> Formula:
        """The model that is fitted."""

    def sample(self, draws: Draws) -> Data:
        """Draw data."""

    def fit(self, data: Data) -> LinearMixedModel:
        """Fit the model."""

    def fit_ml(self, formula: Formula, data: Data) -> LinearMixedModel:
        """Fit another model to the same data, by maximum likelihood."""


@dataclass(frozen=True, slots=True, eq=False)
class DesignSource:
    """New predictors and responses in every replicate.

    Attributes
    ----------
    design
        What the data are drawn from.
    formula
        The model fitted to them.
    reml
        Whether fits are by REML.
    control
        The optimiser and its options.
    """

    design: DataDesign
    formula: Formula
    reml: bool
    control: LmerControl | None

    def sample(self, draws: Draws) -> dict[str, Any]:
        """Draw the columns of a data set."""
        return Drawing(self.design, draws).run()

    def fit(self, data: Data) -> LinearMixedModel:
        """Fit the model."""
        return self._fit(self.formula, data, self.reml)

    def fit_ml(self, formula: Formula, data: Data) -> LinearMixedModel:
        """Fit another model to the same data, by maximum likelihood."""
        return self._fit(formula, data, False)

    def _fit(self, formula: Formula, data: Data, reml: bool) -> LinearMixedModel:
        design = self.design
        used = {name for term in formula.term_list.terms for node in term.variables for name in names_in(node)}
        contrasts = {name: value for name, value in (design.contrasts or {}).items() if name in used}
        return lmer(formula, data, reml=reml, weights=design.weights, contrasts=contrasts, control=self.control)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseSource:
    """New responses in the rows of one data set.

    Attributes
    ----------
    template
        A fit to these rows; its response and parameters do not matter.
    responses
        What the responses are drawn from.
    fixed
        The fixed effects that responses are drawn with.
    """

    template: LinearMixedModel
    responses: GaussianSource
    fixed: Mapping[str, float]

    @property
    def formula(self) -> Formula:
        """The model that is fitted."""
        return self.template.formula

    def sample(self, draws: Draws) -> FloatArray:
        """Draw a response."""
        # It calls standard_normal alone, which both kinds of random numbers have.
        return np.asarray(self.responses.draw(draws, 1)[0])  # type: ignore[arg-type]

    def fit(self, data: Data) -> LinearMixedModel:
        """Fit the model."""
        template = self.template
        return fit_design(template._design.with_response(data), template.reml, template._control, template._data)

    def fit_ml(self, formula: Formula, data: Data) -> LinearMixedModel:
        """Fit another model to the same data, by maximum likelihood."""
        template = self.template
        frame, arguments, response = rows_used(template._design.with_response(data), template._data.arguments)
        design = build_design(formula, frame, **arguments, response=response)
        check_design(design, template._control)
        return fit_design(design, False, template._control, FitSource(None, template._data.arguments))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one replicate.

    Attributes
    ----------
    values
        The numbers taken from the fit; None where it could not be fitted.
    converged, singular
        How the fit ended.
    problem
        Why it could not be fitted.
    """

    values: FloatArray | None
    converged: bool
    singular: bool
    problem: str = ""


def default_threads(threads: int | None) -> int:
    """Return the number of threads: one for each processor unless said otherwise."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise ControlError(f"threads must be at least 1, not {threads}.")
    return threads


def run_replicates(
    sample: Callable[[Draws], Data],
    work: Callable[[list[Data]], list[Outcome]],
    n: int,
    rng: Seed | RRandom,
    threads: int | None,
    progress: bool,
    label: str,
) -> list[Outcome]:
    """Draw and fit `n` replicates.

    Every replicate has random numbers of its own, so that the result does not depend on the number of threads. With an `RRandom`
    the data are drawn one after another.

    Parameters
    ----------
    sample
        Draws the data of one replicate.
    work
        Takes the data of some replicates and says what became of them.
    n
        How many.
    rng
        Where the random numbers come from.
    threads
        Threads to share the work among.
    progress
        Whether to show a progress bar.
    label
        What it says.

    Raises
    ------
    DataError
        Not one replicate could be fitted.
    """
    if n < 1:
        raise ControlError(f"The number of replicates must be at least 1; it is {n}.")
    count = default_threads(threads)
    if is_r_random(rng):
        draws = as_draws(rng)
        batches: Iterable[list[Any]] = ([sample(draws) for _ in range(size)] for size in _sizes(n))
        task = work
    else:
        seeds = seed_sequence(cast(Seed, rng)).spawn(n)
        batches = [seeds[at : at + AT_ONCE] for at in range(0, n, AT_ONCE)]

        def task(batch: list[Any]) -> list[Outcome]:
            return work([sample(as_draws(np.random.default_rng(seed))) for seed in batch])

    with warnings.catch_warnings():
        # The result counts fits that did not converge; what else data may lack is known beforehand.
        warnings.simplefilter("ignore", MultilevelWarning)
        found = [
            outcome for batch in _shown(ordered_map(task, batches, count), n, progress, label) for outcome in batch
        ]
    problems = [outcome.problem for outcome in found if outcome.values is None]
    if len(problems) == n:
        raise DataError(f"Not one of {n} replicates could be fitted. The first: {problems[0]}")
    return found


def _sizes(n: int) -> Iterator[int]:
    for at in range(0, n, AT_ONCE):
        yield min(AT_ONCE, n - at)


def _shown(batches: Iterator[list[Outcome]], n: int, progress: bool, label: str) -> Iterator[list[Outcome]]:
    """Pass batches on, with a progress bar where asked."""
    if not progress:
        yield from batches
        return
    from tqdm.auto import tqdm

    with tqdm(total=n, desc=label, unit="fit") as bar:
        for batch in batches:
            bar.update(len(batch))
            yield batch


def each_fitted(
    source: Source, take: Callable[[LinearMixedModel, Data], FloatArray]
) -> Callable[[list[Data]], list[Outcome]]:
    """Return work that fits every replicate and takes numbers from the fit."""

    def work(batch: list[Data]) -> list[Outcome]:
        found = []
        for data in batch:
            try:
                fit = source.fit(data)
                values = take(fit, data)
            except DataError as error:
                found.append(Outcome(None, False, False, str(error)))
            else:
                found.append(Outcome(values, fit.convergence.converged, fit.is_singular))
        return found

    return work


def frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a mapping that cannot be changed."""
    return MappingProxyType(dict(mapping))
