"""``multilevel compare``: several models of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel.cli.modelling import ABOUT_FORMULAS, ModelOptions, model_options
from multilevel.cli.output import format_option, is_watched, output_option, render, warnings_on_stderr, write_text
from multilevel.cli.program import EXIT_CODES, FAILED, Command
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_files

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

TABLES = ("tests", "performance", "coefficients")


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel compare dataset:sleepstudy "Reaction ~ Days + (1 | Subject)" \\
                                        "Reaction ~ Days + (Days | Subject)"
  multilevel compare scores.csv "score ~ 1 + (1 | school)" "score ~ hours + (1 | school)" --table
  multilevel compare scores.csv "$SMALL" "$LARGE" --only coefficients --format html -o table.html

\b
What is shown:
  tests         likelihood-ratio tests: each model with the one above it, which should be a special
                case of it; models fitted by REML are fitted anew by maximum likelihood for it
  performance   AIC, AICc and BIC with their weights (the weights of all models sum to 1), R2 of the
                fixed effects (marg.) and of the whole model (cond.), ICC, RMSE, residual sigma
  coefficients  with --table: estimates, intervals and p-values of the models side by side
A small p-value says that the larger model describes the data better; so do a smaller AIC and BIC.

\b
All models are fitted to the same rows: those in which none of them lacks a value.

{ABOUT_FORMULAS}

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("formulas", nargs=-1, required=True, metavar="FORMULA FORMULA...")
@model_options
@click.option("--table", is_flag=True, help="Show the coefficients of the models side by side too.")
@click.option("--only", type=click.Choice(TABLES), help="Show one of the tables only.")
@click.option("--rank", is_flag=True, help="Sort the models by a score made of all the indices of performance.")
@format_option("text", "json", "csv", "html", "markdown", "latex")
@output_option()
def compare(
    file: str,
    formulas: Sequence[str],
    table: bool,
    only: str | None,
    rank: bool,
    form: str,
    output: Path | None,
    **options: Any,
) -> int:
    """Fit two or more formulas to the data in FILE and compare them.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).
    """
    if len(formulas) < 2:
        raise click.UsageError("there is nothing to compare: give two formulas or more", click.get_current_context())
    wanted = [only] if only else ["tests", "performance", *(["coefficients"] if table else [])]
    if form == "csv" and len(wanted) > 1:
        raise click.UsageError(
            f"CSV holds one table: say which with --only ({', '.join(wanted)}), or use --format json",
            click.get_current_context(),
        )
    how = ModelOptions.taken(options)
    data = how.prepared(read_table(file))
    with warnings_on_stderr():
        fits = fit_same_rows(how, formulas, data)
        names = [f"model {number}" for number in range(1, len(fits) + 1)]
        found = {name: _made(name, fits, names, rank) for name in wanted}
        text = render(
            found, form, file, f"{file}: comparison of models", {"models": dict(zip(names, formulas, strict=True))}
        )
    write_text(text, output)
    return 0 if all(fit.convergence.converged for fit in fits) else FAILED


def _made(name: str, fits: Sequence[LinearMixedModel], names: Sequence[str], rank: bool) -> Any:
    from multilevel.documents.model_table import tab_model
    from multilevel.inference.anova import anova
    from multilevel.quality.comparison import compare_performance

    if name == "tests":
        return anova(*fits)
    if name == "performance":
        return compare_performance(*fits, names=names, rank=rank)
    return tab_model(*fits, names=names)


def fit_same_rows(how: ModelOptions, formulas: Sequence[str], data: pd.DataFrame) -> list[LinearMixedModel]:
    """Fit formulas to the rows in which none of them lacks a value.

    Parameters
    ----------
    how : ModelOptions
        How they are fitted.
    formulas : sequence of str
        The models.
    data : pandas.DataFrame
        The data, with factors made.

    Returns
    -------
    list of LinearMixedModel
        The fits, in the order of the formulas.
    """
    import warnings

    import numpy as np
    from tqdm import tqdm

    from multilevel.errors import MissingValuesWarning

    def fit_all(rows: pd.DataFrame) -> list[LinearMixedModel]:
        shown = tqdm(formulas, desc="models", unit="fit", disable=not is_watched(), leave=False)
        return [how.fit(formula, rows) for formula in shown]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fits = fit_all(data)
    kept = [np.ones(len(data), dtype=bool) if fit._design.kept is None else fit._design.kept for fit in fits]
    common = np.logical_and.reduce(kept)
    if all(np.array_equal(rows, common) for rows in kept):
        for said in caught:
            warnings.warn_explicit(said.message, said.category, said.filename, said.lineno)
        return fits
    warnings.warn(
        f"The models lack values in different rows; all were fitted to the {int(common.sum())} of {len(data)} rows in which none"
        " does.",
        MissingValuesWarning,
        stacklevel=2,
    )
    return fit_all(data[common])
