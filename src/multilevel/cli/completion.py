"""``multilevel completion``: the script that lets a shell complete what is typed."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from multilevel.cli.program import Command, main

VARIABLE = "_MULTILEVEL_COMPLETE"
"""The environment variable by which the script asks the program for completions."""


@add_completion_class
class _Bash(BashComplete):
    """Completion for Bash of words with colons and equals signs.

    Bash takes ``dataset:cake`` for three words and ``arm=sum`` too, and replaces the last of them only. So the line itself is read
    here in place of Bash's words, and what Bash has already is left out of the answers.
    """

    source_template = BashComplete.source_template.replace(
        'COMP_WORDS="${COMP_WORDS[*]}"', 'COMP_WORDS="${COMP_LINE:0:COMP_POINT}"'
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the last one, and the last one."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() or len(words) < 2 else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Write a completion without what stands before the last colon or equals sign of the word."""
        kept = self.get_completion_args()[1]
        done = max(kept.rfind(":"), kept.rfind("=")) + 1
        value = str(item.value)
        return f"{item.type},{value[done:] if value.startswith(kept[:done]) else value}"


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  multilevel completion bash >> ~/.bashrc
  multilevel completion zsh >> ~/.zshrc
  multilevel completion fish > ~/.config/fish/completions/multilevel.fish

\b
Then, in a new shell, with the tabulator key:
  multilevel pl<TAB>                             commands
  multilevel fit dataset:sl<TAB>                 data sets
  multilevel describe scores.csv --cluster sc<TAB>   columns of the file
  multilevel plot scores.csv "…" --type <TAB>    kinds of pictures""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete what you type.

    It completes commands, options, data sets, the columns of the table that you have named, and the choices that an option has.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "multilevel", VARIABLE).source())
