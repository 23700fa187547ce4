"""From a design to a certified optimum."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.engine.control import LmerControl, check_start
from multilevel.engine.exact_fit import SUSPECT, may_be_exact, refuse_exact_fit
from multilevel.engine.factor import BlockedFactor
from multilevel.engine.identification import (
    FLAT_CURVATURE,
    FLAT_SHARE,
    SEARCHED,
    Direction,
    OtherOptimum,
    directions_of_structure,
    flat_directions,
    is_flat,
    parameter_scale,
    returns_elsewhere,
    unseen_directions,
    valley,
)
from multilevel.engine.library_optimisers import minimise_by_library
from multilevel.engine.newton import (
    CERTIFIED_DECREASE,
    EXACT_HESSIAN_LIMIT,
    NO_END,
    OPTIMUM,
    Search,
    expected_decrease,
    minimise,
)
from multilevel.engine.objective import Criterion, LocalModel, Objective, attempted
from multilevel.engine.products import CrossProducts, cross_products_of
from multilevel.engine.residual_objective import ResidualObjective
from multilevel.engine.second_search import MOST_AGAIN, further_starts, lower_end, nearly_zero
from multilevel.engine.signal import warn_of_lost_digits
from multilevel.engine.single_factor import CURVATURE_TOLERANCE
from multilevel.engine.solutions import conditional_modes
from multilevel.engine.start import starting_values
from multilevel.engine.threads import linear_algebra_threads
from multilevel.engine.whitening import ResidualModel, WhitenedProducts
from multilevel.errors import ControlError, ConvergenceWarning, DataError, NotIdentifiedWarning
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]
Describe = Callable[[CrossProducts, tuple[Direction, ...]], str]
"""What says in the terms of a formula what is not determined, and what to drop; an empty text where that was asked for."""

SINGULAR_TOLERANCE = 1e-4
"""A pivot of λ below this (in the engine's columns) makes a fit singular, as in lme4."""

LARGE_START = 1e4
"""Starting values of φ above this must be better than a rough guess."""


@dataclass(frozen=True, repr=False)
class Convergence:
    """How a fit ended, judged by exact derivatives.

    Attributes
    ----------
    status : str
        ``"converged"``, ``"singular"`` (converged with a covariance matrix on the boundary), ``"not identified"`` (at an optimum
        of covariance parameters that the data do not determine) or ``"not converged"``.
    message : str
        What ended the search.
    optimizer : str
        Which optimiser was used.
    evaluations : int
        Evaluations of the criterion.
    gradient : ndarray
        Exact gradient of the criterion at the end, in the engine's scaled columns.
    expected_decrease : float
        How much lower a Newton step would take the criterion, ½ gᵀH⁻¹g.
    trace : tuple of float
        The criterion along the way.
    directions : tuple of Direction
        Where the fit is not identified, the changes of covariances that the criterion does not see.
    others : tuple of OtherOptimum
        Another of the equally good optima for each direction in which there are some.
    """

    status: str
    message: str
    optimizer: str
    evaluations: int
    gradient: FloatArray
    expected_decrease: float
    trace: tuple[float, ...]
    _model: LocalModel
    _objective: Criterion
    directions: tuple[Direction, ...] = ()
    others: tuple[OtherOptimum, ...] = ()

    @property
    def gradient_norm(self) -> float:
        """Largest absolute element of the exact gradient."""
        return float(np.abs(self.gradient).max())

    @functools.cached_property
    def hessian(self) -> FloatArray:
        """Exact Hessian of the criterion in the engine's parameters; worked out on first access where it is expensive."""
        return _exact_hessian(self._objective, self._model)

    @functools.cached_property
    def smallest_hessian_eigenvalue(self) -> float:
        """Smallest eigenvalue of the exact Hessian: not negative at a minimum."""
        return float(np.linalg.eigvalsh(self.hessian)[0])

    def _inverse_of(self, hessian: FloatArray) -> FloatArray:
        """Return an inverse of the Hessian, or of one with more parameters, that leaves out directions without curvature."""
        if not self.directions:
            return np.asarray(np.linalg.pinv(hessian, rcond=1e-10, hermitian=True), dtype=np.float64)
        # Whatever inverse it is of a matrix that has none, what is determined has the same variance.
        parameters = self._objective.products.plan.parameters
        scale = np.ones(len(hessian))
        scale[: parameters.n_theta] = parameter_scale(parameters, self._model.phi[: parameters.n_theta])
        values, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
        curved = values > max(FLAT_CURVATURE, FLAT_SHARE * float(values[-1]))
        directions = scale[:, None] * vectors[:, curved]
        return np.asarray((directions / values[curved]) @ directions.T, dtype=np.float64)

    @property
    def converged(self) -> bool:
        """Whether the fit is at an optimum, be it on the boundary or one of many."""
        return self.status != "not converged"

    def __repr__(self) -> str:
        """Return the facts in one line."""
        return (
            f"Convergence(status={self.status!r}, optimizer={self.optimizer!r}, evaluations={self.evaluations}, "
            f"gradient_norm={self.gradient_norm:.3g}, expected_decrease={self.expected_decrease:.3g})"
        )


def _exact_hessian(objective: Criterion, model: LocalModel) -> FloatArray:
    if not model.exact:
        with linear_algebra_threads(objective.products.dense.shape[0], None):
            model = objective.local_model(model.phi, factor=model.factor, exact=True)
    model.hessian.flags.writeable = False
    return model.hessian


def certify(
    objective: Criterion,
    search: Search,
    optimizer: str,
    singular: bool,
    directions: tuple[Direction, ...] | None = None,
) -> Convergence:
    """Judge the end of a search by its exact gradient and, where that is affordable, its exact Hessian.

    `directions` are those that the criterion does not see, where they are known already.
    """
    model = search.model
    decrease = expected_decrease(model)
    optimal = decrease <= CERTIFIED_DECREASE
    if optimal:
        exact = model.exact or objective.products.n_dense <= EXACT_HESSIAN_LIMIT
        curvature = np.linalg.eigvalsh(_exact_hessian(objective, model) if exact else model.hessian)
        # Along a valley of equal optima the curvature is zero up to about the gradient that rounding leaves.
        allowed = max(CURVATURE_TOLERANCE * max(1.0, float(curvature[-1])), 10.0 * float(np.abs(model.gradient).max()))
        optimal = not exact or bool(curvature[0] >= -allowed)
    others: tuple[OtherOptimum, ...] = ()
    if optimal and (directions is not None or is_flat(curvature)):
        directions, others = _not_identified(objective, model, directions)
    else:
        directions = ()
    status = ("singular" if singular else "converged") if optimal else "not converged"
    message = search.message if optimal else unconfirmed(search.message, optimizer)
    model.gradient.flags.writeable = False
    return Convergence(
        "not identified" if directions else status,
        message,
        optimizer,
        search.evaluations,
        model.gradient,
        decrease,
        search.trace,
        model,
        objective,
        directions,
        others,
    )


def _not_identified(
    objective: Criterion, model: LocalModel, directions: tuple[Direction, ...] | None
) -> tuple[tuple[Direction, ...], tuple[OtherOptimum, ...]]:
    """Return what the criterion does not see, and equally good optima, where structure or curvature give reason to look."""
    if isinstance(objective, ResidualObjective):
        phi, delta = objective.split(model.phi)
        scale = parameter_scale(objective.held(delta).parameters, phi)
        flat = flat_directions(model, np.concatenate([scale, np.ones(delta.size)]))
        moved, found = [], []
        for end in returns_elsewhere(objective, model, flat):
            change = _moved(objective, model.factor, end.factor)
            if not change.residual and not any(part.any() for part in change.changes):
                # Only the residual's correlation is another, where correlations over the data's times are the same.
                continue
            values = objective.whitened.model.natural(objective.split(end.phi)[1])
            found.append(_other_optimum(objective.products, end.factor, objective.reml, values))
            moved.append(change)
        return tuple(moved), tuple(found)
    if not isinstance(objective, Objective):
        return (), ()
    if directions is None:
        if not flat_directions(model, parameter_scale(objective.parameters, model.phi)).size:
            return (), ()
        directions = unseen_directions(objective, model.phi)
    directions, ends = valley(objective, model, directions)
    return directions, tuple(_other_optimum(objective.products, end, objective.reml, np.empty(0)) for end in ends)


def _moved(objective: ResidualObjective, one: BlockedFactor, other: BlockedFactor) -> Direction:
    """Return the change of the covariances from one optimum to another."""
    parameters = objective.whitened.basis.plan.parameters
    ratio = other.rss / one.rss
    own, theirs = (parameters.covariances(factor.factors) for factor in (one, other))
    changes = (ratio * b - a for a, b in zip(own, theirs, strict=True))
    sizes = (np.maximum(1.0, a.max()) for a in own)
    moved = tuple(np.where(np.abs(c) > SEARCHED * size, c, 0.0) for c, size in zip(changes, sizes, strict=True))
    return Direction(moved, ratio - 1.0 if abs(ratio - 1.0) > SEARCHED else 0.0)


def _other_optimum(products: CrossProducts, factor: BlockedFactor, reml: bool, residual: FloatArray) -> OtherOptimum:
    beta, sigma = _estimates(products, factor, reml)
    return OtherOptimum(factor.factors, residual, beta, sigma, fixed_covariance(factor))


def _estimates(products: CrossProducts, factor: BlockedFactor, reml: bool) -> tuple[FloatArray, float]:
    """Return the fixed effects and σ of a factorised problem."""
    q, p = products.n_dense, products.n_fixed
    sigma = float(np.sqrt(factor.rss / factor.residual_df(reml))) / products.response_scale
    return products.user_fixed_effects(-factor.coefficients[q : q + p]), sigma


def unconfirmed(message: str, optimizer: str) -> str:
    """Return why a search ended whose end is no optimum: that an optimiser believes in it is its own opinion."""
    if optimizer != "newton":
        return f"{optimizer} stopped with: {message.rstrip('.')}"
    return "the search found no lower point near by" if message == OPTIMUM else message


@dataclass(frozen=True, slots=True)
class ResidualFit:
    """The estimated residual structure.

    Attributes
    ----------
    products
        The cross-products as a function of the residual parameters.
    delta
        The residual parameters as the engine has them.
    values
        As users see them: standard deviations of the strata after the first relative to it, then ρ.
    """

    products: WhitenedProducts
    delta: FloatArray
    values: FloatArray

    @property
    def model(self) -> ResidualModel:
        """The map of the parameters."""
        return self.products.model


@dataclass(frozen=True, slots=True)
class EngineFit:
    """An optimum carried back to the user's columns and units.

    Attributes
    ----------
    objective
        The criterion that was minimised.
    model
        The criterion, its derivatives and the factor at the optimum.
    theta
        The user's covariance parameters, in the order of the plan's terms.
    criterion
        The REML criterion or the deviance at the optimum.
    beta
        Fixed effects.
    sigma
        Residual standard deviation.
    unscaled_vcov
        Covariance of the fixed effects divided by σ².
    singular
        Whether a covariance matrix is on the boundary.
    convergence
        The certificate.
    residual
        The residual structure, or None. Then `objective` and `model` are those with the residual parameters held at their
        estimates, while the certificate is of all parameters together.
    """

    objective: Objective
    model: LocalModel
    theta: FloatArray
    criterion: float
    beta: FloatArray
    sigma: float
    unscaled_vcov: FloatArray
    singular: bool
    convergence: Convergence
    residual: ResidualFit | None = None

    @property
    def n_variance_parameters(self) -> int:
        """Number of covariance parameters, those of the residuals and σ among them."""
        return int(self.theta.size) + 1 + (0 if self.residual is None else int(self.residual.values.size))

    @property
    def products(self) -> CrossProducts:
        """The cross-products of the design."""
        return self.objective.products

    def term_factors(self) -> list[FloatArray]:
        """Return λ of every term in the user's columns, in the order of θ."""
        parameters = self.products.plan.parameters
        return [
            term.user_factor(self.model.phi[place])
            for term, place in zip(parameters.terms, parameters.slices(), strict=True)
        ]

    def conditional_modes(self) -> list[FloatArray]:
        """Return the conditional modes of every term's random effects, shape (levels, k), in the order of θ."""
        return conditional_modes(self.model.factor)


def is_singular(objective: Criterion, phi: FloatArray, tolerance: float = SINGULAR_TOLERANCE) -> bool:
    """Return whether a pivot of some λ is below the tolerance."""
    parameters = objective.products.plan.parameters
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        if np.abs(np.diag(term.factor(phi[place]))).min() < tolerance:
            return True
    return False


def fit_of_design(design: Design, reml: bool, control: LmerControl, describe: Describe | None = None) -> EngineFit:
    """Minimise the criterion of a design and certify the result; warn where it cannot be certified.

    With `describe` there is a warning too where the data do not determine the covariance parameters, before the search if the
    structure of the design shows it.

    Raises
    ------
    DataError
        There is no residual variance to estimate.
    """
    check = partial(_check_residual, design)
    products = cross_products_of(design) if design.residual is None else None
    try:
        if products is not None:
            return _fit_from(products, reml, control, _starts(products, control), describe, check)
        return _fit_whitened(design, reml, control, describe, check)
    except DataError:
        # What is wrong with the response says more than what it came to in the search.
        refuse_exact_fit(design)
        raise


def _check_residual(design: Design, result: EngineFit) -> None:
    """Refuse a fit that did not arrive, or whose residual variance is tiny, if there is none in the rows."""
    if not result.convergence.converged or result.sigma < SUSPECT * float(np.sqrt(np.mean(design.y**2))):
        refuse_exact_fit(design)


def _fit_whitened(
    design: Design, reml: bool, control: LmerControl, describe: Describe | None, check: Callable[[EngineFit], None]
) -> EngineFit:
    whitened = WhitenedProducts(design)
    objective = ResidualObjective(whitened, reml)
    delta = whitened.model.start()
    products = whitened.at(delta)
    if may_be_exact(products):
        # Correlations that run to one would hide it, after a long search.
        refuse_exact_fit(design)
    starts = [np.concatenate([start, delta]) for start in _starts(products, control)]
    with linear_algebra_threads(products.dense.shape[0], control.threads):
        search = _search(objective, starts, control)
        phi, delta = objective.split(search.model.phi)
        inner = objective.held(delta)
        singular = is_singular(inner, phi)
        convergence = certify(objective, search, control.optimizer, singular)
    m = phi.size
    joint = search.model
    model = LocalModel(phi, joint.value, joint.gradient[:m], joint.hessian[:m, :m], joint.exact, joint.factor)
    residual = ResidualFit(whitened, delta, whitened.model.natural(delta))
    result = replace(finish(inner, model, singular, convergence), residual=residual)
    check(result)
    _warn(result, describe)
    return result


def fit_products(
    products: CrossProducts, reml: bool, control: LmerControl, describe: Describe | None = None
) -> EngineFit:
    """Minimise the criterion of given cross-products and certify the result; warn as `fit_of_design` does."""
    return _fit_from(products, reml, control, _starts(products, control), describe)


def fit_products_from(products: CrossProducts, reml: bool, control: LmerControl, start: FloatArray) -> EngineFit:
    """Minimise the criterion from a given φ, and certify the result."""
    return _fit_from(products, reml, control, [start])


def _fit_from(
    products: CrossProducts,
    reml: bool,
    control: LmerControl,
    starts: list[FloatArray],
    describe: Describe | None = None,
    check: Callable[[EngineFit], None] | None = None,
) -> EngineFit:
    objective = Objective(products, reml)
    with linear_algebra_threads(products.dense.shape[0], control.threads):
        directions = directions_of_structure(objective)
        _warn_of(products, directions, describe)
        search = _search(objective, starts, control)
        singular = is_singular(objective, search.model.phi)
        convergence = certify(objective, search, control.optimizer, singular, directions)
    result = finish(objective, search.model, singular, convergence)
    if check is not None:
        check(result)
    _warn(result, None if directions else describe)
    return result


def _starts(products: CrossProducts, control: LmerControl) -> list[FloatArray]:
    """Return the φ that the user's theta gives, or a rough guess and the further starts that its structures ask for."""
    parameters = products.plan.parameters
    if control.start is None:
        guess = starting_values(products)
        return [guess, *parameters.other_starts(guess)]
    check_start(control.start, parameters.n_theta)
    start = parameters.from_user(np.asarray(control.start))
    if not np.abs(start).max(initial=0.0) < LARGE_START and not _is_lower(products, start, starting_values(products)):
        raise ControlError(
            f"start has values as large as {np.abs(control.start).max():.2g}, and these data have no random effects so much"
            " larger than the residuals: out there the criterion is flat and has few digits; start from smaller values."
        )
    return [start]


def _is_lower(products: CrossProducts, start: FloatArray, guess: FloatArray) -> bool:
    """Return whether the deviance at a far start is below that at a rough guess; where it cannot be had it is not."""
    objective = Objective(products, False)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return objective.value(start) < objective.value(guess)
    except DataError:
        return False


def _search(objective: Criterion, starts: list[FloatArray], control: LmerControl) -> Search:
    """Search from every start (there are several where there can be several minima) and return the lowest end.

    Where the end may be no more than a local minimum, searches by Newton's method from elsewhere give a second opinion.
    """
    best: Search | None = None
    evaluations = 0
    for start in starts:
        try:
            if control.optimizer == "newton":
                search = minimise(objective, start, control.tolerance, control.max_evaluations)
            else:
                search = minimise_by_library(objective, start, control)
        except DataError as error:
            if control.start is None:
                raise
            objective.value(np.zeros_like(start))  # where the data are at fault, they are so here
            given = ", ".join(f"{value:g}" for value in control.start)
            raise ControlError(f"No search can begin at start={given}; choose values nearer to 1.") from error
        evaluations += search.evaluations
        best = search if best is None else lower_end(best, search)
    assert best is not None  # there is one start at least
    doubtful = is_singular(objective, best.model.phi) or (
        nearly_zero(objective, starts[0], best.model.phi) and expected_decrease(best.model) <= CERTIFIED_DECREASE
    )
    if doubtful:
        left = min(control.max_evaluations - evaluations, MOST_AGAIN)
        for start in further_starts(objective, best.model.phi):
            if left > 0 and attempted(objective, start)[0] is not None:
                search = minimise(objective, start, control.tolerance, left)
                left -= search.evaluations
                evaluations += search.evaluations
                if left <= 0 and evaluations < control.max_evaluations:
                    search = replace(search, message=NO_END)
                best = lower_end(best, search)
    return replace(best, evaluations=evaluations)


def _warn(result: EngineFit, describe: Describe | None) -> None:
    convergence = result.convergence
    if not convergence.converged:
        if convergence.expected_decrease > CERTIFIED_DECREASE:
            why = f"a Newton step would lower the criterion by {convergence.expected_decrease:.2g}"
        else:
            why = "the exact Hessian has a direction of negative curvature"
        warn_caller(
            f"The fit is not at an optimum: {why} after {convergence.evaluations} evaluations ({convergence.message}).",
            ConvergenceWarning,
        )
    _warn_of(result.products, convergence.directions, describe)
    factor = result.model.factor
    warn_of_lost_digits(factor.rss, float(factor.products.dense[-1, -1]))


def _warn_of(products: CrossProducts, directions: tuple[Direction, ...] | None, describe: Describe | None) -> None:
    text = describe(products, directions) if directions and describe is not None else ""
    if text:
        warn_caller(text, NotIdentifiedWarning)


def finish(objective: Objective, model: LocalModel, singular: bool, convergence: Convergence) -> EngineFit:
    """Carry an optimum back to the user's columns."""
    products, factor = objective.products, model.factor
    beta, sigma = _estimates(products, factor, objective.reml)
    unscaled = fixed_covariance(factor)
    theta = products.plan.parameters.to_user(model.phi)
    return EngineFit(objective, model, theta, model.value, beta, sigma, unscaled, singular, convergence)


def fixed_covariance(factor: BlockedFactor) -> FloatArray:
    """Return the covariance of the fixed effects divided by σ², in the user's columns."""
    products = factor.products
    q, p = products.n_dense, products.n_fixed
    if p == 0:
        return np.zeros((0, 0))
    # The last p rows of the bordered inverse are those of X.
    half = products.fixed.to_user() @ np.linalg.inv(np.tril(factor.cholesky[q:, q:])).T
    result: FloatArray = half @ half.T
    return result
