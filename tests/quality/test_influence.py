"""Influence against lme4 and against dense algebra with the rows left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import multilevel as ml
import reference_cases as rc
import small_models as sm
from dense_deletion import Projection, fit_of
from multilevel.quality import row_solutions as rows_module
from multilevel.quality.deletion import delete_groups, delete_rows
from small_models import without_data

MODELS = {model["name"]: model for model in rc.reference("influence")["models"]}


@pytest.fixture(scope="module", params=list(MODELS))
def case(request):
    model = MODELS[request.param]
    return model, ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), weights=model.get("weights"))


def test_row_statistics_against_lme4(case):
    model, fit = case
    np.testing.assert_allclose(ml.hatvalues(fit), model["hatvalues"], rtol=1e-9)
    np.testing.assert_allclose(ml.rstudent(fit), model["rstudent"], rtol=1e-7)
    np.testing.assert_allclose(ml.cooks_distance(fit), model["cooks_distance"], rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "which"),
    [(name, which) for name, model in MODELS.items() for which in ("by_group", "by_case") if which in model],
)
def test_refits_against_lme4(name, which):
    model = MODELS[name]
    fit = ml.lmer(model["formula"], rc.frame(model["source"], model["data"]), weights=model.get("weights"))
    expected = model[which]
    found = ml.influence(fit, model["group"] if which == "by_group" else None, exact=True)
    frame = found.to_frame()
    frame.index = [str(label + 1) if which == "by_case" else label for label in frame.index]
    frame = frame.loc[expected["deleted"]]
    J, p = len(frame), len(fit.fixef)
    dfbetas = frame[[f"dfbetas_{name}" for name in model["coefficients"]]].to_numpy()
    # lme4's fits end where its derivative-free optimiser does.
    np.testing.assert_allclose(dfbetas, np.reshape(expected["dfbetas"], (J, p)), atol=1e-4)
    np.testing.assert_allclose(frame["sigma"], expected["sigma"], rtol=1e-4)
    scaled = np.asarray(expected["cooks_distance"]) * J / (J - p)
    np.testing.assert_allclose(frame["cooks_distance"], scaled, atol=1e-4 * scaled.max())
    assert found.converged.all()


def check_deletions(fit, codes, found):
    """Compare deletions at fixed theta with dense algebra without the rows."""
    whole = Projection.of(fit)
    vcov, p = fit.sigma**2 * whole.unscaled, whole.X.shape[1]
    for group in range(int(codes.max()) + 1):
        keep = codes != group
        if not keep.sum() > p + 2 or np.linalg.matrix_rank(whole.X[keep]) < p:
            continue
        rest = Projection.of(fit, keep)
        sigma = rest.sigma(fit.reml)
        change = rest.beta - whole.beta
        own = sigma**2 * rest.unscaled
        np.testing.assert_allclose(found.change[group], change, rtol=1e-6, atol=1e-8 * np.abs(whole.beta).max())
        np.testing.assert_allclose(found.std_error[group], np.sqrt(np.diag(own)), rtol=1e-6)
        np.testing.assert_allclose(found.sigma[group], sigma, rtol=1e-6)
        distance = change @ np.linalg.solve(vcov, change) / p
        np.testing.assert_allclose(found.cooks_distance[group], distance, rtol=1e-5, atol=1e-10)
        ratio = np.linalg.det(own) / np.linalg.det(vcov)
        np.testing.assert_allclose(found.covariance_ratio[group], ratio, rtol=1e-6)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", [name for name in sm.STRUCTURES if not name.startswith("no fixed")])
def test_deletions_at_fixed_theta_by_dense_algebra(name, reml, monkeypatch):
    parts = sm.parts(n=70)
    fit = fit_of(sm.STRUCTURES[name](parts), reml)
    rng = np.random.default_rng(1)
    if reml:
        check_deletions(fit, np.arange(fit.nobs), delete_rows(fit))
    for codes in (parts.g.codes, parts.sch.codes, rng.integers(0, 5, fit.nobs).astype(np.int32)):
        check_deletions(fit, codes, delete_groups(fit, codes, int(codes.max()) + 1))
    # Large groups take another route, in which levels may vanish and terms change places.
    monkeypatch.setattr(rows_module, "LARGEST_GROUP", 3)
    check_deletions(fit, parts.h.codes, delete_groups(fit, parts.h.codes, parts.h.n_levels))


@settings(max_examples=25)
@given(sm.designs())
def test_rows_of_any_design_by_dense_algebra(drawn):
    fit = fit_of(drawn)
    dense, rows = Projection.of(fit), rows_module.row_solutions(fit)
    size = np.abs(dense.P).max()
    np.testing.assert_allclose(rows.diagonal, np.diag(dense.P), atol=1e-7 * size)
    np.testing.assert_allclose(
        rows.user_gain(), dense.gain, atol=1e-7 * max(np.abs(dense.gain).max(initial=0.0), 1e-300)
    )
    np.testing.assert_allclose(rows.scores, dense.P @ dense.y, atol=1e-6 * size * np.abs(dense.y).max())


def test_one_refit_is_the_fit_to_the_rest():
    frame = ml.load_dataset("sleepstudy").iloc[:-13]
    for formula in ("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"):
        fit = ml.lmer(formula, frame, reml=False)
        found = ml.influence(fit, "Subject", exact=True)
        rest = ml.lmer(formula, frame[frame["Subject"] != "337"], reml=False)
        np.testing.assert_allclose(fit.fixef + found.dfbeta.loc["337"], rest.fixef, rtol=1e-6)
        np.testing.assert_allclose(found.theta.loc["337"], rest.theta, rtol=1e-4)
        assert found.sigma["337"] == pytest.approx(rest.sigma, rel=1e-6)
        ratio = np.linalg.det(rest.vcov()) / np.linalg.det(fit.vcov())
        assert found.covratio["337"] == pytest.approx(ratio, rel=1e-5)
        moved = (rest.fixef - fit.fixef) / rest.standard_errors
        np.testing.assert_allclose(found.dfbetas.loc["337"], moved, rtol=1e-4, atol=1e-6)


def test_refits_of_crossed_factors_with_levels_that_vanish():
    frame = ml.load_dataset("Penicillin")
    fit = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame)
    found = ml.influence(fit, "plate", exact=True, threads=1)
    rest = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame[frame["plate"] != "a"])
    assert fit.fixef.iloc[0] + found.dfbeta.loc["a"].iloc[0] == pytest.approx(rest.fixef.iloc[0], rel=1e-9)
    np.testing.assert_allclose(found.theta.loc["a", fit.theta.index], rest.theta[fit.theta.index], rtol=1e-5)


def test_a_variance_of_zero_can_grow_when_a_group_is_left_out():
    fit = rc.fit("zero_slope_reml")
    assert fit.is_singular
    frame = rc.frame("fixture", "zero_slope")
    found = ml.influence(fit, "g", exact=True)
    for label in found.dfbeta.index:
        rest = ml.lmer(str(fit.formula), frame[frame["g"].astype(str) != label])
        assert found.sigma[label] == pytest.approx(rest.sigma, rel=1e-5)


def test_groups_by_column_and_by_values():
    frame = rc.frame("fixture", "school_class_pupil")
    fit = ml.lmer("y ~ x + (1 | school/class)", frame)
    by_name = ml.influence(fit, "rater")
    assert by_name.dfbeta.index.name == "rater"
    assert by_name.n_rows.sum() == fit.nobs
    by_values = ml.influence(fit, frame["rater"])
    np.testing.assert_array_equal(by_name.dfbeta, by_values.dfbeta)
    assert by_name.leverage.sum() == pytest.approx(ml.hatvalues(fit).sum())


def test_rows_that_cannot_be_spared():
    frame = ml.load_dataset("sleepstudy").assign(only=0.0)
    frame.loc[20, "only"] = 1.0
    fit = ml.lmer("Reaction ~ Days + only + (1 | Subject)", frame)
    found = ml.influence(fit)
    assert found.not_estimable == (20,)
    assert found.dfbeta.loc[20].isna().all()
    assert found.dfbeta.drop(index=20).notna().all(axis=None)
    assert "Without 20 the fixed effects cannot be estimated" in found.conclusion
    assert np.isnan(ml.cooks_distance(fit)[20])
    assert np.isnan(ml.rstudent(fit)[20])
    by_subject = ml.influence(fit, "Subject", exact=True)
    assert by_subject.not_estimable == ("310",)
    assert not by_subject.converged["310"]
    assert "did not end" not in by_subject.conclusion


def test_left_out_rows_and_row_labels():
    frame = ml.load_dataset("sleepstudy").set_axis([f"r{i}" for i in range(180)])
    frame.loc["r7", "Reaction"] = np.nan
    for action in ("omit", "exclude"):
        with pytest.warns(ml.MissingValuesWarning):
            fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame, na_action=action)
        found = ml.influence(fit)
        assert len(found.dfbeta) == 179
        assert "r7" not in found.dfbeta.index
        assert len(ml.hatvalues(fit)) == (180 if action == "exclude" else 179)
    by_column = ml.influence(fit, "Days")
    assert list(by_column.dfbeta.index) == list(range(10))


def test_results_as_frames_and_pages():
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    found = ml.influence(fit)
    frame = found.to_frame()
    assert {"n_rows", "cooks_distance", "covratio", "sigma", "leverage", "dfbeta_Days", "dfbetas_Days"} <= set(frame)
    assert found.cutoffs["dfbetas"] == pytest.approx(2 / np.sqrt(180))
    assert list(found.influential().index) == [59, 130]
    text = str(found)
    assert "theta held" in text
    assert "row 59 changes the fixed effects most" in " ".join(text.split())
    for page in (found.to_html(), found._repr_html_(), found.to_markdown(), found.to_latex()):
        assert "0.0454" in page
    pd.testing.assert_series_equal(found.cooks_distance, frame["cooks_distance"])


def test_what_cannot_be_used():
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    with pytest.raises(ml.UnknownColumnError, match="Subjekt"):
        ml.influence(fit, "Subjekt")
    with pytest.raises(ml.DataError, match="have 3 values; there are 180 rows"):
        ml.influence(fit, [1, 2, 3])
    with pytest.raises(ml.DataError, match="at least two"):
        ml.influence(fit, np.ones(180))
    with pytest.raises(ml.DataError, match="lack a value in 1"):
        ml.influence(fit, np.r_[np.nan, np.ones(179)])
    with pytest.raises(ml.ControlError, match="threads"):
        ml.influence(fit, exact=True, threads=0)
    with pytest.raises(ml.DataError, match="not at hand"):
        ml.influence(without_data(fit), "Days")
    none = ml.lmer("Reaction ~ 0 + (1 | Subject)", ml.load_dataset("sleepstudy"))
    for call in (ml.influence, ml.cooks_distance):
        with pytest.raises(ml.DataError, match="no fixed effects"):
            call(none)


def test_nothing_can_be_spared():
    frame = ml.load_dataset("sleepstudy")
    frame["half"] = (frame["Subject"].astype(str) > "340").map({True: "b", False: "a"})
    fit = ml.lmer("Reaction ~ half + (1 | Subject)", frame)
    found = ml.influence(fit, "half")
    assert found.not_estimable == ("a", "b")
    assert str(found).endswith("The fixed effects cannot be estimated without any half.")
    assert found.influential().empty
    assert "without any half" in found.to_html()


def test_many_fixed_effects_in_print():
    fit = ml.lmer("weight ~ sex * Treatment + Lsize + (1 | Litter)", rc.frame("fixture", "rat_pups"))
    found = ml.influence(fit, "Litter")
    assert "largest dfbetas" in str(found)
    assert "−" not in found.to_latex()
