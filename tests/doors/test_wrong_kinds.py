"""Arguments of the wrong kind at every public function and method: a result, or one sentence of a MultilevelError.

`right` has what a function works with; one argument is replaced by what hypothesis draws out of `values()`. A user's
own function may raise what it likes, so that functions are not among the values.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import multilevel as ml
from multilevel.argument_rules import Instance, OneOf, Rule
from multilevel.signatures import door_of

pytestmark = pytest.mark.filterwarnings("ignore")

TIMES = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@functools.cache
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows, groups = 60, 12
    data = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "f": np.array(list("abc"))[np.arange(rows) % 3],
            "g": [f"g{i}" for i in np.repeat(np.arange(groups), rows // groups)],
            "h": [f"h{i}" for i in np.arange(rows) % 5],
            "w": 1.0 + rng.random(rows),
        }
    )
    effects = np.repeat(rng.normal(size=groups), rows // groups)
    return data.assign(y=data["x"] + effects + rng.normal(size=rows))


@functools.cache
def fit(kind: str = "plain") -> ml.LinearMixedModel:
    data = frame()
    if kind == "weighted":
        return ml.lmer("y ~ x + f + (1 | g)", data, weights="w")
    if kind == "crossed":
        return ml.lmer("y ~ x + (1 | g) + (1 | h)", data)
    if kind == "slopes by likelihood":
        return ml.lmer("y ~ x * f + (x | g)", data, reml=False)
    if kind == "singular":
        return ml.lmer("y ~ x + f + (1 | g)", data.assign(g=np.random.default_rng(4).permutation(data["g"])))
    if kind == "refit":
        return fit().refit(2.0 * data["y"])
    return ml.lmer("y ~ x + f + (1 | g)", data)


KINDS = ("plain", "weighted", "crossed", "slopes by likelihood", "singular", "refit", "without rows")


def of_kind(kind: str, path) -> ml.LinearMixedModel:
    if kind != "without rows":
        return fit(kind)
    fit().save(path / "fit.mlm")
    return ml.load(path / "fit.mlm")


def design() -> ml.DataDesign:
    return ml.DataDesign("y ~ x + (1 | g)", levels={"g": 6, "row": 4}, fixed=[0, 1], random={"g": 1.0}, sigma=1.0)


def right(name: str, owner: object) -> dict[str, object]:
    """Return arguments that a call works with, and is quick with."""
    base = fit()
    found: dict[str, object] = {
        "fit": base, "formula": "y ~ x + (1 | g)", "data": frame(), "frame": frame(), "columns": "x", "by": "g", "specs": "f",
        "var": "x", "contrasts": {"x": 1}, "group": "g", "response": frame()["y"], "responses": [frame()["y"]], "beta": [0, 1],
        "sigma": 1.0, "theta": [1.0], "along": {"g": [12]}, "matrix": np.eye(3), "text": "y ~ x", "x": "x", "before": base,
        "after": base, "model": base, "fits": [base], "time": "x", "new": ". ~ .", "newdata": frame(), "level": 0.9,
        "size": 3, "seed": 1,
    }  # fmt: skip
    special = {
        "power": {"n": 2, "test": "x"}, "power_curve": {"n": 2, "test": "x"}, "bootstrap": {"n": 2, "rng": 1},
        "report": {"pictures": False, "checks": False}, "plot_checks": {"checks": base}, "load_dataset": {"name": "sleepstudy"},
        "describe_dataset": {"name": "sleepstudy"}, "get_me": {"name": "X"}, "plot_clusters": {"y": "y", "cluster": "g"},
        "study": {"n": 2}, "check_predictions": {"n": 2}, "sim": {"n": 2}, "load": {"path": "fit.mlm"},
    }  # fmt: skip
    optional = special.get(name, {})
    if name == "plot_emmeans":
        optional = {"means": ml.emmeans(base, "f")}
    if name == "plot_profile":
        optional = {"profile": ml.profile(base, "x", points=3)}
    if name in ("plot_power", "recover"):
        optional = {"curve": None, "truth": None}
    parameters = inspect.signature(owner).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return {**{key: found[key] for key in needed if key in found}, **optional}


def values() -> st.SearchStrategy:
    """Return a strategy of what somebody may hand over by mistake."""
    odd = [
        None, True, -1, 0, 2, 1.5, 10**400, 1j, b"x", "", "no such", "x", "g", "y ~", "~ x", "ML", "~ (1 | g)", (), [], {},
        ["a"], [1],
        [None], {"a": 1}, {"x": "a"}, {"x": None}, {1: 2}, {"g": [[1, "a"]]}, ["x", "x"], ["x", 1], int, slice(3), range(3),
        float("nan"), float("inf"), np.float64("nan"), np.bool_(True), np.array([]), np.array([[1.0, 2.0]]), np.array(["a"]),
        np.full(60, np.nan), np.ones(3), pd.NaT, pd.NA, np.datetime64("2020-01-01"), pd.Series([1, 2]), pd.DataFrame(),
        Rule(), ml.RRandom(1),
    ]  # fmt: skip
    return st.one_of(st.sampled_from(odd), st.integers(-3, 3), st.floats(-2.0, 2.0), st.text("xg01:|~+ ()", max_size=6))


def functions() -> list[str]:
    return [name for name in ml.__all__ if inspect.isfunction(getattr(ml, name))]


def methods() -> list[str]:
    found = inspect.getmembers(ml.LinearMixedModel, inspect.isfunction)
    return [name for name, _ in found if not name.startswith("_")]


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Allow a MultilevelError with a sentence in it, and nothing else."""
    try:
        yield
    except ml.MultilevelError as error:
        if not str(error).strip():
            pytest.fail(f"{type(error).__name__} says nothing")


def throw_at(name: str, function: object, data: st.DataObject) -> None:
    """Call with one argument replaced; whatever leaves is a MultilevelError, or Python's refusal of the call itself."""
    arguments = right(name, function)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("statistic", "path")]
    if not parameters:
        return
    chosen = data.draw(st.sampled_from(parameters))
    value = data.draw(values())
    if isinstance(value, type) and chosen.name in ("test", "statistics"):
        return  # a class is a function of the user's
    positional: list[object] = []
    if chosen.kind is chosen.VAR_POSITIONAL:
        positional = [fit(), value]
    elif chosen.kind is chosen.VAR_KEYWORD:
        arguments["another"] = value
    else:
        arguments[chosen.name] = value
    try:
        inspect.signature(function).bind(*positional, **arguments)
    except TypeError:
        return  # Python refuses the call itself
    with warnings.catch_warnings(), answered():
        warnings.simplefilter("ignore")
        function(*positional, **arguments)


@pytest.mark.parametrize("name", [name for name in functions() if name != "load"])
@TIMES
@given(data=st.data())
def test_functions(name, data):
    throw_at(name, getattr(ml, name), data)


@pytest.mark.parametrize("name", methods())
@TIMES
@given(data=st.data())
def test_methods_of_a_fit(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    throw_at(name, getattr(fit(), name), data)


@pytest.mark.parametrize(
    "owner", [ml.LmerControl, ml.DataDesign, ml.Crossed, ml.RRandom], ids=lambda owner: owner.__name__
)
@TIMES
@given(data=st.data())
def test_what_users_make(owner, data):
    arguments = {
        "LmerControl": {},
        "DataDesign": {"formula": "y ~ x + (1 | g)", "levels": {"g": 5}, "fixed": [0, 1], "random": {"g": 1.0}, "sigma": 1.0},
        "Crossed": {"size": 3},
        "RRandom": {"seed": 1},
    }[owner.__name__]  # fmt: skip
    name = data.draw(st.sampled_from(list(inspect.signature(owner).parameters)))
    with answered():
        owner(**{**arguments, name: data.draw(values())})


def results() -> dict[str, object]:
    """Return what functions return, those with methods that take arguments."""
    data = frame()
    means = ml.emmeans(fit(), "f")
    return {
        "means": means, "profile": ml.profile(fit(), "x", points=3), "bootstrap": fit().bootstrap(3, rng=1), "ranef": fit().ranef(),
        "posterior": ml.sim(fit(), 3, rng=1), "standardizer": ml.Standardizer.of(data, ["x"]), "design": design(),
        "correlation": ml.correlation(data[["x", "w"]]), "anova": ml.anova(fit()), "formula": fit().formula,
        "components": ml.re_pca(fit("slopes by likelihood")), "checks": ml.check_model(fit()), "summary": fit().summary(),
    }  # fmt: skip


@functools.cache
def kept_results() -> dict[str, object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return results()


RESULT_METHODS = [
    ("means", "contrast"), ("means", "pairs"), ("means", "test"), ("means", "to_frame"), ("means", "to_html"),
    ("profile", "confint"), ("bootstrap", "confint"), ("ranef", "conditional_variances"), ("ranef", "__getitem__"),
    ("posterior", "coef"), ("standardizer", "transform"), ("standardizer", "inverse"), ("design", "draw"),
    ("design", "replace"), ("design", "study"), ("correlation", "matrix"), ("anova", "to_html"), ("anova", "to_latex"),
    ("anova", "to_markdown"), ("formula", "update"), ("formula", "expand_dot"), ("components", "loadings"),
    ("components", "__getitem__"), ("checks", "__getitem__"), ("summary", "to_html"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "method"), RESULT_METHODS)
@TIMES
@given(data=st.data())
def test_methods_of_results(result, method, data):
    function = getattr(kept_results()[result], method, None)
    if function is None:
        pytest.fail(f"{result} has no {method}")
    throw_at(method, function, data)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fit(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = of_kind(kind, tmp_path)
    skipped = {"power", "power_curve", "report", "plot_checks", "check_model"}  # each is long, and tested on its own
    for name in set(functions()) - skipped:
        function = getattr(ml, name)
        if "fit" not in inspect.signature(function).parameters:
            continue
        with answered():
            function(**{**right(name, function), "fit": one})
    for name in set(methods()) - {"bootstrap", "save"}:
        method = getattr(one, name)
        with answered():
            method(**right(name, method))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text("x f:ab2=+-*/(),;`1.", max_size=12))
def test_hypotheses(text):
    with answered():
        found = ml.contrast_test(fit(), text)
        assert np.isfinite(found["estimate"]).all()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text("yxfgw~+-*/(|):^ 1&<>=!'", max_size=14))
def test_subsets(text):
    with answered():
        ml.lmer("y ~ x + (1 | g)", frame(), subset=text)


CLASSES = {
    "LinearMixedModel", "LmerControl", "MarginalMeans", "Profile", "PowerCurve", "DataFrame", "RRandom", "SeedSequence",
    "Generator",
}  # fmt: skip
"""Classes that a signature may name without importing them; an alias that is not there when the program runs would stand here."""


def test_every_signature_can_be_read():
    for name in ml.__all__:
        owner = getattr(ml, name)
        found = [owner] if inspect.isfunction(owner) else []
        if inspect.isclass(owner) and not issubclass(owner, Exception):
            members = inspect.getmembers(owner, inspect.isfunction)
            found = [method for key, method in members if not key.startswith("_")]
        for function in found:
            inner = getattr(function, "__wrapped__", None)
            if inner is None:
                own = inspect.getmodule(function).__name__
                ground = ("collections.abc", "multilevel.size_limits")  # the latter keeps its own door
                assert own in ground or own.startswith("multilevel.simulation.r_random"), (name, function)
                continue
            rules = door_of(inner, name, inner.__globals__, bound=inspect.isclass(owner)).by_name.values()
            for rule in (part for whole in rules for part in (whole.parts if isinstance(whole, OneOf) else (whole,))):
                assert not isinstance(rule, Instance) or not isinstance(rule.kind, str) or rule.kind in CLASSES, (
                    name,
                    rule,
                )
