"""Predictions that the data do not determine, and those of rows without a group."""

import json
import warnings
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml
from multilevel.formula.rank import dependence, dependent_columns
from multilevel.plot.predicted_values import cluster_lines, predictions

N = 240


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(14)
    f, h = np.array(list("abc"))[np.arange(N) % 3], np.array(list("uv"))[(np.arange(N) // 3) % 2]
    x = rng.normal(size=N)
    g = np.arange(N) // 20
    y = 10 + 5 * (f == "b") + rng.normal(size=N) + rng.normal(size=12)[g]
    return pd.DataFrame({"y": y, "f": f, "h": h, "x": x, "twice": 2e-9 * x, "g": g})[~((f == "b") & (h == "v"))]


def deficient(formula, frame):
    with pytest.warns(ml.RankDeficiencyWarning, match="dropped"):
        return ml.lmer(formula, frame)


@pytest.fixture(scope="module")
def fit(frame):
    return deficient("y ~ f * h + (1 | g)", frame)


NEW = {"f": ["b", "b", "a"], "h": ["v", "u", "v"], "g": [0, 0, 1]}


@pytest.mark.parametrize(
    "options", [{}, {"se": True}, {"interval": "prediction"}, {"se": True, "method": "simulation", "rng": 1}]
)
@pytest.mark.parametrize("re_formula", [None, False])
def test_an_empty_cell_has_no_prediction(options, re_formula, fit):
    with pytest.warns(
        ml.RankDeficiencyWarning, match=r"1 of 3 rows of the new data has no prediction.*\(fb:hv\)"
    ) as seen:
        found = fit.predict(NEW, re_formula=re_formula, **options)
    assert len(seen) == 1
    values = pd.DataFrame(found).to_numpy()
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1:]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = fit.predict({name: values[1:] for name, values in NEW.items()}, re_formula=re_formula, **options)
    if options.get("method") is None:
        np.testing.assert_array_equal(values[1:], pd.DataFrame(rest).to_numpy())


def test_the_rows_of_a_fit_are_determined(fit, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = fit.predict(pl.from_pandas(frame.drop(columns="y")))
    np.testing.assert_allclose(again, fit.fitted(), rtol=1e-12)


def test_simulated_and_augmented_rows(fit):
    with pytest.warns(ml.RankDeficiencyWarning, match="no prediction"):
        found = fit.simulate(2, newdata=NEW, rng=1)
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1:]).all()
    with pytest.warns(ml.RankDeficiencyWarning, match="no prediction") as seen:
        table = fit.augment(newdata=NEW)
    assert len(seen) == 1
    assert table[[".fitted", ".fixed"]].isna().to_numpy().tolist() == [[True, True], [False, False], [False, False]]


def test_missing_values_are_told_from_what_is_not_determined(fit):
    new = {"f": ["b", None, "a"], "h": ["v", "u", "v"], "g": [0, 0, 1]}
    with pytest.warns(ml.RankDeficiencyWarning, match="1 of 3"):
        assert np.isnan(fit.predict(new)).tolist() == [True, True, False]
    with pytest.warns(ml.RankDeficiencyWarning, match="1 of 3"):
        assert np.isnan(fit.predict(new, na_action="omit")).tolist() == [True, False]


@pytest.mark.parametrize("column", ["x", "twice"])
def test_a_covariate_that_another_determines(column, frame):
    """Units do not matter: the prediction is determined where the dependence of the data holds."""
    first, second = ("x", "twice") if column == "x" else ("twice", "x")
    fit = deficient(f"y ~ {first} + {second} + (1 | g)", frame)
    alone = ml.lmer(f"y ~ {first} + (1 | g)", frame)
    new = pd.DataFrame({"x": [1.0, 1.0, 1e6], "twice": [2e-9, 3e-9, 2e-3], "g": 0})
    with pytest.warns(ml.RankDeficiencyWarning, match=rf"1 of 3.*\({second}\)"):
        found = fit.predict(new)
    assert np.isnan(found).tolist() == [False, True, False]
    np.testing.assert_allclose(found[[0, 2]], alone.predict(new)[[0, 2]], rtol=1e-6)


def test_the_weights_of_dropped_columns():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 50))
    x = np.column_stack([np.ones(50), a, 3 * a - 2, 1e8 * b, c, a + 1e8 * b - c])
    dropped, weights = dependence(x)
    assert dropped == [2, 5] == dependent_columns(x)
    np.testing.assert_allclose(weights, [[-2, 0], [3, 1], [0, 1], [0, -1]], atol=1e-9)
    np.testing.assert_allclose(x[:, [0, 1, 3, 4]] @ weights, x[:, dropped], rtol=1e-9, atol=1e-6)
    assert dependence(x[:, [0, 1, 3]])[1].shape == (3, 0)


@pytest.mark.parametrize("data", [False, True])
def test_a_saved_fit_knows_what_is_determined(data, fit, tmp_path):
    fit.save(tmp_path / "fit.mlm", data=data)
    again = ml.load(tmp_path / "fit.mlm")
    with pytest.warns(ml.RankDeficiencyWarning, match="1 of 3"):
        assert np.isnan(again.predict(NEW)).tolist() == [True, False, False]
    if data:
        assert ml.emmeans(again, "f", by="h").to_frame()["estimate"].isna().sum() == 1


def earlier_file(path):
    """Take out of a file what earlier versions did not save."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(content["manifest.json"])
    del manifest["encoder"]["dropped"]
    if manifest["rows"]:
        del manifest["rows"]["used"]
    content["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def test_files_of_earlier_versions(fit, tmp_path):
    fit.save(tmp_path / "rows.mlm", data=True)
    fit.save(tmp_path / "fit.mlm")
    for path in tmp_path.iterdir():
        earlier_file(path)
    again = ml.load(tmp_path / "rows.mlm")
    with pytest.warns(ml.RankDeficiencyWarning, match="1 of 3"):
        assert np.isnan(again.predict(NEW)).tolist() == [True, False, False]
    rowless = ml.load(tmp_path / "fit.mlm")
    with pytest.warns(ml.RankDeficiencyWarning, match="from a file of an earlier version"):
        assert np.isfinite(rowless.predict(NEW)).all()


def test_pictures_leave_out_what_is_not_determined(fit):
    found = predictions(fit, ["f", "h"])
    assert found.frame["estimate"].isna().sum() == 1
    lines, _, _ = cluster_lines(fit, found, {"g": ["1"]})
    assert len(lines) == 5
    assert lines["estimate"].notna().all()
    picture = ml.plot_model(fit, "pred", terms=["f", "h"])
    assert len(picture.data) == 5
    assert "1 combination is not determined" in " ".join(picture.labels.caption.split())


# ---- rows without a group ------------------------------------------------------------------------------------------------

MISSING = [
    {"Days": [2.0, 2.0, 5.0], "Subject": [None, "308", None]},
    {"Days": [2.0, 2.0, 5.0], "Subject": np.array([np.nan, "308", np.nan], dtype=object)},
    pl.DataFrame({"Days": [2.0, 2.0, 5.0], "Subject": [None, "308", None]}),
    pd.DataFrame({"Days": [2.0, 2.0, 5.0], "Subject": pd.Categorical([None, "308", None])}),
]


@pytest.mark.parametrize("new", MISSING)
def test_a_row_without_a_group_is_one_of_the_population(new):
    """As R's predict(m, newdata, allow.new.levels = TRUE): 272.3397, 292.9962 and 303.7415 (re.form = NA for the rows without)."""
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    found = fit.predict(new, allow_new_levels=True, se=True)
    population = fit.predict(new, re_formula=False)
    np.testing.assert_allclose(found["fit"][[0, 2]], population[[0, 2]], rtol=1e-12)
    np.testing.assert_allclose(found["fit"], [272.3397, 292.9962, 303.7415], rtol=2e-6)
    labelled = {"Days": [2.0, 2.0, 5.0], "Subject": ["new", "308", "other"]}
    pd.testing.assert_frame_equal(found, fit.predict(labelled, allow_new_levels=True, se=True))
    assert np.isnan(fit.predict(new)).tolist() == [True, False, True]
    drawn = fit.simulate(4000, newdata=new, rng=1, allow_new_levels=True)
    assert np.isfinite(drawn).all()
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1]) < 0.1


def test_only_missing_groups_and_a_missing_inner_group():
    fit = ml.lmer("strength ~ 1 + (1 | batch/cask)", ml.load_dataset("Pastes"))
    assert fit.predict({"batch": [None], "cask": [None]}, allow_new_levels=True)[0] == pytest.approx(fit.fixef.iloc[0])
    found = fit.predict({"batch": ["A"], "cask": [None]}, allow_new_levels=True)[0]
    assert found == pytest.approx(fit.fixef.iloc[0] + fit.ranef()["batch"].loc["A"].iloc[0])
