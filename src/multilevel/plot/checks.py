"""The checks of a fit as one page of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import checked
from multilevel.errors import ControlError, DataTypeError
from multilevel.model.fitted import LinearMixedModel
from multilevel.plot.pages import page_of
from multilevel.plot.quantiles import quantile_picture, random_effects_quantiles
from multilevel.plot.residuals import scatter
from multilevel.plot.style import (
    BLUE,
    GREY,
    MOST_POINTS,
    ORANGE,
    SKY,
    VERMILION,
    caption,
    counted,
    listed,
    plotnine,
    sampled,
    shortened,
    theme,
)  # fmt: skip
from multilevel.quality.checks.collinearity import HIGH, MODERATE
from multilevel.quality.checks.model import ModelChecks, check_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from multilevel.quality.checks.result import Check

WIDTH, HEIGHT = 4.9, 3.4
"""Inches of one picture."""
NAMED_ROWS, SHOWN_ROWS = 3, 20
"""Rows of largest Cook's distance that are named, and that are drawn whatever the sample."""
MOST_TERMS = 15
"""Terms whose variance inflation factors are drawn: the largest ones."""
NEAR = 0.4
"""A threshold is drawn where the largest value is at least this part of it."""


def collinearity_data(check: Check) -> pd.DataFrame:
    """Return what the picture of collinearity draws, the largest factor first.

    Returns
    -------
    pandas.DataFrame
        ``term``; ``factor``, vif^(1/df), the variance inflation factor on the scale of a term with one column; ``level``.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.checks import collinearity_data
    >>> fit = ml.lmer("Reaction ~ Days + I(Days**2) + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> collinearity_data(ml.check_collinearity(fit)).round(3).values.tolist()
    [['Days', 3.325, 'low'], ['I(Days^2)', 3.325, 'low']]
    """
    import pandas as pd

    found = check.data
    # Rounding may leave a factor a little below one.
    factor = np.maximum(found["se_factor"] ** 2, 1.0)
    data = pd.DataFrame({"term": found["term"], "factor": factor, "level": found["level"]})
    return data.sort_values("factor", ascending=False, kind="stable", ignore_index=True)


def influence_data(check: Check) -> pd.DataFrame:
    """Return what the picture of influential rows draws, by row label, the largest Cook's distance first.

    Returns
    -------
    pandas.DataFrame
        ``leverage``, ``cooks_distance`` and ``flagged``: whether the check names the row. Rows of leverage one have no distance and
        are left out.
    """
    rows: pd.DataFrame = check.data[["leverage", "cooks_distance"]]
    rows = rows.assign(flagged=rows.index.isin(check.table.index))
    rows = rows[np.isfinite(rows["cooks_distance"].to_numpy(dtype=np.float64))]
    return rows.sort_values("cooks_distance", ascending=False, kind="stable")


@checked
def plot_checks(checks: ModelChecks | LinearMixedModel) -> Any:
    """Draw the checks of a fit on one page (the type ``"checks"`` of `plot_model`).

    Parameters
    ----------
    checks : ModelChecks or LinearMixedModel
        What `check_model` returned, or a fitted model, whose checks are made with their default options.

    Returns
    -------
    plotnine.composition.Compose
        Pictures of the simulated and the observed response; residuals against the predictions of the fixed effects (linearity);
        the spread of the residuals; influential rows; variance inflation factors; normal quantiles of the residuals and of the
        random effects, a panel for each term. The title of a picture gives the verdict of its check, the line below it says what to
        look for, and the last one names the pictures that the model has nothing to show in. ``page & theme_bw()`` adds to each.

    Raises
    ------
    DataTypeError
        What is given are neither checks nor a fitted model.
    ControlError
        None of the checks has anything to draw.
    MissingDependencyError
        plotnine is not installed.

    Notes
    -----
    Of many rows a sample is drawn, the most influential ones always. Linearity is shown against the predictions of the fixed
    effects, because conditional residuals are uncorrelated with these. With fitted values, which contain the random effects, they
    are correlated wherever clusters are small: the curve would rise though nothing is wrong.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> page = ml.plot_checks(ml.check_model(fit))
    >>> page.save("checks.png", verbose=False)  # doctest: +SKIP
    """
    if isinstance(checks, LinearMixedModel):
        checks = check_model(checks)
    if not isinstance(checks, ModelChecks):
        raise DataTypeError(
            f"plot_checks takes what check_model returned, or a fitted model, not a {type(checks).__name__}."
        )
    p9 = plotnine()
    pictures: list[Any] = []
    wide: list[Any] = []
    missing: list[str] = []
    for name, (check_name, draw) in _PANELS.items():
        check = checks.get(check_name)
        if check is None:
            continue
        if check.data.empty:
            missing.append(f"{name}: {check.conclusion}")
            continue
        picture = draw(check)
        if picture is None:
            missing.append(f"{name}: The fixed effects predict the same for every row.")
        else:
            pictures.append(picture)
    check = checks.get("normality of the random effects")
    if check is not None and not check.data.empty:
        picture, terms = random_effects_quantiles(check.data, _title("Normality of the random effects", check), WIDTH)
        picture += p9.labs(subtitle="Points should lie in the grey band.")
        (wide if terms > 1 else pictures).append(picture)
    elif check is not None:
        missing.append(f"Random effects: {check.conclusion}")
    if not pictures and not wide:
        raise ControlError("There is nothing to draw: no check has the data of a picture.")
    if missing:
        last, width = (wide, 2 * WIDTH) if wide else (pictures, WIDTH if len(pictures) % 2 == 0 else 2 * WIDTH)
        text = f"Not drawn. {' '.join(missing)}"
        last[-1] += p9.labs(caption=caption(text, width=width))
    return page_of(pictures, wide, width=2 * WIDTH, row_height=HEIGHT)


def _title(words: str, check: Check) -> str:
    return f"{words}: {check.verdict}"


def _predictions(check: Check) -> Any:
    p9 = plotnine()
    simulated, observed = check.data[check.data["replicate"] > 0], check.data[check.data["replicate"] == 0]
    return (
        p9.ggplot(check.data, p9.aes("response", "density", group="replicate"))
        + p9.geom_line(data=simulated, size=0.4, alpha=0.5, color=SKY)
        + p9.geom_line(data=observed, size=1.2, color=VERMILION)
        + p9.labs(
            x="Response", y="Density", title=_title("Distribution of the response", check),
            subtitle="The thick line should look like one of the thin ones.",
            caption=caption("Thick: observed. Thin: simulated from the model.", width=WIDTH),
        )
        + theme(WIDTH, HEIGHT)
    )  # fmt: skip


def _linearity(check: Check) -> Any:
    data = check.data.rename(columns={"population": "x", "standardised_residual": "residual"})
    data = data[np.isfinite(data["residual"])]
    # Rounding aside, an intercept alone predicts one number.
    if float(np.ptp(data["x"])) <= 1e-9 * float(np.abs(data["x"]).max()):
        return None
    picture = scatter(data, "Prediction of the fixed effects", "Standardised residual", "Linearity", width=WIDTH)
    return picture + plotnine().labs(subtitle="The curve should stay near the dashed line.", caption=_curve_note(data))


def _homogeneity(check: Check) -> Any:
    data = check.data.rename(columns={"fitted": "x", "root_absolute_residual": "residual"})
    data = data[np.isfinite(data["residual"])]
    title = _title("Homogeneity of variance", check)
    picture = scatter(data, "Fitted value", "√|standardised residual|", title, zero=False, width=WIDTH)
    return picture + plotnine().labs(subtitle="The curve should be flat.", caption=_curve_note(data))


def _curve_note(data: pd.DataFrame) -> str:
    # The check holds a part of the rows already, so that their number says nothing.
    return "A part of the rows is drawn. Curve: lowess." if len(data) > MOST_POINTS else "Curve: lowess."


def _influence(check: Check) -> Any:
    p9 = plotnine()
    data = influence_data(check)
    threshold = check.numbers["threshold"]
    largest = float(data["cooks_distance"].max())
    # The largest are what the picture is for: they are never left out.
    kept = np.union1d(sampled(len(data)), np.arange(min(SHOWN_ROWS, len(data))))
    shown = data.iloc[kept].assign(mark=np.where(data["flagged"].iloc[kept], "named by the check", "other rows"))
    named = data.head(NAMED_ROWS)
    few = len(shown) <= 500
    span, middle = float(np.ptp(data["leverage"])), float(data["leverage"].mean())
    picture = (
        p9.ggplot(shown, p9.aes("leverage", "cooks_distance"))
        + p9.geom_point(
            p9.aes(color="mark", shape="mark"), alpha=0.8 if few else 0.5, size=1.8 if few else 1.0, stroke=0
        )
        + p9.geom_text(
            p9.aes(label="row"), data=_apart(named, span, largest), size=8, va="bottom", nudge_y=0.015 * largest
        )
        + p9.scale_color_manual({"named by the check": VERMILION, "other rows": BLUE})
        + p9.scale_shape_manual({"named by the check": "^", "other rows": "o"})
        + p9.scale_y_continuous(expand=(0.04, 0, 0.1, 0))
        + theme(WIDTH, HEIGHT)
        + p9.theme(legend_position="none")
    )
    if span > 1e-6 * middle:
        picture += p9.scale_x_continuous(expand=(0.06, 0))
    else:
        picture += p9.scale_x_continuous(limits=(0.5 * middle, 1.5 * middle))
    if largest >= NEAR * threshold:
        picture += p9.geom_hline(yintercept=threshold, linetype="dashed", color=GREY)
        subtitle = f"Rows above the dashed line ({threshold:.2g}) move the estimates."
    else:
        subtitle = f"No row is near {threshold:.2g}, where rows move the estimates."
    notes = [f"Largest: {'rows' if len(named) > 1 else 'row'} {listed(map(str, named.index))}."]
    if shown["flagged"].any():
        notes.append("Triangles: rows that the check names.")
    if len(shown) < len(data):
        notes.append("A part of the other rows is drawn.")
    return picture + p9.labs(
        x="Leverage", y="Cook's distance", title=_title("Influential rows", check), subtitle=subtitle,
        caption=caption(*notes, width=WIDTH),
    )  # fmt: skip


def _apart(named: pd.DataFrame, span: float, largest: float) -> pd.DataFrame:
    """Return the rows whose names would not stand on each other, the largest first, with ``row``, their names."""
    kept: list[int] = []
    places = named[["leverage", "cooks_distance"]].to_numpy(dtype=np.float64)
    for at, (x, y) in enumerate(places):
        if all(abs(x - places[own, 0]) > 0.12 * span or abs(y - places[own, 1]) > 0.08 * largest for own in kept):
            kept.append(at)
    found = named.iloc[kept]
    return found.assign(row=[str(label) for label in found.index])


def _collinearity(check: Check) -> Any:
    p9 = plotnine()
    data = collinearity_data(check)
    shown = data.head(MOST_TERMS).copy()
    shown["place"] = np.arange(len(shown), 0, -1.0)
    largest = float(shown["factor"].max())
    notes = []
    if (check.data["df"] > 1).any():
        notes.append("Factors of terms with several columns: vif^(1/df).")
    if len(shown) < len(data):
        notes.append(f"The {len(shown)} largest of {counted(len(data))}.")
    # The names stand in the panel: beside it they would push the pictures above and below aside.
    shown["name"] = shortened(shown["term"], 40)
    picture = (
        p9.ggplot(shown, p9.aes("factor", "place"))
        + p9.geom_segment(p9.aes(x=1, xend="factor", yend="place", color="level"), size=0.7)
        + p9.geom_point(p9.aes(color="level", shape="level"), size=2.6)
        + p9.geom_text(p9.aes(x=1, label="name"), ha="left", va="bottom", nudge_y=0.12, size=8 if len(shown) < 8 else 6)
        + p9.scale_color_manual({"low": BLUE, "moderate": ORANGE, "high": VERMILION})
        + p9.scale_shape_manual({"low": "o", "moderate": "s", "high": "^"})
        + p9.scale_y_continuous(breaks=[], labels=[], minor_breaks=[], expand=(0, 0.7))
        + p9.labs(
            x="Variance inflation factor", y="", title=_title("Collinearity", check),
            subtitle=f"Factors should be below {MODERATE:g}, the first dashed line.", caption=caption(*notes, width=WIDTH),
        )
        + theme(WIDTH, HEIGHT)
        + p9.theme(legend_position="none")
    )  # fmt: skip
    lines = [limit for limit in (MODERATE, HIGH) if limit == MODERATE or largest >= NEAR * limit]
    picture += p9.geom_vline(xintercept=lines, linetype="dashed", color=GREY)
    # Factors of polynomials and interactions can be a thousand times those of the others.
    if largest > 5 * HIGH:
        return picture + p9.scale_x_log10()
    return picture + p9.scale_x_continuous(limits=(1, max(1.05 * largest, 1.05 * lines[-1])), expand=(0.03, 0))


def _residual_quantiles(check: Check) -> Any:
    picture = quantile_picture(check.data, "Standardised residual", _title("Normality of the residuals", check), WIDTH)
    return picture + plotnine().labs(subtitle="Points should lie in the grey band.")


_PANELS: dict[str, tuple[str, Callable[[Check], Any]]] = {
    "Distribution of the response": ("predictions", _predictions),
    "Linearity": ("heteroscedasticity", _linearity),
    "Homogeneity of variance": ("heteroscedasticity", _homogeneity),
    "Influential rows": ("outliers", _influence),
    "Collinearity": ("collinearity", _collinearity),
    "Residuals": ("normality of the residuals", _residual_quantiles),
}
"""The pictures in their order: the check whose data they draw, and the function that does."""
