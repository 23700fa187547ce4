"""Draws of σ, the fixed effects and the random effects, given the data and the covariance parameters θ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.arguments import Count, Seed, checked, checked_methods
from multilevel.data.labels import distinct
from multilevel.engine.prediction import draw_deviations
from multilevel.errors import ControlError
from multilevel.model.random_effects import label_column

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


def draw_parameters(
    fit: LinearMixedModel, n: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
    """Return draws of σ (n), of β (n × p), and of the random effects of each term (n × levels × k)."""
    if not isinstance(n, int | np.integer) or n < 1:
        raise ControlError(f"The number of draws must be a whole number of at least 1; it is {n!r}.")
    engine = fit._engine
    df = fit.nobs - engine.beta.size
    rss = fit.sigma**2 * engine.objective.residual_df
    sigma = np.sqrt(rss / rng.chisquare(df, n))
    fixed, effects = draw_deviations(engine, rng, n)
    beta = engine.beta + sigma[:, None] * fixed
    for part, modes in zip(effects, fit._modes, strict=True):
        part *= sigma[:, None, None]
        part += modes
    return sigma, beta, effects


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class PosteriorDraws:
    """Draws of the parameters of a fit, as `sim` makes them.

    Attributes
    ----------
    sigma : ndarray
        Residual standard deviations, shape (n,).
    fixed : ndarray
        Fixed effects, shape (n, p).
    fixed_names : tuple of str
        Their names.
    effects : dict of str to ndarray
        Random effects by grouping factor, shape (n, levels, k).
    effect_names : dict of str to tuple of str
        The names of their columns.
    levels : dict of str to tuple
        The levels, of the type of their column.
    """

    sigma: FloatArray
    fixed: FloatArray
    fixed_names: tuple[str, ...]
    effects: dict[str, FloatArray]
    effect_names: dict[str, tuple[str, ...]]
    levels: dict[str, tuple[Any, ...]]

    @property
    def n(self) -> int:
        """Number of draws."""
        return len(self.sigma)

    @property
    def fixef(self) -> pd.DataFrame:
        """The draws of the fixed effects, a row each (arm's ``fixef(sim(fit))``)."""
        import pandas as pd

        return pd.DataFrame(self.fixed.copy(), columns=list(self.fixed_names))

    def coef(self, group: str) -> FloatArray:
        """Return the draws of each level's coefficients, fixed effect plus random effect, shape (n, levels, k).

        Raises
        ------
        ControlError
            There is no such grouping factor.
        """
        if group not in self.effects:
            raise ControlError(f"There is no grouping factor {group!r}: there are {', '.join(self.effects)}.")
        result = self.effects[group].copy()
        for c, name in enumerate(self.effect_names[group]):
            if name in self.fixed_names:
                result[:, :, c] += self.fixed[:, self.fixed_names.index(name), None]
        return result

    def to_frame(self) -> pd.DataFrame:
        """Return mean, standard deviation and quantiles of σ, the fixed effects and the random effects, a row each.

        Returns
        -------
        pandas.DataFrame
            ``effect`` (``"fixed"``, ``"ran_vals"``, ``"ran_pars"``), ``group``, ``level``, ``term``, ``estimate`` (the mean),
            ``std_error`` (the standard deviation), ``conf_low`` and ``conf_high`` (2.5 % and 97.5 % points).
        """
        import pandas as pd

        labels: list[tuple[str, str | None, Any, str]] = [("fixed", None, None, name) for name in self.fixed_names]
        columns = [self.fixed]
        for group, draws in self.effects.items():
            names = self.effect_names[group]
            labels += [("ran_vals", group, level, name) for level in self.levels[group] for name in names]
            columns.append(draws.reshape(self.n, -1))
        labels.append(("ran_pars", "Residual", None, "sd__Observation"))
        whole = np.hstack([*columns, self.sigma[:, None]])
        low, high = np.quantile(whole, [0.025, 0.975], axis=0)
        spread = whole.std(axis=0, ddof=1) if self.n > 1 else np.full(whole.shape[1], np.nan)
        frame = pd.DataFrame(labels, columns=["effect", "group", "level", "term"])
        frame["level"] = label_column(label[2] for label in labels)
        return frame.assign(estimate=whole.mean(axis=0), std_error=spread, conf_low=low, conf_high=high)

    def __repr__(self) -> str:
        """Return what there is, with the means of the fixed effects and σ."""
        shapes = ", ".join(f"{group}: {draws.shape[1]} × {draws.shape[2]}" for group, draws in self.effects.items())
        frame = self.to_frame().query("effect != 'ran_vals'").set_index("term")
        table = frame[["estimate", "std_error", "conf_low", "conf_high"]]
        return f"{self.n} draws of σ, {len(self.fixed_names)} fixed effects and the random effects of {shapes}\n{table}"


@checked
def sim(fit: LinearMixedModel, n: Count = 1000, *, rng: Seed = None) -> PosteriorDraws:
    """Draw σ, the fixed effects and the random effects from their joint distribution given the data and θ.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    n : int
        Number of draws.
    rng : int, SeedSequence or Generator, optional
        Where the random numbers come from.

    Returns
    -------
    PosteriorDraws
        The draws as arrays with names.

    Notes
    -----
    As R's ``arm::sim`` does for ``lmer`` (Gelman & Hill 2007): with flat priors on β and log σ, σ² is r²/χ² with n − p degrees of
    freedom, r² being the penalized residual sum of squares; given σ, (β, b) are normal about (β̂, b̂) with σ² times the inverse of
    the matrix of the mixed-model equations. θ is held at its estimate, so that these draws are somewhat too close together where
    there are few levels. (arm 1.13 multiplies by Λᵀ in the place of Λ, so that its draws of correlated slopes have other
    variances.)

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> draws = ml.sim(fit, 500, rng=1)
    >>> draws.effects["Subject"].shape, draws.fixef.shape
    ((500, 18, 2), (500, 2))
    """
    sigma, beta, parts = draw_parameters(fit, n, np.random.default_rng(rng))
    groups: dict[str, list[int]] = {}
    for t, term in enumerate(fit._terms):
        groups.setdefault(term.factor.name, []).append(t)
    return PosteriorDraws(
        sigma,
        beta,
        tuple(fit._design.fixed_names),
        {name: np.concatenate([parts[t] for t in own], axis=2) for name, own in groups.items()},
        {name: tuple(distinct([c for t in own for c in fit._terms[t].names])) for name, own in groups.items()},
        {name: tuple(fit._terms[own[0]].factor.level_set.labels()) for name, own in groups.items()},
    )
