"""Changed fits: other criteria, options, formulas and data."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml


@pytest.mark.parametrize("reml", [True, False])
def test_another_criterion_from_the_same_cross_products(any_fit, reml):
    changed = any_fit.update(reml=reml)
    assert changed.reml is reml
    assert changed._design is any_fit._design
    criterion = changed.reml_criterion if reml else changed.deviance
    other = any_fit.reml_criterion if reml else any_fit.deviance
    assert criterion <= other + 1e-8
    assert changed.convergence.converged
    again = any_fit.update(". ~ .", reml=reml) if not any_fit.dropped_columns else changed
    np.testing.assert_allclose(changed.fixef, again.fixef, rtol=1e-5, atol=1e-8)
    assert changed.loglik == pytest.approx(again.loglik, rel=1e-9)


def test_starting_values(sleep):
    start = tuple(sleep.theta * 1.1)
    found = sleep.update(control=ml.LmerControl(start=start))
    assert found.loglik == pytest.approx(sleep.loglik, rel=1e-10)
    assert found._control.start == start
    with pytest.raises(ml.ControlError, match="start has 2 values and theta has 3"):
        sleep.update(control=ml.LmerControl(start=(1.0, 0.0)))
    slow = sleep.update(control=ml.LmerControl(optimizer="nelder-mead"))
    assert slow.convergence.optimizer == "nelder-mead"


def test_contrasts_and_data():
    cake = ml.load_dataset("cake")
    fit = ml.lmer("angle ~ recipe + (1 | recipe:replicate)", cake)
    changed = fit.update(contrasts={"recipe": "sum"})
    assert changed.fixef.index.tolist() == ["(Intercept)", "recipe1", "recipe2"]
    assert changed.deviance == pytest.approx(fit.deviance, rel=1e-9)
    np.testing.assert_allclose(changed.fitted(), fit.fitted(), rtol=1e-6)
    half = fit.update(data=cake.iloc[:180])
    assert half.nobs == 180
    wider = fit.update(". ~ . + temp - (1 | recipe:replicate) + (temp | recipe:replicate)")
    assert wider.theta.size == 3
    assert str(wider.formula) == "angle ~ recipe + temp + (temp | recipe:replicate)"


def test_update_after_refit(sleep):
    other = sleep.refit(sleep.get_me("y") + 1.0)
    assert other.update(reml=False).reml is False
    with pytest.raises(ml.DataError, match="replaced by refit"):
        other.update(". ~ . - Days")
