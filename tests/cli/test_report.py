from __future__ import annotations

import pytest

import multilevel as ml

MODEL = "score ~ hours + (1 | clinic)"


def test_page_is_the_library_s(run, table, clinics, tmp_path):
    file = tmp_path / "report.html"
    result = run("report", table, MODEL, "-o", file, "--no-pictures", "--title", "Hours")
    assert (result.exit_code, result.stdout) == (0, "")
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer(MODEL, clinics)
    expected = ml.report(fit, title="Hours", pictures=False, source=table)
    assert file.read_text(encoding="utf-8") == expected.html
    assert table in expected.html


def test_pictures(run, tmp_path):
    file = tmp_path / "report.html"
    arguments = ["dataset:Dyestuff", "Yield ~ 1 + (1 | Batch)", "--no-checks"]
    assert run("report", *arguments, "-o", file).exit_code == 0
    text = file.read_text(encoding="utf-8")
    assert text.count("data:image/png") >= 3
    assert "load_dataset(" in text


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ([MODEL], "Missing option '-o'"),
        ([MODEL, "-o", "report.pdf"], "let it end in .html or .htm"),
        ([MODEL, "-o", "nowhere/report.html"], "nowhere"),
        (["score ~ hurs + (1 | clinic)", "-o", "report.html"], "did you mean 'hours'?"),
    ],
)
def test_wrong_use(run, table, tmp_path, monkeypatch, complaint, arguments, phrase):
    monkeypatch.chdir(tmp_path)
    assert phrase in complaint(run("report", table, *arguments))
    assert not list(tmp_path.glob("report*"))
