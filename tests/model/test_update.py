"""Changed fits: other criteria, options, formulas and data."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
    smaller = other.update(". ~ . - Days")
    assert smaller.fixef.iloc[0] == pytest.approx(sleep.update(". ~ . - Days").fixef.iloc[0] + 1.0)


def test_unknown_changes(sleep):
    with pytest.raises(ml.ControlError, match=r"starting values are control=LmerControl\(start"):
        sleep.update(start=[1, 0, 1])
    with pytest.raises(ml.ControlError, match="no argument 'wieghts'; did you mean 'weights'"):
        sleep.update(wieghts="w")
    with pytest.raises(ml.ControlError, match="no argument 'subset'; it has weights, offset"):
        sleep.update(subset="Days > 2")


# ---- refit -------------------------------------------------------------------------------------------------------------


def test_refit_refuses_what_is_no_response(sleep):
    y = sleep.get_me("y")
    with pytest.raises(ml.DataError, match="takes one response, and there are 2"):
        sleep.refit([y, y])
    with pytest.raises(ml.DataError, match="constant"):
        sleep.refit(np.ones(180))
    for values in (["a"] * 180, "Reaction"):
        with pytest.raises(ml.DataTypeError, match="must be numbers"):
            sleep.refit(values)
    with pytest.raises(ml.DataError, match="must be a row: transpose"):
        sleep.refit_many(np.column_stack([y, y]))


def test_responses_with_a_value_for_every_row_of_the_data(sleepstudy):
    data = sleepstudy.assign(Reaction=sleepstudy["Reaction"].where(sleepstudy.index != 3))
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("Reaction ~ Days + (Days | Subject)", data)
    whole = sleepstudy["Reaction"].to_numpy().copy()
    whole[3] = np.nan
    again = fit.refit(whole)
    assert again.loglik == pytest.approx(fit.loglik, rel=1e-12)
    assert fit.refit_many([whole])["criterion"][0] == pytest.approx(fit.reml_criterion, rel=1e-10)


def test_constant_responses_among_many(sleep):
    y = sleep.get_me("y")
    responses = pd.DataFrame([y, np.zeros(180), 2 * y], index=["first", "none", "double"])
    with pytest.warns(ml.ConvergenceWarning, match="1 of 3 responses are constant"):
        found = sleep.refit_many(responses, std_error=True)
    assert found.index.tolist() == ["first", "none", "double"]
    assert found["converged"].tolist() == [True, False, True]
    assert found.loc["none"].drop("converged").isna().all()
    expected = sleep.refit_many([y, 2 * y], std_error=True)
    np.testing.assert_array_equal(found.loc[["first", "double"]].to_numpy(), expected.to_numpy())
    with pytest.warns(ml.ConvergenceWarning, match="2 of 2"):
        assert sleep.refit_many(np.ones((2, 180)))["sigma"].isna().all()


def test_removing_one_of_the_terms_of_a_double_bar():
    sleepstudy = ml.load_dataset("sleepstudy")
    both = ml.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy)
    one = both.update(". ~ . - (0 + Days | Subject)")
    assert str(one.formula) == "Reaction ~ Days + (1 | Subject)"
    assert one.theta.index.tolist() == ["Subject.(Intercept)"]
    with pytest.warns(ml.MultilevelWarning, match=r"removes \(Days \| Subject\), which the model"):
        same = both.update(". ~ . - (Days | Subject)")
    assert same.theta.size == 2
