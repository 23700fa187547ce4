"""`simulate`: responses of a mixed model stated by a formula, its parameters and the data of its predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import NumberOf, Seed, checked
from multilevel.data.frames import Frame, column_from_values, unknown_column
from multilevel.engine.structures import STRUCTURE_NAMES, structure_of
from multilevel.errors import ControlError, DataError, DataTypeError, UnknownColumnError
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.model.simulation import GaussianSource, TermRows, batch_size
from multilevel.model.variance_components import VarianceComponents
from multilevel.simulation.covariances import TermNames, term_factors, term_labels
from multilevel.simulation.draws import as_draws
from multilevel.simulation.model_columns import ModelColumns, check_bars, fixed_vector, model_columns, residual_sd

if TYPE_CHECKING:
    from multilevel.simulation.r_random import RRandom

FloatArray = npt.NDArray[np.float64]


@checked
def simulate(
    formula: str | Formula,
    data: Any,
    *,
    beta: Any,
    sigma: float,
    theta: Any = None,
    sd: Any = None,
    cov: Any = None,
    n: NumberOf = 1,
    rng: Seed | RRandom = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
) -> FloatArray:
    """Draw responses of a linear mixed model from its parameters and the data of its predictors, without a fit.

    Parameters
    ----------
    formula : str or Formula
        The model, as in `lmer`; a response in it is not used, ``"~ x + (x | g)"`` will do.
    data : data frame
        The predictors and grouping factors.
    beta : mapping or sequence
        The fixed effects by name, those not named being zero; or all of them in the order of the columns of X.
    sigma : float
        The residual standard deviation.
    theta : mapping or sequence, optional
        The covariance parameters relative to σ, by the names of ``fit.theta`` or in its order.
    sd : mapping or number or sequence, optional
        Instead of `theta`, by grouping factor (or by term, ``"x | g"``) the standard deviation of each column of the term, as in
        `DataDesign`: a number, a list, or ``{"sd": [4, 1], "corr": 0.3}``. A model with one term needs no mapping.
    cov : mapping or array_like or VarianceComponents, optional
        Instead of `theta`, by grouping factor or term the covariance matrix; or the variance components of a fit
        (``fit.varcorr()``). A model with one term needs no mapping.
    n : int
        How many responses.
    rng : int, SeedSequence, Generator or RRandom, optional
        Where the random numbers come from. With the same seed, the first of many are the same as those of few.
    weights : str or array_like, optional
        Prior weights: the residual variance of a row is σ² divided by its weight.
    offset : str or array_like, optional
        A known part of the linear predictor.
    contrasts : mapping, optional
        How factors are coded, as in `lmer`.

    Returns
    -------
    ndarray
        Shape (rows,) for ``n=1``, otherwise (n, rows): one value for every row of the data, in their order. It is NaN where a
        predictor, a grouping factor, the weight or the offset is missing.

    Raises
    ------
    ControlError
        A coefficient or a random-effects term has no such name, or not exactly one of `theta`, `sd` and `cov` is given.
    FormulaError, UnknownColumnError, DataError, DataTypeError
        The formula, the data or the numbers cannot be used.

    Notes
    -----
    The numbers are drawn as lme4's ``simulate`` draws them: the random effects, terms in the order of theta, level after level, and
    then the residuals. With the parameters of a fit and the same seed they are those of ``fit.simulate``; with an `RRandom` and
    ``n=1`` those of R.

    Examples
    --------
    >>> import multilevel as ml
    >>> sleep = ml.load_dataset("sleepstudy")
    >>> y = ml.simulate(
    ...     "~ Days + (Days | Subject)",
    ...     sleep,
    ...     beta={"(Intercept)": 250, "Days": 10},
    ...     sd={"Subject": {"sd": [25, 6], "corr": 0.1}},
    ...     sigma=25,
    ...     rng=1,
    ... )
    >>> fit = ml.lmer("y ~ Days + (Days | Subject)", sleep.assign(y=y))
    >>> fit.fixef.round(1).to_dict()
    {'(Intercept)': 246.0, 'Days': 11.0}
    """
    if n < 0:
        raise ControlError(f"The number of responses to simulate must not be negative; it is {n}.")
    formula = parse_formula(formula)
    check_bars(formula, "simulate")
    frame = Frame(data)
    if frame.n_rows == 0:
        raise DataError("The data have no rows.")
    if formula.has_dot:
        formula = formula.expand_dot(frame.columns, exclude=[name for name in (weights, offset) if type(name) is str])
    model = model_columns(formula, frame, contrasts)
    sigma = residual_sd(sigma)
    mean = model.fixed_part(fixed_vector(beta, model.fixed_names))
    if offset is not None:
        mean += _per_row(frame, offset, "offset")
    error = np.full(frame.n_rows, sigma)
    if weights is not None:
        prior = _per_row(frame, weights, "weights")
        if (prior <= 0).any():
            raise DataError(f"The weights must be positive; {int((prior <= 0).sum())} are not.")
        error /= np.sqrt(prior)
    factors = _factors(model, theta, sd, cov, sigma)
    return _drawn(model, mean, error, factors, n, as_draws(rng))


def _drawn(
    model: ModelColumns, mean: FloatArray, error: FloatArray, factors: list[FloatArray], n: int, draws: Any
) -> FloatArray:
    """Draw the rows that lack nothing, and put them in their places."""
    columns = np.empty((model.n_rows, sum(len(term.names) for term in model.terms)), order="F")
    for j, column in enumerate(column for term in model.random for column in term):
        model.fill(column, columns[:, j])
    kept = np.isfinite(mean) & np.isfinite(error) & np.isfinite(columns).all(axis=1)
    for factor in model.groups.values():
        kept &= factor.codes >= 0
    whole = bool(kept.all())
    if not whole:
        columns, mean, error = np.asfortranarray(columns[kept]), mean[kept], error[kept]
    first = np.cumsum([0, *(len(term.names) for term in model.terms)])
    rows = []
    for t in model.by_levels():
        group = model.groups[model.terms[t].group]
        codes = group.codes if whole else group.codes[kept]
        places = np.arange(first[t], first[t + 1], dtype=np.int64)
        rows.append((TermRows(columns, np.ascontiguousarray(codes), places, group.n_levels), factors[t]))
    source = GaussianSource(mean, error, tuple(rows))
    result = np.full((n, model.n_rows), np.nan)
    step = batch_size(source)
    generator = draws.source if isinstance(draws.source, np.random.Generator) else draws
    if generator is draws:
        # Both have the one method that a source of responses calls, with the same arguments.
        step = 1
    for at in range(0, n, step):
        count = min(step, n - at)
        found = source.draw(generator, count)
        if whole:
            result[at : at + count] = found
        else:
            result[at : at + count, kept] = found
    return result[0] if n == 1 else result


def _per_row(frame: Frame, values: Any, what: str) -> FloatArray:
    """Return weights or an offset, one number for each row."""
    if isinstance(values, str):
        if values not in frame:
            raise UnknownColumnError(unknown_column(values, frame.columns, f"The data have no column for {what} named"))
        column = frame.column(values)
    else:
        if not hasattr(values, "__len__") or len(values) != frame.n_rows:
            raise DataError(f"{what} must be the name of a column or one number for each of the {frame.n_rows} rows.")
        column = column_from_values(what, values)
    return np.asarray(column.as_numbers(), dtype=np.float64)


def _factors(model: ModelColumns, theta: Any, sd: Any, cov: Any, sigma: float) -> list[FloatArray]:
    """Return the factor of each term's covariance matrix, in the order of the formula."""
    if sum(given is not None for given in (theta, sd, cov)) != 1:
        raise ControlError(
            "Give one of theta (relative to sigma), sd (standard deviations) and cov (covariance matrices) for the random effects."
        )
    if cov is not None:
        return term_factors(model.terms, cov if isinstance(cov, VarianceComponents) else _matrices(model.terms, cov))
    if sd is not None:
        whole = not isinstance(sd, Mapping) or "sd" in sd
        return term_factors(model.terms, {_only_term(model.terms, "sd"): sd} if whole else sd)
    order = model.by_levels()
    parts = theta_factors([model.terms[t] for t in order], theta)
    found = dict(zip(order, parts, strict=True))
    return [sigma * found[t] for t in range(len(order))]


def _only_term(terms: Sequence[TermNames], what: str) -> str:
    """Return the one term of a model, for values that are given without a name."""
    if len(terms) != 1:
        raise ControlError(
            f"The model has several random-effects terms; give {what} as a mapping from their grouping factors."
        )
    return terms[0].group


def _matrices(terms: Sequence[TermNames], cov: Any) -> dict[str, Any]:
    """Return covariance matrices by term in the words of `DataDesign`."""
    given = cov if isinstance(cov, Mapping) else {_only_term(terms, "cov"): cov}
    return {name: {"cov": matrix} for name, matrix in given.items()}


def theta_factors(terms: Sequence[TermNames], theta: Any) -> list[FloatArray]:
    """Return the relative factor of each term, the terms in the order of theta."""
    structures = [structure_of(term.structure, len(term.names)) for term in terms]
    names = [
        name
        for term, label, structure in zip(terms, term_labels(terms), structures, strict=True)
        for name in structure.theta_names(term.names, label)
    ]
    if hasattr(theta, "to_dict") and not isinstance(theta, Mapping):
        theta = theta.to_dict()
    if isinstance(theta, Mapping):
        wrong = [name for name in theta if name not in names] or [name for name in names if name not in theta]
        if wrong:
            raise ControlError(f"theta must name {', '.join(names)}; {wrong[0]!r} does not match.")
        theta = [theta[name] for name in names]
    if not hasattr(theta, "__len__") or np.ndim(theta) != 1 or len(theta) != len(names):
        raise ControlError(f"theta must have {len(names)} values, for {', '.join(names)}.")
    try:
        values = np.asarray(theta, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError(f"theta must hold numbers, not {theta!r}.") from None
    if not np.isfinite(values).all():
        raise DataError("theta has values that are not finite.")
    found, at = [], 0
    for term, structure in zip(terms, structures, strict=True):
        own = values[at : at + structure.n_theta]
        with np.errstate(invalid="ignore"):
            parameters = structure.from_reported(own)
        if not np.allclose(structure.reported(parameters), own, rtol=1e-6, atol=1e-9):
            raise DataError(
                f"theta has values that no {STRUCTURE_NAMES.get(term.structure, term.structure)}({term.label}) has: standard"
                f" deviations must not be negative and correlations must go together; for this term it is {own.tolist()}."
            )
        found.append(structure.factor(parameters))
        at += structure.n_theta
    return found
