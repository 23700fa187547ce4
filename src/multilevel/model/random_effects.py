"""Conditional modes of the random effects, by grouping factor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.argument_rules import member
from multilevel.arguments import checked_methods
from multilevel.data.levels import Levels
from multilevel.errors import DataError, UnknownColumnError

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GroupEffects:
    """Conditional modes of one grouping factor.

    Attributes
    ----------
    group : str
        The grouping factor.
    names : tuple of str
        The columns, term after term.
    level_set : Levels
        The levels, as they came and as text.
    modes : ndarray
        Conditional modes, shape (levels, k), on the response's scale.
    covariances : ndarray or None
        Conditional covariance matrix of each level's effects given the data and the parameters, shape (levels, k, k).
    """

    group: str
    names: tuple[str, ...]
    level_set: Levels
    modes: FloatArray
    covariances: FloatArray | None

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels as text."""
        return self.level_set.names

    @property
    def labels(self) -> pd.Index[Any]:
        """The levels as an index of the type of their column."""
        return self.level_set.labels(self.group)


def label_column(labels: Iterable[Any]) -> pd.Series[Any]:
    """Return labels of levels as a column, of their own type unless some are None."""
    import pandas as pd

    found = list(labels)
    return pd.Series(found, dtype=object) if any(label is None for label in found) else pd.Series(found)


@checked_methods
class RandomEffects(Mapping[str, "pd.DataFrame"]):
    """Conditional modes of the random effects: a mapping from grouping factor to a data frame (levels × columns).

    Attributes
    ----------
    groups : dict of str to GroupEffects
        The same as arrays, with conditional covariances where they were asked for.
    """

    __slots__ = ("_groups",)

    def __init__(self, groups: tuple[GroupEffects, ...]) -> None:
        self._groups = {group.group: group for group in groups}

    @property
    def groups(self) -> dict[str, GroupEffects]:
        """The grouping factors as arrays."""
        return dict(self._groups)

    def __getitem__(self, group: str) -> pd.DataFrame:
        """Return the conditional modes of one grouping factor."""
        import pandas as pd

        found = self._find(group)
        return pd.DataFrame(found.modes.copy(), index=found.labels, columns=list(found.names))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the grouping factors."""
        return iter(self._groups)

    def __len__(self) -> int:
        """Return the number of grouping factors."""
        return len(self._groups)

    def _find(self, group: str) -> GroupEffects:
        found: GroupEffects = member(self._groups, group, "grouping factor")
        return found

    def conditional_variances(self, group: str) -> FloatArray:
        """Return the conditional covariance matrices of one grouping factor, shape (levels, k, k).

        Raises
        ------
        KeyError
            There is no such grouping factor, or the conditional variances were not asked for.
        """
        found = self._find(group)
        if found.covariances is None:
            raise UnknownColumnError("The conditional variances were not worked out: call ranef(cond_var=True).")
        return found.covariances

    def to_frame(self) -> pd.DataFrame:
        """Return one row per random effect, with the columns of R's ``as.data.frame(ranef(fit))``.

        Returns
        -------
        pandas.DataFrame
            ``grpvar``, ``term``, ``grp``, ``condval`` (conditional mode) and ``condsd`` (its conditional standard deviation, NaN
            where it was not asked for).
        """
        import pandas as pd

        parts = []
        for group in self._groups.values():
            for c, name in enumerate(group.names):
                deviation = np.nan if group.covariances is None else np.sqrt(group.covariances[:, c, c])
                parts.append(
                    pd.DataFrame(
                        {
                            "grpvar": group.group,
                            "term": name,
                            "grp": group.labels,
                            "condval": group.modes[:, c],
                            "condsd": deviation,
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)

    def __repr__(self) -> str:
        """Return the frames, one after the other."""
        return "\n\n".join(f"{name}\n{self[name]}" for name in self)


def relatives(fit: LinearMixedModel, group: str) -> pd.DataFrame:
    """Return the conditional modes of all levels of a relationship matrix (see `LinearMixedModel.relatives`)."""
    import pandas as pd

    factors = {term.factor.name: term.factor for term in fit._design.random}
    relation = factors[group].relation if group in factors else None
    if relation is None:
        known = [name for name, factor in factors.items() if factor.relation is not None]
        there_are = f"; there is one for {', '.join(known)}" if known else ""
        raise DataError(f"The model has no relationship matrix for {group!r}{there_are}.")
    own = fit.ranef()[group]
    solved = np.linalg.solve(relation.lower.T, np.linalg.solve(relation.lower, own.to_numpy()))
    if not relation.others:
        return own
    labels = pd.Index(list(relation.others))
    if own.index.dtype != labels.dtype:
        # The matrix knows its levels as text, the fit those with rows as they came.
        with contextlib.suppress(TypeError, ValueError):
            labels = labels.astype(own.index.dtype) if own.index.dtype.kind in "iufM" else labels
        if labels.dtype != own.index.dtype:
            own = own.set_axis(pd.Index(factors[group].levels, name=group))
    others = pd.DataFrame(relation.across @ solved, index=labels, columns=own.columns)
    return pd.concat([own, others])
