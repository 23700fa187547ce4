"""`tab_model`: several models side by side, as papers print them."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from multilevel.documents.model_columns import ModelColumns, model_columns
from multilevel.errors import ControlError
from multilevel.inference.degrees_of_freedom import DdfName
from multilevel.reporting.numbers import stars
from multilevel.reporting.tables import escape_latex, escape_markdown

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

PStyle = Literal["numeric", "stars", "numeric_stars", "scientific"]
Show = Literal["estimate", "std_beta", "ci", "std_error", "statistic", "df", "p"]
Measure = Literal["variances", "icc", "groups", "nobs", "r2", "aic", "deviance", "loglik"]

HEADS: dict[str, str] = {
    "estimate": "Estimate", "std_beta": "Std. Beta", "ci": "CI", "std_error": "SE", "statistic": "t", "df": "df", "p": "p",
}  # fmt: skip
P_STYLES = ("numeric", "stars", "numeric_stars", "scientific")
MEASURES = ("variances", "icc", "groups", "nobs", "r2", "aic", "deviance", "loglik")
DEFAULT_MEASURES: tuple[Measure, ...] = ("variances", "icc", "groups", "nobs", "r2")

RANDOM = "Random effects"
STARS = "Stars: * p < 0.05, ** p < 0.01, *** p < 0.001."


@dataclass(frozen=True)
class _Row:
    """A row of the table: its label, and for each model its cells (one alone stands across all of the model's columns)."""

    label: str
    cells: tuple[tuple[str, ...], ...]
    kind: Literal["coefficient", "section", "measure"]


@dataclass(frozen=True, repr=False)
class ModelTable:
    """Models side by side: predictors in rows, for each model estimates, intervals and p-values, below them the random effects.

    Attributes
    ----------
    models : tuple of ModelColumns
        The numbers of the models, unrounded.
    level : float
        Confidence level.
    show : tuple of str
        The columns of each model.

    See Also
    --------
    tab_model : makes it.
    """

    models: tuple[ModelColumns, ...]
    level: float
    show: tuple[Show, ...]
    measures: tuple[Measure, ...]
    labels: Mapping[str, str]
    digits: int
    p_style: PStyle
    terms: tuple[str, ...]
    title: str
    interval_note: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the table should know."""
        several = len(self.models) > 1
        found = [f"{model.name}: {note}" if several else note for model in self.models for note in model.notes]
        return (self.interval_note, *([STARS] if "stars" in self.p_style else []), *found)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, unrounded, one row for each model and quantity.

        Returns
        -------
        pandas.DataFrame
            ``model``, ``part`` (``"fixed"``, ``"random"``, ``"fit"``), ``term``, ``estimate`` and for the fixed effects
            ``std_error``, ``conf_low``, ``conf_high``, ``statistic``, ``df``, ``p_value``.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for model in self.models:
            for term in self.terms:
                if term in model.coefficients:
                    rows.append({"model": model.name, "part": "fixed", "term": term, **model.coefficients[term]})
            for label, value in model.variances.items():
                rows.append({"model": model.name, "part": "random", "term": label, "estimate": value})
            for group, count in model.groups.items():
                rows.append({"model": model.name, "part": "random", "term": f"N {group}", "estimate": float(count)})
            facts = {
                "icc": model.icc, "nobs": float(model.nobs), "r2_marginal": model.r2_marginal,
                "r2_conditional": model.r2_conditional, **model.fit,
            }  # fmt: skip
            for label, value in facts.items():
                rows.append({"model": model.name, "part": "fit", "term": label, "estimate": value})
        return pd.DataFrame(rows)

    # ---- cells -----------------------------------------------------------------------------------------------------------

    def _number(self, value: float) -> str:
        if not math.isfinite(value):
            return ""
        text = f"{value:.{self.digits}f}"
        return text[1:] if text.startswith("-") and not text.strip("-0.") else text

    def _p(self, value: float) -> str:
        if not math.isfinite(value):
            return ""
        if self.p_style == "scientific":
            return f"{value:.2e}"
        mark = stars(value).replace(".", "")
        text = "<0.001" if value < 0.001 else f"{value:.3f}"
        return {"numeric": text, "stars": mark, "numeric_stars": f"{text} {mark}".rstrip()}[self.p_style]

    def _coefficient(self, values: Mapping[str, float] | None) -> tuple[str, ...]:
        if values is None:
            return ("",) * len(self.show)
        cells = []
        for what in self.show:
            if what == "ci":
                low, high = self._number(values["conf_low"]), self._number(values["conf_high"])
                cells.append(f"{low} – {high}" if low and high else "")
            elif what == "p":
                cells.append(self._p(values["p_value"]))
            elif what == "df":
                cells.append(f"{values['df']:.1f}" if math.isfinite(values["df"]) else "∞")
            else:
                text = self._number(values.get(what, math.nan))
                if what == "estimate" and self.p_style == "stars" and "p" not in self.show:
                    text += stars(values["p_value"]).replace(".", "")
                cells.append(text)
        return tuple(cells)

    def _rows(self) -> list[_Row]:
        models = self.models
        rows = [
            _Row(
                self.labels.get(term, term),
                tuple(self._coefficient(model.coefficients.get(term)) for model in models),
                "coefficient",
            )
            for term in self.terms
        ]

        def across(label: str, values: Sequence[str]) -> None:
            if any(values):
                rows.append(_Row(label, tuple((value,) for value in values), "measure"))

        if {"variances", "icc", "groups"} & set(self.measures):
            rows.append(_Row(RANDOM, (), "section"))
        if "variances" in self.measures:
            for label in dict.fromkeys(label for model in models for label in model.variances):
                across(label, [self._number(m.variances[label]) if label in m.variances else "" for m in models])
        if "icc" in self.measures:
            across("ICC", [self._number(model.icc) for model in models])
        if "groups" in self.measures:
            for group in dict.fromkeys(group for model in models for group in model.groups):
                across(f"N {group}", [f"{m.groups[group]:,}" if group in m.groups else "" for m in models])
        if set(self.measures) - {"variances", "icc", "groups"}:
            rows.append(_Row("Model", (), "section"))
        if "nobs" in self.measures:
            across("Observations", [f"{model.nobs:,}" for model in models])
        if "r2" in self.measures:
            across("Marginal R² / Conditional R²", [f"{m.r2_marginal:.3f} / {m.r2_conditional:.3f}" for m in models])
        for what, label in (("deviance", "−2 log-likelihood"), ("aic", "AIC"), ("loglik", "Log-likelihood")):
            if what in self.measures:
                across(label, [f"{model.fit[what]:.{self.digits}f}" for model in models])
        return rows

    def _names(self) -> list[str]:
        return [model.name for model in self.models]

    def _heads(self) -> list[str]:
        ci = f"{100 * self.level:g}% CI"
        return [ci if what == "ci" else HEADS[what] for what in self.show]

    # ---- forms -----------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        """Return the table as text, blocks of models below each other where it is too wide."""
        blocks = []
        fitting = list(range(len(self.models)))
        while fitting:
            count = len(fitting)
            while count > 1 and len(self._text(fitting[:count]).split("\n", 1)[0]) > 120:
                count -= 1
            blocks.append(self._text(fitting[:count]))
            fitting = fitting[count:]
        notes = "\n".join(f"* {note}" for note in self.notes)
        return "\n\n".join([*([self.title] if self.title else []), *blocks, notes])

    __repr__ = __str__

    def _text(self, chosen: Sequence[int]) -> str:
        heads, rows = self._heads(), self._rows()
        first = max(len(row.label) for row in rows)
        widths = []
        for m in chosen:
            own = [
                max(len(heads[c]), *(len(row.cells[m][c]) for row in rows if row.kind == "coefficient"), 0)
                for c in range(len(heads))
            ]
            spare = max(len(self._names()[m]), *(len(row.cells[m][0]) for row in rows if row.kind == "measure"), 0)
            own[-1] += max(0, spare - sum(own) - len(own) + 1)
            widths.append(own)
        whole = [sum(own) + len(own) - 1 for own in widths]
        line = "─" * (first + sum(whole) + 3 * len(whole))
        lines = [
            line,
            " " * first + "".join("   " + self._names()[m].center(w) for m, w in zip(chosen, whole, strict=True)),
            " " * first
            + "".join("   " + " ".join(h.rjust(w) for h, w in zip(heads, own, strict=True)) for own in widths),
            line,
        ]
        for row in rows:
            if row.kind == "section":
                lines.append(row.label)
                continue
            text = row.label.ljust(first)
            for m, own, w in zip(chosen, widths, whole, strict=True):
                cells = row.cells[m]
                text += "   " + (
                    cells[0].center(w)
                    if row.kind == "measure"
                    else " ".join(cell.rjust(v) for cell, v in zip(cells, own, strict=True))
                )
            lines.append(text)
        # A line above the section of the random effects.
        lines = [part for text in lines for part in ([line, text] if text in (RANDOM,) else [text])]
        return "\n".join(text.rstrip() for text in [*lines, line])

    def to_html(self) -> str:
        """Return an HTML table whose style is in its cells, so that it keeps it when pasted into Word or a mail."""
        font = "font-family:Arial,Helvetica,sans-serif;font-size:10pt"
        cell = "padding:2px 8px;text-align:center;vertical-align:top;white-space:nowrap"
        left = "padding:2px 8px;text-align:left;vertical-align:top"
        rule, double, below = "border-top:1px solid #000", "border-top:2px solid #000", "border-bottom:1px solid #000"
        head = f"{below};font-style:italic;font-weight:normal"
        span, width = len(self.show), 1 + len(self.show) * len(self.models)
        parts = [f'<table style="border-collapse:collapse;border:none;{font}">']
        if self.title:
            style = "caption-side:top;text-align:left;font-weight:bold;padding:4px 8px"
            parts.append(f'<caption style="{style}">{html.escape(self.title)}</caption>')
        names = "".join(
            f'<th scope="colgroup" colspan="{span}" style="{cell};{double};font-weight:bold">{html.escape(name)}</th>'
            for name in self._names()
        )
        heads = "".join(
            f'<th scope="col" style="{cell};{head}">{html.escape(text)}</th>'
            for _ in self.models
            for text in self._heads()
        )
        parts.append(f'<thead><tr><td style="{left};{double}"></td>{names}</tr>')
        parts.append(f'<tr><th scope="col" style="{left};{head}">Predictors</th>{heads}</tr></thead><tbody>')
        for row in self._rows():
            label = html.escape(row.label)
            if row.kind == "section":
                style = f"{left};{rule};font-weight:bold"
                parts.append(f'<tr><th scope="row" colspan="{width}" style="{style}">{label}</th></tr>')
                continue
            if row.kind == "measure":
                body = "".join(f'<td colspan="{span}" style="{cell}">{html.escape(c[0])}</td>' for c in row.cells)
            else:
                body = "".join(f'<td style="{cell}">{html.escape(c)}</td>' for cells in row.cells for c in cells)
            parts.append(f'<tr><th scope="row" style="{left};font-weight:normal">{label}</th>{body}</tr>')
        notes = "<br>".join(html.escape(note) for note in self.notes)
        style = f"{left};{double};font-size:9pt;font-style:italic"
        parts.append(f'</tbody><tfoot><tr><td colspan="{width}" style="{style}">{notes}</td></tr></tfoot></table>')
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()

    def to_markdown(self) -> str:
        """Return a pipe table; the models' names stand before the heads of their columns."""
        several = len(self.models) > 1
        heads = [f"{name}: {head}" if several else head for name in self._names() for head in self._heads()]
        lines = [["Predictors", *heads], [":---", *["---:"] * len(heads)]]
        for row in self._rows():
            label = escape_markdown(row.label)
            if row.kind == "section":
                lines.append([f"**{label}**", *[""] * len(heads)])
            else:
                pad = len(self.show) - 1 if row.kind == "measure" else 0
                lines.append([label, *(escape_markdown(text) for cells in row.cells for text in (*cells, *[""] * pad))])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        title = [f"**{escape_markdown(self.title)}**"] if self.title else []
        return "\n\n".join([*title, table, "\n".join(f"- {escape_markdown(note)}" for note in self.notes)])

    def to_latex(self) -> str:
        """Return a ``table`` environment with rules from the booktabs package."""
        span = len(self.show)
        names = " & ".join(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(name)}}}" for name in self._names())
        rules = " ".join(rf"\cmidrule(lr){{{2 + span * m}-{1 + span * (m + 1)}}}" for m in range(len(self.models)))
        heads = " & ".join(["Predictors", *(escape_latex(head) for _ in self.models for head in self._heads())])
        body = []
        for row in self._rows():
            label = _latex(row.label)
            if row.kind == "section":
                body.append(rf"\midrule \multicolumn{{{1 + span * len(self.models)}}}{{l}}{{\textbf{{{label}}}}} \\")
            elif row.kind == "measure":
                cells = " & ".join(rf"\multicolumn{{{span}}}{{c}}{{{_latex(cells[0])}}}" for cells in row.cells)
                body.append(rf"{label} & {cells} \\")
            else:
                cells = " & ".join(_latex(text) for own in row.cells for text in own)
                body.append(rf"{label} & {cells} \\")
        notes = r" \\ ".join(_latex(note) for note in self.notes)
        return "\n".join(
            [
                r"% requires \usepackage{booktabs}", r"\begin{table}[htbp]", r"\centering",
                *([rf"\caption{{{_latex(self.title)}}}"] if self.title else []),
                rf"\begin{{tabular}}{{l{'r' * (span * len(self.models))}}}", r"\toprule", rf" & {names} \\ {rules}",
                rf"{heads} \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
                rf"\par\footnotesize {notes}", r"\end{table}",
            ]
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the table to a file, in the form that its ending names: .html, .md, .tex, .txt or .csv.

        Raises
        ------
        ControlError
            The ending names no form.
        """
        path = Path(path)
        forms = {".html": self.to_html, ".htm": self.to_html, ".md": self.to_markdown, ".tex": self.to_latex}
        forms[".txt"] = self.__str__
        if path.suffix.lower() == ".csv":
            self.to_frame().to_csv(path, index=False)
        elif path.suffix.lower() in forms:
            path.write_text(forms[path.suffix.lower()]() + "\n", encoding="utf-8")
        else:
            raise ControlError(f"Cannot tell the form of {path.name!r}; use .html, .md, .tex, .txt or .csv.")


_SYMBOLS = {
    "σ²": r"$\sigma^2$", "τ₀₀": r"$\tau_{00}$", "τ₁₁": r"$\tau_{11}$", "ρ ": r"$\rho$ ", "R²": r"$R^2$",
    "∞": r"$\infty$", "–": "--", "−": "$-$",
}  # fmt: skip


def _latex(text: str) -> str:
    """Write a label for LaTeX, Greek letters and small figures too."""
    pieces = [text]
    for mark in _SYMBOLS:
        pieces = [part for piece in pieces for part in _split(piece, mark)]
    return "".join(_SYMBOLS.get(piece) or escape_latex(piece) for piece in pieces)


def _split(text: str, mark: str) -> list[str]:
    """Split a text at a mark and keep the mark as a piece of its own."""
    if text in _SYMBOLS:
        return [text]
    found = [part for piece in text.split(mark) for part in (piece, mark)]
    return [part for part in found[:-1] if part]


def tab_model(
    *fits: LinearMixedModel,
    names: Sequence[str] | None = None,
    show: Sequence[Show] = ("estimate", "ci", "p"),
    measures: Sequence[Measure] = DEFAULT_MEASURES,
    standardized: bool = False,
    labels: Mapping[str, str] | None = None,
    terms: Sequence[str] | None = None,
    intercept: bool = True,
    digits: int = 2,
    p_style: PStyle = "numeric",
    level: float = 0.95,
    ddf: DdfName = "satterthwaite",
    title: str = "",
    **named: LinearMixedModel,
) -> ModelTable:
    """Put models side by side in one table (R's ``sjPlot::tab_model``).

    Parameters
    ----------
    *fits, **named : LinearMixedModel
        The models; those given by keyword have their keyword as name.
    names : sequence of str, optional
        Names of the models; by default their responses, numbered where several are alike.
    show : sequence of str
        The columns of each model, in order: ``"estimate"``, ``"std_beta"``, ``"ci"``, ``"std_error"``, ``"statistic"``, ``"df"``,
        ``"p"``.
    measures : sequence of str
        What stands below the coefficients: ``"variances"`` (σ², τ₀₀, τ₁₁ as variances, ρ as correlations), ``"icc"`` (adjusted),
        ``"groups"``, ``"nobs"``, ``"r2"`` (Nakagawa), ``"aic"``, ``"deviance"`` (−2 log-likelihood, restricted for REML) and
        ``"loglik"``.
    standardized : bool
        Whether to add the standardized coefficients (refit with standardized data), as ``"std_beta"`` in `show` does.
    labels : mapping, optional
        What predictors are called, by the names of their coefficients.
    terms : sequence of str, optional
        The coefficients to show, in this order; by default all, in the order of the models.
    intercept : bool
        Whether to show the intercept.
    digits : int
        Decimals.
    p_style : {"numeric", "stars", "numeric_stars", "scientific"}
        How p-values are written. ``"stars"`` without ``"p"`` in `show` puts stars behind the estimates.
    level : float
        Confidence level.
    ddf : str
        Degrees of freedom of intervals and p-values (see `LinearMixedModel.summary`).
    title : str
        A title.

    Returns
    -------
    ModelTable
        Prints as text; HTML (in notebooks, and to paste into Word), Markdown, LaTeX, a frame; `save` writes a file.

    Raises
    ------
    ControlError
        No model is given, or an argument has a value that is not one of its choices.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> small = ml.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> large = ml.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> print(ml.tab_model(intercepts=small, slopes=large, show=["estimate", "ci"]))  # doctest: +ELLIPSIS
    ────...
                                       intercepts                slopes
                                   Estimate          95% CI   Estimate          95% CI
    ...
    """
    models = [*fits, *named.values()]
    if not models:
        raise ControlError("tab_model needs at least one fitted model.")
    called = _model_names(models, fits, names, named)
    shown = tuple(show)
    if standardized and "std_beta" not in shown:
        at = shown.index("estimate") + 1 if "estimate" in shown else 0
        shown = (*shown[:at], "std_beta", *shown[at:])
    for what, given, known in (("show", shown, tuple(HEADS)), ("measures", tuple(measures), MEASURES)):
        wrong = [value for value in given if value not in known]
        if wrong:
            raise ControlError(f"{what} cannot hold {wrong[0]!r}; choose from {', '.join(map(repr, known))}.")
    if not shown:
        raise ControlError("show must name at least one column.")
    if p_style not in P_STYLES:
        raise ControlError(f"p_style must be one of {', '.join(map(repr, P_STYLES))}, not {p_style!r}.")
    if not 0 < level < 1:
        raise ControlError(f"level must lie between 0 and 1; it is {level}.")
    columns = tuple(
        model_columns(fit, name, level=level, ddf=ddf, standardized="std_beta" in shown)
        for fit, name in zip(models, called, strict=True)
    )
    found = list(dict.fromkeys(term for model in columns for term in model.coefficients))
    if terms is not None:
        unknown = [term for term in terms if term not in found]
        if unknown:
            raise ControlError(f"No model has a coefficient {unknown[0]!r}; they have {', '.join(found)}.")
        found = list(terms)
    elif not intercept:
        found = [term for term in found if term != "(Intercept)"]
    unknown = [term for term in labels or {} if term not in found]
    if unknown:
        raise ControlError(f"labels names {unknown[0]!r}, which is not in the table; it has {', '.join(found)}.")
    note = {
        "satterthwaite": "Satterthwaite's degrees of freedom",
        "kenward-roger": "Kenward and Roger's degrees of freedom",
        "residual": "residual degrees of freedom",
        "asymptotic": "the normal distribution",
    }[ddf]
    return ModelTable(
        columns, level, shown, tuple(measures), dict(labels or {}), digits, p_style, tuple(found), title,
        f"Intervals and p-values by {note}.",
    )  # fmt: skip


def _model_names(
    models: Sequence[LinearMixedModel],
    fits: Sequence[LinearMixedModel],
    names: Sequence[str] | None,
    named: Mapping[str, Any],
) -> list[str]:
    from multilevel.model.fitted import LinearMixedModel

    for model in models:
        if not isinstance(model, LinearMixedModel):
            raise ControlError(f"tab_model takes fitted models, not {type(model).__name__}.")
    if names is not None:
        if len(names) != len(fits):
            raise ControlError(f"names has {len(names)} names for {len(fits)} models.")
        return [*map(str, names), *named]
    responses = [str(fit.formula.response) for fit in fits]
    if len(set(responses)) < len(responses):
        responses = [f"{response} ({i})" for i, response in enumerate(responses, 1)]
    return [*responses, *named]
