"""Options of the optimisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, TypeAlias

from multilevel.argument_rules import Later, Spellings
from multilevel.arguments import Count, Positive, checked_fields
from multilevel.errors import ControlError, DataTypeError

Check: TypeAlias = Literal["error", "ignore"]
OptimizerName: TypeAlias = Annotated[
    Literal[
        "newton", "nelder-mead", "powell", "l-bfgs-b", "tnc", "slsqp", "bobyqa", "nlopt-nelder-mead", "nlopt-cobyla",
        "nlopt-lbfgs",
    ],
    Spellings(
        {
            "nloptwrap": "bobyqa", "NLOPT_LN_BOBYQA": "bobyqa", "LN_BOBYQA": "bobyqa", "nmkbw": "nelder-mead",
            "NLOPT_LN_NELDERMEAD": "nlopt-nelder-mead", "LN_NELDERMEAD": "nlopt-nelder-mead",
            "NLOPT_LN_COBYLA": "nlopt-cobyla", "LN_COBYLA": "nlopt-cobyla", "NLOPT_LD_LBFGS": "nlopt-lbfgs",
            "LD_LBFGS": "nlopt-lbfgs", "lbfgs": "l-bfgs-b",
        }
    ),
]  # fmt: skip
"""Optimisers, by the names that they have here and, as other spellings, in lme4, nlopt and statsmodels."""
Start: TypeAlias = Annotated[tuple[float, ...] | None, Later()]

SCIPY_METHODS = {
    "nelder-mead": "Nelder-Mead",
    "powell": "Powell",
    "l-bfgs-b": "L-BFGS-B",
    "tnc": "TNC",
    "slsqp": "SLSQP",
}
"""Optimisers of `scipy.optimize.minimize` that keep bounds, by the names accepted here."""

NLOPT_METHODS = {
    "bobyqa": "LN_BOBYQA",
    "nlopt-nelder-mead": "LN_NELDERMEAD",
    "nlopt-cobyla": "LN_COBYLA",
    "nlopt-lbfgs": "LD_LBFGS",
}
"""Optimisers of the nlopt package, by the names accepted here."""


@checked_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class LmerControl:
    """Options of `lmer`: the optimiser and which checks of the data to make.

    Parameters
    ----------
    optimizer : str, default "newton"
        ``"newton"`` is the trust-region Newton method on the exact derivatives. ``"bobyqa"``, ``"nlopt-nelder-mead"``,
            ``"nlopt-cobyla"`` and ``"nlopt-lbfgs"`` come from nlopt, ``"nelder-mead"``, ``"powell"``, ``"l-bfgs-b"``, ``"tnc"`` and
        ``"slsqp"`` from SciPy. lme4's names are taken too: ``"nloptwrap"`` (BOBYQA), ``"Nelder_Mead"``, ``"nmkbw"``. Whichever is
        used, the fit is certified by the exact gradient at its end, and a fit that ends with a variance of zero is searched for
        again, by Newton's method from elsewhere: the lowest end is kept.
        max_evaluations : int, default 10000
        The most evaluations of the criterion. A search by Newton's method that is not at its end after 300 gives up.
    tolerance : float, default 1e-10
        Newton's method ends when a further step would lower the criterion by less than this.
    optimizer_options : mapping, optional
        Further options handed to the library's optimiser as they are.
    start : sequence of float, optional
        Starting values for theta, in lme4's order and the user's columns.
    threads : int, optional
        Threads of the linear algebra on what crossed factors leave dense; by default one below 4,000 rows of it and all above.
    check_levels_against_rows : {"error", "ignore"}, default "error"
        What to do when a grouping factor has as many levels as there are rows.
    check_effects_against_rows : {"error", "ignore"}, default "error"
        What to do when a term has at least as many random effects as there are rows.

    Raises
    ------
    ControlError
        An option has a value that is not one of its choices.

    Examples
    --------
    >>> from multilevel import LmerControl
    >>> LmerControl(optimizer="nelder-mead").optimizer
    'nelder-mead'
    """

    optimizer: OptimizerName = "newton"
    max_evaluations: Count = 10_000
    tolerance: Positive = 1e-10
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    start: Start = None
    threads: Count | None = None
    check_levels_against_rows: Check = "error"
    check_effects_against_rows: Check = "error"

    def __post_init__(self) -> None:
        """Take the values as they are kept."""
        object.__setattr__(self, "optimizer_options", dict(self.optimizer_options))
        if self.start is not None:
            object.__setattr__(self, "start", _numbers(self.start))


Control: TypeAlias = LmerControl | Mapping[str, Any] | str | None
"""What stands for options: the options, a mapping of some of them, or an optimiser's name."""


def as_control(given: Control) -> LmerControl:
    """Return options as `LmerControl`.

    Raises
    ------
    ControlError
        There is no such option, or it has a value that is not one of its choices.
    """
    if isinstance(given, LmerControl):
        return given
    if isinstance(given, str):
        return LmerControl(optimizer=given)  # type: ignore[arg-type]
    options = dict(given or {})
    names = [field.name for field in fields(LmerControl)]
    for name in options:
        if name not in names:
            raise ControlError(f"control has no option {name!r}; LmerControl has {', '.join(names)}.")
    return LmerControl(**options)


def _numbers(values: Any) -> tuple[float, ...]:
    """Return starting values as numbers; whether they can start a search is for the fit to say."""
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise DataTypeError("start must be a list of numbers, one for each element of theta.") from None


def check_start(start: tuple[float, ...], count: int) -> None:
    """Refuse starting values that no search can begin with.

    Raises
    ------
    ControlError
        There is not one for each element of theta, or some are not finite.
    """
    if len(start) != count:
        raise ControlError(f"start has {len(start)} values and theta has {count}: give one for each.")
    if not all(math.isfinite(value) for value in start):
        raise ControlError(f"start holds {', '.join(map(str, start))}; starting values must be finite.")
