from __future__ import annotations

import io
import json

import pandas as pd
import pytest

import multilevel as ml


def test_text_is_what_the_library_says(run, table, clinics):
    result = run("describe", table)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{ml.describe(clinics)}\n"
    by = run("describe", table, "score", "hours", "--by", "arm").stdout
    assert by == f"{ml.describe_by(clinics, ['arm'], ['score', 'hours'])}\n"


def test_clusters_and_correlations(run, table, clinics):
    text = run("describe", table, "score", "hours", "--cluster", "clinic", "--correlations").stdout
    names = ["score", "hours"]
    parts = [
        ml.describe(clinics, names),
        ml.correlation(clinics, names, cluster="clinic"),
        ml.cluster_sizes(clinics, "clinic"),
        ml.variable_levels(clinics, "clinic", names),
        ml.variance_by_level(clinics, names, "clinic"),
    ]
    assert text == "\n\n\n".join(map(str, parts)) + "\n"


def test_json(run, table, clinics):
    result = run("describe", table, "--cluster", "clinic", "--correlations", "--factors", "counts", "--format", "json")
    stored = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert list(stored) == ["multilevel", "data", "statistics", "correlations", "sizes", "levels", "variances"]
    rows = {row["variable"]: row for row in stored["statistics"]["rows"]}
    assert rows["score"]["mean"] == pytest.approx(clinics.score.mean(), rel=1e-12)
    assert rows["hours"]["missing"] == 2
    assert {(row["level"], row["n"]) for row in stored["statistics"]["counts"] if row["variable"] == "arm"} == set(
        clinics.arm.value_counts().items()
    )
    assert [row["variable"] for row in stored["correlations"]["icc"]] == ["patient", "hours", "score", "beds"]
    assert {row["variable"]: row["level"] for row in stored["levels"]["rows"]}["beds"] == "clinic"


def test_csv_has_one_table_at_full_precision(run, table, clinics):
    result = run("describe", table, "--cluster", "clinic", "--only", "variances", "--format", "csv")
    found = pd.read_csv(io.StringIO(result.stdout))
    expected = ml.variance_by_level(clinics, None, "clinic").to_frame()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-12)
    statistics = pd.read_csv(io.StringIO(run("describe", table, "--format", "csv").stdout), index_col="variable")
    assert statistics.loc["clinic*", "n"] == len(clinics)


@pytest.mark.parametrize(
    ("form", "start"), [("html", "<!DOCTYPE html>"), ("markdown", ""), ("latex", "% requires"), ("text", "")]
)
def test_other_forms(run, table, tmp_path, form, start):
    file = tmp_path / "out"
    result = run("describe", table, "--cluster", "clinic", "--format", form, "-o", file)
    assert (result.exit_code, result.stdout) == (0, "")
    text = file.read_text(encoding="utf-8")
    assert text.startswith(start)
    assert "singletons" in text


def test_text_columns_have_no_variances(run, table):
    text = run("describe", table, "arm", "--cluster", "clinic").stdout
    assert "between clinic only" in text
    assert "icc1" not in text


@pytest.mark.parametrize(
    ("arguments", "phrase", "code"),
    [
        (["skore"], "did you mean 'score'?", 2),
        (["--cluster", "klinic"], "did you mean 'clinic'?", 2),
        (["--by", "harm"], "did you mean 'arm'?", 2),
        (["skore", "--only", "correlations"], "did you mean 'score'?", 2),
        (["--only", "sizes"], "--only sizes needs --cluster", 2),
        (["--cluster", "clinic", "--format", "csv"], "CSV holds one table", 2),
        (["--factors", "counts", "--format", "csv"], "without counts", 2),
        (["--method", "kendall"], "add --correlations", 2),
        (["--cluster", "clinic", "--cluster", "arm", "--correlations"], "one --cluster", 2),
        (["arm", "--correlations"], "None of the columns arm holds numbers", 1),
        (["-o", "nowhere/x.txt"], "nowhere", 2),
    ],
)
def test_wrong_use(run, table, complaint, arguments, phrase, code):
    assert phrase in complaint(run("describe", table, *arguments), code)
