"""Whether the residual variance is the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.quality.checks.result import Check, not_checked, number, p_text
from multilevel.quality.groups import RowGroups, row_groups
from multilevel.quality.residuals import rstandard

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

PLOTTED = 5000
"""Points of the plot at most: an even sample of the rows beyond."""

SLICES = 10
"""Slices of the fitted values whose residual standard deviations are compared."""

LARGE_SAMPLE, MODEST_RATIO = 5000, 1.25
"""With more rows than this, standard deviations that differ by no more than this ratio are let pass."""


@checked
def check_heteroscedasticity(fit: LinearMixedModel, by: Any = None) -> Check:
    """Check whether the residual variance changes with the fitted values, or between groups.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    by : str or array_like, optional
        A grouping factor, a column, or one value for each row, between whose groups the residual variance is compared too.

    Returns
    -------
    Check
        ``table``, by test: ``statistic``, ``df``, ``df_denominator``, ``p_value``. ``"score"``: the score test of Cook & Weisberg
        (1983, Biometrika 70) for the Pearson residuals against the fitted values, as R's ``car::ncvTest``. ``"studentised"``:
        Koenker's (1981, J. Econometrics 17), which long-tailed residuals do not mislead; it decides. With `by`, ``"levene"``: Brown
        & Forsythe's (1974, JASA 69), with medians, as R's ``car::leveneTest``. ``numbers``: also ``sd_ratio``, the largest over the
        smallest residual standard deviation among ten slices of the fitted values. ``data``: ``fitted``; ``population``, the
        prediction of the fixed effects alone; ``standardised_residual``; and ``root_absolute_residual``, the square root of its
        absolute value.

    Notes
    -----
    With more than 5000 rows a significant result is let pass where the standard deviations differ by less than a quarter.
    The p-value of ``performance::check_heteroscedasticity`` (0.10.2) for such models changes when the response is multiplied by a
    constant: it scales the squared residuals by the REML criterion. The tests here do not change.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.check_heteroscedasticity(fit, by="Subject").table["p_value"].round(4).to_dict()
    {'score': 0.0039, 'studentised': 0.0486, 'levene Subject': 0.0004}
    """
    import pandas as pd
    from scipy import stats

    fitted, pearson = fit._fitted_values, fit._residual_values("pearson")
    n = fit.nobs
    rows: dict[str, tuple[float, float, float, float]] = {}
    if float(np.ptp(fitted)) > 0.0 and float(np.ptp(pearson)) > 0.0:
        square = pearson**2 / np.mean(pearson**2)
        x = fitted - fitted.mean()
        slope = float(x @ square) / float(x @ x)
        explained = slope**2 * float(x @ x)
        score, studentised = explained / 2.0, n * explained / float(((square - 1.0) ** 2).sum())
        rows["score"] = (score, 1.0, np.nan, float(stats.chi2.sf(score, 1)))
        rows["studentised"] = (studentised, 1.0, np.nan, float(stats.chi2.sf(studentised, 1)))
    ratio = _sd_ratio(fitted, pearson)
    groups = None
    if by is not None:
        groups = row_groups(fit, by)
        rows[f"levene {groups.name}"] = _levene(groups, pearson)
    if not rows:
        return not_checked(
            "heteroscedasticity", "All fitted values are equal: there is nothing for the variance to change with."
        )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["statistic", "df", "df_denominator", "p_value"])
    table.index.name = "test"
    decisive = table.drop(index="score", errors="ignore")
    worst = str(decisive["p_value"].idxmin())
    smallest = float(decisive["p_value"].min())
    passed = smallest >= 0.05
    if not passed and worst == "studentised" and n > LARGE_SAMPLE and ratio <= MODEST_RATIO:
        passed = True
    if worst == "studentised":
        text = (
            f"The residual standard deviation {'changes' if not passed else 'hardly changes'} with the fitted values"
            f" ({p_text(smallest)}): among ten slices of them the largest is {number(ratio)} times the smallest."
        )
    else:
        assert groups is not None  # the only other test is by group
        text = (
            f"The residual variance {'differs' if not passed else 'does not differ detectably'} between the levels of {groups.name}"
            f" ({p_text(smallest)})."
        )
    if not passed:
        text += " Consider a transformation of the response, weights, or robust standard errors (vcov='CR2')."
    numbers = {"p_value": smallest, "sd_ratio": ratio}
    return Check("heteroscedasticity", passed, text, numbers, table, _scale_location(fit, fitted))


def _sd_ratio(fitted: FloatArray, residuals: FloatArray) -> float:
    slices = np.array_split(np.argsort(fitted, kind="stable"), min(SLICES, max(fitted.size // 10, 2)))
    spread = np.array([np.sqrt(np.mean(residuals[part] ** 2)) for part in slices])
    return float(spread.max() / spread.min()) if spread.min() > 0 else float("inf")


def _levene(groups: RowGroups, residuals: FloatArray) -> tuple[float, float, float, float]:
    """Return F, its degrees of freedom and p of the analysis of variance of distances from the groups' medians."""
    from scipy import stats

    order = np.lexsort((residuals, groups.codes))
    counts = np.bincount(groups.codes)
    first = np.cumsum(counts) - counts
    ordered = residuals[order]
    median = 0.5 * (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2])
    distance = np.abs(residuals - median[groups.codes])
    sums = np.bincount(groups.codes, distance)
    between = float((counts * (sums / counts - distance.mean()) ** 2).sum())
    within = float(((distance - (sums / counts)[groups.codes]) ** 2).sum())
    df, rest = counts.size - 1, residuals.size - counts.size
    if rest <= 0 or within <= 0.0:
        return np.nan, float(df), float(rest), np.nan
    statistic = (between / df) / (within / rest)
    return statistic, float(df), float(rest), float(stats.f.sf(statistic, df, rest))


def _scale_location(fit: LinearMixedModel, fitted: FloatArray) -> pd.DataFrame:
    import pandas as pd

    at = thinned(fit.nobs, PLOTTED)
    standard = _used(fit, np.asarray(rstandard(fit), dtype=np.float64))
    population = fit._design.X @ fit._engine.beta
    if fit._design.offset is not None:
        population = population + fit._design.offset
    return pd.DataFrame(
        {
            "fitted": fitted[at],
            "population": population[at],
            "standardised_residual": standard[at],
            "root_absolute_residual": np.sqrt(np.abs(standard[at])),
        }
    )


def _used(fit: LinearMixedModel, values: FloatArray) -> FloatArray:
    """Return values by row without the rows that ``na_action="exclude"`` put back."""
    return values if values.size == fit.nobs else values[fit._design.kept]


def thinned(n: int, limit: int) -> npt.NDArray[np.intp]:
    """Return evenly spaced positions among n, at most so many."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.intp))
