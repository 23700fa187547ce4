"""Power along the size of a sample, of an effect, or of a standard deviation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from multilevel.arguments import Seed, check_options, checked, checked_methods, option_names
from multilevel.errors import ControlError, DataTypeError
from multilevel.model.fitted import LinearMixedModel
from multilevel.model.simulation import seed_sequence
from multilevel.reporting.forms import Document, Forms, Paragraph
from multilevel.reporting.numbers import format_values
from multilevel.reporting.tables import Table
from multilevel.simulation.data_design import DataDesign
from multilevel.simulation.draws import is_r_random
from multilevel.simulation.power import power
from multilevel.simulation.power_result import PowerResult, percentages

if TYPE_CHECKING:
    import pandas as pd

    from multilevel.simulation.r_random import RRandom

WITHIN = "within "


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class PowerCurve(Forms):
    """Power at several points.

    Attributes
    ----------
    along : tuple of str
        What differs between the points.
    points : tuple of dict
        The value of each at each point.
    results : tuple of PowerResult
        The power at each point.
    """

    along: tuple[str, ...]
    points: tuple[Mapping[str, Any], ...]
    results: tuple[PowerResult, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each point and test.

        Returns
        -------
        pandas.DataFrame
            What differs, ``test``, the columns of `PowerResult.to_frame`, and ``n``, ``n_not_fitted``, ``n_not_converged``,
            ``n_singular``.
        """
        import pandas as pd

        parts = []
        for point, result in zip(self.points, self.results, strict=True):
            frame = result.to_frame().rename_axis("test").reset_index()
            for place, (name, value) in enumerate(point.items()):
                frame.insert(place, name, [value] * len(frame))
            counts = {name: getattr(result, name) for name in ("n", "n_not_fitted", "n_not_converged", "n_singular")}
            parts.append(frame.assign(**counts))
        return pd.concat(parts, ignore_index=True)

    def _table(self) -> Table:
        frame = self.to_frame()
        first = self.results[0]
        columns: list[list[str]] = []
        for name in self.along:
            values = frame[name].tolist()
            plain = all(isinstance(value, int | float) for value in values)
            columns.append(format_values(values, 4) if plain else [str(value) for value in values])
        heads = [*self.along]
        if len(set(frame["test"])) > 1:
            columns.append(frame["test"].tolist())
            heads.append("test")
        low, high = percentages(frame["conf_low"]), percentages(frame["conf_high"])
        columns += [percentages(frame["power"]), [f"[{a}, {b}]" for a, b in zip(low, high, strict=True)]]
        heads += ["power", f"{100 * first.level:g}% interval"]
        for name, head in (
            ("n_not_fitted", "not fitted"),
            ("n_not_converged", "not conv."),
            ("n_singular", "singular"),
        ):
            if frame[name].any():
                columns.append(frame[name].astype(str).tolist())
                heads.append(head)
        return Table("Power by simulation", tuple(heads), tuple(zip(*columns, strict=True)), labels=len(self.along))

    def __str__(self) -> str:
        """Return the text."""
        return "\n".join(["Power by simulation", *self.results[0]._head(), "", self._table().to_text()])

    __repr__ = __str__

    def _document(self) -> Document:
        table = self._table()
        return Document(table.caption, (table, *(Paragraph(line) for line in self.results[0]._head())))


@checked
def power_curve(
    model: DataDesign | LinearMixedModel,
    along: Mapping[str, Sequence[Any]],
    *,
    rng: Seed | RRandom = None,
    **options: Any,
) -> PowerCurve:
    """Find the power of tests at several sizes of a sample, of an effect or of a standard deviation.

    Parameters
    ----------
    model : DataDesign or LinearMixedModel
        What the data are drawn from (see `power`).
    along : mapping
        What differs, and its values; with several, every combination. A name is a level of the design or a grouping variable of the
        fit (how many units or groups), ``"within g"`` for a fit's rows in each level of g, a fixed effect, or ``"sigma"``.
    rng : int, SeedSequence, Generator or RRandom, optional
        Where the random numbers come from.
    **options
        The arguments of `power`: ``test``, ``n``, ``alpha``, ….

    Returns
    -------
    PowerCurve
        It prints as a table; `to_frame` has a row for each point, to be plotted.

    Raises
    ------
    ControlError
        Nothing of that name can differ.

    Examples
    --------
    >>> import multilevel as ml
    >>> design = ml.DataDesign(
    ...     "score ~ arm + (1 | school)",
    ...     levels={"school": 20, "pupil": 25},
    ...     predictors={"arm": "balanced(c('control', 'therapy')) | school"},
    ...     fixed={"(Intercept)": 50, "armtherapy": 4},
    ...     random={"school": 3},
    ...     sigma=9,
    ... )
    >>> curve = ml.power_curve(design, {"school": [10, 20, 40]}, n=100, rng=1)
    >>> curve.to_frame()[["school", "power"]].to_numpy().tolist()
    [[10.0, 0.31], [20.0, 0.59], [40.0, 0.95]]
    """
    if not isinstance(along, Mapping) or not along:
        raise DataTypeError("along must map what differs to its values, as in {'school': [20, 40, 80]}.")
    lists: dict[str, list[Any]] = {}
    for name, values in along.items():
        if isinstance(values, str) or not hasattr(values, "__len__") or len(values) == 0:
            raise DataTypeError(f"along must give {name!r} a list of values, not {values!r}.")
        lists[str(name)] = [value.item() if hasattr(value, "item") else value for value in values]
    check_options("power()", options, option_names(power))
    points = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    seeds = [rng] * len(points) if is_r_random(rng) else seed_sequence(cast(Seed, rng)).spawn(len(points))
    results = [
        power(model, rng=seed, **_with_point(model, point, options)) for point, seed in zip(points, seeds, strict=True)
    ]
    return PowerCurve(tuple(lists), tuple(points), tuple(results))


def _with_point(
    model: DataDesign | LinearMixedModel, point: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of `power` at one point."""
    new = dict(options)
    levels = model.levels if isinstance(model, DataDesign) else model.formula.grouping_variables
    for name, value in point.items():
        if name == "sigma":
            new["sigma"] = value
            continue
        if name in levels:
            place, key = "extend", name
        elif name.startswith(WITHIN) and isinstance(model, LinearMixedModel):
            place, key = "within", name.removeprefix(WITHIN)
        else:
            place, key = "effects", name
        if key in (options.get(place) or {}):
            raise ControlError(f"{name!r} differs along the curve and stands in {place} too; leave it out of one.")
        new[place] = {**(new.get(place) or {}), key: value}
    return new
