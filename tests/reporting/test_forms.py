"""Every result that is a table has the same forms, with labels, digits and styles of p-values."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import multilevel as ml
from multilevel.reporting.cells import Across, Number, number_cells
from multilevel.reporting.latex import escape_latex
from multilevel.reporting.markup import escape_markdown
from multilevel.reporting.style import P_STYLES, decimal_text, p_value_text
from multilevel.reporting.tables import Table

FORMS = ("to_html", "to_markdown", "to_latex")


@pytest.fixture(scope="module")
def results():
    data = ml.load_dataset("sleepstudy")
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", data)
    small = ml.lmer("Reaction ~ Days + (1 | Subject)", data)
    cake = ml.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", ml.load_dataset("cake"))
    return {
        "models": ml.tab_model(small, fit),
        "summary": fit.summary(),
        "summary by likelihood": fit.update(reml=False).summary(),
        "anova": ml.anova(fit),
        "comparison": ml.anova(small, fit),
        "means": ml.emmeans(cake, "recipe").test(),
        "means by temperature": ml.emmeans(cake, "recipe", by="temperature"),
        "performance": ml.compare_performance(small, fit),
        "parameters": ml.model_parameters(fit),
        "icc": ml.icc(fit),
        "describe": ml.describe(data),
        "correlation": ml.correlation(data, ["Reaction", "Days"]),
        "check": ml.check_normality(fit),
        "checks": ml.check_model(fit),
        "influence": ml.influence(fit, "Subject"),
        "variances": ml.variance_decomposition(fit),
        "step": ml.step(fit),
        "conditional aic": ml.conditional_aic(fit),
    }


NAMES = (
    "models", "summary", "summary by likelihood", "anova", "comparison", "means", "means by temperature", "performance",
    "parameters", "icc", "describe", "correlation", "check", "checks", "influence", "variances", "step", "conditional aic",
)  # fmt: skip


class Tables(HTMLParser):
    """Counts the columns that each row of each table takes; checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.styles = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        attrs = dict(attrs)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("td", "th"):
            self.tables[-1][-1] += int(attrs.get("colspan", 1))
            self.styles.append(attrs["style"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", NAMES)
def test_forms_are_well_formed(results, name):
    result = results[name]
    page = Tables(result.to_html())
    assert page.tables
    assert all(len(set(rows)) == 1 for rows in page.tables)
    # The rules are in the cells, where Word keeps them, and no class needs a style sheet.
    assert "class=" not in result.to_html()
    assert "<style" not in result.to_html()
    assert any("border-bottom" in style for style in page.styles)
    assert any("border-top" in style for style in page.styles)
    assert result._repr_html_() == result.to_html()
    for block in result.to_markdown().split("\n\n"):
        rows = [re.sub(r"\\.", "", row) for row in block.split("\n") if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    latex = result.to_latex()
    assert latex.startswith("% requires \\usepackage{booktabs}")
    for environment in ("table", "tabular", "itemize"):
        assert latex.count(rf"\begin{{{environment}}}") == latex.count(rf"\end{{{environment}}}")
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    assert latex.isascii() or not re.search("[σρτ²₀−±∞χβ<>]", re.sub(r"\$[^$]*\$", "", latex))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_options_are_taken_everywhere(results, name, form):
    result = results[name]
    plain, six = getattr(result, form)(), getattr(result, form)(digits=6)
    assert plain != six
    assert re.search(r"\d\.\d{6}\b", six)
    with pytest.raises(ml.ControlError, match="labels names 'nothing'"):
        getattr(result, form)(labels={"nothing": "x"})
    with pytest.raises(ml.ControlError, match="p_style must be one of"):
        getattr(result, form)(p_style="bold")
    for wrong in (-1, 2.5, True, 99):
        with pytest.raises(ml.ControlError, match="digits must be a whole number"):
            getattr(result, form)(digits=wrong)


def test_digits_come_from_the_numbers_and_not_from_their_texts(results):
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))
    for name in ("summary", "parameters"):
        assert f"{fit.fixef['Days']:.9f}" in results[name].to_markdown(digits=9)
    assert f"{next(iter(fit.varcorr())).standard_deviations[1]:.8f}" in results["summary"].to_markdown(digits=8)
    f_value = results["anova"].to_frame()["statistic"].iloc[0]
    assert f"| {f_value:.7f} |" in results["anova"].to_markdown(digits=7)
    numbers = ml.icc(fit)
    assert f"{numbers.adjusted:.10f}" in numbers.to_html(digits=10)


def test_labels(results):
    labels = {"Days": "Nights <of> 50% sleep|loss", "(Intercept)": "Start"}
    for name in ("models", "summary", "parameters"):
        assert "Nights &lt;of&gt; 50% sleep|loss" in results[name].to_html(labels=labels)
        assert r"Nights \<of\> 50% sleep\|loss" in results[name].to_markdown(labels=labels)
        assert r"Nights $<$of$>$ 50\% sleep$|$loss" in results[name].to_latex(labels=labels)
        assert ">Days<" not in results[name].to_html(labels=labels)
    # Shortened names in the table of correlations go by their whole names.
    assert results["summary"].to_markdown(labels=labels).count("Start") == 3
    compared = results["comparison"].to_markdown(labels={"model 1": "Intercepts"})
    assert compared.count("Intercepts") == 2
    means = results["means by temperature"].to_markdown(
        labels={"recipe": "Recipe", "A": "Plain", "temperature = 175": "Cool"}
    )
    assert "**Cool**" in means
    assert "| Recipe |" in means
    assert "| Plain |" in means
    named = results["models"].to_html(labels={"Reaction (1)": "Model 1", "ICC": "Intraclass"})
    assert ">Model 1<" in named
    assert ">Intraclass<" in named


@pytest.mark.parametrize("style", P_STYLES)
def test_p_styles(results, style):
    for name in ("summary", "anova", "parameters", "means"):
        text = results[name].to_markdown(p_style=style)
        assert "Signif. codes" not in text
        assert ("p \\< 0.05" in text) == ("stars" in style)
        marks = {"numeric": r"\\<0\.001 \|", "apa": r"\\< \.001 \|", "scientific": r"\de-\d\d \|", "stars": r"\| \\\*\\\*\\\* \|",
                 "numeric_stars": r"\\<0\.001 \\\*\\\*\\\* \|", "scientific_stars": r"\de-\d\d \\\*\\\*\\\* \|"}  # fmt: skip
        assert re.search(marks[style], text), (name, style, text)


def test_texts_of_numbers():
    assert p_value_text(0.0124, "apa") == ".012"
    assert p_value_text(1.0, "apa") == "1.000"
    assert p_value_text(0.0004, "numeric_stars") == "<0.001 ***"
    assert p_value_text(0.08, "numeric_stars") == "0.080"
    assert p_value_text(float("nan"), "numeric") == ""
    assert decimal_text(-0.0004, 2) == "0.00"
    assert decimal_text(-np.inf, 2) == "-Inf"
    assert number_cells([1.0, np.nan], ["1", ""]) == [Number("1", (1.0,)), ""]


def test_escapes():
    assert escape_latex("τ₀₀ x² − 1 ≤ σ²") == r"$\tau_{00}$ x$^{2}$ $-$ 1 $\le$ $\sigma^{2}$"
    assert escape_latex("β₁²|g") == r"$\beta_{1}^{2}|$g"
    assert escape_markdown("a\nb ~ $c$ &amp;") == r"a b \~ \$c\$ \&amp;"


def test_cells_across_columns():
    table = Table(
        "Both", ("", "a", "b", "a", "b"), ((Across("Part", 5, heading=True),), ("x", Across("1", 2), Across("2", 2))),
        groups=(Across("One", 2), Across("Two", 2)),
    )  # fmt: skip
    assert table.to_markdown().splitlines()[2:] == [
        "|  | One: a | One: b | Two: a | Two: b |",
        "| :--- | ---: | ---: | ---: | ---: |",
        "| **Part** |  |  |  |  |",
        "| x | 1 |  | 2 |  |",
    ]
    assert {*Tables(table.to_html()).tables[0]} == {5}
    assert r"\multicolumn{5}{l}{\textbf{Part}} \\" in table.to_latex()
    assert (
        r" & \multicolumn{2}{c}{One} & \multicolumn{2}{c}{Two} \\ \cmidrule(lr){2-3} \cmidrule(lr){4-5}"
        in table.to_latex()
    )


def test_files(results, tmp_path):
    table = results["anova"]
    for ending, start in (
        (".html", "<!doctype html>"),
        (".doc", "<!doctype html>"),
        (".tex", "% requires"),
        (".txt", "Type III"),
    ):
        path = tmp_path / f"table{ending}"
        table.save(path)
        assert path.read_text(encoding="utf-8").startswith(start)
    table.save(tmp_path / "table.md", digits=1, labels={"Days": "Nights"}, p_style="apa")
    assert "| Nights | 30031.0 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    table.save(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().splitlines()[0].startswith(",sum_sq")
    with pytest.raises(ml.ControlError, match=r"Cannot tell the form of 'table\.docx'"):
        table.save(tmp_path / "table.docx")
    with pytest.raises(ml.ControlError, match="Cannot tell the form"):
        results["summary"].save(tmp_path / "summary.csv")
    with pytest.raises(ml.ControlError, match=r"not for \.txt"):
        table.save(tmp_path / "table.txt", digits=2)
