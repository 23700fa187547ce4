"""``multilevel describe``: what a table holds, before a model is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from multilevel.cli.output import format_option, output_option, render, warnings_on_stderr, write_text
from multilevel.cli.program import EXIT_CODES, Command
from multilevel.cli.reading import check_columns, read_table
from multilevel.cli.suggestions import suggest_columns, suggest_files
from multilevel.errors import DataError

TABLES = ("statistics", "correlations", "sizes", "levels", "variances")


@click.command(
    cls=Command,
    short_help="Describe the columns of a table, and its clusters.",
    epilog=f"""\b
Examples:
  multilevel describe dataset:sleepstudy
  multilevel describe scores.csv score hours --by arm
  multilevel describe scores.csv --cluster school/class
  multilevel describe scores.csv score hours --cluster school --correlations
  multilevel describe scores.csv --cluster school --only variances --format csv -o icc.csv

\b
What is shown:
  statistics    n, mean, sd, median, trimmed mean, mad, range, skew, kurtosis, se, missing values;
                a column with * holds categories, and its numbers are those of the level codes
  correlations  with --correlations: a matrix, and each pair with its interval and test; with
                --cluster also within the clusters, and between their means
  sizes         with --cluster: how many clusters of which sizes, nested or crossed
  levels        with --cluster: which columns vary within clusters, and which only between them
  variances     with --cluster: ICC(1), the share of a column's variance that lies between clusters;
                ICC(2), how reliable a cluster's mean is; the design effect
"levels" tells what can have a random slope: a predictor that does not vary within clusters cannot.

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("columns", nargs=-1, shell_complete=suggest_columns)
@click.option(
    "--by",
    metavar="COLUMN",
    multiple=True,
    shell_complete=suggest_columns,
    help="Describe each group of rows by itself (given repeatedly: each combination).",
)
@click.option(
    "--cluster",
    metavar="COLUMN",
    multiple=True,
    shell_complete=suggest_columns,
    help="The column that says which cluster a row belongs to; a/b for b within a (may be given repeatedly).",
)
@click.option("--correlations", is_flag=True, help="Show the correlations of the columns of numbers.")
@click.option(
    "--method",
    type=click.Choice(["pearson", "spearman", "kendall"]),
    default="pearson",
    show_default=True,
    help="Which correlations.",
)
@click.option(
    "--factors",
    type=click.Choice(["codes", "counts", "omit"]),
    default="codes",
    show_default=True,
    help="What becomes of text and categories: statistics of their level codes, counts of their levels, or nothing.",
)
@click.option("--only", type=click.Choice(TABLES), help="Show one of the tables only.")
@format_option("text", "json", "csv", "html", "markdown", "latex")
@output_option()
def describe(
    file: str,
    columns: Sequence[str],
    by: Sequence[str],
    cluster: Sequence[str],
    correlations: bool,
    method: str,
    factors: str,
    only: str | None,
    form: str,
    output: Path | None,
) -> None:
    """Describe the COLUMNS of the table in FILE; all of them where none is named.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).
    """
    wanted = [
        "statistics",
        *(["correlations"] if correlations or only == "correlations" else []),
        *(["sizes", "levels", "variances"] if cluster else []),
    ]
    if only is not None:
        if only not in wanted:
            raise click.UsageError(f"--only {only} needs --cluster COLUMN", click.get_current_context())
        wanted = [only]
    if form == "csv" and len(wanted) > 1:
        raise click.UsageError(
            f"CSV holds one table: say which with --only ({', '.join(wanted)}), or use --format json",
            click.get_current_context(),
        )
    if form == "csv" and factors == "counts":
        raise click.UsageError("CSV holds one table, without counts: use --format json", click.get_current_context())
    if method != "pearson" and "correlations" not in wanted:
        raise click.UsageError("--method is for correlations: add --correlations", click.get_current_context())
    if "correlations" in wanted and len(cluster) > 1:
        raise click.UsageError(
            "Correlations within and between clusters take one --cluster", click.get_current_context()
        )
    data = read_table(file)
    check_columns(data, columns)
    with warnings_on_stderr():
        found = {
            name: _made(name, data, list(columns), list(by), list(cluster), method, factors, explicit=name == only)
            for name in wanted
        }
        found = {name: result for name, result in found.items() if result is not None}
        text = render(found, form, file, f"{file}: description")
    write_text(text, output)


def _made(
    name: str,
    data: Any,
    columns: list[str],
    by: list[str],
    cluster: list[str],
    method: Any,
    factors: Any,
    *,
    explicit: bool,
) -> Any:
    """Make one of the tables; none of numbers where there are no numbers and the table was not asked for."""
    from multilevel.descriptives.correlation import correlation
    from multilevel.descriptives.description import describe, describe_by
    from multilevel.levels.decomposition import variance_by_level
    from multilevel.levels.sizes import cluster_sizes
    from multilevel.levels.varying import variable_levels

    chosen = columns or None
    if name == "statistics":
        return describe_by(data, by, chosen, factors=factors) if by else describe(data, chosen, factors=factors)
    if name == "sizes":
        return cluster_sizes(data, cluster)
    if name == "levels":
        return variable_levels(data, cluster, chosen)
    numbers = columns and _numbers(data, columns)
    if columns and not numbers:
        if explicit or name == "correlations":
            raise DataError(f"None of the columns {', '.join(columns)} holds numbers.")
        return None
    if name == "correlations":
        clusters = cluster[0].split("/") if cluster and method == "pearson" else None
        return correlation(data, numbers or None, method=method, by=by or None, cluster=clusters)
    return variance_by_level(data, numbers or None, cluster)


def _numbers(data: Any, columns: list[str]) -> list[str]:
    """Return those of some columns that hold numbers or truth values."""
    from pandas.api.types import is_numeric_dtype

    return [name for name in columns if is_numeric_dtype(data[name])]
