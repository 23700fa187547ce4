"""The matrices and vectors that define a fitted model, by lme4's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError
from multilevel.formula.design import RandomTerm

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def random_matrix(fit: LinearMixedModel) -> Any:
    """Return Z as a sparse column array."""
    from scipy.sparse import csc_array, hstack

    design = fit._design
    n = design.nobs
    parts = []
    for term in fit._terms:
        k, levels = len(term.columns), term.factor.n_levels
        rows = np.repeat(np.arange(n), k)
        columns = (term.factor.codes.astype(np.int64)[:, None] * k + np.arange(k)).ravel()
        values = design.columns[:, list(term.columns)].ravel()
        parts.append(csc_array((values, (rows, columns)), shape=(n, k * levels)))
    return hstack(parts, format="csc")


def relative_factor(fit: LinearMixedModel) -> Any:
    """Return Λ as a sparse block-diagonal array."""
    from scipy.sparse import block_diag

    blocks = [_levels_factor(term, factor) for term, factor in zip(fit._terms, fit._engine.term_factors(), strict=True)]
    return block_diag(blocks, format="csc")


def _levels_factor(term: RandomTerm, factor: FloatArray) -> Any:
    """Return Λ of one term: λ for every level, or the Kronecker product of the relationship's factor with λ."""
    from scipy.sparse import block_diag, csc_array, kron

    if term.factor.relation is not None:
        return csc_array(kron(csc_array(term.factor.relation.lower), csc_array(factor)))
    return block_diag([csc_array(factor)] * term.factor.n_levels, format="csc")


def _spherical(fit: LinearMixedModel) -> FloatArray:
    """Return û with b = Λû: the smallest one, where Λ is singular."""
    parts = []
    for term, factor, modes in zip(fit._terms, fit._engine.term_factors(), fit._modes, strict=True):
        if term.factor.relation is not None:
            modes = np.asarray(np.linalg.solve(term.factor.relation.lower, modes), dtype=np.float64)
        parts.append((modes @ np.linalg.pinv(factor).T).ravel())
    return np.concatenate(parts)


def component(fit: LinearMixedModel, name: str) -> Any:
    """Return the quantity of that name (see `LinearMixedModel.get_me`)."""
    design = fit._design
    makers: dict[str, Any] = {
        "X": lambda: np.asarray(design.X),
        "Z": lambda: random_matrix(fit),
        "Zt": lambda: random_matrix(fit).T,
        "Lambda": lambda: relative_factor(fit),
        "Lambdat": lambda: relative_factor(fit).T,
        "y": lambda: np.asarray(design.y),
        "offset": lambda: np.zeros(design.nobs) if design.offset is None else design.offset,
        "weights": lambda: np.ones(design.nobs) if design.weights is None else design.weights,
        "theta": lambda: fit._engine.theta.copy(),
        "beta": lambda: fit._engine.beta.copy(),
        "b": lambda: np.concatenate([modes.ravel() for modes in fit._modes]),
        "u": lambda: _spherical(fit),
        "sigma": lambda: fit.sigma,
        "flist": lambda: {term.factor.name: (term.factor.codes, term.factor.levels) for term in fit._terms},
        "cnms": lambda: [(term.factor.name, term.names) for term in fit._terms],
        "n_rtrms": lambda: len(fit._terms),
        "devcomp": lambda: _criterion_parts(fit),
    }
    if name not in makers:
        raise ControlError(f"There is no component {name!r}; choose one of {', '.join(makers)}.")
    return makers[name]()


def _criterion_parts(fit: LinearMixedModel) -> dict[str, float]:
    """Return the pieces of the criterion in the user's columns: log-determinants, r², and the numbers of rows and columns."""
    engine = fit._engine
    factor, products = engine.model.factor, engine.products
    scale = products.response_scale
    return {
        "ldL2": factor.logdet_random,
        "ldRX2": factor.logdet_fixed - 2.0 * float(np.log(products.fixed.scale).sum()),
        "pwrss": factor.rss / scale**2,
        "n": float(products.nobs),
        "p": float(products.n_fixed),
        "REML" if fit.reml else "dev": engine.criterion,
        "sigma": fit.sigma,
    }
