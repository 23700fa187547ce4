"""Power against the size of a sample, of an effect or of a standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multilevel.arguments import checked
from multilevel.errors import ControlError
from multilevel.plot.style import GREY, PALETTE, caption, counted, percent, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.simulation.power_curve import PowerCurve

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")


def power_data(curve: PowerCurve) -> pd.DataFrame:
    """Return what the picture of a power curve shows.

    Returns
    -------
    pandas.DataFrame
        ``x`` (the first thing that differs), ``series`` (the test where there are several, and the second thing that differs),
        ``panel`` (a third), ``power``, ``conf_low``, ``conf_high``.
    """
    import pandas as pd

    frame = curve.to_frame()
    first, *others = curve.along
    shown = ([] if len(set(frame["test"])) == 1 else ["test"]) + others
    texts = {
        name: frame[name].astype(str) if name == "test" else frame[name].map(lambda v, n=name: f"{n} = {v}")
        for name in shown
    }
    series = texts[shown[0]] if shown else frame["test"].astype(str)
    panel = pd.Series(
        [", ".join(row) for row in zip(*(texts[name] for name in shown[1:]), strict=True)] or "", frame.index
    )
    found = pd.DataFrame(
        {
            "x": frame[first],
            "series": pd.Categorical(series, categories=list(dict.fromkeys(series))),
            "panel": pd.Categorical(panel, categories=list(dict.fromkeys(panel))),
        }
    )
    if not pd.api.types.is_numeric_dtype(found["x"]):
        found["x"] = pd.Categorical(found["x"].astype(str), categories=list(dict.fromkeys(found["x"].astype(str))))
    return found.assign(**{name: frame[name] for name in ("power", "conf_low", "conf_high")})


@checked
def plot_power(curve: PowerCurve, *, target: float | None = 0.8) -> Any:
    """Draw a power curve with its Monte Carlo intervals.

    Parameters
    ----------
    curve : PowerCurve
        What `power_curve` returned. The first thing that differs is on the x axis; tests, or what differs second, have colours, and
        what is left has panels.
    target : float, optional
        Power at which a dashed line stands; None for no line.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError
        There are more than eight curves to tell apart, or the target is no power.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> curve = ml.power_curve(fit, {"Subject": [5, 10, 20]}, test="Days", effects={"Days": 5}, n=50, rng=1)
    >>> picture = ml.plot_power(curve)
    >>> picture.save("power.png", verbose=False)  # doctest: +SKIP
    """
    if target is not None and not 0.0 < target < 1.0:
        raise ControlError(f"target must lie between 0 and 1; it is {target}.")
    p9 = plotnine()
    data = power_data(curve)
    names = list(data["series"].cat.categories)
    if len(names) > len(PALETTE):
        raise ControlError(f"At most {len(PALETTE)} curves can be told apart by colour; there are {len(names)}.")
    numeric = data["x"].dtype.kind in "iuf"
    panels = len(data["panel"].cat.categories)
    result = curve.results[0]
    notes = [
        f"{counted(result.n)} simulations at each point, significant at {result.alpha:g}; bars: {percent(result.level)} Monte Carlo"
        " intervals."
    ]
    columns = min(panels, 3)
    n_rows = -(-panels // columns)
    width = 7.0 if panels == 1 else min(11.0, 3.2 * columns + 1.0)
    picture = p9.ggplot(data, p9.aes("x", "power", color="series", shape="series", group="series"))
    if target is not None:
        picture += p9.geom_hline(yintercept=target, linetype="dashed", color=GREY)
    span = float(data["x"].max() - data["x"].min()) if numeric else 1.0
    nudge = p9.position_dodge(width=(0.012 if numeric else 0.1) * (len(names) - 1) * (span or 1.0))
    picture += p9.geom_line(size=0.9, position=nudge, show_legend=False)
    picture += p9.geom_linerange(p9.aes(ymin="conf_low", ymax="conf_high"), position=nudge, size=0.8, show_legend=False)
    picture += p9.geom_point(size=2.8, position=nudge)
    labels = wrapped(names)
    picture += p9.scale_color_manual(list(PALETTE[: len(names)]), labels=labels)
    picture += p9.scale_shape_manual(list(SHAPES[: len(names)]), labels=labels)
    picture += p9.scale_y_continuous(
        limits=(0, 1),
        breaks=[0, 0.2, 0.4, 0.6, 0.8, 1],
        labels=[percent(value) for value in (0, 0.2, 0.4, 0.6, 0.8, 1)],
    )
    if numeric and data["x"].nunique() <= 10:
        picture += p9.scale_x_continuous(breaks=sorted(data["x"].unique().tolist()), minor_breaks=[])
    if panels > 1:
        picture += p9.facet_wrap("panel", ncol=columns)
    picture = (
        picture
        + p9.labs(
            x=curve.along[0],
            y="Power",
            title="Power by simulation" if len(names) > 1 else f"Power of the test of {names[0]}",
            color="",
            shape="",
            caption=caption(*notes, width=width),
        )
        + theme(width, 4.4 if n_rows == 1 else 1.6 + 2.6 * n_rows)
    )
    return picture if len(names) > 1 else picture + p9.theme(legend_position="none")
