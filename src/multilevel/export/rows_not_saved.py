"""What stands in for the rows of a fit that was saved without them."""

from __future__ import annotations

from typing import Any, NoReturn

from multilevel.errors import DataError


class RowsNotSaved:
    """Stands in for an array with a value per row: it knows the array's shape, and refuses everything else.

    Parameters
    ----------
    shape
        The array's shape.
    """

    __slots__ = ("shape",)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __getitem__(self, key: Any) -> NoReturn:
        """Refuse."""
        raise DataError(_SENTENCE)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise DataError(_SENTENCE)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse, but for what Python looks up on its own account."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise DataError(_SENTENCE)


_SENTENCE = (
    "This needs the rows of the data, which were not saved with the fit: save it with fit.save(path, data=True), or fit the"
    " model again."
)
