"""Whether fits recover the parameters that data were simulated with."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, Level, checked, checked_methods, idle
from multilevel.data.labels import apart_from
from multilevel.errors import ControlError, DataTypeError
from multilevel.inference.intervals import check_level
from multilevel.model.fitted import LinearMixedModel
from multilevel.reporting.cells import Number, interval_cells, number_cells
from multilevel.reporting.forms import Document, Fact, Forms, Notes
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import TEXT_WIDTH, Table
from multilevel.simulation.covariances import TermNames
from multilevel.simulation.fit_numbers import FitNumbers, fit_numbers
from multilevel.simulation.monte_carlo import share_interval
from multilevel.simulation.power_result import percentages
from multilevel.simulation.responses import theta_factors
from multilevel.simulation.study import Study
from multilevel.simulation.truth import Truth, components_of, parameter_values

if TYPE_CHECKING:
    import pandas as pd


FloatArray = npt.NDArray[np.float64]

DIGITS = 4
"""Significant digits of parameters and estimates; the other numbers have one less."""

SINGLE_HEADS = {
    "truth": "truth", "estimate": "estimate", "bias": "bias", "std_error": "std. error",
}  # fmt: skip
MANY_HEADS = {
    "truth": "truth", "mean_estimate": "mean est.", "bias": "bias", "bias_std_error": "MC se", "empirical_sd": "emp. sd",
    "rmse": "RMSE", "mean_std_error": "mean se",
}  # fmt: skip


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Recovery(Forms):
    """Estimates beside the parameters that data were simulated with.

    Attributes
    ----------
    formula : str
        The model that the data were simulated from.
    n : int
        Number of fits.
    n_not_converged, n_singular : int
        How many of them did not end at an optimum, and how many are on the boundary.
    level : float
        Confidence level of the intervals.
    """

    formula: str
    n: int
    n_not_converged: int
    n_singular: int
    level: float
    _frame: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each parameter.

        Returns
        -------
        pandas.DataFrame
            For one fit ``truth``, ``estimate``, ``bias`` (estimate less truth), ``relative_bias`` (divided by the truth),
            ``std_error``, ``conf_low``, ``conf_high`` and ``covered``. For several ``truth``, ``mean_estimate``, ``bias`` with its
            Monte Carlo standard error ``bias_std_error``, ``relative_bias``, ``empirical_sd`` (of the estimates), ``rmse``,
            ``mean_std_error`` (root of the mean of the squared standard errors), ``coverage`` of the intervals with its Monte Carlo
            interval ``coverage_low`` and ``coverage_high`` (Clopper–Pearson), and ``n_intervals``, over how many it is taken.
        """
        return self._frame.copy()

    def _table(self) -> Table:
        frame = self._frame
        single = "estimate" in frame
        heads = dict(SINGLE_HEADS if single else MANY_HEADS)
        columns: list[list[str | Number]] = [[str(name) for name in frame.index]]
        for name in heads:
            digits = DIGITS if name in ("truth", "estimate", "mean_estimate") else DIGITS - 1
            values = frame[name].to_numpy(dtype=np.float64)
            columns.append(number_cells(values, _cells(values, digits)))
        titles = ["", *heads.values()]
        if single:
            low, high = (_cells(frame[name].to_numpy(dtype=np.float64)) for name in ("conf_low", "conf_high"))
            texts = [f"[{a}, {b}]" if b.strip() else "" for a, b in zip(low, high, strict=True)]
            columns.append(interval_cells(frame["conf_low"], frame["conf_high"], texts))
            marks = {True: "yes", False: "no"}
            columns.append([marks.get(value, "") for value in frame["covered"].tolist()])
            titles += [f"{100 * self.level:g}% interval", "covered"]
        elif (frame["n_intervals"] > 0).any():
            shares = [percentages(frame[name]) for name in ("coverage", "coverage_low", "coverage_high")]
            known = frame["n_intervals"].to_numpy() > 0
            columns.append([a if here else "" for a, here in zip(shares[0], known, strict=True)])
            columns.append([f"[{b}, {c}]" if here else "" for b, c, here in zip(*shares[1:], known, strict=True)])
            titles += ["coverage", "MC interval"]
        return Table("Recovery of the parameters", tuple(titles), tuple(zip(*columns, strict=True)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know of the fits."""
        found = []
        if self.n_not_converged:
            found.append(f"{self.n_not_converged} of {self.n} fits did not converge and are left out.")
        if self.n_singular:
            found.append(
                f"{self.n_singular} of {self.n} fits {'is' if self.n_singular == 1 else 'are'} singular: standard deviations and "
                "correlations have no interval there."
            )
        return tuple(found)

    def __str__(self) -> str:
        """Return the text."""
        fits = "1 fit" if self.n == 1 else f"{self.n} fits"
        head = f"Recovery of the parameters in {fits}\nModel: {self.formula}"
        parts = [head, self._table().to_text(width=110)]
        if self.notes:
            parts.append("\n".join(textwrap.fill(note, TEXT_WIDTH) for note in self.notes))
        return "\n\n".join(parts)

    __repr__ = __str__

    def _document(self) -> Document:
        table = self._table()
        return Document(table.caption, (table, Fact("Model", self.formula), Notes(self.notes)))


def _cells(values: FloatArray, digits: int = DIGITS) -> list[str]:
    """Write numbers with a few significant digits, each for itself, blanks where there is none."""
    return ["" if math.isnan(value) else format_values([float(f"{value:.{digits}g}")], digits)[0] for value in values]


@checked
@idle("ddf", when=lambda given: given["intervals"] == "profile", why="profile intervals have no degrees of freedom")
def recover(
    truth: Truth,
    fits: LinearMixedModel | Iterable[LinearMixedModel] | Study | pd.DataFrame,
    *,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    intervals: Literal["wald", "profile"] = "wald",
) -> Recovery:
    """Compare estimates with the parameters that data were simulated with.

    Parameters
    ----------
    truth : Truth
        What the data were made with.
    fits : LinearMixedModel, iterable of them, Study or DataFrame
        One fit, or many of data from the same design: fits, what `DataDesign.study` returns, or the data frame that a fit's
        `refit_many` returns (which has estimates alone).
    level : float
        Confidence level of the intervals.
    ddf : str
        The degrees of freedom of the fixed effects' intervals.
    intervals : {"wald", "profile"}
        The intervals: Wald's, for standard deviations on the scale of their logarithm and for correlations on Fisher's; or
        for given fits from the profile likelihood, which takes longer.

    Returns
    -------
    Recovery
        It prints as a table of fixed effects, standard deviations, correlations and σ; `to_frame` has the numbers.

    Raises
    ------
    ControlError
        Intervals are none of these.
    DataTypeError
        An argument is something else.

    Notes
    -----
    Parameters that only the truth or only the fits have are listed with what is known of them. The measures and their Monte Carlo
    standard errors are those of Morris, White & Crowther (2019, Statistics in Medicine 38).

    Examples
    --------
    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "y ~ x + (1 | school)",
    ...     levels={"school": 30, "pupil": 20},
    ...     predictors={"x": "normal(0, 1)"},
    ...     fixed={"(Intercept)": 50, "x": 3},
    ...     random={"school": 4},
    ...     sigma=8,
    ... )
    >>> frame, truth = design.draw(rng=1)
    >>> print(ml.recover(truth, ml.lmer(design.formula, frame)))
    Recovery of the parameters in 1 fit
    Model: y ~ x + (1 | school)
    <BLANKLINE>
                          truth estimate bias std. error 95% interval covered
    ...
    >>> study = design.study(100, rng=1)
    >>> ml.recover(truth, study).to_frame().coverage.round(2).to_dict()
    {'(Intercept)': 0.96, 'x': 0.95, 'sd_(Intercept)|school': 0.98, 'sigma': 0.94}
    """
    import pandas as pd

    check_level(level)
    if not isinstance(truth, Truth):
        raise DataTypeError(f"truth must be what DataDesign.draw returned beside the data, not {type(truth).__name__}.")
    if isinstance(fits, Study):
        if level != fits.level:
            raise ControlError(f"The study's intervals have the level {fits.level:g}; make it with level={level:g}.")
        return _many(truth, fits)
    if isinstance(fits, pd.DataFrame):
        return _many(truth, _from_refits(truth, fits, level))
    models = [fits] if isinstance(fits, LinearMixedModel) else list(fits)
    for model in models:
        if not isinstance(model, LinearMixedModel):
            raise DataTypeError(f"recover takes fitted models, not {type(model).__name__}.")
    if not models:
        raise DataTypeError("recover needs at least one fit.")
    numbers = [_numbers(model, level, ddf, intervals) for model in models]
    if isinstance(fits, LinearMixedModel):
        return _single(truth, fits, numbers[0], level)
    states = [(model.convergence.converged, model.is_singular) for model in models]
    return _many(truth, Study.of(truth, numbers, states, level))


def _numbers(fit: LinearMixedModel, level: float, ddf: str, intervals: str) -> FitNumbers:
    found = fit_numbers(fit, level, ddf)
    if intervals == "wald":
        return found
    table = fit.confint("profile", level=level).loc[list(found.names)]
    low, high = (table[name].to_numpy(dtype=np.float64) for name in ("conf_low", "conf_high"))
    return FitNumbers(found.names, found.estimates, found.std_errors, low, high)


def _single(truth: Truth, fit: LinearMixedModel, numbers: FitNumbers, level: float) -> Recovery:
    import pandas as pd

    true = truth.parameters
    found = pd.DataFrame(
        {
            "estimate": numbers.estimates,
            "std_error": numbers.std_errors,
            "conf_low": numbers.conf_low,
            "conf_high": numbers.conf_high,
        },
        index=list(numbers.names),
    )
    names = [*true.index, *(name for name in numbers.names if name not in true.index)]
    frame = found.reindex(names)
    frame.insert(0, "truth", true.reindex(names))
    frame.insert(2, "bias", frame["estimate"] - frame["truth"])
    frame.insert(3, "relative_bias", _relative(frame["bias"], frame["truth"]))
    known = frame[["truth", "conf_low", "conf_high"]].notna().all(axis=1)
    inside = (frame["conf_low"] <= frame["truth"]) & (frame["truth"] <= frame["conf_high"])
    frame["covered"] = inside.astype(object).where(known, None)
    return Recovery(truth.formula, 1, int(not fit.convergence.converged), int(fit.is_singular), level, frame)


def _relative(bias: pd.Series[float], truth: pd.Series[float]) -> pd.Series[float]:
    return bias / truth.where(truth != 0.0)


def _many(truth: Truth, study: Study) -> Recovery:
    import pandas as pd

    true = truth.parameters
    names = [*true.index, *(name for name in study.estimates.columns if name not in true.index)]
    kept = study.converged
    rows = []
    for name in names:
        value = float(true.get(name, np.nan))
        if name not in study.estimates.columns:
            rows.append((value, *[np.nan] * 10, 0))
            continue
        estimates = study.estimates[name].to_numpy(dtype=np.float64)[kept]
        errors = study.std_errors[name].to_numpy(dtype=np.float64)[kept]
        low = study.conf_low[name].to_numpy(dtype=np.float64)[kept]
        high = study.conf_high[name].to_numpy(dtype=np.float64)[kept]
        estimates, errors = estimates[np.isfinite(estimates)], errors[np.isfinite(errors)]
        n = estimates.size
        mean = float(estimates.mean()) if n else np.nan
        spread = float(estimates.std(ddof=1)) if n > 1 else np.nan
        bias = mean - value
        rmse = math.sqrt(float(np.mean((estimates - value) ** 2))) if n else np.nan
        model = math.sqrt(float(np.mean(errors**2))) if errors.size else np.nan
        known = np.isfinite(low) & np.isfinite(high)
        n_intervals = int(known.sum()) if np.isfinite(value) else 0
        covered = int(((low[known] <= value) & (value <= high[known])).sum())
        share = covered / n_intervals if n_intervals else np.nan
        bounds = share_interval(covered, n_intervals, 0.95)
        relative = bias / value if value != 0.0 else np.nan
        mc_error = spread / math.sqrt(n) if n else np.nan
        rows.append((value, mean, bias, mc_error, relative, spread, rmse, model, share, *bounds, n_intervals))
    columns = [
        "truth", "mean_estimate", "bias", "bias_std_error", "relative_bias", "empirical_sd", "rmse", "mean_std_error", "coverage",
        "coverage_low", "coverage_high", "n_intervals",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns, index=names)
    return Recovery(truth.formula, study.n, int((~kept).sum()), int(study.singular.sum()), study.level, frame)


def _from_refits(truth: Truth, refits: pd.DataFrame, level: float) -> Study:
    """Return the estimates of `refit_many` under the names of the parameters."""
    import pandas as pd

    coefficients = [str(name) for name in truth.fixef.index]
    *theta, sigma_name, criterion, converged_name = apart_from(
        [*truth.theta.index, "sigma", "criterion", "converged"], coefficients
    )
    needed = [*theta, sigma_name, converged_name]
    absent = [name for name in needed if name not in refits.columns]
    if absent:
        raise DataTypeError(
            f"The data frame has no column {absent[0]!r}; it must be what refit_many returned for a model with the truth's "
            "random effects."
        )
    terms: tuple[TermNames, ...] = truth._terms
    beside = {*needed, criterion}
    fixed = [name for name in refits.columns if name not in beside]
    sigmas = refits[sigma_name].to_numpy(dtype=np.float64)
    rows: list[list[float]] = []
    names: list[str] = []
    for relative, sigma in zip(refits[theta].to_numpy(dtype=np.float64), sigmas, strict=True):
        factors = [sigma * factor for factor in theta_factors(terms, relative)]
        names, values = parameter_values(components_of(terms, factors, sigma))
        rows.append([*values, sigma])
    numbers = np.column_stack([refits[fixed].to_numpy(dtype=np.float64), np.array(rows)])
    estimates = pd.DataFrame(numbers, columns=[*fixed, *apart_from([*names, "sigma"], fixed)])
    none = estimates * np.nan
    converged = refits[converged_name].to_numpy(dtype=np.bool_)
    singular = np.zeros(len(refits), dtype=np.bool_)
    return Study(truth, estimates, none, none, none, converged, singular, level, 0, "")
