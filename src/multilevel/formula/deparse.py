"""Writing expressions back as text, spaced as R spaces them, because R's column names are such text."""

from __future__ import annotations

import re

from multilevel.data.numbers import format_number
from multilevel.formula.syntax import (
    BINDING,
    UNARY_BINDING,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Paren,
    Unary,
    left_chain,
    shortened,
)

_UNSPACED = frozenset({"/", "^", ":", "%%", "%/%"})
_PLAIN_NAME = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*")
_RESERVED = frozenset({"TRUE", "FALSE", "NULL", "NA", "NaN", "Inf", "True", "False", "None"})
_ATOM = 99


def quote_name(name: str) -> str:
    """Return a variable's name as it must be written in a formula: in backquotes where it is not a plain name."""
    if _PLAIN_NAME.fullmatch(name) and name not in _RESERVED:
        return name
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def deparse(node: Node) -> str:
    """Write an expression as R's ``deparse`` does.

    Examples
    --------
    >>> from multilevel.formula.syntax import parse_expression
    >>> deparse(parse_expression("log( x )+I(x ** 2):z"))
    'log(x) + I(x^2):z'
    """
    first, steps = left_chain(node)
    text = _innermost(first)
    if not steps:
        return text
    # Written along the left side in a loop; what needs parentheses there has them opened at the very beginning.
    pieces, opened, before = [text], 0, _binding(first)
    for step in steps:
        binding = BINDING[step.op]
        if before < binding + (step.op == "^"):
            opened += 1
            pieces.append(")")
        pieces.append(step.op if step.op in _UNSPACED else f" {step.op} ")
        pieces.append(_operand(step.right, UNARY_BINDING["-"] if step.op == "^" else binding + 1))
        before = binding
    return "(" * opened + "".join(pieces)


def shown(node: Node, *, quoted: bool = True) -> str:
    """Write an expression for a message, in quotation marks: its beginning where it is long."""
    text = shortened(deparse(node))
    return repr(text) if quoted else text


def _innermost(node: Node) -> str:
    if isinstance(node, Name):
        return quote_name(node.id)
    if isinstance(node, Constant):
        return node.spelled or _constant(node.value)
    if isinstance(node, Paren):
        return f"({deparse(node.inner)})"
    if isinstance(node, Unary):
        return node.op + _operand(node.operand, UNARY_BINDING[node.op])
    assert isinstance(node, Call)
    arguments = (f"{name} = {deparse(value)}" if name else deparse(value) for name, value in node.arguments)
    prefix = f"{node.package}::" if node.package else ""
    return f"{prefix}{node.function}({', '.join(arguments)})"


def _binding(node: Node) -> int:
    if isinstance(node, Binary):
        return BINDING[node.op]
    if isinstance(node, Unary):
        return UNARY_BINDING[node.op]
    return _ATOM


def _operand(node: Node, minimum: int) -> str:
    """Write an operand, in parentheses where the tree was put together by hand and would be read differently."""
    text = deparse(node)
    return text if _binding(node) >= minimum else f"({text})"


def _constant(value: float | str | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return format_number(value)
