"""Small models made by hand, and their criterion and estimates by dense n × n algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from multilevel.engine.objective import Objective
from multilevel.engine.plan import Plan
from multilevel.engine.products import cross_products_of
from multilevel.engine.structures import PATTERNED
from multilevel.formula.design import Design, GroupingFactor, LevelRelation, RandomTerm
from multilevel.formula.grammar import parse_formula
from multilevel.model.fitted import LinearMixedModel

FORMULA = parse_formula("y ~ x + (1 | g)")


def factor(name: str, codes: np.ndarray) -> GroupingFactor:
    """Return a grouping factor with the levels that occur."""
    levels, places = np.unique(codes, return_inverse=True)
    return GroupingFactor(name, places.astype(np.int32), tuple(map(str, levels)))


def related(group: GroupingFactor, seed: int = 3) -> GroupingFactor:
    """Return a grouping factor with related levels."""
    half = np.random.default_rng(seed).normal(size=(group.n_levels, group.n_levels + 3))
    lower = np.linalg.cholesky(half @ half.T / group.n_levels)
    return GroupingFactor(
        group.name, group.codes, group.level_set, LevelRelation(lower, (), np.zeros((0, group.n_levels)))
    )


def term(group: GroupingFactor, *columns: int, structure: str = "unstructured") -> RandomTerm:
    """Return a random term on columns of the design."""
    names = tuple("abcdef"[c] for c in columns)
    return RandomTerm(f"{' + '.join(names)} | {group.name}", group, names, columns, structure)


def design(columns, n_fixed, random, weights=None, offset=None) -> Design:
    """Return a design of columns that are numbers already, the response last."""
    columns = np.asfortranarray(columns, dtype=np.float64)
    columns.flags.writeable = False
    return Design(
        formula=FORMULA,
        columns=columns,
        n_fixed=n_fixed,
        fixed_names=tuple("abcdef"[:n_fixed]),
        fixed_assign=tuple(range(n_fixed)),
        term_labels=(),
        dropped_names=(),
        response_name="y",
        random=tuple(random),
        weights=weights,
        offset=offset,
        n_rows=len(columns),
        kept=None,
        missing_by_column={},
        na_action="omit",
        row_labels=None,
    )


# ---- named structures --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """Columns and factors that small models are put together from: g, h crossed, cls in sch in dist nested."""

    columns: np.ndarray
    weights: np.ndarray
    g: GroupingFactor
    h: GroupingFactor
    cls: GroupingFactor
    sch: GroupingFactor
    dist: GroupingFactor


def parts(seed: int = 1, n: int = 130) -> Parts:
    """Simulate columns (1, x, z, y) and factors with effects on y."""
    rng = np.random.default_rng(seed)
    x, z = 5.0 + 2.0 * rng.normal(size=n), rng.normal(size=n)
    g, h, cls = rng.integers(0, 11, n), rng.integers(0, 6, n), rng.integers(0, 18, n)
    sch = cls // 3
    dist = sch // 2
    slopes = 0.4 * rng.normal(size=11)[g] + 0.5 * rng.normal(size=18)[cls]
    y = 3.0 + 0.5 * x + rng.normal(size=n) + rng.normal(size=11)[g] + slopes * z
    y += 0.8 * rng.normal(size=6)[h] + rng.normal(size=18)[cls] + rng.normal(size=6)[sch] + rng.normal(size=3)[dist]
    return Parts(
        np.column_stack([np.ones(n), x, z, y]),
        rng.uniform(0.5, 2.0, n),
        factor("g", g),
        factor("h", h),
        factor("cls:sch", cls),
        factor("sch", sch),
        factor("dist", dist),
    )


STRUCTURES: dict[str, Callable[[Parts], Design]] = {
    "intercept": lambda m: design(m.columns, 3, [term(m.g, 0)]),
    "slope": lambda m: design(m.columns, 2, [term(m.g, 0, 1)]),
    "slope alone": lambda m: design(m.columns, 2, [term(m.g, 1)]),
    "three columns": lambda m: design(m.columns, 3, [term(m.g, 0, 1, 2)], m.weights, m.columns[:, 2]),
    "diagonal": lambda m: design(m.columns, 3, [term(m.g, 0, 1, 2, structure="diagonal")]),
    "compound symmetry": lambda m: design(m.columns, 3, [term(m.g, 0, 1, 2, structure="cs")]),
    "one variance": lambda m: design(m.columns, 3, [term(m.g, 0, 1, 2, structure="homdiag")], m.weights),
    "ar1": lambda m: design(m.columns, 3, [term(m.g, 0, 1, 2, structure="ar1")], m.weights),
    "nested, toep": lambda m: design(m.columns, 3, [term(m.cls, 0, 1, 2, structure="toep"), term(m.sch, 0, 2)]),
    "crossed, patterned": lambda m: design(
        m.columns, 2, [term(m.g, 0, 1, 2, structure="hetar1"), term(m.h, 0, 2, structure="homcs"), term(m.g, 2)]
    ),
    "several terms": lambda m: design(m.columns, 2, [term(m.g, 0), term(m.g, 1, 2), term(m.g, 2)]),
    "nested": lambda m: design(m.columns, 3, [term(m.sch, 0), term(m.cls, 0)]),
    "nested, slopes": lambda m: design(m.columns, 3, [term(m.sch, 0, 2), term(m.cls, 0, 1)], m.weights),
    "nested, three deep": lambda m: design(m.columns, 3, [term(m.sch, 0, 2), term(m.cls, 0, 2), term(m.dist, 0)]),
    "nested, diagonal": lambda m: design(m.columns, 3, [term(m.sch, 0, 2, structure="diagonal"), term(m.cls, 0)]),
    "crossed": lambda m: design(m.columns, 3, [term(m.g, 0), term(m.h, 0)]),
    "crossed, slopes": lambda m: design(m.columns, 3, [term(m.g, 0, 2), term(m.h, 0, 1), term(m.sch, 0)], m.weights),
    "crossed, diagonal": lambda m: design(
        m.columns, 3, [term(m.g, 0, 2, structure="diagonal"), term(m.h, 0, 2, structure="diagonal")]
    ),
    "crossed, several terms": lambda m: design(
        m.columns, 2, [term(m.g, 0), term(m.g, 2), term(m.h, 0, 2), term(m.h, 1)], offset=m.columns[:, 2]
    ),
    "nested and crossed": lambda m: design(
        m.columns, 3, [term(m.cls, 0, 2), term(m.h, 0, 2), term(m.sch, 2), term(m.dist, 1)]
    ),
    "no fixed effects": lambda m: design(m.columns, 0, [term(m.g, 0, 2)]),
    "no fixed effects, crossed": lambda m: design(m.columns, 0, [term(m.g, 0), term(m.h, 0)]),
    "no fixed effects, nested": lambda m: design(m.columns, 0, [term(m.cls, 0), term(m.sch, 0)]),
    "no intercept": lambda m: design(m.columns[:, 1:], 2, [term(m.g, 0, 1), term(m.h, 0)]),
}


RELATED_STRUCTURES: dict[str, Callable[[Parts], Design]] = {
    "related": lambda m: design(m.columns, 3, [term(related(m.g), 0, 1)], m.weights),
    "related, crossed": lambda m: design(
        m.columns, 2, [term(m.cls, 0, 2), term(related(m.g), 0, 2), term(m.h, 0), term(related(m.sch, 5), 0)], m.weights
    ),
    "related, nested": lambda m: design(m.columns, 3, [term(m.cls, 0), term(m.sch, 0, 2), term(related(m.dist), 0)]),
    "related, no fixed effects": lambda m: design(m.columns, 0, [term(related(m.g), 0), term(related(m.g), 1, 2)]),
}

ALL_STRUCTURES = {**STRUCTURES, **RELATED_STRUCTURES}


def many_levels(seed: int = 4, rows: int = 1000) -> Parts:
    """Simulate crossed factors that meet in most of their levels, and nested ones, with more than a hundred dense effects."""
    rng = np.random.default_rng(seed)
    x, z = 1.0 + rng.normal(size=rows), rng.normal(size=rows)
    g, h, cls = rng.integers(0, 25, rows), rng.integers(0, 52, rows), rng.integers(0, 60, rows)
    y = x + rng.normal(size=rows) + rng.normal(size=25)[g] * z + rng.normal(size=52)[h] + rng.normal(size=60)[cls]
    columns = np.column_stack([np.ones(rows), x, z, y])
    weights = rng.uniform(0.5, 2.0, rows)
    return Parts(
        columns,
        weights,
        factor("g", g),
        factor("h", h),
        factor("cls", cls),
        factor("sch", cls // 6),
        factor("dist", cls // 30),
    )


# Levels that meet much of a large dense matrix are eliminated by another route.
LARGE_STRUCTURES: dict[str, Callable[[Parts], Design]] = {
    "many crossed": lambda m: design(m.columns, 2, [term(m.cls, 0, 1), term(m.h, 0, 2)], m.weights),
    "many crossed, slopes": lambda m: design(m.columns, 2, [term(m.cls, 0, 1), term(m.h, 0, 2), term(m.g, 0)]),
    "many crossed, nested": lambda m: design(m.columns, 2, [term(m.cls, 0, 1), term(m.sch, 0, 1), term(m.h, 0, 2)]),
    "many crossed, three deep": lambda m: design(
        m.columns, 2, [term(m.cls, 0, 1), term(m.sch, 0), term(m.dist, 1), term(m.h, 0, 2)]
    ),
}


def objective_of(given: Design, reml: bool) -> Objective:
    """Return the criterion of a design."""
    return Objective(cross_products_of(given), reml)


def thetas(objective: Objective, seed: int = 5) -> np.ndarray:
    """Return covariance parameters that are neither small nor large."""
    rng = np.random.default_rng(seed)
    parameters = objective.products.plan.parameters
    return np.concatenate(
        [
            t.structure.reported(
                t.structure.parameters(
                    np.tril(rng.uniform(-0.7, 0.7, (t.structure.size,) * 2), -1)
                    + np.diag(rng.uniform(0.3, 1.2, t.structure.size))
                )
            )
            for t in parameters.terms
        ]
    )


# ---- random structures -------------------------------------------------------------------------------------------------


@st.composite
def designs(draw) -> Design:
    """Draw a design: a nested chain, factors crossed with it, several terms a factor, weights, offset, no fixed effects."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.integers(25, 70), label="rows")
    columns = np.column_stack([np.ones(n), 3.0 + rng.normal(size=n), rng.normal(size=n), rng.normal(size=n)])
    depth = draw(st.integers(0, 3), label="nested factors")
    crossed = draw(st.integers(0 if depth else 1, 2), label="crossed factors")
    factors = []
    codes = rng.integers(0, 12, n)
    for level in range(depth):
        factors.append(factor(f"nested {level}", codes))
        codes = codes // 2
    for other in range(crossed):
        factors.append(factor(f"crossed {other}", rng.integers(0, draw(st.integers(2, 6)), n)))
    kinds = st.sampled_from([(0,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2), (2, 0)])
    random = []
    for group in draw(st.permutations(factors), label="order"):
        for chosen in draw(st.lists(kinds, min_size=1, max_size=2), label=group.name):
            structure = draw(st.sampled_from(["unstructured", "diagonal", *PATTERNED]))
            random.append(term(group, *chosen, structure=structure))
    weights = rng.uniform(0.3, 3.0, n) if draw(st.booleans(), label="weights") else None
    offset = rng.normal(size=n) if draw(st.booleans(), label="offset") else None
    return design(columns, draw(st.integers(0, 3), label="fixed effects"), random, weights, offset)


# ---- dense algebra -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    """A model at one θ by dense algebra, in the user's columns; random effects term by term in the order of θ."""

    value: float
    beta: np.ndarray
    sigma: float
    unscaled_vcov: np.ndarray
    inverse: np.ndarray
    modes: list[np.ndarray]
    relative_covariances: list[np.ndarray]


def term_factors(plan: Plan, theta: np.ndarray) -> list[np.ndarray]:
    """Return λ of every term in the order of θ."""
    terms, places = plan.parameters.terms, plan.parameters.slices()
    return [t.factor_of(theta[place]) for t, place in zip(terms, places, strict=True)]


def relation_of(group: GroupingFactor) -> np.ndarray:
    """Return the factor of the relationship matrix of the levels: the identity where they are independent."""
    return np.eye(group.n_levels) if group.relation is None else group.relation.lower


def indicator_columns(given: Design, t: RandomTerm) -> np.ndarray:
    """Return Z of one term, dense, the columns of a level side by side."""
    k, n = len(t.columns), given.nobs
    result = np.zeros((n, t.factor.n_levels * k))
    for c, place in enumerate(t.columns):
        result[np.arange(n), t.factor.codes * k + c] = given.columns[:, place]
    return result


def dense_covariance(given: Design, plan: Plan, theta: np.ndarray) -> np.ndarray:
    """Return V = ZΨZᵀ + W⁻¹."""
    v = np.diag(np.ones(given.nobs) if given.weights is None else 1.0 / given.weights)
    for t, lam in zip(plan.term_order, term_factors(plan, theta), strict=True):
        z = indicator_columns(given, given.random[t]) @ np.kron(relation_of(given.random[t].factor), lam)
        v += z @ z.T
    return v


def dense(given: Design, plan: Plan, theta: np.ndarray, reml: bool) -> Dense:
    """Work out everything at θ."""
    n, p = given.nobs, given.n_fixed
    X, y = given.X, given.y - (0.0 if given.offset is None else given.offset)
    v = dense_covariance(given, plan, theta)
    inverse = np.linalg.inv(v)
    xvx = X.T @ inverse @ X
    unscaled = np.linalg.inv(xvx) if p else np.zeros((0, 0))
    beta = unscaled @ (X.T @ inverse @ y)
    residual = y - X @ beta
    rss = float(residual @ inverse @ residual)
    df = n - p if reml else n
    value = np.linalg.slogdet(v)[1] + df * (1.0 + np.log(2.0 * np.pi * rss / df))
    if reml and p:
        value += np.linalg.slogdet(xvx)[1]
    modes, covariances = [], []
    for t, lam in zip(plan.term_order, term_factors(plan, theta), strict=True):
        z, k, levels = indicator_columns(given, given.random[t]), lam.shape[0], given.random[t].factor.n_levels
        relation = relation_of(given.random[t].factor)
        psi = np.kron(relation @ relation.T, lam @ lam.T)
        modes.append((psi @ z.T @ inverse @ residual).reshape(levels, k))
        whole = psi - psi @ z.T @ inverse @ z @ psi
        covariances.append(np.array([whole[j * k : (j + 1) * k, j * k : (j + 1) * k] for j in range(levels)]))
    return Dense(float(value), beta, float(np.sqrt(rss / df)), unscaled, inverse, modes, covariances)


# ---- derivatives by differences ----------------------------------------------------------------------------------------


def derivative(function: Callable[[np.ndarray], np.ndarray | float], at: np.ndarray, step: float = 0.02) -> np.ndarray:
    """Return ∂f/∂x, the last axis over x: central differences, extrapolated to a step of zero (Richardson)."""
    found = []
    for direction in np.eye(at.size):
        steps = [step / 2**i for i in range(4)]
        table = [(np.asarray(function(at + h * direction)) - function(at - h * direction)) / (2.0 * h) for h in steps]
        for order in range(1, 4):
            table = [(4**order * table[i + 1] - table[i]) / (4**order - 1) for i in range(len(table) - 1)]
        found.append(table[0])
    return np.stack(found, axis=-1)


def with_response(given: Design, response: np.ndarray) -> Design:
    """Return a design with another response."""
    columns = given.columns.copy(order="F")
    columns[:, -1] = response
    return replace(given, columns=columns)


def without_data(fit: LinearMixedModel) -> LinearMixedModel:
    """Return a fit with its rows and without the columns of its data, such as one of an old file."""
    return replace(fit, _design=replace(fit._design, data=None))
