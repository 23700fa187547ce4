"""Data drawn from designs: structure, predictors, effects, the truth, and R scripts mirrored number for number."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

REFERENCE = Path(__file__).parent.parent / "reference"

BASE = {
    "levels": {"school": 10, "pupil": 5},
    "predictors": {"x": "normal(0, 1)"},
    "fixed": {"(Intercept)": 1, "x": 2},
    "random": {"school": 1},
    "sigma": 1,
}


def design(formula="y ~ x + (1 | school)", **changes):
    return ml.DataDesign(formula, **{**BASE, **changes})


def draw(formula="y ~ x + (1 | school)", rng=1, **changes):
    return design(formula, **changes).draw(rng)


# ---- R scripts ---------------------------------------------------------------------------------------------------------

START = {"x1": "normal(5, 2)", "x2": "binomial(1, 0.5)", "k_effect": "effect(k_id)"}
LEVELS = {"k_id": 100, "N_id": 50}
SCENARIOS = {
    1: ml.DataDesign(
        "y ~ x1 + x2 + (1 | k_id)",
        levels=LEVELS, predictors=START, fixed={"(Intercept)": 45, "x1": 3, "x2": 10}, random={"k_id": 1}, sigma=8,
    ),
    2: ml.DataDesign(
        "y ~ x1 + x2 + price + (1 | k_id)",
        levels=LEVELS,
        predictors={**START, "price": "round(uniform(0, 5)) | k_id"},
        fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "price": -3}, random={"k_id": 1}, sigma=8,
    ),
    3: ml.DataDesign(
        "y ~ x1 + x2 + x1_mean + (1 | k_id)",
        levels=LEVELS,
        predictors={**START, "x1_mean": "mean(x1) | k_id"},
        fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "x1_mean": 12}, random={"k_id": 1}, sigma=8,
    ),
    4: ml.DataDesign(
        "y ~ x1_c * interv_label + x2 + (1 + x1_c | k_id)",
        levels=LEVELS,
        predictors={
            "x1_c": "normal(0, 2)",
            "x2": "binomial(1, 0.5)",
            "interv": "sample(0:2, prob = c(1, 1, 1) / 3) | k_id",
            "interv_label": "factor(interv, levels = c(2, 1, 0), labels = c('CBT', 'Mindfulness', 'No Intv'))",
            "k_effect": "effect(k_id)",
            "k_slope": "effect(k_id, x1_c) + 4 * interv",
        },
        fixed={"(Intercept)": 45, "x1_c": 3, "x2": 10, "x1_c:interv_label1": 8, "x1_c:interv_label2": 4},
        random={"k_id": [2.5, 2]}, sigma=8, contrasts={"interv_label": [[1, 0], [0, 1], [0, 0]]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("number", SCENARIOS)
def test_scenarios_are_those_of_r(number):
    expected = pd.read_parquet(REFERENCE / f"scenario_{number}.parquet")
    frame, truth = SCENARIOS[number].draw(ml.RRandom(123))
    for name in expected.columns:
        if name == "interv_label":
            assert frame[name].cat.categories.tolist() == expected[name].cat.categories.tolist()
            assert (frame[name].astype(str) == expected[name].astype(str)).all()
        else:
            np.testing.assert_allclose(frame[name], expected[name], rtol=1e-12, atol=1e-12, err_msg=name)
    kept = expected.groupby("k_id").k_effect.first()
    np.testing.assert_allclose(truth.random_effects["k_id"]["(Intercept)"], kept, rtol=1e-12)


# ---- levels ------------------------------------------------------------------------------------------------------------


def test_nested_levels_have_units_of_their_own():
    frame, truth = draw(
        "y ~ 1 + (1 | school) + (1 | class)",
        levels={"school": 4, "class": "integers(1, 3)", "pupil": "poisson(6)"},
        predictors={}, fixed=[0], random={"school": 1, "class": 1},
    )  # fmt: skip
    assert frame.groupby("class").school.nunique().max() == 1
    assert frame.pupil.tolist() == list(range(1, len(frame) + 1))
    classes = frame.groupby("school")["class"].nunique()
    assert classes.between(1, 3).all()
    assert frame.groupby("class").size().std() > 0
    assert truth.n_rows == len(frame)


def test_sizes_may_be_listed_and_zero():
    frame, truth = draw(levels={"school": 4, "pupil": [3, 0, 2, 5]})
    assert frame.groupby("school").size().to_dict() == {1: 3, 3: 2, 4: 5}
    assert truth.random_effects["school"].index.tolist() == [1, 2, 3, 4]


def test_crossed_levels():
    frame, _ = draw(
        "y ~ 1 + (1 | s) + (1 | item)", levels={"s": 3, "item": ml.Crossed(4), "trial": 2},
        predictors={}, fixed={}, random={"s": 1, "item": 1},
    )  # fmt: skip
    assert len(frame) == 24
    assert (frame.groupby(["s", "item"]).size() == 2).all()
    assert frame.trial.is_unique


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("rng", [1, "R"])
def test_some_of_a_crossed_level(replace, rng):
    frame, _ = draw(
        "y ~ 1 + (1 | s) + (1 | item)", ml.RRandom(1) if rng == "R" else rng,
        levels={"s": 200, "item": ml.Crossed(10, each=4, replace=replace)},
        predictors={}, fixed={}, random={"s": 1, "item": 1},
    )  # fmt: skip
    assert (frame.groupby("s").size() == 4).all()
    distinct = frame.groupby("s").item.nunique()
    assert (distinct == 4).all() if not replace else distinct.min() < 4
    counts = frame.item.value_counts()
    assert len(counts) == 10
    assert counts.between(80 - 45, 80 + 45).all()  # five standard deviations


def test_crossed_levels_within_crossed_levels():
    frame, _ = draw(
        "y ~ 1 + (1 | s) + (1 | kind/item)",
        levels={"s": 5, "kind": ml.Crossed(2), "item": ml.Crossed(3, within="kind")},
        predictors={"hard": "uniform(0, 1) | item"}, fixed={}, random={"s": 1, "kind": 1, "item:kind": 1},
    )  # fmt: skip
    assert frame.groupby("item").kind.nunique().tolist() == [1] * 6
    assert frame.groupby("item").hard.nunique().tolist() == [1] * 6
    assert len(frame) == 30


# ---- predictors --------------------------------------------------------------------------------------------------------


def test_predictors_of_a_level_and_summaries():
    frame, _ = draw(
        levels={"school": 6, "class": 3, "pupil": "integers(2, 9)"},
        predictors={
            "x": "normal(5, 2)",
            "fee": "round(uniform(0, 5)) | school",
            "size": "integers(1, 4) | class",
            "x_mean": "mean(x) | class",
            "x_sd": "sd(x - 1) | school",
            "top": "max(size) | school",
            "x_within": "x - x_mean",
            "fee_centred": "fee - mean(fee) | school",
        },
    )
    assert frame.groupby("school").fee.nunique().max() == 1
    assert frame.groupby("class")["size"].nunique().max() == 1
    np.testing.assert_allclose(frame.x_mean, frame.groupby("class").x.transform("mean"))
    np.testing.assert_allclose(frame.x_sd, frame.groupby("school").x.transform("std"))
    assert (frame.top == frame.groupby("school")["size"].transform("max")).all()
    np.testing.assert_allclose(frame.groupby("class").x_within.mean(), 0.0, atol=1e-12)
    # The mean is over the schools, however many pupils each has.
    assert frame.groupby("school").fee_centred.first().mean() == pytest.approx(0.0, abs=1e-12)


def test_assignment_and_order():
    frame, _ = draw(
        "y ~ arm * day + (1 | person)",
        levels={"site": 3, "person": "integers(4, 7)", "item": ml.Crossed(2), "trial": 3},
        predictors={
            "arm": "balanced(c('new', 'control'), within = site) | person",
            "half": "balanced(0:1)",
            "day": "index(person)",
            "place": "index()",
            "condition": "cycle(c('b', 'a', 'c'))",
        },
        fixed={"armcontrol": 1}, random={"person": 1},
    )  # fmt: skip
    persons = frame.drop_duplicates("person")
    more = (persons.arm == "new").groupby(persons.site).sum() - (persons.arm == "control").groupby(persons.site).sum()
    assert more.isin([0, 1]).all()
    assert frame.arm.cat.categories.tolist() == ["new", "control"]
    assert abs((frame.half == 1).sum() - (frame.half == 0).sum()) <= 1
    assert (frame.groupby("person").day.apply(list).map(lambda days: days == [1, 2, 3, 4, 5, 6])).all()
    assert frame.place.tolist() == [1, 2, 3] * (len(frame) // 3)
    assert frame.condition.astype(str).tolist() == ["b", "a", "c"] * (len(frame) // 3)


def test_correlated_predictors():
    frame, _ = draw(
        levels={"school": 40, "pupil": 1000},
        predictors={
            ("x", "z", "w"): "multivariate_normal(c(5, 0, 1), c(2, 1, 3), c(0.5, -0.3, 0.2))",
            "follows": "binomial(1, plogis(x - 5))",
        },
    )
    numbers = frame[["x", "z", "w"]]
    np.testing.assert_allclose(numbers.mean(), [5, 0, 1], atol=0.08)
    np.testing.assert_allclose(numbers.std(), [2, 1, 3], rtol=0.02)
    np.testing.assert_allclose(numbers.corr().to_numpy()[[1, 2, 2], [0, 0, 1]], [0.5, -0.3, 0.2], atol=0.025)
    share = frame.follows[(frame.x - 6).abs() < 0.1].mean()
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.06)


MOMENTS = {
    "uniform(2, 6)": (4, 4 / np.sqrt(12)), "normal(5, 2)": (5, 2), "lognormal(0, 0.5)": (np.exp(0.125), 0.6039),
    "binomial(10, 0.3)": (3, np.sqrt(2.1)), "poisson(4)": (4, 2), "exponential(2)": (0.5, 0.5),
    "gamma(4, 2)": (2, 1), "beta(2, 3)": (0.4, 0.2), "t(10)": (0, np.sqrt(1.25)), "chisq(5)": (5, np.sqrt(10)),
    "integers(1, 6)": (3.5, np.sqrt(35 / 12)), "sample(c(0, 10), prob = c(1, 3))": (7.5, np.sqrt(18.75)),
}  # fmt: skip


@pytest.mark.parametrize("text", MOMENTS)
@pytest.mark.parametrize("rng", [1, "R"])
def test_distributions(text, rng):
    frame, _ = draw(
        rng=ml.RRandom(1) if rng == "R" else rng, levels={"school": 40, "pupil": 500}, predictors={"x": text}
    )
    mean, sd = MOMENTS[text]
    assert frame.x.mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(20_000))
    assert frame.x.std() == pytest.approx(sd, rel=0.06)


def test_functions_make_predictors():
    def doubled(rng, frame):
        assert isinstance(rng, np.random.Generator)
        return 2 * frame.x

    frame, _ = draw(
        predictors={
            "x": lambda rng, frame: rng.normal(size=len(frame)),
            "z": doubled,
            "fee": (lambda _, frame: pd.Categorical(np.where(frame.school > 5, "b", "a")), "school"),
            ("u", "v"): lambda rng, frame: rng.normal(size=(len(frame), 2)),
            "one": 1,
        }
    )
    assert (frame.z == 2 * frame.x).all()
    assert frame.fee.tolist() == ["a"] * 25 + ["b"] * 25
    assert (frame.one == 1).all()
    assert frame.u.nunique() == 50


# ---- the response ------------------------------------------------------------------------------------------------------


def test_the_response_is_the_sum_of_its_parts():
    frame, truth = draw(
        "y ~ arm * x + (1 + x | school) + (0 + x | class) + (1 | class)",
        levels={"school": 5, "class": 3, "pupil": 4},
        predictors={"x": "normal(0, 1)", "arm": "balanced(c('a', 'b', 'c')) | class"},
        fixed={"(Intercept)": 10, "armb": 2, "armc": 3, "x": 1, "armb:x": 0.5, "armc:x": -0.5},
        random={"school": {"sd": [3, 1], "corr": 0.5}, "0 + x | class": 0.7, "1 | class": 2},
        sigma=0,
    )
    school = truth.random_effects["school"].loc[frame.school]
    own = truth.random_effects["class"].loc[frame["class"]]
    # theta's order: terms that change places with one of fewer levels are reversed among themselves
    assert own.columns.tolist() == ["(Intercept)", "x"]
    arm = frame.arm.astype(str)
    slope = 1 + arm.map({"a": 0, "b": 0.5, "c": -0.5}) + school["x"].to_numpy() + own["x"].to_numpy()
    level = 10 + arm.map({"a": 0, "b": 2, "c": 3}) + school["(Intercept)"].to_numpy() + own["(Intercept)"].to_numpy()
    np.testing.assert_allclose(frame.y, level + slope * frame.x, rtol=1e-12)


def test_random_effects_have_their_covariances():
    covariance = np.array([[4.0, -1.0, 0.3], [-1.0, 2.0, 0.5], [0.3, 0.5, 1.0]])
    _, truth = draw(
        "y ~ 1 + (1 + x + I(x^2) | school)",
        levels={"school": 20_000, "pupil": 2}, fixed={}, random={"school": {"cov": covariance}},
    )  # fmt: skip
    np.testing.assert_allclose(np.cov(truth.random_effects["school"].T), covariance, atol=0.15)
    np.testing.assert_allclose(truth.varcorr()["school"], covariance, rtol=1e-12)


@pytest.mark.parametrize(
    "random",
    [
        {"school": {"sd": [3, 1], "corr": 0.5}},
        {"school": {"sd": {"x": 1, "(Intercept)": 3}, "corr": [0.5]}},
        {"school": {"sd": [3, 1], "corr": [[1, 0.5], [0.5, 1]]}},
        {"school": {"cov": [[9, 1.5], [1.5, 1]]}},
        {"(1 + x | school)": [[9, 1.5], [1.5, 1]]},
        {"1 + x | school": pd.DataFrame([[9, 1.5], [1.5, 1]])},
    ],
)
def test_ways_to_state_covariances(random):
    _, truth = draw("y ~ x + (1 + x | school)", random=random)
    np.testing.assert_allclose(truth.varcorr()["school"], [[9, 1.5], [1.5, 1]], rtol=1e-12)


def test_singular_covariances():
    _, truth = draw("y ~ x + (1 + x | school)", random={"school": {"sd": [2, 1], "corr": 1}})
    effects = truth.random_effects["school"]
    np.testing.assert_allclose(effects["(Intercept)"], 2 * effects["x"])
    _, truth = draw(random={"school": 0})
    assert (truth.random_effects["school"] == 0).all().all()


def test_contrasts_say_what_effects_mean():
    frame, _ = draw(
        "y ~ arm + (1 | school)", predictors={"arm": "cycle(c('a', 'b', 'c'))"}, contrasts={"arm": "sum"},
        fixed={"(Intercept)": 10, "arm1": 1, "arm2": 2}, random={"school": 0}, sigma=0,
    )  # fmt: skip
    assert frame.groupby("arm", observed=True).y.first().to_dict() == {"a": 11, "b": 12, "c": 7}


def test_residuals_that_differ_between_rows():
    frame, truth = draw(
        "y ~ 1 + (1 | school)", levels={"school": 10, "pupil": 2000},
        predictors={"arm": "cycle(c('a', 'b'))"}, fixed={}, random={"school": 0},
        sigma="ifelse(arm == 'b', 4, 2)",
    )  # fmt: skip
    np.testing.assert_allclose(frame.groupby("arm", observed=True).y.std(), [2, 4], rtol=0.03)
    assert truth.sigma == pytest.approx(np.sqrt(10))
    assert "ifelse(arm" in str(truth)


def test_weights_offset_and_an_effect_that_is_kept():
    frame, truth = draw(
        "y ~ x + offset(5 * x) + (1 | school)",
        levels={"school": 10, "pupil": 2000},
        predictors={"x": "normal(0, 1)", "u": "effect(school)", "w": "cycle(c(1, 4))"},
        weights="w", sigma=2,
    )  # fmt: skip
    rest = frame.y - 1 - 7 * frame.x - frame.u
    np.testing.assert_allclose(rest.groupby(frame.w).std(), [2, 1], rtol=0.04)
    assert frame.groupby("school").u.first().tolist() == truth.random_effects["school"]["(Intercept)"].tolist()


def test_missing_values():
    frame, truth = draw(
        levels={"school": 40, "pupil": 500},
        predictors={"x": "normal(0, 1)", "z": "poisson(3)", "arm": "cycle(c('a', 'b'))"},
        missing={"x": 0.1, "y": "plogis(-2 + z)", "arm": 0.2, "z": 0.05},
    )
    assert truth.n_missing == frame.isna().sum().loc[["x", "y", "arm", "z"]].to_dict()
    np.testing.assert_allclose(frame.isna().mean()[["x", "arm", "z"]], [0.1, 0.2, 0.05], atol=0.015)
    gone = frame.y.isna().groupby(frame.z).mean()
    np.testing.assert_allclose(gone.loc[[0.0, 2.0, 4.0]], 1 / (1 + np.exp([2, 0, -2])), atol=0.05)
    assert frame.arm.cat.categories.tolist() == ["a", "b"]


# ---- the truth ---------------------------------------------------------------------------------------------------------


def test_the_truth_has_the_names_of_a_fit():
    frame, truth = draw(
        "y ~ x + (1 + x | school) + (1 | class)",
        levels={"school": 12, "class": 4, "pupil": 8}, random={"school": [2, 1], "class": 1.5}, sigma=2,
    )  # fmt: skip
    fit = ml.lmer("y ~ x + (1 + x | school) + (1 | class)", frame)
    assert truth.theta.index.tolist() == fit.theta.index.tolist()
    assert truth.theta.tolist() == [0.75, 1.0, 0.0, 0.5]
    assert truth.fixef.index.tolist() == fit.fixef.index.tolist()
    assert truth.ngroups.to_dict() == fit.ngroups.to_dict()
    found = fit.ranef()
    for group, effects in truth.random_effects.items():
        assert effects.index.tolist() == found[group].index.tolist()
        assert effects.columns.tolist() == found[group].columns.tolist()
    wanted = [*fit.confint("wald").index]
    assert set(truth.parameters.index) == set(wanted)
    assert truth.to_frame().truth.loc["sd_x|school"] == 1.0


def test_large_data_give_the_truth_back():
    frame, truth = SCENARIOS[4].replace(levels={"k_id": 2000}).draw(5)
    fit = ml.lmer(
        "y ~ x1_c * interv_label + x2 + (1 + x1_c | k_id)", frame, contrasts={"interv_label": [[1, 0], [0, 1], [0, 0]]}
    )
    assert (((fit.fixef - truth.fixef) / fit.standard_errors).abs() < 4).all()
    np.testing.assert_allclose(fit.varcorr()["k_id"], truth.varcorr()["k_id"], atol=0.5)
    assert fit.sigma == pytest.approx(8, rel=0.01)


def test_the_truth_cannot_be_changed():
    _, truth = draw()
    with pytest.raises(AttributeError):
        truth.sigma = 2
    with pytest.raises(TypeError):
        truth.random_effects["school"] = None
    assert "<table" in truth._repr_html_()


# ---- random numbers, and the design itself -----------------------------------------------------------------------------


def test_seeds_and_generators():
    first, again, other = (draw(rng=seed)[0] for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(first, again)
    assert not first.y.equals(other.y)
    generator = np.random.default_rng(7)
    pd.testing.assert_frame_equal(first, draw(rng=generator)[0])
    assert not first.y.equals(draw(rng=generator)[0].y)
    assert not draw(rng=None)[0].y.equals(first.y)
    with pytest.raises(ml.DataTypeError, match="rng must be a whole number of at least 0, a SeedSequence"):
        draw(rng="seven")


def test_designs_change_by_copies_and_pickle():
    one = design()
    other = one.replace(levels={"school": 20}, fixed={"x": 5}, sigma=3)
    assert dict(other.levels) == {"school": 20, "pupil": 5}
    assert other.fixed == {"(Intercept)": 1, "x": 5}
    assert (one.sigma, other.sigma) == (1, 3)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(one)).draw(1)[0], one.draw(1)[0])
    assert "normal(0, 1)" in repr(one)
    with pytest.raises(TypeError):
        one.levels["school"] = 3
    with pytest.raises(ml.ControlError, match="no part 'sizes'"):
        one.replace(sizes=3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fixed": {"z": 1}}, ml.ControlError, r"'z', which is no coefficient .* they are \(Intercept\), x"),
        ({"fixed": [1]}, ml.ControlError, "1 values and the formula 2 coefficients"),
        ({"fixed": {"x": "a"}}, ml.DataTypeError, "must hold numbers"),
        ({"random": {"class": 1}}, ml.ControlError, r"'class', and .* terms are '1 \| school'"),
        ({"random": {}}, ml.ControlError, "no entry for the term"),
        ({"random": {"school": [1, 2]}}, ml.DataError, "each of its 1 columns"),
        ({"random": {"school": -1}}, ml.DataError, "negative"),
        ({"random": {"school": "a"}}, ml.DataTypeError, "must be numbers"),
        ({"random": {"school": {"sd": 1, "rho": 1}}}, ml.ControlError, "'sd' and 'corr'"),
        ({"random": 3}, ml.DataTypeError, "mapping"),
        ({"predictors": {"x": "rnorm(0, 1)"}}, ml.FormulaError, "did you mean normal"),
        ({"predictors": {"x": "normal(0, 1, 2)"}}, ml.FormulaError, "takes mean, sd"),
        ({"predictors": {"x": "normal(0, size = 1)"}}, ml.FormulaError, "has no argument 'size'"),
        ({"predictors": {"x": "poisson()"}}, ml.FormulaError, "needs its argument 'mean'"),
        ({"predictors": {"x": "normal(z)"}}, ml.UnknownColumnError, "made in the order listed"),
        ({"predictors": {"x": "normal() | scool"}}, ml.UnknownColumnError, "did you mean 'school'"),
        ({"predictors": {"x": "normal()", "m": "x + 1 | school"}}, ml.DataError, r"summarise it, as in 'mean\(x\)"),
        ({"predictors": {"x": "binomial(1, 2)"}}, ml.DataError, "cannot be drawn"),
        ({"predictors": {"x": "normal(0, -1)"}}, ml.DataError, "negative"),
        ({"predictors": {"x": "log(normal())"}}, ml.DataError, "predictors 'x' are missing or infinite"),
        ({"predictors": {"x": "balanced(1:2, within = pupils)"}}, ml.ControlError, "it can be 'school', 'pupil'"),
        ({"predictors": {"x": "sample(3, prob = c(1, 2))"}}, ml.FormulaError, "one probability for each of the 3"),
        ({"predictors": {"x": lambda *_: [1, 2]}}, ml.DataError, "it must return 50"),
        ({"predictors": {"x": [1, 2]}}, ml.DataTypeError, "must be text"),
        ({"predictors": {("x", "z"): "normal()"}}, ml.DataError, "1 columns and 2 names"),
        ({"predictors": {"x": "effect(pupil)"}}, ml.UnknownColumnError, r"it has effect\(school\)"),
        ({"predictors": {"x": "normal()", "school": "1"}}, ml.ControlError, "'school' stands for more than one"),
        ({"levels": {}}, ml.ControlError, "levels is empty"),
        ({"levels": {"school": 0}}, ml.DataError, "all sizes are 0"),
        ({"levels": {"school": 2.5}}, ml.DataTypeError, "whole number"),
        ({"levels": {"school": 3, "pupil": [1, 2]}}, ml.DataError, "each of the 3 units above"),
        ({"levels": {"school": 3, "pupil": "normal(3)"}}, ml.DataError, "whole numbers from 0 on"),
        ({"levels": {"school": 3, "pupil": "poisson(x)"}}, ml.UnknownColumnError, "cannot use columns"),
        ({"levels": {"school": 3, "item": ml.Crossed(5, each=9)}}, ml.ControlError, "5 units to draw from"),
        ({"levels": {"school": 3, "item": ml.Crossed(5, within="kind")}}, ml.ControlError, "before it are 'school'"),
        ({"sigma": -1}, ml.DataError, "zero or more"),
        ({"sigma": "x"}, ml.DataError, "negative or not finite"),
        ({"missing": {"x": 2}}, ml.DataError, "between 0 and 1"),
        ({"missing": {"w": 0.1}}, ml.UnknownColumnError, "no column named 'w'"),
        ({"contrasts": {"x": "sum"}}, ml.DataTypeError, "numeric"),
        ({"contrasts": {"z": "sum"}}, ml.UnknownColumnError, "no factor"),
        ({"weights": "w"}, ml.UnknownColumnError, "weights"),
        ({"formula": "y ~ x"}, ml.FormulaError, "no random-effects term"),
        ({"formula": "log(y) ~ x + (1 | school)"}, ml.FormulaError, "name of a column"),
        ({"formula": "y ~ . + (1 | school)"}, ml.FormulaError, "must name its predictors"),
    ],
)
def test_what_cannot_be_drawn(changes, error, message):
    with pytest.raises(error, match=message):
        draw(**changes)


def test_correlations_that_cannot_be():
    formula = "y ~ x + (1 + x | school)"
    with pytest.raises(ml.DataError, match="outside of −1 to 1"):
        draw(formula, random={"school": {"sd": [1, 1], "corr": 1.5}})
    with pytest.raises(ml.DataError, match="not positive semidefinite"):
        draw(formula, random={"school": {"cov": [[1, 2], [2, 1]]}})
    with pytest.raises(ml.ControlError, match="correlations for 'school' between terms"):
        draw("y ~ x + (1 + x || school)", random={"school": {"sd": [1, 2], "corr": 0.3}})
