"""The random-effects structure of a model as terms whose columns and correlations can be left out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multilevel.data.factors import Factor
from multilevel.engine.fit import EngineFit, fit_of_design
from multilevel.errors import DataError
from multilevel.formula.coding import CodedColumn
from multilevel.formula.deparse import deparse, quote_name
from multilevel.formula.design import GroupingFactor
from multilevel.formula.values import Matrix
from multilevel.inference.recoding import CodedTerm, Recoder, changed_design, recoder, variable_texts
from multilevel.model.source import whole_frame
from multilevel.quality.formula_parts import write_formula
from multilevel.quality.source_data import refitted, with_columns

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RandomColumn:
    """One column of a random-effects term.

    Attributes
    ----------
    coded
        What it is made of.
    variables
        The variables of the term it comes from; none for the intercept.
    text
        How a formula has it.
    """

    coded: CodedColumn
    variables: frozenset[str]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class RandomBlock:
    """The columns that one bar of the formula lets vary over a grouping factor, with or without correlations."""

    factor: GroupingFactor
    columns: tuple[RandomColumn, ...]
    correlated: bool

    def without(self, column: RandomColumn) -> RandomBlock:
        """Return the block with a column left out."""
        return replace(self, columns=tuple(other for other in self.columns if other is not column))

    def bar(self) -> str:
        """Return the block as it stands in a formula, without parentheses."""
        mark = "|" if self.correlated or len(self.columns) == 1 else "||"
        texts = [column.text for column in self.columns]
        return f"{' + '.join(texts if texts[0] == '1' else ['0', *texts])} {mark} {self.factor.name}"

    def groups(self) -> list[tuple[RandomColumn, ...]]:
        """Return the columns that are correlated with one another."""
        return [self.columns] if self.correlated else [(column,) for column in self.columns]

    def terms(self) -> list[CodedTerm]:
        """Return the block as terms of a design."""
        return [CodedTerm(self.bar(), self.factor, tuple(column.coded for column in group)) for group in self.groups()]


@dataclass(frozen=True, slots=True, eq=False)
class RandomStructure:
    """All blocks of a model, and what is needed to fit it with fewer of their columns.

    Attributes
    ----------
    again
        The variables of the fit.
    blocks
        The blocks, in the order of the formula.
    new_columns
        Columns that the data need so that a formula can name each column of a factor for itself.
    """

    again: Recoder
    blocks: tuple[RandomBlock, ...]
    new_columns: dict[str, FloatArray]

    @classmethod
    def of(cls, fit: LinearMixedModel) -> RandomStructure:
        """Return the structure of a fit whose data frame has no rows with missing values."""
        again = recoder(fit)
        design = fit._design
        new_columns: dict[str, FloatArray] = {}
        blocks = []
        taken = {*_column_names(fit), *fit.formula.variables}
        for bar, term, coded in zip(fit.formula.plain_bars, design.random, again.encoder.random, strict=True):
            terms = bar.term_list.terms
            columns = []
            for column in coded.columns:
                if not column.term:
                    columns.append(RandomColumn(column, frozenset(), "1"))
                    continue
                own = terms[column.term - 1]
                text = own.label
                if any(isinstance(again.variables[deparse(node)], Factor | Matrix) for node in own.variables):
                    text = _named_column(again, column, taken, new_columns)
                columns.append(RandomColumn(column, variable_texts(own), text))
            blocks.append(RandomBlock(term.factor, tuple(columns), True))
        return cls(again, tuple(blocks), new_columns)

    @property
    def has_correlations(self) -> bool:
        """Whether some block has several columns with correlations."""
        return any(block.correlated and len(block.columns) > 1 for block in self.blocks)

    def uncorrelated(self) -> RandomStructure:
        """Return the structure without correlations."""
        return replace(self, blocks=tuple(replace(block, correlated=False) for block in self.blocks))

    def replaced(self, old: RandomBlock, new: RandomBlock) -> RandomStructure:
        """Return the structure with a block replaced, or left out where nothing is left of it."""
        blocks = tuple(new if block is old else block for block in self.blocks)
        return replace(self, blocks=tuple(block for block in blocks if block.columns))

    def fit(self) -> EngineFit:
        """Fit the model with this structure, certified like any other."""
        fit = self.again.fit
        terms = [term for block in self.blocks for term in block.terms()]
        design = changed_design(self.again, self.again.encoder.fixed, terms)
        return fit_of_design(design, fit.reml, replace(fit._control, start=None))

    def contributions(self, found: EngineFit) -> list[tuple[float, RandomBlock, RandomColumn]]:
        """Return, smallest first, the standard deviation that each column of a fitted structure gives the response.

        It is the column's root mean square times the standard deviation of its random effects, over σ.
        """
        factors = dict(zip(found.products.plan.term_order, found.term_factors(), strict=True))
        terms = [(block, group) for block in self.blocks for group in block.groups()]
        sizes: dict[Any, float] = {}
        rows = []
        for position, (block, group) in enumerate(terms):
            deviations = np.sqrt((factors[position] ** 2).sum(axis=1))
            for column, deviation in zip(group, deviations, strict=True):
                key = column.coded.pieces
                if key not in sizes:
                    values = self.again.values([column.coded])
                    sizes[key] = float(np.sqrt(np.mean(values * values)))
                rows.append((float(deviation) * sizes[key], block, column))
        return sorted(rows, key=lambda row: row[0])

    def droppable(self, block: RandomBlock, column: RandomColumn, *, drop_groups: bool) -> bool:
        """Tell whether a column can go: no interaction of its variables stays, and an intercept goes last.

        The last column of a grouping factor goes with `drop_groups` only, and the last one of all never.
        """
        own = [other for b in self.blocks if b.factor.name == block.factor.name for other in b.columns]
        if len(own) == 1 and (not drop_groups or sum(len(b.columns) for b in self.blocks) == 1):
            return False
        return not any(column.variables < other.variables for other in own if other is not column)

    def model(self) -> LinearMixedModel:
        """Return the model of this structure, fitted from its formula."""
        fit = self.again.fit
        formula = fit.formula
        assert formula.response is not None
        used = {column.text for block in self.blocks for column in block.columns}
        new = {name: values for name, values in self.new_columns.items() if quote_name(name) in used}
        data = with_columns(whole_frame(fit), new) if new else whole_frame(fit)
        text = write_formula(formula.response, formula.term_list, [f"({bar})" for bar in self.bars()])
        return refitted(fit, text, data, fit._design.given_response())

    def bars(self) -> list[str]:
        """Return the random-effects terms of the formula."""
        return [block.bar() for block in self.blocks]


def _column_names(fit: LinearMixedModel) -> Sequence[str]:
    from multilevel.data.frames import Frame

    return Frame(whole_frame(fit)).columns


def _named_column(again: Recoder, column: CodedColumn, taken: set[str], new_columns: dict[str, FloatArray]) -> str:
    """Give a column of a factor or a basis a name of its own among the data's columns."""
    values = again.values([column])[:, 0]
    name = column.name
    while name in new_columns and not np.array_equal(new_columns[name], values):
        name += "_"
    while name in taken and name not in new_columns:
        name += "_"
    if len(values) != again.fit._design.n_rows:
        raise DataError("The data frame has rows that the fit left out.")
    new_columns[name] = values
    return quote_name(name)
