from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from multilevel.cli import main
from multilevel.cli.completion import VARIABLE
from multilevel.cli.suggestions import columns_of

COLUMNS = ["clinic", "patient", "arm", "hours", "score", "beds"]


def suggested(arguments, incomplete):
    found = ShellComplete(main, {}, "multilevel", VARIABLE).get_completions(list(arguments), incomplete)
    return [item.value for item in found if item.type == "plain"]


def test_words():
    assert suggested([], "sim") == ["simulate"]
    assert suggested(["fit"], "dataset:sl") == ["dataset:sleepstudy"]
    assert suggested(["fit"], "da") == ["dataset:"]
    assert suggested(["plot", "x.csv", "y ~ 1 + (1 | g)", "--type"], "re") == ["re", "resid"]
    assert suggested(["simulate", "scenario"], "con") == ["confounder", "context"]
    assert suggested(["datasets"], "sl") == ["sleepstudy"]


def test_columns(table):
    assert suggested(["describe", table, "--cluster"], "") == COLUMNS
    assert suggested(["describe", table], "ho") == ["hours"]
    assert suggested(["fit", table, "y ~ 1 + (1 | g)", "--weights"], "be") == ["beds"]
    assert suggested(["describe", "dataset:sleepstudy", "--cluster"], "S") == ["Subject"]
    assert suggested(["describe", "nowhere.csv", "--cluster"], "") == []


@pytest.mark.parametrize("ending", ["csv.gz", "tsv", "parquet", "feather"])
def test_columns_of_other_files(clinics, tmp_path, ending):
    file = tmp_path / f"c.{ending}"
    if ending in ("parquet", "feather"):
        getattr(clinics, f"to_{ending}")(file)
    else:
        clinics.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    assert columns_of(str(file)) == COLUMNS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(run, shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert VARIABLE in result.stdout
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=result.stdout, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("multilevel simulate sc", "scenario"),
        ("multilevel fit dataset:sl", "sleepstudy"),
        ("multilevel describe dataset:sleepstudy --cluster ", "Reaction Days Subject"),
        ("multilevel describe dataset:sleepstudy --cluster=S", "Subject"),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_in_bash(run, tmp_path, line, replies):
    program = tmp_path / "multilevel"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m multilevel "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = f"""{run("completion", "bash").stdout}
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); COMP_CWORD=1
        _multilevel_completion multilevel
        echo "${{COMPREPLY[*]}}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc"], input=script, env={**os.environ, "PATH": path}, text=True, capture_output=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (replies.split(), "")


def test_wrong_shell(run, complaint):
    assert "'tcsh' is not one of" in complaint(run("completion", "tcsh"))
