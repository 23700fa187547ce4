"""Leverage: how much each response moves its own fitted value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.quality.row_solutions import row_solutions

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
LeveragePart = Literal["total", "fixed", "random"]


@checked
def hatvalues(fit: LinearMixedModel, part: LeveragePart = "total") -> pd.Series[float]:
    """Return the leverage of each row: the derivative of its fitted value by its own response, at the fit's theta.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    part : {"total", "fixed", "random"}
        ``"total"``: of the fitted values with the conditional modes in them, diag(I − W⁻¹P). ``"fixed"``: of Xβ alone, the diagonal
        of X(XᵀV⁻¹X)⁻¹XᵀV⁻¹. ``"random"``: of Zb alone, the diagonal of ZΨZᵀP. The last two add up to the first (Demidenko & Stukel
        2005, Statistics in Medicine 24, section 3).

    Returns
    -------
    pandas.Series
        One value for each row. The sum of the first kind is the effective number of parameters of the conditional model
        (Vaida & Blanchard 2005), that of the second the number of fixed effects.

    Raises
    ------
    ControlError
        There is no such part.

    Notes
    -----
    Agrees with R's ``hatvalues(fit)`` of lme4. It is worked out from the fit's factor row by row; no n × n matrix is formed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.hatvalues(fit).head(3).round(4).tolist()
    [0.2293, 0.1697, 0.1268]
    >>> round(float(ml.hatvalues(fit, "fixed").sum()), 6)
    2.0
    """
    rows = row_solutions(fit)
    values = rows.leverage
    if part != "total":
        fixed = _fixed_leverage(fit)
        values = fixed if part == "fixed" else values - fixed
    return fit._by_row(values, "leverage")


def _fixed_leverage(fit: LinearMixedModel) -> FloatArray:
    rows, scaling = row_solutions(fit), fit._engine.products.fixed
    result = np.zeros(fit.nobs)
    for c, place in enumerate(scaling.places):
        result += (fit._design.columns[:, place] - scaling.shift[c]) * scaling.scale[c] * rows.gain[:, c]
    return result
