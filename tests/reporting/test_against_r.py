"""The printed fits against those of lme4 and lmerTest, line by line."""

from __future__ import annotations

import re

import numpy as np
import pytest
from stored import r_printing

import reference_cases as rc

PRINTED = r_printing()["printed"]

NOT_COMPARED = (
    "Linear mixed model", "lmerModLmerTest", "  method [", "   Data:", "fit warnings", "fixed-effect model", "optimizer",
    "boundary", "Converged", "Singular", "1 fixed-effects column",
)  # fmt: skip


def _lines(text):
    """Leave out titles and notes, which have words of their own, and join what is broken across lines."""
    kept = [line.rstrip() for line in text if not line.startswith(NOT_COMPARED)]
    joined = re.sub(r"\n    (?=\S)", " ", "\n".join(kept).strip("\n"))
    return joined.replace("Formula: \n", "Formula: ").replace("Formula:\n", "Formula: ").split("\n")


def _agrees(own, theirs):
    """Say whether two lines are alike, but for one unit in the last place of a number (R stops short of the optimum)."""
    number = r"\d+\.?\d*(?:e[-+]\d+)?"
    if len(own) != len(theirs) or re.sub(r"\d", "0", own) != re.sub(r"\d", "0", theirs):
        return False
    for a, b in zip(re.findall(number, own), re.findall(number, theirs), strict=True):
        unit = 10.0 ** -len(a.partition("e")[0].partition(".")[2])
        if abs(float(a) - float(b)) > 1.01 * unit * (10.0 ** int(a.partition("e")[2] or 0)):
            return False
    return True


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("what", ["summary", "short", "varcorr"])
def test_prints_as_r(name, what):
    fit = rc.fit(name)
    text = {"summary": lambda: str(fit.summary()), "short": lambda: repr(fit), "varcorr": lambda: repr(fit.varcorr())}[
        what
    ]()
    own, theirs = _lines(text.split("\n")), _lines(PRINTED[name][what])
    assert len(own) == len(theirs)
    assert [pair for pair in zip(own, theirs, strict=True) if not _agrees(*pair)] == []


@pytest.mark.parametrize("name", [name for name in rc.cases() if not name.startswith(("insteval", "bad_scale"))])
def test_numbers_of_the_summary(name):
    case, summary = rc.cases()[name], rc.fit(name).summary()
    table = summary.coefficients
    stored = case["satterthwaite"]
    names = list(case["fixef"])
    assert list(table.index) == names
    np.testing.assert_allclose(table["estimate"], list(case["fixef"].values()), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(table["std_error"], list(case["se"].values()), rtol=1e-5)
    np.testing.assert_allclose(summary.correlation, case["correlation"]["values"], atol=1e-5)
    np.testing.assert_allclose(
        summary.scaled_residuals.to_numpy(), case["scaled_residual_quantiles"], rtol=1e-5, atol=1e-6
    )
    assert summary.dropped == tuple(case["dropped"])
    assert summary.singular == case["singular"]
    if stored and not case["singular"]:
        np.testing.assert_allclose(table["df"], [stored["df"][n] for n in names], rtol=1e-5)
        np.testing.assert_allclose(table["statistic"], [stored["t"][n] for n in names], rtol=1e-5, atol=1e-6)
        p_values = np.array([stored["p"][n] for n in names], dtype=float)
        own, tiny = table["p_value"].to_numpy(), 1e-300
        np.testing.assert_allclose(
            np.log(np.maximum(own, tiny)), np.log(np.maximum(p_values, tiny)), rtol=1e-4, atol=1e-5
        )
