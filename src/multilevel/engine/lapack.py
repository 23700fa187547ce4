"""The routines of LAPACK that may take long, called so that other threads run meanwhile.

SciPy's own wrappers of them hold Python's lock, and nobody hears Ctrl-C while a matrix of ten thousand rows is factorised. The
routines are the same: SciPy gives their addresses to compiled code, and a call through `ctypes` lets go of the lock. Matrices are
in C order, so that a lower triangle here is LAPACK's upper one.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@functools.cache
def _routine(name: str, arguments: int) -> Callable[..., None]:
    from scipy.linalg import cython_lapack

    capsule = vars(cython_lapack)["__pyx_capi__"][name]
    signature = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)
    found: Callable[..., None] = kind(address(capsule, signature(capsule)))
    return found


_UPPER, _NO, _YES = (ctypes.create_string_buffer(letter) for letter in (b"U", b"N", b"T"))


def _call(name: str, *arguments: Any) -> int:
    """Call a routine with arrays, whole numbers and letters; return what it says of its success."""
    info = ctypes.c_int(0)
    kept = [ctypes.c_int(value) if isinstance(value, int) else value for value in arguments]
    places = [
        value.__array_interface__["data"][0] if isinstance(value, np.ndarray) else ctypes.addressof(value)
        for value in kept
    ]
    _routine(name, len(places) + 1)(*places, ctypes.addressof(info))
    return info.value


def cholesky_in_place(matrix: FloatArray) -> bool:
    """Replace the lower triangle by its Cholesky factor; return whether the matrix is positive definite."""
    assert matrix.flags.c_contiguous
    order = matrix.shape[0]
    return _call("dpotrf", _UPPER, order, matrix, max(order, 1)) == 0


def inverse_from_factor(lower: FloatArray) -> FloatArray:
    """Return the lower triangle of the inverse of LLᵀ."""
    result = np.array(lower, dtype=np.float64, order="C")
    order = result.shape[0]
    _call("dpotri", _UPPER, order, result, max(order, 1))
    return result


def solve_lower(lower: FloatArray, right: FloatArray, *, transpose: bool) -> FloatArray:
    """Return L⁻¹ (or L⁻ᵀ) times some columns, in Fortran order."""
    assert lower.flags.c_contiguous
    result = np.array(right, dtype=np.float64, order="F")
    order = lower.shape[0]
    columns = result.size // max(order, 1)
    _call(
        "dtrtrs", _UPPER, _NO if transpose else _YES, _NO, order, columns, lower, max(order, 1), result, max(order, 1)
    )
    return result
