"""Covariance and correlation tables: of all rows, by group, and within and between clusters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Level, checked
from multilevel.data.frames import Frame
from multilevel.descriptives.association import Pairs, covariances, kendall, pearson, spearman
from multilevel.descriptives.association_table import Association
from multilevel.descriptives.clusters import within_and_between
from multilevel.descriptives.groups import groups_of, numeric_columns, say_missing_groups
from multilevel.descriptives.one_way import one_way
from multilevel.descriptives.statistics import GroupedColumn
from multilevel.errors import ControlError, DataError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
Method = Literal["pearson", "spearman", "kendall"]
Missing = Literal["pairwise", "complete"]
Kind = Literal["total", "within", "between"]

_NAMES = {"pearson": "Pearson correlations", "spearman": "Spearman correlations", "kendall": "Kendall correlations"}


@checked
def covariance(
    frame: Any,
    columns: str | int | Iterable[str | int] | None = None,
    *,
    by: str | int | Iterable[str | int] | None = None,
    missing: Missing = "pairwise",
) -> Association:
    """Tabulate the covariances of columns, as R's ``cov``.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : iterable of str, optional
        The columns; all numeric ones but the grouping ones where none is named.
    by : str or iterable of str, optional
        Columns whose combinations make groups, each with a matrix of its own.
    missing : {"pairwise", "complete"}
        Whether each covariance rests on the rows that have both values, or all rest on the rows that have every value.

    Returns
    -------
    Association
        ``matrix()`` is the square matrix, ``to_frame()`` has a row for each pair and each variance: ``x``, ``y``, ``n``,
        ``estimate``, after the grouping columns.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.

    Examples
    --------
    >>> import multilevel as ml
    >>> print(ml.covariance(ml.load_dataset("sleepstudy")))
    Covariances: 180 rows, 2 columns
    <BLANKLINE>
             Reaction Days
    Reaction  3172.93
    Days        86.84 8.30
    """
    return _tabulate(frame, columns, "covariance", by, None, None, 0.95, missing, "none")


@checked
def correlation(
    frame: Any,
    columns: str | int | Iterable[str | int] | None = None,
    *,
    method: Method = "pearson",
    by: str | int | Iterable[str | int] | None = None,
    cluster: str | int | Iterable[str | int] | None = None,
    kind: Kind | None = None,
    level: Level = 0.95,
    missing: Missing = "pairwise",
    adjust: str = "none",
) -> Association:
    """Tabulate the correlations of columns with their tests and intervals, as R's ``cor.test`` for every pair.

    Parameters
    ----------
    frame : data frame
        The data.
    columns : iterable of str, optional
        The columns; all numeric ones but the grouping ones where none is named.
    method : {"pearson", "spearman", "kendall"}
        The correlation; Kendall's is tau-b.
    by : str or iterable of str, optional
        Columns whose combinations make groups, each with a matrix of its own.
    cluster : str or iterable of str, optional
        The column (or several together) whose levels are the clusters for correlations within and between them, as R's
        ``psych::statsBy``.
    kind : {"total", "within", "between"}, optional
        Which of these; all three where a cluster is given and no kind. ``"within"`` correlates deviations from the clusters'
        means and ``"between"`` these means, each row counting once.
    level : float, default 0.95
        The confidence level.
    missing : {"pairwise", "complete"}
        Whether each correlation rests on the rows that have both values, or all rest on the rows that have every value.
    adjust : {"none", "holm", "hochberg", "bonferroni", "sidak", "fdr"}
        Adjust the p-values for the number of pairs in a matrix.

    Returns
    -------
    Association
        ``matrix()`` is the square matrix, ``to_frame()`` has a row for each pair: ``x``, ``y``, ``n``, ``estimate``,
        ``conf_low``, ``conf_high``, ``statistic``, ``df``, ``p_value``, ``test``, after what tells matrices apart.

    Raises
    ------
    UnknownColumnError
        If the data have no such column.
    DataTypeError
        If a column does not hold numbers.
    ControlError
        If an option is none of its choices.

    Notes
    -----
    Pearson: t test with n - 2 degrees of freedom, interval by Fisher's z. Within clusters k - 1 further degrees of freedom are lost
    to the means of k clusters; between them n is k. Spearman: without ties p is exact for n ≤ 9 and from an Edgeworth series for
    n ≤ 1290 (Best and Roberts 1975, algorithm AS 89), else from the t distribution; the statistic is S; interval of Bonett and
    Wright (2000). Kendall: p is exact without ties and n < 50, else normal with ties allowed for; the statistic is T or z; interval
    of Fieller, Hartley and Pearson (1957). These are ``cor.test``'s choices; it gives no intervals for ranks. ``test`` says which
    was made. In unbalanced data ICC(1) uses the average cluster size n₀ that makes it an analysis-of-variance estimate, and
    psych the plain mean; psych's p-values and intervals within clusters leave the lost degrees of freedom out.

    References
    ----------
    Bonett, D. G. and Wright, T. A. (2000). Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
    Psychometrika 65, 23-28.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> print(ml.correlation(sleep, ["Reaction", "Days"], cluster="Subject", kind="within"))
    Pearson correlations within Subject: 180 rows, 2 columns
    <BLANKLINE>
             Reaction Days
    Reaction     1.00
    Days         0.72 1.00
    <BLANKLINE>
    Pairs:
    kind   x        y      n estimate conf_low conf_high p_value test
    within Reaction Days 180    0.716    0.632     0.784  <2e-16    t
    <BLANKLINE>
    Intraclass correlations:
    variable   icc1  icc2
    Reaction  0.395 0.867
    Days     -0.111
    """
    if not 0 < level < 1:
        raise ControlError(f"level must be between 0 and 1, not {level!r}.")
    if cluster is None and kind not in (None, "total"):
        raise ControlError(f"kind={kind!r} needs cluster=, the column whose levels are the clusters.")
    if cluster is not None and method != "pearson":
        raise ControlError(f"Correlations within and between clusters are Pearson's; method={method!r} has no cluster.")
    return _tabulate(frame, columns, method, by, cluster, kind, level, missing, adjust)


def _tabulate(
    frame: Any,
    columns: str | int | Iterable[str | int] | None,
    method: str,
    by: str | int | Iterable[str | int] | None,
    cluster: str | int | Iterable[str | int] | None,
    kind: Kind | None,
    level: float,
    missing: Missing,
    adjust: str,
) -> Association:
    """Make the matrices of every group and kind, and the long table."""
    import pandas as pd

    from multilevel.inference.multiplicity import check_adjustment

    if missing not in ("pairwise", "complete"):
        raise ControlError(f"missing must be 'pairwise' or 'complete', not {missing!r}.")
    check_adjustment(adjust)
    if adjust == "tukey":
        raise ControlError(
            "Tukey's method is for differences of means; adjust the p-values of correlations by another."
        )
    data = Frame(frame)
    groups = None if by is None else groups_of(data, by)
    clusters = None if cluster is None else groups_of(data, cluster)
    names_by = () if groups is None else groups.names
    without = [*names_by, *(() if clusters is None else clusters.names)]
    found = numeric_columns(data, columns, without=without)
    if len(found) < 2 and method != "covariance":
        raise DataError(f"A correlation needs two columns, and there is only {next(iter(found))!r}.")
    if any(name in ("x", "y", "n", "kind", "estimate") for name in names_by):
        raise DataError("A grouping column has a name that the table of correlations uses itself; rename it.")
    names = list(found)
    values = np.column_stack([found[name] for name in names])
    notes = _about_missing(values, names, missing)
    for each in (groups, clusters):
        if each is not None:
            say_missing_groups(each)
    rows = np.ones(data.n_rows, dtype=np.bool_)
    if missing == "complete":
        rows &= ~np.isnan(values).any(axis=1)
    if clusters is not None:
        rows &= clusters.codes >= 0
    kinds: tuple[Kind, ...] = (kind or "total",)
    if kind is None and clusters is not None:
        kinds = ("total", "within", "between")
    keyed = names_by if clusters is None else (*names_by, "kind")
    sets: list[tuple[tuple[Any, ...], npt.NDArray[np.bool_]]] = [((), rows)]
    if groups is not None:
        keys = list(zip(*groups.keys, strict=True))
        sets = [(key, rows & (groups.codes == g)) for g, key in enumerate(keys)]
    matrices, parts = [], []
    for key, chosen in sets:
        subset = values[chosen]
        pairs: dict[Kind, Pairs] = {}
        if "total" in kinds:
            pairs["total"] = _pairs(subset, method, level)
        if clusters is not None and kinds != ("total",):
            codes = clusters.codes[chosen]
            pairs["within"], pairs["between"] = within_and_between(subset, codes, clusters.n_groups, level)
        for which in kinds:
            label = key if clusters is None else (*key, which)
            matrices.append((label, pd.DataFrame(pairs[which].estimate, index=names, columns=names)))
            parts.append(_long(pairs[which], names, dict(zip(keyed, label, strict=True)), method, adjust))
    notes += _about_tests(method, adjust, parts)
    icc = None
    if clusters is not None and groups is None:
        kept = np.where(rows, clusters.codes, -1)
        ways = [one_way(GroupedColumn(values[:, i], kept, clusters.n_groups)) for i in range(len(names))]
        icc = pd.DataFrame({"variable": names, "icc1": [way.icc1 for way in ways], "icc2": [way.icc2 for way in ways]})
    where = "" if clusters is None or len(kinds) > 1 or kinds[0] == "total" else f" {kinds[0]} {clusters.label}"
    where += "" if groups is None else f" by {' and '.join(groups.names)}"
    title = f"{_NAMES.get(method, 'Covariances')}{where}: {data.n_rows} rows, {len(names)} columns"
    long = pd.concat(parts, ignore_index=True)
    return Association(title, tuple(notes), long, method, keyed, icc, tuple(matrices))


def _pairs(values: FloatArray, method: str, level: float) -> Pairs:
    if method == "spearman":
        return spearman(values, level)
    if method == "kendall":
        return kendall(values, level)
    n, cov, cor = covariances(values)
    tested = pearson(cor, n, level)
    if method == "pearson":
        return tested
    nothing = np.full(n.shape, np.nan)
    return Pairs(n, cov, nothing, nothing, nothing, nothing, nothing, np.full(n.shape, ""))


def _long(pairs: Pairs, names: list[str], key: dict[str, Any], method: str, adjust: str) -> pd.DataFrame:
    """Return a row for each pair; covariances have the variances too."""
    import pandas as pd

    from multilevel.inference.multiplicity import adjust_p_values

    first, second = np.triu_indices(len(names), k=0 if method == "covariance" else 1)
    labels = np.array(names, dtype=object)
    columns = {**key, "x": labels[first], "y": labels[second], "n": pairs.n[first, second].astype(np.int64)}
    columns["estimate"] = pairs.estimate[first, second]
    if method != "covariance":
        for name in ("conf_low", "conf_high", "statistic", "df", "p_value", "test"):
            columns[name] = getattr(pairs, name)[first, second]
        columns["test"] = np.where(np.isnan(columns["p_value"]), "", columns["test"])
        if adjust != "none":
            columns["p_value"] = adjust_p_values(columns["p_value"], adjust)
    return pd.DataFrame(columns)


def _about_missing(values: FloatArray, names: list[str], missing: str) -> list[str]:
    """Say how many values are missing, and what was done about them."""
    counts = np.isnan(values).sum(axis=0)
    if not counts.any():
        return []
    where = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count)
    if missing == "complete":
        gone = int(np.isnan(values).any(axis=1).sum())
        return [f"{gone} of {len(values)} rows were left out because of missing values: {where}."]
    return [f"Each pair rests on the rows that have both values. Missing: {where}."]


def _about_tests(method: str, adjust: str, parts: list[pd.DataFrame]) -> list[str]:
    """Say where the p-values of rank correlations come from, and how p-values were adjusted."""
    notes = []
    if method in ("spearman", "kendall"):
        tests = list(dict.fromkeys(str(test) for part in parts for test in part["test"] if test))
        words = {"exact": "exact", "Edgeworth": "an Edgeworth series", "t": "the t distribution", "normal": "normal"}
        source = "Bonett and Wright (2000)" if method == "spearman" else "Fieller, Hartley and Pearson (1957)"
        notes += [f"P-values: {', '.join(words[test] for test in tests)}. Intervals: {source}."] if tests else []
    if adjust != "none":
        notes.append(f"P-values are adjusted for the number of pairs: {adjust}.")
    return notes
