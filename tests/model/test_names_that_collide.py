"""Tables of models whose names collide: the numbers are those of the same model with other names, row by row."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.data.labels import apart_from, distinct, term_groups
from multilevel.plot.cluster_lines import shrinkage_data
from multilevel.plot.forest import fixed_effects_data
from multilevel.plot.random_effects import random_effects_data
from multilevel.plot.variance_components import variance_components_data

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.MultilevelWarning")


def made():
    random = np.random.default_rng(3)
    n = 300
    data = pd.DataFrame(
        {
            "x": random.normal(size=n),
            "z": random.normal(size=n),
            "f": random.choice(list("123"), n),
            "g": np.repeat(np.arange(15), 20),
            "h": np.tile(np.arange(10), 30),
        }
    )
    data["y"] = 5 + data.x + random.normal(size=15)[data.g] + 0.5 * random.normal(size=15)[data.g] * data.x
    data["y"] += 0.4 * random.normal(size=10)[data.h] + random.normal(size=n)
    return data


DATA = made()

TWINS = [
    ("y ~ x + z + (x | g)", {"x": "sigma", "z": "criterion"}),
    ("y ~ x + z + (x | g)", {"x": "converged", "z": "rho"}),
    ("y ~ x + z + (1 | g)", {"x": "(Intercept)", "z": "sd_(Intercept)|g"}),
    ("y ~ x + z + (x | g)", {"x": "g.(Intercept)", "z": ".fitted"}),
    ("y ~ x + z + (x | g)", {"x": "g.x", "z": "value"}),
    ("y ~ f + x + z + (x | g)", {"x": "f2", "z": "f3"}),
    ("y ~ f * z + x + (x || g)", {"x": "f2:z"}),
    ("y ~ x + z + (1 | g) + (1 | h)", {"h": "Residual", "x": "Residual.1"}),
    ("y ~ x + z + (1 | g)", {"x": "estimate", "z": "std_error_estimate"}),
]

TABLES = {
    "fixef": lambda fit: fit.fixef,
    "standard errors": lambda fit: fit.standard_errors,
    "vcov": lambda fit: fit.vcov(),
    "theta": lambda fit: fit.theta,
    "varcorr": lambda fit: fit.varcorr().to_frame(),
    "ranef": lambda fit: fit.ranef(cond_var=True).to_frame(),
    "coef": lambda fit: fit.coef()["g"],
    "coef errors": lambda fit: fit.coef_standard_errors()["g"],
    "summary": lambda fit: fit.summary().coefficients,
    "tidy": lambda fit: fit.tidy(("fixed", "ran_pars", "ran_vals", "ran_coefs"), conf_int=True),
    "tidy by profile": lambda fit: fit.tidy(conf_int=True, conf_method="profile"),
    "tidy by bootstrap": lambda fit: fit.tidy(conf_int=True, conf_method="bootstrap", n=20, rng=1),
    "confint": lambda fit: fit.confint(),
    "wald": lambda fit: fit.confint("wald"),
    "bootstrap": lambda fit: fit.confint("bootstrap", n=20, rng=1),
    "replicates": lambda fit: fit.bootstrap(20, rng=1).replicates,
    "profile": lambda fit: ml.profile(fit).to_frame(),
    "model_parameters": lambda fit: ml.model_parameters(fit, ci_random="wald").to_frame(),
    "model_parameters by profile": lambda fit: ml.model_parameters(fit, ci_random="profile").to_frame(),
    "model_parameters by bootstrap": lambda fit: ml.model_parameters(
        fit, ci_random="bootstrap", n=20, rng=1
    ).to_frame(),
    "standardize_parameters": lambda fit: ml.standardize_parameters(fit).to_frame(),
    "refit_many": lambda fit: fit.refit_many(fit.simulate(3, rng=1), std_error=True),
    "augment": lambda fit: fit.augment(),
    "influence": lambda fit: ml.influence(fit, "g").to_frame(),
    "anova": lambda fit: ml.anova(fit).to_frame(),
    "drop1": lambda fit: ml.drop1(fit).to_frame(),
    "ranova": lambda fit: ml.ranova(fit).to_frame(),
    "emmeans": lambda fit: ml.emmeans(fit, fit.formula.term_list.terms[0].variables[0].id).to_frame(),
    "draws": lambda fit: ml.sim(fit, 20, rng=1).to_frame(),
    "power": lambda fit: ml.power(fit, n=10, rng=1).to_frame(),
    "forest": fixed_effects_data,
    "caterpillar": random_effects_data,
    "caterpillar of coefficients": lambda fit: random_effects_data(fit, kind="coef"),
    "shrinkage": lambda fit: shrinkage_data(fit, "g"),
    "variance components": variance_components_data,
}


def renamed(formula, names):
    pattern = re.compile("|".join(rf"\b{name}\b" for name in names))
    other = pattern.sub(lambda found: f"`{names[found[0]]}`", formula)
    return ml.lmer(formula, DATA), ml.lmer(other, DATA.rename(columns=names))


def numbers(table):
    frame = table.to_frame() if isinstance(table, pd.Series) else table
    return frame.select_dtypes("number").to_numpy(dtype=float)


@pytest.mark.parametrize(("formula", "names"), TWINS, ids=[", ".join(names.values()) for _, names in TWINS])
def test_each_row_has_its_own_numbers(formula, names, tmp_path):
    plain, fit = renamed(formula, names)
    for what, table in TABLES.items():
        expected, found = table(plain), table(fit)
        np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-4, atol=1e-6, err_msg=what)
        if isinstance(found, pd.DataFrame):
            assert found.columns.is_unique, what
        if what not in ("tidy", "tidy by profile", "tidy by bootstrap", "profile", "augment"):
            assert found.index.is_unique, what
    assert str(fit.summary()).count("\n") == str(plain.summary()).count("\n")
    assert str(ml.tab_model(fit)).count("\n") == str(ml.tab_model(plain)).count("\n")
    fit.save(tmp_path / "fit.mlm")
    loaded = ml.load(tmp_path / "fit.mlm")
    assert loaded.fixef.index.tolist() == fit.fixef.index.tolist()
    pd.testing.assert_frame_equal(loaded.tidy(conf_int=True), fit.tidy(conf_int=True))


def test_a_level_that_spells_another_column():
    fit = ml.lmer("y ~ f + f2 + (f2 | g)", DATA.rename(columns={"x": "f2"}))
    plain = ml.lmer("y ~ f + x + (x | g)", DATA)
    assert fit.fixef.index.tolist() == ["(Intercept)", "f2", "f3", "f2.1"]
    assert fit.fixef["f2.1"] == pytest.approx(plain.fixef["x"])
    assert fit.theta.index.tolist() == ["g.(Intercept)", "g.f2.1.(Intercept)", "g.f2.1"]
    assert ml.contrast_test(fit, {"f2.1": 1}).estimate.iloc[0] == pytest.approx(plain.fixef["x"])
    np.testing.assert_allclose(fit.coef()["g"]["f2.1"], plain.coef()["g"]["x"], rtol=1e-6)
    np.testing.assert_allclose(fit.coef()["g"]["f2"], plain.fixef["f2"], rtol=1e-6)
    low, high = fit.confint().loc["sd_f2.1|g"]
    np.testing.assert_allclose([low, high], plain.confint().loc["sd_x|g"], rtol=1e-5)
    simulated = ml.simulate(
        "~ f + f2 + (f2 | g)", DATA.rename(columns={"x": "f2"}), beta=fit.fixef, theta=fit.theta, sigma=1, rng=1
    )
    same = ml.simulate("~ f + x + (x | g)", DATA, beta=plain.fixef, theta=plain.theta, sigma=1, rng=1)
    np.testing.assert_allclose(simulated, same, rtol=1e-5)


def test_an_interaction_written_in_another_order_is_one_coefficient():
    fit = ml.lmer("y ~ x * z + (z:x | g)", DATA)
    table = fit.coef()["g"]
    assert table.columns.tolist() == ["(Intercept)", "x", "z", "x:z"]
    np.testing.assert_allclose(table["x:z"], fit.fixef["x:z"] + fit.ranef()["g"].iloc[:, 1])


@pytest.mark.parametrize(
    ("formula", "groups"),
    [
        ("y ~ x + (x | g) + (1 | g)", ["g", "g", "g", "g.1"]),
        ("y ~ x + (1 | g) + (x | g)", ["g", "g.1", "g.1", "g.1"]),
        ("y ~ x + (0 + x | g) + (x | g)", ["g", "g.1", "g.1", "g.1"]),
        ("y ~ x + (x || g)", ["g", "g"]),
        ("y ~ x + (1 | g) + (1 | h) + (0 + x | g)", ["g", "g", "h"]),
    ],
)
def test_terms_that_share_a_column(formula, groups):
    fit = ml.lmer(formula, DATA)
    tidy = fit.tidy(conf_int=True, conf_method="profile")
    random = tidy[tidy.effect == "ran_pars"]
    assert sorted(random.group.iloc[:-1]) == sorted(groups)
    assert not random[["group", "term"]].duplicated().any()
    inside = (tidy.estimate >= tidy.conf_low - 1e-6) & (tidy.estimate <= tidy.conf_high + 1e-6)
    assert inside.all()
    n = fit.theta.size + 1 + fit.fixef.size
    for table in (fit.confint(), fit.confint("wald"), fit.confint("bootstrap", n=10, rng=1), ml.profile(fit).confint()):
        assert len(table) == n
        assert table.index.is_unique
    assert fit.theta.index.is_unique
    assert not fit.varcorr().to_frame()[["grp", "var1", "var2"]].duplicated().any()
    assert fit.ranef()["g"].columns.is_unique
    sums = fit.coef()["g"]
    assert sums.columns.tolist() == ["(Intercept)", "x"]
    own = fit.ranef()["g"].filter(like="(Intercept)").sum(axis=1)
    np.testing.assert_allclose(sums["(Intercept)"], fit.fixef["(Intercept)"] + own)
    random = ml.model_parameters(fit, ci_random="profile").random
    assert len(random) == fit.theta.size + 1
    assert random.index.is_unique
    assert fit.refit_many(fit.simulate(2, rng=1)).columns.is_unique


def test_names_given_to_what_has_one_already():
    assert distinct(["x", "y", "x", "x.1", "x"]) == ["x", "y", "x.2", "x.1", "x.3"]
    assert apart_from(["sigma", "criterion"], ["sigma", ".sigma"]) == ["..sigma", "criterion"]
    assert term_groups([("g", ["x"]), ("g.1", ["x"]), ("g", ["x"])]) == ["g", "g.1", "g.2"]


def test_recovery_of_a_coefficient_called_sigma():
    design = ml.DataDesign(
        "y ~ sigma + (1 | school)",
        levels={"school": 20, "pupil": 15},
        predictors={"sigma": "normal(0, 1)"},
        fixed={"(Intercept)": 50, "sigma": 3},
        random={"school": 4},
        sigma=8,
    )
    frame, truth = design.draw(rng=1)
    fit = ml.lmer(design.formula, frame)
    expected = {"(Intercept)": 50, "sigma": 3, "sd_(Intercept)|school": 4, ".sigma": 8}
    assert truth.parameters.to_dict() == expected
    for found in (fit, design.study(3, rng=1), fit.refit_many(fit.simulate(3, rng=1))):
        table = ml.recover(truth, found).to_frame()
        assert table.truth.to_dict() == expected
        estimates = table.iloc[:, 1]
        assert estimates["sigma"] == pytest.approx(3, abs=2)
        assert estimates[".sigma"] == pytest.approx(8, abs=2)


def test_terms_written_twice():
    fit = ml.lmer("y ~ x + z + (x || g) + (1 | g)", DATA)
    table = ml.ranova(fit).to_frame()
    assert table.index.tolist() == ["<none>", "(1 | g)", "x in (0 + x | g)", "(1 | g).1"]
    # which of the two equal terms goes is a tie
    assert str(ml.step(fit).final_model.formula) in ("y ~ x + (1 | g) + (0 + x | g)", "y ~ x + (0 + x | g) + (1 | g)")
    caterpillar = random_effects_data(fit, kind="coef")
    assert caterpillar.term.unique().tolist() == ["(Intercept)", "x"]
    assert not caterpillar[["grp", "term"]].duplicated().any()
    power = ml.power(fit, n=5, rng=1).to_frame()
    assert power.index.is_unique


def test_combinations_of_groups_whose_texts_are_alike(tmp_path):
    random = np.random.default_rng(1)
    data = pd.DataFrame({"a": random.choice(["1", "1:2"], 240), "b": random.choice(["3", "2:3"], 240)})
    data["y"] = (
        np.where(data.a == "1", 3, 0) + np.where(data.b == "3", -4, 2) * (data.a == "1") + random.normal(size=240)
    )
    fit = ml.lmer("y ~ 1 + (1 | a:b)", data)
    assert fit.ranef()["a:b"].index.is_unique
    fit.save(tmp_path / "fit.mlm")
    for model in (fit, ml.load(tmp_path / "fit.mlm")):
        np.testing.assert_allclose(model.predict(data.iloc[::-1]), fit.fitted().iloc[::-1])
