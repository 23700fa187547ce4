"""The rows of a fit with what the model says of each, as broom.mixed's ``augment`` returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.frames import Frame, column_name
from multilevel.errors import ControlError, DataError
from multilevel.formula.syntax import names_in
from multilevel.model.prediction import prediction_variances
from multilevel.model.prediction_rows import training_rows
from multilevel.model.random_selection import select_random
from multilevel.model.residual_structure import refuse_structures, relative_deviations
from multilevel.model.simulation import marginal_mean

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def augment(
    fit: LinearMixedModel, data: Any = None, *, newdata: Any = None, allow_new_levels: bool = False
) -> pd.DataFrame:
    """Return the rows of a fit, or of new data, with fitted values, residuals and diagnostics beside them.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    data : data frame, optional
        The data of the fit, with all the columns that the result shall have; by default the variables of the model in the rows
        that it used. Rows that the fit left out have NaN.
    newdata : data frame, optional
        New data instead: they get ``.fitted``, ``.fixed`` and, where the response is among them, ``.resid``.
    allow_new_levels : bool
        For new data (see `LinearMixedModel.predict`).

    Returns
    -------
    pandas.DataFrame
        The columns of the data and, with the names of R's ``broom.mixed::augment``: ``.fitted`` and ``.resid`` (response less
        fitted value), ``.hat`` (leverage: the derivative of the fitted value with respect to the response, θ held), ``.cooksd``
        (Cook's distance as lme4's ``cooks.distance``), ``.fixed`` (prediction without random effects), ``.mu`` (the same as
        ``.fitted`` in a linear model), ``.offset``, ``.sqrtXwt`` and ``.sqrtrwt`` (roots of the weights), ``.weights`` and
        ``.wtres`` (weighted residual).

    Raises
    ------
    DataError
        The data have another number of rows than the fit.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.augment()[["Reaction", "Days", ".fitted", ".resid", ".fixed", ".hat"]].head(2).round(3)
       Reaction  Days  .fitted  .resid   .fixed   .hat
    0   249.560   0.0  253.664  -4.104  251.405  0.229
    1   258.705   1.0  273.330 -14.625  261.872  0.170
    """
    import pandas as pd

    if newdata is not None:
        if data is not None:
            raise ControlError("Give data (those of the fit) or newdata, not both.")
        return _of_new_data(fit, newdata, allow_new_levels)
    design = fit._design
    given = fit._data.frame if data is None else data
    if given is None:
        raise DataError("The fit holds no data frame; give data=, or newdata=.")
    frame = as_pandas(given)
    if data is None:
        own = {column_name(name): name for name in frame.columns}
        frame = frame[[own[name] for name in _variables(fit) if name in own]]
    columns = pd.DataFrame(_diagnostics(fit))
    if len(frame) == design.n_rows:
        if design.kept is not None:
            if data is None:
                frame = frame.loc[design.kept]
            else:
                whole = pd.DataFrame(np.nan, index=range(design.n_rows), columns=columns.columns)
                whole.iloc[np.flatnonzero(design.kept)] = columns.to_numpy()
                columns = whole
    elif len(frame) != design.nobs:
        raise DataError(
            f"The data have {len(frame)} rows and the fit {design.n_rows}"
            + (f", of which it used {design.nobs}" if design.kept is not None else "")
            + "; give the data of the fit, or newdata= for others."
        )
    return pd.concat([frame, columns.set_axis(frame.index)], axis=1)


def _variables(fit: LinearMixedModel) -> list[str]:
    """Return the names of the columns that a fit used."""
    arguments = getattr(fit._data, "arguments", {})
    extra = [arguments.get(name) for name in ("weights", "offset")]
    return list(dict.fromkeys([*fit.formula.variables, *(name for name in extra if isinstance(name, str))]))


def as_pandas(data: Any) -> pd.DataFrame:
    """Return any frame as a pandas one, its columns as they are there."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, dict):
        return pd.DataFrame({name: _series_of_array(values) for name, values in data.items()})
    import narwhals.stable.v2 as nw

    found: Any = nw.from_native(data)
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    columns = {name: _series(found.get_column(name)) for name in found.columns}
    return pd.DataFrame(columns)


def _series_of_array(values: Any) -> Any:
    import pandas as pd

    try:
        return values.reset_index(drop=True) if isinstance(values, pd.Series) else pd.Series(values)
    except (ValueError, TypeError):  # what pandas has no column for, such as a matrix: its rows
        return pd.Series(list(values), dtype=object)


def _series(column: Any) -> Any:
    """Return a column of another library as a pandas series; what pandas has no type for as Python's objects."""
    import pandas as pd

    try:
        return column.to_pandas()
    except Exception:  # each library has exceptions of its own for what pandas lacks
        return pd.Series(column.to_list()).infer_objects()


def _diagnostics(fit: LinearMixedModel) -> dict[str, FloatArray]:
    design = fit._design
    if design.residual is not None and design.residual.kind is not None:
        refuse_structures(fit, "The leverage of rows with correlated residuals")
    weights = 1.0 / relative_deviations(fit) ** 2
    fitted = fit._fitted_values
    residual = design.y - fitted
    variances = prediction_variances(fit, training_rows(fit, select_random(fit, None)))
    leverage = weights * variances / fit.sigma**2
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = weights * (residual / (1.0 - leverage)) ** 2 * leverage / (fit.sigma**2 * design.n_fixed)
    root = np.sqrt(weights)
    return {
        ".fitted": fitted,
        ".resid": residual,
        ".hat": leverage,
        ".cooksd": distance,
        ".fixed": marginal_mean(fit),
        ".mu": fitted,
        ".offset": np.zeros(fit.nobs) if design.offset is None else np.asarray(design.offset),
        ".sqrtXwt": root,
        ".sqrtrwt": root,
        ".weights": weights,
        ".wtres": root * residual,
    }


def _of_new_data(fit: LinearMixedModel, newdata: Any, allow_new_levels: bool) -> pd.DataFrame:
    import pandas as pd

    frame = as_pandas(newdata)
    found = {
        ".fitted": fit.predict(newdata, allow_new_levels=allow_new_levels).to_numpy(),
        ".fixed": fit.predict(newdata, re_formula=False).to_numpy(),
    }
    encoder = fit._design.encoder
    if encoder is not None and all(name in Frame(newdata) for name in names_in(encoder.response)):
        found[".resid"] = encoder.response_values(Frame(newdata)) - found[".fitted"]
    return pd.concat([frame, pd.DataFrame(found, index=frame.index)], axis=1)
