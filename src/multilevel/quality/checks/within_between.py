"""Whether slopes within clusters agree with slopes between them: contextual effects and unmeasured cluster-level confounders."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import DdfName, VcovName, checked
from multilevel.errors import ConvergenceWarning, DataError
from multilevel.formula.design import Design
from multilevel.formula.rank import dependent_columns
from multilevel.inference.contrasts import t_table
from multilevel.inference.degrees_of_freedom import inference_basis
from multilevel.inference.robust import clusters_of
from multilevel.quality.checks.result import Check, listed, not_checked, number, p_text
from multilevel.quality.groups import RowGroups, row_groups

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

CONSTANT = 1e-10
"""A share of variance below this is rounding: a column that does not vary within clusters, or whose cluster means are all equal."""


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMeans:
    """The fixed-effects columns that vary within clusters, and their cluster means.

    Attributes
    ----------
    columns
        Positions of the columns in X.
    means
        Their means by cluster, shape (J, m).
    """

    columns: npt.NDArray[np.intp]
    means: FloatArray


def default_groups(fit: LinearMixedModel) -> RowGroups:
    """Return the grouping factor in which all others are nested, or with crossed factors the one with most levels."""
    try:
        return row_groups(fit, clusters_of(fit).name)
    except DataError:  # crossed factors have no such factor
        return row_groups(fit, fit._terms[0].factor.name)


def cluster_means(fit: LinearMixedModel, groups: RowGroups) -> ClusterMeans:
    """Return the columns of X that vary both within and between clusters, with their cluster means."""
    design = fit._design
    counts = np.bincount(groups.codes, minlength=len(groups.labels))
    found, means = [], []
    for c in range(design.n_fixed):
        x = design.X[:, c]
        centred = x - x.mean()
        own = np.bincount(groups.codes, centred, counts.size) / counts
        total = float(centred @ centred)
        between = float(counts @ own**2)
        if total > 0.0 and total - between > CONSTANT * total and between > CONSTANT * total:
            found.append(c)
            means.append(own + x.mean())
    return ClusterMeans(np.array(found, dtype=np.intp), np.column_stack(means) if means else np.empty((counts.size, 0)))


@checked
def check_within_between(
    fit: LinearMixedModel, group: Any = None, *, ddf: DdfName = "satterthwaite", vcov: VcovName = "model"
) -> Check:
    """Test whether the slopes of the predictors within clusters equal those between clusters.

    The model is fitted again with the cluster mean of every predictor that varies within clusters beside it. The coefficient of a
    mean is the slope between clusters less the slope within them (Mundlak 1978, Econometrica 46): zero where the random effects
    are uncorrelated with the predictors, as the model assumes. It is not zero where the cluster's composition has an effect of its
    own (a contextual effect), or where an unmeasured variable at the cluster's level goes with the predictor and the response.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str or array_like, optional
        The clusters: a grouping factor, a column, or one value for each row; by default the grouping factor in which all others are
        nested, or with crossed factors the one with most levels.
    ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
        How the degrees of freedom of the tests are found.
    vcov : {"model", "CR0", "CR1", "CR1S", "CR2"}
        The covariance matrix of the tests: the model's or a cluster-robust one (see `LinearMixedModel.vcov`).

    Returns
    -------
    Check
        ``table``, by predictor: ``within`` and ``between``, the two slopes, their ``difference`` with ``std_error``, ``statistic``,
        ``df`` and ``p_value``. ``numbers``: the joint F test of all differences, ``statistic``, ``df_numerator``,
        ``df_denominator``, ``p_value``; it is the regression form of Hausman's test. ``data``: the cluster means and the mean
        response of each cluster.

    Notes
    -----
    An unmeasured cluster-level variable that is uncorrelated with the predictors' means biases no slope; it shows up only as
    variance between clusters, which no test can tell from any other.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.check_within_between(fit).conclusion)
    Every predictor that varies within Subject has the same mean in all of its levels, so that there is no slope between them to
    compare with; within-cluster slopes cannot be confounded by variables of that level.
    """
    import pandas as pd

    name = "slopes within and between clusters"
    groups = default_groups(fit) if group is None else row_groups(fit, group)
    means = cluster_means(fit, groups)
    if means.columns.size == 0:
        varying = _varies_within(fit, groups)
        if varying:
            return not_checked(
                name,
                f"Every predictor that varies within {groups.name} has the same mean in all of its levels, so that there is no"
                " slope between them to compare with; within-cluster slopes cannot be confounded by variables of that level.",
            )
        return not_checked(name, f"No predictor varies within {groups.name}: there are no slopes within its levels.")
    kept = _independent_means(fit._design, groups, means)
    if not kept.size:
        return not_checked(
            name,
            f"The model already holds the {groups.name} means of every predictor that varies within it, so that slopes within and"
            " between its levels are estimated apart.",
        )
    larger = _with_means(fit, groups, means, kept)
    if not larger.convergence.converged:
        return not_checked(
            name, "The model with the cluster means beside the predictors could not be fitted to an optimum."
        )
    own = [str(fit._design.fixed_names[c]) for c in means.columns[kept]]
    p = fit._design.n_fixed
    basis = inference_basis(larger, ddf, vcov=vcov)
    beta = larger._engine.beta
    rows = np.eye(len(beta))[p:]
    tests = t_table(basis, rows, beta[p:], beta[p:], 0.95)
    joint = basis.f_test(rows, beta[p:])
    within = beta[means.columns[kept]]
    table = pd.DataFrame(
        {
            "within": within,
            "between": within + beta[p:],
            "difference": beta[p:],
            "std_error": tests["std_error"].to_numpy(),
            "statistic": tests["statistic"].to_numpy(),
            "df": tests["df"].to_numpy(),
            "p_value": tests["p_value"].to_numpy(),
        },
        index=pd.Index(own, name="predictor"),
    )
    numbers = {
        "statistic": float(joint.statistic),
        "df_numerator": float(joint.df_numerator),
        "df_denominator": float(joint.df_denominator),
        "p_value": float(joint.p_value),
    }
    passed = not joint.p_value < 0.05
    text = _conclusion(fit, groups, table, numbers, passed, len(own))
    data = pd.DataFrame(means.means[:, kept], columns=own, index=groups.index)
    counts = np.bincount(groups.codes)
    data["mean response"] = np.bincount(groups.codes, fit._design.y) / counts
    return Check(name, passed, text, numbers, table, data)


def _conclusion(
    fit: LinearMixedModel, groups: RowGroups, table: Any, numbers: dict[str, float], passed: bool, count: int
) -> str:
    """Say what the test means."""
    test = (
        f"F({numbers['df_numerator']:.0f}, {numbers['df_denominator']:.1f}) = {number(numbers['statistic'])},"
        f" {p_text(numbers['p_value'])}"
    )
    which = "slope" if count == 1 else "slopes"
    if not passed:
        differing = table[table["p_value"] < 0.05].sort_values("p_value")
        if differing.empty:
            return (
                f"The {which} within and between the levels of {groups.name} differ jointly ({test}), though none on its own: a"
                " contextual effect or an unmeasured cluster-level confounder. Add the cluster means of the predictors."
            )
        first = differing.iloc[0]
        text = (
            f"The slope of {differing.index[0]} within {groups.name} is {number(float(first['within']))}, between its levels"
            f" {number(float(first['between']))} (difference {number(float(first['difference']))},"
            f" {p_text(float(first['p_value']))}): a contextual effect, or an unmeasured cluster-level confounder. The fitted model"
            " mixes the two slopes."
        )
        if len(differing) > 1:
            text += f" The same holds for {listed([str(name) for name in differing.index[1:]])}."
        return f"{text} Add the cluster mean of {listed([str(name) for name in differing.index])} to the model."
    variance = [part for part in fit.varcorr() if part.group == groups.name]
    text = (
        f"The {which} of {listed([str(name) for name in table.index])} within {groups.name} agree{'s' if count == 1 else ''} with"
        f" {'that' if count == 1 else 'those'} between its levels ({test}): no sign of a contextual effect or of an unmeasured"
        f" cluster-level confounder of {'it' if count == 1 else 'them'}."
    )
    if variance and variance[0].names[0] == "(Intercept)" and variance[0].standard_deviations[0] > 0:
        text += (
            f" Cluster-level variables that are unrelated to the predictors would show only in the variance between clusters"
            f" (standard deviation {number(float(variance[0].standard_deviations[0]))})."
        )
    return text


def _varies_within(fit: LinearMixedModel, groups: RowGroups) -> bool:
    counts = np.bincount(groups.codes, minlength=len(groups.labels))
    for x in fit._design.X.T:
        own = np.bincount(groups.codes, x, counts.size) / counts
        inside = x - own[groups.codes]
        if float(inside @ inside) > CONSTANT * float(x @ x):
            return True
    return False


def _independent_means(design: Design, groups: RowGroups, means: ClusterMeans) -> npt.NDArray[np.intp]:
    """Return the positions of means that neither the model's columns nor earlier means determine."""
    whole = np.column_stack([design.X, means.means[groups.codes]])
    dependent = {c - design.n_fixed for c in dependent_columns(whole)}
    return np.array([m for m in range(means.columns.size) if m not in dependent], dtype=np.intp)


def _with_means(
    fit: LinearMixedModel, groups: RowGroups, means: ClusterMeans, kept: npt.NDArray[np.intp]
) -> LinearMixedModel:
    """Fit the model with cluster means as further fixed effects."""
    from multilevel.model.lmer import fit_design

    design = fit._design
    p, m = design.n_fixed, kept.size
    columns = np.asfortranarray(np.column_stack([design.X, means.means[groups.codes][:, kept], design.columns[:, p:]]))
    columns.flags.writeable = False
    names = tuple(f"mean({design.fixed_names[c]})" for c in means.columns[kept])
    last = len(design.term_labels)
    larger = replace(
        design,
        columns=columns,
        n_fixed=p + m,
        fixed_names=design.fixed_names + names,
        fixed_assign=design.fixed_assign + tuple(range(last + 1, last + m + 1)),
        term_labels=design.term_labels + names,
        random=tuple(
            replace(term, columns=tuple(c if c < p else c + m for c in term.columns)) for term in design.random
        ),
        encoder=None,
    )
    control = replace(fit._control, start=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_design(larger, fit.reml, control, replace(fit._data, frame=None))


@checked
def check_random_effects_correlation(fit: LinearMixedModel, group: str | None = None) -> Check:
    """Check whether the random effects go with the cluster means of the predictors, which the model assumes they do not.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str, optional
        A grouping factor of the model; by default all of them.

    Returns
    -------
    Check
        ``table``, by grouping factor, effect and predictor: ``correlation`` of the conditional modes with the predictor's means by
        level, ``n`` levels, ``p_value`` (t test) and ``p_value_adjusted`` (Holm). ``data``: ``mode`` and ``mean`` in long form.

    Notes
    -----
    The modes are shrunken and the slopes have already taken their share, so that correlations are smaller than those of the random
    effects themselves; `check_within_between` tests the same assumption with more power.

    Examples
    --------
    >>> import multilevel as ml
    >>> frame = ml.load_dataset("InstEval").query("studage == '8'").assign(late=lambda d: (d.lectage.astype(str) > "3") * 1.0)
    >>> fit = ml.lmer("y ~ late + (1 | d)", frame)
    >>> ml.check_random_effects_correlation(fit).table.columns.tolist()
    ['group', 'effect', 'predictor', 'correlation', 'n', 'p_value', 'p_value_adjusted']
    """
    import pandas as pd

    from multilevel.inference.multiplicity import adjust_p_values, two_sided

    name = "random effects and cluster means"
    rows, frames = [], []
    effects = fit.ranef()
    if group is not None and group not in effects:
        raise DataError(f"{group!r} is not a grouping factor of the model; choose one of {', '.join(effects)}.")
    for factor in effects if group is None else [group]:
        groups = row_groups(fit, factor)
        means = cluster_means(fit, groups)
        for effect, modes in effects[factor].items():
            b = modes.to_numpy(dtype=np.float64)
            if b.size < 4 or float(np.ptp(b)) == 0.0:
                continue
            for c, column in enumerate(means.columns):
                x = means.means[:, c]
                correlation = float(np.corrcoef(b, x)[0, 1])
                predictor = fit._design.fixed_names[column]
                rows.append((factor, str(effect), predictor, correlation, b.size))
                frames.append(
                    pd.DataFrame({"group": factor, "effect": effect, "predictor": predictor, "mode": b, "mean": x})
                )
    if not rows:
        return not_checked(
            name,
            "No predictor varies both within and between the levels of a grouping factor with four levels or more, so that there"
            " are no cluster means to compare with.",
        )
    table = pd.DataFrame(rows, columns=["group", "effect", "predictor", "correlation", "n"])
    r, df = table["correlation"].to_numpy(), table["n"].to_numpy(dtype=np.float64) - 2.0
    table["p_value"] = two_sided(r * np.sqrt(df / np.maximum(1.0 - r**2, 1e-300)), df)
    table["p_value_adjusted"] = adjust_p_values(table["p_value"].to_numpy(), "holm")
    worst = table.iloc[int(table["p_value"].to_numpy().argmin())]
    passed = not bool(worst["p_value_adjusted"] < 0.05)
    size = f"r = {number(float(worst['correlation']))}, adjusted {p_text(float(worst['p_value_adjusted']))}"
    if passed:
        text = f"The random effects are not correlated with the cluster means of the predictors (strongest: {size})."
    else:
        text = (
            f"The random effects {worst['effect']} by {worst['group']} go with the cluster means of {worst['predictor']} ({size}),"
            " which the model assumes they do not: a contextual effect or an unmeasured cluster-level confounder. Add the cluster"
            " means (see check_within_between)."
        )
    data = pd.concat(frames, ignore_index=True)
    numbers = {"correlation": float(worst["correlation"]), "p_value": float(worst["p_value_adjusted"])}
    return Check(name, passed, text, numbers, table, data)
