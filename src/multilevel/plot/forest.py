"""Forest plots: fixed effects, raw or standardized, of one model or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, Level, StandardizeMethod, VcovName, checked, how_tested, robust_options
from multilevel.errors import ControlError
from multilevel.plot.style import GREY, PALETTE, caption, heading, percent, plotnine, theme, wrapped
from multilevel.quality.model_names import named_models
from multilevel.quality.parameters_table import model_parameters
from multilevel.quality.variance import check_fit

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

INTERCEPT = "(Intercept)"
WIDTH = 7.0
"""Inches."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Models are told apart by shape as well as by colour."""
BETWEEN = 0.7
"""The part of the distance between two terms that the models of a term share."""


def fixed_effects_data(
    models: LinearMixedModel | Mapping[str, LinearMixedModel],
    *,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    standardize: StandardizeMethod | None = None,
    terms: Sequence[str] | None = None,
    show_intercept: bool = False,
    sort: bool = False,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> pd.DataFrame:
    """Return what a forest plot draws.

    Parameters
    ----------
    models : LinearMixedModel or mapping of str to LinearMixedModel
        The fitted model, or several by name.
    level : float
        Confidence level.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of the t intervals.
    standardize : {"refit", "posthoc", "smart", "basic", "pseudo"}, optional
        Standardize the effects (see `standardize_parameters`).
    terms : sequence of str, optional
        The coefficients to show, in this order from top to bottom; by default all.
    show_intercept : bool
        Whether the intercept is among them; one that `terms` names is.
    sort : bool
        Whether they are sorted by the estimates of the first model, the largest on top. Otherwise they stand in the order of the
        first model, terms that only others have after them.
    vcov, cluster
        A cluster-robust covariance matrix instead (see `LinearMixedModel.vcov`).

    Returns
    -------
    pandas.DataFrame
        One row for each model and term that it has: ``model``, ``term``, ``estimate``, ``std_error``, ``df``, ``p_value``,
        ``conf_low``, ``conf_high``, ``place`` (on the axis: from 1 for the lowest term, moved a little for each model) and
        ``label`` (the estimate as text).

    Raises
    ------
    ControlError
        An option is not one of its choices, no model has a term that is named, or nothing is left to draw.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.forest import fixed_effects_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fixed_effects_data(fit)[["term", "estimate", "conf_low", "conf_high", "label"]].round(2)
       term  estimate  conf_low  conf_high label
    0  Days     10.47      7.21      13.73  10.5
    """
    import pandas as pd

    named = models if isinstance(models, Mapping) else {"model": models}
    parts = []
    for name, fit in named.items():
        check_fit(fit, "plot_models")
        fixed = model_parameters(
            fit, "fixed", level=level, standardize=standardize, **how_tested(ddf, vcov, cluster)
        ).fixed
        assert fixed is not None
        part = fixed[["estimate", "std_error", "df", "p_value", "conf_low", "conf_high"]].reset_index(drop=True)
        part.insert(0, "term", list(fixed.index))
        part.insert(0, "model", name)
        parts.append(part)
    data = pd.concat(parts, ignore_index=True)
    known = list(dict.fromkeys(data["term"]))
    if terms is None:
        shown = [term for term in known if show_intercept or term != INTERCEPT]
    else:
        shown = [terms] if isinstance(terms, str) else list(dict.fromkeys(terms))
        unknown = [term for term in shown if term not in known]
        if unknown:
            raise ControlError(f"There is no fixed effect {unknown[0]!r}; there are {', '.join(known)}.")
    # The methods that only rescale say nothing of the intercept.
    data = data[data["term"].isin(shown) & data["estimate"].notna()].reset_index(drop=True)
    if data.empty:
        raise ControlError("There is no fixed effect to draw but the intercept; draw it with show_intercept=True.")
    shown = [term for term in shown if (data["term"] == term).any()]
    if sort:
        first = data.drop_duplicates("term").set_index("term")["estimate"]
        shown.sort(key=lambda term: -float(first[term]))
    heights = {term: float(len(shown) - at) for at, term in enumerate(shown)}
    own = {name: at for at, name in enumerate(named)}
    offset = data["model"].map(own).astype("float64") - 0.5 * (len(own) - 1)
    data["place"] = data["term"].map(heights) - offset * (BETWEEN / max(len(own), 2))
    data["label"] = _texts(data["estimate"].to_numpy(), data["std_error"].to_numpy())
    return data


def _texts(estimates: FloatArray, errors: FloatArray) -> list[str]:
    """Write estimates with so many decimals that the smallest standard error would show two digits, at most six."""
    sizes = errors[np.isfinite(errors) & (errors > 0)]
    decimals = int(np.clip(np.ceil(-np.log10(sizes.min())) + 1, 0, 6)) if sizes.size else 2
    return [f"{value + 0.0:.{decimals}f}" for value in np.round(estimates, decimals)]


@checked
def plot_estimates(
    fit: LinearMixedModel,
    *,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    terms: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    show_intercept: bool = False,
    show_values: bool = False,
    sort: bool = False,
    vline: float | None = 0.0,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> Any:
    """Draw the fixed effects of a model with their intervals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    level, ddf, terms, show_intercept, sort, vcov, cluster
        See `fixed_effects_data`.
    labels : mapping of str to str, optional
        What coefficients are called in the picture.
    show_values : bool
        Whether the estimates stand beside the points.
    vline : float, optional
        Where the dashed line stands; None for no line.

    Returns
    -------
    plotnine.ggplot
        The picture.
    """
    data = fixed_effects_data(
        fit, level=level, ddf=ddf, terms=terms, show_intercept=show_intercept, sort=sort, vcov=vcov, cluster=cluster
    )
    picture = _forest(data, f"Estimate with {percent(level)} interval", labels, show_values, vline)
    title = heading(f"Fixed effects on {fit._design.response_name}", WIDTH)
    return picture + plotnine().labs(title=title, caption=_note(ddf, vcov))


@checked
def plot_standardized(
    fit: LinearMixedModel,
    method: StandardizeMethod = "refit",
    *,
    level: Level = 0.95,
    ddf: DdfName = "residual",
    terms: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    show_intercept: bool = False,
    show_values: bool = False,
    sort: bool = False,
    vline: float | None = 0.0,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> Any:
    """Draw the standardized fixed effects of a model with their intervals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    method : {"refit", "posthoc", "smart", "basic", "pseudo"}
        How they are standardized (see `standardize_parameters`, whose default degrees of freedom are also those here).
    level, ddf, terms, show_intercept, sort, vcov, cluster
        See `fixed_effects_data`.
    labels : mapping of str to str, optional
        What coefficients are called in the picture.
    show_values : bool
        Whether the estimates stand beside the points.
    vline : float, optional
        Where the dashed line stands; None for no line.

    Returns
    -------
    plotnine.ggplot
        The picture.
    """
    data = fixed_effects_data(
        fit, level=level, ddf=ddf, standardize=method, terms=terms, show_intercept=show_intercept, sort=sort, vcov=vcov,
        cluster=cluster,
    )  # fmt: skip
    picture = _forest(data, f"Standardized estimate with {percent(level)} interval", labels, show_values, vline)
    title = heading(f"Standardized fixed effects on {fit._design.response_name}", WIDTH)
    return picture + plotnine().labs(title=title, caption=_note(ddf, vcov, f"Standardized by {method!r}."))


@checked
@robust_options
def plot_models(
    *fits: LinearMixedModel,
    names: Sequence[str] | None = None,
    level: Level = 0.95,
    ddf: DdfName = "satterthwaite",
    standardize: StandardizeMethod | None = None,
    terms: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    show_intercept: bool = False,
    show_values: bool = False,
    sort: bool = False,
    vline: float | None = 0.0,
    vcov: VcovName = "model",
    cluster: Any = None,
    **named: LinearMixedModel,
) -> Any:
    """Draw the fixed effects of several models side by side.

    Parameters
    ----------
    *fits : LinearMixedModel
        The fitted models.
    names : sequence of str, optional
        Their names; by default ``"model 1"``, ``"model 2"``, ….
    level : float
        Confidence level of the intervals.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of the t intervals.
    standardize : {"refit", "posthoc", "smart", "basic", "pseudo"}, optional
        Standardize the effects (see `standardize_parameters`).
    terms : sequence of str, optional
        The coefficients to show, in this order from top to bottom; by default all that some model has.
    labels : mapping of str to str, optional
        What coefficients are called in the picture.
    show_intercept : bool
        Whether the intercept is among them; one that `terms` names is.
    show_values : bool
        Whether the estimates stand beside the points.
    sort : bool
        Whether they are sorted by the estimates of the first model that has them.
    vline : float, optional
        Where the dashed line stands; None for no line.
    vcov, cluster
        A cluster-robust covariance matrix instead (see `LinearMixedModel.vcov`).
    **named : LinearMixedModel
        Further models by name: ``plot_models(without=m1, with_price=m2)``.

    Returns
    -------
    plotnine.ggplot
        The picture; the models differ in colour and shape.

    Raises
    ------
    ControlError
        There is no model, the names do not fit, or an option is not one of its choices.
    DataTypeError
        Something given is no model.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> m1 = ml.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> m2 = m1.update(". ~ . - (1 | Subject) + (Days | Subject)")
    >>> picture = ml.plot_models(m1, m2, names=["random intercept", "random slope"])
    >>> picture.save("models.png", verbose=False)  # doctest: +SKIP
    """
    models = named_models(fits, names, named, "draw")
    if len(models) > len(SHAPES):
        raise ControlError(f"At most {len(SHAPES)} models can be told apart in one picture; {len(models)} are given.")
    data = fixed_effects_data(
        models, level=level, ddf=ddf, standardize=standardize, terms=terms, show_intercept=show_intercept, sort=sort,
        vcov=vcov, cluster=cluster,
    )  # fmt: skip
    what = "Estimate" if standardize is None else "Standardized estimate"
    picture = _forest(data, f"{what} with {percent(level)} interval", labels, show_values, vline)
    method = "" if standardize is None else f"Standardized by {standardize!r}."
    return picture + plotnine().labs(title="Fixed effects", caption=_note(ddf, vcov, method))


def _forest(
    data: pd.DataFrame, title: str, labels: Mapping[str, str] | None, show_values: bool, vline: float | None
) -> Any:
    import pandas as pd

    p9 = plotnine()
    if labels is not None:
        unknown = [term for term in labels if term not in set(data["term"])]
        if unknown:
            known = ", ".join(dict.fromkeys(data["term"]))
            raise ControlError(f"labels names {unknown[0]!r}, which is not in the picture; there are {known}.")
    models = list(dict.fromkeys(data["model"]))
    # The key of the legend stands in the order of the points.
    data = data.assign(model=pd.Categorical(data["model"], categories=models))
    places = {term: round(float(own.mean())) for term, own in data.groupby("term", sort=False)["place"]}
    names = wrapped((labels or {}).get(str(term), str(term)) for term in places)
    lines = sum(name.count("\n") for name in names)
    n_terms, n_models = len(places), len(models)
    picture = p9.ggplot(data, p9.aes("estimate", "place", color="model", shape="model"))
    if vline is not None:
        picture += p9.geom_vline(xintercept=vline, linetype="dashed", color=GREY)
    picture += p9.geom_segment(p9.aes(x="conf_low", xend="conf_high", yend="place"), size=0.9, na_rm=True)
    picture += p9.geom_point(size=3)
    if show_values:
        # Right of the interval, with room for the longest.
        span = float(data["conf_high"].max() - data["conf_low"].min())
        aes = p9.aes(x="conf_high", label="label")
        picture += p9.geom_text(aes, size=8, nudge_x=0.015 * span, ha="left", show_legend=False)
        picture += p9.scale_x_continuous(expand=(0.05, 0, 0.04 + 0.012 * max(map(len, data["label"])), 0))
    picture += p9.scale_y_continuous(
        breaks=list(places.values()), labels=names, minor_breaks=[], limits=(0.4, n_terms + 0.6), expand=(0, 0)
    )
    picture += p9.scale_color_manual(PALETTE[:n_models])
    picture += p9.scale_shape_manual(SHAPES[:n_models])
    picture += p9.labs(x=title, y="")
    height = 1.3 + n_terms * max(0.36, 0.2 * n_models + 0.1) + 0.14 * lines + (0.4 if n_models > 1 else 0.0)
    picture += theme(WIDTH, min(14.0, max(2.4, height)))
    picture += p9.theme(legend_title=p9.element_blank())
    if n_models == 1:
        picture += p9.theme(legend_position="none")
    return picture


def _note(ddf: str, vcov: VcovName, method: str = "") -> str:
    from multilevel.quality.coefficient_cells import interval_note

    return caption(method, interval_note(ddf, vcov))
