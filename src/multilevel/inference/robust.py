"""Cluster-robust covariance matrices of the fixed effects, and tests with them.

With M = (XᵀV⁻¹X)⁻¹, residuals e = y − Xβ and clusters j, the sandwich is M·Σⱼ(XⱼᵀVⱼ⁻¹Aⱼeⱼ)(…)ᵀ·M. CR0 has Aⱼ = I, CR1 and CR1S a
scalar; CR2 has the symmetric Aⱼ with Aⱼ(Vⱼ − XⱼMXⱼᵀ)Aⱼ = Vⱼ, which makes the sandwich unbiased when the fitted V is true (Bell &
McCaffrey 2002; Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36). Under that V, Gⱼ = AⱼᵀVⱼ⁻¹XⱼM gives residual contrasts Gⱼᵀeⱼ
with covariances δᵢⱼGᵢᵀVᵢGᵢ − (GᵢᵀXᵢ)M(GⱼᵀXⱼ)ᵀ: everything the degrees of freedom need is p × p for each cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, checked
from multilevel.errors import ControlError, DataError
from multilevel.inference.degrees_of_freedom import FTest, WithCovariance, determined_part, independent_rows
from multilevel.model.residual_structure import residual_covariance
from multilevel.model.simulation import is_nested, marginal_mean

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

KINDS = ("CR0", "CR1", "CR1S", "CR2")

NO_RESIDUAL = 1e-12
"""Below this share of the largest eigenvalue, residuals of a cluster have no variance in a direction."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The clusters of a fit's rows.

    Attributes
    ----------
    name : str
        The grouping factor's or column's name, or ``"cluster"``.
    codes : ndarray
        The cluster of each row used, counted from 0; every cluster has rows.
    count : int
        Number of clusters.
    crossing : tuple of str
        Grouping factors with levels in several clusters, which make clusters dependent.
    """

    name: str
    codes: npt.NDArray[np.int32]
    count: int
    crossing: tuple[str, ...]


def clusters_of(fit: LinearMixedModel, cluster: Any = None) -> Clusters:
    """Return the clusters of a fit's rows.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    cluster : str or array_like, optional
        A grouping factor of the model, a column of its data, or one value for each row; by default the grouping factor in which
        all others are nested.

    Raises
    ------
    DataError
        No grouping factor holds all others, the values do not fit the rows, or there is only one cluster.
    """
    design = fit._design
    factors = {term.factor.name: term.factor for term in design.random}
    for name, factor in factors.items():
        if factor.relation is not None:
            raise DataError(f"The levels of {name!r} are related to one another, so that no clusters are independent.")
    if cluster is None:
        for name, factor in sorted(factors.items(), key=lambda item: item[1].n_levels):
            if all(is_nested(other.codes, other.n_levels, factor.codes) for other in factors.values()):
                return Clusters(name, factor.codes, factor.n_levels, ())
        raise DataError(
            f"The grouping factors {', '.join(factors)} are crossed: none of them has independent clusters. Name a coarser column"
            " in whose values all of them are nested as `cluster`, if there is one."
        )
    if isinstance(cluster, str) and cluster in factors:
        name, codes = cluster, factors[cluster].codes
    else:
        name, codes = _cluster_codes(fit, cluster)
    levels, places = np.unique(codes, return_inverse=True)
    if levels.size < 2:
        raise DataError(f"The clusters {name!r} have {levels.size} value in the rows used; at least two are needed.")
    own = places.astype(np.int32)
    crossing = tuple(f.name for f in factors.values() if not is_nested(f.codes, f.n_levels, own))
    return Clusters(name, own, int(levels.size), crossing)


def _cluster_codes(fit: LinearMixedModel, cluster: Any) -> tuple[str, npt.NDArray[np.int32]]:
    """Return the codes of a column or of an array, for the rows used."""
    from multilevel.data.frames import column_from_values
    from multilevel.model.source import column_of

    design = fit._design
    if isinstance(cluster, str):
        name, column = cluster, column_of(fit, cluster)
    else:
        name, column = "cluster", column_from_values("cluster", cluster)
    codes = column.as_factor().codes
    if len(codes) == design.n_rows and design.kept is not None:
        codes = codes[design.kept]
    if len(codes) != design.nobs:
        raise DataError(f"The clusters {name!r} have {len(codes)} values; there are {design.nobs} rows.")
    if bool((codes < 0).any()):
        raise DataError(f"The clusters {name!r} lack a value in {int((codes < 0).sum())} of the rows used.")
    return name, codes


@dataclass(frozen=True, slots=True, eq=False)
class RobustBasis(WithCovariance):
    """A cluster-robust covariance matrix and the tests that go with it.

    Attributes
    ----------
    kind : str
        ``"CR0"``, ``"CR1"``, ``"CR1S"`` or ``"CR2"``.
    cluster : str
        Name of the clusters.
    n_clusters : int
        Their number.
    vcov : ndarray
        Covariance matrix of the fixed effects.
    own
        GⱼᵀVⱼGⱼ of each cluster, shape (J, p, p); None where clusters depend on one another.
    shared
        GⱼᵀXⱼM^½ of each cluster, shape (J, p, p).

    Notes
    -----
    Degrees of freedom of one contrast are those of Bell & McCaffrey (2002), several contrasts are tested by the approximate
    Hotelling test (HTZ) of Pustejovsky & Tipton (2018), both with the fitted V as working model. Where clusters depend on one
    another there is no such theory, and J − 1 is used.
    """

    kind: str
    cluster: str
    n_clusters: int
    vcov: FloatArray
    own: FloatArray | None
    shared: FloatArray | None

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast."""
        return self._wishart_df(np.asarray(contrast, dtype=np.float64)[None, :])

    def _wishart_df(self, rows: FloatArray) -> float:
        """Return the degrees of freedom of the Wishart distribution nearest to that of the contrasts' covariance matrix."""
        if self.own is None or self.shared is None:
            return float(self.n_clusters - 1)
        own = np.einsum("ra,jab,sb->jrs", rows, self.own, rows)
        shared = np.einsum("ra,jab->jrb", rows, self.shared)
        within = own - np.einsum("jrb,jsb->jrs", shared, shared)
        values, vectors = np.linalg.eigh(within.sum(axis=0))
        if not values[0] > 0.0:
            return float("nan")
        whiten = vectors / np.sqrt(values)
        own, within = (np.einsum("ra,jrs,sb->jab", whiten, part, whiten) for part in (own, within))
        shared = np.einsum("ra,jrb->jab", whiten, shared)
        # Σᵢⱼ tr(Pᵢⱼ)² + tr(Pᵢⱼ²) without a sum over pairs; where i = j, P has one more term.
        q, p = shared.shape[1:]
        flat = shared.reshape(len(shared), q * p)
        moments = (flat.T @ flat).reshape(q, p, q, p)
        total = float((moments**2).sum() + np.einsum("satb,tasb->", moments, moments))
        total += _traces(within) - _traces(own - within)
        return float(q * (q + 1) / total)

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the approximate Hotelling test; NaN where there are too few clusters for that many contrasts."""
        rows, t = independent_rows(contrasts, self.vcov, estimates)
        q = len(t)
        if q == 0:
            return FTest(float("nan"), 0, float("nan"))
        df = self._wishart_df(rows)
        scaling = (df - q + 1.0) / df
        if not scaling > 0.0:
            return FTest(float("nan"), q, float("nan"), float("nan"))
        return FTest(scaling * float((t * t).sum()) / q, q, df - q + 1.0, scaling)


def _traces(blocks: FloatArray) -> float:
    """Return Σ tr(P)² + tr(P²) over symmetric blocks."""
    return float((np.einsum("jaa->j", blocks) ** 2).sum() + (blocks**2).sum())


def robust_basis(
    fit: LinearMixedModel, kind: str = "CR2", cluster: Any = None, *, allow_crossed: bool = False
) -> RobustBasis:
    """Return a cluster-robust covariance matrix of the fixed effects with its tests, worked out once for each fit.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    kind : {"CR2", "CR0", "CR1", "CR1S"}
        The correction for few clusters: CR2 is unbiased where the fitted model is true; CR1 multiplies CR0 by J/(J − 1), CR1S
        by J(n − 1)/((J − 1)(n − p)).
    cluster : str or array_like, optional
        See `clusters_of`.
    allow_crossed : bool
        Whether clusters may share levels of a grouping factor. Scores are then summed over clusters as if they did not, without
        CR2 and with J − 1 degrees of freedom.

    Raises
    ------
    ControlError
        The kind is none of these.
    DataError
        Clusters share levels of a grouping factor and that is not allowed, or they do not fit the rows.
    """
    if kind not in KINDS:
        raise ControlError(f"The kind of covariance matrix {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    kept: dict[tuple[Any, ...], RobustBasis] = fit.__dict__.setdefault("_robust_bases", {})
    key = (kind, cluster, allow_crossed) if cluster is None or isinstance(cluster, str) else None
    if key in kept:
        return kept[key]
    clusters = clusters_of(fit, cluster)
    if not clusters.crossing:
        basis = _independent(fit, kind, clusters)
    elif allow_crossed and kind != "CR2":
        basis = _dependent(fit, kind, clusters)
    else:
        hint = "CR2 needs independent clusters; use CR1" if allow_crossed else "use allow_crossed=True with CR1"
        raise DataError(
            f"The clusters {clusters.name!r} are not independent: they share levels of {', '.join(clusters.crossing)}. Name a"
            f" column in whose values all grouping factors are nested, or {hint}, which treats them as if they were independent."
        )
    if key is not None:
        kept[key] = basis
    return basis


def _scaling(fit: LinearMixedModel, kind: str, count: int) -> float:
    n, p = fit.nobs, fit._design.n_fixed
    if kind == "CR1":
        return count / (count - 1.0)
    if kind == "CR1S":
        return count * (n - 1.0) / ((count - 1.0) * (n - p))
    return 1.0


def _dependent(fit: LinearMixedModel, kind: str, clusters: Clusters) -> RobustBasis:
    """Sum the scores XᵀV⁻¹e over clusters, with V⁻¹e = W(y − Xβ − Zb)/σ²."""
    design = fit._design
    if design.residual is not None:
        raise ControlError(
            "Robust covariances of clusters that depend on one another do not take a residual structure; leave one of the two"
            " out."
        )
    solved = (design.y - fit._fitted_values) / fit.sigma**2
    if design.weights is not None:
        solved = solved * design.weights
    scores = np.column_stack(
        [np.zeros((clusters.count, 0)), *(np.bincount(clusters.codes, solved * x, clusters.count) for x in design.X.T)]
    )
    spread = scores @ (fit.sigma**2 * fit._engine.unscaled_vcov)
    vcov = _scaling(fit, kind, clusters.count) * np.einsum("ja,jb->ab", spread, spread)
    return RobustBasis(kind, clusters.name, clusters.count, vcov, None, None)


def _independent(fit: LinearMixedModel, kind: str, clusters: Clusters) -> RobustBasis:
    from scipy.linalg import cho_factor, cho_solve, eigh

    design = fit._design
    p = design.n_fixed
    # In units of σ, and of columns that are as long as their coefficients' standard errors: any units give the same digits.
    length = np.sqrt(np.diag(fit._engine.unscaled_vcov))
    M = fit._engine.unscaled_vcov / length / length[:, None]
    values, vectors = np.linalg.eigh(M)
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    error = (design.y - marginal_mean(fit)) / fit.sigma
    order = np.argsort(clusters.codes, kind="stable")
    ends = np.cumsum(np.bincount(clusters.codes, minlength=clusters.count))[:-1]
    scale = np.sqrt(_scaling(fit, kind, clusters.count))
    own, shared = np.empty((clusters.count, p, p)), np.empty((clusters.count, p, p))
    meat = np.zeros((p, p))
    for j, rows in enumerate(np.split(order, ends)):
        V = _cluster_covariance(fit, rows) / fit.sigma**2
        X = np.ascontiguousarray(design.X[rows]) * length
        adjusted = cho_solve(cho_factor(V, lower=True), X @ M)
        if kind == "CR2":
            # A = Dᵀ(D(V − XMXᵀ)Dᵀ)^(−½)D for any D with DᵀD = V
            D = np.linalg.cholesky(V).T
            left = D @ X @ half
            spread, directions = eigh(D @ V @ D.T - left @ left.T)
            keep = spread > NO_RESIDUAL * spread[-1]
            directions = directions[:, keep]
            inner = (directions.T @ (D @ adjusted)) / np.sqrt(spread[keep])[:, None]
            G = D.T @ (directions @ inner)
        else:
            G = scale * adjusted
        score = G.T @ error[rows]
        meat += np.outer(score, score)
        own[j] = G.T @ V @ G
        shared[j] = G.T @ X @ half
    to_user = fit.sigma * length
    for array in (meat, own):
        array *= to_user
        array *= to_user[:, None]
    shared *= to_user[:, None]
    for array in (meat, own, shared):
        array.flags.writeable = False
    return RobustBasis(kind, clusters.name, clusters.count, meat, own, shared)


def _cluster_covariance(fit: LinearMixedModel, rows: npt.NDArray[np.intp]) -> FloatArray:
    """Return the fitted covariance matrix of some rows."""
    design = fit._design
    result = residual_covariance(fit, rows)
    for term, factor in zip(fit._terms, fit._engine.term_factors(), strict=True):
        Z = fit.sigma * (design.columns[rows][:, list(term.columns)] @ factor)
        codes = term.factor.codes[rows]
        result += (Z @ Z.T) * (codes[:, None] == codes)
    return result


def robust_vcov(fit: LinearMixedModel, kind: str = "CR2", cluster: Any = None) -> pd.DataFrame:
    """Return a cluster-robust covariance matrix of the fixed effects (see `robust_basis`).

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.vcov("CR2").round(3).loc["Days"].to_dict()
    {'(Intercept)': -1.451, 'Days': 2.389}
    """
    import pandas as pd

    names = list(fit._design.fixed_names)
    return pd.DataFrame(determined_part(fit, robust_basis(fit, kind, cluster)).vcov, index=names, columns=names)


@checked
def robust_coefficients(
    fit: LinearMixedModel, kind: str = "CR2", cluster: Any = None, *, level: Level = 0.95, allow_crossed: bool = False
) -> pd.DataFrame:
    """Return the fixed effects with robust standard errors, degrees of freedom, t tests and intervals.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    kind, cluster, allow_crossed
        See `robust_basis`.
    level : float
        Confidence level.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.robust import robust_coefficients
    >>> fit = ml.lmer("strength ~ 1 + (1 | batch/cask)", ml.load_dataset("Pastes"))
    >>> robust_coefficients(fit)[["std_error", "df"]].round(3).values.tolist()
    [[0.677, 9.0]]
    """
    from multilevel.inference.contrasts import t_table

    basis = determined_part(fit, robust_basis(fit, kind, cluster, allow_crossed=allow_crossed))
    beta: FloatArray = np.asarray(fit.fixef, dtype=np.float64)
    table = t_table(basis, np.eye(beta.size), beta, beta, level)
    table.index = fit.fixef.index
    return table
