"""Covariance matrices of random effects as a user states them: by standard deviations and correlations, or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.arrays import number_array
from multilevel.data.labels import distinct, term_groups
from multilevel.engine.parameters import lower_factor
from multilevel.engine.structures import lower_triangle
from multilevel.errors import ControlError, DataError, DataTypeError

FloatArray = npt.NDArray[np.float64]

SYMMETRY_TOLERANCE = 1e-10
"""Relative to the largest element: what a covariance matrix may lack of symmetry and of being positive semidefinite."""


@dataclass(frozen=True, slots=True)
class TermNames:
    """A random term by its names.

    Attributes
    ----------
    label
        The term as text, for example ``"1 + x | school"``.
    group
        Its grouping factor.
    names
        Its columns.
    structure
        Its covariance structure, as `RandomTerm` has it.
    """

    label: str
    group: str
    names: tuple[str, ...]
    structure: str = "unstructured"


def term_labels(terms: Sequence[TermNames]) -> list[str]:
    """Return the grouping factors of the terms as tables show them (see `multilevel.data.labels`)."""
    return term_groups([(term.group, term.names) for term in terms])


def factor_of(matrix: FloatArray, where: str) -> FloatArray:
    """Return the lower-triangular L with L Lᵀ the matrix; it may be singular."""
    size = float(np.abs(matrix).max(initial=0.0))
    if not np.isfinite(matrix).all() or np.abs(matrix - matrix.T).max(initial=0.0) > SYMMETRY_TOLERANCE * size:
        raise DataError(f"{where} the matrix must be symmetric and finite.")
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -SYMMETRY_TOLERANCE * max(size, 1e-300):
        raise DataError(
            f"{where} the matrix is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g}. No random effects "
            "have these variances and correlations."
        )
    if values[0] > SYMMETRY_TOLERANCE * size:
        return np.asarray(np.linalg.cholesky(matrix))
    return lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))


def correlation_factor(corr: Any, k: int, where: str) -> FloatArray:
    """Return the factor of a correlation matrix: given whole, as one number, or as the lower triangle by columns."""
    given = np.asarray(corr, dtype=np.float64)
    n_pairs = k * (k - 1) // 2
    matrix = np.eye(k)
    if given.ndim == 2:
        if given.shape != (k, k) or np.abs(np.diag(given) - 1.0).max() > SYMMETRY_TOLERANCE:
            raise DataError(f"{where} the correlation matrix must be {k} × {k} with ones on its diagonal.")
        matrix = given
    else:
        below = np.broadcast_to(given, n_pairs) if given.ndim == 0 else given
        if below.shape != (n_pairs,):
            raise DataError(f"{where} {k} columns have {n_pairs} correlations; {below.size} are given.")
        row, column = lower_triangle(k)
        pairs = row != column
        matrix[row[pairs], column[pairs]] = matrix[column[pairs], row[pairs]] = below
    if np.abs(matrix).max() > 1.0 + SYMMETRY_TOLERANCE:
        raise DataError(f"{where} a correlation is outside of −1 to 1.")
    return np.eye(k) if np.array_equal(matrix, np.eye(k)) else factor_of(matrix, where)


def term_factors(terms: Sequence[TermNames], given: Any) -> list[FloatArray]:
    """Return, for each term, the factor of its covariance matrix.

    Parameters
    ----------
    terms
        The terms.
    given
        By grouping factor, or by term as it stands in the formula (``"1 + x | school"``): a standard deviation, one for each
        column (a list, or a mapping by column), ``{"sd": …, "corr": …}``, ``{"cov": …}``, or a covariance matrix. Or the
        variance components of a fit. Terms that share a factor may be given together, by a list of standard deviations.

    Raises
    ------
    ControlError
        A term has no entry, or an entry no term.
    DataError
        Numbers are wrong in number or in value.
    """
    if hasattr(given, "terms"):
        return _from_components(terms, given)
    if not isinstance(given, Mapping):
        raise DataTypeError(
            f"random must be a mapping from grouping factors to standard deviations, not {type(given).__name__}."
        )
    left = {str(key): value for key, value in given.items()}
    found: dict[int, FloatArray] = {}
    for t, term in enumerate(terms):
        for key in (term.label, f"({term.label})"):
            if key in left:
                found[t] = _factor(left.pop(key), term)
    for group in dict.fromkeys(term.group for term in terms):
        own = [t for t, term in enumerate(terms) if term.group == group and t not in found]
        if not own or group not in left:
            continue
        value = left.pop(group)
        if len(own) == 1:
            found[own[0]] = _factor(value, terms[own[0]])
            continue
        names = tuple(distinct([name for t in own for name in terms[t].names]))
        whole = _factor(value, TermNames(f"… | {group}", group, names))
        at = 0
        for t in own:
            k = len(terms[t].names)
            found[t] = whole[at : at + k, at : at + k]
            whole[at : at + k, at : at + k] = 0.0
            at += k
        if whole.any():
            raise ControlError(
                f"random gives correlations for {group!r} between terms that have none; name the terms one by one: "
                f"{', '.join(repr(terms[t].label) for t in own)}."
            )
    missing = [term for t, term in enumerate(terms) if t not in found]
    if left:
        raise ControlError(
            f"random has an entry for {', '.join(map(repr, left))}, and the formula's random-effects terms are "
            f"{', '.join(repr(term.label) for term in terms) or 'none'}."
        )
    if missing:
        term = missing[0]
        raise ControlError(
            f"random has no entry for the term ({term.label}); give the standard deviations of {', '.join(term.names)}, as in "
            f"{{{term.group!r}: {'1' if len(term.names) == 1 else [1] * len(term.names)}}}."
        )
    return [found[t] for t in range(len(terms))]


def _from_components(terms: Sequence[TermNames], components: Any) -> list[FloatArray]:
    found = []
    rest = list(components.terms)
    for term in terms:
        own = [part for part in rest if part.group == term.group and tuple(part.names) == term.names]
        if not own:
            raise ControlError(f"The variance components have no term ({term.label}).")
        rest.remove(own[0])
        found.append(factor_of(np.asarray(own[0].covariance), f"For ({term.label})"))
    return found


def _factor(value: Any, term: TermNames) -> FloatArray:
    where = f"For the random-effects term ({term.label})"
    k = len(term.names)
    corr: Any = 0.0
    if isinstance(value, Mapping) and ("sd" in value or "cov" in value):
        unknown = [key for key in value if key not in ("sd", "corr", "cov")]
        if unknown or ("cov" in value and len(value) > 1):
            raise ControlError(f"{where} give 'sd' and 'corr', or 'cov' alone; there is {', '.join(map(repr, value))}.")
        if "cov" in value:
            return _covariance_factor(value["cov"], k, where)
        value, corr = value["sd"], value.get("corr", 0.0)
    if not isinstance(value, Mapping) and np.ndim(value) == 2:
        return _covariance_factor(value, k, where)
    sd = _deviations(value, term, where)
    return np.asarray(sd[:, None] * correlation_factor(corr, k, where))


def _covariance_factor(value: Any, k: int, where: str) -> FloatArray:
    matrix = number_array(value, f"{where} the covariance matrix")
    if matrix.shape != (k, k):
        raise DataError(f"{where} the covariance matrix must be {k} × {k}, not {' × '.join(map(str, matrix.shape))}.")
    return factor_of(matrix, where)


def _deviations(value: Any, term: TermNames, where: str) -> FloatArray:
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in term.names]
        absent = [name for name in term.names if name not in value]
        if unknown or absent:
            raise ControlError(
                f"{where} give a standard deviation for each of {', '.join(term.names)}; given are {', '.join(map(str, value))}."
            )
        value = [value[name] for name in term.names]
    try:
        sd = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError(f"{where} the standard deviations must be numbers, not {value!r}.") from None
    if sd.shape != (len(term.names),):
        raise DataError(
            f"{where} give a standard deviation for each of its {len(term.names)} columns ({', '.join(term.names)}), not {sd.size}."
        )
    if not (np.isfinite(sd) & (sd >= 0)).all():
        raise DataError(f"{where} a standard deviation is negative or not finite.")
    return sd
