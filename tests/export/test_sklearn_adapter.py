"""The scikit-learn regressor: its conventions, and that it is the same model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from multilevel.sklearn_adapter import MixedModelRegressor


@parametrize_with_checks([MixedModelRegressor()])
def test_conventions(estimator, check):
    check(estimator)


@pytest.fixture
def sleepstudy() -> pd.DataFrame:
    return ml.load_dataset("sleepstudy")


@pytest.fixture
def fit(sleepstudy) -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


def test_formula(sleepstudy, fit):
    X, y = sleepstudy[["Days", "Subject"]], sleepstudy["Reaction"]
    for formula in ("~ Days + (Days | Subject)", "Reaction ~ Days + (Days | Subject)", "~ . + (Days | Subject)"):
        model = MixedModelRegressor(formula).fit(X, y)
        np.testing.assert_allclose(model.predict(X), fit.fitted(), rtol=1e-10)
    assert model.intercept_ == pytest.approx(fit.fixef.iloc[0])
    np.testing.assert_allclose(model.coef_, fit.fixef.iloc[1:])
    assert model.score(X, y) > 0.7
    assert model.feature_names_in_.tolist() == ["Days", "Subject"]
    new = pd.DataFrame({"Days": [1.0], "Subject": ["nobody"]})
    assert model.predict(new)[0] == pytest.approx(fit.predict(new, re_formula=False)[0])
    population = MixedModelRegressor(formula, re_formula=False).fit(X, y)
    np.testing.assert_allclose(population.predict(X), fit.predict(re_formula=False))


@pytest.mark.parametrize("kind", ["pandas", "polars", "array"])
def test_columns(sleepstudy, fit, kind):
    X, y = sleepstudy[["Subject", "Days"]].astype({"Subject": int}), sleepstudy["Reaction"]
    given = {"pandas": X, "polars": pl.from_pandas(X), "array": X.to_numpy(dtype=float)}[kind]
    group, slope = (0, -1) if kind == "array" else ("Subject", "Days")
    model = MixedModelRegressor(groups=group, slopes=[slope]).fit(given, y)
    np.testing.assert_allclose(model.predict(given), fit.fitted(), rtol=1e-8)
    assert model.n_features_in_ == 2


def test_several_groups():
    data = ml.load_dataset("Penicillin")
    fit = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    model = MixedModelRegressor(groups=["plate", "sample"]).fit(data[["plate", "sample"]], data["diameter"])
    np.testing.assert_allclose(model.predict(data[["plate", "sample"]]), fit.fitted(), rtol=1e-10)
    assert model.coef_.size == 0


def test_inside_scikit_learn(sleepstudy):
    X, y = sleepstudy[["Days", "Subject"]], sleepstudy["Reaction"]
    model = MixedModelRegressor("~ Days + (1 | Subject)")
    assert clone(model).get_params()["formula"] == "~ Days + (1 | Subject)"
    held_out = cross_val_predict(model, X, y, groups=X["Subject"], cv=GroupKFold(6))
    # A subject that was left out gets the population's line.
    assert np.corrcoef(held_out, X["Days"])[0, 1] > 0.95
    search = GridSearchCV(model, {"formula": ["~ 1 + (1 | Subject)", "~ Days + (Days | Subject)"]}, cv=3).fit(X, y)
    assert search.best_params_["formula"].startswith("~ Days")
    steps = make_pipeline(FunctionTransformer(lambda d: d.assign(Days=d["Days"] / 9)), model)
    np.testing.assert_allclose(steps.fit(X, y).predict(X), model.fit(X, y).predict(X), rtol=1e-8)


def test_without_groups(sleepstudy):
    X, y = sleepstudy[["Days"]], sleepstudy["Reaction"]
    model = MixedModelRegressor().fit(X, y)
    slope, intercept = np.polyfit(X["Days"], y, 1)
    assert model.model_ is None
    assert (model.intercept_, model.coef_[0]) == (pytest.approx(intercept), pytest.approx(slope))


def test_refusals(sleepstudy):
    X, y = sleepstudy[["Days", "Subject"]], sleepstudy["Reaction"]
    with pytest.raises(ml.ControlError, match="slopes vary over groups"):
        MixedModelRegressor(slopes=["Days"]).fit(X, y)
    with pytest.raises(ml.UnknownColumnError, match="'School', which is no column of X"):
        MixedModelRegressor(groups="School").fit(X, y)
    with pytest.raises(ml.UnknownColumnError, match="column 5, and X has 2"):
        MixedModelRegressor(groups=5).fit(X, y)
    with pytest.raises(ml.DataTypeError, match="X must be a data frame"):
        MixedModelRegressor("~ x + (1 | g)").fit(X[["Days"]].to_numpy(), y)
    with pytest.raises(ml.DataError, match="rename it"):
        MixedModelRegressor("~ Days + (1 | Subject)").fit(X.assign(response=1), y)
    with pytest.raises(ml.DataError, match="they must match"):
        MixedModelRegressor(groups="Subject").fit(X, y[:5])
    with pytest.raises(ml.DataError, match="target y is None"):
        MixedModelRegressor(groups="Subject").fit(X, None)
    model = MixedModelRegressor(groups="Subject").fit(X, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.rename(columns={"Days": "Nights"}))
