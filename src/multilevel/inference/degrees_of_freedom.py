"""Denominator degrees of freedom by name, behind one interface.

A basis holds the covariance matrix of the fixed effects that a method tests with and answers two questions about contrasts: the
degrees of freedom of one, and the F test of several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.arguments import VcovName
from multilevel.errors import ControlError
from multilevel.inference.kenward_roger import KenwardRogerModel, kenward_roger_model
from multilevel.inference.satterthwaite import SatterthwaiteModel, satterthwaite_model

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

METHODS = ("satterthwaite", "kenward-roger", "residual", "asymptotic")


@dataclass(frozen=True, slots=True)
class FTest:
    """An F test: its statistic, its two degrees of freedom (numerator: the rank of the contrasts), and λ of Kenward and Roger."""

    statistic: float
    df_numerator: int
    df_denominator: float
    scaling: float = 1.0

    @property
    def p_value(self) -> float:
        """Probability of a larger statistic."""
        from scipy.special import chdtrc, fdtrc

        if self.df_numerator == 0:
            return float("nan")
        if np.isinf(self.df_denominator):
            return float(chdtrc(self.df_numerator, self.statistic * self.df_numerator))
        return float(fdtrc(self.df_numerator, self.df_denominator, self.statistic))


class InferenceBasis(Protocol):
    """What the tests ask of a method."""

    @property
    def vcov(self) -> FloatArray:
        """Covariance matrix of the fixed effects that the method tests with."""

    def variances(self, contrasts: FloatArray) -> FloatArray:
        """Return the variances of contrasts, shape (r, p)."""

    def covariance(self, contrasts: FloatArray) -> FloatArray:
        """Return the covariance matrix of contrasts."""

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast, shape (p,)."""

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the F test that contrasts (q × p), estimated at `estimates` (q) above their null values, are all zero."""


class _HasCovariance(Protocol):
    @property
    def vcov(self) -> FloatArray:
        """Covariance matrix of the fixed effects."""


class WithCovariance:
    """What the methods share that have one covariance matrix for all contrasts, `vcov`."""

    __slots__ = ()

    def variances(self: _HasCovariance, contrasts: FloatArray) -> FloatArray:
        """Return the variances of contrasts, shape (r, p)."""
        return np.asarray(np.einsum("ri,ij,rj->r", contrasts, self.vcov, contrasts))

    def covariance(self: _HasCovariance, contrasts: FloatArray) -> FloatArray:
        """Return the covariance matrix of contrasts."""
        return np.asarray(contrasts @ self.vcov @ contrasts.T)


ALIKE = 1e4
"""Contrasts whose standard errors differ by more than this are brought to one size before they are made independent."""


def independent_rows(contrasts: FloatArray, vcov: FloatArray, estimates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return uncorrelated combinations of contrasts, divided by their standard errors, and their t statistics.

    Contrasts that others determine are left out, so that the number of rows returned is the rank.
    """
    length = np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", contrasts, vcov, contrasts), 0.0))
    some = length > 0.0
    if some.any() and length[some].max() > ALIKE * length[some].min():
        # In units so different the smaller contrasts would be taken for rounding of the larger.
        contrasts, estimates = contrasts[some] / length[some, None], estimates[some] / length[some]
    elif some.any():
        # A power of two changes no digit, and keeps squares of squares within range.
        unit = np.ldexp(1.0, -np.frexp(length.max())[1])
        contrasts, estimates = contrasts * unit, estimates * unit
    values, vectors = np.linalg.eigh(contrasts @ vcov @ contrasts.T)
    keep = values > max(float(values[-1]), 0.0) * 1e-10
    rotation = vectors[:, keep] / np.sqrt(values[keep])
    return rotation.T @ contrasts, rotation.T @ estimates


@dataclass(frozen=True, slots=True, eq=False)
class SatterthwaiteBasis(WithCovariance):
    """Satterthwaite's method; several contrasts as Fai & Cornelius (1996)."""

    model: SatterthwaiteModel

    @property
    def vcov(self) -> FloatArray:
        """σ²(XᵀV⁻¹X)⁻¹."""
        return self.model.vcov

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast."""
        return self.model.degrees_of_freedom(contrast)

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the F test, its degrees of freedom from the expectation of a sum of squared t statistics."""
        rows, t = independent_rows(contrasts, self.vcov, estimates)
        q = len(t)
        if q == 0:
            return FTest(float("nan"), 0, float("nan"))
        df = np.array([self.degrees_of_freedom(row) for row in rows])
        statistic = float((t * t).sum()) / q
        if q == 1 or df.max() - df.min() <= 1e-8 * df.min():
            return FTest(statistic, q, float(df.min()))
        if (df <= 2.0).any():
            # A squared t with two degrees of freedom or fewer has no expectation.
            return FTest(statistic, q, 2.0)
        expectation = float(np.where(np.isfinite(df), df / (df - 2.0), 1.0).sum())
        return FTest(statistic, q, 2.0 * expectation / (expectation - q))


@dataclass(frozen=True, slots=True, eq=False)
class KenwardRogerBasis(WithCovariance):
    """Kenward & Roger (1997): adjusted covariance, scaled F."""

    model: KenwardRogerModel

    @property
    def vcov(self) -> FloatArray:
        """The adjusted covariance matrix."""
        return self.model.adjusted

    def degrees_of_freedom(self, contrast: FloatArray) -> float:
        """Return the degrees of freedom of one contrast."""
        return self.model.test(contrast[None, :])[1]

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the scaled F test."""
        rows, t = independent_rows(contrasts, self.vcov, estimates)
        if len(t) == 0:
            return FTest(float("nan"), 0, float("nan"))
        scaling, df = self.model.test(rows)
        return FTest(scaling * float((t * t).sum()) / len(t), len(t), df, scaling)


@dataclass(frozen=True, slots=True, eq=False)
class FixedBasis(WithCovariance):
    """The same degrees of freedom for every contrast: the residual ones, or infinite."""

    vcov: FloatArray
    df: float

    def degrees_of_freedom(self, contrast: FloatArray) -> float:  # noqa: ARG002
        """Return the degrees of freedom."""
        return self.df

    def f_test(self, contrasts: FloatArray, estimates: FloatArray) -> FTest:
        """Return the F test."""
        _, t = independent_rows(contrasts, self.vcov, estimates)
        return FTest(float((t * t).sum()) / max(len(t), 1), len(t), self.df)


def inference_basis(
    fit: LinearMixedModel, ddf: str, *, vcov: VcovName = "model", cluster: Any = None
) -> InferenceBasis:
    """Return the basis of a method, worked out once for each fit.

    Parameters
    ----------
    fit
        The fitted model.
    ddf
        ``"satterthwaite"``, ``"kenward-roger"``, ``"residual"`` (``fit.df_residual``, n less all
        parameters) or ``"asymptotic"`` (infinite).
    vcov
        ``"model"``, or the kind of a cluster-robust covariance matrix (``"CR0"``, ``"CR1"``, ``"CR1S"``, ``"CR2"``), which
        brings degrees of freedom of its own.
    cluster
        For those, the clusters: a column or one value per row; by default the outermost grouping factor.

    Raises
    ------
    ControlError
        The method is none of these; it is Kenward and Roger's and the fit is not by REML; or no residual degrees of freedom are
        left.
    """
    if vcov != "model":
        from multilevel.inference.robust import robust_basis

        return determined_part(fit, robust_basis(fit, vcov, cluster))
    if ddf not in METHODS:
        raise ControlError(f"ddf must be one of {', '.join(repr(m) for m in METHODS)}, not {ddf!r}.")
    if ddf == "kenward-roger" and not fit.reml:
        raise ControlError(
            "Kenward and Roger's method adjusts a REML fit and this one is by maximum likelihood; use fit.update(reml=True)."
        )
    kept: dict[str, InferenceBasis] = fit.__dict__.setdefault("_inference_bases", {})
    if ddf not in kept:
        engine = fit._engine
        if ddf == "satterthwaite":
            kept[ddf] = SatterthwaiteBasis(satterthwaite_model(engine))
        elif ddf == "kenward-roger":
            kept[ddf] = KenwardRogerBasis(kenward_roger_model(engine))
        else:
            df = residual_degrees_of_freedom(fit) if ddf == "residual" else float("inf")
            kept[ddf] = FixedBasis(engine.sigma**2 * engine.unscaled_vcov, df)
        kept[ddf] = determined_part(fit, kept[ddf])
    return kept[ddf]


def residual_degrees_of_freedom(fit: LinearMixedModel) -> float:
    """Return n less all parameters, those of the covariances too, as R's df.residual does.

    Raises
    ------
    ControlError
        None are left.
    """
    if fit.df_residual < 1:
        raise ControlError(
            f"No residual degrees of freedom are left: the model has {fit.n_parameters} parameters and {fit.nobs} rows; choose"
            " another ddf, such as 'satterthwaite'."
        )
    return float(fit.df_residual)


def determined_part(fit: LinearMixedModel, basis: InferenceBasis) -> InferenceBasis:
    """Return the basis, NaN where other optima that are as good as the fit give other answers."""
    if not fit.convergence.others:
        return basis
    from multilevel.inference.withheld import WithheldBasis

    return WithheldBasis(basis, fit._engine)
