"""Tables that commands read: files, standard input, and the package's own data sets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel.errors import UnknownColumnError

if TYPE_CHECKING:
    import pandas as pd

DATASET = "dataset:"
"""What a FILE begins with that names one of the package's own data sets."""


def ending_of(file: str) -> str:
    """Return the ending of a table's name, without the dot and without ``.gz``; that of CSV for standard input."""
    return "csv" if file == "-" else Path(file.lower().removesuffix(".gz")).suffix.removeprefix(".")


def read_table(file: str) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    file : str
        The name of a file, ``-`` for CSV on standard input, or ``dataset:NAME``.

    Returns
    -------
    pandas.DataFrame
        The table.

    Raises
    ------
    click.ClickException
        There is no such table, or it cannot be read.
    """
    import pandas as pd
    from pyarrow import ArrowException

    if file.startswith(DATASET):
        from multilevel.data.datasets import dataset_names, load_dataset

        name = file.removeprefix(DATASET)
        if name not in dataset_names():
            raise click.ClickException(no_dataset(name))
        return load_dataset(name)
    ending = ending_of(file)
    packed = file.lower().endswith(".gz")
    source: Any = sys.stdin if file == "-" else file
    try:
        if ending in ("csv", "tsv", "tab"):
            return pd.read_csv(source, sep="," if ending == "csv" else "\t", low_memory=False)
        if ending in ("parquet", "pq") and not packed:
            return pd.read_parquet(source)
        if ending in ("feather", "arrow", "ipc") and not packed:
            return pd.read_feather(source)
    except (OSError, ValueError, ArrowException) as error:
        # The errors of pandas' parsers are ValueErrors, and so is text that is not UTF-8.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise click.ClickException(f"cannot read {_called(file)}: {reason}") from error
    raise click.ClickException(
        f"cannot tell what {file!r} is from its name: use .csv or .tsv (.gz too), .parquet, .feather, .arrow, '-' or"
        f" '{DATASET}NAME'"
    )


def _called(file: str) -> str:
    return "standard input" if file == "-" else repr(file)


def no_dataset(name: str) -> str:
    """Return the sentence that says that there is no data set of a name, and which one may be meant."""
    from multilevel.data.datasets import describe_dataset
    from multilevel.errors import DataError

    try:
        describe_dataset(name)
    except DataError as error:
        return str(error)
    return f"There is no data set {name!r}."


def check_columns(data: pd.DataFrame, columns: Sequence[str]) -> None:
    """Say which column there is not."""
    from multilevel.data.frames import unknown_column

    for name in columns:
        if name not in data.columns:
            raise UnknownColumnError(unknown_column(name, list(data.columns)))


def as_factors(data: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Turn columns into factors; their levels stand in the order of the values."""
    check_columns(data, columns)
    return data.astype(dict.fromkeys(columns, "category")) if columns else data
