"""New fits out of a fit: to other responses, of a changed model, by another criterion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.engine.control import LmerControl
from multilevel.engine.fit import fit_of_design, fit_products
from multilevel.errors import DataError
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
            The new response, one value per row that the fit used.

        Raises
        ------
        DataError
            The response has another length, or values that are not finite.
        """
        from multilevel.model.lmer import fit_design

        design = self._design.with_response(self._new_responses(response)[0])
        return fit_design(design, self._reml, self._control, replace(self._data, frame=None))

    def refit_many(self, responses: Any, *, threads: int = 1, std_error: bool = False) -> pd.DataFrame:
        """Fit the same model to many responses; what does not depend on the response is shared by all.

        Parameters
        ----------
        responses : array_like
            The new responses, shape (m, nobs): one row for each, in the rows that the fit used.
        threads : int
            Threads to share them among.
        std_error : bool
            Whether there are also ``std_error_…``, ``statistic_…`` and ``p_value_…`` of each fixed effect; the p-values are from
            the normal distribution.

        Returns
        -------
        pandas.DataFrame
            A row for each response: the fixed effects, theta, ``sigma``, ``criterion`` (REML's or the deviance) and ``converged``.

        Raises
        ------
        DataError
            The responses have another length, or values that are not finite.

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

        found = refit_all(
            self._engine, self._design, self._new_responses(responses), self._control, threads, std_error=std_error
        )
        names = [*self._design.fixed_names, *self.theta.index, "sigma", "criterion"]
        parts = [found.beta, found.theta, found.sigma, found.criterion]
        if found.std_error is not None:
            from scipy.special import ndtr

            statistic = found.beta / found.std_error
            parts += [found.std_error, statistic, 2.0 * ndtr(-np.abs(statistic))]
            kinds = ("std_error", "statistic", "p_value")
            names += [f"{kind}_{name}" for kind in kinds for name in self._design.fixed_names]
        return pd.DataFrame(np.column_stack(parts), columns=names).assign(converged=found.converged)

    def _new_responses(self, values: Any) -> FloatArray:
        """Return new responses as rows, checked."""
        rows = np.atleast_2d(np.ascontiguousarray(values, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != self.nobs:
            raise DataError(
                f"The new response has shape {np.shape(values)}; it needs one value for each of the {self.nobs} rows used."
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
            ``residual``.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
        >>> str(fit.update(". ~ . - Days").formula)
        'Reaction ~ 1 + (1 | Subject)'
        """
        from multilevel.model.lmer import lmer

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
