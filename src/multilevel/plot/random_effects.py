"""The caterpillar plot: conditional modes, or the coefficients of every level, with their intervals, sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, checked
from multilevel.errors import ControlError
from multilevel.inference.intervals import check_level
from multilevel.model.level_effects import coefficient_columns
from multilevel.plot.style import (
    BLACK,
    BLUE,
    FEW_LEVELS,
    GREY,
    SKY,
    counted,
    heading,
    listed,
    percent,
    plotnine,
    shortened,
    theme,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
EffectKind = Literal["ranef", "coef"]

KINDS = ("ranef", "coef")
COUNTS = 5
"""About how many numbers stand on an axis that counts levels."""


def chosen_groups(fit: LinearMixedModel, group: str | None) -> list[str]:
    """Return the grouping factors that a picture shows: the one named, or all of them.

    Raises
    ------
    ControlError
        There is no such grouping factor.
    """
    groups = [str(name) for name in fit.ngroups.index]
    if group is None or (group == "all" and group not in groups):
        return groups
    if group not in groups:
        raise ControlError(f"The model has no grouping factor {group!r}; it has {', '.join(map(repr, groups))}.")
    return [group]


def random_effects_data(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    kind: EffectKind = "ranef",
    level: Level = 0.95,
    sort: bool | str = True,
) -> pd.DataFrame:
    """Return what the caterpillar plot draws.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        The grouping factor; by default all of them (``"all"`` says so too).
    kind : {"ranef", "coef"}
        The conditional modes of the random effects, or the coefficients of each level, fixed effects plus conditional modes.
    level : float
        Probability of the normal intervals: given the parameters for ``"ranef"`` (lme4's ``condsd``); for ``"coef"`` with the
        error of the fixed effects in them (see `LinearMixedModel.coef_standard_errors`).
    sort : bool or str
        True: each term is sorted by its own values; the name of a term: all terms by that one; False: levels in their order.

    Returns
    -------
    pandas.DataFrame
        One row for each grouping factor, level and term: ``grpvar``, ``grp``, ``term``, ``estimate``, ``std_error``, ``conf_low``,
        ``conf_high``, ``centre`` (0, or the fixed effect for ``"coef"``) and ``rank`` (from 1, the place on the axis).

    Raises
    ------
    ControlError
        There is no such grouping factor, term or kind.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.random_effects import random_effects_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> data = random_effects_data(fit, kind="coef")
    >>> data.loc[data["term"] == "Days", ["grp", "estimate", "conf_low", "conf_high", "rank"]].head(2).round(2)
        grp  estimate  conf_low  conf_high  rank
    18  308     19.67     15.09      24.25    18
    19  309      1.85     -2.73       6.43     2
    """
    import pandas as pd
    from scipy.special import ndtri

    check_level(level)
    if kind not in KINDS:
        raise ControlError(f"kind must be 'ranef' or 'coef', not {kind!r}.")
    groups = chosen_groups(fit, group)
    tables = {name: _estimates(fit, name, kind) for name in groups}
    if isinstance(sort, str) and not any(sort in names for names, _, _ in tables.values()):
        known = ", ".join(dict.fromkeys(name for names, _, _ in tables.values() for name in names))
        raise ControlError(f"There is no random effect {sort!r} to sort by; there are {known}.")
    half = float(ndtri(0.5 + level / 2))
    fixed, levels = fit.fixef, _levels(fit)
    parts = []
    for name in groups:
        names, values, errors = tables[name]
        for c, term in enumerate(names):
            key = values[:, names.index(sort)] if isinstance(sort, str) and sort in names else values[:, c]
            rank = np.arange(1, len(values) + 1)
            if sort is not False:
                rank[np.argsort(key, kind="stable")] = np.arange(1, len(values) + 1)
            parts.append(
                pd.DataFrame(
                    {
                        "grpvar": name,
                        "grp": levels[name],
                        "term": term,
                        "estimate": values[:, c],
                        "std_error": errors[:, c],
                        "conf_low": values[:, c] - half * errors[:, c],
                        "conf_high": values[:, c] + half * errors[:, c],
                        "centre": float(fixed.get(term, 0.0)) if kind == "coef" else 0.0,
                        "rank": rank,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _levels(fit: LinearMixedModel) -> dict[str, list[str]]:
    return {term.factor.name: list(term.factor.levels) for term in fit._terms}


def _estimates(fit: LinearMixedModel, group: str, kind: str) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Return the terms of a grouping factor, and values and standard errors of its levels, shape (levels, terms)."""
    whole = fit.ranef(cond_var=kind == "ranef").groups[group]
    if kind == "coef":
        own = [place for term in fit._terms if term.factor.name == group for place in term.columns]
        labels = coefficient_columns(fit, group)
        names = [labels[place] for place in dict.fromkeys(own)]
        values, errors = fit.coef()[group], fit.coef_standard_errors()[group]
        return tuple(names), values[names].to_numpy(), errors[names].to_numpy()
    assert whole.covariances is not None
    # Rounding may leave a variance that is zero a little below it.
    variances = np.maximum(np.einsum("jkk->jk", whole.covariances), 0.0)
    return whole.names, whole.modes, np.sqrt(variances)


@checked
def plot_random_effects(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    kind: EffectKind = "ranef",
    level: Level = 0.95,
    sort: bool | str | None = None,
) -> Any:
    """Draw the caterpillar plot: a panel for each term of each grouping factor.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        The grouping factor; by default all of them (``"all"`` says so too).
    kind : {"ranef", "coef"}
        The conditional modes of the random effects, or the coefficients of each level, fixed effects plus conditional modes.
    level : float
        Probability of the intervals.
    sort : bool or str, optional
        True: each panel is sorted by its own values; the name of a term: all panels by that one; False: levels in their order. By
        default the panels of a factor with at most 60 levels are sorted by its first term, so that a level keeps its row, and those
        of larger factors each by itself.

    Returns
    -------
    plotnine.ggplot
        The picture. Levels are named while there are at most 60 of them; beyond that the axis counts them.

    Raises
    ------
    ControlError
        There is no such grouping factor, term or kind.

    Notes
    -----
    The intervals of conditional modes are those of R's ``dotplot(ranef(fit))``.
    """
    import pandas as pd

    p9 = plotnine()
    groups = chosen_groups(fit, group)
    sizes = {name: int(fit.ngroups[name]) for name in groups}
    parts = []
    for name in groups:
        first = next(term.names[0] for term in fit._terms if term.factor.name == name)
        own_sort: bool | str = (first if sizes[name] <= FEW_LEVELS else True) if sort is None else sort
        parts.append(random_effects_data(fit, name, kind=kind, level=level, sort=own_sort))
    data = pd.concat(parts, ignore_index=True)
    several = len(groups) > 1
    titles = wrapped(data["grpvar"] + ": " + data["term"] if several else data["term"])
    panels = list(dict.fromkeys(titles))
    data["panel"] = pd.Categorical(titles, categories=panels)
    # Each panel has a stretch of the axis to itself, so that each can have names of its own.
    stretch = max(sizes.values()) + 10
    data["place"] = data["rank"] + stretch * data["panel"].cat.codes.astype("int64")
    breaks, labels = _axis(data, sizes, stretch)
    largest = max(sizes.values())
    few = largest <= FEW_LEVELS
    for column, values in _weight_of_ink(data["grpvar"].map(sizes).to_numpy()).items():
        data[column] = values
    what = "Conditional mode" if kind == "ranef" else "Coefficient"
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    # Names of levels need room beside every panel.
    beside = 0.08 * max(0, max(map(len, labels)) - 6)
    width = max(4.5, (3.4 + beside) * n_columns + 1.2)
    height = min(9.0, max(3.0, 0.17 * largest + 1.2)) if few else 6.0
    picture = (
        p9.ggplot(data, p9.aes("estimate", "place"))
        + p9.geom_segment(
            p9.aes(x="conf_low", xend="conf_high", yend="place", color="line_color", size="line_size", alpha="opacity")
        )
        + p9.geom_vline(p9.aes(xintercept="centre"), data=data.drop_duplicates("panel"), linetype="dashed", color=GREY)
        + p9.geom_point(p9.aes(color="point_color", size="point_size"), stroke=0)
        + p9.scale_color_identity()
        + p9.scale_size_identity()
        + p9.scale_alpha_identity()
        + p9.scale_y_continuous(breaks=breaks, labels=labels, minor_breaks=[], expand=(0, 0.8))
        + p9.labs(
            x=f"{what} with {percent(level)} interval",
            y="Level" if several else groups[0] if few else f"{groups[0]}, in order",
            title=heading(f"{'Random effects' if kind == 'ranef' else 'Coefficients'} of {listed(groups)}", width),
        )
        + theme(width, min(12.0, height * (1 if n_rows == 1 else 0.75 * n_rows)))
    )
    if few:
        picture += p9.theme(axis_text_y=p9.element_text(size=9 if largest <= 40 else 7))
    if len(panels) > 1:
        picture += p9.facet_wrap("panel", scales="free", ncol=n_columns)
    return picture


def _weight_of_ink(sizes: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return how lines and points of levels are drawn, by the number of levels in their panel: the more, the finer."""
    many = [sizes <= FEW_LEVELS, sizes <= 500]
    return {
        "line_color": np.where(many[0], BLUE, SKY),
        "point_color": np.where(many[0], BLUE, BLACK),
        "opacity": np.select(many, [1.0, 1.0], 0.5),
        "line_size": np.select(many, [0.7, 0.5], 0.3),
        "point_size": np.select(many, [2.4, 0.9], 0.15),
    }


def _axis(data: pd.DataFrame, sizes: dict[str, int], stretch: int) -> tuple[list[float], list[str]]:
    """Return where the labels of all panels stand, and the labels: names of few levels, counts of many."""
    breaks: list[float] = []
    labels: list[str] = []
    for code, own in data.groupby(data["panel"].cat.codes, sort=True):
        size = sizes[str(own["grpvar"].iloc[0])]
        if size <= FEW_LEVELS:
            breaks += own["place"].tolist()
            labels += shortened(own["grp"])
        else:
            step = _round_step(size / COUNTS)
            counts = np.arange(step, size + 1, step)
            breaks += (stretch * int(code) + counts).tolist()
            labels += [counted(int(count)) for count in counts]
    return breaks, labels


def _round_step(rough: float) -> int:
    """Return a step of 1, 2 or 5 times a power of ten, at least as long as the one given."""
    power = 10 ** int(np.floor(np.log10(max(rough, 1.0))))
    return int(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough))
