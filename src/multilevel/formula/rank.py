"""Which columns of a design earlier columns determine: the ones that R drops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# R's tolerance: a column goes when what earlier columns leave of it is this much shorter than itself.
TOLERANCE = 1e-7
_SAMPLE = 2048
# The cross-product squares lengths, and rounding there is about 1e-16 of a squared length: a remainder is trusted
# when it is well above that, and anything closer to R's tolerance is decided by orthogonalisation.
_SAFE = 1e-9
# Squared lengths beyond this, or below one over it, are not trusted.
_ORDINARY = 1e200


def dependent_columns(x: FloatArray) -> list[int]:
    """Return the positions of the columns that columns before them determine."""
    return dependence(x)[0]


def dependence(x: FloatArray) -> tuple[list[int], FloatArray]:
    """Return the positions of the columns that columns before them determine, and how these make each of them.

    The weights have a row for each column that is left and a column for each that is not.

    Most designs have none, and three checks of growing cost find that out: what a sample of rows leaves of a column
    is a lower bound for what all rows leave of it; then the cross-product of all rows; and only then the
    orthogonalisation of the columns in their order, which decides as R's ``qr`` does.
    """
    n, p = x.shape
    none: tuple[list[int], FloatArray] = [], np.zeros((p, 0))
    if p == 0 or (p == 1 and n and x[0, 0] == 1.0):
        return none
    lengths = _squared_lengths(x)
    if n and not np.all((lengths > 1.0 / _ORDINARY) & (lengths < _ORDINARY)):
        # Squares of very large or small numbers overflow or vanish; a power of two takes no digit.
        powers = np.frexp(np.abs(x).max(axis=0))[1]
        dropped, weights = _dependence(np.ldexp(x, -powers))
        left = [j for j in range(p) if j not in set(dropped)]
        return dropped, np.ldexp(weights, powers[dropped] - powers[left][:, None])
    return _dependence(x)


def _dependence(x: FloatArray) -> tuple[list[int], FloatArray]:
    n, p = x.shape
    none: tuple[list[int], FloatArray] = [], np.zeros((p, 0))
    lengths = _squared_lengths(x)
    if n > 4 * _SAMPLE and _clearly_independent(np.asfortranarray(x[:: n // _SAMPLE]), lengths):
        return none
    if n >= p and _clearly_independent(x, lengths):
        return none
    return _orthogonalise(x)


def _squared_lengths(x: FloatArray) -> FloatArray:
    # Not np.dot: it would wake the threads of NumPy's own BLAS beside those of SciPy's.
    return np.array([float(np.einsum("i,i->", x[:, j], x[:, j])) for j in range(x.shape[1])])


def _clearly_independent(x: FloatArray, lengths: FloatArray) -> bool:
    """Tell whether every column keeps a good part of its squared length, by a Cholesky factor of the cross-product."""
    from scipy.linalg.blas import dsyrk
    from scipy.linalg.lapack import dpotrf

    if not np.all(lengths > 0.0) or not np.all(np.isfinite(lengths)):
        return False
    scale = 1.0 / np.sqrt(lengths)
    gram = dsyrk(1.0, x, trans=1, lower=1)
    gram *= scale
    gram *= scale[:, None]
    factor, info = dpotrf(gram, lower=1, overwrite_a=1)
    return info == 0 and bool(np.all(np.diagonal(factor) ** 2 > _SAFE))


def _orthogonalise(x: FloatArray) -> tuple[list[int], FloatArray]:
    """Go through the columns in order with Householder reflections, passing over those that leave next to nothing."""
    n, p = x.shape
    work = np.array(x, dtype=np.float64, order="F")
    original = np.sqrt(np.einsum("ij,ij->j", work, work))
    original[original == 0.0] = 1.0
    dropped: list[int] = []
    kept: list[int] = []
    rank = 0
    for j in range(p):
        rest = work[rank:, j]
        length = float(np.sqrt(rest @ rest)) if rank < n else 0.0
        if length < original[j] * TOLERANCE or rank >= n:
            dropped.append(j)
            continue
        kept.append(j)
        reflector = rest.copy()
        reflector[0] += length if reflector[0] >= 0 else -length
        square = float(reflector @ reflector)
        if j + 1 < p and square > 0.0:
            later = work[rank:, j + 1 :]
            later -= np.outer(reflector, (2.0 / square) * (reflector @ later))
        # What is left of the column itself: the diagonal of the triangle.
        rest[0], rest[1:] = -length if rest[0] >= 0 else length, 0.0
        rank += 1
    return dropped, _weights(work[:rank], original, kept, dropped)


def _weights(triangle: FloatArray, lengths: FloatArray, kept: list[int], dropped: list[int]) -> FloatArray:
    """Return how the columns left make the dropped ones; weights that are nothing but rounding are zero."""
    from scipy.linalg import solve_triangular

    if not kept or not dropped:
        return np.zeros((len(kept), len(dropped)))
    scale = lengths[kept]
    right = triangle[:, dropped].copy()
    for column, position in zip(right.T, dropped, strict=True):
        column[sum(before < position for before in kept) :] = 0.0
    share = solve_triangular(triangle[:, kept] / scale, right / lengths[dropped])
    share[np.abs(share) < 1e-12] = 0.0
    weights: FloatArray = share / scale[:, None] * lengths[dropped]
    return weights
