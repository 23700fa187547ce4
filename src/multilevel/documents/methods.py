"""The methods paragraph of a report: what was done, in words, with the papers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multilevel._version import __version__
from multilevel.arguments import DdfName
from multilevel.model.identification import identification_sentence
from multilevel.plot.style import listed

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

BATES = (
    "Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4. "
    "Journal of Statistical Software, 67(1), 1–48."
)
KUZNETSOVA = (
    "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). lmerTest package: Tests in linear mixed effects models. "
    "Journal of Statistical Software, 82(13), 1–26."
)
KENWARD = (
    "Kenward, M. G., & Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum likelihood. "
    "Biometrics, 53(3), 983–997."
)
NAKAGAWA = (
    "Nakagawa, S., Johnson, P. C. D., & Schielzeth, H. (2017). The coefficient of determination R² and intra-class correlation "
    "coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal Society Interface, "
    "14(134), 20170213."
)


@dataclass(frozen=True)
class Methods:
    """A methods paragraph.

    Attributes
    ----------
    text : str
        The paragraph.
    references : tuple of str
        The papers that it names.
    """

    text: str
    references: tuple[str, ...]


def _random_part(fit: LinearMixedModel) -> str:
    parts = []
    for term in fit.varcorr():
        slopes = [name for name in term.names if name != "(Intercept)"]
        has_intercept = len(slopes) < len(term.names)
        what = ["random intercepts"] if has_intercept else []
        if slopes:
            shown = listed(slopes) if len(slopes) <= 4 else f"{len(slopes)} predictors"
            what.append(f"random slopes of {shown}")
        joined = " and ".join(what)
        if len(term.names) > 1:
            joined += " (correlated)" if term.correlated else " (uncorrelated)"
        parts.append(f"{joined} for {term.group}")
    return listed(parts)


def methods_paragraph(fit: LinearMixedModel, ddf: DdfName) -> Methods:
    """Return the methods paragraph of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    ddf : str
        The degrees of freedom that the report uses.
    """
    groups = listed([f"{count:,} levels of {name}" for name, count in fit.ngroups.items()])
    criterion = "restricted maximum likelihood (REML)" if fit.reml else "maximum likelihood"
    references = [BATES]
    design = fit._design
    predictors = [str(label) for label in design.term_labels]
    if predictors and len(predictors) <= 8:
        fixed = f"fixed effects of {listed(predictors)}"
    elif predictors:
        fixed = f"{len(predictors)} fixed-effects terms"
    else:
        fixed = "an intercept as the only fixed effect"
    sentences = [
        f"We fitted a linear mixed-effects model (Bates et al., 2015) of {fit.formula.response} with {fixed} and "
        f"{_random_part(fit)} to {fit.nobs:,} observations from {groups}, by {criterion}."
    ]
    if fit.n_missing:
        share = 100 * fit.n_missing / (fit.nobs + fit.n_missing)
        sentences.append(f"{fit.n_missing:,} rows ({share:.1f}%) with missing values were left out.")
    if design.weights is not None:
        sentences.append("Observations had prior weights.")
    if ddf == "satterthwaite":
        sentences.append(
            "Tests and confidence intervals of the fixed effects use Satterthwaite's degrees of freedom (Kuznetsova et al., 2017)."
        )
        references.append(KUZNETSOVA)
    elif ddf == "kenward-roger":
        sentences.append(
            "Tests and confidence intervals of the fixed effects use the method of Kenward and Roger (1997)."
        )
        references.append(KENWARD)
    elif ddf == "residual":
        sentences.append("Tests and confidence intervals of the fixed effects use residual degrees of freedom.")
    else:
        sentences.append("Tests and confidence intervals of the fixed effects use the normal distribution.")
    sentences.append(
        "Explained variance is given as marginal and conditional R², dependence within groups as the intraclass correlation "
        "(Nakagawa et al., 2017)."
    )
    references.append(NAKAGAWA)
    if fit.convergence.converged:
        sentences.append(
            "The exact gradient and Hessian of the criterion confirmed that the estimates are at an optimum."
        )
    found = identification_sentence(fit)
    if found:
        sentences.append(found)
    if fit.is_singular:
        sentences.append("The fit was singular: a variance was estimated as zero, or a correlation as ±1.")
    sentences.append(f"The analysis was done with the Python package multilevel, version {__version__}.")
    return Methods(" ".join(sentences), tuple(references))
