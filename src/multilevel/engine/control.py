"""Options of the optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from multilevel.errors import ControlError

Check = Literal["error", "ignore"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LmerControl:
    """Options of `lmer`: the optimiser and which checks of the data to make.

    Parameters
    ----------
    optimizer : str, default "newton"
        ``"newton"`` is the trust-region Newton method on the exact derivatives. ``"bobyqa"``, ``"nlopt-nelder-mead"``,
        ``"nlopt-cobyla"`` and ``"nlopt-lbfgs"`` come from the nlopt package (``pip install multilevel[optimizers]``);
        ``"nelder-mead"``, ``"powell"``, ``"l-bfgs-b"``, ``"tnc"`` and ``"slsqp"`` from SciPy. Whichever is used, the fit is
        certified by the exact gradient at its end, and a fit that ends with a variance of zero is searched for again, by
        Newton's method from elsewhere: the lowest end is kept.
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

    optimizer: str = "newton"
    max_evaluations: int = 10_000
    tolerance: float = 1e-10
    optimizer_options: MappingProxyType[str, Any] | dict[str, Any] = field(default_factory=dict)
    start: tuple[float, ...] | None = None
    threads: int | None = None
    check_levels_against_rows: Check = "error"
    check_effects_against_rows: Check = "error"

    def __post_init__(self) -> None:
        """Check the options."""
        known = ["newton", *SCIPY_METHODS, *NLOPT_METHODS]
        if self.optimizer not in known:
            raise ControlError(f"The optimizer {self.optimizer!r} is unknown; choose one of {', '.join(known)}.")
        if self.max_evaluations < 1:
            raise ControlError(f"max_evaluations must be at least 1, not {self.max_evaluations}.")
        if self.threads is not None and self.threads < 1:
            raise ControlError(f"threads must be at least 1, not {self.threads}.")
        if not self.tolerance > 0:
            raise ControlError(f"tolerance must be positive, not {self.tolerance}.")
        for name in ("check_levels_against_rows", "check_effects_against_rows"):
            if getattr(self, name) not in ("error", "ignore"):
                raise ControlError(f"{name} must be 'error' or 'ignore', not {getattr(self, name)!r}.")
        if self.start is not None:
            object.__setattr__(self, "start", tuple(float(value) for value in self.start))
        object.__setattr__(self, "optimizer_options", dict(self.optimizer_options))
