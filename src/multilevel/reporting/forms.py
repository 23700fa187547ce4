"""What every result that is shown as tables can do: HTML, Markdown, LaTeX and files, with labels, digits and styles of p-values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from multilevel.arguments import FileName, PStyle, checked_methods
from multilevel.errors import ControlError
from multilevel.files import write_text

if TYPE_CHECKING:
    from typing import TypeAlias

    from multilevel.reporting.style import TableStyle
    from multilevel.reporting.tables import Table

    Block: TypeAlias = "Fact | Paragraph | Notes | Legend | Table"


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of a document: a name, and code such as a formula."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of a document; a bold one is a title."""

    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Notes:
    """What a reader should know, one line each."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Legend:
    """What the stars of p-values mean."""

    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a result shows, before it takes the form of HTML, Markdown or LaTeX.

    Attributes
    ----------
    title : str
        What it is, for those who cannot see it.
    blocks : tuple
        Facts, paragraphs, tables, legends and notes in their order.
    """

    title: str
    blocks: tuple[Block, ...]


@checked_methods
class Forms:
    """The forms of a result.

    `to_html`, `to_markdown`, `to_latex` and `save` take the same options:

    digits
        Decimals of estimates, standard errors, intervals and statistics; by default as many as the printed form has. Counts,
        degrees of freedom and p-values have their own.
    labels
        Other names, by those in the table: of rows, of columns, of models and of captions.
    p_style
        How p-values are written: ``"numeric"`` (0.012, <0.001), ``"apa"`` (.012, < .001), ``"scientific"`` (1.20e-02), ``"stars"``
        (in place of the number), ``"numeric_stars"`` and ``"scientific_stars"`` (behind it).
    """

    __slots__ = ()

    def _document(self) -> Document:
        raise NotImplementedError

    def _styled(self, style: TableStyle) -> Document:
        from multilevel.reporting.style import restyled

        return restyled(self._document(), style)

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()

    def to_html(
        self,
        *,
        digits: int | None = None,
        labels: Mapping[str, str] | None = None,
        p_style: PStyle | None = None,
        full: bool = False,
    ) -> str:
        """Return the tables as HTML.

        The style stands in the cells themselves, so that the tables keep their rules when they are pasted into Word or a mail, and
        has no colours, so that they are readable on light and dark pages.

        Parameters
        ----------
        digits : int, optional
            Decimals of estimates and what goes with them; by default those of the printed form.
        labels : mapping, optional
            Other names for rows, columns, models and captions, by those in the table.
        p_style : {"numeric", "apa", "scientific", "stars", "numeric_stars", "scientific_stars"}, optional
            How p-values are written; by default as in the printed form.
        full : bool, default False
            Whether to return a whole page and not only the part to put into one.

        Raises
        ------
        ControlError
            A label names nothing in the table, or an option has a value that is not one of its choices.
        """
        from multilevel.reporting.markup import html_page, html_part
        from multilevel.reporting.style import TableStyle

        document = self._styled(TableStyle(digits, labels or {}, p_style))
        return html_page(document) if full else html_part(document)

    def to_markdown(
        self, *, digits: int | None = None, labels: Mapping[str, str] | None = None, p_style: PStyle | None = None
    ) -> str:
        """Return the tables as pipe tables of Markdown, as GitHub shows them (the options are those of `to_html`)."""
        from multilevel.reporting.markup import markdown
        from multilevel.reporting.style import TableStyle

        return markdown(self._styled(TableStyle(digits, labels or {}, p_style)))

    def to_latex(
        self, *, digits: int | None = None, labels: Mapping[str, str] | None = None, p_style: PStyle | None = None
    ) -> str:
        """Return the tables as LaTeX; its first line says which packages it needs (the options are those of `to_html`)."""
        from multilevel.reporting.latex import latex
        from multilevel.reporting.style import TableStyle

        return latex(self._styled(TableStyle(digits, labels or {}, p_style)))

    def save(
        self,
        path: FileName | os.PathLike[str],
        *,
        digits: int | None = None,
        labels: Mapping[str, str] | None = None,
        p_style: PStyle | None = None,
    ) -> None:
        """Write the tables to a file, in the form that its ending names.

        Parameters
        ----------
        path : str or path
            ``.html`` (a whole page), ``.doc`` (the same page, which Word opens), ``.md``, ``.tex``; ``.txt`` (the printed form)
            and, for results with a data frame, ``.csv`` (its numbers, unrounded): these two have no options.
        digits, labels, p_style
            See `to_html`.

        Raises
        ------
        ControlError
            The ending names no form, or the form does not take an option that is given.
        FileError
            The file cannot be written; one that was there is as it was.
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending in (".txt", ".csv") and not (digits is None and labels is None and p_style is None):
            raise ControlError(f"digits, labels and p_style are for .html, .doc, .md and .tex, not for {ending}.")
        if ending in (".html", ".htm", ".doc"):
            text = self.to_html(digits=digits, labels=labels, p_style=p_style, full=True)
        elif ending == ".md":
            text = self.to_markdown(digits=digits, labels=labels, p_style=p_style)
        elif ending == ".tex":
            text = self.to_latex(digits=digits, labels=labels, p_style=p_style)
        elif ending == ".txt":
            text = str(self)
        elif ending == ".csv" and hasattr(self, "to_frame"):
            frame = self.to_frame()
            text = str(frame.to_csv(index=type(frame.index).__name__ != "RangeIndex")).rstrip("\n")
        else:
            known = f".html, .doc, .md, .tex{', .csv' if hasattr(self, 'to_frame') else ''} or .txt"
            raise ControlError(f"Cannot tell the form of {target.name!r}; use {known}.")
        write_text(target, text + "\n")
