"""``multilevel report``: one page on a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from multilevel.cli.modelling import ABOUT_FORMULAS, DDF_NAMES, SHARE, ModelOptions, model_options
from multilevel.cli.output import check_ending, doing, output_option, warnings_on_stderr
from multilevel.cli.program import EXIT_CODES, FAILED, Command
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_files


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel report dataset:sleepstudy "Reaction ~ Days + (Days | Subject)" -o report.html
  multilevel report scores.csv "score ~ hours + (1 | school/class)" -o report.html --title "Hours"
  multilevel report small.csv "y ~ x + (1 | g)" -o report.html --ddf kenward-roger

\b
What the page holds: the model, how many rows and groups it was fitted to and what was left out;
the estimates in a table and in sentences; pictures of data, estimates, random effects and
residuals; the checks, each with its conclusion; a paragraph for the methods section with its
references; and the code that fits the model again. It is one file, needs no network, and is
readable on a phone and in print. Pictures need plotnine: pip install 'multilevel[plot]'.

{ABOUT_FORMULAS}

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("formula")
@output_option("The page, an .html file.", required=True)
@click.option("--title", help="Title of the page (default: it names the response).")
@click.option(
    "--ddf",
    type=DDF_NAMES,
    default="satterthwaite",
    show_default=True,
    help="Degrees of freedom of intervals and p-values.",
)
@click.option(
    "--level",
    type=SHARE,
    default=0.95,
    show_default=True,
    help="Confidence level.",
)
@click.option("--pictures/--no-pictures", default=True, help="Whether pictures are drawn (default: they are).")
@click.option("--checks/--no-checks", default=True, help="Whether the model is checked (default: it is).")
@model_options
def report(
    file: str,
    formula: str,
    output: Path,
    title: str | None,
    ddf: Any,
    level: float,
    pictures: bool,
    checks: bool,
    **options: Any,
) -> int:
    """Fit FORMULA to the data in FILE and write a report on it.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).
    """
    check_ending(output, ("html", "htm"), "the report")
    how = ModelOptions.taken(options)
    data = how.prepared(read_table(file))
    with warnings_on_stderr():
        from multilevel.documents.model_report import report as make

        with doing("Fitting the model"):
            fit = how.fit(formula, data)
        with doing("Writing the report"):
            make(
                fit,
                output,
                title=title,
                ddf=ddf,
                level=level,
                pictures=pictures,
                checks=checks,
                source=None if file == "-" else file,
            )
    return 0 if fit.convergence.converged else FAILED
