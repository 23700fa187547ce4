"""A fit's reports: summary, frames in broom's shape, a file."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from multilevel.arguments import DdfName, FileName, Level, VcovName, checked_methods, idle, robust_options
from multilevel.model.fit_facts import FitFacts, whole

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.reporting.summary import Summary


@checked_methods
class ReportMethods(FitFacts):
    """A fit's summary, frames and file."""

    @robust_options
    def summary(
        self,
        *,
        ddf: DdfName = "satterthwaite",
        correlation: bool | None = None,
        vcov: VcovName = "model",
        cluster: Any = None,
    ) -> Summary:
        """Return the summary: scaled residuals, random effects, fixed effects with Satterthwaite's df, their correlations.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "asymptotic"}
            How the degrees of freedom of the coefficients are found.
        correlation : bool, optional
            Whether to show the correlations of the fixed effects; by default with at most 12 of them.
        vcov, cluster
            A cluster-robust covariance matrix instead, with its own degrees of freedom (see `vcov`).
        """
        from multilevel.reporting.summary import summarise

        return summarise(whole(self), correlation=correlation, ddf=ddf, vcov=vcov, cluster=cluster)

    @robust_options
    @idle(
        "level",
        "conf_method",
        when=lambda given: not given["conf_int"],
        why="there are intervals with conf_int=True only",
    )
    def tidy(
        self,
        effects: str | Sequence[str] = ("fixed", "ran_pars"),
        *,
        conf_int: bool = False,
        level: Level = 0.95,
        conf_method: Literal["wald", "profile", "bootstrap"] = "wald",
        ddf: DdfName = "satterthwaite",
        vcov: VcovName = "model",
        cluster: Any = None,
        scales: Literal["sdcor", "vcov"] = "sdcor",
        **options: Any,
    ) -> pd.DataFrame:
        """Return the estimates as a frame with a row each, as broom.mixed's ``tidy`` (see `multilevel.export.tidy.tidy`)."""
        from multilevel.export.tidy import tidy

        return tidy(
            whole(self), effects, conf_int=conf_int, level=level, conf_method=conf_method, ddf=ddf, vcov=vcov, cluster=cluster,
            scales=scales, **options,
        )  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """Return the facts of the fit in one row, as broom.mixed's ``glance`` (see `multilevel.export.glance.glance`)."""
        from multilevel.export.glance import glance

        return glance(whole(self))

    def augment(self, data: Any = None, *, newdata: Any = None, allow_new_levels: bool = False) -> pd.DataFrame:
        """Return the rows with fitted values and diagnostics, as broom.mixed's ``augment`` (see `multilevel.export.augment`)."""
        from multilevel.export.augment import augment

        return augment(whole(self), data, newdata=newdata, allow_new_levels=allow_new_levels)

    def __repr__(self) -> str:
        """Return the fit in short, as lme4 prints it."""
        from multilevel.reporting.summary import short_print

        return short_print(whole(self))

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        return self.summary()._repr_html_()

    def save(self, path: FileName | PathLike[str], *, data: bool = False) -> None:
        """Save the fit to a file that `multilevel.load` reads (see `multilevel.export.fit_file.save`).

        Parameters
        ----------
        path : str or path
            The file; one that is there is replaced.
        data : bool
            Whether the rows and the data frame are saved too: `fitted`, `residuals`, `refit`, `update` and the like need them.
        """
        from multilevel.export.fit_file import save

        save(whole(self), path, data=data)
