"""What the pages of the documentation name exists and takes the arguments shown."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import multilevel as ml
from multilevel.inference.marginal_means import MarginalMeans
from multilevel.model.components import component
from multilevel.plot.model import KINDS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "_build" not in path.parts)

OWNERS = {
    "ml": ml,
    "fit": ml.LinearMixedModel,
    "fit.convergence": ml.Convergence,
    "fit.summary()": ml.Summary,
    "fit.varcorr()": ml.VarianceComponents,
    "fit.ranef()": ml.RandomEffects,
    "ml.emmeans()": MarginalMeans,
    "ml.LinearMixedModel": ml.LinearMixedModel,
}
"""What an expression stands for, calls written without their arguments."""


def prose(page: str) -> str:
    """Return a page without its blocks of code."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.sub(r"^(`{3,}|:{3,})\{?.*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)


def named(page: str) -> list[str]:
    """Return the pieces of code in the words and tables of a page that begin with `ml.` or `fit.`."""
    pieces = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))
    found = dict.fromkeys(piece.replace(r"\|", "|") for piece in pieces if re.match(r"(ml|fit)\.\w", piece))
    return [piece for piece in found if not piece.endswith(".*")]


def spelled(node: ast.expr) -> str:
    """Write an expression without the arguments of its calls."""
    if isinstance(node, ast.Call):
        return f"{spelled(node.func)}()"
    if isinstance(node, ast.Attribute):
        return f"{spelled(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)


def arguments_of(function: object) -> set[str] | None:
    """Return the names of a callable's parameters, or None where it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def check(code: str) -> None:
    """Assert that the names and keywords in a piece of code exist."""
    seen = 0
    for node in ast.walk(ast.parse(code, mode="eval")):
        if isinstance(node, ast.Attribute) and (owner := OWNERS.get(spelled(node.value))) is not None:
            fields = getattr(owner, "__dataclass_fields__", {})
            assert hasattr(owner, node.attr) or node.attr in fields, f"{code}: there is no {node.attr}"
            seen += 1
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = OWNERS.get(spelled(node.func.value))
            if owner is None:
                continue
            known = arguments_of(getattr(owner, node.func.attr))
            wrong = {keyword.arg for keyword in node.keywords if keyword.arg} - (known or set())
            assert known is None or not wrong, f"{code}: {node.func.attr} takes no {wrong}"
            values = [part.value for part in node.args if isinstance(part, ast.Constant)]
            if node.func.attr == "plot_model" and values:
                assert values[0] in KINDS, code
    assert seen, f"{code}: nothing in it is known"


@pytest.mark.parametrize("page", PAGES)
def test_names_in_the_words_of_a_page_exist(page):
    for code in named(page):
        check(code)


def test_the_check_finds_what_does_not_exist():
    with pytest.raises(AssertionError, match="there is no lmList"):
        check("ml.lmList")
    with pytest.raises(AssertionError, match="takes no"):
        check("fit.ranef(condVar=True)")
    with pytest.raises(AssertionError, match="plot_model"):
        check("ml.plot_model(fit, 'eff2')")


def test_the_tables_for_r_users_name_many():
    assert len(named("coming_from_lme4.md")) > 80
    assert len(named("coming_from_statsmodels_pymer4.md")) > 25


@pytest.mark.parametrize("name", ["X", "Z", "Lambda", "theta", "beta", "b", "u", "flist", "cnms", "devcomp"])
def test_the_quantities_named_for_get_me(name):
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    assert component(fit, name) is not None
