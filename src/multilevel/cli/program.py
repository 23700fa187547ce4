"""The program ``multilevel``: its help, its errors and its exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from multilevel._version import __version__
from multilevel.errors import ControlError, DataTypeError, FileError, FormulaError, MultilevelError, UnknownColumnError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_MISUSE = (FormulaError, UnknownColumnError, ControlError, DataTypeError, FileError)

EXIT_CODES = """\b
Exit codes:
  0  done
  1  it cannot be computed from these data, or a fit is not at an optimum
  2  wrong use: an option, a file, a formula or a column that does not work"""
"""What stands at the end of the help of every command that computes something."""


class Failure(click.ClickException):
    """Something that was used as it should be, and yet could not be done."""


class Command(click.Command):
    """A command whose options are given once: the last of two would hide the one before."""

    def make_parser(self, ctx: click.Context) -> Any:
        """Return a parser that refuses an option's second value where it takes one."""
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            values, rest, order = parse(args)
            for option in order:
                several = getattr(option, "multiple", False) or getattr(option, "count", False)
                if isinstance(option, click.Option) and not several and order.count(option) > 1:
                    raise click.UsageError(f"Option {option.opts[-1]!r} is given more than once", ctx)
            return values, rest, order

        parser.parse_args = parse_once
        return parser


def by_name(pairs: Iterable[tuple[str, Any]], option: str) -> dict[str, Any]:
    """Return what was given as ``NAME=VALUE``; refuse two values of one name."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise click.BadParameter(f"{name!r} is given more than once", param_hint=option)
        found[name] = value
    return found


class _Program(click.Group):
    """A group that reports every error in one line on standard error, and lists its commands in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands in the order in which they were added."""
        return list(self.commands)

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
            code = _complain(error.format_message(), FAILED if isinstance(error, Failure) else MISUSED)
        except (click.Abort, KeyboardInterrupt):
            code = _complain("interrupted", INTERRUPTED)
        except _MISUSE as error:
            code = _complain(str(error), MISUSED)
        except MultilevelError as error:
            code = _complain(str(error), FAILED)
        except (ArithmeticError, ValueError, MemoryError) as error:
            code = _complain(f"the computation failed: {error or type(error).__name__}", FAILED)
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
Examples: a first look at data, a model, a picture and a report:
  multilevel describe dataset:sleepstudy --cluster Subject
  multilevel fit dataset:sleepstudy "Reaction ~ Days + (Days | Subject)"
  multilevel plot dataset:sleepstudy "Reaction ~ Days + (Days | Subject)" --type re -o re.png
  multilevel report dataset:sleepstudy "Reaction ~ Days + (Days | Subject)" -o report.html

\b
Each command explains itself and shows examples:
  multilevel fit --help

\b
Have your shell complete commands, options, data sets and columns:
  multilevel completion --help""",
)
@click.version_option(__version__, prog_name="multilevel", message="%(prog)s %(version)s")
def main() -> None:
    """Fit linear mixed-effects models, with results that agree with R's lme4 and lmerTest."""
