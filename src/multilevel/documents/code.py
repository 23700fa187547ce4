"""The code that fits a model again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.engine.control import LmerControl
from multilevel.formula.residual import ResidualCorrelation, VarIdent

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

_READERS = {"parquet": "read_parquet", "pq": "read_parquet", "feather": "read_feather", "arrow": "read_feather"}


def reproducing_code(fit: LinearMixedModel, source: str | None = None, ddf: str = "satterthwaite") -> str:
    """Return Python code that fits a model again.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    source : str, optional
        The file that the data came from, or ``"dataset:"`` and the name of an example data set; without it the code says that
        ``data`` is needed.
    ddf : str
        The degrees of freedom of its summary.

    Returns
    -------
    str
        The code. Where the call had arrays (weights, an offset, a relationship matrix), comments say that they are needed.
    """
    calls, needed = _arguments(fit)
    lines = ["import multilevel as ml"]
    if source is None:
        needed.insert(0, "# data: the data frame of the analysis")
    elif source.startswith("dataset:"):
        lines += ["", f"data = ml.load_dataset({source.removeprefix('dataset:')!r})"]
    else:
        ending = Path(source).suffix.removeprefix(".").lower()
        tab = ', sep="\\t"' if ending in ("tsv", "tab") else ""
        lines = [
            "import pandas as pd", *lines, "", f"data = pd.{_READERS.get(ending, 'read_csv')}({source!r}{tab})"
        ]  # fmt: skip
    lines += ["", *needed] if needed else []
    options = "" if ddf == "satterthwaite" else f"ddf={ddf!r}"
    return "\n".join([*lines, f"fit = ml.lmer({', '.join(calls)})", f"print(fit.summary({options}))"])


def _arguments(fit: LinearMixedModel) -> tuple[list[str], list[str]]:
    """Return the arguments of the call, and comments on the objects that it needs."""
    calls, needed = [repr(str(fit.formula)), "data"], []
    if not fit.reml:
        calls.append("reml=False")
    for name, value in fit._data.arguments.items():
        if value is None or (name == "na_action" and value == "omit"):
            continue
        if isinstance(value, str):
            calls.append(f"{name}={value!r}")
        elif name == "contrasts":
            calls.append(f"contrasts={_contrasts(value)}")
        elif name == "residual":
            calls.append(f"residual={_residual(value)}")
        else:
            what = "by grouping factor" if name == "relationship" else "one value for each row of the data"
            needed.append(f"# {name}: what was given to lmer, {what}")
            calls.append(f"{name}={name}")
    control = _control(fit._control)
    return [*calls, *([f"control={control}"] if control else [])], needed


def _contrasts(value: Any) -> str:
    parts = []
    for name, spec in dict(value).items():
        plain = spec if isinstance(spec, str) else np.asarray(spec).tolist()
        parts.append(f"{name!r}: {plain!r}")
    return f"{{{', '.join(parts)}}}"


def _residual(value: Any) -> str:
    if isinstance(value, VarIdent | ResidualCorrelation):
        return f"ml.{value}"
    return f"[{', '.join(f'ml.{part}' for part in value)}]"


def _control(control: LmerControl) -> str:
    """Return the call that makes the options, those that are the defaults left out; empty where all are."""
    default = LmerControl()
    changed = []
    for name in LmerControl.__dataclass_fields__:
        value, usual = getattr(control, name), getattr(default, name)
        if name == "optimizer_options":
            value, usual = dict(value), dict(usual)
        elif name == "start" and value is not None:
            value = tuple(float(number) for number in value)
        if value != usual:
            changed.append(f"{name}={value!r}")
    return f"ml.LmerControl({', '.join(changed)})" if changed else ""


def data_facts(fit: LinearMixedModel) -> str:
    """Say what tells whether other data are the same: the size, and a hash of the numbers that entered the fit."""
    design = fit._design
    digest = hashlib.sha256(design.columns.tobytes(order="F"))
    for term in design.random:
        digest.update(term.factor.codes.tobytes())
    return (
        f"The data have {design.n_rows:,} rows, {design.nobs:,} of which entered the fit. "
        f"SHA-256 of the model's columns and groups: {digest.hexdigest()[:16]}."
    )
