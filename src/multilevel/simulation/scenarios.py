"""Four sets of made data that teach what clusters do to a model, with their models and their truth.

Patients (rows) are treated by therapists (clusters, ``k_id``). Every scenario draws its data with R's random numbers, so an R
script that makes the same draws after ``set.seed(123)`` has the same data.

* `cluster`: the therapists hardly differ.
* `confounder`: something that was not measured differs between the therapists.
* `context`: the mean of the patients' predictor at a therapist has an effect of its own.
* `slopes`: the effect of a predictor differs between therapists, and a training of the therapists explains most of it.

Examples
--------
>>> import multilevel as ml
>>> scenario = ml.scenarios.confounder()
>>> fits = scenario.fit_all()
>>> {name: round(float(fit.varcorr()["k_id"].iloc[0, 0]), 2) for name, fit in fits.items()}
{'empty': 21.34, 'without price': 20.1, 'with price': 0.64}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from multilevel.arguments import Count, checked
from multilevel.errors import ControlError
from multilevel.simulation.data_design import DataDesign, Recipe
from multilevel.simulation.r_random import RRandom
from multilevel.simulation.truth import Truth

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

__all__ = ["Scenario", "cluster", "confounder", "context", "slopes"]

COMMON: dict[str | tuple[str, ...], Recipe] = {"x1": "normal(5, 2)", "x2": "binomial(1, 0.5)"}

TRAINING = ((1, 0), (0, 1), (0, 0))
"""Contrasts of the trainings CBT, Mindfulness and none: the first two against none."""


@dataclass(frozen=True, repr=False)
class Scenario:
    """Made data with their design, their truth and the models that belong to them.

    Attributes
    ----------
    title : str
        What the scenario is about.
    lesson : str
        What it teaches.
    design : DataDesign
        How the data are made.
    data : pandas.DataFrame
        The data.
    truth : Truth
        What they were made with.
    models : mapping
        The formulas of its models by name, the simplest first.
    options : mapping
        Arguments of `lmer` that some of the models need, by name.
    """

    title: str
    lesson: str
    design: DataDesign
    data: pd.DataFrame
    truth: Truth
    models: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def fit(self, name: str | None = None, **changes: Any) -> LinearMixedModel:
        """Fit one of the models.

        Parameters
        ----------
        name : str, optional
            Its name in `models`; by default the last, which is the one that made the data.
        **changes
            Further arguments of `lmer`.

        Raises
        ------
        ControlError
            There is no model of that name.
        """
        from multilevel.model.lmer import lmer

        if name is None:
            name = list(self.models)[-1]
        if name not in self.models:
            raise ControlError(f"The scenario has no model {name!r}; it has {', '.join(map(repr, self.models))}.")
        return lmer(self.models[name], self.data, **{**self.options.get(name, {}), **changes})

    def fit_all(self, **changes: Any) -> dict[str, LinearMixedModel]:
        """Fit all models, by name."""
        return {name: self.fit(name, **changes) for name in self.models}

    def __repr__(self) -> str:
        """Return title, lesson, truth and models."""
        width = max(map(len, self.models))
        models = "\n".join(f"  {name:<{width}}  {formula}" for name, formula in self.models.items())
        return f"{self.title}\n{self.lesson}\n\n{self.truth}\n\nModels:\n{models}"


def _scenario(
    title: str,
    lesson: str,
    design: DataDesign,
    seed: Any,
    models: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Scenario:
    data, truth = design.draw(rng=seed if isinstance(seed, RRandom) else RRandom(seed))
    return Scenario(title, lesson, design, data, truth, MappingProxyType(dict(models)), MappingProxyType(options or {}))


def _levels(clusters: int, size: int) -> dict[str, int]:
    for name, value in (("clusters", clusters), ("size", size)):
        if not isinstance(value, int) or value < 2:
            raise ControlError(f"{name} must be a whole number of at least 2, not {value!r}.")
    return {"k_id": clusters, "N_id": size}


@checked
def cluster(clusters: Count = 100, size: Count = 50, seed: int | RRandom = 123) -> Scenario:
    """Make data in which the clusters hardly differ: y = 45 + 3·x1 + 10·x2 + cluster (sd 1) + residual (sd 8).

    Parameters
    ----------
    clusters : int
        Number of clusters (therapists).
    size : int
        Rows (patients) in each.
    seed : int or RRandom
        R's seed, as in ``set.seed(123)``, or random numbers to go on with.

    Returns
    -------
    Scenario
        Columns ``k_id``, ``N_id``, ``x1``, ``x2``, ``k_effect``, ``y``; the models ``"empty"`` and ``"full"``.

    Examples
    --------
    >>> import multilevel as ml
    >>> scenario = ml.scenarios.cluster()
    >>> round(scenario.fit().reml_criterion, 1)
    35147.3
    """
    design = DataDesign(
        "y ~ x1 + x2 + (1 | k_id)",
        levels=_levels(clusters, size),
        predictors={**COMMON, "k_effect": "effect(k_id)"},
        fixed={"(Intercept)": 45, "x1": 3, "x2": 10},
        random={"k_id": 1},
        sigma=8,
    )
    return _scenario(
        "A cluster that hardly matters",
        "Therapists differ by a standard deviation of 1 where patients differ by 8: the model finds as little.",
        design,
        seed,
        {"empty": "y ~ 1 + (1 | k_id)", "full": "y ~ x1 + x2 + (1 | k_id)"},
    )


@checked
def confounder(clusters: Count = 100, size: Count = 50, seed: int | RRandom = 123) -> Scenario:
    """Make data with a predictor between clusters, price, that one may have failed to measure: − 3·price in y.

    Parameters
    ----------
    clusters, size, seed
        As for `cluster`.

    Returns
    -------
    Scenario
        Columns ``k_id``, ``N_id``, ``x1``, ``x2``, ``k_effect``, ``price``, ``y``; the models ``"empty"``, ``"without price"``
        and ``"with price"``.

    Examples
    --------
    >>> import multilevel as ml
    >>> scenario = ml.scenarios.confounder()
    >>> scenario.fit("with price").fixef.round(5).to_dict()
    {'(Intercept)': 45.321, 'x1': 2.93205, 'x2': 9.89671, 'price': -3.0451}
    """
    design = DataDesign(
        "y ~ x1 + x2 + price + (1 | k_id)",
        levels=_levels(clusters, size),
        predictors={**COMMON, "k_effect": "effect(k_id)", "price": "round(uniform(0, 5)) | k_id"},
        fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "price": -3},
        random={"k_id": 1},
        sigma=8,
    )
    return _scenario(
        "An unmeasured confounder at the cluster level",
        "What differs between therapists and is not in the model shows as differences between them; they vanish once it is.",
        design,
        seed,
        {
            "empty": "y ~ 1 + (1 | k_id)",
            "without price": "y ~ x1 + x2 + (1 | k_id)",
            "with price": "y ~ x1 + x2 + price + (1 | k_id)",
        },
    )


@checked
def context(clusters: Count = 100, size: Count = 50, seed: int | RRandom = 123) -> Scenario:
    """Make data in which the clusters' means of x1 have an effect beside x1's own: + 12·x1_mean in y.

    Parameters
    ----------
    clusters, size, seed
        As for `cluster`.

    Returns
    -------
    Scenario
        Columns ``k_id``, ``N_id``, ``x1``, ``x2``, ``k_effect``, ``x1_mean``, ``y``; the models ``"empty"``, ``"without
        context"`` and ``"with context"``.

    Examples
    --------
    >>> import multilevel as ml
    >>> scenario = ml.scenarios.context()
    >>> scenario.fit().fixef.round(2).to_dict()
    {'(Intercept)': 43.58, 'x1': 3.03, 'x2': 9.99, 'x1_mean': 12.21}
    """
    design = DataDesign(
        "y ~ x1 + x2 + x1_mean + (1 | k_id)",
        levels=_levels(clusters, size),
        predictors={**COMMON, "k_effect": "effect(k_id)", "x1_mean": "mean(x1) | k_id"},
        fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "x1_mean": 12},
        random={"k_id": 1},
        sigma=8,
    )
    return _scenario(
        "A contextual effect",
        "Who the other patients of a therapist are matters by itself: between therapists the slope of x1 is 15, within them 3.",
        design,
        seed,
        {
            "empty": "y ~ 1 + (1 | k_id)",
            "without context": "y ~ x1 + x2 + (1 | k_id)",
            "with context": "y ~ x1 + x2 + x1_mean + (1 | k_id)",
        },
    )


@checked
def slopes(clusters: Count = 100, size: Count = 50, seed: int | RRandom = 123) -> Scenario:
    """Make data in which the slope of x1_c differs between clusters, and a training of the clusters shifts it.

    The slope is 3 + 4·interv plus a random part (sd 2), where ``interv`` is 0 ("No Intv"), 1 ("Mindfulness") or 2 ("CBT").

    Parameters
    ----------
    clusters, size, seed
        As for `cluster`.

    Returns
    -------
    Scenario
        Columns ``k_id``, ``N_id``, ``x1_c``, ``x2``, ``interv``, ``interv_label``, ``k_effect``, ``k_slope``, ``y``; five models,
        each with the one before in it. The contrasts of ``interv_label`` compare CBT and Mindfulness with no training.

    Examples
    --------
    >>> import multilevel as ml
    >>> scenario = ml.scenarios.slopes()
    >>> scenario.fit().fixef.round(2).tolist()
    [45.14, 3.2, 9.89, 0.18, -0.41, 7.44, 3.91]
    """
    label = "ifelse(interv == 0, 'No Intv', ifelse(interv == 1, 'Mindfulness', 'CBT')) | k_id"
    design = DataDesign(
        "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
        levels=_levels(clusters, size),
        predictors={
            "x1_c": "normal(0, 2)",
            "x2": "binomial(1, 0.5)",
            "interv": "sample(c(0, 1, 2), c(1, 1, 1) / 3) | k_id",
            "interv_label": label,
            "k_effect": "effect(k_id)",
            "k_slope": "effect(k_id, x1_c) + 4 * interv | k_id",
        },
        fixed=[45, 3, 10, 0, 0, 8, 4],
        random={"k_id": [2.5, 2]},
        sigma=8,
        contrasts={"interv_label": TRAINING},
    )
    coded = {"contrasts": {"interv_label": TRAINING}}
    return _scenario(
        "Random slopes and a cross-level interaction",
        "How much x1_c matters differs between therapists, and their training explains most of it.",
        design,
        seed,
        {
            "empty": "y ~ 1 + (1 | k_id)",
            "predictors": "y ~ x1_c + x2 + (1 | k_id)",
            "slopes": "y ~ x1_c + x2 + (1 + x1_c | k_id)",
            "training": "y ~ x1_c + x2 + interv_label + (1 + x1_c | k_id)",
            "interaction": "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
        },
        {"training": coded, "interaction": coded},
    )
