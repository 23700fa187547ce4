"""Random-effects terms with a covariance structure, written as lme4 2.0 and glmmTMB write them: ``ar1(0 + time | g)``."""

from __future__ import annotations

from typing import NamedTuple

from multilevel.errors import FormulaError
from multilevel.formula.deparse import deparse, shown
from multilevel.formula.syntax import Binary, Call, Constant, Node, Paren

STRUCTURES = {
    "us": "unstructured",
    "diag": "diagonal",
    "homdiag": "homdiag",
    "cs": "cs",
    "homcs": "homcs",
    "ar1": "ar1",
    "hetar1": "hetar1",
    "toep": "toep",
    "homtoep": "homtoep",
}
"""The covariance structure that each function names."""

HOMOGENEOUS = {
    "diag": ("homdiag", "diagonal"),
    "cs": ("homcs", "cs"),
    "ar1": ("ar1", "hetar1"),
    "toep": ("homtoep", "toep"),
}
"""What ``hom = TRUE`` and ``hom = FALSE`` make of a function."""

ORDERED = frozenset({"ar1", "hetar1", "toep", "homtoep"})
"""Structures whose columns are in order: the levels of one factor."""

ABSENT = frozenset({"ou", "exp", "gau", "mat", "rr", "propto", "equalto"})
"""Structures of glmmTMB that are not here."""

ELSEWHERE = {
    "un": "us", "csh": "cs", "arh1": "hetar1", "toeph": "toep", "vc": "diag",
    "pdSymm": "us", "pdDiag": "diag", "pdIdent": "homdiag", "pdCompSymm": "homcs", "corAR1": "ar1", "corCompSymm": "homcs",
}  # fmt: skip
"""The structure here for names of SAS and of nlme."""

CALLED = frozenset(STRUCTURES) | ABSENT | frozenset(ELSEWHERE)
"""Functions whose first argument is read as a random-effects term."""


class BarParts(NamedTuple):
    """What a random-effects term consists of."""

    left: Node
    group: Node
    double: bool
    structure: str


def bar_inside(node: Node) -> Binary | None:
    """Return the bar of a random-effects term in its parentheses or in the call of a structure; None of anything else."""
    if isinstance(node, Paren):
        inner = node.inner
    elif isinstance(node, Call) and node.arguments and node.function in CALLED:
        name, inner = node.arguments[0]
        if name is not None:
            return None
    else:
        return None
    return inner if isinstance(inner, Binary) and inner.op in ("|", "||") else None


def bar_parts(node: Node) -> BarParts:
    """Take a random-effects term apart."""
    bar = bar_inside(node)
    assert bar is not None  # only asked of what is a random-effects term
    structure = "unstructured"
    if isinstance(node, Call):
        structure = _structure(node)
        if bar.op == "||":
            raise FormulaError(
                f"The random-effects term {shown(node)} has '||' inside {node.function}(), which says already how its columns"
                " covary; write '|'."
            )
    return BarParts(bar.left, bar.right, bar.op == "||", structure)


def _structure(node: Call) -> str:
    if node.function in ABSENT:
        raise FormulaError(
            f"The covariance structure {node.function}() of {shown(node)} is not available; there are"
            f" {', '.join(STRUCTURES)}."
        )
    if node.function in ELSEWHERE:
        own = ELSEWHERE[node.function]
        raise FormulaError(
            f"The structure {node.function}() of the random-effects term {shown(node)} is {own}() here; write"
            f" {deparse(Call(own, node.arguments))!r}."
        )
    structure = STRUCTURES[node.function]
    for name, value in node.arguments[1:]:
        truth = value.value if isinstance(value, Constant) else None
        if name != "hom" or not isinstance(truth, bool) or node.function not in HOMOGENEOUS:
            taking = ", ".join(f"{function}()" for function in HOMOGENEOUS)
            raise FormulaError(
                f"The random-effects term {shown(node)} has an argument that {node.function}() does not know: besides the term"
                f" there is only hom = TRUE or FALSE, of {taking}."
            )
        structure = HOMOGENEOUS[node.function][0 if truth else 1]
    return structure
