"""The fitted linear mixed-effects model."""

from __future__ import annotations

from dataclasses import dataclass

from multilevel.export.statsmodels_names import StatsmodelsNames
from multilevel.model.inference_methods import InferenceMethods
from multilevel.model.new_fits import NewFits
from multilevel.model.report_methods import ReportMethods
from multilevel.model.row_values import RowValues


@dataclass(frozen=True, eq=False, repr=False)
class LinearMixedModel(RowValues, InferenceMethods, ReportMethods, NewFits, StatsmodelsNames):
    """A linear mixed-effects model fitted by `lmer`. It does not change; what alters it returns a new one.

    Facts are properties (`fixef`, `theta`, `sigma`, `loglik`, …); what takes options or work is a method (`ranef`, `predict`,
    `summary`, …). statsmodels' names (`params`, `bse`, `tvalues`, `pvalues`, …) are aliases.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.fixef.round(3).to_dict()
    {'(Intercept)': 251.405, 'Days': 10.467}
    >>> round(fit.reml_criterion, 4)
    1743.6283
    """
