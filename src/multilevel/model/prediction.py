"""Predictions of a fit for its own rows and for new data, with standard errors and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import IntervalName, MethodName, Seed
from multilevel.data.frames import Frame
from multilevel.engine.fit import EngineFit
from multilevel.engine.prediction import relative_variances
from multilevel.engine.withheld import variances_at_all
from multilevel.errors import ControlError, DataError
from multilevel.model.posterior import draw_parameters
from multilevel.model.prediction_rows import PredictionRows, check_na_action, new_rows, row_numbers, training_rows
from multilevel.model.random_selection import select_random
from multilevel.model.residual_structure import new_deviations, relative_deviations

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

INTERVALS = ("confidence", "prediction")
METHODS = ("analytic", "simulation")

NUMBERS_AT_ONCE = 4_000_000
"""Simulated values held at once."""


def predict(
    fit: LinearMixedModel,
    newdata: Any = None,
    *,
    re_formula: Any = None,
    allow_new_levels: bool = False,
    se: bool = False,
    interval: IntervalName | None = None,
    level: float = 0.95,
    method: MethodName = "analytic",
    n: int = 1000,
    rng: Seed = None,
    offset: Any = None,
    weights: Any = None,
    na_action: str | None = None,
) -> pd.Series[float] | pd.DataFrame:
    """Predict (see `LinearMixedModel.predict`)."""
    import pandas as pd

    _check_options(interval, level, method, newdata, offset, weights)
    chosen = select_random(fit, re_formula)
    own = newdata is None
    action = fit._design.na_action if own and na_action is None else na_action
    action = check_na_action("pass" if action is None else action)
    if own:
        rows = training_rows(fit, chosen)
        error_scale = training_error_scale(fit) if interval == "prediction" else None
    else:
        frame = Frame(newdata)
        rows = new_rows(fit, frame, chosen, allow_new_levels=allow_new_levels, offset=offset)
        error_scale = new_error_scale(fit, frame, weights) if interval == "prediction" else None
        if rows.missing is not None and action == "fail":
            raise DataError(
                f"{int(rows.missing.sum())} of {len(rows.missing)} rows of the new data lack a value;"
                " fill them in, or use na_action='pass' to get NaN for them."
            )
        if rows.missing is not None and action == "omit":
            keep = ~rows.missing
            rows, error_scale = rows.keep(keep), None if error_scale is None else error_scale[keep]
    columns = {"fit": point_predictions(fit, rows)}
    if se or interval is not None:
        if method == "simulation":
            columns |= _simulated(fit, rows, error_scale, interval, level, n, rng)
        else:
            columns |= _analytic(fit, rows, error_scale, interval, level)
    if rows.unknown is not None:
        for values in columns.values():
            values[rows.unknown] = np.nan
    result = pd.DataFrame(columns, index=rows.labels)
    design = fit._design
    if own and action == "pass" and design.kept is not None:
        labels = pd.RangeIndex(design.n_rows) if design.row_labels is None else design.row_labels
        whole = pd.DataFrame(np.nan, index=labels, columns=result.columns)
        whole.iloc[np.flatnonzero(design.kept)] = result.to_numpy()
        result = whole
    return result if se or interval is not None else result["fit"]


def _check_options(interval: str | None, level: float, method: str, newdata: Any, offset: Any, weights: Any) -> None:
    if interval is not None and interval not in INTERVALS:
        raise ControlError(f"interval must be None, 'confidence' or 'prediction', not {interval!r}.")
    if method not in METHODS:
        raise ControlError(f"method must be 'analytic' or 'simulation', not {method!r}.")
    if not 0.0 < level < 1.0:
        raise ControlError(f"The confidence level must lie between 0 and 1; it is {level}.")
    if newdata is None and (offset is not None or weights is not None):
        raise ControlError("offset and weights are those of new data; the rows of the fit have their own.")


def point_predictions(fit: LinearMixedModel, rows: PredictionRows) -> FloatArray:
    """Return Xβ̂ + Zb̂ + offset; levels that the fit does not know add nothing."""
    result: FloatArray = rows.x @ fit._engine.beta
    if rows.offset is not None:
        result += rows.offset
    for part in rows.effects:
        modes = fit._modes[part.term]
        # The last row, which −1 finds, is that of a level that is not known.
        padded = np.vstack([modes, np.zeros(modes.shape[1])])
        for c in range(modes.shape[1]):
            result += part.z[:, c] * padded[part.codes, c]
    return result


def prediction_variances(fit: LinearMixedModel, rows: PredictionRows) -> FloatArray:
    """Return the variances of the predictions about Xβ + Zb: those of β̂ and b̂, and of the effects of new levels."""
    _refuse_new_relatives(fit, rows)
    return variances_at_all(fit._engine, lambda engine: _variances_at(engine, rows), rows.x)


def _variances_at(engine: EngineFit, rows: PredictionRows) -> FloatArray:
    result = engine.sigma**2 * relative_variances(engine, rows.x, rows.effects)
    for part, new in zip(rows.effects, rows.new, strict=True):
        if new is not None:
            at = new >= 0
            scaled = part.z[at] @ (engine.sigma * engine.term_factors()[part.term])
            result[at] += (scaled * scaled).sum(axis=1)
    return result


def _refuse_new_relatives(fit: LinearMixedModel, rows: PredictionRows) -> None:
    """Refuse errors of predictions for levels that the fit does not know where levels are related."""
    for part, new in zip(rows.effects, rows.new, strict=True):
        factor = fit._terms[part.term].factor
        if factor.relation is not None and new is not None and (new >= 0).any():
            raise ControlError(
                f"The standard error of a prediction is not available for new levels of {factor.name!r}, whose levels are related;"
                f" leave out the rows with new levels, or predict for the population with re_formula='~0'"
                f" (fit.relatives({factor.name!r}) gives the effects of levels of the matrix that have no rows)."
            )


def training_error_scale(fit: LinearMixedModel) -> FloatArray:
    """Return the residual standard deviation of the rows of the fit divided by σ."""
    return relative_deviations(fit)


def new_error_scale(fit: LinearMixedModel, frame: Frame, weights: Any) -> FloatArray:
    """Return the residual standard deviation of new rows divided by σ."""
    return new_deviations(fit, frame) * _new_weights(fit, frame, weights)


def _new_weights(fit: LinearMixedModel, frame: Frame, weights: Any) -> FloatArray:
    """Return 1/√w of new rows."""
    argument = weights if weights is not None else getattr(fit._data, "arguments", {}).get("weights")
    if argument is None:
        return np.ones(frame.n_rows)
    if weights is None and (not isinstance(argument, str) or argument not in frame):
        raise DataError(
            "The fit has prior weights, so that the residual variance of new rows depends on theirs; give weights= (a column,"
            " a number or one per row; 1 stands for the variance sigma²)."
        )
    values = row_numbers(frame, argument, "weights")
    if not (values[~np.isnan(values)] > 0).all():
        raise DataError("weights must be positive.")
    return 1.0 / np.sqrt(values)


def _analytic(
    fit: LinearMixedModel, rows: PredictionRows, error_scale: FloatArray | None, interval: str | None, level: float
) -> dict[str, FloatArray]:
    """Return standard errors and normal intervals."""
    from scipy.special import ndtri

    variances = prediction_variances(fit, rows)
    found = {"std_error": np.sqrt(variances)}
    if interval is not None:
        total = variances if error_scale is None else variances + (fit.sigma * error_scale) ** 2
        half = float(ndtri(0.5 + 0.5 * level)) * np.sqrt(total)
        middle = point_predictions(fit, rows)
        found |= {"conf_low": middle - half, "conf_high": middle + half}
    return found


def _simulated(
    fit: LinearMixedModel,
    rows: PredictionRows,
    error_scale: FloatArray | None,
    interval: str | None,
    level: float,
    n: int,
    rng: Seed,
) -> dict[str, FloatArray]:
    """Return standard deviations and quantiles of draws from the joint distribution of the effects."""
    _refuse_new_relatives(fit, rows)
    generator = np.random.default_rng(rng)
    sigma, beta, effects = draw_parameters(fit, n, generator)
    factors = fit._engine.term_factors()
    fresh = [
        None if new is None else _new_effects(generator, n, int(new.max()) + 1, factors[part.term], sigma)
        for part, new in zip(rows.effects, rows.new, strict=True)
    ]
    count = rows.x.shape[0]
    error, low, high = np.empty(count), np.empty(count), np.empty(count)
    step = max(1, NUMBERS_AT_ONCE // n)
    for first in range(0, count, step):
        inside = slice(first, min(first + step, count))
        draws = beta @ rows.x[inside].T
        if rows.offset is not None:
            draws += rows.offset[inside]
        for part, new, own in zip(rows.effects, rows.new, fresh, strict=True):
            codes, z = part.codes[inside], part.z[inside]
            known = np.flatnonzero(codes >= 0)
            draws[:, known] += np.einsum("mik,ik->mi", effects[part.term][:, codes[known]], z[known])
            if new is not None and own is not None:
                at = np.flatnonzero(new[inside] >= 0)
                draws[:, at] += np.einsum("mik,ik->mi", own[:, new[inside][at]], z[at])
        error[inside] = draws.std(axis=0, ddof=1) if n > 1 else np.nan
        if interval is not None:
            if error_scale is not None:
                draws += generator.standard_normal(draws.shape) * sigma[:, None] * error_scale[inside]
            low[inside], high[inside] = np.quantile(draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    return {"std_error": error} if interval is None else {"std_error": error, "conf_low": low, "conf_high": high}


def _new_effects(rng: np.random.Generator, n: int, levels: int, factor: FloatArray, sigma: FloatArray) -> FloatArray:
    """Draw the effects of levels that the fit does not know, shape (n, levels, k)."""
    drawn = rng.standard_normal((n, levels, factor.shape[0])) @ factor.T
    return np.asarray(drawn * sigma[:, None, None], dtype=np.float64)
