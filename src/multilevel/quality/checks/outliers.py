"""Rows that the model does not fit, or that move it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from multilevel.arguments import Share, checked, idle
from multilevel.quality.checks.heteroscedasticity import PLOTTED
from multilevel.quality.checks.result import Check, listed, not_checked, number
from multilevel.quality.influence import cooks_distance
from multilevel.quality.leverage import hatvalues
from multilevel.quality.residuals import rstudent

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel


@checked
@idle("level", when=lambda given: given["threshold"] is not None, why="threshold is given")
def check_outliers(fit: LinearMixedModel, threshold: float | None = None, *, level: Share = 0.05) -> Check:
    """Check for rows with a large Cook's distance or a large residual.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    threshold : float, optional
        Cook's distance above which a row is named; by default the median of the F distribution with p and n − p degrees of freedom,
        as in R's ``performance::check_outliers``.
    level : float
        Level of the test that the largest externally studentised residual is that of one outlier, adjusted by Bonferroni for the
        number of rows (R's ``car::outlierTest``).

    Returns
    -------
    Check
        ``table``: the rows found, with ``cooks_distance``, ``studentised_residual``, ``p_value`` (adjusted) and ``leverage``, the
        largest residual first. ``data``: the same for all rows, or for the 5000 largest distances.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> list(ml.check_outliers(fit).table.index)
    [56, 59, 7, 130]
    """
    import pandas as pd
    from scipy import stats

    n, p = fit.nobs, fit._design.n_fixed
    if p == 0:
        return not_checked("outliers", "The model has no fixed effects, by whose number Cook's distance is divided.")
    limit = float(stats.f.ppf(0.5, p, n - p)) if threshold is None else float(threshold)
    residual = rstudent(fit, external=True)
    df = max(fit._engine.objective.residual_df - 1, 1)
    frame = pd.DataFrame(
        {
            "cooks_distance": cooks_distance(fit),
            "studentised_residual": residual,
            "p_value": np.minimum(n * 2.0 * stats.t.sf(np.abs(residual), df), 1.0),
            "leverage": hatvalues(fit),
        }
    )
    found = (frame["cooks_distance"] > limit) | (frame["p_value"] < level)
    by_residual = frame["studentised_residual"].abs().sort_values(ascending=False, kind="stable").index
    table = (
        frame.loc[found].reindex([label for label in by_residual if found[label]])
        if found.index.is_unique
        else frame[found]
    )
    table.index.name = "row"
    far = int((frame["p_value"] < level).sum())
    moving = int((frame["cooks_distance"] > limit).sum())
    parts = []
    if moving:
        parts.append(f"{moving} {'row has' if moving == 1 else 'rows have'} a Cook's distance above {number(limit)}")
    if far:
        parts.append(
            f"{far} {'row has a residual' if far == 1 else 'rows have residuals'} larger than chance allows (studentised,"
            " Bonferroni)"
        )
    if parts:
        names = listed([str(label) for label in table.index])
        text = f"{' and '.join(parts)}: {names}. Look at these rows; `influence` tells what the estimates would be without them."
    else:
        worst = frame["cooks_distance"].idxmax()
        text = (
            f"No outliers: the largest Cook's distance is {number(float(frame['cooks_distance'].max()))} (row {worst}; threshold"
            f" {number(limit)}), and no studentised residual is larger than chance allows."
        )
    numbers = {
        "threshold": limit,
        "largest_cooks_distance": float(frame["cooks_distance"].max()),
        "n_outliers": float(found.sum()),
    }
    data = frame if len(frame) <= PLOTTED else frame.nlargest(PLOTTED, "cooks_distance")
    return Check("outliers", not parts, text, numbers, table, data)
