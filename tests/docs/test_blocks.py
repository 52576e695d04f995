# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every Python block of README.md and docs/ runs as a program of its own; other code is read.

A block is written to a file and started with this interpreter in an empty folder; it must exit
with 0. ``doc_blocks`` says how a page tells more about it. Console blocks are in
``test_console_blocks``.
"""

import json
import signal
from pathlib import Path

import httpx
import pytest
from doc_blocks import PAGES, ROOT, Block, Program, blocks_of, judge, programs_of
from programs import started

PROGRAM_TIMEOUT_SECONDS = 120.0
REQUEST_TIMEOUT_SECONDS = 60.0
EXIT_TIMEOUT_SECONDS = 60.0

TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, id=f"{program.page}:{program.line}")
        for page, text in TEXTS.items()
        for program in programs_of(page, text)
    ],
)
def test_a_block_runs(program: Program, tmp_path: Path) -> None:
    """What the page shows works when it is copied into a file and started."""
    with started(program.write_to(tmp_path).name, cwd=tmp_path, finds_tests=False) as process:
        if not program.requests:
            assert process.wait(PROGRAM_TIMEOUT_SECONDS) == 0, process.log
            return

        process.until_it_serves()
        for request in program.requests:
            answer = httpx.request(
                request["method"], process.url + request["path"], timeout=REQUEST_TIMEOUT_SECONDS
            )
            assert answer.status_code == int(request["status"]), answer.text

        process.signal(signal.SIGINT)
        code = process.wait(EXIT_TIMEOUT_SECONDS)
        assert "Application shutdown complete" in process.log, process.log
        # uvicorn raises the signal again after its shutdown: the program ends as by Ctrl-C.
        assert code in (0, -signal.SIGINT), process.log


@pytest.mark.once
@pytest.mark.parametrize("page", TEXTS)
def test_what_is_not_run_can_be_read(page: str) -> None:
    """Every block says how it is tried. JSON is JSON; Python of other products compiles."""
    for block in blocks_of(page, TEXTS[page]):
        judge(block)
        if block.info == "json":
            json.loads(block.text)
        elif block.info == "python" and block.said("not run"):
            compile(block.text, block.place, "exec")


@pytest.mark.once
@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ true\n```\n",
        "```py\nprint()\n```\n",
        "<!-- not run: -->\n```python\nprint()\n```\n",
        "<!-- runs -->\n```python\nprint()\n```\n",
        "<!-- runs -->\nwords\n",
    ],
)
def test_a_block_that_nothing_tries_is_refused(text: str) -> None:
    """A page cannot have code that is neither tried nor said not to be, with a reason."""
    with pytest.raises(ValueError, match=r"page\.md:\d"):
        judge(blocks_of("page.md", text)[0])


def test_comments_belong_to_their_block() -> None:
    """What is said of one block is not said of the next one."""
    first, second = blocks_of(
        "page.md", "<!-- file: a.py -->\n```python\na\n```\n\n```python\nb\n```\n"
    )
    assert first == Block("page.md", 2, "python", ["a\n"], [("file", "a.py")])
    assert second.says == []
