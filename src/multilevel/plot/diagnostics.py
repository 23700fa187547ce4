"""One page of pictures that show whether a model's assumptions hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked
from multilevel.errors import ControlError
from multilevel.plot.pages import page_of
from multilevel.plot.quantiles import quantile_picture, random_effects_quantiles
from multilevel.plot.residuals import residuals_data, scatter
from multilevel.plot.style import BLUE, caption, counted, plotnine, sampled, theme
from multilevel.quality.checks.normality import check_normality
from multilevel.quality.influence import cooks_distance
from multilevel.quality.leverage import hatvalues
from multilevel.quality.residuals import rstandard

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

PANELS = ("resid", "qq", "scale", "leverage", "qq_random")
NAMED_ROWS, SHOWN_ROWS = 3, 20
"""Rows of largest Cook's distance that are named, and that are drawn whatever the sample."""
WIDTH = 4.7
"""Width of one picture in inches."""


def diagnostics_data(fit: LinearMixedModel) -> pd.DataFrame:
    """Return what the diagnostic pictures show of each row used.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    pandas.DataFrame
        By row label ``fitted``, ``residual`` (Pearson's), ``standardised`` (`rstandard`), ``spread`` (the square root of its
        absolute value), ``leverage`` (`hatvalues`) and ``cooks_distance`` (NaN where the model has no fixed effects).

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.diagnostics import diagnostics_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> diagnostics_data(fit).round(3).loc[0].to_dict()
    {'fitted': 253.664, 'residual': -4.104, 'standardised': -0.183, 'spread': 0.427, 'leverage': 0.229, 'cooks_distance': 0.005}
    """
    import pandas as pd

    columns = {"standardised": rstandard(fit), "leverage": hatvalues(fit)}
    if fit._design.n_fixed:
        columns["cooks_distance"] = cooks_distance(fit)
    rows = pd.DataFrame(columns)
    if len(rows) != fit.nobs:  # na_action="exclude" gives the rows left out back
        rows = rows.loc[np.asarray(fit._design.kept)]
    rows.insert(0, "fitted", fit._fitted_values)
    rows.insert(1, "residual", fit._residual_values("pearson"))
    rows.insert(3, "spread", np.sqrt(rows["standardised"].abs()))
    return rows if "cooks_distance" in rows else rows.assign(cooks_distance=np.nan)


@checked
def plot_diagnostics(fit: LinearMixedModel, panels: str | Sequence[str] | None = None) -> Any:
    """Draw the diagnostics of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    panels : str or sequence of str, optional
        Which pictures: ``"resid"`` residuals against fitted values; ``"qq"`` normal quantiles of the standardised residuals with
        pointwise 95% bands; ``"scale"`` the square root of their absolute values against fitted values; ``"leverage"`` Cook's
        distance against leverage; ``"qq_random"`` normal quantiles of the standardised conditional modes of each term. By default
        all that the model has.

    Returns
    -------
    plotnine.composition.Compose or plotnine.ggplot
        The pictures on one page: ``page & theme_bw()`` adds to each of them. One picture alone is a ggplot.

    Raises
    ------
    ControlError
        There is no such picture, or the model has nothing to show in it.
    """
    p9 = plotnine()
    wanted = [panels] if isinstance(panels, str) else list(PANELS if panels is None else panels)
    unknown = [name for name in wanted if name not in PANELS]
    if unknown or not wanted:
        raise ControlError(f"panels must be among {', '.join(map(repr, PANELS))}, not {panels!r}.")
    makers: dict[str, Callable[[LinearMixedModel], Any]] = {
        "resid": _residuals, "qq": _quantiles, "scale": _spread, "leverage": _leverage, "qq_random": _random_quantiles,
    }  # fmt: skip
    found, missing = {}, []
    for name in dict.fromkeys(wanted):
        try:
            found[name] = makers[name](fit)
        except ControlError as problem:
            if panels is not None:
                raise
            missing.append(str(problem))
    pictures = list(found.values())
    # Panels for several terms need the whole width.
    several = len(wanted) > 1 and "qq_random" in found and sum(len(term.names) for term in fit._terms) > 1
    wide = [pictures.pop(list(found).index("qq_random"))] if several else []
    if missing:
        last = wide or pictures
        last[-1] += p9.labs(caption=caption(*missing, width=WIDTH))
    return page_of(pictures, wide)


def _residuals(fit: LinearMixedModel) -> Any:
    label = f"Fitted {fit._design.response_name}"
    return scatter(residuals_data(fit), label, "Pearson residual", "Residuals against fitted values", width=WIDTH)


def _spread(fit: LinearMixedModel) -> Any:
    rows = diagnostics_data(fit)
    data = rows.rename(columns={"fitted": "x"}).drop(columns="residual").rename(columns={"spread": "residual"})
    data = data[np.isfinite(data["residual"])]
    return scatter(
        data, f"Fitted {fit._design.response_name}", "√|standardised residual|", "Spread of the residuals", zero=False,
        width=WIDTH,
    )  # fmt: skip


def _quantiles(fit: LinearMixedModel) -> Any:
    data = check_normality(fit, "residuals").data
    return quantile_picture(data, "Standardised residual", "Quantiles of the residuals", WIDTH)


def _random_quantiles(fit: LinearMixedModel) -> Any:
    data = check_normality(fit, "random").data
    if data.empty:
        raise ControlError("There are no quantiles of random effects: no term has three levels whose effects vary.")
    return random_effects_quantiles(data, "Quantiles of the random effects", WIDTH)[0]


def _leverage(fit: LinearMixedModel) -> Any:
    if not fit._design.n_fixed:
        raise ControlError("There is no Cook's distance: the model has no fixed effects.")
    p9 = plotnine()
    rows = diagnostics_data(fit)
    data = rows[np.isfinite(rows["cooks_distance"])]
    if data.empty:
        raise ControlError("There is no Cook's distance: every row has leverage one.")
    order = np.argsort(-data["cooks_distance"].to_numpy(), kind="stable")
    # The largest are what the picture is for: they are never left out.
    kept = np.union1d(sampled(len(data)), order[:SHOWN_ROWS])
    named = data.iloc[order[:NAMED_ROWS]].assign(row=lambda own: own.index.astype(str))
    notes = [f"The rows of the {len(named)} largest distances are named."]
    if len(kept) < len(data):
        notes.append(f"{counted(len(kept))} of {counted(len(data))} rows are drawn: the largest and others at random.")
    if len(data) < len(rows):
        notes.append(f"{len(rows) - len(data)} rows of leverage one have no distance.")
    few = len(kept) <= 500
    return (
        p9.ggplot(data.iloc[kept], p9.aes("leverage", "cooks_distance"))
        + p9.geom_point(color=BLUE, alpha=0.8 if few else 0.4, size=1.6 if few else 0.9, stroke=0)
        + p9.geom_text(p9.aes(label="row"), data=named, size=8, va="bottom", nudge_y=0.01 * named["cooks_distance"].max())
        + p9.scale_x_continuous(expand=(0.06, 0))
        + p9.scale_y_continuous(expand=(0.04, 0, 0.1, 0))
        + p9.labs(
            x="Leverage", y="Cook's distance", title="Influence of the rows", caption=caption(*notes, width=WIDTH)
        )
        + theme(WIDTH, 3.4)
    )  # fmt: skip
