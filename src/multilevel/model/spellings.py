"""What other software's users write for arguments of `lmer`."""

from __future__ import annotations

from typing import Any

from multilevel.errors import ControlError, DataTypeError, FormulaError
from multilevel.formula.deparse import deparse
from multilevel.formula.grammar import Formula, parse_formula
from multilevel.formula.syntax import Name


def with_groups(formula: str | Formula, groups: Any) -> str | Formula:
    """Return a formula without bars with a random intercept for the groups, as statsmodels' ``groups=`` has it.

    Raises
    ------
    FormulaError
        The formula has random effects of its own.
    DataTypeError
        The groups are not the name of a column.
    """
    if groups is None:
        return formula
    if not isinstance(groups, str):
        raise DataTypeError(
            f"groups must be the name of a column, not {type(groups).__name__}; random effects are part of the formula:"
            " 'y ~ x + (1 | g)'."
        )
    plain = parse_formula(formula)
    if plain.random:
        raise FormulaError(
            f"The formula has the random effects {plain.random[0]} and groups={groups!r} names more: write all of them in the"
            " formula."
        )
    return f"{plain.text} + (1 | {deparse(Name(groups))})"


def check_family(family: Any) -> None:
    """Refuse distributions of the response other than the normal one.

    Raises
    ------
    ControlError
        The family is another one.
    """
    if family is None:
        return
    name = family if isinstance(family, str) else getattr(family, "name", None) or type(family).__name__
    if str(name).casefold() not in ("gaussian", "normal"):
        raise ControlError(
            f"family={name!r}: lmer fits normal (gaussian) responses; generalized linear mixed models are not in this version."
        )
