"""Reading R's expression syntax: text to tokens to a tree of small immutable nodes.

Only what a model formula can hold is read: names, numbers, strings, operators, parentheses and calls.
Operators bind as in R, so ``-x^2`` is ``-(x^2)`` and ``a + b | g`` is ``(a + b) | g``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from multilevel.errors import FormulaError


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    id: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string, a truth value, or None (``NULL``)."""

    value: float | str | bool | None


@dataclass(frozen=True, slots=True)
class Paren:
    """An expression in parentheses; kept, so that a formula can be written back as it was."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """A prefix operator, one of ``- + !``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An infix operator."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; each argument is a pair of its name (or None) and its expression."""

    function: str
    arguments: tuple[tuple[str | None, Node], ...]


Node = Name | Constant | Paren | Unary | Binary | Call

# The larger the number, the tighter an operator binds.
BINDING = {
    "|": 2, "||": 2,
    "&": 3, "&&": 3,
    "==": 5, "!=": 5, "<": 5, ">": 5, "<=": 5, ">=": 5,
    "+": 6, "-": 6,
    "*": 7, "/": 7,
    "%in%": 8, "%%": 8, "%/%": 8,
    ":": 9,
    "^": 11,
}  # fmt: skip
UNARY_BINDING = {"!": 4, "-": 10, "+": 10}

_CONSTANTS: dict[str, float | bool | None] = {
    "TRUE": True,
    "True": True,
    "FALSE": False,
    "False": False,
    "NULL": None,
    "None": None,
    "Inf": float("inf"),
    "NaN": float("nan"),
    "NA": float("nan"),
}

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
  | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
  | `(?P<quoted>(?:[^`\\]|\\.)*)`
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<op>%in%|%%|%/%|\*\*|\|\||&&|==|!=|<=|>=|[-+*/:^|&!<>=~(),])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of formula text: its kind, its text and where it begins."""

    kind: str
    text: str
    position: int


def tokenize(text: str) -> list[Token]:
    """Split formula text into tokens, the last of kind ``"end"``."""
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].lstrip()
            what = "an unfinished quotation" if rest[0] in "`'\"" else f"the character {rest[0]!r}"
            raise FormulaError(f"The formula {text.strip()!r} cannot be read at {rest[:20]!r}: it has {what} there.")
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    tokens.append(Token("end", "", end))
    return tokens


class _Parser:
    """A precedence-climbing parser over one list of tokens."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.tokens = tokenize(text)
        self.index = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def advance(self) -> Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def at(self, op: str) -> bool:
        return self.token.kind == "op" and self.token.text == op

    def error(self, problem: str) -> FormulaError:
        return FormulaError(f"The formula {self.text!r} cannot be read: {problem}.")

    def expression(self, minimum: int = 0) -> Node:
        left = self.prefix()
        while self.token.kind == "op":
            op = "^" if self.token.text == "**" else self.token.text
            binding = BINDING.get(op)
            if binding is None or binding < minimum:
                break
            self.advance()
            # The power associates to the right; its exponent may carry a sign, as in x^-1.
            right = self.expression(UNARY_BINDING["-"] if op == "^" else binding + 1)
            left = Binary(op, left, right)
        return left

    def prefix(self) -> Node:
        token = self.token
        if token.kind == "op" and token.text in UNARY_BINDING:
            self.advance()
            return Unary(token.text, self.expression(UNARY_BINDING[token.text]))
        return self.primary()

    def primary(self) -> Node:
        token = self.advance()
        if token.kind == "number":
            return Constant(float(token.text.rstrip("L")))
        if token.kind == "string":
            return Constant(re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        if token.kind == "quoted":
            return Name(re.sub(r"\\([`\\])", r"\1", token.text))
        if token.kind == "name":
            if self.at("("):
                return Call(token.text, self.arguments(token))
            if token.text in _CONSTANTS:
                return Constant(_CONSTANTS[token.text])
            return Name(token.text)
        if token.kind == "op" and token.text == "(":
            if self.at(")"):
                raise self.error("it has an empty pair of parentheses")
            inner = self.expression()
            self.close(token)
            return Paren(inner)
        if token.kind == "end":
            before = f" after {self.tokens[-2].text!r}" if len(self.tokens) > 1 else ""
            raise self.error(f"it ends{before} where a term is expected")
        raise self.error(f"{token.text!r} stands where a term is expected")

    def close(self, opening: Token) -> None:
        if self.at(")"):
            self.advance()
            return
        if self.token.kind == "end":
            piece = self.text[max(opening.position - 8, 0) :][:30]
            raise self.error(f"a parenthesis is not closed, near {piece!r}")
        raise self.error(f"{self.token.text!r} stands where an operator or ')' is expected")

    def arguments(self, function: Token) -> tuple[tuple[str | None, Node], ...]:
        opening = self.advance()
        found: list[tuple[str | None, Node]] = []
        if self.at(")"):
            self.advance()
            return ()
        while True:
            name = None
            following = self.tokens[self.index + 1] if self.token.kind == "name" else None
            if following is not None and following.kind == "op" and following.text == "=":
                name = self.advance().text
                self.advance()
            found.append((name, self.expression()))
            if not self.at(","):
                break
            self.advance()
        self.close(opening if self.token.kind == "end" else function)
        return tuple(found)


def parse_sides(text: str) -> tuple[Node | None, Node | None, bool]:
    """Parse formula text to its left side, its right side, and whether a tilde stands between them."""
    parser = _Parser(text)
    if parser.token.kind == "end":
        raise FormulaError("The formula is empty; write one such as 'y ~ x + (1 | g)'.")
    left = None if parser.at("~") else parser.expression()
    if not parser.at("~"):
        _expect_end(parser)
        return None, left, False
    parser.advance()
    if parser.token.kind == "end":
        return left, None, True
    right = parser.expression()
    _expect_end(parser)
    return left, right, True


def parse_expression(text: str) -> Node:
    """Parse text without a tilde."""
    parser = _Parser(text)
    node = parser.expression()
    _expect_end(parser)
    return node


def _expect_end(parser: _Parser) -> None:
    token = parser.token
    if token.kind == "end":
        return
    if token.text == ")":
        raise parser.error("it has a ')' without its '('")
    if token.text == "~":
        raise parser.error("it has more than one '~'")
    if token.text == "=":
        raise parser.error("'=' stands where an operator is expected; the response and the terms are joined by '~'")
    raise parser.error(f"an operator such as '+' is missing before {token.text!r}")


def names_in(node: Node) -> tuple[str, ...]:
    """Return the variables that an expression uses, each once, in order of appearance."""
    found: dict[str, None] = {}
    _collect_names(node, found)
    return tuple(found)


def _collect_names(node: Node, found: dict[str, None]) -> None:
    if isinstance(node, Name):
        found[node.id] = None
    elif isinstance(node, Paren):
        _collect_names(node.inner, found)
    elif isinstance(node, Unary):
        _collect_names(node.operand, found)
    elif isinstance(node, Binary):
        _collect_names(node.left, found)
        _collect_names(node.right, found)
    elif isinstance(node, Call):
        for _, argument in node.arguments:
            _collect_names(argument, found)
