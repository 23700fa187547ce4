"""R² against performance, pbkrtest, the published formulas on lme4's matrices, and the figures of the scenarios."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.quality.null_model import reduced_design, reduced_variances

REFERENCE = rc.reference("quality_performance")
CASES = {case["name"]: case for case in REFERENCE["variances"]}
LEFT_OUT = {"sleepstudy_uncorrelated_reml", "cake_recipe_cells_reml"}


@pytest.mark.parametrize("name", CASES)
def test_nakagawa_and_xu_against_performance(name):
    expected, fit = CASES[name], rc.fit(name)
    found = ml.r2(fit)
    if name not in LEFT_OUT:  # see test_variance_decomposition
        assert found.conditional == pytest.approx(expected["conditional"], rel=1e-7)
        assert found.marginal == pytest.approx(expected["marginal"], rel=1e-7, abs=1e-12)
    assert ml.r2(fit, "xu").values["xu"] == pytest.approx(expected["xu"], rel=1e-7)


@pytest.mark.parametrize(
    ("name", "conditional", "marginal"),
    [
        ("scenario_1", 0.493, 0.484),
        ("scenario_2_with_price", 0.552, 0.548),
        ("scenario_4_model_1", 0.011, 0.000),
        ("scenario_4_model_2", 0.672, 0.657),
        ("scenario_4_model_3", 0.821, 0.662),
        ("scenario_4_model_4", 0.821, 0.661),
        ("scenario_4_model_5", 0.818, 0.748),
    ],
)
def test_figures_of_the_scenarios(name, conditional, marginal):
    found = ml.r2(rc.fit(f"{name}_reml"))
    assert round(found.conditional, 3) == conditional
    assert round(found.marginal, 3) == marginal


def test_intervals():
    found = ml.r2(rc.fit("sleepstudy_reml"), ci=0.95, n=200, rng=1)
    frame = found.to_frame()
    assert frame.index.tolist() == ["conditional", "marginal"]
    assert frame["estimate"].between(frame["conf_low"], frame["conf_high"], inclusive="neither").all()
    assert ml.r2(rc.fit("sleepstudy_reml")).to_frame()["conf_low"].isna().all()


@pytest.mark.parametrize("name", REFERENCE["levels"])
def test_by_level(name):
    expected, fit = REFERENCE["levels"][name], rc.fit(f"{name}_reml")
    found = ml.r2(fit, "raudenbush-bryk")
    assert found.values == pytest.approx(expected["reduction"], rel=1e-6)
    if "performance" in expected:
        assert list(found.values.values()) == pytest.approx(list(expected["performance"].values()), rel=1e-4)
    snijders = ml.r2(fit, "snijders-bosker")
    assert snijders.values == pytest.approx(expected["snijders_bosker"], rel=1e-6, abs=1e-9)
    negative = min(expected["reduction"].values()) < 0
    assert any("negative" in note for note in found.notes) == negative
    assert any("several" in note for note in snijders.notes) == (len(fit.ngroups) > 1)


def test_snijders_bosker_of_random_slopes_is_that_of_random_intercepts():
    slopes, intercepts = rc.fit("sleepstudy_reml"), rc.fit("sleepstudy_intercept_reml")
    assert ml.r2(slopes, "snijders-bosker").values == pytest.approx(
        ml.r2(intercepts, "snijders-bosker").values, rel=1e-8, abs=1e-9
    )
    assert "random intercepts only" in ml.r2(slopes, "snijders-bosker").notes[0]
    # The fixed part has no intercept that the random one could share.
    frame = ml.load_dataset("cake")
    cells = ml.lmer("angle ~ 0 + recipe + (0 + temp | replicate)", frame)
    plain = ml.lmer("angle ~ recipe + (1 | replicate)", frame)
    assert ml.r2(cells, "snijders-bosker").values == pytest.approx(
        ml.r2(plain, "snijders-bosker").values, rel=1e-6, abs=1e-9
    )


def test_the_null_model_is_the_one_that_update_makes():
    fit = rc.fit("weights_and_offset_reml")
    null = ml.lmer("Reaction ~ 1 + (Days | Subject)", rc.frame("fixture", "sleepstudy_extra"), weights="w_fraction",
                   offset="off")  # fmt: skip
    found = reduced_variances(fit, fixed=False, slopes=True)
    parts = ml.variance_decomposition(null)
    assert found.residual == pytest.approx(parts.residual, rel=1e-8)
    assert found.by_group == pytest.approx(parts.by_group, rel=1e-6)
    design = reduced_design(fit._design, fixed=True, slopes=True)
    np.testing.assert_array_equal(design.X, fit._design.X)


def test_a_level_without_variance():
    found = ml.r2(rc.fit("dyestuff2_reml"), "raudenbush-bryk")
    assert np.isnan(found.values["Batch"])
    assert any(note.startswith("NaN") for note in found.notes)


def test_rights_sterba_of_predictors_centred_within_clusters():
    frame = rc.frame("fixture", "scenario_4").copy()
    clusters = frame.groupby("k_id")
    frame["x_b"] = clusters["x1_c"].transform("mean")
    frame["x_w"] = frame["x1_c"] - frame["x_b"]
    frame["b_w"] = frame["x2"] - clusters["x2"].transform("mean")
    found = ml.r2(ml.lmer("y ~ x_w + b_w + x_b + interv + (x_w + b_w | k_id)", frame), "rights-sterba")
    table = found.to_frame()
    for column, values in REFERENCE["rights_sterba"]["centred"].items():
        for name, value in values.items():
            assert table.loc[name, column] == pytest.approx(value, rel=1e-7), (name, column)
    assert table.loc["v2", "total"] == pytest.approx(0, abs=1e-12)
    assert len(found.notes) == 1


def test_rights_sterba_of_uncentred_predictors():
    fit = rc.fit("exam_reml")
    found = ml.r2(fit, "rights-sterba")
    expected = REFERENCE["rights_sterba"]["uncentred"]
    assert {name: found.values[name] for name in expected} == pytest.approx(expected, rel=1e-8)
    assert "standLRT, sexM vary both within and between" in found.notes[1]
    table = found.to_frame()
    for column, whole in (
        ("total", ("f1", "f2", "v1", "v2", "m")),
        ("within", ("f1", "v1")),
        ("between", ("f2", "v2", "m")),
    ):
        assert table.loc[list(whole), column].sum() == pytest.approx(table.loc["fvm", column])
    assert table.loc["fvm", "between"] == pytest.approx(1.0)
    assert table.loc["m", "within"] != table.loc["m", "within"]
    with pytest.raises(ml.DataError, match="one grouping factor; the model has plate, sample"):
        ml.r2(rc.fit("penicillin_reml"), "rights-sterba")


@pytest.mark.parametrize("name", REFERENCE["edwards"])
def test_edwards_against_pbkrtest(name):
    values = ml.r2(rc.fit(f"{name}_reml"), "edwards").values
    assert values["model"] == pytest.approx(REFERENCE["edwards"][name], rel=1e-8)
    assert list(values)[1:] == list(rc.fit(f"{name}_reml")._design.term_labels)
    assert all(0 < value < 1 for value in values.values())


def test_what_cannot_be_asked_for():
    fit = rc.fit("sleepstudy_reml")
    with pytest.raises(ml.ControlError, match="not 'tjur'"):
        ml.r2(fit, "tjur")
    with pytest.raises(ml.ControlError, match="no intervals for the method 'xu'"):
        ml.r2(fit, "xu", ci=0.9)
    with pytest.raises(ml.ControlError, match="Kenward and Roger"):
        ml.r2(rc.fit("sleepstudy_ml"), "edwards")
    with pytest.raises(ml.DataError, match="nothing to test"):
        ml.r2(rc.fit("dyestuff_reml"), "edwards")
    with pytest.raises(AttributeError, match="has no marginal R²; its measures are xu"):
        _ = ml.r2(fit, "xu").marginal


@pytest.mark.parametrize("method", ["nakagawa", "snijders-bosker", "raudenbush-bryk", "rights-sterba", "edwards", "xu"])
def test_all_methods_print(method):
    found = ml.r2(rc.fit("sleepstudy_intercept_reml"), method)
    assert "nan" not in str(found).lower().replace("variance", "")
    assert "<table" in found.to_html()
