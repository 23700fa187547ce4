"""One draw of a design's data: levels, predictors, random effects, the response and what is missing of it."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor, combine
from multilevel.data.frames import Frame, unknown_column
from multilevel.data.labels import distinct
from multilevel.data.levels import Levels
from multilevel.errors import DataError, DataTypeError, FormulaError, UnknownColumnError
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.formula.syntax import parse_expression
from multilevel.formula.values import as_rows
from multilevel.simulation.covariances import TermNames, term_factors
from multilevel.simulation.draws import Draws
from multilevel.simulation.expressions import Columns, DrawEvaluator, as_columns, split_level
from multilevel.simulation.model_columns import ModelColumns, fixed_vector, model_columns, residual_sd
from multilevel.simulation.truth import Truth, effects_frame
from multilevel.simulation.units import Units

if TYPE_CHECKING:
    from multilevel.simulation.data_design import DataDesign

FloatArray = npt.NDArray[np.float64]


def column_names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the columns that an entry of the predictors makes."""
    return (names,) if isinstance(names, str) else tuple(names)


class Drawing:
    """One draw of a design's data.

    Parameters
    ----------
    design
        The design.
    draws
        The random numbers.
    """

    def __init__(self, design: DataDesign, draws: Draws) -> None:
        assert isinstance(design.formula, Formula)
        self.design, self.formula, self.draws = design, design.formula, draws
        self.columns = Columns(Units())
        self.terms: tuple[TermNames, ...] | None = None
        self.factors: list[FloatArray] = []
        self.effects: dict[int, FloatArray] = {}
        self.groups: dict[str, Factor] = {}
        self.n_missing: dict[str, int] = {}

    def run(self) -> dict[str, Any]:
        """Draw everything and return the columns by name."""
        units = self.columns.units
        for name, spec in self.design.levels.items():
            units.add(name, spec, self.draws, self._sizes)
        for names, recipe in self.design.predictors.items():
            self._make(column_names(names), recipe)
        model = self._model(self.formula)
        self._know_terms(model.terms)
        self.beta = fixed_vector(self.design.fixed, model.fixed_names)
        self.fixed_names = model.fixed_names
        response = model.fixed_part(self.beta)
        for t in range(len(model.terms)):
            model.add_random(t, self._term_effects(t), response)
        self.order = model.by_levels()
        if not np.isfinite(response).all():
            lacking = [name for name, values in self.columns.values.items() if _lacks(values)]
            raise DataError(
                f"The response is not finite in {int((~np.isfinite(response)).sum())} rows"
                + (
                    f": the predictors {', '.join(map(repr, lacking))} are missing or infinite there."
                    if lacking
                    else "."
                )
                + " Use missing= to take values out of the data."
            )
        self._add_residuals(response)
        data = {name: self.columns.at(name, None) for name in self.columns.names}
        data[self.response] = response
        self._take_out(data)
        return data

    @property
    def response(self) -> str:
        """The name of the response."""
        return str(self.formula.response)

    def truth(self) -> Truth:
        """Return what the data were made with."""
        import pandas as pd

        assert self.terms is not None
        terms = [self.terms[t] for t in self.order]
        found = {}
        for group in dict.fromkeys(term.group for term in terms):
            own = [t for t in self.order if self.terms[t].group == group]
            names = distinct([name for t in own for name in self.terms[t].names])
            values = np.column_stack([self.effects[t] for t in own])
            found[group] = effects_frame(names, values, self.groups[group].levels.labels(group))
        rule = self.design.sigma if isinstance(self.design.sigma, str) else ""
        return Truth(
            str(self.formula),
            pd.Series(self.beta, index=list(self.fixed_names), name="value"),
            self.sigma,
            rule,
            MappingProxyType(found),
            self.columns.units.n_rows,
            MappingProxyType(dict(self.n_missing)),
            tuple(terms),
            tuple(self.factors[t] for t in self.order),
        )

    # ---- columns ---------------------------------------------------------------------------------------------------------

    def _sizes(self, name: str, text: str, count: int) -> npt.NDArray[Any]:
        what = f"the size of the level {name!r}"
        found = DrawEvaluator(what, self.draws, count=count).value(parse_expression(text))
        return as_rows(found, count, what)

    def _evaluator(self, what: str, level: str | None) -> DrawEvaluator:
        return DrawEvaluator(what, self.draws, self.columns, level, self)

    def _make(self, names: tuple[str, ...], recipe: Any) -> None:
        what = f"the predictor {', '.join(names)!r}"
        if isinstance(recipe, str):
            node, level = split_level(recipe, self.columns.units.levels)
            value = self._evaluator(what, level).value(node)
            made = as_columns(value, self.columns.units.count_at(level), what)
        elif callable(recipe) or (isinstance(recipe, tuple) and len(recipe) == 2 and callable(recipe[0])):
            function, level = (recipe, None) if callable(recipe) else recipe
            made = self._call(what, function, level)
        elif isinstance(recipe, int | float):
            level = None
            made = [np.full(self.columns.units.n_rows, recipe)]
        else:
            raise DataTypeError(
                f"{what[0].upper()}{what[1:]} must be text such as 'normal(0, 1)', a function or a number, not "
                f"{type(recipe).__name__}."
            )
        if len(made) != len(names):
            raise DataError(f"{what[0].upper()}{what[1:]} has {len(made)} columns and {len(names)} names.")
        for name, values in zip(names, made, strict=True):
            self.columns.values[name] = values
            self.columns.levels[name] = level

    def _call(self, what: str, function: Callable[[Any, Any], Any], level: str | None) -> list[Any]:
        import pandas as pd

        units = self.columns.units
        if level is not None and level not in units.levels:
            raise UnknownColumnError(unknown_column(level, units.levels, f"For {what} there is no level named"))
        known = [name for name in self.columns.names if self.columns.known_at(name, level)]
        frame = pd.DataFrame({name: self.columns.at(name, level) for name in known})
        found = function(self.draws.source, frame)
        values = found if isinstance(found, pd.Categorical) else np.asarray(found)
        if values.ndim == 0 or len(values) != len(frame):
            raise DataError(
                f"The function for {what} returned {1 if values.ndim == 0 else len(values)} values; it must return {len(frame)}."
            )
        return [values] if values.ndim == 1 else [np.ascontiguousarray(column) for column in np.asarray(values).T]

    # ---- the model -------------------------------------------------------------------------------------------------------

    def _model(self, formula: Formula) -> ModelColumns:
        frame = Frame({name: self.columns.at(name, None) for name in self.columns.names})
        if formula.has_dot:
            raise FormulaError("The formula of a design must name its predictors; '.' has no data to stand for.")
        for bar in formula.plain_bars:
            self._group(bar.group)
        return model_columns(formula, frame, self.design.contrasts, self.groups)

    def _group(self, group: str) -> Factor:
        """Return a grouping factor in the rows: a level with all its units, or a combination of columns."""
        if group not in self.groups:
            units = self.columns.units
            if group in units.levels:
                count = units.levels[group].count
                self.groups[group] = Factor(units.codes[group].astype(np.int32), Levels(np.arange(1, count + 1)))
            else:
                bars = [bar for bar in self.formula.plain_bars if bar.group == group]
                names = [*self.columns.names]
                evaluator = Evaluator(Frame({name: self.columns.at(name, None) for name in names}))
                members = [evaluator.factor(node) for node in bars[0].group_variables]
                self.groups[group] = combine(members).drop_unused()
        return self.groups[group]

    def _know_terms(self, terms: tuple[TermNames, ...]) -> None:
        if self.terms is None:
            self.factors = term_factors(terms, self.design.random)
        self.terms = terms

    def _early_terms(self) -> tuple[TermNames, ...]:
        """Name the random terms before all columns are made, from those that the terms need."""
        if self.terms is None:
            frame = Frame({name: self.columns.at(name, None) for name in self.columns.names})
            right = " + ".join(f"({bar})" for bar in self.formula.plain_bars)
            self._know_terms(model_columns(parse_formula(f"~ {right}"), frame).terms)
        assert self.terms is not None
        return self.terms

    def _term_effects(self, t: int) -> FloatArray:
        """Return a term's random effects, drawn when first asked for: column by column."""
        assert self.terms is not None
        if t not in self.effects:
            factor = self.factors[t]
            levels = self._group(self.terms[t].group).n_levels
            spherical = [self.draws.normal(levels, 0.0, 1.0) for _ in self.terms[t].names]
            self.effects[t] = np.column_stack(spherical) @ factor.T
        return self.effects[t]

    def effect(self, group: str, column: str) -> FloatArray:
        """Return the random effects of a column, one for each level of the group."""
        terms = self._early_terms()
        for t, term in enumerate(terms):
            if term.group == group and column in term.names:
                return self._term_effects(t)[:, term.names.index(column)]
        known = ", ".join(
            f"effect({term.group})" if name == "(Intercept)" else f"effect({term.group}, {name})"
            for term in terms
            for name in term.names
        )
        raise UnknownColumnError(f"The formula has no random effect of {column!r} by {group!r}; it has {known}.")

    def codes(self, group: str, level: str | None) -> npt.NDArray[Any]:
        """Return, for each unit of a level or row, its position in the group."""
        if level is None:
            return self._group(group).codes
        above = self.columns.units.above(level)
        if group not in above:
            raise DataError(f"effect({group}) varies within {level!r}; leave out '| {level}'.")
        return above[group]

    def _add_residuals(self, response: FloatArray) -> None:
        n = len(response)
        given = self.design.sigma
        sd: Any
        if isinstance(given, str):
            found = self._evaluator("sigma", None).value(parse_expression(given))
            sd = as_rows(found, n, "sigma")
            if not (np.isfinite(sd) & (sd >= 0)).all():
                raise DataError(f"sigma, {given!r}, gives rows a standard deviation that is negative or not finite.")
            self.sigma = float(np.sqrt(np.mean(sd**2)))
        else:
            sd = self.sigma = residual_sd(given)
        if self.design.weights is not None:
            name = self.design.weights
            if name not in self.columns.names:
                raise UnknownColumnError(
                    unknown_column(name, self.columns.names, "The design has no column of weights")
                )
            weights = np.asarray(self.columns.at(name, None), dtype=np.float64)
            if not (weights > 0).all():
                raise DataError(f"The weights {name!r} must be positive; {int((~(weights > 0)).sum())} are not.")
            sd = sd / np.sqrt(weights)
        response += self.draws.normal(n, 0.0, sd)

    def _take_out(self, data: dict[str, Any]) -> None:
        """Make values missing; probabilities follow from the whole data."""
        import pandas as pd

        if not self.design.missing:
            return
        self.columns.values[self.response] = data[self.response]
        self.columns.levels[self.response] = None
        n = self.columns.units.n_rows
        gone = {}
        for name, given in self.design.missing.items():
            what = f"the probability that {name!r} is missing"
            if isinstance(given, str):
                share: Any = as_rows(self._evaluator(what, None).value(parse_expression(given)), n, what)
            else:
                share = float(given)
            if not (np.asarray(share) >= 0).all() or not (np.asarray(share) <= 1).all():
                raise DataError(f"{what[0].upper()}{what[1:]} must lie between 0 and 1.")
            gone[name] = self.draws.uniform(n, 0.0, 1.0) < share
        for name, rows in gone.items():
            values = data[name]
            if isinstance(values, pd.Categorical):
                codes = values.codes.copy()
                codes[rows] = -1
                data[name] = pd.Categorical.from_codes(codes, dtype=values.dtype)
            else:
                data[name] = np.where(rows, np.nan, values)
            self.n_missing[name] = int(rows.sum())


def _lacks(values: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(values).any()) or (values.dtype.kind == "f" and not bool(np.isfinite(values).all()))
