"""``multilevel simulate``: responses of a fitted model, and data of a design or a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from multilevel.cli.modelling import ModelOptions, model_options
from multilevel.cli.output import (
    check_table_output,
    doing,
    output_option,
    warnings_on_stderr,
    write_table,
    write_text,
)
from multilevel.cli.power import load_design, power
from multilevel.cli.program import EXIT_CODES, FAILED, Command
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_files
from multilevel.errors import DataError

SCENARIOS = ("cluster", "confounder", "context", "slopes")

_DATA = "The data: .csv or .tsv (.gz too), .parquet or .feather (default: CSV to standard output)."


@click.group(
    no_args_is_help=False,
    epilog="""\b
Examples:
  multilevel simulate scenario confounder -o therapists.csv
  multilevel simulate design --example > trial.toml
  multilevel simulate design trial.toml --seed 1 -o trial.csv
  multilevel simulate power trial.toml -n 1000 --seed 1
  multilevel simulate model dataset:sleepstudy "Reaction ~ Days + (Days | Subject)" -n 10 --seed 1

\b
Each of them explains itself:
  multilevel simulate design --help""",
)
def simulate() -> None:
    """Simulate responses, data of a design, and power."""


@simulate.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel simulate model scores.csv "score ~ hours + (1 | school)" -n 100 --seed 1 -o simulated.csv
  multilevel simulate model scores.csv "score ~ hours + (1 | school)" --conditional | head

\b
The columns sim_1, sim_2, ... hold the responses. They are empty in rows that the fit left out for
missing values. The same seed gives the same numbers, and the first of many are those of few;
with --r-seed they are those of R's simulate(fit, n, seed = ...).

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("formula")
@click.option("-n", "count", type=click.IntRange(min=1), default=1, show_default=True, help="How many responses.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random numbers.")
@click.option("--r-seed", type=int, help="Seed as in R's set.seed, for R's random numbers.")
@click.option("--conditional", is_flag=True, help="Keep the random effects of the fit (default: draw new ones).")
@click.option("--only-responses", is_flag=True, help="Leave the columns of the table out.")
@output_option(_DATA)
@model_options
def model(
    file: str,
    formula: str,
    count: int,
    seed: int | None,
    r_seed: int | None,
    conditional: bool,
    only_responses: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """Fit FORMULA to the data in FILE and draw responses from the fitted model.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).
    """
    import numpy as np
    import pandas as pd

    rng = _source(seed, r_seed)
    check_table_output(output)
    how = ModelOptions.taken(options)
    data = how.prepared(read_table(file))
    names = [f"sim_{number}" for number in range(1, count + 1)]
    taken = [name for name in names if name in data.columns]
    if taken and not only_responses:
        raise DataError(f"The table has a column {taken[0]!r} already; rename it, or use --only-responses.")
    with warnings_on_stderr(), doing("Fitting and drawing"):
        fit = how.fit(formula, data)
        drawn = fit.simulate(count, rng=rng, conditional=conditional)
        values = drawn
        kept = fit._design.kept
        if kept is not None and drawn.shape[1] != len(data):
            values = np.full((count, len(data)), np.nan)
            values[:, kept] = drawn
        responses = pd.DataFrame(values.T, columns=names, index=data.index)
    write_table(responses if only_responses else pd.concat([data, responses], axis=1), output)
    return 0 if fit.convergence.converged else FAILED


@simulate.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel simulate scenario slopes --about
  multilevel simulate scenario slopes -o therapists.csv
  multilevel simulate scenario 2 --clusters 30 --size 20 --seed 7

\b
The scenarios, patients (rows) treated by therapists (clusters, k_id):
  1  cluster     the therapists hardly differ
  2  confounder  something that was not measured differs between the therapists
  3  context     the mean of the patients' predictor at a therapist has an effect of its own
  4  slopes      the effect of a predictor differs between therapists
The random numbers are R's: a script that makes the same draws after set.seed(123) has the same data.

{EXIT_CODES}""",
)
@click.argument("name", type=click.Choice([*SCENARIOS, "1", "2", "3", "4"]), metavar="NAME")
@click.option("--clusters", type=click.IntRange(min=2), default=100, show_default=True, help="Number of clusters.")
@click.option("--size", type=click.IntRange(min=2), default=50, show_default=True, help="Rows in each.")
@click.option("--seed", type=int, default=123, show_default=True, help="R's seed, as in set.seed.")
@click.option("--about", is_flag=True, help="Print what it teaches, the parameters and the models, and no data.")
@output_option(_DATA)
def scenario(name: str, clusters: int, size: int, seed: int, about: bool, output: Path | None) -> None:
    """Make the data of a scenario that teaches what clusters do to a model.

    NAME is cluster, confounder, context or slopes, or its number, 1 to 4.
    """
    from multilevel.simulation import scenarios

    if not about:
        check_table_output(output)
    make = getattr(scenarios, SCENARIOS[int(name) - 1] if name.isdigit() else name)
    found = make(clusters=clusters, size=size, seed=seed)
    if about:
        write_text(repr(found), output)
    else:
        write_table(found.data, output)


@simulate.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel simulate design --example > trial.toml
  multilevel simulate design trial.toml --about
  multilevel simulate design trial.toml --seed 1 -o trial.csv

\b
A design in TOML:
  formula = "score ~ arm * ses + (1 + ses | school)"
  sigma = 12                    # residual sd, or an expression in quotation marks
  [levels]                      # from the outermost to the rows: how many in each unit above
  school = 40
  pupil = "poisson(20)"         # drawn for each school; also [18, 25, ...]
  # item = {{crossed = 60, each = 10}}   units that all meet, such as items; each meets 10 of them
  [predictors]                  # drawn in this order; "| school": one for each school
  arm = "balanced(c('control', 'therapy')) | school"
  ses = "normal(0, 1)"
  school_ses = "mean(ses) | school"
  [fixed]                       # fixed effects as a fit names them; those not named are zero
  "(Intercept)" = 100
  armtherapy = 5
  ses = 4
  [random]                      # by grouping factor: an sd, a list of them, sd and corr, or cov
  school = {{sd = [6, 1.5], corr = -0.2}}
  [missing]                     # optional: values taken out, a share or a probability
  ses = 0.05
  # [contrasts]                 # optional: arm = "sum";   weights = "column" above the tables

\b
Functions for predictors: uniform(low, high), normal(mean, sd), lognormal(mean, sd),
  binomial(size, prob), poisson(mean), exponential(rate), gamma(shape, rate), beta(a, b), t(df),
  chisq(df), integers(low, high), sample(values, prob), balanced(values), cycle(values), index(),
  plogis(x), effect(school); and arithmetic, comparisons and functions as in formulas.

{EXIT_CODES}""",
)
@click.argument("file", metavar="DESIGN", required=False, type=click.Path())
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random numbers.")
@click.option("--r-seed", type=int, help="Seed as in R's set.seed, for R's random numbers.")
@click.option("--about", is_flag=True, help="Print the design and the parameters, and no data.")
@click.option("--example", is_flag=True, help="Print a design to start from.")
@output_option(_DATA)
def design(
    file: str | None, seed: int | None, r_seed: int | None, about: bool, example: bool, output: Path | None
) -> None:
    """Draw data of the design in the TOML file DESIGN."""
    if example:
        from multilevel.simulation.design_file import EXAMPLE

        write_text(EXAMPLE.rstrip("\n"), output)
        return
    if file is None:
        raise click.UsageError("Missing argument 'DESIGN'", click.get_current_context())
    rng = _source(seed, r_seed)
    if not about:
        check_table_output(output)
    found = load_design(file)
    with warnings_on_stderr():
        frame, truth = found.draw(rng=rng)
    if about:
        write_text(f"{found!r}\n\n{truth}", output)
    else:
        write_table(frame, output)


simulate.add_command(power)


def _source(seed: int | None, r_seed: int | None) -> Any:
    """Return where random numbers come from."""
    if r_seed is None:
        return seed
    if seed is not None:
        raise click.UsageError("--seed and --r-seed exclude each other", click.get_current_context())
    from multilevel.simulation.r_random import RRandom

    return RRandom(r_seed)
