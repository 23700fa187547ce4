"""New fits out of a fit: to other responses, of a changed model, by another criterion."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, Reml, also_called, check_options, checked_methods, taken_by
from multilevel.data.caller import warn_caller
from multilevel.data.labels import apart_from
from multilevel.engine.control import LmerControl, as_control
from multilevel.engine.fit import fit_of_design, fit_products
from multilevel.engine.magnitudes import check_responses
from multilevel.engine.withheld import undetermined
from multilevel.errors import ControlError, ConvergenceWarning, DataError, DataTypeError, MultilevelWarning
from multilevel.formula.grammar import Formula
from multilevel.model.estimates import Estimates
from multilevel.model.fit_facts import whole
from multilevel.model.identification import describer
from multilevel.model.parameter_labels import ParameterLabels
from multilevel.model.source import frame_changes, whole_frame

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@checked_methods
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

        Notes
        -----
        The result has the new response among its data (on the scale of the model: that of ``log(y)`` where this is the response),
        so that tests, smaller models, means and pictures of it are about the new response.
        """
        from multilevel.model.lmer import fit_design

        rows = self._new_responses(response)
        if len(rows) != 1:
            raise DataError(f"refit() takes one response, and there are {len(rows)}; use refit_many().")
        if _is_constant(rows)[0]:
            raise DataError("The new response is constant; there is nothing to explain.")
        design = self._design.with_response(rows[0])
        return fit_design(design, self._reml, self._control, self._data)

    def refit_many(self, responses: Any, *, threads: Count = 1, std_error: bool = False) -> pd.DataFrame:
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
            A row for each response: the fixed effects, theta, ``sigma``, ``criterion`` (REML's or the deviance) and ``converged``
            (``.sigma`` and the like where a fixed effect has the name).
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
        labels = ParameterLabels.of(self)
        names = [*labels.fixed, *labels.theta, labels.sigma, "criterion"]
        parts = [found.beta, found.theta, found.sigma, found.criterion]
        if found.std_error is not None:
            from scipy.special import ndtr

            # Those that no data determine are not determined by these either.
            found.std_error[:, undetermined(self._engine, np.eye(self._design.n_fixed))] = np.nan
            statistic = found.beta / found.std_error
            parts += [found.std_error, statistic, 2.0 * ndtr(-np.abs(statistic))]
            kinds = ("std_error", "statistic", "p_value")
            names += [f"{kind}_{name}" for kind in kinds for name in labels.fixed]
        shown = [*labels.fixed, *apart_from([*names[len(labels.fixed) :], "converged"], frozenset(labels.fixed))]
        values = np.full((len(rows), len(names)), np.nan)
        values[~constant] = np.column_stack(parts)
        converged = np.zeros(len(rows), dtype=np.bool_)
        converged[~constant] = found.converged
        table = pd.DataFrame(
            values, columns=shown[:-1], index=responses.index if isinstance(responses, pd.DataFrame) else None
        )
        table[shown[-1]] = converged
        return table

    def _new_responses(self, values: Any) -> FloatArray:
        """Return new responses as rows, checked."""
        try:
            rows = np.atleast_2d(np.ascontiguousarray(values, dtype=np.float64))
        except (TypeError, ValueError, OverflowError) as error:
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
        check_responses(rows)
        return rows

    @also_called(REML="reml")
    def update(
        self, formula: str | Formula | None = None, data: Any = None, *, reml: Reml | None = None, **changes: Any
    ) -> LinearMixedModel:
        """Fit a changed model.

        Parameters
        ----------
        formula : str, optional
            The new formula; a ``.`` on either side stands for what was there: ``". ~ . + price"``.
        data : data frame, optional
            New data; by default those of this fit. Its variables have the values that they had when it was fitted, also where the
            frame has been changed since (a warning says so); new variables are taken from the frame as it is now.
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
        from multilevel.model.lmer import fit_formula, lmer, warn_of_unused_contrasts

        if "start" in changes:
            raise ControlError("update() has no argument 'start': starting values are control=LmerControl(start=…).")
        check_options("update()", changes, CHANGES)
        changes = taken_by(lmer, changes)
        criterion = self._reml if reml is None else reml
        if formula is None and data is None and not changes.keys() - {"control"}:
            return self._fit_again(criterion, as_control(changes.get("control", self._control)))
        new = self.formula if formula is None else self.formula.update(formula)
        arguments: dict[str, Any] = {**self._data.arguments, "control": self._control, **changes}
        control = as_control(arguments.pop("control"))
        frame, response = self._data_for(new) if data is None else (data, None)
        fit = fit_formula(new, frame, arguments, criterion, control, response)
        warn_of_unused_contrasts(fit._design, changes.get("contrasts"))
        return fit

    def _data_for(self, formula: Formula) -> tuple[Any, FloatArray | None]:
        """Return the data to fit a changed formula to, and the response where they do not have it."""
        kept = self._design.data
        if kept is None:
            raise DataError(
                "This fit holds no data frame (it was saved without its rows), so that there is nothing to fit a changed model to;"
                " give data=."
            )
        response = self._design.given_response()
        if response is not None and formula.response != self.formula.response:
            raise DataError(
                f"The response of this fit was replaced by refit, on the scale of {self.formula.response!r}, so that there is no"
                f" {formula.response!r} to fit a changed model to; give data=."
            )
        changes = frame_changes(self)
        if not changes:
            return whole_frame(self), response
        new = [name for name in formula.variables if name not in kept]
        if new:
            raise DataError(
                f"{changes[0].upper()}{changes[1:]}, so that the rows of {', '.join(map(repr, new))} may be others; give data=."
            )
        warn_caller(
            f"{changes[0].upper()}{changes[1:]}; the values that it had then are used; give data= to use those that it has now.",
            MultilevelWarning,
        )
        return kept.native(), response

    def _fit_again(self, reml: bool, control: LmerControl) -> LinearMixedModel:
        """Fit the same cross-products by another criterion or with other options."""
        # What the fit itself was warned of is not said again.
        describe = None if self.convergence.directions else describer(self._design, control)
        if self._design.residual is not None:
            engine = fit_of_design(self._design, reml, control, describe)
        else:
            engine = fit_products(self._engine.products, reml, control, describe)
        for array in (engine.theta, engine.beta, engine.unscaled_vcov):
            array.flags.writeable = False
        stored = None if self._stored is None else replace(self._stored, residual_quantiles=None)
        return replace(whole(self), _engine=engine, _reml=reml, _control=control, _stored=stored)


CHANGES = ("weights", "offset", "contrasts", "na_action", "control", "residual", "relationship")
"""What `update` can change beside formula, data and criterion."""


def _is_constant(rows: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows have one value throughout."""
    result: npt.NDArray[np.bool_] = (rows == rows[:, :1]).all(axis=1)
    return result
