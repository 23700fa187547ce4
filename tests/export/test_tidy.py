"""tidy, glance and augment: broom.mixed's shapes and lme4's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import multilevel as ml
import reference_cases as rc


@pytest.fixture(scope="module")
def sleep() -> ml.LinearMixedModel:
    return rc.fit("sleepstudy_reml")


def test_tidy_as_broom_mixed_documents_it(sleep):
    """The frame that broom.mixed shows for this model, to the digits shown there."""
    found = sleep.tidy()
    assert found["effect"].tolist() == ["fixed"] * 2 + ["ran_pars"] * 4
    assert found["group"].isna().tolist() == [True, True, False, False, False, False]
    assert found["group"][2:].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert found["term"].tolist() == [
        "(Intercept)", "Days", "sd__(Intercept)", "cor__(Intercept).Days", "sd__Days", "sd__Observation",
    ]  # fmt: skip
    assert found["estimate"].round(4).tolist() == pytest.approx(
        [251.4051, 10.4673, 24.7407, 0.0656, 5.9221, 25.5918], abs=2e-4
    )
    assert found["std_error"].round(2)[:2].tolist() == [6.82, 1.55]
    assert found["statistic"].round(2)[:2].tolist() == [36.84, 6.77]
    assert found.loc[2:, ["std_error", "statistic", "df", "p_value"]].isna().all(axis=None)
    assert found["df"][:2].round(1).tolist() == [17.0, 17.0]


def test_tidy_agrees_with_the_summary(any_model):
    found = any_model.tidy("fixed", conf_int=True, ddf="residual")
    table = any_model.summary(ddf="residual").coefficients
    assert found["term"].tolist() == table.index.tolist()
    for name in ("estimate", "std_error", "statistic", "df", "p_value"):
        np.testing.assert_array_equal(found[name], table[name])
    interval = any_model.confint("wald", ddf="residual").loc[list(table.index)]
    np.testing.assert_array_equal(found["conf_low"], interval["conf_low"])


@pytest.fixture(params=["cake_recipe_slopes_reml", "nested_crossed_reml", "sleepstudy_uncorrelated_ml"])
def any_model(request) -> ml.LinearMixedModel:
    return rc.fit(request.param)


def test_random_parameters(any_model):
    frame = any_model.varcorr().to_frame()
    for scales, column, own in (("sdcor", "sdcor", "sd"), ("vcov", "vcov", "var")):
        found = any_model.tidy("ran_pars", scales=scales)
        assert sorted(found["estimate"]) == pytest.approx(sorted(frame[column]))
        diagonal = found[found["term"].str.startswith(f"{own}__")]
        assert len(diagonal) == frame["var2"].isna().sum()
    assert found["group"].iloc[-1] == "Residual"


def test_conditional_modes_and_coefficients(any_model):
    modes = any_model.ranef(cond_var=True).to_frame()
    found = any_model.tidy(["ran_vals"], conf_int=True, level=0.9)
    np.testing.assert_array_equal(found["estimate"], modes["condval"])
    np.testing.assert_array_equal(found["std_error"], modes["condsd"])
    np.testing.assert_allclose(found["conf_high"] - found["estimate"], 1.6448536269514722 * found["std_error"])
    assert found["level"].tolist() == modes["grp"].tolist()
    coefs = any_model.tidy("ran_coefs")
    for group, frame in any_model.coef().items():
        own = coefs[coefs["group"] == group].pivot_table(index="level", columns="term", values="estimate", sort=False)
        pd.testing.assert_frame_equal(
            own.loc[list(frame.index), list(frame.columns)], frame, check_names=False, check_index_type=False
        )


def test_modes_against_lme4():
    expected = pd.DataFrame(rc.reference("predict")["sleepstudy"]["modes"])
    found = rc.fit("sleepstudy_reml").ranef(cond_var=True).to_frame()
    for name in ("grpvar", "term", "grp"):
        assert found[name].tolist() == expected[name].tolist()
    np.testing.assert_allclose(found["condval"], expected["condval"], rtol=1e-7)
    np.testing.assert_allclose(found["condsd"], expected["condsd"], rtol=1e-8)


def test_intervals_from_the_profile_and_the_bootstrap(sleep):
    found = sleep.tidy(conf_int=True, conf_method="profile").set_index("term")
    profile = sleep.confint("profile")
    assert found.loc["sd__Days", ["conf_low", "conf_high"]].tolist() == profile.loc["sd_Days|Subject"].tolist()
    assert found.loc["Days", "conf_low"] == profile.loc["Days", "conf_low"]
    key = "cor_Days.(Intercept)|Subject"
    assert found.loc["cor__(Intercept).Days", "conf_low"] == profile.loc[key, "conf_low"]
    squares = sleep.tidy("ran_pars", conf_int=True, conf_method="profile", scales="vcov").set_index("term")
    assert squares.loc["var__Days", "conf_low"] == pytest.approx(profile.loc["sd_Days|Subject", "conf_low"] ** 2)
    assert np.isnan(squares.loc["cov__(Intercept).Days", "conf_low"])
    drawn = sleep.tidy("fixed", conf_int=True, conf_method="bootstrap", n=50, rng=1)
    assert drawn["conf_low"].notna().all()
    assert sleep.tidy("ran_pars", conf_int=True)["conf_low"].isna().all()


def test_tidy_refuses(sleep):
    for effects in ("random", [], ["fixed", "other"]):
        with pytest.raises(ml.ControlError, match="effects must be among"):
            sleep.tidy(effects)
    with pytest.raises(ml.ControlError, match="scales"):
        sleep.tidy(scales="sd")
    with pytest.raises(ml.ControlError, match="conf_method"):
        sleep.tidy(conf_int=True, conf_method="hpd")


def test_glance(sleep):
    found = sleep.glance()
    assert found.columns.tolist() == ["nobs", "sigma", "loglik", "aic", "bic", "reml_criterion", "df_residual"]
    assert found.loc[0, "reml_criterion"] == sleep.reml_criterion
    assert "deviance" in rc.fit("sleepstudy_uncorrelated_ml").glance()


# ---- augment -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "cake"])
def test_diagnostics_against_lme4(name):
    expected = rc.reference("predict")[name]
    formula, source, weights = {
        "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", None),
        "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", None),
        "cake": ("angle ~ recipe * temp + (1 | recipe:replicate)", "cake", 1.0 + np.arange(1, 271) % 3),
    }[name]
    fit = ml.lmer(formula, ml.load_dataset(source), weights=weights)
    found = fit.augment()
    np.testing.assert_allclose(found[".hat"], expected["leverage"], rtol=1e-7)
    np.testing.assert_allclose(found[".cooksd"], expected["cooks_distance"], rtol=1e-6)
    np.testing.assert_allclose(found[".fixed"], expected["none"], rtol=1e-6)
    np.testing.assert_allclose(found[".sqrtXwt"], expected["weights_root"])
    scale = np.abs(expected["weighted_residual"]).max()
    np.testing.assert_allclose(found[".wtres"], expected["weighted_residual"], atol=1e-8 * scale)
    np.testing.assert_allclose(found[".resid"], fit.residuals())


def test_columns_of_augment(sleep):
    found = sleep.augment()
    assert found.columns.tolist() == [
        "Reaction", "Days", "Subject", ".fitted", ".resid", ".hat", ".cooksd", ".fixed", ".mu", ".offset", ".sqrtXwt",
        ".sqrtrwt", ".weights", ".wtres",
    ]  # fmt: skip
    wide = sleep.augment(sleep._data.frame.assign(extra=1))
    assert "extra" in wide
    pd.testing.assert_series_equal(wide[".hat"], found[".hat"])
    assert ".hat" in sleep.augment(pl.from_pandas(sleep._data.frame))


def test_augment_and_rows_left_out(sleepstudy_with_gap):
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy_with_gap)
    own = fit.augment()
    assert len(own) == 179
    assert 3 not in own.index
    whole = fit.augment(sleepstudy_with_gap)
    assert np.flatnonzero(whole[".fitted"].isna()).tolist() == [3]
    pd.testing.assert_series_equal(whole[".fitted"].drop(3), own[".fitted"])
    with pytest.raises(ml.DataError, match="5 rows and the fit 180, of which it used 179"):
        fit.augment(sleepstudy_with_gap.head())


@pytest.fixture
def sleepstudy_with_gap() -> pd.DataFrame:
    frame = ml.load_dataset("sleepstudy")
    frame.loc[3, "Reaction"] = np.nan
    return frame


def test_augment_new_data(sleep):
    new = pd.DataFrame({"Days": [1.0, 2.0], "Subject": ["308", "x"]}, index=[7, 8])
    found = sleep.augment(newdata=new, allow_new_levels=True)
    assert found.columns.tolist() == ["Days", "Subject", ".fitted", ".fixed"]
    assert found.loc[8, ".fitted"] == found.loc[8, ".fixed"]
    with_response = sleep.augment(newdata=new.assign(Reaction=300.0), allow_new_levels=True)
    np.testing.assert_allclose(with_response[".resid"], 300.0 - with_response[".fitted"])
    with pytest.raises(ml.ControlError, match="not both"):
        sleep.augment(new, newdata=new)


# ---- statsmodels' names ------------------------------------------------------------------------------------------------


def test_names_of_statsmodels(sleep):
    pd.testing.assert_series_equal(sleep.params, sleep.fixef)
    pd.testing.assert_series_equal(sleep.bse, sleep.standard_errors)
    table = sleep.summary().coefficients
    pd.testing.assert_series_equal(sleep.tvalues, table["statistic"])
    pd.testing.assert_series_equal(sleep.pvalues, table["p_value"])
    expected = sleep.confint("wald", ddf="satterthwaite", level=0.9).iloc[-2:]
    np.testing.assert_array_equal(sleep.conf_int(0.1).to_numpy(), expected.to_numpy())
    assert sleep.conf_int().columns.tolist() == [0, 1]
    pd.testing.assert_frame_equal(sleep.cov_params(), sleep.vcov())
    assert (sleep.llf, sleep.df_resid) == (sleep.loglik, sleep.df_residual)
    pd.testing.assert_series_equal(sleep.fittedvalues, sleep.fitted())
    pd.testing.assert_series_equal(sleep.resid, sleep.residuals())


def test_what_maketables_reads(sleep):
    """It takes whatever has these names for a result of statsmodels."""
    assert all(hasattr(sleep, name) for name in ("params", "bse", "pvalues", "tvalues", "nobs", "aic", "bic", "llf"))
    assert sleep.endog_names == "Reaction"
    assert sleep.conf_int(alpha=0.05).shape == (2, 2)


def test_tables_of_maketables(sleep):
    maketables = pytest.importorskip("maketables")
    table = maketables.ETable([sleep, rc.fit("sleepstudy_uncorrelated_ml")], model_stats=["N", "ll", "aic"]).df
    assert table.columns.get_level_values(0).tolist() == ["Reaction", "Reaction"]
    cells = table.iloc[:, 0].tolist()
    assert cells[0].startswith("251.405***")
    assert "(6.825)" in cells[0]
    assert [str(cell) for cell in cells[2:]] == ["180", "-871.814", "1,755.63"]


def test_names_of_statsmodels_mixed_models(sleep):
    """The numbers that statsmodels' MixedLM gives for this model, to the digits that its optimiser reaches."""
    pd.testing.assert_series_equal(sleep.fe_params, sleep.fixef)
    pd.testing.assert_series_equal(sleep.bse_fe, sleep.standard_errors)
    assert (sleep.method, sleep.converged, sleep.use_t) == ("REML", True, True)
    assert rc.fit("sleepstudy_uncorrelated_ml").method == "ML"
    assert sleep.scale == pytest.approx(654.9404769803164, rel=1e-5)
    np.testing.assert_allclose(sleep.cov_re, [[612.096487, 9.604599], [9.604599, 35.071623]], rtol=1e-4)
    assert sleep.random_effects["308"].to_dict() == pytest.approx({"(Intercept)": 2.258584, "Days": 9.198969}, rel=1e-4)
    block = sleep.random_effects_cov["308"]
    assert np.sqrt(block.loc["Days", "Days"]) == pytest.approx(2.304839, rel=1e-5)
    pd.testing.assert_index_equal(block.index, block.columns)
    uncorrelated = rc.fit("sleepstudy_uncorrelated_ml").cov_re
    assert uncorrelated.shape == (2, 2)
    assert uncorrelated.iloc[0, 1] == 0.0
    model = sleep.model
    assert (model.formula, model.endog_names, model.nobs) == ("Reaction ~ Days + (Days | Subject)", "Reaction", 180)
    assert model.exog_names == ("(Intercept)", "Days")
    assert (model.endog.shape, model.exog.shape) == ((180,), (180, 2))
    crossed = rc.fit("penicillin_reml")
    for name in ("cov_re", "random_effects", "random_effects_cov"):
        with pytest.raises(
            ml.ControlError, match=f"{name} is for models with one grouping factor; this one has plate, sample"
        ):
            getattr(crossed, name)


# ---- broom.mixed -------------------------------------------------------------------------------------------------------

OWN_NAMES = {
    "std.error": "std_error",
    "p.value": "p_value",
    "conf.low": "conf_low",
    "conf.high": "conf_high",
    "logLik": "loglik",
    "AIC": "aic",
    "BIC": "bic",
    "REMLcrit": "reml_criterion",
    "df.residual": "df_residual",
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tidy", lambda fit: fit.tidy(conf_int=True)),
        ("kenward_roger", lambda fit: fit.tidy("fixed", conf_int=True, ddf="kenward-roger")),
        ("variances", lambda fit: fit.tidy("ran_pars", scales="vcov")),
        ("modes", lambda fit: fit.tidy("ran_vals", conf_int=True)),
        ("coefficients", lambda fit: fit.tidy("ran_coefs")),
        ("glance", lambda fit: fit.glance()),
        ("augment", lambda fit: fit.augment()),
        ("likelihood", lambda fit: fit.update(". ~ . - (Days | Subject) + (Days || Subject)", reml=False).tidy()),
        (
            "glance_likelihood",
            lambda fit: fit.update(". ~ . - (Days | Subject) + (Days || Subject)", reml=False).glance(),
        ),
    ],
)
def test_every_column_of_broom_mixed(sleep, name, found):
    own = found(sleep)
    for column, values in rc.reference("broom_mixed")[name].items():
        mine = own[OWN_NAMES.get(column, column)]
        expected = pd.Series(values if isinstance(values, list) else [values])
        if any(isinstance(value, str) for value in expected):
            # R counts the terms of one grouping factor, Subject and Subject.1; here the factor keeps its name.
            names = [str(value).removesuffix(".1") for value in expected.fillna("")]
            assert mine.fillna("").astype(str).tolist() == names
        else:
            numbers = mine.to_numpy(dtype=float)
            np.testing.assert_allclose(numbers, expected.to_numpy(dtype=float), rtol=1e-5, atol=1e-6, err_msg=column)


@pytest.mark.parametrize("structure", ["cs", "homcs", "ar1", "hetar1", "toep", "homtoep", "homdiag", "diag"])
def test_parameters_of_structures_have_their_own_intervals(structure):
    fit = ml.lmer(
        f"score ~ Machine + {structure}(0 + Machine | Worker)",
        pd.DataFrame(rc.reference("predict")["machines"]["data"]),
    )
    known = fit.confint("bootstrap", n=20, rng=1)
    found = fit.tidy("ran_pars", conf_int=True, conf_method="bootstrap", n=20, rng=1).set_index("term")
    bounds = found[["conf_low", "conf_high"]]
    term = fit.varcorr().terms[0]
    for name in known.index[: known.index.get_loc("sigma")]:
        kind, rest = name.removesuffix("|Worker").split("_", 1)
        if kind == "sd":
            rows = [f"sd__{column}" for column in term.names] if rest == "all" else [f"sd__{rest}"]
        else:
            lag = {"lag1": [(0, 1), (1, 2)], "lag2": [(0, 2)], "all": [(0, 1), (0, 2), (1, 2)]}
            if structure in ("ar1", "hetar1"):
                rows = [f"cor__{term.names[a]}.{term.names[b]}" for a, b in lag["lag1"]]
                low, high = known.loc[name]
                square = bounds.loc[f"cor__{term.names[0]}.{term.names[2]}"]
                smallest = 0.0 if low < 0 < high else min(low**2, high**2)
                np.testing.assert_allclose(square, [smallest, max(low**2, high**2)], rtol=1e-12)
            else:
                rows = [f"cor__{term.names[a]}.{term.names[b]}" for a, b in lag.get(rest, lag["all"])]
        for row in rows:
            np.testing.assert_allclose(bounds.loc[row], known.loc[name], rtol=1e-12, err_msg=row)
    np.testing.assert_allclose(bounds.loc["sd__Observation"], known.loc["sigma"], rtol=1e-12)
