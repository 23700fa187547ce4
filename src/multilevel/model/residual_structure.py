"""The estimated residual structure, and what it means for the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import codes_for
from multilevel.data.levels import Levels
from multilevel.engine.accumulate import correlate_rows
from multilevel.engine.whitening import relative_residual_covariance, whitened_rows
from multilevel.errors import ControlError, DataError
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.residual import stratum_factor

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.data.frames import Frame
    from multilevel.engine.fit import EngineFit
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResidualStructure:
    """Residual standard deviations by stratum and the correlation of residuals.

    Attributes
    ----------
    by : str or None
        The factor whose levels differ in residual variance.
    levels : tuple of str
        Its levels; the first is the one that σ belongs to.
    standard_deviations : ndarray
        The residual standard deviation of each.
    kind : str or None
        ``"ar1"`` or ``"car1"``.
    time, within : str or None
        The time, and the groups within which residuals are correlated.
    rho : float or None
        The correlation of residuals one unit of time apart.
    """

    by: str | None
    levels: tuple[str, ...]
    standard_deviations: FloatArray
    kind: str | None
    time: str | None
    within: str | None
    rho: float | None

    def to_frame(self) -> pd.DataFrame:
        """Return the strata: ``level``, ``std_dev`` and ``ratio`` to the first; without strata, the one of all rows."""
        import pandas as pd

        levels = list(self.levels) or ["(all rows)"]
        ratio = self.standard_deviations / self.standard_deviations[0]
        return pd.DataFrame({"level": levels, "std_dev": self.standard_deviations, "ratio": ratio})

    def __repr__(self) -> str:
        """Return the table."""
        from multilevel.reporting.variance_table import residual_structure_table

        return residual_structure_table(self).to_text()

    __str__ = __repr__


def residual_structure(fit: LinearMixedModel) -> ResidualStructure | None:
    """Return the estimated residual structure of a fit."""
    found = fit._engine.residual
    if found is None:
        return None
    own = found.model.design
    deviations = fit.sigma * found.model.ratios(found.delta)
    deviations.flags.writeable = False
    rho = None if own.kind is None else found.model.rho(found.delta)[0]
    return ResidualStructure(own.stratum_name, own.strata, deviations, own.kind, own.time_name, own.within_name, rho)


def residual_parameter_names(fit: LinearMixedModel) -> list[str]:
    """Return ``sd_ratio_<level>`` for every stratum after the first, and ``rho``."""
    own = fit._design.residual
    if own is None:
        return []
    return [*(f"sd_ratio_{level}" for level in own.strata[1:]), *(["rho"] if own.kind is not None else [])]


def mean_residual_variance(engine: EngineFit) -> float:
    """Return the mean over the rows of the variance of their residuals, that of a prior weight of one.

    This is σ² where residuals have one variance, correlated or not, and with strata σ²·Σₕ nₕκₕ²/n, κ the ratios to the first.
    """
    found = engine.residual
    shares = np.ones(1) if found is None else found.model.stratum_shares
    ratios = np.ones(1) if found is None else found.model.ratios(found.delta)
    return engine.sigma**2 * float(shares @ ratios**2)


def relative_deviations(fit: LinearMixedModel) -> FloatArray:
    """Return the residual standard deviation of each row divided by σ."""
    design, found = fit._design, fit._engine.residual
    result = np.ones(design.nobs) if design.weights is None else 1.0 / np.sqrt(design.weights)
    if found is not None:
        result = result * found.model.ratios(found.delta)[found.model.design.stratum_codes]
    return result


def new_deviations(fit: LinearMixedModel, frame: Frame) -> FloatArray:
    """Return the residual standard deviation of new rows divided by σ, prior weights left out.

    Raises
    ------
    DataError
        A new row has a level of the strata that the fit does not know.
    """
    found, encoder = fit._engine.residual, fit._design.encoder
    if found is None or found.model.design.stratum_name is None:
        return np.ones(frame.n_rows)
    own = found.model.design
    assert own.stratum_name is not None
    factor = stratum_factor(own.stratum_name, Evaluator(frame, None if encoder is None else encoder.state))
    codes = codes_for(factor, Levels(own.strata))
    unknown = np.flatnonzero((codes < 0) & (factor.codes >= 0))
    if unknown.size:
        level = factor.levels.names[factor.codes[unknown[0]]]
        raise DataError(
            f"The new data have the level {level!r} of {own.stratum_name!r}, whose residual variance the fit does not know;"
            f" it knows {', '.join(own.strata)}."
        )
    return np.append(found.model.ratios(found.delta), np.nan)[codes]


def whitened(fit: LinearMixedModel, residuals: FloatArray) -> FloatArray:
    """Return residuals freed of their correlations and of what is known of their variances."""
    design, found = fit._design, fit._engine.residual
    if design.weights is not None:
        residuals = residuals * np.sqrt(design.weights)
    return residuals if found is None else whitened_rows(found.model, found.delta, residuals)


def residual_covariance(fit: LinearMixedModel, rows: npt.NDArray[np.intp]) -> FloatArray:
    """Return the covariance matrix of some rows' residuals."""
    design, found = fit._design, fit._engine.residual
    weights = np.ones(rows.size) if design.weights is None else 1.0 / np.sqrt(design.weights[rows])
    if found is None:
        return np.diag(fit.sigma**2 * weights**2)
    inner = relative_residual_covariance(found.model, found.delta, rows)
    result: FloatArray = fit.sigma**2 * (weights[:, None] * inner * weights)
    return result


def correlate(fit: LinearMixedModel, independent: FloatArray) -> FloatArray:
    """Give independent residuals, shape (count, n), in place the correlations of a fit's residual structure."""
    found = fit._engine.residual
    if found is not None and found.model.design.kind is not None:
        own = found.model.design
        correlate_rows(own.sequence, own.previous, found.model.links(found.delta, own.gap)[0], independent)
    return independent


def residual_note(fit: LinearMixedModel) -> str:
    """Return what distinguishes a model's residuals, in a few words after its formula; empty where they are independent."""
    own = fit._design.residual
    if own is None:
        return ""
    found = []
    if own.stratum_name is not None:
        found.append(f"variance by {own.stratum_name}")
    if own.kind is not None:
        name = "AR(1)" if own.kind == "ar1" else "continuous AR(1)"
        found.append(f"{name}{f' over {own.time_name}' if own.time_name else ''} within {own.within_name}")
    return f"; residuals: {', '.join(found)}"


def refuse_structures(fit: LinearMixedModel, what: str, *, residual: bool = True, related: bool = True) -> None:
    """Refuse what is not worked out for models with a residual structure or with related levels.

    Parameters
    ----------
    fit
        The fitted model.
    what
        What is refused, as the subject of a sentence in the singular.
    residual, related
        Which of the two are refused.

    Raises
    ------
    ControlError
        The model has such a structure.
    """
    if residual and fit._design.residual is not None:
        raise ControlError(
            f"{what} is not available for models with a residual structure (var_ident, cor_ar1, cor_car1)."
        )
    names = [term.factor.name for term in fit._design.random if term.factor.relation is not None]
    if related and names:
        raise ControlError(f"{what} is not available for models with related levels (those of {names[0]!r}).")
