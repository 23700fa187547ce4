"""Searches: Newton's method, the libraries' optimisers, starting values, certificates."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
import small_models as sm
from multilevel.engine.control import NLOPT_METHODS, SCIPY_METHODS
from multilevel.engine.fit import fit_products
from multilevel.engine.newton import expected_decrease, minimise, smallest_curvature, trust_region_step
from multilevel.engine.objective import Objective
from multilevel.engine.products import cross_products_of
from multilevel.engine.start import starting_values

SLEEP = "Reaction ~ Days + (Days | Subject)"


def sleepstudy():
    return ml.load_dataset("sleepstudy")


# ---- Newton's method ---------------------------------------------------------------------------------------------------

STARTS = {
    "sleepstudy_reml": [[1.0, 0, 1.0], [0.0] * 3, [5.0, -2.0, 0.01], [0.01, 0, 0.01], [1.0, 0.2, 0.0], [30.0, 0, 30.0]],
    "sleepstudy_uncorrelated_ml": [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0], [10.0, 10.0]],
    "dyestuff_reml": [[1.0], [0.0], [1e-6], [50.0]],
    "penicillin_reml": [[1.0, 1.0], [0.0, 0.0], [0.0, 2.0], [20.0, 0.01]],
    "pastes_nested_ml": [[1.0, 1.0], [0.0, 0.0], [0.1, 10.0]],
    "oats_reml": [[1.0, 1.0], [0.0, 0.0], [3.0, 0.0]],
    "machines_reml": [[1.0, 0, 0, 1.0, 0, 1.0], [0.0] * 6, [9.0, 1.0, 1.0, 0.1, 0, 5.0]],
    "nested_crossed_reml": [[1.0, 1, 1, 0, 1, 1], [0.0] * 6],
    "subjects_items_uncorrelated_reml": [[1.0] * 4, [0.0] * 4],
}


@pytest.mark.parametrize(("name", "start"), [(name, start) for name, starts in STARTS.items() for start in starts])
def test_the_optimum_does_not_depend_on_the_start(name, start):
    # Zero is a stationary point (a saddle, here): the search must leave it.
    case = rc.cases()[name]
    control = ml.LmerControl(start=tuple(start))
    fit = ml.lmer(case["formula"], rc.frame(case["source"], case["data"]), reml=case["reml"], control=control)
    assert fit.convergence.status == "converged"
    assert fit._engine.criterion == pytest.approx(case["criterion"], rel=1e-9)
    np.testing.assert_allclose(fit.theta, list(case["theta"].values()), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["dyestuff2_reml", "zero_slope_reml", "zero_slope_ml", "perfect_correlation_ml"])
@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, 20.0])
def test_singular_optima_from_several_starts(name, scale):
    case = rc.cases()[name]
    stored = np.array(list(case["theta"].values()))
    identity = identity_of(case, scale)
    fit = ml.lmer(
        case["formula"],
        rc.frame(case["source"], case["data"]),
        reml=case["reml"],
        control=ml.LmerControl(start=identity),
    )
    assert fit.convergence.status == "singular"
    np.testing.assert_array_equal(fit.theta == 0.0, stored == 0.0)
    np.testing.assert_allclose(fit.theta, stored, atol=5e-5)


def identity_of(case, scale):
    values = []
    for term in case["varcorr"]:
        k = len(term["sd"])
        values.extend((scale * np.eye(k))[np.triu_indices(k)])
    return tuple(values)


@pytest.mark.parametrize("name", sm.ALL_STRUCTURES)
@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
def test_small_models_end_at_a_minimum(name, reml):
    products = cross_products_of(sm.ALL_STRUCTURES[name](sm.parts()))
    fit = fit_products(products, reml, ml.LmerControl())
    assert fit.convergence.converged
    model = fit.objective.local_model(fit.model.phi, exact=True)
    assert expected_decrease(model) <= 1e-9
    assert smallest_curvature(model) >= 0.0
    # No other start leads lower.
    parameters = products.plan.parameters
    for start in (parameters.start(), parameters.from_user(sm.thetas(fit.objective)), np.zeros(parameters.n_theta)):
        search = minimise(fit.objective, start, 1e-10, 1000)
        assert search.model.value >= fit.criterion - 1e-7


def test_a_variance_given_twice_is_no_failure():
    # Only the sum of the two variances is determined: the criterion has a flat valley of optima.
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        s, i, x = rng.integers(0, 30, 300), rng.integers(0, 12, 300), rng.normal(size=300)
        y = rng.normal(size=300) + 0.5 * rng.normal(size=30)[s] * x + 0.6 * rng.normal(size=30)[s]
        frame = {"y": y + 0.4 * rng.normal(size=12)[i], "x": x, "s": s, "i": i}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ml.ConvergenceWarning)
            twice = ml.lmer("y ~ x + (1 | s) + (x | s) + (1 | i)", frame)
        once = ml.lmer("y ~ x + (x | s) + (1 | i)", frame)
        assert twice.reml_criterion == pytest.approx(once.reml_criterion, rel=1e-9)
        found.append(twice.convergence.converged)
    assert all(found)


def test_the_trace_goes_down():
    for name in ("sleepstudy_reml", "penicillin_ml", "nested_vector_reml", "machines_reml"):
        trace = np.array(rc.fit(name).convergence.trace)
        assert (np.diff(trace) <= 1e-9 * np.abs(trace[1:])).all()


@pytest.mark.parametrize("formula", [SLEEP, "diameter ~ 1 + (1 | plate) + (1 | sample)"])
def test_too_few_evaluations(formula):
    frame = sleepstudy() if formula == SLEEP else ml.load_dataset("Penicillin")
    with pytest.warns(ml.ConvergenceWarning, match="not at an optimum"):
        fit = ml.lmer(formula, frame, control=ml.LmerControl(max_evaluations=1))
    assert fit.convergence.status == "not converged"
    assert not fit.convergence.converged
    assert fit.convergence.evaluations == 1
    assert fit.convergence.expected_decrease > 1e-6
    assert "largest number of evaluations" in fit.convergence.message


@pytest.mark.parametrize("limit", [2, 3, 5])
def test_the_limit_of_evaluations_is_kept(limit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ConvergenceWarning)
        fit = ml.lmer(SLEEP, sleepstudy(), control=ml.LmerControl(max_evaluations=limit, start=(30.0, 0.0, 30.0)))
    assert fit.convergence.evaluations <= limit
    assert fit.convergence.status == "not converged"


def test_the_warning_points_at_the_caller():
    with pytest.warns(ml.ConvergenceWarning) as caught:
        ml.lmer(SLEEP, sleepstudy(), control=ml.LmerControl(max_evaluations=1))
    assert caught[0].filename == __file__


def test_trust_region_step():
    gradient, hessian = np.array([1.0, -2.0]), np.diag([2.0, 4.0])
    step, decrease = trust_region_step(gradient, hessian, 10.0)
    np.testing.assert_allclose(step, [-0.5, 0.5])
    assert decrease == pytest.approx(0.75)
    step, decrease = trust_region_step(gradient, hessian, 0.1)
    assert np.linalg.norm(step) == pytest.approx(0.1, rel=2e-2)
    assert decrease > 0
    # At a saddle without a gradient the step follows the negative curvature to the edge.
    step, decrease = trust_region_step(np.zeros(2), np.diag([1.0, -1.0]), 0.5)
    np.testing.assert_allclose(np.abs(step), [0.0, 0.5], atol=1e-8)
    assert decrease == pytest.approx(0.125)


# ---- certificates ------------------------------------------------------------------------------------------------------


def test_convergence_record():
    convergence = rc.fit("sleepstudy_reml").convergence
    assert convergence.gradient_norm == np.abs(convergence.gradient).max()
    assert not convergence.gradient.flags.writeable
    assert not convergence.hessian.flags.writeable
    np.testing.assert_allclose(convergence.hessian, convergence.hessian.T)
    assert convergence.smallest_hessian_eigenvalue > 0
    assert repr(convergence).startswith("Convergence(status='converged', optimizer='newton'")
    with pytest.raises(AttributeError):
        convergence.status = "perfect"


def test_the_hessian_of_a_crossed_model_is_exact():
    fit = rc.fit("penicillin_reml")
    objective, phi = fit._engine.objective, fit._engine.model.phi
    numerical = sm.derivative(objective.gradient, phi)
    np.testing.assert_allclose(fit.convergence.hessian, numerical, rtol=1e-6, atol=1e-6 * np.abs(numerical).max())


# ---- the libraries' optimisers -----------------------------------------------------------------------------------------

# The criterion is flat at its minimum: optimisers that compare its values alone cannot place theta better than this, those
# that stop by their own rules less well.
PRECISION = {"tnc": 1e-4, "slsqp": 1e-4, "nlopt-cobyla": 1e-4, "nlopt-lbfgs": 1e-4}


@pytest.mark.parametrize("optimizer", [*SCIPY_METHODS, *NLOPT_METHODS])
@pytest.mark.parametrize("name", ["sleepstudy_reml", "sleepstudy_ml", "penicillin_reml"])
def test_library_optimisers(optimizer, name):
    if optimizer in NLOPT_METHODS:
        pytest.importorskip("nlopt")
    case = rc.cases()[name]
    fit = ml.lmer(
        case["formula"],
        rc.frame(case["source"], case["data"]),
        reml=case["reml"],
        control=ml.LmerControl(optimizer=optimizer),
    )
    assert fit.convergence.optimizer == optimizer
    assert fit.convergence.status == "converged"
    assert fit._engine.criterion == pytest.approx(case["criterion"], rel=1e-9)
    np.testing.assert_allclose(
        fit.theta, list(case["theta"].values()), rtol=0, atol=PRECISION.get(optimizer, 1e-5) * max(1.0, fit.theta.max())
    )
    assert fit.convergence.evaluations >= 3
    assert isinstance(fit.convergence.message, str)
    assert (np.diff(fit.convergence.trace) < 0).all()


@pytest.mark.parametrize("optimizer", ["nelder-mead", "l-bfgs-b", "bobyqa"])
@pytest.mark.parametrize("name", ["dyestuff2_reml", "zero_slope_ml"])
def test_library_optimisers_on_the_boundary(optimizer, name):
    if optimizer in NLOPT_METHODS:
        pytest.importorskip("nlopt")
    case = rc.cases()[name]
    fit = ml.lmer(
        case["formula"],
        rc.frame(case["source"], case["data"]),
        reml=case["reml"],
        control=ml.LmerControl(optimizer=optimizer),
    )
    assert fit.convergence.status == "singular"
    np.testing.assert_allclose(fit.theta, list(case["theta"].values()), atol=1e-4)


def test_options_are_handed_on():
    control = ml.LmerControl(optimizer="nelder-mead", optimizer_options={"maxfev": 12})
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.lmer(SLEEP, sleepstudy(), control=control)
    assert fit.convergence.evaluations <= 13
    pytest.importorskip("nlopt")
    control = ml.LmerControl(optimizer="bobyqa", optimizer_options={"maxeval": 7})
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.lmer(SLEEP, sleepstudy(), control=control)
    assert fit.convergence.evaluations == 7
    assert "largest number of evaluations" in fit.convergence.message


@pytest.mark.parametrize("optimizer", NLOPT_METHODS)
def test_an_installation_without_nlopt_is_told_so(monkeypatch, optimizer):
    monkeypatch.setitem(sys.modules, "nlopt", None)
    with pytest.raises(ml.MissingDependencyError, match="pip install nlopt") as caught:
        ml.lmer(SLEEP, sleepstudy(), control=ml.LmerControl(optimizer=optimizer))
    assert isinstance(caught.value, ImportError)


# ---- starting values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, case in rc.cases().items() if case["reml"] and case["nobs"] < 10_000])
def test_starting_values_are_near_the_optimum(name):
    products = rc.fit(name)._engine.products
    objective = Objective(products, True)
    start = starting_values(products)
    assert np.isfinite(start).all()
    for lam in products.plan.parameters.block_factors(start):
        assert (np.diag(lam) > 0.0).all()
    optimum = rc.fit(name)._engine.criterion
    identity = objective.value(products.plan.parameters.start())
    assert optimum - 1e-6 <= objective.value(start)
    # A rough guess: about as good as the identity matrix, which is where lme4 begins, and mostly much better.
    assert objective.value(start) - optimum <= max(3.0 * (identity - optimum), 25.0)
    # Where a variance ends at zero or close to it, the search was made again from elsewhere.
    ended = rc.fit(name)._engine.model.phi[products.plan.parameters.pivots]
    assert rc.fit(name).convergence.evaluations <= (15 if ended.min() > 0.2 else 60)


@pytest.mark.parametrize("name", sm.ALL_STRUCTURES)
def test_starting_values_of_every_structure(name):
    objective = sm.objective_of(sm.ALL_STRUCTURES[name](sm.parts()), True)
    start = starting_values(objective.products)
    assert np.isfinite(start).all()
    for lam in objective.products.plan.parameters.block_factors(start):
        assert (np.diag(lam) > 0.0).all()
    assert np.isfinite(objective.value(start))


def test_starting_values_without_residuals():
    m = sm.parts()
    given = sm.with_response(sm.ALL_STRUCTURES["slope"](m), np.full(len(m.columns), 3.0))
    products = cross_products_of(given)
    np.testing.assert_allclose(starting_values(products), products.plan.parameters.start())


def test_wrong_number_of_starting_values():
    with pytest.raises(ml.ControlError, match="3"):
        ml.lmer(SLEEP, sleepstudy(), control=ml.LmerControl(start=(1.0, 2.0)))
