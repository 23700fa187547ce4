"""Bars of explained variance: what fixed and random effects account for, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from multilevel.arguments import checked
from multilevel.errors import ControlError
from multilevel.plot.style import BLUE, GREEN, LIGHT_GREY, ORANGE, PURPLE, SKY, caption, plotnine, theme, wrapped
from multilevel.quality.r_squared import r2
from multilevel.quality.variance import check_fit

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

ExplainedMethod = Literal["nakagawa", "rights-sterba"]

COLOURS = {
    "fixed effects": BLUE,
    "random effects": ORANGE,
    "fixed effects, within": BLUE,
    "fixed effects, between": SKY,
    "random slopes, within": GREEN,
    "random slopes, between": PURPLE,
    "cluster means": ORANGE,
    "residual": LIGHT_GREY,
}
"""The parts in the order in which they are stacked, and their colours."""

_PARTS = {
    "f1": "fixed effects, within",
    "f2": "fixed effects, between",
    "v1": "random slopes, within",
    "v2": "random slopes, between",
    "m": "cluster means",
}
SMALLEST = 0.045
"""Shares below this are not written into the bars."""


def explained_variance_data(
    fits: LinearMixedModel | Sequence[LinearMixedModel] | Mapping[str, LinearMixedModel],
    method: ExplainedMethod = "nakagawa",
) -> pd.DataFrame:
    """Return the shares of variance that the bars show.

    Parameters
    ----------
    fits : LinearMixedModel, sequence or mapping
        A fitted model, several, or several by name.
    method : {"nakagawa", "rights-sterba"}
        Marginal R², conditional less marginal R², and the rest; or the decomposition of Rights and Sterba (see `r2`).

    Returns
    -------
    pandas.DataFrame
        ``model``, ``variance`` (``"total"``, with Rights and Sterba ``"within"`` and ``"between"`` too), ``part``, ``share``.

    Raises
    ------
    ControlError
        The method is neither, or there is no model.
    """
    import pandas as pd

    if method not in ("nakagawa", "rights-sterba"):
        raise ControlError(f"method must be 'nakagawa' or 'rights-sterba', not {method!r}.")
    rows: list[tuple[str, str, str, float]] = []
    for name, fit in named_fits(fits).items():
        found = r2(fit, method)
        if method == "nakagawa":
            parts = {"fixed effects": found.marginal, "random effects": found.conditional - found.marginal}
            parts["residual"] = 1.0 - found.conditional
            rows += [(name, "total", part, share) for part, share in parts.items()]
            continue
        frame = found.to_frame()
        for variance in ("total", "within", "between"):
            shares = frame.loc[list(_PARTS), variance].dropna()
            # Where a level has no variance there is nothing to divide up.
            if shares.empty:
                continue
            rows += [(name, variance, _PARTS[str(key)], float(share)) for key, share in shares.items()]
            if variance != "between":
                rows.append((name, variance, "residual", 1.0 - float(shares.sum())))
    data = pd.DataFrame(rows, columns=["model", "variance", "part", "share"])
    for column, order in (("model", None), ("variance", ("total", "within", "between")), ("part", tuple(COLOURS))):
        present = set(data[column])
        categories = list(dict.fromkeys(data[column])) if order is None else [name for name in order if name in present]
        data[column] = pd.Categorical(data[column], categories=categories)
    return data


def named_fits(
    fits: LinearMixedModel | Sequence[LinearMixedModel] | Mapping[str, LinearMixedModel],
) -> dict[str, LinearMixedModel]:
    """Return models by name: their own, or ``"model 1"``, ``"model 2"``, …."""
    if isinstance(fits, Mapping):
        found = {str(name): fit for name, fit in fits.items()}
    elif isinstance(fits, list | tuple):
        found = {f"model {i + 1}": fit for i, fit in enumerate(fits)}
    else:
        check_fit(fits, "plot_r2")
        one: Any = fits
        found = {str(one.formula): one}
    if not found:
        raise ControlError("There is no model to draw; give fitted models.")
    for fit in found.values():
        check_fit(fit, "plot_r2")
    return found


@checked
def plot_r2(
    fits: LinearMixedModel | Sequence[LinearMixedModel] | Mapping[str, LinearMixedModel],
    method: ExplainedMethod = "nakagawa",
) -> Any:
    """Draw how much of the response's variance models explain.

    Parameters
    ----------
    fits : LinearMixedModel, sequence or mapping
        A fitted model, several, or several by name: ``{"empty": m0, "with price": m1}``.
    method : {"nakagawa", "rights-sterba"}
        ``"nakagawa"``: a bar for each model, with the share of the fixed effects (marginal R²), that of the random effects, and the
        residual; the first two together are the conditional R². ``"rights-sterba"``: bars of the total, the within-cluster and the
        between-cluster variance, by source (Rights & Sterba 2019), for models with one grouping factor.

    Returns
    -------
    plotnine.ggplot
        The picture. Shares below 4.5% are not written into the bars.

    Raises
    ------
    ControlError
        The method is neither, or there is no model.
    DataTypeError
        Something given is no fitted model.
    DataError
        The decomposition does not apply to a model.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> m1 = ml.lmer("Reaction ~ 1 + (1 | Subject)", sleep)
    >>> m2 = ml.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> picture = ml.plot_r2({"empty": m1, "with Days": m2})
    >>> picture.save("r2.png", verbose=False)  # doctest: +SKIP
    """
    p9 = plotnine()
    data = explained_variance_data(fits, method)
    models = list(data["model"].cat.categories)
    parts = list(data["part"].cat.categories)
    by_variance = method == "rights-sterba"
    data["label"] = [f"{100 * share:.0f}%" if share >= SMALLEST else "" for share in data["share"]]
    across = "variance" if by_variance else "model"
    # Bars are stacked from the left, in the order of the legend.
    stack = p9.position_stack(reverse=True)
    categories = list(data[across].cat.categories)
    labels = dict(zip(categories, wrapped(categories, 28), strict=True))
    picture = (
        p9.ggplot(data, p9.aes(across, "share", fill="part"))
        + p9.geom_col(position=stack, width=0.7, color="white", size=0.4)
        + p9.geom_text(
            p9.aes(label="label", color="part"),
            position=p9.position_stack(vjust=0.5, reverse=True),
            size=9,
            show_legend=False,
        )
        + p9.coord_flip()
        + p9.scale_x_discrete(limits=categories[::-1], labels=[labels[name] for name in categories[::-1]])
        + p9.scale_y_continuous(
            breaks=[0, 0.25, 0.5, 0.75, 1], labels=["0%", "25%", "50%", "75%", "100%"], expand=(0.01, 0)
        )
        + p9.scale_fill_manual({part: COLOURS[part] for part in parts})
        + p9.scale_color_manual({part: "white" if COLOURS[part] in (BLUE, GREEN) else "black" for part in parts})
    )
    if by_variance and len(models) > 1:
        panels = dict(zip(models, wrapped(models, 60), strict=True))
        picture += p9.facet_wrap("model", ncol=1, labeller=lambda label: panels[label])
    bars = len(models) * (3 if by_variance else 1)
    rows = -(-len(parts) // 3)
    note = (
        "Shares of the total, within-cluster and between-cluster variance (Rights & Sterba)."
        if by_variance
        else "Fixed effects: marginal R²; with the random effects: conditional R² (Nakagawa & Schielzeth)."
    )
    extra = 0.3 * (len(models) - 1) if by_variance else 0.0
    return (
        picture
        + p9.labs(x="", y="Share of the variance", fill="", title="Explained variance", caption=caption(note))
        + p9.guides(fill=p9.guide_legend(nrow=rows))
        + theme(7.4, min(12.0, 1.7 + 0.2 * rows + 0.5 * bars + extra))
    )
