"""The random effects of a fit, and the coefficients of every level."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked_method, checked_methods
from multilevel.data.labels import distinct
from multilevel.engine.solutions import conditional_covariances
from multilevel.engine.threads import linear_algebra_threads
from multilevel.model.estimates import Estimates
from multilevel.model.fit_facts import whole
from multilevel.model.lookup import lookup
from multilevel.model.random_effects import GroupEffects, RandomEffects

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@checked_methods
class LevelEffects(Estimates):
    """A fit's conditional modes and the coefficients of every level."""

    @lookup
    @checked_method
    def ranef(self, *, cond_var: bool = False) -> RandomEffects:
        """Return the conditional modes of the random effects.

        Parameters
        ----------
        cond_var : bool
            Whether their conditional covariance matrices (given the data and the parameters) are worked out as well; they agree
            with the ``postVar`` of R's ``ranef(fit, condVar = TRUE)``, and hold the covariances between terms that share a factor.

        Returns
        -------
        RandomEffects
            A mapping from grouping factor to a data frame, levels in rows and columns of its terms in columns. The index has the
            type of the grouping column, so that ``data["g"].map(fit.ranef()["g"]["(Intercept)"])`` finds each row's effect; the
            levels of combined factors (``a:b``) are text.
        """
        modes = self._modes
        parameters = self._engine.products.plan.parameters.terms
        covariances = self._conditional_covariances if cond_var else None
        groups: dict[str, list[int]] = {}
        for t, term in enumerate(self._terms):
            groups.setdefault(term.factor.name, []).append(t)
        found = []
        for name, own in groups.items():
            names = tuple(distinct([column for t in own for column in self._terms[t].names]))
            block = None
            if covariances is not None:
                whole = covariances[parameters[own[0]].block]
                block = np.empty_like(whole)
                at: list[int] = []
                to_user = np.zeros(whole.shape[1:])
                for t in own:
                    part = parameters[t]
                    inside = slice(part.offset, part.offset + part.structure.size)
                    to_user[inside, inside] = part.to_user
                    at.extend(range(inside.start, inside.stop))
                block = np.einsum("rs,jst,ut->jru", to_user, whole, to_user)[:, at][:, :, at]
            values = np.column_stack([modes[t] for t in own])
            for array in (values, block):
                if array is not None:
                    array.flags.writeable = False
            found.append(GroupEffects(name, names, self._terms[own[0]].factor.level_set, values, block))
        return RandomEffects(tuple(found))

    @functools.cached_property
    def _modes(self) -> list[FloatArray]:
        return self._engine.conditional_modes()

    @functools.cached_property
    def _conditional_covariances(self) -> list[FloatArray]:
        scale = self.sigma**2
        factor = self._engine.model.factor
        with linear_algebra_threads(factor.dense.shape[0], None):
            return [scale * block for block in conditional_covariances(factor)]

    def relatives(self, group: str) -> pd.DataFrame:
        """Return the conditional modes of all levels of a relationship matrix, those without rows in the data too.

        The effects of a level without rows have the expectation K₂₁K₁₁⁻¹b given those of the levels with rows (breeding values of
        animals without records, values of species not observed).

        Parameters
        ----------
        group : str
            The grouping factor.

        Returns
        -------
        pandas.DataFrame
            A row for each level, those in the data first.

        Raises
        ------
        DataError
            The factor's levels have no relationship.
        """
        from multilevel.model.random_effects import relatives

        return relatives(whole(self), group)

    @lookup
    @checked_method
    def coef(self) -> dict[str, pd.DataFrame]:
        """Return the coefficients of every level: fixed effects plus conditional modes, by grouping factor (R's ``coef``)."""
        import pandas as pd

        beta, names = self._engine.beta, self._design.fixed_names
        result = {}
        modes_of = self.ranef()
        for group, effects in modes_of.groups.items():
            columns = coefficient_columns(self, group)
            values = np.zeros((len(effects.levels), len(columns)))
            values[:, : beta.size] = beta
            at = list(columns)
            terms = [t for t, term in enumerate(self._terms) if term.factor.name == group]
            places = [at.index(place) for t in terms for place in self._terms[t].columns]
            for place, modes in zip(places, effects.modes.T, strict=True):
                values[:, place] += modes
            result[group] = pd.DataFrame(
                values, index=modes_of[group].index, columns=[*names, *list(columns.values())[beta.size :]]
            )
        return result

    def coef_standard_errors(self) -> dict[str, pd.DataFrame]:
        """Return the standard errors of `coef`, with the covariance of fixed effects and conditional modes in them.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
        >>> fit.coef_standard_errors()["Subject"].round(2).loc["308"].to_dict()
        {'(Intercept)': 12.25, 'Days': 2.34}
        """
        from multilevel.model.coefficient_errors import coefficient_errors

        return coefficient_errors(whole(self))


def coefficient_columns(fit: Estimates, group: str) -> dict[int, str]:
    """Return the columns that the coefficients of a grouping factor's levels belong to, by their places in the design.

    The fixed effects' come first; a column that several terms have is one.
    """
    columns = dict(enumerate(fit._design.fixed_names))
    for term in fit._terms:
        if term.factor.name == group:
            for place, name in zip(term.columns, term.names, strict=True):
                columns.setdefault(place, name)
    return columns
