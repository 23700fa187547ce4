"""The tests whose power is wanted: of coefficients, of terms, of a smaller model, or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError, DataError, DataTypeError, FormulaError
from multilevel.formula.grammar import Formula
from multilevel.inference.degrees_of_freedom import METHODS, inference_basis
from multilevel.inference.hypotheses import term_hypotheses
from multilevel.inference.likelihood_ratio import as_ml, chisq_p_value
from multilevel.model.fitted import LinearMixedModel
from multilevel.simulation.replicates import Data, Source

FloatArray = npt.NDArray[np.float64]
TestFunction = Callable[[LinearMixedModel], Any]

METHOD_NAMES = {
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's method",
    "residual": "n − p degrees of freedom",
    "asymptotic": "the normal distribution",
}


class PowerTest(Protocol):
    """A test, or several."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What is tested."""

    @property
    def method(self) -> str:
        """By which method."""

    def apply(self, fit: LinearMixedModel, data: Data) -> FloatArray:
        """Return p-value and estimate of each test, shape (tests, 2); NaN where there is none."""


def two_sided(size: FloatArray, df: FloatArray) -> FloatArray:
    """Return the two-sided p-values of t statistics of some size; infinite degrees of freedom are the normal distribution."""
    from scipy.special import ndtr, stdtr

    finite = np.isfinite(df)
    return np.asarray(2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), -size), ndtr(-size)))


@dataclass(frozen=True, slots=True)
class CoefficientTest:
    """t tests of fixed effects."""

    labels: tuple[str, ...]
    ddf: str

    @property
    def method(self) -> str:
        """By which method."""
        return f"t tests with {METHOD_NAMES[self.ddf]}" if self.ddf != "asymptotic" else "Wald's z tests"

    def apply(self, fit: LinearMixedModel, data: Data) -> FloatArray:  # noqa: ARG002 - as the others
        """Return p-values and estimates; NaN for a coefficient that was dropped for rank."""
        names = fit._design.fixed_names
        places = [names.index(label) if label in names else -1 for label in self.labels]
        found = [place for place in places if place >= 0]
        result = np.full((len(places), 2), np.nan)
        basis = inference_basis(fit, self.ddf)
        estimates = fit._engine.beta[found]
        size = np.abs(estimates) / np.sqrt(np.diag(basis.vcov)[found])
        df = np.array([basis.degrees_of_freedom(row) for row in np.eye(len(names))[found]])
        result[np.array(places) >= 0] = np.column_stack([two_sided(size, df), estimates])
        return result


@dataclass(frozen=True, slots=True)
class TermTest:
    """F tests of terms, of type III."""

    labels: tuple[str, ...]
    ddf: str

    @property
    def method(self) -> str:
        """By which method."""
        if self.ddf == "asymptotic":
            return "χ² tests of type III"
        return f"F tests of type III with {METHOD_NAMES[self.ddf]}"

    def apply(self, fit: LinearMixedModel, data: Data) -> FloatArray:  # noqa: ARG002
        """Return p-values."""
        basis = inference_basis(fit, self.ddf)
        hypotheses = term_hypotheses(fit, 3)
        result = np.full((len(self.labels), 2), np.nan)
        for row, label in enumerate(self.labels):
            contrasts = hypotheses[fit._design.term_labels.index(label)]
            if len(contrasts):
                result[row, 0] = basis.f_test(contrasts, contrasts @ fit._engine.beta).p_value
        return result


@dataclass(frozen=True, slots=True)
class LikelihoodRatioTest:
    """The likelihood-ratio test against a smaller model."""

    source: Source
    reduced: Formula

    @property
    def labels(self) -> tuple[str, ...]:
        """What is tested."""
        return (f"against {self.reduced}",)

    @property
    def method(self) -> str:
        """By which method."""
        return "likelihood-ratio test, both models by maximum likelihood"

    def apply(self, fit: LinearMixedModel, data: Data) -> FloatArray:
        """Return the p-value."""
        full, small = as_ml(fit), self.source.fit_ml(self.reduced, data)
        df = full.n_parameters - small.n_parameters
        if df < 1:
            raise FormulaError(
                f"The reduced model '{self.reduced}' has {small.n_parameters} parameters and '{fit.formula}' has "
                f"{full.n_parameters}: it must be the smaller of the two."
            )
        return np.array([[chisq_p_value(max(0.0, 2.0 * (full.loglik - small.loglik)), df), np.nan]])


@dataclass(frozen=True, slots=True)
class OwnTest:
    """A user's test: a function from a fit to a p-value, or to several by name."""

    labels: tuple[str, ...]
    function: TestFunction

    @property
    def method(self) -> str:
        """By which method."""
        return f"p-values of {getattr(self.function, '__name__', 'a function')}()"

    def apply(self, fit: LinearMixedModel, data: Data) -> FloatArray:  # noqa: ARG002
        """Return the p-values."""
        found = own_p_values(self.function, fit)
        if tuple(found) != self.labels:
            raise DataError(
                f"The test returned p-values of {', '.join(found)}; at first it was {', '.join(self.labels)}."
            )
        return np.array([[value, np.nan] for value in found.values()])


def own_p_values(function: TestFunction, fit: LinearMixedModel) -> dict[str, float]:
    """Return what a user's test says, by name."""
    found = function(fit)
    if hasattr(found, "to_dict") and not isinstance(found, Mapping):
        found = found.to_dict()
    name = str(getattr(function, "__name__", "test")).replace("<lambda>", "test")
    values = dict(found) if isinstance(found, Mapping) else {name: found}
    result = {}
    for label, value in values.items():
        try:
            p_value = float(value)
        except (TypeError, ValueError, OverflowError):
            raise DataTypeError(
                f"A test must return a p-value, or a mapping of names to p-values, not {value!r}."
            ) from None
        if p_value < 0 or p_value > 1:
            raise DataTypeError(f"A test must return a p-value between 0 and 1, not {p_value:g}.")
        result[str(label)] = p_value
    return result


def make_tests(
    source: Source, pilot: LinearMixedModel, test: Any, reduced: str | Formula | None, ddf: str
) -> list[PowerTest]:
    """Say which tests are meant.

    Parameters
    ----------
    source
        Where data come from.
    pilot
        A fit of the model to some data.
    test
        Names of coefficients or of terms, or a function; None for all coefficients but the intercept.
    reduced
        The smaller model of a likelihood-ratio test, whole or as a change of the model's formula.
    ddf
        The method of t and F tests.
    """
    if ddf not in METHODS:
        raise ControlError(f"ddf must be one of {', '.join(repr(m) for m in METHODS)}, not {ddf!r}.")
    tests: list[PowerTest] = []
    if callable(test):
        return [OwnTest(tuple(own_p_values(test, pilot)), test)]
    names = pilot._design.fixed_names
    chosen: Sequence[str]
    if test is None:
        chosen = [] if reduced is not None else [name for name in names if name != "(Intercept)"]
        if not chosen and reduced is None:
            raise ControlError("The model has no fixed effect but the intercept; say which test by test= or reduced=.")
    elif isinstance(test, str):
        chosen = [test]
    elif isinstance(test, Sequence) and all(isinstance(name, str) for name in test):
        chosen = test
    else:
        raise DataTypeError(f"test must name coefficients or terms, or be a function of a fit, not {test!r}.")
    terms = pilot._design.term_labels
    unknown = [name for name in chosen if name not in names and name not in terms]
    if unknown:
        raise ControlError(
            f"There is no coefficient or term {unknown[0]!r} to test; the coefficients are {', '.join(names)}"
            + (f" and the terms {', '.join(terms)}." if terms else ".")
        )
    coefficients = tuple(dict.fromkeys(name for name in chosen if name in names))
    others = tuple(dict.fromkeys(name for name in chosen if name not in names))
    if coefficients:
        tests.append(CoefficientTest(coefficients, ddf))
    if others:
        tests.append(TermTest(others, ddf))
    if reduced is not None:
        tests.append(LikelihoodRatioTest(source, source.formula.update(reduced)))
    return tests
