"""What a fit is made of, and what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.data.labels import term_groups
from multilevel.engine.control import LmerControl
from multilevel.engine.fit import EngineFit
from multilevel.formula.design import Design, RandomTerm
from multilevel.formula.grammar import Formula

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StoredFacts:
    """What a fit that was loaded without its rows brings of what is worked out of rows.

    Attributes
    ----------
    residual_quantiles
        Minimum, quartiles and maximum of the scaled residuals; None where they are no longer those of the fit.
    hypotheses
        For the types 1, 2 and 3, the hypotheses about the terms (see `multilevel.inference.hypotheses.term_hypotheses`).
    """

    residual_quantiles: FloatArray | None
    hypotheses: dict[int, list[FloatArray]]


@dataclass(frozen=True, eq=False, repr=False)
class FitFacts:
    """The parts of a fit, and what was fitted; its other properties and methods are added by noun, a class each."""

    _design: Design
    _engine: EngineFit
    _reml: bool
    _control: LmerControl
    _data: Any
    _stored: StoredFacts | None = None

    @property
    def formula(self) -> Formula:
        """The formula."""
        return self._design.formula

    @property
    def reml(self) -> bool:
        """Whether the criterion was REML's (True) or the likelihood's (False)."""
        return self._reml

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self._design.nobs

    @property
    def ngroups(self) -> pd.Series[int]:
        """Number of levels of each grouping factor, by decreasing number."""
        import pandas as pd

        counts = {term.factor.name: term.factor.n_levels for term in self._terms}
        return pd.Series(counts, name="levels", dtype="int64")

    @property
    def n_missing(self) -> int:
        """Number of rows left out because a value in them is missing."""
        return self._design.n_rows - self._design.nobs

    @property
    def _terms(self) -> tuple[RandomTerm, ...]:
        """The random terms in the order of theta."""
        return tuple(self._design.random[t] for t in self._engine.products.plan.term_order)

    @property
    def _term_groups(self) -> list[str]:
        """The terms' grouping factors as they are shown, in the order of theta (see `multilevel.data.labels`)."""
        return term_groups([(term.factor.name, term.names) for term in self._terms])


def whole(part: FitFacts) -> LinearMixedModel:
    """Return the fit itself: every object with its parts is one."""
    return cast("LinearMixedModel", part)
