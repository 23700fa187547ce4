"""Several models side by side."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import multilevel as ml


@pytest.fixture(scope="module")
def fits():
    scenario = ml.scenarios.slopes(20, 10)
    return {name: scenario.fit(name) for name in ("empty", "slopes", "interaction")}


@pytest.fixture(scope="module")
def table(fits):
    return ml.tab_model(**fits)


class _Cells(HTMLParser):
    """Counts the columns that each row of a table takes."""

    def __init__(self):
        super().__init__()
        self.rows: list[list[tuple[int, str]]] = []

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append((int(dict(attrs).get("colspan", 1)), ""))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            width, text = self.rows[-1][-1]
            self.rows[-1][-1] = (width, text + data)


def test_numbers_are_those_of_the_fits(fits, table):
    frame = table.to_frame().set_index(["model", "part", "term"]).sort_index()
    for name, fit in fits.items():
        fixed = frame.loc[(name, "fixed")]
        parameters = ml.model_parameters(fit, effects="fixed").to_frame().loc[fixed.index]
        for column in ("estimate", "std_error", "conf_low", "conf_high", "df", "p_value"):
            np.testing.assert_allclose(fixed[column], parameters[column])
        assert frame.loc[(name, "fit", "nobs"), "estimate"] == 200
        assert frame.loc[(name, "fit", "icc"), "estimate"] == pytest.approx(ml.icc(fit).adjusted)
        assert frame.loc[(name, "fit", "r2_marginal"), "estimate"] == pytest.approx(ml.r2(fit).marginal)
        assert frame.loc[(name, "random", "σ²"), "estimate"] == pytest.approx(fit.sigma**2)
    part = next(iter(fits["slopes"].varcorr()))
    random = frame.loc[("slopes", "random"), "estimate"]
    assert random["τ₀₀ k_id"] == pytest.approx(part.standard_deviations[0] ** 2)
    assert random["τ₁₁ k_id: x1_c"] == pytest.approx(part.standard_deviations[1] ** 2)
    assert random["ρ k_id: x1_c"] == pytest.approx(part.correlation[1, 0])
    assert random["N k_id"] == 20


def test_text_shows_each_model_once_and_blanks_where_a_term_is_absent(fits, table):
    text = str(table)
    estimate = f"{fits['interaction'].fixef['x1_c:interv_label1']:.2f}"
    (line,) = (line for line in text.splitlines() if line.startswith("x1_c:interv_label1") and estimate in line)
    assert line.split()[1] == estimate
    for name in fits:
        assert len(re.findall(rf"\b{name}\b", text)) == 1
    assert max(map(len, text.splitlines())) <= 120


def test_html_rows_have_the_same_width(table):
    cells = _Cells()
    cells.feed(table.to_html())
    assert {sum(width for width, _ in row) for row in cells.rows} == {1 + 3 * 3}
    assert "class=" not in table.to_html()
    assert table._repr_html_() == table.to_html()


def test_markdown_and_latex_rows_have_the_same_width(table):
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {11}
    latex = table.to_latex()
    body = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    assert r"$\tau_{00}$ k\_id" in body
    for line in body.splitlines():
        if line.endswith(r"\\") and not line.startswith(r"\midrule"):
            width = sum(int(w) - 1 for w in re.findall(r"\\multicolumn\{(\d)\}", line)) + line.count(" & ") + 1
            assert width == 10, line


@pytest.mark.parametrize(
    ("style", "pattern"),
    [("numeric", r"<0\.001"), ("stars", r"\*\*\*"), ("numeric_stars", r"<0\.001 \*\*\*"), ("scientific", r"\de-\d\d")],
)
def test_p_values(fits, style, pattern):
    text = str(ml.tab_model(fits["slopes"], p_style=style))
    assert re.search(pattern, next(line for line in text.splitlines() if line.startswith("x1_c")))


def test_stars_behind_estimates(fits):
    table = ml.tab_model(fits["slopes"], show=["estimate"], p_style="stars")
    assert f"{fits['slopes'].fixef['x1_c']:.2f}***" in str(table)
    assert "p < 0.05" in str(table)


def test_choices(fits):
    fit = fits["slopes"]
    table = ml.tab_model(
        fit, names=["A"], standardized=True, intercept=False, labels={"x1_c": "Symptoms"}, digits=3, level=0.9,
        ddf="asymptotic", measures=["aic", "deviance", "loglik"], title="One model", show=["estimate", "df", "statistic", "ci"],
    )  # fmt: skip
    text = str(table)
    assert text.startswith("One model")
    assert "(Intercept)" not in text
    assert "Symptoms" in text
    assert "90% CI" in text
    assert "∞" in text
    assert "ICC" not in text
    assert f"{fit.aic:.3f}" in text
    beta = ml.standardize_parameters(fit).to_frame()["estimate"]["x1_c"]
    assert table.models[0].coefficients["x1_c"]["std_beta"] == pytest.approx(beta)
    assert f"{beta:.3f}" in text
    assert ml.tab_model(fit, terms=["x2"]).terms == ("x2",)
    assert [model.name for model in ml.tab_model(fit, fits["empty"]).models] == ["y (1)", "y (2)"]


def test_singular_fits_are_said():
    fit = ml.lmer("Yield ~ 1 + (1 | Batch)", ml.load_dataset("Dyestuff2"))
    text = str(ml.tab_model(fit))
    assert "singular" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize("ending", ["html", "md", "tex", "txt", "csv"])
def test_files(table, tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    table.save(path)
    assert "x1_c" in path.read_text(encoding="utf-8").replace("\\_", "_")


def test_wrong_use(fits, table, tmp_path):
    fit = fits["slopes"]
    for arguments, message in [
        ({"show": ["beta"]}, "show must be .* not 'beta'; did you mean 'std_beta'"),
        ({"show": []}, "at least one column"),
        ({"measures": ["rmse"]}, "measures must be .* not 'rmse'"),
        ({"p_style": "bold"}, "p_style must be one of"),
        ({"level": 1}, "between 0 and 1"),
        ({"names": ["a", "b"]}, "2 names for 1 models"),
        ({"terms": ["z"]}, "No model has a coefficient 'z'"),
        ({"labels": {"z": "Z"}}, "labels names 'z'"),
    ]:
        with pytest.raises(ml.ControlError, match=message):
            ml.tab_model(fit, **arguments)
    with pytest.raises(ml.ControlError, match="at least one fitted model"):
        ml.tab_model()
    with pytest.raises(ml.ControlError, match="must be a model fitted by lmer, not 'fit'"):
        ml.tab_model("fit")
    with pytest.raises(ml.ControlError, match="Cannot tell the form"):
        table.save(tmp_path / "table.docx")
