"""Responses drawn from a fit, for its own rows and for new data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from multilevel.arguments import Seed
from multilevel.data.factors import combine
from multilevel.data.frames import Frame
from multilevel.errors import ControlError
from multilevel.formula.evaluate import Evaluator
from multilevel.model.prediction import new_error_scale, point_predictions
from multilevel.model.prediction_rows import PredictionRows, new_rows, training_rows
from multilevel.model.random_selection import BoolArray, chosen_names, select_random
from multilevel.model.residual_structure import refuse_structures
from multilevel.model.simulation import (
    FloatArray,
    GaussianSource,
    IntArray,
    TermRows,
    batch_size,
    gaussian_source,
)

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel
    from multilevel.simulation.r_random import RRandom


def simulate(
    fit: LinearMixedModel,
    n: int = 1,
    newdata: Any = None,
    *,
    rng: Seed | RRandom = None,
    conditional: bool = False,
    re_formula: Any = None,
    allow_new_levels: bool = False,
    offset: Any = None,
    weights: Any = None,
) -> FloatArray:
    """Draw responses from a fitted model.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    n : int
        How many responses.
    newdata : data frame, optional
        The rows to draw responses for; by default those that the fit used.
    rng : int, SeedSequence, Generator or RRandom, optional
        Where the random numbers come from. With the same seed, the first of many are the same as those of few. An `RRandom` gives
        the stream of R's ``simulate(fit, n, seed = …)``: all random effects first, then all residuals.
    conditional : bool
        False: every response has new random effects. True: the conditional modes are in all of them.
    re_formula : str, Formula or bool, optional
        The random-effects terms to condition on, in the place of `conditional`: whole terms of the model (lme4's ``re.form``); the
        others are drawn.
    allow_new_levels : bool
        Whether grouping factors of new data may have levels that the fit does not know; their effects are drawn.
    offset, weights
        Those of new data (see `LinearMixedModel.predict`).

    Returns
    -------
    ndarray
        Shape (n, rows): a response in each row, with the offset in it; NaN for rows of new data that lack a value.

    Raises
    ------
    ControlError
        The number is negative, or a term is to be conditioned on in part.

    Notes
    -----
    The residual variance of a row is σ²/w. (lme4 1.1-31 leaves the weights out of simulated residuals.)

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> fit.simulate(3, rng=1).shape
    (3, 180)
    """
    if not isinstance(n, int | np.integer) or n < 0:
        raise ControlError(f"The number of responses to simulate must be a whole number of at least 0; it is {n!r}.")
    if conditional and re_formula is not None:
        raise ControlError("Give conditional or re_formula, not both.")
    kept = select_random(fit, conditional if re_formula is None else re_formula)
    partly = [mask for mask in kept if mask.any() and not mask.all()]
    if partly:
        raise ControlError(
            f"Responses can be conditioned on whole random-effects terms only; re_formula has {chosen_names(fit, kept)}, and the"
            f" model {chosen_names(fit, tuple(np.ones_like(mask) for mask in kept))}."
        )
    if newdata is None:
        if offset is not None or weights is not None:
            raise ControlError("offset and weights are those of new data; the rows of the fit have their own.")
        source = _own_source(fit, kept)
        missing = None
    else:
        source, missing = _new_source(fit, Frame(newdata), kept, allow_new_levels, offset, weights)
    from multilevel.simulation.r_random import RRandom

    result = np.empty((n, source.mean.size))
    if isinstance(rng, RRandom):
        held = source.numbers_per_response - source.mean.size
        effects = rng.normal(n * held).reshape(n, held)
        result[:] = source.responses(np.hstack([effects, rng.normal(result.size).reshape(result.shape)]))
    else:
        generator = np.random.default_rng(rng)
        step = batch_size(source)
        for first in range(0, n, step):
            result[first : first + step] = source.draw(generator, min(step, n - first))
    if missing is not None:
        result[:, missing] = np.nan
    return result


def _own_source(fit: LinearMixedModel, kept: tuple[BoolArray, ...]) -> GaussianSource:
    """Return the distribution of responses in the rows of a fit, some of its terms held at their modes."""
    whole = [bool(mask.all()) for mask in kept]
    if all(whole) or not any(whole):
        return gaussian_source(fit, conditional=all(whole))
    free = gaussian_source(fit)
    terms = tuple(part for part, held in zip(free.terms, whole, strict=True) if not held)
    return GaussianSource(point_predictions(fit, training_rows(fit, kept)), free.error, terms, free.correlate)


def _new_source(
    fit: LinearMixedModel, frame: Frame, kept: tuple[BoolArray, ...], allow_new_levels: bool, offset: Any, weights: Any
) -> tuple[GaussianSource, BoolArray | None]:
    """Return the distribution of responses for new data, and which of its rows have none."""
    residual = fit._design.residual
    if residual is not None and residual.kind is not None:
        raise ControlError(
            "Responses for new data cannot be simulated from a model with correlated residuals; those of its own rows can."
        )
    refuse_structures(fit, "Simulating responses for new data", residual=False)
    everything = tuple(np.ones_like(mask) for mask in kept)
    rows = new_rows(fit, frame, everything, allow_new_levels=allow_new_levels, offset=offset)
    factors = fit._engine.term_factors()
    held, terms = [], []
    groups: dict[str, tuple[IntArray, int]] = {}
    encoder = fit._design.encoder
    assert encoder is not None  # new rows have been made with it
    evaluator = Evaluator(frame, encoder.state)
    for part, new, mask in zip(rows.effects, rows.new, kept, strict=True):
        z, places = np.asfortranarray(part.z), np.arange(part.z.shape[1])
        factor = fit.sigma * factors[part.term]
        if mask.all():
            held.append(part)
            if new is not None:
                # Rows without a new level share one more, whose effects meet zeros.
                z = np.where(new[:, None] < 0, 0.0, z)
                count = int(new.max()) + 1
                terms.append((TermRows(np.asfortranarray(z), np.where(new < 0, count, new), places, count + 1), factor))
            continue
        name = fit._terms[part.term].factor.name
        if name not in groups:
            levels = combine([evaluator.factor(member) for member in encoder.groups[name].members]).drop_unused()
            # A row without a level has effects of its own.
            codes, absent = levels.codes.copy(), levels.codes < 0
            codes[absent] = levels.n_levels + np.arange(np.count_nonzero(absent))
            groups[name] = codes, max(int(codes.max()) + 1, 1)
        terms.append((TermRows(z, groups[name][0], places, groups[name][1]), factor))
    conditioned = PredictionRows(rows.x, tuple(held), (None,) * len(held), rows.offset, None, rows.labels)
    error = fit.sigma * new_error_scale(fit, frame, weights)
    return GaussianSource(point_predictions(fit, conditioned), error, tuple(terms)), rows.unknown
