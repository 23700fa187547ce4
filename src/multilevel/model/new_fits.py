"""New fits out of a fit: to other responses, of a changed model, by another criterion."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import fit_of_design, fit_products
from multilevel.errors import ControlError, ConvergenceWarning, DataError, DataTypeError
from multilevel.formula.grammar import Formula
from multilevel.model.estimates import Estimates
from multilevel.model.fit_facts import whole

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


class NewFits(Estimates):
    """A fit's `refit`, `refit_many` and `update`."""

    def refit(self, response: Any) -> LinearMixedModel:
        """Fit the same model to another response.

        Parameters
        ----------
        response : array_like
            The new response, one value per row that the fit used, or per row of the data; values of rows that the fit left out
            are then passed over.

        Raises
        ------
        DataError
            The response has another length, values that are not finite, or one value throughout.
        DataTypeError
            It does not hold numbers.
        """
        from multilevel.model.lmer import fit_design

        rows = self._new_responses(response)
        if len(rows) != 1:
            raise DataError(f"refit() takes one response, and there are {len(rows)}; use refit_many().")
        if _is_constant(rows)[0]:
            raise DataError("The new response is constant; there is nothing to explain.")
        design = self._design.with_response(rows[0])
        return fit_design(design, self._reml, self._control, replace(self._data, frame=None))

    def refit_many(self, responses: Any, *, threads: int = 1, std_error: bool = False) -> pd.DataFrame:
        """Fit the same model to many responses; what does not depend on the response is shared by all.

        Parameters
        ----------
        responses : array_like
            The new responses, shape (m, nobs): one row for each, in the rows that the fit used (or all rows of the data, as for
            `refit`). The labels of a pandas data frame's rows are kept.
        threads : int
            Threads to share them among.
        std_error : bool
            Whether there are also ``std_error_…``, ``statistic_…`` and ``p_value_…`` of each fixed effect; the p-values are from
            the normal distribution.

        Returns
        -------
        pandas.DataFrame
            A row for each response: the fixed effects, theta, ``sigma``, ``criterion`` (REML's or the deviance) and ``converged``.
            The row of a response that is constant has NaN, and False for ``converged``.

        Raises
        ------
        DataError
            The responses have another length, or values that are not finite.
        DataTypeError
            They do not hold numbers.

        Warns
        -----
        ConvergenceWarning
            Some responses are constant.

        Notes
        -----
        With a single grouping factor each response is searched for once, from the covariances of this fit; `refit`, and other
        models here, search again from elsewhere where a variance ends at zero.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
        >>> y = fit.get_me("y")
        >>> fit.refit_many([y, 2 * y]).sigma.round(2).tolist()
        [49.51, 99.02]
        """
        import pandas as pd

        from multilevel.engine.refit import refit_all

        rows = self._new_responses(responses)
        constant = _is_constant(rows)
        if constant.any():
            warnings.warn(
                f"{int(constant.sum())} of {len(rows)} responses are constant (the first is number"
                f" {int(np.flatnonzero(constant)[0])}, counted from 0); there is nothing to explain, and their rows are NaN.",
                ConvergenceWarning,
                stacklevel=2,
            )
        found = refit_all(
            self._engine, self._design, rows[~constant] if constant.any() else rows, self._control, threads,
            std_error=std_error,
        )  # fmt: skip
        names = [*self._design.fixed_names, *self.theta.index, "sigma", "criterion"]
        parts = [found.beta, found.theta, found.sigma, found.criterion]
        if found.std_error is not None:
            from scipy.special import ndtr

            statistic = found.beta / found.std_error
            parts += [found.std_error, statistic, 2.0 * ndtr(-np.abs(statistic))]
            kinds = ("std_error", "statistic", "p_value")
            names += [f"{kind}_{name}" for kind in kinds for name in self._design.fixed_names]
        values = np.full((len(rows), len(names)), np.nan)
        values[~constant] = np.column_stack(parts)
        converged = np.zeros(len(rows), dtype=np.bool_)
        converged[~constant] = found.converged
        labels = responses.index if isinstance(responses, pd.DataFrame) else None
        return pd.DataFrame(values, columns=names, index=labels).assign(converged=converged)

    def _new_responses(self, values: Any) -> FloatArray:
        """Return new responses as rows, checked."""
        try:
            rows = np.atleast_2d(np.ascontiguousarray(values, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise DataTypeError(
                f"The new response must be numbers, one value for each of the {self.nobs} rows used."
            ) from error
        design = self._design
        if design.kept is not None and rows.ndim == 2 and rows.shape[1] == design.n_rows:
            rows = rows[:, design.kept]
        if rows.ndim != 2 or rows.shape[1] != self.nobs:
            turned = rows.ndim == 2 and rows.shape[0] in (self.nobs, design.n_rows)
            raise DataError(
                f"The new response has shape {np.shape(values)}; it needs one value for each of the {self.nobs} rows used"
                + ("; each response must be a row: transpose." if turned and rows.shape[1] > 0 else ".")
            )
        if not np.isfinite(rows).all():
            raise DataError(
                f"The new response has {int((~np.isfinite(rows)).sum())} values that are not finite; correct them."
            )
        return rows

    def update(
        self, formula: str | Formula | None = None, data: Any = None, *, reml: bool | None = None, **changes: Any
    ) -> LinearMixedModel:
        """Fit a changed model.

        Parameters
        ----------
        formula : str, optional
            The new formula; a ``.`` on either side stands for what was there: ``". ~ . + price"``.
        data : data frame, optional
            New data; by default those of this fit.
        reml : bool, optional
            The criterion; by default that of this fit.
        **changes
            Further arguments of `lmer` to change: ``weights``, ``offset``, ``contrasts``, ``na_action``, ``control``,
            ``residual``, ``relationship``; starting values are ``control=LmerControl(start=…)``.

        Raises
        ------
        ControlError
            There is no such argument.
        DataError
            The fit holds no data frame, and none is given.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
        >>> str(fit.update(". ~ . - Days").formula)
        'Reaction ~ 1 + (1 | Subject)'
        """
        from multilevel.model.lmer import lmer

        _check_changes(changes)
        if formula is None and data is None and not changes.keys() - {"control"}:
            return self._fit_again(self._reml if reml is None else reml, changes.get("control", self._control))
        if data is None and self._data.frame is None:
            raise DataError(
                "This fit holds no data frame (its response was replaced by refit, or it was saved without its rows), so that"
                " there is nothing to fit a changed model to; give data=."
            )
        new = self.formula if formula is None else self.formula.update(formula)
        arguments: dict[str, Any] = {**self._data.arguments, "control": self._control, **changes}
        frame = self._data.frame if data is None else data
        return lmer(new, frame, reml=self._reml if reml is None else reml, **arguments)

    def _fit_again(self, reml: bool, control: LmerControl) -> LinearMixedModel:
        """Fit the same cross-products by another criterion or with other options."""
        if self._design.residual is not None:
            engine = fit_of_design(self._design, reml, control)
        else:
            engine = fit_products(self._engine.products, reml, control)
        for array in (engine.theta, engine.beta, engine.unscaled_vcov):
            array.flags.writeable = False
        stored = None if self._stored is None else replace(self._stored, residual_quantiles=None)
        return replace(whole(self), _engine=engine, _reml=reml, _control=control, _stored=stored)


CHANGES = ("weights", "offset", "contrasts", "na_action", "control", "residual", "relationship")
"""What `update` can change beside formula, data and criterion."""


def _check_changes(changes: dict[str, Any]) -> None:
    """Refuse arguments that `lmer` does not have."""
    for name in changes:
        if name == "start":
            raise ControlError("update() has no argument 'start': starting values are control=LmerControl(start=…).")
        if name not in CHANGES:
            near = difflib.get_close_matches(name, CHANGES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(CHANGES)}."
            raise ControlError(f"update() has no argument {name!r}; {hint}")


def _is_constant(rows: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows have one value throughout."""
    result: npt.NDArray[np.bool_] = (rows == rows[:, :1]).all(axis=1)
    return result
