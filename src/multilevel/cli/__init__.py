"""The command line: ``multilevel COMMAND …``, one module for each command.

Only click is imported at the top of these modules; what reads tables, fits models and draws pictures is imported inside the
commands, so that ``--help``, ``--version`` and the completion of words are quick.
"""

from __future__ import annotations

from multilevel.cli import compare, completion, datasets, describe, fit, plot, report, simulate
from multilevel.cli.program import main

__all__ = ["main"]

for _command in (
    describe.describe,
    fit.fit,
    compare.compare,
    plot.plot,
    report.report,
    simulate.simulate,
    datasets.datasets,
    completion.completion,
):
    main.add_command(_command)
