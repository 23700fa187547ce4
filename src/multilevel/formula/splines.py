"""Bases of splines as R's ``bs`` and ``ns`` make them, and orthogonal polynomials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multilevel.errors import FormulaError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OrthogonalPolynomials:
    """Polynomials orthonormal over the values they were made for, by their three-term recurrence.

    With p₀ = 1, pⱼ₊₁(x) = (x − αⱼ) pⱼ(x) − (νⱼ/νⱼ₋₁) pⱼ₋₁(x), where νⱼ = Σ pⱼ² and αⱼ = Σ x pⱼ² / νⱼ.
    Column j is pⱼ/√νⱼ.
    """

    alpha: tuple[float, ...]
    norms: tuple[float, ...]

    @classmethod
    def fit(cls, x: FloatArray, degree: int) -> OrthogonalPolynomials:
        """Find the recurrence for some values."""
        x = x[~np.isnan(x)]
        distinct = len(np.unique(x))
        if degree < 1 or degree >= distinct:
            raise FormulaError(
                f"poly() of degree {degree} is not possible with {distinct} distinct values; "
                "the degree must be at least 1 and less than their number."
            )
        centre = float(np.mean(x))
        previous, current = np.zeros_like(x), np.ones_like(x)
        alpha, norms = [], [float(len(x))]
        for _ in range(degree):
            shift = float(np.sum((x - centre) * current**2)) / norms[-1] + centre
            ratio = norms[-1] / norms[-2] if len(norms) > 1 else 0.0
            previous, current = current, (x - shift) * current - ratio * previous
            alpha.append(shift)
            norms.append(float(np.sum(current**2)))
        return cls(tuple(alpha), tuple(norms))

    def __call__(self, x: FloatArray) -> FloatArray:
        """Evaluate the polynomials of degree 1, 2, … at some values."""
        out = np.empty((len(x), len(self.alpha)), order="F")
        previous, current = np.zeros_like(x), np.ones_like(x)
        for j, shift in enumerate(self.alpha):
            ratio = self.norms[j] / self.norms[j - 1] if j else 0.0
            previous, current = current, (x - shift) * current - ratio * previous
            np.divide(current, np.sqrt(self.norms[j + 1]), out=out[:, j])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class SplineBasis:
    """A B-spline basis, or a natural cubic one, fixed by its knots.

    Attributes
    ----------
    degree
        Degree of the pieces.
    inner, boundary
        The knots.
    intercept
        Whether the basis spans the constant too.
    natural
        Whether the second derivative vanishes at the boundary knots and the spline goes on linearly beyond them.
    """

    degree: int
    inner: tuple[float, ...]
    boundary: tuple[float, float]
    intercept: bool
    natural: bool

    @classmethod
    def fit(
        cls,
        x: FloatArray,
        *,
        df: int | None,
        knots: list[float] | None,
        degree: int = 3,
        intercept: bool = False,
        boundary: list[float] | None = None,
        natural: bool = False,
    ) -> SplineBasis:
        """Place the knots: as given, or at quantiles of the values so that the basis has `df` columns."""
        function = "ns()" if natural else "bs()"
        x = x[~np.isnan(x)]
        if len(x) == 0:
            raise FormulaError(f"{function} cannot place knots: its argument has no values.")
        if boundary is not None and len(boundary) != 2:
            raise FormulaError(f"{function} needs two boundary knots, not {len(boundary)}.")
        low, high = (min(boundary), max(boundary)) if boundary is not None else (float(x.min()), float(x.max()))
        if not (np.isfinite([low, high]).all() and low < high):
            raise FormulaError(
                f"{function} needs at least two distinct finite values between its boundary knots, which are {low:g} and {high:g}."
            )
        if df is not None and knots is None:
            fewest = 1 + intercept if natural else degree + intercept
            if df < fewest:
                raise FormulaError(f"{function} needs at least {fewest} degrees of freedom here, not {df}.")
            n_inner = df - fewest
            inside = x[(x >= low) & (x <= high)]
            places = np.linspace(0.0, 1.0, n_inner + 2)[1:-1]
            inner = [float(q) for q in np.quantile(inside, places)] if n_inner else []
        else:
            inner = sorted(knots or [])
            if inner and not low <= inner[0] <= inner[-1] <= high:
                raise FormulaError(
                    f"The knots of {function} must lie between its boundary knots {low:g} and {high:g}; "
                    f"they are {', '.join(f'{knot:g}' for knot in inner)}."
                )
        inside_knots = [low] * natural + inner + [high] * natural
        most = 1 if natural else degree + 1
        repeated = [knot for knot in dict.fromkeys(inside_knots) if inside_knots.count(knot) > most]
        if repeated:
            raise FormulaError(
                f"{function} has more than {most} {'knot' if most == 1 else 'knots'} at {repeated[0]:g}, where many values are the"
                " same; ask for fewer degrees of freedom, or give the knots."
            )
        return cls(degree, tuple(inner), (low, high), intercept, natural)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Evaluate the basis at some values; NaN gives rows of NaN."""
        out = self._natural(x) if self.natural else self._design(x)
        if not self.natural and not self.intercept:
            out = out[:, 1:]
        return np.asfortranarray(out)

    @property
    def _knots(self) -> FloatArray:
        low, high = self.boundary
        order = self.degree + 1
        return np.array([low] * order + list(self.inner) + [high] * order)

    def _design(self, x: FloatArray, derivative: int = 0) -> FloatArray:
        from scipy.interpolate import BSpline

        knots = self._knots
        n_columns = len(knots) - self.degree - 1
        # Beyond the boundary knots the outermost pieces go on, as they do in R.
        spline = BSpline(knots, np.eye(n_columns), self.degree, extrapolate=True)
        if derivative:
            spline = spline.derivative(derivative)
        result: FloatArray = np.asarray(spline(x), dtype=np.float64)
        return result

    def _natural(self, x: FloatArray) -> FloatArray:
        low, high = self.boundary
        inside = np.clip(x, low, high)
        basis = self._design(inside)
        ends = np.array([low, high])
        slopes = self._design(ends, 1)
        for side, end, outside in ((0, low, x < low), (1, high, x > high)):
            if outside.any():
                basis[outside] += (x[outside] - end)[:, None] * slopes[side]
        curvature = self._design(ends, 2)
        if not self.intercept:
            basis, curvature = basis[:, 1:], curvature[:, 1:]
        # The columns of Q beyond the second span the splines without curvature at the ends.
        q, _ = np.linalg.qr(curvature.T, mode="complete")
        result: FloatArray = basis @ q[:, 2:]
        return result
