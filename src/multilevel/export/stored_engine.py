"""A fit's cross-products and its optimum as JSON and arrays.

The compiled kernels trust the places that a layout holds, so that everything read from a file is checked here before they see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.columns import ColumnScaling
from multilevel.engine.fit import Convergence, EngineFit, finish
from multilevel.engine.layout import ChainLayout
from multilevel.engine.objective import LocalModel, Objective
from multilevel.engine.parameters import Parameters, TermParameters
from multilevel.engine.plan import Block, Plan
from multilevel.engine.products import CrossProducts
from multilevel.engine.structures import structure_of
from multilevel.engine.threads import linear_algebra_threads
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require
from multilevel.export.stored_identification import restore_identification, store_identification
from multilevel.formula.design import GroupingFactor, RandomTerm

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TOLERANCE = 1e-6
"""How much stored estimates may differ, relatively, from those that the stored cross-products give on this machine."""


def store_engine(engine: EngineFit, writer: ArchiveWriter) -> dict[str, Any]:
    """Return a fit's engine as JSON, its numbers beside it."""
    products, model, ending = engine.products, engine.model, engine.convergence
    plan, layout = products.plan, products.layout

    def put(name: str, values: npt.ArrayLike) -> str:
        return writer.array(f"engine/{name}", values)

    pairs = [(i, other) for i in range(plan.depth) for other in range(i + 1, plan.depth)]
    listed = [_listed(layout, i) for i in range(plan.depth)]
    return {
        "depth": plan.depth,
        "term_order": list(plan.term_order),
        "blocks": [
            {"factor": block.factor.name, "terms": list(block.terms), "columns": _store_scaling(block.columns, f"block_{i}", put)}
            for i, block in enumerate(plan.blocks)
        ],
        "terms": [
            {
                "block": term.block,
                "offset": term.offset,
                "to_engine": put(f"term_{i}_to_engine", term.to_engine),
                "to_user": put(f"term_{i}_to_user", term.to_user),
            }
            for i, term in enumerate(plan.parameters.terms)
        ],
        "fixed": _store_scaling(products.fixed, "fixed", put),
        "stages": [
            {"indptr": put(f"stage_{i}_indptr", indptr), "columns": put(f"stage_{i}_columns", columns)}
            for i, (indptr, columns) in enumerate(listed)
        ],
        "parents": [put(f"parents_{i}_{other}", plan.parents[i, other]) for i, other in pairs],
        "positions": [
            put(
                f"positions_{i}_{other}",
                layout.position[layout.position_at[i, other] :][: listed[i][1].size],
            )
            for i, other in pairs
        ],
        "diagonal": put("diagonal", products.diagonal),
        "tail": put("tail", products.tail),
        "values": put("values", products.values),
        "dense": put("dense", np.tril(products.dense)),
        "nobs": products.nobs,
        "numbers": put(
            "numbers",
            [
                products.response_shift, products.response_scale, products.log_weights,
                model.value, engine.criterion, engine.sigma, ending.expected_decrease,
            ],
        ),
        **({} if products.signal is None else {"signal": put("signal", products.signal)}),
        "phi": put("phi", model.phi),
        "gradient": put("gradient", model.gradient),
        "hessian": put("hessian", model.hessian),
        "exact": model.exact,
        "theta": put("theta", engine.theta),
        "beta": put("beta", engine.beta),
        "unscaled_vcov": put("unscaled_vcov", engine.unscaled_vcov),
        "trace": put("trace", np.asarray(ending.trace, dtype=np.float64)),
        "singular": engine.singular,
        "status": ending.status,
        "identification": store_identification(ending, writer),
        "message": ending.message,
        "optimizer": ending.optimizer,
        "evaluations": ending.evaluations,
    }  # fmt: skip


def _listed(layout: ChainLayout, stage: int) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Return where each level's columns of the dense matrix begin, and these columns."""
    at = int(layout.indptr_at[stage])
    indptr = layout.indptr[at : at + int(layout.levels[stage]) + 1]
    first = int(layout.index_at[stage])
    return indptr, layout.column[first : first + int(indptr[-1])]


def _store_scaling(scaling: ColumnScaling, name: str, put: Any) -> dict[str, Any]:
    return {
        "places": put(f"{name}_places", scaling.places),
        "shift": put(f"{name}_shift", scaling.shift),
        "scale": put(f"{name}_scale", scaling.scale),
        "constant": scaling.constant,
    }


# ---- reading -----------------------------------------------------------------------------------------------------------


def restore_engine(
    stored: Any,
    reader: ArchiveReader,
    random: Sequence[RandomTerm],
    factors: dict[str, GroupingFactor],
    n_columns: int,
    reml: bool,
) -> EngineFit:
    """Return a fit's engine, everything in it checked and the factor made anew."""
    products = _products(stored, reader, random, factors, n_columns)
    parameters = products.plan.parameters
    p, m = products.n_fixed, parameters.n_theta
    value, criterion, sigma, decrease = reader.array(stored["numbers"], "f", 1)[3:].tolist()
    phi, theta = reader.array(stored["phi"], "f", 1), reader.array(stored["theta"], "f", 1)
    gradient, hessian = reader.array(stored["gradient"], "f", 1), reader.array(stored["hessian"], "f", 2)
    beta, unscaled = reader.array(stored["beta"], "f", 1), reader.array(stored["unscaled_vcov"], "f", 2)
    require(phi.shape == theta.shape == gradient.shape == (m,), "the covariance parameters have the wrong number")
    require(
        hessian.shape == (m, m) and beta.shape == (p,) and unscaled.shape == (p, p), "estimates have the wrong shape"
    )
    estimates = (phi, theta, beta, unscaled, gradient, hessian, np.array([value, criterion, sigma, decrease]))
    require(all(np.isfinite(part).all() for part in estimates), "an estimate is not finite")
    objective = Objective(products, reml)
    require(products.nobs > p and objective.residual_df > 0, "there are too few rows")
    with linear_algebra_threads(products.dense.shape[0], None):
        factor = objective.factorise(phi)
    again = objective.value_of(factor)
    require(
        np.isfinite(again) and abs(again - value) <= TOLERANCE * max(1.0, abs(value)), "its numbers do not fit together"
    )
    model = LocalModel(phi, value, gradient, hessian, bool(stored["exact"]), factor)
    status = str(stored["status"])
    require(status in ("converged", "singular", "not identified", "not converged"), "the status of the fit is unknown")
    unknown = restore_identification(stored.get("identification"), reader, parameters, p)
    require((status == "not identified") == bool(unknown[0]), "what the fit does not identify is incomplete")
    trace = tuple(reader.array(stored["trace"], "f", 1).tolist())
    for array in (gradient, theta, beta, unscaled):
        array.flags.writeable = False
    ending = Convergence(
        status, str(stored["message"]), str(stored["optimizer"]), int(stored["evaluations"]), gradient, float(decrease),
        trace, model, objective, *unknown,
    )  # fmt: skip
    fit = EngineFit(objective, model, theta, criterion, beta, sigma, unscaled, bool(stored["singular"]), ending)
    _check_estimates(fit, finish(objective, model, fit.singular, ending))
    return fit


def _check_estimates(stored: EngineFit, again: EngineFit) -> None:
    """Refuse estimates that are not those of the stored cross-products."""
    errors = np.sqrt(np.abs(np.diag(again.unscaled_vcov))) * again.sigma
    close = [
        abs(stored.sigma - again.sigma) <= TOLERANCE * again.sigma,
        abs(stored.criterion - again.criterion) <= TOLERANCE * max(1.0, abs(again.criterion)),
        bool((np.abs(stored.beta - again.beta) <= TOLERANCE * (errors + np.abs(again.beta))).all()),
        np.allclose(stored.theta, again.theta, rtol=TOLERANCE, atol=TOLERANCE),
        np.allclose(
            stored.unscaled_vcov,
            again.unscaled_vcov,
            rtol=TOLERANCE,
            atol=TOLERANCE * np.abs(again.unscaled_vcov).max(initial=0),
        ),
    ]
    require(all(close), "its numbers do not fit together")


def _scaling(stored: Any, reader: ArchiveReader, n_columns: int) -> ColumnScaling:
    places = reader.array(stored["places"], "i", 1)
    shift, scale = reader.array(stored["shift"], "f", 1), reader.array(stored["scale"], "f", 1)
    constant = int(stored["constant"])
    require(places.shape == shift.shape == scale.shape, "a scaling is incomplete")
    require(places.size == 0 or (places.min() >= 0 and places.max() < n_columns), "a scaling is out of range")
    require(-1 <= constant < max(places.size, 1), "a scaling is out of range")
    require(
        bool(np.isfinite(shift).all() and np.isfinite(scale).all() and (scale != 0).all()), "a scaling is not finite"
    )
    return ColumnScaling(places, shift, scale, constant)


def _products(
    stored: Any,
    reader: ArchiveReader,
    random: Sequence[RandomTerm],
    factors: dict[str, GroupingFactor],
    n_columns: int,
) -> CrossProducts:
    blocks = tuple(
        Block(
            factors[block["factor"]],
            _scaling(block["columns"], reader, n_columns),
            tuple(int(t) for t in block["terms"]),
        )
        for block in stored["blocks"]
    )
    depth = int(stored["depth"])
    order = tuple(int(t) for t in stored["term_order"])
    require(0 <= depth <= len(blocks) <= len(random), "the order of elimination is damaged")
    independent = all(block.factor.relation is None for block in blocks[:depth])
    require(independent, "the order of elimination has related levels")
    require(sorted(order) == list(range(len(random))), "the order of the terms is damaged")
    require(len({id(block.factor) for block in blocks}) == len(blocks), "a grouping factor stands twice")
    require(all(block.size > 0 and block.n_levels > 0 for block in blocks), "a grouping factor is empty")
    terms = tuple(
        _term(part, reader, random[position], blocks) for part, position in zip(stored["terms"], order, strict=True)
    )
    plan_parents, layout, lengths = _layout(stored, reader, blocks, depth, fixed_columns(stored, reader))
    plan = Plan(blocks, depth, plan_parents, Parameters(terms, tuple(block.size for block in blocks)), order)
    fixed = _scaling(stored["fixed"], reader, n_columns)
    diagonal, tail, values = (reader.array(stored[name], "f", 1) for name in ("diagonal", "tail", "values"))
    require((diagonal.size, tail.size, values.size) == lengths, "the cross-products have the wrong size")
    dense = reader.array(stored["dense"], "f", 2)
    width = plan.n_dense + fixed.places.size + 1
    require(dense.shape == (width, width), "the cross-products have the wrong size")
    require(
        all(bool(np.isfinite(part).all()) for part in (diagonal, tail, values, dense)), "a cross-product is not finite"
    )
    shift, scale, log_weights = (float(number) for number in reader.array(stored["numbers"], "f", 1)[:3])
    require(
        bool(np.isfinite([shift, scale, log_weights]).all()) and scale > 0, "the scaling of the response is damaged"
    )
    signal = reader.array(stored["signal"], "f", 1) if "signal" in stored else None
    require(
        signal is None or (signal.shape == fixed.places.shape and bool(np.isfinite(signal).all())),
        "what was taken off the response is damaged",
    )
    return CrossProducts(
        plan,
        fixed,
        shift,
        scale,
        layout,
        diagonal,
        tail,
        values,
        np.ascontiguousarray(dense),
        int(stored["nobs"]),
        log_weights,
        signal,
    )


def fixed_columns(stored: Any, reader: ArchiveReader) -> int:
    """Return the number of fixed-effects columns."""
    return int(reader.array(stored["fixed"]["places"], "i", 1).size)


def _term(stored: Any, reader: ArchiveReader, term: RandomTerm, blocks: tuple[Block, ...]) -> TermParameters:
    k = len(term.columns)
    block, offset = int(stored["block"]), int(stored["offset"])
    to_engine, to_user = reader.array(stored["to_engine"], "f", 2), reader.array(stored["to_user"], "f", 2)
    require(0 <= block < len(blocks) and 0 <= offset <= blocks[block].size - k, "a term is out of range")
    require(blocks[block].factor is term.factor, "a term belongs to another grouping factor")
    require(to_engine.shape == to_user.shape == (k, k), "a term has the wrong size")
    require(bool(np.isfinite(to_engine).all() and np.isfinite(to_user).all()), "a term is not finite")
    require(np.allclose(to_user @ to_engine, np.eye(k), rtol=0.0, atol=1e-6), "the scaling of a term is damaged")
    return TermParameters(structure_of(term.structure, k), block, offset, to_engine, to_user)


def _starts(counts: Sequence[int]) -> tuple[IntArray, int]:
    ends = np.cumsum([0, *counts], dtype=np.int64)
    return ends[:-1], int(ends[-1])


def _layout(
    stored: Any, reader: ArchiveReader, blocks: tuple[Block, ...], depth: int, p: int
) -> tuple[dict[tuple[int, int], npt.NDArray[np.int32]], ChainLayout, tuple[int, int, int]]:
    """Return the parents of the chain's levels, the layout, and the sizes of the arrays that it describes."""
    chain = blocks[:depth]
    q = sum(block.size * block.n_levels for block in blocks[depth:])
    levels = [block.n_levels for block in chain]
    sizes = [block.size for block in chain]
    ahead = [sum(sizes[i + 1 :]) for i in range(depth)]
    ahead_column = np.zeros((depth, depth), dtype=np.int64)
    pairs = [(i, other) for i in range(depth) for other in range(i + 1, depth)]
    for i, other in pairs:
        ahead_column[i, other] = sum(sizes[i + 1 : other])
    listed = [_checked_columns(part, reader, levels[i], q, p) for i, part in enumerate(stored["stages"])]
    require(len(listed) == depth, "the order of elimination is damaged")
    parents, positions = {}, {}
    for (i, other), parent_name, position_name in zip(pairs, stored["parents"], stored["positions"], strict=True):
        parent, position = reader.array(parent_name, "c", 1), reader.array(position_name, "c", 1)
        require(parent.shape == (levels[i],), "nested levels are incomplete")
        require(bool(parent.min() >= 0 and parent.max() < levels[other]), "nested levels are out of range")
        (lower, own), (upper, above) = listed[i], listed[other]
        require(position.shape == own.shape, "nested levels are incomplete")
        owner = parent[np.repeat(np.arange(levels[i]), np.diff(lower))]
        at = upper[owner] + position
        require(bool((position >= 0).all() and (at < upper[owner + 1]).all()), "nested levels are out of range")
        require(bool((above[at] == own).all()), "nested levels do not fit together")
        parents[i, other], positions[i, other] = parent, position
    diagonal_at, n_diagonal = _starts([j * k * k for j, k in zip(levels, sizes, strict=True)])
    tail_at, n_tail = _starts([j * k * a for j, k, a in zip(levels, sizes, ahead, strict=True)])
    values_at, n_values = _starts([k * columns.size for k, (_, columns) in zip(sizes, listed, strict=True)])
    parent_at, parent = _flat(depth, pairs, parents)
    position_at, position = _flat(depth, pairs, positions)
    layout = ChainLayout(
        levels=np.array(levels, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64),
        ahead=np.array(ahead, dtype=np.int64),
        diagonal_at=diagonal_at,
        tail_at=tail_at,
        indptr_at=_starts([j + 1 for j in levels])[0],
        indptr=np.concatenate([np.empty(0, np.int64), *(indptr for indptr, _ in listed)]),
        index_at=_starts([columns.size for _, columns in listed])[0],
        column=np.concatenate([np.empty(0, np.int32), *(columns for _, columns in listed)]),
        values_at=values_at,
        ahead_column=ahead_column,
        parent_at=parent_at,
        parent=parent,
        position_at=position_at,
        position=position,
        factor_at=_starts([k * k for k in sizes])[0],
        effects_at=_starts([j * k for j, k in zip(levels, sizes, strict=True)])[0],
    )
    return parents, layout, (n_diagonal, n_tail, n_values)


def _checked_columns(
    stored: Any, reader: ArchiveReader, levels: int, q: int, p: int
) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Return which columns of the dense matrix each level of a stage meets: ascending, the fixed ones and the response last."""
    indptr, columns = reader.array(stored["indptr"], "i", 1), reader.array(stored["columns"], "c", 1)
    require(
        indptr.shape == (levels + 1,) and indptr[0] == 0 and indptr[-1] == columns.size, "a level's columns are damaged"
    )
    counts = np.diff(indptr)
    require(bool((counts > p).all()), "a level's columns are damaged")
    require(bool(columns.min() >= 0 and columns.max() == q + p), "a level's columns are out of range")
    last = indptr[1:, None] - np.arange(p + 1, 0, -1)
    require(bool((columns[last] == np.arange(q, q + p + 1)).all()), "a level's columns are damaged")
    inside = np.ones(columns.size, dtype=np.bool_)
    inside[indptr[:-1]] = False
    require(bool((np.diff(columns, prepend=np.int32(-1)) > 0)[inside].all()), "a level's columns are out of order")
    return indptr, columns


def _flat(
    depth: int, pairs: list[tuple[int, int]], arrays: dict[tuple[int, int], npt.NDArray[np.int32]]
) -> tuple[IntArray, npt.NDArray[np.int32]]:
    at = np.zeros((depth, depth), dtype=np.int64)
    total = 0
    for pair in pairs:
        at[pair] = total
        total += arrays[pair].size
    return at, np.concatenate([arrays[pair] for pair in pairs]) if pairs else np.empty(0, dtype=np.int32)
