"""The command line: ``multilevel fit FILE FORMULA`` and ``multilevel datasets``.

Only click is imported here; what fits models is imported inside the commands, so that ``--help`` and ``--version`` are quick.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel._version import __version__
from multilevel.engine.control import NLOPT_METHODS, SCIPY_METHODS
from multilevel.errors import ControlError, DataTypeError, FormulaError, MultilevelError, UnknownColumnError

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.reporting.summary import Summary

DATASET = "dataset:"
"""What a FILE begins with that names one of the package's own data sets."""

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_MISUSE = (FormulaError, UnknownColumnError, ControlError, DataTypeError)

_EXIT_CODES = """\b
Exit codes:
  0  the model was fitted
  1  the model could not be fitted, or the fit is not at an optimum
  2  wrong use: an option, a file, a formula or a column that does not work"""


class _Program(click.Group):
    """A group that reports every error in one line on standard error."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:  # noqa: ARG002
        """Run a command and exit with its code."""
        try:
            run: Any = super().main
            code = run(*args, standalone_mode=False, **extra)
            sys.stdout.flush()
        except click.UsageError as error:
            hint = "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"
            code = _complain(f"{error.format_message()}{hint}", MISUSED)
        except click.ClickException as error:
            code = _complain(error.format_message(), MISUSED)
        except (click.Abort, KeyboardInterrupt):
            code = _complain("interrupted", INTERRUPTED)
        except _MISUSE as error:
            code = _complain(str(error), MISUSED)
        except MultilevelError as error:
            code = _complain(str(error), FAILED)
        except (ArithmeticError, ValueError, MemoryError) as error:
            code = _complain(f"the model could not be fitted: {error or type(error).__name__}", FAILED)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # Whoever read the output has gone: nothing is left to write, not even when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FAILED
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int) -> int:
    click.echo(f"multilevel: error: {' '.join(message.split())}", err=True)
    return code


@click.group(
    name="multilevel",
    cls=_Program,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  multilevel fit dataset:sleepstudy "Reaction ~ Days + (Days | Subject)"
  multilevel fit scores.csv "score ~ hours + (1 | school/class)" --format json
  multilevel fit --help""",
)
@click.version_option(__version__, prog_name="multilevel", message="%(prog)s %(version)s")
def main() -> None:
    """Fit linear mixed-effects models, with results that agree with R's lme4 and lmerTest."""


@main.command(
    epilog=f"""\b
Examples:
  multilevel fit dataset:sleepstudy "Reaction ~ Days + (Days | Subject)"
  multilevel fit scores.csv "score ~ hours + (1 | school/class)" --ml
  multilevel fit trial.parquet "y ~ arm * week + (week || patient)" --contrasts arm=sum
  multilevel fit data.csv "y ~ dose + (1 | id)" --categorical dose --format html -o fit.html
  gunzip -c data.csv.gz | multilevel fit - "y ~ x + (x | g)" --format json

\b
Formulas are those of lme4:
  (1 | g)      an intercept for each g       (x | g)    intercept and slope, correlated
  (0 + x | g)  a slope only                  (x || g)   intercept and slope, uncorrelated
  (1 | a/b)    b within a                    (1 | a) + (1 | b)   crossed factors
Put them in quotation marks, because of the shell.

{_EXIT_CODES}"""
)
@click.argument("file")
@click.argument("formula")
@click.option("--ml", is_flag=True, help="Maximise the likelihood (default: the restricted likelihood, REML).")
@click.option("--weights", metavar="COLUMN", help="Column of prior weights: row i has residual variance sigma^2 / w_i.")
@click.option("--offset", metavar="COLUMN", help="Column that is a known part of the linear predictor.")
@click.option(
    "--categorical",
    metavar="COLUMN",
    multiple=True,
    help="Treat a column of numbers as a factor (may be given repeatedly). Text columns are factors, and so is what stands"
    " right of a bar.",
)
@click.option(
    "--contrasts",
    metavar="NAME=KIND",
    multiple=True,
    help="How a factor is coded: treatment (default), treatment:LEVEL, sum, helmert, poly or SAS (may be given repeatedly).",
)
@click.option(
    "--na-action",
    type=click.Choice(["omit", "exclude", "fail"]),
    default="omit",
    show_default=True,
    help="What to do with rows that lack a value; fail makes them an error.",
)
@click.option(
    "--optimizer",
    metavar="NAME",
    type=click.Choice(["newton", *SCIPY_METHODS, *NLOPT_METHODS]),
    default="newton",
    show_default=True,
    help=f"How the criterion is minimised: newton, {', '.join(SCIPY_METHODS)}, or, with the nlopt package,"
    f" {', '.join(NLOPT_METHODS)}.",
)
@click.option(
    "--max-evaluations", type=click.IntRange(min=1), default=10_000, show_default=True, help="Most evaluations."
)
@click.option(
    "--correlation/--no-correlation",
    default=None,
    help="Show the correlations of the fixed effects (default: with at most 12 of them; JSON has them always).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html", "markdown", "latex"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write to a file.")
def fit(
    file: str,
    formula: str,
    ml: bool,
    weights: str | None,
    offset: str | None,
    categorical: Sequence[str],
    contrasts: Sequence[str],
    na_action: str,
    optimizer: str,
    max_evaluations: int,
    correlation: bool | None,
    form: str,
    output: Path | None,
) -> int:
    """Fit FORMULA to the data in FILE and print the summary.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).

    Warnings, such as rows left out for missing values, go to standard error.
    """
    if output is not None and not output.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(output.parent)!r}", param_hint="--output")
    coding = dict(_contrast(text) for text in contrasts)
    data = _as_factors(read_table(file), categorical)
    with _warnings_on_stderr():
        from multilevel.engine.control import LmerControl
        from multilevel.model.lmer import lmer

        control = LmerControl(optimizer=optimizer, max_evaluations=max_evaluations)
        fitted = lmer(
            formula,
            data,
            reml=not ml,
            weights=weights,
            offset=offset,
            contrasts=coding or None,
            na_action=na_action,
            control=control,
        )
        summary = fitted.summary(correlation=correlation)
        text = _render(summary, form, file)
    if output is None:
        click.echo(text)
    else:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise click.FileError(str(output), error.strerror or str(error)) from error
    return 0 if summary.convergence.converged else FAILED


@main.command(
    epilog="""\b
Examples:
  multilevel datasets
  multilevel datasets cake
  multilevel fit dataset:cake "angle ~ recipe * temperature + (1 | recipe:replicate)" """
)
@click.argument("name", required=False)
def datasets(name: str | None) -> None:
    """List the example data sets, or describe one."""
    from multilevel.data.datasets import dataset_names, describe_dataset

    if name is None:
        infos = [describe_dataset(each) for each in dataset_names()]
        width = max(len(info.name) for info in infos)
        for info in infos:
            click.echo(f"{info.name:<{width}}  {info.n_rows:>6} rows  {info.title}")
        return
    if name.removeprefix(DATASET) not in dataset_names():
        raise click.ClickException(_no_dataset(name.removeprefix(DATASET)))
    info = describe_dataset(name.removeprefix(DATASET))
    width = max(map(len, info.columns))
    click.echo(f"{info.name}: {info.title}\n{info.n_rows} rows\n")
    for column, meaning in info.columns.items():
        click.echo(f"  {column:<{width}}  {meaning}")
    click.echo("\n" + click.wrap_text(f"Source: {info.source}", width=80))


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
            raise click.ClickException(_no_dataset(name))
        return load_dataset(name)
    ending = "csv" if file == "-" else Path(file.lower().removesuffix(".gz")).suffix.removeprefix(".")
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


def _no_dataset(name: str) -> str:
    from multilevel.data.datasets import describe_dataset
    from multilevel.errors import DataError

    try:
        describe_dataset(name)
    except DataError as error:
        return str(error)
    return f"There is no data set {name!r}."


def _as_factors(data: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Turn columns into factors; their levels stand in the order of the values."""
    from multilevel.data.frames import unknown_column

    for name in columns:
        if name not in data.columns:
            raise UnknownColumnError(unknown_column(name, list(data.columns)))
    return data.astype(dict.fromkeys(columns, "category")) if columns else data


def _contrast(text: str) -> tuple[str, Any]:
    """Read ``NAME=KIND``, where KIND may be ``treatment:LEVEL``."""
    name, found, kind = text.rpartition("=")
    if not (name and found and kind):
        raise click.BadParameter(f"{text!r} is not NAME=KIND, as in arm=sum", param_hint="--contrasts")
    base = kind.removeprefix("treatment:")
    return (name, ("treatment", base)) if base != kind else (name, kind)


def _render(summary: Summary, form: str, file: str) -> str:
    if form == "json":
        import json

        return json.dumps(
            {"multilevel": __version__, "data": file, **summary.to_dict()},
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
    if form == "html":
        return summary.to_html(full=True)
    if form == "markdown":
        return summary.to_markdown()
    return summary.to_latex() if form == "latex" else str(summary)


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Write warnings as single lines on standard error."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
                click.echo(f"multilevel: warning: {text}", err=True)
