"""`tab_model`: several models side by side, as papers print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from multilevel.arguments import DdfName, Level, PStyle, checked, checked_methods
from multilevel.documents.model_columns import ModelColumns, model_columns
from multilevel.documents.model_rows import HEADS, MEASURES, Measure, Show, model_rows
from multilevel.documents.model_text import grouped_text
from multilevel.errors import ControlError
from multilevel.reporting.forms import Document, Forms, Legend, Notes
from multilevel.reporting.style import TableStyle, restyled
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

DEFAULT_MEASURES: tuple[Measure, ...] = ("variances", "icc", "groups", "nobs", "r2")


@checked_methods
@dataclass(frozen=True, repr=False)
class ModelTable(Forms):
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
        return (self.interval_note, *found)

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

    def _document(self) -> Document:
        laid_out = Document(self.title or "Table of models", (model_rows(self), Notes(self.notes)))
        return restyled(laid_out, TableStyle(self.digits, self.labels, self.p_style))

    def _styled(self, style: TableStyle) -> Document:
        """Return the document; options given later stand before those of the table."""
        digits = self.digits if style.digits is None else style.digits
        labels = {**self.labels, **style.labels}
        return replace(self, digits=digits, labels=labels, p_style=style.p_style or self.p_style)._document()

    def __str__(self) -> str:
        """Return the table as text, blocks of models below each other where it is too wide."""
        parts = [self.title] if self.title else []
        notes = []
        for block in self._document().blocks:
            if isinstance(block, Table):
                parts.append(grouped_text(block))
            elif isinstance(block, Legend):
                notes.append(f"Stars: {block.text}")
            elif isinstance(block, Notes):
                notes += [f"* {note}" for note in block.items]
        return "\n\n".join([*parts, "\n".join(notes)])

    __repr__ = __str__


@checked
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
    level: Level = 0.95,
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
        What predictors, models, columns and measures are called, by what they are called in the table.
    terms : sequence of str, optional
        The coefficients to show, in this order; by default all, in the order of the models.
    intercept : bool
        Whether to show the intercept.
    digits : int
        Decimals.
    p_style : {"numeric", "apa", "scientific", "stars", "numeric_stars", "scientific_stars"}
        How p-values are written. Without ``"p"`` in `show`, the stars stand behind the estimates.
    level : float
        Confidence level.
    ddf : str
        Degrees of freedom of intervals and p-values (see `LinearMixedModel.summary`).
    title : str
        A title.

    Returns
    -------
    ModelTable
        Prints as text; has HTML (for notebooks, and to paste into Word), Markdown, LaTeX and a frame; `save` writes a file.

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
    note = {
        "satterthwaite": "Satterthwaite's degrees of freedom",
        "kenward-roger": "Kenward and Roger's degrees of freedom",
        "residual": "residual degrees of freedom",
        "asymptotic": "the normal distribution",
    }[ddf]
    table = ModelTable(
        columns, level, shown, tuple(measures), dict(labels or {}), digits, p_style, tuple(found), title,
        f"Intervals and p-values by {note}.",
    )  # fmt: skip
    table._document()  # labels, digits and p_style that are wrong are refused here, not where the table is shown
    return table


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
