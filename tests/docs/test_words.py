# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pages use the words of the field, and not words of this project's own.

``codespell`` (``tox run -e lint``) finds words that are spelt wrong; this finds right words in a
sense that no reader knows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT

OWN_WORDS = {
    r"\bboot(s|ed|ing)?\b": "startup, start",
    r"\b(wait\w*|stand\w*) in (the )?line\b": "queue",
    r"\bthe waiting line\b": "queue",
    r"\b(is|are|was|be) had\b": "there is, can be obtained",
    r"\bof before\b": "earlier, former",
    r"\bwhat is none\b": "a whole sentence",
    r"\bfor who\b": "for whom, for those who",
    r"\ba lack\b|\blacks of\b": "a missing resource",
    r"\bfates?\b": "outcome",
    r"\bdoors?\b": "admission, way",
    r"\bluggage\b": "what goes along with a call",
    r"\bdoubts?\b": "warning",
}
"""What a page must not say, and what it may say instead."""

CODE = re.compile(r"^ *(`{3,}).*?^ *\1`*\s*?$|`[^`\n]*`|<!--.*?-->", re.MULTILINE | re.DOTALL)


@pytest.mark.once
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_uses_the_words_of_the_field(path: Path) -> None:
    """No word of ``OWN_WORDS`` is in the text of a page; code is left out."""
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    found = [
        f"{match[0]!r}: better {better}"
        for pattern, better in OWN_WORDS.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert found == []
