"""Variances and correlations of the random effects, and the residual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.argument_rules import member
from multilevel.arguments import checked_methods
from multilevel.data.labels import distinct
from multilevel.engine.structures import STRUCTURE_NAMES, CovarianceStructure, NaturalElement, element_name

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TermVariance:
    """Covariance matrix of one random-effects term.

    Attributes
    ----------
    group : str
        The grouping factor.
    label : str
        Its name in tables: with a number where two of the factor's terms have the same column (``g``, ``g.1``).
    names : tuple of str
        The columns.
    covariance : ndarray
        Covariance matrix on the response's scale, shape (k, k).
    standard_deviations : ndarray
        Square roots of its diagonal.
    correlation : ndarray
        Correlation matrix; NaN where a standard deviation is zero.
    correlated : bool
        Whether the term's structure has correlations (a term of ``||`` has none).
    structure : str
        The covariance structure as a formula names it: ``"us"``, ``"diag"``, ``"cs"``, ``"ar1"``, ….
    elements : tuple of NaturalElement
        The standard deviations and correlations that the matrix is described by, in the order of theta.
    """

    group: str
    label: str
    names: tuple[str, ...]
    covariance: FloatArray
    standard_deviations: FloatArray
    correlation: FloatArray
    correlated: bool
    structure: str
    elements: tuple[NaturalElement, ...]

    @property
    def patterned(self) -> bool:
        """Whether fewer numbers than a full matrix or its diagonal describe the covariances."""
        return self.structure not in ("us", "diag")

    @property
    def element_names(self) -> list[str]:
        """Names of the elements, such as ``sd_Days|Subject`` (lme4's ``confint`` with ``oldNames = FALSE``)."""
        return [element_name(element, self.names, self.label) for element in self.elements]


def term_variance(
    group: str,
    label: str,
    names: tuple[str, ...],
    factor: FloatArray,
    sigma: float,
    kind: str,
    structure: CovarianceStructure,
) -> TermVariance:
    """Return the covariance of a term from its relative factor λ and σ; `kind` is the design's word for the structure."""
    scaled = sigma * factor
    covariance = scaled @ scaled.T
    deviations = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(deviations, deviations)
    np.fill_diagonal(correlation, 1.0)
    for array in (covariance, deviations, correlation):
        array.flags.writeable = False
    shown = STRUCTURE_NAMES.get(kind, kind) if len(names) > 1 else "us"
    return TermVariance(
        group, label, names, covariance, deviations, correlation, structure.correlated, shown, structure.natural()
    )


@checked_methods
@dataclass(frozen=True, slots=True, eq=False)
class VarianceComponents:
    """Variances and correlations of all random-effects terms (lme4's ``VarCorr``).

    Iterating gives the terms; ``components["Subject"]`` gives the covariance matrix of a grouping factor as a data frame
    (block-diagonal where several terms share it); `to_frame` lists everything.

    Attributes
    ----------
    terms : tuple of TermVariance
        The terms, in the order of theta.
    sigma : float
        Residual standard deviation.
    """

    terms: tuple[TermVariance, ...]
    sigma: float

    def __iter__(self) -> Iterator[TermVariance]:
        """Iterate over the terms."""
        return iter(self.terms)

    def __len__(self) -> int:
        """Return the number of terms."""
        return len(self.terms)

    def __getitem__(self, group: str) -> pd.DataFrame:
        """Return the covariance matrix of a grouping factor's random effects."""
        import pandas as pd

        by_group: dict[str, list[TermVariance]] = {}
        for term in self.terms:
            by_group.setdefault(term.group, []).append(term)
        own: list[TermVariance] = member(by_group, group, "grouping factor")
        names = distinct([name for term in own for name in term.names])
        matrix = np.zeros((len(names), len(names)))
        at = 0
        for term in own:
            k = len(term.names)
            matrix[at : at + k, at : at + k] = term.covariance
            at += k
        return pd.DataFrame(matrix, index=names, columns=names)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per variance and covariance, with the columns of R's ``as.data.frame(VarCorr(fit))``.

        Returns
        -------
        pandas.DataFrame
            ``grp``, ``var1``, ``var2`` (None for a variance), ``vcov`` (variance or covariance) and ``sdcor`` (standard deviation
            or correlation); the last row is the residual.
        """
        import pandas as pd

        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for term in self.terms:
            for i, name in enumerate(term.names):
                rows.append((term.label, name, None, float(term.covariance[i, i]), float(term.standard_deviations[i])))
            if term.correlated:
                for j in range(len(term.names)):
                    for i in range(j + 1, len(term.names)):
                        rows.append(
                            (
                                term.label,
                                term.names[j],
                                term.names[i],
                                float(term.covariance[i, j]),
                                float(term.correlation[i, j]),
                            )
                        )
        rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    def __repr__(self) -> str:
        """Return the table of standard deviations and correlations."""
        from multilevel.reporting.variance_table import variance_table

        return variance_table(self, variances=False).to_text()

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        from multilevel.reporting.variance_table import variance_table

        return variance_table(self)._repr_html_()
