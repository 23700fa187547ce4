"""Marginal means, trends and their contrasts: linear functions of the fixed effects in a table."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked_methods
from multilevel.data.labels import distinct
from multilevel.data.levels import level_text
from multilevel.errors import ControlError, UnknownColumnError
from multilevel.inference.degrees_of_freedom import InferenceBasis
from multilevel.inference.mean_contrasts import DEFAULT_ADJUSTMENT, contrast_weights
from multilevel.inference.multiplicity import adjust_p_values, check_adjustment, critical_values, two_sided
from multilevel.inference.reference_grid import LinearForms
from multilevel.inference.response_scale import ResponseScale
from multilevel.reporting.forms import Document, Forms

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CONTRAST = "contrast"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_OPERATOR = re.compile(r"[-+/*]")


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The columns of a table of estimates."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    statistic: FloatArray
    p_value: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(Forms):
    """Estimated marginal means, trends, or contrasts between them. It does not change; its methods return new ones.

    Attributes
    ----------
    title : str
        What the rows are.
    labels : tuple of (str, tuple)
        The columns that name the rows: for each its name and values.
    by : tuple of str
        The columns whose values make groups; comparisons stay within a group.
    forms : LinearForms
        The linear functions of the fixed effects that the rows are.
    ddf : str
        The method of the degrees of freedom.
    level : float
        Confidence level.
    adjust : str
        How p-values and intervals are adjusted within each group.
    tests : bool
        Whether tests are shown.
    null : float
        The value under the null hypothesis, on the scale of the linear predictor.
    averaged : tuple of str
        Variables averaged over.

    Examples
    --------
    >>> import multilevel as ml
    >>> cake = ml.load_dataset("cake")
    >>> fit = ml.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", cake)
    >>> means = ml.emmeans(fit, "recipe")
    >>> means.to_frame().round(2).values.tolist()
    [['A', 33.12, 1.74, 42.0, 29.62, 36.63], ['B', 31.64, 1.74, 42.0, 28.14, 35.15], ['C', 31.6, 1.74, 42.0, 28.09, 35.11]]
    >>> means.pairs(adjust="holm").to_frame()[["contrast", "estimate", "p_value"]].round(3).values.tolist()
    [['A - B', 1.478, 1.0], ['A - C', 1.522, 1.0], ['B - C', 0.044, 1.0]]
    """

    title: str
    labels: tuple[tuple[str, tuple[Any, ...]], ...]
    by: tuple[str, ...]
    forms: LinearForms
    ddf: str
    level: float
    adjust: str
    tests: bool
    null: float
    averaged: tuple[str, ...]
    _beta: FloatArray
    _basis: InferenceBasis
    _scale: ResponseScale | None
    _back: bool
    _remarks: tuple[str, ...] = ()
    _families: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.forms.rows)

    # ---- numbers -------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _groups(self) -> list[tuple[tuple[Any, ...], IntArray]]:
        """The rows of each group, with the values that its rows share."""
        return self._grouped(self.by)

    def _grouped(self, by: Sequence[str]) -> list[tuple[tuple[Any, ...], IntArray]]:
        columns = dict(self.labels)
        keys = [tuple(columns[name][row] for name in by) for row in range(len(self))]
        return [
            (key, np.array([row for row, own in enumerate(keys) if own == key], dtype=np.int64))
            for key in dict.fromkeys(keys)
        ]

    @functools.cached_property
    def linear(self) -> Numbers:
        """The numbers on the scale of the linear predictor."""
        rows, estimable = self.forms.rows, self.forms.estimable
        estimate = np.where(estimable, rows @ self._beta + self.forms.constants, np.nan)
        variance = self._basis.variances(rows)
        error = np.where(estimable, np.sqrt(np.maximum(variance, 0.0)), np.nan)
        df = np.full(len(rows), np.nan)
        for row in np.flatnonzero(estimable & (error > 0.0)):
            df[row] = self._basis.degrees_of_freedom(rows[row])
        with np.errstate(invalid="ignore", divide="ignore"):
            statistic = np.where(error > 0.0, (estimate - self.null) / error, np.nan)
        p_value = two_sided(statistic, df)
        half = np.full(len(rows), np.nan)
        for place, (_, own) in enumerate(self._groups):
            family = self._families[place] if self._families else 0
            p_value[own] = adjust_p_values(
                p_value[own], self.adjust, statistics=statistic[own], df=df[own], n_means=family
            )
            tested = int((~np.isnan(df[own])).sum())
            half[own] = critical_values(df[own], self.level, self.adjust, n_tests=tested, n_means=family)
        half = half * error
        return Numbers(estimate, error, df, statistic, p_value, estimate - half, estimate + half)

    @functools.cached_property
    def numbers(self) -> Numbers:
        """The numbers as they are reported: on the scale of the response where that was asked for."""
        own, scale = self.linear, self._way_back
        if scale is None:
            return own
        low, high = scale.interval(own.estimate, own.conf_low, own.conf_high)
        return replace(
            own,
            estimate=scale.back(own.estimate),
            std_error=scale.slope(own.estimate) * own.std_error,
            conf_low=low,
            conf_high=high,
        )

    @property
    def _way_back(self) -> ResponseScale | None:
        """How the numbers are brought back to the scale of the response, or None where they are not."""
        if self._scale is None or not self._back:
            return None
        return self._scale.of_ratios if self._ratios else self._scale

    def to_frame(self) -> pd.DataFrame:
        """Return the table: the labels, ``estimate``, ``std_error``, ``df``, ``conf_low``, ``conf_high``.

        Contrasts and tests have ``statistic`` and ``p_value`` as well, after ``df``.
        """
        import pandas as pd

        numbers = self.numbers
        names = [
            "estimate",
            "std_error",
            "df",
            *(["statistic", "p_value"] if self.tests else []),
            "conf_low",
            "conf_high",
        ]
        # a variable called like one of the columns is numbered
        shown = distinct([*names, *(name for name, _ in self.labels)])[len(names) :]
        columns: dict[str, Any] = {name: list(values) for name, (_, values) in zip(shown, self.labels, strict=True)}
        return pd.DataFrame(columns | {name: getattr(numbers, name) for name in names})

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the rows, on the scale of the linear predictor."""
        import pandas as pd

        rows = np.where(self.forms.estimable[:, None], self.forms.rows, np.nan)
        names = [" ".join(level_text(values[row]) for _, values in self.labels) for row in range(len(self))]
        return pd.DataFrame(self._basis.covariance(rows), index=names, columns=names)

    # ---- tests and contrasts -------------------------------------------------------------------------------------------

    def test(self, null: float = 0.0, *, adjust: str = "none") -> MarginalMeans:
        """Return the rows with tests that each is equal to a value.

        Parameters
        ----------
        null : float
            The value, on the scale of the linear predictor.
        adjust : {"none", "holm", "hochberg", "bonferroni", "sidak", "fdr"}
            How p-values and intervals are adjusted within each group.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("angle ~ recipe + (1 | recipe:replicate)", ml.load_dataset("cake"))
        >>> ml.emmeans(fit, "recipe").test(null=30).to_frame().p_value.round(4).tolist()
        [0.0794, 0.3492, 0.3622]
        """
        adjust, remarks = _without_tukey(adjust)
        changed = self._remarks + tuple(remark for remark in remarks if remark not in self._remarks)
        return replace(self, tests=True, null=float(null), adjust=adjust, _remarks=changed)

    def pairs(
        self, *, adjust: str = "tukey", reverse: bool = False, by: str | Sequence[str] | None = None
    ) -> MarginalMeans:
        """Return all pairwise differences within each group.

        Parameters
        ----------
        adjust : {"tukey", "holm", "hochberg", "bonferroni", "sidak", "fdr", "none"}
            How p-values and intervals are adjusted for the number of comparisons within each group.
        reverse : bool
            Whether earlier means are taken from later ones.
        by : str or sequence of str, optional
            Other columns to group by.
        """
        return self.contrast("revpairwise" if reverse else "pairwise", adjust=adjust, by=by)

    def contrast(
        self,
        method: Any = "pairwise",
        *,
        adjust: str | None = None,
        by: str | Sequence[str] | None = None,
        reference: Any = None,
    ) -> MarginalMeans:
        """Return contrasts between the rows of each group.

        Parameters
        ----------
        method : {"pairwise", "revpairwise", "trt.vs.ctrl", "eff", "poly"} or dict
            Differences of all pairs; later rows less earlier ones; each row less a reference; each row less the average; orthogonal
            polynomials of evenly spaced levels; or for each contrast's name its weights: a number for each row of a group, or a
            dict with the labels of the rows that have one.
        adjust : str, optional
            How p-values and intervals are adjusted within each group: by default Tukey's method for pairs, Šidák's for comparisons
            with a reference, ``"fdr"`` for ``"eff"``, and none otherwise.
        by : str or sequence of str, optional
            Other columns to group by.
        reference : str, optional
            The label of the row that ``"trt.vs.ctrl"`` compares with; the first by default.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("angle ~ temperature + (1 | recipe:replicate)", ml.load_dataset("cake"))
        >>> ml.emmeans(fit, "temperature").contrast("poly").to_frame().contrast.tolist()
        ['linear', 'quadratic', 'cubic', 'quartic', 'degree 5']
        """
        groups_by = self.by if by is None else as_names(by)
        for name in groups_by:
            if name not in dict(self.labels):
                raise UnknownColumnError(f"There is no column {name!r} to group by.")
        chosen = (
            DEFAULT_ADJUSTMENT.get(method, "none") if isinstance(method, str) and adjust is None else adjust or "none"
        )
        check_adjustment(chosen)
        remarks = list(self._remarks)
        pairwise = isinstance(method, str) and method in ("pairwise", "revpairwise")
        if not pairwise:
            chosen, more = _without_tukey(chosen)
            remarks += more
        ratio = self._back and self._scale is not None and self._scale.ratios
        blocks: list[FloatArray] = []
        found: list[str] = []
        shared: list[tuple[Any, ...]] = []
        families: list[int] = []
        for key, own in self._grouped(groups_by):
            names, weights = contrast_weights(method, self._texts(own, groups_by), reference=reference, ratio=ratio)
            block = np.zeros((len(names), len(self)))
            block[:, own] = weights
            blocks.append(block)
            found += names
            shared += [key] * len(names)
            if names:
                families.append(len(own))
        all_weights = np.vstack(blocks)
        back = self._back
        if self._scale is not None and back and not (ratio and np.abs(all_weights.sum(axis=1)).max(initial=0.0) < 1e-9):
            back = False
        labels = [
            (CONTRAST if CONTRAST not in groups_by else f"{CONTRAST}1", tuple(found)),
            *((name, tuple(key[i] for key in shared)) for i, name in enumerate(groups_by)),
        ]
        return replace(
            self,
            title=f"Contrasts of {self.title[0].lower()}{self.title[1:]}"
            if self.title[:9] != "Contrasts"
            else self.title,
            labels=tuple(labels),
            by=tuple(groups_by),
            forms=self.forms.combine(all_weights),
            adjust=chosen,
            tests=True,
            null=0.0,
            _back=back,
            _remarks=tuple(dict.fromkeys(remarks)),
            _families=tuple(families),
        )

    def _texts(self, rows: IntArray, by: Sequence[str]) -> list[str]:
        """Return a label for each row: numbers under their column's name, and what looks like arithmetic in parentheses."""
        parts = []
        for name, values in self.labels:
            if name in by:
                continue
            texts = [level_text(value) for value in values]
            named = name != CONTRAST and all(_NUMBER.fullmatch(text) for text in texts)
            parts.append([f"{name}{texts[row]}" if named else texts[row] for row in rows])
        joined = [" ".join(words) for words in zip(*parts, strict=True)] if parts else ["overall"]
        return [f"({text})" if _OPERATOR.search(text) else text for text in joined]

    # ---- notes and forms -----------------------------------------------------------------------------------------------

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        found = []
        if self.averaged:
            found.append(f"Averaged over {', '.join(self.averaged)}")
        found += self._remarks
        missing = int((~self.forms.estimable).sum())
        if missing:
            rows = "1 row is" if missing == 1 else f"{missing} rows are"
            found.append(
                f"{rows} NaN: the data do not determine their value (empty cells, or columns dropped for rank)"
            )
        if self._scale is not None:
            scale = self._scale
            beyond = int((np.isfinite(self.linear.estimate) & np.isnan(self.numbers.estimate)).sum())
            if beyond:
                rows = "1 row is" if beyond == 1 else f"{beyond} rows are"
                found.append(f"{rows} NaN: no response has the estimate as its {scale.text}")
            name = f"the {scale.name} scale of {scale.of}" if scale.name else f"the scale of {scale.text}"
            if self._back and self.tests:
                found.append(f"{'Ratios' if self._ratios else 'Estimates'} transformed back; tests are on {name}")
            elif self._back:
                found.append(f"Transformed back from {name}")
            else:
                found.append(f"Results are on {name}, not that of the response")
        found.append(f"Degrees of freedom: {self.ddf}; confidence level: {self.level:g}")
        if self.null:
            found.append(f"Tests against {self.null:g}")
        sizes = sorted(set(self._families))
        if self.adjust != "none" and not (self.adjust == "tukey" and max(sizes, default=0) <= 2):
            families = "a family of" if len(sizes) == 1 else "families of"
            size = f"{families} {' and '.join(map(str, sizes))} estimates" if self.adjust == "tukey" else "the tests"
            within = f" in each group of {', '.join(self.by)}" if len(self._groups) > 1 else ""
            found.append(f"P-values adjusted by the {self.adjust} method for {size}{within}")
        return tuple(found)

    @property
    def _ratios(self) -> bool:
        return self._back and self._scale is not None and self._scale.ratios and self.labels[0][0].startswith(CONTRAST)

    def __str__(self) -> str:
        """Return the text."""
        from multilevel.inference.means_report import means_text

        return means_text(self)

    __repr__ = __str__

    def _document(self) -> Document:
        from multilevel.inference.means_report import means_document

        return means_document(self)


def as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _without_tukey(adjust: str) -> tuple[str, tuple[str, ...]]:
    """Return an adjustment that is right for any set of tests, and what to say about it."""
    check_adjustment(adjust)
    if adjust != "tukey":
        return adjust, ()
    return "sidak", ("Tukey's method is for one set of pairwise comparisons; Šidák's is used",)


def check_level(level: float) -> None:
    """Refuse confidence levels that are none."""
    if not 0.0 < level < 1.0:
        raise ControlError(f"level must be between 0 and 1, not {level!r}.")
