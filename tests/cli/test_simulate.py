from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.simulation.design_file import EXAMPLE, read_design

MODEL = "score ~ hours + (1 | clinic)"

SMALL = """
formula = "y ~ arm + (1 | school)"
sigma = 2
[levels]
school = 12
pupil = 5
[predictors]
arm = "balanced(c('a', 'b')) | school"
[fixed]
"(Intercept)" = 10
armb = 3
[random]
school = 1
"""


def read(result):
    assert result.exit_code == 0, result.output
    return pd.read_csv(io.StringIO(result.stdout))


@pytest.fixture
def design(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    return file


def test_responses_of_a_fit(run, table, clinics):
    found = read(run("simulate", "model", table, MODEL, "-n", "3", "--seed", "1"))
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer(MODEL, clinics)
    drawn = fit.simulate(3, rng=1)
    assert list(found.columns) == [*clinics.columns, "sim_1", "sim_2", "sim_3"]
    kept = clinics[["score", "hours"]].notna().all(axis=1).to_numpy()
    assert np.array_equal(found["sim_2"].notna(), kept)
    np.testing.assert_allclose(found.loc[kept, ["sim_1", "sim_2", "sim_3"]].to_numpy().T, drawn, rtol=1e-12)


def test_random_numbers_of_r(run):
    arguments = ["dataset:Dyestuff", "Yield ~ 1 + (1 | Batch)", "--r-seed", "5", "--only-responses"]
    found = read(run("simulate", "model", *arguments))
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    np.testing.assert_allclose(found["sim_1"], fit.simulate(rng=ml.RRandom(5))[0], rtol=1e-12)


def test_conditional(run):
    arguments = ["dataset:Dyestuff", "Yield ~ 1 + (1 | Batch)", "--seed", "5", "--only-responses", "--conditional"]
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff"))
    expected = fit.simulate(rng=5, conditional=True)[0]
    np.testing.assert_allclose(read(run("simulate", "model", *arguments))["sim_1"], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "number"), [("cluster", "1"), ("confounder", "2"), ("context", "3"), ("slopes", "4")])
def test_scenarios(run, name, number):
    options = ["--clusters", "15", "--size", "3", "--seed", "9"]
    found = read(run("simulate", "scenario", name, *options))
    expected = getattr(ml.scenarios, name)(clusters=15, size=3, seed=9).data
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_categorical=False, rtol=1e-12)
    assert run("simulate", "scenario", number, *options).stdout == run("simulate", "scenario", name, *options).stdout


def test_about_a_scenario(run):
    assert run("simulate", "scenario", "2", "--about").stdout == f"{ml.scenarios.confounder()!r}\n"


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet", "feather"])
def test_design(run, design, tmp_path, ending):
    file = tmp_path / f"d.{ending}"
    result = run("simulate", "design", design, "--seed", "3", "-o", file)
    assert (result.exit_code, result.output) == (0, "")
    expected, _ = read_design(design).draw(rng=3)
    if ending in ("parquet", "feather"):
        found = getattr(pd, f"read_{ending}")(file)
    else:
        found = pd.read_csv(file, sep="\t" if ending == "tsv" else ",")
    np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-12)
    assert found["arm"].tolist() == expected["arm"].tolist()


def test_example_is_a_design(run, tmp_path):
    file = tmp_path / "example.toml"
    file.write_text(run("simulate", "design", "--example").stdout, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == EXAMPLE
    found = read(run("simulate", "design", file, "--seed", "1"))
    assert found["school"].nunique() == 40
    text = run("simulate", "design", file, "--seed", "1", "--about").stdout
    assert "armtherapy:ses" in text
    assert "Std.Dev." in text


def test_parts_of_a_design_file(tmp_path):
    file = tmp_path / "crossed.toml"
    file.write_text(
        SMALL.replace("pupil = 5", "item = {crossed = 6, each = 2}")
        .replace(
            "[fixed]", '"u, v" = "multivariate_normal(c(0, 0), 1, 0.5)"\n[contrasts]\narm = ["treatment", "b"]\n[fixed]'
        )
        .replace("armb", "arma"),
        encoding="utf-8",
    )
    frame, truth = read_design(file).draw(rng=1)
    assert len(frame) == 24
    assert {"u", "v", "item"} <= set(frame.columns)
    assert truth.fixef["arma"] == 3


def test_power(run, design):
    arguments = ["-n", "20", "--seed", "1", "--effect", "armb=1.5", "--extend", "school=8"]
    result = run("simulate", "power", design, *arguments)
    expected = ml.power(read_design(design), n=20, rng=1, effects={"armb": 1.5}, extend={"school": 8})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{expected}\n"
    stored = json.loads(run("simulate", "power", design, *arguments, "--format", "json").stdout)
    (row,) = stored["power"]["rows"]
    assert (row["test"], row["power"]) == ("armb", expected.to_frame().loc["armb", "power"])


def test_power_of_a_pilot_study(run):
    arguments = ["dataset:sleepstudy", "Reaction ~ Days + (1 | Subject)", "--effect", "Days=3", "--ddf", "asymptotic"]
    result = run("simulate", "power", *arguments, "-n", "30", "--seed", "2", "--format", "csv")
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    expected = ml.power(fit, n=30, rng=2, effects={"Days": 3}, ddf="asymptotic").to_frame()
    found = pd.read_csv(io.StringIO(result.stdout), index_col="test")
    pd.testing.assert_series_equal(found.loc["Days"], expected.loc["Days"], check_dtype=False, check_names=False)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (("sigma = 2", "sgima = 2"), "no part 'sgima'"),
        (("sigma = 2", ""), "lacks 'sigma'"),
        (("sigma = 2", "sigma ="), "is not TOML"),
        (("armb = 3", "armc = 3"), "armc"),
        (("pupil = 5", "pupil = {size = 5}"), "crossed = 60"),
        (("[levels]\nschool = 12\npupil = 5", "levels = 3"), "must be a table"),
    ],
)
def test_wrong_designs(run, design, complaint, change, phrase):
    design.write_text(SMALL.replace(*change), encoding="utf-8")
    assert phrase in complaint(run("simulate", "design", design))


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ([], "Missing command"),
        (["scenario", "5"], "'5' is not one of"),
        (["design"], "Missing argument 'DESIGN'"),
        (["design", "nowhere.toml"], "cannot read 'nowhere.toml': No such file"),
        (["scenario", "1", "-o", "x.xlsx"], "let it end in .csv, .tsv, .parquet or .feather"),
        (["scenario", "1", "-o", "x.parquet.gz"], "only .csv and .tsv"),
        (
            ["model", "dataset:Dyestuff", "Yield ~ 1 + (1 | Batch)", "--seed", "1", "--r-seed", "1"],
            "exclude each other",
        ),
        (["power", "dataset:Dyestuff"], "Missing argument 'FORMULA'"),
        (["power", "x.toml", "--weights", "w"], "--weights is for tables"),
        (["power", "x.toml", "--effect", "x"], "NAME=NUMBER"),
        (["power", "x.toml", "--extend", "school=2.5"], "NAME=WHOLE NUMBER"),
    ],
)
def test_wrong_use(run, complaint, arguments, phrase):
    assert phrase in complaint(run("simulate", *arguments))


def test_reader_that_has_gone():
    done = subprocess.run(
        f'"{sys.executable}" -m multilevel simulate scenario 1 | head -n 1',
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "k_id,N_id,x1,x2,k_effect,y\n"
    assert done.stderr == ""
