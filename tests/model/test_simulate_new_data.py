"""Responses for new data, responses that condition on some terms, and R's stream of random numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
import reference_cases as rc


def stored():
    return rc.reference("predict")["simulate"]


@pytest.fixture
def penicillin() -> ml.LinearMixedModel:
    return ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))


def test_the_stream_of_r(sleep, sleepstudy, penicillin):
    expected = stored()
    found = sleep.simulate(2, rng=ml.RRandom(42))
    np.testing.assert_allclose(found.T, expected["sleepstudy"], rtol=1e-8)
    np.testing.assert_allclose(
        sleep.simulate(rng=ml.RRandom(42), conditional=True)[0], expected["conditional"], rtol=1e-8
    )
    np.testing.assert_allclose(penicillin.simulate(rng=ml.RRandom(5))[0], expected["penicillin"], rtol=1e-8)
    given = penicillin.simulate(rng=ml.RRandom(5), re_formula="~ (1 | sample)")[0]
    np.testing.assert_allclose(given, expected["given_sample"], rtol=1e-8)
    machines = pd.DataFrame(rc.reference("predict")["machines"]["data"])
    nested = ml.lmer("score ~ Machine + (1 | Worker/Machine)", machines)
    np.testing.assert_allclose(nested.simulate(rng=ml.RRandom(7))[0], expected["machines"], rtol=1e-8)
    uncorrelated = ml.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy)
    np.testing.assert_allclose(uncorrelated.simulate(rng=ml.RRandom(7))[0], expected["uncorrelated"], rtol=1e-8)


def test_the_stream_of_r_for_new_data(sleep):
    new = {"Days": [1.0, 2.0, 3.0, 4.0], "Subject": ["310", "new", "308", "310"]}
    found = sleep.simulate(1, new, rng=ml.RRandom(7), allow_new_levels=True)[0]
    np.testing.assert_allclose(found, stored()["new_data"], rtol=1e-8)


def test_the_rows_of_the_fit_as_new_data(sleep, sleepstudy):
    np.testing.assert_allclose(sleep.simulate(5, sleepstudy, rng=1), sleep.simulate(5, rng=1), rtol=1e-12)
    found = sleep.simulate(5, sleepstudy, rng=1, conditional=True)
    np.testing.assert_allclose(found, sleep.simulate(5, rng=1, conditional=True), rtol=1e-12)


def test_moments_of_new_data(sleep):
    new = pd.DataFrame({"Days": [2.0, 4.0, 1.0, 3.0], "Subject": ["308", "308", "x", "y"]})
    draws = sleep.simulate(20_000, new, rng=3, allow_new_levels=True)
    sigma = sleep.varcorr()["Subject"].to_numpy()
    z = np.column_stack([np.ones(4), new["Days"]])
    expected = (z @ sigma @ z.T) * np.equal.outer(new["Subject"].to_numpy(), new["Subject"].to_numpy())
    expected += sleep.sigma**2 * np.eye(4)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=60.0)
    np.testing.assert_allclose(draws.mean(axis=0), sleep.predict(new, re_formula=False), atol=1.5)
    given = sleep.simulate(20_000, new, rng=4, conditional=True, allow_new_levels=True)
    np.testing.assert_allclose(given.mean(axis=0), sleep.predict(new, allow_new_levels=True), atol=1.5)
    # Known levels keep their effects; those of new ones are drawn.
    known = np.diag(expected) * [0, 0, 1, 1] + sleep.sigma**2 * np.array([1, 1, 0, 0])
    np.testing.assert_allclose(given.var(axis=0), known, rtol=0.05)


def test_conditioning_on_one_term(penicillin):
    draws = penicillin.simulate(4000, rng=1, re_formula="~ (1 | plate)")
    mean = penicillin.predict(re_formula="~ (1 | plate)")
    spread = np.sqrt(penicillin.varcorr()["sample"].iloc[0, 0] + penicillin.sigma**2)
    assert np.abs((draws.mean(axis=0) - mean) / (spread / np.sqrt(4000))).max() < 5
    np.testing.assert_allclose(draws.std(axis=0), spread, rtol=0.08)


def test_missing_values_and_weights():
    fit = rc.fit("weights_and_offset_reml")
    arguments = fit._data.arguments
    frame = fit._data.frame
    assert isinstance(arguments["weights"], str)
    new = frame.iloc[[0, 1, 2]].copy()
    new[arguments["weights"]] = [1.0, 4.0, 100.0]
    draws = fit.simulate(5000, new, rng=1, conditional=True)
    np.testing.assert_allclose(draws.std(axis=0), fit.sigma / np.sqrt([1.0, 4.0, 100.0]), rtol=0.05)
    numeric = next(name for name in fit.formula.variables[1:] if pd.api.types.is_float_dtype(new[name]))
    new.loc[new.index[1], numeric] = np.nan
    assert np.isnan(fit.simulate(2, new, rng=1)).all(axis=0).tolist() == [False, True, False]


def test_refusals(sleep):
    new = {"Days": [1.0], "Subject": ["new"]}
    with pytest.raises(ml.DataError, match="does not know: 'new'"):
        sleep.simulate(1, new)
    with pytest.raises(ml.ControlError, match=r"whole random-effects terms only; re_formula has \(1 | Subject\)"):
        sleep.simulate(1, re_formula="~ (1 | Subject)")
    with pytest.raises(ml.ControlError, match="not both"):
        sleep.simulate(1, conditional=True, re_formula=False)
    with pytest.raises(ml.ControlError, match="of new data"):
        sleep.simulate(1, offset=2)


STRUCTURED = ["us", "diag", "homdiag", "cs", "homcs", "ar1", "hetar1", "toep", "homtoep"]


@pytest.mark.parametrize("structure", STRUCTURED)
def test_theta_of_a_structured_fit_simulates_its_covariances(structure):
    sleepstudy = ml.load_dataset("sleepstudy")
    sleepstudy = sleepstudy[sleepstudy.Days < 3].assign(day=lambda d: d.Days.astype(str))
    formula = f"Reaction ~ Days + {structure}(0 + day | Subject)"
    # twelve rows of each day and subject, for a covariance matrix of the days that is well determined
    many = pd.concat([sleepstudy] * 12, ignore_index=True)
    rng = np.random.default_rng(1)
    response = many.Reaction + rng.normal(0, 20, len(many))
    fit = ml.lmer(formula, many.assign(Reaction=response))
    arguments = {"beta": fit.fixef, "sigma": fit.sigma, "rng": 1}
    own = ml.simulate(formula, many, theta=fit.theta, **arguments)
    np.testing.assert_allclose(own, ml.simulate(formula, many, theta=fit.theta.to_numpy(), **arguments))
    # the response's place in the formula does not matter, and the covariance matrices are those of the fit
    np.testing.assert_allclose(own, ml.simulate(formula.replace("Reaction ", ""), many, theta=fit.theta, **arguments))
    np.testing.assert_allclose(own, ml.simulate(formula, many, cov=fit.varcorr(), **arguments), rtol=1e-7)


def test_theta_that_a_structure_cannot_have():
    data = ml.load_dataset("sleepstudy")
    with pytest.raises(ml.DataError, match=r"no cs\(Days \| Subject\) has"):
        ml.simulate("~ Days + cs(Days | Subject)", data, beta=[250, 10], theta=[1.0, 0.2, 1.7], sigma=20)
    with pytest.raises(ml.DataError, match="must not be negative"):
        ml.simulate("~ Days + cs(Days | Subject)", data, beta=[250, 10], theta=[1.0, -0.2, 0.1], sigma=20)


def test_truth_of_a_structured_design_has_the_parameters_of_its_fits():
    design = ml.DataDesign(
        "y ~ x + diag(1 + x | school)",
        levels={"school": 20, "pupil": 15},
        predictors={"x": "normal(0, 1)"},
        fixed={"(Intercept)": 50, "x": 3},
        random={"school": [4, 2]},
        sigma=8,
    )
    frame, truth = design.draw(rng=1)
    fit = ml.lmer(design.formula, frame)
    assert truth.theta.to_dict() == pytest.approx({"school.(Intercept)": 0.5, "school.x": 0.25})
    assert truth.theta.index.tolist() == fit.theta.index.tolist()
    refits = fit.refit_many(fit.simulate(3, rng=1))
    assert ml.recover(truth, refits).to_frame().truth.tolist() == [50, 3, 4, 2, 8]
