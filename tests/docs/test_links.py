# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every link between pages leads to a file and to a heading that exist.

Sphinx checks the pages of docs/ among themselves; this checks README.md and the other pages of the
repository, too, and that a file which a page names in code is there.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
KINDS = {"tutorial", "how-to", "reference", "explanation", "decisions"}

CODE_BLOCK = re.compile(r"^ *(`{3,}).*?^ *\1`*\s*?$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
FILE = re.compile(r"`((?:docs|tests|examples|benchmarks|genro_executor_plugin)/[\w./-]+\.\w+)`")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    """The page without its blocks of code."""
    return CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """The names of the page's headings as GitHub and MyST make them."""
    anchors: set[str] = set()
    for heading in HEADING.findall(text_of(path)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number = 1
        while (unique := anchor if number == 1 else f"{anchor}-{number - 1}") in anchors:
            number += 1
        anchors.add(unique)
    return frozenset(anchors)


def broken(page: Path) -> list[str]:
    """What is wrong with the links of one page, each with the reason."""
    wrong = []
    for target in LINK.findall(CODE.sub("", text_of(page))):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            wrong.append(f"{target}: there is no {path}")
        elif anchor and anchor not in anchors_of(path):
            wrong.append(f"{target}: {path.name} has no such heading")
    return wrong


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """A link's file is there, and so is the heading that it names."""
    assert broken(page) == []


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """``tests/...`` and the like in a page is a file of this repository."""
    if page.name != "CHANGELOG.md":  # it speaks of former files, too
        assert [name for name in FILE.findall(text_of(page)) if not (ROOT / name).exists()] == []


@pytest.mark.once
def test_links_of_the_readme_work_everywhere() -> None:
    """The package index shows README.md without the repository: its links are whole addresses."""
    text = text_of(ROOT / "README.md")
    links = LINK.findall(re.sub(r"!\[[^]]*\]\([^)]*\)", "", CODE.sub("", text)))
    assert links
    assert all(link.startswith(("https://", "#")) for link in links)


@pytest.mark.once
def test_tests_that_the_pages_name_are_there() -> None:
    """A test that gets another name changes the pages that name it, too."""
    known = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in DEFINED.findall(path.read_text(encoding="utf-8"))
    }
    said = {name for page in PAGES for name in TEST.findall(text_of(page))}
    assert said - known == set()


@pytest.mark.once
def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A missing file and a missing heading are both told."""
    page = tmp_path / "page.md"
    page.write_text("# Top\n\n[a](#top) [b](none.md) [c](page.md#nowhere)\n", encoding="utf-8")
    assert len(broken(page)) == 2


@pytest.mark.once
def test_every_page_leads_to_the_words() -> None:
    """Who meets a word that is new finds the glossary on the page."""
    pages = [path for path in PAGES if path.parent.name in KINDS and path.name != "index.md"]
    words = [
        path for path in pages if path.name != "glossary.md" and "glossary.md)" not in text_of(path)
    ]
    assert words == []


@pytest.mark.once
def test_every_page_has_its_kind() -> None:
    """A page lies in the folder of its kind; docs/ itself has the landing page alone."""
    assert [path.name for path in (ROOT / "docs").glob("*.md")] == ["index.md"]
    kinds = {path.parent.name for path in (ROOT / "docs").rglob("*.md")} - {"docs"}
    assert kinds == KINDS
