"""Influence: how much the estimates change when a row, or all rows of a group, are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, checked, checked_methods, idle
from multilevel.errors import ControlError, DataError
from multilevel.quality.checks.result import wrapped
from multilevel.quality.deletion import Deletions, delete_groups, delete_rows, log_determinants
from multilevel.quality.groups import row_groups
from multilevel.quality.refits import Refits, refit_without
from multilevel.quality.row_kernels import SINGULAR_PIVOT
from multilevel.quality.row_solutions import row_solutions
from multilevel.reporting.cells import Number, number_cells
from multilevel.reporting.forms import Document, Forms, Paragraph
from multilevel.reporting.numbers import format_number, format_values
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

SHOWN = 10
"""Deletions that the printed table lists."""

FEW = 4
"""With more fixed effects than this, the printed table shows for each deletion the one that changes most."""


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Influence(Forms):
    """What leaving out each row, or each group of rows, does to a fit: what `influence` returns.

    Attributes
    ----------
    deleted : str
        What is left out: ``"row"`` or the groups' name.
    exact : bool
        Whether each is a fit of its own; otherwise theta is held and the rest is exact.
    dfbeta : pandas.DataFrame
        Fixed effects without the group less those with it, a row for each group (lme4's ``dfbeta``; the sign of R's ``dfbeta`` for
        ``lm`` is the opposite).
    dfbetas : pandas.DataFrame
        The same divided by the standard errors without the group.
    cooks_distance : pandas.Series
        dfbetaᵀ · vcov⁻¹ · dfbeta / p with the covariance matrix of the whole fit.
    covratio : pandas.Series
        Determinant of the covariance matrix of the fixed effects without the group over that with it: above 1, the group adds
        precision.
    sigma : pandas.Series
        Residual standard deviation without the group.
    leverage : pandas.Series
        Sum of the leverages of the group's rows.
    n_rows : pandas.Series
        Rows of the group.
    theta : pandas.DataFrame or None
        Covariance parameters without the group; None where theta is held.
    converged : pandas.Series or None
        Whether the fit without the group ended at an optimum; None where theta is held.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> found = ml.influence(fit, "Subject")
    >>> found.cooks_distance.idxmax()
    '309'
    >>> found.dfbetas.loc["337"].round(3).to_dict()
    {'(Intercept)': -0.322, 'Days': -0.314}
    >>> found.cutoffs
    {'cooks_distance': 0.2222222222222222, 'dfbetas': 0.47140452079103173}
    """

    deleted: str
    exact: bool
    dfbeta: pd.DataFrame
    dfbetas: pd.DataFrame
    cooks_distance: pd.Series[float]
    covratio: pd.Series[float]
    sigma: pd.Series[float]
    leverage: pd.Series[float]
    n_rows: pd.Series[int]
    theta: pd.DataFrame | None
    converged: pd.Series[bool] | None
    _fixef: pd.Series[float]

    @property
    def cutoffs(self) -> dict[str, float]:
        """The usual cut-offs for J deletions: 4/J for Cook's distance, 2/√J for absolute DFBETAS (Belsley, Kuh & Welsch 1980)."""
        J = len(self.cooks_distance)
        return {"cooks_distance": 4.0 / J, "dfbetas": 2.0 / math.sqrt(J)}

    @property
    def not_estimable(self) -> tuple[Any, ...]:
        """What cannot be left out: without it the fixed effects cannot be estimated. Its numbers are NaN."""
        return tuple(self.cooks_distance.index[self.cooks_distance.isna()])

    def influential(self) -> pd.DataFrame:
        """Return the rows of `to_frame` whose Cook's distance is above its cut-off, the largest first."""
        frame = self.to_frame()
        above = frame.loc[frame["cooks_distance"] > self.cutoffs["cooks_distance"]]
        return above.sort_values("cooks_distance", ascending=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each deletion: ``n_rows``, ``cooks_distance``, ``covratio``, ``sigma``, ``leverage``, ``dfbeta_…``,
        ``dfbetas_…`` and, for fits of their own, ``theta_…`` and ``converged``.
        """  # noqa: D205
        import pandas as pd

        parts: list[Any] = [
            self.n_rows, self.cooks_distance, self.covratio, self.sigma, self.leverage, self.dfbeta.add_prefix("dfbeta_"),
            self.dfbetas.add_prefix("dfbetas_"),
        ]  # fmt: skip
        if self.theta is not None:
            parts += [self.theta.add_prefix("theta_"), self.converged]
        whole: pd.DataFrame = pd.concat(parts, axis=1)
        return whole

    @property
    def conclusion(self) -> str:
        """What stands out, in plain sentences."""
        cut = self.cutoffs["cooks_distance"]
        distance = self.cooks_distance.dropna()
        if distance.empty:
            return f"The fixed effects cannot be estimated without any {self._one}."
        above = int((distance > cut).sum())
        worst = distance.idxmax()
        position = self.cooks_distance.index.get_loc(worst)
        at = int(position) if isinstance(position, int) else int(np.flatnonzero(self.cooks_distance.index == worst)[0])
        name = str(self.dfbetas.iloc[at].abs().idxmax())
        before = float(self._fixef[name])
        after = before + float(self.dfbeta.iloc[at][name])
        text = (
            f"Leaving out {self._one} {worst} changes the fixed effects most: Cook's distance {format_number(distance.max(), 3)},"
            f" and {name} goes from {_short(before)} to {_short(after)} ({_short(float(self.dfbetas.iloc[at][name]), 2)} standard"
            " errors)."
        )
        J = len(self.cooks_distance)
        many = f"None of the {J} is" if above == 0 else f"{above} of the {J} {'is' if above == 1 else 'are'}"
        text += f" {many} above the cut-off of 4/{J} = {format_number(cut, 3)}."
        lost = self.not_estimable
        if lost:
            shown = ", ".join(map(str, lost[:5])) + (", …" if len(lost) > 5 else "")
            text += f" Without {shown} the fixed effects cannot be estimated."
        if self.converged is not None:
            failed = int((~self.converged & self.cooks_distance.notna()).sum())
            if failed:
                text += f" {failed} of the fits did not end at an optimum (see `converged`)."
        return text

    @property
    def _one(self) -> str:
        return "row" if self.deleted == "row" else self.deleted

    @property
    def _title(self) -> str:
        how = "a fit without each" if self.exact else "theta held"
        return f"Influence of each {self._one} on the fixed effects ({len(self.cooks_distance)} deletions, {how})"

    def _table(self) -> Table:
        place = np.argsort(-self.cooks_distance.fillna(-1.0).to_numpy(), kind="stable")[:SHOWN]
        frame = self.to_frame().iloc[place[self.cooks_distance.notna().to_numpy()[place]]]
        heads = ["rows", "Cook's D", "covratio", "sigma"]
        names = ["cooks_distance", "covratio", "sigma"]
        few = self.dfbetas.shape[1] <= FEW
        if few:
            heads += [f"dfbetas {name}" for name in self.dfbetas.columns]
            names += [f"dfbetas_{name}" for name in self.dfbetas.columns]
        columns: list[list[str | Number]] = [[str(count) for count in frame["n_rows"]]]
        columns += [_cells(frame[name].to_numpy(dtype=np.float64)) for name in names]
        if not few:
            shown = frame[[f"dfbetas_{name}" for name in self.dfbetas.columns]].to_numpy(dtype=np.float64)
            largest = np.abs(np.where(np.isnan(shown), 0.0, shown)).argmax(axis=1)
            heads += ["largest dfbetas", "of"]
            columns += [_cells(shown[np.arange(len(shown)), largest]), [str(self.dfbetas.columns[c]) for c in largest]]
        rows = tuple((str(label), *(column[r] for column in columns)) for r, label in enumerate(frame.index))
        return Table("The most influential", (self._one, *heads), rows)

    def __str__(self) -> str:
        """Return title, conclusion and the most influential as text."""
        table = "" if self.cooks_distance.isna().all() else f"\n\n{self._table().to_text(width=100)}"
        return f"{self._title}\n\n{wrapped(self.conclusion)}{table}"

    __repr__ = __str__

    def _document(self) -> Document:
        tables = [] if self.cooks_distance.isna().all() else [self._table()]
        return Document(self._title, (Paragraph(self._title, bold=True), Paragraph(self.conclusion), *tables))


def _short(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}".replace("-", "−") if "e" not in f"{value:.{digits}g}" else f"{value:.{digits - 1}e}"


def _cells(values: FloatArray) -> list[str | Number]:
    """Write a column with three significant digits of its largest number."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    places = max(0, 2 - math.floor(math.log10(largest))) if largest > 0 else 0
    if places > 6:
        return number_cells(values, format_values(values, 3))
    texts = [f"{round(value, places) + 0.0:.{places}f}" if math.isfinite(value) else "NaN" for value in values]
    return number_cells(values, texts)


@checked
@idle("threads", "progress", when=lambda given: not given["exact"], why="they are for exact=True")
def influence(
    fit: LinearMixedModel,
    group: Any = None,
    *,
    exact: bool = False,
    threads: Count | None = None,
    progress: bool = False,
) -> Influence:
    """Work out how the estimates change when each row, or each group of rows, is left out.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    group : str or array_like, optional
        What is left out at once: the rows of each level of a grouping factor, of each value of a column of the data, or of each of
        the values given, one for each row. By default each row by itself.
    exact : bool, default False
        False: theta, the covariance parameters relative to σ, stays at its estimate; fixed effects, their covariance matrix and σ
        without the group are then exact, for crossed factors too, and come from the fit's factor without refitting. True: the model
        is fitted anew without each group.
    threads : int, optional
        For ``exact=True``, the threads to share the fits among; by default one for each processor.
    progress : bool
        For ``exact=True``, whether to show a progress bar.

    Returns
    -------
    Influence
        Cook's distances, DFBETA, DFBETAS, covariance ratios, σ (and theta) for each group, with cut-offs and a conclusion.

    Raises
    ------
    DataError
        The model has no fixed effects, or the groups do not fit the rows.
    UnknownColumnError
        There is no such column.

    Notes
    -----
    With ``exact=True``, ``dfbeta`` and ``dfbetas`` agree with those of lme4's ``influence(fit, groups)``, and ``cooks_distance``
    with its ``cooks.distance`` divided by (J − p)/J for J groups, a factor that lme4 has beside 1/p (the R package influence.ME has
    not). lme4's ``cooks.distance(fit)`` of a fit itself is another statistic: see `cooks_distance`.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> print(ml.influence(fit, "Subject", exact=True).conclusion)
    Leaving out Subject 309 changes the fixed effects most: Cook's distance 0.149, and (Intercept) goes from 251.4 to 254.1 (0.41
    standard errors). None of the 18 is above the cut-off of 4/18 = 0.222.
    """
    import pandas as pd

    if threads is not None and threads < 1:
        raise ControlError(f"threads must be at least 1, not {threads}.")
    if fit._design.n_fixed == 0:
        raise DataError("The model has no fixed effects, whose change influence would be.")
    index: pd.Index[Any]
    rows = row_solutions(fit)
    if group is None:
        deleted, index = "row", fit._by_row(rows.scores, "row").index
        if fit._design.kept is not None and len(index) != fit.nobs:
            index = index[fit._design.kept]
        codes, found = np.arange(fit.nobs, dtype=np.int32), delete_rows(fit)
    else:
        groups = row_groups(fit, group)
        deleted, codes, index = groups.name, groups.codes, groups.index
        found = delete_groups(fit, codes, len(groups.labels))
    names = list(fit._design.fixed_names)
    theta = converged = None
    if exact:
        refits = refit_without(fit, codes, len(index), found.estimable, threads, progress)
        found = _of_refits(fit, refits, found.counts)
        theta = pd.DataFrame(refits.theta, index=index, columns=list(fit.theta.index))
        converged = pd.Series(refits.converged, index=index, name="converged")
    leverage = np.bincount(codes, rows.leverage, len(index))
    return Influence(
        deleted,
        exact,
        pd.DataFrame(found.change, index=index, columns=names),
        pd.DataFrame(found.change / found.std_error, index=index, columns=names),
        pd.Series(found.cooks_distance, index=index, name="cooks_distance"),
        pd.Series(found.covariance_ratio, index=index, name="covratio"),
        pd.Series(found.sigma, index=index, name="sigma"),
        pd.Series(leverage, index=index, name="leverage"),
        pd.Series(found.counts, index=index, name="n_rows"),
        theta,
        converged,
        fit.fixef,
    )


def _of_refits(fit: LinearMixedModel, refits: Refits, counts: npt.NDArray[np.int64]) -> Deletions:
    """Return the changes from the whole fit to others."""
    change = refits.beta - fit._engine.beta
    whole = fit.sigma**2 * fit._engine.unscaled_vcov
    L = np.linalg.cholesky(whole)
    standard = np.linalg.solve(L, change.T)
    inverse = np.linalg.inv(L)
    logdet = log_determinants(np.einsum("ab,jbc,dc->jad", inverse, refits.vcov, inverse))
    return Deletions(
        change,
        (standard**2).sum(axis=0) / change.shape[1],
        np.sqrt(np.einsum("jaa->ja", refits.vcov)),
        np.exp(logdet),
        refits.sigma,
        counts,
        np.isfinite(refits.sigma),
    )


@checked
def cooks_distance(fit: LinearMixedModel) -> pd.Series[float]:
    """Return Cook's distance of each row's fitted values, conditional modes included.

    With h the leverage, r the Pearson residual and p the number of fixed effects this is r²h/((1 − h)²pσ²), the formula for least
    squares: R's ``cooks.distance(fit)`` of lme4. The change of the fixed effects alone is ``influence(fit).cooks_distance``.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.

    Returns
    -------
    pandas.Series
        One value for each row; NaN where the leverage is one.

    Raises
    ------
    DataError
        The model has no fixed effects.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> distance = ml.cooks_distance(fit)
    >>> distance.idxmax(), round(float(distance.max()), 3)
    (59, 4.332)
    """
    p = fit._design.n_fixed
    if p == 0:
        raise DataError("The model has no fixed effects, by whose number Cook's distance is divided.")
    rows = row_solutions(fit)
    pivot = np.where(rows.diagonal > SINGULAR_PIVOT * rows.weights, rows.diagonal, np.nan)
    # r/(1 − h) = √w·(Py)/Pᵢᵢ
    values = rows.weights * (rows.scores / pivot) ** 2 * rows.leverage / (p * fit.sigma**2)
    return fit._by_row(values, "cooks_distance")
