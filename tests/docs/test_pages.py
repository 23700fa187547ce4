"""Every page of the site runs what it shows and is found from the first page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if not {"_build", "api"} & set(path.relative_to(DOCS).parts)
)
FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL
)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of the page's fenced blocks."""
    return [(found["language"].strip(), found["body"]) for found in FENCE.finditer((DOCS / page).read_text("utf-8"))]


def listed(page: str) -> list[str]:
    """Return the pages in the page's tables of contents."""
    names = [
        line.strip()
        for language, body in blocks(page)
        if language == "{toctree}"
        for line in body.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    return [(Path(page).parent / f"{name}.md").as_posix() for name in names]


@pytest.mark.parametrize("page", PAGES)
def test_python_is_executed(page: str) -> None:
    languages = [language for language, _ in blocks(page)]
    assert not [
        language for language in languages if language.lower() in {"python", "py", "python3", "ipython", "pycon"}
    ]
    if any(language.startswith("{code-cell}") for language in languages):
        text = (DOCS / page).read_text("utf-8")
        assert text.startswith("---\nfile_format: mystnb\n"), "without this header the cells of the page do not run"


@pytest.mark.parametrize("page", PAGES)
def test_code_is_python(page: str) -> None:
    for language, body in blocks(page):
        if language.startswith("{code-cell}"):
            source = re.sub(r"\A(:[^\n]*\n)*", "", body)
            compile(source, page, "exec")


def test_every_page_is_in_one_table_of_contents() -> None:
    reached = ["index.md"]
    for page in reached:
        reached.extend(listed(page))
    assert sorted(reached) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)", text):
        assert (DOCS / page).parent.joinpath(target).is_file(), target
