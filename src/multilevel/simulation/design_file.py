"""Designs of multilevel data written down in TOML files."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import fields
from typing import Any

from multilevel.errors import ControlError, DataError
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.units import Crossed
from multilevel.size_limits import beyond_limit, current_limits

_STRINGS = re.compile(r""""{3}.*?"{3}|\'{3}.*?\'{3}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*""", re.DOTALL)

REQUIRED = ("formula", "levels", "fixed", "random", "sigma")

EXAMPLE = """\
# Pupils in classes in schools; the schools are assigned to two arms.
formula = "score ~ arm * ses + (1 + ses | school) + (1 | class)"
sigma = 12                        # residual standard deviation

[levels]                          # from the outermost to the rows
school = 40
class = "integers(2, 4)"          # in each school, drawn
pupil = 20                        # in each class

[predictors]                      # drawn in this order
arm = "balanced(c('control', 'therapy')) | school"
ses = "normal(0, 1)"
school_ses = "mean(ses) | school"

[fixed]                           # those not named are zero
"(Intercept)" = 100
armtherapy = 5
ses = 4
"armtherapy:ses" = -1

[random]                          # standard deviations and correlations
school = { sd = [6, 1.5], corr = -0.2 }
class = 3

[missing]                         # a share, or an expression for the probability
ses = 0.05
"""
"""A file that shows all that most designs need."""


def read_design(path: str | os.PathLike[str]) -> DataDesign:
    """Read a design from a TOML file.

    Parameters
    ----------
    path : str or path
        The file. Its keys are the arguments of `DataDesign`, its mappings are tables. A level that is shared between units is
        ``item = {crossed = 60, each = 10}``, with the arguments of `Crossed`; columns that are drawn together have their names in
        one key, ``"x, z" = "multivariate_normal(c(0, 0), 1, 0.5)"``.

    Returns
    -------
    DataDesign
        The design.

    Raises
    ------
    OSError
        The file cannot be read.
    DataError
        It is not TOML.
    ControlError
        A part of the design is missing or has no meaning.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        written = file.read()
    try:
        text = written.decode()
        deep = _longest_key(text) > current_limits().nesting
        content = {} if deep else tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        deep, content = True, {}
    except ValueError as error:
        # TOML errors, bytes that are no text, and numbers of thousands of digits are all of this kind.
        raise DataError(f"{name!r} is not TOML: {error}.") from error
    if deep or _nests_deeper(content, current_limits().nesting):
        raise DataError(f"{name!r} nests arrays or tables too deep: {beyond_limit('nesting')}")
    known = [field.name for field in fields(DataDesign) if field.name != "_"]
    unknown = [key for key in content if key not in known]
    if unknown:
        raise ControlError(f"{name!r}: a design has no part {unknown[0]!r}; it has {', '.join(known)}.")
    lacking = [key for key in REQUIRED if key not in content]
    if lacking:
        raise ControlError(f"{name!r} lacks {', '.join(map(repr, lacking))}, which a design needs.")
    for key in ("levels", "predictors", "missing", "contrasts"):
        if not isinstance(content.get(key, {}), dict):
            raise ControlError(f"{name!r}: {key!r} must be a table, [{key}] with a line for each name.")
    content["levels"] = {level: _level(level, size) for level, size in content["levels"].items()}
    if "predictors" in content:
        content["predictors"] = {_columns(key): recipe for key, recipe in content["predictors"].items()}
    if "contrasts" in content:
        content["contrasts"] = {key: _contrast(kind) for key, kind in content["contrasts"].items()}
    return DataDesign(**content)


def _longest_key(text: str) -> int:
    """Return the most dots between two names that may be those of one key: reading long ones takes very long."""
    bare = _STRINGS.sub("s", text)
    return max((piece.count(".") for piece in re.split(r"[,\[\]{}=\n]", bare)), default=0)


def _nests_deeper(value: Any, most: int) -> bool:
    """Tell whether lists and tables stand within one another more than so many times."""
    layer = [value]
    for _ in range(most + 1):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True


def _level(name: str, size: Any) -> Any:
    if not isinstance(size, dict):
        return size
    others = {key: value for key, value in size.items() if key != "crossed"}
    try:
        return Crossed(size["crossed"], **others)
    except (KeyError, TypeError):
        raise ControlError(
            f"The level {name!r} must be a size, or {{crossed = 60}} for units that are shared, with each, within and replace"
            " beside it where needed."
        ) from None


def _columns(key: str) -> str | tuple[str, ...]:
    """Return the name of a column, or the names of several that are drawn together."""
    names = tuple(name.strip() for name in key.split(","))
    return names if len(names) > 1 else key


def _contrast(kind: Any) -> Any:
    """Return contrasts as `lmer` takes them: ``["treatment", "B"]`` is a kind with its base."""
    two_words = isinstance(kind, list) and len(kind) == 2 and all(isinstance(word, str) for word in kind)
    return tuple(kind) if two_words else kind
