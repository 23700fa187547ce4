"""``multilevel plot``: a picture of data and model in a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multilevel.cli.compare import fit_same_rows
from multilevel.cli.modelling import SHARE, ModelOptions, model_options
from multilevel.cli.output import check_ending, doing, is_watched, output_option, warnings_on_stderr
from multilevel.cli.program import EXIT_CODES, FAILED, Command, by_name
from multilevel.cli.reading import read_table
from multilevel.cli.suggestions import suggest_columns, suggest_files
from multilevel.errors import ControlError, DataError
from multilevel.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

OF_ONE_MODEL = (
    "est", "std", "re", "variance", "vcov", "pred", "eff", "int", "slope", "resid", "diag",
)  # fmt: skip
"""The types of `plot_model`."""

OF_DATA = ("clusters", "shrinkage", "profile", "checks")
OF_MODELS = ("models", "r2", "comparison")

TERMS = {"profile": "which"}
"""What a picture calls the terms that it shows, where it is not ``terms``."""


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  multilevel plot dataset:sleepstudy "Reaction ~ Days + (Days | Subject)" --type re -o re.png
  multilevel plot scores.csv "score ~ hours * arm + (1 | school)" --type pred --terms hours,arm -o p.svg
  multilevel plot scores.csv "score ~ hours + (hours | school)" --type clusters --terms hours -o c.pdf
  multilevel plot scores.csv "$SMALL" "$LARGE" --type models -o models.png
  multilevel plot scores.csv "$MODEL" --type variance --option scale=share -o share.png

\b
Types, of a model:
  est         fixed effects with intervals             std        the same, standardized
  re          random effects, sorted, with intervals   variance   standard deviations of the random part
  vcov        correlations of random and fixed effects
  pred        predictions over up to three --terms: on the axis, in colours, in panels
  eff         the same, averaged over other factors    int        the interactions
  slope       the slope of one predictor over another, or the response over each
  resid       residuals against fitted values          diag       several pictures of the residuals
  checks      the checks of the model on one page
Of data and model:
  clusters    rows and a line for each cluster (--terms X: what is on the axis)
  shrinkage   each cluster's own estimate, and where the model moves it
  profile     profile likelihoods (--option kind=zeta, density or pairs)
Of several models (give two formulas or more):
  models      the fixed effects side by side           r2         explained variance
  comparison  the differences between clusters before and after (two formulas)

\b
--option NAME=VALUE reaches every option of a picture that the functions in multilevel.plot
describe; a VALUE is read as JSON where it can be (0.9, true, ["a", "b"]) and as text otherwise.

{EXIT_CODES}""",
)
@click.argument("file", shell_complete=suggest_files)
@click.argument("formulas", nargs=-1, required=True, metavar="FORMULA...")
@click.option(
    "--type",
    "kind",
    type=click.Choice([*OF_ONE_MODEL, *OF_DATA, *OF_MODELS]),
    metavar="TYPE",
    default="est",
    show_default=True,
    help="What is drawn (see below).",
)
@output_option("The picture: .png, .svg or .pdf.", required=True)
@click.option(
    "--terms",
    metavar="NAMES",
    shell_complete=suggest_columns,
    help="Terms that are shown, with commas between them.",
)
@click.option("--group", metavar="NAME", shell_complete=suggest_columns, help="The grouping factor that is shown.")
@click.option("--level", type=SHARE, help="Confidence level. [default: 0.95]")
@click.option(
    "--option", "extra", metavar="NAME=VALUE", multiple=True, help="Another option of the picture (repeatedly)."
)
@click.option("--title", help="A title of your own.")
@click.option("--width", type=click.FloatRange(0.5, 100), help="Width in inches.")
@click.option("--height", type=click.FloatRange(0.5, 100), help="Height in inches.")
@click.option("--dpi", type=click.IntRange(20, 1200), default=150, show_default=True, help="Dots in an inch (PNG).")
@model_options
def plot(
    file: str,
    formulas: Sequence[str],
    kind: str,
    output: Path,
    terms: str | None,
    group: str | None,
    level: float | None,
    extra: Sequence[str],
    title: str | None,
    width: float | None,
    height: float | None,
    dpi: int,
    **options: Any,
) -> int:
    """Fit FORMULA to the data in FILE and draw a picture of it.

    FILE is a table: .csv or .tsv (.gz too), .parquet, .feather or .arrow; "-" reads CSV from standard input, and
    "dataset:NAME" is one of the package's own data sets ("multilevel datasets" lists them).

    Pictures need the package plotnine: pip install 'multilevel[plot]'.
    """
    from multilevel.plot.style import plotnine

    check_ending(output, ("png", "svg", "pdf"), "the picture")
    context = click.get_current_context()
    if kind not in OF_MODELS and len(formulas) > 1:
        raise click.UsageError(
            f"A picture of type {kind} shows one model, and {len(formulas)} formulas are given", context
        )
    if kind == "comparison" and len(formulas) != 2:
        raise click.UsageError("A picture of type comparison needs two formulas, before and after", context)
    how = ModelOptions.taken(options)
    chosen = by_name(map(_option, extra), "--option")
    beside = {TERMS.get(kind, "terms"): terms, "cluster" if kind == "clusters" else "group": group, "level": level}
    for name, value in beside.items():
        if value is not None and name in chosen:
            raise click.UsageError(f"{name!r} is given both by an option of its own and by --option", context)
    if terms is not None:
        chosen[TERMS.get(kind, "terms")] = [name.strip() for name in terms.split(",")]
    if group is not None:
        chosen["cluster" if kind == "clusters" else "group"] = group
    if level is not None:
        chosen["level"] = level
    plotnine()
    data = how.prepared(read_table(file))
    with warnings_on_stderr(), doing("Fitting and drawing"):
        fits = fit_same_rows(how, formulas, data) if len(formulas) > 1 else [how.fit(formulas[0], data)]
        picture = _drawn(kind, fits, data, chosen)
        _save(picture, output, kind, title, width, height, dpi)
    return 0 if all(fit.convergence.converged for fit in fits) else FAILED


def _option(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``."""
    name, found, value = text.partition("=")
    if not (name.isidentifier() and found):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE, as in level=0.9", param_hint="--option")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _drawn(kind: str, fits: Sequence[LinearMixedModel], data: pd.DataFrame, chosen: dict[str, Any]) -> Any:
    """Draw a picture with the options that it has."""
    fit = fits[0]
    if kind in OF_ONE_MODEL:
        from multilevel.plot.model import plot_model

        return plot_model(fit, kind, **chosen)
    if kind == "clusters":
        from multilevel.plot.clusters import plot_clusters

        x = chosen.pop("terms", None) or [_first_number(fit, data)]
        if len(x) != 1:
            raise ControlError(f"A picture of clusters has one predictor on its axis; --terms names {len(x)}.")
        return _called(plot_clusters, kind, {**chosen, "x": x[0]}, fit)
    if kind == "profile":
        from multilevel.inference.profile import profile
        from multilevel.plot.profiles import plot_profile

        found = profile(fit, chosen.get("which"), progress=is_watched())
        return _called(plot_profile, kind, chosen, found)
    if kind == "shrinkage":
        from multilevel.plot.shrinkage import plot_shrinkage

        return _called(plot_shrinkage, kind, chosen, fit)
    if kind == "checks":
        from multilevel.plot.checks import plot_checks

        return _called(plot_checks, kind, chosen, fit)
    if kind == "r2":
        from multilevel.plot.explained_variance import plot_r2

        names = [f"model {number}" for number in range(1, len(fits) + 1)]
        return _called(plot_r2, kind, chosen, dict(zip(names, fits, strict=True)))
    if kind == "models":
        from multilevel.plot.forest import plot_models

        return _called(plot_models, kind, chosen, *fits)
    from multilevel.plot.comparisons import plot_comparison

    return _called(plot_comparison, kind, chosen, *fits)


def _called(draw: Callable[..., Any], kind: str, chosen: dict[str, Any], *what: Any) -> Any:
    """Draw, and refuse options that the picture does not have."""
    import inspect

    parameters = list(inspect.signature(draw).parameters.values())
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    taken = 0 if parameters[0].kind in variable else len(what)
    known = [parameter.name for parameter in parameters[taken:] if parameter.kind not in variable]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ControlError(f"A picture of type {kind!r} has no option {unknown[0]!r}; it has {', '.join(known)}.")
    return draw(*what, **chosen)


def _first_number(fit: LinearMixedModel, data: pd.DataFrame) -> str:
    """Return the first predictor that is a column of numbers with more than two values."""
    from pandas.api.types import is_numeric_dtype

    for name in map(str, fit._design.term_labels):
        if name in data.columns and is_numeric_dtype(data[name]) and data[name].nunique() > 2:
            return name
    raise DataError("The model has no predictor that is a column of numbers; name one for the axis with --terms.")


def _save(
    picture: Any, output: Path, kind: str, title: str | None, width: float | None, height: float | None, dpi: int
) -> None:
    """Write a picture or a composition of several to a file."""
    from plotnine.composition import Compose

    from multilevel.plot.style import plotnine

    p9 = plotnine()

    several = isinstance(picture, Compose)
    if title is not None:
        if several:
            raise ControlError(
                f"A picture of type {kind!r} is made of several, each with its own title; leave out --title."
            )
        picture = picture + p9.labs(title=title)
    if width is not None or height is not None:
        own = _size(picture)
        size = p9.theme(figure_size=(width or own[0], height or own[1]))
        picture = picture & size if several else picture + size
    drawn = io.BytesIO()
    picture.save(
        drawn, format=output.suffix.lower().removeprefix("."), dpi=dpi, **({} if several else {"verbose": False})
    )
    write_bytes(output, drawn.getbuffer())


def _size(picture: Any) -> tuple[float, float]:
    """Return the size of a picture in inches."""
    from plotnine.composition import Compose

    while isinstance(picture, Compose):
        picture = picture[-1]
    width, height = picture.theme.getp("figure_size")
    return float(width), float(height)
