"""``multilevel datasets``: the package's own data sets."""

from __future__ import annotations

import click

from multilevel.cli.program import Command
from multilevel.cli.reading import DATASET, no_dataset
from multilevel.cli.suggestions import suggest_datasets


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  multilevel datasets
  multilevel datasets cake
  multilevel fit dataset:cake "angle ~ recipe * temperature + (1 | recipe:replicate)" """,
)
@click.argument("name", required=False, shell_complete=suggest_datasets)
def datasets(name: str | None) -> None:
    """List the example data sets, or describe one.

    Every command that takes a FILE takes "dataset:NAME" too.
    """
    from multilevel.data.datasets import dataset_names, describe_dataset

    if name is None:
        infos = [describe_dataset(each) for each in dataset_names()]
        width = max(len(info.name) for info in infos)
        for info in infos:
            click.echo(f"{info.name:<{width}}  {info.n_rows:>6} rows  {info.title}")
        return
    if name.removeprefix(DATASET) not in dataset_names():
        raise click.ClickException(no_dataset(name.removeprefix(DATASET)))
    info = describe_dataset(name.removeprefix(DATASET))
    width = max(map(len, info.columns))
    click.echo(f"{info.name}: {info.title}\n{info.n_rows} rows\n")
    for column, meaning in info.columns.items():
        click.echo(f"  {column:<{width}}  {meaning}")
    click.echo("\n" + click.wrap_text(f"Source: {info.source}", width=80))
