"""Marginal means of factors that are nested in others, and of transformed responses, against R's emmeans and by definition."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.plot.predicted_values import cluster_lines, predictions

STORED = rc.reference("emmeans_nested")
MODELS = {model["name"]: model for model in STORED["models"]}
ASKED = [(name, i) for name, model in MODELS.items() for i in range(len(model["asked"]))]


@functools.cache
def data():
    return pd.DataFrame(STORED["data"]).astype({"door": int, "site": int})


def fitted(formula, frame=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        return ml.lmer(formula, data().astype({"door": str}) if frame is None else frame)


@functools.cache
def fit_of(name):
    return fitted(MODELS[name]["formula"])


@pytest.mark.parametrize(("name", "i"), ASKED, ids=[f"{name}-{i}" for name, i in ASKED])
def test_against_emmeans(name, i):
    asked = MODELS[name]["asked"][i]
    options = dict(asked["arguments"])
    specs, var = options.pop("specs"), options.pop("var", None)
    fit, contrast = fit_of(name), asked.get("contrast")
    found = ml.emmeans(fit, specs, **options) if var is None else ml.emtrends(fit, specs, var, **options)
    found = found.contrast(contrast["method"]) if contrast else found.test()
    table = found.to_frame()
    labels = [column for column, _ in found.labels]
    assert set(labels) == set(asked["labels"])
    theirs = pd.DataFrame({column: asked["labels"][column] for column in labels})
    ours = pd.DataFrame({column: [str(value) for value in table[column]] for column in labels})
    if "contrast" in labels and "response" in options.get("type", ""):
        theirs["contrast"] = ours["contrast"]  # R writes "u / v" for these where differences of logarithms are ratios
    if "x" in labels:
        ours["x"] = ours["x"].astype(float).astype(int).astype(str)
    theirs["row"], ours["row"] = range(len(theirs)), range(len(ours))
    both = theirs.merge(ours, on=labels, suffixes=("_r", ""))
    assert len(both) == len(theirs) == len(ours)

    def same(column, stored, rtol, atol=0.0):
        expected = np.array([np.nan if value is None else value for value in asked[stored]], dtype=float)
        np.testing.assert_allclose(
            table[column].to_numpy()[both["row"]], expected[both["row_r"]], rtol=rtol, atol=atol, err_msg=column
        )

    error = float(np.nanmax(table["std_error"]))
    same("estimate", "estimate", 1e-7, 1e-6 * error)
    same("std_error", "se", 2e-6)
    same("df", "df", 1e-4)
    if found.by and contrast:
        return  # R adjusts for the smallest of the families, whatever the size of each
    same("conf_low", "lower", 1e-5, 1e-5 * error)
    same("conf_high", "upper", 1e-5, 1e-5 * error)


def test_means_within_nests_are_those_of_the_cells():
    for formula in (
        "y ~ region + street + (1 | site)",
        "y ~ region / street + (1 | site)",
        "y ~ region / door + (1 | site)",
    ):
        found = ml.emmeans(fitted(formula), "region")
        cells = fitted("y ~ 0 + street + (1 | site)").fixef
        expected = [
            cells[[f"street{s}" for s in data().query("region == @r").street.unique()]].mean() for r in ("A", "B")
        ]
        np.testing.assert_allclose(found.to_frame().estimate, expected, rtol=1e-7)
        assert any("is nested in region" in note for note in found.notes)
        assert not any("interaction" in note for note in found.notes)


def test_a_nested_factor_is_shown_with_its_nest():
    fit = fit_of("three_deep")
    street = ml.emmeans(fit, "street")
    assert [name for name, _ in street.labels] == ["street", "region", "town"]
    assert len(street) == 7
    assert street.to_frame()["estimate"].notna().all()
    assert "town is nested in region; street is nested in region, town" in street.notes
    by = ml.emmeans(fit, "street", by="town")
    assert by.by == ("region", "town")
    assert "region = A, town = p:" in str(by)
    both = ml.emmeans(fit, ["region", "town"])
    assert [name for name, _ in both.labels] == ["region", "town"]
    assert len(both) == 4
    assert len(ml.emmeans(fit, "region", by="street")) == 7


def test_comparisons_within_nests_count_their_own_family():
    fit = fit_of("one_in_one")
    pairs = ml.emmeans(fit, "street", by="region").pairs()
    assert len(pairs) == 6 + 3
    assert any("families of 3 and 4 estimates" in note for note in pairs.notes)
    table = pairs.to_frame()
    plain = ml.emmeans(fit, "street", by="region").pairs(adjust="none").to_frame()
    from scipy.stats import studentized_range

    for region, k in (("A", 4), ("B", 3)):
        own = table["region"] == region
        t = np.abs(plain["statistic"][own])
        expected = studentized_range.sf(np.sqrt(2) * t, k, plain["df"][own])
        np.testing.assert_allclose(table["p_value"][own], expected, rtol=1e-3, atol=1e-10)


def test_levels_that_are_left_out():
    fit = fit_of("one_in_one")
    found = ml.emmeans(fit, "street", at={"region": ["A"]})
    assert dict(found.labels)["street"] == ("c1", "c2", "c3", "c4")
    assert ml.emmeans(fit, "kind", at={"region": ["B"]}).to_frame()["estimate"].notna().all()


def test_crossed_factors_are_as_they_were():
    fit = ml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", ml.load_dataset("cake"))
    found = ml.emmeans(fit, "recipe", at={"temperature": ["175"]})
    assert [name for name, _ in found.labels] == ["recipe"]
    assert not any("nested" in note for note in found.notes)
    one_level = ml.emmeans(fit, "temperature", at={"recipe": ["A"]})
    assert [name for name, _ in one_level.labels] == ["temperature"]
    assert len(one_level) == 6


def test_an_empty_cell_of_crossed_factors_is_not_left_out():
    frame = data()[~((data().kind == "v") & (data().region == "B"))]
    found = ml.emmeans(fitted("y ~ region * kind + (1 | site)", frame), ["region", "kind"]).to_frame()
    assert len(found) == 4
    assert found["estimate"].isna().sum() == 1


def test_number_columns_and_a_nest_of_two_values():
    frame = data().assign(arm=(data().region == "B").astype(float), door=data().street.str[1:].astype(int))
    means = ml.emmeans(fitted("y ~ arm + factor(door) + (1 | site)", frame), "arm").to_frame()
    expected = ml.emmeans(fitted("y ~ region + street + (1 | site)"), "region").to_frame()
    np.testing.assert_allclose(means.estimate, expected.estimate, rtol=1e-7)


def test_pictures_of_nested_factors():
    fit = fit_of("one_in_one")
    streets = predictions(fit, ["street"])
    means = ml.emmeans(fit, "street", at={"kind": ["u"]}).to_frame()
    np.testing.assert_allclose(streets.frame["estimate"], means["estimate"], rtol=1e-12)
    assert dict(streets.held) == {"kind": "u"}
    regions = predictions(fit, ["region"])
    means = ml.emmeans(fit, "region", at={"kind": ["u"]}).to_frame()
    np.testing.assert_allclose(regions.frame["estimate"], means["estimate"], rtol=1e-12)
    assert regions.averaged == ("street",)
    assert len(ml.plot_model(fit, "eff", terms=["region", "kind"]).data) == 4
    lines, _, _ = cluster_lines(fit, streets, {"site": ["1", "2"]})
    assert lines["estimate"].notna().all()
    assert len(lines) == 14
