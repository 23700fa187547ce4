"""Linear mixed-effects models: fast, certified fits that agree with lme4.

>>> import multilevel as ml
>>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
>>> fit.convergence.status
'converged'

The names below are the public interface. Each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from multilevel._version import __version__

if TYPE_CHECKING:
    from multilevel.data.datasets import dataset_names, describe_dataset, load_dataset
    from multilevel.engine.control import LmerControl
    from multilevel.engine.fit import Convergence
    from multilevel.errors import (
        ControlError,
        ConvergenceWarning,
        DataError,
        DataTypeError,
        FormulaError,
        MissingDependencyError,
        MissingValuesWarning,
        MultilevelError,
        MultilevelWarning,
        RankDeficiencyWarning,
        UnknownColumnError,
    )
    from multilevel.formula.grammar import Formula, find_bars, no_bars, parse_formula
    from multilevel.formula.relationship import Relationship, relationship
    from multilevel.formula.residual import cor_ar1, cor_car1, var_ident
    from multilevel.inference.anova import anova
    from multilevel.inference.anova_table import AnovaTable
    from multilevel.inference.bootstrap import BootstrapResult
    from multilevel.inference.contrasts import contrast_test
    from multilevel.inference.emmeans import emmeans, emtrends
    from multilevel.inference.profile import Profile, profile
    from multilevel.inference.random_terms import ranova
    from multilevel.inference.robust import robust_coefficients
    from multilevel.inference.single_term import drop1
    from multilevel.model.fitted import LinearMixedModel
    from multilevel.model.lmer import lmer
    from multilevel.model.random_effects import RandomEffects
    from multilevel.model.variance_components import VarianceComponents
    from multilevel.report.summary import Summary

_HOME = {
    "AnovaTable": "inference.anova_table",
    "BootstrapResult": "inference.bootstrap",
    "ControlError": "errors",
    "Convergence": "engine.fit",
    "ConvergenceWarning": "errors",
    "DataError": "errors",
    "DataTypeError": "errors",
    "Formula": "formula.grammar",
    "FormulaError": "errors",
    "LinearMixedModel": "model.fitted",
    "LmerControl": "engine.control",
    "MissingDependencyError": "errors",
    "MissingValuesWarning": "errors",
    "MultilevelError": "errors",
    "MultilevelWarning": "errors",
    "Profile": "inference.profile",
    "RandomEffects": "model.random_effects",
    "RankDeficiencyWarning": "errors",
    "Relationship": "formula.relationship",
    "Summary": "report.summary",
    "UnknownColumnError": "errors",
    "VarianceComponents": "model.variance_components",
    "anova": "inference.anova",
    "contrast_test": "inference.contrasts",
    "cor_ar1": "formula.residual",
    "cor_car1": "formula.residual",
    "dataset_names": "data.datasets",
    "describe_dataset": "data.datasets",
    "emmeans": "inference.emmeans",
    "emtrends": "inference.emmeans",
    "drop1": "inference.single_term",
    "find_bars": "formula.grammar",
    "lmer": "model.lmer",
    "load_dataset": "data.datasets",
    "no_bars": "formula.grammar",
    "parse_formula": "formula.grammar",
    "ranova": "inference.random_terms",
    "profile": "inference.profile",
    "relationship": "formula.relationship",
    "robust_coefficients": "inference.robust",
    "var_ident": "formula.residual",
}

__all__ = [
    "AnovaTable",
    "BootstrapResult",
    "ControlError",
    "Convergence",
    "ConvergenceWarning",
    "DataError",
    "DataTypeError",
    "Formula",
    "FormulaError",
    "LinearMixedModel",
    "LmerControl",
    "MissingDependencyError",
    "MissingValuesWarning",
    "MultilevelError",
    "MultilevelWarning",
    "Profile",
    "RandomEffects",
    "RankDeficiencyWarning",
    "Relationship",
    "Summary",
    "UnknownColumnError",
    "VarianceComponents",
    "__version__",
    "anova",
    "contrast_test",
    "cor_ar1",
    "cor_car1",
    "dataset_names",
    "describe_dataset",
    "drop1",
    "emmeans",
    "emtrends",
    "find_bars",
    "lmer",
    "load_dataset",
    "no_bars",
    "parse_formula",
    "profile",
    "ranova",
    "relationship",
    "robust_coefficients",
    "var_ident",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
