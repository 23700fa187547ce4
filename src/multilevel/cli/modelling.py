"""Models that commands fit: their options, and what a fit is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from multilevel.arguments import NaAction
from multilevel.cli.program import Failure, by_name
from multilevel.cli.reading import as_factors
from multilevel.cli.suggestions import suggest_columns
from multilevel.engine.control import NLOPT_METHODS, SCIPY_METHODS, LmerControl, as_control
from multilevel.errors import MultilevelError

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.arguments import NaAction
    from multilevel.model.fitted import LinearMixedModel

DDF_NAMES = click.Choice(["satterthwaite", "kenward-roger", "residual", "asymptotic"], case_sensitive=False)
"""Methods of finding denominator degrees of freedom."""

SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
"""A number between 0 and 1, such as a confidence level."""

ABOUT_FORMULAS = """\b
Formulas are those of lme4:
  (1 | g)      an intercept for each g       (x | g)    intercept and slope, correlated
  (0 + x | g)  a slope only                  (x || g)   intercept and slope, uncorrelated
  (1 | a/b)    b within a                    (1 | a) + (1 | b)   crossed factors
Put them in quotation marks, because of the shell."""
"""What the help of a command says of formulas."""


@dataclass(frozen=True)
class ModelOptions:
    """How models are fitted: what the options of `model_options` say."""

    ml: bool
    weights: str | None
    offset: str | None
    categorical: tuple[str, ...]
    contrasts: Mapping[str, Any]
    na_action: NaAction
    optimizer: str
    max_evaluations: int

    @classmethod
    def taken(cls, options: dict[str, Any]) -> ModelOptions:
        """Take the options of models out of all options of a command."""
        coded = [_contrast(text) for text in options.pop("contrasts")]
        names = [name for name in cls.__dataclass_fields__ if name != "contrasts"]
        return cls(contrasts=by_name(coded, "--contrasts"), **{name: options.pop(name) for name in names})

    @property
    def control(self) -> LmerControl:
        """The optimiser and its options."""
        return as_control({"optimizer": self.optimizer, "max_evaluations": self.max_evaluations})

    def prepared(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the data with those columns as factors that the options name."""
        return as_factors(data, self.categorical)

    def fit(self, formula: str, data: pd.DataFrame) -> LinearMixedModel:
        """Fit a formula to data whose factors are made already."""
        from multilevel.model.lmer import lmer

        try:
            return lmer(
                formula,
                data,
                reml=not self.ml,
                weights=self.weights,
                offset=self.offset,
                contrasts=dict(self.contrasts) or None,
                na_action=self.na_action,
                control=self.control,
            )
        except MultilevelError:
            raise
        except (ArithmeticError, ValueError, MemoryError) as error:
            raise Failure(f"the model could not be fitted: {error or type(error).__name__}") from error


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a model is fitted."""
    options: Sequence[Callable[[Any], Any]] = (
        click.option("--ml", is_flag=True, help="Maximise the likelihood (default: the restricted likelihood, REML)."),
        click.option(
            "--weights",
            metavar="COLUMN",
            shell_complete=suggest_columns,
            help="Column of prior weights: row i has residual variance sigma^2 / w_i.",
        ),
        click.option(
            "--offset",
            metavar="COLUMN",
            shell_complete=suggest_columns,
            help="Column that is a known part of the linear predictor.",
        ),
        click.option(
            "--categorical",
            metavar="COLUMN",
            multiple=True,
            shell_complete=suggest_columns,
            help="Treat a column of numbers as a factor (may be given repeatedly). Text columns are factors, and so is what"
            " stands right of a bar.",
        ),
        click.option(
            "--contrasts",
            metavar="NAME=KIND",
            multiple=True,
            help="How a factor is coded: treatment (default), treatment:LEVEL, sum, helmert, poly or SAS (may be given"
            " repeatedly).",
        ),
        click.option(
            "--na-action",
            type=click.Choice(["omit", "exclude", "fail"]),
            default="omit",
            show_default=True,
            help="What to do with rows that lack a value; fail makes them an error.",
        ),
        click.option(
            "--optimizer",
            metavar="NAME",
            type=click.Choice(["newton", *SCIPY_METHODS, *NLOPT_METHODS], case_sensitive=False),
            default="newton",
            show_default=True,
            help=f"How the criterion is minimised: newton, {', '.join([*SCIPY_METHODS, *NLOPT_METHODS])}.",
        ),
        click.option(
            "--max-evaluations",
            type=click.IntRange(min=1),
            default=10_000,
            show_default=True,
            help="Most evaluations.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _contrast(text: str) -> tuple[str, Any]:
    """Read ``NAME=KIND``, where KIND may be ``treatment:LEVEL``."""
    name, found, kind = text.rpartition("=")
    if not (name and found and kind):
        raise click.BadParameter(f"{text!r} is not NAME=KIND, as in arm=sum", param_hint="--contrasts")
    base = kind.removeprefix("treatment:")
    return (name, ("treatment", base)) if base != kind else (name, kind)
