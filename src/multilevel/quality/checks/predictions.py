"""Whether data simulated from the fit look like the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, Seed, checked
from multilevel.errors import ControlError
from multilevel.model.simulation import batch_size, gaussian_source
from multilevel.quality.checks.result import Check, listed, number

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

WORDS = {
    "mean": "mean",
    "sd": "standard deviation",
    "skewness": "skewness",
    "kurtosis": "kurtosis",
    "min": "minimum",
    "max": "maximum",
}
STATISTICS = tuple(WORDS)

FEWEST = 100
"""Responses to simulate at the least: a statistic is outside all of them by chance in one case out of fifty."""

GRID = 256
"""Points at which densities are drawn."""


@checked
def check_predictions(fit: LinearMixedModel, n: Count = 100, *, rng: Seed = 1, conditional: bool = False) -> Check:
    """Compare the response with responses simulated from the fit: a posterior predictive check at the estimates.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    n : int
        Number of simulated responses.
    rng : int, SeedSequence or Generator, optional
        Where the random numbers come from; the same ones unless told otherwise.
    conditional : bool
        Whether the conditional modes are in all simulated responses; by default each has new random effects.

    Returns
    -------
    Check
        ``table``, by statistic (mean, sd, skewness, excess kurtosis, min, max): its ``observed`` value, the ``conf_low``,
        ``median`` and ``conf_high`` (2.5, 50 and 97.5 %) of the simulated ones, and ``p_value``, twice the smaller share of
        simulated ones beyond it. A statistic outside everything simulated makes a warning. ``data``: densities in long form;
        ``response``, ``density``, ``replicate`` (0 for the data).

    Raises
    ------
    ControlError
        The number is below 100: fewer would warn of what chance does.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.check_predictions(fit).ok
    True
    """
    import pandas as pd

    if n < FEWEST:
        raise ControlError(f"The number of simulated responses must be at least {FEWEST}; it is {n}.")
    y = fit._design.y
    source = gaussian_source(fit, conditional=conditional)
    generator = np.random.default_rng(rng)
    observed = _statistics(y)
    low, high = _limits(y)
    edges = np.linspace(low, high, GRID + 1)
    width = _bandwidth(y)
    simulated = np.empty((n, len(STATISTICS)))
    densities = np.empty((n, GRID))
    step = min(batch_size(source), 16)
    for first in range(0, n, step):
        for row, values in enumerate(source.draw(generator, min(step, n - first)), start=first):
            simulated[row] = _statistics(values)
            densities[row] = _density(values, edges, width)
    quantiles = np.quantile(simulated, [0.025, 0.5, 0.975], axis=0)
    above, below = (simulated >= observed).sum(axis=0), (simulated <= observed).sum(axis=0)
    p_value = np.minimum(2.0 * (np.minimum(above, below) + 1) / (n + 1), 1.0)
    table = pd.DataFrame(
        {
            "observed": observed,
            "conf_low": quantiles[0],
            "median": quantiles[1],
            "conf_high": quantiles[2],
            "p_value": p_value,
        },
        index=pd.Index(STATISTICS, name="statistic"),
    )
    outside = [name for name, a, b in zip(STATISTICS, above, below, strict=True) if min(a, b) == 0]
    if outside:
        worst = outside[0]
        at = STATISTICS.index(worst)
        text = (
            f"The data differ from what the model simulates in {listed([WORDS[name] for name in outside])}: the {WORDS[worst]} of"
            " the response is"
            f" {number(float(observed[at]))}, and 95 % of {n} simulated ones lie between {number(float(quantiles[0, at]))} and"
            f" {number(float(quantiles[2, at]))}."
        )
    else:
        text = (
            f"The response looks like {n} responses simulated from the model: its {listed(list(WORDS.values()), 6)} are all"
            " among theirs."
        )
    middle = 0.5 * (edges[1:] + edges[:-1])
    lines = np.vstack([_density(y, edges, width), densities[: min(n, 50)]])
    data = pd.DataFrame(
        {
            "response": np.tile(middle, len(lines)),
            "density": lines.ravel(),
            "replicate": np.repeat(np.arange(len(lines)), GRID),
        }
    )
    numbers = {"n": float(n), "smallest_p_value": float(p_value.min())}
    return Check("predictions", not outside, text, numbers, table, data)


def _statistics(values: FloatArray) -> FloatArray:
    mean = values.mean()
    deviation = values - mean
    scale = np.sqrt((deviation * deviation).mean())
    # Powers of values of size one, whatever the response's units.
    standard = deviation / (scale if scale > 0 else 1.0)
    square = standard * standard
    skewness = float((square * standard).mean())
    kurtosis = float((square * square).mean()) - 3.0
    sd = scale * np.sqrt(values.size / max(values.size - 1, 1))
    return np.array([mean, sd, skewness, kurtosis, values.min(), values.max()])


def _limits(values: FloatArray) -> tuple[float, float]:
    spread = 4.0 * _bandwidth(values)
    return float(values.min()) - spread, float(values.max()) + spread


def _bandwidth(values: FloatArray) -> float:
    """Return Silverman's rule of thumb."""
    low, high = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std()), float(high - low) / 1.34) or float(values.std()) or 1.0
    return float(0.9 * spread * values.size**-0.2)


def _density(values: FloatArray, edges: FloatArray, bandwidth: float) -> FloatArray:
    """Return a normal kernel density from counts on a fine grid."""
    from scipy.ndimage import gaussian_filter1d

    width = float(edges[1] - edges[0])
    place = np.floor((values - edges[0]) / width).astype(np.int64)
    counts = np.bincount(place[(place >= 0) & (place < edges.size - 1)], minlength=edges.size - 1)
    result: FloatArray = gaussian_filter1d(
        counts / (values.size * width), bandwidth / width, mode="constant", truncate=6.0
    )
    return result
