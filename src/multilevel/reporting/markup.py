"""Documents as HTML and as Markdown."""

from __future__ import annotations

import html

from multilevel.reporting.cells import Across, Cell, Number, cell_text
from multilevel.reporting.forms import Document, Fact, Legend, Notes, Paragraph
from multilevel.reporting.tables import Table

# The style stands in the elements: what is pasted into Word or a mail keeps it. No colour is named, so that lines and text have
# that of the page (or of the document pasted into).
_PART = "font-size:0.9em;line-height:1.35;max-width:100%;overflow-x:auto"
_TABLE = "border-collapse:collapse;border:none;margin:0.9em 0;color:inherit;font-size:inherit;font-variant-numeric:tabular-nums"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;padding:0 0 0.3em;color:inherit"
_ROW = "background:transparent"
_NAME = "padding:2px 8px;text-align:left;vertical-align:baseline"
_NUMBER = "padding:2px 8px;text-align:right;vertical-align:baseline;white-space:nowrap"
_MIDDLE = "padding:2px 8px;text-align:center;vertical-align:baseline;white-space:nowrap"
_STARS = "padding:2px 8px 2px 0;text-align:left;vertical-align:baseline;white-space:nowrap"
_PLAIN, _BOLD = "font-weight:normal", "font-weight:bold"
_THICK, _THIN = "2px solid", "1px solid"

_MARKDOWN = {mark: f"\\{mark}" for mark in "\\|*_`<>[]~$&"}


def html_part(document: Document) -> str:
    """Return a document as a section of a page."""
    inside = "\n".join(_html_block(block) for block in document.blocks)
    return f'<section aria-label="{html.escape(document.title)}" style="{_PART}">\n{inside}\n</section>'


def html_page(document: Document) -> str:
    """Return a document as a whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(document.title)}</title>\n<style>body {{ font-family: system-ui, sans-serif; margin: 1.5em; }}"
        f"</style>\n</head>\n<body>\n<main>\n{html_part(document)}\n</main>\n</body>\n</html>"
    )


def _html_block(block: object) -> str:
    match block:
        case Fact(name, code):
            return f'<p style="margin:0.3em 0">{html.escape(name)}: <code>{html.escape(code)}</code></p>'
        case Paragraph(text, bold):
            return f'<p style="margin:0.3em 0;{_BOLD if bold else _PLAIN}">{html.escape(text)}</p>'
        case Legend(text):
            return f'<p style="margin:0.3em 0;font-size:0.9em">{html.escape(text)}</p>'
        case Notes(items):
            listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
            return f'<ul style="margin:0.6em 0;padding-left:1.4em">{listed}</ul>' if items else ""
        case Table():
            return _html_table(block)
    raise TypeError(f"No part of a document: {block!r}")


def _html_table(table: Table) -> str:
    caption = f'<caption style="{_CAPTION}">{html.escape(table.caption)}</caption>\n' if table.caption else ""
    top = f";border-top:{_THICK}"
    heads = []
    if table.groups:
        cells = [f'<td style="{_NAME}{top}"></td>'] * table.labels
        cells += [
            f'<th scope="colgroup" colspan="{group.columns}" style="{_MIDDLE}{top};{_BOLD}">{html.escape(cell_text(group))}</th>'
            for group in table.groups
        ]
        heads.append("".join(cells))
        top = ""
    heads.append(_html_heads(table, f"{top};border-bottom:{_THIN}"))
    above = "".join(f'<tr style="{_ROW}">{cells}</tr>' for cells in heads)
    last = len(table.rows) - 1
    body = "\n".join(
        f'<tr style="{_ROW}">{_html_row(row, table.labels, f";border-bottom:{_THICK}" if r == last else "")}</tr>'
        for r, row in enumerate(table.rows)
    )
    return f'<table style="{_TABLE}">\n{caption}<thead>{above}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _html_heads(table: Table, rule: str) -> str:
    """Return the line of heads; one reaches across the columns without a head of their own behind it."""
    cells = []
    headers, labels = table.headers, table.labels
    c = 0
    while c < len(headers):
        span = 1
        while c >= labels and c + span < len(headers) and not headers[c + span]:
            span += 1
        text = html.escape(headers[c].strip())
        style = f"{_NAME if c < labels else _NUMBER}{rule};{_BOLD}"
        scope = f'scope="colgroup" colspan="{span}"' if span > 1 else 'scope="col"'
        cells.append(f'<th {scope} style="{style}">{text}</th>' if text else f'<td style="{style}"></td>')
        c += span
    return "".join(cells)


def _html_row(row: tuple[Cell, ...], labels: int, rule: str) -> str:
    cells = []
    for c, cell in enumerate(row):
        text = html.escape(cell_text(cell).strip())
        if isinstance(cell, Across):
            span = f'colspan="{cell.columns}"'
            if cell.heading:
                cells.append(
                    f'<th scope="rowgroup" {span} style="{_NAME};border-top:{_THIN}{rule};{_BOLD}">{text}</th>'
                )
            else:
                cells.append(f'<td {span} style="{_MIDDLE}{rule}">{text}</td>')
        elif c < labels:
            tag = 'th scope="row"' if text else "td"
            cells.append(f'<{tag} style="{_NAME}{rule};{_PLAIN}">{text}</{tag[:2]}>')
        else:
            marks = isinstance(cell, Number) and cell.kind == "stars"
            cells.append(f'<td style="{_STARS if marks else _NUMBER}{rule}">{text}</td>')
    return "".join(cells)


def escape_markdown(text: str) -> str:
    """Write text so that Markdown, as GitHub reads it, shows it as it is."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in " ".join(text.split("\n")))


def code_markdown(text: str) -> str:
    """Write text as code, in more backquotes than it has itself."""
    if "`" not in text:
        return f"`{text}`"
    runs = "".join(c if c == "`" else " " for c in text).split()
    marks = "`" * (max(map(len, runs)) + 1)
    return f"{marks} {text} {marks}"


def markdown(document: Document) -> str:
    """Return a document as Markdown."""
    parts = (_markdown_block(block) for block in document.blocks)
    return "\n\n".join(part for part in parts if part)


def _markdown_block(block: object) -> str:
    match block:
        case Fact(name, code):
            return f"{escape_markdown(name)}: {code_markdown(code)}"
        case Paragraph(text, bold):
            return f"**{escape_markdown(text)}**" if bold else escape_markdown(text)
        case Legend(text):
            return escape_markdown(text)
        case Notes(items):
            return "\n".join(f"- {escape_markdown(item)}" for item in items)
        case Table():
            return _markdown_table(block)
    raise TypeError(f"No part of a document: {block!r}")


def _markdown_table(table: Table) -> str:
    """Return a pipe table under its caption in bold; heads above the heads stand before each of theirs."""
    heads = list(table.headers)
    if len(table.groups) > 1:
        above = [cell_text(group) for group in table.groups for _ in range(group.columns)]
        heads[table.labels :] = [
            f"{group}: {head}" for group, head in zip(above, table.headers[table.labels :], strict=True)
        ]
    elif table.groups and cell_text(table.groups[0]):
        heads[: table.labels] = [*heads[: table.labels - 1], cell_text(table.groups[0])]
    lines = [[escape_markdown(head.strip()) for head in heads]]
    lines.append([":---" if c < table.labels else "---:" for c in range(len(heads))])
    for row in table.rows:
        cells: list[str] = []
        for cell in row:
            text = escape_markdown(cell_text(cell).strip())
            if isinstance(cell, Across):
                cells += [f"**{text}**" if cell.heading else text, *[""] * (cell.columns - 1)]
            else:
                cells.append(text)
        lines.append(cells)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{escape_markdown(table.caption)}**\n\n{text}" if table.caption else text
