"""Reading R's expression syntax: text to tokens to a tree of small immutable nodes.

Only what a model formula can hold is read: names, numbers, strings, operators, parentheses and calls.
Operators bind as in R, so ``-x^2`` is ``-(x^2)`` and ``a + b | g`` is ``(a + b) | g``.

A sum of a thousand terms is a tree a thousand deep on its left side. Whatever goes through a tree therefore goes along left
sides in a loop (`left_chain`, `walk`); it calls itself only for what is nested, of which there is a limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from multilevel.errors import FormulaError
from multilevel.size_limits import beyond_limit, current_limits


class _Tree:
    """Equality, hashes and pickles that do not call themselves along the left side of a tree."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and _flat(self) == _flat(other))  # type: ignore[arg-type]

    def __hash__(self) -> int:
        # What stands furthest right is enough to tell most expressions apart.
        node: Any = self
        while not isinstance(node, Name | Constant):
            inner = children(node)
            if not inner:
                return hash(node.function)
            node = inner[-1]
        return hash(node)

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any, ...]]:
        return _built, (_flat(self),)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    id: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string, a truth value, or None (``NULL``); `spelled` is what stands for it, such as ``pi``."""

    value: float | str | bool | None
    spelled: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Paren(_Tree):
    """An expression in parentheses; kept, so that a formula can be written back as it was."""

    inner: Node


@dataclass(frozen=True, slots=True, eq=False)
class Unary(_Tree):
    """A prefix operator, one of ``- + !``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True, eq=False)
class Binary(_Tree):
    """An infix operator."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Call(_Tree):
    """A function call; each argument is a pair of its name (or None) and its expression.

    `package` is what stands before the name, as in ``splines::ns(x)``.
    """

    function: str
    arguments: tuple[tuple[str | None, Node], ...]
    package: str = ""


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

R_CONSTANTS: dict[str, float | bool] = {"pi": 3.141592653589793, "T": True, "F": False}
"""Names that stand for constants where the data have no column of that name."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
  | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
  | `(?P<quoted>(?:[^`\\]|\\.)*)`
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<op>%in%|%%|%/%|\*\*|\|\||&&|:::?|==|!=|<=|>=|[-+*/:^|&!<>=~(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_SHOWN = 300


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
    most = current_limits().symbols
    while position < end:
        if len(tokens) >= most:
            raise FormulaError(f"The formula {shortened(text)!r} is too long: it has {beyond_limit('symbols')}")
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].lstrip()
            what = "an unfinished quotation" if rest[0] in "`'\"" else f"the character {rest[0]!r}"
            raise FormulaError(f"The formula {shortened(text)!r} cannot be read at {rest[:20]!r}: it has {what} there.")
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    tokens.append(Token("end", "", end))
    return tokens


def shortened(text: str) -> str:
    """Return the text of a formula for a message: its beginning where it is long."""
    text = text.strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class _Parser:
    """A precedence-climbing parser over one list of tokens."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.tokens = tokenize(text)
        self.index = 0
        self.depth = 0
        self.deepest = current_limits().nesting

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
        return FormulaError(f"The formula {shortened(self.text)!r} cannot be read: {problem}.")

    def whole(self) -> Node:
        """Read an expression that stands in nothing else."""
        try:
            return self.expression()
        except RecursionError:
            raise self.error(
                "it nests deeper than Python follows; sys.setrecursionlimit() says how deep that is"
            ) from None

    def expression(self, minimum: int = 0) -> Node:
        self.depth += 1
        if self.depth > self.deepest:
            raise FormulaError(
                f"The formula {shortened(self.text)!r} nests parentheses, calls or signs deeper than can be read:"
                f" {beyond_limit('nesting')}"
            )
        left = self.prefix()
        while self.token.kind == "op":
            op = "^" if self.token.text == "**" else self.token.text
            binding = BINDING.get(op)
            if binding is None or binding < minimum:
                break
            self.advance()
            # The power associates to the right; its exponent may carry a sign, as in x^-1.
            right = self.expression(UNARY_BINDING["-"] if op == "^" else binding + 1)
            if isinstance(right, Unary) and right.op == "!" and binding > UNARY_BINDING["!"]:
                # Written back it needs the parentheses, or it would take in what follows.
                right = Paren(right)
            left = Binary(op, left, right)
        self.depth -= 1
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
            return Constant(_unescaped(token.text[1:-1]))
        if token.kind == "quoted":
            return Name(re.sub(r"\\([`\\])", r"\1", token.text))
        if token.kind == "name":
            if self.at("::") or self.at(":::"):
                return self.from_package(token)
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

    def from_package(self, package: Token) -> Node:
        """Read ``splines::ns(x)`` from its colons on."""
        colons = self.advance().text
        function = self.advance()
        if function.kind != "name" or not self.at("("):
            raise self.error(f"{package.text + colons!r} must stand before a function's name and its arguments")
        return Call(function.text, self.arguments(function), package.text)

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


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def parse_sides(text: str) -> tuple[Node | None, Node | None, bool]:
    """Parse formula text to its left side, its right side, and whether a tilde stands between them."""
    parser = _Parser(text)
    if parser.token.kind == "end":
        raise FormulaError("The formula is empty; write one such as 'y ~ x + (1 | g)'.")
    left = None if parser.at("~") else parser.whole()
    if not parser.at("~"):
        _expect_end(parser)
        return None, left, False
    parser.advance()
    if parser.token.kind == "end":
        return left, None, True
    right = parser.whole()
    _expect_end(parser)
    return left, right, True


def parse_expression(text: str) -> Node:
    """Parse text without a tilde."""
    parser = _Parser(text)
    node = parser.whole()
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


# ---- going through trees -------------------------------------------------------------------------------------------


def children(node: Node) -> tuple[Node, ...]:
    """Return the expressions that an expression is made of, from left to right."""
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Call):
        return tuple(argument for _, argument in node.arguments)
    if isinstance(node, Paren):
        return (node.inner,)
    return (node.operand,) if isinstance(node, Unary) else ()


def walk(node: Node) -> Iterator[Node]:
    """Go through an expression and everything in it, from left to right."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def left_chain(node: Node) -> tuple[Node, list[Binary]]:
    """Return what an expression begins with and the operators that follow, ``a`` and those of ``+ b`` and ``- c``."""
    chain: list[Binary] = []
    while isinstance(node, Binary):
        chain.append(node)
        node = node.left
    return node, chain[::-1]


def interaction_members(node: Node) -> tuple[Node, ...]:
    """Return the factors that a combination joins, from left to right."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Paren):
            waiting.append(node.inner)
        elif isinstance(node, Binary) and node.op == ":":
            waiting += [node.right, node.left]
        else:
            found.append(node)
    return tuple(found)


def names_in(node: Node) -> tuple[str, ...]:
    """Return the variables that an expression uses, each once, in order of appearance."""
    return tuple(dict.fromkeys(part.id for part in walk(node) if isinstance(part, Name)))


def rewritten(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """Return an expression with parts of it replaced.

    Parameters
    ----------
    node
        The expression.
    change
        Called from the outside in; returns what takes the place of a part, or None to look at what it is made of.
    """
    chain: list[Binary] = []
    new = change(node)
    while new is None and isinstance(node, Binary):
        chain.append(node)
        node = node.left
        new = change(node)
    result: Node
    if new is not None:
        result = new
    elif isinstance(node, Paren):
        inner = rewritten(node.inner, change)
        result = node if inner is node.inner else Paren(inner)
    elif isinstance(node, Unary):
        operand = rewritten(node.operand, change)
        result = node if operand is node.operand else Unary(node.op, operand)
    elif isinstance(node, Call):
        arguments = tuple((name, rewritten(argument, change)) for name, argument in node.arguments)
        same = all(new is old for (_, new), (_, old) in zip(arguments, node.arguments, strict=True))
        result = node if same else Call(node.function, arguments, node.package)
    else:
        result = node
    for step in reversed(chain):
        right = rewritten(step.right, change)
        unchanged = result is step.left and right is step.right
        result = step if unchanged else Binary(step.op, result, right)
    return result


def _flat(node: Node) -> tuple[tuple[Any, ...], ...]:
    """Return an expression as a list of its parts, each after what it is made of."""
    found: list[tuple[Any, ...]] = []
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name):
            found.append(("name", node.id))
        elif isinstance(node, Constant):
            found.append(("constant", type(node.value).__name__, node.value, node.spelled))
        elif isinstance(node, Paren):
            found.append(("paren",))
        elif isinstance(node, Call):
            found.append(("call", node.function, tuple(name for name, _ in node.arguments), node.package))
        else:
            found.append(("unary" if isinstance(node, Unary) else "binary", node.op))
        waiting.extend(children(node))
    return tuple(reversed(found))


def _built(parts: tuple[tuple[Any, ...], ...]) -> Node:
    """Put an expression together again from its parts."""
    made: list[Node] = []
    for kind, *content in parts:
        if kind == "name":
            made.append(Name(content[0]))
        elif kind == "constant":
            made.append(Constant(content[1], content[2]))
        elif kind == "paren":
            made.append(Paren(made.pop()))
        elif kind == "unary":
            made.append(Unary(content[0], made.pop()))
        elif kind == "binary":
            right = made.pop()
            made.append(Binary(content[0], made.pop(), right))
        else:
            function, names, package = content
            arguments = [made.pop() for _ in names][::-1]
            made.append(Call(function, tuple(zip(names, arguments, strict=True)), package))
    return made[-1]
