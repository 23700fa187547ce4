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
    from multilevel.descriptives.association_table import Association
    from multilevel.descriptives.correlation import correlation, covariance
    from multilevel.descriptives.description import Description, describe, describe_by
    from multilevel.descriptives.summaries import GroupSummary, group_summary
    from multilevel.documents.model_report import Report, report
    from multilevel.documents.model_table import ModelTable, tab_model
    from multilevel.engine.control import LmerControl
    from multilevel.engine.fit import Convergence
    from multilevel.errors import (
        ControlError,
        ConvergenceWarning,
        DataError,
        DataTypeError,
        FileError,
        FormulaError,
        FormulaWarning,
        MissingDependencyError,
        MissingFileError,
        MissingValuesWarning,
        MultilevelError,
        MultilevelWarning,
        NotIdentifiedWarning,
        PrecisionWarning,
        RankDeficiencyWarning,
        UnknownColumnError,
    )
    from multilevel.export.fit_file import load
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
    from multilevel.levels.centring import center, demean, group_mean
    from multilevel.levels.decomposition import VarianceByLevel, variance_by_level
    from multilevel.levels.scaling import Standardizer, standardize
    from multilevel.levels.sizes import ClusterSizes, cluster_sizes
    from multilevel.levels.varying import HeterogeneityCheck, VariableLevels, check_heterogeneity_bias, variable_levels
    from multilevel.model.fitted import LinearMixedModel
    from multilevel.model.lmer import lmer
    from multilevel.model.posterior import PosteriorDraws, sim
    from multilevel.model.random_effects import RandomEffects
    from multilevel.model.variance_components import VarianceComponents
    from multilevel.plot.checks import plot_checks
    from multilevel.plot.clusters import plot_clusters
    from multilevel.plot.comparisons import plot_comparison
    from multilevel.plot.explained_variance import plot_r2
    from multilevel.plot.forest import plot_models
    from multilevel.plot.marginal_means import plot_emmeans
    from multilevel.plot.model import plot_model
    from multilevel.plot.power_curves import plot_power
    from multilevel.plot.profiles import plot_profile
    from multilevel.plot.shrinkage import plot_shrinkage
    from multilevel.quality.backward_elimination import StepResult, step
    from multilevel.quality.checks.autocorrelation import check_autocorrelation
    from multilevel.quality.checks.collinearity import check_collinearity
    from multilevel.quality.checks.convergence import check_convergence, check_singularity
    from multilevel.quality.checks.heteroscedasticity import check_heteroscedasticity
    from multilevel.quality.checks.model import ModelChecks, check_model
    from multilevel.quality.checks.normality import check_normality
    from multilevel.quality.checks.outliers import check_outliers
    from multilevel.quality.checks.predictions import check_predictions
    from multilevel.quality.checks.result import Check
    from multilevel.quality.checks.within_between import check_random_effects_correlation, check_within_between
    from multilevel.quality.comparison import PerformanceComparison, compare_performance
    from multilevel.quality.conditional_aic import ConditionalAIC, conditional_aic
    from multilevel.quality.influence import Influence, cooks_distance, influence
    from multilevel.quality.intraclass_correlation import IntraclassCorrelation, icc
    from multilevel.quality.leverage import hatvalues
    from multilevel.quality.parameters_table import ParametersTable, model_parameters
    from multilevel.quality.performance import ModelPerformance, model_performance
    from multilevel.quality.r_squared import RSquared, r2
    from multilevel.quality.random_effects_pca import RandomEffectsPCA, re_pca
    from multilevel.quality.random_reduction import RandomReduction, reduce_random_effects
    from multilevel.quality.residuals import rstandard, rstudent
    from multilevel.quality.standardize import StandardizedParameters, standardize_parameters
    from multilevel.quality.standardized_fit import standardize_fit
    from multilevel.quality.variance import VarianceDecomposition, variance_decomposition
    from multilevel.reporting.summary import Summary
    from multilevel.simulation import scenarios
    from multilevel.simulation.data_design import DataDesign
    from multilevel.simulation.power import power
    from multilevel.simulation.power_curve import PowerCurve, power_curve
    from multilevel.simulation.power_result import PowerResult
    from multilevel.simulation.r_random import RRandom
    from multilevel.simulation.recovery import Recovery, recover
    from multilevel.simulation.responses import simulate
    from multilevel.simulation.study import Study
    from multilevel.simulation.truth import Truth
    from multilevel.simulation.units import Crossed
    from multilevel.size_limits import limits

_MODULES = frozenset({"scenarios"})
"""Public names that are modules."""

_HOME = {
    "AnovaTable": "inference.anova_table",
    "Association": "descriptives.association_table",
    "BootstrapResult": "inference.bootstrap",
    "Check": "quality.checks.result",
    "ClusterSizes": "levels.sizes",
    "ConditionalAIC": "quality.conditional_aic",
    "ControlError": "errors",
    "Convergence": "engine.fit",
    "ConvergenceWarning": "errors",
    "Crossed": "simulation.units",
    "DataDesign": "simulation.data_design",
    "DataError": "errors",
    "DataTypeError": "errors",
    "Description": "descriptives.description",
    "FileError": "errors",
    "Formula": "formula.grammar",
    "FormulaError": "errors",
    "FormulaWarning": "errors",
    "GroupSummary": "descriptives.summaries",
    "HeterogeneityCheck": "levels.varying",
    "Influence": "quality.influence",
    "IntraclassCorrelation": "quality.intraclass_correlation",
    "LinearMixedModel": "model.fitted",
    "LmerControl": "engine.control",
    "MissingDependencyError": "errors",
    "MissingFileError": "errors",
    "MissingValuesWarning": "errors",
    "ModelChecks": "quality.checks.model",
    "ModelPerformance": "quality.performance",
    "ModelTable": "documents.model_table",
    "MultilevelError": "errors",
    "MultilevelWarning": "errors",
    "NotIdentifiedWarning": "errors",
    "ParametersTable": "quality.parameters_table",
    "PerformanceComparison": "quality.comparison",
    "PosteriorDraws": "model.posterior",
    "PowerCurve": "simulation.power_curve",
    "PowerResult": "simulation.power_result",
    "PrecisionWarning": "errors",
    "Profile": "inference.profile",
    "RRandom": "simulation.r_random",
    "RSquared": "quality.r_squared",
    "RandomEffects": "model.random_effects",
    "RandomEffectsPCA": "quality.random_effects_pca",
    "RandomReduction": "quality.random_reduction",
    "RankDeficiencyWarning": "errors",
    "Recovery": "simulation.recovery",
    "Relationship": "formula.relationship",
    "StandardizedParameters": "quality.standardize",
    "Standardizer": "levels.scaling",
    "StepResult": "quality.backward_elimination",
    "Study": "simulation.study",
    "Summary": "reporting.summary",
    "Truth": "simulation.truth",
    "UnknownColumnError": "errors",
    "VariableLevels": "levels.varying",
    "VarianceByLevel": "levels.decomposition",
    "VarianceComponents": "model.variance_components",
    "VarianceDecomposition": "quality.variance",
    "anova": "inference.anova",
    "center": "levels.centring",
    "check_autocorrelation": "quality.checks.autocorrelation",
    "check_collinearity": "quality.checks.collinearity",
    "check_convergence": "quality.checks.convergence",
    "check_heterogeneity_bias": "levels.varying",
    "check_heteroscedasticity": "quality.checks.heteroscedasticity",
    "check_model": "quality.checks.model",
    "check_normality": "quality.checks.normality",
    "check_outliers": "quality.checks.outliers",
    "check_predictions": "quality.checks.predictions",
    "check_random_effects_correlation": "quality.checks.within_between",
    "check_singularity": "quality.checks.convergence",
    "check_within_between": "quality.checks.within_between",
    "cluster_sizes": "levels.sizes",
    "compare_performance": "quality.comparison",
    "conditional_aic": "quality.conditional_aic",
    "contrast_test": "inference.contrasts",
    "cooks_distance": "quality.influence",
    "cor_ar1": "formula.residual",
    "cor_car1": "formula.residual",
    "correlation": "descriptives.correlation",
    "covariance": "descriptives.correlation",
    "dataset_names": "data.datasets",
    "demean": "levels.centring",
    "describe": "descriptives.description",
    "describe_by": "descriptives.description",
    "describe_dataset": "data.datasets",
    "emmeans": "inference.emmeans",
    "emtrends": "inference.emmeans",
    "drop1": "inference.single_term",
    "find_bars": "formula.grammar",
    "group_mean": "levels.centring",
    "group_summary": "descriptives.summaries",
    "hatvalues": "quality.leverage",
    "icc": "quality.intraclass_correlation",
    "influence": "quality.influence",
    "limits": "size_limits",
    "lmer": "model.lmer",
    "load": "export.fit_file",
    "load_dataset": "data.datasets",
    "model_parameters": "quality.parameters_table",
    "model_performance": "quality.performance",
    "no_bars": "formula.grammar",
    "parse_formula": "formula.grammar",
    "plot_comparison": "plot.comparisons",
    "plot_emmeans": "plot.marginal_means",
    "plot_power": "plot.power_curves",
    "plot_profile": "plot.profiles",
    "plot_r2": "plot.explained_variance",
    "Report": "documents.model_report",
    "report": "documents.model_report",
    "plot_checks": "plot.checks",
    "plot_clusters": "plot.clusters",
    "plot_model": "plot.model",
    "plot_models": "plot.forest",
    "plot_shrinkage": "plot.shrinkage",
    "power": "simulation.power",
    "power_curve": "simulation.power_curve",
    "r2": "quality.r_squared",
    "ranova": "inference.random_terms",
    "profile": "inference.profile",
    "re_pca": "quality.random_effects_pca",
    "recover": "simulation.recovery",
    "reduce_random_effects": "quality.random_reduction",
    "relationship": "formula.relationship",
    "robust_coefficients": "inference.robust",
    "rstandard": "quality.residuals",
    "rstudent": "quality.residuals",
    "scenarios": "simulation.scenarios",
    "sim": "model.posterior",
    "simulate": "simulation.responses",
    "standardize": "levels.scaling",
    "standardize_fit": "quality.standardized_fit",
    "standardize_parameters": "quality.standardize",
    "step": "quality.backward_elimination",
    "tab_model": "documents.model_table",
    "var_ident": "formula.residual",
    "variable_levels": "levels.varying",
    "variance_by_level": "levels.decomposition",
    "variance_decomposition": "quality.variance",
}

__all__ = [
    "AnovaTable",
    "Association",
    "BootstrapResult",
    "Check",
    "ClusterSizes",
    "ConditionalAIC",
    "ControlError",
    "Convergence",
    "ConvergenceWarning",
    "Crossed",
    "DataDesign",
    "DataError",
    "DataTypeError",
    "Description",
    "FileError",
    "Formula",
    "FormulaError",
    "FormulaWarning",
    "GroupSummary",
    "HeterogeneityCheck",
    "Influence",
    "IntraclassCorrelation",
    "LinearMixedModel",
    "LmerControl",
    "MissingDependencyError",
    "MissingFileError",
    "MissingValuesWarning",
    "ModelChecks",
    "ModelPerformance",
    "ModelTable",
    "MultilevelError",
    "MultilevelWarning",
    "NotIdentifiedWarning",
    "ParametersTable",
    "PerformanceComparison",
    "PosteriorDraws",
    "PowerCurve",
    "PowerResult",
    "PrecisionWarning",
    "Profile",
    "RRandom",
    "RSquared",
    "RandomEffects",
    "RandomEffectsPCA",
    "RandomReduction",
    "RankDeficiencyWarning",
    "Recovery",
    "Relationship",
    "Report",
    "StandardizedParameters",
    "Standardizer",
    "StepResult",
    "Study",
    "Summary",
    "Truth",
    "UnknownColumnError",
    "VariableLevels",
    "VarianceByLevel",
    "VarianceComponents",
    "VarianceDecomposition",
    "__version__",
    "anova",
    "center",
    "check_autocorrelation",
    "check_collinearity",
    "check_convergence",
    "check_heterogeneity_bias",
    "check_heteroscedasticity",
    "check_model",
    "check_normality",
    "check_outliers",
    "check_predictions",
    "check_random_effects_correlation",
    "check_singularity",
    "check_within_between",
    "cluster_sizes",
    "compare_performance",
    "conditional_aic",
    "contrast_test",
    "cooks_distance",
    "cor_ar1",
    "cor_car1",
    "correlation",
    "covariance",
    "dataset_names",
    "demean",
    "describe",
    "describe_by",
    "describe_dataset",
    "drop1",
    "emmeans",
    "emtrends",
    "find_bars",
    "group_mean",
    "group_summary",
    "hatvalues",
    "icc",
    "influence",
    "limits",
    "lmer",
    "load",
    "load_dataset",
    "model_parameters",
    "model_performance",
    "no_bars",
    "parse_formula",
    "plot_checks",
    "plot_clusters",
    "plot_comparison",
    "plot_emmeans",
    "plot_model",
    "plot_models",
    "plot_power",
    "plot_profile",
    "plot_r2",
    "plot_shrinkage",
    "power",
    "power_curve",
    "profile",
    "r2",
    "ranova",
    "re_pca",
    "recover",
    "reduce_random_effects",
    "relationship",
    "report",
    "robust_coefficients",
    "rstandard",
    "rstudent",
    "scenarios",
    "sim",
    "simulate",
    "standardize",
    "standardize_fit",
    "standardize_parameters",
    "step",
    "tab_model",
    "var_ident",
    "variable_levels",
    "variance_by_level",
    "variance_decomposition",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
