"""Every exception and warning the package raises.

Each exception derives from `MultilevelError` and from the built-in exception that a caller would
catch anyway, so both ``except MultilevelError`` and ``except ValueError`` work.
"""

from __future__ import annotations


class MultilevelError(Exception):
    """Base class of every error raised by this package."""


class FormulaError(MultilevelError, ValueError):
    """A formula cannot be read: its text is malformed or asks for something that has no meaning."""


class UnknownColumnError(MultilevelError, KeyError):
    """A formula or an argument names a column that the data do not have."""

    def __str__(self) -> str:
        """Return the sentence itself (`KeyError` would put it in quotation marks)."""
        return str(self.args[0]) if self.args else ""


class DataError(MultilevelError, ValueError):
    """The data cannot be used as asked: wrong values, wrong lengths, too few levels, nothing left."""


class DataTypeError(MultilevelError, TypeError):
    """An argument or a column has a type that cannot be used here."""


class ControlError(MultilevelError, ValueError):
    """An option has a value that is not one of its choices."""


class FileError(MultilevelError, OSError):
    """A file cannot be read or written: the folder is missing, access is denied, or the disk is full."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class ArgumentError(DataTypeError, ControlError):
    """An argument is of another kind than its function takes: a text for a number, a number for a fitted model."""


class MissingDependencyError(MultilevelError, ImportError):
    """An optional package is needed for what was asked and is not installed."""


class MultilevelWarning(UserWarning):
    """Base class of every warning raised by this package."""


class MissingValuesWarning(MultilevelWarning):
    """Rows were left out of a fit because a value in them is missing."""


class FormulaWarning(MultilevelWarning):
    """A formula says something else than it seems to, such as ``x^2``, which is ``x``."""


class RankDeficiencyWarning(MultilevelWarning):
    """Columns of the fixed-effects design were dropped because others determine them."""


class ConvergenceWarning(MultilevelWarning):
    """The exact gradient or Hessian says that a fit did not end at an optimum."""


class NotIdentifiedWarning(ConvergenceWarning):
    """The data do not determine the covariance parameters of a model: other values of them fit as well."""


class PrecisionWarning(MultilevelWarning):
    """The numbers of the data leave too few digits for an estimate."""
