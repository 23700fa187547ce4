"""Short names for the columns of wide tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_VOWELS = frozenset("aeiou")


def _shorten(name: str, length: int) -> str:
    """Take out lower-case vowels, then lower-case letters, then anything, from the right; every word keeps its first letter."""
    if len(name) <= length:
        return name
    letters = list(name)
    stages: tuple[Callable[[str], bool], ...] = (
        lambda letter: letter in _VOWELS,
        lambda letter: letter.isascii() and letter.islower(),
        lambda letter: not letter.isspace(),
    )
    excess = sum(not letter.isspace() for letter in letters) - length
    for droppable in stages:
        for at in range(len(letters) - 1, 0, -1):
            if excess <= 0:
                break
            if droppable(letters[at]) and not letters[at - 1].isspace():
                del letters[at]
                excess -= 1
    return "".join(letter for letter in letters if not letter.isspace())


def abbreviate(names: Sequence[str], length: int) -> list[str]:
    """Shorten names to about so many characters, keeping them distinct.

    Parameters
    ----------
    names : sequence of str
        The names.
    length : int
        The length aimed at; names that would be the same become longer.

    Returns
    -------
    list of str
        The short names.

    Examples
    --------
    >>> from multilevel.reporting.abbreviate import abbreviate
    >>> abbreviate(["(Intercept)", "interv_label1", "Days"], 6)
    ['(Intr)', 'intr_1', 'Days']
    """
    distinct = list(dict.fromkeys(name.strip() for name in names))
    short = {name: _shorten(name, length) for name in distinct}
    longest = max(map(len, distinct), default=0)
    pending = set(distinct)
    while length < longest:
        seen: set[str] = set()
        again = set()
        for name in distinct:
            if short[name] in seen:
                again.add(short[name])
            seen.add(short[name])
        pending = {name for name in distinct if short[name] in again}
        if not pending:
            break
        length += 1
        short.update({name: _shorten(name, length) for name in pending})
    return [short[name.strip()] for name in names]
