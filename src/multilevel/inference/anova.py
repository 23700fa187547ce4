"""Analysis of variance: tests of the terms of one model, or comparison of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import DdfName, checked, idle
from multilevel.errors import ControlError, DataTypeError
from multilevel.inference.anova_table import AnovaTable
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.hypotheses import ROMAN, as_type, term_hypotheses, wald_hypotheses
from multilevel.inference.likelihood_ratio import compare_models
from multilevel.model.identification import identification_notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multilevel.inference.hypotheses import FloatArray
    from multilevel.model.fitted import LinearMixedModel

METHODS = {
    "satterthwaite": "Satterthwaite's method",
    "kenward-roger": "Kenward and Roger's method",
    "residual": "residual degrees of freedom",
    "asymptotic": "infinite degrees of freedom",
}
F_HEADS = {
    "sum_sq": "Sum Sq",
    "mean_sq": "Mean Sq",
    "df_numerator": "NumDF",
    "df_denominator": "DenDF",
    "statistic": "F value",
    "p_value": "Pr(>F)",
}
CHISQ_HEADS = {"chisq": "Chisq", "df": "Df", "p_value": "Pr(>Chisq)"}


@checked
@idle(
    "type",
    "test",
    "ddf",
    when=lambda given: len(given["fits"]) > 1,
    why="several models are compared by their likelihoods",
)
@idle("refit", when=lambda given: len(given["fits"]) == 1, why="the terms of one model are tested without another fit")
@idle(
    "ddf", when=lambda given: given["test"] == "chisq", why="chi-squared tests have no denominator degrees of freedom"
)
def anova(
    *fits: LinearMixedModel,
    refit: bool = True,
    type: Literal[1, 2, 3, "I", "II", "III"] = 3,
    test: Literal["F", "chisq"] = "F",
    ddf: DdfName = "satterthwaite",
) -> AnovaTable:
    """Test the terms of one model, or compare several models by their likelihoods.

    Parameters
    ----------
    *fits : LinearMixedModel
        One model, whose fixed-effects terms are tested; or several models of the same response in the same rows.
    refit : bool, default True
        Several models: whether REML fits are fitted anew by maximum likelihood, as a comparison of different fixed effects needs.
    type : {3, 2, 1, "III", "II", "I"}
        One model: I tests each term after those before it, II after all that do not contain it, III after all others.
    test : {"F", "chisq"}
        One model: F tests, as R's lmerTest; or Wald χ² tests of types II and III, as R's car.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        One model, F tests: how the denominator degrees of freedom are found.

    Returns
    -------
    AnovaTable
        It prints as a table, also in notebooks; `to_frame` has the numbers: for F tests ``sum_sq``, ``mean_sq``,
        ``df_numerator``, ``df_denominator``, ``statistic``, ``p_value``; for Wald tests ``chisq``, ``df``, ``p_value``; for several
        models, by number of parameters, ``npar``, ``aic``, ``bic``, ``loglik``, ``deviance``, ``chisq``, ``df``, ``p_value``, each
        compared with the one above it.

    Raises
    ------
    DataError
        The models are not of the same response in the same rows and with the same weights.
    DataTypeError
        An argument is not a fitted model.
    ControlError
        An option is not one of its choices, or the method does not apply.

    Notes
    -----
    The F tests of type III do not depend on the contrasts that code the factors: they are SAS's, as in lmerTest. The χ² tests of
    type III are those of the coefficients as coded, the intercept's among them, as in car: with interactions use contrasts that sum
    to zero (``contrasts={"a": "sum"}``) for them. In the F tests a mean square is F times the residual
    variance, F before Kenward and Roger's scaling.

    Examples
    --------
    >>> import multilevel as ml
    >>> cake = ml.load_dataset("cake")
    >>> fit = ml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    >>> ml.anova(fit, type="II").to_frame()["statistic"].round(3).tolist()
    [0.249, 20.52, 1.006]
    >>> smaller = fit.update(". ~ . - recipe:temperature")
    >>> ml.anova(smaller, fit)
    Likelihood-ratio tests
    <BLANKLINE>
    2 models fitted anew by maximum likelihood instead of REML
    <BLANKLINE>
    Models:
    model 1: angle ~ recipe + temperature + (1 | recipe:replicate)
    model 2: angle ~ recipe * temperature + (1 | recipe:replicate)
    <BLANKLINE>
            npar    AIC    BIC  logLik deviance Chisq Df Pr(>Chisq)
    model 1   10 1709.6 1745.6 -844.79   1689.6
    model 2   20 1719.0 1791.0 -839.53   1679.0 10.53 10     0.3953
    """
    if not fits:
        raise DataTypeError("anova needs a fitted model, or several to compare.")
    kind = as_type(type)
    if len(fits) > 1:
        return compare_models(fits, refit=refit)
    fit = fits[0]
    if test == "chisq":
        return wald_table(fit, kind)
    return f_table(
        fit,
        list(fit._design.term_labels),
        term_hypotheses(fit, kind),
        ddf,
        f"Type {ROMAN[kind]} analysis of variance with {{method}}",
    )


def f_table(
    fit: LinearMixedModel, labels: Sequence[str], hypotheses: Sequence[FloatArray], ddf: str, title: str
) -> AnovaTable:
    """Return F tests of some hypotheses, one row for each; ``{method}`` in the title stands for the method's name."""
    import pandas as pd

    basis = inference_basis(fit, ddf)
    beta = fit.fixef.to_numpy(dtype=np.float64)
    rows: list[tuple[Any, ...]] = []
    for contrasts in hypotheses:
        if not len(contrasts):
            rows.append((np.nan, np.nan, 0, np.nan, np.nan, np.nan))
            continue
        found = basis.f_test(contrasts, contrasts @ beta)
        mean_square = found.statistic / found.scaling * fit.sigma**2
        rows.append(
            (
                mean_square * found.df_numerator,
                mean_square,
                found.df_numerator,
                found.df_denominator,
                found.statistic,
                found.p_value,
            )
        )
    frame = pd.DataFrame(rows, columns=list(F_HEADS), index=pd.Index(list(labels), dtype=object))
    frame = frame.astype({name: "int64" if name == "df_numerator" else "float64" for name in F_HEADS})
    return AnovaTable(title.format(method=METHODS[ddf]), {"Model": str(fit.formula)}, _left_out(fit), F_HEADS, frame)


def wald_table(fit: LinearMixedModel, kind: int) -> AnovaTable:
    """Return Wald χ² tests of type II or III."""
    import pandas as pd

    if kind == 1:
        raise ControlError("The χ² tests are of type 2 or 3; for type 1 use test='F'.")
    basis = inference_basis(fit, "asymptotic")
    beta = fit.fixef.to_numpy(dtype=np.float64)
    labels, rows = [], []
    for label, contrasts in wald_hypotheses(fit, kind):
        labels.append(label)
        if not len(contrasts):
            rows.append((np.nan, 0, np.nan))
            continue
        found = basis.f_test(contrasts, contrasts @ beta)
        rows.append((found.statistic * found.df_numerator, found.df_numerator, found.p_value))
    frame = pd.DataFrame(rows, columns=list(CHISQ_HEADS), index=pd.Index(labels, dtype=object))
    frame = frame.astype({"chisq": "float64", "df": "int64", "p_value": "float64"})
    title = f"Type {ROMAN[kind]} Wald chi-squared tests"
    return AnovaTable(title, {"Model": str(fit.formula)}, _left_out(fit), CHISQ_HEADS, frame)


def _left_out(fit: LinearMixedModel) -> str:
    """Say which columns are not tested because others determine them, and what the data do not determine."""
    gone = fit.dropped_columns
    notes = [f"Columns dropped, determined by others: {', '.join(gone)}"] if gone else []
    return "\n".join([*notes, *identification_notes(fit)])
