# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The code blocks of README.md and docs/, and what the pages say about running them.

HTML comments on the lines directly before a block say how it is tried:

``<!-- continues -->`` (python)
    The block goes on where the previous one of the page ended; together they are one program.
``<!-- serves: GET /path -> 200 -->`` (python)
    The program ends in a server. It is started, each such request has to be answered with its
    status, and SIGINT has to shut it down.
``<!-- file: name -->``
    The block is that file, in the folder in which the console blocks of its page run. A python
    block that says neither ``serves`` nor ``continues`` is not run by itself then.
``<!-- runs -->`` (console)
    Its commands (after ``$``) run one after the other, in a folder with the files of the page so
    far. What they print has to be what the page shows, where ``...`` stands for anything.
``<!-- runs: serves -->`` (console)
    Its one command starts a server, which serves until the page ends or starts another one.
``<!-- not run: reason -->``
    It cannot be run here. The reason is for readers of the page's source; Python still has to
    compile.

A ``python`` block without a comment runs as a program of its own. ``text`` is for what is no code,
``json`` has to be JSON, and every other block needs one of these comments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import host

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"(?P<indent>\s*)(?P<ticks>`{3,}|~{3,})\s*(?P<info>[^`]*?)\s*$")
MARKER = re.compile(
    r"\s*<!--\s*(?P<kind>continues|serves|file|runs|not run)\b:?\s*(?P<rest>.*?)\s*-->\s*$"
)
REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>/\S*) -> (?P<status>\d{3})$")
PLAIN = ("", "text")
"""Blocks of these kinds are no code."""


@dataclass
class Block:
    """One block of a page, the line of its fence, and what the comments before it say."""

    page: str
    line: int
    info: str
    code: list[str] = field(default_factory=list)
    says: list[tuple[str, str]] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def text(self) -> str:
        return "".join(self.code)

    def said(self, kind: str) -> list[str]:
        """What the comments of this kind say; empty if there is none."""
        return [rest for said, rest in self.says if said == kind]


@dataclass
class Program:
    """One Python program of a page, with the same line numbers as in the page."""

    page: str
    line: int
    source: str = ""
    requests: list[re.Match[str]] = field(default_factory=list)

    def add(self, block: Block) -> None:
        self.source += "\n" * (block.line - self.source.count("\n")) + block.text

    def write_to(self, folder: Path) -> Path:
        path = folder / (re.sub(r"\W", "_", f"{self.page}_{self.line}") + ".py")
        source = self.source.replace("port=8000", "port=0")  # several tests run at a time
        path.write_text(of_the_host(source), encoding="utf-8")
        return path


def of_the_host(source: str) -> str:
    """``source`` of a page for the host of the tests: what is shown is the same there."""
    if host.IS_KAJENN:
        source = source.replace("genro_asgi_server_app", host.SERVER_APP)
        source = source.replace("genro_asgi", host.PACKAGE)
    return source


def blocks_of(page: str, text: str) -> list[Block]:
    """All blocks of one page in their order; ``judge`` tells those that nothing tries."""
    blocks: list[Block] = []
    markers: list[tuple[str, str]] = []
    lines = iter(enumerate(text.splitlines(keepends=True), start=1))
    for number, line in lines:
        if marker := MARKER.match(line):
            markers.append((marker["kind"], marker["rest"]))
            continue
        if (fence := FENCE.match(line)) is None:
            if markers:
                raise ValueError(f"{page}:{number}: expected a block after the comment")
            continue
        block = Block(page, number, fence["info"], says=markers)
        markers = []
        closing = re.compile(rf"\s*{fence['ticks']}{fence['ticks'][0]}*\s*$")
        for _, inner in lines:
            if closing.match(inner):
                break
            block.code.append(inner.removeprefix(fence["indent"]))
        blocks.append(block)
    return blocks


def judge(block: Block) -> None:
    """Raise ``ValueError`` where it is not said how a block is tried, or the kind does not fit."""
    kinds = {kind for kind, _ in block.says}
    allowed = {"python": {"continues", "serves", "file", "not run"}, "console": {"runs", "not run"}}
    if block.info.startswith("{") or block.info in PLAIN:
        allowed_here: set[str] = set()
    else:
        allowed_here = allowed.get(block.info, {"file", "not run"})
    if kinds - allowed_here:
        raise ValueError(f"{block.place}: a {block.info} block cannot be said to be {kinds}")
    if block.said("not run") == [""]:
        raise ValueError(f"{block.place}: not run, but without a reason")
    for path in re.findall(r"\btests/[\w/]+\.py", " ".join(block.said("not run"))):
        if not (ROOT / path).exists():
            raise ValueError(f"{block.place}: there is no {path}")
    if not kinds and allowed_here and block.info not in ("python", "json"):
        raise ValueError(f"{block.place}: say how this {block.info} block is tried")


def programs_of(page: str, text: str) -> list[Program]:
    """The Python programs of one page, in their order."""
    programs: list[Program] = []
    for block in blocks_of(page, text):
        if block.info != "python" or block.said("not run"):
            continue
        requests = block.said("serves")
        if block.said("file") and not (requests or block.said("continues")):
            continue
        if not block.said("continues"):
            programs.append(Program(page, block.line))
        elif not programs:
            raise ValueError(f"{block.place}: continues, but no block comes before it")
        programs[-1].add(block)
        for request in requests:
            if (read := REQUEST.match(request)) is None:
                raise ValueError(f"{block.place}: expected <!-- serves: GET /path -> 200 -->")
            programs[-1].requests.append(read)
    return programs
