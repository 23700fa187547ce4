"""`report`: one page on a fitted model, to send to a colleague or to keep beside the data."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from multilevel._version import __version__
from multilevel.arguments import DdfName, FileName, Level, checked, checked_methods
from multilevel.documents.code import data_facts, reproducing_code
from multilevel.documents.left_out import left_out
from multilevel.documents.methods import Methods, methods_paragraph
from multilevel.documents.model_columns import ModelColumns
from multilevel.documents.model_table import ModelTable, tab_model
from multilevel.documents.page import Section, page, scrolled
from multilevel.documents.pictures import Picture, report_pictures
from multilevel.errors import ControlError
from multilevel.files import write_text
from multilevel.inference.anova import anova
from multilevel.inference.anova_table import AnovaTable
from multilevel.quality.checks.model import ModelChecks, check_model

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel
    from multilevel.reporting.summary import Summary

BADGES = {True: ("ok", "OK"), False: ("warn", "Look at this"), None: ("none", "Not checked")}


@checked_methods
@dataclass(frozen=True, repr=False)
class Report:
    """A report on a fitted model.

    Attributes
    ----------
    title : str
        Its title.
    table : ModelTable
        The coefficients, variances and measures of fit.
    checks : ModelChecks or None
        The checks, or None where they were not asked for.
    terms : AnovaTable or None
        The tests of the terms, where the model has a factor or an interaction.
    methods : Methods
        The methods paragraph.
    code : str
        The code that fits the model again.
    pictures : tuple of Picture
        The pictures.
    html : str
        The whole page.
    """

    title: str
    table: ModelTable
    checks: ModelChecks | None
    terms: AnovaTable | None
    methods: Methods
    code: str
    pictures: tuple[Picture, ...]
    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file; one that is there is replaced when the new one is complete.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        write_text(path, self.html)

    def __repr__(self) -> str:
        """Return title and size."""
        drawn = sum(bool(picture.source) for picture in self.pictures)
        return f"Report {self.title!r}: {len(self.html) / 1e6:.1f} MB of HTML with {drawn} pictures"

    def _repr_html_(self) -> str:
        """Return the page in a frame, for a notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.html, quote=True)}" title="{html.escape(self.title)}" '
            'style="width:100%;height:40rem;border:1px solid #ccc"></iframe>'
        )


@checked
def report(
    fit: LinearMixedModel,
    path: FileName | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    ddf: DdfName = "satterthwaite",
    level: Level = 0.95,
    pictures: bool = True,
    checks: bool = True,
    source: str | None = None,
) -> Report:
    """Make one self-contained HTML page on a fitted model.

    The page says what was fitted, to how many rows and groups and what was left out; it has the tables, the pictures, the checks in
    plain sentences, a methods paragraph with its references, and the code that fits the model again. It needs no network and no
    other file, and is readable on a phone and in print.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    path : str or path, optional
        Where to write the page; without it only the `Report` is returned.
    title : str, optional
        Its title; by default it names the response.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        Degrees of freedom of intervals and p-values.
    level : float
        Confidence level of the intervals in the tables.
    pictures, checks : bool
        Whether to draw the pictures (they need plotnine; without it a sentence says so) and to run the checks.
    source : str, optional
        The file that the data came from, for the code that fits the model again.

    Returns
    -------
    Report
        The page and its parts.

    Raises
    ------
    ControlError
        The path does not end in ``.html`` or its folder does not exist.
    FileError
        The file cannot be written; one that was there is as it was.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = ml.report(fit, pictures=False)
    >>> found.methods.text[:71]
    'We fitted a linear mixed-effects model (Bates et al., 2015) of Reaction'
    >>> ml.report(fit, "report.html")  # doctest: +SKIP
    """
    if path is not None:
        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise ControlError(f"A report is an HTML page; let {target.name!r} end in .html.")
        if not target.parent.is_dir():
            raise ControlError(f"There is no folder {str(target.parent)!r} to write the report to.")
    if title is None:
        title = f"{fit.formula.response}: a linear mixed-effects model"
    summary = fit.summary(ddf=ddf)
    table = tab_model(fit, names=["Model"], show=("estimate", "ci", "std_error", "df", "p"), level=level, ddf=ddf)
    drawn = report_pictures(fit) if pictures else ()
    found = check_model(fit) if checks else None
    methods = methods_paragraph(fit, ddf)
    terms = _terms(fit, ddf)
    code = reproducing_code(fit, source, ddf)
    sections = [_results(table, terms, summary)]
    if drawn:
        sections.append(_pictures(drawn))
    if found is not None:
        sections.append(_checks(found))
    sections += [_methods(methods), _code(code, fit)]
    whole = page(title, _lead(fit), sections, f"Made by multilevel {__version__}.")
    made = Report(title, table, found, terms, methods, code, drawn, whole)
    if path is not None:
        made.save(path)
    return made


def _lead(fit: LinearMixedModel) -> str:
    """Say what was fitted and to what."""
    facts: list[tuple[str, str]] = [("Rows", f"{fit.nobs:,}")]
    facts += [(f"Levels of {group}", f"{count:,}") for group, count in fit.ngroups.items()]
    facts += [
        ("Criterion", "REML" if fit.reml else "Maximum likelihood"),
        ("Fit", fit.convergence.status),
        ("Rows left out", f"{fit.n_missing:,}"),
    ]
    cells = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in left_out(fit))
    said = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'<p class="lead">Model: <code>{html.escape(str(fit.formula))}</code></p>\n<dl class="facts">{cells}</dl>\n{said}'


def _terms(fit: LinearMixedModel, ddf: DdfName) -> AnovaTable | None:
    """Return the type III tests where a term has several columns or is an interaction; elsewhere they add nothing."""
    design = fit._design
    places = [place for place in design.fixed_assign if place]
    if not any(places.count(place) > 1 or ":" in design.term_labels[place - 1] for place in set(places)):
        return None
    return anova(fit, ddf=ddf)


def _results(table: ModelTable, terms: AnovaTable | None, summary: Summary) -> Section:
    """Return the tables, and the fixed effects in sentences."""
    sentences = []
    model = table.models[0]
    for term, values in model.coefficients.items():
        if term == "(Intercept)":
            continue
        p = values["p_value"]
        said = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        estimate, low, high = (_short(values[name]) for name in ("estimate", "conf_low", "conf_high"))
        tested = "no p-value" if math.isnan(p) else said
        sentences.append(
            f"<li><strong>{html.escape(term)}</strong>: {estimate} ({100 * table.level:g}% interval {low} to {high}, {tested})</li>"
        )
    shown = f"<ul>{''.join(sentences)}</ul>" if 0 < len(sentences) <= 12 else ""
    explained = _explained(model)
    parts = [shown, explained, "<h3>Coefficients and random effects</h3>", scrolled(table.to_html(), "Coefficients")]
    if terms is not None:
        parts += ["<h3>Tests of the terms</h3>", scrolled(terms.to_html(), "Tests of the terms")]
    whole = scrolled(summary.to_html(), "The whole summary")
    parts.append(f"<details><summary>The whole summary</summary>{whole}</details>")
    return Section("Results", "\n".join(part for part in parts if part))


def _explained(model: ModelColumns) -> str:
    """Say what share of the variance is explained; nothing where that is not defined (the table's notes say why)."""
    found = ""
    if not math.isnan(model.r2_marginal):
        found = f"The fixed effects explain {100 * model.r2_marginal:.1f}% of the variance (marginal R²)"
        if not math.isnan(model.r2_conditional):
            found += f", with the random effects {100 * model.r2_conditional:.1f}% (conditional R²)"
        found += "."
    if not math.isnan(model.icc):
        found += f" Of what the fixed effects leave, {100 * model.icc:.1f}% lies between groups (adjusted ICC)."
    return f"<p>{found.strip()}</p>" if found else ""


def _short(value: float) -> str:
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−", 1) if "e" not in text else text


def _pictures(pictures: Sequence[Picture]) -> Section:
    parts = []
    for picture in pictures:
        caption = html.escape(picture.caption)
        if picture.source:
            parts.append(
                f'<figure class="{"wide" if picture.wide else "single"}" tabindex="0">'
                f'<img src="{picture.source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
            )
        else:
            parts.append(f"<p>{caption.rstrip('.')}: not drawn. {html.escape(picture.reason)}</p>")
    return Section("Pictures", "\n".join(parts))


def _checks(checks: ModelChecks) -> Section:
    parts = [f"<p>{html.escape(checks.conclusion)}</p>"]
    order = {False: 0, True: 1, None: 2}
    for check in sorted(checks.values(), key=lambda check: order[check.ok]):
        kind, word = BADGES[check.ok]
        parts.append(
            f'<div class="check"><span class="badge {kind}">{word}</span><div><h3>{html.escape(check.name.capitalize())}</h3>'
            f"<p>{html.escape(check.conclusion)}</p></div></div>"
        )
    return Section("Checks", "\n".join(parts))


def _methods(methods: Methods) -> Section:
    items = "".join(f"<li>{html.escape(reference)}</li>" for reference in methods.references)
    return Section(
        "Methods",
        f'<blockquote><p>{html.escape(methods.text)}</p></blockquote>\n<h3>References</h3>\n<ul class="references">{items}</ul>',
    )


def _code(code: str, fit: LinearMixedModel) -> Section:
    """Return the code that fits the model again, and what its data were."""
    return Section(
        "Code",
        f'<pre tabindex="0"><code>{html.escape(code)}</code></pre>\n<p>{html.escape(data_facts(fit))}</p>',
    )
