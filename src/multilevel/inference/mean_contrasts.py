"""Weights of the usual contrasts between means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.data.arrays import number_array
from multilevel.errors import ControlError, DataError

FloatArray = npt.NDArray[np.float64]

METHODS = ("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "poly")
DEFAULT_ADJUSTMENT = {"pairwise": "tukey", "revpairwise": "tukey", "trt.vs.ctrl": "sidak", "eff": "fdr", "poly": "none"}
_DEGREES = ("linear", "quadratic", "cubic", "quartic")
HIGHEST_DEGREE = 6


def contrast_weights(
    method: Any, labels: Sequence[str], *, reference: str | None = None, ratio: bool = False
) -> tuple[list[str], FloatArray]:
    """Return the names and the weights of contrasts between means.

    Parameters
    ----------
    method
        ``"pairwise"``, ``"revpairwise"``, ``"trt.vs.ctrl"``, ``"eff"``, ``"poly"``, or for each contrast's name its weights: a
        number for each mean, or a mapping with the labels of those that have one.
    labels
        The labels of the means.
    reference
        The label of the mean that ``"trt.vs.ctrl"`` compares with; the first by default.
    ratio
        Whether the differences are logarithms of ratios, and so written.

    Examples
    --------
    >>> from multilevel.inference.mean_contrasts import contrast_weights
    >>> contrast_weights("poly", ["a", "b", "c"])[1].tolist()
    [[-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]]
    """
    k = len(labels)
    sign = "/" if ratio else "-"
    if isinstance(method, Mapping):
        return [str(name) for name in method], np.array([_given(weights, labels) for weights in method.values()])
    if method not in METHODS:
        raise ControlError(
            f"method must be one of {', '.join(map(repr, METHODS))}, or a dict of weights, not {method!r}."
        )
    if method == "eff":
        return [f"{label} effect" for label in labels], np.eye(k) - 1.0 / k
    if method == "poly":
        return _polynomials(k)
    if method == "trt.vs.ctrl":
        first = 0 if reference is None else _position(reference, labels)
        pairs = [(i, first) for i in range(k) if i != first]
    elif method == "pairwise":
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    else:
        pairs = [(i, j) for i in range(k) for j in range(i)]
    weights = np.zeros((len(pairs), k))
    for row, (i, j) in enumerate(pairs):
        weights[row, [i, j]] = 1.0, -1.0
    return [f"{labels[i]} {sign} {labels[j]}" for i, j in pairs], weights


def _position(label: Any, labels: Sequence[str]) -> int:
    bare = [text.removeprefix("(").removesuffix(")") for text in labels]
    for among in (labels, bare):
        if str(label) in among:
            return list(among).index(str(label))
    raise DataError(f"There is no mean of {label!r}; there are {', '.join(map(repr, labels))}.")


def _given(weights: Any, labels: Sequence[str]) -> list[float]:
    if isinstance(weights, Mapping):
        row = [0.0] * len(labels)
        for label, weight in weights.items():
            row[_position(label, labels)] = number_array(weight, f"the weight of {label!r}", shape=()).item()
        return row
    row = np.atleast_1d(number_array(weights, "the weights of a contrast")).ravel().tolist()
    if len(row) != len(labels):
        raise DataError(f"A contrast has {len(row)} weights for {len(labels)} means: {', '.join(labels)}.")
    return row


def _polynomials(k: int) -> tuple[list[str], FloatArray]:
    """Return orthogonal polynomials of evenly spaced points, in the smallest whole numbers."""
    basis: list[list[Fraction]] = [[Fraction(1)] * k]
    rows: list[list[int]] = []
    for degree in range(1, min(k - 1, HIGHEST_DEGREE) + 1):
        powers = [Fraction(point) ** degree for point in range(k)]
        for before in basis:
            share = _dot(powers, before) / _dot(before, before)
            powers = [a - share * b for a, b in zip(powers, before, strict=True)]
        basis.append(powers)
        common = math.lcm(*(value.denominator for value in powers))
        whole = [int(value * common) for value in powers]
        divisor = math.gcd(*whole)
        rows.append([value // divisor for value in whole])
    names = [*_DEGREES, *(f"degree {degree}" for degree in range(5, HIGHEST_DEGREE + 1))]
    return names[: len(rows)], np.array(rows, dtype=np.float64).reshape(len(rows), k)


def _dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))
