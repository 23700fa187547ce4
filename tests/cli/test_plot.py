from __future__ import annotations

import importlib

import pytest

from multilevel.cli.plot import OF_DATA, OF_MODELS, OF_ONE_MODEL
from multilevel.errors import MissingDependencyError
from multilevel.plot.model import KINDS

MODEL = "score ~ hours + (1 | clinic)"
SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def png_size(file):
    content = file.read_bytes()
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


@pytest.mark.parametrize("ending", SIGNATURES)
def test_endings(run, table, tmp_path, ending):
    file = tmp_path / f"re.{ending}"
    result = run("plot", table, MODEL, "--type", "re", "-o", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_bytes().startswith(SIGNATURES[ending])


def test_size_and_title(run, table, tmp_path):
    file = tmp_path / "est.png"
    result = run("plot", table, MODEL, "--width", "5", "--height", "3", "--dpi", "60", "-o", file)
    assert result.exit_code == 0
    assert png_size(file) == (300, 180)
    titled = tmp_path / "est.svg"
    assert run("plot", table, MODEL, "--title", "Hours help", "-o", titled).exit_code == 0
    assert "Hours help" in titled.read_text(encoding="utf-8")


def test_size_of_several_pictures(run, table, tmp_path):
    file = tmp_path / "diag.png"
    options = ["--option", 'panels=["resid", "qq"]', "--width", "6", "--height", "3", "--dpi", "50"]
    assert run("plot", table, MODEL, "--type", "diag", *options, "-o", file).exit_code == 0
    assert png_size(file) == (300, 150)


@pytest.mark.parametrize(
    ("kind", "function", "options", "expected"),
    [
        ("pred", "predictions.plot_predictions",
         ["--terms", "hours, arm", "--level", "0.9"], {"terms": ["hours", "arm"], "level": 0.9}),
        ("re", "random_effects.plot_random_effects",
         ["--group", "clinic", "--option", "sort=false"], {"group": "clinic", "sort": False}),
        ("clusters", "clusters.plot_clusters", ["--group", "clinic"], {"x": "hours", "cluster": "clinic"}),
        ("shrinkage", "shrinkage.plot_shrinkage", [], {}),
        ("profile", "profiles.plot_profile",
         ["--terms", "sigma", "--option", "kind=density"], {"which": ["sigma"], "kind": "density"}),
        ("r2", "explained_variance.plot_r2", ["--option", "method=nakagawa"], {"method": "nakagawa"}),
    ],
)  # fmt: skip
def test_options_reach_the_picture(run, table, tmp_path, monkeypatch, kind, function, options, expected):
    module, name = function.split(".")
    home = importlib.import_module(f"multilevel.plot.{module}")
    draw = getattr(home, name)
    seen = []

    def watched(*what, **given):
        seen.append(given)
        return draw(*what, **given)

    watched.__signature__ = importlib.import_module("inspect").signature(draw)
    monkeypatch.setattr(home, name, watched)
    file = tmp_path / "p.png"
    formula = "score ~ hours + arm + (1 | clinic)"
    result = run("plot", table, formula, "--type", kind, *options, "--dpi", "40", "-o", file)
    assert result.exit_code == 0, result.output
    assert seen == [expected]
    assert file.stat().st_size > 0


@pytest.mark.parametrize("kind", ["models", "r2", "comparison"])
def test_several_models(run, table, tmp_path, kind):
    file = tmp_path / "p.png"
    formulas = ["score ~ 1 + (1 | clinic)", MODEL]
    if kind == "models":
        formulas[0] = "score ~ hours + arm + (1 | clinic)"
    assert run("plot", table, *formulas, "--type", kind, "--dpi", "40", "-o", file).exit_code == 0
    assert file.read_bytes().startswith(SIGNATURES["png"])


def test_every_type_is_offered(run):
    assert set(KINDS) <= {*OF_ONE_MODEL, *OF_DATA}
    text = run("plot", "--help").stdout
    assert all(f"  {kind} " in text for kind in [*OF_ONE_MODEL, *OF_DATA, *OF_MODELS])


def test_no_plotnine(run, table, tmp_path, monkeypatch, complaint):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("multilevel.plot.style.importlib.import_module", missing)
    said = complaint(run("plot", table, MODEL, "-o", tmp_path / "p.png"), 1)
    assert said == "Pictures need the package plotnine: pip install 'multilevel[plot]'."
    assert issubclass(MissingDependencyError, ImportError)


@pytest.mark.parametrize(
    ("arguments", "phrase", "code"),
    [
        ([MODEL], "Missing option '-o'", 2),
        ([MODEL, "-o", "x.gif"], "let it end in .png, .svg or .pdf", 2),
        ([MODEL, "-o", "nowhere/x.png"], "nowhere", 2),
        ([MODEL, "-o", "x.png", "--type", "pie"], "'pie' is not one of", 2),
        ([MODEL, "-o", "x.png", "--terms", "hurs"], "hurs", 2),
        ([MODEL, "-o", "x.png", "--type", "re", "--group", "klinic"], "klinic", 2),
        ([MODEL, "-o", "x.png", "--option", "level"], "NAME=VALUE", 2),
        ([MODEL, "-o", "x.png", "--option", "colour=red"], "no option 'colour'", 2),
        ([MODEL, "-o", "x.png", "--type", "shrinkage", "--option", "fit=1"], "no option 'fit'", 2),
        ([MODEL, MODEL, "-o", "x.png", "--type", "re"], "shows one model", 2),
        ([MODEL, "-o", "x.png", "--type", "comparison"], "two formulas", 2),
        ([MODEL, "-o", "x.png", "--type", "diag", "--title", "A"], "leave out --title", 2),
        (["score ~ 1 + (1 | clinic)", "-o", "x.png", "--type", "clusters"], "with --terms", 1),
    ],
)
def test_wrong_use(run, table, tmp_path, monkeypatch, complaint, arguments, phrase, code):
    monkeypatch.chdir(tmp_path)
    assert phrase in complaint(run("plot", table, *arguments), code)
    assert not (tmp_path / "x.png").exists()
