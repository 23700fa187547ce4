"""What commands write: text in several forms, tables of data, warnings, and progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from multilevel import files
from multilevel._version import __version__

if TYPE_CHECKING:
    import pandas as pd


class Shown(Protocol):
    """A result in all its written forms."""

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers."""

    def to_html(self) -> str:
        """Return HTML."""

    def to_markdown(self) -> str:
        """Return Markdown."""

    def to_latex(self) -> str:
        """Return LaTeX."""


def format_option(*forms: str) -> Callable[[Any], Any]:
    """Return the option ``--format`` with its choices, the first being the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(list(forms)),
        default=forms[0],
        show_default=True,
        help="Form of the output.",
    )


def output_option(help: str = "Write to a file.", required: bool = False) -> Callable[[Any], Any]:
    """Return the option ``-o``, whose folder must exist."""
    return click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=required, callback=_checked, help=help
    )  # fmt: skip


def _checked(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Say that a folder is missing before anything is computed."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(value.parent)!r}", ctx, param, param_hint="--output")
    return value


def check_ending(output: Path, endings: Sequence[str], what: str) -> str:
    """Return the ending of a file's name without the dot, and refuse those that are not among some."""
    ending = Path(output.name.lower().removesuffix(".gz")).suffix.removeprefix(".")
    if ending not in endings:
        *others, last = (f".{each}" for each in endings)
        raise click.BadParameter(
            f"{output.name!r} does not say what {what} is to be: let it end in {', '.join(others)} or {last}",
            param_hint="--output",
        )
    return ending


def write_text(text: str, output: Path | None) -> None:
    """Write text and the end of its last line to a file, or to standard output."""
    if output is None:
        click.echo(text)
        return
    files.write_text(output, text + "\n")


TABLE_ENDINGS = ("csv", "tsv", "parquet", "feather")


def check_table_output(output: Path | None) -> None:
    """Refuse the name of a table that does not say how it is to be written, before anything is computed."""
    if output is not None:
        ending = check_ending(output, TABLE_ENDINGS, "the table")
        if output.suffix.lower() == ".gz" and ending not in ("csv", "tsv"):
            raise click.BadParameter(f"{output.name!r}: only .csv and .tsv can end in .gz", param_hint="--output")


def write_table(frame: pd.DataFrame, output: Path | None) -> None:
    """Write data as the ending of the file's name says, or as CSV to standard output."""
    if output is None:
        frame.to_csv(sys.stdout, index=False)
        return
    ending = check_ending(output, TABLE_ENDINGS, "the table")
    with files.replacing(output) as stream:
        if ending == "parquet":
            frame.to_parquet(stream, index=False)
        elif ending == "feather":
            frame.to_feather(stream)
        else:
            separator = "," if ending == "csv" else "\t"
            if output.suffix.lower() == ".gz":
                frame.to_csv(stream, index=False, sep=separator, compression="gzip")
            else:
                frame.to_csv(stream, index=False, sep=separator)


INDEX_NAMES = {"statistics": "variable", "tests": "model", "performance": "model", "power": "test"}
"""What the rows of a result are about, where its data frame says so in its index."""


def render(
    results: Mapping[str, Shown], form: str, file: str, title: str, facts: Mapping[str, Any] | None = None
) -> str:
    """Write several results in one of the forms.

    Parameters
    ----------
    results : mapping
        The results, by the names that they have in JSON; underscores are spaces elsewhere.
    form : str
        ``"text"``, ``"json"``, ``"csv"`` (of one result), ``"html"`` (a whole page), ``"markdown"`` or ``"latex"``.
    file : str
        Where the data came from.
    title : str
        The title of the page.
    facts : mapping, optional
        What else JSON says.
    """
    if form == "json":
        return as_json(
            {"data": file, **(facts or {}), **{name: _plain_result(found, name) for name, found in results.items()}}
        )
    if form == "csv":
        (found,) = results.values()
        (name,) = results
        return _labelled(found.to_frame(), name).to_csv(index=False).rstrip("\n")
    if form == "html":
        from multilevel.documents.page import Section, page, scrolled

        sections = []
        for name, found in results.items():
            label = name.replace("_", " ").capitalize()
            sections.append(Section(label, scrolled(found.to_html(), label)))
        return page(title, "", sections, f"Made by multilevel {__version__}.").rstrip("\n")
    if form == "markdown":
        return "\n\n".join(found.to_markdown() for found in results.values())
    if form == "latex":
        return "\n\n".join(found.to_latex() for found in results.values())
    return "\n\n\n".join(str(found) for found in results.values())


def as_json(content: Mapping[str, Any]) -> str:
    """Write JSON that names the version; what is not finite is null."""
    import json

    from multilevel.reporting.summary import _plain

    whole = {"multilevel": __version__, **content}
    return json.dumps(_plain(whole), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _labelled(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return rows with what they are about as their first column."""
    from pandas import RangeIndex

    return frame if isinstance(frame.index, RangeIndex) else frame.reset_index(names=INDEX_NAMES[name])


def _plain_result(found: Shown, name: str) -> dict[str, Any]:
    """Return a result as JSON has it: its title and notes, its rows at full precision, and tables that stand beside them."""
    said: dict[str, Any] = {}
    for fact in ("title", "note", "notes"):
        value = getattr(found, fact, None)
        if value:
            said[fact] = value
    said["rows"] = _labelled(found.to_frame(), name).to_dict("records")
    for beside in ("counts", "icc"):
        table = getattr(found, beside, None)
        if table is not None:
            said[beside] = table.to_dict("records")
    return said


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Write warnings as single lines on standard error."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
                click.echo(f"multilevel: warning: {text}", err=True)


def is_watched() -> bool:
    """Return whether someone sees standard error: progress is shown to people and not written into files."""
    return sys.stderr.isatty()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time, and take it away when it is done."""
    if not is_watched():
        yield
        return
    click.echo(f"{what} …", err=True, nl=False)
    try:
        yield
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)
