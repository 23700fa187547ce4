"""Profile likelihood: how the deviance rises when one parameter is held away from its estimate.

For each parameter the signed root ζ = ±√(deviance − smallest deviance) is worked out at values on both sides of the estimate, each
by refitting all other parameters from the neighbouring point with exact derivatives. ζ of a parameter is close to a standard normal
variable, so an interval ends where |ζ| equals a normal quantile (Bates et al. 2015, section 5.1; R's ``profile`` and ``confint``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, Level, checked, checked_methods
from multilevel.data.labels import distinct
from multilevel.engine.constrained import ConstrainedWhitened, constrain
from multilevel.engine.newton import minimise
from multilevel.engine.objective import Objective
from multilevel.engine.residual_objective import ResidualObjective
from multilevel.engine.threads import linear_algebra_threads
from multilevel.errors import DataError
from multilevel.inference.natural_parameters import NaturalDeviance
from multilevel.inference.natural_residuals import ResidualNaturalDeviance
from multilevel.inference.profile_curve import rising_points, zeta_curve
from multilevel.model.parameter_labels import ParameterLabels

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.engine.fit import EngineFit
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
_ToUser = Callable[[FloatArray], FloatArray]
_Natural = Callable[[FloatArray, float], FloatArray]
_Deviance = NaturalDeviance | ResidualNaturalDeviance

ENOUGH = 1e-9
"""A refit ends when a further step would lower the deviance by less than this."""

ROOT_TOLERANCE = 1e-7
"""An end of an interval is found when ζ is within this of its target."""


@dataclass(frozen=True, slots=True)
class ProfilePoint:
    """One refit: the value held, ζ there, and all parameters."""

    value: float
    zeta: float
    parameters: FloatArray


class _Tracer:
    """Refits with one parameter held; remembers the last point to start the next one from.

    Parameters of a residual structure are held on the scale on which they are not bounded.
    """

    def __init__(self, estimate: float, step: float, low: float, high: float) -> None:
        self.estimate, self.step, self.low, self.high = estimate, step, low, high

    def point(self, value: float) -> ProfilePoint:
        """Refit with the parameter held at a value."""
        raise NotImplementedError

    def restart(self) -> None:
        """Go back to the estimate."""
        raise NotImplementedError

    def reported(self, value: float) -> float:
        """Return a value as users see it."""
        return value


class _CovarianceTracer(_Tracer):
    """Holds a standard deviation, a correlation, σ or a residual parameter."""

    def __init__(self, deviance: _Deviance, best: FloatArray, smallest: float, index: int, beta: _ToUser) -> None:
        self.deviance, self.best, self.smallest, self.index, self.beta = deviance, best, smallest, index, beta
        _, _, hessian, _ = deviance.evaluate(best)
        self.start_hessian = hessian
        self.scale = np.sqrt(2.0 / np.maximum(np.diag(hessian), 1e-12))
        kind = deviance.parameters[index].kind
        self.held = deviance.scale(index)
        size = self.held.outside(float(best[index]))
        step = float(self.scale[index] * deviance.units[index])
        if kind == "residual":
            step = min(step, 0.25 * min(self.held.high - self.held.low, 1.0))
        elif kind == "cor":
            step = min(step, 0.25)
        elif size > 0:
            step = min(step, 0.5 * size)
        super().__init__(size, step, self.held.low, self.held.high)
        self.restart()

    def restart(self) -> None:
        """Go back to the estimate."""
        self.current = self.best.copy()
        self.hessian = self.start_hessian
        self.before: tuple[float, FloatArray] | None = None

    def point(self, value: float) -> ProfilePoint:
        """Refit with the parameter held."""
        inside = self.held.inside(value)
        start = self.current.copy()
        if self.before is not None and self.before[0] != self.current[self.index]:
            # The others move along a smooth curve: go on in the direction of the last two points.
            share = (inside - self.current[self.index]) / (self.current[self.index] - self.before[0])
            guess = self.current + share * (self.current - self.before[1])
            guess[self.index] = inside
            if abs(share) < 3.0 and self.deviance.feasible(guess):
                start = guess
        self.before = (float(self.current[self.index]), self.current)
        values, found, beta = self._minimise(start, inside)
        self.current = values
        zeta = np.sqrt(max(found - self.smallest, 0.0)) * np.sign(value - self.estimate)
        return ProfilePoint(value, float(zeta), np.concatenate([self.deviance.reported(values), self.beta(beta)]))

    def reported(self, value: float) -> float:
        """Return a value as users see it."""
        return self.held.reported(value)

    def _minimise(self, start: FloatArray, value: float) -> tuple[FloatArray, float, FloatArray]:
        """Newton's method on the other parameters, standard deviations kept above zero and correlations feasible."""
        deviance, parameters = self.deviance, self.deviance.parameters
        values = start.copy()
        values[self.index] = value
        for _ in range(60):
            if deviance.feasible(values):
                break
            # correlations that the held one no longer allows
            possible = deviance.allowed(self.index, value)
            for i, parameter in enumerate(parameters):
                if parameter.kind == "cor" and i != self.index:
                    values[i] = 0.9 * values[i] + 0.1 * possible[i]
        # Correlations of random effects are bounded by what is feasible, σ is never at its bound.
        bounded = [p.kind in ("sd", "residual") for p in parameters]
        lower = np.where(bounded, [p.low for p in parameters], -np.inf)
        upper = np.where(bounded, [p.high for p in parameters], np.inf)
        found, gradient, fresh, beta = deviance.evaluate(values, curvature=False)
        # The Hessian changes little from one point to the next: it is renewed only when steps with the last one do not do.
        hessian = fresh if fresh.size else self.hessian
        stale = not fresh.size
        damping = 0.0
        last = np.inf
        for _ in range(100):
            free = np.ones(values.size, dtype=np.bool_)
            free[self.index] = False
            # A standard deviation of zero whose deviance would rise stays there.
            free &= ~((values <= lower) & (gradient >= 0.0)) & ~((values >= upper) & (gradient <= 0.0))
            at = np.flatnonzero(free)
            if at.size == 0:
                break
            scale = self.scale[at]
            g = gradient[at] * scale
            h = hessian[np.ix_(at, at)] * scale[:, None] * scale
            eigenvalues, vectors = np.linalg.eigh(h)
            size = np.maximum(np.abs(eigenvalues), 1e-6) + damping
            step = -vectors @ ((vectors.T @ g) / size)
            decrease = -float(g @ step) / 2.0
            if decrease < ENOUGH:
                break
            slow = decrease > 0.05 * last
            if stale and slow:
                _, _, hessian, _ = deviance.evaluate(values)
                stale, last = False, np.inf
                continue
            last = decrease
            trial = values.copy()
            trial[at] += step * scale
            trial = np.clip(trial, lower, upper)
            trial[self.index] = value
            if deviance.feasible(trial):
                new = deviance.evaluate(trial, curvature=False)
                if new[0] <= found + 1e-12 * abs(found):
                    values, (found, gradient, fresh, beta) = trial, new
                    hessian, stale = (fresh, False) if fresh.size else (hessian, True)
                    damping = 0.0 if damping < 1e-3 else 0.2 * damping
                    continue
            if stale:
                _, _, hessian, _ = deviance.evaluate(values)
                stale, last = False, np.inf
                continue
            damping = max(4.0 * damping, 0.5)
            if damping > 1e12:
                break
        self.hessian = hessian
        return values, found, beta


class _FixedTracer(_Tracer):
    """Holds a fixed effect."""

    def __init__(self, engine: EngineFit, smallest: float, index: int, error: float, natural: _Natural) -> None:
        products = engine.products
        contrast = (products.fixed.to_user() / products.response_scale)[index]
        # In units in which the contrast is of size one, whatever those of the user's columns.
        self.unit = float(np.abs(contrast).max())
        self.contrast = contrast / self.unit
        self.constraint = constrain(products, self.contrast)
        # What the held value is counted from: the engine's response has the rest of it taken off.
        self.shift = float(products.user_fixed_effects(np.zeros(products.n_fixed))[index])
        self.engine, self.smallest, self.natural = engine, smallest, natural
        super().__init__(float(engine.beta[index]), error, -np.inf, np.inf)
        self.restart()

    def restart(self) -> None:
        """Go back to the estimate."""
        residual = self.engine.residual
        self.current, self.delta = self.engine.model.phi, np.empty(0) if residual is None else residual.delta

    def point(self, value: float) -> ProfilePoint:
        """Refit with the fixed effect held."""
        engine = self.engine
        held = (value - self.shift) / self.unit
        start = engine.products.plan.parameters.lifted(self.current, 1e-2)
        if engine.residual is None:
            objective = Objective(self.constraint.at(held), False)
            model = minimise(objective, start, ENOUGH, 1000, certify=False).model
            self.current = model.phi
        else:
            joint = ResidualObjective(ConstrainedWhitened(engine.residual.products, self.contrast, held), False)
            start = np.concatenate([start, self.delta])
            model = minimise(joint, start, ENOUGH, 1000, certify=False).model
            self.current, self.delta = joint.split(model.phi)
            objective = joint.held(self.delta)
        zeta = np.sqrt(max(model.value - self.smallest, 0.0)) * np.sign(value - self.estimate)
        q, p = objective.products.n_dense, objective.products.n_fixed
        free = -model.factor.coefficients[q : q + p]
        beta = engine.products.user_fixed_effects(self.constraint.basis @ free + held * self.constraint.direction)
        sigma = float(np.sqrt(model.factor.rss / objective.residual_df)) / engine.products.response_scale
        natural = self.natural(self.current, sigma)
        if engine.residual is not None:
            natural = np.append(natural, engine.residual.model.natural(self.delta))
        return ProfilePoint(value, float(zeta), np.concatenate([natural, beta]))


@checked_methods
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Profile:
    """Profiles of the parameters of a model.

    Attributes
    ----------
    names : tuple of str
        All parameters: standard deviations and correlations of the random effects, ``sigma``, those of a residual structure, then
        the fixed effects.
    profiled : tuple of str
        Those that were profiled.
    estimates : ndarray
        Maximum likelihood estimates, in the order of `names`.
    points : dict of str to tuple of ProfilePoint
        For each profiled parameter, its points by increasing value.
    bounds : dict of str to (float, float)
        The smallest and the largest value that each profiled parameter can have.
    """

    names: tuple[str, ...]
    profiled: tuple[str, ...]
    estimates: FloatArray
    points: dict[str, tuple[ProfilePoint, ...]]
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the estimates and the ends of 95 % intervals."""
        count = sum(len(points) for points in self.points.values())
        intervals = self.confint()
        intervals.insert(0, "estimate", [self.estimates[self.names.index(name)] for name in self.profiled])
        return f"Profile likelihood: {count} points\n{intervals.to_string()}"

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each refit: ``parameter``, ``value``, ``zeta``, and the estimate of every parameter there."""
        import pandas as pd

        rows = []
        for name in self.profiled:
            for point in self.points[name]:
                rows.append([name, point.value, point.zeta, *point.parameters])
        return pd.DataFrame(rows, columns=distinct(["parameter", "value", "zeta", *self.names]))

    def confint(self, level: Level = 0.95) -> pd.DataFrame:
        """Return intervals: where the curve of ζ through the points reaches the quantiles of the normal distribution.

        An end that the profile does not reach is the bound of the parameter (0 or ±1), or NaN where it has none.
        """
        import pandas as pd
        from scipy.special import ndtri

        z = float(ndtri(0.5 + level / 2))
        rows = []
        for name in self.profiled:
            value, zeta = rising_points(self.points[name])
            # In units that are a power of two: cubes of very large or small values cannot be represented.
            unit = float(np.ldexp(1.0, int(np.frexp(np.abs(value).max())[1])))
            # One point alone has no curve, and reaches nothing.
            ends = (
                [zeta_curve(value / unit, zeta).solve(end, extrapolate=False) for end in (-z, z)]
                if value.size > 1
                else [np.empty(0), np.empty(0)]
            )
            low, high = (unit * float(end[0]) if len(end) else np.nan for end in ends)
            smallest, largest = self.bounds.get(name, (-np.inf, np.inf))
            if np.isnan(low) and np.isfinite(smallest):
                low = smallest
            if np.isnan(high) and np.isfinite(largest):
                high = largest
            rows.append((low, high))
        return pd.DataFrame(rows, index=list(self.profiled), columns=["conf_low", "conf_high"])


def _tracers(
    fit: LinearMixedModel, which: str | Sequence[str] | None
) -> tuple[list[str], FloatArray, dict[str, _Tracer]]:
    """Return all names, the maximum likelihood estimates, and a tracer for each parameter asked for."""
    ml = fit if not fit.reml else fit.update(reml=False)
    engine = ml._engine
    natural = NaturalDeviance.of(engine.objective, scaled=True)
    deviance: _Deviance = natural
    if engine.residual is not None:
        deviance = ResidualNaturalDeviance.of(engine.residual.products, scaled=True)
    labels = ParameterLabels.of(ml)
    # in the order of the deviance's parameters, the fixed effects behind them
    names = [*labels.random, *labels.fixed]
    parts = {"random": list(labels.random), "fixed": list(labels.fixed)}
    wanted = names if which is None else parts.get(which, [which]) if isinstance(which, str) else list(which)
    for name in wanted:
        if name not in names:
            raise DataError(
                f"There is no parameter {name!r} to profile; there are {', '.join(names)},"
                " and 'random' and 'fixed' for all of a part."
            )
    best = natural.values_of(engine.term_factors(), engine.sigma) / natural.units
    if isinstance(deviance, ResidualNaturalDeviance) and engine.residual is not None:
        best = np.concatenate([best, deviance.limited(engine.residual.delta)])
    smallest = engine.criterion
    products = engine.products

    def natural_of(phi: FloatArray, sigma: float) -> FloatArray:
        parameters = products.plan.parameters
        factors = [
            term.user_factor(phi[place]) for term, place in zip(parameters.terms, parameters.slices(), strict=True)
        ]
        return natural.values_of(factors, sigma)

    errors = engine.sigma * np.sqrt(np.diag(engine.unscaled_vcov))
    tracers: dict[str, _Tracer] = {}
    for name in wanted:
        at = names.index(name)
        if at < len(deviance.parameters):
            tracers[name] = _CovarianceTracer(deviance, best, smallest, at, products.user_fixed_effects)
        else:
            j = at - len(deviance.parameters)
            tracers[name] = _FixedTracer(engine, smallest, j, float(errors[j]), natural_of)
    estimates = [deviance.reported(best), engine.beta]
    return names, np.concatenate(estimates), tracers


@checked
def profile(
    fit: LinearMixedModel,
    which: str | Sequence[str] | None = None,
    *,
    level: Level = 0.99,
    points: Count = 8,
    progress: bool = False,
) -> Profile:
    """Profile the likelihood of a model.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model; one by REML is refitted by maximum likelihood, as in R.
    which : str or sequence of str, optional
        Names of the parameters to profile, by default all: ``sd_…|group``, ``cor_…|group``, ``sigma``, ``sd_ratio_…`` and ``rho``
        of a residual structure, and the fixed effects; ``"random"`` or ``"fixed"`` for all of one part (R's ``"theta_"`` and
        ``"beta_"``).
    level : float
        The profile goes out to where an interval of this confidence level would end.
    points : int
        Points on each side of the estimate.
    progress : bool
        Whether to show a progress bar, a step for each parameter.

    Returns
    -------
    Profile
        The points, for intervals and for plots of ζ.

    Raises
    ------
    DataError
        There is no parameter of that name.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"), reml=False)
    >>> ml.profile(fit).confint().round(2).loc["sigma"].tolist()
    [38.23, 67.66]
    """
    from scipy.special import ndtri

    names, estimates, tracers = _tracers(fit, which)
    furthest = float(ndtri(0.5 + level / 2))
    found: dict[str, tuple[ProfilePoint, ...]] = {}
    with linear_algebra_threads(fit._engine.products.dense.shape[0], None):
        for name, tracer in shown(tracers.items(), len(tracers), progress):
            centre = ProfilePoint(tracer.estimate, 0.0, estimates)
            sides = [_walk(tracer, sign, furthest, points) for sign in (-1.0, 1.0)]
            held = (*reversed(sides[0]), centre, *sides[1])
            found[name] = tuple(replace(point, value=tracer.reported(point.value)) for point in held)
    bounds = {name: (tracer.reported(tracer.low), tracer.reported(tracer.high)) for name, tracer in tracers.items()}
    return Profile(tuple(names), tuple(tracers), estimates, found, bounds)


def shown(items: Iterable[tuple[str, _Tracer]], total: int, progress: bool) -> Iterable[tuple[str, _Tracer]]:
    """Return the items, with a progress bar where asked for."""
    if not progress:
        return items
    from tqdm.auto import tqdm

    bar: Iterable[tuple[str, _Tracer]] = tqdm(items, total=total, desc="profile")
    return bar


def _walk(tracer: _Tracer, sign: float, furthest: float, points: int) -> list[ProfilePoint]:
    """Go outwards in steps of about equal ζ until it is reached or the parameter's bound is."""
    tracer.restart()
    bound = tracer.low if sign < 0 else tracer.high
    target = furthest / points
    previous = ProfilePoint(tracer.estimate, 0.0, np.empty(0))
    step = tracer.step * target
    found: list[ProfilePoint] = []
    for _ in range(4 * points):
        value = previous.value + sign * step
        if sign * (value - bound) >= 0 or not np.isfinite(value):
            value = bound
        if value == previous.value:
            break
        if value == bound and bound != 0.0:
            # A correlation of ±1 is approached, not reached.
            value = previous.value + 0.9 * (bound - previous.value)
            if abs(bound - value) < 1e-4:
                break
        point = tracer.point(value)
        found.append(point)
        if abs(point.zeta) >= furthest or value == bound:
            break
        rise = abs(point.zeta) - abs(previous.zeta)
        step = abs(value - previous.value) * np.clip(target / max(rise, 1e-3), 0.2, 3.0)
        previous = point
    return found


def profile_interval(
    fit: LinearMixedModel, which: str | Sequence[str] | None = None, *, level: float = 0.95
) -> pd.DataFrame:
    """Return profile likelihood intervals, each end found as the root of |ζ| = normal quantile.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model; one by REML is refitted by maximum likelihood, as in R.
    which : str or sequence of str, optional
        Names of the parameters, ``"random"`` or ``"fixed"``; by default all.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        ``conf_low`` and ``conf_high`` by parameter. An end that the deviance never reaches is the parameter's bound (0 for a
        standard deviation, ±1 for a correlation).
    """
    import pandas as pd
    from scipy.special import ndtri

    z = float(ndtri(0.5 + level / 2))
    _, _, tracers = _tracers(fit, which)
    with linear_algebra_threads(fit._engine.products.dense.shape[0], None):
        rows = [[tracer.reported(_root(tracer, sign, z)) for sign in (-1.0, 1.0)] for tracer in tracers.values()]
    return pd.DataFrame(rows, index=list(tracers), columns=["conf_low", "conf_high"])


def _root(tracer: _Tracer, sign: float, z: float) -> float:
    """Return the value on one side at which |ζ| = z, or the parameter's bound."""
    tracer.restart()
    bound = tracer.low if sign < 0 else tracer.high
    inside, outside = (tracer.estimate, 0.0), None
    value = tracer.estimate + sign * tracer.step * z
    for _ in range(60):
        if sign * (value - bound) >= 0:
            if bound == 0.0:
                value = 0.0
            else:
                value = inside[0] + 0.9 * (bound - inside[0])
                if abs(bound - value) < 1e-6:
                    return bound
        zeta = abs(tracer.point(value).zeta)
        if abs(zeta - z) < ROOT_TOLERANCE:
            return value
        if zeta > z:
            outside = (value, zeta)
        else:
            if value == bound:
                return bound
            inside = (value, zeta)
        if outside is None:
            # ζ is close to a straight line through the estimate.
            value = tracer.estimate + (value - tracer.estimate) * min(z / max(zeta, 0.2 * z), 3.0) * 1.0001
            continue
        share = (z - inside[1]) / (outside[1] - inside[1])
        guess = inside[0] + share * (outside[0] - inside[0])
        width = outside[0] - inside[0]
        value = guess if 0.001 < share < 0.999 else inside[0] + 0.5 * width
        if abs(width) <= 1e-12 * max(abs(value), 1e-300):
            return value
    return value
