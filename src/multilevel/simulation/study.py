"""Many data sets of one design, each fitted: estimates, standard errors and intervals of all parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, Seed, checked_methods
from multilevel.engine.control import LmerControl
from multilevel.errors import DataError
from multilevel.formula.grammar import Formula
from multilevel.inference.intervals import check_level
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.drawing import Drawing
from multilevel.simulation.draws import as_draws
from multilevel.simulation.fit_numbers import FitNumbers, fit_numbers
from multilevel.simulation.power_sources import source_of
from multilevel.simulation.replicates import Data, each_fitted, run_replicates
from multilevel.simulation.truth import Truth

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel
    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Fits of many data sets drawn from one design.

    Attributes
    ----------
    truth : Truth
        The parameters of the design.
    estimates, std_errors, conf_low, conf_high : pandas.DataFrame
        A row for each replicate, a column for each parameter; NaN where there is none.
    converged, singular : ndarray
        How each fit ended.
    level : float
        Confidence level of the intervals.
    n_not_fitted : int
        How many replicates could not be fitted; they have no row.
    problem : str
        Why the first of those could not.
    """

    truth: Truth
    estimates: pd.DataFrame
    std_errors: pd.DataFrame
    conf_low: pd.DataFrame
    conf_high: pd.DataFrame
    converged: BoolArray
    singular: BoolArray
    level: float
    n_not_fitted: int
    problem: str

    @property
    def n(self) -> int:
        """Number of fits."""
        return len(self.converged)

    def __repr__(self) -> str:
        """Return in a few words what there is."""
        counts = [f"{int(self.singular.sum())} singular", f"{int((~self.converged).sum())} not converged"]
        counts += [f"{self.n_not_fitted} more that could not be fitted"] if self.n_not_fitted else []
        return f"Study of {self.n} fits ({', '.join(counts)}) of data from {self.truth.formula}"

    @classmethod
    def of(
        cls,
        truth: Truth,
        numbers: Sequence[FitNumbers],
        states: Sequence[tuple[bool, bool]],
        level: Level,
        problems: Sequence[str] = (),
    ) -> Study:
        """Put the numbers of many fits side by side; their models may differ in what they hold."""
        import pandas as pd

        names = list(dict.fromkeys(name for one in numbers for name in one.names))
        tables = []
        for kind in ("estimates", "std_errors", "conf_low", "conf_high"):
            rows = [dict(zip(one.names, getattr(one, kind).tolist(), strict=True)) for one in numbers]
            tables.append(pd.DataFrame(rows, columns=names))
        converged, singular = (np.array([state[i] for state in states], dtype=np.bool_) for i in range(2))
        for array in (converged, singular):
            array.flags.writeable = False
        problem = problems[0] if problems else ""
        return cls(
            truth, tables[0], tables[1], tables[2], tables[3], converged, singular, level, len(problems), problem
        )


def run_study(
    design: DataDesign,
    n: int,
    formula: str | Formula | None,
    *,
    level: float,
    ddf: str,
    rng: Seed | RRandom,
    threads: int | None,
    progress: bool,
    reml: bool,
    control: LmerControl | None,
) -> Study:
    """Draw and fit many data sets (see `DataDesign.study`)."""
    check_level(level)
    source = source_of(design, formula, {}, reml, control)
    names: dict[int, tuple[str, ...]] = {}

    def take(fit: LinearMixedModel, data: Data) -> FloatArray:  # noqa: ARG001 - as the others
        found = fit_numbers(fit, level, ddf)
        table = np.stack([found.estimates, found.std_errors, found.conf_low, found.conf_high])
        names.setdefault(table.shape[1], found.names)
        if names[table.shape[1]] != found.names:
            raise DataError("The fixed effects differ from those of other replicates: some level of a factor is lost.")
        return table

    outcomes = run_replicates(source.sample, each_fitted(source, take), n, rng, threads, progress, "study")
    numbers, states, problems = [], [], []
    for outcome in outcomes:
        if outcome.values is None:
            problems.append(outcome.problem)
        else:
            numbers.append(FitNumbers(names[outcome.values.shape[1]], *outcome.values))
            states.append((outcome.converged, outcome.singular))
    drawing = Drawing(design, as_draws(0))
    drawing.run()
    return Study.of(drawing.truth(), numbers, states, level, problems)
