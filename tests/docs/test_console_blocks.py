# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console blocks of a page run in their order, as a reader would type them.

They run in a folder with the page's files (``<!-- file: name -->``), as far as the reader has got.
What the page shows of their output is compared, and ``...`` there stands for anything. Port 8000 is
that of the page's server, or a free one, in files and commands alike. The comments are explained in
``doc_blocks``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, Block, blocks_of, of_the_host
from programs import RunningProgram, started

COMMAND_TIMEOUT_SECONDS = 120.0
TOKEN = "a-token-of-the-tests-0123456789"
"""What a console asks for: a page has it from the server's log."""

PORT = "8000"
MODULES = {
    "genro-executor": ["-m", "genro_executor_plugin.cli"],
    "genro-asgi": ["-m", "genro_asgi"],
    "uvicorn": ["-m", "uvicorn"],
    "python": [],
    "python3": [],
}
"""How each command that starts a server is started with this interpreter."""


def stories() -> Iterator[tuple[str, list[Block]]]:
    """The pages that have console blocks to run, with these and the files before them."""
    for path in PAGES:
        page = path.relative_to(ROOT).as_posix()
        blocks = blocks_of(page, path.read_text(encoding="utf-8"))
        told = [block for block in blocks if block.said("file") or block.said("runs")]
        if told:
            yield page, told


STORIES = dict(stories())


class Story:
    """What a reader of one page does: files, servers and commands in one folder."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder, self.ends = folder, ends
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        (folder / ".curlrc").write_text("silent\nshow-error\n", encoding="utf-8")
        scripts = Path(sys.executable).parent
        self.variables = {
            "GENRO_EXECUTOR_CONSOLE_TOKEN": TOKEN,
            "TOKEN": TOKEN,
            "CURL_HOME": str(folder),
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin",
            "XDG_STATE_HOME": str(folder / ".state"),
            "GENRO_ASGI_HOME": str(folder / ".genroasgi"),
            "NO_COLOR": "1",
        }
        self.server: RunningProgram | None = None

    def here(self, text: str) -> str:
        return text.replace(PORT, self.port)

    def write(self, block: Block) -> None:
        (name,) = block.said("file")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(of_the_host(block.text)), encoding="utf-8")

    def serve(self, block: Block) -> None:
        """Start the server of a block, in the place of the one before it."""
        ((command, _),) = commands_of(block)
        words = shlex.split(self.here(command), comments=True)
        variables = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        self.stop()
        self.server = self.ends.enter_context(
            started(
                *MODULES[words[0]],
                *words[1:],
                cwd=self.folder,
                finds_tests=False,
                **{**self.variables, **variables},
            )
        )
        self.server.until_it_serves()
        self.server.until_it_says("Application startup complete")  # with --workers that is later
        self.port = self.server.url.rpartition(":")[2]
        self.until_it_listens()  # with --workers none of them does before it has started

    def until_it_listens(self) -> None:
        deadline = time.monotonic() + COMMAND_TIMEOUT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(self.port))).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "nobody listens"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """End the server as Ctrl-C would."""
        if self.server is not None:
            self.server.signal(signal.SIGINT)
            assert self.server.wait() in (0, -signal.SIGINT), self.server.log
            self.server = None

    def run(self, block: Block) -> None:
        """Run the commands of a block and compare what they print with what the page shows."""
        for command, shown in commands_of(block):
            program = command.split()[0]
            if shutil.which(program, path=self.variables["PATH"]) is None and program != "for":
                assert "CI" not in os.environ, f"{program} is not installed"
                pytest.skip(f"{program} is not installed")
            done = subprocess.run(
                ["bash", "-c", self.here(command)],
                cwd=self.folder,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
            )
            log = self.server.log if self.server else ""
            if shown:
                pattern = re.escape(tidy(self.here(shown))).replace(re.escape("..."), "(.|\n)*?")
                assert re.fullmatch(pattern, tidy(done.stdout)), (
                    f"{block.place}: {command} printed\n{done.stdout}\nand not\n{shown}\n{log}"
                )
            elif done.returncode:
                raise AssertionError(f"{block.place}: {command} failed:\n{done.stdout}\n{log}")


def tidy(output: str) -> str:
    """Without blanks at the ends of lines and between the parts of JSON."""
    lines = (line.rstrip() for line in output.strip().splitlines())
    return "\n".join(
        re.sub(r"([:,]) ", r"\1", line) if line.startswith("{") else line for line in lines
    )


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Each command of a block, with the output that the page shows below it."""
    commands: list[tuple[str, str]] = []
    goes_on = False
    for line in block.code:
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ ").rstrip("\n"), ""))
        elif not commands:
            raise ValueError(f"{block.place}: expected a command, $ ..., and not {line!r}")
        elif goes_on:
            commands[-1] = (f"{commands[-1][0]}\n{line.rstrip()}", "")
        else:
            commands[-1] = (commands[-1][0], commands[-1][1] + line)
        goes_on = line.rstrip().endswith("\\") and not commands[-1][1]
    return commands


@pytest.mark.once
@pytest.mark.timeout(300)  # a page may start several servers, one after the other
@pytest.mark.parametrize("page", STORIES)
def test_a_page_can_be_followed(page: str, tmp_path: Path) -> None:
    """Who types what the page shows sees what the page shows."""
    with ExitStack() as ends:
        story = Story(tmp_path, ends)
        for block in STORIES[page]:
            if block.said("file"):
                story.write(block)
            elif block.said("runs") == ["serves"]:
                story.serve(block)
            else:
                story.run(block)
        story.stop()


@pytest.mark.once
@pytest.mark.parametrize("page", STORIES)
def test_every_file_of_a_page_is_used(page: str) -> None:
    """A file of a page is named by a command or by another file: nothing is left untried."""
    blocks = STORIES[page]
    for block in blocks:
        for name in block.said("file"):
            stem = Path(name).stem if name.endswith(".py") else name
            others = [other.text for other in blocks if other is not block]
            assert any(stem in text for text in others), f"{block.place}: nothing uses {name}"
