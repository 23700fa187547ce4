"""Seeds and states of R's Mersenne-Twister."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError, DataError

SampleKind = Literal["rejection", "rounding"]

WORDS = 624
STATE_LENGTH = WORDS + 2
KINDS: dict[int, SampleKind] = {10403: "rejection", 403: "rounding"}
"""R's code for the Mersenne-Twister with inversion, by the way in which sample() makes an index."""
SCRAMBLINGS = 50
MULTIPLIER = 69069


def seeded(seed: int) -> npt.NDArray[np.uint32]:
    """Return the stream that R's ``set.seed`` starts: words of a congruential generator, the first ones thrown away."""
    if not -(2**31) < seed < 2**31:
        raise ControlError(f"The seed is {seed}; it must be between -2147483647 and 2147483647.")
    word = seed % 2**32
    words = np.empty(SCRAMBLINGS + WORDS + 1, dtype=np.uint32)
    for i in range(words.size):
        word = (MULTIPLIER * word + 1) % 2**32
        words[i] = word
    stream = words[SCRAMBLINGS:].copy()
    stream[0] = WORDS
    return stream


def read_state(state: npt.ArrayLike) -> tuple[npt.NDArray[np.uint32], SampleKind]:
    """Return stream and kind of sampling from R's ``.Random.seed``."""
    numbers = np.asarray(state)
    if (
        numbers.ndim != 1
        or numbers.size == 0
        or numbers.dtype.kind not in "iuf"
        or np.any(numbers != np.floor(numbers))
    ):
        raise DataError(f"A state is a vector of {STATE_LENGTH} integers, as R's .Random.seed.")
    code = int(numbers[0])
    if code not in KINDS:
        raise DataError(
            f"The state is of R's kind {code}; only the Mersenne-Twister with normal numbers by inversion is offered "
            "(10403, or 403 with sample.kind 'Rounding')."
        )
    if numbers.size != STATE_LENGTH:
        raise DataError(f"The state has {numbers.size} integers; a Mersenne-Twister's has {STATE_LENGTH}.")
    position = int(numbers[1])
    if not 1 <= position <= WORDS:
        raise DataError(f"The state's position is {position}; it must be between 1 and {WORDS}.")
    words = numbers[1:].astype(np.int64)
    if np.any((words < -(2**31)) | (words >= 2**32)) or not np.any(words[1:]):
        raise DataError("The state's words must be 32-bit integers that are not all zero.")
    return (words % 2**32).astype(np.uint32), KINDS[code]
