"""All checks of a fit on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multilevel.argument_rules import member
from multilevel.arguments import Seed, checked, checked_methods
from multilevel.errors import ControlError
from multilevel.quality.checks.autocorrelation import check_autocorrelation
from multilevel.quality.checks.collinearity import check_collinearity
from multilevel.quality.checks.convergence import check_convergence, check_singularity
from multilevel.quality.checks.heteroscedasticity import check_heteroscedasticity
from multilevel.quality.checks.normality import check_normality
from multilevel.quality.checks.outliers import check_outliers
from multilevel.quality.checks.predictions import check_predictions
from multilevel.quality.checks.result import Check, not_checked, wrapped
from multilevel.quality.checks.within_between import check_random_effects_correlation, check_within_between
from multilevel.reporting.forms import Document, Fact, Forms, Paragraph

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class ModelChecks(Forms, Mapping[str, Check]):
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
        found: Check = member({check.name: check for check in self.checks}, name, "check")
        return found

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

    def _document(self) -> Document:
        parts = (block for check in self.checks for block in check.blocks())
        return Document("Checks of the model", (Fact("Checks of", self.formula), Paragraph(self.conclusion), *parts))


@checked
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
    runs: dict[str, Callable[[], Check]] = {
        "convergence": lambda: check_convergence(fit),
        "singularity": lambda: check_singularity(fit),
        "collinearity": lambda: check_collinearity(fit),
        "normality of the residuals": lambda: check_normality(fit),
        "normality of the random effects": lambda: check_normality(fit, "random"),
        "heteroscedasticity": lambda: check_heteroscedasticity(fit, by),
        "outliers": lambda: check_outliers(fit),
        "autocorrelation": lambda: check_autocorrelation(fit, order),
        "predictions": lambda: check_predictions(fit, rng=rng),
        "slopes within and between clusters": lambda: check_within_between(fit),
        "random effects and cluster means": lambda: check_random_effects_correlation(fit),
    }
    return ModelChecks(str(fit.formula), tuple(_applied(fit, name, run) for name, run in runs.items()))


def _applied(fit: LinearMixedModel, name: str, run: Callable[[], Check]) -> Check:
    """Run a check; one that is not worked out for a residual structure or related levels says so on the page."""
    structured = fit._design.residual is not None or any(
        term.factor.relation is not None for term in fit._design.random
    )
    try:
        return run()
    except ControlError as error:
        if not structured:
            raise
        return not_checked(name, str(error))
