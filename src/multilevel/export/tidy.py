"""The estimates of a fit as one frame with a row each, as broom.mixed's ``tidy`` returns them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multilevel.arguments import DdfName, VcovName
from multilevel.errors import ControlError
from multilevel.inference.coefficients import coefficient_table
from multilevel.inference.intervals import check_level, confint, wald_interval
from multilevel.model.coefficient_errors import coefficient_errors
from multilevel.model.random_effects import label_column

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
SCALES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}
CONF_METHODS = ("wald", "profile", "bootstrap")


def tidy(
    fit: LinearMixedModel,
    effects: str | Sequence[str] = ("fixed", "ran_pars"),
    *,
    conf_int: bool = False,
    level: float = 0.95,
    conf_method: Literal["wald", "profile", "bootstrap"] = "wald",
    ddf: DdfName = "satterthwaite",
    vcov: VcovName = "model",
    cluster: Any = None,
    scales: Literal["sdcor", "vcov"] = "sdcor",
    **options: Any,
) -> pd.DataFrame:
    """Return the estimates of a fit as a frame with a row each.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    effects : str or sequence of str
        Which of ``"fixed"`` (fixed effects), ``"ran_pars"`` (standard deviations and correlations of the random effects, and the
        residual's), ``"ran_vals"`` (conditional modes) and ``"ran_coefs"`` (fixed effects plus conditional modes, as `coef`).
    conf_int : bool
        Whether there are intervals.
    level : float
        Their confidence level.
    conf_method : {"wald", "profile", "bootstrap"}
        How they are found. Wald's are NaN for ``"ran_pars"``. Conditional modes and coefficients have normal intervals always.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the degrees of freedom of the fixed effects are found.
    vcov, cluster
        A cluster-robust covariance matrix of the fixed effects (see `LinearMixedModel.vcov`).
    scales : {"sdcor", "vcov"}
        Standard deviations and correlations, or variances and covariances.
    **options
        For the bootstrap, its arguments: ``n``, ``rng``, ….

    Returns
    -------
    pandas.DataFrame
        ``effect``, ``group`` (None for fixed effects), ``level`` (with ``"ran_vals"`` or ``"ran_coefs"`` only, of the type of the
        grouping column), ``term``, ``estimate``, ``std_error``, ``statistic``, ``df``, ``p_value`` and, with `conf_int`,
        ``conf_low`` and ``conf_high``; NaN where a column has no meaning. The columns and the names of the terms
        (``sd__(Intercept)``, ``cor__(Intercept).Days``, ``sd__Observation``) are those of R's ``broom.mixed::tidy``, with
        underscores for the dots in ``std.error`` and the like.

    Raises
    ------
    ControlError
        An argument has a value that is not one of its choices.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.tidy("ran_pars")[["group", "term", "estimate"]].round(2)
          group                   term  estimate
    0   Subject        sd__(Intercept)     24.74
    1   Subject  cor__(Intercept).Days      0.07
    2   Subject               sd__Days      5.92
    3  Residual        sd__Observation     25.59
    """
    import pandas as pd

    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    unknown = [name for name in wanted if name not in EFFECTS]
    if unknown or not wanted:
        raise ControlError(f"effects must be among {', '.join(map(repr, EFFECTS))}, not {effects!r}.")
    if scales not in SCALES:
        raise ControlError(f"scales must be 'sdcor' or 'vcov', not {scales!r}.")
    if conf_method not in CONF_METHODS:
        raise ControlError(f"conf_method must be one of {', '.join(map(repr, CONF_METHODS))}, not {conf_method!r}.")
    check_level(level)
    if options and not (conf_int and conf_method == "bootstrap"):
        raise ControlError(
            f"The options {', '.join(options)} are for intervals by conf_method='bootstrap', conf_int=True."
        )
    intervals = None
    if conf_int and {"fixed", "ran_pars"} & set(wanted):
        if conf_method == "wald":
            intervals = wald_interval(fit, level, ddf, vcov=vcov, cluster=cluster)
        else:
            intervals = confint(fit, conf_method, level=level, **options)
    parts = []
    if "fixed" in wanted:
        parts.append(_fixed(fit, ddf, vcov, cluster, intervals))
    if "ran_pars" in wanted:
        parts.append(_parameters(fit, scales, intervals))
    if "ran_vals" in wanted:
        parts.append(_modes(fit))
    if "ran_coefs" in wanted:
        parts.append(_coefficients(fit))
    columns = ["effect", "group", "level", "term", "estimate", "std_error", "statistic", "df", "p_value"]
    if conf_int:
        columns += ["conf_low", "conf_high"]
        for part in parts:
            if "conf_low" not in part:
                _add_normal_interval(part, level)
    if not {"ran_vals", "ran_coefs"} & set(wanted):
        columns.remove("level")
    data: dict[str, Any] = {name: [value for part in parts for value in _values(part, name)] for name in columns}
    if "level" in data:
        data["level"] = label_column(data["level"])
    return pd.DataFrame(data)


def _values(part: dict[str, Any], name: str) -> list[Any]:
    """Return a column of a part, empty cells where it has none."""
    empty = None if name in ("group", "level") else np.nan
    return list(part[name]) if name in part else [empty] * len(part["term"])


def _fixed(
    fit: LinearMixedModel, ddf: DdfName, vcov: VcovName, cluster: Any, intervals: pd.DataFrame | None
) -> dict[str, Any]:
    table = coefficient_table(fit, ddf, vcov=vcov, cluster=cluster)
    part: dict[str, Any] = {"effect": ["fixed"] * len(table), "term": list(table.index)}
    part |= {name: table[name] for name in ("estimate", "std_error", "statistic", "df", "p_value")}
    if intervals is not None:
        own = intervals.iloc[len(intervals) - len(table) :]
        part |= {"conf_low": own["conf_low"], "conf_high": own["conf_high"]}
    return part


def _parameters(fit: LinearMixedModel, scales: str, intervals: pd.DataFrame | None) -> dict[str, Any]:
    own, cross = SCALES[scales]
    rows: list[tuple[str, str, float]] = []
    for term in fit.varcorr():
        for c, name in enumerate(term.names):
            value = term.standard_deviations[c] if scales == "sdcor" else term.covariance[c, c]
            rows.append((term.label, f"{own}__{name}", float(value)))
            if term.correlated:
                matrix = term.correlation if scales == "sdcor" else term.covariance
                for r in range(c + 1, len(term.names)):
                    rows.append((term.label, f"{cross}__{name}.{term.names[r]}", float(matrix[r, c])))
    residual = fit.sigma if scales == "sdcor" else fit.sigma**2
    rows.append(("Residual", f"{own}__Observation", residual))
    groups, terms, values = zip(*rows, strict=True)
    part: dict[str, Any] = {"effect": ["ran_pars"] * len(rows), "group": groups, "term": terms, "estimate": values}
    if intervals is not None:
        bounds = np.array(list(_random_bounds(fit, intervals)))
        if scales == "vcov":
            # A covariance is no function of one interval.
            bounds = np.where(np.array([not name.startswith(own) for name in terms])[:, None], np.nan, bounds**2)
        part |= {"conf_low": bounds[:, 0], "conf_high": bounds[:, 1]}
    return part


def _random_bounds(fit: LinearMixedModel, intervals: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Return the bounds of each standard deviation and correlation, down the columns of each term's lower triangle, then σ's.

    A structure's parameter stands for several of them, and a correlation can be a power of it.
    """
    places = fit._engine.products.plan.parameters.terms
    # in the order of the terms, by position
    known = intervals[["conf_low", "conf_high"]].to_numpy(dtype=np.float64)
    first = 0
    for term, place in zip(fit.varcorr(), places, strict=True):
        elements = place.structure.natural()
        own = known[first : first + len(elements)]
        first += len(elements)
        for c in range(len(term.names)):
            for r in range(c, len(term.names) if term.correlated else c + 1):
                kind = "sd" if r == c else "cor"
                powers = place.structure.monomial(r, c).items()
                at, power = next((at, power) for at, power in powers if elements[at].kind == kind)
                low, high = own[at]
                yield _power_bounds(low, high, 1 if kind == "sd" else power)
    yield tuple(known[first])


def _power_bounds(low: float, high: float, power: int) -> tuple[float, float]:
    """Return the bounds of x to a power where x lies between two bounds."""
    ends = low**power, high**power
    return 0.0 if power % 2 == 0 and low < 0.0 < high else min(ends), max(ends)


def _modes(fit: LinearMixedModel) -> dict[str, Any]:
    frame = fit.ranef(cond_var=True).to_frame()
    return {
        "effect": ["ran_vals"] * len(frame),
        "group": frame["grpvar"],
        "level": frame["grp"],
        "term": frame["term"],
        "estimate": frame["condval"],
        "std_error": frame["condsd"],
    }


def _coefficients(fit: LinearMixedModel) -> dict[str, Any]:
    found: dict[str, list[Any]] = {"group": [], "level": [], "term": [], "estimate": [], "std_error": []}
    errors = coefficient_errors(fit)
    for group, frame in fit.coef().items():
        for name in frame.columns:
            found["group"] += [group] * len(frame)
            found["level"] += list(frame.index)
            found["term"] += [name] * len(frame)
            found["estimate"] += frame[name].tolist()
            found["std_error"] += errors[group][name].tolist()
    return {"effect": ["ran_coefs"] * len(found["term"]), **found}


def _add_normal_interval(part: dict[str, Any], level: float) -> None:
    from scipy.special import ndtri

    half = float(ndtri(0.5 + 0.5 * level)) * np.asarray(part["std_error"], dtype=np.float64)
    middle = np.asarray(part["estimate"], dtype=np.float64)
    part |= {"conf_low": middle - half, "conf_high": middle + half}
