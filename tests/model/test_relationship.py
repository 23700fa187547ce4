"""Related levels against R (lme4's modular functions with Z L) and against algebra with dense matrices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array

import multilevel as ml

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "covariance_structures.json").read_text())
LABELS = REFERENCE["pedigree"]["labels"]
PEDIGREE = pd.DataFrame(REFERENCE["pedigree"]["matrix"], index=LABELS, columns=LABELS)


def animals():
    return pd.DataFrame(REFERENCE["data"]["animals"])


def fit(formula="y ~ x + (1 | animal) + (1 | herd)", matrix=PEDIGREE, **options):
    return ml.lmer(formula, animals(), relationship={"animal": matrix}, **options)


@pytest.mark.parametrize("case", REFERENCE["related"], ids=lambda c: f"{c['formula']}-{c['reml']}")
def test_fits_of_lme4_with_related_levels(case):
    found = fit(case["formula"], reml=case["reml"])
    assert found.convergence.status == "converged"
    assert -2 * found.loglik == pytest.approx(case["criterion"], rel=1e-10)
    np.testing.assert_allclose(found.theta, case["theta"], atol=2e-5)
    np.testing.assert_allclose(found.fixef, case["beta"], rtol=1e-5)
    np.testing.assert_allclose(found.standard_errors, case["std_error"], rtol=1e-5)
    assert found.sigma == pytest.approx(case["sigma"], rel=1e-5)
    np.testing.assert_allclose(found.ranef()["animal"].loc[case["levels"]], case["modes"], atol=2e-5)


def test_ways_to_give_the_matrix():
    expected = fit().reml_criterion
    inverse = np.linalg.inv(PEDIGREE.to_numpy())
    shuffled = PEDIGREE.sample(frac=1.0, random_state=1)
    for matrix in (
        (PEDIGREE.to_numpy(), LABELS),
        (csc_array(PEDIGREE.to_numpy()), LABELS),
        ml.relationship(inverse, LABELS, inverse=True),
        ml.relationship(csc_array(inverse), LABELS, inverse=True),
        shuffled[shuffled.index],
    ):
        assert fit(matrix=matrix).reml_criterion == pytest.approx(expected, rel=1e-10)


def test_unrelated_levels_are_the_ordinary_model():
    identity = pd.DataFrame(np.eye(len(LABELS)), index=LABELS, columns=LABELS)
    found = fit("y ~ x + (x | animal) + (1 | herd)", identity)
    plain = ml.lmer("y ~ x + (x | animal) + (1 | herd)", animals())
    assert found.reml_criterion == pytest.approx(plain.reml_criterion, rel=1e-11)
    np.testing.assert_allclose(found.summary().coefficients, plain.summary().coefficients, rtol=1e-4, atol=1e-12)
    one, other = (f.ranef(cond_var=True).to_frame() for f in (found, plain))
    keys = one.select_dtypes("number").columns
    np.testing.assert_allclose(one[keys], other[keys], atol=2e-4)


def test_numbers_as_labels():
    frame = animals().assign(animal=lambda d: d["animal"].str[1:].astype(int))
    numbers = [int(label[1:]) for label in LABELS]
    matrix = pd.DataFrame(PEDIGREE.to_numpy(), index=numbers, columns=numbers)
    found = ml.lmer("y ~ x + (1 | animal) + (1 | herd)", frame, relationship={"animal": matrix})
    assert found.reml_criterion == pytest.approx(fit().reml_criterion, rel=1e-12)


def test_matrices_of_the_model():
    found = fit("y ~ x + (x | animal) + (1 | herd)")
    Z, relative = found.get_me("Z"), found.get_me("Lambda")
    np.testing.assert_allclose(relative @ found.get_me("u"), found.get_me("b"), atol=1e-10)
    v = (Z @ relative @ relative.T @ Z.T).toarray() + np.eye(found.nobs)
    X, y = found.get_me("X"), found.get_me("y")
    inverse = np.linalg.inv(v)
    information = X.T @ inverse @ X
    error = y - X @ found.fixef.to_numpy()
    df = found.nobs - 2
    value = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    value += df * (1.0 + np.log(2.0 * np.pi * (error @ inverse @ error) / df))
    assert found.reml_criterion == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(relative @ relative.T @ Z.T @ inverse @ error, found.get_me("b"), atol=1e-9)


def test_modes_of_relatives_without_rows():
    found = fit()
    own = found.ranef()["animal"]
    absent = [label for label in LABELS if label not in own.index]
    assert len(absent) >= 5
    everyone = found.relatives("animal")
    assert list(everyone.index) == [*own.index, *absent]
    expected = PEDIGREE.loc[absent, own.index].to_numpy() @ np.linalg.solve(PEDIGREE.loc[own.index, own.index], own)
    np.testing.assert_allclose(everyone.loc[absent], expected, atol=1e-12)
    # they do not change the fit
    kept = PEDIGREE.loc[own.index, own.index]
    without = fit(matrix=kept)
    assert without.reml_criterion == pytest.approx(found.reml_criterion, rel=1e-12)
    assert list(without.relatives("animal").index) == list(own.index)
    with pytest.raises(ml.DataError, match="there is one for animal"):
        found.relatives("herd")


FORMULAS = [
    "y ~ x + (1 | animal)",
    "y ~ x + (1 | animal) + (1 | herd)",
    "y ~ x + (1 + x | animal) + (1 | herd)",
    "y ~ x + (1 | animal) + (1 | pen) + (1 | herd)",
]


def penned():
    # pens within herds: a chain of two beside the related levels
    frame = animals()
    pens = np.arange(len(frame)) % 3
    y = frame["y"] + np.array([-1.0, 0.2, 1.1])[pens] * (1 + (frame["herd"] > "d"))
    return frame.assign(pen=frame["herd"] + pd.Series(pens).astype(str), y=y)


def joint_covariance(found):
    """Return the covariance of the errors of all effects, random ones as in the columns of Z, then the fixed ones."""
    X, Z, factor = (np.asarray(found.get_me(name).todense()) if hasattr(found.get_me(name), "todense") else
                    np.asarray(found.get_me(name)) for name in ("X", "Z", "Lambda"))  # fmt: skip
    prior = np.linalg.inv(factor @ factor.T)
    whole = np.block([[Z.T @ Z + prior, Z.T @ X], [X.T @ Z, X.T @ X]])
    return found.sigma**2 * np.linalg.inv(whole), np.hstack([Z, X])


@pytest.mark.parametrize("formula", FORMULAS)
def test_errors_of_predictions_know_the_relationships(formula):
    frame = penned()
    found = ml.lmer(formula, frame, relationship={"animal": PEDIGREE})
    assert not found.is_singular
    covariance, columns = joint_covariance(found)
    expected = np.sqrt(np.einsum("ia,ab,ib->i", columns, covariance, columns))
    np.testing.assert_allclose(found.predict(se=True)["std_error"], expected, rtol=1e-8)
    np.testing.assert_allclose(found.predict(frame.head(9), se=True)["std_error"], expected[:9], rtol=1e-8)
    drawn = found.predict(frame.head(9), interval="confidence", method="simulation", n=20_000, rng=3)
    np.testing.assert_allclose(drawn["std_error"], expected[:9], rtol=0.05)
    # errors of the animals' coefficients: those of β + b
    own = list(found.ranef()["animal"].index)
    errors = found.coef_standard_errors()["animal"]["(Intercept)"]
    width = len(found.ranef()["animal"].columns)
    for at in (0, 7, len(own) - 1):
        unit = np.zeros(len(covariance))
        unit[[at * width, -2]] = 1.0
        assert errors.iloc[at] == pytest.approx(np.sqrt(unit @ covariance @ unit), rel=1e-8)


def test_drawn_effects_are_related():
    found = ml.lmer(FORMULAS[2], penned(), relationship={"animal": PEDIGREE})
    covariance, _ = joint_covariance(found)
    draws = ml.sim(found, 40_000, rng=4).effects["animal"]
    six = draws[:, :3].reshape(len(draws), -1)
    np.testing.assert_allclose(np.cov(six.T), covariance[:6, :6], atol=0.03 * np.abs(covariance[:6, :6]).max())


def test_new_levels_have_no_standard_error():
    found = fit()
    new = animals().head(2).assign(animal=["a01", "unknown"])
    assert found.predict(new, allow_new_levels=True).notna().all()
    for method in ("analytic", "simulation"):
        with pytest.raises(ml.ControlError, match="not available for new levels of 'animal'"):
            found.predict(new, allow_new_levels=True, se=True, method=method)


def test_simulated_effects_are_related():
    found = ml.lmer("y ~ 1 + (1 | animal)", animals(), relationship={"animal": PEDIGREE})
    drawn = found.simulate(40_000, rng=2)
    frame = animals()
    rows = [int(np.flatnonzero(frame["animal"] == name)[0]) for name in found.ranef()["animal"].index[:6]]
    names = frame["animal"].iloc[rows]
    expected = found.varcorr()["animal"].iloc[0, 0] * PEDIGREE.loc[names, names].to_numpy()
    expected += found.sigma**2 * np.eye(6)
    np.testing.assert_allclose(np.cov(drawn[:, rows].T), expected, atol=0.12)


def test_one_row_for_each_level():
    # With one record for each animal only the relationships tell the variances apart.
    frame = animals().drop_duplicates("animal")
    found = ml.lmer("y ~ x + (1 | animal)", frame, relationship={"animal": PEDIGREE})
    assert found.nobs == len(found.ranef()["animal"])
    assert found.convergence.converged


def test_reports_name_the_related_levels():
    found = fit()
    own = len(found.ranef()["animal"])
    said = f"Related: animal ({own} levels and {60 - own} without rows)"
    assert said in str(found.summary())
    assert said in repr(found)
    assert "animal (" in found.summary().to_html()
    assert found.summary().to_dict()["relationship"].startswith("animal (")


def test_inference():
    found = fit()
    assert found.confint().notna().all().all()
    assert np.isfinite(found.summary(ddf="kenward-roger").coefficients["df"]).all()
    assert found.bootstrap(3, rng=1).n_not_converged == 0
    assert np.isfinite(ml.ranova(found).to_frame()["p_value"].iloc[1:]).all()
    assert found.update(". ~ . - x").theta.size == 2
    residual = fit(residual=ml.var_ident("herd"))
    assert residual.loglik > found.loglik
    with pytest.raises(ml.DataError, match="no clusters are independent"):
        found.vcov("CR1")
    for kind in ("residual", "cluster"):
        with pytest.raises(ml.MultilevelError, match="related"):
            found.bootstrap(2, kind=kind, rng=1, cluster="herd" if kind == "cluster" else None)


def changed(row, value):
    matrix = PEDIGREE.copy()
    matrix.iloc[row] = value
    return matrix


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: {"sire": PEDIGREE}, "no grouping factor of the model"),
        (lambda: PEDIGREE, "relationship must be a mapping"),
        (lambda: {"animal": PEDIGREE.to_numpy()}, "needs labels"),
        (lambda: {"animal": (PEDIGREE.to_numpy(), LABELS[1:])}, "must be square"),
        (lambda: {"animal": (PEDIGREE.to_numpy(), [LABELS[1], *LABELS[1:]])}, "several rows for the level 'a02'"),
        (lambda: {"animal": changed((3, 4), 2.0)}, "not symmetric"),
        (lambda: {"animal": changed((3, 3), np.nan)}, "missing or infinite"),
        (lambda: {"animal": changed((3, 3), -1.0)}, "not positive definite"),
        (lambda: {"animal": PEDIGREE.iloc[:30, :30]}, "has no row for"),
        (lambda: {"animal": PEDIGREE.iloc[:, ::-1]}, "same labels in its rows and columns"),
        (lambda: {"animal": ("text", LABELS)}, "must hold numbers"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ml.MultilevelError, match=message):
        ml.lmer("y ~ x + (1 | animal)", animals(), relationship=given())


@pytest.mark.parametrize(
    "use",
    [ml.hatvalues, ml.conditional_aic, lambda f: f.simulate(1, newdata=animals())],
)
def test_what_does_not_know_related_levels_says_so(use):
    with pytest.raises(ml.ControlError, match="related levels"):
        use(fit())


def test_points_and_population_predictions():
    found = fit()
    np.testing.assert_allclose(found.predict(animals()), found.fitted(), rtol=1e-12)
    assert (found.predict(re_formula="~0", interval="prediction")["std_error"] > 0).all()
    assert 0.0 < ml.icc(found).to_frame().iloc[0, 0] < 1.0
