from __future__ import annotations

import io
import json

import pandas as pd
import pytest

import multilevel as ml

EMPTY = "score ~ 1 + (1 | clinic)"
HOURS = "score ~ hours + (1 | clinic)"
ARMS = "score ~ hours + arm + (1 | clinic)"


def fits(clinics, *formulas):
    rows = clinics.dropna()
    return [ml.lmer(formula, rows) for formula in formulas]


def test_all_models_have_the_same_rows(run, table, clinics):
    result = run("compare", table, EMPTY, HOURS, "--table")
    small, large = fits(clinics, EMPTY, HOURS)
    names = ["model 1", "model 2"]
    parts = [
        ml.anova(small, large),
        ml.compare_performance(small, large, names=names),
        ml.tab_model(small, large, names=names),
    ]
    assert result.exit_code == 0
    assert result.stdout == "\n\n\n".join(map(str, parts)) + "\n"
    assert result.stderr == (
        "multilevel: warning: The models lack values in different rows; all were fitted to the "
        f"{len(clinics) - 3} of {len(clinics)} rows in which none does.\n"
    )


def test_models_that_lack_the_same_rows_say_so_once(run, table):
    result = run("compare", table, HOURS, ARMS)
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 1
    assert "left out" in result.stderr


def test_json(run, table, clinics):
    result = run("compare", table, HOURS, ARMS, "--format", "json")
    stored = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert stored["models"] == {"model 1": HOURS, "model 2": ARMS}
    expected = ml.anova(*fits(clinics, HOURS, ARMS)).to_frame()
    rows = stored["tests"]["rows"]
    assert [row["model"] for row in rows] == list(expected.index)
    assert rows[1]["p_value"] == pytest.approx(expected["p_value"].iloc[1], rel=1e-9)
    assert rows[0]["p_value"] is None


def test_csv_and_rank(run, table, clinics):
    result = run("compare", table, EMPTY, HOURS, "--only", "performance", "--rank", "--format", "csv")
    found = pd.read_csv(io.StringIO(result.stdout), index_col="model")
    expected = ml.compare_performance(*fits(clinics, EMPTY, HOURS), rank=True).to_frame()
    assert list(found.index) == list(expected.index)
    assert found["aic"].tolist() == pytest.approx(expected["aic"].tolist(), rel=1e-9)


@pytest.mark.parametrize(("form", "start"), [("html", "<!DOCTYPE html>"), ("markdown", ""), ("latex", "% requires")])
def test_other_forms(run, table, form, start):
    result = run("compare", table, HOURS, ARMS, "--table", "--format", form)
    assert result.exit_code == 0
    assert result.stdout.startswith(start)
    assert "Observations" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "phrase", "code"),
    [
        ([HOURS], "nothing to compare", 2),
        ([HOURS, "score ~ hours"], "random-effects term", 2),
        ([HOURS, "score ~ hurs + (1 | clinic)"], "did you mean 'hours'?", 2),
        ([HOURS, "log(score) ~ hours + (1 | clinic)"], "different responses", 1),
        ([HOURS, ARMS, "--format", "csv"], "CSV holds one table", 2),
    ],
)
def test_wrong_use(run, table, complaint, arguments, phrase, code):
    assert phrase in complaint(run("compare", table, *arguments), code)
