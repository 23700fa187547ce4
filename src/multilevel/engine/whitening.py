"""Cross-products of a design whose residuals differ in variance or are correlated, as a function of the residual parameters.

The residuals of a group have the covariance σ²·D C D, with D the standard deviations relative to those of the first stratum and C
the correlations ρ^|tᵢ − tⱼ|. Rows in their order within a group are whitened by taking off what the row before predicts:

    ẽ₁ = κ₁e₁,   ẽᵢ = (κᵢeᵢ − rᵢκₚeₚ)/√(1 − rᵢ²),   κ = 1/D,   rᵢ = ρ^gapᵢ,   p the row before i.

Cross-products of whitened rows are sums of κᵢ²·AᵀA, κᵢκₚ·(…) and κₚ²·(…) over rows with the same gap and strata. Where there are
few such kinds of rows, their cross-products are added up once, and an evaluation is a sum of them; where gaps are many (irregular
times), every evaluation passes over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from multilevel.engine.accumulate import total_products
from multilevel.engine.columns import ColumnScaling
from multilevel.engine.layout import ProductShape, product_shape
from multilevel.engine.plan import Plan
from multilevel.engine.products import (
    CrossProducts,
    EngineBasis,
    ProductNumbers,
    accumulate_products,
    engine_basis,
    engine_columns,
)
from multilevel.formula.design import Design, GroupingFactor, ResidualDesign

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

MOST_KINDS = 24
"""With more kinds of rows (gap and strata) than this, evaluations pass over the rows."""

KIND_NUMBERS = 20_000_000
"""The most numbers held for all kinds of rows together."""


@dataclass(frozen=True, slots=True)
class ResidualModel:
    """The residual parameters δ: logarithms of the strata's relative standard deviations, then an unbounded map of ρ.

    Attributes
    ----------
    design
        The strata, the order of the rows and the gaps between them.
    """

    design: ResidualDesign

    @property
    def n_ratios(self) -> int:
        """Number of strata less one."""
        return max(len(self.design.strata) - 1, 0)

    @property
    def n_delta(self) -> int:
        """Number of parameters."""
        return self.n_ratios + (self.design.kind is not None)

    @property
    def stratum_shares(self) -> FloatArray:
        """The share of the rows that each stratum has (one of all rows where there are no strata)."""
        counts = np.bincount(self.design.stratum_codes, minlength=self.n_ratios + 1)
        return np.asarray(counts / counts.sum(), dtype=np.float64)

    def start(self) -> FloatArray:
        """Return equal variances and a moderate correlation (none, where it can be negative)."""
        delta = np.zeros(self.n_delta)
        if self.design.kind == "car1":
            gaps = self.design.gap[self.design.previous >= 0]
            rho = 0.4 ** (1.0 / float(np.median(gaps)))
            delta[-1] = np.log(rho) - np.log1p(-rho)
        return delta

    def ratios(self, delta: FloatArray) -> FloatArray:
        """Return the standard deviation of every stratum relative to the first."""
        result: FloatArray = np.exp(np.concatenate([[0.0], delta[: self.n_ratios]]))
        return result

    def rho(self, delta: FloatArray) -> tuple[float, float]:
        """Return the correlation at a gap of one and its derivative; zeros where residuals are independent."""
        if self.design.kind is None:
            return 0.0, 0.0
        z = float(delta[-1])
        if self.design.kind == "ar1":
            rho = float(np.tanh(z))
            return rho, 1.0 - rho**2
        rho = float(expit(z))
        return rho, rho * (1.0 - rho)

    def natural(self, delta: FloatArray) -> FloatArray:
        """Return the relative standard deviations of the strata after the first, then ρ."""
        own = self.ratios(delta)[1:]
        return np.append(own, self.rho(delta)[0]) if self.design.kind is not None else own

    def links(self, delta: FloatArray, gap: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return r = ρ^gap and its derivative with respect to the last parameter."""
        rho, slope = self.rho(delta)
        powers = gap.astype(np.int64) if self.design.kind == "ar1" else gap
        r = np.power(rho, powers)
        with np.errstate(divide="ignore", invalid="ignore"):
            # gap·ρ^(gap − 1), which is 1 for a gap of one even at ρ = 0
            inner = np.where(gap == 1.0, 1.0, gap * np.power(rho, powers - 1) if rho != 0.0 else 0.0)
        return r, inner * slope

    def log_determinant(self, delta: FloatArray) -> tuple[float, FloatArray]:
        """Return log|D C D| over all rows, and its gradient."""
        counts = np.bincount(self.design.stratum_codes, minlength=self.n_ratios + 1)[1:]
        value = 2.0 * float(counts @ delta[: self.n_ratios]) if self.n_ratios else 0.0
        gradient = np.zeros(self.n_delta)
        gradient[: self.n_ratios] = 2.0 * counts[: self.n_ratios]
        if self.design.kind is not None:
            gaps, rows = np.unique(self.design.gap[self.design.previous >= 0], return_counts=True)
            r, slope = self.links(delta, gaps)
            value += float(rows @ np.log1p(-(r**2)))
            gradient[-1] = -2.0 * float(rows @ (r * slope / (1.0 - r**2)))
        return value, gradient


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Cross-products of the rows of each kind, added up once.

    Attributes
    ----------
    firsts
        For each stratum, those of its rows that have none before them.
    stratum, before, gap
        Strata of a row and of the row before it, and the gap, of each kind of the other rows.
    own, mixed, others
        Cross-products of these rows with themselves, with the rows before them (both ways), and of the latter with themselves.
    """

    firsts: tuple[tuple[int, ProductNumbers], ...]
    stratum: IntArray
    before: IntArray
    gap: FloatArray
    own: tuple[ProductNumbers, ...]
    mixed: tuple[ProductNumbers, ...]
    others: tuple[ProductNumbers, ...]


def _combine(coefficients: list[float], numbers: list[ProductNumbers]) -> ProductNumbers:
    parts = []
    for at in range(4):
        total = np.zeros_like(numbers[0][at])
        for c, own in zip(coefficients, numbers, strict=True):
            if c != 0.0:
                total += c * own[at]
        parts.append(total)
    return ProductNumbers(*parts)


class WhitenedProducts:
    """The cross-products of a design as a function of its residual parameters.

    Parameters
    ----------
    design
        A design with a residual structure.
    """

    def __init__(self, design: Design) -> None:
        assert design.residual is not None
        self.model = ResidualModel(design.residual)
        columns = engine_columns(design)
        weights = np.empty(0) if design.weights is None else np.ascontiguousarray(design.weights)
        basis = engine_basis(design, columns, weights)
        gram = np.zeros((basis.right.places.size,) * 2)
        total_products(columns, basis.right.places, basis.right.shift, basis.right.scale, weights, gram)
        self.basis: EngineBasis
        self.basis, columns = basis.without_signal(gram, columns, weights, design.y)
        plan, right = self.basis.plan, self.basis.right
        self.shape: ProductShape = product_shape(plan, right.places.size)
        self.nobs = int(columns.shape[0])
        self.log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
        self._rows, self._plan, self._right = _own_columns(plan, right, columns)
        if weights.size:
            self._rows *= np.sqrt(weights)[:, None]
        self._kinds = self._add_up()
        self._last: tuple[bytes, CrossProducts] | None = None
        self.reference: CrossProducts = self.at(self.model.start())

    # ---- the products of some rows ---------------------------------------------------------------------------------------

    def _accumulate(self, rows: FloatArray, which: npt.NDArray[np.intp] | None = None) -> ProductNumbers:
        """Add up the products of rows whose levels are those of the rows numbered `which` (by default all)."""
        plan = self._plan
        if which is not None:
            blocks = [
                replace(
                    b,
                    factor=GroupingFactor(b.factor.name, b.factor.codes[which], b.factor.level_set, b.factor.relation),
                )
                for b in plan.blocks
            ]
            plan = replace(plan, blocks=tuple(blocks))
        return accumulate_products(plan, self.shape, np.asfortranarray(rows), self._right, np.empty(0))

    def _add_up(self) -> _Kinds | None:
        """Return the cross-products by kinds of rows, or None where there are too many kinds."""
        own = self.model.design
        first = np.flatnonzero(own.previous < 0)
        later = np.flatnonzero(own.previous >= 0)
        keys = np.column_stack([own.stratum_codes[later], own.stratum_codes[own.previous[later]], own.gap[later]])
        kinds, which = np.unique(keys, axis=0, return_inverse=True) if later.size else (np.zeros((0, 3)), later)
        layout = self.shape.layout
        numbers = int((layout.levels * layout.sizes**2).sum()) + (self._plan.n_dense + self._right.places.size) ** 2
        if len(kinds) > MOST_KINDS or 3 * len(kinds) * numbers > KIND_NUMBERS:
            return None
        firsts = []
        for stratum in np.unique(own.stratum_codes[first]):
            at = first[own.stratum_codes[first] == stratum]
            firsts.append((int(stratum), self._accumulate(self._rows[at], at)))
        parts: tuple[list[ProductNumbers], ...] = ([], [], [])
        for kind in range(len(kinds)):
            at = later[which.ravel() == kind]
            now, before = self._rows[at], self._rows[own.previous[at]]
            squares = [self._accumulate(x, at) for x in (now, before, now + before)]
            parts[0].append(squares[0])
            parts[1].append(_combine([-1.0, -1.0, 1.0], squares))
            parts[2].append(squares[1])
        return _Kinds(
            tuple(firsts),
            kinds[:, 0].astype(np.int32),
            kinds[:, 1].astype(np.int32),
            kinds[:, 2],
            tuple(parts[0]),
            tuple(parts[1]),
            tuple(parts[2]),
        )

    # ---- as a function of the parameters ---------------------------------------------------------------------------------

    def at(self, delta: FloatArray) -> CrossProducts:
        """Return the cross-products of the whitened rows."""
        key = delta.tobytes()
        if self._last is None or self._last[0] != key:
            numbers = self._by_kind(delta, None) if self._kinds is not None else self._by_row(delta, None)
            log_weights = self.log_weights - self.model.log_determinant(delta)[0]
            self._last = key, self.basis.products(self.shape, numbers, self.nobs, log_weights)
        return self._last[1]

    def slopes(self, delta: FloatArray) -> list[ProductNumbers]:
        """Return the derivatives of the cross-products with respect to each parameter."""
        find = self._by_kind if self._kinds is not None else self._by_row
        return [find(delta, a) for a in range(self.model.n_delta)]

    def _by_kind(self, delta: FloatArray, parameter: int | None) -> ProductNumbers:
        """Return the cross-products, or their derivative with respect to one parameter, as a sum over kinds of rows."""
        kinds = self._kinds
        assert kinds is not None
        kappa = 1.0 / self.model.ratios(delta)
        r, slope = self.model.links(delta, kinds.gap) if kinds.gap.size else (np.zeros(0), np.zeros(0))
        v = 1.0 / (1.0 - r**2)
        i, p = kinds.stratum, kinds.before
        own, mixed, others = kappa[i] ** 2 * v, -kappa[i] * kappa[p] * r * v, kappa[p] ** 2 * r**2 * v
        first = [kappa[stratum] ** 2 for stratum, _ in kinds.firsts]
        if parameter is not None and parameter < self.model.n_ratios:
            # ∂κ/∂δ = −κ in its own stratum
            stratum = parameter + 1
            first = [-2.0 * c if at == stratum else 0.0 for c, (at, _) in zip(first, kinds.firsts, strict=True)]
            here, there = (i == stratum).astype(np.float64), (p == stratum).astype(np.float64)
            own, mixed, others = -2.0 * here * own, -(here + there) * mixed, -2.0 * there * others
        elif parameter is not None:
            first = [0.0] * len(first)
            own = kappa[i] ** 2 * 2.0 * r * v**2 * slope
            mixed = -kappa[i] * kappa[p] * (v + 2.0 * r**2 * v**2) * slope
            others = kappa[p] ** 2 * (2.0 * r * v + 2.0 * r**3 * v**2) * slope
        return _combine(
            [float(c) for c in (*first, *own, *mixed, *others)],
            [*(numbers for _, numbers in kinds.firsts), *kinds.own, *kinds.mixed, *kinds.others],
        )

    def _by_row(self, delta: FloatArray, parameter: int | None) -> ProductNumbers:
        """Return the same by a pass over the rows."""
        white, turned = _whiten(self.model, delta, self._rows, parameter)
        if turned is None:
            return self._accumulate(white)
        # ẼᵀĖ + ĖᵀẼ from squares, which need no kernels of their own
        squares = [self._accumulate(x) for x in (white + turned, white, turned)]
        return _combine([1.0, -1.0, -1.0], squares)


def _own_columns(plan: Plan, right: ColumnScaling, columns: FloatArray) -> tuple[FloatArray, Plan, ColumnScaling]:
    """Return the engine's columns, block after block and X and y last, and where plan and X and y find them."""
    scalings = [*(block.columns for block in plan.blocks), right]
    rows = np.empty((columns.shape[0], sum(s.places.size for s in scalings)), order="F")
    moved = []
    at = 0
    for scaling in scalings:
        k = scaling.places.size
        for c in range(k):
            rows[:, at + c] = (columns[:, scaling.places[c]] - scaling.shift[c]) * scaling.scale[c]
        moved.append(ColumnScaling(np.arange(at, at + k), np.zeros(k), np.ones(k), -1))
        at += k
    blocks = tuple(replace(block, columns=own) for block, own in zip(plan.blocks, moved[:-1], strict=True))
    return rows, replace(plan, blocks=blocks), moved[-1]


def _whiten(
    model: ResidualModel, delta: FloatArray, rows: FloatArray, parameter: int | None = None
) -> tuple[FloatArray, FloatArray | None]:
    """Return whitened rows and, where one is named, their derivative with respect to a parameter."""
    own = model.design
    kappa = (1.0 / model.ratios(delta))[own.stratum_codes]
    scaled = rows * kappa[:, None]
    before = np.where(own.previous >= 0, own.previous, 0)
    r, slope = np.zeros(kappa.size), np.zeros(kappa.size)
    later = own.previous >= 0
    if own.kind is not None:
        r[later], slope[later] = model.links(delta, own.gap[later])
    root = 1.0 / np.sqrt(1.0 - r**2)
    white = (scaled - r[:, None] * scaled[before]) * root[:, None]
    if parameter is None:
        return white, None
    if parameter < model.n_ratios:
        turned = scaled * -(own.stratum_codes == parameter + 1).astype(np.float64)[:, None]
        return white, (turned - r[:, None] * turned[before]) * root[:, None]
    # d/dr (e − r eₚ)/√(1 − r²)
    inner = -scaled[before] * root[:, None] + white * (r * root**2)[:, None]
    return white, inner * np.where(later, slope, 0.0)[:, None]


def whitened_rows(model: ResidualModel, delta: FloatArray, values: FloatArray) -> FloatArray:
    """Return values of all rows, shape (n,), whitened (on the scale of the first stratum)."""
    return _whiten(model, delta, values[:, None])[0][:, 0]


def product_slope(bars: ProductNumbers, dots: ProductNumbers) -> float:
    """Return the derivative of the criterion along a change of the cross-products, from its sensitivities to them."""
    lower = np.tril(bars.dense * dots.dense)
    total = 2.0 * float(lower.sum()) - float(np.trace(lower))
    total += float(bars.diagonal @ dots.diagonal)
    return total + 2.0 * float(bars.tail @ dots.tail) + 2.0 * float(bars.values @ dots.values)


def relative_residual_covariance(model: ResidualModel, delta: FloatArray, rows: npt.NDArray[np.intp]) -> FloatArray:
    """Return the covariance of some rows' residuals divided by σ², prior weights left out; dense."""
    own = model.design
    deviation = model.ratios(delta)[own.stratum_codes[rows]]
    if own.kind is None:
        return np.diag(deviation**2)
    group, time = (values[rows] for values in own.groups_and_times())
    correlation = model.links(delta, np.abs(time[:, None] - time))[0] * (group[:, None] == group)
    result: FloatArray = deviation[:, None] * correlation * deviation
    return result
