"""Mixed models behind scikit-learn's interface, for its pipelines, cross-validation and searches.

Import it by its own name, ``from multilevel.sklearn_adapter import MixedModelRegressor``: scikit-learn is needed here alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from multilevel.errors import ControlError, DataError, DataTypeError, MissingDependencyError, UnknownColumnError
from multilevel.formula.grammar import parse_formula

try:
    from sklearn.base import BaseEstimator, RegressorMixin  # type: ignore[import-untyped]
    from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped]
except ImportError as error:
    missing = MissingDependencyError(
        "MixedModelRegressor needs scikit-learn; install it with 'pip install scikit-learn'."
    )
    missing.name = "sklearn"
    raise missing from error

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.engine.control import LmerControl
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
Column = str | int

RESPONSE = "response"


class MixedModelRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A linear mixed-effects model as a scikit-learn regressor.

    The model is given by a formula, or by the columns that hold the groups; all others are then fixed effects.

    Parameters
    ----------
    formula : str, optional
        A formula with random-effects terms, ``"~ x + (x | school)"``; what stands left of the tilde is not used, since the response
        is `y`. X must then be a data frame.
    groups : str, int or list of these, optional
        Without a formula, the columns of X that hold grouping factors (names, or positions from 0 on): each gets a random
        intercept. With neither formula nor groups there are no random effects and the fit is ordinary least squares.
    slopes : list of str or int, optional
        Columns of X whose effects vary over the (first) grouping factor too.
    reml : bool, default True
        Whether to fit by REML or by maximum likelihood.
    re_formula : optional
        Which random effects `predict` uses (see `LinearMixedModel.predict`): None for all, False for none.
    contrasts : mapping, optional
        As for `lmer`, with a formula.
    control : LmerControl, optional
        As for `lmer`.

    Attributes
    ----------
    model_ : LinearMixedModel or None
        The fit; None without random effects.
    coef_ : ndarray
        Fixed effects without the intercept.
    intercept_ : float
        The intercept.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Notes
    -----
    Groups that the fit has not seen get population predictions, so that cross-validation over whole groups (``GroupKFold``) works.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.sklearn_adapter import MixedModelRegressor
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> data = ml.load_dataset("sleepstudy")
    >>> X, y = data[["Days", "Subject"]], data["Reaction"]
    >>> model = MixedModelRegressor("~ Days + (Days | Subject)").fit(X, y)
    >>> model.predict(X.head(2)).round(2).tolist()
    [253.66, 273.33]
    >>> scores = cross_val_score(model, X, y, groups=X["Subject"], cv=GroupKFold(6))
    >>> scores.shape
    (6,)
    """

    def __init__(
        self,
        formula: str | None = None,
        *,
        groups: Column | list[Column] | None = None,
        slopes: list[Column] | None = None,
        reml: bool = True,
        re_formula: Any = None,
        contrasts: Mapping[str, Any] | None = None,
        control: LmerControl | None = None,
    ) -> None:
        self.formula = formula
        self.groups = groups
        self.slopes = slopes
        self.reml = reml
        self.re_formula = re_formula
        self.contrasts = contrasts
        self.control = control

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like or data frame
            The columns, groups among them.
        y : array_like
            The response.

        Returns
        -------
        MixedModelRegressor
            Itself.

        Raises
        ------
        ControlError, DataTypeError, UnknownColumnError
            Formula, groups and columns do not fit together.
        """
        from multilevel.model.lmer import lmer

        if self.formula is None and self.groups is None:
            if self.slopes is not None:
                raise ControlError("slopes vary over groups; give groups, or a formula.")
            return self._fit_without_groups(X, y)
        y = self._check(X, y)
        frame = self._frame(X)
        text = self._formula(frame)
        if RESPONSE in frame:
            raise DataError(f"A column of X is named {RESPONSE!r}, which stands for y here; rename it.")
        self.model_: LinearMixedModel | None = lmer(
            text, frame.assign(**{RESPONSE: y}), reml=self.reml, contrasts=self.contrasts, control=self.control
        )
        fixed = self.model_.fixef
        self.intercept_ = float(fixed.get("(Intercept)", 0.0))
        self.coef_ = fixed.drop("(Intercept)", errors="ignore").to_numpy(dtype=np.float64)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict the response.

        Parameters
        ----------
        X : array_like or data frame
            The same columns as in `fit`.

        Returns
        -------
        ndarray
            Predictions, shape (n,).
        """
        check_is_fitted(self, "coef_")
        if self.model_ is None:
            X = validate_data(self, X, reset=False, dtype=np.float64)
            return np.asarray(X @ self.coef_ + self.intercept_, dtype=np.float64)
        validate_data(self, X, reset=False, skip_check_array=True)
        found = self.model_.predict(self._frame(X), re_formula=self.re_formula, allow_new_levels=True)
        return np.asarray(found, dtype=np.float64)

    def _fit_without_groups(self, X: Any, y: Any) -> Self:
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        middle = X.mean(axis=0)
        self.model_ = None
        self.coef_ = np.linalg.lstsq(X - middle, y - y.mean(), rcond=None)[0]
        self.intercept_ = float(y.mean() - middle @ self.coef_)
        return self

    def _check(self, X: Any, y: Any) -> FloatArray:
        """Note the names and the number of the columns, and return the response as numbers."""
        if y is None:
            raise DataError("MixedModelRegressor requires y to be passed, but the target y is None.")
        validate_data(self, X, y, skip_check_array=True)
        values = np.asarray(y, dtype=np.float64)
        if values.ndim != 1 or len(values) != len(X):
            raise DataError(f"y has the shape {values.shape} and X {len(X)} rows; they must match.")
        return values

    def _frame(self, X: Any) -> pd.DataFrame:
        """Return X as a data frame; its columns are named by position where there is no formula."""
        import pandas as pd

        from multilevel.export.augment import as_pandas

        if self.formula is not None:
            if isinstance(X, np.ndarray | list):
                raise DataTypeError("With a formula, X must be a data frame: its columns are known by their names.")
            return as_pandas(X)
        frame = pd.DataFrame(X) if isinstance(X, np.ndarray | list) else as_pandas(X)
        return frame.set_axis([f"x{j}" for j in range(frame.shape[1])], axis=1)

    def _formula(self, frame: pd.DataFrame) -> str:
        """Return the formula with y on its left."""
        if self.formula is not None:
            parsed = parse_formula(self.formula)
            right = str(parsed).split("~", 1)[1]
            if parsed.has_dot:
                right = str(parsed.expand_dot([str(name) for name in frame.columns])).split("~", 1)[1]
            return f"{RESPONSE} ~ {right}"
        groups = self.groups if isinstance(self.groups, list | tuple) else [self.groups]
        own = [self._place(group, "groups") for group in groups if group is not None]
        slopes = [self._place(slope, "slopes") for slope in self.slopes or []]
        fixed = [f"x{j}" for j in range(frame.shape[1]) if j not in own]
        bars = [f"({' + '.join(['1', *(f'x{j}' for j in slopes)])} | x{own[0]})", *(f"(1 | x{j})" for j in own[1:])]
        return f"{RESPONSE} ~ {' + '.join(['1', *fixed, *bars])}"

    def _place(self, column: Column, what: str) -> int:
        """Return the position of a column that is given by name or position."""
        if isinstance(column, str):
            names = [str(name) for name in getattr(self, "feature_names_in_", [])]
            if column not in names:
                raise UnknownColumnError(f"{what} names {column!r}, which is no column of X.")
            return names.index(column)
        place = int(column)
        if not -self.n_features_in_ <= place < self.n_features_in_:
            raise UnknownColumnError(f"{what} names column {place}, and X has {self.n_features_in_} columns.")
        return int(place % self.n_features_in_)
