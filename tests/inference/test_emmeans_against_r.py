"""Marginal means, trends and contrasts against R's emmeans."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.data.levels import level_text

STORED = {model["name"]: model for model in rc.reference("emmeans")["models"]}
ASKED = [(name, i) for name, model in STORED.items() for i in range(len(model["asked"]))]


def rats():
    found = pd.read_parquet(rc.FOLDER / "rat_pups.parquet")
    arm = pd.Categorical(found.Treatment, categories=["Control", "Low", "High"], ordered=False)
    return found.assign(litter_is_large=found.Lsize > 12, male=(found.sex == "Male").astype(float), arm=arm)


@functools.cache
def frame(name):
    if name == "rats":
        return rats()
    if name == "rats_without_cell":
        found = rats()
        return found[~((found.sex == "Male") & (found.arm == "High"))]
    if name == "rats_with_gaps":
        found = rats()
        found.loc[found.index[0:300:13], "Lsize"] = np.nan
        return found
    return rc.frame("dataset" if name == "cake" else "fixture", name)


@functools.cache
def fitted(name):
    model = STORED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        warnings.simplefilter("ignore", ml.MissingValuesWarning)
        return ml.lmer(
            model["formula"],
            frame(model["set"]),
            weights=model.get("weights"),
            offset=model.get("offset"),
            contrasts=rc.contrasts_of(model),
        )


def our_answer(name, asked):
    options = dict(asked["arguments"])
    specs, var = options.pop("specs"), options.pop("var", None)
    options["ddf"] = options.pop("lmer.df", "satterthwaite")
    fit = fitted(name)
    if asked["kind"] == "trends":
        if name == "rats_poly":
            # R's difference quotient goes to one side: it is the slope of a parabola half a step further on.
            size = frame("rats").Lsize
            at = options.get("at", {}).get("Lsize", [size.mean()])
            options["at"] = {"Lsize": np.asarray(at) + 0.0005 * np.ptp(size)}
        found = ml.emtrends(fit, specs, var, **options)
    else:
        found = ml.emmeans(fit, specs, **options)
    contrast = asked.get("contrast")
    return found.contrast(contrast["method"], adjust=contrast.get("adjust")) if contrast else found.test()


@pytest.mark.parametrize(("name", "i"), ASKED, ids=[f"{name}-{i}" for name, i in ASKED])
def test_against_emmeans(name, i):
    asked = STORED[name]["asked"][i]
    found = our_answer(name, asked)
    table = found.to_frame()
    for (ours, values), (theirs, texts) in zip(dict(found.labels).items(), asked["labels"].items(), strict=True):
        assert ours == theirs
        # R stores the labels as text, with fewer digits.
        if all(isinstance(value, float) for value in values):
            if name == "rats_poly" and asked["kind"] == "trends":
                continue
            np.testing.assert_allclose(values, np.array(texts, dtype=float))
        else:
            assert [level_text(value) for value in values] == texts

    def same(column, values, rtol, atol=0.0):
        expected = np.array([np.nan if value is None else value for value in values], dtype=float)
        if column == "df" and asked["arguments"].get("lmer.df") == "asymptotic":
            expected[:] = np.inf
        np.testing.assert_allclose(table[column], expected, rtol=rtol, atol=atol, err_msg=column)

    error = float(np.nanmax(table.std_error))
    same("estimate", asked["estimate"], 1e-8, 1e-8 * error)
    same("std_error", asked["se"], 1e-7)
    same("df", asked["df"], 1e-5)
    same("statistic", asked["statistic"], 1e-6, 1e-7)
    # R's Tukey probabilities are off by 1e-8 where degrees of freedom are in the thousands; and where a row cannot be estimated it
    # rounds the degrees of freedom of the others to whole numbers.
    tukey, gaps = found.adjust == "tukey", bool(table.estimate.isna().any())
    same(
        "p_value",
        asked["p"],
        5e-2 if tukey and gaps else 1e-4,
        2e-8 if tukey and name.startswith("scenario_4") else 1e-11,
    )
    same("conf_low", asked["lower"], 1e-6, (1e-2 if tukey and gaps else 1e-5) * error)
    same("conf_high", asked["upper"], 1e-6, (1e-2 if tukey and gaps else 1e-5) * error)


# ---- the factors' means in the other stored file -----------------------------------------------------------------------

MODELS = {model["name"]: model for model in rc.reference("inference")["models"]}
FACTORS = [
    (name, ddf, factor)
    for name, model in MODELS.items()
    for ddf in ("satterthwaite", "kenward-roger", "asymptotic")
    for factor in model.get(f"emmeans_{ddf.replace('-', '_')}", {})
]


@functools.cache
def fit_of(name):
    model = MODELS[name]
    return ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), contrasts=rc.contrasts_of(model))


@pytest.mark.parametrize(("name", "ddf", "factor"), FACTORS)
def test_one_factor_and_its_pairs(name, ddf, factor):
    stored = MODELS[name][f"emmeans_{ddf.replace('-', '_')}"][factor]
    means = ml.emmeans(fit_of(name), factor, ddf=ddf)
    table = means.to_frame()
    assert [level_text(value) for value in table[factor]] == stored["labels"]
    np.testing.assert_allclose(table.estimate, stored["emmean"], rtol=1e-7)
    np.testing.assert_allclose(table.std_error, stored["se"], rtol=2e-6)
    for column, key in (("conf_low", "lower"), ("conf_high", "upper")):
        np.testing.assert_allclose(table[column], stored[key], rtol=1e-5)
    pairs, plain = means.pairs().to_frame(), means.pairs(adjust="none").to_frame()
    theirs = stored["pairs"]
    assert list(pairs.contrast) == theirs["labels"]
    np.testing.assert_allclose(pairs.estimate, theirs["estimate"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(pairs.std_error, theirs["se"], rtol=2e-6)
    np.testing.assert_allclose(pairs.p_value, theirs["p_tukey"], rtol=2e-3, atol=1e-11)
    np.testing.assert_allclose(plain.p_value, theirs["p"], rtol=2e-3, atol=1e-15)
    if ddf != "asymptotic":
        np.testing.assert_allclose(table.df, stored["df"], rtol=2e-4)
        np.testing.assert_allclose(pairs.df, theirs["df"], rtol=2e-4)
    else:
        assert np.isinf(table.df).all()
