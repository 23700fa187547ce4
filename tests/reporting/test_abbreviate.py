from __future__ import annotations

import pytest
from stored import r_printing

from multilevel.reporting.abbreviate import abbreviate


@pytest.mark.parametrize("case", r_printing()["short_names"])
@pytest.mark.parametrize(("length", "field"), [(6, "six"), (11, "eleven")])
def test_names_are_shortened_as_in_r(case, length, field):
    assert abbreviate(case["names"], length) == case[field]


def test_short_names_stay():
    assert abbreviate(["x", "y"], 6) == ["x", "y"]


def test_equal_names_stay_equal():
    assert abbreviate(["temperature", "temperature"], 6) == ["tmprtr", "tmprtr"]
