"""Residuals against fitted values or a predictor, and by level of a factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.frames import column_from_values
from multilevel.model.source import column_of
from multilevel.plot.smooth import SMOOTHED, lowess_curve
from multilevel.plot.style import (
    BLUE,
    FEW_LEVELS,
    GREY,
    MOST_POINTS,
    SKY,
    VERMILION,
    caption,
    counted,
    heading,
    plotnine,
    sampled,
    shortened,
    theme,
)  # fmt: skip
from multilevel.quality.groups import row_groups

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
ResidualKind = Literal["pearson", "response", "scaled"]

NAMES = {"pearson": "Pearson residual", "response": "Residual", "scaled": "Residual in residual standard deviations"}
MOST_PANELS = 12
"""Levels that have a panel each; more are shown by their quartiles."""


def values_of(fit: LinearMixedModel, name: str) -> FloatArray:
    """Return the numbers of a column of the data in the rows that the fit used.

    Raises
    ------
    UnknownColumnError
        There is no such column.
    DataError
        The fit has no data frame.
    DataTypeError
        The column does not hold numbers.
    """
    column = column_of(fit, name)
    values = column_from_values(name, column.as_numbers()).as_numbers().astype(np.float64)
    return values if fit._design.kept is None else values[fit._design.kept]


def residuals_data(
    fit: LinearMixedModel, *, x: str | None = None, kind: ResidualKind = "pearson", by: Any = None
) -> pd.DataFrame:
    """Return the residuals of every row used.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    x : str, optional
        A column of numbers to set against them; by default the fitted values.
    kind : {"pearson", "response", "scaled"}
        Which residuals (see `LinearMixedModel.residuals`).
    by : str or array_like, optional
        A grouping factor, a column of the data, or one value for each row.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``residual`` and, with `by`, ``group`` (categories in the order of the levels).

    Raises
    ------
    ControlError
        There is no such kind.
    UnknownColumnError, DataError, DataTypeError
        A column is not there or does not fit.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.plot.residuals import residuals_data
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> residuals_data(fit).head(2).round(2)
            x  residual
    0  253.66     -4.10
    1  273.33    -14.63
    """
    import pandas as pd

    residual = fit._residual_values(kind)
    data = pd.DataFrame({"x": fit._fitted_values if x is None else values_of(fit, x), "residual": residual})
    if by is not None:
        groups = row_groups(fit, by)
        data["group"] = pd.Categorical.from_codes(groups.codes, categories=pd.Index(groups.labels))
    return data


def residual_quartiles_data(fit: LinearMixedModel, by: Any, *, kind: ResidualKind = "pearson") -> pd.DataFrame:
    """Return the range, quartiles and median of the residuals of each level.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    by : str or array_like
        A grouping factor, a column of the data, or one value for each row.
    kind : {"pearson", "response", "scaled"}
        Which residuals.

    Returns
    -------
    pandas.DataFrame
        By level ``n``, ``minimum``, ``lower``, ``median``, ``upper``, ``maximum``, with the quantiles of R's ``quantile``, and
        ``rank`` (from 1): levels in order, or by their median where there are more than 60.
    """
    import pandas as pd

    groups = row_groups(fit, by)
    residual = fit._residual_values(kind)
    ordered = residual[np.lexsort((residual, groups.codes))]
    n = np.bincount(groups.codes, minlength=len(groups.labels))
    start = np.cumsum(n) - n
    columns = {}
    for name, share in zip(("minimum", "lower", "median", "upper", "maximum"), (0, 0.25, 0.5, 0.75, 1), strict=True):
        at = share * (n - 1)
        below = np.floor(at).astype(np.int64)
        above = np.minimum(below + 1, n - 1)
        columns[name] = ordered[start + below] + (at - below) * (ordered[start + above] - ordered[start + below])
    data = pd.DataFrame({"n": n, **columns}, index=pd.Index(groups.labels, name=groups.name))
    rank = np.arange(1, len(n) + 1)
    if len(n) > FEW_LEVELS:
        rank[np.argsort(columns["median"], kind="stable")] = np.arange(1, len(n) + 1)
    return data.assign(rank=rank)


@checked
def plot_residuals(
    fit: LinearMixedModel, *, x: str | None = None, kind: ResidualKind = "pearson", by: Any = None
) -> Any:
    """Draw residuals against fitted values or a predictor, with a smooth curve.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    x : str, optional
        A column of numbers to set against them; by default the fitted values.
    kind : {"pearson", "response", "scaled"}
        Which residuals (see `LinearMixedModel.residuals`).
    by : str or array_like, optional
        A grouping factor, a column of the data, or one value for each row. At most 12 levels have a panel each; of more the picture
        shows median, quartiles and range of the residuals of each level (and not `x`).

    Returns
    -------
    plotnine.ggplot
        The picture. Of more than 4000 rows a sample is drawn, and the caption says so.

    Raises
    ------
    ControlError
        There is no such kind.
    UnknownColumnError, DataError, DataTypeError
        A column is not there or does not fit.
    """
    if by is not None and len(row_groups(fit, by).labels) > MOST_PANELS:
        return _by_level(fit, by, kind)
    data = residuals_data(fit, x=x, kind=kind, by=by)
    label = f"Fitted {fit._design.response_name}" if x is None else x
    title = f"Residuals against {'fitted values' if x is None else x}"
    return scatter(data, label, NAMES[kind], title, by="group" if by is not None else None)


def scatter(
    data: pd.DataFrame,
    x_label: str,
    y_label: str,
    title: str,
    *,
    by: str | None = None,
    zero: bool = True,
    width: float | None = None,
) -> Any:
    """Draw ``residual`` against ``x`` with a smooth curve, in panels and with a line at zero where asked."""
    import pandas as pd

    p9 = plotnine()
    curves = []
    for name, own in [("", data)] if by is None else data.groupby(by, observed=True, sort=False):
        curve = lowess_curve(own["x"].to_numpy(), own["residual"].to_numpy())
        if len(curve):
            curves.append(curve if by is None else curve.assign(**{by: name}))
    shown = data.iloc[sampled(len(data))]
    n_panels = 1 if by is None else data[by].nunique()
    n_columns = min(4, n_panels)
    n_rows = -(-n_panels // n_columns)
    if width is None:
        width = 7.0 if n_columns < 3 else 9.0
    note = "Curve: lowess."
    if len(data) > MOST_POINTS:
        note = f"{counted(len(shown))} of {counted(len(data))} rows are drawn, chosen at random. " + note
    if len(data) > SMOOTHED and by is None:
        note = note[:-1] + f" of {counted(SMOOTHED)} rows."
    picture = (
        p9.ggplot(shown, p9.aes("x", "residual"))
        + p9.geom_point(color=BLUE, alpha=_opacity(len(shown)), size=1.6 if len(shown) <= 500 else 0.9, stroke=0)
        + p9.labs(x=x_label, y=y_label, title=heading(title, width))
        + theme(width, 4.5 if n_rows == 1 else min(12.0, 1.2 + 2.4 * n_rows))
    )
    if zero:
        picture += p9.geom_hline(yintercept=0, linetype="dashed", color=GREY)
    if curves:
        picture += p9.geom_line(p9.aes("x", "y"), data=pd.concat(curves), color=VERMILION, size=1)
        picture += p9.labs(caption=caption(note, width=width))
    if by is not None:
        picture += p9.facet_wrap(by, ncol=n_columns)
    return picture


def _opacity(n: int) -> float:
    return 0.8 if n <= 500 else 0.45 if n <= 2000 else 0.3


def _by_level(fit: LinearMixedModel, by: Any, kind: ResidualKind) -> Any:
    p9 = plotnine()
    data = residual_quartiles_data(fit, by, kind=kind).reset_index(names="level")
    few = len(data) <= FEW_LEVELS
    quartile_size = 2.5 if few else 1.2 if len(data) <= 500 else 0.4
    name = row_groups(fit, by).name
    picture = (
        p9.ggplot(data, p9.aes(y="rank", yend="rank"))
        + p9.geom_segment(p9.aes(x="minimum", xend="maximum"), color=GREY if few else "#D0D0D0", size=0.5 if few else 0.3)
        + p9.geom_segment(p9.aes(x="lower", xend="upper"), color=BLUE if few else SKY, size=quartile_size)
        + p9.geom_vline(xintercept=0, linetype="dashed", color=GREY)
        + p9.geom_point(
            p9.aes(x="median"), color="white" if few else "black", size=1.2 if few else 0.9 if len(data) <= 500 else 0.15, stroke=0
        )
        + p9.labs(
            x=NAMES[kind], y=name if few else f"{name}, by median", title=heading(f"Residuals by {name}", 6.0),
            caption="Median, quartiles and range of each level.",
        )
        + theme(6.0, min(9.0, max(3.0, 0.17 * len(data) + 1.2)) if few else 6.0)
    )  # fmt: skip
    if few:
        labels = shortened(data["level"])
        return picture + p9.scale_y_continuous(
            breaks=data["rank"].tolist(), labels=labels, minor_breaks=[], expand=(0, 0.8)
        )
    return picture + p9.scale_y_continuous(labels=lambda at: [counted(int(value)) for value in at], expand=(0, 0.8))
