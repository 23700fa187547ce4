"""One face for two kinds of random numbers: numpy's generators and R's."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from multilevel.errors import DataTypeError

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

NUMBERS_AT_ONCE = 4_000_000
"""The most random keys held at once when subsets are drawn."""


class Draws(Protocol):
    """What designs ask of a source of random numbers. Parameters may be numbers or arrays with one value for each draw."""

    @property
    def source(self) -> Any:
        """The generator that the user gave or, for a seed, the one made of it."""

    def uniform(self, n: int, low: Any, high: Any) -> FloatArray:
        """Return uniform numbers."""

    def normal(self, n: int, mean: Any, sd: Any) -> FloatArray:
        """Return normal numbers."""

    def standard_normal(self, shape: tuple[int, ...]) -> FloatArray:
        """Return standard normal numbers, the last axis fastest."""

    def binomial(self, n: int, size: Any, prob: Any) -> npt.NDArray[Any]:
        """Return numbers of successes."""

    def poisson(self, n: int, mean: Any) -> npt.NDArray[Any]:
        """Return counts."""

    def exponential(self, n: int, rate: Any) -> FloatArray:
        """Return exponential numbers."""

    def gamma(self, n: int, shape: Any, rate: Any) -> FloatArray:
        """Return gamma numbers."""

    def beta(self, n: int, shape1: Any, shape2: Any) -> FloatArray:
        """Return beta numbers."""

    def t(self, n: int, df: Any) -> FloatArray:
        """Return numbers of Student's t distribution."""

    def chisq(self, n: int, df: Any) -> FloatArray:
        """Return χ² numbers."""

    def choice(self, count: int, n: int, prob: FloatArray | None, replace: bool) -> IndexArray:
        """Return n of the positions 0 to count − 1."""

    def subsets(self, n: int, count: int, each: int, replace: bool) -> IndexArray:
        """Return n times `each` of the positions 0 to count − 1, shape (n, each)."""


class NumpyDraws:
    """Numbers from a `numpy.random.Generator`."""

    def __init__(self, source: np.random.Generator) -> None:
        self.source: np.random.Generator = source

    def uniform(self, n: int, low: Any, high: Any) -> FloatArray:
        """Return uniform numbers."""
        return np.asarray(self.source.uniform(low, high, n))

    def normal(self, n: int, mean: Any, sd: Any) -> FloatArray:
        """Return normal numbers."""
        result = self.source.standard_normal(n)
        result *= sd
        result += mean
        return result

    def standard_normal(self, shape: tuple[int, ...]) -> FloatArray:
        """Return standard normal numbers."""
        return self.source.standard_normal(shape)

    def binomial(self, n: int, size: Any, prob: Any) -> npt.NDArray[Any]:
        """Return numbers of successes."""
        return np.asarray(self.source.binomial(np.asarray(size, dtype=np.int64), prob, n))

    def poisson(self, n: int, mean: Any) -> npt.NDArray[Any]:
        """Return counts."""
        return np.asarray(self.source.poisson(mean, n))

    def exponential(self, n: int, rate: Any) -> FloatArray:
        """Return exponential numbers."""
        return np.asarray(self.source.standard_exponential(n) / rate)

    def gamma(self, n: int, shape: Any, rate: Any) -> FloatArray:
        """Return gamma numbers."""
        return np.asarray(self.source.standard_gamma(shape, n) / rate)

    def beta(self, n: int, shape1: Any, shape2: Any) -> FloatArray:
        """Return beta numbers."""
        return np.asarray(self.source.beta(shape1, shape2, n))

    def t(self, n: int, df: Any) -> FloatArray:
        """Return numbers of Student's t distribution."""
        return np.asarray(self.source.standard_t(df, n))

    def chisq(self, n: int, df: Any) -> FloatArray:
        """Return χ² numbers."""
        return np.asarray(self.source.chisquare(df, n))

    def choice(self, count: int, n: int, prob: FloatArray | None, replace: bool) -> IndexArray:
        """Return n of the positions 0 to count − 1."""
        if prob is None and replace:
            return self.source.integers(count, size=n)
        return np.asarray(self.source.choice(count, n, replace=replace, p=prob), dtype=np.int64)

    def subsets(self, n: int, count: int, each: int, replace: bool) -> IndexArray:
        """Return n times `each` of the positions 0 to count − 1."""
        if replace:
            return self.source.integers(count, size=(n, each))
        result = np.empty((n, each), dtype=np.int64)
        step = max(1, NUMBERS_AT_ONCE // count)
        for first in range(0, n, step):
            keys = self.source.random((min(step, n - first), count))
            # The positions of the smallest keys, in the order of the keys, are a random sequence without repeats.
            chosen = np.argpartition(keys, each - 1, axis=1)[:, :each]
            order = np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1)
            result[first : first + step] = np.take_along_axis(chosen, order, axis=1)
        return result


class RDraws:
    """Numbers from an `RRandom`: those that R's functions of the same distributions give in the same order of calls."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def uniform(self, n: int, low: Any, high: Any) -> FloatArray:
        """Return uniform numbers (``runif``)."""
        return np.asarray(self.source.uniform(n, low, high))

    def normal(self, n: int, mean: Any, sd: Any) -> FloatArray:
        """Return normal numbers (``rnorm``)."""
        return np.asarray(self.source.normal(n, mean, sd))

    def standard_normal(self, shape: tuple[int, ...]) -> FloatArray:
        """Return standard normal numbers (``rnorm``), the last axis fastest."""
        return np.asarray(self.source.normal(int(np.prod(shape)))).reshape(shape)

    def binomial(self, n: int, size: Any, prob: Any) -> npt.NDArray[Any]:
        """Return numbers of successes (``rbinom``)."""
        return np.asarray(self.source.binomial(n, size, prob))

    def poisson(self, n: int, mean: Any) -> npt.NDArray[Any]:
        """Return counts (``rpois``)."""
        return np.asarray(self.source.poisson(n, mean))

    def exponential(self, n: int, rate: Any) -> FloatArray:
        """Return exponential numbers (``rexp``)."""
        return np.asarray(self.source.exponential(n, rate))

    def gamma(self, n: int, shape: Any, rate: Any) -> FloatArray:
        """Return gamma numbers (``rgamma``)."""
        return np.asarray(self.source.gamma(n, shape, rate))

    def beta(self, n: int, shape1: Any, shape2: Any) -> FloatArray:
        """Return beta numbers (``rbeta``)."""
        return np.asarray(self.source.beta(n, shape1, shape2))

    def t(self, n: int, df: Any) -> FloatArray:
        """Return numbers of Student's t distribution (``rt``)."""
        return np.asarray(self.source.t(n, df))

    def chisq(self, n: int, df: Any) -> FloatArray:
        """Return χ² numbers (``rchisq``)."""
        return np.asarray(self.source.chisq(n, df))

    def choice(self, count: int, n: int, prob: FloatArray | None, replace: bool) -> IndexArray:
        """Return n of the positions 0 to count − 1 (``sample``)."""
        return np.asarray(self.source.sample(count, n, replace, prob), dtype=np.int64) - 1

    def subsets(self, n: int, count: int, each: int, replace: bool) -> IndexArray:
        """Return n times `each` of the positions 0 to count − 1: ``sample`` called n times."""
        return np.stack([self.choice(count, each, None, replace) for _ in range(n)])


def as_draws(rng: Any) -> Draws:
    """Return the source that a user's ``rng`` stands for.

    Parameters
    ----------
    rng
        None, a seed, a `numpy.random.SeedSequence` or `numpy.random.Generator`, or an `RRandom`.

    Raises
    ------
    DataTypeError
        It is none of these.
    """
    if is_r_random(rng):
        return RDraws(rng)
    if isinstance(rng, np.random.Generator):
        return NumpyDraws(rng)
    if rng is None or (isinstance(rng, int | np.integer | np.random.SeedSequence) and not isinstance(rng, bool)):
        return NumpyDraws(np.random.default_rng(rng))
    raise DataTypeError(
        f"rng must be a seed, a numpy Generator or SeedSequence, an RRandom, or None, not {type(rng).__name__}."
    )


def is_r_random(rng: Any) -> bool:
    """Return whether random numbers come from R's generators, whose order of calls must be kept."""
    from multilevel.simulation.r_random import RRandom

    return isinstance(rng, RRandom)
