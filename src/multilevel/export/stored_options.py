"""The options of a fit and the arguments of `lmer`, as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.export.rows_not_saved import RowsNotSaved
from multilevel.export.stored_formula import texts


def store_control(control: LmerControl) -> dict[str, Any]:
    """Return the options as JSON."""
    options = {field.name: getattr(control, field.name) for field in dataclasses.fields(control)}
    options["optimizer_options"] = json.loads(json.dumps(dict(control.optimizer_options), default=float))
    return options


def restore_control(stored: Any) -> LmerControl:
    """Return the options."""
    known = {field.name for field in dataclasses.fields(LmerControl)}
    return LmerControl(**{name: value for name, value in stored.items() if name in known})


def store_argument(value: Any, data: bool) -> Any:
    """Return an argument of `lmer` as JSON; one value per row only where the rows are saved."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {"mapping": [[str(name), _store_contrast(choice)] for name, choice in value.items()]}
    numbers = np.asarray(value, dtype=np.float64)
    return {"rows": [float(number).hex() for number in numbers.ravel()] if data else None}


def restore_argument(stored: Any) -> Any:
    """Return an argument of `lmer`; it is a stand-in where one value per row was not saved."""
    if stored is None or isinstance(stored, str):
        return stored
    if "mapping" in stored:
        return {str(name): _restore_contrast(choice) for name, choice in stored["mapping"]}
    if stored["rows"] is None:
        return cast("npt.NDArray[np.float64]", RowsNotSaved((0,)))
    return np.array([float.fromhex(number) for number in stored["rows"]])


def _store_contrast(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, tuple) and len(choice) == 2 and isinstance(choice[0], str):
        return {"base": [choice[0], choice[1] if isinstance(choice[1], str) else int(choice[1])]}
    columns = [str(name) for name in choice.columns] if hasattr(choice, "columns") else None
    index = [str(name) for name in choice.index] if hasattr(choice, "columns") else None
    return {"matrix": np.asarray(choice, dtype=np.float64).tolist(), "columns": columns, "index": index}


def _restore_contrast(stored: Any) -> Any:
    if isinstance(stored, str):
        return stored
    if "base" in stored:
        return tuple(stored["base"])
    matrix = np.asarray(stored["matrix"], dtype=np.float64)
    if stored["columns"] is None:
        return matrix
    import pandas as pd

    return pd.DataFrame(matrix, columns=texts(stored["columns"]), index=texts(stored["index"]))
