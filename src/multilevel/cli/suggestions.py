"""What a shell can complete: tables, data sets, and the columns of the FILE that stands before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from multilevel.cli.reading import DATASET, ending_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def suggest_datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the names of data sets."""
    from multilevel.data.datasets import dataset_names

    return [name for name in dataset_names() if name.startswith(incomplete)]


def suggest_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG001
    """Return the data sets as they are written for FILE; files are left to the shell."""
    from click.shell_completion import CompletionItem

    from multilevel.data.datasets import dataset_names

    if incomplete.startswith(DATASET):
        return [
            CompletionItem(f"{DATASET}{name}") for name in dataset_names() if f"{DATASET}{name}".startswith(incomplete)
        ]
    files = CompletionItem(incomplete, type="file")
    return [CompletionItem(DATASET), files] if incomplete and DATASET.startswith(incomplete) else [files]


def suggest_columns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the columns of the FILE before; none where it cannot be read, for a shell has no place for complaints."""
    # An option that still lacks its value keeps click from giving the words before to the arguments.
    file = ctx.params.get("file") or next(iter(ctx.args), None)
    found: list[str] = []
    if isinstance(file, str) and file != "-":
        with suppress(OSError, ValueError):
            found = columns_of(file)
    return [name for name in found if name.startswith(incomplete)]


def columns_of(file: str) -> list[str]:
    """Return the names of a table's columns, reading no more of it than its head.

    Parameters
    ----------
    file : str
        The name of a file, or ``dataset:NAME``.

    Raises
    ------
    OSError, ValueError
        It cannot be read.
    """
    if file.startswith(DATASET):
        from multilevel.data.datasets import describe_dataset

        return list(describe_dataset(file.removeprefix(DATASET)).columns)
    ending = ending_of(file)
    if ending in ("csv", "tsv", "tab"):
        import csv
        import gzip

        opener = gzip.open if file.lower().endswith(".gz") else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines, delimiter="," if ending == "csv" else "\t"), [])
    if ending in ("parquet", "pq"):
        from pyarrow.parquet import read_schema

        return list(read_schema(file).names)
    if ending in ("feather", "arrow", "ipc"):
        from pyarrow import ipc

        with ipc.open_file(file) as table:
            return list(table.schema.names)
    raise ValueError(f"{file!r} is not a table that can be read.")
