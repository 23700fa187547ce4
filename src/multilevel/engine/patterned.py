"""Covariance structures with a pattern of correlations: one or k standard deviations and a family of correlation matrices.

λ = diag(s) C(ω), with C from `correlations`. With one standard deviation for all columns s is itself a parameter and the criterion
is even in it. With one for each column the parameters are their roots η, s = η²: a single s must not be negative (that would change
the sign of its correlations), and in η the criterion is even, so that s = 0 is a stationary point whose curvature has the sign of
the derivative with respect to s. Users see θ = (s, correlations), relative to σ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.engine.correlations import CorrelationFamily
from multilevel.engine.structures import NaturalElement

FloatArray = npt.NDArray[np.float64]

STEEP = 0.5 * np.pi
"""The angle of a correlation at its bound."""

SAFE_CORRELATION = 0.8
"""Starting values of correlations are kept below this."""


@dataclass(frozen=True, slots=True)
class Patterned:
    """Standard deviations, one for all columns or one for each, and a patterned correlation matrix.

    Attributes
    ----------
    family
        The correlation matrices.
    homogeneous
        Whether all columns share one standard deviation.
    """

    family: CorrelationFamily
    homogeneous: bool

    @property
    def size(self) -> int:
        """Number of columns k."""
        return self.family.size

    @property
    def n_scales(self) -> int:
        """Number of standard deviations."""
        return 1 if self.homogeneous else self.size

    @property
    def n_theta(self) -> int:
        """Number of parameters: the standard deviations and the correlations."""
        return self.n_scales + self.family.n_angles

    @property
    def rotates(self) -> bool:
        """The family does not hold every covariance matrix."""
        return False

    @property
    def common_scale(self) -> bool:
        """Whether all columns share a variance."""
        return self.homogeneous

    @property
    def correlated(self) -> bool:
        """Whether there are correlations."""
        return self.family.n_angles > 0

    @property
    def pivots(self) -> npt.NDArray[np.bool_]:
        """The standard deviations."""
        return np.arange(self.n_theta) < self.n_scales

    def _scales(self, theta: FloatArray) -> FloatArray:
        own = theta[: self.n_scales]
        return np.full(self.size, own[0]) if self.homogeneous else own**2

    def factor(self, theta: FloatArray) -> FloatArray:
        """Return λ."""
        return self._scales(theta)[:, None] * self.family.factor(theta[self.n_scales :])[0]

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Return ∂λ."""
        k, m = self.size, self.n_scales
        correlation, slope, _ = self.family.factor(theta[m:])
        result = np.zeros((self.n_theta, k, k))
        if self.homogeneous:
            result[0] = correlation
        else:
            every = np.arange(k)
            result[every, every] = 2.0 * theta[:m, None] * correlation
        result[m:] = self._scales(theta)[:, None] * slope
        return result

    def curvature(self, theta: FloatArray) -> FloatArray | None:
        """Return ∂²λ, or None where λ is a multiple of a constant."""
        if self.homogeneous and not self.correlated:
            return None
        k, m = self.size, self.n_scales
        correlation, slope, bend = self.family.factor(theta[m:])
        result = np.zeros((self.n_theta, self.n_theta, k, k))
        result[m:, m:] = self._scales(theta)[:, None] * bend
        if self.homogeneous:
            result[0, m:] = result[m:, 0] = slope
        else:
            for row in range(k):
                result[row, row, row] = 2.0 * correlation[row]
                result[row, m:, row] = result[m:, row, row] = 2.0 * theta[row] * slope[:, row]
        return result

    def parameters(self, factor: FloatArray) -> FloatArray:
        """Return the parameters of a factor that belongs to the family."""
        length = np.sqrt((factor * factor).sum(axis=1))
        scales = np.array([np.sqrt(np.mean(length**2))]) if self.homogeneous else np.sqrt(length)
        unit = factor / np.where(length > 0, length, 1.0)[:, None]
        correlations = np.array([float(unit[r] @ unit[c]) for _, r, c in self.family.labels()])
        return np.concatenate([scales, self.family.angles(correlations)])

    def start(self) -> FloatArray:
        """Return the parameters of the identity matrix."""
        return np.concatenate([np.ones(self.n_scales), self.family.angles(np.zeros(self.family.n_angles))])

    def rescaled(self, scale: FloatArray) -> FloatArray:
        """Return what every parameter is multiplied by when row r of λ is multiplied by scale[r]."""
        own = scale[:1] if self.homogeneous else np.sqrt(scale)
        return np.concatenate([own, np.ones(self.family.n_angles)])

    def theta_names(self, columns: tuple[str, ...], factor_name: str) -> tuple[str, ...]:
        """Return names such as ``Subject.Days`` and ``Subject.rho`` (one correlation) or ``Subject.rho_lag2``."""
        scales = (f"{factor_name}.sd",) if self.homogeneous else tuple(f"{factor_name}.{column}" for column in columns)
        labels = self.family.labels()
        if len(labels) == 1:
            return (*scales, f"{factor_name}.rho")
        return (*scales, *(f"{factor_name}.rho_{label}" for label, _, _ in labels))

    def canonical(self, theta: FloatArray) -> FloatArray:
        """Return the equivalent parameters with scales that are not negative and angles within ±π/2."""
        m = self.n_scales
        return np.concatenate([np.abs(theta[:m]), np.arcsin(np.clip(np.sin(theta[m:]), -1.0, 1.0))])

    def lifted(self, theta: FloatArray, floor: float) -> FloatArray:
        """Return scales no smaller than a floor and angles no closer to ±π/2."""
        m = self.n_scales
        own = np.maximum(theta[:m], floor if self.homogeneous else np.sqrt(floor))
        return np.concatenate([own, np.clip(theta[m:], floor - STEEP, STEEP - floor)])

    def bounds_near(self, theta: FloatArray, near: float) -> dict[int, float]:
        """Return zero for small scales and ±π/2 for angles close to it."""
        found: dict[int, float] = {}
        for at, value in enumerate(theta):
            size = abs(float(value))
            if at < self.n_scales:
                if 0.0 < size < (near if self.homogeneous else np.sqrt(near)):
                    found[at] = 0.0
            elif size != STEEP and STEEP - size < 5.0 * near:
                found[at] = float(np.copysign(STEEP, value))
        return found

    def reported(self, theta: FloatArray) -> FloatArray:
        """Return relative standard deviations and correlations."""
        m = self.n_scales
        scales = theta[:m] if self.homogeneous else theta[:m] ** 2
        return np.concatenate([scales, self.family.correlations(theta[m:])])

    def from_reported(self, theta: FloatArray) -> FloatArray:
        """Return the parameters of relative standard deviations and correlations."""
        m = self.n_scales
        scales = theta[:m] if self.homogeneous else np.sqrt(np.maximum(theta[:m], 0.0))
        return np.concatenate([scales, self.family.angles(theta[m:])])

    def nearest(self, covariance: FloatArray, low: float, high: float) -> FloatArray:
        """Return the parameters of moderate standard deviations and correlations like those of a matrix."""
        variances = np.clip(np.diag(covariance), low**2, high**2)
        if self.homogeneous:
            variances = np.full(self.size, variances.mean())
        theta = np.empty(self.n_theta)
        theta[: self.n_scales] = np.sqrt(variances[: self.n_scales])
        labels = self.family.labels()
        if labels:
            unit = covariance / np.sqrt(np.outer(variances, variances))
            lag = np.abs(np.arange(self.size)[:, None] - np.arange(self.size))
            # a Toeplitz start must be a correlation matrix: only its first lag is guessed
            at = lag > 0 if labels[0][0] == "all" else lag == 1
            guess = max(float(np.clip(unit[at].mean(), -SAFE_CORRELATION, SAFE_CORRELATION)), 0.8 * self.family.lowest)
            angles = np.zeros(len(labels))
            angles[0] = self.family.angles(np.array([guess, *np.zeros(len(labels) - 1)]))[0]
            theta[self.n_scales :] = self.family.correlations(angles)
        return self.from_reported(theta)

    def other_starts(self, theta: FloatArray) -> list[FloatArray]:
        """Return starting values with other correlations: the criterion of a pattern can have several minima.

        Fewer of them where one scale and one correlation is all there is.
        """
        if not self.correlated:
            return []
        m, found = self.n_scales, []
        simple = self.homogeneous and self.family.n_angles == 1
        guesses = (0.5,) if simple else (0.0, 0.5, 0.5 * self.family.lowest)
        for guess in guesses:
            other = theta.copy()
            other[m:] = 0.0
            other[m] = self.family.angles(np.array([guess, *np.zeros(self.family.n_angles - 1)]))[0]
            found.append(other)
        return found

    def natural(self) -> tuple[NaturalElement, ...]:
        """Return the standard deviations and correlations."""
        deviations = (
            (NaturalElement("sd", 0, 0, "all"),)
            if self.homogeneous
            else tuple(NaturalElement("sd", at, at) for at in range(self.size))
        )
        return (
            *deviations,
            *(NaturalElement("cor", r, c, label, self.family.lowest) for label, r, c in self.family.labels()),
        )

    def monomial(self, row: int, column: int) -> dict[int, int]:
        """Return the standard deviations and correlations that multiply to an element."""
        powers = {0: 2} if self.homogeneous else {row: 2} if row == column else {row: 1, column: 1}
        if row != column:
            powers.update({self.n_scales + at: power for at, power in self.family.place(row, column).items()})
        return powers

    def units(self) -> list[FloatArray] | None:
        """Return a matrix for the diagonal and each correlation, or None where Ψ is not linear in variances and covariances."""
        if not self.homogeneous:
            return None
        found = [np.eye(self.size)] + [np.zeros((self.size, self.size)) for _ in range(self.family.n_angles)]
        for row in range(self.size):
            for column in range(row if self.correlated else 0):
                powers = self.family.place(row, column)
                if list(powers.values()) != [1]:
                    return None
                found[1 + next(iter(powers))][[row, column], [column, row]] = 1.0
        return found
