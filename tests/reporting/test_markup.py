from __future__ import annotations

import warnings

import pandas as pd
import pytest
from stored import check_expected

import multilevel as ml
import reference_cases as rc
from html_reader import HTMLReader
from multilevel.reporting.latex import escape_latex
from multilevel.reporting.markup import code_markdown, escape_markdown
from multilevel.reporting.tables import Table


@pytest.fixture
def awkward():
    data = pd.DataFrame(ml.load_dataset("sleepstudy")).rename(columns={"Days": "a|b_<c>&"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.lmer("Reaction ~ `a|b_<c>&` + (1 | Subject)", data).summary()


def test_html_is_well_formed_and_accessible():
    summary = rc.fit("scenario_4_model_5_reml").summary()
    text = summary._repr_html_()
    assert text == summary.to_html()
    reader = HTMLReader(text)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("table") == tags.count("caption") == 4
    assert all("scope" in attrs for tag, attrs in reader.tags if tag == "th")
    heads = [attrs for tag, attrs in reader.tags if attrs.get("scope") == "colgroup"]
    assert [attrs["colspan"] for attrs in heads] == ["2"]  # the p-value and its stars
    assert "color:#" not in text.replace(" ", "")
    assert "background:transparent" in text


def test_every_row_has_as_many_cells_as_the_head():
    for name in ("five_slopes_reml", "sleepstudy_ml"):
        for part in rc.fit(name).summary().to_html().split("<table")[1:]:
            head, *rows = part.split("</table>")[0].split("<tr")[1:]
            spans = [
                int(attrs.get("colspan", 1))
                for tag, attrs in HTMLReader(f"<tr{head.split('</thead>')[0]}").tags
                if tag in ("th", "td")
            ]
            for row in rows:
                cells = [tag for tag, _ in HTMLReader(f"<tr{row.split('</tbody>')[0]}").tags if tag in ("th", "td")]
                assert len(cells) == sum(spans)


def test_whole_page():
    text = rc.fit("sleepstudy_reml").summary().to_html(full=True)
    assert text.startswith("<!doctype html>")
    assert "<title>Summary of Reaction ~ Days + (Days | Subject)</title>" in text
    assert '<meta name="color-scheme" content="light dark">' in text
    HTMLReader(text)


def test_names_are_escaped(awkward):
    reader = HTMLReader(awkward.to_html())
    assert "`a|b_<c>&`" in reader.data
    assert "c" not in [tag for tag, _ in reader.tags]
    assert r"a\|b\_\<c\>\&" in awkward.to_markdown()
    assert r"a$|$b\_$<$c$>$\&" in awkward.to_latex()


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
@pytest.mark.parametrize("name", ["sleepstudy_reml", "sleepstudy_ml", "subjects_items_reml"])
def test_stored_markup(name, form):
    summary = rc.fit(name).summary()
    check_expected(f"{name}.{form}", getattr(summary, f"to_{form}")())


def test_markdown_rows_are_even():
    for block in rc.fit("five_slopes_reml").summary().to_markdown().split("\n\n"):
        rows = block.split("\n")
        if rows[0].startswith("|"):
            assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1


def test_escapes():
    assert escape_latex(r"50%_{a}\b~^#$&") == r"50\%\_\{a\}\textbackslash{}b\textasciitilde{}\textasciicircum{}\#\$\&"
    assert escape_markdown("a*b|c") == r"a\*b\|c"
    assert code_markdown("y ~ `a b`") == "`` y ~ `a b` ``"


def test_plain_table():
    table = Table("Things", ("", "a", "b"), (("x", "1", "22"), ("yy", "333", "4")))
    assert str(table) == "     a  b\nx    1 22\nyy 333  4"
    assert table.to_text(width=6) == "     a\nx    1\nyy 333\n    b\nx  22\nyy  4"
    assert table._repr_html_() == table.to_html()


def test_variance_table_forms():
    from multilevel.reporting.variance_table import variance_table

    table = variance_table(rc.fit("sleepstudy_reml").varcorr())
    assert table.headers == ("Groups", "Name", "Variance", "Std.Dev.", "Corr")
    assert ">Random effects</caption>" in table.to_html()
    assert r"\toprule" in table.to_latex()
    assert table.to_markdown().startswith("**Random effects**")
