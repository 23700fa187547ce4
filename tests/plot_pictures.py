"""Pictures with a stored baseline, and how they are compared. ``python plot_pictures.py`` here writes the baselines anew."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import plotnine

import multilevel as ml
from reference_cases import frame

FOLDER = Path(__file__).parent / "plot" / "baseline"
DPI = 40
BLOCKS = (32, 24)


@functools.cache
def sleep() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


@functools.cache
def sleep_intercept() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))


@functools.cache
def cake() -> ml.LinearMixedModel:
    return ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", ml.load_dataset("cake"))


@functools.cache
def scenario() -> ml.LinearMixedModel:
    return ml.lmer("y ~ x1_c * x2 + (1 | k_id)", frame("fixture", "scenario_4"))


PICTURES: dict[str, Callable[[], Any]] = {
    "caterpillar": lambda: ml.plot_model(sleep(), "re"),
    "estimates": lambda: ml.plot_model(sleep(), "est", show_intercept=True),
    "models": lambda: ml.plot_models(sleep_intercept(), sleep(), show_values=True),
    "correlations": lambda: ml.plot_model(sleep(), "vcov"),
    "ellipse": lambda: ml.plot_model(sleep(), "vcov", kind="scatter"),
    "components": lambda: ml.plot_model(sleep(), "variance"),
    "residuals": lambda: ml.plot_model(sleep(), "resid"),
    "diagnostics": lambda: ml.plot_model(sleep(), "diag"),
    "panels": lambda: ml.plot_clusters(sleep(), "Days", panels=True),
    "shrinkage": lambda: ml.plot_shrinkage(sleep()),
    "strip": lambda: ml.plot_shrinkage(sleep_intercept()),
    "checks": lambda: ml.plot_model(sleep(), "checks"),
    "predictions": lambda: ml.plot_model(cake(), "pred", terms=["temp", "recipe"], show_data=True),
    "region": lambda: ml.plot_model(scenario(), "slope", terms=["x1_c", "x2 [-40:120]"]),
    "means": lambda: ml.plot_emmeans(ml.emmeans(cake(), ["temp", "recipe"], at={"temp": [175, 225]})),
    "contrasts": lambda: ml.plot_emmeans(ml.emmeans(cake(), "recipe", by="temp", at={"temp": [175, 225]}).pairs()),
    "comparison": lambda: ml.plot_comparison(sleep_intercept().update(". ~ 1 + (1 | Subject)"), sleep_intercept()),
}


def pixels(picture: Any) -> np.ndarray:
    """Draw a picture without its text and return its colours, shape (height, width, 3), from 0 to 1."""
    blank = plotnine.element_blank()
    # Without text the layout depends on no font.
    bare = plotnine.theme(
        axis_text=blank,
        axis_title=blank,
        plot_title=blank,
        plot_subtitle=blank,
        plot_caption=blank,
        strip_text=blank,
        legend_position="none",
    )
    picture = picture + bare if isinstance(picture, plotnine.ggplot) else picture & bare
    file = io.BytesIO()
    picture.save(file, format="png", dpi=DPI, verbose=False)
    file.seek(0)
    return plt.imread(file)[:, :, :3]


def blocks(image: np.ndarray) -> np.ndarray:
    """Return the mean colours of a grid of blocks, which fonts and their rendering hardly change."""
    rows = np.linspace(0, image.shape[0], BLOCKS[1] + 1).astype(int)
    columns = np.linspace(0, image.shape[1], BLOCKS[0] + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(image, rows[:-1], axis=0), columns[:-1], axis=1)
    return sums / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])


def difference(image: np.ndarray, name: str) -> float:
    """Return how far a picture is from its baseline: the root mean square of the blocks, over that of the baseline's ink."""
    stored = blocks(plt.imread(FOLDER / f"{name}.png")[:, :, :3])
    own = blocks(image)
    return float(np.sqrt(((own - stored) ** 2).mean() / ((1.0 - stored) ** 2).mean()))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for picture_name, make in PICTURES.items():
        plt.imsave(FOLDER / f"{picture_name}.png", pixels(make()))
