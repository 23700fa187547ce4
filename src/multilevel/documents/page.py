"""A self-contained HTML page: sections under a title, with style for screens of any width and for paper."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

STYLE = """
:root { --ink: #1c2733; --soft: #5b6673; --line: #d9dee4; --back: #f6f7f9; --accent: #0072b2; --ok: #00694c; --warn: #a34700; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main, header { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .8rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .5rem 0; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9em; }
header code { overflow-wrap: anywhere; }
.notes { margin: .8rem 0; padding-left: 1.2rem; }
.lead { color: var(--soft); margin: 0; }
nav { margin: 1.2rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .92rem; }
nav a { color: var(--accent); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1rem 0; padding: 0; }
.facts div { background: var(--back); border-radius: .5rem; padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .8rem 0; }
figure { margin: 1.4rem 0; }
figure img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .3rem; text-align: center; }
.check { display: grid; grid-template-columns: 6.6rem 1fr; gap: .2rem .9rem; padding: .65rem 0;
  border-bottom: 1px solid var(--line); }
.check h3 { margin: 0; }
.check p { margin: .15rem 0 0; }
.badge { justify-self: start; align-self: start; font-size: .78rem; font-weight: 600; border-radius: 1rem; padding: .1rem .65rem;
  border: 1.5px solid; white-space: nowrap; }
.ok { color: var(--ok); } .warn { color: var(--warn); } .none { color: var(--soft); }
blockquote { margin: .6rem 0; padding: .2rem 0 .2rem 1rem; border-left: 3px solid var(--accent); }
.references li { margin: .3rem 0; }
pre { background: var(--back); border-radius: .5rem; padding: .9rem 1rem; overflow-x: auto; }
footer { max-width: 60rem; margin: 3rem auto 2rem; padding: 0 1.25rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  h1 { font-size: 1.5rem; }
  .check { grid-template-columns: 1fr; }
  figure.wide { overflow-x: auto; }
  figure.wide img { max-width: none; width: 44rem; }
  figure.wide figcaption { position: sticky; left: 0; }
}
@media print {
  body { font-size: 10.5pt; }
  nav, details { display: none; }
  main, header, footer { max-width: none; padding: 0; }
  h2, h3, h2 + p { break-after: avoid; }
  figure, table, .check, .facts div { break-inside: avoid; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; }
}
""".strip()


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes
    ----------
    title : str
        Its title.
    body : str
        Its HTML.
    """

    title: str
    body: str

    @property
    def anchor(self) -> str:
        """What links to it name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Return a whole HTML page.

    Parameters
    ----------
    title : str
        The title, as text.
    lead : str
        What stands below it, as HTML.
    sections : sequence of Section
        The sections.
    footer : str
        The last line, as text.
    """
    links = "".join(f'<a href="#{section.anchor}">{html.escape(section.title)}</a>' for section in sections)
    body = "\n".join(
        f'<section aria-labelledby="{section.anchor}">\n<h2 id="{section.anchor}">{html.escape(section.title)}</h2>\n'
        f"{section.body}\n</section>"
        for section in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n<header>\n<h1>{html.escape(title)}</h1>\n{lead}\n"
        f'<nav aria-label="Contents">{links}</nav>\n</header>\n<main>\n{body}\n</main>\n'
        f"<footer>{html.escape(footer)}</footer>\n</body>\n</html>\n"
    )


def scrolled(table: str, name: str) -> str:
    """Wrap a table so that it scrolls by itself, by keyboard too, where the page is narrow; the name is for those who hear it."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(name)}">{table}</div>'
