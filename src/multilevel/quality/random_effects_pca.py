"""Principal components of the random effects' covariance matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.argument_rules import member
from multilevel.arguments import checked, checked_methods
from multilevel.quality.several_tables import SeveralTables
from multilevel.reporting.cells import number_cells
from multilevel.reporting.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]

NOTHING = 1e-4
"""A component whose standard deviation is below this share of the largest has none: the tolerance of a singular fit."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupComponents:
    """Principal components of one grouping factor's random effects.

    Attributes
    ----------
    names : tuple of str
        The columns.
    standard_deviations : ndarray
        Standard deviations of the components, in decreasing order: relative to σ, as in lme4; of the correlation matrix, no unit.
    proportions : ndarray
        Shares of the variance.
    loadings : ndarray
        A column for each component, shape (k, k), of unit length; the largest element of each is positive.
    """

    names: tuple[str, ...]
    standard_deviations: FloatArray
    proportions: FloatArray
    loadings: FloatArray

    @property
    def cumulative(self) -> FloatArray:
        """Shares of the variance of each component and those before it."""
        return np.cumsum(self.proportions)

    @property
    def n_components(self) -> int:
        """Number of components with a standard deviation above zero: the rank of the covariance matrix."""
        largest = float(self.standard_deviations.max(initial=0.0))
        return int((self.standard_deviations > NOTHING * largest).sum()) if largest > 0.0 else 0


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class RandomEffectsPCA(SeveralTables, Mapping[str, GroupComponents]):
    """Principal components by grouping factor: a mapping from its name to `GroupComponents`."""

    groups: dict[str, GroupComponents]
    correlation: bool

    def __getitem__(self, group: str) -> GroupComponents:
        """Return the components of a grouping factor."""
        found: GroupComponents = member(self.groups, group, "grouping factor")
        return found

    def __iter__(self) -> Iterator[str]:
        """Iterate over the grouping factors."""
        return iter(self.groups)

    def __len__(self) -> int:
        """Return the number of grouping factors."""
        return len(self.groups)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each component.

        Returns
        -------
        pandas.DataFrame
            ``group``, ``component`` (from 1), ``standard_deviation``, ``proportion``, ``cumulative``.
        """
        import pandas as pd

        rows = [
            (name, j + 1, group.standard_deviations[j], group.proportions[j], group.cumulative[j])
            for name, group in self.groups.items()
            for j in range(len(group.names))
        ]
        return pd.DataFrame(rows, columns=["group", "component", "standard_deviation", "proportion", "cumulative"])

    def loadings(self, group: str) -> pd.DataFrame:
        """Return the loadings of a grouping factor's components, columns of the model in rows."""
        import pandas as pd

        found = self[group]
        heads = [f"PC{j + 1}" for j in range(len(found.names))]
        return pd.DataFrame(found.loadings.copy(), index=list(found.names), columns=heads)

    @property
    def title(self) -> str:
        """What was decomposed."""
        return f"Principal components of the random effects' {'correlations' if self.correlation else 'covariances'}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers are, and which grouping factors have more columns than dimensions."""
        unit = (
            "correlation matrix"
            if self.correlation
            else "covariance matrix relative to the residual variance, as in lme4"
        )
        found = [f"Standard deviations of the {unit}."]
        for name, group in self.groups.items():
            if group.n_components < len(group.names):
                found.append(
                    f"{name}: {group.n_components} of {len(group.names)} components have a variance above zero; the data do not"
                    " support all of its random effects."
                )
        return tuple(found)

    def _tables(self) -> list[Table]:
        tables = []
        for name, group in self.groups.items():
            heads = ("", *(f"PC{j + 1}" for j in range(len(group.names))))
            numbers = {
                "Standard deviation": group.standard_deviations,
                "Proportion of variance": group.proportions,
                "Cumulative proportion": group.cumulative,
            }
            rows = [
                (label, *number_cells(values, [f"{value:.4f}" for value in values]))
                for label, values in numbers.items()
            ]
            rows += [
                (
                    f"Loading of {column}",
                    *number_cells(group.loadings[i], [f"{value + 0.0:.3f}" for value in group.loadings[i]]),
                )
                for i, column in enumerate(group.names)
            ]
            tables.append(Table(name, heads, tuple(rows)))
        return tables


@checked
def re_pca(fit: LinearMixedModel, *, correlation: bool = False) -> RandomEffectsPCA:
    """Decompose the covariance matrices of the random effects into principal components.

    Components with next to no variance say that the model has more random effects than the data support (Bates et al. 2015).

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    correlation : bool
        Whether the correlation matrix is decomposed instead, which does not depend on the units of the columns.

    Returns
    -------
    RandomEffectsPCA
        By grouping factor the components; terms that share a factor are taken together.

    Notes
    -----
    Agrees with ``rePCA`` of R's lme4; the sign of a component, which means nothing, is chosen so that its largest loading is
    positive.

    References
    ----------
    Bates, D., Kliegl, R., Vasishth, S. & Baayen, H. (2015). Parsimonious mixed models. arXiv:1506.04967.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> ml.re_pca(fit).to_frame().round(4)
         group  component  standard_deviation  proportion  cumulative
    0  Subject          1              0.9669      0.9461      0.9461
    1  Subject          2              0.2309      0.0539      1.0000
    """
    own: dict[str, list[tuple[tuple[str, ...], FloatArray]]] = {}
    for term, factor in zip(fit._terms, fit._engine.term_factors(), strict=True):
        own.setdefault(term.factor.name, []).append((term.names, factor))
    groups = {}
    for name, terms in own.items():
        names = tuple(column for columns, _ in terms for column in columns)
        whole = np.zeros((len(names), len(names)))
        at = 0
        for columns, factor in terms:
            inside = slice(at, at + len(columns))
            whole[inside, inside] = factor
            at += len(columns)
        if correlation:
            length = np.sqrt((whole * whole).sum(axis=1))
            whole = whole / np.where(length > 0.0, length, 1.0)[:, None]
        loadings, deviations, _ = np.linalg.svd(whole)
        largest = loadings[np.argmax(np.abs(loadings), axis=0), np.arange(len(names))]
        loadings = loadings * np.where(largest < 0.0, -1.0, 1.0)
        squares = deviations**2
        total = float(squares.sum())
        shares = squares / total if total > 0.0 else np.zeros_like(squares)
        for array in (deviations, shares, loadings):
            array.flags.writeable = False
        groups[name] = GroupComponents(names, deviations, shares, loadings)
    return RandomEffectsPCA(groups, correlation)
