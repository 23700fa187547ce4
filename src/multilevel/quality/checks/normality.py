"""Normality of residuals and of random effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.quality.checks.result import Check, listed, not_checked, number, p_text
from multilevel.quality.residuals import rstandard

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

LARGEST_SHAPIRO = 5000
"""Shapiro and Wilk's test is for at most this many values; beyond, normality is judged by its moments."""

MODEST_SKEWNESS, MODEST_KURTOSIS = 0.5, 1.0
"""Skewness and excess kurtosis that are of no consequence for fixed effects in large samples."""

PLOTTED = 2000
"""Points of a quantile plot: beyond, evenly spaced quantiles stand for all values."""


@checked
def check_normality(
    fit: LinearMixedModel, effects: Literal["residuals", "random"] = "residuals", *, standardise: bool = True
) -> Check:
    """Check whether residuals or random effects look normally distributed.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    effects : {"residuals", "random"}
        The standardised conditional residuals, or the conditional modes of each grouping factor's effects.
    standardise : bool
        For ``"random"``: divide each mode by its own standard deviation √(τ² − conditional variance), since modes of small groups
        are shrunken more. False: take them as they are, as R's ``performance::check_normality(fit, effects = "random")`` does.

    Returns
    -------
    Check
        ``table``, by set of values: ``n``, ``statistic`` and ``p_value`` of Shapiro & Wilk's test for up to 5000 values, of
        D'Agostino & Pearson's K² beyond, ``skewness`` and (excess) ``kurtosis``. For more than 5000 values any departure is
        significant, and the verdict is by size: a skewness within ±0.5 and an excess kurtosis within ±1 are no matter. ``data``:
        the quantile plot with pointwise 95 % bands; ``theoretical``, ``sample``, ``conf_low``, ``conf_high``.

    Raises
    ------
    ControlError
        The effects are neither.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.check_normality(fit).conclusion)
    The residuals are not normally distributed (Shapiro–Wilk W = 0.901, p < 0.001; skewness −0.00962, excess kurtosis 7.57).
    Estimates of fixed effects stand this well; intervals for single new observations do not.
    """
    if effects == "residuals":
        values = np.asarray(rstandard(fit), dtype=np.float64)
        return _check("normality of the residuals", {"residuals": values[np.isfinite(values)]}, "The residuals")
    samples = _modes(fit, standardise)
    usable = {name: values for name, values in samples.items() if values.size >= 3}
    if not usable:
        return not_checked(
            "normality of the random effects",
            "No grouping factor has three levels or more whose effects vary, so that nothing can be said about their distribution.",
        )
    return _check("normality of the random effects", usable, "The random effects")


def _modes(fit: LinearMixedModel, standardise: bool) -> dict[str, FloatArray]:
    samples = {}
    components: dict[str, list[float]] = {}
    for part in fit.varcorr():
        components.setdefault(part.group, []).extend((part.standard_deviations**2).tolist())
    effects = fit.ranef(cond_var=True)
    for group in effects:
        frame, covariance = effects[group], effects.conditional_variances(group)
        for c, name in enumerate(frame.columns):
            values = frame.iloc[:, c].to_numpy(dtype=np.float64)
            variance = components[group][c] - covariance[:, c, c]
            if standardise:
                keep = variance > 1e-8 * max(components[group][c], 1e-300)
                values = values[keep] / np.sqrt(variance[keep])
            if values.size and np.ptp(values) > 0:
                samples[f"{name} by {group}"] = values
    return samples


def _check(name: str, samples: dict[str, FloatArray], subject: str) -> Check:
    import pandas as pd

    rows = {label: _describe(values) for label, values in samples.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["n"] = table["n"].astype("int64")
    table.index.name = "values"
    bad = [label for label, row in rows.items() if not row["normal"]]
    table = table.drop(columns="normal")
    alone = len(rows) == 1
    if bad:
        worst = rows[min(bad, key=lambda label: rows[label]["p_value"])]
        which = "" if alone and subject == "The residuals" else f" of {listed(bad)}" if not alone else f" ({bad[0]})"
        text = (
            f"{subject}{which} are not normally distributed ({_test_text(worst)}; skewness {number(worst['skewness'])}, excess"
            f" kurtosis {number(worst['kurtosis'])})."
        )
        text += (
            " Estimates of fixed effects stand this well; intervals for single new observations do not."
            if subject == "The residuals"
            else " Look for outlying levels or levels of two kinds; fixed effects suffer little, predictions for levels more."
        )
    else:
        least = rows[min(rows, key=lambda label: rows[label]["p_value"])]
        text = f"{subject} look normally distributed ({_test_text(least)}{'' if alone else ' at the least'})."
        if least["n"] > LARGEST_SHAPIRO:
            text = (
                f"{subject} are near enough to normally distributed: skewness {number(least['skewness'])}, excess kurtosis"
                f" {number(least['kurtosis'])}."
            )
    numbers = {"smallest_p_value": float(table["p_value"].min())}
    data = pd.concat(
        [_quantile_plot(values).assign(values=label) for label, values in samples.items()], ignore_index=True
    )
    return Check(name, not bad, text, numbers, table, data)


def _describe(values: FloatArray) -> dict[str, Any]:
    from scipy import stats

    n = values.size
    if n <= LARGEST_SHAPIRO:
        statistic, p_value = stats.shapiro(values)
    else:
        statistic, p_value = stats.normaltest(values)
    z = (values - values.mean()) / values.std()
    skewness, kurtosis = float((z**3).mean()), float((z**4).mean() - 3.0)
    modest = abs(skewness) <= MODEST_SKEWNESS and abs(kurtosis) <= MODEST_KURTOSIS
    normal = float(p_value) >= 0.05 if n <= LARGEST_SHAPIRO else modest
    return {
        "n": n, "statistic": float(statistic), "p_value": float(p_value), "skewness": skewness, "kurtosis": kurtosis,
        "normal": normal,
    }  # fmt: skip


def _test_text(row: dict[str, Any]) -> str:
    test = "Shapiro–Wilk W" if row["n"] <= LARGEST_SHAPIRO else "K²"
    return f"{test} = {number(row['statistic'])}, {p_text(row['p_value'])}"


def _quantile_plot(values: FloatArray) -> pd.DataFrame:
    """Return ordered values against normal quantiles, with the band of order statistics about the line through the quartiles."""
    import pandas as pd
    from scipy.special import ndtri

    n = values.size
    ordered = np.sort(values)
    at = np.arange(n) if n <= PLOTTED else np.unique(np.linspace(0, n - 1, PLOTTED).round().astype(int))
    share = (at + 0.5) / n
    z = ndtri(share)
    low, high = np.quantile(ordered, [0.25, 0.75])
    slope = (high - low) / (2.0 * ndtri(0.75))
    line = 0.5 * (low + high) + slope * z
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    half = 1.959963984540054 * slope * np.sqrt(share * (1.0 - share) / n) / density
    return pd.DataFrame({"theoretical": z, "sample": ordered[at], "conf_low": line - half, "conf_high": line + half})
