"""All checks of a fit on one page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multilevel.model.simulation import Seed
from multilevel.quality.checks.autocorrelation import check_autocorrelation
from multilevel.quality.checks.collinearity import check_collinearity
from multilevel.quality.checks.convergence import check_convergence, check_singularity
from multilevel.quality.checks.heteroscedasticity import check_heteroscedasticity
from multilevel.quality.checks.normality import check_normality
from multilevel.quality.checks.outliers import check_outliers
from multilevel.quality.checks.predictions import check_predictions
from multilevel.quality.checks.result import Check, latex_sentence, wrapped
from multilevel.quality.checks.within_between import check_random_effects_correlation, check_within_between
from multilevel.reporting.tables import escape_latex, escape_markdown

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


@dataclass(frozen=True, eq=False, repr=False)
class ModelChecks(Mapping[str, Check]):
    """All checks of a fit, by name: what `check_model` returns.

    Attributes
    ----------
    formula : str
        The model's formula.
    checks : tuple of Check
        The checks, in the order of the page.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = ml.check_model(fit)
    >>> found["convergence"].ok
    True
    >>> [check.name for check in found.values() if check.ok is False]
    ['normality of the residuals', 'heteroscedasticity', 'outliers', 'autocorrelation']
    """

    formula: str
    checks: tuple[Check, ...]

    def __getitem__(self, name: str) -> Check:
        """Return the check of that name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter([check.name for check in self.checks])

    def __len__(self) -> int:
        """Return the number of checks."""
        return len(self.checks)

    @property
    def ok(self) -> bool:
        """Whether no check warns."""
        return all(self.checks)

    def to_frame(self) -> pd.DataFrame:
        """Return verdict and conclusion of each check."""
        import pandas as pd

        return pd.DataFrame(
            {
                "verdict": [check.verdict for check in self.checks],
                "conclusion": [check.conclusion for check in self.checks],
            },
            index=pd.Index([check.name for check in self.checks], name="check"),
        )

    @property
    def conclusion(self) -> str:
        """How many checks warn."""
        warned = sum(check.ok is False for check in self.checks)
        skipped = sum(check.ok is None for check in self.checks)
        text = "Nothing speaks against the model"
        if warned:
            text = f"{warned} of {len(self)} checks warn{'s' if warned == 1 else ''}"
        return text + (f"; {skipped} {'does' if skipped == 1 else 'do'} not apply." if skipped else ".")

    def __str__(self) -> str:
        """Return the page as text."""
        parts = [f"Checks of {self.formula}\n{self.conclusion}"]
        parts += [f"{check.title}: {check.verdict}\n{wrapped(check.conclusion)}" for check in self.checks]
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook."""
        return self.to_html()

    def to_html(self) -> str:
        """Return the page with the tables of all checks as HTML."""
        from multilevel.reporting.markup import _STYLE

        bodies = "\n".join(check.html_body() for check in self.checks)
        return (
            f'<section class="multilevel-summary" aria-label="Checks of the model">\n<style>\n{_STYLE}\n</style>\n'
            f"<p>Checks of <code>{html.escape(self.formula)}</code>. {html.escape(self.conclusion)}</p>\n{bodies}\n</section>"
        )

    def to_markdown(self) -> str:
        """Return the page with the tables of all checks as Markdown."""
        parts = [f"**Checks of** `{self.formula}`", escape_markdown(self.conclusion)]
        return "\n\n".join([*parts, *(check.to_markdown() for check in self.checks)])

    def to_latex(self) -> str:
        """Return verdicts and conclusions as a LaTeX list; it needs no package."""
        items = "\n".join(
            rf"\item[{escape_latex(check.title)}: {check.verdict}] {latex_sentence(check.conclusion)}"
            for check in self.checks
        )
        head = rf"\noindent Checks of \texttt{{{escape_latex(self.formula)}}}. {escape_latex(self.conclusion)}"
        return f"{head}\n\\begin{{description}}\n{items}\n\\end{{description}}"


def check_model(fit: LinearMixedModel, *, by: Any = None, order: Any = None, rng: Seed = 1) -> ModelChecks:
    """Run all checks of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    by : str or array_like, optional
        Groups between which residual variances are compared (see `check_heteroscedasticity`).
    order : str or array_like, optional
        In what order the rows of a cluster follow one another (see `check_autocorrelation`).
    rng : int, SeedSequence or Generator, optional
        Where the random numbers of `check_predictions` come from.

    Returns
    -------
    ModelChecks
        The checks by name; printed, a page of verdicts and conclusions. Each holds its table and the data of its plot.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load_dataset("Penicillin"))
    >>> print(ml.check_model(fit).conclusion)
    1 of 11 checks warns; 4 do not apply.
    """
    return ModelChecks(
        str(fit.formula),
        (
            check_convergence(fit),
            check_singularity(fit),
            check_collinearity(fit),
            check_normality(fit),
            check_normality(fit, "random"),
            check_heteroscedasticity(fit, by),
            check_outliers(fit),
            check_autocorrelation(fit, order),
            check_predictions(fit, rng=rng),
            check_within_between(fit),
            check_random_effects_correlation(fit),
        ),
    )
