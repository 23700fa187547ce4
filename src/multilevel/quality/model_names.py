"""Names of the models that are set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from multilevel.errors import ControlError

if TYPE_CHECKING:
    from multilevel.model.fitted import LinearMixedModel


def named_models(
    fits: Sequence[LinearMixedModel],
    names: Sequence[str] | None,
    named: Mapping[str, LinearMixedModel],
    task: str,
) -> dict[str, LinearMixedModel]:
    """Return models by name, those with a name of their own last.

    Parameters
    ----------
    fits
        The models given without a name.
    names
        Their names; by default ``"model 1"``, ``"model 2"``, ….
    named
        The models given by keyword.
    task
        What is done with them, as a verb for the message.

    Raises
    ------
    ControlError
        There is no model, a name is missing, or one stands for two models.
    """
    if names is not None and (isinstance(names, str) or len(names) != len(fits)):
        count = 1 if isinstance(names, str) else len(names)
        raise ControlError(
            f"names has {count} names and there are {len(fits)} models given without one: give one for each."
        )
    labels = [f"model {i + 1}" for i in range(len(fits))] if names is None else [str(name) for name in names]
    labels += list(named)
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ControlError(f"The name {twice!r} stands for two models; give each its own.")
    if not labels:
        raise ControlError(f"There is no model to {task}; give fitted models.")
    return dict(zip(labels, [*fits, *named.values()], strict=True))
