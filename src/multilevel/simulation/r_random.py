"""R's random numbers: the draws that follow ``set.seed()`` in R, without R."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, SupportsIndex, get_args

import numpy as np
import numpy.typing as npt

from multilevel.data.caller import warn_caller
from multilevel.errors import ControlError, DataError, MultilevelWarning
from multilevel.simulation.r_arguments import count_of, elements_at, numbers_of, population_of, scale_of, whole_number
from multilevel.simulation.r_state import KINDS, WORDS, SampleKind, read_state, seeded

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_TRIALS = 2**31 - 2
"""R leaves its algorithm for binomial numbers beyond this size."""
HASHED_FROM = 1e7
"""sample() without replacement from more than this draws anew what was drawn before, if at most half are taken."""
ALIASES_FROM = 200
"""sample() with replacement from more than this many likely elements uses Walker's aliases."""
LARGEST_WHOLE = 2.0**53


class RRandom:
    """R's random number generator, draw for draw.

    After ``RRandom(seed)`` the methods return what R ≥ 3.6 returns after ``set.seed(seed)``, as long as they are called in the same
    order: uniform numbers by the Mersenne-Twister, normal numbers by inversion, samples by rejection (R's defaults).
    Counts and samples are equal to R's, other numbers to at least 13 digits, most of them to the last bit.

    Parameters
    ----------
    seed : int
        The number given to R's ``set.seed``: from −2147483647 to 2147483647.
    sample_kind : {"rejection", "rounding"}
        How `sample`, `permutation` and `integers` make an index; ``"rounding"`` is that of R before 3.6 and of
        ``set.seed(seed, sample.kind = "Rounding")``.

    Raises
    ------
    ControlError
        If the seed is out of range or there is no such kind.
    DataTypeError
        If the seed is not a whole number.

    Notes
    -----
    Parameters may be numbers or vectors; vectors are recycled as in R, element by element. A draw whose parameters make no sense
    (a negative standard deviation, say) is NaN, and one `MultilevelWarning` says how many there are. As in R, an element
    whose distribution is a single point takes nothing from the stream.

    One stream belongs to one thread at a time. `copy` gives an independent twin, `get_state` R's ``.Random.seed``.

    References
    ----------
    Matsumoto and Nishimura (1998), Mersenne Twister, ACM TOMACS 8, 3–30. Wichura (1988), Algorithm AS 241, Applied Statistics 37,
    477–484. Kachitvichyanukul and Schmeiser (1988), Binomial random variate generation, CACM 31, 216–222. Ahrens and Dieter
    (1972, 1974, 1982) for exponential, gamma and Poisson numbers; Cheng (1978) for beta numbers; Walker (1977) for aliases.

    Examples
    --------
    ``set.seed(123); rnorm(3)``:

    >>> import multilevel as ml
    >>> ml.RRandom(123).normal(3)
    array([-0.56047565, -0.23017749,  1.55870831])

    ``set.seed(1); x <- rnorm(4, 5, 2); g <- rbinom(4, 1, .5); sample(4)``:

    >>> rng = ml.RRandom(1)
    >>> rng.normal(4, mean=5, sd=2)
    array([3.74709238, 5.36728665, 3.32874278, 8.1905616 ])
    >>> rng.binomial(4, size=1, prob=0.5)
    array([1, 0, 0, 0])
    >>> rng.sample(4)
    array([1, 4, 3, 2])
    """

    __slots__ = ("_sample_kind", "_stream")

    def __init__(self, seed: SupportsIndex, *, sample_kind: SampleKind = "rejection") -> None:
        if not isinstance(sample_kind, str) or sample_kind not in get_args(SampleKind):
            raise ControlError(f"sample_kind is {sample_kind!r}; it must be 'rejection' or 'rounding'.")
        self._sample_kind: SampleKind = sample_kind
        self._stream = seeded(whole_number(seed, "The seed"))

    def __repr__(self) -> str:
        return f"<RRandom: R's Mersenne-Twister, sample_kind={self._sample_kind!r}, {int(self._stream[0])} of {WORDS} words used>"

    # ---- the state ----------------------------------------------------------------------------------------------------

    def get_state(self) -> npt.NDArray[np.int32]:
        """Return the state as R's ``.Random.seed``.

        Returns
        -------
        ndarray
            626 integers: the code of the kinds, the position in the block, the block's 624 words.
        """
        code = next(code for code, kind in KINDS.items() if kind == self._sample_kind)
        return np.concatenate(([code], self._stream.view(np.int32))).astype(np.int32)

    def set_state(self, state: npt.ArrayLike) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : array_like
            What `get_state` returned, or R's ``.Random.seed``.

        Raises
        ------
        DataError
            If this is not the state of a Mersenne-Twister with normal numbers by inversion.
        """
        self._stream, self._sample_kind = read_state(state)

    @classmethod
    def from_r_state(cls, state: npt.ArrayLike) -> Self:
        """Return a generator that continues from R's ``.Random.seed``.

        Parameters
        ----------
        state : array_like
            The 626 integers of ``.Random.seed``.

        Returns
        -------
        RRandom
            The generator.

        Raises
        ------
        DataError
            If this is not the state of a Mersenne-Twister with normal numbers by inversion.

        Examples
        --------
        >>> import multilevel as ml
        >>> rng = ml.RRandom(123)
        >>> first = rng.uniform(2)
        >>> twin = ml.RRandom.from_r_state(rng.get_state())
        >>> bool(twin.uniform(1) == rng.uniform(1))
        True
        """
        made = cls.__new__(cls)
        made.set_state(state)
        return made

    def copy(self) -> Self:
        """Return a generator in the same state, independent of this one."""
        return type(self).from_r_state(self.get_state())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[npt.NDArray[np.int32]]]:
        return type(self).from_r_state, (self.get_state(),)

    # ---- numbers of a distribution ------------------------------------------------------------------------------------

    def uniform(self, n: SupportsIndex, low: npt.ArrayLike = 0.0, high: npt.ArrayLike = 1.0) -> FloatArray:
        """Return uniform numbers: R's ``runif(n, low, high)``.

        Parameters
        ----------
        n : int
            How many.
        low, high : float or array_like
            The ends of the interval; neither is drawn.

        Returns
        -------
        ndarray
            `n` numbers.
        """
        from multilevel.simulation.r_kernels import fill_uniform

        return self._filled(n, fill_uniform, low=low, high=high)

    def normal(self, n: SupportsIndex, mean: npt.ArrayLike = 0.0, sd: npt.ArrayLike = 1.0) -> FloatArray:
        """Return normal numbers: R's ``rnorm(n, mean, sd)``.

        Parameters
        ----------
        n : int
            How many.
        mean, sd : float or array_like
            Means and standard deviations.

        Returns
        -------
        ndarray
            `n` numbers.

        Examples
        --------
        Means are recycled:

        >>> import multilevel as ml
        >>> ml.RRandom(1).normal(4, mean=[0, 100])
        array([ -0.62645381, 100.18364332,  -0.83562861, 101.5952808 ])
        """
        from multilevel.simulation.r_kernels import fill_normal

        return self._filled(n, fill_normal, mean=mean, sd=sd)

    def binomial(self, n: SupportsIndex, size: npt.ArrayLike, prob: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return binomial numbers: R's ``rbinom(n, size, prob)``.

        Parameters
        ----------
        n : int
            How many.
        size : int or array_like
            Numbers of trials.
        prob : float or array_like
            Probabilities of success.

        Returns
        -------
        ndarray
            `n` integers; numbers where some are NaN.

        Raises
        ------
        DataError
            If a size is above 2147483646.

        Notes
        -----
        Equal to R's as long as size · prob · (1 − prob) stays below 10⁷. Far above it R's arithmetic overflows (in R 4.2) where a
        number is more than 46,340 away from the mode, and R draws such numbers too often; here they come as often as they should.
        """
        from multilevel.simulation.r_kernels_binomial import fill_binomial

        sizes = numbers_of(size, "size")
        too_large = sizes[np.isfinite(sizes) & (sizes > MOST_TRIALS)]
        if too_large.size:
            raise DataError(f"size is {too_large[0]:.0f}; binomial numbers are drawn for at most {MOST_TRIALS} trials.")
        return _integers_if_whole(self._filled(n, fill_binomial, size=sizes, prob=prob))

    def poisson(self, n: SupportsIndex, lam: npt.ArrayLike = 1.0) -> npt.NDArray[Any]:
        """Return Poisson numbers: R's ``rpois(n, lam)``.

        Parameters
        ----------
        n : int
            How many.
        lam : float or array_like
            Means.

        Returns
        -------
        ndarray
            `n` integers; numbers where some are NaN or above 2⁵³.
        """
        from multilevel.simulation.r_kernels_poisson import fill_poisson

        return _integers_if_whole(self._filled(n, fill_poisson, lam=lam))

    def exponential(
        self, n: SupportsIndex, rate: npt.ArrayLike | None = None, *, scale: npt.ArrayLike | None = None
    ) -> FloatArray:
        """Return exponential numbers: R's ``rexp(n, rate)``.

        Parameters
        ----------
        n : int
            How many.
        rate : float or array_like, optional
            Rates, 1 by default.
        scale : float or array_like, optional
            Means, 1 / rate, in place of rates.

        Returns
        -------
        ndarray
            `n` numbers.

        Raises
        ------
        ControlError
            If both rate and scale are given.
        """
        from multilevel.simulation.r_kernels import fill_exponential

        return self._filled(n, fill_exponential, **scale_of(rate, scale))

    def gamma(
        self,
        n: SupportsIndex,
        shape: npt.ArrayLike,
        rate: npt.ArrayLike | None = None,
        *,
        scale: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Return gamma numbers: R's ``rgamma(n, shape, rate)``.

        Parameters
        ----------
        n : int
            How many.
        shape : float or array_like
            Shapes.
        rate : float or array_like, optional
            Rates, 1 by default.
        scale : float or array_like, optional
            Scales, 1 / rate, in place of rates.

        Returns
        -------
        ndarray
            `n` numbers.

        Raises
        ------
        ControlError
            If both rate and scale are given.

        Examples
        --------
        ``set.seed(1); rgamma(3, 2, rate = 4)``:

        >>> import multilevel as ml
        >>> ml.RRandom(1).gamma(3, shape=2, rate=4)
        array([0.20771625, 0.89268909, 0.8657926 ])
        """
        from multilevel.simulation.r_kernels_gamma import fill_gamma

        return self._filled(n, fill_gamma, shape=shape, **scale_of(rate, scale))

    def beta(self, n: SupportsIndex, shape1: npt.ArrayLike, shape2: npt.ArrayLike) -> FloatArray:
        """Return beta numbers: R's ``rbeta(n, shape1, shape2)``.

        Parameters
        ----------
        n : int
            How many.
        shape1, shape2 : float or array_like
            Shapes.

        Returns
        -------
        ndarray
            `n` numbers.
        """
        from multilevel.simulation.r_kernels_beta import fill_beta

        return self._filled(n, fill_beta, shape1=shape1, shape2=shape2)

    def t(self, n: SupportsIndex, df: npt.ArrayLike) -> FloatArray:
        """Return numbers of Student's t: R's ``rt(n, df)``.

        Parameters
        ----------
        n : int
            How many.
        df : float or array_like
            Degrees of freedom.

        Returns
        -------
        ndarray
            `n` numbers.
        """
        from multilevel.simulation.r_kernels_gamma import fill_t

        return self._filled(n, fill_t, df=df)

    def chisq(self, n: SupportsIndex, df: npt.ArrayLike) -> FloatArray:
        """Return chi-squared numbers: R's ``rchisq(n, df)``.

        Parameters
        ----------
        n : int
            How many.
        df : float or array_like
            Degrees of freedom.

        Returns
        -------
        ndarray
            `n` numbers.
        """
        from multilevel.simulation.r_kernels_gamma import fill_chi_squared

        return self._filled(n, fill_chi_squared, df=df)

    # ---- samples ------------------------------------------------------------------------------------------------------

    def sample(
        self, x: Any, size: SupportsIndex | None = None, replace: bool = False, prob: npt.ArrayLike | None = None
    ) -> Any:
        """Return a random sample or permutation: R's ``sample(x, size, replace, prob)``.

        Parameters
        ----------
        x : int or sequence
            What to draw from: the integers from 1 to `x`, as in R, or the elements of a list, array, Series or Index. A sequence of
            one element stands for itself, where R takes a single number for an upper end.
        size : int, optional
            How many to draw; as many as there are by default.
        replace : bool
            Whether an element can be drawn again.
        prob : array_like, optional
            Weights of the elements; they need not sum to 1. Equal by default.

        Returns
        -------
        ndarray
            The elements in the order drawn; an extension array (a pandas ``Categorical``, for example) or a polars or Arrow array
            where `x` holds one. A pandas index is left behind, so that the result is not put back in order by it.

        Raises
        ------
        DataError
            If more are asked for than there are, or the weights are wrong in number, negative or all zero.

        Examples
        --------
        >>> import multilevel as ml
        >>> ml.RRandom(123).sample(10)
        array([ 3, 10,  2,  8,  6,  9,  1,  7,  5,  4])
        >>> ml.RRandom(123).sample(["control", "therapy"], 4, replace=True, prob=[1, 3])
        array(['therapy', 'control', 'therapy', 'control'], dtype='<U7')
        """
        population, n = population_of(x)
        number = n if size is None else count_of(size, "size")
        if prob is not None:
            drawn = self._weighted_indices(n, number, replace, numbers_of(prob, "prob"))
        else:
            drawn = self._equal_indices(n, number, replace)
        return drawn + 1 if population is None else elements_at(population, drawn)

    def integers(
        self, n: SupportsIndex, low: SupportsIndex, high: SupportsIndex, *, endpoint: bool = False
    ) -> IntArray:
        """Return integers with equal probabilities: R's ``sample(low:(high - 1), n, replace = TRUE)``.

        Parameters
        ----------
        n : int
            How many.
        low, high : int
            The smallest integer, and one more than the largest, as in numpy.
        endpoint : bool
            Whether `high` itself can be drawn.

        Returns
        -------
        ndarray
            `n` integers.

        Raises
        ------
        DataError
            If there is no integer in the interval.

        Examples
        --------
        ``set.seed(123); sample(1:6, 5, replace = TRUE)``:

        >>> import multilevel as ml
        >>> ml.RRandom(123).integers(5, 1, 6, endpoint=True)
        array([3, 6, 3, 2, 2])
        """
        first = whole_number(low, "low")
        last = whole_number(high, "high") - (0 if endpoint else 1)
        if last < first:
            raise DataError(f"There is no integer from {first} to {last}.")
        return self._equal_indices(last - first + 1, count_of(n, "n"), replace=True) + first

    def permutation(self, x: Any) -> Any:
        """Return the elements in random order: R's ``sample(x)``.

        Parameters
        ----------
        x : int or sequence
            A sequence as for `sample`; or how many integers from 0, as in numpy.

        Returns
        -------
        ndarray
            All elements, in the order drawn.

        Examples
        --------
        >>> import multilevel as ml
        >>> ml.RRandom(123).permutation(5)
        array([2, 1, 4, 3, 0])
        """
        population, n = population_of(x)
        drawn = self._equal_indices(n, n, replace=False)
        return drawn if population is None else elements_at(population, drawn)

    # ---- what the methods share ---------------------------------------------------------------------------------------

    def _filled(self, n: SupportsIndex, fill: Callable[..., None], **parameters: npt.ArrayLike) -> FloatArray:
        """Return the numbers a kernel fills in, with a warning if some are NaN."""
        out = np.empty(count_of(n, "n"))
        vectors = [numbers_of(values, name) for name, values in parameters.items()]
        fill(self._stream, *vectors, out)
        _warn_of_nan(out, list(parameters))
        return out

    def _equal_indices(self, n: int, number: int, replace: bool) -> IntArray:
        """Return indices with equal probabilities."""
        from multilevel.simulation.r_kernels_sample import fill_distinct, fill_few_distinct, fill_indices

        if number > n and not (replace and n > 0):
            raise DataError(
                f"A sample of {number} was asked for out of {n}; "
                + ("there is nothing to draw from." if n == 0 else "draw fewer, or draw with replace=True.")
            )
        if n > LARGEST_WHOLE:
            raise DataError(f"There are {n} integers to draw from; there can be at most 2⁵³.")
        out = np.empty(number, dtype=np.int64)
        if replace or number < 2:
            fill = fill_indices
        elif n > HASHED_FROM and number <= n / 2:
            fill = fill_few_distinct
        else:
            fill = fill_distinct
        fill(self._stream, n, self._sample_kind == "rounding", out)
        return out

    def _weighted_indices(self, n: int, number: int, replace: bool, weights: FloatArray) -> IntArray:
        """Return indices with given weights."""
        from multilevel.simulation.r_kernels_sample import (
            fill_weighted,
            fill_weighted_by_aliases,
            fill_weighted_distinct,
        )

        if weights.size != n:
            raise DataError(f"prob has {weights.size} weights for {n} elements.")
        if not np.all(np.isfinite(weights)) or np.any(weights < 0):
            where = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
            raise DataError(
                f"prob has the weight {weights[where]} at position {where}; weights must be finite and not negative."
            )
        possible = int(np.count_nonzero(weights))
        if possible == 0 or (not replace and number > possible):
            raise DataError(
                f"A sample of {number} was asked for out of {possible} elements with a weight above zero"
                + ("." if possible == 0 else "; draw fewer, or draw with replace=True.")
            )
        # Added up from first to last, as R does: numpy's sum() rounds otherwise.
        prob = weights / np.cumsum(weights)[-1]
        out = np.empty(number, dtype=np.int64)
        if not replace:
            fill_weighted_distinct(self._stream, prob, out)
        elif np.count_nonzero(n * prob > 0.1) > ALIASES_FROM:
            fill_weighted_by_aliases(self._stream, prob, self._sample_kind == "rounding", out)
        else:
            fill_weighted(self._stream, prob, out)
        return out


def _warn_of_nan(out: FloatArray, names: list[str]) -> None:
    """Warn of draws whose parameters make no sense."""
    count = int(np.count_nonzero(np.isnan(out)))
    if count:
        named = " and ".join(names)
        warn_caller(
            f"{count} of {out.size} draws {'is' if count == 1 else 'are'} NaN: there is no such distribution; check {named}.",
            MultilevelWarning,
        )


def _integers_if_whole(values: FloatArray) -> npt.NDArray[Any]:
    """Return counts as integers, unless NaN or a count beyond the integers that doubles hold is among them."""
    return values.astype(np.int64) if values.size == 0 or np.max(values) <= LARGEST_WHOLE else values
