"""How the variance of a response splits into that of the fixed effects, of each random-effects term, and the residual.

The variance of a term with random slopes differs from row to row; its mean over the rows is tr(ZΣZᵀ)/n (Johnson 2014, Methods
Ecol. Evol. 5, 944–946, eq. 11), here tr(Σ·ZᵀZ/n) from the k × k cross-products of the term's columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked, checked_methods
from multilevel.engine.accumulate import total_products
from multilevel.errors import DataTypeError
from multilevel.model.identification import identification_sentence
from multilevel.model.residual_structure import mean_residual_variance
from multilevel.quality.shown import Shown, decimal_cells
from multilevel.reporting.cells import number_cells
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.formula.design import Design
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

PERFORMANCE_TOLERANCE = 1e-5
"""Where R's performance stops giving ICC and conditional R²: a pivot of a relative covariance factor below this."""

NOTHING = 1e-9
"""Below this share of the total a variance is printed as zero."""


@dataclass(frozen=True, slots=True)
class TermShare:
    """The mean variance that one random-effects term adds to a row.

    Attributes
    ----------
    term : str
        The term as written, such as ``"Days | Subject"``.
    group : str
        Its grouping factor.
    variance : float
        Mean variance over the rows.
    """

    term: str
    group: str
    variance: float


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class VarianceDecomposition(Shown):
    """Variances of the parts of a model, what `variance_decomposition` returns.

    Attributes
    ----------
    fixed : float
        Variance of Xβ over the rows, divisor n − 1; without the offset, as in R's ``insight::get_variance``.
    terms : tuple of TermShare
        The random-effects terms, in the order of theta.
    residual : float
        σ²; with prior weights, that of a row with weight one; where residual variances differ (`var_ident`), their mean over the
        rows.
    """

    fixed: float
    terms: tuple[TermShare, ...]
    residual: float
    _notes: tuple[str, ...]

    @property
    def random(self) -> float:
        """Mean variance of all random effects together."""
        return sum(term.variance for term in self.terms)

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.fixed + self.random + self.residual

    @property
    def by_group(self) -> dict[str, float]:
        """Mean variance of the random effects of each grouping factor."""
        found: dict[str, float] = {}
        for term in self.terms:
            found[term.group] = found.get(term.group, 0.0) + term.variance
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        return self._notes

    def to_frame(self) -> pd.DataFrame:
        """Return ``component``, ``group``, ``term``, ``variance`` and ``share`` (of the total), a row for each part."""
        import pandas as pd

        rows: list[tuple[str, str | None, str | None, float]] = [("fixed", None, None, self.fixed)]
        rows += [("random", term.group, term.term, term.variance) for term in self.terms]
        rows.append(("residual", None, None, self.residual))
        frame = pd.DataFrame(rows, columns=["component", "group", "term", "variance"])
        return frame.assign(share=frame["variance"] / self.total)

    def _table(self) -> Table:
        names = ["Fixed effects", *(f"({term.term})" for term in self.terms), "Residual", "Total"]
        values = [self.fixed, *(term.variance for term in self.terms), self.residual, self.total]
        shares = decimal_cells([value / self.total for value in values])
        # What is next to nothing beside the total becomes zero, so that it does not set the notation of the column.
        shown = [value if value > NOTHING * self.total else 0.0 for value in values]
        rows = tuple(zip(names, number_cells(shown, format_values(shown, 5)), shares, strict=True))
        return Table("Variance decomposition", ("", "Variance", "Share"), rows)


def check_fit(fit: Any, function: str) -> LinearMixedModel:
    """Return a fitted model, or refuse what is none."""
    from multilevel.model.fitted import LinearMixedModel

    if not isinstance(fit, LinearMixedModel):
        raise DataTypeError(f"{function} takes a model fitted by lmer, not a {type(fit).__name__}.")
    return fit


def fixed_predictor(fit: LinearMixedModel) -> FloatArray:
    """Return Xβ of every row up to a constant: without the intercept, whose digits would drown small variances, and the offset."""
    constant = fit._engine.products.fixed.constant
    result = np.zeros(fit.nobs)
    for c, value in enumerate(fit._engine.beta):
        if c != constant:
            result += value * fit._design.columns[:, c]
    return result


def mean_products(design: Design, places: tuple[int, ...], shift: FloatArray | None = None) -> FloatArray:
    """Return the mean products over the rows of some columns, less a shift, shape (k, k)."""
    k = len(places)
    out = np.zeros((k, k))
    moved = np.zeros(k) if shift is None else shift
    total_products(design.columns, np.asarray(places, dtype=np.int64), moved, np.ones(k), np.empty(0), out)
    result: FloatArray = (np.tril(out) + np.tril(out, -1).T) / design.nobs
    return result


@checked
def variance_decomposition(fit: LinearMixedModel) -> VarianceDecomposition:
    """Split the variance of the response into fixed effects, random effects and residual.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    VarianceDecomposition
        ``fixed``, ``random`` (by ``terms`` and ``by_group``) and ``residual``.

    Raises
    ------
    DataTypeError
        It is not a fitted model.

    Notes
    -----
    As in R's ``insight::get_variance``: var(Xβ) without the offset; the mean variance of random slopes over the rows (Johnson
    2014); σ² for the residual, that of a row with weight one where there are prior weights. One difference: insight 0.19 leaves
    out random slopes of columns that are not among the fixed effects, and those of a further term on the same factor, as in
    ``(x || g)``; here every column of every term counts.

    With a residual structure the residual variance is the mean over the rows of the variances that their residuals have. A
    correlation (``cor_ar1``, ``cor_car1``) leaves it σ², as insight has it for ``nlme::lme``; with ``var_ident`` it is
    σ²·Σₕ nₕκₕ²/n, with nₕ rows and the ratio κₕ of each stratum, where insight takes the σ² of the first stratum alone.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.variance_decomposition(fit))
    Variance decomposition
    <BLANKLINE>
                     Variance Share
    Fixed effects      908.95 0.279
    (Days | Subject)  1698.07 0.521
    Residual           654.94 0.201
    Total             3261.97 1.000
    """
    design = fit._design
    fixed = float(fixed_predictor(fit).var(ddof=1)) if design.n_fixed else 0.0
    terms = tuple(
        TermShare(term.label, term.factor.name, float((part.covariance * mean_products(design, term.columns)).sum()))
        for term, part in zip(fit._terms, fit.varcorr(), strict=True)
    )
    return VarianceDecomposition(fixed, terms, mean_residual_variance(fit._engine), _variance_notes(fit))


def _variance_notes(fit: LinearMixedModel) -> tuple[str, ...]:
    notes = []
    if fit._design.weights is not None:
        notes.append("The residual variance is that of a row with prior weight one.")
    own = fit._design.residual
    if own is not None and own.stratum_name is not None:
        notes.append(f"The residual variance is the mean over the rows; it differs by {own.stratum_name}.")
    if fit._design.offset is not None:
        notes.append("The offset is known and counts neither as fixed effects nor as residual.")
    if fit.convergence.directions:
        notes.append(identification_sentence(fit) + " The numbers are those of the estimates reached.")
    if fit.singular(PERFORMANCE_TOLERANCE):
        notes.append(
            "The fit is singular: a variance is estimated as zero or a correlation as ±1. The numbers are those of the estimates;"
            f" R's performance gives NA for such fits (tolerance {PERFORMANCE_TOLERANCE:g}) and these with tolerance = 0."
        )
    return tuple(notes)
