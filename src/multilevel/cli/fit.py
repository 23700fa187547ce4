"""``multilevel fit``: a model and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel.cli.modelling import ABOUT_FORMULAS, ModelOptions, model_options
from multilevel.cli.output import as_json, format_option, output_option, warnings_on_stderr, write_text
from multilevel.cli.program import EXIT_CODES, FAILED, Command
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_files

if TYPE_CHECKING:
    from multilevel.reporting.summary import Summary


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel fit dataset:sleepstudy "Reaction ~ Days + (Days | Subject)"
  multilevel fit scores.csv "score ~ hours + (1 | school/class)" --ml
  multilevel fit trial.parquet "y ~ arm * week + (week || patient)" --contrasts arm=sum
  multilevel fit data.csv "y ~ dose + (1 | id)" --categorical dose --format html -o fit.html
  gunzip -c data.csv.gz | multilevel fit - "y ~ x + (x | g)" --format json

{ABOUT_FORMULAS}

\b
What the summary says:
  Random effects   how much the groups differ: standard deviations of their intercepts and slopes,
                   and of the residuals, in the units of the response
  Fixed effects    the estimates for the whole population, their standard errors, and t tests with
                   Satterthwaite's degrees of freedom
  singular         a variance is estimated as zero, or a correlation as +1 or -1: the random part
                   asks more than the data can tell
  not identified   variances that no data of this design determine: drop what the note names

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("formula")
@model_options
@click.option(
    "--correlation/--no-correlation",
    default=None,
    help="Show the correlations of the fixed effects (default: with at most 12 of them; JSON has them always).",
)
@format_option("text", "json", "html", "markdown", "latex")
@output_option()
def fit(file: str, formula: str, correlation: bool | None, form: str, output: Path | None, **options: Any) -> int:
    """Fit FORMULA to the data in FILE and print the summary.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).

    Warnings, such as rows left out for missing values, go to standard error.
    """
    how = ModelOptions.taken(options)
    data = how.prepared(read_table(file))
    with warnings_on_stderr():
        summary = how.fit(formula, data).summary(correlation=correlation)
        text = _render(summary, form, file)
    write_text(text, output)
    return 0 if summary.convergence.converged else FAILED


def _render(summary: Summary, form: str, file: str) -> str:
    if form == "json":
        return as_json({"data": file, **summary.to_dict()})
    if form == "html":
        return summary.to_html(full=True)
    if form == "markdown":
        return summary.to_markdown()
    return summary.to_latex() if form == "latex" else str(summary)
