"""What simulated data were made with: the parameters, and the random effects that were drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked_methods
from multilevel.data.labels import apart_from
from multilevel.engine.structures import CovarianceStructure, Unstructured, structure_of
from multilevel.model.variance_components import VarianceComponents, term_variance
from multilevel.reporting.cells import number_cells
from multilevel.reporting.forms import Document, Fact, Forms, Notes, Paragraph
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import Table
from multilevel.reporting.variance_table import variance_table
from multilevel.simulation.covariances import TermNames, term_labels

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

DIGITS = 4


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Truth(Forms):
    """The parameters that data were simulated with; its facts have the names that they have in a fitted model.

    Attributes
    ----------
    formula : str
        The formula.
    fixef : pandas.Series
        Fixed effects by name, in the order of the columns of X.
    sigma : float
        Residual standard deviation; where it differs between rows, the root of the mean of the variances.
    sigma_rule : str
        What the residual standard deviation follows from where it differs between rows; otherwise empty.
    random_effects : mapping
        The random effects that were drawn: by grouping factor a data frame, levels in rows, columns of its terms in columns.
    n_rows : int
        Number of rows.
    n_missing : mapping
        How many values were made missing, by column.

    Examples
    --------
    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "y ~ x + (1 + x | school)",
    ...     levels={"school": 20, "pupil": 15},
    ...     predictors={"x": "normal(0, 1)"},
    ...     fixed={"(Intercept)": 50, "x": 3},
    ...     random={"school": {"sd": [4, 1], "corr": 0.3}},
    ...     sigma=8,
    ... )
    >>> frame, truth = design.draw(rng=1)
    >>> print(truth)
    Parameters of simulated data
    Formula: y ~ x + (1 + x | school)
    <BLANKLINE>
    Random effects:
     Groups   Name        Std.Dev. Corr
     school   (Intercept) 4
              x           1        0.30
     Residual             8
    Number of obs: 300, groups:  school, 20
    <BLANKLINE>
    Fixed effects:
                value
    (Intercept)    50
    x               3
    >>> truth.theta.to_dict()
    {'school.(Intercept)': 0.5, 'school.x.(Intercept)': 0.0375, 'school.x': 0.1192...}
    """

    formula: str
    fixef: pd.Series[float]
    sigma: float
    sigma_rule: str
    random_effects: Mapping[str, pd.DataFrame]
    n_rows: int
    n_missing: Mapping[str, int]
    _terms: tuple[TermNames, ...] = field(default=())
    _factors: tuple[FloatArray, ...] = field(default=())

    def varcorr(self) -> VarianceComponents:
        """Return the variances and correlations of the random effects, in the order of theta."""
        return components_of(self._terms, self._factors, self.sigma)

    @property
    def theta(self) -> pd.Series[float]:
        """Covariance parameters relative to the residual's, in lme4's order and names; infinite without a residual."""
        import pandas as pd

        names: list[str] = []
        values: list[float] = []
        for term, label, factor in zip(self._terms, term_labels(self._terms), self._factors, strict=True):
            _, structure = _structure(term, factor)
            names.extend(structure.theta_names(term.names, label))
            with np.errstate(divide="ignore", invalid="ignore"):
                values.extend(structure.reported(structure.parameters(factor / self.sigma)).tolist())
        return pd.Series(values, index=names, name="theta", dtype="float64")

    @property
    def ngroups(self) -> pd.Series[int]:
        """Number of levels of each grouping factor, by decreasing number."""
        import pandas as pd

        counts = {term.group: len(self.random_effects[term.group]) for term in self._terms}
        return pd.Series(counts, name="levels", dtype="int64")

    @property
    def parameters(self) -> pd.Series[float]:
        """All parameters under one name each: fixed effects, ``sd_x|school``, ``cor_x.(Intercept)|school``, ``sigma``."""
        import pandas as pd

        names, values = parameter_values(self.varcorr())
        numbers = np.array([*self.fixef, *values, self.sigma], dtype=np.float64)
        fixed = [str(name) for name in self.fixef.index]
        return pd.Series(numbers, index=[*fixed, *apart_from([*names, "sigma"], fixed)], name="truth")

    def to_frame(self) -> pd.DataFrame:
        """Return all parameters, one in each row, in the column ``truth``."""
        return self.parameters.to_frame()

    def _table(self) -> Table:
        cells = number_cells(self.fixef, format_values([float(value) for value in self.fixef], DIGITS))
        rows = tuple((str(name), cell) for name, cell in zip(self.fixef.index, cells, strict=True))
        return Table("Fixed effects", ("", "value"), rows)

    def _notes(self) -> list[str]:
        notes = []
        if self.sigma_rule:
            notes.append(f"The residual standard deviation differs between rows: {self.sigma_rule}")
        if self.n_missing:
            counts = ", ".join(f"{count} of {name}" for name, count in self.n_missing.items())
            notes.append(f"Values made missing: {counts}")
        return notes

    def __str__(self) -> str:
        """Return the text."""
        from multilevel.reporting.text import data_line

        parts = [
            f"Parameters of simulated data\nFormula: {self.formula}",
            f"Random effects:\n{variance_table(self.varcorr(), variances=False, digits=DIGITS)}\n"
            f"{data_line(self.n_rows, self.ngroups)}",
            f"Fixed effects:\n{self._table().to_text()}",
            *(["\n".join(self._notes())] if self._notes() else []),
        ]
        return "\n\n".join(parts)

    __repr__ = __str__

    def _document(self) -> Document:
        random = variance_table(self.varcorr(), variances=False, digits=DIGITS)
        head = (Paragraph("Parameters of simulated data", bold=True), Fact("Formula", self.formula))
        return Document("Parameters of simulated data", (*head, random, self._table(), Notes(tuple(self._notes()))))


def components_of(terms: Sequence[TermNames], factors: Sequence[FloatArray], sigma: float) -> VarianceComponents:
    """Return variance components from the factors of the covariance matrices."""
    parts = tuple(
        term_variance(term.group, label, term.names, factor, 1.0, *_structure(term, factor))
        for term, label, factor in zip(terms, term_labels(terms), factors, strict=True)
    )
    return VarianceComponents(parts, sigma)


def _structure(term: TermNames, factor: FloatArray) -> tuple[str, CovarianceStructure]:
    """Return the structure that the formula names, or none in particular where the covariance matrix is not of its kind."""
    named = structure_of(term.structure, len(term.names))
    own = named.factor(named.parameters(factor))
    close = np.allclose(own @ own.T, factor @ factor.T, rtol=1e-8, atol=1e-10 * float((factor**2).max(initial=0.0)))
    return (term.structure, named) if close else ("unstructured", Unstructured(len(term.names)))


def parameter_values(components: VarianceComponents) -> tuple[list[str], list[float]]:
    """Return names and values of standard deviations and correlations, as in the tables of a fit's intervals."""
    names: list[str] = []
    values: list[float] = []
    for term in components:
        names += term.element_names
        values += [
            float(term.standard_deviations[e.row] if e.kind == "sd" else term.correlation[e.row, e.column])
            for e in term.elements
        ]
    return names, values


def effects_frame(names: Sequence[str], values: FloatArray, levels: pd.Index[Any]) -> pd.DataFrame:
    """Return the random effects of a grouping factor as a fit's `ranef` shows conditional modes."""
    import pandas as pd

    return pd.DataFrame(values, columns=list(names), index=levels)
