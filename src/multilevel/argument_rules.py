"""What an argument may be: rules that take a value, or refuse it with the rest of a sentence."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from multilevel.errors import ArgumentError, ControlError, UnknownColumnError

NOTHING: Any = object()
"""What a rule returns for a value of another kind."""


# ---- what a type cannot say --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtLeast:
    """The smallest number taken."""

    low: float

    def holds(self, value: float) -> bool:
        """Return whether a number is taken."""
        return bool(value >= self.low)

    def __str__(self) -> str:
        return f"of at least {self.low:g}"


@dataclass(frozen=True)
class Above:
    """The number that those taken are larger than."""

    low: float

    def holds(self, value: float) -> bool:
        """Return whether a number is taken."""
        return bool(value > self.low)

    def __str__(self) -> str:
        return "positive" if self.low == 0 else f"above {self.low:g}"


@dataclass(frozen=True)
class Between:
    """The numbers between which those taken lie; the two themselves are not taken unless `closed`."""

    low: float
    high: float
    closed: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a number is taken."""
        return bool(self.low < value < self.high or (self.closed and value in (self.low, self.high)))

    def __str__(self) -> str:
        if self.closed:
            return f"from {self.low:g} to {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Spellings:
    """Other names of choices, as other software has them."""

    names: Mapping[str, str]


@dataclass(frozen=True)
class Hint:
    """What to say to somebody who gives another value."""

    text: str


@dataclass(frozen=True)
class NotEmpty:
    """A text with something in it."""


@dataclass(frozen=True)
class Later:
    """A note that the function itself looks at the value, when it knows more."""


# ---- rules -------------------------------------------------------------------------------------------------------------------


class Refusal(Exception):  # noqa: N818  (it never leaves this module)
    """A value that is not taken, with the rest of the sentence; `inside` says that something in it is of another kind."""

    def __init__(self, text: str, *, inside: bool = False) -> None:
        super().__init__(text)
        self.inside = inside


@dataclass(frozen=True)
class Rule:
    """What an argument may be: anything."""

    is_choice: ClassVar[bool] = False

    def take(self, value: Any) -> Any:
        """Return the value as the function is to have it, or `NOTHING`."""
        return value

    @property
    def words(self) -> str:
        """What is taken, after "must be"."""
        return "anything"

    @property
    def plural(self) -> str:
        """What several of them are."""
        return f"values, each {self.words}"


ANYTHING = Rule()


@dataclass(frozen=True)
class Missing(Rule):
    """None."""

    is_choice: ClassVar[bool] = True

    def take(self, value: Any) -> Any:
        """Return None."""
        return None if value is None else NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        return "None"


@dataclass(frozen=True)
class TrueOrFalse(Rule):
    """A truth value."""

    def take(self, value: Any) -> Any:
        """Return True or False."""
        value = plain(value)
        return value if isinstance(value, bool) else NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        return "True or False"


@dataclass(frozen=True)
class Numeral(Rule):
    """A number, a whole one where asked, within limits."""

    whole: bool
    limits: AtLeast | Above | Between | None = None

    def take(self, value: Any) -> Any:
        """Return a number of Python's."""
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return NOTHING
        if value != value:
            raise Refusal(f"must be {self.words}, not NaN")
        if self.whole and not isinstance(value, int):
            if value in (float("inf"), float("-inf")) or value != int(value):
                raise Refusal(f"must be {self.words}, not {value!r}")
            value = int(value)
        if isinstance(value, int) and abs(value) >= 2**63:
            raise Refusal("is too large a number")
        if self.limits is not None and not self.limits.holds(value):
            raise Refusal(f"must be {self.words}, not {shown(value)}")
        return value

    @property
    def words(self) -> str:
        """What is taken."""
        kind = "a whole number" if self.whole else "a number"
        return kind if self.limits is None else f"{kind} {self.limits}"

    @property
    def plural(self) -> str:
        """What several of them are."""
        return f"{self.words.removeprefix('a ').replace('number', 'numbers', 1)}"


@dataclass(frozen=True)
class Text(Rule):
    """A text, one with something in it where asked."""

    filled: bool = False

    def take(self, value: Any) -> Any:
        """Return a text."""
        if isinstance(value, str) and self.filled and not value.strip():
            raise Refusal("must not be empty")
        return value if isinstance(value, str) else NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        return "a text"

    @property
    def plural(self) -> str:
        """What several of them are."""
        return "texts"


@dataclass(frozen=True)
class Choice(Rule):
    """One of some values; texts in whatever letters, and by the other names that they have."""

    values: tuple[Any, ...]
    spellings: Mapping[str, Any] = field(default_factory=dict)
    is_choice: ClassVar[bool] = True

    def take(self, value: Any) -> Any:
        """Return the choice as it is spelled here."""
        value = plain(value)
        for known in self.values:
            if type(value) is type(known) and value == known:
                return known
        if not isinstance(value, str):
            return NOTHING
        found = self._by_letters.get(_letters(value), NOTHING)
        if found is NOTHING:
            near = difflib.get_close_matches(_letters(value), self._by_letters, n=1, cutoff=0.7)
            hint = f"; did you mean {self._by_letters[near[0]]!r}?" if near else ""
            raise Refusal(f"must be {self.words}, not {shown(value)}{hint}")
        return found

    @functools.cached_property
    def _by_letters(self) -> dict[str, Any]:
        names = {_letters(name): value for name, value in self.spellings.items()}
        return {**names, **{_letters(str(value)): value for value in reversed(self.values)}}

    @property
    def words(self) -> str:
        """What is taken."""
        words = [repr(value) for value in self.values]
        return listed(words) if len(words) < 3 else f"one of {', '.join(words)}"


@dataclass(frozen=True)
class Instance(Rule):
    """An object of a class, or of one with its name where the class itself is not at hand."""

    kind: Any

    def take(self, value: Any) -> Any:
        """Return the object."""
        if isinstance(self.kind, str):
            return value if any(base.__name__ == self.kind for base in type(value).__mro__) else NOTHING
        return value if isinstance(value, self.kind) else NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        name = self.kind if isinstance(self.kind, str) else self.kind.__name__
        return NOUNS.get(name) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"

    @property
    def plural(self) -> str:
        """What several of them are."""
        return PLURALS.get(self.words) or f"{self.words.split(' ', 1)[1]}s"


@dataclass(frozen=True)
class ListOf(Rule):
    """Several values."""

    item: Rule

    def take(self, value: Any) -> Any:
        """Return a list or a tuple."""
        if isinstance(value, str) and self.item.take(value) is not NOTHING:
            raise Refusal(f"must be {self.words} such as [{shown(value)}], not {shown(value)} alone", inside=True)
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) or hasattr(value, "columns"):
            return NOTHING
        given = value if isinstance(value, list | tuple) else list(value)
        taken = []
        for one in given:
            found = self.item.take(one)
            if found is NOTHING:
                raise Refusal(f"must be {self.words}; {shown(one)} is not one", inside=True)
            taken.append(found)
        return tuple(taken) if isinstance(value, tuple) else taken

    @property
    def words(self) -> str:
        """What is taken."""
        return f"a list of {self.item.plural}" if self.item != ANYTHING else "a list"


@dataclass(frozen=True)
class MappingOf(Rule):
    """Values by name."""

    key: Rule
    item: Rule

    def take(self, value: Any) -> Any:
        """Return a mapping."""
        if not isinstance(value, Mapping):
            if not (hasattr(value, "keys") and hasattr(value, "to_dict") and getattr(value, "ndim", 0) == 1):
                return NOTHING
            value = value.to_dict()
        for key, one in value.items():
            if self.key.take(key) is NOTHING:
                raise Refusal(f"must be {self.words}; the key {shown(key)} is not {self.key.words}", inside=True)
            if self.item.take(one) is NOTHING:
                raise Refusal(
                    f"must be {self.words}; the value of {shown(key)} must be {self.item.words}, not {shown(one)}",
                    inside=True,
                )
        return value

    @property
    def words(self) -> str:
        """What is taken."""
        return "a mapping"


@dataclass(frozen=True)
class Function(Rule):
    """Something to call."""

    def take(self, value: Any) -> Any:
        """Return it."""
        return value if callable(value) else NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        return "a function"


@dataclass(frozen=True)
class OneOf(Rule):
    """What one of several rules takes."""

    parts: tuple[Rule, ...]

    def take(self, value: Any) -> Any:
        """Return the value as the first rule that takes it has it."""
        refusal: Refusal | None = None
        for part in self.parts:
            try:
                found = part.take(value)
            except Refusal as error:
                text = str(error).replace(f"must be {part.words}", f"must be {self.words}", 1)
                refusal = refusal or Refusal(text, inside=error.inside)
                continue
            if found is not NOTHING:
                return found
        if refusal is not None:
            raise refusal
        return NOTHING

    @property
    def words(self) -> str:
        """What is taken."""
        words: dict[str, None] = {}
        for part in self.parts:
            few = isinstance(part, Choice) and len(part.values) < 3
            words.update(dict.fromkeys(map(repr, part.values) if few and isinstance(part, Choice) else [part.words]))
        return listed(list(words))


NOUNS = {
    "LmerControl": "an LmerControl",
    "LinearMixedModel": "a model fitted by lmer",
    "PathLike": "a path",
    "RRandom": "an RRandom",
    "MarginalMeans": "what emmeans or emtrends returned",
    "ModelChecks": "what check_model returned",
}
"""What objects of a class are called in a sentence, where that is not the name of the class."""
PLURALS = {"a model fitted by lmer": "models fitted by lmer"}


def listed(words: Sequence[str]) -> str:
    """Return words as a list with "or"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def shown(value: Any) -> str:
    """Return what a value is, in short."""
    value = plain(value)
    if value is None or isinstance(value, str | bool | int | float):
        if isinstance(value, int) and abs(value) >= 10**60:
            return "a number of more than 60 digits"
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, list | tuple | dict | set) and not value:
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def member(of: Mapping[str, Any], name: Any, what: str) -> Any:
    """Return what stands under a name.

    Raises
    ------
    UnknownColumnError
        There is no such name.
    """
    if not isinstance(name, str) or name not in of:
        raise UnknownColumnError(f"There is no {what} {shown(name)}; there are {', '.join(of)}.")
    return of[name]


def plain(value: Any) -> Any:
    """Return a single number, truth value or text of NumPy's as one of Python's, and anything else as it is."""
    scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if scalar and value.dtype.kind in "biufU" else value


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


@dataclass(frozen=True)
class Hinted(Rule):
    """A rule with a hint for those whose value it does not take."""

    rule: Rule
    hint: str

    def take(self, value: Any) -> Any:
        """Return what the rule does."""
        return self.rule.take(value)

    @property
    def words(self) -> str:
        """What is taken."""
        return self.rule.words


def check(where: str, name: str, rule: Rule, value: Any) -> Any:
    """Return an argument as the function is to have it.

    Raises
    ------
    ArgumentError
        It is of another kind.
    ControlError
        It is none of the choices, or outside of its limits.
    """
    hint = f"; {rule.hint}" if isinstance(rule, Hinted) else ""
    try:
        found = rule.take(value)
    except Refusal as refusal:
        text = f"{where}: {name} {refusal}{hint}"
        kind = ArgumentError if refusal.inside else ControlError
        raise kind(text if text.endswith("?") else f"{text}.") from None
    if found is NOTHING:
        parts = rule.parts if isinstance(rule, OneOf) else (rule,)
        refused = ControlError if all(part.is_choice for part in parts) else ArgumentError
        raise refused(f"{where}: {name} must be {rule.words}, not {shown(value)}{hint}.")
    return found
