"""A design of multilevel data stated in full: levels, predictors, effects and variances, from which data are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from multilevel.arguments import Count, DdfName, Level, Reml, Seed, checked_fields, checked_methods
from multilevel.data.caller import warn_caller
from multilevel.data.frames import unknown_column
from multilevel.engine.control import Control, as_control
from multilevel.errors import ControlError, DataTypeError, FormulaError, FormulaWarning, UnknownColumnError
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.formula.syntax import Name
from multilevel.simulation.drawing import Drawing, column_names
from multilevel.simulation.draws import as_draws
from multilevel.simulation.model_columns import check_bars, residual_sd
from multilevel.simulation.truth import Truth

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.simulation.r_random import RRandom
    from multilevel.simulation.study import Study

Recipe = str | float | Callable[[Any, "pd.DataFrame"], Any] | tuple[Callable[[Any, "pd.DataFrame"], Any], str]


@checked_fields
@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class DataDesign:
    """Multilevel data with known parameters: the levels, the predictors and the model, from which `draw` makes data.

    Parameters
    ----------
    formula : str
        The model that makes the response, with random-effects terms, as in `lmer`. The response is a plain name.
    levels : mapping
        The levels from the outermost to the rows, by name: how many units there are of the first, and how many in each unit of
        the one before for the others. A size is a number, a list with one number for each unit above, or text such as
        ``"poisson(20)"`` or ``"integers(5, 30)"`` that draws one for each. A level whose units are shared, such as items that all
        subjects see, is `Crossed`. Every level is a column of the data that numbers its units from 1.
    predictors : mapping
        The columns, drawn in the order listed, by name. Text is an expression as in formulas, with the functions listed below:
        ``"normal(5, 2)"`` draws a number for every row; ``"uniform(0, 5) | school"`` one for every school; ``"x > 0"`` and
        ``"log(price)"`` use columns made before; ``"mean(x) | school"`` is the mean of x over each school's rows. A tuple of names
        takes the columns of ``multivariate_normal``. A function is called with the random numbers and a data frame of the columns
        so far, and returns a value for each of its rows; ``(function, "school")`` for each school.
    fixed : mapping or sequence
        The fixed effects by the names that a fit has for them, such as ``"(Intercept)"``, ``"x"``, ``"armtherapy"``, ``"x:arm2"``;
        those not named are zero. Or all of them in the order of the columns of X.
    random : mapping
        By grouping factor (or by term, ``"1 + x | school"``, where several share one) the standard deviation, a list of them, one
        for each column of the term, ``{"sd": [4, 1], "corr": 0.3}``, ``{"cov": matrix}``, or the variance components of a fit.
        Correlations are one number for all, a matrix, or the lower triangle column by column.
    sigma : float or str
        The residual standard deviation: a number, or an expression that gives one for each row, such as
        ``"ifelse(arm == 'therapy', 10, 8)"``.
    missing : mapping, optional
        Values to take out, by column: a share, or an expression for the probability in each row, such as
        ``"plogis(-2 + 0.5 * x)"``. They are taken out after the response is made.
    contrasts : mapping, optional
        How factors are coded, as in `lmer`: it says what the fixed effects mean.
    weights : str, optional
        A column of prior weights: the residual variance of a row is σ² divided by its weight.

    Raises
    ------
    FormulaError, UnknownColumnError, ControlError, DataError, DataTypeError
        Something in the design has no meaning; the message says what and where. What depends on the data drawn, such as the names
        of the coefficients, is checked by `draw`.

    Notes
    -----
    Random functions: ``uniform(low, high)``, ``normal(mean, sd)``, ``lognormal(mean, sd)``, ``binomial(size, prob)``,
    ``poisson(mean)``, ``exponential(rate)``, ``gamma(shape, rate)``, ``beta(shape1, shape2)``, ``t(df)``, ``chisq(df)``, whose
    parameters may be columns; ``integers(low, high)``, both ends included; ``sample(values, prob)``; ``balanced(values)``, which
    assigns the values to the units at random and equally often (``balanced(values, within = school)`` in each school);
    ``multivariate_normal(mean, sd, corr)``. Others: ``cycle(values)`` repeats the values within each unit of the level above (or
    ``within`` another), ``index()`` counts there from 1, ``plogis(x)`` is 1/(1 + exp(−x)), and ``effect(school)`` or
    ``effect(school, x)`` is the random intercept or slope itself. Text values make a factor with its levels in the order listed.

    The order of draws is that of R scripts: the sizes of the levels; the predictors in the order listed; the random effects that
    no ``effect()`` asked for before, term by term, all values of a column before those of the next; the residuals; what is missing.
    With an `RRandom` the numbers are those of R's ``rnorm``, ``rbinom``, ``sample`` and so on.

    Examples
    --------
    Pupils in classes in schools, the schools assigned to two arms:

    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "score ~ arm * ses + (1 + ses | school) + (1 | class)",
    ...     levels={"school": 40, "class": "integers(2, 4)", "pupil": "poisson(20)"},
    ...     predictors={
    ...         "arm": "balanced(c('control', 'therapy')) | school",
    ...         "ses": "normal(0, 1)",
    ...         "school_ses": "mean(ses) | school",
    ...     },
    ...     fixed={"(Intercept)": 100, "armtherapy": 5, "ses": 4, "armtherapy:ses": -1},
    ...     random={"school": {"sd": [6, 1.5], "corr": -0.2}, "class": 3},
    ...     sigma=12,
    ...     missing={"ses": 0.05},
    ... )
    >>> frame, truth = design.draw(rng=1)
    >>> frame.columns.tolist()
    ['school', 'class', 'pupil', 'arm', 'ses', 'school_ses', 'score']
    >>> frame.groupby("school").arm.first().value_counts().to_dict()
    {'control': 20, 'therapy': 20}
    >>> truth.fixef.to_dict()
    {'(Intercept)': 100.0, 'armtherapy': 5.0, 'ses': 4.0, 'armtherapy:ses': -1.0}
    """

    formula: str | Formula
    _: KW_ONLY
    levels: Mapping[str, Any]
    fixed: Any
    random: Any
    sigma: float | str
    predictors: Mapping[str | tuple[str, ...], Recipe] = field(default_factory=dict)
    missing: Mapping[str, float | str] = field(default_factory=dict)
    contrasts: Mapping[str, Any] | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked before anything is drawn."""
        formula = parse_formula(self.formula)
        object.__setattr__(self, "formula", formula)
        if not isinstance(formula.response_node, Name):
            raise FormulaError(f"The response of '{formula}' must be the name of a column, as in 'y ~ x + (1 | g)'.")
        check_bars(formula, "a design")
        for hint in formula.hints:
            warn_caller(hint, FormulaWarning)
        for name in ("levels", "predictors", "missing"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise DataTypeError(f"{name} must be a mapping from names, not {type(value).__name__}.")
            object.__setattr__(self, name, MappingProxyType(dict(value)))
        if self.weights is not None and not isinstance(self.weights, str):
            raise DataTypeError(f"weights must be the name of a column, not {type(self.weights).__name__}.")
        if not self.levels:
            raise ControlError("levels is empty; name the levels, as in levels={'school': 30, 'pupil': 20}.")
        names = [
            *self.levels,
            *(name for names in self.predictors for name in column_names(names)),
            formula.response_node.id,
        ]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ControlError(f"The name {twice[0]!r} stands for more than one column of the design.")
        for target in self.missing:
            if target not in names:
                raise UnknownColumnError(unknown_column(target, names, "missing: the design has no column named"))
        if not isinstance(self.sigma, str):
            residual_sd(self.sigma)

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles: a mapping proxy does not."""
        return {key: dict(value) if isinstance(value, MappingProxyType) else value for key, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore."""
        for key, value in state.items():
            frozen = key in ("levels", "predictors", "missing")
            object.__setattr__(self, key, MappingProxyType(value) if frozen else value)

    def __repr__(self) -> str:
        """Return the parts of the design, one to a line."""
        lines = [f"Design of multilevel data: {self.formula}"]
        for name in ("levels", "predictors", "fixed", "random", "sigma", "missing", "contrasts", "weights"):
            value = getattr(self, name)
            if isinstance(value, Mapping) and value:
                names = [", ".join(column_names(key)) for key in value]
                width = max(map(len, names))
                entries = [
                    f"    {key.ljust(width)}  {_shown(entry)}" for key, entry in zip(names, value.values(), strict=True)
                ]
                lines += [f"  {name}:", *entries]
            elif not isinstance(value, Mapping) and value is not None:
                lines.append(f"  {name}: {_shown(value)}")
        return "\n".join(lines)

    def replace(self, **changes: Any) -> DataDesign:
        """Return a design with some of its parts changed.

        Parameters
        ----------
        **changes
            New values of the arguments. Mappings (``levels``, ``predictors``, ``fixed``, ``random``, ``missing``) change or add
            what they name and leave the rest.

        Examples
        --------
        >>> import multilevel as ml
        >>> design = ml.DataDesign(
        ...     "y ~ x + (1 | school)",
        ...     levels={"school": 30, "pupil": 20},
        ...     predictors={"x": "normal(0, 1)"},
        ...     fixed={"(Intercept)": 50, "x": 3},
        ...     random={"school": 4},
        ...     sigma=8,
        ... )
        >>> larger = design.replace(levels={"school": 60}, fixed={"x": 2})
        >>> dict(larger.levels), dict(larger.fixed)
        ({'school': 60, 'pupil': 20}, {'(Intercept)': 50, 'x': 2})
        """
        merged: dict[str, Any] = {}
        for name, value in changes.items():
            old: Any = getattr(self, name, None)
            merge = isinstance(value, Mapping) and isinstance(old, Mapping) and name != "contrasts"
            merged[name] = {**old, **value} if merge else value
        try:
            return replace(self, **merged)
        except TypeError:
            unknown = [name for name in changes if name not in self.__dataclass_fields__]
            raise ControlError(
                f"A design has no part {unknown[0]!r}; it has {', '.join(self.__dataclass_fields__)}."
            ) from None

    def draw(self, rng: Seed | RRandom = None) -> tuple[pd.DataFrame, Truth]:
        """Draw data.

        Parameters
        ----------
        rng : int, SeedSequence, Generator or RRandom, optional
            Where the random numbers come from.

        Returns
        -------
        frame : pandas.DataFrame
            The levels, the predictors and the response.
        truth : Truth
            What they were made with, the random effects among it.
        """
        import pandas as pd

        drawing = Drawing(self, as_draws(rng))
        columns = drawing.run()
        return pd.DataFrame(columns, copy=False), drawing.truth()

    def study(
        self,
        n: Count = 1000,
        formula: str | Formula | None = None,
        *,
        level: Level = 0.95,
        ddf: DdfName = "satterthwaite",
        rng: Seed | RRandom = None,
        threads: Count | None = None,
        progress: bool = False,
        reml: Reml = True,
        control: Control = None,
    ) -> Study:
        """Draw and fit many data sets; `recover` says what the estimates amount to.

        Parameters
        ----------
        n : int
            How many.
        formula : str, optional
            The model that is fitted, whole or as a change (``". ~ . - ses"``); by default the design's own.
        level : float
            Confidence level of the intervals (see `recover`).
        ddf : str
            The degrees of freedom of the fixed effects' intervals.
        rng : int, SeedSequence, Generator or RRandom, optional
            Where the random numbers come from. The result does not depend on the number of threads.
        threads : int, optional
            Threads to share the replicates among; by default one for each processor.
        progress : bool
            Whether to show a progress bar.
        reml : bool
            Whether fits are by REML.
        control : LmerControl, optional
            The optimiser and its options.

        Returns
        -------
        Study
            Estimates, standard errors and intervals of all parameters, a row for each replicate.
        """
        from multilevel.simulation.study import run_study

        return run_study(
            self,
            n,
            formula,
            level=level,
            ddf=ddf,
            rng=rng,
            threads=threads,
            progress=progress,
            reml=reml,
            control=as_control(control),
        )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return " ".join(str(value).split())
