"""The order of θ is lme4's wherever it shows, ties in the number of levels among it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

# names(getME(fit, "theta")) of lme4 1.1-31: g and h have four levels, k has six
NAMES = {
    "y ~ x + (1 | g) + (1 | h) + (1 | k)": ["k.(Intercept)", "h.(Intercept)", "g.(Intercept)"],
    "y ~ x + (1 | k) + (1 | g) + (1 | h)": ["k.(Intercept)", "g.(Intercept)", "h.(Intercept)"],
    "y ~ x + (1 | g) + (1 | h)": ["g.(Intercept)", "h.(Intercept)"],
    "y ~ (x + z || g) + (x | k)": ["k.(Intercept)", "k.x.(Intercept)", "k.x", "g.z", "g.x", "g.(Intercept)"],
    "y ~ (x + z || g) + (x | h)": ["g.(Intercept)", "g.x", "g.z", "h.(Intercept)", "h.x.(Intercept)", "h.x"],
    "y ~ (1 | g) + (1 | k) + (0 + x | h) + (0 + z | k)": ["k.z", "k.(Intercept)", "h.x", "g.(Intercept)"],
    "y ~ (1 | k) + (1 | g) + (0 + x | k)": ["k.x", "k.(Intercept)", "g.(Intercept)"],
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = pd.DataFrame(list(itertools.product("abcd", "ABCD", "uvwxyz", [0, 1])), columns=list("ghkr"))
    rng = np.random.default_rng(1)
    for column in "xzy":
        frame[column] = rng.normal(size=len(frame))
    for group in "ghk":
        effects = rng.normal(size=(6, 3)) * [1.0, 0.5, 0.7]
        codes = pd.factorize(frame[group])[0]
        frame["y"] += effects[codes, 0] + effects[codes, 1] * frame["x"] + effects[codes, 2] * frame["z"]
    return frame


@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
@pytest.mark.parametrize("formula", NAMES)
def test_names_and_start(data, formula):
    fit = ml.lmer(formula, data)
    assert list(fit.theta.index) == NAMES[formula]
    again = ml.lmer(formula, data, control=ml.LmerControl(start=tuple(fit.theta)))
    assert again.convergence.trace[0] == pytest.approx(fit.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(again.theta, fit.theta, atol=1e-5)


def test_what_follows_the_order_of_theta(data):
    formula = "y ~ x + (1 | g) + (1 | h) + (1 | k)"
    fit = ml.lmer(formula, data)
    assert [group for group in fit.varcorr().to_frame()["grp"] if group != "Residual"] == ["k", "h", "g"]
    intervals = fit.confint(method="wald")
    assert [name for name in intervals.index if name.startswith("sd_")] == [
        f"sd_(Intercept)|{group}" for group in "khg"
    ]
    # Deviations by group come out of theta whatever its order.
    theta = dict(zip("khg", fit.theta, strict=True))
    table = fit.varcorr().to_frame().set_index("grp")
    for group in "ghk":
        assert table.loc[group, "sdcor"] == pytest.approx(theta[group] * fit.sigma)
