"""The summary as HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from multilevel.reporting.numbers import STARS_LEGEND
from multilevel.reporting.tables import Table, escape_latex, escape_markdown
from multilevel.reporting.text import (
    DIGITS,
    coefficient_cells,
    correlation_table,
    criterion_line,
    criterion_table,
    data_line,
    residual_table,
)
from multilevel.reporting.variance_table import residual_structure_table, variance_table

if TYPE_CHECKING:
    from multilevel.reporting.summary import Summary

# Colours come from the page, so that the tables are readable on light and dark ones.
_STYLE = """
.multilevel-summary { font-size: 0.9em; line-height: 1.35; max-width: 100%; overflow-x: auto; }
.multilevel-summary p { margin: 0.3em 0; text-align: left; }
.multilevel-summary .title { font-weight: bold; }
.multilevel-summary table { border-collapse: collapse; margin: 0.9em 0; border: none; font-size: inherit; color: inherit;
  font-variant-numeric: tabular-nums; }
.multilevel-summary caption { caption-side: top; text-align: left; font-weight: bold; padding: 0 0 0.3em; color: inherit; }
.multilevel-summary tr, .multilevel-summary tbody tr:nth-child(odd), .multilevel-summary tbody tr:hover {
  background: transparent; }
.multilevel-summary th, .multilevel-summary td { padding: 0.15em 0.7em; text-align: right; border: none; color: inherit;
  white-space: nowrap; vertical-align: baseline; }
.multilevel-summary th.name, .multilevel-summary td.name { text-align: left; font-weight: normal; }
.multilevel-summary thead th, .multilevel-summary thead th.name { font-weight: bold; }
.multilevel-summary thead tr { border-bottom: 1px solid currentColor; }
.multilevel-summary table { border-top: none; border-bottom: 1px solid currentColor; }
.multilevel-summary .stars { text-align: left; padding-left: 0; }
.multilevel-summary ul { margin: 0.6em 0; padding-left: 1.4em; }
.multilevel-summary .legend { font-size: 0.9em; }
""".strip()


def _tables(summary: Summary) -> list[tuple[Table, str]]:
    """Return the tables in their order, each with the line below it."""
    fixed, starred = coefficient_cells(summary.coefficients)
    found = [
        *([] if summary.reml else [(criterion_table(summary), "")]),
        (residual_table(summary), ""),
        (variance_table(summary.components, digits=DIGITS), " ".join(data_line(summary.nobs, summary.ngroups).split())),
    ]
    if summary.residual_structure is not None:
        found.append((residual_structure_table(summary.residual_structure), ""))
    if len(summary.coefficients):
        found.append((fixed, STARS_LEGEND if starred else ""))
    if summary.show_correlation and len(summary.coefficients) > 1:
        found.append((correlation_table(summary.correlation), ""))
    return found


def _facts(summary: Summary) -> list[tuple[str, str]]:
    """Return what is said in a line of its own."""
    facts = [
        ("Formula", summary.formula),
        ("Weights", summary.weights),
        ("Offset", summary.offset),
        ("Related", summary.relationship),
    ]
    if summary.reml:
        name, value = criterion_line(True, summary.criteria, 1).split(": ")
        facts.append((name, value))
    return [(name, value) for name, value in facts if value]


def summary_html(summary: Summary, *, full: bool) -> str:
    """Return the summary as HTML, with its style; a whole page where asked."""
    parts = [f'<p class="title">{html.escape(summary.title)}</p>']
    parts += [f"<p>{name}: <code>{html.escape(value)}</code></p>" for name, value in _facts(summary)]
    for table, below in _tables(summary):
        parts.append(table.to_html())
        if below:
            parts.append(f'<p class="legend">{html.escape(below)}</p>')
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in summary.notes)
    parts.append(f"<ul>{notes}</ul>")
    section = (
        f'<section class="multilevel-summary" aria-label="Summary of a linear mixed model">\n<style>\n{_STYLE}\n</style>\n'
        + "\n".join(parts)
        + "\n</section>"
    )
    if not full:
        return section
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(summary.formula)}</title>\n<style>body {{ font-family: system-ui, sans-serif; margin: 1.5em; }}"
        f"</style>\n</head>\n<body>\n<main>\n{section}\n</main>\n</body>\n</html>"
    )


def summary_markdown(summary: Summary) -> str:
    """Return the summary as Markdown."""
    parts = [f"**{escape_markdown(summary.title)}**"]
    parts += [f"{name}: {_code(value)}" for name, value in _facts(summary)]
    for table, below in _tables(summary):
        parts.append(table.to_markdown())
        if below:
            parts.append(escape_markdown(below))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in summary.notes))
    return "\n\n".join(parts)


def _code(text: str) -> str:
    """Write text as code, in more backquotes than it has itself."""
    if "`" not in text:
        return f"`{text}`"
    marks = "`" * (max(len(run) for run in _backquotes(text)) + 1)
    return f"{marks} {text} {marks}"


def _backquotes(text: str) -> list[str]:
    return ["".join(run) for run in "".join(c if c == "`" else " " for c in text).split()]


def summary_latex(summary: Summary) -> str:
    """Return the summary as LaTeX."""
    parts = ["% requires \\usepackage{booktabs}", rf"\noindent\textbf{{{escape_latex(summary.title)}}}"]
    parts += [rf"\noindent {name}: \texttt{{{escape_latex(value)}}}" for name, value in _facts(summary)]
    for table, below in _tables(summary):
        parts.append(table.to_latex())
        if below:
            parts.append(rf"\noindent {escape_latex(below)}")
    notes = "\n".join(rf"\item {escape_latex(note)}" for note in summary.notes)
    parts.append(f"\\begin{{itemize}}\n{notes}\n\\end{{itemize}}")
    return "\n\n".join(parts)
