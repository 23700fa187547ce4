"""Handing a fit to the package marginaleffects: predictions, comparisons and slopes of the fixed part."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import DdfName
from multilevel.data.factors import Factor
from multilevel.data.frames import Frame
from multilevel.errors import ControlError, MissingDependencyError
from multilevel.inference.degrees_of_freedom import inference_basis, residual_degrees_of_freedom
from multilevel.inference.reference_grid import encoder_of, fixed_variables
from multilevel.model.source import data_used

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel


def for_marginaleffects(fit: LinearMixedModel, *, ddf: DdfName = "asymptotic") -> Any:
    """Return a fit as the package marginaleffects takes models.

    Its functions then work on the fixed part: predictions are Xβ plus the mean of an offset, without random effects.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    ddf : {"asymptotic", "residual", "kenward-roger", "satterthwaite"}
        Which covariance matrix of the fixed effects standard errors come from (Kenward and Roger's is adjusted). Statistics are
        compared with a normal distribution, or with t on ``fit.df_residual`` degrees of freedom for ``"residual"``; the package has
        no degrees of freedom of single estimates, for which see `emmeans` and `contrast_test`.

    Returns
    -------
    marginaleffects.classes.ModelAbstract
        A model for ``predictions``, ``comparisons``, ``slopes``, ``datagrid`` and their like.

    Raises
    ------
    MissingDependencyError
        The package marginaleffects is not installed.

    Examples
    --------
    >>> from multilevel.inference.marginaleffects_adapter import for_marginaleffects
    >>> import marginaleffects                                                      # doctest: +SKIP
    >>> marginaleffects.avg_slopes(for_marginaleffects(fit), variables="Days")      # doctest: +SKIP
    """
    try:
        classes = importlib.import_module("marginaleffects.classes")
        polars = importlib.import_module("polars")
    except ImportError as error:
        raise MissingDependencyError(
            "This needs the package marginaleffects, which is not installed: pip install marginaleffects."
        ) from error
    model = _adapter(classes.ModelAbstract)
    vault = classes.ModelVault(modeldata=_model_data(fit, polars), package="multilevel")
    # The design of new rows is the fit's own, so the package gets no formula to read.
    vault.formula = lambda data: (None, encoder_of(fit).determined_matrix(Frame(data)))
    vault.variable_names = [_response_name(fit), *fixed_variables(fit)]
    return model(fit, vault, ddf)


def _response_name(fit: LinearMixedModel) -> str:
    return fit._design.response_name


def _model_data(fit: LinearMixedModel, polars: Any) -> Any:
    """Return the response and the columns of the fixed part, for the rows used, as a polars frame."""
    columns: dict[str, Any] = {_response_name(fit): polars.Series(_response_name(fit), fit._design.y)}
    for name, column in data_used(fit, fixed_variables(fit)).items():
        values = column.values
        if isinstance(values, Factor):
            levels = list(values.levels.names)
            names = np.array(levels, dtype=object)[values.codes]
            columns[name] = polars.Series(name, names.tolist(), dtype=polars.Enum(levels))
        else:
            columns[name] = polars.Series(name, values if column.missing is None else column.as_numbers())
    return polars.DataFrame(columns)


def _adapter(base: Any) -> Any:
    """Return the class that answers the package's questions about a fit."""

    class ModelMultilevel(base):  # type: ignore[misc]
        """A linear mixed model, its fixed part."""

        def __init__(self, fit: LinearMixedModel, vault: Any, ddf: str) -> None:
            self._basis = inference_basis(fit, ddf)
            self._offset = 0.0 if fit._design.offset is None else float(np.mean(fit._design.offset))
            self._polars = importlib.import_module("polars")
            if ddf == "residual":
                self.df_resid = residual_degrees_of_freedom(fit)
            super().__init__(fit, vault)

        def get_coef(self) -> Any:
            """Return the fixed effects."""
            return self.model.fixef.to_numpy().copy()

        def get_coefnames(self) -> Any:
            """Return the names of the fixed effects."""
            return np.array(self.model.fixef.index)

        def get_vcov(self, vcov: Any = True) -> Any:
            """Return the covariance matrix of the fixed effects, or None where no standard errors are wanted."""
            if vcov is False or vcov is None:
                return None
            if vcov is not True:
                raise ControlError(
                    "vcov is True or False here; choose the covariance matrix by ddf of for_marginaleffects."
                )
            return np.asarray(self._basis.vcov).copy()

        def find_response(self) -> Any:
            """Return the response as written."""
            return _response_name(self.model)

        def find_predictors(self) -> Any:
            """Return the columns of the fixed part."""
            return list(fixed_variables(self.model))

        def get_variables_names(self) -> Any:
            """Return the columns of the fixed part."""
            return self.find_predictors()

        def get_exog(self, newdata: Any) -> Any:
            """Return the fixed-effects design of new data."""
            return encoder_of(self.model).determined_matrix(newdata)

        def get_predict(self, params: Any, newdata: Any) -> Any:
            """Return predictions from a design, or from a data frame, with other fixed effects."""
            x = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            values = x @ np.asarray(params, dtype=np.float64) + self._offset
            rows = self._polars.Series("rowid", np.arange(len(values)), dtype=self._polars.Int32)
            return self._polars.DataFrame([rows, self._polars.Series("estimate", values)])

    return ModelMultilevel
