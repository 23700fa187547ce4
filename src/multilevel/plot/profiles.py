"""Pictures of profile likelihoods: the signed root ζ, the densities that it implies, and the contours of pairs of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked, idle
from multilevel.errors import ControlError, DataError
from multilevel.inference.profile_curve import rises, rising_points, zeta_curve
from multilevel.plot.style import BLUE, GREY, axis_breaks, caption, percent, plotnine, theme, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.inference.profile import Profile

FloatArray = npt.NDArray[np.float64]
ProfileKind = Literal["zeta", "density", "pairs"]

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
CURVE = 201
MOST_PAIRS = 8
"""Parameters whose pairs can be drawn on one page."""


def _chosen(profile: Profile, which: str | Sequence[str] | None) -> list[str]:
    names = (
        list(profile.profiled) if which is None else [which] if isinstance(which, str) else list(dict.fromkeys(which))
    )
    for name in names:
        if name not in profile.points:
            raise ControlError(f"There is no profile of {name!r}; there are {', '.join(profile.profiled)}.")
    if not names:
        raise ControlError("which names no parameter.")
    return names


def _points(profile: Profile, name: str) -> tuple[FloatArray, FloatArray]:
    """Return values and ζ of a profile, where ζ rises."""
    value, zeta = rising_points(profile.points[name])
    if value.size < 3:
        raise DataError(f"The profile of {name!r} has too few points to be drawn.")
    return value, zeta


def zeta_data(profile: Profile, which: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Return the curves of ζ, and the densities they imply.

    Parameters
    ----------
    profile : Profile
        The profiles.
    which : str or sequence of str, optional
        Parameters, by default all that were profiled.

    Returns
    -------
    pandas.DataFrame
        201 rows for each parameter: ``parameter``, ``value``, ``zeta``, and ``density`` φ(ζ)·dζ/dvalue, that of a parameter whose ζ
        is standard normal (R's ``densityplot`` of a profile).

    Notes
    -----
    Between the points ζ is a cubic spline, as in lme4, or where that would fall a monotone one.
    """
    import pandas as pd

    parts = []
    for name in _chosen(profile, which):
        value, zeta = _points(profile, name)
        curve = zeta_curve(value, zeta)
        x = np.linspace(value[0], value[-1], CURVE)
        z = np.asarray(curve(x))
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) * np.asarray(curve(x, 1))
        parts.append(pd.DataFrame({"parameter": name, "value": x, "zeta": z, "density": density}))
    return pd.concat(parts, ignore_index=True)


def interval_data(
    profile: Profile, which: str | Sequence[str] | None = None, levels: Sequence[float] = LEVELS
) -> pd.DataFrame:
    """Return where the curves of ζ reach the normal quantiles of several levels: the ends of the profile intervals.

    Ends that a profile does not reach are left out.

    Returns
    -------
    pandas.DataFrame
        ``parameter``, ``level``, ``side``, ``value`` and ``zeta``, one row for each end.
    """
    import pandas as pd
    from scipy.special import ndtri

    rows = []
    for name in _chosen(profile, which):
        curve = zeta_curve(*_points(profile, name))
        for level in levels:
            if not 0.0 < level < 1.0:
                raise ControlError(f"levels must lie between 0 and 1; one is {level!r}.")
            z = float(ndtri(0.5 + level / 2))
            for side, zeta in (("conf_low", -z), ("conf_high", z)):
                # ζ rises: it has each value once, or not at all where the profile ends before.
                rows += [(name, level, side, float(value), zeta) for value in curve.solve(zeta, extrapolate=False)[:1]]
    return pd.DataFrame(rows, columns=["parameter", "level", "side", "value", "zeta"])


# ---- pairs -----------------------------------------------------------------------------------------------------------------


def contour_data(
    profile: Profile,
    which: str | Sequence[str] | None = None,
    levels: Sequence[float] = LEVELS,
    *,
    scale: Literal["parameter", "zeta"] = "parameter",
) -> pd.DataFrame:
    """Return approximate contours of the profile likelihood of every pair of parameters.

    Parameters
    ----------
    profile : Profile
        The profiles.
    which : str or sequence of str, optional
        Two parameters or more, by default all that were profiled.
    levels : sequence of float
        Levels of the joint regions, by the χ² distribution with two degrees of freedom.
    scale : {"parameter", "zeta"}
        Whether contours are on the scale of the parameters or of ζ.

    Returns
    -------
    pandas.DataFrame
        ``x_parameter``, ``y_parameter``, ``level``, ``x``, ``y``: points along each contour in order. Levels that the
        profiles do not
        reach are left out.

    Notes
    -----
    On the ζ scale a contour touches the lines ζ = ±√χ² where the traces (the estimates of the other parameter along each profile)
    meet them. Between these four points it is interpolated by the phase difference of the two coordinates (Bates & Watts 1988,
    Nonlinear Regression Analysis, appendix A6; R's ``splom`` of a profile).

    References
    ----------
    Bates, D. M. and Watts, D. G. (1988). Nonlinear Regression Analysis and Its Applications. Wiley.
    """
    import pandas as pd
    from scipy.interpolate import PchipInterpolator

    names = _chosen(profile, which)
    if len(names) < 2:
        raise ControlError("Contours are of pairs: which must name two parameters or more.")
    if scale not in ("parameter", "zeta"):
        raise ControlError(f"scale must be 'parameter' or 'zeta', not {scale!r}.")
    curves, backs, reach = {}, {}, {}
    for name in names:
        value, zeta = _points(profile, name)
        curves[name] = (PchipInterpolator(value, zeta), value)
        backs[name] = PchipInterpolator(zeta, value)
        reach[name] = (float(-zeta[0]), float(zeta[-1]))
    traces = {(i, j): _trace(profile, i, j, curves[j]) for i in names for j in names if i != j}
    parts = []
    for i in names:
        for j in names:
            if i == j:
                continue
            for level in levels:
                size = float(np.sqrt(-2.0 * np.log1p(-level)))
                if size > min(*reach[i], *reach[j]):
                    continue
                x, y = _contour(traces[i, j], traces[j, i], size)
                if scale == "parameter":
                    x, y = np.asarray(backs[i](x)), np.asarray(backs[j](y))
                parts.append(pd.DataFrame({"x_parameter": i, "y_parameter": j, "level": level, "x": x, "y": y}))
    if not parts:
        raise DataError("The profiles do not reach out to any of the levels; profile further, as in level=0.999.")
    return pd.concat(parts, ignore_index=True)


def _trace(profile: Profile, i: str, j: str, curve: tuple[Any, FloatArray]) -> Any:
    """Return ζ of the estimate of parameter j as a function of ζ of parameter i, along the profile of i."""
    from scipy.interpolate import PchipInterpolator

    at = profile.names.index(j)
    of, value = curve
    zeta = np.array([point.zeta for point in profile.points[i]])
    other = np.array([point.parameters[at] for point in profile.points[i]])
    keep = rises(zeta)
    return PchipInterpolator(zeta[keep], of(np.clip(other[keep], value[0], value[-1])))


def _contour(trace: Any, back: Any, size: float) -> tuple[FloatArray, FloatArray]:
    """Return a contour on the ζ scale: x = size·cos(a + d/2), y = size·cos(a − d/2), d interpolated over the angle a."""
    from scipy.interpolate import CubicSpline

    def phase(cosine: float) -> float:
        return float(np.arccos(np.clip(cosine / size, -0.999, 0.999)))

    right, left = phase(float(trace(size))), phase(-float(trace(-size)))
    top, bottom = phase(float(back(size))), phase(-float(back(-size)))
    angle = np.array([-right / 2, top / 2, np.pi - left / 2, np.pi + bottom / 2])
    difference = np.array([right, top, left, bottom])
    order = np.argsort(angle)
    angle, difference = angle[order], difference[order]
    wave = CubicSpline(np.append(angle, angle[0] + 2 * np.pi), np.append(difference, difference[0]), bc_type="periodic")
    a = np.linspace(0.0, 2 * np.pi, CURVE)
    d = wave(a)
    return size * np.cos(a + d / 2), size * np.cos(a - d / 2)


# ---- drawing ---------------------------------------------------------------------------------------------------------------


@checked
@idle("absolute", when=lambda given: given["kind"] != "zeta", why="it is for kind='zeta'")
def plot_profile(
    profile: Profile,
    kind: ProfileKind = "zeta",
    *,
    which: str | Sequence[str] | None = None,
    levels: Sequence[float] = LEVELS,
    absolute: bool = False,
) -> Any:
    """Draw profile likelihoods.

    Parameters
    ----------
    profile : Profile
        What `profile` returned.
    kind : {"zeta", "density", "pairs"}
        ``"zeta"``: the signed root of the rise of the deviance, a straight line where the likelihood is normal, with the
        intervals of
        several levels (R's ``xyplot``). ``"density"``: the densities that these curves imply (``densityplot``). ``"pairs"``:
        contours of
        the joint likelihood of every pair, with the density of each parameter on the diagonal (``splom``).
    which : str or sequence of str, optional
        Parameters, by default all that were profiled.
    levels : sequence of float
        Levels of the intervals and contours. Those that the profile does not reach are left out.
    absolute : bool
        For ``"zeta"``, whether its absolute value is drawn.

    Returns
    -------
    plotnine.ggplot
        The picture.

    Raises
    ------
    ControlError
        There is no such kind or parameter, or too many parameters for pairs.
    MissingDependencyError
        plotnine is not installed.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    >>> picture = ml.plot_profile(ml.profile(fit))
    >>> picture.save("profile.png", verbose=False)  # doctest: +SKIP
    """
    import pandas as pd

    names = _chosen(profile, which)
    if kind == "pairs":
        return _draw_pairs(profile, names, levels)
    p9 = plotnine()
    curves = zeta_data(profile, names)
    labels = dict(zip(names, wrapped(names, 26), strict=True))
    panels = [labels[name] for name in names]
    curves["panel"] = pd.Categorical(curves["parameter"].map(labels), categories=panels)
    columns = min(3, len(names)) if len(names) != 4 else 2
    n_rows = -(-len(names) // columns)
    width = max(5.0, min(10.0, 3.1 * columns + 0.8))
    picture = p9.ggplot(curves, p9.aes("value"))
    if kind == "density":
        picture += p9.geom_area(p9.aes(y="density"), fill=BLUE, alpha=0.25)
        picture += p9.geom_line(p9.aes(y="density"), color=BLUE, size=1.0)
        picture += p9.labs(y="Density", title="Profile densities")
    else:
        ends = interval_data(profile, names, levels)
        ends["panel"] = pd.Categorical(ends["parameter"].map(labels), categories=panels)
        if absolute:
            curves["zeta"], ends["zeta"] = curves["zeta"].abs(), ends["zeta"].abs()
        picture += p9.geom_hline(yintercept=0, color=GREY)
        picture += p9.geom_segment(
            p9.aes(x="value", xend="value", y="zeta"), yend=0, data=ends, color=GREY, linetype="dashed", size=0.5
        )
        picture += p9.geom_line(p9.aes(y="zeta"), color=BLUE, size=1.0)
        picture += p9.labs(
            y="|ζ|" if absolute else "ζ, signed root of the rise of the deviance",
            title="Profile likelihood",
            caption=caption(f"Dashed: ends of {', '.join(map(percent, levels))} intervals.", width=width),
        )
    if len(names) > 1:
        picture += p9.facet_wrap("panel", scales="free" if kind == "density" else "free_x", ncol=columns)
    return (
        picture
        + p9.labs(x=names[0] if len(names) == 1 else "Parameter")
        + theme(width, max(3.6, min(12.0, 2.4 * n_rows + 1.2)))
        + p9.theme(axis_text_x=p9.element_text(size=8))
    )


def _draw_pairs(profile: Profile, names: list[str], levels: Sequence[float]) -> Any:
    """Draw a matrix of contours: rows and columns are parameters, each with one scale."""
    import pandas as pd

    if len(names) > MOST_PAIRS:
        raise ControlError(
            f"The pairs of {len(names)} parameters do not fit on a page; choose at most {MOST_PAIRS} by which."
        )
    p9 = plotnine()
    found = contour_data(profile, names, levels)
    reached = sorted(found["level"].unique())
    spans = {}
    for name in names:
        own = pd.concat([found.loc[found["x_parameter"] == name, "x"], found.loc[found["y_parameter"] == name, "y"]])
        spans[name] = (float(own.min()), float(own.max())) if len(own) else _ends(profile, name)
    curves = []
    for name in names:
        own = zeta_data(profile, name)
        low, high = spans[name]
        own = own[(own["value"] >= low) & (own["value"] <= high)]
        # The density stands on the diagonal, where the vertical axis is the parameter's own.
        y = low + (high - low) * own["density"] / own["density"].max()
        curves.append(pd.DataFrame({"x_parameter": name, "y_parameter": name, "x": own["value"], "y": y}))
    points = pd.DataFrame(
        [
            (i, j, profile.estimates[profile.names.index(i)], profile.estimates[profile.names.index(j)])
            for i in names
            for j in names
            if i != j
        ],
        columns=["x_parameter", "y_parameter", "x", "y"],
    )
    labels = dict(zip(names, wrapped(names, 18), strict=True))
    order = [labels[name] for name in names]

    def placed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            column=pd.Categorical(frame["x_parameter"].map(labels), categories=order),
            row=pd.Categorical(frame["y_parameter"].map(labels), categories=order),
        )

    found["line"] = found["level"].astype(str)
    notes = [
        f"Contours: joint regions of {', '.join(percent(level) for level in reached)}; diagonal: profile densities."
    ]
    left_out = [percent(level) for level in levels if level not in reached]
    if left_out:
        notes.append(f"The profiles do not reach {', '.join(left_out)}.")
    size = max(5.0, min(11.0, 1.6 * len(names) + 1.2))
    return (
        p9.ggplot(placed(found), p9.aes("x", "y"))
        + p9.geom_path(p9.aes(group="line"), color=BLUE, size=0.6)
        + p9.geom_point(data=placed(points), size=1.2, stroke=0)
        + p9.geom_line(data=placed(pd.concat(curves, ignore_index=True)), color=GREY, size=0.9)
        + p9.facet_grid("row", "column", scales="free")
        + p9.scale_x_continuous(breaks=lambda limits: axis_breaks(limits, 3))
        + p9.scale_y_continuous(breaks=lambda limits: axis_breaks(limits, 3))
        + p9.labs(x="", y="", title="Profile pairs", caption=caption(*notes, width=size))
        + theme(size, size)
        + p9.theme(
            axis_text=p9.element_text(size=7), strip_text=p9.element_text(size=8, weight="bold"), panel_spacing=0.008
        )
    )


def _ends(profile: Profile, name: str) -> tuple[float, float]:
    points = profile.points[name]
    return points[0].value, points[-1].value
