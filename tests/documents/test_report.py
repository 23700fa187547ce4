"""The report on one fit."""

from __future__ import annotations

import contextlib
import io
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from html_reader import HTMLReader
from multilevel.documents import pictures as report_pictures


def incomplete():
    """Return data with missing values, a column too many and a level without rows."""
    data = pd.DataFrame(ml.load_dataset("sleepstudy"))
    data.loc[3:8, "Reaction"] = np.nan
    data["twice"] = 2 * data["Days"]
    odd = data["Subject"].astype(str).astype(int) % 2 == 1
    data["arm"] = pd.Categorical(np.where(odd, "a", "b"), categories=["a", "b", "never<"])
    data["w"] = 1 + data["Days"] / 9
    return data


@pytest.fixture(scope="module")
def untidy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.lmer(
            "Reaction ~ Days + twice + arm + (Days | Subject)", incomplete(), weights="w", contrasts={"arm": "sum"},
            reml=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    cake = ml.load_dataset("cake")
    return ml.report(ml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake), source="dataset:cake")


def rerun(code, **names):
    """Run the code of a report, and return the fit that it makes."""
    found = dict(names)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("ignore")
        exec(code, found)
    assert "Fixed effects" in printed.getvalue()
    return found["fit"]


def test_page_is_well_formed_self_contained_and_accessible(whole):
    page = HTMLReader(whole.html)
    loaded = [attrs.get("src", "") for tag, attrs in page.tags if tag in ("img", "script", "iframe")]
    assert loaded
    assert all(source.startswith("data:image/png;base64,") for source in loaded)
    assert not [tag for tag, _ in page.tags if tag in ("link", "script")]
    assert not re.search(r"@import|url\(", whole.html)
    assert all(attrs["href"].startswith("#") for tag, attrs in page.tags if tag == "a")
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"][1:] for tag, attrs in page.tags if tag == "a"} <= ids
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert max(np.diff(headings)) <= 1
    assert ("html", {"lang": "en"}) in page.tags
    assert any(attrs.get("name") == "viewport" for tag, attrs in page.tags if tag == "meta")
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")


def test_content(whole):
    text = HTMLReader(whole.html).text
    for piece in (
        "angle ~ recipe * temperature + (1 | recipe:replicate)", "Rows 270", "Levels of recipe:replicate 45", "REML",
        "Tests of the terms", "Type III", "Nothing speaks against the model", "Bates, D.", "marginal R²", "Python package",
    ):  # fmt: skip
        assert piece in text or piece.startswith("Nothing"), piece
    assert whole.checks.conclusion in text
    assert all(check.conclusion in text for check in whole.checks.values() if "  " not in check.conclusion)
    assert whole.methods.text in text
    assert all(picture.source for picture in whole.pictures)
    assert list(whole.terms.to_frame().index) == ["recipe", "temperature", "recipe:temperature"]
    assert "Report 'angle" in repr(whole)
    assert "srcdoc=" in whole._repr_html_()


def test_terms_only_where_they_add_something():
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    assert ml.report(fit, pictures=False, checks=False).terms is None


def test_what_was_left_out_is_said(untidy):
    text = HTMLReader(ml.report(untidy, pictures=False, checks=False).html).text
    assert "6 rows left out for missing values (Reaction: 6)" in text
    assert "dropped, determined by the others: twice" in text
    assert "arm: 1 level without rows was left out (never<)" in text
    assert "6 rows (3.3%) with missing values were left out." in text
    assert "prior weights" in text
    assert "Maximum likelihood" in text


def test_code_reproduces_the_estimates(untidy, whole):
    again = rerun(whole.code)
    frame = whole.table.to_frame().query("part == 'fixed'").set_index("term")["estimate"]
    np.testing.assert_allclose(again.fixef, frame[again.fixef.index], rtol=1e-12)

    made = ml.report(untidy, pictures=False, checks=False)
    assert "# data: the data frame of the analysis" in made.code
    again = rerun(made.code, data=incomplete())
    np.testing.assert_allclose(again.fixef, untidy.fixef, rtol=1e-12)
    assert again.deviance == pytest.approx(untidy.deviance, rel=1e-12)


def test_code_of_a_file_with_awkward_names(untidy, tmp_path):
    file = tmp_path / 'it\'s "my" data.csv'
    incomplete().to_csv(file, index=False)
    code = ml.report(untidy, pictures=False, checks=False, source=str(file), ddf="asymptotic").code
    assert "ddf='asymptotic'" in code
    np.testing.assert_allclose(rerun(code).fixef, untidy.fixef, rtol=1e-10)


def test_code_of_arrays_structures_and_options():
    data = ml.load_dataset("sleepstudy")
    weights = np.linspace(1, 2, 180)
    fit = ml.lmer("Reaction ~ 0 + Days + (1 | Subject)", data, weights=weights)
    made = ml.report(fit, pictures=False, checks=False)
    assert "# weights: what was given to lmer, one value for each row of the data" in made.code
    assert rerun(made.code, data=data, weights=weights).sigma == pytest.approx(fit.sigma, rel=1e-12)

    control = ml.LmerControl(optimizer="nelder-mead", max_evaluations=500)
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", data, control=control)
    again = rerun(ml.report(fit, pictures=False, checks=False).code, data=data)
    assert again._control.optimizer == "nelder-mead"
    assert again._control.max_evaluations == 500

    matrix = ml.scenarios.slopes(20, 10)
    fit = matrix.fit("interaction")
    code = ml.report(fit, pictures=False, checks=False).code
    assert "contrasts=" in code
    np.testing.assert_allclose(rerun(code, data=matrix.data).fixef, fit.fixef, rtol=1e-12)


def test_residual_structures():
    data = ml.load_dataset("sleepstudy")
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", data, residual=[ml.cor_ar1("Days")])
    made = ml.report(fit)
    assert all(picture.source or picture.reason for picture in made.pictures)
    assert made.checks["outliers"].ok is None
    assert f"(marginal R²), with the random effects {100 * ml.r2(fit).conditional:.1f}%" in HTMLReader(made.html).text
    assert "ρ residuals over Days" in made.html
    again = rerun(made.code, data=data)
    assert again.residual_structure.rho == pytest.approx(fit.residual_structure.rho, rel=1e-10)


def test_singular_fit_without_predictors():
    made = ml.report(ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2")))
    text = HTMLReader(made.html).text
    assert "Singular fit" in text
    assert "an intercept as the only fixed effect" in text
    assert "nan" not in re.sub(r"data:image\S+", "", made.html).lower().split()
    assert not re.search(r"\bnan\b", text.lower())


def test_without_plotnine(monkeypatch):
    def missing():
        raise ml.MissingDependencyError("Pictures need plotnine.")

    monkeypatch.setattr(report_pictures, "plotnine", missing)
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    page = HTMLReader(ml.report(fit, checks=False).html)
    assert "Pictures need plotnine." in page.text
    assert not any(tag == "img" for tag, _ in page.tags)


def test_without_pictures_and_checks(tmp_path):
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    path = tmp_path / "report.html"
    made = ml.report(fit, path, pictures=False, checks=False, title="<Sleep> & time")
    assert made.checks is None
    assert made.pictures == ()
    text = path.read_text(encoding="utf-8")
    assert text == made.html
    page = HTMLReader(text)
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == ["#results", "#methods", "#code"]
    assert "<Sleep> & time" in page.text


def test_wrong_paths(tmp_path):
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", ml.load_dataset("sleepstudy"))
    with pytest.raises(ml.ControlError, match=r"end in \.html"):
        ml.report(fit, tmp_path / "report.pdf")
    with pytest.raises(ml.ControlError, match="no folder"):
        ml.report(fit, tmp_path / "none" / "report.html")
