"""Saving a fit to a file and loading it again, without pickle: arrays, JSON and, where asked for, the data as Parquet."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from multilevel._version import __version__
from multilevel.arguments import checked
from multilevel.errors import DataError, FileError, MissingFileError, MultilevelWarning
from multilevel.export.archive import MAX_BYTES, ArchiveReader, ArchiveWriter
from multilevel.export.rows_not_saved import RowsNotSaved
from multilevel.export.stored_consistency import check_design
from multilevel.export.stored_engine import restore_engine, store_engine
from multilevel.export.stored_formula import (
    require,
    restore_encoder,
    restore_formula,
    restore_levels,
    store_encoder,
    store_levels,
    texts,
)
from multilevel.export.stored_options import restore_argument, restore_control, store_argument, store_control
from multilevel.export.stored_relations import (
    restore_relation,
    restore_relationships,
    store_relation,
    store_relationships,
)
from multilevel.export.stored_residuals import (
    restore_residual_design,
    restore_residual_parts,
    store_residual,
    store_residual_parts,
    with_residual,
)
from multilevel.export.stored_rows import restore_rows, store_rows
from multilevel.formula.build import build_design
from multilevel.formula.design import Design, GroupingFactor, RandomTerm
from multilevel.model.fit_facts import StoredFacts
from multilevel.model.source import FitSource

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FORMAT = "multilevel fit"
VERSION = 3
"""Raised when a file can no longer be read by what reads those of the version before. Version 2 has related levels, version 3
residual structures."""


def save(fit: LinearMixedModel, path: str | PathLike[str], *, data: bool = False) -> None:
    """Save a fit to a file.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    path : str or path
        The file; one that is there is replaced.
    data : bool
        Whether the rows and the data frame are saved too. Without them a loaded fit can be summarised, tested (`anova`, contrasts,
        intervals, profiles) and used for predictions and simulations of new data, since it holds the cross-products, the design's
        memory and the estimates; what looks at the rows of the fit itself (`fitted`, `residuals`, `refit`, a bootstrap, `update`,
        a comparison with another fit) needs them.

    Raises
    ------
    DataError
        The rows are to be saved and the fit does not hold them.
    FileError
        The file cannot be written; one that was there is as it was.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit.save(pathlib.Path(folder) / "fit.mlm")
    ...     again = ml.load(pathlib.Path(folder) / "fit.mlm")
    >>> str(again.summary()) == str(fit.summary())
    True
    """
    design = fit._design
    rowless = isinstance(design.columns, RowsNotSaved)
    if data and rowless:
        raise DataError("This fit was loaded from a file without its rows, so that they cannot be saved with it.")
    writer = ArchiveWriter()
    factors: list[GroupingFactor] = []
    for term in design.random:
        if all(term.factor is not known for known in factors):
            factors.append(term.factor)
    place = {factor.name: i for i, factor in enumerate(factors)}
    given = dict(getattr(fit._data, "arguments", {}))
    related = store_relationships(given.pop("relationship", None), writer)
    residual_argument = store_residual_parts(given.pop("residual", None))
    # A version that knows nothing of a structure must not read what has it as independent.
    version = 2 if any(factor.relation is not None for factor in factors) else 1
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": version if design.residual is None else VERSION,
        "library": __version__,
        "formula": str(design.formula),
        "reml": fit.reml,
        "control": store_control(fit._control),
        "arguments": {name: store_argument(value, data) for name, value in given.items()},
        "relationships": related,
        "residual_argument": residual_argument,
        "residual": store_residual(fit, writer, data),
        "design": {
            "n_fixed": design.n_fixed,
            "n_columns": int(design.columns.shape[1]),
            "fixed_names": list(design.fixed_names),
            "fixed_assign": list(design.fixed_assign),
            "term_labels": list(design.term_labels),
            "dropped_names": list(design.dropped_names),
            "response_name": design.response_name,
            "n_rows": design.n_rows,
            "missing_by_column": dict(design.missing_by_column),
            "na_action": design.na_action,
            "weighted": design.weights is not None,
            "has_offset": design.offset is not None,
            "factors": [
                {
                    "name": factor.name,
                    "levels": store_levels(factor.level_set, f"groups/{i}", writer),
                    "relation": store_relation(factor.relation, f"groups/{i}", writer),
                }
                for i, factor in enumerate(factors)
            ],
            "random": [
                {
                    "label": term.label,
                    "factor": place[term.factor.name],
                    "names": list(term.names),
                    "columns": list(term.columns),
                    "structure": term.structure,
                }
                for term in design.random
            ],
        },
        "encoder": None if design.encoder is None else store_encoder(design.encoder, place, writer),
        "engine": store_engine(fit._engine, writer),
        "quantiles": writer.array("quantiles", fit._scaled_residual_quantiles),
        "hypotheses": _store_hypotheses(fit, writer),
        "rows": store_rows(fit, factors, writer) if data else None,
    }
    writer.write(Path(path), manifest)


@checked
def load(path: str | PathLike[str], *, max_bytes: int = MAX_BYTES) -> LinearMixedModel:
    """Load a fit that was saved by `LinearMixedModel.save`.

    Nothing in the file is executed, and everything in it is checked, so that a file from a stranger is safe to open.

    Parameters
    ----------
    path : str or path
        The file.
    max_bytes : int
        The most bytes that it may hold once unpacked.

    Returns
    -------
    LinearMixedModel
        The fit. It gives the same summary, tests and predictions as the one that was saved. A data frame saved with it comes back
        as a pandas one.

    Raises
    ------
    DataError
        The file is no saved fit, is damaged, too large, or was written by a later version.
    MissingFileError, FileError
        There is no such file (a `FileNotFoundError` too), or it cannot be read (an `OSError`).
    """
    source = Path(path)
    try:
        reader = ArchiveReader(source, max_bytes)
    except zipfile.BadZipFile as error:
        raise DataError(f"The file {str(source)!r} is no saved fit.") from error
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {str(source)!r}.") from error
    except OSError as error:
        raise FileError(f"The file {str(source)!r} cannot be read: {error.strerror or error}.") from error
    except DataError:
        raise
    except Exception as error:  # whatever a file from a stranger makes zipfile raise
        raise DataError(_damaged(source, error)) from error
    try:
        manifest = reader.manifest()
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise DataError(f"The file {str(source)!r} is no saved fit.")
        version = manifest.get("version")
        if isinstance(version, int) and version > VERSION:
            raise DataError(
                f"The file {str(source)!r} was written by multilevel {manifest.get('library')} in a format that this version"
                f" ({__version__}) cannot read; update multilevel."
            )
        return _restore(manifest, reader)
    except DataError as error:
        if str(source) in str(error):
            raise
        raise DataError(_damaged(source, error)) from error
    except Exception as error:
        # A file from a stranger can hold anything, and what its parts raise then has no list. All of it means the same.
        raise DataError(_damaged(source, error)) from error
    finally:
        reader.close()


def _damaged(path: Path, error: BaseException) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return f"The file {str(path)!r} is damaged or no saved fit: {text.rstrip('.')}."


def _restore(manifest: dict[str, Any], reader: ArchiveReader) -> LinearMixedModel:
    from multilevel.model.fitted import LinearMixedModel

    require(manifest["version"] in range(1, VERSION + 1), "its version is unknown")
    stored, rows = manifest["design"], manifest["rows"]
    engine_part = manifest["engine"]
    nobs, n_columns, p = int(engine_part["nobs"]), int(stored["n_columns"]), int(stored["n_fixed"])
    require(0 <= p < n_columns and nobs > 0, "the size of the design is damaged")
    levels = [restore_levels(factor["levels"], reader) for factor in stored["factors"]]
    factors = []
    for i, factor in enumerate(stored["factors"]):
        codes = cast("npt.NDArray[np.int32]", RowsNotSaved((nobs,)))
        if rows is not None:
            codes = reader.array(rows["codes"][i], "c", 1)
            require(codes.shape == (nobs,), "the rows are incomplete")
            require(bool(codes.min() >= 0 and codes.max() < len(levels[i])), "the rows have unknown levels")
        relation = restore_relation(factor.get("relation"), len(levels[i]), reader)
        factors.append(GroupingFactor(str(factor["name"]), codes, levels[i], relation))
    by_name = {factor.name: factor for factor in factors}
    require(len(by_name) == len(factors), "a grouping factor stands twice")
    random = []
    for term in stored["random"]:
        columns, names = tuple(int(c) for c in term["columns"]), tuple(texts(term["names"]))
        require(
            len(columns) == len(names) > 0 and 0 <= min(columns) <= max(columns) < n_columns - 1, "a term is damaged"
        )
        random.append(
            RandomTerm(str(term["label"]), factors[int(term["factor"])], names, columns, str(term["structure"]))
        )
    engine = restore_engine(engine_part, reader, random, by_name, n_columns, bool(manifest["reml"]))
    require(engine.beta.size == p, "the estimates have the wrong number")
    design = Design(
        formula=restore_formula(manifest),
        columns=cast("npt.NDArray[np.float64]", RowsNotSaved((nobs, n_columns))),
        n_fixed=p,
        fixed_names=tuple(texts(stored["fixed_names"])),
        fixed_assign=tuple(int(at) for at in stored["fixed_assign"]),
        term_labels=tuple(texts(stored["term_labels"])),
        dropped_names=tuple(texts(stored["dropped_names"])),
        response_name=str(stored["response_name"]),
        random=tuple(random),
        weights=cast("npt.NDArray[np.float64]", RowsNotSaved((nobs,))) if stored["weighted"] else None,
        offset=cast("npt.NDArray[np.float64]", RowsNotSaved((nobs,))) if stored["has_offset"] else None,
        n_rows=int(stored["n_rows"]),
        kept=None,
        missing_by_column={str(name): int(count) for name, count in stored["missing_by_column"].items()},
        na_action=str(stored["na_action"]),
        row_labels=None,
        encoder=None if manifest["encoder"] is None else restore_encoder(manifest["encoder"], levels, reader),
        residual=restore_residual_design(manifest.get("residual"), reader, nobs),
    )
    check_design(design)
    frame, arguments = None, _arguments(manifest, reader)
    if rows is not None:
        design, frame = restore_rows(design, rows, arguments, reader)
        design = _with_dropped_columns(design, arguments)
    if design.residual is not None:
        require((manifest["residual"]["rows"] is None) == (rows is None), "the residual structure is incomplete")
        engine = with_residual(engine, design, manifest["residual"], reader)
    stored_facts = None
    if rows is None:
        quantiles = reader.array(manifest["quantiles"], "f", 1)
        require(quantiles.shape == (5,) and bool(np.isfinite(quantiles).all()), "the residuals' quantiles are damaged")
        stored_facts = StoredFacts(quantiles, _restore_hypotheses(manifest["hypotheses"], reader, design))
    return LinearMixedModel(
        design,
        engine,
        bool(manifest["reml"]),
        restore_control(manifest["control"]),
        FitSource(frame, MappingProxyType(arguments)),
        stored_facts,
    )


def _with_dropped_columns(design: Design, arguments: dict[str, Any]) -> Design:
    """Return the design with what an earlier version did not save: how the columns that were dropped follow from the others."""
    encoder = design.encoder
    if not design.dropped_names or encoder is None or encoder.dropped is not None or design.data is None:
        return design
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        again = build_design(design.formula, design.data, **arguments)
    require(
        again.encoder is not None
        and (again.fixed_names, again.dropped_names) == (design.fixed_names, design.dropped_names),
        "the data do not give its columns",
    )
    return replace(design, encoder=replace(encoder, dropped=again.encoder.dropped if again.encoder else None))


def _arguments(manifest: dict[str, Any], reader: ArchiveReader) -> dict[str, Any]:
    """Return the arguments of `lmer` that the fit had."""
    arguments = {str(name): restore_argument(value) for name, value in manifest["arguments"].items()}
    arguments["residual"] = restore_residual_parts(manifest.get("residual_argument", []))
    arguments["relationship"] = restore_relationships(manifest.get("relationships", []), reader)
    return arguments


# ---- what is worked out of the rows ------------------------------------------------------------------------------------


def _store_hypotheses(fit: LinearMixedModel, writer: ArchiveWriter) -> dict[str, list[str]]:
    """Return the hypotheses of types I, II and III about the terms, which are made of the rows."""
    from multilevel.inference.hypotheses import term_hypotheses

    found = {}
    for kind in (1, 2, 3):
        try:
            rows = term_hypotheses(fit, kind)
        except DataError:
            # A fit without its data frame (after refit, say) has none of type III; nor will the loaded one.
            continue
        found[str(kind)] = [writer.array(f"hypotheses/{kind}_{i}", matrix) for i, matrix in enumerate(rows)]
    return found


def _restore_hypotheses(stored: Any, reader: ArchiveReader, design: Design) -> dict[int, list[npt.NDArray[np.float64]]]:
    found = {int(kind): [reader.array(name, "f", 2) for name in names] for kind, names in stored.items()}
    for matrices in found.values():
        require(len(matrices) == len(design.term_labels), "the hypotheses are incomplete")
        require(all(matrix.shape[1] == design.n_fixed for matrix in matrices), "a hypothesis has the wrong size")
    return found
