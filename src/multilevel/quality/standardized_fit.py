"""A model fitted anew to standardized data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from multilevel.arguments import checked
from multilevel.data.caller import warn_caller
from multilevel.data.frames import Frame
from multilevel.errors import ControlError, MultilevelWarning
from multilevel.formula.deparse import deparse
from multilevel.formula.evaluate import Evaluator
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.formula.syntax import Binary, Call, Name, Node, names_in, rewritten, walk
from multilevel.formula.values import Matrix
from multilevel.model.source import whole_frame
from multilevel.quality.scaling import Scale, scale_of
from multilevel.quality.source_data import refitted, with_columns

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]
Transformed = Literal["before", "after"]

LOGARITHMS = frozenset({"log", "log2", "log10", "log1p"})
OFFSET = "offset (standardized)"


@dataclass(frozen=True, slots=True, eq=False)
class StandardizedFit:
    """A model fitted to standardized data, and what every variable was standardized by."""

    model: LinearMixedModel
    scales: dict[str, Scale]


@checked
def standardize_fit(
    fit: LinearMixedModel,
    *,
    robust: bool = False,
    two_sd: bool = False,
    include_response: bool = True,
    transformed: Transformed = "before",
) -> LinearMixedModel:
    """Fit a model anew to standardized data: every numeric variable with mean 0 and standard deviation 1.

    Means and standard deviations are those of the rows that the fit used, weighted by the prior weights where it has them.
    Factors and their contrasts, truth values, grouping factors and weights are left alone; variables of random slopes are
    standardized like any other.

    Parameters
    ----------
    fit : LinearMixedModel
        The fitted model.
    robust : bool
        Whether the median is subtracted, and the median absolute deviation (times 1.4826) divided by.
    two_sd : bool
        Whether predictors are divided by two standard deviations (Gelman 2008), so that their coefficients compare with those
        of a balanced two-level factor; the response is divided by one.
    include_response : bool
        Whether the response is standardized, too.
    transformed : {"before", "after"}
        For variables that the formula transforms: ``"before"`` standardizes the columns of the data, so that ``I(x^2)`` is the
        square of the standardized x (a variable under a logarithm or a square root is then shifted to begin at 1 or 0);
        ``"after"`` standardizes what the transformation gives, ``log(x)`` itself.

    Returns
    -------
    LinearMixedModel
        The model of the standardized data, fitted by the same criterion.

    Raises
    ------
    DataError
        The fit has no data frame.
    ControlError
        An option is not one of its choices.

    Warns
    -----
    MultilevelWarning
        A variable does not vary, or has a median absolute deviation of zero, and is only centred; or one was shifted.

    Notes
    -----
    Agrees with ``standardize`` of R's effectsize and datawizard, but for three cases. An offset is divided by the spread of the
    response (R divides it by its own, which makes another model of it). ``poly(x, 2)`` has the polynomials of the standardized
    variable (R scales their values and gets more columns). A numeric variable that is also a grouping factor, as in ``year +
    (1 | year)``, is standardized as a predictor (R leaves it as it is).

    References
    ----------
    Gelman, A. (2008). Scaling regression inputs by dividing by two standard deviations. Statistics in Medicine, 27, 2865-2873.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    >>> round(float(ml.standardize_fit(fit).fixef["Days"]), 4)
    0.5352
    """
    return standardized(
        fit, robust=robust, two_sd=two_sd, include_response=include_response, transformed=transformed
    ).model


def standardized(
    fit: LinearMixedModel, *, robust: bool, two_sd: bool, include_response: bool, transformed: Transformed
) -> StandardizedFit:
    """Fit a model to standardized data (see `standardize_fit`) and keep what the variables were standardized by."""
    if transformed not in ("before", "after"):
        raise ControlError(f"transformed must be 'before' or 'after', not {transformed!r}.")
    plan = _Plan(fit, robust, two_sd, include_response, transformed == "after")
    plan.read()
    plan.standardize()
    formula, arguments = plan.formula(), plan.arguments
    response = None if include_response else fit._design.given_response()
    data = with_columns(plan.data, plan.columns)
    return StandardizedFit(refitted(fit, formula, data, response, **arguments), plan.scales)


@dataclass(slots=True)
class _Plan:
    """What is standardized by what, and the data and the formula that follow.

    Attributes
    ----------
    columns
        Columns of the new data.
    scales
        Centre and spread by column, or by the text of an expression.
    renamed
        New names of columns that must stay as they are beside their standardized values.
    replaced
        Expressions of the formula and what stands in their place.
    arguments
        Changed arguments of `lmer`.
    """

    fit: LinearMixedModel
    robust: bool
    two_sd: bool
    include_response: bool
    after: bool
    data: Any = None
    evaluator: Evaluator = field(init=False)
    numeric: list[Node] = field(default_factory=list)
    whole: list[Node] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    columns: dict[str, FloatArray] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    replaced: dict[Node, Node] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        """Sort the variables of the formula: numeric ones, those whose values are standardized, and columns to leave alone."""
        fit, formula = self.fit, self.fit.formula
        encoder = fit._design.encoder
        self.data = whole_frame(fit)
        assert encoder is not None  # whole_frame asks for it
        if fit._design.response_replaced and self.include_response and not self.after:
            raise ControlError(
                f"The response of this fit was replaced by refit, on the scale of {deparse(encoder.response)!r}, so that the"
                " columns in it cannot be standardized; use transformed='after' or include_response=False."
            )
        self.evaluator = Evaluator(Frame(self.data), encoder.state)
        for bar in formula.plain_bars:
            self.frozen.update(names_in(bar.group_node))
        weights = fit._data.arguments.get("weights")
        if isinstance(weights, str):
            self.frozen.add(weights)
        for text, node in encoder.nodes.items():
            if text in encoder.levels:
                self.frozen.update(names_in(node))
            else:
                self._sort(node)
        if self.include_response:
            self._sort(encoder.response)
        else:
            self.frozen.update(names_in(encoder.response))

    def _sort(self, node: Node) -> None:
        if not self.after or isinstance(node, Name):
            self.numeric.append(node)
            return
        value = self.evaluator.variable(node)
        if isinstance(value, Matrix) and value.values.shape[1] > 1:
            # A basis, not a variable: it stays as it is.
            self.frozen.update(names_in(node))
        else:
            self.whole.append(node)

    def standardize(self) -> None:
        """Work out the new columns."""
        fit = self.fit
        encoder = fit._design.encoder
        assert encoder is not None
        in_response = set(names_in(encoder.response)) if self.include_response else set()
        shifts = {} if self.after else _shifted(self.numeric)
        for name in dict.fromkeys(name for node in self.numeric for name in names_in(node)):
            column = self.evaluator.column(name)
            if not isinstance(column.values, np.ndarray) or column.values.dtype.kind == "b":
                continue
            new = name
            if name in self.frozen:
                new = self.renamed[name] = self._free_name(f"{name}_std")
            values = self._standardized(name, column.as_numbers().astype(np.float64), name in in_response)
            if name in shifts:
                # The smallest value becomes 1 under a logarithm, 0 under a root.
                values = values + (shifts[name] - float(np.min(self._used(values))))
            self.columns[new] = values
        for node in self.numeric:
            self.replaced[node] = substitute(node, {Name(old): Name(new) for old, new in self.renamed.items()})
        for node in self.whole:
            text = deparse(node)
            given = fit._design.given_response() if node == encoder.response else None
            value = self.evaluator.variable(node) if given is None else given
            numbers = np.asarray(value.values[:, 0] if isinstance(value, Matrix) else value, dtype=np.float64)
            self.columns[text] = self._standardized(text, numbers, node == encoder.response)
            self.replaced[node] = Name(text)
        self._offset(encoder.response)
        if shifts:
            warn_caller(
                f"{_listed(shifts)} {'are' if len(shifts) > 1 else 'is'} standardized before the logarithm or the root, and so"
                " shifted to begin at 1 or 0; transformed='after' standardizes the transformed values instead.",
                MultilevelWarning,
            )

    def _used(self, values: FloatArray) -> FloatArray:
        kept = self.fit._design.kept
        return values if kept is None else values[kept]

    def _standardized(self, name: str, values: FloatArray, response: bool) -> FloatArray:
        scale = scale_of(self._used(values), self.fit._design.weights, robust=self.robust)
        if scale.spread == 0.0:
            what = "a median absolute deviation of zero" if self.robust else "the same value in all rows"
            warn_caller(f"{name!r} has {what}; it is centred and not scaled.", MultilevelWarning)
            scale = Scale(scale.center, 1.0)
        elif self.two_sd and not response:
            scale = scale.times(2.0)
        self.scales[name] = scale
        return (values - scale.center) / scale.spread

    def _free_name(self, name: str) -> str:
        while name in self.evaluator.frame or name in self.columns:
            name += "_"
        return name

    def _offset(self, response: Node) -> None:
        """Put the offset into the units of the response: the model is about the response less the offset."""
        design = self.fit._design
        if design.offset is None or not self.include_response:
            return
        if isinstance(response, Name):
            spread = self.scales[response.id].spread
        elif self.after:
            spread = self.scales[deparse(response)].spread
        else:
            raise ControlError(
                f"The response is transformed, {deparse(response)!r}, and the model has an offset, which has no meaning for the"
                " standardized response; use transformed='after' or include_response=False."
            )
        scale = Scale(scale_of(design.offset, design.weights, robust=self.robust).center, spread)
        values = np.full(design.n_rows, np.nan)
        values[slice(None) if design.kept is None else design.kept] = (design.offset - scale.center) / spread
        name = self._free_name(OFFSET)
        self.columns[name] = values
        self.scales["offset"] = scale
        in_formula = self.fit.formula.term_list.offsets
        # One offset takes the place of all.
        self.replaced.update(dict.fromkeys(in_formula, Call("offset", ((None, Name(name)),))))
        self.arguments["offset"] = None if in_formula else name

    def formula(self) -> Formula:
        """Return the formula of the new data."""
        old, encoder = self.fit.formula, self.fit._design.encoder
        assert old.response_node is not None
        assert encoder is not None
        if all(new == node for node, new in self.replaced.items()):
            return old
        # What does not change is listed, too: nothing inside of it is to be replaced.
        changes = {node: node for node in (*encoder.nodes.values(), *old.term_list.offsets)}
        changes.update(self.replaced)
        response = substitute(old.response_node, changes)
        return parse_formula(f"{deparse(response)} ~ {deparse(substitute(old.right_node, changes))}")


def substitute(node: Node, changes: Mapping[Node, Node]) -> Node:
    """Return an expression with parts of it replaced; what stands right of a bar stays."""

    def change(part: Node) -> Node | None:
        if part in changes:
            return changes[part]
        if isinstance(part, Binary) and part.op in ("|", "||"):
            return Binary(part.op, substitute(part.left, changes), part.right)
        return None

    return rewritten(node, change)


def _shifted(nodes: list[Node]) -> dict[str, float]:
    """Return the columns under logarithms and roots, and what their smallest value must be."""
    found: dict[str, float] = {}
    for node in nodes:
        for call in (part for part in walk(node) if isinstance(part, Call)):
            for name in names_in(call):
                if call.function in LOGARITHMS:
                    found[name] = 1.0
                elif call.function == "sqrt":
                    found.setdefault(name, 0.0)
    return found


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in names)
