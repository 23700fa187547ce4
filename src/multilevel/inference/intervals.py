"""Confidence intervals of all parameters: Wald's, from the profile, and from bootstrap replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import BootstrapInterval, VcovName, check_options, option_names
from multilevel.errors import ControlError
from multilevel.model.parameter_labels import ParameterLabels

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

METHODS = ("wald", "profile", "bootstrap")
BOOTSTRAP_INTERVALS = ("percentile", "basic", "normal", "bca")


def check_level(level: float) -> None:
    """Refuse confidence levels outside of (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ControlError(f"The confidence level must lie between 0 and 1; it is {level}.")


def variance_parameter_names(fit: LinearMixedModel) -> list[str]:
    """Return the names of standard deviations and correlations, in lme4's order (``confint`` with ``oldNames = FALSE``).

    Term after term, down the columns of the lower triangle of its covariance matrix, or the parameters of its structure
    (``sd_all|g``, ``cor_lag1|g``); σ is not among them.
    """
    return list(ParameterLabels.of(fit).variance)


def lme4_names(fit: LinearMixedModel) -> dict[str, str]:
    """Return for each readable name of a variance parameter that of lme4's ``confint``: ``.sig01``, ``.sig02``, …, ``.sigma``."""
    labels = ParameterLabels.of(fit)
    return {**{name: f".sig{i + 1:02d}" for i, name in enumerate(labels.variance)}, labels.sigma: ".sigma"}


def wald_interval(
    fit: LinearMixedModel,
    level: float = 0.95,
    ddf: str = "asymptotic",
    *,
    vcov: VcovName = "model",
    cluster: Any = None,
) -> pd.DataFrame:
    """Return Wald intervals of the fixed effects; those of the variance parameters are NaN, as in lme4.

    Parameters of a residual structure have intervals on the scale on which they are not bounded (logarithms of ratios, the inverse
    hyperbolic tangent or the logit of ρ), as nlme's ``intervals`` has them.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    level : float
        Confidence level.
    ddf : {"asymptotic", "satterthwaite", "kenward-roger", "residual"}
        Degrees of freedom of the t distribution; by default infinite.
    vcov, cluster
        A cluster-robust covariance matrix instead, with its own degrees of freedom (see `LinearMixedModel.vcov`).

    Returns
    -------
    pandas.DataFrame
        ``conf_low`` and ``conf_high`` by parameter; of two with the same name, σ and a predictor called ``sigma``, the former
        is called ``.sigma``.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.intervals import wald_interval
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> wald_interval(fit).loc["Days"].round(3).to_dict()
    {'conf_low': 7.438, 'conf_high': 13.497}
    """
    import pandas as pd

    from multilevel.inference.contrasts import t_table
    from multilevel.inference.degrees_of_freedom import inference_basis

    check_level(level)
    beta: FloatArray = np.asarray(fit.fixef, dtype=np.float64)
    labels = ParameterLabels.of(fit)
    residual = residual_interval(fit, level).to_numpy()
    numbers = np.vstack([np.full((len(labels.variance) + 1, 2), np.nan), residual, np.full((beta.size, 2), np.nan)])
    if beta.size:
        table = t_table(inference_basis(fit, ddf, vcov=vcov, cluster=cluster), np.eye(beta.size), beta, beta, level)
        numbers[len(labels.random) :] = table[["conf_low", "conf_high"]].to_numpy()
    return pd.DataFrame(numbers, index=[*labels.random, *labels.fixed], columns=["conf_low", "conf_high"])


def residual_interval(fit: LinearMixedModel, level: float = 0.95) -> pd.DataFrame:
    """Return Wald intervals of the parameters of a residual structure from the Hessian of the criterion.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        ``conf_low`` and ``conf_high`` by parameter; empty where residuals are independent.
    """
    import pandas as pd
    from scipy.special import ndtri

    from multilevel.model.identification import moving_parameters

    check_level(level)
    found, names = fit._engine.residual, list(fit.residual_parameters.index)
    numbers = np.empty((len(names), 2))
    if found is not None:
        covariance = 2.0 * fit.convergence._inverse_of(fit.convergence.hessian)
        reach = float(ndtri(0.5 + level / 2)) * np.sqrt(np.diag(covariance)[-found.delta.size :])
        reach[moving_parameters(fit)[-reach.size :]] = np.nan
        for side, sign in enumerate((-1.0, 1.0)):
            numbers[:, side] = found.model.natural(found.delta + sign * reach)
    return pd.DataFrame(numbers, index=names, columns=["conf_low", "conf_high"])


def confint(
    fit: LinearMixedModel,
    method: Literal["wald", "profile", "bootstrap"] = "profile",
    *,
    level: float = 0.95,
    ddf: str = "asymptotic",
    interval: BootstrapInterval = "percentile",
    vcov: VcovName = "model",
    cluster: Any = None,
    **options: Any,
) -> pd.DataFrame:
    """Return confidence intervals of all parameters, standard deviations and correlations first, as lme4 does.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    method : {"profile", "wald", "bootstrap"}
        How the intervals are found.
    level : float
        Confidence level.
    ddf : str
        For Wald's intervals, the degrees of freedom (see `wald_interval`).
    interval : {"percentile", "basic", "normal", "bca"}
        For the bootstrap, which interval.
    vcov, cluster
        For Wald's intervals, a cluster-robust covariance matrix (see `wald_interval`).
    **options
        For the bootstrap, the arguments of `bootstrap`: ``n``, ``kind``, ``rng``, ``threads``, ….

    Raises
    ------
    ControlError
        The method is none of these, or there are options that it does not have.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.intervals import confint
    >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    >>> confint(fit, "bootstrap", n=200, rng=1).index.tolist()
    ['sd_(Intercept)|Batch', 'sigma', '(Intercept)']
    """
    check_level(level)
    if method not in METHODS:
        raise ControlError(f"method must be one of {', '.join(repr(m) for m in METHODS)}, not {method!r}.")
    if method == "bootstrap":
        from multilevel.engine.withheld import undetermined
        from multilevel.inference.bootstrap import bootstrap
        from multilevel.model.identification import moving_parameters

        check_options("The bootstrap", options, option_names(bootstrap))
        table = fit.bootstrap(**options).confint(level, interval)
        if options.get("statistic") is not None:
            return table
        labels = ParameterLabels.of(fit)
        result = table.loc[[*labels.random, *labels.fixed]]
        if fit.convergence.others:
            # Replicates are drawn with the covariances of one of many equally good optima.
            result = result.copy()
            result.iloc[np.append(moving_parameters(fit), undetermined(fit._engine, np.eye(len(fit.fixef))))] = np.nan
        return result
    if options:
        raise ControlError(f"The method {method!r} has no options {', '.join(options)}.")
    if method == "wald":
        return wald_interval(fit, level, ddf, vcov=vcov, cluster=cluster)
    from multilevel.inference.profile import profile_interval

    return profile_interval(fit, level=level)


def replicate_interval(
    replicates: FloatArray,
    estimates: FloatArray,
    level: float,
    kind: str,
    jackknife: FloatArray | None = None,
) -> FloatArray:
    """Return the bootstrap intervals of parameters in the columns of replicates, shape (parameters, 2).

    Parameters
    ----------
    replicates
        Shape (replicates, parameters); values that are not finite are left out.
    estimates
        Estimates from the data themselves.
    level
        Confidence level.
    kind
        ``"percentile"``, ``"basic"``, ``"normal"`` or ``"bca"``.
    jackknife
        For BCa, the estimates without each of the clusters, shape (clusters, parameters).
    """
    check_level(level)
    if kind not in BOOTSTRAP_INTERVALS:
        raise ControlError(f"kind must be one of {', '.join(repr(k) for k in BOOTSTRAP_INTERVALS)}, not {kind!r}.")
    result = np.full((estimates.size, 2), np.nan)
    for c, estimate in enumerate(estimates):
        values = replicates[np.isfinite(replicates[:, c]), c]
        if values.size < 2 or not np.isfinite(estimate):
            continue
        delete_one = None if jackknife is None else jackknife[np.isfinite(jackknife[:, c]), c]
        result[c] = _interval(values, float(estimate), level, kind, delete_one)
    return result


def _interval(
    values: FloatArray, estimate: float, level: float, kind: str, delete_one: FloatArray | None
) -> FloatArray:
    from scipy.special import ndtr, ndtri

    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    if kind == "normal":
        center = 2.0 * estimate - values.mean()
        return np.asarray(center + ndtri(tails) * values.std(ddof=1))
    if kind == "bca":
        assert delete_one is not None  # bootstrap works them out for this kind
        shift = ndtri(np.mean(values < estimate) + 0.5 * np.mean(values == estimate))
        if not np.isfinite(shift):
            # Every replicate is on one side of the estimate: no correction reaches that far.
            return np.full(2, np.nan)
        z = shift + ndtri(tails)
        tails = ndtr(shift + z / (1.0 - acceleration(delete_one) * z))
    # The (R + 1)p-th smallest, as the theory of the bootstrap has it.
    found = np.quantile(values, tails, method="weibull")
    if kind == "basic":
        return np.asarray(2.0 * estimate - found[::-1])
    return np.asarray(found)


def acceleration(delete_one: FloatArray) -> float:
    """Return BCa's acceleration from estimates without each of the clusters (Efron 1987)."""
    if delete_one.size < 2:
        return 0.0
    influence = delete_one.mean() - delete_one
    square = float((influence**2).sum())
    return float((influence**3).sum()) / (6.0 * square**1.5) if square > 0.0 else 0.0
