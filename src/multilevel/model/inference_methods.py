"""Profiles, confidence intervals and bootstraps of a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from multilevel.arguments import (
    BootstrapKind,
    Count,
    DdfName,
    Level,
    Seed,
    VcovName,
    checked_methods,
    idle,
    robust_options,
)
from multilevel.model.fit_facts import FitFacts, whole

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.inference.bootstrap import BootstrapResult
    from multilevel.inference.profile import Profile
    from multilevel.model.fitted import LinearMixedModel


@checked_methods
class InferenceMethods(FitFacts):
    """A fit's profile, intervals and bootstrap."""

    def profile(
        self,
        which: str | Sequence[str] | None = None,
        *,
        level: Level = 0.99,
        points: Count = 8,
        progress: bool = False,
    ) -> Profile:
        """Profile the likelihood of the parameters (see `multilevel.inference.profile.profile`)."""
        from multilevel.inference.profile import profile

        return profile(whole(self), which, level=level, points=points, progress=progress)

    @idle("ddf", "vcov", "cluster", when=lambda given: given["method"] != "wald", why="they are for method='wald'")
    @robust_options
    def confint(
        self,
        method: Literal["wald", "profile", "bootstrap"] = "profile",
        *,
        level: Level = 0.95,
        ddf: DdfName = "asymptotic",
        vcov: VcovName = "model",
        cluster: Any = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Return confidence intervals of all parameters (see `multilevel.inference.intervals.confint`).

        Parameters
        ----------
        method : {"profile", "wald", "bootstrap"}
            Profile likelihood (lme4's default), Wald's for the fixed effects alone, or a parametric bootstrap.
        level : float
            Confidence level.
        ddf, vcov, cluster
            For Wald's: the degrees of freedom, or a cluster-robust covariance matrix.
        **options
            For the bootstrap: ``interval`` and the arguments of `bootstrap`.

        Examples
        --------
        >>> import multilevel as ml
        >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
        >>> fit.confint().round(2).loc["sd_Days|Subject"].tolist()
        [3.8, 8.75]
        """
        from multilevel.inference.intervals import confint

        return confint(whole(self), method, level=level, ddf=ddf, vcov=vcov, cluster=cluster, **options)

    def bootstrap(
        self,
        n: Count = 1000,
        *,
        kind: BootstrapKind = "parametric",
        rng: Seed = None,
        threads: Count | None = None,
        progress: bool = False,
        statistic: Callable[[LinearMixedModel], Any] | None = None,
        cluster: Any = None,
    ) -> BootstrapResult:
        """Bootstrap the fit.

        Parameters
        ----------
        n : int
            Number of replicates.
        kind : {"parametric", "residual", "cluster"}
            Responses drawn from the fitted model; conditional modes and residuals drawn with replacement and reflated; or whole
            clusters drawn with replacement.
        rng : int, SeedSequence or Generator, optional
            Where the random numbers come from. The result does not depend on the number of threads.
        threads : int, optional
            Threads to share the replicates among; by default one for each processor.
        progress : bool
            Whether to show a progress bar.
        statistic : callable, optional
            What to replicate: a function of a fit that returns numbers; by default all parameters.
        cluster : str or array_like, optional
            For ``"cluster"``, the clusters; by default the grouping factor in which all others are nested.

        Returns
        -------
        BootstrapResult
            The replicates, with `confint` and `summary`.
        """
        from multilevel.inference.bootstrap import bootstrap

        return bootstrap(
            whole(self), n, kind=kind, rng=rng, threads=threads, progress=progress, statistic=statistic, cluster=cluster
        )
