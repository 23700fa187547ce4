"""`plot_model`: one door to the pictures of a fitted model."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from multilevel.arguments import checked, option_names
from multilevel.errors import ControlError

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

KINDS = {
    "est": ("forest", "plot_estimates"),
    "std": ("forest", "plot_standardized"),
    "re": ("random_effects", "plot_random_effects"),
    "variance": ("variance_components", "plot_variance_components"),
    "vcov": ("covariances", "plot_covariances"),
    "pred": ("predictions", "plot_predictions"),
    "eff": ("predictions", "plot_marginal_effects"),
    "int": ("predictions", "plot_interactions"),
    "slope": ("slopes", "plot_slopes"),
    "resid": ("residuals", "plot_residuals"),
    "diag": ("diagnostics", "plot_diagnostics"),
    "checks": ("checks", "plot_checks"),
}
"""The module of this package and its function that draw each type."""


@checked
def plot_model(fit: LinearMixedModel, type: str = "est", **options: Any) -> Any:
    """Draw a picture of a fitted model.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    type : str
        What to draw:

        * ``"est"``: the fixed effects with their intervals (forest plot). Options ``level``, ``ddf``, ``terms``, ``labels``,
          ``show_intercept``, ``show_values``, ``sort``, ``vline``, ``vcov``, ``cluster``.
        * ``"std"``: the same for standardized fixed effects. ``method`` and the options of ``"est"``.
        * ``"re"``: the conditional modes of the random effects with their intervals (caterpillar plot). ``group``, ``kind``
          (``"coef"`` for the coefficients of each level), ``level``, ``sort``.
        * ``"variance"``: the standard deviations of the random effects and the residual. ``scale`` (``"sd"``, ``"variance"`` or
          ``"share"``), ``interval``, ``level``.
        * ``"vcov"``: the correlations of random and fixed effects. ``kind`` (``"scatter"`` for the conditional modes of two terms
          with the ellipse of their estimated covariance), ``part``, ``level``.
        * ``"pred"``: predictions of the population over up to three ``terms``, on the axis, in colours and in panels, with bands.
        * ``"eff"``: the same, averaged over the levels of the other factors.
        * ``"int"``: the interactions of the model.
        * ``"slope"``: the slope of one predictor over the values of another, or the response over each predictor.
        * ``"resid"``: residuals against fitted values or a predictor, with a smooth curve. ``x``, ``kind``, ``by``.
        * ``"diag"``: residuals, their quantiles, their spread, leverage, and the quantiles of the random effects. ``panels``.
        * ``"checks"``: the checks of `check_model` on one page, with what to look for in each picture.
    **options
        Options of the type; the functions in the modules of `multilevel.plot` describe them.

    Returns
    -------
    plotnine.ggplot
        The picture; add scales, labels and themes to it with ``+``, as in ggplot2. ``"diag"`` and ``"checks"`` give a composition
        of several pictures, and so does ``"int"`` for a model with several interactions: add to each of them with ``&``. A whole
        theme such as ``theme_classic()`` has a size of its own; add ``theme(figure_size=…)`` after it where there is much to show.

    Raises
    ------
    ControlError
        There is no such type, or it has no such option.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> from plotnine import theme_classic
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> picture = ml.plot_model(fit, "re") + theme_classic()
    >>> picture.save("caterpillar.png", verbose=False)  # doctest: +SKIP
    """
    if type not in KINDS:
        raise ControlError(f"There is no picture of type {type!r}; choose one of {', '.join(map(repr, KINDS))}.")
    module, function = KINDS[type]
    draw = getattr(importlib.import_module(f"multilevel.plot.{module}"), function)
    parameters = inspect.signature(draw).parameters.values()
    known = option_names(draw)
    unknown = [name for name in options if name not in known]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        raise ControlError(f"A picture of type {type!r} has no option {unknown[0]!r}; it has {', '.join(known)}.")
    return draw(fit, **options)
