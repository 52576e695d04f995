# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""However a program is started, its handlers run in workers, or it says why they cannot.

A few ways are tried in every run; ``tox run -e starts`` tries all of ``ways.WAYS``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from programs import environment

from starts.ways import APP, WAYS, Way

ALL = os.environ.get("GENRO_EXECUTOR_STARTS") == "all"

END_SECONDS = 60.0


def chosen() -> list[str]:
    return [name for name, way in WAYS.items() if ALL or way.few]


def laid_out(way: Way, folder: Path) -> None:
    """Write the files of a program."""
    folder.mkdir(exist_ok=True)
    (folder / "application.py").write_text(APP)
    if way.program:
        (folder / "program.py").write_text(way.program)
    for name, text in way.files:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith(".pyz"):
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("__main__.py", text)
        else:
            file.write_text(text)
    if "linked.py" in way.command:
        away = folder / "away"
        away.mkdir()
        (folder / "program.py").rename(away / "program.py")
        (folder / "application.py").rename(away / "application.py")
        (folder / "linked.py").symlink_to(away / "program.py")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Started:
    """A program that was started in one of the ways."""

    def __init__(self, way: Way, top: Path) -> None:
        self.port = free_port()
        folder = top / way.folder
        laid_out(way, folder)
        cwd = top / way.cwd if way.cwd else folder
        cwd.mkdir(exist_ok=True)
        command = [p.replace("{port}", str(self.port)) for p in way.command]
        command = [part.replace("{folder}", str(folder)) for part in command]
        variables = environment(PORT=str(self.port), PYTHONUNBUFFERED="1", COLUMNS="200")
        variables.pop("PYTHONPATH")  # not every program has been told where things are
        self._output = (top / "output").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(way.stdin)
        self.process.stdin.close()

    @property
    def said(self) -> str:
        self._output.seek(0)
        return self._output.read()

    def below(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    async def answer(self, client: httpx.AsyncClient) -> httpx.Response:
        """What it answers when it serves; an ``AssertionError`` if it ends before."""
        while True:
            with suppress(httpx.TransportError):
                return await client.get(f"http://127.0.0.1:{self.port}/app/say")
            assert self.process.poll() is None, self.said
            await asyncio.sleep(0.02)

    async def end(self, *, all_of_it: bool) -> None:
        """End it as its user would; whatever is left is a fault."""
        known = self.below()
        if all_of_it:
            os.killpg(self.process.pid, signal.SIGTERM)
        else:
            self.process.terminate()
        await asyncio.to_thread(self.process.wait, END_SECONDS)
        for _ in range(500):
            known = {pid for pid in known if psutil.pid_exists(pid)}
            if not known:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it has left {known}: {self.said}")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._output.close()


@pytest.mark.parametrize("name", chosen())
async def test_a_program_has_workers_however_it_is_started(name: str, tmp_path: Path) -> None:
    way = WAYS[name]
    if way.needs and importlib.util.find_spec(way.needs) is None:
        pytest.skip(f"{way.needs} is not installed")
    program = Started(way, tmp_path)
    try:
        if way.refused:
            await asyncio.to_thread(program.process.wait, END_SECONDS)
            assert way.refused in program.said
            return
        async with httpx.AsyncClient(trust_env=False, timeout=90) as client:
            answers = [await program.answer(client) for _ in range(3)]
        assert [a.status_code for a in answers] == [200] * 3, (answers[0].text, program.said)
        said = [answer.json() for answer in answers]
        assert all(one["own"] for one in said)
        assert {one["pid"] for one in said} <= program.below()
        counted = [one["counted"] for one in said]
        if way.processes == 1:
            assert counted == ([1, 2, 3] if way.counts else [1, 1, 1])
        await program.end(all_of_it=way.signalled)
        assert ("their globals begin anew with every call" in program.said) is not way.counts
        assert "Traceback" not in program.said
    finally:
        program.close()
