"""What the data do not determine of a fit, as it stands in a file: changes of covariances, and other optima that are as good."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.fit import Convergence
from multilevel.engine.identification import Direction, OtherOptimum
from multilevel.engine.parameters import Parameters
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_formula import require

FloatArray = npt.NDArray[np.float64]


def store_identification(ending: Convergence, writer: ArchiveWriter) -> dict[str, Any] | None:
    """Return as JSON what a fit does not identify, its numbers beside it; None for a fit that identifies everything."""
    if not ending.directions:
        return None

    def put(name: str, array: Any) -> str:
        return writer.array(f"identification/{name}", np.asarray(array, dtype=np.float64))

    return {
        "directions": [
            {
                "changes": [put(f"direction_{i}_{t}", change) for t, change in enumerate(direction.changes)],
                "residual": put(f"direction_{i}_residual", [direction.residual]),
            }
            for i, direction in enumerate(ending.directions)
        ],
        "others": [
            {
                "factors": [put(f"other_{i}_{b}", factor) for b, factor in enumerate(other.factors)],
                "residual": put(f"other_{i}_residual", other.residual),
                "beta": put(f"other_{i}_beta", other.beta),
                "sigma": put(f"other_{i}_sigma", [other.sigma]),
                "unscaled_vcov": put(f"other_{i}_unscaled_vcov", other.unscaled_vcov),
            }
            for i, other in enumerate(ending.others)
        ],
    }


def restore_identification(
    stored: Any, reader: ArchiveReader, parameters: Parameters, n_fixed: int
) -> tuple[tuple[Direction, ...], tuple[OtherOptimum, ...]]:
    """Return what `store_identification` stored, checked but for the number of residual parameters."""
    if stored is None:
        return (), ()
    sizes = [(term.structure.size,) * 2 for term in parameters.terms]
    blocks = [(size, size) for size in parameters.block_sizes]

    def get(name: Any, *shape: int) -> FloatArray:
        found = reader.array(name, "f", len(shape))
        require(found.shape == shape and bool(np.isfinite(found).all()), "what the fit does not identify is damaged")
        return found

    def several(names: Any, shapes: list[tuple[int, int]]) -> tuple[FloatArray, ...]:
        require(len(names) == len(shapes), "what the fit does not identify is incomplete")
        return tuple(get(name, *shape) for name, shape in zip(names, shapes, strict=True))

    directions = tuple(
        Direction(several(own["changes"], sizes), float(get(own["residual"], 1)[0])) for own in stored["directions"]
    )
    others = tuple(
        OtherOptimum(
            several(own["factors"], blocks),
            reader.array(own["residual"], "f", 1),
            get(own["beta"], n_fixed),
            float(get(own["sigma"], 1)[0]),
            get(own["unscaled_vcov"], n_fixed, n_fixed),
        )
        for own in stored["others"]
    )
    require(bool(directions), "what the fit does not identify is incomplete")
    return directions, others
