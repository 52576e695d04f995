# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every ``python`` block of README.md and docs/ runs as a program of its own.

A block is written to a file and started with this interpreter in an empty folder; it must exit
with 0. Two HTML comments, on the lines directly before a block, say more about it:

``<!-- continues -->``
    The block goes on where the previous one of the page ended; together they are one program.
``<!-- serves: GET /path -> 200 -->``
    The program ends in a server. It is started, each such request has to be answered with its
    status, and SIGINT has to shut it down.

There is no way to leave a block out.
"""

import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

import host
import httpx
import pytest
from programs import started

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

PROGRAM_TIMEOUT_SECONDS = 45.0
REQUEST_TIMEOUT_SECONDS = 20.0
EXIT_TIMEOUT_SECONDS = 15.0

FENCE = re.compile(r"(?P<indent>\s*)(?P<ticks>`{3,}|~{3,})\s*(?P<info>[^`]*?)\s*$")
PYTHON = re.compile(r"\bpy", re.IGNORECASE)
MARKER = re.compile(r"\s*<!--\s*(?P<kind>continues|serves)\b:?\s*(?P<rest>.*?)\s*-->\s*$")
REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>/\S*) -> (?P<status>\d{3})$")


@dataclass
class Program:
    """One program of a page: its blocks' text, on the same line numbers as in the page."""

    page: str
    line: int
    source: str = ""
    requests: list[re.Match[str]] = field(default_factory=list)

    def add(self, line: int, code: list[str]) -> None:
        self.source += "\n" * (line - self.source.count("\n")) + "".join(code)

    def write_to(self, folder: Path) -> Path:
        path = folder / (re.sub(r"\W", "_", f"{self.page}_{self.line}") + ".py")
        source = self.source
        if host.IS_KAJENN:  # what the pages show is the same there, under kajenn's name
            source = source.replace("genro_asgi_server_app", host.SERVER_APP)
            source = source.replace("genro_asgi", host.PACKAGE)
        path.write_text(source, encoding="utf-8")
        return path


def programs_of(page: str, text: str) -> list[Program]:
    """The programs of one page in their order; ``ValueError`` where a block could not be run."""
    programs: list[Program] = []
    markers: list[re.Match[str]] = []
    lines = iter(enumerate(text.splitlines(keepends=True), start=1))
    for number, line in lines:
        if marker := MARKER.match(line):
            markers.append(marker)
            continue
        fence = FENCE.match(line)
        info = fence["info"] if fence else ""
        if info != "python" and (markers or PYTHON.search(info)):
            raise ValueError(f"{page}:{number}: expected a block marked ```python and nothing else")
        if fence is None:
            continue
        closing = re.compile(rf"\s*{fence['ticks']}{fence['ticks'][0]}*\s*$")
        code: list[str] = []
        for _, inner in lines:
            if closing.match(inner):
                break
            code.append(inner.removeprefix(fence["indent"]))
        if info != "python":
            continue
        kinds = [marker["kind"] for marker in markers]
        if "continues" not in kinds:
            programs.append(Program(page, number))
        elif not programs:
            raise ValueError(f"{page}:{number}: continues, but no block comes before it")
        programs[-1].add(number, code)
        for marker in markers:
            if marker["kind"] == "serves":
                if (request := REQUEST.match(marker["rest"])) is None:
                    raise ValueError(f"{page}:{number}: expected <!-- serves: GET /path -> 200 -->")
                programs[-1].requests.append(request)
        markers = []
    return programs


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, id=f"{program.page}:{program.line}")
        for path in PAGES
        for program in programs_of(
            path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        )
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
