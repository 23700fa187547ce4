"""``multilevel simulate power``: the power of tests of a design or of a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel.cli.modelling import DDF_NAMES, SHARE, ModelOptions, model_options
from multilevel.cli.output import format_option, is_watched, output_option, render, warnings_on_stderr, write_text
from multilevel.cli.program import EXIT_CODES, Command, by_name
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_files

if TYPE_CHECKING:
    from multilevel.simulation.data_design import DataDesign


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel simulate power trial.toml -n 1000 --seed 1
  multilevel simulate power trial.toml --extend school=60 --effect armtherapy=3 --test armtherapy
  multilevel simulate power trial.toml ". ~ . - arm:ses" --reduced ". ~ . - arm"
  multilevel simulate power pilot.csv "y ~ dose + (1 | clinic)" --effect dose=0.4 --extend clinic=40

\b
What is shown:
  power      how often the test is significant, with the interval that the number of replicates
             leaves: at 1000 replicates it is some 6 points wide where the power is 50%
  truth      the effect that was simulated       mean est.  the mean of its estimates
  type S     how many of the significant estimates have the wrong sign
  type M     how many times too large significant estimates are on average
A progress bar is shown on a terminal.

{EXIT_CODES}""",
)
@click.argument("file", metavar="DESIGN_OR_FILE", shell_complete=suggest_files)
@click.argument("formula", required=False)
@click.option("-n", "count", type=click.IntRange(min=1), default=1000, show_default=True, help="How many replicates.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random numbers.")
@click.option(
    "--test", metavar="NAME", multiple=True, help="A coefficient or term to be tested (default: all coefficients)."
)
@click.option("--reduced", metavar="FORMULA", help='Test by likelihood ratio against a smaller model, ". ~ . - arm".')
@click.option("--effect", metavar="NAME=VALUE", multiple=True, help="Another fixed effect than that of design or fit.")
@click.option("--extend", metavar="NAME=NUMBER", multiple=True, help="Another number of groups, or size of a level.")
@click.option("--within", metavar="NAME=NUMBER", multiple=True, help="Of a fit: another number of rows in each group.")
@click.option(
    "--alpha",
    type=SHARE,
    default=0.05,
    show_default=True,
    help="Level of significance.",
)
@click.option(
    "--ddf",
    type=DDF_NAMES,
    default="satterthwaite",
    show_default=True,
    help="Degrees of freedom of t and F tests; asymptotic is fastest.",
)
@format_option("text", "json", "csv", "html", "markdown", "latex")
@output_option()
@model_options
def power(
    file: str,
    formula: str | None,
    count: int,
    seed: int | None,
    test: Sequence[str],
    reduced: str | None,
    effect: Sequence[str],
    extend: Sequence[str],
    within: Sequence[str],
    alpha: float,
    ddf: Any,
    form: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Find the power of tests by simulation.

    DESIGN_OR_FILE is a design in a .toml file ("multilevel simulate design --help" shows how it is written), from which
    predictors and responses are drawn; FORMULA is then the model that is fitted, the design's own where it is left out. Or it is
    the table of a pilot study, to which FORMULA is fitted; new responses are drawn from that fit.
    """
    how = ModelOptions.taken(options)
    effects = _numbers(effect, "--effect", float)
    sizes, rows = _numbers(extend, "--extend", int), _numbers(within, "--within", int)
    context = click.get_current_context()
    source: Any
    with warnings_on_stderr():
        from multilevel.simulation.power import power as find

        if file.lower().endswith(".toml"):
            given = [name for name in ("weights", "offset", "categorical", "contrasts") if getattr(how, name)]
            given += ["na-action"] if how.na_action != "omit" else []
            if given:
                raise click.UsageError(f"--{given[0]} is for tables; a design says it itself", context)
            source = load_design(file)
        elif formula is None:
            raise click.UsageError("Missing argument 'FORMULA': a table needs the model that is fitted to it", context)
        else:
            source, formula = how.fit(formula, how.prepared(read_table(file))), None
        found = find(
            source,
            formula,
            test=list(test) or None,
            reduced=reduced,
            n=count,
            alpha=alpha,
            ddf=ddf,
            rng=seed,
            progress=is_watched(),
            reml=not how.ml,
            control=how.control,
            effects=effects,
            extend=sizes,
            within=rows,
        )
        text = render({"power": found}, form, file, f"{file}: power", {"replicates": count, "model": found.formula})
    write_text(text, output)


def load_design(file: str) -> DataDesign:
    """Read a design, and take what is wrong with its file for wrong use."""
    from multilevel.errors import DataError
    from multilevel.simulation.design_file import read_design

    try:
        return read_design(file)
    except OSError as error:
        raise click.ClickException(f"cannot read {file!r}: {error.strerror or error}") from error
    except DataError as error:
        raise click.ClickException(str(error)) from error


def _numbers(texts: Sequence[str], option: str, kind: type[float] | type[int]) -> dict[str, Any] | None:
    """Read ``NAME=NUMBER`` several times."""

    def number(text: str) -> tuple[str, Any]:
        name, _, value = text.rpartition("=")
        try:
            if name:
                return name, kind(value)
        except ValueError:
            pass
        what = "NUMBER" if kind is float else "WHOLE NUMBER"
        raise click.BadParameter(f"{text!r} is not NAME={what}", param_hint=option)

    return by_name(map(number, texts), option) or None
