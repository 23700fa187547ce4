"""Documents as LaTeX, for pdfLaTeX as well as for engines with Unicode fonts."""

from __future__ import annotations

import re

from multilevel.reporting.cells import Across, Cell, Number, cell_text
from multilevel.reporting.forms import Document, Fact, Legend, Notes, Paragraph
from multilevel.reporting.tables import Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "—": "---", "…": r"\ldots{}",
    "\n": " ",
}  # fmt: skip

_SIGNS = {
    "<": "<", ">": ">", "|": "|", "−": "-", "±": r"\pm ", "×": r"\times ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "√": r"\surd ", "·": r"\cdot ", "→": r"\to ", "Δ": r"\Delta ", "Σ": r"\Sigma ",
    "Λ": r"\Lambda ", "Ω": r"\Omega ",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon "
    "varphi chi psi omega"
)
_SIGNS |= {chr(ord("α") + place): rf"\{name} " for place, name in enumerate(_GREEK.split())} | {"ο": "o"}
_HIGH = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_LOW = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_MATHEMATICS = re.compile(f"[{re.escape(''.join(_SIGNS))}⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀-₉]+")
_RUN = re.compile("([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)|([₀-₉]+)|(.)")

WIDE = 5
"""A table with more columns than this is made to fit the width of the text."""


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is; signs that text fonts lack become mathematics."""
    parts, at = [], 0
    for found in _MATHEMATICS.finditer(text):
        parts += [_letters(text[at : found.start()]), f"${_signs(found.group())}$"]
        at = found.end()
    return "".join([*parts, _letters(text[at:])])


def _letters(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _signs(text: str) -> str:
    found = ""
    for high, low, sign in _RUN.findall(text):
        if high or low:
            found = found.rstrip() + (f"^{{{high.translate(_HIGH)}}}" if high else f"_{{{low.translate(_LOW)}}}")
        else:
            found += _SIGNS[sign]
    return found.rstrip()


def _number(cell: Cell) -> str:
    """Write a cell, the minus signs of its numbers as such."""
    inner = cell.cell if isinstance(cell, Across) else cell
    text = escape_latex(cell_text(inner).strip())
    return text.replace("-", "$-$") if isinstance(inner, Number) and "--" not in text else text


def latex(document: Document) -> str:
    """Return a document as LaTeX; its first line says which packages it needs."""
    tables = [block for block in document.blocks if isinstance(block, Table)]
    packages = ["booktabs", *(["graphicx"] if any(len(table.headers) > WIDE for table in tables) else [])]
    named = " ".join(rf"\usepackage{{{name}}}" for name in packages)
    needed = [f"% requires {named}"] if tables else []
    parts = (_block(block) for block in document.blocks)
    return "\n\n".join([*needed, *(part for part in parts if part)])


def _block(block: object) -> str:
    match block:
        case Fact(name, code):
            return rf"\noindent {escape_latex(name)}: \texttt{{{escape_latex(code)}}}"
        case Paragraph(text, bold):
            return rf"\noindent\textbf{{{escape_latex(text)}}}" if bold else rf"\noindent {escape_latex(text)}"
        case Legend(text):
            return rf"\noindent {escape_latex(text)}"
        case Notes(items):
            listed = "\n".join(rf"\item {escape_latex(item)}" for item in items)
            return f"\\begin{{itemize}}\n{listed}\n\\end{{itemize}}" if items else ""
        case Table():
            return _table(block)
    raise TypeError(f"No part of a document: {block!r}")


def _table(table: Table) -> str:
    columns = "l" * table.labels + "r" * (len(table.headers) - table.labels)
    lines = []
    if table.groups:
        cells, rules, at = [""] * table.labels, [], table.labels + 1
        for group in table.groups:
            cells.append(rf"\multicolumn{{{group.columns}}}{{c}}{{{escape_latex(cell_text(group))}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + group.columns - 1}}}")
            at += group.columns
        lines.append(f"{' & '.join(cells)} \\\\ {' '.join(rules)}")
    lines += [" & ".join(escape_latex(head.strip()) for head in table.headers) + r" \\", r"\midrule"]
    for row in table.rows:
        found = []
        for cell in row:
            text = _number(cell)
            if isinstance(cell, Across):
                text = (
                    rf"\multicolumn{{{cell.columns}}}{{l}}{{\textbf{{{text}}}}}"
                    if cell.heading
                    else rf"\multicolumn{{{cell.columns}}}{{c}}{{{text}}}"
                )
            found.append(text)
        above = r"\midrule " if isinstance(row[0], Across) and row[0].heading else ""
        lines.append(f"{above}{' & '.join(found)} \\\\")
    inner = "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"])
    if len(table.headers) > WIDE:
        inner = f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{inner}}}"
    caption = [rf"\caption{{{escape_latex(table.caption)}}}"] if table.caption else []
    return "\n".join([r"\begin{table}[htbp]", r"\centering", *caption, inner, r"\end{table}"])
