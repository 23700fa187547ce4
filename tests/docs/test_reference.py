"""The reference of the documentation lists every public name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import multilevel as ml

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def listed() -> list[str]:
    """Return the names in the lists of the page, in order."""
    blocks = re.findall(r"\.\. autosummary::\n(?:   :.*\n)+\n((?:   \S+\n)+)", PAGE.read_text(encoding="utf-8"))
    return [name.strip() for block in blocks for name in block.splitlines()]


def test_every_public_name_is_in_the_reference_once():
    public = [name for name in listed() if "." not in name]
    assert sorted(public) == sorted(set(ml.__all__) - {"__version__"})


@pytest.mark.parametrize("name", [name for name in listed() if "." in name])
def test_other_names_are_classes_with_a_docstring(name):
    module, _, own = name.rpartition(".")
    assert getattr(importlib.import_module(f"multilevel.{module}"), own).__doc__
