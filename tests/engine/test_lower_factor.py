"""The lower-triangular factor of two rows has a formula of its own; it must agree with the factorisation of any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from multilevel.engine.parameters import lower_factor

numbers = st.floats(-1e6, 1e6).map(lambda value: 0.0 if abs(value) < 1e-6 else value)


@given(st.lists(numbers, min_size=4, max_size=4))
def test_two_rows(entries):
    matrix = np.array(entries).reshape(2, 2)
    found = lower_factor(matrix)
    assert found[0, 1] == 0.0
    assert (np.diag(found) >= 0.0).all()
    length = np.linalg.norm(matrix, axis=1)
    scale = np.outer(length, length) + 1e-300
    assert np.abs((found @ found.T - matrix @ matrix.T) / scale).max() < 1e-13
    # The same numbers inside a larger matrix take the general way.
    whole = np.zeros((3, 3))
    whole[:2, :2], whole[2, 2] = matrix, 1.0
    np.testing.assert_allclose(lower_factor(whole)[:2, :2], found, rtol=1e-9, atol=1e-13 * (length.max() + 1e-300))


def test_a_pivot_of_rounding_error_is_zero():
    found = lower_factor(np.array([[0.3, 0.1], [0.9, 0.3]]))
    assert found[1, 1] == 0.0
    assert found[1, 0] > 0
    np.testing.assert_array_equal(lower_factor(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0.0, 0.0], [0.0, 5.0]])
