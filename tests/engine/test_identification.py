"""Covariances that the data do not determine: found where dense matrices say so, and nowhere else."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.engine.structures import structure_of

GROUPS, ROWS = 24, 10


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(20)
    g = np.repeat(np.arange(GROUPS), ROWS)
    f = np.tile(np.repeat(["a", "b"], ROWS // 2), GROUPS)
    x = rng.normal(size=g.size)
    block = g % 4
    y = 10 + rng.normal(0, 2, GROUPS)[g] + (f == "b") * rng.normal(1, 2, GROUPS)[g] + rng.normal(0, 2, GROUPS)[g] * x
    y += rng.normal(0, 3, 4)[block] + rng.normal(size=g.size)
    return pd.DataFrame(
        {
            "y": y,
            "g": [f"g{i}" for i in g],
            "same": [f"s{i}" for i in (7 * g) % GROUPS],
            "f": f,
            "x": x,
            "block": [f"k{i}" for i in block],
            "sex": np.where(g % 2 == 0, "m", "w"),
            "zero": 0.0,
            "three": 3.0,
            "item": [f"i{i}" for i in rng.integers(0, 9, g.size)],
        }
    )


def fitted(formula: str, frame: pd.DataFrame, **options) -> tuple[ml.LinearMixedModel, list[str]]:
    """Return a fit and what it warned of about identification."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = ml.lmer(formula, frame, **options)
    return fit, [str(w.message) for w in caught if issubclass(w.category, ml.NotIdentifiedWarning)]


ALWAYS = {
    "y ~ x + (1 | g) + (1 | same)": ("(1 | g)", "(1 | same)"),
    "y ~ x + (1 | g / same)": ("(1 | same:g)", "(1 | g)"),
    "y ~ f + (f || g)": ("(1 | g)", "(0 + f | g)"),
    "y ~ 0 + f + (1 | g) + (0 + f | g)": ("(1 | g)", "(0 + f | g)"),
    "y ~ f + (f | g) + (1 | g)": ("(1 | g)", "(f | g)"),
    "y ~ x + (1 | g) + (x | g)": ("(1 | g)", "(x | g)"),
    "y ~ f + (1 | g) + (0 + f | g) + (1 | g:f)": ("drop (0 + f | g)",),
    "y ~ x + (zero | g)": ("zero", "zero in every row", "drop zero from (zero | g)"),
    "y ~ x + (0 + zero | g) + (1 | g)": ("drop (0 + zero | g)",),
    "y ~ x + (three | g)": ("three", "drop three from it"),
    "y ~ x + (1 | g) + (0 + three | g)": ("(1 | g)", "(0 + three | g)"),
    "y ~ x + (sex | g)": ("sexw does not vary within the levels of g", "drop sexw"),
    "y ~ f + homcs(0 + f | g) + (1 | g)": ("(1 | g)", "(0 + f | g)"),
    "y ~ f + cs(0 + f | g) + (1 | g)": ("(1 | g)", "(0 + f | g)"),
    "y ~ x + (1 | g) + (1 | same) + (1 | item)": ("(1 | g)", "(1 | same)"),
}


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", ALWAYS)
def test_covariances_that_no_response_determines(frame, formula, reml):
    fit, told = fitted(formula, frame, reml=reml)
    assert fit.convergence.status == "not identified"
    assert fit.convergence.converged
    assert len(told) == 1
    for part in ALWAYS[formula]:
        assert part in told[0]


ONLY_REML = {
    "y ~ block + x + (1 | block)": "drop (1 | block)",
    "y ~ block + x + (1 | block) + (1 | g)": "drop (1 | block)",
    "y ~ sex + x + (1 | sex) + (1 | g)": "drop (1 | sex)",
    "y ~ block:f + (1 | block)": "drop (1 | block)",
    "y ~ block + x + (x | block)": "drop (Intercept) from (x | block)",
    "y ~ block * x + (x | block)": "drop (x | block)",
}


@pytest.mark.filterwarnings("ignore::multilevel.RankDeficiencyWarning")
@pytest.mark.parametrize("formula", ONLY_REML)
def test_a_grouping_factor_among_the_fixed_effects(frame, formula):
    """REML says nothing of such a variance; maximum likelihood puts it at zero."""
    fit, told = fitted(formula, frame)
    assert fit.convergence.status == "not identified"
    assert len(told) == 1
    assert ONLY_REML[formula] in told[0]
    likelihood, told = fitted(formula, frame, reml=False)
    assert told == []
    block = next(part for part in likelihood.varcorr() if part.group in ("block", "sex"))
    if len(block.names) == 1:
        assert likelihood.convergence.status == "singular"
        assert block.covariance.item() == 0.0
    else:
        # With slopes it is the variance near the mean of x that is next to nothing.
        at_mean = [1.0, frame["x"].mean()]
        assert at_mean @ block.covariance @ at_mean < 1e-6


def test_the_other_optima_have_the_same_criterion(frame):
    """The covariance of the rows is the same at the other end of the valley, to rounding."""
    fit, _ = fitted("y ~ f + (f || g)", frame)
    (other,) = fit.convergence.others
    by_name = {term.label: t for t, term in enumerate(fit._terms)}
    plan = fit._engine.products.plan.parameters
    psi = [
        term.to_user @ own @ term.to_user.T
        for term, own in zip(plan.terms, plan.covariances(other.factors), strict=True)
    ]
    one, two = psi[by_name["1 | g"]], psi[by_name["0 + f | g"]]
    mine = [own.covariance for own in fit.varcorr()]
    total = mine[by_name["1 | g"]] + mine[by_name["0 + f | g"]]
    np.testing.assert_allclose(other.sigma**2 * (one + two), total, rtol=1e-8)
    assert abs(other.sigma**2 * one - mine[by_name["1 | g"]]).max() > 0.1
    np.testing.assert_allclose(other.beta, fit.fixef, rtol=1e-8)


def test_variances_at_zero_are_not_determined_either(frame):
    """Two names for one factor, and nothing to explain: the optimum is at zero, which says nothing of either."""
    still = frame.assign(y=np.tile(np.arange(float(ROWS)), GROUPS))
    fit, told = fitted("y ~ 1 + (1 | g) + (1 | same)", still)
    assert fit.is_singular
    assert fit.convergence.status == "not identified"
    assert fit.convergence.others == ()
    assert len(told) == 1


def test_sound_designs_are_not_warned_of(frame):
    for formula in (
        "y ~ x + (x | g)",
        "y ~ x + (x || g)",
        "y ~ f + (f | g)",
        "y ~ f + (0 + f | g)",
        "y ~ f + diag(0 + f | g) + (1 | g)",
        "y ~ f + (1 | g) + (1 | g:f)",
        "y ~ f + cs(0 + f | g)",
        "y ~ block + (1 | g)",
        "y ~ x + (1 | block) + (1 | g) + (1 | item)",
        "y ~ x + (1 | block / g)",
    ):
        fit, told = fitted(formula, frame)
        assert told == []
        assert fit.convergence.status in ("converged", "singular")


# ---- residual structures -----------------------------------------------------------------------------------------------


def test_a_residual_correlation_of_pairs_is_that_of_a_random_intercept():
    rng = np.random.default_rng(3)
    pair = np.repeat(np.arange(60), 2)
    frame = pd.DataFrame({"pair": pair, "t": np.tile([0, 1], 60), "x": rng.normal(size=120)})
    frame["y"] = rng.normal(size=60)[pair] + rng.normal(size=120)
    fit, told = fitted("y ~ x + (1 | pair)", frame, residual=ml.cor_ar1("t", within="pair"))
    assert fit.convergence.status == "not identified"
    assert len(told) == 1
    assert "(1 | pair) and the residual" in told[0]
    assert fit.confint("wald").loc[["rho"]].isna().all(axis=None)
    # x is tested by what is the same whatever is taken for correlation
    plain = ml.lmer("y ~ x + (1 | pair)", frame)
    np.testing.assert_allclose(fit.standard_errors, plain.standard_errors, rtol=1e-4)


def test_residual_structures_that_the_data_determine_are_not_warned_of():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 6)
    frame = pd.DataFrame({"g": g, "t": np.tile(np.arange(6), 30), "s": np.where(np.arange(180) % 6 < 3, "a", "b")})
    for y in (rng.normal(size=180), rng.normal(size=180) + rng.normal(size=30)[g]):
        for residual in (ml.cor_ar1("t", within="g"), ml.cor_car1("t", within="g"), ml.var_ident("s")):
            fit, told = fitted("y ~ 1 + (1 | g)", frame.assign(y=y), residual=residual)
            assert told == []
            assert fit.convergence.status in ("converged", "singular")


# ---- against dense matrices --------------------------------------------------------------------------------------------


def null_dimension(fit: ml.LinearMixedModel) -> int:
    """Return how many combinations of covariances the rows do not show, from matrices of the size of the data."""
    design = fit._design
    root = np.sqrt(np.ones(design.nobs) if design.weights is None else design.weights)
    basis = np.eye(design.nobs)
    if fit.reml:
        basis = np.linalg.svd(design.X * root[:, None])[0][:, design.n_fixed :]
    seen = [basis.T @ basis]
    for term in design.random:
        z = design.columns[:, list(term.columns)]
        if term.structure == "unstructured" and "(Intercept)" in term.names:
            z = z - np.where(z.std(axis=0) > 0, z.mean(axis=0), 0.0)
        z = z * root[:, None]
        member = term.factor.codes[:, None] == term.factor.codes
        for unit in structure_of(term.structure, len(term.columns)).units():
            seen.append(basis.T @ ((z @ unit @ z.T) * member) @ basis)
    rows = np.array([matrix.ravel() for matrix in seen])
    length = np.linalg.norm(rows, axis=1)
    rows = np.where(length[:, None] > 1e-9 * length.max(), rows / np.maximum(length, 1e-300)[:, None], 0.0)
    values = np.linalg.eigvalsh(rows @ rows.T)
    return int((values < 1e-10 * values[-1]).sum())


FIXED = ["1", "x", "f", "x * f", "z", "g", "h", "g + f"]
RANDOM = [
    "(1 | g)", "(x | g)", "(x || g)", "(f | g)", "(f || g)", "(z | g)", "(1 | g / f)", "(1 | g / c)", "(1 | g) + (1 | h)",
    "(x | g) + (1 | h)", "(1 | h) + (1 | c)", "(f | h) + (1 | g)", "(1 | g) + (0 + x | g)", "(x * z || g)",
    "homcs(0 + f | g)", "homdiag(0 + f | g) + (1 | g)", "(1 | g) + (1 | g:f) + (1 | h)",
]  # fmt: skip


def test_random_designs_against_dense_matrices():
    """No design that determines its covariances is warned of, and an optimum inside of the parameters' bounds tells all."""
    counts = {True: 0, False: 0}
    for seed in range(90):
        rng = np.random.default_rng([7, seed])
        n, levels = int(rng.integers(30, 100)), int(rng.integers(3, 9))
        g = rng.integers(0, levels, n)
        h = rng.integers(0, 5, n) if rng.random() < 0.6 else (g * 3 + 1) % levels if rng.random() < 0.5 else g // 2
        frame = pd.DataFrame(
            {
                "g": [f"g{i}" for i in g],
                "h": [f"h{i}" for i in h],
                "c": [f"c{i}" for i in g * 10 + rng.integers(0, 3, n)],
                "f": rng.choice(list("ab"), n) if rng.random() < 0.7 else np.array(list("abc"))[g % 3],
                "x": rng.normal(size=n) * 10.0 ** rng.integers(-4, 5),
                "z": rng.normal(size=levels)[g] if rng.random() < 0.5 else rng.integers(0, 2, n) * 1.0,
            }
        )
        frame["y"] = rng.normal(size=levels)[g] * rng.choice([0, 2]) + rng.normal(size=n) + rng.normal(size=99)[h]
        formula = f"y ~ {rng.choice(FIXED)} + {rng.choice(RANDOM)}"
        try:
            fit, told = fitted(
                formula, frame, reml=bool(rng.random() < 0.7), weights=rng.uniform(0.3, 3, n) if seed % 4 == 0 else None
            )
        except ml.DataError:  # as many random effects as rows
            continue
        expected, status = null_dimension(fit) > 0, fit.convergence.status
        assert len(told) == (status == "not identified"), (seed, formula)
        if not expected or not fit.is_singular:
            assert (status == "not identified") == expected, (seed, formula, status)
        counts[expected] += 1
    assert min(counts.values()) > 15


def test_what_a_check_was_told_to_ignore_is_not_warned_of(frame):
    """As many effects as rows: the certificate still says that they cannot be told from the residual."""
    single = frame.iloc[:: ROWS // 2].assign(row=lambda d: [f"r{i}" for i in range(len(d))])
    control = ml.LmerControl(check_levels_against_rows="ignore", check_effects_against_rows="ignore")
    fit, told = fitted("y ~ f + (1 | g) + (1 | row)", single, control=control)
    assert told == []
    assert fit.convergence.status == "not identified"
    assert any(direction.residual != 0.0 for direction in fit.convergence.directions)
    assert ml.model_parameters(fit, "random").to_frame().loc["SD (Residual)", ["conf_low", "conf_high"]].isna().all()
    smaller = ml.lmer("y ~ f + (1 | g)", single)
    np.testing.assert_allclose(fit.standard_errors, smaller.standard_errors, rtol=1e-5)
