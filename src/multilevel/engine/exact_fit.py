"""Whether fixed and random effects together give a response exactly, so that there is no residual variance to estimate.

The likelihood then grows without bound as σ goes to zero, and a search ends wherever rounding stops it. What least squares leaves
of the response is found by penalized least squares with very large variances, repeated on what is left until no more goes: each
time the cross-products are those of what is left, so that no digits are lost.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from multilevel.engine.factor import BlockedFactor, DenseIndex, factorise
from multilevel.engine.products import CrossProducts, cross_products_of
from multilevel.engine.solutions import conditional_modes
from multilevel.engine.threads import linear_algebra_threads
from multilevel.errors import DataError
from multilevel.formula.design import Design, GroupingFactor

FloatArray = npt.NDArray[np.float64]

SUSPECT = 1e-6
"""A residual standard deviation below this share of the response's size is worth a look at the rows."""

ROUNDING = 1e-15
"""What is left is rounding error if it is below this share of the numbers that it is left of."""

LARGE = 1e3
"""A relative standard deviation that leaves random effects free."""

PASSES = 6
"""How often what is left is explained once more, at most."""

MOST_ROWS = 2_000
"""With more rows than this, and as many effects, their rank is not worked out."""


def refuse_exact_fit(design: Design) -> None:
    """Refuse a response that the model's effects give exactly though there are fewer of them than rows."""
    if design.n_fixed and _given_by_fixed(design):
        _refuse(f"the fixed effects give {design.response_name} exactly")
    for factor in {term.factor.name: term.factor for term in design.random}.values():
        if _constant_within(design, factor):
            _refuse(
                f"{design.response_name} does not vary within the levels of {factor.name}",
                f" (a value of each level of {factor.name}, joined to its rows, is a model with one row for each level)",
            )
    if _left_over(design) and _fewer_effects_than_rows(design):
        groups = " and ".join(dict.fromkeys(term.factor.name for term in design.random))
        _refuse(f"the fixed effects and the effects of {groups} give {design.response_name} exactly")


def may_be_exact(products: CrossProducts) -> bool:
    """Return whether free random effects leave so little of the response that the rows must be looked at."""
    # The penalty of the largest effects is of the order of one over their variance.
    return _free(products).rss < 10.0 / LARGE**2 * float(products.dense[-1, -1])


def _free(products: CrossProducts) -> BlockedFactor:
    """Return the problem factorised with very large variances."""
    large = [LARGE * np.eye(block.size) for block in products.plan.blocks]
    with linear_algebra_threads(products.dense.shape[0], None):
        return factorise(products, DenseIndex.of(products), large)


def _refuse(what: str, more: str = "") -> None:
    raise DataError(
        f"There is no residual variance to estimate: {what}{more}; check the response, or leave out the effects that determine it."
    )


def _given_by_fixed(design: Design) -> bool:
    """Return whether least squares on the fixed effects alone leaves rounding error."""
    from scipy.linalg import lstsq

    root = np.ones(design.nobs) if design.weights is None else np.sqrt(design.weights)
    x, left = design.X * root[:, None], _response(design) * root
    size = np.abs(left)
    for _ in range(2):
        beta = lstsq(x, left, lapack_driver="gelsy")[0]
        size = np.maximum(size, np.abs(x) @ np.abs(beta))
        left = left - x @ beta
    return _is_rounding(left, size)


def _constant_within(design: Design, factor: GroupingFactor) -> bool:
    """Return whether the response has one value in every level of a factor whose intercept is in the model."""
    has_intercept = any(term.factor.name == factor.name and "(Intercept)" in term.names for term in design.random)
    if not has_intercept or factor.n_levels >= design.nobs:
        return False
    response = _response(design)
    first = np.empty(factor.n_levels)
    first[factor.codes] = response
    return _is_rounding(response - first[factor.codes], np.abs(response))


def _left_over(design: Design) -> bool:
    """Return whether the fixed and random effects together leave rounding error of the response."""
    left = _response(design)
    size = np.abs(left)
    plain = replace(design, residual=None, offset=None)
    for _ in range(PASSES):
        before = float(left @ left)
        if not before > 0.0:
            return True
        products = cross_products_of(plain.with_response(left))
        factor = _free(products)
        q, p = products.n_dense, products.n_fixed
        beta = products.user_fixed_effects(-factor.coefficients[q : q + p])
        explained = design.X @ beta
        size = np.maximum(size, np.abs(design.X) @ np.abs(beta))
        for t, modes in zip(products.plan.term_order, conditional_modes(factor), strict=True):
            term = design.random[t]
            explained = explained + (design.columns[:, list(term.columns)] * modes[term.factor.codes]).sum(axis=1)
        left = left - explained
        if _is_rounding(left, size):
            return True
        if float(left @ left) > 0.5 * before:
            return False
    return False


def _fewer_effects_than_rows(design: Design) -> bool:
    """Return whether the columns of fixed and random effects span less than all rows, so that an exact fit says something."""
    effects = design.n_fixed + sum(term.factor.n_levels * len(term.columns) for term in design.random)
    if effects < design.nobs:
        return True
    if design.nobs > MOST_ROWS:
        return False
    columns = [design.X]
    for term in design.random:
        member = np.eye(term.factor.n_levels)[term.factor.codes]
        columns += [design.columns[:, [place]] * member for place in term.columns]
    return int(np.linalg.matrix_rank(np.hstack(columns))) < design.nobs


def _response(design: Design) -> FloatArray:
    return design.y - (0.0 if design.offset is None else design.offset)


def _is_rounding(left: FloatArray, size: FloatArray) -> bool:
    return float(np.sqrt(np.mean(left**2))) <= ROUNDING * float(np.sqrt(np.mean(size**2)))
