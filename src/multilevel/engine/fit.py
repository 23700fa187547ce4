"""From a design to a certified optimum."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.engine.control import LmerControl
from multilevel.engine.factor import BlockedFactor
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
from multilevel.engine.related_levels import relate_rows
from multilevel.engine.residual_objective import ResidualObjective
from multilevel.engine.second_search import MOST_AGAIN, further_starts, lower_end, nearly_zero
from multilevel.engine.single_factor import CURVATURE_TOLERANCE
from multilevel.engine.solutions import chain_scores
from multilevel.engine.start import starting_values
from multilevel.engine.threads import linear_algebra_threads
from multilevel.engine.whitening import ResidualModel, WhitenedProducts
from multilevel.errors import ControlError, ConvergenceWarning
from multilevel.formula.design import Design

FloatArray = npt.NDArray[np.float64]

SINGULAR_TOLERANCE = 1e-4
"""A pivot of λ below this (in the engine's columns) makes a fit singular, as in lme4."""


@dataclass(frozen=True, repr=False)
class Convergence:
    """How a fit ended, judged by exact derivatives.

    Attributes
    ----------
    status : str
        ``"converged"``, ``"singular"`` (converged with a covariance matrix on the boundary) or ``"not converged"``.
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

    @property
    def converged(self) -> bool:
        """Whether the fit is at an optimum, on the boundary or not."""
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


def certify(objective: Criterion, search: Search, optimizer: str, singular: bool) -> Convergence:
    """Judge the end of a search by its exact gradient and, where that is affordable, its exact Hessian."""
    model = search.model
    decrease = expected_decrease(model)
    optimal = decrease <= CERTIFIED_DECREASE
    if optimal and (model.exact or objective.products.n_dense <= EXACT_HESSIAN_LIMIT):
        curvature = np.linalg.eigvalsh(_exact_hessian(objective, model))
        # Along a valley of equal optima the curvature is zero up to about the gradient that rounding leaves.
        allowed = max(CURVATURE_TOLERANCE * max(1.0, float(curvature[-1])), 10.0 * float(np.abs(model.gradient).max()))
        optimal = bool(curvature[0] >= -allowed)
    status = ("singular" if singular else "converged") if optimal else "not converged"
    message = search.message if optimal else unconfirmed(search.message, optimizer)
    model.gradient.flags.writeable = False
    return Convergence(
        status, message, optimizer, search.evaluations, model.gradient, decrease, search.trace, model, objective
    )


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
        products = self.products
        plan = products.plan
        _, effects = chain_scores(self.model.factor)
        found = []
        dense = -self.model.factor.coefficients
        for term in plan.parameters.terms:
            block = plan.blocks[term.block]
            values = products.rows_of(term.block, effects, dense)
            if block.factor.relation is not None:
                values = relate_rows(block.factor.relation.lower, values, block.size, transpose=False)
            own = values.reshape(block.n_levels, block.size)[:, term.offset : term.offset + term.structure.size]
            found.append(own @ term.to_user.T / products.response_scale)
        return found


def is_singular(objective: Criterion, phi: FloatArray, tolerance: float = SINGULAR_TOLERANCE) -> bool:
    """Return whether a pivot of some λ is below the tolerance."""
    parameters = objective.products.plan.parameters
    for term, place in zip(parameters.terms, parameters.slices(), strict=True):
        if np.abs(np.diag(term.factor(phi[place]))).min() < tolerance:
            return True
    return False


def fit_of_design(design: Design, reml: bool, control: LmerControl) -> EngineFit:
    """Minimise the criterion of a design and certify the result; warn where it cannot be certified."""
    if design.residual is None:
        return fit_products(cross_products_of(design), reml, control)
    whitened = WhitenedProducts(design)
    objective = ResidualObjective(whitened, reml)
    delta = whitened.model.start()
    products = whitened.at(delta)
    starts = [np.concatenate([start, delta]) for start in _starts(products, control)]
    with linear_algebra_threads(products.dense.shape[0], control.threads):
        search = _search(objective, starts, control)
        phi, delta = objective.split(search.model.phi)
        inner = objective.held(delta)
        singular = is_singular(inner, phi)
        convergence = certify(objective, search, control.optimizer, singular)
    _warn(convergence)
    m = phi.size
    joint = search.model
    model = LocalModel(phi, joint.value, joint.gradient[:m], joint.hessian[:m, :m], joint.exact, joint.factor)
    residual = ResidualFit(whitened, delta, whitened.model.natural(delta))
    return replace(finish(inner, model, singular, convergence), residual=residual)


def fit_products(products: CrossProducts, reml: bool, control: LmerControl) -> EngineFit:
    """Minimise the criterion of given cross-products and certify the result; warn where it cannot be certified."""
    return _fit_from(products, reml, control, _starts(products, control))


def fit_products_from(products: CrossProducts, reml: bool, control: LmerControl, start: FloatArray) -> EngineFit:
    """Minimise the criterion from a given φ, and certify the result."""
    return _fit_from(products, reml, control, [start])


def _fit_from(products: CrossProducts, reml: bool, control: LmerControl, starts: list[FloatArray]) -> EngineFit:
    objective = Objective(products, reml)
    with linear_algebra_threads(products.dense.shape[0], control.threads):
        search = _search(objective, starts, control)
        singular = is_singular(objective, search.model.phi)
        convergence = certify(objective, search, control.optimizer, singular)
    _warn(convergence)
    return finish(objective, search.model, singular, convergence)


def _starts(products: CrossProducts, control: LmerControl) -> list[FloatArray]:
    """Return the φ that the user's theta gives, or a rough guess and the further starts that its structures ask for."""
    parameters = products.plan.parameters
    if control.start is None:
        guess = starting_values(products)
        return [guess, *parameters.other_starts(guess)]
    if len(control.start) != parameters.n_theta:
        raise ControlError(
            f"start has {len(control.start)} values and theta has {parameters.n_theta}: give one for each."
        )
    return [parameters.from_user(np.asarray(control.start))]


def _search(objective: Criterion, starts: list[FloatArray], control: LmerControl) -> Search:
    """Search from every start (there are several where there can be several minima) and return the lowest end.

    Where the end may be no more than a local minimum, searches by Newton's method from elsewhere give a second opinion.
    """
    best: Search | None = None
    evaluations = 0
    for start in starts:
        if control.optimizer == "newton":
            search = minimise(objective, start, control.tolerance, control.max_evaluations)
        else:
            search = minimise_by_library(objective, start, control)
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


def _warn(convergence: Convergence) -> None:
    if convergence.converged:
        return
    if convergence.expected_decrease > CERTIFIED_DECREASE:
        why = f"a Newton step would lower the criterion by {convergence.expected_decrease:.2g}"
    else:
        why = "the exact Hessian has a direction of negative curvature"
    warn_caller(
        f"The fit is not at an optimum: {why} after {convergence.evaluations} evaluations ({convergence.message}).",
        ConvergenceWarning,
    )


def finish(objective: Objective, model: LocalModel, singular: bool, convergence: Convergence) -> EngineFit:
    """Carry an optimum back to the user's columns."""
    products, factor = objective.products, model.factor
    q, p = products.n_dense, products.n_fixed
    beta = products.user_fixed_effects(-factor.coefficients[q : q + p])
    unscaled = fixed_covariance(factor)
    sigma = float(np.sqrt(factor.rss / objective.residual_df)) / products.response_scale
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
