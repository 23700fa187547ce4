"""Pictures: each is drawn without a warning, shows what it should, and looks as it did."""

from __future__ import annotations

import functools
import subprocess
import sys

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotnine
import pytest

import multilevel as ml
from multilevel.plot import style
from multilevel.plot.model import KINDS
from multilevel.plot.smooth import lowess_curve
from plot_pictures import PICTURES, difference, pixels, sleep, sleep_intercept
from reference_cases import frame


def draw(picture):
    """Draw a picture at low resolution and return its axes and all its text, lines joined."""
    figure = picture.draw()
    figure.set_dpi(30)
    figure.canvas.draw()
    texts = [
        text.get_text().replace("\n", " ")
        for text in figure.findobj(mpl.text.Text)
        if text.get_text() and text.get_visible()
    ]
    axes = figure.axes
    plt.close(figure)
    return axes, texts


@functools.cache
def crossed():
    return ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))


@functools.cache
def factor_slopes():
    return ml.lmer("score ~ Machine + (0 + Machine | Worker)", frame("fixture", "machines"))


@functools.cache
def interaction():
    return ml.lmer("y ~ x1_c * interv_label + x2 + (1 + x1_c | k_id)", frame("fixture", "scenario_4"))


@functools.cache
def many():
    """Ten thousand clusters of three rows."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(10_000), 3)
    x = rng.normal(size=g.size)
    y = x + rng.normal(size=10_000)[g] + 0.5 * rng.normal(size=10_000)[g] * x + rng.normal(size=g.size)
    return ml.lmer("y ~ x + (x | g)", pd.DataFrame({"g": g, "x": x, "y": y}))


@functools.cache
def singular():
    return ml.lmer("y ~ x + (x | g)", frame("fixture", "zero_slope"))


@functools.cache
def zero():
    return ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))


@functools.cache
def weighted():
    data = frame("fixture", "sleepstudy_extra").copy()
    data.loc[7, "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        return ml.lmer("Reaction ~ Days + (Days || Subject)", data, weights="w", na_action="exclude")


FITS = {
    "slopes": sleep, "crossed": crossed, "factor slopes": factor_slopes, "many": many, "singular": singular,
    "zero variance": zero, "weighted": weighted,
}  # fmt: skip
NOTHING = {
    ("est", "crossed"), ("est", "zero variance"), ("std", "crossed"), ("std", "zero variance"), ("vcov", "crossed"),
    ("vcov", "zero variance"),
}  # fmt: skip


# Whole pages take longest.
CASES = [
    (kind, fit)
    for kind in KINDS
    for fit in FITS
    if kind not in ("diag", "checks") or fit in ("many", "singular", "zero variance", "weighted")
]


INTERCEPT_ONLY = ("crossed", "zero variance")
NOTHING_TO_PREDICT = {
    *((kind, fit) for kind in ("pred", "eff", "int", "slope") for fit in INTERCEPT_ONLY),
    *(("int", fit) for fit in ("slopes", "factor slopes", "many", "singular", "weighted")),
    ("slope", "factor slopes"),
}


@pytest.mark.parametrize(("kind", "fit"), CASES)
def test_every_picture_of_every_model(kind, fit):
    if (kind, fit) in NOTHING:
        with pytest.raises(ml.ControlError, match=r"no (fixed effect to draw|correlations)"):
            ml.plot_model(FITS[fit](), kind)
        return
    if (kind, fit) in NOTHING_TO_PREDICT:
        with pytest.raises(
            ml.DataError, match=r"no (variable to make predictions|interaction to draw|numeric variable)"
        ):
            ml.plot_model(FITS[fit](), kind)
        return
    axes, texts = draw(ml.plot_model(FITS[fit](), kind))
    assert axes
    assert any(texts)


@pytest.mark.parametrize("fit", FITS)
def test_shrinkage_of_every_model(fit):
    _, texts = draw(ml.plot_shrinkage(FITS[fit]()))
    assert {"No pooling", "Partial pooling", "Complete pooling"} <= set(texts)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_as_they_did(name):
    assert difference(pixels(PICTURES[name]()), name) < 0.1


def test_the_comparison_tells_pictures_apart():
    assert difference(pixels(ml.plot_model(sleep(), "re", sort=False)), "caterpillar") > 0.2
    assert difference(pixels(ml.plot_model(sleep_intercept(), "est", show_intercept=True)), "estimates") > 0.2
    assert difference(pixels(ml.plot_model(sleep(), "resid", kind="scaled", x="Days")), "residuals") > 0.2
    assert difference(pixels(ml.plot_shrinkage(sleep(), terms=["Days", "(Intercept)"])), "shrinkage") > 0.2


def test_other_options():
    data = ml.load_dataset("sleepstudy")
    pictures = [
        ml.plot_model(sleep(), "re", kind="coef", sort=True),
        ml.plot_model(many(), "re", kind="coef"),
        ml.plot_model(interaction(), "est", sort=True, show_values=True, show_intercept=True, labels={"x2": "Sex"}),
        ml.plot_model(sleep(), "std", method="basic", vline=None),
        ml.plot_model(interaction(), "resid", by="interv_label"),
        ml.plot_model(interaction(), "resid", by="k_id"),
        ml.plot_model(many(), "resid", by="g"),
        ml.plot_model(sleep(), "resid", by="Subject", kind="scaled"),
        ml.plot_model(factor_slopes(), "vcov", kind="scatter"),
        ml.plot_model(many(), "vcov", kind="scatter"),
        ml.plot_model(sleep(), "vcov", part="random"),
        ml.plot_model(interaction(), "variance", scale="share"),
        ml.plot_model(crossed(), "variance", interval="profile", scale="variance"),
        ml.plot_model(sleep(), "diag", panels=["qq", "qq_random"]),
        ml.plot_clusters(data, "Days", "Reaction", "Subject"),
        ml.plot_clusters(data, "Days", "Reaction", "Subject", lines="observed", panels=True, population=False),
        ml.plot_clusters(data, "Days", "Reaction", "Subject", lines="none", population=False),
        ml.plot_clusters(sleep(), "Days", lines="both", points=False),
        ml.plot_clusters(interaction(), "x1_c", panels=True),
        ml.plot_clusters(factor_slopes(), "Machine"),
        ml.plot_clusters(many(), "x"),
        ml.plot_clusters(frame("fixture", "scenario_4"), "interv_label", "y", "k_id"),
        ml.plot_shrinkage(sleep(), terms="Days"),
    ]
    for picture in pictures:
        assert draw(picture)[0]


def test_pictures_can_be_added_to():
    picture = ml.plot_model(sleep(), "re") + plotnine.theme_classic() + plotnine.labs(title="Mine")
    assert isinstance(picture, plotnine.ggplot)
    assert "Mine" in draw(picture)[1]
    page = ml.plot_model(sleep(), "diag") & plotnine.theme_bw()
    assert len(draw(page)[0]) >= 6


def test_levels_are_named_where_they_fit():
    axes, texts = draw(ml.plot_model(crossed(), "re"))
    assert len(axes) == 2
    assert {"plate: (Intercept)", "sample: (Intercept)", "A", "F", "a", "x"} <= set(texts)
    # Each panel has the names of its own factor alone.
    assert [len(ax.get_yticklabels()) for ax in axes] == [24, 6]
    _, counts = draw(ml.plot_model(many(), "re"))
    assert "10,000" in counts
    assert "9999" not in counts


def test_the_page_of_checks_says_what_to_look_for():
    _, texts = draw(ml.plot_checks(ml.check_model(interaction())))
    assert {"Linearity", "The curve should stay near the dashed line.", "Points should lie in the grey band."} <= set(
        texts
    )
    assert any(text.startswith("Collinearity: ") for text in texts)
    assert {"(Intercept) by k_id", "x1_c by k_id"} <= set(texts)
    page = draw(ml.plot_checks(zero()))[1]
    assert any("Not drawn. Linearity: All fitted values are equal" in text for text in page)
    assert len(draw(ml.plot_model(sleep(), "checks") & plotnine.theme_bw())[0]) == 7


def test_marginal_means_of_every_shape():
    fit = interaction()
    pictures = [
        ml.plot_emmeans(ml.emmeans(fit, "interv_label")),
        ml.plot_emmeans(ml.emmeans(fit, "1")),
        ml.plot_emmeans(ml.emmeans(fit, ["x1_c", "interv_label"], at={"x1_c": [-1, 0, 1]})),
        ml.plot_emmeans(ml.emmeans(fit, "interv_label", by="x1_c", at={"x1_c": [-1, 0, 1]}).pairs()),
    ]
    for picture in pictures:
        assert draw(picture + plotnine.theme_classic())[0]
    _, texts = draw(ml.plot_emmeans(ml.emtrends(fit, "interv_label", "x1_c")))
    assert {"Trends of x1_c", "Slope of x1_c with 95% interval", "interv_label"} <= set(texts)


def test_structured_terms_have_their_own_components():
    fit = ml.lmer("score ~ Machine + cs(0 + Machine | Worker)", frame("fixture", "machines"))
    _, texts = draw(ml.plot_model(fit, "variance"))
    assert {"Worker: MachineA", "Worker: MachineC", "Residual"} <= set(texts)


def test_panels_of_their_own_order_have_their_own_names():
    axes, _ = draw(ml.plot_model(sleep(), "re", sort=True))
    names = [
        [label.get_text() for label in sorted(ax.get_yticklabels(), key=lambda label: label.get_position()[1])]
        for ax in axes
    ]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])


def test_what_is_left_out_is_said():
    assert any("4,000 of 30,000 rows are drawn" in text for text in draw(ml.plot_model(many(), "resid"))[1])
    assert any("100 of 10,000 levels of g" in text for text in draw(ml.plot_clusters(many(), "x"))[1])
    assert any("300 of 10,000 levels of g" in text for text in draw(ml.plot_shrinkage(many()))[1])
    assert any("without an interval" in text for text in draw(ml.plot_model(zero(), "variance"))[1])
    page = draw(ml.plot_model(zero(), "diag"))[1]
    assert any("There are no quantiles of random effects" in text for text in page)
    few = ml.load_dataset("sleepstudy").groupby("Subject", observed=True).head(3).drop(index=[1, 2])
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", few)
    assert any("1 of the levels drawn have too few rows" in text for text in draw(ml.plot_shrinkage(fit))[1])


def test_models_have_names():
    _, texts = draw(ml.plot_models(without=sleep_intercept(), slopes=sleep()))
    assert {"without", "slopes"} <= set(texts)
    _, texts = draw(ml.plot_models(sleep_intercept(), sleep(), names=["a", "b"]))
    assert {"a", "b"} <= set(texts)
    with pytest.raises(ml.ControlError, match="names has 1 names and there are 2 models"):
        ml.plot_models(sleep(), sleep_intercept(), names=["a"])
    with pytest.raises(ml.ControlError, match="'model 1' stands for two models"):
        ml.plot_models(sleep(), **{"model 1": sleep_intercept()})
    with pytest.raises(ml.ControlError, match="no model to draw"):
        ml.plot_models()
    with pytest.raises(ml.DataTypeError, match="must be a model fitted by lmer, not "):
        ml.plot_models("Reaction ~ Days")


def test_bad_requests():
    with pytest.raises(ml.ControlError, match="no picture of type 'violin'"):
        ml.plot_model(sleep(), "violin")
    with pytest.raises(ml.ControlError, match="type 're' has no option 'sorted'; it has group, kind, level, sort"):
        ml.plot_model(sleep(), "re", sorted=True)
    with pytest.raises(ml.DataTypeError, match=r"plot_model.* must be a model fitted by lmer"):
        ml.plot_model(ml.load_dataset("sleepstudy"))
    with pytest.raises(ml.ControlError, match="labels names 'days', which is not in the picture"):
        ml.plot_model(sleep(), "est", labels={"days": "Days"})
    with pytest.raises(ml.ControlError, match="panels must be among"):
        ml.plot_model(sleep(), "diag", panels="histogram")
    with pytest.raises(ml.ControlError, match="no quantiles of random effects"):
        ml.plot_model(zero(), "diag", panels="qq_random")
    with pytest.raises(ml.ControlError, match="kind must be 'heatmap' or 'scatter'"):
        ml.plot_model(sleep(), "vcov", kind="ellipse")
    with pytest.raises(ml.ControlError, match="has no random effect 'Nights'; it has"):
        ml.plot_shrinkage(sleep(), terms="Nights")
    with pytest.raises(ml.ControlError, match="one random effect or two, not 3"):
        ml.plot_shrinkage(factor_slopes(), terms=["MachineA", "MachineB", "MachineC"])
    with pytest.raises(ml.ControlError, match=r"kind must be one of .* not 'student'"):
        ml.plot_model(sleep(), "resid", kind="student")
    with pytest.raises(ml.DataTypeError, match="'Subject' holds text or categories"):
        ml.plot_model(sleep(), "resid", x="Subject")


def test_plotnine_is_needed_only_to_draw(monkeypatch):
    code = (
        "import sys, multilevel as ml; ml.plot_model, ml.plot_models, ml.plot_clusters, ml.plot_shrinkage;"
        " print('plotnine' in sys.modules, 'matplotlib' in sys.modules, 'statsmodels' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False False False"

    # None in their place makes an import fail.
    monkeypatch.setitem(sys.modules, "plotnine", None)
    monkeypatch.setitem(sys.modules, "statsmodels.nonparametric.smoothers_lowess", None)
    with pytest.raises(ml.MissingDependencyError, match="statsmodels"):
        lowess_curve(np.arange(9.0), np.arange(9.0))
    with pytest.raises(ml.MissingDependencyError, match=r"pip install 'multilevel\[plot\]'"):
        style.plotnine()
