from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import multilevel as ml
from multilevel.cli import main

SLEEP = ["fit", "dataset:sleepstudy", "Reaction ~ Days + (Days | Subject)"]


@pytest.fixture
def run():
    runner = CliRunner()

    def invoke(*arguments, **options):
        return runner.invoke(main, list(arguments), **options)

    return invoke


def as_json(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def estimates(stored):
    return {row["term"]: row["estimate"] for row in stored["fixed_effects"]}


def complaint(result, code):
    """Return the one line on standard error."""
    assert result.exit_code == code
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("multilevel: error: ")
    return lines[0].removeprefix("multilevel: error: ")


# ---- what is printed ---------------------------------------------------------------------------------------------------


def test_text_is_the_summary(run):
    result = run(*SLEEP)
    fit = ml.lmer(SLEEP[2], ml.load_dataset("sleepstudy"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{fit.summary()}\n"


def test_json(run):
    stored = as_json(run(*SLEEP, "--format", "json"))
    fit = ml.lmer(SLEEP[2], ml.load_dataset("sleepstudy"))
    assert stored["multilevel"] == ml.__version__
    assert stored["data"] == "dataset:sleepstudy"
    assert {key: value for key, value in stored.items() if key not in ("multilevel", "data")} == fit.summary().to_dict()
    assert {
        "formula", "method", "criteria", "nobs", "ngroups", "fixed_effects", "random_effects", "theta", "sigma", "convergence",
    } <= stored.keys()  # fmt: skip


@pytest.mark.parametrize(
    ("form", "start"), [("html", "<!doctype html>"), ("markdown", "**Linear mixed"), ("latex", "% requires")]
)
def test_other_forms(run, form, start):
    result = run(*SLEEP, "--format", form)
    assert result.exit_code == 0
    assert result.stdout.startswith(start)


def test_output_file(run, tmp_path):
    file = tmp_path / "fit.json"
    result = run(*SLEEP, "--format", "json", "-o", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(file.read_text(encoding="utf-8"))["nobs"] == 180


def test_correlation_can_be_left_out(run):
    assert "Correlation of Fixed" in run(*SLEEP).stdout
    assert "Correlation of Fixed" not in run(*SLEEP, "--no-correlation").stdout


# ---- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("s.csv", lambda d, f: d.to_csv(f, index=False)),
        ("s.csv.gz", lambda d, f: d.to_csv(f, index=False)),
        ("s.TSV", lambda d, f: d.to_csv(f, index=False, sep="\t")),
        ("s.parquet", lambda d, f: d.to_parquet(f)),
        ("s.feather", lambda d, f: d.to_feather(f)),
        ("s.arrow", lambda d, f: d.to_feather(f)),
    ],
)
def test_files(run, tmp_path, name, write):
    file = tmp_path / name
    write(ml.load_dataset("sleepstudy"), file)
    stored = as_json(run("fit", str(file), SLEEP[2], "--format", "json"))
    assert stored["criteria"]["reml_criterion"] == pytest.approx(1743.6282719585)


def test_standard_input(run):
    text = ml.load_dataset("sleepstudy").to_csv(index=False)
    stored = as_json(run("fit", "-", SLEEP[2], "--format", "json", input=text))
    assert estimates(stored)["Days"] == pytest.approx(10.46728596)


# ---- options -----------------------------------------------------------------------------------------------------------


def test_ml(run):
    stored = as_json(run(*SLEEP, "--ml", "--format", "json"))
    assert stored["method"] == "ML"
    assert stored["criteria"]["deviance"] == pytest.approx(1751.9393445)


def test_weights_and_offset(run, tmp_path):
    data = ml.load_dataset("sleepstudy")
    data["w"] = np.linspace(0.5, 2.0, 180)
    data["off"] = np.linspace(-5.0, 5.0, 180)
    file = tmp_path / "s.parquet"
    data.to_parquet(file)
    stored = as_json(run("fit", str(file), SLEEP[2], "--weights", "w", "--offset", "off", "--format", "json"))
    fit = ml.lmer(SLEEP[2], data, weights="w", offset="off")
    assert (stored["weights"], stored["offset"]) == ("w", "off")
    assert estimates(stored) == pytest.approx(fit.fixef.to_dict())


def test_contrasts(run):
    formula = "angle ~ recipe + temp + (1 | recipe:replicate)"
    coded = as_json(run("fit", "dataset:cake", formula, "--contrasts", "recipe=sum", "--format", "json"))
    fit = ml.lmer(formula, ml.load_dataset("cake"), contrasts={"recipe": "sum"})
    assert estimates(coded) == pytest.approx(fit.fixef.to_dict())
    based = as_json(run("fit", "dataset:cake", formula, "--contrasts", "recipe=treatment:B", "--format", "json"))
    assert list(estimates(based)) == ["(Intercept)", "recipeA", "recipeC", "temp"]


def test_numbers_as_a_factor(run):
    arguments = (
        "fit",
        "dataset:sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
        "--categorical",
        "Days",
        "--format",
        "json",
    )
    assert list(estimates(as_json(run(*arguments)))) == ["(Intercept)", *(f"Days{day}" for day in range(1, 10))]


@pytest.mark.parametrize("optimizer", ["l-bfgs-b", "nelder-mead"])
def test_optimizer(run, optimizer):
    stored = as_json(run(*SLEEP, "--optimizer", optimizer, "--format", "json"))
    assert stored["convergence"]["optimizer"] == optimizer
    assert stored["criteria"]["reml_criterion"] == pytest.approx(1743.6282719585)


def test_missing_values(run, tmp_path):
    data = ml.load_dataset("sleepstudy")
    data.loc[[2, 5], "Reaction"] = np.nan
    file = tmp_path / "s.csv"
    data.to_csv(file, index=False)
    result = run("fit", str(file), SLEEP[2], "--format", "json")
    assert as_json(result)["missing"] == {"Reaction": 2}
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("multilevel: warning: ")
    assert "2" in result.stderr
    assert "Reaction" in complaint(run("fit", str(file), SLEEP[2], "--na-action", "fail"), 1)


# ---- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["fit", "nowhere.csv", "y ~ x + (1 | g)"], "cannot read 'nowhere.csv': No such file"),
        (["fit", "data.xyz", "y ~ x + (1 | g)"], "cannot tell what 'data.xyz' is"),
        (["fit", "dataset:sleepstudi", "y ~ x + (1 | g)"], "did you mean 'sleepstudy'?"),
        (["fit", "dataset:sleepstudy", "Reaction ~ Day + (1 | Subject)"], "'Day'"),
        (["fit", "dataset:sleepstudy", "Reaction ~ Days + (1 | Subject"], "Reaction ~ Days + (1 | Subject"),
        (["fit", "dataset:sleepstudy", "Reaction ~ Days"], "random-effects term"),
        ([*SLEEP, "--weights", "w"], "'w'"),
        ([*SLEEP, "--categorical", "Dayz"], "did you mean 'Days'?"),
        ([*SLEEP, "--contrasts", "Subject"], "NAME=KIND"),
        ([*SLEEP, "--contrasts", "Days=sum"], "'Days'"),
        ([*SLEEP, "--format", "pdf"], "'pdf' is not one of"),
        ([*SLEEP, "--optimizer", "magic"], "'magic'"),
        ([*SLEEP, "--max-evaluations", "0"], "--max-evaluations"),
        ([*SLEEP, "-o", "nowhere/fit.txt"], "nowhere"),
        ([*SLEEP, "--bogus"], "(see multilevel fit --help)"),
        (["fit"], "Missing argument 'FILE'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["datasets", "cakes"], "did you mean 'cake'?"),
        ([], "Missing command"),
    ],
)
def test_wrong_use(run, arguments, phrase):
    assert phrase in complaint(run(*arguments), 2)


def test_unknown_contrasts(run):
    result = run("fit", "dataset:cake", "angle ~ recipe + (1 | recipe:replicate)", "--contrasts", "recipe=magic")
    assert "magic" in complaint(result, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.csv", b""), ("latin.csv", b"y,g\n1,\xe9\n"), ("no.parquet", b"PAR"), ("no.feather", b"x")],
)
def test_unreadable_files(run, tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    assert f"cannot read {str(file)!r}: " in complaint(run("fit", str(file), "y ~ 1 + (1 | g)"), 2)


def test_a_model_that_cannot_be_fitted(run):
    result = run("fit", "dataset:sleepstudy", "Reaction ~ Days + (1 | Days:Subject)")
    assert "180 levels" in complaint(result, 1)


def test_no_rows(run, tmp_path):
    file = tmp_path / "none.csv"
    pd.DataFrame({"y": [], "g": []}).to_csv(file, index=False)
    assert "no rows" in complaint(run("fit", str(file), "y ~ 1 + (1 | g)"), 1)


def test_a_fit_that_does_not_converge(run):
    result = run(*SLEEP, "--optimizer", "nelder-mead", "--max-evaluations", "5", "--format", "json")
    assert result.exit_code == 1
    assert result.stderr.startswith("multilevel: warning: ")
    assert json.loads(result.stdout)["convergence"]["converged"] is False


def test_trouble_with_numbers_is_one_line(run, monkeypatch):
    def broken(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("multilevel.model.lmer.lmer", broken)
    assert complaint(run(*SLEEP), 1) == "the model could not be fitted: Singular matrix"


# ---- the rest ----------------------------------------------------------------------------------------------------------


def test_datasets(run):
    result = run("datasets")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(ml.dataset_names())
    one = run("datasets", "cake").stdout
    assert "temperature  baking temperature" in one
    assert "Source: Cook" in one


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"multilevel {ml.__version__}\n")


def test_help_teaches(run):
    assert "Examples:" in run("--help").stdout
    text = run("fit", "-h").stdout
    for phrase in ("Examples:", "Exit codes:", "(x || g)", "dataset:NAME"):
        assert phrase in text


def test_module_runs_without_what_help_does_not_need():
    code = (
        "import sys, runpy\n"
        "sys.argv = ['multilevel', '--help']\n"
        "try:\n    runpy.run_module('multilevel', run_name='__main__')\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'numpy', 'pandas', 'scipy', 'numba'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: multilevel ")


def test_subprocess():
    done = subprocess.run(
        [sys.executable, "-m", "multilevel", "fit", "-", "y ~ 1 + (1 | g)", "--format", "json"],
        input="y,g\n" + "\n".join(f"{(7 * i) % 5 + i % 3},{'abc'[i % 3]}" for i in range(30)) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nobs"] == 30


def test_reader_that_has_gone():
    done = subprocess.run(
        f'(sleep 1; "{sys.executable}" -m multilevel datasets) | true',
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
