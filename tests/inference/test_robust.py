"""Cluster-robust covariances against clubSandwich and against dense textbook algebra."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.inference.degrees_of_freedom import InferenceBasis
from multilevel.inference.robust import clusters_of, robust_basis, robust_coefficients

KINDS = ("CR0", "CR1", "CR1S", "CR2")
MODELS = {model["name"]: model for model in rc.reference("robust")["models"]}


def reference_fit(name: str) -> ml.LinearMixedModel:
    model = MODELS[name]
    return ml.lmer(model["formula"], rc.frame(model["source"], model["data"]))


@pytest.fixture(scope="module", params=list(MODELS))
def case(request):
    return MODELS[request.param], reference_fit(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_against_clubsandwich(case, kind):
    model, fit = case
    expected = model["tests"][kind]
    assert list(fit.fixef.index) == model["coefficients"]
    basis: InferenceBasis = robust_basis(fit, kind)
    vcov = np.asarray(expected["vcov"], dtype=float)
    size = np.sqrt(np.outer(np.diag(vcov), np.diag(vcov)))
    np.testing.assert_allclose(basis.vcov / size, vcov / size, rtol=0, atol=2e-6)
    df = [basis.degrees_of_freedom(row) for row in np.eye(len(vcov))]
    np.testing.assert_allclose(df, expected["df"], rtol=2e-6)
    if len(vcov) > 1:
        joint = basis.f_test(np.eye(len(vcov))[1:], fit.fixef.to_numpy()[1:])
        assert joint.statistic == pytest.approx(expected["joint"]["statistic"], rel=1e-5)
        assert joint.df_numerator == expected["joint"]["df_numerator"]
        assert joint.df_denominator == pytest.approx(expected["joint"]["df_denominator"], rel=1e-5)
        assert joint.p_value == pytest.approx(expected["joint"]["p"], rel=1e-4)


def dense(fit, codes, kind):
    """Return the sandwich and the degrees of freedom of each coefficient by n × n algebra."""
    X, Z, Lambda = fit.get_me("X"), fit.get_me("Z").toarray(), fit.get_me("Lambda").toarray()
    w, n = fit.get_me("weights"), fit.nobs
    V = fit.sigma**2 * (Z @ Lambda @ Lambda.T @ Z.T + np.diag(1.0 / w))
    W = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ W @ X)
    residual_maker = np.eye(n) - X @ M @ X.T @ W
    e = fit.get_me("y") - fit.get_me("offset") - X @ fit.get_me("beta")
    clusters = np.unique(codes)
    columns = []
    for c in clusters:
        at = codes == c
        Vj, Xj = V[np.ix_(at, at)], X[at]
        A = np.eye(at.sum())
        if kind == "CR2":
            # The geometric mean of V and the inverse of the residuals' covariance, by another formula than the library's.
            root = np.linalg.cholesky(Vj - Xj @ M @ Xj.T)
            values, vectors = np.linalg.eigh(root.T @ Vj @ root)
            inverse = np.linalg.inv(root)
            A = inverse.T @ (vectors * np.sqrt(values)) @ vectors.T @ inverse
            np.testing.assert_allclose(A @ (Vj - Xj @ M @ Xj.T) @ A, Vj, rtol=1e-6, atol=1e-6 * Vj.max())
        G = np.zeros((n, X.shape[1]))
        G[at] = A.T @ np.linalg.inv(Vj) @ Xj @ M
        columns.append(G)
    scores = [G.T @ e for G in columns]
    df = []
    for p in range(X.shape[1]):
        H = np.column_stack([residual_maker.T @ G[:, p] for G in columns])
        P = H.T @ V @ H
        df.append(np.trace(P) ** 2 / (P**2).sum())
    return sum(np.outer(s, s) for s in scores), df


@pytest.mark.parametrize("kind", ["CR0", "CR2"])
def test_weights_and_offset_against_dense_algebra(kind):
    fit = rc.fit("weights_and_offset_reml")
    clusters = clusters_of(fit)
    vcov, df = dense(fit, clusters.codes, kind)
    basis = robust_basis(fit, kind)
    np.testing.assert_allclose(basis.vcov, vcov, rtol=1e-7)
    np.testing.assert_allclose([basis.degrees_of_freedom(row) for row in np.eye(len(vcov))], df, rtol=1e-7)


def test_a_coarser_cluster_against_dense_algebra():
    frame = rc.frame("fixture", "oats")
    fit = ml.lmer("yield ~ nitro + (1 | Block:Variety)", frame)
    vcov, df = dense(fit, frame["Block"].to_numpy(), "CR2")
    for cluster in ("Block", frame["Block"], frame["Block"].astype(str).to_numpy()):
        basis = robust_basis(fit, "CR2", cluster)
        np.testing.assert_allclose(basis.vcov, vcov, rtol=1e-7)
        np.testing.assert_allclose([basis.degrees_of_freedom(row) for row in np.eye(2)], df, rtol=1e-7)


def test_the_hotelling_test_by_a_sum_over_pairs_of_clusters():
    fit = reference_fit("rat_pups")
    basis = robust_basis(fit, "CR1")
    rows = np.eye(7)[2:5]
    K = np.einsum("ra,jab,sb->jrs", rows, basis.own, rows)
    F = np.einsum("ra,jab->jrb", rows, basis.shared)
    P = -np.einsum("irb,jsb->ijrs", F, F)
    P[np.arange(len(K)), np.arange(len(K))] += K
    mean = P[np.arange(len(K)), np.arange(len(K))].sum(axis=0)
    root = np.linalg.inv(np.linalg.cholesky(mean))
    P = np.einsum("ar,ijrs,bs->ijab", root, P, root)
    total = (np.einsum("ijaa->ij", P) ** 2).sum() + np.einsum("ijab,ijba->", P, P)
    assert basis._wishart_df(rows) == pytest.approx(3 * 4 / total, rel=1e-9)


def test_cr2_is_unbiased_where_the_model_is_true():
    frame = ml.load_dataset("sleepstudy").iloc[:-13]
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame, reml=False)
    basis = robust_basis(fit, "CR2")
    expected = basis.own.sum(axis=0) - np.einsum("jab,jcb->ac", basis.shared, basis.shared)
    np.testing.assert_allclose(expected, fit.vcov().to_numpy(), rtol=1e-9)


def test_the_method_of_the_fit():
    fit = reference_fit("sleepstudy")
    np.testing.assert_array_equal(fit.vcov("CR2"), robust_basis(fit, "CR2").vcov)
    assert list(fit.vcov("CR1").columns) == ["(Intercept)", "Days"]
    np.testing.assert_array_equal(fit.vcov("CR0", cluster="Subject"), fit.vcov("CR0"))
    assert robust_basis(fit) is robust_basis(fit)
    table = robust_coefficients(fit, level=0.9)
    assert table.loc["Days", "df"] == pytest.approx(17)
    assert table["conf_low"].lt(table["estimate"]).all()


def test_crossed_factors():
    fit = rc.fit("penicillin_reml")
    with pytest.raises(ml.DataError, match="plate, sample are crossed"):
        fit.vcov("CR2")
    with pytest.raises(ml.DataError, match="share levels of sample"):
        fit.vcov("CR1", cluster="plate")
    with pytest.raises(ml.DataError, match="CR2 needs independent clusters"):
        robust_basis(fit, "CR2", "plate", allow_crossed=True)
    basis = robust_basis(fit, "CR1", "plate", allow_crossed=True)
    X, Z, Lambda = fit.get_me("X"), fit.get_me("Z").toarray(), fit.get_me("Lambda").toarray()
    W = np.linalg.inv(fit.sigma**2 * (Z @ Lambda @ Lambda.T @ Z.T + np.eye(fit.nobs)))
    M = np.linalg.inv(X.T @ W @ X)
    scores = (M @ X.T) * (W @ (fit.get_me("y") - X @ fit.get_me("beta")))
    sums = np.bincount(clusters_of(fit, "plate").codes, scores[0])
    assert basis.vcov[0, 0] == pytest.approx(24 / 23 * (sums**2).sum(), rel=1e-6)
    assert basis.degrees_of_freedom(np.ones(1)) == 23


def test_rows_left_out():
    frame = ml.load_dataset("sleepstudy")
    frame["Reaction"] = frame["Reaction"].mask(frame["Days"].eq(3) & frame["Subject"].eq("308"))
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    by_name = fit.vcov("CR2", cluster="Subject")
    np.testing.assert_array_equal(fit.vcov("CR2", cluster=frame["Subject"].to_numpy()), by_name)
    np.testing.assert_array_equal(fit.vcov("CR2", cluster=frame["Subject"].to_numpy()[fit._design.kept]), by_name)


def test_what_cannot_be_used():
    fit = reference_fit("sleepstudy")
    with pytest.raises(ml.ControlError, match=r"kind must be one of 'model', 'CR0'.* not 'HC3'"):
        fit.vcov("HC3")
    with pytest.raises(ml.DataError, match="have 3 values; there are 180 rows"):
        fit.vcov("CR1", cluster=[1, 2, 3])
    with pytest.raises(ml.DataError, match="at least two"):
        fit.vcov("CR1", cluster=np.ones(180))
    with pytest.raises(ml.DataError, match="lack a value in 1"):
        fit.vcov("CR1", cluster=np.r_[np.nan, np.ones(179)])
    with pytest.raises(ml.UnknownColumnError):
        fit.vcov("CR1", cluster="school")


def test_too_few_clusters_for_a_joint_test():
    found = robust_basis(reference_fit("oats")).f_test(np.eye(4), np.ones(4))
    assert found.df_numerator == 4
    assert np.isnan(found.p_value) or found.df_denominator > 0
    nothing = robust_basis(reference_fit("oats")).f_test(np.zeros((1, 4)), np.zeros(1))
    assert nothing.df_numerator == 0
