"""A residual structure and its estimates, as JSON and arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import EngineFit, ResidualFit
from multilevel.engine.objective import LocalModel
from multilevel.engine.residual_objective import ResidualObjective
from multilevel.engine.rowless_whitening import RowlessWhitening
from multilevel.engine.whitening import ResidualModel, WhitenedProducts
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.rows_not_saved import RowsNotSaved
from multilevel.export.stored_engine import TOLERANCE
from multilevel.export.stored_formula import require, texts
from multilevel.formula.design import Design, ResidualDesign
from multilevel.formula.residual import ResidualCorrelation, ResidualPart, VarIdent, residual_parts

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]

KINDS = (None, "ar1", "car1")


def store_residual(fit: LinearMixedModel, writer: ArchiveWriter, data: bool) -> dict[str, Any] | None:
    """Return the residual structure of a fit as JSON, its numbers beside it; where it stands in the rows only with `data`."""
    from multilevel.inference.satterthwaite import residual_slopes

    design, found = fit._design.residual, fit._engine.residual
    if design is None or found is None:
        return None
    slopes = [residual_slopes(fit._engine, a) for a in range(found.delta.size)]
    places = {name: getattr(design, name) for name in ("stratum_codes", "sequence", "previous", "gap")} if data else {}
    return {
        "by": design.stratum_name,
        "strata": list(design.strata),
        "kind": design.kind,
        "time": design.time_name,
        "within": design.within_name,
        "delta": writer.array("residual/delta", found.delta),
        "gradient": writer.array("residual/gradient", fit.convergence.gradient),
        "hessian": writer.array("residual/hessian", fit.convergence.hessian),
        "vcov_slopes": [writer.array(f"residual/vcov_{a}", vcov) for a, (vcov, _) in enumerate(slopes)],
        "rss_slopes": writer.array("residual/rss", np.array([rss for _, rss in slopes])),
        "rows": {name: writer.array(f"rows/{name}", values) for name, values in places.items()} or None,
    }


def restore_residual_design(stored: Any, reader: ArchiveReader, nobs: int) -> ResidualDesign | None:
    """Return the residual structure as it stands in the rows, checked; without them stand-ins take their place."""
    if stored is None:
        return None
    strata = tuple(texts(stored["strata"]))
    by, kind, time, within = (_text(stored[name]) for name in ("by", "kind", "time", "within"))
    require(kind in KINDS and len(set(strata)) == len(strata), "the residual structure is damaged")
    require((by is None) == (len(strata) < 2) and (by is not None or not strata), "the residual structure is damaged")
    require(by is not None or kind is not None, "the residual structure is damaged")
    rows = stored["rows"]
    if rows is None:
        missing = RowsNotSaved((nobs,))
        places = cast("IntArray", missing)
        return ResidualDesign(by, strata, places, kind, time, within, places, places, cast("FloatArray", missing))
    codes, sequence, previous = (reader.array(rows[name], "c", 1) for name in ("stratum_codes", "sequence", "previous"))
    gap = reader.array(rows["gap"], "f", 1)
    require(
        all(part.shape == (nobs,) for part in (codes, sequence, previous, gap)), "the residual structure is incomplete"
    )
    require(bool(codes.min() >= 0 and codes.max() < max(len(strata), 1)), "the rows have unknown strata")
    # The rows in their order, each after the one before it or the first of its group.
    require(bool((np.sort(sequence) == np.arange(nobs)).all()), "the order of the rows is damaged")
    before = previous[sequence]
    follows = before[1:] == sequence[:-1]
    require(before[0] == -1 and bool((follows | (before[1:] == -1)).all()), "the order of the rows is damaged")
    later = previous >= 0
    require(
        bool(np.isfinite(gap).all() and (gap[later] > 0).all() and (gap[~later] == 0).all()), "the times are damaged"
    )
    require(kind is not None or not later.any(), "the residual structure is damaged")
    require(kind != "ar1" or bool((gap == np.rint(gap)).all()), "the times are damaged")
    return ResidualDesign(by, strata, codes, kind, time, within, sequence, previous, gap)


def _text(value: Any) -> str | None:
    require(value is None or isinstance(value, str), "the residual structure is damaged")
    return cast("str | None", value)


def with_residual(engine: EngineFit, design: Design, stored: Any, reader: ArchiveReader) -> EngineFit:
    """Return a fit's engine with its residual parameters, checked; a design with rows must give the stored criterion."""
    n_residual = 0 if design.residual is None else ResidualModel(design.residual).n_delta
    complete = all(other.residual.shape == (n_residual,) for other in engine.convergence.others)
    require(complete, "what the fit does not identify is incomplete")
    if design.residual is None:
        return engine
    model = ResidualModel(design.residual)
    m, p, d = engine.model.phi.size, engine.beta.size, model.n_delta
    delta, gradient = reader.array(stored["delta"], "f", 1), reader.array(stored["gradient"], "f", 1)
    hessian, rss = reader.array(stored["hessian"], "f", 2), reader.array(stored["rss_slopes"], "f", 1)
    vcov = [reader.array(name, "f", 2) for name in stored["vcov_slopes"]]
    require(delta.shape == rss.shape == (d,) and len(vcov) == d, "the residual parameters have the wrong number")
    require(
        gradient.shape == (m + d,) and hessian.shape == (m + d, m + d), "the residual parameters have the wrong number"
    )
    require(all(slope.shape == (p, p) for slope in vcov), "the residual parameters have the wrong number")
    finite = all(bool(np.isfinite(part).all()) for part in (delta, gradient, hessian, rss, *vcov))
    require(finite, "an estimate of the residual structure is not finite")
    with np.errstate(over="ignore"):
        values = model.natural(delta)
    plausible = bool(np.isfinite(values).all() and (values[: model.n_ratios] > 0).all())
    require(plausible and abs(model.rho(delta)[0]) < 1, "an estimate of the residual structure is out of range")
    joint = LocalModel(
        np.concatenate([engine.model.phi, delta]), engine.model.value, gradient, hessian, True, engine.model.factor
    )
    gradient.flags.writeable = hessian.flags.writeable = False
    ending = replace(engine.convergence, gradient=gradient, _model=joint)
    if stored["rows"] is None:
        slopes = tuple(zip(vcov, rss.tolist(), strict=True))
        rowless = cast("WhitenedProducts", RowlessWhitening(model, slopes))
        return replace(engine, convergence=ending, residual=ResidualFit(rowless, delta, values))
    whitened = WhitenedProducts(design)
    objective = ResidualObjective(whitened, engine.objective.reml)
    again = objective.value(joint.phi)
    close = np.isfinite(again) and abs(again - joint.value) <= TOLERANCE * max(1.0, abs(joint.value))
    require(bool(close), "its numbers do not fit together")
    ending = replace(ending, _objective=objective)
    return replace(engine, convergence=ending, residual=ResidualFit(whitened, delta, values))


# ---- the argument of lmer ----------------------------------------------------------------------------------------------


def store_residual_parts(given: Any) -> list[dict[str, str | None]]:
    """Return the argument `residual` of `lmer` as JSON."""
    return [
        {"var_ident": part.by}
        if isinstance(part, VarIdent)
        else {"kind": part.kind, "time": part.time, "within": part.within}
        for part in residual_parts(given)
    ]


def restore_residual_parts(stored: Any) -> tuple[ResidualPart, ...] | None:
    """Return the argument `residual` of `lmer`."""
    found: list[ResidualPart] = []
    for part in stored:
        if "var_ident" in part:
            found.append(VarIdent(str(part["var_ident"])))
        else:
            require(part["kind"] in KINDS[1:], "the residual structure is damaged")
            found.append(ResidualCorrelation(str(part["kind"]), _text(part["time"]), _text(part["within"])))
    return residual_parts(tuple(found)) or None
