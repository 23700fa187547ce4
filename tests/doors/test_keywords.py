"""Spellings of other software, options that would be ignored, and what a colleague would say to each."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import multilevel as ml
from multilevel.argument_rules import AtLeast, Spellings
from multilevel.arguments import also_called, checked, idle

SLEEP = "Reaction ~ Days + (Days | Subject)"


def sleepstudy():
    return ml.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit():
    return ml.lmer(SLEEP, sleepstudy())


@pytest.fixture(scope="module")
def cake():
    return ml.load_dataset("cake")


# ---- criterion, control, contrasts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", ["ML", "no", "REML", 0, 1, None, [False], np.float64(0.0)])
def test_the_criterion_is_true_or_false(reml):
    with pytest.raises(
        ml.DataTypeError, match=r"lmer\(\): reml must be True or False, not .*reml=False is maximum likelihood"
    ):
        ml.lmer(SLEEP, sleepstudy(), reml=reml)


def test_the_criterion_by_r_s_name(fit):
    data = sleepstudy()
    assert not ml.lmer(SLEEP, data, REML=False).reml
    assert not ml.lmer(SLEEP, data, reml=np.bool_(False)).reml
    assert not fit.update(REML=False).reml
    with pytest.raises(ml.ControlError, match="reml is given twice"):
        ml.lmer(SLEEP, data, REML=False, reml=False)


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ("Nelder_Mead", "nelder-mead"),
        ("nloptwrap", "bobyqa"),
        ("bobyqa", "bobyqa"),
        ("nmkbw", "nelder-mead"),
        ("L-BFGS-B", "l-bfgs-b"),
        ("NLOPT_LN_BOBYQA", "bobyqa"),
        ("NLOPT_LN_NELDERMEAD", "nlopt-nelder-mead"),
        ("Newton", "newton"),
    ],
)
def test_optimisers_by_lme4_s_names(given, own):
    assert ml.LmerControl(optimizer=given).optimizer == own


def test_what_stands_for_a_control(fit):
    for control in ("nloptwrap", {"optimizer": "bobyqa"}, ml.LmerControl(optimizer="bobyqa")):
        found = ml.lmer(SLEEP, sleepstudy(), control=control)
        assert found.convergence.optimizer == "bobyqa"
        assert found.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-6)
        assert fit.update(control=control).convergence.optimizer == "bobyqa"
    assert ml.lmer(SLEEP, sleepstudy(), control={}).convergence.optimizer == "newton"
    with pytest.raises(ml.ControlError, match="no option 'optCtrl'; LmerControl has optimizer"):
        ml.lmer(SLEEP, sleepstudy(), control={"optCtrl": {}})
    with pytest.raises(ml.ControlError, match="not 'bobiqa'; did you mean 'bobyqa'"):
        ml.lmer(SLEEP, sleepstudy(), control="bobiqa")
    with pytest.raises(ml.DataTypeError, match="control must be an LmerControl, a mapping"):
        ml.lmer(SLEEP, sleepstudy(), control=3)


@pytest.mark.parametrize(
    "start", [(np.nan, 0.0, 1.0), (np.inf, 0.0, 1.0), (1.0,), (1.0, 0.0, 1.0, 2.0), (1e8, 0.0, 1e8)]
)
def test_starting_values_that_start_nothing(start):
    with pytest.raises(ml.ControlError, match="start"):
        ml.lmer(SLEEP, sleepstudy(), control=ml.LmerControl(start=start))


def test_one_name_of_contrasts_is_for_all_factors(cake):
    formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
    both = ml.lmer(formula, cake, contrasts={"recipe": "sum", "temperature": "sum"})
    assert ml.lmer(formula, cake, contrasts="sum").fixef.equals(both.fixef)
    assert ml.lmer(formula, cake, contrasts="contr.sum").fixef.equals(both.fixef)
    with pytest.raises(ml.ControlError, match="not known"):
        ml.lmer(formula, cake, contrasts="sums")


def test_contrasts_of_what_is_not_in_the_model(cake):
    with pytest.warns(ml.MultilevelWarning, match=r"names 'recipe', which is not among the fixed effects \(temp\)"):
        ml.lmer("angle ~ temp + (1 | recipe:replicate)", cake, contrasts={"recipe": "sum"})
    with pytest.raises(ml.UnknownColumnError, match="no factor to apply to"):
        ml.lmer("angle ~ temp + (1 | recipe:replicate)", cake, contrasts={"recipes": "sum"})
    with pytest.raises(ml.DataTypeError, match="numeric"):
        ml.lmer("angle ~ temp + (1 | recipe:replicate)", cake, contrasts={"temp": "sum"})


def test_contrasts_come_back_with_their_factor(cake):
    fit = ml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", cake, contrasts={"recipe": "sum"})
    again = fit.update(". ~ . - recipe").update(". ~ . + recipe")
    assert sorted(again.fixef.index) == sorted(fit.fixef.index)


# ---- subset, groups, family ----------------------------------------------------------------------------------------------


def test_a_subset_is_a_fit_of_its_rows():
    data = sleepstudy().assign(w=lambda d: 1.0 + d["Days"])
    kept = (data["Days"] > 1) & (data["Subject"] != "308")
    expected = ml.lmer(SLEEP, data[kept], weights="w")
    text = "Days > 1 & Subject != '308'"
    table = {name: data[name].tolist() for name in data}
    for frame in (data, pl.from_pandas(data), pa.table(data), table):
        found = ml.lmer(SLEEP, frame, weights="w", subset=text)
        assert found.nobs == kept.sum()
        np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-9)
    for values in (kept, kept.to_numpy(), kept.tolist()):
        found = ml.lmer(SLEEP, data, weights=data["w"].to_numpy(), subset=values)
        np.testing.assert_allclose(found.fixef, expected.fixef, rtol=1e-9)
    assert found.fitted().index.equals(expected.fitted().index)
    assert found.update(". ~ . - Days").nobs == kept.sum()


def test_rows_whose_truth_is_not_known_are_not_kept():
    data = sleepstudy()
    data["z"] = data["Days"].where(data.index % 7 != 0)
    expected = ml.lmer(SLEEP, data[data["z"] >= 2])
    assert ml.lmer(SLEEP, data, subset="z >= 2").fixef.equals(expected.fixef)
    known = (data["z"] >= 2).astype("boolean").mask(data["z"].isna())
    assert ml.lmer(SLEEP, data, subset=known).fixef.equals(expected.fixef)


@pytest.mark.parametrize(
    ("subset", "error", "message"),
    [
        ("Days", ml.DataTypeError, "neither true nor false"),
        ("Days > 99", ml.DataError, "keeps none of 180 rows"),
        ("Dayz > 1", ml.UnknownColumnError, "did you mean 'Days'"),
        ("Days >", ml.FormulaError, "Days >"),
        ([True], ml.DataError, "1 values and the data have 180 rows"),
        (3, ml.DataTypeError, "one truth value per row"),
        (np.arange(180), ml.DataTypeError, "one truth value per row"),
    ],
)
def test_subsets_that_are_none(subset, error, message):
    with pytest.raises(error, match=message):
        ml.lmer(SLEEP, sleepstudy(), subset=subset)


def test_groups_and_family():
    data = sleepstudy()
    plain = ml.lmer("Reaction ~ Days + (1 | Subject)", data)
    assert ml.lmer("Reaction ~ Days", data, groups="Subject").fixef.equals(plain.fixef)
    with pytest.raises(ml.FormulaError, match="write all of them in the formula"):
        ml.lmer(SLEEP, data, groups="Subject")
    with pytest.raises(ml.DataTypeError, match="name of a column"):
        ml.lmer("Reaction ~ Days", data, groups=data["Subject"])
    assert ml.lmer("Reaction ~ Days", data, groups="Subject", family="gaussian").fixef.equals(plain.fixef)
    with pytest.raises(ml.ControlError, match="family='poisson'"):
        ml.lmer(SLEEP, data, family="poisson")


# ---- names of degrees of freedom and types -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ("Kenward-Roger", "kenward-roger"),
        ("kenward_roger", "kenward-roger"),
        ("KR", "kenward-roger"),
        ("Satterthwaite", "satterthwaite"),
        ("lme4", "asymptotic"),
    ],
)
def test_degrees_of_freedom_by_lmertest_s_names(fit, given, own):
    for found, expected in [
        (fit.summary(ddf=given).coefficients, fit.summary(ddf=own).coefficients),
        (ml.anova(fit, ddf=given).to_frame(), ml.anova(fit, ddf=own).to_frame()),
        (fit.tidy(ddf=given), fit.tidy(ddf=own)),
        (ml.contrast_test(fit, {"Days": 1}, ddf=given), ml.contrast_test(fit, {"Days": 1}, ddf=own)),
    ]:
        pd.testing.assert_frame_equal(found, expected)


def test_types_of_tests(cake):
    fit = ml.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", cake)
    for names in ((1, "I", "1", "i"), (2, "II", "2", np.int64(2)), (3, "III", "3")):
        found = [ml.anova(fit, type=name).to_frame() for name in names]
        for one in found[1:]:
            pd.testing.assert_frame_equal(one, found[0])


def test_random_effects_by_lme4_s_name(fit):
    expected = fit.predict(re_formula=False)
    assert fit.predict(re_form=False).equals(expected)
    assert fit.predict(**{"re.form": "~0"}).equals(expected)
    np.testing.assert_array_equal(fit.simulate(2, rng=1, re_form=True), fit.simulate(2, rng=1, re_formula=True))


def test_asking_with_and_without_parentheses(fit):
    assert fit.fixef().equals(fit.fixef)
    assert type(fit.fixef + 1.0) is pd.Series
    pd.testing.assert_series_equal(fit.fixef, pd.Series(fit.fixef))
    assert pickle.loads(pickle.dumps(fit.fixef)).equals(fit.fixef)
    pd.testing.assert_frame_equal(fit.ranef["Subject"], fit.ranef()["Subject"])
    pd.testing.assert_frame_equal(fit.coef["Subject"], fit.coef()["Subject"])
    pd.testing.assert_frame_equal(fit.varcorr["Subject"], fit.varcorr()["Subject"])
    with pytest.raises(ml.UnknownColumnError, match="no grouping factor 'subject'; there are Subject"):
        _ = fit.ranef["subject"]
    with pytest.raises(TypeError, match="not iterable"):
        list(fit.ranef)


# ---- what would be ignored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fit: ml.anova(fit, fit, ddf="residual", type=2), "type and ddf would be ignored"),
        (lambda fit: ml.anova(fit, fit, test="chisq"), "test would be ignored"),
        (lambda fit: ml.anova(fit, refit=False), "refit would be ignored"),
        (lambda fit: ml.anova(fit, test="chisq", ddf="residual"), "ddf would be ignored"),
        (lambda fit: ml.drop1(fit, test="chisq", ddf="residual"), "ddf would be ignored"),
        (lambda fit: fit.summary(vcov="CR2", ddf="residual"), "ddf would be ignored"),
        (lambda fit: fit.summary(cluster="Subject"), "cluster would be ignored"),
        (lambda fit: fit.vcov(cluster="Subject"), "cluster would be ignored"),
        (lambda fit: fit.confint("profile", ddf="residual"), "ddf would be ignored"),
        (lambda fit: fit.tidy(conf_method="profile"), "conf_method would be ignored"),
        (lambda fit: fit.tidy(conf_int=True, n=10), "conf_method='bootstrap'"),
        (lambda fit: fit.predict(level=0.9), "level would be ignored"),
        (lambda fit: fit.predict(se=True, n=10), "n would be ignored"),
        (lambda fit: fit.predict(method="simulation"), "method would be ignored"),
        (lambda fit: fit.predict(allow_new_levels=True), "allow_new_levels would be ignored"),
        (lambda fit: ml.icc(fit, n=10), "n would be ignored"),
        (lambda fit: ml.r2(fit, rng=1, progress=True), "rng and progress would be ignored"),
        (lambda fit: ml.step(fit, reduce_random=False, alpha_random=0.2), "alpha_random would be ignored"),
        (lambda fit: ml.check_outliers(fit, threshold=1.0, level=0.1), "level would be ignored"),
        (lambda fit: ml.contrast_test(fit, "Days", joint=True, level=0.9), "level would be ignored"),
        (lambda fit: ml.contrast_test(fit, "Days = 1", rhs=2), "rhs would be ignored"),
        (lambda fit: ml.model_parameters(fit, "fixed", ci_random="profile"), "ci_random would be ignored"),
        (lambda fit: ml.standardize_parameters(fit, "basic", transformed="after"), "transformed would be ignored"),
        (lambda fit: ml.influence(fit, threads=2), "threads would be ignored"),
        (lambda fit: fit.confint("bootstrap", m=3), "no argument 'm'"),
        (lambda fit: ml.power_curve(fit, {"Subject": [18]}, tests="Days"), "no argument 'tests'; did you mean 'test'"),
    ],
)
def test_what_would_be_ignored_is_refused(fit, call, message):
    with pytest.raises(ml.ControlError, match=message):
        call(fit)


@pytest.mark.parametrize(
    "call",
    [
        lambda data: ml.demean(data, "school", by="score"),
        lambda data: ml.group_mean(data, "school", by="score"),
        lambda data: ml.center(data, "school", by="score"),
        lambda data: ml.standardize(data, "school", by="score"),
    ],
)
@pytest.mark.filterwarnings("ignore:The standard deviation of 'school'")
def test_groups_that_were_measured(call):
    data = pd.DataFrame({"school": np.repeat(np.arange(8), 5), "score": np.random.default_rng(1).normal(size=40)})
    with pytest.warns(
        ml.MultilevelWarning, match="by='score' has 40 different numbers .* columns and by were exchanged"
    ):
        call(data)
    ml.demean(data, "score", by="school")
    ml.demean(data.assign(dose=np.tile([0.5, 1.0, 2.5, 5.0], 10)), "score", by="dose")


# ---- hypotheses as text --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cakes(cake):
    return ml.lmer("angle ~ recipe * temp + I(temp^2) + (1 | recipe:replicate)", cake)


@pytest.mark.parametrize(
    ("text", "weights", "value"),
    [
        ("temp = 0", {"temp": 1}, 0),
        ("temp", {"temp": 1}, 0),
        ("recipeB = recipeC", {"recipeB": 1, "recipeC": -1}, 0),
        ("2*recipeB + recipeC/4 = 3", {"recipeB": 2, "recipeC": 0.25}, 3),
        ("3 = -(recipeB - recipeC)*2", {"recipeB": 2, "recipeC": -2}, -3),
        ("recipeB:temp - recipeC:temp", {"recipeB:temp": 1, "recipeC:temp": -1}, 0),
        ("(Intercept) = 30", {"(Intercept)": 1}, 30),
        ("Intercept + temp == 1e1", {"(Intercept)": 1, "temp": 1}, 10),
        ("I(temp^2)*100 + 1 = 2", {"I(temp^2)": 100}, 1),
        ("`recipeB:temp` = .5", {"recipeB:temp": 1}, 0.5),
    ],
)
def test_a_hypothesis_says_what_a_contrast_does(cakes, text, weights, value):
    found = ml.contrast_test(cakes, text)
    expected = ml.contrast_test(cakes, weights, rhs=value)
    assert found.index.tolist() == [text]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_several_hypotheses(cakes):
    separate = [ml.contrast_test(cakes, text) for text in ("recipeB = 1", "temp = 0")]
    for several in ("recipeB = 1, temp = 0", ["recipeB = 1", "temp = 0"], ("recipeB = 1; temp = 0",)):
        pd.testing.assert_frame_equal(ml.contrast_test(cakes, several), pd.concat(separate))
    joint = ml.contrast_test(cakes, "recipeB = 1, temp = 0", joint=True)
    rows = np.zeros((2, len(cakes.fixef)))
    rows[0, cakes.fixef.index.get_loc("recipeB")] = rows[1, cakes.fixef.index.get_loc("temp")] = 1.0
    expected = ml.contrast_test(cakes, rows, rhs=[1, 0], joint=True)
    pd.testing.assert_frame_equal(joint, expected)
    chain = ml.contrast_test(cakes, "recipeB = recipeC = 0", joint=True)
    assert chain["df_numerator"].item() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipeD = 0", "names 'recipeD', which the model does not have; did you mean 'recipeC'"),
        ("recipeB:x = 0", "names 'recipeB:x'"),
        ("recipeB recipeC", "'recipeC' stands where an operator is expected"),
        ("1 = 2", "no coefficient in it"),
        ("temp - temp = 0", "no coefficient in it"),
        ("recipeB * temp", "a hypothesis is linear"),
        ("temp / 0", "divides by"),
        ("temp = = 1", "where a coefficient or a number is expected"),
        ("", "ends where"),
        ("(temp", r"a '\)' is missing"),
        ("(" * 5000 + "temp", "more than 100 parentheses"),
        ("1e999 * temp", "too large"),
    ],
)
def test_hypotheses_that_cannot_be_read(cakes, text, message):
    with pytest.raises(ml.FormulaError, match=message):
        ml.contrast_test(cakes, text)


def test_contrasts_that_are_none(cakes):
    for contrasts, error in [
        (np.zeros(7), ml.DataError),
        ([], ml.DataError),
        ([[1.0, 2.0]], ml.DataError),
        (np.full(7, np.nan), ml.DataError),
        ({"temp": "a"}, ml.DataTypeError),
        (object(), ml.DataTypeError),
    ]:
        with pytest.raises(error):
            ml.contrast_test(cakes, contrasts)
    for rhs in ([1, 2, 3], "a", np.nan, object()):
        with pytest.raises(ml.MultilevelError, match="rhs"):
            ml.contrast_test(cakes, {"temp": 1}, rhs=rhs)


# ---- the mechanism -------------------------------------------------------------------------------------------------------


def test_the_door_leaves_python_s_own_refusals_alone():
    @checked
    def area(width: float, height: float = 1.0) -> float:
        return width * height

    assert area(2) == 2.0
    assert area(np.float32(2.0), height=np.int64(3)) == 6.0
    assert area.__name__ == "area"
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        area(1.0, depth=2.0)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        area()


def test_idle_arguments_and_other_names():
    @checked
    @idle("unit", when=lambda given: given["size"] is None, why="there is nothing to measure")
    @also_called(sz="size")
    def measure(size: float | None = None, *, unit: str = "m") -> str:
        return f"{size} {unit}"

    assert measure(sz=2) == "2 m"
    with pytest.raises(
        ml.ControlError, match=r"measure\(\): unit would be ignored: there is nothing to measure; leave it out"
    ):
        measure(unit="km")
    with pytest.raises(ml.ControlError, match="size is given twice"):
        measure(size=1, sz=2)


def test_words():
    assert str(AtLeast(1)) == "of at least 1"
    assert Spellings({"KR": "kenward-roger"}).names["KR"] == "kenward-roger"
    with pytest.raises(ml.ControlError, match="level must be a number between 0 and 1, not 95"):
        ml.contrast_test(ml.lmer(SLEEP, sleepstudy()), "Days", level=95)
    with pytest.raises(ml.DataTypeError, match="fit must be a model fitted by lmer, not a DataFrame"):
        ml.r2(sleepstudy())
